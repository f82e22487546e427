/* bench_case.h - one convolution, pool or batch norm with its arrays, the time that a call takes, and cells of tables: what
 * the benchmarks of kernels share.
 *
 * It is not: a test. Values do not matter, as long as they stay finite.
 */
#ifndef NASFARM_BENCH_CASE_H
#define NASFARM_BENCH_CASE_H

#include "kernels.h"

/* Images of a whole batch. */
enum { BENCH_BATCH = 32 };

struct bench {
    const struct kernels *k;
    struct window s;
    size_t nx, ny, nw; /* floats of x and dx, of y and dy, of w */
    float *x, *y, *dx, *dy, *w, *forward, *input, *sums, *scratch, *gamma, *beta, *running;
    void *state; /* of a norm */
    int32_t *argmax;
};

/* Of `groups`, BENCH_BATCH images; the output has ceil(side / stride) pixels. */
struct window bench_window(int side, int c, int k, int kernel, int stride, int groups);
/* Images whose inputs, or outputs, are 256 KB: with their gradients and the weights, what a core's cache holds. */
int bench_near_images(const struct window *s);
/* Two operations a multiply-add, of one pass. */
double bench_flops(const struct window *s);

/* Ends the program when memory is short. */
struct bench bench_of(const struct kernels *k, const struct window *s);
void bench_release(struct bench *b);
float *bench_floats(size_t n);

/* Seconds of one call of each: the median of several runs, in processor time of this thread. The calls take turns: what
 * the processor's clock and neighbours do meanwhile, they do to all. */
enum { BENCH_CALLS = 6 };
void bench_turns(double seconds[], void (*const calls[])(struct bench *), int n, struct bench *b);
double bench_seconds(void (*call)(struct bench *), struct bench *b);

/* The passes of a convolution, whose weights are packed already; then multiply-adds in registers, of so many operations. */
enum bench_pass { BENCH_FORWARD, BENCH_INPUT, BENCH_WEIGHT, BENCH_BURST };
extern void (*const bench_passes[4])(struct bench *);
double bench_burst_flops(const struct bench *b);
/* The passes; then the same without doing anything but read what each must read, and write what it must write. */
extern void (*const bench_bound[6])(struct bench *);

/* Tables in columns, or in Markdown. The first cell of a row is its name. */
void bench_markdown(void);
void bench_heading(const char *name,
                   int width); /* width of the cells that follow; begins a table */
__attribute__((format(printf, 1, 2))) void bench_row(const char *format, ...);
__attribute__((format(printf, 1, 2))) void bench_cell(const char *format, ...);
void bench_row_end(void);

#endif
