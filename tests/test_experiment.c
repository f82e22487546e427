/* The search as a fold over its journal: cut off anywhere, it goes on as if it had not been. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "experiment.h"
#include "inside.h"
#include "log.h"

#define TRIALS 500

static char folder[64], dir[96], other[96];
static struct why why;

static void make_folder(void)
{
    strcpy(folder, "/tmp/nasfarm-experiment-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(dir, sizeof dir, "%s/a", folder);
    (void)snprintf(other, sizeof other, "%s/b", folder);
    log_open("test_experiment", LOG_ERROR);
}

static void remove_folder(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock", ""};

    for (size_t i = 0; i < 8; i++) {
        char path[200];

        (void)snprintf(path, sizeof path, "%s/%s", i < 4 ? dir : other, files[i % 4]);
        (void)remove(path);
    }
    (void)rmdir(folder);
}

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == FARM_OK, "%s: %s: %s", #call, farm_strerror(rc_), why.text);          \
    } while (0)

static struct experiment_config make_config(const char *space, const char *strategy,
                                            const char *options)
{
    struct experiment_config c = {.seed = 7,
                                  .trials = TRIALS,
                                  .id = 99,
                                  .data = {"tiny", 0xfedcba9876543210, 8, 8, 1, 10, 100, 20}};

    (void)snprintf(c.name, sizeof c.name, "test");
    (void)snprintf(c.space.name, sizeof c.space.name, "%s", space);
    c.space.input = (struct graph_shape){8, 8, 1};
    c.space.classes = 10;
    c.space.channels = 8;
    c.space.cells = 1;
    c.space.stages = 1;
    (void)snprintf(c.strategy, sizeof c.strategy, "%s", strategy);
    (void)snprintf(c.strategy_options, sizeof c.strategy_options, "%s", options);
    recipe_init(&c.recipe);
    recipe_init(&c.final_recipe);
    c.final_recipe.epochs = 30;
    return c;
}

static struct experiment *create(const char *where, const struct experiment_config *config)
{
    struct experiment *e = NULL;

    ok(experiment_create(&e, where, config, NULL, &why));
    return e;
}

static struct experiment *reopen(struct experiment *e)
{
    experiment_close(&e);
    ck_assert_ptr_null(e);
    ok(experiment_open(&e, dir, NULL, &why));
    return e;
}

/* ---------------------------------------------------------------- an evaluator: a function of the graph */

static struct result evaluate(const uint8_t *bytes, size_t len, struct digest *hash)
{
    struct result result = {.outcome = OUTCOME_OK,
                            .loss = 1,
                            .test_accuracy = NAN,
                            .test_loss = NAN,
                            .n_validation = 50,
                            .isa = "test"};
    struct graph *graph = NULL;
    struct task task;
    void *hold = NULL;
    uint64_t bits;

    ok(task_unpack(&task, &hold, bytes, len, &why));
    ck_assert_str_eq(task.data, "tiny");
    ck_assert_uint_eq(task.data_fingerprint, 0xfedcba9876543210);
    ok(graph_unpack(&graph, task.graph, task.graph_len, &why));
    ok(graph_hash(graph, hash));
    memcpy(&bits, hash->bytes, sizeof bits);
    ck_assert_uint_eq(task.seed, rng_mix(7, 1)); /* the same for all: common random numbers */
    result.fitness = (double)(bits % 100003) / 100003;
    if (bits % 13 == 0) {
        result.outcome = OUTCOME_OOM;
        result.fitness = NAN;
        strcpy(result.reason, "it wanted too much");
    }
    graph_destroy(&graph);
    free(hold);
    return result;
}

/* What is out in the farm: tasks with their results. */
struct farm_of_one {
    struct wire_key key[1024];
    struct result result[1024];
    size_t n;
    struct rng rng;
    struct digest task[TRIALS]; /* each trial's task bytes: the same whenever it is published */
    bool published[TRIALS];
    uint64_t evaluations;
};

static void publish(struct farm_of_one *f, const struct proposal *p)
{
    struct digest hash, bytes;

    ck_assert_uint_eq(p->key.experiment, 99);
    ck_assert_uint_eq(p->key.rung, 0);
    ck_assert_uint_lt(p->key.trial, TRIALS);
    digest_of(&bytes, p->task, p->task_len);
    if (f->published[p->key.trial])
        ck_assert_mem_eq(&f->task[p->key.trial], &bytes, sizeof bytes);
    f->published[p->key.trial] = true;
    f->task[p->key.trial] = bytes;
    f->key[f->n] = p->key;
    f->result[f->n++] = evaluate(p->task, p->task_len, &hash);
}

/* Up to `most` tasks out. False when there is nothing left to propose. */
static bool propose(struct experiment *e, struct farm_of_one *f, size_t most)
{
    struct proposal p;
    int rc = FARM_OK;

    while (f->n < most && (rc = experiment_propose(e, &p, &why)) == FARM_OK) {
        publish(f, &p);
        free(p.task);
    }
    ck_assert_msg(rc == FARM_OK || rc == FARM_ENOTFOUND, "%s", why.text);
    return rc == FARM_OK;
}

static struct result take(struct farm_of_one *f, size_t i, struct wire_key *key)
{
    struct result result = f->result[i];

