/* test_recheck.c - results are checked by other workers: who lies is found out, who is honest is not, and the search stays a
 * fold over its journal.
 *
 * The farm is played here, without sockets: a few workers that answer a task by a function of its network, each in its
 * own way. Trials come back in the order in which they were proposed, checks at once.
 */
#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "care.h"
#include "experiment.h"
#include "log.h"
#include "recheck.h"
#include "trust.h"

#define TRIALS   200
#define WINDOW   8
#define N_IMAGES 1000

static char folder[64], dir[96];
static struct why why;

#define ok(call)                                                                                   \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        ck_assert_msg(rc_ == FARM_OK, "%s: %s: %s", #call, farm_strerror(rc_), why.text);          \
    } while (0)

static void remove_run(void)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock", ""};
    char path[200];

    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)remove(path);
    }
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/nasfarm-recheck-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(dir, sizeof dir, "%s/a", folder);
    log_open("test_recheck", LOG_ERROR + 1);
}

static void remove_folder(void)
{
    remove_run();
    (void)remove(folder);
}

/* ---------------------------------------------------------------- rules */

START_TEST(a_policy_is_a_share_and_perhaps_a_noise)
{
    static const struct {
        const char *text;
        int rc;
        bool on;
        double share, noise;
    } cases[] = {{"", FARM_OK, false, 0, NAN},
                 {"off", FARM_OK, false, 0, NAN},
                 {"1%", FARM_OK, true, 0.01, NAN},
                 {"0%", FARM_OK, true, 0, NAN},
                 {"2.5%:0.02", FARM_OK, true, 0.025, 0.02},
                 {"100%:0", FARM_OK, true, 1, 0},
                 {"1", FARM_EINPUT, false, 0, 0},
                 {"%", FARM_EINPUT, false, 0, 0},
                 {"101%", FARM_EINPUT, false, 0, 0},
                 {"-1%", FARM_EINPUT, false, 0, 0},
                 {"nan%", FARM_EINPUT, false, 0, 0},
                 {"1%:", FARM_EINPUT, false, 0, 0},
                 {"1%:x", FARM_EINPUT, false, 0, 0},
                 {"1%:-1", FARM_EINPUT, false, 0, 0},
                 {"1%2", FARM_EINPUT, false, 0, 0}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct recheck r;

        ck_assert_msg(recheck_init(&r, cases[i].text, &why) == cases[i].rc, "%s", cases[i].text);
        if (cases[i].rc != FARM_OK)
            continue;
        ck_assert_int_eq(r.on, cases[i].on);
        ck_assert_double_eq(r.share, cases[i].share);
        ck_assert(isnan(cases[i].noise) ? isnan(r.noise) : r.noise == cases[i].noise);
    }
}
END_TEST

START_TEST(the_draw_is_a_function_of_seed_and_trial_and_has_its_share)
{
    struct recheck r, again;
    unsigned drawn = 0, other = 0, unsteady = 0;

    ok(recheck_init(&r, "1%", &why));
    ok(recheck_init(&again, "1%", &why));
    for (uint64_t t = 0; t < 100000; t++) {
        drawn += recheck_draws(&r, 7, t);
        other += recheck_draws(&r, 7, t) && recheck_draws(&r, 8, t);
        unsteady += recheck_draws(&r, 7, t) != recheck_draws(&again, 7, t);
    }
    ck_assert_uint_eq(unsteady, 0);
    ck_assert_uint_ge(drawn, 850);
    ck_assert_uint_le(drawn, 1150);
    ck_assert_uint_le(other, 30); /* another seed draws others */
}
END_TEST

static struct result a_result(const char *isa, const char *made_by, double fitness, double loss)
{
    struct result r = {.outcome = OUTCOME_OK,
                       .fitness = fitness,
                       .loss = loss,
                       .train_loss = NAN,
                       .n_validation = 1000};

    (void)snprintf(r.isa, sizeof r.isa, "%s", isa);
    (void)snprintf(r.made_by, sizeof r.made_by, "%s", made_by);
    return r;
}

