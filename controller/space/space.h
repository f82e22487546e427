/* space.h - a search space: an ordered list of dimensions, and decode: genes in, graph out.
 *
 * It is:     the only place that knows what genes mean. A space is immutable and freely shared for reading.
 * It is not: a strategy (search/), a cost (graph.h), or training (the worker).
 */
#ifndef NASFARM_SPACE_H
#define NASFARM_SPACE_H

#include "genome.h"
#include "graph.h"
#include "rng.h"

enum dim_kind { DIM_CATEGORICAL, DIM_INTEGER, DIM_REAL, DIM_LOG_REAL };
/* What a cell mutation needs to know about a gene, without knowing layers. */
enum dim_role { DIM_OTHER, DIM_OP, DIM_INPUT /* which hidden state is read */ };

struct dim {
    char name[40];
    enum dim_kind kind;
    enum dim_role role;
    uint32_t group;            /* genes of one cell share a group: 0 normal, 1 reduction, ... */
    uint32_t choices;          /* categorical: values 0..choices-1 */
    const char *const *labels; /* categorical: choices names, or NULL (numbers) */
    double lo, hi;             /* integer, real: inclusive range */
    int32_t parent;            /* active only when gene[parent] == parent_value; -1: always */
    uint32_t parent_value;
};

/* The macro skeleton and the data that a space is scaled to. */
struct space_config {
    char name[32];            /* "nasbench201", "amoebanet" */
    struct graph_shape input; /* of the data */
    uint32_t classes;
    uint32_t channels; /* of the first stage; 0: the space's own default for this image size */
    uint32_t cells;    /* normal cells per stage (N); 0: default */
    uint32_t stages;   /* 0: default, limited so that the last stage still has 4x4 pixels or more */
    uint32_t stem_stride; /* 0: 1 (2 of the ImageNet stem); of the first convolution */
    float drop_path;      /* rate of drop_path nodes; 0: none are placed */
    char stem[16]; /* "", "plain": one convolution; "imagenet": for large images (pairwise.h) */
    uint32_t
        stem_channels; /* pairwise cells: of the first convolution; 0: the stem's own default */
    bool skip_reduction_input; /* pairwise cells: see pairwise.h */
};

/* One cell as a drawing: values, and the operations between them. */
enum cell_role { CELL_INPUT, CELL_STATE, CELL_OUTPUT };
struct cell_node {
    char label[16]; /* "c_{k-2}", "0", "1", "+" ... */
    enum cell_role role;
};
struct cell_edge {
    uint32_t from, to;
    const char *op; /* a constant; "" for a plain wire */
};
struct cell_drawing {
    const char *title; /* a constant: "cell", "normal", "reduction" */
    uint32_t n_nodes, n_edges;
    struct cell_node nodes[16];
    struct cell_edge edges[32];
};

struct space {
    struct space_config config; /* defaults filled in */
    const char *summary;        /* one line for help texts */
    uint32_t n_dims;
    const struct dim *dims;
    const struct space_ops *ops;
};
struct space_ops {
    const char *name, *summary;
    int (*open)(struct space *self, struct why *why); /* fills config's defaults, n_dims, dims */
    /* Builds the graph of genes that space_check() accepted. */
    int (*decode)(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why);
    /* The community's notation of the architecture, e.g. "|nor_conv_3x3~0|+...": malloc'd; and back. parse may be NULL. */
    char *(*notation)(const struct space *self, const struct genome *genome);
    struct genome *(*parse)(const struct space *self, const char *text, struct why *why);
    /* Describes the which-th kind of cell; false when there is no such. May be NULL. */
    bool (*cell)(const struct space *self, const struct genome *genome, uint32_t which,
                 struct cell_drawing *out);
    const void *own; /* what these functions know of their space, when several spaces share them */
};

/* FARM_EINPUT names an unknown space and lists the known ones, or says which number does not fit. */
int space_open(struct space **out, const struct space_config *config, struct why *why);
void space_close(struct space **self);
/* NULL-terminated. */
const struct space_ops *const *space_all(void);

/* Uniform over every dimension (log-uniform for DIM_LOG_REAL). genome has n_dims genes. */
void space_sample(const struct space *self, struct rng *rng, struct genome *genome);
/* Resamples gene i so that it differs from what it was, where the dimension has another value. */
void space_resample(const struct space *self, struct rng *rng, struct genome *genome, uint32_t i);
bool space_active(const struct space *self, const struct genome *genome, uint32_t i);
/* FARM_EGENOME names the gene, its value and its range. */
int space_check(const struct space *self, const struct genome *genome, struct why *why);
/* Checks, then decodes. *out is finished and owned by the caller. */
int space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                 struct why *why);
/* log10 of the number of points; +inf when a dimension is real. */
double space_log10_points(const struct space *self);

#endif
