/* kernels_norm.c - batch norm in parts, for one instruction set. Rows are pixels, columns channels.
 *
 * Few channels fill no vector, so as many pixels as fill some are taken as one wide row: column i is channel i % c, and the
 * sums of columns are added up at the end. Rows are walked in tiles of a few vectors of columns, whose sums and
 * coefficients stay in registers. Sums are float32 over CHUNK rows and float64 from there, and of distances from a centre
 * near the mean, so that a large mean takes no digits from the variance.
 */
#include "kernels_act.h"

#include <math.h>
#include <string.h>

#define TILE_VECS 4
#define CHUNK     64
#define SAMPLE    64 /* pixels that say where the centre is */

static int common_divisor(int a, int b)
{
    while (b > 0) {
        int rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Columns of a wide row: c, or as often as fills TILE_VECS vectors, or one pixel where that would be too much. */
static int width_of(int c)
{
    int whole = c / common_divisor(c, LANES) * LANES, copies;

    if (whole > 8 * TILE_VECS * LANES)
        return c;
    copies = TILE_VECS * LANES / whole;
    return copies > 1 ? whole * copies : whole;
}

/* Floats of an array of columns: a vector may be read whole. */
static size_t padded(int width)
{
    return (size_t)(width + LANES - 1) / LANES * LANES;
}

static size_t norm_bytes(int c)
{
    size_t n = padded(width_of(c));

    return n * (2 * sizeof(double) + 7 * sizeof(float));
}

static struct norm norm_at(void *state, int c)
{
    size_t n = padded(width_of(c));
    double *sums = state;
    float *f = (float *)(void *)(sums + 2 * n);
    struct norm norm = {.c = c,
                        .width = width_of(c),
                        .sum = sums,
                        .square = sums + n,
                        .centre = f,
                        .scale = f + n,
                        .shift = f + 2 * n,
                        .inv_std = f + 3 * n,
                        .k0 = f + 4 * n,
                        .k1 = f + 5 * n,
                        .k2 = f + 6 * n};

    return norm;
}

/* The channels' values to every column. */
static void repeat(float *a, const struct norm *n)
{
    for (int i = n->c; i < n->width; i++)
        a[i] = a[i - n->c];
    for (size_t i = (size_t)n->width; i < padded(n->width); i++)
        a[i] = 0;
}

static void fold(double *a, const struct norm *n)
{
    for (int i = n->c; i < n->width; i++)
        a[i % n->c] += a[i];
}

static void clear_sums(const struct norm *n)
{
    memset(n->sum, 0, padded(n->width) * sizeof *n->sum);
    memset(n->square, 0, padded(n->width) * sizeof *n->square);
}

/* ---- rows --------------------------------------------------------------------------------------------- */

/* `count` rows of `width` columns, `pitch` floats apart; cols < LANES of the one vector of columns are real, or vecs
 * whole ones. */
struct rows {
    size_t count, pitch;
};

#define LOAD(from) (partial ? load_some((from), cols) : *(const vec *)(from))
#define STORE(to, v)                                                                               \
    do {                                                                                           \
        if (partial)                                                                               \
            store_some((to), (v), cols);                                                           \
        else                                                                                       \
            *(vec *)(to) = (v);                                                                    \
    } while (0)
/* Past the caches, of whole aligned vectors: what is written will not be read for long, and need not be fetched first. */
INLINE void store_past(float *to, vec v)
{
#if defined(__AVX512F__)
    _mm512_stream_ps(to, (__m512)v);
#elif defined(__AVX__)
    _mm256_stream_ps(to, (__m256)v);
#elif defined(__SSE2__)
    _mm_stream_ps(to, (__m128)v);
#else
    *(vec *)to = v;
#endif
}

/* What went past the caches is there. */
static void fence(void)
{
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* Memory is asked for what is needed a page from now: at the end of each the processor's own foresight ends. */
#define AHEAD 1024

INLINE void ask_ahead(const float *x)
{
    __builtin_prefetch(x + AHEAD, 0, 2);
}

#define EACH(v) _Pragma("GCC unroll 4") for (int v = 0; v < vecs; v++)

/* Calls TILE(vecs, partial, cols, first column) over all columns. */
#define WALK(width, TILE)                                                                          \
    do {                                                                                           \
        int i_ = 0;                                                                                \
        for (; i_ + 4 * LANES <= (width); i_ += 4 * LANES)                                         \
            TILE(4, false, 0, i_);                                                                 \
        if (i_ + 3 * LANES <= (width)) {                                                           \
            TILE(3, false, 0, i_);                                                                 \
            i_ += 3 * LANES;                                                                       \
        } else if (i_ + 2 * LANES <= (width)) {                                                    \
            TILE(2, false, 0, i_);                                                                 \
            i_ += 2 * LANES;                                                                       \
        } else if (i_ + LANES <= (width)) {                                                        \
            TILE(1, false, 0, i_);                                                                 \
            i_ += LANES;                                                                           \
        }                                                                                          \
        if (i_ < (width))                                                                          \
            TILE(1, true, (size_t)((width)-i_), i_);                                               \
    } while (0)

static void add_up(double *to, const float *part, int n)
{
    for (int i = 0; i < n; i++)
        to[i] += (double)part[i];
}

INLINE void moments_tile(const int vecs, const bool partial, size_t cols, const struct norm *n,
                         int at, float *y, bool past, const float *x, struct rows rows)
{
    vec centre[TILE_VECS];

    EACH(v) centre[v] = *(const vec *)(n->centre + at + v * LANES);
    x += at;
    y = y != NULL ? y + at : NULL;
    for (size_t done = 0; done < rows.count; done += CHUNK) {
        size_t end = rows.count - done < CHUNK ? rows.count - done : CHUNK;
        vec sum[TILE_VECS], square[TILE_VECS];

        EACH(v) sum[v] = square[v] = (vec){0};
        for (size_t r = 0; r < end; r++, x += rows.pitch) {
            EACH(v)
            {
                vec value = LOAD(x + v * LANES), d = value - centre[v];

                if (past && !partial)
                    store_past(y + v * LANES, value);
                else if (y != NULL)
                    STORE(y + v * LANES, value);

                if (partial) /* what is not there is at the centre */
                    d = load_some((const float *)&d, cols);
                sum[v] += d;
                square[v] += d * d;
            }
            y = y != NULL ? y + rows.pitch : NULL;
        }
        EACH(v)
        {
            add_up(n->sum + at + v * LANES, (const float *)&sum[v], LANES);
            add_up(n->square + at + v * LANES, (const float *)&square[v], LANES);
        }
    }
}

INLINE void forward_tile(const int vecs, const bool partial, size_t cols, const struct norm *n,
                         int at, float *y, const float *x, const enum act act, struct rows rows)
{
    vec centre[TILE_VECS], scale[TILE_VECS], shift[TILE_VECS];

    EACH(v)
    {
        centre[v] = *(const vec *)(n->centre + at + v * LANES);
        scale[v] = *(const vec *)(n->scale + at + v * LANES);
        shift[v] = *(const vec *)(n->shift + at + v * LANES);
    }
    x += at;
    y += at;
    for (size_t r = 0; r < rows.count; r++, x += rows.pitch, y += rows.pitch)
        EACH(v)
        {
            vec z = (LOAD(x + v * LANES) - centre[v]) * scale[v] + shift[v];

            ask_ahead(x + v * LANES);
            STORE(y + v * LANES, act_value(z, act));
        }
}

/* g (+)= dy act'(z); and the sums of g and g (x - centre). */
INLINE void backward_tile(const int vecs, const bool partial, size_t cols, const struct norm *n,
                          int at, float *g, bool add, bool past, const float *dy, const float *x,
                          const enum act act, bool sums, struct rows rows)
{
    vec centre[TILE_VECS], scale[TILE_VECS], shift[TILE_VECS];

    EACH(v)
    {
        centre[v] = *(const vec *)(n->centre + at + v * LANES);
        scale[v] = *(const vec *)(n->scale + at + v * LANES);
        shift[v] = *(const vec *)(n->shift + at + v * LANES);
    }
    x += at;
    dy += at;
    g = g != NULL ? g + at : NULL;
    for (size_t done = 0; done < rows.count; done += CHUNK) {
        size_t end = rows.count - done < CHUNK ? rows.count - done : CHUNK;
        vec sum[TILE_VECS], dot[TILE_VECS];

        EACH(v) sum[v] = dot[v] = (vec){0};
        for (size_t r = 0; r < end; r++, x += rows.pitch, dy += rows.pitch) {
            EACH(v)
            {
                vec d = LOAD(x + v * LANES) - centre[v], u = LOAD(dy + v * LANES);

                u = act_back(u, d * scale[v] + shift[v], act);
                if (add)
                    u += LOAD(g + v * LANES);
                if (past && !partial)
                    store_past(g + v * LANES, u);
                else if (g != NULL)
                    STORE(g + v * LANES, u);
                sum[v] += u;
                dot[v] += u * d; /* of a partial vector, u is 0 where nothing is */
            }
            g = g != NULL ? g + rows.pitch : NULL;
        }
        if (sums)
            EACH(v)
            {
                add_up(n->sum + at + v * LANES, (const float *)&sum[v], LANES);
                add_up(n->square + at + v * LANES, (const float *)&dot[v], LANES);
            }
    }
}

/* g where y lies between the ends of the activation, else 0; and the sums of g. */
INLINE void cut_tile(const int vecs, const bool partial, size_t cols, const struct norm *n, int at,
                     float *g, const float *y, const enum act act, struct rows rows)
{
    y += at;
    g += at;
    for (size_t done = 0; done < rows.count; done += CHUNK) {
        size_t end = rows.count - done < CHUNK ? rows.count - done : CHUNK;
        vec sum[TILE_VECS];

        EACH(v) sum[v] = (vec){0};
        for (size_t r = 0; r < end; r++, y += rows.pitch, g += rows.pitch)
            EACH(v)
            {
                vec u = LOAD(g + v * LANES);

                if (act != ACT_NONE) {
                    u = act_back(u, LOAD(y + v * LANES), act);
                    STORE(g + v * LANES, u);
                }
                sum[v] += u;
            }
        EACH(v) add_up(n->sum + at + v * LANES, (const float *)&sum[v], LANES);
    }
}

/* dx (+)= k0 g + k1 (x - centre) + k2 */
INLINE void input_tile(const int vecs, const bool partial, size_t cols, const struct norm *n,
                       int at, float *dx, bool add, const float *g, const float *x,
                       struct rows rows)
{
    vec centre[TILE_VECS], k0[TILE_VECS], k1[TILE_VECS], k2[TILE_VECS];

    EACH(v)
    {
        centre[v] = *(const vec *)(n->centre + at + v * LANES);
        k0[v] = *(const vec *)(n->k0 + at + v * LANES);
        k1[v] = *(const vec *)(n->k1 + at + v * LANES);
        k2[v] = *(const vec *)(n->k2 + at + v * LANES);
    }
    x += at;
    g += at;
    dx += at;
    for (size_t r = 0; r < rows.count; r++, x += rows.pitch, g += rows.pitch, dx += rows.pitch)
        EACH(v)
        {
            vec u = k0[v] * LOAD(g + v * LANES) + k1[v] * (LOAD(x + v * LANES) - centre[v]) + k2[v];

            ask_ahead(x + v * LANES);
            ask_ahead(g + v * LANES);
            if (add)
                u += LOAD(dx + v * LANES);
            STORE(dx + v * LANES, u);
        }
}

/* Whole rows first, then what is left of one: the same tiles over fewer columns. */
static struct rows whole_rows(const struct norm *n, size_t pixels, int *rest)
{
    size_t copies = (size_t)(n->width / n->c);
    struct rows rows = {pixels / copies, (size_t)n->width};

    *rest = (int)(pixels % copies) * n->c;
    return rows;
}

/* ---- forward ------------------------------------------------------------------------------------------- */

static void norm_begin(const struct norm *n, const float *x, size_t pixels)
{
    size_t some = pixels < SAMPLE ? pixels : SAMPLE;

    clear_sums(n);
    for (size_t p = 0; p < some; p++)
        for (int i = 0; i < n->c; i++)
            n->sum[i] += (double)x[p * (size_t)n->c + (size_t)i];
    for (int i = 0; i < n->c; i++) {
        n->centre[i] = (float)(n->sum[i] / (double)some);
        n->sum[i] = 0;
    }
    repeat(n->centre, n);
}

static bool is_aligned(const float *g, int width)
{
    return (uintptr_t)g % (LANES * sizeof(float)) == 0 && width % LANES == 0;
}

INLINE void moments_all(const struct norm *n, float *y, bool past, const float *x, size_t pixels)
{
    int rest;
    struct rows rows = whole_rows(n, pixels, &rest), last = {1, rows.pitch};
    size_t end = rows.count * rows.pitch;
    float *y_end = y != NULL ? y + end : NULL;

#define TILE_(vecs, partial, cols, at) moments_tile(vecs, partial, cols, n, at, y, past, x, rows)
#define LAST_(vecs, partial, cols, at)                                                             \
    moments_tile(vecs, partial, cols, n, at, y_end, false, x + end, last)
    WALK(n->width, TILE_);
    WALK(rest, LAST_);
#undef TILE_
#undef LAST_
}

static void norm_moments(const struct norm *n, float *copy, const float *x, size_t pixels)
{
    if (copy == NULL) {
        moments_all(n, NULL, false, x, pixels);
    } else {
        moments_all(n, copy, is_aligned(copy, n->width), x, pixels);
        fence();
    }
}

static void norm_coefficients(const struct norm *n, const float *gamma, const float *beta,
                              const struct norm_running *running, size_t pixels, float epsilon)
{
    fold(n->sum, n);
    fold(n->square, n);
    for (int i = 0; i < n->c; i++) {
        double count = (double)pixels, off = n->sum[i] / count;
        double mean = (double)n->centre[i] + off;
        double square = n->square[i] - off * n->sum[i], var;

        square = square < 0 ? 0 : square; /* rounding; a NaN stays one */
        var = square / count;
        n->centre[i] = (float)mean;
        n->inv_std[i] = (float)(1 / sqrt(var + (double)epsilon));
        n->scale[i] = (gamma != NULL ? gamma[i] : 1) * n->inv_std[i];
        /* the mean is a float64: what its rounding leaves is taken off here */
        n->shift[i] =
            (beta != NULL ? beta[i] : 0) + (float)((double)n->centre[i] - mean) * n->scale[i];
        running->mean[i] += running->momentum * (n->centre[i] - running->mean[i]);
        running->var[i] += running->momentum *
                           ((float)(pixels > 1 ? square / (count - 1) : var) - running->var[i]);
    }
    repeat(n->centre, n);
    repeat(n->scale, n);
    repeat(n->shift, n);
}

static void norm_infer(const struct norm *n, const float *gamma, const float *beta,
                       const struct norm_running *running, float epsilon)
{
    for (int i = 0; i < n->c; i++) {
        n->centre[i] = running->mean[i];
        n->scale[i] = (gamma != NULL ? gamma[i] : 1) / sqrtf(running->var[i] + epsilon);
        n->shift[i] = beta != NULL ? beta[i] : 0;
    }
    repeat(n->centre, n);
    repeat(n->scale, n);
    repeat(n->shift, n);
}

/* Every activation is its own code. */
#define EACH_ACT(act, CALL)                                                                        \
    switch (act) {                                                                                 \
    case ACT_NONE: CALL(ACT_NONE); break;                                                          \
    case ACT_RELU: CALL(ACT_RELU); break;                                                          \
    case ACT_RELU6: CALL(ACT_RELU6); break;                                                        \
    case ACT_SWISH: CALL(ACT_SWISH); break;                                                        \
    case ACT_H_SWISH: CALL(ACT_H_SWISH); break;                                                    \
    case ACT_SIGMOID: CALL(ACT_SIGMOID); break;                                                    \
    case ACT_H_SIGMOID: CALL(ACT_H_SIGMOID); break;                                                \
    }

INLINE void forward_all(const struct norm *n, float *y, const float *x, const enum act act,
                        size_t pixels)
{
    int rest;
    struct rows rows = whole_rows(n, pixels, &rest), last = {1, rows.pitch};
    size_t end = rows.count * rows.pitch;

#define TILE_(vecs, partial, cols, at) forward_tile(vecs, partial, cols, n, at, y, x, act, rows)
#define LAST_(vecs, partial, cols, at)                                                             \
    forward_tile(vecs, partial, cols, n, at, y + end, x + end, act, last)
    WALK(n->width, TILE_);
    WALK(rest, LAST_);
#undef TILE_
#undef LAST_
}

static void norm_forward(const struct norm *n, float *y, const float *x, enum act act,
                         size_t pixels)
{
#define CALL(a) forward_all(n, y, x, a, pixels)
    EACH_ACT(act, CALL)
#undef CALL
}

/* ---- backward ------------------------------------------------------------------------------------------ */

static void norm_backward_begin(const struct norm *n)
{
    clear_sums(n);
}

INLINE void backward_all(const struct norm *n, float *g, bool add, bool past, const float *dy,
                         const float *x, const enum act act, bool sums, size_t pixels)
{
    int rest;
    struct rows rows = whole_rows(n, pixels, &rest), last = {1, rows.pitch};
    size_t end = rows.count * rows.pitch;
    float *g_end = g != NULL ? g + end : NULL;

#define TILE_(vecs, partial, cols, at)                                                             \
    backward_tile(vecs, partial, cols, n, at, g, add, past, dy, x, act, sums, rows)
#define LAST_(vecs, partial, cols, at)                                                             \
    backward_tile(vecs, partial, cols, n, at, g_end, add, false, dy + end, x + end, act, sums, last)
    WALK(n->width, TILE_);
    WALK(rest, LAST_);
#undef TILE_
#undef LAST_
}

static void norm_backward(const struct norm *n, float *g, enum norm_put put, const float *dy,
                          const float *x, enum act act, bool sums, size_t pixels)
{
    bool past = put == NORM_PUT_PAST && g != NULL && is_aligned(g, n->width);

#define CALL(a) backward_all(n, g, put == NORM_ADD, past, dy, x, a, sums, pixels)
    EACH_ACT(act, CALL)
#undef CALL
    if (past)
        fence();
}

INLINE void cut_all(const struct norm *n, float *g, const float *y, const enum act act,
                    size_t pixels)
{
    int rest;
    struct rows rows = whole_rows(n, pixels, &rest), last = {1, rows.pitch};
    size_t end = rows.count * rows.pitch;

#define TILE_(vecs, partial, cols, at) cut_tile(vecs, partial, cols, n, at, g, y, act, rows)
#define LAST_(vecs, partial, cols, at)                                                             \
    cut_tile(vecs, partial, cols, n, at, g + end, y + end, act, last)
    WALK(n->width, TILE_);
    WALK(rest, LAST_);
#undef TILE_
#undef LAST_
}

/* An activation's output says which side of its kinks the input was on. */
static void norm_backward_cut(const struct norm *n, float *g, const float *y, enum act act,
                              size_t pixels)
{
    switch (act) {
    case ACT_RELU: cut_all(n, g, y, ACT_RELU, pixels); break;
    case ACT_RELU6: cut_all(n, g, y, ACT_RELU6, pixels); break;
    default: cut_all(n, g, g, ACT_NONE, pixels); break;
    }
}

/* dx = scale (g - mean(g) - xhat mean(g xhat)),  xhat = (x - mean) inv_std */
static void norm_backward_finish(const struct norm *n, float *dgamma, float *dbeta, size_t pixels)
{
    fold(n->sum, n);
    fold(n->square, n);
    for (int i = 0; i < n->c; i++) {
        double count = (double)pixels, s = (double)n->inv_std[i], scale = (double)n->scale[i];
        double xhat_dot = n->square[i] * s;

        if (dgamma != NULL)
            dgamma[i] += (float)xhat_dot;
        if (dbeta != NULL)
            dbeta[i] += (float)n->sum[i];
        n->k0[i] = n->scale[i];
        n->k1[i] = (float)(-scale * s * xhat_dot / count);
        n->k2[i] = (float)(-scale * n->sum[i] / count);
    }
    repeat(n->k0, n);
    repeat(n->k1, n);
    repeat(n->k2, n);
}

static void norm_backward_input(const struct norm *n, float *dx, bool add, const float *g,
                                const float *x, size_t pixels)
{
    int rest;
    struct rows rows = whole_rows(n, pixels, &rest), last = {1, rows.pitch};
    size_t end = rows.count * rows.pitch;

#define TILE_(vecs, partial, cols, at) input_tile(vecs, partial, cols, n, at, dx, add, g, x, rows)
#define LAST_(vecs, partial, cols, at)                                                             \
    input_tile(vecs, partial, cols, n, at, dx + end, add, g + end, x + end, last)
    WALK(n->width, TILE_);
    WALK(rest, LAST_);
#undef TILE_
#undef LAST_
}

void ISA(kernels_norm)(struct kernels *table)
{
    table->norm_bytes = norm_bytes;
    table->norm_at = norm_at;
    table->norm_begin = norm_begin;
    table->norm_moments = norm_moments;
    table->norm_coefficients = norm_coefficients;
    table->norm_infer = norm_infer;
    table->norm_forward = norm_forward;
    table->norm_backward_begin = norm_backward_begin;
    table->norm_backward = norm_backward;
    table->norm_backward_cut = norm_backward_cut;
    table->norm_backward_finish = norm_backward_finish;
    table->norm_backward_input = norm_backward_input;
}
