/* unpack.h - protobuf-c's unpacker with a budget: it has no limit of memory of its own
 * (a 2 MiB message became 109 MB in a trial), so every unpack goes through one of these.
 *
 * Small messages are unpacked into memory inside the budget itself, without malloc.
 * It is not: thread-safe; one budget serves one message at a time.
 */
#ifndef NASFARM_UNPACK_H
#define NASFARM_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <protobuf-c/protobuf-c.h>

#include "err.h"

struct unpack_budget {
    ProtobufCAllocator allocator; /* give &budget.allocator to xxx__unpack and xxx__free_unpacked */
    size_t left;                  /* bytes that may still be allocated */
    size_t near_used;
    bool no_memory; /* it was not the budget that ended */
    _Alignas(16) unsigned char near[2048];
};

/* Allocations beyond bytes return NULL, which makes the unpack fail cleanly. */
void unpack_budget_init(struct unpack_budget *self, size_t bytes);
/* Why an unpack gave NULL: FARM_ENOMEM with a sentence, or FARM_OK: the bytes are to blame. */
int unpack_budget_error(const struct unpack_budget *self, struct why *why);

#endif
