/* test_dataset.c - every format read as it is meant, every bad file refused with its sentence. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zlib.h>

#include "data/dataset.h"
#include "rng.h"

/* -- files of a test, in a folder of its own -- */

static char folder[64];

static void make_folder(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/test-dataset-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    char command[96];

    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

struct bytes {
    uint8_t at[65536];
    size_t n;
};

static void put(struct bytes *self, const void *from, size_t n)
{
    ck_assert_uint_le(self->n + n, sizeof self->at);
    memcpy(self->at + self->n, from, n);
    self->n += n;
}

static void put_text(struct bytes *self, const char *text)
{
    put(self, text, strlen(text));
}

static void put_be(struct bytes *self, uint32_t word)
{
    put(self,
        (uint8_t[]){(uint8_t)(word >> 24), (uint8_t)(word >> 16), (uint8_t)(word >> 8),
                    (uint8_t)word},
        4);
}

static void put_le(struct bytes *self, uint32_t word, size_t n)
{
    put(self,
        (uint8_t[]){(uint8_t)word, (uint8_t)(word >> 8), (uint8_t)(word >> 16),
                    (uint8_t)(word >> 24)},
        n);
}

/* A ramp, so that every pixel says where it came from. */
static void put_ramp(struct bytes *self, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(self, (uint8_t[]){(uint8_t)i}, 1);
}

static void save(const char *name, const void *bytes, size_t n)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_ptr_nonnull(file = fopen(path, "wb"));
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

static void save_gz(const char *name, const void *bytes, size_t n)
{
    char path[256];
    gzFile file;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_ptr_nonnull(file = gzopen(path, "wb"));
    ck_assert_int_eq(gzwrite(file, bytes, (unsigned)n), (int)n);
    ck_assert_int_eq(gzclose(file), Z_OK);
}

static void erase(const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)unlink(path);
}

/* Each %s of the spec is the folder. */
static int open_spec(struct dataset **out, const char *spec, uint64_t max_bytes, struct why *why)
{
    char text[1024];

    (void)snprintf(text, sizeof text, spec, folder, folder);
    return dataset_open_within(out, text, max_bytes, why);
}

static struct dataset *opens(const char *spec)
{
    struct dataset *data = NULL;
    struct why why = {""};
    int rc = open_spec(&data, spec, DATASET_MAX_BYTES, &why);

    ck_assert_msg(rc == FARM_OK, "%s: %s", spec, why.text);
    return data;
}

static void refuses_within(const char *spec, uint64_t max_bytes, const char *sentence)
{
    struct dataset *data = NULL;
    struct why why = {""};
    int rc = open_spec(&data, spec, max_bytes, &why);

    ck_assert_msg(rc == FARM_EINPUT, "%s: code %d instead of a refusal with '%s'", spec, rc,
                  sentence);
    ck_assert_msg(strstr(why.text, sentence) != NULL, "%s: said '%s', not '%s'", spec, why.text,
                  sentence);
    ck_assert_ptr_null(data);
}

static void refuses(const char *spec, const char *sentence)
{
    refuses_within(spec, DATASET_MAX_BYTES, sentence);
}

/* -- IDX -- */

static void idx_images(struct bytes *out, uint32_t n, uint32_t h, uint32_t w)
{
    out->n = 0;
    put_be(out, 0x803);
    put_be(out, n);
    put_be(out, h);
    put_be(out, w);
}

static void idx_labels(struct bytes *out, uint32_t n, const char *labels)
{
    out->n = 0;
    put_be(out, 0x801);
    put_be(out, n);
    for (; *labels != '\0'; labels++)
        put(out, (uint8_t[]){(uint8_t)(*labels - '0')}, 1);
}

/* 4 training images of 2x3, 2 test images. */
static void save_good_idx(void)
{
    struct bytes b;

    idx_images(&b, 4, 2, 3);
    put_ramp(&b, 24);
    save("train-images-idx3-ubyte", b.at, b.n);
    idx_labels(&b, 4, "0120");
    save("train-labels-idx1-ubyte", b.at, b.n);
    idx_images(&b, 2, 2, 3);
    put_ramp(&b, 12);
    save_gz("t10k-images-idx3-ubyte.gz", b.at, b.n);
    idx_labels(&b, 2, "21");
    save_gz("t10k-labels-idx1-ubyte.gz", b.at, b.n);
}

START_TEST(reads_idx_plain_and_gzip_with_its_test_part)
{
    struct dataset *data;

    save_good_idx();
    data = opens("letters=idx:%s");
    ck_assert_str_eq(data->name, "letters");
    ck_assert_uint_eq(data->h, 2);
    ck_assert_uint_eq(data->w, 3);
    ck_assert_uint_eq(data->c, 1);
    ck_assert_uint_eq(data->classes, 3);
    ck_assert_uint_eq(data->n_train, 4);
    ck_assert_uint_eq(data->n_test, 2);
    ck_assert_uint_eq(data->n, 6);
    ck_assert_ptr_null(data->floats);
    ck_assert_uint_eq(data->bytes[23], 23);
    ck_assert_uint_eq(data->bytes[24], 0);
    ck_assert_uint_eq(data->labels[2], 2);
    ck_assert_uint_eq(data->labels[4], 2);
    dataset_close(&data);
    ck_assert_ptr_null(data);

    erase("t10k-images-idx3-ubyte.gz");
    erase("t10k-labels-idx1-ubyte.gz");
    data = opens("idx:%s/");
    ck_assert_uint_eq(data->n_test, 0);
    ck_assert_msg(strncmp(data->name, "test-dataset-", 13) == 0, "named %s", data->name);
    dataset_close(&data);
}
END_TEST

