/* bench_kernels.c - how fast the kernels are on one core, beside the fastest that this core multiplies, adds, reads and writes.
 *
 * Convolutions: forward, input gradient, weight gradient. Dense ones as their share of that peak, measured in turns with
 * them because the clock changes, in percent, by the operations of the plain loops: 3x3 windows with many channels are done with a quarter of these, and pass 100. Depthwise
 * ones in GFLOP/s, and below that what they would do if they only read and wrote what they must (a pass that does nothing
 * else, over as many floats, in the same run). What is in brackets is below the goal of its kind.
 * First with as many images a call as the second-level cache has room for, as the engine calls them; then batch 32.
 * 1x1 convolutions and linear layers beside OpenBLAS. Pools and batch norm wait for memory, so GB/s of what they must at
 * least read and write, of batch 32. Each number is the median of several runs, in processor time, with warm code and
 * whatever of the data the caches keep.
 *
 *   usage: bench_kernels [--markdown] [WORD]   only the kinds whose name contains WORD; NASFARM_ISA chooses the table
 */
#include <stdio.h>
#include <string.h>

#include "bench_case.h"
#include "bench_gemm.h"
#include "kernels.h"
#include "peak.h"

#define EACH(i, list) (size_t i = 0; i < sizeof(list) / sizeof *(list); i++)

/* Percent of the peak; GFLOP/s, or what memory allows where that is less. Of 16 channels and more. */
static const double dense_goal[3] = {90, 80, 80};
#define DEPTHWISE_GOAL 60
#define AT_BOUND                                                                                   \
    0.9 /* so near to the bound is at the bound: a kernel does not only read and write */
#define GOAL_CHANNELS 16

static const struct kernels *k;
static const char *word; /* only what contains it; NULL: everything */

static bool wanted(const char *name)
{
    return word == NULL || strstr(name, word) != NULL;
}

/* ---- convolutions ------------------------------------------------------------------------------------------ */

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
static const struct place {
    int side, c;
} places[] = {{32, 8},  {32, 16}, {32, 24}, {32, 32}, {16, 16}, {16, 24},
              {16, 32}, {16, 64}, {8, 32},  {8, 64},  {8, 128}};

static struct window window_of(const struct kind *kind, const struct place *place)
{
    struct window s = bench_window(place->side, place->c, place->c, kind->kernel, kind->stride,
                                   kind->depthwise ? place->c : 1);

    s.dilation = kind->dilation;
    s.pad_y = s.pad_x = kind->dilation * (kind->kernel - 1) / 2;
    return s;
}

/* Percent of the peak, of three passes. */
static void measure_shares(double share[3], const struct window *s)
{
    struct bench b = bench_of(k, s);
    double seconds[BENCH_CALLS];

    bench_turns(seconds, bench_passes, 4, &b);
    for (int i = 0; i < 3; i++)
        share[i] =
            100 * (bench_flops(s) / seconds[i]) / (bench_burst_flops(&b) / seconds[BENCH_BURST]);
    bench_release(&b);
}

/* GFLOP/s of three passes, and of what only reads and writes as much. */
static void measure_bound(double gflops[3], double bound[3], const struct window *s)
{
    struct bench b = bench_of(k, s);
    double seconds[BENCH_CALLS];

    bench_turns(seconds, bench_bound, 6, &b);
    for (int i = 0; i < 3; i++) {
        gflops[i] = bench_flops(s) / 1e9 / seconds[i];
        bound[i] = bench_flops(s) / 1e9 / seconds[3 + i];
    }
    bench_release(&b);
}

/* Three numbers, each in brackets when it is below its goal; 0: nobody wants that. */
static void three_cells(const double value[3], const double goal[3])
{
    char text[3][16] = {"-", "-", "-"};

    for (int i = 0; i < 3; i++)
        if (value[i] > 0)
            (void)snprintf(text[i], sizeof text[i], value[i] < goal[i] ? "(%.0f)" : "%.0f",
                           value[i]);
    bench_cell("%s %s %s", text[0], text[1], text[2]);
}

static void dense_cell(const struct window *s)
{
    static const double none[3] = {0};
    double value[3];

    measure_shares(value, s);
    if (s->c <= 3)
        value[BENCH_INPUT] = 0; /* a stem's input wants no gradient */
    three_cells(value, s->c < GOAL_CHANNELS ? none : dense_goal);
}

static void depthwise_cells(const struct kind *kind, int images)
{
    static const double none[3] = {0};
    double bounds[sizeof places / sizeof *places][3];

    bench_row("%s, GFLOP/s", kind->name);
    for
        EACH(i, places)
        {
            struct window s = window_of(kind, &places[i]);
            double value[3], goal[3];

            s.n = images > 0 ? images : bench_near_images(&s);
            measure_bound(value, bounds[i], &s);
            for (int j = 0; j < 3; j++)
                goal[j] = AT_BOUND * bounds[i][j] < DEPTHWISE_GOAL ? AT_BOUND * bounds[i][j]
                                                                   : DEPTHWISE_GOAL;
            three_cells(value, s.c < GOAL_CHANNELS ? none : goal);
        }
    bench_row_end();
    bench_row("  its memory bound");
    for
        EACH(i, places)
        {
            three_cells(bounds[i], none);
        }
    bench_row_end();
}