    *key = f->key[i];
    f->n--;
    f->key[i] = f->key[f->n];
    f->result[i] = f->result[f->n];
    return result;
}

/* Delivers one result, whichever is done. */
static void deliver(struct experiment *e, struct farm_of_one *f)
{
    struct wire_key key;
    struct result result = take(f, rng_below(&f->rng, f->n), &key);
    bool fresh;

    ck_assert(experiment_is_pending(e, &key));
    ok(experiment_record(e, &key, &result, "w1", NULL, 0, &fresh, &why));
    ck_assert(fresh);
    ck_assert(!experiment_is_pending(e, &key));
    f->evaluations++;
}

static bool publish_again(struct proposal *p, void *ctx)
{
    publish(ctx, p);
    free(p->task);
    return true;
}

/* To the end, with commits of a few results; nothing is cut off. */
static void run(struct experiment *e, struct farm_of_one *f, size_t slots)
{
    rng_seed(&f->rng, 3);
    while (propose(e, f, slots) || f->n > 0) {
        ok(experiment_commit(e, &why));
        for (uint64_t n = 1 + rng_below(&f->rng, 20); n > 0 && f->n > 0; n--)
            deliver(e, f);
    }
    ok(experiment_commit(e, &why));
}

static struct replay_report replay(const char *where)
{
    struct replay_report report;

    ok(experiment_replay(where, &report, &why));
    return report;
}

/* ---------------------------------------------------------------- the journal, read by the test itself */

struct journal {
    struct event at[4 * TRIALS];
    size_t n;
};

static bool keep_event(const struct event *event, void *ctx)
{
    struct journal *j = ctx;

    j->at[j->n] = *event;
    if (event->genome != NULL)
        j->at[j->n].genome = genome_copy(event->genome);
    j->n++;
    return true;
}

static struct journal *read_journal(const char *where)
{
    struct journal *j = calloc(1, sizeof *j);
    struct store *store = NULL;

    ok(store_open(&store, where, STORE_READ, NULL, &why));
    ok(store_each_event(store, 0, keep_event, j, &why));
    store_close(&store);
    return j;
}

static void free_journal(struct journal *j)
{
    for (size_t i = 0; i < j->n; i++)
        free(j->at[i].genome);
    free(j);
}

/* ---------------------------------------------------------------- the specification */

/* Asks and tells a strategy what the journal says, and nothing else. Only without constraints. */
static struct digest state_of(const struct journal *j, const struct experiment_config *c)
{
    struct genome *genomes[TRIALS];
    struct strategy *strategy = NULL;
    struct space *space = NULL;
    struct digest digest;
    uint64_t parent;
    uint8_t *bytes;
    size_t len;

    ok(space_open(&space, &c->space, &why));
    ok(strategy_create(&strategy, c->strategy, c->strategy_options, space, c->seed, &why));
    for (size_t i = 0; i < j->n; i++) {
        const struct event *e = &j->at[i];

        if (e->kind == EVENT_PROPOSED) {
            genomes[e->trial] = genome_create(space->n_dims);
            for (uint32_t asks = 0; asks <= e->redraws; asks++)
                ok(strategy_ask(strategy, genomes[e->trial], &parent));
            ck_assert(genome_equal(genomes[e->trial], e->genome));
            ck_assert_uint_eq(parent, e->parent);
            ok(strategy_enter(strategy, e->trial, e->genome));
        } else {
            const struct observation observation = {.trial = e->trial,
                                                    .genome = genomes[e->trial],
                                                    .ok = e->outcome == OUTCOME_OK,
                                                    .fitness = e->fitness,
                                                    .budget = c->recipe.epochs};

            ok(strategy_tell(strategy, &observation));
            free(genomes[e->trial]);
        }
    }
    ok(strategy_save(strategy, &bytes, &len));
    digest_of(&digest, bytes, len);
    free(bytes);
    strategy_destroy(&strategy);
    space_close(&space);
    return digest;
}

/* The same results in the same order, with nothing cut off between. */
static void run_as_told(const struct journal *j, const struct experiment_config *config)
{
    struct experiment *e = create(other, config);
    struct farm_of_one f = {.n = 0};

    for (size_t i = 0; i < j->n; i++) {
        const struct event *event = &j->at[i];
        size_t at = 0;
        struct wire_key key;
        bool fresh;

        if (store_n_events(experiment_store(e)) > i)
            continue; /* known or waiting: it came with the one before */
        if (event->kind == EVENT_PROPOSED) {
            (void)propose(e, &f, f.n + 1);
        } else {
            while (at < f.n && f.key[at].trial != event->trial)
                at++;
            ck_assert_uint_lt(at, f.n);
            struct result result = take(&f, at, &key);
            ok(experiment_record(e, &key, &result, "w1", NULL, 0, &fresh, &why));
        }
        ck_assert_uint_gt(store_n_events(experiment_store(e)), i);
    }
    ok(experiment_commit(e, &why));
    experiment_close(&e);
}

