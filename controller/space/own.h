/* own.h - a search space that somebody wrote down in a YAML file: docs/own-spaces.md.
 *
 * It is:     the definition as read from the text, and the space made of it. The text itself is what a search keeps
 *            (struct space_config, definition), so that the file may change or vanish.
 * It is not: a language: what it can say is a table of keys with a list of values each (own_file.c).
 */
#ifndef NASFARM_OWN_H
#define NASFARM_OWN_H

#include "cell_op.h"

#define OWN_VALUES_MAX 16u
#define OWN_LABEL      24u
#define OWN_SHARED_MAX 16u
#define OWN_STAGES_MAX 16u
#define OWN_DEPTH_MAX  16u
#define OWN_OPS_MAX    20u
#define OWN_NODES_MAX  12u
#define OWN_READS_MAX  4u
#define OWN_NOT_A_GENE UINT32_MAX

/* When a choice is a choice at all: the key or $dimension `on` has this value, or one behind it. */
struct own_condition {
    char on[OWN_LABEL + 1]; /* "": always */
    char value[OWN_LABEL];
    bool at_least;
    uint32_t line;
};

/* What one key of the file may be: one value, or several that a gene chooses from. */
struct own_choice {
    uint32_t n; /* values; 0: the key is not there */
    char label[OWN_VALUES_MAX][OWN_LABEL];
    const char *labels[OWN_VALUES_MAX]; /* the same, for struct dim */
    double number[OWN_VALUES_MAX];      /* of a word: which of the key's words */
    char shared[OWN_LABEL]; /* it is that of a dimension of the whole space; "": its own */
    struct own_condition when;
    uint32_t line;
};

/* One key that a part of the file may have. */
struct own_key {
    const char *name;  /* NULL ends a table */
    const char *words; /* "relu relu6 swish": it is one of these; NULL: a number */
    double lo, hi;
    bool whole, odd;
    bool needed;
    double fallback; /* where the key is not there, or is no choice now */
};

enum { STAGE_CHANNELS, STAGE_STRIDE, STAGE_DEPTH, STAGE_KEYS };
enum {
    BLOCK_OP,
    BLOCK_KERNEL,
    BLOCK_EXPAND,
    BLOCK_SE,
    BLOCK_GROUPS,
    BLOCK_ACTIVATION,
    BLOCK_SHORTCUT,
    BLOCK_KEYS
};
enum { STEM_CHANNELS, STEM_STRIDE, STEM_ACTIVATION, STEM_KEYS };
enum { HEAD_CHANNELS, HEAD_ACTIVATION, HEAD_DROPOUT, HEAD_KEYS };
extern const struct own_key own_stage_keys[], own_block_keys[], own_stem_keys[], own_head_keys[];

struct own_stage {
    struct own_choice stage[STAGE_KEYS], block[BLOCK_KEYS];
    bool per_stage; /* all blocks of the stage choose alike */
    uint32_t stage_gene[STAGE_KEYS], block_gene[OWN_DEPTH_MAX][BLOCK_KEYS];
};

enum own_wiring {
    OWN_PAIRS, /* a node reads some states, through an operation each, and adds up: DARTS, NASNet */
    OWN_EDGES, /* a node reads all states before it, each through an operation: NAS-Bench-201 */
    OWN_GRAPH  /* a node applies its operation to the sum of the states it reads: NAS-Bench-101 */
};
enum own_output { OWN_CONCAT, OWN_SUM, OWN_LAST, OWN_UNUSED };

struct own_cell {
    bool there;
    enum own_wiring wiring;
    enum own_output output;
    uint32_t inputs, nodes, reads, n_ops;
    enum cell_op op[OWN_OPS_MAX];
    char label[OWN_OPS_MAX][OWN_LABEL];
    const char *labels[OWN_OPS_MAX];
    uint32_t first_gene;
};

struct own {
    char name[32], summary[160];
    uint32_t n_shared;
    char shared_name[OWN_SHARED_MAX][OWN_LABEL];
    struct own_choice shared[OWN_SHARED_MAX];
    uint32_t shared_gene[OWN_SHARED_MAX];
    /* A chain of blocks ... */
    uint32_t n_stages;
    struct own_stage stages[OWN_STAGES_MAX];
    struct own_choice stem[STEM_KEYS], head[HEAD_KEYS];
    uint32_t stem_gene[STEM_KEYS], head_gene[HEAD_KEYS];
    /* ... or stages of cells: normal, reduction. */
    struct own_cell cell[2];
    uint32_t channels, cells, n_skeleton_stages; /* of the skeleton; 0: by image size */
};

/* Reads a definition. label is what errors begin with, "label:line: ...": the name of the file. malloc'd: free(). */
int own_read(struct own **out, const char *text, const char *label, struct why *why);

/* Dimensions of a definition: chain and cells. */
int own_chain_open(struct space *self, struct own *own, struct why *why);
int own_chain_decode(const struct space *self, const struct own *own, const struct genome *genome,
                     struct graph **out, struct why *why);
uint32_t own_cell_genes(const struct own_cell *cell);
void own_cell_open(struct own_cell *cell, uint32_t group, const char *prefix, struct dim *dims,
                   uint32_t first);
int own_cell_check(const struct own_cell *cell, const struct genome *genome, struct why *why);
bool own_cell_active(const struct own_cell *cell, const struct genome *genome, uint32_t gene);
int own_cells_decode(const struct space *self, const struct own *own, const struct genome *genome,
                     struct graph **out, struct why *why);
bool own_cell_draw(const struct own_cell *cell, const struct genome *genome, const char *title,
                   struct cell_drawing *out);

extern const struct space_ops space_own;

#endif
