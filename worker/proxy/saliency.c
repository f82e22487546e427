/* saliency.c - proxies that ask what each weight matters: snip, plain, grad_norm, grasp, synflow. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "score_inside.h"

/* How far grasp steps to both sides, as a share of the weights. */
#define GRASP_STEP 5e-3

static void gradients(struct net *net, const struct scorer *self)
{
    uint32_t correct;

    score_forward(net, self->graph, self->batch);
    (void)net_loss(net, self->batch->labels, self->batch->n, 0, &correct);
    net_backward(net);
}

static double sum_of_squares(const float *x, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    return sum;
}

/* Sums of w g, and of |w g|. */
static double sum_of_products(const struct net_param *p)
{
    double sum = 0;

    for (size_t i = 0; i < p->n; i++)
        sum += (double)p->value[i] * (double)p->grad[i];
    return sum;
}

static double sum_of_magnitudes(const struct net_param *p)
{
    double sum = 0;

    for (size_t i = 0; i < p->n; i++)
        sum += fabs((double)p->value[i] * (double)p->grad[i]);
    return sum;
}

static double of_layer(const struct net_param *p, enum proxy proxy)
{
    switch ((int)proxy) {
    case PROXY_GRAD_NORM: return sqrt(sum_of_squares(p->grad, p->n));
    case PROXY_PLAIN: return sum_of_products(p);
    default: return sum_of_magnitudes(p);
    }
}

static double over_layers(struct net *net, enum proxy proxy)
{
    double sum = 0;

    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        if (score_is_weight(p))
            sum += of_layer(p, proxy);
    }
    return sum;
}

int score_saliency(double *out, enum proxy proxy, const struct scorer *self, struct why *why)
{
    struct net *net = NULL;
    int rc = score_net(&net, self, self->batch->n, false, why);

    if (rc != FARM_OK)
        return rc;
    gradients(net, self);
    *out = over_layers(net, proxy);
    net_destroy(&net);
    return FARM_OK;
}

/* ---- grasp ---- */

/* All weights one after the other, and their gradient. */
struct weights {
    float *w, *g;
    size_t n;
};

static size_t count_weights(struct net *net)
{
    size_t n = 0;

    for (size_t i = 0; i < net_n_params(net); i++)
        if (score_is_weight(net_param(net, i)))
            n += net_param(net, i)->n;
    return n;
}

static void keep(struct net *net, const struct weights *all)
{
    size_t at = 0;

    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        if (!score_is_weight(p))
            continue;
        memcpy(all->w + at, p->value, p->n * sizeof *p->value);
        memcpy(all->g + at, p->grad, p->n * sizeof *p->grad);
        at += p->n;
    }
}

/* g times the gradient at `scale` times the weights. */
static double along(struct net *net, const struct scorer *self, const struct weights *all,
                    double scale)
{
    size_t at = 0;
    double sum = 0;

    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        for (size_t k = 0; score_is_weight(p) && k < p->n; k++, at++)
            p->value[k] = (float)(scale * (double)all->w[at]);
    }
    gradients(net, self);
    at = 0;
    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        for (size_t k = 0; score_is_weight(p) && k < p->n; k++, at++)
            sum += (double)all->g[at] * (double)p->grad[k];
    }
    return sum;
}

/* H is symmetric, so -w (H g) is -g (H w), and w is the better direction to step in: ReLUs and batch norms do not mind
 * when all weights grow alike, so that no unit turns on or off on the way. Along g many do: the difference is then that of
 * two networks, and on NAS-Bench-201 its ranks even had the wrong sign. */
int score_grasp(double *out, const struct scorer *self, struct why *why)
{
    struct weights all = {0};
    struct net *net = NULL;
    int rc = score_net(&net, self, self->batch->n, false, why);

    if (rc != FARM_OK)
        return rc;
    all.n = count_weights(net);
    all.w = calloc(all.n + 1, sizeof *all.w);
    all.g = calloc(all.n + 1, sizeof *all.g);
    if (all.w == NULL || all.g == NULL) {
        rc = why_set(why, FARM_ENOMEM, "out of memory for the gradients of %zu weights", all.n);
    } else {
        gradients(net, self);
        keep(net, &all);
        *out = (along(net, self, &all, 1 - GRASP_STEP) - along(net, self, &all, 1 + GRASP_STEP)) /
               (2 * GRASP_STEP);
    }
    free(all.w);
    free(all.g);
    net_destroy(&net);
    return rc;
}

/* ---- synflow ---- */

static bool is_bias(const struct net_param *p)
{
    return p->grad != NULL && !score_is_weight(p);
}

/* Images and gradients of `one`, biases `smaller` than before: the sum is proportional to the square of `one`. */
static double flow(struct net *net, const struct graph *graph, float one, float smaller)
{
    size_t pixels = (size_t)graph->input.h * graph->input.w * graph->input.c;

    for (size_t k = 0; k < pixels; k++)
        net_input(net)[k] = one;
    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        for (size_t k = 0; is_bias(p) && k < p->n; k++)
            p->value[k] *= smaller;
    }
    (void)net_forward(net, 1, true);
    (void)net_sum(net, one);
    net_backward(net);
    return over_layers(net, PROXY_SNIP);
}

/* The paper's code computes in double, since deep networks leave the range of float. Here images and gradients are made
 * smaller instead, by powers of two, until nothing does: that is exact. */
double synflow_of(struct net *net, const struct graph *graph)
{
    const int step = -30, last = -120;
    int power = 0;
    double sum;

    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        for (size_t k = 0; k < p->n; k++)
            p->value[k] = fabsf(p->value[k]);
    }
    sum = flow(net, graph, 1, 1);
    while (!isfinite(sum) && power > last) {
        power += step;
        sum = flow(net, graph, ldexpf(1, power), ldexpf(1, step));
    }
    return log(sum) - 2 * power * log(2);
}

int score_synflow(double *out, const struct scorer *self, struct why *why)
{
    struct net *net = NULL;
    int rc = score_net(&net, self, 1, false, why);

    if (rc != FARM_OK)
        return rc;
    *out = synflow_of(net, self->graph);
    net_destroy(&net);
    return FARM_OK;
}
