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
#include "task.h"

enum dim_kind { DIM_CATEGORICAL, DIM_INTEGER, DIM_REAL, DIM_LOG_REAL };
/* What a cell mutation needs to know about a gene, without knowing layers. */
enum dim_role { DIM_OTHER, DIM_OP, DIM_INPUT /* which hidden state is read */ };

struct dim {
    char name[40];
    enum dim_kind kind;
    enum dim_role role;
    uint32_t group;            /* genes of one cell share a group: 0 normal, 1 reduction, ... */
    uint32_t choices;          /* categorical: values 0..choices-1 */
    const char *const *labels; /* of the values in order (integer: from lo on), or NULL: numbers */
    double lo, hi;             /* integer, real: inclusive range */
    /* Active only when the gene before it, parent, is active and has parent_value (or more, when at_least: the third
     * block of a stage is there when its depth is 3 or 4); -1: always. */
    int32_t parent;
    uint32_t parent_value;
    bool at_least;
    bool ordered; /* categorical: neighbouring values are near each other (kernels 3, 5, 7) */
};

/* The value as people read it: its label or a number, in room. */
const char *dim_text(const struct dim *self, double value, char room[32]);
/* Whole values of a dimension; 0 when it is real. */
uint64_t dim_values(const struct dim *self);
/* Whether its values lie on a line: all but categories without an order. */
bool dim_is_number(const struct dim *self);
/* The value at a share 0 to 1 of the range, which whole values and categories cut into equal parts; of DIM_LOG_REAL the
 * logarithm's. Real ones have six digits. */
double dim_at(const struct dim *self, double share);
/* And back; a whole value's share is the middle of its part. */
double dim_share(const struct dim *self, double value);

/* A number that a space can be told beside what struct space_config has for all: a width multiplier, a resolution. */
struct space_option {
    const char *name; /* NULL ends a table */
    double lo, hi;    /* inclusive */
    bool whole;       /* no fractions */
    double fallback;  /* what it is when not given; by convention 0 where the data decides */
    const char *const *(*labels)(void); /* NULL-terminated names of 0, 1, ..., or NULL: a number */
    const char *help;                   /* one line, without the name, the range and the default */
};
#define SPACE_OPTIONS_MAX 12

/* The macro skeleton and the data that a space is scaled to. */
struct space_config {
    char name[32]; /* "nasbench201", "amoebanet"; "X+hyperparameters" is X with the usual tune */
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
    char options[192];         /* "width=0.5,head=128": see space_ops.options; "": all defaults */
    /* "lr,batch=16:64": training settings that are genes, too, after the architecture's (tune.h); "": none */
    char tune[256];
    /* A space of somebody's own: its YAML text (docs/own-spaces.md), as space_keep_definition() gives it, and name is just a
     * name; NULL: the space of that name. */
    const char *definition;
};
#define SPACE_DEFINITION_MAX (64u * 1024u)

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
    struct cell_node nodes[24];
    const char *node_op
        [24]; /* constants: what is done to the sum of the wires that come in; NULL: a state */
    struct cell_edge edges[320];
};

