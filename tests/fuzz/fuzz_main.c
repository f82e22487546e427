/* fuzz_main.c - the driver without coverage: mutates the seeds of targets, the same way for the same seed.
 *
 *   usage: fuzz [TARGET] [--runs N] [--seed S] [--write-seeds DIR] [FILE...]
 *          fuzz --targets
 *
 * Without TARGET: all of them. FILEs (what a fuzzer found) are run as they are, and nothing is mutated. When an input
 * breaks something, it is left in a file whose name is printed. Exit: 0 all held, 2 wrong usage; else it aborts.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "fuzz.h"
#include "rng.h"

#define SEEDS_MAX 128

struct seeds {
    uint8_t *bytes[SEEDS_MAX];
    size_t len[SEEDS_MAX];
    unsigned n;
};

/* ---- inputs that broke something stay ------------------------------------------------------------------------- */

static const uint8_t *now_bytes;
static size_t now_len;
static char found[64];

static void keep(int signal)
{
    int fd = open(found, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    (void)signal;
    if (fd >= 0 && write(fd, now_bytes, now_len) == (ssize_t)now_len &&
        write(2, found, strlen(found)) > 0 && write(2, ": the input\n", 12) > 0)
        close(fd);
}

static bool run(const struct fuzz_target *target, const uint8_t *bytes, size_t len)
{
    /* In memory of exactly this size: a sanitizer sees the first byte that is read behind it. */
    uint8_t *exact = malloc(len > 0 ? len : 1);
    bool accepted;

    FUZZ_HOLDS(exact != NULL);
    memcpy(exact, bytes, len);
    now_bytes = bytes;
    now_len = len;
    accepted = fuzz_run(target, exact, len);
    free(exact);
    return accepted;
}

/* ---- mutations ------------------------------------------------------------------------------------------------ */

static size_t insert(uint8_t *bytes, size_t len, size_t at, const uint8_t *what, size_t n)
{
    if (len + n > FUZZ_INPUT_MAX)
        return len;
    memmove(bytes + at + n, bytes + at, len - at);
    memmove(bytes + at, what, n);
    return len + n;
}

static size_t erase(uint8_t *bytes, size_t len, size_t at, size_t n)
{
    n = n > len - at ? len - at : n;
    memmove(bytes + at, bytes + at + n, len - at - n);
    return len - n;
}

/* A number as people and machines write it, at the edge of something. */
static size_t edge(struct rng *rng, uint8_t out[16])
{
    static const char *const texts[] = {
        "-1", "0", "4294967296", "1e309", "nan", "18446744073709551615", ",", "\n", ": ", "|"};
    static const uint8_t varints[][10] = {
        {0xff, 0xff, 0xff, 0xff, 0x0f},
        {0x80},
        {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}};
    size_t which = rng_below(rng, 13), len;

    if (which < 10) {
        len = strlen(texts[which]) < 16 ? strlen(texts[which]) : 16;
        memcpy(out, texts[which], len);
        return len;
    }
    len = which == 10 ? 5 : which == 11 ? 1 : 10;
    memcpy(out, varints[which - 10], len);
    return len;
}

static size_t mutate_once(struct rng *rng, uint8_t *bytes, size_t len, const struct seeds *seeds)
{
    size_t at = len > 0 ? rng_below(rng, len) : 0, n = 1 + rng_below(rng, 8);
    unsigned other = (unsigned)rng_below(rng, seeds->n);
    uint8_t number[16];

    if (len == 0)
        return fuzz_copy(bytes, FUZZ_INPUT_MAX, seeds->bytes[other], seeds->len[other]);
    switch (rng_below(rng, 9)) {
    case 0: bytes[at] ^= (uint8_t)(1u << rng_below(rng, 8)); return len;
    case 1: bytes[at] = (uint8_t)rng_u64(rng); return len;
    case 2: bytes[at] = (uint8_t)(bytes[at] + rng_below(rng, 5) - 2); return len;
    case 3: return erase(bytes, len, at, n);
    case 4: return at; /* cut */
    case 5: return insert(bytes, len, at, number, edge(rng, number));
    case 6: return insert(bytes, len, at, bytes + at, n < len - at ? n : len - at);
    case 7: { /* a piece of another seed */
        size_t from = rng_below(rng, seeds->len[other]), most_of = seeds->len[other] - from;

        n = 1 + rng_below(rng, 64);
        return insert(bytes, len, at, seeds->bytes[other] + from, n < most_of ? n : most_of);
    }
    default: /* another seed's end */
        n = seeds->len[other] < len - at ? seeds->len[other] : len - at;
        memcpy(bytes + len - n, seeds->bytes[other] + seeds->len[other] - n, n);
        return len;
    }
}

static void fuzz(const struct fuzz_target *target, const struct seeds *seeds, uint64_t runs,
                 uint64_t seed)
{
    static uint8_t bytes[FUZZ_INPUT_MAX];
    uint64_t accepted = 0, good = 0;
    int64_t began_ms = clock_ms();
    struct rng rng;

    rng_seed(&rng, seed);
    for (unsigned i = 0; i < seeds->n; i++)
        good += run(target, seeds->bytes[i], seeds->len[i]);
    for (uint64_t i = 0; i < runs; i++) {
        unsigned from = (unsigned)rng_below(&rng, seeds->n);
        size_t len = fuzz_copy(bytes, sizeof bytes, seeds->bytes[from], seeds->len[from]);

        for (uint64_t times = 1 + rng_below(&rng, 6); times > 0; times--)
            len = mutate_once(&rng, bytes, len, seeds);
        accepted += run(target, bytes, len);
    }
    printf("%-10s %9llu inputs in %5.1f s, %4.1f %% accepted; %llu of %u seeds: %s\n", target->name,
           (unsigned long long)runs, (double)(clock_ms() - began_ms) / 1000,
           100 * (double)accepted / (double)(runs > 0 ? runs : 1), (unsigned long long)good,
           seeds->n, target->what);
    fflush(stdout);
}

/* ---- the program ---------------------------------------------------------------------------------------------- */

static void make_seeds(const struct fuzz_target *target, struct seeds *seeds)
{
    static uint8_t bytes[FUZZ_INPUT_MAX];
    size_t len;

    for (seeds->n = 0;
         seeds->n < SEEDS_MAX && (len = target->seed(seeds->n, bytes, sizeof bytes)) > 0;
         seeds->n++) {
        FUZZ_HOLDS((seeds->bytes[seeds->n] = malloc(len)) != NULL);
        memcpy(seeds->bytes[seeds->n], bytes, len);
        seeds->len[seeds->n] = len;
    }
    FUZZ_HOLDS(seeds->n > 0);
}

static void drop_seeds(struct seeds *seeds)
{
    for (unsigned i = 0; i < seeds->n; i++)
        free(seeds->bytes[i]);
}

static int write_seeds(const struct fuzz_target *target, const struct seeds *seeds, const char *dir)
{
    for (unsigned i = 0; i < seeds->n; i++) {
        char path[512];
        FILE *file;

        snprintf(path, sizeof path, "%s/%s-%u", dir, target->name, i);
        if ((file = fopen(path, "wb")) == NULL ||
            fwrite(seeds->bytes[i], 1, seeds->len[i], file) != seeds->len[i] || fclose(file) != 0) {
            fprintf(stderr, "fuzz: cannot write %s: %s\n", path, strerror(errno));
            return 2;
        }
    }
    return 0;
}

static int run_file(const struct fuzz_target *target, const char *path)
{
    static uint8_t bytes[FUZZ_INPUT_MAX];
    FILE *file = fopen(path, "rb");

    if (file == NULL) {
        fprintf(stderr, "fuzz: cannot read %s: %s\n", path, strerror(errno));
        return 2;
    }
    run(target, bytes, fread(bytes, 1, sizeof bytes, file));
    fclose(file);
    return 0;
}

struct order {
    const struct fuzz_target *target; /* NULL: all */
    uint64_t runs, seed;
    const char *seeds_dir;
    int files; /* where they begin in argv */
};

static const struct fuzz_target *find(const char *name)
{
    for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL; t++)
        if (strcmp((*t)->name, name) == 0)
            return *t;
    return NULL;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: fuzz [TARGET] [--runs N] [--seed S] [--write-seeds DIR] [FILE...]\ntargets:");
    for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL; t++)
        fprintf(stderr, " %s", (*t)->name);
    fprintf(stderr, "\n");
    return 2;
}

