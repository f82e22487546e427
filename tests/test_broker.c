/* test_broker.c - the real broker process, with real sockets: start, stop, garbage, restart. What it decides is in
 * test_ledger.c. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "raw_message.h"
#include "rng.h"
#include "wire.h"

#define PATIENCE_MS 20000

/* ---- a broker in a process of its own ---------------------------------------------------------------------- */

struct process {
    pid_t pid;
    int out, err; /* ends of pipes to read: --ready-fd, standard error */
};

static struct process start(const char *const *options)
{
    const char *argv[24] = {BIN_BROKER, "--heartbeat", "100", "--ready-fd", "3", NULL};
    struct process p;
    int ready[2], err[2];

    for (size_t i = 0; options[i] != NULL; i++) {
        argv[5 + i] = options[i];
        argv[6 + i] = NULL;
    }
    ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
    ck_assert_int_eq(pipe2(err, O_CLOEXEC), 0);
    if ((p.pid = fork()) == 0) {
        int high = fcntl(ready[1], F_DUPFD, 10);

        dup2(err[1], STDERR_FILENO);
        dup2(high, 3);
        close(high);
        execv(BIN_BROKER, (char *const *)argv);
        _exit(127);
    }
    ck_assert_int_gt(p.pid, 0);
    close(ready[1]);
    close(err[1]);
    p.out = ready[0];
    p.err = err[0];
    return p;
}

/* All that comes until the other end closes. */
static void read_all(int fd, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n;

    while (used + 1 < size && (n = read(fd, text + used, size - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
}

static int end(struct process *p, int with)
{
    int status;

    if (with != 0)
        kill(p->pid, with);
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    close(p->out);
    close(p->err);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct broker_process {
    struct process process;
    char endpoint[256];
};

static struct broker_process start_broker(const char *endpoint)
{
    const char *options[] = {"--listen", endpoint, "--die-with-parent", NULL};
    struct broker_process b = {start(options), ""};

    read_all(b.process.out, b.endpoint, sizeof b.endpoint);
    ck_assert_msg(strncmp(b.endpoint, "tcp://127.0.0.1:", 16) == 0, "ready: %s", b.endpoint);
    b.endpoint[strcspn(b.endpoint, "\n")] = '\0';
    return b;
}

/* ---- a peer that the test plays ------------------------------------------------------------------------------ */

static void *context;

static void *peer_open(const char *endpoint)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int linger = 0;
    struct why why;

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(wire_socket_options(socket, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
    return socket;
}

static void wait_for(void *socket, short events, int64_t deadline_ms)
{
    zmq_pollitem_t item = {socket, 0, events, 0};
    int64_t left = deadline_ms - clock_ms();

    ck_assert_msg(left > 0 && zmq_poll(&item, 1, (long)left) > 0, "nothing came, or could be sent");
}

static void send_now(void *socket, const struct wire_message *m)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    int rc;

    while ((rc = wire_send(socket, NULL, m)) == FARM_EBUSY)
        wait_for(socket, ZMQ_POLLOUT, deadline_ms);
    ck_assert_int_eq(rc, FARM_OK);
}

/* The next message of that kind; heartbeats and windows on the way are passed over, anything else is wrong. */
static struct wire_message expect(void *socket, enum wire_kind kind)
{
    int64_t deadline_ms = clock_ms() + PATIENCE_MS;
    struct wire_message m;
    struct why why;

    for (;;) {
        int rc;

        wait_for(socket, ZMQ_POLLIN, deadline_ms);
        if ((rc = wire_recv(socket, NULL, &m, &why)) == FARM_EBUSY)
            continue;
        ck_assert_msg(rc == FARM_OK, "%s", why.text);
        if (m.kind == kind)
            return m;
        ck_assert_msg(m.kind == WIRE_HEARTBEAT || m.kind == WIRE_WINDOW, "%s instead of %s (%s)",
                      wire_kind_name(m.kind), wire_kind_name(kind),
                      m.kind == WIRE_REFUSE ? m.u.refuse.sentence : "");
        wire_message_release(&m);
    }
}

static void expect_refusal(void *socket, enum wire_refusal code, const char *says)
{
    struct wire_message m = expect(socket, WIRE_REFUSE);

    ck_assert_int_eq(m.u.refuse.code, code);
    ck_assert_msg(strstr(m.u.refuse.sentence, says) != NULL, "it says: %s", m.u.refuse.sentence);
    wire_message_release(&m);
}

static void hello(void *socket, enum wire_role role, const char *name, struct wire_lease *lease)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello.role = role;
    (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "%s", name);
    m.u.hello.incarnation = 1;
    m.u.hello.slots = m.u.hello.ahead = 1;
    m.u.hello.experiment = 5;
    m.u.hello.demand = 10;
    m.u.hello.leases = lease;
    m.u.hello.n_leases = lease != NULL;
    send_now(socket, &m);
    m = expect(socket, WIRE_WELCOME);
    ck_assert_uint_eq(m.u.welcome.heartbeat_ms, 100);
    ck_assert_uint_eq(m.u.welcome.lease_ms, 1000);
    wire_message_release(&m);
}

static void publish(void *socket, uint64_t trial, bool again)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish.key = (struct wire_key){5, trial, 0};
    m.u.publish.again = again;
    zmq_msg_init_size(&m.payload, 1000);
    memset(zmq_msg_data(&m.payload), (int)trial, 1000);
    send_now(socket, &m);
    wire_message_release(&m);
}

static struct wire_lease expect_task(void *socket, uint64_t trial)
{
    struct wire_message m = expect(socket, WIRE_TASK);
    struct wire_lease lease = m.u.task;

    ck_assert_uint_eq(lease.key.trial, trial);
    ck_assert_uint_eq(zmq_msg_size(&m.payload), 1000);
    ck_assert_int_eq(((char *)zmq_msg_data(&m.payload))[999], (char)trial);
    wire_message_release(&m);
    return lease;
}

static void send_result(void *socket, struct wire_lease lease)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = lease;
    zmq_msg_init_size(&m.payload, 3);
    memcpy(zmq_msg_data(&m.payload), "yes", 3);
    zmq_msg_init_size(&m.blob, 2000000);
    memset(zmq_msg_data(&m.blob), 7, 2000000);
    send_now(socket, &m);
    wire_message_release(&m);
}

static void send_list(void *socket, enum wire_kind kind, struct wire_lease *lease)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    m.u.leases.leases = lease;
    m.u.leases.n = lease != NULL;
    send_now(socket, &m);
}

