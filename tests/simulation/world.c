/* world.c - see world.h. */
#include "world.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "experiment_inside.h"
#include "farm.h"
#include "ledger.h"
#include "net.h"
#include "supervisor.h"

#define START_MS    1000000
#define WALL_MS     1700000000000 /* of the broker's clock at START_MS */
#define EXPERIMENT  99u
#define NEVER       INT64_MAX
#define PATIENCE_MS 1800000 /* after the last fault; a search takes a tenth of that */

struct party {
    bool up, told_to_stop, touched;
    bool dying;  /* in the middle of a turn; nothing it does counts any more */
    bool silent; /* how it dies */
    int64_t paused_until_ms, due_ms, restart_ms, length_ms;
    int armed; /* so many sends until it dies; 0, 1: before and after the next commit; -1: not at all */
    uint64_t life;
};

struct world {
    const struct plan *plan;
    struct world_result *out;
    FILE *trace;
    int64_t now_ms;
    struct net net;
    struct history history;
    struct party parties[PLAN_PARTIES_MAX];
    uint32_t n_parties;
    bool fault_began[PLAN_FAULTS_MAX], fault_ended[PLAN_FAULTS_MAX];

    struct ledger *ledger;
    struct farm_options farm_options;
    struct farm *farm;
    struct experiment *experiment;
    char dir[200];
    bool created, disk_full, finished;
    volatile sig_atomic_t stop;
    struct supervisor_options worker_options[PLAN_WORKERS_MAX];
    struct supervisor *workers[PLAN_WORKERS_MAX];
    struct end {
        struct world *world;
        uint32_t party;
    } ends[PLAN_PARTIES_MAX]; /* what the parties' send functions are given */
};

static struct world *running; /* for what has no context: the clock, and the commit */

#define OUTSIDE PLAN_PARTIES_MAX

const struct world_guest *world_guest;
static uint32_t inside = OUTSIDE; /* whose code runs */

/* Returns who was inside before. */
static uint32_t go_inside(uint32_t party)
{
    uint32_t before = inside;

    inside = party;
    if (world_guest != NULL && party == OUTSIDE)
        world_guest->leaves();
    else if (world_guest != NULL)
        world_guest->enters(party);
    return before;
}

static bool is_excused(uint32_t party)
{
    return world_guest != NULL && world_guest->excuses(party);
}

/* ---------------------------------------------------------------- telling */

static const char *party_name(uint32_t party)
{
    static const char *const names[PLAN_PARTIES_MAX + 1] = {
        "broker", "controller", "worker 0", "worker 1", "worker 2", "worker 3", "nobody"};

    return names[party];
}

static void tell_line(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void tell_line(struct world *w, const char *format, ...)
{
    va_list args;

    (void)fprintf(w->trace, "%9.3f  ", (double)(w->now_ms - START_MS) * 1e-3);
    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): the analyzer does not see va_start() here
    (void)vfprintf(w->trace, format, args);
    va_end(args);
    (void)fputc('\n', w->trace);
}

#define tell(w, ...) ((w)->trace != NULL ? tell_line(w, __VA_ARGS__) : (void)0)

/* The keys that a message is about; *n of them. */
static const struct wire_lease *leases_of(const struct wire_message *m, size_t *n)
{
    *n = 1;
    switch (m->kind) {
    case WIRE_TASK: return &m->u.task;
    case WIRE_RESULT:
    case WIRE_PROGRESS: return &m->u.result.lease;
    case WIRE_HELLO: *n = m->u.hello.n_leases; return m->u.hello.leases;
    case WIRE_ACK:
    case WIRE_REVOKE:
    case WIRE_CANCEL:
    case WIRE_RETURN:
    case WIRE_HEARTBEAT:
    case WIRE_BUSY: *n = m->u.leases.n; return m->u.leases.leases;
    default: *n = 0; return NULL;
    }
}

