/* gp.c - a Gaussian process over genomes, and where it expects the most improvement.
 *
 * D. Jones, M. Schonlau, W. Welch 1998 (expected improvement); D. Ginsbourger, R. Le Riche, L. Carraro 2010 (constant liar). The
 * difference of two genomes is summed over genes: 1 for another category, or for one of them not being active, and the
 * squared distance of shares of the range for numbers. Length and noise are chosen on a small grid by likelihood, again
 * whenever a fifth more results are there. Trials under way count as results with the mean of all, so that many slots do
 * not ask for the same point. Of more than `points` results the best half and the latest count.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "acquisition.h"
#include "candidates.h"
#include "encoding.h"
#include "evidence.h"
#include "gaussian_process.h"

#define PARENTS 5
#define LIES    4 /* at most one in so many points is of a trial under way */

struct gp {
    struct history history;
    struct gp_kernel kernel;
    uint64_t fitted; /* to so many results; 0: never */
};

static int create(struct strategy *self)
{
    struct gp *g = calloc(1, sizeof *g);

    self->state = g;
    return g != NULL ? FARM_OK : FARM_ENOMEM;
}

static void destroy(struct strategy *self)
{
    struct gp *g = self->state;

    history_release(&g->history);
    free(g);
}

/* Points as the process sees them, the known first. */
struct points {
    size_t n, known, d;
    double *x, *y;   /* (n, d), (n) */
    double *squares; /* (n, n), then one row of n */
};

static void release_points(struct points *p)
{
    free(p->x);
    free(p->y);
    free(p->squares);
    *p = (struct points){0};
}

static double difference(const struct space *space, const double *a, const double *b)
{
    double sum = 0;

    for (uint32_t j = 0; j < space->n_dims; j++) {
        if (isnan(a[j]) || isnan(b[j]))
            sum += isnan(a[j]) != isnan(b[j]);
        else if (dim_is_number(&space->dims[j]))
            sum += (a[j] - b[j]) * (a[j] - b[j]);
        else
            sum += a[j] != b[j];
    }
    return sum;
}

static void add_point(struct points *p, const struct space *space, const struct genome *genome,
                      double y)
{
    coordinates_of(space, genome, p->x + p->n * p->d);
    p->y[p->n++] = y;
}

static int latest_first(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return (a < b) - (a > b);
}

/* Of the results from `from` on, `room` are of this trial or later ones. */
static int find_cutoff(const struct evidence *evidence, size_t from, size_t room, uint64_t *cutoff)
{
    uint64_t *trials;
    size_t n = evidence->n - from;

    *cutoff = 0;
    if (n <= room)
        return FARM_OK;
    if ((trials = calloc(n, sizeof *trials)) == NULL)
        return FARM_ENOMEM;
    for (size_t i = 0; i < n; i++)
        trials[i] = evidence->entries[from + i]->trial;
    qsort(trials, n, sizeof *trials, latest_first);
    *cutoff = trials[room - 1];
    free(trials);
    return FARM_OK;
}

/* The better half of the room, and of the others the latest. */
static int add_results(const struct strategy *self, const struct evidence *evidence, size_t room,
                       struct points *p)
{
    size_t best = room / 2 < evidence->n ? room / 2 : evidence->n;
    uint64_t cutoff;
    int rc = find_cutoff(evidence, best, room - best, &cutoff);

    for (size_t i = 0; i < evidence->n && rc == FARM_OK; i++)
        if (i < best || evidence->entries[i]->trial >= cutoff)
            add_point(p, self->space, evidence->entries[i]->genome, evidence->losses[i]);
    return rc;
}

static int gather_points(struct strategy *self, const struct evidence *evidence, struct points *p)
{
    const struct gp *g = self->state;
    size_t cap = (size_t)strategy_option_value(self, "points"), pending = g->history.n_pending;
    size_t lies = pending < cap / LIES ? pending : cap / LIES;

    *p = (struct points){.d = self->space->n_dims};
    p->x = calloc((cap + 1) * p->d + 1, sizeof *p->x); /* and one that is asked about */
    p->y = calloc(cap + 1, sizeof *p->y);
    p->squares = calloc((cap + 1) * cap + 1, sizeof *p->squares);
    if (p->x == NULL || p->y == NULL || p->squares == NULL) {
        release_points(p);
        return FARM_ENOMEM;
    }
    if (add_results(self, evidence, cap - lies, p) != FARM_OK) {
        release_points(p);
        return FARM_ENOMEM;
    }
    p->known = p->n;
    for (size_t i = g->history.n; i-- > 0 && lies > 0;)
        if (g->history.entries[i].state == HISTORY_PENDING) {
            add_point(p, self->space, g->history.entries[i].genome, 0);
            lies--;
        }
    return FARM_OK;
}

/* squares of the first n points. */
static void measure(const struct space *space, struct points *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k <= i; k++)
            p->squares[i * n + k] = p->squares[k * n + i] =
                difference(space, p->x + i * p->d, p->x + k * p->d);
}

