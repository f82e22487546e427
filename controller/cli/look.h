/* look.h - a store opened for reading, with the space its genomes belong to: what status, list, show, best and export
 * stand on. A search may be writing it at the same time, in another process.
 *
 * It is not: an experiment (nothing is folded), nor able to change anything.
 */
#ifndef NASFARM_LOOK_H
#define NASFARM_LOOK_H

#include "experiment.h"

struct look {
    struct store *store;
    struct experiment_config config;
    struct space *space;
    uint32_t rungs; /* of its scheduler's ladder */
};

int look_open(struct look *self, const char *dir, struct why *why);
void look_close(struct look *self);

/* The fittest of the trials that were trained longest; UINT64_MAX: none has succeeded. */
int look_best(const struct look *self, uint64_t *trial);
/* A trial's record, by number or "best" (the fittest so far). Release with trial_record_release().
 * FARM_ENOTFOUND with a sentence. */
int look_trial(const struct look *self, const char *which, struct trial_record *out,
               struct why *why);

/* The final training, once it is recorded: which trial, and its result. FARM_ENOTFOUND. */
int look_final(const struct look *self, uint64_t *trial, struct result *out);

#endif
