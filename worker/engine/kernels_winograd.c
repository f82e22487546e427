/* kernels_winograd.c - 3x3 convolution at stride 1 with a quarter of the products, for one instruction set.
 *
 * F(4x4, 3x3) of Lavin and Gray 2015 (arXiv:1509.09308): y = A' [(G w G') * (B' d B)] A, where d is a tile of 6x6 inputs,
 * y of 4x4 outputs, and * goes value by value; so for each of the 36 values it is a product of matrices, (tiles, c) by
 * (c, k), kernels_tile.h's. The weight gradient is the same read backwards: dw = G' [sum (B' d B) * (A dy A')] G, whose
 * sums stay in the transformed domain until conv_weight_finish().
 * The polynomials are evaluated at 0, +-a, +-b and infinity. a = 5/8, b = 3/2 were found by trying: 1 and 2, which the paper
 * takes, need no multiplications, which are free here, and lose a digit.
 * A window of dilation d is d x d windows without any, over every d-th pixel of every d-th row: its tiles are wider apart,
 * and nothing else changes.
 * Channels are done a vector at a time; the last vector overlaps the one before it.
 */
#include "kernels_conv.h"
#include "kernels_tile.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 6")

#ifndef POINT_A
#define POINT_A 0.625f
#define POINT_B 1.5f
#endif
static const float A = POINT_A, A2 = POINT_A * POINT_A, A3 = POINT_A * POINT_A * POINT_A;
static const float B = POINT_B, B2 = POINT_B * POINT_B, B3 = POINT_B * POINT_B * POINT_B;
static const float A2B2 = POINT_A * POINT_A * POINT_B * POINT_B;
static const float A2_B2 = POINT_A * POINT_A + POINT_B * POINT_B;
/* 1 / the product of a point's distances from the others */
static const float N0 = 1 / (POINT_A * POINT_A * POINT_B * POINT_B);
static const float NA = 1 / (2 * POINT_A * POINT_A * (POINT_A * POINT_A - POINT_B * POINT_B));
static const float NB = 1 / (2 * POINT_B * POINT_B * (POINT_B * POINT_B - POINT_A * POINT_A));

enum {
    TILE = 4,   /* outputs along a side */
    REACH = 6,  /* inputs */
    AREA = 36,  /* products */
    CHUNK = 24, /* tiles that are done at once */
};

/* Tiles begin at 0, ..., d - 1, at 4 d, ..., 5 d - 1, and so on, and reach over 4 d. */
static int tiles_of(int side, int dilation)
{
    int whole = side / (TILE * dilation), left = side % (TILE * dilation);

    return whole * dilation + (left < dilation ? left : dilation);
}

/* Enough channels to pay for the transforms, few enough that the transformed weights are no load from far away for every
 * few images; and tiles that do not mostly stick out. */
bool ISA(winograd_fits)(const struct window *s)
{
    int tiles = tiles_of(s->oh, s->dilation) * tiles_of(s->ow, s->dilation);

    return s->kh == 3 && s->kw == 3 && s->stride == 1 && s->c >= 16 && s->k >= 16 && s->c <= 1024 &&
           s->k <= 1024 && s->c * s->k <= 256 * 256 && tiles * TILE * TILE <= 2 * s->oh * s->ow;
}

/* ---- along one side ---------------------------------------------------------------------------------------- */

/* B' d */
INLINE void input_side(vec to[REACH], vec d0, vec d1, vec d2, vec d3, vec d4, vec d5)
{
    vec ea = d4 - B2 * d2, oa = d3 - B2 * d1, eb = d4 - A2 * d2, ob = d3 - A2 * d1;

    to[0] = A2B2 * d0 + (d4 - A2_B2 * d2);
    to[1] = ea + A * oa;
    to[2] = ea - A * oa;
    to[3] = eb + B * ob;
    to[4] = eb - B * ob;
    to[5] = A2B2 * d1 + (d5 - A2_B2 * d3);
}

