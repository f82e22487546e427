/* test_worker.c - the real nasfarm-worker process, and a broker that the test plays: what it says, what it keeps, and
 * what becomes of evaluations that crash, hang or talk nonsense. */
#include <check.h>
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checksum.h"
#include "clock.h"
#include "graph.h"
#include "synthetic.h"
#include "task.h"
#include "wire.h"

#define PATIENCE_MS 30000
#define CALM_MS     2000 /* a heartbeat that is not what the test is about */
#define EXPERIMENT  77u

/* ---- the world of one test ----------------------------------------------------------------------------------- */

static void *context;
static void *router; /* the broker's socket */
static char endpoint[256];
static char folder[64];
static zmq_msg_t peer; /* routing id of the worker: of what it said last */
static pid_t worker;
static uint32_t heartbeat_ms;

static void broker_bind(const char *at)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    size_t len = sizeof endpoint;
    int linger = 0;
    struct why why;

    router = zmq_socket(context, ZMQ_ROUTER);
    ck_assert_ptr_nonnull(router);
    ck_assert_int_eq(wire_socket_options(router, ZMQ_ROUTER, &why), FARM_OK);
    ck_assert_int_eq(zmq_setsockopt(router, ZMQ_LINGER, &linger, sizeof linger), 0);
    while (zmq_bind(router, at) != 0) /* the one before may still be closing */
        ck_assert_msg(errno == EADDRINUSE && clock_ms() < deadline_ms, "%s", zmq_strerror(errno));
    ck_assert_int_eq(zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &len), 0);
}

static void setup(void)
{
    context = zmq_ctx_new();
    heartbeat_ms = CALM_MS;
    zmq_msg_init(&peer);
    broker_bind("tcp://127.0.0.1:*");
    strcpy(folder, "/tmp/test_worker.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    char command[128];

    if (worker > 0) {
        (void)kill(worker, SIGKILL);
        (void)waitpid(worker, NULL, 0);
    }
    zmq_msg_close(&peer);
    zmq_close(router);
    zmq_ctx_term(context);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static pid_t start_raw(const char *const *options, const char *stderr_file)
{
    const char *argv[32] = {BIN_WORKER};
    pid_t pid;

    for (size_t i = 0; options[i] != NULL; i++)
        argv[1 + i] = options[i];
    if ((pid = fork()) == 0) {
        if (stderr_file != NULL && (freopen(stderr_file, "w", stderr) == NULL ||
                                    freopen("/dev/null", "w", stdout) == NULL))
            _exit(126);
        execv(BIN_WORKER, (char *const *)argv);
        _exit(127);
    }
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void start(const char *const *options)
{
    const char *all[32] = {"--broker", endpoint, "--name",           "w1",
                           "--data",   "digits", "--die-with-parent"};
    size_t n = 7;

    for (; *options != NULL; options++)
        all[n++] = *options;
    worker = start_raw(all, NULL);
}

/* Waits for the process, and tells its exit status. */
static int ended(pid_t pid)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    int status = 0;
    pid_t got;

    while ((got = waitpid(pid, &status, WNOHANG)) == 0 && clock_ms() < deadline_ms)
        (void)zmq_poll(NULL, 0, 5);
    ck_assert_msg(got == pid, "it does not end");
    if (pid == worker)
        worker = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- the broker's side of the dialogue ----------------------------------------------------------------------- */

static void say(const struct wire_message *m)
{
    ck_assert_int_eq(wire_send(router, &peer, m), FARM_OK);
}

static void say_leases(enum wire_kind kind, uint64_t trial, uint64_t lease)
{
    struct wire_lease one = {.key = {EXPERIMENT, trial, 0}, .lease = lease};
    struct wire_message m;

    wire_message_init(&m, kind);
    m.u.leases.leases = &one;
    m.u.leases.n = trial > 0;
    say(&m);
}

static void say_welcome(void)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_WELCOME);
    m.u.welcome.broker = 1;
    m.u.welcome.heartbeat_ms = heartbeat_ms;
    m.u.welcome.lease_ms = 10 * heartbeat_ms;
    say(&m);
}

static void say_refuse(enum wire_refusal code, const char *sentence)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_REFUSE);
    m.u.refuse.code = code;
    (void)snprintf(m.u.refuse.sentence, sizeof m.u.refuse.sentence, "%s", sentence);
    say(&m);
}

static struct wire_message receive(void)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
    struct wire_message m;
    struct why why;
    int rc;

    while ((rc = wire_recv(router, &peer, &m, &why)) == FARM_EBUSY) {
        int64_t left = deadline_ms - clock_ms();

        ck_assert_msg(left > 0, "the worker says nothing");
        (void)zmq_poll(&item, 1, (long)left);
    }
    ck_assert_msg(rc == FARM_OK, "%s", why.text);
    if (m.kind == WIRE_HEARTBEAT)
        say_leases(WIRE_HEARTBEAT, 0, 0);
    return m;
}

/* The next message of that kind. Heartbeats and progress on the way are passed over; anything else is wrong. */
static struct wire_message expect(enum wire_kind kind)
{
    for (;;) {
        struct wire_message m = receive();

        if (m.kind == kind)
            return m;
        ck_assert_msg(m.kind == WIRE_HEARTBEAT || m.kind == WIRE_PROGRESS, "%s instead of %s",
                      wire_kind_name(m.kind), wire_kind_name(kind));
        wire_message_release(&m);
    }
}

static void skip(enum wire_kind kind)
{
    struct wire_message m = expect(kind);

    wire_message_release(&m);
}

static void meet(void)
{
    skip(WIRE_HELLO);
    say_welcome();
}

