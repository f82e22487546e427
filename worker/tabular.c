/* tabular.c - see tabular.h. */
#include "tabular.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_rows.h"

struct tabular {
    struct bench_rows *rows;
    double scale, speed;
};

/* ---------------------------------------------------------------- opening */

static int take_number(const char *text, size_t len, const char *name, double *out, struct why *why)
{
    char *end;

    *out = strtod(text, &end);
    if (len > 0 && end == text + len && isfinite(*out) && *out >= 0)
        return FARM_OK;
    return why_set(why, FARM_EINPUT, "%s\"%.*s\" must be a number from 0 on", name,
                   (int)(len < 40 ? len : 40), text);
}

/* Everything behind the file's name. */
static int read_options(struct tabular *self, const char *text, struct bench_columns *columns,
                        struct why *why)
{
    int rc = FARM_OK;

    *columns = (struct bench_columns){.key = "arch", .seconds = "1"};
    while (*text == ',' && rc == FARM_OK) {
        size_t len = strcspn(++text, ",");

        if (strncmp(text, "scale=", 6) == 0)
            rc = take_number(text + 6, len - 6, "scale=", &self->scale, why);
        else if (strncmp(text, "speed=", 6) == 0)
            rc = take_number(text + 6, len - 6, "speed=", &self->speed, why);
        else
            rc = bench_columns_set(columns, text, len, why);
        text += len;
    }
    if (rc == FARM_OK && columns->fitness[0] == '\0')
        rc = why_set(why, FARM_EINPUT, "it needs fitness=NAME, the column of what is raised");
    return rc;
}

int tabular_open(struct tabular **out, const char *text, struct why *why)
{
    struct tabular *self = calloc(1, sizeof *self);
    size_t len = strcspn(text, ",");
    char *path = strndup(text, len);
    struct bench_columns columns;
    int rc = FARM_ENOMEM;

    if (self != NULL && path != NULL) {
        self->scale = 1;
        if ((rc = read_options(self, text + len, &columns, why)) != FARM_OK)
            (void)why_prefix(why, rc, "table %s", path);
        else
            rc = bench_rows_open(&self->rows, path, &columns, why);
    }
    free(path);
    if (rc != FARM_OK)
        tabular_close(&self);
    *out = self;
    return rc;
}

void tabular_close(struct tabular **self)
{
    if (*self == NULL)
        return;
    bench_rows_close(&(*self)->rows);
    free(*self);
    *self = NULL;
}

/* ---------------------------------------------------------------- answering */

static void reject(struct result *out, const char *format, const char *text, uint32_t a, uint32_t b)
{
    out->outcome = OUTCOME_REJECTED;
    (void)snprintf(out->reason, sizeof out->reason, format, text, a, b);
}

void tabular_result(const struct tabular *self, const struct task *task, struct result *out)
{
    const struct recipe *r = &task->recipe;
    const char *name = task->architecture != NULL ? task->architecture : "";
    uint32_t asked = r->pause_epochs > 0 ? r->pause_epochs : r->epochs;
    uint32_t budgets = bench_rows_budgets(self->rows), budget = asked;
    size_t row = bench_rows_find(self->rows, name, strcspn(name, ";"));

    *out = (struct result){.outcome = OUTCOME_OK,
                           .loss = NAN,
                           .train_loss = NAN,
                           .test_accuracy = NAN,
                           .test_loss = NAN,
                           .epochs = asked,
                           .isa = "table"};
    if (budgets == 1 && (r->pause_epochs == 0 || r->pause_epochs == r->epochs))
        budget = 1;
    if (r->final && budget > budgets)
        budget = budgets;
    if (name[0] == '\0') {
        reject(out,
               "the task does not say its architecture: its controller is older than this worker%s",
               "", 0, 0);
    } else if (row == SIZE_MAX) {
        reject(out, "the table has no row '%.150s'", name, 0, 0);
    } else if (budget > budgets) {
        reject(out, "%sthe task asks for %u epochs, and the table has %u budgets", "", asked,
               budgets);
    } else {
        out->fitness = bench_rows_fitness(self->rows, row, budget) * self->scale;
        out->train_s = bench_rows_seconds(self->rows, row, budget);
        if (r->final)
            out->test_accuracy = bench_rows_test(self->rows, row) * self->scale;
        if (r->final && isnan(out->test_accuracy))
            reject(out, "the table has no test of '%.150s': name its column with test=", name, 0,
                   0);
        else if (!isfinite(out->fitness)) {
            out->outcome = OUTCOME_DIVERGED;
            (void)snprintf(out->reason, sizeof out->reason,
                           "the table says that this training failed");
        }
    }
}

uint32_t tabular_ms(const struct tabular *self, const struct result *result)
{
    double ms = self->speed > 0 ? result->train_s * 1000 / self->speed : 0;

    return ms > 0 ? (uint32_t)fmin(ms, 86400000) : 0;
}
