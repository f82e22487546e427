/* peak.h - the fastest that this core multiplies and adds: what the benchmarks measure a kernel's share of.
 *
 * It is:     measured, by sums that stay in registers and wait only for themselves.
 * It is not: the data sheet's number, nor reachable by anything that touches memory.
 */
#ifndef NASFARM_PEAK_H
#define NASFARM_PEAK_H

/* GFLOP/s of float32 (a multiply-add is two), in processor time of this thread; isa as struct kernels names it. About
 * 10 x 1,000,000 turns, a tenth of a second. */
double peak_gflops(const char *isa);

#endif
