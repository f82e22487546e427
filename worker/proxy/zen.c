/* zen.c - the Zen-score: how far Gaussian noise moves the features of a network with Gaussian weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph_params.h"
#include "rng.h"
#include "score_inside.h"

#define MOVE 0.01 /* of the noise beside the images' own */

/* What the last global pooling reads, of all images. */
struct features {
    uint32_t pool; /* node */
    float *values; /* (images, size) */
    size_t size;
};

static void watch_pool(const struct net_seen *seen, void *ctx)
{
    struct features *f = ctx;

    if (seen->node == f->pool && seen->x_values == f->size)
        memcpy(f->values + seen->first * f->size, seen->x, seen->n * f->size * sizeof *seen->x);
}

/* 0: there is none. */
static uint32_t last_pool(const struct graph *graph, bool *live)
{
    uint32_t last = 0;

    graph_needed(graph, false, live);
    for (uint32_t i = 1; i < graph->n_nodes; i++)
        if (live[i] && graph->nodes[i].op == GRAPH_GLOBAL_AVG_POOL)
            last = i;
    return last;
}

static bool ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);

    return n > m && strcmp(name + n - m, end) == 0;
}

static void draw_weights(struct net *net, struct rng *rng)
{
    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        for (size_t k = 0; k < p->n; k++)
            if (score_is_weight(p))
                p->value[k] = (float)rng_normal(rng);
            else if (ends_in(p->name, ".bias"))
                p->value[k] = 0;
    }
}

/* Sum over batch norms of log sqrt(mean running variance). */
static double taken_out(struct net *net)
{
    double sum = 0;

    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);
        double mean = 0;

        if (!ends_in(p->name, ".var"))
            continue;
        for (size_t k = 0; k < p->n; k++)
            mean += (double)p->value[k] / (double)p->n;
        sum += 0.5 * log(mean);
    }
    return sum;
}

/* Images and noise are drawn alternately: x + move * noise. */
static void draw_images(float *images, size_t n, const struct rng *from, double move)
{
    struct rng rng = *from;

    for (size_t k = 0; k < n; k++) {
        double x = rng_normal(&rng), noise = rng_normal(&rng);

        images[k] = (float)(x + move * noise);
    }
}

static double moved(const float *a, const float *b, size_t n)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++)
        sum += fabs((double)a[k] - (double)b[k]);
    return sum / SCORE_ZEN_IMAGES;
}

static double once(struct net *net, const struct graph *graph, struct features *f, float *still,
                   struct rng *rng)
{
    size_t pixels = (size_t)SCORE_ZEN_IMAGES * graph->input.h * graph->input.w * graph->input.c;
    size_t n = SCORE_ZEN_IMAGES * f->size;
    struct rng images;

    draw_weights(net, rng);
    rng_seed(&images, rng_u64(rng));
    draw_images(net_input(net), pixels, &images, 0);
    (void)net_forward(net, SCORE_ZEN_IMAGES, true);
    memcpy(still, f->values, n * sizeof *still);
    draw_images(net_input(net), pixels, &images, MOVE);
    (void)net_forward(net, SCORE_ZEN_IMAGES, true);
    return log(moved(still, f->values, n)) + taken_out(net);
}

static double mean_of_repeats(struct net *net, const struct scorer *self, struct features *f,
                              float *still)
{
    struct rng rng;
    double sum = 0;

    net_watch(net, watch_pool, f);
    rng_seed_named(&rng, self->seed, "zen");
    for (uint32_t i = 0; i < SCORE_ZEN_REPEATS; i++)
        sum += once(net, self->graph, f, still, &rng);
    return sum / SCORE_ZEN_REPEATS;
}

int score_zen(double *out, const struct scorer *self, struct why *why)
{
    const struct graph *graph = self->graph;
    struct features f = {0};
    const struct graph_shape *s;
    struct net *net = NULL;
    bool *live = calloc(graph->n_nodes, sizeof *live);
    float *still;
    int rc;

    if (live == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a network of %u nodes", graph->n_nodes);
    f.pool = last_pool(graph, live);
    free(live);
    if (f.pool == 0)
        return why_set(why, FARM_EINPUT,
                       "zen looks at what a global pooling reads, and this network has none");
    s = &graph->nodes[graph_inputs(graph, f.pool)[0]].shape;
    f.size = (size_t)s->h * s->w * s->c;
    if ((rc = score_net(&net, self, SCORE_ZEN_IMAGES, false, why)) != FARM_OK)
        return rc;
    f.values = calloc(SCORE_ZEN_IMAGES * f.size, sizeof *f.values);
    still = calloc(SCORE_ZEN_IMAGES * f.size, sizeof *still);
    if (f.values != NULL && still != NULL)
        *out = mean_of_repeats(net, self, &f, still);
    else
        rc = why_set(why, FARM_ENOMEM, "out of memory for the features of %u images",
                     SCORE_ZEN_IMAGES);
    free(f.values);
    free(still);
    net_destroy(&net);
    return rc;
}
