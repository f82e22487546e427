/* evolution.h - the pieces of regularized evolution that can be looked at one by one: ageing and tournament.
 *
 * It is:     the aging population of E. Real et al. (arXiv:1802.01548, algorithm 1), in memory, in the asynchronous
 *            form: a child enters when it has finished, and the oldest by order of completion leaves.
 * It is not: the strategy that is asked and told (strategy.h; evolution.c puts these together).
 */
#ifndef NASFARM_EVOLUTION_H
#define NASFARM_EVOLUTION_H

#include "strategy.h"

/* The P youngest of those that finished: genomes, and beside them who they are, oldest first. */
struct aging_population {
    size_t capacity, n,
        first; /* members first .. first+n of arrays twice as long as capacity + 1 */
    struct strategy_member *members;
    struct genome **genomes;
};

int aging_population_init(struct aging_population *self, size_t capacity);
void aging_population_release(struct aging_population *self);
/* Adds a copy of the genome as the youngest; past the capacity the oldest leaves, whatever its fitness. */
int aging_population_add(struct aging_population *self, uint64_t trial, const struct genome *genome,
                         double fitness);
/* NULL: it has left, or never was here. */
struct strategy_member *aging_population_find(const struct aging_population *self, uint64_t trial);
/* Of the members drawn (numbers from 0, the oldest), the fittest; the first drawn of a tie. n at least 1. */
size_t aging_population_best_of(const struct aging_population *self, const uint32_t *drawn,
                                size_t n);
/* `sample` uniform draws with replacement, and the fittest of them. The population is not empty. */
size_t aging_population_tournament(const struct aging_population *self, struct rng *rng,
                                   size_t sample);

#endif
