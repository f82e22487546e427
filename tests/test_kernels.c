/* test_kernels.c - every kernel of every instruction set present, against plain loops in float64.
 *
 * Shapes are a table of edges and thousands drawn at random: odd sizes, strides past the image, dilation, groups,
 * depthwise, padding of -1 and more than the window, windows without padding; images in one call and in several, which
 * must give the same bits. Arrays begin at odd addresses and end where the allocation ends,
 * so that a sanitizer sees a read past them; scratch and outputs begin as NaN, so that nothing can lean on them.
 * Backward passes begin from other values, which they must add to.
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

/* Plain loops are most of the test's time: no sanitizer looks at them. */
#define UNCHECKED __attribute__((no_sanitize("address", "undefined")))

/* Everything allocated since the last forget(). */
static void *held[256];
static size_t n_held;

static void forget(void)
{
    while (n_held > 0)
        free(held[--n_held]);
}

static void *hold(size_t n, size_t size)
{
    size_t skip = rng_below(&rng, 4);
    char *a = malloc((n + skip > 0 ? n + skip : 1) * size);

    if (a == NULL || n_held == sizeof held / sizeof held[0]) /* Check writes down every ck_assert */
        ck_abort_msg("out of memory, or of places for pointers");
    held[n_held++] = a;
    return a + skip * size;
}

/* Of mean 0 and variance 1. */
static float *filled(size_t n)
{
    float *a = hold(n, sizeof *a);

    for (size_t i = 0; i < n; i++)
        a[i] = (float)((rng_uniform(&rng) - 0.5) * 3.4641016);
    return a;
}

static float *constant(size_t n, float value)
{
    float *a = hold(n, sizeof *a);

    for (size_t i = 0; i < n; i++)
        a[i] = value;
    return a;
}

static float *copy_of(const float *a, size_t n)
{
    float *b = hold(n, sizeof *b);

    memcpy(b, a, n * sizeof *b);
    return b;
}

static int draw(int from, int to)
{
    return from + (int)rng_below(&rng, (uint64_t)to - (uint64_t)from + 1);
}

static bool coin(void)
{
    return draw(0, 1) == 0;
}

/* As ck_assert_float_eq(), which writes down that it was called: that is slow for every value of an array. */
static void assert_equal(float got, float want)
{
    if (!(got == want))
        ck_abort_msg("%g is not %g", (double)got, (double)want);
}

static const char *shape_of(const struct window *s)
{
    static char text[160];

    (void)snprintf(text, sizeof text, "n%d %dx%dx%d -> %dx%dx%d k%dx%d s%d d%d g%d pad %d,%d", s->n,
                   s->h, s->w, s->c, s->oh, s->ow, s->k, s->kh, s->kw, s->stride, s->dilation,
                   s->groups, s->pad_y, s->pad_x);
    return text;
}

UNCHECKED static void assert_close(const float *got, const float *want, size_t n, double scale,
                                   const char *what, const struct window *s)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <=
              2e-5 * scale + 2e-5 * fabs((double)want[i])))
            ck_abort_msg("%s[%zu] is %g, expected %g (%s)", what, i, (double)got[i],
                         (double)want[i], shape_of(s));
}

/* ---- the plain loops --------------------------------------------------------------------------------- */

/* What a convolution's passes give, in float64. */
struct plain {
    double *y, *dx, *dw, *dbias;
};

/* All three add up the same products. */
UNCHECKED static void add_products(const struct plain *p, const struct window *s, const float *x,
                                   const float *w, const float *dy, size_t in, size_t weight,
                                   size_t out)
{
    size_t cg = (size_t)(s->c / s->groups), kg = (size_t)(s->k / s->groups);

    for (size_t k = 0; k < (size_t)s->k; k++) {
        const float *xs = x + in + k / kg * cg, *ws = w + weight + k;
        double *dxs = p->dx + in + k / kg * cg, *dws = p->dw + weight + k, sum = 0;
        double g = (double)dy[out + k];

        for (size_t c = 0; c < cg; c++) {
            sum += (double)xs[c] * (double)ws[c * (size_t)s->k];
            dxs[c] += g * (double)ws[c * (size_t)s->k];
            dws[c * (size_t)s->k] += g * (double)xs[c];
        }
        p->y[out + k] += sum;
    }
}

/* y, dx, dw, dbias += ... */
static void plain_convolution(const struct plain *p, const struct window *s, const float *x,
                              const float *w, const float *dy)
{
    size_t out = 0, k = (size_t)s->k, taps = (size_t)(s->c / s->groups) * k;

    for (int n = 0; n < s->n; n++)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++, out += k) {
                for (size_t j = 0; j < k; j++)
                    p->dbias[j] += (double)dy[out + j];
                for (int i = 0; i < s->kh; i++)
                    for (int j = 0; j < s->kw; j++) {
                        int iy = oy * s->stride + i * s->dilation - s->pad_y;
                        int ix = ox * s->stride + j * s->dilation - s->pad_x;

                        if (iy >= 0 && iy < s->h && ix >= 0 && ix < s->w)
                            add_products(p, s, x, w, dy,
                                         (size_t)((n * s->h + iy) * s->w + ix) * (size_t)s->c,
                                         (size_t)(i * s->kw + j) * taps, out);
                    }
            }
}

static double *widened(const float *a, size_t n)
{
    double *b = hold(n, sizeof *b);

    for (size_t i = 0; i < n; i++)
        b[i] = (double)a[i];
    return b;
}

static float *rounded(const double *a, size_t n)
{
    float *b = hold(n, sizeof *b);

    for (size_t i = 0; i < n; i++)
        b[i] = (float)a[i];
    return b;
}

/* How many floats each array of a window operation has. */
struct sizes {
    size_t x, y, w;
};

static struct sizes sizes_of(const struct window *s)
{
    struct sizes n = {(size_t)(s->n * s->h * s->w) * (size_t)s->c,
                      (size_t)(s->n * s->oh * s->ow) * (size_t)s->k,
                      (size_t)(s->kh * s->kw * (s->c / s->groups)) * (size_t)s->k};

    return n;
}

/* A convolution and what it works with; scratch and packed weights begin as NaN. */
struct conv {
    const struct kernels *k;
    struct window s;
    float *scratch, *forward, *input, *sums;
};

static struct conv conv_of(const struct kernels *k, const struct window *s, const float *weight)
{
    struct conv c = {k, *s, NULL, NULL, NULL, NULL};

    c.scratch = constant(k->conv_floats(s, CONV_SCRATCH), NAN);
    c.forward = constant(k->conv_floats(s, CONV_PACKED_FORWARD), NAN);
    c.input = constant(k->conv_floats(s, CONV_PACKED_INPUT), NAN);
    c.sums = constant(k->conv_floats(s, CONV_SUMS), 0);
    k->conv_pack(c.forward, weight, s, CONV_PACKED_FORWARD);
    k->conv_pack(c.input, weight, s, CONV_PACKED_INPUT);
    return c;
}

/* dw, dbias += their gradients */
static void conv_weight(struct conv *c, float *dw, float *dbias, const float *dy, const float *x)
{
    memset(c->sums, 0, c->k->conv_floats(&c->s, CONV_SUMS) * sizeof *c->sums);
    c->k->conv_backward_weight(c->sums, dbias, dy, x, &c->s, c->scratch);
    c->k->conv_weight_finish(dw, c->sums, &c->s, c->scratch);
}

/* One of a few images at a time instead of all. */
static void check_split(struct conv *whole, const float *x, const float *dy, const float *bias,
                        const float *y, const float *dx0, const float *dx, bool add)
{
    struct sizes n = sizes_of(&whole->s);
    size_t images = (size_t)whole->s.n, k = (size_t)whole->s.k, nx = n.x / images,
           ny = n.y / images;
    float *dw = constant(n.w, 0), *db = constant(k, 0);
    float *some_y = constant(n.y, NAN), *some_dx = copy_of(dx0, n.x), *some_dw = constant(n.w, 0),
          *some_db = constant(k, 0);
    struct conv some = *whole;

    conv_weight(whole, dw, db, dy, x);
    memset(some.sums, 0, some.k->conv_floats(&some.s, CONV_SUMS) * sizeof *some.sums);
    for (size_t i = 0; i < images; i += (size_t)some.s.n) {
        some.s.n = draw(1, (int)(images - i));
        some.k->conv_forward(some_y + i * ny, x + i * nx, some.forward, bias, &some.s,
                             some.scratch);
        some.k->conv_backward_input(some_dx + i * nx, add, dy + i * ny, some.input, &some.s,
                                    some.scratch);
        some.k->conv_backward_weight(some.sums, some_db, dy + i * ny, x + i * nx, &some.s,
                                     some.scratch);
    }
    some.k->conv_weight_finish(some_dw, some.sums, &some.s, some.scratch);
    if (memcmp(some_y, y, n.y * sizeof *y) != 0 || memcmp(some_dx, dx, n.x * sizeof *dx) != 0 ||
        memcmp(some_dw, dw, n.w * sizeof *dw) != 0 || memcmp(some_db, db, k * sizeof *db) != 0)
        ck_abort_msg("%s: images over several calls give other bits (%s)", whole->k->isa,
                     shape_of(&whole->s));
}

/* Arrays of one convolution, and what each instruction set must make of them. */
struct conv_case {
    struct window s;
    struct sizes n;
    bool add;
    float *x, *w, *dy, *bias, *dx, *dw, *dbias;
    float *want_y, *want_dx, *want_dw, *want_dbias;
};