/* A' m */
INLINE void output_side(vec to[TILE], vec m0, vec m1, vec m2, vec m3, vec m4, vec m5)
{
    vec sa = m1 + m2, da = m1 - m2, sb = m3 + m4, db = m3 - m4;

    to[0] = m0 + sa + sb;
    to[1] = A * da + B * db;
    to[2] = A2 * sa + B2 * sb;
    to[3] = A3 * da + (B3 * db + m5);
}

/* A dy */
INLINE void gradient_side(vec to[REACH], vec d0, vec d1, vec d2, vec d3)
{
    vec ea = d0 + A2 * d2, oa = d1 + A2 * d3, eb = d0 + B2 * d2, ob = d1 + B2 * d3;

    to[0] = d0;
    to[1] = ea + A * oa;
    to[2] = ea - A * oa;
    to[3] = eb + B * ob;
    to[4] = eb - B * ob;
    to[5] = d3;
}

/* G w */
INLINE void weight_side(vec to[REACH], vec w0, vec w1, vec w2)
{
    vec ea = NA * (w0 + A2 * w2), oa = NA * A * w1, eb = NB * (w0 + B2 * w2), ob = NB * B * w1;

    to[0] = N0 * w0;
    to[1] = ea + oa;
    to[2] = ea - oa;
    to[3] = eb + ob;
    to[4] = eb - ob;
    to[5] = w2;
}

/* G' s */
INLINE void sums_side(vec to[3], vec s0, vec s1, vec s2, vec s3, vec s4, vec s5)
{
    vec sa = NA * (s1 + s2), da = NA * (s1 - s2), sb = NB * (s3 + s4), db = NB * (s3 - s4);

    to[0] = N0 * s0 + sa + sb;
    to[1] = A * da + B * db;
    to[2] = A2 * sa + B2 * sb + s5;
}

/* ---- tiles ---------------------------------------------------------------------------------------------------- */

/* The tiles of images (h, w, c), one after the other. */
struct tiles {
    int h, w, c;
    int oh, ow; /* outputs of an image */
    int dilation;
    int y0, x0;         /* of tile (0, 0) */
    const float *zeros; /* a row of the image */
};

/* Where one is among them: its first output, of whatever the tiles are. */
struct cursor {
    int y, x;
    ptrdiff_t image; /* in floats */
};

static int next_tile(int at, int dilation)
{
    at++;
    return at % dilation == 0 ? at + (TILE - 1) * dilation : at;
}

static void step(struct cursor *at, const struct tiles *t)
{
    at->x = next_tile(at->x, t->dilation);
    if (at->x < t->ow)
        return;
    at->x = 0;
    at->y = next_tile(at->y, t->dilation);
    if (at->y < t->oh)
        return;
    at->y = 0;
    at->image += (ptrdiff_t)t->h * t->w * t->c;
}

/* Of the pixels at, at + dilation, ... so many are before the end. */
static inline int pixels_before(int end, int at, int dilation)
{
    return (end - at + dilation - 1) / dilation;
}

/* One tile: rows of the image, zeros outside; columns from x0 on, of which [first, last) are inside. */
struct place {
    const float *row[REACH];
    int x0, first, last, dilation;
};

INLINE struct place place_of(const struct tiles *t, const float *x, const struct cursor *at,
                             int size)
{
    int y = at->y + t->y0, d = t->dilation;
    struct place p = {.x0 = at->x + t->x0, .dilation = d};
    ptrdiff_t row = (ptrdiff_t)t->w * t->c;

    x += at->image + y * row;
    UNROLL for (int i = 0; i < size; i++, x += d * row, y += d) p.row[i] =
        y >= 0 && y < t->h ? x : t->zeros;
    p.first = p.x0 < 0 ? pixels_before(0, p.x0, d) : 0;
    p.last = pixels_before(t->w, p.x0, d);
    return p;
}

/* The channels of vector v: the last one ends where they end. */
static inline int channel_of(int v, int c)
{
    return (v + 1) * LANES <= c ? v * LANES : c - LANES;
}

