/* fold.h - the search as a function of its journal: one space, one strategy, the constraints.
 *
 * It is:     what happens in the same way when a search runs and when its journal is read again: asking for a genome
 *            that keeps the constraints, telling a result, counting.
 * It is not: durable or pending work (experiment.h), nor the journal itself (store.h).
 */
#ifndef NASFARM_FOLD_H
#define NASFARM_FOLD_H

#include "experiment.h"

struct fold {
    const struct experiment_config *config; /* borrowed */
    struct space *space;
    struct strategy *strategy;
    struct genome *genome; /* of the last fold_ask() */
    uint64_t proposed, done, ok, failed, known;
    uint64_t best_trial;
    double best_fitness; /* NaN: none yet */
};

/* config is borrowed until fold_close(). */
int fold_open(struct fold *self, const struct experiment_config *config, struct why *why);
void fold_close(struct fold *self); /* all zero is fine */

/* The next proposal that keeps the constraints, into self->genome. With graph and cost (both or neither), also what it
 * decodes to; *graph is the caller's. FARM_EEXHAUSTED when FOLD_TRIES proposals in a row were past a constraint. */
#define FOLD_TRIES 10000
int fold_ask(struct fold *self, uint64_t *parent, struct graph **graph, struct graph_cost *cost,
             struct why *why);

/* A result; known: taken over from another trial. */
int fold_tell(struct fold *self, uint64_t trial, const struct genome *genome, enum outcome outcome,
              double fitness, bool known);

/* Counters and strategy as bytes (malloc'd), and back into a fold that was just opened (FARM_ECORRUPT). */
int fold_save(const struct fold *self, uint8_t **bytes, size_t *len);
int fold_load(struct fold *self, const uint8_t *bytes, size_t len);

#endif
