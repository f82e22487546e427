/* kernels_depthwise.c - convolution of every channel by itself, for one instruction set.
 *
 * It is:     passes over x, y, dx and dy where they lie: nothing is copied. A vector is LANES channels of one pixel (the
 *            last one of a pixel may be fewer), so taps are whole vectors apart whatever the stride.
 * A strip is a few rows of one image. It is walked column by column: each input vector is loaded once, and added to all
 * outputs of the strip whose windows it is in; what is complete is stored, and the sums move up. Weights, or sums of
 * weight gradients, stay in registers as far as there are any. What lies outside of the image is left out, not multiplied.
 * Dilation: outputs `dilation / gcd(stride, dilation)` apart make a window without any (struct axis), so each such class
 * is walked by itself. Input gradient: without a stride it is a convolution with mirrored weights; with one, a vector of
 * dy is added to all of dx that it reaches. Most 3x3 windows are kernels_depthwise_3x3.c's, and the input gradient of those at
 * stride 2 is kernels_spread.c's.
 */
#include "kernels_conv.h"
#include "kernels_lanes.h"
#include "kernels_reach.h"

#include <string.h>

#define UNROLL     _Pragma("GCC unroll 16")
#define LOAD(from) (*(const vec *)(from))

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* ---- one side of a window, without its dilation --------------------------------------------------------- */

/* Output o of a class, from <= o < n, is pixel out_first + o out_step. It reads, at tap i, input o stride + i; input p is
 * pixel first + p step, and in the image when lo <= p < hi. (Turned: input p adds to outputs p stride + i.) */
struct axis {
    int taps, stride;
    int first, step, lo, hi;
    int out_first, out_step, from, n;
};

/* The first and the end of all i for which first + i step is within [0, size). */
static void bounds(int first, int step, int size, int *lo, int *hi)
{
    *lo = -floor_div(first, step);
    *hi = larger(*lo, floor_div(size - 1 - first, step) + 1);
}

static struct axis axis_of(int size, int out, int taps, int pad, const struct window *s, int class)
{
    struct axis a = {.taps = taps, .stride = s->stride / gcd(s->stride, s->dilation)};

    a.first = s->stride * class - pad;
    a.step = s->dilation;
    bounds(a.first, a.step, size, &a.lo, &a.hi);
    a.out_first = class;
    a.out_step = s->dilation / gcd(s->stride, s->dilation);
    a.n = larger(0, (out - class + a.out_step - 1) / a.out_step);
    return a;
}

/* The other way, from dy to dx. */
static struct axis turned(const struct axis *a)
{
    struct axis t = {a->taps, a->stride, a->out_first, a->out_step, a->from,
                     a->n,    a->first,  a->step,      a->lo,       a->hi};

    return t;
}

/* Where no stride is left, that is a convolution with mirrored weights. */
static struct axis mirrored_axis(const struct axis *a)
{
    struct axis m = turned(a);
    int first = m.from, shift = first - m.taps + 1;

    m.out_first += first * m.out_step;
    m.n -= first;
    m.from = 0;
    m.first += shift * m.step;
    m.lo -= shift;
    m.hi -= shift;
    return m;
}

/* ---- strips ------------------------------------------------------------------------------------------------ */

#define MOST_IN 13 /* rows of input: 4 rows of 7 taps at stride 2 */

/* Rows of one image, as struct axis counts them. Offsets are floats, of channel 0. */
struct strip {
    const float *in[MOST_IN]; /* rows that are read; NULL: outside of the image */
    ptrdiff_t in_at, in_step; /* column 0, and from one to the next */
    int lo, hi;               /* columns within the image */
    const float *dy;          /* weight gradient: in out's place */
    float *out;
    ptrdiff_t out_at, out_step, out_row;
    int row, rows, column, columns; /* of out: from, and before */
    const float *packed, *bias;     /* [vector][tap][LANES]; bias may be NULL */
    float *sums;                    /* likewise */
    int across, taps;               /* taps of a row, and of all rows */
    bool add;
    int c;
};

/* A copy in registers: else every store could have changed the strip itself. */
#define KEEP(all) const struct strip kept_strip = *(all), *const s = &kept_strip

