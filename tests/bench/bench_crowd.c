/* bench_crowd.c - one broker and ten thousand workers, on real sockets of a few processes.
 *
 *   usage: bench_crowd [WORKERS (10000)] [SECONDS (10)] [BROKER]
 *
 * Measures: until all have registered; tasks a second that go the whole way (PUBLISH, TASK, RESULT, and their
 * acknowledgement) while all are connected; then the broker is killed, started again, and the same is measured once more
 * from its start on, dispatch included; and the memory that the broker took. The workers are bare sockets that answer at
 * once: what a broker costs is looked at, not an evaluation.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "farm_kit.h"
#include "task.h"
#include "wire.h"

#define PROCESSES  4
#define EXPERIMENT 77
#define ASKED      20000 /* tasks that the controller would have outstanding */

static char endpoint[64];
/* Shared by all processes. */
static struct shared {
    atomic_uint welcomed; /* workers that have had a WELCOME of the broker that runs now */
    atomic_uint epoch;    /* counts brokers */
    atomic_ullong evaluated;
} * shared;

static void die(const char *what)
{
    fprintf(stderr, "bench_crowd: %s\n", what);
    exit(1);
}

static void *open_socket(void *context)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    struct why why;

    if (socket == NULL || wire_socket_options(socket, ZMQ_DEALER, &why) != FARM_OK ||
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger) < 0 ||
        zmq_connect(socket, endpoint) < 0)
        die("cannot open a socket: is `ulimit -n` large enough?");
    return socket;
}

/* ---- workers ------------------------------------------------------------------------------------------------ */

struct worker {
    void *socket;
    char name[32];
    unsigned epoch; /* of the broker that welcomed it */
    bool said_hello;
    int64_t heartbeat_at_ms;
};

static void say_hello(struct worker *w)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){
        .role = WIRE_WORKER, .incarnation = 1, .slots = 1, .ahead = 1, .version = "bench"};
    snprintf(m.u.hello.name, sizeof m.u.hello.name, "%s", w->name);
    w->said_hello = wire_send(w->socket, NULL, &m) == FARM_OK;
    w->heartbeat_at_ms = clock_ms() + 2000;
}

static void answer(struct worker *w, const struct wire_lease *lease, zmq_msg_t *payload)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = *lease;
    snprintf(m.u.result.worker, sizeof m.u.result.worker, "%s", w->name);
    zmq_msg_copy(&m.payload, payload);
    if (wire_send(w->socket, NULL, &m) == FARM_OK)
        atomic_fetch_add(&shared->evaluated, 1);
    zmq_msg_close(&m.payload);
}

static void take(struct worker *w, zmq_msg_t *result)
{
    struct wire_message m;
    struct why why;

    while (wire_recv(w->socket, NULL, &m, &why) == FARM_OK) {
        unsigned epoch = atomic_load(&shared->epoch);

        if (m.kind == WIRE_WELCOME && w->epoch != epoch) {
            w->epoch = epoch;
            atomic_fetch_add(&shared->welcomed, 1);
        } else if (m.kind == WIRE_REFUSE) {
            say_hello(w);
        } else if (m.kind == WIRE_TASK) {
            answer(w, &m.u.task, result);
        }
        wire_message_release(&m);
    }
}

static void give_sign(struct worker *w)
{
    struct wire_message m;

    if (!w->said_hello) {
        say_hello(w);
        return;
    }
    wire_message_init(&m, WIRE_HEARTBEAT);
    (void)wire_send(w->socket, NULL, &m);
    w->heartbeat_at_ms = clock_ms() + 1000;
}

static void open_workers(struct worker *workers, unsigned first, unsigned n, int epoll)
{
    void *context = zmq_ctx_new();

    zmq_ctx_set(context, ZMQ_MAX_SOCKETS, (int)n + 10);
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = &workers[i]};
        size_t size = sizeof(int);
        int fd;

        snprintf(workers[i].name, sizeof workers[i].name, "w%u", first + i);
        workers[i].socket = open_socket(context);
        if (zmq_getsockopt(workers[i].socket, ZMQ_FD, &fd, &size) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
            die("cannot wait for a socket");
    }
}

