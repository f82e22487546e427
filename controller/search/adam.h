/* adam.h - the optimizer of small models inside strategies (D. Kingma, J. Ba 2015, arXiv:1412.6980).
 *
 * It is:     a step on plain arrays, the same bits on every machine: no sum, no library but sqrt() and pow().
 * It is not: the optimizers of the worker (worker/engine/optimizer.h).
 */
#ifndef NASFARM_ADAM_H
#define NASFARM_ADAM_H

#include <stddef.h>
#include <stdint.h>

struct adam {
    double lr, beta1, beta2, epsilon;
    uint64_t step; /* so many were done */
};

/* Moves n weights against the gradient; mean and square are its moments, zeros before the first step. */
void adam_step(struct adam *self, size_t n, float *restrict weights, const float *restrict gradient,
               float *restrict mean, float *restrict square);

#endif
