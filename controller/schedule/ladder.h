/* ladder.h - the budgets at which trials are looked at, in whole epochs, growing.
 *
 * It is:     min, min*eta, min*eta^2 ... below max, and max; or every so many epochs. In whole numbers, so that no rung
 *            is lost to rounding (log(243)/log(3) is 4.999...).
 * It is not: a rule of who climbs it.
 */
#ifndef NASFARM_LADDER_H
#define NASFARM_LADDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LADDER_RUNGS_MAX 256

struct ladder {
    uint32_t n;
    uint32_t budget[LADDER_RUNGS_MAX];
};

/* 1 <= min <= max, eta at least 2. */
void ladder_by_factor(struct ladder *self, uint32_t min, uint32_t max, uint32_t eta);
/* first, first + step ... below max, and max; steps grow where there would be more than LADDER_RUNGS_MAX. */
void ladder_by_step(struct ladder *self, uint32_t first, uint32_t max, uint32_t step);

#endif