/* A small network for digits. */
static void make_graph(uint8_t **bytes, size_t *len)
{
    struct graph *g = NULL;
    struct why why;
    uint32_t x;

    ck_assert_int_eq(graph_create(&g, (struct graph_shape){8, 8, 1}, 10, &why), FARM_OK);
    x = graph_relu(g, graph_batch_norm(g, graph_conv(g, 0, 16, 3, 1, 1, 1, "a"), true, "a.bn"));
    x = graph_relu(g, graph_batch_norm(g, graph_conv(g, x, 16, 3, 2, 1, 1, "b"), true, "b.bn"));
    x = graph_linear(g, graph_global_avg_pool(g, x), 10, "out");
    ck_assert_msg(graph_finish(g, x, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(graph_pack(g, bytes, len), FARM_OK);
    graph_destroy(&g);
}

static void task_init(struct task *task, uint64_t seed)
{
    memset(task, 0, sizeof *task);
    strcpy(task->data, "digits");
    task->seed = seed;
    recipe_init(&task->recipe);
}

/* Gives a task as it is to the worker, with a blob to go on from, or NULL. */
static void give_packed(const struct task *task, uint64_t trial, uint64_t lease, zmq_msg_t *blob)
{
    struct wire_message m;
    uint8_t *bytes;
    size_t len;

    ck_assert_int_eq(task_pack(task, &bytes, &len), FARM_OK);
    wire_message_init(&m, WIRE_TASK);
    m.u.task = (struct wire_lease){.key = {EXPERIMENT, trial, 0}, .lease = lease};
    zmq_msg_init_size(&m.payload, len);
    memcpy(zmq_msg_data(&m.payload), bytes, len);
    if (blob != NULL)
        zmq_msg_copy(&m.blob, blob);
    say(&m);
    wire_message_release(&m);
    free(bytes);
}

/* Gives the small network under this recipe to the worker, with a blob to go on from, or NULL. */
static void give_task_with(struct task *task, uint64_t trial, uint64_t lease, zmq_msg_t *blob)
{
    uint8_t *graph;

    make_graph(&graph, &task->graph_len);
    task->graph = graph;
    give_packed(task, trial, lease, blob);
    task->graph = NULL;
    free(graph);
}

static void give_task(struct task *task, uint64_t trial, uint64_t lease)
{
    give_task_with(task, trial, lease, NULL);
}

static void give(uint64_t trial, uint64_t lease)
{
    struct task task;

    task_init(&task, trial);
    give_task(&task, trial, lease);
}

static struct result unpack(const struct wire_message *m, uint64_t trial, uint64_t lease)
{
    struct result result;
    struct why why;

    ck_assert_uint_eq(m->u.result.lease.key.experiment, EXPERIMENT);
    ck_assert_uint_eq(m->u.result.lease.key.trial, trial);
    ck_assert_uint_eq(m->u.result.lease.lease, lease);
    ck_assert_msg(result_unpack(&result, zmq_msg_data((zmq_msg_t *)&m->payload),
                                zmq_msg_size((zmq_msg_t *)&m->payload), &why) == FARM_OK,
                  "%s", why.text);
    return result;
}

static struct result expect_result(uint64_t trial, uint64_t lease)
{
    struct wire_message m = expect(WIRE_RESULT);
    struct result result = unpack(&m, trial, lease);

    wire_message_release(&m);
    return result;
}

static void expect_bad(enum outcome outcome, const char *says)
{
    struct result r;

    give(1, 100);
    r = expect_result(1, 100);
    ck_assert_msg(r.outcome == outcome && strstr(r.reason, says) != NULL, "%s: %s",
                  outcome_name(r.outcome), r.reason);
    ck_assert(r.fitness == 0);
}

/* The next heartbeat that lists this many leases, of which this many run. */
static void expect_heartbeat(size_t n, size_t n_running)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    size_t listed, running;

    do {
        struct wire_message m = expect(WIRE_HEARTBEAT);

        listed = m.u.leases.n;
        running = 0;
        for (size_t i = 0; i < listed; i++)
            running += m.u.leases.leases[i].running;
        wire_message_release(&m);
        ck_assert_msg(clock_ms() < deadline_ms, "%zu leases, %zu running; not %zu, %zu", listed,
                      running, n, n_running);
    } while (listed != n || running != n_running);
}

/* ---- files as signals between the test and its commands ------------------------------------------------------ */

static const char *path(const char *name)
{
    static char text[4][128];
    static unsigned next;
    char *out = text[next++ % 4];

    (void)snprintf(out, sizeof text[0], "%s/%s", folder, name);
    return out;
}

static void touch(const char *name)
{
    FILE *file = fopen(path(name), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fclose(file), 0);
}

/* Reads all of it once it is there and ends in a newline. */
static char *read_file(const char *name)
{
    static char text[1 << 16];
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    size_t n = 0;

    do {
        FILE *file = fopen(path(name), "r");

        ck_assert_msg(clock_ms() < deadline_ms, "%s does not appear", name);
        if (file != NULL) {
            n = fread(text, 1, sizeof text - 1, file);
            (void)fclose(file);
        }
        if (n == 0 || text[n - 1] != '\n')
            (void)zmq_poll(NULL, 0, 5);
    } while (n == 0 || text[n - 1] != '\n');
    text[n] = '\0';
    return text;
}

static bool is_gone(pid_t pid)
{
    char name[64], state = 0;
    FILE *file;

    (void)snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    if ((file = fopen(name, "r")) == NULL)
        return true;
    (void)fscanf(file, "%*d (%*[^)]) %c", &state);
    (void)fclose(file);
    return state == 'Z' || state == 0; /* ended, and nobody has asked how */
}

static void expect_gone(pid_t pid)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;

    while (!is_gone(pid)) {
        ck_assert_msg(clock_ms() < deadline_ms, "process %d lives on", (int)pid);
        (void)zmq_poll(NULL, 0, 5);
    }
}

#define FINAL "echo '{\"final\": true, \"accuracy\": 0.75, \"loss\": 0.5}'"

/* A command, in which %s is the folder of this test. */
static const char *command(const char *format)
{
    static char text[2048];
    char *out = text;

    for (; *format != '\0'; format++) {
        if (format[0] == '%' && format[1] == 's') {
            out += sprintf(out, "%s", folder);
            format++;
        } else {
            *out++ = *format;
        }
    }
    *out = '\0';
    return text;
}

/* Runs until the test makes the file `go`. */
#define UNTIL_GO "while [ ! -e %s/go ]; do sleep 0.02; done; echo ran >> %s/ran; " FINAL

/* ---- saying hello -------------------------------------------------------------------------------------------- */

START_TEST(hello_tells_name_slots_and_data)
{
    struct wire_message m;
    const struct wire_hello *h = &m.u.hello;

    start(OPTIONS("--slots", "3", "--ahead", "5"));
    m = expect(WIRE_HELLO);
    ck_assert_int_eq(h->role, WIRE_WORKER);
    ck_assert_str_eq(h->name, "w1");
    ck_assert_uint_ne(h->incarnation, 0);
    ck_assert_str_eq(h->version, NASFARM_VERSION);
    ck_assert_uint_eq(h->slots, 3);
    ck_assert_uint_eq(h->ahead, 5);
    ck_assert_uint_eq(h->n_leases, 0);
    ck_assert_uint_eq(h->n_data, 1);
    ck_assert_str_eq(h->data[0].name, "digits");
    ck_assert_uint_ne(h->data[0].fingerprint, 0);
    ck_assert_uint_eq(h->data[0].h, 8);
    ck_assert_uint_eq(h->data[0].c, 1);
    ck_assert_uint_eq(h->data[0].classes, 10);
    ck_assert_uint_eq(h->data[0].n_train, 1797);
    wire_message_release(&m);
}
END_TEST

