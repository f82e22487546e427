/* kernels_conv.c - convolution, for one instruction set (kernels_isa.h says which).
 *
 * Every pass is a product whose tiles stay in registers (kernels_tile.h). Forward: rows are the windows of output pixels,
 * columns output channels. Weight gradient: rows are the inputs of a window, the sum goes over output pixels.
 * One image at a time is copied into scratch in such a form that a window's rows of taps are runs of floats and that
 * windows follow each other in even steps (struct view); with a stride only the windows at the sides are (struct middle);
 * 1x1 windows need no copy, and no telling images apart.
 * Input gradient: the convolution of dy with mirrored weights; with a stride, for each remainder of the rows and columns
 * modulo the stride (kernels_reach.h). 3x3 windows with many channels go to kernels_winograd.c, or by 2 to kernels_by_2.c and
 * kernels_by_2_weight.c, depthwise ones to kernels_depthwise.c; groups are done one by one over gathered channels.
 */
#include "kernels_conv.h"
#include "kernels_reach.h"
#include "kernels_tile.h"

#include <math.h>
#include <string.h>

static size_t round_up(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static int smaller(int a, int b)
{
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* ---- images as the product reads them ------------------------------------------------------------------------- */

/* n windows in `runs` runs of `run`, `pixel` floats from one to the next, `pitch` from one run to the next. A window is
 * n_taps runs of `depth` floats. */
struct view {
    const float *image;
    int runs, run;
    ptrdiff_t pitch, pixel;
    int n_taps, depth;
};

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

/* A pixel is a row of a matrix: images need no telling apart. */
static bool is_pointwise(const struct window *s)
{
    return s->kh == 1 && s->kw == 1 && s->stride == 1 && s->pad_y == 0 && s->pad_x == 0 &&
           s->oh == s->h && s->ow == s->w;
}

/* Rows too short for a tile are joined. */
#define SHORT_ROW    14
#define MOST_COLUMNS (1 << 17)

static size_t columns_size(const struct window *s)
{
    struct padded p = padded_input(s);
    int rows = (p.h + s->stride - 1) / s->stride * s->stride;

    return (size_t)rows * (size_t)(s->ow * s->kw) * (size_t)s->c;
}

static bool is_in_columns(const struct window *s)
{
    return s->ow < SHORT_ROW && columns_size(s) <= MOST_COLUMNS;
}

/* With a stride, a copy is read so little that it would cost a third of the time: windows are read where they lie, but
 * for those that reach over the left or the right side of the image, which are copied. The outputs `from` to `to` of each
 * row do not. Where these are fewer than 7 (measured), tiles would be too low. */
#define SHORT_MIDDLE 7

struct middle {
    int from, to;
};

static struct middle middle_of(const struct window *s)
{
    int last = floor_div(s->w - 1 - s->dilation * (s->kw - 1) + s->pad_x, s->stride);
    struct middle m = {(s->pad_x + s->stride - 1) / s->stride, last + 1};

    if (m.to > s->ow)
        m.to = s->ow;
    return m;
}

/* The n-th output of a row that is not in the middle. */
static int edge_column(struct middle m, int n)
{
    return n < m.from ? n : m.to + n - m.from;
}

static int edge_columns(const struct window *s)
{
    struct middle m = middle_of(s);

    return s->ow - (m.to - m.from);
}

/* One window, from one row of its taps to the next. */
static size_t window_size(const struct window *s)
{
    return area(s->kh, s->kw) * (size_t)s->c;
}

static size_t edges_size(const struct window *s)
{
    return area(edge_columns(s), s->oh) * window_size(s);
}

static bool is_in_place(const struct window *s)
{
    struct middle m = middle_of(s);

    return s->stride > 1 && s->k >= LANES && s->pad_x >= 0 && s->pad_y >= 0 &&
           m.to - m.from >= SHORT_MIDDLE && edges_size(s) < padded_size(padded_input(s)) / 2;
}

/* to[0..n) = 0, for n too few for a call */
INLINE void clear_floats(float *to, size_t n)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        *(vec *)(to + i) = (vec){0};
        __asm__ volatile(""); /* else the compiler makes this a call after all */
    }
    for (; i < n; i++)
        to[i] = 0;
}

/* One row of taps, the first at column `first` of a row of the image (NULL: outside): to (kw, c), zeros outside. */
static void place_taps(float *to, const float *from, const struct window *s, int first)
{
    size_t c = (size_t)s->c, all = (size_t)s->kw * c;
    int before = first < 0 ? -first : 0, end = s->w - first;

    if (from == NULL) {
        clear_floats(to, all);
    } else if (s->dilation == 1 && before < s->kw && end > before) {
        size_t skip = (size_t)before * c;
        size_t n = (size_t)((end < s->kw ? end : s->kw) - before) * c;

        clear_floats(to, skip);
        copy_floats(to + skip, from + (ptrdiff_t)(first + before) * (ptrdiff_t)c, n);
        clear_floats(to + skip + n, all - skip - n);
    } else {
        for (int j = 0, x = first; j < s->kw; j++, x += s->dilation, to += c)
            if (x >= 0 && x < s->w)
                copy_floats(to, from + (size_t)x * c, c);
            else
                clear_floats(to, c);
    }
}

