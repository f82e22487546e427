/* metrics.c - see metrics.h. https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const double bounds[HISTOGRAM_BOUNDS] = {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1,  0.3,  1,
                                                3,    10,   30,   100,  300,  1e3,  3600, 10800};

void metrics_init(struct metrics *self)
{
    *self = (struct metrics){NULL, 0, 0, false};
}

void metrics_release(struct metrics *self)
{
    free(self->text);
    metrics_init(self);
}

/* Room for `more` characters and a NUL. */
static bool grow(struct metrics *self, size_t more)
{
    size_t cap = self->cap > 0 ? self->cap : 4096;
    char *text;

    if (self->len + more < self->cap)
        return true;
    while (cap <= self->len + more)
        cap *= 2;
    if ((text = realloc(self->text, cap)) == NULL)
        return false;
    self->text = text;
    self->cap = cap;
    return true;
}

static void __attribute__((format(printf, 2, 3))) put(struct metrics *self, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0 || self->out_of_memory || !grow(self, (size_t)n)) {
        self->out_of_memory = true;
        return;
    }
    va_start(args, format);
    (void)vsnprintf(self->text + self->len, (size_t)n + 1, format, args);
    va_end(args);
    self->len += (size_t)n;
}

static void put_number(struct metrics *self, double value)
{
    if (isnan(value))
        put(self, "NaN\n");
    else if (isinf(value))
        put(self, "%cInf\n", value > 0 ? '+' : '-');
    else
        put(self, "%.15g\n", value);
}

static void put_head(struct metrics *self, const char *name, const char *type, const char *help)
{
    put(self, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_family(struct metrics *self, const char *name, enum metrics_type type,
                    const char *help)
{
    put_head(self, name, type == METRICS_COUNTER ? "counter" : "gauge", help);
}

void metrics_value(struct metrics *self, const char *name, const char *labels, double value)
{
    if (labels != NULL)
        put(self, "%s{%s} ", name, labels);
    else
        put(self, "%s ", name);
    put_number(self, value);
}

void metrics_gauge(struct metrics *self, const char *name, const char *help, double value)
{
    metrics_family(self, name, METRICS_GAUGE, help);
    metrics_value(self, name, NULL, value);
}

void metrics_counter(struct metrics *self, const char *name, const char *help, double value)
{
    metrics_family(self, name, METRICS_COUNTER, help);
    metrics_value(self, name, NULL, value);
}

void histogram_add(struct histogram *self, double seconds)
{
    size_t i = 0;

    if (isnan(seconds))
        return;
    while (i < HISTOGRAM_BOUNDS && seconds > bounds[i])
        i++;
    self->counts[i]++;
    self->sum += seconds > 0 ? seconds : 0;
}

uint64_t histogram_count(const struct histogram *self)
{
    uint64_t n = 0;

    for (size_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
        n += self->counts[i];
    return n;
}

void metrics_histogram(struct metrics *self, const char *name, const char *help,
                       const struct histogram *histogram)
{
    double below = 0; /* buckets are cumulative: each counts all that is at most its bound */

    put_head(self, name, "histogram", help);
    for (size_t i = 0; i < HISTOGRAM_BOUNDS; i++) {
        below += (double)histogram->counts[i];
        put(self, "%s_bucket{le=\"%g\"} %.0f\n", name, bounds[i], below);
    }
    below += (double)histogram->counts[HISTOGRAM_BOUNDS];
    put(self, "%s_bucket{le=\"+Inf\"} %.0f\n%s_sum %.15g\n%s_count %.0f\n", name, below, name,
        histogram->sum, name, below);
}
