/* tournament.c - evolution that kills the worst: the ancestor of regularized evolution, and its ablation.
 *
 * E. Real et al., Large-Scale Evolution of Image Classifiers (arXiv:1703.01041), asynchronous: of `sample` drawn the
 * best is a parent; a child enters when it has finished, and past the population's size the worst of a sample, or of
 * the whole population, leaves.
 */
#include <stdlib.h>

#include "population.h"
#include "variation.h"

struct tournament {
    struct population population;
    size_t capacity, sample;
    bool worst_of_all;
};

static int create(struct strategy *self)
{
    struct tournament *t = calloc(1, sizeof *t);

    if (t == NULL)
        return FARM_ENOMEM;
    t->capacity = (size_t)strategy_option_value(self, "population");
    t->sample = (size_t)strategy_option_value(self, "sample");
    t->worst_of_all = strategy_option_value(self, "worst-of-all") != 0;
    self->state = t;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    struct tournament *t = self->state;

    population_release(&t->population);
    free(t);
}

/* Of `sample` uniform draws with replacement the best (sign 1) or worst (-1); the first drawn of a tie. */
static size_t draw(struct strategy *self, double sign)
{
    struct tournament *t = self->state;
    size_t found = 0;

    for (size_t i = 0; i < t->sample; i++) {
        size_t drawn = (size_t)rng_below(&self->rng, t->population.n);

        if (i == 0 || sign * t->population.members[drawn].fitness >
                          sign * t->population.members[found].fitness)
            found = drawn;
    }
    return found;
}

static size_t worst(const struct population *p)
{
    size_t found = 0;

    for (size_t i = 1; i < p->n; i++)
        if (p->members[i].fitness < p->members[found].fitness)
            found = i;
    return found;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct tournament *t = self->state;
    size_t best;

    if (self->asked < t->capacity || t->population.n == 0) {
        space_sample(self->space, &self->rng, out);
        return FARM_OK;
    }
    best = draw(self, 1);
    *parent = t->population.members[best].trial;
    for (uint32_t i = 0; i < out->n; i++)
        out->gene[i] = t->population.individuals[best].genome->gene[i];
    mutate_genome(self->space, &self->rng, 0, out);
    return FARM_OK;
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct tournament *t = self->state;
    struct population *p = &t->population;
    int rc = FARM_OK;

    if (o->ok && (!o->again || population_find(p, o->trial) < p->n))
        rc = population_put(p, o);
    if (rc == FARM_OK && p->n > t->capacity)
        population_remove(p, t->worst_of_all ? worst(p) : draw(self, -1));
    return rc;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    const struct tournament *t = self->state;

    *members = t->population.members;
    return t->population.n;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct tournament *t = self->state;

    population_save(&t->population, out);
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct tournament *t = self->state;
    int rc = population_load(&t->population, self->space, in);

    return rc == FARM_OK && in->at != in->len ? FARM_ECORRUPT : rc;
}

static const struct strategy_option options[] = {{"population", 1, 1e6, true, 100},
                                                 {"sample", 1, 1e6, true, 25},
                                                 {"worst-of-all", 0, 1, true, 0},
                                                 {0}};

const struct strategy_kind strategy_tournament = {
    .ops = {"tournament",
            "evolution that kills the worst: population=100, sample=25 drawn, "
            "worst-of-all=0 (1: the worst of the population leaves, not of a sample)"},
    .options = options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
