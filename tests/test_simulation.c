/* The farm as a whole under a virtual clock: faults by the seed, a judge beside it (simulation/world.h, history.h).
 *
 *   test_simulation [--seeds N] [--from N] [--jobs N]     so many seeds (2000 from 1, as many jobs as processors)
 *   test_simulation --expect WORD                         succeeds when a seed violates what WORD names: for planted bugs
 *   test_simulation --seed N [--without 1,4] [--trials N] [--trace]    one seed again, exactly
 *
 * A seed that fails is run again with fewer faults and fewer trials, as long as it fails; the command that shows what is
 * left is printed. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "simulation/world.h"

#define JOBS_MAX 64u

struct arguments {
    uint64_t seed, from, seeds;
    uint32_t without, trials, jobs;
    bool one, trace;
    const char *expect;
};

/* What the jobs tell, in memory that all of them see. */
struct shared {
    bool stop;
    struct job {
        uint64_t seed, n; /* at work on; done */
        uint64_t messages, lives, evaluations, recorded, virtual_ms;
        bool failed;
        char violation[300];
    } jobs[JOBS_MAX];
};

static char folder[64];

static void store_path(char *out, size_t size)
{
    (void)snprintf(out, size, "%s/%d", folder, (int)getpid());
}

static void simulate(uint64_t seed, uint32_t without, uint32_t trials, FILE *trace,
                     struct world_result *out)
{
    struct plan plan;
    char dir[100];

    store_path(dir, sizeof dir);
    plan_draw(&plan, seed, trials);
    plan_leave_out(&plan, without);
    world_run(&plan, dir, trace, out);
}

/* ---------------------------------------------------------------- one seed, and less of it */

/* In a process of its own, which may die of it. */
static bool still_fails(uint64_t seed, uint32_t without, uint32_t trials)
{
    struct world_result result;
    int status = 0;
    pid_t child = fork();

    if (child == 0) {
        simulate(seed, without, trials, NULL, &result);
        _exit(result.violation[0] != '\0');
    }
    return child > 0 && waitpid(child, &status, 0) == child && status != 0;
}

/* Leaves out whatever is not needed for it to fail. */
static void shrink(uint64_t seed, uint32_t *without, uint32_t *trials)
{
    struct plan plan;
    bool smaller = true;

    plan_draw(&plan, seed, 0);
    *trials = plan.trials;
    while (smaller) {
        smaller = false;
        for (uint32_t i = 0; i < plan.n_faults; i++)
            if (!(*without >> i & 1) && still_fails(seed, *without | 1u << i, *trials)) {
                *without |= 1u << i;
                smaller = true;
            }
        for (uint32_t fewer = *trials / 2; fewer >= 1; fewer /= 2)
            if (still_fails(seed, *without, *trials - fewer)) {
                *trials -= fewer;
                smaller = true;
            }
    }
}

static void print_faults(uint64_t seed, uint32_t without)
{
    struct plan plan;

    plan_draw(&plan, seed, 0);
    for (uint32_t i = 0; i < plan.n_faults; i++) {
        const struct fault *f = &plan.faults[i];

        if (!(without >> i & 1))
            printf("  fault %" PRIu32 ": %s of party %" PRIu32 ", at %.3f s for %.3f s\n", i,
                   fault_name(f->kind), f->party, (double)f->at_ms * 1e-3,
                   (double)f->length_ms * 1e-3);
    }
}

static void report(const char *program, const struct job *job)
{
    uint32_t without = 0, trials;

    printf("seed %" PRIu64 ": %s\n", job->seed, job->violation);
    shrink(job->seed, &without, &trials);
    print_faults(job->seed, without);
    printf("again: %s --seed %" PRIu64 " --trials %" PRIu32, program, job->seed, trials);
    for (uint32_t i = 0, n = 0; i < PLAN_FAULTS_MAX; i++)
        if (without >> i & 1)
            printf("%s%" PRIu32, n++ == 0 ? " --without " : ",", i);
    printf(" --trace\n");
}

static int run_one(const struct arguments *a)
{
    struct world_result r;

    simulate(a->seed, a->without, a->trials, a->trace ? stdout : NULL, &r);
    printf("seed %" PRIu64 ": %.1f s of virtual time, %" PRIu64 " messages, %" PRIu64
           " lives, %" PRIu64 " results sent, %" PRIu64 " recorded; trace ",
           a->seed, (double)r.virtual_ms * 1e-3, r.messages, r.lives, r.evaluations, r.recorded);
    for (size_t i = 0; i < 8; i++)
        printf("%02x", r.trace.bytes[i]);
    printf("\n%s\n", r.violation[0] != '\0' ? r.violation : "nothing is violated");
    return r.violation[0] != '\0';
}

/* ---------------------------------------------------------------- many seeds */

static void run_job(const struct arguments *a, struct shared *shared, uint32_t number)
{
    struct job *job = &shared->jobs[number];
    struct world_result r;

    for (uint64_t i = number; i < a->seeds && !shared->stop; i += a->jobs) {
        job->seed = a->from + i;
        simulate(job->seed, 0, 0, NULL, &r);
        job->n++;
        job->messages += r.messages;
        job->lives += r.lives;
        job->evaluations += r.evaluations;
        job->recorded += r.recorded;
        job->virtual_ms += (uint64_t)r.virtual_ms;
        if (r.violation[0] == '\0')
            continue;
        memcpy(job->violation, r.violation, sizeof job->violation);
        job->failed = shared->stop = true;
        return;
    }
}

