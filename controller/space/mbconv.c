/* mbconv.c - blocks, the chain of them, and how it is scaled. */
#include "mbconv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST_SIDE 3u /* pixels that the last halving leaves */

uint32_t by_eight(double channels)
{
    double n = fmax(8, floor((channels + 4) / 8) * 8);

    return (uint32_t)(n < 0.9 * channels ? n + 8 : n);
}

/* ---------------------------------------------------------------- one block */

struct block_builder {
    struct graph *g;
    const struct mbconv *b;
    struct param_name name;
    uint32_t c_in, wide;
    float drop_path;
};

static enum graph_op or_else(enum graph_op op, enum graph_op fallback)
{
    return op != 0 ? op : fallback;
}

static uint32_t act(struct block_builder *s, uint32_t x)
{
    return graph_activation(s->g, or_else(s->b->activation, GRAPH_RELU), x);
}

static uint32_t channels_of(const struct graph *g, uint32_t node)
{
    return g->nodes[node].shape.c;
}

/* kernel x kernel convolution and BN, named "part" and "part.bn" behind the block's name. */
static uint32_t conv_bn(struct block_builder *s, uint32_t x, uint32_t channels, uint32_t kernel,
                        uint32_t stride, uint32_t groups, const char *part)
{
    size_t len = s->name.len;

    param_name_text(&s->name, part);
    x = graph_conv(s->g, x, channels, kernel, stride, 1, groups, s->name.text);
    x = graph_batch_norm(s->g, x, true, param_name_with(&s->name, ".bn"));
    s->name.len = len;
    return x;
}

static uint32_t depthwise(struct block_builder *s, uint32_t x, uint32_t kernel, uint32_t stride,
                          const char *part)
{
    uint32_t c = channels_of(s->g, x);

    return conv_bn(s, x, c, kernel, stride, c, part);
}

static uint32_t squeeze(struct block_builder *s, uint32_t x)
{
    const struct mbconv *b = s->b;

    if (b->squeeze == 0)
        return x;
    return graph_squeeze_excite(s->g, x, b->squeeze, or_else(b->squeeze_activation, GRAPH_RELU),
                                or_else(b->gate, GRAPH_SIGMOID), param_name_with(&s->name, ".se"));
}

static uint32_t shortcut(struct block_builder *s, uint32_t in, uint32_t x)
{
    const struct mbconv *b = s->b;
    bool same = s->c_in == b->channels;

    if (b->shortcut == MBCONV_ALONE || !same || (b->shortcut == MBCONV_RESIDUAL && b->stride > 1))
        return x;
    if (s->drop_path > 0)
        x = graph_dropout(s->g, GRAPH_DROP_PATH, x, s->drop_path);
    if (b->shortcut == MBCONV_POOLED)
        in = graph_pool(s->g, GRAPH_AVG_POOL, in, 3, b->stride);
    return graph_sum(s->g, (uint32_t[]){in, x}, 2);
}

static uint32_t add_inverted(struct block_builder *s, uint32_t in)
{
    const struct mbconv *b = s->b;
    uint32_t groups = b->groups > 0 ? b->groups : 1, x = in;

    if (s->wide != s->c_in)
        x = act(s, conv_bn(s, x, s->wide, 1, 1, groups, ".expand"));
    if (groups > 1)
        x = graph_channel_shuffle(s->g, x, groups);
    x = act(s, depthwise(s, x, b->kernel, b->stride, ".dw"));
    x = squeeze(s, x);
    return shortcut(s, in, conv_bn(s, x, b->channels, 1, 1, groups, ".project"));
}

static uint32_t add_conv(struct block_builder *s, uint32_t in)
{
    const struct mbconv *b = s->b;
    uint32_t x = act(s, conv_bn(s, in, b->channels, b->kernel, b->stride, 1, ".conv"));

    return shortcut(s, in, squeeze(s, x));
}

static uint32_t add_skip(struct block_builder *s, uint32_t in)
{
    const struct mbconv *b = s->b;

    if (b->stride == 1 && b->channels == s->c_in)
        return in;
    return act(s, conv_bn(s, in, b->channels, 1, b->stride, 1, ".conv"));
}

/* What the odd channels (with a stride: all) go through; `out` channels come out. */
static uint32_t add_branch(struct block_builder *s, uint32_t x, uint32_t out)
{
    const struct mbconv *b = s->b;
    uint32_t mid = b->channels / 2;

    if (b->kind == MBCONV_SHUFFLE) {
        x = act(s, conv_bn(s, x, mid, 1, 1, 1, ".pw1"));
        x = depthwise(s, x, b->kernel, b->stride, ".dw");
        return act(s, conv_bn(s, x, out, 1, 1, 1, ".pw2"));
    }
    x = act(s, conv_bn(s, depthwise(s, x, 3, b->stride, ".dw1"), mid, 1, 1, 1, ".pw1"));
    x = act(s, conv_bn(s, depthwise(s, x, 3, 1, ".dw2"), mid, 1, 1, 1, ".pw2"));
    return act(s, conv_bn(s, depthwise(s, x, 3, 1, ".dw3"), out, 1, 1, 1, ".pw3"));
}

