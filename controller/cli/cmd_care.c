/* cmd_care.c - what keeps a store well: verify, backup, compact. */
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "care.h"
#include "cli.h"
#include "experiment.h"
#include "text.h"

struct care_args {
    const char *dir, *dest;
    bool json, quick, wants_dest;
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct care_args *args = state->input;
    switch (key) {
    case 'j': args->json = true; return 0;
    case 'q': args->quick = true; return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num == 0)
            args->dir = arg;
        else if (state->arg_num == 1 && args->wants_dest)
            args->dest = arg;
        else
            argp_error(state, "\"%s\" is one argument too many", arg);
        return 0;
    case ARGP_KEY_END:
        if (args->dir == NULL)
            argp_error(state, "which run? Give its folder");
        if (args->wants_dest && args->dest == NULL)
            argp_error(state, "where to? Give a folder that is not there yet");
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* Pages that LMDB believes and that are damaged lead anywhere. */
static void on_fault(int number)
{
    static const char text[] =
        "nasfarm: the store's data.mdb is damaged: its pages cannot be followed: take the store "
        "back from a backup\n";
    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0) {
        /* nowhere left to say so */
    }
    _exit(CLI_FAILED);
}

static void expect_damage(void)
{
    signal(SIGSEGV, on_fault);
    signal(SIGBUS, on_fault);
    signal(SIGABRT, on_fault);
    signal(SIGFPE, on_fault);
}

/* ------------------------------------------------------------------ verify */

static void say_problem(const char *sentence, void *ctx)
{
    (void)ctx;
    fprintf(stderr, "nasfarm: %s\n", sentence);
}

static void print_json(const struct store_check *c, const struct replay_report *replayed,
                       const char *sentence)
{
    json_t *json =
        json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:s?}", "whole", sentence == NULL,
                  "problems", (json_int_t)c->problems, "records", (json_int_t)c->records, "events",
                  (json_int_t)c->events, "trials", (json_int_t)c->trials, "results",
                  (json_int_t)c->results, "blobs", (json_int_t)c->blobs, "blob_bytes",
                  (json_int_t)c->blob_bytes, "replayed", replayed != NULL, "problem", sentence);
    json_dumpf(json, stdout, JSON_INDENT(1));
    printf("\n");
    json_decref(json);
}

static void print_whole(const struct store_check *c, const struct replay_report *replayed)
{
    char records[28], blobs[28], state[33];
    text_thousands(c->records, records);
    text_thousands(c->blobs, blobs);
    printf("whole: %s records (%s of them blobs, %.1f MB) match their checksums; journal, trials, "
           "results and indexes agree\n",
           records, blobs, (double)c->blob_bytes / 1e6);
    if (replayed == NULL)
        return;
    digest_hex(&replayed->state, state);
    printf("the search, derived again from its journal, is the one that is stored, bit for bit\n"
           "  state    %s\n",
           state);
}

int cmd_verify(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"json", 'j', NULL, 0, "as a JSON object", 0},
        {"quick", 'q', NULL, 0, "records and tables only: the search is not derived again", 0},
        {0}};
    static const struct argp argp = {
        .options = options,
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Is the store whole? Reads every record and blob and compares it with its checksum; "
               "compares journal, trials, results, indexes and population with one another; then "
               "derives the search again from its journal, as `nasfarm replay` does. Changes "
               "nothing; a search may run meanwhile. Exit code 1 when something is damaged: each "
               "problem is told on standard error.\v"
               "Example:\n  nasfarm verify nasfarm-runs/digits-nasbench201"};
    struct care_args args = {0};
    struct store_check check;
    struct replay_report replayed;
    struct why why = {""};
    cli_parse(&argp, "verify", argc, argv, &args);
    expect_damage();
    int rc = store_verify(args.dir, args.json ? NULL : say_problem, NULL, &check, &why);
    bool damaged = rc == FARM_ECORRUPT && check.problems > 0;
    if (rc == FARM_OK && !args.quick)
        rc = experiment_replay(args.dir, &replayed, &why);
    if (args.json && (rc == FARM_OK || rc == FARM_ECORRUPT))
        print_json(&check, rc == FARM_OK && !args.quick ? &replayed : NULL,
                   rc == FARM_OK ? NULL : why.text);
    if (rc == FARM_OK) {
        if (!args.json)
            print_whole(&check, args.quick ? NULL : &replayed);
        return CLI_OK;
    }
    if (damaged && !args.json)
        (void)why_set(&why, rc,
                      "%" PRIu64 " problem%s in %.120s: stop the search, and take the store back "
                      "from a backup (`nasfarm backup` makes them)",
                      check.problems, check.problems == 1 ? "" : "s", args.dir);
    return cli_fail(rc, &why);
}

/* ------------------------------------------------------------------ backup */

int cmd_backup(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "DIR DEST",
        .doc = "Copies the store of a run, as it was committed last, into the new folder DEST; the "
               "search may go on meanwhile. The copy is synced and verified before it gets its "
               "name: DEST is there whole, or not at all. `nasfarm resume DEST` goes on from it.\v"
               "Example:\n  nasfarm backup nasfarm-runs/digits-nasbench201 /backup/digits-monday"};
    struct care_args args = {.wants_dest = true};
    struct store_check check;
    struct why why = {""};
    char records[28];
    cli_parse(&argp, "backup", argc, argv, &args);
    expect_damage();
    int rc = store_backup(args.dir, args.dest, &check, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    text_thousands(check.records, records);
    printf("%s: %s records of %" PRIu64 " trials, verified\n", args.dest, records, check.trials);
    return CLI_OK;
}

/* ------------------------------------------------------------------ compact */

int cmd_compact(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = parse,
        .args_doc = "DIR",
        .doc = "Writes the store of a run anew without the pages that it does not need any more, "
               "verifies that, and puts it in the old one's place at once. Needs as much room "
               "again while it works, and nobody else at the store: it is refused while a search "
               "runs.\v"
               "Example:\n  nasfarm compact nasfarm-runs/digits-nasbench201"};
    struct care_args args = {0};
    struct why why = {""};
    uint64_t before = 0, after = 0;
    cli_parse(&argp, "compact", argc, argv, &args);
    expect_damage();
    int rc = store_compact(args.dir, &before, &after, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    printf("%s: %.1f MB, was %.1f MB\n", args.dir, (double)after / 1e6, (double)before / 1e6);
    return CLI_OK;
}
