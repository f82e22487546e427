/* known_chains.c - MobileNetV2 and V3, MnasNet-A1, ProxylessNAS and EfficientNet-B0 to B7 as chains of blocks. */
#include <string.h>

#include "efficientnet.h"
#include "known_nets.h"

/* Blocks in a row. An expansion is a factor, or, in brackets below 0, so many channels. */
struct row {
    uint32_t repeats, kernel, stride;
    int expand;
    uint32_t channels;
    enum { PLAIN, SQUEEZED } squeeze;
    enum graph_op activation; /* 0: the network's */
};

enum squeeze_rule {
    SQUEEZE_INPUT,   /* a quarter of the block's input; gate sigmoid */
    SQUEEZE_EXPANDED /* a quarter of the expanded channels, by eight; gate h-sigmoid */
};

struct known_chain {
    uint32_t stem, last, features;
    enum graph_op activation; /* of stem, head, and of rows that have none */
    enum squeeze_rule rule;
    float dropout;
    const struct row *rows;
    size_t n_rows;
};

static uint32_t squeeze_of(const struct known_chain *c, uint32_t before, uint32_t wide)
{
    if (c->rule == SQUEEZE_INPUT)
        return before >= 4 ? before / 4 : 1;
    return by_eight(wide / 4.0);
}

static void add_row(const struct known_chain *c, const struct row *row, uint32_t stage,
                    uint32_t *before, struct mbnet *net)
{
    for (uint32_t i = 0; i < row->repeats; i++) {
        struct mbconv block = {.kernel = row->kernel,
                               .stride = i == 0 ? row->stride : 1,
                               .channels = row->channels,
                               .gate = c->rule == SQUEEZE_INPUT ? GRAPH_SIGMOID : GRAPH_H_SIGMOID,
                               .activation = row->activation != 0 ? row->activation : c->activation,
                               .stage = stage,
                               .place = i};

        if (row->expand > 0)
            block.expand = (uint32_t)row->expand;
        else
            block.wide = (uint32_t)-row->expand;
        if (row->squeeze == SQUEEZED)
            block.squeeze =
                squeeze_of(c, *before, block.wide > 0 ? block.wide : *before * block.expand);
        mbnet_add(net, &block);
        *before = row->channels;
    }
}

static int build(const struct known_chain *c, struct graph_shape input, uint32_t classes,
                 struct graph **out, struct why *why)
{
    struct mbnet net = {.stem = c->stem,
                        .stem_stride = 2,
                        .stem_activation = c->activation,
                        .last = c->last,
                        .last_activation = c->activation,
                        .features = c->features,
                        .features_bias = true,
                        .dropout = c->dropout};
    uint32_t before = c->stem;

    for (uint32_t i = 0; i < c->n_rows; i++)
        add_row(c, &c->rows[i], i, &before, &net);
    mbnet_drop_strides(&net, input);
    return mbnet_build(&net, input, classes, out, why);
}

int known_chain(const struct known *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why)
{
    return build(self->own, input, classes, out, why);
}

#define ROWS(table) .rows = (table), .n_rows = sizeof(table) / sizeof(table)[0]

/* ---- MobileNetV2: M. Sandler et al., arXiv:1801.04381, table 2 */

static const struct row mobilenetv2[] = {{1, 3, 1, 1, 16, PLAIN, 0}, {2, 3, 2, 6, 24, PLAIN, 0},
                                         {3, 3, 2, 6, 32, PLAIN, 0}, {4, 3, 2, 6, 64, PLAIN, 0},
                                         {3, 3, 1, 6, 96, PLAIN, 0}, {3, 3, 2, 6, 160, PLAIN, 0},
                                         {1, 3, 1, 6, 320, PLAIN, 0}};
#define N_MOBILENETV2 (sizeof mobilenetv2 / sizeof mobilenetv2[0])

/* The last 1x1 never has fewer than 1280 channels. */
int known_mobilenetv2(const struct known *self, struct graph_shape input, uint32_t classes,
                      struct graph **out, struct why *why)
{
    double width = *(const double *)self->own;
    struct row rows[N_MOBILENETV2];
    struct known_chain c = {.stem = by_eight(32 * width),
                            .last = width > 1 ? by_eight(1280 * width) : 1280,
                            .activation = GRAPH_RELU6,
                            .dropout = 0.2f,
                            ROWS(rows)};

    memcpy(rows, mobilenetv2, sizeof rows);
    for (size_t i = 0; i < N_MOBILENETV2; i++)
        rows[i].channels = by_eight(rows[i].channels * width);
    return build(&c, input, classes, out, why);
}

