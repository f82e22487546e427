/* ledger_task.c - tasks: every change of a task's state is in here. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger_state.h"
#include "log.h"
#include "task.h"

/* ---- finding, making, erasing ----------------------------------------------------------------------- */

static bool key_equal(const struct table_link *link, const void *key)
{
    return wire_key_equal(&table_member(link, struct task_entry, by_key)->key, key);
}

struct task_entry *task_find(const struct ledger *self, const struct wire_key *key)
{
    struct table_link *link = table_find(&self->tasks_by_key, wire_key_hash(key), key_equal, key);

    return link == NULL ? NULL : table_member(link, struct task_entry, by_key);
}

/* A task of no state yet; NULL when there is no memory or there are too many. */
static struct task_entry *task_create(struct ledger *self, const struct wire_key *key)
{
    struct experiment *experiment = experiment_get(self, key->experiment, true);
    struct task_entry *task;

    if (experiment == NULL || self->tasks_by_key.n >= MAX_TASKS ||
        (task = calloc(1, sizeof *task)) == NULL)
        return NULL;
    if (table_add(&self->tasks_by_key, &task->by_key, wire_key_hash(key)) != FARM_OK) {
        free(task);
        return NULL;
    }
    task->key = *key;
    task->experiment = experiment;
    task->state = TASK_NEW;
    task->sent_ms = -1;
    TAILQ_INIT(&task->holds);
    zmq_msg_init(&task->payload);
    zmq_msg_init(&task->blob);
    experiment->n_tasks++;
    return task;
}

/* One more reference to a frame: nothing of it but its count changes. */
static bool share_frame(zmq_msg_t *out, const zmq_msg_t *frame)
{
    return zmq_msg_copy(out, (zmq_msg_t *)frame) == 0;
}

static void drop_frames(struct ledger *self, struct task_entry *task)
{
    zmq_msg_close(&task->payload);
    zmq_msg_close(&task->blob);
    zmq_msg_init(&task->payload);
    zmq_msg_init(&task->blob);
    task->has_payload = false;
    self->held_bytes -= task->held_bytes;
    task->held_bytes = task->task_bytes = 0;
}

/* ---- states: one way out, one way in each ------------------------------------------------------------- */

static void leave_queue(struct ledger *self, struct task_entry *task)
{
    struct experiment *x = task->experiment;

    if (task->state == TASK_SETTLING)
        TAILQ_REMOVE(&x->settling, task, at);
    else
        TAILQ_REMOVE(&x->queue, task, at);
    x->n_queued--;
    self->n_queued--;
    self->queued_bytes -= task->task_bytes;
    if (x->ringed && TAILQ_EMPTY(&x->queue)) {
        TAILQ_REMOVE(&self->ring, x, in_ring);
        x->ringed = false;
        self->n_ring--;
    }
}

/* Takes the task out of the state it is in, with all that counts it. */
static void task_leave(struct ledger *self, struct task_entry *task)
{
    struct experiment *x = task->experiment;

    switch (task->state) {
    case TASK_NEW: break;
    case TASK_QUEUED:
    case TASK_SETTLING: leave_queue(self, task); break;
    case TASK_LEASED:
        backup_drop(self, task, true);
        TAILQ_REMOVE(&task->worker->leases, task, at);
        crew_set_held(&self->crew, &task->worker->member, task->worker->member.held - 1);
        task->worker = NULL;
        task->running = false;
        x->n_leased--;
        break;
    case TASK_HELD:
        if (task->loose_bytes > 0)
            x->loose_ms = self->now;
        x->loose_bytes -= task->loose_bytes;
        task->loose_bytes = 0;
        if (task->sent) {
            TAILQ_REMOVE(&x->sent, task, at);
            if (x->n_sent > 0)
                x->n_sent--;
        } else {
            TAILQ_REMOVE(&x->unsent, task, at);
        }
        break;
    }
    task->state = TASK_NEW;
}

