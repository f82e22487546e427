/* kernels_act.c - activations on their own, and products with a gate, for one instruction set. */
#include "kernels_act.h"

/* y = act(x) */
INLINE void forward(float *y, const float *x, const enum act act, size_t n)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        *(vec *)(y + i) = act_value(*(const vec *)(x + i), act);
    if (i < n)
        store_some(y + i, act_value(load_some(x + i, n - i), act), n - i);
}

/* dx (+)= dy act'(x) */
INLINE void backward(float *dx, const bool add, const float *dy, const float *x, const enum act act,
                     size_t n)
{
    size_t i = 0;

    for (; i + LANES <= n; i += LANES) {
        vec d = *(const vec *)(dy + i) * act_slope(*(const vec *)(x + i), act);

        if (add)
            d += *(const vec *)(dx + i);
        *(vec *)(dx + i) = d;
    }
    if (i < n) {
        vec d = load_some(dy + i, n - i) * act_slope(load_some(x + i, n - i), act);

        if (add)
            d += load_some(dx + i, n - i);
        store_some(dx + i, d, n - i);
    }
}

#define EACH_ACT(body)                                                                             \
    switch (act) {                                                                                 \
    case ACT_NONE: body(ACT_NONE); return;                                                         \
    case ACT_RELU: body(ACT_RELU); return;                                                         \
    case ACT_RELU6: body(ACT_RELU6); return;                                                       \
    case ACT_SWISH: body(ACT_SWISH); return;                                                       \
    case ACT_H_SWISH: body(ACT_H_SWISH); return;                                                   \
    case ACT_SIGMOID: body(ACT_SIGMOID); return;                                                   \
    case ACT_H_SIGMOID: body(ACT_H_SIGMOID); return;                                               \
    }

static void act_forward(float *y, const float *x, enum act act, size_t n)
{
#define FORWARD(a) forward(y, x, a, n)
    EACH_ACT(FORWARD)
#undef FORWARD
}

static void act_backward(float *dx, bool add, const float *dy, const float *x, enum act act,
                         size_t n)
{
#define BACKWARD(a)                                                                                \
    do {                                                                                           \
        if (add)                                                                                   \
            backward(dx, true, dy, x, a, n);                                                       \
        else                                                                                       \
            backward(dx, false, dy, x, a, n);                                                      \
    } while (0)
    EACH_ACT(BACKWARD)
#undef BACKWARD
}

/* y (+)= a b, of n floats each */
INLINE void multiply(float *y, const bool add, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = add ? y[i] + a[i] * b[i] : a[i] * b[i];
}

static void mul_forward(float *y, const float *x, const float *gate, int n, size_t pixels, size_t c)
{
    for (int i = 0; i < n; i++, gate += c)
        for (size_t p = 0; p < pixels; p++, x += c, y += c)
            multiply(y, false, x, gate, c);
}

/* to[0..LANES) += the sum over pixels of a b, a column of one vector; CHUNK products at a time are summed first, so that
 * many pixels lose no more digits than few. */
#define CHUNK 64

INLINE vec column_dot(const float *a, const float *b, size_t pixels, size_t c)
{
    vec sum = {0};

    for (size_t from = 0; from < pixels; from += CHUNK) {
        size_t to = from + CHUNK < pixels ? from + CHUNK : pixels;
        vec part = {0};

        for (size_t p = from; p < to; p++, a += c, b += c)
            part += *(const vec *)a * *(const vec *)b;
        sum += part;
    }
    return sum;
}

/* The same of fewer than LANES columns. */
static void narrow_dot(float *to, const float *a, const float *b, size_t pixels, size_t c, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        float sum = 0;

        for (size_t from = 0; from < pixels; from += CHUNK) {
            size_t end = from + CHUNK < pixels ? from + CHUNK : pixels;
            float part = 0;

            for (size_t p = from; p < end; p++)
                part += a[p * c + j] * b[p * c + j];
            sum += part;
        }
        to[j] += sum;
    }
}

static void gate_gradient(float *dgate, const float *dy, const float *x, size_t pixels, size_t c)
{
    size_t j = 0;

    if (pixels == 1) {
        multiply(dgate, true, dy, x, c);
        return;
    }
    for (; j + LANES <= c; j += LANES)
        *(vec *)(dgate + j) += column_dot(dy + j, x + j, pixels, c);
    narrow_dot(dgate + j, dy + j, x + j, pixels, c, c - j);
}

/* An image's dx is written before its dgate is added to, so that x times itself may have both in one array. */
static void mul_backward(float *dx, bool add, float *dgate, const float *dy, const float *x,
                         const float *gate, int n, size_t pixels, size_t c)
{
    for (int i = 0; i < n; i++) {
        size_t at = (size_t)i * pixels * c;

        for (size_t p = 0; dx != NULL && p < pixels; p++)
            if (add)
                multiply(dx + at + p * c, true, dy + at + p * c, gate + (size_t)i * c, c);
            else
                multiply(dx + at + p * c, false, dy + at + p * c, gate + (size_t)i * c, c);
        if (dgate != NULL)
            gate_gradient(dgate + (size_t)i * c, dy + at, x + at, pixels, c);
    }
}

void ISA(kernels_act)(struct kernels *table)
{
    table->act_forward = act_forward;
    table->act_backward = act_backward;
    table->mul_forward = mul_forward;
    table->mul_backward = mul_backward;
}