START_TEST(refuses_idx_files_that_are_not_right)
{
    struct bytes b;

    refuses("idx:%s", "there is no /tmp/test-dataset-");
    save_good_idx();
    erase("train-labels-idx1-ubyte");
    refuses("idx:%s", "train-labels-idx1-ubyte (or .gz)");
    save_good_idx();
    erase("t10k-images-idx3-ubyte.gz");
    refuses("idx:%s", "there is no");
    save_good_idx();

#define WITH_IMAGES(SENTENCE)                                                                      \
    save("train-images-idx3-ubyte", b.at, b.n);                                                    \
    refuses("idx:%s", SENTENCE)
#define WITH_LABELS(SENTENCE)                                                                      \
    save("train-labels-idx1-ubyte", b.at, b.n);                                                    \
    refuses("idx:%s", SENTENCE)

    b.n = 0;
    WITH_IMAGES("train-images-idx3-ubyte is empty");
    put_text(&b, "ab");
    WITH_IMAGES("is truncated: 4 bytes of magic number should follow byte 0, but 2 do");
    b.n = 0;
    put_be(&b, 0x801);
    WITH_IMAGES("starts with 0x00000801, but IDX images of bytes start with 0x00000803");
    b.n = 0;
    put_be(&b, 0x803);
    put_be(&b, 4);
    WITH_IMAGES("is truncated: 12 bytes of header should follow byte 4, but 4 do");
    idx_images(&b, 4, 2, 3);
    put_ramp(&b, 23);
    WITH_IMAGES("is truncated: 24 bytes of pixels should follow byte 16, but 23 do");
    put_ramp(&b, 2);
    WITH_IMAGES("goes on after its last image at byte 40");
    idx_images(&b, 0, 2, 3);
    WITH_IMAGES("has 0 images");
    idx_images(&b, 4, 0, 3);
    WITH_IMAGES("images of 0 x 3 x 1: must be 1 to 4096");
    idx_images(&b, 4, 100000, 3);
    WITH_IMAGES("images of 100000 x 3 x 1");
    idx_images(&b, 0xffffffff, 4096, 4096);
    WITH_IMAGES("4294967295 images of 4096 x 4096 x 1: more than 8589934592 bytes are not read");
    idx_images(&b, 500, 4096, 4096); /* allowed to be that large, but is not there */
    WITH_IMAGES("is truncated");
    idx_images(&b, 3, 2, 3);
    put_ramp(&b, 18);
    WITH_IMAGES("3 images, but");

    save_good_idx();
    idx_labels(&b, 4, "0000");
    WITH_LABELS("every label is 0");
    idx_labels(&b, 4, "0190");
    WITH_LABELS("a label is 9, but there are only 4 training images");
    idx_labels(&b, 4, "0110");
    WITH_LABELS("test image 0 has label 2, but the training labels are 0 to 1");

    save_good_idx();
    idx_images(&b, 2, 3, 2);
    put_ramp(&b, 12);
    save_gz("t10k-images-idx3-ubyte.gz", b.at, b.n);
    refuses("idx:%s", "images of 3x2x1, but");
#undef WITH_IMAGES
#undef WITH_LABELS
}
END_TEST

/* -- gzip -- */

START_TEST(refuses_damaged_gzip_and_stops_a_bomb_at_the_bound)
{
    static uint8_t zeros[4 << 20];
    char path[128];
    struct stat st;
    FILE *file;

    save("x.csv.gz", "0,1\n1,0\n", 8);
    refuses("csv:%s/x.csv.gz", "is not gzip: rename it without .gz, or compress it");

    memset(zeros, '1', sizeof zeros);
    save_gz("x.csv.gz", zeros, sizeof zeros);
    refuses_within("csv:%s/x.csv.gz", 1 << 20, "has more than 1048576 bytes uncompressed");

    (void)snprintf(path, sizeof path, "%s/x.csv.gz", folder);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(truncate(path, st.st_size / 2), 0);
    refuses("csv:%s/x.csv.gz", "the gzip stream is truncated: it ends after ");

    save_gz("x.csv.gz", zeros, sizeof zeros);
    ck_assert_ptr_nonnull(file = fopen(path, "r+b"));
    ck_assert_int_eq(fseek(file, -8, SEEK_END), 0); /* the CRC-32 */
    ck_assert_uint_eq(fwrite("oops", 1, 4, file), 4);
    ck_assert_int_eq(fclose(file), 0);
    refuses("csv:%s/x.csv.gz", "the gzip stream is damaged");

    refuses("csv:%s", "is not a regular file");
    refuses("csv:%s/none.csv", "none.csv: No such file or directory");
}
END_TEST