static int choose_kernel(struct strategy *self, struct points *p, size_t results)
{
    struct gp *g = self->state;
    int rc;

    if (g->fitted > 0 && results < g->fitted + (g->fitted + 4) / 5)
        return FARM_OK;
    measure(self->space, p, p->known);
    if ((rc = gp_choose(&g->kernel, sqrt((double)p->d) / 2, p->squares, p->y, p->known)) == FARM_OK)
        g->fitted = results;
    return rc;
}

static int find_candidates(struct strategy *self, const struct evidence *evidence,
                           struct candidates *out)
{
    struct gp *g = self->state;
    size_t n = (size_t)strategy_option_value(self, "candidates");
    size_t parents = evidence->n < PARENTS ? evidence->n : PARENTS;
    int rc = candidates_init(out, n);

    for (size_t i = 0; i < parents && rc == FARM_OK; i++)
        rc = candidates_mutate(out, self->space, &self->rng, &g->history, evidence->entries[i],
                               n / 2 / parents + 1);
    return rc == FARM_OK ? candidates_sample(out, self->space, &self->rng, &g->history, n / 2) : rc;
}

static void score(const struct strategy *self, const struct gaussian_process *process,
                  struct points *p, double best, struct candidates *c)
{
    double *row = p->squares + p->n * p->n, *x = p->x + p->n * p->d;
    double mean, deviation;

    for (size_t i = 0; i < c->n; i++) {
        coordinates_of(self->space, c->all[i].genome, x);
        for (size_t k = 0; k < p->n; k++)
            row[k] = difference(self->space, p->x + k * p->d, x);
        gp_predict(process, row, &mean, &deviation);
        c->all[i].score = -acquisition_improvement(mean, deviation, best);
    }
}

/* Fits to results and lies, and puts the best candidate first. */
static int rank_candidates(struct strategy *self, const struct evidence *evidence,
                           struct candidates *c)
{
    const struct gp *g = self->state;
    struct gaussian_process process = {0};
    struct points p = {0};
    int rc = gather_points(self, evidence, &p);

    if (rc == FARM_OK)
        rc = choose_kernel(self, &p, evidence->n);
    if (rc == FARM_OK) {
        measure(self->space, &p, p.n);
        rc = gp_fit(&process, g->kernel, p.squares, p.y, p.n);
    }
    if (rc == FARM_OK)
        score(self, &process, &p, evidence->losses[0], c);
    candidates_sort(c);
    gp_release(&process);
    release_points(&p);
    return rc == FARM_EINPUT ? FARM_OK
                             : rc; /* a kernel that does not fit: they stay as they were drawn */
}

static int ask(struct strategy *self, struct genome *out, uint64_t *parent)
{
    struct gp *g = self->state;
    struct evidence evidence = {0};
    struct candidates candidates = {0};
    int rc =
        evidence_gather(&evidence, &g->history, (size_t)strategy_option_value(self, "initial"));

    *parent = UINT64_MAX;
    if (rc == FARM_OK && evidence.n > 0)
        rc = find_candidates(self, &evidence, &candidates);
    if (rc == FARM_OK && candidates.n > 0)
        rc = rank_candidates(self, &evidence, &candidates);
    if (rc == FARM_OK && candidates.n > 0) {
        memcpy(out->gene, candidates.all[0].genome->gene, out->n * sizeof out->gene[0]);
        *parent = candidates.all[0].parent;
    } else if (rc == FARM_OK) {
        space_sample(self->space, &self->rng, out);
    }
    candidates_release(&candidates);
    evidence_release(&evidence);
    return rc;
}

static int enter(struct strategy *self, uint64_t trial, const struct genome *genome)
{
    struct gp *g = self->state;

    return history_enter(&g->history, trial, genome, 0);
}

static int tell(struct strategy *self, const struct observation *o)
{
    struct gp *g = self->state;

    (void)history_tell(&g->history, o);
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
    const struct gp *g = self->state;

    history_save(&g->history, out);
    state_put_u64(out, g->fitted);
    state_put_double(out, g->kernel.length);
    state_put_double(out, g->kernel.noise);
}

static int load(struct strategy *self, struct state_bytes *in)
{
    struct gp *g = self->state;
    int rc = history_load(&g->history, self->space, in);

    g->fitted = state_take_u64(in);
    g->kernel.length = state_take_double(in);
    g->kernel.noise = state_take_double(in);
    if (rc != FARM_OK)
        return rc;
    if (g->fitted > 0 && !(g->kernel.length > 0 && g->kernel.noise > 0))
        return FARM_ECORRUPT;
    return in->failed || in->at != in->len ? FARM_ECORRUPT : FARM_OK;
}

static const struct strategy_option options[] = {{"initial", 2, 100000, true, 10},
                                                 {"candidates", 2, 10000, true, 200},
                                                 {"points", 8, 2000, true, 200},
                                                 {0}};

const struct strategy_kind strategy_gp = {
    .ops = {"gp",
            "a Gaussian process and its expected improvement: initial=10 random results, then "
            "the best of candidates=200; points=200 results count"},
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
