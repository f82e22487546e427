/* proxies_nb201.c - how well each zero-cost proxy ranks cells of NAS-Bench-201, and what one score costs.
 *
 *     proxies_nb201 TABLE.csv[.gz] DATA [CELLS] [BATCH] [SEED]
 *
 * Random cells are scored on one batch of DATA by their untrained networks; the ranks are compared with the test accuracy
 * that the table has of them after 200 epochs of CIFAR-10 (Spearman's rho, Kendall's tau-b). A score that is not defined or
 * not finite ranks last. Milliseconds are processor time of one thread, medians.
 *
 * It is not: a test; it judges nothing.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_table.h"
#include "data/batch.h"
#include "data/dataset.h"
#include "data/split.h"
#include "score.h"
#include "space.h"

struct cells {
    uint32_t n;
    double *accuracy, *score, *ms;
};

static int fail(const struct why *why)
{
    fprintf(stderr, "proxies_nb201: %s\n", why->text);
    return EXIT_FAILURE;
}

static double thread_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *x, uint32_t n)
{
    qsort(x, n, sizeof *x, ascending);
    return n % 2 == 1 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

/* Mean rank of equals. */
static void ranks(double *to, const double *x, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t below = 0, same = 0;

        for (uint32_t j = 0; j < n; j++) {
            below += x[j] < x[i];
            same += x[j] == x[i];
        }
        to[i] = below + (same - 1) / 2.0;
    }
}

static double spearman(const double *x, const double *y, uint32_t n)
{
    double *a = calloc(2 * (size_t)n + 1, sizeof *a), *b = a + n, ab = 0, aa = 0, bb = 0;
    double mean = (n - 1) / 2.0;

    if (a == NULL)
        return NAN;
    ranks(a, x, n);
    ranks(b, y, n);
    for (uint32_t i = 0; i < n; i++) {
        ab += (a[i] - mean) * (b[i] - mean);
        aa += (a[i] - mean) * (a[i] - mean);
        bb += (b[i] - mean) * (b[i] - mean);
    }
    free(a);
    return ab / sqrt(aa * bb);
}

static double kendall(const double *x, const double *y, uint32_t n)
{
    double sum = 0, pairs_x = 0, pairs_y = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++) {
            int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);

            sum += a * b;
            pairs_x += a != 0;
            pairs_y += b != 0;
        }
    return sum / sqrt(pairs_x * pairs_y);
}