START_TEST(equals_must_agree_to_the_bit_and_others_within_the_noise)
{
    struct recheck r, told;
    struct result a = a_result("avx2", "m", 0.9, 0.3), b = a, c;

    ok(recheck_init(&r, "1%", &why));
    ok(recheck_init(&told, "1%:0.001", &why));
    ck_assert(recheck_is_exact(&a, &b) && recheck_same(&r, &a, &b));
    b.loss = nextafter(b.loss, 1);
    ck_assert(!recheck_same(&r, &a, &b)); /* one bit */
    c = a_result("avx512", "m", 0.9 + 0.05, 0.2);
    ck_assert(!recheck_is_exact(&a, &c));
    ck_assert(recheck_same(&r, &a, &c)); /* 6 standard errors are 0.071 at 0.925 */
    ck_assert(!recheck_same(&told, &a, &c));
    c.fitness = 0.98;
    ck_assert(!recheck_same(&r, &a, &c));
    c = a_result("avx2", "another", 0.9, 0.31);
    ck_assert(!recheck_is_exact(&a, &c) && recheck_same(&r, &a, &c));
    b = a_result("exec", "m", 0.9, 0.3), c = a_result("exec", "m", 0.91, 0.3);
    ck_assert(!recheck_is_exact(&b, &c) &&
              recheck_same(&r, &b, &c)); /* nobody said that it is a function */
    b = a_result("avx2+avx512", "m", 0.9, 0.3);
    ck_assert(!recheck_is_exact(&b, &b));
    b = a_result("avx2", "", 0.9, 0.3);
    ck_assert(!recheck_is_exact(&b, &b)); /* of a worker of an older version */
    b = a, b.outcome = OUTCOME_DIVERGED;
    ck_assert(!recheck_same(&r, &a, &b));
}
END_TEST

/* Opinions as "WORKER FITNESS": of one maker, so that they must be equal. */
static const struct {
    struct {
        const char *worker;
        double fitness;
    } said[OPINIONS_MAX];
    size_t n;
    const char *helped; /* in the first one's training; NULL: nobody */
    size_t stands, wrong;
    enum verdict verdict;
    bool first_trusted;
} judgements[] = {
    {{{"a", 0.9}}, 1, NULL, 0, 3, VERDICT_OPEN, true},
    {{{"a", 0.9}, {"b", 0.9}}, 2, NULL, 0, 3, VERDICT_CONFIRMED, true},
    {{{"a", 0.9}, {"a", 0.9}}, 2, NULL, 0, 3, VERDICT_ALONE, true},
    {{{"a", 0.9}, {"a", 0.8}}, 2, NULL, 0, 3, VERDICT_ALONE, true},
    {{{"a", 0.9}, {"b", 0.5}}, 2, NULL, 0, 3, VERDICT_OPEN, true},
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.5}}, 3, NULL, 1, 0, VERDICT_REFUTED, true},
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.9}}, 3, NULL, 0, 1, VERDICT_CONFIRMED, true},
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.7}}, 3, NULL, 1, 3, VERDICT_DISPUTED, true},
    {{{"a", 0.5}, {"b", 0.9}, {"c", 0.7}}, 3, NULL, 0, 3, VERDICT_DISPUTED, true},
    {{{"a", 0.9}, {"b", 0.5}, {"a", 0.9}}, 3, NULL, 1, 3, VERDICT_DISPUTED, true}, /* no third */
    {{{"a", 0.9}, {"b", 0.5}, {"b", 0.5}}, 3, NULL, 1, 3, VERDICT_DISPUTED, true},
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.9}}, 3, "c", 1, 3, VERDICT_DISPUTED, true}, /* nor here */
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.9}}, 3, "b", 0, 1, VERDICT_CONFIRMED, true},
    {{{"a", 0.9}, {"b", 0.5}}, 2, NULL, 1, 3, VERDICT_REFUTED, false},
    {{{"a", 0.9}, {"b", 0.9}}, 2, NULL, 0, 3, VERDICT_CONFIRMED, false},
    {{{"a", 0.9}, {"b", 0.5}, {"c", 0.9}}, 3, NULL, 1, 3, VERDICT_REFUTED, false},
};

START_TEST(two_against_one_and_nobody_decides_his_own_case)
{
    struct opinion o[OPINIONS_MAX];
    struct recheck r;
    struct judgement j;

    ok(recheck_init(&r, "1%", &why));
    for (size_t i = 0; i < judgements[_i].n; i++) {
        (void)snprintf(o[i].worker, sizeof o[i].worker, "%s", judgements[_i].said[i].worker);
        o[i].result = a_result("avx2", "m", judgements[_i].said[i].fitness, 0.5);
    }
    j = recheck_judge(&r, o, judgements[_i].n,
                      judgements[_i].helped != NULL ? worker_bit(judgements[_i].helped) : 0,
                      judgements[_i].first_trusted);
    ck_assert_int_eq(j.verdict, judgements[_i].verdict);
    ck_assert_uint_eq(j.wrong, judgements[_i].wrong);
    ck_assert_uint_eq(j.stands, judgements[_i].stands);
    ck_assert(j.wrong == OPINIONS_MAX || j.exact);
}
END_TEST

