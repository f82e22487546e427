/* pending.h - trials that are proposed and not done, found by number and by graph.
 *
 * It is:     memory. Of those with one graph, the first is evaluated (it leads); the others wait for its result.
 * It is not: durable (the store has each of them), or what is out in the farm (inflight.h).
 */
#ifndef NASFARM_PENDING_H
#define NASFARM_PENDING_H

#include "store.h"

struct pending_trial {
    struct trial_record record; /* its genome is owned; rung: of what it had before, if again */
    uint32_t rung;              /* that is being trained up to */
    bool again;                 /* it has a result of a lower rung */
    bool scoring; /* a proxy is to say first whether it is trained at all (prefilter.h) */
    struct pending_trial *leader;  /* NULL: it is to be evaluated itself */
    struct pending_trial *waiting; /* the next that waits for the same leader, by number */
    struct pending_trial *chain_trial, *chain_hash;
};

struct pending {
    struct pending_trial **by_trial, **by_hash; /* n_buckets each; leaders only in the latter */
    size_t n_buckets, n, n_leaders;
};

void pending_release(struct pending *self);
/* Takes over record's genome. Trials are added in the order of their numbers.
 *   twins   false: every one leads, whatever its graph
 * NULL when out of memory, and the genome stays the caller's. */
struct pending_trial *pending_add(struct pending *self, const struct trial_record *record,
                                  bool twins);
/* The one that leads those with this graph; NULL: none is pending. Not where twins were not told apart. */
struct pending_trial *pending_leader(const struct pending *self, const struct digest *hash);
struct pending_trial *pending_find(const struct pending *self, uint64_t trial);
/* Forgets one. Of those that wait for it, the first leads from now on. */
void pending_remove(struct pending *self, struct pending_trial *trial);
/* All of them by number: malloc'd, self->n of them, NULL when out of memory. */
struct pending_trial **pending_sorted(const struct pending *self);

#endif
