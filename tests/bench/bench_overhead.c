/* bench_overhead.c - what a trial costs when the evaluation costs nothing.
 *
 * The real controller, broker and worker (64 slots, an evaluator that answers at once) on this machine, over TCP on
 * loopback; every trial is a random genome of the AmoebaNet space (one cell: 65 operations on average), a decoded, checked, hashed and packed graph, a journal entry
 * when proposed and one when done, a trial record and its indexes. Counted by reading the store while the search runs:
 * a trial counts when its result is committed.
 *
 *   usage: bench_overhead [TRIALS [LARGE]]   (100000: per run; LARGE: store size of the growth run, 1000000; 0 skips it)
 *          bench_overhead steady [MINUTES]   (10: at full rate, while memory and descriptors are looked at; exit status 1
 *                                            when something has grown)
 *          bench_overhead resume [TRIALS [STRATEGY]]   (1000000, evolution: how long a search of so many stored results, whose
 *                                            controller was killed, takes from `nasfarm resume` to its next durable result;
 *                                            exit status 1 past 5 s)
 */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <unistd.h>

#include "experiment.h"
#include "farm_kit.h"
#include "rng.h"
#include "store.h"

enum process { BROKER, WORKER, CONTROLLER, PROCESSES };

struct run {
    char folder[256], store[300], log[300], endpoint[64];
    pid_t pids[PROCESSES];
};

struct sample {
    double at_s, cpu_s[PROCESSES];
    uint64_t done;
};

static void start(struct run *r, const char *strategy, uint64_t trials, bool no_sync)
{
    char *endpoint = r->endpoint, number[32];

    (void)snprintf(endpoint, sizeof r->endpoint, "tcp://127.0.0.1:%d", kit_free_port());
    (void)snprintf(number, sizeof number, "%llu", (unsigned long long)trials);
    const char *broker[] = {BIN_BROKER, "--listen", endpoint, NULL};
    const char *worker[] = {BIN_WORKER, "--broker", endpoint,      "--slots",   "64",
                            "--data",   "digits",   "--evaluator", "synthetic", NULL};
    const char *search[] = {BIN_NASFARM,  "search",   "--broker",
                            endpoint,     "--out",    r->store,
                            "--data",     "digits",   "--space",
                            "amoebanet",  "--cells",  "1",
                            "--stages",   "1",        "--strategy",
                            strategy,     "--trials", number,
                            "--no-final", "--quiet",  no_sync ? "--no-sync" : NULL,
                            NULL};

    kit_folder(r->folder, sizeof r->folder, "bench");
    (void)snprintf(r->store, sizeof r->store, "%s/run", r->folder);
    (void)snprintf(r->log, sizeof r->log, "%s/log", r->folder);
    r->pids[BROKER] = kit_start(broker, r->log);
    r->pids[WORKER] = kit_start(worker, r->log);
    r->pids[CONTROLLER] = kit_start(search, r->log);
}

static void stop(struct run *r)
{
    for (int i = 0; i < PROCESSES; i++)
        kit_kill(r->pids[i]);
    kit_remove(r->folder);
}

/* Waits until the store has at least `done` finished trials. False when the search ended before. */
static bool wait_done(struct run *r, struct store *store, uint64_t done, struct sample *out)
{
    int status;

    while (store_n_done(store) < done) {
        if (kit_ended(r->pids[CONTROLLER], &status)) {
            if (store_n_done(store) >= done)
                break;
            char *log = kit_read(r->log);

            fprintf(stderr, "bench_overhead: the search ended with status %d: ...%.600s\n", status,
                    strlen(log) > 600 ? log + strlen(log) - 600 : log);
            free(log);
            return false;
        }
        (void)poll(NULL, 0, 2);
    }
    out->at_s = kit_now_s();
    out->done = store_n_done(store);
    for (int i = 0; i < PROCESSES; i++)
        out->cpu_s[i] = kit_cpu_s(r->pids[i]);
    return true;
}

static struct store *open_store(struct run *r)
{
    struct store *store = NULL;
    struct why why;
    double end = kit_now_s() + 30;

    while (store_open(&store, r->store, STORE_READ, NULL, &why) != FARM_OK) {
        if (kit_now_s() > end) {
            fprintf(stderr, "bench_overhead: %s\n", why.text);
            exit(1);
        }
        (void)poll(NULL, 0, 10);
    }
    return store;
}

static double print_window(const char *what, const struct sample *a, const struct sample *b)
{
    double n = (double)(b->done - a->done), wall = b->at_s - a->at_s;

    printf("%-28s %9.0f trials/s   %6.1f us wall, CPU per trial: controller %5.1f us, broker %5.1f "
           "us, worker %5.1f us\n",
           what, n / wall, wall / n * 1e6, (b->cpu_s[CONTROLLER] - a->cpu_s[CONTROLLER]) / n * 1e6,
           (b->cpu_s[BROKER] - a->cpu_s[BROKER]) / n * 1e6,
           (b->cpu_s[WORKER] - a->cpu_s[WORKER]) / n * 1e6);
    (void)fflush(stdout);
    return n / wall;
}

