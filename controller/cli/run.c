#include "run.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "clock.h"
#include "export.h"
#include "farm_loop.h"
#include "files.h"
#include "gauges.h"
#include "found.h"
#include "front.h"
#include "live.h"
#include "local.h"
#include "log.h"
#include "monitor.h"
#include "objectives.h"
#include "quota.h"
#include "scheduler.h"
#include "warm_start.h"

#define WAIT_SLICE_MS   10000  /* between two sentences about what is being waited for */
#define WAIT_BROKER_MS  30000  /* for a broker that never answered */
#define WAIT_LOCAL_MS   300000 /* for local workers to have read their data */
#define LOCAL_CHECK_MS  200
#define STOP_GRACE_MS   3000
#define STAY_TURN_MS    1000 /* a signal that comes just before poll() waits so long */
#define META_RUN        "run"
#define FINAL_WEIGHTS   "final.weights"
#define RECHECK_DEFAULT "1%" /* of a farm that others started */

struct run {
    const char *dir;
    struct run_config config;
    struct run_show show;
    struct experiment *experiment;
    struct local *local;
    struct farm_loop *farm;
    struct live *live;
    struct monitor *monitor;
    struct gauges gauges;
    struct wire_data data;
    struct space_config space; /* of a new search, but for the data's part */
    char log_file[600];
    int64_t checked_ms;
    bool made_folder, said_draining;
    bool trains; /* one network, without a search */
};

/* ------------------------------------------------------------------ signals */

static volatile sig_atomic_t stop_requests, stop_signal;

static void on_signal(int number)
{
    stop_requests = stop_requests + 1;
    stop_signal = number;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a poll wakes up */
    struct sigaction hangup;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN) /* not under nohup */
        sigaction(SIGHUP, &action, NULL);
}

/* ------------------------------------------------------------------ how it uses its farm, in the store */

/* As JSON, malloc'd; NULL with a sentence. */
static char *config_text(const struct run_config *c, struct why *why)
{
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:s,s:i,s:i,s:i,s:b}", "data", c->data, "broker", c->broker,
                  "evaluator", c->evaluator, "exec", c->exec, "workers", (int)c->workers, "slots",
                  (int)c->slots, "attempts", (int)c->attempts, "no_final", (int)c->no_final);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);
    if (text == NULL)
        (void)why_set(why, FARM_EINPUT, "an option is not UTF-8 text");
    return text;
}

static void copy_text(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text != NULL ? text : "");
}

static int load_config(struct store *store, struct run_config *out, struct why *why)
{
    char *text = NULL;
    const char *data, *broker, *evaluator, *exec;
    int workers, slots, attempts = 0, no_final;
    memset(out, 0, sizeof *out);
    int rc = store_get_meta(store, META_RUN, &text);
    if (rc == FARM_ENOTFOUND)
        return why_set(why, FARM_ECORRUPT,
                       "the store does not say how its farm was used: an older version was killed "
                       "in its first moment; remove the folder, and search again");
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read how the farm was used: %s", farm_strerror(rc));
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    if (json == NULL ||
        json_unpack(json, "{s:s,s:s,s:s,s:s,s:i,s:i,s?i,s:b}", "data", &data, "broker", &broker,
                    "evaluator", &evaluator, "exec", &exec, "workers", &workers, "slots", &slots,
                    "attempts", &attempts, "no_final", &no_final) != 0) {
        json_decref(json);
        return why_set(why, FARM_ECORRUPT,
                       "the store's record of how the farm was used is damaged");
    }
    copy_text(out->data, sizeof out->data, data);
    copy_text(out->broker, sizeof out->broker, broker);
    copy_text(out->evaluator, sizeof out->evaluator, evaluator);
    copy_text(out->exec, sizeof out->exec, exec);
    out->workers = (uint32_t)workers;
    out->slots = (uint32_t)slots;
    out->attempts = (uint32_t)attempts;
    out->no_final = no_final != 0;
    json_decref(json);
    return FARM_OK;
}

