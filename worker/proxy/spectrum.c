/* spectrum.c - determinants, eigenvalues and correlations of a few rows. Plain loops: a batch has a hundred. */
#include <math.h>
#include <stdlib.h>

#include "score_inside.h"

static void swap_rows(double *a, uint32_t n, uint32_t i, uint32_t j)
{
    for (uint32_t k = 0; k < n; k++) {
        double t = a[(size_t)i * n + k];

        a[(size_t)i * n + k] = a[(size_t)j * n + k];
        a[(size_t)j * n + k] = t;
    }
}

/* Gauss with the largest pivot of each column. */
double spectrum_logdet(double *a, uint32_t n)
{
    double sum = 0;

    for (uint32_t c = 0; c < n; c++) {
        uint32_t best = c;

        for (uint32_t r = c + 1; r < n; r++)
            if (fabs(a[(size_t)r * n + c]) > fabs(a[(size_t)best * n + c]))
                best = r;
        if (a[(size_t)best * n + c] == 0)
            return -INFINITY;
        swap_rows(a, n, c, best);
        sum += log(fabs(a[(size_t)c * n + c]));
        for (uint32_t r = c + 1; r < n; r++) {
            double f = a[(size_t)r * n + c] / a[(size_t)c * n + c];

            for (uint32_t k = c; k < n; k++)
                a[(size_t)r * n + k] -= f * a[(size_t)c * n + k];
        }
    }
    return sum;
}

/* One rotation that makes a[p][q] 0. */
static void rotate(double *a, uint32_t n, uint32_t p, uint32_t q)
{
    double pq = a[(size_t)p * n + q], theta, t, c, s;

    if (pq == 0)
        return;
    theta = (a[(size_t)q * n + q] - a[(size_t)p * n + p]) / (2 * pq);
    t = copysign(1, theta) / (fabs(theta) + sqrt(theta * theta + 1));
    c = 1 / sqrt(t * t + 1);
    s = t * c;
    for (uint32_t k = 0; k < n; k++) {
        double kp = a[(size_t)k * n + p], kq = a[(size_t)k * n + q];

        a[(size_t)k * n + p] = c * kp - s * kq;
        a[(size_t)k * n + q] = s * kp + c * kq;
    }
    for (uint32_t k = 0; k < n; k++) {
        double pk = a[(size_t)p * n + k], qk = a[(size_t)q * n + k];

        a[(size_t)p * n + k] = c * pk - s * qk;
        a[(size_t)q * n + k] = s * pk + c * qk;
    }
}

static double beside_diagonal(const double *a, uint32_t n)
{
    double sum = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            if (i != j)
                sum += a[(size_t)i * n + j] * a[(size_t)i * n + j];
    return sum;
}

void spectrum_eigenvalues(double *values, double *a, uint32_t n)
{
    for (int sweep = 0; sweep < 60 && beside_diagonal(a, n) > 1e-24 * n; sweep++)
        for (uint32_t p = 0; p < n; p++)
            for (uint32_t q = p + 1; q < n; q++)
                rotate(a, n, p, q);
    for (uint32_t i = 0; i < n; i++)
        values[i] = a[(size_t)i * n + i];
}

/* Each row minus its mean, over its length: then correlations are inner products. */
static void standardise(float *to, const float *row, size_t d)
{
    double mean = 0, square = 0;

    for (size_t k = 0; k < d; k++)
        mean += (double)row[k];
    mean /= (double)d;
    for (size_t k = 0; k < d; k++)
        square += ((double)row[k] - mean) * ((double)row[k] - mean);
    for (size_t k = 0; k < d; k++)
        to[k] = (float)(((double)row[k] - mean) / sqrt(square));
}

static double dot(const float *a, const float *b, size_t d)
{
    double sum = 0;

    for (size_t k = 0; k < d; k++)
        sum += (double)a[k] * (double)b[k];
    return sum;
}

double spectrum_jacob_cov(const float *rows, uint32_t n, size_t d)
{
    const double k = 1e-5;
    float *unit = malloc(n * d * sizeof *unit);
    double *c = malloc((size_t)n * n * sizeof *c), *v = malloc(n * sizeof *v), score = 0;

    if (unit == NULL || c == NULL || v == NULL) {
        score = NAN;
        goto out;
    }
    for (uint32_t i = 0; i < n; i++)
        standardise(unit + i * d, rows + i * d, d);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++)
            c[(size_t)i * n + j] = c[(size_t)j * n + i] = dot(unit + i * d, unit + j * d, d);
    spectrum_eigenvalues(v, c, n);
    for (uint32_t i = 0; i < n; i++) {
        double at = fmax(v[i], 0) + k; /* what is below 0 is rounding */

        score -= v[i] == v[i] ? log(at) + 1 / at : NAN;
    }
out:
    free(unit);
    free(c);
    free(v);
    return score;
}
