/* scheduler_kind.h - what one kind of scheduler gives to schedule.c. Only controller/schedule/ includes it. */
#ifndef NASFARM_SCHEDULER_KIND_H
#define NASFARM_SCHEDULER_KIND_H

#include "number_options.h"
#include "scheduler.h"
#include "state.h"

#define SCHEDULER_OPTIONS_MAX 10

struct scheduler {
    const struct scheduler_kind *kind;
    uint64_t seed;
    struct ladder ladder;
    struct strategy_option options[SCHEDULER_OPTIONS_MAX]; /* ends at a NULL name */
    void *state;                                           /* the kind's own */
};

struct scheduler_kind {
    struct scheduler_ops ops;
    const struct strategy_option *options;                  /* max = 0: the recipe's epochs */
    int (*create)(struct scheduler *self, struct why *why); /* sets ladder and state */
    void (*destroy)(struct scheduler *self);
    enum scheduler_turn (*next)(const struct scheduler *self, bool may_begin,
                                struct scheduler_job *job);
    int (*enter)(struct scheduler *self, enum scheduler_turn kind, const struct scheduler_job *job,
                 uint64_t trial);
    int (*tell)(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness);
    bool (*may_go_on)(const struct scheduler *self, uint64_t trial, uint32_t rung);
    void (*save)(const struct scheduler *self, struct state_bytes *out);
    int (*load)(struct scheduler *self, struct state_bytes *in);
};

double scheduler_option(const struct scheduler *self, const char *name);
/* A ladder from the options min, max and eta; FARM_EINPUT when min is above max. */
int scheduler_ladder_by_factor(struct scheduler *self, struct why *why);

extern const struct scheduler_kind scheduler_full, scheduler_asha, scheduler_hyperband,
    scheduler_halving, scheduler_asha_stop, scheduler_median, scheduler_curve;

#endif
