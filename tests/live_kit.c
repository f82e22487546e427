/* live_kit.c - see live_kit.h. */
#include "live_kit.h"

#include <check.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "farm_kit.h"
#include "store.h"
#include "witness_kit.h"

#define PATIENCE_MS 60000
#define LOOK_MS     5

static const char *log_of(const struct live *self, size_t which)
{
    static char path[320];

    (void)snprintf(path, sizeof path, "%s/%zu.log", self->folder, which);
    return path;
}

static const char *end_of_log(const struct live *self, size_t which)
{
    static char end[700];
    char *text = kit_read(log_of(self, which));
    size_t len = strlen(text), most = sizeof end - 1;

    (void)snprintf(end, sizeof end, "%s", text + (len > most ? len - most : 0));
    free(text);
    return end;
}

/* ---------------------------------------------------------------- processes */

/* On its node, with what is preloaded into it. */
static pid_t start(struct live *self, size_t which, const char *const *argv)
{
    pid_t pid;

    if (self->lan != NULL)
        lan_enter(self->lan, which);
    if (self->fault != NULL) {
        (void)setenv("LD_PRELOAD", LIB_FAULT, 1);
        (void)setenv("NASFARM_FAULT", self->fault, 1);
        (void)setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    }
    pid = kit_start(argv, log_of(self, which));
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("NASFARM_FAULT");
    (void)unsetenv("ASAN_OPTIONS");
    if (self->lan != NULL)
        lan_leave(self->lan);
    return pid;
}

static void start_search(struct live *self)
{
    char trials[24];
    const char *argv[] = {BIN_NASFARM,
                          "search",
                          "--broker",
                          self->endpoint,
                          "--insecure",
                          "--out",
                          self->run,
                          "--space",
                          "nasbench201",
                          "--data",
                          "digits",
                          "--strategy-options",
                          "population=20,sample=5",
                          "--train-known-again",
                          "--no-final",
                          "--recheck",
                          "off", /* every evaluation is a trial's */
                          "--seed",
                          "7",
                          "--continue",
                          "--trials",
                          trials,
                          NULL};

    (void)snprintf(trials, sizeof trials, "%" PRIu64, self->trials);
    self->pids[LIVE_CONTROLLER] = start(self, LIVE_CONTROLLER, argv);
}

void live_start(struct live *self, size_t which)
{
    char page[40], name[16];
    const char *broker[] = {
        BIN_BROKER,    "--listen", self->endpoint, "--insecure",
        "--heartbeat", "100",      "--lease",      self->lease_ms != NULL ? self->lease_ms : "1000",
        "--metrics",   page,       "--max-losses", "1000000",
        "--settle",    "2500",     "--straggler",  "0",
        NULL};
    const char *worker[] = {BIN_WORKER,    "--broker",      self->endpoint, "--insecure", "--slots",
                            "2",           "--name",        name,           "--data",     "digits",
                            "--evaluator", self->evaluator, "--metrics",    page,         NULL};

    (void)snprintf(page, sizeof page, "127.0.0.1:%d", self->pages[which]);
    (void)snprintf(name, sizeof name, "worker-%zu", which);
    if (which == LIVE_CONTROLLER)
        start_search(self);
    else
        self->pids[which] = start(self, which, which == LIVE_BROKER ? broker : worker);
}

static void must_live(struct live *self, size_t which)
{
    int status;

    if (self->pids[which] > 0 && kit_ended(self->pids[which], &status)) {
        self->pids[which] = 0;
        ck_abort_msg("process %zu ended by itself with status %d: ...%s", which, status,
                     end_of_log(self, which));
    }
}

void live_kill(struct live *self, size_t which)
{
    must_live(self, which);
    kit_kill(self->pids[which]);
    live_start(self, which);
}

