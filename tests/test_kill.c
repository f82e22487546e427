/* test_kill.c - an evolution runs while its processes are killed with SIGKILL, at random moments, again and again.
 *
 * Controller, broker and two workers are the real programs. A third worker lives in this process: the witness. It
 * evaluates as the others do, and notes every result that was acknowledged to it. In the end the store must hold each
 * of them, once, as it was sent; and the population must be what the journal gives when it is replayed in one go.
 *
 * NASFARM_KILLS sets how many kills (20), NASFARM_KILL_SEED when and whom (drawn, and printed).
 */
#include <check.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "data/dataset.h"
#include "farm_kit.h"
#include "rng.h"
#include "store.h"
#include "synthetic.h"
#include "task.h"
#include "wire.h"

enum process { BROKER, WORKER_A, WORKER_B, CONTROLLER, PROCESSES };
static const char *const process_names[] = {"broker", "worker-a", "worker-b", "controller"};

struct farm_under_test {
    char folder[256], run[300], endpoint[64];
    char logs[PROCESSES][300];
    pid_t pids[PROCESSES];
    bool resumed; /* the controller has a store to resume */
};

static void start(struct farm_under_test *f, enum process which)
{
    const char *broker[] = {BIN_BROKER, "--listen", f->endpoint, "--heartbeat",
                            "100",      "--lease",  "1000",      NULL};
    const char *worker[] = {BIN_WORKER, "--broker",    f->endpoint,          "--slots",
                            "4",        "--name",      process_names[which], "--data",
                            "digits",   "--evaluator", "synthetic:1-20",     NULL};
    const char *search[] = {BIN_NASFARM,
                            "search",
                            "--broker",
                            f->endpoint,
                            "--out",
                            f->run,
                            "--space",
                            "nasbench201",
                            "--data",
                            "digits",
                            "--strategy-options",
                            "population=20,sample=5",
                            "--trials",
                            "1000000",
                            "--seed",
                            "7",
                            "--train-known-again",
                            "--no-final",
                            NULL};
    const char *resume[] = {BIN_NASFARM, "resume", f->run, "--broker", f->endpoint, NULL};
    const char *const *argv = which == BROKER       ? broker
                              : which != CONTROLLER ? worker
                              : f->resumed          ? resume
                                                    : search;

    f->pids[which] = kit_start(argv, f->logs[which]);
}

/* ---- the witness --------------------------------------------------------------------------------------- */

struct evidence { /* a result of ours */
    struct wire_key key;
    uint64_t lease;
    double fitness;
    bool acknowledged;
};

struct witness {
    void *context, *socket;
    struct wire_data data;
    uint64_t incarnation;
    int64_t last_hello, last_heartbeat, last_resend;
    struct evidence *results;
    size_t n, capacity;
};

static void witness_send_result(struct witness *w, const struct evidence *e)
{
    struct result r = {.outcome = OUTCOME_OK, .fitness = e->fitness, .isa = "witness", .epochs = 1};
    struct wire_message m;
    uint8_t *bytes;
    size_t len;

    ck_assert_int_eq(result_pack(&r, &bytes, &len), FARM_OK);
    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease = (struct wire_lease){.key = e->key, .lease = e->lease};
    (void)snprintf(m.u.result.worker, sizeof m.u.result.worker, "witness");
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, len), 0);
    memcpy(zmq_msg_data(&m.payload), bytes, len);
    (void)wire_send(w->socket, NULL, &m); /* not there now: sent again later */
    wire_message_release(&m);
    free(bytes);
}

static void witness_resend(struct witness *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (!w->results[i].acknowledged)
            witness_send_result(w, &w->results[i]);
}

static void witness_hello(struct witness *w)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = WIRE_WORKER,
                                    .name = "witness",
                                    .incarnation = w->incarnation,
                                    .slots = 2,
                                    .ahead = 2,
                                    .n_data = 1};
    m.u.hello.data[0] = w->data;
    (void)wire_send(w->socket, NULL, &m);
}

/* Evaluates at once; the time it would take is spent by the others. */
static void witness_on_task(struct witness *w, const struct wire_message *m)
{
    struct task task;
    struct why why;
    void *hold;
    struct evidence *e;

    ck_assert_msg(task_unpack(&task, &hold, zmq_msg_data((zmq_msg_t *)&m->payload),
                              zmq_msg_size(&m->payload), &why) == FARM_OK,
                  "%s", why.text);
    if (w->n == w->capacity) {
        w->capacity = w->capacity > 0 ? 2 * w->capacity : 1024;
        ck_assert_ptr_nonnull(w->results = realloc(w->results, w->capacity * sizeof *w->results));
    }
    e = &w->results[w->n++];
    *e = (struct evidence){m->u.task.key, m->u.task.lease, synthetic_fitness(&task), false};
    witness_send_result(w, e);
    free(hold);
}

