/* blob.c - packing and the distrustful reading of named arrays. */
#include "blob.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define DIGESTS_AT   8u
#define DIGEST_BYTES 16u
#define CRC_BYTES    4u
#define SLACK_BYTES                                                                                \
    65536u           /* past our own records, so that a stranger's surplus one can still be named */
#define ZSTD_LEVEL 1 /* float32 weights hardly compress: the cheapest level loses 1 % */

const struct blob_kind BLOB_WEIGHTS = {"NFW1", 2, 1, "the weights"};
const struct blob_kind BLOB_PAUSED = {"NFT1", 1, 3, "the values of the paused training"};

/* Magic, version, digests, number and length of the records. */
static size_t header_bytes(const struct blob_kind *kind)
{
    return DIGESTS_AT + DIGEST_BYTES * kind->n_digests + 4 + 8;
}

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

static size_t value_bytes(const struct blob_record *r)
{
    return (r->wide ? 8 : 4) * r->n;
}

static void put_values(uint8_t *to, const struct blob_record *r)
{
    for (size_t i = 0; i < r->n; i++) {
        uint32_t bits;

        if (r->wide) {
            put_u64(to + 8 * i, ((const uint64_t *)r->values)[i]);
            continue;
        }
        memcpy(&bits, &((const float *)r->values)[i], sizeof bits);
        put_u32(to + 4 * i, bits);
    }
}

static void get_values(const struct blob_record *r, const uint8_t *from)
{
    for (size_t i = 0; i < r->n; i++) {
        uint32_t bits;

        if (r->wide) {
            ((uint64_t *)r->values)[i] = get_u64(from + 8 * i);
            continue;
        }
        bits = get_u32(from + 4 * i);
        memcpy(&((float *)r->values)[i], &bits, sizeof bits);
    }
}

static size_t record_bytes(const struct blob_record *r)
{
    return 1 + strlen(r->name) + 16 + value_bytes(r);
}

static uint8_t *put_record(uint8_t *to, const struct blob_record *r)
{
    size_t len = strlen(r->name);

    *to++ = (uint8_t)len;
    memcpy(to, r->name, len);
    to += len;
    for (int d = 0; d < 4; d++)
        put_u32(to + 4 * d, r->shape[d]);
    put_values(to + 16, r);
    return to + 16 + value_bytes(r);
}

static size_t all_bytes(const struct blob_record *records, size_t n)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += record_bytes(&records[i]);
    return sum;
}

/* ---- lists of records ---- */

static bool make_room(struct blob_list *self)
{
    size_t room = self->room > 0 ? 2 * self->room : 64;
    struct blob_record *records = realloc(self->records, room * sizeof *records);
    char(*names)[sizeof *self->names] = realloc(self->names, room * sizeof *names);
    uint32_t(*shapes)[4] = realloc(self->shapes, room * sizeof *shapes);

    if (records != NULL)
        self->records = records;
    if (names != NULL)
        self->names = names;
    if (shapes != NULL)
        self->shapes = shapes;
    self->failed = records == NULL || names == NULL || shapes == NULL;
    self->room = self->failed ? self->room : room;
    return !self->failed;
}

static void add(struct blob_list *self, const char *part, const char *name, const uint32_t shape[4],
                struct blob_record as)
{
    int len;

    if (self->failed || (self->n == self->room && !make_room(self)))
        return;
    len = snprintf(self->names[self->n], sizeof *self->names, "%s%s%s", part,
                   part[0] != '\0' ? "/" : "", name);
    self->failed = len >= (int)sizeof *self->names;
    memcpy(self->shapes[self->n], shape, sizeof *self->shapes);
    self->records[self->n++] = as;
}

void blob_list_add(struct blob_list *self, const char *part, const char *name,
                   const uint32_t shape[4], float *values, size_t n)
{
    add(self, part, name, shape, (struct blob_record){.values = values, .n = n});
}

