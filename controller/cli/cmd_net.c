/* cmd_net.c - the known networks: listed, measured, drawn, trained. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "draw.h"
#include "files.h"
#include "known.h"
#include "limits.h"
#include "run.h"
#include "settings.h"
#include "text.h"

/* ------------------------------------------------------------------ arguments */

struct net_args {
    const char *name, *out;
    struct graph_shape input; /* h 0: as published */
    uint32_t classes;         /* likewise */
    bool json;
    struct draw draw;
};

enum { KEY_JSON = 1, KEY_INPUT, KEY_CLASSES };

/* "HxWxC", or "N" or "HxW" with three channels. */
static bool read_input(const char *text, struct graph_shape *out)
{
    unsigned long side[3] = {0, 0, 3};
    char *end = NULL;
    int n = 0;

    for (; n < 3; n++) {
        if (*text < '0' || *text > '9')
            return false;
        side[n] = strtoul(text, &end, 10);
        if (side[n] < 1 || side[n] > LIMIT_CHANNELS)
            return false;
        if (*end == '\0')
            break;
        if (*end != 'x')
            return false;
        text = end + 1;
    }
    if (n == 3)
        return false;
    *out = (struct graph_shape){(uint32_t)side[0], (uint32_t)(n == 0 ? side[0] : side[1]),
                                (uint32_t)side[2]};
    return true;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct net_args *args = state->input;
    char *end;

    switch (key) {
    case KEY_JSON: args->json = true; return 0;
    case 'o': args->out = arg; return 0;
    case KEY_INPUT:
        if (!read_input(arg, &args->input))
            argp_error(state, "--input %s: expected HxWxC, e.g. 32x32x3", arg);
        return 0;
    case KEY_CLASSES:
        args->classes = (uint32_t)strtoul(arg, &end, 10);
        if (*end != '\0' || arg[0] == '-' || args->classes < 1 || args->classes > LIMIT_CLASSES)
            argp_error(state, "--classes %s: a number from 1 to %u", arg, LIMIT_CLASSES);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->name = arg;
        return 0;
    case ARGP_KEY_END: draw_check(&args->draw, state); return 0;
    default: return draw_parse(&args->draw, key, state) ? 0 : ARGP_ERR_UNKNOWN;
    }
}

#define JSON_OPTION                                                                                \
    {                                                                                              \
        "json", KEY_JSON, NULL, 0, "as JSON", 0                                                    \
    }
#define DATA_OPTIONS                                                                               \
    {"input", KEY_INPUT, "HxWxC", 0, "of images (default: as published)", 0},                      \
    {                                                                                              \
        "classes", KEY_CLASSES, "N", 0, "(default: as published)", 0                               \
    }

/* The network that was named, for the images that were asked for. */
static int build(struct net_args *args, const struct known **net, struct graph **out,
                 struct why *why)
{
    int rc;

    if (args->name == NULL)
        return why_set(why, FARM_EINPUT, "which network? `nasfarm net list` has their names");
    if ((rc = known_find(net, args->name, why)) != FARM_OK)
        return rc;
    if (args->input.h == 0)
        args->input = (*net)->input;
    if (args->classes == 0)
        args->classes = (*net)->classes;
    return known_build(*net, args->input, args->classes, out, why);
}

/* ------------------------------------------------------------------ list, cost */

static json_t *net_json(const struct known *net, const struct graph_shape *input, uint32_t classes,
                        const struct graph_cost *cost)
{
    return json_pack("{s:s,s:s,s:[iii],s:i,s:I,s:I,s:s?}", "name", net->name, "paper", net->summary,
                     "input", (int)input->h, (int)input->w, (int)input->c, "classes", (int)classes,
                     "parameters", (json_int_t)cost->params, "macs", (json_int_t)cost->macs,
                     "space", net->space.name[0] != '\0' ? net->space.name : NULL);
}

