#include "farm.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "inflight.h"
#include "log.h"

#define ACK_BATCH        2000 /* keys in one message: about 60 KB of its 256 */
#define GREET_MIN_MS     100
#define GREET_MAX_MS     5000
#define BEAT_DEFAULT_MS  1000
#define PAUSE_DEFAULT_MS 1000
#define ALARM_MS         60000 /* a pause that lasts is said again so often */
#define NAME_TAKEN_MS                                                                              \
    60000 /* a killed controller's name is freed by its silence: longer is somebody else */
#define NAMED_BEATS      5     /* heartbeats from one that names tasks to the next */
#define NAMED_MAX        2000  /* keys in one: about 60 KB */
#define DRAIN_UNHEARD_MS 10000 /* draining without a broker: nobody can bring the results */

/* A result that is recorded and not durable yet: nobody has been told. */
struct untold {
    struct wire_key key;
    struct result result;
    char worker[LIMIT_NAME + 1];
};

struct farm {
    struct farm_options options;
    char endpoint[256], data_name[LIMIT_NAME + 1];
    farm_send *send;
    void *ctx; /* of send */
    uint64_t incarnation;
    struct experiment *experiment;
    struct inflight *inflight;

    struct wire_lease *acks; /* to be acknowledged once what they tell is durable */
    size_t n_acks, cap_acks, n_durable;
    struct untold *untold;
    size_t n_untold, cap_untold;

    bool connected, hold; /* hold: the broker said BUSY; wait for its next WINDOW */
    int64_t now_ms;       /* of the turn */
    int64_t heard_ms, beat_ms, greet_at_ms, beat_at_ms, greet_wait_ms, refused_since_ms, lost_ms;
    uint64_t broker; /* nonce of the one that welcomed us */
    uint64_t beats;

    bool all_proposed, exhausted, draining, finishing, finished;
    bool
        waiting; /* nothing is to run until a result comes: trials rest that others must catch up with */
    int64_t paused_until_ms, alarm_ms; /* alarm_ms: when the pause is said again */
    struct why paused;
    bool deaf; /* was paused when the last turn ended: no message has been taken since */

    double counting_began_s, counted_to_s, counting_ended_s; /* of the utilisation; 0: not yet */
    double slot_s, busy_s, sampled_slot_s, sampled_busy_s;

    struct wire_data data[WIRE_DATA_MAX];
    struct farm_view view;
};

static int told_to_stop(const struct farm *self)
{
    return self->options.stop != NULL ? (int)*self->options.stop : 0;
}

int farm_create(struct farm **out, const struct farm_options *options, farm_send *send, void *ctx,
                struct why *why)
{
    int rc;
    struct farm *self = calloc(1, sizeof *self);
    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for the farm's connection");
    self->options = *options;
    self->send = send;
    self->ctx = ctx;
    if (self->options.attempts == 0)
        self->options.attempts = 2;
    if (self->options.pause_ms == 0)
        self->options.pause_ms = PAUSE_DEFAULT_MS;
    if (self->options.clock_ns == NULL)
        self->options.clock_ns = clock_ns;
    strncpy(self->endpoint, options->endpoint, sizeof self->endpoint - 1);
    memcpy(self->data_name, options->data_name, sizeof self->data_name);
    self->beat_ms = BEAT_DEFAULT_MS;
    self->greet_wait_ms = GREET_MIN_MS;
    self->view.busy_share = NAN;
    self->view.data = self->data;
    self->incarnation = options->incarnation;
    if (self->incarnation == 0)
        randombytes_buf(&self->incarnation, sizeof self->incarnation);
    if ((rc = inflight_create(&self->inflight)) != FARM_OK) {
        farm_destroy(&self);
        return why_set(why, rc, "no memory for the farm's connection");
    }
    *out = self;
    return FARM_OK;
}

void farm_destroy(struct farm **self)
{
    struct farm *farm = *self;
    if (farm == NULL)
        return;
    if (farm->connected) {
        struct wire_message goodbye;
        wire_message_init(&goodbye, WIRE_GOODBYE);
        farm->send(farm->ctx, &goodbye); /* a courtesy: silence says the same, later */
        wire_message_release(&goodbye);
    }
    inflight_destroy(&farm->inflight);
    free(farm->acks);
    free(farm->untold);
    free(farm);
    *self = NULL;
}

const struct farm_view *farm_view(const struct farm *self)
{
    return &self->view;
}

void farm_need_data(struct farm *self, const char *name)
{
    if (strncmp(self->data_name, name, LIMIT_NAME) == 0)
        return;
    memset(self->data_name, 0, sizeof self->data_name);
    strncpy(self->data_name, name, LIMIT_NAME);
    self->connected = false; /* say HELLO again, with the new name */
    self->broker = 0;
    self->greet_at_ms = 0;
}

