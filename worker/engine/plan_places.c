/* plan_places.c - lifetimes, and a place for every array.
 *
 * Two regions. Full arrays are live for whole segments: segment i runs forward at time i, the loss is taken at time
 * n_segments, segment i runs backward at time 2*n_segments - i. Local arrays live within one segment's forward or backward,
 * step by step; all of these share one pool.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "plan_inside.h"

struct buffer {
    uint64_t bytes, at;
    uint32_t first, last;
    struct plan_array *owner; /* who is told; NULL: nobody */
};

struct buffers {
    struct buffer *all;
    uint32_t n, cap;
    uint32_t n_first; /* 1: the first is at offset 0, whatever happens */
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

static uint32_t add_buffer(struct planner *p, struct buffers *b, uint64_t bytes, uint32_t first,
                           uint32_t last, struct plan_array *owner)
{
    if (!planner_grow(p, &b->all, b->n, &b->cap, sizeof *b->all))
        return 0;
    b->all[b->n] =
        (struct buffer){.bytes = round_up(bytes), .first = first, .last = last, .owner = owner};
    return b->n++;
}

/* ---- places: the largest first, each into the tightest gap among those that are live with it
 * (Pisarchyk, Lee 2020, arXiv:2001.03288, "greedy by size"). Where that takes more than what is live at once, the one that
 * sticks out at the end goes first, and all is placed again, a few times ---- */

#define PLACE_TRIES 40

/* Orders to begin with, tried until nothing is wasted. */
enum { BY_SIZE, BY_TIME, LAST_FIRST, BY_AREA, STARTS };

static int by_size(const void *a, const void *b, void *buffers)
{
    const struct buffers *of = buffers;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

    if (i < of->n_first || j < of->n_first)
        return (j < of->n_first) - (i < of->n_first);
    if (of->all[i].bytes != of->all[j].bytes)
        return of->all[i].bytes > of->all[j].bytes ? -1 : 1;
    return i < j ? -1 : 1;
}

/* What it takes for how long. */
static int by_area(const void *a, const void *b, void *buffers)
{
    const struct buffers *of = buffers;
    uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
    uint64_t of_i = of->all[i].bytes * (of->all[i].last - of->all[i].first + 1ull);
    uint64_t of_j = of->all[j].bytes * (of->all[j].last - of->all[j].first + 1ull);

    if (i < of->n_first || j < of->n_first)
        return (j < of->n_first) - (i < of->n_first);
    if (of_i != of_j)
        return of_i > of_j ? -1 : 1;
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

/* In that order; `placed` has room for as many. Returns the bytes of the whole. */
static uint64_t place_in_order(const struct buffers *b, const uint32_t *order, uint32_t *placed)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        struct buffer *o = &b->all[order[i]];
        uint32_t at = i;

        o->at = best_gap(b->all, placed, i, o);
        while (at > 0 && b->all[placed[at - 1]].at > o->at)
            at--;
        memmove(&placed[at + 1], &placed[at], (i - at) * sizeof *placed);
        placed[at] = order[i];
        if (o->at + o->bytes > bytes)
            bytes = o->at + o->bytes;
    }
    return bytes;
}

/* Moves the buffer that ends last half the way to the front; false when it is there. */
static bool promote(const struct buffers *b, uint32_t *order, uint64_t bytes)
{
    uint32_t i = b->n, to, top;

    while (i-- > b->n_first) {
        top = order[i];
        if (b->all[top].at + b->all[top].bytes < bytes)
            continue;
        to = (b->n_first + i) / 2;
        memmove(&order[to + 1], &order[to], (i - to) * sizeof *order);
        order[to] = top;
        return i > to;
    }
    return false;
}

/* The most that is live at any one time: no placement takes less. PLAN_NONE when there is no memory. */
static uint64_t most_live(const struct buffers *b)
{
    uint64_t live = 0, most = 0, *change;
    uint32_t end = 0;

    for (uint32_t i = 0; i < b->n; i++)
        if (b->all[i].last > end)
            end = b->all[i].last;
    if ((change = calloc(end + 2ull, sizeof *change)) == NULL)
        return PLAN_NONE;
    for (uint32_t i = 0; i < b->n; i++) {
        change[b->all[i].first] += b->all[i].bytes;
        change[b->all[i].last + 1] -= b->all[i].bytes;
    }
    for (uint32_t t = 0; t <= end; t++) {
        live += change[t];
        if (live > most)
            most = live;
    }
    free(change);
    return most;
}

