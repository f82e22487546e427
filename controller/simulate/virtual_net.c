/* virtual_net.c - see virtual_net.h. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virtual_net_inside.h"

#define FORTNIGHT_S (14 * 86400.0)
#define LEASE_BEATS 10 /* as `nasfarm-broker` has it: 10 s, beats of 1 s */
#define FIRST_MS    1000000
#define EVERYTHING  UINT32_MAX /* demand of the controller */

/* ---------------------------------------------------------------- what happens next */

static bool is_earlier(const struct happening *a, const struct happening *b)
{
    return a->at_s < b->at_s || (a->at_s == b->at_s && a->number < b->number);
}

static bool has_place(struct virtual_net *self, struct happening **array, size_t n, size_t *cap)
{
    size_t more = *cap > 0 ? 2 * *cap : 64;
    struct happening *bigger;

    if (n < *cap)
        return true;
    if ((bigger = realloc(*array, more * sizeof *bigger)) == NULL) {
        self->rc = FARM_ENOMEM;
        return false;
    }
    *array = bigger;
    *cap = more;
    return true;
}

static void drop(const struct happening *h)
{
    if (h->n > 1)
        free(h->list);
}

static void push(struct virtual_net *self, const struct happening *h)
{
    size_t i = self->n_heap;

    if (!has_place(self, &self->heap, self->n_heap, &self->cap_heap)) {
        drop(h);
        return;
    }
    self->n_heap++;
    for (; i > 0 && is_earlier(h, &self->heap[(i - 1) / 2]); i = (i - 1) / 2)
        self->heap[i] = self->heap[(i - 1) / 2];
    self->heap[i] = *h;
}

static struct happening pop(struct virtual_net *self)
{
    struct happening first = self->heap[0], *last = &self->heap[--self->n_heap];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < self->n_heap) {
        if (child + 1 < self->n_heap && is_earlier(&self->heap[child + 1], &self->heap[child]))
            child++;
        if (!is_earlier(&self->heap[child], last))
            break;
        self->heap[i] = self->heap[child];
        i = child;
    }
    self->heap[i] = *last;
    return first;
}

/* The ring unrolls when it grows. */
static void push_soon(struct virtual_net *self, const struct happening *h)
{
    size_t cap = self->cap_soon;

    if (self->n_soon == cap) {
        if (!has_place(self, &self->soon, self->n_soon, &self->cap_soon)) {
            drop(h);
            return;
        }
        memcpy(self->soon + cap, self->soon, self->first_soon * sizeof *self->soon);
    }
    self->soon[(self->first_soon + self->n_soon++) % self->cap_soon] = *h;
}

static struct happening pop_soon(struct virtual_net *self)
{
    struct happening first = self->soon[self->first_soon];

    self->first_soon = (self->first_soon + 1) % self->cap_soon;
    self->n_soon--;
    return first;
}

void net_later(struct virtual_net *self, enum happening_kind kind, uint32_t to, double in_s,
               uint64_t job)
{
    const struct happening h = {
        .at_s = self->now_s + in_s, .number = self->numbers++, .kind = kind, .to = to, .job = job};

    push(self, &h);
}

/* ---------------------------------------------------------------- the way of a message */

const struct wire_lease *happening_leases(const struct happening *self)
{
    return self->n > 1 ? self->list : &self->lease;
}

/* When it comes: not before what was sent before it between the same two. */
static double arrival(struct virtual_net *self, const struct happening *m)
{
    uint32_t peer = m->to == BROKER ? m->from : m->to;
    struct virtual_worker *w = peer == CONTROLLER ? NULL : &self->workers[peer];
    double *last_s = m->to == BROKER ? (w != NULL ? &w->sent_s : &self->sent_s)
                                     : (w != NULL ? &w->got_s : &self->got_s);
    double at_s = self->now_s + self->config.delay_s * (0.5 + rng_uniform(&self->rng));

    return *last_s = at_s > *last_s ? at_s : *last_s;
}

void net_send(struct virtual_net *self, struct happening *m)
{
    self->messages++;
    m->kind = MESSAGE;
    m->number = self->numbers++;
    if (m->from < CONTROLLER)
        m->life = self->workers[m->from].life;
    if (self->config.loss > 0 && rng_uniform(&self->rng) < self->config.loss) {
        self->lost++;
        drop(m);
        return;
    }
    if (self->config.delay_s > 0) {
        m->at_s = arrival(self, m);
        push(self, m);
    } else {
        push_soon(self, m);
    }
}

static void set_list(struct virtual_net *self, struct happening *m, const struct wire_lease *leases,
                     size_t n)
{
    m->n = n;
    if (n == 1) {
        m->lease = leases[0];
    } else if (n > 1 && (m->list = malloc(n * sizeof *m->list)) != NULL) {
        memcpy(m->list, leases, n * sizeof *m->list);
    } else if (n > 1) {
        m->n = 0;
        self->rc = FARM_ENOMEM;
    }
}

