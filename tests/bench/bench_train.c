/* bench_train.c - how many images a second one slot trains on.
 *
 * It is:     the whole path of an evaluation (batches, forward, backward, step), timed by evaluate_task() itself.
 * It is not: a test; nothing is compared. To see where the time goes: perf record bench_train nb201
 *
 * bench_train [nb201|digits|mnist]...   (all when none is named; mnist wants NASFARM_DATA or ../shared/data)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "evaluate.h"
#include "graph.h"
#include "rng.h"

/* relu -> 3x3 convolution -> batch norm: one edge of NAS-Bench-201. */
static uint32_t edge(struct graph *g, uint32_t in, uint32_t channels, const char *name)
{
    char part[64];

    (void)snprintf(part, sizeof part, "%s.conv", name);
    in = graph_conv(g, graph_relu(g, in), channels, 3, 1, 1, 1, part);
    (void)snprintf(part, sizeof part, "%s.bn", name);
    return graph_batch_norm(g, in, true, part);
}

/* The cell whose six edges are all 3x3 convolutions. */
static uint32_t cell(struct graph *g, uint32_t in, uint32_t channels, const char *name)
{
    uint32_t node[4] = {in}, terms[3];
    char part[48];

    for (uint32_t to = 1; to < 4; to++) {
        for (uint32_t from = 0; from < to; from++) {
            (void)snprintf(part, sizeof part, "%s.%u-%u", name, from, to);
            terms[from] = edge(g, node[from], channels, part);
        }
        node[to] = graph_sum(g, terms, to);
    }
    return node[3];
}

/* The residual block between stages: two 3x3, beside an average pool and a 1x1. */
static uint32_t reduce(struct graph *g, uint32_t in, uint32_t channels, const char *name)
{
    char part[64];
    uint32_t a, terms[2];

    (void)snprintf(part, sizeof part, "%s.a.conv", name);
    a = graph_conv(g, graph_relu(g, in), channels, 3, 2, 1, 1, part);
    (void)snprintf(part, sizeof part, "%s.a.bn", name);
    a = graph_batch_norm(g, a, true, part);
    (void)snprintf(part, sizeof part, "%s.b", name);
    terms[0] = edge(g, a, channels, part);
    (void)snprintf(part, sizeof part, "%s.down", name);
    terms[1] = graph_conv(g, graph_pool(g, GRAPH_AVG_POOL, in, 2, 2), channels, 1, 1, 1, 1, part);
    return graph_sum(g, terms, 2);
}

static struct graph *network(struct graph_shape input, uint32_t classes, uint32_t channels,
                             uint32_t cells)
{
    struct graph *g = NULL;
    struct why why;
    char name[32];
    uint32_t at;

    if (graph_create(&g, input, classes, &why) != FARM_OK)
        return NULL;
    at = graph_batch_norm(g, graph_conv(g, 0, channels, 3, 1, 1, 1, "stem.conv"), true, "stem.bn");
    for (uint32_t stage = 0; stage < 3; stage++, channels *= 2) {
        if (stage > 0) {
            (void)snprintf(name, sizeof name, "reduce%u", stage);
            at = reduce(g, at, channels, name);
        }
        for (uint32_t i = 0; i < cells; i++) {
            (void)snprintf(name, sizeof name, "cell%u-%u", stage, i);
            at = cell(g, at, channels, name);
        }
    }
    at = graph_relu(g, graph_batch_norm(g, at, true, "last.bn"));
    at = graph_linear(g, graph_global_avg_pool(g, at), classes, "head");
    if (graph_finish(g, at, &why) != FARM_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        graph_destroy(&g);
    }
    return g;
}