static const float *row_of(const float *x, const struct window *s, int y)
{
    return y >= 0 && y < s->h ? x + area(y, s->w) * (size_t)s->c : NULL;
}

/* The window (oy, ox). */
static void place_window(float *to, const float *x, const struct window *s, int oy, int ox)
{
    int y = oy * s->stride - s->pad_y, first = ox * s->stride - s->pad_x;

    for (int i = 0; i < s->kh; i++, y += s->dilation, to += s->kw * s->c)
        place_taps(to, row_of(x, s, y), s, first);
}

/* to (edge columns, oh, kh, kw, c) */
static void place_edges(float *to, const float *x, const struct window *s)
{
    struct middle m = middle_of(s);

    for (int n = 0; n < edge_columns(s); n++)
        for (int oy = 0; oy < s->oh; oy++, to += window_size(s))
            place_window(to, x, s, oy, edge_column(m, n));
}

/* [from, to) of n whose first + i step is within [0, size) */
struct range {
    int from, to;
};

static struct range range_of(int n, int first, int step, int size)
{
    struct range r = {first < 0 ? -floor_div(first, step) : 0,
                      floor_div(size - 1 - first, step) + 1};

    if (r.to > n)
        r.to = n;
    if (r.from > r.to)
        r.from = r.to;
    return r;
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

/* The rows of taps of n windows in a row, which are inside of the image: to (n, kw, c); returns its end. */
static float *place_whole(float *to, const float *from, const struct window *s, int n)
{
    size_t c = (size_t)s->c, all = (size_t)s->kw * c;

    for (; n > 0; n--, to += all, from += (size_t)s->stride * c)
        copy_floats(to, from, all);
    return to;
}

/* Likewise of all windows of a row of the image. NULL: outside. */
static void place_row(float *to, const float *from, const struct window *s)
{
    size_t all = (size_t)s->kw * (size_t)s->c;
    struct middle m = middle_of(s);

    if (from == NULL) {
        memset(to, 0, (size_t)s->ow * all * sizeof *to);
        return;
    }
    for (int ox = 0; ox < s->ow; ox++) {
        int first = ox * s->stride - s->pad_x;

        if (s->dilation == 1 && first >= 0 && ox < m.to) {
            to = place_whole(to, from + (size_t)first * (size_t)s->c, s, m.to - ox);
            ox = m.to - 1;
        } else {
            place_taps(to, from, s, first);
            to += all;
        }
    }
}

/* Rows lie sorted by their remainder modulo the stride: so all windows are one run. */
static void place_columns(float *to, const float *from, const struct window *s)
{
    size_t row = (size_t)(s->ow * s->kw) * (size_t)s->c;
    int h = padded_input(s).h, apart = (h + s->stride - 1) / s->stride;

    for (int y = 0; y < h; y++)
        place_row(to + (size_t)(y % s->stride * apart + y / s->stride) * row,
                  row_of(from, s, y - s->pad_y), s);
}

static size_t view_size(const struct window *s)
{
    if (is_pointwise(s))
        return 0;
    if (is_in_place(s))
        return round_up(edges_size(s));
    if (is_in_columns(s))
        return round_up(columns_size(s));
    return needs_padding(s) ? round_up(padded_size(padded_input(s))) : 0;
}

static struct view columns_view(ptrdiff_t *taps, float *image, const struct window *s,
                                const float *x)
{
    ptrdiff_t pixel = (ptrdiff_t)s->kw * s->c, row = s->ow * pixel;
    int apart = (padded_input(s).h + s->stride - 1) / s->stride;
    struct view v = {image, 1, s->oh * s->ow, 0, pixel, s->kh, (int)pixel};

    for (int i = 0; i < s->kh; i++) {
        int y = i * s->dilation;

        taps[i] = (y % s->stride * apart + y / s->stride) * row;
    }
    place_columns(image, x, s);
    return v;
}

static struct view rows_view(ptrdiff_t *taps, float *image, const struct window *s, const float *x)
{
    struct padded p = padded_input(s);
    int joined = s->dilation == 1 ? s->kw : 1; /* taps that are neighbours are one run */
    struct view v = {image, s->oh, s->ow, 0, 0, 0, joined * s->c};

    if (needs_padding(s)) {
        place_image(image, p, x, s->h, s->w, s->pad_y, s->pad_x);
    } else {
        v.image = x;
        p.w = s->w;
    }
    v.pixel = (ptrdiff_t)s->stride * s->c;
    v.pitch = (ptrdiff_t)s->stride * p.w * s->c;
    for (int i = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j += joined)
            taps[v.n_taps++] = ((ptrdiff_t)i * p.w + j) * s->dilation * s->c;
    return v;
}

/* What forward and the weight gradient read of image x. */
static struct view view_of(ptrdiff_t *taps, float *image, const struct window *s, const float *x)
{
    if (is_pointwise(s)) {
        struct view v = {x, 1, s->oh * s->ow, 0, s->c, 1, s->c};

        taps[0] = 0;
        return v;
    }
    return is_in_columns(s) ? columns_view(taps, image, s, x) : rows_view(taps, image, s, x);
}

/* A few images as one long row of pixels, few enough to stay in the cache while output channels are walked. */
#define LONG_ROW 65536

static struct window long_row(const struct window *s, int first)
{
    struct window row = *s;
    int pixels = s->h * s->w, values = pixels * (s->c > s->k ? s->c : s->k);
    int images = values < LONG_ROW ? LONG_ROW / values : 1;

