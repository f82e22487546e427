/* test_kernels.c - every kernel of every instruction set present, against plain loops in float64.
 *
 * Shapes are a table of edges and a few hundred drawn at random: odd sizes, strides past the image, dilation, groups,
 * depthwise, padding of -1. Backward passes must add, never overwrite.
 */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "rng.h"

static const char *const isas[] = {"avx512", "avx2", "sse2", "neon", "generic"};
#define N_ISAS (int)(sizeof isas / sizeof isas[0])

static struct rng rng;

static float *filled(size_t n)
{
    float *a = malloc((n > 0 ? n : 1) * sizeof *a);

    ck_assert_ptr_nonnull(a);
    for (size_t i = 0; i < n; i++)
        a[i] = (float)rng_normal(&rng);
    return a;
}

static float *copy_of(const float *a, size_t n)
{
    float *b = malloc((n > 0 ? n : 1) * sizeof *b);

    ck_assert_ptr_nonnull(b);
    memcpy(b, a, n * sizeof *b);
    return b;
}

static void assert_close(const float *got, const float *want, size_t n, double scale,
                         const char *what, const struct window *s)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <=
              2e-5 * scale + 2e-5 * fabs((double)want[i])))
            ck_abort_msg("%s[%zu] is %g, expected %g (n%d %dx%dx%d -> %dx%dx%d k%dx%d s%d d%d g%d "
                         "pad %d,%d)",
                         what, i, (double)got[i], (double)want[i], s->n, s->h, s->w, s->c, s->oh,
                         s->ow, s->k, s->kh, s->kw, s->stride, s->dilation, s->groups, s->pad_y,
                         s->pad_x);
}

/* ---- the plain loops --------------------------------------------------------------------------------- */

/* Calls with the flat indices of every multiply: y[out] += x[in] * w[weight]. */
#define EACH_PRODUCT(s, body)                                                                      \
    for (int n_ = 0; n_ < (s)->n; n_++)                                                            \
        for (int oy = 0; oy < (s)->oh; oy++)                                                       \
            for (int ox = 0; ox < (s)->ow; ox++)                                                   \
                for (int i_ = 0; i_ < (s)->kh; i_++)                                               \
                    for (int j_ = 0; j_ < (s)->kw; j_++) {                                         \
                        int iy = oy * (s)->stride + i_ * (s)->dilation - (s)->pad_y;               \
                        int ix = ox * (s)->stride + j_ * (s)->dilation - (s)->pad_x;               \
                        int cg = (s)->c / (s)->groups, kg = (s)->k / (s)->groups;                  \
                        if (iy < 0 || iy >= (s)->h || ix < 0 || ix >= (s)->w)                      \
                            continue;                                                              \
                        for (int k_ = 0; k_ < (s)->k; k_++)                                        \
                            for (int c_ = 0; c_ < cg; c_++) {                                      \
                                size_t in = (size_t)(((n_ * (s)->h + iy) * (s)->w + ix) * (s)->c + \
                                                     k_ / kg * cg + c_);                           \
                                size_t out =                                                       \
                                    (size_t)(((n_ * (s)->oh + oy) * (s)->ow + ox) * (s)->k + k_);  \
                                size_t weight =                                                    \
                                    (size_t)(((i_ * (s)->kw + j_) * cg + c_) * (s)->k + k_);       \
                                body;                                                              \
                            }                                                                      \
                    }

static double *zeros(size_t n)
{
    double *a = calloc(n > 0 ? n : 1, sizeof *a);

    ck_assert_ptr_nonnull(a);
    return a;
}

static float *rounded(double *a, size_t n)
{
    float *b = malloc((n > 0 ? n : 1) * sizeof *b);

    ck_assert_ptr_nonnull(b);
    for (size_t i = 0; i < n; i++)
        b[i] = (float)a[i];
    free(a);
    return b;
}

