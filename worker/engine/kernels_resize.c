/* kernels_resize.c - values that change places: slices of channels, channel shuffles, images of another size; for one
 * instruction set. */
#include "kernels_isa.h"

#include <string.h>

static void copy_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      size_t width)
{
    for (size_t i = 0; i < rows; i++)
        memcpy(y + i * y_stride, x + i * x_stride, width * sizeof *y);
}

static void add_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     size_t width)
{
    for (size_t i = 0; i < rows; i++, y += y_stride, x += x_stride)
        for (size_t j = 0; j < width; j++)
            y[j] += x[j];
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

/* Along one side, the neighbours that make up an output pixel: n of them from `first` on, each with its weight. */
struct taps {
    int first, n;
    float first_weight, weight; /* of the first; of each other */
};

/* Exact in whole numbers, whatever the sides: 2 (o + 1/2) in/out - 1 is a fraction over `out`. */
static struct taps bilinear_taps(int o, int in, int out)
{
    int64_t at = (int64_t)(2 * o + 1) * in - out; /* of 2 out, from the first pixel's centre */
    struct taps t;

    at = at > 0 ? at : 0;
    t.first = (int)(at / (2 * out));
    t.n = t.first + 1 < in ? 2 : 1;
    t.weight = (float)(at % (2 * out)) / (float)(2 * out);
    t.first_weight = t.n == 2 ? 1 - t.weight : 1;
    return t;
}

static struct taps area_taps(int o, int in, int out)
{
    int end = (int)(((int64_t)(o + 1) * in + out - 1) / out);
    struct taps t = {.first = (int)((int64_t)o * in / out)};

    t.n = end - t.first;
    t.weight = t.first_weight = 1.0f / (float)t.n;
    return t;
}

static struct taps taps_of(int o, int in, int out, bool area)
{
    return area ? area_taps(o, in, out) : bilinear_taps(o, in, out);
}

INLINE float weight_of(const struct taps *t, int i)
{
    return i == 0 ? t->first_weight : t->weight;
}

static void resize_forward(float *y, const float *x, const struct window *s, bool area)
{
    size_t row = (size_t)s->w * (size_t)s->c, c = (size_t)s->c, image = (size_t)s->h * row;

    for (int n = 0; n < s->n; n++, x += image)
        for (int oy = 0; oy < s->oh; oy++) {
            struct taps v = taps_of(oy, s->h, s->oh, area);

            for (int ox = 0; ox < s->ow; ox++, y += c) {
                struct taps h = taps_of(ox, s->w, s->ow, area);

                memset(y, 0, c * sizeof *y);
                for (int i = 0; i < v.n; i++)
                    for (int j = 0; j < h.n; j++) {
                        const float *from =
                            x + (size_t)(v.first + i) * row + (size_t)(h.first + j) * c;
                        float weight = weight_of(&v, i) * weight_of(&h, j);

                        for (size_t k = 0; k < c; k++)
                            y[k] += weight * from[k];
                    }
            }
        }
}

static void resize_backward(float *dx, const float *dy, const struct window *s, bool area)
{
    size_t row = (size_t)s->w * (size_t)s->c, c = (size_t)s->c, image = (size_t)s->h * row;

    for (int n = 0; n < s->n; n++, dx += image)
        for (int oy = 0; oy < s->oh; oy++) {
            struct taps v = taps_of(oy, s->h, s->oh, area);

            for (int ox = 0; ox < s->ow; ox++, dy += c) {
                struct taps h = taps_of(ox, s->w, s->ow, area);

                for (int i = 0; i < v.n; i++)
                    for (int j = 0; j < h.n; j++) {
                        float *to = dx + (size_t)(v.first + i) * row + (size_t)(h.first + j) * c;
                        float weight = weight_of(&v, i) * weight_of(&h, j);

                        for (size_t k = 0; k < c; k++)
                            to[k] += weight * dy[k];
                    }
            }
        }
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