static void tell_message(struct world *w, const char *verb, uint32_t from, uint32_t to,
                         const struct wire_message *m)
{
    char keys[200] = "";
    size_t n, used = 0;
    const struct wire_lease *leases = leases_of(m, &n);

    if (w->trace == NULL)
        return;
    for (size_t i = 0; i < n && i < 4; i++)
        used +=
            (size_t)snprintf(keys + used, sizeof keys - used, " %" PRIu64 ".%" PRIu32 "/%" PRIx64,
                             leases[i].key.trial, leases[i].key.rung, leases[i].lease & 0xffffffff);
    if (m->kind == WIRE_PUBLISH)
        (void)snprintf(keys, sizeof keys, " %" PRIu64 ".%" PRIu32 "%s", m->u.publish.key.trial,
                       m->u.publish.key.rung, m->u.publish.again ? " again" : "");
    tell(w, "%-10s %s %-10s %s%s%s", party_name(from), verb, party_name(to),
         wire_kind_name(m->kind), keys, n > 4 ? " ..." : "");
}

static void trace_message(struct world *w, const struct flight *f)
{
    size_t n;
    const struct wire_lease *leases = leases_of(&f->message, &n);
    const struct {
        struct digest before;
        int64_t now_ms;
        uint64_t to, peer, kind, trial, lease, n;
    } record = {w->out->trace,
                w->now_ms,
                f->to,
                f->peer,
                f->message.kind,
                n > 0 ? leases[0].key.trial : 0,
                n > 0 ? leases[0].lease : 0,
                n};

    digest_of(&w->out->trace, &record, sizeof record);
    w->out->messages++;
    tell_message(w, "->", f->to == PARTY_BROKER ? f->peer : PARTY_BROKER, f->to, &f->message);
}

/* ---------------------------------------------------------------- sending */

/* A send of a party that is to die at it: the last one that counts. True: it counts no more. */
static bool is_dead(struct party *p)
{
    if (!p->up || p->dying)
        return true;
    if (p->armed >= 2 && --p->armed == 1) {
        p->dying = true;
        p->armed = -1;
    }
    return false;
}

static int broker_sends(void *ctx, const zmq_msg_t *to, const struct wire_message *m)
{
    struct world *w = ctx;
    uint32_t conn, peer, before;
    int rc;

    if (is_dead(&w->parties[PARTY_BROKER]))
        return FARM_EBUSY;
    before = go_inside(OUTSIDE);
    memcpy(&conn, zmq_msg_data((zmq_msg_t *)to), sizeof conn);
    peer = net_peer(&w->net, conn);
    rc = net_send_down(&w->net, conn, m, w->now_ms);
    history_broker_sends(&w->history, peer, conn, m, rc == FARM_OK);
    (void)go_inside(before);
    return rc;
}

static int peer_sends(struct end *end, const struct wire_message *m)
{
    struct world *w = end->world;
    uint32_t before;
    int rc;

    if (is_dead(&w->parties[end->party]))
        return FARM_EBUSY;
    before = go_inside(OUTSIDE);
    history_sends(&w->history, end->party, m);
    rc = net_send_up(&w->net, end->party, m, w->now_ms);
    (void)go_inside(before);
    return rc;
}

static int controller_sends(void *ctx, const struct wire_message *m)
{
    return peer_sends(ctx, m);
}

/* Some evaluations end in a crash: the same ones, whenever they are sent. */
static bool fails(const struct world *w, const struct wire_lease *lease)
{
    uint64_t bits = rng_mix(rng_mix(w->plan->seed, lease->key.trial), lease->lease);

    return (double)(bits >> 11) * 0x1p-53 < w->plan->failures;
}

static void free_bytes(void *bytes, void *hint)
{
    (void)hint;
    free(bytes);
}

static int send_failure(struct end *end, const struct wire_message *m)
{
    struct result result = {
        .outcome = OUTCOME_CRASHED, .fitness = NAN, .reason = "it was to crash"};
    struct wire_message failure;
    uint8_t *bytes;
    size_t len;
    int rc = result_pack(&result, &bytes, &len);

    if (rc != FARM_OK)
        return rc;
    wire_message_init(&failure, WIRE_RESULT);
    failure.u = m->u;
    zmq_msg_init_data(&failure.payload, bytes, len, free_bytes, NULL);
    rc = peer_sends(end, &failure);
    wire_message_release(&failure);
    return rc;
}

