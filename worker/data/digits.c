/* digits.c - the built-in data: digits.csv.gz (README.md says whose it is), compiled in. */
#include <stdlib.h>

#include <zlib.h>

#include "dataset.h"
#include "reader.h"

/* DIGITS_FILE is the path of the file; the build file sets it. */
__asm__(".pushsection .rodata,\"a\"\n"
        ".globl nasfarm_digits_begin\n.hidden nasfarm_digits_begin\n"
        ".globl nasfarm_digits_end\n.hidden nasfarm_digits_end\n"
        "nasfarm_digits_begin:\n"
        ".incbin \"" DIGITS_FILE "\"\n"
        "nasfarm_digits_end:\n"
        ".popsection\n");
extern const uint8_t nasfarm_digits_begin[], nasfarm_digits_end[];

#define TEXT_BYTES 264712u /* of the file uncompressed */

int reader_digits(struct draft *out, struct why *why)
{
    static const struct row_form form = {.h = 8, .w = 8, .c = 1};
    z_stream z = {.next_in = (z_const Bytef *)nasfarm_digits_begin,
                  .avail_in = (uInt)(nasfarm_digits_end - nasfarm_digits_begin)};
    char *text = malloc(TEXT_BYTES + 1);
    int rc;

    if (text == NULL || inflateInit2(&z, MAX_WBITS + 16 /* gzip */) != Z_OK) {
        free(text);
        return why_set(why, FARM_ENOMEM, "out of memory for the built-in digits");
    }
    z.next_out = (Bytef *)text;
    z.avail_out = TEXT_BYTES;
    if (inflate(&z, Z_FINISH) == Z_STREAM_END && z.avail_out == 0) {
        text[TEXT_BYTES] = '\0';
        rc = reader_csv_text(out, text, TEXT_BYTES, "digits", &form, DATASET_MAX_BYTES, why);
    } else {
        rc = why_set(why, FARM_ECORRUPT, "the built-in digits are damaged: build nasfarm again");
    }
    (void)inflateEnd(&z);
    free(text);
    return rc;
}
