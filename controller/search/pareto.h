/* pareto.h - several objectives at once: who dominates whom, fronts, crowding, hypervolume.
 *
 * It is:     pure functions over points. Every objective is raised. K. Deb et al., NSGA-II, 2002, with its
 *            constrained domination.
 * It is not: a population, nor a strategy (nsga2.c).
 */
#ifndef NASFARM_PARETO_H
#define NASFARM_PARETO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n points of m objectives, row after row. */
struct pareto_set {
    const double *objectives; /* n * m */
    const double *violations; /* n numbers of at least 0, or NULL: nothing is violated */
    size_t n;
    uint32_t m;
};

/* Of two points: what violates nothing beats what does, then the smaller violation; of two that violate nothing, the
 * one that is nowhere worse and somewhere better. Equal points do not dominate one another. */
bool pareto_dominates(const struct pareto_set *set, size_t a, size_t b);
/* rank[i] = 0 for the first front, 1 for the next ... Returns the number of fronts. FARM_ENOMEM is SIZE_MAX. */
size_t pareto_fronts(const struct pareto_set *set, uint32_t *rank);
/* Crowding distance among the points `front` (n_front numbers of points), into distance[point]: infinite at the ends of
 * each objective; inside the sum of (next - previous) / (largest - smallest) of the front. An objective in which the
 * front does not differ adds nothing. Equal values keep the order of `front`. `front` is reordered. */
void pareto_crowding(const struct pareto_set *set, uint32_t *front, size_t n_front,
                     double *distance);
/* The volume that the points dominate above reference (m numbers): exact, by slicing; points that do not exceed the
 * reference everywhere count nothing. NaN when out of memory. Meant for up to some hundreds of points. */
double pareto_hypervolume(const struct pareto_set *set, const double *reference);

#endif