static struct conv_case conv_case(const struct window *s)
{
    struct conv_case c = {.s = *s, .n = sizes_of(s), .add = coin()};
    size_t k = (size_t)s->k;
    struct plain p;

    c.x = filled(c.n.x), c.w = filled(c.n.w), c.dy = filled(c.n.y), c.dw = filled(c.n.w);
    c.bias = coin() ? filled(k) : NULL, c.dbias = filled(k);
    c.dx = c.add ? filled(c.n.x) : constant(c.n.x, NAN);
    p.y = widened(constant(c.n.y, 0), c.n.y), p.dw = widened(c.dw, c.n.w);
    p.dx = widened(c.add ? c.dx : constant(c.n.x, 0), c.n.x), p.dbias = widened(c.dbias, k);
    for (size_t i = 0; c.bias != NULL && i < c.n.y; i++)
        p.y[i] = (double)c.bias[i % k];
    plain_convolution(&p, s, c.x, c.w, c.dy);
    c.want_y = rounded(p.y, c.n.y), c.want_dx = rounded(p.dx, c.n.x);
    c.want_dw = rounded(p.dw, c.n.w), c.want_dbias = rounded(p.dbias, k);
    return c;
}

static void check_conv_on(const struct kernels *kernels, const struct conv_case *c)
{
    const struct window *s = &c->s;
    size_t held_before = n_held, k = (size_t)s->k;
    double pixels = s->n * s->oh * s->ow, taps = s->kh * s->kw;
    float *y = constant(c->n.y, NAN), *dx = copy_of(c->dx, c->n.x), *dw = copy_of(c->dw, c->n.w);
    float *dbias = c->bias != NULL ? copy_of(c->dbias, k) : NULL;
    struct conv conv = conv_of(kernels, s, c->w);

    kernels->conv_forward(y, c->x, conv.forward, c->bias, s, conv.scratch);
    kernels->conv_backward_input(dx, c->add, c->dy, conv.input, s, conv.scratch);
    conv_weight(&conv, dw, dbias, c->dy, c->x);
    assert_close(y, c->want_y, c->n.y, sqrt(taps * s->c), "y", s);
    assert_close(dx, c->want_dx, c->n.x, sqrt(taps * s->k), "dx", s);
    assert_close(dw, c->want_dw, c->n.w, sqrt(pixels), "dw", s);
    if (dbias != NULL)
        assert_close(dbias, c->want_dbias, k, sqrt(pixels), "dbias", s);
    if (s->n > 1)
        check_split(&conv, c->x, c->dy, c->bias, y, c->dx, dx, c->add);
    while (n_held > held_before)
        free(held[--n_held]);
}

