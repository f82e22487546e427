/* graph.h - one neural network as data: a typed, topologically ordered list of operations.
 *
 * It is:     the contract between whoever proposes a network and whoever executes or exports it.
 *            Node i is the value number i; a node reads only nodes before it, so a cycle cannot be
 *            written down. Node 0 is always the input image. Shapes are inferred as nodes are added,
 *            and a graph that does not type-check cannot be built.
 * It is not: weights (they live elsewhere, under the names given here), a search space (space.h), or a
 *            training recipe (task.h).
 *
 * Layout is N,H,W,C. Shapes here are of one image: (h, w, c).
 *
 * Window operations (conv, pools) put tap (i, j) of output pixel (y, x) on input pixel
 *     (y*stride + i*dilation - pad_y,  x*stride + j*dilation - pad_x)
 * and read zero outside the image (a pool leaves it out, also of the average's divisor). The output has
 *     ceil(h / stride) rows, or, when `valid`, floor((h - dilation*(kernel_h-1) - 1) / stride) + 1 with no padding.
 * The usual padding is pad = dilation*(kernel-1)/2. A pad of -1 with kernel 1 and stride 2 reads the odd
 * pixels: the second branch of a factorised reduction (the part that falls outside reads zero).
 *
 * Parameters of a node named "n" are
 *     conv        n.weight (kernel_h, kernel_w, c_in/groups, c_out)  and, with bias, n.bias (c_out)
 *     batch norm  n.gamma, n.beta (c) when affine;   n.mean, n.var (c): running statistics, never counted
 *     linear      n.weight (c_in, c_out), n.bias (c_out)
 *
 * A resize maps the output grid onto the input's, half-pixel centres on half-pixel centres, as PyTorch's
 * interpolate(size=) does. Bilinear reads row (y + 1/2) h_in / h_out - 1/2, at least 0, between its two neighbours
 * (of which the last row has one only), also when it shrinks: no anti-aliasing. Area is the mean of the rows
 * floor(y h_in / h_out) to ceil((y + 1) h_in / h_out), the last not included. Columns likewise.
 */
#ifndef NASFARM_GRAPH_H
#define NASFARM_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "checksum.h"
#include "err.h"

/* The numbers are on the wire and in hashes: never reuse one. */
enum graph_op {
    GRAPH_INPUT = 1,
    GRAPH_CONV = 2,       /* kernel, stride, dilation, groups, pad, valid, bias, channels */
    GRAPH_BATCH_NORM = 3, /* affine, rate = epsilon (1e-5 unless set) */
    GRAPH_RELU = 4,
    GRAPH_MAX_POOL = 5,        /* kernel, stride, pad, valid */
    GRAPH_AVG_POOL = 6,        /* the same; padding does not count */
    GRAPH_GLOBAL_AVG_POOL = 7, /* (h,w,c) -> (1,1,c) */
    GRAPH_ADD = 8,             /* two or more of one shape */
    GRAPH_CONCAT = 9,          /* two or more of one h,w: along channels */
    GRAPH_IDENTITY = 10,
    GRAPH_ZERO = 11,   /* zeros of (ceil(h/stride), ceil(w/stride), channels or c) */
    GRAPH_LINEAR = 12, /* (1,1,c) -> (1,1,channels), with bias unless bias = false */
    GRAPH_DROPOUT =
        13, /* rate = chance that a value is dropped; the rest is scaled by 1/(1-rate) */
    GRAPH_DROP_PATH =
        14,             /* rate = chance that one image's whole value is dropped, likewise scaled */
    GRAPH_RELU6 = 15,   /* min(max(x, 0), 6) */
    GRAPH_SWISH = 16,   /* x sigmoid(x), also called SiLU */
    GRAPH_H_SWISH = 17, /* x relu6(x + 3) / 6 */
    GRAPH_SIGMOID = 18, /* 1 / (1 + e^-x) */
    GRAPH_H_SIGMOID = 19, /* relu6(x + 3) / 6 */
    GRAPH_MUL = 20,       /* x (h,w,c) times a gate of that shape, or (1,1,c) for all pixels */
    GRAPH_SLICE = 21,     /* channels [offset, offset + channels) */
    GRAPH_CHANNEL_SHUFFLE = 22, /* channel j groups + i = the input's i c/groups + j (ShuffleNet) */
    GRAPH_RESIZE = 23,          /* to (height, width, c), as mode says */
    GRAPH_OP_END
};

