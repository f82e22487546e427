/* pairwise.c - NASNet-like cells made into layers: ReLU - conv - BN everywhere, separable convolutions twice. */
#include "pairwise.h"

#include <stdlib.h>
#include <string.h>

enum layer_kind { LAYER_IDENTITY, LAYER_SEPARABLE, LAYER_POOL, LAYER_ROW_COLUMN, LAYER_CONV };

static const struct layer {
    const char *label;
    const char *name; /* in names of parameters */
    enum layer_kind kind;
    uint32_t kernel, dilation;
    bool twice; /* separable: two in a row */
    enum graph_op pool;
} layers[PAIRWISE_OP_END] = {
    [PAIRWISE_IDENTITY] = {.label = "identity", .name = ".id", .kind = LAYER_IDENTITY},
    [PAIRWISE_SEP3] = {"sep_conv_3x3", ".sep3", LAYER_SEPARABLE, 3, 1, true, GRAPH_OP_END},
    [PAIRWISE_SEP5] = {"sep_conv_5x5", ".sep5", LAYER_SEPARABLE, 5, 1, true, GRAPH_OP_END},
    [PAIRWISE_SEP7] = {"sep_conv_7x7", ".sep7", LAYER_SEPARABLE, 7, 1, true, GRAPH_OP_END},
    [PAIRWISE_AVG3] = {"avg_pool_3x3", ".avg3", LAYER_POOL, 3, 1, false, GRAPH_AVG_POOL},
    [PAIRWISE_MAX3] = {"max_pool_3x3", ".max3", LAYER_POOL, 3, 1, false, GRAPH_MAX_POOL},
    [PAIRWISE_DIL_SEP3] = {"dil_conv_3x3", ".dil3", LAYER_SEPARABLE, 3, 2, false, GRAPH_OP_END},
    [PAIRWISE_CONV_1X7_7X1] = {"conv_1x7_7x1", ".rc7", LAYER_ROW_COLUMN, 7, 1, false, GRAPH_OP_END},
    [PAIRWISE_CONV_1X3_3X1] = {"conv_1x3_3x1", ".rc3", LAYER_ROW_COLUMN, 3, 1, false, GRAPH_OP_END},
    [PAIRWISE_MAX5] = {"max_pool_5x5", ".max5", LAYER_POOL, 5, 1, false, GRAPH_MAX_POOL},
    [PAIRWISE_MAX7] = {"max_pool_7x7", ".max7", LAYER_POOL, 7, 1, false, GRAPH_MAX_POOL},
    [PAIRWISE_CONV1] = {"conv_1x1", ".conv1", LAYER_CONV, 1, 1, false, GRAPH_OP_END},
    [PAIRWISE_CONV3] = {"conv_3x3", ".conv3", LAYER_CONV, 3, 1, false, GRAPH_OP_END},
};

const char *pairwise_op_label(enum pairwise_op op)
{
    return layers[op].label;
}

void pairwise_keep_unused(struct pairwise_cell *self)
{
    self->keep = (1u << PAIRWISE_STATES) - 1;
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++)
        for (uint32_t side = 0; side < 2; side++)
            self->keep &= ~(1u << self->combination[i].input[side]);
}

struct value {
    uint32_t id, relu; /* relu 0: not made yet */
};

struct builder {
    struct graph *g;
    const struct space_config *config;
    uint32_t channels; /* of the cell that is being built */
    struct param_name name;
};

static const struct graph_shape *shape_of(const struct builder *b, uint32_t id)
{
    return &b->g->nodes[id].shape;
}

static uint32_t relu_of(struct builder *b, struct value *v)
{
    if (v->relu == 0)
        v->relu = graph_relu(b->g, v->id);
    return v->relu;
}

static uint32_t conv(struct builder *b, uint32_t in, uint32_t channels, uint32_t stride,
                     const char *name)
{
    return graph_conv(b->g, in, channels, 1, stride, 1, 1, param_name_with(&b->name, name));
}

