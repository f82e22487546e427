/* stopping.c - schedulers that judge a trial the moment it finishes a rung: it goes on at once, or has ended for good.
 *
 *   asha-stop  L. Li et al. (MLSys 2020), the stopping variant as Ray Tune has it: on while the fitness is not below the
 *              best 1/eta of what came to this rung before; the first always goes on
 *   median     D. Golovin et al., Google Vizier (KDD 2017): off when the trial's best so far is below the median of the
 *              other trials' running means up to this rung
 *   curve      off when the curve of a trial, carried on to the last rung, stays below the best that was reached there
 *              (in the manner of T. Domhan et al., IJCAI 2015, with one family of curves: c - a t^-b)
 * Whoever goes on is given out before a new trial begins, in the order of its results.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rung.h"
#include "scheduler_kind.h"

struct going {
    uint64_t trial;
    uint32_t rung; /* the next */
};

struct curve {
    uint64_t trial;
    uint32_t n, cap;
    double *values; /* one a rung from the first on */
};

struct stopping {
    struct rung
        *rungs; /* asha-stop: fitness; median: running means; curve: the last rung's fitness */
    struct going *going; /* a queue */
    size_t n_going, cap_going;
    struct curve *curves; /* of trials that are not at their end, unordered */
    size_t n_curves, cap_curves;
};

static void destroy(struct scheduler *self)
{
    struct stopping *s = self->state;

    for (uint32_t i = 0; s->rungs != NULL && i < self->ladder.n; i++)
        rung_release(&s->rungs[i]);
    for (size_t i = 0; i < s->n_curves; i++)
        free(s->curves[i].values);
    free(s->rungs);
    free(s->going);
    free(s->curves);
    free(s);
}

static int make_state(struct scheduler *self)
{
    struct stopping *s = calloc(1, sizeof *s);

    if ((self->state = s) == NULL)
        return FARM_ENOMEM;
    if ((s->rungs = calloc(self->ladder.n, sizeof *s->rungs)) == NULL) {
        destroy(self);
        return FARM_ENOMEM;
    }
    return FARM_OK;
}

static int create_by_factor(struct scheduler *self, struct why *why)
{
    int rc = scheduler_ladder_by_factor(self, why);

    return rc == FARM_OK ? make_state(self) : rc;
}

static int create_by_step(struct scheduler *self, struct why *why)
{
    double grace = scheduler_option(self, "grace"), max = scheduler_option(self, "max");

    if (grace > max)
        return why_set(why, FARM_EINPUT, "scheduler %s: grace=%.0f is above max=%.0f",
                       self->kind->ops.name, grace, max);
    ladder_by_step(&self->ladder, (uint32_t)grace, (uint32_t)max,
                   (uint32_t)scheduler_option(self, "every"));
    return make_state(self);
}

static enum scheduler_turn next(const struct scheduler *self, bool may_begin,
                                struct scheduler_job *job)
{
    const struct stopping *s = self->state;

    (void)may_begin;
    if (s->n_going == 0)
        return SCHEDULER_BEGIN;
    *job = (struct scheduler_job){s->going[0].trial, s->going[0].rung, 0};
    return SCHEDULER_GO_ON;
}

static int enter(struct scheduler *self, enum scheduler_turn kind, const struct scheduler_job *job,
                 uint64_t trial)
{
    struct stopping *s = self->state;

    (void)job;
    (void)trial;
    if (kind == SCHEDULER_GO_ON && s->n_going > 0)
        memmove(s->going, s->going + 1, --s->n_going * sizeof *s->going);
    return FARM_OK;
}