/* As the wire has them. */
enum graph_resize_mode { GRAPH_BILINEAR = 0, GRAPH_AREA = 1, GRAPH_RESIZE_MODE_END };

/* "conv", "batch_norm", ...; NULL for a number that is no operation. Never to be freed. */
const char *graph_op_name(enum graph_op op);
/* "bilinear", "area"; NULL for a number that is no mode. */
const char *graph_resize_mode_name(enum graph_resize_mode mode);
/* ReLU, ReLU6, swish, h-swish, sigmoid, h-sigmoid. */
bool graph_is_activation(enum graph_op op);

struct graph_shape {
    uint32_t h, w, c;
};

struct graph_node {
    enum graph_op op;
    uint32_t first_input, n_inputs; /* graph->inputs[first_input ...]; set by graph_add() */
    uint32_t channels;              /* out: conv, linear, slice, zero (0: as the input) */
    uint32_t kernel_h, kernel_w, stride, dilation, groups; /* 0 means 1 when adding */
    int32_t pad_y, pad_x;
    bool valid, bias, affine;
    uint32_t offset;        /* slice: the first channel */
    uint32_t height, width; /* resize: of the output */
    enum graph_resize_mode mode;
    float rate;               /* see enum graph_op */
    uint32_t name;            /* offset into graph->names; 0 is "" */
    struct graph_shape shape; /* of the node's output, inferred */
};

/* Read freely; changed only by the functions below. */
struct graph {
    struct graph_shape input;
    uint32_t classes;
    uint32_t n_nodes, n_inputs, output;
    uint32_t aux; /* the logits of an auxiliary head, or 0: none */
    struct graph_node *nodes;
    uint32_t *inputs;
    char *names; /* NUL-terminated strings one after the other; the first is "" */
    size_t names_len;
    int error;      /* the first error of a graph_add() or builder call: sticky */
    struct why why; /* its sentence */
    size_t cap_nodes, cap_inputs, cap_names;
    uint64_t n_params_bound, n_values_bound; /* running totals that the limits are tested on */
};

/* Makes a graph that holds its input node. Each side 1..LIMIT_SIDE, channels and classes within their limits. */
int graph_create(struct graph **out, struct graph_shape input, uint32_t classes, struct why *why);
void graph_destroy(struct graph **self);

/* Appends a copy of *node reading inputs[0..n): sets its shape, returns its number, which is at least 1.
 * name is "" for a node without parameters; otherwise [A-Za-z0-9._-]{1,58}, and unique in the graph
 * (uniqueness is checked by graph_finish()).
 * On an error the number returned is 0 (the input), and graph->error and graph->why say what and stay:
 * a decoder can be written straight through and look once, in graph_finish(). */
uint32_t graph_add(struct graph *self, const struct graph_node *node, const uint32_t *inputs,
                   uint32_t n, const char *name);

/* Builders over graph_add(), with the padding that keeps ceil(h/stride). All sticky, as above. */
uint32_t graph_conv(struct graph *self, uint32_t in, uint32_t channels, uint32_t kernel,
                    uint32_t stride, uint32_t dilation, uint32_t groups, const char *name);
uint32_t graph_conv_hw(struct graph *self, uint32_t in, uint32_t channels, uint32_t kernel_h,
                       uint32_t kernel_w, uint32_t stride, const char *name);
uint32_t graph_batch_norm(struct graph *self, uint32_t in, bool affine, const char *name);
uint32_t graph_relu(struct graph *self, uint32_t in);
uint32_t graph_pool(struct graph *self, enum graph_op max_or_avg, uint32_t in, uint32_t kernel,
                    uint32_t stride);
uint32_t graph_global_avg_pool(struct graph *self, uint32_t in);
uint32_t graph_sum(struct graph *self, const uint32_t *in,
                   uint32_t n); /* n = 1: that node itself */
uint32_t graph_concat(struct graph *self, const uint32_t *in,
                      uint32_t n); /* n = 1: that node itself */
