/* kernels_depthwise_3x3.c - depthwise 3x3 windows at stride 1, dilated or not, and at stride 2, for one instruction set.
 *
 * It is:     what kernels_depthwise.c does, without a question in its loops: two rows of outputs at once, of one or two vectors of
 *            channels (the last may be half of one), of whose windows at most the outermost row and column are outside of the
 *            image. The sums of weight gradients stay in registers for a whole image.
 * It is not: for other windows: see depthwise_3x3_fits(). The input gradient at stride 1 is forward with mirrored weights, the one at
 *            stride 2 is kernels_spread.c's.
 */
#include "kernels_conv.h"
#include "kernels_lanes.h"

#define UNROLL _Pragma("GCC unroll 9")

enum {
    TAPS = 9,
    HEIGHT = 2, /* rows of outputs at once, of at most so many vectors: */
    MOST_VECTORS = 2,
};

enum pass { FORWARD, WEIGHT };

/* Some rows of one image, or of one class of them (kernels_depthwise.c), of one or two vectors of channels. */
struct rows {
    const float *x; /* the first tap of the first output: maybe outside, and then not read */
    float *y;       /* or dy, which is only read */
    ptrdiff_t x_row, x_pixel, y_row, y_pixel;
    int n, columns;
    bool top, bottom, left, right; /* which of the outermost rows and columns of taps are outside */
    const float *packed, *bias;    /* forward; bias may be NULL */
    bool add;
    float *sums; /* weight gradient */
};

#if LANES == 16 /* elsewhere there are too few registers */

/* ---- one column ------------------------------------------------------------------------------------------------- */

/* Of `vecs` vectors only the last one may be half. */
INLINE vec get(const int u, const int vecs, const enum width w, const float *from)
{
    const struct lanes none = {0};

    return u + 1 < vecs || w == ALL ? *(const vec *)(from + u * LANES)
                                    : load_lanes(from + u * LANES, HALF, none);
}

INLINE void put(const int u, const int vecs, const enum width w, float *to, vec value)
{
    const struct lanes none = {0};

    if (u + 1 < vecs || w == ALL)
        *(vec *)(to + u * LANES) = value;
    else
        store_lanes(to + u * LANES, value, HALF, none);
}

/* Outputs below each other, or what dy has in their place. */
typedef vec column[MOST_VECTORS][HEIGHT];

/* Weights, or their sums; and what outputs begin with. */
struct taps {
    vec tap[MOST_VECTORS][TAPS], bias[MOST_VECTORS];
};

INLINE void multiply(const enum pass pass, vec *sum, vec *tap, vec value)
{
    if (pass == FORWARD)
        *sum += value * *tap;
    else
        *tap += value * *sum;
}

/* The compiler shall not work out every address beforehand: a row is a small step from the first one. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* A column of x is tap 0 of the outputs zero, tap 1 of one, tap 2 of two; those that are NULL do not read it. */
INLINE void add_column(const enum pass pass, const int stride, const int T, const int vecs,
                       const enum width w, const bool top, const bool bottom, struct taps *k,
                       column *zero, column *one, column *two, const float *x, ptrdiff_t x_row)
{
    const int rows = (T - 1) * stride + 3;

    HIDE(x);
    UNROLL for (int r = 0; r < rows; r++) UNROLL for (int u = 0; u < vecs; u++)
    {
        vec value;

        if ((top && r == 0) || (bottom && r == rows - 1))
            continue;
        value = get(u, vecs, w, x + r * x_row);

        UNROLL for (int t = 0; t < T; t++)
        {
            const int i = r - stride * t;

            if (i < 0 || i > 2)
                continue;
            if (zero != NULL)
                multiply(pass, &(*zero)[u][t], &k->tap[u][3 * i], value);
            if (one != NULL)
                multiply(pass, &(*one)[u][t], &k->tap[u][3 * i + 1], value);
            if (two != NULL)
                multiply(pass, &(*two)[u][t], &k->tap[u][3 * i + 2], value);
        }
    }
}

