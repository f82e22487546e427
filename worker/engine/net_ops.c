/* net_ops.c - what each operation does with one group of images, forward and backward side by side. */
#include "net_ops.h"

#include <assert.h>
#include <string.h>

struct run run_of(struct net *net, uint32_t s, uint32_t first, uint32_t n)
{
    const struct plan *plan = net->plan;
    const struct plan_step *step = &plan->steps[s];
    struct run r = {.net = net,
                    .k = net->kernels,
                    .step = step,
                    .in = &plan->inputs[step->first_input],
                    .arena = net->arena,
                    .scratch = (float *)(void *)(net->arena + plan->scratch),
                    .p = &net->params[net->node_param[step->index]],
                    .first = first,
                    .n = n};

    return r;
}

static float *floats_at(uint8_t *arena, uint64_t offset)
{
    return (float *)(void *)(arena + offset);
}

/* Input i, in forward and in backward. */
static const float *x_of(const struct run *r, uint32_t i)
{
    return array_at(r->arena, r->in[i].x, r->first);
}

static const float *x_back(const struct run *r, uint32_t i)
{
    return array_at(r->arena, r->in[i].x_back, r->first);
}

static const float *dy_of(const struct run *r)
{
    return array_at(r->arena, r->step->dy, r->first);
}

/* The gradient of input i; NULL when nothing is to be done about it. */
static float *dx_of(const struct run *r, uint32_t i)
{
    return r->in[i].grad == PLAN_GRAD_NONE ? NULL : array_at(r->arena, r->in[i].dx, r->first);
}

static bool adds(const struct run *r, uint32_t i)
{
    return r->in[i].grad == PLAN_GRAD_ADD;
}

/* The same, zeroed where this is the first contribution, for kernels that only add. */
static float *dx_to_add_to(const struct run *r, uint32_t i)
{
    float *dx = dx_of(r, i);

    if (r->in[i].grad == PLAN_GRAD_FIRST)
        memset(dx, 0, r->n * r->in[i].values * sizeof *dx);
    return dx;
}

static size_t n_y(const struct run *r)
{
    return r->n * r->step->y_values;
}

static struct window window_of(const struct run *r)
{
    struct window w = r->step->window;

    w.n = (int)r->n;
    return w;
}

/* ---- conv: x (n,h,w,c), weight (kh,kw,c/groups,k), bias (k) -> y (n,oh,ow,k) ---- */

/* The node's own, that of the batch norm folded into it, or NULL. */
static const float *bias_of(const struct run *r)
{
    if (r->step->norm != PLAN_NO)
        return norm_of(r->net, &r->net->plan->norms[r->step->norm]).shift;
    return r->step->node.bias ? r->p[1].value : NULL;
}

static void act_behind(const struct run *r, float *y)
{
    if (r->step->act != ACT_NONE)
        r->k->act_forward(y, y, r->step->act, n_y(r));
}

/* A batch norm is folded into its weights. */
static bool takes_up_norm(const struct plan_step *step)
{
    return step->node.op == GRAPH_CONV && step->norm != PLAN_NO;
}

static void conv_forward(const struct run *r, float *y, const float *x, uint64_t packed)
{
    struct window w = window_of(r);

    if (r->net->plan->training && takes_up_norm(r->step)) {
        r->k->conv_pointwise(y, false, x, floats_at(r->arena, packed), bias_of(r), r->step->act, &w,
                             r->scratch);
        return;
    }
    r->k->conv_forward(y, x, floats_at(r->arena, packed), bias_of(r), &w, r->scratch);
    act_behind(r, y);
}

/* Of a convolution that took up a norm: dy is from here on the gradient before the activation. */
static void cut_gradient(const struct run *r)
{
    const struct plan_step *step = r->step;
    struct norm n = norm_of(r->net, &r->net->plan->norms[step->norm]);

    r->k->norm_backward_cut(&n, array_at(r->arena, step->dy, r->first),
                            array_at(r->arena, step->recompute ? step->y_back : step->y, r->first),
                            step->act, n_y(r) / (size_t)n.c);
}

