/* front.c - see front.h. */
#include "front.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pareto.h"
#include "plot.h"
#include "text.h"

/* ---------------------------------------------------------------- collecting */

struct collecting {
    struct front *front;
    size_t room;
    int rc;
};

static bool beats(const struct objectives *o, const double *a, const double *b)
{
    bool better = false;

    for (uint32_t i = 0; i < o->n; i++) {
        if (a[i] < b[i])
            return false;
        better |= a[i] > b[i];
    }
    return better;
}

static bool equal(const struct objectives *o, const double *a, const double *b)
{
    return memcmp(a, b, o->n * sizeof *a) == 0;
}

static void widen(struct front *self, const double *point)
{
    for (uint32_t i = 0; i < self->objectives.n; i++)
        self->reference[i] = self->seen == 0 ? point[i] : fmin(self->reference[i], point[i]);
    self->seen++;
}

/* Takes the point in unless one of the front beats it or is its equal, and drops what it beats. */
static int add(struct collecting *c, uint64_t trial, const double *point)
{
    struct front *self = c->front;
    size_t kept = 0;

    for (size_t i = 0; i < self->n; i++)
        if (beats(&self->objectives, self->points[i].objective, point) ||
            equal(&self->objectives, self->points[i].objective, point))
            return FARM_OK;
    for (size_t i = 0; i < self->n; i++)
        if (!beats(&self->objectives, point, self->points[i].objective))
            self->points[kept++] = self->points[i];
    self->n = kept;
    if (self->n == c->room) {
        size_t room = c->room > 0 ? 2 * c->room : 64;
        struct front_point *points = realloc(self->points, room * sizeof *points);

        if (points == NULL)
            return FARM_ENOMEM;
        self->points = points;
        c->room = room;
    }
    self->points[self->n].trial = trial;
    memcpy(self->points[self->n++].objective, point, sizeof self->points->objective);
    return FARM_OK;
}

static bool visit(const struct trial_record *record, void *ctx)
{
    struct collecting *c = ctx;
    double point[OBJECTIVES_MAX] = {0}, violation;

    if (record->state != TRIAL_DONE || record->result.outcome != OUTCOME_OK ||
        objectives_of(&c->front->objectives, record, point, &violation, NULL) != FARM_OK ||
        violation > 0)
        return true;
    widen(c->front, point);
    c->rc = add(c, record->trial, point);
    return c->rc == FARM_OK;
}

static int best_first(const void *a, const void *b)
{
    const struct front_point *x = a, *y = b;

    if (x->objective[0] != y->objective[0])
        return x->objective[0] > y->objective[0] ? -1 : 1;
    return x->trial < y->trial ? -1 : x->trial > y->trial;
}

static double hypervolume(const struct front *self)
{
    uint32_t m = self->objectives.n;
    double *rows = malloc((self->n * m + 1) * sizeof *rows), volume;
    struct pareto_set set = {rows, NULL, self->n, m};

    if (rows == NULL || self->seen < 2) {
        free(rows);
        return NAN;
    }
    for (size_t i = 0; i < self->n; i++)
        memcpy(rows + i * m, self->points[i].objective, m * sizeof *rows);
    volume = pareto_hypervolume(&set, self->reference);
    free(rows);
    return volume;
}

int front_collect(struct front *self, struct store *store, const struct objectives *objectives,
                  struct why *why)
{
    struct collecting c = {self, 0, FARM_OK};
    int rc;

    *self = (struct front){.objectives = *objectives};
    rc = store_each_trial(store, 0, visit, &c, why);
    if (rc == FARM_OK && c.rc != FARM_OK)
        rc = why_set(why, c.rc, "no memory for the front of %zu trials", self->n);
    if (rc != FARM_OK)
        return rc;
    if (self->n > 0)
        qsort(self->points, self->n, sizeof *self->points, best_first);
    self->hypervolume = hypervolume(self);
    return FARM_OK;
}

void front_release(struct front *self)
{
    free(self->points);
    *self = (struct front){.n = 0};
}

/* ---------------------------------------------------------------- telling */

/* A value as people have it: costs as they are, not negated. */
static double shown(const struct objectives *o, uint32_t i, double value)
{
    return !o->rewarded && o->of[i].lower ? -value : value;
}

static void cell(const struct objectives *o, uint32_t i, double value, char out[32])
{
    double v = shown(o, i, value);

    if (v == floor(v) && fabs(v) >= 10 && fabs(v) < 1e15 && !o->rewarded) {
        char text[28];

        text_thousands((uint64_t)fabs(v), text);
        snprintf(out, 32, "%s%s", v < 0 ? "-" : "", text);
    } else {
        snprintf(out, 32, "%.*f", fabs(v) < 100 ? 4 : 1, v);
    }
}

