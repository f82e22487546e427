/* work_kit.c - see work_kit.h. */
#include "work_kit.h"

#include <check.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

#include "clock.h"
#include "door_kit.h"
#include "farm_kit.h"
#include "task.h"

#define WORKERS      (WORK_PEERS - 1)
#define SLOTS        8
#define EXPERIMENT   1
#define OUTSTANDING  512 /* at most; a power of two */
#define BEAT_MS      100
#define SAY_AGAIN_MS 1000

struct work_shared {
    atomic_ullong published, answered;
    atomic_bool stop;
};

struct peer {
    void *socket;
    bool is_worker;
    char name[32];
    int64_t beat_at_ms;
};

struct process {
    struct work_shared *shared;
    struct peer peers[1 + WORKERS]; /* the controller first */
    zmq_msg_t task, result;
    uint64_t first, next; /* trials of which one is not answered, and that are not published */
    bool answered[OUTSTANDING];
    int64_t said_ms[OUTSTANDING];
    uint32_t window;
};

/* ---- what peers say --------------------------------------------------------------------------------------------- */

static void say_hello(struct peer *p)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = p->is_worker ? WIRE_WORKER : WIRE_CONTROLLER,
                                    .incarnation = 1,
                                    .slots = SLOTS,
                                    .ahead = SLOTS,
                                    .experiment = EXPERIMENT,
                                    .demand = OUTSTANDING,
                                    .version = NASFARM_VERSION};
    (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "%s", p->name);
    (void)wire_send(p->socket, NULL, &m);
    p->beat_at_ms = clock_ms() + BEAT_MS;
}

static void say_leases(struct peer *p, enum wire_kind kind, struct wire_lease *leases, size_t n)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    m.u.leases = (struct wire_leases){.demand = OUTSTANDING, .n = n, .leases = leases};
    (void)wire_send(p->socket, NULL, &m);
}

static void publish(struct process *self, uint64_t trial)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish.key = (struct wire_key){EXPERIMENT, trial, 0};
    (void)zmq_msg_copy(&m.payload, &self->task);
    (void)wire_send(self->peers[0].socket, NULL, &m);
    zmq_msg_close(&m.payload);
    self->said_ms[trial % OUTSTANDING] = clock_ms();
}

static void publish_more(struct process *self)
{
    uint64_t most = self->window < OUTSTANDING ? self->window : OUTSTANDING;

    while (!atomic_load(&self->shared->stop) && self->next - self->first < most) {
        self->answered[self->next % OUTSTANDING] = false;
        publish(self, self->next++);
        atomic_fetch_add(&self->shared->published, 1);
    }
}

/* What has had no answer for long may have been lost, like every message. */
static void say_again(struct process *self)
{
    int64_t now = clock_ms();

    for (uint64_t t = self->first; t < self->next; t++)
        if (!self->answered[t % OUTSTANDING] && now - self->said_ms[t % OUTSTANDING] > SAY_AGAIN_MS)
            publish(self, t);
}

/* ---- what they hear ----------------------------------------------------------------------------------------------- */

static void on_result(struct process *self, const struct wire_lease *lease)
{
    uint64_t trial = lease->key.trial;

    if (trial < self->first || trial >= self->next || self->answered[trial % OUTSTANDING])
        return; /* twice */
    self->answered[trial % OUTSTANDING] = true;
    atomic_fetch_add(&self->shared->answered, 1);
    while (self->first < self->next && self->answered[self->first % OUTSTANDING])
        self->first++;
}

static void on_task(struct process *self, struct peer *worker, const struct wire_lease *lease)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = *lease;
    (void)zmq_msg_copy(&m.payload, &self->result);
    (void)wire_send(worker->socket, NULL, &m);
    zmq_msg_close(&m.payload);
}

static void listen_to(struct process *self, struct peer *p)
{
    struct wire_lease acks[256];
    struct wire_message m;
    struct why why;
    size_t n = 0;

    while (n < 256 && wire_recv(p->socket, NULL, &m, &why) == FARM_OK) {
        if (m.kind == WIRE_REFUSE) {
            say_hello(p);
        } else if (m.kind == WIRE_WINDOW) {
            self->window = m.u.window.window;
        } else if (m.kind == WIRE_TASK) {
            on_task(self, p, &m.u.task);
        } else if (m.kind == WIRE_RESULT) {
            if (strcmp(m.u.result.worker, "broker") != 0) /* given up: no answer */
                on_result(self, &m.u.result.lease);
            acks[n++] = m.u.result.lease;
        }
        wire_message_release(&m);
    }
    if (n > 0)
        say_leases(p, WIRE_ACK, acks, n);
}