    if (images > s->n - first)
        images = s->n - first;
    row.n = 1;
    row.h = row.oh = 1;
    row.w = row.ow = images * pixels;
    return row;
}

/* ---- weights in panels -------------------------------------------------------------------------------------- */

static size_t packed_size(const struct window *s, int c, int k)
{
    return panels_size((size_t)(s->kh * s->kw) * (size_t)c, k, c);
}

/* One panel, of n columns: row r of `split` goes to its lanes r % split. */
static float *pack_panel(float *packed, const struct weights *w, int rows, int columns, int c,
                         int n, int split)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            for (int ci = 0; ci < c; ci += split, packed += LANES) {
                const float *from = w->first + i * w->row + j * w->column + ci * w->c;

                if (n == LANES && w->k == 1) {
                    *(vec *)packed = *(const vec *)from;
                    continue;
                }
                memset(packed, 0, LANES * sizeof *packed);
                for (int q = 0; q < n; q++)
                    for (int p = 0; p < split; p++)
                        packed[q * split + p] = from[q * w->k + p * w->c];
            }
    return packed;
}

/* (rows, columns of taps, c, k) in panels; returns their end */
static float *pack(float *packed, struct weights w, int rows, int columns, int c, int k)
{
    for (int first = 0; first < k; first += LANES, w.first += LANES * w.k) {
        int n = k - first < LANES ? k - first : LANES;

        packed = pack_panel(packed, &w, rows, columns, c, n, n < LANES ? split_of(k, c) : 1);
    }
    return packed;
}

/* dw (rows, k) += sums in panels of LANES */
static void unpack(float *dw, const float *sums, size_t rows, int c, int k, size_t pitch)
{
    for (int first = 0; first < k; first += LANES) {
        int n = k - first < LANES ? k - first : LANES, split = n < LANES ? split_of(k, c) : 1;

        for (size_t r = 0; r < rows; r += (size_t)split, sums += LANES) {
            if (n == LANES) {
                *(vec *)(dw + r * pitch + first) += *(const vec *)sums;
                continue;
            }
            for (int p = 0; p < split; p++)
                for (int q = 0; q < n; q++)
                    dw[(r + (size_t)p) * pitch + (size_t)(first + q)] += sums[q * split + p];
        }
    }
}

static struct weights weights_of(const float *weight, const struct window *s, size_t pitch)
{
    ptrdiff_t tap = (ptrdiff_t)s->c * (ptrdiff_t)pitch;
    struct weights w = {weight, s->kw * tap, tap, (ptrdiff_t)pitch, 1};

    return w;
}

/* ---- forward, and the input gradient without a stride ------------------------------------------------------- */

/* Scratch begins with the offsets of taps and of runs. */
static size_t taps_size(const struct window *s)
{
    size_t most = larger(area(s->kh, s->kw), (size_t)(s->h > s->oh ? s->h : s->oh));

    return round_up(most * (sizeof(ptrdiff_t) / sizeof(float)) + 16);
}

static ptrdiff_t *taps_in(float *scratch)
{
    return (ptrdiff_t *)(void *)next_line(scratch);
}

/* What is done with a sum of products before it is stored. */
struct ending {
    const float *bias; /* or NULL */
    bool add;
    float most; /* as of a product */
};

/* out, `row` floats from one pixel to the next and `pitch` from one run to the next */
static void multiply_view(float *out, ptrdiff_t row, ptrdiff_t pitch, const struct ending *end,
                          const struct view *v, const ptrdiff_t *taps, const float *packed, int k,
                          int c)
{
    struct product p = {.a_row = v->pixel,
                        .taps = taps,
                        .n_taps = v->n_taps,
                        .depth = v->depth,
                        .b = packed,
                        .b_r = LANES,
                        .b_panel = (ptrdiff_t)v->n_taps * v->depth * LANES,
                        .out_row = row,
                        .out_panel = LANES,
                        .bias = end->bias,
                        .add = end->add,
                        .most = end->most,
                        .n = 1};

    for (int i = 0; i < v->runs; i++) {
        p.a = v->image + i * v->pitch;
        p.out = out + i * pitch;
        ISA(product_rows)(&p, v->run, k, c);
    }
}

