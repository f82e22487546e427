/* cmd_front.c - the trials of a run that no other one beats in everything that is wanted. */
#include <jansson.h>
#include <stdio.h>

#include "cli.h"
#include "front.h"
#include "look.h"

struct front_args {
    const char *dir, *objective, *svg;
    bool json;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct front_args *args = state->input;

    switch (key) {
    case 'o': args->objective = arg; return 0;
    case 's': args->svg = arg; return 0;
    case 'j': args->json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->dir = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->dir == NULL)
            argp_error(state, "which run? Give its folder, e.g. nasfarm-runs/digits-nasbench201");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int show(const struct front_args *args, struct look *look, struct front *front,
                struct why *why)
{
    const struct experiment_config *c = &look->config;
    const char *text = args->objective != NULL   ? args->objective
                       : c->objective[0] != '\0' ? c->objective
                                                 : "accuracy,-macs";
    struct objectives objectives;
    int rc = objectives_parse(&objectives, text, c->max_latency_us, why);

    if (rc == FARM_OK)
        rc = front_collect(front, look->store, &objectives, why);
    if (rc == FARM_OK && args->svg != NULL)
        rc = front_plot(front, args->svg, why);
    if (rc != FARM_OK)
        return rc;
    if (args->json) {
        json_t *json = front_json(front);

        json_dumpf(json, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(10));
        printf("\n");
        json_decref(json);
    } else {
        rc = front_print(front, stdout, look->store, look->space, 0);
    }
    return rc;
}

int cmd_front(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"objective", 'o', "NUMBER,...", 0,
         "what to compare: accuracy, -loss, -params, -macs, -memory, -latency (default: the "
         "search's own, else "
         "accuracy,-macs)",
         0},
        {"svg", 's', "FILE", 0, "draw the front of two objectives", 0},
        {"json", 'j', NULL, 0, "as a JSON object", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Lists the trials of a run that no other trial beats in every objective: its Pareto "
               "front. Any search can be "
               "asked, also while it runs: what a network costs is known of each.\v"
               "Examples:\n"
               "  nasfarm front nasfarm-runs/digits-nasbench201\n"
               "  nasfarm front DIR --objective accuracy,-latency --svg front.svg"};
    struct front_args args = {0};
    struct front front = {.n = 0};
    struct look look;
    struct why why = {""};
    int rc;

    cli_parse(&argp, "front", argc, argv, &args);
    if ((rc = look_open(&look, args.dir, &why)) != FARM_OK)
        return cli_fail(rc, &why);
    rc = show(&args, &look, &front, &why);
    front_release(&front);
    look_close(&look);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
