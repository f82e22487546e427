/* lobby.c - see lobby.h. */
#include "lobby.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>

#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "checksum.h"
#include "clock.h"
#include "limits.h"
#include "log.h"
#include "metrics.h"

#define EVENTS    "inproc://connections"
#define LISTENERS 16
#define SAY_MS    1000
#define DRAIN_MS  50
#define ONE_SENDS (2u * LIMIT_HEAD_BYTES) /* a handshake and a HELLO, with room */
#define WAIT_MS   1000                    /* with nobody in the lobby */

/* What a server has sent when it has not let a peer in (RFC 37 and 26): its greeting; with keys, WELCOME, too. */
#define GREETING        64u
#define CURVE_WELCOME   170u
#define REOPEN_AT(most) ((most) / 2)

enum place { NOWHERE, HALF_OPEN, SILENT /* its handshake is done */, INSIDE };

struct connection { /* by descriptor */
    enum place place;
    int fd;
    int64_t since_ms;
    uint32_t route; /* of who spoke: a checksum of the routing id */
    uint32_t bad;   /* malformed messages that came over it */
    int64_t said_since_ms;
    uint16_t said[WIRE_KIND_END]; /* in this heartbeat */
    TAILQ_ENTRY(connection) at;
};

struct lobby {
    void *events;
    struct connection **connections;
    size_t n_slots;
    TAILQ_HEAD(waiting, connection) waiting; /* half open or silent; oldest first */
    size_t n_half_open, n_silent, n_connections;
    uint64_t handshake_bytes;
    uint32_t heartbeat_ms;
    int listeners[LISTENERS];
    size_t n_listeners;
    int spare;      /* a descriptor to be given up when there are no others; -1: gone */
    bool closed;    /* the door */
    bool exhausted; /* there was no descriptor for somebody */
    int64_t look_at_ms, say_at_ms, now_ms;
    uint64_t cut, closings, unsaid, too_often;
    const char *last_reason;
};

int lobby_create(struct lobby **out, void *context, void *socket, bool keys, uint32_t heartbeat_ms,
                 struct why *why)
{
    struct lobby *self = calloc(1, sizeof *self);
    int none = 0;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory");
    TAILQ_INIT(&self->waiting);
    self->now_ms = clock_ms();
    self->heartbeat_ms = heartbeat_ms;
    self->handshake_bytes = keys ? GREETING + CURVE_WELCOME : GREETING;
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    /* No high-water mark: libzmq's thread would wait for us at it. */
    if (zmq_socket_monitor(socket, EVENTS,
                           ZMQ_EVENT_LISTENING | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_ACCEPT_FAILED |
                               ZMQ_EVENT_DISCONNECTED) < 0 ||
        (self->events = zmq_socket(context, ZMQ_PAIR)) == NULL ||
        zmq_setsockopt(self->events, ZMQ_RCVHWM, &none, sizeof none) < 0 ||
        zmq_setsockopt(self->events, ZMQ_LINGER, &none, sizeof none) < 0 ||
        zmq_connect(self->events, EVENTS) < 0) {
        int rc = why_set(why, FARM_ENET, "cannot watch connections: %s", zmq_strerror(errno));

        lobby_destroy(&self);
        return rc;
    }
    *out = self;
    return FARM_OK;
}

void lobby_destroy(struct lobby **out)
{
    struct lobby *self = *out;

    if (self == NULL)
        return;
    if (self->events != NULL)
        zmq_close(self->events);
    for (size_t i = 0; i < self->n_slots; i++)
        free(self->connections[i]);
    free(self->connections);
    if (self->spare >= 0)
        close(self->spare);
    free(self);
    *out = NULL;
}

void *lobby_socket(const struct lobby *self)
{
    return self->events;
}

/* ---- connections by descriptor ------------------------------------------------------------------------------------ */

static struct connection *find(const struct lobby *self, int fd)
{
    return fd >= 0 && (size_t)fd < self->n_slots ? self->connections[fd] : NULL;
}

/* NULL: no memory; then it is not watched. */
static struct connection *find_or_make(struct lobby *self, int fd)
{
    if (fd < 0)
        return NULL;
    if ((size_t)fd >= self->n_slots) {
        size_t n = (size_t)fd + 1 > 2 * self->n_slots ? (size_t)fd + 1 : 2 * self->n_slots;
        struct connection **more = realloc(self->connections, n * sizeof(struct connection *));

        if (more == NULL)
            return NULL;
        memset(more + self->n_slots, 0, (n - self->n_slots) * sizeof(struct connection *));
        self->connections = more;
        self->n_slots = n;
    }
    if (self->connections[fd] == NULL &&
        (self->connections[fd] = calloc(1, sizeof(struct connection))) != NULL)
        self->connections[fd]->fd = fd;
    return self->connections[fd];
}