/* -- CIFAR -- */

static void put_cifar(struct bytes *out, uint8_t label, uint8_t red)
{
    put(out, &label, 1);
    for (int channel = 0; channel < 3; channel++)
        for (int i = 0; i < 1024; i++)
            put(out, (uint8_t[]){(uint8_t)(red + channel)}, 1);
}

START_TEST(reads_a_cifar_folder_in_order_of_names_and_planes_become_pixels)
{
    struct bytes b = {.n = 0};
    struct dataset *data;

    put_cifar(&b, 9, 100);
    put_cifar(&b, 1, 10);
    save("data_batch_1.bin", b.at, b.n);
    save_gz("data_batch_1.bin.gz", b.at, b.n); /* the same file twice: read once */
    b.n = 0;
    put_cifar(&b, 3, 50);
    save_gz("data_batch_2.bin.gz", b.at, b.n);
    b.n = 0;
    put_cifar(&b, 4, 60);
    save("test_batch.bin", b.at, b.n);

    data = opens("cifar:%s");
    ck_assert_uint_eq(data->n_train, 3);
    ck_assert_uint_eq(data->n_test, 1);
    ck_assert_uint_eq(data->classes, 10);
    ck_assert_uint_eq(data->c, 3);
    ck_assert_uint_eq(data->bytes[0], 100);
    ck_assert_uint_eq(data->bytes[1], 101);
    ck_assert_uint_eq(data->bytes[2], 102);
    ck_assert_uint_eq(data->bytes[3], 100);
    ck_assert_uint_eq(data->bytes[2 * 3072], 50);
    ck_assert_uint_eq(data->labels[2], 3);
    ck_assert_uint_eq(data->labels[3], 4);
    dataset_close(&data);

    data = opens("one=cifar:%s/test_batch.bin");
    ck_assert_uint_eq(data->n_train, 1);
    ck_assert_uint_eq(data->n_test, 0);
    dataset_close(&data);
}
END_TEST

START_TEST(reads_the_fine_labels_of_cifar100)
{
    struct bytes b = {.n = 0};
    struct dataset *data;
    uint8_t coarse = 19;

    put(&b, &coarse, 1);
    put_cifar(&b, 99, 7);
    save("train.bin", b.at, b.n);
    data = opens("cifar:%s");
    ck_assert_uint_eq(data->classes, 100);
    ck_assert_uint_eq(data->labels[0], 99);
    ck_assert_uint_eq(data->bytes[0], 7);
    dataset_close(&data);
}
END_TEST

START_TEST(refuses_cifar_files_that_are_not_right)
{
    struct bytes b = {.n = 0};

    refuses("cifar:%s", "has no data_batch_*.bin and no *train*.bin");
    refuses("cifar:%s/none", "No such file or directory");
    put_cifar(&b, 10, 0);
    save("data_batch_1.bin", b.at, b.n);
    refuses("cifar:%s", "record 0 has label 10: must be below 10");
    b.n = 0;
    put_cifar(&b, 9, 0);
    save("data_batch_1.bin", b.at, b.n - 1);
    refuses("cifar:%s", "has 3072 bytes, no whole number of records of 3073 (CIFAR-10)");
    save("data_batch_1.bin", b.at, b.n);
    refuses_within("cifar:%s", 3000, "more than 3000 bytes");
    put_text(&b, "x");
    save("test_batch.bin", b.at, b.n);
    refuses("cifar:%s", "are not both CIFAR-10 or both CIFAR-100");
}
END_TEST

/* -- NPY and NPZ -- */

static void put_npy(struct bytes *out, const char *dictionary, const void *values, size_t n)
{
    put(out, "\x93NUMPY\x01\x00", 8);
    put_le(out, (uint32_t)strlen(dictionary) + 1, 2);
    put_text(out, dictionary);
    put_text(out, "\n");
    put(out, values, n);
}

static void save_npy(const char *name, const char *dictionary, const void *values, size_t n)
{
    struct bytes b = {.n = 0};

    put_npy(&b, dictionary, values, n);
    save(name, b.at, b.n);
}

#define DICT(TYPE, SHAPE)                                                                          \
    "{'descr': '" TYPE "', 'fortran_order': False, 'shape': (" SHAPE "), }      "

static const uint8_t ramp[48] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31,
                                 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47};
static const int64_t labels_i8[4] = {0, 1, 1, 0};
static const float quarter[8] = {0.25f, 0.5f, 0.75f, 1, -1, -0.5f, 2, 3};

