/* tpe.c - where good results are dense and others are not: the tree of Parzen estimators of BOHB.
 *
 * J. Bergstra et al. 2011; S. Falkner, A. Klein, F. Hutter, BOHB, 2018 (arXiv:1807.01774), as in the authors' code: the best
 * `top` percent of the results at one budget make one density, the rest the other; of `samples` draws from the first the
 * one with the highest ratio of the two is proposed. The budget is the largest at which there are enough results. One
 * proposal in three is random. Trials under way are in neither density; but a genome that is a trial already is passed
 * over, unlike in the authors' code, or a search of few categories would propose one point for ever. A failure is the worst result at the smallest budget.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoding.h"
#include "history.h"
#include "kde.h"

#define TINY 1e-32 /* densities below are all the same */

struct told {
    uint64_t trial;
    double budget, fitness; /* NAN, -INFINITY: it failed */
};

/* Results of one budget, the best first. */
struct ranked {
    struct told *all;
    size_t from, n;
};

struct tpe {
    struct history history;
    struct told *results; /* in the order in which they came */
    size_t n, cap;
    uint32_t *choices; /* of each dimension; 0: a number */
    double *x, *best;  /* a draw, and the best one so far */
    struct kde good, rest;
    bool fitted; /* to all results; good.n is 0 while there are too few */
};

static void forget_model(struct tpe *t)
{
    kde_release(&t->good);
    kde_release(&t->rest);
    t->fitted = false;
}

static void release(struct tpe *t)
{
    forget_model(t);
    history_release(&t->history);
    free(t->results);
    free(t->choices);
    free(t->x);
    free(t->best);
    free(t);
}

static int create(struct strategy *self)
{
    struct tpe *t = calloc(1, sizeof *t);
    uint32_t d = self->space->n_dims;

    if (t == NULL)
        return FARM_ENOMEM;
    t->choices = calloc(d + 1, sizeof *t->choices);
    t->x = calloc(d + 1, sizeof *t->x);
    t->best = calloc(d + 1, sizeof *t->best);
    if (t->choices == NULL || t->x == NULL || t->best == NULL) {
        release(t);
        return FARM_ENOMEM;
    }
    for (uint32_t j = 0; j < d; j++)
        t->choices[j] = dim_is_number(&self->space->dims[j]) ? 0 : self->space->dims[j].choices;
    self->state = t;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    release(self->state);
}

/* The largest budget first, of one budget the best, of equals the earlier trial. */
static int compare(const void *left, const void *right)
{
    const struct told *a = left, *b = right;

    if (a->budget != b->budget)
        return a->budget < b->budget ? 1 : -1;
    if (a->fitness != b->fitness)
        return a->fitness < b->fitness ? 1 : -1;
    return (a->trial > b->trial) - (a->trial < b->trial);
}

static double smallest_budget(const struct tpe *t)
{
    double smallest = INFINITY;

    for (size_t i = 0; i < t->n; i++)
        smallest = fmin(smallest, t->results[i].budget); /* fmin() passes over NAN */
    return smallest;
}

/* The results of the largest budget with so many; none: n is 0. Free all. */
static int rank(const struct tpe *t, size_t enough, struct ranked *out)
{
    double smallest = smallest_budget(t);

    *out = (struct ranked){.all = calloc(t->n + 1, sizeof *out->all)};
    if (out->all == NULL)
        return FARM_ENOMEM;
    for (size_t i = 0; i < t->n; i++) {
        out->all[i] = t->results[i];
        if (isnan(out->all[i].budget))
            out->all[i].budget = smallest;
    }
    qsort(out->all, t->n, sizeof *out->all, compare);
    for (size_t i = 0; i < t->n && out->n < enough; i++) {
        if (out->all[i].budget != out->all[out->from].budget) {
            out->from = i;
            out->n = 0;
        }
        out->n++;
    }
    if (out->n < enough)
        out->n = 0;
    while (out->n > 0 && out->from + out->n < t->n &&
           out->all[out->from + out->n].budget == out->all[out->from].budget)
        out->n++;
    return FARM_OK;
}