START_TEST(it_waits_as_many_ahead_as_it_has_slots_unless_told)
{
    struct wire_message m;

    start(OPTIONS("--slots", "7"));
    m = expect(WIRE_HELLO);
    ck_assert_uint_eq(m.u.hello.ahead, 7);
    wire_message_release(&m);
}
END_TEST

START_TEST(told_to_say_hello_first_it_does_at_once_as_the_same_process)
{
    struct wire_message m;
    uint64_t incarnation;

    start(OPTIONS("--slots", "1"));
    m = expect(WIRE_HELLO);
    incarnation = m.u.hello.incarnation;
    wire_message_release(&m);
    say_refuse(REFUSE_HELLO_FIRST, "say HELLO first");
    m = expect(WIRE_HELLO);
    ck_assert_uint_eq(m.u.hello.incarnation, incarnation);
    wire_message_release(&m);
}
END_TEST

START_TEST(three_heartbeats_of_silence_and_it_says_hello_again)
{
    struct wire_message m;

    heartbeat_ms = 100;
    start(OPTIONS("--slots", "1"));
    meet();
    do { /* nothing is answered */
        int64_t deadline_ms = clock_ms() + PATIENCE_MS;
        zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
        struct why why;

        while (wire_recv(router, &peer, &m, &why) == FARM_EBUSY) {
            ck_assert(clock_ms() < deadline_ms);
            (void)zmq_poll(&item, 1, 100);
        }
        wire_message_release(&m);
    } while (m.kind != WIRE_HELLO);
}
END_TEST

START_TEST(another_version_of_the_broker_ends_it_with_the_sentence)
{
    start(OPTIONS("--slots", "1"));
    skip(WIRE_HELLO);
    say_refuse(REFUSE_VERSION, "you speak version 1, I speak version 9");
    ck_assert_int_eq(ended(worker), 1);
}
END_TEST

START_TEST(a_message_of_another_protocol_ends_it)
{
    start(OPTIONS("--slots", "1"));
    skip(WIRE_HELLO);
    ck_assert_int_ge(zmq_msg_send(&peer, router, ZMQ_SNDMORE), 0);
    ck_assert_int_eq(zmq_send(router, "NF\x09\x03", 4, ZMQ_SNDMORE), 4);
    ck_assert_int_eq(zmq_send(router, "", 0, 0), 0);
    ck_assert_int_eq(ended(worker), 1);
}
END_TEST

START_TEST(an_acknowledgement_of_an_older_try_leaves_the_result)
{
    struct wire_message m;

    start(OPTIONS("--slots", "1", "--evaluator", "synthetic"));
    meet();
    give(1, 200);
    (void)expect_result(1, 200);
    say_leases(WIRE_ACK, 1, 100);
    say_refuse(REFUSE_HELLO_FIRST, "who are you?");
    m = expect(WIRE_HELLO);
    ck_assert_uint_eq(m.u.hello.n_leases, 1);
    wire_message_release(&m);
}
END_TEST

START_TEST(a_drain_that_takes_too_long_hands_back_what_runs)
{
    start(OPTIONS("--slots", "1", "--drain-timeout", "1s", "--exec", "sleep 1000"));
    meet();
    give(1, 100);
    expect_heartbeat(1, 1);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    skip(WIRE_DRAIN);
    skip(WIRE_RETURN);
    skip(WIRE_GOODBYE);
    ck_assert_int_eq(ended(worker), 0);
}
END_TEST

START_TEST(a_name_that_is_taken_is_asked_for_again)
{
    start(OPTIONS("--slots", "1"));
    skip(WIRE_HELLO);
    say_refuse(REFUSE_NAME_TAKEN, "w1 is here already");
    meet();
    expect_heartbeat(0, 0);
}
END_TEST

/* ---- tasks, leases and results ------------------------------------------------------------------------------- */

START_TEST(a_synthetic_task_has_the_fitness_that_the_function_says)
{
    struct task task;
    struct result r;
    uint8_t *graph;
    double expected;

    start(OPTIONS("--slots", "2", "--evaluator", "synthetic"));
    meet();
    for (uint64_t trial = 1; trial <= 20; trial++) {
        task_init(&task, trial % 10); /* each seed twice */
        give_task(&task, trial, 100 + trial);
        r = expect_result(trial, 100 + trial);
        make_graph(&graph, &task.graph_len);
        task.graph = graph;
        expected = synthetic_fitness(&task);
        free(graph);
        ck_assert_int_eq(r.outcome, OUTCOME_OK);
        ck_assert(r.fitness == expected && expected >= 0 && expected <= 1);
        say_leases(WIRE_ACK, trial, 0);
    }
}
END_TEST

START_TEST(a_synthetic_fitness_is_of_the_graph_and_the_seed)
{
    static const uint8_t a[] = "one", b[] = "another";
    struct task x = {.seed = 1, .graph = a, .graph_len = sizeof a}, y = x;

    ck_assert(synthetic_fitness(&x) == synthetic_fitness(&y));
    y.recipe.epochs = 9;
    ck_assert(synthetic_fitness(&x) == synthetic_fitness(&y));
    y.seed = 2;
    ck_assert(synthetic_fitness(&x) != synthetic_fitness(&y));
    y = (struct task){.seed = 1, .graph = b, .graph_len = sizeof b};
    ck_assert(synthetic_fitness(&x) != synthetic_fitness(&y));
    for (y.seed = 0; y.seed < 1000; y.seed++) {
        uint32_t ms = synthetic_ms(&y, 10, 20);

        ck_assert_uint_ge(ms, 10);
        ck_assert_uint_le(ms, 20);
    }
}
END_TEST

START_TEST(a_result_is_kept_over_a_restart_of_the_broker_until_it_is_acknowledged)
{
    char at[sizeof endpoint];
    struct wire_message m;

    heartbeat_ms = 200;
    start(OPTIONS("--slots", "2", "--evaluator", "synthetic"));
    meet();
    give(1, 100);
    give(2, 101);
    (void)expect_result(1, 100);
    (void)expect_result(2, 101);
    say_leases(WIRE_ACK, 1, 0);
    say_welcome(); /* brings what is kept: not 1 */
    (void)expect_result(2, 101);

    memcpy(at, endpoint, sizeof at);
    zmq_close(router);
    broker_bind(at);
    for (;;) { /* what it says before it knows that this is another broker is refused */
        m = receive();
        if (m.kind == WIRE_HELLO)
            break;
        wire_message_release(&m);
        say_refuse(REFUSE_HELLO_FIRST, "say HELLO first");
    }
    ck_assert_uint_eq(m.u.hello.n_leases, 1);
    ck_assert_uint_eq(m.u.hello.leases[0].key.trial, 2);
    ck_assert_uint_eq(m.u.hello.leases[0].lease, 101);
    ck_assert(!m.u.hello.leases[0].running);
    wire_message_release(&m);
    say_welcome();
    (void)expect_result(2, 101);
    say_leases(WIRE_ACK, 2, 101);
    say_refuse(REFUSE_HELLO_FIRST, "say HELLO first");
    m = expect(WIRE_HELLO);
    ck_assert_uint_eq(m.u.hello.n_leases, 0);
    wire_message_release(&m);
}
END_TEST

