/* net_run.c - a plan executed: segment by segment, in each group by group, in each step by step. Nothing here allocates. */
#include <assert.h>
#include <string.h>

#include "net_ops.h"

/* Images (or parts) of the group that begins with the first-th. */
static uint32_t images_from(const struct net *self, const struct plan_segment *segment,
                            uint32_t first)
{
    uint32_t left = self->n * segment->split - first;

    return left < segment->group ? left : segment->group;
}

static void tell_watcher(const struct run *r, uint32_t s)
{
    const struct plan_step *step = r->step;
    bool reads = step->n_inputs > 0;
    struct net_seen seen = {.node = step->index,
                            .step = s,
                            .op = step->node.op,
                            .relu = step->node.op == GRAPH_RELU || step->act == ACT_RELU,
                            .x = reads ? array_at(r->arena, r->in[0].x, r->first) : NULL,
                            .y = array_at(r->arena, step->y, r->first),
                            .x_values = reads ? r->in[0].values : 0,
                            .y_values = step->y_values,
                            .first = r->first,
                            .n = r->n,
                            .split = step->split};

    r->net->watcher(&seen, r->net->watcher_ctx);
}

static void segment_forward(struct net *self, const struct plan_segment *segment)
{
    const struct plan_step *steps = self->plan->steps;
    uint32_t end = segment->first + segment->n;

    for (uint32_t s = segment->first; s < end && !self->packed; s++)
        step_begin_forward(self, &steps[s]);
    for (uint32_t i = 0; i < self->n * segment->split; i += segment->group)
        for (uint32_t s = segment->first; s < end; s++)
            if (steps[s].forward) {
                struct run r = run_of(self, s, i, images_from(self, segment, i));

                step_forward(&r);
                if (self->watcher != NULL)
                    tell_watcher(&r, s);
            }
    for (uint32_t s = segment->first; s < end; s++)
        norm_settle(self, steps[s].first_reader,
                    (size_t)self->n * steps[s].node.shape.h * steps[s].node.shape.w);
}

static void segment_backward(struct net *self, const struct plan_segment *segment)
{
    const struct plan_step *steps = self->plan->steps;
    uint32_t end = segment->first + segment->n;

    for (uint32_t s = segment->first; s < end; s++)
        step_begin_backward(self, &steps[s]);
    for (uint32_t i = 0; i < self->n * segment->split; i += segment->group) {
        uint32_t n = images_from(self, segment, i);

        for (uint32_t s = segment->first; s < end; s++)
            if (steps[s].recompute) {
                struct run r = run_of(self, s, i, n);

                step_recompute(&r);
            }
        for (uint32_t s = end; s-- > segment->first;)
            if (steps[s].backward) {
                struct run r = run_of(self, s, i, n);

                step_backward(&r);
            }
    }
    for (uint32_t s = segment->first; s < end; s++)
        step_end_backward(self, &steps[s]);
}

float *net_input(struct net *self)
{
    return (float *)(void *)self->arena; /* of every plan */
}

/* Norms that read the images themselves. */
static void watch_images(struct net *self)
{
    size_t pixels = self->n * self->image_pixels;

    norm_watch(self, self->plan->input_reader, NULL, net_input(self), 0, pixels);
    norm_settle(self, self->plan->input_reader, pixels);
}

void net_watch(struct net *self, net_watcher *watcher, void *ctx)
{
    self->watcher = watcher;
    self->watcher_ctx = ctx;
}

const float *net_image_gradient(const struct net *self)
{
    return array_at(self->arena, self->training->dinput, 0);
}

void net_freeze(struct net *self)
{
    self->frozen = true;
    self->packed = false;
}

void net_thaw(struct net *self)
{
    self->frozen = self->packed = false;
}

const float *net_forward(struct net *self, uint32_t n, bool training)
{
    const struct plan *plan = training ? self->training : self->inference;

    assert(n >= 1 && n <= self->config.batch);
    assert(plan != NULL);
    self->plan = plan;
    self->n = n;
    self->has_loss = false;
    if (training) {
        net_thaw(self); /* its arena is the same, and its weights are about to change */
        for (uint32_t s = 0; s < plan->n_steps; s++)
            step_draw(self, &plan->steps[s]);
        watch_images(self);
    }
    for (uint32_t i = 0; i < plan->n_segments; i++)
        segment_forward(self, &plan->segments[i]);
    if (training)
        self->step++;
    self->packed = self->frozen && plan->resident;
    return array_at(self->arena, plan->logits, 0);
}

void net_backward(struct net *self)
{
    assert(self->has_loss);
    self->has_loss = false; /* gradients overwrite what they have used up */
    memset(self->grads, 0, self->grads_bytes);
    for (uint32_t i = self->plan->n_segments; i-- > 0;)
        if (self->plan->segments[i].backward)
            segment_backward(self, &self->plan->segments[i]);
}
