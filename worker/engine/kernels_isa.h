/* kernels_isa.h - what the kernel sources need to be compiled for one instruction set: LANES and the vector type.
 * Each source is compiled once per set with -DKERNELS_ISA=name; private to worker/engine. */
#ifndef NASFARM_KERNELS_ISA_H
#define NASFARM_KERNELS_ISA_H

#include "kernels.h"

#if defined(__AVX512F__)
#define LANES 16
#define TILE  12 /* 24 of 32 registers hold sums */
#elif defined(__AVX2__)
#define LANES 8
#define TILE  6 /* 12 of 16 */
#else
#define LANES 4
#define TILE  6
#endif

/* Unaligned, and it may read any float array. */
typedef float vec __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

#define ISA_CAT_(a, b) a##_##b
#define ISA_CAT(a, b)  ISA_CAT_(a, b)
#define ISA(name)      ISA_CAT(name, KERNELS_ISA)

static inline vec vec_all(float f)
{
    return f - (vec){0};
}

#define INLINE static inline __attribute__((always_inline))

void ISA(kernels_conv)(struct kernels *table);
void ISA(kernels_norm)(struct kernels *table);
void ISA(kernels_plain)(struct kernels *table);
void ISA(kernels_pool)(struct kernels *table);
void ISA(kernels_act)(struct kernels *table);
void ISA(kernels_resize)(struct kernels *table);

/* kernels_depthwise.c: groups == c == k, as in kernels.h */
size_t ISA(depthwise_floats)(const struct window *s, enum conv_part part);
void ISA(depthwise_pack)(float *packed, const float *weight, const struct window *s,
                         enum conv_part part);
void ISA(depthwise_forward)(float *y, const float *x, const float *packed, const float *bias,
                            const struct window *s, float *scratch);
void ISA(depthwise_backward_input)(float *dx, bool add, const float *dy, const float *packed,
                                   const struct window *s, float *scratch);
void ISA(depthwise_backward_weight)(float *sums, const float *dy, const float *x,
                                    const struct window *s, float *scratch);
void ISA(depthwise_finish)(float *dw, const float *sums, const struct window *s);

#endif