/* One search of `trials`; the window is all but the first and last twentieth. */
static double one_run(const char *what, uint64_t trials, bool no_sync)
{
    struct run r;
    struct sample a, b;
    struct store *store;
    double rate = 0;

    start(&r, "random", trials, no_sync);
    store = open_store(&r);
    if (wait_done(&r, store, trials / 20, &a) && wait_done(&r, store, trials - trials / 20, &b))
        rate = print_window(what, &a, &b);
    store_close(&store);
    stop(&r);
    return rate;
}

/* One long search; the same window at its beginning and at its end. */
static void growth(uint64_t large)
{
    const uint64_t window = large / 20;
    struct run r;
    struct sample a, b, c, d;
    struct store *store;

    start(&r, "random", large + window, false);
    store = open_store(&r);
    if (wait_done(&r, store, 1000, &a) && wait_done(&r, store, 1000 + window, &b)) {
        double small_rate = print_window("at 1,000 stored", &a, &b), large_rate;

        if (wait_done(&r, store, large, &c) && wait_done(&r, store, large + window - 200, &d)) {
            large_rate = print_window("at the large end", &c, &d);
            printf("cost per trial at %llu stored: %.2f times that at 1,000; store %.0f MB\n",
                   (unsigned long long)large, small_rate / large_rate,
                   (double)store_bytes(store) / 1e6);
        }
    }
    store_close(&store);
    stop(&r);
}

/* ---- steady ---------------------------------------------------------------------------------------------------- */

#define SAMPLES     50
#define WARM_UP     10   /* of them: caches and buffers fill */
#define GROWTH_MIB  8.0  /* broker, worker: what an allocator may do */
#define TRIAL_BYTES 1024 /* the controller remembers every trial */

struct looks {
    double mib[PROCESSES][SAMPLES]; /* not the pages of the store's file */
    size_t descriptors[PROCESSES][SAMPLES];
    uint64_t done[SAMPLES];
};

static double largest(const double *mib, size_t n)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = mib[i] > most ? mib[i] : most;
    return most;
}

/* What the last fifth needs at most, beyond what the first fifth after the warm-up did. */
static bool has_grown(const struct looks *l, int process, const char *name)
{
    const size_t fifth = (SAMPLES - WARM_UP) / 5;
    double before = largest(l->mib[process] + WARM_UP, fifth),
           after = largest(l->mib[process] + SAMPLES - fifth, fifth), may = GROWTH_MIB;
    size_t files = l->descriptors[process][WARM_UP],
           files_after = l->descriptors[process][SAMPLES - 1];

    if (process == CONTROLLER)
        may += (double)(l->done[SAMPLES - 1] - l->done[WARM_UP]) * TRIAL_BYTES / 1048576;
    printf("%-10s %7.1f MiB, then %7.1f (may grow by %.1f); %zu descriptors, then %zu\n", name,
           before, after, may, files, files_after);
    return after - before > may || files_after > files + 2;
}

/* True: all ran to the end and nothing has grown. */
static bool steady(double minutes)
{
    static const char *const names[PROCESSES] = {
        [BROKER] = "broker", [WORKER] = "worker", [CONTROLLER] = "controller"};
    static struct looks l;
    struct run r;
    struct store *store;
    bool grown = false;
    int status;

    start(&r, "random", 1000000000, false);
    store = open_store(&r);
    for (size_t i = 0; i < SAMPLES; i++) {
        (void)poll(NULL, 0, (int)(minutes * 60e3 / SAMPLES));
        for (int p = 0; p < PROCESSES; p++) {
            if (kit_ended(r.pids[p], &status)) {
                fprintf(stderr, "the %s ended with status %d\n", names[p], status);
                exit(1);
            }
            l.mib[p][i] = kit_memory_mib(r.pids[p], "RssAnon:");
            l.descriptors[p][i] = kit_descriptors(r.pids[p]);
        }
        l.done[i] = store_n_done(store);
    }
    printf("%.1f minutes, %llu trials, %.0f a second\n", minutes,
           (unsigned long long)l.done[SAMPLES - 1], (double)l.done[SAMPLES - 1] / minutes / 60);
    for (int p = 0; p < PROCESSES; p++)
        grown |= has_grown(&l, p, names[p]);
    store_close(&store);
    stop(&r);
    return !grown;
}

/* ---- resume ---------------------------------------------------------------------------------------------------- */

#define RESUME_S   5.0
#define UNDER_WAY  64
#define FARM_META  "run" /* run.c: what a resume does with the farm */
#define PER_COMMIT 2000

static void must(int rc, const struct why *why)
{
    if (rc == FARM_OK)
        return;
    fprintf(stderr, "bench_overhead: %s\n", why->text);
    exit(1);
}