static uint64_t malformed(void *observer)
{
    struct wire_message m;
    uint64_t n;

    wire_message_init(&m, WIRE_STATUS);
    send_now(observer, &m);
    m = expect(observer, WIRE_STATUS);
    n = m.u.status.malformed;
    wire_message_release(&m);
    return n;
}

static void set_up(void)
{
    context = zmq_ctx_new();
    ck_assert_ptr_nonnull(context);
}

static void tear_down(void)
{
    zmq_ctx_term(context);
}

/* ---- starting and stopping -------------------------------------------------------------------------------------- */

START_TEST(a_port_in_use_is_said_with_the_remedy)
{
    struct broker_process first = start_broker("tcp://127.0.0.1:*");
    const char *options[] = {"--listen", first.endpoint, NULL};
    struct process second = start(options);
    char text[4096];

    read_all(second.err, text, sizeof text);
    ck_assert_int_eq(end(&second, 0), 1);
    ck_assert_msg(strstr(text, first.endpoint) && strstr(text, "choose another port"), "%s", text);
    ck_assert_int_eq(end(&first.process, SIGTERM), 0);
}
END_TEST

static const struct {
    const char *options[4];
    const char *says;
} wrong[] = {
    {{"--listen", "tcp://0.0.0.0:5555"}, "--insecure"},
    {{"--listen", "tcp://*:5555"}, "--key and --allow"},
    {{"--listen", "tcp://127.0.0.1.example.org:5555"}, "not a loopback address"},
    {{"--listen", "tcp://127.0.0.1"}, "port"},
    {{"--listen", "tcp://127.0.0.1:70000"}, "port"},
    {{"--listen", "udp://127.0.0.1:1"}, "must be tcp://"},
    {{"--heartbeat", "0"}, "from 10 to"},
    {{"--heartbeat", "1s"}, "whole number"},
    {{"--lease", "100"}, "two heartbeats"},
    {{"--max-queue", "-1"}, "--max-queue -1"},
    {{"--address", "tcp://host:5555"}, "without tcp://"},
    {{"what"}, "'what'"},
    {{"--no-such-option"}, "--help"},
};

