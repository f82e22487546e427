/* fuzz_libfuzzer.c - the same targets under clang's libFuzzer: NASFARM_FUZZ=TARGET fuzz-libfuzzer [DIR] [-runs=N].
 * fuzz_main.c writes the seeds to DIR. */
#include <string.h>

#include "fuzz.h"

// NOLINTNEXTLINE(readability-non-const-parameter)
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct fuzz_target *target;

// NOLINTNEXTLINE(readability-non-const-parameter): libFuzzer's
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *name = getenv("NASFARM_FUZZ");

    (void)argc;
    (void)argv;
    for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL; t++)
        if (name != NULL && strcmp((*t)->name, name) == 0)
            target = *t;
    if (target == NULL) {
        fprintf(stderr, "fuzz-libfuzzer: set NASFARM_FUZZ to one of:");
        for (const struct fuzz_target *const *t = fuzz_targets; *t != NULL; t++)
            fprintf(stderr, " %s", (*t)->name);
        fprintf(stderr, "\n");
        exit(2);
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len <= FUZZ_INPUT_MAX)
        fuzz_run(target, bytes, len);
    return 0;
}
