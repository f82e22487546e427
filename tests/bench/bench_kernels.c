/* bench_kernels.c - how fast the kernels are on one core, beside the fastest that this core multiplies and adds.
 *
 * Convolutions: the share of that peak, in percent, of the forward pass, the input gradient and the weight gradient, by
 * the operations of the plain loops: 3x3 windows with many channels are done with a quarter of these, and pass 100.
 * First with as many images a call as the second-level cache has room for, as the engine calls them; then batch 32.
 * Pools and batch norm wait for memory, so GB/s of what they must at least read and write, of batch 32. Each number is the
 * median of several runs, in processor time, with warm code and whatever of the data the caches keep.
 *
 *   usage: bench_kernels [WORD]      only the kinds whose name contains WORD; NASFARM_ISA chooses the table
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"
#include "peak.h"

enum { BATCH = 32, RUNS = 5 };
#define RUN_S 0.003

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* ---- one case ------------------------------------------------------------------------------------------ */

struct bench {
    const struct kernels *k;
    struct window s;
    float *x, *y, *dx, *dy, *w, *forward, *input, *sums, *scratch, *gamma, *beta, *running;
    void *state; /* of a norm */
    int32_t *argmax;
};

static float *filled(size_t n)
{
    float *a = aligned_alloc(64, (n * sizeof *a + 127) & ~(size_t)63);

    if (a == NULL) {
        (void)fprintf(stderr, "bench_kernels: out of memory for %zu floats\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        a[i] = (float)(i * 2654435761u % 1000) * 1e-3f - 0.5f;
    return a;
}

static struct bench bench_of(const struct kernels *k, const struct window *s)
{
    size_t nx = (size_t)s->n * (size_t)(s->h * s->w) * (size_t)s->c;
    size_t ny = (size_t)s->n * (size_t)(s->oh * s->ow) * (size_t)s->k;
    size_t nw = (size_t)(s->kh * s->kw) * (size_t)(s->c / s->groups) * (size_t)s->k;
    size_t c = (size_t)s->c;
    struct bench b = {.k = k, .s = *s};

    b.x = filled(nx), b.dx = filled(nx), b.y = filled(ny), b.dy = filled(ny);
    b.w = filled(nw), b.scratch = filled(k->conv_floats(s, CONV_SCRATCH));
    b.forward = filled(k->conv_floats(s, CONV_PACKED_FORWARD));
    b.input = filled(k->conv_floats(s, CONV_PACKED_INPUT));
    b.sums = filled(k->conv_floats(s, CONV_SUMS));
    k->conv_pack(b.forward, b.w, s, CONV_PACKED_FORWARD);
    k->conv_pack(b.input, b.w, s, CONV_PACKED_INPUT);
    b.gamma = filled(c), b.beta = filled(c);
    b.running = filled(2 * c);
    b.state = filled(k->norm_bytes(s->c) / sizeof(float) + 1);
    (void)memset(b.state, 0, k->norm_bytes(s->c));
    b.argmax = aligned_alloc(64, (ny * sizeof *b.argmax + 127) & ~(size_t)63);
    return b;
}

static void bench_release(struct bench *b)
{
    free(b->x), free(b->dx), free(b->y), free(b->dy), free(b->w), free(b->scratch);
    free(b->forward), free(b->input), free(b->sums);
    free(b->gamma), free(b->beta), free(b->running), free(b->state), free(b->argmax);
}

/* Seconds of one call: the median of RUNS runs of at least RUN_S each. */
static double seconds(void (*call)(struct bench *), struct bench *b)
{
    double run[RUNS], start, once;
    long calls;

    call(b);
    start = now_s();
    call(b);
    once = now_s() - start;
    calls = once < RUN_S ? (long)(RUN_S / once) + 1 : 1;
    for (int i = 0; i < RUNS; i++) {
        start = now_s();
        for (long j = 0; j < calls; j++)
            call(b);
        run[i] = (now_s() - start) / (double)calls;
    }
    qsort(run, RUNS, sizeof run[0], by_value);
    return run[RUNS / 2];
}

static void conv_forward(struct bench *b)
{
    b->k->conv_forward(b->y, b->x, b->forward, NULL, &b->s, b->scratch);
}

static void conv_input(struct bench *b)
{
    b->k->conv_backward_input(b->dx, false, b->dy, b->input, &b->s, b->scratch);
}

static void conv_weight(struct bench *b)
{
    b->k->conv_backward_weight(b->sums, NULL, b->dy, b->x, &b->s, b->scratch);
}

static size_t bn_pixels(const struct bench *b)
{
    return (size_t)b->s.n * (size_t)(b->s.h * b->s.w);
}

/* Block by block, as the engine does it: statistics, then the normalisation. */
static void bn_train(struct bench *b)
{
    struct norm n = b->k->norm_at(b->state, b->s.c);
    struct norm_running running = {b->running, b->running + b->s.c, 0.1f};

    b->k->norm_begin(&n, b->x, bn_pixels(b));
    b->k->norm_moments(&n, b->x, bn_pixels(b));
    b->k->norm_coefficients(&n, b->gamma, b->beta, &running, bn_pixels(b), 1e-5f);
    b->k->norm_forward(&n, b->dx, b->x, ACT_RELU, bn_pixels(b));
}

static void bn_infer(struct bench *b)
{
    struct norm n = b->k->norm_at(b->state, b->s.c);
    struct norm_running running = {b->running, b->running + b->s.c, 0.1f};

    for (int i = 0; i < b->s.c; i++)
        b->running[b->s.c + i] = 1;
    b->k->norm_infer(&n, b->gamma, b->beta, &running, 1e-5f);
    b->k->norm_forward(&n, b->dx, b->x, ACT_RELU, bn_pixels(b));
}

/* dy's place holds the sums: values do not matter for the time, as long as they stay finite */
static void bn_backward(struct bench *b)
{
    struct norm n = b->k->norm_at(b->state, b->s.c);

    b->k->norm_backward_begin(&n);
    b->k->norm_backward(&n, b->y, NORM_PUT, b->dy, b->x, ACT_RELU, true, bn_pixels(b));
    b->k->norm_backward_finish(&n, b->gamma, b->beta, bn_pixels(b));
    b->k->norm_backward_input(&n, b->dx, false, b->y, b->x, bn_pixels(b));
    b->gamma[0] = b->beta[0] = 1;
}

static void max_forward(struct bench *b)
{
    b->k->max_pool_forward(b->y, b->argmax, b->x, &b->s);
}

static void max_backward(struct bench *b)
{
    b->k->max_pool_backward(b->dx, b->dy, b->argmax, &b->s);
}

static void avg_forward(struct bench *b)
{
    b->k->avg_pool_forward(b->y, b->x, &b->s);
}

static void avg_backward(struct bench *b)
{
    b->k->avg_pool_backward(b->dx, b->dy, &b->s);
}

/* ---- the tables ---------------------------------------------------------------------------------------- */

#define EACH(i, list) (size_t i = 0; i < sizeof(list) / sizeof *(list); i++)

static struct window same(int side, int c, int k, int kernel, int stride, int groups)
{
    int out = (side + stride - 1) / stride, pad = (kernel - 1) / 2;
    struct window s = {BATCH,  side,   side,   c, out,    out, k,
                       kernel, kernel, stride, 1, groups, pad, pad};

    return s;
}

/* Images whose inputs, or outputs, are 256 KB: with their gradients and the weights, what a core's cache holds. */
static int near_images(const struct window *s)
{
    int in = s->h * s->w * s->c, out = s->oh * s->ow * s->k, images = 65536 / (in > out ? in : out);

    return images < 1 ? 1 : (images > BATCH ? BATCH : images);
}

/* Forward, input gradient, weight gradient in percent of the peak. A stem's input wants no gradient. */
static void conv_cell(const struct kernels *k, const struct window *s, double peak)
{
    static void (*const calls[])(struct bench *) = {conv_forward, conv_input, conv_weight};
    struct bench b = bench_of(k, s);
    int products = s->kh * s->kw * (s->c / s->groups);
    double flops = 2.0 * s->n * s->oh * s->ow * s->k * products;

    for
        EACH(i, calls)
        {
            if (i == 1 && s->c <= 3)
                printf("   -");
            else
                printf(" %3.0f", 100 * flops / seconds(calls[i], &b) / 1e9 / peak);
        }
    (void)fflush(stdout);
    bench_release(&b);
}

/* One row: nearby images, then a batch. */
static void conv_row(const struct kernels *k, const char *name, struct window s, double peak)
{
    printf("%-20s %4d -> %-4d %2dx%-2d  %2d: ", name, s.c, s.k, s.h, s.w, near_images(&s));
    s.n = near_images(&s);
    conv_cell(k, &s, peak);
    printf("   %2d: ", BATCH);
    s.n = BATCH;
    conv_cell(k, &s, peak);
    printf("\n");
}

static bool wanted(const char *word, const char *name)
{
    return word == NULL || strstr(name, word) != NULL;
}

/* The usual networks' layers, of as many channels in as out. */
static const struct kind {
    const char *name;
    int kernel, stride, dilation;
    bool depthwise;
} kinds[] = {
    {"dense 3x3", 3, 1, 1, false},         {"dense 1x1", 1, 1, 1, false},
    {"dense 5x5", 5, 1, 1, false},         {"dense 7x7", 7, 1, 1, false},
    {"dense 3x3 by 2", 3, 2, 1, false},    {"dense 3x3 dilated", 3, 1, 2, false},
    {"depthwise 3x3", 3, 1, 1, true},      {"depthwise 5x5", 5, 1, 1, true},
    {"depthwise 7x7", 7, 1, 1, true},      {"depthwise 3x3 by 2", 3, 2, 1, true},
    {"depthwise 5x5 by 2", 5, 2, 1, true}, {"depthwise 3x3 dilat.", 3, 1, 2, true},
};

/* Sides and channels as networks for small images have them. */
static const struct {
    int side, c;
} places[] = {{32, 8},  {32, 16}, {32, 24}, {32, 32}, {16, 16}, {16, 24},
              {16, 32}, {16, 64}, {8, 32},  {8, 64},  {8, 128}};

/* Stems, and 1x1 windows that widen and narrow. */
static const struct {
    const char *name;
    int side, c, k, kernel;
} others[] = {
    {"stem 3x3", 28, 1, 16, 3},
    {"stem 3x3", 32, 3, 16, 3},
    {"stem 3x3", 32, 3, 32, 3},
    {"dense 1x1 widening", 32, 16, 96, 1},
    {"dense 1x1 narrowing", 32, 96, 16, 1},
    {"dense 1x1 widening", 16, 32, 192, 1},
    {"dense 1x1 narrowing", 16, 192, 32, 1},
    {"dense 1x1 widening", 4, 160, 960, 1},
    {"dense 1x1 widening", 4, 320, 1280, 1},
};

/* All sides and channels of one kind. */
static void conv_rows(const struct kernels *k, const struct kind *kind, double peak)
{
    for
        EACH(i, places)
        {
            int c = places[i].c;
            struct window s =
                same(places[i].side, c, c, kind->kernel, kind->stride, kind->depthwise ? c : 1);

            s.dilation = kind->dilation;
            s.pad_y = s.pad_x = kind->dilation * (kind->kernel - 1) / 2;
            conv_row(k, kind->name, s, peak);
        }
}

static void convolutions(const struct kernels *k, const char *word, double peak)
{
    printf("%% of the peak: forward, input gradient, weight gradient; so many images a call\n");
    for
        EACH(i, kinds)
        {
            if (wanted(word, kinds[i].name))
                conv_rows(k, &kinds[i], peak);
        }
    for
        EACH(i, others)
        {
            if (wanted(word, others[i].name))
                conv_row(k, others[i].name,
                         same(others[i].side, others[i].c, others[i].k, others[i].kernel, 1, 1),
                         peak);
        }
}

/* name, the call, and how often it at least passes over x, y (floats) and argmax */
static const struct pass {
    const char *name;
    int kernel, stride;
    void (*call)(struct bench *);
    int x, y;
} passes[] = {
    {"max pool forward", 3, 1, max_forward, 1, 2},
    {"max pool backward", 3, 1, max_backward, 2, 2},
    {"avg pool forward", 3, 1, avg_forward, 1, 1},
    {"avg pool backward", 3, 1, avg_backward, 2, 1},
    {"max pool forward by 2", 3, 2, max_forward, 1, 2},
    {"avg pool forward by 2", 3, 2, avg_forward, 1, 1},
    {"batch norm train", 1, 1, bn_train, 3, 0}, /* x; x to y */
    {"batch norm infer", 1, 1, bn_infer, 2, 0},
    {"batch norm backward", 1, 1, bn_backward, 3, 3}, /* dy x to g; g x to dx */
};

static const int sides[] = {32, 16, 8};
static const int channels[] = {8, 12, 16, 24, 32, 64, 128};

static void memory_row(const struct kernels *k, const struct pass *pass, int side)
{
    printf("%-26s %4dx%-2d     ", pass->name, side, side);
    for
        EACH(i, channels)
        {
            int c = channels[i];
            struct window s = same(side, c, c, pass->kernel, pass->stride, 1);
            struct bench b = bench_of(k, &s);
            double floats = (double)pass->x * s.h * s.w + (double)pass->y * s.oh * s.ow;

            max_forward(&b); /* an argmax to go back by */
            printf(" %6.1f", 4 * floats * c * BATCH / seconds(pass->call, &b) / 1e9);
            bench_release(&b);
        }
    printf("\n");
    (void)fflush(stdout);
}

static void memory_bound(const struct kernels *k, const char *word)
{
    printf("GB/s                         channels:");
    for
        EACH(i, channels)
        {
            printf(" %6d", channels[i]);
        }
    printf("\n");
    for (size_t i = 0; i < sizeof passes / sizeof passes[0] * 3; i++)
        if (wanted(word, passes[i / 3].name))
            memory_row(k, &passes[i / 3], sides[i % 3]);
}

int main(int argc, char **argv)
{
    const struct kernels *k = kernels_get();
    const char *word = argc > 1 ? argv[1] : NULL;
    double peak = peak_gflops(k->isa);

    printf("%s, %d lanes: %.1f GFLOP/s of multiply-adds at most\n", k->isa, k->lanes, peak);
    convolutions(k, word, peak);
    memory_bound(k, word);
    return 0;
}
