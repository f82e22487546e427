/* naswot.c - proxies that ask how differently a network treats the images of a batch: naswot and jacob_cov. */
#include <math.h>
#include <stdlib.h>

#include "score_inside.h"

#define UNSEEN UINT32_MAX

/* Which ReLU units are on, a bit each. */
struct codes {
    uint64_t *bits; /* (n, words) */
    size_t words, units, cap_units;
    uint32_t *step; /* of each node: the step that told of it; UNSEEN: none */
    size_t *at;     /* of each node: its first unit */
};

static void note_parts(struct codes *codes, const struct net_seen *seen)
{
    for (uint32_t i = 0; i < seen->n; i++) {
        uint32_t part = seen->first + i;
        size_t unit = codes->at[seen->node] + part % seen->split * seen->y_values;
        uint64_t *row = codes->bits + part / seen->split * codes->words;
        const float *y = seen->y + i * seen->y_values;

        for (size_t k = 0; k < seen->y_values; k++, unit++)
            row[unit / 64] |= (uint64_t)(y[k] > 0) << unit % 64;
    }
}

static void watch_relu(const struct net_seen *seen, void *ctx)
{
    struct codes *codes = ctx;
    size_t units = seen->y_values * seen->split;

    if (!seen->relu)
        return;
    if (codes->step[seen->node] == UNSEEN && units <= codes->cap_units - codes->units) {
        codes->step[seen->node] = seen->step;
        codes->at[seen->node] = codes->units;
        codes->units += units;
    }
    if (codes->step[seen->node] == seen->step)
        note_parts(codes, seen);
}

static size_t relu_units(const struct graph *graph)
{
    size_t units = 0;

    for (uint32_t i = 1; i < graph->n_nodes; i++)
        if (graph->nodes[i].op == GRAPH_RELU)
            units +=
                (size_t)graph->nodes[i].shape.h * graph->nodes[i].shape.w * graph->nodes[i].shape.c;
    return units;
}

static void codes_release(struct codes *self)
{
    free(self->bits);
    free(self->step);
    free(self->at);
}

static int codes_init(struct codes *self, const struct graph *graph, uint32_t n, struct why *why)
{
    *self = (struct codes){.cap_units = relu_units(graph)};
    self->words = self->cap_units / 64 + 1;
    self->bits = calloc(n * self->words, sizeof *self->bits);
    self->step = malloc(graph->n_nodes * sizeof *self->step);
    self->at = calloc(graph->n_nodes, sizeof *self->at);
    if (self->bits == NULL || self->step == NULL || self->at == NULL) {
        codes_release(self);
        return why_set(why, FARM_ENOMEM, "out of memory for the codes of %u images", n);
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        self->step[i] = UNSEEN;
    return FARM_OK;
}

static size_t differing(const uint64_t *a, const uint64_t *b, size_t words)
{
    size_t n = 0;

    for (size_t k = 0; k < words; k++)
        n += (size_t)__builtin_popcountll(a[k] ^ b[k]);
    return n;
}

static int logdet_of(double *out, const struct codes *codes, uint32_t n, struct why *why)
{
    double *k = malloc((size_t)n * n * sizeof *k);

    if (k == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for a kernel of %u images", n);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j <= i; j++)
            k[(size_t)i * n + j] = k[(size_t)j * n + i] =
                (double)(codes->units - differing(codes->bits + i * codes->words,
                                                  codes->bits + j * codes->words, codes->words));
    *out = spectrum_logdet(k, n);
    free(k);
    return FARM_OK;
}

int score_naswot(double *out, const struct scorer *self, struct why *why)
{
    struct codes codes;
    struct net *net = NULL;
    int rc;

    if (relu_units(self->graph) == 0)
        return why_set(why, FARM_EINPUT, "naswot looks at ReLUs, and this network has none");
    if ((rc = score_net(&net, self, self->batch->n, false, why)) != FARM_OK)
        return rc;
    if ((rc = codes_init(&codes, self->graph, self->batch->n, why)) == FARM_OK) {
        net_watch(net, watch_relu, &codes);
        score_forward(net, self->graph, self->batch);
        rc = codes.units > 0 ? logdet_of(out, &codes, self->batch->n, why)
                             : why_set(why, FARM_EINPUT,
                                       "naswot looks at ReLUs, and none of this network runs");
        codes_release(&codes);
    }
    net_destroy(&net);
    return rc;
}

int score_jacob_cov(double *out, const struct scorer *self, struct why *why)
{
    const struct graph_shape *in = &self->graph->input;
    const float *gradient;
    struct net *net = NULL;
    int rc = score_net(&net, self, self->batch->n, true, why);

    if (rc != FARM_OK)
        return rc;
    score_forward(net, self->graph, self->batch);
    (void)net_sum(net, 1);
    net_backward(net);
    if ((gradient = net_image_gradient(net)) == NULL)
        rc = why_set(why, FARM_EINPUT,
                     "jacob_cov needs the gradient of the images, and here a batch norm reads them "
                     "directly, or nothing does");
    else
        *out = spectrum_jacob_cov(gradient, self->batch->n, (size_t)in->h * in->w * in->c);
    net_destroy(&net);
    return rc;
}