void net_send_list(struct virtual_net *self, enum wire_kind wire, uint32_t from,
                   const struct wire_lease *leases, size_t n)
{
    struct happening m = {.wire = wire, .from = from, .to = BROKER};

    set_list(self, &m, leases, n);
    net_send(self, &m);
} // NOLINT(clang-analyzer-unix.Malloc): the list is on its way with the message

/* ---------------------------------------------------------------- the broker's door */

struct route {
    uint32_t party, life;
};

/* The broker names workers as their HELLO did. */
static uint32_t number_of(const char *name)
{
    uint32_t number = 0;

    while (*++name != '\0')
        number = 10 * number + (uint32_t)(*name - '0');
    return number;
}

static int broker_sends(void *ctx, const zmq_msg_t *to, const struct wire_message *m)
{
    struct virtual_net *self = ctx;
    struct happening h = {.wire = m->kind, .from = BROKER};
    struct route route;

    memcpy(&route, zmq_msg_data((zmq_msg_t *)to), sizeof route);
    h.to = route.party;
    h.life = route.life;
    if (route.party != CONTROLLER && self->workers[route.party].life != route.life)
        return FARM_EBUSY; /* nobody is there any more */
    switch (m->kind) {
    case WIRE_TASK: set_list(self, &h, &m->u.task, 1); break;
    case WIRE_WINDOW: h.window = m->u.window.window; break;
    case WIRE_RESULT:
        set_list(self, &h, &m->u.result.lease, 1);
        h.given_up = strcmp(m->u.result.worker, "broker") == 0;
        h.from = h.given_up ? BROKER : number_of(m->u.result.worker);
        break;
    case WIRE_ACK:
    case WIRE_BUSY:
    case WIRE_REVOKE: set_list(self, &h, m->u.leases.leases, m->u.leases.n); break;
    default: break;
    }
    net_send(self, &h);
    return FARM_OK; // NOLINT(clang-analyzer-unix.Malloc): likewise
}

static void fill_hello(const struct virtual_net *self, const struct happening *h,
                       struct wire_hello *hello)
{
    bool controller = h->from == CONTROLLER;

    hello->role = controller ? WIRE_CONTROLLER : WIRE_WORKER;
    hello->incarnation = h->life + 1;
    (void)snprintf(hello->name, sizeof hello->name, "w%" PRIu32, h->from);
    hello->slots = 1;
    hello->ahead = self->config.ahead;
    hello->experiment = VIRTUAL_EXPERIMENT;
    hello->demand = EVERYTHING;
    hello->n_leases = controller ? 0 : h->n;
    hello->leases = (struct wire_lease *)happening_leases(h);
}

static void broker_hears(struct virtual_net *self, const struct happening *h)
{
    static struct wire_message m; /* of its 2 KB only what a message has is written */
    const struct route route = {h->from, h->life};
    zmq_msg_t from;

    m.kind = h->wire;
    zmq_msg_init(&m.payload);
    zmq_msg_init(&m.blob);
    switch (h->wire) {
    case WIRE_HELLO:
        memset(&m.u.hello, 0, sizeof m.u.hello);
        fill_hello(self, h, &m.u.hello);
        break;
    case WIRE_PUBLISH:
        m.u.publish = (struct wire_publish){.key = h->lease.key, .again = h->again};
        break;
    case WIRE_RESULT: m.u.result.lease = h->lease; break;
    default:
        m.u.leases.demand = EVERYTHING;
        m.u.leases.n = h->n;
        m.u.leases.leases = (struct wire_lease *)happening_leases(h);
    }
    zmq_msg_init_size(&from, sizeof route);
    memcpy(zmq_msg_data(&from), &route, sizeof route);
    ledger_message(self->ledger, &from, &m, FIRST_MS + (int64_t)(self->now_s * 1e3));
    zmq_msg_close(&from);
    self->broker_touched = true;
}

/* After every batch of messages, and when it said so. */
static void broker_turns(struct virtual_net *self)
{
    int64_t due_ms = ledger_turn(self->ledger, FIRST_MS + (int64_t)(self->now_s * 1e3));
    double due_s = (double)(due_ms + 1 - FIRST_MS) * 1e-3;

    self->broker_touched = false;
    if (due_s >= self->turn_s && self->turn_s > self->now_s)
        return;
    self->turn_s = due_s > self->now_s ? due_s : self->now_s + 1e-3;
    net_later(self, TURN, BROKER, self->turn_s - self->now_s, 0);
}

/* ---------------------------------------------------------------- time */