/* ---- MobileNetV3: A. Howard et al., arXiv:1905.02244, tables 1 and 2 */

#define RE GRAPH_RELU
#define HS GRAPH_H_SWISH
static const struct row mobilenetv3_large_rows[] = {
    {1, 3, 1, -16, 16, PLAIN, RE},      {1, 3, 2, -64, 24, PLAIN, RE},
    {1, 3, 1, -72, 24, PLAIN, RE},      {1, 5, 2, -72, 40, SQUEEZED, RE},
    {2, 5, 1, -120, 40, SQUEEZED, RE},  {1, 3, 2, -240, 80, PLAIN, HS},
    {1, 3, 1, -200, 80, PLAIN, HS},     {2, 3, 1, -184, 80, PLAIN, HS},
    {1, 3, 1, -480, 112, SQUEEZED, HS}, {1, 3, 1, -672, 112, SQUEEZED, HS},
    {1, 5, 2, -672, 160, SQUEEZED, HS}, {2, 5, 1, -960, 160, SQUEEZED, HS}};
static const struct row mobilenetv3_small_rows[] = {
    {1, 3, 2, -16, 16, SQUEEZED, RE},  {1, 3, 2, -72, 24, PLAIN, RE},
    {1, 3, 1, -88, 24, PLAIN, RE},     {1, 5, 2, -96, 40, SQUEEZED, HS},
    {2, 5, 1, -240, 40, SQUEEZED, HS}, {1, 5, 1, -120, 48, SQUEEZED, HS},
    {1, 5, 1, -144, 48, SQUEEZED, HS}, {1, 5, 2, -288, 96, SQUEEZED, HS},
    {2, 5, 1, -576, 96, SQUEEZED, HS}};
const struct known_chain known_mobilenetv3_large = {.stem = 16,
                                                    .last = 960,
                                                    .features = 1280,
                                                    .activation = HS,
                                                    .rule = SQUEEZE_EXPANDED,
                                                    .dropout = 0.2f,
                                                    ROWS(mobilenetv3_large_rows)};
const struct known_chain known_mobilenetv3_small = {.stem = 16,
                                                    .last = 576,
                                                    .features = 1024,
                                                    .activation = HS,
                                                    .rule = SQUEEZE_EXPANDED,
                                                    .dropout = 0.2f,
                                                    ROWS(mobilenetv3_small_rows)};

/* ---- MnasNet-A1: M. Tan et al., arXiv:1807.11626, figure 7 */

static const struct row mnasnet_a1_rows[] = {
    {1, 3, 1, 1, 16, PLAIN, 0}, {2, 3, 2, 6, 24, PLAIN, 0},     {3, 5, 2, 3, 40, SQUEEZED, 0},
    {4, 3, 2, 6, 80, PLAIN, 0}, {2, 3, 1, 6, 112, SQUEEZED, 0}, {3, 5, 2, 6, 160, SQUEEZED, 0},
    {1, 3, 1, 6, 320, PLAIN, 0}};
const struct known_chain known_mnasnet_a1 = {
    .stem = 32, .last = 1280, .activation = GRAPH_RELU, .dropout = 0.2f, ROWS(mnasnet_a1_rows)};

/* ---- ProxylessNAS: H. Cai et al., arXiv:1812.00332, figure 4, as in the authors' published configurations. Their widths are
 * those of the trained networks, not those of the search code. */

static const struct row proxyless_cpu_rows[] = {
    {1, 3, 1, 1, 24, PLAIN, 0},  {1, 3, 2, 6, 32, PLAIN, 0},  {3, 3, 1, 3, 32, PLAIN, 0},
    {1, 3, 2, 6, 48, PLAIN, 0},  {2, 3, 1, 3, 48, PLAIN, 0},  {1, 5, 1, 3, 48, PLAIN, 0},
    {1, 3, 2, 6, 88, PLAIN, 0},  {1, 3, 1, 3, 88, PLAIN, 0},  {1, 5, 1, 6, 104, PLAIN, 0},
    {3, 3, 1, 3, 104, PLAIN, 0}, {1, 5, 2, 6, 216, PLAIN, 0}, {2, 5, 1, 3, 216, PLAIN, 0},
    {1, 3, 1, 3, 216, PLAIN, 0}, {1, 5, 1, 6, 360, PLAIN, 0}};