/* One image, in place. */
static void convolve_middle(float *y, const float *x, const float *packed, const struct ending *end,
                            const struct window *s, ptrdiff_t *taps)
{
    struct middle m = middle_of(s);
    int joined = s->dilation == 1 ? s->kw : 1;
    struct product p = {.a_row = (ptrdiff_t)s->stride * s->c,
                        .taps = taps,
                        .depth = joined * s->c,
                        .b_r = LANES,
                        .b_panel = (ptrdiff_t)window_size(s) * LANES,
                        .out_row = s->k,
                        .out_panel = LANES,
                        .bias = end->bias,
                        .add = end->add,
                        .most = end->most,
                        .n = 1};

    for (int i = 0, n = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j += joined)
            taps[n++] = ((ptrdiff_t)i * s->w + j) * s->dilation * s->c;
    for (int oy = 0; oy < s->oh; oy++) {
        int top = oy * s->stride - s->pad_y;
        struct range rows = range_of(s->kh, top, s->dilation, s->h);
        ptrdiff_t row = top + rows.from * s->dilation;

        p.a = x + (row * s->w + m.from * s->stride - s->pad_x) * s->c;
        p.b = packed;
        p.skip = rows.from * s->kw * s->c;
        p.n_taps = (rows.to - rows.from) * (s->kw / joined);
        p.out = y + ((ptrdiff_t)oy * s->ow + m.from) * s->k;
        ISA(product_rows)(&p, m.to - m.from, s->k, s->c);
    }
}

static void convolve_edges(float *y, const float *edges, const float *packed,
                           const struct ending *end, const struct window *s, ptrdiff_t *taps)
{
    struct view v = {edges, 1, s->oh, 0, (ptrdiff_t)window_size(s), 1, (int)window_size(s)};

    taps[0] = 0;
    for (int n = 0; n < edge_columns(s); n++, v.image += s->oh * v.pixel) {
        int ox = edge_column(middle_of(s), n);

        multiply_view(y + (ptrdiff_t)ox * s->k, (ptrdiff_t)s->ow * s->k, 0, end, &v, taps, packed,
                      s->k, s->c);
    }
}

static void convolve_in_place(float *y, const float *x, const float *packed,
                              const struct ending *end, const struct window *s, float *scratch)
{
    ptrdiff_t *taps = taps_in(scratch);
    float *edges = scratch + taps_size(s);

    for (int i = 0; i < s->n; i++) {
        place_edges(edges, x, s);
        convolve_middle(y, x, packed, end, s, taps);
        convolve_edges(y, edges, packed, end, s, taps);
        x += area(s->h, s->w) * (size_t)s->c;
        y += area(s->oh, s->ow) * (size_t)s->k;
    }
}

/* Not with Winograd's. */
static void convolve_directly(float *y, const float *x, const float *packed,
                              const struct ending *end, const struct window *s, float *scratch)
{
    ptrdiff_t *taps = taps_in(scratch);
    float *image = scratch + taps_size(s);

    if (is_in_place(s)) {
        convolve_in_place(y, x, packed, end, s, scratch);
        return;
    }
    for (int i = 0; i < s->n;) {
        struct window one = is_pointwise(s) ? long_row(s, i) : *s;
        struct view v = view_of(taps, image, &one, x);

        multiply_view(y, s->k, (ptrdiff_t)v.run * s->k, end, &v, taps, packed, s->k, s->c);
        x += (size_t)one.h * (size_t)one.w * (size_t)s->c;
        y += (size_t)one.oh * (size_t)one.ow * (size_t)s->k;
        i += is_pointwise(s) ? one.w / (s->h * s->w) : 1;
    }
}

static void convolve(float *y, bool add, const float *x, const float *packed, const float *bias,
                     const struct window *s, float *scratch)
{
    struct ending end = {bias, add, 0};

    if (ISA(winograd_fits)(s))
        ISA(winograd)(y, add, x, packed, bias, s, scratch);
    else if (ISA(by_2_fits_forward)(s))
        ISA(by_2_forward)(y, x, packed, bias, s, scratch);
    else
        convolve_directly(y, x, packed, &end, s, scratch);
}

static size_t convolve_packed(const struct window *s)
{
    return ISA(winograd_fits)(s) ? ISA(winograd_packed)(s) : packed_size(s, s->c, s->k);
}

static void convolve_pack(float *packed, const struct weights *w, const struct window *s)
{
    if (ISA(winograd_fits)(s))
        ISA(winograd_pack)(packed, w, s);
    else if (ISA(by_2_fits_forward)(s))
        ISA(by_2_pack_forward)(packed, w, s);
    else
        pack(packed, *w, s->kh, s->kw, s->c, s->k);
}

/* ---- input gradient with a stride --------------------------------------------------------------------------- */

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

#define EACH_PHASE(s)                                                                              \
    for (int a = 0; a < (s)->stride && a < (s)->h; a++)                                            \
        for (int b = 0; b < (s)->stride && b < (s)->w; b++)

/* The taps in reach, the last first; their output channels are c of the weights. Returns the end. */
static float *pack_phase(float *packed, const struct phase *p, const float *weight,
                         const struct window *s, size_t pitch)
{
    struct weights w = weights_of(weight, s, pitch);

    if (p->v.n == 0 || p->u.n == 0)
        return packed;
    w.first += (p->v.tap + (p->v.n - 1) * p->v.step) * w.row +
               (p->u.tap + (p->u.n - 1) * p->u.step) * w.column;
    w.row *= -p->v.step;
    w.column *= -p->u.step;
    w.c = 1;
    w.k = (ptrdiff_t)pitch;
    return pack(packed, w, p->v.n, p->u.n, s->k, s->c);
}

