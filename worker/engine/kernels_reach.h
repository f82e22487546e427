/* kernels_reach.h - along one side of an image, which taps bring an input pixel its gradient; private to worker/engine.
 *
 * Output pixel o reads, at tap t, input pixel o stride + t dilation - pad. So the input pixels first, first + stride, ...
 * are read at every `step`th tap only, and there by neighbouring output pixels: the input gradient is, for each first <
 * stride, a convolution of dy with these taps, in which no stride is left.
 */
#ifndef NASFARM_KERNELS_REACH_H
#define NASFARM_KERNELS_REACH_H

static inline int floor_div(int a, int b)
{
    return a >= 0 ? a / b : -((-a + b - 1) / b);
}

static inline int gcd(int a, int b)
{
    while (b > 0) {
        int rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* The taps are tap + m step for m < n; what is read at m = 0 by the first input pixel is dy's pixel `at`, counted with
 * the border, and for each m it is `back` less. */
struct reach {
    int tap, step, n, at, back;
};

/* Zeros in front of dy, so that no tap reaches before it. */
static inline int reach_border(int pad, int taps, int dilation, int stride)
{
    int least = floor_div(pad - dilation * (taps - 1), stride);

    return least < 0 ? -least : 0;
}

/* Pixels of dy that are within reach of `side` input pixels, with the border. */
static inline int reach_size(int side, int pad, int taps, int dilation, int stride)
{
    int most = floor_div(side - 1 + pad, stride);

    return (most > 0 ? most : 0) + 1 + reach_border(pad, taps, dilation, stride);
}

static inline struct reach reach_of(int first, int pad, int taps, int dilation, int stride)
{
    int common = gcd(stride, dilation);
    struct reach r = {.step = stride / common, .back = dilation / common};

    while (r.tap < taps && (first + pad - r.tap * dilation) % stride != 0)
        r.tap++;
    if (r.tap < taps) {
        r.n = (taps - r.tap + r.step - 1) / r.step;
        r.at =
            (first + pad - r.tap * dilation) / stride + reach_border(pad, taps, dilation, stride);
    }
    return r;
}

#endif
