/* candidates.h - genomes that a model is asked about: mutants of good ones, and random ones. None is a trial already.
 *
 * It is:     a list of different genomes that the space admits.
 * It is not: a choice among them.
 */
#ifndef NASFARM_CANDIDATES_H
#define NASFARM_CANDIDATES_H

#include "history.h"

struct candidate {
    struct genome *genome; /* owned by the list */
    uint64_t parent;       /* a trial; UINT64_MAX: random */
    double score;          /* for whoever asks */
};
struct candidates {
    struct candidate *all;
    size_t n, cap;
};

/* An empty list with room for cap. FARM_ENOMEM. */
int candidates_init(struct candidates *self, size_t cap);
void candidates_release(struct candidates *self);
/* Adds up to n mutants of a trial, as far as there is room: about one gene each has another value; every other time
 * numbers only move a little. */
int candidates_mutate(struct candidates *self, const struct space *space, struct rng *rng,
                      const struct history *history, const struct history_entry *parent, size_t n);
/* Adds up to n random ones. */
int candidates_sample(struct candidates *self, const struct space *space, struct rng *rng,
                      const struct history *history, size_t n);
/* The smallest score first; of equals whoever was there first. */
void candidates_sort(struct candidates *self);

#endif
