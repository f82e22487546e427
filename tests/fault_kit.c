/* fault_kit.c - see fault_kit.h. Calls the kernel directly, so that nothing need be looked up before the first call. */
#include "fault_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct fault_plan plan;
static uint64_t n_calls;
static const char *flag_file;
static uint64_t every, every_net; /* 0: none */
static uint64_t n_sends, n_receives, n_polls;
static struct write_log *log_now;
static const char *log_ending;

/* ---------------------------------------------------------------- the plan */

void fault_set(const struct fault_plan *new_plan)
{
    plan = new_plan != NULL ? *new_plan : (struct fault_plan){0};
    __atomic_store_n(&n_calls, 0, __ATOMIC_RELAXED);
}

uint64_t fault_calls(void)
{
    return __atomic_load_n(&n_calls, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void take_plan_from_environment(void)
{
    static char kept[4200]; /* of which flag_file is a part */
    const char *text = getenv("NASFARM_FAULT");

    char *end;

    if (text == NULL)
        return;
    (void)snprintf(kept, sizeof kept, "%s", text);
    text = kept;
    if (strncmp(text, "kill:", 5) == 0) {
        plan = (struct fault_plan){
            .how = FAULT_KILL, .from = strtoull(text + 5, NULL, 10), .n = UINT64_MAX / 2};
    } else if (strncmp(text, "fail:", 5) == 0) {
        flag_file = text + 5;
    } else if (strncmp(text, "each:", 5) == 0) {
        every = strtoull(text + 5, &end, 10);
        plan.error = (int)strtol(end + (*end == ':'), NULL, 10);
    } else if (strncmp(text, "net:", 4) == 0) {
        every_net = strtoull(text + 4, NULL, 10);
    }
    (void)unsetenv("NASFARM_FAULT");
    (void)unsetenv("LD_PRELOAD");
}

static bool is_file(int fd)
{
    struct stat st;

    return fd > STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* What the flag file asks for. */
static bool flagged(struct fault_plan *out)
{
    char text[16] = "";
    int fd = flag_file != NULL ? open(flag_file, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return false;
    if (read(fd, text, sizeof text - 1) < 0)
        text[0] = '\0';
    (void)close(fd);
    out->error = (int)strtol(text, NULL, 10);
    out->how = out->error == 0 ? FAULT_SHORT : FAULT_ERROR;
    return true;
}

/* What is to become of this call. fd -1: one without a file. */
static enum fault_how decide(int fd, bool file)
{
    struct fault_plan now = plan;
    bool kills = now.how == FAULT_KILL || now.how == FAULT_KILL_HALF;
    uint64_t call;

    (void)fd;
    if (file && flagged(&now)) {
        errno = now.error;
        return now.how;
    }
    if (!kills && !file)
        return FAULT_NONE;
    call = __atomic_add_fetch(&n_calls, 1, __ATOMIC_RELAXED);
    if (every > 0) {
        errno = plan.error;
        return call % every != 0 ? FAULT_NONE : plan.error == 0 ? FAULT_SHORT : FAULT_ERROR;
    }
    if (now.how == FAULT_NONE || call < now.from || call - now.from >= now.n)
        return FAULT_NONE;
    if (now.how == FAULT_KILL)
        (void)kill(getpid(), SIGKILL);
    errno = now.error;
    return now.how;
}

/* ---------------------------------------------------------------- the log */

void fault_record(struct write_log *log, const char *ending)
{
    log_now = log;
    log_ending = ending;
}

void write_log_release(struct write_log *self)
{
    free(self->ops);
    free(self->bytes);
    *self = (struct write_log){0};
}

static bool is_recorded(int fd)
{
    char link[32], path[512];
    size_t end;
    ssize_t len;

    if (log_now == NULL)
        return false;
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if ((len = readlink(link, path, sizeof path - 1)) < 0)
        return false;
    path[len] = '\0';
    end = strlen(log_ending);
    return (size_t)len >= end && strcmp(path + len - end, log_ending) == 0;
}

static void note(enum write_kind kind, off_t offset, const void *bytes, size_t len)
{
    struct write_log *log = log_now;

    if (log->n == log->cap) {
        log->cap = 2 * log->cap + 64;
        log->ops = realloc(log->ops, log->cap * sizeof *log->ops);
    }
    if (log->cap_bytes - log->len < len) {
        log->cap_bytes = 2 * (log->len + len) + 4096;
        log->bytes = realloc(log->bytes, log->cap_bytes);
    }
    if (log->ops == NULL || log->bytes == NULL)
        abort();
    log->ops[log->n++] = (struct write_op){kind, offset, len, log->len};
    if (len > 0)
        memcpy(log->bytes + log->len, bytes, len);
    log->len += len;
}

static void note_bytes(int fd, off_t offset, const void *bytes, ssize_t written)
{
    bool synced = (fcntl(fd, F_GETFL) & O_DSYNC) != 0;

    if (written > 0 && is_recorded(fd))
        note(synced ? WRITE_SYNCED : WRITE_BYTES, offset, bytes, (size_t)written);
}

/* ---------------------------------------------------------------- calls with bytes */

/* How many of len bytes are to be written; -1: fails, errno is set. *last: the process ends then. */
static ssize_t allowed(int fd, size_t len, bool *last)
{
    enum fault_how how = decide(fd, is_file(fd));

    *last = how == FAULT_KILL_HALF;
    if (how == FAULT_ERROR)
        return -1;
    if (how == FAULT_SHORT && len < 2) {
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)(how == FAULT_SHORT || how == FAULT_KILL_HALF ? len / 2 : len);
}

static ssize_t done(ssize_t rc, bool last)
{
    if (last)
        (void)kill(getpid(), SIGKILL);
    return rc;
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    bool last;
    off_t offset = log_now != NULL ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = allowed(fd, len, &last), rc;

    if (n < 0)
        return -1;
    rc = syscall(SYS_write, fd, bytes, (size_t)n);
    if (log_now != NULL)
        note_bytes(fd, offset, bytes, rc);
    return done(rc, last);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    bool last;
    ssize_t n = allowed(fd, len, &last), rc;

    if (n < 0)
        return -1;
    rc = syscall(SYS_pwrite64, fd, bytes, (size_t)n, offset);
    if (log_now != NULL)
        note_bytes(fd, offset, bytes, rc);
    return done(rc, last);
}

/* As so many write()s of one call: what LMDB writes so are pages one after the other. */
ssize_t writev(int fd, const struct iovec *iov, int n_iov)
{
    size_t len = 0;
    bool last;
    ssize_t n, sum = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if ((n = allowed(fd, len, &last)) < 0)
        return -1;
    if ((size_t)n == len && log_now == NULL)
        return syscall(SYS_writev, fd, iov, n_iov);
    for (int i = 0; i < n_iov && sum < n; i++) {
        size_t part = iov[i].iov_len < (size_t)(n - sum) ? iov[i].iov_len : (size_t)(n - sum);
        off_t offset = lseek(fd, 0, SEEK_CUR);
        ssize_t rc = syscall(SYS_write, fd, iov[i].iov_base, part);

        if (rc < 0)
            return done(sum > 0 ? sum : rc, last);
        if (log_now != NULL)
            note_bytes(fd, offset, iov[i].iov_base, rc);
        sum += rc;
    }
    return done(sum, last);
}

/* Whether this is the turn of a call that is interrupted, or else takes one byte of *len (NULL: is always interrupted). */
static bool interrupts(uint64_t *calls, size_t *len)
{
    uint64_t call = __atomic_add_fetch(calls, 1, __ATOMIC_RELAXED);

    if (every_net == 0 || call % every_net != 0)
        return false;
    if (len != NULL && call / every_net % 2 == 1) {
        *len = *len > 1 ? 1 : *len;
        return false;
    }
    errno = EINTR;
    return true;
}

ssize_t send(int fd, const void *bytes, size_t len, int flags)
{
    (void)decide(fd, false);
    return interrupts(&n_sends, &len) ? -1 : syscall(SYS_sendto, fd, bytes, len, flags, NULL, 0);
}

ssize_t recv(int fd, void *bytes, size_t len, int flags)
{
    return interrupts(&n_receives, &len) ? -1
                                         : syscall(SYS_recvfrom, fd, bytes, len, flags, NULL, NULL);
}

/* One that does not wait cannot be interrupted. */
int poll(struct pollfd *items, nfds_t n, int timeout_ms)
{
    if (timeout_ms != 0 && interrupts(&n_polls, NULL))
        return -1;
    return (int)syscall(SYS_poll, items, n, timeout_ms);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    (void)decide(fd, false);
    return syscall(SYS_sendmsg, fd, message, flags);
}

/* ---------------------------------------------------------------- calls without */

static bool fails(int fd, bool file)
{
    enum fault_how how = decide(fd, file);

    if (how == FAULT_KILL_HALF) /* there is no half of it */
        (void)kill(getpid(), SIGKILL);
    return how == FAULT_ERROR;
}

static int sync_file(long number, int fd)
{
    int rc;

    if (fails(fd, is_file(fd)))
        return -1;
    rc = (int)syscall(number, fd);
    if (rc == 0 && log_now != NULL && is_recorded(fd))
        note(WRITE_SYNC, 0, NULL, 0);
    return rc;
}

int fsync(int fd)
{
    return sync_file(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_file(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    int rc;

    if (fails(fd, is_file(fd)))
        return -1;
    rc = (int)syscall(SYS_ftruncate, fd, size);
    if (rc == 0 && log_now != NULL && is_recorded(fd))
        note(WRITE_SIZE, size, NULL, 0);
    return rc;
}

static unsigned long fs_type;

void fault_file_system(unsigned long type)
{
    fs_type = type;
}

int statfs(const char *path, struct statfs *out)
{
    int rc = (int)syscall(SYS_statfs, path, out);

    if (rc == 0 && fs_type != 0)
        out->f_type = (__fsword_t)fs_type;
    return rc;
}

int rename(const char *from, const char *to)
{
    return fails(-1, true) ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return fails(-1, true) ? -1 : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int unlink(const char *path)
{
    return fails(-1, true) ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}
