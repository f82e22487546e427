/* plan.c - steps, lifetimes and places.
 *
 * Time: step i runs forward at time i, the loss is taken at time n_steps, step i runs backward at time
 * 2*n_steps - i. An array is live from its first to its last time, both included.
 */
#include "plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING UINT32_MAX

struct buffer {
    uint64_t bytes, at;
    uint32_t first, last;
};

/* What is known of a node while planning. Of values that another one stands for, only `same` is. */
struct value {
    uint32_t same;     /* the node whose value this is; itself when it has its own */
    uint32_t uses;     /* reads by steps, a value read twice by one step counts twice */
    uint32_t last_use; /* step */
    uint32_t buffer, grad;
    uint32_t pure, next_pure; /* chain of the parameterless operations that read a value */
    bool live;
    bool zero;
    bool wants_grad;
    bool saved; /* backward reads it */
};

struct planner {
    const struct graph *graph;
    const struct kernels *kernels;
    struct plan *plan;
    struct value *values;
    struct buffer *buffers;
    uint32_t *step_value; /* of each step: the value it writes */
    uint32_t *input_value;
    uint32_t *step_aux; /* buffers */
    uint32_t n_buffers, cap_buffers;
    uint32_t batch;
    int error;
};

static size_t image_values(const struct graph_shape *s)
{
    return (size_t)s->h * s->w * s->c;
}

static uint32_t find(struct planner *p, uint32_t node)
{
    while (p->values[node].same != node)
        node = p->values[node].same;
    return node;
}

/* The value of the auxiliary logits; NOTHING where they are not needed. */
static uint32_t aux_of(struct planner *p)
{
    return p->plan->training && p->graph->aux != 0 ? find(p, p->graph->aux) : NOTHING;
}

/* 1. Which nodes are values of their own. */

