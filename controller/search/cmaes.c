/* cmaes.c - CMA-ES over the ranges of all dimensions, without waiting for generations (cma.h).
 *
 * Every dimension is [0, 1]: reals by their share of the range, whole numbers and categories by equal parts, categories in
 * the order of their codes. So it is for spaces in which real dimensions matter, and refuses one that has none. Points
 * outside are mirrored at the border; a dimension of n values never varies less than a third of one part.
 *
 * Whoever asks gets a point of the distribution as it is. A generation ends when lambda results have come that were drawn
 * from this distribution or from at most `lag` ones before; older ones are let go. A failure counts, as the worst. A trial that
 * is trained further counts with its first result only.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cma.h"
#include "history.h"

#define LEAST_OF_A_PART 0.33
#define TRIES           100 /* for a point that the space admits */

struct told {
    uint64_t trial;
    double fitness; /* -INFINITY: it failed */
};

struct cmaes {
    struct history history; /* notes: the generation from which a trial was drawn */
    struct cma cma;
    struct told *told; /* of the generation that fills: lambda */
    size_t n_told;
    double *points; /* scratch: (mu, d) */
};

static int serves(const struct strategy *self, struct why *why)
{
    for (uint32_t i = 0; i < self->space->n_dims; i++)
        if (dim_values(&self->space->dims[i]) == 0)
            return FARM_OK;
    return why_set(
        why, FARM_EINPUT,
        "strategy cmaes needs a real dimension: space %s has none (%s+hyperparameters has)",
        self->space->ops->name, self->space->ops->name);
}

static void release(struct cmaes *c)
{
    history_release(&c->history);
    cma_release(&c->cma);
    free(c->told);
    free(c->points);
    free(c);
}

static int create(struct strategy *self)
{
    struct cmaes *c = calloc(1, sizeof *c);
    size_t lambda = (size_t)strategy_option_value(self, "population");

    if (c == NULL)
        return FARM_ENOMEM;
    if (lambda == 1) /* has no parents */
        lambda = 2;
    if (cma_init(&c->cma, self->space->n_dims, lambda, strategy_option_value(self, "sigma")) ==
        FARM_OK) {
        c->told = calloc(c->cma.lambda, sizeof *c->told);
        c->points = calloc(c->cma.mu * c->cma.d, sizeof *c->points);
    }
    if (c->told == NULL || c->points == NULL) {
        release(c);
        return FARM_ENOMEM;
    }
    self->state = c;
    return FARM_OK;
}

static void destroy(struct strategy *self)
{
    release(self->state);
}

static double mirrored(double x)
{
    double turn = fabs(fmod(x, 2));

    return turn > 1 ? 2 - turn : turn;
}

/* Whole numbers would stop moving when sigma is much smaller than one of them. */
static double widened(struct strategy *self, uint32_t i, double x)
{
    const struct cmaes *c = self->state;
    double n = (double)dim_values(&self->space->dims[i]);
    double variance = c->cma.sigma * c->cma.sigma * c->cma.C[i * c->cma.d + i];
    double lacks = n > 0 ? LEAST_OF_A_PART * LEAST_OF_A_PART / (n * n) - variance : 0;

    return lacks > 0 ? x + sqrt(lacks) * rng_normal(&self->rng) : x;
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct cmaes *c = self->state;

    *parent = UINT64_MAX;
    for (int tries = 0; tries < TRIES; tries++) {
        cma_draw(&c->cma, &self->rng, c->points);
        for (uint32_t i = 0; i < out->n; i++)
            out->gene[i] = dim_at(&self->space->dims[i], mirrored(widened(self, i, c->points[i])));
        if (space_check(self->space, out, NULL) == FARM_OK)
            return FARM_OK;
    }
    space_sample(self->space, &self->rng, out);
    return FARM_OK;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct cmaes *c = self->state;

    return history_enter(&c->history, trial, genome, c->cma.generation);
}

/* The better first, of equals the earlier trial. */
static int compare(const void *left, const void *right)
{
    const struct told *a = left, *b = right;

    if (a->fitness != b->fitness)
        return a->fitness < b->fitness ? 1 : -1;
    return (a->trial > b->trial) - (a->trial < b->trial);
}