struct attempt {
    uint32_t *order, *placed, *best;
    uint64_t bytes; /* of the best */
};

static void try_orders(const struct buffers *b, uint64_t least, struct attempt *a)
{
    for (int i = 0; i < PLACE_TRIES && a->bytes > least; i++) {
        uint64_t bytes = place_in_order(b, a->order, a->placed);

        if (bytes < a->bytes) {
            a->bytes = bytes;
            memcpy(a->best, a->order, b->n * sizeof *a->best);
        }
        if (!promote(b, a->order, bytes))
            break;
    }
}

/* Returns the bytes of the whole; PLAN_NONE when there is no memory. */
static uint64_t place(struct buffers *b)
{
    struct attempt a = {.order = malloc(3 * (size_t)(b->n + 1) * sizeof *a.order),
                        .bytes = UINT64_MAX};
    uint64_t least = most_live(b);

    if (a.order == NULL || least == PLAN_NONE) {
        free(a.order);
        return PLAN_NONE;
    }
    a.placed = a.order + b->n;
    a.best = a.placed + b->n;
    for (int start = BY_SIZE; start < STARTS && a.bytes > least; start++) {
        for (uint32_t i = 0; i < b->n; i++)
            a.order[i] = start != LAST_FIRST || i < b->n_first ? i : b->n - 1 - (i - b->n_first);
        if (start == BY_SIZE || start == BY_AREA)
            qsort_r(a.order, b->n, sizeof *a.order, start == BY_SIZE ? by_size : by_area, b);
        try_orders(b, least, &a);
    }
    a.bytes = place_in_order(b, a.best, a.placed);
    for (uint32_t i = 0; i < b->n; i++)
        if (b->all[i].owner != NULL)
            b->all[i].owner->at = b->all[i].at;
    free(a.order);
    return a.bytes;
}

/* ---- full arrays ---- */

static uint32_t time_of_backward(const struct planner *p, uint32_t segment)
{
    return 2 * p->plan->n_segments - segment;
}

static void use_full(struct planner *p, uint32_t value, uint32_t time)
{
    struct value *v = &p->values[value];

    if (time < v->first_time)
        v->first_time = time;
    if (time > v->last_time)
        v->last_time = time;
}

static void find_times(struct planner *p)
{
    struct plan *plan = p->plan;
    uint32_t end = 2 * plan->n_segments, output = planner_find(p, p->graph->output);

    use_full(p, 0, 0); /* the images stay: a caller may run forward twice on them */
    use_full(p, 0, end);
    use_full(p, output, end); /* the loss reads the logits, and so does the caller after backward */
    if (plan->training)
        use_full(p, planner_find(p, p->graph->aux), plan->n_segments);
    for (uint32_t s = 0; s < plan->n_steps; s++) {
        const struct plan_step *step = &plan->steps[s];
        uint32_t segment = p->todo[s].segment, back = time_of_backward(p, segment);

        use_full(p, p->todo[s].value, segment);
        for (uint32_t k = 0; k < step->n_inputs; k++) {
            uint32_t u = p->input_value[step->first_input + k];

            use_full(p, u, segment);
            if (step->recompute || (step->backward && reads_input_again(step, k)))
                use_full(p, u, back);
        }
        for (uint32_t m = step->first_reader; m != PLAN_NO; m = plan->norms[m].next)
            if (plan->norms[m].last != PLAN_NO)
                use_full(p, p->todo[s].value, back); /* if it is full */
    }
}

static uint64_t aux_bytes(const struct plan_step *step)
{
    switch (step->node.op) {
    case GRAPH_DROPOUT: return step->y_values;
    case GRAPH_DROP_PATH: return sizeof(float);
    default: return 0;
    }
}

/* Told once for a value that several segments compute. */
static void add_aux(struct planner *p, struct buffers *b)
{
    struct plan *plan = p->plan;

    for (uint32_t s = 0; s < plan->n_steps; s++) {
        struct plan_step *step = &plan->steps[s];
        const struct value *v = &p->values[p->todo[s].value];

        if (aux_bytes(step) == 0)
            continue;
        step->aux.image = aux_bytes(step);
        if (v->step == s) /* the last of them; the others are told afterwards */
            add_buffer(p, b, step->aux.image * p->batch, 0, 2 * plan->n_segments, &step->aux);
    }
}

