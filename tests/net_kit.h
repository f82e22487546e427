/* net_kit.h - networks for tests: values as after a training, without one.
 *
 * It is not: a test, nor part of any program that is installed.
 */
#ifndef NASFARM_NET_KIT_H
#define NASFARM_NET_KIT_H

#include "net.h"
#include "rng.h"

/* Moves every parameter off its first value, so that nothing is 0 or 1 by chance; variances stay positive. */
void net_kit_disturb(struct net *net, struct rng *rng);

/* The parameter of this name, or NULL. */
struct net_param *net_kit_find(struct net *net, const char *name);

/* Calls visit with small graphs that together have every operation there is, each in the ways it can lie: strides on even
 * and odd sides, asymmetric and negative padding, windows that see nothing, zeros, gates, both resize modes ... What an
 * operation gives is looked at pixel by pixel, not as a mean. The graph is the kit's again afterwards. */
void net_kit_each_graph(void (*visit)(const char *name, const struct graph *graph, void *ctx),
                        void *ctx);

#endif