START_TEST(a_wrong_command_line_is_one_sentence_and_exit_2)
{
    struct process p = start(wrong[_i].options);
    char text[4096];

    read_all(p.err, text, sizeof text);
    ck_assert_int_eq(end(&p, 0), 2);
    ck_assert_msg(strstr(text, wrong[_i].says) != NULL, "it says: %s", text);
}
END_TEST

/* Without --address: this machine's name. What listens at one address is known by that. */
static const struct {
    const char *listen, *address, *host;
} addresses[] = {
    {"tcp://*:*", "farm.example.org", "farm.example.org"},
    {"tcp://*:*", NULL, NULL},
    {"tcp://127.0.0.1:*", "farm.example.org", "127.0.0.1"},
};

START_TEST(the_address_file_says_where_other_machines_find_it)
{
    const char *address = addresses[_i].address, *host = addresses[_i].host;
    char folder[] = "/tmp/test_broker.XXXXXX", path[64], bound[256], text[256] = "", name[65] = "";
    const char *options[] = {"--listen",   addresses[_i].listen,
                             "--insecure", "--address-file",
                             path,         address != NULL ? "--address" : NULL,
                             address,      NULL};
    char wanted[sizeof name + sizeof bound];
    struct process p;
    FILE *file;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/address", folder);
    ck_assert_int_eq(gethostname(name, sizeof name - 1), 0);
    p = start(options);
    read_all(p.out, bound, sizeof bound);
    ck_assert_ptr_nonnull(file = fopen(path, "r"));
    ck_assert_ptr_nonnull(fgets(text, sizeof text, file));
    fclose(file);
    (void)snprintf(wanted, sizeof wanted, "tcp://%s%s", host != NULL ? host : name,
                   strrchr(bound, ':'));
    ck_assert_str_eq(text, wanted);
    ck_assert_int_eq(end(&p, SIGTERM), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_msg(rmdir(folder) == 0, "something else was left in %s", folder);
}
END_TEST

static const char *const written[] = {"--ready-file", "--address-file"};

START_TEST(an_unwritable_ready_file_is_a_failure)
{
    const char *options[] = {"--listen", "tcp://127.0.0.1:*", written[_i], "/no/such/folder/x",
                             NULL};
    struct process p = start(options);
    char text[4096];

    read_all(p.err, text, sizeof text);
    ck_assert_int_eq(end(&p, 0), 1);
    ck_assert_msg(strstr(text, "/no/such/folder/x") != NULL, "it says: %s", text);
}
END_TEST

START_TEST(sigterm_and_sigint_end_it_with_0_also_while_peers_are_here)
{
    struct broker_process b = start_broker("tcp://127.0.0.1:*");
    void *worker = peer_open(b.endpoint);

    hello(worker, WIRE_WORKER, "w1", NULL);
    ck_assert_int_eq(end(&b.process, _i == 0 ? SIGTERM : SIGINT), 0);
    zmq_close(worker);
}
END_TEST

/* ---- bad peers ----------------------------------------------------------------------------------------------------- */

START_TEST(another_protocol_version_is_refused_with_both_versions)
{
    struct broker_process b = start_broker("tcp://127.0.0.1:*");
    void *peer = peer_open(b.endpoint);

    wait_for(peer, ZMQ_POLLOUT, clock_ms() + PATIENCE_MS);
    ck_assert_int_eq(zmq_send(peer, "NF\x09\x01", 4, ZMQ_SNDMORE), 4);
    ck_assert_int_eq(zmq_send(peer, "future", 6, 0), 6);
    expect_refusal(peer, REFUSE_VERSION, "protocol version 9; this program speaks version 2");
    zmq_close(peer);
    ck_assert_int_eq(end(&b.process, SIGTERM), 0);
}
END_TEST

/* What must agree is the protocol: the program's own version is for people. */
START_TEST(a_worker_of_another_version_of_the_program_is_served)
{
    static const char *const versions[] = {"0.0.1", "17.3", ""};
    struct broker_process b = start_broker("tcp://127.0.0.1:*");

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        void *worker = peer_open(b.endpoint);
        struct wire_message m;

        wire_message_init(&m, WIRE_HELLO);
        m.u.hello.role = WIRE_WORKER;
        (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "w%zu", i);
        (void)snprintf(m.u.hello.version, sizeof m.u.hello.version, "%s", versions[i]);
        m.u.hello.incarnation = 1;
        m.u.hello.slots = m.u.hello.ahead = 1;
        send_now(worker, &m);
        m = expect(worker, WIRE_WELCOME);
        ck_assert_str_eq(m.u.welcome.version, NASFARM_VERSION);
        wire_message_release(&m);
        zmq_close(worker);
    }
    ck_assert_int_eq(end(&b.process, SIGTERM), 0);
}
END_TEST

