/* test_wire.c - every message over a real pair of sockets, and everything that is not a message. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "raw_message.h"
#include "rng.h"
#include "wire.h"

static void *context, *router, *dealer;
static zmq_msg_t peer; /* the dealer's routing id, once it has said something */

static void setup(void)
{
    struct why why;

    context = zmq_ctx_new();
    router = zmq_socket(context, ZMQ_ROUTER);
    dealer = zmq_socket(context, ZMQ_DEALER);
    ck_assert_int_eq(wire_socket_options(router, ZMQ_ROUTER, &why), FARM_OK);
    ck_assert_int_eq(wire_socket_options(dealer, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_bind(router, "inproc://wire"), 0);
    ck_assert_int_eq(zmq_connect(dealer, "inproc://wire"), 0);
    zmq_msg_init(&peer);
}

static void teardown(void)
{
    zmq_msg_close(&peer);
    zmq_close(router);
    zmq_close(dealer);
    zmq_ctx_term(context);
}

/* Waits for one message, at most five seconds. */
static int receive(void *socket, zmq_msg_t *from, struct wire_message *m, struct why *why)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};

    ck_assert_int_eq(zmq_poll(&item, 1, 5000), 1);
    return wire_recv(socket, from, m, why);
}

/* Sends m from dealer to router, and gives back what arrived. */
static struct wire_message over(const struct wire_message *m)
{
    struct wire_message got;
    struct why why;

    ck_assert_int_eq(wire_send(dealer, NULL, m), FARM_OK);
    ck_assert_msg(receive(router, &peer, &got, &why) == FARM_OK, "%s", why.text);
    ck_assert_int_eq(got.kind, m->kind);
    return got;
}

START_TEST(a_hello_tells_all_of_a_worker)
{
    struct wire_message m, got;
    struct wire_lease leases[2] = {{.key = {1, 2, 3}, .lease = 4, .progress = 5, .running = true},
                                   {.key = {~0ull, ~0ull, WIRE_RUNG_FINAL}, .lease = ~0ull}};

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                    .name = "host-1.a_b",
                                    .incarnation = 77,
                                    .version = "0.1.0",
                                    .slots = 8,
                                    .ahead = 3,
                                    .n_data = 1,
                                    .n_leases = 2,
                                    .leases = leases};
    m.u.hello.data[0] = (struct wire_data){
        .name = "digits", .fingerprint = 9, .h = 8, .w = 8, .c = 1, .classes = 10, .n_train = 1797};
    got = over(&m);
    ck_assert_str_eq(got.u.hello.name, "host-1.a_b");
    ck_assert_uint_eq(got.u.hello.slots, 8);
    ck_assert_uint_eq(got.u.hello.data[0].n_train, 1797);
    ck_assert_uint_eq(got.u.hello.n_leases, 2);
    ck_assert(wire_key_equal(&got.u.hello.leases[0].key, &leases[0].key));
    ck_assert(got.u.hello.leases[0].running);
    ck_assert_uint_eq(got.u.hello.leases[1].lease, ~0ull);
    wire_message_release(&got);
}
END_TEST

START_TEST(a_result_travels_both_ways_with_payload_and_blob)
{
    struct wire_message m, got, back;
    struct why why;

    wire_message_init(&m, WIRE_RESULT);
    m.u.result = (struct wire_result){.lease = {.key = {5, 6, 7}, .lease = 8}, .worker = "w"};
    zmq_msg_init_size(&m.payload, 1000);
    memset(zmq_msg_data(&m.payload), 'p', 1000);
    zmq_msg_init_size(&m.blob, 100000);
    memset(zmq_msg_data(&m.blob), 'b', 100000);
    got = over(&m);
    ck_assert_uint_eq(zmq_msg_size(&got.payload), 1000);
    ck_assert_uint_eq(zmq_msg_size(&got.blob), 100000);
    ck_assert_int_eq(wire_send(router, &peer, &got), FARM_OK); /* forwarded as it is, twice */
    ck_assert_int_eq(wire_send(router, &peer, &got), FARM_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(receive(dealer, NULL, &back, &why), FARM_OK);
        ck_assert_uint_eq(back.u.result.lease.key.trial, 6);
        ck_assert_mem_eq(zmq_msg_data(&back.blob), zmq_msg_data(&m.blob), 100000);
        wire_message_release(&back);
    }
    wire_message_release(&got);
    wire_message_release(&m);
}
END_TEST

