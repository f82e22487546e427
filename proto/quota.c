/* quota.c - see quota.h. https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/ beside it. */
#include "quota.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NO_LIMIT   UINT64_MAX
#define ENDLESS_V1 (1ull << 60) /* version 1 writes "no limit" as the largest multiple of a page */

/* The first line of a file that holds numbers; false when there is none. */
static bool read_line(const char *path, char line[64])
{
    FILE *f = fopen(path, "re");
    bool there = f != NULL && fgets(line, 64, f) != NULL;

    if (f != NULL)
        (void)fclose(f);
    return there;
}

static bool read_file(const char *folder, const char *name, char line[64])
{
    char path[PATH_MAX];

    return snprintf(path, sizeof path, "%s/%s", folder, name) < (int)sizeof path &&
           read_line(path, line);
}

/* "max" of version 2 and -1 of version 1 mean none. */
static uint64_t number(const char *text)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);

    return end == text || text[0] == '-' ? NO_LIMIT : value;
}

/* ---- what one group says: thousandths of a processor, bytes ---- */

static uint64_t cpus_of(const char *folder, bool v2)
{
    char line[64], more[64];
    uint64_t quota, period;

    if (v2) { /* "QUOTA PERIOD" */
        if (!read_file(folder, "cpu.max", line) || strchr(line, ' ') == NULL)
            return NO_LIMIT;
        quota = number(line);
        period = number(strchr(line, ' ') + 1);
    } else {
        if (!read_file(folder, "cpu.cfs_quota_us", line) ||
            !read_file(folder, "cpu.cfs_period_us", more))
            return NO_LIMIT;
        quota = number(line);
        period = number(more);
    }
    if (quota == 0 || quota > UINT64_MAX / 1000 || period == 0 || period == NO_LIMIT)
        return NO_LIMIT;
    return quota * 1000 / period;
}

static uint64_t memory_of(const char *folder, bool v2)
{
    char line[64];
    uint64_t bytes;

    if (!read_file(folder, v2 ? "memory.max" : "memory.limit_in_bytes", line))
        return NO_LIMIT;
    bytes = number(line);
    return bytes >= ENDLESS_V1 ? NO_LIMIT : bytes;
}

/* ---- the groups from ours to the top ---- */

typedef uint64_t limit_of(const char *folder, bool v2);

/* The tightest limit on the way up. A path that is not there (a container sees its own group as the top) is passed over. */
static uint64_t tightest(const char *top, const char *path, limit_of *limit, bool v2)
{
    char folder[PATH_MAX], *slash;
    uint64_t least = NO_LIMIT, value;
    size_t len = strlen(top);

    if (snprintf(folder, sizeof folder, "%s%s", top, path) >= (int)sizeof folder)
        return NO_LIMIT;
    for (;;) {
        if ((value = limit(folder, v2)) < least)
            least = value;
        if ((slash = strrchr(folder + len, '/')) == NULL)
            return least;
        *slash = '\0';
    }
}

/* Whether a list like "cpu,cpuacct" has the name. */
static bool lists(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (; *list != '\0'; list += strcspn(list, ","), list += *list == ',')
        if (strncmp(list, name, len) == 0 && (list[len] == ',' || list[len] == '\0'))
            return true;
    return false;
}

/* /proc/self/cgroup has a line per hierarchy, ID:CONTROLLERS:PATH; that of version 2 has no controllers. */
static uint64_t least_of(const char *root, const char *controller, limit_of *limit)
{
    char line[PATH_MAX], top[PATH_MAX];
    uint64_t least = NO_LIMIT, value;
    FILE *f;

    if (snprintf(top, sizeof top, "%s/proc/self/cgroup", root) >= (int)sizeof top ||
        (f = fopen(top, "re")) == NULL)
        return NO_LIMIT;
    while (fgets(line, sizeof line, f) != NULL) {
        char *names = strchr(line, ':'), *path = names != NULL ? strchr(names + 1, ':') : NULL;

        if (path == NULL)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        names++;
        if (names[0] != '\0' && !lists(names, controller))
            continue;
        if (snprintf(top, sizeof top, "%s/sys/fs/cgroup%s%s", root, names[0] != '\0' ? "/" : "",
                     names[0] != '\0' ? controller : "") >= (int)sizeof top)
            continue;
        value = tightest(top, strcmp(path, "/") == 0 ? "" : path, limit, names[0] == '\0');
        least = value < least ? value : least;
    }
    (void)fclose(f);
    return least;
}

uint32_t quota_cpus(const char *root)
{
    cpu_set_t set;
    uint32_t n = sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
    uint64_t thousandths = least_of(root, "cpu", cpus_of);

    if (thousandths < (uint64_t)n * 1000)
        n = (uint32_t)((thousandths + 999) / 1000);
    return n > 0 ? n : 1;
}

uint64_t quota_memory(const char *root)
{
    uint64_t bytes = least_of(root, "memory", memory_of);

    return bytes == NO_LIMIT ? 0 : bytes;
}

uint64_t quota_resident(void)
{
    char line[64], *second;

    if (!read_line("/proc/self/statm", line) || (second = strchr(line, ' ')) == NULL)
        return 0;
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}
