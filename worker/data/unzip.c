/* unzip.c - one member of a zip archive that lies in memory: what an .npz needs, and no more.
 *
 * Sizes come from the central directory; every offset is checked against the archive, the inflated size
 * against what the directory says, the bytes against their CRC-32. Not read: encryption, zip64 (past
 * 4 GiB), methods other than stored and deflated.
 */
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "checksum.h"
#include "reader.h"

#define END_BYTES     22u /* end of central directory, without its comment */
#define ENTRY_BYTES   46u /* an entry of the central directory, without its name */
#define LOCAL_BYTES   30u /* a local header, without its name */
#define COMMENT_BYTES 65535u

struct entry {
    uint32_t flags, method, crc, packed, size, name_len, local;
    const uint8_t *name;
};

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | le16(p + 2) << 16;
}

/* The end of central directory record is searched backwards: a comment may follow it. */
static const uint8_t *find_end(const uint8_t *zip, size_t len)
{
    size_t least = len > END_BYTES + COMMENT_BYTES ? len - END_BYTES - COMMENT_BYTES : 0;

    if (len < END_BYTES)
        return NULL;
    for (size_t at = len - END_BYTES + 1; at-- > least;)
        if (le32(zip + at) == 0x06054b50 && le16(zip + at + 20) == len - END_BYTES - at)
            return zip + at;
    return NULL;
}

static int damaged(const char *path, const char *member, const char *what, struct why *why)
{
    return why_set(why, FARM_EINPUT, "%s: %s: %s: save it again", path, member, what);
}

/* FARM_ENOTFOUND without a sentence when there is none of that name. */
static int find_entry(struct entry *out, const uint8_t *zip, size_t len, const char *member,
                      const char *path, struct why *why)
{
    const uint8_t *end = find_end(zip, len);
    size_t at, limit;
    uint32_t entries;

    if (end == NULL)
        return why_set(why, FARM_EINPUT,
                       "%s is not a zip archive, or is truncated: save it again with numpy.savez",
                       path);
    entries = le16(end + 10);
    at = le32(end + 16);
    limit = (size_t)(end - zip);
    for (uint32_t i = 0; i < entries; i++) {
        const uint8_t *p;
        size_t whole;

        if (at > limit || limit - at < ENTRY_BYTES || le32(zip + at) != 0x02014b50)
            return damaged(path, "the central directory", "an entry lies outside the archive", why);
        p = zip + at;
        *out = (struct entry){.flags = le16(p + 8),
                              .method = le16(p + 10),
                              .crc = le32(p + 16),
                              .packed = le32(p + 20),
                              .size = le32(p + 24),
                              .name_len = le16(p + 28),
                              .local = le32(p + 42),
                              .name = p + ENTRY_BYTES};
        whole = (size_t)ENTRY_BYTES + out->name_len + le16(p + 30) + le16(p + 32);
        if (whole > limit - at)
            return damaged(path, "the central directory", "a name lies outside the archive", why);
        if (out->name_len == strlen(member) && memcmp(out->name, member, out->name_len) == 0)
            return FARM_OK;
        at += whole;
    }
    return FARM_ENOTFOUND;
}

/* Raw deflate into exactly `size` bytes; one more byte of output would be a lie of the directory. */
static int inflate_all(uint8_t **out, uint32_t size, const uint8_t *packed, uint32_t packed_len)
{
    z_stream z = {.next_in = (z_const Bytef *)packed, .avail_in = packed_len};
    size_t room = size < 65536 ? size : 65536, used = 0;
    uint8_t *buffer = malloc(room + 1), *larger; /* + 1: the surplus byte, then the NUL */
    int code;

    if (buffer == NULL || inflateInit2(&z, -MAX_WBITS) != Z_OK) {
        free(buffer);
        return FARM_ENOMEM;
    }
    for (;;) {
        z.next_out = buffer + used;
        z.avail_out = (uInt)(room - used + (room == size));
        code = inflate(&z, Z_NO_FLUSH);
        used = (size_t)(z.next_out - buffer);
        if (code != Z_OK || used < room || room == size)
            break;
        room = size / 2 < room ? size : room * 2;
        if ((larger = realloc(buffer, room + 1)) == NULL)
            break;
        buffer = larger;
    }
    (void)inflateEnd(&z);
    if (code == Z_STREAM_END && used == size && z.avail_in == 0) {
        buffer[used] = '\0';
        *out = buffer;
        return FARM_OK;
    }
    free(buffer);
    return code == Z_OK && used == room && room < size ? FARM_ENOMEM : FARM_EINPUT;
}

int unzip_member(const uint8_t *zip, size_t len, const char *member, const char *path,
                 uint64_t max_bytes, uint8_t **bytes, size_t *bytes_len, struct why *why)
{
    struct entry entry = {0};
    size_t skip;
    int rc = find_entry(&entry, zip, len, member, path, why);

    *bytes = NULL;
    if (rc != FARM_OK)
        return rc;
    if ((entry.flags & 1) != 0)
        return damaged(path, member, "it is encrypted", why);
    if (entry.size == UINT32_MAX || entry.packed == UINT32_MAX)
        return damaged(path, member, "4 GiB or more are not read from an npz (use npy:)", why);
    if (entry.size > max_bytes)
        return why_set(why, FARM_EINPUT, "%s: %s has %u bytes: more than %llu are not read", path,
                       member, entry.size, (unsigned long long)max_bytes);
    if (entry.local > len || len - entry.local < LOCAL_BYTES ||
        le32(zip + entry.local) != 0x04034b50)
        return damaged(path, member, "it lies outside the archive", why);
    skip = (size_t)LOCAL_BYTES + le16(zip + entry.local + 26) + le16(zip + entry.local + 28);
    if (len - entry.local < skip || len - entry.local - skip < entry.packed)
        return damaged(path, member, "it lies outside the archive", why);
    zip += entry.local + skip;
    if (entry.method == 8) {
        if ((rc = inflate_all(bytes, entry.size, zip, entry.packed)) == FARM_EINPUT)
            return damaged(path, member, "it does not inflate to the size that the archive says",
                           why);
    } else if (entry.method != 0) {
        return damaged(path, member, "neither stored nor deflated", why);
    } else if (entry.packed != entry.size) {
        return damaged(path, member, "stored, but of two sizes", why);
    } else if ((*bytes = malloc((size_t)entry.size + 1)) == NULL) {
        rc = FARM_ENOMEM;
    } else {
        memcpy(*bytes, zip, entry.size);
        (*bytes)[entry.size] = '\0';
    }
    if (rc != FARM_OK)
        return why_set(why, rc, "out of memory for %u bytes of %s in %s", entry.size, member, path);
    if (checksum_crc32(*bytes, entry.size) != entry.crc) {
        free(*bytes);
        *bytes = NULL;
        return damaged(path, member, "its checksum does not match", why);
    }
    *bytes_len = entry.size;
    return FARM_OK;
}
