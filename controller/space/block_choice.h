/* block_choice.h - spaces in which each block of a chain is one of a list: proxyless, fbnet, spos-shufflenet.
 *
 * It is:     dimensions, decoding and notation for any list of blocks and any stages: such a space is two tables.
 * It is not: for spaces whose blocks have several genes (mnasnet.c, ofa_mobilenetv3.c).
 */
#ifndef NASFARM_BLOCK_CHOICE_H
#define NASFARM_BLOCK_CHOICE_H

#include "gene_list.h"
#include "mbconv.h"

struct chain_stage {
    uint32_t channels, blocks, stride; /* stride: of the first block */
};

/* What space_ops.own points to. */
struct block_choice {
    const char *const *labels;
    const struct mbconv *ops; /* in the order of the labels; shape, stage and place are filled in */
    uint32_t n_ops, n_first_ops; /* the first block of a stage has the first so many */
    const struct chain_stage *stages;
    uint32_t n_stages;
    uint32_t stem, last; /* channels at width 1 */
    enum graph_op activation;
    const struct mbconv *front; /* a fixed block behind the stem (stage 0), or NULL */
    bool no_bias;               /* of the logits */
    bool stem_not_affine;       /* the BN of the stem */
};

int block_choice_open(struct space *self, struct why *why);
int block_choice_decode(const struct space *self, const struct genome *genome, struct graph **out,
                        struct why *why);

extern const struct space_option block_choice_options[];
#define BLOCK_CHOICE_FUNCTIONS                                                                     \
    .options = block_choice_options, .open = block_choice_open, .decode = block_choice_decode,     \
    GENE_LIST_FUNCTIONS

#endif