static void witness_on_ack(struct witness *w, const struct wire_leases *acks)
{
    for (size_t i = 0; i < acks->n; i++)
        for (size_t k = 0; k < w->n; k++)
            if (wire_key_equal(&acks->leases[i].key, &w->results[k].key))
                w->results[k].acknowledged = true;
}

/* Does what came, and what is due, until `until` (monotonic milliseconds). */
static void witness_run(struct witness *w, int64_t until)
{
    int64_t now;

    while ((now = clock_ms()) < until) {
        zmq_pollitem_t item = {w->socket, 0, ZMQ_POLLIN, 0};
        struct wire_message m;
        struct why why;

        if (now - w->last_heartbeat >= 100) {
            wire_message_init(&m, WIRE_HEARTBEAT);
            (void)wire_send(w->socket, NULL, &m);
            w->last_heartbeat = now;
        }
        if (now - w->last_resend >= 500) {
            witness_resend(w);
            w->last_resend = now;
        }
        (void)zmq_poll(&item, 1, (long)(until - now < 50 ? until - now : 50));
        while (wire_recv(w->socket, NULL, &m, &why) == FARM_OK) {
            if (m.kind == WIRE_REFUSE && clock_ms() - w->last_hello > 50) {
                w->last_hello = clock_ms();
                witness_hello(w);
            } else if (m.kind == WIRE_WELCOME) {
                witness_resend(w);
            } else if (m.kind == WIRE_TASK) {
                witness_on_task(w, &m);
            } else if (m.kind == WIRE_ACK) {
                witness_on_ack(w, &m.u.leases);
            }
            wire_message_release(&m);
        }
    }
}