START_TEST(reads_npy_pairs_of_bytes_or_floats)
{
    struct dataset *data;

    save_npy("x.npy", DICT("|u1", "4, 2, 2, 3"), ramp, 48);
    save_npy("y.npy", DICT("<i8", "4, 1"), labels_i8, sizeof labels_i8);
    data = opens("npy:%s/x.npy,%s/y.npy");
    ck_assert_str_eq(data->name, "x");
    ck_assert_uint_eq(data->n, 4);
    ck_assert_uint_eq(data->h, 2);
    ck_assert_uint_eq(data->c, 3);
    ck_assert_uint_eq(data->bytes[47], 47);
    ck_assert_uint_eq(data->labels[1], 1);
    dataset_close(&data);

    save_npy("x.npy", DICT("<f4", "2, 2, 2"), quarter, sizeof quarter);
    save_npy("y.npy", DICT("|u1", "2,"), "\x00\x01", 2);
    data = opens("npy:%s/x.npy,%s/y.npy");
    ck_assert_ptr_null(data->bytes);
    ck_assert_float_eq(data->floats[7], 3);
    dataset_close(&data);

    save_npy("x.npy", DICT("<f4", "2, 4"), quarter, sizeof quarter); /* rows are square images */
    data = opens("npy:%s/x.npy,%s/y.npy");
    ck_assert_uint_eq(data->h, 2);
    ck_assert_uint_eq(data->w, 2);
    dataset_close(&data);
    data = opens("npy:%s/x.npy,%s/y.npy?h=1&w=2&c=2");
    ck_assert_uint_eq(data->h, 1);
    ck_assert_uint_eq(data->c, 2);
    dataset_close(&data);
}
END_TEST

static const struct {
    const char *x_dict;
    size_t x_bytes;
    const char *y_dict, *sentence;
} bad_npy[] = {
    {DICT("<f8", "2, 4, 4"), 48, DICT("<i8", "4,"), "x.npy has type '<f8': save pixels as uint8"},
    {DICT(">f4", "2, 4, 4"), 48, DICT("<i8", "4,"), "has type '>f4'"},
    {DICT("|u1", "4, 3, 4"), 47, DICT("<i8", "4,"), "48 bytes of values, but there are 47"},
    {DICT("|u1", "4, 3, 3"), 37, DICT("<i8", "4,"), "36 bytes of values, but there are 37"},
    {DICT("|u1", "0, 3, 4"), 0, DICT("<i8", "4,"), "has 0 images"},
    {DICT("|u1", "4, 0, 4"), 0, DICT("<i8", "4,"), "images of 0 x 4 x 1"},
    {DICT("|u1", "999999999999999, 99999999999999, 9999999999, 9"), 0, DICT("<i8", "4,"),
     "truncated, or damaged"},
    {DICT("|u1", "4, 2, 2, 2, 1"), 32, DICT("<i8", "4,"), "plain array of at most 4 dimensions"},
    {DICT("|u1", "4,"), 4, DICT("<i8", "4,"), "has 1 dimension"},
    {DICT("|u1", ""), 1, DICT("<i8", "4,"), "is a single value"},
    {DICT("|u1", "4, 3"), 12, DICT("<i8", "4,"), "no image of 1 x 1 x 1: append ?h=..&w=..&c=.."},
    {DICT("|u1", "3, 2, 2"), 12, DICT("<i8", "4,"), "has 4 labels for the 3 images"},
    {DICT("|u1", "4, 2, 2"), 16, DICT("<f4", "8,"), "y.npy has type '<f4': save labels as"},
    {DICT("|u1", "4, 2, 2"), 16, DICT("|i1", "32,"), "has 32 labels for the 4 images"},
    {"{'descr': '|u1', 'fortran_order': True, 'shape': (4, 2, 2), }", 16, DICT("<i8", "4,"),
     "is in Fortran order"},
    {"{'descr': '|u1', 'shape': (4, 2, 2)}", 16, DICT("<i8", "4,"), "not that of a plain array"},
    {"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (4,)}", 4, DICT("<i8", "4,"),
     "not that of a plain array"},
    {"{'descr': '|u1'", 4, DICT("<i8", "4,"), "not that of a plain array"},
};

START_TEST(refuses_npy_files_that_are_not_right)
{
    static const int64_t bad_labels[4] = {0, 1, -1, 0};

    for (size_t i = 0; i < sizeof bad_npy / sizeof bad_npy[0]; i++) {
        save_npy("x.npy", bad_npy[i].x_dict, ramp, bad_npy[i].x_bytes);
        save_npy("y.npy", bad_npy[i].y_dict, labels_i8, sizeof labels_i8);
        refuses("npy:%s/x.npy,%s/y.npy", bad_npy[i].sentence);
    }
    save_npy("x.npy", DICT("|u1", "4, 2, 2"), ramp, 16);
    save_npy("y.npy", DICT("<i8", "4,"), bad_labels, sizeof bad_labels);
    refuses("npy:%s/x.npy,%s/y.npy", "label 2 is -1: must be 0 to 65535");
    save_npy("y.npy", DICT("<i8", "4,"), labels_i8, sizeof labels_i8);
    save_npy("x.npy", DICT("<f4", "4, 1, 1"), (float[]){1, 2, __builtin_nanf(""), 3}, 16);
    refuses("npy:%s/x.npy,%s/y.npy", "value 0 of image 2 is not finite");
    save("x.npy", "\x93NUMPY\x01\x00\xff\xff{'descr'", 18);
    refuses("npy:%s/x.npy,%s/y.npy", "its header is truncated or damaged");
    save("x.npy", "something else", 14);
    refuses("npy:%s/x.npy,%s/y.npy", "is not a NumPy array");
    refuses("npy:%s/x.npy", "must be npy:IMAGES.npy,LABELS.npy");
}
END_TEST

