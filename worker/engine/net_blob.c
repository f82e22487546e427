/* net_blob.c - packing and the distrustful reading of weights. */
#include "net_blob.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define VERSION      1u
#define HEADER_BYTES 36u
#define CRC_BYTES    4u
#define SLACK_BYTES                                                                                \
    65536u           /* past our own records, so that a stranger's surplus one can still be named */
#define ZSTD_LEVEL 1 /* float32 weights hardly compress: the cheapest level loses 1 % */

static void put_u32(uint8_t *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(v >> 8 * i);
}

static void put_u64(uint8_t *to, uint64_t v)
{
    put_u32(to, (uint32_t)v);
    put_u32(to + 4, (uint32_t)(v >> 32));
}

static uint32_t get_u32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static uint64_t get_u64(const uint8_t *from)
{
    return get_u32(from) | (uint64_t)get_u32(from + 4) << 32;
}

static void put_floats(uint8_t *to, const float *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &values[i], sizeof bits);
        put_u32(to + 4 * i, bits);
    }
}

static void get_floats(float *to, const uint8_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = get_u32(from + 4 * i);

        memcpy(&to[i], &bits, sizeof bits);
    }
}

static size_t record_bytes(const struct blob_record *r)
{
    return 1 + strlen(r->name) + 16 + 4 * r->n;
}

static uint8_t *put_record(uint8_t *to, const struct blob_record *r)
{
    size_t len = strlen(r->name);

    *to++ = (uint8_t)len;
    memcpy(to, r->name, len);
    to += len;
    for (int d = 0; d < 4; d++)
        put_u32(to + 4 * d, r->shape[d]);
    put_floats(to + 16, r->values, r->n);
    return to + 16 + 4 * r->n;
}

static size_t all_bytes(const struct blob_record *records, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += record_bytes(&records[i]);
    return sum;
}

int blob_pack(const char magic[4], const struct digest *graph, const struct blob_record *records,
              size_t n, uint8_t **bytes, size_t *len)
{
    size_t raw_len = all_bytes(records, n), bound = ZSTD_compressBound(raw_len), packed;
    uint8_t *raw = malloc(raw_len + 1), *blob = malloc(HEADER_BYTES + bound + CRC_BYTES), *to = raw;
    int rc = FARM_ENOMEM;

    if (raw == NULL || blob == NULL)
        goto out;
    for (size_t i = 0; i < n; i++)
        to = put_record(to, &records[i]);
    memcpy(blob, magic, 4);
    put_u32(blob + 4, VERSION);
    memcpy(blob + 8, graph->bytes, sizeof graph->bytes);
    put_u32(blob + 24, (uint32_t)n);
    put_u64(blob + 28, raw_len);
    packed = ZSTD_compress(blob + HEADER_BYTES, bound, raw, raw_len, ZSTD_LEVEL);
    if (ZSTD_isError(packed)) /* with this room, only for want of memory */
        goto out;
    *len = HEADER_BYTES + packed + CRC_BYTES;
    put_u32(blob + HEADER_BYTES + packed, checksum_crc32(blob, HEADER_BYTES + packed));
    *bytes = blob;
    blob = NULL;
    rc = FARM_OK;
out:
    free(raw);
    free(blob);
    return rc;
}

/* Where each of our records was found. */
struct finding {
    const struct blob_record *record;
    const uint8_t *values; /* NULL: not yet */
};

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct finding *)a)->record->name,
                  ((const struct finding *)b)->record->name);
}

static struct finding *find_name(struct finding *all, size_t n, const char *name)
{
    struct blob_record sought = {.name = name};
    struct finding key = {.record = &sought};

    return bsearch(&key, all, n, sizeof *all, by_name);
}

static bool printable(const uint8_t *name, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (name[i] <= ' ' || name[i] > '~')
            return false;
    return len > 0;
}

/* One record at *at; moves it on. */
static int find_record(struct finding *all, size_t n, const uint8_t **at, const uint8_t *end,
                       struct why *why)
{
    char name[256];
    struct finding *found;
    uint32_t shape[4];
    size_t len = *at < end ? **at : 0;

