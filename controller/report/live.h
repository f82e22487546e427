/* live.h - what is shown while a search runs: one live line on a terminal, plain lines in a log, JSON for machines.
 *
 * It is:     a reader of the farm's view and the experiment's summary, called once a turn and once a result.
 * It is not: the end result (found.h), nor the log (log.h): log lines step in front of the live line.
 */
#ifndef NASFARM_LIVE_H
#define NASFARM_LIVE_H

#include "farm.h"

struct live;

enum live_style {
    LIVE_AUTO /* a terminal on standard error: one live line; else plain ones */,
    LIVE_JSON,
    LIVE_QUIET
};

int live_create(struct live **out, enum live_style style);
void live_destroy(struct live **self); /* takes the live line away */

/* The experiment whose numbers are shown; NULL: none yet. */
void live_follow(struct live *self, const struct experiment *experiment);

/* The three of struct farm_watch. */
void live_turn(struct live *self, const struct farm_view *view, int64_t now_ms);
void live_result(struct live *self, const struct wire_key *key, const struct result *result,
                 const char *worker);
void live_progress(struct live *self, const struct wire_key *key, const struct progress *progress,
                   const char *worker);

/* One line about the whole run: evaluations, seconds, per second, utilisation. */
void live_close(struct live *self, const struct farm_view *view);

#endif