static void print_json(json_t *json)
{
    json_dumpf(json, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(json);
}

static int net_list(int argc, char **argv)
{
    static const struct argp_option options[] = {JSON_OPTION, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Lists the known networks, with their costs where they were published.\v"
               "Example:\n  nasfarm net list --json"};
    struct net_args args = {.json = false};
    json_t *array;

    cli_parse(&argp, "net list", argc, argv, &args);
    if (args.name != NULL) {
        fprintf(stderr,
                "nasfarm net list: it takes no network; `nasfarm net cost %.40s` tells "
                "about one\n",
                args.name);
        return CLI_USAGE;
    }
    array = args.json ? json_array() : NULL;
    if (!args.json)
        printf("%-21s %9s %12s %15s  %-16s %s\n", "network", "images", "parameters",
               "multiply-adds", "space", "paper");
    for (const struct known *net = known_all(); net->name != NULL; net++) {
        struct graph_cost cost = {.params = net->params, .macs = net->macs};
        char params[28], macs[28], images[24];

        if (args.json) {
            json_array_append_new(array, net_json(net, &net->input, net->classes, &cost));
            continue;
        }
        text_thousands(net->params, params);
        text_thousands(net->macs, macs);
        snprintf(images, sizeof images, "%" PRIu32 "x%" PRIu32 "x%" PRIu32, net->input.h,
                 net->input.w, net->input.c);
        printf("%-21s %9s %12s %15s  %-16s %s\n", net->name, images, params, macs,
               net->space.name[0] != '\0' ? net->space.name : "-", net->summary);
    }
    if (args.json)
        print_json(array);
    return CLI_OK;
}

static void print_cost(const struct known *net, const struct net_args *args,
                       const struct graph_cost *cost)
{
    char text[28], bytes[16];

    printf("%s (%s) for %" PRIu32 "x%" PRIu32 "x%" PRIu32 " images of %" PRIu32 " classes\n",
           net->name, net->summary, args->input.h, args->input.w, args->input.c, args->classes);
    text_thousands(cost->params, text);
    text_bytes(cost->params * sizeof(float), bytes);
    printf("  %-18s %s (%s)\n", "parameters", text, bytes);
    text_thousands(cost->macs, text);
    printf("  %-18s %s\n", "multiply-adds", text);
    text_bytes(cost->activation_bytes, bytes);
    printf("  %-18s %s at its peak, of one image\n", "activations", bytes);
    printf("  %-18s %" PRIu32 " convolutions and linear layers on the longest path\n", "depth",
           cost->depth);
}

static int net_cost(int argc, char **argv)
{
    static const struct argp_option options[] = {DATA_OPTIONS, JSON_OPTION, {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "NAME",
        .doc = "Says what a known network costs. On smaller images than it was published for, it "
               "drops its first strides.\v"
               "Examples:\n"
               "  nasfarm net cost mobilenetv2-1.0\n"
               "  nasfarm net cost efficientnet-b0 --input 32x32x3 --classes 10"};
    struct net_args args = {.json = false};
    const struct known *net = known_all();
    struct graph *graph = NULL;
    struct graph_cost cost;
    struct why why = {""};
    int rc;

    cli_parse(&argp, "net cost", argc, argv, &args);
    if ((rc = build(&args, &net, &graph, &why)) == FARM_OK)
        rc = graph_cost(graph, &cost);
    if (rc == FARM_OK && args.json) {
        json_t *json = net_json(net, &args.input, args.classes, &cost);

        json_object_set_new(json, "activation_bytes",
                            json_integer((json_int_t)cost.activation_bytes));
        json_object_set_new(json, "depth", json_integer(cost.depth));
        print_json(json);
    } else if (rc == FARM_OK) {
        print_cost(net, &args, &cost);
    }
    graph_destroy(&graph);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}

/* ------------------------------------------------------------------ draw */

/* A known network is the one point of space `fixed`. */
static int draw_known(const struct net_args *args, const struct known *net, char **out, size_t *len,
                      struct why *why)
{
    struct space_config config = {.name = "fixed", .input = args->input, .classes = args->classes};
    struct space *space = NULL;
    struct genome *genome = NULL;
    int rc;

    snprintf(config.options, sizeof config.options, "net=%s", net->name);
    if ((rc = space_open(&space, &config, why)) == FARM_OK &&
        (genome = space_parse(space, net->name, why)) == NULL)
        rc = FARM_ENOMEM;
    if (rc == FARM_OK)
        rc = draw_network(&args->draw, space, genome, net->name, out, len, why);
    free(genome);
    space_close(&space);
    return rc;
}

static int net_draw(int argc, char **argv)
{
    static const struct argp_option options[] = {
        DATA_OPTIONS,
        DRAW_OPTIONS,
        {"output", 'o', "FILE", 0, "write to FILE (default: standard output)", 0},
        {0}};
    static const struct argp argp = {.options = options,
                                     .parser = parse,
                                     .args_doc = "NAME",
                                     .doc = "Draws a known network (by default as a picture).\v"
                                            "Examples:\n"
                                            "  nasfarm net draw mobilenetv3-small -o net.svg\n"
                                            "  nasfarm net draw resnet20 --outline --svg"};
    struct net_args args = {.json = false};
    const struct known *net = known_all();
    struct graph *graph = NULL;
    struct why why = {""};
    char *text = NULL;
    size_t len = 0;
    int rc;

    cli_parse(&argp, "net draw", argc, argv, &args);
    if (args.draw.form == DRAW_NONE)
        args.draw.form = DRAW_SVG;
    if ((rc = build(&args, &net, &graph, &why)) == FARM_OK)
        rc = draw_known(&args, net, &text, &len, &why);
    if (rc == FARM_OK)
        rc = text_write(args.out, text, len, &why);
    free(text);
    graph_destroy(&graph);
    return rc == FARM_OK ? CLI_OK : cli_fail(rc, &why);
}

/* ------------------------------------------------------------------ train */

struct train_args {
    struct settings settings;
    const char *name;
};

static error_t parse_train(int key, char *arg, struct argp_state *state)
{
    struct train_args *args = state->input;
    struct why why = {""};

    if (key >= SETTINGS_KEY && key < SETTINGS_KEY + (int)settings_n) {
        const struct setting *setting = &settings_table[key - SETTINGS_KEY];

        if (settings_set(&args->settings, setting, arg != NULL ? arg : "yes", &why) != FARM_OK)
            argp_error(state, "--%s: %s", setting->name, why.text);
        return 0;
    }
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num > 0)
        argp_error(state, "\"%s\" is one argument too many", arg);
    args->name = arg;
    return 0;
}

static bool is_about_training(const char *name)
{
    static const char *const plain[] = {
        "out",           "name",          "data",      "seed",          "test-fraction",
        "split-seed",    "broker",        "key",       "server-key",    "insecure",
        "workers",       "slots",         "evaluator", "exec",          "no-sync",
        "json",          "quiet",         "space",     "channels",      "cells",
        "stages",        "stem-stride",   "stem",      "stem-channels", "skip-reduction-input",
        "space-options", "cell-drop-path"};

    if (strncmp(name, "final-", 6) == 0)
        return true;
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(name, plain[i]) == 0)
            return true;
    return false;
}

