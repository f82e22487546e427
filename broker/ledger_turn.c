/* ledger_turn.c - what is due: expiry, results on, acknowledgements, tasks out, windows. */
#include <stdlib.h>
#include <string.h>

#include "fair.h"
#include "ledger_state.h"
#include "log.h"

#define LOOK_PAST 16 /* tasks that wait for another worker than the one with room */

/* ---- time passes ------------------------------------------------------------------------------------------- */

/* Workers have had their time to say what they still run: the rest of what was published again is queued, in front. */
static void settle(struct ledger *self)
{
    struct experiment *x;
    struct task_entry *task;

    if (self->settled || self->now < self->settle_at)
        return;
    self->settled = true;
    TAILQ_FOREACH(x, &self->experiments, at)
    while ((task = TAILQ_LAST(&x->settling, tasks)) != NULL) /* last first: order stays */
        task_queue(self, task, true);
}

static void expire_peers(struct ledger *self)
{
    struct peer *peer, *next;

    for (peer = TAILQ_FIRST(&self->peers); peer != NULL; peer = next) {
        int64_t silent_ms = self->now - peer->heard_ms;
        int64_t patience_ms = self->config.lease_ms;

        next = TAILQ_NEXT(peer, at);
        if (peer->role != WIRE_WORKER)
            patience_ms *= 3;
        if (silent_ms > patience_ms)
            peer_forget(self, peer, "it has been silent for too long");
    }
}

/* A controller that is silent for two heartbeats takes no share from the others. */
static void mark_sharing(struct ledger *self)
{
    struct peer *peer;

    TAILQ_FOREACH(peer, &self->controllers, in_controllers)
    {
        bool sharing =
            peer->connected && self->now - peer->heard_ms <= 2 * (int64_t)self->config.heartbeat_ms;

        self->windows_dirty |= sharing != peer->sharing;
        peer->sharing = sharing;
    }
}

static void expire_experiments(struct ledger *self)
{
    struct experiment *x, *next;
    struct task_entry *task;

    for (x = TAILQ_FIRST(&self->experiments); x != NULL; x = next) {
        next = TAILQ_NEXT(x, at);
        if (x->controller != NULL)
            continue;
        while (self->now - x->left_ms > ORPHAN_MS &&
               ((task = TAILQ_FIRST(&x->unsent)) != NULL || (task = TAILQ_FIRST(&x->sent)) != NULL))
            task_erase(self, task);
        if (x->n_tasks == 0)
            experiment_erase(self, x);
    }
}

static void scan(struct ledger *self)
{
    if (self->now < self->scan_at)
        return;
    self->scan_at = self->now + (self->config.heartbeat_ms + 1) / 2;
    expire_peers(self);
    mark_sharing(self);
    expire_experiments(self);
    backup_stragglers(self);
}

/* ---- results on, lists out ----------------------------------------------------------------------------------- */

/* Results that wait for their controller, as many as it can take at once: acknowledgements make room. */
static void forward_results(struct ledger *self)
{
    struct peer *controller;

    TAILQ_FOREACH(controller, &self->controllers, in_controllers)
    {
        struct experiment *x = controller->experiment;

        if (!controller->connected || x == NULL)
            continue;
        /* Some are never acknowledged, and one that found no room here was not even sent: its worker sends it again. That must
         * not stop the others. */
        if (x->n_sent >= MAX_UNACKED && self->now - x->sent_ms > self->config.heartbeat_ms)
            x->n_sent = 0;
        if (x->loose_full && self->now - x->loose_ms > self->config.heartbeat_ms)
            task_forget_loose(x);
        while (x->n_sent < MAX_UNACKED && !TAILQ_EMPTY(&x->unsent) &&
               task_forward(self, TAILQ_FIRST(&x->unsent)))
            ;
    }
}

static void flush_batches(struct ledger *self)
{
    struct peer *peer;

    while ((peer = TAILQ_FIRST(&self->dirty)) != NULL) {
        TAILQ_REMOVE(&self->dirty, peer, in_dirty);
        peer->dirty = false;
        peer_flush(self, peer);
    }
}

/* ---- tasks out -------------------------------------------------------------------------------------------------- */

/* The kinds of workers that have the experiment's data, found again when kinds came or went. */
static void find_fit(struct ledger *self, struct experiment *x)
{
    struct crew_kind *kind;

    if (x->fit_generation == self->crew.generation)
        return;
    x->n_fit = 0;
    if (x->cap_fit < self->crew.n_kinds) {
        size_t cap = self->crew.n_kinds * 2;
        struct crew_kind **fit = realloc(x->fit, cap * sizeof(struct crew_kind *));

        if (fit == NULL)
            return; /* none for now */
        x->fit = fit;
        x->cap_fit = cap;
    }
    TAILQ_FOREACH(kind, &self->crew.kinds, at)
    if (crew_kind_has(kind, x->data_name))
        x->fit[x->n_fit++] = kind;
    x->fit_generation = self->crew.generation;
}