static uint64_t place_full(struct planner *p)
{
    struct buffers b = {.n_first = 1}; /* the images are at offset 0 in every plan */
    uint64_t bytes;

    find_times(p);
    for (uint32_t i = 0; i < p->graph->n_nodes; i++) {
        struct value *v = &p->values[i];

        if (!v->full || (i > 0 && v->step == PLAN_NO))
            continue;
        v->at =
            (struct plan_array){PLAN_NONE, image_values(&p->graph->nodes[i].shape) * sizeof(float)};
        add_buffer(p, &b, v->at.image * p->batch, v->first_time, v->last_time, &v->at);
    }
    for (uint32_t i = 0; i < p->n_slots; i++) {
        struct slot *slot = &p->slots[i];

        if (!slot->full)
            continue;
        slot->at.image = slot->values * sizeof(float);
        add_buffer(p, &b, slot->at.image * p->batch, slot->first_time, slot->last_time, &slot->at);
    }
    add_aux(p, &b);
    bytes = p->error == FARM_OK ? place(&b) : PLAN_NONE;
    free(b.all);
    return bytes;
}

/* ---- local arrays ---- */

struct pool {
    uint64_t arrays; /* the most that values and gradients of one segment need */
    uint64_t bytes;  /* with packed weights */
};

static uint64_t group_bytes(const struct planner *p, uint32_t s, size_t values)
{
    return (uint64_t)values * sizeof(float) * p->plan->segments[p->todo[s].segment].group;
}

/* May step s write over its first input in forward? */
static bool in_place(const struct planner *p, uint32_t s)
{
    const struct plan_step *step = &p->plan->steps[s];
    uint32_t maker;

    if (step->n_inputs == 0 || p->values[p->todo[s].value].full)
        return false;
    if (!graph_is_activation(step->node.op) && step->node.op != GRAPH_BATCH_NORM &&
        step->node.op != GRAPH_DROP_PATH)
        return false;
    maker = p->input_step[step->first_input];
    return maker != PLAN_NO && !p->values[p->todo[maker].value].full &&
           p->todo[maker].last_read == s;
}

/* A large value that nobody reads in forward but one norm: its statistics are taken in passing, before it is out of sight. */
static bool is_staged(const struct planner *p, uint32_t s)
{
    const struct plan_step *step = &p->plan->steps[s];
    const struct value *v = &p->values[p->todo[s].value];
    const struct plan_norm *norm;

    if (!step->forward || step->first_reader == PLAN_NO || p->todo[s].last_read != s)
        return false;
    norm = &p->plan->norms[step->first_reader];
    return norm->conv == PLAN_NO && norm->next == PLAN_NO &&
           v->at.image * p->batch >= PLAN_PAST_BYTES;
}

static void add_forward_locals(struct planner *p, const struct plan_segment *g, struct buffers *b)
{
    for (uint32_t s = g->first; s < g->first + g->n && p->error == FARM_OK; s++) {
        struct plan_step *step = &p->plan->steps[s];
        struct todo *todo = &p->todo[s];

        if (p->values[todo->value].full) {
            if (is_staged(p, s))
                add_buffer(p, b, group_bytes(p, s, step->y_values), s - g->first, s - g->first,
                           &step->stage);
            continue;
        }
        if (in_place(p, s)) {
            todo->buffer = p->todo[p->input_step[step->first_input]].buffer;
            assert(todo->buffer < b->n); /* its input was given a place before */
            b->all[todo->buffer].last = todo->last_read - g->first;
        } else {
            todo->buffer = add_buffer(p, b, group_bytes(p, s, step->y_values), s - g->first,
                                      todo->last_read - g->first, NULL);
        }
    }
}

static uint32_t time_back(const struct plan_segment *g, uint32_t s)
{
    return g->n + (g->first + g->n - 1 - s);
}

static void lengthen(struct buffers *b, uint32_t buffer, uint32_t time)
{
    if (b->all[buffer].last < time)
        b->all[buffer].last = time;
}

