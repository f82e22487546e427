#include "farm_loop.h"

#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "monitor.h"
#include "uplink.h"

#define TURN_MESSAGES                                                                              \
    2000 /* taken from the socket before the turn goes on: bounds one transaction */
#define TURN_MS                                                                                    \
    200 /* longest sleep of a turn: the display and the signals are looked at that often */

struct farm_loop {
    struct farm *farm;
    struct uplink *uplink;
    const volatile sig_atomic_t *stop;
    struct monitor *monitor;
    int64_t monitor_at_ms; /* when it wants to be called again */
};

static int send_to_broker(void *ctx, const struct wire_message *message)
{
    struct farm_loop *self = ctx;
    return uplink_send(self->uplink, message);
}

static int connect_to(struct farm_loop *self, const struct farm_options *options, struct why *why)
{
    int rc = uplink_create(&self->uplink, why);
    if (rc != FARM_OK ||
        (rc = uplink_connect(self->uplink, &options->keys, options->endpoint, why)) != FARM_ENET)
        return rc;
    return why_set(why, FARM_EINPUT, "--broker %s: %s; an endpoint looks like tcp://127.0.0.1:5655",
                   options->endpoint, zmq_strerror(errno));
}

int farm_loop_create(struct farm_loop **out, const struct farm_options *options, struct why *why)
{
    int rc;
    struct farm_loop *self = calloc(1, sizeof *self);
    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for the farm's connection");
    self->stop = options->stop;
    self->monitor = options->monitor;
    if ((rc = farm_create(&self->farm, options, send_to_broker, self, why)) != FARM_OK ||
        (rc = connect_to(self, options, why)) != FARM_OK) {
        farm_loop_destroy(&self);
        return rc;
    }
    *out = self;
    return FARM_OK;
}

void farm_loop_destroy(struct farm_loop **self)
{
    struct farm_loop *loop = *self;
    if (loop == NULL)
        return;
    farm_destroy(&loop->farm);
    uplink_destroy(&loop->uplink);
    free(loop);
    *self = NULL;
}

struct farm *farm_loop_farm(struct farm_loop *self)
{
    return self->farm;
}

/* Sleeps until a message comes or something is due. */
static int wait_for_something(struct farm_loop *self, struct why *why)
{
    int64_t now = clock_ms(), ms = farm_due(self->farm) - now;
    zmq_pollitem_t items[UPLINK_ITEMS + 1];
    int n = uplink_items(self->uplink, farm_listens(self->farm), items);
    if (self->monitor != NULL && self->monitor_at_ms - now < ms)
        ms = self->monitor_at_ms - now;
    ms = ms < 0 ? 0 : ms < TURN_MS ? ms : TURN_MS;
    if (self->monitor != NULL)
        items[n++] = (zmq_pollitem_t){NULL, monitor_fd(self->monitor), ZMQ_POLLIN, 0};
    if (zmq_poll(items, n, (long)ms) < 0 && errno != EINTR)
        return why_set(why, FARM_ENET, "cannot wait for messages: %s", zmq_strerror(errno));
    uplink_turn(self->uplink);
    self->monitor_at_ms = clock_ms() + monitor_turn(self->monitor, TURN_MS);
    return FARM_OK;
}

/* Takes what came, up to a bound. While the farm is paused nothing is taken: the results stay with libzmq and the
 * workers. */
static int take_messages(struct farm_loop *self, int64_t now, struct why *why)
{
    int rc = FARM_OK;
    for (int i = 0; i < TURN_MESSAGES && rc == FARM_OK && farm_listens(self->farm); i++) {
        struct wire_message message;
        struct why bad;
        switch (rc = uplink_recv(self->uplink, &message, &bad)) {
        case FARM_OK:
            rc = farm_message(self->farm, &message, now, why);
            wire_message_release(&message);
            break;
        case FARM_EBUSY: return FARM_OK;
        case FARM_ENET:
            return why_set(why, rc, "the socket to the broker failed: %s", zmq_strerror(errno));
        default: rc = farm_bad_message(self->farm, rc, &bad, now, why);
        }
    }
    return rc;
}

int farm_loop_run(struct farm_loop *self, struct experiment *experiment, enum farm_end *end,
                  struct why *why)
{
    struct why unasked;
    bool over = false;
    why = why != NULL ? why : &unasked;
    int rc = farm_begin(self->farm, experiment, clock_ms(), why);
    while (rc == FARM_OK && !over) {
        if ((rc = wait_for_something(self, why)) != FARM_OK)
            break;
        int64_t now = clock_ms(); /* one clock for the whole turn */
        if ((rc = take_messages(self, now, why)) == FARM_OK)
            rc = farm_turn(self->farm, now, end, &over, why);
    }
    return rc;
}

int farm_loop_wait_data(struct farm_loop *self, const char *name, int64_t timeout_ms,
                        int (*keep_on)(void *, struct why *), void *ctx, struct wire_data *out,
                        struct why *why)
{
    int64_t until = clock_ms() + timeout_ms;
    enum farm_end none;
    bool over;
    int rc = farm_begin(self->farm, NULL, clock_ms(), why);
    while (rc == FARM_OK && (rc = wait_for_something(self, why)) == FARM_OK) {
        int64_t now = clock_ms();
        if ((rc = take_messages(self, now, why)) != FARM_OK ||
            (rc = farm_turn(self->farm, now, &none, &over, why)) != FARM_OK)
            break;
        if ((rc = farm_find_data(self->farm, name, out, why)) == FARM_OK || now >= until)
            break;
        if (self->stop != NULL && *self->stop > 0)
            return why_set(why, FARM_EBUSY, "stopped before a worker was there");
        rc = keep_on != NULL ? keep_on(ctx, why) : FARM_OK;
    }
    return rc;
}
