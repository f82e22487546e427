/* onnx.c - a trained network as an ONNX model, node by node.
 *
 * Values are N,C,H,W, as ONNX has them. A node's value is called "/NAME", or "OPERATION_NUMBER" when it has no name; what it
 * takes besides is called "/NAME/...", parameters are called as ever, "NAME.weight", and what is nobody's has neither slash at
 * the beginning nor dot: names of nodes have no slash, and so nothing has the name of anything else.
 */
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "graph_fold.h"
#include "graph_params.h"
#include "graph_values.h"
#include "onnx_model.h"

#define IMAGE  "image"
#define LOGITS "logits"

struct translation {
    const struct graph *graph;
    struct graph_value *values;
    struct onnx_model *model;
    const char **name;  /* of each node's value; NULL: there is none (yet) */
    const char *images; /* how many there are, as a value; NULL: not asked for yet */
    const char *clip[2];
    fold_lookup lookup;
    void *ctx;
    struct why *why;
    int rc; /* sticky */
};

static const char *value_name(struct translation *t, uint32_t i)
{
    const char *name = graph_name(t->graph, i);

    return name[0] != '\0'
               ? onnx_model_text(t->model, "/%s", name)
               : onnx_model_text(t->model, "%s_%u", graph_op_name(t->graph->nodes[i].op), i);
}

#define NODE(t, op, output, ...)                                                                   \
    onnx_model_node((t)->model, op, output, (const char *const[]){__VA_ARGS__},                    \
                    sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))
#define PART(t, name, part) onnx_model_text((t)->model, "%s/" part, name)
#define INT64S(t, name, ...)                                                                       \
    onnx_model_int64s((t)->model, name, (const int64_t[]){__VA_ARGS__},                            \
                      sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))
