/* recheck.c - see recheck.h. */
#include "recheck.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "store.h"

int recheck_init(struct recheck *self, const char *text, struct why *why)
{
    double percent;
    char *end;

    *self = (struct recheck){.noise = NAN};
    if (text[0] == '\0' || strcmp(text, "off") == 0)
        return FARM_OK;
    percent = strtod(text, &end);
    if (end == text || *end != '%' || !(percent >= 0 && percent <= 100))
        return why_set(why, FARM_EINPUT,
                       "recheck '%.40s': must be a share from 0%% to 100%%, as in 1%%, or off",
                       text);
    if (end[1] == ':') {
        const char *noise = end + 2;

        self->noise = strtod(noise, &end);
        if (end == noise || *end != '\0' || !(self->noise >= 0 && self->noise < INFINITY))
            return why_set(why, FARM_EINPUT,
                           "recheck '%.40s': the noise must be a number from 0 on, as in 1%%:0.02",
                           text);
    } else if (end[1] != '\0') {
        return why_set(why, FARM_EINPUT, "recheck '%.40s': behind the share comes :NOISE", text);
    }
    self->on = true;
    self->share = percent / 100;
    return FARM_OK;
}

bool recheck_draws(const struct recheck *self, uint64_t seed, uint64_t trial)
{
    uint64_t draw = rng_mix(rng_mix(seed, 0x726563686b), trial) >> 11; /* 53 bits */

    return self->on && (double)draw * 0x1p-53 < self->share;
}

/* ---------------------------------------------------------------- the same */

bool recheck_is_exact(const struct result *a, const struct result *b)
{
    return a->made_by[0] != '\0' && strcmp(a->made_by, b->made_by) == 0 && a->isa[0] != '\0' &&
           strcmp(a->isa, b->isa) == 0 && strchr(a->isa, '+') == NULL &&
           strncmp(a->isa, "exec", 4) != 0; /* a command: nobody said that it is a function */
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Of the difference of two accuracies p on n images each. */
static double standard_error(double p, uint32_t n)
{
    double least = 1 / (double)n;

    p = p < least ? least : p > 1 - least ? 1 - least : p; /* all right is no proof of no error */
    return sqrt(2 * fabs(p * (1 - p)) / n);
}

static double noise_of(const struct recheck *self, const struct result *a, const struct result *b)
{
    uint32_t n = a->n_validation < b->n_validation ? a->n_validation : b->n_validation;
    double middle = (a->fitness + b->fitness) / 2;

    if (!isnan(self->noise))
        return self->noise;
    if (n > 1 && middle >= 0 && middle <= 1)
        return RECHECK_Z * standard_error(middle, n);
    return RECHECK_NOISE * fmax(1, fabs(middle)); /* no accuracy, perhaps */
}

bool recheck_same(const struct recheck *self, const struct result *a, const struct result *b)
{
    if (a->outcome != b->outcome)
        return false;
    if (a->outcome != OUTCOME_OK)
        return true;
    if (recheck_is_exact(a, b))
        return same_number(a->fitness, b->fitness) && same_number(a->loss, b->loss) &&
               same_number(a->train_loss, b->train_loss);
    return fabs(a->fitness - b->fitness) <= noise_of(self, a, b);
}

/* ---------------------------------------------------------------- judging */

static bool of_one_worker(const struct opinion *a, const struct opinion *b)
{
    return strcmp(a->worker, b->worker) == 0;
}

static double worth(const struct result *r)
{
    return r->outcome == OUTCOME_OK ? r->fitness : -INFINITY;
}

static struct judgement decide(const struct recheck *self, const struct opinion *o, uint64_t hands)
{
    struct judgement j = {.verdict = VERDICT_DISPUTED,
                          .stands = worth(&o[1].result) < worth(&o[0].result),
                          .wrong = OPINIONS_MAX};
    bool first = recheck_same(self, &o[0].result, &o[2].result);
    bool second = recheck_same(self, &o[1].result, &o[2].result);

    if (of_one_worker(&o[2], &o[0]) || of_one_worker(&o[2], &o[1]) ||
        (hands & worker_bit(o[2].worker)) != 0 || first == second)
        return j;
    j.verdict = first ? VERDICT_CONFIRMED : VERDICT_REFUTED;
    j.stands = second;
    j.wrong = first;
    j.exact = recheck_is_exact(&o[j.wrong].result, &o[2].result);
    return j;
}

struct judgement recheck_judge(const struct recheck *self, const struct opinion *opinions, size_t n,
                               uint64_t hands, bool first_trusted)
{
    struct judgement j = {.verdict = VERDICT_OPEN, .wrong = OPINIONS_MAX};
    bool same;

    if (n < 2)
        return j;
    if (n > 2 && first_trusted)
        return decide(self, opinions, hands);
    same = recheck_same(self, &opinions[0].result, &opinions[1].result);
    if (of_one_worker(&opinions[0], &opinions[1]))
        j.verdict = VERDICT_ALONE;
    else if (same)
        j.verdict = VERDICT_CONFIRMED;
    else if (!first_trusted)
        j = (struct judgement){.verdict = VERDICT_REFUTED, .stands = 1, .wrong = OPINIONS_MAX};
    return j;
}
