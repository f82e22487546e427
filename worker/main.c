/* nasfarm-worker: evaluates networks for a broker. See supervisor.h. */
#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "kernels.h"
#include "log.h"
#include "monitor.h"
#include "quota.h"
#include "supervisor_loop.h"
#include "tabular.h"
#include "worker_version.h"

#define EXIT_USAGE       2
#define LONGEST_S        (40u * 86400u)
#define SUPERVISOR_BYTES (32u << 20) /* beside the data: messages, results that are kept */

static const char summary[] =
    "Evaluates networks for the broker of a nasfarm.\v"
    "Data sets (SPEC is [NAME=]FORMAT[:PATH]):\n"
    "  digits             built in: 1,797 images of 8x8 pixels\n"
    "  idx:DIR            MNIST's files, plain or .gz\n"
    "  cifar:PATH         CIFAR-10's binary files\n"
    "  npz:FILE  npy:X,Y  NumPy arrays\n"
    "  csv:FILE           one image a line, the label last\n"
    "\n"
    "S is a number of seconds, or a duration like 90s, 15m, 2h, 1d.\n"
    "\n"
    "Examples:\n"
    "  nasfarm-worker --broker tcp://127.0.0.1:5555 --data digits\n"
    "  nasfarm-worker --broker tcp://127.0.0.1:5555 --data idx:/data/mnist --slots 4\n"
    "  nasfarm-worker --broker tcp://127.0.0.1:5555 --exec 'python3 train.py'\n"
    "\n"
    "SIGTERM or Ctrl-C drains: what runs is finished, what waits is handed back; a second one "
    "hands back all.\n"
    "Exit status: 0 drained, 1 failure, 2 wrong usage.";

enum {
    OPTION_EXEC = 256,
    OPTION_EVALUATOR,
    OPTION_TABLE,
    OPTION_MEMORY,
    OPTION_TIME,
    OPTION_STALL,
    OPTION_IDLE,
    OPTION_FILE,
    OPTION_DIE,
    OPTION_AHEAD,
    OPTION_DRAIN,
    OPTION_CONNECT,
    OPTION_METRICS,
    OPTION_HEALTH,
    OPTION_KEY,
    OPTION_SERVER_KEY,
    OPTION_INSECURE
};

static const struct argp_option options[] = {
    {"broker", 'b', "ENDPOINT", 0, "where the broker listens, e.g. tcp://127.0.0.1:5555", 0},
    {"broker-file", OPTION_FILE, "FILE", 0, "read that from FILE, again at each new connection", 0},
    {"key", OPTION_KEY, "FILE", 0,
     "this worker's key, made by `nasfarm keygen` (default: $NASFARM_KEY_FILE)", 0},
    {"server-key", OPTION_SERVER_KEY, "FILE", 0,
     "the broker's public certificate (default: $NASFARM_SERVER_KEY_FILE)", 0},
    {"insecure", OPTION_INSECURE, NULL, 0,
     "speak without keys to a broker on another machine (default: $NASFARM_INSECURE)", 0},
    {"slots", 's', "N", 0, "evaluations at once (default: the CPUs this process may use)", 0},
    {"ahead", OPTION_AHEAD, "N", 0, "tasks waiting in hand (default: as many as slots)", 0},
    {"name", 'n', "NAME", 0, "of this worker: letters, digits, . _ - (default: HOST-PID)", 0},
    {"data", 'd', "SPEC", 0, "a data set to offer; may be repeated", 0},
    {"evaluator", OPTION_EVALUATOR, "KIND", 0,
     "train (default), exec (with --exec), synthetic[:MIN-MAX]: no training, MIN to MAX ms each, "
     "or table:... (as "
     "--table)",
     0},
    {"table", OPTION_TABLE, "FILE,K=V...", 0,
     "no training: look the result up in a tabular benchmark, by fitness=COLUMN, key=COLUMN "
     "(arch), seconds=, test=, "
     "skip=, scale=X, speed=X (the recorded time, so many times faster; default: in no time)",
     0},
    {"exec", OPTION_EXEC, "COMMAND", 0,
     "evaluate with this command: the task as JSON on its input, results as JSON lines", 0},
    {"memory", OPTION_MEMORY, "MB", 0,
     "limit of one evaluation (default: a slot's share of the control group's limit; none where "
     "that "
     "has none)",
     0},
    {"time-limit", OPTION_TIME, "S", 0, "limit of one evaluation (default: none)", 0},
    {"stall", OPTION_STALL, "S", 0,
     "an evaluation without progress for so long is ended (default: 300; 0: never)", 0},
    {"idle-exit", OPTION_IDLE, "S", 0, "drain and end after so long without work", 0},
    {"drain-timeout", OPTION_DRAIN, "S", 0,
     "told to stop, hand back what still runs after so long (default: finish it)", 0},
    {"connect-timeout", OPTION_CONNECT, "S", 0,
     "end with status 1 when no broker answers for so long (default: keep trying)", 0},
    {"metrics", OPTION_METRICS, "ADDRESS:PORT", 0,
     "serve /metrics (for Prometheus), /healthz and /readyz there over HTTP (default: "
     "$NASFARM_METRICS, or nowhere)",
     0},
    {"health", OPTION_HEALTH, "ADDRESS:PORT", 0,
     "do not run, but ask the one whose --metrics that is: exit status 0 when it is well", 0},
    {"die-with-parent", OPTION_DIE, NULL, OPTION_HIDDEN,
     "end when the process that started this one ends", 0},
    {"verbose", 'v', NULL, 0, "say more", 0},
    {"version", 'V', "json", OPTION_ARG_OPTIONAL, "print the version and what this was built from",
     -1},
    {0}};

