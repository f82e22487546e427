/* reader.h - what the readers of the formats give to dataset.c.
 *
 * It is not: for anyone outside this folder (dataset.h is).
 */
#ifndef NASFARM_READER_H
#define NASFARM_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "infile.h"

/* A data set on its way: a reader fills it, dataset.c checks the labels. Whatever is allocated when a reader
 * fails is released by dataset.c as well. */
struct draft {
    uint32_t h, w, c;
    uint32_t n_train, n_test;
    uint32_t classes; /* 0: as the training labels say */
    uint8_t *bytes;   /* malloc'd: either these */
    float *floats;    /* or these */
    uint16_t *labels; /* malloc'd */
};

/* What follows '?' in a path: the shape of one row, and where its label is. 0: not said. */
struct row_form {
    uint32_t h, w, c;
    bool label_first;
};

/* The name of the file that is there, PATH or PATH.gz, in out; false when neither is. */
bool reader_find(char *out, size_t size, const char *path);
/* Every number within the limits of proto/limits.h and n*h*w*c*value_bytes within max_bytes, else a sentence. */
int reader_check_shape(const char *path, uint64_t n, uint64_t h, uint64_t w, uint64_t c,
                       size_t value_bytes, uint64_t max_bytes, struct why *why);
/* Fills out->h, w, c for rows of so many features. */
int reader_row_shape(struct draft *out, const char *path, uint64_t features,
                     const struct row_form *form, struct why *why);

int reader_idx(struct draft *out, const char *folder, uint64_t max_bytes, struct why *why);
int reader_cifar(struct draft *out, const char *path, uint64_t max_bytes, struct why *why);
int reader_npz(struct draft *out, const char *path, const struct row_form *form, uint64_t max_bytes,
               struct why *why);
int reader_npy(struct draft *out, const char *two_paths, const struct row_form *form,
               uint64_t max_bytes, struct why *why);
int reader_csv(struct draft *out, const char *path, const struct row_form *form, uint64_t max_bytes,
               struct why *why);
/* text[0..len) has a NUL behind it; path is for sentences. */
int reader_csv_text(struct draft *out, const char *text, size_t len, const char *path,
                    const struct row_form *form, uint64_t max_bytes, struct why *why);
int reader_digits(struct draft *out, struct why *why);

/* One member of a zip archive in memory, uncompressed, checked: malloc'd, NUL behind it. FARM_ENOTFOUND, without
 * a sentence, when there is no member of that name. */
int unzip_member(const uint8_t *zip, size_t len, const char *member, const char *path,
                 uint64_t max_bytes, uint8_t **bytes, size_t *bytes_len, struct why *why);

#endif
