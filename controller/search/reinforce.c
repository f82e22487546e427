/* reinforce.c - a policy over genes that is taught by rewards. Two strategies:
 *
 * reinforce       one softmax a gene: the baseline of NAS-Bench-201 (X. Dong, Y. Yang 2020, arXiv:2001.00326), REINFORCE with a
 *                 moving average as baseline, a step a result;
 * reinforce-lstm  the controller of NASNet (B. Zoph et al. 2018, arXiv:1707.07012): an LSTM over the genes, PPO, an entropy
 *                 bonus, a step every `batch` results.
 *
 * The probability that a genome had when it became a trial stays with it: PPO divides by it, so that a result which comes
 * after many steps counts for what it is worth. Genes that are not active are drawn, but neither rewarded nor blamed.
 * Numbers are drawn from levels. A trial that is told again at a larger budget teaches again. A failure is worth the worst
 * reward so far.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adam.h"
#include "history.h"
#include "levels.h"
#include "policy.h"
#include "policy_gradient.h"

#define ALL_WHOLE                                                                                  \
    64            /* whole numbers of up to so many values are choices, longer ranges are levels */
#define TRIES 100 /* for a genome that the space admits */

struct lesson {
    uint64_t trial;
    double advantage;
};

struct reinforce {
    struct history history; /* notes: the bits of log pi when the trial was entered */
    struct policy policy;
    struct adam adam;
    float *mean, *square; /* Adam's */
    struct baseline baseline;
    double worst;           /* reward; NAN before the first one */
    struct lesson *lessons; /* of the batch that fills */
    size_t n_lessons, batch;
    uint32_t *values; /* scratch: one genome's choices, and which of them count */
    bool *counts;
};

static void release(struct reinforce *r)
{
    history_release(&r->history);
    policy_release(&r->policy);
    free(r->mean);
    free(r->square);
    free(r->lessons);
    free(r->values);
    free(r->counts);
    free(r);
}

static int create_policy(struct strategy *self, struct reinforce *r)
{
    uint32_t n = self->space->n_dims;
    uint64_t levels = (uint64_t)strategy_option_value(self, "levels");
    struct rng rng;

    for (uint32_t i = 0; i < n; i++)
        r->values[i] = (uint32_t)levels_of(&self->space->dims[i], ALL_WHOLE, levels);
    rng_seed_named(&rng, self->seed, "policy");
    return policy_init(&r->policy, r->values, n, (uint32_t)strategy_option_value(self, "hidden"),
                       &rng);
}

static int create(struct strategy *self)
{
    struct reinforce *r = calloc(1, sizeof *r);
    uint32_t n = self->space->n_dims;

    if (r == NULL)
        return FARM_ENOMEM;
    r->batch = (size_t)strategy_option_value(self, "batch");
    r->adam = (struct adam){strategy_option_value(self, "lr"), 0.9, 0.999, 1e-8, 0};
    r->baseline = (struct baseline){.decay = strategy_option_value(self, "baseline"),
                                    .corrected = strategy_option_value(self, "corrected") > 0};
    r->worst = NAN;
    r->values = calloc(n + 1, sizeof *r->values);
    r->counts = calloc(n + 1, sizeof *r->counts);
    r->lessons = calloc(r->batch, sizeof *r->lessons);
    if (r->values != NULL && r->counts != NULL && r->lessons != NULL &&
        create_policy(self, r) == FARM_OK) {
        r->mean = calloc(r->policy.n_weights + 1, sizeof *r->mean);
        r->square = calloc(r->policy.n_weights + 1, sizeof *r->square);
    }
    if (r->mean == NULL || r->square == NULL) {
        release(r);
        return FARM_ENOMEM;
    }
    self->state = r;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    release(self->state);
}

static void write_genome(const struct strategy *self, struct genome *out)
{
    const struct reinforce *r = self->state;

    for (uint32_t i = 0; i < out->n; i++)
        out->gene[i] = level_value(&self->space->dims[i], r->values[i], r->policy.choices[i]);
}

static void read_genome(const struct strategy *self, const struct genome *genome)
{
    struct reinforce *r = self->state;

    for (uint32_t i = 0; i < genome->n; i++) {
        r->values[i] =
            (uint32_t)level_of(&self->space->dims[i], genome->gene[i], r->policy.choices[i]);
        r->counts[i] = space_active(self->space, genome, i);
    }
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct reinforce *r = self->state;
    bool admitted = false;

    *parent = UINT64_MAX;
    for (int tries = 0; tries < TRIES && !admitted; tries++) {
        policy_sample(&r->policy, &self->rng, r->values);
        write_genome(self, out);
        admitted = space_check(self->space, out, NULL) == FARM_OK;
    }
    if (!admitted)
        space_sample(self->space, &self->rng, out);
    return FARM_OK;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct reinforce *r = self->state;
    double log_prob;
    uint64_t note;

    read_genome(self, genome);
    log_prob = policy_log_prob(&r->policy, r->values, r->counts, NULL);
    memcpy(&note, &log_prob, sizeof note);
    return history_enter(&r->history, trial, genome, note);
}

