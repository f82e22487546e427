/* nasbench101.h - what NAS-Bench-101's tables need beside the space: names of models, and the rule of their channels.
 *
 * It is not: the space itself, which is opened by its name like any other.
 */
#ifndef NASFARM_NASBENCH101_H
#define NASFARM_NASBENCH101_H

#include "cell_dag.h"

#define NASBENCH101_VERTICES 7u

/* The key of a model in the benchmark's tables: equal for isomorphic modules. "" when the genome is no point of the space.
 * Two isomorphic modules may still differ by a channel where one more of them feeds the output than divides the width:
 * then the farm takes them for two networks, and the benchmark for one. */
void nasbench101_fingerprint(const struct genome *genome, char out[MD5_HEX + 1]);

/* The width of every vertex of a module from input to output channels: those that the output reads share its channels,
 * the earliest one more each where that does not come out even; others have the most of those that read them. A vertex
 * that nobody reads has 0. */
void nasbench101_channels(const struct cell_dag *dag, uint32_t input, uint32_t output,
                          uint32_t channels[CELL_DAG_MAX]);

#endif