static void mark_live(struct planner *p)
{
    const struct graph *g = p->graph;

    p->values[g->output].live = true;
    p->values[0].live = true;
    if (p->plan->training && g->aux != 0)
        p->values[g->aux].live = true;
    for (uint32_t i = g->n_nodes; i-- > 1;) {
        if (!p->values[i].live || g->nodes[i].op == GRAPH_ZERO)
            continue;
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++)
            p->values[graph_inputs(g, i)[k]].live = true;
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
static uint32_t find_twin(struct planner *p, uint32_t node, uint32_t in)
{
    const struct graph_node *nodes = p->graph->nodes;

    for (uint32_t i = p->values[in].pure; i != NOTHING; i = p->values[i].next_pure)
        if (same_attributes(&nodes[i], &nodes[node]))
            return i;
    p->values[node].next_pure = p->values[in].pure;
    p->values[in].pure = node;
    return node;
}

/* Sums: the only term that is not zero stands for the sum; NOTHING when there are none or several. */
static uint32_t only_term(struct planner *p, uint32_t node, bool *all_zero)
{
    uint32_t only = NOTHING, n = 0;

    for (uint32_t k = 0; k < p->graph->nodes[node].n_inputs; k++) {
        uint32_t in = find(p, graph_inputs(p->graph, node)[k]);

        if (p->values[in].zero)
            continue;
        only = in;
        n++;
    }
    *all_zero = n == 0;
    return n == 1 ? only : NOTHING;
}

static void identify(struct planner *p, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    struct value *v = &p->values[i];
    uint32_t in = find(p, graph_inputs(p->graph, i)[0]), only;
    bool all_zero;

    switch (n->op) {
    case GRAPH_ZERO: v->zero = true; return;
    case GRAPH_IDENTITY: v->same = in; return;
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH:
        if (!p->plan->training || p->values[in].zero)
            v->same = in;
        return;
    case GRAPH_RELU:
        v->same = p->graph->nodes[in].op == GRAPH_RELU ? in : find_twin(p, i, in);
        v->zero = p->values[in].zero;
        return;
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: v->same = find_twin(p, i, in); return; /* of zero they are 1/2 */
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL:
    case GRAPH_GLOBAL_AVG_POOL:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SLICE:
    case GRAPH_CHANNEL_SHUFFLE:
    case GRAPH_RESIZE:
        v->same = find_twin(p, i, in);
        v->zero = p->values[in].zero;
        return;
    case GRAPH_ADD:
        only = only_term(p, i, &all_zero);
        v->zero = all_zero;
        if (only != NOTHING)
            v->same = only;
        return;
    case GRAPH_CONCAT:
        (void)only_term(p, i, &all_zero);
        v->zero = all_zero;
        return;
    default: return;
    }
}

static void count_uses(struct planner *p)
{
    const struct graph *g = p->graph;

    for (uint32_t i = 1; i < g->n_nodes; i++) {
        const struct value *v = &p->values[i];

        if (!v->live || v->same != i || v->zero)
            continue;
        for (uint32_t k = 0; k < g->nodes[i].n_inputs; k++) {
            uint32_t in = find(p, graph_inputs(g, i)[k]);

            if (g->nodes[i].op != GRAPH_ADD || !p->values[in].zero)
                p->values[in].uses++;
        }
    }
}

/* A ReLU that alone reads a batch norm becomes that batch norm's value. */
static void fuse_relu(struct planner *p, bool *relu)
{
    const struct graph *g = p->graph;
    uint32_t output = find(p, g->output), aux = aux_of(p);

    for (uint32_t i = 1; i < g->n_nodes; i++) {
        uint32_t in;

        if (g->nodes[i].op != GRAPH_RELU || !p->values[i].live || p->values[i].same != i ||
            p->values[i].zero)
            continue;
        in = find(p, graph_inputs(g, i)[0]);
        if (g->nodes[in].op != GRAPH_BATCH_NORM || p->values[in].uses != 1 || in == output ||
            in == aux)
            continue;
        p->values[i].same = in;
        p->values[in].uses = p->values[i].uses;
        relu[in] = true;
    }
}

/* 2. Steps. */

static bool has_weights(const struct graph_node *n)
{
    return n->op == GRAPH_CONV || n->op == GRAPH_LINEAR || (n->op == GRAPH_BATCH_NORM && n->affine);
}

static struct window window_of(const struct graph_node *n, const struct graph_shape *in,
                               uint32_t batch)
{
    struct window w = {.n = (int)batch,
                       .h = (int)in->h,
                       .w = (int)in->w,
                       .c = (int)in->c,
                       .oh = (int)n->shape.h,
                       .ow = (int)n->shape.w,
                       .k = (int)n->shape.c,
                       .kh = (int)n->kernel_h,
                       .kw = (int)n->kernel_w,
                       .stride = (int)n->stride,
                       .dilation = (int)n->dilation,
                       .groups = (int)n->groups,
                       .pad_y = n->pad_y,
                       .pad_x = n->pad_x};

    return w;
}

static void append_step(struct planner *p, uint32_t i, bool relu)
{
    const struct graph_node *n = &p->graph->nodes[i];
    struct plan *plan = p->plan;
    uint32_t s = plan->n_steps++;
    struct plan_step *step = &plan->steps[s];

    *step = (struct plan_step){.node = *n, .index = i, .relu = relu};
    step->first_input = plan->n_inputs;
    step->y = step->dy = step->aux = PLAN_NONE;
    step->y_values = image_values(&n->shape);
    p->step_value[s] = i;
    p->values[i].wants_grad = has_weights(n);
    if (p->values[i].zero) { /* the plain zeros that something other than a sum reads */
        step->node.op = GRAPH_ZERO;
        return;
    }
    for (uint32_t k = 0; k < n->n_inputs; k++) {
        uint32_t in = find(p, graph_inputs(p->graph, i)[k]);

        if (n->op == GRAPH_ADD && p->values[in].zero)
            continue;
        plan->inputs[plan->n_inputs] = (struct plan_input){
            .x = PLAN_NONE,
            .dx = PLAN_NONE,
            .c = p->graph->nodes[in].shape.c,
            .pixels = (size_t)p->graph->nodes[in].shape.h * p->graph->nodes[in].shape.w};
        p->input_value[plan->n_inputs++] = in;
        step->n_inputs++;
        p->values[in].last_use = s;
        p->values[i].wants_grad |= p->values[in].wants_grad;
    }
    if (step->n_inputs > 0) {
        const struct graph_shape *in = &p->graph->nodes[p->input_value[step->first_input]].shape;

        step->in_pixels = (size_t)in->h * in->w;
        if (n->op == GRAPH_CONV || n->op == GRAPH_MAX_POOL || n->op == GRAPH_AVG_POOL ||
            n->op == GRAPH_RESIZE)
            step->window = window_of(n, in, p->batch);
    }
}

static void list_steps(struct planner *p, const bool *relu)
{
    uint32_t output = find(p, p->graph->output), aux = aux_of(p);

    for (uint32_t i = 1; i < p->graph->n_nodes; i++) {
        const struct value *v = &p->values[i];

        if (v->live && v->same == i && (!v->zero || v->uses > 0 || i == output || i == aux))
            append_step(p, i, relu[i]);
    }
}

/* 3. Lifetimes. */

static uint32_t add_buffer(struct planner *p, uint64_t bytes, uint32_t first, uint32_t last)
{
    if (p->error != FARM_OK)
        return 0;
    if (p->n_buffers == p->cap_buffers) {
        uint32_t cap = p->cap_buffers > 0 ? 2 * p->cap_buffers : 256;
        struct buffer *bigger = realloc(p->buffers, cap * sizeof *bigger);

        if (bigger == NULL) {
            p->error = FARM_ENOMEM;
            return 0;
        }
        p->buffers = bigger;
        p->cap_buffers = cap;
    }
    bytes = (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
    p->buffers[p->n_buffers] = (struct buffer){.bytes = bytes, .first = first, .last = last};
    return p->n_buffers++;
}

static void lengthen(struct planner *p, uint32_t buffer, uint32_t time)
{
    if (p->error == FARM_OK && p->buffers[buffer].last < time)
        p->buffers[buffer].last = time;
}

static uint64_t batch_bytes(const struct planner *p, uint32_t node)
{
    return (uint64_t)image_values(&p->graph->nodes[node].shape) * p->batch * sizeof(float);
}

/* In backward, that is. */
static bool reads_inputs_again(const struct plan_step *step)
{
    enum graph_op op = step->node.op;

    return step->backward && (op == GRAPH_CONV || op == GRAPH_LINEAR || op == GRAPH_BATCH_NORM ||
                              op == GRAPH_MUL || (graph_is_activation(op) && op != GRAPH_RELU));
}

static bool reads_output_again(const struct plan_step *step)
{
    return step->backward && (step->relu || step->node.op == GRAPH_RELU);
}

/* Which steps do something in backward, and which values they read then. */
static void mark_saved(struct planner *p)
{
    struct plan *plan = p->plan;

    for (uint32_t s = 0; s < plan->n_steps; s++) {
        struct plan_step *step = &plan->steps[s];
        uint32_t y = p->step_value[s];

        step->backward = plan->training && p->values[y].wants_grad;
        for (uint32_t k = 0; reads_inputs_again(step) && k < step->n_inputs; k++)
            p->values[p->input_value[step->first_input + k]].saved = true;
        if (reads_output_again(step))
            p->values[y].saved = true;
    }
}

/* May step s write over its (only) input? */
static bool in_place(struct planner *p, uint32_t s)
{
    const struct plan_step *step = &p->plan->steps[s];
    uint32_t x = step->n_inputs == 1 ? p->input_value[step->first_input] : 0;

    switch (step->node.op) {
    case GRAPH_RELU:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID:
    case GRAPH_DROP_PATH: break;
    case GRAPH_BATCH_NORM:
        if (p->plan->training)
            return false;
        break;
    default: return false;
    }
    return x != 0 && x != find(p, p->graph->output) && x != aux_of(p) &&
           p->values[x].last_use == s && !p->values[x].saved;
}

static uint64_t aux_bytes(const struct planner *p, uint32_t s)
{
    const struct plan_step *step = &p->plan->steps[s];

    switch (step->node.op) {
    case GRAPH_MAX_POOL: return (uint64_t)step->y_values * p->batch * sizeof(int32_t);
    case GRAPH_BATCH_NORM:
        return p->plan->training ? 2 * sizeof(float) * (uint64_t)step->node.shape.c : 0;
    case GRAPH_DROPOUT: return (uint64_t)step->y_values * p->batch;
    case GRAPH_DROP_PATH: return (uint64_t)p->batch * sizeof(float);
    default: return 0;
    }
}

static void plan_forward(struct planner *p)
{
    struct plan *plan = p->plan;
    uint32_t end = 2 * plan->n_steps;
    struct value *output = &p->values[find(p, p->graph->output)];

    /* the images stay: a caller may run forward twice on them */
    p->values[0].buffer = add_buffer(p, batch_bytes(p, 0), 0, end);
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        struct plan_step *step = &plan->steps[s];
        uint32_t y = p->step_value[s], back = end - s;
        uint64_t aux = aux_bytes(p, s);

        for (uint32_t k = 0; k < step->n_inputs; k++)
            lengthen(p, p->values[p->input_value[step->first_input + k]].buffer, s);
        if (in_place(p, s))
            p->values[y].buffer = p->values[p->input_value[step->first_input]].buffer;
        else
            p->values[y].buffer = add_buffer(p, batch_bytes(p, y), s, s);
        if (aux > 0)
            p->step_aux[s] = add_buffer(p, aux, s, step->backward ? back : s);
        if (reads_output_again(step))
            lengthen(p, p->values[y].buffer, back);
        for (uint32_t k = 0; reads_inputs_again(step) && k < step->n_inputs; k++)
            lengthen(p, p->values[p->input_value[step->first_input + k]].buffer, back);
    }
    /* the loss reads the logits, and so does the caller after backward */
    lengthen(p, output->buffer, end);
    if (aux_of(p) != NOTHING)
        lengthen(p, p->values[aux_of(p)].buffer, plan->n_steps);
}

static enum plan_grad plan_input_gradient(struct planner *p, uint32_t s, uint32_t x, uint32_t time)
{
    const struct plan_step *step = &p->plan->steps[s];
    struct value *v = &p->values[x];
    /* kernels.h has no batch norm without dx: what nobody wants goes to an array of its own */
    bool unwanted = !v->wants_grad && step->node.op == GRAPH_BATCH_NORM;

    if (!v->wants_grad && !unwanted)
        return PLAN_GRAD_NONE;
    if (v->grad != NOTHING) /* it lives on until the producer's backward, which is later */
        return PLAN_GRAD_ADD;
    if (step->node.op == GRAPH_ADD && v->uses == 1) {
        v->grad = p->values[p->step_value[s]].grad;
        return PLAN_GRAD_NONE;
    }
    v->grad = add_buffer(p, batch_bytes(p, x), time, time);
    return PLAN_GRAD_FIRST;
}

/* The loss contributes to the gradient of these logits, unless they are NOTHING or nothing behind them is trained. */
static void plan_loss(struct planner *p, uint32_t logits)
{
    struct value *v = logits != NOTHING ? &p->values[logits] : NULL;
    uint32_t time = p->plan->n_steps;

    if (v == NULL || !v->wants_grad || v->grad != NOTHING)
        return;
    v->grad = add_buffer(p, batch_bytes(p, logits), time, time);
    v->uses++; /* by the loss: its gradient is never shared */
}

static void plan_backward(struct planner *p)
{
    struct plan *plan = p->plan;

    if (!plan->training)
        return;
    plan_loss(p, find(p, p->graph->output));
    plan_loss(p, aux_of(p));
    for (uint32_t s = plan->n_steps; s-- > 0;) {
        struct plan_step *step = &plan->steps[s];
        uint32_t time = 2 * plan->n_steps - s;

        if (!step->backward)
            continue;
        assert(p->error != FARM_OK || p->values[p->step_value[s]].grad != NOTHING);
        lengthen(p, p->values[p->step_value[s]].grad, time);
        for (uint32_t k = 0; k < step->n_inputs; k++) {
            struct plan_input *in = &plan->inputs[step->first_input + k];
            uint32_t x = p->input_value[step->first_input + k];

            in->grad = plan_input_gradient(p, s, x, time);
            if (in->grad != PLAN_GRAD_NONE)
                in->dx = p->values[x].grad; /* a buffer for now, an offset once placed */
            if (!p->values[x].wants_grad)
                p->values[x].grad = NOTHING;
        }
    }
}

/* 4. Places: the largest first, each into the tightest gap among those that are live with it
 * (Pisarchyk, Lee 2020, arXiv:2001.03288, "greedy by size"). */

static int by_size(const void *a, const void *b, void *buffers)
{
    const struct buffer *all = buffers;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

    if (i == 0 || j == 0) /* the images are buffer 0 and at offset 0 in every plan */
        return (j == 0) - (i == 0);
    if (all[i].bytes != all[j].bytes)
        return all[i].bytes > all[j].bytes ? -1 : 1;
    return i < j ? -1 : 1;
}

static uint64_t best_gap(const struct buffer *all, const uint32_t *placed, uint32_t n,
                         const struct buffer *b)
{
    uint64_t end = 0, best = PLAN_NONE, tightest = UINT64_MAX;

    for (uint32_t i = 0; i < n; i++) {
        const struct buffer *o = &all[placed[i]];

        if (o->last < b->first || o->first > b->last)
            continue;
        if (o->at > end && o->at - end >= b->bytes && o->at - end < tightest) {
            tightest = o->at - end;
            best = end;
        }
        if (o->at + o->bytes > end)
            end = o->at + o->bytes;
    }
    return best != PLAN_NONE ? best : end;
}

static int place(struct planner *p)
{
    uint32_t n = p->n_buffers, n_placed = 0;
    uint32_t *order = malloc(2 * (size_t)n * sizeof *order), *placed;

    if (order == NULL)
        return FARM_ENOMEM;
    placed = order + n;
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order, n, sizeof *order, by_size, p->buffers);
    for (uint32_t i = 0; i < n; i++) {
        struct buffer *b = &p->buffers[order[i]];
        uint32_t at = n_placed;

        b->at = best_gap(p->buffers, placed, n_placed, b);
        while (at > 0 && p->buffers[placed[at - 1]].at > b->at)
            at--;
        memmove(&placed[at + 1], &placed[at], (n_placed - at) * sizeof *placed);
        placed[at] = order[i];
        n_placed++;
        if (b->at + b->bytes > p->plan->bytes)
            p->plan->bytes = b->at + b->bytes;
    }
    free(order);
    return FARM_OK;
}

