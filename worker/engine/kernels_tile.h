/* kernels_tile.h - the product that convolutions are made of, for one instruction set; private to worker/engine.
 *
 * It is:     out (rows, columns) = or += sum over taps and depth of a[row][tap][r] * b[tap * depth + r][column], in which
 *            a tile of rows x vectors stays in registers. Addresses are steps, so that images need not be copied into
 *            matrices: a row is a pixel's window (forward), or an input channel (weight gradient).
 * It is not: blocked for caches: who calls it sees to that.
 *
 * Columns come in panels of LANES: b and out say how far apart these are. Weights and sums of weight gradients are
 * [panel][row][LANES]. Of k columns, what is left after whole vectors is a last panel, zero-filled; or, when it is half
 * a vector or less, one whose lanes are `split` columns' sums each, over every split-th r (lane split j + r % split
 * belongs to column j), so that no lane is idle: there a's values come in runs of split, and depth divides by it.
 * Each sum goes through tap and r in order, in registers or not: how rows are split over calls changes no bit.
 */
#ifndef NASFARM_KERNELS_TILE_H
#define NASFARM_KERNELS_TILE_H

#include "kernels_isa.h"

#include <string.h>

struct product {
    const float *a;
    ptrdiff_t
        a_row; /* floats from one row to the next (product_rows); from one r to the next (product_sums) */
    const ptrdiff_t *taps; /* in floats */
    int n_taps, depth;
    const float *b;
    ptrdiff_t b_r, b_panel; /* floats from one r to the next, from one panel to the next */
    ptrdiff_t b_tap;        /* and so many more from a tap's last r to the next one's first */
    float *out;
    ptrdiff_t out_row, out_panel;
    int skip; /* values of r that every panel of b begins with and a has not; product_rows only */
    const float *bias; /* of the first column, or NULL; product_rows only */
    bool add;          /* to what is in out; product_sums always does */
    float most;        /* 0, or then a ReLU that ends at this: 6, or infinity; product_rows only */
    /* so many products of the same form, and floats from one to the next */
    int n;
    ptrdiff_t a_next, b_next, out_next;
};

/* out (rows, k): a's r are next to each other. b holds all panels of (rows in multiples of c, k). */
void ISA(product_rows)(const struct product *p, int rows, int k, int c);

/* out (rows / split, panels of LANES) +=: a's rows are next to each other, split of them make one row of out. */
void ISA(product_sums)(const struct product *p, int rows, int panels, int split);

/* to[0..n) = (add: +=) value + bias (unless NULL), n <= LANES. By halves: a detour through memory would cost more than
 * the sums. */
typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
#if LANES >= 8
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
#endif

INLINE void put(float *to, vec value, int n, const float *bias, bool add)
{
    int i = 0;

    if (n == LANES) {
        if (bias != NULL)
            value += *(const vec *)bias;
        if (add)
            value += *(vec *)to;
        *(vec *)to = value;
        return;
    }
#define PUT(type, width, from)                                                                     \
    do {                                                                                           \
        type part = from;                                                                          \
        if (bias != NULL)                                                                          \
            part += *(const type *)(bias + i);                                                     \
        if (add)                                                                                   \
            part += *(type *)(to + i);                                                             \
        *(type *)(to + i) = part;                                                                  \
        i += (width);                                                                              \
    } while (0)
#if LANES >= 16
    eight e = __builtin_shufflevector(value, value, 0, 1, 2, 3, 4, 5, 6, 7);

    if (n >= 8) {
        PUT(eight, 8, e);
        e = __builtin_shufflevector(value, value, 8, 9, 10, 11, 12, 13, 14, 15);
    }
#elif LANES >= 8
    eight e = value;
#endif
#if LANES >= 8
    four f = __builtin_shufflevector(e, e, 0, 1, 2, 3);

    if (n - i >= 4) {
        PUT(four, 4, f);
        f = __builtin_shufflevector(e, e, 4, 5, 6, 7);
    }
#else
    four f = value;
#endif
#undef PUT
    for (int j = 0; i < n; i++, j++) {
        float y = f[j] + (bias != NULL ? bias[i] : 0);

        to[i] = add ? to[i] + y : y;
    }
}

