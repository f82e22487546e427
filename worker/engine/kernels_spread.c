/* kernels_spread.c - the input gradient of depthwise 3x3 windows at stride 2, for one instruction set.
 *
 * It writes four times what it reads, and does next to nothing with it: so dx is written row by row from its first float to
 * its last, which is how a cache likes to be written, whatever the channels. A row of dx gets its gradient from one row of
 * dy, or from two. Of its pixels two neighbours are a pair: one that only tap 1 of dy's pixel o reaches, and the next one,
 * which tap 0 of pixel o + 1 and tap 2 of pixel o reach. As numbers, i counting the 2 c floats of a pair:
 *     dx[i] = dy[o c + i] (tap 1, tap 0)[i] + (i >= c: dy[o c + i - c] (tap 2)[i - c])
 * so that vectors need not end where a pixel ends: half a vector more (8, 24 channels) is a vector that does both.
 * What has no neighbour, at a row's ends, is done pixel by pixel.
 */
#include "kernels_conv.h"
#include "kernels_lanes.h"
#include "kernels_reach.h"

#include <string.h>

#define UNROLL     _Pragma("GCC unroll 8")
#define LOAD(from) (*(const vec *)(from))

enum {
    TAPS = 3,
    HALF_LANES = LANES / 2,
    MOST_KEPT = 4, /* vectors of a pair whose weights stay in registers */
};

