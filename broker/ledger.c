/* ledger.c - peers: who is here, and what they say. See ledger_state.h for the other two files. */
#include "ledger_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum.h"
#include "log.h"
#include "rng.h"

void ledger_config_init(struct ledger_config *self)
{
    *self = (struct ledger_config){.heartbeat_ms = 1000,
                                   .lease_ms = 10000,
                                   .settle_ms = 2500,
                                   .max_losses = 5,
                                   .straggler = 4,
                                   .max_held_bytes = UINT64_C(256) << 20,
                                   .max_queue_bytes = UINT64_C(256) << 20};
}

/* ---- finding peers and experiments -------------------------------------------------------------------- */

static uint64_t hash_bytes(const void *bytes, size_t len)
{
    struct digest digest;
    uint64_t hash;

    digest_of(&digest, bytes, len);
    memcpy(&hash, digest.bytes, sizeof hash);
    return hash;
}

static uint64_t hash_route(const zmq_msg_t *route)
{
    return hash_bytes(zmq_msg_data((zmq_msg_t *)route), zmq_msg_size(route));
}

static bool route_equal(const struct table_link *link, const void *key)
{
    zmq_msg_t *a = &table_member(link, struct peer, by_route)->route;
    const zmq_msg_t *b = key;

    return zmq_msg_size(a) == zmq_msg_size(b) &&
           memcmp(zmq_msg_data(a), zmq_msg_data((zmq_msg_t *)b), zmq_msg_size(b)) == 0;
}

static struct peer *peer_of_route(const struct ledger *self, const zmq_msg_t *route, uint64_t hash)
{
    struct table_link *link = table_find(&self->peers_by_route, hash, route_equal, route);

    return link == NULL ? NULL : table_member(link, struct peer, by_route);
}

static bool name_equal(const struct table_link *link, const void *key)
{
    return strcmp(table_member(link, struct peer, by_name)->name, key) == 0;
}

struct peer *worker_named(const struct ledger *self, const char *name)
{
    struct table_link *link =
        table_find(&self->workers_by_name, hash_bytes(name, strlen(name)), name_equal, name);

    return link == NULL ? NULL : table_member(link, struct peer, by_name);
}

static bool id_equal(const struct table_link *link, const void *key)
{
    return table_member(link, struct experiment, by_id)->id == *(const uint64_t *)key;
}

struct experiment *experiment_get(struct ledger *self, uint64_t id, bool create)
{
    uint64_t hash = rng_mix(id, 1);
    struct table_link *link = table_find(&self->experiments_by_id, hash, id_equal, &id);
    struct experiment *x;

    if (link != NULL)
        return table_member(link, struct experiment, by_id);
    if (!create || (x = calloc(1, sizeof *x)) == NULL)
        return NULL;
    if (table_add(&self->experiments_by_id, &x->by_id, hash) != FARM_OK) {
        free(x);
        return NULL;
    }
    x->id = id;
    x->left_ms = self->now;
    x->fit_generation = UINT64_MAX;
    TAILQ_INIT(&x->queue);
    TAILQ_INIT(&x->settling);
    TAILQ_INIT(&x->unsent);
    TAILQ_INIT(&x->sent);
    TAILQ_INSERT_TAIL(&self->experiments, x, at);
    return x;
}

void experiment_erase(struct ledger *self, struct experiment *x)
{
    table_remove(&self->experiments_by_id, &x->by_id);
    TAILQ_REMOVE(&self->experiments, x, at);
    free(x->fit);
    free(x);
}

/* ---- sending -------------------------------------------------------------------------------------------- */

/* Not to be reached any more, but its leases hold until it has been silent for too long. */
static void peer_disconnect(struct ledger *self, struct peer *peer)
{
    if (!peer->connected)
        return;
    peer->connected = false;
    table_remove(&self->peers_by_route, &peer->by_route);
    if (peer->dirty)
        TAILQ_REMOVE(&self->dirty, peer, in_dirty);
    peer->dirty = false;
    for (size_t i = 0; i < BATCH_KINDS; i++)
        peer->batches[i].n = 0; /* it says HELLO, and then what it has, when it is back */
    crew_set_available(&self->crew, &peer->member, false);
    self->windows_dirty = true;
}

