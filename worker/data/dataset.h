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
    uint32_t n;            /* all images: n_train of the training part first, then n_test of a test part of its own */
    uint32_t n_train, n_test;
    const uint8_t *bytes;  /* pixels 0..255, or NULL when floats is set */
    const float *floats;
    const uint16_t *labels; /* 0..classes-1 */
    uint64_t fingerprint;   /* of shape, pixels and labels */
};

/* Reads one data set. spec is [NAME=]FORMAT[:PATH]:
 *     digits            built in: 1,797 images 8x8x1, 10 classes
 *     idx:DIR           train-images-idx3-ubyte[.gz], train-labels-..., t10k-images-..., t10k-labels-...
 *     cifar:PATH        a folder with data_batch_*.bin / *train*.bin and test_batch.bin / *test*.bin [.gz], or one file
 *     npz:FILE          arrays x_train,y_train[,x_test,y_test] or x,y (uint8 or float32; (n,h,w), (n,h,w,c) or (n,features))
 *     npy:X.npy,Y.npy   the same as two files
 *     csv:FILE          [.gz] one image a line, the label last; optional header line; square unless ?h=..&w=..&c=..&label=first
 * NAME defaults to the format for built-in data, else to the last part of the path without extensions.
 * Every failure is one sentence that names the file, the place in it, and the remedy. */
int dataset_open(struct dataset **out, const char *spec, struct why *why);
void dataset_close(struct dataset **self);

#endif