static void check_conv(const struct kernels *kernels, const struct window *s)
{
    size_t nx = (size_t)(s->n * s->h * s->w) * (size_t)s->c,
           ny = (size_t)(s->n * s->oh * s->ow) * (size_t)s->k;
    size_t nw = (size_t)(s->kh * s->kw * (s->c / s->groups)) * (size_t)s->k, nk = (size_t)s->k;
    float *x = filled(nx), *w = filled(nw), *bias = filled(nk), *dy = filled(ny), *y = filled(ny);
    float *dx0 = filled(nx), *dw0 = filled(nw), *db0 = filled(nk), *want;
    float *dx = copy_of(dx0, nx), *dw = copy_of(dw0, nw), *db = copy_of(db0, nk);
    float *scratch = filled(kernels->conv_scratch(s));
    double *sum = zeros(ny), fan = sqrt((double)(s->kh * s->kw * s->c));

    for (size_t i = 0; i < ny; i++)
        sum[i] = (double)bias[i % nk];
    EACH_PRODUCT(s, sum[out] += (double)x[in] * (double)w[weight])
    want = rounded(sum, ny);
    kernels->conv_forward(y, x, w, bias, s, scratch);
    assert_close(y, want, ny, fan, "y", s);
    free(want);

    sum = zeros(nx);
    for (size_t i = 0; i < nx; i++)
        sum[i] = (double)dx0[i];
    EACH_PRODUCT(s, sum[in] += (double)dy[out] * (double)w[weight])
    want = rounded(sum, nx);
    kernels->conv_backward_input(dx, dy, w, s, scratch);
    assert_close(dx, want, nx, sqrt((double)(s->kh * s->kw * s->k)), "dx", s);
    free(want);

    sum = zeros(nw);
    for (size_t i = 0; i < nw; i++)
        sum[i] = (double)dw0[i];
    EACH_PRODUCT(s, sum[weight] += (double)dy[out] * (double)x[in])
    want = rounded(sum, nw);
    kernels->conv_backward_weight(dw, db, dy, x, s, scratch);
    assert_close(dw, want, nw, sqrt((double)(s->n * s->oh * s->ow)), "dw", s);
    free(want);
    for (size_t k = 0; k < nk; k++) {
        double total = (double)db0[k];

        for (size_t i = k; i < ny; i += nk)
            total += (double)dy[i];
        ck_assert_double_le(fabs((double)db[k] - total), 1e-3 * (1 + fabs(total)));
    }
    free(x), free(w), free(bias), free(dy), free(y), free(dx0), free(dw0), free(db0);
    free(dx), free(dw), free(db), free(scratch);
}

static struct window window_of(int n, int h, int w, int c, int k, int kh, int kw, int stride,
                               int dilation, int groups, int pad_y, int pad_x)
{
    struct window s = {.n = n,
                       .h = h,
                       .w = w,
                       .c = c,
                       .oh = (h + stride - 1) / stride,
                       .ow = (w + stride - 1) / stride,
                       .k = k,
                       .kh = kh,
                       .kw = kw,
                       .stride = stride,
                       .dilation = dilation,
                       .groups = groups,
                       .pad_y = pad_y,
                       .pad_x = pad_x};

    return s;
}

static int draw(int from, int to)
{
    return from + (int)rng_below(&rng, (uint64_t)(to - from + 1));
}

static struct window random_window(void)
{
    int kh = draw(1, 5), kw = draw(0, 3) == 0 ? draw(1, 7) : kh, dilation = draw(1, 3),
        stride = draw(1, 3);
    int groups = draw(0, 3) == 0 ? draw(1, 4) : 1, c = groups * draw(1, 20),
        k = groups * draw(1, 40);

    if (draw(0, 4) == 0)
        groups = k = c = draw(2, 40); /* depthwise */
    return window_of(draw(1, 3), draw(1, 9), draw(1, 9), c, k, kh, kw, stride, dilation, groups,
                     draw(0, dilation * (kh - 1)), draw(0, dilation * (kw - 1)));
}

