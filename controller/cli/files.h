/* files.h - folders and whole files, with sentences when the system refuses. It is not: the store. */
#ifndef NASFARM_FILES_H
#define NASFARM_FILES_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* Makes the folder and its parents. *made says whether the last one is new (may be NULL). */
int folder_make(const char *path, bool *made, struct why *why);
/* Writes a whole file: a reader sees the old one or the new one, never a part. A link stays one; a device or a pipe
 * is written to, not replaced. */
int file_write(const char *path, const void *bytes, size_t len, struct why *why);

/* Reads a whole plain file of at most `most` bytes; a NUL stands behind them. *out is malloc'd. FARM_EINPUT. */
int file_read(const char *path, size_t most, char **out, size_t *len, struct why *why);

/* The same, or to standard output, as a line, where path is NULL or "-". */
int text_write(const char *path, const char *text, size_t len, struct why *why);

#endif
