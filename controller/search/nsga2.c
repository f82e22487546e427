/* nsga2.c - several objectives: NSGA-II (K. Deb et al. 2002), one child at a time so that no generation is waited for.
 *
 * Parents by binary tournament: the earlier front, then the larger crowding distance, then a coin. Children by two-point
 * crossover and a chance of one gene in the genome's length. A child enters when it has finished; past the population's
 * size the most crowded of the last front leaves.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pareto.h"
#include "population.h"
#include "variation.h"

#define FRESH_TRIES 10 /* for a child that is not in the population already */

struct nsga2 {
    struct population population;
    size_t capacity;
    double crossover;
    uint32_t *rank, *front; /* capacity + 1 each, of the population as it is */
    double *crowding, *objectives, *violations;
};

static void release(struct nsga2 *n)
{
    population_release(&n->population);
    free(n->rank);
    free(n->front);
    free(n->crowding);
    free(n->objectives);
    free(n->violations);
    free(n);
}

static int create(struct strategy *self)
{
    struct nsga2 *n = calloc(1, sizeof *n);
    size_t room;

    if (n == NULL)
        return FARM_ENOMEM;
    n->capacity = (size_t)strategy_option_value(self, "population");
    n->crossover = strategy_option_value(self, "crossover");
    room = n->capacity + 1;
    n->rank = calloc(room, sizeof *n->rank);
    n->front = calloc(room, sizeof *n->front);
    n->crowding = calloc(room, sizeof *n->crowding);
    n->objectives = calloc(room * OBJECTIVES_MAX, sizeof *n->objectives);
    n->violations = calloc(room, sizeof *n->violations);
    if (n->rank == NULL || n->front == NULL || n->crowding == NULL || n->objectives == NULL ||
        n->violations == NULL) {
        release(n);
        return FARM_ENOMEM;
    }
    self->state = n;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    release(self->state);
}

/* Ranks and crowding of the whole population; *last is the number of the last front. */
static int assess(struct nsga2 *n, size_t *last)
{
    const struct population *p = &n->population;
    struct pareto_set set = {n->objectives, n->violations, p->n, p->n_objectives};
    size_t fronts;

    for (size_t i = 0; i < p->n; i++) {
        memcpy(n->objectives + i * set.m, p->individuals[i].objective, set.m * sizeof(double));
        n->violations[i] = p->individuals[i].violation;
    }
    if ((fronts = pareto_fronts(&set, n->rank)) == SIZE_MAX)
        return FARM_ENOMEM;
    for (size_t f = 0; f < fronts; f++) {
        size_t n_front = 0;

        for (size_t i = 0; i < p->n; i++)
            if (n->rank[i] == f)
                n->front[n_front++] = (uint32_t)i;
        pareto_crowding(&set, n->front, n_front, n->crowding);
    }
    *last = fronts - 1;
    return FARM_OK;
}

static bool better(const struct nsga2 *n, size_t a, size_t b)
{
    if (n->rank[a] != n->rank[b])
        return n->rank[a] < n->rank[b];
    return n->crowding[a] > n->crowding[b];
}

/* The first drawn wins where neither is better: that is the coin. */
static size_t draw_parent(struct strategy *self)
{
    struct nsga2 *n = self->state;
    size_t a = (size_t)rng_below(&self->rng, n->population.n);
    size_t b = (size_t)rng_below(&self->rng, n->population.n);

    return better(n, b, a) ? b : a;
}

static uint64_t breed(struct strategy *self, struct genome *out)
{
    struct nsga2 *n = self->state;
    size_t a = draw_parent(self), b = draw_parent(self);

    memcpy(out->gene, n->population.individuals[a].genome->gene, out->n * sizeof out->gene[0]);
    if (rng_uniform(&self->rng) < n->crossover)
        cross_genomes(&self->rng, n->population.individuals[b].genome, out);
    mutate_each_gene(self->space, &self->rng, 1.0 / (double)out->n, out);
    return n->population.members[a].trial;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct nsga2 *n = self->state;

    if (self->asked < n->capacity || n->population.n == 0) {
        space_sample(self->space, &self->rng, out);
        return FARM_OK;
    }
    for (int tries = 0; tries < FRESH_TRIES; tries++) {
        *parent = breed(self, out);
        if (!population_has_genome(&n->population, out))
            break;
    }
    return FARM_OK;
}

/* Of the last front the smallest crowding distance leaves; of a tie the youngest. */
static size_t least(const struct nsga2 *n, size_t last)
{
    size_t found = SIZE_MAX;

    for (size_t i = 0; i < n->population.n; i++)
        if (n->rank[i] == last && (found == SIZE_MAX || n->crowding[i] <= n->crowding[found]))
            found = i;
    return found;
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct nsga2 *n = self->state;
    struct population *p = &n->population;
    size_t last = 0;
    int rc;

    if (!o->ok || (o->again && population_find(p, o->trial) == p->n))
        return FARM_OK;
    if ((rc = population_put(p, o)) != FARM_OK || (rc = assess(n, &last)) != FARM_OK)
        return rc;
    if (p->n <= n->capacity)
        return FARM_OK;
    population_remove(p, least(n, last));
    return assess(n, &last);
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    const struct nsga2 *n = self->state;

    *members = n->population.members;
    return n->population.n;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct nsga2 *n = self->state;

    population_save(&n->population, out);
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct nsga2 *n = self->state;
    size_t last = 0;
    int rc = population_load(&n->population, self->space, in);

    if (rc == FARM_OK && (in->at != in->len || n->population.n > n->capacity))
        rc = FARM_ECORRUPT;
    return rc == FARM_OK && n->population.n > 0 ? assess(n, &last) : rc;
}

static const struct strategy_option options[] = {
    {"population", 2, 2000, true, 50}, {"crossover", 0, 1, false, 0.9}, {0}};

const struct strategy_kind strategy_nsga2 = {
    .ops = {"nsga2", "NSGA-II, for several objectives: population=50, crossover=0.9 chance of two "
                     "parents"},
    .options = options,
    .takes_objectives = true,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
