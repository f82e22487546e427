/* matrix.c - see matrix.h. */
#include "matrix.h"

#include <math.h>

#define SWEEPS 60 /* of all pairs; ten are enough for doubles */

bool matrix_cholesky(double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];

            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            if (i != j)
                a[i * n + j] = sum / a[j * n + j];
            else if (sum > 0)
                a[i * n + i] = sqrt(sum);
            else
                return false;
        }
    return true;
}

void matrix_solve_lower(const double *l, size_t n, double *x)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
}

void matrix_solve_upper(const double *l, size_t n, double *x)
{
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
}

/* (x, y) becomes (c x - s y, s x + c y). */
static void rotate(double *x, double *y, double c, double s)
{
    double was = *x;

    *x = c * was - s * *y;
    *y = s * was + c * *y;
}

/* Makes a[p][q] 0 by a rotation in the plane of p and q. */
static void annihilate(double *a, size_t n, size_t p, size_t q, double *vectors)
{
    double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;

    for (size_t k = 0; k < n; k++)
        rotate(&a[k * n + p], &a[k * n + q], c, s);
    for (size_t k = 0; k < n; k++)
        rotate(&a[p * n + k], &a[q * n + k], c, s);
    for (size_t k = 0; k < n; k++)
        rotate(&vectors[k * n + p], &vectors[k * n + q], c, s);
}

static double off_diagonal(const double *a, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            sum += a[i * n + j] * a[i * n + j];
    return sum;
}

void matrix_eigen(double *a, size_t n, double *values, double *vectors)
{
    for (size_t i = 0; i < n * n; i++)
        vectors[i] = i % (n + 1) == 0;
    for (int sweep = 0; sweep < SWEEPS && off_diagonal(a, n) > 0; sweep++)
        for (size_t q = 1; q < n; q++)
            for (size_t p = 0; p < q; p++) {
                double scale = fabs(a[p * n + p]) + fabs(a[q * n + q]);

                if (scale + fabs(a[p * n + q]) == scale)
                    a[p * n + q] = a[q * n + p] = 0;
                else
                    annihilate(a, n, p, q, vectors);
            }
    for (size_t i = 0; i < n; i++)
        values[i] = a[i * n + i];
}
