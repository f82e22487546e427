/* report.h - the lines in which an evaluation says how it goes and how it ended: one JSON object each.
 *
 *     {"tick": 120}                                                     it moves: any number that only grows
 *     {"epoch": 1, "epochs": 10, "accuracy": 0.91, "loss": 0.3, "train_loss": 0.4}
 *     {"final": true, "accuracy": 0.97, "loss": 0.1, ...}               the last one; docs/exec-evaluator.md has all fields
 *
 * It is:     reading them, as hostile text, and writing them, for our own evaluator.
 * It is not: pipes or lines (lines.h), nor what is made of an evaluation that ends otherwise (evaluator.h).
 */
#ifndef NASFARM_REPORT_H
#define NASFARM_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "task.h"

enum said {
    SAID_OTHER, /* not one of ours: something it prints */
    SAID_TICK,
    SAID_REPORT,
    SAID_FINAL,
    SAID_WRONG, /* one of ours with a field of the wrong type or out of range: why has the sentence */
};

struct report {
    uint64_t tick;
    struct progress progress;
    struct result result;
    bool has_accuracy; /* of a final one: the field is there, be it null */
};

/* Reads line[0..len); NUL behind it; it is changed. NaN and Infinity, which Python writes and JSON does not know, read as
 * null, and null as NaN. Fills the part of *out that goes with what is returned. */
enum said report_parse(struct report *out, char *line, size_t len, struct why *why);

/* Each writes one line in one write(). FARM_OK or FARM_EIO. */
int report_write_tick(int fd, uint64_t tick);
int report_write_progress(int fd, const struct progress *progress);
int report_write_final(int fd, const struct result *result);

#endif
