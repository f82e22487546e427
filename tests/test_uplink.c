/* test_uplink.c - a peer's connection, to a broker that this test plays: made, ended at any moment, made again. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "uplink.h"

#define DEADLINE_MS 10000
#define ROUNDS      8
#define FLOOD_MS    30

static char endpoint[64];
static struct uplink *uplink;

/* ---- a broker ---------------------------------------------------------------------------------------------------- */

struct house {
    void *context, *router;
};

static void open_house(struct house *self)
{
    size_t len = sizeof endpoint;
    struct why why;
    int64_t until = clock_ms() + DEADLINE_MS;

    self->context = zmq_ctx_new();
    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    ck_assert_int_eq(wire_socket_options(self->router, ZMQ_ROUTER, &why), FARM_OK);
    while (zmq_bind(self->router, endpoint) != 0)
        ck_assert_msg(clock_ms() < until, "%s: %s", endpoint, zmq_strerror(errno));
    ck_assert_int_eq(zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, endpoint, &len), 0);
}

static void close_house(struct house *self)
{
    int none = 0;

    zmq_setsockopt(self->router, ZMQ_LINGER, &none, sizeof none);
    zmq_close(self->router);
    zmq_ctx_term(self->context);
}

/* Waits for a message. */
static void take(const struct house *self, zmq_msg_t *from, struct wire_message *out)
{
    zmq_pollitem_t item = {self->router, 0, ZMQ_POLLIN, 0};
    struct why why;

    ck_assert_int_eq(zmq_poll(&item, 1, DEADLINE_MS), 1);
    ck_assert_msg(wire_recv(self->router, from, out, &why) == FARM_OK, "%s", why.text);
}

/* ---- the peer ---------------------------------------------------------------------------------------------------- */

static void turn(long ms)
{
    zmq_pollitem_t items[UPLINK_ITEMS];

    zmq_poll(items, uplink_items(uplink, true, items), ms);
    uplink_turn(uplink);
}

static int say(enum wire_kind kind)
{
    struct wire_message m;
    int rc;

    wire_message_init(&m, kind);
    rc = uplink_send(uplink, &m);
    wire_message_release(&m);
    return rc;
}

/* Turns until it is heard, or not any more. */
static void turn_until(int rc, enum wire_kind kind)
{
    int64_t until = clock_ms() + DEADLINE_MS;

    while (say(kind) != rc) {
        ck_assert_msg(clock_ms() < until, "still %s", rc == FARM_OK ? "alone" : "connected");
        turn(20);
    }
}

static void setup(void)
{
    struct why why;

    (void)snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:*");
    ck_assert_msg(uplink_create(&uplink, &why) == FARM_OK, "%s", why.text);
}

static void teardown(void)
{
    uplink_destroy(&uplink);
    ck_assert_ptr_null(uplink);
}

static void connect_to_endpoint(void)
{
    struct peer_keys keys = {NULL, NULL, false};
    struct why why;

    ck_assert_msg(uplink_connect(uplink, &keys, endpoint, &why) == FARM_OK, "%s", why.text);
}

START_TEST(what_is_said_to_nobody_is_refused)
{
    struct house house;

    ck_assert_int_eq(say(WIRE_DRAIN), FARM_EBUSY);
    open_house(&house);
    connect_to_endpoint();
    turn_until(FARM_OK, WIRE_DRAIN);
    close_house(&house);
    turn_until(FARM_EBUSY, WIRE_HEARTBEAT);
}
END_TEST

START_TEST(the_next_broker_hears_nothing_of_what_was_said_to_the_last)
{
    struct house house;
    struct wire_message m;
    zmq_msg_t from;

    zmq_msg_init(&from);
    open_house(&house);
    connect_to_endpoint();
    turn_until(FARM_OK, WIRE_DRAIN);
    take(&house, &from, &m);
    close_house(&house);
    for (int i = 0; i < 100; i++) /* it has not seen yet that nobody is there */
        (void)say(WIRE_HEARTBEAT);
    turn_until(FARM_EBUSY, WIRE_HEARTBEAT);
    open_house(&house);
    turn_until(FARM_OK, WIRE_GOODBYE);
    take(&house, &from, &m);
    ck_assert_int_eq(m.kind, WIRE_GOODBYE);
    close_house(&house);
    zmq_msg_close(&from);
}
END_TEST

/* Sends tasks as fast as they go, then dies. */
static void *flood(void *arg)
{
    struct house *house = arg;
    struct wire_message m;
    zmq_msg_t from;
    int64_t until;

    zmq_msg_init(&from);
    take(house, &from, &m);
    until = clock_ms() + FLOOD_MS;
    wire_message_init(&m, WIRE_TASK);
    zmq_msg_init_size(&m.payload, 10);
    memset(zmq_msg_data(&m.payload), 'p', 10);
    while (clock_ms() < until)
        (void)wire_send(house->router, &from, &m);
    wire_message_release(&m);
    zmq_msg_close(&from);
    close_house(house);
    return NULL;
}

/* More waits than is taken while the broker lives, so that it ends in the middle of a message that is being read, or just
 * before one. Returns how many came. */
static uint64_t take_slowly(void)
{
    const struct timespec a_while = {0, 100000};
    struct wire_message m;
    struct why why;
    uint64_t n = 0;

    for (; uplink_recv(uplink, &m, &why) == FARM_OK; n++) {
        wire_message_release(&m);
        if (n % 10 == 0)
            nanosleep(&a_while, NULL);
    }
    return n;
}

START_TEST(a_broker_that_dies_in_the_middle_of_a_message_does_not_end_its_peers)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct house house;
        pthread_t thread;
        uint64_t taken = 0;

        open_house(&house);
        if (round == 0)
            connect_to_endpoint();
        turn_until(FARM_OK, WIRE_DRAIN);
        ck_assert_int_eq(pthread_create(&thread, NULL, flood, &house), 0);
        while (say(WIRE_HEARTBEAT) == FARM_OK) {
            turn(1);
            taken += take_slowly();
        }
        pthread_join(thread, NULL);
        ck_assert_uint_gt(taken, 100); /* libzmq looks for what has happened at every 100th frame */
    }
}
END_TEST

START_TEST(what_is_no_endpoint_is_said)
{
    struct peer_keys keys = {NULL, NULL, false};
    struct why why;

    ck_assert_int_eq(uplink_connect(uplink, &keys, "tcp://127.0.0.1:none", &why), FARM_ENET);
    ck_assert_int_eq(errno, EINVAL);
    ck_assert_int_eq(say(WIRE_DRAIN), FARM_EBUSY);
    turn(0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("uplink");
    TCase *tcase = tcase_create("uplink");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, what_is_said_to_nobody_is_refused);
    tcase_add_test(tcase, the_next_broker_hears_nothing_of_what_was_said_to_the_last);
    tcase_add_test(tcase, a_broker_that_dies_in_the_middle_of_a_message_does_not_end_its_peers);
    tcase_add_test(tcase, what_is_no_endpoint_is_said);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
