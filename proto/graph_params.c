/* graph_params.c - names and shapes of parameters. */
#include "graph_params.h"

#include <assert.h>
#include <string.h>

static const char *const part_names[] = {"weight", "bias", "gamma", "beta", "mean", "var"};

bool graph_part_is_trained(enum graph_part part)
{
    return part != GRAPH_MEAN && part != GRAPH_VAR;
}

static void fill(struct graph_param *p, const char *node, enum graph_part part,
                 const uint32_t shape[4])
{
    size_t len = strlen(node), part_len = strlen(part_names[part]);

    assert(len + 1 + part_len < sizeof p->name); /* graph_add() limits names */
    memcpy(p->name, node, len);
    p->name[len] = '.';
    memcpy(p->name + len + 1, part_names[part], part_len + 1);
    p->part = part;
    memcpy(p->shape, shape, sizeof p->shape);
    p->n = 1;
    for (int d = 0; d < 4; d++)
        p->n *= shape[d] > 0 ? shape[d] : 1;
}

void graph_needed(const struct graph *graph, bool aux, bool *needed)
{
    memset(needed, 0, graph->n_nodes * sizeof *needed);
    needed[graph->output] = true;
    if (aux)
        needed[graph->aux] = true; /* 0, the images, when there is none */
    for (uint32_t i = graph->n_nodes; i-- > 1;)
        for (uint32_t k = 0; needed[i] && k < graph->nodes[i].n_inputs; k++)
            needed[graph_inputs(graph, i)[k]] = true;
}

uint32_t graph_node_params(const struct graph *graph, uint32_t node,
                           struct graph_param out[GRAPH_NODE_PARAMS])
{
    const struct graph_node *n = &graph->nodes[node];
    const char *name = graph_name(graph, node);
    uint32_t c, k = n->shape.c, many = 0;

    if (n->n_inputs == 0)
        return 0;
    c = graph->nodes[graph_inputs(graph, node)[0]].shape.c;
    switch (n->op) {
    case GRAPH_CONV:
        fill(&out[many++], name, GRAPH_WEIGHT,
             (uint32_t[4]){n->kernel_h, n->kernel_w, c / n->groups, k});
        break;
    case GRAPH_LINEAR: fill(&out[many++], name, GRAPH_WEIGHT, (uint32_t[4]){c, k}); break;
    case GRAPH_BATCH_NORM:
        for (int part = n->affine ? GRAPH_GAMMA : GRAPH_MEAN; part <= GRAPH_VAR; part++)
            fill(&out[many++], name, (enum graph_part)part, (uint32_t[4]){c});
        return many;
    default: return 0;
    }
    if (n->bias)
        fill(&out[many++], name, GRAPH_BIAS, (uint32_t[4]){k});
    return many;
}