INLINE void begin(const enum pass pass, const int T, const int vecs, const enum width w, column now,
                  const struct taps *k, const float *y, ptrdiff_t y_row)
{
    UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < vecs; u++) now[u][t] =
        pass == FORWARD ? k->bias[u] : get(u, vecs, w, y + t * y_row);
}

INLINE void end(const enum pass pass, const int T, const int vecs, const enum width w, column done,
                float *y, ptrdiff_t y_row, bool add)
{
    if (pass == WEIGHT)
        return;
    UNROLL for (int t = 0; t < T; t++) UNROLL for (int u = 0; u < vecs; u++)
    {
        vec sum = done[u][t];

        if (add)
            sum += get(u, vecs, w, y + t * y_row);
        put(u, vecs, w, y + t * y_row, sum);
    }
}

INLINE void move(const int T, const int vecs, column to, column from)
{
    UNROLL for (int u = 0; u < vecs; u++) UNROLL for (int t = 0; t < T; t++) to[u][t] = from[u][t];
}

/* ---- T rows ------------------------------------------------------------------------------------------------------ */

#define ADD(zero, one, two, x)                                                                     \
    add_column(pass, stride, T, vecs, w, top, bottom, k, zero, one, two, x, x_row)
#define BEGIN(now, y) begin(pass, T, vecs, w, now, k, y, y_row)
#define END(done, y)  end(pass, T, vecs, w, done, y, y_row, add)

INLINE void walk_by_1(const enum pass pass, const int T, const int vecs, const enum width w,
                      const bool top, const bool bottom, struct taps *k, const float *x, float *y,
                      const struct rows *s)
{
    const ptrdiff_t x_row = s->x_row, x_pixel = s->x_pixel, y_row = s->y_row, y_pixel = s->y_pixel;
    const int stride = 1;
    const bool add = s->add;
    column before, now, next;

    BEGIN(now, y);
    x += x_pixel; /* the first column is outside */
    if (s->columns == 1) {
        ADD(NULL, &now, NULL, x);
        END(now, y);
        return;
    }
    BEGIN(next, y + y_pixel);
    ADD(&next, &now, NULL, x);
    for (int n = s->columns - 2; n > 0; n--, y += y_pixel) {
        move(T, vecs, before, now);
        move(T, vecs, now, next);
        BEGIN(next, y + 2 * y_pixel);
        x += x_pixel;
        ADD(&next, &now, &before, x);
        END(before, y);
    }
    ADD(NULL, &next, &now, x + x_pixel); /* and so is the last one */
    END(now, y);
    END(next, y + y_pixel);
}

INLINE void walk_by_2(const enum pass pass, const int T, const int vecs, const enum width w,
                      const bool top, const bool bottom, struct taps *k, const float *x, float *y,
                      const struct rows *s)
{
    const ptrdiff_t x_row = s->x_row, x_pixel = s->x_pixel, y_row = s->y_row, y_pixel = s->y_pixel;
    const int stride = 2;
    const bool add = s->add;
    column before, now;

    BEGIN(now, y);
    if (!s->left)
        ADD(&now, NULL, NULL, x);
    ADD(NULL, &now, NULL, x + x_pixel);
    for (int n = s->columns - 1; n > 0; n--, y += y_pixel) {
        move(T, vecs, before, now);
        BEGIN(now, y + y_pixel);
        x += 2 * x_pixel;
        ADD(&now, NULL, &before, x);
        END(before, y);
        ADD(NULL, &now, NULL, x + x_pixel);
    }
    if (!s->right)
        ADD(NULL, NULL, &now, x + 2 * x_pixel);
    END(now, y);
}

INLINE void walk(const enum pass pass, const int stride, const int T, const int vecs,
                 const enum width w, const bool top, const bool bottom, struct taps *k,
                 const float *x, float *y, const struct rows *s)
{
    if (stride == 1)
        walk_by_1(pass, T, vecs, w, top, bottom, k, x, y, s);
    else
        walk_by_2(pass, T, vecs, w, top, bottom, k, x, y, s);
}

