/* lines.c - see lines.h. */
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIRST_BYTES 4096

void lines_init(struct lines *self, int fd)
{
    *self = (struct lines){.fd = fd};
}

void lines_release(struct lines *self)
{
    if (self->fd >= 0)
        close(self->fd);
    free(self->bytes);
    lines_init(self, -1);
}

/* Room for one more byte and a NUL; false when the line is too long, or there is no memory. */
static bool make_room(struct lines *self)
{
    size_t cap = self->cap > 0 ? self->cap * 2 : FIRST_BYTES;
    char *bytes;

    if (self->len + 1 < self->cap)
        return true;
    if (cap > LINES_MAX + 1)
        cap = LINES_MAX + 1;
    if (cap <= self->cap || (bytes = realloc(self->bytes, cap)) == NULL)
        return false;
    self->bytes = bytes;
    self->cap = cap;
    return true;
}

static void end_line(struct lines *self, lines_take *take, void *ctx)
{
    size_t len = self->len;

    self->len = 0;
    if (self->skipping) {
        self->skipping = false;
        return;
    }
    if (len > 0) {
        self->bytes[len] = '\0';
        take(self->bytes, len, ctx);
    }
}

static void add(struct lines *self, const char *bytes, size_t n, lines_take *take, void *ctx)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == '\n') {
            end_line(self, take, ctx);
        } else if (!self->skipping) {
            if (make_room(self)) {
                self->bytes[self->len++] = bytes[i];
            } else {
                self->skipping = true;
                self->n_dropped++;
            }
        }
    }
}

bool lines_read(struct lines *self, size_t most, lines_take *take, void *ctx)
{
    char chunk[4096];

    while (self->fd >= 0 && most > 0) {
        ssize_t n = read(self->fd, chunk, most < sizeof chunk ? most : sizeof chunk);

        if (n > 0) {
            add(self, chunk, (size_t)n, take, ctx);
            most -= (size_t)n;
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0 && errno == EAGAIN) {
            return false;
        } else {
            end_line(self, take, ctx);
            close(self->fd);
            self->fd = -1;
        }
    }
    return self->fd >= 0;
}
