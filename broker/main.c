/* main.c - nasfarm-broker: the command line. */
#include <argp.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker.h"
#include "log.h"
#include "monitor.h"
#include "peer_socket.h"
#include "version.h"

#define EXIT_USAGE 2

struct options {
    struct broker_config broker;
    bool settle_given, insecure, die_with_parent, verbose;
    int ready_fd; /* -1: none */
    const char *ready_file, *address_file, *address, *health;
    char local[BROKER_LISTEN_MAX][sizeof "tcp://127.0.0.1:65535"];
};

enum {
    KEY_HEARTBEAT = 256,
    KEY_LEASE,
    KEY_SETTLE,
    KEY_STALL,
    KEY_MAX_QUEUE,
    KEY_MAX_QUEUE_MIB,
    KEY_MAX_HELD_MIB,
    KEY_MAX_LOSSES,
    KEY_STRAGGLER,
    KEY_INSECURE,
    KEY_KEY,
    KEY_ALLOW,
    KEY_READY_FD,
    KEY_READY_FILE,
    KEY_ADDRESS_FILE,
    KEY_ADDRESS,
    KEY_DIE_WITH_PARENT,
    KEY_METRICS,
    KEY_HEALTH
};

static const struct argp_option argp_options[] = {
    {"listen", 'l', "ENDPOINT", 0,
     "where peers connect (tcp://127.0.0.1:5555 unless given); up to 16 times; port * takes a free "
     "one",
     0},
    {"heartbeat", KEY_HEARTBEAT, "MS", 0, "how often peers give a sign of life (1000)", 0},
    {"lease", KEY_LEASE, "MS", 0, "silence after which a worker has lost its tasks (10 heartbeats)",
     0},
    {"settle", KEY_SETTLE, "MS", 0,
     "after the start, tasks that may be running already wait so long for their workers (2 "
     "heartbeats + 500)",
     0},
    {"stall", KEY_STALL, "MS", 0,
     "take back a task whose progress stands still for so long (0: never)", 0},
    {"max-queue", KEY_MAX_QUEUE, "N", 0, "tasks waiting per controller (twice its window)", 0},
    {"max-queue-mib", KEY_MAX_QUEUE_MIB, "MIB", 0,
     "memory for tasks that wait, all controllers together (256)", 0},
    {"max-held-mib", KEY_MAX_HELD_MIB, "MIB", 0,
     "memory for results that wait for their controller, and for paused trainings that tasks go on "
     "from (256); beyond it only the workers keep results, and such tasks wait at the controller",
     0},
    {"max-losses", KEY_MAX_LOSSES, "N", 0,
     "give a task up when so many workers were lost with it (5)", 0},
    {"straggler", KEY_STRAGGLER, "FACTOR", 0,
     "give a task that runs so many times longer than the median a second copy on a slot that is "
     "free otherwise (4; 0: "
     "never)",
     0},
    {"key", KEY_KEY, "FILE", 0,
     "speak only with peers that have keys; FILE is this broker's own, made by `nasfarm keygen` "
     "(default: "
     "$NASFARM_KEY_FILE)",
     0},
    {"allow", KEY_ALLOW, "DIR", 0,
     "the public certificates of those that may take part; looked at once a second (default: "
     "$NASFARM_ALLOW_DIR)",
     0},
    {"insecure", KEY_INSECURE, NULL, 0,
     "listen without keys on other addresses than loopback: anyone who reaches the port can take "
     "part",
     0},
    {"ready-fd", KEY_READY_FD, "FD", 0,
     "write the bound endpoints, one a line, to this file descriptor and close it", 0},
    {"ready-file", KEY_READY_FILE, "FILE", 0,
     "the same into a file, which appears when it is complete", 0},
    {"address-file", KEY_ADDRESS_FILE, "FILE", 0,
     "the same for other machines, `nasfarm-worker --broker-file FILE` on a shared folder: this "
     "machine's name in the place of *",
     0},
    {"address", KEY_ADDRESS, "HOST", 0, "and this name or address in the place of that name", 0},
    {"metrics", KEY_METRICS, "ADDRESS:PORT", 0,
     "serve /metrics (for Prometheus), /healthz and /readyz there over HTTP (default: "
     "$NASFARM_METRICS, or nowhere)",
     0},
    {"health", KEY_HEALTH, "ADDRESS:PORT", 0,
     "do not run, but ask the one whose --metrics that is: exit status 0 when it is well", 0},
    {"die-with-parent", KEY_DIE_WITH_PARENT, NULL, 0,
     "stop when the process that started this one ends", 0},
    {"verbose", 'v', NULL, 0, "log more", 0},
    {"version", 'V', "json", OPTION_ARG_OPTIONAL, "print the version and what this was built from",
     -1},
    {NULL, 0, NULL, 0, NULL, 0},
};

