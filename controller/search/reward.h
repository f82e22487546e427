/* reward.h - accuracy and cost as one number: the reward of MnasNet (M. Tan et al. 2019, arXiv:1807.11626, section 3).
 *
 * It is:     accuracy * (cost / target)^w, where w is alpha up to the target and beta past it.
 * It is not: a constraint (which refuses what is past it), nor a front (nsga2.c).
 */
#ifndef NASFARM_REWARD_H
#define NASFARM_REWARD_H

struct reward {
    double target;      /* in the unit of the cost; above 0 */
    double alpha, beta; /* up to the target, past it; usually not above 0 */
};

/* Twice the cost must buy five percent of accuracy, on both sides: 1.05 * 2^w = 1 has w = -0.0704. */
#define REWARD_SOFT -0.07, -0.07
/* Nothing is gained below the target; past it accuracy is divided by how far. */
#define REWARD_HARD 0.0, -1.0

/* accuracy: a fraction, above 0 (below, a larger cost would raise the reward); cost: at least 0. At a cost of 0 a negative
 * alpha would make it infinite: it counts as a thousandth of the target. */
double reward_of(const struct reward *self, double accuracy, double cost);

#endif
