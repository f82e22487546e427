/* test_objectives.c - what a search wants, as a text, as numbers of a trial, and as a search that resumes and replays; and
 * which trials it does not train at all. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiment.h"
#include "log.h"
#include "objectives.h"
#include "prefilter.h"

static struct why why;

static struct objectives parsed(const char *text)
{
    struct objectives o;

    ck_assert_msg(objectives_parse(&o, text, 0, &why) == FARM_OK, "%s", why.text);
    return o;
}

static struct trial_record a_trial(void)
{
    return (struct trial_record){
        .params = 1000,
        .macs = 20000,
        .activation_bytes = 4096,
        .result = {.outcome = OUTCOME_OK, .fitness = 0.9, .loss = 0.3, .latency_us = 50}};
}

/* ---------------------------------------------------------------- texts */

START_TEST(nothing_said_is_the_accuracy)
{
    struct objectives o = parsed("");

    ck_assert(objectives_plain(&o));
    o = parsed("accuracy");
    ck_assert(objectives_plain(&o));
    ck_assert_int_eq(objectives_parse(&o, "", 100, &why), FARM_OK);
    ck_assert(!objectives_plain(&o)); /* a bound on what is measured */
    ck_assert(objectives_use(&o, METRIC_LATENCY));
}
END_TEST

static const struct {
    const char *text, *sentence;
} wrong[] = {
    {"speed", "'speed': there are accuracy, loss, params, macs, memory and latency"},
    {"accuracy,", "'': there are"},
    {"accuracy,macs", "'macs' would be raised: write -macs to lower it (or +macs"},
    {"accuracy,-macs,-macs", "macs is named twice"},
    {"mnasnet:macs", "it needs a target, as in mnasnet:macs,target=10M"},
    {"mnasnet:accuracy,target=1", "the cost is params, macs, memory or latency"},
    {"mnasnet:macs,target=0", "'0' is no macs: a number from 1 on"},
    {"mnasnet:macs,target=1ms", "'1ms' is no macs"},
    {"mnasnet:macs,target=1M,w=2", "'w=2' is none of target=AMOUNT"},
    {"mnasnet:macs,target=1M,w=nan", "'w=nan' is none of"},
};

START_TEST(a_mistake_is_named)
{
    struct objectives o;

    ck_assert_int_eq(objectives_parse(&o, wrong[_i].text, 0, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, wrong[_i].sentence) != NULL, "%s", why.text);
    ck_assert_msg(strstr(why.text, "objective '") == why.text, "%s", why.text);
}
END_TEST

START_TEST(bounds_have_units)
{
    struct bounds b = {0};

    ck_assert_int_eq(bounds_parse(&b, "params<1M,macs<2.5G,memory<2MiB,latency<5ms", &why),
                     FARM_OK);
    ck_assert_uint_eq(b.params, 1000000);
    ck_assert_uint_eq(b.macs, 2500000000);
    ck_assert_uint_eq(b.memory_bytes, 2097152);
    ck_assert_double_eq(b.latency_us, 5000);
    ck_assert_int_eq(bounds_parse(&b, "latency<1s", &why), FARM_OK);
    ck_assert_double_eq(b.latency_us, 1e6);
    for (const char *const *bad =
             (const char *const[]){"params", "params<", "params<-1", "params>5", "accuracy<1",
                                   "params<1ms", "latency<1k", "params<inf", "params<5x",
                                   "params<0.5", "memory<0", "latency<0", NULL};
         *bad != NULL; bad++)
        ck_assert_msg(bounds_parse(&b, *bad, &why) == FARM_EINPUT, "%s", *bad);
}
END_TEST

/* ---------------------------------------------------------------- numbers */

START_TEST(all_is_raised_and_costs_come_negated)
{
    struct objectives o = parsed("accuracy,-macs,-params,-memory,-latency,-loss");
    struct trial_record trial = a_trial();
    double v[OBJECTIVES_MAX], violation;
    const double expected[] = {0.9, -20000, -1000, -4096, -50, -0.3};

    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    for (int i = 0; i < 6; i++)
        ck_assert_double_eq(v[i], expected[i]);
    ck_assert_double_eq(violation, 0);
}
END_TEST

