/* test_kill_every.c - every strategy under every schedule, killed with SIGKILL and resumed, ends with the same journal as one
 * that nobody killed.
 *
 * Real processes: a broker, a worker that looks results up in a table (nasfarm-worker --table), and `nasfarm search`. The worker
 * has one slot and nothing waits in hand, so that there is one order in which things can happen, and "the same" is bit for bit.
 * The broker and the worker are killed as well, now and then.
 *
 *   usage: test_kill_every [--all]      (a strategy or a schedule each at least once; --all: each with each)
 *
 * NASFARM_KILL_SEED sets when and whom (drawn, and printed).
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "farm_kit.h"
#include "rng.h"
#include "scheduler.h"
#include "space.h"
#include "strategy.h"

#define TRIALS  24
#define BUDGETS 9
#define KILLS   3 /* of one search */

static char folder[256], endpoint[64], table[400], log_file[300];
static pid_t broker, worker;
static struct rng rng;
static unsigned failures;

static void die(const char *what)
{
    char *log = kit_read(log_file);

    fprintf(stderr, "test_kill_every: %s\n%s\n", what, log);
    free(log);
    exit(1);
}

/* ---- the table: every architecture of NAS-Bench-201, with made-up learning curves ------------------------------------ */

static void write_row(FILE *file, const struct space *space, const struct genome *genome)
{
    char *notation = space_notation(space, genome);
    uint64_t hash = 5;
    double end;

    if (notation == NULL)
        die("out of memory");
    for (uint32_t i = 0; i < genome->n; i++)
        hash = rng_mix(hash, (uint64_t)genome->gene[i]);
    end = 0.5 + 0.5 * (double)(hash >> 11) * 0x1p-53;
    fprintf(file, "%s", notation);
    for (int budget = 1; budget <= BUDGETS; budget++)
        fprintf(file, ",%.6f", end * (1 - 0.5 / budget));
    fprintf(file, "\n");
    free(notation);
}

static void write_table(const char *path)
{
    struct space_config config = {.name = "nasbench201", .input = {32, 32, 3}, .classes = 10};
    struct space *space = NULL;
    struct genome *genome;
    FILE *file = fopen(path, "w");
    struct why why;

    if (file == NULL || space_open(&space, &config, &why) != FARM_OK ||
        (genome = genome_create(space->n_dims)) == NULL)
        die("cannot make the table");
    fprintf(file, "arch");
    for (int budget = 1; budget <= BUDGETS; budget++)
        fprintf(file, ",epoch_%d", budget);
    fprintf(file, "\n");
    for (uint32_t at = 0; at < space->n_dims;) { /* counts through all of them */
        if (at == 0)
            write_row(file, space, genome);
        if (++genome->gene[at] < space->dims[at].choices) {
            at = 0;
        } else {
            genome->gene[at] = 0;
            at++;
        }
    }
    free(genome);
    space_close(&space);
    if (fclose(file) != 0)
        die("cannot write the table");
}

/* ---- processes ------------------------------------------------------------------------------------------------------- */

static void start_broker(void)
{
    const char *argv[] = {BIN_BROKER, "--listen",          endpoint, "--heartbeat",
                          "50",       "--settle",          "150",    "--straggler",
                          "0",        "--die-with-parent", NULL};

    broker = kit_start(argv, log_file);
}

static void start_worker(void)
{
    char spec[500];

    snprintf(spec, sizeof spec, "%s,fitness=epoch_*,seconds=0.001,speed=1", table);
    const char *argv[] = {
        BIN_WORKER, "--broker", endpoint, "--slots", "1",  "--ahead",           "0", "--name",
        "w",        "--data",   "digits", "--table", spec, "--die-with-parent", NULL};

    worker = kit_start(argv, log_file);
}

static pid_t start_search(const char *dir, const char *const *options)
{
    const char *argv[40] = {BIN_NASFARM,  "search",   "--broker", endpoint,  "--data",    "digits",
                            "--out",      dir,        "--name",   "same",    "--seed",    "3",
                            "--no-final", "--epochs", "9",        "--quiet", "--continue"};
    int n = 17;

    while (*options != NULL)
        argv[n++] = *options++;
    return kit_start(argv, log_file);
}

/* What `nasfarm replay` says of the journal and the state: two lines. */
static void replay(const char *dir, char *out, size_t size)
{
    const char *argv[] = {BIN_NASFARM, "replay", dir, NULL};
    char path[300], *text, *at;

    snprintf(path, sizeof path, "%s/replay.log", folder);
    unlink(path);
    if (kit_run(argv, path, 60) != 0)
        die(kit_read(path));
    text = kit_read(path);
    at = strstr(text, "  state");
    snprintf(out, size, "%s", at != NULL ? at : text);
    free(text);
}

