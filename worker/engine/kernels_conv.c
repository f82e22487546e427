/* kernels_conv.c - convolution, direct, for one instruction set (kernels_isa.h says which).
 *
 * The input is copied once into a zero-padded image in scratch, so that the inner loops have no borders. Weights are
 * packed into blocks of COLS output channels (the last one narrower), zero-filled: any channel count will do.
 * Forward: a tile of TILE output pixels x COLS channels is held in registers while the window is walked.
 * Input gradient: the same convolution over dy with mirrored, transposed weights, for each remainder of the rows and
 * columns modulo the stride (kernels_reach.h).
 * Weight gradient: a tile of TILE input channels x COLS output channels, while the pixels of one image are walked.
 */
#include "kernels_isa.h"
#include "kernels_reach.h"

#include <string.h>

#define VECS 2
#define COLS (VECS * LANES)

static inline int blocks_of(int k)
{
    return (k + COLS - 1) / COLS;
}

/* Floats in a packed row of block b: the last block is one vector wide when that is enough. */
static inline int block_width(int k, int b)
{
    return k - b * COLS <= LANES ? LANES : COLS;
}

/* One image with the border that the window reads: everything outside is zero. */
struct padded {
    int h, w, c;
};

static struct padded padded_input(const struct window *s)
{
    struct padded p = {(s->oh - 1) * s->stride + s->dilation * (s->kh - 1) + 1,
                       (s->ow - 1) * s->stride + s->dilation * (s->kw - 1) + 1, s->c};

    return p;
}

/* dy of the input gradient, with the border that the mirrored window reads. */
static struct padded padded_gradient(const struct window *s)
{
    struct padded p = {reach_size(s->h, s->pad_y, s->kh, s->dilation, s->stride),
                       reach_size(s->w, s->pad_x, s->kw, s->dilation, s->stride), s->k};

    return p;
}

static inline size_t padded_size(struct padded p)
{
    return (size_t)p.h * (size_t)p.w * (size_t)p.c;
}

static bool needs_padding(const struct window *s)
{
    struct padded p = padded_input(s);

    return s->pad_y != 0 || s->pad_x != 0 || p.h > s->h || p.w > s->w;
}

/* to (p.h, p.w, c) = from (h, w, c), whose pixel (0, 0) goes to (y0, x0) */
static void place_image(float *to, struct padded p, const float *from, int h, int w, int y0, int x0)
{
    size_t c = (size_t)p.c, row = (size_t)p.w * c;
    int first = x0 > 0 ? x0 : 0, skip = x0 < 0 ? -x0 : 0;
    int count = w - skip < p.w - first ? w - skip : p.w - first;

    if (count < 0)
        count = 0;
    if (first > p.w)
        first = p.w;
    for (int y = 0; y < p.h; y++, to += row) {
        if (y < y0 || y - y0 >= h) {
            memset(to, 0, row * sizeof *to);
            continue;
        }
        memset(to, 0, (size_t)first * c * sizeof *to);
        memcpy(to + (size_t)first * c, from + ((size_t)(y - y0) * (size_t)w + (size_t)skip) * c,
               (size_t)count * c * sizeof *to);
        memset(to + (size_t)(first + count) * c, 0, (size_t)(p.w - first - count) * c * sizeof *to);
    }
}

/* ---- packed weights -------------------------------------------------------------------------------- */

/* One dense convolution: `taps` offsets into a padded image, c channels in, k out. */
struct walk {
    const float *image;    /* padded */
    const ptrdiff_t *taps; /* in floats, from the first pixel of a window */
    int n_taps, c, k;      /* c: channels walked at each tap */
    ptrdiff_t pixel;       /* floats from one output pixel's window to the next */
};

/* packed[block][tap][ci][block_width] from weight (taps, c, k), whose rows of k begin `pitch` floats apart */
static void pack_forward(float *packed, const float *weight, const struct window *s, size_t pitch)
{
    int rows = s->kh * s->kw * s->c;

    for (int b = 0; b < blocks_of(s->k); b++) {
        int first = b * COLS, n = s->k - first < COLS ? s->k - first : COLS;
        int wide = block_width(s->k, b);

        for (int row = 0; row < rows; row++, packed += wide) {
            memcpy(packed, weight + (size_t)row * pitch + first, (size_t)n * sizeof *packed);
            memset(packed + n, 0, (size_t)(wide - n) * sizeof *packed);
        }
    }
}

