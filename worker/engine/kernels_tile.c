/* kernels_tile.c - sums of products in registers, for one instruction set (kernels_tile.h). */
#include "kernels_tile.h"
#include "kernels_act.h"

#define UNROLL _Pragma("GCC unroll 24")

/* Tiles of 1, 2, 3, 4 vectors are at most so many rows high: as many sums as there are registers for, beside the
 * vectors of b and, except with AVX-512, a value of a. */
#if LANES >= 16
#define MOST_1 24
#define MOST_2 12
#define MOST_3 8
#define MOST_4 6
#else
#define MOST_1 12
#define MOST_2 6
#define MOST_3 4
#define MOST_4 0
#endif
#define MOST_SPLIT MOST_1

/* ---- tiles that are not whole vectors -------------------------------------------------------------------------- */

static void cut(float *y, int n, float most)
{
    for (int i = 0; i < n; i++) {
        y[i] = y[i] < 0 ? 0 : y[i];
        y[i] = y[i] > most ? most : y[i];
    }
}

/* A tile that could not be stored as it is: narrower than its vectors, or split. */
static void put_tile(const struct product *p, float *out, const float *bias, const float *sums,
                     int rows, int vecs, int cols, int split)
{
    int t = 0;

    if (split == 2 && cols == LANES / 2 && bias == NULL && !(p->most > 0))
        for (; t + 2 <= rows; t += 2, sums += 2 * LANES, out += 2 * p->out_row)
            put_pair(out, p->out_row, *(const vec *)sums, *(const vec *)(sums + LANES), p->add);
    for (; t < rows; t++, out += p->out_row)
        for (int v = 0; v < vecs; v++, sums += LANES) {
            vec y = joined(*(const vec *)sums, split);
            int left = cols - v * LANES < LANES ? cols - v * LANES : LANES;

            put(out + v * p->out_panel, y, left, bias != NULL ? bias + v * LANES : NULL, p->add);
            if (p->most > 0)
                cut(out + v * p->out_panel, left, p->most);
        }
}

/* ---- the inner loops -------------------------------------------------------------------------------------- */

/* The compiler shall not see that one pointer is a few steps from another: 24 rows are three pointers and eight steps,
 * which fit into registers; 24 pointers would not. */
#define HIDE(pointer) __asm__("" : "+r"(pointer))

/* T rows x V whole vectors: bias, sum and ReLU as the product has them. */
INLINE void put_whole(const int V, const int T, const struct product *p, float *out,
                      const float *bias, vec *sum)
{
    if (bias != NULL)
        UNROLL for (int t = 0; t < T; t++) UNROLL for (int v = 0; v < V; v++) sum[t * V + v] +=
            *(const vec *)(bias + v * LANES);
    if (p->add)
        UNROLL for (int t = 0; t < T; t++) UNROLL for (int v = 0; v < V; v++) sum[t * V + v] +=
            *(vec *)(out + t * p->out_row + v * p->out_panel);
    if (p->most > 0)
        UNROLL for (int i = 0; i < T * V; i++) sum[i] =
            vec_at_most(vec_all(p->most), vec_at_least((vec){0}, sum[i]));
    UNROLL for (int t = 0; t < T; t++) UNROLL for (int v = 0; v < V; v++) *
        (vec *)(out + t * p->out_row + v * p->out_panel) = sum[t * V + v];
}

/* T rows x V vectors. `sums`: see product_sums(). */
INLINE void tile(const bool sums, const int split, const int V, const int T,
                 const struct product *p, const float *a, const float *b, float *out, int cols,
                 const float *bias)
{
    const ptrdiff_t row = sums ? split : p->a_row, r_step = sums ? p->a_row : split;
    const ptrdiff_t b_r = p->b_r, b_panel = p->b_panel;
    vec sum[24];
    float spill[24 * LANES];

    UNROLL for (int i = 0; i < T * V; i++) sum[i] = (vec){0};
    if (sums)
        UNROLL for (int t = 0; t < T; t++) UNROLL for (int v = 0; v < V; v++) sum[t * V + v] =
            *(vec *)(out + t * p->out_row + v * p->out_panel);
    for (int i = 0; i < p->n_taps; i++) {
        const float *x = a + p->taps[i], *x8 = x + 8 * row, *x16 = x + 16 * row;

        if (!sums && T > 8)
            HIDE(x8);
        if (!sums && T > 16)
            HIDE(x16);
        for (int r = sums ? p->depth : p->depth / split; r > 0; r--, b += b_r) {
            vec col[4];

            UNROLL for (int v = 0; v < V; v++) col[v] = *(const vec *)(b + v * b_panel);
            UNROLL for (int t = 0; t < T; t++)
            {
                const float *from = sums ? x + t * row
                                         : (t < 8    ? x
                                            : t < 16 ? x8
                                                     : x16) +
                                               t % 8 * row;
                vec value = repeated(from, split);

                UNROLL for (int v = 0; v < V; v++) sum[t * V + v] += value * col[v];
            }
            x += r_step, x8 += r_step, x16 += r_step;
        }
        b += p->b_tap;
    }
    if (sums) {
        UNROLL for (int t = 0; t < T; t++) UNROLL for (int v = 0; v < V; v++) *
            (vec *)(out + t * p->out_row + v * p->out_panel) = sum[t * V + v];
        return;
    }
    if (split == 1 && cols == V * LANES) {
        put_whole(V, T, p, out, bias, sum);
        return;
    }
    UNROLL for (int i = 0; i < T * V; i++) * (vec *)(spill + i * LANES) = sum[i];
    put_tile(p, out, bias, spill, T, V, cols, split);
}

