/* broker.c - see broker.h. */
#include "broker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "gate.h"
#include "lobby.h"
#include "log.h"
#include "monitor.h"
#include "wire.h"

#define MESSAGES_A_TURN 1000 /* then what is due comes first again */

struct broker {
    void *context, *socket;
    int signals; /* signalfd, or -1 */
    struct ledger *ledger;
    struct gate *gate; /* NULL: no keys */
    struct lobby *lobby;
    struct monitor *monitor;
    size_t n_endpoints;
    char endpoints[BROKER_LISTEN_MAX][256];
};

/* ---- starting and stopping -------------------------------------------------------------------------------- */

static int bind_error(struct why *why, const char *endpoint)
{
    const char *remedy = "see `nasfarm-broker --help` for the form of an endpoint";

    if (errno == EADDRINUSE)
        remedy = "another program listens there (`ss -ltnp` names it): stop it, or choose another "
                 "port; port * takes a free one";
    else if (errno == EADDRNOTAVAIL || errno == ENODEV)
        remedy = "this machine has no such address: `ip address` lists those it has";
    else if (errno == EACCES)
        remedy = "ports below 1024 need a privilege: choose a larger one";
    return why_set(why, FARM_ENET, "cannot listen on %s: %s; %s", endpoint, zmq_strerror(errno),
                   remedy);
}

static int listen_on(struct broker *self, const char *endpoint, struct why *why)
{
    char *bound = self->endpoints[self->n_endpoints];
    size_t size = sizeof self->endpoints[0];
    int ipv6 = strchr(endpoint, '[') != NULL;

    if (zmq_setsockopt(self->socket, ZMQ_IPV6, &ipv6, sizeof ipv6) < 0 ||
        zmq_bind(self->socket, endpoint) < 0 ||
        zmq_getsockopt(self->socket, ZMQ_LAST_ENDPOINT, bound, &size) < 0)
        return bind_error(why, endpoint);
    self->n_endpoints++;
    log_info("listening on %s", bound);
    return FARM_OK;
}

/* Signals are read between two turns, never in the middle of one. */
static int take_signals(struct broker *self, struct why *why)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
        (self->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)) < 0)
        return why_set(why, FARM_EIO, "cannot receive signals: %s", strerror(errno));
    return FARM_OK;
}

static int open_ledger(struct broker *self, const struct ledger_config *wanted, struct why *why);

static void write_metrics(struct metrics *out, void *ctx)
{
    const struct broker *self = ctx;

    ledger_metrics(self->ledger, out);
    lobby_metrics(self->lobby, out);
}

static int open_monitor(struct broker *self, const char *address, struct why *why)
{
    const struct monitor_pages pages = {write_metrics, NULL, self}; /* it listens, so it is ready */
    int rc = monitor_open(&self->monitor, address, &pages, why);

    if (rc != FARM_OK)
        return why_prefix(why, rc, "--metrics");
    log_info("metrics at http://%s/metrics", address);
    return FARM_OK;
}

int broker_create(struct broker **out, const struct broker_config *config, struct why *why)
{
    struct broker *self = calloc(1, sizeof *self);
    int rc;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory");
    self->signals = -1;
    if ((rc = take_signals(self, why)) != FARM_OK ||
        (rc = open_ledger(self, &config->ledger, why)) != FARM_OK)
        goto fail;
    wire_seed();
    rc = FARM_ENET;
    if ((self->context = zmq_ctx_new()) == NULL ||
        (self->socket = zmq_socket(self->context, ZMQ_ROUTER)) == NULL) {
        why_set(why, rc, "cannot open a socket: %s", zmq_strerror(errno));
        goto fail;
    }
    if ((rc = wire_socket_options(self->socket, ZMQ_ROUTER, why)) != FARM_OK)
        goto fail;
    if (config->key != NULL && (rc = gate_create(&self->gate, self->context, self->socket,
                                                 config->key, config->allow, why)) != FARM_OK)
        goto fail;
    if ((rc = lobby_create(&self->lobby, self->context, self->socket, config->key != NULL,
                           config->ledger.heartbeat_ms, why)) != FARM_OK)
        goto fail;
    for (size_t i = 0; i < config->n_listen; i++)
        if ((rc = listen_on(self, config->listen[i], why)) != FARM_OK)
            goto fail;
    if (config->metrics != NULL && (rc = open_monitor(self, config->metrics, why)) != FARM_OK)
        goto fail;
    *out = self;
    return FARM_OK;
fail:
    broker_destroy(&self);
    return rc;
}

