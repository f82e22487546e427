/* bench_store.c - what a trial costs in the store alone, as the store grows.
 *
 * A trial is: a look whether its graph is known, its journal event and record when proposed; its journal event, result,
 * both indexes and its place in a population of 100 when done, 256 trials later and in shuffled order. Group commits.
 *
 *   usage: bench_store [FOLDER [LARGEST]]   (a new folder under the current one; 1000000 trials)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "clock.h"
#include "rng.h"
#include "store.h"

#define AHEAD      256 /* proposed and not done */
#define POPULATION 100

struct run {
    struct store *store;
    struct rng rng;
    uint32_t genes;
    uint64_t proposed, done, batch;
    uint64_t out[AHEAD];
    struct genome *genome;
    struct why why;
};

static void must(int rc, const struct run *r)
{
    if (rc == FARM_OK)
        return;
    fprintf(stderr, "bench_store: %s: %s\n", farm_strerror(rc), r->why.text);
    exit(1);
}

/* The same record for the same trial, so that nothing need be kept. */
static void make_record(struct run *r, uint64_t trial, struct trial_record *out)
{
    struct rng rng;

    rng_seed(&rng, trial);
    for (uint32_t i = 0; i < r->genes; i++)
        r->genome->gene[i] = (double)rng_below(&rng, 8);
    *out = (struct trial_record){.trial = trial,
                                 .state = TRIAL_PROPOSED,
                                 .parent = trial > 300 ? trial - rng_below(&rng, 300) : UINT64_MAX,
                                 .known_from = UINT64_MAX,
                                 .genome = r->genome,
                                 .params = 400000 + rng_below(&rng, 900000),
                                 .macs = 90000000 + rng_below(&rng, 90000000),
                                 .activation_bytes = 1000000,
                                 .proposed_ms = 1700000000000};
    digest_of(&out->hash, &trial, sizeof trial);
}

static void finish(struct run *r, uint64_t trial)
{
    struct trial_record record;
    struct event event = {.kind = EVENT_RESULT,
                          .trial = trial,
                          .outcome = OUTCOME_OK,
                          .fitness = 0.9 + 0.02 * rng_normal(&r->rng),
                          .known_from = UINT64_MAX};

    make_record(r, trial, &record);
    record.state = TRIAL_DONE;
    record.finished_ms = 1700000000123;
    record.result = (struct result){.outcome = OUTCOME_OK,
                                    .fitness = event.fitness,
                                    .loss = 0.4,
                                    .train_loss = 0.3,
                                    .test_accuracy = NAN,
                                    .test_loss = NAN,
                                    .n_validation = 9000,
                                    .epochs = 3,
                                    .images = 153000,
                                    .train_s = 12.5,
                                    .eval_s = 13.1,
                                    .peak_bytes = 60000000,
                                    .isa = "avx512"};
    (void)snprintf(record.worker, sizeof record.worker, "%s", "worker-0a1b2c3d");
    must(store_append_event(r->store, &event), r);
    must(store_put_trial(r->store, &record), r);
    must(store_set_population(r->store, r->done, trial, event.fitness), r);
    if (r->done >= POPULATION)
        must(store_drop_population(r->store, r->done - POPULATION), r);
    r->done++;
}

static void propose(struct run *r)
{
    struct trial_record record;
    struct event event = {.kind = EVENT_PROPOSED};
    uint64_t known;

    make_record(r, r->proposed, &record);
    if (store_find_hash(r->store, &record.hash, &known) != FARM_ENOTFOUND)
        must(FARM_ECORRUPT, r);
    event.trial = record.trial;
    event.parent = record.parent;
    event.genome = record.genome;
    must(store_append_event(r->store, &event), r);
    must(store_put_trial(r->store, &record), r);
    r->proposed++;
}

static void run_until(struct run *r, uint64_t done)
{
    while (r->done < done) {
        must(store_begin(r->store, &r->why), r);
        for (uint64_t i = 0; i < r->batch; i++) {
            size_t slot = rng_below(&r->rng, AHEAD);

            if (r->proposed >= AHEAD)
                finish(r, r->out[slot]);
            else
                slot = r->proposed;
            r->out[slot] = r->proposed;
            propose(r);
        }
        must(store_commit(r->store, &r->why), r);
    }
}

static double cpu_s(void)
{
    struct rusage use;

    (void)getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e-6;
}

static double written(void)
{
    unsigned long long bytes = 0;
    char line[128];
    FILE *f = fopen("/proc/self/io", "r");

    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "wchar: ", 7) == 0)
            bytes = strtoull(line + 7, NULL, 10);
    if (f != NULL)
        (void)fclose(f);
    return (double)bytes;
}

static void one(const char *folder, uint32_t genes, uint64_t batch, bool no_sync, uint64_t largest)
{
    static const uint64_t sizes[] = {1000, 10000, 100000, 1000000, 4000000};
    struct store_options options = {.no_sync = no_sync};
    struct run r = {.genes = genes, .batch = batch};
    double first = 0;
    char dir[300], command[340];

    (void)snprintf(dir, sizeof dir, "%s/%u-%llu-%d", folder, genes, (unsigned long long)batch,
                   no_sync);
    rng_seed(&r.rng, 1);
    if ((r.genome = genome_create(genes)) == NULL)
        must(FARM_ENOMEM, &r);
    must(store_create(&r.store, dir, "{}", &options, &r.why), &r);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && sizes[i] <= largest; i++) {
        uint64_t window = sizes[i] < 65536 ? 20000 : 131072;

        run_until(&r, sizes[i]);

        double cpu = cpu_s(), bytes = written();
        int64_t start = clock_ns();
        uint64_t from = r.done;

        run_until(&r, from + window);

        double n = (double)(r.done - from), us = (double)(clock_ns() - start) / 1e3 / n;

        first = i == 0 ? us : first;
        printf("%2u genes, batch %3llu, %-8s %8llu stored: %8.0f trials/s %6.2f us (%.2fx)  CPU "
               "%6.2f us  written %6.0f B a trial  store %6.0f B a trial\n",
               genes, (unsigned long long)batch, no_sync ? "no sync" : "durable",
               (unsigned long long)sizes[i], 1e6 / us, us, us / first, (cpu_s() - cpu) * 1e6 / n,
               (written() - bytes) / n, (double)store_bytes(r.store) / (double)r.done);
        (void)fflush(stdout);
    }
    store_close(&r.store);
    free(r.genome);
    (void)snprintf(command, sizeof command, "%s/data.mdb", dir);
    (void)unlink(command);
    (void)snprintf(command, sizeof command, "%s/lock.mdb", dir);
    (void)unlink(command);
    (void)snprintf(command, sizeof command, "%s/writer.lock", dir);
    (void)unlink(command);
    (void)rmdir(dir);
}

int main(int argc, char **argv)
{
    const char *folder = argc > 1 ? argv[1] : "bench_store.tmp";
    uint64_t largest = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    static const struct {
        uint64_t batch;
        uint32_t genes;
        bool no_sync;
    } runs[] = {{64, 40, false}, {128, 40, false}, {64, 6, false},
                {128, 6, false}, {64, 40, true},   {64, 6, true}};

    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++)
        one(folder, runs[i].genes, runs[i].batch, runs[i].no_sync, largest);
    (void)rmdir(folder);
    return 0;
}