void task_queue(struct ledger *self, struct task_entry *task, bool front)
{
    struct experiment *x = task->experiment;

    task_leave(self, task);
    task->state = TASK_QUEUED;
    task->queued_ms = self->now;
    if (front)
        TAILQ_INSERT_HEAD(&x->queue, task, at);
    else
        TAILQ_INSERT_TAIL(&x->queue, task, at);
    x->n_queued++;
    self->n_queued++;
    self->queued_bytes += task->task_bytes;
    if (!x->ringed) {
        TAILQ_INSERT_TAIL(&self->ring, x, in_ring);
        x->ringed = true;
        self->n_ring++;
    }
}

static void task_settle(struct ledger *self, struct task_entry *task)
{
    task_leave(self, task);
    task->state = TASK_SETTLING;
    TAILQ_INSERT_TAIL(&task->experiment->settling, task, at);
    task->experiment->n_queued++;
    self->n_queued++;
    self->queued_bytes += task->task_bytes;
}

void task_lease(struct ledger *self, struct task_entry *task, struct peer *worker, uint64_t lease)
{
    if (task->state == TASK_QUEUED)
        histogram_add(&self->dispatch, (double)(self->now - task->queued_ms) * 1e-3);
    task_leave(self, task);
    task->state = TASK_LEASED;
    task->worker = worker;
    task->lease = lease;
    task->leased_ms = task->moved_ms = task->began_ms = self->now;
    task->progress = 0;
    task->claim = self->claims; /* a lease that is adopted has just been claimed */
    TAILQ_INSERT_TAIL(&worker->leases, task, at);
    crew_set_held(&self->crew, &worker->member, worker->member.held + 1);
    task->experiment->n_leased++;
    if (lease >= self->next_lease)
        self->next_lease = lease + 1;
    if (self->first_task_ms < 0)
        self->first_task_ms = self->now;
}

/* The result is here (sent: on its way to the controller), and waits for the acknowledgement. */
static void task_hold(struct ledger *self, struct task_entry *task, bool sent)
{
    struct experiment *x = task->experiment;

    task_leave(self, task);
    task->state = TASK_HELD;
    task->sent = sent;
    if (sent) {
        TAILQ_INSERT_TAIL(&x->sent, task, at);
        if (x->n_sent++ == 0)
            x->sent_ms = self->now;
    } else {
        TAILQ_INSERT_TAIL(&x->unsent, task, at);
    }
}

void hold_drop(struct hold *hold)
{
    struct task_entry *task = hold->task;
    struct peer *worker = hold->worker;

    assert(worker != NULL); /* an unused hold is in no list */
    TAILQ_REMOVE(&task->holds, hold, of_task);
    TAILQ_REMOVE(&worker->results, hold, of_worker);
    worker->n_results--;
    hold->worker = NULL;
    if (hold != &task->first_hold)
        free(hold);
}

static const struct hold *hold_find(const struct task_entry *task, const struct peer *worker)
{
    const struct hold *hold;

    TAILQ_FOREACH(hold, &task->holds, of_task)
    if (hold->worker == worker)
        break;
    return hold;
}

static void hold_add(struct task_entry *task, struct peer *worker)
{
    struct hold *hold = &task->first_hold;

    if (hold_find(task, worker) != NULL)
        return;
    if (hold->worker != NULL && (hold = calloc(1, sizeof *hold)) == NULL)
        return; /* the worker sends it again, and hears of the acknowledgement then */
    hold->task = task;
    hold->worker = worker;
    TAILQ_INSERT_TAIL(&task->holds, hold, of_task);
    TAILQ_INSERT_TAIL(&worker->results, hold, of_worker);
    worker->n_results++;
}

void task_erase(struct ledger *self, struct task_entry *task)
{
    struct hold *hold;

    task_leave(self, task);
    /* A hold takes itself out of the list, which the analyzer does not see. */
    while ((hold = TAILQ_FIRST(&task->holds)) != NULL)
        hold_drop(hold); // NOLINT(clang-analyzer-unix.Malloc)
    drop_frames(self, task);
    zmq_msg_close(&task->payload);
    zmq_msg_close(&task->blob);
    table_remove(&self->tasks_by_key, &task->by_key);
    task->experiment->n_tasks--;
    free(task->exclusion);
    free(task);
}

