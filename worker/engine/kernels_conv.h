/* kernels_conv.h - what the sources of convolutions say to one another, for one instruction set; private to worker/engine.
 *
 * Here a window has no groups: kernels_conv.c gives each group by itself. Scratch and parts as in kernels.h.
 */
#ifndef NASFARM_KERNELS_CONV_H
#define NASFARM_KERNELS_CONV_H

#include "kernels_isa.h"

/* Weights (taps, c, k) wherever they lie: floats from one row or column of taps to the next, and so on. */
struct weights {
    const float *first;
    ptrdiff_t row, column, c, k;
};

/* The first cache line that begins in scratch. */
static inline float *next_line(float *scratch)
{
    return scratch + (64 - (uintptr_t)scratch % 64) % 64 / sizeof(float);
}

static inline size_t area(int h, int w)
{
    return (size_t)h * (size_t)w;
}

/* The input gradient at stride 1 is the convolution of dy with this window, and with mirrored weights. */
static inline struct window mirrored(const struct window *s)
{
    struct window m = *s;

    m.h = s->oh, m.w = s->ow, m.c = s->k;
    m.oh = s->h, m.ow = s->w, m.k = s->c;
    m.pad_y = s->dilation * (s->kh - 1) - s->pad_y;
    m.pad_x = s->dilation * (s->kw - 1) - s->pad_x;
    return m;
}

/* kernels_depthwise.c: groups == c == k, as in kernels.h */
size_t ISA(depthwise_floats)(const struct window *s, enum conv_part part);
void ISA(depthwise_pack)(float *packed, const float *weight, const struct window *s,
                         enum conv_part part);
void ISA(depthwise_forward)(float *y, const float *x, const float *packed, const float *bias,
                            const struct window *s);
void ISA(depthwise_backward_input)(float *dx, bool add, const float *dy, const float *packed,
                                   const struct window *s);
void ISA(depthwise_backward_weight)(float *sums, const float *dy, const float *x,
                                    const struct window *s);
void ISA(depthwise_finish)(float *dw, const float *sums, const struct window *s);

/* kernels_depthwise_3x3.c: depthwise 3x3 windows of whole and half vectors of channels, with the usual padding; weights and sums as
 * of any other. y = (add: +=) ... */
bool ISA(depthwise_3x3_fits)(const struct window *s);
void ISA(depthwise_3x3)(float *y, bool add, const float *x, const float *packed, const float *bias,
                        const struct window *s);
void ISA(depthwise_3x3_weight)(float *sums, const float *dy, const float *x,
                               const struct window *s);

/* kernels_spread.c: the input gradient of depthwise 3x3 windows at stride 2, of whole and half vectors of channels; packed
 * weights as for it alone. */
bool ISA(spread_fits)(const struct window *s);
size_t ISA(spread_packed)(const struct window *s);
void ISA(spread_pack)(float *packed, const float *weight, const struct window *s);
void ISA(spread)(float *dx, bool add, const float *dy, const float *packed, const struct window *s);

/* kernels_by_2.c: the input gradient of 3x3 windows at stride 2 of images with even sides. Packed weights are as many floats as
 * of any window; dy is one image with its border (kernels_reach.h), rows of dy_w pixels. */
bool ISA(by_2_fits)(const struct window *s);
void ISA(by_2_pack)(float *packed, const struct weights *weights, const struct window *s);
void ISA(by_2)(float *dx, bool add, const float *dy, int dy_w, const float *packed,
               const struct window *s);

/* Forward, of outputs whose sides divide by 4. */
bool ISA(by_2_fits_forward)(const struct window *s);
size_t ISA(by_2_scratch)(const struct window *s);
void ISA(by_2_pack_forward)(float *packed, const struct weights *weights, const struct window *s);
void ISA(by_2_forward)(float *y, const float *x, const float *packed, const float *bias,
                       const struct window *s, float *scratch);

/* kernels_by_2_weight.c: the weight gradient of 3x3 windows at stride 2. Sums are as of any other window; last: the last panel of
 * dy when it is not whole. So many images at once. */
bool ISA(by_2_fits_weight)(const struct window *s);
int ISA(by_2_images)(const struct window *s);
void ISA(by_2_sums)(float *sums, const float *dy, const float *last, const float *x,
                    const struct window *s, int images);

/* kernels_winograd.c: 3x3 windows at stride 1 with enough channels. Whether a shape is done so depends on nothing but
 * its sides and channels, so that the bits are the same everywhere. */
bool ISA(winograd_fits)(const struct window *s);
size_t ISA(winograd_packed)(const struct window *s);
size_t ISA(winograd_sums_size)(const struct window *s);
size_t ISA(winograd_scratch)(const struct window *s);
void ISA(winograd_pack)(float *packed, const struct weights *weights, const struct window *s);
/* y = (add: +=) ..., for n images */
void ISA(winograd)(float *y, bool add, const float *x, const float *packed, const float *bias,
                   const struct window *s, float *scratch);
void ISA(winograd_sums)(float *sums, const float *dy, const float *x, const struct window *s,
                        float *scratch);
/* dw += what sums hold; rows of k are `pitch` floats apart */
void ISA(winograd_finish)(float *dw, const float *sums, const struct window *s, size_t pitch);

#endif
