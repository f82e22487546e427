/* lstm.c - see lstm.h. */
#include "lstm.h"

#include <math.h>
#include <string.h>

size_t lstm_weights(uint32_t H)
{
    return (2 * (size_t)H + 1) * 4 * H;
}

/* z += v w, (n) = (rows) (rows, n) */
static void add_product(size_t rows, size_t n, const float *restrict v, const float *restrict w,
                        float *restrict z)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < n; k++)
            z[k] += v[r] * w[r * n + k];
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

void lstm_forward(uint32_t H, const float *w, const struct lstm_step *before,
                  const struct lstm_step *now)
{
    size_t n = 4 * (size_t)H;
    float *z = now->gates;

    memcpy(z, w + 2 * (size_t)H * n, n * sizeof *z);
    add_product(H, n, now->x, w, z);
    add_product(H, n, before->h, w + H * n, z);
    for (size_t k = 0; k < H; k++) {
        z[k] = sigmoid(z[k]);
        z[H + k] = sigmoid(z[H + k]);
        z[2 * H + k] = tanhf(z[2 * H + k]);
        z[3 * H + k] = sigmoid(z[3 * H + k]);
        now->c[k] = z[H + k] * before->c[k] + z[k] * z[2 * H + k];
        now->h[k] = z[3 * H + k] * tanhf(now->c[k]);
    }
}

/* dv = dz w^T, dw += v^T dz */
static void back_product(size_t rows, size_t n, const float *restrict v, const float *restrict w,
                         float *restrict dw, const float *restrict dz, float *restrict dv)
{
    for (size_t r = 0; r < rows; r++) {
        float sum = 0;

        for (size_t k = 0; k < n; k++) {
            sum += dz[k] * w[r * n + k];
            dw[r * n + k] += v[r] * dz[k];
        }
        dv[r] = sum;
    }
}

void lstm_backward(uint32_t H, const float *w, float *dw, const struct lstm_step *before,
                   const struct lstm_step *now, float *dh, float *dc, float *dx, float *dz)
{
    size_t n = 4 * (size_t)H;
    const float *i = now->gates, *f = i + H, *g = f + H, *o = g + H;
    float *bias = dw + 2 * (size_t)H * n;

    for (size_t k = 0; k < H; k++) {
        float t = tanhf(now->c[k]), d = dc[k] + dh[k] * o[k] * (1 - t * t);

        dz[k] = d * g[k] * i[k] * (1 - i[k]);
        dz[H + k] = d * before->c[k] * f[k] * (1 - f[k]);
        dz[2 * H + k] = d * i[k] * (1 - g[k] * g[k]);
        dz[3 * H + k] = dh[k] * t * o[k] * (1 - o[k]);
        dc[k] = d * f[k];
    }
    for (size_t k = 0; k < n; k++)
        bias[k] += dz[k];
    back_product(H, n, now->x, w, dw, dz, dx);
    back_product(H, n, before->h, w + H * n, dw + H * n, dz, dh);
}