START_TEST(without_acknowledgement_a_result_is_sent_again_after_a_while)
{
    start(OPTIONS("--slots", "1", "--evaluator", "synthetic"));
    meet();
    give(1, 100);
    (void)expect_result(1, 100);
    (void)expect_result(1, 100);
}
END_TEST

START_TEST(a_newer_lease_of_what_runs_is_adopted_and_it_runs_once)
{
    start(OPTIONS("--slots", "1", "--exec", command(UNTIL_GO)));
    heartbeat_ms = 100;
    meet();
    give(1, 100);
    expect_heartbeat(1, 1);
    give(1, 200);
    say_leases(WIRE_REVOKE, 1, 100); /* void already: not this one */
    expect_heartbeat(1, 1);
    touch("go");
    ck_assert_int_eq(expect_result(1, 200).outcome, OUTCOME_OK);
    ck_assert_str_eq(read_file("ran"), "ran\n");
}
END_TEST

START_TEST(another_try_of_what_is_finished_is_evaluated_again)
{
    start(OPTIONS("--slots", "1", "--exec", command("echo ran >> %s/ran; " FINAL)));
    meet();
    give(1, 100);
    (void)expect_result(1, 100);
    give(1, 200);
    (void)expect_result(1, 200);
    ck_assert_str_eq(read_file("ran"), "ran\nran\n");
}
END_TEST

START_TEST(a_revoked_evaluation_is_killed_and_its_slot_is_free)
{
    pid_t pid;

    heartbeat_ms = 100;
    start(OPTIONS("--slots", "1", "--ahead", "1", "--exec",
                  command("read d; case \"$d\" in *'\"trial\":1,'*) sleep 1000 & echo $! > %s/pid; "
                          "wait;; esac; " FINAL)));
    meet();
    give(1, 100);
    give(2, 101);
    pid = (pid_t)strtol(read_file("pid"), NULL, 10);
    ck_assert(!is_gone(pid));
    say_leases(WIRE_REVOKE, 1, 100);
    ck_assert_int_eq(expect_result(2, 101).outcome, OUTCOME_OK);
    expect_gone(pid); /* with all its descendants */
    say_leases(WIRE_ACK, 2, 101);
    expect_heartbeat(0, 0);
}
END_TEST

START_TEST(a_revoked_task_that_waits_is_forgotten_and_a_finished_result_is_not)
{
    heartbeat_ms = 100;
    start(OPTIONS("--slots", "1", "--ahead", "2", "--exec", command(UNTIL_GO)));
    meet();
    give(1, 100);
    give(2, 101);
    give(3, 102);
    expect_heartbeat(3, 1);
    say_leases(WIRE_REVOKE, 2, 101);
    expect_heartbeat(2, 1);
    touch("go");
    (void)expect_result(1, 100);
    (void)expect_result(3, 102);
    say_leases(WIRE_REVOKE, 1, 100);
    say_welcome(); /* brings what is kept */
    (void)expect_result(1, 100);
    (void)expect_result(3, 102);
}
END_TEST

START_TEST(no_more_run_at_once_than_there_are_slots_and_all_are_evaluated)
{
    unsigned done = 0;
    bool seen[9] = {false};

    heartbeat_ms = 20;
    start(OPTIONS("--slots", "2", "--ahead", "6", "--exec", command("sleep 0.1; " FINAL)));
    meet();
    for (uint64_t trial = 1; trial <= 8; trial++)
        give(trial, 100 + trial);
    while (done < 8) {
        struct wire_message m = receive();
        size_t running = 0;

        if (m.kind == WIRE_HEARTBEAT) {
            for (size_t i = 0; i < m.u.leases.n; i++)
                running += m.u.leases.leases[i].running;
            ck_assert_uint_le(running, 2);
        } else if (m.kind == WIRE_HELLO) {
            say_welcome(); /* this machine is busy: 60 ms of silence */
        } else if (m.kind == WIRE_RESULT) {
            uint64_t trial = m.u.result.lease.key.trial;

            ck_assert(trial >= 1 && trial <= 8);
            done += !seen[trial];
            seen[trial] = true;
            say_leases(WIRE_ACK, trial, 0);
        }
        wire_message_release(&m);
    }
}
END_TEST

START_TEST(many_synthetic_durations_pass_at_once)
{
    int64_t start_ms;

    start(OPTIONS("--slots", "100", "--evaluator", "synthetic:300-300"));
    meet();
    start_ms = clock_ms();
    for (uint64_t trial = 1; trial <= 100; trial++)
        give(trial, 100 + trial);
    for (uint64_t trial = 1; trial <= 100; trial++) {
        struct wire_message m = expect(WIRE_RESULT);

        wire_message_release(&m);
        if (trial == 1)
            ck_assert_int_ge(clock_ms() - start_ms, 290);
    }
    ck_assert_int_lt(clock_ms() - start_ms, 100 * 300 / 4);
}
END_TEST

START_TEST(more_than_slots_and_ahead_is_handed_back)
{
    struct wire_message m;

    start(OPTIONS("--slots", "1", "--ahead", "1", "--exec", command(UNTIL_GO)));
    meet();
    give(1, 100);
    give(2, 101);
    give(3, 102);
    m = expect(WIRE_RETURN);
    ck_assert_uint_eq(m.u.leases.n, 1);
    ck_assert_uint_eq(m.u.leases.leases[0].key.trial, 3);
    ck_assert_uint_eq(m.u.leases.leases[0].lease, 102);
    wire_message_release(&m);
}
END_TEST

/* ---- what cannot be evaluated -------------------------------------------------------------------------------- */

START_TEST(a_task_that_does_not_unpack_is_rejected)
{
    struct wire_message m;
    struct result r;

    start(OPTIONS("--slots", "1"));
    meet();
    wire_message_init(&m, WIRE_TASK);
    m.u.task = (struct wire_lease){.key = {EXPERIMENT, 1, 0}, .lease = 100};
    zmq_msg_init_size(&m.payload, 100);
    memset(zmq_msg_data(&m.payload), 0xff, 100);
    say(&m);
    wire_message_release(&m);
    r = expect_result(1, 100);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_int_ne(r.reason[0], '\0');
}
END_TEST

