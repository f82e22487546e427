/* asha.c - asynchronous successive halving, the promotion variant.
 *
 * L. Li et al., A System for Massively Parallel Hyperparameter Tuning (MLSys 2020, arXiv:1810.05934). Whoever is free
 * takes, from the top rung down, the best trial among the best 1/eta of a rung's results so far that has not gone on; where
 * there is none, a new trial begins. A rung counts results only, and a trial has gone on from when it was given out.
 * With several brackets a new trial draws where it begins, in the proportion of Hyperband's bracket sizes.
 */
#include <math.h>
#include <stdlib.h>

#include "rng.h"
#include "rung.h"
#include "scheduler_kind.h"

struct asha {
    uint32_t eta, n_brackets;
    struct rng rng;       /* the draw for the next new trial, once there are brackets */
    struct rung *rungs;   /* n_brackets times the ladder: bracket b has those from b on */
    uint64_t *bracket_of; /* by trial, while there are several brackets */
    size_t n_trials, cap_trials;
};

static struct rung *rung_of(const struct scheduler *self, uint64_t bracket, uint32_t rung)
{
    const struct asha *a = self->state;

    return &a->rungs[bracket * self->ladder.n + rung];
}

static void destroy(struct scheduler *self)
{
    struct asha *a = self->state;

    for (size_t i = 0; a->rungs != NULL && i < (size_t)a->n_brackets * self->ladder.n; i++)
        rung_release(&a->rungs[i]);
    free(a->rungs);
    free(a->bracket_of);
    free(a);
}

static int create(struct scheduler *self, struct why *why)
{
    struct asha *a;
    int rc = scheduler_ladder_by_factor(self, why);

    if (rc != FARM_OK)
        return rc;
    if (scheduler_option(self, "brackets") > self->ladder.n)
        return why_set(why, FARM_EINPUT, "scheduler asha: brackets=%.0f, and there are %u rungs",
                       scheduler_option(self, "brackets"), self->ladder.n);
    if ((self->state = a = calloc(1, sizeof *a)) == NULL)
        return FARM_ENOMEM;
    a->eta = (uint32_t)scheduler_option(self, "eta");
    a->n_brackets = (uint32_t)scheduler_option(self, "brackets");
    rng_seed_named(&a->rng, self->seed, "asha");
    if ((a->rungs = calloc((size_t)a->n_brackets * self->ladder.n, sizeof *a->rungs)) == NULL) {
        destroy(self);
        return FARM_ENOMEM;
    }
    return FARM_OK;
}

/* The rung's best that has not gone on, if it is among the best 1/eta of all its results. */
static const struct rung_entry *promotable(const struct rung *rung, uint32_t eta)
{
    size_t rank = 0;
    const struct rung_entry *best = rung_best_waiting(rung, &rank);

    return best != NULL && rank < rung->n / eta && isfinite(best->fitness) ? best : NULL;
}

/* Hyperband's n of a bracket that begins at this rung. */
static double weight(const struct scheduler *self, uint32_t bracket)
{
    const struct asha *a = self->state;
    uint32_t s = self->ladder.n - 1 - bracket;

    return self->ladder.n / (s + 1.0) * pow(a->eta, s);
}

/* From a copy of the stream: looking changes nothing. */
static uint64_t draw_bracket(const struct scheduler *self)
{
    const struct asha *a = self->state;
    struct rng rng = a->rng;
    double sum = 0, drawn;

    for (uint32_t b = 0; b < a->n_brackets; b++)
        sum += weight(self, b);
    drawn = rng_uniform(&rng) * sum;
    for (uint32_t b = 0; b + 1 < a->n_brackets; b++)
        if ((drawn -= weight(self, b)) < 0)
            return b;
    return a->n_brackets - 1;
}

static enum scheduler_turn next(const struct scheduler *self, bool may_begin,
                                struct scheduler_job *job)
{
    const struct asha *a = self->state;

    (void)may_begin;
    for (uint32_t rung = self->ladder.n - 1; rung-- > 0;)
        for (uint64_t b = 0; b < a->n_brackets; b++) {
            const struct rung_entry *e = promotable(rung_of(self, b, rung), a->eta);

            if (e != NULL) {
                *job = (struct scheduler_job){e->trial, rung + 1, b};
                return SCHEDULER_GO_ON;
            }
        }
    job->bracket = a->n_brackets > 1 ? draw_bracket(self) : 0;
    job->rung = (uint32_t)job->bracket;
    return SCHEDULER_BEGIN;
}

static int remember(struct asha *a, uint64_t trial, uint64_t bracket)
{
    if (trial >= a->cap_trials) {
        size_t cap = trial < 64 ? 128 : 2 * trial;
        uint64_t *bigger = realloc(a->bracket_of, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        a->bracket_of = bigger;
        a->cap_trials = cap;
    }
    while (a->n_trials <= trial)
        a->bracket_of[a->n_trials++] = 0;
    a->bracket_of[trial] = bracket;
    return FARM_OK;
}

static int enter(struct scheduler *self, enum scheduler_turn kind, const struct scheduler_job *job,
                 uint64_t trial)
{
    struct asha *a = self->state;

    if (kind == SCHEDULER_GO_ON)
        rung_promote_best(rung_of(self, job->bracket, job->rung - 1));
    if (kind != SCHEDULER_BEGIN || a->n_brackets == 1)
        return FARM_OK;
    (void)rng_uniform(&a->rng);
    return remember(a, trial, job->bracket);
}

static int tell(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness)
{
    const struct asha *a = self->state;
    uint64_t bracket = trial < a->n_trials ? a->bracket_of[trial] : 0;

    (void)ok;
    return rung_add(rung_of(self, bracket, rung), trial, fitness);
}

static bool may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung)
{
    (void)self;
    (void)trial;
    (void)rung;
    return true;
}

static void save(const struct scheduler *self, struct state_bytes *out)
{
    const struct asha *a = self->state;

    for (int i = 0; i < 4; i++)
        state_put_u64(out, a->rng.s[i]);
    for (size_t i = 0; i < (size_t)a->n_brackets * self->ladder.n; i++)
        rung_save(&a->rungs[i], out);
    state_put_u64(out, a->n_trials);
    for (size_t i = 0; i < a->n_trials; i++)
        state_put_u64(out, a->bracket_of[i]);
}

static int load(struct scheduler *self, struct state_bytes *in)
{
    struct asha *a = self->state;
    uint64_t n;
    int rc = FARM_OK;

    for (int i = 0; i < 4; i++)
        a->rng.s[i] = state_take_u64(in);
    for (size_t i = 0; i < (size_t)a->n_brackets * self->ladder.n && rc == FARM_OK; i++)
        rc = rung_load(&a->rungs[i], in);
    n = state_take_u64(in);
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        uint64_t bracket = state_take_u64(in);

        rc = bracket < a->n_brackets ? remember(a, i, bracket) : FARM_ECORRUPT;
    }
    return rc;
}

static const struct strategy_option options[] = {{"eta", 2, 100, true, 3},
                                                 {"min", 1, 1e6, true, 1},
                                                 {"max", 0, 1e6, true, 0},
                                                 {"brackets", 1, 32, true, 1},
                                                 {0}};

const struct scheduler_kind scheduler_asha = {
    .ops = {"asha",
            "asynchronous successive halving: of each rung the best 1/eta go on, eta=3, from min=1 "
            "epochs to max (all), brackets=1"},
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