/* The same cells for every proxy. */
static int score_cells(struct cells *cells, enum proxy proxy, const struct space *space,
                       const struct bench_table *table, const struct score_batch *batch,
                       uint64_t seed, struct why *why)
{
    struct genome *genome = genome_create(space->n_dims);
    struct rng rng;
    int rc = FARM_OK;

    if (genome == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a genome");
    rng_seed(&rng, seed);
    for (uint32_t i = 0; i < cells->n && rc == FARM_OK; i++) {
        struct graph *graph = NULL;
        size_t row;
        double start;

        do {
            space_sample(space, &rng, genome);
            row = bench_table_find(table, genome);
        } while (row == SIZE_MAX);
        cells->accuracy[i] = bench_table_test(table, row);
        if ((rc = space_decode(space, genome, &graph, why)) != FARM_OK)
            break;
        start = thread_ms();
        if (score_network(&cells->score[i], proxy, graph, batch, seed, 0, why) != FARM_OK ||
            isnan(cells->score[i]))
            cells->score[i] = -INFINITY;
        cells->ms[i] = thread_ms() - start;
        graph_destroy(&graph);
    }
    free(genome);
    return rc;
}

static int print_all(struct cells *cells, const struct space *space,
                     const struct bench_table *table, const struct score_batch *batch,
                     uint64_t seed, struct why *why)
{
    int rc = FARM_OK;

    printf("%u random cells, one batch of %u images, seed %llu\n", cells->n, batch->n,
           (unsigned long long)seed);
    printf("| proxy | Spearman | Kendall | undefined | ms a network |\n|---|---|---|---|---|\n");
    for (int p = PROXY_NONE + 1; p < PROXY_END && rc == FARM_OK; p++) {
        uint32_t undefined = 0;

        rc = score_cells(cells, (enum proxy)p, space, table, batch, seed, why);
        for (uint32_t i = 0; i < cells->n; i++)
            undefined += isinf(cells->score[i]) != 0;
        if (rc == FARM_OK)
            printf("| %s | %.2f | %.2f | %u | %.2f |\n", proxy_name((enum proxy)p),
                   spearman(cells->score, cells->accuracy, cells->n),
                   kendall(cells->score, cells->accuracy, cells->n), undefined,
                   median(cells->ms, cells->n));
        (void)fflush(stdout);
    }
    return rc;
}

/* The first batch of the training part, as a worker takes it. */
static int first_batch(struct score_batch *batch, const struct dataset *data, uint32_t n,
                       uint64_t seed, struct why *why)
{
    struct standard standard = {0};
    struct batches batches = {0};
    struct split split = {0};
    struct recipe recipe;
    float *images = malloc((size_t)n * data->h * data->w * data->c * sizeof *images);
    uint16_t *labels = malloc(n * sizeof *labels);
    int rc;

    recipe_init(&recipe);
    batch->images = images;
    batch->labels = labels;
    if (images == NULL || labels == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u images", n);
    if ((rc = split_init(&split, data, &recipe, why)) == FARM_OK &&
        (rc = standard_init(&standard, data, split.train, split.n_train, why)) == FARM_OK &&
        (rc = batches_init(&batches, data, &standard, split.train, split.n_train, true, seed,
                           why)) == FARM_OK) {
        batches_start(&batches, 0);
        batch->n = batches_next(&batches, n, images, labels);
    }
    batches_release(&batches);
    standard_release(&standard);
    split_release(&split);
    return rc;
}

int main(int argc, char **argv)
{
    const struct bench_columns columns = {.key = "arch",
                                          .fitness = "c10_hp12_valid_acc",
                                          .seconds = "c10_hp12_train_seconds",
                                          .test = "c10_hp200_test_acc"};
    struct space_config config = {.name = "nasbench201", .classes = 10};
    uint32_t n_cells = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 300;
    uint32_t n_images = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 64;
    uint64_t seed = argc > 5 ? strtoull(argv[5], NULL, 10) : 1;
    struct score_batch batch = {0};
    struct bench_table *table = NULL;
    struct dataset *data = NULL;
    struct space *space = NULL;
    struct why why = {""};
    struct cells cells = {.n = n_cells};
    int status = EXIT_SUCCESS;

    if (argc < 3 || n_cells < 2 || n_images < 2) {
        fprintf(stderr, "usage: proxies_nb201 TABLE.csv[.gz] DATA [CELLS] [BATCH] [SEED]\n");
        return EXIT_FAILURE;
    }
    if (dataset_open(&data, argv[2], &why) != FARM_OK)
        return fail(&why);
    config.input = (struct graph_shape){data->h, data->w, data->c};
    cells.accuracy = calloc(3 * (size_t)n_cells, sizeof *cells.accuracy);
    if (cells.accuracy == NULL) {
        dataset_close(&data);
        return EXIT_FAILURE;
    }
    cells.score = cells.accuracy + n_cells;
    cells.ms = cells.score + n_cells;
    if (space_open(&space, &config, &why) != FARM_OK ||
        bench_table_open(&table, argv[1], &columns, space, &why) != FARM_OK ||
        first_batch(&batch, data, n_images, seed, &why) != FARM_OK ||
        print_all(&cells, space, table, &batch, seed, &why) != FARM_OK)
        status = fail(&why);
    bench_table_close(&table);
    space_close(&space);
    dataset_close(&data);
    free((void *)batch.images);
    free((void *)batch.labels);
    free(cells.accuracy);
    return status;
}