    if ((size_t)(end - *at) < 1 + len + 16 || !printable(*at + 1, len))
        return why_set(why, FARM_ECORRUPT,
                       "the weights are damaged: a record without a name or end");
    memcpy(name, *at + 1, len);
    name[len] = '\0';
    for (int d = 0; d < 4; d++)
        shape[d] = get_u32(*at + 1 + len + 4 * d);
    *at += 1 + len + 16;
    if ((found = find_name(all, n, name)) == NULL)
        return why_set(
            why, FARM_EINPUT,
            "the weights hold '%s', which this network does not have: they belong to another",
            name);
    if (memcmp(shape, found->record->shape, sizeof shape) != 0)
        return why_set(
            why, FARM_EINPUT,
            "'%s' has shape (%u,%u,%u,%u) in the weights, but (%u,%u,%u,%u) in this network", name,
            shape[0], shape[1], shape[2], shape[3], found->record->shape[0],
            found->record->shape[1], found->record->shape[2], found->record->shape[3]);
    if (found->values != NULL)
        return why_set(why, FARM_ECORRUPT, "the weights are damaged: they hold '%s' twice", name);
    if ((size_t)(end - *at) / 4 < found->record->n)
        return why_set(why, FARM_ECORRUPT, "the weights are damaged: they end within '%s'", name);
    found->values = *at;
    *at += 4 * found->record->n;
    return FARM_OK;
}

static int find_all(struct finding *all, size_t n, const uint8_t *raw, size_t raw_len,
                    struct why *why)
{
    const uint8_t *at = raw, *end = raw + raw_len;
    int rc = FARM_OK;

    while (at < end && rc == FARM_OK)
        rc = find_record(all, n, &at, end, why);
    for (size_t i = 0; i < n && rc == FARM_OK; i++)
        if (all[i].values == NULL)
            rc = why_set(
                why, FARM_EINPUT,
                "the weights have no '%s', which this network needs: they belong to another",
                all[i].record->name);
    return rc;
}

static int check_envelope(const char magic[4], const uint8_t *bytes, size_t len, struct why *why)
{
    if (len < HEADER_BYTES + CRC_BYTES || memcmp(bytes, magic, 4) != 0)
        return why_set(why, FARM_ECORRUPT, "%zu bytes that are no '%.4s' blob of nasfarm's", len,
                       magic);
    if (get_u32(bytes + 4) != VERSION)
        return why_set(
            why, FARM_EVERSION,
            "weights in format %u, but this nasfarm reads format %u: use the one that wrote them",
            get_u32(bytes + 4), VERSION);
    if (checksum_crc32(bytes, len - CRC_BYTES) != get_u32(bytes + len - CRC_BYTES))
        return why_set(why, FARM_ECORRUPT,
                       "the weights are damaged: their checksum is wrong; take another copy");
    return FARM_OK;
}

/* The records, decompressed: malloc'd, and the caller's also when they do not decompress. */
static int inflate_records(const uint8_t *bytes, size_t len, size_t expected, uint8_t **raw,
                           size_t *raw_len, struct why *why)
{
    uint64_t claimed = get_u64(bytes + 28);
    size_t got;

    if (claimed > expected + SLACK_BYTES)
        return why_set(why, FARM_EINPUT,
                       "%llu bytes of weights, but this network has %zu: they belong to another",
                       (unsigned long long)claimed, expected);
    *raw_len = (size_t)claimed;
    if ((*raw = malloc(*raw_len + 1)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for %zu bytes of weights", *raw_len);
    got = ZSTD_decompress(*raw, *raw_len, bytes + HEADER_BYTES, len - HEADER_BYTES - CRC_BYTES);
    if (ZSTD_isError(got) || got != *raw_len)
        return why_set(why, FARM_ECORRUPT, "the weights are damaged: they do not decompress");
    return FARM_OK;
}

int blob_unpack(const char magic[4], const struct digest *graph, const struct blob_record *records,
                size_t n, const uint8_t *bytes, size_t len, struct why *why)
{
    struct finding *all = NULL;
    uint8_t *raw = NULL;
    size_t raw_len = 0;
    int rc = check_envelope(magic, bytes, len, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = inflate_records(bytes, len, all_bytes(records, n), &raw, &raw_len, why)) != FARM_OK)
        goto out;
    if ((all = calloc(n + 1, sizeof *all)) == NULL) {
        rc = why_set(why, FARM_ENOMEM, "out of memory for %zu parameters", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        all[i].record = &records[i];
    qsort(all, n, sizeof *all, by_name);
    if ((rc = find_all(all, n, raw, raw_len, why)) != FARM_OK)
        goto out;
    if (get_u32(bytes + 24) != n || memcmp(bytes + 8, graph->bytes, sizeof graph->bytes) != 0) {
        rc = why_set(
            why, FARM_EINPUT,
            "the weights fit by name and shape, but belong to a network of another structure");
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        get_floats(all[i].record->values, all[i].values, all[i].record->n);
out:
    free(all);
    free(raw);
    return rc;
}
