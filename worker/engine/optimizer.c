/* optimizer.c - see optimizer.h. */
#include "optimizer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

/* What each kind remembers of every trained value. */
static const struct {
    const char *name;
    uint32_t n_moments;
    const char *moments[2];
    double square_decay, epsilon; /* of their own, when none is given */
} kinds[OPTIMIZER_END] = {
    [OPTIMIZER_SGD] = {"sgd", 1, {"velocity"}, 0, 0},
    [OPTIMIZER_RMSPROP] = {"rmsprop", 2, {"square", "velocity"}, 0.9, 1e-10},
    [OPTIMIZER_ADAM] = {"adam", 2, {"mean", "square"}, 0.999, 1e-8},
    [OPTIMIZER_ADAMW] = {"adamw", 2, {"mean", "square"}, 0.999, 1e-8},
};

/* One trained parameter. */
struct trained {
    struct net_param *param;
    float *moments[2];
    float decay; /* the configuration's, or 0 where it spares this one */
};

struct optimizer {
    struct optimizer_config config;
    struct net *net;
    const struct kernels *kernels;
    float *moments; /* all of them, parameter by parameter */
    struct trained *trained;
    size_t n, n_values;
    uint64_t steps;
};

enum optimizer_kind optimizer_kind(const char *name)
{
    for (int i = 0; i < OPTIMIZER_END; i++)
        if (strcmp(name, kinds[i].name) == 0)
            return (enum optimizer_kind)i;
    return OPTIMIZER_END;
}

uint32_t optimizer_moments(enum optimizer_kind kind)
{
    return kinds[kind].n_moments;
}

static void count_trained(struct optimizer *self)
{
    for (size_t i = 0; i < net_n_params(self->net); i++) {
        const struct net_param *p = net_param(self->net, i);

        if (p->grad == NULL)
            continue;
        self->n++;
        self->n_values += p->n;
    }
}

/* TensorFlow 1 starts RMSProp's mean squares at 1, which makes the first steps no larger than the later ones. All
 * other moments start at 0. */
static float first_square(const struct optimizer *self)
{
    return self->config.kind == OPTIMIZER_RMSPROP && !self->config.epsilon_outside ? 1 : 0;
}

static void list_trained(struct optimizer *self)
{
    uint32_t n_moments = kinds[self->config.kind].n_moments;
    float *moment = self->moments;
    size_t n = 0;

    for (size_t i = 0; i < net_n_params(self->net); i++) {
        struct net_param *p = net_param(self->net, i);
        bool weight = p->shape[1] > 0; /* of one dimension are gamma, beta and bias */
        struct trained *t = &self->trained[n];
        float *first = moment;

        if (p->grad == NULL)
            continue;
        t->param = p;
        t->decay = weight || !self->config.decay_weights_only ? self->config.weight_decay : 0;
        for (uint32_t m = 0; m < n_moments; m++, moment += p->n)
            t->moments[m] = moment;
        for (size_t k = 0; k < p->n; k++)
            first[k] = first_square(self);
        n++;
    }
}

int optimizer_create(struct optimizer **out, struct net *net, const struct optimizer_config *config)
{
    struct optimizer *self = calloc(1, sizeof *self);

    if (self == NULL)
        return FARM_ENOMEM;
    self->config = *config;
    if (self->config.square_decay == 0)
        self->config.square_decay = kinds[config->kind].square_decay;
    if (self->config.epsilon == 0)
        self->config.epsilon = kinds[config->kind].epsilon;
    self->net = net;
    self->kernels = kernels_get();
    count_trained(self);
    self->moments =
        calloc(self->n_values * kinds[config->kind].n_moments + 1, sizeof *self->moments);
    self->trained = calloc(self->n + 1, sizeof *self->trained);
    if (self->moments == NULL || self->trained == NULL) {
        optimizer_destroy(&self);
        return FARM_ENOMEM;
    }
    list_trained(self);
    *out = self;
    return FARM_OK;
}

void optimizer_destroy(struct optimizer **self)
{
    if (*self == NULL)
        return;
    free((*self)->moments);
    free((*self)->trained);
    free(*self);
    *self = NULL;
}

