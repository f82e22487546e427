/* reward.c - see reward.h. */
#include "reward.h"

#include <math.h>

#define LEAST_SHARE 1e-3

double reward_of(const struct reward *self, double accuracy, double cost)
{
    double share = cost / self->target;

    return accuracy * pow(fmax(share, LEAST_SHARE), share <= 1 ? self->alpha : self->beta);
}
