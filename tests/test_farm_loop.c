/* The controller's loop against a broker that this test plays, over an experiment that this test is. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "farm_loop.h"
#include "log.h"

#define DEADLINE_MS 20000
#define EXPERIMENT  77u

/* ------------------------------------------------------------------ the experiment: counters, and a disk that may fill */

struct experiment {
    pthread_mutex_t lock;
    struct experiment_config config;
    uint64_t proposed, durable_proposed; /* trials 0 .. proposed-1 */
    bool done[64], durable_done[64];
    enum outcome outcome[64];
    bool final_done, durable_final, disk_full, broken;
    uint32_t time_limit_s, memory_mb; /* that its tasks bring along */
    bool rungs; /* one trial at a time: the next is proposed when the one before has its result */
    int commits, failed_commits;
};

static uint64_t n_done(const struct experiment *self)
{
    uint64_t n = 0;
    for (size_t i = 0; i < 64; i++)
        n += self->done[i];
    return n;
}

static int make_proposal(const struct experiment *self, uint64_t trial, uint32_t rung,
                         struct proposal *out)
{
    struct task task = {
        .data = "digits", .seed = trial, .graph = (const uint8_t *)"g", .graph_len = 1};

    *out = (struct proposal){.key = {EXPERIMENT, trial, rung}};
    recipe_init(&task.recipe);
    task.recipe.time_limit_s = self->time_limit_s;
    task.recipe.memory_mb = self->memory_mb;
    if (trial % 2 == 1) { /* goes on from a paused training */
        out->resume = malloc(6);
        memcpy(out->resume, "paused", 6);
        out->resume_len = 6;
    }
    return task_pack(&task, &out->task, &out->task_len);
}

const struct experiment_config *experiment_config(const struct experiment *self)
{
    return &self->config;
}

bool experiment_has_rungs(const struct experiment *self)
{
    return self->rungs;
}

int experiment_propose(struct experiment *self, struct proposal *out, struct why *why)
{
    (void)why;
    pthread_mutex_lock(&self->lock);
    int rc = FARM_ENOTFOUND;
    if (self->rungs && self->proposed > n_done(self))
        rc = FARM_EBUSY;
    else if (self->proposed < self->config.trials)
        rc = make_proposal(self, self->proposed++, 0, out);
    pthread_mutex_unlock(&self->lock);
    return rc;
}

/* One worker may be none that is trusted; nothing is checked. */
static const char *untrusted = "";

int experiment_propose_check(struct experiment *self, struct proposal *out, struct why *why)
{
    (void)self, (void)out, (void)why;
    return FARM_ENOTFOUND;
}

void experiment_avoided(const struct experiment *self, const struct wire_key *key,
                        struct wire_names *out)
{
    (void)self, (void)key, (void)out;
}

void experiment_see_workers(struct experiment *self, uint32_t n)
{
    (void)self, (void)n;
}

bool experiment_trusts(const struct experiment *self, const char *worker)
{
    (void)self;
    return strcmp(worker, untrusted) != 0;
}

void experiment_untrusted(const struct experiment *self, struct wire_names *out)
{
    (void)self;
    wire_names_add(out, untrusted);
}

int experiment_record(struct experiment *self, const struct wire_key *key,
                      const struct result *result, const char *worker, const void *blob,
                      size_t blob_len, bool *fresh, struct why *why)
{
    (void)worker, (void)blob, (void)blob_len, (void)why;
    if (key->experiment != EXPERIMENT || key->trial >= 64)
        return FARM_ENOTFOUND;
    pthread_mutex_lock(&self->lock);
    bool *done = key->rung == WIRE_RUNG_FINAL ? &self->final_done : &self->done[key->trial];
    *fresh = !*done;
    if (*fresh)
        self->outcome[key->trial] = result->outcome;
    *done = true;
    pthread_mutex_unlock(&self->lock);
    return FARM_OK;
}

