#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "files.h"
#include "plot.h"
#include "virtual_options.h"

#define GRID        101 /* points of an anytime curve */
#define ENTRIES_MAX 32
#define SEEDS_MAX   100000

enum { KEY_SEEDS = 900, KEY_TARGET, KEY_JOBS, KEY_SHOW };

struct compare_args {
    struct virtual_options options;
    const char *entries[ENTRIES_MAX]; /* STRATEGY[,K=V...][/SCHEDULE[,K=V...]] */
    uint32_t n_entries, seeds, jobs;
    double target; /* NaN: none */
    bool show_fitness;
};

/* What one search brought; written by a child process into shared memory. */
struct outcome_of_run {
    bool done;
    double fitness, test, evaluations, busy, end_s;
    double target_s; /* infinite: not reached */
    double curve[GRID];
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct compare_args *args = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->options; return 0;
    case KEY_SEEDS:
        args->seeds = (uint32_t)virtual_options_number(state, "seeds", arg, 1, SEEDS_MAX);
        return 0;
    case KEY_JOBS:
        args->jobs = (uint32_t)virtual_options_number(state, "jobs", arg, 1, 1024);
        return 0;
    case KEY_TARGET:
        args->target = virtual_options_number(state, "target", arg, -1e12, 1e12);
        return 0;
    case KEY_SHOW: args->show_fitness = true; return 0;
    case ARGP_KEY_ARG:
        if (args->n_entries == ENTRIES_MAX)
            argp_error(state, "more than %d searches to compare", ENTRIES_MAX);
        args->entries[args->n_entries++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->n_entries == 0)
            argp_error(state, "name the searches to compare, e.g. random evolution,population=10");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ------------------------------------------------------------------ one search */

/* Of an entry: copies into two buffers, and points config at them. */
static void set_entry(struct virtual_config *c, const char *entry, char text[512],
                      char names[2][32])
{
    char *slash;

    (void)snprintf(text, 512, "%s", entry);
    slash = strchr(text, '/');
    if (slash != NULL)
        *slash++ = '\0';
    split_name(text, names[0], &c->strategy_options);
    split_name(slash != NULL ? slash : "full", names[1], &c->scheduler_options);
    c->strategy = names[0];
    c->scheduler = names[1];
}

/* Time, where it is limited; else evaluations. */
static double axis_end(const struct compare_args *args)
{
    const struct virtual_config *c = &args->options.config;

    return c->limit_s > 0 ? c->limit_s : (double)c->limit_trials;
}

static void fill_curve(const struct compare_args *args, const struct virtual_result *r,
                       double curve[GRID])
{
    bool by_time = args->options.config.limit_s > 0;
    size_t next = 0;

    for (int i = 0; i < GRID; i++) {
        double at = axis_end(args) * i / (GRID - 1);

        while (next < r->n_points &&
               (by_time ? r->points[next].time_s : (double)r->points[next].evaluations) <= at)
            next++;
        if (next == 0)
            curve[i] = NAN;
        else
            curve[i] = args->show_fitness || isnan(r->points[next - 1].test)
                           ? r->points[next - 1].fitness
                           : r->points[next - 1].test;
    }
}

static int run_one(const struct compare_args *args, uint32_t entry, uint32_t seed,
                   struct outcome_of_run *out, struct why *why)
{
    struct virtual_config c = args->options.config;
    struct virtual_result r = {0};
    char text[512], names[2][32];
    int rc;