/* On every instruction set present. */
static void check_conv(const struct window *s)
{
    struct conv_case c = conv_case(s);

    for (int i = 0; i < N_ISAS; i++)
        if (kernels_named(isas[i]) != NULL)
            check_conv_on(kernels_named(isas[i]), &c);
    forget();
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

/* The same without padding: only windows that are wholly inside, of an image that has one. */
static struct window valid(struct window s)
{
    int reach_y = s.dilation * (s.kh - 1), reach_x = s.dilation * (s.kw - 1);

    s.h = s.h > reach_y ? s.h : reach_y + 1;
    s.w = s.w > reach_x ? s.w : reach_x + 1;
    s.oh = (s.h - reach_y - 1) / s.stride + 1;
    s.ow = (s.w - reach_x - 1) / s.stride + 1;
    s.pad_y = s.pad_x = 0;
    return s;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Windows, strides, dilations and padding of any kind, also such as read nothing; images of a pixel and more. */
static struct window random_any(void)
{
    int kh = draw(1, 7), kw = draw(0, 3) == 0 ? draw(1, 7) : kh, dilation = draw(1, 3);
    int groups = draw(0, 3) == 0 ? draw(1, 4) : 1, c = groups * draw(1, 20);
    int k = groups * draw(1, 40), reach = dilation * (smaller(kh, kw) - 1);

    return window_of(draw(1, 3), draw(1, 9), draw(1, 9), c, k, kh, kw, draw(1, 4), dilation, groups,
                     draw(-1, reach + 1), draw(-1, reach + 1));
}

static struct window random_depthwise(void)
{
    int c = coin() ? draw(2, 40) : 16 * draw(1, 4), kh = draw(1, 7), kw = coin() ? kh : draw(1, 7);
    int dilation = draw(1, 3);

    if (draw(0, 3) ==
        0) { /* rows whose vectors go from one pixel to the next, and whose ends do not */
        c = coin() ? 8 * draw(1, 9) : 2 * draw(1, 20);
        return window_of(draw(1, 3), draw(1, 17), draw(1, 14), c, c, 3, 3, 2, 1, c, draw(-2, 4),
                         draw(-2, 4));
    }
    return window_of(draw(1, 3), draw(1, 17), draw(1, 14), c, c, kh, kw, draw(1, 3), dilation, c,
                     draw(-1, dilation * kh), draw(-1, dilation * kw));
}

/* Enough channels for fewer products, and a few just too few. */
static struct window random_3x3(void)
{
    int dilation = coin() ? 1 : draw(2, 3);

    return window_of(draw(1, 4), draw(1, 9 + dilation), draw(1, 9 + dilation), draw(14, 34),
                     draw(14, 50), 3, 3, 1, dilation, 1, draw(0, 2 * dilation),
                     draw(0, 2 * dilation));
}

/* Channels that fill vectors, halves and quarters of one, and others. */
static struct window random_3x3_by_2(void)
{
    int c = coin() ? 4 * draw(1, 9) : draw(1, 36), k = coin() ? 4 * draw(1, 9) : draw(1, 36);

    int h = coin() ? 8 : draw(1, 12), w = coin() ? 8 * draw(1, 4) : draw(1, 30);

    return window_of(draw(1, 3), h, w, c, k, 3, 3, 2, 1, 1, draw(-1, 3), draw(-1, 3));
}

static struct window random_1x1(void)
{
    int groups = draw(0, 7) == 0 ? 2 : 1;

    if (draw(0, 3) == 0) /* either half of a factorised reduction */
        return window_of(draw(1, 3), draw(1, 9), draw(1, 9), draw(1, 30), draw(1, 40), 1, 1, 2, 1,
                         1, -draw(0, 1), -draw(0, 1));
    return window_of(draw(1, 5), draw(1, 9), draw(1, 9), groups * draw(1, 40), groups * draw(1, 70),
                     1, 1, 1, 1, groups, 0, 0);
}

static struct window random_window(void)
{
    struct window s;

    switch (draw(0, 7)) {
    case 0: return random_3x3();
    case 1: return random_1x1();
    case 2:
    case 3: s = random_depthwise(); break;
    case 4: s = random_3x3_by_2(); break;
    default: s = random_any(); break;
    }
    return draw(0, 7) == 0 ? valid(s) : s;
}

/* Every part is a process of its own. */
#define PARTS    8
#define N_RANDOM 250

START_TEST(convolution_is_the_plain_loop)
{
    const struct window edges[] = {
        window_of(2, 8, 8, 16, 32, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0),
        window_of(1, 1, 1, 3, 5, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 1, 1, 2, 3, 7, 7, 3, 3, 1, 9, 9),
        window_of(3, 5, 7, 6, 33, 3, 3, 2, 1, 1, 1, 1),
        window_of(1, 14, 14, 1, 16, 3, 3, 1, 1, 1, 1, 1), /* stems */
        window_of(1, 16, 16, 3, 16, 3, 3, 1, 1, 1, 1, 1),
        window_of(2, 7, 7, 8, 16, 1, 1, 2, 1, 1, 0, 0), /* both halves of a factorised reduction */
        window_of(2, 7, 7, 8, 16, 1, 1, 2, 1, 1, -1, -1),
        window_of(2, 8, 8, 8, 16, 1, 1, 2, 1, 1, -1, -1),
        window_of(1, 1, 1, 8, 8, 1, 1, 2, 1, 1, -1, -1), /* reads nothing at all */
        window_of(2, 9, 9, 12, 12, 5, 5, 1, 2, 12, 4, 4),
        window_of(1, 8, 8, 33, 33, 3, 3, 2, 1, 33, 1, 1),
        window_of(1, 2, 2, 4, 4, 7, 7, 3, 1, 1, 3, 3),
        window_of(2, 8, 8, 64, 64, 1, 1, 1, 1, 1, 0, 0),
        window_of(1, 4, 4, 16, 16, 7, 1, 1, 1, 1, 3, 0),
        window_of(1, 6, 6, 4, 8, 3, 3, 1, 1, 4, 1, 1), /* one channel in, two out of each group */
        valid(window_of(1, 9, 9, 5, 7, 3, 3, 2, 1, 1, 0, 0)),
        valid(window_of(1, 1, 1, 5, 7, 3, 3, 1, 2, 1, 0, 0)),
        window_of(1, 4, 4, 16, 16, 1, 7, 1, 1, 1, 0, 3),
        window_of(1, 13, 13, 17, 47, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 6, 6, 12, 24, 3, 3, 2, 1, 3, 1, 1),
        /* enough channels for fewer products: whole tiles, tiles that stick out, padding of every kind */
        window_of(2, 8, 8, 16, 16, 3, 3, 1, 1, 1, 1, 1),
        window_of(3, 7, 7, 17, 24, 3, 3, 1, 1, 1, 1, 1),
        window_of(2, 4, 12, 24, 19, 3, 3, 1, 1, 1, 1, 1),
        window_of(7, 4, 4, 32, 48, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 13, 11, 20, 37, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 15, 16, 18, 18, 3, 3, 1, 1, 1, 2, 0),
        window_of(2, 3, 3, 16, 65, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 8, 8, 40, 64, 3, 3, 1, 1, 2, 1, 1),
        window_of(1, 4, 4, 96, 128, 3, 3, 1, 1, 1, 1, 1),
        window_of(1, 8, 8, 16, 16, 3, 3, 1, 1, 1, -1, 3),
        valid(window_of(2, 10, 9, 19, 20, 3, 3, 1, 1, 1, 0, 0)),
        /* likewise dilated: as many tiles of every class, or fewer, or shorter ones; other paddings */
        window_of(2, 8, 16, 16, 16, 3, 3, 1, 2, 1, 2, 2),
        window_of(2, 9, 17, 17, 24, 3, 3, 1, 2, 1, 2, 2),
        window_of(3, 7, 14, 24, 18, 3, 3, 1, 2, 1, 2, 2),
        window_of(1, 23, 12, 16, 33, 3, 3, 1, 3, 1, 3, 3),
        window_of(1, 16, 15, 16, 16, 3, 3, 1, 4, 1, 1, 5),
        window_of(1, 8, 8, 16, 32, 3, 3, 1, 2, 1, -1, 6),
        window_of(1, 8, 8, 40, 64, 3, 3, 1, 2, 2, 2, 2),
        valid(window_of(2, 12, 13, 19, 20, 3, 3, 1, 2, 1, 0, 0)),
        /* dense, by 2 */
        window_of(2, 8, 8, 32, 32, 3, 3, 2, 1, 1, 1, 1),
        window_of(1, 16, 16, 16, 24, 3, 3, 2, 1, 1, 1, 1),
        window_of(1, 6, 32, 24, 16, 3, 3, 2, 1, 1, 0, 2),
        window_of(1, 4, 4, 20, 68, 3, 3, 2, 1, 1, 2, 0),
        window_of(1, 14, 14, 40, 18, 3, 3, 2, 1, 2, 1, 1),
        window_of(1, 2, 2, 18, 5, 3, 3, 2, 1, 1, -1, 3),
        /* likewise: several images at once, several bands of one, an odd number of rows, no padding */
        window_of(7, 8, 8, 16, 16, 3, 3, 2, 1, 1, 1, 1),
        window_of(2, 32, 32, 24, 24, 3, 3, 2, 1, 1, 1, 1),
        window_of(3, 14, 14, 12, 20, 3, 3, 2, 1, 1, 1, 1),
        window_of(2, 2, 30, 8, 8, 3, 3, 2, 1, 1, 1, 1),
        valid(window_of(2, 9, 13, 24, 24, 3, 3, 2, 1, 1, 0, 0)),
        /* depthwise: channels that fill no vector, several rows, a stride, a border cut off */
        window_of(2, 11, 10, 8, 8, 3, 3, 1, 1, 8, 1, 1),
        window_of(2, 15, 9, 12, 12, 5, 5, 1, 1, 12, 2, 2),
        window_of(1, 13, 13, 24, 24, 7, 7, 1, 1, 24, 3, 3),
        window_of(1, 9, 9, 33, 33, 7, 7, 2, 1, 33, 3, 3),
        window_of(2, 16, 16, 16, 16, 3, 3, 2, 1, 16, 1, 1),
        window_of(2, 8, 8, 24, 24, 3, 3, 2, 1, 24, 1, 1),
        window_of(1, 7, 9, 40, 40, 3, 3, 2, 1, 40, 0, 2),
        window_of(2, 14, 10, 40, 40, 3, 3, 2, 1, 40, 1, 1),
        valid(window_of(2, 9, 13, 56, 56, 3, 3, 2, 1, 56, 0, 0)),
        window_of(1, 4, 6, 64, 64, 3, 3, 2, 1, 64, 1, 0),
        window_of(1, 16, 16, 4, 4, 5, 5, 1, 2, 4, 4, 4),
        window_of(2, 7, 7, 6, 6, 1, 1, 2, 1, 6, -1, -1),
        window_of(1, 9, 9, 3, 3, 2, 4, 3, 2, 3, 0, 1),
        window_of(1, 1, 2, 5, 5, 5, 3, 3, 1, 5, 2, 1),
        /* more than one piece: rows, channels, both, dilated rows */
        window_of(2, 40, 34, 16, 16, 3, 3, 1, 1, 16, 1, 1),
        window_of(1, 30, 32, 80, 80, 5, 5, 1, 1, 80, 2, 2),
        window_of(1, 33, 30, 12, 12, 3, 3, 1, 2, 12, 2, 2),
        window_of(1, 40, 40, 32, 32, 3, 3, 2, 1, 32, 1, 1),
        /* long rows that are more than one, and rows too long to be joined */
        window_of(3, 20, 20, 70, 90, 1, 1, 1, 1, 1, 0, 0),
        window_of(1, 5, 40, 10, 24, 3, 5, 1, 1, 1, 1, 2),
    };
    int n_edges = (int)(sizeof edges / sizeof edges[0]);

    rng_seed(&rng, (uint64_t)_i);
    for (int i = _i; i < n_edges; i += PARTS)
        check_conv(&edges[i]);
    for (int i = 0; i < N_RANDOM; i++) {
        struct window s = random_window();

        check_conv(&s);
    }
}
END_TEST

/* The formula in float64, one channel at a time; what a pass must give. */
struct plain_norm {
    float *y, *dx, *dgamma, *dbeta, *running_mean, *running_var;
};

UNCHECKED static struct plain_norm plain_batch_norm(const struct plain_norm *before, const float *x,
                                                    const float *dy, const float *gamma,
                                                    const float *beta, bool relu, size_t pixels,
                                                    size_t c)
{
    size_t n = pixels * c;
    struct plain_norm after = {constant(n, 0),
                               copy_of(before->dx, n),
                               copy_of(before->dgamma, c),
                               copy_of(before->dbeta, c),
                               copy_of(before->running_mean, c),
                               copy_of(before->running_var, c)};

    for (size_t ch = 0; ch < c; ch++) {
        double m = 0, v = 0, g = gamma != NULL ? (double)gamma[ch] : 1,
               b = beta != NULL ? (double)beta[ch] : 0, s1 = 0, s2 = 0, s, count = (double)pixels;

        for (size_t i = ch; i < n; i += c)
            m += (double)x[i] / count;
        for (size_t i = ch; i < n; i += c)
            v += ((double)x[i] - m) * ((double)x[i] - m) / count;
        s = 1 / sqrt(v + 1e-5);
        for (size_t i = ch; i < n; i += c) {
            double xhat = ((double)x[i] - m) * s, out = xhat * g + b;
            double grad = relu && out < 0 ? 0 : (double)dy[i];

            after.y[i] = (float)(relu && out < 0 ? 0 : out);
            s1 += grad;
            s2 += grad * xhat;
        }
        for (size_t i = ch; i < n; i += c) {
            double xhat = ((double)x[i] - m) * s;
            double grad = relu && xhat * g + b < 0 ? 0 : (double)dy[i];

            after.dx[i] += (float)(g * s * (grad - s1 / count - xhat * s2 / count));
        }
        after.dgamma[ch] += (float)s2;
        after.dbeta[ch] += (float)s1;
        after.running_mean[ch] += 0.1f * ((float)m - after.running_mean[ch]);
        after.running_var[ch] +=
            0.1f * ((float)(pixels > 1 ? v * count / (count - 1) : v) - after.running_var[ch]);
    }
    return after;
}

/* The passes of one batch norm, a few pixels a call, as many as `piece` says. */
struct norm_run {
    const struct kernels *k;
    struct norm norm;
    size_t pixels, piece;
    enum act act;
};

static struct norm_run norm_run_of(const struct kernels *k, size_t pixels, int c, bool relu)
{
    size_t bytes = k->norm_bytes(c);
    struct norm_run r = {k, {0}, pixels, (size_t)draw(1, (int)pixels), relu ? ACT_RELU : ACT_NONE};
    void *state = malloc(bytes); /* doubles first: no odd address */

    ck_assert_ptr_nonnull(state);
    held[n_held++] = state;
    memset(state, 0xff, bytes); /* NaN */
    r.norm = k->norm_at(state, c);
    return r;
}

#define EACH_PIECE(r, first, count)                                                                \
    for (size_t first = 0, count = (r)->piece < (r)->pixels ? (r)->piece : (r)->pixels;            \
         first < (r)->pixels;                                                                      \
         first += count, count = (r)->pixels - first < count ? (r)->pixels - first : count)

/* NOLINTBEGIN(readability-non-const-parameter): running writes to mean and var */
static void batch_norm_train(struct norm_run *r, float *y, const float *x, const float *gamma,
                             const float *beta, float *mean, float *var)
{
    size_t c = (size_t)r->norm.c;
    struct norm_running running = {mean, var, 0.1f};
    bool copied = coin();

    EACH_PIECE(r, i, n)
    {
        if (i == 0)
            r->k->norm_begin(&r->norm, x, n);
        r->k->norm_moments(&r->norm, copied ? y + i * c : NULL, x + i * c, n);
        if (copied)
            ck_assert_mem_eq(y + i * c, x + i * c, n * c * sizeof *y);
    }
    r->k->norm_coefficients(&r->norm, gamma, beta, &running, r->pixels, 1e-5f);
    EACH_PIECE(r, i, n)
    r->k->norm_forward(&r->norm, y + i * c, x + i * c, r->act, n);
}
/* NOLINTEND(readability-non-const-parameter) */

/* g: room for a gradient; NULL without an activation, when dy is it. */
static void batch_norm_backward(struct norm_run *r, float *dx, bool add, float *dgamma,
                                float *dbeta, const float *dy, const float *x, float *g)
{
    size_t c = (size_t)r->norm.c;

    r->k->norm_backward_begin(&r->norm);
    EACH_PIECE(r, i, n)
    r->k->norm_backward(&r->norm, g != NULL ? g + i * c : NULL, coin() ? NORM_PUT : NORM_PUT_PAST,
                        dy + i * c, x + i * c, r->act, true, n);
    r->k->norm_backward_finish(&r->norm, dgamma, dbeta, r->pixels);
    EACH_PIECE(r, i, n)
    r->k->norm_backward_input(&r->norm, dx + i * c, add, (g != NULL ? g : dy) + i * c, x + i * c,
                              n);
}

static void check_batch_norm(const struct kernels *kernels, size_t pixels, int c, bool affine,
                             bool relu)
{
    size_t n = pixels * (size_t)c, nc = (size_t)c;
    struct window shape = {.n = (int)pixels, .c = c};
    float *x = filled(n), *dy = filled(n), *gamma = affine ? filled(nc) : NULL,
          *beta = affine ? filled(nc) : NULL, *in_place, *g, *twice, *g2;
    struct plain_norm got = {constant(n, NAN), filled(n),  filled(nc),
                             filled(nc),       filled(nc), filled(nc)};
    struct norm_run r = norm_run_of(kernels, pixels, c, relu);
    struct plain_norm want;

    for (size_t i = 0; i < n; i++)
        x[i] = x[i] * 3 + 100; /* a large mean must not cost the variance its digits */
    in_place = copy_of(x, n);
    want = plain_batch_norm(&got, x, dy, gamma, beta, relu, pixels, nc);

    batch_norm_train(&r, got.y, x, gamma, beta, got.running_mean, got.running_var);
    assert_close(got.y, want.y, n, 10, "bn y", &shape);
    assert_close(got.running_mean, want.running_mean, nc, 10, "running mean", &shape);
    assert_close(got.running_var, want.running_var, nc, 10, "running var", &shape);
    kernels->norm_forward(&r.norm, in_place, in_place, r.act, pixels);
    ck_assert_mem_eq(in_place, got.y, n * sizeof *in_place);

    g = relu || coin() ? constant(n, NAN) : NULL;
    batch_norm_backward(&r, got.dx, true, affine ? got.dgamma : NULL, affine ? got.dbeta : NULL, dy,
                        x, g);
    if (pixels > 1) /* of one pixel the variance is 0 and the gradient is all cancellation */
        assert_close(got.dx, want.dx, n, 10, "bn dx", &shape);
    if (affine && pixels > 1) {
        assert_close(got.dgamma, want.dgamma, nc, 10 * sqrt((double)pixels), "dgamma", &shape);
        assert_close(got.dbeta, want.dbeta, nc, sqrt((double)pixels), "dbeta", &shape);
    }
    /* a second segment that reads it adds its part; without the sums, nothing else changes */
    g2 = constant(n, 1);
    kernels->norm_backward(&r.norm, g2, NORM_ADD, dy, x, r.act, false, pixels);
    for (size_t i = 0; i < n && g != NULL; i++)
        assert_equal(g2[i], 1 + g[i]);
    twice = constant(n, NAN); /* overwritten, not added to */
    kernels->norm_backward_input(&r.norm, twice, false, g != NULL ? g : dy, x, pixels);
    for (size_t i = 0; i < n; i++)
        ck_assert(!isnan(twice[i]));

    for (size_t i = 0; i < nc; i++)
        got.running_var[i] = fabsf(got.running_var[i]) + 0.1f;
    kernels->norm_infer(&r.norm, gamma, beta,
                        &(struct norm_running){got.running_mean, got.running_var, 0}, 1e-5f);
    kernels->norm_forward(&r.norm, got.y, x, r.act, pixels);
    for (size_t i = 0; i < n; i++) {
        size_t ch = i % nc;
        double out = ((double)x[i] - (double)got.running_mean[ch]) /
                         sqrt((double)got.running_var[ch] + 1e-5) *
                         (gamma != NULL ? (double)gamma[ch] : 1) +
                     (beta != NULL ? (double)beta[ch] : 0);

        want.y[i] = (float)(relu && out < 0 ? 0 : out);
    }
    assert_close(got.y, want.y, n, 100, "bn infer", &shape);
    forget();
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

/* In one pass what convolution, sum and activation are in three, to the bit. */
static void check_pointwise(const struct kernels *k, int pixels, int c, int outs, enum act act)
{
    struct window s = window_of(1, 1, pixels, c, outs, 1, 1, 1, 1, 1, 0, 0);
    struct sizes n = sizes_of(&s);
    float *x = filled(n.x), *bias = coin() ? filled((size_t)outs) : NULL, *got, *want;
    struct conv conv = conv_of(k, &s, filled(n.w));
    bool add = coin();

    got = add ? filled(n.y) : constant(n.y, NAN);
    want = constant(n.y, NAN);
    for (size_t i = 0; i < n.y && add; i++)
        got[i] *= 5;
    k->conv_forward(want, x, conv.forward, bias, &s, conv.scratch);
    if (add)
        k->accumulate(want, got, n.y);
    k->act_forward(want, want, act, n.y);
    k->conv_pointwise(got, add, x, conv.forward, bias, act, &s, conv.scratch);
    for (size_t i = 0; i < n.y; i++)
        assert_equal(got[i], want[i]);
    forget();
}

START_TEST(a_pointwise_convolution_ends_with_sum_and_activation)
{
    static const enum act acts[] = {ACT_NONE, ACT_RELU, ACT_RELU6};
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (int i = 0; i < 60; i++)
        check_pointwise(kernels, draw(1, 60), draw(1, 40), draw(1, 100), acts[i % 3]);
}
END_TEST

/* A batch norm folded into a pointwise convolution, a few pixels a call. */
struct folded_run {
    struct norm_run norm;
    struct conv conv, mix;
    struct covariance v;
    float *scaled, *scratch;
};

static struct folded_run folded_run_of(const struct kernels *k, int pixels, int c, int outs,
                                       const float *weight, bool relu)
{
    struct window s = window_of(1, 1, pixels, c, outs, 1, 1, 1, 1, 1, 0, 0),
                  m = window_of(1, 1, pixels, c, c, 1, 1, 1, 1, 1, 0, 0);
    size_t bytes = k->covariance_bytes(c, outs);
    struct folded_run r = {.norm = norm_run_of(k, (size_t)pixels, outs, relu),
                           .conv = conv_of(k, &s, weight),
                           .mix = conv_of(k, &m, constant((size_t)c * (size_t)c, 0)),
                           .scaled = constant((size_t)c * (size_t)outs, NAN),
                           .scratch = constant(k->covariance_scratch(c), NAN)};
    void *state = malloc(bytes); /* doubles first: no odd address */

    ck_assert_ptr_nonnull(state);
    held[n_held++] = state;
    memset(state, 0xff, bytes); /* NaN */
    r.v = k->covariance_at(state, c, outs);
    return r;
}

/* NOLINTBEGIN(readability-non-const-parameter): running writes to mean and var */
static void folded_train(struct folded_run *r, float *y, const float *u, const float *weight,
                         const float *gamma, const float *beta, float *mean, float *var)
{
    const struct kernels *k = r->norm.k;
    struct norm_running running = {mean, var, 0.1f};
    size_t c = (size_t)r->v.c, outs = (size_t)r->v.k;

    EACH_PIECE(&r->norm, i, n)
    {
        if (i == 0)
            k->covariance_begin(&r->v, u, n);
        k->covariance_moments(&r->v, u + i * c, n, r->scratch);
    }
    k->covariance_coefficients(&r->v, &r->norm.norm, weight, gamma, beta, &running, r->norm.pixels,
                               1e-5f);
    k->mul_forward(r->scaled, weight, r->norm.norm.scale, 1, c, outs);
    k->conv_pack(r->conv.forward, r->scaled, &r->conv.s, CONV_PACKED_FORWARD);
    k->conv_pack(r->conv.input, r->scaled, &r->conv.s, CONV_PACKED_INPUT);
    k->conv_pointwise(y, false, u, r->conv.forward, r->norm.norm.shift, r->norm.act, &r->conv.s,
                      r->conv.scratch);
}
/* NOLINTEND(readability-non-const-parameter) */

/* g is dy first. */
static void folded_backward(struct folded_run *r, float *du, float *dw, float *dgamma, float *dbeta,
                            float *g, const float *y, const float *u, const float *weight)
{
    const struct kernels *k = r->norm.k;
    size_t outs = (size_t)r->v.k;

    k->norm_backward_begin(&r->norm.norm);
    EACH_PIECE(&r->norm, i, n)
    k->norm_backward_cut(&r->norm.norm, g + i * outs, y + i * outs, r->norm.act, n);
    conv_weight(&r->conv, dw, NULL, g, u);
    k->conv_backward_input(du, true, g, r->conv.input, &r->conv.s, r->conv.scratch);
    k->covariance_backward_finish(&r->v, &r->norm.norm, dw, weight, dgamma, dbeta, r->norm.pixels);
    k->conv_pack(r->mix.forward, r->v.mix, &r->mix.s, CONV_PACKED_FORWARD);
    k->conv_pointwise(du, true, u, r->mix.forward, r->v.offset, ACT_NONE, &r->mix.s,
                      r->mix.scratch);
}

/* What the plain formula gives of x = u weight, which the folded norm never has. */
struct plain_folded {
    float *x;
    struct plain_norm norm;
    double *du, *dw;
};

static struct plain_folded plain_folded(const struct window *s, const float *u, const float *weight,
                                        float *dy, const float *gamma, const float *beta, bool relu,
                                        const struct plain_norm *before, const float *du)
{
    struct sizes n = sizes_of(s);
    struct plain p = {widened(constant(n.y, 0), n.y), widened(du, n.x),
                      widened(constant(n.w, 0), n.w),
                      widened(constant((size_t)s->k, 0), (size_t)s->k)};
    struct plain_folded f = {.du = p.dx, .dw = p.dw};

    plain_convolution(&p, s, u, weight, constant(n.y, 0));
    f.x = rounded(p.y, n.y);
    f.norm = plain_batch_norm(before, f.x, dy, gamma, beta, false, (size_t)s->ow, (size_t)s->k);
    for (size_t i = 0; i < n.y && relu; i++) /* a rounding could carry these over the kink */
        if (fabsf(f.norm.y[i]) < 1e-2f)
            dy[i] = 0;
    f.norm = plain_batch_norm(before, f.x, dy, gamma, beta, relu, (size_t)s->ow, (size_t)s->k);
    plain_convolution(&p, s, u, weight, f.norm.dx);
    return f;
}

static void check_folded(const struct kernels *kernels, int pixels, int c, int outs, bool affine,
                         bool relu)
{
    struct window s = window_of(1, 1, pixels, c, outs, 1, 1, 1, 1, 1, 0, 0);
    struct sizes n = sizes_of(&s);
    size_t k = (size_t)outs;
    float *u = filled(n.x), *weight = filled(n.w), *dy = filled(n.y), *du = filled(n.x);
    float *gamma = affine ? filled(k) : NULL, *beta = affine ? filled(k) : NULL,
          *dw = constant(n.w, 0), scale = (float)sqrt(pixels);
    struct plain_norm got = {constant(n.y, NAN), constant(n.y, 0), filled(k),
                             filled(k),          filled(k),        filled(k)};
    struct folded_run r = folded_run_of(kernels, pixels, c, outs, weight, relu);
    struct plain_folded want;

    for (size_t i = 0; i < n.x; i++)
        u[i] = u[i] * 2 + 5;
    want = plain_folded(&s, u, weight, dy, gamma, beta, relu, &got, du);
    folded_train(&r, got.y, u, weight, gamma, beta, got.running_mean, got.running_var);
    assert_close(got.y, want.norm.y, n.y, 10 * c, "folded y", &s);
    assert_close(got.running_mean, want.norm.running_mean, k, c, "running mean", &s);
    assert_close(got.running_var, want.norm.running_var, k, 10 * c, "running var", &s);
    folded_backward(&r, du, dw, affine ? got.dgamma : NULL, affine ? got.dbeta : NULL, dy, got.y, u,
                    weight);
    assert_close(du, rounded(want.du, n.x), n.x, 20 * sqrt(outs), "folded du", &s);
    assert_close(dw, rounded(want.dw, n.w), n.w, 20 * (double)scale, "folded dw", &s);
    if (affine) {
        assert_close(got.dgamma, want.norm.dgamma, k, 20 * (double)scale, "dgamma", &s);
        assert_close(got.dbeta, want.norm.dbeta, k, (double)scale, "dbeta", &s);
    }
    forget();
}

START_TEST(a_folded_batch_norm_is_the_plain_formula)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (int i = 0; i < 40; i++) {
        int c = i % 4 == 0 ? 16 : draw(1, 40);

        check_folded(kernels, draw(2 * c, 900), c, draw(3 * c, 4 * c), i % 2 == 0, i % 4 < 2);
    }
}
END_TEST

/* At an end of ReLU6 no gradient passes; the rest is summed up. */
START_TEST(a_gradient_is_cut_where_an_activation_ends)
{
    const float y[] = {0, 1, 6, 5.5f, 0, 6, 3, 0};
    float g[] = {1, 2, 4, 8, 16, 32, 64, 128};
    const float want[] = {0, 2, 0, 8, 0, 0, 64, 0};
    const struct kernels *kernels = kernels_named(isas[_i]);
    struct norm_run r;

    if (kernels == NULL)
        return;
    r = norm_run_of(kernels, 4, 2, false);
    kernels->norm_backward_begin(&r.norm);
    kernels->norm_backward_cut(&r.norm, g, y, ACT_RELU6, 4);
    for (int i = 0; i < 8; i++)
        assert_equal(g[i], want[i]);
    for (int i = 2; i < r.norm.width; i++)
        r.norm.sum[i % 2] += r.norm.sum[i];
    ck_assert_double_eq(r.norm.sum[0], 64);
    ck_assert_double_eq(r.norm.sum[1], 10);
    forget();
}
END_TEST

/* A pool's taps inside the image, in their order; `at` is the offset within the image. */
#define EACH_TAP(s, oy, ox, ch, body)                                                              \
    for (int i_ = 0; i_ < (s)->kh; i_++)                                                           \
        for (int j_ = 0; j_ < (s)->kw; j_++) {                                                     \
            int iy = (oy) * (s)->stride + i_ * (s)->dilation - (s)->pad_y;                         \
            int ix = (ox) * (s)->stride + j_ * (s)->dilation - (s)->pad_x;                         \
            int at = (iy * (s)->w + ix) * (s)->c + (ch);                                           \
            if (iy >= 0 && iy < (s)->h && ix >= 0 && ix < (s)->w) {                                \
                body;                                                                              \
            }                                                                                      \
        }

static void check_pools(const struct kernels *kernels, const struct window *s)
{
    struct sizes n = sizes_of(s);
    size_t image = (size_t)(s->h * s->w) * (size_t)s->c, out = 0;
    float *x = filled(n.x), *dy = filled(n.y), *max = constant(n.y, NAN), *avg = constant(n.y, NAN);
    float *dx_max = filled(n.x), *dx_avg = filled(n.x), *want_avg = constant(n.y, 0);
    double *want_dx_max = widened(dx_max, n.x), *want_dx_avg = widened(dx_avg, n.x);
    int32_t *argmax = hold(n.y, sizeof *argmax);
    float *again = constant(n.y, NAN);

    kernels->max_pool_forward(max, argmax, x, s);
    kernels->avg_pool_forward(avg, x, s);
    for (int i = 0; i < s->n; i++)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow; ox++)
                for (int c = 0; c < s->c; c++, out++) {
                    const float *in = x + (size_t)i * image;
                    int count = 0, best = -1;
                    double sum = 0;

                    EACH_TAP(s, oy, ox, c, count++; sum += (double)in[at];
                             best = best < 0 || in[at] > in[best] ? at : best)
                    if (argmax[out] != best || max[out] != (best < 0 ? 0 : in[best]))
                        ck_abort_msg("max[%zu] is %g at %d, expected at %d (%s)", out,
                                     (double)max[out], argmax[out], best, shape_of(s));
                    if (count == 0)
                        continue; /* all padding: y is 0, nothing flows back */
                    want_avg[out] = (float)(sum / count);
                    want_dx_max[(size_t)i * image + (size_t)best] += (double)dy[out];
                    EACH_TAP(s, oy, ox, c,
                             want_dx_avg[(size_t)i * image + (size_t)at] += (double)dy[out] / count)
                }
    assert_close(avg, want_avg, n.y, 1, "avg pool", s);
    kernels->max_pool_forward(again, NULL, x, s); /* no backward will follow */
    ck_assert_mem_eq(again, max, n.y * sizeof *max);
    kernels->max_pool_backward(dx_max, dy, argmax, s);
    kernels->avg_pool_backward(dx_avg, dy, s);
    assert_close(dx_max, rounded(want_dx_max, n.x), n.x, 1, "max pool dx", s);
    assert_close(dx_avg, rounded(want_dx_avg, n.x), n.x, 1, "avg pool dx", s);
    forget();
}

START_TEST(pools_are_the_plain_loops)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    const struct window edges[] = {
        window_of(1, 1, 1, 1, 1, 3, 3, 1, 1, 1, 1, 1),
        window_of(2, 8, 8, 32, 32, 3, 3, 1, 1, 1, 1, 1),
        window_of(2, 8, 8, 16, 16, 3, 3, 2, 1, 1, 1, 1),
        window_of(1, 7, 7, 5, 5, 1, 1, 2, 1, 1, -1, -1), /* the last windows are all padding */
        window_of(1, 7, 5, 80, 80, 7, 7, 1, 1, 1, 3, 3),
        window_of(1, 2, 3, 3000, 3000, 3, 3, 1, 1, 1, 1, 1), /* rows too long to be summed aside */
        valid(window_of(2, 8, 8, 17, 17, 2, 2, 2, 1, 1, 0, 0)),
    };

    if (kernels == NULL)
        return;
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        check_pools(kernels, &edges[i]);
    for (int i = 0; i < 100; i++) {
        int c = draw(1, 40), kh = draw(1, 4), kw = coin() ? kh : draw(1, 4), dilation = draw(1, 2);
        struct window s =
            window_of(draw(1, 2), draw(1, 9), draw(1, 9), c, c, kh, kw, draw(1, 3), dilation, 1,
                      draw(0, dilation * (kh - 1)), draw(0, dilation * (kw - 1)));

        s = draw(0, 7) == 0 ? valid(s) : s;
        check_pools(kernels, &s);
    }
}
END_TEST