int experiment_commit(struct experiment *self, struct why *why)
{
    int rc = FARM_OK;
    pthread_mutex_lock(&self->lock);
    if (self->disk_full) {
        self->failed_commits++;
        rc = why_set(why, FARM_ESTORE, "no space left on device");
    } else {
        self->commits++;
        self->durable_proposed = self->proposed;
        memcpy(self->durable_done, self->done, sizeof self->done);
        self->durable_final = self->final_done;
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

bool experiment_is_broken(const struct experiment *self)
{
    return self->broken;
}

int experiment_each_pending(struct experiment *self, bool (*visit)(struct proposal *, void *),
                            void *ctx, struct why *why)
{
    (void)why;
    for (uint64_t i = 0; i < self->proposed; i++) {
        struct proposal proposal;
        if (!self->done[i] && make_proposal(self, i, 0, &proposal) == FARM_OK &&
            !visit(&proposal, ctx))
            break;
    }
    return FARM_OK;
}

size_t experiment_n_pending(const struct experiment *self)
{
    return (size_t)(self->proposed - n_done(self));
}

int experiment_final(struct experiment *self, struct proposal *out, struct why *why)
{
    (void)why;
    return self->final_done ? FARM_EBUSY : make_proposal(self, 0, WIRE_RUNG_FINAL, out);
}

void experiment_summary(const struct experiment *self, struct experiment_summary *out)
{
    memset(out, 0, sizeof *out);
    out->proposed = self->proposed;
    out->done = n_done(self);
}

/* ------------------------------------------------------------------ the broker that the test plays */

static struct experiment *experiment;
static void *context, *router;
static char endpoint[64];
static zmq_msg_t peer;
static struct wire_message last;
static struct farm_loop *farm;
static struct farm_options options;
static volatile sig_atomic_t stop;
static pthread_t thread;
static enum farm_end end;
static int farm_rc;
static struct why farm_why;

static void bind_router(const char *where)
{
    struct why why;
    context = zmq_ctx_new();
    router = zmq_socket(context, ZMQ_ROUTER);
    ck_assert_int_eq(wire_socket_options(router, ZMQ_ROUTER, &why), FARM_OK);
    int64_t until =
        clock_ms() + DEADLINE_MS; /* the port of a broker just gone may linger a moment */
    while (zmq_bind(router, where) != 0)
        ck_assert_msg(clock_ms() < until, "cannot bind %s", where);
    size_t len = sizeof endpoint;
    zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, endpoint, &len);
}

static void kill_broker(void)
{
    int none = 0;
    zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof none);
    zmq_close(router);
    zmq_ctx_term(context);
}

static void *run(void *arg)
{
    (void)arg;
    farm_rc = farm_loop_run(farm, experiment, &end, &farm_why);
    if (options.watch.turn != NULL)
        options.watch.turn(farm_view(farm_loop_farm(farm)), 0, options.watch.ctx);
    farm_loop_destroy(&farm);
    return NULL;
}

/* The flag is set as in the program: by a signal handler in the loop's own thread. SIGUSR1: once, SIGUSR2: twice. */
static void on_signal(int signal)
{
    stop = signal == SIGUSR1 ? 1 : 2;
}

static void tell_to_stop(int signal)
{
    ck_assert_int_eq(pthread_kill(thread, signal), 0);
}

static void start_farm(void)
{
    struct why why;
    options.endpoint = endpoint;
    ck_assert_int_eq(farm_loop_create(&farm, &options, &why), FARM_OK);
    ck_assert_int_eq(pthread_create(&thread, NULL, run, NULL), 0);
}

/* The next message that is no heartbeat; WIRE_KIND_END when none comes within ms. */
static enum wire_kind next(int64_t ms)
{
    struct why why;
    int64_t until = clock_ms() + ms;
    for (;;) {
        zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
        int64_t left = until - clock_ms();
        zmq_poll(&item, 1, left > 0 ? (long)left : 0);
        wire_message_release(&last);
        zmq_msg_t from;
        zmq_msg_init(&from);
        int rc = wire_recv(router, &from, &last, &why);
        if (rc == FARM_OK)
            zmq_msg_copy(&peer, &from);
        zmq_msg_close(&from);
        if (rc == FARM_EBUSY && clock_ms() >= until)
            return WIRE_KIND_END;
        if (rc != FARM_OK) {
            ck_assert_int_eq(rc, FARM_EBUSY);
            wire_message_init(&last, WIRE_STATUS);
        } else if (last.kind != WIRE_HEARTBEAT) {
            return last.kind;
        }
    }
}

static void expect(enum wire_kind kind)
{
    enum wire_kind got = next(DEADLINE_MS);
    ck_assert_msg(got == kind, "expected %s, got %s", wire_kind_name(kind),
                  got == WIRE_KIND_END ? "nothing" : wire_kind_name(got));
}

