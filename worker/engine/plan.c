/* plan.c - the parts of the planner, one after the other. */
#include "plan.h"

#include <assert.h>
#include <stdlib.h>

#include "plan_inside.h"

static int prepare(struct planner *p)
{
    size_t n = p->graph->n_nodes;

    p->values = calloc(n, sizeof *p->values);
    p->plan->segments = calloc(2 * n + 2, sizeof *p->plan->segments); /* one a level at most */
    p->plan->norms = calloc(n, sizeof *p->plan->norms);
    p->norm_slot = malloc(n * sizeof *p->norm_slot);
    if (p->values == NULL || p->plan->segments == NULL || p->plan->norms == NULL ||
        p->norm_slot == NULL)
        return FARM_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        struct value *v = &p->values[i];

        v->same = i;
        v->step = v->copy = v->norm = v->first_reader = v->slot = PLAN_NO;
        v->next_of_level = p->norm_slot[i] = PLAN_NO;
        v->first_time = UINT32_MAX;
        v->at = (struct plan_array){PLAN_NONE, 0};
    }
    p->values[0].wants_grad = p->images;
    return FARM_OK;
}

static int make(struct planner *p)
{
    int rc = prepare(p);

    if (rc != FARM_OK)
        return rc;
    if ((rc = plan_values(p)) != FARM_OK)
        return rc;
    plan_steps(p);
    if (p->error == FARM_OK)
        plan_gradients(p);
    if (p->error == FARM_OK)
        p->error = plan_places(p);
    return p->error;
}

int plan_create(struct plan **out, const struct graph *graph, uint32_t batch, uint32_t group,
                enum plan_mode mode, const struct kernels *kernels)
{
    struct planner p = {.graph = graph,
                        .kernels = kernels,
                        .batch = batch,
                        .group = group > 0 && group < batch ? group : batch,
                        .finest = group == 1,
                        .images = mode == PLAN_TRAIN_IMAGES,
                        .error = FARM_OK};
    int rc = FARM_ENOMEM;

    assert(batch >= 1);
    if ((p.plan = calloc(1, sizeof *p.plan)) != NULL) {
        p.plan->training = mode == PLAN_TRAIN || mode == PLAN_TRAIN_IMAGES;
        p.plan->resident = mode == PLAN_INFER_RESIDENT;
        rc = make(&p);
    }
    if (rc == FARM_OK)
        *out = p.plan;
    else
        plan_destroy(&p.plan);
    free(p.values);
    free(p.todo);
    free(p.input_value);
    free(p.input_step);
    free(p.slots);
    free(p.norm_slot);
    free(p.slot_of_segment);
    free(p.level_first);
    return rc;
}

void plan_destroy(struct plan **self)
{
    if (*self == NULL)
        return;
    free((*self)->segments);
    free((*self)->steps);
    free((*self)->inputs);
    free((*self)->norms);
    free(*self);
    *self = NULL;
}