struct space {
    struct space_config config; /* defaults filled in */
    const char *summary;        /* one line for help texts */
    uint32_t n_dims, n_tuned;   /* the last n_tuned are training settings, no part of the network */
    const struct dim *dims;
    const struct space_ops *ops;
    double
        option[SPACE_OPTIONS_MAX]; /* in the order of ops->options; open() may fill in what is 0 */
    struct dim *owned;             /* dims that open() made by space_own_dims(), or NULL */
    void *state;                   /* what open() keeps for decode(): free()d with the space */
};
#define SPACE_PATHS_MAX 64
struct space_ops {
    const char *name, *summary;
    /* Ended by one without a name; NULL: none. */
    const struct space_option *options;
    /* Fills config's defaults, n_dims, dims; the values of the options are there. */
    int (*open)(struct space *self, struct why *why);
    /* Builds the graph of genes that space_check() accepted. Like notation and cell it looks only at its own genes: tuned
     * ones follow. */
    int (*decode)(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why);
    /* The community's notation of the architecture, e.g. "|nor_conv_3x3~0|+...": malloc'd; and back. parse may be NULL. */
    char *(*notation)(const struct space *self, const struct genome *genome);
    struct genome *(*parse)(const struct space *self, const char *text, struct why *why);
    /* Describes the which-th kind of cell; false when there is no such. May be NULL. */
    bool (*cell)(const struct space *self, const struct genome *genome, uint32_t which,
                 struct cell_drawing *out);
    /* What ranges of single genes cannot say; NULL: nothing. FARM_EGENOME says what is wrong. */
    int (*check)(const struct space *self, const struct genome *genome, struct why *why);
    /* Whether another value of a gene may make another network, beyond its condition; NULL: always. */
    bool (*active)(const struct space *self, const struct genome *genome, uint32_t gene);
    /* Which sequences of operations lead from a cell's input to its output, each as a number below n_paths, no number twice;
     * how many there are. For models of the fitness (BANANAS); NULL: the space has no such list. */
    uint32_t (*paths)(const struct space *self, const struct genome *genome,
                      uint32_t out[SPACE_PATHS_MAX]);
    uint32_t n_paths;
    const void *own;  /* what these functions know of their space, when several spaces share them */
    const char *tune; /* what is tuned when the config says nothing; NULL: nothing */
    const char
        *definition; /* as an own space would be defined, to begin one from; NULL: it cannot */
};

/* FARM_EINPUT names an unknown space and lists the known ones, or says which number does not fit. */
int space_open(struct space **out, const struct space_config *config, struct why *why);
void space_close(struct space **self);
/* NULL-terminated. */
const struct space_ops *const *space_all(void);

/* Gives a config the definition of an own space, and its name. FARM_EINPUT says "label:line: ..." what is wrong with it. */
int space_config_define(struct space_config *config, const char *text, const char *label,
                        struct why *why);
/* The same text for the rest of the process's life, so that configs can be copied; equal texts have one place. NULL: out of
 * memory. Not for several threads at once. */
const char *space_keep_definition(const char *text);

/* Uniform over every dimension (log-uniform for DIM_LOG_REAL), and drawn again while the space's own check refuses what was
 * drawn (a thousand times: the last one may be no point of a space that is nearly empty). genome has n_dims genes. */
void space_sample(const struct space *self, struct rng *rng, struct genome *genome);
/* Resamples gene i so that it differs from what it was, where the dimension has another value. */
void space_resample(const struct space *self, struct rng *rng, struct genome *genome, uint32_t i);
bool space_active(const struct space *self, const struct genome *genome, uint32_t i);
/* FARM_EGENOME names the gene, its value and its range. */
int space_check(const struct space *self, const struct genome *genome, struct why *why);
/* Checks, then decodes. *out is finished and owned by the caller. */
int space_decode(const struct space *self, const struct genome *genome, struct graph **out,
                 struct why *why);
/* The value of one of ops->options by its name, which must be in the table. */
double space_option(const struct space *self, const char *name);
/* n zeroed dimensions without a parent that the space owns, for open(): sets dims and n_dims. NULL: out of memory. */
struct dim *space_own_dims(struct space *self, uint32_t n);

/* The architecture as its community writes it, and behind it, where training is tuned, ";lr=0.05,batch=64": malloc'd; NULL
 * when out of memory. And back: what is tuned and not in the text gets the recipe's usual value. */
char *space_notation(const struct space *self, const struct genome *genome);
struct genome *space_parse(const struct space *self, const char *text, struct why *why);
/* Writes what the genome tunes into a recipe, and checks that. Does nothing where nothing is tuned. */
int space_recipe(const struct space *self, const struct genome *genome, struct recipe *recipe,
                 struct why *why);

/* log10 of the number of points, of which two that differ in inactive genes alone count once; +inf when a dimension is
 * real. */
double space_log10_points(const struct space *self);
/* The same as text: "15625", "2.2e19" from 2^63 on, "infinitely many". */
const char *space_points_text(const struct space *self, char room[32]);

#endif
