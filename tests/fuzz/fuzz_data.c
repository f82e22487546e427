/* fuzz_data.c - data sets in every format, and the lines that evaluators write. */
#include <string.h>
#include <zlib.h>

#include "dataset.h"
#include "fuzz.h"
#include "report.h"

/* ---- data: one byte of format, two bytes of length of the first file, then both files ------------------------- */

enum format { CSV, CSV_GZ, NPY, NPZ, IDX, CIFAR, FORMATS };

static size_t put(uint8_t *out, enum format format, const void *first, size_t first_len,
                  const void *second, size_t second_len)
{
    out[0] = (uint8_t)format;
    out[1] = (uint8_t)first_len;
    out[2] = (uint8_t)(first_len >> 8);
    memcpy(out + 3, first, first_len);
    if (second_len > 0)
        memcpy(out + 3 + first_len, second, second_len);
    return 3 + first_len + second_len;
}

/* NOLINTBEGIN(bugprone-not-null-terminated-result): files, not texts */
static size_t npy(uint8_t *out, const char *type, const char *shape, const uint8_t *values,
                  size_t n)
{
    char header[128];
    size_t len =
        (size_t)snprintf(header, sizeof header,
                         "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", type, shape);

    memset(header + len, ' ', 117 - len);
    header[117] = '\n';
    memcpy(out, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(out + 10, header, 118);
    memcpy(out + 128, values, n);
    return 128 + n;
}

static void put_big(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

/* A stored (uncompressed) member of a zip, and its entry in the central directory. */
static size_t zip_member(uint8_t *out, uint8_t *central, size_t *central_len, const char *name,
                         size_t at, const uint8_t *bytes, size_t len)
{
    size_t n = strlen(name);
    uint32_t fields[3] = {(uint32_t)crc32(0, bytes, (uInt)len), (uint32_t)len, (uint32_t)len};
    uint32_t offset = (uint32_t)at;
    uint8_t *c = central + *central_len;

    memset(out, 0, 30);
    memcpy(out, "PK\x03\x04\x14", 5);
    memcpy(out + 14, fields, 12);
    out[26] = (uint8_t)n;
    memcpy(out + 30, name, n);
    memcpy(out + 30 + n, bytes, len);
    memset(c, 0, 46);
    memcpy(c, "PK\x01\x02\x14\x00\x14", 7);
    memcpy(c + 16, fields, 12);
    c[28] = (uint8_t)n;
    memcpy(c + 42, &offset, 4);
    memcpy(c + 46, name, n);
    *central_len += 46 + n;
    return 30 + n + len;
}

static size_t npz(uint8_t *out, const uint8_t *x, size_t x_len, const uint8_t *y, size_t y_len)
{
    uint8_t central[256], *end;
    size_t central_len = 0, len = zip_member(out, central, &central_len, "x.npy", 0, x, x_len);
    uint32_t where;

    len += zip_member(out + len, central, &central_len, "y.npy", len, y, y_len);
    where = (uint32_t)len;
    memcpy(out + len, central, central_len);
    end = out + len + central_len;
    memset(end, 0, 22);
    memcpy(end, "PK\x05\x06", 4);
    end[8] = end[10] = 2;
    end[12] = (uint8_t)central_len;
    memcpy(end + 16, &where, 4);
    return len + central_len + 22;
}
/* NOLINTEND(bugprone-not-null-terminated-result) */

static size_t seed_data(unsigned which, uint8_t *out, size_t room)
{
    static const char csv[] = "a,b,c,d,label\n0,1,2,3,0\n4,5,6,7,1\n8,9,10,255,1\n7,7,7,7,0\n";
    static const uint8_t labels[8] = {0, 1, 1, 0};
    uint8_t pixels[64], a[512], b[512], whole[6200] = {0};
    size_t a_len, b_len;
    uLongf packed = sizeof whole;

    (void)room;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(i * 37);
    a_len = npy(a, "|u1", "(4, 4, 4, 1)", pixels, 64);
    b_len = npy(b, "|u1", "(4,)", labels, 4);
    switch (which) {
    case CSV: return put(out, CSV, csv, sizeof csv - 1, NULL, 0);
    case CSV_GZ: {
        z_stream z = {.next_in = (Bytef *)csv,
                      .avail_in = sizeof csv - 1,
                      .next_out = whole,
                      .avail_out = sizeof whole};

        FUZZ_HOLDS(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
        FUZZ_HOLDS(deflate(&z, Z_FINISH) == Z_STREAM_END);
        packed = z.total_out;
        deflateEnd(&z);
        return put(out, CSV_GZ, whole, packed, NULL, 0);
    }
    case NPY: return put(out, NPY, a, a_len, b, b_len);
    case NPZ: return put(out, NPZ, whole, npz(whole, a, a_len, b, b_len), NULL, 0);
    case IDX:
        put_big(a, 0x803);
        put_big(a + 4, 4);
        put_big(a + 8, 4);
        put_big(a + 12, 4);
        memcpy(a + 16, pixels, 64);
        put_big(b, 0x801);
        put_big(b + 4, 4);
        memcpy(b + 8, labels, 4);
        return put(out, IDX, a, 80, b, 12);
    case CIFAR: whole[3073] = 1; return put(out, CIFAR, whole, 2 * 3073, NULL, 0);
    default: return 0;
    }
}

static void spec_of(enum format format, const uint8_t *first, size_t first_len,
                    const uint8_t *second, size_t second_len, char *spec, size_t room)
{
    static const char *const names[FORMATS] = {
        "d.csv", "d.csv.gz", "x.npy", "d.npz", "train-images-idx3-ubyte", "d.bin"};
    const char *path = fuzz_file(names[format], first, first_len);

    switch (format) {
    case CSV:
    case CSV_GZ: snprintf(spec, room, "csv:%s", path); break;
    case NPY:
        snprintf(spec, room, "npy:%s,%s", path, fuzz_file("y.npy", second, second_len));
        break;
    case NPZ: snprintf(spec, room, "npz:%s", path); break;
    case IDX:
        fuzz_file("train-labels-idx1-ubyte", second, second_len);
        snprintf(spec, room, "idx:%s", fuzz_folder());
        break;
    case CIFAR:
    case FORMATS: snprintf(spec, room, "cifar:%s", path); break;
    }
}

static bool one_data(const uint8_t *bytes, size_t len)
{
    struct dataset *data;
    struct why why = {""};
    char spec[400];
    size_t first;

    if (len < 3)
        return false;
    first = bytes[1] | (size_t)bytes[2] << 8;
    if (first > len - 3)
        first = len - 3;
    spec_of(bytes[0] % FORMATS, bytes + 3, first, bytes + 3 + first, len - 3 - first, spec,
            sizeof spec);
    if (dataset_open_within(&data, spec, 4u << 20, &why) != FARM_OK) {
        FUZZ_HOLDS(why.text[0] != '\0');
        return false;
    }
    FUZZ_HOLDS(data->n > 0 && data->fingerprint != 0 && data->n == data->n_train + data->n_test);
    for (uint32_t i = 0; i < data->n; i++)
        FUZZ_HOLDS(data->labels[i] < data->classes);
    dataset_close(&data);
    return true;
}

const struct fuzz_target fuzz_data = {"data", "CSV, gzip, NPY, NPZ, IDX and CIFAR files", seed_data,
                                      one_data};

/* ---- lines of an evaluator ------------------------------------------------------------------------------------ */

static size_t seed_report(unsigned which, uint8_t *out, size_t room)
{
    static const char *const seeds[] = {
        "{\"tick\": 120}",
        "{\"epoch\": 1, \"epochs\": 10, \"accuracy\": 0.91, \"loss\": 0.3, \"train_loss\": NaN}",
        "{\"final\": true, \"accuracy\": 0.97, \"outcome\": \"diverged\"}",
    };

    return which < 3 ? fuzz_copy(out, room, seeds[which], strlen(seeds[which])) : 0;
}

static bool one_report(const uint8_t *bytes, size_t len)
{
    struct report report;
    struct why why = {""};
    char *line = fuzz_text(bytes, len);
    enum said said = report_parse(&report, line, len, &why);

    FUZZ_HOLDS(said != SAID_WRONG || why.text[0] != '\0');
    free(line);
    return said != SAID_WRONG && said != SAID_OTHER;
}

const struct fuzz_target fuzz_report = {"report", "lines of evaluators", seed_report, one_report};
