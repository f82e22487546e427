/* clock.h - monotonic time, and the wall clock for what people read.
 * It is not: a timer. Loops read it once a turn. */
#ifndef NASFARM_CLOCK_H
#define NASFARM_CLOCK_H

#include <stdint.h>

/* Monotonic milliseconds / nanoseconds since some start. */
int64_t clock_ms(void);
int64_t clock_ns(void);
/* Wall clock, milliseconds since 1970 (UTC): for records and logs, never for deadlines. */
int64_t clock_wall_ms(void);

#endif
