/* fbnet.c - the FBNet space: 22 layers, each one of nine blocks.
 *
 * B. Wu et al., FBNet, arXiv:1812.03443. 9^22 architectures. A block with groups (g2) has its last 1x1 in two groups, and
 * shuffles the channels before; blocks of expansion 1 have no first one, as in the authors' trained networks; a skip that changes
 * the shape is a 1x1 convolution.
 */
#include "block_choice.h"

static const char *const labels[] = {"k3e1",   "k3e1g2", "k3e3", "k3e6", "k5e1",
                                     "k5e1g2", "k5e3",   "k5e6", "skip"};
#define BLOCK(k, e, g)                                                                             \
    {                                                                                              \
        .kernel = k, .expand = e, .groups = g                                                      \
    }
static const struct mbconv ops[] = {
    BLOCK(3, 1, 1), BLOCK(3, 1, 2), BLOCK(3, 3, 1), BLOCK(3, 6, 1),        BLOCK(5, 1, 1),
    BLOCK(5, 1, 2), BLOCK(5, 3, 1), BLOCK(5, 6, 1), {.kind = MBCONV_SKIP},
};
static const struct chain_stage stages[] = {{16, 1, 1},  {24, 4, 2},  {32, 4, 2}, {64, 4, 2},
                                            {112, 4, 1}, {184, 4, 2}, {352, 1, 1}};

static const struct block_choice choice = {
    .labels = labels,
    .ops = ops,
    .n_ops = 9,
    .n_first_ops = 9,
    .stages = stages,
    .n_stages = sizeof stages / sizeof stages[0],
    .stem = 16,
    .last = 1984,
    .activation = GRAPH_RELU,
};

const struct space_ops space_fbnet = {
    .name = "fbnet",
    .summary = "FBNet: 22 layers of nine blocks: kernel 3 or 5, expansion 1, 3 or 6, groups, skip",
    BLOCK_CHOICE_FUNCTIONS,
    .own = &choice,
};
