/* test_kernels_act.c - activations, products with a gate, slices, shuffles and resizing, of every instruction set
 * present, against plain formulas in float64. Arrays end where their allocation ends, and begin at odd addresses.
 */
#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "rng.h"

static const char *const isas[] = {"avx512", "avx2", "sse2", "neon", "generic"};
#define N_ISAS (int)(sizeof isas / sizeof isas[0])

static struct rng rng;

/* Everything allocated since the last forget(). */
static void *held[64];
static size_t n_held;

static void forget(void)
{
    while (n_held > 0)
        free(held[--n_held]);
}

/* n floats, behind up to three that nobody needs. */
static float *floats(size_t n)
{
    size_t skip = rng_below(&rng, 4);
    float *a = malloc((n + skip + 1) * sizeof *a);

    ck_assert_ptr_nonnull(a);
    ck_assert_uint_lt(n_held, sizeof held / sizeof held[0]);
    a = realloc(a, n + skip > 0 ? (n + skip) * sizeof *a : 1);
    held[n_held++] = a;
    return a + skip;
}

static float *filled(size_t n)
{
    float *a = floats(n);

    for (size_t i = 0; i < n; i++)
        a[i] = (float)rng_normal(&rng);
    return a;
}

static float *constant(size_t n, float value)
{
    float *a = floats(n);

    for (size_t i = 0; i < n; i++)
        a[i] = value;
    return a;
}

static float *copy_of(const float *from, size_t n)
{
    float *a = floats(n);

    memcpy(a, from, n * sizeof *a);
    return a;
}

static int draw(int from, int to)
{
    return from + (int)rng_below(&rng, (uint64_t)to - (uint64_t)from + 1);
}

static void assert_near(double got, double want, double tolerance, const char *what, size_t i)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        ck_abort_msg("%s[%zu] is %.9g, expected %.9g", what, i, got, want);
}

/* Check's own assertions are too slow for every value of an array. */
static void assert_same(float got, float want, const char *what, size_t i)
{
    if (got != want)
        ck_abort_msg("%s[%zu] is %.9g, expected %.9g", what, i, (double)got, (double)want);
}

/* ---- activations -------------------------------------------------------------------------------------- */

