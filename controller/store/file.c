/* file.c - the folder of a store: made, locked, looked at; and the sentences for what went wrong with it. */
#include "inside.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "log.h"

int file_make_folder(const char *dir, struct why *why)
{
    char path[4096];
    size_t len = strlen(dir);

    if (len == 0 || len >= sizeof path)
        return why_set(why, FARM_EINPUT, "the store's folder '%.60s' has no usable name", dir);
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            return why_set(why, FARM_EIO, "cannot make the folder %.200s: %s", path,
                           strerror(errno));
        path[i] = i < len ? '/' : '\0';
    }
    return FARM_OK;
}

/* The lock is the kernel's, of this open file: it goes when the process does, however it ends. The pid in the
 * file is for people. */
int file_lock(const char *dir, int *fd, struct why *why)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[4200], text[32] = "";
    int file;

    (void)snprintf(path, sizeof path, "%s/writer.lock", dir);
    if ((file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return why_set(why, errno == ENOENT ? FARM_ENOTFOUND : FARM_EIO, "cannot open %.200s: %s",
                       path, strerror(errno));
    if (fcntl(file, F_OFD_SETLK, &lock) != 0) {
        int err = errno;

        if (pread(file, text, sizeof text - 1, 0) < 0)
            text[0] = '\0';
        (void)close(file);
        if (err != EAGAIN && err != EACCES)
            return why_set(why, FARM_EIO, "cannot lock %.200s: %s", path, strerror(err));
        return why_set(why, FARM_EBUSY,
                       "the store %.200s is in use by process %ld: stop that one first", dir,
                       strtol(text, NULL, 10));
    }
    (void)snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, text, strlen(text), 0) < 0)
        log_debug("%s: the pid could not be written: %s", path, strerror(errno));
    *fd = file;
    return FARM_OK;
}

static int sync_one(const char *dir, struct why *why)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = FARM_OK;

    /* A folder that may be entered but not read cannot be synced: that is no reason to refuse it. */
    if (fd < 0 && errno == EACCES)
        return FARM_OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL))
        rc = why_set(why, FARM_EIO, "cannot sync the folder %.200s: %s", dir, strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return rc;
}

int file_sync_folder(const char *dir, struct why *why)
{
    char parent[4200];
    int rc = sync_one(dir, why);

    (void)snprintf(parent, sizeof parent, "%s/..", dir);
    return rc == FARM_OK ? sync_one(parent, why) : rc;
}

void file_warn_about_network(const char *dir)
{
    static const struct {
        unsigned long magic;
        const char *name;
    } doubtful[] = {{0x6969, "NFS"},      {0x01021997, "9P"},   {0x794c7630, "overlay"},
                    {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}, {0x65735546, "FUSE"},
                    {0x00c36400, "Ceph"}};
    struct statfs fs;

    if (statfs(dir, &fs) != 0)
        return;
    for (size_t i = 0; i < sizeof doubtful / sizeof doubtful[0]; i++)
        if (((unsigned long)fs.f_type & 0xffffffffu) == doubtful[i].magic)
            log_warn("the store %s is on a file system (%s) whose memory maps and locks may not be "
                     "safe: put it on a local disk or a volume",
                     dir, doubtful[i].name);
}

/* LMDB maps its lock file: a page of it that the disk has no room for would be a bus error, and no error code. */
int file_reserve_lock(const char *dir)
{
    char path[4200];
    int fd, rc;

    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        return 0; /* LMDB will say why, in its own way */
    rc = posix_fallocate(fd, 0, READERS_MAX * 64 + 128 /* as LMDB makes it */);
    (void)close(fd);
    return rc == ENOSPC || rc == EDQUOT ? rc : 0;
}

uint64_t file_size(const char *dir)
{
    char path[4200];
    struct stat st;

    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

/* LMDB calls a write that came out short an input/output error; on a disk that is full, say so. */
static int no_room(const struct store *self, int rc, const char *doing, struct why *why)
{
    struct statvfs fs;
    char room[80] = "";

    if (statvfs(self->dir, &fs) == 0) {
        double free_mb = (double)fs.f_bavail * (double)fs.f_frsize / 1e6;

        if (rc == EIO && free_mb < 1)
            rc = ENOSPC;
        (void)snprintf(room, sizeof room, "; %.1f MB are free there", free_mb);
    }
    return why_set(why, FARM_ESTORE,
                   "cannot %s %.180s/data.mdb: %s%s: make room, nothing recorded is lost", doing,
                   self->dir, strerror(rc), room);
}

int store_error(const struct store *self, int rc, const char *doing, struct why *why)
{
    switch (rc) {
    case MDB_SUCCESS: return FARM_OK;
    case ENOMEM: return why_set(why, FARM_ENOMEM, "cannot %s %.200s: no memory", doing, self->dir);
    case ENOENT:
        return why_set(why, FARM_ENOTFOUND, "there is no store in %.200s: no data.mdb", self->dir);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO: return no_room(self, rc, doing, why);
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
        return why_set(why, FARM_ECORRUPT,
                       "%.200s/data.mdb is damaged or no store (%s): take it back from a copy",
                       self->dir, mdb_strerror(rc));
    case MDB_VERSION_MISMATCH:
        return why_set(why, FARM_EVERSION, "%.200s/data.mdb is of another version of LMDB",
                       self->dir);
    }
    return why_set(why, FARM_ESTORE, "cannot %s %.200s/data.mdb: %s", doing, self->dir,
                   mdb_strerror(rc));
}

int store_corrupt(const struct store *self, enum table table, const MDB_val *key, struct why *why)
{
    char name[80] = "?";
    struct why here;

    if ((store_tables[table].flags & MDB_INTEGERKEY) != 0 && key->mv_size == sizeof(uint64_t)) {
        uint64_t number;

        memcpy(&number, key->mv_data, sizeof number);
        (void)snprintf(name, sizeof name, "%llu", (unsigned long long)number);
    } else if (table == TABLE_META || table == TABLE_BLOBS) {
        (void)snprintf(name, sizeof name, "%.*s", (int)(key->mv_size < 70 ? key->mv_size : 70),
                       (const char *)key->mv_data);
    } else if (table == TABLE_BY_FITNESS && key->mv_size == FITNESS_KEY) {
        (void)snprintf(name, sizeof name, "trial %llu",
                       (unsigned long long)trial_of_key(key->mv_data));
    } else if (key->mv_size == sizeof(struct digest)) {
        struct digest hash;

        memcpy(&hash, key->mv_data, sizeof hash);
        digest_hex(&hash, name);
    }
    (void)why_set(&here, FARM_ECORRUPT,
                  "%.180s/data.mdb is damaged: record %s of table '%s' does not match its checksum",
                  self->dir, name, store_tables[table].name);
    if (why != NULL)
        *why = here;
    else
        log_error("%s", here.text);
    return FARM_ECORRUPT;
}