START_TEST(convolution_is_the_plain_loop)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    const struct window edges[] = {
        window_of(2, 8, 8, 16, 32, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
        window_of(1, 1, 1, 3, 5, 3, 3, 1, 1, 1, 1, 1),
        window_of(3, 5, 7, 6, 33, 3, 3, 2, 1, 1, 1, 1),
        window_of(2, 7, 7, 8, 16, 1, 1, 2, 1, 1, -1, -1),
        window_of(2, 8, 8, 8, 16, 1, 1, 2, 1, 1, -1, -1),
        window_of(2, 9, 9, 12, 12, 5, 5, 1, 2, 12, 4, 4),
        window_of(1, 2, 2, 4, 4, 7, 7, 3, 1, 1, 3, 3),
        window_of(2, 8, 8, 64, 64, 1, 1, 1, 1, 1, 0, 0),
        window_of(1, 4, 4, 16, 16, 1, 7, 1, 1, 1, 0, 3),
        window_of(1, 13, 13, 17, 47, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 6, 6, 12, 24, 3, 3, 2, 1, 3, 1, 1),
        /* depthwise: channels that fill no vector, several rows, a stride, a border cut off */
        window_of(2, 11, 10, 8, 8, 3, 3, 1, 1, 8, 1, 1),
        window_of(2, 15, 9, 12, 12, 5, 5, 1, 1, 12, 2, 2),
        window_of(1, 13, 13, 24, 24, 7, 7, 1, 1, 24, 3, 3),
        window_of(1, 9, 9, 33, 33, 7, 7, 2, 1, 33, 3, 3),
        window_of(2, 16, 16, 16, 16, 3, 3, 2, 1, 16, 1, 1),
        window_of(1, 16, 16, 4, 4, 5, 5, 1, 2, 4, 4, 4),
        window_of(2, 7, 7, 6, 6, 1, 1, 2, 1, 6, -1, -1),
        window_of(1, 9, 9, 3, 3, 2, 4, 3, 2, 3, 0, 1),
        window_of(1, 1, 2, 5, 5, 5, 3, 3, 1, 5, 2, 1),
    };

    if (kernels == NULL)
        return; /* not on this processor */
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        check_conv(kernels, &edges[i]);
    for (int i = 0; i < 200; i++) {
        struct window s = random_window();

        check_conv(kernels, &s);
    }
    printf("kernels: convolution on %s: %zu shapes\n", kernels->isa,
           sizeof edges / sizeof edges[0] + 200);
}
END_TEST

static void check_batch_norm(const struct kernels *kernels, size_t pixels, int c, bool affine,
                             bool relu)
{
    size_t n = pixels * (size_t)c, nc = (size_t)c;
    struct window none = {.n = (int)pixels, .c = c};
    float *x = filled(n), *dy = filled(n), *gamma = filled(nc), *beta = filled(nc), *y = filled(n),
          *dx0 = filled(n);
    float *mean = filled(nc), *inv = filled(nc), *rm = filled(nc), *rv = filled(nc),
          *dg = filled(nc), *db = filled(nc);
    float *dx = copy_of(dx0, n), *rm0 = copy_of(rm, nc), *rv0 = copy_of(rv, nc),
          *dg0 = copy_of(dg, nc);
    float *want_y = filled(n), *want_dx = filled(n), *infer = filled(n);

    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * 3 + 100; /* a large mean must not cost the variance its digits */
    for (int ch = 0; ch < c; ch++) {
        double m = 0, v = 0, g = affine ? (double)gamma[ch] : 1, b = affine ? (double)beta[ch] : 0,
               s1 = 0, s2 = 0, s;

        for (size_t p = 0; p < pixels; p++)
            m += (double)x[p * nc + (size_t)ch] / (double)pixels;
        for (size_t p = 0; p < pixels; p++)
            v += pow((double)x[p * nc + (size_t)ch] - m, 2) / (double)pixels;
        s = 1 / sqrt(v + 1e-5);
        for (size_t p = 0; p < pixels; p++) {
            size_t i = p * nc + (size_t)ch;
            double xhat = ((double)x[i] - m) * s, out = xhat * g + b, grad;

            want_y[i] = (float)(relu && out < 0 ? 0 : out);
            grad = relu && out < 0 ? 0 : (double)dy[i];
            s1 += grad;
            s2 += grad * xhat;
        }
        for (size_t p = 0; p < pixels; p++) {
            size_t i = p * nc + (size_t)ch;
            double xhat = ((double)x[i] - m) * s,
                   grad = relu && xhat * g + b < 0 ? 0 : (double)dy[i];

            want_dx[i] = (float)((double)dx0[i] +
                                 g * s * (grad - s1 / (double)pixels - xhat * s2 / (double)pixels));
        }
        rm0[ch] += 0.1f * ((float)m - rm0[ch]);
        rv0[ch] +=
            0.1f * ((float)(pixels > 1 ? v * (double)pixels / (double)(pixels - 1) : v) - rv0[ch]);
        dg0[ch] += (float)s2;
    }
    kernels->batch_norm_train(y, x, affine ? gamma : NULL, affine ? beta : NULL, mean, inv, rm, rv,
                              0.1f, 1e-5f, relu, pixels, c);
    assert_close(y, want_y, n, 100, "bn y", &none);
    assert_close(rm, rm0, nc, 100, "running mean", &none);
    assert_close(rv, rv0, nc, 100, "running var", &none);
    memcpy(y, want_y, n * sizeof *y); /* the same sign decisions at the kink */
    kernels->batch_norm_backward(dx, affine ? dg : NULL, affine ? db : NULL, dy, x, y,
                                 affine ? gamma : NULL, mean, inv, relu, pixels, c);
    if (pixels > 1) /* of one pixel the variance is 0 and the gradient is all cancellation */
        assert_close(dx, want_dx, n, 100, "bn dx", &none);
    if (affine && pixels > 1)
        assert_close(dg, dg0, nc, 100 * sqrt((double)pixels), "dgamma", &none);
    for (size_t i = 0; i < nc; i++)
        rv[i] = fabsf(rv[i]);
    kernels->batch_norm_infer(infer, x, affine ? gamma : NULL, affine ? beta : NULL, rm, rv, 1e-5f,
                              relu, pixels, c);
    for (size_t i = 0; i < n; i++) {
        size_t ch = i % nc;
        double out = ((double)x[i] - (double)rm[ch]) / sqrt((double)rv[ch] + 1e-5) *
                         (affine ? (double)gamma[ch] : 1) +
                     (affine ? (double)beta[ch] : 0);

        want_y[i] = (float)(relu && out < 0 ? 0 : out);
    }
    assert_close(infer, want_y, n, 500, "bn infer", &none);
    free(x), free(dy), free(gamma), free(beta), free(y), free(dx0), free(mean), free(inv), free(rm),
        free(rv);
    free(dg), free(db), free(dx), free(rm0), free(rv0), free(dg0), free(want_y), free(want_dx),
        free(infer);
}