static void except_named(const struct ledger *self, const char *name, struct crew_except *out)
{
    const struct peer *peer = name[0] != '\0' ? worker_named(self, name) : NULL;

    for (size_t i = 0; peer != NULL && i < out->n; i++)
        if (out->members[i] == &peer->member)
            return;
    if (peer != NULL && out->n < CREW_EXCEPT_MAX)
        out->members[out->n++] = &peer->member;
}

void list_never(const struct ledger *self, const struct task_entry *task, struct crew_except *out)
{
    out->n = 0;
    for (size_t i = 0; task->exclusion != NULL && i < task->exclusion->never.n; i++)
        except_named(self, task->exclusion->never.name[i], out);
}

void add_avoided(const struct ledger *self, const struct task_entry *task, struct crew_except *out)
{
    except_named(self, task->failed_on, out);
    for (size_t i = 0; task->exclusion != NULL && i < task->exclusion->avoid.n; i++)
        except_named(self, task->exclusion->avoid.name[i], out);
}

struct peer *best_worker(struct ledger *self, struct experiment *x,
                         const struct crew_except *except, bool *free)
{
    struct crew_member *best = NULL;
    uint32_t best_rank = 0;

    find_fit(self, x);
    for (size_t i = 0; i < x->n_fit; i++) {
        uint32_t rank;
        struct crew_member *member = crew_best(x->fit[i], except, &rank);

        if (rank > best_rank) {
            best = member;
            best_rank = rank;
        }
    }
    *free = best_rank > CREW_AHEAD_RANKS;
    return best == NULL ? NULL : table_member(best, struct peer, member);
}

/* Whether there is a worker with the experiment's data beside these, with room or without. */
static bool has_others(const struct experiment *x, const struct crew_except *except)
{
    uint64_t n = 0, excepted = 0;

    for (size_t i = 0; i < x->n_fit; i++)
        n += x->fit[i]->n_members;
    for (size_t i = 0; i < except->n; i++)
        excepted += except->members[i]->kind != NULL &&
                    crew_kind_has(except->members[i]->kind, x->data_name);
    return n > excepted;
}

/* One that others could have waits for them; *waits: it is because of who it is that it finds nobody. */
static struct peer *worker_for(struct ledger *self, struct experiment *x,
                               const struct task_entry *task, bool *waits)
{
    struct crew_except except;
    struct peer *worker;
    size_t n_never;
    bool free;

    list_never(self, task, &except);
    n_never = except.n;
    add_avoided(self, task, &except);
    worker = best_worker(self, x, &except, &free);
    *waits = except.n > 0;
    if (worker != NULL || except.n == n_never || has_others(x, &except))
        return worker;
    except.n = n_never;
    return best_worker(self, x, &except, &free);
}

static void give(struct ledger *self, struct task_entry *task, struct peer *worker)
{
    struct wire_message message = {.kind = WIRE_TASK};

    task_lease(self, task, worker, self->next_lease);
    message.u.task = (struct wire_lease){.key = task->key, .lease = task->lease};
    message.payload = task->payload; /* borrowed: both are shared since task_publish() kept them */
    message.blob = task->blob;
    if (!peer_send(self, worker, &message))
        task_queue(self, task, true); /* it never left */
}

/* Gives out the first task of the queue for which there is room. One that has failed on a worker, or must not go to one,
 * waits for another, and lets a few pass meanwhile. False: no room. */
static bool give_first(struct ledger *self, struct experiment *x)
{
    unsigned looked = 0;
    struct task_entry *task;
    bool waits;

    TAILQ_FOREACH(task, &x->queue, at)
    {
        struct peer *worker = worker_for(self, x, task, &waits);

        if (worker != NULL) {
            give(self, task, worker);
            return true;
        }
        if (!waits || ++looked == LOOK_PAST)
            break;
    }
    return false;
}

/* Experiments with a queue take turns, one task each, until nobody has room for any of them. */
static void dispatch(struct ledger *self)
{
    size_t without_worker = 0; /* experiments in a row */

    while (without_worker < self->n_ring) {
        struct experiment *x = TAILQ_FIRST(&self->ring);

        TAILQ_REMOVE(&self->ring, x, in_ring);
        TAILQ_INSERT_TAIL(&self->ring, x, in_ring);
        without_worker = give_first(self, x) ? 0 : without_worker + 1;
    }
}

