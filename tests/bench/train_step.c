/* train_step.c - whole training steps of one network of bench_nets.h in a process of its own: the farm's side of
 * train_vs_torch.py. Each result is one line of JSON.
 *
 * It is:     forward, loss, backward and a step of SGD (Nesterov, weight decay) on a few batches of noise, timed; the
 *            same first steps for another program to repeat (--export, --losses); or a whole training (--fit).
 * It is not: a comparison. train_vs_torch.py runs this and torch_step.py in turn.
 */
#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_nets.h"
#include "clock.h"
#include "data/dataset.h"
#include "engine/kernels.h"
#include "engine/optimizer.h"
#include "evaluate.h"
#include "graph_json.h"
#include "peak.h"
#include "rng.h"

enum { TIMED_BATCHES = 4, STEPS_MAX = 200000, STEPS_MIN = 3 };
static const struct optimizer_config sgd = {
    .momentum = 0.9f, .nesterov = true, .weight_decay = 5e-4f};
/* Of every step that is timed or compared: see soften(). */
#define RATE 0.005

struct arguments {
    const struct bench_net *net;
    uint32_t batch, losses, epochs, crop, seed;
    bool list, peak, flip;
    double seconds, lr;
    int64_t
        born; /* CLOCK_MONOTONIC nanoseconds at which whoever started this process did so; 0: unknown */
    const char *export_dir, *fit;
};

static int complain(const char *text)
{
    (void)fprintf(stderr, "train_step: %s\n", text);
    return EXIT_FAILURE;
}

static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The most memory that this process has ever had, in KiB. */
static long peak_kib(void)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;

    while (f != NULL && kib < 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtol(line + 6, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return kib;
}

/* ---- what is trained, and on what ---------------------------------------------------------------------- */

struct training {
    struct graph *graph;
    struct net *net;
    struct optimizer *optimizer;
    uint32_t batch, n_batches;
    size_t image; /* floats of one batch */
    float *images;
    uint16_t *labels;
};

/* Noise with a mean that depends on the class. */
static void fill_batches(struct training *t)
{
    size_t n = (size_t)t->batch * t->n_batches, one = t->image / t->batch;
    struct rng rng;

    rng_seed(&rng, 7);
    for (size_t i = 0; i < n; i++) {
        t->labels[i] = (uint16_t)rng_below(&rng, t->graph->classes);
        for (size_t k = 0; k < one; k++)
            t->images[i * one + k] =
                (float)(2 * rng_uniform(&rng) - 1 + 0.1 * (t->labels[i] - 4.5));
    }
}

/* Every beta starts at 1, so that most values pass their ReLU. With 0 half of them do not, and a deep network with batch
 * norm then amplifies a rounding so much that PyTorch in float32 and in float64 part within a few steps: nothing could be
 * compared. */
static void soften(struct net *net)
{
    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);
        size_t len = strlen(p->name);

        if (len > 5 && strcmp(p->name + len - 5, ".beta") == 0)
            for (size_t k = 0; k < p->n; k++)
                p->value[k] = 1;
    }
}