/* ---------------------------------------------------------------- a farm that is played */

enum manner {
    HONEST,      /* avx2 */
    HONEST_512,  /* of another instruction set: a little different */
    HONEST_EXEC, /* no function: a little different each time */
    INFLATES,    /* adds a quarter of what is missing to 1 */
    SPOILS,      /* whoever goes on with its training finds as much; in the end it does so itself */
    NUDGES,      /* changes the last bit of the loss */
    EXEC_INFLATES,
};

#define SPOILS_UNSEEN 30
#define COMMIT_EVERY  5 /* results: each is a sync of the disk */

struct task_out {
    struct wire_key key;
    double truth;
    bool spoilt; /* the training that it goes on from */
};

struct played {
    struct experiment *e;
    const enum manner *workers;
    size_t n_workers, turn; /* who is next */
    size_t turns;
    struct task_out out[64], checks[64];
    size_t n, n_checks;
    uint64_t answers, answers_of[8];
    double best_truth; /* of all trials */
    double truth[TRIALS];
    bool reopen;          /* now and then */
    const char *strategy; /* NULL: evolution */
};

static void name_worker(char name[24], size_t i)
{
    (void)snprintf(name, 24, "w%zu", i);
}

static double truth_of(const struct proposal *p)
{
    struct graph *graph = NULL;
    struct digest hash;
    struct task task;
    void *hold = NULL;
    uint64_t bits;

    ok(task_unpack(&task, &hold, p->task, p->task_len, &why));
    ck_assert_uint_eq(task.seed, rng_mix(7, 1)); /* the same task, the same seed */
    ok(graph_unpack(&graph, task.graph, task.graph_len, &why));
    ok(graph_hash(graph, &hash));
    memcpy(&bits, hash.bytes, sizeof bits);
    graph_destroy(&graph);
    free(hold);
    return 0.5 + 0.3 * (double)(bits % 100003) / 100003;
}

static struct result answer(struct played *f, size_t worker, double truth, bool spoilt)
{
    enum manner manner = f->workers[worker];
    struct result r = a_result("avx2", "nasfarm, a library", truth, 1 - truth);

    f->answers++;
    f->answers_of[worker]++;
    switch (manner) {
    case HONEST: break;
    case HONEST_512:
        r.fitness += 0.004;
        (void)snprintf(r.isa, sizeof r.isa, "avx512");
        break;
    case EXEC_INFLATES: r.fitness += 0.9 * (1 - r.fitness); /* fallthrough */
    case HONEST_EXEC:
        r.fitness += 0.002 * (double)(f->answers % 5);
        (void)snprintf(r.isa, sizeof r.isa, "exec");
        break;
    case INFLATES: spoilt = true; break;
    case SPOILS: spoilt |= f->answers_of[worker] > SPOILS_UNSEEN; break;
    case NUDGES: r.loss = nextafter(r.loss, 1); break;
    }
    if (spoilt)
        r.fitness += (1 - r.fitness) / 4;
    return r;
}

/* Who gets it: as the broker does it. */
static size_t pick(struct played *f, const struct wire_key *key)
{
    struct wire_names avoid = {0}, never;
    size_t chosen = f->n_workers;

    experiment_avoided(f->e, key, &avoid);
    experiment_untrusted(f->e, &never);
    for (int strict = 1; strict >= 0 && chosen == f->n_workers; strict--)
        for (size_t i = 0; i < f->n_workers && chosen == f->n_workers; i++) {
            size_t w = (f->turn + i) % f->n_workers;
            char name[24];

            name_worker(name, w);
            if (!wire_names_has(&never, name) && !(strict && wire_names_has(&avoid, name)))
                chosen = w;
        }
    ck_assert_uint_lt(chosen, f->n_workers); /* somebody is trusted */
    f->turn = chosen + 1;
    return chosen;
}

