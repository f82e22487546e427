/* report.c - see report.h. */
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- reading -------------------------------------------------------------------------------------------------- */

/* A copy in which the words that Python writes for numbers that are none are null. free() it. */
static char *without_nan(const char *line, size_t len)
{
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    char *copy = malloc(len + len / 3 + 2), *out = copy; /* NaN is the one that grows */
    bool quoted = false;

    while (copy != NULL && *line != '\0') {
        size_t skip = 0;

        for (size_t i = 0; !quoted && skip == 0 && i < sizeof words / sizeof words[0]; i++)
            if (strncmp(line, words[i], strlen(words[i])) == 0)
                skip = strlen(words[i]);
        if (skip > 0) {
            memcpy(out, "null", 4);
            out += 4;
            line += skip;
            continue;
        }
        if (quoted && *line == '\\' && line[1] != '\0')
            *out++ = *line++;
        else if (*line == '"')
            quoted = !quoted;
        *out++ = *line++;
    }
    if (copy != NULL)
        *out = '\0';
    return copy;
}

static json_t *parse(const char *line, size_t len)
{
    json_t *json = json_loadb(line, len, 0, NULL);
    char *copy = json == NULL ? without_nan(line, len) : NULL;

    if (copy != NULL)
        json = json_loads(copy, 0, NULL);
    free(copy);
    return json;
}

/* Absent or null: NaN, and FARM_OK. */
static int get_real(const json_t *json, const char *key, double *out, struct why *why)
{
    const json_t *value = json_object_get(json, key);

    *out = NAN;
    if (value == NULL || json_is_null(value))
        return FARM_OK;
    if (!json_is_number(value))
        return why_set(why, FARM_EINPUT, "\"%s\" is not a number", key);
    *out = json_number_value(value);
    return FARM_OK;
}

/* Absent or null: 0. */
static int get_time(const json_t *json, const char *key, double *out, struct why *why)
{
    int rc = get_real(json, key, out, why);

    if (rc == FARM_OK && *out < 0)
        return why_set(why, FARM_EINPUT, "\"%s\" is negative", key);
    if (!isfinite(*out))
        *out = 0;
    return rc;
}

/* Absent or null: 0. */
static int get_count(const json_t *json, const char *key, uint64_t most, uint64_t *out,
                     struct why *why)
{
    const json_t *value = json_object_get(json, key);

    *out = 0;
    if (value == NULL || json_is_null(value))
        return FARM_OK;
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > most)
        return why_set(why, FARM_EINPUT, "\"%s\" is not a whole number from 0 to %llu", key,
                       (unsigned long long)most);
    *out = (uint64_t)json_integer_value(value);
    return FARM_OK;
}

static int get_count32(const json_t *json, const char *key, uint32_t *out, struct why *why)
{
    uint64_t value;
    int rc = get_count(json, key, UINT32_MAX, &value, why);

    *out = (uint32_t)value;
    return rc;
}

/* Cut to size - 1 bytes at the end of a character of UTF-8, without control characters. */
static int get_text(const json_t *json, const char *key, char *out, size_t size, struct why *why)
{
    const json_t *value = json_object_get(json, key);

    out[0] = '\0';
    if (value == NULL || json_is_null(value))
        return FARM_OK;
    if (!json_is_string(value))
        return why_set(why, FARM_EINPUT, "\"%s\" is not a string", key);
    (void)snprintf(out, size, "%s", json_string_value(value));
    if (json_string_length(value) >= size) {
        size_t len = size - 1;

        while (len > 0 && ((unsigned char)out[len - 1] & 0xc0) == 0x80)
            len--;
        out[len > 0 && (unsigned char)out[len - 1] >= 0xc0 ? len - 1 : len] = '\0';
    }
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    return FARM_OK;
}

/* By name; OUTCOME_OK when it is not said. What only the farm itself can say is refused. */
static int get_outcome(const json_t *json, enum outcome *out, struct why *why)
{
    char name[32];
    int rc = get_text(json, "outcome", name, sizeof name, why);

    *out = OUTCOME_OK;
    if (rc != FARM_OK || name[0] == '\0')
        return rc;
    for (int i = OUTCOME_OK; i <= OUTCOME_REJECTED; i++)
        if (strcmp(name, outcome_name((enum outcome)i)) == 0) {
            *out = (enum outcome)i;
            return FARM_OK;
        }
    return why_set(
        why, FARM_EINPUT,
        "\"outcome\" is \"%s\": must be ok, diverged, out of memory, timeout, crashed or "
        "rejected",
        name);
}

static int get_progress(const json_t *json, struct progress *out, struct why *why)
{
    int rc;

    if ((rc = get_count32(json, "epoch", &out->epoch, why)) != FARM_OK ||
        (rc = get_count32(json, "epochs", &out->epochs, why)) != FARM_OK ||
        (rc = get_real(json, "accuracy", &out->accuracy, why)) != FARM_OK ||
        (rc = get_real(json, "loss", &out->loss, why)) != FARM_OK)
        return rc;
    return get_real(json, "train_loss", &out->train_loss, why);
}

