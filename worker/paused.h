/* paused.h - a training as bytes: stopped on one worker, gone on with on another, as if it had never stopped.
 *
 * It is:     weights, running statistics, the optimizer's moments, averages, counters and the last numbers, by name, in
 *            one blob (blob.h, magic NFT1). Between two epochs that is all there is: whatever is drawn at random
 *            comes from a stream of (seed, epoch) or (seed, step), so the counters are the generators' state as well.
 * It is not: a snapshot within an epoch, nor the choice of what is paused or resumed.
 *
 * On the same instruction set the continued training has the same bits as one that was not paused. On another it goes
 * on with that one's rounding; isa names all that took part.
 */
#ifndef NASFARM_PAUSED_H
#define NASFARM_PAUSED_H

#include "ema.h"
#include "net.h"
#include "optimizer.h"
#include "task.h"

struct paused {
    struct net *net; /* these four are borrowed */
    struct optimizer *optimizer;
    struct ema *ema; /* NULL: none */
    const struct recipe *recipe;
    uint64_t seed, fingerprint;                /* of the task, of the data */
    uint64_t epochs, step, images;             /* done */
    double train_loss, fitness, loss, train_s; /* as in struct result */
    char isa[sizeof((struct result *)0)->isa]; /* joined by + in the order of their work */
};

/* *bytes is malloc'd. FARM_OK or FARM_ENOMEM. */
int paused_pack(const struct paused *self, uint8_t **bytes, size_t *len);
/* Fills the network, the optimizer, the averages, the counters and the numbers; isa gets `here` added. Nothing is
 * changed unless FARM_OK is returned: FARM_ECORRUPT when it is damaged, FARM_EVERSION, FARM_ENOMEM, or FARM_EINPUT when
 * it is of another network, recipe, data set or seed, with a sentence that says which. */
int paused_unpack(struct paused *self, const char *here, const uint8_t *bytes, size_t len,
                  struct why *why);

#endif