/* Each case by itself, in which these are constants. */
INLINE void walk_rows(const enum pass pass, const int stride, const int T, const int vecs,
                      const enum width w, bool top, bool bottom, struct taps *k, const float *x,
                      float *y, const struct rows *s)
{
    if (top && bottom)
        walk(pass, stride, T, vecs, w, true, true, k, x, y, s);
    else if (top)
        walk(pass, stride, T, vecs, w, true, false, k, x, y, s);
    else if (bottom)
        walk(pass, stride, T, vecs, w, false, true, k, x, y, s);
    else
        walk(pass, stride, T, vecs, w, false, false, k, x, y, s);
}

/* ---- all rows ----------------------------------------------------------------------------------------------------- */

INLINE void get_taps(const enum pass pass, const int vecs, const enum width w, struct taps *k,
                     const struct rows *s)
{
    const float *from = pass == FORWARD ? s->packed : s->sums;

    UNROLL for (int u = 0; u < vecs; u++)
    {
        k->bias[u] = (vec){0};
        if (pass == FORWARD && s->bias != NULL)
            k->bias[u] = get(u, vecs, w, s->bias);
        UNROLL for (int i = 0; i < TAPS; i++) k->tap[u][i] =
            *(const vec *)(from + (u * TAPS + i) * LANES);
    }
}

INLINE void put_sums(const int vecs, const struct taps *k, float *sums)
{
    UNROLL for (int u = 0; u < vecs; u++) UNROLL for (int i = 0; i < TAPS; i++) *
        (vec *)(sums + (u * TAPS + i) * LANES) = k->tap[u][i];
}

/* HEIGHT rows at once, maybe one at the end. */
INLINE void run(const enum pass pass, const int stride, const int vecs, const enum width w,
                const struct rows *s)
{
    const float *x = s->x;
    float *y = s->y;
    struct taps k;

    get_taps(pass, vecs, w, &k, s);
    for (int left = s->n, n; left > 0; left -= n, x += n * stride * s->x_row, y += n * s->y_row) {
        const bool top = s->top && left == s->n;
        bool bottom;

        n = left < HEIGHT ? 1 : HEIGHT;
        bottom = s->bottom && left == n;
        if (n == HEIGHT)
            walk_rows(pass, stride, HEIGHT, vecs, w, top, bottom, &k, x, y, s);
        else
            walk_rows(pass, stride, 1, vecs, w, top, bottom, &k, x, y, s);
    }
    if (pass == WEIGHT)
        put_sums(vecs, &k, s->sums);
}

/* Every form is a function of its own, so that its sums are registers. */
#define DEFINE(pass, stride, name, vecs, width)                                                    \
    static void pass##_##stride##_##name(const struct rows *s)                                     \
    {                                                                                              \
        run(pass, stride, vecs, width, s);                                                         \
    }
#define DEFINE_ALL(pass, stride)                                                                   \
    DEFINE(pass, stride, half, 1, HALF)                                                            \
    DEFINE(pass, stride, 1, 1, ALL)                                                                \
    DEFINE(pass, stride, 1_half, 2, HALF)                                                          \
    DEFINE(pass, stride, 2, 2, ALL)
#define ALL_OF(pass, stride)                                                                       \
    {                                                                                              \
        NULL, pass##_##stride##_half, pass##_##stride##_1, pass##_##stride##_1_half,               \
            pass##_##stride##_2,                                                                   \
    }
DEFINE_ALL(FORWARD, 1)
DEFINE_ALL(FORWARD, 2)
DEFINE_ALL(WEIGHT, 1)
DEFINE_ALL(WEIGHT, 2)

#else
#define ALL_OF(pass, stride)                                                                       \
    {                                                                                              \
        NULL                                                                                       \
    }
#endif

