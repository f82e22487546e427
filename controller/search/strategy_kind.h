/* strategy_kind.h - what one kind of strategy gives to strategy.c. Only controller/search/ includes it. */
#ifndef NASFARM_STRATEGY_KIND_H
#define NASFARM_STRATEGY_KIND_H

#include "number_options.h"
#include "state.h"
#include "strategy.h"

#define STRATEGY_OPTIONS_MAX 12

/* The part of every strategy that strategy.c keeps. */
struct strategy {
    const struct strategy_kind *kind;
    const struct space *space;
    uint64_t seed;
    uint32_t rules; /* strategy_keep_rules() */
    struct rng rng;
    uint64_t asked;
    struct genome **first; /* proposed before all others */
    size_t n_first;
    struct strategy_option options[STRATEGY_OPTIONS_MAX]; /* ends at a NULL name */
    void *state;                                          /* the kind's own */
};

struct strategy_kind {
    struct strategy_ops ops;
    const struct strategy_option *options;
    bool takes_objectives;
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
    strategy_tournament, strategy_nsga2, strategy_local_search, strategy_tpe, strategy_reinforce,
    strategy_reinforce_lstm, strategy_bananas, strategy_gp, strategy_cmaes;

#endif
