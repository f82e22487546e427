/* proxy.h - the names of zero-cost proxies: numbers that rank networks without training them.
 *
 * It is:     the list that a recipe's `proxy` is checked against, by whoever asks and whoever answers.
 * It is not: their arithmetic (worker/proxy/score.h).
 */
#ifndef NASFARM_PROXY_H
#define NASFARM_PROXY_H

#include "err.h"

enum proxy {
    PROXY_NONE, /* train instead */
    PROXY_NASWOT,
    PROXY_JACOB_COV,
    PROXY_SYNFLOW,
    PROXY_SNIP,
    PROXY_PLAIN,
    PROXY_GRAD_NORM,
    PROXY_GRASP,
    PROXY_ZEN,
    PROXY_PARAMS,
    PROXY_MACS,
    PROXY_END
};

/* "naswot", ...; "" of PROXY_NONE. */
const char *proxy_name(enum proxy proxy);
/* By its name; "" is PROXY_NONE. FARM_EINPUT with a sentence that lists those there are. */
int proxy_find(enum proxy *out, const char *name, struct why *why);

#endif