/* What is computed again lives until the last that reads it, on the way there or back. */
static void add_recomputed(struct planner *p, const struct plan_segment *g, struct buffers *b)
{
    for (uint32_t s = g->first; s < g->first + g->n && p->error == FARM_OK; s++) {
        struct plan_step *step = &p->plan->steps[s];
        uint32_t now = s - g->first, back = time_back(g, s);
        uint64_t bytes = group_bytes(p, s, step->y_values);

        if (step->recompute)
            p->todo[s].buffer = add_buffer(
                p, b, bytes, now, step->first_reader != PLAN_NO ? back : now, &step->y_back);
        if (step->backward && step->node.op == GRAPH_MAX_POOL) { /* argmax, and y beside it */
            if (step->recompute)
                lengthen(b, p->todo[s].buffer, back);
            else
                add_buffer(p, b, bytes, back, back, &step->y_back);
            add_buffer(p, b, bytes, back, back, &step->aux);
        }
        for (uint32_t k = 0; k < step->n_inputs; k++) {
            uint32_t maker = p->input_step[step->first_input + k];

            if (maker == PLAN_NO || !p->plan->steps[maker].recompute)
                continue;
            if (step->recompute)
                lengthen(b, p->todo[maker].buffer, now);
            if (step->backward && reads_input_again(step, k))
                lengthen(b, p->todo[maker].buffer, back);
        }
    }
}

static void add_slots(struct planner *p, uint32_t segment, struct buffers *b)
{
    for (uint32_t i = p->slot_of_segment[segment]; i != PLAN_NO; i = p->slots[i].next)
        if (!p->slots[i].full)
            add_buffer(p, b,
                       (uint64_t)p->slots[i].values * sizeof(float) *
                           p->plan->segments[segment].group / p->plan->segments[segment].split,
                       p->slots[i].first, p->slots[i].last, &p->slots[i].at);
}

static uint64_t conv_bytes(const struct planner *p, const struct plan_step *step,
                           enum conv_part part)
{
    return round_up(p->kernels->conv_floats(&step->window, part) * sizeof(float));
}

static uint64_t weight_bytes(const struct planner *p, const struct plan_step *step)
{
    const struct graph_node *n = &step->node;
    uint64_t c = p->plan->inputs[step->first_input].c;

    return round_up((uint64_t)n->kernel_h * n->kernel_w * (c / n->groups) * n->channels *
                    sizeof(float));
}

/* `at` grows by what is taken. */
static void take(uint64_t *at, uint64_t *offset, uint64_t bytes)
{
    *offset = *at;
    *at += bytes;
}

/* Weights as forward reads them; 0: as they are. */
static uint64_t packed_forward_bytes(const struct planner *p, const struct plan_step *step)
{
    switch (step->node.op) {
    case GRAPH_CONV: return conv_bytes(p, step, CONV_PACKED_FORWARD);
    case GRAPH_LINEAR: return step->norm != PLAN_NO ? weight_bytes(p, step) : 0;
    default: return 0;
    }
}

/* At the end of the arena, one behind the other. */
static void place_resident(struct planner *p)
{
    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        struct plan_step *step = &p->plan->steps[s];
        uint64_t bytes = packed_forward_bytes(p, step);

        if (bytes > 0)
            take(&p->plan->bytes, &step->packed, bytes);
    }
}

static uint64_t place_packed(struct planner *p, const struct plan_segment *g, bool backward,
                             uint64_t at)
{
    for (uint32_t s = g->first; s < g->first + g->n; s++) {
        struct plan_step *step = &p->plan->steps[s];

        if (!backward) {
            if (!p->plan->resident && packed_forward_bytes(p, step) > 0)
                take(&at, &step->packed, packed_forward_bytes(p, step));
            continue;
        }
        if (step->node.op != GRAPH_CONV)
            continue;
        if (step->recompute)
            take(&at, &step->packed_back, conv_bytes(p, step, CONV_PACKED_FORWARD));
        if (step->backward)
            take(&at, &step->sums, conv_bytes(p, step, CONV_SUMS));
        if (step->backward && p->plan->inputs[step->first_input].grad != PLAN_GRAD_NONE)
            take(&at, &step->packed_dx, conv_bytes(p, step, CONV_PACKED_INPUT));
    }
    return at;
}

static void enlarge(struct pool *pool, uint64_t arrays, uint64_t bytes)
{
    if (arrays > pool->arrays)
        pool->arrays = arrays;
    if (bytes > pool->bytes)
        pool->bytes = bytes;
}

static bool place_forward(struct planner *p, const struct plan_segment *g, struct buffers *b,
                          struct pool *pool)
{
    uint64_t bytes;

