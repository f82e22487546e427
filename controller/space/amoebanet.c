/* amoebanet.c - the AmoebaNet space: eight operations in the cells of pairwise_space.h.
 *
 * E. Real et al., Regularized Evolution for Image Classifier Architecture Search, arXiv:1802.01548.
 * 556,627,761,561,600 encodings per cell.
 */
#include "pairwise_space.h"

/* The labels are those of ops[], in the same order. */
static const char *const op_labels[] = {"identity",     "sep_conv_3x3", "sep_conv_5x5",
                                        "sep_conv_7x7", "avg_pool_3x3", "max_pool_3x3",
                                        "dil_conv_3x3", "conv_1x7_7x1"};
static const enum cell_op ops[] = {CELL_IDENTITY, CELL_SEP3, CELL_SEP5, CELL_SEP7,
                                   CELL_AVG3,     CELL_MAX3, CELL_DIL3, CELL_CONV_1X7_7X1};
#define N_OPS (sizeof ops / sizeof ops[0])

static const struct dim dims[PAIRWISE_N_DIMS] = PAIRWISE_DIMS(N_OPS, op_labels);
static const struct pairwise_genes genes = {dims, ops};

const struct space_ops space_amoebanet = {
    .name = "amoebanet",
    .summary = "the AmoebaNet cells: normal and reduction, 5 combinations each, 8 operations, "
               "3.1e29 encodings",
    PAIRWISE_SPACE_FUNCTIONS,
    .own = &genes,
};
