/* cmd_search.c - search and resume: from a command line to a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "run.h"
#include "scheduler.h"
#include "settings.h"
#include "strategy.h"
#include "tune.h"

struct search_args {
    struct settings settings;
    const char *config, *dir;
    bool resume;
};

enum { KEY_CONFIG = 'c' };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct search_args *args = state->input;
    switch (key) {
    case ARGP_KEY_INIT: state->child_inputs[0] = &args->settings; return 0;
    case KEY_CONFIG: args->config = arg; return 0;
    case ARGP_KEY_ARG:
        if (!args->resume)
            argp_error(state, "\"%s\" is no option; did you mean --data %s?", arg, arg);
        if (state->arg_num > 0)
            argp_error(state, "\"%s\" is one argument too many", arg);
        args->dir = arg;
        return 0;
    case ARGP_KEY_END:
        if (args->resume && args->dir == NULL)
            argp_error(state, "which run? Give its folder, e.g. nasfarm-runs/digits-nasbench201");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int read_settings(struct search_args *args, struct why *why)
{
    int rc =
        args->config != NULL ? settings_load_yaml(&args->settings, args->config, why) : FARM_OK;
    return rc == FARM_OK ? settings_finish(&args->settings, why) : rc;
}

static void forget_trailing_slash(char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = '\0';
}

static void put_option(FILE *f, const struct space_option *o)
{
    fprintf(f, "  %s: %s (", o->name, o->help);
    if (o->labels != NULL)
        fprintf(f, "default %s)\n", o->labels()[(size_t)o->fallback]);
    else
        fprintf(f, "%.9g to %.9g, default %.9g)\n", o->lo, o->hi, o->fallback);
}

/* Whether a space before this one has it, too. */
static bool is_told(const struct space_ops *const *space, const struct space_option *option)
{
    for (const struct space_ops *const *before = space_all(); before != space; before++)
        for (const struct space_option *o = (*before)->options; o != NULL && o->name != NULL; o++)
            if (strcmp(o->name, option->name) == 0 && strcmp(o->help, option->help) == 0)
                return true;
    return false;
}

static void put_spaces(FILE *f)
{
    fprintf(f, "Spaces (--space):\n");
    for (const struct space_ops *const *space = space_all(); *space != NULL; space++) {
        const struct space_option *options = (*space)->options;

        fprintf(f, "  %s: %s", (*space)->name, (*space)->summary);
        for (const struct space_option *o = options; o != NULL && o->name != NULL; o++)
            fprintf(f, "%s%s", o == options ? "; options " : ", ", o->name);
        fprintf(f, "\n");
    }
    fprintf(f, "\nTheir options (--space-options K=V,...):\n");
    for (const struct space_ops *const *space = space_all(); *space != NULL; space++)
        for (const struct space_option *o = (*space)->options; o != NULL && o->name != NULL; o++)
            if (!is_told(space, o))
                put_option(f, o);
}

static void put_strategies(FILE *f)
{
    fprintf(f, "Strategies (--strategy):\n");
    for (const struct strategy_ops *const *one = strategy_all(); *one != NULL; one++)
        fprintf(f, "  %s: %s\n", (*one)->name, (*one)->summary);
    fprintf(f, "\nSchedules (--schedule):\n");
    for (const struct scheduler_ops *const *one = scheduler_all(); *one != NULL; one++)
        fprintf(f, "  %s: %s\n", (*one)->name, (*one)->summary);
}

/* What is behind the options: examples, every space, strategy and schedule, what can be tuned. Called once. */
static const char *search_doc(void)
{
    static const char begin[] =
        "Searches a network: proposes architectures, trains each of them on the farm, "
        "breeds from the best, and "
        "at the end trains the best one for good and tests it once. Without options it "
        "finds a network for the "
        "built-in digits, with a farm of its own on all CPUs.\v"
        "Examples:\n"
        "  nasfarm search\n"
        "  nasfarm search --data idx:mnist --max-params 300k --trials 200\n"
        "  nasfarm search --config digits.yaml --seed 2 --out runs/two\n"
        "  nasfarm search --broker tcp://127.0.0.1:5555 --data cifar10 --space amoebanet\n"
        "  nasfarm search --space my-space.yaml\n"
        "  nasfarm search --space proxyless --tune lr,batch=16:64 --max-macs 5M\n"
        "  nasfarm search --exec 'python3 train.py'\n\n"
        "Ctrl-C once stops proposing, waits for the evaluations that have begun, and prints "
        "the line that goes "
        "on; twice stops at once. Neither loses anything recorded. Exit codes: 0 done (or "
        "drained by SIGTERM), 1 "
        "failed, 2 wrong usage or input, 130 stopped by Ctrl-C.";
    static char *text; /* argp reads it until the end */
    static size_t len;
    FILE *f = open_memstream(&text, &len);

    if (f == NULL)
        return begin;
    fprintf(f, "%s\n\n", begin);
    put_spaces(f);
    fprintf(f, "\n");
    put_strategies(f);
    fprintf(f, "\nWhat can be tuned (--tune): %s.", tune_known());
    return fclose(f) == 0 ? text : begin;
}

int cmd_search(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"config", KEY_CONFIG, "FILE.yaml", 0,
         "settings from a file, one `name: value` a line "
         "with the names of these options; the command line wins",
         -1},
        {0}};
    const struct argp of_settings = {.options = settings_argp(NULL), .parser = settings_parse};
    const struct argp_child children[] = {{&of_settings, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .options = options, .parser = parse, .children = children, .doc = search_doc()};
    struct search_args args = {.resume = false};
    struct why why = {""};
    settings_init(&args.settings);
    cli_parse(&argp, "search", argc, argv, &args);
    int rc = read_settings(&args, &why);
    struct space_config space;
    if (rc == FARM_OK)
        rc = settings_space(&args.settings, &space, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    run_name(&args.settings, space.name);
    forget_trailing_slash(args.settings.out);
    return run_search(args.settings.out, &args.settings);
}

int cmd_resume(int argc, char **argv)
{
    static const char *const only[] = {"trials", "data",      "no-final", "broker",     "workers",
                                       "slots",  "evaluator", "exec",     "no-sync",    "json",
                                       "quiet",  "metrics",   "key",      "server-key", "insecure",
                                       "stay",   NULL};
    const struct argp of_settings = {.options = settings_argp(only), .parser = settings_parse};
    const struct argp_child children[] = {{&of_settings, 0, NULL, 0}, {0}};
    const struct argp argp = {
        .parser = parse,
        .children = children,
        .args_doc = "DIR",
        .doc = "Goes on with a search that was stopped, drained or killed, exactly where it was. "
               "Options that are not "
               "given are as they were.\v"
               "Examples:\n"
               "  nasfarm resume nasfarm-runs/digits-nasbench201\n"
               "  nasfarm resume DIR --trials 500        more trials than it was started with\n"
               "  nasfarm resume DIR --broker tcp://127.0.0.1:5555"};
    struct search_args args = {.resume = true};
    static char dir[512];
    settings_init(&args.settings);
    cli_parse(&argp, "resume", argc, argv, &args);
    if (strlen(args.dir) >= sizeof dir) {
        fprintf(stderr, "nasfarm: the folder's name is too long\n");
        return CLI_USAGE;
    }
    memcpy(dir, args.dir, strlen(args.dir) + 1);
    forget_trailing_slash(dir);
    return run_resume(dir, &args.settings);
}