static void leave(struct lobby *self, struct connection *c)
{
    if (c->place == HALF_OPEN || c->place == SILENT)
        TAILQ_REMOVE(&self->waiting, c, at);
    self->n_half_open -= c->place == HALF_OPEN;
    self->n_silent -= c->place == SILENT;
    if (c->place != NOWHERE)
        self->n_connections--;
    c->place = NOWHERE;
}

/* An ended connection is not always told: its descriptor comes again, then. */
static void enter(struct lobby *self, struct connection *c, enum place place)
{
    leave(self, c);
    c->place = place;
    c->since_ms = self->now_ms;
    c->route = c->bad = 0;
    c->said_since_ms = INT64_MIN;
    self->n_connections++;
    if (place == HALF_OPEN) {
        TAILQ_INSERT_TAIL(&self->waiting, c, at);
        self->n_half_open++;
    }
}

/* libzmq reads the end of the stream, and closes it. Should the descriptor be another connection's by now, that one tries
 * again. Never a listening socket: libzmq would not survive that. */
static void cut(struct lobby *self, struct connection *c, const char *reason)
{
    int listens = 0;
    socklen_t len = sizeof listens;

    if (getsockopt(c->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && !listens)
        (void)shutdown(c->fd, SHUT_RDWR);
    leave(self, c);
    self->cut++;
    self->unsaid++;
    self->last_reason = reason;
}

/* ---- the door ------------------------------------------------------------------------------------------------------- */

static void move_door(struct lobby *self, bool close_it, const char *reason)
{
    struct sock_filter nothing_passes = {BPF_RET | BPF_K, 0, 0, 0};
    struct sock_fprog filter = {1, &nothing_passes};
    int none = 0;

    if (self->closed == close_it)
        return;
    self->closed = close_it;
    self->closings += close_it;
    for (size_t i = 0; i < self->n_listeners; i++)
        (void)(close_it ? setsockopt(self->listeners[i], SOL_SOCKET, SO_ATTACH_FILTER, &filter,
                                     sizeof filter)
                        : setsockopt(self->listeners[i], SOL_SOCKET, SO_DETACH_FILTER, &none,
                                     sizeof none));
    log_debug("the door is %s: %s", close_it ? "closed" : "open", reason);
}

/* Connections that may be had without the reserve. */
static size_t most_connections(void)
{
    struct rlimit limit;
    size_t all, reserve = LOBBY_RESERVE;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return SIZE_MAX;
    all = (size_t)limit.rlim_cur;
    if (all / 4 < reserve)
        reserve = all / 4;
    return all - reserve;
}

/* How many descriptors are open is the number of the lowest free one, nearly: the kernel always gives that. */
static size_t descriptors(const struct lobby *self)
{
    int fd = fcntl(self->spare >= 0 ? self->spare : 0, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return SIZE_MAX;
    close(fd);
    return (size_t)fd;
}

/* The end of some connections is not told. */
static void forget_closed(struct lobby *self)
{
    for (size_t i = 0; i < self->n_slots; i++)
        if (self->connections[i] != NULL && self->connections[i]->place != NOWHERE &&
            fcntl((int)i, F_GETFD) < 0)
            leave(self, self->connections[i]);
}

/* ---- what happened --------------------------------------------------------------------------------------------------- */

static void on_listening(struct lobby *self, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (self->n_listeners == LISTENERS)
        return;
    /* Two accept from it: neither may wait for what the other took. */
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    self->listeners[self->n_listeners++] = fd;
}

static void on_event(struct lobby *self, uint16_t event, int value)
{
    struct connection *c;

    switch (event) {
    case ZMQ_EVENT_LISTENING: on_listening(self, value); break;
    case ZMQ_EVENT_ACCEPTED:
        if ((c = find_or_make(self, value)) != NULL)
            enter(self, c, HALF_OPEN);
        break;
    case ZMQ_EVENT_DISCONNECTED:
        if ((c = find(self, value)) != NULL)
            leave(self, c);
        break;
    case ZMQ_EVENT_ACCEPT_FAILED: self->exhausted |= value == EMFILE || value == ENFILE; break;
    default: break;
    }
}

/* An event is two frames: what and of which descriptor (or errno), and the endpoint. */
static void take_events(struct lobby *self)
{
    zmq_msg_t frame;

    zmq_msg_init(&frame);
    while (zmq_msg_recv(&frame, self->events, ZMQ_DONTWAIT) >= 0) {
        uint16_t event = 0;
        int32_t value = -1;

        if (zmq_msg_size(&frame) >= sizeof event + sizeof value) {
            memcpy(&event, zmq_msg_data(&frame), sizeof event);
            memcpy(&value, (char *)zmq_msg_data(&frame) + sizeof event, sizeof value);
        }
        on_event(self, event, value);
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, self->events, ZMQ_DONTWAIT) >= 0)
            ;
    }
    zmq_msg_close(&frame);
}

