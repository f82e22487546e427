/* wire.c - framing and sockets: frames on and off, sizes and version checked. wire_head.c has the heads. */
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"
#include "rng.h"
#include "wire_head.h"

const char *wire_kind_name(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_HELLO: return "HELLO";
    case WIRE_WELCOME: return "WELCOME";
    case WIRE_REFUSE: return "REFUSE";
    case WIRE_PUBLISH: return "PUBLISH";
    case WIRE_BUSY: return "BUSY";
    case WIRE_WINDOW: return "WINDOW";
    case WIRE_TASK: return "TASK";
    case WIRE_RESULT: return "RESULT";
    case WIRE_ACK: return "ACK";
    case WIRE_HEARTBEAT: return "HEARTBEAT";
    case WIRE_REVOKE: return "REVOKE";
    case WIRE_CANCEL: return "CANCEL";
    case WIRE_PROGRESS: return "PROGRESS";
    case WIRE_RETURN: return "RETURN";
    case WIRE_DRAIN: return "DRAIN";
    case WIRE_GOODBYE: return "GOODBYE";
    case WIRE_STATUS: return "STATUS";
    case WIRE_KIND_END: break;
    }
    return "unknown";
}

bool wire_name_ok(const char *name)
{
    size_t len = 0;

    for (; name[len] != '\0'; len++) {
        char ch = name[len];

        if (len >= LIMIT_NAME || !((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
                                   (ch >= '0' && ch <= '9') || ch == '.' || ch == '_' || ch == '-'))
            return false;
    }
    return len > 0;
}

bool wire_key_equal(const struct wire_key *a, const struct wire_key *b)
{
    return a->experiment == b->experiment && a->trial == b->trial && a->rung == b->rung;
}

bool wire_rung_is_check(uint32_t rung)
{
    return rung >= WIRE_RUNG_CHECK && rung < WIRE_RUNG_CHECK + 0x4000u;
}

uint32_t wire_rung_checked(uint32_t rung)
{
    return wire_rung_is_check(rung) ? rung & 0xffu : rung;
}

bool wire_names_has(const struct wire_names *self, const char *name)
{
    for (size_t i = 0; i < self->n; i++)
        if (strcmp(self->name[i], name) == 0)
            return true;
    return false;
}

void wire_names_add(struct wire_names *self, const char *name)
{
    if (self->n < WIRE_NAMES_MAX && name[0] != '\0' && !wire_names_has(self, name))
        (void)snprintf(self->name[self->n++], sizeof self->name[0], "%s", name);
}

uint64_t wire_key_hash(const struct wire_key *key)
{
    return rng_mix(key->experiment, rng_mix(key->trial, key->rung));
}

void wire_message_init(struct wire_message *self, enum wire_kind kind)
{
    memset(&self->u, 0, sizeof self->u);
    self->kind = kind;
    self->key[0] = '\0';
    self->connection = -1;
    zmq_msg_init(&self->payload);
    zmq_msg_init(&self->blob);
}

void wire_message_release(struct wire_message *self)
{
    wire_head_release(self);
    zmq_msg_close(&self->payload);
    zmq_msg_close(&self->blob);
    wire_message_init(self, self->kind);
}

static bool has_payload(enum wire_kind kind)
{
    return kind == WIRE_PUBLISH || kind == WIRE_TASK || kind == WIRE_RESULT ||
           kind == WIRE_PROGRESS;
}

static size_t most_payload(enum wire_kind kind)
{
    return kind == WIRE_PROGRESS ? LIMIT_PROGRESS_BYTES : LIMIT_PAYLOAD_BYTES;
}

static bool may_have_blob(enum wire_kind kind)
{
    return kind == WIRE_RESULT || kind == WIRE_PUBLISH || kind == WIRE_TASK;
}

/* ---- sending ------------------------------------------------------------------------------------ */

static int send_error(void)
{
    return errno == EAGAIN || errno == EHOSTUNREACH ? FARM_EBUSY : FARM_ENET;
}

/* Hands the frame to ZeroMQ; on failure it is closed here. */
static int send_frame(void *socket, zmq_msg_t *frame, bool more)
{
    int rc = FARM_OK;

    while (zmq_msg_send(frame, socket, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) < 0)
        if (errno != EINTR) {
            rc = send_error();
            (void)zmq_msg_close(frame);
            break;
        }
    return rc;
}

static int send_copy(void *socket, const zmq_msg_t *frame, bool more)
{
    zmq_msg_t copy;

    zmq_msg_init(&copy);
    if (zmq_msg_copy(&copy, (zmq_msg_t *)frame) < 0) /* counts a reference; the bytes stay */
        return FARM_ENOMEM;
    return send_frame(socket, &copy, more);
}

#define MARK_BYTES 8 /* 'N' 'F' version kind, checksum */

/* The checksum of what came so far and of one more frame. */
static uint32_t more_crc(uint32_t crc, const zmq_msg_t *frame)
{
    return checksum_crc32_more(crc, zmq_msg_data((zmq_msg_t *)frame), zmq_msg_size(frame));
}

static void put_mark(uint8_t bytes[MARK_BYTES], const struct wire_message *message,
                     const zmq_msg_t *head)
{
    uint32_t crc;

    bytes[0] = 'N';
    bytes[1] = 'F';
    bytes[2] = WIRE_VERSION;
    bytes[3] = (uint8_t)message->kind;
    crc = more_crc(checksum_crc32(bytes, 4), head);
    if (has_payload(message->kind))
        crc = more_crc(crc, &message->payload);
    for (int i = 0; i < 4; i++)
        bytes[4 + i] = (uint8_t)(crc >> 8 * i);
}

int wire_send(void *socket, const zmq_msg_t *to, const struct wire_message *message)
{
    bool payload = has_payload(message->kind);
    bool blob = may_have_blob(message->kind) && zmq_msg_size(&message->blob) > 0;
    zmq_msg_t mark, head;
    int rc;

    if ((rc = wire_head_pack(message, &head)) != FARM_OK)
        return rc;
    if (zmq_msg_init_size(&mark, MARK_BYTES) < 0) {
        zmq_msg_close(&head);
        return FARM_ENOMEM;
    }
    put_mark(zmq_msg_data(&mark), message, &head);
    /* Only the first frame can be refused: ZeroMQ takes the rest of a message it has begun. */
    if (to != NULL && (rc = send_copy(socket, to, true)) != FARM_OK) {
        zmq_msg_close(&mark);
        zmq_msg_close(&head);
        return rc;
    }
    if ((rc = send_frame(socket, &mark, true)) != FARM_OK) {
        zmq_msg_close(&head);
        return rc;
    }
    if ((rc = send_frame(socket, &head, payload)) == FARM_OK && payload)
        rc = send_copy(socket, &message->payload, blob);
    if (rc == FARM_OK && blob)
        rc = send_copy(socket, &message->blob, false);
    return rc;
}

/* ---- receiving ---------------------------------------------------------------------------------- */

/* Takes the next frame of the message into *frame. */
static int recv_frame(void *socket, zmq_msg_t *frame)
{
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return errno == EAGAIN ? FARM_EBUSY : FARM_ENET;
    return FARM_OK;
}

/* Takes what is left of a message off the socket. */
static void skip_frames(void *socket, zmq_msg_t *last)
{
    while (zmq_msg_more(last) && recv_frame(socket, last) == FARM_OK)
        ;
}

/* What the first frame says: the kind, the checksum of all but the blob, and that of what was read so far. */
struct mark {
    uint32_t told, crc;
};

static int take_mark(struct mark *mark, const zmq_msg_t *frame, struct wire_message *out,
                     struct why *why)
{
    const uint8_t *bytes = zmq_msg_data((zmq_msg_t *)frame);
    size_t len = zmq_msg_size(frame);

    if (len < 4 || bytes[0] != 'N' || bytes[1] != 'F')
        return why_set(why, FARM_EWIRE,
                       "a first frame of %zu bytes that is not 'NF', version, kind", len);
    out->kind = (enum wire_kind)bytes[3];
    if (bytes[2] !=
        WIRE_VERSION) /* looked at first: another version's frame may have another size */
        return why_set(why, FARM_EVERSION, "protocol version %d; this program speaks version %d",
                       bytes[2], WIRE_VERSION);
    if (len != MARK_BYTES)
        return why_set(why, FARM_EWIRE, "a first frame of %zu bytes: it has %d", len, MARK_BYTES);
    if (bytes[3] == 0 || bytes[3] >= WIRE_KIND_END)
        return why_set(why, FARM_EWIRE, "a message of unknown kind %d", bytes[3]);
    mark->crc = checksum_crc32(bytes, 4);
    mark->told =
        bytes[4] | (uint32_t)bytes[5] << 8 | (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24;
    return FARM_OK;
}

/* Reads one more frame into *frame, then refers to it from *to. */
static int recv_part(void *socket, zmq_msg_t *frame, zmq_msg_t *to, const char *what, size_t most,
                     struct why *why)
{
    int rc = recv_frame(socket, frame);

    if (rc != FARM_OK)
        return rc;
    if (zmq_msg_size(frame) > most)
        return why_set(why, FARM_EWIRE, "a %s of %zu bytes: at most %zu", what, zmq_msg_size(frame),
                       most);
    return zmq_msg_copy(to, frame) < 0 ? FARM_ENOMEM : FARM_OK;
}

/* libzmq knows both of every frame that came over a connection (not of a routing id, which it makes itself). */
static void note_origin(struct wire_message *out, const zmq_msg_t *frame)
{
    const char *key = zmq_msg_gets(frame, "User-Id");

    out->connection = zmq_msg_get(frame, ZMQ_SRCFD);
    (void)snprintf(out->key, sizeof out->key, "%s", key != NULL ? key : "");
}

static int recv_body(void *socket, zmq_msg_t *frame, struct wire_message *out, wire_pass *pass,
                     void *ctx, struct why *why)
{
    struct mark mark = {0}; /* the optimizer does not see that an error leaves */
    int rc = take_mark(&mark, frame, out, why);

    note_origin(out, frame);
    if (rc != FARM_OK)
        return rc;
    if (pass != NULL && !pass(ctx, out->connection, out->kind))
        return why_set(why, FARM_EDENIED, "%s more often than a peer may say it",
                       wire_kind_name(out->kind));
    if (!zmq_msg_more(frame))
        return why_set(why, FARM_EWIRE, "%s without a head", wire_kind_name(out->kind));
    if ((rc = recv_frame(socket, frame)) != FARM_OK)
        return rc;
    mark.crc = more_crc(mark.crc, frame);
    if ((rc = wire_head_unpack(out, zmq_msg_data(frame), zmq_msg_size(frame), why)) != FARM_OK)
        return rc;
    if (has_payload(out->kind)) {
        if (!zmq_msg_more(frame))
            return why_set(why, FARM_EWIRE, "%s without a payload", wire_kind_name(out->kind));
        if ((rc = recv_part(socket, frame, &out->payload, "payload", most_payload(out->kind),
                            why)) != FARM_OK)
            return rc;
        mark.crc = more_crc(mark.crc, frame);
    }
    if (may_have_blob(out->kind) && zmq_msg_more(frame) &&
        (rc = recv_part(socket, frame, &out->blob, "blob", LIMIT_BLOB_BYTES, why)) != FARM_OK)
        return rc;
    if (zmq_msg_more(frame))
        return why_set(why, FARM_EWIRE, "%s with more frames than it has",
                       wire_kind_name(out->kind));
    if (mark.crc != mark.told)
        return why_set(why, FARM_EWIRE, "%s damaged on the way: its checksum is %08x, not %08x",
                       wire_kind_name(out->kind), mark.crc, mark.told);
    return FARM_OK;
}

int wire_recv(void *socket, zmq_msg_t *from, struct wire_message *out, struct why *why)
{
    return wire_recv_if(socket, from, out, NULL, NULL, why);
}

int wire_recv_if(void *socket, zmq_msg_t *from, struct wire_message *out, wire_pass *pass,
                 void *ctx, struct why *why)
{
    zmq_msg_t frame;
    int rc;

    wire_message_init(out, WIRE_KIND_END);
    if (from != NULL) {
        if ((rc = recv_frame(socket, from)) != FARM_OK)
            return rc;
        if (!zmq_msg_more(from))
            return why_set(why, FARM_EWIRE, "a message without frames");
    }
    zmq_msg_init(&frame);
    if ((rc = recv_frame(socket, &frame)) == FARM_OK)
        rc = recv_body(socket, &frame, out, pass, ctx, why);
    skip_frames(socket, &frame);
    zmq_msg_close(&frame);
    if (rc != FARM_OK && rc != FARM_EBUSY) {
        int connection = out->connection;

        wire_message_release(out);
        out->connection = connection;
    }
    return rc;
}

/* ---- sockets ------------------------------------------------------------------------------------ */

int wire_socket_options(void *socket, int zmq_type, struct why *why)
{
    const struct {
        int option, value;
        const char *name;
    } options[] = {
        {ZMQ_LINGER, 1000, "linger"}, /* a last ACK or GOODBYE may still leave */
        {ZMQ_HANDSHAKE_IVL, 10000, "handshake"},
        /* Half-open TCP is found by the peers, which ask, and by the kernel; liveness itself is ours. A broker asks nobody and
         * is told no time to live: either is a timer of libzmq for each connection, and what it takes to cancel one, at
         * every message, grows with their number (10,000 peers left no time for anything else: bench_crowd). */
        {ZMQ_HEARTBEAT_IVL, zmq_type == ZMQ_ROUTER ? 0 : 5000, "heartbeat"},
        {ZMQ_HEARTBEAT_TIMEOUT, 15000, "heartbeat timeout"},
        {ZMQ_TCP_KEEPALIVE, 1, "keep-alive"},
        {ZMQ_TCP_KEEPALIVE_IDLE, 30, "keep-alive's idle time"},
        {ZMQ_TCP_KEEPALIVE_INTVL, 10, "keep-alive's interval"},
        {ZMQ_TCP_KEEPALIVE_CNT, 3, "keep-alive's count"},
        {ZMQ_RECONNECT_IVL, 100, "reconnect"},
        {ZMQ_RECONNECT_IVL_MAX, 10000, "reconnect maximum"},
        {ZMQ_CONNECT_TIMEOUT, 10000, "time to connect"},
        /* Of one peer. A broker's bound what a peer can make it keep: what it floods it with waits in TCP, at the peer; one
         * that does not read is parted from (lobby.h). What a worker or a controller may be sent at once is less. */
        {ZMQ_SNDHWM, zmq_type == ZMQ_ROUTER ? 16384 : 100000, "send high-water mark"},
        {ZMQ_RCVHWM, zmq_type == ZMQ_ROUTER ? 1024 : 100000, "receive high-water mark"},
        {ZMQ_TCP_MAXRT, 15000, "time without an answer"},
        {ZMQ_BACKLOG, 512, "backlog"},
    };
    int64_t frame = (int64_t)LIMIT_BLOB_BYTES;
    int one = 1;

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (zmq_setsockopt(socket, options[i].option, &options[i].value, sizeof options[i].value) <
            0)
            return why_set(why, FARM_ENET, "cannot set the socket's %s: %s", options[i].name,
                           zmq_strerror(errno));
    if (zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &frame, sizeof frame) < 0)
        return why_set(why, FARM_ENET, "cannot limit the socket's frames: %s", zmq_strerror(errno));
    /* ROUTER: an unreachable peer is an error, not silence. DEALER: nothing is queued for nobody. */
    if (zmq_setsockopt(socket, zmq_type == ZMQ_ROUTER ? ZMQ_ROUTER_MANDATORY : ZMQ_IMMEDIATE, &one,
                       sizeof one) < 0)
        return why_set(why, FARM_ENET, "cannot set the socket's routing: %s", zmq_strerror(errno));
    return FARM_OK;
}

void wire_seed(void)
{
    unsigned seed = 0;

    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (unsigned)time(NULL) ^ (unsigned)getpid();
    srand(seed);
}
