/* checksum.h - digests of bytes: one to notice damage, one to name content.
 * It is not: authentication. */
#ifndef NASFARM_CHECKSUM_H
#define NASFARM_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* CRC-32 (zlib's), for records and blobs. */
uint32_t checksum_crc32(const void *bytes, size_t len);
/* Of bytes that follow others, whose checksum is `before` (of none: 0). */
uint32_t checksum_crc32_more(uint32_t before, const void *bytes, size_t len);

/* 128 bits of a keyed SipHash-2-4 (libsodium, fixed key): names graphs, cheap for short input. */
struct digest {
    uint8_t bytes[16];
};
void digest_of(struct digest *out, const void *bytes, size_t len);
/* 32 lower-case hexadecimal digits and a NUL. */
void digest_hex(const struct digest *self, char out[33]);

#endif
