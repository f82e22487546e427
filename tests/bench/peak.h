/* peak.h - the fastest that this core multiplies and adds, reads and writes: what the benchmarks measure a kernel's share of.
 *
 * It is:     measured, by sums that stay in registers and wait only for themselves, and by passes that do nothing but pass.
 * It is not: the data sheet's number, nor reachable: nothing useful is done.
 */
#ifndef NASFARM_PEAK_H
#define NASFARM_PEAK_H

#include <stddef.h>

/* GFLOP/s of float32 (a multiply-add is two), in processor time of this thread; isa as struct kernels names it. About
 * 10 x 1,000,000 turns, a tenth of a second. */
double peak_gflops(const char *isa);
/* A short part of that, to be timed by who takes turns with it: the operations it did, the same each time. */
double peak_burst(const char *isa);

/* Reads n_from floats and writes n_to, a 64th of each in turn, in vectors as the kernels of that name do it; what is left
 * over by blocks of 4 vectors is left out. Returns a sum: who takes it makes sure that something was read. */
float stream_floats(const char *isa, float *to, size_t n_to, const float *from, size_t n_from);

#endif