static int let_go_on(struct stopping *s, uint64_t trial, uint32_t rung)
{
    if (s->n_going == s->cap_going) {
        size_t cap = s->cap_going > 0 ? 2 * s->cap_going : 64;
        struct going *bigger = realloc(s->going, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        s->going = bigger;
        s->cap_going = cap;
    }
    s->going[s->n_going++] = (struct going){trial, rung};
    return FARM_OK;
}

static bool may_go_on(const struct scheduler *self, uint64_t trial, uint32_t rung)
{
    const struct stopping *s = self->state;

    (void)rung;
    for (size_t i = s->n_going; i-- > 0;) /* it was told a moment ago */
        if (s->going[i].trial == trial)
            return true;
    return false;
}

/* ---------------------------------------------------------------- asha-stop */

static int tell_asha(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok, double fitness)
{
    struct stopping *s = self->state;
    struct rung *r = &s->rungs[rung];
    double eta = scheduler_option(self, "eta");
    bool on = ok && (r->n == 0 || fitness >= rung_percentile(r, 1 - 1 / eta));
    int rc = rung_add(r, trial, fitness);

    return rc == FARM_OK && on && rung + 1 < self->ladder.n ? let_go_on(s, trial, rung + 1) : rc;
}

/* ---------------------------------------------------------------- curves */

static struct curve *curve_of(struct stopping *s, uint64_t trial)
{
    for (size_t i = s->n_curves; i-- > 0;)
        if (s->curves[i].trial == trial)
            return &s->curves[i];
    if (s->n_curves == s->cap_curves) {
        size_t cap = s->cap_curves > 0 ? 2 * s->cap_curves : 64;
        struct curve *bigger = realloc(s->curves, cap * sizeof *bigger);

        if (bigger == NULL)
            return NULL;
        s->curves = bigger;
        s->cap_curves = cap;
    }
    s->curves[s->n_curves] = (struct curve){.trial = trial};
    return &s->curves[s->n_curves++];
}

static int add_value(struct curve *c, double value)
{
    if (c->n == c->cap) {
        uint32_t cap = c->cap > 0 ? 2 * c->cap : 8;
        double *bigger = realloc(c->values, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        c->values = bigger;
        c->cap = cap;
    }
    c->values[c->n++] = value;
    return FARM_OK;
}

static void end_curve(struct stopping *s, struct curve *c)
{
    free(c->values);
    *c = s->curves[--s->n_curves];
}

/* ---------------------------------------------------------------- median */

static int tell_median(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok,
                       double fitness)
{
    struct stopping *s = self->state;
    struct rung *r = &s->rungs[rung];
    double mean = 0, best = -INFINITY;
    struct curve *c;
    bool on;
    int rc;

    if ((c = curve_of(s, trial)) == NULL || add_value(c, fitness) != FARM_OK)
        return FARM_ENOMEM;
    for (uint32_t i = 0; i < c->n; i++) {
        mean += c->values[i] / c->n;
        best = fmax(best, c->values[i]);
    }
    on = ok && rung + 1 < self->ladder.n &&
         ((double)r->n < scheduler_option(self, "samples") || best >= rung_percentile(r, 0.5));
    if (!on)
        end_curve(s, c);
    rc = rung_add(r, trial, mean);
    return rc == FARM_OK && on ? let_go_on(s, trial, rung + 1) : rc;
}

/* ---------------------------------------------------------------- curve */

/* Least squares of y = c - a x, x = t^-b; returns the sum of squared errors. */
static double fit_line(const struct scheduler *self, const struct curve *c, double b,
                       double *at_end)
{
    double n = c->n, sx = 0, sy = 0, sxx = 0, sxy = 0, slope, offset, error = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        double x = pow(self->ladder.budget[i], -b);

        sx += x;
        sy += c->values[i];
        sxx += x * x;
        sxy += x * c->values[i];
    }
    slope = fmin((n * sxy - sx * sy) / (n * sxx - sx * sx), 0); /* a curve that falls is level */
    offset = (sy - slope * sx) / n;
    for (uint32_t i = 0; i < c->n; i++) {
        double e = offset + slope * pow(self->ladder.budget[i], -b) - c->values[i];

        error += e * e;
    }
    *at_end = offset + slope * pow(self->ladder.budget[self->ladder.n - 1], -b);
    return error;
}

/* What the last rung would bring, by the curve that fits best, and the deviation of the points from it. */
static double predict(const struct scheduler *self, const struct curve *c, double *deviation)
{
    double least = INFINITY, best = -INFINITY;

    for (int k = 1; k <= 20; k++) {
        double at_end, error = fit_line(self, c, 0.1 * k, &at_end);

        if (error < least) {
            least = error;
            best = at_end;
        }
    }
    *deviation = sqrt(least / c->n);
    return best;
}

static int tell_curve(struct scheduler *self, uint64_t trial, uint32_t rung, bool ok,
                      double fitness)
{
    struct stopping *s = self->state;
    const struct rung *top = &s->rungs[self->ladder.n - 1];
    struct curve *c;
    bool on = ok && rung + 1 < self->ladder.n;

    if ((c = curve_of(s, trial)) == NULL || add_value(c, fitness) != FARM_OK)
        return FARM_ENOMEM;
    if (on && top->n > 0 && c->n >= scheduler_option(self, "points")) {
        double deviation, end = predict(self, c, &deviation);

        on =
            end + scheduler_option(self, "margin") * deviation >= rung_at(top, top->n - 1)->fitness;
    }
    if (!on)
        end_curve(s, c);
    if (on)
        return let_go_on(s, trial, rung + 1);
    return rung + 1 == self->ladder.n ? rung_add(&s->rungs[rung], trial, fitness) : FARM_OK;
}

/* ---------------------------------------------------------------- state */

static void save(const struct scheduler *self, struct state_bytes *out)
{
    const struct stopping *s = self->state;

    for (uint32_t i = 0; i < self->ladder.n; i++)
        rung_save(&s->rungs[i], out);
    state_put_u64(out, s->n_going);
    for (size_t i = 0; i < s->n_going; i++) {
        state_put_u64(out, s->going[i].trial);
        state_put_u64(out, s->going[i].rung);
    }
    state_put_u64(out, s->n_curves);
    for (size_t i = 0; i < s->n_curves; i++) {
        const struct curve *c = &s->curves[i];

        state_put_u64(out, c->trial);
        state_put_u64(out, c->n);
        for (uint32_t k = 0; k < c->n; k++)
            state_put_double(out, c->values[k]);
    }
}

static int load_curve(const struct scheduler *self, struct state_bytes *in)
{
    uint64_t trial = state_take_u64(in), n = state_take_u64(in);
    struct curve *c = n > 0 && n <= self->ladder.n ? curve_of(self->state, trial) : NULL;
    int rc = c != NULL ? FARM_OK : FARM_ECORRUPT;

    for (uint64_t k = 0; k < n && rc == FARM_OK; k++)
        rc = add_value(c, state_take_double(in));
    return rc;
}

static int load(struct scheduler *self, struct state_bytes *in)
{
    struct stopping *s = self->state;
    uint64_t n;
    int rc = FARM_OK;

    for (uint32_t i = 0; i < self->ladder.n && rc == FARM_OK; i++)
        rc = rung_load(&s->rungs[i], in);
    n = rc == FARM_OK ? state_take_u64(in) : 0;
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        uint64_t trial = state_take_u64(in), rung = state_take_u64(in);

        rc = rung < self->ladder.n ? let_go_on(s, trial, (uint32_t)rung) : FARM_ECORRUPT;
    }
    n = rc == FARM_OK ? state_take_u64(in) : 0;
    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++)
        rc = load_curve(self, in);
    return rc;
}

