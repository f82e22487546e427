#include "live.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "text.h"

#define LIVE_MS  200  /* between two drawings of the live line */
#define PLAIN_MS 5000 /* between two plain lines */
#define RATE_S   10.0 /* the rate is an average that forgets with this time constant */

struct live {
    enum live_style style;
    bool terminal, drawn, paused;
    int64_t paused_ms; /* when the pause began */
    const struct experiment *experiment;
    int64_t started_ms, shown_ms, rate_ms,
        final_began_ms; /* the last: 0 before the final training */
    uint64_t done_at_start, rate_done, final_epoch, final_epochs;
    double rate; /* trials a second, NaN: not known yet */
    double final_accuracy;
    char line[256];
};

static void hide(struct live *self)
{
    if (self->drawn && write(STDERR_FILENO, "\r\033[K", 4) < 0) {
        /* a terminal that has gone needs no clearing */
    }
    self->drawn = false;
}

static void draw(struct live *self)
{
    struct winsize size;
    size_t width =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
    char out[300];
    int n = snprintf(out, sizeof out, "\r%.*s\033[K", (int)(width - 1), self->line);
    if (n > 0 && write(STDERR_FILENO, out, (size_t)n) < 0) {
        /* likewise */
    }
    self->drawn = true;
}

static void on_log_line(int hide_it, void *ctx)
{
    struct live *self = ctx;
    if (hide_it)
        hide(self);
    else if (self->line[0] != '\0')
        draw(self);
}

int live_create(struct live **out, enum live_style style)
{
    struct live *self = calloc(1, sizeof *self);
    if (self == NULL)
        return FARM_ENOMEM;
    self->style = style;
    const char *term = getenv("TERM"); /* a dumb one cannot redraw its line */
    self->terminal =
        style == LIVE_AUTO && isatty(STDERR_FILENO) && (term == NULL || strcmp(term, "dumb") != 0);
    self->rate = self->final_accuracy = NAN;
    if (self->terminal)
        log_on_line(on_log_line, self);
    *out = self;
    return FARM_OK;
}

void live_destroy(struct live **self)
{
    if (*self == NULL)
        return;
    if ((*self)->terminal) {
        log_on_line(NULL, NULL);
        hide(*self);
    }
    free(*self);
    *self = NULL;
}

void live_follow(struct live *self, const struct experiment *experiment)
{
    struct experiment_summary summary;
    self->experiment = experiment;
    if (experiment == NULL)
        return;
    experiment_summary(experiment, &summary);
    self->done_at_start = self->rate_done = summary.done;
    self->started_ms = self->rate_ms = self->shown_ms = clock_ms();
}

static void update_rate(struct live *self, uint64_t done, int64_t now)
{
    double s = (double)(now - self->rate_ms) / 1000.0;
    if (s < 0.5)
        return;
    double recent = (double)(done - self->rate_done) / s;
    double overall = (double)(done - self->done_at_start) /
                     fmax((double)(now - self->started_ms) / 1000.0, 1e-3);
    bool young = now - self->started_ms < (int64_t)(RATE_S * 1000);
    self->rate = young || isnan(self->rate)
                     ? overall
                     : self->rate + (recent - self->rate) * (1 - exp(-s / RATE_S));
    self->rate_done = done;
    self->rate_ms = now;
}