/* packed[block][tap][ko][block_width] of the taps in reach, mirrored; their output channels are c of the weights */
static void pack_phase(float *packed, const float *weight, const struct window *s, size_t pitch,
                       const struct reach *v, const struct reach *u)
{
    size_t c = (size_t)s->c, k = (size_t)s->k;

    for (int b = 0; b < blocks_of(s->c); b++) {
        int first = b * COLS, n = s->c - first < COLS ? s->c - first : COLS;
        int wide = block_width(s->c, b);

        for (int i = v->n; i-- > 0;)
            for (int j = u->n; j-- > 0;) {
                int tap = (v->tap + i * v->step) * s->kw + u->tap + j * u->step;
                const float *from = weight + ((size_t)tap * c + (size_t)first) * pitch;

                for (size_t ko = 0; ko < k; ko++, packed += wide) {
                    for (int q = 0; q < n; q++)
                        packed[q] = from[(size_t)q * pitch + ko];
                    for (int q = n; q < wide; q++)
                        packed[q] = 0;
                }
            }
    }
}

/* ---- the inner loops -------------------------------------------------------------------------------- */

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));

/* to[0..n) = from, n < 2 * LANES: too short for a call */
INLINE void copy_short(float *restrict to, const float *restrict from, int n)
{
    int i = 0;

    for (; i + LANES <= n; i += LANES)
        *(vec *)(to + i) = *(const vec *)(from + i);
    for (; i + 4 <= n; i += 4)
        *(four *)(to + i) = *(const four *)(from + i);
    for (; i < n; i++)
        to[i] = from[i];
}

#if LANES >= 8
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));
#endif

/* The first n of a vector, n < LANES, by halves: a detour through memory would cost more than the sums. */
INLINE void put_part(float *out, vec sum, int n, const float *bias, bool add)
{
#if LANES >= 16
    eight e = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7);

    if (n >= 8) {
        if (bias != NULL)
            e += *(const eight *)bias;
        if (add)
            e += *(const eight *)out;
        *(eight *)out = e;
        e = __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
        out += 8, n -= 8;
        bias = bias != NULL ? bias + 8 : NULL;
    }
#elif LANES >= 8
    eight e = sum;
#endif
#if LANES >= 8
    four f = __builtin_shufflevector(e, e, 0, 1, 2, 3);
#else
    four f = sum;
#endif

#if LANES >= 8
    if (n >= 4) {
        if (bias != NULL)
            f += *(const four *)bias;
        if (add)
            f += *(const four *)out;
        *(four *)out = f;
        f = __builtin_shufflevector(e, e, 4, 5, 6, 7);
        out += 4, n -= 4;
        bias = bias != NULL ? bias + 4 : NULL;
    }
#endif
    for (int i = 0; i < n; i++) {
        float y = f[i] + (bias != NULL ? bias[i] : 0);

        out[i] = add ? out[i] + y : y;
    }
}

/* n output pixels x COLS channels; out rows are `stride_out` floats apart, `cols` of them are real. */
INLINE void tile(const int n, const int vecs, float *out, ptrdiff_t stride_out, int cols,
                 const float *bias, bool add, const struct walk *w, const float *image,
                 const float *packed)
{
    vec sum[TILE][VECS];

    for (int t = 0; t < n; t++)
        for (int v = 0; v < VECS; v++)
            sum[t][v] = (vec){0};
    for (int i = 0; i < w->n_taps; i++) {
        const float *x = image + w->taps[i];

        for (int ci = 0; ci < w->c; ci++, packed += vecs * LANES, x++) {
            vec col[VECS];

            for (int v = 0; v < vecs; v++)
                col[v] = *(const vec *)(packed + v * LANES);
            for (int t = 0; t < n; t++) {
                vec value = vec_all(x[t * w->pixel]);

                for (int v = 0; v < vecs; v++)
                    sum[t][v] += value * col[v];
            }
        }
    }
    for (int t = 0; t < n; t++, out += stride_out) {
        int v = 0;

        for (; (v + 1) * LANES <= cols; v++) {
            vec y = sum[t][v];

            if (bias != NULL)
                y += *(const vec *)(bias + v * LANES);
            if (add)
                y += *(vec *)(out + v * LANES);
            *(vec *)(out + v * LANES) = y;
        }
        if (v < vecs && v * LANES < cols)
            put_part(out + v * LANES, sum[t][v], cols - v * LANES,
                     bias != NULL ? bias + v * LANES : NULL, add);
    }
}