static void run_jobs(const struct arguments *a, struct shared *shared)
{
    pid_t children[JOBS_MAX];

    for (uint32_t i = 0; i < a->jobs; i++)
        if ((children[i] = fork()) == 0) {
            run_job(a, shared, i);
            _exit(0);
        }
    for (uint32_t i = 0; i < a->jobs; i++) {
        struct job *job = &shared->jobs[i];
        int status = 1;

        if (children[i] > 0)
            (void)waitpid(children[i], &status, 0);
        if (status != 0) {
            job->failed = true;
            (void)snprintf(job->violation, sizeof job->violation,
                           "the simulation itself died (status %d)", status);
        }
    }
}

static void print_sum(const struct shared *shared, double seconds)
{
    struct job sum = {.n = 0};

    for (uint32_t i = 0; i < JOBS_MAX; i++) {
        sum.n += shared->jobs[i].n;
        sum.messages += shared->jobs[i].messages;
        sum.lives += shared->jobs[i].lives;
        sum.evaluations += shared->jobs[i].evaluations;
        sum.recorded += shared->jobs[i].recorded;
        sum.virtual_ms += shared->jobs[i].virtual_ms;
    }
    printf("%" PRIu64 " seeds in %.1f s: %.0f a second; %.1f h of virtual time, %" PRIu64
           " messages, %" PRIu64 " processes, %" PRIu64 " results sent, %" PRIu64 " recorded\n",
           sum.n, seconds, (double)sum.n / seconds, (double)sum.virtual_ms / 3.6e6, sum.messages,
           sum.lives, sum.evaluations, sum.recorded);
}

static const struct job *first_failure(const struct shared *shared)
{
    const struct job *first = NULL;

    for (uint32_t i = 0; i < JOBS_MAX; i++)
        if (shared->jobs[i].failed && (first == NULL || shared->jobs[i].seed < first->seed))
            first = &shared->jobs[i];
    return first;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int run_many(const char *program, const struct arguments *a)
{
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = now_s();
    const struct job *failure;

    if (shared == MAP_FAILED)
        return 1;
    run_jobs(a, shared);
    print_sum(shared, now_s() - began);
    failure = first_failure(shared);
    if (failure != NULL)
        report(program, failure);
    else
        printf("nothing is violated\n");
    if (a->expect == NULL)
        return failure != NULL;
    if (failure != NULL && strncmp(failure->violation, a->expect, strlen(a->expect)) == 0)
        return 0;
    printf("expected: %s\n", a->expect);
    return 1;
}

/* Twice the same seed: the same messages at the same times. */
static int check_replay(uint64_t seed)
{
    struct world_result a, b;

    simulate(seed, 0, 0, NULL, &a);
    simulate(seed, 0, 0, NULL, &b);
    if (a.messages == b.messages && memcmp(&a.trace, &b.trace, sizeof a.trace) == 0)
        return 0;
    printf("seed %" PRIu64 " is not the same when it is run again\n", seed);
    return 1;
}

/* ---------------------------------------------------------------- the command line */

static uint32_t faults_of(const char *list)
{
    uint32_t mask = 0;
    char *end;

    for (const char *at = list; *at != '\0'; at = *end == ',' ? end + 1 : end) {
        unsigned long number = strtoul(at, &end, 10);

        if (end == at || number >= PLAN_FAULTS_MAX)
            break;
        mask |= 1u << number;
    }
    return mask;
}

static bool take_arguments(struct arguments *a, int argc, char **argv)
{
    static const struct option options[] = {{"seed", required_argument, NULL, 's'},
                                            {"seeds", required_argument, NULL, 'n'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"jobs", required_argument, NULL, 'j'},
                                            {"trials", required_argument, NULL, 't'},
                                            {"without", required_argument, NULL, 'w'},
                                            {"expect", required_argument, NULL, 'e'},
                                            {"trace", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 's':
            a->one = true;
            a->seed = strtoull(optarg, NULL, 10);
            break;
        case 'n': a->seeds = strtoull(optarg, NULL, 10); break;
        case 'f': a->from = strtoull(optarg, NULL, 10); break;
        case 'j': a->jobs = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 't': a->trials = (uint32_t)strtoul(optarg, NULL, 10); break;
        case 'w': a->without = faults_of(optarg); break;
        case 'e': a->expect = optarg; break;
        case 'v': a->trace = true; break;
        default: return false;
        }
    return a->jobs >= 1 && a->jobs <= JOBS_MAX && a->trials < HISTORY_TRIALS;
}

static bool make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "%s/nasfarm-simulation-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    return mkdtemp(folder) != NULL;
}

int main(int argc, char **argv)
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    struct arguments a = {
        .from = 1, .seeds = 2000, .jobs = processors > 0 ? (uint32_t)processors : 1};
    int failed;

    a.jobs = a.jobs < JOBS_MAX ? a.jobs : JOBS_MAX;
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_open("test_simulation", (enum log_level)(LOG_ERROR + 1));
    if (!take_arguments(&a, argc, argv) || !make_folder()) {
        (void)fprintf(stderr, "see the first lines of test_simulation.c\n");
        return 2;
    }
    if (a.one)
        failed = run_one(&a);
    else
        failed = run_many(argv[0], &a) | (a.expect == NULL ? check_replay(a.from) : 0);
    (void)rmdir(folder);
    return failed;
}
