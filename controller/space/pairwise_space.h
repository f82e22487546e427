/* pairwise_space.h - genes of a normal and a reduction cell of five combinations, whatever the operations.
 *
 * It is:     what the spaces of the NASNet family share: four genes a combination ((input, operation) on the left, the
 *            same on the right), decoding, notation, drawing. States that no combination reads are the cell's output.
 * It is not: a list of operations: amoebanet.c and nasnet.c have theirs.
 */
#ifndef NASFARM_PAIRWISE_SPACE_H
#define NASFARM_PAIRWISE_SPACE_H

#include "pairwise.h"

#define GENES_PER_CELL  (4 * PAIRWISE_COMBINATIONS)
#define PAIRWISE_N_DIMS (2 * GENES_PER_CELL)

/* What space_ops.own points to. */
struct pairwise_genes {
    const struct dim *dims;  /* PAIRWISE_N_DIMS, made by PAIRWISE_DIMS */
    const enum cell_op *ops; /* in the order of the labels */
};

#define PAIRWISE_SIDE(cell_name, group_number, state, side, n_ops, op_labels)                      \
    {.name = cell_name "." #state "." side ".input",                                               \
     .role = DIM_INPUT,                                                                            \
     .group = group_number,                                                                        \
     .choices = state,                                                                             \
     .parent = -1},                                                                                \
    {                                                                                              \
        .name = cell_name "." #state "." side ".op", .role = DIM_OP, .group = group_number,        \
        .choices = n_ops, .labels = op_labels, .parent = -1                                        \
    }
#define PAIRWISE_COMBINATION(cell_name, group_number, state, n_ops, op_labels)                     \
    PAIRWISE_SIDE(cell_name, group_number, state, "left", n_ops, op_labels),                       \
        PAIRWISE_SIDE(cell_name, group_number, state, "right", n_ops, op_labels)
#define PAIRWISE_CELL(cell_name, group_number, n_ops, op_labels)                                   \
    PAIRWISE_COMBINATION(cell_name, group_number, 2, n_ops, op_labels),                            \
        PAIRWISE_COMBINATION(cell_name, group_number, 3, n_ops, op_labels),                        \
        PAIRWISE_COMBINATION(cell_name, group_number, 4, n_ops, op_labels),                        \
        PAIRWISE_COMBINATION(cell_name, group_number, 5, n_ops, op_labels),                        \
        PAIRWISE_COMBINATION(cell_name, group_number, 6, n_ops, op_labels)
/* The initializer of dims: labels of n_ops operations. */
#define PAIRWISE_DIMS(n_ops, op_labels)                                                            \
    {                                                                                              \
        PAIRWISE_CELL("normal", 0, n_ops, op_labels),                                              \
            PAIRWISE_CELL("reduction", 1, n_ops, op_labels)                                        \
    }

/* The functions of struct space_ops. */
int pairwise_space_open(struct space *self, struct why *why);
int pairwise_space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                          struct why *why);
char *pairwise_space_notation(const struct space *self, const struct genome *genome);
struct genome *pairwise_space_parse(const struct space *self, const char *text, struct why *why);
bool pairwise_space_cell(const struct space *self, const struct genome *genome, uint32_t which,
                         struct cell_drawing *out);
#define PAIRWISE_SPACE_FUNCTIONS                                                                   \
    .open = pairwise_space_open, .decode = pairwise_space_decode,                                  \
    .notation = pairwise_space_notation, .parse = pairwise_space_parse,                            \
    .cell = pairwise_space_cell

#endif
