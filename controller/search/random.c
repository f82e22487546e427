/* random.c - random search: every genome drawn uniformly, whatever came of the others. */
#include "strategy_kind.h"

static int create(struct strategy *self)
{
    (void)self;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    (void)self;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    *parent = UINT64_MAX;
    space_sample(self->space, &self->rng, out);
    return FARM_OK;
}

static int tell(struct strategy *self, const struct observation *observation)
{
    (void)self;
    (void)observation;
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    (void)self;
    (void)out;
}

static int load(struct strategy *self, struct state_bytes *in)
{
    (void)self;
    return in->at == in->len ? FARM_OK : FARM_ECORRUPT;
}

static const struct strategy_option options[] = {{0}};

const struct strategy_kind strategy_random = {
    .ops = {"random", "random search: uniform draws; no options"},
    .options = options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
