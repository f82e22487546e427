/* policy_gradient.c - see policy_gradient.h. */
#include "policy_gradient.h"

#include <math.h>

double baseline_value(const struct baseline *self)
{
    return self->corrected && self->weight > 0 ? self->sum / self->weight : self->sum;
}

double baseline_advantage(struct baseline *self, double reward)
{
    self->sum = self->decay * self->sum + (1 - self->decay) * reward;
    self->weight = self->decay * self->weight + (1 - self->decay);
    return reward - baseline_value(self);
}

double ppo_objective(double ratio, double advantage, double clip)
{
    double clipped = fmin(fmax(ratio, 1 - clip), 1 + clip);

    return fmin(ratio * advantage, clipped * advantage);
}

double ppo_slope(double ratio, double advantage, double clip)
{
    bool clipped = advantage > 0 ? ratio > 1 + clip : ratio < 1 - clip;

    return clipped ? 0 : ratio * advantage;
}
