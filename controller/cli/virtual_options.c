#include "virtual_options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

enum {
    KEY_SPACE = 700,
    KEY_TABLE,
    KEY_COLUMNS,
    KEY_WORKERS,
    KEY_TIME,
    KEY_TRIALS,
    KEY_REDRAWS,
    KEY_SECONDS,
    KEY_SPREAD,
    KEY_STRAGGLERS,
    KEY_CRASHES,
    KEY_AHEAD,
    KEY_DELAY,
    KEY_LOSS,
    KEY_BACKUPS,
    KEY_HEARTBEAT,
    KEY_GENERATIONS,
    KEY_CSV,
    KEY_SVG
};

void virtual_options_init(struct virtual_options *self)
{
    *self = (struct virtual_options){
        .space_name = "nasbench201",
        .config = {.workers = 1, .seed = 1, .redraws = 20, .seconds = 1, .straggler_factor = 20}};
}

void virtual_options_quiet(void)
{
    log_open("nasfarm", LOG_ERROR);
}

double virtual_options_number(const struct argp_state *state, const char *name, const char *text,
                              double lo, double hi)
{
    char *end;
    double v = strtod(text, &end);

    if (end == text || *end != '\0' || !(v >= lo && v <= hi))
        argp_error(state, "--%s: \"%s\" is no number from %.9g to %.9g", name, text, lo, hi);
    return v;
}

void split_name(const char *text, char name[32], const char **options)
{
    size_t len = strcspn(text, ",");

    if (len > 31)
        len = 31; /* no name is so long: it will be unknown */
    memcpy(name, text, len);
    name[len] = '\0';
    text += strcspn(text, ",");
    *options = text + (*text == ',');
}

