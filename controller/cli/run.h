/* run.h - one search on one farm, from the first HELLO to what is shown at the end: what search and resume share.
 *
 * It is:     the place where experiment, farm, embedded farm, report and signals are tied together.
 * It is not: a command (cmd_search.c parses), nor any of those parts.
 */
#ifndef NASFARM_RUN_H
#define NASFARM_RUN_H

#include "experiment.h"
#include "peer_socket.h"
#include "settings.h"

/* How a run uses its farm: kept in the store beside the experiment, so that `nasfarm resume DIR` needs nothing more. */
struct run_config {
    char data[512];   /* --data of local workers; with a broker the name of the data set, or "" */
    char broker[256]; /* "": a farm of its own */
    char evaluator[512], exec[512];
    uint32_t workers, slots; /* of its own farm; 0: default */
    uint32_t attempts;       /* farm.h; 0: default */
    bool no_final;
};

struct run_show {
    bool json, quiet;
    const char *metrics;   /* ADDRESS:PORT to serve pages at; NULL: nowhere */
    struct peer_keys keys; /* for a broker elsewhere; of this machine, so not kept with the run */
    bool stay;             /* when the search is over, until told to stop */
};

/* Where nobody named the run: after its data and what is searched or trained, and a number when that is taken. Fills
 * settings->name and out. */
void run_name(struct settings *settings, const char *what);

/* A new search in folder dir (made here). Returns the program's exit code. */
int run_search(const char *dir, const struct settings *settings);

/* The same for one network: the final training alone. With one trial, which space `fixed` or start_from decides. */
int run_training(const char *dir, const struct settings *settings);

/* Goes on with the search in dir. What settings->given has, counts; all else is as it was. */
int run_resume(const char *dir, const struct settings *settings);

/* Name of the data set that a specification ([NAME=]FORMAT[:PATH]) opens. */
void run_data_name(const char *spec, char out[LIMIT_NAME + 1]);

#endif
