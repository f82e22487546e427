/* kernels_covariance.c - a batch norm behind a pointwise convolution x = u W whose x is never had, for one instruction set.
 *
 * With few channels c of u and many k of x, mean and variance of x are cheaper had from those of u: mean(x) = mean(u) W, and
 * var(x_k) = W_k^T cov(u) W_k. The norm is folded into the weights then, also in training. Backward likewise: with g, the
 * gradient of the norm's output, and G = u^T g, which a weight gradient's kernel gives,
 *     sum of g (x - mean(x)) = W_k^T (G_k - mean(u) sum(g)),
 * and that of x, k0 g + k1 (x - mean(x)) + k2, need not be had either: its part k0 g goes back through the folded weights, and
 * the rest is linear in u, a pointwise convolution from c channels to c.
 *
 * Pairs of channels are summed in float32 over CHUNK values and in float64 from there, of distances from a centre near the
 * mean.
 */
#include "kernels_tile.h"

#include <math.h>
#include <string.h>

#define CHUNK  8192 /* floats of u that are centred at a time */
#define SAMPLE 64   /* pixels that say where the centre is */

static size_t padded(int c)
{
    return (size_t)(c + LANES - 1) / LANES * LANES;
}

static size_t covariance_bytes(int c, int k)
{
    size_t pitch = padded(c), n = (size_t)c;

    return (pitch + n * pitch + (size_t)k) * sizeof(double) +
           (pitch + n * (size_t)k + n * n + pitch) * sizeof(float);
}

static struct covariance covariance_at(void *state, int c, int k)
{
    size_t pitch = padded(c), n = (size_t)c;
    double *d = state;
    float *f = (float *)(void *)(d + pitch + n * pitch + k);
    struct covariance v = {.c = c,
                           .k = k,
                           .mean = d,
                           .pairs = d + pitch,
                           .row = d + pitch + n * pitch,
                           .centre = f,
                           .spread = f + pitch,
                           .mix = f + pitch + n * (size_t)k,
                           .offset = f + pitch + n * (size_t)k + n * n};

    return v;
}

/* ---- sums ------------------------------------------------------------------------------------------------ */

static void covariance_begin(const struct covariance *v, const float *u, size_t pixels)
{
    size_t some = pixels < SAMPLE ? pixels : SAMPLE, pitch = padded(v->c), c = (size_t)v->c;

    memset(v->mean, 0, pitch * sizeof *v->mean);
    memset(v->pairs, 0, c * pitch * sizeof *v->pairs);
    memset(v->centre, 0, pitch * sizeof *v->centre);
    for (size_t p = 0; p < some; p++)
        for (size_t i = 0; i < c; i++)
            v->mean[i] += (double)u[p * c + i];
    for (size_t i = 0; i < c; i++) {
        v->centre[i] = (float)(v->mean[i] / (double)some);
        v->mean[i] = 0;
    }
}

static size_t chunk_pixels(int c)
{
    return CHUNK / padded(c) > 0 ? CHUNK / padded(c) : 1;
}

static size_t covariance_scratch(int c)
{
    return chunk_pixels(c) * padded(c) + (size_t)c * padded(c) + LANES;
}

/* to (pixels, pitch) = u - centre, with zeros behind, and its sums to v->mean */
static void centre_chunk(const struct covariance *v, float *to, const float *u, size_t pixels)
{
    size_t pitch = padded(v->c), c = (size_t)v->c, whole = c / LANES * LANES;

    for (size_t p = 0; p < pixels; p++)
        for (size_t i = whole; i < c; i++)
            to[p * pitch + i] = u[p * c + i] - v->centre[i];
    for (size_t i = 0; i < pitch; i += LANES) {
        vec sum = {0}, centre = *(const vec *)(v->centre + i);

        for (size_t p = 0; p < pixels; p++) {
            vec *at = (vec *)(to + p * pitch + i);

            if (i < whole)
                *at = *(const vec *)(u + p * c + i) - centre;
            sum += *at;
        }
        for (size_t lane = 0; lane < LANES; lane++)
            v->mean[i + lane] += (double)((const float *)&sum)[lane];
    }
}