/* A training to go on with travels beside the task, on both legs. */
START_TEST(a_task_may_bring_a_blob_along)
{
    static const enum wire_kind kinds[] = {WIRE_PUBLISH, WIRE_TASK};

    for (int i = 0; i < 2; i++)
        for (size_t size = 0; size < 3000; size += 1500) {
            struct wire_message m, got;

            wire_message_init(&m, kinds[i]);
            if (kinds[i] == WIRE_TASK)
                m.u.task.key.trial = 6;
            else
                m.u.publish.key.trial = 6;
            zmq_msg_init_size(&m.payload, 10);
            memset(zmq_msg_data(&m.payload), 'p', 10);
            zmq_msg_init_size(&m.blob, size);
            memset(zmq_msg_data(&m.blob), 'b', size);
            got = over(&m);
            ck_assert_uint_eq(zmq_msg_size(&got.payload), 10);
            ck_assert_uint_eq(zmq_msg_size(&got.blob), size);
            ck_assert_mem_eq(zmq_msg_data(&got.blob), zmq_msg_data(&m.blob), size);
            wire_message_release(&got);
            wire_message_release(&m);
        }
}
END_TEST

START_TEST(every_other_kind_arrives_as_it_left)
{
    struct wire_message m, got;
    struct wire_lease lease = {.key = {1, 2, 3}, .lease = 4};
    struct wire_peer_status status = {
        .role = WIRE_WORKER, .name = "w", .slots = 2, .silent_ms = -1};

    for (int kind = WIRE_WELCOME; kind < WIRE_KIND_END; kind++) {
        if (kind == WIRE_RESULT)
            continue;
        wire_message_init(&m, (enum wire_kind)kind);
        switch (kind) {
        case WIRE_WELCOME:
            m.u.welcome = (struct wire_welcome){.broker = 3, .heartbeat_ms = 1000};
            break;
        case WIRE_REFUSE: m.u.refuse = (struct wire_refuse){REFUSE_VERSION, "no"}; break;
        case WIRE_PUBLISH:
            m.u.publish = (struct wire_publish){.key = {1, 2, 3},
                                                .again = true,
                                                .avoid = {2, {"w-1", "w-2"}},
                                                .never = {1, {"w-3"}}};
            break;
        case WIRE_WINDOW: m.u.window = (struct wire_window){.window = 5, .slots = 7}; break;
        case WIRE_TASK: m.u.task = lease; break;
        case WIRE_PROGRESS: m.u.result.lease = lease; break;
        case WIRE_STATUS:
            m.u.status = (struct wire_status){.workers = 1, .n_peers = 1, .peers = &status};
            break;
        case WIRE_DRAIN:
        case WIRE_GOODBYE: break;
        default:
            m.u.leases = (struct wire_leases){.n = 1, .leases = &lease, .sentence = "why"};
            break;
        }
        got = over(&m);
        if (kind == WIRE_PUBLISH) {
            ck_assert_mem_eq(&got.u.publish.key, &m.u.publish.key, sizeof m.u.publish.key);
            ck_assert_uint_eq(got.u.publish.avoid.n, 2);
            ck_assert_str_eq(got.u.publish.avoid.name[1], "w-2");
            ck_assert_uint_eq(got.u.publish.never.n, 1);
            ck_assert_str_eq(got.u.publish.never.name[0], "w-3");
        }
        if (kind == WIRE_ACK)
            ck_assert_uint_eq(got.u.leases.leases[0].lease, 4);
        if (kind == WIRE_STATUS)
            ck_assert_int_eq(got.u.status.peers[0].silent_ms, -1);
        wire_message_release(&got);
    }
}
END_TEST

START_TEST(nobody_there_is_said_and_not_swallowed)
{
    struct wire_message m;
    zmq_msg_t stranger;

    zmq_msg_init_size(&stranger, 5);
    memcpy(zmq_msg_data(&stranger), "nobdy", 5);
    wire_message_init(&m, WIRE_DRAIN);
    ck_assert_int_eq(wire_send(router, &stranger, &m), FARM_EBUSY);
    zmq_msg_close(&stranger);
}
END_TEST