static uint32_t norm(struct builder *b, uint32_t in, const char *name)
{
    return graph_batch_norm(b->g, in, true, param_name_with(&b->name, name));
}

/* Two 1x1 convolutions of stride 2, the second on the odd pixels; without the ReLU of graph_factorized_reduce(). */
static uint32_t factorized(struct builder *b, uint32_t in, uint32_t channels)
{
    struct graph_node odd = {.op = GRAPH_CONV,
                             .stride = 2,
                             .channels = channels - channels / 2,
                             .pad_y = -1,
                             .pad_x = -1};
    uint32_t both[2];

    if (channels < 2) /* nothing to halve */
        return norm(b, conv(b, in, channels, 2, ".a"), ".bn");
    both[0] = conv(b, in, channels / 2, 2, ".a");
    both[1] = graph_add(b->g, &odd, &in, 1, param_name_with(&b->name, ".b"));
    return norm(b, graph_concat(b->g, both, 2), ".bn");
}

struct separable_names {
    const char *depthwise, *pointwise, *norm;
};

/* ReLU is behind us: depthwise, which takes the stride, pointwise, which changes the channels, BN. */
static uint32_t separable_once(struct builder *b, const struct layer *layer, uint32_t relu,
                               uint32_t stride, const struct separable_names *names)
{
    uint32_t c = shape_of(b, relu)->c;
    uint32_t x = graph_conv(b->g, relu, c, layer->kernel, stride, layer->dilation, c,
                            param_name_with(&b->name, names->depthwise));

    return norm(b, conv(b, x, b->channels, 1, names->pointwise), names->norm);
}

static uint32_t separable(struct builder *b, const struct layer *layer, struct value *in,
                          uint32_t stride)
{
    static const struct separable_names first = {".dw1", ".pw1", ".bn1"};
    static const struct separable_names second = {".dw2", ".pw2", ".bn2"};
    uint32_t x = separable_once(b, layer, relu_of(b, in), stride, &first);

    return layer->twice ? separable_once(b, layer, graph_relu(b->g, x), 1, &second) : x;
}

/* 1xk then kx1 between 1x1 convolutions to a quarter of the channels and back. The published code strides each along
 * its own side; here the second takes both strides and reads the same pixels. */
static uint32_t row_column(struct builder *b, const struct layer *layer, struct value *in,
                           uint32_t stride)
{
    uint32_t narrow = b->channels >= 4 ? b->channels / 4 : b->channels, x = relu_of(b, in);

    if (b->channels >= 4)
        x = graph_relu(b->g, norm(b, conv(b, x, narrow, 1, ".pre"), ".prebn"));
    x = graph_conv_hw(b->g, x, narrow, 1, layer->kernel, 1, param_name_with(&b->name, ".row"));
    x = graph_relu(b->g, norm(b, x, ".rowbn"));
    x = graph_conv_hw(b->g, x, narrow, layer->kernel, 1, stride, param_name_with(&b->name, ".col"));
    x = norm(b, x, ".colbn");
    if (b->channels >= 4)
        x = norm(b, conv(b, graph_relu(b->g, x), b->channels, 1, ".post"), ".postbn");
    return x;
}

static uint32_t add_op(struct builder *b, enum pairwise_op op, struct value *in, uint32_t stride)
{
    const struct layer *layer = &layers[op];
    bool fits = shape_of(b, in->id)->c == b->channels;
    uint32_t x = in->id;

    param_name_text(&b->name, layer->name);
    switch (layer->kind) {
    case LAYER_IDENTITY:
        if (stride == 1 && fits)
            return x; /* drop-path leaves identities alone */
        return norm(b, conv(b, relu_of(b, in), b->channels, stride, ".conv"), ".bn");
    case LAYER_SEPARABLE: x = separable(b, layer, in, stride); break;
    case LAYER_ROW_COLUMN: x = row_column(b, layer, in, stride); break;
    case LAYER_CONV:
        x = graph_conv(b->g, relu_of(b, in), b->channels, layer->kernel, stride, 1, 1,
                       param_name_with(&b->name, ".conv"));
        x = norm(b, x, ".bn");
        break;
    case LAYER_POOL:
        x = graph_pool(b->g, layer->pool, x, layer->kernel, stride);
        if (!fits)
            x = norm(b, conv(b, x, b->channels, 1, ".conv"), ".bn");
        break;
    }
    if (b->config->drop_path > 0)
        x = graph_dropout(b->g, GRAPH_DROP_PATH, x, b->config->drop_path);
    return x;
}

