/* plan.h - in which order a graph is run, a few images at a time, and where in one arena each array lives.
 *
 * It is:     segments of steps with byte offsets, for one batch size, either for inference or for training. Made once,
 *            then only read.
 * It is not: memory, parameters or arithmetic (net.h); it allocates nothing but itself.
 *
 * A segment is a run of steps that need nothing of the other images of the batch. It is run for one group of images after
 * the other, the group so small that what one step writes is still in the cache when the next one reads it. What ends a
 * segment is a batch norm in training: its statistics are taken of the whole batch, while each group is hot; its other
 * half, subtracting, scaling and the activation behind it, belongs to the segments that read it. The backward pass runs
 * the segments in reverse, likewise by groups.
 *
 * An array is *full* (it has a place for every image of the batch) or *local* (a place for one group, used again by each).
 * Full are the images, the logits, what another segment reads and what backward needs and would be dear to compute again.
 * What is cheap (an activation, a normalisation, a concatenation, ...) is computed in each segment that reads it, and again
 * in backward, rather than written to memory and read back: with C channels of 32x32 pixels a batch does not fit into any
 * cache, but a group does. Depthwise convolutions and pools are computed once forward and again in backward.
 * Convolutions that widen few channels to many, and sums that only concatenations read, are computed by each of their
 * readers, too. All this is bounded: plan_values.c says by what.
 *
 * graph_values.h says which nodes need no work, and which run in one pass. The terms of a sum that nobody else reads share
 * the gradient of the sum. A batch norm that is folded scales the weights when they are packed; the rest is a bias. In
 * training that is so behind convolutions that widen: such a norm's statistics are taken of what the convolution reads. Packed
 * weights are resident (each has a place of its own, so that they can be kept from one forward to the next) when that was
 * asked for, or when all of them are few; otherwise segments share the room for them.
 */
#ifndef NASFARM_PLAN_H
#define NASFARM_PLAN_H

#include "graph.h"
#include "kernels.h"

#define PLAN_ALIGN 64u        /* of every array: a cache line, and the widest vector */
#define PLAN_NONE  UINT64_MAX /* an offset of nothing */
#define PLAN_NO    UINT32_MAX /* a number of nothing */

/* Bytes that the arrays of one step should not exceed; a group has at least one image. Part of the arithmetic: the
 * groups decide in which order sums are taken, so it is the same on every machine. */
#define PLAN_GROUP_BYTES (256u << 10)

/* Of arrays of a whole batch from so many bytes on, no cache holds what one segment writes until another reads it: it is
 * written past them. */
#define PLAN_PAST_BYTES (1u << 20)

enum plan_mode {
    PLAN_INFER,
    PLAN_TRAIN,
    PLAN_INFER_RESIDENT, /* packed weights stay, however many they are */
    PLAN_TRAIN_IMAGES,   /* training, and the gradient of the images is kept */
};

/* Where all steps of a segment look at one pixel only, an image is split into parts, and a group is of parts: these many
 * bytes, so that what several steps pass on stays in the nearer caches. */
#define PLAN_PART_BYTES  (192u << 10)
#define PLAN_PART_PIXELS 32u   /* at least */
#define PLAN_SPLIT_MAX   4096u /* parts of an image: times NET_BATCH_MAX images, 32 bits count them */

enum plan_grad {
    PLAN_GRAD_NONE,  /* nothing to do: no gradient is wanted, or it shares the output's */
    PLAN_GRAD_FIRST, /* the first contribution: overwrite */
    PLAN_GRAD_ADD,
};

/* Image (or part of an image) i of a full array is at at + i*image; of a local one (image 0) a group is at `at`. */
struct plan_array {
    uint64_t at; /* bytes from the start of the arena; PLAN_NONE: there is none */
    uint64_t image;
};

/* One value that a step reads. */
struct plan_input {
    struct plan_array x, x_back; /* where it is in forward, and in backward */
    struct plan_array dx;
    size_t values; /* of one image or part */
    uint32_t c;    /* channels */
    enum plan_grad grad;
};

