/* test_keys.c - a broker with keys, in a process of its own, and peers of every kind in front of its door. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "certificate.h"
#include "clock.h"
#include "farm_kit.h"
#include "peer_socket.h"
#include "wire.h"

#define PATIENCE_MS 20000
#define SILENCE_MS  300 /* after which a stranger is taken to have no answer */

static char folder[256], endpoint[256];
static void *context;
static pid_t broker;

static const char *in_folder(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* NAME_secret, and the public one where it is looked for. */
static void make_key(const char *name, enum certificate_role role, const char *where)
{
    struct certificate c;
    struct why why = {""};
    char secret[64], open_to_all[64];

    (void)snprintf(secret, sizeof secret, "%s_secret", name);
    (void)snprintf(open_to_all, sizeof open_to_all, "%s%s", where, name);
    ck_assert_int_eq(certificate_create(&c, role, name, &why), FARM_OK);
    ck_assert_msg(certificate_save(&c, in_folder(secret), true, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(certificate_save(&c, in_folder(open_to_all), false, &why) == FARM_OK, "%s",
                  why.text);
}

static void set_up(void)
{
    kit_folder(folder, sizeof folder, "keys");
    ck_assert_int_eq(mkdir(in_folder("allow"), 0755), 0);
    make_key("broker", CERTIFICATE_BROKER, "");
    make_key("controller", CERTIFICATE_CONTROLLER, "allow/");
    make_key("worker", CERTIFICATE_WORKER, "allow/");
    make_key("worker2", CERTIFICATE_WORKER, "allow/");
    make_key("observer", CERTIFICATE_OBSERVER, "allow/");
    make_key("stranger", CERTIFICATE_WORKER, "");
    ck_assert_ptr_nonnull(context = zmq_ctx_new());
}

static void open_broker(void)
{
    char key[512], allow[512], ready[512], *text;
    const char *argv[] = {BIN_BROKER,
                          "--listen",
                          "tcp://127.0.0.1:*",
                          "--heartbeat",
                          "200",
                          "--key",
                          key,
                          "--allow",
                          allow,
                          "--ready-file",
                          ready,
                          "--die-with-parent",
                          NULL};

    (void)snprintf(key, sizeof key, "%s/broker_secret", folder);
    (void)snprintf(allow, sizeof allow, "%s/allow", folder);
    (void)snprintf(ready, sizeof ready, "%s/ready", folder);
    broker = kit_start(argv, in_folder("log"));
    ck_assert(kit_wait_for(ready, "\n", 20));
    text = kit_read(ready);
    text[strcspn(text, "\n")] = '\0';
    (void)snprintf(endpoint, sizeof endpoint, "%s", text);
    free(text);
}

static void set_up_broker(void)
{
    set_up();
    open_broker();
}

static void tear_down(void)
{
    zmq_ctx_term(context);
    if (broker > 0)
        kit_kill(broker);
    broker = 0;
    kit_remove(folder);
}

/* ---- peers --------------------------------------------------------------------------------------------------- */

/* key: NAME_secret; NULL: speaks without. server: whose public key it takes for the broker's. */
static void *peer_open(const char *key, const char *server, const char *route)
{
    void *socket = zmq_socket(context, ZMQ_DEALER);
    char secret[64];
    struct peer_keys keys = {NULL, NULL, false};
    struct why why = {""};
    int linger = 0;

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(wire_socket_options(socket, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    if (route != NULL)
        ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_ROUTING_ID, route, strlen(route)), 0);
    if (key != NULL) {
        (void)snprintf(secret, sizeof secret, "%s_secret", key);
        keys = (struct peer_keys){in_folder(secret), in_folder(server), false};
    }
    ck_assert_msg(peer_socket_secure(socket, &keys, endpoint, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(zmq_connect(socket, endpoint), 0);
    return socket;
}

/* Sends it as soon as there is a connection; false: there was none for so long. */
static bool say(void *socket, const struct wire_message *m, int64_t patience_ms)
{
    int64_t until = clock_ms() + patience_ms;
    int rc;

    while ((rc = wire_send(socket, NULL, m)) == FARM_EBUSY && clock_ms() < until) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLOUT, 0};

        (void)zmq_poll(&item, 1, 10);
    }
    return rc == FARM_OK;
}

static bool say_hello(void *socket, enum wire_role role, const char *name, int64_t patience_ms)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello.role = role;
    m.u.hello.incarnation = 7; /* of all: what a thief would have to guess */
    m.u.hello.slots = 1;
    m.u.hello.experiment = 1;
    (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "%s", name);
    (void)snprintf(m.u.hello.version, sizeof m.u.hello.version, "%s", NASFARM_VERSION);
    return say(socket, &m, patience_ms);
}

static bool say_kind(void *socket, enum wire_kind kind)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    return say(socket, &m, PATIENCE_MS);
}

/* The next message but for heartbeats and windows; WIRE_KIND_END: none in time. To be released. */
static struct wire_message hear(void *socket, int64_t patience_ms)
{
    int64_t until = clock_ms() + patience_ms;
    struct wire_message m;
    struct why why;

    while (clock_ms() < until) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};

        (void)zmq_poll(&item, 1, 10);
        if (wire_recv(socket, NULL, &m, &why) != FARM_OK)
            continue;
        if (m.kind != WIRE_HEARTBEAT && m.kind != WIRE_WINDOW)
            return m;
        wire_message_release(&m);
    }
    wire_message_init(&m, WIRE_KIND_END);
    return m;
}

