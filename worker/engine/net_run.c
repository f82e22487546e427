/* net_run.c - the steps of a plan executed: forward, loss, backward. Nothing here allocates. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "net_parts.h"
#include "rng.h"

/* One step with its offsets turned into pointers. */
struct run {
    const struct kernels *k;
    const struct plan_step *step;
    const struct plan_input *in; /* n_inputs */
    uint8_t *arena;
    float *y;
    const float *x; /* of the first input; y itself without inputs */
    float *scratch;
    uint32_t n;          /* images */
    size_t n_y;          /* values of y, all images */
    struct net_param *p; /* of the node; meaningless without parameters */
};

static float *floats_at(uint8_t *arena, uint64_t offset)
{
    return (float *)(void *)(arena + offset);
}

static struct run run_of(struct net *self, uint32_t s)
{
    const struct plan *plan = self->plan;
    const struct plan_step *step = &plan->steps[s];
    struct run r = {.k = self->kernels,
                    .step = step,
                    .in = &plan->inputs[step->first_input],
                    .arena = self->arena,
                    .y = floats_at(self->arena, step->y),
                    .scratch = floats_at(self->arena, plan->scratch),
                    .n = self->n,
                    .n_y = self->n * step->y_values,
                    .p = &self->params[self->node_param[step->index]]};

    r.x = step->n_inputs > 0 ? floats_at(self->arena, r.in[0].x) : r.y;
    return r;
}

/* The gradient of input i; NULL when nothing is to be done about it. */
static float *dx_of(const struct run *r, uint32_t i)
{
    return r->in[i].grad == PLAN_GRAD_NONE ? NULL : floats_at(r->arena, r->in[i].dx);
}

/* The same, zeroed where this is the first contribution, for kernels that add. */
static float *dx_to_add_to(const struct run *r, uint32_t i)
{
    float *dx = dx_of(r, i);

    if (r->in[i].grad == PLAN_GRAD_FIRST)
        memset(dx, 0, r->n * r->in[i].pixels * r->in[i].c * sizeof *dx);
    return dx;
}

static const float *dy_of(const struct run *r)
{
    return floats_at(r->arena, r->step->dy);
}

static struct window window_of(const struct run *r)
{
    struct window w = r->step->window;

    w.n = (int)r->n;
    return w;
}

/* conv: x (n,h,w,c), weight (kh,kw,c/groups,k), bias (k) -> y (n,oh,ow,k). Scratch begins with the packed
 * weights, or the sums of their gradients. */
static void conv_forward(const struct run *r)
{
    struct window w = window_of(r);
    float *packed = r->scratch, *rest = packed + r->k->conv_floats(&w, CONV_PACKED_FORWARD);

    r->k->conv_pack(packed, r->p[0].value, &w, CONV_PACKED_FORWARD);
    r->k->conv_forward(r->y, r->x, packed, r->step->node.bias ? r->p[1].value : NULL, &w, rest);
}

static void conv_backward_weight(const struct run *r, const struct window *w)
{
    size_t n = r->k->conv_floats(w, CONV_SUMS);
    float *sums = r->scratch, *rest = sums + n;

    memset(sums, 0, n * sizeof *sums);
    r->k->conv_backward_weight(sums, r->step->node.bias ? r->p[1].grad : NULL, dy_of(r), r->x, w,
                               rest);
    r->k->conv_weight_finish(r->p[0].grad, sums, w, rest);
}

static void conv_backward(const struct run *r)
{
    struct window w = window_of(r);
    float *packed = r->scratch, *rest = packed + r->k->conv_floats(&w, CONV_PACKED_INPUT);
    float *dx = dx_of(r, 0);

    conv_backward_weight(r, &w);
    if (dx == NULL)
        return;
    r->k->conv_pack(packed, r->p[0].value, &w, CONV_PACKED_INPUT);
    r->k->conv_backward_input(dx, r->in[0].grad == PLAN_GRAD_ADD, dy_of(r), packed, &w, rest);
}

/* batch norm over (pixels, c); parameters are [gamma, beta,] mean, var. */
static void batch_norm_forward(const struct run *r, bool training, float momentum)
{
    const struct plan_step *s = r->step;
    int c = (int)s->node.shape.c;
    const struct net_param *running = r->p + (s->node.affine ? 2 : 0);
    const float *gamma = s->node.affine ? r->p[0].value : NULL;
    const float *beta = s->node.affine ? r->p[1].value : NULL;
    size_t pixels = r->n * s->in_pixels;

    if (training) {
        float *mean = floats_at(r->arena, s->aux);

        r->k->batch_norm_train(r->y, r->x, gamma, beta, mean, mean + c, running[0].value,
                               running[1].value, momentum, s->node.rate, s->relu, pixels, c);
    } else {
        r->k->batch_norm_infer(r->y, r->x, gamma, beta, running[0].value, running[1].value,
                               s->node.rate, s->relu, pixels, c);
    }
}