static int get_result(const json_t *json, struct result *out, struct why *why)
{
    int rc;

    *out = (struct result){.outcome = OUTCOME_OK};
    if ((rc = get_outcome(json, &out->outcome, why)) != FARM_OK ||
        (rc = get_text(json, "reason", out->reason, sizeof out->reason, why)) != FARM_OK ||
        (rc = get_real(json, "accuracy", &out->fitness, why)) != FARM_OK ||
        (rc = get_real(json, "loss", &out->loss, why)) != FARM_OK ||
        (rc = get_real(json, "train_loss", &out->train_loss, why)) != FARM_OK ||
        (rc = get_real(json, "test_accuracy", &out->test_accuracy, why)) != FARM_OK ||
        (rc = get_real(json, "test_loss", &out->test_loss, why)) != FARM_OK ||
        (rc = get_count32(json, "n_validation", &out->n_validation, why)) != FARM_OK ||
        (rc = get_count32(json, "n_test", &out->n_test, why)) != FARM_OK ||
        (rc = get_count32(json, "epochs", &out->epochs, why)) != FARM_OK ||
        (rc = get_count(json, "images", INT64_MAX, &out->images, why)) != FARM_OK ||
        (rc = get_real(json, "train_s", &out->train_s, why)) != FARM_OK ||
        (rc = get_real(json, "eval_s", &out->eval_s, why)) != FARM_OK ||
        (rc = get_count(json, "peak_bytes", INT64_MAX, &out->peak_bytes, why)) != FARM_OK ||
        (rc = get_time(json, "latency_us", &out->latency_us, why)) != FARM_OK ||
        (rc = get_time(json, "latency_spread_us", &out->latency_spread_us, why)) != FARM_OK ||
        (rc = get_text(json, "isa", out->isa, sizeof out->isa, why)) != FARM_OK ||
        (rc = get_text(json, "made_by", out->made_by, sizeof out->made_by, why)) != FARM_OK)
        return rc;
    return get_count32(json, "blob_crc32", &out->blob_crc32, why);
}

enum said report_parse(struct report *out, char *line, size_t len, struct why *why)
{
    size_t blank = strspn(line, " \t\r");
    enum said said = SAID_OTHER;
    json_t *json;
    int rc = FARM_OK;

    if (line[blank] != '{' || (json = parse(line + blank, len - blank)) == NULL)
        return SAID_OTHER;
    if (json_is_true(json_object_get(json, "final"))) {
        said = SAID_FINAL;
        out->has_accuracy = json_object_get(json, "accuracy") != NULL;
        rc = get_result(json, &out->result, why);
    } else if (json_object_get(json, "epoch") != NULL) {
        said = SAID_REPORT;
        rc = get_progress(json, &out->progress, why);
    } else if (json_object_get(json, "tick") != NULL) {
        said = SAID_TICK;
        rc = get_count(json, "tick", INT64_MAX, &out->tick, why);
    }
    json_decref(json);
    return rc == FARM_OK ? said : SAID_WRONG;
}

/* ---- writing -------------------------------------------------------------------------------------------------- */

static int write_line(int fd, const char *line, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, line, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FARM_EIO;
        line += n;
        len -= (size_t)n;
    }
    return FARM_OK;
}

/* All 17 digits, so that the very same number is read. */
static const char *real(char text[32], double value)
{
    (void)snprintf(text, 32, isfinite(value) ? "%.17g" : "null", value);
    return text;
}

int report_write_tick(int fd, uint64_t tick)
{
    char line[64];
    int n = snprintf(line, sizeof line, "{\"tick\": %llu}\n", (unsigned long long)tick);

    return write_line(fd, line, (size_t)n);
}

int report_write_progress(int fd, const struct progress *p)
{
    char line[256], accuracy[32], loss[32], train_loss[32];
    int n = snprintf(line, sizeof line,
                     "{\"epoch\": %u, \"epochs\": %u, \"accuracy\": %s, \"loss\": %s, "
                     "\"train_loss\": %s}\n",
                     p->epoch, p->epochs, real(accuracy, p->accuracy), real(loss, p->loss),
                     real(train_loss, p->train_loss));

    return write_line(fd, line, (size_t)n);
}

/* What has no place between quotes as it is, has no place in a reason either. */
static void quote(char *out, size_t size, const char *from)
{
    (void)snprintf(out, size, "%s", from);
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == '\\' || (unsigned char)*p >= 0x7f)
            *p = '?';
        else if (*p == '"')
            *p = '\'';
}

int report_write_final(int fd, const struct result *r)
{
    char line[2048], reason[sizeof r->reason], isa[sizeof r->isa];
    char made_by[sizeof r->made_by], real_of[9][32];
    int n;

    quote(reason, sizeof reason, r->reason);
    quote(isa, sizeof isa, r->isa);
    quote(made_by, sizeof made_by, r->made_by);
    n = snprintf(
        line, sizeof line,
        "{\"final\": true, \"outcome\": \"%s\", \"reason\": \"%s\", \"accuracy\": %s, "
        "\"loss\": %s, \"train_loss\": %s, \"test_accuracy\": %s, \"test_loss\": %s, "
        "\"n_validation\": %u, \"n_test\": %u, \"epochs\": %u, \"images\": %llu, "
        "\"train_s\": %s, \"eval_s\": %s, \"peak_bytes\": %llu, \"isa\": \"%s\", "
        "\"made_by\": \"%s\", \"blob_crc32\": %u, \"latency_us\": %s, \"latency_spread_us\": %s}\n",
        outcome_name(r->outcome), reason, real(real_of[0], r->fitness), real(real_of[1], r->loss),
        real(real_of[2], r->train_loss), real(real_of[3], r->test_accuracy),
        real(real_of[4], r->test_loss), r->n_validation, r->n_test, r->epochs,
        (unsigned long long)r->images, real(real_of[5], r->train_s), real(real_of[6], r->eval_s),
        (unsigned long long)r->peak_bytes, isa, made_by, r->blob_crc32,
        real(real_of[7], r->latency_us), real(real_of[8], r->latency_spread_us));
    return write_line(fd, line, (size_t)n);
}
