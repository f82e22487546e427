/* points.c - how many points a space has, of which two that differ in inactive genes alone count once. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "space.h"

#define EXACT_BELOW (UINT64_C(1) << 63)

/* A number, as its logarithm and exactly as long as it is small. */
struct count {
    double log10;
    uint64_t exact; /* 0: 2^63 or more (no count is 0) */
};

static struct count times(struct count a, struct count b)
{
    struct count out = {a.log10 + b.log10, 0};

    if (a.exact == 0 || b.exact == 0 || __builtin_mul_overflow(a.exact, b.exact, &out.exact) ||
        out.exact >= EXACT_BELOW)
        out.exact = 0;
    return out;
}

static struct count plus(struct count a, struct count b)
{
    double high = fmax(a.log10, b.log10), low = fmin(a.log10, b.log10);
    struct count out = {high + log10(1 + pow(10, low - high)), 0};

    if (a.exact != 0 && b.exact != 0 && a.exact + b.exact < EXACT_BELOW)
        out.exact = a.exact + b.exact;
    return out;
}

static struct count number(uint64_t n)
{
    return (struct count){log10((double)n), n < EXACT_BELOW ? n : 0};
}

static bool is_under(const struct dim *d, uint32_t parent, double value)
{
    return d->parent == (int32_t)parent &&
           (d->at_least ? value >= d->parent_value : value == d->parent_value);
}

/* Of gene i with all that depends on it. Those have higher numbers, and their counts are there. */
static struct count count_from(const struct space *self, uint32_t i, const struct count *below)
{
    const struct dim *d = &self->dims[i];
    uint64_t n = dim_values(d), without = 0;
    double lo = d->kind == DIM_INTEGER ? d->lo : 0;
    struct count sum = {-INFINITY, 0};
    bool parent = false, first = true;

    for (uint32_t c = i + 1; c < self->n_dims && !parent; c++)
        parent = self->dims[c].parent == (int32_t)i;
    if (!parent)
        return number(n);
    for (uint64_t v = 0; v < n; v++) {
        struct count under = number(1);
        bool any = false;

        for (uint32_t c = i + 1; c < self->n_dims; c++)
            if (is_under(&self->dims[c], i, lo + (double)v)) {
                under = times(under, below[c]);
                any = true;
            }
        without += !any;
        if (any) {
            sum = first ? under : plus(sum, under);
            first = false;
        }
    }
    if (without == 0)
        return sum;
    return first ? number(without) : plus(sum, number(without));
}

static struct count count_all(const struct space *self)
{
    struct count *counts = malloc((self->n_dims + 1) * sizeof *counts), all = number(1);

    if (counts == NULL)
        return (struct count){NAN, 0};
    for (uint32_t i = self->n_dims; i-- > 0;) {
        if (dim_values(&self->dims[i]) == 0) {
            free(counts);
            return (struct count){INFINITY, 0};
        }
        counts[i] = count_from(self, i, counts);
        if (self->dims[i].parent < 0)
            all = times(all, counts[i]);
    }
    free(counts);
    return all;
}

double space_log10_points(const struct space *self)
{
    return count_all(self).log10;
}

const char *space_points_text(const struct space *self, char room[32])
{
    struct count all = count_all(self);
    double whole = floor(all.log10);

    if (isinf(all.log10))
        (void)snprintf(room, 32, "infinitely many");
    else if (all.exact != 0)
        (void)snprintf(room, 32, "%llu", (unsigned long long)all.exact);
    else /* never 10.0e18 */
        (void)snprintf(room, 32, "%.1fe%.0f", fmin(9.9, pow(10, all.log10 - whole)), whole);
    return room;
}