bool peer_send(struct ledger *self, struct peer *peer, const struct wire_message *message)
{
    int rc;

    if (!peer->connected)
        return false;
    if ((rc = self->send(self->ctx, &peer->route, message)) == FARM_OK)
        return true;
    self->failed_sends++;
    log_info("%s cannot be reached (%s of %s): waiting for its HELLO", peer->name,
             farm_strerror(rc), wire_kind_name(message->kind));
    peer_disconnect(self, peer);
    return false;
}

static void send_batch(struct ledger *self, struct peer *peer, enum batch_kind kind)
{
    static const struct {
        enum wire_kind kind;
        const char *sentence;
    } what[BATCH_KINDS] = {
        [BATCH_ACK] = {WIRE_ACK, ""},
        [BATCH_REVOKE] = {WIRE_REVOKE, "this lease is not valid (any more)"},
        [BATCH_BUSY] = {WIRE_BUSY, "the queue is full: publish again when the window allows"},
        [BATCH_DROPPED] = {WIRE_BUSY, "cancelled"},
        [BATCH_UNKNOWN] = {WIRE_BUSY, "not here: publish again"},
    };
    struct batch *batch = &peer->batches[kind];
    struct wire_message message = {.kind = what[kind].kind};

    message.u.leases.leases = batch->leases;
    message.u.leases.n = batch->n;
    (void)snprintf(message.u.leases.sentence, sizeof message.u.leases.sentence, "%s",
                   what[kind].sentence);
    batch->n = 0;
    (void)peer_send(self, peer, &message);
}

void peer_flush(struct ledger *self, struct peer *peer)
{
    for (int i = 0; i < BATCH_KINDS && peer->connected; i++)
        if (peer->batches[i].n > 0)
            send_batch(self, peer, (enum batch_kind)i);
}

void peer_batch(struct ledger *self, struct peer *peer, enum batch_kind kind,
                const struct wire_lease *lease)
{
    struct batch *batch = &peer->batches[kind];

    if (!peer->connected)
        return;
    if (batch->n == batch->cap) {
        size_t cap = batch->cap > 0 ? batch->cap * 2 : 16;
        struct wire_lease *leases = realloc(batch->leases, cap * sizeof *leases);

        if (leases == NULL)
            return; /* said again: every one of these messages may be lost */
        batch->leases = leases;
        batch->cap = cap;
    }
    batch->leases[batch->n++] = *lease;
    if (batch->n == MAX_BATCH) {
        send_batch(self, peer, kind);
    } else if (!peer->dirty) {
        peer->dirty = true;
        TAILQ_INSERT_TAIL(&self->dirty, peer, in_dirty);
    }
}

/* Whether this routing id may be answered with a REFUSE now: one per half heartbeat. */
static bool may_refuse(struct ledger *self, uint64_t hash)
{
    struct refusal_slot *slot = &self->refusals[hash % REFUSAL_SLOTS];

    if (slot->hash == hash && self->now < slot->until_ms)
        return false;
    slot->hash = hash;
    slot->until_ms = self->now + self->config.heartbeat_ms / 2;
    return true;
}

