/* bench_case.c */
#include "bench_case.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "peak.h"

enum { RUNS = 9 };
#define RUN_S 0.002

/* ---- arrays --------------------------------------------------------------------------------------------------- */

float *bench_floats(size_t n)
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

struct window bench_window(int side, int c, int k, int kernel, int stride, int groups)
{
    int out = (side + stride - 1) / stride, pad = (kernel - 1) / 2;
    struct window s = {BENCH_BATCH, side,   side,   c, out,    out, k,
                       kernel,      kernel, stride, 1, groups, pad, pad};

    return s;
}

int bench_near_images(const struct window *s)
{
    int in = s->h * s->w * s->c, out = s->oh * s->ow * s->k, images = 65536 / (in > out ? in : out);

    return images < 1 ? 1 : (images > BENCH_BATCH ? BENCH_BATCH : images);
}

double bench_flops(const struct window *s)
{
    int products = s->kh * s->kw * (s->c / s->groups);

    return 2.0 * s->n * s->oh * s->ow * s->k * products;
}

struct bench bench_of(const struct kernels *k, const struct window *s)
{
    struct bench b = {.k = k, .s = *s};
    size_t c = (size_t)s->c;

    b.nx = (size_t)s->n * (size_t)(s->h * s->w) * c;
    b.ny = (size_t)s->n * (size_t)(s->oh * s->ow) * (size_t)s->k;
    b.nw = (size_t)(s->kh * s->kw) * (size_t)(s->c / s->groups) * (size_t)s->k;
    b.x = bench_floats(b.nx), b.dx = bench_floats(b.nx);
    b.y = bench_floats(b.ny), b.dy = bench_floats(b.ny);
    b.w = bench_floats(b.nw), b.scratch = bench_floats(k->conv_floats(s, CONV_SCRATCH));
    b.forward = bench_floats(k->conv_floats(s, CONV_PACKED_FORWARD));
    b.input = bench_floats(k->conv_floats(s, CONV_PACKED_INPUT));
    b.sums = bench_floats(k->conv_floats(s, CONV_SUMS));
    k->conv_pack(b.forward, b.w, s, CONV_PACKED_FORWARD);
    k->conv_pack(b.input, b.w, s, CONV_PACKED_INPUT);
    b.gamma = bench_floats(c), b.beta = bench_floats(c);
    b.running = bench_floats(2 * c);
    b.state = bench_floats(k->norm_bytes(s->c) / sizeof(float) + 1);
    (void)memset(b.state, 0, k->norm_bytes(s->c));
    b.argmax = aligned_alloc(64, (b.ny * sizeof *b.argmax + 127) & ~(size_t)63);
    return b;
}

void bench_release(struct bench *b)
{
    free(b->x), free(b->dx), free(b->y), free(b->dy), free(b->w), free(b->scratch);
    free(b->forward), free(b->input), free(b->sums);
    free(b->gamma), free(b->beta), free(b->running), free(b->state), free(b->argmax);
}

/* ---- time ----------------------------------------------------------------------------------------------------- */

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

/* How often, so that it takes long enough to be timed. */
static long repeats(void (*call)(struct bench *), struct bench *b)
{
    double start, once;

    call(b);
    start = now_s();
    call(b);
    once = now_s() - start;
    return once < RUN_S ? (long)(RUN_S / once) + 1 : 1;
}

void bench_turns(double seconds[], void (*const calls[])(struct bench *), int n, struct bench *b)
{
    double runs[BENCH_CALLS][RUNS];
    long times[BENCH_CALLS];

    for (int c = 0; c < n; c++)
        times[c] = repeats(calls[c], b);
    for (int i = 0; i < RUNS; i++)
        for (int c = 0; c < n; c++) {
            double start = now_s();

            for (long j = 0; j < times[c]; j++)
                calls[c](b);
            runs[c][i] = (now_s() - start) / (double)times[c];
        }
    for (int c = 0; c < n; c++) {
        qsort(runs[c], RUNS, sizeof runs[c][0], by_value);
        seconds[c] = runs[c][RUNS / 2];
    }
}

double bench_seconds(void (*call)(struct bench *), struct bench *b)
{
    double seconds;

    bench_turns(&seconds, &call, 1, b);
    return seconds;
}

/* ---- passes ----------------------------------------------------------------------------------------------------- */

static void forward(struct bench *b)
{
    b->k->conv_forward(b->y, b->x, b->forward, NULL, &b->s, b->scratch);
}

static void input(struct bench *b)
{
    b->k->conv_backward_input(b->dx, false, b->dy, b->input, &b->s, b->scratch);
}

static void weight(struct bench *b)
{
    b->k->conv_backward_weight(b->sums, NULL, b->dy, b->x, &b->s, b->scratch);
}

static volatile float keep;
static volatile double kept;

static void burst(struct bench *b)
{
    kept = peak_burst(b->k->isa);
}

void (*const bench_passes[4])(struct bench *) = {forward, input, weight, burst};

static void stream_forward(struct bench *b)
{
    keep = stream_floats(b->k->isa, b->y, b->ny, b->x, b->nx);
}

static void stream_input(struct bench *b)
{
    keep = stream_floats(b->k->isa, b->dx, b->nx, b->dy, b->ny);
}

static void stream_weight(struct bench *b)
{
    keep = stream_floats(b->k->isa, NULL, 0, b->dy, b->ny);
    keep = stream_floats(b->k->isa, NULL, 0, b->x, b->nx);
}

void (*const bench_bound[6])(struct bench *) = {forward,        input,        weight,
                                                stream_forward, stream_input, stream_weight};

double bench_burst_flops(const struct bench *b)
{
    return peak_burst(b->k->isa);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

static bool in_markdown;
static int cell_width, n_cells;
static bool is_heading;

void bench_markdown(void)
{
    in_markdown = true;
}

void bench_heading(const char *name, int width)
{
    printf("\n");
    cell_width = width;
    is_heading = true;
    bench_row("%s", name);
}

void bench_row(const char *format, ...)
{
    char text[128];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    printf(in_markdown ? "| %s |" : "%-32s", text);
    n_cells = 0;
}

void bench_cell(const char *format, ...)
{
    char text[128];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (in_markdown)
        printf(" %s |", text);
    else
        printf("  %*s", cell_width, text);
    (void)fflush(stdout);
    n_cells++;
}

void bench_row_end(void)
{
    printf("\n");
    if (in_markdown && is_heading) {
        printf("| --- |");
        for (int i = 0; i < n_cells; i++)
            printf(" ---: |");
        printf("\n");
    }
    is_heading = false;
}