static int training_init(struct training *t, const struct bench_net *net, uint32_t batch,
                         uint32_t n_batches, struct why *why)
{
    struct net_config config = {.batch = batch, .mode = NET_TRAIN, .seed = 1};
    int rc;

    *t = (struct training){.batch = batch, .n_batches = n_batches};
    t->image = (size_t)batch * net->input.h * net->input.w * net->input.c;
    if ((rc = bench_net_build(net, &t->graph, why)) != FARM_OK ||
        (rc = net_create(&t->net, t->graph, &config, why)) != FARM_OK ||
        (rc = optimizer_create(&t->optimizer, t->net, &sgd)) != FARM_OK)
        return rc;
    t->images = malloc(t->image * n_batches * sizeof *t->images);
    t->labels = malloc((size_t)batch * n_batches * sizeof *t->labels);
    if (t->images == NULL || t->labels == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %u batches", n_batches);
    soften(t->net);
    fill_batches(t);
    return FARM_OK;
}

static void training_release(struct training *t)
{
    optimizer_destroy(&t->optimizer);
    net_destroy(&t->net);
    graph_destroy(&t->graph);
    free(t->images);
    free(t->labels);
}

static double train_step(struct training *t, uint32_t i)
{
    uint32_t b = i % t->n_batches, correct;
    double loss;

    memcpy(net_input(t->net), t->images + b * t->image, t->image * sizeof *t->images);
    (void)net_forward(t->net, t->batch, true);
    loss = net_loss(t->net, t->labels + (size_t)b * t->batch, t->batch, 0, &correct);
    net_backward(t->net);
    (void)optimizer_step(t->optimizer, RATE);
    return loss;
}

/* ---- timing -------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Steps for that long, at least STEPS_MIN; medians of one step in seconds. */
static uint32_t time_steps(struct training *t, double seconds, double *wall, double *cpu)
{
    static double walls[STEPS_MAX], cpus[STEPS_MAX];
    int64_t end = clock_ns() + (int64_t)(seconds * 1e9), last = clock_ns();
    double last_cpu = cpu_s();
    uint32_t n = 0;

    while ((n < STEPS_MIN || last < end) && n < STEPS_MAX) {
        int64_t now;
        double now_cpu;

        (void)train_step(t, n + 1);
        now = clock_ns(), now_cpu = cpu_s();
        walls[n] = (double)(now - last) * 1e-9, cpus[n] = now_cpu - last_cpu;
        last = now, last_cpu = now_cpu;
        n++;
    }
    *wall = median(walls, n);
    *cpu = median(cpus, n);
    return n;
}

static int run_timed(const struct arguments *a)
{
    struct training t;
    struct graph_cost cost;
    struct why why = {""};
    double ready, ready_cpu, first, wall, cpu;
    int64_t born = a->born > 0 ? a->born : clock_ns();
    uint32_t n;

    if (training_init(&t, a->net, a->batch, TIMED_BATCHES, &why) != FARM_OK ||
        graph_cost(t.graph, &cost) != FARM_OK) {
        training_release(&t);
        return complain(why.text);
    }
    ready = (double)(clock_ns() - born) * 1e-9;
    ready_cpu = cpu_s();
    (void)train_step(&t, 0);
    first = (double)(clock_ns() - born) * 1e-9;
    n = time_steps(&t, a->seconds, &wall, &cpu);
    (void)printf(
        "{\"net\":\"%s\",\"batch\":%u,\"isa\":\"%s\",\"params\":%llu,\"macs\":%llu,\"steps\":%u,"
        "\"wall_s\":%.9f,\"cpu_s\":%.9f,\"ready_s\":%.6f,\"ready_cpu_s\":%.6f,\"first_step_s\":%."
        "6f,\"peak_kib\":%ld,"
        "\"planned_bytes\":%llu}\n",
        a->net->name, a->batch, kernels_get()->isa, (unsigned long long)cost.params,
        (unsigned long long)cost.macs, n, wall, cpu, ready, ready_cpu, first, peak_kib(),
        (unsigned long long)net_peak_bytes(t.net));
    training_release(&t);
    return EXIT_SUCCESS;
}

/* ---- the same first steps elsewhere -------------------------------------------------------------------- */

static int run_losses(const struct arguments *a)
{
    struct training t;
    struct why why = {""};

    if (training_init(&t, a->net, a->batch, a->losses, &why) != FARM_OK) {
        training_release(&t);
        return complain(why.text);
    }
    (void)printf("{\"losses\":[");
    for (uint32_t i = 0; i < a->losses; i++)
        (void)printf("%s%.9g", i > 0 ? "," : "", train_step(&t, i));
    (void)printf("]}\n");
    training_release(&t);
    return EXIT_SUCCESS;
}

/* Opens DIR/name; NULL with a sentence on standard error. */
static FILE *open_in(const char *dir, const char *name)
{
    char path[4096];
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    if ((f = fopen(path, "wb")) == NULL)
        (void)fprintf(stderr, "train_step: %s: %s\n", path, strerror(errno));
    return f;
}

static int write_file(const char *dir, const char *name, const void *bytes, size_t size, size_t n)
{
    FILE *f = open_in(dir, name);
    bool ok = f != NULL && fwrite(bytes, size, n, f) == n;

    if (f != NULL && fclose(f) != 0)
        ok = false;
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* weights.bin: every parameter's float32 one after the other, in the order of step.json's "params". */
static int write_weights(struct net *net, const char *dir, json_t *params)
{
    FILE *f = open_in(dir, "weights.bin");
    bool ok = f != NULL;

    for (size_t i = 0; i < net_n_params(net) && ok; i++) {
        const struct net_param *p = net_param(net, i);
        json_t *shape = json_array();

        for (int k = 0; k < 4 && p->shape[k] > 0; k++)
            json_array_append_new(shape, json_integer(p->shape[k]));
        ok = fwrite(p->value, sizeof *p->value, p->n, f) == p->n &&
             json_array_append_new(params,
                                   json_pack("{s:s, s:o}", "name", p->name, "shape", shape)) == 0;
    }
    if (f != NULL && fclose(f) != 0)
        ok = false;
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* step.json: the graph and what every step is; weights.bin; images.bin (batches, batch, h, w, c) float32; labels.bin uint16. */
static int export_training(struct training *t, const char *dir)
{
    json_t *params = json_array(), *root;
    char *step;
    int rc = EXIT_FAILURE;

    if (write_weights(t->net, dir, params) != EXIT_SUCCESS) {
        json_decref(params);
        return EXIT_FAILURE;
    }
    root =
        json_pack("{s:i, s:i, s:f, s:f, s:f, s:o, s:o}", "batch", (int)t->batch, "batches",
                  (int)t->n_batches, "lr", RATE, "momentum", (double)sgd.momentum, "weight_decay",
                  (double)sgd.weight_decay, "graph", graph_json(t->graph), "params", params);
    step = json_dumps(root, JSON_COMPACT);
    if (step != NULL && write_file(dir, "step.json", step, 1, strlen(step)) == 0 &&
        write_file(dir, "images.bin", t->images, t->image * sizeof *t->images, t->n_batches) == 0)
        rc = write_file(dir, "labels.bin", t->labels, t->batch * sizeof *t->labels, t->n_batches);
    json_decref(root);
    free(step);
    return rc;
}

static int run_export(const struct arguments *a)
{
    struct training t;
    struct why why = {""};
    int rc = EXIT_FAILURE;

    if (training_init(&t, a->net, a->batch, a->losses > 0 ? a->losses : TIMED_BATCHES, &why) ==
        FARM_OK)
        rc = export_training(&t, a->export_dir);
    else
        (void)complain(why.text);
    training_release(&t);
    return rc;
}

/* ---- a whole training ---------------------------------------------------------------------------------- */

/* On all training images, measured on the test part: a final task of the farm. */
static int fit(const struct arguments *a, const struct dataset *data, struct graph *graph)
{
    struct task task = {.data = "bench", .seed = a->seed};
    struct result result;
    struct why why = {"out of memory"};
    uint8_t *packed = NULL, *blob = NULL;
    size_t blob_len;
    double start = cpu_s();

    recipe_init(&task.recipe);
    task.recipe.epochs = a->epochs;
    task.recipe.batch = a->batch;
    task.recipe.lr = a->lr;
    task.recipe.flip = a->flip;
    task.recipe.crop_pad = a->crop;
    task.recipe.final = true;
    if (graph_pack(graph, &packed, &task.graph_len) != FARM_OK)
        return complain(why.text);
    task.graph = packed;
    evaluate_task(&task, data, NULL, &result, &blob, &blob_len);
    free(packed);
    free(blob);
    if (result.outcome != OUTCOME_OK)
        return complain(result.reason);
    (void)printf("{\"net\":\"%s\",\"test_accuracy\":%.6f,\"train_loss\":%.6f,\"images\":%llu,"
                 "\"wall_s\":%.3f,\"cpu_s\":%.3f,\"peak_kib\":%ld}\n",
                 a->net->name, result.test_accuracy, result.train_loss,
                 (unsigned long long)result.images, result.eval_s, cpu_s() - start, peak_kib());
    return EXIT_SUCCESS;
}

static int run_fit(const struct arguments *a)
{
    struct dataset *data = NULL;
    struct graph *graph = NULL;
    struct why why = {""};
    int rc = EXIT_FAILURE;

    if (dataset_open(&data, a->fit, &why) == FARM_OK &&
        bench_net_build(a->net, &graph, &why) == FARM_OK)
        rc = fit(a, data, graph);
    else
        (void)complain(why.text);
    graph_destroy(&graph);
    dataset_close(&data);
    return rc;
}

/* ---- the command line ---------------------------------------------------------------------------------- */

enum {
    KEY_BORN = 256,
    KEY_EXPORT,
    KEY_LOSSES,
    KEY_FIT,
    KEY_EPOCHS,
    KEY_LR,
    KEY_FLIP,
    KEY_CROP,
    KEY_SEED,
    KEY_PEAK,
    KEY_LIST
};

static const struct argp_option options[] = {
    {"batch", 'b', "N", 0, "images a step (64)", 0},
    {"seconds", 's', "S", 0, "time steps for that long, and at least three (3)", 0},
    {"born", KEY_BORN, "NS", 0,
     "CLOCK_MONOTONIC when this process was started, for the start-up time", 0},
    {"export", KEY_EXPORT, "DIR", 0, "write graph, weights and batches instead", 0},
    {"losses", KEY_LOSSES, "N", 0,
     "print the losses of the first N steps instead; with --export, N batches", 0},
    {"fit", KEY_FIT, "DATA", 0, "train on a data set and test instead: idx:DIR, cifar:DIR, ...", 0},
    {"epochs", KEY_EPOCHS, "N", 0, "of --fit (3)", 0},
    {"lr", KEY_LR, "RATE", 0, "of --fit: the peak, falling by a cosine (0.05)", 0},
    {"flip", KEY_FLIP, NULL, 0, "of --fit", 0},
    {"crop", KEY_CROP, "PIXELS", 0, "of --fit: padding of the random crop (0)", 0},
    {"seed", KEY_SEED, "N", 0, "of --fit (1)", 0},
    {"peak", KEY_PEAK, NULL, 0, "print the core's peak instead", 0},
    {"list", KEY_LIST, NULL, 0, "print the networks with their cost instead", 0},
    {0}};

static uint32_t whole(const struct argp_state *state, const char *text, uint32_t least)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != '\0' || n < least || n > NET_BATCH_MAX)
        argp_error(state, "'%s': must be a whole number from %u to %u", text, least, NET_BATCH_MAX);
    return (uint32_t)n;
}

static double positive(const struct argp_state *state, const char *text)
{
    char *end;
    double x = strtod(text, &end);

    if (end == text || *end != '\0' || !(x > 0) || !isfinite(x))
        argp_error(state, "'%s': must be a number above 0", text);
    return x;
}

static error_t take(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'b': a->batch = whole(state, arg, 1); break;
    case 's': a->seconds = positive(state, arg); break;
    case KEY_BORN: a->born = strtoll(arg, NULL, 10); break;
    case KEY_EXPORT: a->export_dir = arg; break;
    case KEY_LOSSES: a->losses = whole(state, arg, 1); break;
    case KEY_FIT: a->fit = arg; break;
    case KEY_EPOCHS: a->epochs = whole(state, arg, 1); break;
    case KEY_LR: a->lr = positive(state, arg); break;
    case KEY_FLIP: a->flip = true; break;
    case KEY_CROP: a->crop = whole(state, arg, 0); break;
    case KEY_SEED: a->seed = whole(state, arg, 0); break;
    case KEY_PEAK: a->peak = true; break;
    case KEY_LIST: a->list = true; break;
    case ARGP_KEY_ARG:
        if ((a->net = bench_net_find(arg)) == NULL)
            argp_error(state, "'%s': no such network; --list names them", arg);
        break;
    case ARGP_KEY_END:
        if (a->net == NULL && !a->peak && !a->list)
            argp_error(state, "which network? --list names them");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static int run_list(void)
{
    for (const struct bench_net *n = bench_nets; n->name != NULL; n++) {
        struct graph *g = NULL;
        struct graph_cost cost = {0};
        struct why why = {""};

        if (bench_net_build(n, &g, &why) != FARM_OK || graph_cost(g, &cost) != FARM_OK)
            return complain(why.text);
        (void)printf("{\"net\":\"%s\",\"input\":[%u,%u,%u],\"params\":%llu,\"macs\":%llu}\n",
                     n->name, n->input.h, n->input.w, n->input.c, (unsigned long long)cost.params,
                     (unsigned long long)cost.macs);
        graph_destroy(&g);
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {options, take, "[NET]", "Whole training steps of one network.",
                                     NULL,    NULL, NULL};
    struct arguments a = {.batch = 64, .seconds = 3, .epochs = 3, .lr = 0.05, .seed = 1};

    (void)argp_parse(&argp, argc, argv, 0, NULL, &a);
    if (a.list)
        return run_list();
    if (a.peak)
        return printf("{\"isa\":\"%s\",\"peak_gflops\":%.2f}\n", kernels_get()->isa,
                      peak_gflops(kernels_get()->isa)) > 0
                   ? EXIT_SUCCESS
                   : EXIT_FAILURE;
    if (a.export_dir != NULL)
        return run_export(&a);
    if (a.losses > 0)
        return run_losses(&a);
    return a.fit != NULL ? run_fit(&a) : run_timed(&a);
}
