/* kernels_depthwise.c - convolution of every channel by itself, for one instruction set.
 *
 * In N,H,W,C a row of pixels is one run of floats, and so is the row that a tap reads: it starts a few pixels further.
 * So a row is walked a vector at a time whatever c is; a vector may hold a part of a pixel or several. Which channels its
 * lanes are repeats every `period` vectors (the least common multiple of c and LANES), and the weights are laid out so
 * once per call. Several rows are done at a time, so that a loaded vector serves all rows whose window it is in.
 * The input is copied into scratch with a border of zeros, its columns sorted by their remainder modulo the stride: then
 * a stride looks like none. The input gradient is such a convolution over dy for each remainder of the rows and columns.
 */
#include "kernels_conv.h"
#include "kernels_reach.h"

#include <string.h>

#define ROWS       4 /* output rows in registers */
#define UNROLL     _Pragma("GCC unroll 16")
#define LOAD(from) (*(const vec *)(from))

static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
}

static float *aligned(float *scratch)
{
    return (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static int larger(int a, int b)
{
    return a > b ? a : b;
}

/* Vectors until the lanes are the same channels again. */
static int period_of(int c)
{
    return c / gcd(c, LANES);
}

/* ---- the image with a border ---------------------------------------------------------------------------- */

struct bordered {
    int h, w;         /* pixels with the border */
    int y0, x0;       /* of pixel (0, 0), may be negative */
    int split;        /* columns are sorted by their remainder modulo this */
    ptrdiff_t column; /* floats from one remainder to the next: a row is split of these */
    ptrdiff_t pitch;  /* floats from one row to the next */
};

static struct bordered bordered(int h, int w, int y0, int x0, int split, int c)
{
    struct bordered b = {.h = h, .w = w, .y0 = y0, .x0 = x0, .split = split};

    b.column = (ptrdiff_t)((w + split - 1) / split) * c;
    b.pitch = (ptrdiff_t)round_up((size_t)(b.column * split));
    return b;
}

/* A vector that starts in the last pixel ends inside. */
static size_t bordered_size(const struct bordered *b)
{
    return round_up((size_t)b->h * (size_t)b->pitch) + 2 * LANES;
}

/* What forward and the weight gradient read. */
static struct bordered bordered_input(const struct window *s)
{
    return bordered((s->oh - 1) * s->stride + s->dilation * (s->kh - 1) + 1,
                    (s->ow - 1) * s->stride + s->dilation * (s->kw - 1) + 1, s->pad_y, s->pad_x,
                    s->stride, s->c);
}

/* dy as the input gradient reads it. */
static struct bordered bordered_gradient(const struct window *s)
{
    int y0 = reach_border(s->pad_y, s->kh, s->dilation, s->stride);
    int x0 = reach_border(s->pad_x, s->kw, s->dilation, s->stride);

    return bordered(reach_size(s->h, s->pad_y, s->kh, s->dilation, s->stride),
                    reach_size(s->w, s->pad_x, s->kw, s->dilation, s->stride), y0, x0, 1, s->c);
}

static void copy_floats(float *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        *(vec *)(to + i) = LOAD(from + i);
    for (; i < n; i++)
        to[i] = from[i];
}

/* The image (h, w, c) into the middle; the border was zeroed once and stays so. */
static void fill_image(float *image, const struct bordered *b, const float *from, int h, int w,
                       int c)
{
    int first = larger(0, -b->x0), last = smaller(w, b->w - b->x0);

    for (int y = larger(0, -b->y0); y < smaller(h, b->h - b->y0); y++) {
        const float *in = from + (ptrdiff_t)y * w * c;
        float *out = image + (ptrdiff_t)(y + b->y0) * b->pitch;

        if (b->split == 1 && last > first)
            copy_floats(out + (ptrdiff_t)(first + b->x0) * c, in + (ptrdiff_t)first * c,
                        (size_t)(last - first) * (size_t)c);
        else
            for (int x = first; x < last; x++) {
                int at = x + b->x0;

                copy_floats(out + at % b->split * b->column + (ptrdiff_t)(at / b->split) * c,
                            in + (ptrdiff_t)x * c, (size_t)c);
            }
    }
}

/* ---- taps and weights ------------------------------------------------------------------------------------ */

/* The taps of a window, from where the window of output row 0 begins. */
struct grid {
    int kh, kw;
    ptrdiff_t row_tap;    /* floats from a row of taps to the next */
    ptrdiff_t row_out;    /* floats from the window of an output row to the next one's */
    const ptrdiff_t *col; /* of each column of taps */
};

/* Lanes of vector v, of what has c values. */
static void repeat(float *to, const float *from, int v, int c)
{
    for (int lane = 0, ch = (int)((ptrdiff_t)v * LANES % c); lane < LANES; lane++) {
        to[lane] = from[ch];
        ch = ch + 1 < c ? ch + 1 : 0;
    }
}

/* ---- the inner loops -------------------------------------------------------------------------------------- */

INLINE void put(float *out, vec sum, int n, bool add)
{
    float spill[LANES];

    if (n >= LANES) {
        if (add)
            sum += LOAD(out);
        *(vec *)out = sum;
        return;
    }
    *(vec *)spill = sum;
    for (int i = 0; i < n; i++)
        out[i] = add ? out[i] + spill[i] : spill[i];
}

/* One vector of `rows` output rows. shared: the next output row's window is one row of taps further, so that what is
 * loaded serves several rows. */
INLINE void tile(const int kh, const int kw, const bool shared, const int rows, float *out,
                 ptrdiff_t out_pitch, int n, bool add, const float *image, const struct grid *g,
                 const float *packed, vec bias)
{
    vec sum[ROWS];

    UNROLL for (int t = 0; t < rows; t++) sum[t] = bias;
    if (shared) {
        UNROLL for (int r = 0; r < rows + kh - 1; r++)
        {
            const float *in = image + r * g->row_tap;

            UNROLL for (int j = 0; j < kw; j++)
            {
                vec x = LOAD(in + g->col[j]);

                UNROLL for (int t = 0; t < rows; t++) if (r - t >= 0 && r - t < kh) sum[t] +=
                    x * LOAD(packed + ((r - t) * kw + j) * LANES);
            }
        }
    } else {
        for (int i = 0; i < kh; i++)
            for (int j = 0; j < kw; j++, packed += LANES) {
                const float *in = image + i * g->row_tap + g->col[j];
                vec w = LOAD(packed);

                UNROLL for (int t = 0; t < rows; t++) sum[t] += LOAD(in + t * g->row_out) * w;
            }
    }
    UNROLL for (int t = 0; t < rows; t++) put(out + t * out_pitch, sum[t], n, add);
}

INLINE vec bias_of(const float *bias, int v)
{
    vec none = {0};

    if (bias == NULL)
        return none;
    return LOAD(bias + (ptrdiff_t)v * LANES);
}

/* out (rows, n floats): packed is [vector of the period][tap][LANES] */
INLINE void walk(const int kh, const int kw, const bool shared, float *out, ptrdiff_t out_pitch,
                 int rows, int n, bool add, const float *image, const struct grid *g,
                 const float *packed, const float *bias, int period)
{
    int r = 0, taps = kh * kw;

#define ROW(height)                                                                                \
    for (int j = 0, v = 0; j < n; j += LANES) {                                                    \
        tile(kh, kw, shared, height, out + r * out_pitch + j, out_pitch, n - j, add,               \
             image + r * g->row_out + j, g, packed + (ptrdiff_t)v * taps * LANES,                  \
             bias_of(bias, v));                                                                    \
        v = v + 1 < period ? v + 1 : 0;                                                            \
    }
    for (; r + ROWS <= rows; r += ROWS)
        ROW(ROWS)
    if (r + 2 <= rows) {
        ROW(2)
        r += 2;
    }
    if (r < rows)
        ROW(1)
#undef ROW
}

static void convolve(float *out, ptrdiff_t out_pitch, int rows, int n, bool add, const float *image,
                     const struct grid *g, const float *packed, const float *bias, int period)
{
#define WALK(kh, kw, shared)                                                                       \
    walk(kh, kw, shared, out, out_pitch, rows, n, add, image, g, packed, bias, period)
    bool shared = g->row_out == g->row_tap;

    if (shared && g->kh == 3 && g->kw == 3)
        WALK(3, 3, true);
    else if (shared && g->kh == 5 && g->kw == 5)
        WALK(5, 5, true);
    else if (shared && g->kh == 7 && g->kw == 7)
        WALK(7, 7, true);
    else if (g->kh == 3 && g->kw == 3)
        WALK(3, 3, false);
    else
        WALK(g->kh, g->kw, false);
#undef WALK
}

/* The same, when windows overlap row by row only after `dilation` rows. */
static void convolve_dilated(float *out, ptrdiff_t out_pitch, int rows, int n, bool add,
                             const float *image, const struct grid *g, const float *packed,
                             const float *bias, int period, int dilation)
{
    struct grid each = *g;

    each.row_out *= dilation;
    for (int d = 0; d < dilation && d < rows; d++)
        convolve(out + d * out_pitch, out_pitch * dilation, (rows - d + dilation - 1) / dilation, n,
                 add, image + d * g->row_out, &each, packed, bias, period);
}

/* ---- forward ----------------------------------------------------------------------------------------------- */

/* Scratch, in order: columns of taps, bias (forward), image, rows. */
static size_t taps_size(const struct window *s)
{
    return round_up((size_t)s->kw * sizeof(ptrdiff_t) / sizeof(float));
}

static size_t packed_size(const struct window *s)
{
    return (size_t)period_of(s->c) * (size_t)(s->kh * s->kw) * LANES;
}

size_t ISA(depthwise_floats)(const struct window *s, enum conv_part part)
{
    struct bordered in = bordered_input(s), gradient = bordered_gradient(s);
    size_t image = bordered_size(&in), back = bordered_size(&gradient);
    size_t dy = (size_t)s->oh * round_up((size_t)s->ow * (size_t)s->c);
    size_t dx = (size_t)s->h * round_up((size_t)s->w * (size_t)s->c);
    size_t biases = (size_t)period_of(s->c) * LANES;

    if (part != CONV_SCRATCH)
        return packed_size(s);
    return taps_size(s) + biases + (image > back ? image : back) + (dy > dx ? dy : dx) + 64;
}

static void fill_columns(ptrdiff_t *col, const struct window *s, const struct bordered *b)
{
    for (int j = 0; j < s->kw; j++) {
        int at = j * s->dilation;

        col[j] = at % b->split * b->column + (ptrdiff_t)(at / b->split) * s->c;
    }
}

void ISA(depthwise_forward)(float *y, const float *x, const float *packed, const float *bias,
                            const struct window *s, float *scratch)
{
    struct bordered b = bordered_input(s);
    ptrdiff_t *col = (ptrdiff_t *)(void *)aligned(scratch);
    int n = s->ow * s->c, period = period_of(s->c);
    float *biases = aligned(scratch) + taps_size(s), *image = biases + (ptrdiff_t)period * LANES;
    struct grid g = {s->kh, s->kw, s->dilation * b.pitch, s->stride * b.pitch, col};
    int apart = s->stride == 1 ? s->dilation : 1;

    fill_columns(col, s, &b);
    for (int v = 0; bias != NULL && v < period; v++)
        repeat(biases + (ptrdiff_t)v * LANES, bias, v, s->c);
    memset(image, 0, bordered_size(&b) * sizeof *image);
    for (int i = 0; i < s->n; i++) {
        fill_image(image, &b, x, s->h, s->w, s->c);
        convolve_dilated(y, n, s->oh, n, false, image, &g, packed, bias != NULL ? biases : NULL,
                         period, apart);
        x += (ptrdiff_t)s->h * s->w * s->c;
        y += (ptrdiff_t)s->oh * n;
    }
}

/* ---- input gradient ----------------------------------------------------------------------------------------- */

/* dx rows a, a + stride, ... at columns b, b + stride, ... = (add: +=) rows; NULL: zeros */
static void put_phase(float *dx, bool add, const struct window *s, int a, int b, const float *rows,
                      ptrdiff_t pitch)
{
    for (int y = a; y < s->h; y += s->stride) {
        const float *in = rows;

        for (int x = b; x < s->w; x += s->stride) {
            float *to = dx + ((ptrdiff_t)y * s->w + x) * s->c;

            if (rows == NULL) {
                memset(to, 0, (size_t)s->c * sizeof *to);
                continue;
            }
            for (int ch = 0; ch < s->c; ch++)
                to[ch] = in[ch] + (add ? to[ch] : 0);
            in += s->c;
        }
        if (rows != NULL)
            rows += pitch;
    }
}

/* The part of the work that is the same grid of taps: input rows a, a + stride, ... and columns b, b + stride, ... */
struct phase {
    int a, b;
    struct reach v, u;
};

static struct phase phase_of(const struct window *s, int a, int b)
{
    struct phase p = {.a = a, .b = b};

    p.v = reach_of(a, s->pad_y, s->kh, s->dilation, s->stride);
    p.u = reach_of(b, s->pad_x, s->kw, s->dilation, s->stride);
    return p;
}

/* Returns the end of what it wrote. Mirrored: the last tap comes first. */
static float *pack_phase(float *packed, const struct phase *p, const float *weight,
                         const struct window *s)
{
    for (int v = 0; v < period_of(s->c); v++)
        for (int i = p->v.n; i-- > 0;)
            for (int j = p->u.n; j-- > 0; packed += LANES) {
                int tap = (p->v.tap + i * p->v.step) * s->kw + p->u.tap + j * p->u.step;

                repeat(packed, weight + (ptrdiff_t)tap * s->c, v, s->c);
            }
    return packed;
}

static void run_phase(float *dx, bool add, const struct phase *p, const struct window *s,
                      const struct bordered *border, const float *image, const float *packed,
                      ptrdiff_t *col, float *rows)
{
    struct grid g = {p->v.n, p->u.n, p->v.back * border->pitch, border->pitch, col};
    int n_rows = (s->h - p->a + s->stride - 1) / s->stride;
    int n = (s->w - p->b + s->stride - 1) / s->stride * s->c, period = period_of(s->c);
    ptrdiff_t pitch = (ptrdiff_t)round_up((size_t)n);

    if (g.kh == 0 || g.kw == 0) { /* nothing of dy reaches these pixels */
        if (!add)
            put_phase(dx, false, s, p->a, p->b, NULL, 0);
        return;
    }
    image += (p->v.at - (p->v.n - 1) * p->v.back) * border->pitch;
    for (int j = 0; j < g.kw; j++)
        col[j] = (ptrdiff_t)(p->u.at - (g.kw - 1 - j) * p->u.back) * s->c;
    if (s->stride == 1) {
        convolve_dilated(dx, n, n_rows, n, add, image, &g, packed, NULL, period, p->v.back);
        return;
    }
    convolve_dilated(rows, pitch, n_rows, n, false, image, &g, packed, NULL, period, p->v.back);
    put_phase(dx, add, s, p->a, p->b, rows, pitch);
}

#define EACH_PHASE                                                                                 \
    for (int a = 0; a < s->stride && a < s->h; a++)                                                \
        for (int b = 0; b < s->stride && b < s->w; b++)

void ISA(depthwise_pack)(float *packed, const float *weight, const struct window *s,
                         enum conv_part part)
{
    int taps = s->kh * s->kw;

    if (part == CONV_PACKED_FORWARD) {
        for (int v = 0; v < period_of(s->c); v++)
            for (int tap = 0; tap < taps; tap++, packed += LANES)
                repeat(packed, weight + (ptrdiff_t)tap * s->c, v, s->c);
        return;
    }
    EACH_PHASE
    {
        struct phase p = phase_of(s, a, b);

        packed = pack_phase(packed, &p, weight, s);
    }
}

void ISA(depthwise_backward_input)(float *dx, bool add, const float *dy, const float *packed,
                                   const struct window *s, float *scratch)
{
    struct bordered border = bordered_gradient(s);
    ptrdiff_t *col = (ptrdiff_t *)(void *)aligned(scratch);
    float *image = aligned(scratch) + taps_size(s), *rows = image + bordered_size(&border);

    memset(image, 0, bordered_size(&border) * sizeof *image);
    for (int i = 0; i < s->n; i++) {
        const float *weights = packed;

        fill_image(image, &border, dy, s->oh, s->ow, s->c);
        EACH_PHASE
        {
            struct phase p = phase_of(s, a, b);

            run_phase(dx, add, &p, s, &border, image, weights, col, rows);
            weights += (ptrdiff_t)period_of(s->c) * p.v.n * p.u.n * LANES;
        }
        dx += (ptrdiff_t)s->h * s->w * s->c;
        dy += (ptrdiff_t)s->oh * s->ow * s->c;
    }
}

/* ---- weight gradient ----------------------------------------------------------------------------------------- */

/* What the sums of taps are taken over: dy (rows, pitch), whose rows end in zeros up to a whole vector. */
struct gradient {
    const float *dy;
    ptrdiff_t pitch;
    int rows, n, period;
};

/* One vector of `rows` output rows, as in tile(), but what stays in registers is a sum for each tap. */
INLINE void gather_taps(vec *sum, const int kh, const int kw, const bool shared, const int rows,
                        const float *dy, ptrdiff_t pitch, const float *image, const struct grid *g,
                        const ptrdiff_t *col)
{
    vec d[ROWS];

    UNROLL for (int t = 0; t < rows; t++) d[t] = LOAD(dy + t * pitch);
    if (shared) {
        UNROLL for (int r = 0; r < rows + kh - 1; r++)
        {
            UNROLL for (int j = 0; j < kw; j++)
            {
                vec x = LOAD(image + r * g->row_tap + col[j]);

                UNROLL for (int t = 0; t < rows; t++) if (r - t >= 0 && r - t < kh)
                    sum[(r - t) * kw + j] += x * d[t];
            }
        }
    } else {
        UNROLL for (int t = 0; t < rows; t++)
        {
            UNROLL for (int i = 0; i < kh; i++)
            {
                UNROLL for (int j = 0; j < kw; j++) sum[i * kw + j] +=
                    d[t] * LOAD(image + t * g->row_out + i * g->row_tap + col[j]);
            }
        }
    }
}

/* kh x kw taps from (i0, j0) on; sums is [vector of the period][tap][LANES] */
INLINE void sum_taps(const int kh, const int kw, const bool shared, float *sums, int i0, int j0,
                     const struct gradient *d, const float *image, const struct grid *g)
{
    image += i0 * g->row_tap;
    for (int v = 0; v < d->period && v * LANES < d->n; v++) {
        float *to = sums + (ptrdiff_t)v * g->kh * g->kw * LANES;
        vec sum[25];
        int r = 0;

        UNROLL for (int i = 0; i < kh; i++)
        {
            UNROLL for (int j = 0; j < kw; j++) sum[i * kw + j] =
                LOAD(to + ((i0 + i) * g->kw + j0 + j) * LANES);
        }
#define EACH_VECTOR for (int j = v * LANES; j < d->n; j += d->period * LANES)
        for (; r + ROWS <= d->rows; r += ROWS)
            EACH_VECTOR
        gather_taps(sum, kh, kw, shared, ROWS, d->dy + r * d->pitch + j, d->pitch,
                    image + r * g->row_out + j, g, g->col + j0);
        for (; r < d->rows; r++)
            EACH_VECTOR
        gather_taps(sum, kh, kw, shared, 1, d->dy + r * d->pitch + j, d->pitch,
                    image + r * g->row_out + j, g, g->col + j0);
#undef EACH_VECTOR
        UNROLL for (int i = 0; i < kh; i++)
        {
            UNROLL for (int j = 0; j < kw; j++) *
                (vec *)(to + ((i0 + i) * g->kw + j0 + j) * LANES) = sum[i * kw + j];
        }
    }
}

/* Columns of taps that are summed at once: as many as there are registers for. */
#if LANES == 16
#define COLUMNS_OF_5 5
#define COLUMNS_OF_7 3
#else
#define COLUMNS_OF_5 2
#define COLUMNS_OF_7 1
#endif

static void sum_all_taps(float *sums, const struct gradient *d, const float *image,
                         const struct grid *g)
{
    bool shared = g->row_out == g->row_tap;
    int j = 0;

#define SUM(kh, kw, at)                                                                            \
    do {                                                                                           \
        if (shared)                                                                                \
            sum_taps(kh, kw, true, sums, at, j, d, image, g);                                      \
        else                                                                                       \
            sum_taps(kh, kw, false, sums, at, j, d, image, g);                                     \
    } while (0)
    if (g->kh == 3) {
        for (; j + 3 <= g->kw; j += 3)
            SUM(3, 3, 0);
        for (; j < g->kw; j++)
            SUM(3, 1, 0);
    } else if (g->kh == 5) {
        for (; j + COLUMNS_OF_5 <= g->kw; j += COLUMNS_OF_5)
            SUM(5, COLUMNS_OF_5, 0);
        for (; j < g->kw; j++)
            SUM(5, 1, 0);
    } else if (g->kh == 7) {
        for (; j + COLUMNS_OF_7 <= g->kw; j += COLUMNS_OF_7)
            SUM(7, COLUMNS_OF_7, 0);
        for (; j < g->kw; j++)
            SUM(7, 1, 0);
    } else {
        for (; j + 3 <= g->kw; j += 3)
            for (int i = 0; i < g->kh; i++)
                SUM(1, 3, i);
        for (; j < g->kw; j++)
            for (int i = 0; i < g->kh; i++)
                SUM(1, 1, i);
    }
#undef SUM
}

void ISA(depthwise_backward_weight)(float *sums, const float *dy, const float *x,
                                    const struct window *s, float *scratch)
{
    struct bordered b = bordered_input(s);
    ptrdiff_t *col = (ptrdiff_t *)(void *)aligned(scratch);
    float *image = aligned(scratch) + taps_size(s), *rows = image + bordered_size(&b);
    int n = s->ow * s->c, period = period_of(s->c), apart = s->stride == 1 ? s->dilation : 1;
    struct grid g = {s->kh, s->kw, s->dilation * b.pitch, s->stride * b.pitch * apart, col};
    ptrdiff_t pitch = (ptrdiff_t)round_up((size_t)n);

    fill_columns(col, s, &b);
    memset(image, 0, bordered_size(&b) * sizeof *image);
    memset(rows, 0, (size_t)s->oh * (size_t)pitch * sizeof *rows);
    for (int i = 0; i < s->n; i++) {
        const float *from = dy;

        fill_image(image, &b, x, s->h, s->w, s->c);
        if (pitch != n) {
            for (int r = 0; r < s->oh; r++)
                copy_floats(rows + r * pitch, dy + (ptrdiff_t)r * n, (size_t)n);
            from = rows;
        }
        for (int d = 0; d < apart && d < s->oh; d++) {
            struct gradient each = {from + d * pitch, pitch * apart,
                                    (s->oh - d + apart - 1) / apart, n, period};

            sum_all_taps(sums, &each, image + d * s->stride * b.pitch, &g);
        }
        x += (ptrdiff_t)s->h * s->w * s->c;
        dy += (ptrdiff_t)s->oh * n;
    }
}

void ISA(depthwise_finish)(float *dw, const float *sums, const struct window *s)
{
    for (int v = 0; v < period_of(s->c); v++)
        for (int tap = 0; tap < s->kh * s->kw; tap++, sums += LANES)
            for (int lane = 0, ch = (int)((ptrdiff_t)v * LANES % s->c); lane < LANES; lane++) {
                dw[(ptrdiff_t)tap * s->c + ch] += sums[lane];
                ch = ch + 1 < s->c ? ch + 1 : 0;
            }
}
