/* experiment_score.c - trials that a proxy scores before they are trained: prefilter.h decides, the journal knows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment_inside.h"

int take_score(struct experiment *self, struct pending_trial *t, const struct event *event)
{
    bool passes = false;
    int rc = event->outcome == OUTCOME_OK
                 ? prefilter_take(&self->prefilter, event->fitness, &passes)
                 : FARM_OK;

    t->scoring = !passes;
    return rc;
}

static int add_passed(struct experiment *self, uint64_t trial)
{
    if (self->n_passed == self->passed_room) {
        size_t room = self->passed_room > 0 ? 2 * self->passed_room : 16;
        uint64_t *passed = realloc(self->passed, room * sizeof *passed);

        if (passed == NULL)
            return FARM_ENOMEM;
        self->passed = passed;
        self->passed_room = room;
    }
    self->passed[self->n_passed++] = trial;
    return FARM_OK;
}

int record_score(struct experiment *self, struct pending_trial *t, const struct result *result,
                 const char *worker)
{
    const struct event event = {.kind = EVENT_SCORED,
                                .trial = t->record.trial,
                                .outcome = result->outcome,
                                .fitness = result->fitness,
                                .known_from = UINT64_MAX};
    struct event kept = event;
    struct result end = *result;
    int rc = store_append_event(self->store, &kept);

    if (rc == FARM_OK)
        rc = take_score(self, t, &event);
    if (rc != FARM_OK)
        return rc;
    if (!t->scoring)
        return add_passed(self, t->record.trial);
    if (result->outcome == OUTCOME_OK) {
        end.outcome = OUTCOME_FILTERED;
        end.fitness = 0;
        (void)snprintf(end.reason, sizeof end.reason,
                       "its %s is %g: not among the best %g %% of %zu", self->prefilter.proxy,
                       result->fitness, 100 * self->prefilter.share, self->prefilter.n);
    }
    return record_search(self, t, &end, worker);
}

int propose_passed(struct experiment *self, struct proposal *out, struct why *why)
{
    const struct pending_trial *t = pending_find(&self->pending, self->passed[0]);

    memmove(self->passed, self->passed + 1, --self->n_passed * sizeof *self->passed);
    return t != NULL && !t->scoring ? task_of(self, &t->record, t->rung, out, why) : FARM_OK;
}
