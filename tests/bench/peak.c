/* peak.c */
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "peak.h"

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- multiply-adds ----------------------------------------------------------------------------------------- */

/* 12 sums that wait only for themselves: enough for the latency of two units, few enough for 16 registers.
 * Floating point operations done in `turns`. */
#define CHAINS 12
#if defined(__x86_64__)
#define PEAK(isa, features, vec, lanes, set, fma)                                                  \
    __attribute__((target(features))) static double turn_##isa(long turns)                         \
    {                                                                                              \
        vec sum[CHAINS], a = set(1e-9f), b = set(0.999f);                                          \
        float out[lanes];                                                                          \
        volatile float keep;                                                                       \
        for (int i = 0; i < CHAINS; i++)                                                           \
            sum[i] = set(1.0f);                                                                    \
        for (long t = 0; t < turns; t++)                                                           \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) sum[i] = fma(sum[i], b, a);  \
        for (int i = 0; i < CHAINS; i++) {                                                         \
            memcpy(out, &sum[i], sizeof out);                                                      \
            keep = out[0];                                                                         \
            (void)keep;                                                                            \
        }                                                                                          \
        return 2.0 * (lanes)*CHAINS * (double)turns;                                               \
    }
#define MUL_ADD(x, y, z) _mm_add_ps(_mm_mul_ps(x, y), z)
PEAK(avx512, "avx512f", __m512, 16, _mm512_set1_ps, _mm512_fmadd_ps)
PEAK(avx2, "avx2,fma", __m256, 8, _mm256_set1_ps, _mm256_fmadd_ps)
PEAK(sse2, "sse2", __m128, 4, _mm_set1_ps, MUL_ADD)

static double turn(const char *isa, long turns)
{
    if (strcmp(isa, "avx512") == 0)
        return turn_avx512(turns);
    return strcmp(isa, "avx2") == 0 ? turn_avx2(turns) : turn_sse2(turns);
}
#else
static double turn(const char *isa, long turns)
{
    typedef float vec __attribute__((vector_size(16)));
    vec sum[CHAINS], a = {1e-9f, 1e-9f, 1e-9f, 1e-9f}, b = {0.999f, 0.999f, 0.999f, 0.999f};
    volatile float keep;

    (void)isa;
    for (int i = 0; i < CHAINS; i++)
        sum[i] = b;
    for (long t = 0; t < turns; t++)
        for (int i = 0; i < CHAINS; i++)
            sum[i] = sum[i] * b + a;
    for (int i = 0; i < CHAINS; i++) {
        keep = sum[i][0];
        (void)keep;
    }
    return 2.0 * 4 * CHAINS * (double)turns;
}
#endif

double peak_burst(const char *isa)
{
    return turn(isa, 20000);
}

double peak_gflops(const char *isa)
{
    double best = 0;

    for (int i = 0; i < 10; i++) {
        double start = now_s(), done = turn(isa, 1000000);
        double rate = done / (now_s() - start) / 1e9;

        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- memory ------------------------------------------------------------------------------------------------- */

#define STREAM_PARTS 64
#define STREAM(isa, features, lanes)                                                               \
    __attribute__((features)) static float stream_##isa(float *restrict to, size_t n_to,           \
                                                        const float *restrict from, size_t n_from) \
    {                                                                                              \
        typedef float vec __attribute__((vector_size(4 * (lanes)), aligned(4), may_alias));        \
        const size_t block = 4 * (lanes);                                                          \
        size_t reads = n_from / STREAM_PARTS / block, writes = n_to / STREAM_PARTS / block;        \
        vec sum[4] = {{0}};                                                                        \
                                                                                                   \
        for (int part = 0; part < STREAM_PARTS; part++) {                                          \
            for (size_t i = 0; i < reads; i++, from += block)                                      \
                _Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++) sum[k] +=                   \
                    *(const vec *)(from + k * (lanes));                                            \
            for (size_t i = 0; i < writes; i++, to += block)                                       \
                _Pragma("GCC unroll 4") for (size_t k = 0; k < 4; k++) *                           \
                    (vec *)(to + k * (lanes)) = sum[k];                                            \
        }                                                                                          \
        return sum[0][0] + sum[1][0] + sum[2][0] + sum[3][0];                                      \
    }
#if defined(__x86_64__)
STREAM(avx512, target("avx512f"), 16)
STREAM(avx2, target("avx2"), 8)
#endif
STREAM(narrow, noinline, 4)

float stream_floats(const char *isa, float *to, size_t n_to, const float *from, size_t n_from)
{
#if defined(__x86_64__)
    if (strcmp(isa, "avx512") == 0)
        return stream_avx512(to, n_to, from, n_from);
    if (strcmp(isa, "avx2") == 0)
        return stream_avx2(to, n_to, from, n_from);
#endif
    (void)isa;
    return stream_narrow(to, n_to, from, n_from);
}