struct zip {
    struct bytes file, directory;
    uint32_t entries;
};

/* numpy.savez writes a zip64 extra field into each local header; savez_compressed deflates. */
static void zip_add(struct zip *self, const char *name, const struct bytes *member, bool deflated,
                    uint32_t size_lie)
{
    static uint8_t packed[70000];
    uint32_t crc = (uint32_t)crc32(0, member->at, (uInt)member->n), at = (uint32_t)self->file.n;
    size_t n = member->n;
    uint32_t size = (uint32_t)member->n + size_lie;

    memcpy(packed, member->at, n);
    if (deflated) {
        z_stream z = {.next_in = (z_const Bytef *)member->at,
                      .avail_in = (uInt)member->n,
                      .next_out = packed,
                      .avail_out = sizeof packed};

        ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
        n = z.total_out;
        (void)deflateEnd(&z);
    }
    put_le(&self->file, 0x04034b50, 4);
    put_le(&self->file, 45, 2);
    put_le(&self->file, 0, 2);
    put_le(&self->file, deflated ? 8 : 0, 2);
    put_le(&self->file, 0, 4);
    put_le(&self->file, crc, 4);
    put_le(&self->file, 0xffffffff, 4);
    put_le(&self->file, 0xffffffff, 4);
    put_le(&self->file, (uint32_t)strlen(name), 2);
    put_le(&self->file, 20, 2);
    put_text(&self->file, name);
    put(&self->file, (uint8_t[20]){1, 0, 16, 0}, 20);
    put(&self->file, packed, n);

    put_le(&self->directory, 0x02014b50, 4);
    put_le(&self->directory, 45, 2);
    put_le(&self->directory, 45, 2);
    put_le(&self->directory, 0, 2);
    put_le(&self->directory, deflated ? 8 : 0, 2);
    put_le(&self->directory, 0, 4);
    put_le(&self->directory, crc, 4);
    put_le(&self->directory, (uint32_t)n, 4);
    put_le(&self->directory, size, 4);
    put_le(&self->directory, (uint32_t)strlen(name), 2);
    put(&self->directory, (uint8_t[12]){0}, 12);
    put_le(&self->directory, at, 4);
    put_text(&self->directory, name);
    self->entries++;
}

static void zip_save(struct zip *self, const char *name)
{
    uint32_t at = (uint32_t)self->file.n;

    put(&self->file, self->directory.at, self->directory.n);
    put_le(&self->file, 0x06054b50, 4);
    put_le(&self->file, 0, 4);
    put_le(&self->file, self->entries, 2);
    put_le(&self->file, self->entries, 2);
    put_le(&self->file, (uint32_t)self->directory.n, 4);
    put_le(&self->file, at, 4);
    put_le(&self->file, 0, 2);
    save(name, self->file.at, self->file.n);
}

static void zip_add_npy(struct zip *self, const char *name, const char *dictionary,
                        const void *values, size_t n, bool deflated)
{
    struct bytes b = {.n = 0};

    put_npy(&b, dictionary, values, n);
    zip_add(self, name, &b, deflated, 0);
}

START_TEST(reads_npz_stored_and_deflated_with_its_test_part)
{
    for (int deflated = 0; deflated < 2; deflated++) {
        struct zip zip = {.entries = 0};
        struct dataset *data;

        zip_add_npy(&zip, "x_train.npy", DICT("|u1", "4, 2, 2"), ramp, 16, deflated);
        zip_add_npy(&zip, "y_train.npy", DICT("<i8", "4,"), labels_i8, 32, deflated);
        zip_add_npy(&zip, "y_test.npy", DICT("|u1", "2,"), "\x01\x00", 2, !deflated);
        zip_add_npy(&zip, "x_test.npy", DICT("|u1", "2, 2, 2"), ramp + 16, 8, deflated);
        zip_save(&zip, "a.b.npz");
        data = opens("npz:%s/a.b.npz");
        ck_assert_str_eq(data->name, "a.b");
        ck_assert_uint_eq(data->n_train, 4);
        ck_assert_uint_eq(data->n_test, 2);
        for (uint32_t i = 0; i < 24; i++)
            ck_assert_uint_eq(data->bytes[i], i);
        ck_assert_uint_eq(data->labels[4], 1);
        dataset_close(&data);
    }
}
END_TEST

