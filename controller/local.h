/* local.h - the embedded farm: a broker and workers that this process starts, watches and takes with it.
 *
 * It is:     children. One that dies is started again, with a growing pause; all die with this process, however it ends.
 * It is not: the farm's protocol (farm.h), nor a way to start anything on another machine.
 */
#ifndef NASFARM_LOCAL_H
#define NASFARM_LOCAL_H

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct local;

struct local_options {
    const char *data;        /* --data of the workers */
    const char *evaluator;   /* --evaluator; NULL: the workers' own default */
    const char *exec;        /* --exec; NULL: none */
    uint32_t workers, slots; /* processes, and slots of each; at least 1 */
    const char *log_file; /* where the children's log lines go (appended); NULL: standard error */
};

enum { LOCAL_PATH_MAX = 4096 };
/* Where the program of the farm is that would be started: "nasfarm-broker", "nasfarm-worker"; beside this program, in the
 * build tree, in PATH. FARM_EIO: nowhere. */
int local_program(const char *name, char out[LOCAL_PATH_MAX], struct why *why);

/* Finds nasfarm-broker and nasfarm-worker (beside this program, in the build tree, in PATH), starts the broker on a free
 * loopback port and, once it listens, the workers. */
int local_start(struct local **out, const struct local_options *options, struct why *why);

/* "tcp://127.0.0.1:PORT". Borrowed. */
const char *local_endpoint(const struct local *self);

/* To be called often: starts again what has died and whose pause is over.
 * Before local_settled() a death is an error, and why holds the child's own last sentence: FARM_EINPUT when it blames its
 * command line (exit code 2), else FARM_EIO. Afterwards always FARM_OK. */
int local_check(struct local *self, struct why *why);
/* A worker was seen at work: from now on a death is an accident. */
void local_settled(struct local *self);

/* Ends all: SIGTERM, up to grace_ms for them to go, SIGKILL. Sets *self to NULL; already NULL is fine. */
void local_stop(struct local **self, int64_t grace_ms);

#endif
