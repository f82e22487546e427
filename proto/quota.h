/* quota.h - how much of the machine this process may use: processors and memory.
 *
 * It is:     the affinity mask, and the limits of the control groups that hold this process, of version 2 and 1, up to the
 *            topmost one that can be seen from here: a container's, a Slurm job's, a systemd unit's.
 * It is not: a limit that anyone is held to; nor what is free now.
 */
#ifndef NASFARM_QUOTA_H
#define NASFARM_QUOTA_H

#include <stdint.h>

/* Processors: the affinity mask's, at most the tightest quota, rounded up. At least 1.
 *   root   in front of /proc/self/cgroup and /sys/fs/cgroup; "" but in tests */
uint32_t quota_cpus(const char *root);
/* Bytes of memory; 0: no limit. */
uint64_t quota_memory(const char *root);
/* Bytes of memory that this process has now. */
uint64_t quota_resident(void);

#endif
