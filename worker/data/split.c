/* split.c - see split.h. */
#include "split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"

enum part { TRAIN, VALIDATION, TEST, UNUSED };

/* Shares of a whole handed out class by class: after each class the sum is the rounded share of all seen so far, so
 * the total is exact and no class is off by more than one. */
struct share {
    double fraction;
    uint64_t seen, given;
};

static uint32_t share_of(struct share *self, uint32_t n)
{
    uint64_t due;

    self->seen += n;
    due = (uint64_t)floor(self->fraction * (double)self->seen + 0.5);
    if (due > self->given + n)
        due = self->given + n;
    n = (uint32_t)(due - self->given);
    self->given = due;
    return n;
}

/* The images of the training part by class (counting sort), each class shuffled by its own stream: class k starts at
 * start[k]. A bug is a label past classes: dataset_open() has checked it. */
static void order_by_class(uint32_t *order, uint32_t *start, const struct dataset *data,
                           uint64_t seed)
{
    struct rng rng;

    memset(start, 0, (data->classes + 1) * sizeof *start);
    for (uint32_t i = 0; i < data->n_train; i++)
        start[data->labels[i] + 1]++;
    for (uint32_t k = 0; k < data->classes; k++)
        start[k + 1] += start[k];
    for (uint32_t i = 0; i < data->n_train; i++)
        order[start[data->labels[i]]++] = i;
    memmove(start + 1, start, data->classes * sizeof *start); /* each start is now its end */
    start[0] = 0;
    for (uint32_t k = 0; k < data->classes; k++) {
        rng_seed(&rng, rng_mix(rng_mix(seed, 0x73706c6974 /* "split" */), k));
        rng_shuffle_u32(&rng, order + start[k], start[k + 1] - start[k]);
    }
}

/* part[i] of each image of the training part. The test part is dealt first, then validation, so that neither depends
 * on what follows. */
static void deal(uint8_t *part, const uint32_t *order, const uint32_t *start,
                 const struct dataset *data, const struct recipe *recipe)
{
    struct share test = {.fraction = data->n_test > 0 ? 0 : recipe->test_fraction};
    struct share validation = {.fraction = recipe->val_fraction};

    for (uint32_t k = 0; k < data->classes; k++) {
        uint32_t n = start[k + 1] - start[k];
        uint32_t n_test = share_of(&test, n), n_validation = share_of(&validation, n);

        if (n_validation > n - n_test) { /* a class too small for both */
            validation.given -= n_validation - (n - n_test);
            n_validation = n - n_test;
        }
        for (uint32_t i = 0; i < n; i++)
            part[order[start[k] + i]] = i < n_test                  ? TEST
                                        : i < n_test + n_validation ? VALIDATION
                                                                    : TRAIN;
    }
}

/* Keeps at most `most` training images, each class in proportion, the last of the shuffled order first. */
static void limit_train(uint8_t *part, const uint32_t *order, const uint32_t *start,
                        uint32_t classes, uint32_t n_train, uint32_t most)
{
    struct share keep = {.fraction = (double)most / (double)n_train};

    if (most == 0 || most >= n_train)
        return;
    for (uint32_t k = 0; k < classes; k++) {
        uint32_t n = 0, kept;

        for (uint32_t i = start[k]; i < start[k + 1]; i++)
            n += part[order[i]] == TRAIN;
        kept = share_of(&keep, n);
        for (uint32_t i = start[k + 1]; i-- > start[k];)
            if (part[order[i]] == TRAIN && kept > 0)
                kept--;
            else if (part[order[i]] == TRAIN)
                part[order[i]] = UNUSED;
    }
}

static uint32_t count(const uint8_t *part, uint32_t n, enum part wanted)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < n; i++)
        found += part[i] == wanted;
    return found;
}

/* Lays the three lists one behind the other in one block, owned through self->train. */
static int collect(struct split *self, const uint8_t *part, const struct dataset *data)
{
    uint32_t *lists[3], *at;
    size_t total = (size_t)self->n_train + self->n_validation + self->n_test;

    if ((at = malloc(total * sizeof *at)) == NULL)
        return FARM_ENOMEM;
    self->train = lists[TRAIN] = at;
    self->validation = lists[VALIDATION] = at + self->n_train;
    self->test = lists[TEST] = self->validation + self->n_validation;
    for (uint32_t i = 0; i < data->n_train; i++)
        if (part[i] != UNUSED)
            *lists[part[i]]++ = i;
    for (uint32_t i = 0; i < data->n_test; i++)
        *lists[TEST]++ = data->n_train + i;
    return FARM_OK;
}

int split_init(struct split *self, const struct dataset *data, const struct recipe *recipe,
               struct why *why)
{
    uint32_t *order = malloc(data->n_train * sizeof *order);
    uint32_t *start = malloc(((size_t)data->classes + 1) * sizeof *start);
    uint8_t *part = calloc(data->n_train, sizeof *part);
    int rc = FARM_ENOMEM;

    memset(self, 0, sizeof *self);
    if (order == NULL || start == NULL || part == NULL)
        goto out;
    order_by_class(order, start, data, recipe->split_seed);
    deal(part, order, start, data, recipe);
    for (uint32_t i = 0; recipe->final && i < data->n_train; i++)
        if (part[i] == VALIDATION)
            part[i] = TRAIN;
    limit_train(part, order, start, data->classes, count(part, data->n_train, TRAIN),
                recipe->train_images);
    self->n_train = count(part, data->n_train, TRAIN);
    self->n_validation = count(part, data->n_train, VALIDATION);
    self->n_test = count(part, data->n_train, TEST) + data->n_test;
    rc = self->n_train > 0 ? collect(self, part, data) : FARM_EINPUT;
out:
    free(order);
    free(start);
    free(part);
    if (rc == FARM_OK)
        return FARM_OK;
    memset(self, 0, sizeof *self);
    return rc == FARM_ENOMEM
               ? why_set(why, rc, "out of memory to split the %u images of %s", data->n, data->name)
               : why_set(
                     why, rc,
                     "val_fraction %g and test_fraction %g leave none of the %u images of %s to "
                     "train on",
                     recipe->val_fraction, recipe->test_fraction, data->n_train, data->name);
}

void split_release(struct split *self)
{
    free(self->train); /* the block of all three */
    memset(self, 0, sizeof *self);
}