static double relu6(double x)
{
    return x < 0 ? 0 : x > 6 ? 6 : x;
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

static const struct {
    const char *name;
    double kinks[2];
} acts[] = {
    [ACT_NONE] = {"none", {NAN, NAN}},        [ACT_RELU] = {"relu", {0, NAN}},
    [ACT_RELU6] = {"relu6", {0, 6}},          [ACT_SWISH] = {"swish", {NAN, NAN}},
    [ACT_H_SWISH] = {"h-swish", {-3, 3}},     [ACT_SIGMOID] = {"sigmoid", {NAN, NAN}},
    [ACT_H_SIGMOID] = {"h-sigmoid", {-3, 3}},
};
#define N_ACTS (enum act)(sizeof acts / sizeof acts[0])

static double value_of(enum act act, double x)
{
    switch (act) {
    case ACT_NONE: return x;
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_RELU6: return relu6(x);
    case ACT_SWISH: return x * sigmoid(x);
    case ACT_H_SWISH: return x * relu6(x + 3) / 6;
    case ACT_SIGMOID: return sigmoid(x);
    case ACT_H_SIGMOID: return relu6(x + 3) / 6;
    }
    return NAN;
}

static double slope_of(enum act act, double x)
{
    double s = sigmoid(x);

    switch (act) {
    case ACT_NONE: return 1;
    case ACT_RELU: return x > 0;
    case ACT_RELU6: return x > 0 && x < 6;
    case ACT_SWISH: return s * (1 + x * sigmoid(-x));
    case ACT_H_SWISH: return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6;
    case ACT_SIGMOID: return s * sigmoid(-x);
    case ACT_H_SIGMOID: return x > -3 && x < 3 ? 1.0 / 6 : 0;
    }
    return NAN;
}

/* From -100 to 100, kinks and zeros among them, dense where something happens. */
static float *inputs_of_acts(size_t *n)
{
    static const float special[] = {0.0f, -0.0f, 3, -3, 6, 0x1p-126f, 1e-45f, 80, -80, 1e30f};
    float *x;

    *n = 40000 + sizeof special / sizeof special[0];
    x = floats(*n);
    memcpy(x, special, sizeof special);
    for (size_t i = sizeof special / sizeof special[0]; i < *n; i++)
        x[i] = (float)((rng_uniform(&rng) * 2 - 1) * (i % 2 == 0 ? 100 : 8));
    return x;
}

START_TEST(an_activation_is_its_formula)
{
    const struct kernels *k = kernels_named(isas[_i]);
    size_t n;

    if (k == NULL)
        return;
    for (enum act act = 0; act < N_ACTS; act++) {
        float *x = inputs_of_acts(&n), *y = constant(n, NAN);

        k->act_forward(y, x, act, n);
        for (size_t i = 0; i < n; i++) {
            double v = (double)x[i], want = value_of(act, v);

            /* small values keep their digits, too: but what is below 1e-34 is only small */
            if (!(fabs((double)y[i] - want) <= 6e-7 * fabs(want) + 1e-34) &&
                !((act == ACT_H_SWISH || act == ACT_H_SIGMOID) &&
                  fabs((double)y[i] - want) <= 4e-7)) /* x + 3 is rounded */
                ck_abort_msg("%s of %.9g is %.9g, expected %.9g", acts[act].name, v, (double)y[i],
                             want);
        }
        k->act_forward(x, x, act, n); /* y may be x */
        ck_assert_mem_eq(x, y, n * sizeof *x);
        forget();
    }
}
END_TEST

START_TEST(the_slope_of_an_activation_is_its_formula)
{
    const struct kernels *k = kernels_named(isas[_i]);
    size_t n;

    if (k == NULL)
        return;
    for (enum act act = 0; act < N_ACTS; act++) {
        float *x = inputs_of_acts(&n), *dy = filled(n), *dx = constant(n, NAN), *old = filled(n);
        float *sum = copy_of(old, n);

        k->act_backward(dx, false, dy, x, act, n);
        k->act_backward(sum, true, dy, x, act, n);
        for (size_t i = 0; i < n; i++) {
            double want = (double)dy[i] * slope_of(act, (double)x[i]);

            assert_near((double)dx[i], want, 1e-6, acts[act].name, i);
            assert_near((double)sum[i], (double)old[i] + want, 1e-6, acts[act].name, i);
        }
        forget();
    }
}
END_TEST

/* What backward gives is what a small step of forward does. */
START_TEST(a_small_step_changes_an_activation_by_its_slope)
{
    const struct kernels *k = kernels_named(isas[_i]);
    const float step = 0x1p-6f;
    enum { N = 333 };

    if (k == NULL)
        return;
    for (enum act act = 0; act < N_ACTS; act++) {
        float *x = floats(N), *up = floats(N), *down = floats(N), *dx = constant(N, NAN);
        float *one = constant(N, 1);

        for (int i = 0; i < N; i++)
            x[i] = ((float)i - 166.5f) / 16;
        for (int i = 0; i < N; i++)
            up[i] = x[i] + step, down[i] = x[i] - step;
        k->act_backward(dx, false, one, x, act, N);
        k->act_forward(up, up, act, N);
        k->act_forward(down, down, act, N);
        for (size_t i = 0; i < N;
             i++) /* no x is within a step of a kink: those are whole numbers */
            assert_near((double)dx[i], (double)(up[i] - down[i]) / (2 * (double)step), 1e-4,
                        acts[act].name, i);
        forget();
    }
}
END_TEST

START_TEST(an_activation_of_any_length_is_that_of_its_values)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    for (enum act act = 0; act < N_ACTS; act++)
        for (size_t n = 0; n < 70; n++) {
            float *x = filled(n), *dy = filled(n), *y = constant(n, NAN), *dx = constant(n, NAN);

            k->act_forward(y, x, act, n);
            k->act_backward(dx, false, dy, x, act, n);
            for (size_t i = 0; i < n; i++) { /* the same bits, wherever in an array a value is */
                float alone[2];

                k->act_forward(&alone[0], &x[i], act, 1);
                k->act_backward(&alone[1], false, &dy[i], &x[i], act, 1);
                assert_same(alone[0], y[i], "y", i);
                assert_same(alone[1], dx[i], "dx", i);
            }
            forget();
        }
}
END_TEST

