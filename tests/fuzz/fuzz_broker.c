/* fuzz_broker.c - a broker, and peers who say anything in any order: what comes out of a connection goes in.
 *
 * An input is a list of messages: who of eight peers, whether time passes, the kind, the length of the head, the head; what
 * unpacks goes to a real ledger. What lies before that, ZMTP and frames, is libzmq's and test_hostile.c's. */
#include <string.h>

#include "fuzz.h"
#include "ledger.h"
#include "log.h"
#include "wire_head.h"

#define PEERS 8u
#define TIME  0x80u /* half a second passes */
#define SENDS 0x40u /* the next message to a peer finds it gone */

/* ---- a dialogue as bytes ---------------------------------------------------------------------------------- */

struct script {
    uint8_t *out;
    size_t len, room;
};

static void say(struct script *s, unsigned who, struct wire_message *m)
{
    zmq_msg_t head;
    size_t len;

    FUZZ_HOLDS(wire_head_pack(m, &head) == FARM_OK);
    len = zmq_msg_size(&head);
    FUZZ_HOLDS(len < 65536 && s->room - s->len > 4 + len);
    s->out[s->len] = (uint8_t)who;
    s->out[s->len + 1] = (uint8_t)m->kind;
    s->out[s->len + 2] = (uint8_t)len;
    s->out[s->len + 3] = (uint8_t)(len >> 8);
    s->len += 4 + fuzz_copy(s->out + s->len + 4, len, zmq_msg_data(&head), len);
    zmq_msg_close(&head);
}

static void say_hello(struct script *s, unsigned who, enum wire_role role)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = role, .incarnation = who, .slots = 2, .ahead = 2};
    snprintf(m.u.hello.name, sizeof m.u.hello.name, "peer-%u", who);
    if (role == WIRE_CONTROLLER) {
        m.u.hello.experiment = 7;
        m.u.hello.demand = 10;
    } else if (role == WIRE_WORKER) {
        m.u.hello.n_data = 1;
        m.u.hello.data[0] = (struct wire_data){"digits", 77, 8, 8, 1, 10, 1797, 0};
    }
    say(s, who, &m);
}

static void say_publish(struct script *s, unsigned who, uint64_t trial, bool again)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish = (struct wire_publish){.key = {7, trial, 0}, .again = again};
    say(s, who, &m);
}

/* About the task that was published so-many-th: leases are drawn from 1 on. */
static void say_about(struct script *s, unsigned who, enum wire_kind kind, uint64_t trial)
{
    struct wire_lease lease = {{7, trial, 0}, trial, 5, true};
    struct wire_message m;

    wire_message_init(&m, kind);
    if (kind == WIRE_RESULT || kind == WIRE_PROGRESS)
        m.u.result = (struct wire_result){lease, "peer-1"};
    else if (kind != WIRE_GOODBYE && kind != WIRE_DRAIN && kind != WIRE_STATUS)
        m.u.leases = (struct wire_leases){.demand = 3, .n = 1, .leases = &lease};
    say(s, who, &m);
}

// NOLINTNEXTLINE(readability-non-const-parameter): struct fuzz_target's
static size_t seed_broker(unsigned which, uint8_t *out, size_t room)
{
    static const enum wire_kind last[] = {WIRE_ACK,   WIRE_CANCEL,  WIRE_RETURN, WIRE_PROGRESS,
                                          WIRE_DRAIN, WIRE_GOODBYE, WIRE_STATUS, WIRE_HEARTBEAT};
    struct script s = {out, 0, room};

    if (which >= sizeof last / sizeof last[0])
        return 0;
    say_hello(&s, 0, WIRE_CONTROLLER);
    say_hello(&s, 1, WIRE_WORKER);
    say_publish(&s, 0, 1, false);
    say_publish(&s, 0, 2, which % 2 == 1);
    say_about(&s, 1, WIRE_HEARTBEAT, 1);
    if (which % 3 == 1)
        say_hello(&s, 2 | TIME, WIRE_WORKER);
    say_about(&s, 1, WIRE_RESULT, 1);
    if (which % 4 == 2)
        say_hello(&s, 3, WIRE_OBSERVER);
    say_about(&s,
              last[which] == WIRE_STATUS     ? 3
              : last[which] < WIRE_HEARTBEAT ? 0
                                             : 1,
              last[which], 1 + which % 2);
    say_about(&s, 1 | TIME, WIRE_HEARTBEAT, 2);
    return s.len;
}