/* Whole vectors, then what is left. */
#define EACH_VECTOR(f, ...)                                                                        \
    do {                                                                                           \
        int c0 = 0;                                                                                \
        for (; c0 + LANES <= s->c; c0 += LANES)                                                    \
            f(__VA_ARGS__, ALL, s, c0);                                                            \
        if (HAS_HALVES && s->c - c0 == LANES / 2)                                                  \
            f(__VA_ARGS__, HALF, s, c0);                                                           \
        else if (c0 < s->c)                                                                        \
            f(__VA_ARGS__, SOME, s, c0);                                                           \
    } while (0)

INLINE vec get(const enum width w, const float *from, struct lanes lanes)
{
    return w == ALL ? LOAD(from) : load_lanes(from, w, lanes);
}

INLINE void set(const enum width w, float *to, vec value, bool add, struct lanes lanes)
{
    if (add)
        value += get(w, to, lanes);
    if (w == ALL)
        *(vec *)to = value;
    else
        store_lanes(to, value, w, lanes);
}

/* The compiler shall not work out the address of every weight beforehand: they are small steps from one. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* Of one vector: outputs, sum[l][t] being row t of those whose l * stride + q'th taps are read in one column; weights in
 * registers, if there are enough. */
struct lane_sums {
    vec sum[8][4], kept[9];
    const float *packed;
};

#define FEW(taps) ((taps) <= 3 && REGISTERS >= 32)

INLINE vec weight_of(const struct lane_sums *v, const int taps, const int i, const int j)
{
    return FEW(taps) ? v->kept[i * taps + j] : LOAD(v->packed + (i * taps + j) * LANES);
}

INLINE void begin(struct lane_sums *v, const int taps, const int live, const int height,
                  const float *packed, vec bias)
{
    v->packed = packed;
    UNROLL for (int i = 0; i < 9; i++) if (FEW(taps)) v->kept[i] = LOAD(packed + i * LANES);
    UNROLL for (int l = 0; l < live; l++) UNROLL for (int t = 0; t < height; t++) v->sum[l][t] =
        bias;
}

/* x, of row r, is tap r - t * stride of output row t. */
INLINE void add_row(struct lane_sums *v, const int taps, const int stride, const int height,
                    const int q, const int r, vec x)
{
    const int live = (taps + stride - 1) / stride;

    UNROLL for (int t = 0; t < height; t++) UNROLL for (int l = 0; l < live; l++)
    {
        const int i = r - t * stride, j = l * stride + q;

        if (i >= 0 && i < taps && j < taps)
            v->sum[l][t] += x * weight_of(v, taps, i, j);
    }
}

/* The next column's sums are the last one's, one tap further. */
INLINE void move_up(struct lane_sums *v, const int live, const int height, vec bias)
{
    UNROLL for (int l = live - 1; l > 0; l--) UNROLL for (int t = 0; t < height; t++) v->sum[l][t] =
        v->sum[l - 1][t];
    UNROLL for (int t = 0; t < height; t++) v->sum[0][t] = bias;
}

/* Forward. */
INLINE void slide(const int taps, const int stride, const int height, const enum width w,
                  const struct strip *all, int c0)
{
    KEEP(all);
    const int live = (taps + stride - 1) / stride, in_rows = (height - 1) * stride + taps;
    struct lanes lanes = lanes_of(s->c - c0);
    struct lane_sums v;
    vec bias = {0};

    if (s->bias != NULL)
        bias = get(w, s->bias + c0, lanes);
    begin(&v, taps, live, height, s->packed + (ptrdiff_t)c0 * taps * taps, bias);
    for (int m = 0; m < s->columns + live - 1; m++) {
        UNROLL for (int q = 0; q < stride; q++)
        {
            int column = m * stride + q;
            ptrdiff_t at = s->in_at + column * s->in_step + c0;

            if (!FEW(taps))
                HIDE(v.packed);
            if (column < s->lo || column >= s->hi)
                continue;
            UNROLL for (int r = 0; r < in_rows; r++) if (s->in[r] != NULL)
                add_row(&v, taps, stride, height, q, r, get(w, s->in[r] + at, lanes));
        }
        if (m >= live - 1) {
            ptrdiff_t at = s->out_at + (m - live + 1) * s->out_step + c0;

            UNROLL for (int t = 0; t < height; t++) if (t < s->rows)
                set(w, s->out + (at + t * s->out_row), v.sum[live - 1][t], s->add, lanes);
        }
        move_up(&v, live, height, bias);
    }
}