static void batch_norm_backward(const struct run *r)
{
    const struct plan_step *s = r->step;
    int c = (int)s->node.shape.c;
    bool affine = s->node.affine;
    const float *mean = floats_at(r->arena, s->aux);

    r->k->batch_norm_backward(
        dx_to_add_to(r, 0), affine ? r->p[0].grad : NULL, affine ? r->p[1].grad : NULL, dy_of(r),
        r->x, r->y, affine ? r->p[0].value : NULL, mean, mean + c, s->relu, r->n * s->in_pixels, c);
}

/* max pool; argmax (n,oh,ow,c) is kept for backward */
static void max_pool_forward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->max_pool_forward(r->y, (int32_t *)(void *)(r->arena + r->step->aux), r->x, &w);
}

static void max_pool_backward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->max_pool_backward(dx_to_add_to(r, 0), dy_of(r),
                            (const int32_t *)(const void *)(r->arena + r->step->aux), &w);
}

static void avg_pool_forward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->avg_pool_forward(r->y, r->x, &w);
}

static void avg_pool_backward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->avg_pool_backward(dx_to_add_to(r, 0), dy_of(r), &w);
}

/* add: y = sum of inputs. Backward, an input that only this sum reads shares dy and is not seen here. */
static void add_forward(const struct run *r)
{
    enum { AT_ONCE = 8 };
    const float *x[AT_ONCE];
    uint32_t done = 0, n = r->step->n_inputs;

    for (; done < n && done < AT_ONCE; done++)
        x[done] = floats_at(r->arena, r->in[done].x);
    r->k->add_forward(r->y, x, (int)done, r->n_y);
    for (; done < n; done++)
        r->k->accumulate(r->y, floats_at(r->arena, r->in[done].x), r->n_y);
}

static void add_backward(const struct run *r)
{
    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        float *dx = dx_of(r, i);

        if (r->in[i].grad == PLAN_GRAD_FIRST)
            memcpy(dx, dy_of(r), r->n_y * sizeof *dx);
        else if (r->in[i].grad == PLAN_GRAD_ADD)
            r->k->accumulate(dx, dy_of(r), r->n_y);
    }
}

/* concat: y (pixels, c) is, in each pixel, the inputs' channels one after the other. */
static void concat_forward(const struct run *r)
{
    size_t pixels = r->n * r->step->in_pixels, c = r->step->node.shape.c, from = 0;

    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        const float *x = floats_at(r->arena, r->in[i].x);
        size_t ci = r->in[i].c;

        for (size_t p = 0; p < pixels; p++)
            memcpy(r->y + p * c + from, x + p * ci, ci * sizeof *x);
        from += ci;
    }
}

static void concat_backward(const struct run *r)
{
    size_t pixels = r->n * r->step->in_pixels, c = r->step->node.shape.c, from = 0;

    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        float *dx = dx_of(r, i);
        const float *dy = dy_of(r) + from;
        size_t ci = r->in[i].c;

        from += ci;
        if (r->in[i].grad == PLAN_GRAD_FIRST)
            for (size_t p = 0; p < pixels; p++)
                memcpy(dx + p * ci, dy + p * c, ci * sizeof *dx);
        else if (r->in[i].grad == PLAN_GRAD_ADD)
            for (size_t p = 0; p < pixels; p++)
                for (size_t j = 0; j < ci; j++)
                    dx[p * ci + j] += dy[p * c + j];
    }
}

/* linear: x (n,c), weight (c,k), bias (k) -> y (n,k) */
static void linear_forward(const struct run *r)
{
    r->k->linear_forward(r->y, r->x, r->p[0].value, r->step->node.bias ? r->p[1].value : NULL,
                         (int)r->n, (int)r->in[0].c, (int)r->step->node.shape.c);
}

static void linear_backward(const struct run *r)
{
    r->k->linear_backward(dx_to_add_to(r, 0), r->p[0].grad,
                          r->step->node.bias ? r->p[1].grad : NULL, dy_of(r), r->x, r->p[0].value,
                          (int)r->n, (int)r->in[0].c, (int)r->step->node.shape.c);
}