START_TEST(batch_norm_is_the_plain_formula)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (int i = 0; i < 60; i++)
        check_batch_norm(kernels, i == 0 ? 1 : (size_t)draw(2, 700),
                         i % 3 == 0 ? draw(60, 300) : draw(1, 40), i % 2 == 0, i % 4 < 2);
}
END_TEST

static void check_pools(const struct kernels *kernels, const struct window *s)
{
    size_t nx = (size_t)(s->n * s->h * s->w) * (size_t)s->c,
           ny = (size_t)(s->n * s->oh * s->ow) * (size_t)s->c;
    float *x = filled(nx), *y = filled(ny), *a = filled(ny), *dy = filled(ny), *dx = filled(nx),
          *da = filled(nx);
    float *want_dx = copy_of(dx, nx), *want_da = copy_of(da, nx), *again = filled(ny);
    int32_t *argmax = malloc(ny * sizeof *argmax);

    kernels->max_pool_forward(y, argmax, x, s);
    kernels->avg_pool_forward(a, x, s);
    for (int n = 0; n < s->n; n++)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++)
                for (int c = 0; c < s->c; c++) {
                    size_t out = (size_t)(((n * s->oh + oy) * s->ow + ox) * s->c + c), best = 0;
                    double sum = 0, most = -INFINITY;
                    int count = 0;

                    for (int pass = 0; pass < 2; pass++)
                        for (int i = 0; i < s->kh; i++)
                            for (int j = 0; j < s->kw; j++) {
                                int iy = oy * s->stride + i - s->pad_y,
                                    ix = ox * s->stride + j - s->pad_x;
                                size_t in = (size_t)(((n * s->h + iy) * s->w + ix) * s->c + c);

                                if (iy < 0 || iy >= s->h || ix < 0 || ix >= s->w)
                                    continue;
                                if (pass == 1) {
                                    want_da[in] += dy[out] / (float)count;
                                    continue;
                                }
                                count++;
                                sum += (double)x[in];
                                if ((double)x[in] > most) {
                                    most = (double)x[in];
                                    best = in;
                                }
                            }
                    ck_assert_double_le(fabs((double)a[out] - (count > 0 ? sum / count : 0)), 1e-5);
                    ck_assert_float_eq(y[out], count > 0 ? (float)most : 0);
                    if (count > 0)
                        want_dx[best] += dy[out];
                }
    kernels->max_pool_forward(again, NULL, x, s);
    ck_assert_mem_eq(again, y, ny * sizeof *y);
    kernels->max_pool_backward(dx, dy, argmax, s);
    kernels->avg_pool_backward(da, dy, s);
    assert_close(dx, want_dx, nx, 1, "max pool dx", s);
    assert_close(da, want_da, nx, 1, "avg pool dx", s);
    free(x), free(y), free(a), free(dy), free(dx), free(da), free(want_dx), free(want_da),
        free(argmax), free(again);
}

