/* plan_values.c - which values (graph_values.h) are cheap, and at which level each is ready. */
#include <stdlib.h>

#include "graph_values.h"
#include "plan_inside.h"

/* A value that others compute again must be small: it is listed in every segment that reads it, with all that it is made
 * of. So many steps a cheap value may be, one behind another and all together, and so many a thin one. What would be more is
 * computed once and kept: no graph, however it is made, becomes many more steps than it has nodes and edges. */
#define CHEAP_DEPTH_MAX 6
#define CHEAP_STEPS_MAX 48
#define THIN_STEPS_MAX  8

/* Where packed weights are not to stay for good: an inferring plan has one segment for all that is not linear, unless they
 * outgrow this: then another begins. */
#define PACKED_BYTES_MAX (4u << 20)

static uint32_t aux_output(const struct planner *p)
{
    return p->plan->training ? p->graph->aux : 0;
}

static bool is_output(const struct planner *p, uint32_t value)
{
    uint32_t aux = aux_output(p);

    return value == planner_find(p, p->graph->output) ||
           (aux != 0 && value == planner_find(p, aux));
}

/* By what each value is read. */
static void find_readers(struct planner *p)
{
    const struct graph *g = p->graph;

    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const struct value *v = &p->values[i];
        enum graph_op op = g->nodes[i].op;

        if (!v->live || v->same != i || v->zero)
            continue;
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++) {
            struct value *in = &p->values[planner_find(p, graph_inputs(g, i)[k])];

            if (op == GRAPH_ADD && in->zero)
                continue;
            in->read_by_other |= op != GRAPH_CONCAT;
            in->read_by_norm |= (op == GRAPH_BATCH_NORM || v->folded != 0) && p->plan->training;
        }
    }
}

static enum act act_of(enum graph_op op)
{
    switch (op) {
    case GRAPH_RELU: return ACT_RELU;
    case GRAPH_RELU6: return ACT_RELU6;
    case GRAPH_SWISH: return ACT_SWISH;
    case GRAPH_H_SWISH: return ACT_H_SWISH;
    case GRAPH_SIGMOID: return ACT_SIGMOID;
    case GRAPH_H_SIGMOID: return ACT_H_SIGMOID;
    default: return ACT_NONE;
    }
}

/* Whether computing it again costs less than writing it to memory and reading it back. */
static bool is_cheap_op(const struct planner *p, uint32_t i)
{
    enum graph_op op = p->graph->nodes[i].op;

    switch (op) {
    case GRAPH_BATCH_NORM:
    case GRAPH_CONCAT:
    case GRAPH_SLICE:
    case GRAPH_CHANNEL_SHUFFLE:
    case GRAPH_MUL:
    case GRAPH_DROP_PATH:
    case GRAPH_ZERO: return true;
    default: return graph_is_activation(op);
    }
}

/* A convolution that widens: so few multiply-adds for each value that it is computed again by whoever reads it, and in
 * backward, rather than kept. The widest arrays of a network of inverted residuals are these, and its stem's. */
static bool widens(const struct planner *p, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    uint32_t c = p->graph->nodes[graph_inputs(p->graph, i)[0]].shape.c;
    uint64_t macs = (uint64_t)n->kernel_h * n->kernel_w * c;

    return n->op == GRAPH_CONV && n->stride == 1 && n->groups == 1 &&
           ((macs <= 16 && n->channels >= 3 * c) || (macs <= 32 && n->channels >= 8 * c));
}

/* A sum of two normalised values (or kept ones) that only concatenations read: a node of a cell whose value goes to the
 * cell's output. */
static bool is_light_sum(const struct planner *p, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    uint32_t terms = 0;

    if (n->op != GRAPH_ADD || p->values[i].read_by_other)
        return false;
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        const struct value *term = &p->values[planner_find(p, graph_inputs(p->graph, i)[k])];

        if (term->zero)
            continue;
        if (term->cheap_depth > 1 || term->thin)
            return false;
        terms++;
    }
    return terms == 2;
}

/* Steps that a reader lists to have value i, itself included, when i is not kept. Each input has few, and they are at most
 * LIMIT_NODE_INPUTS. */
static uint32_t steps_of(const struct planner *p, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    uint32_t steps = 1;

    for (uint32_t k = 0; k < n->n_inputs && !p->values[i].zero; k++)
        steps += p->values[planner_find(p, graph_inputs(p->graph, i)[k])].steps;
    return steps;
}

static bool is_thin(const struct planner *p, uint32_t i)
{
    return p->plan->training && !p->values[i].zero && !is_output(p, i) &&
           (widens(p, i) || is_light_sum(p, i)) && steps_of(p, i) <= THIN_STEPS_MAX;
}