typedef void tile_function(const struct product *p, const float *a, const float *b, float *out,
                           int cols, const float *bias);

/* Every size of a tile is a function of its own, so that its sums are registers. */
#define DEFINE(name, sums, split, V, T)                                                            \
    static void name##_##split##_##V##_##T(const struct product *p, const float *a,                \
                                           const float *b, float *out, int cols,                   \
                                           const float *bias)                                      \
    {                                                                                              \
        tile(sums, split, V, T, p, a, b, out, cols, bias);                                         \
    }
#define BOTH(split, V, T)    DEFINE(rows, false, split, V, T) DEFINE(sums, true, split, V, T)
#define UP_TO_4(M, split, V) M(split, V, 1) M(split, V, 2) M(split, V, 3) M(split, V, 4)
#define UP_TO_6(M, split, V) UP_TO_4(M, split, V) M(split, V, 5) M(split, V, 6)
#define UP_TO_8(M, split, V) UP_TO_6(M, split, V) M(split, V, 7) M(split, V, 8)
#define UP_TO_12(M, split, V)                                                                      \
    UP_TO_8(M, split, V) M(split, V, 9) M(split, V, 10) M(split, V, 11) M(split, V, 12)
/* version 14 never ends changing these */
/* clang-format off */
#define UP_TO_18(M, split, V)                                                                      \
    UP_TO_12(M, split, V)                                                                          \
    M(split, V, 13) M(split, V, 14) M(split, V, 15) M(split, V, 16) M(split, V, 17)                \
        M(split, V, 18)
#define UP_TO_24(M, split, V)                                                                      \
    UP_TO_18(M, split, V)                                                                          \
    M(split, V, 19) M(split, V, 20) M(split, V, 21) M(split, V, 22) M(split, V, 23)                \
        M(split, V, 24)
/* clang-format on */
#define IN_ROWS(split, V, T) rows_##split##_##V##_##T,
#define IN_SUMS(split, V, T) sums_##split##_##V##_##T,

#if LANES >= 16
#define ALL_1 UP_TO_24
#define ALL_2 UP_TO_12
#define ALL_3 UP_TO_8
#define ALL_4 UP_TO_6
#else
#define ALL_1 UP_TO_12
#define ALL_2 UP_TO_6
#define ALL_3 UP_TO_4
#endif

ALL_1(BOTH, 1, 1)
ALL_2(BOTH, 1, 2)
ALL_3(BOTH, 1, 3)
#if MOST_4 > 0
ALL_4(BOTH, 1, 4)
ALL_1(BOTH, 4, 1)
#endif
ALL_1(BOTH, 2, 1)

/* [sums][vectors - 1][rows - 1] */
static tile_function *const full[2][4][MOST_1] = {
    {{ALL_1(IN_ROWS, 1, 1)},
     {ALL_2(IN_ROWS, 1, 2)},
     {ALL_3(IN_ROWS, 1, 3)},
#if MOST_4 > 0
     {ALL_4(IN_ROWS, 1, 4)}
#endif
    },
    {{ALL_1(IN_SUMS, 1, 1)},
     {ALL_2(IN_SUMS, 1, 2)},
     {ALL_3(IN_SUMS, 1, 3)},
#if MOST_4 > 0
     {ALL_4(IN_SUMS, 1, 4)}
#endif
    },
};

/* [sums][split of 4][rows - 1] */
static tile_function *const narrow[2][2][MOST_SPLIT] = {
    {{ALL_1(IN_ROWS, 2, 1)},
#if MOST_4 > 0
     {ALL_1(IN_ROWS, 4, 1)}
#endif
    },
    {{ALL_1(IN_SUMS, 2, 1)},
#if MOST_4 > 0
     {ALL_1(IN_SUMS, 4, 1)}
#endif
    },
};

/* Panels of one width, the same for all. */
struct block {
    int vecs, split, cols;
    const float *a, *b, *bias;
    float *out;
};

/* ---- few weights ------------------------------------------------------------------------------------------- */

#if REGISTERS >= 32 && LANES == 16
/* All of a panel's weights fit into registers, so that rows can be done a few at a time: what is read of them, and what is
 * written, comes evenly, not in bursts of 24 lines of the cache. The sums are those of tile(). */
