/* bench_gemm.h - the engine's own matrix products beside OpenBLAS's, in one table.
 *
 * It is:     1x1 convolutions of a batch, and linear layers of 64 rows, forward and both gradients, with all that a step
 *            needs: ours pack their weights, and add up what they summed; OpenBLAS does what it does within sgemm.
 * It is not: what the engine does: kernels_plain.c and kernels_conv.c decide that, and say why.
 */
#ifndef NASFARM_BENCH_GEMM_H
#define NASFARM_BENCH_GEMM_H

#include "kernels.h"

void bench_gemm(const struct kernels *k);

#endif