#define INTS(t, name, ...)                                                                         \
    onnx_model_ints((t)->model, name, (const int64_t[]){__VA_ARGS__},                              \
                    sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

/* (N, c, h, w) as a value: only the network that runs knows N. */
static const char *dynamic_shape(struct translation *t, const char *name, struct graph_shape s)
{
    if (t->images == NULL) {
        const char *shape = NODE(t, "Shape", "images/shape", IMAGE);

        t->images = NODE(t, "Gather", "images", shape, INT64S(t, "images/first", 0));
    }
    name = NODE(t, "Concat", PART(t, name, "shape"), t->images,
                INT64S(t, PART(t, name, "chw"), s.c, s.h, s.w));
    onnx_model_int(t->model, "axis", 0);
    return name;
}

static const char *zeros(struct translation *t, const char *name, struct graph_shape shape)
{
    return NODE(t, "ConstantOfShape", name, dynamic_shape(t, name, shape));
}

/* The k-th value that node i reads. Zeros come into being only where somebody does. */
static const char *read_input(struct translation *t, uint32_t i, uint32_t k)
{
    uint32_t in = graph_inputs(t->graph, i)[k];

    if (t->name[in] == NULL)
        t->name[in] = zeros(t, value_name(t, in), t->graph->nodes[in].shape);
    return t->name[in];
}

/* ---- parameters ---- */

static const float *look_up(struct translation *t, const struct graph_param *is)
{
    const float *values = t->lookup(t->ctx, is->name, is->n);

    if (values == NULL && t->rc == FARM_OK)
        t->rc = why_set(t->why, FARM_EINPUT, "there are no %zu values of '%s'", is->n, is->name);
    return values;
}

/* As it is, with the dimensions it has. */
static const char *put_param(struct translation *t, const struct graph_param *is)
{
    const float *values = look_up(t, is);
    size_t n_dims = is->shape[1] > 0 ? 2 : 1;
    float *to = onnx_model_floats(t->model, is->name, is->shape, n_dims);

    if (to != NULL && values != NULL)
        memcpy(to, values, is->n * sizeof *to);
    return onnx_model_text(t->model, "%s", is->name);
}

/* (kernel_h, kernel_w, c, k) -> (k, c, kernel_h, kernel_w) */
static const char *put_conv_weight(struct translation *t, const struct graph_param *is)
{
    const float *from = look_up(t, is);
    size_t window = (size_t)is->shape[0] * is->shape[1], c = is->shape[2], k = is->shape[3];
    float *to =
        onnx_model_floats(t->model, is->name,
                          (uint32_t[]){is->shape[3], is->shape[2], is->shape[0], is->shape[1]}, 4);

    for (size_t at = 0; at < window && to != NULL && from != NULL; at++)
        for (size_t i = 0; i < c; i++)
            for (size_t o = 0; o < k; o++)
                to[(o * c + i) * window + at] = from[(at * c + i) * k + o];
    return onnx_model_text(t->model, "%s", is->name);
}

/* n times the same. */
static const char *put_constant(struct translation *t, const char *name, uint32_t n, float value)
{
    float *to = onnx_model_floats(t->model, name, &n, 1);

    for (uint32_t i = 0; i < n && to != NULL; i++)
        to[i] = value;
    return name;
}

/* ---- windows ---- */

/* How a window operation lies along one side. ONNX has no negative padding, and pools none that fills a window. */
struct side {
    uint32_t crop;       /* taken off the beginning */
    uint32_t rest;       /* what is left of the input; 0: nothing */
    uint32_t begin, end; /* padding */
    uint32_t out;        /* of the operation; ... */
    uint32_t beyond;     /* ... and windows behind these that see padding only */
};

static struct side side_of(const struct graph_node *n, uint32_t in, uint32_t out, uint32_t kernel,
                           int32_t pad)
{
    struct side s = {.crop = pad < 0 ? (uint32_t)-pad : 0, .begin = pad > 0 ? (uint32_t)pad : 0};
    uint32_t reach = n->dilation * (kernel - 1), rows, needed;

    s.rest = in > s.crop ? in - s.crop : 0;
    s.out = out;
    while (n->op != GRAPH_CONV && s.out > 0 && (s.out - 1) * n->stride >= s.rest + s.begin)
        s.out--;
    s.beyond = out - s.out;
    rows = (s.rest > 0 ? s.rest : 1) + s.begin;
    needed = s.out > 0 ? (s.out - 1) * n->stride + reach + 1 : 0;
    s.end = needed > rows ? needed - rows : 0;
    return s;
}

struct window {
    struct side y, x;
};

static struct window window_of(const struct translation *t, uint32_t i)
{
    const struct graph_node *n = &t->graph->nodes[i];
    const struct graph_shape *in = &t->graph->nodes[graph_inputs(t->graph, i)[0]].shape;

    return (struct window){side_of(n, in->h, n->shape.h, n->kernel_h, n->pad_y),
                           side_of(n, in->w, n->shape.w, n->kernel_w, n->pad_x)};
}

/* The input without what a negative padding leaves out; zeros when that is all of it. */
static const char *crop(struct translation *t, uint32_t i, const char *name, const struct window *w)
{
    struct graph_shape rest = t->graph->nodes[graph_inputs(t->graph, i)[0]].shape;

    if (w->y.rest == 0 || w->x.rest == 0) {
        rest.h = w->y.rest > 0 ? w->y.rest : 1;
        rest.w = w->x.rest > 0 ? w->x.rest : 1;
        return zeros(t, PART(t, name, "nothing"), rest);
    }
    if (w->y.crop == 0 && w->x.crop == 0)
        return read_input(t, i, 0);
    return NODE(t, "Slice", PART(t, name, "crop"), read_input(t, i, 0),
                INT64S(t, PART(t, name, "from"), w->y.crop, w->x.crop),
                INT64S(t, PART(t, name, "to"), w->y.crop + w->y.rest, w->x.crop + w->x.rest),
                INT64S(t, PART(t, name, "axes"), 2, 3));
}

static void window_attributes(struct translation *t, const struct graph_node *n,
                              const struct window *w)
{
    INTS(t, "kernel_shape", n->kernel_h, n->kernel_w);
    INTS(t, "strides", n->stride, n->stride);
    INTS(t, "pads", w->y.begin, w->x.begin, w->y.end, w->x.end);
}

static void put_conv(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];
    struct window w = window_of(t, i);
    struct graph_param params[GRAPH_NODE_PARAMS];
    uint32_t n_params = graph_node_params(t->graph, i, params);
    const char *inputs[3] = {crop(t, i, name, &w), put_conv_weight(t, &params[0])};

    if (n_params > 1)
        inputs[2] = put_param(t, &params[1]);
    onnx_model_node(t->model, "Conv", name, inputs, n_params + 1);
    window_attributes(t, n, &w);
    INTS(t, "dilations", n->dilation, n->dilation);
    onnx_model_int(t->model, "group", n->groups);
}

