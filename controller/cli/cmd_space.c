/* cmd_space.c - nasfarm space: what spaces there are, what genes one has, and what it draws. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "settings.h"
#include "text.h"

struct space_args {
    struct settings settings;
    const char *verb, *which;
    struct graph_shape images;
    uint32_t classes, n;
    bool json, definition;
};

enum { KEY_IMAGES = 1, KEY_CLASSES, KEY_JSON, KEY_DEFINITION };

#define VALIDATED 200 /* random genomes that `validate` decodes */

static const struct argp_option own_options[] = {
    {"images", KEY_IMAGES, "HxWxC", 0, "height, width and channels of the data (default 32x32x3)",
     -1},
    {"classes", KEY_CLASSES, "N", 0, "of the data (default 10)", -1},
    {"number", 'n', "N", 0, "of sample: how many networks (default 10)", -1},
    {"definition", KEY_DEFINITION, NULL, 0,
     "of show: the definition as a file, to begin one's own from", -1},
    {"json", KEY_JSON, NULL, 0, "of list and sample: one JSON array", -1},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct space_args *args = state->input;
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
    case 'n':
        if (!settings_count(arg, &args->n))
            argp_error(state, "--number %s: a number from 1 on", arg);
        return 0;
    case KEY_DEFINITION: args->definition = true; return 0;
    case KEY_JSON: args->json = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->verb = arg;
        else if (state->arg_num == 1)
            args->which = arg;
        else
            argp_error(state, "\"%s\" is one argument too many", arg);
        return 0;
    case ARGP_KEY_END:
        if (args->verb == NULL)
            argp_error(state, "what? One of list, show, sample, count, validate");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int open_space(const struct space_args *args, const char *which, struct space **out,
                      struct why *why)
{
    struct settings settings = args->settings;
    struct why longer = {""};
    int rc = settings_set(&settings, settings_find("space"), which, &longer);
    if (rc != FARM_OK) {
        (void)why_set(why, rc, "the space: %s", longer.text);
        return rc; /* not what why_set() returns: clang-tidy does not know that it is the same */
    }
    return settings_open_space(&settings, args->images, args->classes, out, why);
}

/* ------------------------------------------------------------------ list */

static int list(const struct space_args *args)
{
    json_t *array = args->json ? json_array() : NULL;
    if (!args->json)
        printf("%-16s  %6s  %-20s  %s\n", "space", "genes", "points", "what it is");
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++) {
        struct space *space = NULL;
        struct why why = {""};
        char points[32] = "-";
        uint32_t genes = 0;
        if (open_space(args, (*ops)->name, &space, &why) == FARM_OK) {
            space_points_text(space, points);
            genes = space->n_dims;
        }
        if (array != NULL)
            json_array_append_new(array, json_pack("{s:s,s:i,s:s,s:s}", "space", (*ops)->name,
                                                   "genes", (int)genes, "points", points, "summary",
                                                   (*ops)->summary));
        else
            printf("%-16s  %6" PRIu32 "  %-20s  %s\n", (*ops)->name, genes, points,
                   (*ops)->summary);
        space_close(&space);
    }
    if (array != NULL) {
        json_dumpf(array, stdout, JSON_INDENT(1));
        printf("\n");
    }
    json_decref(array);
    return CLI_OK;
}

/* ------------------------------------------------------------------ show */

static void print_values(const struct dim *d)
{
    char room[32];
    uint64_t n = dim_values(d);
    double first = d->kind == DIM_INTEGER ? d->lo : 0;
    if (n == 0) {
        printf("%g to %g%s", d->lo, d->hi, d->kind == DIM_LOG_REAL ? ", by its logarithm" : "");
        return;
    }
    if (d->labels == NULL && n > 1) {
        printf("%.0f to %.0f", first, first + (double)(n - 1));
        return;
    }
    for (uint64_t i = 0; i < n; i++)
        printf("%s%s", i > 0 ? " " : "", dim_text(d, first + (double)i, room));
}