START_TEST(pools_are_the_plain_loops)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (int i = 0; i < 100; i++) {
        int c = draw(1, 40), kernel = draw(1, 4), stride = draw(1, 3), pad = draw(0, kernel - 1);
        struct window s = window_of(draw(1, 2), draw(1, 9), draw(1, 9), c, c, kernel, kernel,
                                    stride, 1, 1, pad, pad);

        check_pools(kernels, &s);
    }
    struct window wide = window_of(1, 2, 3, 3000, 3000, 3, 3, 1, 1, 1, 1, 1);

    check_pools(kernels, &wide); /* rows too long to be summed aside */
}
END_TEST

START_TEST(linear_layers_relu_sums_and_steps_are_the_plain_loops)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    struct window none = {0};

    if (kernels == NULL)
        return;
    for (int round = 0; round < 30; round++) {
        int rows = draw(1, 40), c = draw(1, 70), k = draw(1, 20);
        size_t nx = (size_t)(rows * c), ny = (size_t)(rows * k), nw = (size_t)(c * k);
        float *x = filled(nx), *w = filled(nw), *b = filled((size_t)k), *y = filled(ny),
              *dy = filled(ny);
        float *dx = filled(nx), *dw = filled(nw), *db = filled((size_t)k), *want = filled(ny);
        float *want_dx = copy_of(dx, nx), *want_dw = copy_of(dw, nw), *velocity = filled(nw),
              *step = copy_of(w, nw);

        for (int i = 0; i < rows; i++)
            for (int j = 0; j < k; j++) {
                double sum = (double)b[j];

                for (int q = 0; q < c; q++) {
                    sum += (double)x[i * c + q] * (double)w[q * k + j];
                    want_dx[i * c + q] += dy[i * k + j] * w[q * k + j];
                    want_dw[q * k + j] += dy[i * k + j] * x[i * c + q];
                }
                want[i * k + j] = (float)sum;
            }
        kernels->linear_forward(y, x, w, b, rows, c, k);
        assert_close(y, want, ny, 10, "linear y", &none);
        kernels->linear_backward(dx, dw, db, dy, x, w, rows, c, k);
        assert_close(dx, want_dx, nx, 10, "linear dx", &none);
        assert_close(dw, want_dw, nw, 10, "linear dw", &none);
        ck_assert_double_le(fabs(kernels->dot(x, x, nx) / (double)nx - 1), 2);
        for (size_t i = 0; i < nw; i++) {
            float g = dw[i] + 0.01f * w[i], v = 0.9f * velocity[i] + g;

            want_dw[i] = step[i] - 0.1f * (g + 0.9f * v);
        }
        kernels->sgd_step(step, velocity, dw, 0.1f, 0.9f, true, 0.01f, nw);
        assert_close(step, want_dw, nw, 10, "sgd", &none);
        kernels->relu_forward(y, dy, ny);
        for (size_t i = 0; i < ny; i++)
            ck_assert_float_eq(y[i], dy[i] > 0 ? dy[i] : 0);
        free(x), free(w), free(b), free(y), free(dy), free(dx), free(dw), free(db), free(want),
            free(want_dx);
        free(want_dw), free(velocity), free(step);
    }
}
END_TEST

START_TEST(the_same_inputs_give_the_same_bits)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    struct window s = window_of(2, 9, 9, 12, 20, 3, 3, 1, 1, 1, 1, 1);
    size_t nx = 2 * 81 * 12, ny = 2 * 81 * 20, nw = 9 * 12 * 20;

    if (kernels == NULL)
        return;
    float *x = filled(nx), *w = filled(nw), *a = filled(ny), *b = filled(ny),
          *dirty = filled(kernels->conv_scratch(&s));

    kernels->conv_forward(a, x, w, NULL, &s, dirty);
    kernels->conv_forward(b, x, w, NULL, &s, dirty);
    ck_assert_mem_eq(a, b, ny * sizeof *a);
    free(x), free(w), free(a), free(b), free(dirty);
}
END_TEST

static void setup(void)
{
    rng_seed(&rng, 20);
}

int main(void)
{
    Suite *suite = suite_create("kernels");
    TCase *tcase = tcase_create("kernels");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_set_timeout(tcase, 110);
    tcase_add_loop_test(tcase, convolution_is_the_plain_loop, 0, N_ISAS);
    tcase_add_loop_test(tcase, batch_norm_is_the_plain_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, pools_are_the_plain_loops, 0, N_ISAS);
    tcase_add_loop_test(tcase, linear_layers_relu_sums_and_steps_are_the_plain_loops, 0, N_ISAS);
    tcase_add_loop_test(tcase, the_same_inputs_give_the_same_bits, 0, N_ISAS);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
