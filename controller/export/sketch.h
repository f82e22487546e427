/* sketch.h - a network as people draw it: a box for what runs as one, boxes of one block together, equal blocks once.
 *
 * It is:     what dot.c draws; only controller/export/ includes it. It shows the network at inference: no dropout, identities
 *            and zeros, no auxiliary head.
 * It is not: layout or colour.
 *
 * A box is an operation with the batch norm and activation behind it that alone read it, or before it where nobody else
 * reads them; a depthwise convolution with the pointwise one behind it; or a whole squeeze-and-excitation.
 * A group is the block or cell that the names of parameters say: the first part of a name ("c4" of "c4.2l.sep5.dw1"), with the
 * second part where the first is a stage or the stem ("s1.b0" of "s1.b0.expand"). What has no name belongs to its readers, if
 * they are all of one group, or to the last group it reads.
 * Equal groups that follow one another, each reading one value of the one before, are drawn once.
 */
#ifndef NASFARM_SKETCH_H
#define NASFARM_SKETCH_H

#include "graph_values.h"

#define SKETCH_NO UINT32_MAX

enum sketch_family {
    SKETCH_IMAGE,
    SKETCH_CONV,
    SKETCH_DEPTHWISE,
    SKETCH_LINEAR,
    SKETCH_POOL,
    SKETCH_JOIN,
    SKETCH_GATE,
    SKETCH_PLAIN
};

struct sketch_box {
    char label[120]; /* "ReLU · 3×3 conv 64 /2 · BN" */
    enum sketch_family family;
    uint32_t value;        /* the node whose value leaves the box */
    uint32_t group, index; /* index: among the boxes of its group */
};

struct sketch_group {
    char name[64]; /* "" of the images */
    uint32_t n_boxes;
    uint32_t head;   /* the group that is drawn for it: itself, but for a repetition */
    uint32_t repeat; /* of a head: how many there are, itself included */
    uint32_t source; /* the only value from outside that it reads; SKETCH_NO: there are several */
    uint32_t out;    /* the only box that others read; SKETCH_NO: there are several */
    uint32_t reader; /* the only group that reads it; SKETCH_NO: several */
};

struct sketch {
    const struct graph *graph; /* borrowed */
    struct sketch_box *boxes;
    struct sketch_group *groups;
    uint32_t n_boxes, n_groups;
    uint32_t *box_of;                       /* of each node: SKETCH_NO when it is not drawn */
    uint32_t *first_read, *n_reads, *reads; /* of each node that is drawn: the nodes it reads */

    /* while it comes into being */
    struct graph_value *values;
    uint32_t *readers, *group_of;
    uint32_t *inside;      /* of which squeeze-and-excitation, by its product; 0: of none */
    uint32_t *only_reader; /* group + 1; 0: none yet; SKETCH_NO: several */
};

/* FARM_OK or FARM_ENOMEM. */
int sketch_create(struct sketch **out, const struct graph *graph);
void sketch_destroy(struct sketch **self);

/* The box that is drawn for this one. */
uint32_t sketch_drawn(const struct sketch *self, uint32_t box);
/* Does a box read anything, and what first? SKETCH_NO: nothing. */
uint32_t sketch_first_source(const struct sketch *self, uint32_t box);

#endif
