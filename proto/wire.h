/* wire.h - the farm's messages: framing, version, limits, and each message as a plain struct.
 *
 * It is:     pack and unpack between zmq multipart messages and structs, with every limit checked.
 * It is not: a socket's event loop, a retry policy or a state (broker, worker and controller have those).
 *            docs/protocol.md tells the dialogue.
 *
 * A message is 2 to 4 frames (a ROUTER has the peer's routing id in front):
 *     frame 0   8 bytes: 'N' 'F' version kind, and the CRC-32 (little-endian) of these four, of frame 1 and of the
 *               payload. A blob has its own, in the payload (struct result, struct task)
 *     frame 1   the head: one protobuf message (farm.proto), at most LIMIT_HEAD_BYTES
 *     frame 2   PUBLISH, TASK, RESULT, PROGRESS: the payload (task.h), opaque to the broker
 *     frame 3   RESULT, optional: the blob of weights, or of a paused training (struct result)
 *               PUBLISH, TASK, optional: the paused training to go on with (struct task)
 */
#ifndef NASFARM_WIRE_H
#define NASFARM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

#include "err.h"
#include "limits.h"

#define WIRE_VERSION 2

enum wire_kind {
    WIRE_HELLO = 1,   /* peer -> broker: who I am; answered by WELCOME or REFUSE */
    WIRE_WELCOME = 2, /* broker -> peer */
    WIRE_REFUSE =
        3, /* broker -> peer: a code and a sentence; REFUSE_HELLO_FIRST asks for a HELLO */
    WIRE_PUBLISH = 4, /* controller -> broker: evaluate this; idempotent by key */
    WIRE_BUSY = 5,    /* broker -> controller: not taken, publish it again when the window allows */
    WIRE_WINDOW =
        6, /* broker -> controller: how many tasks you may have outstanding, and the farm's state */
    WIRE_TASK = 7,   /* broker -> worker: a lease */
    WIRE_RESULT = 8, /* worker -> broker -> controller */
    WIRE_ACK = 9,    /* controller -> broker -> worker: these results are durable, forget them */
    WIRE_HEARTBEAT = 10, /* peer -> broker, and its echo; a worker's renews its leases */
    WIRE_REVOKE = 11,    /* broker -> worker: stop these, their lease is gone */
    WIRE_CANCEL =
        12, /* controller -> broker: drop these tasks. A lease with .running = false spares a task that an
                           evaluator has begun, and is dropped only from the queue or from a worker's hand. Every
                           task that was dropped comes back in a BUSY */
    WIRE_PROGRESS = 13, /* worker -> broker -> controller: one report on the way */
    WIRE_RETURN = 14,   /* worker -> broker: leases handed back unevaluated (draining) */
    WIRE_DRAIN = 15,    /* worker -> broker: give me nothing more */
    WIRE_GOODBYE = 16,  /* peer -> broker: I am gone now */
    WIRE_STATUS = 17,   /* observer -> broker: empty; broker -> observer: the farm's state */
    WIRE_KIND_END
};
const char *wire_kind_name(enum wire_kind kind);

enum wire_role { WIRE_CONTROLLER = 1, WIRE_WORKER = 2, WIRE_OBSERVER = 3 };

/* What is evaluated: a result counts once per key. */
struct wire_key {
    uint64_t experiment;
    uint64_t trial;
    uint32_t rung;
};
#define WIRE_RUNG_FINAL 0xffffu /* the rung of the final training and test */
#define WIRE_RUNG_PROXY                                                                            \
    0xfffeu /* of what comes before the first: a zero-cost proxy that decides whether to train */
/* 0x8000 + 256 * n + rung, n below 64: the n-th time that the evaluation which led to a rung is done once more, by another
 * worker, so that the two can be compared. */
#define WIRE_RUNG_CHECK 0x8000u
bool wire_rung_is_check(uint32_t rung);
/* Of such a one what it is a copy of; any other is its own. */
uint32_t wire_rung_checked(uint32_t rung);

/* A key under a lease. lease is the fencing token: the broker draws it, it only grows (also over
 * restarts of the broker, whose clock it starts from), and a message with an older one is stale. */
struct wire_lease {
    struct wire_key key;
    uint64_t lease;
    uint64_t progress; /* heartbeats: a counter that moves when the evaluator does */
    bool
        running; /* heartbeats, hello: evaluating now (false: waiting in hand, or finished and unacknowledged) */
};

/* A data set a worker has. */
struct wire_data {
    char name[LIMIT_NAME + 1];
    uint64_t fingerprint;
    uint32_t h, w, c, classes;
    uint32_t n_train, n_test; /* images; n_test is 0 when the set has no test part of its own */
};
#define WIRE_DATA_MAX 16

struct wire_hello {
    enum wire_role role;
    char name[LIMIT_NAME + 1]; /* the peer's own, stable over reconnects: [A-Za-z0-9._-]{1,64} */
    uint64_t incarnation;      /* random nonce of this process */
    char version[32];          /* of the program */
    uint32_t slots, ahead;     /* worker: evaluations at once; tasks it wants waiting in hand */
    uint64_t experiment;       /* controller */
    uint32_t demand;           /* controller: at most so many tasks outstanding would be used */
    char data_name[LIMIT_NAME +
                   1]; /* controller: data set its tasks need ("": none in particular) */
    size_t n_data;
    struct wire_data data[WIRE_DATA_MAX]; /* worker */
    size_t n_leases;
    struct wire_lease *leases; /* worker: what it holds, running or waiting */
};

struct wire_welcome {
    uint64_t broker;       /* nonce of this broker process */
    uint32_t heartbeat_ms; /* send one at least this often */
    uint32_t lease_ms;     /* silence after which leases are taken back */
    char version[32];
};

