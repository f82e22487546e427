/* kernels_norm.c - batch norm, for one instruction set. Rows are pixels, columns channels; sums over rows are kept in
 * a block of up to BLOCK channels, in several partial rows so that additions do not wait for one another. */
#include "kernels_isa.h"

#include <math.h>
#include <string.h>

#define BLOCK 64

static void batch_norm_infer(float *y, const float *x, const float *gamma, const float *beta,
                             const float *running_mean, const float *running_var, float epsilon,
                             bool relu, size_t pixels, int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        float a[BLOCK], b[BLOCK];
        int n = c - first < BLOCK ? c - first : BLOCK;

        for (int i = 0; i < n; i++) {
            a[i] = (gamma != NULL ? gamma[first + i] : 1) / sqrtf(running_var[first + i] + epsilon);
            b[i] = (beta != NULL ? beta[first + i] : 0) - running_mean[first + i] * a[i];
        }
        for (size_t p = 0; p < pixels; p++) {
            const float *in = x + p * (size_t)c + first;
            float *out = y + p * (size_t)c + first;

            for (int i = 0; i < n; i++) {
                float v = in[i] * a[i] + b[i];

                out[i] = relu && v < 0 ? 0 : v;
            }
        }
    }
}

/* sum[i] = sum over pixels of (x - shift[i])^power; float64 over chunks of pixels keeps long sums exact enough */
INLINE void channel_sums(double *sum, const float *x, const float *shift, const int power,
                         size_t pixels, int c, int n)
{
    for (int i = 0; i < n; i++)
        sum[i] = 0;
    for (size_t from = 0; from < pixels; from += 256) {
        size_t to = from + 256 < pixels ? from + 256 : pixels;
        float part[2][BLOCK] = {{0}};
        size_t p = from;

        for (; p + 2 <= to; p += 2) {
            const float *a = x + p * (size_t)c, *b = a + c;

            for (int i = 0; i < n; i++) {
                float u = a[i] - shift[i], v = b[i] - shift[i];

                part[0][i] += power == 2 ? u * u : u;
                part[1][i] += power == 2 ? v * v : v;
            }
        }
        for (; p < to; p++)
            for (int i = 0; i < n; i++) {
                float u = x[p * (size_t)c + (size_t)i] - shift[i];

                part[0][i] += power == 2 ? u * u : u;
            }
        for (int i = 0; i < n; i++)
            sum[i] += (double)part[0][i] + (double)part[1][i];
    }
}

static void batch_norm_train(float *y, const float *x, const float *gamma, const float *beta,
                             float *mean, float *inv_std, float *running_mean, float *running_var,
                             float momentum, float epsilon, bool relu, size_t pixels, int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        float a[BLOCK], b[BLOCK], zero[BLOCK] = {0}, centre[BLOCK];
        double sum[BLOCK], square[BLOCK];
        int n = c - first < BLOCK ? c - first : BLOCK;

        channel_sums(sum, x + first, zero, 1, pixels, c, n);
        for (int i = 0; i < n; i++)
            centre[i] = (float)(sum[i] / (double)pixels);
        channel_sums(square, x + first, centre, 2, pixels, c, n);
        for (int i = 0; i < n; i++) {
            double var = square[i] / (double)pixels;
            int ch = first + i;

            mean[ch] = centre[i];
            inv_std[ch] = (float)(1 / sqrt(var + (double)epsilon));
            a[i] = (gamma != NULL ? gamma[ch] : 1) * inv_std[ch];
            b[i] = beta != NULL ? beta[ch] : 0;
            if (running_mean != NULL) {
                double unbiased = pixels > 1 ? square[i] / (double)(pixels - 1) : var;

                running_mean[ch] += momentum * (centre[i] - running_mean[ch]);
                running_var[ch] += momentum * ((float)unbiased - running_var[ch]);
            }
        }
        for (size_t p = 0; p < pixels; p++) {
            const float *in = x + p * (size_t)c + first;
            float *out = y + p * (size_t)c + first;

            for (int i = 0; i < n; i++) {
                float v = (in[i] - centre[i]) * a[i] + b[i];

                out[i] = relu && v < 0 ? 0 : v;
            }
        }
    }
}

/* dx = gamma inv_std (g - mean(g) - xhat mean(g xhat)),  g = dy where the relu let through */
static void batch_norm_backward(float *dx, float *dgamma, float *dbeta, const float *dy,
                                const float *x, const float *y, const float *gamma,
                                const float *mean, const float *inv_std, bool relu, size_t pixels,
                                int c)
{
    for (int first = 0; first < c; first += BLOCK) {
        double sum[BLOCK] = {0}, dot[BLOCK] = {0};
        float k0[BLOCK], k1[BLOCK], k2[BLOCK];
        const float *m = mean + first, *s = inv_std + first;
        int n = c - first < BLOCK ? c - first : BLOCK;

        for (size_t from = 0; from < pixels; from += 256) {
            size_t to = from + 256 < pixels ? from + 256 : pixels;
            float ps[BLOCK] = {0}, pd[BLOCK] = {0};

            for (size_t p = from; p < to; p++) {
                const float *g = dy + p * (size_t)c + first, *in = x + p * (size_t)c + first;
                const float *out = y + p * (size_t)c + first;

                if (relu)
                    for (int i = 0; i < n; i++) {
                        float v = out[i] > 0 ? g[i] : 0;

                        ps[i] += v;
                        pd[i] += v * (in[i] - m[i]);
                    }
                else
                    for (int i = 0; i < n; i++) {
                        ps[i] += g[i];
                        pd[i] += g[i] * (in[i] - m[i]);
                    }
            }
            for (int i = 0; i < n; i++) {
                sum[i] += (double)ps[i];
                dot[i] += (double)pd[i];
            }
        }
        for (int i = 0; i < n; i++) {
            double scale = (gamma != NULL ? (double)gamma[first + i] : 1) * (double)s[i],
                   count = (double)pixels;
            double xhat_dot = dot[i] * (double)s[i]; /* sum of g xhat */

            if (dgamma != NULL)
                dgamma[first + i] += (float)xhat_dot;
            if (dbeta != NULL)
                dbeta[first + i] += (float)sum[i];
            k0[i] = (float)scale;
            k1[i] = (float)(-scale * (double)s[i] * xhat_dot / count); /* times (x - mean) */
            k2[i] = (float)(-scale * sum[i] / count);
        }
        for (size_t p = 0; p < pixels; p++) {
            const float *g = dy + p * (size_t)c + first, *in = x + p * (size_t)c + first;
            const float *out = y + p * (size_t)c + first;
            float *to = dx + p * (size_t)c + first;

            if (relu)
                for (int i = 0; i < n; i++)
                    to[i] += k0[i] * (out[i] > 0 ? g[i] : 0) + k1[i] * (in[i] - m[i]) + k2[i];
            else
                for (int i = 0; i < n; i++)
                    to[i] += k0[i] * g[i] + k1[i] * (in[i] - m[i]) + k2[i];
        }
    }
}

void ISA(kernels_norm)(struct kernels *table)
{
    table->batch_norm_train = batch_norm_train;
    table->batch_norm_infer = batch_norm_infer;
    table->batch_norm_backward = batch_norm_backward;
}
