/* population.h - individuals that a strategy keeps because they are good, in the order in which they entered.
 *
 * It is:     memory, with its bytes.
 * It is not: the aging population, which drops the oldest (evolution.h), nor a rule of who leaves.
 */
#ifndef NASFARM_POPULATION_H
#define NASFARM_POPULATION_H

#include "strategy_kind.h"

struct individual {
    struct genome *genome; /* owned by the population */
    double violation, objective[OBJECTIVES_MAX];
};

/* Read freely; members[i] and individuals[i] are one. */
struct population {
    struct strategy_member *members;
    struct individual *individuals;
    size_t n, cap;
    uint32_t n_objectives; /* of the first that entered */
};

/* Zeros are an empty population. */
void population_release(struct population *self);
/* A copy enters at the end; one that is here already gets the new numbers and stays in its place. */
int population_put(struct population *self, const struct observation *observation);
void population_remove(struct population *self, size_t at);
/* self->n when it is not here. */
size_t population_find(const struct population *self, uint64_t trial);
bool population_has_genome(const struct population *self, const struct genome *genome);

void population_save(const struct population *self, struct state_bytes *out);
/* Into an empty one. */
int population_load(struct population *self, const struct space *space, struct state_bytes *in);

#endif
