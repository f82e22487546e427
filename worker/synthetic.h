/* synthetic.h - an evaluation that costs nothing: for trials and measurements of the farm itself.
 *
 * It is:     a function of the packed graph and the task's seed, the same everywhere.
 * It is not: a network that was trained, nor the waiting: a duration is only drawn here.
 */
#ifndef NASFARM_SYNTHETIC_H
#define NASFARM_SYNTHETIC_H

#include "task.h"

/* Uniform in 0..1 over tasks. */
double synthetic_fitness(const struct task *task);
/* What such an evaluation answers: always OK, or REJECTED when there is no graph. */
void synthetic_result(const struct task *task, struct result *out);
/* Milliseconds between least and most, drawn from the same. */
uint32_t synthetic_ms(const struct task *task, uint32_t least, uint32_t most);

#endif
