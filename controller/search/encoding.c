/* encoding.c - see encoding.h. */
#include "encoding.h"

#include <math.h>

static uint32_t features_of(const struct dim *d)
{
    return dim_is_number(d) ? 1 : d->choices;
}

/* The genes that are encoded one by one begin here. */
static uint32_t first_gene(const struct space *space, bool paths)
{
    return paths && space->ops->paths != NULL ? space->n_dims - space->n_tuned : 0;
}

static uint32_t path_features(const struct space *space, bool paths)
{
    return paths && space->ops->paths != NULL ? space->ops->n_paths : 0;
}

uint32_t encoding_size(const struct space *space, bool paths)
{
    uint32_t size = path_features(space, paths);

    for (uint32_t i = first_gene(space, paths); i < space->n_dims; i++)
        size += features_of(&space->dims[i]);
    return size;
}

uint32_t encoding_most(const struct space *space)
{
    return space->n_dims + SPACE_PATHS_MAX;
}

uint32_t encode(const struct space *space, const struct genome *genome, bool paths,
                struct feature *out)
{
    uint32_t base = path_features(space, paths), n = 0, path[SPACE_PATHS_MAX];

    if (base > 0)
        n = space->ops->paths(space, genome, path);
    for (uint32_t k = 0; k < n; k++)
        out[k] = (struct feature){path[k], 1};
    for (uint32_t i = first_gene(space, paths); i < space->n_dims; i++) {
        const struct dim *d = &space->dims[i];
        double v = genome->gene[i];

        if (space_active(space, genome, i))
            out[n++] = dim_is_number(d) ? (struct feature){base, (float)dim_share(d, v)}
                                        : (struct feature){base + (uint32_t)v, 1};
        base += features_of(d);
    }
    return n;
}

void coordinates_of(const struct space *space, const struct genome *genome, double *x)
{
    for (uint32_t j = 0; j < space->n_dims; j++) {
        const struct dim *d = &space->dims[j];
        double v = genome->gene[j];

        x[j] = !space_active(space, genome, j) ? NAN : dim_is_number(d) ? dim_share(d, v) : v;
    }
}