static void revoke(struct ledger *self, struct task_entry *task)
{
    struct wire_lease lease = {.key = task->key, .lease = task->lease, .running = true};

    peer_batch(self, task->worker, BATCH_REVOKE, &lease);
}

/* ---- results ------------------------------------------------------------------------------------------ */

/* The message has references of its own. A copy of the struct would not do for a frame that was never shared before:
 * zmq_msg_copy(), when the message is sent, would mark that copy as shared, and whoever closes the frame itself would
 * free it while the socket still reads it. */
static bool send_result(struct ledger *self, struct task_entry *task, const zmq_msg_t *payload,
                        const zmq_msg_t *blob)
{
    struct peer *controller = task->experiment->controller;
    struct wire_message message;
    bool sent = false;

    if (controller == NULL || !controller->connected)
        return false;
    wire_message_init(&message, WIRE_RESULT);
    message.u.result.lease = (struct wire_lease){.key = task->key, .lease = task->lease};
    memcpy(message.u.result.worker, task->result_of, sizeof task->result_of);
    if (share_frame(&message.payload, payload) && share_frame(&message.blob, blob))
        sent = peer_send(self, controller, &message);
    task->sent_ms = sent ? self->now : -1;
    wire_message_release(&message);
    return sent;
}

bool task_forward(struct ledger *self, struct task_entry *task)
{
    if (!send_result(self, task, &task->payload, &task->blob))
        return false;
    task_hold(self, task, true);
    return true;
}

void task_forget_loose(struct experiment *experiment)
{
    struct task_entry *task;

    TAILQ_FOREACH(task, &experiment->sent, at)
    task->loose_bytes = 0;
    experiment->loose_bytes = 0;
    experiment->loose_full = false;
}

void task_unsend_all(struct experiment *experiment)
{
    struct task_entry *task, *next;

    task_forget_loose(experiment);

    for (task = TAILQ_FIRST(&experiment->sent); task != NULL; task = next) {
        next = TAILQ_NEXT(task, at);
        task->sent_ms = -1;
        if (!task->has_payload)
            continue; /* only a worker has it; it will be sent again */
        TAILQ_REMOVE(&experiment->sent, task, at);
        task->sent = false;
        TAILQ_INSERT_TAIL(&experiment->unsent, task, at);
    }
    experiment->n_sent = 0;
}

/* Keeps references to the result's frames, as far as there is room. */
static void keep_frames(struct ledger *self, struct task_entry *task, const zmq_msg_t *payload,
                        const zmq_msg_t *blob)
{
    size_t size = zmq_msg_size(payload) + zmq_msg_size(blob);

    drop_frames(self, task);
    if (self->held_bytes + size > self->config.max_held_bytes)
        return;
    if (!share_frame(&task->payload, payload) || !share_frame(&task->blob, blob)) {
        drop_frames(self, task);
        return;
    }
    task->has_payload = true;
    task->held_bytes = size;
    self->held_bytes += size;
}

static void blame(struct task_entry *task, const struct peer *worker)
{
    memcpy(task->failed_on, worker->name, sizeof task->failed_on);
}

/* One alone goes however large it is, or it never would. */
static bool fits(uint64_t most, size_t have, size_t more)
{
    return more == 0 || have == 0 || have + more <= most;
}

/* The result of a task, from a worker or (quarantined) from here. Sent on at once while the controller keeps up. */
static void take_result(struct ledger *self, struct task_entry *task, const char *worker_name,
                        const zmq_msg_t *payload, const zmq_msg_t *blob)
{
    struct experiment *x = task->experiment;
    size_t loose;
    bool sent, has_room;

    (void)snprintf(task->result_of, sizeof task->result_of, "%s", worker_name);
    task_leave(self, task);
    keep_frames(self, task, payload, blob);
    loose = task->has_payload ? 0 : zmq_msg_size(payload) + zmq_msg_size(blob);
    has_room = fits(self->config.max_held_bytes, x->loose_bytes, loose);
    x->loose_full |= !has_room;
    sent = x->n_sent < MAX_UNACKED && has_room && send_result(self, task, payload, blob);
    task_hold(self, task, sent || !task->has_payload);
    if (sent && loose > 0) {
        if (x->loose_bytes == 0)
            x->loose_ms = self->now;
        task->loose_bytes = loose;
        x->loose_bytes += loose;
    }
}

