/* nasfarm: the command line. See cli/cli.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "log.h"

/* The store is read through a map of its file. What a copy that was cut off lacks is noticed when it is touched. */
static void on_bus_error(int signal_number)
{
    static const char text[] =
        "nasfarm: the store's data.mdb is damaged: it is cut off, or the disk cannot be read: take "
        "it back from a copy\n";
    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        /* nowhere left to say so */
    }
    _exit(CLI_FAILED);
}

/* A full disk is a failure. A reader that has left, like head(1), has what it wanted. */
static int end_output(int status)
{
    bool lost = ferror(stdout) != 0;
    int reason = ENOSPC;
    if (fflush(stdout) != 0) {
        lost = true;
        reason = errno;
    }
    struct pollfd out = {.fd = STDOUT_FILENO};
    if (!lost || (poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0))
        return status;
    fprintf(stderr, "nasfarm: cannot write all of the output: %s\n", strerror(reason));
    return status == CLI_OK ? CLI_FAILED : status;
}

int main(int argc, char **argv)
{
    log_open("nasfarm", LOG_INFO);
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is an error of write(), not of us */
    signal(SIGBUS, on_bus_error);
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
            return end_output(c->run(argc - 1, argv + 1));
    fprintf(stderr, "nasfarm: there is no command \"%.40s\"; `nasfarm help` lists them\n", name);
    return CLI_USAGE;
}