/* Half a vector from memory, beside zeros. */
typedef float half __attribute__((vector_size(LANES * sizeof(float) / 2), aligned(4), may_alias));
#if LANES == 16
#define LOWER(h, z)                                                                                \
    __builtin_shufflevector(h, z, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#elif LANES == 8
#define LOWER(h, z) __builtin_shufflevector(h, z, 0, 1, 2, 3, 4, 5, 6, 7)
#else
#define LOWER(h, z) __builtin_shufflevector(h, z, 0, 1, 2, 3)
#endif

INLINE vec lower_half(const float *from)
{
    return LOWER(*(const half *)from, (half){0});
}

INLINE vec upper_half(const float *from)
{
    return LOWER((half){0}, *(const half *)from);
}

/* ---- weights -------------------------------------------------------------------------------------------------- */

bool ISA(spread_fits)(const struct window *s)
{
    return s->kh == TAPS && s->kw == TAPS && s->stride == 2 && s->dilation == 1 &&
           s->c % HALF_LANES == 0;
}

/* Channels of whole vectors. */
static inline int whole_of(int c)
{
    return c / LANES * LANES;
}

/* A row of taps, packed: tap 1, tap 0; then tap 2, behind as many zeros as it takes to begin with a vector of the pair. */
static inline ptrdiff_t second_of(int c)
{
    return 2 * c - whole_of(c);
}

static ptrdiff_t tap_of(int j, int c)
{
    const ptrdiff_t at[TAPS] = {c, 0, second_of(c) + c};

    return at[j];
}

static size_t row_size(int c)
{
    return TAPS * (size_t)((c + LANES - 1) / LANES) * LANES;
}

size_t ISA(spread_packed)(const struct window *s)
{
    return TAPS * row_size(s->c);
}

void ISA(spread_pack)(float *packed, const float *weight, const struct window *s)
{
    size_t c = (size_t)s->c;

    memset(packed, 0, TAPS * row_size(s->c) * sizeof *packed);
    for (int i = 0; i < TAPS; i++, packed += row_size(s->c))
        for (int j = 0; j < TAPS; j++, weight += c)
            memcpy(packed + tap_of(j, s->c), weight, c * sizeof *packed);
}

/* ---- pairs ---------------------------------------------------------------------------------------------------- */

/* What a row of dx is made of: rows of dy, of c channels, and the rows of taps that they are read at. */
struct sources {
    int n; /* 0, 1 or 2 */
    const float *dy[2], *weights[2];
};

/* A vector of a pair: channels of its first pixel, of the second one, or of the end and the beginning of these. */
enum part { FIRST, ACROSS, SECOND };

static inline enum part part_of(int i, int c)
{
    return i + LANES <= c ? FIRST : (i < c ? ACROSS : SECOND);
}

/* What a row of dy gives floats i, i + 1, ... of a pair. dy: its pixel o; last: there is no pixel o + 1. one, two: weights of
 * pixel o + i / c, and of pixel o for what is the second pixel's. */
INLINE vec pair_term(const enum part part, const bool last, const float *dy, ptrdiff_t i, int c,
                     vec one, vec two)
{
    vec sum;

    if (part == FIRST)
        return LOAD(dy + i) * one;
    if (part == ACROSS)
        sum = upper_half(dy) * two;
    else
        sum = LOAD(dy + i - c) * two;
    if (!last)
        sum += LOAD(dy + i) * one;
    else if (part == ACROSS)
        sum += lower_half(dy + i) * one;
    return sum;
}

INLINE vec pair_sum(const int rows, const enum part part, const bool last, const float *const dy[2],
                    ptrdiff_t i, int c, const vec one[2], const vec two[2])
{
    vec sum = pair_term(part, last, dy[0], i, c, one[0], two[0]);

    if (rows == 2)
        sum += pair_term(part, last, dy[1], i, c, one[1], two[1]);
    return sum;
}

INLINE void set(float *to, vec value, const bool add)
{
    if (add)
        value += LOAD(to);
    *(vec *)to = value;
}

/* All weights of a pair of few channels. */
struct kept {
    vec one[MOST_KEPT][2], two[MOST_KEPT][2];
};

INLINE void keep(struct kept *k, const int rows, const int c, const struct sources *s)
{
    UNROLL for (int v = 0; v < 2 * c / LANES; v++) UNROLL for (int r = 0; r < rows; r++)
    {
        k->one[v][r] = LOAD(s->weights[r] + v * LANES);
        if (part_of(v * LANES, c) != FIRST)
            k->two[v][r] = LOAD(s->weights[r] + second_of(c) + v * LANES);
    }
}

INLINE void pair_kept(const int rows, const bool last, const bool add, const int c, float *out,
                      const float *const dy[2], const struct kept *k)
{
    UNROLL for (int v = 0; v < 2 * c / LANES; v++) set(
        out + v * LANES,
        pair_sum(rows, part_of(v * LANES, c), last, dy, v * LANES, c, k->one[v], k->two[v]), add);
}

/* Vectors i, ... of one part, whose weights come from memory; returns where they end. */
INLINE int pair_part(const int rows, const enum part part, const bool last, const bool add, int i,
                     int end, float *out, const float *const dy[2], const float *const weights[2],
                     int c)
{
    const ptrdiff_t second = second_of(c);

    for (; i < end; i += LANES) {
        vec one[2], two[2];

        UNROLL for (int r = 0; r < rows; r++)
        {
            one[r] = LOAD(weights[r] + i);
            if (part != FIRST)
                two[r] = LOAD(weights[r] + second + i);
        }
        set(out + i, pair_sum(rows, part, last, dy, i, c, one, two), add);
    }
    return i;
}

INLINE void pair_any(const int rows, const bool last, const bool add, float *out,
                     const float *const dy[2], const float *const weights[2], int c)
{
    int i = pair_part(rows, FIRST, last, add, 0, whole_of(c), out, dy, weights, c);

    if (i < c)
        i = pair_part(rows, ACROSS, last, add, i, i + 1, out, dy, weights, c);
    pair_part(rows, SECOND, last, add, i, 2 * c, out, dy, weights, c);
}

/* The pairs of a row that are whole: of dy's pixels [from, to); last: and one more, of dy's last pixel. */
struct whole {
    int from, to;
    bool last;
};

/* kept: c is a constant. */
INLINE void pairs(const int rows, const bool add, const bool kept, int c, float *out,
                  const struct sources *s, const struct whole *p)
{
    const float *dy[2], *weights[2];
    struct kept k;

    UNROLL for (int r = 0; r < rows; r++)
    {
        dy[r] = s->dy[r] + (ptrdiff_t)p->from * c;
        weights[r] = s->weights[r];
    }
    if (kept)
        keep(&k, rows, c, s);
    for (int n = p->to - p->from; n > 0; n--, out += 2 * c) {
        if (kept)
            pair_kept(rows, false, add, c, out, dy, &k);
        else
            pair_any(rows, false, add, out, dy, weights, c);
        UNROLL for (int r = 0; r < rows; r++) dy[r] += c;
    }
    if (p->last && kept)
        pair_kept(rows, true, add, c, out, dy, &k);
    else if (p->last)
        pair_any(rows, true, add, out, dy, weights, c);
}

#define PAIRS(kept, c)                                                                             \
    do {                                                                                           \
        if (s->n == 1 && add)                                                                      \
            pairs(1, true, kept, c, out, s, p);                                                    \
        else if (s->n == 1)                                                                        \
            pairs(1, false, kept, c, out, s, p);                                                   \
        else if (add)                                                                              \
            pairs(2, true, kept, c, out, s, p);                                                    \
        else                                                                                       \
            pairs(2, false, kept, c, out, s, p);                                                   \
    } while (0)

static void run_pairs(float *out, bool add, const struct sources *s, const struct whole *p, int c)
{
    switch (c) {
    case HALF_LANES: PAIRS(true, HALF_LANES); break;
    case 2 * HALF_LANES: PAIRS(true, 2 * HALF_LANES); break;
    case 3 * HALF_LANES: PAIRS(true, 3 * HALF_LANES); break;
    case 4 * HALF_LANES: PAIRS(true, 4 * HALF_LANES); break;
    default: PAIRS(false, c); break;
    }
}

/* ---- rows ----------------------------------------------------------------------------------------------------- */

/* One pixel, whoever reaches it. */
static void single(float *out, bool add, const struct sources *s, const struct window *shape, int x)
{
    int c = shape->c, at = x + shape->pad_x;

    for (int c0 = 0; c0 < c; c0 += LANES) {
        struct lanes lanes = lanes_of(c - c0);
        vec sum = {0};

        for (int r = 0; r < s->n; r++)
            for (int j = at & 1; j < TAPS; j += 2) {
                int o = floor_div(at - j, 2);

                if (o >= 0 && o < shape->ow)
                    sum += load_lanes(s->dy[r] + (ptrdiff_t)o * c + c0, SOME, lanes) *
                           load_lanes(s->weights[r] + tap_of(j, c) + c0, SOME, lanes);
            }
        if (add)
            sum += load_lanes(out + c0, SOME, lanes);
        store_lanes(out + c0, sum, SOME, lanes);
    }
}

static struct whole whole_pairs(const struct window *s)
{
    int from = floor_div(s->pad_x, 2), to = floor_div(s->w - 1 + s->pad_x, 2);
    struct whole p = {.from = from > 0 ? from : 0};

    p.last = to >= s->ow && p.from < s->ow;
    p.to = to < s->ow ? to : s->ow - 1;
    if (p.to < p.from)
        p.to = p.from;
    return p;
}

static void spread_row(float *dx, bool add, const struct sources *s, const struct whole *p,
                       const struct window *shape)
{
    int n = p->to - p->from + p->last, c = shape->c, x = 0;
    int first = n > 0 ? 2 * p->from + 1 - shape->pad_x : shape->w; /* of a pair */

    for (; x < first; x++)
        single(dx + (ptrdiff_t)x * c, add, s, shape, x);
    if (n > 0)
        run_pairs(dx + (ptrdiff_t)x * c, add, s, p, c);
    for (x += 2 * n; x < shape->w; x++)
        single(dx + (ptrdiff_t)x * c, add, s, shape, x);
}

static void find_sources(struct sources *all, const struct window *s, const float *dy,
                         const float *packed, int y)
{
    int at = y + s->pad_y;

    all->n = 0;
    for (int i = at & 1; i < TAPS; i += 2) {
        int o = floor_div(at - i, 2);

        if (o < 0 || o >= s->oh)
            continue;
        all->dy[all->n] = dy + (ptrdiff_t)o * s->ow * s->c;
        all->weights[all->n++] = packed + (size_t)i * row_size(s->c);
    }
}

void ISA(spread)(float *dx, bool add, const float *dy, const float *packed, const struct window *s)
{
    ptrdiff_t row = (ptrdiff_t)s->w * s->c;
    struct whole pairs = whole_pairs(s);
    struct sources from;

    for (int i = 0; i < s->n; i++, dy += (ptrdiff_t)s->oh * s->ow * s->c)
        for (int y = 0; y < s->h; y++, dx += row) {
            find_sources(&from, s, dy, packed, y);
            if (from.n > 0)
                spread_row(dx, add, &from, &pairs, s);
            else if (!add)
                memset(dx, 0, (size_t)row * sizeof *dx);
        }
}