/* ---- the broker -------------------------------------------------------------------------------------------- */

struct stage {
    bool gone;     /* the next one that is spoken to */
    size_t budget; /* messages it may still say: no input makes it talk for ever */
};

static int hear(void *ctx, const zmq_msg_t *to, const struct wire_message *m)
{
    struct stage *stage = ctx;
    zmq_msg_t head;
    bool gone = stage->gone;

    (void)to;
    FUZZ_HOLDS(stage->budget-- > 0);
    FUZZ_HOLDS(wire_head_pack(m, &head) == FARM_OK);
    zmq_msg_close(&head);
    stage->gone = false;
    return gone ? FARM_EBUSY : FARM_OK;
}

/* Whether the head unpacks: then it was said. */
static bool hand_over(struct ledger *ledger, uint8_t who, enum wire_kind kind, const uint8_t *head,
                      size_t len, int64_t now)
{
    struct why why = {""};
    struct wire_message m;
    zmq_msg_t from;
    int rc;

    FUZZ_HOLDS(zmq_msg_init_size(&from, 1) == 0);
    memcpy(zmq_msg_data(&from), &who, 1);
    wire_message_init(&m, kind);
    rc = wire_head_unpack(&m, head, len, &why);
    if (rc == FARM_OK) {
        if (kind == WIRE_PUBLISH || kind == WIRE_RESULT || kind == WIRE_PROGRESS) {
            zmq_msg_close(&m.payload);
            FUZZ_HOLDS(zmq_msg_init_size(&m.payload, 40) == 0);
            memset(zmq_msg_data(&m.payload), who, 40);
        }
        ledger_message(ledger, &from, &m, now);
    } else {
        ledger_bad_message(ledger, &from, rc, &why, now);
    }
    wire_message_release(&m);
    zmq_msg_close(&from);
    return rc == FARM_OK;
}

static bool one_broker(const uint8_t *bytes, size_t len)
{
    struct stage stage = {.budget = 1000 + 200 * len};
    struct ledger_config config;
    struct ledger *ledger;
    struct wire_status status;
    int64_t now = 1000;
    bool all = len >= 4;

    log_open("fuzz", LOG_ERROR + 1);
    ledger_config_init(&config);
    config.nonce = 1;
    config.settle_ms = 100;
    FUZZ_HOLDS(ledger_create(&ledger, &config, hear, &stage, now) == FARM_OK);
    while (len >= 4) {
        size_t n = bytes[2] | (size_t)bytes[3] << 8;

        n = n < len - 4 ? n : len - 4;
        now += bytes[0] & TIME ? 500 : 1;
        stage.gone = (bytes[0] & SENDS) != 0;
        all &= bytes[1] > 0 && bytes[1] < WIRE_KIND_END &&
               hand_over(ledger, bytes[0] % PEERS, (enum wire_kind)bytes[1], bytes + 4, n, now);
        FUZZ_HOLDS(ledger_turn(ledger, now) > now);
        bytes += 4 + n;
        len -= 4 + n;
    }
    ledger_status(ledger, &status);
    free(status.peers);
    (void)ledger_turn(ledger, now + 3600000);
    ledger_destroy(&ledger);
    return all;
}

const struct fuzz_target fuzz_broker = {"broker", "a broker whose peers say anything", seed_broker,
                                        one_broker};