static const char doc[] =
    "Hands tasks from controllers to workers, and their results back. It keeps nothing on disk: "
    "killed at any "
    "moment, it is simply started again."
    "\vExamples:\n"
    "  nasfarm-broker\n"
    "        on this machine, port 5555\n"
    "  nasfarm-broker --listen 'tcp://127.0.0.1:*' --ready-file endpoint\n"
    "        on a free port, written to the file `endpoint`\n"
    "  nasfarm-broker --listen 'tcp://*:5555' --key keys/broker_secret --allow keys/allow\n"
    "        for a network, by key: docs/security.md\n"
    "  nasfarm-broker --listen 'tcp://*:5555' --insecure\n"
    "        for a whole network that you trust\n"
    "  nasfarm-broker --listen 'tcp://*:*' --address-file /shared/broker.address --key ... --allow "
    "...\n"
    "        workers find it by that file: nasfarm-worker --broker-file /shared/broker.address\n\n"
    "Exit status: 0 when stopped by SIGTERM or SIGINT, 1 on a failure, 2 on a wrong command line.\n"
    "The protocol is described in docs/protocol.md.";

/* ---- checking what a person wrote ---------------------------------------------------------------------------- */

static uint32_t number(struct argp_state *state, const char *option, const char *text,
                       uint32_t least, uint32_t most)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least ||
        value > most)
        argp_failure(state, EXIT_USAGE, 0, "--%s %s: must be a whole number from %u to %u", option,
                     text, least, most);
    return (uint32_t)value;
}

static void check_endpoint(struct argp_state *state, const char *endpoint)
{
    bool tcp = strncmp(endpoint, "tcp://", 6) == 0;
    const char *port = strrchr(endpoint, ':');

    if (!tcp && strncmp(endpoint, "ipc://", 6) != 0)
        argp_failure(state, EXIT_USAGE, 0, "--listen %s: must be tcp://ADDRESS:PORT or ipc://PATH",
                     endpoint);
    if (tcp && (port == endpoint + 3 ||
                (strcmp(port, ":*") != 0 && strspn(port + 1, "0123456789") != strlen(port + 1)) ||
                port[1] == '\0' || strlen(port) > 6 || strtol(port + 1, NULL, 10) > 65535))
        argp_failure(state, EXIT_USAGE, 0,
                     "--listen %s: the port is missing or not a number up to 65535 (or *)",
                     endpoint);
}

/* It goes between tcp:// and the port. */
static const char *check_address(struct argp_state *state, const char *host)
{
    if (host[0] == '\0' || strpbrk(host, "/* \t\r\n") != NULL)
        argp_failure(state, EXIT_USAGE, 0,
                     "--address %s: must be a host's name or number, without tcp:// and port",
                     host);
    return host;
}

/* libzmq listens on numbers and interfaces, not on names; but everyone types this one. */
static const char *numeric(const char *endpoint, char local[sizeof "tcp://127.0.0.1:65535"])
{
    static const char named[] = "tcp://localhost";

    if (strncmp(endpoint, named, sizeof named - 1) != 0)
        return endpoint;
    (void)snprintf(local, sizeof "tcp://127.0.0.1:65535", "tcp://127.0.0.1%s",
                   endpoint + sizeof named - 1);
    return local;
}

/* From the environment, too. One without the other protects nothing. */
static void take_keys(struct argp_state *state, struct options *o)
{
    struct peer_keys keys = {o->broker.key, NULL, o->insecure};
    const char *allow = o->broker.allow != NULL ? o->broker.allow : getenv("NASFARM_ALLOW_DIR");

    peer_keys_from_environment(&keys);
    o->broker.key = keys.key != NULL && keys.key[0] != '\0' ? keys.key : NULL;
    o->broker.allow = allow != NULL && allow[0] != '\0' ? allow : NULL;
    o->insecure = keys.insecure;
    if ((o->broker.key == NULL) != (o->broker.allow == NULL))
        argp_failure(state, EXIT_USAGE, 0,
                     "%s is missing: --key FILE is this broker's own key, --allow DIR holds those "
                     "of its peers",
                     o->broker.key == NULL ? "--key" : "--allow");
}