static void deliver(struct played *f, const struct task_out *task)
{
    size_t worker = pick(f, &task->key);
    struct result r = answer(f, worker, task->truth, task->spoilt);
    const char blob = task->spoilt || f->workers[worker] == SPOILS ? 's' : 'h';
    char name[24];
    bool fresh;

    name_worker(name, worker);
    ok(experiment_record(f->e, &task->key, &r, name, &blob, 1, &fresh, &why));
    ck_assert(fresh);
    ok(experiment_record(f->e, &task->key, &r, name, &blob, 1, &fresh, &why)); /* told twice */
    ck_assert(!fresh);
}

static void take_proposal(struct played *f, struct proposal *p)
{
    double truth = truth_of(p);

    ck_assert_uint_lt(f->n, sizeof f->out / sizeof f->out[0]);
    f->out[f->n++] = (struct task_out){p->key, truth, p->resume_len > 0 && p->resume[0] == 's'};
    f->truth[p->key.trial] = truth;
    f->best_truth = fmax(f->best_truth, truth);
    free(p->task);
    free(p->resume);
}

static void run_checks(struct played *f)
{
    struct proposal p;
    int rc;

    for (size_t i = 0; i < f->n_checks; i++)
        deliver(f, &f->checks[i]);
    f->n_checks = 0;
    while ((rc = experiment_propose_check(f->e, &p, &why)) == FARM_OK) {
        ck_assert(wire_rung_is_check(p.key.rung));
        ck_assert_ptr_null(p.resume);
        ck_assert(experiment_is_pending(f->e, &p.key));
        deliver(f, &(struct task_out){p.key, truth_of(&p), false});
        free(p.task);
    }
    ck_assert_int_eq(rc, FARM_ENOTFOUND);
}

static bool take_pending(struct proposal *p, void *ctx)
{
    struct played *f = ctx;

    if (!wire_rung_is_check(p->key.rung)) {
        take_proposal(f, p);
        return true;
    }
    ck_assert_uint_lt(f->n_checks, sizeof f->checks / sizeof f->checks[0]);
    f->checks[f->n_checks++] = (struct task_out){p->key, truth_of(p), false};
    free(p->task);
    return true;
}

/* As if it had been killed after a commit. */
static void reopen(struct played *f)
{
    struct replay_report report;

    experiment_close(&f->e);
    ck_assert_msg(experiment_replay(dir, &report, &why) == FARM_OK, "%s", why.text);
    ok(experiment_open(&f->e, dir, NULL, &why));
    experiment_see_workers(f->e, (uint32_t)f->n_workers);
    f->n = f->n_checks = 0;
    ok(experiment_each_pending(f->e, take_pending, f, &why));
}

/* One result, and the checks that it brings; false: all is done. */
static bool turn(struct played *f)
{
    struct proposal p;
    struct task_out first;

    while (f->n < WINDOW && experiment_propose(f->e, &p, &why) == FARM_OK)
        take_proposal(f, &p);
    if (f->n == 0 || f->turns++ % COMMIT_EVERY == 0)
        ok(experiment_commit(f->e, &why));
    if (f->n == 0)
        return false;
    first = f->out[0];
    memmove(f->out, f->out + 1, --f->n * sizeof f->out[0]);
    deliver(f, &first);
    if (f->reopen && f->turns % COMMIT_EVERY == 0) {
        ok(experiment_commit(f->e, &why));
        reopen(f);
    }
    run_checks(f);
    return true;
}

static void play(struct played *f, const char *recheck, const char *schedule,
                 const enum manner *workers, size_t n_workers)
{
    struct experiment_config c = {.seed = 7,
                                  .trials = TRIALS,
                                  .id = 99,
                                  .data = {"tiny", 0xfedcba9876543210, 8, 8, 1, 10, 100, 20}};

    (void)snprintf(c.name, sizeof c.name, "test");
    (void)snprintf(c.space.name, sizeof c.space.name, "nasbench201");
    (void)snprintf(c.strategy, sizeof c.strategy, "%s",
                   f->strategy != NULL ? f->strategy : "evolution");
    (void)snprintf(c.strategy_options, sizeof c.strategy_options, "population=20,sample=5");
    (void)snprintf(c.recheck, sizeof c.recheck, "%s", recheck);
    (void)snprintf(c.scheduler, sizeof c.scheduler, "%s", schedule);
    c.space.input = (struct graph_shape){8, 8, 1};
    c.space.classes = 10;
    c.space.channels = 8;
    c.space.cells = 1;
    c.space.stages = 1;
    recipe_init(&c.recipe);
    recipe_init(&c.final_recipe);
    c.recipe.epochs = 9;
    f->workers = workers;
    f->n_workers = n_workers;
    f->n = f->n_checks = f->turn = 0;
    f->best_truth = 0;
    f->answers = 0;
    memset(f->answers_of, 0, sizeof f->answers_of);
    ok(experiment_create(&f->e, dir, &c, NULL, &why));
    experiment_see_workers(f->e, (uint32_t)n_workers);
    while (turn(f))
        ;
}