START_TEST(who_is_not_known_is_asked_for_a_hello)
{
    struct broker_process b = start_broker("tcp://127.0.0.1:*");
    void *peer = peer_open(b.endpoint);

    send_list(peer, WIRE_HEARTBEAT, NULL);
    expect_refusal(peer, REFUSE_HELLO_FIRST, "HELLO");
    hello(peer, WIRE_WORKER, "w1", NULL);
    zmq_close(peer);
    ck_assert_int_eq(end(&b.process, SIGTERM), 0);
}
END_TEST

static void send_garbage(void *socket, struct rng *rng)
{
    uint8_t bytes[20][300], mark[4] = {'N', 'F', WIRE_VERSION, 0};
    struct raw_frame frames[20];
    size_t n = 1 + rng_below(rng, 20);

    for (size_t i = 0; i < n; i++) {
        frames[i] = (struct raw_frame){bytes[i], rng_below(rng, sizeof bytes[i])};
        for (size_t j = 0; j < frames[i].len; j++)
            bytes[i][j] = (uint8_t)rng_u64(rng);
    }
    if (rng_below(rng, 2) == 0) { /* half of them look right at first */
        mark[3] = (uint8_t)(1 + rng_below(rng, WIRE_KIND_END - 1));
        frames[0] = (struct raw_frame){mark, sizeof mark};
    }
    wait_for(socket, ZMQ_POLLOUT, clock_ms() + PATIENCE_MS);
    raw_send(socket, frames, n);
}

START_TEST(garbage_is_counted_and_harms_nobody)
{
    enum { MESSAGES = 2000 };
    struct broker_process b = start_broker("tcp://127.0.0.1:*");
    void *worker = peer_open(b.endpoint), *controller = peer_open(b.endpoint);
    void *enemy = peer_open(b.endpoint), *observer = peer_open(b.endpoint);
    struct rng rng;
    char *huge = calloc(1, 2 * LIMIT_HEAD_BYTES);

    hello(worker, WIRE_WORKER, "w1", NULL);
    hello(controller, WIRE_CONTROLLER, "c1", NULL);
    hello(observer, WIRE_OBSERVER, "o1", NULL);
    hello(enemy, WIRE_WORKER, "enemy", NULL); /* known peers get further */
    rng_seed(&rng, 1);
    for (int i = 0; i < MESSAGES; i++) {
        if (i % 500 == 0) { /* under a sanitizer it takes longer than a lease */
            send_list(worker, WIRE_HEARTBEAT, NULL);
            (void)malformed(observer);
        }
        send_garbage(enemy, &rng);
    }
    ck_assert_int_eq(zmq_send(enemy, "NF\x02\x0a????", 8, ZMQ_SNDMORE), 8);
    ck_assert_int_eq(zmq_send(enemy, huge, 2 * LIMIT_HEAD_BYTES, 0), 2 * LIMIT_HEAD_BYTES);
    send_list(enemy, WIRE_GOODBYE, NULL); /* read after all of it */
    for (int64_t deadline_ms = clock_ms() + PATIENCE_MS; malformed(observer) < MESSAGES / 2;) {
        send_list(worker, WIRE_HEARTBEAT, NULL);
        ck_assert(clock_ms() < deadline_ms);
        (void)usleep(25000); /* who asks more often gets no answer */
    }
    for (uint64_t trial = 0; trial < 10; trial++)
        publish(controller, trial, false);
    for (uint64_t trial = 0; trial < 10; trial++) {
        struct wire_lease lease = expect_task(worker, trial);
        struct wire_message m;

        send_result(worker, lease);
        m = expect(controller, WIRE_RESULT);
        ck_assert_str_eq(m.u.result.worker, "w1");
        ck_assert_uint_eq(zmq_msg_size(&m.blob), 2000000);
        wire_message_release(&m);
    }
    free(huge);
    zmq_close(worker);
    zmq_close(controller);
    zmq_close(observer);
    zmq_close(enemy);
    ck_assert_int_eq(end(&b.process, SIGTERM), 0);
}
END_TEST

