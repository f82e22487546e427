/* fuzz_targets.c - the table of targets. One more is one line here. */
#include "fuzz.h"

const struct fuzz_target *const fuzz_targets[] = {
#ifdef FUZZ_PAUSED
    &fuzz_paused,
#endif
    &fuzz_wire,     &fuzz_graph,       &fuzz_task,   &fuzz_result,   &fuzz_weights,
    &fuzz_report,   &fuzz_genome,      &fuzz_record, &fuzz_genotype, &fuzz_own_space,
    &fuzz_settings, &fuzz_options,     &fuzz_data,   &fuzz_broker,   &fuzz_state,
    &fuzz_config,   &fuzz_certificate, &fuzz_table,  &fuzz_known,    NULL,
};
