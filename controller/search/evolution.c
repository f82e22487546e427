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

/* One population a budget, the smallest first; a search of one budget has one. What is read of the options often. */
struct rung_population {
    double budget;
    struct aging_population q;
};
struct evolution {
    struct rung_population *rungs;
    size_t n_rungs, capacity, sample;
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
    e->capacity = (size_t)strategy_option_value(self, "population");
    e->sample = (size_t)strategy_option_value(self, "sample");
    e->identity = strategy_option_value(self, "identity");
    self->state = e;
    return FARM_OK;
}

static void release_rungs(struct evolution *e)
{
    for (size_t i = 0; i < e->n_rungs; i++)
        aging_population_release(&e->rungs[i].q);
    free(e->rungs);
    e->rungs = NULL;
    e->n_rungs = 0;
}

static void destroy(struct strategy *self)
{
    release_rungs(self->state);
    free(self->state);
}

/* The population of this budget, empty where it has had no result yet. NULL: no memory. */
static struct aging_population *population_at(struct evolution *e, double budget)
{
    struct rung_population *bigger, fresh = {.budget = budget};
    size_t at = e->n_rungs;

    while (at > 0 && e->rungs[at - 1].budget >= budget)
        at--;
    if (at < e->n_rungs && e->rungs[at].budget == budget)
        return &e->rungs[at].q;
    if ((bigger = realloc(e->rungs, (e->n_rungs + 1) * sizeof *bigger)) == NULL)
        return NULL;
    e->rungs = bigger;
    if (aging_population_init(&fresh.q, e->capacity) != FARM_OK)
        return NULL;
    memmove(bigger + at + 1, bigger + at, (e->n_rungs++ - at) * sizeof *bigger);
    bigger[at] = fresh;
    return &bigger[at].q;
}

/* Where parents are drawn from: the largest budget that fills a tournament, or the smallest. NULL: no result yet. */
static const struct aging_population *breeding(const struct evolution *e)
{
    size_t enough = e->sample < e->capacity ? e->sample : e->capacity, at = e->n_rungs;

    while (at > 1 && e->rungs[at - 1].q.n < enough)
        at--;
    return at > 0 && e->rungs[at - 1].q.n > 0 ? &e->rungs[at - 1].q : NULL;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct evolution *e = self->state;
    const struct aging_population *q = breeding(e);
    size_t best;

    if (self->asked < e->capacity || q == NULL) {
        space_sample(self->space, &self->rng, out);
        return FARM_OK;
    }
    best = q->first + aging_population_tournament(q, &self->rng, e->sample);
    *parent = q->members[best].trial;
    memcpy(out->gene, q->genomes[best]->gene, self->space->n_dims * sizeof out->gene[0]);
    mutate_genome(self->space, &self->rng, e->identity, out);
    return FARM_OK;
}

/* Version 1: one population for all budgets, a trial with what it was told last, as old as its first result. */
static int tell_last(struct evolution *e, const struct observation *o)
{
    struct aging_population *q = population_at(e, 0);
    struct strategy_member *member;

    if (q == NULL)
        return FARM_ENOMEM;
    if (!o->again)
        return aging_population_add(q, o->trial, o->genome, o->fitness);
    if ((member = aging_population_find(q, o->trial)) != NULL)
        member->fitness = o->fitness;
    return FARM_OK;
}

/* One that failed is no parent, and nobody makes room for it. */
static int tell(struct strategy *self, const struct observation *o)
{
    struct evolution *e = self->state;
    struct aging_population *q;

    if (!o->ok)
        return FARM_OK;
    if (self->rules < 2)
        return tell_last(e, o);
    q = population_at(e, o->budget);
    if (q != NULL && o->corrected) {
        struct strategy_member *member = aging_population_find(q, o->trial);

        if (member != NULL) /* otherwise it has died since */
            member->fitness = o->fitness;
        return FARM_OK;
    }
    return q != NULL ? aging_population_add(q, o->trial, o->genome, o->fitness) : FARM_ENOMEM;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    const struct aging_population *q = breeding(self->state);

    if (q == NULL)
        return 0;
    *members = q->members + q->first;
    return q->n;
}

static void save_population(const struct aging_population *q, struct state_bytes *out)
{
    state_put_u64(out, q->n);
    for (size_t i = q->first; i < q->first + q->n; i++) {
        state_put_u64(out, q->members[i].trial);
        state_put_double(out, q->members[i].fitness);
        state_put_genome(out, q->genomes[i]);
    }
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct evolution *e = self->state;

    if (self->rules < 2) {
        if (e->n_rungs > 0)
            save_population(&e->rungs[0].q, out);
        else
            state_put_u64(out, 0);
        return;
    }
    state_put_u64(out, e->n_rungs);
    for (size_t i = 0; i < e->n_rungs; i++) {
        state_put_double(out, e->rungs[i].budget);
        save_population(&e->rungs[i].q, out);
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

/* Budgets rise from one population to the next, and none is empty but the one of version 1. */
static int load_population(struct strategy *self, struct evolution *into, double budget,
                           struct state_bytes *in)
{
    uint64_t n = state_take_u64(in);
    struct aging_population *q;
    int rc = FARM_OK;

    if (in->failed || n > into->capacity || !isfinite(budget) ||
        (into->n_rungs > 0 && into->rungs[into->n_rungs - 1].budget >= budget) ||
        (n == 0 && self->rules >= 2))
        return FARM_ECORRUPT;
    if ((q = population_at(into, budget)) == NULL)
        return FARM_ENOMEM;
    for (uint64_t i = 0; i < n && rc == FARM_OK; i++)
        rc = load_member(self, in, q);
    return rc;
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct evolution *e = self->state, fresh = *e;
    uint64_t n = self->rules < 2 ? 1 : state_take_u64(in);
    int rc = in->failed ? FARM_ECORRUPT : FARM_OK;

    fresh.rungs = NULL;
    fresh.n_rungs = 0;
    for (uint64_t i = 0; i < n && rc == FARM_OK; i++)
        rc = load_population(self, &fresh, self->rules < 2 ? 0 : state_take_double(in), in);
    if (rc == FARM_OK && in->at != in->len)
        rc = FARM_ECORRUPT;
    if (rc != FARM_OK) {
        release_rungs(&fresh);
        return rc;
    }
    release_rungs(e);
    *e = fresh;
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