/* ---- parts of vectors ---------------------------------------------------------------------------------------- */

typedef long long lane_pairs __attribute__((vector_size(LANES * sizeof(float)), may_alias));
typedef long long lane_pair __attribute__((aligned(4), may_alias));

/* `split` floats, again and again. */
INLINE vec repeated(const float *from, const int split)
{
    if (split == 1)
        return vec_all(*from);
    if (split == 2)
        return (vec)(*(const lane_pair *)from + (lane_pairs){0});
#if LANES >= 16
    four f = *(const four *)from;

    return __builtin_shufflevector(f, f, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
#else
    return (vec){0}; /* never */
#endif
}

/* Every column's `split` sums added, in the first lanes. */
#if LANES >= 16
#define EVEN(v, w)                                                                                 \
    __builtin_shufflevector(v, w, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define ODD(v, w)                                                                                  \
    __builtin_shufflevector(v, w, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#elif LANES >= 8
#define EVEN(v, w) __builtin_shufflevector(v, w, 0, 2, 4, 6, 8, 10, 12, 14)
#define ODD(v, w)  __builtin_shufflevector(v, w, 1, 3, 5, 7, 9, 11, 13, 15)
#else
#define EVEN(v, w) __builtin_shufflevector(v, w, 0, 2, 4, 6)
#define ODD(v, w)  __builtin_shufflevector(v, w, 1, 3, 5, 7)
#endif
INLINE vec joined(vec v, int split)
{
    for (; split > 1; split /= 2)
        v = EVEN(v, v) + ODD(v, v);
    return v;
}

/* Two rows of half a vector each: the commonest case of a tile that is split. */
INLINE void put_pair(float *out, ptrdiff_t row, vec first, vec second, bool add)
{
    typedef float half
        __attribute__((vector_size(LANES * sizeof(float) / 2), aligned(4), may_alias));
    vec y = EVEN(first, second) + ODD(first, second);
    half h[2];

    if (row == LANES / 2) {
        if (add)
            y += *(vec *)out;
        *(vec *)out = y;
        return;
    }
    memcpy(h, &y, sizeof h);
    if (add)
        h[0] += *(half *)out, h[1] += *(half *)(out + row);
    *(half *)out = h[0];
    *(half *)(out + row) = h[1];
}

/* to[0..n) = from[0..n), for n too few for a call */
INLINE void copy_floats(float *restrict to, const float *restrict from, size_t n)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        *(vec *)(to + i) = *(const vec *)(from + i);
        __asm__ volatile(""); /* else the compiler makes this a call after all */
    }
#if LANES >= 16
    if (i + 8 <= n) {
        *(eight *)(to + i) = *(const eight *)(from + i);
        i += 8;
    }
#endif
#if LANES >= 8
    if (i + 4 <= n) {
        *(four *)(to + i) = *(const four *)(from + i);
        i += 4;
    }
#endif
    for (; i < n; i++)
        to[i] = from[i];
}

/* How the columns behind the last whole vector are laid out, when rows of weights come in multiples of c. */
static inline int split_of(int k, int c)
{
    int rest = k % LANES;

#if LANES >= 16
    if (rest > 0 && rest <= LANES / 4 && c % 4 == 0)
        return 4;
#endif
#if LANES >= 8
    if (rest > 0 && rest <= LANES / 2 && c % 2 == 0)
        return 2;
#endif
    (void)rest, (void)c;
    return 1;
}

static inline int panels_of(int k)
{
    return (k + LANES - 1) / LANES;
}

/* Floats of (rows, k) in panels, rows being multiples of c. */
static inline size_t panels_size(size_t rows, int k, int c)
{
    int split = split_of(k, c);
    size_t whole = (size_t)(split > 1 ? k / LANES : panels_of(k));

    return rows * LANES * whole + (split > 1 ? rows / (size_t)split * LANES : 0);
}

#endif
