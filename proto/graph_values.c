/* graph_values.c - what needs no work, what is computed once, and what runs in one pass. */
#include "graph_values.h"

struct walk {
    const struct graph *graph;
    struct graph_value *values;
    bool training;
};

static uint32_t aux_output(const struct walk *w)
{
    return w->training ? w->graph->aux : 0;
}

static bool is_output(const struct walk *w, uint32_t value)
{
    uint32_t aux = aux_output(w);

    return value == graph_value_of(w->values, w->graph->output) ||
           (aux != 0 && value == graph_value_of(w->values, aux));
}

static void mark_live(struct walk *w)
{
    const struct graph *g = w->graph;

    w->values[g->output].live = true;
    w->values[aux_output(w)].live = true;
    w->values[0].live = true;
    for (uint32_t i = g->n_nodes; i-- > 1;) {
        if (!w->values[i].live || g->nodes[i].op == GRAPH_ZERO)
            continue;
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++)
            w->values[graph_inputs(g, i)[k]].live = true;
    }
}

static bool same_attributes(const struct graph_node *a, const struct graph_node *b)
{
    return a->op == b->op && a->kernel_h == b->kernel_h && a->kernel_w == b->kernel_w &&
           a->stride == b->stride && a->pad_y == b->pad_y && a->pad_x == b->pad_x &&
           a->valid == b->valid && a->groups == b->groups && a->channels == b->channels &&
           a->offset == b->offset && a->height == b->height && a->width == b->width &&
           a->mode == b->mode;
}

/* The node that already computes the same of the same value, or node itself. */
static uint32_t find_twin(struct walk *w, uint32_t node, uint32_t in)
{
    const struct graph_node *nodes = w->graph->nodes;

    for (uint32_t i = w->values[in].pure; i != GRAPH_NO; i = w->values[i].next_pure)
        if (same_attributes(&nodes[i], &nodes[node]))
            return i;
    w->values[node].next_pure = w->values[in].pure;
    w->values[in].pure = node;
    return node;
}

/* Sums: the only term that is not zero stands for the sum; GRAPH_NO when there are none or several. */
static uint32_t only_term(struct walk *w, uint32_t node, bool *all_zero)
{
    uint32_t only = GRAPH_NO, n = 0;

    for (uint32_t k = 0; k < w->graph->nodes[node].n_inputs; k++) {
        uint32_t in = graph_value_of(w->values, graph_inputs(w->graph, node)[k]);

        if (w->values[in].zero)
            continue;
        only = in;
        n++;
    }
    *all_zero = n == 0;
    return n == 1 ? only : GRAPH_NO;
}

static void identify(struct walk *w, uint32_t i)
{
    const struct graph_node *n = &w->graph->nodes[i];
    struct graph_value *v = &w->values[i];
    uint32_t in = graph_value_of(w->values, graph_inputs(w->graph, i)[0]), only;
    bool all_zero;

    switch (n->op) {
    case GRAPH_ZERO: v->zero = true; return;
    case GRAPH_IDENTITY: v->same = in; return;
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH:
        if (!w->training || w->values[in].zero)
            v->same = in;
        return;
    case GRAPH_RELU:
        v->same = w->graph->nodes[in].op == GRAPH_RELU ? in : find_twin(w, i, in);
        v->zero = w->values[in].zero;
        return;
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: v->same = find_twin(w, i, in); return; /* of zero they are 1/2 */
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
    case GRAPH_GLOBAL_AVG_POOL:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SLICE:
    case GRAPH_CHANNEL_SHUFFLE:
    case GRAPH_RESIZE:
        v->same = find_twin(w, i, in);
        v->zero = w->values[in].zero;
        return;
    case GRAPH_ADD:
        only = only_term(w, i, &all_zero);
        v->zero = all_zero;
        if (only != GRAPH_NO)
            v->same = only;
        return;
    case GRAPH_CONCAT:
        (void)only_term(w, i, &all_zero);
        v->zero = all_zero;
        return;
    default: return;
    }
}

static void count_uses(struct walk *w)
{
    const struct graph *g = w->graph;

    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const struct graph_value *v = &w->values[i];

        if (!v->live || v->same != i || v->zero)
            continue;
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++) {
            struct graph_value *in = &w->values[graph_value_of(w->values, graph_inputs(g, i)[k])];

            in->uses += g->nodes[i].op != GRAPH_ADD || !in->zero;
        }
    }
}

/* A pointwise convolution from few channels to many: what statistics of its output need is sooner had from its input. */
static bool widens(const struct walk *w, uint32_t i)
{
    const struct graph_node *n = &w->graph->nodes[i];
    uint32_t c = w->graph->nodes[graph_inputs(w->graph, i)[0]].shape.c;

    return n->op == GRAPH_CONV && n->kernel_h == 1 && n->kernel_w == 1 && n->stride == 1 &&
           n->pad_y == 0 && n->pad_x == 0 && n->groups == 1 && !n->bias &&
           c <= GRAPH_FEW_CHANNELS && n->channels >= 3 * c;
}

/* May its weights take up a batch norm that alone reads it? */
static bool folds(const struct walk *w, uint32_t i)
{
    enum graph_op op = w->graph->nodes[i].op;

    return w->training ? widens(w, i) : op == GRAPH_CONV || op == GRAPH_LINEAR;
}

/* An activation of which the output says all that backward asks of the input. */
static bool is_cut(enum graph_op op)
{
    return op == GRAPH_RELU || op == GRAPH_RELU6;
}

/* Does value i become part of the step of value `in`, which it alone reads? An activation behind a batch norm does; at
 * inference a batch norm behind a convolution or linear layer too, and an activation behind that; in training these behind
 * convolutions that widen. */
static bool fuses(const struct walk *w, uint32_t i, uint32_t in)
{
    const struct graph_value *maker = &w->values[in];

    if (maker->zero || maker->uses != 1 || maker->act != 0 || is_output(w, in))
        return false;
    if (w->graph->nodes[i].op == GRAPH_BATCH_NORM)
        return folds(w, in) && maker->norm == 0;
    if (!graph_is_activation(w->graph->nodes[i].op))
        return false;
    if (w->training && maker->norm != 0)
        return is_cut(w->graph->nodes[i].op);
    return w->graph->nodes[in].op == GRAPH_BATCH_NORM || (!w->training && folds(w, in));
}

/* In node order, so that a norm is folded before the activation behind it is looked at. */
static void fuse(struct walk *w)
{
    const struct graph *g = w->graph;

    for (uint32_t i = 1; i < g->n_nodes; i++) {
        struct graph_value *v = &w->values[i], *maker;
        uint32_t in;

        if (!v->live || v->same != i || v->zero)
            continue;
        in = graph_value_of(w->values, graph_inputs(g, i)[0]);
        if (!fuses(w, i, in))
            continue;
        maker = &w->values[in];
        v->same = in;
        maker->uses = v->uses;
        if (g->nodes[i].op == GRAPH_BATCH_NORM)
            maker->norm = i;
        else
            maker->act = i;
    }
}

void graph_values(const struct graph *graph, bool training, struct graph_value *values)
{
    struct walk w = {graph, values, training};

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        values[i] = (struct graph_value){.same = i, .pure = GRAPH_NO, .next_pure = GRAPH_NO};
    mark_live(&w);
    for (uint32_t i = 1; i < graph->n_nodes; i++)
        if (values[i].live)
            identify(&w, i);
    count_uses(&w);
    fuse(&w);
}
