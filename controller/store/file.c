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

/* ---------------------------------------------------------------- who has it open

   Locks of the kernel on bytes of writer.lock, which go when their process does, however it ends. Byte 0 is the
   writer's. Byte 1 + N is shared by all processes of PID namespace N: LMDB tells its readers apart by their pids alone,
   so two containers with a volume in common would free pages under one another's eyes. */

#define PRESENCE 1 /* the first byte of those, with no end */

static off_t pid_namespace(void)
{
    struct stat st;

    return stat("/proc/self/ns/pid", &st) == 0 ? (off_t)st.st_ino : 0;
}

static int lock_bytes(int fd, short type, off_t from, off_t len)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = from, .l_len = len};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

/* Whether someone else holds any lock there. */
static bool is_locked(int fd, off_t from, off_t len)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = from, .l_len = len};

    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The writer left its pid, its PID namespace and its host in the file, for people. */
static int in_use(int fd, const char *dir, struct why *why)
{
    char text[160] = "", host[80] = "?", *space_at, *host_at;
    long long space;
    long pid;

    if (pread(fd, text, sizeof text - 1, 0) < 0)
        text[0] = '\0';
    pid = strtol(text, &space_at, 10);
    space = strtoll(space_at, &host_at, 10);
    host_at += strspn(host_at, " ");
    (void)snprintf(host, sizeof host, "%.*s", (int)strcspn(host_at, "\n"), host_at);
    if (host[0] != '\0' && space != pid_namespace())
        return why_set(
            why, FARM_EBUSY,
            "the store %.140s is in use by process %ld of another container or host (%s): "
            "stop that one first",
            dir, pid, host);
    return why_set(why, FARM_EBUSY,
                   "the store %.200s is in use by process %ld: stop that one first", dir, pid);
}

static void leave_name(int fd, const char *path)
{
    char text[160], host[80] = "?";

    (void)gethostname(host, sizeof host - 1);
    (void)snprintf(text, sizeof text, "%ld %lld %s\n", (long)getpid(), (long long)pid_namespace(),
                   host);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, strlen(text), 0) < 0)
        log_debug("%s: the pid could not be written: %s", path, strerror(errno));
}

/* Says that a process of this PID namespace is here, and looks whether one of another is, too. */
static int be_present(int fd, const char *dir, struct why *why)
{
    off_t mine = PRESENCE + pid_namespace();
    int err = lock_bytes(fd, F_RDLCK, mine, 1);

    if (err == EAGAIN || err == EACCES)
        return why_set(why, FARM_EBUSY,
                       "the store %.200s is being compacted: try again in a moment", dir);
    if (err != 0)
        return why_set(why, FARM_EIO, "cannot lock %.200s/writer.lock: %s", dir, strerror(err));
    if ((mine > PRESENCE && is_locked(fd, PRESENCE, mine - PRESENCE)) || is_locked(fd, mine + 1, 0))
        return why_set(
            why, FARM_EBUSY,
            "the store %.140s is open in another container (another PID namespace), which "
            "LMDB does not stand: run this command in that one (docker exec), or stop it",
            dir);
    return FARM_OK;
}

static int be_alone(int fd, const char *dir, struct why *why)
{
    int err = lock_bytes(fd, F_WRLCK, PRESENCE, 0);

    if (err == EAGAIN || err == EACCES)
        return why_set(why, FARM_EBUSY,
                       "the store %.200s is being read by another process: try again when that one "
                       "has ended",
                       dir);
    return err == 0
               ? FARM_OK
               : why_set(why, FARM_EIO, "cannot lock %.200s/writer.lock: %s", dir, strerror(err));
}

/* A reader of a folder that it may not write, or that has no such file, goes without a lock. */
static int open_lock(const char *path, enum file_lock how, int *fd, struct why *why)
{
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (*fd < 0 && how == LOCK_READER)
        *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0 || how == LOCK_READER)
        return FARM_OK;
    return why_set(why, errno == ENOENT ? FARM_ENOTFOUND : FARM_EIO, "cannot open %.200s: %s", path,
                   strerror(errno));
}

int file_lock(const char *dir, enum file_lock how, int *fd, struct why *why)
{
    char path[4200];
    int rc, err = 0;

    (void)snprintf(path, sizeof path, "%s/writer.lock", dir);
    if ((rc = open_lock(path, how, fd, why)) != FARM_OK || *fd < 0)
        return rc;
    if (how != LOCK_READER)
        err = lock_bytes(*fd, F_WRLCK, 0, 1);
    if (err == EAGAIN || err == EACCES)
        rc = in_use(*fd, dir, why);
    else if (err != 0)
        rc = why_set(why, FARM_EIO, "cannot lock %.200s: %s", path, strerror(err));
    else
        rc = how == LOCK_ALONE ? be_alone(*fd, dir, why) : be_present(*fd, dir, why);
    if (rc == FARM_OK && how != LOCK_READER)
        leave_name(*fd, path);
    if (rc != FARM_OK) {
        (void)close(*fd);
        *fd = -1;
    }
    return rc;
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

int file_check_system(const char *dir, struct why *why)
{
    static const struct {
        unsigned long magic;
        const char *name;
        bool refused; /* other hosts may write; maps or locks are not kept in step */
    } doubtful[] = {
        {0x6969, "NFS", true},        {0x01021997, "9P", true},    {0xff534d42, "CIFS", true},
        {0xfe534d42, "SMB2", true},   {0x517b, "SMB", true},       {0x00c36400, "Ceph", true},
        {0x0bd00bd0, "Lustre", true}, {0x65735546, "FUSE", false}, {0x794c7630, "overlay", false}};
    struct statfs fs;
    size_t i = 0, n = sizeof doubtful / sizeof doubtful[0];

    if (statfs(dir, &fs) != 0)
        return FARM_OK;
    while (i < n && ((unsigned long)fs.f_type & 0xffffffffu) != doubtful[i].magic)
        i++;
    if (i == n)
        return FARM_OK;
    if (doubtful[i].refused && getenv("NASFARM_ANY_FILESYSTEM") == NULL)
        return why_set(why, FARM_EINPUT,
                       "the store %.120s would be on %s, whose memory maps and locks LMDB cannot "
                       "trust: put it on a local disk or a volume (or set NASFARM_ANY_FILESYSTEM=1 "
                       "when no other host uses it)",
                       dir, doubtful[i].name);
    log_warn("the store %s is on a file system (%s) whose memory maps and locks may not be safe%s: "
             "put it on a local disk or a volume",
             dir, doubtful[i].name,
             strcmp(doubtful[i].name, "overlay") == 0 ? ", and which goes with its container" : "");
    return FARM_OK;
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
