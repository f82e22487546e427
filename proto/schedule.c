/* schedule.c - see schedule.h. */
#include "schedule.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBERS (SCHEDULE_EPOCHS + 1)

static const struct {
    const char *name, *form;
    enum schedule_kind kind;
    uint32_t least, most; /* numbers behind the name */
} kinds[] = {
    {"cosine", "cosine or cosine:FLOOR", SCHEDULE_COSINE, 0, 1},
    {"constant", "constant", SCHEDULE_CONSTANT, 0, 0},
    {"step", "step:EPOCHS,FACTOR", SCHEDULE_STEP, 2, 2},
    {"milestones", "milestones:E1,E2,...,FACTOR with at most 8 epochs", SCHEDULE_MILESTONES, 2,
     NUMBERS},
    {"exponential", "exponential:FACTOR", SCHEDULE_EXPONENTIAL, 1, 1},
};

/* Comma-separated numbers; UINT32_MAX when they are none, or too many. */
static uint32_t read_numbers(double numbers[NUMBERS], const char *text)
{
    uint32_t n = 0;

    while (*text != '\0') {
        char *end;

        /* strtod also takes hexadecimal, "inf" and "nan", which nobody means */
        if (n == NUMBERS || strchr("0123456789.", *text) == NULL)
            return UINT32_MAX;
        numbers[n] = strtod(text, &end);
        if (end == text || !isfinite(numbers[n]) || strcspn(text, "xX") < (size_t)(end - text))
            return UINT32_MAX;
        n++;
        if (*end != ',' && *end != '\0')
            return UINT32_MAX;
        text = *end == ',' ? end + 1 : end;
        if (*end == ',' && *text == '\0')
            return UINT32_MAX;
    }
    return n;
}

static int take_epochs(struct schedule *out, const double *numbers, uint32_t n, const char *text,
                       struct why *why)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!(numbers[i] > (i > 0 ? numbers[i - 1] : 0)) || numbers[i] > 1e6)
            return why_set(why, FARM_EINPUT,
                           "schedule \"%s\": epochs must be above 0 and ascending", text);
        out->epochs[i] = numbers[i];
    }
    out->n_epochs = n;
    return FARM_OK;
}

static int take_numbers(struct schedule *out, const double *numbers, uint32_t n, const char *text,
                        struct why *why)
{
    if (out->kind == SCHEDULE_COSINE) {
        out->floor = n > 0 ? numbers[0] : 0;
        return out->floor <= 1e9
                   ? FARM_OK
                   : why_set(why, FARM_EINPUT, "schedule \"%s\": the floor must be 0 to 1e9", text);
    }
    if (out->kind == SCHEDULE_CONSTANT)
        return FARM_OK;
    out->factor = numbers[n - 1];
    if (!(out->factor > 0 && out->factor <= 1))
        return why_set(why, FARM_EINPUT, "schedule \"%s\": its factor must be above 0, at most 1",
                       text);
    return take_epochs(out, numbers, n - 1, text, why);
}

int schedule_parse(struct schedule *out, const char *text, struct why *why)
{
    size_t len = strcspn(text, ":");
    double numbers[NUMBERS] = {0};

    *out = (struct schedule){.kind = SCHEDULE_COSINE};
    if (text[0] == '\0')
        return FARM_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        uint32_t n;

        if (strlen(kinds[i].name) != len || strncmp(kinds[i].name, text, len) != 0)
            continue;
        n = text[len] == ':' ? read_numbers(numbers, text + len + 1) : 0;
        if (n < kinds[i].least || n > kinds[i].most || (text[len] == ':' && n == 0))
            return why_set(why, FARM_EINPUT, "schedule \"%s\": must be %s", text, kinds[i].form);
        out->kind = kinds[i].kind;
        return take_numbers(out, numbers, n, text, why);
    }
    return why_set(why, FARM_EINPUT,
                   "schedule \"%s\": must be cosine, constant, step, milestones or exponential",
                   text);
}

/* How many of the drops of a step or milestones schedule are behind. */
static double drops(const struct schedule *self, double step)
{
    double per_epoch = (double)self->steps_per_epoch, n = 0;

    if (self->kind == SCHEDULE_STEP)
        return floor(step / (self->epochs[0] * per_epoch));
    for (uint32_t i = 0; i < self->n_epochs; i++)
        n += step >= self->epochs[i] * per_epoch;
    return n;
}

double schedule_rate(const struct schedule *self, uint64_t step)
{
    uint64_t steps = self->steps_per_epoch * self->total_epochs;
    uint64_t warmup = (uint64_t)(self->warmup_epochs * (double)self->steps_per_epoch + 0.5);

    if (step >= steps)
        return 0;
    if (step < warmup)
        return self->peak * (double)(step + 1) / (double)(warmup + 1);
    switch (self->kind) {
    case SCHEDULE_COSINE:
        return self->floor +
               (self->peak - self->floor) * 0.5 *
                   (1 + cos(M_PI * (double)(step - warmup) / (double)(steps - warmup)));
    case SCHEDULE_CONSTANT: return self->peak;
    case SCHEDULE_STEP:
    case SCHEDULE_MILESTONES: return self->peak * pow(self->factor, drops(self, (double)step));
    case SCHEDULE_EXPONENTIAL:
        return self->peak * pow(self->factor, (double)step / (double)self->steps_per_epoch);
    }
    return 0;
}
