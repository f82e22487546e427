/* known_nets.h - what builds the known networks that are no points of a space, for the table in known.c.
 *
 * It is not: for anybody else. `own` of struct known points to what each needs.
 */
#ifndef NASFARM_KNOWN_NETS_H
#define NASFARM_KNOWN_NETS_H

#include "known.h"

/* own: a const double, the width multiplier. */
int known_mobilenetv2(const struct known *self, struct graph_shape input, uint32_t classes,
                      struct graph **out, struct why *why);

/* A chain of rows; own: a struct known_chain of known_chains.c. */
int known_chain(const struct known *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why);
struct known_chain;
extern const struct known_chain known_mobilenetv3_large, known_mobilenetv3_small, known_mnasnet_a1,
    known_proxyless_cpu, known_proxyless_gpu, known_proxyless_mobile, known_proxyless_mobile_14;

/* own: which of B0 to B7, by a const uint32_t. */
int known_efficientnet(const struct known *self, struct graph_shape input, uint32_t classes,
                       struct graph **out, struct why *why);

/* Cells of the NASNet family; own: a struct known_cells of known_cells.c. */
int known_cell_network(const struct known *self, struct graph_shape input, uint32_t classes,
                       struct graph **out, struct why *why);
struct known_cells;
extern const struct known_cells known_nasnet_a_cifar, known_nasnet_a_mobile, known_nasnet_a_large,
    known_amoebanet_a_cifar, known_amoebanet_a_large;

#endif
