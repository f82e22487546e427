/* kernels_plain.c - pools, sums, linear layers and the SGD step, for one instruction set: loops plain enough for the
 * compiler to make vectors of, and OpenBLAS for the matrix products. */
#include "kernels_isa.h"

#include <cblas.h>
#include <string.h>

static void relu_forward(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0 ? x[i] : 0;
}

static void relu_backward(float *dx, const float *dy, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dx[i] += y[i] > 0 ? dy[i] : 0;
}

/* The part of a window that is inside the image: taps [first, last) along one side. */
INLINE void inside(int *first, int *last, int at, int taps, int step, int side)
{
    *first = at < 0 ? (-at + step - 1) / step : 0;
    *last = at + (taps - 1) * step < side ? taps : (side - at + step - 1) / step;
    if (*last < *first)
        *last = *first;
}

struct part {
    int y0, x0, i0, i1, j0, j1;
};

INLINE struct part window_part(const struct window *s, int oy, int ox)
{
    struct part p = {.y0 = oy * s->stride - s->pad_y, .x0 = ox * s->stride - s->pad_x};

    inside(&p.i0, &p.i1, p.y0, s->kh, s->dilation, s->h);
    inside(&p.j0, &p.j1, p.x0, s->kw, s->dilation, s->w);
    return p;
}

static void max_pool_forward(float *y, int32_t *argmax, const float *x, const struct window *s)
{
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->c;

    for (int n = 0; n < s->n; n++, x += in)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++, y += s->c, argmax += s->c) {
                struct part p = window_part(s, oy, ox);
                bool any = false;

                for (int i = p.i0; i < p.i1; i++)
                    for (int j = p.j0; j < p.j1; j++) {
                        int32_t at =
                            ((p.y0 + i * s->dilation) * s->w + p.x0 + j * s->dilation) * s->c;

                        for (int c = 0; c < s->c; c++)
                            if (!any || x[at + c] > y[c]) {
                                y[c] = x[at + c];
                                argmax[c] = at + c;
                            }
                        any = true;
                    }
                if (!any)
                    for (int c = 0; c < s->c; c++) {
                        y[c] = 0;
                        argmax[c] = -1;
                    }
            }
}

static void max_pool_backward(float *dx, const float *dy, const int32_t *argmax,
                              const struct window *s)
{
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->c,
           out = (size_t)s->oh * (size_t)s->ow * (size_t)s->c;

    for (int n = 0; n < s->n; n++, dx += in, dy += out, argmax += out)
        for (size_t i = 0; i < out; i++)
            if (argmax[i] >= 0)
                dx[argmax[i]] += dy[i];
}

static void avg_pool_forward(float *y, const float *x, const struct window *s)
{
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->c;

    for (int n = 0; n < s->n; n++, x += in)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++, y += s->c) {
                struct part p = window_part(s, oy, ox);
                int count = (p.i1 - p.i0) * (p.j1 - p.j0);
                float scale = count > 0 ? 1.0f / (float)count : 0;

                memset(y, 0, (size_t)s->c * sizeof *y);
                for (int i = p.i0; i < p.i1; i++)
                    for (int j = p.j0; j < p.j1; j++) {
                        const float *at =
                            x + ((p.y0 + i * s->dilation) * s->w + p.x0 + j * s->dilation) * s->c;

                        for (int c = 0; c < s->c; c++)
                            y[c] += at[c];
                    }
                for (int c = 0; c < s->c; c++)
                    y[c] *= scale;
            }
}

static void avg_pool_backward(float *dx, const float *dy, const struct window *s)
{
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->c;

    for (int n = 0; n < s->n; n++, dx += in)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++, dy += s->c) {
                struct part p = window_part(s, oy, ox);
                int count = (p.i1 - p.i0) * (p.j1 - p.j0);
                float scale = count > 0 ? 1.0f / (float)count : 0;

                for (int i = p.i0; i < p.i1; i++)
                    for (int j = p.j0; j < p.j1; j++) {
                        float *at =
                            dx + ((p.y0 + i * s->dilation) * s->w + p.x0 + j * s->dilation) * s->c;

                        for (int c = 0; c < s->c; c++)
                            at[c] += dy[c] * scale;
                    }
            }
}

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
    table->relu_forward = relu_forward;
    table->relu_backward = relu_backward;
    table->max_pool_forward = max_pool_forward;
    table->max_pool_backward = max_pool_backward;
    table->avg_pool_forward = avg_pool_forward;
    table->avg_pool_backward = avg_pool_backward;
    table->global_avg_pool_forward = global_avg_pool_forward;
    table->global_avg_pool_backward = global_avg_pool_backward;
    table->add_forward = add_forward;
    table->accumulate = accumulate;
    table->scale = scale;
    table->linear_forward = linear_forward;
    table->linear_backward = linear_backward;
    table->sgd_step = sgd_step;
    table->dot = dot;
}
