/* levels.h - every dimension as a list of values: all whole ones, some of a real range.
 *
 * It is:     the grid that strategies of choices see.
 * It is not: a scale (dim_at(), dim_share() of space.h).
 */
#ifndef NASFARM_LEVELS_H
#define NASFARM_LEVELS_H

#include "space.h"

/* How many values: all where there are at most `all` whole ones, else `some`; 1 where the range is one number. */
uint64_t levels_of(const struct dim *dim, uint64_t all, uint64_t some);
/* The which-th of n of them: evenly from lo to hi, on the logarithm where that is what is drawn from. */
double level_value(const struct dim *dim, uint64_t which, uint64_t n);
/* The nearest of n to a value. */
uint64_t level_of(const struct dim *dim, double value, uint64_t n);

#endif