static void refuse(struct ledger *self, const zmq_msg_t *from, enum wire_refusal code,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
static void refuse(struct ledger *self, const zmq_msg_t *from, enum wire_refusal code,
                   const char *format, ...)
{
    struct wire_message message = {.kind = WIRE_REFUSE};
    va_list args;

    message.u.refuse.code = code;
    va_start(args, format);
    (void)vsnprintf(message.u.refuse.sentence, sizeof message.u.refuse.sentence, format, args);
    va_end(args);
    if (self->send(self->ctx, from, &message) != FARM_OK)
        self->failed_sends++; /* whoever it is has gone already */
}

/* ---- coming and going -------------------------------------------------------------------------------------- */

static struct peer *peer_create(struct ledger *self, const struct wire_hello *hello)
{
    struct peer *peer = self->n_peers < MAX_PEERS ? calloc(1, sizeof *peer) : NULL;

    if (peer == NULL)
        return NULL;
    if (hello->role == WIRE_WORKER &&
        table_add(&self->workers_by_name, &peer->by_name,
                  hash_bytes(hello->name, strlen(hello->name))) != FARM_OK) {
        free(peer);
        return NULL;
    }
    peer->role = hello->role;
    memcpy(peer->name, hello->name, sizeof peer->name);
    (void)snprintf(peer->key, sizeof peer->key, "%s", self->key);
    peer->incarnation = hello->incarnation;
    peer->heard_ms = self->now;
    TAILQ_INIT(&peer->leases);
    TAILQ_INIT(&peer->backups);
    TAILQ_INIT(&peer->results);
    zmq_msg_init(&peer->route);
    TAILQ_INSERT_TAIL(&self->peers, peer, at);
    self->n_peers++;
    if (peer->role == WIRE_CONTROLLER) {
        TAILQ_INSERT_TAIL(&self->controllers, peer, in_controllers);
        self->n_controllers++;
    }
    return peer;
}

/* A name belongs to the key it was first said with, as long as its peer lives. */
static bool of_other_key(const struct ledger *self, const struct peer *peer)
{
    return strcmp(peer->key, self->key) != 0;
}

/* The peer speaks from this routing id from now on. */
static bool peer_connect(struct ledger *self, struct peer *peer, const zmq_msg_t *from)
{
    uint64_t hash = hash_route(from);

    peer_disconnect(self, peer);
    if (zmq_msg_copy(&peer->route, (zmq_msg_t *)from) < 0 ||
        table_add(&self->peers_by_route, &peer->by_route, hash) != FARM_OK)
        return false;
    peer->connected = true;
    peer->heard_ms = self->now;
    return true;
}

static void peer_free(struct ledger *self, struct peer *peer)
{
    peer_disconnect(self, peer);
    for (size_t i = 0; i < BATCH_KINDS; i++)
        free(peer->batches[i].leases);
    zmq_msg_close(&peer->route);
    TAILQ_REMOVE(&self->peers, peer, at);
    self->n_peers--;
    free(peer);
}

static void forget_worker(struct ledger *self, struct peer *worker)
{
    struct task_entry *task;
    struct hold *hold;

    crew_set_available(&self->crew, &worker->member, false);
    while ((task = TAILQ_LAST(&worker->leases, tasks)) != NULL) /* each to the front: order stays */
        task_lose(self, task, true);
    while ((task = TAILQ_FIRST(&worker->backups)) != NULL)
        backup_drop(self, task, false);
    while ((hold = TAILQ_FIRST(&worker->results)) != NULL)
        hold_drop(hold);
    crew_leave(&self->crew, &worker->member);
    table_remove(&self->workers_by_name, &worker->by_name);
}

static void forget_controller(struct ledger *self, struct peer *controller, bool drop_queue)
{
    struct experiment *x = controller->experiment;
    struct task_entry *task;

    if (x != NULL) {
        while (drop_queue && ((task = TAILQ_FIRST(&x->queue)) != NULL ||
                              (task = TAILQ_FIRST(&x->settling)) != NULL))
            task_erase(self, task);
        x->controller = NULL;
        x->left_ms = self->now;
    }
    TAILQ_REMOVE(&self->controllers, controller, in_controllers);
    self->n_controllers--;
}

void peer_forget(struct ledger *self, struct peer *peer, const char *reason)
{
    log_info("%s left: %s", peer->name, reason);
    if (peer->role == WIRE_WORKER)
        forget_worker(self, peer);
    else if (peer->role == WIRE_CONTROLLER)
        forget_controller(self, peer, true);
    self->windows_dirty = true;
    peer_free(self, peer);
}

/* ---- HELLO -------------------------------------------------------------------------------------------------- */

static void welcome(struct ledger *self, struct peer *peer)
{
    struct wire_message message = {.kind = WIRE_WELCOME};

    message.u.welcome.broker = self->config.nonce;
    message.u.welcome.heartbeat_ms = self->config.heartbeat_ms;
    message.u.welcome.lease_ms = self->config.lease_ms;
    (void)snprintf(message.u.welcome.version, sizeof message.u.welcome.version, "%s",
                   NASFARM_VERSION);
    (void)peer_send(self, peer, &message);
}

/* Another process with the same identity: is the first one alive? A heartbeat that finds no connection says at once that
 * it is not, when the process was killed; a machine that is gone is only silent. To another key a name is given only when
 * its peer would be missed anyway. */
static bool still_there(struct ledger *self, struct peer *peer)
{
    struct wire_message probe = {.kind = WIRE_HEARTBEAT};

    if (of_other_key(self, peer))
        return self->now - peer->heard_ms <= (int64_t)self->config.lease_ms;
    return self->now - peer->heard_ms <= 2 * (int64_t)self->config.heartbeat_ms &&
           peer_send(self, peer, &probe);
}

/* One that is full says so. One without memory says nothing: the peer greets it again, and there may be some then. */
static void out_of_room(struct ledger *self, const zmq_msg_t *from)
{
    if (self->n_peers < MAX_PEERS)
        log_warn("no memory for one more peer beside %zu: it is to greet again", self->n_peers);
    else
        refuse(self, from, REFUSE_LIMIT, "this broker has %zu peers already: use another broker",
               self->n_peers);
}

/* What a worker was given and does not list: it never got it, or has dropped it. A lease younger than given_ms may
 * still be on its way. */
static void lose_unclaimed(struct ledger *self, struct peer *worker, int64_t given_ms, bool counted)
{
    struct task_entry *task = TAILQ_LAST(&worker->leases, tasks), *before;

    for (; task != NULL; task = before) {
        before = TAILQ_PREV(task, tasks, at);
        if (task->claim != self->claims && self->now - task->leased_ms >= given_ms)
            task_lose(self, task, counted);
    }
    for (task = TAILQ_LAST(&worker->backups, tasks); task != NULL; task = before) {
        before = TAILQ_PREV(task, tasks, at_backup);
        if (task->backup_claim != self->claims && self->now - task->backup_ms >= given_ms)
            backup_drop(self, task, false);
    }
}

static void claim_all(struct ledger *self, struct peer *worker, const struct wire_lease *leases,
                      size_t n, bool hello)
{
    self->claims++;
    for (size_t i = 0; i < n; i++)
        task_claim(self, worker, &leases[i], hello);
}

static void hello_worker(struct ledger *self, const zmq_msg_t *from, bool same_route,
                         const struct wire_hello *hello)
{
    struct peer *worker = worker_named(self, hello->name);
    int64_t on_the_way_ms = same_route ? 2 * (int64_t)self->config.heartbeat_ms : 0;

    if (worker != NULL &&
        (of_other_key(self, worker) || worker->incarnation != hello->incarnation)) {
        if (still_there(self, worker)) {
            refuse(self, from, REFUSE_NAME_TAKEN,
                   "a worker named '%s' is here and alive: give this one another name, or wait %u "
                   "ms if the other has just died",
                   hello->name, 2 * self->config.heartbeat_ms);
            return;
        }
        peer_forget(self, worker, "a new process has its name");
        worker = NULL;
    }
    if (worker == NULL && (worker = peer_create(self, hello)) == NULL) {
        out_of_room(self, from);
        return;
    }
    crew_leave(&self->crew, &worker->member);
    worker->member.slots = hello->slots;
    worker->member.ahead = hello->ahead;
    worker->member.available = !worker->draining;
    if (!peer_connect(self, worker, from) ||
        crew_join(&self->crew, &worker->member, hello->data, hello->n_data) != FARM_OK) {
        out_of_room(self, from);
        peer_forget(self, worker, "out of memory");
        return;
    }
    log_info("worker %s: %u slots, %zu data sets, has %zu tasks in hand", worker->name,
             hello->slots, hello->n_data, hello->n_leases);
    self->windows_dirty = true;
    welcome(self, worker);
    claim_all(self, worker, hello->leases, hello->n_leases, true);
    lose_unclaimed(self, worker, on_the_way_ms, false);
}

static void hello_controller(struct ledger *self, const zmq_msg_t *from,
                             const struct wire_hello *hello)
{
    struct experiment *x = experiment_get(self, hello->experiment, true);
    struct peer *controller = x == NULL ? NULL : x->controller;

    if (controller != NULL &&
        (of_other_key(self, controller) || controller->incarnation != hello->incarnation)) {
        if (still_there(self, controller)) {
            refuse(self, from, REFUSE_NAME_TAKEN,
                   "experiment %016llx is run by '%s', which is alive: stop that one first, or "
                   "wait %u ms if it has just died",
                   (unsigned long long)x->id, controller->name, 2 * self->config.heartbeat_ms);
            return;
        }
        log_info("%s takes over experiment %016llx from %s", hello->name, (unsigned long long)x->id,
                 controller->name);
        forget_controller(self, controller, false);
        peer_free(self, controller);
        controller = NULL;
    }
    if (x == NULL || (controller == NULL && (controller = peer_create(self, hello)) == NULL) ||
        !peer_connect(self, controller, from)) {
        out_of_room(self, from);
        return;
    }
    controller->experiment = x;
    controller->demand = hello->demand;
    controller->sharing = true;
    controller->window_due = true;
    x->controller = controller;
    memcpy(x->data_name, hello->data_name, sizeof x->data_name);
    x->fit_generation = UINT64_MAX;
    log_info("controller %s: experiment %016llx", controller->name, (unsigned long long)x->id);
    self->windows_dirty = true;
    task_unsend_all(x); /* what was on its way over the old connection may be lost */
    welcome(self, controller);
}

static void hello_observer(struct ledger *self, const zmq_msg_t *from, struct peer *observer,
                           const struct wire_hello *hello)
{
    if (observer == NULL && (observer = peer_create(self, hello)) == NULL) {
        out_of_room(self, from);
        return;
    }
    if (!peer_connect(self, observer, from)) {
        out_of_room(self, from);
        peer_forget(self, observer, "out of memory");
        return;
    }
    welcome(self, observer);
}

static void on_hello(struct ledger *self, const zmq_msg_t *from, struct peer *known,
                     const struct wire_hello *hello)
{
    if (known != NULL &&
        (of_other_key(self, known) || known->role != hello->role ||
         known->incarnation != hello->incarnation || strcmp(known->name, hello->name) != 0)) {
        peer_disconnect(self,
                        known); /* one socket, another peer: the old one is silent from now on */
        known = NULL;
    }
    switch (hello->role) {
    case WIRE_WORKER: hello_worker(self, from, known != NULL, hello); break;
    case WIRE_CONTROLLER: hello_controller(self, from, hello); break;
    case WIRE_OBSERVER: hello_observer(self, from, known, hello); break;
    }
}

/* ---- what known peers say -------------------------------------------------------------------------------------- */

static void on_heartbeat(struct ledger *self, struct peer *peer, const struct wire_leases *beat)
{
    struct wire_message echo = {.kind = WIRE_HEARTBEAT};

    if (peer->role == WIRE_WORKER) {
        claim_all(self, peer, beat->leases, beat->n, false);
        lose_unclaimed(self, peer, 2 * (int64_t)self->config.heartbeat_ms + 1, true);
    } else if (peer->role == WIRE_CONTROLLER) {
        self->windows_dirty |= peer->demand != beat->demand;
        peer->demand = beat->demand;
        peer->window_due = true;
        for (size_t i = 0; i < beat->n; i++)
            if (beat->leases[i].key.experiment == peer->experiment->id)
                task_expect(self, peer, &beat->leases[i].key);
    }
    (void)peer_send(self, peer, &echo);
}

static void on_return(struct ledger *self, struct peer *worker, const struct wire_leases *list)
{
    for (size_t i = list->n; i-- > 0;) { /* each to the front: order stays */
        struct task_entry *task = task_find(self, &list->leases[i].key);

        if (task == NULL || task->state != TASK_LEASED)
            continue;
        if (task->worker == worker && task->lease == list->leases[i].lease)
            task_lose(self, task, false);
        else if (task->backup == worker && task->backup_lease == list->leases[i].lease)
            backup_drop(self, task, false);
    }
}

static void on_progress(struct ledger *self, const struct peer *worker,
                        const struct wire_message *message)
{
    const struct task_entry *task = task_find(self, &message->u.result.lease.key);
    struct experiment *x = task != NULL ? task->experiment : NULL;
    struct wire_message copy = {.kind = WIRE_PROGRESS};

    if (x == NULL || x->controller == NULL || (task->worker != worker && task->backup != worker))
        return; /* only of what it has */
    copy.u.result = message->u.result;
    memcpy(copy.u.result.worker, worker->name, sizeof copy.u.result.worker);
    copy.payload = message->payload; /* borrowed: peer_send() counts its own references */
    copy.blob = message->blob;
    (void)peer_send(self, x->controller, &copy);
}

static void on_status(struct ledger *self, struct peer *peer)
{
    struct wire_message message = {.kind = WIRE_STATUS};

    ledger_status(self, &message.u.status);
    (void)peer_send(self, peer, &message);
    free(message.u.status.peers);
}

static void not_your_role(struct ledger *self, struct peer *peer, const char *what)
{
    self->malformed++;
    if (may_refuse(self, peer->by_route.hash))
        refuse(self, &peer->route, REFUSE_ROLE, "%s", what);
}

/* PUBLISH, ACK, CANCEL: only of the controller's own experiment. */
static void on_controller(struct ledger *self, struct peer *controller,
                          const struct wire_message *message)
{
    const struct wire_leases *list = &message->u.leases;
    uint64_t own = controller->experiment->id;
    size_t n_foreign = 0;

    if (message->kind == WIRE_PUBLISH) {
        if (message->u.publish.key.experiment == own)
            task_publish(self, controller, message);
        else
            n_foreign++;
    } else {
        for (size_t i = 0; i < list->n; i++) {
            if (list->leases[i].key.experiment != own)
                n_foreign++;
            else if (message->kind == WIRE_ACK)
                task_ack(self, &list->leases[i]);
            else
                task_cancel(self, controller, &list->leases[i]);
        }
    }
    if (n_foreign > 0)
        not_your_role(self, controller, "a key of another experiment than the one in the HELLO");
}

static void on_worker(struct ledger *self, struct peer *worker, const struct wire_message *message)
{
    switch (message->kind) {
    case WIRE_RESULT: task_result(self, worker, message); break;
    case WIRE_PROGRESS: on_progress(self, worker, message); break;
    case WIRE_RETURN: on_return(self, worker, &message->u.leases); break;
    case WIRE_DRAIN:
        worker->draining = true;
        crew_set_available(&self->crew, &worker->member, false);
        self->windows_dirty = true;
        log_info("worker %s drains", worker->name);
        break;
    default: break;
    }
}

/* The role that may send this kind; 0: any that has said HELLO, -1: none. */
static int role_of_kind(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_HEARTBEAT:
    case WIRE_GOODBYE: return 0;
    case WIRE_PUBLISH:
    case WIRE_ACK:
    case WIRE_CANCEL: return WIRE_CONTROLLER;
    case WIRE_RESULT:
    case WIRE_PROGRESS:
    case WIRE_RETURN:
    case WIRE_DRAIN: return WIRE_WORKER;
    case WIRE_STATUS: return WIRE_OBSERVER;
    default: return -1;
    }
}