/* ---- what is not a message --------------------------------------------------------------------------- */

static const struct {
    const char *frames[6]; /* each is its bytes; lengths by strlen, so no NULs here */
    int err;
    const char *sentence;
} garbage[] = {
    {{"x"}, FARM_EWIRE, "first frame"},
    {{"NF\x02\x07"}, FARM_EWIRE, "without a head"},
    {{"NF\x09\x01", "h"}, FARM_EVERSION, "version 9"},
    {{"NF\x02\x01"
      "?",
      "h"},
     FARM_EWIRE,
     "a first frame of 5 bytes: it has 8"},
    {{"NF\x02\x01"
      "abcd",
      "\x08\x01\x12\x01w"},
     FARM_EWIRE,
     "damaged on the way"},
    {{"NF\x02\x63", "h"}, FARM_EWIRE, "unknown kind"},
    {{"NF\x02\x07", "\xff\xff\xff\xff"}, FARM_EWIRE, "no protobuf"},
    {{"NF\x02\x07", "\x10\x01"}, FARM_EWIRE, "without a payload"},
    {{"NF\x02\x10", "", "more"}, FARM_EWIRE, "more frames"},
    {{"NF\x02\x08", "\x0a\x02\x10\x01", "payload", "blob", "more"}, FARM_EWIRE, "more frames"},
    {{"NF\x02\x07", "\x10\x01", "payload", "blob", "more"}, FARM_EWIRE, "more frames"},
    {{"NF\x02\x0d", "\x0a\x02\x10\x01", "payload", "blob"}, FARM_EWIRE, "more frames"},
    {{"NF\x02\x08", "\x12\x01w", "payload"}, FARM_EWIRE, "without its lease"},
    {{"NF\x02\x01", "\x08\x07"}, FARM_EWIRE, "role 7"},
    {{"NF\x02\x01", "\x08\x01\x12\x01/"}, FARM_EWIRE, "A-Z"},
    {{"NF\x02\x01", "\x08\x02\x12\x01w"}, FARM_EWIRE, "0 slots"},
};

START_TEST(garbage_is_refused_with_a_sentence_and_the_next_message_is_read)
{
    struct wire_message got, good;
    struct why why = {""};
    struct raw_frame frames[6];
    size_t n = 0;

    for (; garbage[_i].frames[n] != NULL; n++)
        frames[n] = (struct raw_frame){garbage[_i].frames[n], strlen(garbage[_i].frames[n])};
    raw_send(dealer, frames, n);
    ck_assert_int_eq(receive(router, &peer, &got, &why), garbage[_i].err);
    ck_assert_msg(strstr(why.text, garbage[_i].sentence) != NULL, "%s", why.text);
    wire_message_init(&good, WIRE_GOODBYE);
    got = over(&good);
    wire_message_release(&got);
}
END_TEST

START_TEST(random_frames_do_no_harm)
{
    struct rng rng;

    rng_seed(&rng, 1);
    for (int round = 0; round < 3000; round++) {
        struct wire_message got;
        struct why why = {""};
        uint8_t bytes[20][64], mark[4] = {'N', 'F', WIRE_VERSION, (uint8_t)rng_below(&rng, 20)};
        struct raw_frame frames[20];
        size_t n = 1 + (size_t)rng_below(&rng, 20);

        for (size_t i = 0; i < n; i++) {
            frames[i] = (struct raw_frame){bytes[i], (size_t)rng_below(&rng, sizeof bytes[i])};
            for (size_t k = 0; k < frames[i].len; k++)
                bytes[i][k] = (uint8_t)rng_u64(&rng);
        }
        if (round % 2 == 0)
            frames[0] = (struct raw_frame){mark, sizeof mark};
        raw_send(dealer, frames, n);
        if (receive(router, &peer, &got, &why) == FARM_OK)
            wire_message_release(&got);
        else
            ck_assert_uint_gt(strlen(why.text), 0);
    }
}
END_TEST

/* ---- damage on the way --------------------------------------------------------------------------- */