static void check_fold(const char *space, const char *strategy, const char *options,
                       uint64_t max_params, uint32_t redraws)
{
    struct experiment_config config = make_config(space, strategy, options);
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct replay_report report, again;
    struct experiment *e;
    unsigned reopened = 0;
    bool more = true;

    config.max_params = max_params;
    config.redraws = redraws;
    e = create(dir, &config);
    rng_seed(&f->rng, 11);
    while (more || f->n > 0) {
        more = propose(e, f, 40);
        if (rng_below(&f->rng, 4) > 0)
            ok(experiment_commit(e, &why));
        for (uint64_t n = 1 + rng_below(&f->rng, 12); n > 0 && f->n > 0; n--)
            deliver(e, f);
        if (rng_below(&f->rng, 3) > 0)
            ok(experiment_commit(e, &why));
        if (rng_below(&f->rng, 3) > 0)
            continue;
        e = reopen(e); /* what was not committed is gone; the farm is asked again */
        reopened++;
        f->n = 0;
        more = true;
        ok(experiment_each_pending(e, publish_again, f, &why));
        ck_assert_uint_eq(f->n, experiment_n_pending(e));
    }
    ok(experiment_commit(e, &why));
    ck_assert_uint_gt(reopened, 10);

    struct experiment_summary s;
    experiment_summary(e, &s);
    ck_assert_uint_eq(s.proposed, TRIALS);
    ck_assert_uint_eq(s.done, TRIALS);
    ck_assert_uint_eq(s.ok + s.failed, TRIALS);
    ck_assert_uint_gt(s.failed, 0);
    ck_assert_uint_eq(experiment_n_pending(e), 0);
    ck_assert((redraws > 0) == (s.redrawn > 0));
    experiment_close(&e);

    report = replay(dir);
    ck_assert_uint_eq(report.trials, TRIALS);
    ck_assert_uint_eq(report.known, s.known);
    ck_assert_uint_eq(report.population, s.population);
    struct journal *j = read_journal(dir);
    if (max_params == 0) {
        struct digest state = state_of(j, &config);
        ck_assert_mem_eq(&report.state, &state, sizeof state);
    }
    run_as_told(j, &config);
    again = replay(other);
    ck_assert_mem_eq(&again.journal, &report.journal, sizeof report.journal);
    ck_assert_mem_eq(&again.state, &report.state, sizeof report.state);
    free_journal(j);
    free(f);
}

START_TEST(an_evolution_cut_off_anywhere_is_the_fold_of_its_journal)
{
    check_fold("nasbench201", "evolution", "population=20,sample=5", 0, 0);
}
END_TEST

START_TEST(so_is_one_of_two_cells)
{
    check_fold("amoebanet", "evolution", "population=30,sample=10", 0, 0);
}
END_TEST

/* Genes that are real numbers, and results that are found again by network and training together. */
START_TEST(so_is_one_whose_training_is_tuned)
{
    check_fold("resnet-like+hyperparameters", "evolution", "population=30,sample=10", 0, 3);
}
END_TEST

START_TEST(so_is_every_other_strategy)
{
    static const struct {
        const char *name, *options;
    } others[] = {{"random", ""},
                  {"grid", ""},
                  {"tournament", "population=20,sample=5"},
                  {"nsga2", "population=20"},
                  {"local-search", "initial=3"},
                  {"tpe", "samples=8"},
                  {"reinforce", "batch=7,ppo=1"},
                  {"reinforce-lstm", "batch=7,hidden=10"},
                  {"bananas", "epochs=1,candidates=50,round=40"},
                  {"gp", "points=20,candidates=10"}};

    check_fold("nasbench201", others[_i].name, others[_i].options, 0, 0);
}
END_TEST

START_TEST(so_is_one_of_real_dimensions)
{
    check_fold("nasbench201+hyperparameters", "cmaes", "population=6", 0, 0);
}
END_TEST

START_TEST(so_is_one_that_draws_known_networks_again)
{
    check_fold("nasbench201", "evolution", "population=20,sample=5", 0, 3);
}
END_TEST

START_TEST(so_is_one_that_draws_known_networks_again_under_constraints)
{
    check_fold("nasbench201", "evolution", "population=20,sample=5", 1800, 3);
}
END_TEST

/* About half of all proposals are past it. */
START_TEST(so_is_one_under_constraints)
{
    check_fold("nasbench201", "evolution", "population=20,sample=5", 1800, 0);

    struct store *store = NULL;
    struct trial_record record;
    uint64_t large = 0;
    ok(store_open(&store, dir, STORE_READ, NULL, &why));
    for (uint64_t t = 0; t < TRIALS; t++) {
        ok(store_get_trial(store, t, &record));
        ck_assert_uint_le(record.params, 1800);
        large = record.params > large ? record.params : large;
        trial_record_release(&record);
    }
    ck_assert_uint_gt(large, 900); /* the constraint, not the space, ends there */
    store_close(&store);
}
END_TEST

