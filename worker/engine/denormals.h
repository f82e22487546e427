/* denormals.h - numbers too small for a full mantissa, as 0: for the thread that trains.
 *
 * It is:     the processor's switch. Weights that decay to nothing, and the optimizer's averages behind them, end among
 *            these numbers, and an operation on one of them takes some hundred cycles: a training would stand still.
 * It is not: a change of what is learnt: they are below 1.2e-38.
 */
#ifndef NASFARM_DENORMALS_H
#define NASFARM_DENORMALS_H

#include <stdint.h>

/* From now on they are 0, read and written, in this thread. Returns what denormals_restore() takes. Where the processor
 * has no such switch, nothing changes. */
uint64_t denormals_off(void);
void denormals_restore(uint64_t before);

#endif