/* The settings of the final training under their plain names: "epochs" is "final-epochs" of a search. */
static const struct argp_option *train_options(void)
{
    static const char *only[128];
    static struct argp_option options[256];
    const struct argp_option *all;
    size_t n = 0;

    for (size_t i = 0; i < settings_n && n + 1 < sizeof only / sizeof only[0]; i++)
        if (is_about_training(settings_table[i].name))
            only[n++] = settings_table[i].name;
    all = settings_argp(only);
    for (n = 0; n + 1 < sizeof options / sizeof options[0]; n++) {
        options[n] = all[n];
        if (options[n].name != NULL && strncmp(options[n].name, "final-", 6) == 0)
            options[n].name += 6;
        else if (options[n].name == NULL && options[n].doc == NULL)
            break;
        else if (options[n].name == NULL &&
                 strncmp(options[n].doc, "Training of the best", 20) == 0)
            options[n].doc = "The training:";
    }
    return options;
}

static bool given(const struct settings *s, const char *name)
{
    return s->given[settings_find(name) - settings_table];
}

/* As the network was published, or, of a space that was named, in its notation or by name. */
static int choose_network(struct settings *s, const char *name, struct why *why)
{
    const struct known *net = known_all();
    int rc;

    if (name == NULL)
        return why_set(why, FARM_EINPUT, "which network? `nasfarm net list` has their names");
    if (given(s, "space"))
        return settings_set(s, settings_find("start-from"), name, why);
    if (given(s, "space-options"))
        return why_set(why, FARM_EINPUT, "--space-options goes with --space");
    if ((rc = known_find(&net, name, why)) != FARM_OK)
        return rc;
    snprintf(s->space, sizeof s->space, "fixed");
    snprintf(s->space_options, sizeof s->space_options, "net=%s", net->name);
    return FARM_OK;
}

