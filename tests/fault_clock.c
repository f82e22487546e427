/* fault_clock.c - a wall clock that jumps: for the whole program, NASFARM_FAULT=clock:MS. See fault_kit.h.
 *
 * It is the true time for MS milliseconds, then an hour ahead, true, an hour behind, and so on. The monotonic clocks, and
 * whatever waits in the kernel, are left alone, as they are by those who set a clock. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t period_ms;

__attribute__((constructor(101))) static void take_period_from_environment(void)
{
    const char *text = getenv("NASFARM_FAULT");

    if (text != NULL && strncmp(text, "clock:", 6) == 0)
        period_ms = strtoll(text + 6, NULL, 10);
}

static int read_clock(clockid_t which, struct timespec *out)
{
    return (int)syscall(SYS_clock_gettime, which, out);
}

static time_t shift_s(void)
{
    static const time_t shifts[] = {0, 3600, 0, -3600};
    struct timespec now;

    if (period_ms <= 0 || read_clock(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return shifts[((int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000) / period_ms % 4];
}

int clock_gettime(clockid_t which, struct timespec *out)
{
    int rc = read_clock(which, out);

    if (rc == 0 && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        out->tv_sec += shift_s();
    return rc;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the C library's */
int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return -1;
    *out = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *out)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}
