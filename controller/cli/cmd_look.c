/* cmd_look.c - list, show and best: what a store holds. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "found.h"
#include "look.h"
#include "text.h"

struct look_args {
    const char *dir, *trial;
    bool wants_trial, json, all, failed;
    uint64_t best;
};

enum { KEY_JSON = 1, KEY_BEST, KEY_ALL, KEY_FAILED };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct look_args *args = state->input;
    char *end;
    switch (key) {
    case KEY_JSON: args->json = true; return 0;
    case KEY_ALL: args->all = true; return 0;
    case KEY_FAILED: args->failed = true; return 0;
    case KEY_BEST:
        args->best = strtoull(arg, &end, 10);
        if (*end != '\0' || args->best == 0 || arg[0] == '-')
            argp_error(state, "--best %s: a number from 1 on", arg);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->dir = arg;
        else if (state->arg_num == 1 && args->wants_trial)
            args->trial = arg;
        else
            argp_error(state, "\"%s\" is one argument too many", arg);
        return 0;
    case ARGP_KEY_END:
        if (args->dir == NULL)
            argp_error(state, "which run? Give its folder, e.g. nasfarm-runs/digits-nasbench201");
        if (args->wants_trial && args->trial == NULL)
            argp_error(state, "which trial? Give its number, or best");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ------------------------------------------------------------------ list */

struct listing {
    const struct look *look;
    const struct look_args *args;
    json_t *array; /* NULL: a table */
    uint64_t left;
    int rc;
};

static void list_one(struct listing *list, const struct trial_record *r)
{
    if (list->array != NULL) {
        json_array_append_new(list->array, found_json(list->look->space, r, NULL));
        return;
    }
    char params[28], macs[28], fitness[16] = "-", epochs[16] = "";
    bool done = r->state == TRIAL_DONE, ok = done && r->result.outcome == OUTCOME_OK;
    char *notation = r->genome != NULL && space_check(list->look->space, r->genome, NULL) == FARM_OK
                         ? space_notation(list->look->space, r->genome)
                         : NULL;
    text_thousands(r->params, params);
    text_thousands(r->macs, macs);
    if (ok)
        snprintf(fitness, sizeof fitness, "%.4f", r->result.fitness);
    if (list->look->rungs > 1) /* else all are trained as long */
        snprintf(epochs, sizeof epochs, "%6" PRIu32 "  ", done ? r->result.epochs : 0);
    printf("%8" PRIu64 "  %-8s  %s%-8s  %12s  %14s  %s\n", r->trial, fitness, epochs,
           done ? outcome_name(r->result.outcome) : "pending", params, macs,
           done && !ok ? r->result.reason : (notation != NULL ? notation : ""));
    free(notation);
}

static bool visit_best(uint64_t trial, double fitness, void *ctx)
{
    struct listing *list = ctx;
    struct trial_record record;
    (void)fitness;
    list->rc = store_get_trial(list->look->store, trial, &record);
    if (list->rc != FARM_OK)
        return false;
    list_one(list, &record);
    trial_record_release(&record);
    return --list->left > 0;
}

static bool visit_trial(const struct trial_record *record, void *ctx)
{
    struct listing *list = ctx;
    bool failed = record->state == TRIAL_DONE && record->result.outcome != OUTCOME_OK;
    if (list->args->all || failed)
        list_one(list, record);
    return true;
}

int cmd_list(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"best", KEY_BEST, "N", 0, "the N fittest (this is the default, with 10)", 0},
        {"all", KEY_ALL, NULL, 0, "every trial, in the order of proposal", 0},
        {"failed", KEY_FAILED, NULL, 0, "the trials that failed, and why", 0},
        {"json", KEY_JSON, NULL, 0, "as a JSON array", 0},
        {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "DIR",
                                     .doc = "Lists the trials of a run; also while it runs.\v"
                                            "Examples:\n"
                                            "  nasfarm list nasfarm-runs/digits-nasbench201\n"
                                            "  nasfarm list DIR --best 50 --json\n"
                                            "  nasfarm list DIR --failed"};
    struct look_args args = {0};
    struct look look;
    struct why why = {""};
    cli_parse(&argp, "list", argc, argv, &args);
    if ((int)args.all + (int)args.failed + (int)(args.best > 0) > 1) {
        fprintf(stderr, "nasfarm list: choose one of --best, --all and --failed\n");
        return CLI_USAGE;
    }
    int rc = look_open(&look, args.dir, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    struct listing list = {&look, &args, args.json ? json_array() : NULL,
                           args.best > 0 ? args.best : 10, FARM_OK};
    if (!args.json)
        printf("%8s  %-8s  %s%-8s  %12s  %14s  %s\n", "trial", "fitness",
               look.rungs > 1 ? "epochs  " : "", "outcome", "parameters", "multiply-adds",
               args.failed ? "reason" : "network");
    if (args.all || args.failed)
        rc = store_each_trial(look.store, 0, visit_trial, &list, &why);
    else
        rc = store_each_best(look.store, visit_best, &list);
    if (rc == FARM_OK)
        rc = list.rc;
    if (rc == FARM_OK && args.json) {
        json_dumpf(list.array, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
        printf("\n");
    }
    json_decref(list.array);
    look_close(&look);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}

/* ------------------------------------------------------------------ show, best */

static int show(const struct look_args *args)
{
    struct look look;
    struct trial_record record;
    struct result final;
    struct why why = {""};
    uint64_t final_trial = UINT64_MAX;
    int rc = look_open(&look, args->dir, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    bool tested = look_final(&look, &final_trial, &final) == FARM_OK;
    char tested_trial[24];
    snprintf(tested_trial, sizeof tested_trial, "%" PRIu64, final_trial);
    /* The best is the one that was trained to the end and tested, once there is one. */
    const char *which = strcmp(args->trial, "best") == 0 && tested ? tested_trial : args->trial;
    if ((rc = look_trial(&look, which, &record, &why)) == FARM_OK) {
        const struct result *result = tested && record.trial == final_trial ? &final : NULL;
        if (args->json) {
            json_t *json = found_json(look.space, &record, result);
            json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
            printf("\n");
            json_decref(json);
        } else {
            found_print(stdout, look.space, &record, result);
        }
        trial_record_release(&record);
    }
    look_close(&look);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}

static const struct argp_option json_option[] = {{"json", KEY_JSON, NULL, 0, "as a JSON object", 0},
                                                 {0}};

int cmd_show(int argc, char **argv)
{
    static const struct argp argp = {
        .options = json_option,
        .parser = parse,
        .args_doc = "DIR TRIAL",
        .doc = "Shows one trial: its result, its costs, its cell.\v"
               "Example:\n  nasfarm show nasfarm-runs/digits-nasbench201 41"};
    struct look_args args = {.wants_trial = true};
    cli_parse(&argp, "show", argc, argv, &args);
    return show(&args);
}

int cmd_best(int argc, char **argv)
{
    static const struct argp argp = {
        .options = json_option,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Shows the best network of a run, and its test when it has been done.\v"
               "Example:\n  nasfarm best nasfarm-runs/digits-nasbench201 --json"};
    struct look_args args = {.trial = "best"};
    cli_parse(&argp, "best", argc, argv, &args);
    return show(&args);
}