/* dropout: y = kept ? x / (1 - rate) : 0, for each value; kept is one byte a value. */
static void dropout_forward(const struct run *r, struct rng rng)
{
    uint8_t *kept = r->arena + r->step->aux;
    float scale = 1 / (1 - r->step->node.rate);
    uint32_t dropped = (uint32_t)(r->step->node.rate * 0x1p32); /* of 2^32; rate < 1 */
    uint64_t bits = 0;

    for (size_t i = 0; i < r->n_y; i++) {
        bits = i % 2 == 0 ? rng_u64(&rng) : bits >> 32;
        kept[i] = (uint32_t)bits >= dropped;
        r->y[i] = kept[i] ? r->x[i] * scale : 0;
    }
}

static void dropout_backward(const struct run *r)
{
    const uint8_t *kept = r->arena + r->step->aux;
    const float *dy = dy_of(r);
    float *dx = floats_at(r->arena, r->in[0].dx), scale = 1 / (1 - r->step->node.rate);
    bool first = r->in[0].grad == PLAN_GRAD_FIRST;

    for (size_t i = 0; i < r->n_y; i++)
        dx[i] = (first ? 0 : dx[i]) + (kept[i] ? dy[i] * scale : 0);
}

/* drop-path: y = factor x for each image, factor 0 with chance rate, else 1 / (1 - rate). y may be x. */
static void drop_path_forward(const struct run *r, float rate, struct rng rng)
{
    float *factor = floats_at(r->arena, r->step->aux);
    size_t m = r->step->y_values;

    for (uint32_t i = 0; i < r->n; i++) {
        float *y = r->y + i * m;
        const float *x = r->x + i * m;

        factor[i] = rng_uniform(&rng) < (double)rate ? 0 : 1 / (1 - rate);
        if (factor[i] == 0)
            memset(y, 0, m * sizeof *y);
        else if (factor[i] != 1)
            r->k->scale(y, x, factor[i], m);
        else if (y != x)
            memcpy(y, x, m * sizeof *y);
    }
}

static void drop_path_backward(const struct run *r)
{
    const float *factor = floats_at(r->arena, r->step->aux);
    size_t m = r->step->y_values;

    for (uint32_t i = 0; i < r->n; i++) {
        float *dx = floats_at(r->arena, r->in[0].dx) + i * m;
        const float *dy = dy_of(r) + i * m;

        if (r->in[0].grad == PLAN_GRAD_FIRST)
            r->k->scale(dx, dy, factor[i], m);
        else if (factor[i] != 0)
            for (size_t j = 0; j < m; j++)
                dx[j] += factor[i] * dy[j];
    }
}

/* Activations other than ReLU. y may be x when nothing follows in backward. */
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

static void act_forward(const struct run *r)
{
    r->k->act_forward(r->y, r->x, act_of(r->step->node.op), r->n_y);
}

static void act_backward(const struct run *r)
{
    r->k->act_backward(dx_of(r, 0), r->in[0].grad == PLAN_GRAD_ADD, dy_of(r), r->x,
                       act_of(r->step->node.op), r->n_y);
}

/* mul: x (n,h,w,c) times a gate (n,1,1,c) or (n,h,w,c), which is one of a single pixel with h*w*c channels. */
struct product {
    const float *gate;
    size_t pixels, c;
};

static struct product product_of(const struct run *r)
{
    bool same = r->in[1].pixels == r->in[0].pixels;
    struct product m = {.gate = floats_at(r->arena, r->in[1].x)};

    m.pixels = same ? 1 : r->in[0].pixels;
    m.c = same ? r->step->y_values : r->in[0].c;
    return m;
}

static void mul_forward(const struct run *r)
{
    struct product m = product_of(r);

    r->k->mul_forward(r->y, r->x, m.gate, (int)r->n, m.pixels, m.c);
}

static void mul_backward(const struct run *r)
{
    struct product m = product_of(r);
    float *dx = dx_of(r, 0), *dgate = dx_to_add_to(r, 1);

    r->k->mul_backward(dx, r->in[0].grad == PLAN_GRAD_ADD, dgate, dy_of(r), r->x, m.gate, (int)r->n,
                       m.pixels, m.c);
}

/* slice: y (pixels, channels) = x (pixels, c) from channel `offset` on */
static void slice_forward(const struct run *r)
{
    const struct graph_node *n = &r->step->node;

    r->k->copy_rows(r->y, n->channels, r->x + n->offset, r->in[0].c, r->n * r->step->in_pixels,
                    n->channels);
}

static void slice_backward(const struct run *r)
{
    const struct graph_node *n = &r->step->node;

    r->k->add_rows(dx_to_add_to(r, 0) + n->offset, r->in[0].c, dy_of(r), n->channels,
                   r->n * r->step->in_pixels, n->channels);
}

