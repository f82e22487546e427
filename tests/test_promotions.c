/* Trials that pause, rest and go on: a search under a scheduler is a fold over its journal, whatever is cut off. */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "experiment.h"
#include "log.h"

#define TRIALS 120

static char folder[64], dir[96];
static struct why why;
static const struct store_options quick = {.no_sync = true}; /* nobody pulls the plug here */

static void make_folder(void)
{
    strcpy(folder, "/tmp/nasfarm-promotions-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(dir, sizeof dir, "%s/a", folder);
    log_open("test_promotions", LOG_ERROR);
}

static void remove_folder(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock", ""};

    for (size_t i = 0; i < 4; i++) {
        char path[200];

        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)remove(path);
    }
    (void)rmdir(folder);
}

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == FARM_OK, "%s: %s: %s", #call, farm_strerror(rc_), why.text);          \
    } while (0)

static struct experiment_config make_config(const char *strategy, const char *options,
                                            const char *scheduler, const char *scheduler_options)
{
    struct experiment_config c = {.seed = 7,
                                  .trials = TRIALS,
                                  .id = 99,
                                  .name = "test",
                                  .redraws = 5,
                                  .space = {.name = "nasbench201",
                                            .input = {8, 8, 1},
                                            .classes = 10,
                                            .channels = 4,
                                            .cells = 1,
                                            .stages = 1},
                                  .data = {"tiny", 0xfedcba9876543210, 8, 8, 1, 10, 100, 20}};

    (void)snprintf(c.strategy, sizeof c.strategy, "%s", strategy);
    (void)snprintf(c.strategy_options, sizeof c.strategy_options, "%s", options);
    (void)snprintf(c.scheduler, sizeof c.scheduler, "%s", scheduler);
    (void)snprintf(c.scheduler_options, sizeof c.scheduler_options, "%s", scheduler_options);
    recipe_init(&c.recipe);
    recipe_init(&c.final_recipe);
    c.recipe.epochs = 9;
    return c;
}

static struct experiment *create(const struct experiment_config *config)
{
    struct experiment *e = NULL;

    ok(experiment_create(&e, dir, config, &quick, &why));
    return e;
}

static struct experiment *reopen(struct experiment *e)
{
    experiment_close(&e);
    ok(experiment_open(&e, dir, &quick, &why));
    return e;
}

/* ---------------------------------------------------------------- a farm that knows what a training was paused at */

struct out {
    struct wire_key key;
    uint32_t from, until, epochs; /* in epochs */
};
struct farm {
    struct out out[64];
    size_t n;
    struct rng rng;
    uint32_t reached[TRIALS]; /* epochs of each trial's last result */
    uint64_t evaluations, from_scratch;
};

/* The blob of a paused training says whose it is and where it stands. */
static size_t write_blob(char *blob, size_t room, uint64_t trial, uint32_t epochs)
{
    return (size_t)snprintf(blob, room, "training of %" PRIu64 " at %u%64s", trial, epochs, "");
}

static void publish(struct farm *f, const struct proposal *p)
{
    struct out *out = &f->out[f->n++];
    struct task task;
    void *hold = NULL;

    ck_assert_uint_lt(p->key.trial, TRIALS);
    ok(task_unpack(&task, &hold, p->task, p->task_len, &why));
    *out = (struct out){.key = p->key, .epochs = task.recipe.epochs};
    out->until = task.recipe.pause_epochs > 0 ? task.recipe.pause_epochs : task.recipe.epochs;
    ck_assert((task.resume_crc32 != 0) == (p->resume_len > 0));
    if (p->resume_len > 0) {
        char blob[200];
        size_t len = write_blob(blob, sizeof blob, p->key.trial, f->reached[p->key.trial]);

        ck_assert_uint_eq(p->resume_len, len);
        ck_assert_mem_eq(p->resume, blob, len);
        out->from = f->reached[p->key.trial];
    }
    ck_assert_uint_gt(out->until, f->reached[p->key.trial]);
    free(hold);
}

/* False when there is nothing left to propose; *waits when there is nothing now. */
static bool propose(struct experiment *e, struct farm *f, size_t most, bool *waits)
{
    struct proposal p;
    int rc = FARM_OK;

    while (f->n < most && (rc = experiment_propose(e, &p, &why)) == FARM_OK) {
        publish(f, &p);
        free(p.task);
        free(p.resume);
    }
    ck_assert_msg(rc == FARM_OK || rc == FARM_ENOTFOUND || rc == FARM_EBUSY, "%s", why.text);
    *waits = rc == FARM_EBUSY;
    return rc != FARM_ENOTFOUND;
}

