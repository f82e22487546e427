/* kernels_act.h - activations and their slopes, a vector at a time, for kernels that do one in passing; private to
 * worker/engine, and compiled once per instruction set, as kernels_isa.h says.
 *
 * A NaN goes through every value; a slope is of a number, and of a NaN it is a NaN or what it is of some number (the
 * loss is a NaN then, and so is every gradient). At a kink the slope is that of the level side, which for ReLU and
 * ReLU6 is 0, as in PyTorch. `act` should be a constant where these are called: the switch is gone then.
 */
#ifndef NASFARM_KERNELS_ACT_H
#define NASFARM_KERNELS_ACT_H

#include "kernels_isa.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* What a comparison of vectors gives: all bits of a lane, or none. */
typedef int32_t vmask __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef uint32_t vbits __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

INLINE vec vec_choose(vmask which, vec yes, vec no)
{
    return (vec)(((vmask)yes & which) | ((vmask)no & ~which));
}

INLINE vec vec_where(vmask which, vec x)
{
    return (vec)((vmask)x & which);
}

/* a > b ? yes : no, with b or a NaN: no. The others return x when it is a NaN. In AVX-512 a comparison is a mask of bits, of
 * which GCC makes vectors and bits again when it is written plainly: four instructions for one. */
#if defined(__AVX512F__)
INLINE vec vec_greater(vec a, vec b, vec yes, vec no)
{
    return (vec)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ),
                                     (__m512)no, (__m512)yes);
}

INLINE vec vec_at_least(vec least, vec x)
{
    return (vec)_mm512_max_ps((__m512)least, (__m512)x);
}

INLINE vec vec_at_most(vec most, vec x)
{
    return (vec)_mm512_min_ps((__m512)most, (__m512)x);
}
#else
INLINE vec vec_greater(vec a, vec b, vec yes, vec no)
{
    return vec_choose(a > b, yes, no);
}

INLINE vec vec_at_least(vec least, vec x)
{
    return vec_choose(x < least, least, x);
}

INLINE vec vec_at_most(vec most, vec x)
{
    return vec_choose(x > most, most, x);
}
#endif

/* e^x for x within -87..87, beyond which it stays what it is there: 2^n e^r, r within ln(2)/2 of 0, where eight terms
 * of the series leave a relative error of 1e-8. That of the whole is below 2e-7. */
INLINE vec act_exp(vec x)
{
    const vec round =
        vec_all(0x1.8p23f); /* added, the ones of what it is added to are the last bits */
    vec n, r, sum;

    x = vec_at_least(vec_all(-87), vec_at_most(vec_all(87), x));
    n = x * vec_all(0x1.715476p0f) + round; /* x / ln 2 */
    r = x - (n - round) * vec_all(0x1.62e4p-1f);
    r = r -
        (n - round) *
            vec_all(
                0x1.7f7d1cp-20f); /* ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20, the first exact times n */
    sum = vec_all(1.0f / 5040) * r + vec_all(1.0f / 720);
    sum = sum * r + vec_all(1.0f / 120);
    sum = sum * r + vec_all(1.0f / 24);
    sum = sum * r + vec_all(1.0f / 6);
    sum = sum * r + vec_all(1.0f / 2);
    sum = sum * r + vec_all(1);
    sum = sum * r + vec_all(1);
    return sum * (vec)(((vbits)n << 23) + 0x3f800000u); /* of `round` only zeros are left */
}

INLINE vec act_sigmoid(vec x)
{
    return vec_all(1) / (vec_all(1) + act_exp(-x));
}

INLINE vec act_relu6(vec x)
{
    return vec_at_most(vec_all(6), vec_at_least((vec){0}, x));
}

INLINE vec act_value(vec x, const enum act act)
{
    switch (act) {
    case ACT_NONE: return x;
    case ACT_RELU: return vec_at_least((vec){0}, x);
    case ACT_RELU6: return act_relu6(x);
    case ACT_SWISH: return x * act_sigmoid(x);
    case ACT_H_SWISH: return x * (act_relu6(x + vec_all(3)) * vec_all(1.0f / 6));
    case ACT_SIGMOID: return act_sigmoid(x);
    case ACT_H_SIGMOID: return act_relu6(x + vec_all(3)) * vec_all(1.0f / 6);
    }
    return x;
}

/* By the input x. With e = e^-x, the slope of a sigmoid s is s (1 - s) = e s^2, which loses no digits near 1. */
INLINE vec act_slope(vec x, const enum act act)
{
    const vec one = vec_all(1), zero = {0}, three = vec_all(3);
    vec e, s;

    switch (act) {
    case ACT_NONE: return one;
    case ACT_RELU: return vec_greater(x, zero, one, zero);
    case ACT_RELU6: return vec_greater(x, zero, vec_greater(vec_all(6), x, one, zero), zero);
    case ACT_SWISH:
        e = act_exp(-x);
        s = one / (one + e);
        return s * (one + x * (e * s));
    case ACT_H_SWISH:
        e = vec_greater(three, x, x * vec_all(1.0f / 3) + vec_all(0.5f), one);
        return vec_greater(x, -three, e, zero);
    case ACT_SIGMOID:
        e = act_exp(-x);
        s = one / (one + e);
        return e * s * s;
    case ACT_H_SIGMOID:
        e = vec_greater(three, x, vec_all(1.0f / 6), zero);
        return vec_greater(x, -three, e, zero);
    }
    return one;
}

/* u times that slope, without a product where it is 0 or 1: there a NaN of u may be lost. */
INLINE vec act_back(vec u, vec x, const enum act act)
{
    const vec zero = {0};

    switch (act) {
    case ACT_NONE: return u;
    case ACT_RELU: return vec_greater(x, zero, u, zero);
    case ACT_RELU6: return vec_greater(x, zero, vec_greater(vec_all(6), x, u, zero), zero);
    default: return u * act_slope(x, act);
    }
}

/* The last n < LANES floats, as a vector and back. */
INLINE vec load_some(const float *x, size_t n)
{
    vec v = {0};

    __builtin_memcpy(&v, x, n * sizeof *x);
    return v;
}

INLINE void store_some(float *y, vec v, size_t n)
{
    __builtin_memcpy(y, &v, n * sizeof *y);
}

#endif
