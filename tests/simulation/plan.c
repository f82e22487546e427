/* plan.c - see plan.h. */
#include "plan.h"

#include "rng.h"

#define FAULTS_BEGIN_MS 200
#define FAULTS_SPAN_MS  40000

const char *fault_name(enum fault_kind kind)
{
    static const char *const names[FAULT_KINDS] = {"drop",  "duplicate",    "reorder", "delay",
                                                   "cut",   "hold",         "reset",   "pause",
                                                   "crash", "crash inside", "stop",    "disk full"};

    return names[kind];
}

static uint32_t between(struct rng *rng, uint32_t least, uint32_t most)
{
    return least + (uint32_t)rng_below(rng, most - least + 1);
}

/* Mostly short, now and then longer than a lease. */
static int64_t length(struct rng *rng)
{
    static const uint32_t most_ms[] = {500, 3000, 12000, 30000};

    return between(rng, 1, most_ms[rng_below(rng, 4)]);
}

static uint32_t any_peer(struct rng *rng, const struct plan *plan)
{
    return rng_below(rng, 3) == 0 ? (uint32_t)PARTY_CONTROLLER
                                  : PARTY_WORKER + (uint32_t)rng_below(rng, plan->n_workers);
}

static void draw_fault(struct fault *f, struct rng *rng, const struct plan *plan)
{
    f->kind = (enum fault_kind)rng_below(rng, FAULT_KINDS);
    f->at_ms = between(rng, FAULTS_BEGIN_MS, FAULTS_SPAN_MS);
    f->length_ms = length(rng);
    f->share = (1 + (double)rng_below(rng, 10)) / 20;
    f->count = between(rng, 0, 12);
    f->silent = rng_below(rng, 2) == 0;
    f->party = any_peer(rng, plan);
    if (f->kind >= FAULT_PAUSE && rng_below(rng, 4) == 0)
        f->party = PARTY_BROKER;
    if (f->kind == FAULT_DISK_FULL)
        f->party = PARTY_CONTROLLER;
    if (f->kind == FAULT_STOP && f->party == PARTY_BROKER)
        f->kind = FAULT_CRASH; /* it has nothing to say when it is told to stop */
}

/* Trouble seldom comes alone: the same party again, as soon as it is over the last one. Who has been away is often stopped
 * then. */
static void follow(struct fault *f, const struct fault *last, struct rng *rng)
{
    bool fits = f->kind != FAULT_DISK_FULL &&
                (last->party != PARTY_BROKER || (f->kind >= FAULT_PAUSE && f->kind != FAULT_STOP));

    if (!fits)
        return;
    if (last->party >= PARTY_WORKER && rng_below(rng, 2) == 0)
        f->kind = FAULT_STOP;
    f->party = last->party;
    f->at_ms = last->at_ms + last->length_ms + (int64_t)rng_below(rng, 300);
}

static void draw_search(struct plan *out, struct rng *rng)
{
    static const struct {
        const char *name, *options;
    } strategies[] = {{"random", ""}, {"evolution", "population=5,sample=2"}, {"local-search", ""}},
      schedulers[] = {{"full", ""},
                      {"asha", "max=9"},
                      {"hyperband", "max=4,eta=2,overlap=0"},
                      {"halving", "max=4,eta=2,overlap=0"}};
    size_t strategy = rng_below(rng, 3), scheduler = rng_below(rng, 4);

    out->strategy = strategies[strategy].name;
    out->strategy_options = strategies[strategy].options;
    out->scheduler = schedulers[scheduler].name;
    out->scheduler_options = schedulers[scheduler].options;
}

void plan_draw(struct plan *out, uint64_t seed, uint32_t trials)
{
    struct rng rng;

    *out = (struct plan){.seed = seed};
    rng_seed_named(&rng, seed, "plan");
    out->n_workers = between(&rng, 1, PLAN_WORKERS_MAX);
    for (uint32_t i = 0; i < out->n_workers; i++) {
        out->slots[i] = between(&rng, 1, 2);
        out->ahead[i] = between(&rng, 0, 4);
    }
    out->trials = between(&rng, 10, 30);
    out->heartbeat_ms = between(&rng, 1, 4) * 250;
    out->lease_ms = out->heartbeat_ms * between(&rng, 3, 10);
    out->most_ms = between(&rng, 1, 5) * 1000;
    out->failures = rng_below(&rng, 2) == 0 ? 0.1 : 0;
    out->straggler = rng_below(&rng, 2) == 0 ? 1.5 : 0;
    out->final = rng_below(&rng, 2) == 0;
    draw_search(out, &rng);
    out->n_faults = between(&rng, 1, 16);
    for (uint32_t i = 0; i < out->n_faults; i++) {
        struct fault *f = &out->faults[i];

        draw_fault(f, &rng, out);
        if (i > 0 && rng_below(&rng, 2) == 0)
            follow(f, f - 1, &rng);
        if (f->at_ms + f->length_ms > out->calm_ms)
            out->calm_ms = f->at_ms + f->length_ms;
    }
    if (trials > 0)
        out->trials = trials;
}

void plan_leave_out(struct plan *self, uint32_t mask)
{
    for (uint32_t i = 0; i < self->n_faults; i++)
        if (mask >> i & 1)
            self->faults[i].at_ms = INT64_MAX; /* the others keep their numbers */
}
