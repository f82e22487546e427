/* kernels_lanes.h - a vector of which only the first n lanes are in memory, for one instruction set; private to
 * worker/engine. Nothing past them is touched; they are read as 0. Half a vector of the widest is common (8, 24 channels),
 * and costs less than a mask. */
#ifndef NASFARM_KERNELS_LANES_H
#define NASFARM_KERNELS_LANES_H

#include "kernels_isa.h"

#if LANES > 4
#include <immintrin.h>
#endif

struct lanes {
#if LANES == 16
    __mmask16 mask;
#elif LANES == 8
    __m256i mask;
#else
    int n;
#endif
};

enum width { ALL, HALF, SOME };
#define HAS_HALVES (LANES == 16)

/* More than LANES are LANES. */
INLINE struct lanes lanes_of(int n)
{
#if LANES == 16
    return (struct lanes){(__mmask16)(n < LANES ? (1 << n) - 1 : 0xffff)};
#elif LANES == 8
    return (struct lanes){
        _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))};
#else
    return (struct lanes){n < LANES ? n : LANES};
#endif
}

INLINE vec load_lanes(const float *from, const enum width w, struct lanes lanes)
{
    (void)w;
#if LANES == 16
    if (w == HALF)
        return (vec)_mm512_zextps256_ps512(_mm256_loadu_ps(from));
    return (vec)_mm512_maskz_loadu_ps(lanes.mask, from);
#elif LANES == 8
    return (vec)_mm256_maskload_ps(from, lanes.mask);
#else
    vec v = {0};

    for (int i = 0; i < lanes.n; i++)
        v[i] = from[i];
    return v;
#endif
}

INLINE void store_lanes(float *to, vec value, const enum width w, struct lanes lanes)
{
    (void)w;
#if LANES == 16
    if (w == HALF)
        _mm256_storeu_ps(to, _mm512_castps512_ps256((__m512)value));
    else
        _mm512_mask_storeu_ps(to, lanes.mask, (__m512)value);
#elif LANES == 8
    _mm256_maskstore_ps(to, lanes.mask, (__m256)value);
#else
    for (int i = 0; i < lanes.n; i++)
        to[i] = value[i];
#endif
}

#endif
