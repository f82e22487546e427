/* cmd_version.c - version: what the three programs of this installation were built from, and what they run with. */
#include <cyaml/cyaml.h>
#include <errno.h>
#include <jansson.h>
#include <lmdb.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml.h>
#include <zstd.h>

#include "cli.h"
#include "export.h"
#include "local.h"
#include "monitor.h"
#include "version.h"

#define TOLD_BYTES 8192 /* what one program says of itself */

enum { KEY_JSON = 'j' };

static error_t parse(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case KEY_JSON: *(bool *)state->input = true; return 0;
    case ARGP_KEY_ARG: argp_error(state, "\"%s\" is one argument too many", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* mdb_version() has a sentence with a date in it; here the number is wanted. */
static const char *lmdb_text(void)
{
    static char text[48];
    int major, minor, patch;

    mdb_version(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static void own(FILE *out, bool json)
{
    const struct version_fact libraries[] = {
        {"LMDB", lmdb_text()},
        {"zstd", ZSTD_versionString()},
        {"jansson", jansson_version_str()},
        {"libyaml", yaml_get_version_string()},
        {"libcyaml", cyaml_version_str},
        {"libmicrohttpd", monitor_library_version()},
        {NULL, NULL},
    };
    const struct version_fact facts[] = {{"onnx", export_has_onnx() ? "yes" : "no"}, {NULL, NULL}};

    version_print(out, &(struct version){"nasfarm", libraries, facts}, json);
}

static void read_all(int fd, char told[TOLD_BYTES])
{
    size_t len = 0;
    ssize_t n;

    while (len + 1 < TOLD_BYTES && (n = read(fd, told + len, TOLD_BYTES - 1 - len)) != 0) {
        if (n < 0 && errno != EINTR)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    told[len] = '\0';
}

/* What `PATH OPTION` prints. */
static int ask_program(char *path, char *option, char told[TOLD_BYTES], struct why *why)
{
    char *argv[] = {path, option, NULL};
    posix_spawn_file_actions_t actions;
    int ends[2], status = 0, err;
    pid_t pid;

    if (pipe(ends) != 0)
        return why_set(why, FARM_EIO, "cannot make a pipe: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    err = posix_spawn(&pid, path, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (err == 0) {
        read_all(ends[0], told);
        waitpid(pid, &status, 0);
    }
    close(ends[0]);
    if (err != 0)
        return why_set(why, FARM_EIO, "cannot start %s: %s", path, strerror(err));
    return status == 0 ? FARM_OK : why_set(why, FARM_EIO, "%s does not say its version", path);
}

/* A program that a search on this machine would start. */
static int ask(const char *name, char *option, char told[TOLD_BYTES], struct why *why)
{
    char path[LOCAL_PATH_MAX];
    int rc = local_program(name, path, why);

    return rc == FARM_OK ? ask_program(path, option, told, why) : rc;
}

static const char *const others[] = {"nasfarm-broker", "nasfarm-worker"};
#define OTHERS (sizeof others / sizeof others[0])

static void print_text(void)
{
    own(stdout, false);
    for (size_t i = 0; i < OTHERS; i++) {
        char option[] = "--version", told[TOLD_BYTES];
        struct why why = {""};

        if (ask(others[i], option, told, &why) == FARM_OK)
            printf("%s", told);
        else
            printf("%s: %s\n", others[i], why.text);
    }
}

/* One object: nasfarm's own facts, and those of the others by their names; null where one does not answer. */
static void print_json(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&text, &len);
    json_t *all;

    if (memory == NULL)
        return;
    own(memory, true);
    fclose(memory);
    all = json_loads(text, 0, NULL);
    for (size_t i = 0; i < OTHERS; i++) {
        char option[] = "--version=json", told[TOLD_BYTES];
        json_t *one = NULL;
        struct why why = {""};

        if (ask(others[i], option, told, &why) == FARM_OK)
            one = json_loads(told, 0, NULL);
        json_object_set_new(all, others[i], one != NULL ? one : json_null());
    }
    json_dumpf(all, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(all);
    free(text);
}

int cmd_version(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", KEY_JSON, NULL, 0, "as one JSON object", 0}, {0}};
    const struct argp argp = {
        .options = options,
        .parser = parse,
        .doc = "Says which version this is: the commit, compiler and flags that it was built from, "
               "the libraries that "
               "are loaded, and of the worker beside it OpenBLAS and the instruction set that is "
               "chosen on this processor.\v"
               "Examples:\n"
               "  nasfarm version\n"
               "  nasfarm version --json"};
    bool json = false;

    cli_parse(&argp, "version", argc, argv, &json);
    if (json)
        print_json();
    else
        print_text();
    return CLI_OK;
}