START_TEST(a_global_average_is_the_plain_mean)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    struct window none = {0};

    if (kernels == NULL)
        return;
    for (int round = 0; round < 40; round++) {
        int n = draw(1, 4), pixels = draw(1, 70), c = draw(1, 70);
        size_t nc = (size_t)n * (size_t)c, all = nc * (size_t)pixels,
               image = (size_t)pixels * (size_t)c;
        float *x = filled(all), *y = constant(nc, NAN), *dy = filled(nc), *dx = filled(all);
        double *want_y = widened(constant(nc, 0), nc), *want_dx = widened(dx, all);

        for (size_t i = 0; i < all; i++) {
            size_t out = i / image * (size_t)c + i % (size_t)c;

            want_y[out] += (double)x[i] / pixels;
            want_dx[i] += (double)dy[out] / pixels;
        }
        kernels->global_avg_pool_forward(y, x, n, pixels, c);
        assert_close(y, rounded(want_y, nc), nc, 1, "global average", &none);
        kernels->global_avg_pool_backward(dx, dy, n, pixels, c);
        assert_close(dx, rounded(want_dx, all), all, 1, "global average dx", &none);
        forget();
    }
}
END_TEST

static void check_linear(const struct kernels *kernels, int rows, int c, int k)
{
    struct window none = {.n = rows, .c = c, .k = k};
    size_t nk = (size_t)k, nx = (size_t)rows * (size_t)c, ny = (size_t)rows * nk,
           nw = (size_t)c * nk;
    float *x = filled(nx), *w = filled(nw), *y = constant(ny, NAN), *dy = filled(ny),
          *bias = coin() ? filled(nk) : NULL;
    float *dx = coin() ? filled(nx) : NULL, *dw = filled(nw), *db = coin() ? filled(nk) : NULL;
    double *sum = widened(constant(ny, 0), ny), *sum_dx = dx != NULL ? widened(dx, nx) : NULL;
    double *sum_dw = widened(dw, nw), *sum_db = db != NULL ? widened(db, nk) : NULL;

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < k; j++) {
            double g = (double)dy[i * k + j];

            sum[i * k + j] = bias != NULL ? (double)bias[j] : 0;
            if (sum_db != NULL)
                sum_db[j] += g;
            for (int q = 0; q < c; q++) {
                sum[i * k + j] += (double)x[i * c + q] * (double)w[q * k + j];
                sum_dw[q * k + j] += g * (double)x[i * c + q];
                if (sum_dx != NULL)
                    sum_dx[i * c + q] += g * (double)w[q * k + j];
            }
        }
    kernels->linear_forward(y, x, w, bias, rows, c, k);
    assert_close(y, rounded(sum, ny), ny, sqrt(c), "linear y", &none);
    kernels->linear_backward(dx, dw, db, dy, x, w, rows, c, k);
    assert_close(dw, rounded(sum_dw, nw), nw, sqrt(rows), "linear dw", &none);
    if (dx != NULL)
        assert_close(dx, rounded(sum_dx, nx), nx, sqrt(k), "linear dx", &none);
    if (db != NULL)
        assert_close(db, rounded(sum_db, nk), nk, sqrt(rows), "linear dbias", &none);
    forget();
}