static size_t phase_size(const struct phase *p, const struct window *s)
{
    return panels_size((size_t)(p->v.n * p->u.n) * (size_t)s->k, s->c, s->k);
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
    int joined = p->u.back == 1 ? p->u.n : 1; /* neighbours in dy are one run */
    struct ending end = {NULL, add, 0};
    struct view v = {image,
                     (s->h - p->a + s->stride - 1) / s->stride,
                     (s->w - p->b + s->stride - 1) / s->stride,
                     (ptrdiff_t)image_w * s->k,
                     s->k,
                     0,
                     joined * s->k};

    if (p->v.n == 0 || p->u.n == 0) {
        if (!add)
            clear_phase(dx, p, s);
        return;
    }
    for (int i = p->v.n; i-- > 0;)
        for (int j = p->u.n; j > 0; j -= joined)
            taps[v.n_taps++] =
                ((ptrdiff_t)(p->v.at - i * p->v.back) * image_w + p->u.at - (j - 1) * p->u.back) *
                s->k;
    multiply_view(dx + ((ptrdiff_t)p->a * s->w + p->b) * s->c, (ptrdiff_t)s->stride * s->c,
                  (ptrdiff_t)s->stride * s->w * s->c, &end, &v, taps, packed, s->c, s->k);
}

static void run_phases(float *dx, bool add, const struct window *s, const float *image, int image_w,
                       const float *packed, ptrdiff_t *taps)
{
    EACH_PHASE(s)
    {
        struct phase phase = phase_of(s, a, b);

        run_phase(dx, add, &phase, s, image, image_w, packed, taps);
        packed += phase_size(&phase, s);
    }
}

static void backward_input_strided(float *dx, bool add, const float *dy, const float *packed,
                                   const struct window *s, float *scratch)
{
    struct padded p = padded_gradient(s);
    ptrdiff_t *taps = taps_in(scratch);
    float *image = scratch + taps_size(s);

    for (int i = 0; i < s->n; i++) {
        place_image(image, p, dy, s->oh, s->ow,
                    reach_border(s->pad_y, s->kh, s->dilation, s->stride),
                    reach_border(s->pad_x, s->kw, s->dilation, s->stride));
        if (ISA(by_2_fits)(s))
            ISA(by_2)(dx, add, image, p.w, packed, s);
        else
            run_phases(dx, add, s, image, p.w, packed, taps);
        dx += (size_t)s->h * (size_t)s->w * (size_t)s->c;
        dy += (size_t)s->oh * (size_t)s->ow * (size_t)s->k;
    }
}

static void backward_input(float *dx, bool add, const float *dy, const float *packed,
                           const struct window *s, float *scratch)
{
    struct window m = mirrored(s);

    if (s->stride == 1)
        convolve(dx, add, dy, packed, NULL, &m, scratch);
    else
        backward_input_strided(dx, add, dy, packed, s, scratch);
}

static size_t input_packed(const struct window *s)
{
    struct window m = mirrored(s);

    return s->stride == 1 ? convolve_packed(&m) : packed_size(s, s->k, s->c);
}

static void pack_backward(float *packed, const float *weight, const struct window *s, size_t pitch)
{
    struct window m = mirrored(s);
    struct weights w = weights_of(weight, s, pitch);

    if (s->stride == 1) {
        w.first += (s->kh - 1) * w.row + (s->kw - 1) * w.column;
        w.row = -w.row;
        w.column = -w.column;
        w.c = 1;
        w.k = (ptrdiff_t)pitch;
        convolve_pack(packed, &w, &m);
        return;
    }
    if (ISA(by_2_fits)(s)) {
        w.c = 1;
        w.k = (ptrdiff_t)pitch;
        ISA(by_2_pack)(packed, &w, s);
        return;
    }
    EACH_PHASE(s)
    {
        struct phase phase = phase_of(s, a, b);

        packed = pack_phase(packed, &phase, weight, s, pitch);
    }
}

/* ---- weight gradient ---------------------------------------------------------------------------------------- */

/* Lane i of the first lanes becomes `split` lanes. */
INLINE vec repeated_lanes(vec v, int split)
{
#if LANES >= 16
    if (split == 2)
        return __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    if (split == 4)
        return __builtin_shufflevector(v, v, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
#elif LANES >= 8
    if (split == 2)
        return __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3);
#endif
    (void)split;
    return v;
}

/* The last panel of dy (pixels, k): what is left of k, each value `split` times, then anything that is no dy. */
static void last_panel(float *to, const float *dy, int pixels, int k, int split)
{
    int n = k % LANES, whole = pixels - (LANES + k - 1) / k; /* a whole vector is read of these */
    float some[LANES] = {0};

    dy += k - n;
    for (int i = 0; i < pixels; i++, to += LANES, dy += k) {
        if (i < whole) {
            *(vec *)to = repeated_lanes(*(const vec *)dy, split);
            continue;
        }
        copy_floats(some, dy, (size_t)n);
        *(vec *)to = repeated_lanes(*(const vec *)some, split);
    }
}