static void tiles(int n, int vecs, float *out, ptrdiff_t stride_out, int cols, const float *bias,
                  bool add, const struct walk *w, const float *image, const float *packed)
{
    /* Every tile height is its own code, so that its sums are registers. */
#define CASE(T)                                                                                    \
    case T:                                                                                        \
        if (vecs == 1)                                                                             \
            tile(T, 1, out, stride_out, cols, bias, add, w, image, packed);                        \
        else                                                                                       \
            tile(T, VECS, out, stride_out, cols, bias, add, w, image, packed);                     \
        break;
    switch (n) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if TILE > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
    default: break;
    }
#undef CASE
}

/* A row of n output pixels, in tiles of nearly equal length. */
static void row(int n, float *out, ptrdiff_t stride_out, int k, const float *bias, bool add,
                const struct walk *w, const float *image, const float *packed, int b)
{
    int n_tiles = (n + TILE - 1) / TILE, first = b * COLS,
        cols = k - first < COLS ? k - first : COLS;

    for (int i = 0, at = 0; i < n_tiles; i++) {
        int len = (n - at + n_tiles - i - 1) / (n_tiles - i);

        tiles(len, block_width(k, b) / LANES, out + at * stride_out + first, stride_out, cols,
              bias != NULL ? bias + first : NULL, add, w, image + at * w->pixel, packed);
        at += len;
    }
}