/* Of one vector: sums of taps, dy[l] being the column whose l * stride + q'th taps are now read. */
struct lane_taps {
    vec dy[7][4], sum[30];
};

/* x, of row r, times each row of dy whose tap it is. */
INLINE void add_products(struct lane_taps *v, const int taps, const int across, const int stride,
                         const int height, const int q, const int r, vec x)
{
    const int live = (across + stride - 1) / stride;

    UNROLL for (int t = 0; t < height; t++) UNROLL for (int l = 0; l < live; l++)
    {
        const int i = r - t * stride, j = l * stride + q;

        if (i >= 0 && i < taps && j < across)
            v->sum[i * across + j] += x * v->dy[l][t];
    }
}

/* Column m of dy; outside there is none. */
INLINE void next_column(struct lane_taps *v, const struct strip *s, const int live,
                        const int height, const enum width w, int m, ptrdiff_t at,
                        struct lanes lanes)
{
    UNROLL for (int l = live - 1; l > 0; l--) UNROLL for (int t = 0; t < height; t++) v->dy[l][t] =
        v->dy[l - 1][t];
    UNROLL for (int t = 0; t < height; t++)
    {
        v->dy[0][t] = (vec){0};
        if (m < s->columns && t < s->rows)
            v->dy[0][t] =
                get(w, s->dy + (s->out_at + m * s->out_step + t * s->out_row + at), lanes);
    }
}

/* Weight gradient; `across` taps of each row are summed. */
INLINE void gather(const int taps, const int across, const int stride, const int height,
                   const enum width w, const struct strip *all, int c0)
{
    KEEP(all);
    const int live = (across + stride - 1) / stride, in_rows = (height - 1) * stride + taps;
    float *sums = s->sums + (ptrdiff_t)c0 * s->taps;
    struct lanes lanes = lanes_of(s->c - c0);
    struct lane_taps v = {.dy = {{{0}}}};

    UNROLL for (int i = 0; i < taps; i++) UNROLL for (int j = 0; j < across; j++)
        v.sum[i * across + j] = LOAD(sums + (i * s->across + j) * LANES);
    for (int m = 0; m < s->columns + live - 1; m++) {
        next_column(&v, s, live, height, w, m, c0, lanes);
        UNROLL for (int q = 0; q < stride; q++)
        {
            int column = m * stride + q;
            ptrdiff_t at = s->in_at + column * s->in_step + c0;

            if (column >= s->lo && column < s->hi)
                UNROLL for (int r = 0; r < in_rows; r++) if (s->in[r] != NULL) add_products(
                    &v, taps, across, stride, height, q, r, get(w, s->in[r] + at, lanes));
        }
    }
    UNROLL for (int i = 0; i < taps; i++) UNROLL for (int j = 0; j < across; j++) *
        (vec *)(sums + (i * s->across + j) * LANES) = v.sum[i * across + j];
}

/* x, of dy's row r, is added to dx's row t by tap t - 2 (r - back): sum[j] are the pixels that are tap j of its column. */
INLINE void add_spread(struct lane_sums *v, const int taps, const int height, const int r, vec x)
{
    const int back = (taps - 1) / 2;

    UNROLL for (int t = 0; t < height; t++) UNROLL for (int j = 0; j < taps; j++)
    {
        const int i = t - 2 * (r - back);

        if (i >= 0 && i < taps)
            v->sum[j][t] += x * weight_of(v, taps, i, j);
    }
}

/* Two columns of dx are complete, and stored; the next column of dy is two further. */
INLINE void store_spread(struct lane_sums *v, const int taps, const int height, const enum width w,
                         const struct strip *s, int column, ptrdiff_t at, struct lanes lanes)
{
    UNROLL for (int j = 0; j < 2; j++) if (column + j >= s->column && column + j < s->columns)
    {
        ptrdiff_t to = s->out_at + (column + j) * s->out_step + at;

        UNROLL for (int t = 0; t < height; t++) if (t >= s->row && t < s->rows)
            set(w, s->out + (to + t * s->out_row), v->sum[j][t], s->add, lanes);
    }
    UNROLL for (int t = 0; t < height; t++)
    {
        UNROLL for (int j = 0; j < taps; j++) v->sum[j][t] =
            j + 2 < taps ? v->sum[j + 2][t] : (vec){0};
    }
}

