/* net_loss.c - softmax cross-entropy of a batch, with smoothed and mixed labels, of the output and an auxiliary head. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "net_ops.h"

/* Of a batch: image i is a[i] by shares[i] (NULL: wholly), and b[i] by the rest. */
struct labels {
    const uint16_t *a, *b;
    const float *shares;
};

/* What an image should be: label a by `share`, label b by the rest. */
struct target {
    uint32_t a, b;
    double share;
};

/* One image: its loss; whether it is right; and, unless d is NULL, d = (softmax(z) - target) * weight. */
static double image_loss(const float *z, float *d, uint32_t classes, struct target t,
                         double smoothing, double weight, bool *right)
{
    double most = -INFINITY, sum_exp = 0, sum_z = 0, log_sum, z_target;
    uint32_t best = UINT32_MAX; /* stays when all are NaN */

    for (uint32_t j = 0; j < classes; j++)
        if ((double)z[j] > most) {
            most = (double)z[j];
            best = j;
        }
    *right = best == (t.share >= 0.5 ? t.a : t.b);
    for (uint32_t j = 0; j < classes; j++) {
        double e = exp((double)z[j] - most);

        sum_exp += e;
        sum_z += (double)z[j];
        if (d != NULL)
            d[j] = (float)e;
    }
    log_sum = most + log(sum_exp);
    if (d != NULL) {
        for (uint32_t j = 0; j < classes; j++)
            d[j] = (float)(((double)d[j] / sum_exp - smoothing / classes) * weight);
        d[t.a] -= (float)((1 - smoothing) * t.share * weight);
        if (t.share < 1)
            d[t.b] -= (float)((1 - smoothing) * (1 - t.share) * weight);
    }
    z_target =
        t.share < 1 ? t.share * (double)z[t.a] + (1 - t.share) * (double)z[t.b] : (double)z[t.a];
    return log_sum - (1 - smoothing) * z_target - smoothing * sum_z / classes;
}

/* Of these logits, times weight; its gradient goes to dlogits, unless there are none. */
static double head_loss(struct net *self, struct plan_array logits, struct plan_array dlogits,
                        const struct labels *labels, uint32_t n, float smoothing, double weight,
                        uint32_t *n_correct)
{
    const float *z = array_at(self->arena, logits, 0);
    float *d = array_at(self->arena, dlogits, 0);
    double sum = 0;

    *n_correct = 0;
    for (uint32_t i = 0; i < n; i++) {
        size_t row = (size_t)i * self->classes;
        struct target t = {labels->a[i], labels->b[i],
                           labels->shares != NULL ? (double)labels->shares[i] : 1};
        bool right;

        assert(t.a < self->classes && t.b < self->classes);
        sum += image_loss(z + row, d != NULL ? d + row : NULL, self->classes, t, (double)smoothing,
                          weight / n, &right);
        *n_correct += right;
    }
    return sum * weight / n;
}

double net_loss_mixed(struct net *self, const uint16_t *labels_a, const uint16_t *labels_b,
                      const float *shares, uint32_t n, float smoothing, uint32_t *n_correct)
{
    const struct plan *plan = self->plan;
    const struct labels labels = {labels_a, labels_b, shares};
    double weight = (double)self->aux_weight, loss;
    uint32_t n_aux;

    assert(plan != NULL && n == self->n);
    self->has_loss = plan->training;
    if (plan->aux_logits.at == plan->logits.at) /* one value, one gradient */
        return head_loss(self, plan->logits, plan->dlogits, &labels, n, smoothing, 1 + weight,
                         n_correct);
    loss = head_loss(self, plan->logits, plan->dlogits, &labels, n, smoothing, 1, n_correct);
    if (plan->aux_logits.at != PLAN_NONE)
        loss += head_loss(self, plan->aux_logits, plan->aux_dlogits, &labels, n, smoothing, weight,
                          &n_aux);
    return loss;
}

double net_loss(struct net *self, const uint16_t *labels, uint32_t n, float smoothing,
                uint32_t *n_correct)
{
    return net_loss_mixed(self, labels, labels, NULL, n, smoothing, n_correct);
}

double net_sum(struct net *self, float weight)
{
    const struct plan *plan = self->plan;
    size_t values = (size_t)self->n * self->classes;
    const float *z = array_at(self->arena, plan->logits, 0);
    float *d = array_at(self->arena, plan->dlogits, 0);
    float *aux = array_at(self->arena, plan->aux_dlogits, 0);
    double sum = 0;

    self->has_loss = plan->training;
    if (aux != NULL)
        memset(aux, 0, values * sizeof *aux);
    for (size_t i = 0; i < values; i++) {
        sum += (double)z[i];
        if (d != NULL)
            d[i] = weight;
    }
    return sum;
}