/* With what its trial can go on from. */
static int send_paused(struct end *end, const struct wire_message *m)
{
    const struct wire_key *key = &m->u.result.lease.key;
    const struct history_training training = {key->trial, key->rung};
    struct wire_message paused;
    int rc;

    wire_message_init(&paused, WIRE_RESULT);
    paused.u = m->u;
    zmq_msg_copy(&paused.payload, (zmq_msg_t *)&m->payload);
    zmq_msg_init_size(&paused.blob, sizeof training);
    memcpy(zmq_msg_data(&paused.blob), &training, sizeof training);
    rc = peer_sends(end, &paused);
    wire_message_release(&paused);
    return rc;
}

static int worker_sends(void *ctx, const struct wire_message *m)
{
    struct end *end = ctx;
    uint32_t before = go_inside(OUTSIDE);
    int rc;

    if (m->kind != WIRE_RESULT) {
        rc = peer_sends(end, m);
    } else {
        end->world->out->evaluations++;
        rc = fails(end->world, &m->u.result.lease) ? send_failure(end, m) : send_paused(end, m);
    }
    (void)go_inside(before);
    return rc;
}

/* ---------------------------------------------------------------- what the controller's code reaches by its name */

static int64_t virtual_ns(void)
{
    return running->now_ms * 1000000;
}

int __real_store_commit(struct store *store, struct why *why);
int __wrap_store_commit(struct store *store, struct why *why);
int __wrap_store_commit(struct store *store, struct why *why)
{
    struct party *controller;
    uint32_t before;
    int rc;

    if (running == NULL)
        return __real_store_commit(store, why);
    controller = &running->parties[PARTY_CONTROLLER];
    if (controller->up && controller->armed == 0)
        controller->dying = true;
    if (controller->dying)
        return why_set(why, FARM_EIO, "dead");
    if (running->disk_full)
        return why_set(why, FARM_ESTORE, "no space left on a device that is not there");
    if ((rc = __real_store_commit(store, why)) != FARM_OK)
        return rc;
    before = go_inside(OUTSIDE);
    history_committed(&running->history, store);
    (void)go_inside(before);
    if (controller->armed != 1)
        return FARM_OK;
    controller->dying = true;
    controller->armed = -1;
    return why_set(why, FARM_EIO, "dead");
}

/* ---------------------------------------------------------------- starting */

static void set_config(const struct plan *plan, struct experiment_config *c)
{
    *c = (struct experiment_config){.seed = plan->seed,
                                    .trials = plan->trials,
                                    .id = EXPERIMENT,
                                    .redraws = 20,
                                    .data = {"tiny", 1, 8, 8, 1, 10, 100, 20}};
    (void)snprintf(c->name, sizeof c->name, "simulation");
    (void)snprintf(c->space.name, sizeof c->space.name, "nasbench201");
    c->space.input = (struct graph_shape){8, 8, 1};
    c->space.classes = 10;
    c->space.channels = 4;
    c->space.cells = c->space.stages = 1;
    (void)snprintf(c->strategy, sizeof c->strategy, "%s", plan->strategy);
    (void)snprintf(c->strategy_options, sizeof c->strategy_options, "%s", plan->strategy_options);
    (void)snprintf(c->scheduler, sizeof c->scheduler, "%s", plan->scheduler);
    (void)snprintf(c->scheduler_options, sizeof c->scheduler_options, "%s",
                   plan->scheduler_options);
    recipe_init(&c->recipe);
    recipe_init(&c->final_recipe);
    c->recipe.epochs = 9;
}

static int open_experiment(struct world *w, struct why *why)
{
    static const struct store_options fast = {.no_sync = true, .map_bytes = 1 << 20};
    struct experiment_config config;
    int rc;

    if (w->created)
        return experiment_open(&w->experiment, w->dir, &fast, why);
    set_config(w->plan, &config);
    rc = experiment_create(&w->experiment, w->dir, &config, &fast, why);
    w->created = rc == FARM_OK || rc == FARM_EBUSY; /* busy: it was made, and then memory ended */
    return rc;
}

