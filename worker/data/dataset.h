/* dataset.h - labelled images in memory, as read from a file of a known format.
 *
 * It is:     8-bit or float pixels, N,H,W,C, and labels; read once, then only read: forked evaluators share it.
 * It is not: batches, augmentation or standardisation (batch.h), nor which image is for what (split.h).
 */
#ifndef NASFARM_DATASET_H
#define NASFARM_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "limits.h"

struct dataset {
    char name[LIMIT_NAME + 1];
    uint32_t h, w, c, classes;
    uint32_t
        n; /* all images: n_train of the training part first, then n_test of a test part of its own */
    uint32_t n_train, n_test;
    const uint8_t *bytes; /* pixels 0..255, or NULL when floats is set */
    const float *floats;
    const uint16_t *labels; /* 0..classes-1 */
    uint64_t fingerprint;   /* of shape, pixels and labels; never 0 */
};

/* Uncompressed bytes that one file, and the pixels in memory, may have. */
#define DATASET_MAX_BYTES (8ull << 30)

/* Reads one data set. spec is [NAME=]FORMAT[:PATH]:
 *     digits            built in: 1,797 images 8x8x1, 10 classes
 *     idx:DIR           train-images-idx3-ubyte[.gz], train-labels-idx1-ubyte, and t10k-... for a test part
 *                       (or none of the two)
 *     cifar:PATH        a folder with data_batch_*.bin / *train*.bin and test_batch.bin / *test*.bin [.gz], or
 *                       one file (no test part); CIFAR-10's records of 3,073 bytes or CIFAR-100's of 3,074
 *     npz:FILE          arrays x_train,y_train[,x_test,y_test] or x,y. Pixels uint8 or float32; (n,h,w), (n,h,w,c)
 *                       or (n,features). Labels any integer type; (n) or (n,1)
 *     npy:X.npy,Y.npy   the same as two files [.gz]
 *     csv:FILE          [.gz] one image a line, the label last; optional header line
 * Rows of features (csv, and npz and npy of two dimensions) are square images of one channel unless the path ends in
 * ?h=..&w=..&c=..; in a csv ?label=first says that the label comes first.
 * NAME defaults to the format for built-in data, else to the last part of the path without extensions.
 * Labels are whole numbers from 0; those of the training part say how many classes there are. Half of them at least
 * must have an image.
 * Every failure is one sentence that names the file, the place in it, and the remedy. */
int dataset_open(struct dataset **out, const char *spec, struct why *why);
/* The same within another bound than DATASET_MAX_BYTES. */
int dataset_open_within(struct dataset **out, const char *spec, uint64_t max_bytes,
                        struct why *why);
void dataset_close(struct dataset **self);

#endif