/* Buffers become offsets. */
static void write_offsets(struct planner *p, uint32_t scratch)
{
    struct plan *plan = p->plan;
    const struct value *output = &p->values[find(p, p->graph->output)];

    for (uint32_t s = 0; s < plan->n_steps; s++) {
        struct plan_step *step = &plan->steps[s];
        const struct value *y = &p->values[p->step_value[s]];

        step->y = p->buffers[y->buffer].at;
        if (step->backward)
            step->dy = p->buffers[y->grad].at;
        if (p->step_aux[s] != NOTHING)
            step->aux = p->buffers[p->step_aux[s]].at;
    }
    for (uint32_t i = 0; i < plan->n_inputs; i++) {
        plan->inputs[i].x = p->buffers[p->values[p->input_value[i]].buffer].at;
        if (plan->inputs[i].grad != PLAN_GRAD_NONE)
            plan->inputs[i].dx = p->buffers[plan->inputs[i].dx].at;
    }
    plan->input = p->buffers[p->values[0].buffer].at;
    plan->logits = p->buffers[output->buffer].at;
    plan->dlogits = output->grad != NOTHING ? p->buffers[output->grad].at : PLAN_NONE;
    plan->scratch = p->buffers[scratch].at;
    plan->aux_logits = plan->aux_dlogits = PLAN_NONE;
    if (aux_of(p) != NOTHING) {
        const struct value *aux = &p->values[aux_of(p)];

        plan->aux_logits = p->buffers[aux->buffer].at;
        plan->aux_dlogits = aux->grad != NOTHING ? p->buffers[aux->grad].at : PLAN_NONE;
    }
}

