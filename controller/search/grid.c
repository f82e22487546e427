/* grid.c - every point of a space once, in order: the last dimension fastest; real dimensions at some levels. An
 * inactive gene stays at its first value, so that no network comes twice for it. */
#include <stdlib.h>
#include <string.h>

#include "levels.h"
#include "strategy_kind.h"

struct grid {
    uint64_t *digit; /* one a dimension: which of its values comes next */
    bool ended;
};

static uint64_t n_levels(const struct strategy *self, const struct dim *d)
{
    return levels_of(d, UINT64_MAX, (uint64_t)strategy_option_value(self, "levels"));
}

static int create(struct strategy *self)
{
    struct grid *g = calloc(1, sizeof *g);

    if (g != NULL && (g->digit = calloc(self->space->n_dims + 1, sizeof *g->digit)) == NULL) {
        free(g);
        g = NULL;
    }
    self->state = g;
    return g != NULL ? FARM_OK : FARM_ENOMEM;
}

static void destroy(struct strategy *self)
{
    struct grid *g = self->state;

    free(g->digit);
    free(g);
}

static void write_genome(const struct strategy *self, struct genome *out)
{
    const struct grid *g = self->state;

    for (uint32_t i = 0; i < self->space->n_dims; i++)
        out->gene[i] =
            level_value(&self->space->dims[i], g->digit[i], n_levels(self, &self->space->dims[i]));
}

/* Counts on by one in the digits of the dimensions that are active; false at the end. Digits behind the one that moves
 * begin again, and those that this makes inactive stay there. */
static bool step(struct strategy *self, const struct genome *now)
{
    struct grid *g = self->state;

    for (uint32_t i = self->space->n_dims; i-- > 0;) {
        if (!space_active(self->space, now, i))
            continue;
        if (g->digit[i] + 1 < n_levels(self, &self->space->dims[i])) {
            g->digit[i]++;
            return true;
        }
        g->digit[i] = 0;
    }
    return false;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct grid *g = self->state;

    *parent = UINT64_MAX;
    if (g->ended)
        return FARM_EEXHAUSTED;
    write_genome(self, out);
    g->ended = !step(self, out);
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
    const struct grid *g = self->state;

    state_put_u64(out, g->ended);
    for (uint32_t i = 0; i < self->space->n_dims; i++)
        state_put_u64(out, g->digit[i]);
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct grid *g = self->state;

    g->ended = state_take_u64(in) != 0;
    for (uint32_t i = 0; i < self->space->n_dims; i++) {
        g->digit[i] = state_take_u64(in);
        if (g->digit[i] >= n_levels(self, &self->space->dims[i]))
            return FARM_ECORRUPT;
    }
    return !in->failed && in->at == in->len ? FARM_OK : FARM_ECORRUPT;
}

static const struct strategy_option options[] = {{"levels", 1, 1000, true, 5}, {0}};

const struct strategy_kind strategy_grid = {
    .ops = {"grid", "every point once, in order; levels=5 values of each real dimension"},
    .options = options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
