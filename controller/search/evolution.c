/* evolution.c - regularized evolution, asynchronous: no generation is waited for. */
#include "evolution.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "strategy_kind.h"

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

static bool has_another_value(const struct dim *d)
{
    return d->kind == DIM_CATEGORICAL ? d->choices > 1 : d->hi > d->lo;
}

static bool can_change(const struct space *space, const struct genome *genome, uint32_t i)
{
    return has_another_value(&space->dims[i]) && space_active(space, genome, i);
}

/* A group is drawn uniformly by looking at each in the order of its first gene. */
static bool draw_group(const struct space *space, struct rng *rng, const struct genome *genome,
                       uint32_t *group)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < space->n_dims; i++) {
        bool again = false;

        if (!can_change(space, genome, i))
            continue;
        for (uint32_t k = 0; k < i && !again; k++)
            again = space->dims[k].group == space->dims[i].group && can_change(space, genome, k);
        if (!again && rng_below(rng, ++n) == 0)
            *group = space->dims[i].group;
    }
    return n > 0;
}

void mutate_genome(const struct space *space, struct rng *rng, double identity,
                   struct genome *genome)
{
    uint32_t of_role[3] = {0, 0, 0}, group = 0, roles = 0, role = 0;
    uint64_t nth;

    if (!draw_group(space, rng, genome, &group) || (identity > 0 && rng_uniform(rng) < identity))
        return;
    for (uint32_t i = 0; i < space->n_dims; i++)
        if (space->dims[i].group == group && can_change(space, genome, i))
            of_role[space->dims[i].role]++;
    for (uint32_t r = 0; r < 3; r++)
        if (of_role[r] > 0 && rng_below(rng, ++roles) == 0)
            role = r;
    nth = rng_below(rng, of_role[role]);
    for (uint32_t i = 0; i < space->n_dims; i++)
        if (space->dims[i].group == group && space->dims[i].role == role &&
            can_change(space, genome, i) && nth-- == 0) {
            space_resample(space, rng, genome, i);
            return;
        }
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

/* One that failed is no parent, and nobody makes room for it. */
static int tell(struct strategy *self, uint64_t trial, const struct genome *genome, bool ok,
                double fitness)
{
    struct evolution *e = self->state;

    return ok ? aging_population_add(&e->population, trial, genome, fitness) : FARM_OK;
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
    uint8_t *packed = malloc(genome_pack_max(self->space->n_dims));

    if (packed == NULL) {
        out->failed = true;
        return;
    }
    state_put_u64(out, q->n);
    for (size_t i = q->first; i < q->first + q->n; i++) {
        size_t len = genome_pack(q->genomes[i], packed);
        uint64_t bits;

        memcpy(&bits, &q->members[i].fitness, sizeof bits);
        state_put_u64(out, q->members[i].trial);
        state_put_u64(out, bits);
        state_put_u64(out, len);
        state_put(out, packed, len);
    }
    free(packed);
}

/* One member; the genome must be a point of the space. */
static int load_member(const struct strategy *self, struct state_bytes *in,
                       struct aging_population *q)
{
    uint64_t trial = state_take_u64(in), bits = state_take_u64(in), len = state_take_u64(in);
    const uint8_t *packed = state_take(in, len);
    struct genome *genome = packed != NULL ? genome_unpack(packed, len) : NULL;
    int rc = FARM_ECORRUPT;
    double fitness;

    memcpy(&fitness, &bits, sizeof fitness);
    if (genome != NULL && !isnan(fitness) && space_check(self->space, genome, NULL) == FARM_OK)
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