/* At most so many tasks would be used: what is out, and what is still to be proposed. */
static uint32_t demand(const struct farm *self)
{
    if (self->experiment == NULL || self->draining)
        return 0;
    struct experiment_summary summary;
    experiment_summary(self->experiment, &summary);
    uint64_t trials = experiment_config(self->experiment)->trials;
    uint64_t left = trials > summary.proposed ? trials - summary.proposed : 0;
    left = (self->all_proposed ? 0 : left) + inflight_n(self->inflight);
    if (!self->all_proposed && experiment_has_rungs(self->experiment))
        left += inflight_n(self->inflight) + 1; /* every result may let a trial go on */
    if (left == 0 && self->options.final && !self->finished)
        left = 1;
    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

/* ------------------------------------------------------------------ utilisation

   The share of slot-time that evaluations took, from the first publish to the last proposal: while there was work to
   give, an idle slot is our fault. Slot-time is the integral of the farm's slots; busy time is the part of each
   evaluation, as its result tells it, that lies in the interval. While a search runs, what has not finished is not
   known yet: the view then shows what the broker's window says, once a heartbeat. */

static double seconds_now(const struct farm *self)
{
    return (double)self->options.clock_ns() * 1e-9;
}

static void account(struct farm *self)
{
    if (self->counted_to_s == 0 || self->counting_ended_s > 0)
        return;
    double now = seconds_now(self), s = now - self->counted_to_s;
    uint32_t busy = self->view.busy < self->view.slots ? self->view.busy : self->view.slots;
    self->counted_to_s = now;
    self->slot_s += s * self->view.slots;
    if (self->sampled_slot_s > 0 ||
        busy > 0) { /* the first window after the first publish is a heartbeat late */
        self->sampled_busy_s += s * busy;
        self->sampled_slot_s += s * self->view.slots;
    }
    self->view.slot_s = self->slot_s;
    if (self->sampled_slot_s > 0)
        self->view.busy_share = self->sampled_busy_s / self->sampled_slot_s;
}

static void account_start(struct farm *self)
{
    if (self->counted_to_s == 0 && !self->all_proposed && !self->draining)
        self->counted_to_s = self->counting_began_s = seconds_now(self);
}

static void account_stop(struct farm *self)
{
    account(self);
    if (self->counted_to_s > 0 && self->counting_ended_s == 0)
        self->counting_ended_s = self->counted_to_s;
}

static void account_result(struct farm *self, const struct result *result)
{
    double end = seconds_now(self), begin = end - result->eval_s;
    if (self->counting_began_s == 0 || !(result->eval_s > 0))
        return;
    begin = begin > self->counting_began_s ? begin : self->counting_began_s;
    if (self->counting_ended_s > 0 && end > self->counting_ended_s)
        end = self->counting_ended_s;
    if (end > begin)
        self->busy_s += end - begin;
}

/* At the end every result is there, and the exact number replaces the sampled one. */
static void account_close(struct farm *self)
{
    account_stop(self);
    if (self->slot_s > 0)
        self->view.busy_share = self->busy_s < self->slot_s ? self->busy_s / self->slot_s : 1;
}

/* ------------------------------------------------------------------ what came in */

static int add_ack(struct farm *self, const struct wire_lease *lease)
{
    if (self->n_acks == self->cap_acks) {
        size_t cap = self->cap_acks ? 2 * self->cap_acks : 1024;
        struct wire_lease *acks = realloc(self->acks, cap * sizeof *acks);
        if (acks == NULL)
            return FARM_ENOMEM;
        self->acks = acks;
        self->cap_acks = cap;
    }
    self->acks[self->n_acks++] = *lease;
    return FARM_OK;
}

static int add_untold(struct farm *self, const struct wire_key *key, const struct result *result,
                      const char *worker)
{
    if (self->options.watch.result == NULL)
        return FARM_OK;
    if (self->n_untold == self->cap_untold) {
        size_t cap = self->cap_untold ? 2 * self->cap_untold : 64;
        struct untold *untold = realloc(self->untold, cap * sizeof *untold);
        if (untold == NULL)
            return FARM_ENOMEM;
        self->untold = untold;
        self->cap_untold = cap;
    }
    struct untold *last = &self->untold[self->n_untold++];
    last->key = *key;
    last->result = *result;
    memcpy(last->worker, worker, sizeof last->worker);
    return FARM_OK;
}

static void on_welcome(struct farm *self, const struct wire_welcome *welcome, int64_t now)
{
    if (self->broker != 0 && self->experiment != NULL)
        log_info("%s broker at %s; publishing %zu pending tasks again",
                 welcome->broker == self->broker ? "back at the" : "a new", self->endpoint,
                 inflight_n(self->inflight));
    self->broker = welcome->broker;
    self->connected = true;
    self->hold = false;
    self->refused_since_ms = self->lost_ms = 0;
    self->greet_wait_ms = GREET_MIN_MS;
    self->beat_ms = welcome->heartbeat_ms > 0 ? welcome->heartbeat_ms : BEAT_DEFAULT_MS;
    self->beat_at_ms = now + self->beat_ms;
    inflight_requeue_all(self->inflight);
}

static void greet_again(struct farm *self, int64_t now)
{
    if (self->connected)
        self->lost_ms = now;
    self->connected = false;
    self->greet_at_ms = now + self->greet_wait_ms;
}

static int on_refuse(struct farm *self, const struct wire_refuse *refuse, int64_t now,
                     struct why *why)
{
    switch (refuse->code) {
    case REFUSE_HELLO_FIRST:
        if (self->connected || self->greet_at_ms > now + GREET_MIN_MS)
            self->greet_at_ms = now; /* it lives: no reason to wait */
        self->connected = false;
        return FARM_OK;
    case REFUSE_NAME_TAKEN:
        if (self->refused_since_ms == 0) {
            self->refused_since_ms = now;
            log_info("the broker still holds this experiment's name: %s; trying again",
                     refuse->sentence);
        }
        greet_again(self, now);
        if (now - self->refused_since_ms < NAME_TAKEN_MS)
            return FARM_OK;
        return why_set(why, FARM_EBUSY, "the broker at %s refuses this controller: %s",
                       self->endpoint, refuse->sentence);
    case REFUSE_VERSION:
    case REFUSE_LIMIT:
    case REFUSE_ROLE:
        return why_set(why, FARM_EVERSION, "the broker at %s refuses this controller: %s",
                       self->endpoint, refuse->sentence);
    case REFUSE_MALFORMED: break;
    }
    self->view.malformed++;
    log_warn("the broker at %s refused a message: %s", self->endpoint, refuse->sentence);
    return FARM_OK;
}

static void on_window(struct farm *self, const struct wire_window *window)
{
    account(self); /* up to now at the old state */
    self->view.window = window->window;
    self->view.workers = window->workers;
    self->view.slots = window->slots;
    self->view.busy = window->busy;
    self->view.queued = window->queued;
    self->view.n_data = window->n_data;
    memcpy(self->data, window->data, window->n_data * sizeof self->data[0]);
    self->hold = false;
    if (self->experiment != NULL)
        experiment_see_workers(self->experiment, window->workers);
}

/* Not taken: queued again, until the broker says that there is room. A drain's cancelled tasks come back this way, too,
 * and stay pending in the store. */
static void on_busy(struct farm *self, const struct wire_leases *busy)
{
    for (size_t i = 0; i < busy->n; i++) {
        struct inflight_task *task = inflight_find(self->inflight, &busy->leases[i].key);
        if (task == NULL)
            continue;
        if (self->draining)
            inflight_remove(self->inflight, task);
        else
            inflight_requeue(self->inflight, task);
    }
    self->hold = !self->draining;
}

/* True when the worker, not the genome, may be to blame: not for a limit that the task brought along. */
static bool worth_another_try(const struct inflight_task *inflight, enum outcome outcome)
{
    zmq_msg_t *payload = (zmq_msg_t *)&inflight->payload;
    struct task task;
    void *hold = NULL;
    bool worth =
        outcome == OUTCOME_CRASHED || outcome == OUTCOME_LOST || outcome == OUTCOME_STOPPED;

    if (outcome != OUTCOME_OOM && outcome != OUTCOME_TIMEOUT)
        return worth;
    if (task_unpack(&task, &hold, zmq_msg_data(payload), zmq_msg_size(payload), NULL) == FARM_OK)
        worth = (outcome == OUTCOME_OOM ? task.recipe.memory_mb : task.recipe.time_limit_s) == 0;
    free(hold);
    return worth;
}

/* Of a worker that is not trusted: somebody else is to do it again. */
static int refuse_result(struct farm *self, const struct wire_lease *lease,
                         const char worker[LIMIT_NAME + 1])
{
    struct inflight_task *task = inflight_find(self->inflight, &lease->key);
    self->view.refused++;
    if (task == NULL || task->failed_lease == lease->lease) /* told twice */
        return add_ack(self, lease);
    task->failed_lease = lease->lease;
    memcpy(task->failed_on, worker, sizeof task->failed_on); /* `never` has room for a few */
    task->again = false;
    if (self->draining) /* stays pending */
        inflight_remove(self->inflight, task);
    else
        inflight_requeue(self->inflight, task);
    return add_ack(self, lease);
}

static int on_result(struct farm *self, struct wire_message *message, struct why *why)
{
    const struct wire_lease *lease = &message->u.result.lease;
    struct result result;
    struct why bad;
    experiment_see_workers(self->experiment, self->view.workers);
    if (!experiment_trusts(self->experiment, message->u.result.worker))
        return refuse_result(self, lease, message->u.result.worker);
    int rc = result_unpack(&result, zmq_msg_data(&message->payload),
                           zmq_msg_size(&message->payload), &bad);
    if (rc == FARM_ENOMEM) {
        log_warn("a result was dropped, to be sent again: %s", bad.text);
        return FARM_OK;
    }
    if (rc != FARM_OK) {
        /* Without an answer the task would never come back: what cannot be read counts as a crash. */
        self->view.malformed++;
        log_warn("worker %s sent a result that cannot be read, for trial %" PRIu64 ": %s",
                 message->u.result.worker, lease->key.trial, bad.text);
        memset(&result, 0, sizeof result);
        result.outcome = OUTCOME_CRASHED;
        result.fitness = result.loss = result.train_loss = result.test_accuracy = result.test_loss =
            NAN;
        snprintf(result.reason, sizeof result.reason, "its result could not be read: %.200s",
                 bad.text);
    }
    struct inflight_task *task = inflight_find(self->inflight, &lease->key);
    if (task != NULL && worth_another_try(task, result.outcome)) {
        if (task->failures > 0 && task->failed_lease == lease->lease)
            return add_ack(self, lease); /* the same failure, told twice */
        if (self->draining) {            /* stays pending */
            inflight_remove(self->inflight, task);
            return add_ack(self, lease);
        }
        task->failed_lease = lease->lease;
        memcpy(task->failed_on, message->u.result.worker, sizeof task->failed_on);
        if (++task->failures < self->options.attempts) {
            log_warn("trial %" PRIu64 " %s on %s (%s); trying it once more", lease->key.trial,
                     outcome_name(result.outcome), message->u.result.worker, result.reason);
            self->view.retried++;
            account_result(self, &result); /* a slot was at it, too */
            task->again = false;
            inflight_requeue(self->inflight, task);
            return add_ack(self, lease);
        }
    }
    bool fresh = false;
    rc = experiment_record(self->experiment, &lease->key, &result, message->u.result.worker,
                           zmq_msg_data(&message->blob), zmq_msg_size(&message->blob), &fresh, why);
    if (rc == FARM_ENOTFOUND) {
        log_warn("a result for trial %" PRIu64 ", which is not of this experiment, was dropped",
                 lease->key.trial);
        return FARM_OK;
    }
    if (rc != FARM_OK)
        return rc;
    if (task != NULL)
        inflight_remove(self->inflight, task);
    if (fresh) {
        self->view.fresh++;
        account_result(self, &result);
        self->exhausted = self->waiting = false; /* strategy and scheduler may know more now */
        if (lease->key.rung == WIRE_RUNG_FINAL)
            self->finished = true;
        if ((rc = add_untold(self, &lease->key, &result, message->u.result.worker)) != FARM_OK)
            return why_set(why, rc, "no memory for a result");
    } else {
        self->view.duplicates++;
    }
    return add_ack(self, lease);
}

static void on_progress(struct farm *self, struct wire_message *message)
{
    struct progress progress;
    struct why why;
    if (progress_unpack(&progress, zmq_msg_data(&message->payload), zmq_msg_size(&message->payload),
                        &why) != FARM_OK)
        self->view.malformed++;
    else if (self->options.watch.progress != NULL)
        self->options.watch.progress(&message->u.result.lease.key, &progress,
                                     message->u.result.worker, self->options.watch.ctx);
}

static int on_message(struct farm *self, struct wire_message *message, int64_t now, struct why *why)
{
    switch (message->kind) {
    case WIRE_WELCOME: on_welcome(self, &message->u.welcome, now); return FARM_OK;
    case WIRE_REFUSE: return on_refuse(self, &message->u.refuse, now, why);
    case WIRE_WINDOW: on_window(self, &message->u.window); return FARM_OK;
    case WIRE_BUSY: on_busy(self, &message->u.leases); return FARM_OK;
    case WIRE_RESULT: return self->experiment != NULL ? on_result(self, message, why) : FARM_OK;
    case WIRE_PROGRESS: on_progress(self, message); return FARM_OK;
    case WIRE_HEARTBEAT: return FARM_OK; /* heard_ms says it all */
    default: self->view.malformed++; return FARM_OK;
    }
}

/* ------------------------------------------------------------------ what goes out */

static int queue_proposal(struct farm *self, const struct proposal *p, bool again)
{
    return inflight_add(self->inflight, &p->key, (struct inflight_bytes){p->task, p->task_len},
                        (struct inflight_bytes){p->resume, p->resume_len}, again);
}

struct pending_visit {
    struct farm *farm;
    bool again;
    int rc;
};

static bool queue_pending(struct proposal *proposal, void *ctx)
{
    struct pending_visit *visit = ctx;
    visit->rc = queue_proposal(visit->farm, proposal, visit->again);
    return visit->rc == FARM_OK;
}

/* Queues every pending trial that is not out yet. */
static int queue_all_pending(struct farm *self, bool again, struct why *why)
{
    struct pending_visit visit = {self, again, FARM_OK};
    int rc = experiment_each_pending(self->experiment, queue_pending, &visit, why);
    if (rc == FARM_OK && visit.rc != FARM_OK)
        rc = why_set(why, visit.rc, "no memory for the pending tasks");
    return rc;
}

static bool no_new_trials(const struct farm *self)
{
    struct experiment_summary summary;
    experiment_summary(self->experiment, &summary);
    return summary.proposed >= experiment_config(self->experiment)->trials;
}

/* Results that are to be checked: few, and before anything new. */
static int ask_checks(struct farm *self, struct why *why)
{
    struct proposal proposal;
    int rc;
    while ((rc = experiment_propose_check(self->experiment, &proposal, why)) == FARM_OK)
        if ((rc = queue_proposal(self, &proposal, false)) != FARM_OK)
            return why_set(why, rc, "no memory for a task");
    return rc == FARM_ENOTFOUND ? FARM_OK : rc;
}

/* Proposes while the window has room. What is proposed waits in the queue for the turn's commit. */
static int ask(struct farm *self, struct why *why)
{
    int checks = ask_checks(self, why);
    if (checks != FARM_OK)
        return checks;
    /* A trial that waited for a twin's result is to be evaluated after all when the twin failed. */
    size_t final = self->finishing && !self->finished ? 1 : 0;
    if (experiment_n_pending(self->experiment) + final > inflight_n(self->inflight)) {
        int rc = queue_all_pending(self, false, why);
        if (rc != FARM_OK)
            return rc;
    }
    while (self->connected && !self->all_proposed && !self->exhausted && !self->waiting &&
           !self->hold && inflight_n(self->inflight) < self->view.window) {
        struct proposal proposal;
        int rc = experiment_propose(self->experiment, &proposal, why);
        if (rc == FARM_ENOTFOUND) {
            self->all_proposed = true;
            account_stop(self);
        } else if (rc == FARM_EBUSY) {
            self->waiting = true;
            if (no_new_trials(self)) /* what is left to do depends on what runs */
                account_stop(self);
        } else if (rc == FARM_EEXHAUSTED) {
            self->exhausted = true; /* until the next result, if any is still to come */
            if (inflight_n(self->inflight) == 0) {
                log_warn("the search ends early: %s", why != NULL ? why->text : farm_strerror(rc));
                self->all_proposed = true;
                account_stop(self);
            }
        } else if (rc != FARM_OK) {
            return rc;
        } else if ((rc = queue_proposal(self, &proposal, false)) != FARM_OK) {
            return why_set(why, rc, "no memory for a task");
        }
    }
    return FARM_OK;
}

/* Once everything is recorded: the best one, trained for good. */
static int ask_final(struct farm *self, struct why *why)
{
    if (!self->all_proposed || self->finishing || inflight_n(self->inflight) > 0)
        return FARM_OK;
    self->finishing = true;
    if (!self->options.final) {
        self->finished = true;
        return FARM_OK;
    }
    struct proposal proposal;
    struct why none;
    int rc = experiment_final(self->experiment, &proposal, &none);
    if (rc == FARM_ENOTFOUND || rc == FARM_EBUSY) {
        if (rc == FARM_ENOTFOUND)
            log_warn("no trial succeeded, so there is none to train at the end");
        self->finished = true;
        return FARM_OK;
    }
    if (rc != FARM_OK) {
        if (why != NULL)
            *why = none;
        return rc;
    }
    log_info("training the best trial, %" PRIu64 ", on training and validation images",
             proposal.key.trial);
    rc = queue_proposal(self, &proposal, true);
    return rc == FARM_OK ? rc : why_set(why, rc, "no memory for the final task");
}

/* What the store said. A full disk pauses the farm: nothing is asked, acknowledged or published until a later try to
 * commit succeeds. What no try can heal is returned. */
static int store_said(struct farm *self, int rc, int64_t now, const struct why *why)
{
    if ((rc != FARM_ESTORE && rc != FARM_EIO && rc != FARM_ENOMEM) ||
        experiment_is_broken(self->experiment))
        return rc;
    if (self->view.paused == NULL) {
        self->view.pauses++;
        self->alarm_ms = now;
    }
    self->paused = *why;
    self->view.paused = self->paused.text;
    if (now >= self->alarm_ms) {
        log_error("PAUSED: %s; a new try is made every %.1f s", self->paused.text,
                  self->options.pause_ms / 1000.0);
        self->alarm_ms = now + ALARM_MS;
    }
    self->paused_until_ms = now + self->options.pause_ms;
    return FARM_OK;
}

static void tell_results(struct farm *self)
{
    for (size_t i = 0; i < self->n_untold; i++)
        self->options.watch.result(&self->untold[i].key, &self->untold[i].result,
                                   self->untold[i].worker, self->options.watch.ctx);
    self->n_untold = 0;
}

/* Nothing new is begun by a search that is to stop, or whose store refuses. */
static bool may_ask(const struct farm *self)
{
    return self->experiment != NULL && self->view.paused == NULL && !self->draining &&
           told_to_stop(self) == 0;
}

/* One durable transaction for the turn. */
static int commit(struct farm *self, int64_t now, struct why *why)
{
    int rc = experiment_commit(self->experiment, why);
    if (rc != FARM_OK)
        return store_said(self, rc, now, why);
    if (self->view.paused != NULL)
        log_info("the store takes records again; going on");
    self->view.paused = NULL;
    self->n_durable = self->n_acks;
    tell_results(self);
    return FARM_OK;
}

/* Sends acknowledgements for what is durable. What the pipe does not take waits for the next turn. */
static void acknowledge(struct farm *self)
{
    size_t sent = 0;
    while (self->connected && sent < self->n_durable) {
        struct wire_message message;
        wire_message_init(&message, WIRE_ACK);
        message.u.leases.leases = self->acks + sent;
        message.u.leases.n =
            self->n_durable - sent < ACK_BATCH ? self->n_durable - sent : ACK_BATCH;
        size_t n = message.u.leases.n;
        int rc = self->send(self->ctx, &message);
        message.u.leases.leases = NULL; /* ours */
        message.u.leases.n = 0;
        wire_message_release(&message);
        if (rc != FARM_OK)
            break;
        sent += n;
    }
    if (sent == 0)
        return;
    memmove(self->acks, self->acks + sent, (self->n_acks - sent) * sizeof self->acks[0]);
    self->n_acks -= sent;
    self->n_durable -= sent;
}

/* Sends queued tasks while the window has room. */
static void publish(struct farm *self, int64_t now)
{
    struct inflight_task *task;
    while (self->connected && !self->hold && (task = inflight_queued(self->inflight)) != NULL &&
           inflight_n_published(self->inflight) < self->view.window) {
        struct wire_message message;
        wire_message_init(&message, WIRE_PUBLISH);
        message.u.publish.key = task->key;
        message.u.publish.again = task->again;
        wire_names_add(&message.u.publish.avoid, task->failed_on);
        experiment_avoided(self->experiment, &task->key, &message.u.publish.avoid);
        experiment_untrusted(self->experiment, &message.u.publish.never);
        zmq_msg_copy(&message.payload, &task->payload);
        zmq_msg_copy(&message.blob, &task->blob);
        int rc = self->send(self->ctx, &message);
        wire_message_release(&message);
        if (rc != FARM_OK) {
            if (rc ==
                FARM_EBUSY) /* no connection, or its pipe is full: the heartbeat finds out which */
                self->beat_at_ms = now;
            return;
        }
        inflight_publish(self->inflight, task);
        account_start(self);
    }
}

static int send_simple(struct farm *self, struct wire_message *message)
{
    int rc = self->send(self->ctx, message);
    wire_message_release(message);
    return rc;
}

static int say_hello(struct farm *self)
{
    struct wire_message message;
    wire_message_init(&message, WIRE_HELLO);
    struct wire_hello *hello = &message.u.hello;
    hello->role = WIRE_CONTROLLER;
    memcpy(hello->name, self->options.name, sizeof hello->name);
    hello->incarnation = self->incarnation;
    strncpy(hello->version, NASFARM_VERSION, sizeof hello->version - 1);
    hello->experiment = self->options.experiment;
    hello->demand = demand(self);
    memcpy(hello->data_name, self->data_name, sizeof hello->data_name);
    return send_simple(self, &message);
}

/* Now and then the oldest of what is published is named: the broker says again what was lost on the way. Not while messages
 * are left where they are: its answers would pile up. */
static void name_published(struct farm *self, struct wire_leases *out)
{
    size_t n = inflight_n_published(self->inflight), i = 0;
    n = n < NAMED_MAX ? n : NAMED_MAX;
    if (++self->beats % NAMED_BEATS != 0 || n == 0 || !farm_listens(self) ||
        (out->leases = calloc(n, sizeof *out->leases)) == NULL)
        return;
    for (struct inflight_task *task = inflight_published(self->inflight); i < n; task = task->next)
        out->leases[i++].key = task->key;
    out->n = n;
}

static int beat(struct farm *self)
{
    struct wire_message message;
    wire_message_init(&message, WIRE_HEARTBEAT);
    message.u.leases.demand = demand(self);
    name_published(self, &message.u.leases);
    return send_simple(self, &message);
}

/* HELLO while nobody has welcomed us, heartbeats afterwards; three beats without a word and we greet again. */
static void keep_in_touch(struct farm *self, int64_t now)
{
    if (self->connected && now - self->heard_ms > 3 * self->beat_ms) {
        if (self->experiment != NULL)
            log_warn("the broker at %s is silent; greeting it again", self->endpoint);
        greet_again(self, now);
        self->greet_at_ms = now;
    }
    if (!self->connected) {
        if (now < self->greet_at_ms)
            return;
        say_hello(self); /* no connection yet: the next try is due soon */
        self->greet_at_ms = now + self->greet_wait_ms;
        self->greet_wait_ms =
            self->greet_wait_ms * 2 < GREET_MAX_MS ? self->greet_wait_ms * 2 : GREET_MAX_MS;
    } else if (now >= self->beat_at_ms) {
        if (beat(self) == FARM_EBUSY) {
            greet_again(self, now);
            self->greet_at_ms = now;
        }
        self->beat_at_ms = now + self->beat_ms;
    }
}

/* ------------------------------------------------------------------ leaving */

/* Takes back what has not begun: what is queued here at once, what the broker still holds as it says so (BUSY). */
static void start_drain(struct farm *self)
{
    account_stop(self);
    self->draining = self->view.draining = true;
    struct inflight_task *task;
    while ((task = inflight_queued(self->inflight)) != NULL)
        inflight_remove(self->inflight, task);
    size_t n = inflight_n_published(self->inflight), i = 0;
    struct wire_lease *leases = calloc(n ? n : 1, sizeof *leases);
    if (leases == NULL)
        return; /* then all of them are waited for */
    for (task = inflight_published(self->inflight); task != NULL; task = task->next)
        leases[i++].key = task->key;
    for (i = 0; i < n && self->connected; i += ACK_BATCH) {
        struct wire_message message;
        wire_message_init(&message, WIRE_CANCEL);
        message.u.leases.leases = leases + i;
        message.u.leases.n = n - i < ACK_BATCH ? n - i : ACK_BATCH;
        self->send(self->ctx, &message); /* not taken: waited for, likewise */
        message.u.leases.leases = NULL;
        message.u.leases.n = 0;
        wire_message_release(&message);
    }
    free(leases);
}

/* Draining is over when nothing is out, or when nobody is there to bring it. */
static bool drained(struct farm *self, int64_t now)
{
    if (!self->draining)
        return false;
    struct inflight_task *task;
    while ((task = inflight_queued(self->inflight)) != NULL) /* a broker that was lost meanwhile */
        inflight_remove(self->inflight, task);
    if (!self->connected && self->lost_ms == 0)
        self->lost_ms = now;
    return inflight_n(self->inflight) == 0 ||
           (!self->connected && now - self->lost_ms > DRAIN_UNHEARD_MS);
}

/* ------------------------------------------------------------------ a turn */

static void show(struct farm *self, int64_t now)
{
    account(self);
    self->view.connected = self->connected;
    self->view.outstanding = inflight_n(self->inflight);
    self->view.finishing = self->finishing && !self->finished;
    if (self->options.watch.turn != NULL)
        self->options.watch.turn(&self->view, now, self->options.watch.ctx);
}

int farm_begin(struct farm *self, struct experiment *experiment, int64_t now, struct why *why)
{
    self->experiment = experiment;
    self->heard_ms = now;
    if (experiment == NULL)
        return FARM_OK;
    self->beat_at_ms = 0; /* the demand is known now: tell it */
    return queue_all_pending(self, true, why);
}

bool farm_listens(const struct farm *self)
{
    return self->view.paused == NULL;
}

int64_t farm_due(const struct farm *self)
{
    int64_t due = self->connected ? self->beat_at_ms : self->greet_at_ms;
    return self->deaf && self->paused_until_ms < due ? self->paused_until_ms : due;
}

int farm_message(struct farm *self, struct wire_message *message, int64_t now, struct why *why)
{
    self->heard_ms = now;
    int rc = on_message(self, message, now, why);
    if (rc == FARM_OK && message->kind == WIRE_RESULT && may_ask(self))
        rc = store_said(self, ask(self, why), now, why);
    return rc;
}

int farm_bad_message(struct farm *self, int err, const struct why *bad, int64_t now,
                     struct why *why)
{
    self->heard_ms = now;
    if (err == FARM_EVERSION && !self->connected) /* the answer to our HELLO */
        return why_set(why, err, "the broker at %s: %s; install the same version on both sides",
                       self->endpoint, bad->text);
    if (self->view.malformed++ == 0)
        log_warn("dropped a message from %s: %s", self->endpoint, bad->text);
    return FARM_OK;
}

/* Asks, commits, and tells of it. */
static int move_on(struct farm *self, int stop, int64_t now, struct why *why)
{
    int rc = FARM_OK;
    if (!self->deaf && may_ask(self))
        rc = store_said(self, ask(self, why), now, why);
    if (rc == FARM_OK && !self->deaf && stop == 0 && !self->draining)
        rc = ask_final(self, why);
    if (rc == FARM_OK && (!self->deaf || now >= self->paused_until_ms || stop >= 1))
        rc = commit(self, now, why);
    if (rc == FARM_OK && self->view.paused == NULL) {
        acknowledge(self);
        publish(self, now);
    }
    return rc;
}

static bool is_over(struct farm *self, int stop, int64_t now, enum farm_end *end)
{
    bool paused = self->view.paused != NULL;
    if (stop >= 2 || (stop == 1 && paused)) { /* nothing can be recorded */
        *end = FARM_END_STOPPED;
        return true;
    }
    if (paused || !(self->finished || drained(self, now)))
        return false;
    *end = self->finished ? FARM_END_DONE : FARM_END_DRAINED;
    account_close(self);
    return true;
}

int farm_turn(struct farm *self, int64_t now, enum farm_end *end, bool *over, struct why *why)
{
    int rc = FARM_OK, stop = told_to_stop(self);
    *over = false;
    if (self->deaf)
        self->heard_ms = now; /* nobody listens: no silence is held against the broker */
    if (self->experiment != NULL) {
        if (stop == 1 && !self->draining)
            start_drain(self);
        rc = move_on(self, stop, now, why);
    }
    keep_in_touch(self, now);
    show(self, now);
    if (rc == FARM_OK && self->experiment != NULL)
        *over = is_over(self, stop, now, end);
    if (rc != FARM_OK || *over)
        self->experiment = NULL;
    self->deaf = self->view.paused != NULL;
    return rc;
}

static const struct wire_data *offered(const struct farm *self, const char *name)
{
    for (size_t i = 0; i < self->view.n_data; i++)
        if (strcmp(self->data[i].name, name) == 0 || (name[0] == '\0' && self->view.n_data == 1))
            return &self->data[i];
    return NULL;
}

static int not_offered(const struct farm *self, const char *name, struct why *why)
{
    char list[200] = "";
    for (size_t i = 0; i < self->view.n_data; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%.64s", i ? ", " : "", self->data[i].name);
    }
    if (self->broker == 0)
        return why_set(why, FARM_ENOTFOUND,
                       "no broker answers at %s; is nasfarm-broker running there?", self->endpoint);
    if (self->view.n_data == 0)
        return why_set(
            why, FARM_ENOTFOUND,
            "no worker at %s offers a data set; start one: nasfarm-worker --broker %s --data SPEC",
            self->endpoint, self->endpoint);
    if (name[0] == '\0')
        return why_set(why, FARM_ENOTFOUND,
                       "the workers at %s offer several data sets; choose one by --data: %s",
                       self->endpoint, list);
    return why_set(why, FARM_ENOTFOUND, "no worker at %s offers data set \"%.64s\"; offered: %s",
                   self->endpoint, name, list);
}

int farm_find_data(const struct farm *self, const char *name, struct wire_data *out,
                   struct why *why)
{
    const struct wire_data *data = offered(self, name);
    if (data == NULL)
        return not_offered(self, name, why);
    *out = *data;
    return FARM_OK;
}