/* Ten logits for eleven classes: the last value of a field is the one that counts. */
START_TEST(a_graph_that_does_not_type_check_is_rejected_and_the_worker_goes_on)
{
    static const uint8_t eleven_classes[] = {5 << 3, 11};
    struct task task;
    uint8_t *graph, *wrong;
    struct result r;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 1);
    make_graph(&graph, &task.graph_len);
    wrong = malloc(task.graph_len + sizeof eleven_classes);
    memcpy(wrong, graph, task.graph_len);
    memcpy(wrong + task.graph_len, eleven_classes, sizeof eleven_classes);
    task.graph = wrong;
    task.graph_len += sizeof eleven_classes;
    give_packed(&task, 1, 100, NULL);
    r = expect_result(1, 100);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(r.reason, "11") != NULL, "%s", r.reason);
    task.graph = graph;
    task.graph_len -= sizeof eleven_classes;
    task.recipe.epochs = 1;
    give_packed(&task, 2, 101, NULL);
    r = expect_result(2, 101);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s", r.reason);
    free(wrong);
    free(graph);
}
END_TEST

START_TEST(other_data_is_rejected_and_both_fingerprints_are_told)
{
    struct task task;
    struct result r;
    struct wire_message m;
    char here[32];

    start(OPTIONS("--slots", "1", "--evaluator", "synthetic"));
    m = expect(WIRE_HELLO);
    (void)snprintf(here, sizeof here, "%016llx", (unsigned long long)m.u.hello.data[0].fingerprint);
    wire_message_release(&m);
    say_welcome();
    task_init(&task, 1);
    task.data_fingerprint = 0xabcdef0123456789;
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(r.reason, "abcdef0123456789") != NULL && strstr(r.reason, here) != NULL,
                  "%s", r.reason);
    strcpy(task.data, "letters");
    give_task(&task, 2, 101);
    r = expect_result(2, 101);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(r.reason, "letters") != NULL, "%s", r.reason);
}
END_TEST

/* ---- training ------------------------------------------------------------------------------------------------ */

START_TEST(a_network_is_trained_on_digits_and_reports_every_epoch)
{
    struct task task;
    struct wire_message m;
    struct result r;
    unsigned reports = 0;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 4;
    task.recipe.lr = 0.1;
    give_task(&task, 1, 100);
    while ((m = receive()).kind != WIRE_RESULT) {
        struct progress p;
        struct why why;

        if (m.kind == WIRE_PROGRESS) {
            ck_assert_int_eq(
                progress_unpack(&p, zmq_msg_data(&m.payload), zmq_msg_size(&m.payload), &why),
                FARM_OK);
            ck_assert_uint_eq(p.epoch, ++reports);
            ck_assert_uint_eq(p.epochs, 4);
            ck_assert(isfinite(p.train_loss));
        }
        wire_message_release(&m);
    }
    r = unpack(&m, 1, 100);
    wire_message_release(&m);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s", r.reason);
    ck_assert_uint_eq(reports, 4);
    ck_assert_uint_eq(r.epochs, 4);
    ck_assert(r.fitness > 0.5 && r.fitness <= 1);
    ck_assert(isnan(r.test_accuracy));
    ck_assert_uint_gt(r.n_validation, 100);
    ck_assert_int_ne(r.isa[0], '\0');
    /* the same task has the same fitness, to the last bit */
    give_task(&task, 2, 101);
    ck_assert(expect_result(2, 101).fitness == r.fitness);
}
END_TEST