static void on_known(struct ledger *self, struct peer *peer, const struct wire_message *message)
{
    int role = role_of_kind(message->kind);

    peer->heard_ms = self->now;
    if (peer->role == WIRE_CONTROLLER && !peer->sharing)
        peer->sharing = self->windows_dirty = true; /* silent no more */
    if (role != 0 && role != (int)peer->role) {
        char what[80];

        (void)snprintf(what, sizeof what, "%s is not a message for a broker from this role",
                       wire_kind_name(message->kind));
        not_your_role(self, peer, what);
    } else if (message->kind == WIRE_HEARTBEAT) {
        on_heartbeat(self, peer, &message->u.leases);
    } else if (message->kind == WIRE_GOODBYE) {
        peer_forget(self, peer, "it said goodbye");
    } else if (peer->role == WIRE_CONTROLLER) {
        on_controller(self, peer, message);
    } else if (peer->role == WIRE_WORKER) {
        on_worker(self, peer, message);
    } else {
        on_status(self, peer);
    }
}

/* ---- the door ---------------------------------------------------------------------------------------------------- */

void ledger_tell_time(struct ledger *self, int64_t now_ms)
{
    int64_t passed = now_ms - self->now;

    if (passed > 0 && self->first_task_ms >= 0) {
        self->busy_ms += (double)self->crew.busy * (double)passed;
        self->slot_ms += (double)self->crew.slots * (double)passed;
    }
    if (passed > 0)
        self->now = now_ms;
}

