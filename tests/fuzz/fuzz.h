/* fuzz.h - what is fuzzed: every parser that reads what others wrote, each as one target.
 *
 * It is:     a table of targets. The driver (fuzz_main.c) mutates their seeds by itself, and so needs no other compiler
 *            than ours; built with clang's libFuzzer (fuzz_libfuzzer.c) the same targets are led by coverage.
 * It is not: a test of what is accepted (those are test_*.c): a target only says what must hold for any bytes. It must not
 *            crash, leak, or take more than FUZZ_HEAP_MAX, and what is accepted must survive being written and read again.
 */
#ifndef NASFARM_FUZZ_H
#define NASFARM_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_INPUT_MAX ((size_t)16384)    /* bytes of one input */
#define FUZZ_HEAP_MAX  ((size_t)16 << 20) /* bytes that one input may take on the heap at once */

struct fuzz_target {
    const char *name, *what;
    /* Writes the which-th well-formed input; returns its length, 0 when there are no more. */
    size_t (*seed)(unsigned which, uint8_t *out, size_t room);
    /* Whether it was accepted. */
    bool (*one)(const uint8_t *bytes, size_t len);
};

/* NULL-terminated. */
extern const struct fuzz_target *const fuzz_targets[];

/* Those of each file. */
extern const struct fuzz_target fuzz_wire, fuzz_graph, fuzz_task, fuzz_result, fuzz_weights,
    fuzz_report, fuzz_genome, fuzz_record, fuzz_genotype, fuzz_own_space, fuzz_settings,
    fuzz_options, fuzz_data, fuzz_paused, fuzz_broker, fuzz_state, fuzz_config, fuzz_certificate,
    fuzz_table, fuzz_known;

/* What must hold. Unlike assert() it is there in every build. */
#define FUZZ_HOLDS(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* One input; aborts when it takes more than FUZZ_HEAP_MAX, where a sanitizer can tell. Whether it was accepted. */
bool fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t len);
/* Copies bytes to out when they fit; for seeds. */
size_t fuzz_copy(uint8_t *out, size_t room, const void *bytes, size_t len);
/* As a text: with a NUL behind it, malloc'd. */
char *fuzz_text(const uint8_t *bytes, size_t len);
/* Makes a file of this name with these bytes in a folder of this process in memory; its path, good until the next call
 * with the same name. The folder goes with the process. */
const char *fuzz_file(const char *name, const void *bytes, size_t len);
/* That folder. */
const char *fuzz_folder(void);

/* Networks of a few layers, one of each number; the caller's. */
struct graph;
struct graph *fuzz_small_graph(unsigned which);
/* Blobs (blob.h): a mode, then a whole blob without its checksum (mode 0), or its header of so many bytes and the bare records
 * (mode 1). fuzz_put_blob() makes such an input of a blob, 0 when it has no room; fuzz_take_blob() makes a blob of whatever
 * became of it, malloc'd, with a checksum that is right again, so that what lies behind it is reached; NULL: it is too short. */
size_t fuzz_put_blob(unsigned mode, const uint8_t *blob, size_t len, size_t header, uint8_t *out,
                     size_t room);
uint8_t *fuzz_take_blob(const uint8_t *bytes, size_t len, size_t header, size_t *blob_len);
/* A built-in space, opened once. */
struct space *fuzz_space_of(unsigned which);

#endif
