/* kernels_resize.c - values that change places: slices of channels, channel shuffles, images of another size; for one
 * instruction set. */
#include "kernels_isa.h"

#include <string.h>

/* Rows are short, the channels of a pixel: a call of memcpy() each would cost more than the copying. */
INLINE void move_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      size_t width, const bool add)
{
    for (size_t i = 0; i < rows; i++, y += y_stride, x += x_stride) {
        size_t j = 0;

        for (; j + LANES <= width; j += LANES) {
            vec v = *(const vec *)(x + j);

            if (add)
                v += *(const vec *)(y + j);
            *(vec *)(y + j) = v;
        }
        for (; j < width; j++)
            y[j] = add ? y[j] + x[j] : x[j];
    }
}

static void copy_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      size_t width)
{
    move_rows(y, y_stride, x, x_stride, rows, width, false);
}

static void add_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     size_t width)
{
    move_rows(y, y_stride, x, x_stride, rows, width, true);
}

/* One pixel: channel j groups + i of y is channel i width + j of x. */
INLINE void shuffle_pixel(float *restrict y, const bool add, const float *restrict x,
                          const int groups, const int width)
{
    for (int j = 0; j < width; j++)
        for (int i = 0; i < groups; i++)
            y[j * groups + i] = (add ? y[j * groups + i] : 0) + x[i * width + j];
}

INLINE void shuffle_all(float *y, const bool add, const float *x, size_t pixels, int groups,
                        int width)
{
    size_t c = (size_t)groups * (size_t)width;

    for (size_t p = 0; p < pixels; p++, y += c, x += c)
        if (groups == 2) /* ShuffleNet v2's, and its inverse */
            shuffle_pixel(y, add, x, 2, width);
        else if (width == 2)
            shuffle_pixel(y, add, x, groups, 2);
        else
            shuffle_pixel(y, add, x, groups, width);
}

static void shuffle_forward(float *y, const float *x, size_t pixels, int c, int groups)
{
    shuffle_all(y, false, x, pixels, groups, c / groups);
}

/* The inverse of a shuffle in g groups is the one in c / g. */
static void shuffle_backward(float *dx, const float *dy, size_t pixels, int c, int groups)
{
    shuffle_all(dx, true, dy, pixels, c / groups, groups);
}

/* Along one side, the pixels that make up an output pixel: first, first + step, ..., n of them with their weights. */
struct taps {
    int first, n, step;
    float first_weight, weight; /* of the first; of each other */
};

/* Two neighbours, the last pixel with itself. Exact in whole numbers, whatever the sides: where a centre falls,
 * (o + 1/2) in/out - 1/2, is a fraction over 2 out. */
static struct taps bilinear_taps(int o, int in, int out)
{
    int64_t at = (int64_t)(2 * o + 1) * in - out;
    struct taps t = {.n = 2};

    at = at > 0 ? at : 0;
    t.first = (int)(at / (2 * out));
    t.step = t.first + 1 < in ? 1 : 0;
    t.weight = t.step == 1 ? (float)(at % (2 * out)) / (float)(2 * out) : 0;
    t.first_weight = 1 - t.weight;
    return t;
}

static struct taps area_taps(int o, int in, int out)
{
    int end = (int)(((int64_t)(o + 1) * in + out - 1) / out);
    struct taps t = {.first = (int)((int64_t)o * in / out), .step = 1};

    t.n = end - t.first;
    t.weight = t.first_weight = 1.0f / (float)t.n;
    return t;
}

static struct taps taps_of(int o, int in, int out, bool area)
{
    return area ? area_taps(o, in, out) : bilinear_taps(o, in, out);
}

/* One output pixel's taps in an image of rows of `row` floats, pixels of c. */
struct patch {
    const struct taps *v, *h;
    ptrdiff_t row, c;
};

INLINE ptrdiff_t place_of(const struct patch *p, int i, int j)
{
    return (p->v->first + i * p->v->step) * p->row + (p->h->first + j * p->h->step) * p->c;
}