START_TEST(linear_layers_are_the_plain_loops)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    check_linear(kernels, 1, 1, 1);
    for (int round = 0; round < 60; round++)
        check_linear(kernels, draw(1, 40), draw(1, 70), draw(1, 20));
}
END_TEST

START_TEST(elementwise_kernels_are_the_plain_loops)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (int round = 0; round < 60; round++) {
        size_t n = round < 40 ? (size_t)round : (size_t)draw(40, 3000); /* 0 is nothing to do */
        int n_inputs = draw(1, 5);
        float *x = filled(n), *y = constant(n, NAN), *dy = filled(n), *dx = filled(n);
        float *dx0 = copy_of(dx, n), *in_place = copy_of(x, n), *scaled = copy_of(x, n);
        const float *inputs[5];

        kernels->act_forward(y, x, ACT_RELU, n);
        kernels->act_forward(in_place, in_place, ACT_RELU, n);
        kernels->act_backward(dx, true, dy, x, ACT_RELU, n);
        kernels->scale(scaled, scaled, -2.5f, n);
        for (size_t i = 0; i < n; i++) {
            assert_equal(y[i], x[i] > 0 ? x[i] : 0);
            assert_equal(in_place[i], y[i]);
            assert_equal(dx[i], x[i] > 0 ? dx0[i] + dy[i] : dx0[i]);
            assert_equal(scaled[i], -2.5f * x[i]);
        }
        for (int i = 0; i < n_inputs; i++)
            inputs[i] = filled(n);
        kernels->add_forward(y, inputs, n_inputs, n);
        kernels->accumulate(scaled, dy, n);
        for (size_t i = 0; i < n; i++) {
            double sum = 0;

            for (int j = 0; j < n_inputs; j++)
                sum += (double)inputs[j][i];
            if (!(fabsf(y[i] - (float)sum) <= 1e-5f))
                ck_abort_msg("%g is not %g", (double)y[i], sum);
            assert_equal(scaled[i], -2.5f * x[i] + dy[i]);
        }
        forget();
    }
}
END_TEST

