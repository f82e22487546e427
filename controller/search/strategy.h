/* strategy.h - proposes genomes and learns from their results: a deterministic fold.
 *
 * It is:     a state machine of (seed, sequence of ask and tell). Replaying the same calls gives the same state,
 *            bit for bit; save and load carry that state over a restart.
 * It is not: durable, concurrent or aware of layers, workers and time. It may be asked many times before it is told
 *            (no barrier), and is told in whatever order results finish.
 */
#ifndef NASFARM_STRATEGY_H
#define NASFARM_STRATEGY_H

#include "space.h"
#include "task.h"

struct strategy;

struct strategy_member { /* of the population */
    uint64_t trial;
    double fitness;
};

/* What came of one trial, at one budget. A trial that goes on is told again with a larger one. */
#define OBJECTIVES_MAX 6
struct observation {
    uint64_t trial;
    const struct genome *genome;
    bool again;     /* it was told before, at a smaller budget, or: */
    bool corrected; /* what was told of it at this budget was wrong; with again */
    bool ok;        /* false: it failed, and nothing below means anything */
    double fitness; /* what single-objective strategies raise */
    double
        budget; /* epochs trained, or what the schedule counts in; one number for all where there is one budget */
    double
        violation; /* of constraints that only an evaluation can check, at least 0; 0: none is broken */
    uint32_t n_objectives;            /* 0: only fitness */
    double objective[OBJECTIVES_MAX]; /* each is raised: what is to be small comes negated */
};

struct strategy_ops {
    const char *name, *summary; /* summary names its options and their defaults */
};

/* options: "key=value,key=value" ("": all defaults), e.g. "population=100,sample=25" (evolution).
 * FARM_EINPUT names an unknown strategy or option and lists the known, or says the range.
 * space is borrowed until strategy_destroy(). */
int strategy_create(struct strategy **out, const char *name, const char *options,
                    const struct space *space, uint64_t seed, struct why *why);
void strategy_destroy(struct strategy **self);
/* What is made of results may change from one nasfarm to the next; a journal is folded as it was written. Rules 1: evolution
 * takes what a trial was told last for its fitness, at whatever budget. 2: it compares what was trained equally long.
 * Today's are STRATEGY_RULES, and of a fresh strategy; others are said before the first ask and before strategy_load(). */
#define STRATEGY_RULES 2u
void strategy_keep_rules(struct strategy *self, uint32_t rules);
/* Whether it takes several objectives, and violations of constraints, apart. Others see the fitness alone. */
bool strategy_takes_objectives(const struct strategy *self);
/* NULL-terminated. */
const struct strategy_ops *const *strategy_all(void);

/* One more genome that is proposed before the strategy proposes any of its own: a copy is kept. Before the first ask.
 * FARM_OK, FARM_ENOMEM. */
int strategy_begin_with(struct strategy *self, const struct genome *genome);

/* Proposes the genome of the next trial into *out (space->n_dims genes); *parent is the trial it descends from, or
 * UINT64_MAX. A proposal may be thrown away (past a constraint, or known) and asked again: that, too, is part of the fold.
 * FARM_OK, FARM_EEXHAUSTED, FARM_ENOMEM. */
int strategy_ask(struct strategy *self, struct genome *out, uint64_t *parent);

/* The genome asked last has become this trial; numbers grow. FARM_OK, FARM_ENOMEM. */
int strategy_enter(struct strategy *self, uint64_t trial, const struct genome *genome);

/* One trial has a result: a larger fitness is better. One that is not a number counts as failed. */
int strategy_tell(struct strategy *self, const struct observation *observation);

/* The population, oldest first (0 for strategies without one). Borrowed until the next call. */
size_t strategy_population(const struct strategy *self, const struct strategy_member **members);

/* The whole state as bytes (malloc'd): two strategies are in the same state exactly when these are equal. */
int strategy_save(const struct strategy *self, uint8_t **bytes, size_t *len);
/* Into a freshly created strategy of the same name, options, space and seed. FARM_ECORRUPT otherwise. */
int strategy_load(struct strategy *self, const uint8_t *bytes, size_t len);

#endif