/* The best half of what was told, without failures, makes the next distribution. */
static void end_generation(struct strategy *self)
{
    struct cmaes *c = self->state;
    size_t n = 0;

    qsort(c->told, c->n_told, sizeof *c->told, compare);
    for (; n < c->cma.mu && c->told[n].fitness > -INFINITY; n++) {
        const struct history_entry *e = history_find(&c->history, c->told[n].trial);

        for (uint32_t i = 0; i < self->space->n_dims; i++)
            c->points[n * c->cma.d + i] = dim_share(&self->space->dims[i], e->genome->gene[i]);
    }
    if (n > 0)
        cma_update(&c->cma, c->points, n);
    c->n_told = 0;
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct cmaes *c = self->state;
    const struct history_entry *e = history_tell(&c->history, o);
    uint64_t lag = (uint64_t)strategy_option_value(self, "lag");

    if (e == NULL || o->again || e->note + lag < c->cma.generation)
        return FARM_OK;
    c->told[c->n_told++] =
        (struct told){o->trial, o->ok && isfinite(o->fitness) ? o->fitness : -INFINITY};
    if (c->n_told == c->cma.lambda)
        end_generation(self);
    return FARM_OK;
}

static size_t population(const struct strategy *self, const struct strategy_member **members)
{
    (void)self;
    (void)members;
    return 0;
}

static void put_doubles(struct state_bytes *out, const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        state_put_double(out, v[i]);
}

static void save(const struct strategy *self, struct state_bytes *out)
{
    const struct cmaes *c = self->state;
    size_t d = c->cma.d;

    history_save(&c->history, out);
    state_put_u64(out, c->cma.generation);
    put_doubles(out, &c->cma.sigma, 1);
    put_doubles(out, c->cma.mean, d);
    put_doubles(out, c->cma.path_c, d);
    put_doubles(out, c->cma.path_s, d);
    put_doubles(out, c->cma.C, d * d);
    state_put_u64(out, c->n_told);
    for (size_t i = 0; i < c->n_told; i++) {
        state_put_u64(out, c->told[i].trial);
        state_put_double(out, c->told[i].fitness);
    }
}

static void take_doubles(struct state_bytes *in, double *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = state_take_double(in);
        in->failed = in->failed || !isfinite(v[i]);
    }
}

static int load_told(struct cmaes *c, struct state_bytes *in)
{
    c->n_told = state_take_u64(in);
    if (in->failed || c->n_told >= c->cma.lambda)
        return FARM_ECORRUPT;
    for (size_t i = 0; i < c->n_told; i++) {
        c->told[i].trial = state_take_u64(in);
        c->told[i].fitness = state_take_double(in);
        if (isnan(c->told[i].fitness) || history_find(&c->history, c->told[i].trial) == NULL)
            return FARM_ECORRUPT;
    }
    return in->failed || in->at != in->len ? FARM_ECORRUPT : FARM_OK;
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct cmaes *c = self->state;
    size_t d = c->cma.d;
    int rc = history_load(&c->history, self->space, in);

    if (rc != FARM_OK)
        return rc;
    c->cma.generation = state_take_u64(in);
    take_doubles(in, &c->cma.sigma, 1);
    take_doubles(in, c->cma.mean, d);
    take_doubles(in, c->cma.path_c, d);
    take_doubles(in, c->cma.path_s, d);
    take_doubles(in, c->cma.C, d * d);
    if (in->failed || !(c->cma.sigma > 0))
        return FARM_ECORRUPT;
    cma_decompose(&c->cma);
    return load_told(c, in);
}

static const struct strategy_option options[] = {{"population", 0, 10000, true, 0},
                                                 {"sigma", 1e-3, 1, false, 0.3},
                                                 {"lag", 0, 1000000, true, 1},
                                                 {0}};

const struct strategy_kind strategy_cmaes = {
    .ops = {"cmaes",
            "CMA-ES, for spaces with real dimensions: population=0 results a generation (0: 4 "
            "+ 3 ln genes), sigma=0.3 of each range at first, lag=1 generations that a result may "
            "be late"},
    .options = options,
    .serves = serves,
    .create = create,
    .destroy = destroy,
    .ask = ask,
    .enter = enter,
    .tell = tell,
    .population = population,
    .save = save,
    .load = load,
};
