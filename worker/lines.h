/* lines.h - bytes from a pipe, cut into lines of bounded length.
 *
 * It is not: a reader that waits (the descriptor is non-blocking), nor a parser of what a line says (report.h).
 */
#ifndef NASFARM_LINES_H
#define NASFARM_LINES_H

#include <stdbool.h>
#include <stddef.h>

#define LINES_MAX 65536u /* bytes of one line; what is longer is dropped and counted */

struct lines {
    int fd; /* -1: closed */
    char *bytes;
    size_t len, cap;
    bool skipping; /* the rest of a line that was too long */
    size_t n_dropped;
};

/* line[0..len) has a NUL behind it, and no newline. */
typedef void lines_take(char *line, size_t len, void *ctx);

/* Owns fd from now on. */
void lines_init(struct lines *self, int fd);
void lines_release(struct lines *self);

/* Reads what is there, at most `most` bytes, and gives every complete line to take(); at the end of the stream also a
 * last one without newline, and closes fd. Returns whether there may be more to read at once. */
bool lines_read(struct lines *self, size_t most, lines_take *take, void *ctx);

#endif
