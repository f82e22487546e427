/* test_keys.c - a broker with keys, in a process of its own, and peers of every kind in front of its door. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"
#include "door_kit.h"
#include "farm_kit.h"
#include "peer_socket.h"

#define SILENCE_MS 300 /* after which a stranger is taken to have no answer */

static void is_refused(void *socket, enum wire_refusal code)
{
    struct wire_message m = door_hear(socket, DOOR_PATIENCE_MS);

    ck_assert_int_eq(m.kind, WIRE_REFUSE);
    ck_assert_msg(m.u.refuse.code == code, "refused with: %s", m.u.refuse.sentence);
    wire_message_release(&m);
}

/* ---- the door -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *what, *key, *server;
} strangers[] = {
    {"without a key", NULL, NULL},
    {"with a key that is in no list", "stranger", "broker"},
    {"with a key that was allowed once", "revoked", "broker"},
    {"with an allowed key, who takes another for the broker", "worker", "worker2_secret"},
};
#define N_KINDS (sizeof strangers / sizeof strangers[0])

/* It comes in with that key, and is shown out when the key is taken off the list. */
static void come_in_once(const char *key, const char *file, void *observer)
{
    void *peer = door_peer(key, "broker", NULL);
    double end = kit_now_s() + 1e-3 * DOOR_PATIENCE_MS;

    ck_assert(door_say_hello(peer, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    door_hears(peer, WIRE_WELCOME);
    ck_assert_int_eq(unlink(door_path(file)), 0);
    while (door_status(observer).n_peers > 1 && kit_now_s() < end)
        (void)usleep(50000);
    ck_assert_int_eq((int)door_status(observer).n_peers, 1);
    zmq_close(peer);
}

/* 10,000 in the soak: NASFARM_STRANGERS. A hundred knock at a time. */
START_TEST(strangers_reach_nothing)
{
    size_t n = kit_number("NASFARM_STRANGERS", 60), spoke = 0;
    void *observer, *crowd[100];
    double start_s = kit_now_s();

    door_make_key("revoked", CERTIFICATE_WORKER, "allow/");
    door_open_broker();
    observer = door_observer();
    come_in_once("revoked", "allow/revoked", observer);
    for (size_t done = 0; done < n;) {
        size_t k = n - done < 100 ? n - done : 100;

        for (size_t i = 0; i < k; i++)
            crowd[i] = door_peer(strangers[i % N_KINDS].key, strangers[i % N_KINDS].server, NULL);
        (void)usleep(SILENCE_MS * 1000);
        for (size_t i = 0; i < k; i++) {
            struct wire_message m;

            spoke += door_say_hello(crowd[i], WIRE_WORKER, "w", 0);
            m = door_hear(crowd[i], 1);
            ck_assert_msg(m.kind == WIRE_KIND_END, "a stranger %s is answered",
                          strangers[i % N_KINDS].what);
            wire_message_release(&m);
        }
        for (size_t i = 0; i < k; i++)
            zmq_close(crowd[i]);
        done += k;
        ck_assert_int_eq((int)door_status(observer).n_peers, 1);
    }
    ck_assert_int_eq((int)door_status(observer).malformed, 0);
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
        void *peer = door_peer(cases[i].key, "broker", NULL);

        ck_assert(door_say_hello(peer, cases[i].role, "p", DOOR_PATIENCE_MS));
        if (cases[i].welcome)
            door_hears(peer, WIRE_WELCOME);
        else
            is_refused(peer, REFUSE_ROLE);
        ck_assert(door_say_kind(peer, WIRE_GOODBYE));
        zmq_close(peer);
    }
}
END_TEST

START_TEST(a_worker_cannot_publish)
{
    void *worker = door_peer("worker", "broker", NULL), *observer = door_observer();
    struct wire_message m;

    ck_assert(door_say_hello(worker, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    door_hears(worker, WIRE_WELCOME);
    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish.key.experiment = 1;
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, 1), 0);
    memset(zmq_msg_data(&m.payload), 'x', 1);
    ck_assert(door_say(worker, &m, DOOR_PATIENCE_MS));
    wire_message_release(&m);
    is_refused(worker, REFUSE_ROLE);
    ck_assert_int_eq((int)door_status(observer).queued, 0);
    zmq_close(worker);
    zmq_close(observer);
}
END_TEST

/* Even who knows the other's incarnation, which no message tells. */
START_TEST(a_name_belongs_to_its_key_while_its_peer_lives)
{
    void *owner = door_peer("worker", "broker", NULL),
         *thief = door_peer("worker2", "broker", NULL);

    ck_assert(door_say_hello(owner, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    door_hears(owner, WIRE_WELCOME);
    ck_assert(door_say_hello(thief, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    is_refused(thief, REFUSE_NAME_TAKEN);
    ck_assert(door_say_kind(owner, WIRE_GOODBYE));
    zmq_close(owner);
    for (int tries = 0;; tries++) { /* the GOODBYE may be behind the next HELLO */
        struct wire_message m;

        ck_assert(door_say_hello(thief, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
        m = door_hear(thief, DOOR_PATIENCE_MS);
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
    void *owner = door_peer("worker", "broker", "route"), *thief, *observer = door_observer();

    ck_assert(door_say_hello(owner, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    door_hears(owner, WIRE_WELCOME);
    zmq_close(owner);
    (void)usleep(200000); /* the broker sees the connection end */
    thief = door_peer("worker2", "broker", "route");
    ck_assert(door_say_kind(thief, WIRE_DRAIN));
    is_refused(thief, REFUSE_HELLO_FIRST);
    ck_assert_int_eq((int)door_status(observer).n_peers, 2); /* the owner's leases hold */
    zmq_close(thief);
    zmq_close(observer);
}
END_TEST

START_TEST(a_key_that_is_removed_is_out_at_once_and_may_come_back)
{
    void *worker = door_peer("worker", "broker", NULL), *observer = door_observer();
    int64_t until = clock_ms() + DOOR_PATIENCE_MS;
    int64_t removed_ms;

    ck_assert(door_say_hello(worker, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    door_hears(worker, WIRE_WELCOME);
    ck_assert_int_eq((int)door_status(observer).workers, 1);
    ck_assert_int_eq(rename(door_path("allow/worker"), door_path("worker")), 0);
    removed_ms = clock_ms();
    while (door_status(observer).workers > 0 && clock_ms() < until) {
        (void)door_say_kind(worker, WIRE_HEARTBEAT);
        (void)usleep(100000); /* a peer that beats more often is not heard */
    }
    ck_assert_int_eq((int)door_status(observer).workers, 0);
    printf("a removed key was out after %lld ms\n", (long long)(clock_ms() - removed_ms));
    (void)usleep(400000);
    ck_assert(door_say_kind(worker, WIRE_HEARTBEAT)); /* the connection is still there: */
    is_refused(worker, REFUSE_ROLE);                  /* nothing that comes over it counts */
    ck_assert(door_say_hello(worker, WIRE_WORKER, "w", DOOR_PATIENCE_MS));
    ck_assert_int_eq((int)door_status(observer).workers, 0);
    ck_assert_int_eq(rename(door_path("worker"), door_path("allow/worker")), 0);
    while (door_status(observer).workers == 0 && clock_ms() < until) {
        (void)door_say_hello(worker, WIRE_WORKER, "w", DOOR_PATIENCE_MS);
        (void)usleep(100000);
    }
    ck_assert_int_eq((int)door_status(observer).workers, 1);
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
    ck_assert_int_eq(certificate_save(&made, door_path("k"), true, &why), FARM_OK);
    ck_assert_int_eq(stat(door_path("k"), &s), 0);
    ck_assert_int_eq(s.st_mode & 07777, 0600);
    ck_assert_int_eq(certificate_load(&read, door_path("k"), true, &why), FARM_OK);
    ck_assert_str_eq(read.name, "gpu-7");
    ck_assert_int_eq(read.role, CERTIFICATE_WORKER);
    ck_assert_str_eq(read.public_key, made.public_key);
    ck_assert_str_eq(read.secret_key, made.secret_key);
    ck_assert_int_eq(certificate_save(&made, door_path("k"), false, &why), FARM_EINPUT);
    ck_assert_ptr_nonnull(strstr(why.text, "no key is overwritten"));
    ck_assert_int_eq(certificate_load(&read, door_path("k"), false, &why), FARM_OK);
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
    FILE *f = fopen(door_path("k"), "w");
    struct certificate c;
    struct why why = {""};
    int rc;

    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(files[_i].text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(door_path("k"), files[_i].mode), 0);
    rc = certificate_load(&c, door_path("k"), files[_i].secret, &why);
    if (files[_i].says == NULL)
        ck_assert_msg(rc == FARM_OK, "%s", why.text);
    else
        ck_assert_msg(rc == FARM_EINPUT && strstr(why.text, files[_i].says) != NULL, "%s",
                      why.text);
    ck_assert_ptr_null(strstr(why.text, "D:)Q[")); /* no sentence holds a secret */
}
END_TEST

START_TEST(a_secret_that_belongs_to_another_user_is_refused)
{
    struct certificate c;
    struct why why = {""};
    FILE *f;

    if (geteuid() != 0) { /* nobody else can give a file away */
        fprintf(stderr, "NOT TESTED: a key of another user (not root here)\n");
        return;
    }
    ck_assert_ptr_nonnull(f = fopen(door_path("k"), "w"));
    ck_assert_int_ge(fputs(files[0].text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(door_path("k"), 0600), 0);
    ck_assert_int_eq(chown(door_path("k"), 1234, 1234), 0);
    ck_assert_int_eq(certificate_load(&c, door_path("k"), true, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, "belongs to user 1234, not to this one (0): chown it") != NULL,
                  "%s", why.text);
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
    void *socket = zmq_socket(door_context, ZMQ_DEALER);

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

    tcase_add_checked_fixture(door, door_set_up_broker, door_tear_down);
    tcase_set_timeout(door, 60);
    tcase_add_test(door, an_allowed_key_with_a_role_comes_in_with_that_role_only);
    tcase_add_test(door, a_worker_cannot_publish);
    tcase_add_test(door, a_name_belongs_to_its_key_while_its_peer_lives);
    tcase_add_test(door, a_routing_id_of_another_key_gives_nothing);
    tcase_add_test(door, a_key_that_is_removed_is_out_at_once_and_may_come_back);
    suite_add_tcase(suite, door);
    tcase_add_checked_fixture(crowd, door_set_up, door_tear_down);
    tcase_set_timeout(crowd, 600);
    tcase_add_test(crowd, strangers_reach_nothing);
    suite_add_tcase(suite, crowd);
    tcase_add_checked_fixture(file, door_set_up, door_tear_down);
    tcase_add_test(file, a_certificate_is_read_as_it_was_written_and_never_overwritten);
    tcase_add_loop_test(file, files_that_are_no_keys_are_refused_with_the_remedy, 0,
                        (int)(sizeof files / sizeof files[0]));
    tcase_add_test(file, a_secret_that_belongs_to_another_user_is_refused);
    tcase_add_test(file, only_this_machine_is_spoken_to_in_the_clear);
    suite_add_tcase(suite, file);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
