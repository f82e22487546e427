/* ledger_backup.c - second copies of stragglers (backup tasks: Dean and Ghemawat 2004): a slow or hanging machine must not
 * hold up the end of a search. */
#include <stdlib.h>
#include <string.h>

#include "ledger_state.h"
#include "log.h"

void backup_count(struct task_entry *task, int64_t now_ms)
{
    struct experiment *x = task->experiment;
    int64_t ms = now_ms - task->began_ms;

    x->ran_ms[x->n_ran++ % RAN_MAX] = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void backup_give(struct ledger *self, struct task_entry *task, struct peer *worker)
{
    struct wire_message message = {.kind = WIRE_TASK};

    task->backup = worker;
    task->backup_lease = self->next_lease++;
    task->backup_claim = self->claims;
    task->backup_ms = self->now;
    TAILQ_INSERT_TAIL(&worker->backups, task, at_backup);
    crew_set_held(&self->crew, &worker->member, worker->member.held + 1);
    message.u.task = (struct wire_lease){.key = task->key, .lease = task->backup_lease};
    message.payload = task->payload; /* borrowed, as in give() */
    message.blob = task->blob;
    if (!peer_send(self, worker, &message))
        backup_drop(self, task, false);
    else
        log_info("trial %llu has been running on %s for %lld ms: a second copy goes to %s",
                 (unsigned long long)task->key.trial, task->worker->name,
                 (long long)(self->now - task->began_ms), worker->name);
}

void backup_drop(struct ledger *self, struct task_entry *task, bool revoke)
{
    struct peer *worker = task->backup;

    if (worker == NULL)
        return;
    if (revoke)
        peer_batch(
            self, worker, BATCH_REVOKE,
            &(struct wire_lease){.key = task->key, .lease = task->backup_lease, .running = true});
    TAILQ_REMOVE(&worker->backups, task, at_backup);
    crew_set_held(&self->crew, &worker->member, worker->member.held - 1);
    task->backup = NULL;
}

bool backup_promote(struct ledger *self, struct task_entry *task)
{
    struct peer *worker = task->backup;
    int64_t began_ms = task->backup_ms;

    if (worker == NULL)
        return false;
    backup_drop(self, task, false);
    task_lease(self, task, worker, task->backup_lease);
    task->began_ms = began_ms;
    return true;
}

static int by_size(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;

    return *x < *y ? -1 : *x > *y;
}

/* How long a task of this experiment may run before it is a straggler; INT64_MAX while too little is known. */
static int64_t find_patience(const struct ledger *self, const struct experiment *x)
{
    size_t n = x->n_ran < RAN_MAX ? x->n_ran : RAN_MAX;
    int64_t least = 2 * (int64_t)self->config.heartbeat_ms;
    uint32_t sorted[RAN_MAX], median;
    double ms;

    if (n < RAN_MIN)
        return INT64_MAX;
    memcpy(sorted, x->ran_ms, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_size);
    median = sorted[n / 2];
    ms = self->config.straggler * (double)median;
    return ms > (double)least ? (int64_t)ms : least;
}

/* Found again when another evaluation has ended. */
static int64_t patience_ms(const struct ledger *self, struct experiment *x)
{
    if (x->patience_of != x->n_ran || x->patience_ms == 0) {
        x->patience_ms = find_patience(self, x);
        x->patience_of = x->n_ran;
    }
    return x->patience_ms;
}

/* A task without a backup that has run for too long, and could be given out once more. */
static bool is_straggler(const struct ledger *self, const struct task_entry *task)
{
    struct experiment *x = task->experiment;

    return task->backup == NULL && task->has_payload && x->controller != NULL && x->n_queued == 0 &&
           self->now - task->began_ms > patience_ms(self, x);
}

void backup_stragglers(struct ledger *self)
{
    struct peer *peer;

    if (self->config.straggler <= 0 || self->crew.busy >= self->crew.slots)
        return;
    TAILQ_FOREACH(peer, &self->peers, at)
    {
        struct task_entry *task;

        if (peer->role != WIRE_WORKER)
            continue;
        TAILQ_FOREACH(task, &peer->leases, at)
        {
            struct crew_except except;
            struct peer *worker;
            bool free;

            if (!is_straggler(self, task))
                continue;
            list_never(self, task, &except);
            add_avoided(self, task, &except);
            except.members[except.n++] = &peer->member;
            worker = best_worker(self, task->experiment, &except, &free);
            if (worker != NULL && free)
                backup_give(self, task, worker);
        }
    }
}
