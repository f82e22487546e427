/* prefilter.h - which trials are worth training: the best share, by a zero-cost proxy, of all that were scored so far.
 *
 * It is:     a fold over scores: the same scores in the same order give the same decisions.
 * It is not: the proxies (worker/proxy/), nor a schedule: a trial that passes is trained as it would have been.
 *
 * The first trial always passes; of n, those pass whose score was among the best ceil(share * n) when it came.
 */
#ifndef NASFARM_PREFILTER_H
#define NASFARM_PREFILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct prefilter {
    char proxy[16]; /* "": none */
    double share;   /* above 0, below 1 */
    double *scores; /* ascending */
    size_t n, room;
};

/* text: "naswot:10%", or "" for none. FARM_EINPUT names what is wrong; proxy.h has the names. */
int prefilter_init(struct prefilter *self, const char *text, struct why *why);
void prefilter_release(struct prefilter *self);
/* One more score, which is finite. FARM_OK or FARM_ENOMEM. */
int prefilter_take(struct prefilter *self, double score, bool *passes);

#endif
