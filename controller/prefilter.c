/* prefilter.c - see prefilter.h. */
#include "prefilter.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy.h"

int prefilter_init(struct prefilter *self, const char *text, struct why *why)
{
    size_t len = strcspn(text, ":");
    enum proxy proxy;
    double percent;
    char *end;
    int rc;

    *self = (struct prefilter){.share = 1};
    if (text[0] == '\0')
        return FARM_OK;
    if (text[len] != ':' || len == 0 || len >= sizeof self->proxy)
        return why_set(why, FARM_EINPUT,
                       "prefilter '%.40s': must be PROXY:SHARE%%, as in naswot:10%%", text);
    memcpy(self->proxy, text, len);
    if ((rc = proxy_find(&proxy, self->proxy, why)) != FARM_OK)
        return why_prefix(why, rc, "prefilter '%.40s'", text);
    percent = strtod(text + len + 1, &end);
    if (end == text + len + 1 || strcmp(end, "%") != 0 || !(percent > 0 && percent < 100))
        return why_set(why, FARM_EINPUT,
                       "prefilter '%.40s': the share must be above 0%% and below 100%%", text);
    self->share = percent / 100;
    return FARM_OK;
}

void prefilter_release(struct prefilter *self)
{
    free(self->scores);
    *self = (struct prefilter){.n = 0};
}

/* How many are not above this one. */
static size_t place_of(const struct prefilter *self, double score)
{
    size_t from = 0, to = self->n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (self->scores[middle] <= score)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

int prefilter_take(struct prefilter *self, double score, bool *passes)
{
    size_t at = place_of(self, score), above = self->n - at;

    if (self->n == self->room) {
        size_t room = self->room > 0 ? 2 * self->room : 256;
        double *scores = realloc(self->scores, room * sizeof *scores);

        if (scores == NULL)
            return FARM_ENOMEM;
        self->scores = scores;
        self->room = room;
    }
    memmove(self->scores + at + 1, self->scores + at, above * sizeof *self->scores);
    self->scores[at] = score;
    self->n++;
    *passes = (double)above < ceil(self->share * (double)self->n);
    return FARM_OK;
}