/* A part of the workers, in a process of its own. zmq_poll() would look at each of them at every turn; their descriptors say
 * which have moved, once for each time, so a socket is read until there is nothing after whatever is done with it. */
static void crowd(unsigned first, unsigned n)
{
    struct worker *workers = calloc(n, sizeof *workers);
    struct result result = {.outcome = OUTCOME_OK, .fitness = 0.5, .epochs = 1, .isa = "none"};
    struct epoll_event events[256];
    int epoll = epoll_create1(0);
    unsigned next = 0; /* whose heartbeat is looked at next */
    uint8_t *bytes = NULL;
    size_t len = 0;
    zmq_msg_t payload;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (workers == NULL || epoll < 0 || result_pack(&result, &bytes, &len) != FARM_OK)
        die("out of memory");
    zmq_msg_init_size(&payload, len);
    memcpy(zmq_msg_data(&payload), bytes, len);
    open_workers(workers, first, n, epoll);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, 10);
        int64_t now = clock_ms();

        for (int i = 0; i < ready; i++)
            take(events[i].data.ptr, &payload);
        for (unsigned looked = 0; looked < n / 50 + 1; looked++, next = (next + 1) % n)
            if (now >= workers[next].heartbeat_at_ms) {
                give_sign(&workers[next]);
                take(&workers[next], &payload);
            }
    }
}

/* ---- a controller --------------------------------------------------------------------------------------------- */

struct controller {
    void *context, *socket;
    zmq_msg_t payload;
    uint64_t next, done;
    uint32_t window, outstanding;
    int64_t heartbeat_at_ms;
};

static void controller_open(struct controller *self)
{
    struct task task = {.data = "", .seed = 1, .graph = (const uint8_t *)"", .graph_len = 0};
    uint8_t *bytes;
    size_t len;

    *self = (struct controller){.context = zmq_ctx_new()};
    self->socket = open_socket(self->context);
    recipe_init(&task.recipe);
    if (task_pack(&task, &bytes, &len) != FARM_OK)
        die("cannot pack a task");
    zmq_msg_init_size(&self->payload, len + 500); /* about what a small network takes */
    memset(zmq_msg_data(&self->payload), 0, len + 500);
    memcpy(zmq_msg_data(&self->payload), bytes, len);
    free(bytes);
}

static void controller_say(struct controller *self, enum wire_kind kind)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    if (kind == WIRE_HELLO)
        m.u.hello = (struct wire_hello){.role = WIRE_CONTROLLER,
                                        .name = "bench",
                                        .incarnation = 1,
                                        .experiment = EXPERIMENT,
                                        .demand = ASKED,
                                        .version = "bench"};
    else
        m.u.leases.demand = ASKED;
    (void)wire_send(self->socket, NULL, &m);
    self->heartbeat_at_ms = clock_ms() + 500;
}

static void acknowledge(struct controller *self, struct wire_lease *leases, size_t n)
{
    struct wire_message m;

    if (n == 0)
        return;
    wire_message_init(&m, WIRE_ACK);
    m.u.leases = (struct wire_leases){.n = n, .leases = leases};
    (void)wire_send(self->socket, NULL, &m);
}

static void publish(struct controller *self)
{
    while (self->outstanding < self->window) {
        struct wire_message m;
        int rc;

        wire_message_init(&m, WIRE_PUBLISH);
        m.u.publish.key = (struct wire_key){EXPERIMENT, self->next, 0};
        zmq_msg_copy(&m.payload, &self->payload);
        rc = wire_send(self->socket, NULL, &m);
        zmq_msg_close(&m.payload);
        if (rc != FARM_OK)
            return;
        self->next++;
        self->outstanding++;
    }
}