void run_data_name(const char *spec, char out[LIMIT_NAME + 1])
{
    size_t equals = strcspn(spec, "=:,"), n = 0;
    const char *name = spec, *end = spec + strlen(spec), *colon = strchr(spec, ':');
    if (spec[equals] == '=') {
        end = spec + equals;
    } else if (colon != NULL) {
        end -= strcspn(colon, "") > 1 && end[-1] == '/';
        name = end;
        while (name > colon + 1 && name[-1] != '/')
            name--;
        end = name + strcspn(name, ".,?/");
    }
    for (; name < end && n < LIMIT_NAME; name++)
        out[n++] = *name;
    out[n] = '\0';
    for (char *c = out; *c != '\0'; c++)
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              strchr("._-", *c) != NULL))
            *c = '_';
    if (n == 0)
        copy_text(out, LIMIT_NAME + 1, "data");
}

void run_name(struct settings *s, const char *what)
{
    char data[LIMIT_NAME + 1];
    bool chosen = s->name[0] != '\0' || s->out[0] != '\0';
    struct stat st;
    if (s->name[0] == '\0') {
        run_data_name(s->data, data);
        snprintf(s->name, sizeof s->name, "%.30s-%.30s", data, what);
        for (char *c = s->name; *c != '\0'; c++)
            if (*c == '+')
                *c = '-'; /* X+hyperparameters; a name has no plus */
    }
    if (s->out[0] == '\0')
        snprintf(s->out, sizeof s->out, "nasfarm-runs/%s", s->name);
    char base[sizeof s->name];
    memcpy(base, s->name, sizeof base);
    for (int i = 2; !chosen && i < 100000 && stat(s->out, &st) == 0; i++) {
        snprintf(s->name, sizeof s->name, "%.55s-%d", base, i);
        snprintf(s->out, sizeof s->out, "nasfarm-runs/%s", s->name);
    }
}

/* ------------------------------------------------------------------ the farm */

static void on_turn(const struct farm_view *view, int64_t now_ms, void *ctx)
{
    struct run *self = ctx;
    struct why why;
    if (self->local != NULL && self->experiment != NULL &&
        now_ms - self->checked_ms >= LOCAL_CHECK_MS) {
        self->checked_ms = now_ms;
        local_check(self->local, &why);
    }
    if (view->draining && !self->said_draining) {
        self->said_draining = true;
        log_info("stopping: the evaluations that have begun are waited for; once more stops at "
                 "once (they are then "
                 "evaluated again on resume)");
    }
    live_turn(self->live, view, now_ms);
}

static void on_result(const struct wire_key *key, const struct result *result, const char *worker,
                      void *ctx)
{
    struct run *self = ctx;
    if (!wire_rung_is_check(key->rung))
        gauges_result(&self->gauges, result);
    live_result(self->live, key, result, worker);
}

static void on_progress(const struct wire_key *key, const struct progress *progress,
                        const char *worker, void *ctx)
{
    live_progress(((struct run *)ctx)->live, key, progress, worker);
}

