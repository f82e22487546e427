/* kernels_by_2.c - dense 3x3 windows at stride 2, forward and input gradient, for one instruction set.
 *
 * It is:     tiles that load a value once and multiply it by as many taps as see it: up to four. (kernels_tile.h loads it for each
 *            tap, which is as good where two vectors of output channels share it, and else takes longer than the products.)
 * It is not: for every side and number of channels: see by_2_fits...().
 *
 * Input gradient: along each side, of two neighbouring pixels of dx one is reached by tap 1 alone, and the other one by taps 0
 * and 2, of two pixels of dy of which one is that of tap 1, too: the shared one. So four pixels of dx are made of four of dy: with
 * the shared one in both directions all four are, with the one that no other shares one of them is. As four convolutions of
 * their own these would be sums of one, two, two and four taps, too short for what a tile costs to begin and to end; here a
 * tile is all four of a few neighbours.
 */
#include "kernels_conv.h"
#include "kernels_reach.h"
#include "kernels_tile.h"

#include <string.h>

#define UNROLL     _Pragma("GCC unroll 6")
#define UNROLL_ALL _Pragma("GCC unroll 9")

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

static void pack_taps(float *packed, const struct weights *w, const int taps[PRODUCTS], int c,
                      int k)
{
    for (int first = 0; first < k; first += LANES) {
        int n = k - first < LANES ? k - first : LANES, split = n < LANES ? split_of(k, c) : 1;

        for (int r = 0; r < c; r += split)
            for (int i = 0; i < PRODUCTS; i++, packed += LANES) {
                const float *from = w->first + taps[i] / 3 * w->row + taps[i] % 3 * w->column +
                                    r * w->c + first * w->k;

                memset(packed, 0, LANES * sizeof *packed);
                for (int q = 0; q < n; q++)
                    for (int p = 0; p < split; p++)
                        packed[q * split + p] = from[q * w->k + p * w->c];
            }
    }
}

void ISA(by_2_pack)(float *packed, const struct weights *w, const struct window *s)
{
    int taps[PRODUCTS];

    for (int i = 0; i < PRODUCTS; i++)
        taps[i] = 3 * tap_of(s->pad_y, products[i].y, products[i].y_other) +
                  tap_of(s->pad_x, products[i].x, products[i].x_other);
    pack_taps(packed, w, taps, s->k, s->c);
}

void ISA(by_2_pack_forward)(float *packed, const struct weights *w, const struct window *s)
{
    static const int taps[PRODUCTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8};

    pack_taps(packed, w, taps, s->c, s->k);
}

/* ---- input gradient: tiles --------------------------------------------------------------------------------------- */

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

/* ---- forward ------------------------------------------------------------------------------------------------ */

/* A tile is a square of outputs, with all nine weights of an input channel in registers: so a value of x, of whose windows
 * up to four have it in them, is loaded once for all. */
enum { SIDE = 4, REACH = 2 * SIDE + 1 };

/* Wider ones are faster where two vectors of outputs share a value of x. */
bool ISA(by_2_fits_forward)(const struct window *s)
{
    return LANES == 16 && s->kh == 3 && s->kw == 3 && s->stride == 2 && s->dilation == 1 &&
           s->oh % SIDE == 0 && s->ow % SIDE == 0 && s->k >= LANES &&
           s->k < (s->ow > SIDE ? 2 * LANES : 3 * LANES);
}

size_t ISA(by_2_scratch)(const struct window *s)
{
    return (size_t)((REACH + 1) * REACH * s->c) + LANES;
}

/* The compiler shall not work out every address beforehand. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* What a tile reads: pixels of x, `row` floats from one row to the next. Its first row and the first pixel of every row may be
 * outside of the image, and lie elsewhere; corner is what is both. */
struct patch {
    const float *x, *top, *left, *corner;
    ptrdiff_t row, left_row;
};

INLINE void square(const int split, int c, const struct patch *patch, const float *weights,
                   float *y, ptrdiff_t y_pixel, ptrdiff_t y_row, int cols, const float *bias)
{
    const float *x = patch->x, *top = patch->top, *left = patch->left, *corner = patch->corner;
    const float *ahead = x + (ptrdiff_t)(REACH - 1) * c; /* the next tile of the row */
    const ptrdiff_t row = patch->row, left_row = patch->left_row;
    vec sums[SIDE][SIDE];

    UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++) sums[i][j] =
        (vec){0};
    for (int r = c / split; r > 0; r--, weights += PRODUCTS * LANES) {
        const float *from = x, *side = left, *soon = ahead;
        vec w[PRODUCTS];

        UNROLL_ALL for (int i = 0; i < PRODUCTS; i++) w[i] = *(const vec *)(weights + i * LANES);
        UNROLL_ALL for (int v = 0; v < REACH; v++, from += row, side += left_row, soon += row)
        {
            HIDE(from);
            HIDE(side);
            HIDE(soon);
            __builtin_prefetch(soon);
            UNROLL_ALL for (int u = 0; u < REACH; u++)
            {
                const float *at = v == 0 ? (u == 0 ? corner : top + (ptrdiff_t)u * c)
                                         : (u == 0 ? side : from + (ptrdiff_t)u * c);
                vec value = repeated(at, split);

                UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j++)
                {
                    const int at_y = v - 2 * i, at_x = u - 2 * j;

                    if (at_y >= 0 && at_y < 3 && at_x >= 0 && at_x < 3)
                        sums[i][j] += value * w[3 * at_y + at_x];
                }
            }
        }
        x += split, top += split, left += split, corner += split;
        ahead += (REACH - 1) * split;
    }
    if (split == 1 && cols == LANES) {
        vec start = {0};

        if (bias != NULL)
            start = *(const vec *)bias;
        UNROLL for (int i = 0; i < SIDE; i++, y += y_row) UNROLL for (int j = 0; j < SIDE; j++) *
            (vec *)(y + j * y_pixel) = sums[i][j] + start;
        return;
    }
    UNROLL for (int i = 0; i < SIDE; i++) UNROLL for (int j = 0; j < SIDE; j += 2)
    {
        float *to = y + i * y_row + j * y_pixel;

        if (split == 2 && cols == LANES / 2 && bias == NULL) {
            put_pair(to, y_pixel, sums[i][j], sums[i][j + 1], false);
            continue;
        }
        put(to, joined(sums[i][j], split), cols, bias, false);
        put(to + y_pixel, joined(sums[i][j + 1], split), cols, bias, false);
    }
}