START_TEST(a_graph_is_evaluated_once_and_equal_ones_take_its_result_over)
{
    struct experiment_config config = make_config("nasbench201", "random", "");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct experiment_summary s;
    uint64_t known = 0, waited = 0, same_failure = 0, again_after_failure = 0;

    run(e, f, 200);
    experiment_summary(e, &s);
    ck_assert_uint_gt(s.known, 5);
    ck_assert_uint_eq(f->evaluations + s.known, TRIALS);
    for (uint64_t t = 0; t < TRIALS; t++) {
        struct trial_record record, first;
        ok(store_get_trial(experiment_store(e), t, &record));
        ck_assert_int_eq(record.state, TRIAL_DONE);
        ck_assert(f->published[t] == (record.known_from == UINT64_MAX));
        if (record.known_from != UINT64_MAX) {
            known++;
            ck_assert_uint_lt(record.known_from, t);
            ok(store_get_trial(experiment_store(e), record.known_from, &first));
            ck_assert_mem_eq(&first.hash, &record.hash, sizeof record.hash);
            ck_assert_int_eq(first.result.outcome, record.result.outcome);
            ck_assert_str_eq(first.result.reason, record.result.reason);
            ck_assert_str_eq(first.worker, record.worker);
            ck_assert_mem_eq(&first.result.fitness, &record.result.fitness, 8);
            same_failure += record.result.outcome == OUTCOME_OOM;
            trial_record_release(&first);
        }
        trial_record_release(&record);
    }
    ck_assert_uint_eq(known, s.known);
    experiment_close(&e);

    /* A twin's result comes right after its leader's, by number. */
    struct journal *j = read_journal(dir);
    bool done[TRIALS] = {false};
    for (size_t i = 0; i < j->n; i++) {
        const struct event *event = &j->at[i], *before = i > 0 ? &j->at[i - 1] : NULL;

        if (event->kind != EVENT_RESULT)
            continue;
        done[event->trial] = true;
        if (event->known_from == UINT64_MAX)
            continue;
        ck_assert(done[event->known_from]);
        if (before->kind == EVENT_PROPOSED) { /* known when it was proposed */
            ck_assert_uint_eq(before->trial, event->trial);
            ck_assert_int_eq(event->outcome, OUTCOME_OK);
            again_after_failure++;
        } else {
            ck_assert(before->trial == event->known_from ||
                      (before->known_from == event->known_from && before->trial < event->trial));
            waited++;
        }
    }
    ck_assert_uint_gt(waited, 0);
    ck_assert_uint_gt(again_after_failure, 0);
    (void)same_failure;
    free_journal(j);
    free(f);
    replay(dir);
}
END_TEST

/* Evolution finds its way back to networks it has seen. Drawing again finds new ones as long as there are any. */
START_TEST(a_known_network_is_drawn_again_as_often_as_the_configuration_says)
{
    struct experiment_config config =
        make_config("nasbench201", "evolution", "population=20,sample=5");
    struct experiment_summary without, with;
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(other, &config);

    run(e, f, 20);
    experiment_summary(e, &without);
    experiment_close(&e);
    memset(f, 0, sizeof *f);
    config.redraws = 20;
    e = create(dir, &config);
    run(e, f, 20);
    experiment_summary(e, &with);
    experiment_close(&e);
    ck_assert_uint_gt(without.known, TRIALS / 4);
    ck_assert_uint_eq(without.redrawn, 0);
    ck_assert_uint_lt(with.known, TRIALS / 50);
    ck_assert_uint_gt(with.redrawn, 0);
    ck_assert_uint_eq(f->evaluations + with.known, TRIALS);
    free(f);
    replay(dir);
}
END_TEST

/* The smallest network is all that fits: after that one, every proposal is known. */
START_TEST(where_nothing_new_is_left_the_known_are_taken_after_all)
{
    struct experiment_config config = make_config("nasbench201", "random", "");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment_summary s;
    struct experiment *e;

    config.trials = 60;
    config.redraws = 4;
    config.max_params = 210; /* no convolution in the cell */
    e = create(dir, &config);
    run(e, f, 1);
    experiment_summary(e, &s);
    experiment_close(&e);
    ck_assert_uint_eq(s.done, 60);
    ck_assert_uint_gt(s.known, 0);
    ck_assert_uint_le(s.redrawn, 60 * 4);
    ck_assert_uint_gt(s.redrawn, 4 * s.known - 1);
    free(f);
    replay(dir);
}
END_TEST

START_TEST(those_that_wait_for_one_that_fails_fail_with_its_reason)
{
    struct experiment_config config = make_config("nasbench201", "random", "");
    struct experiment *e = create(dir, &config);
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct trial_record record;
    uint64_t failed = 0;

    (void)propose(e, f, 300); /* there are twins among so many */
    uint64_t proposed = store_n_trials(experiment_store(e));
    ck_assert_uint_gt(proposed, f->n);
    while (f->n > 0) {
        struct wire_key key;
        struct result result = take(f, 0, &key);
        bool fresh;

        result.outcome = OUTCOME_CRASHED;
        result.fitness = NAN;
        (void)snprintf(result.reason, sizeof result.reason, "by number %" PRIu64, key.trial);
        ok(experiment_record(e, &key, &result, "w1", NULL, 0, &fresh, &why));
    }
    ck_assert_uint_eq(experiment_n_pending(e), 0);
    for (uint64_t t = 0; t < proposed; t++) {
        char reason[40];

        ok(store_get_trial(experiment_store(e), t, &record));
        (void)snprintf(reason, sizeof reason, "by number %" PRIu64,
                       record.known_from == UINT64_MAX ? t : record.known_from);
        ck_assert_int_eq(record.result.outcome, OUTCOME_CRASHED);
        ck_assert_str_eq(record.result.reason, reason);
        failed += record.known_from != UINT64_MAX;
        trial_record_release(&record);
    }
    ck_assert_uint_gt(failed, 0);
    ok(experiment_commit(e, &why));
    experiment_close(&e);
    replay(dir);
    free(f);
}
END_TEST