static void check_together(struct argp_state *state, struct options *o)
{
    struct ledger_config *c = &o->broker.ledger;

    if (o->broker.n_listen == 0)
        o->broker.listen[o->broker.n_listen++] = "tcp://127.0.0.1:5555";
    take_keys(state, o);
    for (size_t i = 0; i < o->broker.n_listen && !o->insecure && o->broker.key == NULL; i++)
        if (!peer_endpoint_is_local(o->broker.listen[i]))
            argp_failure(state, EXIT_USAGE, 0,
                         "--listen %s: not a loopback address, so anyone who reaches the port "
                         "could take part: give --key and --allow (`nasfarm keygen` makes them), "
                         "or --insecure on a network you trust",
                         o->broker.listen[i]);
    if (c->lease_ms == 0)
        c->lease_ms = 10 * c->heartbeat_ms;
    if (c->lease_ms < 2 * c->heartbeat_ms)
        argp_failure(state, EXIT_USAGE, 0,
                     "--lease %u: must be at least two heartbeats (--heartbeat %u)", c->lease_ms,
                     c->heartbeat_ms);
    if (!o->settle_given)
        c->settle_ms = 2 * c->heartbeat_ms + 500;
}

static int say_version(const char *format)
{
    const struct version_fact libraries[] = {{"libmicrohttpd", monitor_library_version()},
                                             {NULL, NULL}};

    return version_main(&(struct version){"nasfarm-broker", libraries, NULL}, format);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    struct ledger_config *c = &o->broker.ledger;

    switch (key) {
    case 'l':
        if (o->broker.n_listen == BROKER_LISTEN_MAX)
            argp_failure(state, EXIT_USAGE, 0, "--listen %s: at most %d endpoints", arg,
                         BROKER_LISTEN_MAX);
        check_endpoint(state, arg);
        o->broker.listen[o->broker.n_listen] = numeric(arg, o->local[o->broker.n_listen]);
        o->broker.n_listen++;
        break;
    case KEY_HEARTBEAT: c->heartbeat_ms = number(state, "heartbeat", arg, 10, 600000); break;
    case KEY_LEASE: c->lease_ms = number(state, "lease", arg, 20, 86400000); break;
    case KEY_SETTLE:
        c->settle_ms = number(state, "settle", arg, 0, 3600000);
        o->settle_given = true;
        break;
    case KEY_STALL: c->stall_ms = number(state, "stall", arg, 0, 86400000); break;
    case KEY_MAX_QUEUE: c->max_queue = number(state, "max-queue", arg, 1, LEDGER_QUEUE_MAX); break;
    case KEY_MAX_QUEUE_MIB:
        c->max_queue_bytes = (uint64_t)number(state, "max-queue-mib", arg, 1, 1u << 20) << 20;
        break;
    case KEY_MAX_HELD_MIB:
        c->max_held_bytes = (uint64_t)number(state, "max-held-mib", arg, 1, 1u << 20) << 20;
        break;
    case KEY_MAX_LOSSES: c->max_losses = number(state, "max-losses", arg, 1, 1000000); break;
    case KEY_STRAGGLER: c->straggler = number(state, "straggler", arg, 0, 1000000); break;
    case KEY_INSECURE: o->insecure = true; break;
    case KEY_KEY: o->broker.key = arg; break;
    case KEY_ALLOW: o->broker.allow = arg; break;
    case KEY_READY_FD: o->ready_fd = (int)number(state, "ready-fd", arg, 0, INT_MAX); break;
    case KEY_METRICS: o->broker.metrics = arg; break;
    case KEY_HEALTH: o->health = arg; break;
    case KEY_READY_FILE: o->ready_file = arg; break;
    case KEY_ADDRESS_FILE: o->address_file = arg; break;
    case KEY_ADDRESS: o->address = check_address(state, arg); break;
    case KEY_DIE_WITH_PARENT: o->die_with_parent = true; break;
    case 'v': o->verbose = true; break;
    case 'V': exit(say_version(arg));
    case ARGP_KEY_ARG:
        argp_failure(state, EXIT_USAGE, 0, "'%s': this program takes options only; see --help",
                     arg);
        break;
    case ARGP_KEY_END: check_together(state, o); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* ---- being ready ------------------------------------------------------------------------------------------------ */

/* A line: the endpoint as it is bound, or, for a peer elsewhere, where it finds it. host NULL: as it is bound. */
static void write_endpoint(const char *endpoint, const char *host, FILE *file)
{
    bool everywhere =
        strncmp(endpoint, "tcp://0.0.0.0:", 14) == 0 || strncmp(endpoint, "tcp://[::]:", 11) == 0;

    if (host != NULL && everywhere)
        (void)fprintf(file, "tcp://%s%s\n", host, strrchr(endpoint, ':'));
    else
        (void)fprintf(file, "%s\n", endpoint);
}

static int write_endpoints(const struct broker *broker, size_t n, const char *host, FILE *file)
{
    for (size_t i = 0; i < n; i++)
        write_endpoint(broker_endpoint(broker, i), host, file);
    return fclose(file); /* says whether all of it was written */
}

/* Complete, or not there: written beside, then renamed. */
static int write_file(const struct broker *broker, size_t n, const char *host, const char *option,
                      const char *path, struct why *why)
{
    char beside[PATH_MAX];
    FILE *file;

    if (snprintf(beside, sizeof beside, "%s.%d", path, (int)getpid()) >= (int)sizeof beside)
        return why_set(why, FARM_EINPUT, "%s: the path is too long", option);
    if ((file = fopen(beside, "we")) == NULL || write_endpoints(broker, n, host, file) != 0 ||
        rename(beside, path) != 0) {
        int rc = why_set(why, FARM_EIO, "%s %s: %s; is the folder there, and writable?", option,
                         path, strerror(errno));

        (void)unlink(beside);
        return rc;
    }
    return FARM_OK;
}

static int say_ready(const struct broker *broker, const struct options *o, struct why *why)
{
    char name[HOST_NAME_MAX + 1] = "";
    size_t n = o->broker.n_listen;
    FILE *file;
    int rc = FARM_OK;

    (void)gethostname(name, sizeof name - 1);
    if (o->ready_file != NULL)
        rc = write_file(broker, n, NULL, "--ready-file", o->ready_file, why);
    if (rc == FARM_OK && o->address_file != NULL)
        rc = write_file(broker, n, o->address != NULL ? o->address : name, "--address-file",
                        o->address_file, why);
    if (rc == FARM_OK && o->ready_fd >= 0 &&
        ((file = fdopen(o->ready_fd, "w")) == NULL || write_endpoints(broker, n, NULL, file) != 0))
        return why_set(why, FARM_EIO, "--ready-fd %d: %s", o->ready_fd, strerror(errno));
    return rc;
}

/* ---- the process ------------------------------------------------------------------------------------------------- */

/* A connection is a file descriptor: as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Stops with the parent, also when that has ended before we could ask for it. */
static void follow_parent(pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        (void)raise(SIGTERM);
}

int main(int argc, char **argv)
{
    static const struct argp argp = {argp_options, parse, NULL, doc, NULL, NULL, NULL};
    struct options options = {.ready_fd = -1};
    struct broker *broker = NULL;
    struct why why = {""};
    pid_t parent = getppid();
    int rc;

    ledger_config_init(&options.broker.ledger);
    options.broker.ledger.lease_ms = 0; /* not given */
    argp_err_exit_status = EXIT_USAGE;
    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return EXIT_USAGE;
    if (options.health != NULL)
        return monitor_health("nasfarm-broker", options.health);
    if (options.broker.metrics == NULL)
        options.broker.metrics = monitor_default();
    log_open("nasfarm-broker", options.verbose ? LOG_DEBUG : LOG_INFO);
    raise_file_limit();
    if ((rc = broker_create(&broker, &options.broker, &why)) == FARM_OK) {
        if (options.die_with_parent)
            follow_parent(parent);
        if ((rc = say_ready(broker, &options, &why)) == FARM_OK)
            rc = broker_run(broker, &why);
    }
    broker_destroy(&broker);
    if (rc != FARM_OK)
        (void)fprintf(stderr, "nasfarm-broker: %s\n", why.text);
    return rc == FARM_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
