/* bench_decode.c - what it costs to look at a genome before anything is trained: decoding, which checks it, and its cost;
 * beside that its hash, by which known networks are found. Processor time of this thread, medians of random genomes.
 *
 *   bench_decode [SPACE [HxWxC [CELLS]]]
 *
 * Without a space: all of them, for CIFAR-10 as the papers have it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "space.h"

#define GENOMES 501

static double now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, GENOMES, sizeof *values, by_value);
    return values[GENOMES / 2];
}

struct times {
    double decode[GENOMES], cost[GENOMES], both[GENOMES], hash[GENOMES], nodes[GENOMES];
};

static bool measure(const struct space *space, struct times *t)
{
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;
    bool ok = genome != NULL;

    rng_seed(&rng, 1);
    for (int i = 0; i < GENOMES && ok; i++) {
        struct graph *graph = NULL;
        struct graph_cost cost;
        struct digest digest;
        double start, decoded, counted;

        space_sample(space, &rng, genome);
        start = now_us();
        ok = space_decode(space, genome, &graph, NULL) == FARM_OK;
        decoded = now_us();
        ok = ok && graph_cost(graph, &cost) == FARM_OK;
        counted = now_us();
        ok = ok && graph_hash(graph, &digest) == FARM_OK;
        t->hash[i] = now_us() - counted;
        t->decode[i] = decoded - start;
        t->cost[i] = counted - decoded;
        t->both[i] = counted - start;
        t->nodes[i] = ok ? graph->n_nodes : 0;
        graph_destroy(&graph);
    }
    free(genome);
    return ok;
}

static int report(const char *name, struct graph_shape images, uint32_t cells, struct times *t)
{
    struct space_config config = {.input = images, .classes = 10, .cells = cells};
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    if (space_open(&space, &config, &why) != FARM_OK) {
        fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    if (measure(space, t))
        printf("%-16s  %6.0f  %8.1f  %8.1f  %8.1f  %8.1f\n", name, median(t->nodes),
               median(t->decode), median(t->cost), median(t->both), median(t->hash));
    space_close(&space);
    return 0;
}

/* "28x28x1" */
static bool read_images(const char *text, struct graph_shape *out)
{
    char *end;

    out->h = (uint32_t)strtoul(text, &end, 10);
    if (*end == 'x')
        out->w = (uint32_t)strtoul(end + 1, &end, 10);
    if (*end == 'x')
        out->c = (uint32_t)strtoul(end + 1, &end, 10);
    return *end == '\0' && out->h > 0 && out->w > 0 && out->c > 0;
}

int main(int argc, char **argv)
{
    struct graph_shape images = {32, 32, 3};
    struct times *t = malloc(sizeof *t);
    int rc = 0;

    if (t == NULL || (argc > 2 && !read_images(argv[2], &images))) {
        fprintf(stderr, "usage: bench_decode [SPACE [HxWxC [CELLS]]]\n");
        free(t);
        return 2;
    }
    printf("microseconds, medians of %d random genomes, images of %ux%ux%u\n", GENOMES, images.h,
           images.w, images.c);
    printf("%-16s  %6s  %8s  %8s  %8s  %8s\n", "space", "nodes", "decode", "cost", "together",
           "hash");
    if (argc > 1)
        rc = report(argv[1], images, argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0, t);
    else
        for (const struct space_ops *const *ops = space_all(); *ops != NULL && rc == 0; ops++)
            rc = report((*ops)->name, images, 0, t);
    free(t);
    return rc;
}