START_TEST(a_step_of_sgd_is_pytorchs)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    static const struct {
        float lr, momentum, decay;
        bool nesterov;
    } steps[] = {
        {0.1f, 0, 0, false},       {0.1f, 0.9f, 0, false}, {0.1f, 0.9f, 0.01f, false},
        {0.1f, 0.9f, 0.01f, true}, {0, 0.9f, 0.01f, true},
    };
    struct window none = {0};

    if (kernels == NULL)
        return;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        size_t n = (size_t)draw(1, 200);
        float *w = filled(n), *velocity = filled(n), *g = filled(n);
        double *want_w = widened(w, n), *want_v = widened(velocity, n),
               momentum = (double)steps[i].momentum;

        for (size_t j = 0; j < n; j++) {
            double d = (double)g[j] + (double)steps[i].decay * want_w[j];

            want_v[j] = momentum * want_v[j] + d;
            want_w[j] -=
                (double)steps[i].lr * (steps[i].nesterov ? d + momentum * want_v[j] : want_v[j]);
        }
        kernels->sgd_step(w, velocity, g, steps[i].lr, steps[i].momentum, steps[i].nesterov,
                          steps[i].decay, n);
        assert_close(w, rounded(want_w, n), n, 0.1, "sgd w", &none);
        assert_close(velocity, rounded(want_v, n), n, 0.1, "sgd velocity", &none);
        forget();
    }
}
END_TEST

START_TEST(a_step_of_rmsprop_is_its_formula)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    struct window none = {0};

    if (kernels == NULL)
        return;
    for (int outside = 0; outside < 2; outside++) {
        struct rmsprop_step how = {0.1f, 0.9f, 0.1f, 0.8f, 1e-2f, 0.01f, outside == 1};
        size_t n = (size_t)draw(1, 200);
        float *w = filled(n), *ms = filled(n), *mom = filled(n), *g = filled(n);

        for (size_t j = 0; j < n; j++)
            ms[j] *= ms[j]; /* a mean of squares */
        double *want_w = widened(w, n), *want_s = widened(ms, n), *want_m = widened(mom, n);

        for (size_t j = 0; j < n; j++) {
            double d = (double)g[j] + (double)how.decay * want_w[j], eps = (double)how.epsilon;

            want_s[j] = (double)how.rho * want_s[j] + (double)how.one_minus_rho * d * d;
            d /= outside ? sqrt(want_s[j]) + eps : sqrt(want_s[j] + eps);
            want_m[j] = (double)how.momentum * want_m[j] + (outside ? d : (double)how.lr * d);
            want_w[j] -= outside ? (double)how.lr * want_m[j] : want_m[j];
        }
        kernels->rmsprop_step(w, ms, mom, g, &how, n);
        assert_close(w, rounded(want_w, n), n, 0.1, "rmsprop w", &none);
        assert_close(ms, rounded(want_s, n), n, 0.1, "rmsprop ms", &none);
        assert_close(mom, rounded(want_m, n), n, 0.1, "rmsprop mom", &none);
        forget();
    }
}
END_TEST

START_TEST(a_step_of_adam_is_its_formula)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    static const struct adam_step steps[] = {
        {0.9f, 0.1f, 0.999f, 0.001f, 1e-3f, 0.1f, 3, 0.01f, 1}, /* Adam */
        {0.5f, 0.5f, 0.99f, 0.01f, 1e-2f, 0.05f, 10, 0, 0.99f}, /* AdamW */
    };
    struct window none = {0};

    if (kernels == NULL)
        return;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const struct adam_step *how = &steps[i];
        size_t n = (size_t)draw(1, 200);
        float *w = filled(n), *m = filled(n), *v = filled(n), *g = filled(n);

        for (size_t j = 0; j < n; j++)
            v[j] *= v[j];
        double *want_w = widened(w, n), *want_m = widened(m, n), *want_v = widened(v, n);

        for (size_t j = 0; j < n; j++) {
            double old = want_w[j] * (double)how->shrink;
            double d = (double)g[j] + (double)how->decay * old;

            want_m[j] = (double)how->beta1 * want_m[j] + (double)how->one_minus_beta1 * d;
            want_v[j] = (double)how->beta2 * want_v[j] + (double)how->one_minus_beta2 * d * d;
            want_w[j] = old - (double)how->rate * want_m[j] /
                                  (sqrt(want_v[j]) * (double)how->rescale + (double)how->epsilon);
        }
        kernels->adam_step(w, m, v, g, how, n);
        assert_close(w, rounded(want_w, n), n, 1, "adam w", &none);
        assert_close(m, rounded(want_m, n), n, 0.1, "adam m", &none);
        assert_close(v, rounded(want_v, n), n, 0.1, "adam v", &none);
        forget();
    }
}
END_TEST

