/* score.c - which proxy, and the graph that it looks at. */
#include "score.h"

#include <assert.h>
#include <string.h>

#include "score_inside.h"

static bool draws(enum graph_op op)
{
    return op == GRAPH_DROPOUT || op == GRAPH_DROP_PATH;
}

/* For synflow, what is left is linear in the images and in each weight. */
static bool left_out(enum graph_op op, bool linear)
{
    return draws(op) ||
           (linear && (op == GRAPH_BATCH_NORM ||
                       (graph_is_activation(op) && op != GRAPH_SIGMOID && op != GRAPH_H_SIGMOID)));
}

/* The graph with identities for what is left out, and without an auxiliary head. Nodes keep their numbers. */
static int simplify(struct graph **out, const struct graph *graph, bool linear, struct why *why)
{
    int rc = graph_create(out, graph->input, graph->classes, why);

    for (uint32_t i = 1; rc == FARM_OK && i < graph->n_nodes; i++) {
        const struct graph_node *n = &graph->nodes[i], identity = {.op = GRAPH_IDENTITY};
        bool out_of_it = left_out(n->op, linear);

        if (linear && (n->op == GRAPH_MUL || n->op == GRAPH_SIGMOID || n->op == GRAPH_H_SIGMOID))
            return why_set(why, FARM_EINPUT,
                           "synflow is for networks without gates (%s): take another proxy",
                           graph_op_name(n->op));
        (void)graph_add(*out, out_of_it ? &identity : n, graph_inputs(graph, i), n->n_inputs,
                        out_of_it ? "" : graph_name(graph, i));
    }
    return rc == FARM_OK ? graph_finish(*out, graph->output, why) : rc;
}

int score_net(struct net **out, const struct scorer *self, uint32_t images, bool image_gradient,
              struct why *why)
{
    struct net_config config = {.batch = images,
                                .mode = NET_TRAIN,
                                .memory_limit = self->memory_limit,
                                .seed = self->seed,
                                .image_gradient = image_gradient};

    return net_create(out, self->graph, &config, why);
}

void score_forward(struct net *net, const struct graph *graph, const struct score_batch *batch)
{
    const struct graph_shape *in = &graph->input;

    memcpy(net_input(net), batch->images,
           (size_t)batch->n * in->h * in->w * in->c * sizeof *batch->images);
    (void)net_forward(net, batch->n, true);
}

bool score_is_weight(const struct net_param *p)
{
    size_t len = strlen(p->name);

    return len > 7 && strcmp(p->name + len - 7, ".weight") == 0;
}

static int of_cost(double *out, enum proxy proxy, const struct graph *graph)
{
    struct graph_cost cost;
    int rc = graph_cost(graph, &cost);

    if (rc == FARM_OK)
        *out = (double)(proxy == PROXY_PARAMS ? cost.params : cost.macs);
    return rc;
}

static int of_graph(double *out, enum proxy proxy, const struct scorer *self, struct why *why)
{
    switch (proxy) {
    case PROXY_NASWOT: return score_naswot(out, self, why);
    case PROXY_JACOB_COV: return score_jacob_cov(out, self, why);
    case PROXY_SYNFLOW: return score_synflow(out, self, why);
    case PROXY_SNIP:
    case PROXY_PLAIN:
    case PROXY_GRAD_NORM: return score_saliency(out, proxy, self, why);
    case PROXY_GRASP: return score_grasp(out, self, why);
    case PROXY_ZEN: return score_zen(out, self, why);
    case PROXY_PARAMS:
    case PROXY_MACS: return of_cost(out, proxy, self->graph);
    case PROXY_NONE:
    case PROXY_END: break;
    }
    assert(false);
    return FARM_EINPUT;
}

int score_network(double *out, enum proxy proxy, const struct graph *graph,
                  const struct score_batch *batch, uint64_t seed, uint64_t memory_limit,
                  struct why *why)
{
    struct graph *simple = NULL;
    struct scorer self = {.batch = batch, .seed = seed, .memory_limit = memory_limit};
    int rc = simplify(&simple, graph, proxy == PROXY_SYNFLOW, why);

    self.graph = simple;
    if (rc == FARM_OK)
        rc = of_graph(out, proxy, &self, why);
    graph_destroy(&simple);
    return rc;
}