/* A function of the trial, rising with the epochs; one in fifteen fails. */
static struct result result_of(uint64_t trial, uint32_t epochs)
{
    struct result r = {.outcome = OUTCOME_OK,
                       .epochs = epochs,
                       .loss = 1,
                       .test_accuracy = NAN,
                       .test_loss = NAN,
                       .isa = "test"};
    uint64_t bits = rng_mix(trial, 5), luck = rng_mix(trial, epochs);

    r.fitness = 0.5 * (double)(bits % 1000) / 1000 + 0.05 * epochs;
    if (luck % 15 == 0) {
        r.outcome = OUTCOME_DIVERGED;
        r.fitness = NAN;
    }
    return r;
}

static void deliver(struct experiment *e, struct farm *f)
{
    size_t i = (size_t)rng_below(&f->rng, f->n);
    struct out done = f->out[i];
    struct result result = result_of(done.key.trial, done.until);
    char blob[200];
    size_t len = done.until < done.epochs && result.outcome == OUTCOME_OK
                     ? write_blob(blob, sizeof blob, done.key.trial, done.until)
                     : 0;
    bool fresh;

    f->out[i] = f->out[--f->n];
    f->reached[done.key.trial] = done.until;
    f->evaluations++;
    f->from_scratch += done.from == 0 && done.key.rung > 0;
    ck_assert(experiment_is_pending(e, &done.key));
    ok(experiment_record(e, &done.key, &result, "w1", blob, len, &fresh, &why));
    ck_assert(fresh);
    ck_assert(!experiment_is_pending(e, &done.key));
    ok(experiment_record(e, &done.key, &result, "w2", blob, len, &fresh, &why));
    ck_assert(!fresh);
}

static bool publish_again(struct proposal *p, void *ctx)
{
    publish(ctx, p);
    free(p->task);
    free(p->resume);
    return true;
}

/* To the end; with `cuts`, closed and opened again now and then: what was not committed is lost. */
static struct experiment_summary run(struct experiment *e, struct farm *f, bool cuts)
{
    struct experiment_summary summary;
    bool more = true, waits = false;

    rng_seed(&f->rng, 11);
    while (more || f->n > 0) {
        more = propose(e, f, 20, &waits);
        ck_assert_msg(!waits || f->n > 0, "it waits for nothing");
        ok(experiment_commit(e, &why));
        for (uint64_t n = 1 + rng_below(&f->rng, 8); n > 0 && f->n > 0; n--)
            deliver(e, f);
        ok(experiment_commit(e, &why));
        if (!cuts || rng_below(&f->rng, 3) > 0)
            continue;
        e = reopen(e);
        f->n = 0;
        more = true;
        ok(experiment_each_pending(e, publish_again, f, &why));
        ck_assert_uint_eq(f->n, experiment_n_pending(e));
    }
    ok(experiment_commit(e, &why));
    experiment_summary(e, &summary);
    experiment_close(&e);
    return summary;
}

/* ---------------------------------------------------------------- the specification */

static const struct {
    const char *name, *options;
} schedulers[] = {{"asha", "max=9"},      {"asha", "max=9,brackets=2"},
                  {"hyperband", "max=9"}, {"halving", "max=9,overlap=0"},
                  {"asha-stop", "max=9"}, {"median", ""},
                  {"curve", ""},          {"full", ""}};
#define N_SCHEDULERS ((int)(sizeof schedulers / sizeof schedulers[0]))

START_TEST(every_strategy_under_every_scheduler_is_the_fold_of_its_journal)
{
    static const char *const options[][2] = {{"evolution", "population=10,sample=3"},
                                             {"random", ""},
                                             {"grid", ""},
                                             {"tournament", "population=10,sample=3"},
                                             {"nsga2", "population=10"},
                                             {"reinforce-lstm", "batch=7,hidden=2"},
                                             {"tpe", "samples=4"},
                                             {"bananas", "epochs=1,candidates=50,round=40"},
                                             {"gp", "points=16,candidates=4"}};

    for (size_t s = 0; strategy_all()[s] != NULL; s++) {
        const char *name = strategy_all()[s]->name, *small = "";
        struct experiment_config config;
        struct replay_report report;
        struct farm f = {.n = 0};
        struct experiment_summary summary;

        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
            if (strcmp(options[i][0], name) == 0)
                small = options[i][1];
        config = make_config(name, small, schedulers[_i].name, schedulers[_i].options);
        {
            struct space *space = NULL;
            struct strategy *strategy = NULL;
            bool serves;

            ok(space_open(&space, &config.space, &why));
            serves = strategy_create(&strategy, name, small, space, 1, &why) == FARM_OK;
            strategy_destroy(&strategy);
            space_close(&space);
            if (!serves) /* it needs real dimensions */
                continue;
        }
        summary = run(create(&config), &f, true);
        ck_assert_uint_eq(summary.proposed, TRIALS);
        ck_assert_uint_eq(summary.done, TRIALS);
        ck_assert((summary.promoted > 0) == (_i != N_SCHEDULERS - 1));
        ck_assert_uint_eq(summary.ok + summary.failed, TRIALS);
        ok(experiment_replay(dir, &report, &why));
        ck_assert_uint_eq(report.trials, TRIALS);
        remove_folder();
        (void)mkdir(folder, 0700);
    }
}
END_TEST

