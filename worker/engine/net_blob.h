/* net_blob.h - named arrays of float32 as one compressed, checked blob.
 *
 * It is:     the bytes of net_save() and optimizer_save():
 *                4 bytes magic, u32 version 1, 16 bytes digest of the graph, u32 records, u64 length of the
 *                records; then the records, zstd; then the CRC-32 of all before it. Little-endian throughout.
 *            A record is u8 length of the name, the name, four u32 of shape, and the values as float32.
 * It is not: a network (net.h); it knows names, shapes and values only.
 */
#ifndef NASFARM_NET_BLOB_H
#define NASFARM_NET_BLOB_H

#include "checksum.h"
#include "err.h"

struct blob_record {
    const char *name;      /* 1..255 bytes */
    const uint32_t *shape; /* 4 */
    float *values;
    size_t n;
};

/* *bytes is malloc'd. FARM_OK or FARM_ENOMEM. */
int blob_pack(const char magic[4], const struct digest *graph, const struct blob_record *records,
              size_t n, uint8_t **bytes, size_t *len);
/* Fills the values of exactly these records, which may be in the blob in any order. All of it is checked
 * before the first value is written, and it takes no more memory than the records themselves warrant. Errors
 * as net_load() has them. */
int blob_unpack(const char magic[4], const struct digest *graph, const struct blob_record *records,
                size_t n, const uint8_t *bytes, size_t len, struct why *why);

#endif