/* Images whose columns are summed at once, where one alone is so few pixels that sums would mostly be fetched and put back. */
#define MANY_PIXELS 64
#define MOST_IMAGES 16 /* as many have a place among the runs */

static int joined_images(const struct window *s)
{
    int pixels = s->oh * s->ow, images = pixels < MANY_PIXELS ? MANY_PIXELS / pixels : 1;

    if (ISA(by_2_fits_weight)(s))
        return ISA(by_2_images)(s);
    if (is_pointwise(s) || is_in_place(s) || !is_in_columns(s))
        return 1;
    return images < MOST_IMAGES ? images : MOST_IMAGES;
}

static struct view joined_view(ptrdiff_t *taps, float *image, const struct window *s,
                               const float *x, int images)
{
    struct view v = view_of(taps, image, s, x);

    if (images == 1)
        return v;
    v.runs = images;
    v.pitch = (ptrdiff_t)columns_size(s);
    for (int i = 1; i < images; i++)
        place_columns(image + i * v.pitch, x + (size_t)i * area(s->h, s->w) * (size_t)s->c, s);
    return v;
}

static size_t last_panel_size(const struct window *s)
{
    size_t pixels = area(s->oh, s->ow) * (size_t)joined_images(s);

    if (s->k % LANES == 0)
        return 0;
    if (is_pointwise(s))
        pixels = larger(pixels, LONG_ROW / (size_t)(s->c > s->k ? s->c : s->k));
    return round_up(pixels * LANES);
}

static size_t joined_size(const struct window *s)
{
    return joined_images(s) == 1 || ISA(by_2_fits_weight)(s)
               ? view_size(s)
               : round_up(columns_size(s) * (size_t)joined_images(s));
}

/* dy as products read it: (pixels, k), and the last panel when it is not whole. */
struct gradient {
    const float *dy, *last;
};

/* sums, from row `first` of the weights on, += p's rows times dy's pixels `from`, from + step, ... with `skip` pixels left
 * out between taps. */
static void add_products(struct product *p, float *sums, int first, int rows,
                         const struct gradient *g, ptrdiff_t from, ptrdiff_t step, ptrdiff_t skip,
                         const struct window *s)
{
    int split = split_of(s->k, s->c), whole = s->k / LANES;

    p->out_row = LANES;
    p->out_panel = (ptrdiff_t)window_size(s) * LANES;
    p->n = 1;
    p->out = sums + (ptrdiff_t)first * LANES;
    p->b = g->dy + from * s->k;
    p->b_r = step * s->k, p->b_tap = skip * s->k, p->b_panel = LANES;
    ISA(product_sums)(p, rows, whole, 1);
    if (s->k % LANES == 0)
        return;
    p->b = g->last + from * LANES;
    p->b_r = step * LANES, p->b_tap = skip * LANES;
    p->out = sums + whole * p->out_panel + (ptrdiff_t)first / split * LANES;
    ISA(product_sums)(p, rows, 1, split);
}

/* One image, or one long row. */
static void add_view(float *sums, const struct gradient *g, const struct view *v,
                     const ptrdiff_t *taps, const ptrdiff_t *runs, const struct window *s)
{
    struct product p = {.a_row = v->pixel, .taps = runs, .n_taps = v->runs, .depth = v->run};

    for (int i = 0; i < v->n_taps; i++) {
        p.a = v->image + taps[i];
        add_products(&p, sums, i * v->depth, v->depth, g, 0, 1, 0, s);
    }
}

/* One image, in place. */
static void add_middle(float *sums, const struct gradient *g, const float *x,
                       const struct window *s, ptrdiff_t *runs)
{
    struct middle m = middle_of(s);
    int joined = s->dilation == 1 ? s->kw : 1, n = m.to - m.from;
    struct product p = {.a_row = (ptrdiff_t)s->stride * s->c, .taps = runs, .depth = n};

    for (int oy = 0; oy < s->oh; oy++)
        runs[oy] = (ptrdiff_t)oy * s->stride * s->w * s->c;
    for (int i = 0; i < s->kh; i++)
        for (int j = 0; j < s->kw; j += joined) {
            int top = i * s->dilation - s->pad_y;
            struct range rows = range_of(s->oh, top, s->stride, s->h);
            ptrdiff_t row = top + rows.from * s->stride;

            p.a = x + (row * s->w + m.from * s->stride - s->pad_x + j * s->dilation) * s->c;
            p.n_taps = rows.to - rows.from;
            add_products(&p, sums, (i * s->kw + j) * s->c, joined * s->c, g,
                         (ptrdiff_t)rows.from * s->ow + m.from, 1, s->ow - n, s);
        }
}