/* The halves are the even and the odd channels: a shuffle of c/2 groups puts the even ones in front. A block that changes
 * the number of channels or has a stride, sends all channels both ways. */
static uint32_t add_shuffle(struct block_builder *s, uint32_t in)
{
    const struct mbconv *b = s->b;
    uint32_t half = s->c_in / 2, kernel = b->kind == MBCONV_XCEPTION ? 3 : b->kernel, both[2];

    if (b->stride == 1 && b->channels == s->c_in) {
        in = graph_channel_shuffle(s->g, in, half);
        both[0] = graph_slice(s->g, in, 0, half);
        both[1] = add_branch(s, graph_slice(s->g, in, half, half), b->channels - half);
    } else {
        both[0] = depthwise(s, in, kernel, b->stride, ".pass.dw");
        both[0] = act(s, conv_bn(s, both[0], s->c_in, 1, 1, 1, ".pass.pw"));
        both[1] = add_branch(s, in, b->channels - s->c_in);
    }
    return graph_concat(s->g, both, 2);
}

/* "s2.b1.k5e6", by place and operation alone. */
static void name_block(struct param_name *name, const struct mbconv *b)
{
    name->len = 0;
    param_name_text(name, "s");
    param_name_number(name, b->stage);
    param_name_text(name, ".b");
    param_name_number(name, b->place);
    switch (b->kind) {
    case MBCONV_SKIP: param_name_text(name, ".skip"); return;
    case MBCONV_XCEPTION: param_name_text(name, ".xception"); return;
    case MBCONV_CONV: param_name_text(name, ".conv"); break;
    case MBCONV_SHUFFLE: param_name_text(name, ".shuffle"); break;
    case MBCONV_INVERTED: param_name_text(name, "."); break;
    }
    param_name_text(name, "k");
    param_name_number(name, b->kernel);
    if (b->kind != MBCONV_INVERTED)
        return;
    param_name_text(name, b->wide > 0 ? "w" : "e");
    param_name_number(name, b->wide > 0 ? b->wide : b->expand);
    if (b->groups > 1) {
        param_name_text(name, "g");
        param_name_number(name, b->groups);
    }
}

static uint32_t add_block(struct graph *g, const struct mbconv *b, uint32_t in, float drop_path)
{
    struct block_builder s = {.g = g, .b = b, .c_in = channels_of(g, in), .drop_path = drop_path};

    s.wide = b->wide > 0 ? b->wide : s.c_in * b->expand;
    name_block(&s.name, b);
    switch (b->kind) {
    case MBCONV_INVERTED: return add_inverted(&s, in);
    case MBCONV_CONV: return add_conv(&s, in);
    case MBCONV_SKIP: return add_skip(&s, in);
    case MBCONV_SHUFFLE:
    case MBCONV_XCEPTION: break;
    }
    return add_shuffle(&s, in);
}

/* ---------------------------------------------------------------- the chain */

void mbnet_add(struct mbnet *self, const struct mbconv *block)
{
    if (self->n < MBCONV_BLOCKS_MAX)
        self->block[self->n] = *block;
    self->n++;
}

void mbnet_drop_strides(struct mbnet *self, struct graph_shape input)
{
    uint32_t h = self->resize_h > 0 ? self->resize_h : input.h,
             w = self->resize_w > 0 ? self->resize_w : input.w, side = h < w ? h : w, fit = 0,
             all = self->stem_stride > 1;

    for (; (side + 1) / 2 >= LEAST_SIDE; side = (side + 1) / 2)
        fit++;
    for (uint32_t i = 0; i < self->n && i < MBCONV_BLOCKS_MAX; i++)
        all += self->block[i].stride > 1;
    if (all > fit && self->stem_stride > 1) {
        self->stem_stride = 1;
        all--;
    }
    for (uint32_t i = 0; i < self->n && i < MBCONV_BLOCKS_MAX && all > fit; i++)
        if (self->block[i].stride > 1) {
            self->block[i].stride = 1;
            all--;
        }
}

static uint32_t add_stem(const struct mbnet *self, struct graph *g)
{
    uint32_t x = 0;

    if (self->resize_h > 0 && (g->input.h != self->resize_h || g->input.w != self->resize_w))
        x = graph_resize(g, x, self->resize_h, self->resize_w, GRAPH_BILINEAR);
    x = graph_conv(g, x, self->stem, 3, self->stem_stride, 1, 1, "stem.conv");
    return graph_activation(g, or_else(self->stem_activation, GRAPH_RELU),
                            graph_batch_norm(g, x, !self->stem_not_affine, "stem.bn"));
}

