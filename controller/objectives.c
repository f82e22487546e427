/* objectives.c - see objectives.h. */
#include "objectives.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[METRICS] = {"accuracy", "loss",   "params",
                                           "macs",     "memory", "latency"};

const char *metric_name(enum metric metric)
{
    return names[metric];
}

double metric_of(enum metric metric, const struct trial_record *record)
{
    switch (metric) {
    case METRIC_ACCURACY: return record->result.fitness;
    case METRIC_LOSS: return record->result.loss;
    case METRIC_PARAMS: return (double)record->params;
    case METRIC_MACS: return (double)record->macs;
    case METRIC_MEMORY: return (double)record->activation_bytes;
    case METRIC_LATENCY: return record->result.latency_us > 0 ? record->result.latency_us : NAN;
    case METRICS: break;
    }
    return NAN;
}

/* ---------------------------------------------------------------- reading */

static int find_metric(const char *text, size_t len, enum metric *out, struct why *why)
{
    for (int m = 0; m < METRICS; m++)
        if (strlen(names[m]) == len && memcmp(names[m], text, len) == 0) {
            *out = (enum metric)m;
            return FARM_OK;
        }
    return why_set(why, FARM_EINPUT,
                   "'%.*s': there are accuracy, loss, params, macs, memory and latency",
                   (int)(len < 40 ? len : 40), text);
}

/* A number of this metric with its unit, which ends at *end. */
static int read_amount(enum metric metric, const char *text, char **end, double *out,
                       struct why *why)
{
    static const struct {
        const char *unit;
        double factor;
        bool time;
    } units[] = {{"us", 1, true},      {"ms", 1e3, true},       {"s", 1e6, true},
                 {"KiB", 1024, false}, {"MiB", 1 << 20, false}, {"GiB", 1 << 30, false},
                 {"KB", 1e3, false},   {"MB", 1e6, false},      {"GB", 1e9, false},
                 {"k", 1e3, false},    {"M", 1e6, false},       {"G", 1e9, false}};
    size_t len;

    *out = strtod(text, end);
    len = strcspn(*end, ",");
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strlen(units[i].unit) == len && memcmp(units[i].unit, *end, len) == 0 &&
            units[i].time == (metric == METRIC_LATENCY)) {
            *out *= units[i].factor;
            *end += len;
            break;
        }
    /* Of counts a part of one would be kept as 0, which is no bound at all. */
    if (*end == text || (**end != ',' && **end != '\0') || !isfinite(*out) ||
        !(metric == METRIC_LATENCY ? *out > 0 : *out >= 1))
        return why_set(why, FARM_EINPUT, "'%.40s' is no %s: %s behind it", text, names[metric],
                       metric == METRIC_LATENCY
                           ? "a number above 0, with us, ms or s"
                           : "a number from 1 on, with k, M, G, KiB, MiB or GiB");
    return FARM_OK;
}

static int read_one(struct objectives *self, const char *text, size_t len, struct why *why)
{
    bool sign = len > 0 && (text[0] == '-' || text[0] == '+');
    struct objective one = {.lower = len > 0 && text[0] == '-'};
    int rc;

    if (self->n == OBJECTIVES_MAX)
        return why_set(why, FARM_EINPUT, "more than %d objectives", OBJECTIVES_MAX);
    if ((rc = find_metric(text + sign, len - sign, &one.metric, why)) != FARM_OK)
        return rc;
    if (!sign && one.metric != METRIC_ACCURACY)
        return why_set(why, FARM_EINPUT,
                       "'%s' would be raised: write -%s to lower it (or +%s if you mean it)",
                       names[one.metric], names[one.metric], names[one.metric]);
    for (uint32_t i = 0; i < self->n; i++)
        if (self->of[i].metric == one.metric)
            return why_set(why, FARM_EINPUT, "%s is named twice", names[one.metric]);
    self->of[self->n++] = one;
    return FARM_OK;
}

/* One KEY=VALUE of a reward, or "hard". */
static int read_reward_option(struct objectives *self, const char *text, size_t len,
                              struct why *why)
{
    const struct {
        const char *key;
        double *first, *second;
    } keys[] = {{"w=", &self->reward.alpha, &self->reward.beta},
                {"alpha=", &self->reward.alpha, NULL},
                {"beta=", &self->reward.beta, NULL}};
    char *end;

    if (len == 4 && memcmp(text, "hard", 4) == 0) {
        self->reward = (struct reward){self->reward.target, REWARD_HARD};
        return FARM_OK;
    }
    if (strncmp(text, "target=", 7) == 0)
        return read_amount(self->cost, text + 7, &end, &self->reward.target, why);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (strncmp(text, keys[i].key, strlen(keys[i].key)) == 0) {
            double v = strtod(text + strlen(keys[i].key), &end);

            if (end != text + len || !isfinite(v) || v > 0 || v < -100)
                break;
            *keys[i].first = v;
            if (keys[i].second != NULL)
                *keys[i].second = v;
            return FARM_OK;
        }
    return why_set(why, FARM_EINPUT,
                   "mnasnet: '%.*s' is none of target=AMOUNT, w=, alpha= and beta= (numbers from "
                   "-100 to 0), and hard",
                   (int)(len < 40 ? len : 40), text);
}

