/* kernels_pool.c - max and average pools, for one instruction set.
 *
 * A pool does the same to every channel, so neighbouring output pixels whose windows are inside the image are, at stride
 * 1, one run of floats, whatever c is; elsewhere a run is a pixel's channels. A run is walked by the widest vector that
 * it fills; where it does not end with one, the last vector ends where the run does, over values done already.
 */
#include "kernels_isa.h"

#include <string.h>

/* The part of a window that is inside the image: taps [first, last) along one side. */
INLINE void inside(int *first, int *last, int at, int taps, int step, int side)
{
    *first = at < 0 ? (-at + step - 1) / step : 0;
    *last = at + (taps - 1) * step < side ? taps : (side - at + step - 1) / step;
    if (*last < *first)
        *last = *first;
}

/* The taps of a run: nothing is outside. Steps are floats of the image. */
struct taps {
    int ni, nj;
    ptrdiff_t row, col;
};

/* For vectors of `lanes` floats, or single floats: the runs' bodies. argmax NULL: not wanted. */
#define BODIES(lanes)                                                                              \
    typedef float floats##lanes __attribute__((vector_size(4 * (lanes)), aligned(4), may_alias));  \
    typedef int32_t ints##lanes __attribute__((vector_size(4 * (lanes)), aligned(4), may_alias));  \
    INLINE void max_##lanes(float *y, int32_t *argmax, const float *x, int32_t at,                 \
                            const struct taps *t, const int ni, const int nj)                      \
    {                                                                                              \
        floats##lanes best = *(const floats##lanes *)x;                                            \
        ints##lanes where = at - (ints##lanes){0}, index = {0};                                    \
                                                                                                   \
        for (int i = 0; i < ni; i++)                                                               \
            for (int j = 0; j < nj; j++) {                                                         \
                ptrdiff_t off = i * t->row + j * t->col;                                           \
                floats##lanes value = *(const floats##lanes *)(x + off);                           \
                ints##lanes more = value > best;                                                   \
                                                                                                   \
                best = (floats##lanes)(((ints##lanes)value & more) | ((ints##lanes)best & ~more)); \
                if (argmax != NULL)                                                                \
                    where = (((int32_t)off + at) & more) | (where & ~more);                        \
            }                                                                                      \
        *(floats##lanes *)y = best;                                                                \
        for (int i = 0; i < (lanes); i++)                                                          \
            index[i] = i;                                                                          \
        if (argmax != NULL)                                                                        \
            *(ints##lanes *)argmax = where + index;                                                \
    }                                                                                              \
    INLINE void avg_##lanes(float *y, const float *x, float scale, const struct taps *t,           \
                            const int ni, const int nj)                                            \
    {                                                                                              \
        floats##lanes sum = {0};                                                                   \
                                                                                                   \
        for (int i = 0; i < ni; i++)                                                               \
            for (int j = 0; j < nj; j++)                                                           \
                sum += *(const floats##lanes *)(x + i * t->row + j * t->col);                      \
        *(floats##lanes *)y = sum * scale;                                                         \
    }

BODIES(4)
#if LANES >= 8
BODIES(8)
#endif
#if LANES >= 16
BODIES(16)
#endif

/* body(lanes, at) over n floats, at least one vector of them; the last may overlap the one before. */
#define STEPS(lanes, n, body)                                                                      \
    do {                                                                                           \
        ptrdiff_t at_ = 0;                                                                         \
                                                                                                   \
        for (; at_ + (lanes) <= (n); at_ += (lanes))                                               \
            body(lanes, at_);                                                                      \
        if (at_ < (n))                                                                             \
            body(lanes, (n) - (lanes));                                                            \
    } while (0)

INLINE void max_run_of(float *y, int32_t *argmax, const float *x, int32_t at, ptrdiff_t n,
                       const struct taps *t, const int ni, const int nj)
{
#define MAX(lanes, j)                                                                              \
    max_##lanes(y + (j), argmax != NULL ? argmax + (j) : NULL, x + at + (j), at + (int32_t)(j), t, \
                ni, nj)
#if LANES >= 16
    if (n >= 16) {
        STEPS(16, n, MAX);
        return;
    }
#endif
#if LANES >= 8
    if (n >= 8) {
        STEPS(8, n, MAX);
        return;
    }
#endif
    if (n >= 4) {
        STEPS(4, n, MAX);
        return;
    }
#undef MAX
    for (int32_t j = 0; j < n; j++) {
        int32_t best = at + j;

        for (int i = 0; i < ni; i++)
            for (int k = 0; k < nj; k++) {
                int32_t where = (int32_t)(at + j + i * t->row + k * t->col);

                if (x[where] > x[best])
                    best = where;
            }
        y[j] = x[best];
        if (argmax != NULL)
            argmax[j] = best;
    }
}

INLINE void avg_run_of(float *y, const float *x, float scale, ptrdiff_t n, const struct taps *t,
                       const int ni, const int nj)
{
#define AVG(lanes, j) avg_##lanes(y + (j), x + (j), scale, t, ni, nj)
#if LANES >= 16
    if (n >= 16) {
        STEPS(16, n, AVG);
        return;
    }
#endif
#if LANES >= 8
    if (n >= 8) {
        STEPS(8, n, AVG);
        return;
    }
#endif
    if (n >= 4) {
        STEPS(4, n, AVG);
        return;
    }
#undef AVG
    for (ptrdiff_t j = 0; j < n; j++) {
        float sum = 0;

        for (int i = 0; i < ni; i++)
            for (int k = 0; k < nj; k++)
                sum += x[j + i * t->row + k * t->col];
        y[j] = sum * scale;
    }
}

static void max_run(float *y, int32_t *argmax, const float *x, int32_t at, ptrdiff_t n,
                    const struct taps *t)
{
    if (t->ni == 3 && t->nj == 3 && argmax != NULL)
        max_run_of(y, argmax, x, at, n, t, 3, 3);
    else if (argmax != NULL)
        max_run_of(y, argmax, x, at, n, t, t->ni, t->nj);
    else
        max_run_of(y, NULL, x, at, n, t, t->ni, t->nj);
}

static void avg_run(float *y, const float *x, float scale, ptrdiff_t n, const struct taps *t)
{
    if (t->ni == 3 && t->nj == 3)
        avg_run_of(y, x, scale, n, t, 3, 3);
    else
        avg_run_of(y, x, scale, n, t, t->ni, t->nj);
}

/* Output pixels of a row that are one run: where its windows begin, and their taps that are inside. */
struct run {
    ptrdiff_t at; /* floats from the image's begin; meaningless without taps */
    int pixels;
    struct taps taps;
};

/* The run that begins with output pixel (oy, ox). */
static struct run run_at(const struct window *s, int oy, int ox)
{
    int y0 = oy * s->stride - s->pad_y, x0 = ox * s->stride - s->pad_x, i0, i1, j0, j1;
    struct run r = {.pixels = 1};

    inside(&i0, &i1, y0, s->kh, s->dilation, s->h);
    inside(&j0, &j1, x0, s->kw, s->dilation, s->w);
    r.taps.ni = i1 - i0;
    r.taps.nj = j1 - j0;
    r.taps.row = (ptrdiff_t)s->dilation * s->w * s->c;
    r.taps.col = (ptrdiff_t)s->dilation * s->c;
    r.at = ((ptrdiff_t)(y0 + i0 * s->dilation) * s->w + x0 + j0 * s->dilation) * s->c;
    if (s->stride == 1 && x0 >= 0) {
        int last = s->w - s->dilation * (s->kw - 1) - x0; /* windows that are inside from here */

        if (last > s->ow - ox)
            last = s->ow - ox;
        if (last > 1)
            r.pixels = last;
    }
    return r;
}

static void max_pool_forward(float *y, int32_t *argmax, const float *x, const struct window *s)
{
    ptrdiff_t in = (ptrdiff_t)s->h * s->w * s->c;

    for (int n = 0; n < s->n; n++, x += in)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow;) {
                struct run r = run_at(s, oy, ox);
                ptrdiff_t floats = (ptrdiff_t)r.pixels * s->c;

                if (r.taps.ni > 0 && r.taps.nj > 0) {
                    max_run(y, argmax, x, (int32_t)r.at, floats, &r.taps);
                } else {
                    memset(y, 0, (size_t)floats * sizeof *y);
                    if (argmax != NULL)
                        memset(argmax, -1, (size_t)floats * sizeof *argmax);
                }
                y += floats;
                argmax = argmax != NULL ? argmax + floats : NULL;
                ox += r.pixels;
            }
}

static void max_pool_backward(float *dx, const float *dy, const int32_t *argmax,
                              const struct window *s)
{
    size_t in = (size_t)s->h * (size_t)s->w * (size_t)s->c,
           out = (size_t)s->oh * (size_t)s->ow * (size_t)s->c;

    for (int n = 0; n < s->n; n++, dx += in, dy += out, argmax += out)
        for (size_t i = 0; i < out; i++)
            if (argmax[i] >= 0)
                dx[argmax[i]] += dy[i];
}

static float share_of(const struct run *r)
{
    int count = r->taps.ni * r->taps.nj;

    return count > 0 ? 1.0f / (float)count : 0;
}

static void avg_pool_forward(float *y, const float *x, const struct window *s)
{
    ptrdiff_t in = (ptrdiff_t)s->h * s->w * s->c;

    for (int n = 0; n < s->n; n++, x += in)
        for (int oy = 0; oy < s->oh; oy++)
            for (int ox = 0; ox < s->ow;) {
                struct run r = run_at(s, oy, ox);
                ptrdiff_t floats = (ptrdiff_t)r.pixels * s->c;

                if (r.taps.ni > 0 && r.taps.nj > 0)
                    avg_run(y, x + r.at, share_of(&r), floats, &r.taps);
                else
                    memset(y, 0, (size_t)floats * sizeof *y);
                y += floats;
                ox += r.pixels;
            }
}

/* to[0..n) += from. spread_row() has filled all that it passes, up to its last output column, which the analyzer does not
 * follow. */
INLINE void add(float *restrict to, const float *restrict from, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] += from[j]; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
}

INLINE void add_scaled(float *restrict to, const float *restrict from, float scale, ptrdiff_t n)
{
    for (ptrdiff_t j = 0; j < n; j++)
        to[j] += from[j] * scale;
}

/* A row of dy at stride 1: what each input column gets from it is summed once, then added to the window's rows. */
#define ROW_FLOATS 8192

static void spread_row(float *dx, const float *dy, const struct window *s, int oy)
{
    float shares[ROW_FLOATS], sums[ROW_FLOATS];
    ptrdiff_t c = s->c, width = (ptrdiff_t)s->w * c;
    struct run r = run_at(s, oy, 0);

    memset(sums, 0, (size_t)width * sizeof *sums);
    for (int ox = 0; ox < s->ow; ox += r.pixels) {
        float share;

        r = run_at(s, oy, ox);
        share = share_of(&r);
        for (ptrdiff_t j = ox * c; j < (ox + r.pixels) * c; j++)
            shares[j] = dy[j] * share;
    }
    for (int j = 0; j < s->kw; j++) {
        int shift = j * s->dilation - s->pad_x; /* input column of output column 0 */
        int first = shift < 0 ? -shift : 0, last = s->w - shift < s->ow ? s->w - shift : s->ow;

        if (last > first)
            add(sums + (first + shift) * c, shares + first * c, (last - first) * c);
    }
    for (int i = 0; i < s->kh; i++) {
        int y = oy + i * s->dilation - s->pad_y;

        if (y >= 0 && y < s->h)
            add(dx + y * width, sums, width);
    }
}

static void avg_pool_backward(float *dx, const float *dy, const struct window *s)
{
    ptrdiff_t in = (ptrdiff_t)s->h * s->w * s->c, row = (ptrdiff_t)s->ow * s->c;
    bool rows = s->stride == 1 && row <= ROW_FLOATS && (ptrdiff_t)s->w * s->c <= ROW_FLOATS;

    for (int n = 0; n < s->n; n++, dx += in)
        for (int oy = 0; oy < s->oh; oy++, dy += row) {
            if (rows) {
                spread_row(dx, dy, s, oy);
                continue;
            }
            for (int ox = 0; ox < s->ow;) {
                struct run r = run_at(s, oy, ox);
                float share = share_of(&r);

                for (int i = 0; i < r.taps.ni; i++)
                    for (int j = 0; j < r.taps.nj; j++)
                        add_scaled(dx + r.at + i * r.taps.row + j * r.taps.col,
                                   dy + (ptrdiff_t)ox * s->c, share, (ptrdiff_t)r.pixels * s->c);
                ox += r.pixels;
            }
        }
}

void ISA(kernels_pool)(struct kernels *table)
{
    table->max_pool_forward = max_pool_forward;
    table->max_pool_backward = max_pool_backward;
    table->avg_pool_forward = avg_pool_forward;
    table->avg_pool_backward = avg_pool_backward;
}
