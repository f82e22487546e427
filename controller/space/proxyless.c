/* proxyless.c - the ProxylessNAS space: 21 blocks, each an MBConv of kernel 3, 5 or 7 and expansion 3 or 6, or, but for
 * the first of a stage, nothing.
 *
 * H. Cai et al., ProxylessNAS, arXiv:1812.00332; widths as in the authors' search code. 6^6 * 7^15 architectures.
 */
#include "block_choice.h"

static const char *const labels[] = {"k3e3", "k3e6", "k5e3", "k5e6", "k7e3", "k7e6", "skip"};
#define BLOCK(k, e)                                                                                \
    {                                                                                              \
        .kernel = k, .expand = e, .activation = GRAPH_RELU6                                        \
    }
static const struct mbconv ops[] = {BLOCK(3, 3), BLOCK(3, 6), BLOCK(5, 3),          BLOCK(5, 6),
                                    BLOCK(7, 3), BLOCK(7, 6), {.kind = MBCONV_SKIP}};
static const struct mbconv front = {
    .kernel = 3, .expand = 1, .channels = 16, .activation = GRAPH_RELU6};

static const struct chain_stage stages[] = {{24, 4, 2}, {40, 4, 2},  {80, 4, 2},
                                            {96, 4, 1}, {192, 4, 2}, {320, 1, 1}};

static const struct block_choice choice = {
    .labels = labels,
    .ops = ops,
    .n_ops = 7,
    .n_first_ops = 6,
    .stages = stages,
    .n_stages = sizeof stages / sizeof stages[0],
    .stem = 32,
    .last = 1280,
    .activation = GRAPH_RELU6,
    .front = &front,
};

const struct space_ops space_proxyless = {
    .name = "proxyless",
    .summary =
        "ProxylessNAS: 21 MBConv blocks of kernel 3, 5 or 7 and expansion 3 or 6, or skipped",
    BLOCK_CHOICE_FUNCTIONS,
    .own = &choice,
};