/* sums [panel][row][LANES], to the pairs of the same form */
static void pair_chunk(const struct covariance *v, float *sums, const float *centred, size_t pixels)
{
    size_t pitch = padded(v->c), n = (size_t)v->c * pitch;
    ptrdiff_t tap = 0;
    struct product p = {.a = centred,
                        .a_row = (ptrdiff_t)pitch,
                        .taps = &tap,
                        .n_taps = 1,
                        .depth = (int)pixels,
                        .b = centred,
                        .b_r = (ptrdiff_t)pitch,
                        .b_panel = LANES,
                        .out = sums,
                        .out_row = LANES,
                        .out_panel = (ptrdiff_t)v->c * LANES,
                        .n = 1};

    memset(sums, 0, n * sizeof *sums);
    ISA(product_sums)(&p, v->c, (int)(pitch / LANES), 1);
    for (size_t i = 0; i < n; i++)
        v->pairs[i] += (double)sums[i];
}

static void covariance_moments(const struct covariance *v, const float *u, size_t pixels,
                               float *scratch)
{
    size_t most = chunk_pixels(v->c), pitch = padded(v->c), c = (size_t)v->c;
    float *centred = scratch, *sums = scratch + most * pitch;

    if (pitch != c)
        memset(centred, 0, most * pitch * sizeof *centred);
    for (size_t done = 0; done < pixels; done += most) {
        size_t some = pixels - done < most ? pixels - done : most;

        centre_chunk(v, centred, u + done * c, some);
        pair_chunk(v, sums, centred, some);
    }
}

/* ---- statistics of x ------------------------------------------------------------------------------------- */

/* The sums become means, and the pairs sums of products of distances from these. */
static void settle(const struct covariance *v, double count)
{
    size_t c = (size_t)v->c;

    for (size_t panel = 0; panel * LANES < c; panel++)
        for (size_t i = 0; i < c; i++)
            for (size_t lane = 0; lane < LANES && panel * LANES + lane < c; lane++)
                v->pairs[(panel * c + i) * LANES + lane] -=
                    v->mean[i] * v->mean[panel * LANES + lane] / count;
    for (size_t i = 0; i < c; i++)
        v->mean[i] = (double)v->centre[i] + v->mean[i] / count;
}

static double pair(const struct covariance *v, size_t i, size_t j)
{
    return v->pairs[(j / LANES * (size_t)v->c + i) * LANES + j % LANES];
}

/* row (k) += factor * weight (k) */
static void add_weights(double *row, double factor, const float *weight, size_t k)
{
    for (size_t j = 0; j < k; j++)
        row[j] += factor * (double)weight[j];
}

/* spread (c, k) = the pairs times W: the sum of (u_c - mean)(x_k - mean); var (k), times the count, from that */
static void spread_weights(const struct covariance *v, const float *weight, double *square)
{
    size_t c = (size_t)v->c, k = (size_t)v->k;

    memset(square, 0, k * sizeof *square);
    for (size_t i = 0; i < c; i++) {
        memset(v->row, 0, k * sizeof *v->row);
        for (size_t j = 0; j < c; j++)
            add_weights(v->row, pair(v, i, j), weight + j * k, k);
        for (size_t j = 0; j < k; j++) {
            v->spread[i * k + j] = (float)v->row[j];
            square[j] += (double)weight[i * k + j] * v->row[j];
        }
    }
}

static void covariance_coefficients(const struct covariance *v, const struct norm *n,
                                    const float *weight, const float *gamma, const float *beta,
                                    const struct norm_running *running, size_t pixels,
                                    float epsilon)
{
    double count = (double)pixels, *mean = v->row;

    settle(v, count);
    spread_weights(v, weight, n->square);
    memset(mean, 0, (size_t)v->k * sizeof *mean);
    for (int i = 0; i < v->c; i++)
        add_weights(mean, v->mean[i], weight + (ptrdiff_t)i * v->k, (size_t)v->k);
    for (int i = 0; i < v->k; i++) {
        double square = n->square[i] < 0 ? 0 : n->square[i], var = square / count; /* rounding */

        n->inv_std[i] = (float)(1 / sqrt(var + (double)epsilon));
        n->scale[i] = (gamma != NULL ? gamma[i] : 1) * n->inv_std[i];
        n->shift[i] = (float)((double)(beta != NULL ? beta[i] : 0) - mean[i] * (double)n->scale[i]);
        running->mean[i] += running->momentum * ((float)mean[i] - running->mean[i]);
        running->var[i] += running->momentum *
                           ((float)(pixels > 1 ? square / (count - 1) : var) - running->var[i]);
    }
}