static void hears(void *socket, enum wire_kind kind)
{
    struct wire_message m = hear(socket, PATIENCE_MS);

    ck_assert_msg(m.kind == kind, "heard %s",
                  m.kind == WIRE_REFUSE ? m.u.refuse.sentence : "other");
    wire_message_release(&m);
}

static void is_refused(void *socket, enum wire_refusal code)
{
    struct wire_message m = hear(socket, PATIENCE_MS);

    ck_assert_int_eq(m.kind, WIRE_REFUSE);
    ck_assert_msg(m.u.refuse.code == code, "refused with: %s", m.u.refuse.sentence);
    wire_message_release(&m);
}

static void *observer_open(void)
{
    void *observer = peer_open("observer", "broker", NULL);

    ck_assert(say_hello(observer, WIRE_OBSERVER, "observer", PATIENCE_MS));
    hears(observer, WIRE_WELCOME);
    return observer;
}

static struct wire_status status(void *observer)
{
    struct wire_message m;
    struct wire_status s;

    ck_assert(say_kind(observer, WIRE_STATUS));
    m = hear(observer, PATIENCE_MS);
    ck_assert_int_eq(m.kind, WIRE_STATUS);
    s = m.u.status;
    wire_message_release(&m);
    s.peers = NULL;
    return s;
}

/* ---- the door -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *what, *key, *server;
} strangers[] = {
    {"without a key", NULL, NULL},
    {"with a key that is in no list", "stranger", "broker"},
    {"with an allowed key, who takes another for the broker", "worker", "worker2_secret"},
};
#define N_KINDS (sizeof strangers / sizeof strangers[0])

/* 10,000 in the soak: NASFARM_STRANGERS. A hundred knock at a time. */
START_TEST(strangers_reach_nothing)
{
    const char *wanted = getenv("NASFARM_STRANGERS");
    size_t n = wanted != NULL ? strtoul(wanted, NULL, 10) : 60, spoke = 0;
    void *observer, *crowd[100];
    double start_s = kit_now_s();

    open_broker();
    observer = observer_open();
    for (size_t done = 0; done < n;) {
        size_t k = n - done < 100 ? n - done : 100;

        for (size_t i = 0; i < k; i++)
            crowd[i] = peer_open(strangers[i % N_KINDS].key, strangers[i % N_KINDS].server, NULL);
        (void)usleep(SILENCE_MS * 1000);
        for (size_t i = 0; i < k; i++) {
            struct wire_message m;

            spoke += say_hello(crowd[i], WIRE_WORKER, "w", 0);
            m = hear(crowd[i], 1);
            ck_assert_msg(m.kind == WIRE_KIND_END, "a stranger %s is answered",
                          strangers[i % N_KINDS].what);
            wire_message_release(&m);
        }
        for (size_t i = 0; i < k; i++)
            zmq_close(crowd[i]);
        done += k;
        ck_assert_int_eq((int)status(observer).n_peers, 1);
    }
    ck_assert_int_eq((int)status(observer).malformed, 0);
    ck_assert_uint_eq(spoke, 0);
    printf("%zu strangers in %.1f s: none was answered or reached the broker's loop\n", n,
           kit_now_s() - start_s);
    zmq_close(observer);
}
END_TEST

