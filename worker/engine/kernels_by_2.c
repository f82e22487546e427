/* kernels_by_2.c - the input gradient of dense 3x3 windows at stride 2, for one instruction set.
 *
 * Along each side, of two neighbouring pixels of dx one is reached by tap 1 alone, and the other one by taps 0 and 2, of two
 * pixels of dy of which one is that of tap 1, too: the shared one. So four pixels of dx are made of four of dy: with the shared
 * one in both directions all four are, with the one that no other shares one of them is. As four convolutions of their own
 * (kernels_conv.c) these would be sums of one, two, two and four taps, too short for what a tile costs to begin and to end;
 * here a tile is all four of a few neighbours, and a value of dy, once loaded, is multiplied up to four times.
 */
#include "kernels_conv.h"
#include "kernels_reach.h"
#include "kernels_tile.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 6")

enum {
    MOST = 6, /* neighbours: 24 sums, four weights, one value */
    PRODUCTS = 9,
};

/* The products of a value of each of dy's four pixels, in the order of the packed weights. First and second are the pixels of
 * dx: those of tap 1, and the others. */
enum { FIRST, SECOND };
static const struct {
    int y, x;              /* of dx */
    bool y_other, x_other; /* of dy: not the shared one */
} products[PRODUCTS] = {
    {FIRST, FIRST, false, false},   {FIRST, SECOND, false, false}, {SECOND, FIRST, false, false},
    {SECOND, SECOND, false, false}, {FIRST, SECOND, false, true},  {SECOND, SECOND, false, true},
    {SECOND, FIRST, true, false},   {SECOND, SECOND, true, false}, {SECOND, SECOND, true, true},
};

/* Elsewhere there are too few registers. */
bool ISA(by_2_fits)(const struct window *s)
{
    return LANES == 16 && s->kh == 3 && s->kw == 3 && s->stride == 2 && s->dilation == 1 &&
           s->h % 2 == 0 && s->w % 2 == 0;
}

/* One side: which pixel of two neighbours is the first, dy's shared pixel for the first of them (counted with the border), and
 * how far from there the other one is. */
struct side {
    int first, shared, other;
};

static struct side side_of(int pad)
{
    struct side s = {.first = (pad + 1) & 1};

    s.shared = reach_of(s.first, pad, 3, 1, 2).at;
    s.other = pad & 1 ? 1 : -1;
    return s;
}

static int tap_of(int pad, int pixel, bool other)
{
    if (pixel == FIRST)
        return 1;
    return ((pad & 1) != 0) == other ? 0 : 2;
}

/* ---- weights: panels of c, as kernels_tile.h has them, of (k, products) --------------------------------------- */

void ISA(by_2_pack)(float *packed, const float *weight, const struct window *s, size_t pitch)
{
    for (int first = 0; first < s->c; first += LANES) {
        int n = s->c - first < LANES ? s->c - first : LANES;
        int split = n < LANES ? split_of(s->c, s->k) : 1;

        for (int r = 0; r < s->k; r += split)
            for (int i = 0; i < PRODUCTS; i++, packed += LANES) {
                int tap = 3 * tap_of(s->pad_y, products[i].y, products[i].y_other) +
                          tap_of(s->pad_x, products[i].x, products[i].x_other);
                const float *from = weight + (size_t)(tap * s->c + first) * pitch + r;

                memset(packed, 0, LANES * sizeof *packed);
                for (int q = 0; q < n; q++)
                    for (int p = 0; p < split; p++)
                        packed[q * split + p] = from[(size_t)q * pitch + (size_t)p];
            }
    }
}

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

struct tile {
    const float *dy; /* the shared pixel of the first neighbours */
    ptrdiff_t pixel, other_x, other_y;
    int depth;
    const float *weights;
    float *out[4]; /* (y, x) of dx */
    ptrdiff_t out_pixel;
    int cols;
    bool add;
};

/* sums[i] += dy's values times weights i, for each of `which`; dy: of one pixel and its T neighbours. */
INLINE void add_values(const int split, const int T, vec sums[4][MOST], const float *dy,
                       ptrdiff_t pixel, const float *weights, const bool second_y,
                       const bool second_x)
{
    UNROLL for (int t = 0; t < T; t++)
    {
        vec value = repeated(dy + t * pixel, split);
        int at = 0;

        UNROLL for (int i = 0; i < 4; i++)
        {
            if ((i / 2 == FIRST && second_y) || (i % 2 == FIRST && second_x))
                continue;
            sums[i][t] += value * *(const vec *)(weights + at++ * LANES);
        }
    }
}

INLINE void store(const int T, const struct tile *p, vec sums[4][MOST], const bool add)
{
    const ptrdiff_t pixel = p->out_pixel;

    UNROLL for (int i = 0; i < 4; i++)
    {
        float *out = p->out[i];

        UNROLL for (int t = 0; t < T; t++)
        {
            if (add)
                sums[i][t] += *(vec *)(out + t * pixel);
            *(vec *)(out + t * pixel) = sums[i][t];
        }
    }
}

