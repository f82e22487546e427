/* bench_nets.h - the networks that the benchmarks train: one list, so that every table names the same ones.
 *
 * It is:     graphs of four families at fixed sizes, for training from scratch on small images.
 * It is not: a search space (controller/space/ is), weights, or data.
 */
#ifndef NASFARM_BENCH_NETS_H
#define NASFARM_BENCH_NETS_H

#include "graph.h"

enum bench_family {
    BENCH_NB201, /* NAS-Bench-201 (arXiv:2001.00326): `cells` cells of `arch` in each of 3 stages */
    BENCH_DARTS, /* DARTS_V2 (arXiv:1806.09055): `cells` cells in all, no auxiliary head */
    BENCH_MOBILENET, /* MobileNetV2 (arXiv:1801.04381), width channels/32; of its five halvings the last `cells` */
    BENCH_CNN, /* `cells` stages of two 3x3 - BN - ReLU; channels double where the image is halved */
};

struct bench_net {
    const char *name; /* "nb201-3x3-n1" */
    enum bench_family family;
    struct graph_shape input;
    uint32_t classes;
    uint32_t channels; /* of the first stage */
    uint32_t cells;    /* see the family */
    const char *arch;  /* the cell in the benchmark's notation; NULL for other families */
};

/* Ends with one whose name is NULL. */
extern const struct bench_net bench_nets[];
/* NULL when there is none of that name. */
const struct bench_net *bench_net_find(const char *name);
/* *out is finished and the caller's. */
int bench_net_build(const struct bench_net *self, struct graph **out, struct why *why);

#endif
