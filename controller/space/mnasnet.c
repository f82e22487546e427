/* mnasnet.c - the factorised hierarchical space of MnasNet: seven blocks of equal layers, each with its own operation.
 *
 * M. Tan et al., MnasNet, arXiv:1807.11626: per block a convolution, a separable one or an MBConv of expansion 3 or 6;
 * kernel 3 or 5; squeeze-and-excitation of 0 or 0.25; no shortcut, the identity, or a pool; MobileNetV2's channels times 0.75,
 * 1 or 1.25; its layers, one fewer or one more (never none): 4 * 2 * 2 * 3 * 3 * 3 = 432 for each of seven blocks.
 */
#include <stdio.h>

#include "gene_list.h"
#include "mbconv.h"

enum { GENE_OP, GENE_KERNEL, GENE_SQUEEZE, GENE_SKIP, GENE_FILTERS, GENE_LAYERS, N_GENES };

static const char *const ops[] = {"conv", "sep", "mb3", "mb6"};
static const char *const kernels[] = {"k3", "k5"};
static const char *const squeezes[] = {"se0", "se0.25"};
static const char *const skips[] = {"none", "identity", "pool"};
static const char *const filters[] = {"x0.75", "x1", "x1.25"};
static const char *const layers[] = {"-1", "+0", "+1"};

static const struct {
    const char *name;
    const char *const *labels;
    uint32_t choices;
    bool ordered;
} genes[N_GENES] = {{"op", ops, 4, false},          {"kernel", kernels, 2, true},
                    {"squeeze", squeezes, 2, true}, {"skip", skips, 3, false},
                    {"filters", filters, 3, true},  {"layers", layers, 3, true}};

static const struct {
    uint32_t channels, layers, stride;
} blocks[] = {{16, 1, 1}, {24, 2, 2}, {32, 3, 2}, {64, 4, 2}, {96, 3, 1}, {160, 3, 2}, {320, 1, 1}};
#define N_BLOCKS 7u

static const struct space_option options[] = {CHAIN_OPTIONS, CHAIN_OPTION_DEPTH, {0}};

static int open_space(struct space *self, struct why *why)
{
    struct dim *dims;
    int rc = chain_fill(self, why);

    if (rc != FARM_OK)
        return rc;
    if ((dims = space_own_dims(self, N_BLOCKS * N_GENES)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    for (uint32_t b = 0; b < N_BLOCKS; b++)
        for (uint32_t k = 0; k < N_GENES; k++) {
            struct dim *d = &dims[b * N_GENES + k];

            (void)snprintf(d->name, sizeof d->name, "block%u.%s", b + 1, genes[k].name);
            d->role = k == GENE_OP ? DIM_OP : DIM_OTHER;
            d->group = b;
            d->choices = genes[k].choices;
            d->labels = genes[k].labels;
            d->ordered = genes[k].ordered;
        }
    return FARM_OK;
}

static uint32_t channels_of(const struct space *self, const struct genome *genome, uint32_t block)
{
    double filter = 0.75 + 0.25 * genome->gene[block * N_GENES + GENE_FILTERS];

    return by_eight(blocks[block].channels * self->option[CHAIN_WIDTH] * filter);
}

static uint32_t layers_of(const struct space *self, uint32_t block, const double *gene)
{
    uint32_t n = chain_blocks(self, blocks[block].layers) + (uint32_t)gene[GENE_LAYERS];

    return n > 2 ? n - 1 : 1;
}

static void add_layer(const double *gene, uint32_t block, uint32_t place, uint32_t before,
                      uint32_t channels, struct mbnet *net)
{
    static const enum mbconv_shortcut shortcuts[] = {MBCONV_ALONE, MBCONV_RESIDUAL, MBCONV_POOLED};
    static const uint32_t expansion[] = {1, 1, 3, 6};

    mbnet_add(net, &(struct mbconv){.kind = gene[GENE_OP] == 0 ? MBCONV_CONV : MBCONV_INVERTED,
                                    .kernel = gene[GENE_KERNEL] == 0 ? 3 : 5,
                                    .expand = expansion[(size_t)gene[GENE_OP]],
                                    .stride = place == 0 ? blocks[block].stride : 1,
                                    .channels = channels,
                                    .squeeze = gene[GENE_SQUEEZE] == 0 ? 0
                                               : before >= 4           ? before / 4
                                                                       : 1,
                                    .shortcut = shortcuts[(size_t)gene[GENE_SKIP]],
                                    .stage = block + 1,
                                    .place = place});
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct mbnet net;
    uint32_t before;

    chain_begin(self, 32, 1280, GRAPH_RELU, &net);
    before = net.stem;
    for (uint32_t b = 0; b < N_BLOCKS; b++) {
        const double *gene = &genome->gene[b * N_GENES];
        uint32_t channels = channels_of(self, genome, b);

        for (uint32_t k = 0; k < layers_of(self, b, gene); k++) {
            add_layer(gene, b, k, before, channels, &net);
            before = channels;
        }
    }
    return chain_build(self, &net, out, why);
}

const struct space_ops space_mnasnet = {
    .name = "mnasnet",
    .summary =
        "MnasNet: seven blocks of layers, each block with its own operation, 432 choices each",
    .options = options,
    .open = open_space,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
};