void broker_destroy(struct broker **out)
{
    struct broker *self = *out;
    int linger = 0; /* nothing that is still to be sent is worth waiting for */

    if (self == NULL)
        return;
    if (self->socket != NULL) {
        (void)zmq_setsockopt(self->socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_close(self->socket);
    }
    lobby_destroy(&self->lobby);
    gate_destroy(&self->gate);
    monitor_close(&self->monitor);
    ledger_destroy(&self->ledger);
    if (self->context != NULL)
        zmq_ctx_term(self->context);
    if (self->signals >= 0)
        close(self->signals);
    free(self);
    *out = NULL;
}

const char *broker_endpoint(const struct broker *self, size_t i)
{
    return self->endpoints[i];
}

/* ---- between socket and ledger ---------------------------------------------------------------------------- */

static int send_to_peer(void *ctx, const zmq_msg_t *to, const struct wire_message *message)
{
    struct broker *self = ctx;
    int rc = wire_send(self->socket, to, message);

    if (rc == FARM_EBUSY && errno == EAGAIN && message->kind == WIRE_PROGRESS)
        return FARM_OK; /* may be lost; a search that waits for its disk reads none */
    if (rc == FARM_EBUSY && errno == EAGAIN)
        lobby_cut_slow(self->lobby, to);
    return rc;
}

static int open_ledger(struct broker *self, const struct ledger_config *wanted, struct why *why)
{
    struct ledger_config config = *wanted;

    if (getrandom(&config.nonce, sizeof config.nonce, 0) != (ssize_t)sizeof config.nonce)
        return why_set(why, FARM_EIO, "no random numbers from the system: %s", strerror(errno));
    config.first_lease = (uint64_t)clock_wall_ms() << 20;
    if (ledger_create(&self->ledger, &config, send_to_peer, self, clock_ms()) != FARM_OK)
        return why_set(why, FARM_ENOMEM, "out of memory");
    return FARM_OK;
}

static bool may_say(void *ctx, int connection, enum wire_kind kind)
{
    return lobby_may_say(ctx, connection, kind);
}

/* Takes one message off the socket and tells the ledger. FARM_EBUSY when there is none. */
static int take_message(struct broker *self, int64_t now_ms, struct why *why)
{
    struct wire_message message;
    struct why bad = {""};
    zmq_msg_t from;
    int rc;

    zmq_msg_init(&from);
    rc = wire_recv_if(self->socket, &from, &message, may_say, self->lobby, &bad);
    switch (rc) {
    case FARM_OK:
        lobby_spoke(self->lobby, message.connection, &from);
        if (self->gate != NULL && (rc = gate_check(self->gate, &message, &bad)) != FARM_OK)
            ledger_bad_message(self->ledger, &from, rc, &bad, now_ms);
        else
            ledger_message(self->ledger, &from, &message, now_ms);
        rc = FARM_OK;
        wire_message_release(&message);
        break;
    case FARM_EBUSY: break;
    case FARM_EDENIED: /* too often: dropped */ rc = FARM_OK; break;
    case FARM_ENET: why_set(why, rc, "the socket failed: %s", zmq_strerror(errno)); break;
    default: /* FARM_EWIRE, FARM_EVERSION, FARM_ENOMEM: that message only */
        ledger_bad_message(self->ledger, &from, rc, &bad, now_ms);
        lobby_babbled(self->lobby, message.connection);
        rc = FARM_OK;
    }
    zmq_msg_close(&from);
    return rc;
}

static int take_messages(struct broker *self, int64_t now_ms, struct why *why)
{
    int rc = FARM_OK;

    for (int i = 0; i < MESSAGES_A_TURN && rc == FARM_OK; i++)
        rc = take_message(self, now_ms, why);
    return rc == FARM_EBUSY ? FARM_OK : rc;
}

static bool told_to_stop(const struct broker *self)
{
    struct signalfd_siginfo info;

    if (read(self->signals, &info, sizeof info) != (ssize_t)sizeof info)
        return false;
    log_info("stopping on signal %u (%s); tasks go on when a broker is here again", info.ssi_signo,
             strsignal((int)info.ssi_signo));
    return true;
}

static bool still_allowed(void *ctx, const char *key, enum wire_role role)
{
    return gate_allows(ctx, key, role);
}

/* Answers who may come in, and parts from those who may no longer be here. */
static void mind_gate(struct broker *self, int64_t now_ms)
{
    if (self->gate == NULL)
        return;
    gate_turn(self->gate);
    if (gate_refresh(self->gate, now_ms))
        ledger_expel(self->ledger, still_allowed, self->gate, now_ms);
}

/* Runs until told to stop. One turn is: sleep until something comes or is due, take what came, do what is due. Only
 * zmq_poll() blocks; a slow peer never stops a turn. */
int broker_run(struct broker *self, struct why *why)
{
    int64_t due_ms = clock_ms(), lobby_due_ms;
    int rc = FARM_OK;

    while (rc == FARM_OK) {
        zmq_pollitem_t items[] = {
            {NULL, self->signals, ZMQ_POLLIN, 0},
            {self->socket, 0, ZMQ_POLLIN, 0},
            {NULL, monitor_fd(self->monitor), ZMQ_POLLIN, 0},
            {lobby_socket(self->lobby), 0, ZMQ_POLLIN, 0},
            {self->gate != NULL ? gate_socket(self->gate) : NULL, -1, ZMQ_POLLIN, 0},
        };
        int n_items = sizeof items / sizeof items[0];
        int64_t now_ms = clock_ms();

        if (zmq_poll(items, n_items, due_ms > now_ms ? (long)(due_ms - now_ms) : 0) < 0 &&
            errno != EINTR)
            return why_set(why, FARM_ENET, "cannot wait for messages: %s", zmq_strerror(errno));
        if (items[0].revents & ZMQ_POLLIN && told_to_stop(self))
            break;
        now_ms = clock_ms();                            /* one time for the whole turn */
        lobby_due_ms = lobby_turn(self->lobby, now_ms); /* strangers first: they may be many */
        mind_gate(self, now_ms);
        if (items[1].revents & ZMQ_POLLIN)
            rc = take_messages(self, now_ms, why);
        due_ms = ledger_turn(self->ledger, now_ms);
        if (due_ms > lobby_due_ms)
            due_ms = lobby_due_ms;
        if (self->gate != NULL && due_ms > now_ms + GATE_REFRESH_MS)
            due_ms = now_ms + GATE_REFRESH_MS;
        due_ms = now_ms + monitor_turn(self->monitor, due_ms - now_ms);
    }
    return rc;
}