START_TEST(with_train_known_again_every_trial_is_evaluated)
{
    struct experiment_config config = make_config("nasbench201", "random", "");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e;
    struct experiment_summary s;

    config.train_known_again = true;
    e = create(dir, &config);
    run(e, f, 100);
    experiment_summary(e, &s);
    ck_assert_uint_eq(s.known, 0);
    ck_assert_uint_eq(f->evaluations, TRIALS);
    experiment_close(&e);
    replay(dir);
    free(f);
}
END_TEST

/* Two batch sizes, flips or none: four trainings of one network, each made once. */
START_TEST(equal_networks_that_are_trained_differently_are_different_trials)
{
    struct experiment_config config = make_config("fixed", "random", "");
    struct experiment *e;
    struct experiment_summary s;
    struct proposal p;
    bool seen[2][2] = {{false}};
    int evaluations = 0, rc;

    config.space = (struct space_config){
        .name = "fixed", .input = {8, 8, 1}, .classes = 10, .tune = "batch=16:32,flip"};
    config.trials = 60;
    e = create(dir, &config);
    while ((rc = experiment_propose(e, &p, &why)) == FARM_OK) {
        struct result result = {.outcome = OUTCOME_OK, .fitness = 0.5};
        struct task task;
        void *hold = NULL;
        bool fresh;

        ok(task_unpack(&task, &hold, p.task, p.task_len, &why));
        ck_assert(task.recipe.batch == 16 || task.recipe.batch == 32);
        ck_assert(!seen[task.recipe.batch / 32][task.recipe.flip]);
        seen[task.recipe.batch / 32][task.recipe.flip] = true;
        ok(experiment_record(e, &p.key, &result, "w", NULL, 0, &fresh, &why));
        ok(experiment_commit(e, &why));
        evaluations++;
        free(hold);
        free(p.task);
    }
    ck_assert_int_eq(rc, FARM_ENOTFOUND);
    experiment_summary(e, &s);
    ck_assert_int_eq(evaluations, 4);
    ck_assert_uint_eq(s.known, 56);
    ok(experiment_commit(e, &why));
    ok(experiment_final(e, &p, &why)); /* is trained as its genes say, too */
    {
        struct task task;
        void *hold = NULL;
        struct trial_record record;

        ok(task_unpack(&task, &hold, p.task, p.task_len, &why));
        ok(store_get_trial(experiment_store(e), s.best_trial, &record));
        ck_assert_uint_eq(task.recipe.batch, record.genome->gene[0] == 0 ? 16 : 32);
        ck_assert_uint_eq(task.recipe.epochs, 30);
        trial_record_release(&record);
        free(hold);
        free(p.task);
    }
    experiment_close(&e);
    replay(dir);
}
END_TEST

START_TEST(begins_with_the_networks_it_is_told_whatever_the_strategy)
{
    static const char *const strategies[] = {"random", "evolution", "tpe"};
    struct experiment_config config = make_config("nasbench201", strategies[_i], "");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e;
    struct trial_record record;
    char *text;

    strcpy(config.start_from, "nasbench201-9930");
    e = create(dir, &config);
    e = reopen(e);
    run(e, f, 100);
    ok(store_get_trial(experiment_store(e), 0, &record));
    text = space_notation(experiment_space(e), record.genome);
    ck_assert_str_eq(text, "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|"
                           "nor_conv_3x3~1|nor_conv_3x3~2|");
    ck_assert_uint_eq(record.parent, UINT64_MAX);
    free(text);
    trial_record_release(&record);
    experiment_close(&e);
    free(f);
    replay(dir);
}
END_TEST

START_TEST(a_second_copy_of_a_result_is_not_fresh_and_a_strangers_is_not_ours)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct wire_key key;
    uint64_t events;
    bool fresh;

    (void)propose(e, f, 3);
    struct result result = take(f, 0, &key);
    ok(experiment_record(e, &key, &result, "w1", NULL, 0, &fresh, &why));
    ck_assert(fresh);
    events = store_n_events(experiment_store(e));
    ok(experiment_record(e, &key, &result, "w2", NULL, 0, &fresh, &why));
    ck_assert(!fresh);
    ok(experiment_commit(e, &why));
    e = reopen(e);
    ok(experiment_record(e, &key, &result, "w2", NULL, 0, &fresh, &why));
    ck_assert(!fresh);
    ck_assert_uint_eq(store_n_events(experiment_store(e)), events);
    const struct wire_key strange[] = {
        {98, 0, 0}, {99, 3, 0}, {99, 1, 1}, {99, UINT64_MAX, 0}, {99, 1, WIRE_RUNG_FINAL}};
    for (size_t i = 0; i < sizeof strange / sizeof strange[0]; i++)
        ck_assert_int_eq(experiment_record(e, &strange[i], &result, "w", NULL, 0, &fresh, &why),
                         FARM_ENOTFOUND);
    experiment_close(&e);
    free(f);
}
END_TEST

