/* strategy_kind.h - what one kind of strategy gives to strategy.c. Only controller/search/ includes it. */
#ifndef NASFARM_STRATEGY_KIND_H
#define NASFARM_STRATEGY_KIND_H

#include "strategy.h"

/* One option: a number in a range. */
struct strategy_option {
    const char *name;
    double lo, hi;
    bool whole;
    double value; /* its default, then what was asked for */
};
#define STRATEGY_OPTIONS_MAX 12

/* The part of every strategy that strategy.c keeps. */
struct strategy {
    const struct strategy_kind *kind;
    const struct space *space;
    uint64_t seed;
    struct rng rng;
    uint64_t asked;
    struct strategy_option options[STRATEGY_OPTIONS_MAX]; /* ends at a NULL name */
    void *state;                                          /* the kind's own */
};

/* Bytes that are written, or read with every length checked: overrun is sticky. */
struct state_bytes {
    uint8_t *bytes;
    size_t len, cap, at;
    bool failed;
};
void state_put(struct state_bytes *self, const void *bytes, size_t len);
void state_put_u64(struct state_bytes *self, uint64_t v);
const uint8_t *state_take(struct state_bytes *self, size_t len); /* NULL: not so many are left */
uint64_t state_take_u64(struct state_bytes *self);
void state_put_double(struct state_bytes *self, double v);
double state_take_double(struct state_bytes *self);
void state_put_genome(struct state_bytes *self, const struct genome *genome);
/* malloc'd; NULL, and failed is set, when there is no genome of this space. */
struct genome *state_take_genome(struct state_bytes *self, const struct space *space);

struct strategy_kind {
    struct strategy_ops ops;
    const struct strategy_option *options;
    /* Defaults that depend on the space; may be NULL. Before the options are read. */
    void (*adapt)(struct strategy *self);
    /* Why this space cannot be served (FARM_EINPUT), or FARM_OK; NULL: every one can. */
    int (*serves)(const struct strategy *self, struct why *why);
    int (*create)(struct strategy *self); /* sets state */
    void (*destroy)(struct strategy *self);
    int (*ask)(struct strategy *self, struct genome *out, uint64_t *parent);
    int (*enter)(struct strategy *self, uint64_t trial,
                 const struct genome *genome); /* NULL: it does not matter */
    int (*tell)(struct strategy *self, const struct observation *observation);
    size_t (*population)(const struct strategy *self, const struct strategy_member **members);
    void (*save)(const struct strategy *self, struct state_bytes *out);
    int (*load)(struct strategy *self, struct state_bytes *in);
};

double strategy_option_value(const struct strategy *self, const char *name);

extern const struct strategy_kind strategy_random, strategy_grid, strategy_evolution,
    strategy_tournament, strategy_nsga2, strategy_local_search;

#endif
