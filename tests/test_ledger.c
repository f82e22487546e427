/* test_ledger.c - the broker as dialogues, without sockets and in virtual time.
 *
 * A dialogue is a list of lines. A line without '>' is said to the broker by the peer in front of the colon; then the
 * broker takes its turn; and all that it says must be what the lines with '>' say, in their order.
 *
 *     "w1: HELLO slots=2 ahead=1 data=digits inc=1 has 1/7#3*"    worker w1, which runs trial 7 of experiment 1 under
 *                                                                lease 3 (no '*': not running; '@5': progress 5)
 *     "c1: HELLO experiment=1 demand=10 data=digits"              a controller; "o1: HELLO" is an observer
 *     "w1~2: HELLO ..."                                           w1 over another connection
 *     "c1: PUBLISH 1/7"   "c1: AGAIN 1/7"                         (again: it may be running already)
 *     "c1: PUBLISH 1/7 blob=600"  "> w1 TASK 1/7#1 with 600"      with a training of 600 bytes to go on from
 *     "c1: PUBLISH 1/7 avoid=w1 never=w2,w3"                      it has failed on w1; w2 and w3 are not trusted
 *     "+500"                                                      half a second passes
 *     "w1: UNPLUG"                                                from now on w1 cannot be reached
 *     "windows"                                                   WINDOWs are part of the dialogue from here on
 *
 * Heartbeats' echoes are left out. The first lease is 1. Heartbeat 1 s, lease 10 s.
 */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"
#include "log.h"
#include "task.h"

struct farm {
    struct ledger *ledger;
    int64_t now;
    bool windows;
    char unplugged[16];
    char heard[16384]; /* what the broker said, a line each */
    zmq_msg_t
        on_the_way; /* the last result, as a socket keeps it: by reference, until it is written */
};

/* ---- what the broker says, as lines ------------------------------------------------------------------ */

