/* nasnet.c - the NASNet space: thirteen operations in the cells of pairwise_space.h.
 *
 * B. Zoph et al., Learning Transferable Architectures for Scalable Image Recognition, arXiv:1707.07012.
 * 71,465,842,174,521,600 encodings per cell.
 */
#include "pairwise_space.h"

/* The paper's order; the labels are those of ops[]. */
static const char *const op_labels[] = {
    "identity",     "conv_1x3_3x1", "conv_1x7_7x1", "dil_conv_3x3", "avg_pool_3x3",
    "max_pool_3x3", "max_pool_5x5", "max_pool_7x7", "conv_1x1",     "conv_3x3",
    "sep_conv_3x3", "sep_conv_5x5", "sep_conv_7x7"};
static const enum cell_op ops[] = {
    CELL_IDENTITY, CELL_CONV_1X3_3X1, CELL_CONV_1X7_7X1, CELL_DIL3, CELL_AVG3, CELL_MAX3, CELL_MAX5,
    CELL_MAX7,     CELL_CONV1,        CELL_CONV3,        CELL_SEP3, CELL_SEP5, CELL_SEP7};
#define N_OPS (sizeof ops / sizeof ops[0])

static const struct dim dims[PAIRWISE_N_DIMS] = PAIRWISE_DIMS(N_OPS, op_labels);
static const struct pairwise_genes genes = {dims, ops};

const struct space_ops space_nasnet = {
    .name = "nasnet",
    .summary = "the NASNet cells: normal and reduction, 5 combinations each, 13 operations, "
               "5.1e33 encodings",
    PAIRWISE_SPACE_FUNCTIONS,
    .own = &genes,
};