START_TEST(a_success_without_a_finite_fitness_has_diverged)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "");
    static const double odd[] = {NAN, INFINITY, -INFINITY};
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct experiment_summary s;

    (void)propose(e, f, 3);
    for (size_t i = 0; i < 3; i++) {
        struct trial_record record;
        struct wire_key key;
        struct result result = take(f, 0, &key);
        bool fresh;

        result.outcome = OUTCOME_OK;
        result.fitness = odd[i];
        ok(experiment_record(e, &key, &result, "w1", NULL, 0, &fresh, &why));
        ok(store_get_trial(experiment_store(e), key.trial, &record));
        ck_assert_int_eq(record.result.outcome, OUTCOME_DIVERGED);
        ck_assert_uint_gt(strlen(record.result.reason), 0);
        trial_record_release(&record);
    }
    experiment_summary(e, &s);
    ck_assert_uint_eq(s.failed, 3);
    ck_assert(isnan(s.best_fitness));
    struct proposal final;
    ck_assert_int_eq(experiment_final(e, &final, &why), FARM_ENOTFOUND);
    ok(experiment_commit(e, &why));
    experiment_close(&e);
    replay(dir);
    free(f);
}
END_TEST

START_TEST(a_constraint_that_leaves_nothing_is_named_with_the_smallest_network_seen)
{
    struct experiment_config config = make_config("nasbench201", "random", "");
    struct experiment *e;
    struct proposal p;
    struct replay_report report;

    config.max_params = 10;
    e = create(dir, &config);
    for (int i = 0; i < 2; i++) { /* the vain asking is in the journal */
        ck_assert_int_eq(experiment_propose(e, &p, &why), FARM_EEXHAUSTED);
        ck_assert_ptr_nonnull(strstr(why.text, "max_params 10 "));
        ck_assert_ptr_nonnull(strstr(why.text, " parameters"));
        ok(experiment_commit(e, &why));
        e = reopen(e);
    }
    experiment_close(&e);
    report = replay(dir);
    ck_assert_uint_eq(report.events, 2);
    ck_assert_uint_eq(report.trials, 0);
}
END_TEST

START_TEST(the_final_training_is_of_the_fittest_is_recorded_once_and_forgotten_when_extended)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "population=20");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e;
    struct experiment_summary s;
    struct proposal p;
    struct result got;
    struct task task;
    uint8_t *bytes;
    uint64_t trial;
    size_t len;
    void *hold;
    bool fresh;

    config.trials = 60;
    e = create(dir, &config);
    run(e, f, 10);
    experiment_summary(e, &s);
    ok(experiment_final(e, &p, &why));
    ck_assert_uint_eq(p.key.trial, s.best_trial);
    ck_assert_uint_eq(p.key.rung, WIRE_RUNG_FINAL);
    ok(task_unpack(&task, &hold, p.task, p.task_len, &why));
    ck_assert(task.recipe.final);
    ck_assert_uint_eq(task.recipe.epochs, 30);
    free(hold);
    free(p.task);
    ck_assert(experiment_is_pending(e, &p.key));
    ck_assert_int_eq(experiment_final_result(experiment_store(e), &trial, &got), FARM_ENOTFOUND);

    struct result result = {
        .outcome = OUTCOME_OK, .fitness = NAN, .loss = NAN, .test_accuracy = 0.875, .n_test = 80};
    ok(experiment_record(e, &p.key, &result, "w1", "weights", 7, &fresh, &why));
    ck_assert(fresh);
    ok(experiment_record(e, &p.key, &result, "w1", "weights", 7, &fresh, &why));
    ck_assert(!fresh);
    ok(experiment_commit(e, &why));
    e = reopen(e);
    experiment_summary(e, &s);
    ck_assert(s.final_done);
    ck_assert_int_eq(experiment_final(e, &p, &why), FARM_EBUSY);
    ok(experiment_final_result(experiment_store(e), &trial, &got));
    ck_assert_uint_eq(trial, s.best_trial);
    ck_assert(got.test_accuracy == 0.875);
    ok(store_get_blob(experiment_store(e), "final.weights", &bytes, &len));
    ck_assert_uint_eq(len, 7);
    free(bytes);

    ck_assert_int_eq(experiment_extend(e, 59, &why), FARM_EINPUT);
    ok(experiment_extend(e, 80, &why));
    ok(experiment_commit(e, &why));
    e = reopen(e);
    ck_assert_uint_eq(experiment_config(e)->trials, 80);
    ck_assert_int_eq(experiment_final_result(experiment_store(e), &trial, &got), FARM_ENOTFOUND);
    run(e, f, 10);
    experiment_summary(e, &s);
    ck_assert_uint_eq(s.done, 80);
    ck_assert(!s.final_done);
    experiment_close(&e);
    replay(dir);
    free(f);
}
END_TEST

START_TEST(a_commit_refused_by_a_full_disk_works_later_with_all_that_came_meanwhile)
{
    struct experiment_config config = make_config("amoebanet", "evolution", "population=20");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct rlimit unlimited, limit;
    int refused = 0;

    rng_seed(&f->rng, 3);
    (void)signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    limit = unlimited;
    limit.rlim_cur = 150 << 10;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (propose(e, f, 30) || f->n > 0) {
        for (int n = 0; n < 20 && f->n > 0; n++)
            deliver(e, f);
        if (experiment_commit(e, &why) == FARM_OK)
            continue;
        ck_assert_ptr_nonnull(strstr(why.text, "data.mdb"));
        if (++refused == 3)
            ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    }
    ck_assert_int_ge(refused, 3);
    ok(experiment_commit(e, &why));
    e = reopen(e);
    experiment_close(&e);
    ck_assert_uint_eq(replay(dir).trials, TRIALS);
    free(f);
}
END_TEST