INLINE void store_parts(const int split, const int T, const struct tile *p, vec sums[4][MOST])
{
    bool in_pairs = split == 2 && p->cols == LANES / 2;

    UNROLL for (int i = 0; i < 4; i++)
    {
        float *out = p->out[i];

        UNROLL for (int t = 0; t < T; t++, out += p->out_pixel)
        {
            if (!in_pairs)
                put(out, joined(sums[i][t], split), p->cols, NULL, p->add);
            else if (t % 2 == 0 && t + 1 < T)
                put_pair(out, p->out_pixel, sums[i][t], sums[i][t + 1], p->add);
            else if (t % 2 == 0)
                put(out, joined(sums[i][t], 2), LANES / 2, NULL, p->add);
        }
    }
}

INLINE void run_tile(const int split, const int T, const struct tile *p)
{
    const float *shared = p->dy, *right = shared + p->other_x, *below = shared + p->other_y,
                *far = below + p->other_x, *w = p->weights;
    const ptrdiff_t pixel = p->pixel;
    vec sums[4][MOST];

    UNROLL for (int i = 0; i < 4; i++) UNROLL for (int t = 0; t < T; t++) sums[i][t] = (vec){0};
    for (int r = p->depth / split; r > 0; r--, w += PRODUCTS * LANES) {
        add_values(split, T, sums, shared, pixel, w, false, false);
        add_values(split, T, sums, right, pixel, w + 4 * LANES, false, true);
        add_values(split, T, sums, below, pixel, w + 6 * LANES, true, false);
        add_values(split, T, sums, far, pixel, w + 8 * LANES, true, true);
        shared += split, right += split, below += split, far += split;
    }
    if (split > 1 || p->cols < LANES)
        store_parts(split, T, p, sums);
    else if (p->add)
        store(T, p, sums, true);
    else
        store(T, p, sums, false);
}

#define DEFINE(split, T)                                                                           \
    static void tile_##split##_##T(const struct tile *p)                                           \
    {                                                                                              \
        run_tile(split, T, p);                                                                     \
    }
#define DEFINE_ALL(split)                                                                          \
    DEFINE(split, 1)                                                                               \
    DEFINE(split, 2) DEFINE(split, 3) DEFINE(split, 4) DEFINE(split, 5) DEFINE(split, 6)
#define ALL_OF(split)                                                                              \
    {                                                                                              \
        tile_##split##_1, tile_##split##_2, tile_##split##_3, tile_##split##_4, tile_##split##_5,  \
            tile_##split##_6                                                                       \
    }
DEFINE_ALL(1)
DEFINE_ALL(2)
DEFINE_ALL(4)

/* [log2 of split][neighbours - 1] */
static void (*const tiles[3][MOST])(const struct tile *p) = {ALL_OF(1), ALL_OF(2), ALL_OF(4)};

/* One panel of the channels of a pair of rows, in tiles of nearly equal width. */
static void run_row(struct tile p, int split, int left)
{
    for (int n_tiles = (left + MOST - 1) / MOST; n_tiles > 0; n_tiles--) {
        int n = (left + n_tiles - 1) / n_tiles;

        tiles[split / 2][n - 1](&p);
        p.dy += n * p.pixel;
        for (int i = 0; i < 4; i++)
            p.out[i] += n * p.out_pixel;
        left -= n;
    }
}

void ISA(by_2)(float *dx, bool add, const float *dy, int dy_w, const float *packed,
               const struct window *s)
{
    struct side v = side_of(s->pad_y), u = side_of(s->pad_x);
    ptrdiff_t row = (ptrdiff_t)dy_w * s->k;
    struct tile p = {.pixel = s->k,
                     .other_x = (ptrdiff_t)u.other * s->k,
                     .other_y = v.other * row,
                     .depth = s->k,
                     .out_pixel = 2 * (ptrdiff_t)s->c,
                     .add = add};

    for (int y = 0; y < s->h / 2; y++) {
        p.weights = packed;
        for (int first = 0; first < s->c; first += LANES) {
            int split = s->c - first < LANES ? split_of(s->c, s->k) : 1;

            p.cols = s->c - first < LANES ? s->c - first : LANES;
            p.dy = dy + (v.shared + y) * row + (ptrdiff_t)u.shared * s->k;
            for (int i = 0; i < 4; i++) {
                int at_y = 2 * y + (i / 2 == FIRST ? v.first : 1 - v.first);
                int at_x = i % 2 == FIRST ? u.first : 1 - u.first;

                p.out[i] = dx + ((ptrdiff_t)at_y * s->w + at_x) * s->c + first;
            }
            run_row(p, split, s->w / 2);
            p.weights += (ptrdiff_t)PRODUCTS * s->k / split * LANES;
        }
    }
}
