/* cmd_import.c - reads an architecture in its community's notation: is it one, what does it cost, what does it look like? */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "draw.h"
#include "files.h"
#include "found.h"
#include "settings.h"

#define MOST_TEXT 65536 /* bytes of an architecture from standard input */

struct import_args {
    struct settings settings;
    const char *text, *out;
    struct graph_shape images;
    uint32_t classes;
    struct draw draw;
    bool json;
};

enum { KEY_IMAGES = 1, KEY_CLASSES, KEY_JSON };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct import_args *args = state->input;
    if (draw_parse(&args->draw, key, state))
        return 0;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->settings; return 0;
    case KEY_IMAGES:
        if (!settings_images(arg, &args->images))
            argp_error(state, "--images %s: height, width and channels, as in 28x28x1", arg);
        return 0;
    case KEY_CLASSES:
        if (!settings_count(arg, &args->classes))
            argp_error(state, "--classes %s: a number from 1 on", arg);
        return 0;
    case KEY_JSON: args->json = true; return 0;
    case 'o': args->out = arg; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "one architecture: put it in quotes");
        args->text = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->text == NULL)
            argp_error(state, "which architecture? Give it in quotes, or - for standard input");
        draw_check(&args->draw, state);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* From standard input, where the text is "-": malloc'd, without the white space at its end. */
static char *take_text(const char *text)
{
    if (strcmp(text, "-") != 0)
        return strdup(text);
    char *out = calloc(1, MOST_TEXT + 1);
    size_t len = out != NULL ? fread(out, 1, MOST_TEXT, stdin) : 0;
    while (len > 0 && strchr(" \t\r\n", out[len - 1]) != NULL)
        out[--len] = '\0';
    return out;
}

/* The sentences of notations say which character is wrong: this shows it. */
static void point_at(const char *text, const char *sentence)
{
    const int before = 40, after = 38;
    const char *found = strstr(sentence, "character ");
    size_t at = found != NULL ? strtoul(found + strlen("character "), NULL, 10) : 0;
    if (at == 0 || at > strlen(text) + 1 || strchr(text, '\n') != NULL)
        return;
    size_t from = at > (size_t)before ? at - (size_t)before : 0;
    fprintf(stderr, "  %.*s\n  %*s\n", before + after, text + from, (int)(at - from), "^");
}

static int show(const struct import_args *args, const struct space *space,
                const struct genome *genome, struct why *why)
{
    struct graph *graph = NULL;
    struct graph_cost cost;
    int rc = space_decode(space, genome, &graph, why);
    if (rc == FARM_OK && (rc = graph_cost(graph, &cost)) != FARM_OK)
        (void)why_set(why, rc, "out of memory for a cost");
    graph_destroy(&graph);
    if (rc != FARM_OK)
        return rc;
    if (args->json) {
        char *notation = space_notation(space, genome);
        json_t *json = json_pack("{s:s,s:s?,s:I,s:I,s:I,s:i}", "space", space->config.name,
                                 "notation", notation, "parameters", (json_int_t)cost.params,
                                 "macs", (json_int_t)cost.macs, "activation_bytes",
                                 (json_int_t)cost.activation_bytes, "depth", (int)cost.depth);
        json_dumpf(json, stdout, JSON_INDENT(1));
        printf("\n");
        json_decref(json);
        free(notation);
        return FARM_OK;
    }
    printf("A network of space %s, for images of %ux%ux%u and %u classes\n", space->config.name,
           space->config.input.h, space->config.input.w, space->config.input.c,
           space->config.classes);
    found_print_cost(stdout, cost.params, cost.macs, cost.activation_bytes);
    printf("  %-18s %u convolutions and linear layers on the longest path\n", "depth", cost.depth);
    found_print_network(stdout, space, genome);
    printf("\nNext:\n"
           "  nasfarm net train --space %s --data DATA 'ARCHITECTURE'\n"
           "  nasfarm search --space %s --data DATA --start-from 'ARCHITECTURE'\n",
           args->settings.space, args->settings.space);
    return FARM_OK;
}

static int draw(const struct import_args *args, const struct space *space,
                const struct genome *genome, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    int rc = draw_network(&args->draw, space, genome, space->config.name, &text, &len, why);
    if (rc == FARM_OK)
        rc = text_write(args->out, text, len, why);
    free(text);
    return rc;
}

static int import(const struct import_args *args, const char *text, struct why *why)
{
    struct space *space = NULL;
    struct genome *genome = NULL;
    int rc = settings_open_space(&args->settings, args->images, args->classes, &space, why);
    if (rc != FARM_OK)
        return rc;
    if ((genome = space_parse(space, text, why)) == NULL)
        rc = FARM_EGENOME;
    else
        rc = args->draw.form != DRAW_NONE ? draw(args, space, genome, why)
                                          : show(args, space, genome, why);
    free(genome);
    space_close(&space);
    return rc;
}

int cmd_import(int argc, char **argv)
{
    static const char *const only[] = {"space",          "channels",
                                       "cells",          "stages",
                                       "stem-stride",    "stem",
                                       "stem-channels",  "space-options",
                                       "tune",           "skip-reduction-input",
                                       "cell-drop-path", NULL};
    static const struct argp_option options[] = {
        {"images", KEY_IMAGES, "HxWxC", 0,
         "height, width and channels of the data (default 32x32x3)", -1},
        {"classes", KEY_CLASSES, "N", 0, "of the data (default 10)", -1},
        {"json", KEY_JSON, NULL, 0, "as a JSON object", -1},
        {"output", 'o', "FILE", 0, "write a drawing to FILE (default: standard output)", -1},
        DRAW_OPTIONS,
        {0}};
    const struct argp of_settings = {.options = settings_argp(only), .parser = settings_parse};
    const struct argp_child children[] = {{&of_settings, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .children = children,
        .args_doc = "ARCHITECTURE|-",
        .doc = "Reads an architecture in the notation of its space, says what it costs, or draws "
               "it. A "
               "mistake in it is pointed at.\v"
               "Examples:\n"
               "  nasfarm import --space nasbench201 "
               "'|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|avg_pool_3x3~2|'\n"
               "  nasfarm export DIR best --genotype | nasfarm import --space darts --channels 36 "
               "--cells 6 -\n"
               "  nasfarm import --space mnasnet --svg -o net.svg \"$(nasfarm export DIR 41 "
               "--genotype)\""};
    struct import_args args = {.images = {32, 32, 3}, .classes = 10};
    struct why why = {""};
    settings_init(&args.settings);
    cli_parse(&argp, "import", argc, argv, &args);
    char *text = take_text(args.text);
    int rc = text != NULL ? import(&args, text, &why)
                          : why_set(&why, FARM_ENOMEM, "out of memory for an architecture");
    int code = rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
    if (rc == FARM_EGENOME && text != NULL)
        point_at(text, why.text);
    free(text);
    return code;
}