static const struct row proxyless_gpu_rows[] = {
    {1, 3, 1, 1, 24, PLAIN, 0},  {1, 5, 2, 3, 32, PLAIN, 0},  {1, 7, 2, 3, 56, PLAIN, 0},
    {1, 3, 1, 3, 56, PLAIN, 0},  {1, 7, 2, 6, 112, PLAIN, 0}, {1, 5, 1, 3, 112, PLAIN, 0},
    {1, 5, 1, 6, 128, PLAIN, 0}, {1, 3, 1, 3, 128, PLAIN, 0}, {1, 5, 1, 3, 128, PLAIN, 0},
    {1, 7, 2, 6, 256, PLAIN, 0}, {2, 7, 1, 6, 256, PLAIN, 0}, {1, 5, 1, 6, 256, PLAIN, 0},
    {1, 7, 1, 6, 432, PLAIN, 0}};
static const struct row proxyless_mobile_rows[] = {
    {1, 3, 1, 1, 16, PLAIN, 0},  {1, 5, 2, 3, 32, PLAIN, 0},  {1, 3, 1, 3, 32, PLAIN, 0},
    {1, 7, 2, 3, 40, PLAIN, 0},  {1, 3, 1, 3, 40, PLAIN, 0},  {2, 5, 1, 3, 40, PLAIN, 0},
    {1, 7, 2, 6, 80, PLAIN, 0},  {3, 5, 1, 3, 80, PLAIN, 0},  {1, 5, 1, 6, 96, PLAIN, 0},
    {3, 5, 1, 3, 96, PLAIN, 0},  {1, 7, 2, 6, 192, PLAIN, 0}, {1, 7, 1, 6, 192, PLAIN, 0},
    {2, 7, 1, 3, 192, PLAIN, 0}, {1, 7, 1, 6, 320, PLAIN, 0}};
static const struct row proxyless_mobile_14_rows[] = {
    {1, 3, 1, 1, 24, PLAIN, 0},  {1, 5, 2, 3, 40, PLAIN, 0},  {1, 3, 1, 3, 40, PLAIN, 0},
    {1, 7, 2, 3, 56, PLAIN, 0},  {1, 3, 1, 3, 56, PLAIN, 0},  {2, 5, 1, 3, 56, PLAIN, 0},
    {1, 7, 2, 6, 112, PLAIN, 0}, {3, 5, 1, 3, 112, PLAIN, 0}, {1, 5, 1, 6, 136, PLAIN, 0},
    {3, 5, 1, 3, 136, PLAIN, 0}, {1, 7, 2, 6, 256, PLAIN, 0}, {1, 7, 1, 6, 256, PLAIN, 0},
    {2, 7, 1, 3, 256, PLAIN, 0}, {1, 7, 1, 6, 448, PLAIN, 0}};
const struct known_chain known_proxyless_cpu = {
    .stem = 40, .last = 1432, .activation = GRAPH_RELU6, ROWS(proxyless_cpu_rows)};
const struct known_chain known_proxyless_gpu = {
    .stem = 40, .last = 1728, .activation = GRAPH_RELU6, ROWS(proxyless_gpu_rows)};
const struct known_chain known_proxyless_mobile = {
    .stem = 32, .last = 1280, .activation = GRAPH_RELU6, ROWS(proxyless_mobile_rows)};
const struct known_chain known_proxyless_mobile_14 = {
    .stem = 48, .last = 1792, .activation = GRAPH_RELU6, ROWS(proxyless_mobile_14_rows)};

/* ---- EfficientNet: the coefficients of the authors' code, which are rounded by hand; they do not follow from alpha, beta,
 * gamma and phi */

static const struct {
    double width, depth;
    float dropout;
} efficientnets[] = {{1.0, 1.0, 0.2f}, {1.0, 1.1, 0.2f}, {1.1, 1.2, 0.3f}, {1.2, 1.4, 0.3f},
                     {1.4, 1.8, 0.4f}, {1.6, 2.2, 0.4f}, {1.8, 2.6, 0.5f}, {2.0, 3.1, 0.5f}};

int known_efficientnet(const struct known *self, struct graph_shape input, uint32_t classes,
                       struct graph **out, struct why *why)
{
    uint32_t b = *(const uint32_t *)self->own;
    struct mbnet net = {.dropout = efficientnets[b].dropout};

    efficientnet_chain(efficientnets[b].width, efficientnets[b].depth, &net);
    mbnet_drop_strides(&net, input);
    return mbnet_build(&net, input, classes, out, why);
}
