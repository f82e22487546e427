/* kernels_depthwise.c - convolution of every channel by itself, for one instruction set.
 *
 * In N,H,W,C a row of pixels is one run of floats, and so is the row that a tap reads: it starts a few pixels further.
 * So a row is walked a vector at a time whatever c is; a vector may hold a part of a pixel or several. Which channels its
 * lanes are repeats every `period` vectors (the least common multiple of c and LANES), and the weights are packed so.
 * Several rows are done at a time, so that a loaded vector serves all rows whose window it is in.
 * The input is copied into scratch piece by piece (struct piece), with a border of zeros, its columns sorted by their
 * remainder modulo the stride: then a stride looks like none. The input gradient is the same of dy with mirrored weights;
 * with a stride, for each remainder of the rows and columns.
 */
#include "kernels_conv.h"
#include "kernels_reach.h"
#include "kernels_tile.h"

#include <string.h>

#define ROWS       4 /* output rows in registers */
#define UNROLL     _Pragma("GCC unroll 16")
#define LOAD(from) (*(const vec *)(from))

static size_t round_up(size_t n)
{
    return (n + LANES - 1) / LANES * LANES;
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

/* Every `step`th of the pixels at x, `count` of them, next to each other. */
INLINE void copy_pixels(float *to, const float *x, ptrdiff_t step, int c, int count)
{
    for (int i = 0; i < count; i++, to += c, x += step)
        copy_floats(to, x, (size_t)c);
}

/* Pixels [first, last) of a row, each to its remainder. */
static void fill_pixels(float *row, const struct bordered *b, const float *x, int all, int c,
                        int first, int last)
{
    for (int i = first; i < last && i < first + b->split; i++) {
        int at = i + b->x0, count = (last - i + b->split - 1) / b->split;
        float *to = row + at % b->split * b->column + (ptrdiff_t)(at / b->split) * c;
        const float *from = x + (ptrdiff_t)i * all;
        ptrdiff_t step = (ptrdiff_t)b->split * all;

        if (c == LANES)
            copy_pixels(to, from, step, LANES, count);
        else
            copy_pixels(to, from, step, c, count);
    }
}

/* Rows of the image from y0 on, of channels [c0, c0 + c), into the middle. Borders at the sides were zeroed once and stay
 * so; rows outside of the image are zeroed here. */
static void fill_rows(float *image, const struct bordered *b, const float *x,
                      const struct window *s, int c0, int c, int y0, int rows)
{
    int first = larger(0, -b->x0), last = smaller(s->w, b->w - b->x0);
    ptrdiff_t row = (ptrdiff_t)s->w * s->c;

    x += y0 * row + c0;
    for (int i = 0; i < rows; i++, x += row, image += b->pitch) {
        if (y0 + i < 0 || y0 + i >= s->h)
            memset(image, 0, (size_t)b->pitch * sizeof *image);
        else if (b->split == 1 && c == s->c && last > first)
            copy_floats(image + (ptrdiff_t)(first + b->x0) * c, x + (ptrdiff_t)first * c,
                        (size_t)(last - first) * (size_t)c);
        else if (last > first)
            fill_pixels(image, b, x, s->c, c, first, last);
    }
}

/* ---- taps and weights ------------------------------------------------------------------------------------ */

/* The taps of a window, from where the window of output row 0 begins. */
struct grid {
    int kh, kw;
    ptrdiff_t row_tap;    /* floats from a row of taps to the next */
    ptrdiff_t row_out;    /* floats from the window of an output row to the next one's */
    const ptrdiff_t *col; /* of each column of taps */
    ptrdiff_t skip; /* floats from one pixel's channels in the image to the next one's, elsewhere */
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
    UNROLL for (int t = 0; t < rows; t++)
        put(out + t * out_pitch, sum[t], smaller(n, LANES), NULL, add);
}

INLINE vec bias_of(const float *bias, ptrdiff_t v)
{
    vec none = {0};

    if (bias == NULL)
        return none;
    return LOAD(bias + v * LANES);
}

/* out (rows, n floats): packed is [vector of the period][tap][LANES] */
INLINE void walk(const int kh, const int kw, const bool shared, float *out, ptrdiff_t out_pitch,
                 int rows, int n, bool add, const float *image, const struct grid *g,
                 const float *packed, const float *bias, int period)
{
    int r = 0, taps = kh * kw;

#define ROW(height)                                                                                \
    for (ptrdiff_t j = 0, v = 0, to = r * out_pitch; j < n; j += LANES, to += LANES) {             \
        tile(kh, kw, shared, height, out + to, out_pitch, (int)(n - j), add,                       \
             image + r * g->row_out + j, g, packed + v * taps * LANES, bias_of(bias, v));          \
        if (++v == period)                                                                         \
            v = 0, to += g->skip;                                                                  \
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

/* ---- pieces of an image ------------------------------------------------------------------------------------- */

/* What is done at once, so that it is in the nearest cache when it is read: `rows` output rows of `c` channels. */
struct piece {
    struct bordered border;
    int rows, c;
    int apart; /* output rows whose windows are neighbours */
};

#define NEAR                                                                                       \
    5120 /* floats: half of a small first-level cache and a bit; the output passes through it, too */

static struct bordered piece_border(const struct window *s, int rows, int c)
{
    struct window w = *s;

    w.oh = rows;
    w.c = c;
    return bordered_input(&w);
}

static bool is_near(const struct window *s, int rows, int c)
{
    struct bordered b = piece_border(s, rows, c);

    return bordered_size(&b) <= NEAR;
}

/* High pieces rather than wide ones: the rows between two are copied twice. Unless c is a multiple of a vector's, a vector
 * is of more than one pixel, and a piece has all channels. */
static struct piece piece_of(const struct window *s)
{
    struct piece p = {.c = s->c % LANES == 0 ? LANES : s->c,
                      .apart = s->stride == 1 ? s->dilation : 1};
    int step = ROWS * p.apart, vecs = s->c / LANES, n = 1;

    p.rows = smaller(step, s->oh);
    while (p.rows < s->oh && is_near(s, smaller(p.rows + step, s->oh), p.c))
        p.rows = smaller(p.rows + step, s->oh);
    if (s->c % LANES == 0) {
        while (n < vecs && is_near(s, p.rows, (n + 1) * LANES))
            n++;
        n = (vecs + n - 1) / n; /* pieces, of nearly the same width */
        p.c = (vecs + n - 1) / n * LANES;
    }
    p.border = piece_border(s, p.rows, p.c);
    return p;
}

/* The same piece with the channels that are left at c0. */
static struct piece piece_at(const struct window *s, const struct piece *p, int c0)
{
    struct piece q = *p;

    q.c = smaller(p->c, s->c - c0);
    q.border = piece_border(s, p->rows, q.c);
    return q;
}

static void fill_columns(ptrdiff_t *col, const struct window *s, const struct piece *p)
{
    for (int j = 0; j < s->kw; j++) {
        int at = j * s->dilation;

        col[j] = at % p->border.split * p->border.column + (ptrdiff_t)(at / p->border.split) * p->c;
    }
}

/* Zeros the borders, unless they lie as those of the last piece, of `before` channels, did. Returns p's channels. */
static ptrdiff_t begin_piece(float *image, ptrdiff_t *col, const struct window *s,
                             const struct piece *p, ptrdiff_t before)
{
    if (p->c == before)
        return before;
    fill_columns(col, s, p);
    memset(image, 0, bordered_size(&p->border) * sizeof *image);
    return p->c;
}

static void fill_piece(float *image, const struct piece *p, const float *x, const struct window *s,
                       int c0, int row, int rows)
{
    fill_rows(image, &p->border, x, s, c0, p->c, row * s->stride - s->pad_y,
              (rows - 1) * s->stride + s->dilation * (s->kh - 1) + 1);
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

static size_t piece_size(const struct window *s)
{
    struct piece p = piece_of(s);

    return bordered_size(&p.border) + (size_t)p.rows * round_up((size_t)s->ow * (size_t)s->c);
}

size_t ISA(depthwise_floats)(const struct window *s, enum conv_part part)
{
    struct window m = mirrored(s);
    struct bordered gradient = bordered_gradient(s);
    size_t back = bordered_size(&gradient) + (size_t)s->h * round_up((size_t)s->w * (size_t)s->c);
    size_t image = piece_size(s), biases = (size_t)period_of(s->c) * LANES;

    if (part != CONV_SCRATCH)
        return packed_size(s);
    if (s->stride == 1)
        back = piece_size(&m);
    return taps_size(s) + biases + (image > back ? image : back) + 64;
}

static void convolve_image(float *y, bool add, const float *x, const float *packed,
                           const float *biases, const struct window *s, const struct piece *p,
                           int c0, const ptrdiff_t *col, float *image)
{
    struct grid g = {s->kh, s->kw,      s->dilation * p->border.pitch, s->stride * p->border.pitch,
                     col,   s->c - p->c};
    ptrdiff_t pitch = (ptrdiff_t)s->ow * s->c, v = c0 / LANES;

    for (int row = 0; row < s->oh; row += p->rows) {
        int rows = smaller(p->rows, s->oh - row);

        fill_piece(image, p, x, s, c0, row, rows);
        convolve_dilated(y + row * pitch + c0, pitch, rows, s->ow * p->c, add, image, &g,
                         packed + v * s->kh * s->kw * LANES,
                         biases != NULL ? biases + v * LANES : NULL, period_of(p->c), p->apart);
    }
}

static void depthwise(float *y, bool add, const float *x, const float *packed, const float *bias,
                      const struct window *s, float *scratch)
{
    struct piece all = piece_of(s);
    ptrdiff_t *col = (ptrdiff_t *)(void *)next_line(scratch);
    int period = period_of(s->c);
    float *biases = next_line(scratch) + taps_size(s), *image = biases + (ptrdiff_t)period * LANES;

    for (int v = 0; bias != NULL && v < period; v++)
        repeat(biases + (ptrdiff_t)v * LANES, bias, v, s->c);
    for (ptrdiff_t i = 0, c = 0; i < s->n; i++)
        for (int c0 = 0; c0 < s->c; c0 += all.c) {
            struct piece p = piece_at(s, &all, c0);

            c = begin_piece(image, col, s, &p, c);
            convolve_image(y + i * s->oh * s->ow * s->c, add, x + i * s->h * s->w * s->c, packed,
                           bias != NULL ? biases : NULL, s, &p, c0, col, image);
        }
}

void ISA(depthwise_forward)(float *y, const float *x, const float *packed, const float *bias,
                            const struct window *s, float *scratch)
{
    depthwise(y, false, x, packed, bias, s, scratch);
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
    struct grid g = {p->v.n, p->u.n, p->v.back * border->pitch, border->pitch, col, 0};
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
    ptrdiff_t *col = (ptrdiff_t *)(void *)next_line(scratch);
    float *image = next_line(scratch) + taps_size(s), *rows = image + bordered_size(&border);
    struct window m = mirrored(s);

    if (s->stride == 1) {
        depthwise(dx, add, dy, packed, NULL, &m, scratch);
        return;
    }
    m = (struct window){.h = s->oh, .w = s->ow, .c = s->c};
    memset(image, 0, bordered_size(&border) * sizeof *image);
    for (int i = 0; i < s->n; i++) {
        const float *weights = packed;

        fill_rows(image, &border, dy, &m, 0, s->c, -border.y0, border.h);
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
    ptrdiff_t pitch, step; /* floats from one row to the next, from one period to the next */
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
#define EACH_VECTOR                                                                                \
    for (ptrdiff_t j = v * LANES, at = j; j < d->n; j += d->period * LANES, at += d->step)
        for (; r + ROWS <= d->rows; r += ROWS)
            EACH_VECTOR
        gather_taps(sum, kh, kw, shared, ROWS, d->dy + r * d->pitch + at, d->pitch,
                    image + r * g->row_out + j, g, g->col + j0);
        for (; r < d->rows; r++)
            EACH_VECTOR
        gather_taps(sum, kh, kw, shared, 1, d->dy + r * d->pitch + at, d->pitch,
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

/* Sums of one image's piece. dy's rows must end in zeros up to a whole vector: `padded` has room for such. */
static void sum_image(float *sums, const float *dy, const float *x, const struct window *s,
                      const struct piece *p, int c0, const ptrdiff_t *col, float *image,
                      float *padded)
{
    struct grid g = {
        s->kh, s->kw, s->dilation * p->border.pitch, s->stride * p->border.pitch * p->apart,
        col,   0};
    int n = s->ow * p->c;
    ptrdiff_t row_size = (ptrdiff_t)s->ow * s->c, pitch = (ptrdiff_t)round_up((size_t)row_size);

    for (int row = 0; row < s->oh; row += p->rows) {
        int rows = smaller(p->rows, s->oh - row), period = period_of(p->c);
        const float *from = dy + row * row_size + c0;

        fill_piece(image, p, x, s, c0, row, rows);
        for (int r = 0; pitch != row_size && r < rows; r++)
            copy_floats(padded + r * pitch, from + r * row_size, (size_t)row_size);
        if (pitch != row_size)
            from = padded;
        for (int d = 0; d < p->apart && d < rows; d++) {
            struct gradient each = {from + d * pitch,
                                    pitch * p->apart,
                                    p->c < s->c ? s->c : (ptrdiff_t)period * LANES,
                                    (rows - d + p->apart - 1) / p->apart,
                                    n,
                                    period};

            sum_all_taps(sums, &each, image + d * s->stride * p->border.pitch, &g);
        }
    }
}

void ISA(depthwise_backward_weight)(float *sums, const float *dy, const float *x,
                                    const struct window *s, float *scratch)
{
    struct piece all = piece_of(s);
    ptrdiff_t *col = (ptrdiff_t *)(void *)next_line(scratch);
    float *image = next_line(scratch) + taps_size(s), *padded = image + bordered_size(&all.border);

    memset(padded, 0, (size_t)all.rows * round_up((size_t)s->ow * (size_t)s->c) * sizeof *padded);
    for (ptrdiff_t i = 0, c = 0; i < s->n; i++)
        for (int c0 = 0; c0 < s->c; c0 += all.c) {
            struct piece p = piece_at(s, &all, c0);

            c = begin_piece(image, col, s, &p, c);
            sum_image(sums + (ptrdiff_t)(c0 / LANES) * s->kh * s->kw * LANES,
                      dy + i * s->oh * s->ow * s->c, x + i * s->h * s->w * s->c, s, &p, c0, col,
                      image, padded);
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