/* Whether somebody waits to be accepted; who can be without libzmq is, and turned away. */
static bool backlog_waits(struct lobby *self)
{
    struct pollfd items[LISTENERS];

    for (size_t i = 0; i < self->n_listeners; i++) {
        int fd = accept4(self->listeners[i], NULL, NULL, SOCK_CLOEXEC);

        if (fd >= 0)
            close(fd);
        items[i] = (struct pollfd){self->listeners[i], POLLIN, 0};
    }
    return poll(items, self->n_listeners, 0) > 0;
}

static void cut_half_open(struct lobby *self, int64_t older_ms, const char *reason)
{
    struct connection *c, *next;

    for (c = TAILQ_FIRST(&self->waiting); c != NULL; c = next) {
        next = TAILQ_NEXT(c, at);
        if (c->place == HALF_OPEN && self->now_ms - c->since_ms >= older_ms)
            cut(self, c, reason);
    }
}

/* What is in the kernel's backlog came before the door was closed, and there is no descriptor for it: libzmq's thread would
 * try to accept it for ever. The spare one is given up. Whoever gets it, that thread or this one, parts from the connection
 * at once and has it for the next, until none is left. */
static void turn_away_backlog(struct lobby *self)
{
    int64_t until_ms = clock_ms() + DRAIN_MS;

    if (self->spare >= 0)
        close(self->spare);
    self->spare = -1;
    while (backlog_waits(self) && clock_ms() < until_ms) {
        take_events(self);
        cut_half_open(self, 0, "no descriptors are left");
    }
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------- */

/* What came over it; and whether the handshake is done is seen by what we have sent. What is no TCP is of this machine, and
 * not counted. */
static uint64_t look_at(struct lobby *self, struct connection *c)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    bool known = getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0;

    if (c->place == HALF_OPEN && (!known || info.tcpi_bytes_sent > self->handshake_bytes)) {
        c->place = SILENT;
        self->n_half_open--;
        self->n_silent++;
    }
    return info.tcpi_bytes_received;
}

/* Cuts all that have sent more than `most`; returns what the others have sent together. */
static uint64_t cut_larger_than(struct lobby *self, uint64_t most)
{
    struct connection *c, *next;
    uint64_t all = 0;

    for (c = TAILQ_FIRST(&self->waiting); c != NULL; c = next) {
        uint64_t bytes = look_at(self, c);

        next = TAILQ_NEXT(c, at);
        if (bytes > most)
            cut(self, c, "it has sent too much without a message");
        else
            all += bytes;
    }
    return all;
}

static void bound_bytes(struct lobby *self)
{
    if (cut_larger_than(self, ONE_SENDS) > LOBBY_MOST_BYTES)
        (void)cut_larger_than(self, LOBBY_MOST_BYTES / (self->n_half_open + self->n_silent));
}

static void bound_time(struct lobby *self, bool crowded)
{
    struct connection *c, *next;

    for (c = TAILQ_FIRST(&self->waiting); c != NULL; c = next) {
        int64_t here_ms = self->now_ms - c->since_ms;

        next = TAILQ_NEXT(c, at);
        if (here_ms < LOBBY_PATIENCE_MS)
            break;
        cut(self, c, "it said nothing");
    }
    if (crowded)
        cut_half_open(self, LOBBY_GRACE_MS, "too many connections that have said nothing");
}

static void mind_door(struct lobby *self)
{
    size_t most = most_connections(), open_ones = descriptors(self);
    bool few, full = self->n_half_open >= LOBBY_MOST;

    if (self->n_connections >= most)
        forget_closed(self);
    if (open_ones < self->n_connections)
        open_ones = self->n_connections; /* one in the middle is free again */
    few = open_ones >= most;
    if (self->exhausted && few) {
        move_door(self, true, "no descriptors are left");
        turn_away_backlog(self);
    }
    self->exhausted = false;
    if (self->spare < 0)
        self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (few || full)
        move_door(self, true, few ? "descriptors are few" : "too many wait");
    else if (self->n_half_open <= REOPEN_AT(LOBBY_MOST) && open_ones + most / 32 < most)
        move_door(self, false, "there is room again");
    bound_time(self, few || full || self->closed);
}