static void witness_open(struct witness *w, const char *endpoint)
{
    struct dataset *digits = NULL;
    struct why why;

    *w = (struct witness){.incarnation = (uint64_t)clock_ns()};
    ck_assert_msg(dataset_open(&digits, "digits", &why) == FARM_OK, "%s", why.text);
    w->data = (struct wire_data){.name = "digits",
                                 .fingerprint = digits->fingerprint,
                                 .h = digits->h,
                                 .w = digits->w,
                                 .c = digits->c,
                                 .classes = digits->classes,
                                 .n_train = digits->n_train,
                                 .n_test = digits->n_test};
    dataset_close(&digits);
    wire_seed();
    w->context = zmq_ctx_new();
    w->socket = zmq_socket(w->context, ZMQ_DEALER);
    ck_assert_int_eq(wire_socket_options(w->socket, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_connect(w->socket, endpoint), 0);
}

static void witness_close(struct witness *w)
{
    zmq_close(w->socket);
    zmq_ctx_term(w->context);
    free(w->results);
}

/* ---- what must be true in the end ------------------------------------------------------------------------ */

struct count {
    uint8_t *results; /* per trial: RESULT events */
    uint64_t n, twice, events;
};

static bool count_event(const struct event *e, void *ctx)
{
    struct count *c = ctx;

    c->events++;
    if (e->kind == EVENT_RESULT && e->trial < c->n && c->results[e->trial]++ > 0)
        c->twice++;
    return true;
}

static uint64_t bits_of(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static void check_store(const struct farm_under_test *f, const struct witness *w)
{
    struct store *store = NULL;
    struct count count = {0};
    struct why why;
    size_t acknowledged = 0, lost = 0, different = 0;

    ck_assert_msg(store_open(&store, f->run, STORE_READ, NULL, &why) == FARM_OK, "%s", why.text);
    for (size_t i = 0; i < w->n; i++) {
        struct trial_record record;

        if (!w->results[i].acknowledged)
            continue;
        acknowledged++;
        if (store_get_trial(store, w->results[i].key.trial, &record) != FARM_OK) {
            lost++;
            continue;
        }
        if (record.state != TRIAL_DONE)
            lost++;
        else if (bits_of(record.result.fitness) != bits_of(w->results[i].fitness))
            different++;
        trial_record_release(&record);
    }
    count.n = store_n_trials(store);
    ck_assert_ptr_nonnull(count.results = calloc(count.n + 1, 1));
    ck_assert_msg(store_each_event(store, 0, count_event, &count, &why) == FARM_OK, "%s", why.text);
    printf("kill test: %llu trials, %llu done, %llu events, %zu acknowledged to the witness: %zu "
           "lost, %zu different, "
           "%llu counted twice\n",
           (unsigned long long)count.n, (unsigned long long)store_n_done(store),
           (unsigned long long)count.events, acknowledged, lost, different,
           (unsigned long long)count.twice);
    ck_assert_uint_gt(acknowledged, 0);
    ck_assert_uint_eq(lost, 0);
    ck_assert_uint_eq(different, 0);
    ck_assert_uint_eq(count.twice, 0);
    free(count.results);
    store_close(&store);
}

static void check_replay(const struct farm_under_test *f)
{
    const char *replay[] = {BIN_NASFARM, "replay", f->run, NULL};
    char log[320];
    char *text;
    int status;

    (void)snprintf(log, sizeof log, "%s/replay.log", f->folder);
    status = kit_wait(kit_start(replay, log), 60);
    text = kit_read(log);
    printf("%s", text);
    ck_assert_msg(status == 0, "replay exits %d: %s", status, text);
    free(text);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* A process may end by itself only when it was not told to stay: then its log says why. */
static void check_alive(struct farm_under_test *f, enum process which)
{
    int status;

    if (kit_ended(f->pids[which], &status)) {
        char *log = kit_read(f->logs[which]);
        size_t len = strlen(log);

        ck_abort_msg("the %s ended by itself with status %d: ...%s", process_names[which], status,
                     log + (len > 600 ? len - 600 : 0));
    }
}

START_TEST(what_is_killed_loses_nothing_and_counts_nothing_twice)
{
    uint64_t kills = number_from("NASFARM_KILLS", 20),
             seed = number_from("NASFARM_KILL_SEED", (uint64_t)clock_ns());
    uint64_t per_process[PROCESSES] = {0};
    struct farm_under_test f = {.resumed = false};
    struct witness w;
    struct rng rng;
    int status;

    printf("kill test: %llu kills, NASFARM_KILL_SEED=%llu\n", (unsigned long long)kills,
           (unsigned long long)seed);
    (void)fflush(stdout);
    rng_seed(&rng, seed);
    kit_folder(f.folder, sizeof f.folder, "kill");
    (void)snprintf(f.run, sizeof f.run, "%s/run", f.folder);
    (void)snprintf(f.endpoint, sizeof f.endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    for (int i = 0; i < PROCESSES; i++)
        (void)snprintf(f.logs[i], sizeof f.logs[i], "%s/%s.log", f.folder, process_names[i]);
    for (int i = 0; i < PROCESSES; i++)
        start(&f, (enum process)i);
    witness_open(&w, f.endpoint);
    witness_hello(&w);
    for (int64_t end = clock_ms() + 30000; w.n < 20 && clock_ms() < end;) /* it runs */
        witness_run(&w, clock_ms() + 20);
    ck_assert_uint_ge(w.n, 20);
    f.resumed = true;
    for (uint64_t k = 0; k < kills; k++) {
        enum process victim = (enum process)rng_below(&rng, PROCESSES);

        witness_run(&w, clock_ms() + 10 + (int64_t)rng_below(&rng, 250));
        check_alive(&f, victim);
        kit_kill(f.pids[victim]);
        per_process[victim]++;
        if (rng_below(&rng, 4) == 0) /* sometimes it stays away for a while */
            witness_run(&w, clock_ms() + (int64_t)rng_below(&rng, 400));
        start(&f, victim);
    }
    printf("kill test: killed broker %llu, workers %llu, controller %llu times\n",
           (unsigned long long)per_process[BROKER],
           (unsigned long long)per_process[WORKER_A] + per_process[WORKER_B],
           (unsigned long long)per_process[CONTROLLER]);
    size_t before = w.n;

    for (int64_t end = clock_ms() + 30000;
         w.n < before + 100 && clock_ms() < end;) /* it still runs */
        witness_run(&w, clock_ms() + 20);
    ck_assert_uint_ge(w.n, before + 100);
    check_alive(&f, CONTROLLER);
    ck_assert_int_eq(kill(f.pids[CONTROLLER], SIGTERM), 0);
    for (int64_t end = clock_ms() + 30000;
         !kit_ended(f.pids[CONTROLLER], &status) && clock_ms() < end;)
        witness_run(&w, clock_ms() + 20);
    ck_assert_int_eq(status, 0);
    witness_run(&w, clock_ms() + 200); /* acknowledgements under way */
    for (int i = BROKER; i <= WORKER_B; i++)
        kit_kill(f.pids[i]);
    check_store(&f, &w);
    check_replay(&f);
    witness_close(&w);
    kit_remove(f.folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("kill");
    TCase *tcase = tcase_create("kill");
    SRunner *runner = srunner_create(suite);
    int failed;

    suite_add_tcase(suite, tcase);
    tcase_set_timeout(tcase, 0); /* ctest's holds */
    tcase_add_test(tcase, what_is_killed_loses_nothing_and_counts_nothing_twice);
    srunner_set_fork_status(runner, CK_NOFORK); /* the processes are children of this one */
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
