/* nasfarm: the command line. See cli/cli.h. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "log.h"

int main(int argc, char **argv)
{
    log_open("nasfarm", LOG_INFO);
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error of write(), not of us */
    if (argc < 2) {
        cmd_help(1, argv);
        return CLI_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "-?") == 0)
        name = "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
        name = "version";
    for (const struct command *c = cli_commands; c->name != NULL; c++)
        if (strcmp(c->name, name) == 0)
            return c->run(argc - 1, argv + 1);
    fprintf(stderr, "nasfarm: there is no command \"%.40s\"; `nasfarm help` lists them\n", name);
    return CLI_USAGE;
}