/* ---- one search, twice ------------------------------------------------------------------------------------------------ */

/* Sometimes a broker or a worker dies with it. */
static void kill_some(pid_t search)
{
    uint64_t whom = rng_below(&rng, 6);

    kit_kill(search);
    if (whom == 0) {
        kit_kill(broker);
        start_broker();
    } else if (whom == 1) {
        kit_kill(worker);
        start_worker();
    }
}

/* Runs until it is over, killed so many times on the way, each time up to most_s after its start. Exit status of the end. */
static int run(const char *dir, const char *const *options, unsigned kills, double most_s)
{
    pid_t pid = start_search(dir, options);

    for (unsigned k = 0;; k++) {
        struct timespec wait = {0, (long)(rng_uniform(&rng) * most_s * 1e9) % 1000000000L};
        int status;

        if (k == kills)
            return kit_wait(pid, 60);
        nanosleep(&wait, NULL); /* when it dies is drawn */
        if (kit_ended(pid, &status))
            return status;
        kill_some(pid);
        pid = start_search(
            dir, options); /* goes on, or begins when it was killed before there was anything */
    }
}

/* Models that are quick to learn. */
static const char *small_options(const char *strategy)
{
    static const char *const options[][2] = {{"evolution", "population=8,sample=3"},
                                             {"tournament", "population=8,sample=3"},
                                             {"nsga2", "population=8"},
                                             {"bananas", "epochs=1,candidates=50,round=40"},
                                             {"gp", "points=16,candidates=4"},
                                             {"reinforce-lstm", "batch=7,hidden=2"}};

    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (strcmp(options[i][0], strategy) == 0)
            return options[i][1];
    return "";
}

static void one(const char *strategy, const char *schedule)
{
    char name[80], once[400], again[400], trials[16], first[300], second[300], under[64];
    const char *options[] = {"--strategy",
                             strategy,
                             "--strategy-options",
                             small_options(strategy),
                             "--schedule",
                             under,
                             "--trials",
                             trials,
                             "--tune",
                             "lr",
                             NULL};
    double began = kit_now_s(), took;

    if (strcmp(strategy, "cmaes") != 0)
        options[8] = NULL; /* only that one needs a real number to tune */
    snprintf(under, sizeof under, "%s", schedule);
    snprintf(trials, sizeof trials, "%d", TRIALS);
    snprintf(name, sizeof name, "%s-%s", strategy, schedule);
    snprintf(once, sizeof once, "%s/%s-once", folder, name);
    snprintf(again, sizeof again, "%s/%s-again", folder, name);
    if (run(once, options, 0, 0) != 0)
        die("a search that nobody killed did not end well");
    took = kit_now_s() - began;
    if (run(again, options, KILLS, took) != 0)
        die("a search that was killed and resumed did not end well");
    replay(once, first, sizeof first);
    replay(again, second, sizeof second);
    if (strcmp(first, second) != 0) {
        printf("%-28s DIFFERS\n%s\n%s\n", name, first, second);
        failures++;
    } else {
        printf("%-28s the same\n", name);
    }
    fflush(stdout);
}

static uint64_t seed_of(void)
{
    uint64_t seed = kit_number("NASFARM_KILL_SEED", (uint64_t)time(NULL));

    printf("NASFARM_KILL_SEED=%" PRIu64 "\n", seed);
    return seed;
}

int main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "--all") == 0;
    const struct strategy_ops *const *strategies = strategy_all();
    const struct scheduler_ops *const *schedulers = scheduler_all();
    unsigned n_strategies = 0, n_schedulers = 0;

    kit_folder(folder, sizeof folder, "kill-every");
    snprintf(table, sizeof table, "%s/table.csv", folder);
    snprintf(log_file, sizeof log_file, "%s/log", folder);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    rng_seed(&rng, seed_of());
    write_table(table);
    start_broker();
    start_worker();
    while (strategies[n_strategies] != NULL)
        n_strategies++;
    while (schedulers[n_schedulers] != NULL)
        n_schedulers++;
    for (unsigned i = 0; i < n_strategies; i++)
        for (unsigned j = 0; j < n_schedulers; j++)
            if (all || j == i % n_schedulers)
                one(strategies[i]->name, schedulers[j]->name);
    kit_kill(worker);
    kit_kill(broker);
    kit_remove(folder);
    printf("%u of the pairs differ\n", failures);
    return failures > 0;
}