    set_entry(&c, args->entries[entry], text, names);
    c.seed = seed + 1;
    rc = virtual_farm_run(&c, &r, why);
    if (rc != FARM_OK && rc != FARM_EEXHAUSTED)
        return why_prefix(why, rc, "%s", args->entries[entry]);
    *out = (struct outcome_of_run){.done = true,
                                   .fitness = NAN,
                                   .test = NAN,
                                   .evaluations = (double)r.evaluations,
                                   .busy = r.busy,
                                   .end_s = r.end_s,
                                   .target_s = INFINITY};
    if (r.n_points > 0) {
        out->fitness = r.points[r.n_points - 1].fitness;
        out->test = r.points[r.n_points - 1].test;
    }
    for (size_t i = r.n_points; i-- > 0 && r.points[i].fitness >= args->target;)
        out->target_s = r.points[i].time_s;
    fill_curve(args, &r, out->curve);
    virtual_result_release(&r);
    return FARM_OK;
}

/* ------------------------------------------------------------------ all of them, on all cores */

static void run_share(const struct compare_args *args, uint32_t job, struct outcome_of_run *all)
{
    struct why why;

    for (uint32_t e = 0; e < args->n_entries; e++)
        for (uint32_t s = job; s < args->seeds; s += args->jobs)
            if (run_one(args, e, s, &all[(size_t)e * args->seeds + s], &why) != FARM_OK) {
                fprintf(stderr, "nasfarm: %s\n", why.text);
                _exit(CLI_FAILED);
            }
    _exit(CLI_OK);
}

static int run_all(const struct compare_args *args, struct outcome_of_run *all, struct why *why)
{
    bool failed = false;
    uint32_t begun = 0;
    int status;

    fflush(NULL);
    for (; begun < args->jobs; begun++) {
        pid_t pid = fork();

        if (pid == 0)
            run_share(args, begun, all);
        if (pid < 0)
            break;
    }
    failed = begun < args->jobs;
    for (uint32_t i = 0; i < begun; i++)
        failed = wait(&status) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || failed;
    return failed ? why_set(why, FARM_EIO, "a process of the comparison failed") : FARM_OK;
}

/* ------------------------------------------------------------------ what comes out */

struct numbers {
    double mean, deviation;
};

/* Of one member of every run of an entry; what is not finite is left out. */
static struct numbers numbers_of(const struct outcome_of_run *runs, uint32_t n, size_t offset)
{
    double sum = 0, squares = 0, count = 0;