static uint32_t packed_bytes(const struct planner *p, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    uint64_t c = p->graph->nodes[graph_inputs(p->graph, i)[0]].shape.c, bytes;

    if (n->op != GRAPH_CONV && !(n->op == GRAPH_LINEAR && p->values[i].folded != 0))
        return 0;
    bytes = (uint64_t)n->kernel_h * n->kernel_w * (c / n->groups) * n->channels * sizeof(float);
    return bytes < PACKED_BYTES_MAX ? (uint32_t)bytes : PACKED_BYTES_MAX;
}

static uint32_t cheap_depth_of(const struct planner *p, uint32_t i)
{
    const struct value *v = &p->values[i];
    const struct graph_node *n = &p->graph->nodes[i];
    uint32_t depth = 0;

    if (!p->plan->training || v->read_by_norm || is_output(p, i) ||
        !(v->zero || is_cheap_op(p, i)) || steps_of(p, i) > CHEAP_STEPS_MAX)
        return 0;
    for (uint32_t k = 0; k < n->n_inputs && !v->zero; k++) {
        uint32_t in = planner_find(p, graph_inputs(p->graph, i)[k]);

        if (p->values[in].cheap_depth > depth)
            depth = p->values[in].cheap_depth;
    }
    return depth < CHEAP_DEPTH_MAX ? depth + 1 : 0;
}

/* The levels of an inferring plan are only there to bound memory: `least` is the one that is being filled. */
static void find_level(struct planner *p, uint32_t i, uint32_t least)
{
    struct value *v = &p->values[i];
    const struct graph_node *n = &p->graph->nodes[i];
    uint32_t level = least;

    for (uint32_t k = 0; k < n->n_inputs && !v->zero; k++) {
        uint32_t in = planner_find(p, graph_inputs(p->graph, i)[k]);

        if (p->values[in].ready > level)
            level = p->values[in].ready;
    }
    if ((n->op == GRAPH_BATCH_NORM || v->folded != 0) && p->plan->training && !v->zero)
        level++;
    if (n->op == GRAPH_LINEAR && (p->plan->training || p->group > 1))
        level++; /* with more images at a time, since its input is small */
    v->level = v->ready = level;
    v->cheap_depth = cheap_depth_of(p, i);
    v->thin = is_thin(p, i);
    v->steps = v->cheap_depth > 0 || v->thin ? steps_of(p, i) : 0;
}

/* Are the packed weights of an inferring plan so few that they may stay? */
static bool few_packed(const struct planner *p)
{
    uint64_t all = 0;

    for (uint32_t i = 1; i < p->graph->n_nodes; i++)
        if (p->values[i].live && p->values[i].same == i)
            all += packed_bytes(p, i);
    return !p->plan->training && all <= PACKED_BYTES_MAX;
}

static void find_levels(struct planner *p)
{
    uint32_t least = 0, packed = 0;

    for (uint32_t i = 1; i < p->graph->n_nodes; i++) {
        struct value *v = &p->values[i];

        if (!v->live || v->same != i || (v->zero && v->uses == 0 && !is_output(p, i)))
            continue;
        if (!p->plan->training && !p->plan->resident) {
            packed += packed_bytes(p, i);
            if (packed > PACKED_BYTES_MAX) {
                least++;
                packed = packed_bytes(p, i);
            }
        }
        find_level(p, i, least);
        if (v->level > least && !p->plan->training)
            least = v->level;
        if (v->level + 1 > p->n_levels)
            p->n_levels = v->level + 1;
    }
}

static bool find_values(struct planner *p)
{
    struct graph_value *found = malloc(p->graph->n_nodes * sizeof *found);

    if (found == NULL)
        return false;
    graph_values(p->graph, p->plan->training, found);
    for (uint32_t i = 0; i < p->graph->n_nodes; i++) {
        struct value *v = &p->values[i];

        v->same = found[i].same;
        v->uses = found[i].uses;
        v->folded = found[i].norm;
        v->act = found[i].act != 0 ? act_of(p->graph->nodes[found[i].act].op) : ACT_NONE;
        v->live = found[i].live;
        v->zero = found[i].zero;
    }
    free(found);
    return true;
}

int plan_values(struct planner *p)
{
    if (!find_values(p))
        return FARM_ENOMEM;
    find_readers(p);
    p->values[planner_find(p, p->graph->output)].uses++; /* by the loss */
    if (aux_output(p) != 0)
        p->values[planner_find(p, aux_output(p))].uses++;
    p->n_levels = 1;
    p->plan->resident |= few_packed(p);
    find_levels(p);
    return FARM_OK;
}
