/* plan_gradients.c - where gradients gather, and who comes first.
 *
 * Backward runs the steps in reverse, so walking them in reverse meets the contributions to each gradient in the order in
 * which they will come: the first one overwrites, the others add. A gradient is local when all of them come from the
 * segment of the step that uses it up.
 *
 * The gradient of a batch norm's output (before the activation) gathers in full, since the sums over it must be complete
 * before the first image of the gradient of its input can be had. That is made when the step that wrote this input begins
 * its own backward ("gather"). A norm that is folded into a convolution needs no such place: the most of its gradient goes
 * on as any convolution's does, the rest is gathered likewise.
 */
#include "plan_inside.h"

/* The times of a segment's backward: step by step what is computed again, then in reverse what goes back. */
static uint32_t time_back(const struct planner *p, uint32_t s)
{
    const struct plan_segment *segment = &p->plan->segments[p->todo[s].segment];

    return segment->n + (segment->first + segment->n - 1 - s);
}

static void touch(struct planner *p, uint32_t slot, uint32_t s)
{
    struct slot *at = &p->slots[slot];
    uint32_t segment = p->todo[s].segment, time = 2 * p->plan->n_segments - segment;
    uint32_t t = time_back(p, s);

    if (segment != at->segment)
        at->full = true;
    if (t < at->first)
        at->first = t;
    if (t > at->last)
        at->last = t;
    if (time < at->first_time)
        at->first_time = time;
    if (time > at->last_time)
        at->last_time = time;
}

static uint32_t new_slot(struct planner *p, uint32_t value, uint32_t s)
{
    if (!planner_grow(p, &p->slots, p->n_slots, &p->cap_slots, sizeof *p->slots))
        return PLAN_NO;
    p->slots[p->n_slots] = (struct slot){.segment = p->todo[s].segment,
                                         .first = UINT32_MAX,
                                         .first_time = UINT32_MAX,
                                         .values = image_values(&p->graph->nodes[value].shape),
                                         .at = {PLAN_NONE, 0}};
    touch(p, p->n_slots, s);
    return p->n_slots++;
}

/* Of what step s writes. */
static uint32_t *slot_of(struct planner *p, uint32_t s)
{
    struct value *v = &p->values[p->todo[s].value];

    return computed_once(v) ? &v->slot : &p->todo[s].slot;
}

/* What norms that read y bring of its gradient, each once its own is complete. */
static void plan_gather(struct planner *p, uint32_t s)
{
    uint32_t value = p->todo[s].value, *slot = slot_of(p, s);

    for (uint32_t m = p->plan->steps[s].first_reader; m != PLAN_NO; m = p->plan->norms[m].next) {
        struct plan_norm *norm = &p->plan->norms[m];

        if (norm->last == PLAN_NO)
            continue;
        norm->gather = *slot == PLAN_NO ? PLAN_GRAD_FIRST : PLAN_GRAD_ADD;
        if (*slot == PLAN_NO)
            *slot = new_slot(p, value, s);
        if (norm->conv == PLAN_NO)
            touch(p, p->norm_slot[m], s);
    }
}

/* A batch norm sends its gradient to its own place. */
static void pass_to_norm(struct planner *p, uint32_t s, struct plan_input *in)
{
    const struct plan_step *step = &p->plan->steps[s];
    struct plan_norm *norm = &p->plan->norms[step->norm];
    uint32_t *slot = &p->norm_slot[step->norm];
    const struct value *v = &p->values[p->todo[s].value];

    norm->last = s;
    if (*slot == PLAN_NO && step->act == ACT_NONE && p->todo[s].shares && v->n_back == 1) {
        *slot = *slot_of(p, s); /* the sum's own gradient: nothing to be written */
        in->grad = PLAN_GRAD_NONE;
    } else {
        in->grad = *slot == PLAN_NO ? PLAN_GRAD_FIRST : PLAN_GRAD_ADD;
        if (*slot == PLAN_NO)
            *slot = new_slot(p, p->todo[s].value, s);
    }
    if (p->error != FARM_OK)
        return;
    p->slots[*slot].full = true;
    touch(p, *slot, s);
}

/* Is its gradient changed in place, by the activation? */
static bool is_cut(const struct value *v)
{
    return v->folded != 0 && v->act != ACT_NONE;
}

static void pass_to_input(struct planner *p, uint32_t s, uint32_t k)
{
    const struct plan_step *step = &p->plan->steps[s];
    struct plan_input *in = &p->plan->inputs[step->first_input + k];
    uint32_t u = p->input_value[step->first_input + k];
    uint32_t maker = p->input_step[step->first_input + k], own = *slot_of(p, s);
    struct value *v = &p->values[u];
    uint32_t *slot = computed_once(v) ? &v->slot : &p->todo[maker].slot;
    uint32_t uses = computed_once(v) ? v->uses : p->todo[maker].uses;

    if (!v->wants_grad)
        return;
    if (*slot != PLAN_NO) { /* it lives on until its producer's backward, which is later */
        in->grad = PLAN_GRAD_ADD;
    } else if (step->node.op == GRAPH_ADD && uses == 1 && !is_cut(v)) {
        *slot = own;
        if (maker != PLAN_NO)
            p->todo[maker].shares = true;
        else
            p->slots[own].full = true;
        return;
    } else {
        in->grad = PLAN_GRAD_FIRST;
        *slot = new_slot(p, u, s);
        if (maker == PLAN_NO && *slot != PLAN_NO)
            p->slots[*slot].full = true;
    }
    if (p->error == FARM_OK)
        touch(p, *slot, s);
}

static void start_at_loss(struct planner *p, uint32_t output)
{
    uint32_t node = planner_find(p, output);
    struct value *v = &p->values[node];

    if (node == 0 || !v->wants_grad || v->slot != PLAN_NO)
        return;
    v->slot = new_slot(p, node, v->step);
    if (v->slot == PLAN_NO)
        return;
    p->slots[v->slot].full = true;
    p->slots[v->slot].first_time = p->plan->n_segments;
}

/* The gradient of the images stays until the end. What a norm would bring of it is not gathered: there is no step that
 * wrote the images; then there is none. */
static void keep_images(struct planner *p)
{
    uint32_t slot = p->values[0].slot;

    if (slot == PLAN_NO)
        return;
    p->slots[slot].full = true;
    p->slots[slot].last_time = 2 * p->plan->n_segments;
}

void plan_gradients(struct planner *p)
{
    struct plan *plan = p->plan;

    if (!plan->training)
        return;
    start_at_loss(p, p->graph->output);
    start_at_loss(p, p->graph->aux);
    for (uint32_t s = plan->n_steps; s-- > 0 && p->error == FARM_OK;) {
        struct plan_step *step = &plan->steps[s];

        if (!step->backward)
            continue;
        plan_gather(p, s);
        if (p->error != FARM_OK)
            return;
        touch(p, *slot_of(p, s), s);
        if (step->node.op == GRAPH_BATCH_NORM) {
            pass_to_norm(p, s, &plan->inputs[step->first_input]);
            continue;
        }
        for (uint32_t k = 0; k < step->n_inputs && p->error == FARM_OK; k++)
            pass_to_input(p, s, k);
        if (step->norm != PLAN_NO)
            plan->norms[step->norm].last = s;
    }
    keep_images(p);
}