/* Windows that see padding only are 0: ONNX does not say what they are, so they are added behind. */
static void put_pool(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];
    struct window w = window_of(t, i);
    bool beyond = w.y.beyond > 0 || w.x.beyond > 0;

    if (w.y.out == 0 || w.x.out == 0) {
        zeros(t, name, n->shape);
        return;
    }
    const char *in = crop(t, i, name, &w), *inside = beyond ? PART(t, name, "inside") : name;

    NODE(t, n->op == GRAPH_MAX_POOL ? "MaxPool" : "AveragePool", inside, in);
    window_attributes(t, n, &w);
    if (n->op == GRAPH_AVG_POOL)
        onnx_model_int(t->model, "count_include_pad", 0);
    if (beyond)
        NODE(t, "Pad", name, inside,
             INT64S(t, PART(t, name, "pads"), 0, 0, 0, 0, 0, 0, w.y.beyond, w.x.beyond));
}

/* ---- resizing ---- */

/* out = sum of in times weight (from, to): the mean of those that area mode takes. */
static const char *put_means(struct translation *t, const char *name, uint32_t in, uint32_t out,
                             bool transposed)
{
    uint32_t dims[2] = {transposed ? out : in, transposed ? in : out};
    float *to = onnx_model_floats(t->model, name, dims, 2);

    if (to == NULL)
        return name;
    memset(to, 0, sizeof *to * in * out);
    for (uint64_t y = 0; y < out; y++) {
        uint64_t from = y * in / out, until = ((y + 1) * in + out - 1) / out;

        for (uint64_t k = from; k < until; k++)
            to[transposed ? y * in + k : k * out + y] = 1 / (float)(until - from);
    }
    return name;
}

/* ONNX has no area mode: a pool where the factors are whole, otherwise a product with the means along each side. */
static void put_area(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_shape in = t->graph->nodes[graph_inputs(t->graph, i)[0]].shape;
    const struct graph_shape out = t->graph->nodes[i].shape;
    const char *x = read_input(t, i, 0);

    if (in.h % out.h == 0 && in.w % out.w == 0) {
        NODE(t, "AveragePool", name, x);
        INTS(t, "kernel_shape", in.h / out.h, in.w / out.w);
        INTS(t, "strides", in.h / out.h, in.w / out.w);
        return;
    }
    if (in.w != out.w)
        x = NODE(t, "MatMul", in.h != out.h ? PART(t, name, "columns") : name, x,
                 put_means(t, PART(t, name, "column_means"), in.w, out.w, false));
    if (in.h != out.h)
        NODE(t, "MatMul", name, put_means(t, PART(t, name, "row_means"), in.h, out.h, true), x);
}

static void put_resize(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];

    if (n->mode == GRAPH_AREA) {
        put_area(t, i, name);
        return;
    }
    const char *in = read_input(t, i, 0);

    NODE(t, "Resize", name, in, "", "", dynamic_shape(t, name, n->shape));
    onnx_model_word(t->model, "mode", "linear");
    onnx_model_word(t->model, "coordinate_transformation_mode", "half_pixel");
}