    for (uint32_t i = 0; i < n; i++) {
        double v;

        memcpy(&v, (const char *)&runs[i] + offset, sizeof v);
        if (isfinite(v)) {
            sum += v;
            squares += v * v;
            count++;
        }
    }
    sum /= count;
    return (struct numbers){sum, sqrt(fmax(squares / count - sum * sum, 0))};
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median_target(const struct outcome_of_run *runs, uint32_t n)
{
    double *times = calloc(n, sizeof *times), median = NAN;

    for (uint32_t i = 0; times != NULL && i < n; i++)
        times[i] = runs[i].target_s;
    if (times != NULL) {
        qsort(times, n, sizeof *times, compare_doubles);
        median = n % 2 == 1 ? times[n / 2] : (times[n / 2 - 1] + times[n / 2]) / 2;
    }
    free(times);
    return median;
}

static double judged(const struct outcome_of_run *run)
{
    return isnan(run->test) ? run->fitness : run->test;
}

/* Mean over seeds of the place among all entries by test (else fitness); equal ones share. */
static double mean_rank(const struct compare_args *args, const struct outcome_of_run *all,
                        uint32_t e)
{
    double sum = 0;

    for (uint32_t s = 0; s < args->seeds; s++) {
        double mine = judged(&all[(size_t)e * args->seeds + s]), rank = 1;

        for (uint32_t o = 0; o < args->n_entries; o++) {
            double other = judged(&all[(size_t)o * args->seeds + s]);

            if (o != e)
                rank += other > mine ? 1 : other == mine ? 0.5 : 0;
        }
        sum += rank;
    }
    return sum / args->seeds;
}

static void print_entry(const struct compare_args *args, const struct outcome_of_run *all,
                        uint32_t e)
{
    const struct outcome_of_run *runs = all + (size_t)e * args->seeds;
    struct numbers fitness =
        numbers_of(runs, args->seeds, offsetof(struct outcome_of_run, fitness));
    struct numbers test = numbers_of(runs, args->seeds, offsetof(struct outcome_of_run, test));
    struct numbers count =
        numbers_of(runs, args->seeds, offsetof(struct outcome_of_run, evaluations));
    struct numbers busy = numbers_of(runs, args->seeds, offsetof(struct outcome_of_run, busy));

    printf("| %s | %.4g | %.2f ± %.2f |", args->entries[e], count.mean, fitness.mean,
           fitness.deviation);
    if (args->options.config.table != NULL && !isnan(test.mean))
        printf(" %.2f ± %.2f | %.3f |", test.mean, test.deviation,
               test.deviation / sqrt(args->seeds));
    printf(" %.2f | %.2f |", mean_rank(args, all, e), 100 * busy.mean);
    if (!isnan(args->target))
        printf(" %.6g |", median_target(runs, args->seeds));
    printf("\n");
}

static void print_table(const struct compare_args *args, const struct outcome_of_run *all)
{
    bool tested = !isnan(all[0].test);

    printf("| search | evaluations | best |%s rank | busy %% |%s\n",
           tested ? " its test | standard error |" : "",
           isnan(args->target) ? "" : " median seconds to target |");
    printf("| --- | ---: | ---: |%s ---: | ---: |%s\n", tested ? " ---: | ---: |" : "",
           isnan(args->target) ? "" : " ---: |");
    for (uint32_t e = 0; e < args->n_entries; e++)
        print_entry(args, all, e);
}

struct curves {
    double x[GRID], mean[ENTRIES_MAX][GRID], lo[ENTRIES_MAX][GRID], hi[ENTRIES_MAX][GRID];
};

static struct curves *mean_curves(const struct compare_args *args, const struct outcome_of_run *all)
{
    struct curves *c = calloc(1, sizeof *c);