static void compose(struct live *self, const struct farm_view *view,
                    const struct experiment_summary *summary, uint64_t trials)
{
    char best[64] = "", mean[32] = "", busy[32] = "", left[32] = "", failed[32] = "", out[40] = "";
    if (view->paused != NULL) {
        snprintf(self->line, sizeof self->line, "PAUSED: %s", view->paused);
        return;
    }
    if (view->finishing) {
        if (self->final_epochs > 0)
            snprintf(self->line, sizeof self->line,
                     "training the best, trial %" PRIu64 ": epoch %" PRIu64 "/%" PRIu64,
                     summary->best_trial, self->final_epoch, self->final_epochs);
        else
            snprintf(self->line, sizeof self->line, "training the best, trial %" PRIu64,
                     summary->best_trial);
        return;
    }
    if (!isnan(summary->best_fitness))
        snprintf(best, sizeof best, "  best %.4f", summary->best_fitness);
    if (!isnan(summary->population_mean))
        snprintf(mean, sizeof mean, "  mean %.4f", summary->population_mean);
    if (!isnan(view->busy_share))
        snprintf(busy, sizeof busy, "  busy %.0f %%", 100 * view->busy_share);
    if (summary->failed > 0)
        snprintf(failed, sizeof failed, "  failed %" PRIu64, summary->failed);
    if (summary->checks.untrusted > 0)
        snprintf(out, sizeof out, "  not trusted %" PRIu64, summary->checks.untrusted);
    if (self->rate > 0 && !view->draining) {
        char time[24];
        text_duration((double)(trials - (summary->done < trials ? summary->done : trials)) /
                          self->rate,
                      time, sizeof time);
        snprintf(left, sizeof left, "  %s left", time);
    }
    snprintf(self->line, sizeof self->line,
             "%s%" PRIu64 "/%" PRIu64 "  %.*f/s  %" PRIu32 " running%s%s%s%s%s%s",
             !view->connected ? "no broker  "
             : view->draining ? "draining  "
                              : "",
             summary->done, trials, self->rate < 100 ? 1 : 0, isnan(self->rate) ? 0.0 : self->rate,
             view->busy, best, mean, failed, out, busy, left);
}

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void print_json(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(10));
    if (text != NULL) {
        puts(text);
        fflush(stdout);
    }
    free(text);
    json_decref(line);
}

static void print_progress(const struct live *self, const struct farm_view *view,
                           const struct experiment_summary *summary, uint64_t trials)
{
    print_json(json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:o,s:i,s:i,s:i,s:o,s:o,s:o,s:I,s:b,s:b,s:s?}", "event", "progress",
        "done", (json_int_t)summary->done, "trials", (json_int_t)trials, "failed",
        (json_int_t)summary->failed, "known", (json_int_t)summary->known, "per_second",
        number(self->rate), "running", (int)view->busy, "slots", (int)view->slots, "workers",
        (int)view->workers, "best", number(summary->best_fitness), "mean",
        number(summary->population_mean), "busy_share", number(view->busy_share), "untrusted",
        (json_int_t)summary->checks.untrusted, "finishing", (int)view->finishing, "draining",
        (int)view->draining, "paused", view->paused));
}

/* At once, when a pause begins and when it ends. */
static void tell_pause(struct live *self, const struct farm_view *view, int64_t now)
{
    bool paused = view->paused != NULL;
    if (paused == self->paused)
        return;
    self->paused = paused;
    if (paused)
        self->paused_ms = now;
    if (self->style != LIVE_JSON)
        return;
    if (paused)
        print_json(json_pack("{s:s,s:s}", "event", "paused", "reason", view->paused));
    else
        print_json(json_pack("{s:s,s:o}", "event", "resumed", "seconds",
                             number((double)(now - self->paused_ms) / 1000.0)));
}

void live_turn(struct live *self, const struct farm_view *view, int64_t now)
{
    tell_pause(self, view, now);
    if (self->final_began_ms == 0 && view->finishing)
        self->final_began_ms = now;
    if (self->experiment == NULL || self->style == LIVE_QUIET)
        return;
    if (now - self->shown_ms < (self->terminal ? LIVE_MS : PLAIN_MS))
        return;
    struct experiment_summary summary;
    uint64_t trials = experiment_config(self->experiment)->trials;
    experiment_summary(self->experiment, &summary);
    update_rate(self, summary.done, now);
    self->shown_ms = now;
    if (self->style == LIVE_JSON) {
        print_progress(self, view, &summary, trials);
        return;
    }
    compose(self, view, &summary, trials);
    if (self->terminal)
        draw(self);
    else
        fprintf(stderr, "%s\n", self->line);
}