/* A search of one trial that is not made: only the final training is. */
static int prepare_training(struct settings *s, const char *name, struct why *why)
{
    int rc = choose_network(s, name, why);

    if (rc != FARM_OK)
        return rc;
    snprintf(s->strategy, sizeof s->strategy, "random");
    s->trials = 1;
    if ((rc = settings_finish(s, why)) == FARM_OK)
        run_name(s, s->start_from[0] == '\0' ? name : s->space);
    return rc;
}

static int net_train(int argc, char **argv)
{
    const struct argp argp = {
        .options = train_options(),
        .parser = parse_train,
        .args_doc = "NAME|ARCHITECTURE",
        .doc = "Trains a known network as the best of a search is trained at the end: on all of "
               "the training images, and tests it once; with --space, any architecture of that "
               "space, in its notation. A training that was stopped goes on with "
               "`nasfarm resume`.\v"
               "Examples:\n"
               "  nasfarm net train resnet20 --data digits\n"
               "  nasfarm net train mobilenetv3-small --data cifar:cifar10 --epochs 100 --flip\n"
               "  nasfarm net train --space darts --channels 36 --cells 6 \"$(nasfarm export DIR "
               "best --genotype)\""};
    struct train_args args = {.name = NULL};
    struct why why = {""};
    int rc;

    settings_init(&args.settings);
    cli_parse(&argp, "net train", argc, argv, &args);
    if ((rc = prepare_training(&args.settings, args.name, &why)) != FARM_OK)
        return cli_fail(rc, &why);
    return run_training(args.settings.out, &args.settings);
}

/* ------------------------------------------------------------------ net */

int cmd_net(int argc, char **argv)
{
    static const struct {
        const char *name, *summary;
        int (*run)(int argc, char **argv);
    } below[] = {{"list", "the known networks, and what they cost", net_list},
                 {"cost", "what one costs on images of any size", net_cost},
                 {"draw", "a picture of one", net_draw},
                 {"train", "train and test one on a data set", net_train}};
    bool help = argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-?") == 0;

    for (size_t i = 0; !help && i < sizeof below / sizeof below[0]; i++)
        if (strcmp(argv[1], below[i].name) == 0)
            return below[i].run(argc - 1, argv + 1);
    if (!help) {
        fprintf(stderr,
                "nasfarm net: there is no \"%.40s\"; there are list, cost, draw and train\n",
                argv[1]);
        return CLI_USAGE;
    }
    printf("Usage: nasfarm net list|cost|draw|train [NAME] [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++)
        printf("  %-8s %s\n", below[i].name, below[i].summary);
    printf("\nExamples:\n"
           "  nasfarm net list\n"
           "  nasfarm net cost mobilenetv2-1.0 --input 32x32x3 --classes 10\n"
           "  nasfarm net draw mobilenetv3-small -o net.svg\n"
           "  nasfarm net train resnet20 --data digits\n"
           "\n`nasfarm net WHAT --help` tells the options of each.\n");
    return argc < 2 ? CLI_USAGE : CLI_OK;
}