static int read_reward(struct objectives *self, const char *text, struct why *why)
{
    size_t len = strcspn(text, ",");
    int rc = find_metric(text, len, &self->cost, why);

    self->rewarded = true;
    self->n = 1;
    self->reward = (struct reward){0, REWARD_SOFT};
    for (text += len; *text == ',' && rc == FARM_OK; text += len) {
        text++;
        len = strcspn(text, ",");
        rc = read_reward_option(self, text, len, why);
    }
    if (rc == FARM_OK && (self->cost == METRIC_ACCURACY || self->cost == METRIC_LOSS))
        rc = why_set(why, FARM_EINPUT, "mnasnet: the cost is params, macs, memory or latency");
    if (rc == FARM_OK && self->reward.target <= 0)
        rc = why_set(why, FARM_EINPUT, "mnasnet: it needs a target, as in mnasnet:%s,target=10M",
                     names[self->cost]);
    return rc;
}

int objectives_parse(struct objectives *out, const char *text, double max_latency_us,
                     struct why *why)
{
    int rc = FARM_OK;

    *out = (struct objectives){.max_latency_us = max_latency_us};
    if (strncmp(text, "mnasnet:", 8) == 0) {
        rc = read_reward(out, text + 8, why);
    } else {
        const char *at = text[0] == '\0' ? names[METRIC_ACCURACY] : text;

        for (;;) {
            size_t len = strcspn(at, ",");

            if ((rc = read_one(out, at, len, why)) != FARM_OK || at[len] == '\0')
                break;
            at += len + 1;
        }
    }
    return rc == FARM_OK ? rc : why_prefix(why, rc, "objective '%.60s'", text);
}

int bounds_parse(struct bounds *self, const char *text, struct why *why)
{
    for (const char *at = text; *at != '\0';) {
        size_t len = strcspn(at, "<,");
        enum metric metric;
        char *end;
        double most;
        int rc = find_metric(at, len, &metric, why);

        if (rc == FARM_OK && (at[len] != '<' || metric == METRIC_ACCURACY || metric == METRIC_LOSS))
            rc = why_set(why, FARM_EINPUT,
                         "'%.40s': bounds are params<N, macs<N, memory<BYTES and latency<TIME", at);
        if (rc == FARM_OK)
            rc = read_amount(metric, at + len + 1, &end, &most, why);
        if (rc != FARM_OK)
            return why_prefix(why, rc, "constraint '%.60s'", text);
        switch (metric) {
        case METRIC_PARAMS: self->params = (uint64_t)fmin(most, 1e18); break;
        case METRIC_MACS: self->macs = (uint64_t)fmin(most, 1e18); break;
        case METRIC_MEMORY: self->memory_bytes = (uint64_t)fmin(most, 1e18); break;
        default: self->latency_us = most; break;
        }
        at = end + (*end == ',');
    }
    return FARM_OK;
}

/* ---------------------------------------------------------------- telling */

int objectives_serve(const struct objectives *self, const struct strategy *strategy,
                     const char *name, struct why *why)
{
    if (self->n == 1 || strategy_takes_objectives(strategy))
        return FARM_OK;
    return why_set(
        why, FARM_EINPUT,
        "strategy %s raises one number, and there are %u objectives: take nsga2, or make them one "
        "(mnasnet:COST,target=AMOUNT)",
        name, self->n);
}

bool objectives_plain(const struct objectives *self)
{
    return self->n == 1 && !self->rewarded && self->of[0].metric == METRIC_ACCURACY &&
           !self->of[0].lower && self->max_latency_us <= 0;
}

bool objectives_use(const struct objectives *self, enum metric metric)
{
    if (self->rewarded ? self->cost == metric || metric == METRIC_ACCURACY
                       : metric == METRIC_LATENCY && self->max_latency_us > 0)
        return true;
    for (uint32_t i = 0; i < self->n && !self->rewarded; i++)
        if (self->of[i].metric == metric)
            return true;
    return self->max_latency_us > 0 && metric == METRIC_LATENCY;
}

void objective_print(const struct objectives *self, uint32_t i, char *out, size_t size)
{
    if (self->rewarded)
        snprintf(out, size, "accuracy * (%s / %g)^w", names[self->cost], self->reward.target);
    else
        snprintf(out, size, "%s%s", self->of[i].lower ? "-" : "", names[self->of[i].metric]);
}

int objectives_of(const struct objectives *self, const struct trial_record *record,
                  double out[OBJECTIVES_MAX], double *violation, struct why *why)
{
    enum metric missing = METRICS;
    double latency_us = metric_of(METRIC_LATENCY, record);

    *violation = 0;
    if (self->max_latency_us > 0 && isnan(latency_us))
        missing = METRIC_LATENCY;
    else if (self->max_latency_us > 0 && latency_us > self->max_latency_us)
        *violation = latency_us / self->max_latency_us - 1;
    if (self->rewarded) {
        double accuracy = record->result.fitness;

        out[0] =
            reward_of(&self->reward, accuracy > 0 ? accuracy : 0, metric_of(self->cost, record));
        if (!isfinite(out[0]))
            missing = self->cost;
    }
    for (uint32_t i = 0; i < self->n && !self->rewarded; i++) {
        double v = metric_of(self->of[i].metric, record);

        out[i] = self->of[i].lower ? -v : v;
        if (!isfinite(v))
            missing = self->of[i].metric;
    }
    if (missing == METRICS)
        return FARM_OK;
    return why_set(why, FARM_EINPUT, "its %s, which is an objective, was not measured%s",
                   names[missing],
                   missing == METRIC_LATENCY ? ": this evaluator does not report latency_us" : "");
}