START_TEST(refuses_npz_files_that_are_not_right)
{
    struct bytes member = {.n = 0};
    struct zip zip = {.entries = 0};

    save("a.npz", "no zip at all, but long enough for one", 38);
    refuses("npz:%s/a.npz", "is not a zip archive");
    zip_save(&zip, "a.npz");
    refuses("npz:%s/a.npz", "has neither x_train and y_train nor x and y");

    memset(&zip, 0, sizeof zip);
    zip_add_npy(&zip, "x.npy", DICT("|u1", "4, 2, 2"), ramp, 16, true);
    zip_save(&zip, "a.npz");
    refuses("npz:%s/a.npz", "has x but no y: save both");
    save("a.npz", zip.file.at, zip.file.n - 1);
    refuses("npz:%s/a.npz", "is not a zip archive, or is truncated");

    memset(&zip, 0, sizeof zip); /* a bomb: more comes out than the directory says */
    memset(member.at, 0, sizeof member.at);
    member.n = 60000;
    zip_add(&zip, "x.npy", &member, true, (uint32_t)-59900);
    zip_save(&zip, "a.npz");
    refuses("npz:%s/a.npz", "it does not inflate to the size that the archive says");

    memset(&zip, 0, sizeof zip); /* and one that says so */
    zip_add(&zip, "x.npy", &member, true, 0x7f000000);
    zip_save(&zip, "a.npz");
    refuses("npz:%s/a.npz", "it does not inflate to the size");
    refuses_within("npz:%s/a.npz", 1 << 20, "has 2130766432 bytes: more than 1048576 are not read");

    memset(&zip, 0, sizeof zip);
    zip_add_npy(&zip, "x.npy", DICT("|u1", "4, 2, 2"), ramp, 16, false);
    zip_save(&zip, "a.npz");
    zip.file.at[30 + 5 + 20 + 12] ^= 1; /* in the header text of the stored member */
    save("a.npz", zip.file.at, zip.file.n);
    refuses("npz:%s/a.npz", "its checksum does not match");
}
END_TEST

/* -- CSV -- */

static const struct {
    const char *text, *query;
    uint32_t n, h, w, c, classes;
} good_csv[] = {
    {"0,1,2,3,0\n4,5,6,7,1\n", "", 2, 2, 2, 1, 2},
    {"a,b,c,d,label\r\n0,1,2,3,0\r\n4,5,6,7,1\r\n\r\n", "", 2, 2, 2, 1, 2},
    {"\xef\xbb\xbf"
     "0,1,2,3,0\n\n4, 5 ,6,7, 1",
     "", 2, 2, 2, 1, 2},
    {"1,0,1,2,3\n0,4,5,6,7\n", "?label=first", 2, 2, 2, 1, 2},
    {"0,1,2,3,4,5,0\n1,1,1,1,1,1,1\n2,1,1,1,1,1,2\n", "?h=1&w=2&c=3", 3, 1, 2, 3, 3},
};

START_TEST(reads_csv_with_header_and_options)
{
    for (size_t i = 0; i < sizeof good_csv / sizeof good_csv[0]; i++) {
        struct dataset *data;
        char spec[64];

        save("x.csv", good_csv[i].text, strlen(good_csv[i].text));
        (void)snprintf(spec, sizeof spec, "csv:%%s/x.csv%s", good_csv[i].query);
        data = opens(spec);
        ck_assert_str_eq(data->name, "x");
        ck_assert_uint_eq(data->n, good_csv[i].n);
        ck_assert_uint_eq(data->h, good_csv[i].h);
        ck_assert_uint_eq(data->w, good_csv[i].w);
        ck_assert_uint_eq(data->c, good_csv[i].c);
        ck_assert_uint_eq(data->classes, good_csv[i].classes);
        ck_assert_ptr_nonnull(data->bytes);
        ck_assert_uint_eq(data->bytes[1], 1);
        dataset_close(&data);
    }
}
END_TEST

START_TEST(reads_csv_that_is_not_all_bytes_as_floats)
{
    struct dataset *data;

    save("x.csv", "0,0\n-1.5e1,1\n256,1\n", 19);
    data = opens("csv:%s/x.csv");
    ck_assert_ptr_null(data->bytes);
    ck_assert_float_eq(data->floats[0], 0);
    ck_assert_float_eq(data->floats[1], -15);
    ck_assert_float_eq(data->floats[2], 256);
    dataset_close(&data);
}
END_TEST

static const struct {
    const char *spec, *text, *sentence;
} bad_csv[] = {
    {"csv:%s/x.csv", "a,b,label\n", "x.csv has 0 images"},
    {"csv:%s/x.csv", "1\n0\n", "x.csv:1: a line must be the pixels and the label"},
    {"csv:%s/x.csv", "1,2,3,4,0\n1,2,3,1\n", "x.csv:2: 4 values, but the lines before have 5"},
    {"csv:%s/x.csv", "1,0\nx,1\n", "x.csv:2: value 1 ('x') is not a finite number"},
    {"csv:%s/x.csv", "1,0\nnan,1\n", "value 1 ('nan') is not"},
    {"csv:%s/x.csv", "1,0\n1e99,1\n", "value 1 ('1e99') is not"},
    {"csv:%s/x.csv", "1,0\n,1\n", "x.csv:2: value 1 ('') is not"},
    {"csv:%s/x.csv", "1,0\n2,1x\n", "x.csv:2: value 2 ('1x') is not"},
    {"csv:%s/x.csv", "1,0\n2,-1\n", "x.csv:2: the label is -1: must be a whole number 0 to 65535"},
    {"csv:%s/x.csv", "1,0\n2,0.5\n", "x.csv:2: the label is 0.5"},
    {"csv:%s/x.csv", "1,0\n2,70000\n", "x.csv:2: the label is 70000"},
    {"csv:%s/x.csv", "1,0\n2,300\n", "a label is 300, but there are only 2 training images"},
    {"csv:%s/x.csv", "1,2,0\n2,1,1\n", "rows of 2 values, which are no image of 1 x 1 x 1"},
    {"csv:%s/x.csv?h=2&w=2", "1,2,0\n2,1,1\n", "no image of 2 x 2 x 1"},
    {"csv:%s/x.csv?h=0", "1,0\n2,1\n", "h=0: must be 1 to 4096"},
    {"csv:%s/x.csv?w=99999999999999999999", "1,0\n2,1\n", "must be 1 to 4096"},
    {"csv:%s/x.csv", "1,0\n1,0\n1,0\n1,0\n1,0\n1,1\n1,7\n1,0\n",
     "training image 6 has label 7, but only 3 of the classes 0 to 7 have any image"},
    {"csv:%s/x.csv?label=left", "1,0\n2,1\n", "'label=left' is no option"},
};