/* The evaluator's; one slot has one. */
static pid_t child_of(pid_t pid)
{
    char name[64], text[64] = "";
    FILE *file;

    (void)snprintf(name, sizeof name, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    ck_assert_ptr_nonnull(file = fopen(name, "r"));
    ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
    fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

START_TEST(a_training_leaves_sigterm_to_its_worker)
{
    struct task task;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 4;
    give_task(&task, 1, 100);
    skip(WIRE_PROGRESS);
    ck_assert_int_eq(kill(child_of(worker), SIGTERM), 0);
    ck_assert_int_eq(expect_result(1, 100).outcome, OUTCOME_OK);
}
END_TEST

START_TEST(a_final_task_brings_its_test_accuracy_and_the_weights)
{
    struct task task;
    struct wire_message m;
    struct result r;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 2;
    task.recipe.final = true;
    give_task(&task, 1, 100);
    m = expect(WIRE_RESULT);
    r = unpack(&m, 1, 100);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s", r.reason);
    ck_assert(r.test_accuracy > 0.1);
    ck_assert_uint_gt(zmq_msg_size(&m.blob), 1000);
    ck_assert_uint_eq(checksum_crc32(zmq_msg_data(&m.blob), zmq_msg_size(&m.blob)), r.blob_crc32);
    wire_message_release(&m);
}
END_TEST

/* Half of it here, half of it in the next worker process: the same as all of it in one. */
START_TEST(a_paused_training_goes_on_in_another_worker)
{
    struct task task;
    struct wire_message m;
    struct result whole, half, end;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 4;
    task.recipe.mixup = 0.2;
    task.recipe.ema = 0.99;
    give_task(&task, 1, 100);
    whole = expect_result(1, 100);
    ck_assert_msg(whole.outcome == OUTCOME_OK, "%s", whole.reason);

    task.recipe.pause_epochs = 2;
    give_task(&task, 2, 101);
    m = expect(WIRE_RESULT);
    half = unpack(&m, 2, 101);
    ck_assert_msg(half.outcome == OUTCOME_OK, "%s", half.reason);
    ck_assert_uint_eq(half.epochs, 2);
    ck_assert_uint_eq(checksum_crc32(zmq_msg_data(&m.blob), zmq_msg_size(&m.blob)),
                      half.blob_crc32);
    (void)kill(worker, SIGKILL);
    (void)ended(worker);
    start(OPTIONS("--slots", "1"));
    meet();
    task.recipe.pause_epochs = 0;
    task.resume_crc32 = half.blob_crc32;
    give_task_with(&task, 2, 102, &m.blob);
    end = expect_result(2, 102);
    ck_assert_msg(end.outcome == OUTCOME_OK, "%s", end.reason);
    ck_assert_mem_eq(&end.fitness, &whole.fitness, sizeof whole.fitness);
    ck_assert_mem_eq(&end.loss, &whole.loss, sizeof whole.loss);
    ck_assert_mem_eq(&end.train_loss, &whole.train_loss, sizeof whole.train_loss);
    ck_assert_uint_eq(end.images, whole.images);

    give_task_with(&task, 3, 103, NULL); /* it got lost on the way */
    end = expect_result(3, 103);
    ck_assert_int_eq(end.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(end.reason, "did not come along") != NULL, "%s", end.reason);
    wire_message_release(&m);
}
END_TEST

START_TEST(a_final_training_is_paused_without_a_measure)
{
    struct task task;
    struct result r;

    start(OPTIONS("--slots", "1"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 4;
    task.recipe.pause_epochs = 1;
    task.recipe.final = true;
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s", r.reason);
    ck_assert(isnan(r.test_accuracy));
    ck_assert_uint_ne(r.blob_crc32, 0);
}
END_TEST

START_TEST(a_command_is_not_asked_to_go_on_with_what_it_cannot_read)
{
    struct task task;
    struct result r;

    start(OPTIONS("--slots", "1", "--exec", FINAL));
    meet();
    task_init(&task, 3);
    task.resume_crc32 = 5;
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_int_eq(r.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(r.reason, "a command cannot go on with a paused training") != NULL, "%s",
                  r.reason);
}
END_TEST

/* ---- commands that go wrong ---------------------------------------------------------------------------------- */

static const struct {
    const char *name, *command;
    enum outcome outcome;
    const char *says;
} bad[] = {
    {"crash", "kill -SEGV $$", OUTCOME_CRASHED, "SEGV"},
    {"killed", "kill -KILL $$", OUTCOME_CRASHED, "out of memory?"},
    {"exit status", "echo before >&2; echo it broke >&2; exit 3", OUTCOME_CRASHED, "it broke"},
    {"status number", "exit 3", OUTCOME_CRASHED, "3"},
    {"no such command", "/no/such/program", OUTCOME_CRASHED, "127"},
    {"no final line", "echo hello", OUTCOME_CRASHED, "ended without a final line"},
    {"final without accuracy", "echo '{\"final\":true}'", OUTCOME_CRASHED, "accuracy"},
    {"accuracy of another type", "echo '{\"final\":true,\"accuracy\":\"high\"}'", OUTCOME_CRASHED,
     "accuracy"},
    {"accuracy NaN", "echo '{\"final\":true,\"accuracy\":NaN}'", OUTCOME_DIVERGED, "accuracy"},
    {"final and a failure", FINAL "; exit 4", OUTCOME_CRASHED, "4"},
    {"out of memory", "exit 77", OUTCOME_OOM, "out of memory"},
    {"Python out of memory", "echo 'MemoryError: no room' >&2; exit 1", OUTCOME_OOM, "no room"},
    {"crash below a shell", "sh -c 'kill -SEGV $$'; exit $?", OUTCOME_CRASHED, "SIGSEGV"},
    {"control characters", "printf 'a\\033[2Jb\\n\\n' >&2; exit 3", OUTCOME_CRASHED, "a?[2Jb"},
    {"its own verdict", "echo '{\"final\":true,\"outcome\":\"diverged\",\"reason\":\"loss nan\"}'",
     OUTCOME_DIVERGED, "loss nan"},
};

START_TEST(a_command_that_goes_wrong_is_a_result_with_a_reason)
{
    start(OPTIONS("--slots", "1", "--exec", bad[_i].command));
    meet();
    expect_bad(bad[_i].outcome, bad[_i].says);
}
END_TEST

START_TEST(a_command_that_hangs_is_killed_after_the_stall_time)
{
    start(OPTIONS("--slots", "1", "--stall", "1", "--exec", "sleep 1000"));
    meet();
    expect_bad(OUTCOME_TIMEOUT, "no progress for 1 s");
}
END_TEST

START_TEST(a_command_that_does_not_end_after_its_final_line_is_ended_and_its_result_counts)
{
    start(OPTIONS("--slots", "1", "--exec", command(FINAL "; sleep 1000")));
    meet();
    give(1, 100);
    ck_assert_int_eq(expect_result(1, 100).outcome, OUTCOME_OK);
}
END_TEST

START_TEST(the_workers_limit_of_memory_holds_where_the_task_names_none)
{
    struct task task;
    struct result r;

    start(OPTIONS("--slots", "1", "--data", "digits", "--memory", "1"));
    meet();
    task_init(&task, 1);
    task.recipe.batch = 4096; /* a megabyte of pixels alone */
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_msg(r.outcome == OUTCOME_OOM, "%s: %s", outcome_name(r.outcome), r.reason);
}
END_TEST

/* Less than what OpenBLAS wants for itself: it must have that before. (Sanitizers have no such limit.) */
START_TEST(a_training_that_fits_a_small_limit_of_memory_ends)
{
    struct task task;
    struct result r;

    start(OPTIONS("--slots", "1", "--data", "digits", "--memory", "16", "--stall", "20"));
    meet();
    task_init(&task, 3);
    task.recipe.epochs = 1;
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s: %s", outcome_name(r.outcome), r.reason);
}
END_TEST

START_TEST(a_command_past_its_time_limit_is_killed_though_it_moves)
{
    struct task task;
    struct result r;

    start(OPTIONS("--slots", "1", "--exec", "while :; do echo '{\"tick\":1}'; sleep 0.1; done"));
    meet();
    task_init(&task, 1);
    task.recipe.time_limit_s = 1;
    give_task(&task, 1, 100);
    r = expect_result(1, 100);
    ck_assert_int_eq(r.outcome, OUTCOME_TIMEOUT);
    ck_assert_msg(strstr(r.reason, "limit") != NULL, "%s", r.reason);
}
END_TEST

START_TEST(garbage_lines_do_no_harm)
{
    struct result r;

    start(OPTIONS(
        "--slots", "1", "--exec",
        "head -c 300000 /dev/zero | tr '\\0' 'x'; echo; head -c 100000 /dev/urandom; echo;"
        "printf "
        "'\\377\\376{\\n{\\n}\\n{\"epoch\":-1}\\n{\"epoch\":1e99}\\n[1]\\n{\"final\":1}\\n'; "
        "head -c 60000 /dev/zero | tr '\\0' '['; echo; "
        "head -c 200000 /dev/urandom >&2; printf 'no newline at the end' >&2; "
        "printf '{\"final\":true,\"accuracy\":0.25}'"));
    meet();
    give(1, 100);
    r = expect_result(1, 100);
    ck_assert_msg(r.outcome == OUTCOME_OK, "%s", r.reason);
    ck_assert(r.fitness == 0.25);
}
END_TEST

START_TEST(a_descendant_that_holds_the_pipe_does_not_hold_the_slot)
{
    start(OPTIONS("--slots", "1", "--exec", command("sleep 1000 & " FINAL)));
    meet();
    give(1, 100);
    ck_assert_int_eq(expect_result(1, 100).outcome, OUTCOME_OK);
    give(2, 101);
    ck_assert_int_eq(expect_result(2, 101).outcome, OUTCOME_OK);
}
END_TEST

START_TEST(a_command_gets_the_whole_task_and_its_reports_are_passed_on)
{
    struct task task;
    struct wire_message m;
    struct progress p;
    struct why why;
    struct result r;
    json_t *doc, *nodes;

    start(OPTIONS(
        "--slots", "1", "--exec",
        command("cat > %s/doc; echo '{\"epoch\":1,\"epochs\":2,\"accuracy\":0.5}'; " FINAL)));
    meet();
    task_init(&task, 12345);
    task.recipe.lr = 0.1;
    give_task(&task, 9, 100);
    m = expect(WIRE_PROGRESS);
    ck_assert_int_eq(progress_unpack(&p, zmq_msg_data(&m.payload), zmq_msg_size(&m.payload), &why),
                     FARM_OK);
    ck_assert_uint_eq(m.u.result.lease.lease, 100);
    ck_assert_uint_eq(p.epoch, 1);
    ck_assert(p.accuracy == 0.5 && isnan(p.loss));
    wire_message_release(&m);
    r = expect_result(9, 100);
    ck_assert(r.outcome == OUTCOME_OK && r.fitness == 0.75 && r.loss == 0.5);
    ck_assert_str_eq(r.isa, "exec");
    ck_assert_str_eq(r.made_by, "nasfarm " NASFARM_VERSION);

    ck_assert_ptr_nonnull(doc = json_loads(read_file("doc"), 0, NULL));
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "protocol")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(doc, "trial")), 9);
    ck_assert_str_eq(json_string_value(json_object_get(doc, "seed")), "0x0000000000003039");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(doc, "data"), "name")),
                     "digits");
    ck_assert(json_real_value(json_object_get(json_object_get(doc, "recipe"), "lr")) == 0.1);
    nodes = json_object_get(json_object_get(doc, "graph"), "nodes");
    ck_assert_uint_eq(json_array_size(nodes), 9); /* the input is node 0 */
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(nodes, 0), "op")), "input");
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(nodes, 8), "name")), "out");
    json_decref(doc);
}
END_TEST