static const struct strategy_option asha_options[] = {
    {"eta", 2, 100, true, 3}, {"min", 1, 1e6, true, 1}, {"max", 0, 1e6, true, 0}, {0}};

const struct scheduler_kind scheduler_asha_stop = {
    .ops = {"asha-stop",
            "a trial goes on while it is among the best 1/eta at each rung, eta=3, from "
            "min=1 epochs to max (all)"},
    .options = asha_options,
    .create = create_by_factor,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell_asha,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};

static const struct strategy_option median_options[] = {{"grace", 1, 1e6, true, 1},
                                                        {"every", 1, 1e6, true, 1},
                                                        {"samples", 1, 1e6, true, 3},
                                                        {"max", 0, 1e6, true, 0},
                                                        {0}};

const struct scheduler_kind scheduler_median = {
    .ops = {"median",
            "a trial stops when its best is below the median of the others' means: looked at from "
            "grace=1 epochs on, every=1, once there are samples=3"},
    .options = median_options,
    .create = create_by_step,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell_median,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};

static const struct strategy_option curve_options[] = {
    {"grace", 1, 1e6, true, 1},   {"every", 1, 1e6, true, 1}, {"points", 3, 256, true, 4},
    {"margin", 0, 100, false, 2}, {"max", 0, 1e6, true, 0},   {0}};

const struct scheduler_kind scheduler_curve = {
    .ops = {"curve", "a trial stops when its learning curve, carried on, stays margin=2 deviations "
                     "below the best: "
                     "from grace=1 epochs on, every=1, once it has points=4"},
    .options = curve_options,
    .create = create_by_step,
    .destroy = destroy,
    .next = next,
    .enter = enter,
    .tell = tell_curve,
    .may_go_on = may_go_on,
    .save = save,
    .load = load,
};