void task_result(struct ledger *self, struct peer *worker, const struct wire_message *message)
{
    const struct wire_lease *lease = &message->u.result.lease;
    struct task_entry *task = task_find(self, &lease->key);

    if (task == NULL) {
        struct experiment *x = experiment_get(self, lease->key.experiment, false);

        /* Nobody here who would know: the worker keeps it, and sends it again. */
        if (x == NULL || x->controller == NULL || (task = task_create(self, &lease->key)) == NULL)
            return;
        self->duplicates++;
    } else if (lease->lease < task->min_lease) {
        /* The controller had this one, and asked for another try: that goes on, and this is over. */
        self->duplicates++;
        peer_batch(self, worker, BATCH_ACK,
                   &(struct wire_lease){.key = lease->key, .lease = lease->lease});
        return;
    } else if (task->state == TASK_HELD) {
        self->duplicates++;
        if (hold_find(task, worker) != NULL && task->sent_ms >= 0 &&
            self->now - task->sent_ms < (int64_t)self->config.heartbeat_ms)
            return; /* it is on its way; said twice, it need not go twice */
    } else {
        if (task->state == TASK_LEASED)
            backup_count(task, self->now);
        if (task->backup == worker)
            backup_drop(self, task, false);
        if (task->state == TASK_LEASED && (task->worker != worker || task->lease != lease->lease))
            revoke(self, task); /* this one was taken for lost, or is a backup, but is first */
        else if (task->state == TASK_LEASED)
            histogram_add(&self->lease_time, (double)(self->now - task->leased_ms) * 1e-3);
        self->done++;
        worker->done++;
    }
    task->lease = lease->lease;
    hold_add(task, worker);
    take_result(self, task, worker->name, &message->payload, &message->blob);
}

/* Too many workers went down with it: that is its result. */
static void quarantine(struct ledger *self, struct task_entry *task)
{
    struct result result = {.outcome = OUTCOME_LOST};
    zmq_msg_t payload, blob;
    uint8_t *bytes = NULL;
    size_t len = 0;

    (void)snprintf(result.reason, sizeof result.reason,
                   "%u workers were lost while they evaluated it: it is not tried again; look for "
                   "what kills them (memory, a crash of the machine) in their logs",
                   task->losses);
    if (result_pack(&result, &bytes, &len) != FARM_OK || zmq_msg_init_size(&payload, len) < 0) {
        free(bytes);
        task_queue(self, task, true); /* no memory for that now: once more, then */
        return;
    }
    memcpy(zmq_msg_data(&payload), bytes, len);
    free(bytes);
    zmq_msg_init(&blob);
    log_warn("trial %llu of experiment %016llx: %s", (unsigned long long)task->key.trial,
             (unsigned long long)task->key.experiment, result.reason);
    take_result(self, task, "broker", &payload, &blob);
    zmq_msg_close(&payload);
}

void task_lose(struct ledger *self, struct task_entry *task, bool counted)
{
    if (counted) {
        task->losses++;
        blame(task, task->worker);
    }
    if (backup_promote(self, task))
        return;
    if (!task->has_payload || task->experiment->controller == NULL) {
        task_erase(self, task); /* its controller publishes it when it comes */
        return;
    }
    if (task->losses >= self->config.max_losses) {
        self->given_up++;
        quarantine(self, task);
        return;
    }
    if (counted)
        self->requeued++;
    task_queue(self, task, true);
}

/* ---- what controllers say ------------------------------------------------------------------------------ */

static bool queue_full(const struct ledger *self, const struct peer *controller)
{
    uint64_t most = self->config.max_queue;

    if (self->n_queued >= LEDGER_QUEUE_MAX)
        return true;
    if (most == 0)
        most = controller->window < 32 ? 64 : 2 * (uint64_t)controller->window;
    /* Before the workers are back nobody has a window yet. */
    return self->settled && controller->experiment->n_queued >= most;
}