/* ---- ending -------------------------------------------------------------------------------------------------- */

START_TEST(sigterm_drains_what_waits_goes_back_what_runs_is_finished)
{
    struct wire_message m;

    heartbeat_ms = 100;
    start(OPTIONS("--slots", "1", "--ahead", "2", "--exec", command(UNTIL_GO)));
    meet();
    give(1, 100);
    give(2, 101);
    give(3, 102);
    expect_heartbeat(3, 1);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    skip(WIRE_DRAIN);
    for (uint64_t trial = 2; trial <= 3; trial++) {
        m = expect(WIRE_RETURN);
        ck_assert_uint_eq(m.u.leases.n, 1);
        ck_assert_uint_eq(m.u.leases.leases[0].key.trial, trial);
        wire_message_release(&m);
    }
    touch("go");
    (void)expect_result(1, 100);
    say_leases(WIRE_ACK, 1, 100);
    skip(WIRE_GOODBYE);
    ck_assert_int_eq(ended(worker), 0);
}
END_TEST

/* Slurm and systemd send SIGTERM to all processes of a job. */
START_TEST(a_command_that_is_told_to_stop_with_its_worker_is_handed_back_and_no_failure)
{
    struct wire_message m;
    pid_t pid;

    start(OPTIONS("--slots", "1", "--exec",
                  command(_i == 0 ? "echo $$ > %s/pid; exec sleep 1000"
                                  : "sleep 1000 & echo $! > %s/pid; wait $!")));
    meet();
    give(1, 100);
    pid = (pid_t)strtol(read_file("pid"), NULL, 10);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    skip(WIRE_DRAIN);
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    m = expect(WIRE_RETURN);
    ck_assert_uint_eq(m.u.leases.leases[0].key.trial, 1);
    wire_message_release(&m);
    skip(WIRE_GOODBYE);
    ck_assert_int_eq(ended(worker), 0);
}
END_TEST

START_TEST(sigterm_twice_hands_back_what_runs_too_and_kills_it)
{
    struct wire_message m;
    pid_t pid;

    start(OPTIONS("--slots", "1", "--exec", command("echo $$ > %s/pid; exec sleep 1000")));
    meet();
    give(1, 100);
    pid = (pid_t)strtol(read_file("pid"), NULL, 10);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    skip(WIRE_DRAIN);
    ck_assert_int_eq(kill(worker, SIGTERM), 0);
    m = expect(WIRE_RETURN);
    ck_assert_uint_eq(m.u.leases.n, 1);
    ck_assert_uint_eq(m.u.leases.leases[0].key.trial, 1);
    wire_message_release(&m);
    skip(WIRE_GOODBYE);
    ck_assert_int_eq(ended(worker), 0);
    expect_gone(pid);
}
END_TEST

START_TEST(an_idle_worker_leaves_when_told_to)
{
    start(OPTIONS("--slots", "1", "--idle-exit", "1", "--evaluator", "synthetic"));
    meet();
    for (;;) {
        struct wire_message m = receive();
        enum wire_kind kind = m.kind;

        wire_message_release(&m);
        ck_assert(kind == WIRE_HEARTBEAT || kind == WIRE_DRAIN || kind == WIRE_GOODBYE);
        if (kind == WIRE_GOODBYE)
            break;
    }
    ck_assert_int_eq(ended(worker), 0);
}
END_TEST

START_TEST(without_a_broker_it_leaves_when_told_to_wait_no_longer)
{
    char text[2000] = "";
    FILE *said;

    worker = start_raw(OPTIONS("--broker", "tcp://127.0.0.1:1", "--connect-timeout", "1",
                               "--evaluator", "synthetic"),
                       path("stderr"));
    ck_assert_int_eq(ended(worker), 1);
    ck_assert_ptr_nonnull(said = fopen(path("stderr"), "r"));
    ck_assert_uint_gt(fread(text, 1, sizeof text - 1, said), 0);
    fclose(said);
    ck_assert_msg(strstr(text, "no broker has answered at tcp://127.0.0.1:1 for 1 s") != NULL, "%s",
                  text);
}
END_TEST

START_TEST(a_killed_worker_takes_its_evaluations_with_it)
{
    pid_t pid;

    start(OPTIONS("--slots", "1", "--exec", command("echo $$ > %s/pid; exec sleep 1000")));
    meet();
    give(1, 100);
    pid = (pid_t)strtol(read_file("pid"), NULL, 10);
    ck_assert_int_eq(kill(worker, SIGKILL), 0);
    ck_assert_int_eq(ended(worker), 128 + SIGKILL);
    expect_gone(pid);
}
END_TEST

/* ---- the command line ---------------------------------------------------------------------------------------- */

