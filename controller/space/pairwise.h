/* pairwise.h - the NASNet family of cells: combinations of two hidden states, an operation on each, summed.
 *
 * It is:     the cell and its macro skeleton, for whatever list of operations a space has (cell_op.h). B. Zoph et al., arXiv:1707.07012; E. Real et al., arXiv:1802.01548; layers as in the
 *            authors' published code.
 * It is not: a space: pairwise_space.h maps genes onto it.
 */
#ifndef NASFARM_PAIRWISE_H
#define NASFARM_PAIRWISE_H

#include "cell_op.h"

#define PAIRWISE_COMBINATIONS 5u
#define PAIRWISE_STATES       (PAIRWISE_COMBINATIONS + 2)

/* State 0 is the current input, 1 the previous one, 2 + i the i-th combination's sum. */
struct pairwise_cell {
    struct {
        uint32_t input[2]; /* below 2 + i */
        enum cell_op op[2];
    } combination[PAIRWISE_COMBINATIONS];
    uint32_t keep; /* bit s: state s is part of the cell's output */
};

/* Keeps every state that no combination reads, as AmoebaNet does. */
void pairwise_keep_unused(struct pairwise_cell *self);

/* skeleton_fill(), and the stem's channels. */
int pairwise_fill(struct space_config *config, const struct skeleton_defaults defaults[3],
                  struct why *why);

/* Stem; `cells` normal cells a stage; a reduction cell before every later stage, whose channels double; ReLU, global
 * pool, linear. *out is finished and the caller's.
 *   stem "plain"           3x3 of stem_channels (by default 3 * channels) + BN
 *   stem "imagenet"        3x3 of stem_channels (32) and stride 2 without padding + BN; then two reduction cells with a
 *                          quarter and a half of the channels: 224 pixels become 28
 *   skip_reduction_input   the cell behind a reduction reads as its previous input what lies before the reduction's
 *                          input, as NASNet-A large does */
int pairwise_decode(const struct space_config *config, const struct pairwise_cell *normal,
                    const struct pairwise_cell *reduction, struct graph **out, struct why *why);

#endif
