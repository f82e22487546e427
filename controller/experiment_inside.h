/* experiment_inside.h - what experiment.c and fold.c share, and nobody else sees. */
#ifndef NASFARM_EXPERIMENT_INSIDE_H
#define NASFARM_EXPERIMENT_INSIDE_H

#include "experiment.h"
#include "pending.h"

/* Known networks are drawn again only in the first of so many, so that a search under tight constraints finds an end. */
#define REDRAW_TRIES    1000u
#define ASK_TRIES       10000u /* proposals past a constraint in a row before the search gives up */
#define SNAPSHOT_EVENTS 4096u  /* between two snapshots: what an open folds at the most */
#define FINAL_RESULT    "final"
#define FINAL_WEIGHTS   "final.weights"

struct tally {
    uint64_t proposed, done, ok, failed, known, redrawn;
    uint64_t best_trial;
    double best_fitness; /* NaN: none */
};

/* A proposal that may become a trial. */
struct candidate {
    struct graph *graph;
    struct graph_cost cost;
    struct digest hash;
    uint64_t parent, known; /* known: the trial with this network's result; UINT64_MAX: none */
    uint32_t redraws;
};

struct stored_member {
    uint64_t serial, trial;
};

struct experiment {
    struct experiment_config config;
    struct store *store;
    struct space *space;
    struct strategy *strategy;
    struct genome *asked; /* the last proposal */
    struct pending pending;
    struct tally tally;
    bool final_done;

    struct stored_member
        *members; /* the population as the store has it, with the open transaction */
    size_t n_members, cap_members;
    uint64_t next_serial;

    uint64_t snapshot_seq; /* events that the stored snapshot covers */
    bool in_txn;
    int broken; /* memory and transaction differ since this error: only opening again helps */
};

/* ---- experiment.c */
/* Why proposals were thrown away. */
enum reason { OVER_PARAMS, OVER_MACS, OVER_MEMORY, NO_GRAPH, REASONS };
struct rejections {
    uint64_t n[REASONS], least[REASONS];
    struct why no_graph;
};
/* Decodes and measures what was asked. FARM_OK with *graph = NULL when it is past a constraint or no graph at all. */
int experiment_consider(struct experiment *self, struct graph **graph, struct graph_cost *cost,
                        struct rejections *rejections);
void tally_proposal(struct tally *self, uint32_t redraws);
void tally_result(struct tally *self, uint64_t trial, enum outcome outcome, double fitness,
                  bool known);

/* What came of a trial, as the strategy is told it. */
int tell_strategy(struct experiment *self, uint64_t trial, const struct genome *genome,
                  enum outcome outcome, double fitness);

/* ---- fold.c */
/* The whole state as bytes (malloc'd). */
int fold_save(const struct experiment *self, uint8_t **bytes, size_t *len);
/* From the snapshot and the journal to the state that was committed last. */
int fold_open(struct experiment *self, struct why *why);

/* Space, strategy and an empty state for self->config. */
int experiment_prepare(struct experiment *self, struct why *why);
int experiment_reset(struct experiment *self, struct why *why);
void experiment_free(struct experiment **self);

#endif
