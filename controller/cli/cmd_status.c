/* cmd_status.c - how far a search is, read from its store; or who is on a farm, asked of its broker. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "look.h"
#include "peer_socket.h"
#include "text.h"

#define ANSWER_MS 5000

struct status_args {
    const char *dir, *broker;
    struct peer_keys keys;
    bool json;
};

enum { KEY_KEY = 256, KEY_SERVER_KEY, KEY_INSECURE };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct status_args *args = state->input;
    switch (key) {
    case 'b': args->broker = arg; return 0;
    case 'j': args->json = true; return 0;
    case KEY_KEY: args->keys.key = arg; return 0;
    case KEY_SERVER_KEY: args->keys.server_key = arg; return 0;
    case KEY_INSECURE: args->keys.insecure = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->dir = arg;
        return 0;
    case ARGP_KEY_END:
        if ((args->dir == NULL) == (args->broker == NULL))
            argp_error(state, "give a run's folder, or --broker ENDPOINT");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ------------------------------------------------------------------ a run */

struct tally {
    uint64_t ok, members;
    uint64_t best_trial;
    double best, sum;
};

static bool count_ok(uint64_t trial, double fitness, void *ctx)
{
    struct tally *tally = ctx;
    (void)trial, (void)fitness;
    tally->ok++;
    return true;
}

static bool count_member(uint64_t serial, uint64_t trial, double fitness, void *ctx)
{
    struct tally *tally = ctx;
    (void)serial, (void)trial;
    tally->members++;
    tally->sum += fitness;
    return true;
}

static int find_best(const struct look *look, struct tally *tally)
{
    struct trial_record record;
    int rc = look_best(look, &tally->best_trial);
    if (rc != FARM_OK || tally->best_trial == UINT64_MAX)
        return rc;
    if ((rc = store_get_trial(look->store, tally->best_trial, &record)) != FARM_OK)
        return rc;
    tally->best = record.result.fitness;
    trial_record_release(&record);
    return FARM_OK;
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
    printf("\n");
    json_decref(json);
}

/* What the space was scaled to; a space without a skeleton of cells has options instead. */
static void print_space(const struct space_config *c)
{
    printf("  space       %s", c->name);
    if (c->channels > 0)
        printf(", %" PRIu32 " channels, %" PRIu32 " cells a stage, %" PRIu32 " stages", c->channels,
               c->cells, c->stages);
    if (c->options[0] != '\0')
        printf(" (%s)", c->options);
    if (c->tune[0] != '\0')
        printf(", tuning %s", c->tune);
    printf("\n");
}

static void print_run(const struct look *look, const struct tally *tally, const char *dir)
{
    const struct experiment_config *c = &look->config;
    uint64_t proposed = store_n_trials(look->store), done = store_n_done(look->store), final_trial;
    struct result final;
    char bytes[16];
    printf("%s in %s\n", c->name, dir);
    printf("  data        %s (%" PRIu32 "x%" PRIu32 "x%" PRIu32 ", %" PRIu32 " classes)\n",
           c->data.name, c->data.h, c->data.w, c->data.c, c->data.classes);
    print_space(&look->space->config);
    printf("  strategy    %s%s%s\n", c->strategy, c->strategy_options[0] ? ", " : "",
           c->strategy_options);
    if (c->scheduler[0] != '\0' && strcmp(c->scheduler, "full") != 0)
        printf("  scheduler   %s%s%s\n", c->scheduler, c->scheduler_options[0] ? ", " : "",
               c->scheduler_options);
    printf("  trials      %" PRIu64 " recorded (%" PRIu64 " failed), %" PRIu64 " pending, %" PRIu64
           " wanted\n",
           done, done - tally->ok, proposed - done, c->trials);
    if (tally->ok > 0)
        printf("  best        %.4f (trial %" PRIu64 ")\n", tally->best, tally->best_trial);
    if (tally->members > 0)
        printf("  population  %" PRIu64 ", mean %.4f\n", tally->members,
               tally->sum / (double)tally->members);
    if (look_final(look, &final_trial, &final) == FARM_OK) {
        if (final.outcome == OUTCOME_OK)
            printf("  tested      %.4f +- %.4f (trial %" PRIu64 ")\n", final.test_accuracy,
                   text_standard_error(final.test_accuracy, final.n_test), final_trial);
        else
            printf("  tested      failed: %s (trial %" PRIu64 ")\n", final.reason, final_trial);
    }
    text_bytes(store_bytes(look->store), bytes);
    printf("  store       %s\n", bytes);
}