START_TEST(a_damaged_snapshot_costs_time_only)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "population=20");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct replay_report before, after;
    struct store *store = NULL;

    run(e, f, 30);
    experiment_close(&e);
    before = replay(dir);
    ok(store_open(&store, dir, STORE_WRITE, NULL, &why));
    ok(store_begin(store, &why));
    ok(store_put_snapshot(store, 100, (const uint8_t *)"nonsense", 8));
    ok(store_commit(store, &why));
    store_close(&store);
    ck_assert_int_eq(experiment_replay(dir, &after, &why), FARM_ECORRUPT);
    ck_assert_ptr_nonnull(strstr(why.text, "event 100 "));
    ok(experiment_open(&e, dir, NULL, &why));
    experiment_close(&e); /* writes a good one */
    after = replay(dir);
    ck_assert_mem_eq(&after.state, &before.state, sizeof before.state);
    free(f);
}
END_TEST

/* Rewrites one event, checksum and all. */
static void tamper(uint64_t seq, void (*change)(struct event *))
{
    struct journal *j = read_journal(dir);
    struct event event = j->at[seq];
    struct bytes bytes = {0};
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {sizeof seq, &seq}, value;

    change(&event);
    record_put_event(&bytes, &event);
    record_seal(&bytes, 0, TABLE_JOURNAL, &seq, sizeof seq);
    value = (MDB_val){bytes.len, bytes.at};
    ck_assert_int_eq(mdb_env_create(&env), 0);
    ck_assert_int_eq(mdb_env_set_maxdbs(env, TABLES), 0);
    ck_assert_int_eq(mdb_env_open(env, dir, 0, 0600), 0);
    ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
    ck_assert_int_eq(mdb_dbi_open(txn, "journal", MDB_INTEGERKEY, &dbi), 0);
    ck_assert_int_eq(mdb_put(txn, dbi, &key, &value, 0), 0);
    ck_assert_int_eq(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    bytes_release(&bytes);
    free_journal(j);
}

static void other_gene(struct event *event)
{
    event->genome->gene[0] = event->genome->gene[0] > 0 ? 0 : 1;
}

static void better(struct event *event)
{
    event->fitness += 1e-12;
}

static void nothing(struct event *event)
{
    (void)event;
}

START_TEST(a_tampered_event_is_found_by_replay_with_its_number)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "population=20");
    struct farm_of_one *f = calloc(1, sizeof *f);
    struct experiment *e = create(dir, &config);
    struct replay_report report;
    struct journal *j;
    uint64_t proposal = 0, result = 0;
    char number[32];

    run(e, f, 30);
    experiment_close(&e);
    j = read_journal(dir);
    for (uint64_t i = 300; proposal == 0 || result == 0; i++) {
        if (j->at[i].kind == EVENT_PROPOSED)
            proposal = i;
        else if (j->at[i].outcome == OUTCOME_OK)
            result = i;
    }
    free_journal(j);
    tamper(result, nothing);
    replay(dir);
    tamper(result, better);
    ck_assert_int_eq(experiment_replay(dir, &report, &why), FARM_ECORRUPT);
    (void)snprintf(number, sizeof number, "event %" PRIu64 " ", result);
    ck_assert_msg(strstr(why.text, number) != NULL, "%s: %s", number, why.text);
    tamper(proposal, other_gene); /* the earlier one is found first */
    ck_assert_int_eq(experiment_replay(dir, &report, &why), FARM_ECORRUPT);
    (void)snprintf(number, sizeof number, "event %" PRIu64 " ",
                   proposal < result ? proposal : result);
    ck_assert_msg(strstr(why.text, number) != NULL, "%s: %s", number, why.text);
    free(f);
}
END_TEST

/* ---------------------------------------------------------------- the configuration */

START_TEST(a_configuration_comes_back_from_json_as_it_was)
{
    struct experiment_config config = make_config("amoebanet", "evolution", "population=9"), back;
    char *json, *again;

    config.seed = UINT64_MAX;
    config.recipe.lr = 0.1 + 0.2;
    config.recipe.nesterov = true;
    config.space.drop_path = 0.1f;
    config.max_macs = 123456789012;
    config.train_known_again = true;
    config.redraws = 7;
    strcpy(config.space.stem, "imagenet");
    config.space.skip_reduction_input = true;
    strcpy(config.data_spec, "idx:/\"data\"/\xc3\xa9");
    ck_assert_ptr_nonnull(json = experiment_config_to_json(&config));
    ok(experiment_config_from_json(&back, json, &why));
    ck_assert_ptr_nonnull(again = experiment_config_to_json(&back));
    ck_assert_str_eq(json, again);
    ck_assert_uint_eq(back.seed, UINT64_MAX);
    ck_assert(back.recipe.lr == config.recipe.lr);
    ck_assert(back.space.drop_path == 0.1f);
    ck_assert_str_eq(back.space.stem, "imagenet");
    ck_assert_uint_eq(back.redraws, 7);
    ck_assert_uint_eq(back.data.fingerprint, config.data.fingerprint);
    ck_assert_str_eq(back.data_spec, config.data_spec);
    free(json);
    free(again);
    strcpy(config.name, "\xff");
    ck_assert_ptr_null(experiment_config_to_json(&config));
}
END_TEST

