/* trust.h - workers whose results two others have refuted: after one such result that should have been the same to the
 * bit, or two that were beyond the noise, a worker is not trusted any more by this search.
 *
 * It is:     names and strikes, in memory and as one text of the store ("trust"), put in the open transaction.
 * It is not: a judgement (recheck.h), or the broker's business: it is told with each task who must not have it.
 */
#ifndef NASFARM_TRUST_H
#define NASFARM_TRUST_H

#include "store.h"

#define TRUST_STRIKES 2u

struct strikes {
    char worker[LIMIT_NAME + 1];
    uint32_t n; /* TRUST_STRIKES: out */
};

struct trust {
    struct strikes *workers;
    size_t n, room;
    size_t n_out;
    uint64_t bits_out; /* the worker_bit() of each that is out */
};

void trust_release(struct trust *self);
/* What the store says; only what is there is changed. */
int trust_open(struct trust *self, struct store *store);
bool trust_allows(const struct trust *self, const char *worker);
/* exact: proof enough. *lost: it is not trusted from now on, and was before. FARM_OK, FARM_ENOMEM. */
int trust_strike(struct trust *self, struct store *store, const char *worker, bool exact,
                 bool *lost);

#endif
