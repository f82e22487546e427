/* mbconv.h - chains of mobile blocks: MBConv and its relatives, a stem before them and a head behind them.
 *
 * It is:     the one mechanism under mnasnet, proxyless, fbnet, ofa-mobilenetv3, spos-shufflenet and efficientnet, and
 *            under MobileNetV2, V3 and the other known networks (known_chains.c): a list of blocks becomes a graph. Also
 *            how such a chain is scaled to the images at hand.
 * It is not: a space: each has its own small file that says which lists there are. Only controller/space/ includes it.
 *
 * M. Sandler et al., MobileNetV2, arXiv:1801.04381; A. Howard et al., MobileNetV3, arXiv:1905.02244; N. Ma et al.,
 * ShuffleNetV2, arXiv:1807.11164; Z. Guo et al., single-path one-shot, arXiv:1904.00420.
 */
#ifndef NASFARM_MBCONV_H
#define NASFARM_MBCONV_H

#include "skeleton.h"

enum mbconv_kind {
    /* 1x1 to expand, BN, act (left out when it expands nothing); depthwise, BN, act; squeeze-excite; 1x1, BN, no
     * activation; the shortcut */
    MBCONV_INVERTED,
    MBCONV_CONV, /* one kernel x kernel convolution, BN, act; squeeze-excite; the shortcut */
    MBCONV_SKIP, /* the input itself; where the shape changes 1x1 with the stride, BN, act */
    MBCONV_SHUFFLE, /* the ShuffleNetV2 unit: even channels pass, odd ones go through 1x1, depthwise, 1x1 */
    MBCONV_XCEPTION /* the same with three pairs of depthwise 3x3 and 1x1 */
};
enum mbconv_shortcut {
    MBCONV_RESIDUAL, /* the input is added where the shape is the same */
    MBCONV_ALONE,    /* nothing is added */
    MBCONV_POOLED    /* its 3x3 average with the block's stride, where the channels are the same */
};

struct mbconv {
    enum mbconv_kind kind;
    uint32_t kernel, stride;
    uint32_t channels; /* out; half of them go through a shuffle block's branch */
    uint32_t expand;   /* the input's channels times this; 1: no 1x1 to expand */
    uint32_t wide;     /* or to so many channels; 0: as expand says */
    uint32_t groups;  /* of the 1x1; above 1 the channels are shuffled before the depthwise; 0: 1 */
    uint32_t squeeze; /* channels of the squeeze; 0: none */
    enum graph_op activation;         /* 0: ReLU */
    enum graph_op squeeze_activation; /* 0: ReLU */
    enum graph_op gate;               /* 0: sigmoid */
    enum mbconv_shortcut shortcut;
    uint32_t stage, place; /* of the names: "s2.b1.k5e6.dw.weight" */
};

#define MBCONV_BLOCKS_MAX 160u

struct mbnet {
    uint32_t resize_h, resize_w; /* images are brought to this size first; 0: as they are */
    uint32_t stem;               /* channels of the 3x3 stem, BN, act */
    uint32_t stem_stride;
    enum graph_op stem_activation;
    bool stem_not_affine; /* its BN */
    uint32_t n;
    struct mbconv block[MBCONV_BLOCKS_MAX];
    uint32_t last; /* channels of the 1x1, BN, act before the pool; 0: there is none */
    enum graph_op last_activation;
    uint32_t features;           /* of a dense layer and act behind the pool; 0: there is none */
    bool features_bias, no_bias; /* of that layer; no_bias: of the logits */
    float dropout;               /* before the logits; 0: none */
    float drop_path;             /* on every added branch; 0: none */
};

/* Appends a copy of the block; past the room the network becomes one that mbnet_build() refuses. */
void mbnet_add(struct mbnet *self, const struct mbconv *block);

/* Strides are dropped, the earliest first, until the shorter side stays at 3 pixels or more: five halvings from 65 pixels
 * on (224 gives 7), three at 32 (4 pixels) and 28 (4), one at 8 (4). */
void mbnet_drop_strides(struct mbnet *self, struct graph_shape input);

/* *out is finished and the caller's. */
int mbnet_build(const struct mbnet *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why);

/* To the nearest multiple of 8, at least 8 and never more than a tenth below: make_divisible of the authors' code. */
uint32_t by_eight(double channels);

/* ---- scaling of a space, by its options */

/* The first rows of a chain space's options: the values are in this order. */
enum { CHAIN_WIDTH, CHAIN_HEAD, CHAIN_RESOLUTION, CHAIN_DROPOUT, CHAIN_DEPTH };
#define CHAIN_OPTIONS                                                                              \
    {"width", 0, 8, false, 0, NULL, "times the channels of the paper; 0: by image size"},          \
        {"head", 0, 65536, true, 0, NULL, "channels before the pool; 0: the paper's, scaled"},     \
        {"resolution", 0, 4096, true, 0, NULL, "side that images are resized to; 0: as they are"}, \
    {                                                                                              \
        "dropout", 0, 0.95, false, 0, NULL, "before the last layer"                                \
    }
#define CHAIN_OPTION_DEPTH                                                                         \
    {                                                                                              \
        "depth", 0, 8, false, 0, NULL, "times the blocks a stage of the paper; 0: by image size"   \
    }

/* Checks images and classes, refuses what belongs to cells, and fills width (and depth, if the space has it) by the shorter
 * side: up to 12 a quarter of the channels and half of the blocks, up to 31 half and half, up to 63 half the channels,
 * above that the paper's network. */
int chain_fill(struct space *self, struct why *why);
/* The paper's channels, and blocks of a stage, at this scale. */
uint32_t chain_channels(const struct space *self, uint32_t channels);
uint32_t chain_blocks(const struct space *self, uint32_t blocks);
/* Stem, head, resolution, dropout and drop-path of the space; `last` at width 1. */
void chain_begin(const struct space *self, uint32_t stem, uint32_t last, enum graph_op activation,
                 struct mbnet *out);
/* Drops strides and builds. */
int chain_build(const struct space *self, struct mbnet *net, struct graph **out, struct why *why);

#endif
