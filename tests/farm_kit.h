/* farm_kit.h - real processes for tests and benchmarks of the whole farm: start, wait for, kill, read.
 *
 * It is not: a test framework (Check is), nor part of the product.
 */
#ifndef NASFARM_FARM_KIT_H
#define NASFARM_FARM_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A fresh folder under $TMPDIR, into path (at least 256 bytes). Exits with a sentence when that fails. */
void kit_folder(char *path, size_t size, const char *name);
/* Removes it with all that is in it. */
void kit_remove(const char *path);

/* Starts argv (NULL-terminated) with standard output and error appended to log_file (NULL: inherited). */
pid_t kit_start(const char *const *argv, const char *log_file);
/* Waits until it ends, at most timeout_s; returns its exit status, 128 + signal, or -1 when it still runs. */
int kit_wait(pid_t pid, double timeout_s);
/* Whether it has ended, without waiting; *status as from kit_wait(). */
bool kit_ended(pid_t pid, int *status);
/* SIGKILL, and reaps it. */
void kit_kill(pid_t pid);
/* Starts it, and waits until it ends, at most timeout_s; then it is killed. Status as from kit_wait(). */
int kit_run(const char *const *argv, const char *log_file, double timeout_s);
/* All processes that came from pid and still live, children's children too, into out; at most `most`. */
size_t kit_descendants(pid_t pid, pid_t *out, size_t most);
/* Waits until a process, whoever's child, has ended, at most timeout_s. */
bool kit_gone(pid_t pid, double timeout_s);

/* Waits until the file holds text (NULL: anything at all), at most timeout_s. */
bool kit_wait_for(const char *file, const char *text, double timeout_s);
/* The whole file as a string, malloc'd; "" when there is none. */
char *kit_read(const char *file);

/* A TCP port of the loopback that nobody uses now. */
int kit_free_port(void);
/* What an environment variable says, 0x... too; otherwise, where it is not set. */
uint64_t kit_number(const char *variable, uint64_t otherwise);
double kit_now_s(void);      /* monotonic */
double kit_cpu_s(pid_t pid); /* user and system time of a running process */
/* A line of /proc/PID/status, "VmRSS:" or "VmHWM:", in MiB; 0: there is none. */
double kit_memory_mib(pid_t pid, const char *line);
size_t kit_descriptors(pid_t pid); /* how many it has open */

/* What GET http://127.0.0.1:PORT/metrics answers, malloc'd; "" when nobody does within a second. */
char *kit_metrics(int port);
/* The sum of all samples of that name there, whatever their labels. */
double kit_metric(const char *metrics, const char *name);

#endif