struct arguments {
    struct supervisor_options o;
    const char *specs[WIRE_DATA_MAX];
    size_t n_specs;
    bool ahead_given, die_with_parent, verbose, train, needs_exec;
    const char *table; /* NULL: none */
};

static uint32_t number(const struct argp_state *state, const char *option, const char *text,
                       uint32_t least, uint32_t most)
{
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' || v < least || v > most)
        argp_error(state, "--%s %s: must be a whole number from %u to %u", option, text, least,
                   most);
    return (uint32_t)v;
}

/* Seconds; with a unit where that is more readable. */
static uint32_t duration(const struct argp_state *state, const char *option, const char *text,
                         uint32_t least)
{
    static const struct {
        const char *unit;
        uint32_t seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    char *end;
    unsigned long v;

    errno = 0;
    v = strtoul(text, &end, 10);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (errno == 0 && isdigit((unsigned char)text[0]) && strcmp(end, units[i].unit) == 0 &&
            v >= least && v <= LONGEST_S / units[i].seconds)
            return (uint32_t)v * units[i].seconds;
    argp_error(state, "--%s %s: must be %u or more seconds, or like 90s, 15m, 2h, 1d; at most 40d",
               option, text, least);
    return 0;
}

static void take_evaluator(const struct argp_state *state, struct arguments *a, const char *text)
{
    struct supervisor_options *o = &a->o;
    unsigned long least, most;
    char *end;

    a->train = strcmp(text, "train") == 0;
    a->needs_exec = strcmp(text, "exec") == 0;
    a->table = strncmp(text, "table:", 6) == 0 ? text + 6 : NULL;
    o->synthetic = false;
    if (a->train || a->needs_exec || a->table != NULL)
        return;
    o->synthetic = true;
    if (strcmp(text, "synthetic") == 0)
        return;
    if (strncmp(text, "synthetic:", 10) != 0 || !isdigit((unsigned char)text[10]))
        argp_error(state,
                   "--evaluator %s: must be train, exec, synthetic[:MIN-MAX] or table:FILE,...",
                   text);
    least = strtoul(text + 10, &end, 10);
    most = end[0] == '-' && isdigit((unsigned char)end[1]) ? strtoul(end + 1, &end, 10) : 0;
    if (*end != '\0' || least > most || most < 1 || most > 86400000)
        argp_error(state,
                   "--evaluator %s: must be synthetic:MIN-MAX, in milliseconds, MIN at most MAX",
                   text);
    o->least_ms = (uint32_t)least;
    o->most_ms = (uint32_t)most;
}

static error_t take_option(int key, char *arg, struct argp_state *state)
{
    struct arguments *a = state->input;

    switch (key) {
    case 'b': a->o.broker = arg; break;
    case OPTION_FILE: a->o.broker_file = arg; break;
    case 's': a->o.slots = number(state, "slots", arg, 1, LIMIT_SLOTS); break;
    case OPTION_AHEAD:
        a->o.ahead = number(state, "ahead", arg, 0, LIMIT_SLOTS);
        a->ahead_given = true;
        break;
    case 'n':
        if (!wire_name_ok(arg))
            argp_error(state, "--name %s: must be 1 to %u of the characters A-Z a-z 0-9 . _ -", arg,
                       LIMIT_NAME);
        (void)snprintf(a->o.name, sizeof a->o.name, "%s", arg);
        break;
    case 'd':
        if (a->n_specs == WIRE_DATA_MAX)
            argp_error(state, "--data: at most %d data sets", WIRE_DATA_MAX);
        a->specs[a->n_specs++] = arg;
        break;
    case OPTION_EVALUATOR: take_evaluator(state, a, arg); break;
    case OPTION_TABLE: a->table = arg; break;
    case OPTION_EXEC: a->o.limits.exec = arg; break;
    case OPTION_MEMORY: a->o.limits.memory_mb = number(state, "memory", arg, 1, UINT32_MAX); break;
    case OPTION_TIME: a->o.limits.time_limit_s = duration(state, "time-limit", arg, 1); break;
    case OPTION_STALL: a->o.limits.stall_s = duration(state, "stall", arg, 0); break;
    case OPTION_IDLE: a->o.idle_exit_s = duration(state, "idle-exit", arg, 1); break;
    case OPTION_DRAIN: a->o.drain_timeout_s = duration(state, "drain-timeout", arg, 1); break;
    case OPTION_CONNECT: a->o.connect_timeout_s = duration(state, "connect-timeout", arg, 1); break;
    case OPTION_METRICS: a->o.metrics = arg; break;
    case OPTION_HEALTH: exit(monitor_health("nasfarm-worker", arg));
    case OPTION_KEY: a->o.keys.key = arg; break;
    case OPTION_SERVER_KEY: a->o.keys.server_key = arg; break;
    case OPTION_INSECURE: a->o.keys.insecure = true; break;
    case OPTION_DIE: a->die_with_parent = true; break;
    case 'v': a->verbose = true; break;
    case 'V': exit(worker_version(arg));
    case ARGP_KEY_ARG: argp_error(state, "'%s': nothing is expected here", arg); break;
    case ARGP_KEY_END:
        if ((a->o.broker == NULL) == (a->o.broker_file == NULL))
            argp_error(state, "one of --broker ENDPOINT and --broker-file FILE is needed");
        if ((a->o.synthetic || a->train) && a->o.limits.exec != NULL)
            argp_error(state, "--exec and --evaluator %s exclude each other",
                       a->train ? "train" : "synthetic");
        if (a->table != NULL &&
            (a->o.synthetic || a->train || a->needs_exec || a->o.limits.exec != NULL))
            argp_error(state, "--table and another evaluator exclude each other");
        if (a->needs_exec && a->o.limits.exec == NULL)
            argp_error(state, "--evaluator exec needs --exec COMMAND");
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

/* A slot's share of what this container may use, once the data is loaded: the evaluator that would go beyond fails alone,
 * with its reason, where the kernel would kill any process here. */
static void share_memory(struct supervisor_options *o)
{
    uint64_t all = quota_memory(""), used = quota_resident() + SUPERVISOR_BYTES, share;

    if (all == 0 || o->limits.memory_mb > 0)
        return;
    share = (all > used ? all - used : 0) / o->slots >> 20;
    o->limits.memory_mb = share > 0 ? (uint32_t)share : 1;
    log_info("memory: %u MB an evaluation, of %" PRIu64 " MB that this control group may use",
             o->limits.memory_mb, all >> 20);
}

/* HOST-PID, of the characters that a name may have. */
static void default_name(char *name, size_t size)
{
    char host[LIMIT_NAME - 11] = "worker";

    (void)gethostname(host, sizeof host - 1);
    host[sizeof host - 1] = '\0';
    for (char *p = host; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '.' && *p != '-')
            *p = '-';
    /* The first process of a container is always 1: a start of its own must not be taken for the one before. */
    if (getpid() == 1)
        (void)snprintf(name, size, "%s-%06x", host[0] != '\0' ? host : "worker",
                       (unsigned)clock_wall_ms() & 0xffffff);
    else
        (void)snprintf(name, size, "%s-%d", host[0] != '\0' ? host : "worker", (int)getpid());
}

/* Both signals arrive as readable bytes, between turns; a child's end wakes the loop, too. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int open_data(struct arguments *a, struct dataset **sets, struct why *why)
{
    for (size_t i = 0; i < a->n_specs; i++) {
        int rc = dataset_open(&sets[i], a->specs[i], why);

        if (rc != FARM_OK)
            return rc;
        a->o.n_data = i + 1;
        log_info("data set %s: %u images of %ux%ux%u, %u classes%s", sets[i]->name, sets[i]->n,
                 sets[i]->h, sets[i]->w, sets[i]->c, sets[i]->classes,
                 sets[i]->n_test > 0 ? ", with a test part" : "");
    }
    return FARM_OK;
}

int main(int argc, char **argv)
{
    struct arguments a = {.o = {.limits = {.stall_s = 300}}};
    struct argp argp = {options, take_option, NULL, summary, NULL, NULL, NULL};
    struct dataset *sets[WIRE_DATA_MAX] = {NULL};
    struct supervisor_loop *supervisor = NULL;
    struct tabular *table = NULL;
    struct why why = {""};
    pid_t parent = getppid();
    int rc;

    /* One slot, one thread. OpenBLAS reads this when it is loaded, which was before main(): start again with it. */
    if (getenv("OPENBLAS_NUM_THREADS") == NULL) {
        (void)setenv("OPENBLAS_NUM_THREADS", "1", 1);
        (void)execv("/proc/self/exe", argv);
    }
    (void)prctl(PR_SET_NAME,
                "nasfarm-worker"); /* started as /proc/self/exe, it is "exe" to ps and pkill */
    argp_err_exit_status = EXIT_USAGE;
    (void)argp_parse(&argp, argc, argv, 0, NULL, &a);
    log_open("nasfarm-worker", a.verbose ? LOG_DEBUG : LOG_INFO);
    if (a.die_with_parent) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            return 1;
    }
    if (a.o.slots == 0)
        a.o.slots = quota_cpus("");
    if (!a.ahead_given)
        a.o.ahead = a.o.slots;
    if (a.o.name[0] == '\0')
        default_name(a.o.name, sizeof a.o.name);
    a.o.data = sets;
    peer_keys_from_environment(&a.o.keys);
    if (a.o.metrics == NULL)
        a.o.metrics = monitor_default();
    if ((rc = open_data(&a, sets, &why)) == FARM_OK && a.table != NULL &&
        (rc = tabular_open(&table, a.table, &why)) != FARM_OK)
        (void)why_prefix(&why, rc, "--table");
    a.o.table = table;
    if (rc == FARM_OK) {
        if (!a.o.synthetic && a.o.table == NULL && a.o.limits.exec == NULL)
            kernels_take_buffer();
        share_memory(&a.o);
        if ((a.o.signals = open_signals()) < 0)
            rc = why_set(&why, FARM_EIO, "cannot take signals: %s", strerror(errno));
        else if ((rc = supervisor_loop_create(&supervisor, &a.o, &why)) == FARM_OK)
            rc = supervisor_loop_run(supervisor, &why);
    }
    if (rc != FARM_OK)
        log_error("%s", why.text);
    supervisor_loop_destroy(&supervisor);
    tabular_close(&table);
    for (size_t i = 0; i < WIRE_DATA_MAX; i++)
        dataset_close(&sets[i]);
    return rc == FARM_OK ? 0 : rc == FARM_EINPUT ? EXIT_USAGE : 1;
}