/* ---- other operations ---- */

static void put_batch_norm(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];
    struct graph_param params[GRAPH_NODE_PARAMS];
    uint32_t n_params = graph_node_params(t->graph, i, params);
    const char *inputs[1 + GRAPH_NODE_PARAMS] = {read_input(t, i, 0)};

    if (!n->affine) {
        inputs[1] = put_constant(t, PART(t, name, "one"), n->shape.c, 1);
        inputs[2] = put_constant(t, PART(t, name, "zero"), n->shape.c, 0);
    }
    for (uint32_t k = 0; k < n_params; k++)
        inputs[1 + GRAPH_NODE_PARAMS - n_params + k] = put_param(t, &params[k]);
    onnx_model_node(t->model, "BatchNormalization", name, inputs, 1 + GRAPH_NODE_PARAMS);
    onnx_model_real(t->model, "epsilon", n->rate);
}

/* Gemm is of matrices: (N, c) -> (N, k), which becomes (N, k, 1, 1) unless it is the logits. */
static void put_linear(struct translation *t, uint32_t i, const char *name)
{
    bool last = i == t->graph->output;
    struct graph_param params[GRAPH_NODE_PARAMS];
    uint32_t n_params = graph_node_params(t->graph, i, params);
    const char *product = last ? LOGITS : PART(t, name, "product");
    const char *inputs[3];

    inputs[0] = NODE(t, "Flatten", PART(t, name, "flat"), read_input(t, i, 0));
    for (uint32_t k = 0; k < n_params; k++)
        inputs[1 + k] = put_param(t, &params[k]);
    onnx_model_node(t->model, "Gemm", product, inputs, 1 + n_params);
    if (!last)
        NODE(t, "Unsqueeze", name, product, INT64S(t, PART(t, name, "axes"), 2, 3));
}

static const char *put_bound(struct translation *t, const char *name, float value)
{
    float *to = onnx_model_floats(t->model, name, NULL, 0);

    if (to != NULL)
        *to = value;
    return name;
}

static void put_hard_sigmoid(struct translation *t, const char *name, const char *in)
{
    NODE(t, "HardSigmoid", name, in);
    onnx_model_real(t->model, "alpha", 1 / 6.0f);
    onnx_model_real(t->model, "beta", 0.5f);
}

static void put_activation(struct translation *t, uint32_t i, const char *name)
{
    const char *in = read_input(t, i, 0), *gate = PART(t, name, "gate");

    switch (t->graph->nodes[i].op) {
    case GRAPH_RELU: NODE(t, "Relu", name, in); return;
    case GRAPH_SIGMOID: NODE(t, "Sigmoid", name, in); return;
    case GRAPH_H_SIGMOID: put_hard_sigmoid(t, name, in); return;
    case GRAPH_SWISH: NODE(t, "Mul", name, in, NODE(t, "Sigmoid", gate, in)); return;
    case GRAPH_H_SWISH:
        put_hard_sigmoid(t, gate, in);
        NODE(t, "Mul", name, in, gate);
        return;
    default: break;
    }
    if (t->clip[0] == NULL) {
        t->clip[0] = put_bound(t, "relu6/from", 0);
        t->clip[1] = put_bound(t, "relu6/to", 6);
    }
    NODE(t, "Clip", name, in, t->clip[0], t->clip[1]);
}

static void put_slice(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];

    NODE(t, "Slice", name, read_input(t, i, 0), INT64S(t, PART(t, name, "from"), n->offset),
         INT64S(t, PART(t, name, "to"), n->offset + n->channels),
         INT64S(t, PART(t, name, "axes"), 1));
}