/* ---- windows ------------------------------------------------------------------------------------------------------ */

struct pool { /* the capacity of one kind of worker, and who can use it */
    struct crew_kind *kind;
    size_t n_users;
};

static int fewest_users_first(const void *a, const void *b)
{
    const struct pool *x = a, *y = b;

    return x->n_users < y->n_users ? -1 : x->n_users > y->n_users;
}

/* The controllers that take part, with their shares; returns how many. */
static size_t list_sharers(struct ledger *self, struct peer **peers, struct fair_share *shares)
{
    struct peer *peer;
    size_t n = 0;

    TAILQ_FOREACH(peer, &self->controllers, in_controllers)
    if (peer->sharing && peer->experiment != NULL) {
        peers[n] = peer;
        shares[n++] = (struct fair_share){peer->demand, 0};
    }
    return n;
}

static void pour(const struct pool *pool, struct peer *const *peers, struct fair_share *shares,
                 struct fair_share **users, size_t n)
{
    size_t n_users = 0;

    for (size_t i = 0; i < n; i++)
        if (crew_kind_has(pool->kind, peers[i]->experiment->data_name))
            users[n_users++] = &shares[i];
    if (n_users == 1)
        users[0]->got += pool->kind->capacity; /* alone: everything, whatever it asked for */
    else
        (void)fair_pour(users, n_users, pool->kind->capacity);
}

/* Every kind of worker is poured over the controllers whose data it has, the most sought-after kinds last. */
static void compute_windows(struct ledger *self)
{
    size_t n_controllers = self->n_controllers, n_kinds = self->crew.n_kinds, n, k = 0;
    struct peer **peers = calloc(n_controllers + 1, sizeof(struct peer *));
    struct fair_share *shares = calloc(n_controllers + 1, sizeof *shares);
    struct fair_share **users = calloc(n_controllers + 1, sizeof(struct fair_share *));
    struct pool *pools = calloc(n_kinds + 1, sizeof *pools);
    struct crew_kind *kind;

    if (peers == NULL || shares == NULL || users == NULL || pools == NULL)
        goto out; /* the old windows stay */
    n = list_sharers(self, peers, shares);
    TAILQ_FOREACH(kind, &self->crew.kinds, at)
    {
        pools[k].kind = kind;
        for (size_t i = 0; i < n; i++)
            pools[k].n_users += crew_kind_has(kind, peers[i]->experiment->data_name);
        k++;
    }
    qsort(pools, k, sizeof *pools, fewest_users_first);
    for (size_t i = 0; i < k; i++)
        pour(&pools[i], peers, shares, users, n);
    for (size_t i = 0; i < n; i++) {
        uint32_t window = shares[i].got < UINT32_MAX ? (uint32_t)shares[i].got : UINT32_MAX;

        peers[i]->window_due |= window != peers[i]->window;
        peers[i]->window = window;
    }
    self->windows_dirty = false;
out:
    free(peers);
    free(shares);
    free(users);
    free(pools);
}

static void tell_windows(struct ledger *self)
{
    struct wire_message message = {.kind = WIRE_KIND_END};
    struct wire_window *w = &message.u.window;
    struct peer *peer;

    if (self->windows_dirty)
        compute_windows(self);
    TAILQ_FOREACH(peer, &self->controllers, in_controllers)
    {
        if (!peer->window_due || !peer->connected)
            continue;
        if (message.kind == WIRE_KIND_END) { /* the same for all of them, but for the window */
            message.kind = WIRE_WINDOW;
            w->workers = (uint32_t)self->crew.workers;
            w->slots = (uint32_t)self->crew.slots;
            w->busy = (uint32_t)self->crew.busy;
            w->queued = (uint32_t)self->n_queued;
            w->n_data = crew_data(&self->crew, w->data);
        }
        w->window = peer->window;
        peer->window_due = false;
        (void)peer_send(self, peer, &message);
    }
}

int64_t ledger_turn(struct ledger *self, int64_t now_ms)
{
    ledger_tell_time(self, now_ms);
    settle(self);          /* once, after the start */
    scan(self);            /* silent peers: their tasks are queued again */
    forward_results(self); /* to controllers that have come back */
    flush_batches(self);   /* acknowledgements, revocations; before a task may go out again */
    dispatch(self);
    tell_windows(self);
    return self->settled || self->scan_at < self->settle_at ? self->scan_at : self->settle_at;
}