static const struct {
    const char *options[8];
    int status;
} lines[] = {
    {{"--help"}, 0},
    {{"--version"}, 0},
    {{"--slots", "2"}, 2},
    {{"--broker", "nonsense"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--slots", "0"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--slots", "two"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--slots", "5000"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--name", "a b"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--evaluator", "magic"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--evaluator", "synthetic:9-1"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--evaluator", "synthetic", "--exec", "true"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--evaluator", "exec"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--evaluator", "train", "--exec", "true"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--idle-exit", "5x"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--stall", "-1"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "something"}, 2},
    {{"--broker", "tcp://127.0.0.1:5555", "--data", "idx:/no/such/folder"}, 2},
};

START_TEST(a_wrong_command_line_ends_with_two_and_says_why)
{
    pid_t pid = start_raw(lines[_i].options, path("stderr"));

    ck_assert_msg(ended(pid) == lines[_i].status, "%s", read_file("stderr"));
    if (lines[_i].status != 0)
        (void)read_file("stderr"); /* it says why */
}
END_TEST

static void write_endpoint(const char *text)
{
    FILE *file = fopen(path("endpoint"), "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_gt(fprintf(file, "%s\n", text), 0);
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(the_endpoint_can_come_from_a_file)
{
    write_endpoint(endpoint);
    worker = start_raw(
        OPTIONS("--broker-file", path("endpoint"), "--data", "digits", "--die-with-parent"), NULL);
    meet();
}
END_TEST

/* A job may run before its broker, and the broker's job on another machine the next time. */
START_TEST(a_file_that_comes_later_and_changes_is_followed)
{
    worker = start_raw(
        OPTIONS("--broker-file", path("endpoint"), "--data", "digits", "--die-with-parent"), NULL);
    usleep(300000);
    write_endpoint("tcp://127.0.0.1:1");
    usleep(300000);
    write_endpoint(endpoint);
    meet();
}
END_TEST

START_TEST(a_file_that_names_another_machine_wants_keys)
{
    pid_t pid;

    write_endpoint("tcp://203.0.113.1:5555");
    pid = start_raw(
        OPTIONS("--broker-file", path("endpoint"), "--data", "digits", "--die-with-parent"),
        path("stderr"));
    ck_assert_int_eq(ended(pid), 2);
    ck_assert_ptr_nonnull(strstr(read_file("stderr"), "without keys"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("worker");
    TCase *tcase = tcase_create("worker");
    SRunner *runner;
    int failed;

    wire_seed();
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, hello_tells_name_slots_and_data);
    tcase_add_test(tcase, it_waits_as_many_ahead_as_it_has_slots_unless_told);
    tcase_add_test(tcase, told_to_say_hello_first_it_does_at_once_as_the_same_process);
    tcase_add_test(tcase, three_heartbeats_of_silence_and_it_says_hello_again);
    tcase_add_test(tcase, another_version_of_the_broker_ends_it_with_the_sentence);
    tcase_add_test(tcase, a_message_of_another_protocol_ends_it);
    tcase_add_test(tcase, an_acknowledgement_of_an_older_try_leaves_the_result);
    tcase_add_test(tcase, a_drain_that_takes_too_long_hands_back_what_runs);
    tcase_add_test(tcase, a_name_that_is_taken_is_asked_for_again);
    tcase_add_test(tcase, a_synthetic_task_has_the_fitness_that_the_function_says);
    tcase_add_test(tcase, a_synthetic_fitness_is_of_the_graph_and_the_seed);
    tcase_add_test(tcase, a_result_is_kept_over_a_restart_of_the_broker_until_it_is_acknowledged);
    tcase_add_test(tcase, without_acknowledgement_a_result_is_sent_again_after_a_while);
    tcase_add_test(tcase, a_newer_lease_of_what_runs_is_adopted_and_it_runs_once);
    tcase_add_test(tcase, another_try_of_what_is_finished_is_evaluated_again);
    tcase_add_test(tcase, a_revoked_evaluation_is_killed_and_its_slot_is_free);
    tcase_add_test(tcase, a_revoked_task_that_waits_is_forgotten_and_a_finished_result_is_not);
    tcase_add_test(tcase, no_more_run_at_once_than_there_are_slots_and_all_are_evaluated);
    tcase_add_test(tcase, many_synthetic_durations_pass_at_once);
    tcase_add_test(tcase, more_than_slots_and_ahead_is_handed_back);
    tcase_add_test(tcase, a_task_that_does_not_unpack_is_rejected);
    tcase_add_test(tcase, a_graph_that_does_not_type_check_is_rejected_and_the_worker_goes_on);
    tcase_add_test(tcase, other_data_is_rejected_and_both_fingerprints_are_told);
    tcase_add_test(tcase, a_network_is_trained_on_digits_and_reports_every_epoch);
    tcase_add_test(tcase, a_training_leaves_sigterm_to_its_worker);
    tcase_add_test(tcase, a_paused_training_goes_on_in_another_worker);
    tcase_add_test(tcase, a_final_training_is_paused_without_a_measure);
    tcase_add_test(tcase, a_command_is_not_asked_to_go_on_with_what_it_cannot_read);
    tcase_add_test(tcase, a_final_task_brings_its_test_accuracy_and_the_weights);
    tcase_add_loop_test(tcase, a_command_that_goes_wrong_is_a_result_with_a_reason, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tcase, a_command_that_hangs_is_killed_after_the_stall_time);
    tcase_add_test(tcase,
                   a_command_that_does_not_end_after_its_final_line_is_ended_and_its_result_counts);
    tcase_add_test(tcase, the_workers_limit_of_memory_holds_where_the_task_names_none);
    tcase_add_test(tcase, a_training_that_fits_a_small_limit_of_memory_ends);
    tcase_add_test(tcase, a_command_past_its_time_limit_is_killed_though_it_moves);
    tcase_add_test(tcase, garbage_lines_do_no_harm);
    tcase_add_test(tcase, a_descendant_that_holds_the_pipe_does_not_hold_the_slot);
    tcase_add_test(tcase, a_command_gets_the_whole_task_and_its_reports_are_passed_on);
    tcase_add_test(tcase, sigterm_drains_what_waits_goes_back_what_runs_is_finished);
    tcase_add_loop_test(
        tcase, a_command_that_is_told_to_stop_with_its_worker_is_handed_back_and_no_failure, 0, 2);
    tcase_add_test(tcase, sigterm_twice_hands_back_what_runs_too_and_kills_it);
    tcase_add_test(tcase, an_idle_worker_leaves_when_told_to);
    tcase_add_test(tcase, without_a_broker_it_leaves_when_told_to_wait_no_longer);
    tcase_add_test(tcase, a_killed_worker_takes_its_evaluations_with_it);
    tcase_add_loop_test(tcase, a_wrong_command_line_ends_with_two_and_says_why, 0,
                        (int)(sizeof lines / sizeof lines[0]));
    tcase_add_test(tcase, the_endpoint_can_come_from_a_file);
    tcase_add_test(tcase, a_file_that_comes_later_and_changes_is_followed);
    tcase_add_test(tcase, a_file_that_names_another_machine_wants_keys);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
