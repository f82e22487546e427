/* variation.c - mutation as AmoebaNet draws it, mutation gene by gene, and two-point crossover. */
#include "variation.h"

#include <stdlib.h>

#define MUTATION_TRIES 100

static bool has_another_value(const struct dim *d)
{
    return d->kind == DIM_CATEGORICAL ? d->choices > 1 : d->hi > d->lo;
}

bool can_change(const struct space *space, const struct genome *genome, uint32_t i)
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

/* The gene that was given another value; n_dims: none. */
static uint32_t mutate_once(const struct space *space, struct rng *rng, double identity,
                            struct genome *genome)
{
    uint32_t of_role[3] = {0, 0, 0}, group = 0, roles = 0, role = 0;
    uint64_t nth;

    if (!draw_group(space, rng, genome, &group) || (identity > 0 && rng_uniform(rng) < identity))
        return space->n_dims;
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
            return i;
        }
    return space->n_dims;
}

void mutate_genome(const struct space *space, struct rng *rng, double identity,
                   struct genome *genome)
{
    struct genome *parent = space->ops->check != NULL ? genome_copy(genome) : NULL;
    uint32_t gene = mutate_once(space, rng, identity, genome);

    for (int tries = 1; parent != NULL && gene < space->n_dims; tries++) {
        if (space_check(space, genome, NULL) == FARM_OK)
            break;
        genome->gene[gene] = parent->gene[gene];
        if (tries == MUTATION_TRIES)
            break;
        gene = mutate_once(space, rng, 0, genome);
    }
    free(parent);
}

void mutate_each_gene(const struct space *space, struct rng *rng, double chance,
                      struct genome *genome)
{
    uint32_t changed = 0;

    for (uint32_t i = 0; i < space->n_dims; i++)
        if (rng_uniform(rng) < chance && can_change(space, genome, i)) {
            space_resample(space, rng, genome, i);
            changed++;
        }
    if (changed == 0)
        mutate_genome(space, rng, 0, genome);
}

void cross_genomes(struct rng *rng, const struct genome *from, struct genome *into)
{
    uint32_t a = (uint32_t)rng_below(rng, into->n), b = (uint32_t)rng_below(rng, into->n);

    for (uint32_t i = a < b ? a : b; i <= (a < b ? b : a); i++)
        into->gene[i] = from->gene[i];
}
