/* kernels_isa.h - what the kernel sources need to be compiled for one instruction set: LANES and the vector type.
 * Each source is compiled once per set with -DKERNELS_ISA=name; private to worker/engine. */
#ifndef NASFARM_KERNELS_ISA_H
#define NASFARM_KERNELS_ISA_H

#include "kernels.h"

#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

#if defined(__AVX512F__) || defined(__aarch64__)
#define REGISTERS 32 /* vectors that a core names */
#else
#define REGISTERS 16
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
void ISA(kernels_covariance)(struct kernels *table);
void ISA(kernels_norm)(struct kernels *table);
void ISA(kernels_plain)(struct kernels *table);
void ISA(kernels_pool)(struct kernels *table);
void ISA(kernels_act)(struct kernels *table);
void ISA(kernels_resize)(struct kernels *table);

#endif