static int run(const char *title, const struct dataset *data, uint32_t channels, uint32_t cells,
               const struct recipe *recipe)
{
    struct graph *g =
        network((struct graph_shape){data->h, data->w, data->c}, data->classes, channels, cells);
    struct task task = {.data = "bench", .seed = 1, .recipe = *recipe};
    struct graph_cost cost;
    struct result result;
    uint8_t *packed = NULL, *blob = NULL;
    size_t blob_len;
    double flops;

    if (g == NULL || graph_cost(g, &cost) != FARM_OK ||
        graph_pack(g, &packed, &task.graph_len) != FARM_OK) {
        graph_destroy(&g);
        return 1;
    }
    task.graph = packed;
    evaluate_task(&task, data, NULL, &result, &blob, &blob_len);
    flops = 6 * (double)cost.macs * (double)result.images; /* forward 2, backward twice that */
    (void)printf("%-8s C=%u N=%u %ux%ux%u batch %u: %s%s%s; %llu parameters, %.1f M MACs; "
                 "%.0f images/s, %.1f GFLOP/s (%s); accuracy %.4f; %.0f MiB; %.2f s + %.2f s\n",
                 title, channels, cells, data->h, data->w, data->c, recipe->batch,
                 outcome_name(result.outcome), result.reason[0] != '\0' ? ": " : "", result.reason,
                 (unsigned long long)cost.params, (double)cost.macs * 1e-6,
                 (double)result.images / result.train_s, flops / result.train_s * 1e-9, result.isa,
                 result.fitness, (double)result.peak_bytes / (1 << 20), result.train_s,
                 result.eval_s - result.train_s);
    free(packed);
    free(blob);
    graph_destroy(&g);
    return result.outcome == OUTCOME_OK ? 0 : 1;
}

/* Noise with a mean that depends on the class, of CIFAR's shape: the time does not depend on the picture. */
static int bench_nb201(void)
{
    enum { N = 1536 };
    static uint8_t bytes[N * 32 * 32 * 3];
    static uint16_t labels[N];
    struct dataset data = {.name = "noise",
                           .h = 32,
                           .w = 32,
                           .c = 3,
                           .classes = 10,
                           .n = N,
                           .n_train = N,
                           .bytes = bytes,
                           .labels = labels,
                           .fingerprint = 1};
    struct recipe recipe;
    struct rng rng;

    rng_seed(&rng, 7);
    for (size_t i = 0; i < N; i++) {
        labels[i] = (uint16_t)(i % 10);
        for (size_t k = 0; k < 32 * 32 * 3; k++)
            bytes[i * 32 * 32 * 3 + k] = (uint8_t)(rng_below(&rng, 156) + 10 * labels[i]);
    }
    recipe_init(&recipe);
    recipe.epochs = 1;
    recipe.batch = 64;
    recipe.crop_pad = 4;
    recipe.flip = true;
    return run("nb201", &data, 16, 1, &recipe);
}

static int bench_digits(void)
{
    struct dataset *data = NULL;
    struct recipe recipe;
    struct why why;
    int rc;

    if (dataset_open(&data, "digits", &why) != FARM_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    recipe_init(&recipe);
    recipe.epochs = 5;
    recipe.batch = 32;
    rc = run("digits", data, 8, 1, &recipe);
    dataset_close(&data);
    return rc;
}

static int bench_mnist(void)
{
    const char *folder = getenv("NASFARM_DATA");
    struct dataset *data = NULL;
    struct recipe recipe;
    struct why why;
    char spec[4096];
    int rc;

    (void)snprintf(spec, sizeof spec, "idx:%s/mnist", folder != NULL ? folder : NASFARM_DATA_DIR);
    if (dataset_open(&data, spec, &why) != FARM_OK) {
        (void)printf("mnist    SKIPPED: %s\n", why.text);
        return 0;
    }
    recipe_init(&recipe);
    recipe.epochs = 1;
    recipe.batch = 64;
    recipe.train_images = 6000;
    recipe.val_fraction = 0.05;
    rc = run("mnist", data, 8, 1, &recipe);
    dataset_close(&data);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } benches[] = {{"nb201", bench_nb201}, {"digits", bench_digits}, {"mnist", bench_mnist}};
    int rc = 0;

    for (size_t i = 0; i < sizeof benches / sizeof benches[0]; i++) {
        bool wanted = argc == 1;

        for (int k = 1; k < argc; k++)
            wanted = wanted || strcmp(argv[k], benches[i].name) == 0;
        if (wanted)
            rc |= benches[i].run();
    }
    return rc;
}