static void print_dim(const struct space *space, uint32_t i)
{
    const struct dim *d = &space->dims[i];
    char room[32];
    printf("  %-24s ", d->name);
    print_values(d);
    if (d->parent >= 0) {
        const struct dim *on = &space->dims[d->parent];
        printf("   when %s %s %s", on->name, d->at_least ? ">=" : "=",
               dim_text(on, (double)d->parent_value, room));
    }
    printf("\n");
}

static int show(const struct space_args *args, const struct space *space)
{
    const struct space_config *c = &space->config;
    const char *definition = c->definition != NULL ? c->definition : space->ops->definition;
    char points[32];
    if (args->definition && definition == NULL) {
        fprintf(stderr,
                "nasfarm space: %s is built in and has no definition; `nasfarm space show dag "
                "--definition` gives one to begin from\n",
                c->name);
        return CLI_USAGE;
    }
    if (args->definition) {
        printf("%s", definition);
        return CLI_OK;
    }
    printf("%s: %s\n", c->name, space->summary);
    printf("  for images of %" PRIu32 "x%" PRIu32 "x%" PRIu32 " and %" PRIu32 " classes",
           c->input.h, c->input.w, c->input.c, c->classes);
    if (c->channels > 0)
        printf(": %" PRIu32 " channels, %" PRIu32 " cells a stage, %" PRIu32 " stages", c->channels,
               c->cells, c->stages);
    printf("\n  %" PRIu32 " genes, %s points\n", space->n_dims, space_points_text(space, points));
    for (uint32_t i = 0; i < space->n_dims; i++)
        print_dim(space, i);
    return CLI_OK;
}

/* ------------------------------------------------------------------ sample, validate */

static int cost_of(const struct space *space, const struct genome *genome, struct graph_cost *out,
                   struct why *why)
{
    struct graph *graph = NULL;
    int rc = space_decode(space, genome, &graph, why);
    if (rc == FARM_OK && (rc = graph_cost(graph, out)) != FARM_OK)
        rc = why_set(why, rc, "out of memory for a cost");
    graph_destroy(&graph);
    return rc;
}

static void print_sample(const struct space *space, const struct genome *genome, json_t *array)
{
    struct graph_cost cost;
    struct why why = {""};
    char params[28] = "-", macs[28] = "-";
    char *notation = space_notation(space, genome);
    bool decoded = cost_of(space, genome, &cost, &why) == FARM_OK;
    if (array != NULL) {
        json_t *one = json_pack("{s:s}", "network", notation != NULL ? notation : "");
        if (decoded) {
            json_object_set_new(one, "params", json_integer((json_int_t)cost.params));
            json_object_set_new(one, "macs", json_integer((json_int_t)cost.macs));
            json_object_set_new(one, "activation_bytes",
                                json_integer((json_int_t)cost.activation_bytes));
        } else {
            json_object_set_new(one, "reason", json_string(why.text));
        }
        json_array_append_new(array, one);
    } else {
        if (decoded) {
            text_thousands(cost.params, params);
            text_thousands(cost.macs, macs);
        }
        printf("%12s  %14s  %s%s%s\n", params, macs, notation != NULL ? notation : "",
               decoded ? "" : "   no network: ", why.text);
    }
    free(notation);
}

static int sample(const struct space_args *args, const struct space *space)
{
    struct genome *genome = genome_create(space->n_dims);
    json_t *array = args->json ? json_array() : NULL;
    struct why why = {"out of memory"};
    struct rng rng;
    if (genome == NULL)
        return cli_fail(FARM_ENOMEM, &why);
    if (array == NULL)
        printf("%12s  %14s  %s\n", "parameters", "multiply-adds", "network");
    rng_seed(&rng, args->settings.seed);
    for (uint32_t i = 0; i < args->n; i++) {
        space_sample(space, &rng, genome);
        print_sample(space, genome, array);
    }
    if (array != NULL) {
        json_dumpf(array, stdout, JSON_INDENT(1));
        printf("\n");
    }
    json_decref(array);
    free(genome);
    return CLI_OK;
}

