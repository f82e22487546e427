/* cell_op.h - the operations that stand in a cell, made into layers: ReLU - conv - BN everywhere, separable
 * convolutions twice, as in the published code of NASNet, AmoebaNet and DARTS.
 *
 * It is:     one table of operations for every cell space: one more is one line here, and one in the space's list.
 * It is not: a cell (pairwise.h, darts.c ... say what reads what), or a space; only controller/space/ includes it.
 */
#ifndef NASFARM_CELL_OP_H
#define NASFARM_CELL_OP_H

#include "skeleton.h"

enum cell_op {
    CELL_IDENTITY,
    CELL_SEP3,
    CELL_SEP5,
    CELL_SEP7,
    CELL_AVG3,
    CELL_MAX3,
    CELL_DIL3,
    CELL_DIL5,
    CELL_CONV_1X7_7X1,
    CELL_CONV_1X3_3X1,
    CELL_MAX5,
    CELL_MAX7,
    CELL_CONV1,
    CELL_CONV3,
    CELL_CONV5,
    CELL_NONE, /* zeros */
    CELL_OP_END
};
/* "sep_conv_3x3", ...: a constant. */
const char *cell_op_label(enum cell_op op);
/* CELL_OP_END when there is none of this name; "skip_connect" and "nor_conv_1x1" are other names of two. */
enum cell_op cell_op_find(const char *label);

/* A value, and its ReLU, which all that read it share; relu 0: not made yet. */
struct cell_value {
    uint32_t id, relu;
};

struct cell_builder {
    struct graph *g;
    uint32_t channels; /* that the output of every operation has */
    bool
        factorized; /* an identity of stride 2 is a factorised reduction (DARTS), not a 1x1 of stride 2 */
    const struct space_config *config; /* its drop_path is behind every operation but identities */
    struct param_name name;
};

const struct graph_shape *cell_shape(const struct cell_builder *self, uint32_t id);
uint32_t cell_relu(struct cell_builder *self, struct cell_value *v);
/* 1x1 without a bias, named self->name + name; BN likewise. */
uint32_t cell_conv(struct cell_builder *self, uint32_t in, uint32_t channels, uint32_t stride,
                   const char *name);
uint32_t cell_norm(struct cell_builder *self, uint32_t in, const char *name);
/* Two 1x1 convolutions of stride 2, the second on the odd pixels, and BN: .a, .b, .bn. Without the ReLU of
 * graph_factorized_reduce(). */
uint32_t cell_factorized(struct cell_builder *self, uint32_t in, uint32_t channels);
/* ReLU - 1x1 - BN to the builder's channels: .conv, .bn. */
uint32_t cell_relu_conv_norm(struct cell_builder *self, struct cell_value *in, uint32_t stride);

/* Appends the operation; its parameters are named self->name + the operation's + the layer's. */
uint32_t cell_op_add(struct cell_builder *self, enum cell_op op, struct cell_value *in,
                     uint32_t stride);

#endif
