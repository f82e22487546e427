/* bench_constraint.c - how fast genomes are drawn under a constraint: on multiply-adds, set so that a tenth of the space
 * satisfies it. Each is drawn, decoded, and its cost counted, until one fits, as a search does before it publishes a task.
 *
 *   usage: bench_constraint [SPACE ...]   (all of them), for images of 32x32x3 and 10 classes
 *
 * Rates are per second of this thread's processor time: the median of nine runs of a tenth of a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "space.h"

#define RUNS   9
#define RUN_S  0.1
#define SAMPLE 1000

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void must(int rc, const struct why *why)
{
    if (rc == FARM_OK)
        return;
    fprintf(stderr, "bench_constraint: %s\n", why->text);
    exit(1);
}

struct bench {
    struct space *space;
    struct genome *genome;
    struct rng rng;
};

static double macs_of_next(struct bench *b)
{
    struct graph *graph = NULL;
    struct graph_cost cost;
    struct why why = {""};

    space_sample(b->space, &b->rng, b->genome);
    must(space_decode(b->space, b->genome, &graph, &why), &why);
    must(graph_cost(graph, &cost), &why);
    graph_destroy(&graph);
    return (double)cost.macs;
}

/* The multiply-adds that a tenth of the space stays below. */
static double tenth(struct bench *b)
{
    static double macs[SAMPLE];

    for (int i = 0; i < SAMPLE; i++)
        macs[i] = macs_of_next(b);
    qsort(macs, SAMPLE, sizeof macs[0], by_size);
    return macs[SAMPLE / 10];
}

static void run(struct bench *b, double limit, double *drawn, double *kept)
{
    double begin = cpu_s(), n = 0, fit = 0, seconds;

    do {
        fit += macs_of_next(b) <= limit;
        n++;
        seconds = cpu_s() - begin;
    } while (seconds < RUN_S);
    *drawn = n / seconds;
    *kept = fit / seconds;
}

static void bench(const char *name)
{
    struct space_config config = {.input = {32, 32, 3}, .classes = 10};
    struct bench b = {.space = NULL};
    double limit, drawn[RUNS], kept[RUNS];
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    must(space_open(&b.space, &config, &why), &why);
    b.genome = genome_create(b.space->n_dims);
    rng_seed(&b.rng, 1);
    limit = tenth(&b);
    for (int i = 0; i < RUNS; i++)
        run(&b, limit, &drawn[i], &kept[i]);
    qsort(drawn, RUNS, sizeof drawn[0], by_size);
    qsort(kept, RUNS, sizeof kept[0], by_size);
    printf("| %s | %.1f M | %.0f | %.0f |\n", name, limit / 1e6, drawn[RUNS / 2], kept[RUNS / 2]);
    fflush(stdout);
    free(b.genome);
    space_close(&b.space);
}

int main(int argc, char **argv)
{
    printf("| space | multiply-adds of the smallest tenth | genomes drawn a second | that fit a "
           "second "
           "|\n|---|---|---|---|\n");
    for (int i = 1; i < argc; i++)
        bench(argv[i]);
    for (const struct space_ops *const *space = space_all(); argc < 2 && *space != NULL; space++)
        bench((*space)->name);
    return 0;
}