/* ---- restart --------------------------------------------------------------------------------------------------------- */

START_TEST(a_broker_killed_in_between_loses_nothing_and_runs_nothing_twice)
{
    struct broker_process first = start_broker("tcp://127.0.0.1:*"), second;
    void *worker = peer_open(first.endpoint), *controller = peer_open(first.endpoint);
    struct wire_lease running, waiting, next;
    struct wire_message m;

    hello(worker, WIRE_WORKER, "w1", NULL);
    hello(controller, WIRE_CONTROLLER, "c1", NULL);
    for (uint64_t trial = 1; trial <= 3; trial++)
        publish(controller, trial, false);
    running = expect_task(worker, 1);
    waiting = expect_task(worker, 2);
    ck_assert_uint_gt(waiting.lease, running.lease);
    ck_assert_int_eq(end(&first.process, SIGKILL), 128 + SIGKILL);

    second = start_broker(first.endpoint);
    send_list(worker, WIRE_HEARTBEAT, &running); /* knows nothing of a restart */
    expect_refusal(worker, REFUSE_HELLO_FIRST, "HELLO");
    hello(controller, WIRE_CONTROLLER, "c1", NULL);
    for (uint64_t trial = 1; trial <= 3; trial++)
        publish(controller, trial, true);
    running.running = true;
    hello(worker, WIRE_WORKER, "w1", &running); /* 2 was lost with a crash of its own, say */
    next = expect_task(worker, 2);              /* but 1 is not given to anyone again */
    ck_assert_uint_gt(next.lease, waiting.lease);
    send_result(worker, running);
    m = expect(controller, WIRE_RESULT);
    ck_assert_uint_eq(m.u.result.lease.key.trial, 1);
    ck_assert_int_eq(memcmp(zmq_msg_data(&m.payload), "yes", 3), 0);
    wire_message_release(&m);
    (void)expect_task(worker, 3);
    send_list(controller, WIRE_ACK, &running);
    m = expect(worker, WIRE_ACK);
    ck_assert_uint_eq(m.u.leases.n, 1);
    ck_assert_uint_eq(m.u.leases.leases[0].key.trial, 1);
    wire_message_release(&m);
    zmq_close(worker);
    zmq_close(controller);
    ck_assert_int_eq(end(&second.process, SIGTERM), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("broker");
    TCase *tcase = tcase_create("process");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_port_in_use_is_said_with_the_remedy);
    tcase_add_loop_test(tcase, a_wrong_command_line_is_one_sentence_and_exit_2, 0,
                        (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_loop_test(tcase, the_address_file_says_where_other_machines_find_it, 0,
                        (int)(sizeof addresses / sizeof addresses[0]));
    tcase_add_loop_test(tcase, an_unwritable_ready_file_is_a_failure, 0,
                        (int)(sizeof written / sizeof written[0]));
    tcase_add_loop_test(tcase, sigterm_and_sigint_end_it_with_0_also_while_peers_are_here, 0, 2);
    tcase_add_test(tcase, another_protocol_version_is_refused_with_both_versions);
    tcase_add_test(tcase, a_worker_of_another_version_of_the_program_is_served);
    tcase_add_test(tcase, who_is_not_known_is_asked_for_a_hello);
    tcase_add_test(tcase, garbage_is_counted_and_harms_nobody);
    tcase_add_test(tcase, a_broker_killed_in_between_loses_nothing_and_runs_nothing_twice);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
