/* plan_steps.c - the steps, level by level, and what backward reads again. */
#include <stdlib.h>
#include <string.h>

#include "plan_inside.h"

bool planner_grow(struct planner *p, void *array, uint32_t n, uint32_t *cap, size_t each)
{
    uint32_t want = *cap > 0 ? 2 * *cap : 128;
    void *old, *bigger;

    if (p->error != FARM_OK)
        return false;
    if (n < *cap)
        return true;
    memcpy(&old, array, sizeof old); /* a pointer of any type */
    bigger = *cap <= UINT32_MAX / 2 ? realloc(old, want * each) : NULL;
    if (bigger == NULL) {
        p->error = FARM_ENOMEM;
        return false;
    }
    memcpy(array, &bigger, sizeof bigger);
    *cap = want;
    return true;
}

static bool has_weights(const struct graph_node *n)
{
    return n->op == GRAPH_CONV || n->op == GRAPH_LINEAR || (n->op == GRAPH_BATCH_NORM && n->affine);
}

static struct window window_of(const struct graph_node *n, const struct graph_shape *in)
{
    struct window w = {.n = 1,
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

/* Both arrays of steps, and both of inputs, grow together. */
static bool room_for_step(struct planner *p)
{
    uint32_t cap = p->cap_steps;

    return planner_grow(p, &p->plan->steps, p->plan->n_steps, &cap, sizeof *p->plan->steps) &&
           planner_grow(p, &p->todo, p->plan->n_steps, &p->cap_steps, sizeof *p->todo);
}

static bool room_for_input(struct planner *p)
{
    uint32_t n = p->plan->n_inputs, a = p->cap_inputs, b = p->cap_inputs;

    return planner_grow(p, &p->plan->inputs, n, &a, sizeof *p->plan->inputs) &&
           planner_grow(p, &p->input_value, n, &b, sizeof *p->input_value) &&
           planner_grow(p, &p->input_step, n, &p->cap_inputs, sizeof *p->input_step);
}

/* A batch norm says once who it is, and is entered with what it reads, or what the convolution reads into which it is
 * folded. */
static void add_norm(struct planner *p, uint32_t i, uint32_t x, uint32_t conv)
{
    struct plan *plan = p->plan;
    const struct graph_node *n = &p->graph->nodes[i];
    struct value *v = &p->values[i];
    uint32_t m = plan->n_norms++;
    struct plan_array none = {PLAN_NONE, 0};

    v->norm = m;
    plan->norms[m] = (struct plan_norm){.index = i,
                                        .next = PLAN_NO,
                                        .c = (int)n->shape.c,
                                        .g = none,
                                        .conv = PLAN_NO,
                                        .last = PLAN_NO,
                                        .affine = n->affine,
                                        .epsilon = n->rate};
    if (!plan->training)
        return;
    if (conv != i) {
        const struct graph_shape *in = &p->graph->nodes[x].shape;

        plan->norms[m].conv = conv;
        plan->norms[m].conv_c = (int)in->c;
        plan->norms[m].mix = window_of(&p->graph->nodes[conv], in);
        plan->norms[m].mix.k = (int)in->c;
    }
    plan->norms[m].next = p->values[x].first_reader;
    p->values[x].first_reader = m;
}

static void add_step(struct planner *p, uint32_t i, uint32_t level);

/* The step of this level that computes a value, made if need be; PLAN_NO: another level did. */
static uint32_t step_of(struct planner *p, uint32_t value, uint32_t level)
{
    struct value *v = &p->values[value];

    if (value == 0)
        return PLAN_NO;
    if (computed_once(v) && v->level == level)
        return v->step;
    if (v->thin) {
        if (v->copy == PLAN_NO || p->todo[v->copy].segment != level)
            add_step(p, value, level);
        return v->copy;
    }
    if (computed_once(v))
        return PLAN_NO;
    if (v->step == PLAN_NO || p->todo[v->step].segment != level)
        add_step(p, value, level); /* no deeper than cheap values are */
    return v->step;
}

static void add_input(struct planner *p, uint32_t in, uint32_t level)
{
    struct plan *plan = p->plan;
    struct value *v = &p->values[in];
    uint32_t maker = step_of(p, in, level);

    if (!room_for_input(p))
        return;
    plan->inputs[plan->n_inputs] =
        (struct plan_input){.x = {PLAN_NONE, 0},
                            .x_back = {PLAN_NONE, 0},
                            .dx = {PLAN_NONE, 0},
                            .values = image_values(&p->graph->nodes[in].shape),
                            .c = p->graph->nodes[in].shape.c};
    p->input_value[plan->n_inputs] = in;
    p->input_step[plan->n_inputs++] = maker;
    if (maker == PLAN_NO)
        v->full = true;
    else
        p->todo[maker].uses++;
}

static void fill_step(struct planner *p, struct plan_step *step, uint32_t i)
{
    const struct graph_node *n = &p->graph->nodes[i];
    const struct graph_shape *in;

    if (step->n_inputs == 0)
        return;
    in = &p->graph->nodes[p->input_value[step->first_input]].shape;
    step->in_pixels = (size_t)in->h * in->w;
    if (n->op == GRAPH_CONV || n->op == GRAPH_MAX_POOL || n->op == GRAPH_AVG_POOL ||
        n->op == GRAPH_RESIZE)
        step->window = window_of(n, in);
}

/* First everything it reads, so that its own inputs lie one behind the other; then the step itself. */
static void add_step(struct planner *p, uint32_t i, uint32_t level)
{
    const struct graph_node *n = &p->graph->nodes[i];
    struct value *v = &p->values[i];
    struct plan_array none = {PLAN_NONE, 0};
    struct plan_step step = {.node = *n,
                             .index = i,
                             .norm = PLAN_NO,
                             .first_reader = PLAN_NO,
                             .act = v->act,
                             .y = none,
                             .stage = none,
                             .y_back = none,
                             .dy = none,
                             .packed = PLAN_NONE,
                             .packed_back = PLAN_NONE,
                             .packed_dx = PLAN_NONE,
                             .sums = PLAN_NONE,
                             .aux = none,
                             .y_values = image_values(&n->shape)};
    uint32_t n_inputs = v->zero ? 0 : n->n_inputs;

    if (v->zero) /* the plain zeros that something other than a sum reads */
        step.node.op = GRAPH_ZERO;
    for (uint32_t k = 0; k < n_inputs; k++)
        (void)step_of(p, planner_find(p, graph_inputs(p->graph, i)[k]), level);
    v->wants_grad = has_weights(n) && !v->zero;
    step.first_input = p->plan->n_inputs;
    for (uint32_t k = 0; k < n_inputs && p->error == FARM_OK; k++) {
        uint32_t in = planner_find(p, graph_inputs(p->graph, i)[k]);

        if (n->op == GRAPH_ADD && p->values[in].zero)
            continue;
        add_input(p, in, level);
        v->wants_grad |= p->values[in].wants_grad;
        step.n_inputs++;
    }
    if (!room_for_step(p))
        return;
    if (step.node.op == GRAPH_BATCH_NORM || v->folded != 0) {
        uint32_t norm = v->folded != 0 ? v->folded : i;

        if (p->values[norm].norm == PLAN_NO)
            add_norm(p, norm, p->input_value[step.first_input], i);
        step.norm = p->values[norm].norm;
    }
    fill_step(p, &step, i);
    p->todo[p->plan->n_steps] =
        (struct todo){.value = i, .segment = level, .slot = PLAN_NO, .last_read = p->plan->n_steps};
    if (v->thin && v->level != level)
        v->copy = p->plan->n_steps;
    else
        v->step = p->plan->n_steps;
    p->plan->steps[p->plan->n_steps++] = step;
}

/* Chains of the values of each level that are computed once, in node order. */
static bool sort_by_level(struct planner *p)
{
    p->level_first = malloc(2 * (size_t)p->n_levels * sizeof *p->level_first);
    if (p->level_first == NULL)
        return false;
    p->level_last = p->level_first + p->n_levels;
    for (uint32_t l = 0; l < p->n_levels; l++)
        p->level_first[l] = p->level_last[l] = PLAN_NO;
    for (uint32_t i = 1; i < p->graph->n_nodes; i++) {
        struct value *v = &p->values[i];

        if (!v->live || v->same != i || !computed_once(v) || (v->zero && v->uses == 0))
            continue;
        v->next_of_level = PLAN_NO;
        if (p->level_first[v->level] == PLAN_NO)
            p->level_first[v->level] = i;
        else
            p->values[p->level_last[v->level]].next_of_level = i;
        p->level_last[v->level] = i;
    }
    return true;
}

/* Bytes of the step that reads and writes most, of one image or part. */
static uint64_t most_bytes(const struct planner *p, const struct plan_segment *segment)
{
    const struct plan *plan = p->plan;
    uint64_t most = 1;

    for (uint32_t s = segment->first; s < segment->first + segment->n; s++) {
        const struct plan_step *step = &plan->steps[s];
        uint64_t values = step->y_values;

        for (uint32_t k = 0; k < step->n_inputs; k++)
            values += plan->inputs[step->first_input + k].values;
        if (values > most)
            most = values;
    }
    return most * sizeof(float);
}

/* Does each pixel of what it writes depend on that pixel of what it reads, and on nothing else? */
static bool is_pointwise(const struct planner *p, const struct plan_step *step)
{
    const struct graph_node *n = &step->node;

    switch (n->op) {
    case GRAPH_CONV:
        return n->kernel_h == 1 && n->kernel_w == 1 && n->stride == 1 && n->groups == 1 &&
               n->pad_y == 0 && n->pad_x == 0;
    case GRAPH_MUL:
        return p->plan->inputs[step->first_input].values ==
               p->plan->inputs[step->first_input + 1].values;
    case GRAPH_BATCH_NORM:
    case GRAPH_ADD:
    case GRAPH_CONCAT:
    case GRAPH_SLICE:
    case GRAPH_CHANNEL_SHUFFLE:
    case GRAPH_ZERO: return true;
    default: return graph_is_activation(n->op);
    }
}

/* Pixels of the images of a segment whose steps are all pointwise; 0 when one is not, or sizes differ. */
static uint32_t pointwise_pixels(const struct planner *p, const struct plan_segment *segment)
{
    uint32_t pixels = 0;

    for (uint32_t s = segment->first; s < segment->first + segment->n; s++) {
        const struct plan_step *step = &p->plan->steps[s];
        uint32_t here = step->node.shape.h * step->node.shape.w;

        if (!is_pointwise(p, step) || (pixels != 0 && here != pixels))
            return 0;
        pixels = here;
    }
    return pixels;
}

static uint32_t split_of(const struct planner *p, const struct plan_segment *segment)
{
    uint32_t pixels = pointwise_pixels(p, segment), split = 1;
    uint64_t bytes = most_bytes(p, segment);

    uint64_t enough = p->finest ? 1 : PLAN_PART_BYTES;
    uint32_t least = p->finest ? 1 : PLAN_PART_PIXELS;

    while (bytes / split > enough && pixels % (2 * split) == 0 && pixels / (2 * split) >= least &&
           split < PLAN_SPLIT_MAX)
        split *= 2;
    return split;
}

/* From now on, a step's image is a part of one: a row of pixels. */
static void split_images(struct planner *p, const struct plan_segment *segment)
{
    for (uint32_t s = segment->first; s < segment->first + segment->n; s++) {
        struct plan_step *step = &p->plan->steps[s];

        step->split = segment->split;
        if (segment->split == 1)
            continue;
        step->y_values /= segment->split;
        step->in_pixels /= segment->split;
        step->window.h = step->window.oh = 1;
        step->window.w = step->window.ow = (int)step->in_pixels;
        for (uint32_t k = 0; k < step->n_inputs; k++)
            p->plan->inputs[step->first_input + k].values /= segment->split;
    }
}

/* As many images (or parts) as keep the arrays of every one of its steps in the cache. */
static void form_groups(struct planner *p, struct plan_segment *segment)
{
    uint64_t group, most = (uint64_t)p->group;

    segment->split = split_of(p, segment);
    split_images(p, segment);
    most = p->finest ? 1 : most * segment->split;
    group = (segment->split > 1 ? PLAN_PART_BYTES : PLAN_GROUP_BYTES) / most_bytes(p, segment);
    if (group < 1)
        group = 1;
    segment->group = (uint32_t)(group < most ? group : most);
}

static void list_segments(struct planner *p)
{
    struct plan *plan = p->plan;

    for (uint32_t level = 0; level < p->n_levels && p->error == FARM_OK; level++) {
        uint32_t first = plan->n_steps;
        struct plan_segment *segment = &plan->segments[plan->n_segments];

        /* until the whole segment is listed, steps are marked with their level; then with their segment */
        for (uint32_t i = p->level_first[level]; i != PLAN_NO; i = p->values[i].next_of_level)
            add_step(p, i, level);
        if (plan->n_steps == first || p->error != FARM_OK)
            continue;
        *segment = (struct plan_segment){.first = first, .n = plan->n_steps - first};
        form_groups(p, segment);
        for (uint32_t s = first; s < plan->n_steps; s++)
            p->todo[s].segment = plan->n_segments;
        plan->n_segments++;
    }
}

/* Cheap to do again in backward, though not in every segment. */
static bool recomputable(const struct plan_step *step)
{
    switch (step->node.op) {
    case GRAPH_CONV:
        return step->window.groups > 1 && step->window.groups == step->window.c &&
               step->window.k == step->window.c;
    case GRAPH_AVG_POOL:
    case GRAPH_MAX_POOL:
    case GRAPH_RESIZE: return true;
    default: return false;
    }
}

/* What is computed once meets its whole gradient at that step; its copies meet none. A cheap value meets, in each segment,
 * what the readers there send: none when they only compute again. */
static bool sends_back(const struct planner *p, uint32_t s)
{
    const struct value *v = &p->values[p->todo[s].value];

    return computed_once(v) ? s == v->step : p->todo[s].fed;
}

/* From the last step to the first: which values backward reads, and whether they are kept or computed again. */
static void mark_needed(struct planner *p)
{
    struct plan *plan = p->plan;

    for (uint32_t s = plan->n_steps; s-- > 0;) {
        struct plan_step *step = &plan->steps[s];
        struct todo *todo = &p->todo[s];
        struct value *v = &p->values[todo->value];

        step->backward = plan->training && v->wants_grad && sends_back(p, s);
        v->n_back += step->backward;
        if (step->backward && step->first_reader != PLAN_NO) /* gradients of norms come by it */
            todo->needed = true;
        if (step->backward && v->folded != 0 && step->act != ACT_NONE) /* its slope */
            todo->needed = true;
        if (todo->needed && computed_once(v) && !v->full && !v->thin && !recomputable(step))
            v->full = true;
        step->recompute = todo->needed && !v->full;
        for (uint32_t k = 0; k < step->n_inputs; k++) {
            uint32_t maker = p->input_step[step->first_input + k];
            bool again = step->recompute || (step->backward && reads_input_again(step, k));

            if (maker != PLAN_NO && again)
                p->todo[maker].needed = true;
            if (maker != PLAN_NO && step->backward)
                p->todo[maker].fed = true;
        }
        plan->segments[todo->segment].backward |= step->backward;
    }
}

/* Who reads what in forward; a step that nobody does is only there for backward. */
static void mark_reads(struct planner *p)
{
    for (uint32_t s = p->plan->n_steps; s-- > 0;) {
        struct plan_step *step = &p->plan->steps[s];

        step->forward =
            p->todo[s].wanted || step->first_reader != PLAN_NO || p->values[p->todo[s].value].full;
        for (uint32_t k = 0; k < step->n_inputs && step->forward; k++) {
            uint32_t maker = p->input_step[step->first_input + k];

            if (maker == PLAN_NO)
                continue;
            p->todo[maker].wanted = true;
            if (p->todo[maker].last_read < s)
                p->todo[maker].last_read = s;
        }
    }
}

void plan_steps(struct planner *p)
{
    uint32_t output = planner_find(p, p->graph->output);
    uint32_t aux = p->plan->training ? planner_find(p, p->graph->aux) : 0;

    if (!sort_by_level(p)) {
        p->error = FARM_ENOMEM;
        return;
    }
    list_segments(p);
    if (p->error != FARM_OK)
        return;
    p->values[0].full = true;
    p->values[output].full = true;
    p->values[aux].full = true;
    for (uint32_t i = 0; i < p->graph->n_nodes; i++)
        if (p->values[i].first_reader != PLAN_NO && i > 0)
            p->plan->steps[p->values[i].step].first_reader = p->values[i].first_reader;
    p->plan->input_reader = p->values[0].first_reader;
    mark_needed(p);
    mark_reads(p);
}