START_TEST(refuses_csv_files_that_are_not_right)
{
    for (size_t i = 0; i < sizeof bad_csv / sizeof bad_csv[0]; i++) {
        save("x.csv", bad_csv[i].text, strlen(bad_csv[i].text));
        refuses(bad_csv[i].spec, bad_csv[i].sentence);
    }
    save("x.csv", "1,0\n2\0,1\n", 9);
    refuses("csv:%s/x.csv", "x.csv:2: not text");
    save("x.csv", "1,0\n2,1\n", 8);
    refuses_within("csv:%s/x.csv", 7, "has more than 7 bytes uncompressed");
}
END_TEST

/* -- the spec and the built-in data -- */

START_TEST(has_the_digits_built_in)
{
    static const uint32_t per_class[10] = {178, 182, 177, 183, 181, 182, 181, 179, 174, 180};
    struct dataset *data = opens("digits"), *again = opens("ten=digits");
    uint32_t seen[10] = {0};

    ck_assert_uint_eq(data->n, 1797);
    ck_assert_uint_eq(data->n_test, 0);
    ck_assert_uint_eq(data->h * 100 + data->w * 10 + data->c, 881);
    ck_assert_uint_eq(data->classes, 10);
    ck_assert_uint_eq(data->bytes[2], 5);
    for (uint32_t i = 0; i < data->n; i++)
        seen[data->labels[i]]++;
    ck_assert_mem_eq(seen, per_class, sizeof seen);
    ck_assert_str_eq(data->name, "digits");
    ck_assert_str_eq(again->name, "ten");
    ck_assert_uint_eq(data->fingerprint, again->fingerprint);
    ck_assert_uint_ne(data->fingerprint, 0);
    dataset_close(&data);
    dataset_close(&again);
}
END_TEST

START_TEST(the_fingerprint_sees_one_pixel_one_label_and_the_shape)
{
    static const char *const texts[] = {"0,1,2,3,0\n4,5,6,7,1\n", "0,1,2,4,0\n4,5,6,7,1\n",
                                        "0,1,2,3,1\n4,5,6,7,0\n", "0,1,2,3.5,0\n4,5,6,7,1\n"};
    uint64_t prints[5];

    for (size_t i = 0; i < 5; i++) {
        struct dataset *data;

        save("x.csv", texts[i % 4], strlen(texts[i % 4]));
        data = opens(i < 4 ? "csv:%s/x.csv" : "csv:%s/x.csv?h=1&w=4");
        prints[i] = data->fingerprint;
        dataset_close(&data);
        for (size_t k = 0; k < i; k++)
            ck_assert_uint_ne(prints[i], prints[k]);
    }
}
END_TEST

START_TEST(refuses_a_spec_that_is_none)
{
    refuses("", "unknown format ''");
    refuses("jpeg:x", "unknown format 'jpeg': must be digits, idx:DIR");
    refuses("digits:x", "digits is built in and has no path");
    refuses("idx", "a path must follow the format");
    refuses("csv:", "a path must follow the format");
    refuses("=digits", "the name before '='");
    refuses("two words=digits", "the name before '='");
    refuses("12345678901234567890123456789012345678901234567890123456789012345=digits",
            "must be 1 to 64");
}
END_TEST

/* -- hostile input -- */

/* Any bytes: read or refused, with a sentence; the sanitizers watch. */
static void fuzz(const char *spec, const char *name, const struct bytes *good, int rounds,
                 uint64_t seed)
{
    struct rng rng;

    rng_seed(&rng, seed);
    for (int i = 0; i < rounds; i++) {
        struct bytes b;
        struct dataset *data = NULL;
        struct why why = {""};

        b = *good;
        for (uint64_t k = rng_below(&rng, 6); k > 0; k--) {
            uint8_t *byte = &b.at[rng_below(&rng, b.n)];
            uint64_t bits = rng_u64(&rng);

            if ((bits & 1) != 0)
                *byte = (uint8_t)(bits >> 8);
            else
                *byte = (uint8_t)(*byte ^ (1u << (bits >> 1 & 7)));
        }
        if (rng_below(&rng, 4) == 0)
            b.n = rng_below(&rng, b.n) + 1;
        save(name, b.at, b.n);
        if (open_spec(&data, spec, 1 << 24, &why) == FARM_OK) {
            ck_assert_uint_ge(data->n, 1);
            for (uint32_t k = 0; k < data->n; k++)
                ck_assert_uint_lt(data->labels[k], data->classes);
        } else {
            ck_assert_str_ne(why.text, "");
        }
        dataset_close(&data);
    }
    save(name, good->at, good->n);
}

