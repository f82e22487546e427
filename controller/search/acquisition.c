/* acquisition.c - see acquisition.h. */
#include "acquisition.h"

#include <math.h>

#define ROOT_OF_2    1.4142135623730951
#define ROOT_OF_2_PI 2.5066282746310002

void predictions_summary(const float *predictions, size_t n, double *mean, double *deviation)
{
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        sum += predictions[i];
    *mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (predictions[i] - *mean) * (predictions[i] - *mean);
    *deviation = sqrt(squares / (double)n);
}

double acquisition_draw(double mean, double deviation, struct rng *rng)
{
    return mean + deviation * rng_normal(rng);
}

double acquisition_bound(double mean, double deviation)
{
    return mean - 0.5 * deviation;
}

double acquisition_improvement(double mean, double deviation, double best)
{
    double gain = best - mean, u;

    if (!(deviation > 0))
        return fmax(gain, 0);
    u = gain / deviation;
    return fmax(gain * 0.5 * erfc(-u / ROOT_OF_2) + deviation * exp(-0.5 * u * u) / ROOT_OF_2_PI,
                0);
}

static int order(double a, double b)
{
    return (a > b) - (a < b);
}

double kendall_tau(const double *a, const double *b, size_t n)
{
    double both = 0, by_a = 0, by_b = 0;

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < i; k++) {
            int in_a = order(a[i], a[k]), in_b = order(b[i], b[k]);

            both += in_a * in_b;
            by_a += in_a != 0;
            by_b += in_b != 0;
        }
    return both / sqrt(by_a * by_b);
}
