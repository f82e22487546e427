/* plan_inside.h - what the parts of the planner tell one another, for plan*.c only.
 *
 * In order: plan_values.c takes over which nodes are values of their own (graph_values.h), and finds out at which level each
 * can be computed;
 * plan_steps.c lists the steps, level by level, and what backward needs; plan_gradients.c says where gradients gather;
 * plan_places.c gives every array its place.
 *
 * Level: how many whole-batch passes must be over before a value can be computed. In training a batch norm's output is one
 * level above what it reads. A value is computed at its level ("once", a step of that segment), or, when it is cheap, in
 * every segment that reads it.
 */
#ifndef NASFARM_PLAN_INSIDE_H
#define NASFARM_PLAN_INSIDE_H

#include "plan.h"

struct value {
    uint32_t same;        /* the node whose value this is; itself when it has its own */
    uint32_t uses;        /* reads by other values, one read twice counts twice; by the loss, too */
    uint32_t level;       /* of a value computed once: its segment */
    uint32_t ready;       /* the first level that can read it */
    uint32_t cheap_depth; /* how many cheap operations follow one another; 0: computed once */
    uint32_t steps;       /* of a cheap or thin one: that its readers list to have it; else 0 */
    uint32_t next_of_level; /* chain of the values computed at one level, in node order */
    uint32_t step;          /* the one, or, of a cheap value, the latest, that computes it */
    uint32_t copy;          /* of a thin one: the latest step that computes it again */
    uint32_t norm;          /* of a batch norm */
    uint32_t n_back;        /* steps that compute it and get a gradient for it */
    uint32_t first_reader;  /* training: norms that read it */
    uint32_t slot;          /* of its gradient, when computed once */
    enum act act;           /* fused into a batch norm, convolution or linear layer */
    uint32_t folded;        /* inferring: the batch norm folded into this; 0: none */
    bool live, zero;
    bool wants_grad;
    bool read_by_norm;  /* in training */
    bool read_by_other; /* than concatenations */
    bool thin;          /* computed once, and again by any segment that reads it: see is_thin() */
    bool full;
    uint32_t first_time, last_time; /* of a full one, in segments: see plan_places.c */
    struct plan_array at;           /* of a full one */
};

/* What the planner knows of a step beyond what the plan says. */
struct todo {
    uint32_t value, segment;
    uint32_t slot;      /* of a cheap value: its gradient in this segment */
    uint32_t uses;      /* of a cheap value: reads in this segment */
    uint32_t last_read; /* the last step of the segment that reads y in forward; itself: none */
    bool needed;        /* backward reads y */
    bool wanted;        /* forward: somebody reads y */
    bool fed;           /* a step of its segment sends it a gradient */
    bool shares;        /* its gradient is that of a sum */
    uint32_t buffer;    /* while places are given: of y, within its segment */
};

/* A gradient that gathers. */
struct slot {
    bool full;
    uint32_t segment;               /* of a local one */
    uint32_t first, last;           /* local: times within its segment's backward */
    uint32_t first_time, last_time; /* in segments */
    size_t values;
    uint32_t next; /* of the same segment */
    struct plan_array at;
};

struct planner {
    const struct graph *graph;
    const struct kernels *kernels;
    struct plan *plan;
    struct value *values;               /* of each node */
    struct todo *todo;                  /* of each step */
    uint32_t *input_value, *input_step; /* of each input; PLAN_NO: no step of this segment */
    struct slot *slots;
    uint32_t *norm_slot; /* of each norm: its g */
    uint32_t *slot_of_segment;
    uint32_t *level_first, *level_last; /* chains of values */
    uint32_t n_levels, n_slots, cap_steps, cap_inputs, cap_slots;
    uint32_t batch, group; /* images; group: of a segment at most */
    bool images;           /* their gradient is wanted */
    bool finest;           /* groups of one part, as small as can be */
    int error;
};

/* Room for one more of an array that grows; false (and p->error) when there is no memory. */
bool planner_grow(struct planner *p, void *array, uint32_t n, uint32_t *cap, size_t each);

/* The node that stands for this one. */
static inline uint32_t planner_find(const struct planner *p, uint32_t node)
{
    while (p->values[node].same != node)
        node = p->values[node].same;
    return node;
}

static inline bool computed_once(const struct value *v)
{
    return v->cheap_depth == 0;
}

static inline size_t image_values(const struct graph_shape *s)
{
    return (size_t)s->h * s->w * s->c;
}

/* In backward, that is: which inputs a step reads again. */
static inline bool reads_input_again(const struct plan_step *s, uint32_t input)
{
    switch (s->node.op) {
    case GRAPH_CONV:
    case GRAPH_LINEAR:
    case GRAPH_MAX_POOL:
    case GRAPH_BATCH_NORM: return input == 0;
    case GRAPH_MUL: return true;
    default: return graph_is_activation(s->node.op) && input == 0;
    }
}

int plan_values(struct planner *p);
void plan_steps(struct planner *p);
void plan_gradients(struct planner *p);
int plan_places(struct planner *p);

#endif