static int validate(const struct space_args *args, const struct space *space)
{
    struct genome *genome = genome_create(space->n_dims);
    uint64_t least = UINT64_MAX, most = 0;
    uint32_t bad = 0;
    struct why why = {"out of memory"};
    char points[32], low[28], high[28];
    struct rng rng;
    if (genome == NULL)
        return cli_fail(FARM_ENOMEM, &why);
    rng_seed(&rng, args->settings.seed);
    for (int i = 0; i < VALIDATED; i++) {
        struct graph_cost cost;
        space_sample(space, &rng, genome);
        if (cost_of(space, genome, &cost, &why) != FARM_OK) {
            bad++;
            continue;
        }
        least = cost.params < least ? cost.params : least;
        most = cost.params > most ? cost.params : most;
    }
    free(genome);
    if (bad == VALIDATED)
        return cli_fail(why_prefix(&why, FARM_EINPUT,
                                   "%s: no random genome of %d is a network for these images",
                                   args->which, VALIDATED),
                        &why);
    text_thousands(least, low);
    text_thousands(most, high);
    printf("%s is a space: %s, %" PRIu32 " genes, %s points; of %d random genomes %" PRIu32
           " are networks for %" PRIu32 "x%" PRIu32 "x%" PRIu32 ", of %s to %s parameters\n",
           args->which, space->config.name, space->n_dims, space_points_text(space, points),
           VALIDATED, VALIDATED - bad, args->images.h, args->images.w, args->images.c, low, high);
    if (bad > 0)
        printf("the last that is none: %s\n", why.text);
    return CLI_OK;
}

static int count(const struct space_args *args, const struct space *space)
{
    char points[32];
    (void)args;
    printf("%s\n", space_points_text(space, points));
    return CLI_OK;
}

int cmd_space(int argc, char **argv)
{
    static const char *const only[] = {"channels",       "cells",
                                       "stages",         "stem-stride",
                                       "stem",           "stem-channels",
                                       "space-options",  "tune",
                                       "seed",           "skip-reduction-input",
                                       "cell-drop-path", NULL};
    static const struct {
        const char *name;
        int (*run)(const struct space_args *args, const struct space *space);
    } verbs[] = {{"show", show}, {"sample", sample}, {"count", count}, {"validate", validate}};
    const struct argp of_settings = {.options = settings_argp(only), .parser = settings_parse};
    const struct argp_child children[] = {{&of_settings, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = own_options,
        .parser = parse,
        .children = children,
        .args_doc = "list\nshow NAME|FILE.yaml\nsample NAME|FILE.yaml\ncount "
                    "NAME|FILE.yaml\nvalidate NAME|FILE.yaml",
        .doc =
            "Lists the search spaces, or shows the genes of one, networks drawn from it, how many "
            "points it has, or whether a file describes one (docs/own-spaces.md).\v"
            "Examples:\n"
            "  nasfarm space list\n"
            "  nasfarm space show darts --images 28x28x1\n"
            "  nasfarm space sample my-space.yaml -n 5 --seed 2\n"
            "  nasfarm space show dag --definition > my-space.yaml\n"
            "  nasfarm space validate my-space.yaml --images 8x8x1"};
    struct space_args args = {.images = {32, 32, 3}, .classes = 10, .n = 10};
    struct space *space = NULL;
    struct why why = {""};
    settings_init(&args.settings);
    cli_parse(&argp, "space", argc, argv, &args);
    if (strcmp(args.verb, "list") == 0 && args.which == NULL)
        return list(&args);
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strcmp(args.verb, verbs[i].name) != 0)
            continue;
        if (args.which == NULL) {
            fprintf(stderr,
                    "nasfarm space %s: which? Give a name (`nasfarm space list`) or a file\n",
                    args.verb);
            return CLI_USAGE;
        }
        int rc = open_space(&args, args.which, &space, &why);
        if (rc != FARM_OK)
            return cli_fail(rc, &why);
        int code = verbs[i].run(&args, space);
        space_close(&space);
        return code;
    }
    fprintf(stderr, "nasfarm space: \"%.40s\" is none of list, show, sample, count, validate\n",
            args.verb);
    return CLI_USAGE;
}
