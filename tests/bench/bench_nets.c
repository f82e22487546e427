/* bench_nets.c */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_nets.h"
#include "space.h"

#define ALL_3X3                                                                                    \
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_"    \
    "3x3~2|"
/* index 9930 of the benchmark: five 3x3 and a skip */
#define ARCH_9930                                                                                  \
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_"    \
    "3x3~2|"

const struct bench_net bench_nets[] = {
    {"nb201-3x3-n1", BENCH_NB201, {32, 32, 3}, 10, 16, 1, ALL_3X3},
    {"nb201-3x3-n5", BENCH_NB201, {32, 32, 3}, 10, 16, 5, ALL_3X3},
    {"nb201-9930-n1", BENCH_NB201, {32, 32, 3}, 10, 16, 1, ARCH_9930},
    {"nb201-9930-n5", BENCH_NB201, {32, 32, 3}, 10, 16, 5, ARCH_9930},
    {"darts", BENCH_DARTS, {32, 32, 3}, 10, 16, 8, NULL},
    {"darts-4", BENCH_DARTS, {32, 32, 3}, 10, 16, 4, NULL},
    {"mobilenet", BENCH_MOBILENET, {32, 32, 3}, 10, 16, 3, NULL},
    {"cnn28", BENCH_CNN, {28, 28, 1}, 10, 16, 3, NULL},
    {"cnn8", BENCH_CNN, {8, 8, 1}, 10, 16, 2, NULL},
    {NULL, BENCH_CNN, {0, 0, 0}, 0, 0, 0, NULL},
};

const struct bench_net *bench_net_find(const char *name)
{
    for (const struct bench_net *n = bench_nets; n->name != NULL; n++)
        if (strcmp(n->name, name) == 0)
            return n;
    return NULL;
}

/* ---- what the families share --------------------------------------------------------------------------- */

/* A name from parts, valid until the eighth call after this one. */
__attribute__((format(printf, 1, 2))) static const char *named(const char *format, ...)
{
    static char ring[8][64];
    static unsigned at;
    char *text = ring[at++ % 8];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof ring[0], format, args);
    va_end(args);
    return text;
}

struct conv {
    uint32_t channels, kernel, stride, groups;
};

static uint32_t conv_bn(struct graph *g, uint32_t in, struct conv c, const char *name)
{
    char keep[64];

    (void)snprintf(keep, sizeof keep, "%s", name);
    in = graph_conv(g, in, c.channels, c.kernel, c.stride, 1, c.groups, named("%s.conv", keep));
    return graph_batch_norm(g, in, true, named("%s.bn", keep));
}

static uint32_t conv_bn_act(struct graph *g, uint32_t in, struct conv c, enum graph_op activation,
                            const char *name)
{
    return graph_activation(g, activation, conv_bn(g, in, c, name));
}

static uint32_t channels_of(const struct graph *g, uint32_t node)
{
    return g->nodes[node].shape.c;
}

/* ---- NAS-Bench-201 ------------------------------------------------------------------------------------- */

static int build_nb201(const struct bench_net *self, struct graph **out, struct why *why)
{
    struct space_config config = {.name = "nasbench201",
                                  .input = self->input,
                                  .classes = self->classes,
                                  .channels = self->channels,
                                  .cells = self->cells};
    struct space *space = NULL;
    struct genome *genome = NULL;
    int rc = space_open(&space, &config, why);

    if (rc == FARM_OK && (genome = space->ops->parse(space, self->arch, why)) == NULL)
        rc = FARM_EGENOME;
    if (rc == FARM_OK)
        rc = space_decode(space, genome, out, why);
    free(genome);
    space_close(&space);
    return rc;
}

/* ---- DARTS --------------------------------------------------------------------------------------------- */

enum darts_op { SEP_3X3, DIL_3X3, MAX_3X3, SKIP };
#define DARTS_EDGES 8