/* [pass][stride - 1][halves of vectors] */
static void (*const runs[2][2][5])(const struct rows *) = {
    [FORWARD] = {ALL_OF(FORWARD, 1), ALL_OF(FORWARD, 2)},
    [WEIGHT] = {ALL_OF(WEIGHT, 1), ALL_OF(WEIGHT, 2)},
};

/* ---- images ------------------------------------------------------------------------------------------------------ */

/* One side: at most the first and the last tap of the outermost outputs are outside. At stride 1 they must be. */
static bool side_fits(int side, int out, int pad, int stride, int dilation)
{
    return stride == 1 ? pad == dilation && out == side
                       : dilation == 1 && (pad == 0 || pad == 1) && 2 * out - pad <= side;
}

bool ISA(depthwise_3x3_fits)(const struct window *s)
{
    return LANES == 16 && s->kh == 3 && s->kw == 3 && s->c % (LANES / 2) == 0 &&
           (s->stride == 1 || s->stride == 2) &&
           side_fits(s->h, s->oh, s->pad_y, s->stride, s->dilation) &&
           side_fits(s->w, s->ow, s->pad_x, s->stride, s->dilation);
}

/* All channels. */
static void run_channels(enum pass pass, int stride, int c, struct rows r)
{
    for (; c > 0; c -= 2 * LANES) {
        /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): there are none where nothing fits */
        runs[pass][stride - 1][c < 2 * LANES ? c / (LANES / 2) : 4](&r);
        r.x += 2 * LANES;
        r.y += 2 * LANES;
        if (pass == WEIGHT)
            r.sums += 2 * TAPS * LANES;
        else
            r.packed += 2 * TAPS * LANES;
        if (r.bias != NULL)
            r.bias += 2 * LANES;
    }
}

/* Pixels a, a + step, ... of n. */
static int count_of(int n, int a, int step)
{
    return (n - a + step - 1) / step;
}

/* One image. r: pointers, and what else is the same for all classes. */
static void run_image(enum pass pass, const struct window *s, struct rows r)
{
    const float *x = r.x;
    float *y = r.y;
    int d = s->dilation;

    r.x_pixel = r.y_pixel = (ptrdiff_t)d * s->c;
    r.x_row = s->w * r.x_pixel;
    r.y_row = s->ow * r.y_pixel;
    r.top = s->pad_y > 0;
    r.left = s->pad_x > 0;
    r.bottom = s->stride == 1 || 2 * s->oh - s->pad_y == s->h;
    r.right = s->stride == 1 || 2 * s->ow - s->pad_x == s->w;
    for (int a = 0; a < d && a < s->oh; a++)
        for (int b = 0; b < d && b < s->ow; b++) {
            ptrdiff_t at = ((ptrdiff_t)a * s->w + b) * s->c;

            r.n = count_of(s->oh, a, d);
            r.columns = count_of(s->ow, b, d);
            r.x = x + at - (r.top ? r.x_row : 0) - (r.left ? r.x_pixel : 0);
            r.y = y + at;
            run_channels(pass, s->stride, s->c, r);
        }
}

/* y = (add: +=) ... */
void ISA(depthwise_3x3)(float *y, bool add, const float *x, const float *packed, const float *bias,
                        const struct window *s)
{
    struct rows r = {.packed = packed, .bias = bias, .add = add};

    for (int i = 0; i < s->n; i++) {
        r.x = x + i * (ptrdiff_t)s->h * s->w * s->c;
        r.y = y + i * (ptrdiff_t)s->oh * s->ow * s->c;
        run_image(FORWARD, s, r);
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): what is run writes to sums */
void ISA(depthwise_3x3_weight)(float *sums, const float *dy, const float *x, const struct window *s)
{
    struct rows r = {.sums = sums};

    for (int i = 0; i < s->n; i++) {
        r.x = x + i * (ptrdiff_t)s->h * s->w * s->c;
        r.y = (float *)dy + i * (ptrdiff_t)s->oh * s->ow * s->c; /* only read */
        run_image(WEIGHT, s, r);
    }
}
