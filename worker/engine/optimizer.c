/* optimizer.c - see optimizer.h. */
#include "optimizer.h"

#include <math.h>
#include <stdlib.h>

#include "kernels.h"
#include "net_blob.h"

struct optimizer {
    struct optimizer_config config;
    struct net *net;
    const struct kernels *kernels;
    float *velocities;           /* one after the other */
    struct blob_record *trained; /* name, shape and velocity of each trained parameter */
    float **value, **grad;       /* likewise */
    size_t n, n_values;
};

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

static void list_trained(struct optimizer *self)
{
    float *velocity = self->velocities;
    size_t n = 0;

    for (size_t i = 0; i < net_n_params(self->net); i++) {
        struct net_param *p = net_param(self->net, i);

        if (p->grad == NULL)
            continue;
        self->trained[n] = (struct blob_record){p->name, p->shape, velocity, p->n};
        self->value[n] = p->value;
        self->grad[n++] = p->grad;
        velocity += p->n;
    }
}

int optimizer_create(struct optimizer **out, struct net *net, const struct optimizer_config *config)
{
    struct optimizer *self = calloc(1, sizeof *self);

    if (self == NULL)
        return FARM_ENOMEM;
    self->config = *config;
    self->net = net;
    self->kernels = kernels_get();
    count_trained(self);
    self->velocities = calloc(self->n_values + 1, sizeof *self->velocities);
    self->trained = calloc(self->n + 1, sizeof *self->trained);
    self->value = calloc(self->n + 1, sizeof *self->value);
    self->grad = calloc(self->n + 1, sizeof *self->grad);
    if (self->velocities == NULL || self->trained == NULL || self->value == NULL ||
        self->grad == NULL) {
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
    free((*self)->velocities);
    free((*self)->trained);
    free((*self)->value);
    free((*self)->grad);
    free(*self);
    *self = NULL;
}

uint64_t optimizer_bytes(const struct optimizer *self)
{
    return (uint64_t)self->n_values * sizeof *self->velocities;
}

static double clip(struct optimizer *self)
{
    double squares = 0, norm;

    for (size_t i = 0; i < self->n; i++)
        squares += self->kernels->dot(self->grad[i], self->grad[i], self->trained[i].n);
    norm = sqrt(squares);
    if (norm > (double)self->config.grad_clip)
        for (size_t i = 0; i < self->n; i++)
            self->kernels->scale(self->grad[i], self->grad[i],
                                 (float)((double)self->config.grad_clip / norm),
                                 self->trained[i].n);
    return norm;
}

double optimizer_step(struct optimizer *self, double lr)
{
    double norm = self->config.grad_clip > 0 ? clip(self) : 0;

    for (size_t i = 0; i < self->n; i++)
        self->kernels->sgd_step(self->value[i], self->trained[i].values, self->grad[i], (float)lr,
                                self->config.momentum, self->config.nesterov,
                                self->config.weight_decay, self->trained[i].n);
    return norm;
}

int optimizer_save(struct optimizer *self, uint8_t **bytes, size_t *len)
{
    return blob_pack("NFV1", net_graph_hash(self->net), self->trained, self->n, bytes, len);
}

int optimizer_load(struct optimizer *self, const uint8_t *bytes, size_t len, struct why *why)
{
    return blob_unpack("NFV1", net_graph_hash(self->net), self->trained, self->n, bytes, len, why);
}

double lr_at(uint64_t step, uint64_t steps, uint64_t warmup_steps, double peak)
{
    if (step >= steps)
        return 0;
    if (step < warmup_steps)
        return peak * (double)(step + 1) / (double)(warmup_steps + 1);
    return peak * 0.5 *
           (1 + cos(M_PI * (double)(step - warmup_steps) / (double)(steps - warmup_steps)));
}
