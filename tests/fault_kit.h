/* fault_kit.h - this process's writing system calls, counted, and made to fail, to be cut short, to be its last, or noted.
 *
 * It is:     definitions of write(), pwrite(), writev(), fsync(), fdatasync(), ftruncate(), rename(), renameat2(),
 *            unlink(), statfs(), send(), sendmsg(), recv() and poll() that stand in front of the C library's: linked into a test, they serve
 *            LMDB, too. As the shared library nasfarm_fault they are preloaded into a program (test_faults.c), which the
 *            environment then tells what to do; its children are not told.
 * It is not: part of the product, or every write there is: what the C library writes by itself (stdio)
 *            goes past it, and standard output and error are no files here. One plan and one log a process; plans are set while no other thread writes.
 *
 * A program is told by NASFARM_FAULT:
 *   kill:N       SIGKILL instead of the N-th call (1 is the first), sockets included
 *   fail:FILE    while FILE exists, calls that write to regular files fail with the error whose number it holds (28:
 *                ENOSPC, 5: EIO); 0: they write a half and say so (and a single byte fails with ENOSPC)
 *   each:K:ERROR every K-th call that writes to a regular file fails with that number, or writes a half, likewise
 *   memory:N     the N-th allocation of the program's own code gives NULL, and standard error says so (fault_memory.c)
 *   clock:MS     the wall clock jumps every so many milliseconds, by an hour, ahead and back (fault_clock.c)
 *   net:K        every K-th send to a socket, and every K-th receive, is interrupted (EINTR), or takes the first byte alone, by
 *                turns; every K-th poll is interrupted
 */
#ifndef NASFARM_FAULT_KIT_H
#define NASFARM_FAULT_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum fault_how {
    FAULT_NONE,
    FAULT_KILL,      /* SIGKILL instead of the call; counts every call */
    FAULT_KILL_HALF, /* SIGKILL when half of the bytes are written */
    FAULT_ERROR,     /* -1 and errno = error; counts calls on regular files, as the next one does */
    FAULT_SHORT, /* half of the bytes are written, and the call says so; a call without bytes succeeds */
};
struct fault_plan {
    enum fault_how how;
    uint64_t from, n; /* the calls from..from+n-1 of those from fault_set() on; the first is 1 */
    int error;
};
void fault_set(const struct fault_plan *plan); /* and counts anew; NULL: no faults */
uint64_t fault_calls(void);                    /* that the plan counted */

/* statfs() says so of every file system from now on; 0: the truth. */
void fault_file_system(unsigned long type);

/* What reached one file, in order. */
enum write_kind {
    WRITE_BYTES,
    WRITE_SYNCED, /* bytes through a descriptor with O_DSYNC: durable when it returns */
    WRITE_SIZE,   /* ftruncate() */
    WRITE_SYNC,   /* everything before is durable from here on */
};
struct write_op {
    enum write_kind kind;
    off_t offset;
    size_t len, at; /* bytes: at..at+len-1 of write_log.bytes */
};
struct write_log {
    struct write_op *ops;
    uint8_t *bytes;
    size_t n, cap, len, cap_bytes;
};
/* Notes from now on what is written to regular files whose name ends in `ending`; NULL: no more. */
void fault_record(struct write_log *log, const char *ending);
void write_log_release(struct write_log *self);

#endif
