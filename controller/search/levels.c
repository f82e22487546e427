/* levels.c - see levels.h. */
#include "levels.h"

#include <math.h>

uint64_t levels_of(const struct dim *dim, uint64_t all, uint64_t some)
{
    uint64_t n = dim_values(dim);

    if (n > 0 && (n <= all || n <= some))
        return n;
    return dim->hi > dim->lo ? some : 1;
}

double level_value(const struct dim *dim, uint64_t which, uint64_t n)
{
    double share = n > 1 ? (double)which / (double)(n - 1) : 0.5, v;

    if (dim->kind == DIM_CATEGORICAL)
        return (double)which;
    if (dim_values(dim) == n)
        return dim->lo + (double)which;
    if (which == 0 || which + 1 == n)
        return which == 0 ? dim->lo : dim->hi;
    v = dim->kind == DIM_LOG_REAL ? dim->lo * pow(dim->hi / dim->lo, share)
                                  : dim->lo + (dim->hi - dim->lo) * share;
    return dim->kind == DIM_INTEGER ? round(v) : v;
}

uint64_t level_of(const struct dim *dim, double value, uint64_t n)
{
    double share;

    if (dim->kind == DIM_CATEGORICAL)
        return (uint64_t)value;
    if (dim_values(dim) == n)
        return (uint64_t)(value - dim->lo);
    share = dim->kind == DIM_LOG_REAL ? log(value / dim->lo) / log(dim->hi / dim->lo)
                                      : (value - dim->lo) / (dim->hi - dim->lo);
    return n > 1 ? (uint64_t)round(fmin(fmax(share, 0), 1) * (double)(n - 1)) : 0;
}