uint32_t graph_identity(struct graph *self, uint32_t in);
uint32_t graph_zero(struct graph *self, uint32_t in, uint32_t stride, uint32_t channels);
uint32_t graph_linear(struct graph *self, uint32_t in, uint32_t channels, const char *name);
uint32_t graph_dropout(struct graph *self, enum graph_op dropout_or_drop_path, uint32_t in,
                       float rate);
/* relu -> [1x1 stride 2 at (0,0), c/2 | 1x1 stride 2 at (1,1), c - c/2] -> concat -> batch norm.
 * Names: name.a, name.b, name.bn. */
uint32_t graph_factorized_reduce(struct graph *self, uint32_t in, uint32_t channels, bool affine,
                                 const char *name);

/* An activation by its operation: see graph_is_activation(). */
uint32_t graph_activation(struct graph *self, enum graph_op activation, uint32_t in);
uint32_t graph_mul(struct graph *self, uint32_t in, uint32_t gate);
uint32_t graph_slice(struct graph *self, uint32_t in, uint32_t offset, uint32_t channels);
uint32_t graph_channel_shuffle(struct graph *self, uint32_t in, uint32_t groups);
uint32_t graph_resize(struct graph *self, uint32_t in, uint32_t height, uint32_t width,
                      enum graph_resize_mode mode);
/* Squeeze-and-excitation (Hu et al. 2018, arXiv:1709.01507): in times
 *     global average pool -> 1x1 to squeeze channels -> activation -> 1x1 back -> gate (sigmoid or h-sigmoid)
 * with biases. Names: name.reduce, name.expand. */
uint32_t graph_squeeze_excite(struct graph *self, uint32_t in, uint32_t squeeze,
                              enum graph_op activation, enum graph_op gate, const char *name);

/* Names the logits of an auxiliary head, shape (1, 1, classes), or none (0), before graph_finish(). Its loss is
 * added, weighted, in training (Szegedy et al. 2015, arXiv:1409.4842); what it alone needs does not run otherwise
 * and is no part of graph_cost(), as in published numbers. The hash knows it: it changes what training gives. */
void graph_set_aux(struct graph *self, uint32_t aux);

/* Names the logits, which must have shape (1, 1, classes), and checks the whole.
 * Returns FARM_OK, or the sticky error with its sentence copied to why. */
int graph_finish(struct graph *self, uint32_t output, struct why *why);

static inline const char *graph_name(const struct graph *self, uint32_t node)
{
    return self->names + self->nodes[node].name;
}

static inline const uint32_t *graph_inputs(const struct graph *self, uint32_t node)
{
    return self->inputs + self->nodes[node].first_input;
}

/* What a network costs, of one image, without running it. Nodes the output does not depend on count nothing. */
struct graph_cost {
    uint64_t params; /* trained values: weights, biases, gamma, beta */
    uint64_t macs;   /* multiply-adds of conv and linear; FLOPs are twice that */
    /* Memory for float32 values at inference, of one image: the image and the logits, which are the caller's and so stay
     * throughout, and the peak of the others in node order: while a node runs, its output and every value still to be
     * read are live. graph_values.h says what is a value; a batch norm or activation that is the last to read a value
     * works in place, one that runs in one pass with another costs nothing. This is what the engine reserves for values
     * (plan->activation_bytes of one image, but for the alignment of arrays); weights and scratch come on top. */
    uint64_t activation_bytes;
    uint32_t depth; /* convolutions and linear layers on the longest path */
    uint32_t live_nodes;
};
int graph_cost(const struct graph *self, struct graph_cost *out);

/* One digest for one network: independent of names, of dead nodes, of identities, of zeros in a sum, of the order of a
 * sum, and of the order of a concatenation where that only moves weights to other places; two networks that differ in
 * anything else have different ones (but for 2^-64 chance). */
int graph_hash(const struct graph *self, struct digest *out);

/* The wire form (graph.proto). Packing allocates *bytes with malloc; the caller frees it. */
int graph_pack(const struct graph *self, uint8_t **bytes, size_t *len);
/* Every input is hostile: limits, operations, inputs and shapes are checked, and why names the node. */
int graph_unpack(struct graph **out, const uint8_t *bytes, size_t len, struct why *why);

#endif