START_TEST(an_activation_passes_a_nan_on)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    for (enum act act = 0; act < N_ACTS; act++)
        for (size_t at = 0; at < 37; at++) {
            float *x = filled(37), *y = floats(37), *dy = filled(37), *dx = floats(37);

            dy[at] = NAN;
            k->act_backward(dx, false, dy, x, act, 37);
            ck_assert_msg(isnan(dx[at]), "%s: dx[%zu]", acts[act].name, at);
            x[at] = NAN;
            k->act_forward(y, x, act, 37);
            for (size_t i = 0; i < 37; i++)
                if (isnan(y[i]) != (i == at))
                    ck_abort_msg("%s: y[%zu] is %g", acts[act].name, i, (double)y[i]);
            forget();
        }
}
END_TEST

START_TEST(an_activation_of_the_infinite_has_no_surprises)
{
    const struct kernels *k = kernels_named(isas[_i]);
    const float x[] = {INFINITY, -INFINITY, 3e38f, -3e38f};
    float y[4];

    if (k == NULL)
        return;
    k->act_forward(y, x, ACT_SIGMOID, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(y[i], i % 2 == 0 ? 1 : 0, 1e-30f);
    k->act_forward(y, x, ACT_SWISH, 4);
    ck_assert(isinf(y[0]) && y[2] == 3e38f);
    k->act_forward(y, x, ACT_RELU6, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq(y[i], i % 2 == 0 ? 6 : 0);
    k->act_backward(y, false, (const float[]){1, 1, 1, 1}, x, ACT_SIGMOID, 4);
    for (int i = 0; i < 4; i++)
        ck_assert_float_eq_tol(y[i], 0, 1e-30f);
}
END_TEST

/* ---- products with a gate ----------------------------------------------------------------------------- */

static void check_mul(const struct kernels *k, int n, size_t pixels, size_t c)
{
    size_t values = (size_t)n * pixels * c, gates = (size_t)n * c;
    float *x = filled(values), *gate = filled(gates), *dy = filled(values);
    float *y = constant(values, NAN), *dx = constant(values, NAN), *old = filled(values);
    float *sum = copy_of(old, values), *dgate = filled(gates);
    double *want = calloc(gates + 1, sizeof *want);

    for (size_t i = 0; i < gates; i++)
        want[i] = (double)dgate[i];
    k->mul_forward(y, x, gate, n, pixels, c);
    k->mul_backward(dx, false, dgate, dy, x, gate, n, pixels, c);
    k->mul_backward(sum, true, NULL, dy, x, gate, n, pixels, c);
    for (size_t i = 0; i < values; i++) {
        size_t at = i / (pixels * c) * c + i % c;

        want[at] += (double)dy[i] * (double)x[i];
        assert_same(y[i], x[i] * gate[at], "y", i);
        assert_same(dx[i], dy[i] * gate[at], "dx", i);
        assert_near((double)sum[i], (double)old[i] + (double)dx[i], 1e-6, "dx added", i);
    }
    for (size_t i = 0; i < gates; i++)
        if (!(fabs((double)dgate[i] - want[i]) <=
              2e-6 * sqrt((double)pixels + 1) * (1 + fabs(want[i]))))
            ck_abort_msg("dgate[%zu] is %g, expected %g (n %d, %zu pixels, c %zu)", i,
                         (double)dgate[i], want[i], n, pixels, c);
    k->mul_forward(x, x, gate, n, pixels, c); /* y may be x */
    ck_assert_mem_eq(x, y, values * sizeof *x);
    free(want);
    forget();
}

START_TEST(a_gate_multiplies_every_pixel_of_its_image)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    check_mul(k, 1, 1, 1);
    check_mul(k, 2, 12544, 3);
    check_mul(k, 1, 3136, 40);
    check_mul(k, 3, 1, 1000);
    for (int round = 0; round < 300; round++)
        check_mul(k, draw(1, 3), (size_t)draw(1, 150), (size_t)draw(1, 70));
}
END_TEST

START_TEST(a_value_may_be_its_own_gate)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    for (size_t c = 1; c < 70; c++) {
        float *x = filled(2 * c), *dy = filled(2 * c), *dx = constant(2 * c, NAN);

        k->mul_backward(dx, false, dx, dy, x, x, 2, 1, c); /* (x^2)' = 2 x */
        for (size_t i = 0; i < 2 * c; i++)
            assert_near((double)dx[i], 2 * (double)dy[i] * (double)x[i], 1e-6, "dx", i);
        forget();
    }
}
END_TEST