START_TEST(what_was_not_measured_is_no_success)
{
    struct objectives o = parsed("accuracy,-latency");
    struct trial_record trial = a_trial();
    double v[OBJECTIVES_MAX], violation;

    trial.result.latency_us = 0;
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, "its latency, which is an objective, was not measured") != NULL,
                  "%s", why.text);
    trial = a_trial();
    trial.result.fitness = INFINITY;
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_EINPUT);
}
END_TEST

START_TEST(a_latency_past_its_bound_is_a_violation_by_its_share)
{
    struct objectives o;
    struct trial_record trial = a_trial();
    double v[OBJECTIVES_MAX], violation;

    ck_assert_int_eq(objectives_parse(&o, "", 40, &why), FARM_OK);
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq_tol(violation, 0.25, 1e-12);
    trial.result.latency_us = 40;
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq(violation, 0);
}
END_TEST

/* The rewards of test_reward.c, by their text. */
START_TEST(the_reward_of_mnasnet_is_one_number)
{
    struct objectives o = parsed("mnasnet:macs,target=10k");
    struct trial_record trial = a_trial();
    double v[OBJECTIVES_MAX], violation;

    ck_assert_uint_eq(o.n, 1);
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq_tol(v[0], 0.9 * pow(2, -0.07), 1e-12);
    o = parsed("mnasnet:macs,target=10k,hard");
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq_tol(v[0], 0.45, 1e-12);
    o = parsed("mnasnet:macs,target=40k,hard");
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq_tol(v[0], 0.9, 1e-12);
    o = parsed("mnasnet:latency,target=0.1ms,w=-0.5");
    ck_assert_int_eq(objectives_of(&o, &trial, v, &violation, &why), FARM_OK);
    ck_assert_double_eq_tol(v[0], 0.9 * pow(0.5, -0.5), 1e-12);
}
END_TEST

/* ---------------------------------------------------------------- the prefilter */

START_TEST(the_best_share_of_all_scores_so_far_passes)
{
    struct prefilter p;
    static const struct {
        double score;
        bool passes;
    } scores[] = {/* of n scores so far, this one among them, the best ceil(n / 4) pass */
                  {5, true},  {4, false},  {6, true}, {5.5, false}, {5.8, true},
                  {1, false}, {5.8, true}, {7, true}, {5.9, true},  {-1, false}};

    ck_assert_int_eq(prefilter_init(&p, "synflow:25%", &why), FARM_OK);
    ck_assert_str_eq(p.proxy, "synflow");
    for (size_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        bool passes;

        ck_assert_int_eq(prefilter_take(&p, scores[i].score, &passes), FARM_OK);
        ck_assert_msg(passes == scores[i].passes, "score %zu", i);
    }
    prefilter_release(&p);
}
END_TEST

START_TEST(a_prefilter_that_makes_no_sense_is_refused)
{
    static const char *const texts[] = {"naswot",      "naswot:",    "naswot:10",   "naswot:0%",
                                        "naswot:100%", "naswot:-1%", "naswot:nan%", "magic:10%",
                                        ":10%",        "naswot:10%x"};
    struct prefilter p;

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        ck_assert_msg(prefilter_init(&p, texts[i], &why) == FARM_EINPUT, "%s", texts[i]);
        ck_assert_msg(strstr(why.text, "prefilter '") == why.text, "%s", why.text);
    }
    ck_assert_int_eq(prefilter_init(&p, "", &why), FARM_OK);
    ck_assert_str_eq(p.proxy, "");
}
END_TEST

/* ---------------------------------------------------------------- a search */

static char folder[64], dir[96];