static json_t *run_json(const struct look *look, const struct tally *tally)
{
    const struct experiment_config *c = &look->config;
    uint64_t proposed = store_n_trials(look->store), done = store_n_done(look->store), final_trial;
    struct result final;
    json_t *out = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:I,s:o,s:I}", "name", c->name,
        "data", c->data.name, "space", c->space.name, "strategy", c->strategy, "strategy_options",
        c->strategy_options, "scheduler", c->scheduler[0] != '\0' ? c->scheduler : "full",
        "scheduler_options", c->scheduler_options, "trials", (json_int_t)c->trials, "proposed",
        (json_int_t)proposed, "done", (json_int_t)done, "failed", (json_int_t)(done - tally->ok),
        "best", tally->ok > 0 ? number(tally->best) : json_null(), "best_trial",
        tally->ok > 0 ? json_integer((json_int_t)tally->best_trial) : json_null(), "population",
        (json_int_t)tally->members, "population_mean",
        tally->members > 0 ? number(tally->sum / (double)tally->members) : json_null(),
        "store_bytes", (json_int_t)store_bytes(look->store));
    if (out != NULL && look_final(look, &final_trial, &final) == FARM_OK) {
        json_object_set_new(out, "final_trial", json_integer((json_int_t)final_trial));
        json_object_set_new(out, "final_outcome", json_string(outcome_name(final.outcome)));
        json_object_set_new(out, "test_accuracy", number(final.test_accuracy));
    }
    return out;
}

static int status_of_run(const struct status_args *args)
{
    struct look look;
    struct tally tally = {0};
    struct why why = {""};
    int rc = look_open(&look, args->dir, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    if ((rc = store_each_best(look.store, count_ok, &tally)) == FARM_OK &&
        (rc = store_each_population(look.store, count_member, &tally)) == FARM_OK)
        rc = find_best(&look, &tally);
    if (rc != FARM_OK)
        rc = cli_fail(rc, &why);
    else if (args->json)
        print_json(run_json(&look, &tally));
    else
        print_run(&look, &tally, args->dir);
    look_close(&look);
    return rc;
}

/* ------------------------------------------------------------------ a farm */

static const char *role_name(enum wire_role role)
{
    return role == WIRE_CONTROLLER ? "controller" : role == WIRE_WORKER ? "worker" : "observer";
}

static void print_farm(const struct wire_status *s, const char *endpoint)
{
    char up[24], silent[24];
    text_duration((double)s->uptime_ms / 1000.0, up, sizeof up);
    printf("broker %s, up %s\n", endpoint, up);
    printf("  %" PRIu32 " workers with %" PRIu32 " slots, %" PRIu32 " busy; %" PRIu32
           " tasks waiting; %" PRIu32 " controllers\n",
           s->workers, s->slots, s->busy, s->queued, s->controllers);
    printf("  %" PRIu64 " results, %" PRIu64 " of them twice; %" PRIu64
           " tasks queued again; %" PRIu64 " malformed messages; slots busy %.1f %%\n",
           s->done, s->duplicates, s->requeued, s->malformed, 100 * s->busy_share);
    if (s->n_peers > 0)
        printf("  %-10s  %-32s  %5s  %5s  %5s  %10s  %s\n", "role", "name", "slots", "busy", "held",
               "results", "last heard");
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct wire_peer_status *p = &s->peers[i];
        text_duration((double)p->silent_ms / 1000.0, silent, sizeof silent);
        printf("  %-10s  %-32s  %5" PRIu32 "  %5" PRIu32 "  %5" PRIu32 "  %10" PRIu64
               "  %s ago%s\n",
               role_name(p->role), p->name, p->slots, p->busy, p->held, p->done, silent,
               p->draining ? ", draining" : "");
    }
}

static json_t *farm_json(const struct wire_status *s)
{
    json_t *peers = json_array();
    for (size_t i = 0; i < s->n_peers; i++) {
        const struct wire_peer_status *p = &s->peers[i];
        json_array_append_new(
            peers, json_pack("{s:s,s:s,s:i,s:i,s:i,s:I,s:I,s:b}", "role", role_name(p->role),
                             "name", p->name, "slots", (int)p->slots, "busy", (int)p->busy, "held",
                             (int)p->held, "results", (json_int_t)p->done, "silent_ms",
                             (json_int_t)p->silent_ms, "draining", (int)p->draining));
    }
    return json_pack("{s:I,s:i,s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:I,s:o,s:o}", "uptime_ms",
                     (json_int_t)s->uptime_ms, "workers", (int)s->workers, "slots", (int)s->slots,
                     "busy", (int)s->busy, "queued", (int)s->queued, "controllers",
                     (int)s->controllers, "results", (json_int_t)s->done, "duplicates",
                     (json_int_t)s->duplicates, "requeued", (json_int_t)s->requeued, "malformed",
                     (json_int_t)s->malformed, "busy_share", number(s->busy_share), "peers", peers);
}

