/* batch.c - see batch.h. */
#include "batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- standardisation -- */

/* Sums of bytes are exact in 64 bits: 2^32 images * 2^24 pixels * 2^16 would not be, but 8 GiB of them are. */
static void measure_bytes(double *mean, double *variance, const struct dataset *data,
                          const uint32_t *images, uint32_t n, uint32_t channel)
{
    size_t pixels = (size_t)data->h * data->w;
    uint64_t sum = 0, squares = 0;
    double count = (double)pixels * n;

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = data->bytes + images[i] * pixels * data->c + channel;

        for (size_t k = 0; k < pixels; k++, p += data->c) {
            sum += *p;
            squares += (uint32_t)*p * *p;
        }
    }
    *mean = (double)sum / count;
    *variance = (double)squares / count - *mean * *mean;
}

/* Two passes: the values may lie far from 0. */
static void measure_floats(double *mean, double *variance, const struct dataset *data,
                           const uint32_t *images, uint32_t n, uint32_t channel)
{
    size_t pixels = (size_t)data->h * data->w;
    double sums[2] = {0, 0}, count = (double)pixels * n;

    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < n; i++) {
            const float *p = data->floats + images[i] * pixels * data->c + channel;

            for (size_t k = 0; k < pixels; k++, p += data->c) {
                double off = (double)*p - sums[0] / count;

                sums[pass] += pass == 0 ? (double)*p : off * off;
            }
        }
    *mean = sums[0] / count;
    *variance = sums[1] / count;
}

int standard_init(struct standard *self, const struct dataset *data, const uint32_t *images,
                  uint32_t n, struct why *why)
{
    if ((self->mean = malloc(2 * (size_t)data->c * sizeof *self->mean)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to standardise %u channels", data->c);
    self->inv_std = self->mean + data->c;
    for (uint32_t channel = 0; channel < data->c; channel++) {
        double mean, variance;

        if (data->bytes != NULL)
            measure_bytes(&mean, &variance, data, images, n, channel);
        else
            measure_floats(&mean, &variance, data, images, n, channel);
        self->mean[channel] = (float)mean;
        /* Rounding leaves a constant channel a variance around 1e-16 of its square. */
        self->inv_std[channel] =
            variance > 1e-12 * mean * mean && variance > 1e-30 ? (float)(1 / sqrt(variance)) : 1.0f;
    }
    return FARM_OK;
}

void standard_release(struct standard *self)
{
    free(self->mean);
    *self = (struct standard){NULL, NULL};
}

/* -- one image -- */

/* One row of the output: x_from..x_to of it lie on the input, the rest reads 0. source is that input row, or NULL. */
static void fill_row(float *out, const struct dataset *data, const struct standard *standard,
                     const uint8_t *bytes, const float *floats, const struct augmentation *how)
{
    int32_t w = (int32_t)data->w;
    uint32_t c = data->c;

    for (int32_t x = 0; x < w; x++) {
        int32_t from = (how->flip ? w - 1 - x : x) + how->shift_x;
        bool inside = from >= 0 && from < w;

        for (uint32_t k = 0; k < c; k++) {
            size_t at = (size_t)(inside ? from : 0) * c + k;
            float value = !inside          ? 0
                          : bytes != NULL  ? (float)bytes[at]
                          : floats != NULL ? floats[at]
                                           : 0;

            *out++ = (value - standard->mean[k]) * standard->inv_std[k];
        }
    }
}

static void erase_square(float *out, const struct dataset *data, const struct augmentation *how)
{
    int32_t h = (int32_t)data->h, w = (int32_t)data->w, side = (int32_t)how->cutout;
    int32_t top = how->cut_y > 0 ? how->cut_y : 0, left = how->cut_x > 0 ? how->cut_x : 0;
    int32_t bottom = how->cut_y + side < h ? how->cut_y + side : h;
    int32_t right = how->cut_x + side < w ? how->cut_x + side : w;

    for (int32_t y = top; y < bottom && left < right; y++)
        memset(out + (size_t)(y * w + left) * data->c, 0,
               (size_t)(right - left) * data->c * sizeof *out);
}

void augment(float *out, const struct dataset *data, const struct standard *standard,
             uint32_t image, const struct augmentation *how)
{
    size_t row = (size_t)data->w * data->c, first = image * row * data->h;

    for (int32_t y = 0; y < (int32_t)data->h; y++) {
        int32_t from = y + how->shift_y;
        bool inside = from >= 0 && from < (int32_t)data->h;
        size_t at = first + (inside ? (size_t)from * row : 0);

        fill_row(out + (size_t)y * row, data, standard,
                 inside && data->bytes != NULL ? data->bytes + at : NULL,
                 inside && data->floats != NULL ? data->floats + at : NULL, how);
    }
    if (how->cutout > 0)
        erase_square(out, data, how);
}

/* -- epochs -- */

int batches_init(struct batches *self, const struct dataset *data, const struct standard *standard,
                 const uint32_t *images, uint32_t n, bool shuffled, uint64_t seed, struct why *why)
{
    *self = (struct batches){
        .data = data, .standard = standard, .images = images, .n = n, .seed = seed};
    if (shuffled && (self->order = malloc((n > 0 ? n : 1) * sizeof *self->order)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory to shuffle %u images", n);
    batches_start(self, 0);
    return FARM_OK;
}

void batches_release(struct batches *self)
{
    free(self->order);
    self->order = NULL;
}

void batches_start(struct batches *self, uint32_t epoch)
{
    self->at = 0;
    rng_seed(&self->rng, rng_mix(rng_mix(self->seed, 0x65706f6368 /* "epoch" */), epoch));
    if (self->order == NULL)
        return;
    for (uint32_t i = 0; i < self->n; i++)
        self->order[i] = self->images[i];
    rng_shuffle_u32(&self->rng, self->order, self->n);
}

/* Draws only what is asked for, so that one option does not change the draws of another epoch's order. */
static struct augmentation draw(struct batches *self)
{
    struct augmentation how = {.cutout = self->cutout};

    if (self->crop_pad > 0) {
        uint64_t places = 2 * (uint64_t)self->crop_pad + 1;

        how.shift_y = (int32_t)rng_below(&self->rng, places) - (int32_t)self->crop_pad;
        how.shift_x = (int32_t)rng_below(&self->rng, places) - (int32_t)self->crop_pad;
    }
    if (self->flip)
        how.flip = (rng_u64(&self->rng) >> 63) != 0;
    if (self->cutout > 0) {
        how.cut_y = (int32_t)rng_below(&self->rng, self->data->h) - (int32_t)(self->cutout / 2);
        how.cut_x = (int32_t)rng_below(&self->rng, self->data->w) - (int32_t)(self->cutout / 2);
    }
    return how;
}

uint32_t batches_next(struct batches *self, uint32_t most, float *images, uint16_t *labels)
{
    const uint32_t *list = self->order != NULL ? self->order : self->images;
    size_t image = (size_t)self->data->h * self->data->w * self->data->c;
    uint32_t n = self->n - self->at < most ? self->n - self->at : most;

    for (uint32_t i = 0; i < n; i++) {
        struct augmentation how = draw(self);
        uint32_t which = list[self->at + i];

        augment(images + i * image, self->data, self->standard, which, &how);
        labels[i] = self->data->labels[which];
    }
    self->at += n;
    return n;
}
