/* fixed.c - one known network and nothing else to search: `fixed`, and with its training as the search, `hyperparameters`.
 *
 * Option net says which (known.h). A genome of `fixed` has no genes unless training settings are tuned.
 */
#include <stdlib.h>
#include <string.h>

#include "known.h"
#include "skeleton.h"
#include "tune.h"

static const struct space_option options[] = {
    {"net", 0, 1000, true, 0, known_names, "the network, one of `nasfarm net list`"}, {0}};

static const struct known *net_of(const struct space *self)
{
    return &known_all()[(size_t)self->option[0]];
}

static int open_space(struct space *self, struct why *why)
{
    int rc;

    if ((rc = skeleton_check_data(&self->config, why)) != FARM_OK ||
        (rc = skeleton_refuse(&self->config, "a known network", why)) != FARM_OK)
        return rc;
    if (self->config.drop_path > 0)
        return why_set(why, FARM_EINPUT, "a known network is as it is, without drop-path");
    return space_own_dims(self, 0) != NULL
               ? FARM_OK
               : why_set(why, FARM_ENOMEM, "out of memory for dimensions");
}

static int decode(const struct space *self, const struct genome *genome, struct graph **out,
                  struct why *why)
{
    (void)genome;
    return known_build(net_of(self), self->config.input, self->config.classes, out, why);
}

static char *notation(const struct space *self, const struct genome *genome)
{
    (void)genome;
    return strdup(net_of(self)->name);
}

static struct genome *parse(const struct space *self, const char *text, struct why *why)
{
    struct genome *genome;

    if (strcmp(text, net_of(self)->name) != 0) {
        (void)why_set(why, FARM_EGENOME, "'%.60s' is not the network here, which is %s", text,
                      net_of(self)->name);
        return NULL;
    }
    if ((genome = genome_create(0)) == NULL)
        (void)why_set(why, FARM_ENOMEM, "out of memory for a genome");
    return genome;
}

const struct space_ops space_fixed = {
    .name = "fixed",
    .summary = "one known network: nothing to search but what --tune adds",
    .options = options,
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
};

const struct space_ops space_hyperparameters = {
    .name = "hyperparameters",
    .summary = "how one known network is trained: learning rate, momentum, batch, ...",
    .options = options,
    .open = open_space,
    .decode = decode,
    .notation = notation,
    .parse = parse,
    .tune = TUNE_USUAL,
};
