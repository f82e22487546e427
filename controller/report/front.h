/* front.h - the trials that no other one beats in everything that a search wants: the Pareto front.
 *
 * It is:     collected from a store in one pass; a table, JSON, a plot of two objectives; and the hypervolume.
 * It is not: a strategy's population (nsga2.c).
 */
#ifndef NASFARM_FRONT_H
#define NASFARM_FRONT_H

#include <jansson.h>
#include <stdio.h>

#include "objectives.h"
#include "space.h"
#include "store.h"

struct front_point {
    uint64_t trial;
    double objective[OBJECTIVES_MAX]; /* each is raised */
};
struct front {
    struct objectives objectives;
    struct front_point *points; /* by the first objective, best first */
    size_t n;
    uint64_t seen;                    /* successful trials that break no constraint */
    double reference[OBJECTIVES_MAX]; /* the worst value of each objective among them */
    double
        hypervolume; /* that the front dominates above the reference; NaN: fewer than two such trials */
};

/* Of all successful trials: those whose record lacks one of the objectives are left out. FARM_OK, FARM_ENOMEM, or the
 * store's. Release with front_release(), also after an error. */
int front_collect(struct front *self, struct store *store, const struct objectives *objectives,
                  struct why *why);
void front_release(struct front *self);

/* A table of at most `most` lines (0: all), and the hypervolume below it. */
int front_print(const struct front *self, FILE *out, struct store *store, const struct space *space,
                size_t most);
/* A new reference; NULL when out of memory. */
json_t *front_json(const struct front *self);
/* The front as steps over the second objective. FARM_EINPUT where there are not two. */
int front_plot(const struct front *self, const char *path, struct why *why);

#endif
