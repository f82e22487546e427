/* monitor.h - what a program of the farm tells over HTTP: /metrics for Prometheus, /healthz and /readyz for whoever starts
 * and stops it.
 *
 * It is:     a page server in somebody else's loop (libmicrohttpd): no thread, no lock. Its one descriptor goes into the
 *            caller's poll set; each turn serves what came. So an answer to /healthz says that the loop turns.
 * It is not: a way in: it only tells, takes GET and HEAD alone, and a handful of connections at a time. Whoever reaches the
 *            port can read it: it is meant for loopback or a network of one's own.
 */
#ifndef NASFARM_MONITOR_H
#define NASFARM_MONITOR_H

#include <stdint.h>

#include "err.h"
#include "metrics.h"

struct monitor;

struct monitor_pages {
    /* Writes all families; called when someone asks. */
    void (*metrics)(struct metrics *out, void *ctx);
    /* FARM_OK when the program can do its work; else why says what is missing. NULL: it always can. */
    int (*ready)(void *ctx, struct why *why);
    void *ctx;
};

/* Listens on "ADDRESS:PORT" ("127.0.0.1:9464", "[::1]:9464", ":9464" for every address; port 0 takes a free one).
 * FARM_EINPUT when that is no address, FARM_ENET when it cannot be listened on. pages is copied. */
int monitor_open(struct monitor **out, const char *address, const struct monitor_pages *pages,
                 struct why *why);
void monitor_close(struct monitor **self); /* already NULL is fine */

/* Readable when there is something to do; -1 for NULL. */
int monitor_fd(const struct monitor *self);
uint16_t monitor_port(const struct monitor *self);
/* Serves what came, and ends connections that are silent for too long; never blocks. NULL is fine. Returns after how many
 * milliseconds it wants to be called again, whatever comes: at most `most`. */
int64_t monitor_turn(struct monitor *self, int64_t most);

/* The other end, for health checks where there is no curl: GET http://ADDRESS/PATH. FARM_OK when the answer is 200; else a
 * sentence (FARM_ENET: no answer; FARM_EBUSY: another answer, whose text is the sentence). */
int monitor_ask(const char *address, const char *path, int timeout_ms, struct why *why);
/* The version of libmicrohttpd. */
const char *monitor_library_version(void);
/* Where a program serves its pages when the command line does not say: $NASFARM_METRICS; NULL: nowhere. An image sets it. */
const char *monitor_default(void);
/* All of a health check's process (address NULL: the default): asks for /healthz, says the sentence when it is not, returns the exit status. Not for
 * /readyz: who is not ready for want of another program is not healed by being started again. */
int monitor_health(const char *program, const char *address);

#endif