void ledger_message(struct ledger *self, const zmq_msg_t *from, const struct wire_message *message,
                    int64_t now_ms)
{
    uint64_t hash = hash_route(from);
    struct peer *peer = peer_of_route(self, from, hash);

    self->key = message->key;
    if (peer != NULL && message->kind != WIRE_HELLO && of_other_key(self, peer))
        peer = NULL; /* routing ids are chosen by peers, so they prove nothing */
    ledger_tell_time(self, now_ms);
    if (message->kind == WIRE_HELLO)
        on_hello(self, from, peer, &message->u.hello);
    else if (peer != NULL)
        on_known(self, peer, message);
    else if (message->kind != WIRE_GOODBYE && may_refuse(self, hash))
        refuse(self, from, REFUSE_HELLO_FIRST, "%s from a peer that is not known here: say HELLO",
               wire_kind_name(message->kind));
}

void ledger_bad_message(struct ledger *self, const zmq_msg_t *from, int err, const struct why *why,
                        int64_t now_ms)
{
    ledger_tell_time(self, now_ms);
    self->malformed++;
    self->bad_unsaid++;
    if (self->now - self->said_bad_ms >= 1000) {
        log_warn("%llu messages refused, the last one: %s", (unsigned long long)self->bad_unsaid,
                 why->text);
        self->said_bad_ms = self->now;
        self->bad_unsaid = 0;
    }
    if (!may_refuse(self, hash_route(from)))
        return;
    if (err == FARM_EVERSION)
        refuse(self, from, REFUSE_VERSION,
               "%s (nasfarm %s): install the same version on both sides", why->text,
               NASFARM_VERSION);
    else if (err == FARM_EDENIED)
        refuse(self, from, REFUSE_ROLE, "%.200s", why->text);
    else
        refuse(self, from, REFUSE_MALFORMED, "%.200s", why->text);
}

