/* graph.c - building a graph: every node is checked, and its shape inferred, as it is added. */
#include "graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"

const char *graph_op_name(enum graph_op op)
{
    static const char *const names[GRAPH_OP_END] = {
        [GRAPH_INPUT] = "input",
        [GRAPH_CONV] = "conv",
        [GRAPH_BATCH_NORM] = "batch_norm",
        [GRAPH_RELU] = "relu",
        [GRAPH_MAX_POOL] = "max_pool",
        [GRAPH_AVG_POOL] = "avg_pool",
        [GRAPH_GLOBAL_AVG_POOL] = "global_avg_pool",
        [GRAPH_ADD] = "add",
        [GRAPH_CONCAT] = "concat",
        [GRAPH_IDENTITY] = "identity",
        [GRAPH_ZERO] = "zero",
        [GRAPH_LINEAR] = "linear",
        [GRAPH_DROPOUT] = "dropout",
        [GRAPH_DROP_PATH] = "drop_path",
        [GRAPH_RELU6] = "relu6",
        [GRAPH_SWISH] = "swish",
        [GRAPH_H_SWISH] = "h_swish",
        [GRAPH_SIGMOID] = "sigmoid",
        [GRAPH_H_SIGMOID] = "h_sigmoid",
        [GRAPH_MUL] = "mul",
        [GRAPH_SLICE] = "slice",
        [GRAPH_CHANNEL_SHUFFLE] = "channel_shuffle",
        [GRAPH_RESIZE] = "resize",
    };

    return (unsigned)op < GRAPH_OP_END ? names[op] : NULL;
}

const char *graph_resize_mode_name(enum graph_resize_mode mode)
{
    static const char *const names[GRAPH_RESIZE_MODE_END] = {
        [GRAPH_BILINEAR] = "bilinear",
        [GRAPH_AREA] = "area",
    };

    return (unsigned)mode < GRAPH_RESIZE_MODE_END ? names[mode] : NULL;
}

bool graph_is_activation(enum graph_op op)
{
    return op == GRAPH_RELU || (op >= GRAPH_RELU6 && op <= GRAPH_H_SIGMOID);
}

/* Makes room for one more batch of items; the array doubles. */
static int grow(void **array, size_t *capacity, size_t needed, size_t item)
{
    size_t wanted = *capacity > 0 ? *capacity : 64;
    void *bigger;

    if (needed <= *capacity)
        return FARM_OK;
    while (wanted < needed)
        wanted *= 2;
    if ((bigger = realloc(*array, wanted * item)) == NULL)
        return FARM_ENOMEM;
    *array = bigger;
    *capacity = wanted;
    return FARM_OK;
}