static void shuffle_forward(const struct run *r)
{
    r->k->shuffle_forward(r->y, r->x, r->n * r->step->in_pixels, (int)r->in[0].c,
                          (int)r->step->node.groups);
}

static void shuffle_backward(const struct run *r)
{
    r->k->shuffle_backward(dx_to_add_to(r, 0), dy_of(r), r->n * r->step->in_pixels, (int)r->in[0].c,
                           (int)r->step->node.groups);
}

static void resize_forward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->resize_forward(r->y, r->x, &w, r->step->node.mode == GRAPH_AREA);
}

static void resize_backward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->resize_backward(dx_to_add_to(r, 0), dy_of(r), &w, r->step->node.mode == GRAPH_AREA);
}

static void step_forward(struct net *self, uint32_t s)
{
    struct run r = run_of(self, s);
    const struct plan_step *step = r.step;
    struct rng rng;

    switch (step->node.op) {
    case GRAPH_CONV: conv_forward(&r); return;
    case GRAPH_BATCH_NORM:
        batch_norm_forward(&r, self->plan->training, self->config.bn_momentum);
        return;
    case GRAPH_RELU: r.k->relu_forward(r.y, r.x, r.n_y); return;
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: act_forward(&r); return;
    case GRAPH_MUL: mul_forward(&r); return;
    case GRAPH_SLICE: slice_forward(&r); return;
    case GRAPH_CHANNEL_SHUFFLE: shuffle_forward(&r); return;
    case GRAPH_RESIZE: resize_forward(&r); return;
    case GRAPH_MAX_POOL: max_pool_forward(&r); return;
    case GRAPH_AVG_POOL: avg_pool_forward(&r); return;
    case GRAPH_GLOBAL_AVG_POOL:
        r.k->global_avg_pool_forward(r.y, r.x, (int)r.n, (int)step->in_pixels, (int)r.in[0].c);
        return;
    case GRAPH_ADD: add_forward(&r); return;
    case GRAPH_CONCAT: concat_forward(&r); return;
    case GRAPH_ZERO: memset(r.y, 0, r.n_y * sizeof *r.y); return;
    case GRAPH_LINEAR: linear_forward(&r); return;
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH:
        /* a stream of its own for each node and step: saved by saving the step's number */
        rng_seed(&rng, rng_mix(rng_mix(self->config.seed, self->step), step->index));
        if (step->node.op == GRAPH_DROPOUT)
            dropout_forward(&r, rng);
        else
            drop_path_forward(&r, self->drop_path < 0 ? step->node.rate : self->drop_path, rng);
        return;
    case GRAPH_INPUT:
    case GRAPH_IDENTITY:
    case GRAPH_OP_END: break; /* never steps */
    }
    assert(false);
}

static void step_backward(struct net *self, uint32_t s)
{
    struct run r = run_of(self, s);
    const struct plan_step *step = r.step;

    switch (step->node.op) {
    case GRAPH_CONV: conv_backward(&r); return;
    case GRAPH_BATCH_NORM: batch_norm_backward(&r); return;
    case GRAPH_RELU: r.k->relu_backward(dx_to_add_to(&r, 0), dy_of(&r), r.y, r.n_y); return;
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: act_backward(&r); return;
    case GRAPH_MUL: mul_backward(&r); return;
    case GRAPH_SLICE: slice_backward(&r); return;
    case GRAPH_CHANNEL_SHUFFLE: shuffle_backward(&r); return;
    case GRAPH_RESIZE: resize_backward(&r); return;
    case GRAPH_MAX_POOL: max_pool_backward(&r); return;
    case GRAPH_AVG_POOL: avg_pool_backward(&r); return;
    case GRAPH_GLOBAL_AVG_POOL:
        r.k->global_avg_pool_backward(dx_to_add_to(&r, 0), dy_of(&r), (int)r.n,
                                      (int)step->in_pixels, (int)r.in[0].c);
        return;
    case GRAPH_ADD: add_backward(&r); return;
    case GRAPH_CONCAT: concat_backward(&r); return;
    case GRAPH_LINEAR: linear_backward(&r); return;
    case GRAPH_DROPOUT: dropout_backward(&r); return;
    case GRAPH_DROP_PATH: drop_path_backward(&r); return;
    case GRAPH_ZERO:
    case GRAPH_INPUT:
    case GRAPH_IDENTITY:
    case GRAPH_OP_END: break; /* want no gradient */
    }
    assert(false);
}

float *net_input(struct net *self)
{
    return floats_at(self->arena, 0); /* of every plan */
}