static size_t round_up(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static bool is_depthwise(const struct window *s)
{
    return s->groups > 1 && s->groups == s->c && s->k == s->c;
}

/* Floats of packed weights (rows, k), and of sums of their gradient. */
static size_t packed_size(const struct window *s, int c, int k)
{
    return (size_t)(s->kh * s->kw) * (size_t)c * (size_t)blocks_of(k) * COLS;
}

static size_t taps_size(const struct window *s)
{
    return round_up((size_t)(s->kh * s->kw) * (sizeof(ptrdiff_t) / sizeof(float)) + 8);
}

static size_t dense_scratch(const struct window *s)
{
    size_t image = padded_size(padded_input(s)), gradient = padded_size(padded_gradient(s));
    size_t columns = (size_t)(s->oh * s->ow) * (size_t)blocks_of(s->k) * COLS;

    image = round_up(image) + round_up(columns) + 64;
    gradient = round_up(gradient) + taps_size(s);
    return (image > gradient ? image : gradient) + taps_size(s);
}

static void fill_taps(ptrdiff_t *taps, const struct window *s, struct padded p)
{
    for (int i = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j++)
            *taps++ = ((ptrdiff_t)i * p.w + j) * s->dilation * p.c;
}

/* A pixel is a row of a matrix: images need no telling apart. */
static bool is_pointwise(const struct window *s)
{
    return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad_y == 0 && s->pad_x == 0 &&
           s->oh == s->h && s->ow == s->w;
}

/* A few images as one long row of pixels, few enough to stay in the cache while output channels are walked. */
static struct window long_row(const struct window *s, int first)
{
    struct window row = *s;
    int pixels = s->h * s->w, values = pixels * (s->c > s->k ? s->c : s->k);
    int images = values < 32768 ? 32768 / values : 1;

    if (images > s->n - first)
        images = s->n - first;
    row.n = 1;
    row.h = row.oh = 1;
    row.w = row.ow = images * pixels;
    return row;
}

/* Scratch is taken from the front: first the taps, then weights, then the image. */
static void conv_forward_dense(float *y, const float *x, const float *packed, const float *bias,
                               const struct window *s, float *scratch)
{
    struct padded p = padded_input(s);
    size_t n_taps = (size_t)s->kh * (size_t)s->kw;
    ptrdiff_t *taps = (ptrdiff_t *)(((uintptr_t)scratch + 15) & ~(uintptr_t)15);
    float *image = scratch + taps_size(s);
    bool pad = needs_padding(s);
    size_t block = n_taps * (size_t)s->c * COLS;
    struct walk w = {.taps = taps,
                     .n_taps = (int)n_taps,
                     .c = s->c,
                     .k = s->k,
                     .pixel = (ptrdiff_t)s->stride * s->c};

    if (is_pointwise(s) && s->h > 1) {
        for (int i = 0; i < s->n;) {
            struct window all = long_row(s, i);

            conv_forward_dense(y, x, packed, bias, &all, scratch);
            x += (size_t)all.w * (size_t)s->c;
            y += (size_t)all.w * (size_t)s->k;
            i += all.w / (s->h * s->w);
        }
        return;
    }
    if (!pad)
        p.w = s->w;
    fill_taps(taps, s, p);
    for (int i = 0; i < s->n; i++) {
        const float *in = x + (size_t)i * (size_t)s->h * (size_t)s->w * (size_t)s->c;
        float *out = y + (size_t)i * (size_t)s->oh * (size_t)s->ow * (size_t)s->k;

        if (pad) {
            place_image(image, p, in, s->h, s->w, s->pad_y, s->pad_x);
            in = image;
        }
        for (int b = 0; b < blocks_of(s->k); b++)
            for (int oy = 0; oy < s->oh; oy++)
                row(s->ow, out + (size_t)oy * (size_t)s->ow * (size_t)s->k, s->k, s->k, bias, false,
                    &w, in + (ptrdiff_t)oy * s->stride * p.w * s->c, packed + (size_t)b * block, b);
    }
}

/* The input pixels (a + stride y, b + stride x): v and u say which taps reach them. */
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

/* Floats of a block of packed weights. */
static size_t phase_block(const struct phase *p, const struct window *s)
{
    return (size_t)(p->v.n * p->u.n) * (size_t)s->k * COLS;
}

/* Nothing of dy reaches these pixels. */
static void clear_phase(float *dx, const struct phase *p, const struct window *s)
{
    for (int y = p->a; y < s->h; y += s->stride)
        for (int x = p->b; x < s->w; x += s->stride)
            memset(dx + ((ptrdiff_t)y * s->w + x) * s->c, 0, (size_t)s->c * sizeof *dx);
}

static void run_phase(float *dx, bool add, const struct phase *p, const struct window *s,
                      const float *image, int image_w, const float *packed, ptrdiff_t *taps)
{
    struct walk w = {.taps = taps, .n_taps = p->v.n * p->u.n, .c = s->k, .k = s->c, .pixel = s->k};
    int n = (s->w - p->b + s->stride - 1) / s->stride;

    if (w.n_taps == 0) {
        if (!add)
            clear_phase(dx, p, s);
        return;
    }
    for (int i = p->v.n; i-- > 0;)
        for (int j = p->u.n; j-- > 0;)
            *taps++ =
                ((ptrdiff_t)(p->v.at - i * p->v.back) * image_w + p->u.at - j * p->u.back) * s->k;
    for (int b = 0; b < blocks_of(s->c); b++)
        for (int y = p->a, row_at = 0; y < s->h; y += s->stride, row_at++)
            row(n, dx + ((ptrdiff_t)y * s->w + p->b) * s->c, (ptrdiff_t)s->stride * s->c, s->c,
                NULL, add, &w, image + (ptrdiff_t)row_at * image_w * s->k,
                packed + (size_t)b * phase_block(p, s), b);
}

#define EACH_PHASE(s)                                                                              \
    for (int a = 0; a < (s)->stride && a < (s)->h; a++)                                            \
        for (int b = 0; b < (s)->stride && b < (s)->w; b++)

/* packed[phase] as pack_phase() leaves it */
static void pack_backward(float *packed, const float *weight, const struct window *s, size_t pitch)
{
    EACH_PHASE(s)
    {
        struct phase phase = phase_of(s, a, b);

        pack_phase(packed, weight, s, pitch, &phase.v, &phase.u);
        packed += phase_block(&phase, s) * (size_t)blocks_of(s->c);
    }
}

static void conv_backward_input_dense(float *dx, bool add, const float *dy, const float *packed,
                                      const struct window *s, float *scratch)
{
    struct padded p = padded_gradient(s);
    ptrdiff_t *taps = (ptrdiff_t *)(((uintptr_t)scratch + 15) & ~(uintptr_t)15);
    float *image = scratch + taps_size(s);

    if (is_pointwise(s) && s->h > 1) {
        for (int i = 0; i < s->n;) {
            struct window all = long_row(s, i);

            conv_backward_input_dense(dx, add, dy, packed, &all, scratch);
            dx += (size_t)all.w * (size_t)s->c;
            dy += (size_t)all.w * (size_t)s->k;
            i += all.w / (s->h * s->w);
        }
        return;
    }
    for (int i = 0; i < s->n; i++) {
        const float *in = dy, *weights = packed;

        if (!is_pointwise(s)) {
            place_image(image, p, dy, s->oh, s->ow,
                        reach_border(s->pad_y, s->kh, s->dilation, s->stride),
                        reach_border(s->pad_x, s->kw, s->dilation, s->stride));
            in = image;
        }
        EACH_PHASE(s)
        {
            struct phase phase = phase_of(s, a, b);

            run_phase(dx, add, &phase, s, in, p.w, weights, taps);
            weights += phase_block(&phase, s) * (size_t)blocks_of(s->c);
        }
        dx += (size_t)s->h * (size_t)s->w * (size_t)s->c;
        dy += (size_t)s->oh * (size_t)s->ow * (size_t)s->k;
    }
}

/* ---- weight gradient --------------------------------------------------------------------------------- */

/* n input channels x COLS output channels of one tap, over all output pixels of one image. */
INLINE void weight_tile(const int n, const int vecs, float *dw, int k, int cols, const float *x,
                        const float *dy, int oh, int ow, ptrdiff_t x_pixel, ptrdiff_t x_row)
{
    vec sum[TILE][VECS];

    for (int t = 0; t < n; t++)
        for (int v = 0; v < VECS; v++)
            sum[t][v] = (vec){0};
    for (int oy = 0; oy < oh; oy++) {
        const float *in = x + oy * x_row;

        for (int ox = 0; ox < ow; ox++, in += x_pixel, dy += vecs * LANES) {
            vec col[VECS];

            for (int v = 0; v < vecs; v++)
                col[v] = *(const vec *)(dy + v * LANES);
            for (int t = 0; t < n; t++) {
                vec value = vec_all(in[t]);

                for (int v = 0; v < vecs; v++)
                    sum[t][v] += value * col[v];
            }
        }
    }
    for (int t = 0; t < n; t++, dw += k) {
        float spill[COLS] = {0};

        for (int v = 0; v < vecs; v++)
            *(vec *)(spill + v * LANES) = sum[t][v];
        for (int i = 0; i < cols; i++)
            dw[i] += spill[i];
    }
}

static void weight_tiles(int n, int vecs, float *dw, int k, int cols, const float *x,
                         const float *dy, int oh, int ow, ptrdiff_t x_pixel, ptrdiff_t x_row)
{
    /* Every tile height is its own code, so that its sums are registers. */
#define CASE(T)                                                                                    \
    case T:                                                                                        \
        if (vecs == 1)                                                                             \
            weight_tile(T, 1, dw, k, cols, x, dy, oh, ow, x_pixel, x_row);                         \
        else                                                                                       \
            weight_tile(T, VECS, dw, k, cols, x, dy, oh, ow, x_pixel, x_row);                      \
        break;
    switch (n) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
#if TILE > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
#endif
    default: break;
    }
#undef CASE
}