static void conv_backward(const struct run *r)
{
    struct window w = window_of(r);
    float *dx = dx_of(r, 0);

    if (r->step->norm != PLAN_NO)
        cut_gradient(r);
    r->k->conv_backward_weight(floats_at(r->arena, r->step->sums),
                               r->step->node.bias ? r->p[1].grad : NULL, dy_of(r), x_back(r, 0), &w,
                               r->scratch);
    if (dx != NULL)
        r->k->conv_backward_input(dx, adds(r, 0), dy_of(r), floats_at(r->arena, r->step->packed_dx),
                                  &w, r->scratch);
}

/* ---- batch norm with the activation behind it; its gradient goes to the norm's own place ---- */

static const struct plan_norm *norm_at(const struct run *r)
{
    return &r->net->plan->norms[r->step->norm];
}

static void norm_forward(const struct run *r, float *y, const float *x)
{
    struct norm n = norm_of(r->net, norm_at(r));

    r->k->norm_forward(&n, y, x, r->step->act, r->n * r->step->in_pixels);
}

static void norm_backward(const struct run *r)
{
    struct norm n = norm_of(r->net, norm_at(r));
    const struct plan_norm *norm = norm_at(r);
    uint64_t bytes = norm->g.image * r->net->n;
    enum norm_put put = bytes >= PLAN_PAST_BYTES ? NORM_PUT_PAST : NORM_PUT;

    r->k->norm_backward(&n, dx_of(r, 0), adds(r, 0) ? NORM_ADD : put, dy_of(r), x_back(r, 0),
                        r->step->act, norm->last == (uint32_t)(r->step - r->net->plan->steps),
                        r->n * r->step->in_pixels);
}

/* What norms that read y bring of its gradient. */
static void gather(const struct run *r)
{
    const struct plan_norm *norms = r->net->plan->norms;

    for (uint32_t m = r->step->first_reader; m != PLAN_NO; m = norms[m].next) {
        struct plan_array g;

        if (norms[m].gather == PLAN_GRAD_NONE)
            continue;
        g.at = norms[m].g.at;
        g.image = norms[m].g.image / r->step->split;
        norm_gather(r->net, &norms[m], array_at(r->arena, r->step->dy, r->first),
                    array_at(r->arena, g, r->first),
                    array_at(r->arena, r->step->recompute ? r->step->y_back : r->step->y, r->first),
                    r->n * r->step->y_values / r->step->node.shape.c);
    }
}

/* ---- activations ---- */

static enum act act_of(const struct run *r)
{
    switch (r->step->node.op) {
    case GRAPH_RELU: return ACT_RELU;
    case GRAPH_RELU6: return ACT_RELU6;
    case GRAPH_SWISH: return ACT_SWISH;
    case GRAPH_H_SWISH: return ACT_H_SWISH;
    case GRAPH_SIGMOID: return ACT_SIGMOID;
    case GRAPH_H_SIGMOID: return ACT_H_SIGMOID;
    default: return ACT_NONE;
    }
}

/* ---- pools ---- */

/* argmax (n,oh,ow,c) is found again, beside a y that nobody reads */
static void max_pool_backward(const struct run *r)
{
    struct window w = window_of(r);
    int32_t *argmax = array_at(r->arena, r->step->aux, 0);

    r->k->max_pool_forward(array_at(r->arena, r->step->y_back, 0), argmax, x_back(r, 0), &w);
    r->k->max_pool_backward(dx_to_add_to(r, 0), dy_of(r), argmax, &w);
}

static void avg_pool_backward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->avg_pool_backward(dx_to_add_to(r, 0), dy_of(r), &w);
}

/* ---- add: y = sum of inputs. Backward, an input that only this sum reads shares dy and is not seen here. ---- */

