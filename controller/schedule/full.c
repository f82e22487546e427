/* full.c - every trial is trained to the end at once. */
#include "scheduler_kind.h"

static int create(struct scheduler *self, struct why *why)
{
    (void)self;
    (void)why;
    return FARM_OK;
}

static void destroy(struct scheduler *self)
{
    (void)self;
}

static enum scheduler_turn next(const struct scheduler *self, bool may_begin,
                                struct scheduler_job *job)
{
    (void)self;
    (void)may_begin;
    (void)job;
    return SCHEDULER_BEGIN;
}

static int enter(struct scheduler *self, enum scheduler_turn kind, const struct scheduler_job *job,
                 uint64_t trial)
{
    (void)self;
    (void)kind;
    (void)job;
    (void)trial;
    return FARM_OK;
}

static int tell(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness)
{
    (void)self;
    (void)trial;
    (void)rung;
    (void)ok;
    (void)fitness;
    return FARM_OK;
}

static bool may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung)
{
    (void)self;
    (void)trial;
    (void)rung;
    return false;
}

static void save(const struct scheduler *self, struct state_bytes *out)
{
    (void)self;
    (void)out;
}

static int load(struct scheduler *self, struct state_bytes *in)
{
    (void)self;
    (void)in;
    return FARM_OK;
}

static const struct strategy_option options[] = {{0}};

const struct scheduler_kind scheduler_full = {
    .ops = {"full", "every trial is trained to the end at once; no options"},
    .options = options,
    .create = create,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};