/* dy (pixels, k) into blocks of COLS channels, zero-filled: packed[block][pixel][block_width] */
static void pack_columns(float *packed, const float *dy, int pixels, int k)
{
    for (int b = 0; b < blocks_of(k); b++) {
        int first = b * COLS, n = k - first < COLS ? k - first : COLS, wide = block_width(k, b);

        for (int i = 0; i < pixels; i++, packed += wide) {
            copy_short(packed, dy + (size_t)i * (size_t)k + first, n);
            for (int j = n; j < wide; j++)
                packed[j] = 0;
        }
    }
}

static void conv_backward_weight_dense(float *dw, const float *dy, const float *x,
                                       const struct window *s, float *scratch)
{
    struct padded p = padded_input(s);
    int pixels = s->oh * s->ow, n_tiles = (s->c + TILE - 1) / TILE;
    float *columns = scratch,
          *image = scratch + round_up((size_t)pixels * (size_t)blocks_of(s->k) * COLS);
    bool pad = needs_padding(s);

    if (!pad)
        p.w = s->w;
    for (int i = 0; i < s->n; i++) {
        const float *in = x + (size_t)i * (size_t)s->h * (size_t)s->w * (size_t)s->c;

        pack_columns(columns, dy + (size_t)i * (size_t)pixels * (size_t)s->k, pixels, s->k);
        if (pad) {
            place_image(image, p, in, s->h, s->w, s->pad_y, s->pad_x);
            in = image;
        }
        for (int b = 0; b < blocks_of(s->k); b++) {
            int first = b * COLS, cols = s->k - first < COLS ? s->k - first : COLS;

            for (int tap = 0; tap < s->kh * s->kw; tap++) {
                ptrdiff_t at = ((ptrdiff_t)(tap / s->kw) * p.w + tap % s->kw) * s->dilation * s->c;

                for (int t = 0, ci = 0; t < n_tiles; t++) {
                    int len = (s->c - ci + n_tiles - t - 1) / (n_tiles - t);

                    weight_tiles(
                        len, block_width(s->k, b) / LANES,
                        dw + ((size_t)tap * (size_t)s->c + (size_t)ci) * (size_t)s->k + first, s->k,
                        cols, in + at + ci, columns + (size_t)b * (size_t)pixels * COLS, s->oh,
                        s->ow, (ptrdiff_t)s->stride * s->c, (ptrdiff_t)s->stride * p.w * s->c);
                    ci += len;
                }
            }
        }
    }
}