static void say_what_was_cut(struct lobby *self)
{
    if (self->unsaid == 0 || self->now_ms < self->say_at_ms)
        return;
    log_warn("%llu connections shut down, the last one because: %s",
             (unsigned long long)self->unsaid, self->last_reason);
    self->unsaid = 0;
    self->say_at_ms = self->now_ms + SAY_MS;
}

int64_t lobby_turn(struct lobby *self, int64_t now_ms)
{
    self->now_ms = now_ms;
    take_events(self);
    if (self->exhausted || self->n_half_open >= LOBBY_MOST || now_ms >= self->look_at_ms) {
        bound_bytes(self);
        mind_door(self);
        say_what_was_cut(self);
        self->look_at_ms =
            now_ms + (TAILQ_EMPTY(&self->waiting) && !self->closed ? WAIT_MS : LOBBY_LOOK_MS);
    }
    if (!TAILQ_EMPTY(&self->waiting) && self->look_at_ms > now_ms + LOBBY_LOOK_MS)
        self->look_at_ms = now_ms + LOBBY_LOOK_MS;
    return self->look_at_ms;
}

/* ---- those who speak ------------------------------------------------------------------------------------------------------ */

static uint32_t route_mark(const zmq_msg_t *route)
{
    return checksum_crc32(zmq_msg_data((zmq_msg_t *)route), zmq_msg_size(route));
}

void lobby_spoke(struct lobby *self, int connection, const zmq_msg_t *from)
{
    struct connection *c = find(self, connection);

    if (connection < 0 || (c != NULL && c->place == INSIDE && c->route != 0))
        return;
    if (c == NULL || c->place == NOWHERE)
        take_events(self); /* that it was accepted came before its message, but was not read yet */
    if ((c = find_or_make(self, connection)) == NULL)
        return;
    enter(self, c, INSIDE);
    c->route = route_mark(from) | 1;
}

/* How often in one heartbeat; 0: as often as it likes. */
static uint16_t most_of_kind(enum wire_kind kind)
{
    switch (kind) {
    case WIRE_HELLO:
    case WIRE_HEARTBEAT: return 4;
    case WIRE_STATUS: return 16;
    case WIRE_PROGRESS: return 256;
    default: return 0;
    }
}

bool lobby_may_say(struct lobby *self, int connection, enum wire_kind kind)
{
    struct connection *c = find(self, connection);
    uint16_t most = most_of_kind(kind);

    if (most == 0 || c == NULL || c->place == NOWHERE)
        return true;
    if (c->said_since_ms < self->now_ms - (int64_t)self->heartbeat_ms) {
        c->said_since_ms = self->now_ms;
        memset(c->said, 0, sizeof c->said);
    }
    if (c->said[kind] < most) {
        c->said[kind]++;
        return true;
    }
    self->too_often++;
    return false;
}

void lobby_babbled(struct lobby *self, int connection)
{
    struct connection *c = find(self, connection);

    if (c != NULL && c->place != NOWHERE && ++c->bad >= LOBBY_MOST_BAD)
        cut(self, c, "all it sends is malformed");
}

void lobby_cut_slow(struct lobby *self, const zmq_msg_t *to)
{
    uint32_t route = route_mark(to) | 1;

    for (size_t i = 0; i < self->n_slots; i++)
        if (self->connections[i] != NULL && self->connections[i]->place == INSIDE &&
            self->connections[i]->route == route)
            cut(self, self->connections[i], "it does not read what it is sent");
}

void lobby_metrics(const struct lobby *self, struct metrics *out)
{
    metrics_gauge(out, "nasfarm_broker_connections", "Connections that are open.",
                  (double)self->n_connections);
    metrics_gauge(out, "nasfarm_broker_connections_silent",
                  "Of these, such that have not said anything yet.",
                  (double)(self->n_half_open + self->n_silent));
    metrics_counter(out, "nasfarm_broker_connections_cut_total",
                    "Connections that were shut down because they cost too much.",
                    (double)self->cut);
    metrics_counter(out, "nasfarm_broker_messages_too_often_total",
                    "Messages dropped because their peer says them too often.",
                    (double)self->too_often);
    metrics_counter(out, "nasfarm_broker_door_closed_total",
                    "How often no new connection was taken for a while.", (double)self->closings);
}
