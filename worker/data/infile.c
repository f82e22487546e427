/* infile.c - see infile.h. */
#include "infile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTES ((uint64_t)256 * 1024) /* allocated before anything has arrived */
#define CHUNK       ((size_t)4 * 1024 * 1024)

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

int infile_open(struct infile *self, const char *path, uint64_t bound, struct why *why)
{
    struct stat st;
    int fd;

    *self = (struct infile){.path = path, .bound = bound};
    /* Not blocking: a FIFO must not hold us before fstat() has said what it is. */
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0)
        return why_set(why, FARM_EINPUT, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return why_set(why, FARM_EINPUT, "%s is not a regular file: name the data file itself",
                       path);
    }
    if (st.st_size == 0) {
        (void)close(fd);
        return why_set(why, FARM_EINPUT, "%s is empty: fetch it again", path);
    }
    if ((self->gz = gzdopen(fd, "rb")) == NULL) {
        (void)close(fd);
        return why_set(why, FARM_ENOMEM, "out of memory to open %s", path);
    }
    (void)gzbuffer(self->gz, 256 * 1024);
    if (ends_in(path, ".gz") && gzdirect(self->gz))
        return why_set(why, FARM_EINPUT, "%s is not gzip: rename it without .gz, or compress it",
                       path);
    return FARM_OK;
}

void infile_release(struct infile *self)
{
    if (self->gz != NULL)
        (void)gzclose_r(self->gz); /* closes the descriptor too */
    self->gz = NULL;
}

/* Reads up to want bytes; *got < want means that the file is over, and over as it should be. */
static int read_some(struct infile *self, uint8_t *to, size_t want, size_t *got, struct why *why)
{
    int n, code = Z_OK;
    const char *sentence;

    *got = 0;
    while (*got < want) {
        size_t chunk = want - *got < CHUNK ? want - *got : CHUNK;

        errno = 0;
        n = gzread(self->gz, to + *got, (unsigned)chunk);
        if (n > 0) {
            *got += (size_t)n;
            self->at += (uint64_t)n;
        }
        sentence = gzerror(self->gz, &code);
        if (code == Z_BUF_ERROR)
            return why_set(why, FARM_EINPUT,
                           "%s: the gzip stream is truncated: it ends after %lld compressed bytes: "
                           "fetch it again",
                           self->path, (long long)gzoffset(self->gz));
        if (n < 0 && code == Z_ERRNO)
            return why_set(why, FARM_EIO, "cannot read %s: %s", self->path, strerror(errno));
        if (n < 0)
            return why_set(why, FARM_EINPUT,
                           "%s: the gzip stream is damaged after %llu bytes (%s): fetch it again",
                           self->path, (unsigned long long)self->at, sentence);
        if (n == 0)
            break;
    }
    return FARM_OK;
}

/* Reads until `want` bytes are there or the file is over; memory doubles as bytes arrive. */
static int take(struct infile *self, uint64_t want, uint8_t **bytes, size_t *len, struct why *why)
{
    uint64_t room = want < FIRST_BYTES ? want : FIRST_BYTES;
    uint8_t *buffer = malloc((size_t)room + 1), *larger;
    size_t used = 0, got = 0;
    int rc = FARM_OK;

    if (buffer == NULL)
        goto no_memory;
    for (;;) {
        if ((rc = read_some(self, buffer + used, (size_t)room - used, &got, why)) != FARM_OK)
            goto out;
        used += got;
        if (used < room || room == want)
            break;
        room = want / 2 < room ? want : room * 2;
        if ((larger = realloc(buffer, (size_t)room + 1)) == NULL)
            goto no_memory;
        buffer = larger;
    }
    buffer[used] = '\0';
    *bytes = buffer;
    *len = used;
    return FARM_OK;
no_memory:
    rc = why_set(why, FARM_ENOMEM, "out of memory for the first %llu bytes of %s",
                 (unsigned long long)room, self->path);
out:
    free(buffer);
    return rc;
}

int infile_take(struct infile *self, uint64_t want, const char *what, uint8_t **bytes,
                struct why *why)
{
    uint64_t from = self->at;
    size_t len = 0;
    int rc;

    *bytes = NULL;
    if (want > self->bound || from > self->bound - want)
        return why_set(why, FARM_EINPUT,
                       "%s: %s would take %llu bytes: more than %llu are not read", self->path,
                       what, (unsigned long long)want, (unsigned long long)self->bound);
    if ((rc = take(self, want, bytes, &len, why)) != FARM_OK)
        return rc;
    if (len < want) {
        free(*bytes);
        *bytes = NULL;
        return why_set(why, FARM_EINPUT,
                       "%s is truncated: %llu bytes of %s should follow byte %llu, but %zu do: "
                       "fetch it again",
                       self->path, (unsigned long long)want, what, (unsigned long long)from, len);
    }
    return FARM_OK;
}

int infile_take_rest(struct infile *self, uint8_t **bytes, size_t *len, struct why *why)
{
    uint64_t most = self->bound - self->at; /* infile_take() keeps at <= bound */
    int rc;

    *bytes = NULL;
    if ((rc = take(self, most + 1, bytes, len, why)) != FARM_OK)
        return rc;
    if (*len > most) {
        free(*bytes);
        *bytes = NULL;
        return why_set(why, FARM_EINPUT,
                       "%s has more than %llu bytes uncompressed: more are not read", self->path,
                       (unsigned long long)self->bound);
    }
    return FARM_OK;
}

int infile_at_end(struct infile *self, struct why *why)
{
    uint64_t at = self->at;
    uint8_t byte;
    size_t got;
    int rc = read_some(self, &byte, 1, &got, why);

    if (rc == FARM_OK && got > 0)
        rc = why_set(why, FARM_EINPUT,
                     "%s goes on after its last image at byte %llu: it does not have the size that "
                     "its header says",
                     self->path, (unsigned long long)at);
    return rc;
}