/* ---- groups: each as a dense convolution over gathered channels ------------------------------------------ */

static struct window one_group(const struct window *s)
{
    struct window g = *s;

    g.n = 1;
    g.groups = 1;
    g.c = s->c / s->groups;
    g.k = s->k / s->groups;
    return g;
}

/* (pixels, n of all) channels [first, first + n) to or from (pixels, n) */
static void gather(float *to, const float *from, size_t pixels, size_t all, size_t first, size_t n)
{
    for (size_t i = 0; i < pixels; i++)
        memcpy(to + i * n, from + i * all + first, n * sizeof *to);
}

static void scatter(float *to, const float *from, size_t pixels, size_t all, size_t first, size_t n,
                    bool add)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t j = 0; j < n; j++)
            to[i * all + first + j] = from[i * n + j] + (add ? to[i * all + first + j] : 0);
}

enum pass { FORWARD, INPUT, WEIGHT };

static size_t group_part(const struct window *g, enum conv_part part)
{
    switch (part) {
    case CONV_PACKED_FORWARD: return packed_size(g, g->c, g->k);
    case CONV_PACKED_INPUT: return packed_size(g, g->k, g->c);
    case CONV_SUMS: return (size_t)(g->kh * g->kw * g->c) * (size_t)g->k;
    case CONV_SCRATCH: break;
    }
    return dense_scratch(g);
}

/* One image, one group. weight: packed, or sums */
static void group_pass(enum pass pass, float *y, float *x, float *weight, const float *bias,
                       bool add, const struct window *s, size_t group, float *scratch)
{
    struct window g = one_group(s);
    size_t in = (size_t)(g.h * g.w), out = (size_t)(g.oh * g.ow), c = (size_t)g.c, k = (size_t)g.k;
    float *gx = scratch, *gy = gx + round_up(in * c), *rest = gy + round_up(out * k);

    if (pass != INPUT)
        gather(gx, x, in, (size_t)s->c, group * c, c);
    if (pass != FORWARD)
        gather(gy, y, out, (size_t)s->k, group * k, k);
    if (pass == FORWARD) {
        conv_forward_dense(gy, gx, weight, bias != NULL ? bias + group * k : NULL, &g, rest);
        scatter(y, gy, out, (size_t)s->k, group * k, k, false);
    } else if (pass == INPUT) {
        conv_backward_input_dense(gx, false, gy, weight, &g, rest);
        scatter(x, gx, in, (size_t)s->c, group * c, c, add);
    } else {
        conv_backward_weight_dense(weight, gy, gx, &g, rest);
    }
}