static const char *or_null(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static void write_metrics(struct metrics *out, void *ctx)
{
    static const struct farm_view nobody = {.busy_share = NAN};
    struct run *self = ctx;
    const struct farm_view *view =
        self->farm != NULL ? farm_view(farm_loop_farm(self->farm)) : &nobody;
    gauges_metrics(&self->gauges, view, self->experiment, out);
}

static int is_ready(void *ctx, struct why *why)
{
    struct run *self = ctx;
    if (self->farm == NULL || farm_view(farm_loop_farm(self->farm))->connected)
        return FARM_OK; /* without a farm: it is over, and waits for nobody */
    return why_set(why, FARM_ENET, "no broker answers");
}

static int open_monitor(struct run *self, struct why *why)
{
    const struct monitor_pages pages = {write_metrics, is_ready, self};
    if (self->show.metrics == NULL)
        return FARM_OK;
    int rc = monitor_open(&self->monitor, self->show.metrics, &pages, why);
    return rc == FARM_OK ? rc : why_prefix(why, rc, "--metrics");
}

static int start_local(struct run *self, struct why *why)
{
    const struct run_config *c = &self->config;
    uint32_t workers = c->workers > 0 ? c->workers : 1, cpus = quota_cpus("");
    struct local_options options = {.data = c->data,
                                    .evaluator = or_null(c->evaluator),
                                    .exec = or_null(c->exec),
                                    .workers = workers,
                                    .slots = c->slots > 0 ? c->slots
                                                          : (cpus > workers ? cpus / workers : 1),
                                    .log_file = self->log_file};
    snprintf(self->log_file, sizeof self->log_file, "%s/farm.log", self->dir);
    return local_start(&self->local, &options, why);
}

static int local_is_well(void *ctx, struct why *why)
{
    return local_check(((struct run *)ctx)->local, why);
}

/* Waits for a worker that offers the data: a local one for as long as it lives, one of a running farm as long as a
 * broker answers. name "": whatever is there. */
static int wait_for_data(struct run *self, const char *name, struct why *why)
{
    int64_t began = clock_ms();
    for (;;) {
        int rc =
            farm_loop_wait_data(self->farm, name, WAIT_SLICE_MS,
                                self->local != NULL ? local_is_well : NULL, self, &self->data, why);
        if (rc == FARM_OK && self->local != NULL)
            local_settled(self->local);
        if (rc != FARM_ENOTFOUND)
            return rc;
        int64_t waited = clock_ms() - began;
        if (self->local != NULL && waited > WAIT_LOCAL_MS)
            return FARM_EIO;
        const struct farm_view *view = farm_view(farm_loop_farm(self->farm));
        if (self->local == NULL && !view->connected && waited > WAIT_BROKER_MS)
            return FARM_ENET;
        if (self->local == NULL && name[0] == '\0' && view->n_data > 1)
            return FARM_EINPUT;
        log_warn("%s; waiting", why->text);
    }
}

/* Broker and workers of its own, or a connection to those that are there; and the data that workers have. */
static int open_farm(struct run *self, const char *run_name, uint64_t id, const char *data_name,
                     struct why *why)
{
    int rc = open_monitor(self, why);
    if (rc != FARM_OK)
        return rc;
    if (self->config.broker[0] == '\0' && (rc = start_local(self, why)) != FARM_OK)
        return rc;
    struct farm_options options = {
        .endpoint = self->local != NULL ? local_endpoint(self->local) : self->config.broker,
        .experiment = id,
        .final = !self->config.no_final,
        .attempts = self->config.attempts,
        .stop = &stop_requests,
        .monitor = self->monitor,
        .watch = {.turn = on_turn, .result = on_result, .progress = on_progress, .ctx = self}};
    if (self->local == NULL)
        options.keys = self->show.keys;
    snprintf(options.name, sizeof options.name, "%.50s-%08" PRIx32, run_name, (uint32_t)id);
    copy_text(options.data_name, sizeof options.data_name, data_name);
    if ((rc = farm_loop_create(&self->farm, &options, why)) != FARM_OK)
        return rc;
    if (self->local != NULL && !self->show.json && !self->show.quiet)
        printf("A farm of its own at %s; more workers: nasfarm-worker --broker %s --data %s\n",
               local_endpoint(self->local), local_endpoint(self->local), self->config.data);
    fflush(stdout);
    return wait_for_data(self, data_name, why);
}

static void close_all(struct run *self)
{
    monitor_close(&self->monitor);
    farm_loop_destroy(&self->farm);
    local_stop(&self->local, stop_requests > 1 ? 0 : STOP_GRACE_MS);
    live_destroy(&self->live);
    experiment_close(&self->experiment);
}

/* ------------------------------------------------------------------ the end */

static void print_event(json_t *event)
{
    json_dumpf(event, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
    printf("\n");
    json_decref(event);
}

static void save_picture(const struct run *self, const struct genome *genome, const char *title)
{
    char path[600], *dot = NULL, *svg = NULL;
    size_t len = 0;
    struct why why;
    if (export_picture_dot(experiment_space(self->experiment), genome, title, &dot) != FARM_OK)
        return;
    bool drawn = export_svg(dot, &svg, &len, &why) == FARM_OK;
    if (!drawn)
        log_info("%s", why.text);
    snprintf(path, sizeof path, "%s/best.%s", self->dir, drawn ? "svg" : "dot");
    if (file_write(path, drawn ? svg : dot, drawn ? len : strlen(dot), &why) != FARM_OK)
        log_warn("%s", why.text);
    else if (!self->show.json)
        printf("  %-18s %s\n", drawn ? "picture" : "picture (DOT)", path);
    free(svg);
    free(dot);
}

/* False when the evaluator returned none. */
static bool save_weights(const struct run *self)
{
    char path[600];
    uint8_t *bytes = NULL;
    size_t len = 0;
    struct why why;
    if (store_get_blob(experiment_store(self->experiment), FINAL_WEIGHTS, &bytes, &len) !=
            FARM_OK ||
        len == 0)
        return false;
    snprintf(path, sizeof path, "%s/best.weights", self->dir);
    if (file_write(path, bytes, len, &why) != FARM_OK)
        log_warn("%s", why.text);
    else if (!self->show.json)
        printf("  %-18s %s\n", "weights", path);
    free(bytes);
    return true;
}

/* A network with weights can leave; of another there is only a picture. */
static void print_next(const struct run *self, bool kept_weights)
{
    uint64_t trials = experiment_config(self->experiment)->trials;
    printf("\nNext:\n  nasfarm list %s\n  nasfarm export %s best %s\n"
           "  nasfarm resume %s --trials %" PRIu64 "\n",
           self->dir, self->dir,
           kept_weights ? "--onnx best.onnx" : "--svg --network -o best-network.svg", self->dir,
           2 * trials);
}

/* Where several objectives were asked for, the answer is not one network. */
static int show_front(const struct run *self, struct why *why)
{
    const struct experiment_config *c = experiment_config(self->experiment);
    struct store *store = experiment_store(self->experiment);
    struct objectives objectives;
    struct front front = {.n = 0};
    int rc = objectives_parse(&objectives, c->objective, c->max_latency_us, why);
    if (rc != FARM_OK || objectives.n == 1)
        return rc;
    if ((rc = front_collect(&front, store, &objectives, why)) == FARM_OK && self->show.json) {
        json_t *json = front_json(&front);
        json_object_set_new(json, "event", json_string("front"));
        print_event(json);
    } else if (rc == FARM_OK) {
        printf("\nNo trial beats these in %s:\n", c->objective);
        rc = front_print(&front, stdout, store, experiment_space(self->experiment), 12);
    }
    front_release(&front);
    return rc;
}

/* What was found: the tested network, or the best trial when there is no final training. */
static int show_found(struct run *self, struct why *why)
{
    struct store *store = experiment_store(self->experiment);
    struct experiment_summary summary;
    struct trial_record record;
    struct result final;
    uint64_t trial;
    char title[LIMIT_NAME + 40];
    experiment_summary(self->experiment, &summary);
    bool tested = experiment_final_result(store, &trial, &final) == FARM_OK;
    if (!tested && summary.ok == 0)
        return why_set(why, FARM_EIO, "no trial succeeded; `nasfarm list %s --failed` says why",
                       self->dir);
    if (!tested && summary.best_trial == UINT64_MAX)
        return why_set(why, FARM_EIO,
                       "%" PRIu64
                       " trials succeeded, and all of them are past the latency's bound; `nasfarm "
                       "front %s --objective accuracy,-latency` shows what there is",
                       summary.ok, self->dir);
    if (!tested)
        trial = summary.best_trial;
    int rc = store_get_trial(store, trial, &record);
    if (rc != FARM_OK)
        return why_set(why, rc, "cannot read trial %" PRIu64 ": %s", trial, farm_strerror(rc));
    if (self->show.json) {
        json_t *json =
            found_json(experiment_space(self->experiment), &record, tested ? &final : NULL);
        json_object_set_new(json, "event", json_string("found"));
        print_event(json);
    } else {
        printf("\n%s ", self->trains ? "The network is" : "The best network found is");
        found_print(stdout, experiment_space(self->experiment), &record, tested ? &final : NULL);
        printf("\n");
    }
    if ((rc = show_front(self, why)) != FARM_OK) {
        trial_record_release(&record);
        return rc;
    }
    snprintf(title, sizeof title, "%s, trial %" PRIu64, experiment_config(self->experiment)->name,
             trial);
    save_picture(self, record.genome, title);
    bool kept = tested && save_weights(self);
    trial_record_release(&record);
    if (!self->show.json && !self->trains)
        print_next(self, kept);
    if (tested && final.outcome != OUTCOME_OK)
        return why_set(why, FARM_EIO, "the final training ended as %s: %s",
                       outcome_name(final.outcome), final.reason);
    return FARM_OK;
}

static int say_stopped(const struct run *self, enum farm_end end)
{
    struct experiment_summary summary;
    const char *paused = farm_view(farm_loop_farm(self->farm))->paused;
    experiment_summary(self->experiment, &summary);
    if (self->show.json)
        print_event(json_pack("{s:s,s:I,s:s,s:s?}", "event", "stopped", "done",
                              (json_int_t)summary.durable, "dir", self->dir, "paused", paused));
    else
        printf("Stopped with %" PRIu64 " of %" PRIu64
               " trials recorded%s%s%s. To go on%s:\n  nasfarm resume %s\n",
               summary.durable, experiment_config(self->experiment)->trials,
               paused != NULL ? ", while no more could be (" : "", paused != NULL ? paused : "",
               paused != NULL ? ")" : "", paused != NULL ? " then" : "", self->dir);
    if (stop_signal == SIGINT)
        return CLI_INTERRUPTED;
    return end == FARM_END_DRAINED ? CLI_OK : 128 + SIGTERM;
}

/* The search is over, but where whatever ends is started again, it must not: it leaves the farm, and serves its pages until
 * it is told to go. */
static int stay(struct run *self, struct why *why)
{
    int64_t ms = 0;
    farm_loop_destroy(&self->farm);
    local_stop(&self->local, STOP_GRACE_MS);
    int rc = self->monitor == NULL ? open_monitor(self, why) : FARM_OK;
    if (rc == FARM_OK && stop_requests == 0)
        log_info("the search is over; staying until told to stop (--stay)");
    while (rc == FARM_OK && stop_requests == 0) {
        struct pollfd item = {monitor_fd(self->monitor), POLLIN, 0}; /* -1: ignored */
        (void)poll(&item, 1, (int)ms);
        ms = monitor_turn(self->monitor, STAY_TURN_MS);
    }
    return rc;
}

/* Of a search that came to its end with exit code `code`. */
static int over(struct run *self, int code)
{
    struct why why = {""};
    if (!self->show.stay)
        return code;
    fflush(stdout);
    int rc = stay(self, &why);
    return rc == FARM_OK ? code : cli_fail(rc, &why);
}

/* Runs the open experiment on the open farm, and shows what came of it. */
static int run(struct run *self)
{
    enum farm_end end = FARM_END_DONE;
    struct why why = {""};
    live_follow(self->live, self->experiment);
    int rc = farm_loop_run(self->farm, self->experiment, &end, &why);
    if (rc != FARM_OK)
        return cli_fail(rc, &why);
    live_close(self->live, farm_view(farm_loop_farm(self->farm)));
    if (end != FARM_END_DONE)
        return say_stopped(self, end);
    rc = show_found(self, &why);
    return over(self, rc == FARM_OK ? CLI_OK : cli_fail(rc, &why));
}

/* ------------------------------------------------------------------ search */

/* "asha,eta=3" is the scheduler asha with the options "eta=3". */
static void split_schedule(const char *text, char *name, size_t name_room, char *options,
                           size_t options_room)
{
    size_t len = strcspn(text, ",");

    (void)snprintf(name, name_room, "%.*s", (int)len, text);
    copy_text(options, options_room, text + len + (text[len] == ','));
}

static void fill_config(struct experiment_config *out, const struct settings *s,
                        const struct run *self)
{
    memset(out, 0, sizeof *out);
    copy_text(out->name, sizeof out->name, s->name);
    out->seed = s->seed;
    out->space = self->space;
    out->space.input = (struct graph_shape){self->data.h, self->data.w, self->data.c};
    out->space.classes = self->data.classes;
    copy_text(out->strategy, sizeof out->strategy, s->strategy);
    copy_text(out->strategy_options, sizeof out->strategy_options, s->strategy_options);
    split_schedule(s->schedule, out->scheduler, sizeof out->scheduler, out->scheduler_options,
                   sizeof out->scheduler_options);
    out->paused_bytes = s->max_paused;
    copy_text(out->start_from, sizeof out->start_from, s->start_from);
    out->trials = s->trials;
    out->recipe = s->recipe;
    out->final_recipe = s->final;
    copy_text(out->objective, sizeof out->objective, s->objective);
    copy_text(out->prefilter, sizeof out->prefilter, s->prefilter);
    /* A farm of one's own is one machine, and as a rule one worker. */
    copy_text(out->recheck, sizeof out->recheck,
              s->recheck[0] != '\0'            ? s->recheck
              : self->config.broker[0] != '\0' ? RECHECK_DEFAULT
                                               : "off");
    out->max_latency_us = s->max_latency;
    out->max_params = s->max_params;
    out->max_macs = s->max_macs;
    out->max_activation_bytes = s->max_memory;
    out->data = self->data;
    copy_text(out->data_spec, sizeof out->data_spec, self->config.data);
    out->train_known_again = s->train_known_again;
    out->redraws = s->redraws;
}

/* Mistakes in names and options are told before anything is started. */
static int check_names(struct run *self, const struct settings *s, struct why *why)
{
    struct space *space = NULL;
    struct strategy *strategy = NULL;
    struct scheduler *scheduler = NULL;
    struct objectives objectives;
    char name[32], scheduler_options[256];
    int rc = settings_space(s, &self->space, why);
    if (rc != FARM_OK)
        return rc;
    struct space_config config = self->space;
    config.input = (struct graph_shape){32, 32, 3};
    config.classes = 10;
    config.channels = config.cells = config.stages = config.stem_stride = 0;
    split_schedule(s->schedule, name, sizeof name, scheduler_options, sizeof scheduler_options);
    rc = space_open(&space, &config, why);
    if (rc == FARM_OK)
        rc = strategy_create(&strategy, s->strategy, s->strategy_options, space, s->seed, why);
    if (rc == FARM_OK)
        rc = objectives_parse(&objectives, s->objective, s->max_latency, why);
    if (rc == FARM_OK)
        rc = objectives_serve(&objectives, strategy, s->strategy, why);
    if (rc == FARM_OK)
        rc = scheduler_create(&scheduler, name, scheduler_options, s->recipe.epochs, s->seed, why);
    scheduler_destroy(&scheduler);
    strategy_destroy(&strategy);
    space_close(&space);
    return rc;
}

static void say_what(const struct run *self, const struct settings *s)
{
    if (self->show.json || self->show.quiet)
        return;
    if (self->trains)
        printf("Training %s%s on %s (%" PRIu32 "x%" PRIu32 "x%" PRIu32 ", %" PRIu32
               " classes, %" PRIu32 " images): %" PRIu32 " epochs, seed %" PRIu64 "; kept in %s\n",
               s->start_from[0] != '\0' ? "a network of space " : "",
               s->start_from[0] != '\0' ? self->space.name : strchr(s->space_options, '=') + 1,
               self->data.name, self->data.h, self->data.w, self->data.c, self->data.classes,
               self->data.n_train + self->data.n_test, s->final.epochs, s->seed, self->dir);
    else
        printf("Searching %s for %s (%" PRIu32 "x%" PRIu32 "x%" PRIu32 ", %" PRIu32
               " classes, %" PRIu32 " images): %s%s%s%s, %" PRIu64 " trials of %" PRIu32
               " epochs%s%s, seed %" PRIu64 "; kept in %s\n",
               self->space.name, self->data.name, self->data.h, self->data.w, self->data.c,
               self->data.classes, self->data.n_train + self->data.n_test, s->strategy,
               s->strategy_options[0] ? " (" : "", s->strategy_options,
               s->strategy_options[0] ? ")" : "", s->trials, s->recipe.epochs,
               strcmp(s->schedule, "full") != 0 ? " under " : "",
               strcmp(s->schedule, "full") != 0 ? s->schedule : "", s->seed, self->dir);
    fflush(stdout);
}

/* The one trial counts as done, so that what is left is the final training. It says that it never ran. */
static int skip_search(struct run *self, struct why *why)
{
    static const struct result none = {.outcome = OUTCOME_OK};
    struct proposal proposal;
    bool fresh;
    int rc = experiment_propose(self->experiment, &proposal, why);
    if (rc != FARM_OK)
        return rc;
    free(proposal.task);
    free(proposal.resume);
    rc = experiment_record(self->experiment, &proposal.key, &none, "", NULL, 0, &fresh, why);
    return rc == FARM_OK ? experiment_commit(self->experiment, why) : rc;
}

/* A folder or a file to start from becomes a list of what is in it. */
static int read_start(struct experiment_config *config, const struct settings *s, struct why *why)
{
    struct space *space = NULL;
    char *list = NULL;
    int rc = space_open(&space, &config->space, why);
    if (rc == FARM_OK)
        rc = warm_start_read(space, s->start_from, &list, why);
    if (rc == FARM_OK && (config->start_list = space_keep_definition(list)) == NULL)
        rc = why_set(why, FARM_ENOMEM, "no memory for what the search starts from");
    config->start_from[0] = '\0';
    free(list);
    space_close(&space);
    return rc;
}

static int prepare_search(struct run *self, const struct settings *s, struct why *why)
{
    struct experiment_config config;
    struct store_options store = {.no_sync = s->no_sync};
    struct store *there = NULL;
    uint64_t id;
    int rc = check_names(self, s, why);
    if (rc != FARM_OK)
        return rc;
    rc = store_open(&there, self->dir, STORE_READ, NULL, why);
    store_close(&there);
    if (rc != FARM_ENOTFOUND)
        return why_set(
            why, FARM_EINPUT,
            "%s already holds a search: go on with `nasfarm resume %s`, or choose another --out",
            self->dir, self->dir);
    if ((rc = folder_make(self->dir, &self->made_folder, why)) != FARM_OK)
        return rc;
    randombytes_buf(&id, sizeof id);
    id |= 1; /* 0 is nobody's */
    const char *wanted = self->config.broker[0] != '\0' ? self->config.data : "";
    if ((rc = open_farm(self, s->name, id, wanted, why)) != FARM_OK)
        return rc;
    farm_need_data(farm_loop_farm(self->farm), self->data.name);
    fill_config(&config, s, self);
    config.id = id;
    if (warm_start_is_path(s->start_from) && (rc = read_start(&config, s, why)) != FARM_OK)
        return rc;
    char *text = config_text(&self->config, why);
    if (text == NULL)
        return FARM_EINPUT;
    store.first_meta = META_RUN;
    store.first_text = text;
    rc = experiment_create(&self->experiment, self->dir, &config, &store, why);
    free(text);
    if (rc == FARM_OK && self->trains)
        rc = skip_search(self, why);
    if (rc == FARM_OK)
        say_what(self, s);
    return rc;
}

/* Nothing was found worth keeping: the folder is as it was. */
static void leave_no_trace(const struct run *self)
{
    if (self->log_file[0] != '\0')
        unlink(self->log_file);
    if (self->made_folder)
        rmdir(self->dir);
}

/* An image serves its pages unless told otherwise. */
static const char *metrics_address(const struct settings *settings)
{
    return settings->metrics[0] != '\0' ? settings->metrics : monitor_default();
}

static struct peer_keys keys_of(const struct settings *settings)
{
    struct peer_keys keys = {settings->key, settings->server_key, settings->insecure};
    peer_keys_from_environment(&keys);
    return keys;
}

static int start(const char *dir, const struct settings *settings, bool trains)
{
    struct run self = {.dir = dir,
                       .show = {settings->json, settings->quiet, metrics_address(settings),
                                keys_of(settings), settings->stay},
                       .trains = trains};
    struct why why = {""};
    copy_text(self.config.broker, sizeof self.config.broker, settings->broker);
    copy_text(self.config.evaluator, sizeof self.config.evaluator, settings->evaluator);
    copy_text(self.config.exec, sizeof self.config.exec, settings->exec);
    copy_text(self.config.data, sizeof self.config.data, settings->data);
    if (settings->broker[0] != '\0') { /* workers there have opened it: only its name is needed */
        char name[LIMIT_NAME + 1] = "";
        if (settings->given[settings_find("data") - settings_table])
            run_data_name(settings->data, name);
        copy_text(self.config.data, sizeof self.config.data, name);
    }
    self.config.workers = settings->workers;
    self.config.slots = settings->slots;
    self.config.attempts = settings->attempts;
    self.config.no_final = settings->no_final;
    catch_signals();
    if (settings->quiet)
        log_open("nasfarm", LOG_WARN);
    int code = CLI_FAILED;
    int rc = live_create(&self.live, settings->json    ? LIVE_JSON
                                     : settings->quiet ? LIVE_QUIET
                                                       : LIVE_AUTO);
    if (rc == FARM_OK)
        rc = prepare_search(&self, settings, &why);
    if (rc == FARM_OK) {
        code = run(&self);
    } else {
        bool nothing = self.experiment == NULL;
        close_all(&self);
        if (nothing)
            leave_no_trace(&self);
        return stop_requests > 0 && rc == FARM_EBUSY ? CLI_INTERRUPTED : cli_fail(rc, &why);
    }
    close_all(&self);
    return code;
}

/* Whether the folder holds a search. */
static bool holds_search(const char *dir)
{
    struct store *there = NULL;
    struct why why;
    bool holds = store_open(&there, dir, STORE_READ, NULL, &why) != FARM_ENOTFOUND;
    store_close(&there);
    return holds;
}

int run_search(const char *dir, const struct settings *settings)
{
    if (settings->go_on && holds_search(dir))
        return run_resume(dir, settings);
    return start(dir, settings, false);
}

int run_training(const char *dir, const struct settings *settings)
{
    return start(dir, settings, true);
}

/* ------------------------------------------------------------------ resume */

static bool given(const struct settings *s, const char *name)
{
    return s->given[settings_find(name) - settings_table];
}

static void override(struct run_config *c, const struct settings *s)
{
    if (given(s, "broker"))
        copy_text(c->broker, sizeof c->broker, s->broker);
    if (given(s, "evaluator") || given(s, "exec")) {
        copy_text(c->evaluator, sizeof c->evaluator, s->evaluator);
        copy_text(c->exec, sizeof c->exec, s->exec);
    }
    if (given(s, "data"))
        copy_text(c->data, sizeof c->data, s->data);
    if (given(s, "workers"))
        c->workers = s->workers;
    if (given(s, "slots"))
        c->slots = s->slots;
    if (given(s, "attempts"))
        c->attempts = s->attempts;
    if (given(s, "no-final"))
        c->no_final = s->no_final;
}

/* The search goes on with the data it began with, or not at all. */
static int check_data(const struct run *self, const struct wire_data *began, struct why *why)
{
    const struct farm_view *view = farm_view(farm_loop_farm(self->farm));
    for (size_t i = 0; i < view->n_data; i++)
        if (strcmp(view->data[i].name, began->name) == 0 &&
            view->data[i].fingerprint == began->fingerprint)
            return FARM_OK;
    return why_set(
        why, FARM_EINPUT,
        "the workers' data set \"%.64s\" is not the one that this search began with (fingerprint "
        "%016" PRIx64 ", not %016" PRIx64 "): give it the original files",
        began->name, self->data.fingerprint, began->fingerprint);
}

static int prepare_resume(struct run *self, const struct settings *s, bool *nothing_left,
                          struct why *why)
{
    struct store_options store = {.no_sync = s->no_sync};
    struct experiment_summary summary;
    int rc = experiment_open(&self->experiment, self->dir, &store, why);
    if (rc == FARM_OK)
        rc = load_config(experiment_store(self->experiment), &self->config, why);
    if (rc == FARM_OK && given(s, "trials") &&
        s->trials != experiment_config(self->experiment)->trials)
        rc = experiment_extend(self->experiment, s->trials, why);
    if (rc == FARM_OK)
        rc = experiment_commit(self->experiment, why);
    if (rc != FARM_OK)
        return rc;
    override(&self->config, s);
    const struct experiment_config *config = experiment_config(self->experiment);
    if (self->config.data[0] == '\0')
        copy_text(self->config.data, sizeof self->config.data, config->data_spec);
    experiment_summary(self->experiment, &summary);
    *nothing_left = summary.done >= config->trials && experiment_n_pending(self->experiment) == 0 &&
                    (summary.final_done || self->config.no_final);
    if (*nothing_left)
        return FARM_OK;
    if ((rc = open_farm(self, config->name, config->id, config->data.name, why)) != FARM_OK)
        return rc;
    if ((rc = check_data(self, &config->data, why)) == FARM_OK && !self->show.json &&
        !self->show.quiet)
        printf("Going on with %s: %" PRIu64 " of %" PRIu64
               " trials are recorded, %zu are pending\n",
               self->dir, summary.done, config->trials, experiment_n_pending(self->experiment));
    fflush(stdout);
    return rc;
}

int run_resume(const char *dir, const struct settings *settings)
{
    struct run self = {.dir = dir,
                       .show = {settings->json, settings->quiet, metrics_address(settings),
                                keys_of(settings), settings->stay}};
    struct why why = {""};
    bool nothing_left = false;
    int code = CLI_FAILED;
    catch_signals();
    if (settings->quiet)
        log_open("nasfarm", LOG_WARN);
    int rc = live_create(&self.live, settings->json    ? LIVE_JSON
                                     : settings->quiet ? LIVE_QUIET
                                                       : LIVE_AUTO);
    if (rc == FARM_OK)
        rc = prepare_resume(&self, settings, &nothing_left, &why);
    if (rc == FARM_OK && nothing_left && !settings->json)
        printf("All trials are recorded already; --trials N adds more.\n");
    if (rc == FARM_OK && nothing_left)
        rc = show_found(&self, &why);
    if (rc != FARM_OK)
        code = stop_requests > 0 && rc == FARM_EBUSY ? CLI_INTERRUPTED : cli_fail(rc, &why);
    else
        code = nothing_left ? CLI_OK : run(&self);
    if (nothing_left)
        code = over(&self, code);
    close_all(&self);
    return code;
}
