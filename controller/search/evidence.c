/* evidence.c - see evidence.h. */
#include "evidence.h"

#include <math.h>
#include <stdlib.h>

static bool is_result(const struct history_entry *e)
{
    return e->state == HISTORY_OK && isfinite(e->fitness);
}

static int largest_first(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a < b) - (a > b);
}

/* The largest budget that `enough` results have reached; NAN: there are not so many. */
static double common_budget(const struct history *history, size_t enough, double *room)
{
    size_t n = 0;

    for (size_t i = 0; i < history->n; i++)
        if (is_result(&history->entries[i]))
            room[n++] = history->entries[i].budget;
    if (n < enough || n == 0)
        return NAN;
    qsort(room, n, sizeof *room, largest_first);
    return room[enough > 0 ? enough - 1 : 0];
}

/* The best first, the failed last, of equals the earlier trial. */
static int best_first(const void *left, const void *right)
{
    const struct history_entry *a = *(const struct history_entry *const *)left,
                               *b = *(const struct history_entry *const *)right;

    if (is_result(a) != is_result(b))
        return is_result(a) ? -1 : 1;
    if (is_result(a) && a->fitness != b->fitness)
        return a->fitness < b->fitness ? 1 : -1;
    return (a->trial > b->trial) - (a->trial < b->trial);
}

static void standardize(double *losses, size_t n)
{
    double mean = 0, squares = 0;

    for (size_t i = 0; i < n; i++)
        mean += losses[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (losses[i] - mean) * (losses[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++)
        losses[i] = squares > 0 && isfinite(squares) ? (losses[i] - mean) / sqrt(squares) : 0;
}

int evidence_gather(struct evidence *self, const struct history *history, size_t enough)
{
    double budget, worst = 0;

    self->n = 0;
    self->entries = calloc(history->n + 1, sizeof(const struct history_entry *));
    self->losses = calloc(history->n + 1, sizeof *self->losses);
    if (self->entries == NULL || self->losses == NULL) {
        evidence_release(self);
        return FARM_ENOMEM;
    }
    budget = common_budget(history, enough, self->losses);
    for (size_t i = 0; i < history->n && !isnan(budget); i++) {
        const struct history_entry *e = &history->entries[i];

        if (is_result(e) ? e->budget >= budget : e->state != HISTORY_PENDING)
            self->entries[self->n++] = e;
    }
    qsort(self->entries, self->n, sizeof(const struct history_entry *), best_first);
    for (size_t i = 0; i < self->n; i++)
        self->losses[i] = worst = is_result(self->entries[i]) ? -self->entries[i]->fitness : worst;
    standardize(self->losses, self->n);
    return FARM_OK;
}

void evidence_release(struct evidence *self)
{
    free(self->entries);
    free(self->losses);
    *self = (struct evidence){0};
}