/* One turn of at most 20 ms. */
static void controller_turn(struct controller *self)
{
    static struct wire_lease acks[4096];
    zmq_pollitem_t item = {self->socket, 0, ZMQ_POLLIN, 0};
    struct wire_message m;
    struct why why;
    size_t n = 0;

    zmq_poll(&item, 1, 20);
    while (n < 4096 && wire_recv(self->socket, NULL, &m, &why) == FARM_OK) {
        if (m.kind == WIRE_RESULT) {
            acks[n++] = m.u.result.lease;
            self->done++;
            self->outstanding -= self->outstanding > 0;
        } else if (m.kind == WIRE_WINDOW) {
            self->window = m.u.window.window;
        } else if (m.kind == WIRE_REFUSE) {
            self->outstanding =
                0; /* a new broker: what the old one had is given up, for a benchmark */
            self->window = 0;
            controller_say(self, WIRE_HELLO);
        } else if (m.kind == WIRE_BUSY) {
            self->outstanding -=
                m.u.leases.n < self->outstanding ? (uint32_t)m.u.leases.n : self->outstanding;
        }
        wire_message_release(&m);
    }
    acknowledge(self, acks, n);
    publish(self);
    if (clock_ms() >= self->heartbeat_at_ms)
        controller_say(self, WIRE_HEARTBEAT);
}

/* ---- the measurement -------------------------------------------------------------------------------------------- */

static pid_t start_broker(const char *program, char *log)
{
    const char *argv[] = {program, "--listen", endpoint, "--die-with-parent", NULL};

    atomic_store(&shared->welcomed, 0);
    atomic_fetch_add(&shared->epoch, 1);
    return kit_start(argv, log);
}

/* Until all are welcome, at most 120 s; the controller works meanwhile. */
static double wait_for_all(struct controller *c, unsigned workers, uint64_t *done)
{
    double began = kit_now_s();
    uint64_t before = c->done;

    while (atomic_load(&shared->welcomed) < workers && kit_now_s() - began < 120)
        controller_turn(c);
    *done = c->done - before;
    return kit_now_s() - began;
}

static void measure(struct controller *c, pid_t broker, unsigned workers, double seconds,
                    const char *what)
{
    uint64_t meanwhile, before;
    double all_s = wait_for_all(c, workers, &meanwhile), began = kit_now_s(),
           cpu = kit_cpu_s(broker), took;

    before = c->done;
    while (kit_now_s() - began < seconds)
        controller_turn(c);
    took = kit_now_s() - began;
    printf("%-9s %u of %u registered after %.1f s (%.0f tasks/s meanwhile); then %.0f tasks/s, "
           "broker busy %.0f %%, %.0f MiB (at most %.0f)\n",
           what, atomic_load(&shared->welcomed), workers, all_s, (double)meanwhile / all_s,
           (double)(c->done - before) / took, 100 * (kit_cpu_s(broker) - cpu) / took,
           kit_memory_mib(broker, "VmRSS:"), kit_memory_mib(broker, "VmHWM:"));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    unsigned workers = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 10;
    const char *program = argc > 3 ? argv[3] : BIN_BROKER;
    struct rlimit files;
    struct controller controller;
    char folder[256], log[300];
    pid_t broker;

    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (files.rlim_cur < workers + 1000)
        die("the hard limit of open files (ulimit -Hn) is smaller than the number of workers");
    kit_folder(folder, sizeof folder, "crowd");
    snprintf(log, sizeof log, "%s/broker.log", folder);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("out of memory");
    wire_seed();
    for (unsigned p = 0; p < PROCESSES; p++)
        if (fork() == 0)
            crowd(workers * p / PROCESSES, workers * (p + 1) / PROCESSES - workers * p / PROCESSES);
    controller_open(&controller);
    broker = start_broker(program, log);
    measure(&controller, broker, workers, seconds, "started");
    kit_kill(broker);
    broker = start_broker(program, log);
    measure(&controller, broker, workers, seconds, "restarted");
    kit_kill(broker);
    kit_remove(folder);
    return 0;
}