void live_open(struct live *self, size_t workers, uint64_t trials, unsigned least_ms,
               unsigned most_ms)
{
    kit_folder(self->folder, sizeof self->folder, "live");
    (void)snprintf(self->run, sizeof self->run, "%s/run", self->folder);
    (void)snprintf(self->endpoint, sizeof self->endpoint, "tcp://%s:%d",
                   self->lan != NULL ? "10.77.0.1" : "127.0.0.1", kit_free_port());
    (void)snprintf(self->evaluator, sizeof self->evaluator, "synthetic:%u-%u", least_ms, most_ms);
    self->trials = trials;
    self->n = LIVE_FIRST_WORKER + workers;
    for (size_t i = 0; i < self->n; i++) {
        self->pages[i] = kit_free_port();
        live_start(self, i);
    }
    (void)live_goes_on(self, 0, PATIENCE_MS, "at the start");
}

void live_close(struct live *self)
{
    for (size_t i = 0; i < self->n; i++)
        if (self->pids[i] > 0)
            kit_kill(self->pids[i]);
    if (self->folder[0] != '\0')
        kit_remove(self->folder);
}

/* ---------------------------------------------------------------- the search */

uint64_t live_events(const struct live *self)
{
    struct store *store = NULL;
    struct why why;
    uint64_t n = 0;

    if (store_open(&store, self->run, STORE_READ, NULL, &why) == FARM_OK)
        n = store_n_events(store);
    store_close(&store);
    return n;
}

int64_t live_goes_on(struct live *self, uint64_t events, int64_t most_ms, const char *story)
{
    int64_t began = clock_ms();

    while (live_events(self) <= events && !live_ended(self)) {
        ck_assert_msg(clock_ms() - began < most_ms,
                      "%s: nothing more is recorded after %lld ms: %s", story,
                      (long long)(clock_ms() - began), end_of_log(self, LIVE_CONTROLLER));
        (void)poll(NULL, 0, LOOK_MS);
    }
    return clock_ms() - began;
}

bool live_ended(struct live *self)
{
    int status;

    if (self->pids[LIVE_CONTROLLER] == 0)
        return true;
    if (!kit_ended(self->pids[LIVE_CONTROLLER], &status))
        return false;
    self->pids[LIVE_CONTROLLER] = 0;
    ck_assert_msg(status == 0, "the search exits %d: %s", status,
                  end_of_log(self, LIVE_CONTROLLER));
    return true;
}

static bool count_bad(const struct event *e, void *ctx)
{
    uint64_t *bad = ctx;

    *bad += e->kind == EVENT_RESULT && e->outcome != OUTCOME_OK;
    return true;
}

void live_judge(struct live *self, const char *story)
{
    const char *replay[] = {BIN_NASFARM, "replay", self->run, NULL};
    struct witness nobody = {0};
    struct store *store = NULL;
    struct verdict v;
    struct why why;
    uint64_t bad = 0;

    while (!live_ended(self))
        (void)live_goes_on(self, live_events(self), PATIENCE_MS, story);
    v = witness_check(&nobody, self->run);
    ck_assert_msg(v.trials == self->trials && v.done == self->trials && v.twice == 0,
                  "%s: %" PRIu64 " of %" PRIu64 " trials have a result, %" PRIu64 " twice", story,
                  v.done, self->trials, v.twice);
    ck_assert_msg(store_open(&store, self->run, STORE_READ, NULL, &why) == FARM_OK &&
                      store_each_event(store, 0, count_bad, &bad, &why) == FARM_OK,
                  "%s: %s", story, why.text);
    store_close(&store);
    ck_assert_msg(bad == 0, "%s: %" PRIu64 " results are failures", story, bad);
    ck_assert_msg(kit_run(replay, log_of(self, LIVE_CONTROLLER), 60) == 0, "%s: replay: %s", story,
                  end_of_log(self, LIVE_CONTROLLER));
}

double live_number(const struct live *self, size_t which, const char *name)
{
    char *page;
    double n;

    if (self->lan != NULL)
        lan_enter(self->lan, which);
    page = kit_metrics(self->pages[which]);
    if (self->lan != NULL)
        lan_leave(self->lan);
    ck_assert_msg(page[0] == '\0' || strstr(page, name) != NULL, "process %zu tells no %s", which,
                  name);
    n = kit_metric(page, name);
    free(page);
    return n;
}

double live_workers_number(const struct live *self, const char *name)
{
    double sum = 0;

    for (size_t i = LIVE_FIRST_WORKER; i < self->n; i++)
        sum += live_number(self, i, name);
    return sum;
}
