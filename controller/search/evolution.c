/* evolution.c - regularized evolution, asynchronous: no generation is waited for. */
#include "evolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "strategy_kind.h"
#include "variation.h"

#define MAX_POPULATION 1000000.0
#define MAX_SAMPLE     1000000.0

int aging_population_init(struct aging_population *self, size_t capacity)
{
    size_t room = 2 * (capacity + 1);

    *self = (struct aging_population){.capacity = capacity};
    self->members = calloc(room, sizeof *self->members);
    self->genomes = calloc(room, sizeof(struct genome *));
    if (self->members != NULL && self->genomes != NULL)
        return FARM_OK;
    aging_population_release(self);
    return FARM_ENOMEM;
}

void aging_population_release(struct aging_population *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->genomes[self->first + i]);
    free(self->members);
    free(self->genomes);
    *self = (struct aging_population){0};
}

static void drop_oldest(struct aging_population *self)
{
    free(self->genomes[self->first]);
    self->first++;
    self->n--;
}

int aging_population_add(struct aging_population *self, uint64_t trial, const struct genome *genome,
                         double fitness)
{
    struct genome *copy = genome_copy(genome);

    if (copy == NULL)
        return FARM_ENOMEM;
    if (self->first + self->n ==
        2 * (self->capacity + 1)) { /* at the end: back to the front, every capacity adds */
        memmove(self->members, self->members + self->first, self->n * sizeof *self->members);
        memmove(self->genomes, self->genomes + self->first, self->n * sizeof(struct genome *));
        self->first = 0;
    }
    self->members[self->first + self->n] = (struct strategy_member){trial, fitness};
    self->genomes[self->first + self->n] = copy;
    self->n++;
    if (self->n > self->capacity)
        drop_oldest(self);
    return FARM_OK;
}

struct strategy_member *aging_population_find(const struct aging_population *self, uint64_t trial)
{
    for (size_t i = self->first; i < self->first + self->n; i++)
        if (self->members[i].trial == trial)
            return &self->members[i];
    return NULL;
}

size_t aging_population_best_of(const struct aging_population *self, const uint32_t *drawn,
                                size_t n)
{
    size_t best = drawn[0];

    for (size_t i = 1; i < n; i++)
        if (self->members[self->first + drawn[i]].fitness >
            self->members[self->first + best].fitness)
            best = drawn[i];
    return best;
}

size_t aging_population_tournament(const struct aging_population *self, struct rng *rng,
                                   size_t sample)
{
    size_t best = 0;

    for (size_t i = 0; i < sample; i++) {
        uint32_t pair[2] = {(uint32_t)best, (uint32_t)rng_below(rng, self->n)};

        best = i == 0 ? pair[1] : aging_population_best_of(self, pair, 2);
    }
    return best;
}

/* What is read of the options often. */
struct evolution {
    struct aging_population population;
    size_t sample;
    double identity;
};

static const struct strategy_option options[] = {
    {"population", 1, MAX_POPULATION, true, 100},
    {"sample", 1, MAX_SAMPLE, true, 25},
    {"identity", 0, 1, false, 0.05},
    {0},
};

/* Among one group's six operations, as in NAS-Bench-201, a child equal to its parent teaches nothing. */
static void adapt(struct strategy *self)
{
    for (uint32_t i = 1; i < self->space->n_dims; i++)
        if (self->space->dims[i].group != self->space->dims[0].group)
            return;
    for (struct strategy_option *o = self->options; o->name != NULL; o++)
        if (strcmp(o->name, "identity") == 0)
            o->value = 0;
}

static int create(struct strategy *self)
{
    struct evolution *e = calloc(1, sizeof *e);

    if (e == NULL)
        return FARM_ENOMEM;
    e->sample = (size_t)strategy_option_value(self, "sample");
    e->identity = strategy_option_value(self, "identity");
    if (aging_population_init(&e->population, (size_t)strategy_option_value(self, "population")) !=
        FARM_OK) {
        free(e);
        return FARM_ENOMEM;
    }
    self->state = e;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    struct evolution *e = self->state;

    aging_population_release(&e->population);
    free(e);
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct evolution *e = self->state;
    const struct aging_population *q = &e->population;
    size_t best;

    if (self->asked < q->capacity || q->n == 0) {
        space_sample(self->space, &self->rng, out);
        return FARM_OK;
    }
    best = q->first + aging_population_tournament(q, &self->rng, e->sample);
    *parent = q->members[best].trial;
    memcpy(out->gene, q->genomes[best]->gene, self->space->n_dims * sizeof out->gene[0]);
    mutate_genome(self->space, &self->rng, e->identity, out);
    return FARM_OK;
}

/* One that failed is no parent, and nobody makes room for it. One that is trained further grows no younger by it. */
static int tell(struct strategy *self, const struct observation *o)
{
    struct evolution *e = self->state;
    struct strategy_member *member;

    if (!o->ok)
        return FARM_OK;
    if (!o->again)
        return aging_population_add(&e->population, o->trial, o->genome, o->fitness);
    if ((member = aging_population_find(&e->population, o->trial)) != NULL)
        member->fitness = o->fitness;
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    const struct evolution *e = self->state;

    *members = e->population.members + e->population.first;
    return e->population.n;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct evolution *e = self->state;
    const struct aging_population *q = &e->population;

    state_put_u64(out, q->n);
    for (size_t i = q->first; i < q->first + q->n; i++) {
        state_put_u64(out, q->members[i].trial);
        state_put_double(out, q->members[i].fitness);
        state_put_genome(out, q->genomes[i]);
    }
}

static int load_member(const struct strategy *self, struct state_bytes *in,
                       struct aging_population *q)
{
    uint64_t trial = state_take_u64(in);
    double fitness = state_take_double(in);
    struct genome *genome = state_take_genome(in, self->space);
    int rc = FARM_ECORRUPT;

    if (genome != NULL && !isnan(fitness))
        rc = aging_population_add(q, trial, genome, fitness);
    free(genome);
    return rc;
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct evolution *e = self->state;
    struct aging_population q;
    uint64_t n = state_take_u64(in);
    int rc;

    if (in->failed || n > e->population.capacity)
        return FARM_ECORRUPT;
    if ((rc = aging_population_init(&q, e->population.capacity)) != FARM_OK)
        return rc;
    for (uint64_t i = 0; i < n && rc == FARM_OK; i++)
        rc = load_member(self, in, &q);
    if (rc == FARM_OK && in->at != in->len)
        rc = FARM_ECORRUPT;
    if (rc != FARM_OK) {
        aging_population_release(&q);
        return rc;
    }
    aging_population_release(&e->population);
    e->population = q;
    return FARM_OK;
}

const struct strategy_kind strategy_evolution = {
    .ops =
        {"evolution",
         "regularized evolution: population=100 kept, sample=25 drawn, identity=0.05 chance of an "
         "unchanged child (0 for spaces of one cell)"},
    .options = options,
    .adapt = adapt,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
