/* scheduler.h - how long a trial is trained before it is looked at, and whether it goes on: a deterministic fold.
 *
 * It is:     a state machine beside the strategy. Trials climb a ladder of budgets (ladder.h); each rung that a trial
 *            finishes is told, and the scheduler says what runs next: a new trial, or one that goes on to its next rung
 *            from the weights it stopped with.
 * It is not: a choice of genomes (strategy.h), nor aware of workers and time. A job that is lost is given out again by
 *            the farm; the scheduler hears of results only.
 *
 * scheduler_next() looks and changes nothing; what was taken is told with scheduler_enter(). So a proposal that fails
 * leaves no trace, and replaying the same calls gives the same state, bit for bit.
 */
#ifndef NASFARM_SCHEDULER_H
#define NASFARM_SCHEDULER_H

#include "err.h"
#include "ladder.h"

struct scheduler;

struct scheduler_ops {
    const char *name, *summary; /* summary names its options and their defaults */
};

/* options: "eta=3,min=1,max=27" ("": all defaults); max defaults to `epochs`.
 * FARM_EINPUT names an unknown scheduler or option and lists the known, or says the range. */
int scheduler_create(struct scheduler **out, const char *name, const char *options, uint32_t epochs,
                     uint64_t seed, struct why *why);
void scheduler_destroy(struct scheduler **self);
/* NULL-terminated. */
const struct scheduler_ops *const *scheduler_all(void);

/* The budgets of its rungs, in epochs. One that has a single rung trains every trial to the end at once. */
const struct ladder *scheduler_ladder(const struct scheduler *self);

struct scheduler_job {
    uint64_t trial;   /* SCHEDULER_GO_ON */
    uint32_t rung;    /* to be trained up to */
    uint64_t bracket; /* the schedule's own */
};
enum scheduler_turn {
    SCHEDULER_BEGIN, /* a new trial, up to job->rung */
    SCHEDULER_GO_ON, /* job->trial, from its last rung up to job->rung */
    SCHEDULER_WAIT,  /* nothing until a result comes */
};
/* may_begin is false when no new trial is wanted any more: then a rung that is not full is as full as it gets, and
 * SCHEDULER_BEGIN does not come. */
enum scheduler_turn scheduler_next(const struct scheduler *self, bool may_begin,
                                   struct scheduler_job *job);
/* The job that scheduler_next() named is taken; a new trial has this number. FARM_OK or FARM_ENOMEM. */
int scheduler_enter(struct scheduler *self, enum scheduler_turn kind,
                    const struct scheduler_job *job, uint64_t trial);
/* A trial's result at a rung; larger is better. ok is false for one that failed: it goes no further. */
int scheduler_tell(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness);
/* Whether this trial can still be told to go on. Its weights are worth keeping only then. */
bool scheduler_may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung);

/* As strategy_save() and strategy_load(). */
int scheduler_save(const struct scheduler *self, uint8_t **bytes, size_t *len);
int scheduler_load(struct scheduler *self, const uint8_t *bytes, size_t len);

#endif
