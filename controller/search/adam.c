/* adam.c - see adam.h. */
#include "adam.h"

#include <math.h>

#define TINY                                                                                       \
    1e-30f /* a mean that shrinks below would become a denormal number, which is a hundred times slower */

void adam_step(struct adam *self, size_t n, float *restrict weights, const float *restrict gradient,
               float *restrict mean, float *restrict square)
{
    double t = (double)++self->step;
    float b1 = (float)self->beta1, b2 = (float)self->beta2;
    float lr = (float)(self->lr / (1 - pow(self->beta1, t)));
    float scale = (float)(1 / (1 - pow(self->beta2, t))), epsilon = (float)self->epsilon;

    for (size_t i = 0; i < n; i++) {
        float m = b1 * mean[i] + (1 - b1) * gradient[i];
        float v = b2 * square[i] + (1 - b2) * gradient[i] * gradient[i];

        mean[i] = m = fabsf(m) < TINY ? 0 : m;
        square[i] = v = v < TINY ? 0 : v;
        weights[i] -= lr * m / (sqrtf(v * scale) + epsilon);
    }
}
