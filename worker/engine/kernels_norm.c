/* kernels_norm.c - batch norm, for one instruction set. Rows are pixels, columns channels.
 *
 * Few channels fill no vector and make sums wait for one another, so several pixels are taken as one wide row, whose
 * columns are added up at the end; many channels are done in blocks of BLOCK. Sums are float32 over CHUNK rows and
 * float64 from there. Mean and variance need one pass over memory: a chunk is read twice while it is in the cache, and
 * chunks are merged as Chan, Golub and LeVeque (1979) do it.
 */
#include "kernels_isa.h"

#include <math.h>
#include <string.h>

#define BLOCK 256
#define CHUNK 32 /* times BLOCK: 32 KiB */

/* One block of channels as wide rows. */
struct rows {
    int first, c;  /* channels of the block */
    int width;     /* columns: c, as often as fits */
    size_t n;      /* whole rows */
    int rest;      /* columns of a last row that is not whole */
    size_t stride; /* floats from a row to the next */
};

static struct rows rows_of(size_t pixels, int c, int first)
{
    struct rows r = {.first = first, .c = c - first < BLOCK ? c - first : BLOCK};
    size_t copies = c <= BLOCK ? (size_t)(BLOCK / c) : 1;

    if (copies >= LANES)
        copies -= copies % LANES; /* whole vectors, whatever c is */
    else
        while (copies > 1 && (copies & (copies - 1)) != 0)
            copies &= copies - 1;
    if (copies > pixels)
        copies = 1;
    r.width = r.c * (int)copies;
    r.n = pixels / copies;
    r.rest = (int)(pixels % copies) * r.c;
    r.stride = (size_t)c * copies;
    return r;
}

/* One pixel's worth of coefficients for every pixel of the row. */
static void repeat(float *a, const struct rows *r)
{
    for (int i = r->c; i < r->width; i++)
        a[i] = a[i - r->c];
}

/* y = (x - centre) a + b */
INLINE void normalise_row(float *y, const float *x, const float *centre, const float *a,
                          const float *b, const bool relu, int width)
{
    for (int i = 0; i < width; i++) {
        float v = (x[i] - centre[i]) * a[i] + b[i];

        y[i] = relu && v < 0 ? 0 : v;
    }
}

static void normalise(float *y, const float *x, float *centre, float *a, float *b, bool relu,
                      const struct rows *r)
{
    size_t at = (size_t)r->first, end = at + r->n * r->stride;

    repeat(centre, r);
    repeat(a, r);
    repeat(b, r);
    for (; at < end; at += r->stride)
        if (relu)
            normalise_row(y + at, x + at, centre, a, b, true, r->width);
        else
            normalise_row(y + at, x + at, centre, a, b, false, r->width);
    normalise_row(y + at, x + at, centre, a, b, relu, r->rest);
}

static void batch_norm_infer(float *y, const float *x, const float *gamma, const float *beta,
                             const float *running_mean, const float *running_var, float epsilon,
                             bool relu, size_t pixels, int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        struct rows r = rows_of(pixels, c, first);
        float centre[BLOCK], a[BLOCK], b[BLOCK];

        for (int i = 0; i < r.c; i++) {
            int ch = first + i;

            centre[i] = running_mean[ch];
            a[i] = (gamma != NULL ? gamma[ch] : 1) / sqrtf(running_var[ch] + epsilon);
            b[i] = beta != NULL ? beta[ch] : 0;
        }
        normalise(y, x, centre, a, b, relu, &r);
    }
}

/* Count, mean and sum of squared distances from it, of each column. */
struct moments {
    double n[BLOCK], mean[BLOCK], square[BLOCK];
};

INLINE void merge(struct moments *m, int to, double n, double mean, double square)
{
    double all = m->n[to] + n, delta = mean - m->mean[to];

    m->square[to] += square + delta * delta * (m->n[to] * n / all);
    m->mean[to] += delta * (n / all);
    m->n[to] = all;
}

/* `rows` rows of `width` columns, read twice. */
static void add_chunk(struct moments *m, const float *x, size_t stride, int rows, int width)
{
    float sum[BLOCK], square[BLOCK], centre[BLOCK], off[BLOCK];

    memset(sum, 0, sizeof sum);
    memset(square, 0, sizeof square);
    memset(off, 0, sizeof off);
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < width; i++)
            sum[i] += x[(size_t)k * stride + (size_t)i];
    for (int i = 0; i < width; i++)
        centre[i] = sum[i] / (float)rows;
    for (int k = 0; k < rows; k++)
        for (int i = 0; i < width; i++) {
            float d = x[(size_t)k * stride + (size_t)i] - centre[i];

            off[i] += d;
            square[i] += d * d;
        }
    for (int i = 0; i < width;
         i++) { /* the centre was rounded: the second sum tells how far off it is */
        double shift = (double)off[i] / rows;

        merge(m, i, rows, (double)centre[i] + shift, (double)square[i] - rows * shift * shift);
    }
}

static void moments_of(struct moments *m, const float *x, const struct rows *r)
{
    memset(m, 0, sizeof *m);
    x += r->first;
    for (size_t from = 0; from < r->n; from += CHUNK) {
        size_t left = r->n - from;

        add_chunk(m, x + from * r->stride, r->stride, left < CHUNK ? (int)left : CHUNK, r->width);
    }
    if (r->rest > 0)
        add_chunk(m, x + r->n * r->stride, r->stride, 1, r->rest);
    for (int i = r->c; i < r->width; i++)
        merge(m, i % r->c, m->n[i], m->mean[i], m->square[i]);
}

