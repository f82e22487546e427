/* net_norm.c - the passes of batch norms over a whole batch: statistics, coefficients, sums of gradients. */
#include "net_ops.h"

/* Parameters are [gamma, beta,] mean, var. */
struct norm_params {
    struct net_param *p;
    const float *gamma, *beta;
    float *dgamma, *dbeta;
    struct norm_running running;
};

static struct norm_params params_of(struct net *self, const struct plan_norm *norm, bool affine)
{
    struct net_param *p = &self->params[self->node_param[norm->index]];
    struct norm_params all = {.p = p};

    if (affine) {
        all.gamma = p[0].value;
        all.beta = p[1].value;
        all.dgamma = p[0].grad;
        all.dbeta = p[1].grad;
        p += 2;
    }
    all.running = (struct norm_running){p[0].value, p[1].value, self->config.bn_momentum};
    return all;
}

struct norm norm_of(const struct net *self, const struct plan_norm *norm)
{
    return self->kernels->norm_at(self->arena + norm->state, norm->c);
}

struct covariance covariance_of(const struct net *self, const struct plan_norm *norm)
{
    return self->kernels->covariance_at(self->arena + norm->covariance, norm->conv_c, norm->c);
}

static float *scratch_of(const struct net *self)
{
    return (float *)(void *)(self->arena + self->plan->scratch);
}

/* Weights of the convolution into which a norm is folded, and their gradient. */
static struct net_param *weights_of(const struct net *self, const struct plan_norm *norm)
{
    return &self->params[self->node_param[norm->conv]];
}

/* Of what that convolution reads. */
static void watch_input(const struct net *self, const struct plan_norm *norm, const float *x,
                        uint32_t image, size_t pixels)
{
    struct covariance v = covariance_of(self, norm);

    if (image == 0)
        self->kernels->covariance_begin(&v, x, pixels);
    self->kernels->covariance_moments(&v, x, pixels, scratch_of(self));
}

void norm_watch(const struct net *self, uint32_t first_reader, float *copy, const float *y,
                uint32_t image, size_t pixels)
{
    const struct plan_norm *norms = self->plan->norms;

    for (uint32_t m = first_reader; m != PLAN_NO; m = norms[m].next) {
        struct norm n = norm_of(self, &norms[m]);

        if (norms[m].conv != PLAN_NO) {
            watch_input(self, &norms[m], y, image, pixels);
            continue;
        }
        if (image == 0)
            self->kernels->norm_begin(&n, y, pixels);
        self->kernels->norm_moments(&n, copy, y, pixels);
    }
}

static void settle(struct net *self, const struct plan_norm *norm, size_t pixels)
{
    const struct kernels *k = self->kernels;
    struct norm n = norm_of(self, norm);
    struct norm_params p = params_of(self, norm, norm->affine);

    if (norm->conv != PLAN_NO) {
        struct covariance v = covariance_of(self, norm);

        k->covariance_coefficients(&v, &n, weights_of(self, norm)->value, p.gamma, p.beta,
                                   &p.running, pixels, norm->epsilon);
    } else {
        k->norm_coefficients(&n, p.gamma, p.beta, &p.running, pixels, norm->epsilon);
    }
}

void norm_settle(struct net *self, uint32_t first_reader, size_t pixels)
{
    const struct plan_norm *norms = self->plan->norms;

    for (uint32_t m = first_reader; m != PLAN_NO; m = norms[m].next)
        settle(self, &norms[m], pixels);
}

void norm_recall(struct net *self, const struct plan_norm *norm)
{
    struct norm n = norm_of(self, norm);
    struct norm_params p = params_of(self, norm, norm->affine);

    self->kernels->norm_infer(&n, p.gamma, p.beta, &p.running, norm->epsilon);
}

void norm_complete(struct net *self, const struct plan_norm *norm, size_t pixels)
{
    const struct kernels *k = self->kernels;
    struct norm n = norm_of(self, norm);
    struct norm_params p = params_of(self, norm, norm->affine);
    struct covariance v;

    if (norm->conv == PLAN_NO) {
        k->norm_backward_finish(&n, p.dgamma, p.dbeta, pixels);
        return;
    }
    v = covariance_of(self, norm);
    k->covariance_backward_finish(&v, &n, weights_of(self, norm)->grad,
                                  weights_of(self, norm)->value, p.dgamma, p.dbeta, pixels);
    k->conv_pack((float *)(void *)(self->arena + norm->packed_mix), v.mix, &norm->mix,
                 CONV_PACKED_FORWARD);
}

static void gather_mixed(const struct net *self, const struct plan_norm *norm, float *dx,
                         const float *x, size_t pixels)
{
    struct covariance v = covariance_of(self, norm);
    struct window w = norm->mix;

    w.n = w.h = w.oh = 1;
    w.w = w.ow = (int)pixels;
    self->kernels->conv_pointwise(dx, true, x,
                                  (const float *)(const void *)(self->arena + norm->packed_mix),
                                  v.offset, ACT_NONE, &w, scratch_of(self));
}

void norm_gather(const struct net *self, const struct plan_norm *norm, float *dx, const float *g,
                 const float *x, size_t pixels)
{
    struct norm n = norm_of(self, norm);

    if (norm->conv != PLAN_NO)
        gather_mixed(self, norm, dx, x, pixels);
    else
        self->kernels->norm_backward_input(&n, dx, norm->gather == PLAN_GRAD_ADD, g, x, pixels);
}