/* An error that waiting does not heal: the program ends with its sentence, and somebody starts it again. */
static void ends_badly(struct world *w, uint32_t party, const struct why *why)
{
    struct party *p = &w->parties[party];

    if (p->dying)
        return;
    if (!is_excused(party))
        history_violate(&w->history, "alive: %s ends with an error: %.200s", party_name(party),
                        why->text);
    tell(w, "%s ends with an error: %s", party_name(party), why->text);
    p->dying = true;
    p->length_ms = 100;
}

static void start_controller(struct world *w)
{
    struct why why = {""};
    uint32_t before = go_inside(PARTY_CONTROLLER);
    int rc = open_experiment(w, &why);

    (void)go_inside(OUTSIDE);
    w->stop = 0;
    w->farm_options = (struct farm_options){.endpoint = "the simulated broker",
                                            .name = "controller",
                                            .incarnation = w->parties[PARTY_CONTROLLER].life,
                                            .experiment = EXPERIMENT,
                                            .pause_ms = 500,
                                            .final = w->plan->final,
                                            .stop = &w->stop,
                                            .clock_ns = virtual_ns};
    if (rc == FARM_OK) {
        history_opened(&w->history, w->experiment);
        (void)go_inside(PARTY_CONTROLLER);
        rc = farm_create(&w->farm, &w->farm_options, controller_sends, &w->ends[PARTY_CONTROLLER],
                         &why);
    }
    if (rc == FARM_OK)
        rc = farm_begin(w->farm, w->experiment, w->now_ms, &why);
    (void)go_inside(before);
    if (rc != FARM_OK)
        ends_badly(w, PARTY_CONTROLLER, &why);
}

static void start_broker(struct world *w)
{
    struct ledger_config config;

    ledger_config_init(&config);
    config.heartbeat_ms = w->plan->heartbeat_ms;
    config.lease_ms = w->plan->lease_ms;
    config.straggler = w->plan->straggler;
    config.settle_ms = 2 * config.heartbeat_ms + 500;
    config.nonce = w->parties[PARTY_BROKER].life;
    config.first_lease = (uint64_t)(WALL_MS + w->now_ms - START_MS) << 20;
    uint32_t before = go_inside(PARTY_BROKER);
    int rc = ledger_create(&w->ledger, &config, broker_sends, w, w->now_ms);

    (void)go_inside(before);
    net_broker_started(&w->net);
    if (rc != FARM_OK)
        ends_badly(w, PARTY_BROKER, &(struct why){.text = "no memory"});
}

static void start_worker(struct world *w, uint32_t i)
{
    struct supervisor_options *o = &w->worker_options[i];
    struct why why;

    *o = (struct supervisor_options){.incarnation = w->parties[PARTY_WORKER + i].life,
                                     .slots = w->plan->slots[i],
                                     .ahead = w->plan->ahead[i],
                                     .synthetic = true,
                                     .least_ms = 50,
                                     .most_ms = w->plan->most_ms};
    (void)snprintf(o->name, sizeof o->name, "worker-%" PRIu32, i);
    uint32_t before = go_inside(PARTY_WORKER + i);
    int rc = supervisor_create(&w->workers[i], o, "the simulated broker", worker_sends,
                               &w->ends[PARTY_WORKER + i], w->now_ms, &why);

    (void)go_inside(before);
    if (rc != FARM_OK)
        ends_badly(w, PARTY_WORKER + i, &why);
}

static void start(struct world *w, uint32_t party)
{
    struct party *p = &w->parties[party];

    *p = (struct party){.up = true,
                        .touched = true,
                        .restart_ms = NEVER,
                        .due_ms = w->now_ms,
                        .armed = -1,
                        .life = p->life + 1};
    w->out->lives++;
    tell(w, "%s starts", party_name(party));
    if (party != PARTY_BROKER)
        net_disconnect(&w->net, party);
    if (party == PARTY_BROKER)
        start_broker(w);
    else if (party == PARTY_CONTROLLER)
        start_controller(w);
    else
        start_worker(w, party - PARTY_WORKER);
}

/* ---------------------------------------------------------------- ending */

/* Whatever it was about to do is not done. */
static void release(struct world *w, uint32_t party)
{
    w->parties[party].up = false;
    if (party == PARTY_BROKER) {
        ledger_destroy(&w->ledger);
    } else if (party == PARTY_CONTROLLER) {
        farm_destroy(&w->farm);
        experiment_free(&w->experiment);
    } else {
        supervisor_destroy(&w->workers[party - PARTY_WORKER]);
    }
}

