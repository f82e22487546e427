/* own_chain.c - stages of an own space made into a chain of blocks (mbconv.h). */
#include <math.h>
#include <stdlib.h>

#include "mbconv.h"
#include "own_layout.h"

struct reading {
    const struct space *space;
    const struct genome *genome;
};

/* What a key says for this genome: its only value, the gene's, or the usual one where it is not there or no choice now. */
static double value_of(const struct reading *r, const struct own_choice *choice, uint32_t gene,
                       const struct own_key *key)
{
    if (choice->n == 0)
        return key->fallback;
    if (gene == OWN_NOT_A_GENE)
        return choice->number[0];
    if (!space_active(r->space, r->genome, gene))
        return key->fallback;
    return choice->number[(size_t)r->genome->gene[gene]];
}

static enum graph_op activation_of(double word)
{
    static const enum graph_op ops[] = {GRAPH_RELU, GRAPH_RELU6, GRAPH_SWISH, GRAPH_H_SWISH};

    return ops[(size_t)word];
}

static uint32_t whole(double v)
{
    return (uint32_t)v;
}

/* in: the channels that the block reads. The squeeze is a share of those, as in EfficientNet. */
static struct mbconv block_of(const double v[BLOCK_KEYS], uint32_t in)
{
    static const enum mbconv_kind kinds[] = {MBCONV_INVERTED, MBCONV_CONV, MBCONV_SKIP,
                                             MBCONV_SHUFFLE, MBCONV_XCEPTION};
    static const enum mbconv_shortcut shortcuts[] = {MBCONV_RESIDUAL, MBCONV_ALONE, MBCONV_POOLED};
    double squeeze = floor(v[BLOCK_SE] * in);

    return (struct mbconv){.kind = kinds[(size_t)v[BLOCK_OP]],
                           .kernel = whole(v[BLOCK_KERNEL]),
                           .expand = whole(v[BLOCK_EXPAND]),
                           .groups = whole(v[BLOCK_GROUPS]),
                           .squeeze = v[BLOCK_SE] > 0 ? whole(fmax(1, squeeze)) : 0,
                           .activation = activation_of(v[BLOCK_ACTIVATION]),
                           .shortcut = shortcuts[(size_t)v[BLOCK_SHORTCUT]]};
}

/* The channels behind the stage. */
static uint32_t add_stage(const struct reading *r, const struct own_stage *stage, uint32_t number,
                          uint32_t in, struct mbnet *net)
{
    uint32_t v[STAGE_KEYS];

    for (size_t k = 0; k < STAGE_KEYS; k++)
        v[k] = whole(value_of(r, &stage->stage[k], stage->stage_gene[k], &own_stage_keys[k]));
    for (uint32_t b = 0; b < v[STAGE_DEPTH]; b++) {
        double of_block[BLOCK_KEYS];
        struct mbconv block;

        for (size_t k = 0; k < BLOCK_KEYS; k++)
            of_block[k] =
                value_of(r, &stage->block[k], stage->block_gene[b][k], &own_block_keys[k]);
        block = block_of(of_block, in);
        block.channels = v[STAGE_CHANNELS];
        block.stride = b == 0 ? v[STAGE_STRIDE] : 1;
        block.stage = number;
        block.place = b;
        mbnet_add(net, &block);
        in = v[STAGE_CHANNELS];
    }
    return in;
}

int own_chain_open(struct space *self, struct own *own, struct why *why)
{
    uint32_t n = 0;
    int rc = own_layout(own, NULL, &n, own->name, why);

    if (rc != FARM_OK)
        return rc;
    if (space_own_dims(self, n) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u dimensions", n);
    return own_layout(own, self->owned, &n, own->name, why);
}

int own_chain_decode(const struct space *self, const struct own *own, const struct genome *genome,
                     struct graph **out, struct why *why)
{
    struct reading r = {self, genome};
    struct mbnet *net = calloc(1, sizeof *net);
    double stem[STEM_KEYS], head[HEAD_KEYS];
    uint32_t in;
    int rc;

    if (net == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a network");
    for (size_t k = 0; k < STEM_KEYS; k++)
        stem[k] = value_of(&r, &own->stem[k], own->stem_gene[k], &own_stem_keys[k]);
    for (size_t k = 0; k < HEAD_KEYS; k++)
        head[k] = value_of(&r, &own->head[k], own->head_gene[k], &own_head_keys[k]);
    net->stem = in = whole(stem[STEM_CHANNELS]);
    net->stem_stride = whole(stem[STEM_STRIDE]);
    net->stem_activation = activation_of(stem[STEM_ACTIVATION]);
    net->last = whole(head[HEAD_CHANNELS]);
    net->last_activation = activation_of(head[HEAD_ACTIVATION]);
    net->dropout = (float)head[HEAD_DROPOUT];
    net->drop_path = self->config.drop_path;
    for (uint32_t i = 0; i < own->n_stages; i++)
        in = add_stage(&r, &own->stages[i], i, in, net);
    mbnet_drop_strides(net, self->config.input);
    rc = mbnet_build(net, self->config.input, self->config.classes, out, why);
    free(net);
    return rc;
}
