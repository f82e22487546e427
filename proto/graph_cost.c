/* graph_cost.c - parameters, multiply-adds and peak activation memory, by looking at the graph. */
#include <stdlib.h>

#include "graph_values.h"

struct node_facts {
    uint32_t depth;
    bool live;
    uint32_t last_use; /* of a value: the last one that reads it */
    uint32_t end;      /* of a value: the last one that reads its memory */
    uint32_t place;    /* the value whose memory it has: itself, or what it overwrites */
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

static bool runs(const struct graph_value *values, uint32_t i)
{
    return values[i].live && values[i].same == i && (!values[i].zero || values[i].uses > 0);
}

/* Calls are in node order, so that what is read is known. */
static void find_last_uses(const struct graph *g, const struct graph_value *values, uint32_t i,
                           struct node_facts *facts)
{
    facts[i].last_use = i;
    if (!runs(values, i) || values[i].zero)
        return;
    for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++) {
        uint32_t in = graph_value_of(values, graph_inputs(g, i)[k]);

        if (g->nodes[i].op != GRAPH_ADD || !values[in].zero)
            facts[in].last_use = i;
    }
}

/* The images and the logits have memory of their own, which is the caller's. */
static bool is_callers(const struct graph *g, const struct graph_value *values, uint32_t i)
{
    return i == 0 || i == graph_value_of(values, g->output);
}

static bool overwrites(const struct graph *g, const struct graph_value *values, uint32_t i,
                       const struct node_facts *facts)
{
    const struct graph_node *n = &g->nodes[i];
    uint32_t in;

    if (values[i].zero || (n->op != GRAPH_BATCH_NORM && !graph_is_activation(n->op)))
        return false;
    in = graph_value_of(values, graph_inputs(g, i)[0]);
    return !is_callers(g, values, i) && !is_callers(g, values, in) && facts[in].last_use == i;
}

/* Walks in node order; what a node reads is still live while it runs. */
static uint64_t peak_activation(const struct graph *g, const struct graph_value *values,
                                struct node_facts *facts, uint64_t *frees)
{
    uint32_t output = graph_value_of(values, g->output);
    uint64_t live = 0, peak = 0, callers = value_bytes(&g->nodes[0]);

    if (output != 0)
        callers += value_bytes(&g->nodes[output]);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        find_last_uses(g, values, i, facts);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        facts[i].place = i;
        if (runs(values, i) && overwrites(g, values, i, facts))
            facts[i].place = facts[graph_value_of(values, graph_inputs(g, i)[0])].place;
        facts[facts[i].place].end = facts[i].last_use;
    }
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        if (runs(values, i) && facts[i].place == i && !is_callers(g, values, i)) {
            live += value_bytes(&g->nodes[i]);
            frees[facts[i].end] += value_bytes(&g->nodes[i]);
        }
        if (live > peak)
            peak = live;
        live -= frees[i];
    }
    return callers + peak;
}

static void count_all(const struct graph *self, struct node_facts *facts, struct graph_cost *out)
{
    mark_live(self, facts);
    for (uint32_t i = 0; i < self->n_nodes; i++) {
        const struct graph_node *n = &self->nodes[i];

        if (!facts[i].live)
            continue;
        for (uint32_t k = 0; k < n->n_inputs; k++) {
            uint32_t in = graph_inputs(self, i)[k];

            if (facts[in].depth > facts[i].depth)
                facts[i].depth = facts[in].depth;
        }
        facts[i].depth += n->op == GRAPH_CONV || n->op == GRAPH_LINEAR;
        out->live_nodes++;
        count_node(self, i, out);
    }
    out->depth = facts[self->output].depth;
}

int graph_cost(const struct graph *self, struct graph_cost *out)
{
    struct node_facts *facts = calloc(self->n_nodes, sizeof *facts);
    struct graph_value *values = malloc(self->n_nodes * sizeof *values);
    uint64_t *frees = calloc(self->n_nodes, sizeof *frees);
    int rc = FARM_ENOMEM;

    if (facts != NULL && values != NULL && frees != NULL) {
        *out = (struct graph_cost){0};
        count_all(self, facts, out);
        graph_values(self, false, values);
        out->activation_bytes = peak_activation(self, values, facts, frees);
        rc = FARM_OK;
    }
    free(frees);
    free(values);
    free(facts);
    return rc;
}
