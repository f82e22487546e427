/* spos_shufflenet.c - the space of single-path one-shot: 20 blocks, each one of four.
 *
 * Z. Guo et al., Single Path One-Shot Neural Architecture Search with Uniform Sampling, arXiv:1904.00420; blocks as in the
 * authors' code. 4^20 architectures. Written as there: 0, 1, 2 a ShuffleNetV2 unit of kernel 3, 5, 7; 3 the Xception-like.
 */
#include "block_choice.h"

static const char *const labels[] = {"0", "1", "2", "3"};
static const struct mbconv ops[] = {{.kind = MBCONV_SHUFFLE, .kernel = 3},
                                    {.kind = MBCONV_SHUFFLE, .kernel = 5},
                                    {.kind = MBCONV_SHUFFLE, .kernel = 7},
                                    {.kind = MBCONV_XCEPTION, .kernel = 3}};
static const struct chain_stage stages[] = {{64, 4, 2}, {160, 4, 2}, {320, 8, 2}, {640, 4, 2}};

static const struct block_choice choice = {
    .labels = labels,
    .ops = ops,
    .n_ops = 4,
    .n_first_ops = 4,
    .stages = stages,
    .n_stages = sizeof stages / sizeof stages[0],
    .stem = 16,
    .last = 1024,
    .activation = GRAPH_RELU,
    .no_bias = true,
    .stem_not_affine = true,
};

const struct space_ops space_spos_shufflenet = {
    .name = "spos-shufflenet",
    .summary = "single-path one-shot: 20 ShuffleNetV2 units of kernel 3, 5 or 7, or Xception-like",
    BLOCK_CHOICE_FUNCTIONS,
    .own = &choice,
};