struct plan_step {
    struct graph_node node; /* a copy: operation and attributes; shape is the output's */
    uint32_t index;         /* of the node in the graph */
    uint32_t first_input, n_inputs;
    uint32_t norm; /* batch norm, or one folded into this: which of plan->norms; else PLAN_NO */
    uint32_t
        first_reader;    /* training: norms that read y, a chain by plan_norm.next; PLAN_NO: none */
    enum act act;        /* behind a batch norm, convolution or linear layer: in the same step */
    bool forward;        /* false: nobody reads y there */
    bool backward;       /* there is something to do in backward */
    bool recompute;      /* y is computed again in backward, into y_back */
    struct plan_array y; /* in forward */
    struct plan_array
        stage; /* room for y of a group, that forward copies to y past the caches; PLAN_NONE: y itself is written */
    struct plan_array y_back; /* in backward, where recompute; max pool: room for y */
    struct plan_array dy;     /* gradient of y */
    /* of convolutions, see kernels.h, as offsets: weights in forward, in backward, for dx; sums of dw. Of a linear layer
     * with a folded norm: its weights. */
    uint64_t packed, packed_back, packed_dx, sums;
    struct plan_array aux; /* max pool: argmax; dropout: kept bytes; drop-path: factors */
    struct window window;  /* conv and pools; n is the group */
    size_t in_pixels; /* of one image of the first input: h*w; of a part, where images are split */
    uint32_t split;   /* of its segment */
    size_t y_values;  /* of one image or part */
};

struct plan_segment {
    uint32_t first, n; /* steps */
    uint32_t split;    /* parts of an image; 1: whole ones */
    uint32_t group;    /* parts at a time */
    bool backward;     /* any of its steps has something to do there */
};

/* One batch norm, of which several segments may compute the output. */
struct plan_norm {
    uint32_t index; /* node */
    uint32_t next;  /* the next norm that reads the same value */
    int c;
    struct plan_array g;   /* gradient of its output before the activation; full */
    uint64_t state;        /* offset of coefficients and sums: see net_norm.c */
    uint32_t conv;         /* training: the node into which it is folded; PLAN_NO: it is a step */
    int conv_c;            /* channels of that one's input, x here */
    struct window mix;     /* from x to its gradient, see kernels_covariance.c */
    uint64_t covariance;   /* offset of a state */
    uint64_t packed_mix;   /* of weights of mix */
    uint32_t last;         /* step in whose backward g is complete; PLAN_NO: it has no backward */
    enum plan_grad gather; /* how its part of the gradient of x is put */
    bool affine;
    float epsilon;
};

struct plan {
    struct plan_segment *segments;
    struct plan_step *steps;
    struct plan_input *inputs;
    struct plan_norm *norms;
    uint32_t n_segments, n_steps, n_inputs, n_norms;
    bool training;
    bool resident;  /* inferring: packed weights of one step are not overwritten by another */
    uint64_t bytes; /* of the arena */
    uint64_t
        activation_bytes; /* of it, values and gradients: without norms' states, packed weights and scratch */
    struct plan_array input; /* at 0: the images */
    struct plan_array
        dinput; /* PLAN_TRAIN_IMAGES: their gradient, kept; at PLAN_NONE: there is none */
    struct plan_array logits;  /* kept until the next forward */
    struct plan_array dlogits; /* at PLAN_NONE when nothing is trained */
    struct plan_array aux_logits,
        aux_dlogits;       /* of the auxiliary head, training only; at PLAN_NONE: none */
    uint32_t input_reader; /* training: norms that read the images, a chain; PLAN_NO: none */
    uint64_t scratch;      /* of convolutions; of weights while a norm is folded into them */
};

/* FARM_OK or FARM_ENOMEM. batch is at least 1; a group has at most `group` images, 0: as PLAN_GROUP_BYTES says,
 * 1: and parts of images as small as can be. */
int plan_create(struct plan **out, const struct graph *graph, uint32_t batch, uint32_t group,
                enum plan_mode mode, const struct kernels *kernels);
void plan_destroy(struct plan **self);

#endif
