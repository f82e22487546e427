/* cell_op.c - see cell_op.h. */
#include "cell_op.h"

#include <string.h>

enum layer_kind {
    LAYER_IDENTITY,
    LAYER_SEPARABLE,
    LAYER_POOL,
    LAYER_ROW_COLUMN,
    LAYER_CONV,
    LAYER_ZERO
};

static const struct layer {
    const char *label;
    const char *name; /* in names of parameters */
    enum layer_kind kind;
    uint32_t kernel, dilation;
    bool twice; /* separable: two in a row */
    enum graph_op pool;
} layers[CELL_OP_END] = {
    [CELL_IDENTITY] = {.label = "identity", .name = ".id", .kind = LAYER_IDENTITY},
    [CELL_SEP3] = {"sep_conv_3x3", ".sep3", LAYER_SEPARABLE, 3, 1, true, GRAPH_OP_END},
    [CELL_SEP5] = {"sep_conv_5x5", ".sep5", LAYER_SEPARABLE, 5, 1, true, GRAPH_OP_END},
    [CELL_SEP7] = {"sep_conv_7x7", ".sep7", LAYER_SEPARABLE, 7, 1, true, GRAPH_OP_END},
    [CELL_AVG3] = {"avg_pool_3x3", ".avg3", LAYER_POOL, 3, 1, false, GRAPH_AVG_POOL},
    [CELL_MAX3] = {"max_pool_3x3", ".max3", LAYER_POOL, 3, 1, false, GRAPH_MAX_POOL},
    [CELL_DIL3] = {"dil_conv_3x3", ".dil3", LAYER_SEPARABLE, 3, 2, false, GRAPH_OP_END},
    [CELL_DIL5] = {"dil_conv_5x5", ".dil5", LAYER_SEPARABLE, 5, 2, false, GRAPH_OP_END},
    [CELL_CONV_1X7_7X1] = {"conv_1x7_7x1", ".rc7", LAYER_ROW_COLUMN, 7, 1, false, GRAPH_OP_END},
    [CELL_CONV_1X3_3X1] = {"conv_1x3_3x1", ".rc3", LAYER_ROW_COLUMN, 3, 1, false, GRAPH_OP_END},
    [CELL_MAX5] = {"max_pool_5x5", ".max5", LAYER_POOL, 5, 1, false, GRAPH_MAX_POOL},
    [CELL_MAX7] = {"max_pool_7x7", ".max7", LAYER_POOL, 7, 1, false, GRAPH_MAX_POOL},
    [CELL_CONV1] = {"conv_1x1", ".conv1", LAYER_CONV, 1, 1, false, GRAPH_OP_END},
    [CELL_CONV3] = {"conv_3x3", ".conv3", LAYER_CONV, 3, 1, false, GRAPH_OP_END},
    [CELL_CONV5] = {"conv_5x5", ".conv5", LAYER_CONV, 5, 1, false, GRAPH_OP_END},
    [CELL_NONE] = {.label = "none", .name = "", .kind = LAYER_ZERO},
};

const char *cell_op_label(enum cell_op op)
{
    return layers[op].label;
}

enum cell_op cell_op_find(const char *label)
{
    static const struct {
        const char *label;
        enum cell_op op;
    } others[] = {{"skip_connect", CELL_IDENTITY},
                  {"nor_conv_1x1", CELL_CONV1},
                  {"nor_conv_3x3", CELL_CONV3}};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(label, others[i].label) == 0)
            return others[i].op;
    for (enum cell_op op = 0; op < CELL_OP_END; op++)
        if (strcmp(label, layers[op].label) == 0)
            return op;
    return CELL_OP_END;
}

const struct graph_shape *cell_shape(const struct cell_builder *b, uint32_t id)
{
    return &b->g->nodes[id].shape;
}

uint32_t cell_relu(struct cell_builder *b, struct cell_value *v)
{
    if (v->relu == 0)
        v->relu = graph_relu(b->g, v->id);
    return v->relu;
}

uint32_t cell_conv(struct cell_builder *b, uint32_t in, uint32_t channels, uint32_t stride,
                   const char *name)
{
    return graph_conv(b->g, in, channels, 1, stride, 1, 1, param_name_with(&b->name, name));
}

uint32_t cell_norm(struct cell_builder *b, uint32_t in, const char *name)
{
    return graph_batch_norm(b->g, in, true, param_name_with(&b->name, name));
}

uint32_t cell_relu_conv_norm(struct cell_builder *b, struct cell_value *in, uint32_t stride)
{
    return cell_norm(b, cell_conv(b, cell_relu(b, in), b->channels, stride, ".conv"), ".bn");
}