uint64_t optimizer_bytes(const struct optimizer *self)
{
    return (uint64_t)self->n_values * kinds[self->config.kind].n_moments * sizeof *self->moments;
}

static double clip(struct optimizer *self)
{
    double squares = 0, norm;

    for (size_t i = 0; i < self->n; i++) {
        const struct net_param *p = self->trained[i].param;

        squares += self->kernels->dot(p->grad, p->grad, p->n);
    }
    norm = sqrt(squares);
    if (norm > (double)self->config.grad_clip)
        for (size_t i = 0; i < self->n; i++) {
            const struct net_param *p = self->trained[i].param;

            self->kernels->scale(p->grad, p->grad, (float)((double)self->config.grad_clip / norm),
                                 p->n);
        }
    return norm;
}

static void sgd(struct optimizer *self, double lr)
{
    for (size_t i = 0; i < self->n; i++) {
        struct trained *t = &self->trained[i];

        self->kernels->sgd_step(t->param->value, t->moments[0], t->param->grad, (float)lr,
                                self->config.momentum, self->config.nesterov, t->decay,
                                t->param->n);
    }
}

static void rmsprop(struct optimizer *self, double lr)
{
    double rho = self->config.square_decay;
    struct rmsprop_step how = {.lr = (float)lr,
                               .rho = (float)rho,
                               .one_minus_rho = (float)(1 - rho),
                               .momentum = self->config.momentum,
                               .epsilon = (float)self->config.epsilon,
                               .outside = self->config.epsilon_outside};

    for (size_t i = 0; i < self->n; i++) {
        struct trained *t = &self->trained[i];

        how.decay = t->decay;
        self->kernels->rmsprop_step(t->param->value, t->moments[0], t->moments[1], t->param->grad,
                                    &how, t->param->n);
    }
}

static void adam(struct optimizer *self, double lr)
{
    double beta1 = (double)self->config.momentum, beta2 = self->config.square_decay;
    double t = (double)self->steps; /* this one included */
    bool decoupled = self->config.kind == OPTIMIZER_ADAMW;
    struct adam_step how = {.beta1 = (float)beta1,
                            .one_minus_beta1 = (float)(1 - beta1),
                            .beta2 = (float)beta2,
                            .one_minus_beta2 = (float)(1 - beta2),
                            .epsilon = (float)self->config.epsilon,
                            .rate = (float)(lr / (1 - pow(beta1, t))),
                            .rescale = (float)(1 / sqrt(1 - pow(beta2, t)))};

    for (size_t i = 0; i < self->n; i++) {
        struct trained *tr = &self->trained[i];

        how.decay = decoupled ? 0 : tr->decay;
        how.shrink = decoupled ? (float)(1 - lr * (double)tr->decay) : 1;
        self->kernels->adam_step(tr->param->value, tr->moments[0], tr->moments[1], tr->param->grad,
                                 &how, tr->param->n);
    }
}

double optimizer_step(struct optimizer *self, double lr)
{
    double norm = self->config.grad_clip > 0 ? clip(self) : 0;

    self->steps++;
    switch (self->config.kind) {
    case OPTIMIZER_SGD: sgd(self, lr); break;
    case OPTIMIZER_RMSPROP: rmsprop(self, lr); break;
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW: adam(self, lr); break;
    case OPTIMIZER_END: break;
    }
    return norm;
}

uint64_t optimizer_steps(const struct optimizer *self)
{
    return self->steps;
}

void optimizer_set_steps(struct optimizer *self, uint64_t steps)
{
    self->steps = steps;
}

void optimizer_list(struct optimizer *self, struct blob_list *list)
{
    for (size_t i = 0; i < self->n; i++) {
        const struct net_param *p = self->trained[i].param;

        for (uint32_t m = 0; m < kinds[self->config.kind].n_moments; m++)
            blob_list_add(list, kinds[self->config.kind].moments[m], p->name, p->shape,
                          self->trained[i].moments[m], p->n);
    }
}