static struct trial_record record_of(uint64_t trial)
{
    struct store *store = NULL;
    struct trial_record record;

    ok(store_open(&store, dir, STORE_READ, NULL, &why));
    ok(store_get_trial(store, trial, &record));
    store_close(&store);
    trial_record_release(&record);
    return record;
}

START_TEST(a_trial_goes_on_from_where_it_stopped_and_its_last_result_counts)
{
    struct experiment_config config = make_config("random", "", "asha", "max=9");
    struct farm f = {.n = 0};
    struct experiment_summary s = run(create(&config), &f, false);
    struct trial_record best = record_of(s.best_trial);

    ck_assert_uint_eq(f.from_scratch, 0);
    ck_assert_uint_eq(s.best_rung, 2);
    ck_assert_uint_eq(best.rung, 2);
    ck_assert_uint_eq(best.result.epochs, 9);
    ck_assert(best.result.fitness == s.best_fitness);
    ck_assert_uint_eq(f.evaluations, TRIALS + s.promoted);
    ck_assert_msg(s.promoted > TRIALS / 4 && s.promoted < TRIALS, "%d", (int)s.promoted);
}
END_TEST

/* Two blobs are about 170 bytes: most of those that go on find theirs gone. */
START_TEST(a_paused_training_that_was_not_kept_begins_anew)
{
    struct experiment_config config = make_config("random", "", "asha", "max=9");
    struct farm f = {.n = 0};
    struct experiment_summary s;
    struct experiment_config kept = config;
    struct farm g = {.n = 0};
    struct experiment_summary t;

    config.paused_bytes = 200;
    s = run(create(&config), &f, true);
    ck_assert_uint_gt(f.from_scratch, 0);
    remove_folder();
    (void)mkdir(folder, 0700);
    t = run(create(&kept), &g, true);
    ck_assert_uint_eq(g.from_scratch, 0);
    ck_assert_uint_eq(s.best_trial, t.best_trial); /* what is kept changes no result */
    ck_assert_uint_eq(s.promoted, t.promoted);
}
END_TEST

static bool keep_best(uint64_t trial, double fitness, void *ctx)
{
    double *last = ctx;

    (void)trial;
    ck_assert(fitness <= last[0]);
    last[0] = fitness;
    last[1]++;
    return true;
}

START_TEST(a_list_of_the_best_has_every_trial_once)
{
    struct experiment_config config = make_config("random", "", "asha", "max=9");
    struct farm f = {.n = 0};
    struct experiment_summary s = run(create(&config), &f, true);
    double last[2] = {INFINITY, 0};
    struct store *store = NULL;

    ok(store_open(&store, dir, STORE_READ, NULL, &why));
    ok(store_each_best(store, keep_best, last));
    store_close(&store);
    ck_assert_double_eq(last[1], (double)s.ok);
}
END_TEST

/* Its trial keeps what it reached before. */
START_TEST(a_failure_on_a_higher_rung_takes_nothing_away)
{
    struct experiment_config config = make_config("random", "", "asha", "max=9");
    struct farm f = {.n = 0};
    uint64_t kept = 0;

    (void)run(create(&config), &f, false);
    for (uint64_t t = 0; t < TRIALS; t++) {
        struct trial_record record = record_of(t);
        uint32_t reached = f.reached[t];

        if (reached == 1 || result_of(t, reached).outcome == OUTCOME_OK)
            continue;
        ck_assert_int_eq(record.result.outcome, OUTCOME_OK);
        ck_assert_uint_lt(record.result.epochs, reached);
        kept++;
    }
    ck_assert_uint_gt(kept, 0);
}
END_TEST

