/* cli.h - the commands of `nasfarm`: each takes its own argv and returns the program's exit code.
 *
 * It is not: the work itself; a command parses, calls, prints. Exit codes: 0 done, 1 failed, 2 wrong usage or input,
 * 130 stopped by Ctrl-C.
 */
#ifndef NASFARM_CLI_H
#define NASFARM_CLI_H

#include <argp.h>
#include <stdbool.h>

#include "err.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_INTERRUPTED = 130 };

struct command {
    const char *name, *arguments, *summary;
    int (*run)(int argc, char **argv);
};
/* Ended by one without a name. */
extern const struct command cli_commands[];

int cmd_search(int argc, char **argv);
int cmd_resume(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_show(int argc, char **argv);
int cmd_best(int argc, char **argv);
int cmd_front(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_space(int argc, char **argv);
int cmd_net(int argc, char **argv);
int cmd_simulate(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_keygen(int argc, char **argv);
int cmd_health(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);

/* "nasfarm: SENTENCE" on standard error; returns the exit code that belongs to rc. */
int cli_fail(int rc, const struct why *why);

/* Parses with argp: on a mistake one sentence and a hint, and the process ends with CLI_USAGE. argv[0] becomes
 * "nasfarm COMMAND" in what is printed. */
void cli_parse(const struct argp *argp, const char *command, int argc, char **argv, void *input);

#endif
