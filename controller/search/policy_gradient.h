/* policy_gradient.h - what a policy learns from one reward: the baseline, the advantage, PPO's clipped objective.
 *
 * It is:     arithmetic of REINFORCE (R. J. Williams 1992) and PPO (J. Schulman et al. 2017, arXiv:1707.06347), where one
 *            genome is a whole episode with one reward.
 * It is not: a policy (policy.h), nor an optimizer (adam.h).
 */
#ifndef NASFARM_POLICY_GRADIENT_H
#define NASFARM_POLICY_GRADIENT_H

#include <stdbool.h>

/* A moving average of rewards that starts at 0. */
struct baseline {
    double decay;
    bool
        corrected; /* divided by the weight of all rewards so far: without it the first ones count for too little */
    double sum, weight;
};
/* Takes the reward in first, and returns reward - baseline, as ENAS and NAS-Bench-201's REINFORCE do. */
double baseline_advantage(struct baseline *self, double reward);
double baseline_value(const struct baseline *self);

/* min(ratio A, clip(ratio, 1 - clip, 1 + clip) A); ratio = pi / pi_old. */
double ppo_objective(double ratio, double advantage, double clip);
/* Its derivative by log pi: ratio A, or 0 where the clipped branch is the smaller. */
double ppo_slope(double ratio, double advantage, double clip);

#endif
