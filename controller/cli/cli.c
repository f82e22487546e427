#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "monitor.h"

const struct command cli_commands[] = {
    {"search", "[OPTION...]", "search a network: the main job", cmd_search},
    {"resume", "DIR", "go on with a search that was stopped or killed, or give it more trials",
     cmd_resume},
    {"status", "[DIR | --broker ENDPOINT]", "how far a search is; who is on a farm", cmd_status},
    {"list", "DIR", "the best trials, all of them, or the failed", cmd_list},
    {"show", "DIR TRIAL", "all about one trial, its cell drawn", cmd_show},
    {"best", "DIR", "the best network found, and its test", cmd_best},
    {"front", "DIR", "the trials that no other one beats in every objective", cmd_front},
    {"replay", "DIR", "derive the whole search again from its journal and compare, bit for bit",
     cmd_replay},
    {"verify", "DIR",
     "is a store whole: every checksum, every table, the journal against the state", cmd_verify},
    {"backup", "DIR DEST", "a copy of a store, also while a search runs", cmd_backup},
    {"compact", "DIR", "give the disk back what a store does not need", cmd_compact},
    {"export", "DIR TRIAL|best", "a network as ONNX, DOT, SVG or JSON; its weights", cmd_export},
    {"import", "ARCHITECTURE",
     "an architecture in its community's notation: checked, measured, drawn", cmd_import},
    {"space", "list|show|...", "the search spaces: what there is, genes, samples; checks a file",
     cmd_space},
    {"net", "list|cost|draw|train NAME", "the networks that papers are known for", cmd_net},
    {"simulate", "[OPTION...]", "a search on virtual workers in virtual time", cmd_simulate},
    {"compare", "STRATEGY...", "strategies over many seeds on virtual farms", cmd_compare},
    {"keygen", "DIR", "the keys of a farm on more than one machine", cmd_keygen},
    {"health", "[ADDRESS:PORT]", "whether a program of a farm that serves its state is well",
     cmd_health},
    {"version", "", "which version this is", cmd_version},
    {"help", "[COMMAND]", "this list, or a command's options", cmd_help},
    {0},
};

int cli_fail(int rc, const struct why *why)
{
    fprintf(stderr, "nasfarm: %s\n", why->text[0] != '\0' ? why->text : farm_strerror(rc));
    return rc == FARM_EINPUT || rc == FARM_ENOTFOUND || rc == FARM_EGENOME ? CLI_USAGE : CLI_FAILED;
}

void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input)
{
    static char name[64];
    snprintf(name, sizeof name, "nasfarm %s", command);
    argv[0] = name;
    argp_err_exit_status = CLI_USAGE;
    int err = argp_parse(argp, argc, argv, 0, NULL, input);
    if (err != 0) {
        fprintf(stderr, "nasfarm %s: %s\n", command, strerror(err));
        exit(CLI_USAGE);
    }
}

int cmd_health(int argc, char **argv)
{
    if (argc == 1 || (argc == 2 && argv[1][0] != '-'))
        return monitor_health("nasfarm", argc == 2 ? argv[1] : NULL);
    printf(
        "Usage: nasfarm health [ADDRESS:PORT]\n"
        "Asks the program whose --metrics that is (default: $NASFARM_METRICS) for /healthz. Exit "
        "codes: 0 well, 1 not.\n");
    return argc == 2 && strcmp(argv[1], "--help") == 0 ? CLI_OK : CLI_USAGE;
}

int cmd_help(int argc, char **argv)
{
    if (argc > 1 && argv[1][0] != '-') {
        for (const struct command *c = cli_commands; c->name != NULL; c++)
            if (strcmp(c->name, argv[1]) == 0 && c->run != cmd_help)
                return c->run(2, (char *[]){argv[1], (char[]){"--help"}, NULL});
        if (strcmp(argv[1], "help") != 0) {
            fprintf(stderr, "nasfarm: there is no command \"%.40s\"; `nasfarm help` lists them\n",
                    argv[1]);
            return CLI_USAGE;
        }
    }
    printf("nasfarm: searches neural network architectures in parallel\n\n"
           "Usage: nasfarm COMMAND [OPTION...]\n\nCommands:\n");
    for (const struct command *c = cli_commands; c->name != NULL; c++)
        printf("  %-8s %-26s %s\n", c->name, c->arguments, c->summary);
    printf(
        "\nExamples:\n"
        "  nasfarm search                               find a network for the built-in digits\n"
        "  nasfarm search --data idx:mnist --max-params 300k\n"
        "  nasfarm best nasfarm-runs/digits-nasbench201\n"
        "\n`nasfarm COMMAND --help` tells the options of each. Exit codes: 0 done, 1 failed, 2 "
        "wrong usage or input,\n"
        "130 stopped by Ctrl-C (everything acknowledged is kept; `nasfarm resume DIR` goes on).\n");
    return CLI_OK;
}