static uint32_t add_logits(struct graph *g, uint32_t x, uint32_t channels, bool bias,
                           const char *name)
{
    struct graph_node linear = {.op = GRAPH_LINEAR, .channels = channels, .bias = bias};

    return graph_add(g, &linear, &x, 1, name);
}

static uint32_t add_head(const struct mbnet *self, struct graph *g, uint32_t x)
{
    enum graph_op activation = or_else(self->last_activation, GRAPH_RELU);

    if (self->last > 0) {
        x = graph_conv(g, x, self->last, 1, 1, 1, 1, "last.conv");
        x = graph_activation(g, activation, graph_batch_norm(g, x, true, "last.bn"));
    }
    x = graph_global_avg_pool(g, x);
    if (self->features > 0)
        x = graph_activation(g, activation,
                             add_logits(g, x, self->features, self->features_bias, "features"));
    if (self->dropout > 0)
        x = graph_dropout(g, GRAPH_DROPOUT, x, self->dropout);
    return add_logits(g, x, g->classes, !self->no_bias, "head");
}

int mbnet_build(const struct mbnet *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why)
{
    struct graph *g = NULL;
    uint32_t x;
    int rc;

    if (self->n > MBCONV_BLOCKS_MAX)
        return why_set(why, FARM_EGRAPH, "a chain of %u blocks: at most %u", self->n,
                       MBCONV_BLOCKS_MAX);
    if ((rc = graph_create(&g, input, classes, why)) != FARM_OK)
        return rc;
    x = add_stem(self, g);
    for (uint32_t i = 0; i < self->n; i++)
        x = add_block(g, &self->block[i], x, self->drop_path);
    return skeleton_finish(g, add_head(self, g, x), out, why);
}

/* ---------------------------------------------------------------- scaling */

static uint32_t shorter_side(const struct space *self)
{
    const struct graph_shape *in = &self->config.input;

    if (self->option[CHAIN_RESOLUTION] > 0)
        return (uint32_t)self->option[CHAIN_RESOLUTION];
    return in->h < in->w ? in->h : in->w;
}

static bool has_depth(const struct space *self)
{
    for (const struct space_option *o = self->ops->options; o->name != NULL; o++)
        if (strcmp(o->name, "depth") == 0)
            return true;
    return false;
}

int chain_fill(struct space *self, struct why *why)
{
    static const struct {
        uint32_t side;
        double width, depth;
    } scales[] = {{12, 0.25, 0.5}, {31, 0.5, 0.5}, {63, 0.5, 1}, {UINT32_MAX, 1, 1}};
    uint32_t side = shorter_side(self), i = 0;
    int rc;

    if ((rc = skeleton_check_data(&self->config, why)) != FARM_OK ||
        (rc = skeleton_refuse(&self->config, "a chain of blocks", why)) != FARM_OK)
        return rc;
    while (side > scales[i].side)
        i++;
    if (self->option[CHAIN_WIDTH] == 0)
        self->option[CHAIN_WIDTH] = scales[i].width;
    if (has_depth(self) && self->option[CHAIN_DEPTH] == 0)
        self->option[CHAIN_DEPTH] = scales[i].depth;
    return FARM_OK;
}

uint32_t chain_channels(const struct space *self, uint32_t channels)
{
    return by_eight(channels * self->option[CHAIN_WIDTH]);
}

uint32_t chain_blocks(const struct space *self, uint32_t blocks)
{
    double scaled = ceil(blocks * self->option[CHAIN_DEPTH] - 1e-9);

    return scaled < 1 ? 1 : (uint32_t)scaled;
}

void chain_begin(const struct space *self, uint32_t stem, uint32_t last, enum graph_op activation,
                 struct mbnet *out)
{
    uint32_t head = (uint32_t)self->option[CHAIN_HEAD];

    out->n = 0;
    out->resize_h = out->resize_w = (uint32_t)self->option[CHAIN_RESOLUTION];
    out->stem = chain_channels(self, stem);
    out->stem_stride = 2;
    out->stem_activation = out->last_activation = activation;
    out->stem_not_affine = false;
    out->last = head > 0 ? head : chain_channels(self, last);
    out->features = 0;
    out->features_bias = out->no_bias = false;
    out->dropout = (float)self->option[CHAIN_DROPOUT];
    out->drop_path = self->config.drop_path;
}

int chain_build(const struct space *self, struct mbnet *net, struct graph **out, struct why *why)
{
    mbnet_drop_strides(net, self->config.input);
    return mbnet_build(net, self->config.input, self->config.classes, out, why);
}