static void batch_norm_train(float *y, const float *x, const float *gamma, const float *beta,
                             float *mean, float *inv_std, float *running_mean, float *running_var,
                             float momentum, float epsilon, bool relu, size_t pixels, int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        struct rows r = rows_of(pixels, c, first);
        struct moments m;
        float a[BLOCK], b[BLOCK], centre[BLOCK];

        moments_of(&m, x, &r);
        for (int i = 0; i < r.c; i++) {
            double var = m.square[i] / (double)pixels;
            int ch = first + i;

            mean[ch] = centre[i] = (float)m.mean[i];
            inv_std[ch] = (float)(1 / sqrt(var + (double)epsilon));
            a[i] = (gamma != NULL ? gamma[ch] : 1) * inv_std[ch];
            b[i] = (beta != NULL ? beta[ch] : 0) + (float)((double)centre[i] - m.mean[i]) * a[i];
            if (running_mean != NULL) {
                double unbiased = pixels > 1 ? m.square[i] / (double)(pixels - 1) : var;

                running_mean[ch] += momentum * (centre[i] - running_mean[ch]);
                running_var[ch] += momentum * ((float)unbiased - running_var[ch]);
            }
        }
        normalise(y, x, centre, a, b, relu, &r);
    }
}

/* sum += g, dot += g (x - mean), where g = dy that the relu let through */
INLINE void gradient_row(float *sum, float *dot, const float *dy, const float *x, const float *y,
                         const float *mean, const bool relu, int width)
{
    for (int i = 0; i < width; i++) {
        float g = relu && !(y[i] > 0) ? 0 : dy[i];

        sum[i] += g;
        dot[i] += g * (x[i] - mean[i]);
    }
}

static void gradient_sums(double *sum, double *dot, const float *dy, const float *x, const float *y,
                          const float *mean, bool relu, const struct rows *r)
{
    size_t at = (size_t)r->first;

    memset(sum, 0, BLOCK * sizeof *sum);
    memset(dot, 0, BLOCK * sizeof *dot);
    for (size_t from = 0; from <= r->n; from += CHUNK) { /* the last one has the rest */
        size_t to = from + CHUNK < r->n ? from + CHUNK : r->n;
        float part[BLOCK] = {0}, part_dot[BLOCK] = {0};

        for (size_t k = from; k < to; k++, at += r->stride)
            if (relu)
                gradient_row(part, part_dot, dy + at, x + at, y + at, mean, true, r->width);
            else
                gradient_row(part, part_dot, dy + at, x + at, y + at, mean, false, r->width);
        if (from + CHUNK > r->n)
            gradient_row(part, part_dot, dy + at, x + at, y + at, mean, relu, r->rest);
        for (int i = 0; i < r->width; i++) {
            sum[i] += (double)part[i];
            dot[i] += (double)part_dot[i];
        }
    }
    for (int i = r->c; i < r->width; i++) {
        sum[i % r->c] += sum[i];
        dot[i % r->c] += dot[i];
    }
}

/* dx += k0 g + k1 (x - mean) + k2 */
INLINE void backward_row(float *dx, const float *dy, const float *x, const float *y,
                         const float *mean, const float *k0, const float *k1, const float *k2,
                         const bool relu, int width)
{
    for (int i = 0; i < width; i++) {
        float g = relu && !(y[i] > 0) ? 0 : dy[i];

        dx[i] += k0[i] * g + k1[i] * (x[i] - mean[i]) + k2[i];
    }
}

/* dx += gamma inv_std (g - mean(g) - xhat mean(g xhat)),  g = dy where the relu let through */
static void batch_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy,
                                const float *x, const float *y, const float *gamma,
                                const float *mean, const float *inv_std, bool relu, size_t pixels,
                                int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        struct rows r = rows_of(pixels, c, first);
        double sum[BLOCK], dot[BLOCK];
        float k0[BLOCK], k1[BLOCK], k2[BLOCK], centre[BLOCK];
        size_t at = (size_t)first, end = at + r.n * r.stride;

        memcpy(centre, mean + first, (size_t)r.c * sizeof *centre);
        repeat(centre, &r);
        gradient_sums(sum, dot, dy, x, y, centre, relu, &r);
        for (int i = 0; i < r.c; i++) {
            double s = (double)inv_std[first + i], count = (double)pixels;
            double scale = (gamma != NULL ? (double)gamma[first + i] : 1) * s;
            double xhat_dot = dot[i] * s; /* sum of g xhat */

            if (dgamma != NULL)
                dgamma[first + i] += (float)xhat_dot;
            if (dbeta != NULL)
                dbeta[first + i] += (float)sum[i];
            k0[i] = (float)scale;
            k1[i] = (float)(-scale * s * xhat_dot / count); /* times (x - mean) */
            k2[i] = (float)(-scale * sum[i] / count);
        }
        repeat(k0, &r);
        repeat(k1, &r);
        repeat(k2, &r);
        for (; at < end; at += r.stride)
            if (relu)
                backward_row(dx + at, dy + at, x + at, y + at, centre, k0, k1, k2, true, r.width);
            else
                backward_row(dx + at, dy + at, x + at, y + at, centre, k0, k1, k2, false, r.width);
        backward_row(dx + at, dy + at, x + at, y + at, centre, k0, k1, k2, relu, r.rest);
    }
}

void ISA(kernels_norm)(struct kernels *table)
{
    table->batch_norm_train = batch_norm_train;
    table->batch_norm_infer = batch_norm_infer;
    table->batch_norm_backward = batch_norm_backward;
}
