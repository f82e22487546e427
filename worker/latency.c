/* latency.c - samples until they agree, and their quartiles. */
#include "latency.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "rng.h"

#define SAMPLES_MAX     2000u
#define SAMPLES_TO_STOP 15u
#define SAMPLES_MIN     3u
#define SAMPLE_US       250.0

static double thread_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail for this clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Between the two nearest, as in most books: at share of the way from the first to the last. */
static double quantile(const double *sorted, uint32_t n, double share)
{
    double at = share * (n - 1);
    uint32_t below = (uint32_t)at;

    return below + 1 < n ? sorted[below] + (at - below) * (sorted[below + 1] - sorted[below])
                         : sorted[n - 1];
}

void latency_of_samples(struct latency *out, double *us, uint32_t n)
{
    qsort(us, n, sizeof *us, ascending);
    *out = (struct latency){.median_us = quantile(us, n, 0.5),
                            .spread_us = quantile(us, n, 0.75) - quantile(us, n, 0.25),
                            .samples = n};
}

static double sample_us(struct net *net, uint32_t images)
{
    double start = thread_us();

    for (uint32_t i = 0; i < images; i++)
        (void)net_forward(net, 1, false);
    return (thread_us() - start) / images;
}

static bool settled(const struct latency *l, double relative_error)
{
    return l->samples >= SAMPLES_TO_STOP &&
           1.57 * l->spread_us <= relative_error * l->median_us * sqrt(l->samples);
}

/* Looks after 15 samples, and then each time that there are half as many again. */
static void sample(struct latency *out, struct net *net, double *us,
                   const struct latency_config *config)
{
    double error = config->relative_error > 0 ? config->relative_error : 0.01;
    double limit_s = config->limit_s > 0 ? config->limit_s : 1;
    int64_t end = clock_ns() + (int64_t)(limit_s * 1e9);
    uint32_t images = 1, look = SAMPLES_TO_STOP;
    double one = sample_us(net, 1); /* packs the weights */

    one = fmin(one, sample_us(net, 1));
    if (one < SAMPLE_US)
        images = (uint32_t)(SAMPLE_US / fmax(one, 0.1)) + 1;
    (void)sample_us(net, images);
    *out = (struct latency){0};
    for (uint32_t n = 0; n < SAMPLES_MAX && !settled(out, error);) {
        us[n++] = sample_us(net, images);
        if (n >= SAMPLES_MIN && clock_ns() >= end) {
            latency_of_samples(out, us, n);
            return;
        }
        if (n == look || n == SAMPLES_MAX) {
            latency_of_samples(out, us, n);
            look += look / 2;
        }
    }
}

/* Both have the same parameters in the same order. */
static void take_weights(struct net *to, struct net *from)
{
    for (size_t i = 0; i < net_n_params(to); i++)
        memcpy(net_param(to, i)->value, net_param(from, i)->value,
               net_param(to, i)->n * sizeof(float));
}

static void fill_input(struct net *net, const struct graph *graph)
{
    size_t values = (size_t)graph->input.h * graph->input.w * graph->input.c;
    struct rng rng;

    rng_seed(&rng, 1);
    for (size_t i = 0; i < values; i++)
        net_input(net)[i] = (float)rng_normal(&rng);
}

int latency_measure(struct latency *out, const struct graph *graph, struct net *weights,
                    const struct latency_config *config, struct why *why)
{
    struct net_config one = {
        .batch = 1, .mode = NET_INFER, .seed = 1, .memory_limit = config->memory_limit};
    double *us = malloc(SAMPLES_MAX * sizeof *us);
    struct net *net = NULL;
    int rc;

    if (us == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to measure a latency");
    if ((rc = net_create(&net, graph, &one, why)) == FARM_OK) {
        if (weights != NULL)
            take_weights(net, weights);
        fill_input(net, graph);
        net_freeze(net);
        sample(out, net, us, config);
        out->bytes = net_peak_bytes(net);
        net_destroy(&net);
    }
    free(us);
    return rc;
}