START_TEST(an_allowed_key_with_a_role_comes_in_with_that_role_only)
{
    static const struct {
        const char *key;
        enum wire_role role;
        bool welcome;
    } cases[] = {
        {"worker", WIRE_WORKER, true},      {"worker", WIRE_CONTROLLER, false},
        {"worker", WIRE_OBSERVER, false},   {"controller", WIRE_CONTROLLER, true},
        {"controller", WIRE_WORKER, false}, {"controller", WIRE_OBSERVER, true},
        {"observer", WIRE_OBSERVER, true},  {"observer", WIRE_CONTROLLER, false},
        {"observer", WIRE_WORKER, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        void *peer = peer_open(cases[i].key, "broker", NULL);

        ck_assert(say_hello(peer, cases[i].role, "p", PATIENCE_MS));
        if (cases[i].welcome)
            hears(peer, WIRE_WELCOME);
        else
            is_refused(peer, REFUSE_ROLE);
        ck_assert(say_kind(peer, WIRE_GOODBYE));
        zmq_close(peer);
    }
}
END_TEST

START_TEST(a_worker_cannot_publish)
{
    void *worker = peer_open("worker", "broker", NULL), *observer = observer_open();
    struct wire_message m;

    ck_assert(say_hello(worker, WIRE_WORKER, "w", PATIENCE_MS));
    hears(worker, WIRE_WELCOME);
    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish.key.experiment = 1;
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, 1), 0);
    memset(zmq_msg_data(&m.payload), 'x', 1);
    ck_assert(say(worker, &m, PATIENCE_MS));
    wire_message_release(&m);
    is_refused(worker, REFUSE_ROLE);
    ck_assert_int_eq((int)status(observer).queued, 0);
    zmq_close(worker);
    zmq_close(observer);
}
END_TEST

/* Even who knows the other's incarnation, which no message tells. */
START_TEST(a_name_belongs_to_its_key_while_its_peer_lives)
{
    void *owner = peer_open("worker", "broker", NULL),
         *thief = peer_open("worker2", "broker", NULL);

    ck_assert(say_hello(owner, WIRE_WORKER, "w", PATIENCE_MS));
    hears(owner, WIRE_WELCOME);
    ck_assert(say_hello(thief, WIRE_WORKER, "w", PATIENCE_MS));
    is_refused(thief, REFUSE_NAME_TAKEN);
    ck_assert(say_kind(owner, WIRE_GOODBYE));
    zmq_close(owner);
    for (int tries = 0;; tries++) { /* the GOODBYE may be behind the next HELLO */
        struct wire_message m;

        ck_assert(say_hello(thief, WIRE_WORKER, "w", PATIENCE_MS));
        m = hear(thief, PATIENCE_MS);
        if (m.kind == WIRE_WELCOME)
            break;
        wire_message_release(&m);
        ck_assert_int_lt(tries, 100);
        (void)usleep(50000);
    }
    zmq_close(thief);
}
END_TEST

/* A peer chooses its routing id; the one of a peer whose connection is gone is free. */
START_TEST(a_routing_id_of_another_key_gives_nothing)
{
    void *owner = peer_open("worker", "broker", "route"), *thief, *observer = observer_open();

    ck_assert(say_hello(owner, WIRE_WORKER, "w", PATIENCE_MS));
    hears(owner, WIRE_WELCOME);
    zmq_close(owner);
    (void)usleep(200000); /* the broker sees the connection end */
    thief = peer_open("worker2", "broker", "route");
    ck_assert(say_kind(thief, WIRE_DRAIN));
    is_refused(thief, REFUSE_HELLO_FIRST);
    ck_assert_int_eq((int)status(observer).n_peers, 2); /* the owner's leases hold */
    zmq_close(thief);
    zmq_close(observer);
}
END_TEST