/* Input gradient with stride 2: in is dy, out is dx, whose first row is that of tap 0 of dy's row `back`. */
INLINE void spread(const int taps, const int height, const enum width w, const struct strip *all,
                   int c0)
{
    KEEP(all);
    const int back = (taps - 1) / 2, in_rows = back + height / 2;
    struct lanes lanes = lanes_of(s->c - c0);
    struct lane_sums v;

    begin(&v, taps, taps, height, s->packed + (ptrdiff_t)c0 * taps * taps, (vec){0});
    for (int m = floor_div(s->column, 2) - back; 2 * m < s->columns; m++) {
        ptrdiff_t at = s->in_at + m * s->in_step + c0;

        if (!FEW(taps))
            HIDE(v.packed);
        if (m >= s->lo && m < s->hi)
            UNROLL for (int r = 0; r < in_rows; r++) if (s->in[r] != NULL)
                add_spread(&v, taps, height, r, get(w, s->in[r] + at, lanes));
        store_spread(&v, taps, height, w, s, 2 * m, c0, lanes);
    }
}

/* ---- windows of any other form: one row of taps at a time ------------------------------------------------- */

INLINE void slide_any(const int stride, const enum width w, const struct strip *s, int c0)
{
    const float *packed = s->packed + (ptrdiff_t)c0 * s->taps;
    struct lanes lanes = lanes_of(s->c - c0);

    for (int m = 0; m < s->columns; m++) {
        vec sum = {0};

        if (s->bias != NULL)
            sum = get(w, s->bias + c0, lanes);
        for (int j = 0, column = m * stride; s->in[0] != NULL && j < s->across; j++, column++)
            if (column >= s->lo && column < s->hi)
                sum += get(w, s->in[0] + (s->in_at + column * s->in_step + c0), lanes) *
                       LOAD(packed + j * LANES);
        set(w, s->out + (s->out_at + m * s->out_step + c0), sum, s->add, lanes);
    }
}

INLINE void gather_any(const int stride, const enum width w, const struct strip *s, int c0)
{
    float *sums = s->sums + (ptrdiff_t)c0 * s->taps;
    struct lanes lanes = lanes_of(s->c - c0);

    for (int j = 0; j < s->across; j++) {
        vec sum = LOAD(sums + j * LANES);

        for (int m = 0, column = j; m < s->columns; m++, column += stride)
            if (column >= s->lo && column < s->hi)
                sum += get(w, s->in[0] + (s->in_at + column * s->in_step + c0), lanes) *
                       get(w, s->dy + (s->out_at + m * s->out_step + c0), lanes);
        *(vec *)(sums + j * LANES) = sum;
    }
}

INLINE void spread_any(const int stride, const enum width w, const struct strip *s, int c0)
{
    const float *packed = s->packed + (ptrdiff_t)c0 * s->taps;
    struct lanes lanes = lanes_of(s->c - c0);

    for (int m = s->lo; m < s->hi; m++) {
        vec x = get(w, s->in[0] + (s->in_at + m * s->in_step + c0), lanes);

        for (int j = 0, column = m * stride; j < s->across; j++, column++)
            if (column >= s->column && column < s->columns)
                set(w, s->out + (s->out_at + column * s->out_step + c0),
                    x * LOAD(packed + j * LANES), true, lanes);
    }
}

/* ---- which of these --------------------------------------------------------------------------------------- */

/* Rows of a strip, and taps of a row that are summed at once: as many as there are registers for. */
#if REGISTERS >= 32
enum { SLIDE_3 = 4, SLIDE_5 = 4, SLIDE_7 = 2 };
enum { GATHER_3 = 4, GATHER_5 = 2, GATHER_7 = 2 };
enum { SPREAD_3 = 4, SPREAD_5 = 4, SPREAD_7 = 2 };
#define ACROSS_5(sum)                                                                              \
    sum(3);                                                                                        \
    sum(2)
#define ACROSS_7(sum)                                                                              \
    sum(3);                                                                                        \
    sum(3);                                                                                        \
    sum(1)