/* What point i lacks in coordinate j, from a random point that has it, else at random. */
static void impute(struct kde *kde, size_t i, uint32_t j, struct rng *rng)
{
    uint64_t having = 0;
    double v = kde->choices[j] > 0 ? (double)rng_below(rng, kde->choices[j]) : rng_uniform(rng);

    for (size_t k = 0; k < kde->n; k++)
        if (!isnan(kde->points[k * kde->d + j]) && rng_below(rng, ++having) == 0)
            v = kde->points[k * kde->d + j];
    kde->points[i * kde->d + j] = v;
}

static int fit_one(const struct strategy *self, struct kde *kde, const struct told *results,
                   size_t n, struct rng *rng)
{
    const struct tpe *t = self->state;
    int rc = kde_init(kde, t->choices, self->space->n_dims, n);

    if (rc != FARM_OK)
        return rc;
    for (size_t i = 0; i < n; i++) {
        const struct history_entry *e = history_find(&t->history, results[i].trial);

        coordinates_of(self->space, e->genome, kde->points + i * kde->d);
    }
    for (size_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < kde->d; j++)
            if (isnan(kde->points[i * kde->d + j]))
                impute(kde, i, j, rng);
    kde_fit(kde, strategy_option_value(self, "floor"), strategy_option_value(self, "codes") > 0);
    return FARM_OK;
}

/* The densities of good and rest, of at least d + 1 results each; without so many none. What is imputed depends on how
 * many results there are and on nothing that came before. */
static int fit(struct strategy *self)
{
    struct tpe *t = self->state;
    double top = strategy_option_value(self, "top");
    size_t d = self->space->n_dims, least = (size_t)strategy_option_value(self, "points");
    size_t good, rest, most;
    struct ranked r;
    struct rng rng;
    int rc;

    least = least > d + 1 ? least : d + 1;
    if ((rc = rank(t, least + d + 1, &r)) != FARM_OK)
        return rc;
    t->fitted = true;
    good = (size_t)(top * (double)r.n / 100.0);
    good = good > least ? good : least;
    most = (size_t)((100.0 - top) * (double)r.n / 100.0);
    most = most > least ? most : least;
    rest = r.n > good ? r.n - good : 0;
    rest = rest < most ? rest : most;
    rng_seed_named(&rng, rng_mix(self->seed, t->n), "impute");
    if (rest > d)
        rc = fit_one(self, &t->rest, r.all + r.from + good, rest, &rng);
    if (rest > d && rc == FARM_OK)
        rc = fit_one(self, &t->good, r.all + r.from, good, &rng);
    free(r.all);
    return rc;
}

static void write_genome(const struct space *space, const double *x, struct genome *out)
{
    for (uint32_t j = 0; j < space->n_dims; j++)
        out->gene[j] = dim_is_number(&space->dims[j]) ? dim_at(&space->dims[j], x[j]) : x[j];
}

/* How much denser the rest is than the good at x. */
static double ratio_at(const struct tpe *t, const double *x)
{
    return fmax(kde_density(&t->rest, x), TINY) / fmax(kde_density(&t->good, x), TINY);
}

/* Of all draws that the space admits the one with the least ratio that is no trial yet; if all are trials, the least of
 * them. */