static void expect_publish(uint64_t trial, bool again)
{
    expect(WIRE_PUBLISH);
    ck_assert_uint_eq(last.u.publish.key.trial, trial);
    ck_assert_int_eq(last.u.publish.again, again);
    ck_assert_uint_gt(zmq_msg_size(&last.payload), 0);
    ck_assert_uint_eq(zmq_msg_size(&last.blob), trial % 2 == 1 ? 6 : 0); /* every time */
    pthread_mutex_lock(&experiment->lock);
    ck_assert_msg(last.u.publish.key.rung == WIRE_RUNG_FINAL ||
                      experiment->durable_proposed > trial,
                  "trial %" PRIu64 " was published before it was durable", trial);
    pthread_mutex_unlock(&experiment->lock);
}

static void expect_ack(uint64_t trial)
{
    expect(WIRE_ACK);
    ck_assert_uint_eq(last.u.leases.n, 1);
    ck_assert_uint_eq(last.u.leases.leases[0].key.trial, trial);
}

static void expect_nothing(int64_t ms)
{
    enum wire_kind got = next(ms);
    ck_assert_msg(got == WIRE_KIND_END, "expected nothing, got %s", wire_kind_name(got));
}

static void say(struct wire_message *message)
{
    ck_assert_int_eq(wire_send(router, &peer, message), FARM_OK);
}

static void say_welcome(void)
{
    struct wire_message message;
    wire_message_init(&message, WIRE_WELCOME);
    message.u.welcome.broker = 5;
    message.u.welcome.heartbeat_ms = 200;
    message.u.welcome.lease_ms = 1000;
    say(&message);
    wire_message_release(&message);
}

static void say_window(uint32_t window, uint32_t busy, uint32_t slots)
{
    struct wire_message message;
    wire_message_init(&message, WIRE_WINDOW);
    message.u.window.window = window;
    message.u.window.slots = slots;
    message.u.window.busy = busy;
    message.u.window.n_data = 1;
    message.u.window.data[0] = (struct wire_data){
        .name = "digits", .fingerprint = 9, .h = 8, .w = 8, .c = 1, .classes = 10};
    say(&message);
    wire_message_release(&message);
}

static void say_list(enum wire_kind kind, uint64_t trial)
{
    struct wire_message message;
    struct wire_lease lease = {.key = {EXPERIMENT, trial, 0}};
    wire_message_init(&message, kind);
    message.u.leases.leases = &lease;
    message.u.leases.n = 1;
    say(&message);
    message.u.leases.leases = NULL;
    message.u.leases.n = 0;
    wire_message_release(&message);
}

static void say_result_of(uint64_t id, uint64_t trial, uint32_t rung, uint64_t lease,
                          enum outcome outcome)
{
    struct wire_message message;
    struct result result = {
        .outcome = outcome, .fitness = 0.5, .test_accuracy = NAN, .eval_s = 1000};
    uint8_t *bytes = NULL;
    size_t len = 0;
    ck_assert_int_eq(result_pack(&result, &bytes, &len), FARM_OK);
    wire_message_init(&message, WIRE_RESULT);
    message.u.result.lease.key = (struct wire_key){id, trial, rung};
    message.u.result.lease.lease = lease;
    strcpy(message.u.result.worker, "w");
    zmq_msg_close(&message.payload);
    zmq_msg_init_size(&message.payload, len);
    memcpy(zmq_msg_data(&message.payload), bytes, len);
    say(&message);
    free(bytes);
    wire_message_release(&message);
}

static void say_result(uint64_t trial, enum outcome outcome)
{
    static uint64_t lease;
    say_result_of(EXPERIMENT, trial, 0, ++lease, outcome);
}

/* The next heartbeat that names tasks; the others are answered. */
static void expect_named(uint64_t trial)
{
    struct why why;
    int64_t until = clock_ms() + DEADLINE_MS;
    for (bool named = false; !named;) {
        zmq_pollitem_t item = {router, 0, ZMQ_POLLIN, 0};
        ck_assert_msg(clock_ms() < until, "no heartbeat names a task");
        zmq_poll(&item, 1, 100);
        wire_message_release(&last);
        if (wire_recv(router, &peer, &last, &why) != FARM_OK)
            wire_message_init(&last, WIRE_STATUS);
        if (last.kind == WIRE_HEARTBEAT)
            say_window(2, 1, 2);
        named = last.kind == WIRE_HEARTBEAT && last.u.leases.n > 0;
    }
    ck_assert_uint_eq(last.u.leases.n, 1);
    ck_assert_uint_eq(last.u.leases.leases[0].key.trial, trial);
}