static void put_shuffle(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];
    int64_t g = n->groups, c = n->shape.c, h = n->shape.h, w = n->shape.w; /* 0: as it is */
    const char *x = NODE(t, "Reshape", PART(t, name, "groups"), read_input(t, i, 0),
                         INT64S(t, PART(t, name, "groups_shape"), 0, g, c / g, h, w));

    x = NODE(t, "Transpose", PART(t, name, "transposed"), x);
    INTS(t, "perm", 0, 2, 1, 3, 4);
    NODE(t, "Reshape", name, x, INT64S(t, PART(t, name, "shape"), 0, c, h, w));
}

/* What node i reads, zeros left out when it is a sum; returns how many. */
static uint32_t read_all(struct translation *t, uint32_t i, const char **inputs)
{
    bool sum = t->graph->nodes[i].op == GRAPH_ADD;
    uint32_t n = 0;

    for (uint32_t k = 0; k < t->graph->nodes[i].n_inputs; k++)
        if (!sum || !t->values[graph_inputs(t->graph, i)[k]].zero)
            inputs[n++] = read_input(t, i, k);
    return n;
}

static const char *put_join(struct translation *t, uint32_t i, const char *name)
{
    const struct graph_node *n = &t->graph->nodes[i];
    const char **inputs = malloc(n->n_inputs * sizeof *inputs);
    const char *op = n->op == GRAPH_CONCAT ? "Concat" : n->op == GRAPH_MUL ? "Mul" : NULL;
    uint32_t many;

    if (inputs == NULL) {
        t->rc = why_set(t->why, FARM_ENOMEM, "out of memory for a sum");
        return name;
    }
    many = read_all(t, i, inputs);
    if (many == 1) {
        name = inputs[0]; /* of a sum whose other terms are zero */
    } else {
        onnx_model_node(t->model, op != NULL ? op : many == 2 ? "Add" : "Sum", name, inputs, many);
        if (n->op == GRAPH_CONCAT)
            onnx_model_int(t->model, "axis", 1);
    }
    free(inputs);
    return name;
}

/* ---- the whole ---- */

/* Returns the name of node i's value, under which it may have been known before. */
static const char *put_node(struct translation *t, uint32_t i)
{
    const char *name = value_name(t, i);

    switch (t->graph->nodes[i].op) {
    case GRAPH_CONV: put_conv(t, i, name); return name;
    case GRAPH_BATCH_NORM: put_batch_norm(t, i, name); return name;
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL: put_pool(t, i, name); return name;
    case GRAPH_GLOBAL_AVG_POOL:
        NODE(t, "GlobalAveragePool", name, read_input(t, i, 0));
        return name;
    case GRAPH_ADD:
    case GRAPH_CONCAT:
    case GRAPH_MUL: return put_join(t, i, name);
    case GRAPH_LINEAR: put_linear(t, i, name); return name;
    case GRAPH_RELU:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID: put_activation(t, i, name); return name;
    case GRAPH_SLICE: put_slice(t, i, name); return name;
    case GRAPH_CHANNEL_SHUFFLE: put_shuffle(t, i, name); return name;
    case GRAPH_RESIZE: {
        const struct graph_node *n = &t->graph->nodes[i];
        const struct graph_shape *in = &t->graph->nodes[graph_inputs(t->graph, i)[0]].shape;

        if (in->h == n->shape.h && in->w == n->shape.w)
            break;
        put_resize(t, i, name);
        return name;
    }
    case GRAPH_IDENTITY:
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH: break;
    case GRAPH_INPUT:
    case GRAPH_ZERO: /* comes into being where it is read */
    case GRAPH_OP_END: return NULL;
    }
    return read_input(t, i, 0);
}

static void say_shape(struct translation *t, uint32_t i)
{
    const struct graph_shape *s = &t->graph->nodes[i].shape;

    onnx_model_value(t->model, ONNX_INNER, t->name[i], (uint32_t[]){s->c, s->h, s->w}, 3);
}