static void propose(struct strategy *self, struct genome *out)
{
    struct tpe *t = self->state;
    int samples = (int)strategy_option_value(self, "samples");
    double width = strategy_option_value(self, "bandwidth"), least = INFINITY;
    bool any = false, known = true;

    for (int s = 0; s < samples; s++) {
        double ratio;
        bool this_known;

        kde_draw(&t->good, &self->rng, width, t->x);
        write_genome(self->space, t->x, out);
        this_known = history_has(&t->history, out);
        if ((this_known && any && !known) || space_check(self->space, out, NULL) != FARM_OK)
            continue;
        ratio = ratio_at(t, t->x);
        if (!any || (known && !this_known) || ratio < least) {
            least = ratio;
            any = true;
            known = this_known;
            memcpy(t->best, t->x, self->space->n_dims * sizeof *t->x);
        }
    }
    if (any)
        write_genome(self->space, t->best, out);
    else
        space_sample(self->space, &self->rng, out);
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct tpe *t = self->state;
    int rc = t->fitted ? FARM_OK : fit(self);

    *parent = UINT64_MAX;
    if (rc != FARM_OK)
        return rc;
    if (t->good.n == 0 || rng_uniform(&self->rng) < strategy_option_value(self, "random"))
        space_sample(self->space, &self->rng, out);
    else
        propose(self, out);
    return FARM_OK;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct tpe *t = self->state;

    return history_enter(&t->history, trial, genome, 0);
}

static struct told *find_result(const struct tpe *t, uint64_t trial, double budget)
{
    for (size_t i = t->n; i-- > 0;)
        if (t->results[i].trial == trial && t->results[i].budget == budget)
            return &t->results[i];
    return NULL;
}

static int add_result(struct tpe *t, struct told result)
{
    if (t->n == t->cap) {
        size_t cap = t->cap > 0 ? 2 * t->cap : 64;
        struct told *bigger = realloc(t->results, cap * sizeof *bigger);

        if (bigger == NULL)
            return FARM_ENOMEM;
        t->results = bigger;
        t->cap = cap;
    }
    t->results[t->n++] = result;
    return FARM_OK;
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct tpe *t = self->state;
    const struct history_entry *e = history_tell(&t->history, o);
    struct told *known = o->again && o->ok ? find_result(t, o->trial, o->budget) : NULL;

    if (e == NULL || (!o->ok && e->state != HISTORY_FAILED)) /* what it reached before stands */
        return FARM_OK;
    forget_model(t);
    if (known != NULL) {
        known->fitness = o->fitness;
        return FARM_OK;
    }
    return add_result(
        t, o->ok ? (struct told){o->trial, o->budget, o->fitness}
                 : (struct told){.trial = o->trial, .budget = NAN, .fitness = -INFINITY});
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct tpe *t = self->state;

    history_save(&t->history, out);
    state_put_u64(out, t->n);
    for (size_t i = 0; i < t->n; i++) {
        state_put_u64(out, t->results[i].trial);
        state_put_double(out, t->results[i].budget);
        state_put_double(out, t->results[i].fitness);
    }
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct tpe *t = self->state;
    int rc = history_load(&t->history, self->space, in);
    uint64_t n = rc == FARM_OK ? state_take_u64(in) : 0;

    for (uint64_t i = 0; i < n && rc == FARM_OK && !in->failed; i++) {
        struct told r = {.trial = state_take_u64(in)};

        r.budget = state_take_double(in);
        r.fitness = state_take_double(in);
        if (history_find(&t->history, r.trial) == NULL || isnan(r.fitness))
            return FARM_ECORRUPT;
        rc = add_result(t, r);
    }
    return rc == FARM_OK && (in->failed || in->at != in->len) ? FARM_ECORRUPT : rc;
}

static const struct strategy_option options[] = {
    {"top", 1, 50, false, 15},        {"samples", 1, 100000, true, 64},
    {"random", 0, 1, false, 1.0 / 3}, {"bandwidth", 0.01, 100, false, 3},
    {"floor", 1e-9, 1, false, 1e-3},  {"points", 0, 1000000, true, 0},
    {"codes", 0, 1, true, 0},         {0}};

const struct strategy_kind strategy_tpe = {
    .ops = {"tpe", "densities of the good and of the rest, as in BOHB: top=15 percent are good, of "
                   "samples=64 draws, bandwidth=3 wide but at least floor=0.001, the likeliest; "
                   "random=0.333 of all are random; points=0 results at least are good (0: genes + "
                   "1); codes=0 (1: categories spread as BOHB's codes do)"},
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
