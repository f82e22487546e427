/* policy.c - see policy.h. With an LSTM the weights are: those of the LSTM; the first input (H); then for each step those
 * of its logits (H + 1, c), the last row biases, and the embeddings of its choices (c, H). */
#include "policy.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

static size_t step_weights(uint32_t choices, uint32_t H)
{
    return H > 0 ? (2 * (size_t)H + 1) * choices : choices;
}

static void lay_out(struct policy *self, const uint32_t *choices)
{
    uint32_t H = self->hidden;

    self->at[0] = H > 0 ? lstm_weights(H) + H : 0;
    for (uint32_t t = 0; t < self->n; t++) {
        self->choices[t] = choices[t];
        self->p_at[t + 1] = self->p_at[t] + choices[t];
        self->at[t + 1] = self->at[t] + step_weights(choices[t], H);
    }
    self->n_weights = self->at[self->n];
}

/* x, gates, c and h of each step. */
static int create_steps(struct policy *self)
{
    size_t H = self->hidden, room = 7 * H;

    if (H == 0)
        return FARM_OK;
    self->steps = calloc(self->n + 1, sizeof *self->steps);
    self->memory = calloc((self->n + 2) * room, sizeof *self->memory);
    if (self->steps == NULL || self->memory == NULL)
        return FARM_ENOMEM;
    for (uint32_t t = 0; t <= self->n; t++) {
        float *m = self->memory + t * room;

        self->steps[t] = (struct lstm_step){.x = m, .gates = m + H, .c = m + 5 * H, .h = m + 6 * H};
    }
    return FARM_OK;
}

static void draw_weights(struct policy *self, struct rng *rng)
{
    for (size_t i = 0; i < self->n_weights; i++)
        self->weights[i] = self->hidden > 0 ? (float)(0.2 * rng_uniform(rng) - 0.1)
                                            : (float)(1e-3 * rng_normal(rng));
}

int policy_init(struct policy *self, const uint32_t *choices, uint32_t n, uint32_t hidden,
                struct rng *rng)
{
    *self = (struct policy){.n = n, .hidden = hidden};
    self->choices = calloc(n + 1, sizeof *self->choices);
    self->at = calloc(n + 1, sizeof *self->at);
    self->p_at = calloc(n + 1, sizeof *self->p_at);
    if (self->choices != NULL && self->at != NULL && self->p_at != NULL) {
        lay_out(self, choices);
        self->weights = calloc(self->n_weights + 1, sizeof *self->weights);
        self->gradient = calloc(self->n_weights + 1, sizeof *self->gradient);
        self->p = calloc(self->p_at[n] + 1, sizeof *self->p);
        self->dz = calloc(self->p_at[n] + 1, sizeof *self->dz);
    }
    if (self->weights == NULL || self->gradient == NULL || self->p == NULL || self->dz == NULL ||
        create_steps(self) != FARM_OK) {
        policy_release(self);
        return FARM_ENOMEM;
    }
    draw_weights(self, rng);
    return FARM_OK;
}

void policy_release(struct policy *self)
{
    free(self->choices);
    free(self->at);
    free(self->p_at);
    free(self->weights);
    free(self->gradient);
    free(self->p);
    free(self->dz);
    free(self->steps);
    free(self->memory);
    *self = (struct policy){0};
}

/* The logits' weights of step t, and behind them the embeddings of its choices. */
static size_t embeddings_at(const struct policy *self, uint32_t t)
{
    return self->at[t] + (self->hidden + (size_t)1) * self->choices[t];
}

/* Where the input of step t is: an embedding of the choice before. */
static size_t input_at(const struct policy *self, uint32_t t, const uint32_t *values)
{
    if (t == 0)
        return lstm_weights(self->hidden);
    return embeddings_at(self, t - 1) + (size_t)values[t - 1] * self->hidden;
}

static void softmax(float *z, uint32_t n)
{
    float most = z[0], sum = 0;

    for (uint32_t k = 1; k < n; k++)
        most = fmaxf(most, z[k]);
    for (uint32_t k = 0; k < n; k++)
        sum += z[k] = expf(z[k] - most);
    for (uint32_t k = 0; k < n; k++)
        z[k] /= sum;
}

