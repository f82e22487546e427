/* fuzz_store.c - the records of a store. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "record.h"

static size_t seed_record(unsigned which, uint8_t *out, size_t room)
{
    struct genome *genome = genome_create(5);
    struct event event = {.kind = (enum event_kind)(which + 1),
                          .trial = 300,
                          .parent = 12,
                          .genome = genome,
                          .redraws = which,
                          .rung = which,
                          .outcome = OUTCOME_OK,
                          .fitness = 0.5,
                          .known_from = UINT64_MAX};
    struct trial_record trial = {
        .trial = 4,
        .state = TRIAL_DONE,
        .parent = UINT64_MAX,
        .known_from = UINT64_MAX,
        .genome = genome,
        .params = 1000,
        .macs = 1u << 20,
        .rung = 1,
        .worker = "w",
        .result = {.outcome = OUTCOME_OK, .fitness = 0.5, .test_accuracy = NAN}};
    struct bytes bytes = {0};
    size_t len = 0;

    FUZZ_HOLDS(genome != NULL);
    if (which < 6 && which != 4)
        record_put_event(&bytes, &event);
    else if (which == 4 || which == 6)
        record_put_proposal(&bytes, &trial);
    else if (which == 7)
        record_put_result(&bytes, &trial);
    if (bytes.len > 0) {
        out[0] = which < 6 && which != 4 ? 0 : which == 7 ? 2 : 1;
        len = 1 + fuzz_copy(out + 1, room - 1, bytes.at, bytes.len);
    }
    bytes_release(&bytes);
    free(genome);
    return len;
}

static bool one_record(const uint8_t *bytes, size_t len)
{
    struct trial_record trial = {0};
    struct event event = {0};
    int rc;

    if (len == 0)
        return false;
    if (bytes[0] % 3 == 0)
        rc = record_get_event(&event, bytes + 1, len - 1);
    else if (bytes[0] % 3 == 1)
        rc = record_get_proposal(&trial, bytes + 1, len - 1);
    else
        rc = record_get_result(&trial, bytes + 1, len - 1);
    free(event.genome);
    trial_record_release(&trial);
    return rc == FARM_OK;
}

const struct fuzz_target fuzz_record = {"record", "the records of a store", seed_record,
                                        one_record};
