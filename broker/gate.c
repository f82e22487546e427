/* gate.c - see gate.h. */
#include "gate.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "peer_socket.h"

#define DOMAIN "nasfarm"
#define SAY_MS 1000

struct gate {
    void *socket;
    struct allow_list *list;
    int64_t refresh_at_ms, say_at_ms;
    uint64_t turned_away, unsaid;
};

int gate_create(struct gate **out, void *context, void *socket, const char *key,
                const char *allow_folder, struct why *why)
{
    struct gate *self = calloc(1, sizeof *self);
    int rc, linger = 0;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory");
    if ((rc = allow_list_create(&self->list, allow_folder, why)) != FARM_OK ||
        (rc = peer_socket_serve(socket, key, DOMAIN, why)) != FARM_OK)
        goto fail;
    if ((self->socket = zmq_socket(context, ZMQ_REP)) == NULL ||
        zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger) != 0 ||
        zmq_bind(self->socket, "inproc://zeromq.zap.01") != 0) {
        rc = why_set(why, FARM_ENET, "cannot ask for keys: %s", zmq_strerror(errno));
        goto fail;
    }
    log_info("keys: %zu are allowed (%s)", allow_list_size(self->list), allow_folder);
    *out = self;
    return FARM_OK;
fail:
    gate_destroy(&self);
    return rc;
}

void gate_destroy(struct gate **out)
{
    struct gate *self = *out;

    if (self == NULL)
        return;
    if (self->socket != NULL)
        zmq_close(self->socket);
    allow_list_destroy(&self->list);
    free(self);
    *out = NULL;
}

void *gate_socket(const struct gate *self)
{
    return self->socket;
}

/* ---- libzmq's questions ------------------------------------------------------------------------------------- */

enum { VERSION, REQUEST, ZAP_DOMAIN, ADDRESS, IDENTITY, MECHANISM, CLIENT_KEY, QUESTION_FRAMES };

/* The frames of one question; how many there were, or -1: none is there. */
static int take_question(void *socket, zmq_msg_t frames[QUESTION_FRAMES])
{
    int n = 0;
    bool more = true;

    for (; more; n++) {
        zmq_msg_t extra, *frame = n < QUESTION_FRAMES ? &frames[n] : &extra;

        if (frame == &extra)
            zmq_msg_init(&extra);
        if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
            return -1;
        more = zmq_msg_more(frame);
        if (frame == &extra)
            zmq_msg_close(&extra);
    }
    return n;
}

static bool frame_is(zmq_msg_t *frame, const char *text)
{
    return zmq_msg_size(frame) == strlen(text) &&
           memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

/* The allowed certificate that asks to come in; NULL: a stranger. */
static const struct certificate *who_asks(const struct gate *self,
                                          zmq_msg_t frames[QUESTION_FRAMES], int n)
{
    char key[CERTIFICATE_KEY + 1];

    if (n != QUESTION_FRAMES || !frame_is(&frames[VERSION], "1.0") ||
        !frame_is(&frames[ZAP_DOMAIN], DOMAIN) || !frame_is(&frames[MECHANISM], "CURVE") ||
        zmq_msg_size(&frames[CLIENT_KEY]) != 32 ||
        zmq_z85_encode(key, zmq_msg_data(&frames[CLIENT_KEY]), 32) == NULL)
        return NULL;
    return allow_list_find(self->list, key);
}

static void count_stranger(struct gate *self, zmq_msg_t *address)
{
    int64_t now_ms = clock_ms();

    self->turned_away++;
    self->unsaid++;
    if (now_ms < self->say_at_ms)
        return;
    log_warn("%llu peers turned away whose keys are not in the allow list, the last one at %.*s",
             (unsigned long long)self->unsaid, (int)zmq_msg_size(address),
             (const char *)zmq_msg_data(address));
    self->unsaid = 0;
    self->say_at_ms = now_ms + SAY_MS;
}

static void answer(void *socket, const void *request, size_t request_len,
                   const struct certificate *who)
{
    const char *status = who != NULL ? "200" : "400";
    const char *text = who != NULL ? "OK" : "this key is not allowed here";
    const char *user = who != NULL ? who->public_key : "";

    (void)zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    (void)zmq_send(socket, request, request_len, ZMQ_SNDMORE);
    (void)zmq_send(socket, status, 3, ZMQ_SNDMORE);
    (void)zmq_send(socket, text, strlen(text), ZMQ_SNDMORE);
    (void)zmq_send(socket, user, strlen(user), ZMQ_SNDMORE);
    (void)zmq_send(socket, "", 0, 0);
}

void gate_turn(struct gate *self)
{
    zmq_msg_t frames[QUESTION_FRAMES];
    int n;

    do {
        for (size_t i = 0; i < QUESTION_FRAMES; i++)
            zmq_msg_init(&frames[i]);
        if ((n = take_question(self->socket, frames)) >= 0) {
            const struct certificate *who = who_asks(self, frames, n);

            if (who == NULL)
                count_stranger(self, &frames[ADDRESS]);
            answer(self->socket, zmq_msg_data(&frames[REQUEST]), zmq_msg_size(&frames[REQUEST]),
                   who);
        }
        for (size_t i = 0; i < QUESTION_FRAMES; i++)
            zmq_msg_close(&frames[i]);
    } while (n >= 0);
}

/* ---- those who are in ------------------------------------------------------------------------------------------ */

bool gate_refresh(struct gate *self, int64_t now_ms)
{
    if (now_ms < self->refresh_at_ms)
        return false;
    self->refresh_at_ms = now_ms + GATE_REFRESH_MS;
    return allow_list_refresh(self->list);
}

bool gate_allows(const struct gate *self, const char *key, enum wire_role role)
{
    const struct certificate *who = allow_list_find(self->list, key);

    if (who == NULL)
        return false;
    return (int)who->role == (int)role ||
           (role == WIRE_OBSERVER && who->role == CERTIFICATE_CONTROLLER);
}

int gate_check(const struct gate *self, const struct wire_message *message, struct why *why)
{
    const struct certificate *who = allow_list_find(self->list, message->key);

    if (who == NULL)
        return why_set(why, FARM_EDENIED, "this key is not (or no longer) allowed here");
    if (message->kind == WIRE_HELLO && !gate_allows(self, message->key, message->u.hello.role))
        return why_set(why, FARM_EDENIED, "this key is a%s %s's, and allows no other role",
                       who->role == CERTIFICATE_OBSERVER ? "n" : "",
                       certificate_role_name(who->role));
    return FARM_OK;
}

uint64_t gate_turned_away(const struct gate *self)
{
    return self->turned_away;
}