static void add_forward(const struct run *r, float *y,
                        const float *(*x)(const struct run *, uint32_t))
{
    enum { AT_ONCE = 8 };
    const float *terms[AT_ONCE];
    uint32_t done = 0, n = r->step->n_inputs;

    for (; done < n && done < AT_ONCE; done++)
        terms[done] = x(r, done);
    r->k->add_forward(y, terms, (int)done, n_y(r));
    for (; done < n; done++)
        r->k->accumulate(y, x(r, done), n_y(r));
}

static void add_backward(const struct run *r)
{
    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        float *dx = dx_of(r, i);

        if (r->in[i].grad == PLAN_GRAD_FIRST)
            memcpy(dx, dy_of(r), n_y(r) * sizeof *dx);
        else if (dx != NULL)
            r->k->accumulate(dx, dy_of(r), n_y(r));
    }
}

/* ---- concat: y (pixels, c) is, in each pixel, the inputs' channels one after the other ---- */

static void concat_forward(const struct run *r, float *y,
                           const float *(*x)(const struct run *, uint32_t))
{
    size_t pixels = r->n * r->step->in_pixels, c = r->step->node.shape.c, from = 0;

    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        r->k->copy_rows(y + from, c, x(r, i), r->in[i].c, pixels, r->in[i].c);
        from += r->in[i].c;
    }
}

/* (rows of) dx = or += dy */
static void pass_rows(const struct run *r, uint32_t i, float *dx, size_t dx_stride, const float *dy,
                      size_t dy_stride, size_t width)
{
    size_t pixels = r->n * r->step->in_pixels;

    if (adds(r, i))
        r->k->add_rows(dx, dx_stride, dy, dy_stride, pixels, width);
    else
        r->k->copy_rows(dx, dx_stride, dy, dy_stride, pixels, width);
}

static void concat_backward(const struct run *r)
{
    size_t c = r->step->node.shape.c, from = 0;

    for (uint32_t i = 0; i < r->step->n_inputs; i++) {
        size_t ci = r->in[i].c;

        if (dx_of(r, i) != NULL)
            pass_rows(r, i, dx_of(r, i), ci, dy_of(r) + from, c, ci);
        from += ci;
    }
}

/* ---- slice: channels [offset, offset + c) ---- */

static void slice_forward(const struct run *r, float *y, const float *x)
{
    size_t c = r->step->node.shape.c;

    r->k->copy_rows(y, c, x + r->step->node.offset, r->in[0].c, r->n * r->step->in_pixels, c);
}

static void slice_backward(const struct run *r)
{
    size_t c = r->step->node.shape.c;
    float *dx = dx_to_add_to(r, 0);

    r->k->add_rows(dx + r->step->node.offset, r->in[0].c, dy_of(r), c, r->n * r->step->in_pixels,
                   c);
}

/* ---- mul: x (n,pixels,c), gate (n,1,c) or as x ---- */

static size_t gate_pixels(const struct run *r, size_t *c)
{
    bool whole = r->in[1].values == r->in[0].values;

    *c = whole ? r->in[0].values : r->in[0].c;
    return whole ? 1 : r->step->in_pixels;
}

static void mul_forward(const struct run *r, float *y, const float *x, const float *gate)
{
    size_t c, pixels = gate_pixels(r, &c);

    r->k->mul_forward(y, x, gate, (int)r->n, pixels, c);
}

static void mul_backward(const struct run *r)
{
    size_t c, pixels = gate_pixels(r, &c);
    float *dx = dx_of(r, 0), *dgate = dx_to_add_to(r, 1);

    r->k->mul_backward(dx, adds(r, 0), dgate, dy_of(r), x_back(r, 0), x_back(r, 1), (int)r->n,
                       pixels, c);
}

/* ---- resize ---- */

static void resize_forward(const struct run *r, float *y, const float *x)
{
    struct window w = window_of(r);

    r->k->resize_forward(y, x, &w, r->step->node.mode == GRAPH_AREA);
}

static void resize_backward(const struct run *r)
{
    struct window w = window_of(r);

    r->k->resize_backward(dx_to_add_to(r, 0), dy_of(r), &w, r->step->node.mode == GRAPH_AREA);
}

/* ---- linear: x (n,c), weight (c,k), bias (k) -> y (n,k) ---- */

