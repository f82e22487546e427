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

void norm_watch(const struct net *self, uint32_t first_reader, const float *y, uint32_t image,
                size_t pixels)
{
    const struct plan_norm *norms = self->plan->norms;

    for (uint32_t m = first_reader; m != PLAN_NO; m = norms[m].next) {
        struct norm n = norm_of(self, &norms[m]);

        if (image == 0)
            self->kernels->norm_begin(&n, y, pixels);
        self->kernels->norm_moments(&n, y, pixels);
    }
}

void norm_settle(struct net *self, uint32_t first_reader, size_t pixels)
{
    const struct plan_norm *norms = self->plan->norms;

    for (uint32_t m = first_reader; m != PLAN_NO; m = norms[m].next) {
        struct norm n = norm_of(self, &norms[m]);
        struct norm_params p = params_of(self, &norms[m], norms[m].affine);

        self->kernels->norm_coefficients(&n, p.gamma, p.beta, &p.running, pixels, norms[m].epsilon);
    }
}

void norm_recall(struct net *self, const struct plan_norm *norm)
{
    struct norm n = norm_of(self, norm);
    struct norm_params p = params_of(self, norm, norm->affine);

    self->kernels->norm_infer(&n, p.gamma, p.beta, &p.running, norm->epsilon);
}

void norm_complete(struct net *self, const struct plan_norm *norm, size_t pixels)
{
    struct norm n = norm_of(self, norm);
    struct norm_params p = params_of(self, norm, norm->affine);

    self->kernels->norm_backward_finish(&n, p.dgamma, p.dbeta, pixels);
}
