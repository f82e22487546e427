/* denormals.c - one register of control a processor. */
#include "denormals.h"

#if defined __SSE2__
#include <xmmintrin.h>

#define FLUSH_TO_ZERO      0x8000u
#define DENORMALS_ARE_ZERO 0x0040u

uint64_t denormals_off(void)
{
    unsigned before = _mm_getcsr();

    _mm_setcsr(before | FLUSH_TO_ZERO | DENORMALS_ARE_ZERO);
    return before;
}

void denormals_restore(uint64_t before)
{
    _mm_setcsr((unsigned)before);
}
#elif defined __aarch64__
#define FLUSH_TO_ZERO ((uint64_t)1 << 24)

static void set_control(uint64_t control)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
}

uint64_t denormals_off(void)
{
    uint64_t before;

    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    set_control(before | FLUSH_TO_ZERO);
    return before;
}

void denormals_restore(uint64_t before)
{
    set_control(before);
}
#else
uint64_t denormals_off(void)
{
    return 0;
}

void denormals_restore(uint64_t before)
{
    (void)before;
}
#endif