    b->n = 0;
    add_forward_locals(p, g, b);
    if (p->error != FARM_OK || (bytes = place(b)) == PLAN_NONE)
        return false;
    for (uint32_t s = g->first; s < g->first + g->n; s++)
        if (!p->values[p->todo[s].value].full)
            p->plan->steps[s].y.at = b->all[p->todo[s].buffer].at;
    enlarge(pool, bytes, place_packed(p, g, false, bytes));
    return true;
}

static bool place_backward(struct planner *p, uint32_t segment, struct buffers *b,
                           struct pool *pool)
{
    const struct plan_segment *g = &p->plan->segments[segment];
    uint64_t bytes;

    if (!g->backward)
        return true;
    b->n = 0;
    add_recomputed(p, g, b);
    add_slots(p, segment, b);
    if (p->error != FARM_OK || (bytes = place(b)) == PLAN_NONE)
        return false;
    enlarge(pool, bytes, place_packed(p, g, true, bytes));
    return true;
}

static bool chain_slots(struct planner *p)
{
    p->slot_of_segment = malloc((p->plan->n_segments + 1) * sizeof *p->slot_of_segment);
    if (p->slot_of_segment == NULL)
        return false;
    for (uint32_t i = 0; i < p->plan->n_segments; i++)
        p->slot_of_segment[i] = PLAN_NO;
    for (uint32_t i = 0; i < p->n_slots; i++) {
        p->slots[i].next = p->slot_of_segment[p->slots[i].segment];
        p->slot_of_segment[p->slots[i].segment] = i;
    }
    return true;
}

static bool place_local(struct planner *p, struct pool *pool)
{
    struct buffers b = {0};
    bool good = chain_slots(p);

    for (uint32_t i = 0; i < p->plan->n_segments && good; i++)
        good = place_forward(p, &p->plan->segments[i], &b, pool) && place_backward(p, i, &b, pool);
    free(b.all);
    return good;
}

/* ---- all together ---- */

static void shift(uint64_t *offset, uint64_t by)
{
    if (*offset != PLAN_NONE)
        *offset += by;
}

static void shift_local(struct plan_array *a, uint64_t by)
{
    if (a->image == 0)
        shift(&a->at, by);
}

static struct plan_array gradient_at(const struct planner *p, uint32_t slot)
{
    return slot != PLAN_NO ? p->slots[slot].at : (struct plan_array){PLAN_NONE, 0};
}

static void tell_inputs(struct planner *p, uint32_t s)
{
    struct plan_step *step = &p->plan->steps[s];

    for (uint32_t k = 0; k < step->n_inputs; k++) {
        struct plan_input *in = &p->plan->inputs[step->first_input + k];
        uint32_t u = p->input_value[step->first_input + k];
        uint32_t maker = p->input_step[step->first_input + k];
        const struct value *v = &p->values[u];

        if (v->full) {
            in->x = in->x_back = v->at;
        } else {
            in->x = p->plan->steps[maker].y;
            if (p->plan->steps[maker].recompute)
                in->x_back = p->plan->steps[maker].y_back;
        }
        if (in->grad == PLAN_GRAD_NONE)
            continue;
        if (step->node.op == GRAPH_BATCH_NORM)
            in->dx = gradient_at(p, p->norm_slot[step->norm]);
        else
            in->dx = gradient_at(p, computed_once(v) ? v->slot : p->todo[maker].slot);
    }
}

static void tell_step(struct planner *p, uint32_t s, uint64_t pool)
{
    struct plan_step *step = &p->plan->steps[s];
    const struct todo *todo = &p->todo[s];
    const struct value *v = &p->values[todo->value];

    if (v->full)
        step->y = v->at;
    else
        shift(&step->y.at, pool);
    shift_local(&step->stage, pool);
    shift_local(&step->y_back, pool);
    if (step->node.op == GRAPH_MAX_POOL)
        shift_local(&step->aux, pool);
    else if (aux_bytes(step) > 0)
        step->aux = p->plan->steps[v->step].aux;
    shift(&step->packed, pool);
    shift(&step->packed_back, pool);
    shift(&step->packed_dx, pool);
    shift(&step->sums, pool);
    if (step->backward)
        step->dy = gradient_at(p, computed_once(v) ? v->slot : todo->slot);
}