/* The gradient of minus the mean objective of the batch. */
static void add_lesson(struct strategy *self, const struct lesson *lesson)
{
    struct reinforce *r = self->state;
    const struct history_entry *e = history_find(&r->history, lesson->trial);
    double log_prob, drawn_with, slope = lesson->advantage, share = -1.0 / (double)r->n_lessons;

    read_genome(self, e->genome);
    log_prob = policy_log_prob(&r->policy, r->values, r->counts, NULL);
    memcpy(&drawn_with, &e->note, sizeof drawn_with);
    if (strategy_option_value(self, "ppo") > 0)
        slope = ppo_slope(exp(log_prob - drawn_with), lesson->advantage,
                          strategy_option_value(self, "clip"));
    policy_backward(&r->policy, r->values, r->counts, share * slope,
                    share * strategy_option_value(self, "entropy"));
}

/* A gradient that overflowed teaches nothing. */
static bool is_finite(const float *gradient, size_t n)
{
    float sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += gradient[i] * 0; /* NAN of what is not finite */
    return sum == 0;
}

static void learn(struct strategy *self)
{
    struct reinforce *r = self->state;
    struct policy *p = &r->policy;
    int passes = (int)strategy_option_value(self, "passes");

    for (int pass = 0; pass < passes; pass++) {
        memset(p->gradient, 0, p->n_weights * sizeof *p->gradient);
        for (size_t i = 0; i < r->n_lessons; i++)
            add_lesson(self, &r->lessons[i]);
        if (is_finite(p->gradient, p->n_weights))
            adam_step(&r->adam, p->n_weights, p->weights, p->gradient, r->mean, r->square);
    }
    r->n_lessons = 0;
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct reinforce *r = self->state;
    bool ok = o->ok && isfinite(o->fitness);
    double reward = ok ? o->fitness : r->worst;

    if (history_tell(&r->history, o) == NULL || (!ok && (o->again || isnan(r->worst))))
        return FARM_OK;
    r->worst = fmin(r->worst, reward);
    r->lessons[r->n_lessons++] =
        (struct lesson){o->trial, baseline_advantage(&r->baseline, reward)};
    if (r->n_lessons == r->batch)
        learn(self);
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct reinforce *r = self->state;
    size_t n = r->policy.n_weights;

    history_save(&r->history, out);
    state_put_floats(out, r->policy.weights, n);
    state_put_floats(out, r->mean, n);
    state_put_floats(out, r->square, n);
    state_put_u64(out, r->adam.step);
    state_put_double(out, r->baseline.sum);
    state_put_double(out, r->baseline.weight);
    state_put_double(out, r->worst);
    state_put_u64(out, r->n_lessons);
    for (size_t i = 0; i < r->n_lessons; i++) {
        state_put_u64(out, r->lessons[i].trial);
        state_put_double(out, r->lessons[i].advantage);
    }
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct reinforce *r = self->state;
    size_t n = r->policy.n_weights;
    int rc = history_load(&r->history, self->space, in);

    if (rc != FARM_OK)
        return rc;
    state_take_floats(in, r->policy.weights, n);
    state_take_floats(in, r->mean, n);
    state_take_floats(in, r->square, n);
    r->adam.step = state_take_u64(in);
    r->baseline.sum = state_take_double(in);
    r->baseline.weight = state_take_double(in);
    r->worst = state_take_double(in);
    r->n_lessons = state_take_u64(in);
    if (in->failed || r->n_lessons >= r->batch)
        return FARM_ECORRUPT;
    for (size_t i = 0; i < r->n_lessons; i++) {
        r->lessons[i].trial = state_take_u64(in);
        r->lessons[i].advantage = state_take_double(in);
        if (history_find(&r->history, r->lessons[i].trial) == NULL)
            return FARM_ECORRUPT;
    }
    return in->failed || in->at != in->len ? FARM_ECORRUPT : FARM_OK;
}

#define SHARED_OPTIONS(lr, decay, entropy, batch, ppo)                                             \
    {"lr", 1e-7, 1, false, lr}, {"baseline", 0, 1, false, decay}, {"corrected", 0, 1, true, 1},    \
        {"entropy", 0, 10, false, entropy}, {"batch", 1, 10000, true, batch},                      \
        {"ppo", 0, 1, true, ppo}, {"clip", 0, 1, false, 0.2}, {"passes", 1, 1000, true, 1},        \
    {                                                                                              \
        "levels", 2, 1000, true, 10                                                                \
    }
static const struct strategy_option options[] = {SHARED_OPTIONS(0.05, 0.9, 0, 1, 0), {0}};
static const struct strategy_option lstm_options[] = {
    SHARED_OPTIONS(3.5e-4, 0.95, 1e-5, 20, 1), {"hidden", 1, 1000, true, 100}, {0}};

#define OTHER_OPTIONS                                                                              \
    "corrected=1 (0: the average starts at 0), passes=1 over a batch, levels=10 of a real number"

const struct strategy_kind strategy_reinforce = {
    .ops = {"reinforce",
            "one softmax a gene, taught by REINFORCE: lr=0.05, baseline=0.9 average of rewards, "
            "entropy=0 bonus, batch=1 results a step, ppo=0, clip=0.2, " OTHER_OPTIONS},
    .options = options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .enter = enter,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};

const struct strategy_kind strategy_reinforce_lstm = {
    .ops = {"reinforce-lstm",
            "NASNet's controller, an LSTM of hidden=100, taught by PPO: lr=0.00035, baseline=0.95 "
            "average of rewards, entropy=0.00001 bonus, batch=20 results a step, ppo=1, "
            "clip=0.2, " OTHER_OPTIONS},
    .options = lstm_options,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .enter = enter,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