static void copy_view(const struct farm_view *view, int64_t now_ms, void *ctx)
{
    (void)now_ms;
    *(struct farm_view *)ctx = *view;
}

static void join(void)
{
    pthread_join(thread, NULL);
    ck_assert_msg(farm_rc == FARM_OK, "%s", farm_why.text);
}

static void begin(void)
{
    log_open("test", LOG_ERROR + 1);
    experiment = calloc(1, sizeof *experiment);
    pthread_mutex_init(&experiment->lock, NULL);
    experiment->config.trials = 3;
    stop = 0;
    memset(&options, 0, sizeof options);
    strcpy(options.name, "test");
    options.experiment = EXPERIMENT;
    options.stop = &stop;
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    options.pause_ms = 20;
    wire_message_init(&last, WIRE_STATUS);
    zmq_msg_init(&peer);
    bind_router("tcp://127.0.0.1:*");
}

static void finish(void)
{
    wire_message_release(&last);
    zmq_msg_close(&peer);
    kill_broker();
    pthread_mutex_destroy(&experiment->lock);
    free(experiment);
}

static void greet(uint32_t window)
{
    expect(WIRE_HELLO);
    say_welcome();
    say_window(window, 0, window);
}

/* ------------------------------------------------------------------ what must be true */

START_TEST(a_search_is_hello_publish_result_ack_goodbye)
{
    start_farm();
    expect(WIRE_HELLO);
    ck_assert_int_eq(last.u.hello.role, WIRE_CONTROLLER);
    ck_assert_uint_eq(last.u.hello.experiment, EXPERIMENT);
    ck_assert_uint_eq(last.u.hello.demand, 3);
    say_welcome();
    say_window(8, 0, 8);
    for (uint64_t trial = 0; trial < 3; trial++)
        expect_publish(trial, false);
    for (uint64_t trial = 0; trial < 3; trial++) {
        say_result(trial, OUTCOME_OK);
        expect_ack(trial);
        pthread_mutex_lock(&experiment->lock);
        ck_assert_msg(experiment->durable_done[trial], "acknowledged before durable");
        pthread_mutex_unlock(&experiment->lock);
    }
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(end, FARM_END_DONE);
}
END_TEST

/* Told of a result before it is durable: a negative count, for good. */
static void count_durable(const struct wire_key *key, const struct result *result,
                          const char *worker, void *ctx)
{
    int *told = ctx;
    (void)result, (void)worker;
    pthread_mutex_lock(&experiment->lock);
    if (*told >= 0)
        *told = experiment->durable_done[key->trial] ? *told + 1 : -1;
    pthread_mutex_unlock(&experiment->lock);
}

START_TEST(nothing_is_published_acknowledged_or_told_while_the_disk_is_full)
{
    int told = 0;
    options.watch.result = count_durable;
    options.watch.ctx = &told;
    start_farm();
    greet(1);
    expect_publish(0, false);
    pthread_mutex_lock(&experiment->lock);
    experiment->disk_full = true;
    pthread_mutex_unlock(&experiment->lock);
    say_result(0, OUTCOME_OK);
    int64_t until = clock_ms() + DEADLINE_MS;
    for (int failed = 0; failed < 3;) {
        ck_assert(clock_ms() < until);
        expect_nothing(10);
        pthread_mutex_lock(&experiment->lock);
        failed = experiment->failed_commits;
        pthread_mutex_unlock(&experiment->lock);
    }
    pthread_mutex_lock(&experiment->lock);
    experiment->disk_full = false;
    pthread_mutex_unlock(&experiment->lock);
    expect_ack(0);
    expect_publish(1, false);
    tell_to_stop(SIGUSR2);
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(end, FARM_END_STOPPED);
    ck_assert_int_eq(told, 1);
}
END_TEST

/* No try would ever succeed: better an end with a sentence than a pause without one. */
START_TEST(a_search_that_is_half_recorded_in_memory_ends)
{
    start_farm();
    greet(1);
    expect_publish(0, false);
    pthread_mutex_lock(&experiment->lock);
    experiment->disk_full = experiment->broken = true;
    pthread_mutex_unlock(&experiment->lock);
    say_result(0, OUTCOME_OK);
    expect(WIRE_GOODBYE);
    pthread_join(thread, NULL);
    ck_assert_int_eq(farm_rc, FARM_ESTORE);
}
END_TEST

