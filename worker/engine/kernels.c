/* kernels.c - which table of kernels this processor gets. */
#include "kernels.h"

#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define DECLARE(isa)                                                                               \
    void kernels_conv_##isa(struct kernels *table);                                                \
    void kernels_covariance_##isa(struct kernels *table);                                          \
    void kernels_norm_##isa(struct kernels *table);                                                \
    void kernels_plain_##isa(struct kernels *table);                                               \
    void kernels_pool_##isa(struct kernels *table);                                                \
    void kernels_act_##isa(struct kernels *table);                                                 \
    void kernels_resize_##isa(struct kernels *table);
#if defined(__x86_64__)
DECLARE(sse2)
DECLARE(avx2)
DECLARE(avx512)
#else
DECLARE(generic)
#endif

#define FILL(table, set, n)                                                                        \
    do {                                                                                           \
        (table).isa = #set;                                                                        \
        (table).lanes = (n);                                                                       \
        kernels_conv_##set(&(table));                                                              \
        kernels_covariance_##set(&(table));                                                        \
        kernels_norm_##set(&(table));                                                              \
        kernels_plain_##set(&(table));                                                             \
        kernels_pool_##set(&(table));                                                              \
        kernels_act_##set(&(table));                                                               \
        kernels_resize_##set(&(table));                                                            \
    } while (0)

/* Best first; those this processor has. */
static size_t fill_tables(struct kernels tables[3])
{
    size_t n = 0;

#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")) {
        FILL(tables[n], avx512, 16);
        n++;
    }
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        FILL(tables[n], avx2, 8);
        n++;
    }
    FILL(tables[n], sse2, 4);
    n++;
#else
    FILL(tables[n], generic, 4);
#if defined(__aarch64__)
    tables[n].isa = "neon";
#endif
    n++;
#endif
    return n;
}

static struct kernels all_tables[3];
static size_t n_tables;

static void fill_once(void)
{
    if (n_tables > 0)
        return;
    openblas_set_num_threads(
        1); /* one slot, one thread: no contention, and the same bits on any machine */
    n_tables = fill_tables(all_tables);
}

const struct kernels *kernels_named(const char *isa)
{
    fill_once();
    for (size_t i = 0; i < n_tables; i++)
        if (strcmp(all_tables[i].isa, isa) == 0)
            return &all_tables[i];
    return NULL;
}

void kernels_take_buffer(void)
{
    enum { SIDE = 128 }; /* small products may do without a buffer */
    float *zeros = calloc((size_t)3 * SIDE * SIDE, sizeof *zeros);

    fill_once();
    if (zeros != NULL)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1, zeros, SIDE,
                    zeros + SIDE * SIDE, SIDE, 0, zeros + 2 * SIDE * SIDE, SIDE);
    free(zeros);
}

const char *kernels_library(void)
{
    static char text[64];
    const char *config = openblas_get_config(), *version = strstr(config, "OpenBLAS ");

    if (text[0] == '\0') /* "OpenBLAS 0.3.26 NO_LAPACKE DYNAMIC_ARCH ... Haswell MAX_THREADS=64" */
        (void)snprintf(text, sizeof text, "OpenBLAS %.*s %s",
                       version != NULL ? (int)strcspn(version + 9, " ") : 1,
                       version != NULL ? version + 9 : "?", openblas_get_corename());
    return text;
}

const char *kernels_built(void)
{
#if defined(__x86_64__)
    return "avx512 avx2 sse2";
#elif defined(__aarch64__)
    return "neon";
#else
    return "generic";
#endif
}

const struct kernels *kernels_get(void)
{
    static const struct kernels *chosen;
    const char *wanted = getenv("NASFARM_ISA");

    if (chosen != NULL)
        return chosen;
    fill_once();
    chosen = &all_tables[0];
    if (wanted != NULL && wanted[0] != '\0') {
        const struct kernels *named = kernels_named(wanted);

        if (named != NULL)
            chosen = named;
        else
            log_warn("NASFARM_ISA=%s: this processor or build has no such kernels; using %s",
                     wanted, chosen->isa);
    }
    return chosen;
}