static int say(void *socket, enum wire_kind kind)
{
    struct wire_message message;
    wire_message_init(&message, kind);
    if (kind == WIRE_HELLO) {
        message.u.hello.role = WIRE_OBSERVER;
        snprintf(message.u.hello.name, sizeof message.u.hello.name, "status-%08" PRIx32,
                 randombytes_random());
        randombytes_buf(&message.u.hello.incarnation, sizeof message.u.hello.incarnation);
        strncpy(message.u.hello.version, NASFARM_VERSION, sizeof message.u.hello.version - 1);
    }
    int rc = wire_send(socket, NULL, &message);
    wire_message_release(&message);
    return rc;
}

/* HELLO, WELCOME, STATUS, STATUS, GOODBYE. */
static int ask_broker(void *socket, const char *endpoint, struct wire_message *answer,
                      struct why *why)
{
    int64_t until = clock_ms() + ANSWER_MS;
    bool greeted = false;
    for (int64_t left; (left = until - clock_ms()) > 0;) {
        zmq_pollitem_t item = {socket, 0, (short)(greeted ? ZMQ_POLLIN : ZMQ_POLLIN | ZMQ_POLLOUT),
                               0};
        zmq_poll(&item, 1, (long)left);
        if (!greeted)
            greeted = say(socket, WIRE_HELLO) == FARM_OK;
        int rc = wire_recv(socket, NULL, answer, why);
        if (rc == FARM_EBUSY)
            continue;
        if (rc != FARM_OK)
            return why_prefix(why, rc, "the answer of %s", endpoint);
        if (answer->kind == WIRE_STATUS)
            return FARM_OK;
        if (answer->kind == WIRE_REFUSE) {
            rc = why_set(why, FARM_ENET, "the broker at %s refuses: %s", endpoint,
                         answer->u.refuse.sentence);
            wire_message_release(answer);
            return rc;
        }
        bool welcome = answer->kind == WIRE_WELCOME;
        wire_message_release(answer);
        if (welcome)
            say(socket, WIRE_STATUS);
    }
    return why_set(why, FARM_ENET,
                   "no broker answers at %s within %d s; is nasfarm-broker running there?",
                   endpoint, ANSWER_MS / 1000);
}

static int status_of_farm(const struct status_args *args)
{
    struct why why = {""};
    struct wire_message answer;
    wire_message_init(&answer, WIRE_STATUS);
    wire_seed();
    void *context = zmq_ctx_new(),
         *socket = context != NULL ? zmq_socket(context, ZMQ_DEALER) : NULL;
    int rc = socket == NULL
                 ? why_set(&why, FARM_ENET, "cannot make a socket: %s", zmq_strerror(errno))
                 : wire_socket_options(socket, ZMQ_DEALER, &why);
    if (rc == FARM_OK)
        rc = peer_socket_secure(socket, &args->keys, args->broker, &why);
    if (rc == FARM_OK && zmq_connect(socket, args->broker) != 0)
        rc = why_set(&why, FARM_EINPUT,
                     "--broker %s: %s; an endpoint looks like tcp://127.0.0.1:5555", args->broker,
                     zmq_strerror(errno));
    if (rc == FARM_OK && (rc = ask_broker(socket, args->broker, &answer, &why)) == FARM_OK) {
        if (args->json)
            print_json(farm_json(&answer.u.status));
        else
            print_farm(&answer.u.status, args->broker);
        wire_message_release(&answer);
        say(socket, WIRE_GOODBYE);
    }
    if (socket != NULL)
        zmq_close(socket);
    if (context != NULL)
        zmq_ctx_term(context);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}

int cmd_status(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"broker", 'b', "ENDPOINT", 0, "ask a running farm instead", 0},
        {"key", KEY_KEY, "FILE", 0,
         "an observer's or the controller's key for that farm (default: $NASFARM_KEY_FILE)", 0},
        {"server-key", KEY_SERVER_KEY, "FILE", 0,
         "its broker's public certificate (default: $NASFARM_SERVER_KEY_FILE)", 0},
        {"insecure", KEY_INSECURE, NULL, 0,
         "ask without keys on another machine (default: $NASFARM_INSECURE)", 0},
        {"json", 'j', NULL, 0, "as a JSON object", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "[DIR]",
        .doc = "Shows how far a search is (also while it runs), or who is on a farm.\v"
               "Examples:\n"
               "  nasfarm status nasfarm-runs/digits-nasbench201\n"
               "  nasfarm status --broker tcp://127.0.0.1:5555 --json"};
    struct status_args args = {0};
    cli_parse(&argp, "status", argc, argv, &args);
    peer_keys_from_environment(&args.keys);
    return args.dir != NULL ? status_of_run(&args) : status_of_farm(&args);
}
