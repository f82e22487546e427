/* copy.c - store_backup() and store_compact(): see care.h. Both let LMDB write a copy without free pages under another
 * name, sync it, look at it, and give it its name by one rename. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "care.h"
#include "inside.h"

static int io_error(const char *doing, const char *path, struct why *why)
{
    return why_set(why, FARM_EIO, "cannot %s %.200s: %s", doing, path, strerror(errno));
}

/* The last commit into the new file `path`, durable. */
static int copy_into(struct store *store, const char *path, struct why *why)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666), rc;

    if (fd < 0)
        return io_error("make", path, why);
    rc = mdb_env_copyfd2(store->env, fd, MDB_CP_COMPACT);
    if (rc == MDB_INCOMPATIBLE) /* pages that nobody refers to, and that are not free */
        rc = MDB_CORRUPTED;
    if (rc != 0)
        rc = rc == MDB_CORRUPTED
                 ? store_error(store, rc, "read", why)
                 : why_set(why, FARM_EIO, "cannot write %.200s: %s", path, mdb_strerror(rc));
    else if (fsync(fd) != 0)
        rc = io_error("sync", path, why);
    if (close(fd) != 0 && rc == FARM_OK)
        rc = io_error("write", path, why);
    return rc;
}

static void remove_store(const char *dir)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "writer.lock"};
    char path[4300];

    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, files[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

/* What verifying left beside the data. */
static void remove_locks(const char *dir)
{
    char path[4300];

    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    (void)unlink(path);
    (void)snprintf(path, sizeof path, "%s/writer.lock", dir);
    (void)unlink(path);
}

/* ---------------------------------------------------------------- backup */

static int fill_folder(struct store *store, const char *folder, struct why *why)
{
    char path[4300];
    int rc;

    (void)snprintf(path, sizeof path, "%s/data.mdb", folder);
    if ((rc = copy_into(store, path, why)) != FARM_OK)
        return rc;
    return file_sync_folder(folder, why);
}

static int name_folder(const char *folder, const char *dest, struct why *why)
{
    if (renameat2(AT_FDCWD, folder, AT_FDCWD, dest, RENAME_NOREPLACE) != 0 &&
        (errno != EINVAL ||
         rename(folder, dest) != 0)) /* a file system that does not know the flag */
        return io_error("name the backup", dest, why);
    return file_sync_folder(dest, why);
}

int store_backup(const char *dir, const char *dest, struct store_check *out, struct why *why)
{
    char folder[4200];
    struct store *store = NULL;
    struct stat st;
    size_t len = strlen(dest);
    int rc;

    *out = (struct store_check){0};
    while (len > 1 && dest[len - 1] == '/')
        len--;
    if (len == 0 || len > sizeof folder - 16)
        return why_set(why, FARM_EINPUT, "the backup's folder '%.60s' has no usable name", dest);
    if (lstat(dest, &st) == 0)
        return why_set(
            why, FARM_EBUSY,
            "%.200s is there already, and a backup replaces nothing: choose another name", dest);
    (void)snprintf(folder, sizeof folder, "%.*s.part-XXXXXX", (int)len, dest);
    if ((rc = store_open(&store, dir, STORE_READ, NULL, why)) != FARM_OK)
        return rc;
    if (mkdtemp(folder) == NULL) {
        rc = io_error("make", folder, why);
        store_close(&store);
        return rc;
    }
    rc = fill_folder(store, folder, why);
    store_close(&store);
    if (rc == FARM_OK && (rc = store_verify(folder, NULL, NULL, out, why)) != FARM_OK)
        why_prefix(why, rc, "the copy is not whole, so the store is not");
    remove_locks(folder);
    if (rc == FARM_OK && chmod(folder, 0755) != 0)
        rc = io_error("open", folder, why);
    if (rc == FARM_OK)
        rc = name_folder(folder, dest, why);
    if (rc != FARM_OK)
        remove_store(folder);
    return rc;
}

/* ---------------------------------------------------------------- compaction */

/* The copy lies in a folder of its own inside the store's, so that it can be opened as a store and looked at. */
static int make_copy(struct store *store, const char *folder, struct why *why)
{
    struct store_check copied;
    struct counts counts;
    int rc = read_counts(store, &counts, why);

    remove_store(folder); /* of one that was killed */
    if (rc == FARM_OK && mkdir(folder, 0777) != 0)
        rc = io_error("make", folder, why);
    if (rc == FARM_OK)
        rc = fill_folder(store, folder, why);
    if (rc == FARM_OK && (rc = store_verify(folder, NULL, NULL, &copied, why)) != FARM_OK)
        return why_prefix(why, rc, "nothing was changed, for the store is not whole");
    if (rc == FARM_OK && (copied.events != counts.events || copied.trials != counts.trials))
        rc = why_set(why, FARM_ECORRUPT, "nothing was changed, for the copy lacks records");
    return rc;
}

static int swap(const char *dir, const char *folder, struct why *why)
{
    char from[4300], to[4300];

    (void)snprintf(from, sizeof from, "%s/data.mdb", folder);
    (void)snprintf(to, sizeof to, "%s/data.mdb", dir);
    if (rename(from, to) != 0)
        return io_error("replace", to, why);
    return file_sync_folder(dir, why);
}

int store_compact(const char *dir, uint64_t *before, uint64_t *after, struct why *why)
{
    struct store *store = NULL;
    char folder[4200];
    int lock = -1, rc;

    if (strlen(dir) > sizeof folder - 16 || file_size(dir) == 0)
        return why_set(why, FARM_ENOTFOUND, "there is no store in %.200s", dir);
    (void)snprintf(folder, sizeof folder, "%s/compact.part", dir);
    if ((rc = file_check_system(dir, why)) != FARM_OK ||
        (rc = file_lock(dir, LOCK_ALONE, &lock, why)) != FARM_OK)
        return rc;
    *before = *after = file_size(dir);
    if ((rc = store_open_held(&store, dir, STORE_READ, NULL, dup(lock), why)) == FARM_OK)
        rc = make_copy(store, folder, why);
    store_close(&store); /* before the file that it maps goes */
    if (rc == FARM_OK && (rc = swap(dir, folder, why)) == FARM_OK)
        *after = file_size(dir);
    remove_store(folder);
    (void)close(lock);
    return rc;
}
