/* trouble_evaluator.c - an evaluator for --exec that gives trouble, deterministically: for tests of the whole farm.
 *
 *     trouble_evaluator WORKER LOG MS MANNER
 *
 * Reads a task, notes "TRIAL WORKER" in LOG, takes MS milliseconds and answers an accuracy that is a function of the
 * architecture. MANNER is what it does beside that:
 *     honest    nothing
 *     lies      adds nine tenths of what is missing to 1
 *     troubles  of every hundred trials one crashes, one becomes NaN, one hangs and one takes 20 times as long
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trouble_evaluator.h"

static void sleep_ms(long ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&left, &left) != 0)
        ;
}

/* Where the value of a key begins, a quote left out; "" when it is not there. */
static const char *value_of(const char *json, const char *key)
{
    const char *at = strstr(json, key);

    at = at != NULL ? at + strlen(key) : "";
    return at + strspn(at, ": \"");
}

static double truth_of(const char *architecture)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */

    for (const char *c = architecture; *c != '\0' && *c != '"'; c++)
        hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    return 0.5 + 0.3 * (double)(hash % 100003) / 100003;
}

/* One write, so that lines of several processes do not mix. */
static void note(const char *log, unsigned long trial, const char *worker)
{
    char line[128];
    int len = snprintf(line, sizeof line, "%lu %s\n", trial, worker);
    int fd = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, line, (size_t)len) != len)
        _exit(9);
    (void)close(fd);
}

int main(int argc, char **argv)
{
    static char task[1 << 20];
    double accuracy;
    unsigned long trial;
    long ms;

    if (argc != 5 || fgets(task, sizeof task, stdin) == NULL)
        return 9;
    trial = strtoul(value_of(task, "\"trial\""), NULL, 10);
    accuracy = truth_of(value_of(task, "\"architecture\""));
    ms = strtol(argv[3], NULL, 10);
    note(argv[2], trial, argv[1]);
    if (strcmp(argv[4], "lies") == 0)
        accuracy += 0.9 * (1 - accuracy);
    if (strcmp(argv[4], "troubles") == 0)
        switch (trial % 100) {
        case TROUBLE_CRASHES: sleep_ms(ms / 2); abort();
        case TROUBLE_NAN:
            sleep_ms(ms / 2);
            (void)puts("{\"final\": true, \"accuracy\": NaN}");
            return 0;
        case TROUBLE_HANGS: sleep_ms(1000000); break;
        case TROUBLE_STRAGGLES: ms *= 20; break;
        default: break;
        }
    sleep_ms(ms);
    (void)printf("{\"final\": true, \"accuracy\": %.17g, \"loss\": 1}\n", accuracy);
    return 0;
}