START_TEST(a_broker_of_another_version_ends_it_with_both_versions)
{
    start_farm();
    expect(WIRE_HELLO);
    ck_assert_int_ge(zmq_msg_send(&peer, router, ZMQ_SNDMORE), 0);
    ck_assert_int_eq(zmq_send(router, "NF\x09\x02", 4, ZMQ_SNDMORE), 4);
    ck_assert_int_eq(zmq_send(router, "", 0, 0), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(farm_rc, FARM_EVERSION);
    ck_assert_msg(strstr(farm_why.text,
                         "protocol version 9; this program speaks version 2; install "
                         "the same version on both sides") != NULL,
                  "%s", farm_why.text);
}
END_TEST

/* What came cannot be recorded: the worker keeps it, for whoever resumes. */
START_TEST(one_stop_ends_a_search_whose_disk_is_full)
{
    start_farm();
    greet(1);
    expect_publish(0, false);
    pthread_mutex_lock(&experiment->lock);
    experiment->disk_full = true;
    pthread_mutex_unlock(&experiment->lock);
    say_result(0, OUTCOME_OK);
    expect_nothing(50);
    tell_to_stop(SIGUSR1);
    expect(WIRE_GOODBYE); /* and no ACK before */
    join();
    ck_assert_int_eq(end, FARM_END_STOPPED);
}
END_TEST

START_TEST(no_more_than_the_window_is_ever_out)
{
    start_farm();
    greet(2);
    expect_publish(0, false);
    expect_publish(1, false);
    expect_nothing(50);
    say_result(1, OUTCOME_OK);
    expect_ack(1);
    expect_publish(2, false);
    tell_to_stop(SIGUSR2);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(what_waits_for_a_result_is_asked_for_when_it_came)
{
    experiment->rungs = true;
    experiment->config.trials = 3;
    start_farm();
    greet(4);
    for (uint64_t trial = 0; trial < 3; trial++) {
        expect_publish(trial, false);
        expect_nothing(50);
        say_result(trial, OUTCOME_OK);
        expect_ack(trial);
    }
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(a_busy_broker_gets_the_task_again_when_its_window_allows)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    expect_publish(0, false);
    say_list(WIRE_BUSY, 0);
    expect_nothing(50);
    say_window(1, 0, 1);
    expect_publish(0, false);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(what_is_published_is_named_now_and_then_so_that_none_is_lost)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    expect_publish(0, false);
    expect_named(0);
    say_list(WIRE_BUSY, 0); /* it never came */
    say_window(1, 0, 1);
    expect_publish(0, false);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(a_second_copy_of_a_result_is_acknowledged_and_dropped)
{
    start_farm();
    greet(1);
    expect_publish(0, false);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect_publish(1, false);
    say_result(0, OUTCOME_DIVERGED);
    expect_ack(0);
    tell_to_stop(SIGUSR2);
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(experiment->outcome[0], OUTCOME_OK);
}
END_TEST

START_TEST(a_result_of_another_experiment_is_not_acknowledged)
{
    start_farm();
    greet(1);
    expect_publish(0, false);
    say_result_of(EXPERIMENT + 1, 0, 0, 1, OUTCOME_OK);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    tell_to_stop(SIGUSR2);
    expect_publish(1, false);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(a_restarted_broker_is_given_everything_pending_again)
{
    experiment->config.trials = 2;
    start_farm();
    greet(2);
    expect_publish(0, false);
    expect_publish(1, false);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    char same[64];
    memcpy(same, endpoint, sizeof same);
    kill_broker();
    bind_router(same);
    greet(2);
    expect_publish(1, true);
    say_result(1, OUTCOME_OK);
    expect_ack(1);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(a_broker_that_has_forgotten_us_gets_a_hello_and_the_tasks)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    expect_publish(0, false);
    struct wire_message refuse;
    wire_message_init(&refuse, WIRE_REFUSE);
    refuse.u.refuse.code = REFUSE_HELLO_FIRST;
    say(&refuse);
    wire_message_release(&refuse);
    greet(1);
    expect_publish(0, true);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(a_silent_broker_is_greeted_again)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    expect_publish(0, false);
    greet(1); /* three beats of 200 ms later, though nothing was said */
    expect_publish(0, true);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(what_an_earlier_run_left_pending_is_published_again)
{
    experiment->proposed = experiment->durable_proposed = 2;
    experiment->done[0] = experiment->durable_done[0] = true;
    start_farm();
    greet(4);
    expect_publish(1, true);
    expect_publish(2, false);
    tell_to_stop(SIGUSR2);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

/* The first failure may be the worker's; the second is the genome's. */
static const struct {
    enum outcome outcome;
    int evaluations;
    uint32_t time_limit_s, memory_mb; /* of the task */
} blame[] = {
    {OUTCOME_CRASHED, 2, 0, 0},  {OUTCOME_LOST, 2, 0, 0},     {OUTCOME_OK, 1, 0, 0},
    {OUTCOME_DIVERGED, 1, 0, 0}, {OUTCOME_REJECTED, 1, 0, 0}, {OUTCOME_OOM, 2, 0, 0},
    {OUTCOME_OOM, 1, 0, 100},    {OUTCOME_TIMEOUT, 2, 0, 0},  {OUTCOME_TIMEOUT, 1, 10, 0},
};

START_TEST(what_may_be_the_workers_doing_gets_one_more_try_elsewhere_and_else_none)
{
    experiment->config.trials = 1;
    experiment->time_limit_s = blame[_i].time_limit_s;
    experiment->memory_mb = blame[_i].memory_mb;
    start_farm();
    greet(1);
    for (int i = 0; i < blame[_i].evaluations; i++) {
        expect_publish(0, false);
        ck_assert_uint_eq(last.u.publish.avoid.n, i > 0);
        ck_assert_str_eq(last.u.publish.avoid.name[0], i > 0 ? "w" : "");
        say_result(0, blame[_i].outcome);
        expect_ack(0);
    }
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(experiment->outcome[0], blame[_i].outcome);
}
END_TEST

START_TEST(a_result_of_a_worker_that_is_not_trusted_is_refused_and_the_task_goes_to_others)
{
    experiment->config.trials = 1;
    untrusted = "w";
    start_farm();
    greet(1);
    expect_publish(0, false);
    ck_assert_uint_eq(last.u.publish.never.n, 1);
    ck_assert_str_eq(last.u.publish.never.name[0], "w");
    say_result(0, OUTCOME_OK);
    expect_ack(0); /* it may forget it */
    expect_publish(0, false);
    untrusted = "";
    say_result_of(EXPERIMENT, 0, 0, 2, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
}
END_TEST

START_TEST(the_same_failure_told_twice_counts_once)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    expect_publish(0, false);
    say_result_of(EXPERIMENT, 0, 0, 41, OUTCOME_LOST);
    expect_ack(0);
    expect_publish(0, false);
    say_result_of(EXPERIMENT, 0, 0, 41, OUTCOME_LOST);
    expect_ack(0);
    say_result_of(EXPERIMENT, 0, 0, 42, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(experiment->outcome[0], OUTCOME_OK);
}
END_TEST

START_TEST(a_result_that_cannot_be_read_is_a_crash)
{
    experiment->config.trials = 1;
    start_farm();
    greet(1);
    for (uint64_t lease = 1; lease <= 2; lease++) {
        struct wire_message garbage;
        expect_publish(0, false);
        wire_message_init(&garbage, WIRE_RESULT);
        garbage.u.result.lease.key = (struct wire_key){EXPERIMENT, 0, 0};
        garbage.u.result.lease.lease = lease;
        strcpy(garbage.u.result.worker, "w");
        zmq_msg_close(&garbage.payload);
        zmq_msg_init_size(&garbage.payload, 9);
        memset(zmq_msg_data(&garbage.payload), 0xff, 9);
        say(&garbage);
        wire_message_release(&garbage);
        expect_ack(0);
    }
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(experiment->outcome[0], OUTCOME_CRASHED);
}
END_TEST

START_TEST(a_drain_takes_back_what_has_not_begun_and_waits_for_the_rest)
{
    start_farm();
    greet(2);
    expect_publish(0, false);
    expect_publish(1, false);
    tell_to_stop(SIGUSR1);
    expect(WIRE_CANCEL);
    ck_assert_uint_eq(last.u.leases.n, 2);
    ck_assert(!last.u.leases.leases[0].running);
    say_list(WIRE_BUSY, 1); /* trial 1 had not begun; trial 0 goes on */
    expect_nothing(50);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
    ck_assert_int_eq(end, FARM_END_DRAINED);
    ck_assert(experiment->durable_done[0] && !experiment->durable_done[1]);
    ck_assert_uint_eq(experiment->proposed, 2);
}
END_TEST

START_TEST(the_final_training_is_published_once_all_else_is_recorded)
{
    experiment->config.trials = 1;
    options.final = true;
    start_farm();
    greet(4);
    expect_publish(0, false);
    expect_nothing(50);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_PUBLISH);
    ck_assert_uint_eq(last.u.publish.key.rung, WIRE_RUNG_FINAL);
    say_result_of(EXPERIMENT, 0, WIRE_RUNG_FINAL, 9, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
    ck_assert(experiment->durable_final);
}
END_TEST

START_TEST(a_broker_of_another_version_ends_the_run_with_its_sentence)
{
    start_farm();
    expect(WIRE_HELLO);
    struct wire_message refuse;
    wire_message_init(&refuse, WIRE_REFUSE);
    refuse.u.refuse.code = REFUSE_VERSION;
    strcpy(refuse.u.refuse.sentence, "this broker speaks version 9");
    say(&refuse);
    wire_message_release(&refuse);
    pthread_join(thread, NULL);
    ck_assert_int_eq(farm_rc, FARM_EVERSION);
    ck_assert_ptr_nonnull(strstr(farm_why.text, "this broker speaks version 9"));
}
END_TEST

/* One slot, and an evaluation that says it took longer than the whole run: all of the time was busy. */
START_TEST(utilisation_is_the_share_of_slot_time_that_evaluations_took)
{
    static struct farm_view seen;
    experiment->config.trials = 1;
    options.watch.turn = copy_view;
    options.watch.ctx = &seen;
    start_farm();
    greet(1);
    expect_publish(0, false);
    say_window(1, 1, 1);
    say_result(0, OUTCOME_OK);
    expect_ack(0);
    expect(WIRE_GOODBYE);
    join();
    ck_assert_double_gt(seen.slot_s, 0);
    ck_assert_double_gt(seen.busy_share, 0.0);
    ck_assert_double_le(seen.busy_share, 1.0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("farm_loop");
    TCase *tcase = tcase_create("dialogue");
    tcase_add_checked_fixture(tcase, begin, finish);
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, a_search_is_hello_publish_result_ack_goodbye);
    tcase_add_test(tcase, nothing_is_published_acknowledged_or_told_while_the_disk_is_full);
    tcase_add_test(tcase, a_search_that_is_half_recorded_in_memory_ends);
    tcase_add_test(tcase, a_broker_of_another_version_ends_it_with_both_versions);
    tcase_add_test(tcase, one_stop_ends_a_search_whose_disk_is_full);
    tcase_add_test(tcase, no_more_than_the_window_is_ever_out);
    tcase_add_test(tcase, what_waits_for_a_result_is_asked_for_when_it_came);
    tcase_add_test(tcase, a_busy_broker_gets_the_task_again_when_its_window_allows);
    tcase_add_test(tcase, what_is_published_is_named_now_and_then_so_that_none_is_lost);
    tcase_add_test(tcase, a_second_copy_of_a_result_is_acknowledged_and_dropped);
    tcase_add_test(tcase, a_result_of_another_experiment_is_not_acknowledged);
    tcase_add_test(tcase, a_restarted_broker_is_given_everything_pending_again);
    tcase_add_test(tcase, a_broker_that_has_forgotten_us_gets_a_hello_and_the_tasks);
    tcase_add_test(tcase, a_silent_broker_is_greeted_again);
    tcase_add_test(tcase, what_an_earlier_run_left_pending_is_published_again);
    tcase_add_loop_test(tcase,
                        what_may_be_the_workers_doing_gets_one_more_try_elsewhere_and_else_none, 0,
                        (int)(sizeof blame / sizeof blame[0]));
    tcase_add_test(tcase, the_same_failure_told_twice_counts_once);
    tcase_add_test(tcase, a_result_that_cannot_be_read_is_a_crash);
    tcase_add_test(tcase,
                   a_result_of_a_worker_that_is_not_trusted_is_refused_and_the_task_goes_to_others);
    tcase_add_test(tcase, a_drain_takes_back_what_has_not_begun_and_waits_for_the_rest);
    tcase_add_test(tcase, the_final_training_is_published_once_all_else_is_recorded);
    tcase_add_test(tcase, a_broker_of_another_version_ends_the_run_with_its_sentence);
    tcase_add_test(tcase, utilisation_is_the_share_of_slot_time_that_evaluations_took);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