static struct experiment_summary summary_of(const struct played *f)
{
    struct experiment_summary s;

    experiment_summary(f->e, &s);
    return s;
}

/* Closes it; what is on disk is whole and gives the same state when it is folded from the start. */
static struct replay_report end(struct played *f)
{
    struct replay_report report;
    struct store_check check;

    experiment_close(&f->e);
    ck_assert_msg(experiment_replay(dir, &report, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(store_verify(dir, NULL, NULL, &check, &why) == FARM_OK, "%s", why.text);
    return report;
}

static struct trial_record record_of(struct played *f, uint64_t trial)
{
    struct trial_record record;

    ok(store_get_trial(experiment_store(f->e), trial, &record));
    return record;
}

static double truth_of_record(const struct played *f, const struct trial_record *r)
{
    return f->truth[r->known_from != UINT64_MAX ? r->known_from : r->trial];
}

/* No trial has more than the truth but for what honest ones may add, and nothing is left open. */
static void check_honest(struct played *f, double noise)
{
    struct experiment_summary s = summary_of(f);

    for (uint64_t t = 0; t < TRIALS; t++) {
        struct trial_record r = record_of(f, t);

        ck_assert_int_eq(r.state, TRIAL_DONE);
        ck_assert_int_ne(r.check, TRIAL_SUSPECT);
        ck_assert_msg(r.result.fitness <= truth_of_record(f, &r) + noise,
                      "trial %" PRIu64 " of %s has %g, not %g (%s)", t, r.worker, r.result.fitness,
                      truth_of_record(f, &r), trial_check_name(r.check));
        trial_record_release(&r);
    }
    ck_assert_uint_eq(s.checks.open, 0);
    ck_assert(s.best_fitness >= f->best_truth - 1e-12 && s.best_fitness <= f->best_truth + noise);
}

/* ---------------------------------------------------------------- searches */

static void starts_anew(struct played *f)
{
    remove_run();
    *f = (struct played){.e = NULL};
}

START_TEST(honest_workers_are_trusted_and_the_search_does_not_know_that_it_is_checked)
{
    static const enum manner workers[] = {HONEST, HONEST_512, HONEST, HONEST_512};
    static const enum manner equal[] = {HONEST, HONEST, HONEST};
    struct replay_report with, without;
    struct experiment_summary s;
    struct played f = {.e = NULL};

    play(&f, "10%", "", workers, 4);
    s = summary_of(&f);
    ck_assert_uint_ge(s.checks.confirmed, 15);
    ck_assert_uint_eq(s.checks.refuted + s.checks.disputed + s.checks.unanswered, 0);
    ck_assert_uint_eq(s.checks.untrusted, 0);
    check_honest(&f, 0.004 + 1e-12);
    (void)end(&f);

    starts_anew(&f);
    play(&f, "100%", "", equal, 3);
    ck_assert_uint_ge(summary_of(&f).checks.confirmed, TRIALS / 2);
    with = end(&f);
    starts_anew(&f);
    play(&f, "off", "", equal, 3);
    ck_assert_uint_eq(summary_of(&f).checks.confirmed, 0);
    without = end(&f);
    ck_assert_mem_eq(&with.journal, &without.journal, sizeof with.journal);
    ck_assert_mem_eq(&with.state, &without.state, sizeof with.state);
}
END_TEST

/* Who lies how, under which schedule, and after how many answers it must be found out. */
static const struct {
    const char *recheck, *schedule;
    enum manner workers[4];
    size_t n;
    bool reopen;
    uint64_t within;
    double noise; /* of the honest */
    const char *strategy;
} lies[] = {
    {"1%", "", {HONEST, HONEST, INFLATES, HONEST}, 4, false, 3, 0, NULL},
    {"1%", "", {INFLATES, HONEST, HONEST}, 3, false, 3, 0, NULL},
    {"1%", "", {INFLATES, HONEST, HONEST}, 3, true, 3, 0, NULL},
    {"1%:0.02", "", {HONEST, INFLATES, HONEST_512, HONEST_512}, 4, true, 12, 0.004, NULL},
    {"1%", "", {HONEST, INFLATES, HONEST, INFLATES}, 4, false, 8, 0, NULL},
    {"100%", "", {HONEST, NUDGES, HONEST}, 3, false, 2, 0, NULL},
    {"1%", "asha", {INFLATES, HONEST, HONEST}, 3, false, 3, 0, NULL},
    {"1%", "asha", {INFLATES, HONEST, HONEST}, 3, true, 3, 0, NULL},
    {"20%", "asha", {HONEST, HONEST, SPOILS, HONEST}, 4, false, SPOILS_UNSEEN + 10, 0, NULL},
    {"20%", "asha", {HONEST, HONEST, SPOILS, HONEST}, 4, true, SPOILS_UNSEEN + 10, 0, NULL},
    {"1%:0.02", "", {HONEST_EXEC, EXEC_INFLATES, HONEST_EXEC}, 3, true, 6, 0.008, NULL},
    {"1%", "", {INFLATES, HONEST, HONEST}, 3, true, 3, 0, "tournament"},
    {"100%", "", {HONEST, NUDGES, HONEST}, 3, false, 2, 0, "tournament"},
};

START_TEST(who_lies_is_found_out_and_what_it_said_is_corrected)
{
    struct played f = {.reopen = lies[_i].reopen, .strategy = lies[_i].strategy};
    struct wire_names out;

    play(&f, lies[_i].recheck, lies[_i].schedule, lies[_i].workers, lies[_i].n);
    experiment_untrusted(f.e, &out);
    for (size_t i = 0, n = 0; i < lies[_i].n; i++) {
        bool lies_here = lies[_i].workers[i] >= INFLATES;
        char name[24];

        name_worker(name, i);
        ck_assert_msg(experiment_trusts(f.e, name) == !lies_here, "worker %zu", i);
        n += lies_here;
        ck_assert(!lies_here || n <= out.n);
        if (lies_here)
            ck_assert_msg(f.answers_of[i] <= lies[_i].within, "only after %" PRIu64 " answers",
                          f.answers_of[i]);
    }
    check_honest(&f, lies[_i].noise + 1e-12);
    (void)end(&f);
}
END_TEST

START_TEST(of_two_workers_nobody_is_thrown_out_and_the_lower_result_counts)
{
    static const enum manner workers[] = {INFLATES, HONEST};
    struct played f = {.e = NULL};
    struct experiment_summary s;

    play(&f, "1%", "", workers, 2);
    s = summary_of(&f);
    ck_assert_uint_gt(s.checks.disputed, 0);
    ck_assert_uint_eq(s.checks.untrusted, 0);
    ck_assert_double_le(s.best_fitness,
                        f.best_truth); /* what is left of the lies is not the best */
    (void)end(&f);
}
END_TEST

START_TEST(alone_there_is_nobody_to_ask)
{
    static const enum manner workers[] = {HONEST};
    struct played f = {.e = NULL};

    play(&f, "100%", "", workers, 1);
    ck_assert_uint_eq(f.answers, TRIALS - summary_of(&f).known);
    (void)end(&f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("recheck");
    TCase *rules = tcase_create("rules"), *searches = tcase_create("searches");
    SRunner *runner;
    int failed;

    tcase_set_timeout(rules, 60);
    tcase_add_test(rules, a_policy_is_a_share_and_perhaps_a_noise);
    tcase_add_test(rules, the_draw_is_a_function_of_seed_and_trial_and_has_its_share);
    tcase_add_test(rules, equals_must_agree_to_the_bit_and_others_within_the_noise);
    tcase_add_loop_test(rules, two_against_one_and_nobody_decides_his_own_case, 0,
                        sizeof judgements / sizeof judgements[0]);
    tcase_add_checked_fixture(searches, make_folder, remove_folder);
    tcase_set_timeout(searches, 300);
    tcase_add_test(searches,
                   honest_workers_are_trusted_and_the_search_does_not_know_that_it_is_checked);
    tcase_add_loop_test(searches, who_lies_is_found_out_and_what_it_said_is_corrected, 0,
                        sizeof lies / sizeof lies[0]);
    tcase_add_test(searches, of_two_workers_nobody_is_thrown_out_and_the_lower_result_counts);
    tcase_add_test(searches, alone_there_is_nobody_to_ask);
    suite_add_tcase(suite, rules);
    suite_add_tcase(suite, searches);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