INLINE int kept(const int depth, const struct product *p, const float *a, const float *b,
                float *out, const float *bias, int rows)
{
    enum { T = 8 }; /* as many sums as hide the time of a multiply-add */
    vec weight[16], sum[T];
    int row = 0;

    a += p->taps[0];
    UNROLL for (int r = 0; r < depth; r++) weight[r] = *(const vec *)(b + r * p->b_r);
    for (; row + T <= rows; row += T, a += T * p->a_row, out += T * p->out_row) {
        UNROLL for (int t = 0; t < T; t++) sum[t] = (vec){0};
        UNROLL for (int r = 0; r < depth; r++) UNROLL for (int t = 0; t < T; t++) sum[t] +=
            a[t * p->a_row + r] * weight[r];
        put_whole(1, T, p, out, bias, sum);
    }
    return row;
}

typedef int kept_function(const struct product *p, const float *a, const float *b, float *out,
                          const float *bias, int rows);

#define DEFINE_KEPT(depth)                                                                         \
    static int kept_##depth(const struct product *p, const float *a, const float *b, float *out,   \
                            const float *bias, int rows)                                           \
    {                                                                                              \
        return kept(depth, p, a, b, out, bias, rows);                                              \
    }
DEFINE_KEPT(8)
DEFINE_KEPT(12)
DEFINE_KEPT(16)

/* NULL: none was made for these. */
static kept_function *kept_of(const struct product *p, const struct block *b)
{
    if (b->split > 1 || b->vecs > 1 || b->cols < LANES)
        return NULL;
    switch (p->n_taps == 1 ? p->depth : 0) {
    case 8: return kept_8;
    case 12: return kept_12;
    case 16: return kept_16;
    default: return NULL;
    }
}
#endif

/* ---- tiles side by side ----------------------------------------------------------------------------------- */

/* Vectors of the next tile, of `left`: few rows want many, three are better than two and one. */
static int next_width(int rows, int left)
{
    if (left <= 3)
        return left;
    return MOST_4 > 0 && rows <= MOST_4 ? 4 : (left % 2 == 1 ? 3 : 2);
}

static int most_rows(int vecs)
{
    static const int most[] = {MOST_1, MOST_2, MOST_3, MOST_4};

    return most[vecs - 1];
}

/* Rows in tiles of nearly equal height. */
static void run(const bool sums, const struct product *p, int rows, const struct block *b)
{
    int most = b->split > 1 ? MOST_SPLIT : most_rows(b->vecs), at = 0, n_tiles;
    tile_function *const *f = b->split > 1 ? narrow[sums][b->split == 4] : full[sums][b->vecs - 1];
    ptrdiff_t row = sums ? b->split : p->a_row;

#if REGISTERS >= 32 && LANES == 16
    if (!sums && kept_of(p, b) != NULL)
        at = kept_of(p, b)(p, b->a, b->b, b->out, b->bias, rows);
#endif
    for (n_tiles = (rows - at + most - 1) / most; n_tiles > 0; n_tiles--) {
        int n = n_tiles == 1 ? rows - at : (rows - at + n_tiles - 1) / n_tiles;

        f[n - 1](p, b->a + at * row, b->b, b->out + at * p->out_row, b->cols, b->bias);
        at += n;
    }
}

static struct block block_of(const struct product *p, int i, int first, int split)
{
    struct block b = {.split = split,
                      .a = p->a + i * p->a_next,
                      .b = p->b + i * p->b_next + first * p->b_panel + p->skip / split * p->b_r,
                      .out = p->out + i * p->out_next + first * p->out_panel};

    b.bias = p->bias != NULL ? p->bias + first * LANES : NULL;
    return b;
}

void ISA(product_rows)(const struct product *p, int rows, int k, int c)
{
    int split = split_of(k, c), panels = split > 1 ? k / LANES : panels_of(k);

    for (int i = 0; i < p->n; i++) {
        for (int first = 0; first < panels;) {
            struct block b = block_of(p, i, first, 1);

            b.vecs = next_width(rows, panels - first);
            b.cols = k - first * LANES;
            b.cols = b.cols < b.vecs * LANES ? b.cols : b.vecs * LANES;
            run(false, p, rows, &b);
            first += b.vecs;
        }
        if (split > 1) {
            struct block b = block_of(p, i, panels, split);

            b.vecs = 1;
            b.cols = k - panels * LANES;
            run(false, p, rows, &b);
        }
    }
}

void ISA(product_sums)(const struct product *p, int rows, int panels, int split)
{
    for (int i = 0; i < p->n; i++)
        for (int first = 0; first < panels;) {
            struct block b = block_of(p, i, first, split);

            b.vecs = next_width(rows, panels - first);
            run(true, p, rows / split, &b);
            first += b.vecs;
        }
}