/* The probabilities of step t, given the values before it. */
static void walk_step(struct policy *self, uint32_t t, const uint32_t *values)
{
    uint32_t H = self->hidden, c = self->choices[t];
    float *p = self->p + self->p_at[t];
    const float *w = self->weights + self->at[t];
    const struct lstm_step *now;

    memcpy(p, w + (size_t)H * c, c * sizeof *p);
    if (H > 0) {
        now = &self->steps[t + 1];
        memcpy(now->x, self->weights + input_at(self, t, values), H * sizeof *now->x);
        lstm_forward(H, self->weights, &self->steps[t], now);
        for (uint32_t j = 0; j < H; j++)
            for (uint32_t k = 0; k < c; k++)
                p[k] += now->h[j] * w[(size_t)j * c + k];
    }
    softmax(p, c);
}

void policy_sample(struct policy *self, struct rng *rng, uint32_t *values)
{
    for (uint32_t t = 0; t < self->n; t++) {
        const float *p = self->p + self->p_at[t];
        double u = rng_uniform(rng);

        walk_step(self, t, values);
        for (values[t] = 0; values[t] + 1 < self->choices[t] && !(u < p[values[t]]); values[t]++)
            u -= p[values[t]];
    }
}

/* p log p, 0 at 0. */
static double surprise(double p)
{
    return p > 0 ? p * log(p) : 0;
}

static double entropy_of(const struct policy *self, uint32_t t)
{
    double sum = 0;

    for (size_t k = self->p_at[t]; k < self->p_at[t + 1]; k++)
        sum -= surprise(self->p[k]);
    return sum;
}

double policy_log_prob(struct policy *self, const uint32_t *values, const bool *counts,
                       double *entropy)
{
    double sum = 0, h = 0;

    for (uint32_t t = 0; t < self->n; t++) {
        walk_step(self, t, values);
        if (!counts[t])
            continue;
        sum += log(fmax(self->p[self->p_at[t] + values[t]], 1e-37));
        h += entropy_of(self, t);
    }
    if (entropy != NULL)
        *entropy = h;
    return sum;
}

/* Of a softmax: d log p_v / dz_k = (k = v) - p_k, dH / dz_k = -p_k (log p_k + H). */
static void by_logits(struct policy *self, uint32_t t, uint32_t value, double by_log_prob,
                      double by_entropy)
{
    double h = entropy_of(self, t);

    for (size_t k = 0; k < self->choices[t]; k++) {
        double p = self->p[self->p_at[t] + k];
        double d = by_log_prob * ((k == value) - p) - by_entropy * (surprise(p) + p * h);

        self->dz[self->p_at[t] + k] = (float)d;
    }
}

/* From the logits of step t to their weights, and into dh. */
static void by_state(struct policy *self, uint32_t t, float *dh)
{
    uint32_t H = self->hidden, c = self->choices[t];
    const float *dz = self->dz + self->p_at[t], *h = self->steps[t + 1].h;
    const float *w = self->weights + self->at[t];
    float *dw = self->gradient + self->at[t];

    for (uint32_t j = 0; j < H; j++)
        for (uint32_t k = 0; k < c; k++) {
            dw[(size_t)j * c + k] += h[j] * dz[k];
            dh[j] += w[(size_t)j * c + k] * dz[k];
        }
}

static void through_time(struct policy *self, const uint32_t *values)
{
    uint32_t H = self->hidden;
    float *dh = self->memory + (self->n + (size_t)1) * 7 * H, *dc = dh + H, *dx = dc + H,
          *dz = dx + H;

    memset(dh, 0, 2 * (size_t)H * sizeof *dh);
    for (uint32_t t = self->n; t-- > 0;) {
        by_state(self, t, dh);
        lstm_backward(H, self->weights, self->gradient, &self->steps[t], &self->steps[t + 1], dh,
                      dc, dx, dz);
        for (uint32_t j = 0; j < H; j++)
            self->gradient[input_at(self, t, values) + j] += dx[j];
    }
}

void policy_backward(struct policy *self, const uint32_t *values, const bool *counts,
                     double by_log_prob, double by_entropy)
{
    for (uint32_t t = 0; t < self->n; t++) {
        float *bias = self->gradient + self->at[t] + (size_t)self->hidden * self->choices[t];

        by_logits(self, t, values[t], counts[t] ? by_log_prob : 0, counts[t] ? by_entropy : 0);
        for (uint32_t k = 0; k < self->choices[t]; k++)
            bias[k] += self->dz[self->p_at[t] + k];
    }
    if (self->hidden > 0)
        through_time(self, values);
}