START_TEST(an_average_goes_its_share_of_the_way)
{
    const struct kernels *kernels = kernels_named(isas[_i]);
    size_t n = 101;
    float *y = filled(n), *x = filled(n);
    struct window none = {0};

    if (kernels == NULL)
        return;
    double *want = widened(y, n);

    for (size_t j = 0; j < n; j++)
        want[j] += 0.125 * ((double)x[j] - want[j]);
    kernels->approach(y, x, 0.125f, n);
    assert_close(y, rounded(want, n), n, 0.1, "approach", &none);
    forget();
}
END_TEST

START_TEST(a_dot_product_is_summed_in_float64)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (size_t n = 0; n < 40; n++) {
        float *a = filled(n), *b = filled(n);
        double want = 0;

        for (size_t i = 0; i < n; i++)
            want += (double)a[i] * (double)b[i];
        ck_assert_double_eq_tol(kernels->dot(a, b, n), want, 1e-13 * (double)(n + 1));
        forget();
    }
    /* in float32 the ones would be lost beside the first square */
    float *a = constant(1001, 1);
    a[0] = 1e5f;
    ck_assert_double_eq_tol(kernels->dot(a, a, 1001), 1e10 + 1000, 1e-3);
    forget();
}
END_TEST

/* ---- gradients are slopes ---------------------------------------------------------------------------- */

/* One operation with everything it reads and writes. Its loss is sum(dy * y), whose gradient for y is dy. */
struct op {
    const struct kernels *k;
    const char *name;
    struct window s;
    struct sizes n;
    bool relu;
    float *x, *y, *dy, *g, *w, *bias, *mean, *var;
    struct norm_run norm;
    float *dx, *dw, *dbias;
    struct conv conv;
    int32_t *argmax;
    void (*forward)(struct op *op);
    void (*backward)(struct op *op);
};

static void op_conv_forward(struct op *o)
{
    o->k->conv_pack(o->conv.forward, o->w, &o->s, CONV_PACKED_FORWARD);
    o->k->conv_forward(o->y, o->x, o->conv.forward, o->bias, &o->s, o->conv.scratch);
}

static void op_conv_backward(struct op *o)
{
    o->k->conv_pack(o->conv.input, o->w, &o->s, CONV_PACKED_INPUT);
    o->k->conv_backward_input(o->dx, true, o->dy, o->conv.input, &o->s, o->conv.scratch);
    conv_weight(&o->conv, o->dw, o->dbias, o->dy, o->x);
}

/* w is gamma, bias is beta */
static void op_norm_forward(struct op *o)
{
    o->norm.act = o->relu ? ACT_RELU : ACT_NONE;
    batch_norm_train(&o->norm, o->y, o->x, o->w, o->bias, o->mean, o->var);
}

static void op_norm_backward(struct op *o)
{
    batch_norm_backward(&o->norm, o->dx, true, o->dw, o->dbias, o->dy, o->x, o->g);
}

static void op_max_forward(struct op *o)
{
    o->k->max_pool_forward(o->y, o->argmax, o->x, &o->s);
}

static void op_max_backward(struct op *o)
{
    o->k->max_pool_backward(o->dx, o->dy, o->argmax, &o->s);
}

static void op_avg_forward(struct op *o)
{
    o->k->avg_pool_forward(o->y, o->x, &o->s);
}

static void op_avg_backward(struct op *o)
{
    o->k->avg_pool_backward(o->dx, o->dy, &o->s);
}

static void op_global_forward(struct op *o)
{
    o->k->global_avg_pool_forward(o->y, o->x, o->s.n, o->s.h * o->s.w, o->s.c);
}

static void op_global_backward(struct op *o)
{
    o->k->global_avg_pool_backward(o->dx, o->dy, o->s.n, o->s.h * o->s.w, o->s.c);
}

static void op_relu_forward(struct op *o)
{
    o->k->act_forward(o->y, o->x, ACT_RELU, o->n.x);
}

static void op_relu_backward(struct op *o)
{
    o->k->act_backward(o->dx, true, o->dy, o->x, ACT_RELU, o->n.x);
}

static void op_linear_forward(struct op *o)
{
    o->k->linear_forward(o->y, o->x, o->w, o->bias, o->s.n, o->s.c, o->s.k);
}

static void op_linear_backward(struct op *o)
{
    o->k->linear_backward(o->dx, o->dw, o->dbias, o->dy, o->x, o->w, o->s.n, o->s.c, o->s.k);
}

enum op_index {
    OP_CONV,
    OP_STRIDED,
    OP_DEPTHWISE,
    OP_DEPTHWISE_STRIDED,
    OP_GROUPED,
    OP_POINTWISE,
    OP_NORM,
    OP_NORM_RELU,
    OP_MAX_POOL,
    OP_AVG_POOL,
    OP_GLOBAL_AVG_POOL,
    OP_RELU,
    OP_LINEAR,
    N_OPS
};

static struct window op_window(enum op_index i)
{
    switch (i) {
    case OP_CONV: return window_of(2, 5, 6, 5, 19, 3, 3, 1, 1, 1, 1, 1);
    case OP_STRIDED: return window_of(2, 7, 6, 5, 19, 3, 3, 2, 1, 1, 1, 1);
    case OP_DEPTHWISE: return window_of(2, 6, 6, 19, 19, 3, 3, 1, 2, 19, 2, 2);
    case OP_DEPTHWISE_STRIDED: return window_of(2, 7, 6, 19, 19, 5, 5, 2, 1, 19, 2, 2);
    case OP_GROUPED: return window_of(2, 5, 5, 6, 22, 3, 3, 1, 1, 2, 1, 1);
    case OP_POINTWISE: return window_of(2, 5, 5, 18, 35, 1, 1, 1, 1, 1, 0, 0);
    case OP_NORM:
    case OP_NORM_RELU: return window_of(3, 5, 5, 19, 19, 1, 1, 1, 1, 19, 0, 0);
    case OP_LINEAR: return window_of(5, 1, 1, 18, 7, 1, 1, 1, 1, 1, 0, 0);
    default: return window_of(2, 6, 7, 19, 19, 3, 3, 2, 1, 19, 1, 1);
    }
}

