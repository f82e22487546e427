/* cmd_export.c - takes a network away: as DOT, SVG, JSON or in its space's notation; trained, as ONNX or as weights. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "draw.h"
#include "export.h"
#include "files.h"
#include "look.h"

enum form { FORM_NONE, FORM_JSON = 'j', FORM_GENOTYPE = 'g' };

struct export_args {
    const char *dir, *trial, *out, *weights, *onnx;
    enum form form;
    struct draw draw;
    bool keep_batch_norm;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct export_args *args = state->input;
    if (draw_parse(&args->draw, key, state))
        return 0;
    switch (key) {
    case FORM_JSON:
    case FORM_GENOTYPE:
        if (args->form != FORM_NONE && args->form != (enum form)key)
            argp_error(state, "choose one of --json and --genotype");
        args->form = (enum form)key;
        return 0;
    case 'o': args->out = arg; return 0;
    case 'w': args->weights = arg; return 0;
    case 'x': args->onnx = arg; return 0;
    case 'k': args->keep_batch_norm = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            argp_error(state, "\"%s\" is one argument too many", arg);
        *(state->arg_num == 0 ? &args->dir : &args->trial) = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->trial == NULL)
            argp_error(state, "which network? Give a run's folder, and a trial's number or best");
        if (args->form == FORM_NONE && args->draw.form == DRAW_NONE && args->weights == NULL &&
            args->onnx == NULL)
            argp_error(state, "as what? Choose --onnx FILE, --dot, --svg, --json, --genotype or "
                              "--weights FILE");
        if (args->form != FORM_NONE && args->draw.form != DRAW_NONE)
            argp_error(state, "choose one of --dot, --svg, --json and --genotype");
        draw_check(&args->draw, state);
        if (args->keep_batch_norm && args->onnx == NULL)
            argp_error(state, "--keep-batch-norm goes with --onnx");
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
    int rc;
    if (args->draw.form != DRAW_NONE)
        return draw_network(&args->draw, look->space, genome, title, out, len, why);
    if ((rc = space_decode(look->space, genome, &graph, why)) != FARM_OK)
        return rc;
    if (args->form == FORM_GENOTYPE)
        *out = space_notation(look->space, genome);
    else
        rc = export_json(graph, out);
    graph_destroy(&graph);
    if (rc != FARM_OK || *out == NULL)
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
    if (rc == FARM_OK)
        rc = text_write(args->out, text, len, why);
    free(text);
    return rc;
}

/* Only the network that was trained to the end has kept its weights. *bytes is malloc'd. */
static int final_weights(const struct export_args *args, const struct look *look,
                         const struct trial_record *record, struct result *final, uint8_t **bytes,
                         size_t *len, struct why *why)
{
    uint64_t trial;
    int rc = look_final(look, &trial, final);
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
        rc = store_get_blob(look->store, "final.weights", bytes, len);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, rc, "the evaluator of trial %" PRIu64 " returned no weights", trial);
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read the weights: %s", farm_strerror(rc));
    return FARM_OK;
}

/* What people and tools read of where the network comes from. */
struct origin {
    char doc[512], trial[24], test[32];
    char *genotype;
    struct export_onnx_about about;
};

static void tell(struct origin *self, const char *key, const char *value)
{
    self->about.properties[self->about.n_properties].key = key;
    self->about.properties[self->about.n_properties++].value = value;
}

static int tell_all(struct origin *self, const struct export_args *args, const struct look *look,
                    const struct trial_record *record, const struct result *final)
{
    *self = (struct origin){.about = {.name = look->config.name,
                                      .doc = self->doc,
                                      .keep_batch_norm = args->keep_batch_norm}};
    self->genotype = space_notation(look->space, record->genome);
    if (self->genotype == NULL)
        return FARM_ENOMEM;
    snprintf(self->trial, sizeof self->trial, "%" PRIu64, record->trial);
    snprintf(self->test, sizeof self->test, "%.4f", final->test_accuracy);
    snprintf(self->doc, sizeof self->doc,
             "Trial %s of the search \"%s\" in space %s, trained on %s. Input: pixels as the data "
             "set's file has them, N,C,H,W; the standardisation is part of the model.",
             self->trial, look->config.name, look->config.space.name, look->config.data.name);
    tell(self, "space", look->config.space.name);
    tell(self, "genotype", self->genotype);
    tell(self, "trial", self->trial);
    tell(self, "store", args->dir);
    tell(self, "data", look->config.data.name);
    tell(self, "batch_norm", args->keep_batch_norm ? "kept" : "folded");
    if (final->n_test > 0)
        tell(self, "test_accuracy", self->test);
    return FARM_OK;
}

static int write_onnx(const struct export_args *args, const struct look *look,
                      const struct trial_record *record, const struct result *final,
                      const uint8_t *blob, size_t blob_len, struct why *why)
{
    struct graph *graph = NULL;
    struct weights *weights = NULL;
    struct origin origin = {.genotype = NULL};
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = space_decode(look->space, record->genome, &graph, why);
    if (rc == FARM_OK)
        rc = weights_unpack(&weights, graph, blob, blob_len, why);
    if (rc == FARM_OK && tell_all(&origin, args, look, record, final) != FARM_OK)
        rc = why_set(why, FARM_ENOMEM, "no memory for the network's notation");
    if (rc == FARM_OK)
        rc = export_onnx(graph, weights, &origin.about, &bytes, &len, why);
    if (rc == FARM_OK)
        rc = file_write(args->onnx, bytes, len, why);
    else if (rc == FARM_ENOTFOUND)
        rc = FARM_EIO; /* the schema is missing: no mistake in usage */
    free(bytes);
    free(origin.genotype);
    weights_destroy(&weights);
    graph_destroy(&graph);
    return rc;
}

/* --onnx and --weights. */
static int export_trained(const struct export_args *args, const struct look *look,
                          const struct trial_record *record, struct why *why)
{
    struct result final;
    uint8_t *blob = NULL;
    size_t len = 0;
    int rc = final_weights(args, look, record, &final, &blob, &len, why);
    if (rc == FARM_OK && args->weights != NULL)
        rc = file_write(args->weights, blob, len, why);
    if (rc == FARM_OK && args->onnx != NULL)
        rc = write_onnx(args, look, record, &final, blob, len, why);
    free(blob);
    return rc;
}

int cmd_export(int argc, char **argv)
{
    static const struct argp_option options[] = {
        DRAW_OPTIONS,
        {"json", FORM_JSON, NULL, 0, "the network as external evaluators get it", 0},
        {"genotype", FORM_GENOTYPE, NULL, 0,
         "the architecture in the notation of its space, which nasfarm import reads", 0},
        {"onnx", 'x', "FILE", 0,
         "write the trained network to FILE, as ONNX (opset 13, standardisation included)", 0},
        {"keep-batch-norm", 'k', NULL, 0,
         "with --onnx: leave batch norms as they are, instead of folding them into convolutions",
         0},
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
               "  nasfarm export DIR best --onnx best.onnx\n"
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
        if (args.form != FORM_NONE || args.draw.form != DRAW_NONE)
            rc = export_form(&args, &look, &record, &why);
        if (rc == FARM_OK && (args.weights != NULL || args.onnx != NULL))
            rc = export_trained(&args, &look, &record, &why);
        trial_record_release(&record);
    }
    look_close(&look);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}