static void make_folder(void)
{
    strcpy(folder, "/tmp/nasfarm-objectives-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(dir, sizeof dir, "%s/a", folder);
    log_open("test_objectives", LOG_ERROR);
}

static void remove_folder(void)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static struct experiment_config a_search(const char *strategy, const char *objective)
{
    struct experiment_config c = {.seed = 7,
                                  .trials = 80,
                                  .id = 99,
                                  .data = {"tiny", 1, 8, 8, 1, 10, 100, 20},
                                  .space = {.name = "nasbench201",
                                            .input = {8, 8, 1},
                                            .classes = 10,
                                            .channels = 8,
                                            .cells = 1,
                                            .stages = 1}};

    (void)snprintf(c.name, sizeof c.name, "test");
    (void)snprintf(c.strategy, sizeof c.strategy, "%s", strategy);
    (void)snprintf(c.objective, sizeof c.objective, "%s", objective);
    if (strcmp(strategy, "nsga2") == 0)
        strcpy(c.strategy_options, "population=10");
    recipe_init(&c.recipe);
    recipe_init(&c.final_recipe);
    return c;
}

/* The trial's number decides: accuracies and latencies rise and fall in different ways. */
static struct result result_of(uint64_t trial)
{
    struct result r = {.outcome = OUTCOME_OK,
                       .fitness = (double)(trial * 37 % 101) / 101,
                       .loss = 1,
                       .test_accuracy = NAN,
                       .test_loss = NAN,
                       .latency_us = 10 + (double)(trial * 53 % 97),
                       .isa = "test"};

    if (trial == 5)
        r.latency_us = 0; /* an evaluator that measures nothing */
    return r;
}

/* Evaluates one task, and makes that durable. */
static void evaluate(struct experiment *e, const struct wire_key *key)
{
    struct result r = result_of(key->trial);
    bool fresh;

    if (key->rung == WIRE_RUNG_PROXY) /* now and then one that is not defined for a network */
        r = (struct result){.outcome = key->trial % 9 == 8 ? OUTCOME_REJECTED : OUTCOME_OK,
                            .fitness = (double)(key->trial * 29 % 83),
                            .isa = "test"};
    ck_assert_msg(experiment_record(e, key, &r, "w", NULL, 0, &fresh, &why) == FARM_OK, "%s",
                  why.text);
    ck_assert(fresh);
    ck_assert_int_eq(experiment_commit(e, &why), FARM_OK);
}

struct keys {
    struct wire_key key[8];
    size_t n;
};

static bool note(struct proposal *p, void *ctx)
{
    struct keys *keys = ctx;

    ck_assert_uint_lt(keys->n, 8);
    keys->key[keys->n++] = p->key;
    free(p->task);
    free(p->resume);
    return true;
}

/* One evaluation after the other: first those that were pending when it was opened; until so many trials are proposed, or to
 * the end. */
static void run_until(struct experiment *e, uint64_t trials)
{
    struct keys pending = {.n = 0};

    ck_assert_int_eq(experiment_each_pending(e, note, &pending, &why), FARM_OK);
    for (size_t i = 0; i < pending.n; i++)
        evaluate(e, &pending.key[i]);
    for (;;) {
        struct experiment_summary s;
        struct proposal p;
        int rc;

        experiment_summary(e, &s);
        if (s.proposed >= trials && trials < experiment_config(e)->trials)
            return;
        if ((rc = experiment_propose(e, &p, &why)) == FARM_ENOTFOUND)
            return;
        ck_assert_msg(rc == FARM_OK, "%s", why.text);
        free(p.task);
        free(p.resume);
        evaluate(e, &p.key);
    }
}

static struct replay_report whole_search(const struct experiment_config *c, bool interrupted,
                                         struct experiment_summary *summary)
{
    struct experiment *e = NULL;
    struct replay_report report;

    ck_assert_msg(experiment_create(&e, dir, c, NULL, &why) == FARM_OK, "%s", why.text);
    if (interrupted)
        for (uint64_t at = 7; at < 70; at += 9) {
            run_until(e, at);
            experiment_close(&e);
            ck_assert_msg(experiment_open(&e, dir, NULL, &why) == FARM_OK, "%s", why.text);
        }
    run_until(e, c->trials);
    experiment_summary(e, summary);
    experiment_close(&e);
    ck_assert_msg(experiment_replay(dir, &report, &why) == FARM_OK, "%s", why.text);
    return report;
}

static const struct {
    const char *strategy, *objective;
    double max_latency_us;
    const char *prefilter, *scheduler;
} searches[] = {
    {"nsga2", "accuracy,-macs,-latency", 0, "", ""},
    {"nsga2", "accuracy,-params", 60, "", ""},
    {"nsga2", "-loss,-latency", 0, "", "asha"},
    {"evolution", "mnasnet:latency,target=30us", 0, "", ""},
    {"tpe", "", 60, "", ""},
    {"random", "-latency", 0, "", ""},
    {"evolution", "", 0, "naswot:30%", ""},
    {"tpe", "", 0, "naswot:30%", "hyperband"},
    {"nsga2", "accuracy,-latency", 0, "params:50%", "asha"},
    {"local-search", "", 0, "synflow:20%", "median"},
};

START_TEST(a_search_for_more_than_accuracy_resumes_and_replays)
{
    struct experiment_config c = a_search(searches[_i].strategy, searches[_i].objective);
    struct replay_report once, again;
    struct experiment_summary s;

    c.max_latency_us = searches[_i].max_latency_us;
    (void)snprintf(c.prefilter, sizeof c.prefilter, "%s", searches[_i].prefilter);
    (void)snprintf(c.scheduler, sizeof c.scheduler, "%s", searches[_i].scheduler);
    once = whole_search(&c, false, &s);
    remove_folder();
    make_folder();
    again = whole_search(&c, true, &s);
    ck_assert_mem_eq(&once.journal, &again.journal, sizeof once.journal);
    ck_assert_mem_eq(&once.state, &again.state, sizeof once.state);
    ck_assert_uint_eq(s.done, s.ok + s.failed + s.filtered);
    ck_assert_msg((s.filtered > 30) == (c.prefilter[0] != '\0'), "%d filtered", (int)s.filtered);
    if (objectives_use(&(struct objectives){.n = 1, .max_latency_us = c.max_latency_us},
                       METRIC_LATENCY))
        ck_assert_double_le(result_of(s.best_trial).latency_us, c.max_latency_us);
}
END_TEST

START_TEST(a_result_without_what_is_wanted_is_a_failure_that_says_so)
{
    struct experiment_config c = a_search("nsga2", "accuracy,-latency");
    struct experiment_summary s;
    struct store *store = NULL;
    struct trial_record record;

    (void)whole_search(&c, false, &s);
    ck_assert_uint_ge(s.failed, 1);
    ck_assert_int_eq(store_open(&store, dir, STORE_READ, NULL, &why), FARM_OK);
    ck_assert_int_eq(store_get_trial(store, 5, &record), FARM_OK);
    ck_assert_int_eq(record.result.outcome, OUTCOME_REJECTED);
    ck_assert_msg(strstr(record.result.reason, "latency") != NULL, "%s", record.result.reason);
    trial_record_release(&record);
    store_close(&store);
}
END_TEST

START_TEST(several_numbers_are_refused_where_one_is_raised)
{
    struct experiment_config c = a_search("evolution", "accuracy,-macs");
    struct experiment *e = NULL;

    ck_assert_int_eq(experiment_create(&e, dir, &c, NULL, &why), FARM_EINPUT);
    ck_assert_msg(strstr(why.text, "strategy evolution raises one number, and there are 2") != NULL,
                  "%s", why.text);
    ck_assert_ptr_null(e);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("objectives");
    TCase *tcase = tcase_create("objectives");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    tcase_add_test(tcase, nothing_said_is_the_accuracy);
    tcase_add_loop_test(tcase, a_mistake_is_named, 0, (int)(sizeof wrong / sizeof wrong[0]));
    tcase_add_test(tcase, bounds_have_units);
    tcase_add_test(tcase, all_is_raised_and_costs_come_negated);
    tcase_add_test(tcase, what_was_not_measured_is_no_success);
    tcase_add_test(tcase, a_latency_past_its_bound_is_a_violation_by_its_share);
    tcase_add_test(tcase, the_reward_of_mnasnet_is_one_number);
    tcase_add_test(tcase, the_best_share_of_all_scores_so_far_passes);
    tcase_add_test(tcase, a_prefilter_that_makes_no_sense_is_refused);
    tcase_add_loop_test(tcase, a_search_for_more_than_accuracy_resumes_and_replays, 0,
                        (int)(sizeof searches / sizeof searches[0]));
    tcase_add_test(tcase, a_result_without_what_is_wanted_is_a_failure_that_says_so);
    tcase_add_test(tcase, several_numbers_are_refused_where_one_is_raised);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