#else
enum { SLIDE_3 = 2, SLIDE_5 = 2, SLIDE_7 = 1 };
enum { GATHER_3 = 1, GATHER_5 = 1, GATHER_7 = 2 };
enum { SPREAD_3 = 2, SPREAD_5 = 2, SPREAD_7 = 2 };
#define ACROSS_5(sum)                                                                              \
    sum(2);                                                                                        \
    sum(2);                                                                                        \
    sum(1)
#define ACROSS_7(sum)                                                                              \
    for (int n = 0; n < 7; n++)                                                                    \
    sum(1)
#endif
#define ACROSS_3(sum) sum(3)

/* What follows the first n taps of each row. */
static void skip_taps(struct strip *s, int n)
{
    s->in_at += n * s->in_step;
    s->lo -= n;
    s->hi -= n;
    s->sums += (ptrdiff_t)n * LANES;
}

#define DEFINE_GATHER(taps, stride)                                                                \
    static void gather_##taps##_##stride(const struct strip *all)                                  \
    {                                                                                              \
        struct strip strip = *all, *s = &strip;                                                    \
                                                                                                   \
        ACROSS_##taps(SUM_##taps##_##stride);                                                      \
    }
#define SUM(taps, n, stride)                                                                       \
    do {                                                                                           \
        EACH_VECTOR(gather, taps, n, stride, GATHER_##taps);                                       \
        skip_taps(s, n);                                                                           \
    } while (0)
#define SUM_3_1(n) SUM(3, n, 1)
#define SUM_3_2(n) SUM(3, n, 2)
#define SUM_5_1(n) SUM(5, n, 1)
#define SUM_5_2(n) SUM(5, n, 2)
#define SUM_7_1(n) SUM(7, n, 1)
#define SUM_7_2(n) SUM(7, n, 2)
#define DEFINE_SLIDE(taps, stride)                                                                 \
    static void slide_##taps##_##stride(const struct strip *s)                                     \
    {                                                                                              \
        EACH_VECTOR(slide, taps, stride, SLIDE_##taps);                                            \
    }
#define DEFINE_SPREAD(taps)                                                                        \
    static void spread_##taps(const struct strip *s)                                               \
    {                                                                                              \
        EACH_VECTOR(spread, taps, SPREAD_##taps);                                                  \
    }
#define DEFINE_ANY(name)                                                                           \
    static void name##_taps(const struct strip *s, int stride)                                     \
    {                                                                                              \
        EACH_VECTOR(name##_any, stride);                                                           \
    }
#define DEFINE(taps)                                                                               \
    DEFINE_SLIDE(taps, 1)                                                                          \
    DEFINE_SLIDE(taps, 2) DEFINE_GATHER(taps, 1) DEFINE_GATHER(taps, 2) DEFINE_SPREAD(taps)

DEFINE(3)
DEFINE(5)
DEFINE(7)
DEFINE_ANY(slide)
DEFINE_ANY(gather)
DEFINE_ANY(spread)

/* Made for one window, for so many rows of output at once. */
struct walk {
    void (*strip)(const struct strip *s);
    int height;
};

enum pass { SLIDE, GATHER, SPREAD };

/* [taps of 3, 5, 7][stride 1, 2] */
static const struct walk walks[3][3][2] = {
    [SLIDE] = {{{slide_3_1, SLIDE_3}, {slide_3_2, SLIDE_3}},
               {{slide_5_1, SLIDE_5}, {slide_5_2, SLIDE_5}},
               {{slide_7_1, SLIDE_7}, {slide_7_2, SLIDE_7}}},
    [GATHER] = {{{gather_3_1, GATHER_3}, {gather_3_2, GATHER_3}},
                {{gather_5_1, GATHER_5}, {gather_5_2, GATHER_5}},
                {{gather_7_1, GATHER_7}, {gather_7_2, GATHER_7}}},
    [SPREAD] = {{{NULL, 0}, {spread_3, SPREAD_3}},
                {{NULL, 0}, {spread_5, SPREAD_5}},
                {{NULL, 0}, {spread_7, SPREAD_7}}},
};

/* NULL: none was made for these. */
static const struct walk *walk_of(enum pass pass, const struct axis *y, const struct axis *x)
{
    int taps = y->taps;

    if (taps != x->taps || y->stride > 2 || taps < 3 || taps > 7 || taps % 2 == 0)
        return NULL;
    return &walks[pass][(taps - 3) / 2][y->stride - 1];
}

/* ---- images ------------------------------------------------------------------------------------------------- */

/* One class of outputs of one pass. A row of the image that is read, and of the one that is written, is so many floats. */
struct job {
    struct axis y, x;
    ptrdiff_t in_row, out_row;
    struct strip strip; /* all but its rows */
};

static struct job job_of(const struct axis *y, const struct axis *x, int in_w, int out_w, int c)
{
    struct job j = {
        .y = *y, .x = *x, .in_row = (ptrdiff_t)in_w * c, .out_row = (ptrdiff_t)out_w * c};
    struct strip *s = &j.strip;

    s->in_at = (ptrdiff_t)x->first * c;
    s->in_step = (ptrdiff_t)x->step * c;
    s->lo = x->lo;
    s->hi = x->hi;
    s->out_at = (ptrdiff_t)x->out_first * c;
    s->out_step = (ptrdiff_t)x->out_step * c;
    s->out_row = y->out_step * j.out_row;
    s->column = x->from;
    s->columns = x->n;
    s->across = x->taps;
    s->taps = y->taps * x->taps;
    s->c = c;
    return j;
}

/* Row i of what is read; NULL: outside. */
static const float *row_in(const struct job *j, const float *in, int i)
{
    const struct axis *y = &j->y;

    return i >= y->lo && i < y->hi ? in + (y->first + i * y->step) * j->in_row : NULL;
}

static ptrdiff_t row_out(const struct job *j, int o)
{
    return (j->y.out_first + o * j->y.out_step) * j->out_row;
}

static void find_rows(struct strip *s, const struct job *j, const float *in, int first, int n)
{
    for (int r = 0; r < n; r++)
        s->in[r] = row_in(j, in, first + r);
}

/* Forward, or (sums) the weight gradient, of one image. */
static void run_walk(const struct job *j, const struct walk *walk, const float *in)
{
    struct strip s = j->strip;
    int in_rows = (walk->height - 1) * j->y.stride + j->y.taps;

    for (int o = 0; o < j->y.n; o += walk->height) {
        find_rows(&s, j, in, o * j->y.stride, in_rows);
        s.out_at = j->strip.out_at + row_out(j, o);
        s.rows = smaller(walk->height, j->y.n - o);
        walk->strip(&s);
    }
}

/* Likewise, of any window. */
static void slide_any_image(const struct job *j, const float *in)
{
    struct strip s = j->strip;

    for (int o = 0; o < j->y.n; o++) {
        s.out_at = j->strip.out_at + row_out(j, o);
        s.add = j->strip.add;
        s.bias = j->strip.bias;
        s.in[0] = NULL;
        slide_taps(&s, j->y.stride); /* only the bias */
        s.add = true;
        s.bias = NULL;
        for (int i = 0; i < j->y.taps; i++) {
            s.in[0] = row_in(j, in, o * j->y.stride + i);
            s.packed = j->strip.packed + (ptrdiff_t)i * s.across * LANES;
            if (s.in[0] != NULL)
                slide_taps(&s, j->y.stride);
        }
    }
}

static void gather_any_image(const struct job *j, const float *in)
{
    struct strip s = j->strip;

    for (int o = 0; o < j->y.n; o++)
        for (int i = 0; i < j->y.taps; i++) {
            s.out_at = j->strip.out_at + row_out(j, o);
            s.in[0] = row_in(j, in, o * j->y.stride + i);
            s.sums = j->strip.sums + (ptrdiff_t)i * s.across * LANES;
            if (s.in[0] != NULL)
                gather_taps(&s, j->y.stride);
        }
}

/* Input gradient with a stride: strips begin where dy's row o adds its tap 0. */
static void run_spread(const struct job *j, const struct walk *walk, const float *in)
{
    struct strip s = j->strip;
    int back = (j->y.taps - 1) / 2;

    for (int o = floor_div(j->y.from, 2); 2 * o < j->y.n; o += walk->height / 2) {
        find_rows(&s, j, in, o - back, back + walk->height / 2);
        s.out_at = j->strip.out_at + row_out(j, 2 * o);
        s.row = larger(0, j->y.from - 2 * o);
        s.rows = smaller(walk->height, j->y.n - 2 * o);
        walk->strip(&s);
    }
}

static void spread_any_image(const struct job *j, const float *in)
{
    struct strip s = j->strip;

    for (int p = j->y.lo; p < j->y.hi; p++)
        for (int i = 0; i < j->y.taps; i++) {
            int o = p * j->y.stride + i;

            s.in[0] = row_in(j, in, p);
            s.out_at = j->strip.out_at + row_out(j, o);
            s.packed = j->strip.packed + (ptrdiff_t)i * s.across * LANES;
            if (o >= j->y.from && o < j->y.n)
                spread_taps(&s, j->y.stride);
        }
}

#define EACH_CLASS(s)                                                                              \
    for (int a = 0, classes = (s)->dilation / gcd((s)->stride, (s)->dilation); a < classes; a++)   \
        for (int b = 0; b < classes; b++)

/* ---- the passes ---------------------------------------------------------------------------------------------- */

static int vectors(const struct window *s)
{
    return (s->c + LANES - 1) / LANES;
}

static struct axis rows_of(const struct window *s, int class)
{
    return axis_of(s->h, s->oh, s->kh, s->pad_y, s, class);
}

static struct axis columns_of(const struct window *s, int class)
{
    return axis_of(s->w, s->ow, s->kw, s->pad_x, s, class);
}

/* Of the input gradient's window no stride is left. */
static bool is_mirrored(const struct window *s)
{
    return s->dilation % s->stride == 0;
}

size_t ISA(depthwise_floats)(const struct window *s, enum conv_part part)
{
    size_t taps = (size_t)s->kh * (size_t)s->kw;

    if (part == CONV_PACKED_INPUT && ISA(spread_fits)(s))
        return ISA(spread_packed)(s);
    return part == CONV_SCRATCH ? LANES : (size_t)vectors(s) * taps * LANES;
}

void ISA(depthwise_pack)(float *packed, const float *weight, const struct window *s,
                         enum conv_part part)
{
    int taps = s->kh * s->kw;
    bool mirrored = part == CONV_PACKED_INPUT && is_mirrored(s);

    if (part == CONV_PACKED_INPUT && ISA(spread_fits)(s)) {
        ISA(spread_pack)(packed, weight, s);
        return;
    }
    for (int c0 = 0; c0 < s->c; c0 += LANES)
        for (int tap = 0; tap < taps; tap++, packed += LANES) {
            const float *from = weight + (ptrdiff_t)(mirrored ? taps - 1 - tap : tap) * s->c + c0;

            *(vec *)packed = load_lanes(from, SOME, lanes_of(s->c - c0));
        }
}

void ISA(depthwise_finish)(float *dw, const float *sums, const struct window *s)
{
    for (int c0 = 0; c0 < s->c; c0 += LANES)
        for (int tap = 0; tap < s->kh * s->kw; tap++, sums += LANES)
            set(SOME, dw + (ptrdiff_t)tap * s->c + c0, LOAD(sums), true, lanes_of(s->c - c0));
}

/* Forward of one class of one image, or an input gradient that is mirrored. */
static void slide_image(struct job *j, float *out, bool add, const float *in, const float *packed)
{
    const struct walk *walk = walk_of(SLIDE, &j->y, &j->x);

    j->strip.out = out;
    j->strip.add = add;
    j->strip.packed = packed;
    if (walk != NULL)
        run_walk(j, walk, in);
    else
        slide_any_image(j, in);
}

static void spread_image(struct job *j, float *out, bool add, const float *in, const float *packed)
{
    const struct walk *walk = walk_of(SPREAD, &j->y, &j->x);

    j->strip.out = out;
    j->strip.add = add;
    j->strip.packed = packed;
    if (walk != NULL)
        run_spread(j, walk, in);
    else
        spread_any_image(j, in);
}

/* What floats an image of x, or of y, has. */
static ptrdiff_t input_size(const struct window *s)
{
    return (ptrdiff_t)s->h * s->w * s->c;
}

static ptrdiff_t output_size(const struct window *s)
{
    return (ptrdiff_t)s->oh * s->ow * s->c;
}

/* Images from `first` on that are walked class by class: axes cost more than a small image, but an image shall come from
 * the cache for every class. */
static int last_image(const struct window *s, int first)
{
    ptrdiff_t most = 65536 / (input_size(s) + output_size(s));

    if (s->dilation / gcd(s->stride, s->dilation) == 1)
        return s->n;
    return smaller(s->n, first + larger(1, (int)most));
}

void ISA(depthwise_forward)(float *y, const float *x, const float *packed, const float *bias,
                            const struct window *s)
{
    if (ISA(depthwise_3x3_fits)(s)) {
        ISA(depthwise_3x3)(y, false, x, packed, bias, s);
        return;
    }
    for (int first = 0, end; first < s->n; first = end) {
        end = last_image(s, first);
        EACH_CLASS(s)
        {
            struct axis rows = rows_of(s, a), columns = columns_of(s, b);
            struct job j = job_of(&rows, &columns, s->w, s->ow, s->c);

            j.strip.bias = bias;
            for (int i = first; i < end; i++)
                slide_image(&j, y + i * output_size(s), false, x + i * input_size(s), packed);
        }
    }
}

/* One class of n images. */
static void backward_class(float *dx, bool add, const float *dy, const float *packed,
                           const struct window *s, const struct axis *rows,
                           const struct axis *columns, int n)
{
    bool mirror = is_mirrored(s);
    struct axis y = mirror ? mirrored_axis(rows) : turned(rows);
    struct axis x = mirror ? mirrored_axis(columns) : turned(columns);
    struct job j = job_of(&y, &x, s->ow, s->w, s->c);

    for (; n > 0; n--, dx += input_size(s), dy += output_size(s)) {
        if (mirror)
            slide_image(&j, dx, add, dy, packed);
        else
            spread_image(&j, dx, add, dy, packed);
    }
}

/* Whether classes write every pixel, not only those that they reach. */
static bool writes_all(const struct window *s)
{
    struct axis rows = rows_of(s, 0), columns = columns_of(s, 0);

    return gcd(s->stride, s->dilation) == 1 &&
           (is_mirrored(s) || walk_of(SPREAD, &rows, &columns) != NULL);
}

void ISA(depthwise_backward_input)(float *dx, bool add, const float *dy, const float *packed,
                                   const struct window *s)
{
    bool clear = !add && !writes_all(s);

    if (ISA(spread_fits)(s)) {
        ISA(spread)(dx, add, dy, packed, s);
        return;
    }
    if (s->stride == 1 && ISA(depthwise_3x3_fits)(s)) {
        ISA(depthwise_3x3)(dx, add, dy, packed, NULL, s);
        return;
    }
    for (int first = 0, end; first < s->n; first = end) {
        float *to = dx + first * input_size(s);

        end = last_image(s, first);
        if (clear)
            memset(to, 0, (size_t)((end - first) * input_size(s)) * sizeof *to);
        EACH_CLASS(s)
        {
            struct axis rows = rows_of(s, a), columns = columns_of(s, b);

            backward_class(to, add || clear, dy + first * output_size(s), packed, s, &rows,
                           &columns, end - first);
        }
    }
}

/* Classes of one image after another: however images are split over calls, sums are the same. */
void ISA(depthwise_backward_weight)(float *sums, const float *dy, const float *x,
                                    const struct window *s)
{
    int images = s->dilation / gcd(s->stride, s->dilation) == 1 ? s->n : 1;

    if (ISA(depthwise_3x3_fits)(s)) {
        ISA(depthwise_3x3_weight)(sums, dy, x, s);
        return;
    }
    for (int first = 0; first < s->n; first += images)
        EACH_CLASS(s)
        {
            struct axis rows = rows_of(s, a), columns = columns_of(s, b);
            struct job j = job_of(&rows, &columns, s->w, s->ow, s->c);
            const struct walk *walk = walk_of(GATHER, &rows, &columns);

            j.strip.sums = sums;
            for (int i = first; i < first + images; i++) {
                j.strip.dy = dy + i * output_size(s);
                if (walk != NULL)
                    run_walk(&j, walk, x + i * input_size(s));
                else
                    gather_any_image(&j, x + i * input_size(s));
            }
        }
}