static void linear_forward(const struct run *r, float *y, const float *x)
{
    const float *weight =
        r->step->packed != PLAN_NONE ? floats_at(r->arena, r->step->packed) : r->p[0].value;

    r->k->linear_forward(y, x, weight, bias_of(r), (int)r->n, (int)r->in[0].c,
                         (int)r->step->node.shape.c);
    act_behind(r, y);
}

static void linear_backward(const struct run *r)
{
    r->k->linear_backward(dx_to_add_to(r, 0), r->p[0].grad,
                          r->step->node.bias ? r->p[1].grad : NULL, dy_of(r), x_back(r, 0),
                          r->p[0].value, (int)r->n, (int)r->in[0].c, (int)r->step->node.shape.c);
}

/* ---- dropout: y = kept ? x / (1 - rate) : 0, for each value; kept is one byte a value ---- */

static void dropout_forward(const struct run *r, float *y, const float *x)
{
    const uint8_t *kept = array_at(r->arena, r->step->aux, r->first);
    float scale = 1 / (1 - r->step->node.rate);

    for (size_t i = 0; i < n_y(r); i++)
        y[i] = kept[i] ? x[i] * scale : 0;
}

static void dropout_backward(const struct run *r)
{
    const uint8_t *kept = array_at(r->arena, r->step->aux, r->first);
    const float *dy = dy_of(r);
    float *dx = dx_of(r, 0), scale = 1 / (1 - r->step->node.rate);
    bool first = !adds(r, 0);

    for (size_t i = 0; i < n_y(r); i++)
        dx[i] = (first ? 0 : dx[i]) + (kept[i] ? dy[i] * scale : 0);
}

/* ---- drop-path: y = factor x for each image, factor 0 with chance rate, else 1 / (1 - rate). y may be x. ---- */