INLINE float weight_of(const struct patch *p, int i, int j)
{
    return (i == 0 ? p->v->first_weight : p->v->weight) *
           (j == 0 ? p->h->first_weight : p->h->weight);
}

INLINE void four_forward(float *restrict y, const float *x, const struct patch *p)
{
    const float *a = x + place_of(p, 0, 0), *b = x + place_of(p, 0, 1);
    const float *c = x + place_of(p, 1, 0), *d = x + place_of(p, 1, 1);
    float wa = weight_of(p, 0, 0), wb = weight_of(p, 0, 1), wc = weight_of(p, 1, 0),
          wd = weight_of(p, 1, 1);

    for (ptrdiff_t k = 0; k < p->c; k++)
        y[k] = (wa * a[k] + wb * b[k]) + (wc * c[k] + wd * d[k]);
}

INLINE void mean_forward(float *restrict y, const float *x, const struct patch *p)
{
    float weight = weight_of(p, 0, 0); /* of every tap */

    memcpy(y, x + place_of(p, 0, 0), (size_t)p->c * sizeof *y);
    for (int i = 0; i < p->v->n; i++)
        for (int j = i == 0 ? 1 : 0; j < p->h->n; j++) {
            const float *from = x + place_of(p, i, j);

            for (ptrdiff_t k = 0; k < p->c; k++)
                y[k] += from[k];
        }
    for (ptrdiff_t k = 0; k < p->c; k++)
        y[k] *= weight;
}

INLINE void pixel_backward(float *dx, const float *restrict dy, const struct patch *p)
{
    for (int i = 0; i < p->v->n; i++)
        for (int j = 0; j < p->h->n; j++) {
            float *restrict to = dx + place_of(p, i, j);
            float weight = weight_of(p, i, j);

            for (ptrdiff_t k = 0; k < p->c; k++)
                to[k] += weight * dy[k];
        }
}

/* Every output pixel of every image, STRIP columns at a time, whose taps are worked out once. Forward, `to` has the
 * output's shape and `from` the input's; backward it is the other way round. */
#define STRIP 256

INLINE void resize(float *to, const float *from, const struct window *s, const bool area,
                   const bool back)
{
    struct taps v, h[STRIP];
    struct patch p = {.v = &v, .row = (ptrdiff_t)s->w * s->c, .c = s->c};

    for (int first = 0; first < s->ow; first += STRIP) {
        int columns = s->ow - first < STRIP ? s->ow - first : STRIP;

        for (int ox = 0; ox < columns; ox++)
            h[ox] = taps_of(first + ox, s->w, s->ow, area);
        for (int row = 0; row < s->n * s->oh; row++) {
            ptrdiff_t in = row / s->oh * s->h * p.row, out = ((ptrdiff_t)row * s->ow + first) * p.c;

            v = taps_of(row % s->oh, s->h, s->oh, area);
            for (int ox = 0; ox < columns; ox++, out += p.c) {
                p.h = &h[ox];
                if (back)
                    pixel_backward(to + in, from + out, &p);
                else if (area)
                    mean_forward(to + out, from + in, &p);
                else
                    four_forward(to + out, from + in, &p);
            }
        }
    }
}

static void resize_forward(float *y, const float *x, const struct window *s, bool area)
{
    if (area)
        resize(y, x, s, true, false);
    else
        resize(y, x, s, false, false);
}

static void resize_backward(float *dx, const float *dy, const struct window *s, bool area)
{
    if (area)
        resize(dx, dy, s, true, true);
    else
        resize(dx, dy, s, false, true);
}

void ISA(kernels_resize)(struct kernels *table)
{
    table->copy_rows = copy_rows;
    table->add_rows = add_rows;
    table->shuffle_forward = shuffle_forward;
    table->shuffle_backward = shuffle_backward;
    table->resize_forward = resize_forward;
    table->resize_backward = resize_backward;
}
