/* kernels_plain.c - global pools, sums, linear layers and the steps of optimizers, for one instruction set: loops plain enough for the
 * compiler to make vectors of, and OpenBLAS for the matrix products. */
#include "kernels_isa.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

/* A NaN fails every comparison, so this asks for what is NOT kept: a NaN goes through. */
static void global_avg_pool_forward(float *y, const float *x, int n, int pixels, int c)
{
    float scale = 1.0f / (float)pixels;

    for (int i = 0; i < n; i++, y += c) {
        memset(y, 0, (size_t)c * sizeof *y);
        for (int p = 0; p < pixels; p++, x += c)
            for (int ch = 0; ch < c; ch++)
                y[ch] += x[ch];
        for (int ch = 0; ch < c; ch++)
            y[ch] *= scale;
    }
}

static void global_avg_pool_backward(float *dx, const float *dy, int n, int pixels, int c)
{
    float scale = 1.0f / (float)pixels;

    for (int i = 0; i < n; i++, dy += c)
        for (int p = 0; p < pixels; p++, dx += c)
            for (int ch = 0; ch < c; ch++)
                dx[ch] += dy[ch] * scale;
}

static void add_forward(float *y, const float *const *x, int n_inputs, size_t n)
{
    if (n_inputs == 1) {
        memcpy(y, x[0], n * sizeof *y);
        return;
    }
    for (size_t i = 0; i < n; i++)
        y[i] = x[0][i] + x[1][i];
    for (int k = 2; k < n_inputs; k++)
        for (size_t i = 0; i < n; i++)
            y[i] += x[k][i];
}

static void accumulate(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void scale(float *y, const float *x, float factor, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = factor * x[i];
}

static void linear_forward(float *y, const float *x, const float *weight, const float *bias,
                           int rows, int c, int k)
{
    for (int i = 0; i < rows; i++) {
        if (bias != NULL)
            memcpy(y + (size_t)i * (size_t)k, bias, (size_t)k * sizeof *y);
        else
            memset(y + (size_t)i * (size_t)k, 0, (size_t)k * sizeof *y);
    }
    /* (rows,k) += (rows,c) (c,k) */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, k, c, 1.0f, x, c, weight, k, 1.0f,
                y, k);
}

static void linear_backward(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                            const float *weight, int rows, int c, int k)
{
    /* (c,k) += (c,rows) (rows,k) */
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, c, k, rows, 1.0f, x, c, dy, k, 1.0f, dw,
                k);
    if (dx != NULL) /* (rows,c) += (rows,k) (k,c) */
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, c, k, 1.0f, dy, k, weight, k,
                    1.0f, dx, c);
    if (dbias != NULL)
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < k; j++)
                dbias[j] += dy[(size_t)i * (size_t)k + (size_t)j];
}

static void sgd_step(float *w, float *velocity, const float *g, float lr, float momentum,
                     bool nesterov, float decay, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float d = g[i] + decay * w[i], v = momentum * velocity[i] + d;

        velocity[i] = v;
        w[i] -= lr * (nesterov ? d + momentum * v : v);
    }
}

/* The choice is made outside of the loop: a division that is not taken would be one that is not vectorised. */
static void rmsprop_step(float *w, float *ms, float *mom, const float *g,
                         const struct rmsprop_step *how, size_t n)
{
    const struct rmsprop_step h = *how;

    if (h.outside)
        for (size_t i = 0; i < n; i++) {
            float d = g[i] + h.decay * w[i], s = h.rho * ms[i] + h.one_minus_rho * (d * d);
            float v = h.momentum * mom[i] + d / (sqrtf(s) + h.epsilon);

            ms[i] = s;
            mom[i] = v;
            w[i] -= h.lr * v;
        }
    else
        for (size_t i = 0; i < n; i++) {
            float d = g[i] + h.decay * w[i], s = h.rho * ms[i] + h.one_minus_rho * (d * d);
            float v = h.momentum * mom[i] + h.lr * d / sqrtf(s + h.epsilon);

            ms[i] = s;
            mom[i] = v;
            w[i] -= v;
        }
}

static void adam_step(float *w, float *m, float *v, const float *g, const struct adam_step *how,
                      size_t n)
{
    const struct adam_step h = *how;

    for (size_t i = 0; i < n; i++) {
        float old = w[i] * h.shrink, d = g[i] + h.decay * old;
        float mean = h.beta1 * m[i] + h.one_minus_beta1 * d;
        float square = h.beta2 * v[i] + h.one_minus_beta2 * (d * d);

        m[i] = mean;
        v[i] = square;
        w[i] = old - h.rate * mean / (sqrtf(square) * h.rescale + h.epsilon);
    }
}

static void approach(float *y, const float *x, float share, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += share * (x[i] - y[i]);
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;

    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++)
            sum[k] += (double)a[i + k] * (double)b[i + k];
    for (; i < n; i++)
        sum[0] += (double)a[i] * (double)b[i];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

void ISA(kernels_plain)(struct kernels *table)
{
    table->global_avg_pool_forward = global_avg_pool_forward;
    table->global_avg_pool_backward = global_avg_pool_backward;
    table->add_forward = add_forward;
    table->accumulate = accumulate;
    table->scale = scale;
    table->linear_forward = linear_forward;
    table->linear_backward = linear_backward;
    table->sgd_step = sgd_step;
    table->rmsprop_step = rmsprop_step;
    table->adam_step = adam_step;
    table->approach = approach;
    table->dot = dot;
}