void ledger_expel(struct ledger *self,
                  bool (*keep)(void *ctx, const char *key, enum wire_role role), void *ctx,
                  int64_t now_ms)
{
    struct peer *peer = TAILQ_FIRST(&self->peers), *next;

    ledger_tell_time(self, now_ms);
    for (; peer != NULL; peer = next) {
        next = TAILQ_NEXT(peer, at);
        if (!keep(ctx, peer->key, peer->role))
            peer_forget(self, peer, "its key is not allowed any more");
    }
}

static void peer_status(const struct ledger *self, const struct peer *peer,
                        struct wire_peer_status *out)
{
    out->role = peer->role;
    memcpy(out->name, peer->name, sizeof out->name);
    out->done = peer->done;
    out->silent_ms = self->now - peer->heard_ms;
    out->draining = peer->draining;
    if (peer->role == WIRE_WORKER) {
        const struct crew_member *m = &peer->member;

        out->slots = m->slots;
        out->busy = m->held < m->slots ? m->held : m->slots;
        out->held = m->held - out->busy + (uint32_t)peer->n_results;
    } else if (peer->experiment != NULL) {
        out->slots = peer->window;
        out->busy = (uint32_t)peer->experiment->n_leased;
        out->held = (uint32_t)peer->experiment->n_queued;
    }
}