static bool same_size(const struct graph_shape *a, const struct graph_shape *b)
{
    return a->h == b->h && a->w == b->w;
}

/* Concatenates the states that are kept, each first brought to the size of the last one. */
static uint32_t cell_output(struct builder *b, const struct pairwise_cell *cell,
                            const struct value *state)
{
    static const char *const names[PAIRWISE_STATES] = {".k0", ".k1", ".k2", ".k3",
                                                       ".k4", ".k5", ".k6"};
    const struct graph_shape size = *shape_of(b, state[PAIRWISE_STATES - 1].id);
    uint32_t kept[PAIRWISE_STATES], n = 0;
    size_t len = b->name.len;

    for (uint32_t s = 0; s < PAIRWISE_STATES; s++) {
        uint32_t x = state[s].id;

        if ((cell->keep & 1u << s) == 0)
            continue;
        param_name_text(&b->name, names[s]);
        if (!same_size(shape_of(b, x), &size))
            x = factorized(b, x, b->channels);
        else if (shape_of(b, x)->c != b->channels)
            x = norm(b, conv(b, x, b->channels, 1, ".conv"), ".bn");
        b->name.len = len;
        kept[n++] = x;
    }
    return graph_concat(b->g, kept, n);
}

/* The first two states. The first cell has no previous input and reads the current one, as it is, in its place. */
static void cell_inputs(struct builder *b, struct value *current, struct value *previous,
                        struct value *state)
{
    size_t len = b->name.len;

    state[0].id = norm(b, conv(b, relu_of(b, current), b->channels, 1, ".in.conv"), ".in.bn");
    if (previous == NULL) {
        state[1] = *current;
        return;
    }
    param_name_text(&b->name, ".prev");
    state[1] = *previous;
    if (!same_size(shape_of(b, previous->id), shape_of(b, current->id)))
        state[1] = (struct value){.id = factorized(b, relu_of(b, previous), b->channels)};
    else if (shape_of(b, previous->id)->c != b->channels)
        state[1] = (struct value){
            .id = norm(b, conv(b, relu_of(b, previous), b->channels, 1, ".conv"), ".bn")};
    b->name.len = len;
}

static uint32_t add_cell(struct builder *b, const struct pairwise_cell *cell, struct value *current,
                         struct value *previous, uint32_t stride)
{
    static const char *const sides[PAIRWISE_COMBINATIONS][2] = {
        {".2l", ".2r"}, {".3l", ".3r"}, {".4l", ".4r"}, {".5l", ".5r"}, {".6l", ".6r"}};
    struct value state[PAIRWISE_STATES] = {{0}};
    size_t len = b->name.len;

    cell_inputs(b, current, previous, state);
    for (uint32_t i = 0; i < PAIRWISE_COMBINATIONS; i++) {
        uint32_t both[2];

        for (uint32_t side = 0; side < 2; side++) {
            uint32_t from = cell->combination[i].input[side];

            param_name_text(&b->name, sides[i][side]);
            both[side] =
                add_op(b, cell->combination[i].op[side], &state[from], from < 2 ? stride : 1);
            b->name.len = len;
        }
        state[2 + i].id = graph_sum(b->g, both, 2);
    }
    return cell_output(b, cell, state);
}