/* Blobs to resume from are held within the bounds of results, whether their task waits or runs; the tasks themselves have a
 * bound of their own while they wait. */
static bool has_room(const struct ledger *self, const struct wire_message *message)
{
    return fits(self->config.max_held_bytes, self->held_bytes, zmq_msg_size(&message->blob)) &&
           fits(self->config.max_queue_bytes, self->queued_bytes, zmq_msg_size(&message->payload));
}

static bool keep_task(struct ledger *self, struct task_entry *task,
                      const struct wire_message *message)
{
    if (!share_frame(&task->payload, &message->payload) ||
        !share_frame(&task->blob, &message->blob)) {
        drop_frames(self, task);
        return false;
    }
    task->has_payload = true;
    task->held_bytes = zmq_msg_size(&message->blob);
    task->task_bytes = zmq_msg_size(&message->payload);
    self->held_bytes += task->held_bytes;
    return true;
}

/* Nearly always there is none. */
static bool keep_exclusion(struct task_entry *task, const struct wire_publish *publish)
{
    free(task->exclusion);
    task->exclusion = NULL;
    task->failed_on[0] = '\0';
    if (publish->avoid.n == 0 && publish->never.n == 0)
        return true;
    if ((task->exclusion = malloc(sizeof *task->exclusion)) == NULL)
        return false;
    *task->exclusion = (struct exclusion){publish->avoid, publish->never};
    return true;
}

void task_publish(struct ledger *self, struct peer *controller, const struct wire_message *message)
{
    const struct wire_key *key = &message->u.publish.key;
    struct task_entry *task = task_find(self, key);

    if (task != NULL && task->state == TASK_HELD && task->has_payload) {
        (void)task_forward(self, task); /* it has not seen the result, it seems */
        return;
    }
    if (task != NULL && (task->state != TASK_HELD || !TAILQ_EMPTY(&task->holds))) {
        if (!task->has_payload && task->state == TASK_LEASED)
            (void)keep_task(self, task, message); /* adopted: now it could be queued again */
        return;
    }
    /* Not known; or known, but its result is nowhere any more. */
    if (queue_full(self, controller) || !has_room(self, message) ||
        (task == NULL && (task = task_create(self, key)) == NULL)) {
        peer_batch(self, controller, BATCH_BUSY, &(struct wire_lease){.key = *key});
        return;
    }
    task->min_lease = message->u.publish.again ? 0 : self->next_lease;
    if (!keep_exclusion(task, &message->u.publish) || !keep_task(self, task, message)) {
        task_erase(self, task);
        peer_batch(self, controller, BATCH_BUSY, &(struct wire_lease){.key = *key});
    } else if (message->u.publish.again && !self->settled) {
        task_settle(self, task);
    } else {
        task_queue(self, task, false);
    }
}

/* Whether the worker has not begun it, as far as can be known from here: it begins the oldest first, so the youngest
 * beyond its slots wait in its hand. */
static bool waits_in_hand(const struct task_entry *task)
{
    const struct crew_member *member = &task->worker->member;
    uint32_t waiting = member->held > member->slots ? member->held - member->slots : 0;
    const struct task_entry *other = TAILQ_LAST(&task->worker->leases, tasks);

    for (; waiting > 0; waiting--, other = TAILQ_PREV(other, tasks, at))
        if (other == task)
            return !task->running;
    return false;
}

void task_cancel(struct ledger *self, struct peer *controller, const struct wire_lease *lease)
{
    struct task_entry *task = task_find(self, &lease->key);

    if (task != NULL && task->state == TASK_HELD)
        return; /* too late: the result is on its way */
    if (task != NULL && task->state == TASK_LEASED) {
        if (!lease->running && !waits_in_hand(task))
            return;
        revoke(self, task);
    }
    if (task != NULL)
        task_erase(self, task);
    peer_batch(self, controller, BATCH_DROPPED, &(struct wire_lease){.key = lease->key});
}

