/* population.c - two arrays side by side. */
#include "population.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void population_release(struct population *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->individuals[i].genome);
    free(self->members);
    free(self->individuals);
    *self = (struct population){0};
}

static int grow(struct population *self)
{
    size_t cap = self->cap > 0 ? 2 * self->cap : 64;
    struct strategy_member *members;
    struct individual *individuals;

    if (self->n < self->cap)
        return FARM_OK;
    if ((members = realloc(self->members, cap * sizeof *members)) == NULL)
        return FARM_ENOMEM;
    self->members = members;
    if ((individuals = realloc(self->individuals, cap * sizeof *individuals)) == NULL)
        return FARM_ENOMEM;
    self->individuals = individuals;
    self->cap = cap;
    return FARM_OK;
}

size_t population_find(const struct population *self, uint64_t trial)
{
    size_t i = 0;

    while (i < self->n && self->members[i].trial != trial)
        i++;
    return i;
}

bool population_has_genome(const struct population *self, const struct genome *genome)
{
    for (size_t i = 0; i < self->n; i++)
        if (genome_equal(self->individuals[i].genome, genome))
            return true;
    return false;
}

int population_put(struct population *self, const struct observation *o)
{
    size_t at = o->again ? population_find(self, o->trial) : self->n;
    struct individual *individual;

    if (at == self->n) {
        struct genome *copy = genome_copy(o->genome);

        if (copy == NULL || grow(self) != FARM_OK) {
            free(copy);
            return FARM_ENOMEM;
        }
        self->individuals[self->n++] = (struct individual){.genome = copy};
    }
    if (self->n == 1)
        self->n_objectives = o->n_objectives;
    self->members[at] = (struct strategy_member){o->trial, o->fitness};
    individual = &self->individuals[at];
    individual->violation = o->violation;
    memcpy(individual->objective, o->objective, sizeof individual->objective);
    return FARM_OK;
}

void population_remove(struct population *self, size_t at)
{
    size_t behind = --self->n - at;

    free(self->individuals[at].genome);
    memmove(self->members + at, self->members + at + 1, behind * sizeof *self->members);
    memmove(self->individuals + at, self->individuals + at + 1, behind * sizeof *self->individuals);
}

void population_save(const struct population *self, struct state_bytes *out)
{
    state_put_u64(out, self->n);
    state_put_u64(out, self->n_objectives);
    for (size_t i = 0; i < self->n; i++) {
        const struct individual *individual = &self->individuals[i];

        state_put_u64(out, self->members[i].trial);
        state_put_double(out, self->members[i].fitness);
        state_put_double(out, individual->violation);
        for (uint32_t k = 0; k < self->n_objectives; k++)
            state_put_double(out, individual->objective[k]);
        state_put_genome(out, individual->genome);
    }
}

static int load_individual(struct population *self, const struct space *space,
                           uint32_t n_objectives, struct state_bytes *in)
{
    struct observation o = {.ok = true, .n_objectives = n_objectives};
    struct genome *genome;
    bool whole;
    int rc = FARM_ECORRUPT;

    o.trial = state_take_u64(in);
    o.fitness = state_take_double(in);
    o.violation = state_take_double(in);
    whole = !isnan(o.fitness) && !isnan(o.violation);
    for (uint32_t k = 0; k < n_objectives; k++) {
        o.objective[k] = state_take_double(in);
        whole = whole && !isnan(o.objective[k]);
    }
    o.genome = genome = state_take_genome(in, space);
    if (genome != NULL && whole)
        rc = population_put(self, &o);
    free(genome);
    return rc;
}

int population_load(struct population *self, const struct space *space, struct state_bytes *in)
{
    uint64_t n = state_take_u64(in), n_objectives = state_take_u64(in);
    int rc = in->failed || n_objectives > OBJECTIVES_MAX ? FARM_ECORRUPT : FARM_OK;

    for (uint64_t i = 0; i < n && rc == FARM_OK; i++)
        rc = load_individual(self, space, (uint32_t)n_objectives, in);
    return rc;
}
