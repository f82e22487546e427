/* allow_list.c - see allow_list.h. */
#include "allow_list.h"

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "checksum.h"
#include "log.h"
#include "rng.h"

#define PATH_BYTES 4096

struct allow_list {
    char *folder;
    struct certificate *certificates; /* by key */
    size_t n, cap;
    uint64_t mark; /* of all that stat() says of the files */
};

/* No key's file: hidden ones are editors' and volumes', secrets are nobody's business here. */
static bool is_ours(const char *name)
{
    static const char secret[] = "_secret";
    size_t len = strlen(name);

    return name[0] != '.' &&
           (len < sizeof secret || strcmp(name + len - sizeof secret + 1, secret) != 0);
}

static uint64_t mark_file(const char *path)
{
    struct stat s;
    uint64_t mark = checksum_crc32(path, strlen(path));

    if (stat(path, &s) != 0)
        return rng_mix(mark, 1);
    mark = rng_mix(mark, (uint64_t)s.st_ino);
    mark = rng_mix(mark, (uint64_t)s.st_size);
    mark = rng_mix(mark, (uint64_t)s.st_mtim.tv_sec * 1000000000u + (uint64_t)s.st_mtim.tv_nsec);
    return rng_mix(mark, (uint64_t)s.st_ctim.tv_sec * 1000000000u + (uint64_t)s.st_ctim.tv_nsec);
}

/* Calls visit for every file. False: the folder cannot be read (errno). */
static bool for_each_file(const struct allow_list *self, int (*visit)(void *ctx, const char *path),
                          void *ctx)
{
    DIR *folder = opendir(self->folder);
    const struct dirent *entry;
    char path[PATH_BYTES];
    int rc = FARM_OK;

    if (folder == NULL)
        return false;
    while (rc == FARM_OK && (entry = readdir(folder)) != NULL)
        if (is_ours(entry->d_name) &&
            snprintf(path, sizeof path, "%s/%s", self->folder, entry->d_name) < (int)sizeof path)
            rc = visit(ctx, path);
    (void)closedir(folder);
    return true;
}

static int add_mark(void *ctx, const char *path)
{
    *(uint64_t *)ctx += mark_file(path); /* a sum: the order in a folder is any */
    return FARM_OK;
}

static uint64_t mark_folder(const struct allow_list *self)
{
    uint64_t mark = 1;

    return for_each_file(self, add_mark, &mark) ? mark : 0;
}

static int by_key(const void *a, const void *b)
{
    const struct certificate *left = a, *right = b;

    return strcmp(left->public_key, right->public_key);
}

struct reading {
    struct allow_list *self;
    struct why *why; /* NULL: log what is wrong, go on */
    int rc;
    bool scarce; /* not read to the end: no descriptor or no memory */
};