/* Rung 0 leaves 0, 1 and 2 as its last, and 4 and 5 fail; 0, 3 and 2 come to rung 1, and are now the population: of three
 * again, from 0 to 2, and with the same fitness in the middle. */
START_TEST(the_stored_population_is_that_of_the_rung_that_parents_come_from)
{
    static const struct {
        uint64_t trial;
        double fitness; /* NAN: it failed */
    } done[2][6] = {{{3, 0.8}, {0, 0.9}, {1, 0.5}, {2, 0.7}, {4, NAN}, {5, NAN}},
                    {{0, 0.6}, {3, 0.5}, {2, 0.4}}};
    struct experiment_config config =
        make_config("evolution", "population=3,sample=3", "asha", "eta=2,max=2");
    struct replay_report report;
    struct experiment *e;
    struct farm f = {.n = 0};
    bool waits, fresh;

    config.trials = 6;
    config.recipe.epochs = 2;
    e = create(&config);
    for (uint32_t rung = 0; rung < 2; rung++) {
        size_t n = rung == 0 ? 6 : 3;

        (void)propose(e, &f, 20, &waits);
        ck_assert_uint_eq(f.n, n);
        f.n = 0;
        for (size_t i = 0; i < n; i++) {
            struct result result = result_of(1, 1);

            result.outcome = isnan(done[rung][i].fitness) ? OUTCOME_DIVERGED : OUTCOME_OK;
            result.fitness = done[rung][i].fitness;
            ok(experiment_record(e, &(struct wire_key){config.id, done[rung][i].trial, rung},
                                 &result, "w1", NULL, 0, &fresh, &why));
            ck_assert(fresh);
            ok(experiment_commit(e, &why));
        }
    }
    experiment_close(&e);
    ok(experiment_replay(dir, &report, &why));
    ck_assert_uint_eq(report.population, 3);
}
END_TEST

/* The store's configuration says `now` where it said `before`. */
static void change_config(const char *before, const char *now)
{
    struct store *store = NULL;
    char *json, *at;

    ok(store_open(&store, dir, STORE_WRITE, &quick, &why));
    ck_assert_ptr_nonnull(at = strstr(store_config(store), before));
    ck_assert_int_gt(asprintf(&json, "%.*s%s%s", (int)(at - store_config(store)),
                              store_config(store), now, at + strlen(before)),
                     0);
    ok(store_begin(store, &why));
    ok(store_put_meta(store, "config", json));
    ok(store_commit(store, &why));
    store_close(&store);
    free(json);
}

/* A store of before does not say by which rules it was written. */
START_TEST(a_journal_of_before_goes_on_by_the_rules_that_it_was_written_by)
{
    struct experiment_config config =
        make_config("evolution", "population=10,sample=3", "asha", "max=9");
    struct replay_report half, whole;
    struct experiment *e = NULL;
    struct farm f = {.n = 0};

    config.rules = 1;
    config.trials = TRIALS / 2;
    (void)run(create(&config), &f, true);
    change_config(" \"rules\": 1,", "");
    ok(experiment_replay(dir, &half, &why));
    ok(experiment_open(&e, dir, &quick, &why));
    ok(experiment_extend(e, TRIALS, &why));
    ok(experiment_commit(e, &why));
    (void)run(e, &f, true);
    ok(experiment_replay(dir, &whole, &why));
    ck_assert_uint_eq(half.trials, TRIALS / 2);
    ck_assert_uint_eq(whole.trials, TRIALS);

    change_config("\"rules\": 0,", "\"rules\": 2,");
    ck_assert_int_eq(experiment_replay(dir, &whole, &why), FARM_ECORRUPT);
    ck_assert_msg(strstr(why.text, "proposes another") != NULL, "%s", why.text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("promotions");
    TCase *tc = tcase_create("promotions");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, make_folder, remove_folder);
    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, every_strategy_under_every_scheduler_is_the_fold_of_its_journal, 0,
                        N_SCHEDULERS);
    tcase_add_test(tc, a_trial_goes_on_from_where_it_stopped_and_its_last_result_counts);
    tcase_add_test(tc, a_paused_training_that_was_not_kept_begins_anew);
    tcase_add_test(tc, a_list_of_the_best_has_every_trial_once);
    tcase_add_test(tc, a_failure_on_a_higher_rung_takes_nothing_away);
    tcase_add_test(tc, the_stored_population_is_that_of_the_rung_that_parents_come_from);
    tcase_add_test(tc, a_journal_of_before_goes_on_by_the_rules_that_it_was_written_by);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
