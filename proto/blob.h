/* blob.h - named arrays as one compressed, checked blob.
 *
 * It is:     the bytes of net_save() and of a paused training (paused.h):
 *                4 bytes magic, u32 version, the digests, 16 bytes each, u32 records, u64 length of the records;
 *                then the records, zstd; then the CRC-32 of all before it. Little-endian throughout.
 *            A record is u8 length of the name, the name, four u32 of shape, and the values: float32, or u64 of
 *            those few whose reader knows them to be counters.
 * It is not: a network (net.h); it knows names, shapes and values only.
 */
#ifndef NASFARM_BLOB_H
#define NASFARM_BLOB_H

#include <stdbool.h>

#include "checksum.h"
#include "err.h"

/* What a blob holds. */
struct blob_kind {
    char magic[5];
    uint32_t version;   /* of what records there are; no other is read */
    uint32_t n_digests; /* in its header; the first is that of the graph */
    const char *what;   /* in sentences, in the plural: "the weights" */
};
/* Magic NFW1, one digest. Version 2 has, beside the parameters, how images were standardised (weights.h). */
extern const struct blob_kind BLOB_WEIGHTS;
extern const struct blob_kind
    BLOB_PAUSED; /* magic NFT1, three digests: graph, recipe, data and seed */

struct blob_record {
    const char *name;      /* 1..255 bytes */
    const uint32_t *shape; /* 4 */
    void *values;          /* float, or uint64_t when wide */
    size_t n;
    bool wide;
};

/* Records whose names are made up here. Starts as zeros; what is added is borrowed until blob_list_release(). */
struct blob_list {
    struct blob_record *records;
    char (*names)[96];
    uint32_t (*shapes)[4];
    size_t n, room;
    bool
        failed; /* out of memory, or a name too long: nothing more is added, and packing fails with FARM_ENOMEM */
};
/* As "PART/NAME". */
void blob_list_add(struct blob_list *self, const char *part, const char *name,
                   const uint32_t shape[4], float *values, size_t n);
void blob_list_add_wide(struct blob_list *self, const char *name, uint64_t *values, uint32_t n);
/* The records, whose names stay where they are from now on; NULL when failed. */
const struct blob_record *blob_list_records(struct blob_list *self);
void blob_list_release(struct blob_list *self);

/* *bytes is malloc'd. digests: as many as the kind has. FARM_OK or FARM_ENOMEM. */
int blob_pack(const struct blob_kind *kind, const struct digest *digests,
              const struct blob_record *records, size_t n, uint8_t **bytes, size_t *len);
/* Whether it is a whole, undamaged blob of this kind and version. FARM_OK, FARM_ECORRUPT or FARM_EVERSION. */
int blob_check(const struct blob_kind *kind, const uint8_t *bytes, size_t len, struct why *why);
/* Digest i of a blob that was checked. */
struct digest blob_digest(const uint8_t *bytes, uint32_t i);
/* Fills the values of exactly these records, which may be in the blob in any order. All of it is checked
 * before the first value is written (blob_check() as well, and the graph's digest), and it takes no more memory than
 * the records themselves warrant. Errors as net_load() has them. */
int blob_unpack(const struct blob_kind *kind, const struct digest *graph,
                const struct blob_record *records, size_t n, const uint8_t *bytes, size_t len,
                struct why *why);

#endif