static struct result made_up(struct rng *rng)
{
    struct result result = {.outcome = OUTCOME_OK,
                            .test_accuracy = NAN,
                            .test_loss = NAN,
                            .n_validation = 360,
                            .epochs = 1,
                            .isa = "none"};

    result.fitness = (double)rng_below(rng, 1000) / 1000;
    result.loss = 1 - result.fitness;
    return result;
}

/* What a controller does, without the farm, until it is killed: the last trials are under way, and there is no snapshot of
 * the end. */
static void search_alone(const char *dir, struct experiment_config *config, const char *farm,
                         uint64_t trials)
{
    struct store_options options = {.no_sync = true, .first_meta = FARM_META, .first_text = farm};
    struct wire_key under_way[UNDER_WAY];
    struct experiment *e;
    struct rng rng;
    struct why why;
    bool fresh;

    config->trials = 1000000000;
    rng_seed(&rng, 1);
    must(experiment_create(&e, dir, config, &options, &why), &why);
    for (uint64_t i = 0; i < trials + UNDER_WAY; i++) {
        struct wire_key *slot = &under_way[i % UNDER_WAY];
        struct result result = made_up(&rng);
        struct proposal p;

        if (i >= UNDER_WAY)
            must(experiment_record(e, slot, &result, "alone", NULL, 0, &fresh, &why), &why);
        must(experiment_propose(e, &p, &why), &why);
        *slot = p.key;
        free(p.task);
        free(p.resume);
        if (i % PER_COMMIT == 0)
            must(experiment_commit(e, &why), &why);
    }
    must(experiment_commit(e, &why), &why);
    _exit(0);
}

/* A store of so many results, of the search that the farm's own controller has begun. */
static void make_store(struct run *r, const char *dir, uint64_t trials)
{
    struct store *store = open_store(r);
    struct experiment_config config;
    struct why why;
    char *farm;
    pid_t pid;

    must(experiment_config_from_json(&config, store_config(store), &why), &why);
    must(store_get_meta(store, FARM_META, &farm),
         &(struct why){"the store does not say how its farm is used"});
    store_close(&store);
    kit_kill(r->pids[CONTROLLER]);
    (void)fflush(stdout);
    if ((pid = fork()) == 0)
        search_alone(dir, &config, farm, trials);
    if (pid < 0 || kit_wait(pid, 1e6) != 0)
        exit(1);
    free(farm);
}

/* True: it went on in time. */
static bool resume(const char *strategy, uint64_t trials)
{
    struct run r;
    struct sample at;
    struct store *store;
    char large[sizeof r.store];
    double began_s, took_s = INFINITY;
    uint64_t stored;

    start(&r, strategy, 1000000000, false);
    (void)snprintf(large, sizeof large, "%s/large", r.folder);
    make_store(&r, large, trials);
    memcpy(r.store, large, sizeof r.store);
    const char *argv[] = {BIN_NASFARM, "resume",  "--broker",   r.endpoint,
                          r.store,     "--quiet", "--no-final", NULL};
    store = open_store(&r);
    stored = store_n_done(store);
    began_s = kit_now_s();
    r.pids[CONTROLLER] = kit_start(argv, r.log);
    if (wait_done(&r, store, stored + 1, &at)) {
        took_s = at.at_s - began_s;
        printf("%s, %llu stored results, killed: resumed, and the next result durable, after %.2f "
               "s, %.2f s of the controller's processor time; store %.0f MB\n",
               strategy, (unsigned long long)stored, took_s, at.cpu_s[CONTROLLER],
               (double)store_bytes(store) / 1e6);
    }
    store_close(&store);
    stop(&r);
    return took_s <= RESUME_S;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "resume") == 0)
        return resume(argc > 3 ? argv[3] : "evolution",
                      argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000)
                   ? 0
                   : 1;
    if (argc > 1 && strcmp(argv[1], "steady") == 0)
        return steady(argc > 2 ? strtod(argv[2], NULL) : 10) ? 0 : 1;
    uint64_t trials = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    uint64_t large = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    double durable[3], loose[3];

    printf("an evaluator that answers at once, 64 slots in one worker, %llu trials a run\n",
           (unsigned long long)trials);
    for (int i = 0; i < 3; i++) { /* side by side, so that a noisy machine hits both */
        durable[i] = one_run("durable", trials, false);
        loose[i] = one_run("durability off", trials, true);
    }
    for (int i = 0; i < 3; i++) /* medians of three */
        for (int k = 0; k < 2; k++) {
            if (durable[k] > durable[k + 1]) {
                double t = durable[k];
                durable[k] = durable[k + 1];
                durable[k + 1] = t;
            }
            if (loose[k] > loose[k + 1]) {
                double t = loose[k];
                loose[k] = loose[k + 1];
                loose[k + 1] = t;
            }
        }
    printf("median: %.0f durable trials/s, %.0f with durability off, ratio %.2f\n", durable[1],
           loose[1], durable[1] / loose[1]);
    if (large > 0)
        growth(large);
    return 0;
}