static void hear(struct farm *farm, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void hear(struct farm *farm, const char *format, ...)
{
    size_t used = strlen(farm->heard);
    va_list args;

    va_start(args, format);
    (void)vsnprintf(farm->heard + used, sizeof farm->heard - used, format, args);
    va_end(args);
}

static void hear_lease(struct farm *farm, const struct wire_lease *l, bool token)
{
    hear(farm, " %llu/%llu", (unsigned long long)l->key.experiment,
         (unsigned long long)l->key.trial);
    if (token)
        hear(farm, "#%llu", (unsigned long long)l->lease);
}

/* Long after the ledger was done with it, the frame that a socket has taken must still be whole. */
static void read_what_is_on_the_way(struct farm *farm)
{
    volatile uint8_t sum = 0;

    for (size_t i = 0; i < zmq_msg_size(&farm->on_the_way); i++)
        sum = (uint8_t)(sum + ((const uint8_t *)zmq_msg_data(&farm->on_the_way))[i]);
    zmq_msg_close(&farm->on_the_way);
    zmq_msg_init(&farm->on_the_way);
}

static void hear_result(struct farm *farm, const struct wire_message *m)
{
    struct result result;
    struct why why;

    hear_lease(farm, &m->u.result.lease, true);
    hear(farm, " of %s", m->u.result.worker);
    if (result_unpack(&result, zmq_msg_data((zmq_msg_t *)&m->payload), zmq_msg_size(&m->payload),
                      &why) == FARM_OK)
        hear(farm, " %s", outcome_name(result.outcome));
}

static int take(void *ctx, const zmq_msg_t *to, const struct wire_message *m)
{
    static const char *const refusals[] = {"",           "version", "hello-first", "malformed",
                                           "name-taken", "limit",   "role"};
    struct farm *farm = ctx;
    char name[32] = "";

    memcpy(name, zmq_msg_data((zmq_msg_t *)to), zmq_msg_size(to));
    if (strcmp(name, farm->unplugged) == 0)
        return FARM_EBUSY;
    if (m->kind == WIRE_HEARTBEAT || (m->kind == WIRE_WINDOW && !farm->windows))
        return FARM_OK;
    hear(farm, "> %s %s", name, wire_kind_name(m->kind));
    switch (m->kind) {
    case WIRE_REFUSE: hear(farm, " %s", refusals[m->u.refuse.code]); break;
    case WIRE_WINDOW: hear(farm, " %u", m->u.window.window); break;
    case WIRE_TASK:
        hear_lease(farm, &m->u.task, true);
        if (zmq_msg_size(&m->blob) > 0)
            hear(farm, " with %zu", zmq_msg_size(&m->blob));
        break;
    case WIRE_RESULT:
        hear_result(farm, m);
        read_what_is_on_the_way(farm);
        ck_assert_int_eq(zmq_msg_copy(&farm->on_the_way, (zmq_msg_t *)&m->payload), 0);
        break;
    case WIRE_STATUS:
        hear(farm, " workers=%u slots=%u busy=%u queued=%u done=%llu share=%.2f",
             m->u.status.workers, m->u.status.slots, m->u.status.busy, m->u.status.queued,
             (unsigned long long)m->u.status.done, m->u.status.busy_share);
        break;
    case WIRE_ACK:
    case WIRE_BUSY:
    case WIRE_REVOKE:
        for (size_t i = 0; i < m->u.leases.n; i++)
            hear_lease(farm, &m->u.leases.leases[i], m->kind == WIRE_REVOKE);
        break;
    default: break;
    }
    hear(farm, "\n");
    return FARM_OK;
}

/* ---- what is said to the broker ----------------------------------------------------------------------- */

static unsigned long long field(const char *line, const char *name, unsigned long long otherwise)
{
    const char *at = strstr(line, name);

    return at == NULL ? otherwise : strtoull(at + strlen(name), NULL, 10);
}

static void data_field(const char *line, char out[LIMIT_NAME + 1])
{
    const char *at = strstr(line, "data=");

    if (at != NULL)
        ck_assert_int_eq(sscanf(at, "data=%64[a-z]", out), 1);
}

/* All the 1/7#3*@5 of a line. */
static size_t leases_of(const char *line, struct wire_lease *out)
{
    size_t n = 0;

    for (const char *at = line; (at = strchr(at, '/')) != NULL; at++) {
        const char *from = at;
        char *end;

        while (from > line && from[-1] >= '0' && from[-1] <= '9')
            from--;
        out[n] =
            (struct wire_lease){.key = {strtoull(from, NULL, 10), strtoull(at + 1, &end, 10), 0}};
        if (*end == '#')
            out[n].lease = strtoull(end + 1, &end, 10);
        if (*end == '*') {
            out[n].running = true;
            end++;
        }
        if (*end == '@')
            out[n].progress = strtoull(end + 1, &end, 10);
        n++;
    }
    return n;
}

static void fill_hello(struct wire_hello *h, const char *name, const char *line,
                       struct wire_lease *leases)
{
    h->role = name[0] == 'c' ? WIRE_CONTROLLER : name[0] == 'w' ? WIRE_WORKER : WIRE_OBSERVER;
    (void)snprintf(h->name, sizeof h->name, "%.*s", (int)strcspn(name, "~"), name);
    h->incarnation = field(line, "inc=", 1);
    h->slots = (uint32_t)field(line, "slots=", 1);
    h->ahead = (uint32_t)field(line, "ahead=", 0);
    h->experiment = field(line, "experiment=", 1);
    h->demand = (uint32_t)field(line, "demand=", 1000);
    if (h->role == WIRE_CONTROLLER) {
        data_field(line, h->data_name);
    } else if (h->role == WIRE_WORKER && strstr(line, "data=") != NULL) {
        h->n_data = 1;
        data_field(line, h->data[0].name);
        h->n_leases = leases_of(line, leases);
        h->leases = leases;
    } else {
        h->n_leases = leases_of(line, leases);
        h->leases = leases;
    }
}

static enum wire_kind kind_of(const char *word)
{
    if (strcmp(word, "AGAIN") == 0)
        return WIRE_PUBLISH;
    for (int kind = 1; kind < WIRE_KIND_END; kind++)
        if (strcmp(wire_kind_name((enum wire_kind)kind), word) == 0)
            return (enum wire_kind)kind;
    ck_abort_msg("no such message: %s", word);
    return WIRE_KIND_END;
}

/* As in "avoid=w1,w2". */
static void names_of(const char *line, const char *what, struct wire_names *out)
{
    const char *at = strstr(line, what);
    char name[LIMIT_NAME + 1];
    int len;

    for (at = at != NULL ? at + strlen(what) : ""; sscanf(at, "%64[a-z0-9]%n", name, &len) == 1;
         at += len + (at[len] == ','))
        wire_names_add(out, name);
}

static void fill(struct wire_message *m, const char *name, const char *word, const char *line,
                 struct wire_lease *leases)
{
    size_t n;

    if (m->kind == WIRE_HELLO) {
        fill_hello(&m->u.hello, name, line, leases);
        return;
    }
    n = leases_of(line, leases);
    if (m->kind == WIRE_PUBLISH) {
        m->u.publish.key = leases[0].key;
        m->u.publish.again = strcmp(word, "AGAIN") == 0;
        names_of(line, "avoid=", &m->u.publish.avoid);
        names_of(line, "never=", &m->u.publish.never);
    } else if (m->kind == WIRE_RESULT || m->kind == WIRE_PROGRESS) {
        m->u.result.lease = leases[0];
    } else {
        m->u.leases.n = n;
        m->u.leases.leases = leases;
        m->u.leases.demand = (uint32_t)field(line, "demand=", 1000);
    }
    if (m->kind == WIRE_PUBLISH || m->kind == WIRE_RESULT) {
        zmq_msg_init_size(&m->payload, field(line, "size=", 100));
        memset(zmq_msg_data(&m->payload), 0xff, zmq_msg_size(&m->payload));
        zmq_msg_init_size(&m->blob, field(line, "blob=", 0));
        memset(zmq_msg_data(&m->blob), 0xfe, zmq_msg_size(&m->blob));
    }
}

static void say(struct farm *farm, const char *line)
{
    static struct wire_lease leases[64];
    char name[16], word[16];
    struct wire_message m;
    zmq_msg_t from;

    if (line[0] == '+') {
        farm->now += strtoll(line + 1, NULL, 10);
        return;
    }
    if (strcmp(line, "windows") == 0) {
        farm->windows = true;
        return;
    }
    ck_assert_msg(sscanf(line, "%15[^:]: %15[A-Z]", name, word) == 2, "cannot read: %s", line);
    if (strcmp(word, "UNPLUG") == 0) {
        memcpy(farm->unplugged, name, sizeof farm->unplugged);
        return;
    }
    wire_message_init(&m, kind_of(word));
    fill(&m, name, word, strchr(line, ':'), leases);
    zmq_msg_init_size(&from, strlen(name));
    memcpy(zmq_msg_data(&from), name, strlen(name));
    ledger_message(farm->ledger, &from, &m, farm->now);
    zmq_msg_close(&from);
    zmq_msg_close(&m.payload);
    zmq_msg_close(&m.blob);
}

static void play(const struct ledger_config *config, const char *const *lines)
{
    struct farm *farm = calloc(1, sizeof *farm);
    size_t i = 0;

    farm->now = 1000000;
    zmq_msg_init(&farm->on_the_way);
    ck_assert_int_eq(ledger_create(&farm->ledger, config, take, farm, farm->now), FARM_OK);
    (void)ledger_turn(farm->ledger, farm->now);
    while (lines[i] != NULL) {
        const char *said = lines[i++];
        char expected[16384] = "";
        size_t used = 0;

        farm->heard[0] = '\0';
        say(farm, said);
        (void)ledger_turn(farm->ledger, farm->now);
        read_what_is_on_the_way(farm);
        for (; lines[i] != NULL && lines[i][0] == '>'; i++)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s\n", lines[i]);
        ck_assert_msg(strcmp(farm->heard, expected) == 0,
                      "after line %zu, \"%s\", the broker says\n%sand should say\n%s", i, said,
                      farm->heard, expected);
    }
    ledger_destroy(&farm->ledger);
    read_what_is_on_the_way(farm);
    free(farm);
}

static struct ledger_config usual(void)
{
    struct ledger_config config;

    ledger_config_init(&config);
    config.settle_ms = 0;
    return config;
}

/* ---- dialogues ------------------------------------------------------------------------------------------ */

#define DIALOGUE(name, ...)                                                                        \
    START_TEST(name)                                                                               \
    {                                                                                              \
        static const char *const lines[] = {__VA_ARGS__, NULL};                                    \
        struct ledger_config config = usual();                                                     \
        play(&config, lines);                                                                      \
    }                                                                                              \
    END_TEST

DIALOGUE(a_trial_goes_from_controller_to_worker_and_back,        /**/
         "c1: HELLO experiment=1", "> c1 WELCOME",               /**/
         "c1: PUBLISH 1/7",                                      /**/
         "w1: HELLO slots=1", "> w1 WELCOME", "> w1 TASK 1/7#1", /**/
         "w1: RESULT 1/7#1", "> c1 RESULT 1/7#1 of w1",          /**/
         "c1: ACK 1/7#1", "> w1 ACK 1/7",                        /**/
         "c1: ACK 1/7#1")                                        /* twice is fine */

DIALOGUE(who_has_not_said_hello_is_asked_to_and_not_too_often,      /**/
         "w1: RESULT 1/7#1", "> w1 REFUSE hello-first",             /**/
         "w1: RESULT 1/8#2", "w1: HEARTBEAT",                       /**/
         "+500", "w1: HEARTBEAT", "> w1 REFUSE hello-first",        /**/
         "w2: HEARTBEAT", "> w2 REFUSE hello-first", "w3: GOODBYE") /* nothing to say to that */

DIALOGUE(publishing_twice_runs_once_and_brings_a_held_result_again,         /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/1", /**/
         "w1: HELLO slots=4", "> w1 WELCOME", "> w1 TASK 1/1#1",            /**/
         "c1: PUBLISH 1/1",                                                 /* leased: nothing */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",                     /**/
         "c1: PUBLISH 1/1", "> c1 RESULT 1/1#1 of w1", "w1: HEARTBEAT 1/1#1")

DIALOGUE(what_a_controller_takes_for_published_is_said_again_when_it_was_lost, /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "w1: HELLO slots=4",  /**/
         "> w1 WELCOME", "> w1 TASK 1/1#1",                                    /**/
         "c1: HEARTBEAT 1/1 1/2", "> c1 BUSY 1/2",       /* 2 never came: publish it */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",  /* which is lost, and then the worker is */
         "w1: GOODBYE",                                  /**/
         "c1: HEARTBEAT 1/1", "> c1 RESULT 1/1#1 of w1", /* so it comes again */
         "c1: ACK 1/1#1", "c1: HEARTBEAT 2/1", "c1: HEARTBEAT") /* of another search: nothing */

DIALOGUE(a_worker_never_has_more_than_slots_and_ahead,                      /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2", /**/
         "c1: PUBLISH 1/3", "c1: PUBLISH 1/4", "c1: PUBLISH 1/5",           /**/
         "w1: HELLO slots=2 ahead=1", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2",
         "> w1 TASK 1/3#3", /**/
         "w1: RESULT 1/2#2", "> c1 RESULT 1/2#2 of w1",
         "> w1 TASK 1/4#4",             /* finished: not counted */
         "c1: ACK 1/2", "> w1 ACK 1/2", /**/
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", "> w1 TASK 1/5#5", /**/
         "w1: RESULT 1/3#3", "> c1 RESULT 1/3#3 of w1")

DIALOGUE(free_slots_go_before_tasks_in_hand_the_most_free_first, /**/
         "w1: HELLO slots=1 ahead=4", "> w1 WELCOME",            /**/
         "w2: HELLO slots=3 ahead=1", "> w2 WELCOME",            /**/
         "c1: HELLO", "> c1 WELCOME",                            /**/
         "c1: PUBLISH 1/1", "> w2 TASK 1/1#1",                   /* 3 free against 1 */
         "c1: PUBLISH 1/2", "> w2 TASK 1/2#2",                   /* 2 against 1 */
         "c1: PUBLISH 1/3", "> w1 TASK 1/3#3", /* 1 each: the one that waits longer */
         "c1: PUBLISH 1/4", "> w2 TASK 1/4#4", /**/
         "c1: PUBLISH 1/5", "> w1 TASK 1/5#5", /* in hand from here: room 4 against 1 */
         "c1: PUBLISH 1/6", "> w1 TASK 1/6#6", "c1: PUBLISH 1/7", "> w1 TASK 1/7#7")

DIALOGUE(two_controllers_are_served_in_turn,                                                 /**/
         "c1: HELLO experiment=1", "> c1 WELCOME", "c2: HELLO experiment=2", "> c2 WELCOME", /**/
         "c1: PUBLISH 1/1", "c1: PUBLISH 1/2", "c1: PUBLISH 1/3", "c1: PUBLISH 1/4",         /**/
         "c2: PUBLISH 2/1", "c2: PUBLISH 2/2",                                               /**/
         "w1: HELLO slots=6", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 2/1#2",
         "> w1 TASK 1/2#3", "> w1 TASK 2/2#4", "> w1 TASK 1/3#5", "> w1 TASK 1/4#6")

DIALOGUE(a_task_only_goes_to_a_worker_with_its_data, /**/
         "c1: HELLO experiment=1 data=mnist", "> c1 WELCOME", "c2: HELLO experiment=2",
         "> c2 WELCOME", "c1: PUBLISH 1/1", "c2: PUBLISH 2/1",               /**/
         "w1: HELLO slots=3 data=digits", "> w1 WELCOME", "> w1 TASK 2/1#1", /**/
         "w2: HELLO slots=1 data=mnist", "> w2 WELCOME", "> w2 TASK 1/1#2",  /**/
         "c1: PUBLISH 1/2",                    /* w1 is free, and of no use */
         "c2: PUBLISH 2/2", "> w1 TASK 2/2#3", /**/
         "w2: RESULT 1/1#2", "> c1 RESULT 1/1#2 of w2", "> w2 TASK 1/2#4")

DIALOGUE(a_silent_workers_tasks_come_back_to_the_front_in_order_with_newer_leases,             /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2", "c1: PUBLISH 1/3", /**/
         "w1: HELLO slots=2", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2",            /**/
         "+9000", "c1: HEARTBEAT", "+1000", "+1000",                                           /**/
         "w2: HELLO slots=3", "> w2 WELCOME", "> w2 TASK 1/1#3", "> w2 TASK 1/2#4",
         "> w2 TASK 1/3#5")

DIALOGUE(heartbeats_renew_leases,                                   /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",            /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1",            /**/
         "w2: HELLO", "> w2 WELCOME",                               /**/
         "+9000", "w1: HEARTBEAT 1/1#1*", "c1: HEARTBEAT", "+9000", /* w2 is gone, w1 is not */
         "w1: HEARTBEAT 1/1#1*", "c1: HEARTBEAT", "+9000", "w1: RESULT 1/1#1",
         "> c1 RESULT 1/1#1 of w1")

DIALOGUE(a_lease_that_heartbeats_no_longer_list_is_lost_after_two_of_them, /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",                   /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1",                   /**/
         "+2000", "w1: HEARTBEAT", /* it may still be on its way */
         "+1", "w1: HEARTBEAT", "> w1 TASK 1/1#2")

DIALOGUE(goodbye_queues_what_the_worker_had_and_drain_gives_it_nothing_more,                /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2",                 /**/
         "w1: HELLO slots=1 ahead=1", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2", /**/
         "w1: DRAIN",                                                                       /**/
         "w1: RETURN 1/2#2",                                            /* not given to it again */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",                 /**/
         "c1: ACK 1/1", "> w1 ACK 1/1", "w1: GOODBYE",                  /**/
         "w2: HELLO", "> w2 WELCOME", "> w2 TASK 1/2#3", "w2: GOODBYE", /**/
         "w3: HELLO", "> w3 WELCOME", "> w3 TASK 1/2#4")

DIALOGUE(a_result_under_an_old_lease_counts_and_stops_the_other_copy,          /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",                       /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1",                       /**/
         "+5000", "c1: HEARTBEAT", "+5001",                                    /* w1 is lost */
         "w2: HELLO", "> w2 WELCOME", "> w2 TASK 1/1#2",                       /**/
         "w1: RESULT 1/1#1", "> w1 REFUSE hello-first",                        /* and is back */
         "w1~2: HELLO has 1/1#1", "> w1~2 WELCOME", "> w1~2 REVOKE 1/1#1",     /**/
         "w1~2: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", "> w2 REVOKE 1/1#2", /**/
         "w2: RESULT 1/1#2", "> c1 RESULT 1/1#2 of w2", /* too late to stop: forwarded as well */
         "c1: ACK 1/1", "> w1~2 ACK 1/1", "> w2 ACK 1/1")

DIALOGUE(a_stale_lease_in_a_heartbeat_is_revoked,                                     /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",                              /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1", "w2: HELLO", "> w2 WELCOME", /**/
         "+2500", "w1: HEARTBEAT", "> w2 TASK 1/1#2", /* w1 dropped it */
         "w1: HEARTBEAT 1/1#1*", "> w1 REVOKE 1/1#1", /* or did not */
         "w1: HEARTBEAT 1/9#7*", "> w1 REVOKE 1/9#7") /* nobody knows that one */

DIALOGUE(a_worker_that_reconnects_keeps_what_it_lists_and_is_asked_again_for_the_rest, /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2",            /**/
         "w1: HELLO slots=2", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2",    /**/
         "w1~2: HELLO slots=2 has 1/1#1*", "> w1~2 WELCOME",
         "> w1~2 TASK 1/2#3",                        /* the second never arrived */
         "w1: HEARTBEAT", "> w1 REFUSE hello-first", /* the old connection is nobody */
         "w1~2: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1")

DIALOGUE(a_lost_worker_that_comes_back_before_its_task_is_given_away_goes_on_with_it, /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",                              /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1",                              /**/
         "+5000", "c1: HEARTBEAT", "+5001",                                           /**/
         "w1: HELLO has 1/1#1*", "> w1 WELCOME",                                      /**/
         "w2: HELLO", "> w2 WELCOME", /* nothing is left to give */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1")

DIALOGUE(a_second_worker_of_one_name_is_refused_while_the_first_lives, /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1",               /**/
         "w1: HELLO inc=1", "> w1 WELCOME", "> w1 TASK 1/1#1",         /**/
         "w1~2: HELLO inc=2", "> w1~2 REFUSE name-taken",              /**/
         "+2001", "w1~2: HELLO inc=2", "> w1~2 WELCOME",
         "> w1~2 TASK 1/1#2", /* it is silent: dropped */
         "w1~2: UNPLUG",      /* killed: no connection any more */
         "w1~3: HELLO inc=3", "> w1~3 WELCOME", "> w1~3 TASK 1/1#3")

DIALOGUE(a_second_controller_of_one_experiment_waits_until_the_first_is_silent, /**/
         "c1: HELLO inc=1", "> c1 WELCOME", "c1: PUBLISH 1/1",                  /**/
         "c2: HELLO inc=2", "> c2 REFUSE name-taken",                           /**/
         "+2001", "c2: HELLO inc=2", "> c2 WELCOME",                            /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1", /* the queue was taken over */
         "w1: RESULT 1/1#1", "> c2 RESULT 1/1#1 of w1",  /**/
         "c1: HEARTBEAT", "> c1 REFUSE hello-first")

DIALOGUE(results_are_held_for_a_controller_that_is_away,                                       /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2", "c1: PUBLISH 1/3", /**/
         "w1: HELLO slots=2", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2",            /**/
         "c1: GOODBYE",                                                /* 3 leaves the queue */
         "w1: RESULT 1/1#1",                                           /**/
         "c1: HELLO inc=2", "> c1 WELCOME", "> c1 RESULT 1/1#1 of w1", /**/
         "c1: AGAIN 1/1", "> c1 RESULT 1/1#1 of w1", "c1: AGAIN 1/2",  /**/
         "c1: AGAIN 1/3", "> w1 TASK 1/3#3",                           /**/
         "c1~2: HELLO inc=2", "> c1~2 WELCOME",
         "> c1~2 RESULT 1/1#1 of w1", /* reconnected: may be lost */
         "c1~2: ACK 1/1", "> w1 ACK 1/1")

DIALOGUE(a_result_nobody_knows_goes_to_its_controller_or_stays_with_the_worker, /**/
         "w1: HELLO", "> w1 WELCOME", "w1: RESULT 1/1#1",                       /* nobody to ask */
         "c1: HELLO", "> c1 WELCOME",                                           /**/
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", /* it has sent it again */
         "c1: ACK 1/1", "> w1 ACK 1/1")

DIALOGUE(a_late_duplicate_after_the_acknowledgement_is_acknowledged_too,              /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "w1: HELLO", "> w1 WELCOME", /**/
         "> w1 TASK 1/1#1", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",            /**/
         "c1: ACK 1/1", "> w1 ACK 1/1", /* on its way, when w1 sends again */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", "c1: ACK 1/1", "> w1 ACK 1/1")

DIALOGUE(another_try_is_not_ended_by_what_is_left_of_the_first,                       /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "w1: HELLO", "> w1 WELCOME", /**/
         "> w1 TASK 1/1#1", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", /* a crash: once more */
         "c1: ACK 1/1#1", "> w1 ACK 1/1", "c1: PUBLISH 1/1", "> w1 TASK 1/1#2", /**/
         "w1: RESULT 1/1#1", "> w1 ACK 1/1", /* sent again before it heard */
         "c1: ACK 1/1#1",                    /* said again, too */
         "w1: RESULT 1/1#2", "> c1 RESULT 1/1#2 of w1")

DIALOGUE(another_try_is_a_new_evaluation_for_a_worker_that_missed_the_acknowledgement,   /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "w1: HELLO", "> w1 WELCOME",    /**/
         "> w1 TASK 1/1#1", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", "w1: UNPLUG", /**/
         "c1: ACK 1/1#1", "c1: PUBLISH 1/1",                                             /**/
         "w1~2: HELLO has 1/1#1", "> w1~2 WELCOME", "> w1~2 ACK 1/1", "> w1~2 REVOKE 1/1#1",
         "> w1~2 TASK 1/1#2")

DIALOGUE(cancelled_tasks_come_back_unless_an_evaluator_has_begun,                              /**/
         "c1: HELLO", "> c1 WELCOME", "c1: PUBLISH 1/1", "c1: PUBLISH 1/2", "c1: PUBLISH 1/3", /**/
         "w1: HELLO slots=1 ahead=1", "> w1 WELCOME", "> w1 TASK 1/1#1", "> w1 TASK 1/2#2",    /**/
         "c1: CANCEL 1/1 1/2 1/3", "> w1 REVOKE 1/2#2", "> c1 BUSY 1/2 1/3", /* 1 has begun */
         "c1: CANCEL 1/1*", "> w1 REVOKE 1/1#1", "> c1 BUSY 1/1",            /* in so many words */
         "c1: CANCEL 1/9", "> c1 BUSY 1/9",                                  /* is not here */
         "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",                      /* too late */
         "c1: CANCEL 1/1*", "c1: ACK 1/1", "> w1 ACK 1/1")

DIALOGUE(only_its_controller_may_speak_for_an_experiment,                                    /**/
         "c1: HELLO experiment=1", "> c1 WELCOME", "c2: HELLO experiment=2", "> c2 WELCOME", /**/
         "c1: PUBLISH 1/1", "c2: CANCEL 1/1*", "> c2 REFUSE role",                           /**/
         "w1: HELLO", "> w1 WELCOME", "> w1 TASK 1/1#1",                                     /**/
         "w1: PUBLISH 1/2", "> w1 REFUSE role",                                              /**/
         "c1: RESULT 1/1#1", "> c1 REFUSE role", "o1: HELLO", "> o1 WELCOME", "o1: DRAIN",
         "> o1 REFUSE role", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1")

DIALOGUE(who_cannot_be_reached_says_hello_again_and_has_lost_nothing, /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME",    /**/
         "w1: UNPLUG", "c1: PUBLISH 1/1",                             /* not sent, still queued */
         "w1~2: HELLO", "> w1~2 WELCOME", "> w1~2 TASK 1/1#2",        /**/
         "c1: UNPLUG", "w1~2: RESULT 1/1#2",                          /* held */
         "c1~2: HELLO", "> c1~2 WELCOME", "> c1~2 RESULT 1/1#2 of w1")

DIALOGUE(windows_share_the_farm_by_demand_and_one_alone_has_all,                /**/
         "windows",                                                             /**/
         "c1: HELLO experiment=1 demand=1000", "> c1 WELCOME", "> c1 WINDOW 0", /**/
         "w1: HELLO slots=4 ahead=4", "> w1 WELCOME", "> c1 WINDOW 8",          /**/
         "c2: HELLO experiment=2 demand=1000", "> c2 WELCOME", "> c1 WINDOW 4", "> c2 WINDOW 4",
         "c2: HEARTBEAT demand=2", "> c1 WINDOW 6", "> c2 WINDOW 2",                       /**/
         "c3: HELLO experiment=3 demand=1000 data=mnist", "> c3 WELCOME", "> c3 WINDOW 0", /**/
         "w2: HELLO slots=3 data=mnist", "> w2 WELCOME", "> c3 WINDOW 3", /* w1 is no use to it */
         "w1: DRAIN", "> c1 WINDOW 1", "> c2 WINDOW 1", "> c3 WINDOW 1",  /* only 3 are left */
         "c1: GOODBYE", "> c2 WINDOW 2",                                  /**/
         "+2001", "c2: HEARTBEAT demand=0", "> c2 WINDOW 3", /* c3 is silent: no share */
         "w2: GOODBYE", "> c2 WINDOW 0")

DIALOGUE(status_tells_what_is_busy,                                         /**/
         "o1: HELLO", "> o1 WELCOME", "o1: STATUS",                         /**/
         "> o1 STATUS workers=0 slots=0 busy=0 queued=0 done=0 share=0.00", /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO slots=2", "> w1 WELCOME",  /**/
         "c1: PUBLISH 1/1", "> w1 TASK 1/1#1", "+1000", "w1: RESULT 1/1#1", /**/
         "> c1 RESULT 1/1#1 of w1", "+1000", "o1: STATUS",                  /**/
         "> o1 STATUS workers=1 slots=2 busy=0 queued=0 done=1 share=0.25")

START_TEST(a_restarted_broker_adopts_what_workers_still_run)
{
    static const char *const lines[] = {"c1: HELLO",
                                        "> c1 WELCOME",
                                        "c1: AGAIN 1/1",
                                        "c1: AGAIN 1/2",
                                        "c1: AGAIN 1/3",
                                        "c1: PUBLISH 1/4", /* surely new */
                                        "w1: HELLO slots=2 has 1/1#500* 1/9#501*",
                                        "> w1 WELCOME",
                                        "w2: HELLO slots=1",
                                        "> w2 WELCOME",
                                        "> w2 TASK 1/4#502", /* newer than any that was adopted */
                                        "w3: HELLO slots=3 has 1/1#400*",
                                        "> w3 WELCOME",
                                        "> w3 REVOKE 1/1#400",
                                        "w3: HEARTBEAT 1/2#450", /* told a little late */
                                        "+2500",
                                        "> w3 TASK 1/3#503",
                                        "w1: RESULT 1/1#500",
                                        "> c1 RESULT 1/1#500 of w1",
                                        "w1: RESULT 1/9#501",
                                        "> c1 RESULT 1/9#501 of w1",
                                        "c1: ACK 1/1 1/9",
                                        "> w1 ACK 1/1 1/9",
                                        "w3: GOODBYE",
                                        "> w1 TASK 1/2#504",
                                        "> w1 TASK 1/3#505",
                                        NULL};
    struct ledger_config config = usual();

    config.settle_ms = 2500;
    play(&config, lines);
}
END_TEST

START_TEST(of_two_copies_from_before_the_restart_the_newer_lease_wins)
{
    static const char *const lines[] = {
        "w1: HELLO has 1/1#400*",
        "> w1 WELCOME",
        "w2: HELLO has 1/1#500*",
        "> w2 WELCOME",
        "> w1 REVOKE 1/1#400",
        "w3: HELLO has 1/2#18446744073709551615*", /* no broker ever drew that */
        "> w3 WELCOME",
        "> w3 REVOKE 1/2#18446744073709551615",
        NULL};
    struct ledger_config config = usual();

    play(&config, lines);
}
END_TEST

START_TEST(a_task_that_kills_workers_is_quarantined)
{
    static const char *const lines[] = {"c1: HELLO",        "> c1 WELCOME",
                                        "c1: PUBLISH 1/1",  "w1: HELLO",
                                        "> w1 WELCOME",     "> w1 TASK 1/1#1",
                                        "w1: GOODBYE",      "w2: HELLO",
                                        "> w2 WELCOME",     "> w2 TASK 1/1#2",
                                        "w2: RETURN 1/1#2", "> w2 TASK 1/1#3", /* no loss */
                                        "w2: GOODBYE",      "> c1 RESULT 1/1#3 of broker lost",
                                        "w3: HELLO",        "> w3 WELCOME",
                                        "c1: ACK 1/1",      "c1: PUBLISH 1/1",
                                        "> w3 TASK 1/1#4",  NULL};
    struct ledger_config config = usual();

    config.max_losses = 2;
    play(&config, lines);
}
END_TEST

DIALOGUE(another_try_waits_for_another_worker_and_lets_others_pass, /**/
         "c1: HELLO", "> c1 WELCOME", "w2: HELLO", "> w2 WELCOME",  /**/
         "c1: PUBLISH 1/2", "> w2 TASK 1/2#1",                      /**/
         "w1: HELLO", "> w1 WELCOME",                               /**/
         "c1: PUBLISH 1/1 avoid=w1",                    /* w2 is busy, but it is there */
         "c1: PUBLISH 1/3", "> w1 TASK 1/3#2",          /**/
         "w1: RESULT 1/3#2", "> c1 RESULT 1/3#2 of w1", /* w1 is free, and 1/1 waits */
         "w2: RESULT 1/2#1", "> c1 RESULT 1/2#1 of w2", "> w2 TASK 1/1#3")

DIALOGUE(another_try_goes_to_the_same_worker_when_it_is_the_only_one, /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME",    /**/
         "c1: PUBLISH 1/1 avoid=w1", "> w1 TASK 1/1#1",               /**/
         "w2: HELLO", "> w2 WELCOME", "w1: GOODBYE", "> w2 TASK 1/1#2")

DIALOGUE(who_has_a_say_already_is_asked_again_only_when_nobody_else_is_there, /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME", "w2: HELLO", "> w2 WELCOME",
         "c1: PUBLISH 1/1", "> w1 TASK 1/1#1", "c1: PUBLISH 1/2", "> w2 TASK 1/2#2", /**/
         "w3: HELLO", "> w3 WELCOME", "c1: PUBLISH 1/3", "> w3 TASK 1/3#3",          /**/
         "c1: PUBLISH 1/4 avoid=w1,w2", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1",
         "w2: RESULT 1/2#2", "> c1 RESULT 1/2#2 of w2", /* w3 is busy, but it is there */
         "w3: RESULT 1/3#3", "> c1 RESULT 1/3#3 of w3", "> w3 TASK 1/4#4", /**/
         "w3: GOODBYE", "> w1 TASK 1/4#5")

DIALOGUE(who_is_not_trusted_gets_nothing_even_when_it_is_alone, /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME", "c1: PUBLISH 1/1 never=w1",
         "c1: PUBLISH 1/2", "> w1 TASK 1/2#1", "w2: HELLO", "> w2 WELCOME", "> w2 TASK 1/1#2",
         "w2: GOODBYE", "w1: RESULT 1/2#1", "> c1 RESULT 1/2#1 of w1", "+1000")

DIALOGUE(what_was_lost_with_a_worker_is_not_given_to_its_next_life_while_there_is_another, /**/
         "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME",                         /**/
         "c1: PUBLISH 1/1", "> w1 TASK 1/1#1", "w2: HELLO", "> w2 WELCOME",                /**/
         "c1: PUBLISH 1/2", "> w2 TASK 1/2#2",                                             /**/
         "w1: GOODBYE", "w1: HELLO inc=2", "> w1 WELCOME",                                 /**/
         "w2: RESULT 1/2#2", "> c1 RESULT 1/2#2 of w2", "> w2 TASK 1/1#3")

/* Worker w1 is known to need next to nothing for a task, and has been at 1/9 for two heartbeats: w2 is free. */
#define A_STRAGGLER                                                                                \
    "c1: HELLO", "> c1 WELCOME", "w1: HELLO", "> w1 WELCOME", "c1: PUBLISH 1/1",                   \
        "> w1 TASK 1/1#1", "w1: RESULT 1/1#1", "> c1 RESULT 1/1#1 of w1", "c1: PUBLISH 1/2",       \
        "> w1 TASK 1/2#2", "w1: RESULT 1/2#2", "> c1 RESULT 1/2#2 of w1", "c1: PUBLISH 1/3",       \
        "> w1 TASK 1/3#3", "w1: RESULT 1/3#3", "> c1 RESULT 1/3#3 of w1", "c1: PUBLISH 1/4",       \
        "> w1 TASK 1/4#4", "w1: RESULT 1/4#4", "> c1 RESULT 1/4#4 of w1", "c1: PUBLISH 1/5",       \
        "> w1 TASK 1/5#5", "w1: RESULT 1/5#5", "> c1 RESULT 1/5#5 of w1", "c1: PUBLISH 1/6",       \
        "> w1 TASK 1/6#6", "w1: RESULT 1/6#6", "> c1 RESULT 1/6#6 of w1", "c1: PUBLISH 1/7",       \
        "> w1 TASK 1/7#7", "w1: RESULT 1/7#7", "> c1 RESULT 1/7#7 of w1", "c1: PUBLISH 1/8",       \
        "> w1 TASK 1/8#8", "w1: RESULT 1/8#8", "> c1 RESULT 1/8#8 of w1", "c1: PUBLISH 1/9",       \
        "> w1 TASK 1/9#9", "w1: HEARTBEAT 1/9#9*@1", "+1000", "w1: HEARTBEAT 1/9#9*@2",            \
        "w2: HELLO", "> w2 WELCOME", "+1000", "w1: HEARTBEAT 1/9#9*@3"

DIALOGUE(a_straggler_gets_a_backup_on_a_free_slot_and_the_first_result_wins, A_STRAGGLER, /**/
         "+500", "> w2 TASK 1/9#10", "w1: HEARTBEAT 1/9#9*@4",                            /**/
         "+500", "w2: HEARTBEAT 1/9#10*", "w1: HEARTBEAT 1/9#9*@5",            /* one is enough */
         "w2: RESULT 1/9#10", "> c1 RESULT 1/9#10 of w2", "> w1 REVOKE 1/9#9", /**/
         "c1: ACK 1/9#10", "> w2 ACK 1/9")

DIALOGUE(a_straggler_that_is_first_all_the_same_ends_its_backup, A_STRAGGLER, /**/
         "+500", "> w2 TASK 1/9#10", "w1: HEARTBEAT 1/9#9*@4",                /**/
         "w1: RESULT 1/9#9", "> c1 RESULT 1/9#9 of w1", "> w2 REVOKE 1/9#10", /**/
         "c1: PUBLISH 1/10", "> w2 TASK 1/10#11", "c1: PUBLISH 1/11", "> w1 TASK 1/11#12")

DIALOGUE(a_backup_takes_the_place_of_a_lost_straggler, A_STRAGGLER,           /**/
         "+500", "> w2 TASK 1/9#10", "w1: HEARTBEAT 1/9#9*@4", "w1: GOODBYE", /**/
         "w2: HEARTBEAT 1/9#10*", "w2: RESULT 1/9#10", "> c1 RESULT 1/9#10 of w2")

DIALOGUE(a_backup_that_is_lost_leaves_the_straggler_to_itself, A_STRAGGLER,   /**/
         "+500", "> w2 TASK 1/9#10", "w1: HEARTBEAT 1/9#9*@4", "w2: GOODBYE", /**/
         "w1: HEARTBEAT 1/9#9*@5", "w1: RESULT 1/9#9", "> c1 RESULT 1/9#9 of w1")

DIALOGUE(no_straggler_gets_a_backup_while_anything_waits_or_nobody_is_free, A_STRAGGLER, /**/
         "c1: PUBLISH 1/10", "> w2 TASK 1/10#10",                                        /**/
         "+500", "w1: HEARTBEAT 1/9#9*@4", "w2: HEARTBEAT 1/10#10*")

START_TEST(a_quarantined_result_past_the_room_for_results_arrives_whole)
{
    static const char *const lines[] = {"c1: HELLO",       "> c1 WELCOME",
                                        "c1: PUBLISH 1/1", "w1: HELLO",
                                        "> w1 WELCOME",    "> w1 TASK 1/1#1",
                                        "w1: GOODBYE",     "> c1 RESULT 1/1#1 of broker lost",
                                        "c1: ACK 1/1",     NULL};
    struct ledger_config config = usual();

    config.max_losses = 1;
    config.max_held_bytes = 10; /* nothing is kept: the socket has the only reference */
    play(&config, lines);
}
END_TEST

START_TEST(a_full_queue_says_busy_and_drops_nothing)
{
    static const char *const lines[] = {
        "c1: HELLO experiment=1", "> c1 WELCOME",    "c2: HELLO experiment=2", "> c2 WELCOME",
        "c1: PUBLISH 1/1",        "c1: PUBLISH 1/2", "c1: PUBLISH 1/3",        "> c1 BUSY 1/3",
        "c1: PUBLISH 1/1", /* known: fine */
        "c2: PUBLISH 2/1", /* another controller's queue */
        "w1: HELLO slots=9",      "> w1 WELCOME",    "> w1 TASK 1/1#1",        "> w1 TASK 2/1#2",
        "> w1 TASK 1/2#3",        "c1: PUBLISH 1/3", "> w1 TASK 1/3#4",        NULL};
    struct ledger_config config = usual();

    config.max_queue = 2;
    play(&config, lines);
}
END_TEST

/* Slots, not bytes, say how much may run: what has been handed out makes room for the next. */
START_TEST(what_waits_is_bounded_in_bytes_and_what_runs_is_not)
{
    static const char *const lines[] = {
        "c1: HELLO",
        "> c1 WELCOME",
        "w1: HELLO slots=3",
        "> w1 WELCOME",
        "c1: PUBLISH 1/1 size=600",
        "> w1 TASK 1/1#1",
        "c1: PUBLISH 1/2 size=600",
        "> w1 TASK 1/2#2",
        "c1: PUBLISH 1/3 size=2000", /* one is taken however large it is */
        "> w1 TASK 1/3#3",
        "c1: PUBLISH 1/4 size=600",
        "c1: PUBLISH 1/5 size=600",
        "> c1 BUSY 1/5",
        "w1: DRAIN",
        "w1: RETURN 1/1#1", /* what comes back is queued, past the bound too */
        "c1: PUBLISH 1/5 size=1",
        "> c1 BUSY 1/5",
        "w2: HELLO slots=2",
        "> w2 WELCOME",
        "> w2 TASK 1/1#4",
        "> w2 TASK 1/4#5",
        "c1: PUBLISH 1/5 size=600",
        NULL};
    struct ledger_config config = usual();

    config.max_queue_bytes = 1000;
    play(&config, lines);
}
END_TEST

/* Results of which only the workers have the bytes: one that the controller lost, or will not acknowledge, must not hold up
 * the others. */
START_TEST(an_unkept_result_that_is_not_acknowledged_stops_nobody_for_long)
{
    static const char *const lines[] = {"c1: HELLO",
                                        "> c1 WELCOME",
                                        "c1: PUBLISH 1/1",
                                        "c1: PUBLISH 1/2",
                                        "w1: HELLO slots=2",
                                        "> w1 WELCOME",
                                        "> w1 TASK 1/1#1",
                                        "> w1 TASK 1/2#2",
                                        "w1: RESULT 1/1#1 size=2000",
                                        "> c1 RESULT 1/1#1 of w1",
                                        "w1: RESULT 1/2#2 size=2000", /* no room on the way */
                                        "+900",
                                        "w1: RESULT 1/2#2 size=2000",
                                        "+200",
                                        "w1: RESULT 1/2#2 size=2000",
                                        "> c1 RESULT 1/2#2 of w1",
                                        "c1: ACK 1/2",
                                        "> w1 ACK 1/2",
                                        NULL};
    struct ledger_config config = usual();

    config.max_held_bytes = 1000;
    play(&config, lines);
}
END_TEST

START_TEST(an_evaluator_that_stands_still_is_taken_back)
{
    static const char *const lines[] = {"c1: HELLO",
                                        "> c1 WELCOME",
                                        "c1: PUBLISH 1/1",
                                        "w1: HELLO",
                                        "> w1 WELCOME",
                                        "> w1 TASK 1/1#1",
                                        "+1000",
                                        "w1: HEARTBEAT 1/1#1", /* waits in hand: no wonder */
                                        "+1000",
                                        "w1: HEARTBEAT 1/1#1*@1",
                                        "+1000",
                                        "w1: HEARTBEAT 1/1#1*@2",
                                        "+1000",
                                        "w1: HEARTBEAT 1/1#1*@2",
                                        "+1000",
                                        "w1: HEARTBEAT 1/1#1*@2",
                                        "w2: HELLO",
                                        "> w2 WELCOME",
                                        "+1",
                                        "w1: HEARTBEAT 1/1#1*@2",
                                        "> w1 REVOKE 1/1#1",
                                        "> w2 TASK 1/1#2",
                                        "w1: HEARTBEAT 1/1#1*@2",
                                        "> w1 REVOKE 1/1#1",
                                        NULL};
    struct ledger_config config = usual();

    config.stall_ms = 2000;
    play(&config, lines);
}
END_TEST

START_TEST(results_too_large_to_keep_are_sent_again_by_their_worker)
{
    static const char *const lines[] = {
        "c1: HELLO",
        "> c1 WELCOME",
        "c1: PUBLISH 1/1",
        "c1: PUBLISH 1/2",
        "w1: HELLO slots=2",
        "> w1 WELCOME",
        "> w1 TASK 1/1#1",
        "> w1 TASK 1/2#2",
        "c1: GOODBYE",
        "w1: RESULT 1/1#1 size=600",
        "w1: RESULT 1/2#2 size=600",
        "c1: HELLO",
        "> c1 WELCOME",
        "> c1 RESULT 1/1#1 of w1",
        "c1: AGAIN 1/2", /* w1 has it: not run again */
        "w1: RESULT 1/2#2 size=600",
        "> c1 RESULT 1/2#2 of w1",
        "c1: ACK 1/1",
        "> w1 ACK 1/1",
        "c1: AGAIN 1/2", /* still too large: the one it was sent stands */
        "w1: GOODBYE",
        "w2: HELLO",
        "> w2 WELCOME",
        "c1: AGAIN 1/2",
        "> w2 TASK 1/2#3", /* now nobody has it any more */
        NULL};
    struct ledger_config config = usual();

    config.max_held_bytes = 1000;
    play(&config, lines);
}
END_TEST

/* It travels with its task, also to the second worker, and as often as it is asked for. */
START_TEST(a_training_to_go_on_from_stays_with_its_task)
{
    static const char *const lines[] = {"c1: HELLO",
                                        "> c1 WELCOME",
                                        "c1: PUBLISH 1/1 blob=600",
                                        "c1: PUBLISH 1/2",
                                        "w1: HELLO slots=2",
                                        "> w1 WELCOME",
                                        "> w1 TASK 1/1#1 with 600",
                                        "> w1 TASK 1/2#2",
                                        "w1: GOODBYE",
                                        "w2: HELLO slots=2",
                                        "> w2 WELCOME",
                                        "> w2 TASK 1/1#3 with 600",
                                        "> w2 TASK 1/2#4",
                                        "w2: RESULT 1/1#3",
                                        "> c1 RESULT 1/1#3 of w2",
                                        "c1: ACK 1/1",
                                        "> w2 ACK 1/1",
                                        NULL};
    struct ledger_config config = usual();

    play(&config, lines);
}
END_TEST

/* Within the room that there is for results; but one is always taken, or a large one never would be. */
START_TEST(trainings_to_go_on_from_that_have_no_room_are_busy)
{
    static const char *const lines[] = {"c1: HELLO",
                                        "> c1 WELCOME",
                                        "c1: PUBLISH 1/1 blob=2000",
                                        "c1: PUBLISH 1/2 blob=1",
                                        "> c1 BUSY 1/2",
                                        "c1: PUBLISH 1/3", /* without one: fine */
                                        "w1: HELLO slots=4",
                                        "> w1 WELCOME",
                                        "> w1 TASK 1/1#1 with 2000",
                                        "> w1 TASK 1/3#2",
                                        "w1: RESULT 1/1#1",
                                        "> c1 RESULT 1/1#1 of w1", /* its own blob is gone */
                                        "c1: PUBLISH 1/2 blob=500",
                                        "> w1 TASK 1/2#3 with 500",
                                        "c1: PUBLISH 1/4 blob=500", /* 500 + a result of 100 */
                                        "> c1 BUSY 1/4",
                                        "c1: ACK 1/1",
                                        "> w1 ACK 1/1",
                                        "c1: PUBLISH 1/4 blob=500",
                                        "> w1 TASK 1/4#4 with 500",
                                        "c1: CANCEL 1/4*",
                                        "> w1 REVOKE 1/4#4",
                                        "> c1 BUSY 1/4",
                                        "c1: PUBLISH 1/5 blob=500",
                                        "> w1 TASK 1/5#5 with 500",
                                        NULL};
    struct ledger_config config = usual();

    config.max_held_bytes = 1000;
    play(&config, lines);
}
END_TEST

START_TEST(a_returning_controller_is_not_flooded_beyond_what_it_acknowledges)
{
    enum { RESULTS = 10000, AT_ONCE = 4096 };
    struct ledger_config config = usual();
    struct farm *farm = calloc(1, sizeof *farm);
    char line[64];
    size_t n = 0;

    zmq_msg_init(&farm->on_the_way);
    ck_assert_int_eq(ledger_create(&farm->ledger, &config, take, farm, 0), FARM_OK);
    say(farm, "c1: HELLO");
    say(farm, "w1: HELLO slots=4096 ahead=4096");
    for (int i = 0; i < RESULTS; i++) {
        (void)snprintf(line, sizeof line, "c1: PUBLISH 1/%d", i);
        say(farm, line);
        (void)ledger_turn(farm->ledger, farm->now);
    }
    say(farm, "c1: GOODBYE");
    for (int i = 0; i < RESULTS; i++) {
        farm->heard[0] = '\0';
        (void)snprintf(line, sizeof line, "w1: RESULT 1/%d#%d", i, i + 1);
        say(farm, line);
        ck_assert_str_eq(farm->heard, "");
    }
    farm->heard[0] = '\0';
    say(farm, "c1: HELLO");
    for (int turn = 0; turn < 5; turn++)
        (void)ledger_turn(farm->ledger, farm->now);
    for (const char *at = farm->heard; (at = strstr(at, "RESULT")) != NULL; at++)
        n++;
    ck_assert_uint_le(n, AT_ONCE);
    ledger_destroy(&farm->ledger);
    read_what_is_on_the_way(farm);
    free(farm);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ledger");
    TCase *tcase = tcase_create("dialogues");
    SRunner *runner;
    int failed;

    log_open("test_ledger", LOG_ERROR);
    tcase_add_test(tcase, a_trial_goes_from_controller_to_worker_and_back);
    tcase_add_test(tcase, who_has_not_said_hello_is_asked_to_and_not_too_often);
    tcase_add_test(tcase, publishing_twice_runs_once_and_brings_a_held_result_again);
    tcase_add_test(tcase, what_a_controller_takes_for_published_is_said_again_when_it_was_lost);
    tcase_add_test(tcase, a_worker_never_has_more_than_slots_and_ahead);
    tcase_add_test(tcase, free_slots_go_before_tasks_in_hand_the_most_free_first);
    tcase_add_test(tcase, two_controllers_are_served_in_turn);
    tcase_add_test(tcase, a_task_only_goes_to_a_worker_with_its_data);
    tcase_add_test(tcase, a_silent_workers_tasks_come_back_to_the_front_in_order_with_newer_leases);
    tcase_add_test(tcase, heartbeats_renew_leases);
    tcase_add_test(tcase, a_lease_that_heartbeats_no_longer_list_is_lost_after_two_of_them);
    tcase_add_test(tcase, goodbye_queues_what_the_worker_had_and_drain_gives_it_nothing_more);
    tcase_add_test(tcase, a_result_under_an_old_lease_counts_and_stops_the_other_copy);
    tcase_add_test(tcase, a_stale_lease_in_a_heartbeat_is_revoked);
    tcase_add_test(tcase,
                   a_worker_that_reconnects_keeps_what_it_lists_and_is_asked_again_for_the_rest);
    tcase_add_test(tcase,
                   a_lost_worker_that_comes_back_before_its_task_is_given_away_goes_on_with_it);
    tcase_add_test(tcase, a_second_worker_of_one_name_is_refused_while_the_first_lives);
    tcase_add_test(tcase, a_second_controller_of_one_experiment_waits_until_the_first_is_silent);
    tcase_add_test(tcase, results_are_held_for_a_controller_that_is_away);
    tcase_add_test(tcase, a_result_nobody_knows_goes_to_its_controller_or_stays_with_the_worker);
    tcase_add_test(tcase, a_late_duplicate_after_the_acknowledgement_is_acknowledged_too);
    tcase_add_test(tcase, another_try_is_not_ended_by_what_is_left_of_the_first);
    tcase_add_test(tcase,
                   another_try_is_a_new_evaluation_for_a_worker_that_missed_the_acknowledgement);
    tcase_add_test(tcase, cancelled_tasks_come_back_unless_an_evaluator_has_begun);
    tcase_add_test(tcase, only_its_controller_may_speak_for_an_experiment);
    tcase_add_test(tcase, who_cannot_be_reached_says_hello_again_and_has_lost_nothing);
    tcase_add_test(tcase, windows_share_the_farm_by_demand_and_one_alone_has_all);
    tcase_add_test(tcase, status_tells_what_is_busy);
    tcase_add_test(tcase, a_restarted_broker_adopts_what_workers_still_run);
    tcase_add_test(tcase, of_two_copies_from_before_the_restart_the_newer_lease_wins);
    tcase_add_test(tcase, a_task_that_kills_workers_is_quarantined);
    tcase_add_test(tcase, another_try_waits_for_another_worker_and_lets_others_pass);
    tcase_add_test(tcase, another_try_goes_to_the_same_worker_when_it_is_the_only_one);
    tcase_add_test(tcase, who_has_a_say_already_is_asked_again_only_when_nobody_else_is_there);
    tcase_add_test(tcase, who_is_not_trusted_gets_nothing_even_when_it_is_alone);
    tcase_add_test(
        tcase, what_was_lost_with_a_worker_is_not_given_to_its_next_life_while_there_is_another);
    tcase_add_test(tcase, a_straggler_gets_a_backup_on_a_free_slot_and_the_first_result_wins);
    tcase_add_test(tcase, a_straggler_that_is_first_all_the_same_ends_its_backup);
    tcase_add_test(tcase, a_backup_takes_the_place_of_a_lost_straggler);
    tcase_add_test(tcase, a_backup_that_is_lost_leaves_the_straggler_to_itself);
    tcase_add_test(tcase, no_straggler_gets_a_backup_while_anything_waits_or_nobody_is_free);
    tcase_add_test(tcase, a_quarantined_result_past_the_room_for_results_arrives_whole);
    tcase_add_test(tcase, a_full_queue_says_busy_and_drops_nothing);
    tcase_add_test(tcase, what_waits_is_bounded_in_bytes_and_what_runs_is_not);
    tcase_add_test(tcase, an_unkept_result_that_is_not_acknowledged_stops_nobody_for_long);
    tcase_add_test(tcase, an_evaluator_that_stands_still_is_taken_back);
    tcase_add_test(tcase, a_training_to_go_on_from_stays_with_its_task);
    tcase_add_test(tcase, trainings_to_go_on_from_that_have_no_room_are_busy);
    tcase_add_test(tcase, results_too_large_to_keep_are_sent_again_by_their_worker);
    tcase_add_test(tcase, a_returning_controller_is_not_flooded_beyond_what_it_acknowledges);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