/* The cells one after the other, and what the next one may read. */
struct chain {
    struct value current, previous, older; /* older: the one before previous */
    uint32_t n;                            /* cells so far: without any there is no previous */
};

static void extend(struct builder *b, struct chain *chain, const struct pairwise_cell *cell,
                   struct value *previous, uint32_t stride)
{
    struct value next = {
        .id = add_cell(b, cell, &chain->current, chain->n > 0 ? previous : NULL, stride)};

    chain->older = chain->previous;
    chain->previous = chain->current;
    chain->current = next;
    chain->n++;
}

static void name_cell(struct builder *b, const char *kind, uint32_t number)
{
    b->name.len = 0;
    param_name_text(&b->name, kind);
    param_name_number(&b->name, number);
}

static void add_stem(struct builder *b, const struct pairwise_cell *reduction, struct chain *chain)
{
    const struct space_config *c = b->config;
    bool imagenet = skeleton_has_imagenet_stem(c);
    const struct graph_node conv3 = {.op = GRAPH_CONV,
                                     .kernel_h = 3,
                                     .kernel_w = 3,
                                     .stride = c->stem_stride,
                                     .channels = c->stem_channels,
                                     .pad_y = imagenet ? 0 : 1,
                                     .pad_x = imagenet ? 0 : 1,
                                     .valid = imagenet};
    uint32_t x = graph_add(b->g, &conv3, &(uint32_t){0}, 1, "stem.conv");

    chain->current = (struct value){.id = graph_batch_norm(b->g, x, true, "stem.bn")};
    for (uint32_t i = 0; imagenet && i < 2; i++) {
        b->channels = c->channels >> (2 - i) > 0 ? c->channels >> (2 - i) : 1;
        name_cell(b, "stem.r", i);
        extend(b, chain, reduction, &chain->previous, 2);
    }
}

static uint32_t add_network(struct builder *b, const struct pairwise_cell *normal,
                            const struct pairwise_cell *reduction)
{
    const struct space_config *c = b->config;
    struct chain chain = {.n = 0};
    uint32_t number = 0;

    add_stem(b, reduction, &chain);
    b->channels = c->channels;
    for (uint32_t stage = 0; stage < c->stages; stage++) {
        if (stage > 0) {
            b->channels *= 2;
            name_cell(b, "r", number++);
            extend(b, &chain, reduction, &chain.previous, 2);
        }
        for (uint32_t k = 0; k < c->cells; k++) {
            bool skip = c->skip_reduction_input && stage > 0 && k == 0;

            name_cell(b, "c", number++);
            extend(b, &chain, normal, skip ? &chain.older : &chain.previous, 1);
        }
    }
    return graph_linear(b->g, graph_global_avg_pool(b->g, relu_of(b, &chain.current)), c->classes,
                        "head");
}

int pairwise_fill(struct space_config *config, const struct skeleton_defaults defaults[3],
                  struct why *why)
{
    int rc = skeleton_fill(config, defaults, why);

    if (rc != FARM_OK)
        return rc;
    if (config->stem_channels == 0)
        config->stem_channels = skeleton_has_imagenet_stem(config) ? 32 : 3 * config->channels;
    if (config->stem_channels > LIMIT_CHANNELS)
        return why_set(why, FARM_EINPUT,
                       "%u channels of the stem: must be 1 to %u (0: the default)",
                       config->stem_channels, LIMIT_CHANNELS);
    return FARM_OK;
}

int pairwise_decode(const struct space_config *config, const struct pairwise_cell *normal,
                    const struct pairwise_cell *reduction, struct graph **out, struct why *why)
{
    struct builder b = {.config = config};
    int rc = graph_create(&b.g, config->input, config->classes, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = graph_finish(b.g, add_network(&b, normal, reduction), why)) != FARM_OK) {
        graph_destroy(&b.g);
        return rc;
    }
    *out = b.g;
    return FARM_OK;
}