/* to[36 `apart`][channels] = B' d B of one tile */
static void transform_input(float *to, ptrdiff_t apart, const struct place *p, int c)
{
    for (int v = 0; v < panels_of(c); v++) {
        int ch = channel_of(v, c);
        vec half[REACH][REACH]; /* [column][row] */

        UNROLL for (int j = 0; j < REACH; j++)
        {
            ptrdiff_t at = (ptrdiff_t)(p->x0 + j * p->dilation) * c + ch;

#define IN(i) (*(const vec *)(p->row[i] + at))
            if (j >= p->first && j < p->last)
                input_side(half[j], IN(0), IN(1), IN(2), IN(3), IN(4), IN(5));
            else
                UNROLL for (int i = 0; i < REACH; i++) half[j][i] = (vec){0};
#undef IN
        }
        UNROLL for (int i = 0; i < REACH; i++)
        {
            vec out[REACH];

            input_side(out, half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i]);
            UNROLL for (int j = 0; j < REACH; j++) * (vec *)(to + (i * REACH + j) * apart + ch) =
                out[j];
        }
    }
}

/* to[36 `apart`][panels of k] = A dy A' of one tile */
static void transform_gradient(float *to, ptrdiff_t apart, const struct place *p, int k)
{
    for (int v = 0; v < panels_of(k); v++, to += LANES) {
        int ch = channel_of(v, k);
        vec half[TILE][REACH];

        UNROLL for (int j = 0; j < TILE; j++)
        {
            ptrdiff_t at = (ptrdiff_t)(p->x0 + j * p->dilation) * k + ch;

#define IN(i) (*(const vec *)(p->row[i] + at))
            if (j < p->last)
                gradient_side(half[j], IN(0), IN(1), IN(2), IN(3));
            else
                UNROLL for (int i = 0; i < REACH; i++) half[j][i] = (vec){0};
#undef IN
        }
        UNROLL for (int i = 0; i < REACH; i++)
        {
            vec out[REACH];

            gradient_side(out, half[0][i], half[1][i], half[2][i], half[3][i]);
            UNROLL for (int j = 0; j < REACH; j++) * (vec *)(to + (i * REACH + j) * apart) = out[j];
        }
    }
}

/* y (rows, columns; k) = A' m A of one tile, m[36 `apart`][panels of k]; `pitch` floats from row to row, `pixel` from column to
 * column */
static void transform_output(float *y, ptrdiff_t pitch, ptrdiff_t pixel, int rows, int columns,
                             int k, bool add, const float *bias, const float *m, ptrdiff_t apart)
{
    for (int ch = 0; ch < k; ch += LANES, m += LANES) {
        vec half[REACH][TILE]; /* [column][row] */

        UNROLL for (int j = 0; j < REACH; j++)
        {
#define IN(i) (*(const vec *)(m + (i * REACH + j) * apart))
            output_side(half[j], IN(0), IN(1), IN(2), IN(3), IN(4), IN(5));
#undef IN
        }
        UNROLL for (int i = 0; i < TILE; i++) if (i < rows)
        {
            vec out[TILE];

            output_side(out, half[0][i], half[1][i], half[2][i], half[3][i], half[4][i],
                        half[5][i]);
            UNROLL for (int j = 0; j < TILE; j++) if (j < columns)
                put(y + i * pitch + j * pixel + ch, out[j], k - ch < LANES ? k - ch : LANES,
                    bias != NULL ? bias + ch : NULL, add);
        }
    }
}

/* ---- scratch --------------------------------------------------------------------------------------------------- */

/* Floats between the 36 values of a chunk: no power of two, which would fall on the same lines of the cache. */
static ptrdiff_t apart_of(int channels)
{
    return (ptrdiff_t)CHUNK * panels_of(channels) * LANES + 16;
}

struct buffers {
    float *zeros, *in, *out;
};

static struct buffers buffers_of(const struct window *s, float *scratch)
{
    struct buffers b;
    size_t row = area(s->w, s->c), out_row = area(s->ow, s->k);

    b.zeros = scratch;
    row = row > out_row ? row : out_row;
    memset(b.zeros, 0, row * sizeof *b.zeros);
    b.in = next_line(b.zeros + row);
    b.out = b.in + AREA * apart_of(s->c);
    return b;
}