/* Takes one message off the router as bare frames, at most four, whose bytes are its own; how many. */
static size_t take_frames(zmq_msg_t frames[4])
{
    zmq_msg_t frame; /* shares its bytes with whoever sent it */
    bool more = true;
    size_t n = 0;

    zmq_msg_recv(&peer, router, 0);
    zmq_msg_init(&frame);
    while (more) {
        ck_assert_uint_lt(n, 4);
        ck_assert_int_ge(zmq_msg_recv(&frame, router, 0), 0);
        zmq_msg_init_size(&frames[n], zmq_msg_size(&frame));
        memcpy(zmq_msg_data(&frames[n]), zmq_msg_data(&frame), zmq_msg_size(&frame));
        more = zmq_msg_more(&frame);
        n++;
    }
    zmq_msg_close(&frame);
    return n;
}

/* Flips 1 to 8 bits, all different ones, of the first frames together. */
static void flip_bits(struct rng *rng, zmq_msg_t *frames, size_t n)
{
    size_t bytes = 0, at[8];
    unsigned bit[8], flips = 1 + (unsigned)rng_below(rng, 8);

    for (size_t i = 0; i < n; i++)
        bytes += zmq_msg_size(&frames[i]);
    for (unsigned f = 0; f < flips; f++) {
        size_t where = at[f] = rng_below(rng, bytes), i = 0;

        bit[f] = (unsigned)rng_below(rng, 8);
        for (unsigned g = 0; g < f; g++)
            if (at[g] == at[f] && bit[g] == bit[f])
                return; /* would undo what was done */
        for (; where >= zmq_msg_size(&frames[i]); i++)
            where -= zmq_msg_size(&frames[i]);
        ((uint8_t *)zmq_msg_data(&frames[i]))[where] ^= (uint8_t)(1u << bit[f]);
    }
}

START_TEST(no_damaged_message_is_taken)
{
    enum { MESSAGES = 100000 };
    struct rng rng;
    struct wire_message m;
    uint8_t payload[100];

    rng_seed(&rng, 3);
    wire_message_init(&m, WIRE_RESULT);
    m.u.result = (struct wire_result){{.key = {7, 8, 1}, .lease = 1234567}, "worker-3"};
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)rng_u64(&rng);
    zmq_msg_init_size(&m.payload, sizeof payload);
    memcpy(zmq_msg_data(&m.payload), payload, sizeof payload);
    for (int round = 0; round < MESSAGES; round++) {
        zmq_msg_t frames[4];
        struct wire_message got;
        struct why why;
        size_t n;

        ck_assert_int_eq(wire_send(dealer, NULL, &m), FARM_OK);
        n = take_frames(frames);
        flip_bits(&rng, frames, n);
        for (size_t i = 0; i < n; i++)
            ck_assert_int_ge(zmq_msg_send(&frames[i], dealer, i + 1 < n ? ZMQ_SNDMORE : 0), 0);
        ck_assert_int_ne(receive(router, &peer, &got, &why), FARM_OK);
    }
    zmq_msg_close(&m.payload);
}
END_TEST

START_TEST(names_are_short_and_plain)
{
    char long_name[80];

    memset(long_name, 'a', sizeof long_name);
    long_name[64] = '\0';
    ck_assert(wire_name_ok(long_name));
    long_name[64] = 'a';
    long_name[65] = '\0';
    ck_assert(!wire_name_ok(long_name));
    ck_assert(wire_name_ok("A-z_0.9") && !wire_name_ok("") && !wire_name_ok("a/b") &&
              !wire_name_ok("a\x1b"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *tcase = tcase_create("wire");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_hello_tells_all_of_a_worker);
    tcase_add_test(tcase, a_result_travels_both_ways_with_payload_and_blob);
    tcase_add_test(tcase, a_task_may_bring_a_blob_along);
    tcase_add_test(tcase, every_other_kind_arrives_as_it_left);
    tcase_add_test(tcase, nobody_there_is_said_and_not_swallowed);
    tcase_add_loop_test(tcase, garbage_is_refused_with_a_sentence_and_the_next_message_is_read, 0,
                        (int)(sizeof garbage / sizeof garbage[0]));
    tcase_add_test(tcase, random_frames_do_no_harm);
    tcase_add_test(tcase, no_damaged_message_is_taken);
    tcase_add_test(tcase, names_are_short_and_plain);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