START_TEST(survives_any_change_of_any_file)
{
    struct bytes b = {.n = 0};
    struct zip zip = {.entries = 0};

    save_good_idx();
    idx_images(&b, 4, 2, 3);
    put_ramp(&b, 24);
    fuzz("idx:%s", "train-images-idx3-ubyte", &b, 2000, 1);
    idx_labels(&b, 4, "0120");
    fuzz("idx:%s", "train-labels-idx1-ubyte", &b, 1000, 2);

    b.n = 0;
    put_text(&b, "a,b,c,d,label\n0,1,2,3,0\n4,5.5,6,7,1\n1e3,-2,4,4,0\n");
    fuzz("csv:%s/x.csv?label=last", "x.csv", &b, 3000, 3);

    save_npy("y.npy", DICT("<i8", "4,"), labels_i8, sizeof labels_i8);
    b.n = 0;
    put_npy(&b, DICT("|u1", "4, 2, 2, 3"), ramp, 48);
    fuzz("npy:%s/x.npy,%s/y.npy", "x.npy", &b, 3000, 4);
    b.n = 0;
    put_npy(&b, DICT("<i8", "4,"), labels_i8, sizeof labels_i8);
    fuzz("npy:%s/x.npy,%s/y.npy", "y.npy", &b, 2000, 5);

    zip_add_npy(&zip, "x.npy", DICT("|u1", "4, 2, 2"), ramp, 16, true);
    zip_add_npy(&zip, "y.npy", DICT("<i8", "4,"), labels_i8, 32, false);
    zip_save(&zip, "a.npz");
    fuzz("npz:%s/a.npz", "a.npz", &zip.file, 5000, 6);

    b.n = 0;
    put_cifar(&b, 3, 1);
    put_cifar(&b, 4, 2);
    save("data_batch_1.bin", b.at, b.n);
    fuzz("cifar:%s", "data_batch_1.bin", &b, 500, 7);
}
END_TEST

START_TEST(survives_any_change_of_a_gzip_file)
{
    struct bytes b = {.n = 0};
    char path[128];
    FILE *file;

    put_text(&b, "0,1,2,3,0\n4,5,6,7,1\n1,2,3,4,0\n");
    save_gz("x.csv.gz", b.at, b.n);
    (void)snprintf(path, sizeof path, "%s/x.csv.gz", folder);
    ck_assert_ptr_nonnull(file = fopen(path, "rb"));
    b.n = fread(b.at, 1, sizeof b.at, file);
    (void)fclose(file);
    fuzz("csv:%s/x.csv.gz", "x.csv.gz", &b, 3000, 8);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dataset");
    TCase *formats = tcase_create("formats"), *hostile = tcase_create("hostile");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(formats, make_folder, remove_folder);
    tcase_add_checked_fixture(hostile, make_folder, remove_folder);
    tcase_set_timeout(hostile, 110);
    tcase_add_test(formats, reads_idx_plain_and_gzip_with_its_test_part);
    tcase_add_test(formats, refuses_idx_files_that_are_not_right);
    tcase_add_test(formats, refuses_damaged_gzip_and_stops_a_bomb_at_the_bound);
    tcase_add_test(formats, reads_a_cifar_folder_in_order_of_names_and_planes_become_pixels);
    tcase_add_test(formats, reads_the_fine_labels_of_cifar100);
    tcase_add_test(formats, refuses_cifar_files_that_are_not_right);
    tcase_add_test(formats, reads_npy_pairs_of_bytes_or_floats);
    tcase_add_test(formats, refuses_npy_files_that_are_not_right);
    tcase_add_test(formats, reads_npz_stored_and_deflated_with_its_test_part);
    tcase_add_test(formats, refuses_npz_files_that_are_not_right);
    tcase_add_test(formats, reads_csv_with_header_and_options);
    tcase_add_test(formats, reads_csv_that_is_not_all_bytes_as_floats);
    tcase_add_test(formats, refuses_csv_files_that_are_not_right);
    tcase_add_test(formats, has_the_digits_built_in);
    tcase_add_test(formats, the_fingerprint_sees_one_pixel_one_label_and_the_shape);
    tcase_add_test(formats, refuses_a_spec_that_is_none);
    tcase_add_test(hostile, survives_any_change_of_any_file);
    tcase_add_test(hostile, survives_any_change_of_a_gzip_file);
    suite_add_tcase(suite, formats);
    suite_add_tcase(suite, hostile);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
