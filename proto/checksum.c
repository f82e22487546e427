/* checksum.c - see checksum.h. */
#include "checksum.h"

#include <sodium.h>
#include <zlib.h>

_Static_assert(sizeof(struct digest) == crypto_shorthash_siphashx24_BYTES, "128 bits");

uint32_t checksum_crc32(const void *bytes, size_t len)
{
    return checksum_crc32_more(0, bytes, len);
}

uint32_t checksum_crc32_more(uint32_t before, const void *bytes, size_t len)
{
    return bytes == NULL ? before
                         : (uint32_t)crc32_z(before, bytes, len); /* NULL would start anew */
}

void digest_of(struct digest *out, const void *bytes, size_t len)
{
    static const unsigned char key[crypto_shorthash_siphashx24_KEYBYTES] = "nasfarm digest 1";

    crypto_shorthash_siphashx24(out->bytes, bytes, len, key);
}

void digest_hex(const struct digest *self, char out[33])
{
    sodium_bin2hex(out, 33, self->bytes, sizeof self->bytes);
}
