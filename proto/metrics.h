/* metrics.h - numbers about a running program as text, for Prometheus and whoever else reads its format.
 *
 * It is:     a growing text in the exposition format 0.0.4, and a histogram of seconds to fill it from.
 * It is not: who serves the text (monitor.h), nor a registry: whoever has the numbers writes them when they are asked for.
 *
 * A family is begun once, then its values follow. Nothing is escaped: names, labels and help texts are the program's own, or
 * names that wire_name_ok() has passed.
 */
#ifndef NASFARM_METRICS_H
#define NASFARM_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct metrics {
    char *text; /* NUL-terminated once something was written; NULL before */
    size_t len, cap;
    bool out_of_memory; /* the text is not complete */
};
void metrics_init(struct metrics *self);
void metrics_release(struct metrics *self);

enum metrics_type { METRICS_GAUGE, METRICS_COUNTER };

/* Begins a family: # HELP and # TYPE. A counter's name ends in _total. */
void metrics_family(struct metrics *self, const char *name, enum metrics_type type,
                    const char *help);
/* One value of it. labels: `reason="timeout"`, or NULL for none. NaN and infinities are values, too. */
void metrics_value(struct metrics *self, const char *name, const char *labels, double value);
/* Both at once, for a family of one value. */
void metrics_gauge(struct metrics *self, const char *name, const char *help, double value);
void metrics_counter(struct metrics *self, const char *name, const char *help, double value);

/* How often something took how long, from 0.1 ms to 3 hours in buckets that grow by about the root of ten. All zero is an
 * empty one. */
#define HISTOGRAM_BOUNDS 17
struct histogram {
    uint64_t
        counts[HISTOGRAM_BOUNDS +
               1]; /* of what is at most a bound and above the one before; the last: above all */
    double sum;
};
void histogram_add(struct histogram *self,
                   double seconds); /* below 0 counts as 0; NaN is left out */
uint64_t histogram_count(const struct histogram *self);
/* A whole family; its name ends in _seconds. */
void metrics_histogram(struct metrics *self, const char *name, const char *help,
                       const struct histogram *histogram);

#endif
