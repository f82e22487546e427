/* graph_cost.c - parameters, multiply-adds and peak activation memory, by looking at the graph. */
#include <stdlib.h>

#include "graph.h"

static bool is_alias(enum graph_op op)
{
    return op == GRAPH_IDENTITY || op == GRAPH_DROPOUT || op == GRAPH_DROP_PATH;
}

struct node_facts {
    uint32_t root;     /* the node whose memory holds this value */
    uint32_t last_use; /* of a root: the last live node that reads it */
    uint32_t depth;
    bool live;
};

static uint64_t value_bytes(const struct graph_node *n)
{
    return (uint64_t)n->shape.h * n->shape.w * n->shape.c * sizeof(float);
}

static void mark_live(const struct graph *g, struct node_facts *facts)
{
    facts[g->output].live = true;
    for (uint32_t i = g->n_nodes; i-- > 0;)
        if (facts[i].live)
            for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++)
                facts[graph_inputs(g, i)[k]].live = true;
}

static void count_node(const struct graph *g, uint32_t i, struct graph_cost *out)
{
    const struct graph_node *n = &g->nodes[i];
    uint64_t c, pixels;

    if (n->n_inputs == 0)
        return;
    c = g->nodes[graph_inputs(g, i)[0]].shape.c;
    pixels = (uint64_t)n->shape.h * n->shape.w;
    if (n->op == GRAPH_CONV) {
        uint64_t weights = (uint64_t)n->kernel_h * n->kernel_w * (c / n->groups) * n->channels;

        out->params += weights + (n->bias ? n->channels : 0);
        out->macs += weights * pixels;
    } else if (n->op == GRAPH_LINEAR) {
        out->params += c * n->channels + (n->bias ? n->channels : 0);
        out->macs += c * n->channels;
    } else if (n->op == GRAPH_BATCH_NORM && n->affine) {
        out->params += 2 * c;
    }
}

/* Walks in node order with the set of live values; what a node reads is still live while it runs. */
static uint64_t peak_activation(const struct graph *g, const struct node_facts *facts,
                                uint32_t *frees, uint32_t *next)
{
    uint64_t live = 0, peak = 0;

    for (uint32_t i = 0; i < g->n_nodes; i++)
        frees[i] = UINT32_MAX;
    for (uint32_t i = 0; i < g->n_nodes; i++) /* lists of the values whose last reader is node i */
        if (facts[i].live && facts[i].root == i && facts[i].last_use < g->n_nodes) {
            next[i] = frees[facts[i].last_use];
            frees[facts[i].last_use] = i;
        }
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        if (!facts[i].live)
            continue;
        if (facts[i].root == i) {
            live += value_bytes(&g->nodes[i]);
            if (live > peak)
                peak = live;
        }
        for (uint32_t v = frees[i]; v != UINT32_MAX; v = next[v])
            live -= value_bytes(&g->nodes[v]);
    }
    return peak;
}

int graph_cost(const struct graph *self, struct graph_cost *out)
{
    struct node_facts *facts = calloc(self->n_nodes, sizeof *facts);
    uint32_t *lists = malloc(2 * (size_t)self->n_nodes * sizeof *lists);

    if (facts == NULL || lists == NULL) {
        free(facts);
        free(lists);
        return FARM_ENOMEM;
    }
    *out = (struct graph_cost){0};
    mark_live(self, facts);
    for (uint32_t i = 0; i < self->n_nodes; i++) {
        const struct graph_node *n = &self->nodes[i];

        facts[i].root = is_alias(n->op) ? facts[graph_inputs(self, i)[0]].root : i;
        facts[i].last_use =
            i; /* nobody: gone at once (only the input of a graph that ignores it) */
        if (!facts[i].live)
            continue;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            uint32_t in = graph_inputs(self, i)[k];

            facts[facts[in].root].last_use = i;
            if (facts[in].depth > facts[i].depth)
                facts[i].depth = facts[in].depth;
        }
        facts[i].depth += n->op == GRAPH_CONV || n->op == GRAPH_LINEAR;
        out->live_nodes++;
        count_node(self, i, out);
    }
    facts[facts[self->output].root].last_use = UINT32_MAX; /* the caller reads it */
    out->depth = facts[self->output].depth;
    out->activation_bytes = peak_activation(self, facts, lists, lists + self->n_nodes);
    free(facts);
    free(lists);
    return FARM_OK;
}