static void kill_party(struct world *w, uint32_t party)
{
    struct party *p = &w->parties[party];

    if (!p->up)
        return;
    tell(w, "%s dies%s", party_name(party), p->silent ? ", and its peers are not told" : "");
    release(w, party);
    p->restart_ms = w->now_ms + p->length_ms;
    if (party == PARTY_BROKER) {
        net_broker_died(&w->net, p->silent);
        history_broker_died(&w->history);
    } else if (!p->silent) {
        net_disconnect(&w->net, party);
    }
}

/* The controller came to an end of its own. */
static void end_controller(struct world *w, enum farm_end end)
{
    struct party *p = &w->parties[PARTY_CONTROLLER];

    tell(w, "controller ends (%d)", (int)end);
    w->finished = end == FARM_END_DONE;
    if (w->finished)
        history_opened(&w->history, w->experiment);
    farm_destroy(&w->farm); /* with its GOODBYE */
    experiment_close(&w->experiment);
    p->up = false;
    p->restart_ms = w->finished ? NEVER : w->now_ms + p->length_ms;
    net_disconnect(&w->net, PARTY_CONTROLLER);
}

static void end_worker(struct world *w, uint32_t party)
{
    supervisor_leave(w->workers[party - PARTY_WORKER], w->now_ms);
    tell(w, "%s ends", party_name(party));
    release(w, party);
    w->parties[party].restart_ms = w->now_ms + w->parties[party].length_ms;
    net_disconnect(&w->net, party);
}

/* ---------------------------------------------------------------- faults */

/* Signals come before messages. */
static void take_signals(struct world *w)
{
    for (uint32_t party = PARTY_CONTROLLER; party < w->n_parties; party++) {
        struct party *p = &w->parties[party];

        if (!p->up || !p->told_to_stop || p->paused_until_ms > w->now_ms)
            continue;
        p->told_to_stop = false;
        p->touched = true;
        if (party == PARTY_CONTROLLER)
            w->stop = 1;
        else
            supervisor_stop(w->workers[party - PARTY_WORKER], "told to stop", w->now_ms);
    }
}

static void begin_fault(struct world *w, const struct fault *f)
{
    struct net_link *link = &w->net.links[f->party];
    struct party *p = &w->parties[f->party];

    tell(w, "fault: %s of %s for %" PRId64 " ms", fault_name(f->kind), party_name(f->party),
         f->length_ms);
    switch (f->kind) {
    case FAULT_DROP: link->drop = f->share; break;
    case FAULT_DUPLICATE: link->duplicate = f->share; break;
    case FAULT_REORDER: link->reorder = f->share; break;
    case FAULT_DELAY: link->delay_ms = (int64_t)(f->share * 3000); break;
    case FAULT_CUT: link->cut = true; break;
    case FAULT_HOLD: link->held_until_ms = w->now_ms + f->length_ms; break;
    case FAULT_RESET: net_disconnect(&w->net, f->party); break;
    case FAULT_PAUSE: p->paused_until_ms = w->now_ms + f->length_ms; break;
    case FAULT_DISK_FULL: w->disk_full = true; break;
    default: /* of a party that is there */
        if (!p->up)
            return;
        p->silent = f->silent;
        p->length_ms = f->length_ms;
        if (f->kind == FAULT_CRASH)
            kill_party(w, f->party);
        else if (f->kind == FAULT_STOP)
            p->told_to_stop = true;
        else
            p->armed = f->party == PARTY_CONTROLLER || f->count >= 2 ? (int)f->count : 2;
    }
}

static void end_fault(struct world *w, const struct fault *f)
{
    struct net_link *link = &w->net.links[f->party];

    switch (f->kind) {
    case FAULT_DROP: link->drop = 0; break;
    case FAULT_DUPLICATE: link->duplicate = 0; break;
    case FAULT_REORDER: link->reorder = 0; break;
    case FAULT_DELAY: link->delay_ms = 0; break;
    case FAULT_CUT:
        link->cut = false;
        if (f->silent)
            net_disconnect(&w->net, f->party); /* both ends have given the connection up */
        break;
    case FAULT_CRASH_INSIDE: w->parties[f->party].armed = -1; break;
    case FAULT_DISK_FULL: w->disk_full = false; break;
    default: break;
    }
}