static const char *heading(const struct objectives *o, uint32_t i)
{
    if (o->rewarded)
        return "reward";
    return o->of[i].metric == METRIC_LATENCY ? "latency us" : metric_name(o->of[i].metric);
}

static void print_row(const struct front *self, FILE *out, struct store *store,
                      const struct space *space, const struct front_point *p)
{
    struct trial_record record;
    char *notation = NULL, text[32];

    fprintf(out, "%8" PRIu64, p->trial);
    for (uint32_t i = 0; i < self->objectives.n; i++) {
        cell(&self->objectives, i, p->objective[i], text);
        fprintf(out, "  %14s", text);
    }
    if (store_get_trial(store, p->trial, &record) == FARM_OK) {
        if (record.genome != NULL && space_check(space, record.genome, NULL) == FARM_OK)
            notation = space_notation(space, record.genome);
        trial_record_release(&record);
    }
    fprintf(out, "  %s\n", notation != NULL ? notation : "");
    free(notation);
}

int front_print(const struct front *self, FILE *out, struct store *store, const struct space *space,
                size_t most)
{
    size_t n = most > 0 && most < self->n ? most : self->n;
    char text[32];

    fprintf(out, "%8s", "trial");
    for (uint32_t i = 0; i < self->objectives.n; i++)
        fprintf(out, "  %14s", heading(&self->objectives, i));
    fprintf(out, "  network\n");
    for (size_t k = 0; k < n; k++) /* spread over the front, both ends with it */
        print_row(self, out, store, space, &self->points[n > 1 ? k * (self->n - 1) / (n - 1) : 0]);
    if (n < self->n)
        fprintf(out, "(%zu of the front's %zu; all of them: nasfarm front)\n", n, self->n);
    if (isnan(self->hypervolume))
        return FARM_OK;
    fprintf(out, "hypervolume %g above", self->hypervolume);
    for (uint32_t i = 0; i < self->objectives.n; i++) {
        cell(&self->objectives, i, self->reference[i], text);
        fprintf(out, "%s %s %s", i > 0 ? "," : "", heading(&self->objectives, i), text);
    }
    fprintf(out, ", the worst of %" PRIu64 " trials\n", self->seen);
    return FARM_OK;
}

static json_t *values_json(const struct objectives *o, const double *values)
{
    json_t *object = json_object();

    for (uint32_t i = 0; i < o->n; i++)
        json_object_set_new(object, heading(o, i), json_real(shown(o, i, values[i])));
    return object;
}

json_t *front_json(const struct front *self)
{
    json_t *points = json_array(), *top;

    for (size_t k = 0; k < self->n; k++) {
        json_t *point = values_json(&self->objectives, self->points[k].objective);

        json_object_set_new(point, "trial", json_integer((json_int_t)self->points[k].trial));
        json_array_append_new(points, point);
    }
    top = json_pack("{s:I,s:o,s:o}", "trials", (json_int_t)self->seen, "reference",
                    values_json(&self->objectives, self->reference), "front", points);
    if (top != NULL && !isnan(self->hypervolume))
        json_object_set_new(top, "hypervolume", json_real(self->hypervolume));
    return top;
}

int front_plot(const struct front *self, const char *path, struct why *why)
{
    const struct objectives *o = &self->objectives;
    double *x = calloc(self->n + 1, sizeof *x), *y = calloc(self->n + 1, sizeof *y);
    struct plot_series series = {.name = "Pareto front", .n = self->n, .x = x, .y = y};
    struct plot plot = {.title = "", .series = &series, .n_series = 1};
    int rc = FARM_ENOMEM;

    if (o->n != 2 || self->n == 0) {
        rc = why_set(why, FARM_EINPUT,
                     "a plot shows two objectives of one trial or more: there are %u of %zu", o->n,
                     self->n);
    } else if (x != NULL && y != NULL) {
        for (size_t k = 0; k < self->n;
             k++) { /* the best of the first objective is last: x rises */
            const struct front_point *p = &self->points[o->of[1].lower ? self->n - 1 - k : k];

            x[k] = shown(o, 1, p->objective[1]);
            y[k] = shown(o, 0, p->objective[0]);
        }
        plot.x_label = heading(o, 1);
        plot.y_label = heading(o, 0);
        rc = plot_write(path, &plot, why);
    }
    free(x);
    free(y);
    return rc;
}