/* Nothing that the list says: it is the process that has too little of something now. */
static bool is_scarcity(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

static int add_certificate(struct allow_list *self, const struct certificate *certificate,
                           struct why *why)
{
    if (self->n == self->cap) {
        size_t cap = self->cap > 0 ? 2 * self->cap : 16;
        struct certificate *more = realloc(self->certificates, cap * sizeof *more);

        if (more == NULL)
            return why_set(why, FARM_ENOMEM, "out of memory");
        self->certificates = more;
        self->cap = cap;
    }
    self->certificates[self->n++] = *certificate;
    return FARM_OK;
}

static int read_file(void *ctx, const char *path)
{
    struct reading *reading = ctx;
    struct certificate certificate;
    struct why why = {""};
    int rc = certificate_load(&certificate, path, false, &why);

    if (rc == FARM_ENOMEM || (rc == FARM_EIO && is_scarcity(errno))) {
        reading->scarce = true;
        return FARM_ENOMEM;
    }
    if (rc == FARM_OK &&
        (certificate.role == CERTIFICATE_NO_ROLE || certificate.role == CERTIFICATE_BROKER))
        rc = why_set(&why, FARM_EINPUT,
                     "%s: no peer's role: it needs role = \"controller\", \"worker\" or "
                     "\"observer\" under `metadata`",
                     path);
    if (rc == FARM_OK && (rc = add_certificate(reading->self, &certificate, &why)) == FARM_ENOMEM) {
        reading->scarce = true; /* a part of the list would turn honest peers away */
        errno = ENOMEM;
        return rc;
    }
    if (rc != FARM_OK && reading->why == NULL) {
        log_error("the allow list: %s", why.text);
        return FARM_OK;
    }
    if (rc != FARM_OK)
        *reading->why = why;
    return reading->rc = rc;
}

/* The key of two files that do not agree on its role is allowed nothing. */
static void settle_doubles(struct allow_list *self)
{
    size_t kept = 0;

    for (size_t i = 0, next; i < self->n; i = next) {
        bool agree = true;

        for (next = i + 1;
             next < self->n && by_key(&self->certificates[i], &self->certificates[next]) == 0;
             next++)
            agree &= self->certificates[next].role == self->certificates[i].role;
        if (agree)
            self->certificates[kept++] = self->certificates[i];
        else
            log_error("the allow list: the key %s has two roles, so it may do nothing",
                      self->certificates[i].public_key);
    }
    self->n = kept;
}

/* The list is replaced as a whole, or stays as it is: *scarce, and it has to be read once more. */
static int read_folder(struct allow_list *self, struct why *why, bool *scarce)
{
    struct allow_list fresh = {.folder = self->folder};
    struct reading reading = {&fresh, why, FARM_OK, false};
    bool there = for_each_file(self, read_file, &reading);
    int rc = reading.rc;

    *scarce = reading.scarce || (!there && is_scarcity(errno));
    if (*scarce) {
        free(fresh.certificates);
        return why_set(why, FARM_EIO, "%s: %s", self->folder, strerror(errno));
    }
    if (!there) {
        if (why == NULL)
            log_error("the allow list: %s: %s; nobody is allowed", self->folder, strerror(errno));
        rc = why_set(why, FARM_EINPUT, "%s: %s", self->folder, strerror(errno));
    }
    if (fresh.n > 0)
        qsort(fresh.certificates, fresh.n, sizeof *fresh.certificates, by_key);
    settle_doubles(&fresh);
    free(self->certificates);
    self->certificates = fresh.certificates;
    self->n = fresh.n;
    self->cap = fresh.cap;
    return rc;
}

int allow_list_create(struct allow_list **out, const char *folder, struct why *why)
{
    struct allow_list *self = calloc(1, sizeof *self);
    bool scarce;
    int rc;

    if (self == NULL || (self->folder = strdup(folder)) == NULL) {
        free(self);
        return why_set(why, FARM_ENOMEM, "out of memory");
    }
    self->mark = mark_folder(self);
    if ((rc = read_folder(self, why, &scarce)) == FARM_OK)
        *out = self;
    else
        allow_list_destroy(&self);
    return rc == FARM_OK ? rc : why_prefix(why, rc, "--allow");
}

void allow_list_destroy(struct allow_list **out)
{
    struct allow_list *self = *out;

    if (self == NULL)
        return;
    free(self->certificates);
    free(self->folder);
    free(self);
    *out = NULL;
}

bool allow_list_refresh(struct allow_list *self)
{
    uint64_t mark = mark_folder(self);
    bool scarce;

    if (mark == self->mark)
        return false;
    (void)read_folder(self, NULL, &scarce);
    if (scarce) {
        log_warn("the allow list cannot be read now (%s): the old one counts", strerror(errno));
        return false;
    }
    self->mark = mark;
    log_info("the allow list has changed: %zu keys", self->n);
    return true;
}

const struct certificate *allow_list_find(const struct allow_list *self, const char *key)
{
    struct certificate probe;

    if (self->n == 0 || strlen(key) != CERTIFICATE_KEY)
        return NULL;
    memcpy(probe.public_key, key, sizeof probe.public_key);
    return bsearch(&probe, self->certificates, self->n, sizeof probe, by_key);
}

size_t allow_list_size(const struct allow_list *self)
{
    return self->n;
}