static void begin_and_end_faults(struct world *w)
{
    for (uint32_t i = 0; i < w->plan->n_faults; i++) {
        const struct fault *f = &w->plan->faults[i];

        if (f->at_ms == INT64_MAX)
            continue;
        if (!w->fault_began[i] && w->now_ms - START_MS >= f->at_ms) {
            w->fault_began[i] = true;
            begin_fault(w, f);
        }
        if (!w->fault_ended[i] && w->now_ms - START_MS >= f->at_ms + f->length_ms) {
            w->fault_ended[i] = true;
            end_fault(w, f);
        }
    }
}

static int64_t next_fault(const struct world *w)
{
    int64_t next = NEVER;

    for (uint32_t i = 0; i < w->plan->n_faults; i++) {
        const struct fault *f = &w->plan->faults[i];
        int64_t at = f->at_ms == INT64_MAX ? NEVER
                     : !w->fault_began[i]  ? START_MS + f->at_ms
                     : !w->fault_ended[i]  ? START_MS + f->at_ms + f->length_ms
                                           : NEVER;

        if (at < next)
            next = at;
    }
    return next;
}

/* ---------------------------------------------------------------- turns */

static void hand_over(struct world *w, struct flight *f)
{
    struct why why = {""};
    zmq_msg_t from;
    int rc = FARM_OK;

    if (f->to == PARTY_BROKER) {
        zmq_msg_init_size(&from, sizeof f->conn);
        memcpy(zmq_msg_data(&from), &f->conn, sizeof f->conn);
        history_broker_hears(&w->history, f->peer, f->conn, &f->message);
        (void)go_inside(PARTY_BROKER);
        ledger_message(w->ledger, &from, &f->message, w->now_ms);
        zmq_msg_close(&from);
        (void)go_inside(OUTSIDE);
        return;
    }
    (void)go_inside(f->to);
    if (f->to == PARTY_CONTROLLER) {
        rc = farm_message(w->farm, &f->message, w->now_ms, &why);
    } else {
        rc = supervisor_message(w->workers[f->to - PARTY_WORKER], &f->message, w->now_ms, &why);
    }
    (void)go_inside(OUTSIDE);
    if (rc != FARM_OK)
        ends_badly(w, f->to, &why);
}

static void deliver(struct world *w)
{
    struct flight *f;

    while ((f = net_take(&w->net, w->now_ms)) != NULL) {
        struct party *p = &w->parties[f->to];

        if (p->up && p->paused_until_ms > w->now_ms) {
            net_put_off(&w->net, f, p->paused_until_ms);
            continue;
        }
        if (p->up && !p->dying && f->to == PARTY_CONTROLLER && !farm_listens(w->farm)) {
            net_put_off(&w->net, f, w->now_ms + 50); /* stays in the socket */
            continue;
        }
        if (p->up && !p->dying) {
            trace_message(w, f);
            hand_over(w, f);
            p->touched = true;
        }
        flight_free(f);
    }
}

static void turn_controller(struct world *w)
{
    struct party *p = &w->parties[PARTY_CONTROLLER];
    enum farm_end end = FARM_END_STOPPED;
    struct why why = {""};
    bool over = false;
    (void)go_inside(PARTY_CONTROLLER);
    int rc = farm_turn(w->farm, w->now_ms, &end, &over, &why);

    (void)go_inside(OUTSIDE);
    if (p->dying)
        return;
    p->due_ms = farm_due(w->farm);
    if (rc != FARM_OK)
        ends_badly(w, PARTY_CONTROLLER, &why);
    else if (over)
        end_controller(w, end);
}

static void turn_broker(struct world *w)
{
    (void)go_inside(PARTY_BROKER);
    w->parties[PARTY_BROKER].due_ms = ledger_turn(w->ledger, w->now_ms);
    (void)go_inside(OUTSIDE);
}

