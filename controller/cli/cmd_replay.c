/* cmd_replay.c - proves that a run is what its journal says. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "cli.h"
#include "experiment.h"
#include "text.h"

struct replay_args {
    const char *dir;
    bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct replay_args *args = state->input;
    switch (key) {
    case 'j': args->json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->dir = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->dir == NULL)
            argp_error(state, "which run? Give its folder");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

int cmd_replay(int argc, char **argv)
{
    static const struct argp_option options[] = {{"json", 'j', NULL, 0, "as a JSON object", 0},
                                                 {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Derives the whole search again from its journal, in a fresh strategy, and compares "
               "every proposal, the "
               "population and the saved state with what is stored, bit for bit. Exit code 1 when "
               "they differ.\v"
               "Example:\n  nasfarm replay nasfarm-runs/digits-nasbench201"};
    struct replay_args args = {0};
    struct replay_report report;
    struct why why = {""};
    char state[33], journal[33], events[28], trials[28];
    cli_parse(&argp, "replay", argc, argv, &args);
    int rc = experiment_replay(args.dir, &report, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    digest_hex(&report.state, state);
    digest_hex(&report.journal, journal);
    if (args.json) {
        json_t *json =
            json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "same", 1, "events",
                      (json_int_t)report.events, "trials", (json_int_t)report.trials, "known",
                      (json_int_t)report.known, "failed", (json_int_t)report.failed, "population",
                      (json_int_t)report.population, "state", state, "journal", journal);
        json_dumpf(json, stdout, JSON_INDENT(1));
        printf("\n");
        json_decref(json);
        return CLI_OK;
    }
    text_thousands(report.events, events);
    text_thousands(report.trials, trials);
    printf("the same, bit for bit: %s events, %s trials (%" PRIu64 " known already, %" PRIu64
           " failed), population of %zu\n  state    %s\n  journal  %s\n",
           events, trials, report.known, report.failed, report.population, state, journal);
    return CLI_OK;
}