static void drop_path_forward(const struct run *r, float *to, const float *from)
{
    const float *factor = array_at(r->arena, r->step->aux, r->first);
    size_t m = r->step->y_values;

    assert(to != NULL && from != NULL);
    for (uint32_t i = 0; i < r->n; i++) {
        float *y = to + i * m;
        const float *x = from + i * m;

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
    const float *factor = array_at(r->arena, r->step->aux, r->first);
    size_t m = r->step->y_values;

    for (uint32_t i = 0; i < r->n; i++) {
        float *dx = dx_of(r, 0) + i * m;
        const float *dy = dy_of(r) + i * m;

        if (!adds(r, 0))
            r->k->scale(dx, dy, factor[i], m);
        else if (factor[i] != 0)
            for (size_t j = 0; j < m; j++)
                dx[j] += factor[i] * dy[j];
    }
}

static void draw_dropout(struct rng *rng, uint8_t *kept, size_t n, float rate)
{
    uint32_t dropped = (uint32_t)(rate * 0x1p32); /* of 2^32; rate < 1 */
    uint64_t bits = 0;

    for (size_t i = 0; i < n; i++) {
        bits = i % 2 == 0 ? rng_u64(rng) : bits >> 32;
        kept[i] = (uint32_t)bits >= dropped;
    }
}

static void draw_drop_path(struct rng *rng, float *factor, size_t n, float rate)
{
    for (size_t i = 0; i < n; i++)
        factor[i] = rng_uniform(rng) < (double)rate ? 0 : 1 / (1 - rate);
}

void step_draw(struct net *net, const struct plan_step *step)
{
    void *to = array_at(net->arena, step->aux, 0);
    float rate = step->node.rate;
    struct rng rng;

    if (step->node.op != GRAPH_DROPOUT && step->node.op != GRAPH_DROP_PATH)
        return;
    /* a stream of its own for each node and step: saved by saving the step's number */
    rng_seed(&rng, rng_mix(rng_mix(net->config.seed, net->step), step->index));
    if (step->node.op == GRAPH_DROPOUT)
        draw_dropout(&rng, to, net->n * step->y_values, rate);
    else
        draw_drop_path(&rng, to, net->n, net->drop_path < 0 ? rate : net->drop_path);
}

/* ---- all of them ---- */

static void run_forward(const struct run *r, float *y,
                        const float *(*input)(const struct run *, uint32_t), uint64_t packed)
{
    const struct plan_step *step = r->step;
    const float *x = step->n_inputs > 0 ? input(r, 0) : y;
    struct window w = window_of(r);

    switch (step->node.op) {
    case GRAPH_CONV: conv_forward(r, y, x, packed); return;
    case GRAPH_BATCH_NORM: norm_forward(r, y, x); return;
    case GRAPH_RELU:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: r->k->act_forward(y, x, act_of(r), n_y(r)); return;
    case GRAPH_MAX_POOL: r->k->max_pool_forward(y, NULL, x, &w); return;
    case GRAPH_AVG_POOL: r->k->avg_pool_forward(y, x, &w); return;
    case GRAPH_GLOBAL_AVG_POOL:
        r->k->global_avg_pool_forward(y, x, (int)r->n, (int)step->in_pixels, (int)r->in[0].c);
        return;
    case GRAPH_ADD: add_forward(r, y, input); return;
    case GRAPH_CONCAT: concat_forward(r, y, input); return;
    case GRAPH_SLICE: slice_forward(r, y, x); return;
    case GRAPH_CHANNEL_SHUFFLE:
        r->k->shuffle_forward(y, x, r->n * step->in_pixels, (int)r->in[0].c,
                              (int)step->node.groups);
        return;
    case GRAPH_MUL: mul_forward(r, y, x, input(r, 1)); return;
    case GRAPH_RESIZE: resize_forward(r, y, x); return;
    case GRAPH_ZERO: memset(y, 0, n_y(r) * sizeof *y); return;
    case GRAPH_LINEAR: linear_forward(r, y, x); return;
    case GRAPH_DROPOUT: dropout_forward(r, y, x); return;
    case GRAPH_DROP_PATH: drop_path_forward(r, y, x); return;
    case GRAPH_INPUT:
    case GRAPH_IDENTITY:
    case GRAPH_OP_END: break; /* never steps */
    }
    assert(false);
}

void step_forward(const struct run *r)
{
    float *y = array_at(r->arena, r->step->y, r->first);
    float *stage = array_at(r->arena, r->step->stage, 0), *at = stage != NULL ? stage : y;

    run_forward(r, at, x_of, r->step->packed);
    norm_watch(r->net, r->step->first_reader, stage != NULL ? y : NULL, at, r->first,
               n_y(r) / r->step->node.shape.c);
}

void step_recompute(const struct run *r)
{
    run_forward(r, array_at(r->arena, r->step->y_back, r->first), x_back, r->step->packed_back);
}

void step_backward(const struct run *r)
{
    const struct plan_step *step = r->step;

    gather(r);
    switch (step->node.op) {
    case GRAPH_CONV: conv_backward(r); return;
    case GRAPH_BATCH_NORM: norm_backward(r); return;
    case GRAPH_RELU:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID:
        r->k->act_backward(dx_of(r, 0), adds(r, 0), dy_of(r), x_back(r, 0), act_of(r), n_y(r));
        return;
    case GRAPH_MAX_POOL: max_pool_backward(r); return;
    case GRAPH_AVG_POOL: avg_pool_backward(r); return;
    case GRAPH_GLOBAL_AVG_POOL:
        r->k->global_avg_pool_backward(dx_to_add_to(r, 0), dy_of(r), (int)r->n,
                                       (int)step->in_pixels, (int)r->in[0].c);
        return;
    case GRAPH_ADD: add_backward(r); return;
    case GRAPH_CONCAT: concat_backward(r); return;
    case GRAPH_SLICE: slice_backward(r); return;
    case GRAPH_CHANNEL_SHUFFLE:
        r->k->shuffle_backward(dx_to_add_to(r, 0), dy_of(r), r->n * step->in_pixels,
                               (int)r->in[0].c, (int)step->node.groups);
        return;
    case GRAPH_MUL: mul_backward(r); return;
    case GRAPH_RESIZE: resize_backward(r); return;
    case GRAPH_LINEAR: linear_backward(r); return;
    case GRAPH_DROPOUT: dropout_backward(r); return;
    case GRAPH_DROP_PATH: drop_path_backward(r); return;
    case GRAPH_ZERO:
    case GRAPH_INPUT:
    case GRAPH_IDENTITY:
    case GRAPH_OP_END: break; /* want no gradient */
    }
    assert(false);
}

/* ---- around the groups of a segment ---- */

/* Weights (rows, k) times the scale of the norm that they take up. */
static void scale_weights(struct net *net, const struct plan_step *step, float *scaled)
{
    const struct net_param *p = &net->params[net->node_param[step->index]];
    struct norm n = norm_of(net, &net->plan->norms[step->norm]);

    net->kernels->mul_forward(scaled, p->value, n.scale, 1, p->n / (size_t)n.c, (size_t)n.c);
}

/* Weights as a convolution reads them. */
static void pack(struct net *net, const struct plan_step *step, uint64_t to, enum conv_part part)
{
    const float *weight = net->params[net->node_param[step->index]].value;
    float *scaled = floats_at(net->arena, net->plan->scratch);

    if (to == PLAN_NONE)
        return;
    if (takes_up_norm(step)) {
        scale_weights(net, step, scaled);
        weight = scaled;
    }
    net->kernels->conv_pack(floats_at(net->arena, to), weight, &step->window, part);
}

/* Inferring, a convolution or linear layer takes up a norm; its bias goes where the norm's shift was. */
static void pack_folded(struct net *net, const struct plan_step *step)
{
    const struct net_param *p = &net->params[net->node_param[step->index]];
    struct norm n = norm_of(net, &net->plan->norms[step->norm]);
    bool linear = step->node.op == GRAPH_LINEAR;

    for (int i = 0; i < n.c; i++)
        n.shift[i] += ((step->node.bias ? p[1].value[i] : 0) - n.centre[i]) * n.scale[i];
    if (linear)
        scale_weights(net, step, floats_at(net->arena, step->packed));
    else
        pack(net, step, step->packed, CONV_PACKED_FORWARD);
}

void step_begin_forward(struct net *net, const struct plan_step *step)
{
    if (!step->forward)
        return;
    if (step->norm != PLAN_NO && !net->plan->training)
        norm_recall(net, &net->plan->norms[step->norm]);
    if (step->norm != PLAN_NO && step->node.op != GRAPH_BATCH_NORM && !net->plan->training)
        pack_folded(net, step);
    else if (step->node.op == GRAPH_CONV)
        pack(net, step, step->packed, CONV_PACKED_FORWARD);
}

/* Is this the step of a norm after which the gradient of its output is complete? */
static bool completes(const struct net *net, const struct plan_step *step)
{
    return step->norm != PLAN_NO &&
           net->plan->norms[step->norm].last == (uint32_t)(step - net->plan->steps);
}

void step_begin_backward(struct net *net, const struct plan_step *step)
{
    pack(net, step, step->packed_back, CONV_PACKED_FORWARD);
    pack(net, step, step->packed_dx, CONV_PACKED_INPUT);
    if (step->sums != PLAN_NONE)
        memset(floats_at(net->arena, step->sums), 0,
               net->kernels->conv_floats(&step->window, CONV_SUMS) * sizeof(float));
    if (completes(net, step)) {
        struct norm n = norm_of(net, &net->plan->norms[step->norm]);

        net->kernels->norm_backward_begin(&n);
    }
}

void step_end_backward(struct net *net, const struct plan_step *step)
{
    if (step->sums != PLAN_NONE)
        net->kernels->conv_weight_finish(net->params[net->node_param[step->index]].grad,
                                         floats_at(net->arena, step->sums), &step->window,
                                         floats_at(net->arena, net->plan->scratch));
    if (completes(net, step))
        norm_complete(net, &net->plan->norms[step->norm],
                      (size_t)net->n * step->split * step->in_pixels);
}
