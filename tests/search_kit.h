/* search_kit.h - a whole search without sockets, for tests of its store: the same events in the same order, however often
 * and wherever it is cut off.
 *
 * What a turn does is a function of what is committed: propose until WINDOW trials are pending, give the oldest ones
 * their results, commit. Results are functions of (trial, rung); some fail; trials pause and go on under a schedule, so
 * that weights come and go as blobs.
 */
#ifndef NASFARM_SEARCH_KIT_H
#define NASFARM_SEARCH_KIT_H

#include "experiment.h"

struct search_kit {
    struct experiment *experiment;
    size_t blob_bytes; /* of each result */
    uint64_t n_recorded;
    bool ended; /* every trial is recorded */
};

/* The search of `trials` trials in the new store dir. */
int search_kit_create(struct search_kit *out, const char *dir, uint64_t trials, struct why *why);
int search_kit_open(struct search_kit *out, const char *dir, struct why *why);
void search_kit_close(struct search_kit *self);

/* Up to the commit, which the caller may repeat until it succeeds. */
int search_kit_turn(struct search_kit *self, struct why *why);
int search_kit_commit(struct search_kit *self, struct why *why);
/* Turns and commits to the end. */
int search_kit_run(struct search_kit *self, struct why *why);

/* What the search in dir has come to: the digest of its journal and of its state, replayed. */
int search_kit_digest(const char *dir, struct digest *out, struct why *why);

#endif
