/* history.h - every trial of one search as a strategy that learns from all of them sees it.
 *
 * It is:     memory: genomes that are under way or have a result, found by trial and by genome; and its bytes.
 * It is not: the store (which is durable), nor a population (population.h: what is kept of it).
 */
#ifndef NASFARM_HISTORY_H
#define NASFARM_HISTORY_H

#include "strategy_kind.h"

enum history_state { HISTORY_PENDING, HISTORY_OK, HISTORY_FAILED };

struct history_entry {
    uint64_t trial;
    struct genome *genome; /* owned by the history */
    enum history_state state;
    double fitness, budget; /* as told last; only of HISTORY_OK */
    uint64_t note;          /* the strategy's own, from when the trial was entered */
};

/* Read freely. */
struct history {
    struct history_entry *entries; /* in the order of their trials */
    size_t n, cap, n_pending, n_ok;
    uint32_t *slots; /* open addressing over genomes: number of the entry + 1, or 0 */
    size_t n_slots;
};

/* Zeros are an empty history. */
void history_release(struct history *self);
/* A trial begins; its number is larger than those before. FARM_ENOMEM, or FARM_EINPUT for a number that is not. */
int history_enter(struct history *self, uint64_t trial, const struct genome *genome, uint64_t note);
/* What came of it, or at a larger budget came of it later. The entry, or NULL: never entered. */
struct history_entry *history_tell(struct history *self, const struct observation *observation);
struct history_entry *history_find(const struct history *self, uint64_t trial);
/* Whether this genome has been entered. */
bool history_has(const struct history *self, const struct genome *genome);

void history_save(const struct history *self, struct state_bytes *out);
/* Into an empty one; every genome must be a point of the space. */
int history_load(struct history *self, const struct space *space, struct state_bytes *in);

#endif