static void add_edges(float *sums, const struct gradient *g, const float *edges,
                      const struct window *s, ptrdiff_t *runs)
{
    int size = (int)window_size(s);
    struct product p = {.a = edges, .a_row = size, .taps = runs, .n_taps = 1, .depth = s->oh};

    runs[0] = 0;
    for (int n = 0; n < edge_columns(s); n++, p.a += (ptrdiff_t)s->oh * size)
        add_products(&p, sums, 0, size, g, edge_column(middle_of(s), n), s->ow, 0, s);
}

static void backward_weight(float *sums, const float *dy, const float *x, const struct window *s,
                            float *scratch)
{
    ptrdiff_t *taps = taps_in(scratch), *runs = taps_in(scratch + taps_size(s));
    float *last = scratch + 2 * taps_size(s), *image = last + last_panel_size(s);

    if (ISA(winograd_fits)(s)) {
        ISA(winograd_sums)(sums, dy, x, s, scratch);
        return;
    }
    for (int i = 0, images; i < s->n; i += images) {
        struct window one = is_pointwise(s) ? long_row(s, i) : *s;
        struct gradient g = {dy, last};

        images = is_pointwise(s) ? one.w / (s->h * s->w) : smaller(joined_images(s), s->n - i);
        if (s->k % LANES != 0)
            last_panel(last, dy, images * s->oh * s->ow, s->k, split_of(s->k, s->c));
        if (ISA(by_2_fits_weight)(s)) {
            ISA(by_2_sums)(sums, dy, last, x, s, images);
        } else if (is_in_place(s)) {
            place_edges(image, x, s);
            add_middle(sums, &g, x, s, runs);
            add_edges(sums, &g, image, s, runs);
        } else {
            struct view v = is_pointwise(s) ? view_of(taps, image, &one, x)
                                            : joined_view(taps, image, s, x, images);

            for (int r = 0; r < v.runs; r++)
                runs[r] = r * v.pitch;
            add_view(sums, &g, &v, taps, runs, &one);
        }
        x += (size_t)images * area(s->h, s->w) * (size_t)s->c;
        dy += (size_t)images * area(s->oh, s->ow) * (size_t)s->k;
    }
}

static size_t sums_size(const struct window *s)
{
    return ISA(winograd_fits)(s) ? ISA(winograd_sums_size)(s) : packed_size(s, s->c, s->k);
}

static void weight_finish(float *dw, const float *sums, const struct window *s, size_t pitch)
{
    if (ISA(winograd_fits)(s))
        ISA(winograd_finish)(dw, sums, s, pitch);
    else
        unpack(dw, sums, (size_t)(s->kh * s->kw) * (size_t)s->c, s->c, s->k, pitch);
}

/* ---- groups: each as a dense convolution over gathered channels ------------------------------------------ */

static bool is_depthwise(const struct window *s)
{
    return s->groups > 1 && s->groups == s->c && s->k == s->c;
}

static size_t dense_scratch(const struct window *s)
{
    struct window m = mirrored(s);
    size_t forward = taps_size(s) + view_size(s);
    size_t input =
        taps_size(s) + (s->stride == 1 ? view_size(&m) : round_up(padded_size(padded_gradient(s))));
    size_t weight = 2 * taps_size(s) + last_panel_size(s) + joined_size(s);
    size_t most = larger(larger(forward, input), weight);

    if (ISA(winograd_fits)(s))
        most = larger(most, ISA(winograd_scratch)(s));
    if (ISA(by_2_fits_forward)(s))
        most = larger(most, ISA(by_2_scratch)(s));
    if (s->stride == 1 && ISA(winograd_fits)(&m))
        most = larger(most, ISA(winograd_scratch)(&m));
    return most + 64;
}

/* The same of one group of one image; without groups, all of it. */
static struct window one_group(const struct window *s)
{
    struct window g = *s;

    g.groups = 1;
    g.c = s->c / s->groups;
    g.k = s->k / s->groups;
    if (s->groups > 1)
        g.n = 1;
    return g;
}

static size_t group_part(const struct window *g, enum conv_part part)
{
    switch (part) {
    case CONV_PACKED_FORWARD: return convolve_packed(g);
    case CONV_PACKED_INPUT: return input_packed(g);
    case CONV_SUMS: return sums_size(g);
    case CONV_SCRATCH: break;
    }
    return dense_scratch(g);
}

/* (pixels, n of all) channels [first, first + n) to or from (pixels, n) */
static void gather(float *to, const float *from, size_t pixels, size_t all, size_t first, size_t n)
{
    for (size_t i = 0; i < pixels; i++)
        copy_floats(to + i * n, from + i * all + first, n);
}

static void scatter(float *to, const float *from, size_t pixels, size_t all, size_t first, size_t n,
                    bool add)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t j = 0; j < n; j++)
            to[i * all + first + j] = from[i * n + j] + (add ? to[i * all + first + j] : 0);
}

enum pass { FORWARD, INPUT, WEIGHT };