void ledger_status(const struct ledger *self, struct wire_status *out)
{
    const struct peer *peer;
    size_t n = self->n_peers < WIRE_STATUS_MAX ? self->n_peers : WIRE_STATUS_MAX;

    *out =
        (struct wire_status){.uptime_ms = (uint64_t)(self->now - self->start_ms),
                             .done = self->done,
                             .failed_sends = self->failed_sends,
                             .requeued = self->requeued,
                             .malformed = self->malformed,
                             .duplicates = self->duplicates,
                             .workers = (uint32_t)self->crew.workers,
                             .slots = (uint32_t)self->crew.slots,
                             .busy = (uint32_t)self->crew.busy,
                             .queued = (uint32_t)self->n_queued,
                             .controllers = (uint32_t)self->n_controllers,
                             .busy_share = self->slot_ms > 0 ? self->busy_ms / self->slot_ms : 0};
    if (n == 0 || (out->peers = calloc(n, sizeof *out->peers)) == NULL)
        return;
    TAILQ_FOREACH(peer, &self->peers, at)
    if (out->n_peers < n)
        peer_status(self, peer, &out->peers[out->n_peers++]);
}

int ledger_create(struct ledger **out, const struct ledger_config *config, ledger_send *send,
                  void *ctx, int64_t now_ms)
{
    struct ledger *self = calloc(1, sizeof *self);

    if (self == NULL)
        return FARM_ENOMEM;
    self->config = *config;
    self->send = send;
    self->ctx = ctx;
    self->now = self->start_ms = self->scan_at = now_ms;
    self->settle_at = now_ms + config->settle_ms;
    self->next_lease = config->first_lease + 1;
    self->first_task_ms = -1;
    self->said_bad_ms = now_ms - 1000;
    table_init(&self->peers_by_route);
    table_init(&self->workers_by_name);
    table_init(&self->experiments_by_id);
    table_init(&self->tasks_by_key);
    crew_init(&self->crew);
    TAILQ_INIT(&self->peers);
    TAILQ_INIT(&self->controllers);
    TAILQ_INIT(&self->dirty);
    TAILQ_INIT(&self->experiments);
    TAILQ_INIT(&self->ring);
    *out = self;
    return FARM_OK;
}