/* SHARE or SHARE,FACTOR */
static void parse_stragglers(struct virtual_options *self, const struct argp_state *state,
                             const char *text)
{
    char share[32];
    const char *factor;

    split_name(text, share, &factor);
    self->config.stragglers = virtual_options_number(state, "stragglers", share, 0, 1);
    if (*factor != '\0')
        self->config.straggler_factor = virtual_options_number(state, "stragglers", factor, 1, 1e6);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct virtual_options *self = state->input;
    struct virtual_config *c = &self->config;

    switch (key) {
    case KEY_SPACE: self->space_name = arg; return 0;
    case KEY_TABLE: self->table_path = arg; return 0;
    case KEY_COLUMNS: self->columns = arg; return 0;
    case KEY_CSV: self->csv = arg; return 0;
    case KEY_SVG: self->svg = arg; return 0;
    case KEY_WORKERS:
        c->workers =
            (uint32_t)virtual_options_number(state, "workers", arg, 1, VIRTUAL_WORKERS_MAX);
        return 0;
    case KEY_TIME: c->limit_s = virtual_options_number(state, "time", arg, 0, 1e12); return 0;
    case KEY_TRIALS:
        c->limit_trials = (uint64_t)virtual_options_number(state, "trials", arg, 1, 1e9);
        return 0;
    case KEY_REDRAWS:
        c->redraws = (uint32_t)virtual_options_number(state, "redraws", arg, 0, 1000);
        return 0;
    case KEY_SECONDS:
        c->seconds = virtual_options_number(state, "seconds", arg, 1e-9, 1e9);
        return 0;
    case KEY_SPREAD: c->spread = virtual_options_number(state, "spread", arg, 0, 10); return 0;
    case KEY_STRAGGLERS: parse_stragglers(self, state, arg); return 0;
    case KEY_CRASHES: c->crashes = virtual_options_number(state, "crashes", arg, 0, 0.99); return 0;
    case KEY_AHEAD:
        c->ahead = (uint32_t)virtual_options_number(state, "ahead", arg, 0, 1000);
        return 0;
    case KEY_DELAY: c->delay_s = virtual_options_number(state, "delay", arg, 0, 1e6); return 0;
    case KEY_LOSS: c->loss = virtual_options_number(state, "loss", arg, 0, 0.9); return 0;
    case KEY_BACKUPS: c->backups = virtual_options_number(state, "backups", arg, 0, 1e6); return 0;
    case KEY_HEARTBEAT:
        c->heartbeat_s = virtual_options_number(state, "heartbeat", arg, 0.001, 1e6);
        return 0;
    case KEY_GENERATIONS:
        c->generations = true;
        c->generation_size = (uint32_t)virtual_options_number(state, "generations", arg, 1, 1e6);
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

const struct argp *virtual_options_argp(void)
{
    static const struct argp_option options[] = {
        {"space", KEY_SPACE, "NAME", 0, "the search space (nasbench201)", 1},
        {"table", KEY_TABLE, "FILE", 0,
         "a tabular benchmark, CSV or gzipped: what each architecture reaches, and how long it "
         "takes; without one "
         "the fitness is made up",
         1},
        {"columns", KEY_COLUMNS, "K=NAME,...", 0,
         "of the table: key (the architecture in the space's notation; none: the rows themselves "
         "are the space), "
         "fitness (-NAME: smaller is better; NAME*: one a budget), seconds (of the whole training, "
         "or a number: of "
         "one unit of budget), test, skip (so many of the fitness columns at the start are no "
         "budget)",
         1},
        {"workers", KEY_WORKERS, "N", 0, "virtual workers (1)", 2},
        {"time", KEY_TIME, "SECONDS", 0, "no evaluation begins later, in virtual time", 2},
        {"trials", KEY_TRIALS, "N", 0, "no more trials than this", 2},
        {"redraws", KEY_REDRAWS, "N", 0,
         "draw again when a proposal is known (20); 0: evaluate it again, as tabular benchmarks do",
         2},
        {"seconds", KEY_SECONDS, "X", 0, "of one unit of budget, without a table (1)", 3},
        {"spread", KEY_SPREAD, "SIGMA", 0,
         "durations vary by a log-normal factor of mean 1 and this deviation of its logarithm (0)",
         3},
        {"stragglers", KEY_STRAGGLERS, "SHARE[,FACTOR]", 0,
         "share of the jobs that take so many times as long (0,20)", 3},
        {"crashes", KEY_CRASHES, "SHARE", 0, "share of the jobs whose worker dies half way (0)", 3},
        {"ahead", KEY_AHEAD, "N", 0, "tasks that wait in each worker's hand (0)", 3},
        {"delay", KEY_DELAY, "SECONDS", 0,
         "of each message, on average: uniform from half to one and a half of it (0)", 3},
        {"loss", KEY_LOSS, "SHARE", 0, "share of the messages that are lost (0)", 3},
        {"backups", KEY_BACKUPS, "FACTOR", 0,
         "a job that runs so many times as long as the median gets a second copy on an idle worker "
         "(0: none)",
         3},
        {"heartbeat", KEY_HEARTBEAT, "SECONDS", 0,
         "where messages are lost, or backups are given: how often each party says what it has (1)",
         3},
        {"generations", KEY_GENERATIONS, "SIZE", 0,
         "with a barrier, for comparison: a new generation begins when the last of the one before "
         "has finished",
         3},
        {"csv", KEY_CSV, "FILE", 0, "write the best so far over time", 4},
        {"svg", KEY_SVG, "FILE", 0, "draw it", 4},
        {0}};
    static const struct argp argp = {.options = options, .parser = parse};

    return &argp;
}

/* ------------------------------------------------------------------ the table's columns */

static int read_columns(struct bench_columns *out, const char *text, bool *keyed, struct why *why)
{
    int rc = FARM_OK;

    *out = (struct bench_columns){.seconds = "1"};
    while (text != NULL && *text != '\0' && rc == FARM_OK) {
        size_t len = strcspn(text, ",");

        if ((rc = bench_columns_set(out, text, len, why)) != FARM_OK)
            return why_prefix(why, rc, "--columns");
        text += len + (text[len] == ',');
    }
    *keyed = out->key[0] != '\0';
    if (rc == FARM_OK && out->fitness[0] == '\0')
        rc = why_set(why, FARM_EINPUT, "--table needs --columns fitness=NAME");
    return rc;
}

int virtual_options_open(struct virtual_options *self, struct why *why)
{
    struct space_config config = {.input = {32, 32, 3}, .classes = 10};
    struct bench_columns columns;
    bool keyed = true;
    int rc = FARM_OK;

    if (self->table_path == NULL && self->columns != NULL)
        return why_set(why, FARM_EINPUT, "--columns belongs to --table");
    if (self->table_path != NULL)
        rc = read_columns(&columns, self->columns, &keyed, why);
    strncpy(config.name, self->space_name, sizeof config.name - 1);
    if (rc == FARM_OK && keyed)
        rc = space_open(&self->space, &config, why);
    if (rc == FARM_OK && self->table_path != NULL)
        rc = bench_table_open(&self->table, self->table_path, &columns, keyed ? self->space : NULL,
                              why);
    self->config.table = self->table;
    self->config.space = keyed ? self->space : bench_table_space(self->table);
    return rc;
}

void virtual_options_close(struct virtual_options *self)
{
    bench_table_close(&self->table);
    if (self->space != NULL)
        space_close(&self->space);
}
