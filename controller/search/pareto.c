/* pareto.c - plain loops: fronts of some hundred points, several times a second. */
#include "pareto.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double violation_of(const struct pareto_set *set, size_t i)
{
    return set->violations != NULL ? set->violations[i] : 0;
}

static bool nowhere_worse(const double *a, const double *b, uint32_t m)
{
    for (uint32_t k = 0; k < m; k++)
        if (a[k] < b[k])
            return false;
    return true;
}

bool pareto_dominates(const struct pareto_set *set, size_t a, size_t b)
{
    const double *pa = set->objectives + a * set->m, *pb = set->objectives + b * set->m;
    double va = violation_of(set, a), vb = violation_of(set, b);

    if (va > 0 || vb > 0)
        return va < vb;
    return nowhere_worse(pa, pb, set->m) && !nowhere_worse(pb, pa, set->m);
}

/* Peels: whoever is dominated by nobody that is left is of the next front. */
size_t pareto_fronts(const struct pareto_set *set, uint32_t *rank)
{
    uint32_t *dominators = calloc(set->n + 1, sizeof *dominators);
    size_t left = set->n, front = 0;

    if (dominators == NULL)
        return SIZE_MAX;
    for (size_t i = 0; i < set->n; i++) {
        rank[i] = UINT32_MAX;
        for (size_t j = 0; j < set->n; j++)
            dominators[i] += pareto_dominates(set, j, i);
    }
    for (; left > 0; front++) {
        for (size_t i = 0; i < set->n; i++)
            if (rank[i] == UINT32_MAX && dominators[i] == 0) {
                rank[i] = (uint32_t)front;
                left--;
            }
        for (size_t i = 0; i < set->n; i++)
            for (size_t j = 0; rank[i] == front && j < set->n; j++)
                if (rank[j] == UINT32_MAX && pareto_dominates(set, i, j))
                    dominators[j]--;
    }
    free(dominators);
    return front;
}

/* Insertion, stable: fronts are short, and mostly in order from the objective before. */
static void sort_by(const struct pareto_set *set, uint32_t objective, uint32_t *front, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        uint32_t moved = front[i];
        double value = set->objectives[(size_t)moved * set->m + objective];
        size_t j = i;

        for (; j > 0 && set->objectives[(size_t)front[j - 1] * set->m + objective] > value; j--)
            front[j] = front[j - 1];
        front[j] = moved;
    }
}

void pareto_crowding(const struct pareto_set *set, uint32_t *front, size_t n_front,
                     double *distance)
{
    for (size_t i = 0; i < n_front; i++)
        distance[front[i]] = 0;
    for (uint32_t k = 0; k < set->m && n_front > 0; k++) {
        double lo, range;

        sort_by(set, k, front, n_front);
        lo = set->objectives[(size_t)front[0] * set->m + k];
        range = set->objectives[(size_t)front[n_front - 1] * set->m + k] - lo;
        distance[front[0]] = distance[front[n_front - 1]] = INFINITY;
        for (size_t i = 1; i + 1 < n_front && range > 0; i++)
            distance[front[i]] += (set->objectives[(size_t)front[i + 1] * set->m + k] -
                                   set->objectives[(size_t)front[i - 1] * set->m + k]) /
                                  range;
    }
}

static int larger_last_first(const void *a, const void *b, void *m)
{
    uint32_t last = *(const uint32_t *)m - 1;
    const double *pa = a, *pb = b;

    return (pa[last] < pb[last]) - (pa[last] > pb[last]);
}

/* points: n rows of `stride` numbers above 0, of which the first m count; they are reordered. A slice of the last
 * objective, from one point's value down to the next one's, has the volume of the points above it in the others. */
static double volume(double *points, size_t n, uint32_t stride, uint32_t m)
{
    double sum = 0, *above;

    if (m == 1) {
        for (size_t i = 0; i < n; i++)
            sum = fmax(sum, points[i * stride]);
        return sum;
    }
    qsort_r(points, n, stride * sizeof *points, larger_last_first, &m);
    if ((above = malloc((n > 0 ? n : 1) * stride * sizeof *above)) == NULL)
        return NAN;
    for (size_t i = 0; i < n; i++) {
        double below = i + 1 < n ? points[(i + 1) * stride + m - 1] : 0;
        double height = points[i * stride + m - 1] - below;

        if (height > 0) {
            memcpy(above, points, (i + 1) * stride * sizeof *above);
            sum += height * volume(above, i + 1, stride, m - 1);
        }
    }
    free(above);
    return sum;
}

double pareto_hypervolume(const struct pareto_set *set, const double *reference)
{
    double *points = malloc((set->n > 0 ? set->n : 1) * set->m * sizeof *points), result;
    size_t n = 0;

    if (points == NULL)
        return NAN;
    for (size_t i = 0; i < set->n; i++) {
        bool above = violation_of(set, i) == 0;

        for (uint32_t k = 0; k < set->m; k++) {
            points[n * set->m + k] = set->objectives[i * set->m + k] - reference[k];
            above = above && points[n * set->m + k] > 0;
        }
        n += above;
    }
    result = set->m > 0 ? volume(points, n, set->m, set->m) : 0;
    free(points);
    return result;
}
