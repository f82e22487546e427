/* mix.c - see mix.h. */
#include "mix.h"

#include <math.h>

/* Each image of a pair takes share of itself and the rest of the other. */
static void blend(float *a, float *b, size_t n, float share)
{
    for (size_t i = 0; i < n; i++) {
        float x = a[i], y = b[i];

        a[i] = share * x + (1 - share) * y;
        b[i] = share * y + (1 - share) * x;
    }
}

struct box {
    uint32_t top, bottom, left, right;
};

/* side pixels of `all` around a uniform one, within 0..all. */
static void draw_span(struct rng *rng, uint32_t all, double side, uint32_t *from, uint32_t *to)
{
    double middle = (double)rng_below(rng, all);

    *from = (uint32_t)fmax(0, middle - floor(side / 2));
    *to = (uint32_t)fmin(all, middle - floor(side / 2) + side);
}

static struct box draw_box(struct rng *rng, double alpha, uint32_t h, uint32_t w)
{
    double cut = sqrt(1 - rng_beta(rng, alpha));
    struct box box;

    draw_span(rng, h, floor(h * cut), &box.top, &box.bottom);
    draw_span(rng, w, floor(w * cut), &box.left, &box.right);
    return box;
}

/* To give each the rectangle of the other is to exchange the two. */
static void exchange(float *a, float *b, const struct box *box, uint32_t w, uint32_t c)
{
    for (uint32_t y = box->top; y < box->bottom; y++)
        for (size_t i = ((size_t)y * w + box->left) * c; i < ((size_t)y * w + box->right) * c;
             i++) {
            float x = a[i];

            a[i] = b[i];
            b[i] = x;
        }
}

bool mix_batch(const struct mix *self, struct rng *rng, float *images, const uint16_t *labels,
               uint16_t *labels_b, float *shares, uint32_t n, uint32_t h, uint32_t w, uint32_t c)
{
    size_t image = (size_t)h * w * c;
    bool cut = self->cutmix > 0;
    struct box box;
    float share;

    if (n < 2 || (self->mixup <= 0 && !cut))
        return false;
    if (cut && self->mixup > 0)
        cut = (rng_u64(rng) >> 63) != 0;
    if (cut) {
        box = draw_box(rng, self->cutmix, h, w);
        share = 1 - (float)((box.bottom - box.top) * (box.right - box.left)) / (float)(h * w);
    } else {
        share = (float)rng_beta(rng, self->mixup);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = n - 1 - i;

        labels_b[i] = labels[j];
        shares[i] = i != j ? share : 1; /* one in the middle stays itself */
        if (i >= j)
            continue;
        if (cut)
            exchange(images + i * image, images + j * image, &box, w, c);
        else
            blend(images + i * image, images + j * image, image, share);
    }
    return true;
}