/* What the network reads: (image - mean) * inv_std. */
static void put_input(struct translation *t, const struct weights *weights)
{
    const struct graph_shape *s = &t->graph->input;
    const uint32_t dims[3] = {s->c, 1, 1};
    float *mean = onnx_model_floats(t->model, "input/mean", dims, 3);
    float *inv_std = onnx_model_floats(t->model, "input/inv_std", dims, 3);
    const char *centred = NODE(t, "Sub", "input/centred", IMAGE, "input/mean");

    if (mean != NULL && inv_std != NULL) {
        memcpy(mean, weights->mean, s->c * sizeof *mean);
        memcpy(inv_std, weights->inv_std, s->c * sizeof *inv_std);
    }
    t->name[0] = NODE(t, "Mul", "input", centred, "input/inv_std");
    onnx_model_value(t->model, ONNX_INPUT, IMAGE, (uint32_t[]){s->c, s->h, s->w}, 3);
    say_shape(t, 0);
}

static void put_graph(struct translation *t, const struct weights *weights)
{
    const struct graph *g = t->graph;

    put_input(t, weights);
    for (uint32_t i = 1; i < g->n_nodes && t->rc == FARM_OK; i++) {
        if (!t->values[i].live || t->values[i].zero)
            continue;
        t->name[i] = put_node(t, i);
        if (t->name[i] != NULL && i != g->output)
            say_shape(t, i);
    }
    if (g->nodes[g->output].op != GRAPH_LINEAR || t->values[g->output].zero) {
        if (t->name[g->output] == NULL)
            t->name[g->output] = zeros(t, "zero", g->nodes[g->output].shape);
        NODE(t, "Flatten", LOGITS, t->name[g->output]);
    }
    onnx_model_value(t->model, ONNX_OUTPUT, LOGITS, &g->classes, 1);
}

static int translate(struct translation *t, const struct weights *weights,
                     const struct export_onnx_about *about, uint8_t **bytes, size_t *len)
{
    t->model = onnx_model_create();
    t->values = malloc(t->graph->n_nodes * sizeof *t->values);
    t->name = calloc(t->graph->n_nodes, sizeof *t->name);
    if (t->model == NULL || t->values == NULL || t->name == NULL)
        return why_set(t->why, FARM_ENOMEM, "out of memory for an ONNX model");
    graph_values(t->graph, false, t->values);
    put_graph(t, weights);
    if (t->rc != FARM_OK)
        return t->rc;
    onnx_model_title(t->model, about->name, about->doc);
    for (size_t i = 0; i < about->n_properties; i++)
        onnx_model_property(t->model, about->properties[i].key, about->properties[i].value);
    return onnx_model_pack(t->model, bytes, len, t->why);
}

/* Parameters are asked for in node order, as they lie there: the next one is mostly the right one. */
struct folded_values {
    const struct folded *folded;
    size_t next;
};

static const float *find_folded(void *ctx, const char *name, size_t n)
{
    struct folded_values *self = ctx;

    for (size_t k = 0; k < self->folded->n_params; k++) {
        size_t i = (self->next + k) % self->folded->n_params;
        const struct fold_param *p = &self->folded->params[i];

        if (p->is.n != n || strcmp(p->is.name, name) != 0)
            continue;
        self->next = i + 1;
        return p->values;
    }
    return NULL;
}

int export_onnx(const struct graph *self, struct weights *weights,
                const struct export_onnx_about *about, uint8_t **bytes, size_t *len,
                struct why *why)
{
    struct folded *folded = NULL;
    struct folded_values values = {0};
    struct translation t = {.graph = self, .lookup = weights_find, .ctx = weights, .why = why};
    int rc =
        about->keep_batch_norm ? FARM_OK : graph_fold(&folded, self, weights_find, weights, why);

    if (folded != NULL) {
        values.folded = folded;
        t.graph = folded->graph;
        t.lookup = find_folded;
        t.ctx = &values;
    }
    if (rc == FARM_OK)
        rc = translate(&t, weights, about, bytes, len);
    onnx_model_destroy(&t.model);
    free(t.values);
    free(t.name);
    folded_destroy(&folded);
    return rc;
}

bool export_has_onnx(void)
{
    return true;
}
