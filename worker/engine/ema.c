/* ema.c - see ema.h. */
#include "ema.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

struct ema {
    struct net *net;
    const struct kernels *kernels;
    double decay;
    bool warmup;
    uint64_t updates;
    float *averages; /* parameter by parameter */
    size_t n_values;
};

int ema_create(struct ema **out, struct net *net, double decay, bool warmup)
{
    struct ema *self = calloc(1, sizeof *self);
    float *average;

    if (self == NULL)
        return FARM_ENOMEM;
    self->net = net;
    self->kernels = kernels_get();
    self->decay = decay;
    self->warmup = warmup;
    for (size_t i = 0; i < net_n_params(net); i++)
        self->n_values += net_param(net, i)->n;
    if ((self->averages = malloc((self->n_values + 1) * sizeof *self->averages)) == NULL) {
        free(self);
        return FARM_ENOMEM;
    }
    average = self->averages;
    for (size_t i = 0; i < net_n_params(net); i++) {
        const struct net_param *p = net_param(net, i);

        memcpy(average, p->value, p->n * sizeof *average);
        average += p->n;
    }
    *out = self;
    return FARM_OK;
}

void ema_destroy(struct ema **self)
{
    if (*self == NULL)
        return;
    free((*self)->averages);
    free(*self);
    *self = NULL;
}

uint64_t ema_bytes(const struct ema *self)
{
    return (uint64_t)self->n_values * sizeof *self->averages;
}

void ema_update(struct ema *self)
{
    double t = (double)self->updates++;
    double decay = self->warmup ? fmin(self->decay, (1 + t) / (10 + t)) : self->decay;
    float *average = self->averages;

    for (size_t i = 0; i < net_n_params(self->net); i++) {
        const struct net_param *p = net_param(self->net, i);

        self->kernels->approach(average, p->value, (float)(1 - decay), p->n);
        average += p->n;
    }
}

void ema_swap(struct ema *self)
{
    float *average = self->averages;

    for (size_t i = 0; i < net_n_params(self->net); i++) {
        struct net_param *p = net_param(self->net, i);

        for (size_t k = 0; k < p->n; k++) {
            float value = p->value[k];

            p->value[k] = average[k];
            average[k] = value;
        }
        average += p->n;
    }
}

uint64_t ema_updates(const struct ema *self)
{
    return self->updates;
}

void ema_set_updates(struct ema *self, uint64_t updates)
{
    self->updates = updates;
}

void ema_list(struct ema *self, struct blob_list *list)
{
    float *average = self->averages;

    for (size_t i = 0; i < net_n_params(self->net); i++) {
        const struct net_param *p = net_param(self->net, i);

        blob_list_add(list, "average", p->name, p->shape, average, p->n);
        average += p->n;
    }
}