enum wire_refusal {
    REFUSE_VERSION = 1,     /* another protocol version */
    REFUSE_HELLO_FIRST = 2, /* not (or no longer) known: say HELLO */
    REFUSE_MALFORMED = 3,
    REFUSE_NAME_TAKEN =
        4, /* a live peer with this name and another incarnation, or this experiment */
    REFUSE_LIMIT = 5,
    REFUSE_ROLE = 6, /* not a message for this role */
};
struct wire_refuse {
    enum wire_refusal code;
    char sentence[256];
};

/* A few names of workers. */
#define WIRE_NAMES_MAX 8
struct wire_names {
    size_t n;
    char name[WIRE_NAMES_MAX][LIMIT_NAME + 1];
};
bool wire_names_has(const struct wire_names *self, const char *name);
/* One more; one that is there, and one for which there is no room, are left out. */
void wire_names_add(struct wire_names *self, const char *name);

struct wire_publish {
    struct wire_key key;
    bool again; /* may already be running somewhere: a restarted broker waits for workers first */
    struct wire_names
        avoid; /* that it has failed on, or that have a say already: not these while there are others */
    struct wire_names
        never; /* that the controller trusts no more: not these, however long it takes */
};

struct wire_window {
    uint32_t window;                       /* tasks this controller may have outstanding */
    uint32_t workers, slots, busy, queued; /* the farm's, all controllers together */
    size_t n_data;
    struct wire_data data[WIRE_DATA_MAX]; /* sets that workers here have */
};

struct wire_result {
    struct wire_lease lease; /* key and token */
    char worker[LIMIT_NAME + 1];
};

/* ACK, REVOKE, CANCEL, RETURN, HEARTBEAT, BUSY: a list of leases (only .key is looked at for BUSY; .key and
 * .lease, the one of the result, for ACK;
 * .key and .running for CANCEL). */
struct wire_leases {
    uint32_t demand; /* HEARTBEAT of a controller */
    size_t n;
    struct wire_lease *leases;
    char sentence[256]; /* BUSY, REVOKE: why */
};

#define WIRE_STATUS_MAX 4096
struct wire_peer_status {
    enum wire_role role;
    char name[LIMIT_NAME + 1];
    uint32_t slots, busy, held; /* held: finished or waiting in hand */
    uint64_t done;
    int64_t silent_ms;
    bool draining;
};
struct wire_status {
    uint64_t uptime_ms, done, failed_sends, requeued, malformed, duplicates;
    uint32_t workers, slots, busy, queued, controllers;
    double busy_share; /* of slot-time since the first task, 0..1 */
    size_t n_peers;
    struct wire_peer_status *peers;
};

/* One message, unpacked. Release with wire_message_release(), which frees the lists (malloc): whoever builds a message
 * for sending around lists of its own sets them to NULL, or does not release it. */
struct wire_message {
    enum wire_kind kind;
    union {
        struct wire_hello hello;
        struct wire_welcome welcome;
        struct wire_refuse refuse;
        struct wire_publish publish;
        struct wire_window window;
        struct wire_lease task;    /* TASK: key and lease */
        struct wire_result result; /* RESULT, PROGRESS */
        struct wire_leases leases; /* ACK, REVOKE, CANCEL, RETURN, HEARTBEAT, BUSY */
        struct wire_status status;
    } u;
    zmq_msg_t payload, blob; /* initialised always; size 0 when absent */
    char key
        [LIMIT_KEY +
         1]; /* of a received one: the public key (Z85) that its sender proved to have; "": no keys here */
    int connection; /* of a received one, of a malformed one, too: the descriptor that it came over; -1: not known */
};
void wire_message_init(struct wire_message *self, enum wire_kind kind);
void wire_message_release(struct wire_message *self);

/* Sends one message, all frames or none, without waiting.
 *   socket   ROUTER (to != NULL: the routing id) or DEALER (to = NULL)
 * payload and blob are sent by reference count and stay the message's (they can be sent again).
 * FARM_EBUSY when the peer's pipe is full or there is no connection (EAGAIN, EHOSTUNREACH),
 * FARM_ENET otherwise (errno), FARM_ENOMEM. */
int wire_send(void *socket, const zmq_msg_t *to, const struct wire_message *message);

/* Receives one message without waiting; *from (of a ROUTER; NULL for a DEALER) is initialised by the caller
 * and holds the routing id afterwards, also when the message was bad.
 * FARM_OK, FARM_EBUSY when there is none, FARM_EVERSION for another protocol version, FARM_EWIRE with a
 * sentence for anything malformed (all its frames have been taken off the socket), FARM_ENET. */
int wire_recv(void *socket, zmq_msg_t *from, struct wire_message *out, struct why *why);
/* The same, but pass() is asked as soon as the first frame tells the kind and the connection: what it does not want is taken
 * off the socket unread, which costs next to nothing: FARM_EDENIED. */
typedef bool wire_pass(void *ctx, int connection, enum wire_kind kind);
int wire_recv_if(void *socket, zmq_msg_t *from, struct wire_message *out, wire_pass *pass,
                 void *ctx, struct why *why);

/* The socket options every socket of the farm has: linger, ZMQ_IMMEDIATE, handshake and heartbeat intervals,
 * long reconnect back-off, the limit of one frame, high-water marks, ROUTER_MANDATORY on a ROUTER.
 * Call srand() from the system's randomness first: wire_seed() does. A worker and a controller speak through uplink.h. */
int wire_socket_options(void *socket, int zmq_type, struct why *why);
void wire_seed(void);

/* [A-Za-z0-9._-]{1,64} */
bool wire_name_ok(const char *name);
bool wire_key_equal(const struct wire_key *a, const struct wire_key *b);
uint64_t wire_key_hash(const struct wire_key *key);

#endif