/* Scratch, after the largest of what a pass keeps in front of it. */
static size_t conv_scratch(const struct kernels *k, const struct window *w)
{
    static const enum conv_part parts[] = {CONV_PACKED_FORWARD, CONV_PACKED_INPUT, CONV_SUMS};
    size_t most = 0;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = k->conv_floats(w, parts[i]);

        most = n > most ? n : most;
    }
    return most + k->conv_floats(w, CONV_SCRATCH);
}

static uint64_t scratch_bytes(const struct planner *p)
{
    uint64_t most = 0;

    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        const struct plan_step *step = &p->plan->steps[s];
        uint64_t floats = step->node.op == GRAPH_CONV ? conv_scratch(p->kernels, &step->window) : 0;

        if (floats > most)
            most = floats;
    }
    return most * sizeof(float);
}

static int prepare(struct planner *p)
{
    const struct graph *g = p->graph;
    size_t n = g->n_nodes;

    p->values = calloc(n, sizeof *p->values);
    p->plan->steps = calloc(n, sizeof *p->plan->steps);
    p->plan->inputs = calloc((size_t)g->n_inputs + 1, sizeof *p->plan->inputs);
    p->step_value = calloc(n, sizeof *p->step_value);
    p->step_aux = calloc(n, sizeof *p->step_aux);
    p->input_value = calloc((size_t)g->n_inputs + 1, sizeof *p->input_value);
    if (p->values == NULL || p->plan->steps == NULL || p->plan->inputs == NULL ||
        p->step_value == NULL || p->step_aux == NULL || p->input_value == NULL)
        return FARM_ENOMEM;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        struct value *v = &p->values[i];

        v->same = i;
        v->buffer = v->grad = v->pure = v->next_pure = p->step_aux[i] = NOTHING;
    }
    return FARM_OK;
}