static void erase_all(struct ledger *self, struct tasks *list)
{
    while (!TAILQ_EMPTY(list))
        task_erase(self, TAILQ_FIRST(list));
}

void ledger_destroy(struct ledger **out)
{
    struct ledger *self = *out;
    struct experiment *x;
    struct peer *peer;

    if (self == NULL)
        return;
    TAILQ_FOREACH(peer, &self->peers, at)
    erase_all(self, &peer->leases);
    TAILQ_FOREACH(x, &self->experiments, at)
    {
        erase_all(self, &x->queue);
        erase_all(self, &x->settling);
        erase_all(self, &x->unsent);
        erase_all(self, &x->sent);
    }
    while ((peer = TAILQ_FIRST(&self->peers)) != NULL) {
        if (peer->role == WIRE_WORKER)
            forget_worker(self, peer);
        else if (peer->role == WIRE_CONTROLLER)
            forget_controller(self, peer, true);
        peer_free(self, peer);
    }
    while ((x = TAILQ_FIRST(&self->experiments)) != NULL)
        experiment_erase(self, x);
    crew_release(&self->crew);
    table_release(&self->peers_by_route);
    table_release(&self->workers_by_name);
    table_release(&self->experiments_by_id);
    table_release(&self->tasks_by_key);
    free(self);
    *out = NULL;
}
