/* ladder.c - see ladder.h. */
#include "ladder.h"

void ladder_by_factor(struct ladder *self, uint32_t min, uint32_t max, uint32_t eta)
{
    self->n = 0;
    for (uint64_t budget = min; budget < max && self->n + 1 < LADDER_RUNGS_MAX; budget *= eta)
        self->budget[self->n++] = (uint32_t)budget;
    self->budget[self->n++] = max;
}

void ladder_by_step(struct ladder *self, uint32_t first, uint32_t max, uint32_t step)
{
    while ((max - first) / step + 2 > LADDER_RUNGS_MAX)
        step++;
    self->n = 0;
    for (uint64_t budget = first; budget < max; budget += step)
        self->budget[self->n++] = (uint32_t)budget;
    self->budget[self->n++] = max;
}
