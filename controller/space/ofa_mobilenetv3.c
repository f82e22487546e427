/* ofa_mobilenetv3.c - the space of once-for-all: five units of 2, 3 or 4 blocks, each of kernel 3, 5 or 7 and expansion 3, 4
 * or 6, in MobileNetV3's widths.
 *
 * H. Cai et al., Once-for-All, arXiv:1908.09791; layers as in the authors' code. (3^2 3^2 + 3^3 3^3 + 3^4 3^4)^5 = 7371^5
 * architectures. The resolution is an option, not a gene: on small images nothing is gained by more pixels.
 */
#include <stdio.h>

#include "gene_list.h"
#include "mbconv.h"

#define N_UNITS        5u
#define BLOCKS         4u               /* at most, in a unit */
#define GENES_PER_UNIT (1 + 2 * BLOCKS) /* depth; kernel and expansion of each block */

static const char *const depths[] = {"2", "3", "4"};
static const char *const kernels[] = {"k3", "k5", "k7"};
static const char *const expansions[] = {"e3", "e4", "e6"};
static const uint32_t expansion[] = {3, 4, 6};

static const struct {
    uint32_t channels, stride;
    bool squeezes;
    enum graph_op activation;
} units[N_UNITS] = {{24, 2, false, GRAPH_RELU},
                    {40, 2, true, GRAPH_RELU},
                    {80, 2, false, GRAPH_H_SWISH},
                    {112, 1, true, GRAPH_H_SWISH},
                    {160, 2, true, GRAPH_H_SWISH}};

static const struct space_option options[] = {CHAIN_OPTIONS, {0}};

static void set_dim(struct dim *d, uint32_t unit, const char *const *labels)
{
    d->group = unit;
    d->choices = 3;
    d->labels = labels;
    d->ordered = true;
}

/* The third block is there from depth 3 on, the fourth from 4. */
static void set_block(struct dim *two, uint32_t unit, uint32_t block, uint32_t depth)
{
    for (uint32_t k = 0; k < 2; k++) {
        set_dim(&two[k], unit, k == 0 ? kernels : expansions);
        (void)snprintf(two[k].name, sizeof two[k].name, "unit%u.block%u.%s", unit + 1, block + 1,
                       k == 0 ? "kernel" : "expansion");
        if (block >= 2) {
            two[k].parent = (int32_t)depth;
            two[k].parent_value = block - 1;
            two[k].at_least = true;
        }
    }
}

static int open_space(struct space *self, struct why *why)
{
    struct dim *dims;
    int rc = chain_fill(self, why);

    if (rc != FARM_OK)
        return rc;
    if ((dims = space_own_dims(self, N_UNITS * GENES_PER_UNIT)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    for (uint32_t u = 0; u < N_UNITS; u++) {
        uint32_t depth = u * GENES_PER_UNIT;

        set_dim(&dims[depth], u, depths);
        (void)snprintf(dims[depth].name, sizeof dims[depth].name, "unit%u.depth", u + 1);
        for (uint32_t b = 0; b < BLOCKS; b++)
            set_block(&dims[depth + 1 + 2 * b], u, b, depth);
    }
    return FARM_OK;
}

/* The squeeze is a quarter of the expanded channels, by eight. */
static void add_block(const struct space *self, const double *genes, uint32_t unit, uint32_t place,
                      struct mbnet *net)
{
    uint32_t channels = chain_channels(self, units[unit].channels),
             before = place > 0 ? channels
                                : chain_channels(self, unit > 0 ? units[unit - 1].channels : 16),
             expand = expansion[(size_t)genes[1]];

    mbnet_add(
        net, &(struct mbconv){.kernel = 3 + 2 * (uint32_t)genes[0],
                              .expand = expand,
                              .stride = place == 0 ? units[unit].stride : 1,
                              .channels = channels,
                              .squeeze = units[unit].squeezes ? by_eight(before * expand / 4.0) : 0,
                              .gate = GRAPH_H_SIGMOID,
                              .activation = units[unit].activation,
                              .stage = unit + 1,
                              .place = place});
}

/* Option head is the number of features; what expands to it is 6 times the last unit's channels. */
static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    struct mbnet net;

    chain_begin(self, 16, 1280, GRAPH_H_SWISH, &net);
    net.features = net.last;
    net.last = chain_channels(self, 960);
    mbnet_add(&net,
              &(struct mbconv){
                  .kernel = 3, .expand = 1, .stride = 1, .channels = chain_channels(self, 16)});
    for (uint32_t u = 0; u < N_UNITS; u++) {
        const double *genes = &genome->gene[u * GENES_PER_UNIT];

        for (uint32_t b = 0; b < 2 + (uint32_t)genes[0]; b++)
            add_block(self, &genes[1 + 2 * b], u, b, &net);
    }
    return chain_build(self, &net, out, why);
}

const struct space_ops space_ofa_mobilenetv3 = {
    .name = "ofa-mobilenetv3",
    .summary =
        "once-for-all: five units of 2 to 4 MBConv blocks, kernel 3, 5, 7, expansion 3, 4, 6",
    .options = options,
    .open = open_space,
    .decode = decode,
    GENE_LIST_FUNCTIONS,
};