/* Where images are split, arrays are walked part by part. */
static void tell_split(struct planner *p, uint32_t s)
{
    struct plan_step *step = &p->plan->steps[s];

    step->y.image /= step->split;
    step->y_back.image /= step->split;
    step->dy.image /= step->split;
    for (uint32_t k = 0; k < step->n_inputs; k++) {
        struct plan_input *in = &p->plan->inputs[step->first_input + k];

        in->x.image /= step->split;
        in->x_back.image /= step->split;
        in->dx.image /= step->split;
    }
}

static void tell_norms(struct planner *p)
{
    for (uint32_t m = 0; m < p->plan->n_norms; m++)
        p->plan->norms[m].g = gradient_at(p, p->norm_slot[m]);
}

static void tell_all(struct planner *p, uint64_t pool)
{
    struct plan *plan = p->plan;
    const struct value *output = &p->values[planner_find(p, p->graph->output)];
    const struct value *aux = &p->values[planner_find(p, p->graph->aux)];
    struct plan_array none = {PLAN_NONE, 0};

    for (uint32_t i = 0; i < p->n_slots; i++)
        shift_local(&p->slots[i].at, pool);
    for (uint32_t s = 0; s < plan->n_steps; s++)
        tell_step(p, s, pool);
    for (uint32_t s = 0; s < plan->n_steps; s++)
        tell_inputs(p, s);
    for (uint32_t s = 0; s < plan->n_steps; s++)
        tell_split(p, s);
    tell_norms(p);
    plan->input = p->values[0].at;
    plan->dinput = plan->input_reader == PLAN_NO ? gradient_at(p, p->values[0].slot) : none;
    plan->logits = output->at;
    plan->dlogits = gradient_at(p, output->slot);
    plan->aux_logits = plan->training && p->graph->aux != 0 ? aux->at : none;
    plan->aux_dlogits = plan->training && p->graph->aux != 0 ? gradient_at(p, aux->slot) : none;
}

static uint64_t norm_scratch(const struct planner *p, const struct plan_norm *norm)
{
    uint64_t moments, mix;

    if (norm->conv == PLAN_NO)
        return 0;
    moments = p->kernels->covariance_scratch(norm->conv_c) * sizeof(float);
    mix = p->kernels->conv_floats(&norm->mix, CONV_SCRATCH) * sizeof(float);
    return moments > mix ? moments : mix;
}

static uint64_t scratch_bytes(const struct planner *p)
{
    uint64_t most = 0;

    for (uint32_t m = 0; m < p->plan->n_norms; m++)
        if (norm_scratch(p, &p->plan->norms[m]) > most)
            most = norm_scratch(p, &p->plan->norms[m]);

    for (uint32_t s = 0; s < p->plan->n_steps; s++) {
        const struct plan_step *step = &p->plan->steps[s];

        if (step->node.op != GRAPH_CONV)
            continue;
        if (conv_bytes(p, step, CONV_SCRATCH) > most)
            most = conv_bytes(p, step, CONV_SCRATCH);
        if (step->norm != PLAN_NO && weight_bytes(p, step) > most)
            most = weight_bytes(p, step);
    }
    return most;
}

static void place_norm(struct planner *p, struct plan_norm *norm)
{
    const struct kernels *k = p->kernels;

    take(&p->plan->bytes, &norm->state, round_up(k->norm_bytes(norm->c)));
    if (norm->conv == PLAN_NO)
        return;
    take(&p->plan->bytes, &norm->covariance, round_up(k->covariance_bytes(norm->conv_c, norm->c)));
    take(&p->plan->bytes, &norm->packed_mix,
         round_up(k->conv_floats(&norm->mix, CONV_PACKED_FORWARD) * sizeof(float)));
}

int plan_places(struct planner *p)
{
    struct plan *plan = p->plan;
    struct pool pool = {0};
    uint64_t full = place_full(p);

    if (full == PLAN_NONE || !place_local(p, &pool))
        return FARM_ENOMEM;
    tell_all(p, full);
    plan->activation_bytes = full + pool.arrays;
    plan->bytes = full + pool.bytes;
    for (uint32_t m = 0; m < plan->n_norms; m++)
        place_norm(p, &plan->norms[m]);
    take(&plan->bytes, &plan->scratch, scratch_bytes(p));
    if (plan->resident)
        place_resident(p);
    return FARM_OK;
}