/* ---- slices and shuffles ------------------------------------------------------------------------------ */

START_TEST(rows_are_copied_and_added_between_strides)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    for (int round = 0; round < 300; round++) {
        size_t rows = (size_t)draw(0, 9), width = (size_t)draw(1, 40);
        size_t xs = width + (size_t)draw(0, 9), ys = width + (size_t)draw(0, 9);
        size_t offset = xs > width ? (size_t)draw(0, (int)(xs - width)) : 0;
        float *x = filled(rows * xs), *y = constant(rows * ys, 7), *sum = filled(rows * ys);
        float *old = copy_of(sum, rows * ys);

        if (rows > 0) {
            k->copy_rows(y, ys, x + offset, xs, rows, width);
            k->add_rows(sum, ys, x + offset, xs, rows, width);
        }
        for (size_t i = 0; i < rows * ys; i++) {
            bool inside = i % ys < width;
            float from = inside ? x[i / ys * xs + i % ys + offset] : 0;

            assert_same(y[i], inside ? from : 7, "y", i);
            assert_same(sum[i], old[i] + from, "sum", i);
        }
        forget();
    }
}
END_TEST

START_TEST(a_shuffle_takes_the_groups_in_turn)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    for (int round = 0; round < 300; round++) {
        int groups = draw(1, 5), width = draw(1, 40), c = groups * width;
        size_t pixels = (size_t)draw(1, 9), n = pixels * (size_t)c;
        float *x = filled(n), *y = constant(n, NAN), *dx = filled(n), *old = copy_of(dx, n);

        k->shuffle_forward(y, x, pixels, c, groups);
        for (size_t p = 0; p < pixels; p++)
            for (int i = 0; i < groups; i++)
                for (int j = 0; j < width; j++)
                    assert_same(y[p * (size_t)c + (size_t)(j * groups + i)],
                                x[p * (size_t)c + (size_t)(i * width + j)], "y", p);
        k->shuffle_backward(dx, y, pixels, c, groups); /* back to where they were, added */
        for (size_t i = 0; i < n; i++)
            assert_same(dx[i], old[i] + x[i], "dx", i);
        forget();
    }
}
END_TEST

/* ---- resizing ----------------------------------------------------------------------------------------- */

/* The weight of input pixel i in output pixel o, along one side. */
static double weight_of(int i, int o, int in, int out, bool area)
{
    if (area) {
        int first = (int)floor((double)o * in / out), end = (int)ceil((o + 1.0) * in / out);

        return i >= first && i < end ? 1.0 / (end - first) : 0;
    }
    double at = fmax((o + 0.5) * in / out - 0.5, 0), last = in - 1;

    return fmax(0, 1 - fabs(fmin(at, last) - i)); /* a hat of width 1 around each pixel */
}

static void check_resize(const struct kernels *k, const struct window *s, bool area)
{
    int in = s->n * s->h * s->w * s->c, out = s->n * s->oh * s->ow * s->c;
    size_t nx = (size_t)in, ny = (size_t)out;
    float *x = filled(nx), *y = constant(ny, NAN), *dy = filled(ny), *dx = filled(nx);
    double *want = calloc(ny, sizeof *want), *back = calloc(nx, sizeof *back);

    for (size_t i = 0; i < nx; i++)
        back[i] = (double)dx[i];
    for (size_t o = 0; o < ny; o++) {
        int c = (int)o % s->c, ox = (int)o / s->c % s->ow, oy = (int)o / s->c / s->ow % s->oh;
        int n = (int)o / s->c / s->ow / s->oh;

        for (int iy = 0; iy < s->h; iy++)
            for (int ix = 0; ix < s->w; ix++) {
                int i = ((n * s->h + iy) * s->w + ix) * s->c + c;
                double w =
                    weight_of(iy, oy, s->h, s->oh, area) * weight_of(ix, ox, s->w, s->ow, area);

                want[o] += w * (double)x[i];
                back[i] += w * (double)dy[o];
            }
    }
    k->resize_forward(y, x, s, area);
    k->resize_backward(dx, dy, s, area);
    for (size_t o = 0; o < ny; o++)
        assert_near((double)y[o], want[o], 3e-6, area ? "area" : "bilinear", o);
    for (size_t i = 0; i < nx; i++)
        assert_near((double)dx[i], back[i], 2e-5, area ? "area, dx" : "bilinear, dx", i);
    free(want);
    free(back);
    forget();
}