static int make(struct planner *p)
{
    bool *relu;
    uint32_t scratch;
    int rc = prepare(p);

    if (rc != FARM_OK)
        return rc;
    if ((relu = calloc(p->graph->n_nodes, sizeof *relu)) == NULL)
        return FARM_ENOMEM;
    mark_live(p);
    for (uint32_t i = 1; i < p->graph->n_nodes; i++)
        if (p->values[i].live)
            identify(p, i);
    count_uses(p);
    fuse_relu(p, relu);
    list_steps(p, relu);
    free(relu);
    mark_saved(p);
    plan_forward(p);
    plan_backward(p);
    scratch = add_buffer(p, scratch_bytes(p), 0, 2 * p->plan->n_steps);
    if (p->error != FARM_OK || (rc = place(p)) != FARM_OK)
        return p->error != FARM_OK ? p->error : rc;
    write_offsets(p, scratch);
    return FARM_OK;
}

int plan_create(struct plan **out, const struct graph *graph, uint32_t batch, bool training,
                const struct kernels *kernels)
{
    struct planner p = {.graph = graph, .kernels = kernels, .batch = batch, .error = FARM_OK};
    int rc = FARM_ENOMEM;

    assert(batch >= 1);
    if ((p.plan = calloc(1, sizeof *p.plan)) != NULL) {
        p.plan->training = training;
        rc = make(&p);
    }
    if (rc == FARM_OK)
        *out = p.plan;
    else
        plan_destroy(&p.plan);
    free(p.values);
    free(p.buffers);
    free(p.step_value);
    free(p.step_aux);
    free(p.input_value);
    return rc;
}

void plan_destroy(struct plan **self)
{
    if (*self == NULL)
        return;
    free((*self)->steps);
    free((*self)->inputs);
    free(*self);
    *self = NULL;
}