size_t ISA(winograd_scratch)(const struct window *s)
{
    size_t row = area(s->w, s->c), out_row = area(s->ow, s->k);

    return (row > out_row ? row : out_row) + (size_t)(AREA * (apart_of(s->c) + apart_of(s->k))) +
           64;
}

static struct tiles input_tiles(const struct window *s, const float *zeros)
{
    struct tiles t = {s->h, s->w, s->c, s->oh, s->ow, s->dilation, -s->pad_y, -s->pad_x, zeros};

    return t;
}

static struct tiles output_tiles(const struct window *s, const float *zeros)
{
    struct tiles t = {s->oh, s->ow, s->k, s->oh, s->ow, s->dilation, 0, 0, zeros};

    return t;
}

static int all_tiles(const struct window *s)
{
    return s->n * tiles_of(s->oh, s->dilation) * tiles_of(s->ow, s->dilation);
}

static void transform_inputs(float *to, const struct tiles *t, const float *x, struct cursor *at,
                             int n)
{
    for (int i = 0; i < n; i++, step(at, t)) {
        struct place p = place_of(t, x, at, REACH);

        transform_input(to + (ptrdiff_t)i * t->c, apart_of(t->c), &p, t->c);
    }
}

static void transform_gradients(float *to, const struct tiles *t, const float *dy,
                                struct cursor *at, int n)
{
    for (int i = 0; i < n; i++, step(at, t)) {
        struct place p = place_of(t, dy, at, TILE);

        transform_gradient(to + (ptrdiff_t)i * panels_of(t->c) * LANES, apart_of(t->c), &p, t->c);
    }
}

static void transform_outputs(float *y, bool add, const float *bias, const struct tiles *t,
                              const float *m, struct cursor *at, int n)
{
    ptrdiff_t row = (ptrdiff_t)t->w * t->c;
    int d = t->dilation;

    for (int i = 0; i < n; i++, step(at, t))
        transform_output(y + at->image + at->y * row + (ptrdiff_t)at->x * t->c, d * row,
                         (ptrdiff_t)d * t->c, pixels_before(t->h, at->y, d),
                         pixels_before(t->w, at->x, d), t->c, add, bias,
                         m + (ptrdiff_t)i * panels_of(t->c) * LANES, apart_of(t->c));
}

/* ---- forward (and, with mirrored weights, the input gradient) ------------------------------------------------- */

static const ptrdiff_t no_taps[1];

void ISA(winograd)(float *y, bool add, const float *x, const float *packed, const float *bias,
                   const struct window *s, float *scratch)
{
    struct buffers b = buffers_of(s, scratch);
    struct tiles in = input_tiles(s, b.zeros), out = output_tiles(s, b.zeros);
    struct cursor at_in = {0}, at_out = {0};
    struct product p = {.a = b.in,
                        .a_row = s->c,
                        .taps = no_taps,
                        .n_taps = 1,
                        .depth = s->c,
                        .b = packed,
                        .b_r = LANES,
                        .b_panel = (ptrdiff_t)s->c * LANES,
                        .out = b.out,
                        .out_row = (ptrdiff_t)panels_of(s->k) * LANES,
                        .out_panel = LANES,
                        .n = AREA,
                        .a_next = apart_of(s->c),
                        .b_next = (ptrdiff_t)panels_size((size_t)s->c, s->k, s->c),
                        .out_next = apart_of(s->k)};
    int all = all_tiles(s);

    for (int first = 0; first < all; first += CHUNK) {
        int n = all - first < CHUNK ? all - first : CHUNK;

        transform_inputs(b.in, &in, x, &at_in, n);
        ISA(product_rows)(&p, n, s->k, s->c);
        transform_outputs(y, add, bias, &out, b.out, &at_out, n);
    }
}

size_t ISA(winograd_packed)(const struct window *s)
{
    return AREA * panels_size((size_t)s->c, s->k, s->c);
}

/* u[36] = G w G' of one input channel and a vector of output channels */
static void transform_weights(vec u[AREA], float w[9][LANES])
{
    vec half[3][REACH]; /* [column][row] */

#define IN(i, j) (*(const vec *)w[(i)*3 + (j)])
    for (int j = 0; j < 3; j++)
        weight_side(half[j], IN(0, j), IN(1, j), IN(2, j));
#undef IN
    for (int i = 0; i < REACH; i++)
        weight_side(u + (ptrdiff_t)i * REACH, half[0][i], half[1][i], half[2][i]);
}

