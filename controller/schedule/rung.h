/* rung.h - the results at one budget, in the order of their fitness.
 *
 * It is:     a sorted list of trials, and of those that have not gone on. Of equal ones the earlier comes first.
 * It is not: a rule of who goes on: the schedules ask for ranks.
 */
#ifndef NASFARM_RUNG_H
#define NASFARM_RUNG_H

#include "state.h"

struct rung_entry {
    uint64_t trial, arrival;
    double fitness;
};

/* Entries in order, in pieces: one more moves a piece of them and not all. Zeros are an empty one. */
struct rung_list {
    struct rung_piece *pieces; /* none is empty */
    size_t n_pieces, cap_pieces, n;
};

/* Zeros are an empty rung. Both lists have the best at their end. */
struct rung {
    struct rung_list all, waiting; /* waiting: have not gone on */
    size_t n;                      /* of all */
};

void rung_release(struct rung *self);
/* FARM_OK or FARM_ENOMEM. */
int rung_add(struct rung *self, uint64_t trial, double fitness);
/* The i-th from the worst, i below n. Borrowed until the next rung_add(). */
const struct rung_entry *rung_at(const struct rung *self, size_t i);
/* The best that has not gone on, and in *rank how many are better than it; NULL: none. */
const struct rung_entry *rung_best_waiting(const struct rung *self, size_t *rank);
/* Takes the best that waits off the list of those that wait. */
void rung_promote_best(struct rung *self);
/* The fitness that a share of all results is at or below (linear between them, as numpy's percentile). n is not 0. */
double rung_percentile(const struct rung *self, double share);

void rung_save(const struct rung *self, struct state_bytes *out);
int rung_load(struct rung *self, struct state_bytes *in);

#endif
