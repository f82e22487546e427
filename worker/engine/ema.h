/* ema.h - the exponential moving average of a network's values, to be measured instead of the last ones.
 *
 * It is:     average += (1 - decay) * (value - average) after every step, from the first values on, for every
 *            parameter and for the running statistics of batch norm alike: the averaged weights get statistics of
 *            the same age, as TensorFlow's EfficientNet and PyTorch's AveragedModel(use_buffers) do it.
 *            (Polyak, Juditsky 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.)
 * It is not: a second network: the averages are swapped into the one there is, and out of it again.
 */
#ifndef NASFARM_EMA_H
#define NASFARM_EMA_H

#include "net.h"
#include "blob.h"

struct ema;

/* decay: 0..<1. warmup: the decay of update t = 0, 1, ... is min(decay, (1 + t) / (10 + t)), so that the first values,
 * which are random, do not linger. The net is borrowed. FARM_OK or FARM_ENOMEM. */
int ema_create(struct ema **out, struct net *net, double decay, bool warmup);
void ema_destroy(struct ema **self);
/* What ema_create() allocates for averages. */
uint64_t ema_bytes(const struct ema *self);

/* After an optimizer's step. */
void ema_update(struct ema *self);
/* Exchanges the network's values and the averages; twice is nothing. No update while they are exchanged. */
void ema_swap(struct ema *self);
uint64_t ema_updates(const struct ema *self);
void ema_set_updates(struct ema *self, uint64_t updates);
/* Adds every average to a list, as "average/NAME". */
void ema_list(struct ema *self, struct blob_list *list);

#endif