typedef void square_function(int c, const struct patch *patch, const float *weights, float *y,
                             ptrdiff_t y_pixel, ptrdiff_t y_row, int cols, const float *bias);

/* Of the commonest numbers of channels every address is a row's and a constant. */
#if LANES == 16
#define SQUARE_OF(split, n)                                                                        \
    case n:                                                                                        \
        square(split, n, patch, weights, y, y_pixel, y_row, cols, bias);                           \
        break;
#else
#define SQUARE_OF(split, n)
#endif
#define DEFINE_SQUARE(split)                                                                       \
    static void square_##split(int c, const struct patch *patch, const float *weights, float *y,   \
                               ptrdiff_t y_pixel, ptrdiff_t y_row, int cols, const float *bias)    \
    {                                                                                              \
        switch (c) {                                                                               \
            SQUARE_OF(split, 16)                                                                   \
            SQUARE_OF(split, 24)                                                                   \
            SQUARE_OF(split, 32)                                                                   \
        default: square(split, c, patch, weights, y, y_pixel, y_row, cols, bias); break;           \
        }                                                                                          \
    }
DEFINE_SQUARE(1)
DEFINE_SQUARE(2)
DEFINE_SQUARE(4)

/* What a tile reads, in rows of REACH pixels: of the image from (top, left) on, zeros outside of it. */
static void copy_patch(float *to, const float *x, const struct window *s, int top, int left)
{
    size_t c = (size_t)s->c;
    int first = left < 0 ? -left : 0, last = s->w - left < REACH ? s->w - left : REACH;

    if (last < first)
        last = first = 0;
    for (int v = top; v < top + REACH; v++, to += REACH * c) {
        if (v < 0 || v >= s->h) {
            memset(to, 0, REACH * c * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)first * c * sizeof *to);
        copy_floats(to + (size_t)first * c, x + ((ptrdiff_t)v * s->w + left + first) * s->c,
                    (size_t)(last - first) * c);
        memset(to + (size_t)last * c, 0, (size_t)(REACH - last) * c * sizeof *to);
    }
}

/* Zeros, then room for a copy. */
static struct patch patch_at(float *scratch, const float *x, const struct window *s, int top,
                             int left)
{
    const float *zeros = next_line(scratch);
    struct patch r = {.row = (ptrdiff_t)s->w * s->c};

    if (top < -1 || left < -1 || top + REACH > s->h || left + REACH > s->w) {
        float *copy = next_line(scratch) + REACH * s->c;

        copy_patch(copy, x, s, top, left);
        r.row = (ptrdiff_t)REACH * s->c;
        r.x = r.top = r.left = r.corner = copy;
        r.left_row = r.row;
        return r;
    }
    r.x = x + ((ptrdiff_t)top * s->w + left) * s->c;
    r.top = top < 0 ? zeros : r.x;
    r.left = left < 0 ? zeros : r.x;
    r.left_row = left < 0 ? 0 : r.row;
    r.corner = top < 0 || left < 0 ? zeros : r.x;
    return r;
}

/* All channels of one tile. */
static void forward_tile(float *y, const struct patch *patch, const float *packed,
                         const float *bias, const struct window *s)
{
    static square_function *const squares[] = {square_1, square_2, square_4};

    for (int first = 0; first < s->k; first += LANES) {
        int cols = s->k - first < LANES ? s->k - first : LANES;
        int split = cols < LANES ? split_of(s->k, s->c) : 1;

        squares[split / 2](s->c, patch, packed, y + first, s->k, (ptrdiff_t)s->ow * s->k, cols,
                           bias != NULL ? bias + first : NULL);
        packed += (ptrdiff_t)PRODUCTS * s->c / split * LANES;
    }
}

void ISA(by_2_forward)(float *y, const float *x, const float *packed, const float *bias,
                       const struct window *s, float *scratch)
{
    memset(next_line(scratch), 0, (size_t)(REACH * s->c) * sizeof *scratch);
    for (int i = 0; i < s->n; i++, x += area(s->h, s->w) * (size_t)s->c)
        for (int oy = 0; oy < s->oh; oy += SIDE, y += (ptrdiff_t)SIDE * s->ow * s->k)
            for (int ox = 0; ox < s->ow; ox += SIDE) {
                struct patch r = patch_at(scratch, x, s, 2 * oy - s->pad_y, 2 * ox - s->pad_x);

                forward_tile(y + (ptrdiff_t)ox * s->k, &r, packed, bias, s);
            }
}
