#include "proxy.h"

#include <string.h>

static const char *const names[PROXY_END] = {
    [PROXY_NONE] = "",
    [PROXY_NASWOT] = "naswot",
    [PROXY_JACOB_COV] = "jacob_cov",
    [PROXY_SYNFLOW] = "synflow",
    [PROXY_SNIP] = "snip",
    [PROXY_PLAIN] = "plain",
    [PROXY_GRAD_NORM] = "grad_norm",
    [PROXY_GRASP] = "grasp",
    [PROXY_ZEN] = "zen",
    [PROXY_PARAMS] = "params",
    [PROXY_MACS] = "macs",
};

const char *proxy_name(enum proxy proxy)
{
    return names[proxy];
}

int proxy_find(enum proxy *out, const char *name, struct why *why)
{
    for (int i = 0; i < PROXY_END; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum proxy)i;
            return FARM_OK;
        }
    return why_set(why, FARM_EINPUT,
                   "proxy \"%.24s\": must be naswot, jacob_cov, synflow, snip, plain, grad_norm, "
                   "grasp, zen, params or macs",
                   name);
}
