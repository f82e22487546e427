/* graph_params.h - the named parameters of a graph: which there are, of what shape.
 *
 * It is:     what graph.h says in words, as a list, for whoever keeps, reads or writes values.
 * It is not: values, nor their first ones (net.h).
 */
#ifndef NASFARM_GRAPH_PARAMS_H
#define NASFARM_GRAPH_PARAMS_H

#include "graph.h"

#define GRAPH_NODE_PARAMS 4 /* of one node at most */

enum graph_part { GRAPH_WEIGHT, GRAPH_BIAS, GRAPH_GAMMA, GRAPH_BETA, GRAPH_MEAN, GRAPH_VAR };

struct graph_param {
    char name[72]; /* "cell0.edge1.conv.weight" */
    enum graph_part part;
    uint32_t shape[4]; /* unused: 0 */
    size_t n;          /* values */
};

/* Those of one node, in the order weight, bias, or gamma, beta, mean, var; returns how many. */
uint32_t graph_node_params(const struct graph *graph, uint32_t node,
                           struct graph_param out[GRAPH_NODE_PARAMS]);
/* needed[0..n_nodes): which nodes' parameters a trained network has: of those that the output depends on, also where only
 * a zero reads them, as graph_cost() counts; with aux also of those that the auxiliary head depends on. */
void graph_needed(const struct graph *graph, bool aux, bool *needed);
/* Running statistics are not trained. */
bool graph_part_is_trained(enum graph_part part);

#endif