/* One image, one group. weight: packed, or sums */
static void group_pass(enum pass pass, float *y, float *x, float *weight, const float *bias,
                       bool add, const struct window *s, size_t group, float *scratch)
{
    struct window g = one_group(s);
    size_t in = area(g.h, g.w), out = area(g.oh, g.ow), c = (size_t)g.c, k = (size_t)g.k;
    float *gx = scratch, *gy = gx + round_up(in * c), *rest = gy + round_up(out * k);

    if (pass != INPUT)
        gather(gx, x, in, (size_t)s->c, group * c, c);
    if (pass != FORWARD)
        gather(gy, y, out, (size_t)s->k, group * k, k);
    if (pass == FORWARD) {
        convolve(gy, false, gx, weight, bias != NULL ? bias + group * k : NULL, &g, rest);
        scatter(y, gy, out, (size_t)s->k, group * k, k, false);
    } else if (pass == INPUT) {
        backward_input(gx, false, gy, weight, &g, rest);
        scatter(x, gx, in, (size_t)s->c, group * c, c, add);
    } else {
        backward_weight(weight, gy, gx, &g, rest);
    }
}

static void grouped(enum pass pass, float *y, float *x, float *weight, const float *bias, bool add,
                    const struct window *s, float *scratch)
{
    static const enum conv_part part[] = {CONV_PACKED_FORWARD, CONV_PACKED_INPUT, CONV_SUMS};
    struct window g = one_group(s);
    size_t in = area(s->h, s->w) * (size_t)s->c, out = area(s->oh, s->ow) * (size_t)s->k;

    for (size_t i = 0; i < (size_t)s->n; i++)
        for (size_t group = 0; group < (size_t)s->groups; group++)
            group_pass(pass, y + i * out, x + i * in, weight + group * group_part(&g, part[pass]),
                       bias, add, s, group, scratch);
}

/* ---- the table --------------------------------------------------------------------------------------------- */

static size_t conv_floats(const struct window *s, enum conv_part part)
{
    struct window g = one_group(s);
    size_t of_group;

    if (is_depthwise(s))
        return ISA(depthwise_floats)(s, part);
    of_group = group_part(&g, part);
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
    for (int group = 0; group < s->groups; group++, weight += g.k) {
        struct weights w = weights_of(weight, &g, (size_t)s->k);

        if (part == CONV_PACKED_FORWARD)
            convolve_pack(packed, &w, &g);
        else
            pack_backward(packed, weight, &g, (size_t)s->k);
        packed += group_part(&g, part);
    }
}

static void conv_forward(float *y, const float *x, const float *packed, const float *bias,
                         const struct window *s, float *scratch)
{
    if (is_depthwise(s))
        ISA(depthwise_forward)(y, x, packed, bias, s);
    else if (s->groups > 1)
        grouped(FORWARD, y, (float *)x, (float *)packed, bias, false, s, scratch); /* only read */
    else
        convolve(y, false, x, packed, bias, s, scratch);
}

static void conv_pointwise(float *y, bool add, const float *x, const float *packed,
                           const float *bias, enum act act, const struct window *s, float *scratch)
{
    struct ending end = {bias, add, 0};

    if (act != ACT_NONE)
        end.most = act == ACT_RELU6 ? 6 : INFINITY;
    convolve_directly(y, x, packed, &end, s, scratch);
}

static void conv_backward_input(float *dx, bool add, const float *dy, const float *packed,
                                const struct window *s, float *scratch)
{
    if (is_depthwise(s))
        ISA(depthwise_backward_input)(dx, add, dy, packed, s);
    else if (s->groups > 1)
        grouped(INPUT, (float *)dy, dx, (float *)packed, NULL, add, s,
                scratch); /* dy, packed only read */
    else
        backward_input(dx, add, dy, packed, s, scratch);
}

static void conv_backward_weight(float *sums, float *dbias, const float *dy, const float *x,
                                 const struct window *s, float *scratch)
{
    if (dbias != NULL)
        for (size_t i = 0, n = (size_t)s->n * (size_t)s->oh * (size_t)s->ow; i < n; i++)
            for (int ch = 0; ch < s->k; ch++)
                dbias[ch] += dy[i * (size_t)s->k + (size_t)ch];
    if (is_depthwise(s))
        ISA(depthwise_backward_weight)(sums, dy, x, s);
    else if (s->groups > 1)
        grouped(WEIGHT, (float *)dy, (float *)x, sums, NULL, true, s,
                scratch); /* dy, x only read */
    else
        backward_weight(sums, dy, x, s, scratch);
}

/* NOLINTNEXTLINE(readability-non-const-parameter): as in the table */
static void conv_weight_finish(float *dw, const float *sums, const struct window *s, float *scratch)
{
    struct window g = one_group(s);

    (void)scratch;
    if (is_depthwise(s)) {
        ISA(depthwise_finish)(dw, sums, s);
        return;
    }
    for (int group = 0; group < s->groups; group++, dw += g.k, sums += sums_size(&g))
        weight_finish(dw, sums, &g, (size_t)s->k);
}

void ISA(kernels_conv)(struct kernels *table)
{
    table->conv_floats = conv_floats;
    table->conv_pack = conv_pack;
    table->conv_forward = conv_forward;
    table->conv_pointwise = conv_pointwise;
    table->conv_backward_input = conv_backward_input;
    table->conv_backward_weight = conv_backward_weight;
    table->conv_weight_finish = conv_weight_finish;
}