static void turn(struct process *self)
{
    zmq_pollitem_t items[1 + WORKERS];

    for (size_t i = 0; i < 1 + WORKERS; i++)
        items[i] = (zmq_pollitem_t){self->peers[i].socket, 0, ZMQ_POLLIN, 0};
    (void)zmq_poll(items, 1 + WORKERS, 20);
    for (size_t i = 0; i < 1 + WORKERS; i++) {
        struct peer *p = &self->peers[i];

        listen_to(self, p);
        if (clock_ms() >= p->beat_at_ms) {
            say_leases(p, WIRE_HEARTBEAT, NULL, 0);
            p->beat_at_ms = clock_ms() + BEAT_MS;
        }
    }
    publish_more(self);
    say_again(self);
}

/* ---- the process ------------------------------------------------------------------------------------------------------ */

static void put_bytes(zmq_msg_t *msg, uint8_t *bytes, size_t len, size_t size)
{
    ck_assert_int_eq(zmq_msg_init_size(msg, size), 0);
    memset(zmq_msg_data(msg), 0, size);
    memcpy(zmq_msg_data(msg), bytes, len);
    free(bytes);
}

/* Its sockets are its own: a context does not outlive a fork. */
static void run(struct work_shared *shared)
{
    struct process *self = calloc(1, sizeof *self);
    struct task task = {.data = "", .seed = 1, .graph = (const uint8_t *)"", .graph_len = 0};
    struct result result = {.outcome = OUTCOME_OK, .fitness = 0.5, .epochs = 1, .isa = "none"};
    uint8_t *bytes;
    size_t len;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    ck_assert_ptr_nonnull(self);
    self->shared = shared;
    door_context = zmq_ctx_new();
    recipe_init(&task.recipe);
    ck_assert_int_eq(task_pack(&task, &bytes, &len), FARM_OK);
    put_bytes(&self->task, bytes, len, len + 500); /* about what a small network takes */
    ck_assert_int_eq(result_pack(&result, &bytes, &len), FARM_OK);
    put_bytes(&self->result, bytes, len, len);
    for (size_t i = 0; i < 1 + WORKERS; i++) {
        struct peer *p = &self->peers[i];

        p->is_worker = i > 0;
        (void)snprintf(p->name, sizeof p->name, "work-%zu", i);
        p->socket = door_peer(p->is_worker ? "worker" : "controller", "broker", NULL);
        say_hello(p);
    }
    for (;;)
        turn(self);
}

void work_start(struct work *self)
{
    double end = kit_now_s() + DOOR_PATIENCE_MS * 1e-3;

    self->shared =
        mmap(NULL, sizeof *self->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(self->shared != MAP_FAILED);
    ck_assert_int_ge(self->pid = fork(), 0);
    if (self->pid == 0)
        run(self->shared);
    while (work_answered(self) == 0 && kit_now_s() < end)
        (void)poll(NULL, 0, 5);
    ck_assert_uint_gt(work_answered(self), 0);
}

uint64_t work_answered(const struct work *self)
{
    return atomic_load(&self->shared->answered);
}

double work_rate(const struct work *self, double seconds)
{
    uint64_t before = work_answered(self);
    double began = kit_now_s();

    (void)poll(NULL, 0, (int)(seconds * 1000));
    return (double)(work_answered(self) - before) / (kit_now_s() - began);
}

uint64_t work_finish(struct work *self, double patience_s)
{
    double end = kit_now_s() + patience_s;
    uint64_t left;

    atomic_store(&self->shared->stop, true);
    while ((left = atomic_load(&self->shared->published) - work_answered(self)) > 0 &&
           kit_now_s() < end)
        (void)poll(NULL, 0, 5);
    kit_kill(self->pid);
    (void)munmap(self->shared, sizeof *self->shared);
    return left;
}