START_TEST(resizing_is_the_plain_weighted_sum)
{
    const struct kernels *k = kernels_named(isas[_i]);

    if (k == NULL)
        return;
    check_resize(k, &(struct window){.n = 2, .h = 2, .w = 5, .c = 3, .oh = 3, .ow = 600}, true);
    check_resize(k, &(struct window){.n = 2, .h = 3, .w = 7, .c = 2, .oh = 2, .ow = 600}, false);
    for (int round = 0; round < 400; round++) {
        struct window s = {.n = draw(1, 2), .h = draw(1, 9), .w = draw(1, 9), .c = draw(1, 20)};

        s.oh = draw(1, 12);
        s.ow = draw(1, 12);
        check_resize(k, &s, round % 2 == 0);
    }
}
END_TEST

START_TEST(resizing_gives_pytorchs_numbers)
{
    const struct kernels *k = kernels_named(isas[_i]);
    const float x[] = {1, 2, 3, 4};
    /* torch.nn.functional.interpolate(size=(4, 4), mode="bilinear", align_corners=False) */
    const float four[] = {1,    1.25f, 1.75f, 2,    1.5f, 1.75f, 2.25f, 2.5f,
                          2.5f, 2.75f, 3.25f, 3.5f, 3,    3.25f, 3.75f, 4};
    const float three[] = {1, 1.5f, 2, 2, 2.5f, 3, 3, 3.5f, 4}; /* size=(3, 3), mode="area" */
    struct window s = {.n = 1, .h = 2, .w = 2, .c = 1, .oh = 4, .ow = 4};
    float y[16];

    if (k == NULL)
        return;
    k->resize_forward(y, x, &s, false);
    for (int i = 0; i < 16; i++)
        ck_assert_float_eq(y[i], four[i]);
    s.oh = s.ow = 3;
    k->resize_forward(y, x, &s, true);
    for (int i = 0; i < 9; i++)
        ck_assert_float_eq(y[i], three[i]);
    s.oh = s.ow = 2; /* its own size: itself */
    for (int area = 0; area < 2; area++) {
        k->resize_forward(y, x, &s, area == 1);
        ck_assert_mem_eq(y, x, sizeof x);
    }
}
END_TEST

static void setup(void)
{
    rng_seed(&rng, 21);
}

int main(void)
{
    Suite *suite = suite_create("kernels: activations and what moves values");
    TCase *tcase = tcase_create("kernels");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, forget);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, an_activation_is_its_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, the_slope_of_an_activation_is_its_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_small_step_changes_an_activation_by_its_slope, 0, N_ISAS);
    tcase_add_loop_test(tcase, an_activation_of_any_length_is_that_of_its_values, 0, N_ISAS);
    tcase_add_loop_test(tcase, an_activation_passes_a_nan_on, 0, N_ISAS);
    tcase_add_loop_test(tcase, an_activation_of_the_infinite_has_no_surprises, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_gate_multiplies_every_pixel_of_its_image, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_value_may_be_its_own_gate, 0, N_ISAS);
    tcase_add_loop_test(tcase, rows_are_copied_and_added_between_strides, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_shuffle_takes_the_groups_in_turn, 0, N_ISAS);
    tcase_add_loop_test(tcase, resizing_is_the_plain_weighted_sum, 0, N_ISAS);
    tcase_add_loop_test(tcase, resizing_gives_pytorchs_numbers, 0, N_ISAS);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
