/* check_set.h - results that are being evaluated once more, with what has been answered so far.
 *
 * It is:     memory, and a blob of the store for each ("check.TRIAL"), put in the open transaction: after a crash the same
 *            checks are open.
 * It is not: a judgement (recheck.h), or the tasks that are out (inflight.h).
 */
#ifndef NASFARM_CHECK_SET_H
#define NASFARM_CHECK_SET_H

#include "recheck.h"
#include "store.h"

struct check {
    uint64_t trial;
    uint32_t rung;  /* that the checked result is of */
    uint32_t asked; /* number of the evaluation that is out, or is to go out: part of its key */
    uint64_t hands; /* the record's: others have a share in the first opinion */
    bool out;       /* it was proposed; not durable */
    size_t n;       /* at least 1 */
    struct opinion opinions[OPINIONS_MAX];
};
#define CHECKS_ASKED 64u /* numbers come round */

struct check_set {
    struct check *checks;
    size_t n, room;
};

void check_set_release(struct check_set *self);
/* Those of the store. FARM_OK, FARM_ENOMEM, FARM_ECORRUPT or what the store says. */
int check_set_open(struct check_set *self, struct store *store);
/* NULL: none is open. Borrowed until one is added or dropped. */
struct check *check_set_find(const struct check_set *self, uint64_t trial);
/* A new one, with the record's result as the first opinion. */
int check_set_add(struct check_set *self, struct store *store, const struct trial_record *record);
/* What has changed in it becomes durable. */
int check_set_save(struct store *store, const struct check *check);
/* The last one takes its place in the array. */
int check_set_drop(struct check_set *self, struct store *store, struct check *check);

#endif