START_TEST(a_key_that_is_removed_is_out_at_once_and_may_come_back)
{
    void *worker = peer_open("worker", "broker", NULL), *observer = observer_open();
    int64_t until = clock_ms() + PATIENCE_MS;
    int64_t removed_ms;

    ck_assert(say_hello(worker, WIRE_WORKER, "w", PATIENCE_MS));
    hears(worker, WIRE_WELCOME);
    ck_assert_int_eq((int)status(observer).workers, 1);
    ck_assert_int_eq(rename(in_folder("allow/worker"), in_folder("worker")), 0);
    removed_ms = clock_ms();
    while (status(observer).workers > 0 && clock_ms() < until)
        (void)say_kind(worker, WIRE_HEARTBEAT);
    ck_assert_int_eq((int)status(observer).workers, 0);
    printf("a removed key was out after %lld ms\n", (long long)(clock_ms() - removed_ms));
    ck_assert(say_kind(worker, WIRE_HEARTBEAT)); /* the connection is still there: */
    is_refused(worker, REFUSE_ROLE);             /* nothing that comes over it counts */
    ck_assert(say_hello(worker, WIRE_WORKER, "w", PATIENCE_MS));
    ck_assert_int_eq((int)status(observer).workers, 0);
    ck_assert_int_eq(rename(in_folder("worker"), in_folder("allow/worker")), 0);
    while (status(observer).workers == 0 && clock_ms() < until) {
        (void)say_hello(worker, WIRE_WORKER, "w", PATIENCE_MS);
        (void)usleep(100000);
    }
    ck_assert_int_eq((int)status(observer).workers, 1);
    zmq_close(worker);
    zmq_close(observer);
}
END_TEST

/* ---- files ----------------------------------------------------------------------------------------------------- */

START_TEST(a_certificate_is_read_as_it_was_written_and_never_overwritten)
{
    struct certificate made, read;
    struct why why = {""};
    struct stat s;

    ck_assert_int_eq(certificate_create(&made, CERTIFICATE_WORKER, "gpu-7", &why), FARM_OK);
    ck_assert_int_eq(certificate_save(&made, in_folder("k"), true, &why), FARM_OK);
    ck_assert_int_eq(stat(in_folder("k"), &s), 0);
    ck_assert_int_eq(s.st_mode & 07777, 0600);
    ck_assert_int_eq(certificate_load(&read, in_folder("k"), true, &why), FARM_OK);
    ck_assert_str_eq(read.name, "gpu-7");
    ck_assert_int_eq(read.role, CERTIFICATE_WORKER);
    ck_assert_str_eq(read.public_key, made.public_key);
    ck_assert_str_eq(read.secret_key, made.secret_key);
    ck_assert_int_eq(certificate_save(&made, in_folder("k"), false, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "no key is overwritten"));
    ck_assert_int_eq(certificate_load(&read, in_folder("k"), false, &why), FARM_OK);
    ck_assert_str_eq(read.secret_key, "");
}
END_TEST

#define PUBLIC "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define SECRET "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs"