static void grouped(enum pass pass, float *y, float *x, float *weight, const float *bias, bool add,
                    const struct window *s, float *scratch)
{
    static const enum conv_part part[] = {CONV_PACKED_FORWARD, CONV_PACKED_INPUT, CONV_SUMS};
    struct window g = one_group(s);
    size_t in = (size_t)(s->h * s->w) * (size_t)s->c, out = (size_t)(s->oh * s->ow) * (size_t)s->k;

    for (size_t i = 0; i < (size_t)s->n; i++)
        for (size_t group = 0; group < (size_t)s->groups; group++)
            group_pass(pass, y + i * out, x + i * in, weight + group * group_part(&g, part[pass]),
                       bias, add, s, group, scratch);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static size_t conv_floats(const struct window *s, enum conv_part part)
{
    struct window g = one_group(s);
    size_t of_group = group_part(&g, part);

    if (is_depthwise(s))
        return ISA(depthwise_floats)(s, part);
    if (part != CONV_SCRATCH)
        return of_group * (size_t)s->groups;
    return s->groups == 1 ? of_group
                          : round_up((size_t)(g.h * g.w) * (size_t)g.c) +
                                round_up((size_t)(g.oh * g.ow) * (size_t)g.k) + of_group;
}

static void conv_pack(float *packed, const float *weight, const struct window *s,
                      enum conv_part part)
{
    struct window g = one_group(s);

    if (is_depthwise(s)) {
        ISA(depthwise_pack)(packed, weight, s, part);
        return;
    }
    for (int group = 0; group < s->groups; group++) {
        if (part == CONV_PACKED_FORWARD)
            pack_forward(packed, weight + group * g.k, &g, (size_t)s->k);
        else
            pack_backward(packed, weight + group * g.k, &g, (size_t)s->k);
        packed += group_part(&g, part);
    }
}

static void conv_forward(float *y, const float *x, const float *packed, const float *bias,
                         const struct window *s, float *scratch)
{
    if (is_depthwise(s))
        ISA(depthwise_forward)(y, x, packed, bias, s, scratch);
    else if (s->groups > 1)
        grouped(FORWARD, y, (float *)x, (float *)packed, bias, false, s, scratch); /* only read */
    else
        conv_forward_dense(y, x, packed, bias, s, scratch);
}

static void conv_backward_input(float *dx, bool add, const float *dy, const float *packed,
                                const struct window *s, float *scratch)
{
    if (is_depthwise(s))
        ISA(depthwise_backward_input)(dx, add, dy, packed, s, scratch);
    else if (s->groups > 1)
        grouped(INPUT, (float *)dy, dx, (float *)packed, NULL, add, s,
                scratch); /* dy, packed only read */
    else
        conv_backward_input_dense(dx, add, dy, packed, s, scratch);
}

static void conv_backward_weight(float *sums, float *dbias, const float *dy, const float *x,
                                 const struct window *s, float *scratch)
{
    if (dbias != NULL)
        for (size_t i = 0, n = (size_t)s->n * (size_t)s->oh * (size_t)s->ow; i < n; i++)
            for (int ch = 0; ch < s->k; ch++)
                dbias[ch] += dy[i * (size_t)s->k + (size_t)ch];
    if (is_depthwise(s))
        ISA(depthwise_backward_weight)(sums, dy, x, s, scratch);
    else if (s->groups > 1)
        grouped(WEIGHT, (float *)dy, (float *)x, sums, NULL, true, s,
                scratch); /* dy, x only read */
    else
        conv_backward_weight_dense(sums, dy, x, s, scratch);
}

static void conv_weight_finish(float *dw, const float *sums, const struct window *s, float *scratch)
{
    struct window g = one_group(s);
    size_t rows = (size_t)(g.kh * g.kw * g.c), k = (size_t)g.k;

    (void)scratch;
    if (is_depthwise(s)) {
        ISA(depthwise_finish)(dw, sums, s);
        return;
    }
    for (size_t group = 0; group < (size_t)s->groups; group++, sums += rows * k)
        scatter(dw, sums, rows, (size_t)s->k, group * k, k, true);
}

void ISA(kernels_conv)(struct kernels *table)
{
    table->conv_floats = conv_floats;
    table->conv_pack = conv_pack;
    table->conv_forward = conv_forward;
    table->conv_backward_input = conv_backward_input;
    table->conv_backward_weight = conv_backward_weight;
    table->conv_weight_finish = conv_weight_finish;
}