/* Values of x that are not near a kink of ReLU and not near one another: multiples of 1/8, each once. */
static float *apart(size_t n)
{
    uint32_t *order = hold(n, sizeof *order);
    float *x = hold(n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    rng_shuffle_u32(&rng, order, n);
    for (size_t i = 0; i < n; i++)
        x[i] = ((float)order[i] - (float)n / 2 + 0.5f) / 8;
    return x;
}

static struct op op_of(const struct kernels *k, enum op_index i)
{
    static const struct {
        const char *name;
        void (*forward)(struct op *op), (*backward)(struct op *op);
    } ops[N_OPS] = {
        [OP_CONV] = {"conv", op_conv_forward, op_conv_backward},
        [OP_STRIDED] = {"conv by 2", op_conv_forward, op_conv_backward},
        [OP_DEPTHWISE] = {"depthwise", op_conv_forward, op_conv_backward},
        [OP_DEPTHWISE_STRIDED] = {"depthwise by 2", op_conv_forward, op_conv_backward},
        [OP_GROUPED] = {"grouped", op_conv_forward, op_conv_backward},
        [OP_POINTWISE] = {"pointwise", op_conv_forward, op_conv_backward},
        [OP_NORM] = {"batch norm", op_norm_forward, op_norm_backward},
        [OP_NORM_RELU] = {"batch norm with relu", op_norm_forward, op_norm_backward},
        [OP_MAX_POOL] = {"max pool", op_max_forward, op_max_backward},
        [OP_AVG_POOL] = {"avg pool", op_avg_forward, op_avg_backward},
        [OP_GLOBAL_AVG_POOL] = {"global average", op_global_forward, op_global_backward},
        [OP_RELU] = {"relu", op_relu_forward, op_relu_backward},
        [OP_LINEAR] = {"linear", op_linear_forward, op_linear_backward},
    };
    struct op o = {.k = k, .name = ops[i].name, .s = op_window(i), .relu = i == OP_NORM_RELU};
    bool kinked = i == OP_MAX_POOL || i == OP_RELU;
    size_t nk = (size_t)o.s.k;

    o.forward = ops[i].forward;
    o.backward = ops[i].backward;
    o.n = sizes_of(&o.s);
    if (i == OP_GLOBAL_AVG_POOL)
        o.n.y = (size_t)o.s.n * nk;
    if (i == OP_RELU)
        o.n.y = o.n.x;
    o.x = kinked ? apart(o.n.x) : filled(o.n.x);
    o.w = filled(o.n.w), o.bias = filled(nk), o.dy = filled(o.n.y);
    o.y = constant(o.n.y, NAN), o.conv = conv_of(k, &o.s, o.w);
    o.mean = constant(nk, 0), o.var = constant(nk, 1), o.g = constant(o.n.y, NAN);
    o.norm = norm_run_of(k, o.n.x / (size_t)o.s.c, o.s.c, o.relu);
    o.argmax = hold(o.n.y, sizeof *o.argmax);
    o.dx = constant(o.n.x, 0), o.dw = constant(o.n.w, 0), o.dbias = constant(nk, 0);
    return o;
}

static bool has_weights(const struct op *o)
{
    return o->forward == op_conv_forward || o->forward == op_norm_forward ||
           o->forward == op_linear_forward;
}

static double op_loss(struct op *o)
{
    double sum = 0;

    o->forward(o);
    for (size_t i = 0; i < o->n.y; i++)
        sum += (double)o->y[i] * (double)o->dy[i];
    return sum;
}

/* Moves a few of n values at `at` by a little, both ways, and compares the slope of the loss. */
static void check_slope(struct op *o, float *at, const float *gradient, size_t n, const char *what)
{
    const float step = 0x1p-7f;

    for (int i = 0; i < 15; i++) {
        size_t j = rng_below(&rng, n);
        float kept = at[j];
        double up, down, slope;

        at[j] = kept + step;
        up = op_loss(o);
        at[j] = kept - step;
        down = op_loss(o);
        at[j] = kept;
        slope = (up - down) / (2 * (double)step);
        if (!(fabs(slope - (double)gradient[j]) <= 5e-3 * (1 + fabs(slope))))
            ck_abort_msg("%s on %s: %s[%zu] is %g, the slope is %g", o->name, o->k->isa, what, j,
                         (double)gradient[j], slope);
    }
}

/* Outputs that a small step could carry over ReLU's kink, from either side, do not count in the loss. */
static void ignore_the_kink(struct op *o)
{
    o->relu = false;
    o->forward(o);
    o->relu = true;
    for (size_t i = 0; i < o->n.y; i++)
        if (fabsf(o->y[i]) < 0.2f)
            o->dy[i] = 0;
}

START_TEST(every_gradient_is_the_slope_of_the_forward_pass)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (enum op_index i = 0; i < N_OPS; i++) {
        struct op o = op_of(kernels, i);

        if (o.relu)
            ignore_the_kink(&o);
        o.forward(&o);
        o.backward(&o);
        check_slope(&o, o.x, o.dx, o.n.x, "dx");
        if (has_weights(&o)) {
            check_slope(&o, o.w, o.dw, o.n.w, "dw");
            check_slope(&o, o.bias, o.dbias, (size_t)o.s.k, "dbias");
        }
        forget();
    }
}
END_TEST

static void assert_added(const struct op *o, const float *before, const float *gradient,
                         const float *after, size_t n, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(before[i] + gradient[i] - after[i]) <= 2e-4f * (1 + fabsf(after[i]))))
            ck_abort_msg("%s on %s: %s[%zu] was %g, its gradient is %g, now it is %g", o->name,
                         o->k->isa, what, i, (double)before[i], (double)gradient[i],
                         (double)after[i]);
}

START_TEST(a_backward_pass_adds_to_what_is_there)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (enum op_index i = 0; i < N_OPS; i++) {
        struct op o = op_of(kernels, i), again;
        size_t nk = (size_t)o.s.k;
        float *dx = filled(o.n.x), *dw = filled(o.n.w), *dbias = filled(nk);

        o.forward(&o);
        o.backward(&o);
        again = o;
        again.dx = copy_of(dx, o.n.x);
        again.dw = copy_of(dw, o.n.w);
        again.dbias = copy_of(dbias, nk);
        again.backward(&again);
        assert_added(&o, dx, o.dx, again.dx, o.n.x, "dx");
        assert_added(&o, dw, o.dw, again.dw, o.n.w, "dw");
        assert_added(&o, dbias, o.dbias, again.dbias, nk, "dbias");
        forget();
    }
}
END_TEST

/* Where arrays lie and what scratch held before are no inputs. */
START_TEST(the_same_inputs_give_the_same_bits)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (enum op_index i = 0; i < N_OPS; i++)
        for (int round = 0; round < 8; round++) {
            struct op o = op_of(kernels, i), again = o;
            size_t nk = (size_t)o.s.k;

            o.forward(&o);
            o.backward(&o);
            again.x = copy_of(o.x, o.n.x);
            again.w = copy_of(o.w, o.n.w);
            again.bias = copy_of(o.bias, nk);
            again.dy = copy_of(o.dy, o.n.y);
            again.y = filled(o.n.y);
            again.dx = constant(o.n.x, 0);
            again.dw = constant(o.n.w, 0);
            again.dbias = constant(nk, 0);
            again.conv = conv_of(kernels, &o.s, again.w);
            again.conv.scratch = filled(kernels->conv_floats(&o.s, CONV_SCRATCH));
            again.forward(&again);
            again.backward(&again);
            ck_assert_msg(memcmp(o.y, again.y, o.n.y * sizeof *o.y) == 0, "%s: y", o.name);
            ck_assert_msg(memcmp(o.dx, again.dx, o.n.x * sizeof *o.dx) == 0, "%s: dx", o.name);
            ck_assert_msg(memcmp(o.dw, again.dw, o.n.w * sizeof *o.dw) == 0, "%s: dw", o.name);
            ck_assert_msg(memcmp(o.dbias, again.dbias, nk * sizeof *o.dbias) == 0, "%s: dbias",
                          o.name);
            forget();
        }
}
END_TEST

/* A loss that became NaN is how a diverged network shows: no operation may make numbers of a channel that is NaN, and
 * only max pool may lose a lone one. */
START_TEST(a_nan_is_passed_on)
{
    const struct kernels *kernels = kernels_named(isas[_i]);

    if (kernels == NULL)
        return;
    for (enum op_index i = 0; i < N_OPS; i++)
        for (int round = 0; round < 20; round++) {
            struct op o = op_of(kernels, i);
            size_t step = i == OP_MAX_POOL ? (size_t)o.s.c : o.n.x;
            bool any = false;

            for (size_t j = rng_below(&rng, step); j < o.n.x; j += step)
                o.x[j] = NAN; /* every value is in some window of these shapes */
            o.forward(&o);
            for (size_t j = 0; j < o.n.y; j++)
                any = any || isnan(o.y[j]);
            ck_assert_msg(any, "%s on %s lost a NaN", o.name, kernels->isa);
            forget();
        }
}
END_TEST

/* ---- which table ------------------------------------------------------------------------------------- */

/* Check runs each test in a process of its own, so that each chooses anew. */
START_TEST(the_environment_chooses_a_lesser_instruction_set)
{
    const struct kernels *named;

    ck_assert_int_eq(setenv("NASFARM_ISA", isas[_i], 1), 0);
    named = kernels_named(isas[_i]);
    if (named != NULL) {
        ck_assert_ptr_eq(kernels_get(), named);
        ck_assert_str_eq(named->isa, isas[_i]);
    }
    ck_assert_ptr_nonnull(kernels_get());
    ck_assert_int_eq(setenv("NASFARM_ISA", "", 1), 0);
    if (named != NULL)
        ck_assert_ptr_eq(kernels_get(), named); /* chosen once */
}
END_TEST

START_TEST(an_unknown_instruction_set_is_ignored)
{
    const struct kernels *best = NULL;

    for (int i = 0; i < N_ISAS && best == NULL; i++)
        best = kernels_named(isas[i]);
    ck_assert_int_eq(setenv("NASFARM_ISA", "abacus", 1), 0);
    ck_assert_ptr_nonnull(best);
    ck_assert_ptr_eq(kernels_get(), best);
    ck_assert_ptr_null(kernels_named("abacus"));
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
    tcase_add_checked_fixture(tcase, setup, forget);
    tcase_set_timeout(tcase, 110);
    tcase_add_loop_test(tcase, convolution_is_the_plain_loop, 0, PARTS);
    tcase_add_loop_test(tcase, batch_norm_is_the_plain_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_pointwise_convolution_ends_with_sum_and_activation, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_folded_batch_norm_is_the_plain_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_gradient_is_cut_where_an_activation_ends, 0, N_ISAS);
    tcase_add_loop_test(tcase, pools_are_the_plain_loops, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_global_average_is_the_plain_mean, 0, N_ISAS);
    tcase_add_loop_test(tcase, linear_layers_are_the_plain_loops, 0, N_ISAS);
    tcase_add_loop_test(tcase, elementwise_kernels_are_the_plain_loops, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_step_of_sgd_is_pytorchs, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_step_of_rmsprop_is_its_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_step_of_adam_is_its_formula, 0, N_ISAS);
    tcase_add_loop_test(tcase, an_average_goes_its_share_of_the_way, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_dot_product_is_summed_in_float64, 0, N_ISAS);
    tcase_add_loop_test(tcase, every_gradient_is_the_slope_of_the_forward_pass, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_backward_pass_adds_to_what_is_there, 0, N_ISAS);
    tcase_add_loop_test(tcase, the_same_inputs_give_the_same_bits, 0, N_ISAS);
    tcase_add_loop_test(tcase, a_nan_is_passed_on, 0, N_ISAS);
    tcase_add_loop_test(tcase, the_environment_chooses_a_lesser_instruction_set, 0, N_ISAS);
    tcase_add_test(tcase, an_unknown_instruction_set_is_ignored);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