/* Two edges into each of the states 2 to 5; 0 is the cell before the last, 1 the last. */
static const struct darts_edge {
    enum darts_op op;
    uint32_t from;
} darts_v2[2][DARTS_EDGES] = {
    {{SEP_3X3, 0},
     {SEP_3X3, 1},
     {SEP_3X3, 0},
     {SEP_3X3, 1},
     {SEP_3X3, 1},
     {SKIP, 0},
     {SKIP, 0},
     {DIL_3X3, 2}},
    {{MAX_3X3, 0},
     {MAX_3X3, 1},
     {SKIP, 2},
     {MAX_3X3, 1},
     {MAX_3X3, 0},
     {SKIP, 2},
     {SKIP, 2},
     {MAX_3X3, 1}},
};

/* ReLU - depthwise - pointwise - BN */
static uint32_t separable(struct graph *g, uint32_t in, uint32_t stride, uint32_t dilation,
                          const char *name)
{
    uint32_t c = channels_of(g, in);
    char keep[48];

    (void)snprintf(keep, sizeof keep, "%s", name);
    in = graph_conv(g, graph_relu(g, in), c, 3, stride, dilation, c, named("%s.dw", keep));
    in = graph_conv(g, in, c, 1, 1, 1, 1, named("%s.pw", keep));
    return graph_batch_norm(g, in, true, named("%s.bn", keep));
}

static uint32_t darts_edge(struct graph *g, enum darts_op op, uint32_t in, uint32_t stride,
                           const char *name)
{
    char keep[40];

    (void)snprintf(keep, sizeof keep, "%s", name);
    switch (op) {
    case SEP_3X3:
        in = separable(g, in, stride, 1, named("%s.1", keep));
        return separable(g, in, 1, 1, named("%s.2", keep));
    case DIL_3X3: return separable(g, in, stride, 2, keep);
    case MAX_3X3: return graph_pool(g, GRAPH_MAX_POOL, in, 3, stride);
    case SKIP: break;
    }
    return stride == 1 ? in : graph_factorized_reduce(g, in, channels_of(g, in), true, keep);
}

/* The inputs of a cell in its own channels: ReLU - 1x1 - BN, or a factorised reduction where the image shrank. */
static uint32_t darts_input(struct graph *g, uint32_t in, uint32_t channels, bool shrank,
                            const char *name)
{
    if (shrank)
        return graph_factorized_reduce(g, in, channels, true, name);
    return conv_bn(g, graph_relu(g, in), (struct conv){channels, 1, 1, 1}, name);
}

static uint32_t darts_cell(struct graph *g, const uint32_t before[2], uint32_t channels,
                           bool reduction, bool after_reduction, uint32_t number)
{
    const struct darts_edge *edges = darts_v2[reduction];
    uint32_t state[6];

    state[0] = darts_input(g, before[0], channels, after_reduction, named("c%u.in0", number));
    state[1] = darts_input(g, before[1], channels, false, named("c%u.in1", number));
    for (uint32_t i = 0; i < DARTS_EDGES; i += 2) {
        uint32_t both[2];

        for (uint32_t k = 0; k < 2; k++)
            both[k] = darts_edge(g, edges[i + k].op, state[edges[i + k].from],
                                 reduction && edges[i + k].from < 2 ? 2 : 1,
                                 named("c%u.e%u", number, i + k));
        state[2 + i / 2] = graph_sum(g, both, 2);
    }
    return graph_concat(g, state + 2, 4);
}

static uint32_t add_darts(struct graph *g, const struct bench_net *self)
{
    uint32_t channels = self->channels, before[2];
    bool reduction = false;

    before[0] = before[1] = conv_bn(g, 0, (struct conv){3 * channels, 3, 1, 1}, "stem");
    for (uint32_t i = 0; i < self->cells; i++) {
        bool after_reduction = reduction;
        uint32_t out;

        reduction = i == self->cells / 3 || i == 2 * self->cells / 3;
        channels *= reduction ? 2 : 1;
        out = darts_cell(g, before, channels, reduction, after_reduction, i);
        before[0] = before[1];
        before[1] = out;
    }
    return graph_global_avg_pool(g, before[1]);
}

/* ---- MobileNetV2 --------------------------------------------------------------------------------------- */

#define STEM_CHANNELS 32u /* at width 1 */