int graph_create(struct graph **out, struct graph_shape input, uint32_t classes, struct why *why)
{
    struct graph *g;

    if (input.h < 1 || input.h > LIMIT_SIDE || input.w < 1 || input.w > LIMIT_SIDE || input.c < 1 ||
        input.c > LIMIT_CHANNELS)
        return why_set(why, FARM_EGRAPH,
                       "an input of %ux%ux%u: sides must be 1 to %u, channels 1 to %u", input.h,
                       input.w, input.c, LIMIT_SIDE, LIMIT_CHANNELS);
    if (classes < 1 || classes > LIMIT_CLASSES)
        return why_set(why, FARM_EGRAPH, "%u classes: must be 1 to %u", classes, LIMIT_CLASSES);
    if ((g = calloc(1, sizeof *g)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a graph");
    g->input = input;
    g->classes = classes;
    if (grow((void **)&g->nodes, &g->cap_nodes, 256, sizeof *g->nodes) != FARM_OK ||
        grow((void **)&g->inputs, &g->cap_inputs, 512, sizeof *g->inputs) != FARM_OK ||
        grow((void **)&g->names, &g->cap_names, 4096, 1) != FARM_OK) {
        graph_destroy(&g);
        return why_set(why, FARM_ENOMEM, "out of memory for a graph");
    }
    g->names[0] = '\0';
    g->names_len = 1;
    memset(&g->nodes[0], 0, sizeof g->nodes[0]);
    g->nodes[0].op = GRAPH_INPUT;
    g->nodes[0].shape = input;
    g->n_nodes = 1;
    g->n_values_bound = (uint64_t)input.h * input.w * input.c;
    *out = g;
    return FARM_OK;
}

void graph_destroy(struct graph **self)
{
    if (*self == NULL)
        return;
    free((*self)->nodes);
    free((*self)->inputs);
    free((*self)->names);
    free(*self);
    *self = NULL;
}

static bool has_parameters(enum graph_op op)
{
    return op == GRAPH_CONV || op == GRAPH_BATCH_NORM || op == GRAPH_LINEAR;
}

static bool is_window(enum graph_op op)
{
    return op == GRAPH_CONV || op == GRAPH_MAX_POOL || op == GRAPH_AVG_POOL;
}

static uint32_t or_one(uint32_t v)
{
    return v > 0 ? v : 1;
}

/* Leaves in a node only what its operation means, with defaults filled in: two nodes that do the same are then equal. */
static struct graph_node normalised(const struct graph_node *node)
{
    struct graph_node n = {
        .op = node->op, .kernel_h = 1, .kernel_w = 1, .stride = 1, .dilation = 1, .groups = 1};

    if (is_window(node->op)) {
        n.kernel_h = or_one(node->kernel_h);
        n.kernel_w = or_one(node->kernel_w);
        n.stride = or_one(node->stride);
        n.valid = node->valid;
        n.pad_y = node->pad_y;
        n.pad_x = node->pad_x;
    }
    switch (node->op) {
    case GRAPH_CONV:
        n.dilation = or_one(node->dilation);
        n.groups = or_one(node->groups);
        n.channels = node->channels;
        n.bias = node->bias;
        break;
    case GRAPH_LINEAR:
        n.channels = node->channels;
        n.bias = node->bias;
        break;
    case GRAPH_ZERO:
        n.stride = or_one(node->stride);
        n.channels = node->channels;
        break;
    case GRAPH_BATCH_NORM:
        n.affine = node->affine;
        n.rate = node->rate;
        break;
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH: n.rate = node->rate; break;
    case GRAPH_SLICE:
        n.offset = node->offset;
        n.channels = node->channels;
        break;
    case GRAPH_CHANNEL_SHUFFLE: n.groups = or_one(node->groups); break;
    case GRAPH_RESIZE:
        n.height = node->height;
        n.width = node->width;
        n.mode = node->mode;
        break;
    default: break;
    }
    return n;
}

#define FAIL(...) return why_set(why, FARM_EGRAPH, __VA_ARGS__)

/* Output length of a window along one side, or 0 when it does not fit. */
static uint32_t window_out(uint32_t in, uint32_t kernel, uint32_t stride, uint32_t dilation,
                           bool valid)
{
    uint32_t reach = dilation * (kernel - 1);

    if (!valid)
        return (in + stride - 1) / stride;
    return in > reach ? (in - reach - 1) / stride + 1 : 0;
}

static int infer_window(const struct graph_shape *in, struct graph_node *n, struct why *why)
{
    int32_t reach_y, reach_x;

    if (n->kernel_h > LIMIT_KERNEL || n->kernel_w > LIMIT_KERNEL)
        FAIL("a kernel of %ux%u: at most %u", n->kernel_h, n->kernel_w, LIMIT_KERNEL);
    if (n->stride > LIMIT_STRIDE)
        FAIL("a stride of %u: at most %u", n->stride, LIMIT_STRIDE);
    if (n->dilation > LIMIT_DILATION)
        FAIL("a dilation of %u: at most %u", n->dilation, LIMIT_DILATION);
    reach_y = (int32_t)(n->dilation * (n->kernel_h - 1));
    reach_x = (int32_t)(n->dilation * (n->kernel_w - 1));
    if (n->valid && (n->pad_y != 0 || n->pad_x != 0))
        FAIL("a valid window has no padding, but pad is (%d, %d)", n->pad_y, n->pad_x);
    if (n->pad_y < -(int32_t)n->stride || n->pad_y > reach_y || n->pad_x < -(int32_t)n->stride ||
        n->pad_x > reach_x)
        FAIL("a pad of (%d, %d): must be -stride to dilation*(kernel-1)", n->pad_y, n->pad_x);
    n->shape.h = window_out(in->h, n->kernel_h, n->stride, n->dilation, n->valid);
    n->shape.w = window_out(in->w, n->kernel_w, n->stride, n->dilation, n->valid);
    if (n->shape.h == 0 || n->shape.w == 0)
        FAIL("a valid %ux%u window does not fit into %ux%u pixels", n->kernel_h, n->kernel_w, in->h,
             in->w);
    n->shape.c = n->op == GRAPH_CONV ? n->channels : in->c;
    return FARM_OK;
}

static int check_channels(uint32_t channels, struct why *why)
{
    if (channels < 1 || channels > LIMIT_CHANNELS)
        FAIL("%u output channels: must be 1 to %u", channels, LIMIT_CHANNELS);
    return FARM_OK;
}

/* Of two or more inputs: one height and width, and, for a sum, one number of channels. */
static int infer_join(const struct graph *g, const uint32_t *inputs, uint32_t n_inputs,
                      struct graph_node *n, struct why *why)
{
    const struct graph_shape *first = &g->nodes[inputs[0]].shape;
    uint64_t channels = 0;

    for (uint32_t i = 0; i < n_inputs; i++) {
        const struct graph_shape *s = &g->nodes[inputs[i]].shape;

        if (s->h != first->h || s->w != first->w || (n->op == GRAPH_ADD && s->c != first->c))
            FAIL("inputs %u and %u differ: %ux%ux%u and %ux%ux%u", inputs[0], inputs[i], first->h,
                 first->w, first->c, s->h, s->w, s->c);
        channels += s->c;
    }
    n->shape = *first;
    if (n->op == GRAPH_CONCAT) {
        if (channels > LIMIT_CHANNELS)
            FAIL("%llu channels together: at most %u", (unsigned long long)channels,
                 LIMIT_CHANNELS);
        n->shape.c = (uint32_t)channels;
    }
    return FARM_OK;
}

/* A gate is for each value, or for each channel. */
static int infer_mul(const struct graph *g, const uint32_t *inputs, struct graph_node *n,
                     struct why *why)
{
    const struct graph_shape *x = &g->nodes[inputs[0]].shape, *gate = &g->nodes[inputs[1]].shape;
    bool same = gate->h == x->h && gate->w == x->w, one = gate->h == 1 && gate->w == 1;

    if (gate->c != x->c || !(same || one))
        FAIL("the gate, value %u, is %ux%ux%u: must be %ux%ux%u or 1x1x%u", inputs[1], gate->h,
             gate->w, gate->c, x->h, x->w, x->c, x->c);
    n->shape = *x;
    return FARM_OK;
}

static int infer_slice(const struct graph_shape *in, struct graph_node *n, struct why *why)
{
    if (n->channels < 1 || n->channels > in->c || n->offset > in->c - n->channels)
        FAIL("%u channels from channel %u on: the input has %u", n->channels, n->offset, in->c);
    n->shape.c = n->channels;
    return FARM_OK;
}

static int infer_resize(struct graph_node *n, struct why *why)
{
    if (n->height < 1 || n->height > LIMIT_SIDE || n->width < 1 || n->width > LIMIT_SIDE)
        FAIL("a size of %ux%u: sides must be 1 to %u", n->height, n->width, LIMIT_SIDE);
    if (graph_resize_mode_name(n->mode) == NULL)
        FAIL("a mode of %u: must be 0 (bilinear) or 1 (area)", (unsigned)n->mode);
    n->shape.h = n->height;
    n->shape.w = n->width;
    return FARM_OK;
}

static int check_arity(enum graph_op op, uint32_t n_inputs, struct why *why)
{
    bool join = op == GRAPH_ADD || op == GRAPH_CONCAT;

    if (join && n_inputs < 2)
        FAIL("reads %u value, but joins two or more", n_inputs);
    if (op == GRAPH_MUL && n_inputs != 2)
        FAIL("reads %u value%s, but reads exactly two", n_inputs, n_inputs == 1 ? "" : "s");
    if (!join && op != GRAPH_MUL && n_inputs != 1)
        FAIL("reads %u values, but reads exactly one", n_inputs);
    return FARM_OK;
}

/* Sets n->shape from the inputs' shapes, or says what does not fit. */
static int infer_shape(const struct graph *g, const uint32_t *inputs, uint32_t n_inputs,
                       struct graph_node *n, struct why *why)
{
    const struct graph_shape in = g->nodes[inputs[0]].shape;
    int rc = check_arity(n->op, n_inputs, why);

    if (rc != FARM_OK)
        return rc;
    n->shape = in;
    switch (n->op) {
    case GRAPH_CONV:
        if ((rc = check_channels(n->channels, why)) != FARM_OK)
            return rc;
        if (in.c % n->groups != 0 || n->channels % n->groups != 0)
            FAIL("%u groups do not divide %u input and %u output channels", n->groups, in.c,
                 n->channels);
        return infer_window(&in, n, why);
    case GRAPH_MAX_POOL:
    case GRAPH_AVG_POOL: return infer_window(&in, n, why);
    case GRAPH_GLOBAL_AVG_POOL: n->shape.h = n->shape.w = 1; return FARM_OK;
    case GRAPH_ADD:
    case GRAPH_CONCAT: return infer_join(g, inputs, n_inputs, n, why);
    case GRAPH_LINEAR:
        if (in.h != 1 || in.w != 1)
            FAIL("reads %ux%u pixels, but a linear layer reads 1x1", in.h, in.w);
        n->shape.c = n->channels;
        return check_channels(n->channels, why);
    case GRAPH_ZERO:
        if (n->stride > LIMIT_STRIDE)
            FAIL("a stride of %u: at most %u", n->stride, LIMIT_STRIDE);
        if (n->channels == 0)
            n->channels = in.c;
        n->shape.h = (in.h + n->stride - 1) / n->stride;
        n->shape.w = (in.w + n->stride - 1) / n->stride;
        n->shape.c = n->channels;
        return check_channels(n->channels, why);
    case GRAPH_BATCH_NORM:
        if (n->rate == 0)
            n->rate = 1e-5f;
        if (!(n->rate > 0 && n->rate < 1))
            FAIL("an epsilon of %g: must be above 0 and below 1", (double)n->rate);
        return FARM_OK;
    case GRAPH_DROPOUT:
    case GRAPH_DROP_PATH:
        if (!(n->rate >= 0 && n->rate < 1))
            FAIL("a rate of %g: must be 0 or more and below 1", (double)n->rate);
        return FARM_OK;
    case GRAPH_MUL: return infer_mul(g, inputs, n, why);
    case GRAPH_SLICE: return infer_slice(&in, n, why);
    case GRAPH_RESIZE: return infer_resize(n, why);
    case GRAPH_CHANNEL_SHUFFLE:
        if (in.c % n->groups != 0)
            FAIL("%u groups do not divide %u channels", n->groups, in.c);
        return FARM_OK;
    case GRAPH_RELU:
    case GRAPH_RELU6:
    case GRAPH_SWISH:
    case GRAPH_H_SWISH:
    case GRAPH_SIGMOID:
    case GRAPH_H_SIGMOID:
    case GRAPH_IDENTITY: return FARM_OK;
    case GRAPH_INPUT:
    case GRAPH_OP_END: break;
    }
    FAIL("operation %d cannot be added", (int)n->op);
}

static uint64_t node_params(const struct graph *g, const uint32_t *inputs,
                            const struct graph_node *n)
{
    uint64_t c = g->nodes[inputs[0]].shape.c;

    switch (n->op) {
    case GRAPH_CONV:
        return (uint64_t)n->kernel_h * n->kernel_w * (c / n->groups) * n->channels +
               (n->bias ? n->channels : 0);
    case GRAPH_LINEAR: return c * n->channels + (n->bias ? n->channels : 0);
    case GRAPH_BATCH_NORM: return n->affine ? 2 * c : 0;
    default: return 0;
    }
}

static int check_name(enum graph_op op, const char *name, struct why *why)
{
    size_t len = strlen(name);

    if (!has_parameters(op))
        return FARM_OK;
    if (len < 1 || len > LIMIT_NAME - 6) /* room for ".weight" in a name of a parameter */
        FAIL("the name of a %s has %zu characters: must have 1 to %u", graph_op_name(op), len,
             LIMIT_NAME - 6);
    for (size_t i = 0; i < len; i++) {
        char ch = name[i];
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                  (ch >= '0' && ch <= '9') || ch == '.' || ch == '_' || ch == '-';

        if (!ok)
            FAIL("the name '%s' holds more than letters, digits, '.', '_' and '-'", name);
    }
    return FARM_OK;
}

static int append(struct graph *g, struct graph_node *n, const uint32_t *inputs, uint32_t n_inputs,
                  const char *name)
{
    size_t len = has_parameters(n->op) ? strlen(name) + 1 : 0;

    if (grow((void **)&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes) != FARM_OK ||
        grow((void **)&g->inputs, &g->cap_inputs, g->n_inputs + n_inputs, sizeof *g->inputs) !=
            FARM_OK ||
        grow((void **)&g->names, &g->cap_names, g->names_len + len, 1) != FARM_OK)
        return why_set(&g->why, FARM_ENOMEM, "out of memory for a graph of %u nodes", g->n_nodes);
    if (len > 0) {
        n->name = (uint32_t)g->names_len;
        memcpy(g->names + g->names_len, name, len);
        g->names_len += len;
    }
    n->first_input = g->n_inputs;
    n->n_inputs = n_inputs;
    memcpy(g->inputs + g->n_inputs, inputs, n_inputs * sizeof *inputs);
    g->n_inputs += n_inputs;
    g->nodes[g->n_nodes++] = *n;
    return FARM_OK;
}

static int add_checked(struct graph *g, const struct graph_node *node, const uint32_t *inputs,
                       uint32_t n_inputs, const char *name)
{
    struct why *why = &g->why;
    struct graph_node n;
    uint64_t params, values;
    int rc;

    if (graph_op_name(node->op) == NULL || node->op == GRAPH_INPUT)
        FAIL("%d is no operation that can be added", (int)node->op);
    if (g->n_nodes >= LIMIT_GRAPH_NODES)
        FAIL("too many nodes: at most %u", LIMIT_GRAPH_NODES);
    if (n_inputs < 1 || n_inputs > LIMIT_NODE_INPUTS || g->n_inputs + n_inputs > LIMIT_GRAPH_INPUTS)
        FAIL("%u inputs: a node has 1 to %u, a graph at most %u", n_inputs, LIMIT_NODE_INPUTS,
             LIMIT_GRAPH_INPUTS);
    for (uint32_t i = 0; i < n_inputs; i++)
        if (inputs[i] >= g->n_nodes)
            FAIL("reads value %u, which is not before it", inputs[i]);
    n = normalised(node);
    if ((rc = infer_shape(g, inputs, n_inputs, &n, why)) != FARM_OK ||
        (rc = check_name(n.op, name, why)) != FARM_OK)
        return rc;
    params = g->n_params_bound + node_params(g, inputs, &n);
    if (params > LIMIT_PARAMETERS)
        FAIL("%llu parameters up to here: at most %llu", (unsigned long long)params,
             LIMIT_PARAMETERS);
    values = g->n_values_bound + (uint64_t)n.shape.h * n.shape.w * n.shape.c;
    if (values > LIMIT_ACTIVATION_VALUES)
        FAIL("%llu activation values up to here: at most %llu", (unsigned long long)values,
             LIMIT_ACTIVATION_VALUES);
    if ((rc = append(g, &n, inputs, n_inputs, name)) != FARM_OK)
        return rc;
    g->n_params_bound = params;
    g->n_values_bound = values;
    return FARM_OK;
}

uint32_t graph_add(struct graph *self, const struct graph_node *node, const uint32_t *inputs,
                   uint32_t n, const char *name)
{
    const char *op = graph_op_name(node->op);

    if (self->error != FARM_OK)
        return 0;
    self->error = add_checked(self, node, inputs, n, name);
    if (self->error == FARM_OK)
        return self->n_nodes - 1;
    (void)why_prefix(&self->why, self->error, "node %u (%s%s%s)", self->n_nodes,
                     op != NULL ? op : "?", name[0] != '\0' ? " " : "", name);
    return 0;
}

static int32_t same_pad(uint32_t kernel, uint32_t dilation)
{
    /* a kernel past its limit is refused by graph_add(); here it must only not overflow */
    return kernel <= LIMIT_KERNEL && dilation <= LIMIT_DILATION
               ? (int32_t)(dilation * (kernel - 1) / 2)
               : 0;
}

uint32_t graph_conv(struct graph *self, uint32_t in, uint32_t channels, uint32_t kernel,
                    uint32_t stride, uint32_t dilation, uint32_t groups, const char *name)
{
    int32_t pad = same_pad(or_one(kernel), or_one(dilation));
    struct graph_node n = {.op = GRAPH_CONV,
                           .channels = channels,
                           .kernel_h = kernel,
                           .kernel_w = kernel,
                           .stride = stride,
                           .dilation = dilation,
                           .groups = groups,
                           .pad_y = pad,
                           .pad_x = pad};

    return graph_add(self, &n, &in, 1, name);
}

uint32_t graph_conv_hw(struct graph *self, uint32_t in, uint32_t channels, uint32_t kernel_h,
                       uint32_t kernel_w, uint32_t stride, const char *name)
{
    struct graph_node n = {.op = GRAPH_CONV,
                           .channels = channels,
                           .kernel_h = kernel_h,
                           .kernel_w = kernel_w,
                           .stride = stride,
                           .pad_y = same_pad(or_one(kernel_h), 1),
                           .pad_x = same_pad(or_one(kernel_w), 1)};

    return graph_add(self, &n, &in, 1, name);
}

uint32_t graph_batch_norm(struct graph *self, uint32_t in, bool affine, const char *name)
{
    struct graph_node n = {.op = GRAPH_BATCH_NORM, .affine = affine};

    return graph_add(self, &n, &in, 1, name);
}

static uint32_t add_plain(struct graph *self, enum graph_op op, const uint32_t *in, uint32_t n)
{
    struct graph_node node = {.op = op};

    return graph_add(self, &node, in, n, "");
}

uint32_t graph_relu(struct graph *self, uint32_t in)
{
    return add_plain(self, GRAPH_RELU, &in, 1);
}

uint32_t graph_pool(struct graph *self, enum graph_op max_or_avg, uint32_t in, uint32_t kernel,
                    uint32_t stride)
{
    int32_t pad = kernel % 2 == 1 ? same_pad(kernel, 1) : 0;
    struct graph_node n = {.op = max_or_avg,
                           .kernel_h = kernel,
                           .kernel_w = kernel,
                           .stride = stride,
                           .pad_y = pad,
                           .pad_x = pad};

    return graph_add(self, &n, &in, 1, "");
}

uint32_t graph_global_avg_pool(struct graph *self, uint32_t in)
{
    return add_plain(self, GRAPH_GLOBAL_AVG_POOL, &in, 1);
}

uint32_t graph_sum(struct graph *self, const uint32_t *in, uint32_t n)
{
    return n == 1 ? in[0] : add_plain(self, GRAPH_ADD, in, n);
}

uint32_t graph_concat(struct graph *self, const uint32_t *in, uint32_t n)
{
    return n == 1 ? in[0] : add_plain(self, GRAPH_CONCAT, in, n);
}

uint32_t graph_identity(struct graph *self, uint32_t in)
{
    return add_plain(self, GRAPH_IDENTITY, &in, 1);
}

uint32_t graph_zero(struct graph *self, uint32_t in, uint32_t stride, uint32_t channels)
{
    struct graph_node n = {.op = GRAPH_ZERO, .stride = stride, .channels = channels};

    return graph_add(self, &n, &in, 1, "");
}

uint32_t graph_linear(struct graph *self, uint32_t in, uint32_t channels, const char *name)
{
    struct graph_node n = {.op = GRAPH_LINEAR, .channels = channels, .bias = true};

    return graph_add(self, &n, &in, 1, name);
}

uint32_t graph_dropout(struct graph *self, enum graph_op dropout_or_drop_path, uint32_t in,
                       float rate)
{
    struct graph_node n = {.op = dropout_or_drop_path, .rate = rate};

    return graph_add(self, &n, &in, 1, "");
}

/* to = name and what is behind it; a name that is too long is refused by graph_add(). */
static const char *joined(char to[static LIMIT_NAME + 16], const char *name, const char *behind)
{
    size_t len = strnlen(name, LIMIT_NAME);

    memcpy(to, name, len);
    memcpy(to + len, behind, strlen(behind) + 1);
    return to;
}

uint32_t graph_factorized_reduce(struct graph *self, uint32_t in, uint32_t channels, bool affine,
                                 const char *name)
{
    struct graph_node half = {.op = GRAPH_CONV, .kernel_h = 1, .kernel_w = 1, .stride = 2};
    char part[LIMIT_NAME + 16];
    uint32_t relu = graph_relu(self, in), both[2];

    half.channels = channels / 2;
    both[0] = graph_add(self, &half, &relu, 1, joined(part, name, ".a"));
    half.channels = channels - channels / 2;
    half.pad_y = half.pad_x = -1;
    both[1] = graph_add(self, &half, &relu, 1, joined(part, name, ".b"));
    return graph_batch_norm(self, graph_concat(self, both, 2), affine, joined(part, name, ".bn"));
}

uint32_t graph_activation(struct graph *self, enum graph_op activation, uint32_t in)
{
    if (self->error == FARM_OK && !graph_is_activation(activation))
        self->error = why_set(&self->why, FARM_EGRAPH, "node %u: operation %d is no activation",
                              self->n_nodes, (int)activation);
    return add_plain(self, activation, &in, 1);
}

uint32_t graph_mul(struct graph *self, uint32_t in, uint32_t gate)
{
    return add_plain(self, GRAPH_MUL, (uint32_t[]){in, gate}, 2);
}

uint32_t graph_slice(struct graph *self, uint32_t in, uint32_t offset, uint32_t channels)
{
    struct graph_node n = {.op = GRAPH_SLICE, .offset = offset, .channels = channels};

    return graph_add(self, &n, &in, 1, "");
}

uint32_t graph_channel_shuffle(struct graph *self, uint32_t in, uint32_t groups)
{
    struct graph_node n = {.op = GRAPH_CHANNEL_SHUFFLE, .groups = groups};

    return graph_add(self, &n, &in, 1, "");
}

uint32_t graph_resize(struct graph *self, uint32_t in, uint32_t height, uint32_t width,
                      enum graph_resize_mode mode)
{
    struct graph_node n = {.op = GRAPH_RESIZE, .height = height, .width = width, .mode = mode};

    return graph_add(self, &n, &in, 1, "");
}

uint32_t graph_squeeze_excite(struct graph *self, uint32_t in, uint32_t squeeze,
                              enum graph_op activation, enum graph_op gate, const char *name)
{
    struct graph_node conv = {.op = GRAPH_CONV, .channels = squeeze, .bias = true};
    char part[LIMIT_NAME + 16];
    uint32_t x = graph_global_avg_pool(self, in);

    x = graph_add(self, &conv, &x, 1, joined(part, name, ".reduce"));
    x = graph_activation(self, activation, x);
    conv.channels = self->nodes[in < self->n_nodes ? in : 0].shape.c;
    x = graph_add(self, &conv, &x, 1, joined(part, name, ".expand"));
    return graph_mul(self, in, graph_activation(self, gate, x));
}

/* Names are unique: an open-addressing table of node numbers, half full at most. */
static int check_unique_names(struct graph *g)
{
    size_t slots = 64;
    uint32_t *table;
    int rc = FARM_OK;

    while (slots < 2 * (size_t)g->n_nodes)
        slots *= 2;
    if ((table = calloc(slots, sizeof *table)) == NULL)
        return why_set(&g->why, FARM_ENOMEM, "out of memory for a graph of %u nodes", g->n_nodes);
    for (uint32_t i = 1; i < g->n_nodes && rc == FARM_OK; i++) {
        const char *name = graph_name(g, i);
        size_t at = 0x811c9dc5u;

        if (name[0] == '\0')
            continue;
        for (const char *p = name; *p != '\0'; p++)
            at = (at ^ (unsigned char)*p) * 0x01000193u;
        for (at &= slots - 1; table[at] != 0; at = (at + 1) & (slots - 1))
            if (strcmp(graph_name(g, table[at]), name) == 0) {
                rc = why_set(&g->why, FARM_EGRAPH, "nodes %u and %u have the same name '%s'",
                             table[at], i, name);
                break;
            }
        if (rc == FARM_OK)
            table[at] = i;
    }
    free(table);
    return rc;
}

/* what is "output" or "auxiliary output". */
static int check_logits(struct graph *g, uint32_t node, const char *what)
{
    const struct graph_shape *s = node < g->n_nodes ? &g->nodes[node].shape : NULL;

    if (s == NULL)
        return why_set(&g->why, FARM_EGRAPH, "the %s is node %u of %u", what, node, g->n_nodes);
    if (s->h != 1 || s->w != 1 || s->c != g->classes)
        return why_set(&g->why, FARM_EGRAPH, "the %s is %ux%ux%u, but must be 1x1x%u (classes)",
                       what, s->h, s->w, s->c, g->classes);
    return FARM_OK;
}

void graph_set_aux(struct graph *self, uint32_t aux)
{
    if (self->error == FARM_OK && aux != 0)
        self->error = check_logits(self, aux, "auxiliary output");
    self->aux = self->error == FARM_OK ? aux : 0;
}

int graph_finish(struct graph *self, uint32_t output, struct why *why)
{
    if (self->error == FARM_OK)
        self->error = check_logits(self, output, "output");
    if (self->error == FARM_OK) {
        self->output = output;
        self->error = check_unique_names(self);
    }
    if (self->error != FARM_OK && why != NULL)
        *why = self->why;
    return self->error;
}