static void happen(struct virtual_net *self, struct happening *h)
{
    switch (h->kind) {
    case MESSAGE:
        if (h->to == BROKER)
            broker_hears(self, h);
        else if (h->to == CONTROLLER)
            controller_hears(self, h);
        else
            worker_hears(self, h->to, h);
        drop(h);
        break;
    case JOB_ENDS: worker_finishes(self, h->to, h->job); break;
    case JOB_DIES: worker_dies(self, h->to, h->job); break;
    case BEAT:
        if (h->to == CONTROLLER)
            controller_beats(self);
        else
            worker_beats(self, h->to);
        break;
    case TURN: self->broker_touched = true; break;
    }
}

int virtual_net_next(struct virtual_net *self, struct virtual_event *out)
{
    self->heard = false;
    while (!self->heard && self->rc == FARM_OK) {
        struct happening h;

        if (self->n_soon > 0) {
            h = pop_soon(self);
        } else if (self->broker_touched) {
            broker_turns(self);
            continue;
        } else if (self->n_heap > 0) {
            h = pop(self);
            self->now_s = h.at_s;
        } else {
            self->event = (struct virtual_event){.kind = VIRTUAL_NOTHING};
            break;
        }
        happen(self, &h);
    }
    *out = self->event;
    return self->rc;
}

/* ---------------------------------------------------------------- the whole */

static int open_ledger(struct virtual_net *self)
{
    struct ledger_config config;
    double heartbeat_ms = self->heartbeat_s * 1e3;

    ledger_config_init(&config);
    config.heartbeat_ms = heartbeat_ms < 1 ? 1 : (uint32_t)heartbeat_ms;
    config.straggler = self->config.backups;
    config.lease_ms =
        self->config.loss > 0 ? LEASE_BEATS * config.heartbeat_ms : 3 * config.heartbeat_ms;
    config.settle_ms = 0;
    config.nonce = 1;
    config.first_lease = 1;
    return ledger_create(&self->ledger, &config, broker_sends, self, FIRST_MS);
}

static void greet_all(struct virtual_net *self)
{
    for (uint32_t i = 0; i < self->config.workers; i++) {
        worker_says_hello(self, i);
        net_later(self, BEAT, i, self->heartbeat_s * (1 + rng_uniform(&self->rng)) / 2, 0);
    }
    controller_says_hello(self);
    net_later(self, BEAT, CONTROLLER, self->heartbeat_s, 0);
}

int virtual_net_create(struct virtual_net **out, const struct virtual_net_config *config,
                       struct why *why)
{
    struct virtual_net *self = calloc(1, sizeof *self);
    int rc = FARM_ENOMEM;

    if (self == NULL)
        return why_set(why, rc, "no memory for a virtual farm");
    self->config = *config;
    self->heartbeat_s = config->loss > 0 || config->backups > 0 ? config->heartbeat_s : FORTNIGHT_S;
    self->turn_s = INFINITY;
    rng_seed_named(&self->rng, config->seed, "messages");
    self->workers = calloc(config->workers, sizeof *self->workers);
    if (self->workers == NULL || (rc = inflight_create(&self->inflight)) != FARM_OK ||
        (rc = open_ledger(self)) != FARM_OK) {
        virtual_net_destroy(&self);
        return why_set(why, rc, "no memory for a virtual farm");
    }
    greet_all(self);
    *out = self;
    return FARM_OK;
}

void virtual_net_destroy(struct virtual_net **self)
{
    struct virtual_net *net = *self;

    if (net == NULL)
        return;
    while (net->n_soon > 0) {
        struct happening h = pop_soon(net);

        drop(&h);
    }
    for (size_t i = 0; i < net->n_heap; i++)
        drop(&net->heap[i]);
    for (uint32_t i = 0; net->workers != NULL && i < net->config.workers; i++)
        free(net->workers[i].hands);
    ledger_destroy(&net->ledger);
    inflight_destroy(&net->inflight);
    free(net->workers);
    free(net->heap);
    free(net->soon);
    free(net);
    *self = NULL;
}

double virtual_net_now(const struct virtual_net *self)
{
    return self->now_s;
}

double virtual_net_busy_s(const struct virtual_net *self)
{
    return self->busy_s + self->n_running * (self->now_s - self->counted_s);
}

uint32_t virtual_net_window(const struct virtual_net *self)
{
    return self->window;
}

size_t virtual_net_out(const struct virtual_net *self)
{
    return inflight_n(self->inflight);
}

uint64_t virtual_net_deaths(const struct virtual_net *self)
{
    return self->deaths;
}

uint64_t virtual_net_messages(const struct virtual_net *self)
{
    return self->messages;
}

uint64_t virtual_net_lost(const struct virtual_net *self)
{
    return self->lost;
}