void task_ack(struct ledger *self, const struct wire_lease *lease)
{
    struct task_entry *task = task_find(self, &lease->key);
    struct wire_lease ack = {.key = lease->key};
    struct hold *hold;

    if (task == NULL || (lease->lease != 0 && lease->lease < task->min_lease))
        return; /* not known, or published once more meanwhile */
    TAILQ_FOREACH(hold, &task->holds, of_task)
    peer_batch(self, hold->worker, BATCH_ACK, &ack);
    if (task->state ==
        TASK_LEASED) { /* durable by another worker's result: this one may have finished, or not */
        peer_batch(self, task->worker, BATCH_ACK, &ack);
        revoke(self, task);
    }
    task_erase(self, task);
}

void task_expect(struct ledger *self, struct peer *controller, const struct wire_key *key)
{
    struct task_entry *task = task_find(self, key);
    bool held = task != NULL && task->state == TASK_HELD;

    if (task == NULL || (held && !task->has_payload && TAILQ_EMPTY(&task->holds)))
        peer_batch(self, controller, BATCH_UNKNOWN, &(struct wire_lease){.key = *key});
    else if (held && task->sent && task->has_payload)
        (void)task_forward(self, task);
}

/* ---- what workers say that they have --------------------------------------------------------------------- */

static void renew(struct ledger *self, struct task_entry *task, const struct wire_lease *lease)
{
    task->claim = self->claims;
    if (lease->running && !task->running)
        task->began_ms = self->now;
    if (!lease->running || !task->running || lease->progress != task->progress)
        task->moved_ms = self->now;
    task->running = lease->running;
    task->progress = lease->progress;
    if (self->config.stall_ms > 0 && task->running &&
        self->now - task->moved_ms > self->config.stall_ms) {
        log_warn("trial %llu stands still on %s for %lld ms: taken back",
                 (unsigned long long)task->key.trial, task->worker->name,
                 (long long)(self->now - task->moved_ms));
        revoke(self, task);
        task_lose(self, task, true);
    }
}

static void adopt(struct ledger *self, struct task_entry *task, struct peer *worker,
                  const struct wire_lease *lease)
{
    task_lease(self, task, worker, lease->lease);
    task->running = lease->running;
    task->progress = lease->progress;
}

/* Whether this broker should take over a lease that it did not give. */
static bool adoptable(const struct ledger *self, const struct wire_lease *lease, bool hello)
{
    uint64_t elapsed_ms = (uint64_t)(self->now - self->start_ms);

    return (hello || !self->settled) &&
           lease->lease < self->config.first_lease + (elapsed_ms << 20) + LEASE_SKEW;
}

void task_claim(struct ledger *self, struct peer *worker, const struct wire_lease *lease,
                bool hello)
{
    struct task_entry *task = task_find(self, &lease->key);
    bool keep = false;

    if (task == NULL) {
        if (adoptable(self, lease, hello) && (task = task_create(self, &lease->key)) != NULL) {
            adopt(self, task, worker, lease);
            keep = true;
        }
    } else if (lease->lease < task->min_lease) {
        struct wire_lease settled = {.key = lease->key, .lease = lease->lease};

        peer_batch(self, worker, BATCH_ACK, &settled); /* another try has been asked for since */
    } else if (task->state == TASK_HELD) {
        keep = hold_find(task, worker) != NULL;
    } else if (task->state == TASK_LEASED) {
        keep = true;
        if (task->worker == worker && task->lease == lease->lease) {
            renew(self, task, lease);
        } else if (task->backup == worker && task->backup_lease == lease->lease) {
            task->backup_claim = self->claims;
        } else if (lease->lease > task->lease && adoptable(self, lease, hello)) {
            if (task->worker != worker)
                revoke(self, task); /* an older one, adopted before */
            adopt(self, task, worker, lease);
        } else {
            keep = false;
        }
    } else if (adoptable(self, lease, hello)) { /* waits, and nobody else has it */
        if (task->losses > 0 && task->lease == lease->lease)
            task->losses--; /* it was not lost after all */
        adopt(self, task, worker, lease);
        keep = true;
    }
    if (!keep)
        peer_batch(self, worker, BATCH_REVOKE, lease);
}