#define REST "\"trials\":1,\"data\":{\"name\":\"d\"}"
static const struct {
    const char *json, *names;
} bad[] = {
    {"", "line"},
    {"[]", "must be an object"},
    {"{" REST ",\"trails\":5}", "no key trails"},
    {"{" REST ",\"space\":{\"color\":5}}", "no key space.color"},
    {"{" REST ",\"space\":5}", "space must be an object"},
    {"{" REST ",\"seed\":-1}", "seed must be a whole number"},
    {"{" REST ",\"seed\":1.5}", "seed must be a whole number"},
    {"{" REST ",\"seed\":\"0x5\"}", "seed must be a whole number"},
    {"{" REST ",\"seed\":\"18446744073709551616\"}", "seed must be a whole number"},
    {"{" REST ",\"strategy\":\"an even longer name than fits into thirty-two\"}", "strategy must"},
    {"{" REST ",\"strategy\":null}", "strategy must be a text"},
    {"{" REST ",\"space\":{\"height\":5000}}",
     "space.height must be a whole number from 0 to 4096"},
    {"{" REST ",\"space\":{\"drop_path\":2}}", "space.drop_path must be a number from 0 to 1"},
    {"{" REST ",\"recipe\":{\"epochs\":0}}", "recipe: epochs"},
    {"{" REST ",\"recipe\":{\"epochs\":4294967296}}", "recipe.epochs"},
    {"{" REST ",\"recipe\":{\"lr\":\"big\"}}", "recipe.lr must be a number"},
    {"{" REST ",\"recipe\":{\"flip\":1}}", "recipe.flip must be true or false"},
    {"{" REST ",\"final_recipe\":{\"batch\":0}}", "final_recipe: batch"},
    {"{\"trials\":1,\"trials\":2}", "line"},
    {"{\"trials\":0,\"data\":{\"name\":\"d\"}}", "trials is 0"},
    {"{\"trials\":1,\"data\":{\"name\":\"a b\"}}", "data.name"},
};

START_TEST(a_configuration_with_a_mistake_is_refused_and_the_key_is_named)
{
    struct experiment_config config;

    ck_assert_int_eq(experiment_config_from_json(&config, bad[_i].json, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, bad[_i].names) != NULL, "%s: %s", bad[_i].json, why.text);
}
END_TEST

START_TEST(a_mistake_leaves_no_store_behind)
{
    struct experiment_config config = make_config("nasbench201", "evolution", "population=0");
    struct experiment *e = NULL;

    ck_assert_int_eq(experiment_create(&e, dir, &config, NULL, &why), FARM_EINPUT);
    ck_assert_ptr_null(e);
    ck_assert_int_ne(access(dir, F_OK), 0);
    ck_assert_int_eq(experiment_open(&e, dir, NULL, &why), FARM_ENOTFOUND);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("experiment");
    TCase *tc = tcase_create("experiment");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, an_evolution_cut_off_anywhere_is_the_fold_of_its_journal);
    tcase_add_test(tc, so_is_one_of_two_cells);
    tcase_add_test(tc, so_is_one_whose_training_is_tuned);
    tcase_add_loop_test(tc, so_is_every_other_strategy, 0, 10);
    tcase_add_test(tc, so_is_one_of_real_dimensions);
    tcase_add_test(tc, so_is_one_that_draws_known_networks_again);
    tcase_add_test(tc, so_is_one_that_draws_known_networks_again_under_constraints);
    tcase_add_test(tc, a_known_network_is_drawn_again_as_often_as_the_configuration_says);
    tcase_add_test(tc, where_nothing_new_is_left_the_known_are_taken_after_all);
    tcase_add_test(tc, so_is_one_under_constraints);
    tcase_add_test(tc, a_graph_is_evaluated_once_and_equal_ones_take_its_result_over);
    tcase_add_test(tc, those_that_wait_for_one_that_fails_fail_with_its_reason);
    tcase_add_test(tc, with_train_known_again_every_trial_is_evaluated);
    tcase_add_test(tc, equal_networks_that_are_trained_differently_are_different_trials);
    tcase_add_loop_test(tc, begins_with_the_networks_it_is_told_whatever_the_strategy, 0, 3);
    tcase_add_test(tc, a_second_copy_of_a_result_is_not_fresh_and_a_strangers_is_not_ours);
    tcase_add_test(tc, a_success_without_a_finite_fitness_has_diverged);
    tcase_add_test(tc, a_constraint_that_leaves_nothing_is_named_with_the_smallest_network_seen);
    tcase_add_test(
        tc, the_final_training_is_of_the_fittest_is_recorded_once_and_forgotten_when_extended);
    tcase_add_test(tc, a_commit_refused_by_a_full_disk_works_later_with_all_that_came_meanwhile);
    tcase_add_test(tc, a_damaged_snapshot_costs_time_only);
    tcase_add_test(tc, a_tampered_event_is_found_by_replay_with_its_number);
    tcase_add_test(tc, a_configuration_comes_back_from_json_as_it_was);
    tcase_add_loop_test(tc, a_configuration_with_a_mistake_is_refused_and_the_key_is_named, 0,
                        (int)(sizeof bad / sizeof bad[0]));
    tcase_add_test(tc, a_mistake_leaves_no_store_behind);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
