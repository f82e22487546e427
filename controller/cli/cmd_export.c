/* cmd_export.c - takes a network away: as DOT, SVG or JSON, and its trained weights. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"
#include "files.h"
#include "look.h"

enum form { FORM_NONE, FORM_DOT = 'd', FORM_JSON = 'j', FORM_SVG = 's' };

struct export_args {
    const char *dir, *trial, *out, *weights;
    enum form form;
    bool cell, network;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct export_args *args = state->input;
    switch (key) {
    case FORM_DOT:
    case FORM_JSON:
    case FORM_SVG:
        if (args->form != FORM_NONE && args->form != (enum form)key)
            argp_error(state, "choose one of --dot, --svg and --json");
        args->form = (enum form)key;
        return 0;
    case 'c': args->cell = true; return 0;
    case 'n': args->network = true; return 0;
    case 'o': args->out = arg; return 0;
    case 'w': args->weights = arg; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "\"%s\" is one argument too many", arg);
        *(state->arg_num == 0 ? &args->dir : &args->trial) = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->trial == NULL)
            argp_error(state, "which network? Give a run's folder, and a trial's number or best");
        if (args->form == FORM_NONE && args->weights == NULL)
            argp_error(state, "as what? Choose --dot, --svg, --json or --weights FILE");
        if (args->cell && args->network)
            argp_error(state, "choose --cell or --network");
        if (args->cell && args->form == FORM_JSON)
            argp_error(state, "--json is of the whole network; a cell is drawn by --dot and --svg");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* The text that was asked for, malloc'd. */
static int render(const struct export_args *args, const struct look *look,
                  const struct genome *genome, const char *title, char **out, size_t *len,
                  struct why *why)
{
    struct graph *graph = NULL;
    char *dot = NULL;
    bool cell = args->cell || (args->form == FORM_SVG && !args->network);
    int rc = space_decode(look->space, genome, &graph, why);
    if (rc != FARM_OK)
        return rc;
    if (args->form == FORM_JSON)
        rc = export_json(graph, out);
    else
        rc = cell ? export_cell_dot(look->space, genome, title, &dot)
                  : export_graph_dot(graph, title, &dot);
    graph_destroy(&graph);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, rc, "space %s has no cells to draw; take --network",
                       look->space->config.name);
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot write the network down: %s", farm_strerror(rc));
    if (args->form == FORM_SVG) {
        rc = export_svg(dot, out, len, why);
        free(dot);
        return rc == FARM_ENOTFOUND ? FARM_EIO : rc; /* a library is missing: no mistake in usage */
    }
    if (args->form == FORM_DOT)
        *out = dot;
    if (*out == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for the network's text");
    *len = strlen(*out);
    return FARM_OK;
}

static int export_form(const struct export_args *args, const struct look *look,
                       const struct trial_record *record, struct why *why)
{
    char title[160], *text = NULL;
    size_t len = 0;
    snprintf(title, sizeof title, "%s, trial %" PRIu64, look->config.name, record->trial);
    int rc = render(args, look, record->genome, title, &text, &len, why);
    if (rc != FARM_OK)
        return rc;
    if (args->out != NULL && strcmp(args->out, "-") != 0) {
        rc = file_write(args->out, text, len, why);
    } else {
        fwrite(text, 1, len, stdout);
        if (len > 0 && text[len - 1] != '\n')
            putchar('\n');
    }
    free(text);
    return rc;
}

/* Only the network that was trained to the end has kept its weights. */
static int export_weights(const struct export_args *args, const struct look *look,
                          const struct trial_record *record, struct why *why)
{
    uint64_t trial;
    struct result final;
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = look_final(look, &trial, &final);
    if (rc == FARM_ENOTFOUND)
        return why_set(
            why, rc,
            "no weights yet: the final training is not recorded; `nasfarm resume %s` goes on",
            args->dir);
    if (rc == FARM_OK && trial != record->trial)
        return why_set(why, FARM_ENOTFOUND,
                       "only trial %" PRIu64 ", which was trained to the end, has kept its weights",
                       trial);
    if (rc == FARM_OK)
        rc = store_get_blob(look->store, "final.weights", &bytes, &len);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, rc, "the evaluator of trial %" PRIu64 " returned no weights", trial);
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read the weights: %s", farm_strerror(rc));
    rc = file_write(args->weights, bytes, len, why);
    free(bytes);
    return rc;
}

int cmd_export(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"dot", FORM_DOT, NULL, 0, "graphviz's language (the network, or --cell)", 0},
        {"svg", FORM_SVG, NULL, 0, "a picture (the cell, or --network); needs graphviz's library",
         0},
        {"json", FORM_JSON, NULL, 0, "the network as external evaluators get it", 0},
        {"cell", 'c', NULL, 0, "draw the cell", 0},
        {"network", 'n', NULL, 0, "draw the whole network", 0},
        {"output", 'o', "FILE", 0, "write to FILE (default: standard output)", 0},
        {"weights", 'w', "FILE", 0, "write the weights of the final training to FILE", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR TRIAL|best",
        .doc = "Writes a network down for people and other programs.\v"
               "Examples:\n"
               "  nasfarm export DIR best --svg -o cell.svg\n"
               "  nasfarm export DIR 41 --dot --network | dot -Tpng -o net.png\n"
               "  nasfarm export DIR best --json --weights best.weights"};
    struct export_args args = {0};
    struct look look;
    struct trial_record record;
    struct result final;
    struct why why = {""};
    uint64_t trial;
    char which[24];
    cli_parse(&argp, "export", argc, argv, &args);
    int rc = look_open(&look, args.dir, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    /* The best is the one that was trained to the end, once there is one. */
    bool best = strcmp(args.trial, "best") == 0 && look_final(&look, &trial, &final) == FARM_OK;
    if (best)
        snprintf(which, sizeof which, "%" PRIu64, trial);
    if ((rc = look_trial(&look, best ? which : args.trial, &record, &why)) == FARM_OK) {
        if (args.form != FORM_NONE)
            rc = export_form(&args, &look, &record, &why);
        if (rc == FARM_OK && args.weights != NULL)
            rc = export_weights(&args, &look, &record, &why);
        trial_record_release(&record);
    }
    look_close(&look);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