uint32_t cell_factorized(struct cell_builder *b, uint32_t in, uint32_t channels)
{
    struct graph_node odd = {.op = GRAPH_CONV,
                             .stride = 2,
                             .channels = channels - channels / 2,
                             .pad_y = -1,
                             .pad_x = -1};
    uint32_t both[2];

    if (channels < 2) /* nothing to halve */
        return cell_norm(b, cell_conv(b, in, channels, 2, ".a"), ".bn");
    both[0] = cell_conv(b, in, channels / 2, 2, ".a");
    both[1] = graph_add(b->g, &odd, &in, 1, param_name_with(&b->name, ".b"));
    return cell_norm(b, graph_concat(b->g, both, 2), ".bn");
}

struct separable_names {
    const char *depthwise, *pointwise, *norm;
};

/* ReLU is behind us: depthwise, which takes the stride, pointwise, which changes the channels, BN. */
static uint32_t separable_once(struct cell_builder *b, const struct layer *layer, uint32_t relu,
                               uint32_t stride, const struct separable_names *names)
{
    uint32_t c = cell_shape(b, relu)->c;
    uint32_t x = graph_conv(b->g, relu, c, layer->kernel, stride, layer->dilation, c,
                            param_name_with(&b->name, names->depthwise));

    return cell_norm(b, cell_conv(b, x, b->channels, 1, names->pointwise), names->norm);
}

static uint32_t separable(struct cell_builder *b, const struct layer *layer, struct cell_value *in,
                          uint32_t stride)
{
    static const struct separable_names first = {".dw1", ".pw1", ".bn1"};
    static const struct separable_names second = {".dw2", ".pw2", ".bn2"};
    uint32_t x = separable_once(b, layer, cell_relu(b, in), stride, &first);

    return layer->twice ? separable_once(b, layer, graph_relu(b->g, x), 1, &second) : x;
}

/* 1xk then kx1 between 1x1 convolutions to a quarter of the channels and back. The published code strides each along
 * its own side; here the second takes both strides and reads the same pixels. */
static uint32_t row_column(struct cell_builder *b, const struct layer *layer, struct cell_value *in,
                           uint32_t stride)
{
    uint32_t narrow = b->channels >= 4 ? b->channels / 4 : b->channels, x = cell_relu(b, in);

    if (b->channels >= 4)
        x = graph_relu(b->g, cell_norm(b, cell_conv(b, x, narrow, 1, ".pre"), ".prebn"));
    x = graph_conv_hw(b->g, x, narrow, 1, layer->kernel, 1, param_name_with(&b->name, ".row"));
    x = graph_relu(b->g, cell_norm(b, x, ".rowbn"));
    x = graph_conv_hw(b->g, x, narrow, layer->kernel, 1, stride, param_name_with(&b->name, ".col"));
    x = cell_norm(b, x, ".colbn");
    if (b->channels >= 4)
        x = cell_norm(b, cell_conv(b, graph_relu(b->g, x), b->channels, 1, ".post"), ".postbn");
    return x;
}

uint32_t cell_op_add(struct cell_builder *b, enum cell_op op, struct cell_value *in,
                     uint32_t stride)
{
    const struct layer *layer = &layers[op];
    bool fits = cell_shape(b, in->id)->c == b->channels;
    uint32_t x = in->id;

    param_name_text(&b->name, layer->name);
    switch (layer->kind) {
    case LAYER_ZERO: return graph_zero(b->g, x, stride, b->channels);
    case LAYER_IDENTITY:
        if (stride == 1 && fits)
            return x; /* drop-path leaves identities alone */
        if (!b->factorized || stride == 1)
            return cell_relu_conv_norm(b, in, stride);
        x = cell_factorized(b, cell_relu(b, in), b->channels);
        break;
    case LAYER_SEPARABLE: x = separable(b, layer, in, stride); break;
    case LAYER_ROW_COLUMN: x = row_column(b, layer, in, stride); break;
    case LAYER_CONV:
        x = graph_conv(b->g, cell_relu(b, in), b->channels, layer->kernel, stride, 1, 1,
                       param_name_with(&b->name, ".conv"));
        x = cell_norm(b, x, ".bn");
        break;
    case LAYER_POOL:
        x = graph_pool(b->g, layer->pool, x, layer->kernel, stride);
        if (!fits)
            x = cell_norm(b, cell_conv(b, x, b->channels, 1, ".conv"), ".bn");
        break;
    }
    if (b->config->drop_path > 0)
        x = graph_dropout(b->g, GRAPH_DROP_PATH, x, b->config->drop_path);
    return x;
}
