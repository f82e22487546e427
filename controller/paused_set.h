/* paused_set.h - the paused trainings of one search: blobs in its store, within a budget of bytes.
 *
 * It is:     what trials can go on from. Past the budget those of the least fitness are dropped; their trials, should
 *            they go on after all, are trained from the start, to the same bits.
 * It is not: part of the fold: what is kept changes no result.
 */
#ifndef NASFARM_PAUSED_SET_H
#define NASFARM_PAUSED_SET_H

#include "store.h"

struct paused_entry {
    uint64_t trial;
    double fitness;
    size_t len;
};
/* Zeros are an empty set. */
struct paused_set {
    struct paused_entry *entries; /* unordered */
    size_t n, cap;
    uint64_t bytes;
};

void paused_set_release(struct paused_set *self);
/* What the store has. */
int paused_set_open(struct paused_set *self, struct store *store);
/* Inside a transaction. max_bytes 0: no limit. A blob that is larger than all of it is not kept: FARM_OK all the same. */
int paused_set_put(struct paused_set *self, struct store *store, uint64_t max_bytes, uint64_t trial,
                   double fitness, const void *blob, size_t len);
int paused_set_drop(struct paused_set *self, struct store *store, uint64_t trial);
/* *blob is malloc'd. FARM_ENOTFOUND: none is kept. */
int paused_set_get(const struct paused_set *self, struct store *store, uint64_t trial,
                   uint8_t **blob, size_t *len);

#endif
