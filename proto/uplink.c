/* uplink.c - see uplink.h. */
#include "uplink.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define EVENTS        (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED)
#define KEY_TEXT      41 /* Z85, with its end */
#define EVENT_ADDRESS 32

struct line { /* a socket, and what libzmq tells about it */
    void *socket, *events;
};

struct uplink {
    void *context;
    struct line line;
    char endpoint[256]; /* "": none */
    bool up, ended;     /* ended: a new line is due */
};

/* ---- one line ---------------------------------------------------------------------------------------------------- */

static void hang_up(struct line *self, int linger_ms)
{
    if (self->socket != NULL) {
        (void)zmq_socket_monitor(self->socket, NULL, 0);
        (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
        zmq_close(self->socket);
    }
    if (self->events != NULL)
        zmq_close(self->events);
    *self = (struct line){NULL, NULL};
}

static int watch(struct line *self, void *context, struct why *why)
{
    char address[EVENT_ADDRESS];
    int none = 0;

    (void)snprintf(address, sizeof address, "inproc://uplink-%p", self->socket);
    /* No high-water mark: libzmq's thread would wait for us at it. */
    if (zmq_socket_monitor(self->socket, address, EVENTS) < 0 ||
        (self->events = zmq_socket(context, ZMQ_PAIR)) == NULL ||
        zmq_setsockopt(self->events, ZMQ_RCVHWM, &none, sizeof none) < 0 ||
        zmq_setsockopt(self->events, ZMQ_LINGER, &none, sizeof none) < 0 ||
        zmq_connect(self->events, address) < 0)
        return why_set(why, FARM_ENET, "cannot watch a connection: %s", zmq_strerror(errno));
    return FARM_OK;
}

/* A socket that is not connected yet. */
static int pick_up(struct line *out, void *context, struct why *why)
{
    struct line line = {zmq_socket(context, ZMQ_DEALER), NULL};
    int all = 0, rc;

    if (line.socket == NULL)
        return why_set(why, FARM_ENET, "cannot make a socket: %s", zmq_strerror(errno));
    if ((rc = wire_socket_options(line.socket, ZMQ_DEALER, why)) == FARM_OK &&
        zmq_setsockopt(line.socket, ZMQ_IMMEDIATE, &all, sizeof all) < 0)
        rc = why_set(why, FARM_ENET, "cannot set a socket's routing: %s", zmq_strerror(errno));
    if (rc == FARM_OK)
        rc = watch(&line, context, why);
    if (rc != FARM_OK)
        hang_up(&line, 0);
    else
        *out = line;
    return rc;
}

/* The next event that waits, or 0. Its second frame is an address that we know. */
static int next_event(const struct line *self)
{
    zmq_msg_t frame;
    uint16_t event = 0;

    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, self->events, ZMQ_DONTWAIT) >= (int)sizeof event) {
        memcpy(&event, zmq_msg_data(&frame), sizeof event);
        while (zmq_msg_more(&frame) && zmq_msg_recv(&frame, self->events, ZMQ_DONTWAIT) >= 0)
            ;
    }
    zmq_msg_close(&frame);
    return event;
}

/* The files may be gone by now, or hold another's. */
static int same_keys(void *to, void *from)
{
    static const int options[] = {ZMQ_CURVE_SERVERKEY, ZMQ_CURVE_PUBLICKEY, ZMQ_CURVE_SECRETKEY};
    char key[KEY_TEXT];
    int mechanism = ZMQ_NULL, rc;
    size_t len = sizeof mechanism;

    rc = zmq_getsockopt(from, ZMQ_MECHANISM, &mechanism, &len);
    for (size_t i = 0; rc == 0 && mechanism == ZMQ_CURVE && i < 3; i++) {
        len = sizeof key;
        if ((rc = zmq_getsockopt(from, options[i], key, &len)) == 0)
            rc = zmq_setsockopt(to, options[i], key, len);
    }
    sodium_memzero(key, sizeof key);
    return rc;
}

/* ---- the connection ---------------------------------------------------------------------------------------------- */

int uplink_create(struct uplink **out, struct why *why)
{
    struct uplink *self = calloc(1, sizeof *self);
    int rc = FARM_OK;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for a connection");
    wire_seed();
    if ((self->context = zmq_ctx_new()) == NULL)
        rc = why_set(why, FARM_ENET, "cannot make a socket: %s", zmq_strerror(errno));
    else
        rc = pick_up(&self->line, self->context, why);
    if (rc != FARM_OK)
        uplink_destroy(&self);
    else
        *out = self;
    return rc;
}

void uplink_destroy(struct uplink **self)
{
    struct uplink *uplink = *self;

    if (uplink == NULL)
        return;
    hang_up(&uplink->line, uplink->up ? 1000 : 0);
    if (uplink->context != NULL)
        zmq_ctx_term(uplink->context);
    free(uplink);
    *self = NULL;
}

static void replace(struct uplink *self, struct line *line)
{
    hang_up(&self->line, 0);
    self->line = *line;
    self->up = self->ended = false;
}

int uplink_connect(struct uplink *self, const struct peer_keys *keys, const char *endpoint,
                   struct why *why)
{
    struct line line = {NULL, NULL};
    int rc = pick_up(&line, self->context, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = peer_socket_secure(line.socket, keys, endpoint, why)) != FARM_OK) {
        hang_up(&line, 0);
        return rc;
    }
    replace(self, &line);
    self->endpoint[0] = '\0';
    if (strlen(endpoint) >= sizeof self->endpoint)
        errno = EINVAL;
    else if (zmq_connect(self->line.socket, endpoint) == 0) {
        (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
        return FARM_OK;
    }
    rc = errno;
    why_set(why, FARM_ENET, "%s: %s", endpoint, zmq_strerror(rc));
    errno = rc;
    return FARM_ENET;
}

/* An error: the old line stays, which reaches the next broker, too, and the next turn tries again. */
static int connect_anew(struct uplink *self, struct why *why)
{
    struct line line = {NULL, NULL};
    int rc = pick_up(&line, self->context, why);

    if (rc != FARM_OK)
        return rc;
    if (same_keys(line.socket, self->line.socket) != 0 ||
        zmq_connect(line.socket, self->endpoint) != 0) {
        rc = why_set(why, FARM_ENET, "cannot connect again: %s", zmq_strerror(errno));
        hang_up(&line, 0);
        return rc;
    }
    replace(self, &line);
    return FARM_OK;
}

void uplink_turn(struct uplink *self)
{
    struct why why;
    int event;

    while ((event = next_event(&self->line)) != 0) {
        self->ended |= self->up && event == ZMQ_EVENT_DISCONNECTED;
        self->up = event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
    }
    if (self->ended && connect_anew(self, &why) != FARM_OK)
        log_debug("%s: %s", self->endpoint, why.text);
}

int uplink_items(const struct uplink *self, bool listen, zmq_pollitem_t *items)
{
    int n = 0;

    items[n++] = (zmq_pollitem_t){self->line.events, 0, ZMQ_POLLIN, 0};
    if (listen)
        items[n++] = (zmq_pollitem_t){self->line.socket, 0, ZMQ_POLLIN, 0};
    return n;
}

int uplink_send(struct uplink *self, const struct wire_message *message)
{
    return self->up ? wire_send(self->line.socket, NULL, message) : FARM_EBUSY;
}

int uplink_recv(struct uplink *self, struct wire_message *out, struct why *why)
{
    return wire_recv(self->line.socket, NULL, out, why);
}