void ISA(winograd_pack)(float *packed, const struct weights *weights, const struct window *s)
{
    size_t size = panels_size((size_t)s->c, s->k, s->c);

    memset(packed, 0, AREA * size * sizeof *packed);
    for (int first = 0; first < s->k; first += LANES) {
        int n = s->k - first < LANES ? s->k - first : LANES;
        int split = n < LANES ? split_of(s->k, s->c) : 1;
        float *panel = packed + (size_t)first * (size_t)s->c;

        for (int ci = 0; ci < s->c; ci++) {
            float w[9][LANES] = {{0}};
            vec u[AREA];

            for (int tap = 0; tap < 9; tap++)
                for (int q = 0; q < n; q++)
                    w[tap][q] = weights->first[tap / 3 * weights->row + tap % 3 * weights->column +
                                               ci * weights->c + (first + q) * weights->k];
            transform_weights(u, w);
            for (size_t i = 0; i < AREA; i++) {
                float *to = panel + i * size + (ptrdiff_t)(ci / split) * LANES + ci % split;

                for (int q = 0; q < n; q++)
                    to[q * split] = u[i][q];
            }
        }
    }
}

/* ---- weight gradient ------------------------------------------------------------------------------------------ */

size_t ISA(winograd_sums_size)(const struct window *s)
{
    return (size_t)AREA * (size_t)s->c * (size_t)(panels_of(s->k) * LANES);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the product writes to sums */
void ISA(winograd_sums)(float *sums, const float *dy, const float *x, const struct window *s,
                        float *scratch)
{
    struct buffers b = buffers_of(s, scratch);
    struct tiles in = input_tiles(s, b.zeros), out = output_tiles(s, b.zeros);
    struct cursor at_in = {0}, at_out = {0};
    int panels = panels_of(s->k), all = all_tiles(s);
    struct product p = {.a = b.in,
                        .a_row = s->c,
                        .taps = no_taps,
                        .n_taps = 1,
                        .b = b.out,
                        .b_r = (ptrdiff_t)panels * LANES,
                        .b_panel = LANES,
                        .out = sums,
                        .out_row = LANES,
                        .out_panel = (ptrdiff_t)s->c * LANES,
                        .n = AREA,
                        .a_next = apart_of(s->c),
                        .b_next = apart_of(s->k),
                        .out_next = panels * (ptrdiff_t)s->c * LANES};

    for (int first = 0; first < all; first += CHUNK) {
        p.depth = all - first < CHUNK ? all - first : CHUNK;
        transform_inputs(b.in, &in, x, &at_in, p.depth);
        transform_gradients(b.out, &out, dy, &at_out, p.depth);
        ISA(product_sums)(&p, s->c, panels, 1);
    }
}

void ISA(winograd_finish)(float *dw, const float *sums, const struct window *s, size_t pitch)
{
    int panels = panels_of(s->k);
    size_t size = (size_t)s->c * (size_t)(panels * LANES);

    for (int v = 0; v < panels; v++) {
        int first = channel_of(v, s->k), seen = v * LANES - first;

        for (int ci = 0; ci < s->c; ci++, sums += LANES) {
            vec half[REACH][3], g[3]; /* [column][row] */

            for (int j = 0; j < REACH; j++)
#define IN(i) (*(const vec *)(sums + (size_t)((i)*REACH + j) * size))
                sums_side(half[j], IN(0), IN(1), IN(2), IN(3), IN(4), IN(5));
#undef IN
            for (int i = 0; i < 3; i++) {
                sums_side(g, half[0][i], half[1][i], half[2][i], half[3][i], half[4][i],
                          half[5][i]);
                for (int j = 0; j < 3; j++)
                    for (int q = seen; q < LANES; q++)
                        dw[(size_t)((i * 3 + j) * s->c + ci) * pitch + (size_t)(first + q)] +=
                            g[j][q];
            }
        }
    }
}
