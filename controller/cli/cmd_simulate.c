#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "clock.h"
#include "files.h"
#include "plot.h"
#include "text.h"
#include "virtual_options.h"

enum { KEY_STRATEGY = 800, KEY_SCHEDULE, KEY_SEED };

struct simulate_args {
    struct virtual_options options;
    const char *strategy, *schedule;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct simulate_args *args = state->input;

    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->options; return 0;
    case KEY_STRATEGY: args->strategy = arg; return 0;
    case KEY_SCHEDULE: args->schedule = arg; return 0;
    case KEY_SEED:
        args->options.config.seed = (uint64_t)virtual_options_number(state, "seed", arg, 0, 1e15);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ------------------------------------------------------------------ what comes out */

static int write_csv(const char *path, const struct virtual_result *r, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int rc;

    if (out == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for %s", path);
    fprintf(out, "time_s,evaluations,trial,best,test\n");
    for (size_t i = 0; i < r->n_points; i++) {
        const struct virtual_point *p = &r->points[i];

        fprintf(out, "%.6g,%" PRIu64 ",%" PRIu64 ",%.9g,", p->time_s, p->evaluations, p->trial,
                p->fitness);
        fprintf(out, isnan(p->test) ? "\n" : "%.9g\n", p->test);
    }
    rc = fclose(out) == 0 ? file_write(path, text, len, why)
                          : why_set(why, FARM_ENOMEM, "no memory for %s", path);
    free(text);
    return rc;
}

static int draw(const char *path, const struct simulate_args *args, const struct virtual_result *r,
                struct why *why)
{
    struct plot_series series = {.name = args->strategy, .n = r->n_points};
    double *x = calloc(r->n_points + 1, sizeof *x), *y = calloc(r->n_points + 1, sizeof *y);
    int rc = FARM_ENOMEM;

    if (x != NULL && y != NULL) {
        for (size_t i = 0; i < r->n_points; i++) {
            x[i] = r->points[i].time_s;
            y[i] = r->points[i].fitness;
        }
        series.x = x;
        series.y = y;
        rc = plot_write(path,
                        &(struct plot){.title = "best so far",
                                       .x_label = "virtual seconds",
                                       .y_label = "fitness",
                                       .series = &series,
                                       .n_series = 1},
                        why);
    }
    free(x);
    free(y);
    return rc == FARM_ENOMEM ? why_set(why, rc, "no memory for %s", path) : rc;
}

static void print_result(const struct virtual_result *r, double took_s)
{
    char hex[33], trials[28], evaluations[28];

    text_thousands(r->trials, trials);
    text_thousands(r->evaluations, evaluations);
    printf("%12s  %12s  %10s  %10s\n", "time", "evaluations", "best", "test");
    for (size_t i = r->n_points > 10 ? r->n_points - 10 : 0; i < r->n_points; i++) {
        printf("%12.6g  %12" PRIu64 "  %10.6g  ", r->points[i].time_s, r->points[i].evaluations,
               r->points[i].fitness);
        printf(isnan(r->points[i].test) ? "         -\n" : "%10.6g\n", r->points[i].test);
    }
    printf("%s trials, %s evaluations", trials, evaluations);
    if (r->failed > 0)
        printf(" (%" PRIu64 " failed)", r->failed);
    if (r->crashed > 0)
        printf(", %" PRIu64 " workers died half way", r->crashed);
    printf("; ended at %.6g virtual seconds", r->end_s);
    if (!isnan(r->busy))
        printf("; workers were busy %.2f %% of the time while there was work", 100 * r->busy);
    if (r->lost > 0)
        printf("; of %" PRIu64 " messages %" PRIu64 " were lost", r->messages, r->lost);
    digest_hex(&r->trace, hex);
    printf("\nsimulated in %.2f s (%.0f evaluations a second); trace %s\n", took_s,
           (double)r->evaluations / took_s, hex);
}

static int simulate(const struct simulate_args *args, struct why *why)
{
    char strategy[32], scheduler[32];
    struct virtual_result result = {0};
    struct virtual_config c = args->options.config;
    int64_t began = clock_ns();
    int rc;

    split_name(args->strategy, strategy, &c.strategy_options);
    split_name(args->schedule, scheduler, &c.scheduler_options);
    c.strategy = strategy;
    c.scheduler = scheduler;
    rc = virtual_farm_run(&c, &result, why);
    if (rc == FARM_EEXHAUSTED) {
        printf("%s\n", why->text);
        rc = FARM_OK;
    }
    if (rc == FARM_OK)
        print_result(&result, (double)(clock_ns() - began) * 1e-9);
    if (rc == FARM_OK && args->options.csv != NULL)
        rc = write_csv(args->options.csv, &result, why);
    if (rc == FARM_OK && args->options.svg != NULL)
        rc = draw(args->options.svg, args, &result, why);
    virtual_result_release(&result);
    return rc;
}

int cmd_simulate(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"strategy", KEY_STRATEGY, "NAME[,K=V...]", 0, "what is proposed (evolution)", 0},
        {"schedule", KEY_SCHEDULE, "NAME[,K=V...]", 0, "how long each trial is trained (full)", 0},
        {"seed", KEY_SEED, "N", 0, "of everything random (1)", 0},
        {0}};
    static struct argp_child children[] = {{NULL, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .children = children,
        .doc = "Simulates a search on a farm of virtual workers in virtual time: the real strategy "
               "and scheduler, "
               "the real broker's logic; results and durations from a table or made up. One seed "
               "gives one trace.\v"
               "Examples:\n"
               "  nasfarm simulate --workers 450 --trials 20000 --spread 0.5 --stragglers 0.02\n"
               "  nasfarm simulate --workers 100 --trials 5000 --crashes 0.05 --delay 0.1 --ahead "
               "1 --loss 0.01\n"
               "  nasfarm simulate --table nb201_cifar.csv.gz --columns "
               "key=arch,fitness=c10_hp12_valid_acc,"
               "seconds=c10_hp12_train_seconds,test=c10_hp200_test_acc --time 12000 "
               "--strategy evolution,population=10,sample=3\n"
               "  nasfarm simulate --table taskset.csv.gz --columns 'fitness=-valid_loss_*,skip=1' "
               "--strategy random "
               "--schedule asha,eta=3 --workers 25 --time 1000"};
    struct simulate_args args = {.strategy = "evolution", .schedule = "full"};
    struct why why = {""};
    int rc;

    children[0].argp = virtual_options_argp();
    virtual_options_init(&args.options);
    cli_parse(&argp, "simulate", argc, argv, &args);
    virtual_options_quiet();
    if ((rc = virtual_options_open(&args.options, &why)) == FARM_OK)
        rc = simulate(&args, &why);
    virtual_options_close(&args.options);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
