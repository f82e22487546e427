/* block_choice.c - see block_choice.h. */
#include "block_choice.h"

#include <stdio.h>

const struct space_option block_choice_options[] = {CHAIN_OPTIONS, CHAIN_OPTION_DEPTH, {0}};

static const struct block_choice *choice_of(const struct space *self)
{
    return self->ops->own;
}

int block_choice_open(struct space *self, struct why *why)
{
    const struct block_choice *c = choice_of(self);
    uint32_t n = 0, i = 0;
    struct dim *dims;
    int rc = chain_fill(self, why);

    if (rc != FARM_OK)
        return rc;
    for (uint32_t s = 0; s < c->n_stages; s++)
        n += chain_blocks(self, c->stages[s].blocks);
    if ((dims = space_own_dims(self, n)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for dimensions");
    for (uint32_t s = 0; s < c->n_stages; s++)
        for (uint32_t b = 0; b < chain_blocks(self, c->stages[s].blocks); b++, i++) {
            (void)snprintf(dims[i].name, sizeof dims[i].name, "stage%u.block%u", s + 1, b + 1);
            dims[i].role = DIM_OP;
            dims[i].group = s;
            dims[i].labels = c->labels;
            dims[i].choices = b == 0 ? c->n_first_ops : c->n_ops;
        }
    return FARM_OK;
}

static void add_front(const struct space *self, struct mbnet *net)
{
    struct mbconv block;

    if (choice_of(self)->front == NULL)
        return;
    block = *choice_of(self)->front;
    block.stride = 1;
    block.channels = chain_channels(self, block.channels);
    mbnet_add(net, &block);
}

int block_choice_decode(const struct space *self, const struct genome *genome, struct graph **out,
                        struct why *why)
{
    const struct block_choice *c = choice_of(self);
    const double *gene = genome->gene;
    struct mbnet net;

    chain_begin(self, c->stem, c->last, c->activation, &net);
    net.no_bias = c->no_bias;
    net.stem_not_affine = c->stem_not_affine;
    add_front(self, &net);
    for (uint32_t s = 0; s < c->n_stages; s++)
        for (uint32_t b = 0; b < chain_blocks(self, c->stages[s].blocks); b++) {
            struct mbconv block = c->ops[(size_t)*gene++];

            block.stride = b == 0 ? c->stages[s].stride : 1;
            block.channels = chain_channels(self, c->stages[s].channels);
            block.stage = s + 1;
            block.place = b;
            mbnet_add(&net, &block);
        }
    return chain_build(self, &net, out, why);
}