static void turn_worker(struct world *w, uint32_t party)
{
    struct party *p = &w->parties[party];
    struct supervisor *supervisor = w->workers[party - PARTY_WORKER];

    (void)go_inside(party);
    supervisor_turn(supervisor, w->now_ms);
    (void)go_inside(OUTSIDE);
    p->due_ms = supervisor_due(supervisor, w->now_ms);
    if (!p->dying && supervisor_drained(supervisor, w->now_ms))
        end_worker(w, party);
}

static void turn(struct world *w, uint32_t party)
{
    struct party *p = &w->parties[party];

    p->touched = false;
    if (p->dying)
        ; /* a message was its last */
    else if (party == PARTY_BROKER)
        turn_broker(w);
    else if (party == PARTY_CONTROLLER)
        turn_controller(w);
    else
        turn_worker(w, party);
    if (p->up && p->dying)
        kill_party(w, party);
    else if (p->due_ms <= w->now_ms)
        p->due_ms = w->now_ms + 1;
}

static void turns(struct world *w)
{
    for (uint32_t party = 0; party < w->n_parties; party++) {
        struct party *p = &w->parties[party];

        if (!p->up && p->restart_ms <= w->now_ms)
            start(w, party);
        if (p->up && p->paused_until_ms <= w->now_ms && (p->touched || p->due_ms <= w->now_ms))
            turn(w, party);
    }
}

static int64_t next_time(const struct world *w)
{
    int64_t next = next_fault(w), at = net_due(&w->net);

    if (at < next)
        next = at;
    for (uint32_t party = 0; party < w->n_parties; party++) {
        const struct party *p = &w->parties[party];

        at = !p->up                           ? p->restart_ms
             : p->paused_until_ms > w->now_ms ? p->paused_until_ms
                                              : p->due_ms;
        if (at < next)
            next = at;
    }
    return next;
}

/* ---------------------------------------------------------------- the whole */

static void check_alive(struct world *w)
{
    if (!w->finished)
        history_violate(&w->history,
                        "alive: nothing has gone wrong for %d s, and the search has not ended: "
                        "%" PRIu64 " trials proposed, %" PRIu64 " results recorded",
                        PATIENCE_MS / 1000, w->history.n_proposed, w->history.n_results);
    else
        history_ended(&w->history, w->dir);
}

static void remove_store(const struct world *w)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock"};
    char path[300];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", w->dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(w->dir);
}

static void run(struct world *w)
{
    int64_t deadline_ms = START_MS + w->plan->calm_ms + PATIENCE_MS;

    for (uint32_t party = 0; party < w->n_parties; party++)
        start(w, party);
    while (!w->finished && w->history.violation[0] == '\0' && w->now_ms < deadline_ms) {
        w->history.now_ms = w->now_ms;
        begin_and_end_faults(w);
        take_signals(w);
        deliver(w);
        turns(w);
        w->now_ms = next_time(w) > w->now_ms ? next_time(w) : w->now_ms + 1;
    }
}

void world_run(const struct plan *plan, const char *dir, FILE *trace, struct world_result *out)
{
    struct world *w = calloc(1, sizeof *w);

    if (w == NULL)
        abort();
    *out = (struct world_result){.messages = 0};
    running = w;
    w->plan = plan;
    w->out = out;
    w->trace = trace;
    w->now_ms = START_MS;
    w->n_parties = PARTY_WORKER + plan->n_workers;
    (void)snprintf(w->dir, sizeof w->dir, "%s", dir);
    net_init(&w->net, plan->seed);
    history_init(&w->history, plan);
    for (uint32_t i = 0; i < PLAN_PARTIES_MAX; i++)
        w->ends[i] = (struct end){w, i};
    remove_store(w);
    run(w);
    for (uint32_t party = 0; party < w->n_parties; party++)
        if (w->parties[party].up)
            release(w, party);
    if (w->history.violation[0] == '\0')
        check_alive(w);
    remove_store(w);
    out->virtual_ms = w->now_ms - START_MS;
    out->recorded = w->history.n_results;
    memcpy(out->violation, w->history.violation, sizeof out->violation);
    net_release(&w->net);
    running = NULL;
    free(w);
}