static bool read_order(struct order *order, int argc, char **argv)
{
    int i = 1;

    *order = (struct order){.runs = 100000, .seed = 1, .files = argc};
    if (i < argc && argv[i][0] != '-' && (order->target = find(argv[i++])) == NULL)
        return false;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
        if (strcmp(argv[i], "--runs") == 0)
            order->runs = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            order->seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--write-seeds") == 0)
            order->seeds_dir = argv[i + 1];
        else
            return false;
    order->files = i;
    return i == argc || (argv[i][0] != '-' && order->target != NULL);
}

static int obey(const struct order *order, const struct fuzz_target *target, int argc, char **argv)
{
    struct seeds seeds;
    int rc = 0;

    snprintf(found, sizeof found, "fuzz-%s-found", target->name);
    if (order->files < argc) {
        for (int i = order->files; i < argc && rc == 0; i++)
            rc = run_file(target, argv[i]);
        return rc;
    }
    make_seeds(target, &seeds);
    if (order->seeds_dir != NULL)
        rc = write_seeds(target, &seeds, order->seeds_dir);
    else
        fuzz(target, &seeds, order->runs, order->seed);
    drop_seeds(&seeds);
    return rc;
}

int main(int argc, char **argv)
{
    struct order order;
    int rc = 0;

    if (argc == 2 && strcmp(argv[1], "--targets") == 0) {
        for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL; t++)
            puts((*t)->name);
        return 0;
    }
    if (!read_order(&order, argc, argv))
        return usage();
    signal(SIGABRT, keep);
    for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL && rc == 0; t++)
        if (order.target == NULL || order.target == *t)
            rc = obey(&order, *t, argc, argv);
    return rc;
}