void blob_list_add_wide(struct blob_list *self, const char *name, uint64_t *values, uint32_t n)
{
    add(self, "", name, (uint32_t[4]){n},
        (struct blob_record){.values = values, .n = n, .wide = true});
}

const struct blob_record *blob_list_records(struct blob_list *self)
{
    for (size_t i = 0; i < self->n && !self->failed; i++) {
        self->records[i].name = self->names[i];
        self->records[i].shape = self->shapes[i];
    }
    return self->failed ? NULL : self->records;
}

void blob_list_release(struct blob_list *self)
{
    free(self->records);
    free(self->names);
    free(self->shapes);
    *self = (struct blob_list){0};
}

/* ---- packing ---- */

int blob_pack(const struct blob_kind *kind, const struct digest *digests,
              const struct blob_record *records, size_t n, uint8_t **bytes, size_t *len)
{
    size_t raw_len = all_bytes(records, n), bound = ZSTD_compressBound(raw_len), packed;
    size_t header = header_bytes(kind);
    uint8_t *raw = malloc(raw_len + 1), *blob = malloc(header + bound + CRC_BYTES), *to = raw;
    int rc = FARM_ENOMEM;

    if (raw == NULL || blob == NULL)
        goto out;
    for (size_t i = 0; i < n; i++)
        to = put_record(to, &records[i]);
    memcpy(blob, kind->magic, 4);
    put_u32(blob + 4, kind->version);
    for (uint32_t i = 0; i < kind->n_digests; i++)
        memcpy(blob + DIGESTS_AT + DIGEST_BYTES * i, digests[i].bytes, DIGEST_BYTES);
    put_u32(blob + header - 12, (uint32_t)n);
    put_u64(blob + header - 8, raw_len);
    packed = ZSTD_compress(blob + header, bound, raw, raw_len, ZSTD_LEVEL);
    if (ZSTD_isError(packed)) /* with this room, only for want of memory */
        goto out;
    *len = header + packed + CRC_BYTES;
    put_u32(blob + header + packed, checksum_crc32(blob, header + packed));
    *bytes = blob;
    blob = NULL;
    rc = FARM_OK;
out:
    free(raw);
    free(blob);
    return rc;
}

/* ---- reading ---- */

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
static int find_record(const char *what, struct finding *all, size_t n, const uint8_t **at,
                       const uint8_t *end, struct why *why)
{
    char name[256];
    struct finding *found;
    uint32_t shape[4];
    size_t len = *at < end ? **at : 0;

    if ((size_t)(end - *at) < 1 + len + 16 || !printable(*at + 1, len))
        return why_set(why, FARM_ECORRUPT, "%s are damaged: a record without a name or end", what);
    memcpy(name, *at + 1, len);
    name[len] = '\0';
    for (int d = 0; d < 4; d++)
        shape[d] = get_u32(*at + 1 + len + 4 * d);
    *at += 1 + len + 16;
    if ((found = find_name(all, n, name)) == NULL)
        return why_set(why, FARM_EINPUT,
                       "%s hold '%s', which this network does not have: they belong to another",
                       what, name);
    if (memcmp(shape, found->record->shape, sizeof shape) != 0)
        return why_set(why, FARM_EINPUT,
                       "'%s' has shape (%u,%u,%u,%u) in %s, but (%u,%u,%u,%u) in this network",
                       name, shape[0], shape[1], shape[2], shape[3], what, found->record->shape[0],
                       found->record->shape[1], found->record->shape[2], found->record->shape[3]);
    if (found->values != NULL)
        return why_set(why, FARM_ECORRUPT, "%s are damaged: they hold '%s' twice", what, name);
    if ((size_t)(end - *at) < value_bytes(found->record))
        return why_set(why, FARM_ECORRUPT, "%s are damaged: they end within '%s'", what, name);
    found->values = *at;
    *at += value_bytes(found->record);
    return FARM_OK;
}

