/* supervisor_loop.c - see supervisor_loop.h. */
#include "supervisor_loop.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "monitor.h"
#include "uplink.h"

#define TURN_MESSAGES 1000
#define MONITOR_MS    60000

struct supervisor_loop {
    const struct supervisor_options *options;
    struct supervisor *supervisor;
    struct uplink *uplink;
    char endpoint[256];
    struct pollfd *fds; /* of the evaluators */
    zmq_pollitem_t *items;
    struct monitor *monitor;
    int64_t monitor_at_ms; /* when it wants to be called again */
};

static int send_to_broker(void *ctx, const struct wire_message *message)
{
    struct supervisor_loop *self = ctx;

    return uplink_send(self->uplink, message);
}

/* A changed address, where it comes from a file. An error of our keys is one that waiting does not heal. */
static int read_endpoint(struct supervisor_loop *self, struct why *why)
{
    char line[sizeof self->endpoint] = "";
    int rc;
    FILE *f = self->options->broker_file != NULL ? fopen(self->options->broker_file, "r") : NULL;

    if (f == NULL)
        return FARM_OK;
    if (fgets(line, sizeof line, f) == NULL)
        line[0] = '\0';
    (void)fclose(f);
    line[strcspn(line, " \r\n")] = '\0';
    if (line[0] == '\0' || strcmp(line, self->endpoint) == 0)
        return FARM_OK;
    memcpy(self->endpoint, line, sizeof self->endpoint);
    rc = uplink_connect(self->uplink, &self->options->keys, self->endpoint, why);
    if (rc != FARM_ENET)
        return rc;
    log_warn("%s holds '%s', which is no endpoint: %s", self->options->broker_file, line,
             zmq_strerror(errno));
    return FARM_OK;
}

static int take_messages(struct supervisor_loop *self, int64_t now, struct why *why)
{
    struct why bad;
    int rc = FARM_OK;

    for (int i = 0; i < TURN_MESSAGES && rc == FARM_OK; i++) {
        struct wire_message m;

        switch (rc = uplink_recv(self->uplink, &m, &bad)) {
        case FARM_OK:
            rc = supervisor_message(self->supervisor, &m, now, why);
            wire_message_release(&m);
            break;
        case FARM_EBUSY: return FARM_OK;
        case FARM_ENET:
            return why_set(why, rc, "the socket to %s failed: %s", self->endpoint,
                           zmq_strerror(errno));
        default: rc = supervisor_bad_message(self->supervisor, rc, &bad, now, why);
        }
    }
    return rc;
}

static void take_signals(struct supervisor_loop *self, int64_t now)
{
    struct signalfd_siginfo info;

    while (read(self->options->signals, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD) /* that one woke us: that is its use */
            supervisor_stop(self->supervisor, strsignal((int)info.ssi_signo), now);
}

static int wait_for_something(struct supervisor_loop *self, int64_t now, struct why *why)
{
    int64_t ms = supervisor_due(self->supervisor, now) - now;
    size_t n_fds = supervisor_fds(self->supervisor, self->fds);
    int n = uplink_items(self->uplink, true, self->items);

    self->items[n++] = (zmq_pollitem_t){NULL, self->options->signals, ZMQ_POLLIN, 0};
    if (self->monitor != NULL) {
        self->items[n++] = (zmq_pollitem_t){NULL, monitor_fd(self->monitor), ZMQ_POLLIN, 0};
        ms = self->monitor_at_ms - now < ms ? self->monitor_at_ms - now : ms;
    }
    for (size_t i = 0; i < n_fds; i++)
        self->items[n++] = (zmq_pollitem_t){NULL, self->fds[i].fd, ZMQ_POLLIN, 0};
    if (zmq_poll(self->items, n, ms > 0 ? (long)ms : 0) < 0 && errno != EINTR)
        return why_set(why, FARM_ENET, "cannot wait for messages: %s", zmq_strerror(errno));
    uplink_turn(self->uplink);
    return FARM_OK;
}

/* One turn: sleep until something is due, take what came, do what is due. Only the poll blocks. */
int supervisor_loop_run(struct supervisor_loop *self, struct why *why)
{
    int64_t now = clock_ms();
    int rc = FARM_OK;

    while (rc == FARM_OK && !supervisor_drained(self->supervisor, now)) {
        if ((rc = wait_for_something(self, now, why)) != FARM_OK)
            break;
        now = clock_ms(); /* one clock for the whole turn */
        take_signals(self, now);
        rc = take_messages(self, now, why);
        if (rc == FARM_OK && supervisor_greets(self->supervisor, now))
            rc = read_endpoint(self, why);
        supervisor_turn(self->supervisor, now);
        self->monitor_at_ms = now + monitor_turn(self->monitor, MONITOR_MS);
        if (rc == FARM_OK)
            rc = supervisor_alone(self->supervisor, now, why);
    }
    supervisor_leave(self->supervisor, now);
    return rc;
}

static int connect_to(struct supervisor_loop *self, struct why *why)
{
    int rc = uplink_create(&self->uplink, why);

    if (rc != FARM_OK || self->options->broker_file != NULL)
        return rc;
    (void)snprintf(self->endpoint, sizeof self->endpoint, "%s", self->options->broker);
    if ((rc = uplink_connect(self->uplink, &self->options->keys, self->endpoint, why)) != FARM_ENET)
        return rc;
    return why_set(why, FARM_EINPUT, "--broker %s: %s; an endpoint looks like tcp://127.0.0.1:5555",
                   self->endpoint, zmq_strerror(errno));
}

static void write_metrics(struct metrics *out, void *ctx)
{
    supervisor_metrics(((struct supervisor_loop *)ctx)->supervisor, out);
}

static int is_ready(void *ctx, struct why *why)
{
    return supervisor_ready(((struct supervisor_loop *)ctx)->supervisor, why);
}

static int open_monitor(struct supervisor_loop *self, const char *address, struct why *why)
{
    const struct monitor_pages pages = {write_metrics, is_ready, self};
    int rc = address != NULL ? monitor_open(&self->monitor, address, &pages, why) : FARM_OK;

    return rc == FARM_OK ? rc : why_prefix(why, rc, "--metrics");
}

int supervisor_loop_create(struct supervisor_loop **out, const struct supervisor_options *options,
                           struct why *why)
{
    struct supervisor_loop *self = calloc(1, sizeof *self);
    size_t n_fds = 3 * (size_t)options->slots;
    int rc;

    if (self == NULL || (self->fds = calloc(n_fds + 1, sizeof *self->fds)) == NULL ||
        (self->items = calloc(UPLINK_ITEMS + 2 + n_fds, sizeof *self->items)) == NULL) {
        supervisor_loop_destroy(&self);
        return why_set(why, FARM_ENOMEM, "out of memory for %u slots", options->slots);
    }
    self->options = options;
    if ((rc = supervisor_create(&self->supervisor, options, self->endpoint, send_to_broker, self,
                                clock_ms(), why)) != FARM_OK ||
        (rc = connect_to(self, why)) != FARM_OK ||
        (rc = open_monitor(self, options->metrics, why)) != FARM_OK)
        supervisor_loop_destroy(&self);
    else
        *out = self;
    return rc;
}

void supervisor_loop_destroy(struct supervisor_loop **self)
{
    struct supervisor_loop *loop = *self;

    if (loop == NULL)
        return;
    monitor_close(&loop->monitor);
    supervisor_destroy(&loop->supervisor);
    uplink_destroy(&loop->uplink);
    free(loop->fds);
    free(loop->items);
    free(loop);
    *self = NULL;
}