/* ---- gradients ------------------------------------------------------------------------------------------- */

/* G becomes the sum of (u - mean(u)) g; dot (k) the sum of (x - mean(x)) g. */
static void centre_products(const struct covariance *v, float *dw, const float *weight,
                            const double *sum, double *dot)
{
    size_t k = (size_t)v->k;

    memset(dot, 0, k * sizeof *dot);
    for (int i = 0; i < v->c; i++, dw += k, weight += k)
        for (size_t j = 0; j < k; j++) {
            dw[j] = (float)((double)dw[j] - v->mean[i] * sum[j]);
            dot[j] += (double)weight[j] * (double)dw[j];
        }
}

INLINE float dot_of(const float *a, const float *b, size_t n)
{
    vec sum = {0};
    float all = 0;
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        sum += *(const vec *)(a + i) * *(const vec *)(b + i);
    for (size_t lane = 0; lane < LANES; lane++)
        all += ((const float *)&sum)[lane];
    for (; i < n; i++)
        all += a[i] * b[i];
    return all;
}

/* What of the gradient of x is linear in u, as weights (c, c) and bias from u to its own gradient. */
static void mix_weights(const struct covariance *v, const struct norm *n, const float *weight)
{
    size_t c = (size_t)v->c, k = (size_t)v->k;
    float *row = (float *)v->row;

    for (size_t i = 0; i < c; i++) {
        for (size_t j = 0; j < k; j++)
            row[j] = weight[i * k + j] * n->k1[j];
        for (size_t j = 0; j < c; j++)
            v->mix[j * c + i] = dot_of(row, weight + j * k, k);
    }
    for (size_t i = 0; i < c; i++) {
        double at_mean = 0;

        for (size_t j = 0; j < c; j++)
            at_mean += (double)v->mix[j * c + i] * v->mean[j];
        v->offset[i] = (float)((double)dot_of(n->k2, weight + i * k, k) - at_mean);
    }
}

static void fold_columns(double *a, const struct norm *n)
{
    for (int i = n->c; i < n->width; i++)
        a[i % n->c] += a[i];
}

static void covariance_backward_finish(const struct covariance *v, const struct norm *n, float *dw,
                                       const float *weight, float *dgamma, float *dbeta,
                                       size_t pixels)
{
    size_t k = (size_t)v->k;

    fold_columns(n->sum, n);
    centre_products(v, dw, weight, n->sum, n->square);
    for (size_t j = 0; j < k; j++) {
        double count = (double)pixels, s = (double)n->inv_std[j], scale = (double)n->scale[j];
        double xhat_dot = n->square[j] * s;

        if (dgamma != NULL)
            dgamma[j] += (float)xhat_dot;
        if (dbeta != NULL)
            dbeta[j] += (float)n->sum[j];
        n->k0[j] = n->scale[j];
        n->k1[j] = (float)(-scale * s * xhat_dot / count);
        n->k2[j] = (float)(-scale * n->sum[j] / count);
    }
    for (size_t i = 0; i < (size_t)v->c; i++)
        for (size_t j = 0; j < k; j++)
            dw[i * k + j] = n->k0[j] * dw[i * k + j] + n->k1[j] * v->spread[i * k + j];
    mix_weights(v, n, weight);
}

void ISA(kernels_covariance)(struct kernels *table)
{
    table->covariance_bytes = covariance_bytes;
    table->covariance_at = covariance_at;
    table->covariance_scratch = covariance_scratch;
    table->covariance_begin = covariance_begin;
    table->covariance_moments = covariance_moments;
    table->covariance_coefficients = covariance_coefficients;
    table->covariance_backward_finish = covariance_backward_finish;
}