void live_result(struct live *self, const struct wire_key *key, const struct result *result,
                 const char *worker)
{
    bool final = key->rung == WIRE_RUNG_FINAL;
    if (self->style == LIVE_JSON)
        print_json(json_pack(
            "{s:s,s:I,s:s,s:o,s:o,s:s,s:s,s:o,s:i,s:s,s:s}", "event",
            final                           ? "final"
            : wire_rung_is_check(key->rung) ? "check"
                                            : "result",
            "trial", (json_int_t)key->trial, "outcome", outcome_name(result->outcome), "fitness",
            number(result->fitness), "test_accuracy", number(result->test_accuracy), "reason",
            result->reason, "worker", worker, "seconds", number(result->eval_s), "epochs",
            (int)result->epochs, "isa", result->isa, "made_by", result->made_by));
}

void live_progress(struct live *self, const struct wire_key *key, const struct progress *progress,
                   const char *worker)
{
    if (key->rung == WIRE_RUNG_FINAL) {
        self->final_epoch = progress->epoch;
        self->final_epochs = progress->epochs;
    }
    if (self->style == LIVE_JSON)
        print_json(json_pack("{s:s,s:I,s:i,s:i,s:o,s:o,s:s}", "event", "epoch", "trial",
                             (json_int_t)key->trial, "epoch", (int)progress->epoch, "epochs",
                             (int)progress->epochs, "accuracy", number(progress->accuracy), "loss",
                             number(progress->loss), "worker", worker));
}

void live_close(struct live *self, const struct farm_view *view)
{
    if (self->experiment == NULL)
        return;
    struct experiment_summary summary;
    int64_t now = clock_ms(), ended = self->final_began_ms > 0 ? self->final_began_ms : now;
    double s = (double)(ended - self->started_ms) / 1000.0,
           final_s = (double)(now - ended) / 1000.0;
    char took[24], final[24];
    experiment_summary(self->experiment, &summary);
    uint64_t durable = summary.durable, /* the rest of what is done is not recorded */
        done = durable > self->done_at_start ? durable - self->done_at_start : 0;
    if (self->terminal)
        hide(self);
    self->line[0] = '\0';
    if (self->style == LIVE_JSON) {
        print_json(json_pack(
            "{s:s,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "event", "end", "done",
            (json_int_t)durable, "failed", (json_int_t)summary.failed, "known",
            (json_int_t)summary.known, "redrawn", (json_int_t)summary.redrawn, "seconds", number(s),
            "per_second", number((double)done / fmax(s, 1e-3)), "busy_share",
            number(view->busy_share), "duplicates", (json_int_t)view->duplicates, "retried",
            (json_int_t)view->retried, "confirmed", (json_int_t)summary.checks.confirmed, "refuted",
            (json_int_t)summary.checks.refuted + (json_int_t)summary.checks.disputed, "untrusted",
            (json_int_t)summary.checks.untrusted, "refused", (json_int_t)view->refused));
        return;
    }
    text_duration(s, took, sizeof took);
    text_duration(final_s, final, sizeof final);
    printf("%" PRIu64 " trials recorded in %s (%.1f a second)", done, took,
           (double)done / fmax(s, 1e-3));
    if (summary.known > 0)
        printf(", %" PRIu64 " networks were known already", summary.known);
    if (summary.redrawn > 0)
        printf(", %" PRIu64 " proposals of known ones drawn again", summary.redrawn);
    if (summary.filtered > 0)
        printf(", %" PRIu64 " not trained (--prefilter)", summary.filtered);
    if (summary.failed > 0)
        printf(", %" PRIu64 " failed", summary.failed);
    if (summary.checks.confirmed > 0)
        printf(", %" PRIu64 " results confirmed by another worker", summary.checks.confirmed);
    if (summary.checks.refuted + summary.checks.disputed > 0)
        printf(", %" PRIu64 " refuted", summary.checks.refuted + summary.checks.disputed);
    if (summary.checks.untrusted > 0)
        printf(", %" PRIu64 " workers not trusted", summary.checks.untrusted);
    if (!isnan(view->busy_share))
        printf("; slots were busy %.2f %% of the time", 100 * view->busy_share);
    if (self->final_began_ms > 0)
        printf("; the final training took %s", final);
    printf(".\n");
    fflush(stdout);
}
