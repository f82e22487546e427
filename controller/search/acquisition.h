/* acquisition.h - how promising a prediction with its uncertainty is. What is predicted is a loss: smaller is better, also of
 * what these return (but for the improvement, which is raised).
 */
#ifndef NASFARM_ACQUISITION_H
#define NASFARM_ACQUISITION_H

#include <stddef.h>

#include "rng.h"

/* Of n predictions; the deviation is that of n, not n - 1. */
void predictions_summary(const float *predictions, size_t n, double *mean, double *deviation);

/* Independent Thompson sampling: one draw from the normal distribution. */
double acquisition_draw(double mean, double deviation, struct rng *rng);
/* The optimist's bound: mean - 0.5 deviation. */
double acquisition_bound(double mean, double deviation);
/* By how much the best so far is expected to be improved, at least 0. */
double acquisition_improvement(double mean, double deviation, double best);

/* Kendall's tau-b of two rankings of n: 1 the same, -1 reversed; ties count for neither. NAN when one is all ties. */
double kendall_tau(const double *a, const double *b, size_t n);

#endif