/* To the nearest multiple of 8, but never more than a tenth below. */
static uint32_t by_eight(uint32_t channels, uint32_t of, uint32_t whole)
{
    uint32_t exact10 = 10 * channels * of / whole;
    uint32_t near = (exact10 + 40) / 80 * 8;

    if (near < 8)
        near = 8;
    return 10 * near < exact10 * 9 / 10 ? near + 8 : near;
}

/* 1x1 to expand times the channels, depthwise 3x3, 1x1 without an activation; a shortcut where shapes allow it. */
static uint32_t inverted_residual(struct graph *g, uint32_t in, uint32_t expand, uint32_t channels,
                                  uint32_t stride, const char *name)
{
    uint32_t c_in = channels_of(g, in), wide = c_in * expand, x = in;
    char keep[48];

    (void)snprintf(keep, sizeof keep, "%s", name);
    if (expand > 1)
        x = conv_bn_act(g, x, (struct conv){wide, 1, 1, 1}, GRAPH_RELU6, named("%s.expand", keep));
    x = conv_bn_act(g, x, (struct conv){wide, 3, stride, wide}, GRAPH_RELU6, named("%s.dw", keep));
    x = conv_bn(g, x, (struct conv){channels, 1, 1, 1}, named("%s.project", keep));
    if (stride > 1 || channels != c_in)
        return x;
    return graph_sum(g, (uint32_t[]){in, x}, 2);
}

static uint32_t add_mobilenet(struct graph *g, const struct bench_net *self)
{
    static const struct {
        uint32_t expand, channels, blocks,
            halving; /* halving: which of the five, from the last; 0: none */
    } stages[] = {{1, 16, 1, 0}, {6, 24, 2, 4},  {6, 32, 3, 3}, {6, 64, 4, 2},
                  {6, 96, 3, 0}, {6, 160, 3, 1}, {6, 320, 1, 0}};
    uint32_t stem_stride = self->cells >= 5 ? 2 : 1;
    uint32_t x =
        conv_bn_act(g, 0, (struct conv){self->channels, 3, stem_stride, 1}, GRAPH_RELU6, "stem");

    for (uint32_t s = 0; s < sizeof stages / sizeof stages[0]; s++) {
        uint32_t channels = by_eight(stages[s].channels, self->channels, STEM_CHANNELS);
        bool halves = stages[s].halving > 0 && stages[s].halving <= self->cells;

        for (uint32_t i = 0; i < stages[s].blocks; i++)
            x = inverted_residual(g, x, stages[s].expand, channels, halves && i == 0 ? 2 : 1,
                                  named("s%u.b%u", s, i));
    }
    x = conv_bn_act(g, x, (struct conv){1280, 1, 1, 1}, GRAPH_RELU6, "last");
    return graph_global_avg_pool(g, x);
}

/* ---- a plain one --------------------------------------------------------------------------------------- */

static uint32_t add_cnn(struct graph *g, const struct bench_net *self)
{
    uint32_t x = 0, channels = self->channels;

    for (uint32_t s = 0; s < self->cells; s++, channels *= 2) {
        x = conv_bn_act(g, x, (struct conv){channels, 3, s > 0 ? 2 : 1, 1}, GRAPH_RELU,
                        named("s%u.a", s));
        x = conv_bn_act(g, x, (struct conv){channels, 3, 1, 1}, GRAPH_RELU, named("s%u.b", s));
    }
    return graph_global_avg_pool(g, x);
}

int bench_net_build(const struct bench_net *self, struct graph **out, struct why *why)
{
    struct graph *g = NULL;
    uint32_t features = 0;
    int rc;

    if (self->family == BENCH_NB201)
        return build_nb201(self, out, why);
    if ((rc = graph_create(&g, self->input, self->classes, why)) != FARM_OK)
        return rc;
    switch (self->family) {
    case BENCH_DARTS: features = add_darts(g, self); break;
    case BENCH_MOBILENET: features = add_mobilenet(g, self); break;
    case BENCH_CNN: features = add_cnn(g, self); break;
    case BENCH_NB201: break;
    }
    rc = graph_finish(g, graph_linear(g, features, self->classes, "head"), why);
    if (rc == FARM_OK)
        *out = g;
    else
        graph_destroy(&g);
    return rc;
}
