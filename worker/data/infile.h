/* infile.h - one input file, plain or gzip, read from front to back within a bound.
 *
 * It is:     how every reader gets its bytes; memory grows with what really arrives, so a header that
 *            promises too much costs nothing, and a gzip bomb ends at the bound.
 * It is not: a format (reader.h).
 */
#ifndef NASFARM_INFILE_H
#define NASFARM_INFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#include "err.h"

struct infile {
    gzFile gz;
    const char *path;   /* borrowed */
    uint64_t at, bound; /* uncompressed bytes read, and allowed */
};

/* Only regular files; one named .gz must be gzip. Release it also after a failure. */
int infile_open(struct infile *self, const char *path, uint64_t bound, struct why *why);
void infile_release(struct infile *self);

/* The next `want` bytes, in memory from malloc with a NUL behind them. `what` they are is for the sentence. */
int infile_take(struct infile *self, uint64_t want, const char *what, uint8_t **bytes,
                struct why *why);
/* All that is left, likewise. */
int infile_take_rest(struct infile *self, uint8_t **bytes, size_t *len, struct why *why);
/* There must be nothing left. */
int infile_at_end(struct infile *self, struct why *why);

#endif