/* The texts of czmq's zcert_save(), and what people make of them. */
static const struct {
    const char *text;
    mode_t mode;
    bool secret;
    const char *says; /* NULL: fine */
} files[] = {
    {"#   ****  Generated on 2026-01-01 by CZMQ  ****\n\nmetadata\n    role = \"worker\"\ncurve\n"
     "    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n",
     0600, true, NULL},
    {"metadata\ncurve\n    public-key = \"" PUBLIC "\"\n", 0644, false, NULL},
    {"metadata\ncurve\n    public-key = \"" PUBLIC "\"\n", 0600, true, "_secret"},
    {"curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n", 0644, true,
     "chmod 600"},
    {"curve\n    public-key = \"" PUBLIC "\"\n    secret-key = \"" SECRET "\"\n", 0640, true,
     "chmod 600"},
    {"curve\n    public-key = \"too short\"\n", 0644, false, "40 characters"},
    {"metadata\n    role = \"king\"\ncurve\n    public-key = \"" PUBLIC "\"\n", 0644, false,
     "'king'"},
    {"metadata\n    name = \"a b\"\ncurve\n    public-key = \"" PUBLIC "\"\n", 0644, false, "name"},
    {"", 0644, false, "no public-key"},
    {"\x7f"
     "ELF\n\n=\n = \n    =\n\"",
     0644, false, "no public-key"},
};

START_TEST(files_that_are_no_keys_are_refused_with_the_remedy)
{
    FILE *f = fopen(in_folder("k"), "w");
    struct certificate c;
    struct why why = {""};
    int rc;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(files[_i].text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(in_folder("k"), files[_i].mode), 0);
    rc = certificate_load(&c, in_folder("k"), files[_i].secret, &why);
    if (files[_i].says == NULL)
        ck_assert_msg(rc == FARM_OK, "%s", why.text);
    else
        ck_assert_msg(rc == FARM_EINPUT && strstr(why.text, files[_i].says) != NULL, "%s",
                      why.text);
    ck_assert_ptr_null(strstr(why.text, "D:)Q[")); /* no sentence holds a secret */
}
END_TEST

START_TEST(only_this_machine_is_spoken_to_in_the_clear)
{
    static const struct {
        const char *endpoint;
        bool local;
    } cases[] = {
        {"tcp://127.0.0.1:5555", true}, {"tcp://127.3.2.1:*", true},
        {"tcp://localhost:1", true},    {"tcp://[::1]:5555", true},
        {"ipc:///tmp/x", true},         {"inproc://x", true},
        {"tcp://10.0.0.1:5555", false}, {"tcp://*:5555", false},
        {"tcp://0.0.0.0:5555", false},  {"tcp://127.0.0.1.example.org:1", false},
        {"tcp://broker:5555", false},   {"tcp://[::]:5555", false},
    };
    void *socket = zmq_socket(context, ZMQ_DEALER);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct peer_keys none = {NULL, NULL, false}, insecure = {NULL, NULL, true};
        struct why why = {""};
        int rc = peer_socket_secure(socket, &none, cases[i].endpoint, &why);

        ck_assert_msg(rc == (cases[i].local ? FARM_OK : FARM_EINPUT), "%s", cases[i].endpoint);
        ck_assert_int_eq(peer_socket_secure(socket, &insecure, cases[i].endpoint, &why), FARM_OK);
    }
    zmq_close(socket);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("keys");
    TCase *door = tcase_create("door"), *crowd = tcase_create("crowd"),
          *file = tcase_create("files");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(door, set_up_broker, tear_down);
    tcase_set_timeout(door, 60);
    tcase_add_test(door, an_allowed_key_with_a_role_comes_in_with_that_role_only);
    tcase_add_test(door, a_worker_cannot_publish);
    tcase_add_test(door, a_name_belongs_to_its_key_while_its_peer_lives);
    tcase_add_test(door, a_routing_id_of_another_key_gives_nothing);
    tcase_add_test(door, a_key_that_is_removed_is_out_at_once_and_may_come_back);
    suite_add_tcase(suite, door);
    tcase_add_checked_fixture(crowd, set_up, tear_down);
    tcase_set_timeout(crowd, 600);
    tcase_add_test(crowd, strangers_reach_nothing);
    suite_add_tcase(suite, crowd);
    tcase_add_checked_fixture(file, set_up, tear_down);
    tcase_add_test(file, a_certificate_is_read_as_it_was_written_and_never_overwritten);
    tcase_add_loop_test(file, files_that_are_no_keys_are_refused_with_the_remedy, 0,
                        (int)(sizeof files / sizeof files[0]));
    tcase_add_test(file, only_this_machine_is_spoken_to_in_the_clear);
    suite_add_tcase(suite, file);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