    for (int i = 0; c != NULL && i < GRID; i++) {
        c->x[i] = axis_end(args) * i / (GRID - 1);
        for (uint32_t e = 0; e < args->n_entries; e++) {
            struct numbers n =
                numbers_of(all + (size_t)e * args->seeds, args->seeds,
                           offsetof(struct outcome_of_run, curve) + (size_t)i * sizeof(double));

            c->mean[e][i] = n.mean;
            c->lo[e][i] = n.mean - n.deviation;
            c->hi[e][i] = n.mean + n.deviation;
        }
    }
    return c;
}

static int write_csv(const struct compare_args *args, const struct curves *c, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int rc;

    if (out == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for %s", args->options.csv);
    fprintf(out, "search,%s,mean,deviation\n",
            args->options.config.limit_s > 0 ? "time_s" : "evaluations");
    for (uint32_t e = 0; e < args->n_entries; e++)
        for (int i = 0; i < GRID; i++)
            if (isfinite(c->mean[e][i]))
                fprintf(out, "\"%s\",%.6g,%.9g,%.9g\n", args->entries[e], c->x[i], c->mean[e][i],
                        c->hi[e][i] - c->mean[e][i]);
    rc = fclose(out) == 0 ? file_write(args->options.csv, text, len, why)
                          : why_set(why, FARM_ENOMEM, "no memory for %s", args->options.csv);
    free(text);
    return rc;
}

static int draw(const struct compare_args *args, const struct curves *c, struct why *why)
{
    struct plot_series series[ENTRIES_MAX];
    struct plot plot = {.title = "best so far: mean and standard deviation",
                        .x_label =
                            args->options.config.limit_s > 0 ? "virtual seconds" : "evaluations",
                        .y_label = args->show_fitness ? "fitness" : "test of the best by fitness",
                        .series = series,
                        .n_series = args->n_entries};
    double lowest = INFINITY, highest = -INFINITY;

    for (uint32_t e = 0; e < args->n_entries; e++) {
        series[e] =
            (struct plot_series){args->entries[e], GRID, c->x, c->mean[e], c->lo[e], c->hi[e]};
        for (int i = GRID / 10; i < GRID; i++) { /* the first tenth may leave the picture */
            lowest = fmin(lowest, c->lo[e][i]);
            highest = fmax(highest, c->hi[e][i]);
        }
    }
    plot.y_lo = lowest;
    plot.y_hi = highest;
    return plot_write(args->options.svg, &plot, why);
}

static int compare(const struct compare_args *args, struct why *why)
{
    size_t bytes = (size_t)args->n_entries * args->seeds * sizeof(struct outcome_of_run);
    struct outcome_of_run *all =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int64_t began = clock_ns();
    struct curves *curves = NULL;
    int rc;

    if (all == MAP_FAILED)
        return why_set(why, FARM_ENOMEM, "no memory for the results: %s", strerror(errno));
    if ((rc = run_all(args, all, why)) == FARM_OK) {
        print_table(args, all);
        printf("\n%u seeds each, on %u processes: %.1f s\n", args->seeds, args->jobs,
               (double)(clock_ns() - began) * 1e-9);
        if ((curves = mean_curves(args, all)) == NULL)
            rc = why_set(why, FARM_ENOMEM, "no memory for the curves");
    }
    if (rc == FARM_OK && args->options.csv != NULL)
        rc = write_csv(args, curves, why);
    if (rc == FARM_OK && args->options.svg != NULL)
        rc = draw(args, curves, why);
    free(curves);
    (void)munmap(all, bytes);
    return rc;
}

/* Mistakes are told before anything is begun. */
static int check_entries(const struct compare_args *args, struct why *why)
{
    struct compare_args probe = *args;
    struct outcome_of_run out;
    int rc = FARM_OK;

    if (args->options.config.limit_s <= 0 && args->options.config.limit_trials == 0)
        return why_set(why, FARM_EINPUT, "give a limit: --time or --trials");
    probe.options.config.limit_trials = 1;
    for (uint32_t e = 0; e < args->n_entries && rc == FARM_OK; e++)
        rc = run_one(&probe, e, 0, &out, why);
    return rc;
}

int cmd_compare(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"seeds", KEY_SEEDS, "N", 0, "searches of each kind (100)", 0},
        {"jobs", KEY_JOBS, "N", 0, "processes (one a CPU)", 0},
        {"target", KEY_TARGET, "X", 0,
         "also the median time at which the best fitness reaches this", 0},
        {"fitness", KEY_SHOW, NULL, 0, "draw the fitness, where the table has a test, too", 0},
        {0}};
    static struct argp_child children[] = {{NULL, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .children = children,
        .args_doc = "STRATEGY[,K=V...][/SCHEDULE[,K=V...]]...",
        .doc = "Compares searches on one space and table: each with every seed, on virtual "
               "workers. Prints a table "
               "in Markdown: the mean and the standard deviation of the best fitness and of its "
               "test, and the mean "
               "rank.\v"
               "Examples:\n"
               "  nasfarm compare random evolution local-search --trials 300 --seeds 50\n"
               "  nasfarm compare random random/asha,eta=3 --table taskset.csv.gz --columns "
               "'fitness=-valid_loss_*,skip=1' --workers 25 --time 500 --target -0.45"};
    struct compare_args args = {.seeds = 100, .target = NAN};
    struct why why = {""};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int rc;

    args.jobs = cpus > 0 ? (uint32_t)cpus : 1;
    children[0].argp = virtual_options_argp();
    virtual_options_init(&args.options);
    cli_parse(&argp, "compare", argc, argv, &args);
    virtual_options_quiet();
    if ((rc = virtual_options_open(&args.options, &why)) == FARM_OK &&
        (rc = check_entries(&args, &why)) == FARM_OK)
        rc = compare(&args, &why);
    virtual_options_close(&args.options);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