const float *net_forward(struct net *self, uint32_t n, bool training)
{
    assert(n >= 1 && n <= self->config.batch);
    assert(!training || self->training != NULL);
    self->plan = training ? self->training : self->inference;
    self->n = n;
    self->has_loss = false;
    for (uint32_t s = 0; s < self->plan->n_steps; s++)
        step_forward(self, s);
    if (training)
        self->step++;
    return floats_at(self->arena, self->plan->logits);
}

/* Of a batch: image i is a[i] by shares[i] (NULL: wholly), and b[i] by the rest. */
struct labels {
    const uint16_t *a, *b;
    const float *shares;
};

/* What an image should be: label a by `share`, label b by the rest. */
struct target {
    uint32_t a, b;
    double share;
};

/* One image: its loss; whether it is right; and, unless d is NULL, d = (softmax(z) - target) * weight. */
static double image_loss(const float *z, float *d, uint32_t classes, struct target t,
                         double smoothing, double weight, bool *right)
{
    double most = -INFINITY, sum_exp = 0, sum_z = 0, log_sum, z_target;
    uint32_t best = UINT32_MAX; /* stays when all are NaN */

    for (uint32_t j = 0; j < classes; j++)
        if ((double)z[j] > most) {
            most = (double)z[j];
            best = j;
        }
    *right = best == (t.share >= 0.5 ? t.a : t.b);
    for (uint32_t j = 0; j < classes; j++) {
        double e = exp((double)z[j] - most);

        sum_exp += e;
        sum_z += (double)z[j];
        if (d != NULL)
            d[j] = (float)e;
    }
    log_sum = most + log(sum_exp);
    if (d != NULL) {
        for (uint32_t j = 0; j < classes; j++)
            d[j] = (float)(((double)d[j] / sum_exp - smoothing / classes) * weight);
        d[t.a] -= (float)((1 - smoothing) * t.share * weight);
        if (t.share < 1)
            d[t.b] -= (float)((1 - smoothing) * (1 - t.share) * weight);
    }
    z_target =
        t.share < 1 ? t.share * (double)z[t.a] + (1 - t.share) * (double)z[t.b] : (double)z[t.a];
    return log_sum - (1 - smoothing) * z_target - smoothing * sum_z / classes;
}

/* Of the logits at z, times weight; its gradient goes to d, unless that is PLAN_NONE. */
static double head_loss(struct net *self, uint64_t z, uint64_t d, const struct labels *labels,
                        uint32_t n, float smoothing, double weight, uint32_t *n_correct)
{
    double sum = 0;

    *n_correct = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t row = (size_t)i * self->classes;
        float *gradient = d != PLAN_NONE ? floats_at(self->arena, d) + row : NULL;
        struct target t = {labels->a[i], labels->b[i],
                           labels->shares != NULL ? (double)labels->shares[i] : 1};
        bool right;

        assert(t.a < self->classes && t.b < self->classes);
        sum += image_loss(floats_at(self->arena, z) + row, gradient, self->classes, t,
                          (double)smoothing, weight / n, &right);
        *n_correct += right;
    }
    return sum * weight / n;
}

double net_loss_mixed(struct net *self, const uint16_t *labels_a, const uint16_t *labels_b,
                      const float *shares, uint32_t n, float smoothing, uint32_t *n_correct)
{
    const struct plan *plan = self->plan;
    const struct labels labels = {labels_a, labels_b, shares};
    double weight = (double)self->aux_weight, loss;
    uint32_t n_aux;

    assert(plan != NULL && n == self->n);
    self->has_loss = plan->training;
    if (plan->aux_logits == plan->logits) /* one value, one gradient */
        return head_loss(self, plan->logits, plan->dlogits, &labels, n, smoothing, 1 + weight,
                         n_correct);
    loss = head_loss(self, plan->logits, plan->dlogits, &labels, n, smoothing, 1, n_correct);
    if (plan->aux_logits != PLAN_NONE)
        loss += head_loss(self, plan->aux_logits, plan->aux_dlogits, &labels, n, smoothing, weight,
                          &n_aux);
    return loss;
}

double net_loss(struct net *self, const uint16_t *labels, uint32_t n, float smoothing,
                uint32_t *n_correct)
{
    return net_loss_mixed(self, labels, labels, NULL, n, smoothing, n_correct);
}

void net_backward(struct net *self)
{
    assert(self->has_loss);
    self->has_loss = false; /* gradients overwrite what they have used up */
    memset(self->grads, 0, self->grads_bytes);
    for (uint32_t s = self->plan->n_steps; s-- > 0;)
        if (self->plan->steps[s].backward)
            step_backward(self, s);
}