static int find_all(const char *what, struct finding *all, size_t n, const uint8_t *raw,
                    size_t raw_len, struct why *why)
{
    const uint8_t *at = raw, *end = raw + raw_len;
    int rc = FARM_OK;

    while (at < end && rc == FARM_OK)
        rc = find_record(what, all, n, &at, end, why);
    for (size_t i = 0; i < n && rc == FARM_OK; i++)
        if (all[i].values == NULL)
            rc = why_set(why, FARM_EINPUT,
                         "%s have no '%s', which this network needs: they belong to another", what,
                         all[i].record->name);
    return rc;
}

int blob_check(const struct blob_kind *kind, const uint8_t *bytes, size_t len, struct why *why)
{
    if (len < header_bytes(kind) + CRC_BYTES || memcmp(bytes, kind->magic, 4) != 0)
        return why_set(why, FARM_ECORRUPT, "%zu bytes that are no '%s' blob of nasfarm's", len,
                       kind->magic);
    if (get_u32(bytes + 4) != kind->version)
        return why_set(
            why, FARM_EVERSION,
            "%s are in format %u, but this nasfarm reads format %u: use the one that wrote them",
            kind->what, get_u32(bytes + 4), kind->version);
    if (checksum_crc32(bytes, len - CRC_BYTES) != get_u32(bytes + len - CRC_BYTES))
        return why_set(why, FARM_ECORRUPT,
                       "%s are damaged: their checksum is wrong; take another copy", kind->what);
    return FARM_OK;
}

struct digest blob_digest(const uint8_t *bytes, uint32_t i)
{
    struct digest digest;

    memcpy(digest.bytes, bytes + DIGESTS_AT + DIGEST_BYTES * i, DIGEST_BYTES);
    return digest;
}

/* The records, decompressed: malloc'd, and the caller's also when they do not decompress. */
static int inflate_records(const struct blob_kind *kind, const uint8_t *bytes, size_t len,
                           size_t expected, uint8_t **raw, size_t *raw_len, struct why *why)
{
    size_t header = header_bytes(kind), got;
    uint64_t claimed = get_u64(bytes + header - 8);

    if (claimed > expected + SLACK_BYTES)
        return why_set(why, FARM_EINPUT,
                       "%s are %llu bytes, but those of this network %zu: they belong to another",
                       kind->what, (unsigned long long)claimed, expected);
    *raw_len = (size_t)claimed;
    if ((*raw = malloc(*raw_len + 1)) == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory: %s are %zu bytes", kind->what, *raw_len);
    got = ZSTD_decompress(*raw, *raw_len, bytes + header, len - header - CRC_BYTES);
    if (ZSTD_isError(got) || got != *raw_len)
        return why_set(why, FARM_ECORRUPT, "%s are damaged: they do not decompress", kind->what);
    return FARM_OK;
}

int blob_unpack(const struct blob_kind *kind, const struct digest *graph,
                const struct blob_record *records, size_t n, const uint8_t *bytes, size_t len,
                struct why *why)
{
    struct finding *all = NULL;
    uint8_t *raw = NULL;
    size_t raw_len = 0;
    int rc = blob_check(kind, bytes, len, why);

    if (rc != FARM_OK)
        return rc;
    if ((rc = inflate_records(kind, bytes, len, all_bytes(records, n), &raw, &raw_len, why)) !=
        FARM_OK)
        goto out;
    if ((all = calloc(n + 1, sizeof *all)) == NULL) {
        rc = why_set(why, FARM_ENOMEM, "out of memory for %zu parameters", n);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        all[i].record = &records[i];
    qsort(all, n, sizeof *all, by_name);
    if ((rc = find_all(kind->what, all, n, raw, raw_len, why)) != FARM_OK)
        goto out;
    if (get_u32(bytes + header_bytes(kind) - 12) != n ||
        memcmp(blob_digest(bytes, 0).bytes, graph->bytes, sizeof graph->bytes) != 0) {
        rc = why_set(why, FARM_EINPUT,
                     "%s fit by name and shape, but belong to a network of another structure",
                     kind->what);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        get_values(all[i].record, all[i].values);
out:
    free(all);
    free(raw);
    return rc;
}