/* images 0: as many as are near */
static void convolution_table(int images)
{
    bench_heading("channels, image", 14);
    for
        EACH(i, places)
        {
            bench_cell("%d, %dx%d", places[i].c, places[i].side, places[i].side);
        }
    bench_row_end();
    for
        EACH(j, kinds)
        {
            if (!wanted(kinds[j].name))
                continue;
            if (kinds[j].depthwise) {
                depthwise_cells(&kinds[j], images);
                continue;
            }
            bench_row("%s, %%", kinds[j].name);
            for
                EACH(i, places)
                {
                    struct window s = window_of(&kinds[j], &places[i]);

                    s.n = images > 0 ? images : bench_near_images(&s);
                    dense_cell(&s);
                }
            bench_row_end();
        }
}

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

static bool any_other(void)
{
    bool any = false;

    for
        EACH(i, others)
        {
            any = any || wanted(others[i].name);
        }
    return any;
}

static void other_table(void)
{
    if (!any_other())
        return;
    bench_heading("others, %", 14);
    bench_cell("near");
    bench_cell("%d images", BENCH_BATCH);
    bench_row_end();
    for
        EACH(i, others)
        {
            struct window s =
                bench_window(others[i].side, others[i].c, others[i].k, others[i].kernel, 1, 1);

            if (!wanted(others[i].name))
                continue;
            bench_row("%s %d -> %d, %dx%d", others[i].name, s.c, s.k, s.h, s.w);
            s.n = bench_near_images(&s);
            dense_cell(&s);
            s.n = BENCH_BATCH;
            dense_cell(&s);
            bench_row_end();
        }
}

static bool any_convolution(void)
{
    bool any = any_other();

    for
        EACH(i, kinds)
        {
            any = any || wanted(kinds[i].name);
        }
    return any;
}

static void convolutions(void)
{
    if (!any_convolution())
        return;
    printf("\nForward, input gradient, weight gradient; dense ones in %% of the peak, goals %.0f, "
           "%.0f and %.0f; depthwise "
           "ones in GFLOP/s, goal %d,\nor 0.9 of its memory bound where that is less. In brackets: "
           "below "
           "the goal (from %d "
           "channels on).\n\nAs many images a call as a core's cache holds:\n",
           dense_goal[0], dense_goal[1], dense_goal[2], DEPTHWISE_GOAL, GOAL_CHANNELS);
    convolution_table(0);
    printf("\n%d images a call:\n", BENCH_BATCH);
    convolution_table(BENCH_BATCH);
    other_table();
}

/* ---- batch norm and pools ----------------------------------------------------------------------------------- */

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
    b->k->norm_moments(&n, NULL, b->x, bn_pixels(b));
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

static void memory_row(const struct pass *pass, int side)
{
    bench_row("%s, %dx%d", pass->name, side, side);
    for
        EACH(i, channels)
        {
            int c = channels[i];
            struct window s = bench_window(side, c, c, pass->kernel, pass->stride, 1);
            struct bench b = bench_of(k, &s);
            double floats = (double)pass->x * s.h * s.w + (double)pass->y * s.oh * s.ow;

            max_forward(&b); /* an argmax to go back by */
            bench_cell("%.1f", 4 * floats * c * BENCH_BATCH / bench_seconds(pass->call, &b) / 1e9);
            bench_release(&b);
        }
    bench_row_end();
}

static void memory_table(void)
{
    bool any = false;

    for
        EACH(i, passes)
        {
            any = any || wanted(passes[i].name);
        }
    if (!any)
        return;
    printf("\nGB/s of what must at least be read and written, %d images:\n", BENCH_BATCH);
    bench_heading("channels", 6);
    for
        EACH(i, channels)
        {
            bench_cell("%d", channels[i]);
        }
    bench_row_end();
    for (size_t i = 0; i < sizeof passes / sizeof passes[0] * 3; i++)
        if (wanted(passes[i / 3].name))
            memory_row(&passes[i / 3], sides[i % 3]);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--markdown") == 0) {
        bench_markdown();
        argc--, argv++;
    }
    word = argc > 1 ? argv[1] : NULL;
    k = kernels_get();
    printf("%s, %d lanes: %.1f GFLOP/s of multiply-adds at most\n", k->isa, k->lanes,
           peak_gflops(k->isa));
    convolutions();
    if (wanted("OpenBLAS"))
        bench_gemm(k);
    memory_table();
    return 0;
}
