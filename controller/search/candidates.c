/* candidates.c - see candidates.h. */
#include "candidates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "variation.h"

#define TRIES 3   /* for each that is wanted */
#define NUDGE 0.1 /* deviation of a small move, of the range */

int candidates_init(struct candidates *self, size_t cap)
{
    *self = (struct candidates){.all = calloc(cap + 1, sizeof *self->all), .cap = cap};
    return self->all != NULL ? FARM_OK : FARM_ENOMEM;
}

void candidates_release(struct candidates *self)
{
    for (size_t i = 0; i < self->n; i++)
        free(self->all[i].genome);
    free(self->all);
    *self = (struct candidates){0};
}

static bool has(const struct candidates *self, const struct genome *genome)
{
    for (size_t i = 0; i < self->n; i++)
        if (genome_equal(self->all[i].genome, genome))
            return true;
    return false;
}

/* Moves numbers a little. */
static void nudge(const struct space *space, struct rng *rng, struct genome *genome)
{
    for (uint32_t i = 0; i < space->n_dims; i++) {
        const struct dim *d = &space->dims[i];
        double share;

        if (!dim_is_number(d) || !can_change(space, genome, i) || rng_below(rng, 2) == 0)
            continue;
        share = dim_share(d, genome->gene[i]) + NUDGE * rng_normal(rng);
        genome->gene[i] = dim_at(d, fmin(fmax(share, 0), 1));
    }
}

static bool has_numbers(const struct space *space)
{
    for (uint32_t i = 0; i < space->n_dims; i++)
        if (dim_is_number(&space->dims[i]))
            return true;
    return false;
}

/* parent NULL: a random genome. */
static int add(struct candidates *self, const struct space *space, struct rng *rng,
               const struct history *history, const struct history_entry *parent, size_t n)
{
    bool numbers = has_numbers(space);
    size_t wanted = self->n + n < self->cap ? self->n + n : self->cap;

    for (size_t tries = 0; tries < TRIES * n && self->n < wanted; tries++) {
        struct genome *genome =
            parent != NULL ? genome_copy(parent->genome) : genome_create(space->n_dims);

        if (genome == NULL)
            return FARM_ENOMEM;
        if (parent == NULL)
            space_sample(space, rng, genome);
        else if (numbers && rng_below(rng, 2) == 0)
            nudge(space, rng, genome);
        else
            mutate_each_gene(space, rng, 1.0 / space->n_dims, genome);
        if (history_has(history, genome) || has(self, genome) ||
            space_check(space, genome, NULL) != FARM_OK)
            free(genome);
        else
            self->all[self->n++] = (struct candidate){
                .genome = genome, .parent = parent != NULL ? parent->trial : UINT64_MAX};
    }
    return FARM_OK;
}

int candidates_mutate(struct candidates *self, const struct space *space, struct rng *rng,
                      const struct history *history, const struct history_entry *parent, size_t n)
{
    return add(self, space, rng, history, parent, n);
}

int candidates_sample(struct candidates *self, const struct space *space, struct rng *rng,
                      const struct history *history, size_t n)
{
    return add(self, space, rng, history, NULL, n);
}

/* Insertion: lists are short, and equal scores keep their order. */
void candidates_sort(struct candidates *self)
{
    for (size_t i = 1; i < self->n; i++) {
        struct candidate moved = self->all[i];
        size_t k = i;

        for (; k > 0 && self->all[k - 1].score > moved.score; k--)
            self->all[k] = self->all[k - 1];
        self->all[k] = moved;
    }
}
