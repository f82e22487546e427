/* fuzz_files.c - other files that people bring: keys, tables of benchmarks, what a search starts from. */
#include <string.h>

#include "bench_rows.h"
#include "certificate.h"
#include "fuzz.h"
#include "known.h"
#include "space.h"

/* ---- certificates ------------------------------------------------------------------------------------------------ */

#define PUBLIC "    public-key = \"rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\"\n"
#define SECRET "    secret-key = 'D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs'\n"
#define PERSON "    name = \"worker\"\n    role = \"worker\"\n"

static size_t seed_certificate(unsigned which, uint8_t *out, size_t room)
{
    static const char allowed[] = "#   a comment\nmetadata\n" PERSON "curve\n" PUBLIC;
    static const char own[] = "curve\n" PUBLIC SECRET;

    return which == 0   ? fuzz_copy(out, room, allowed, sizeof allowed - 1)
           : which == 1 ? fuzz_copy(out, room, own, sizeof own - 1)
                        : 0;
}

static bool one_certificate(const uint8_t *bytes, size_t len)
{
    struct certificate certificate;
    struct why why = {""};
    const char *path = fuzz_file("certificate", bytes, len);
    bool ok = certificate_load(&certificate, path, false, &why) == FARM_OK;

    FUZZ_HOLDS(ok || why.text[0] != '\0');
    FUZZ_HOLDS(!ok || strlen(certificate.public_key) == (size_t)CERTIFICATE_KEY);
    (void)certificate_load(&certificate, path, true, &why);
    return ok;
}

const struct fuzz_target fuzz_certificate = {"key", "certificates", seed_certificate,
                                             one_certificate};

/* ---- tables: the columns, a line's end, the file -------------------------------------------------------------------- */

static size_t seed_table(unsigned which, uint8_t *out, size_t room)
{
    static const char *const seeds[] = {
        "key=arch,fitness=acc_*,seconds=s\narch,acc_1,acc_2,s\na|b,0.5,0.6,10\nc:d,0.7,nan,12\n",
        "fitness=-loss,seconds=1.5\nloss\n0.25\n1e-3\n",
        "key=k,fitness=f_*,seconds=2,skip=1\nk,f_0,f_1,f_2\nx,0,1,2\r\ny,3,4,5\r\n",
    };

    return which < 3 ? fuzz_copy(out, room, seeds[which], strlen(seeds[which])) : 0;
}

static bool set_columns(struct bench_columns *columns, const char *text, struct why *why)
{
    for (const char *at = text; *at != '\0'; at += *at == ',') {
        size_t n = strcspn(at, ",");

        if (bench_columns_set(columns, at, n, why) != FARM_OK)
            return false;
        at += n;
    }
    return true;
}

static bool one_table(const uint8_t *bytes, size_t len)
{
    struct bench_columns columns = {.key = ""};
    struct bench_rows *rows;
    struct why why = {""};
    char *text = fuzz_text(bytes, len), *rest = text, *line = strsep(&rest, "\n");
    size_t used = rest != NULL ? (size_t)(rest - text) : len;
    bool ok = set_columns(&columns, line, &why) &&
              bench_rows_open(&rows, fuzz_file("table.csv", bytes + used, len - used), &columns,
                              &why) == FARM_OK;

    FUZZ_HOLDS(ok || why.text[0] != '\0');
    for (size_t row = 0; ok && row < bench_rows_n(rows); row++)
        for (uint32_t budget = 1; budget <= bench_rows_budgets(rows); budget++) {
            (void)bench_rows_fitness(rows, row, budget);
            (void)bench_rows_seconds(rows, row, budget);
        }
    if (ok)
        bench_rows_close(&rows);
    free(text);
    return ok;
}

const struct fuzz_target fuzz_table = {"table", "tables of benchmarks", seed_table, one_table};

/* ---- what a search starts from: one byte that chooses the space, then names or a notation ------------------------------ */

/* Each known network, with a space that has it. */
static size_t seed_known(unsigned which, uint8_t *out, size_t room)
{
    const char *const *names = known_names();
    const struct known *known;
    struct genome *genome = NULL;
    struct why why;

    for (unsigned i = 0; i <= which; i++)
        if (names[i] == NULL)
            return 0;
    FUZZ_HOLDS(known_find(&known, names[which], &why) == FARM_OK);
    for (unsigned i = 0; i < 64 && genome == NULL; i++) {
        out[0] = (uint8_t)i;
        genome = known_genome(known, fuzz_space_of(i), &why);
    }
    free(genome);
    return 1 + fuzz_copy(out + 1, room - 1, names[which], strlen(names[which]));
}

static int take_genome(void *ctx, const struct genome *genome)
{
    struct why why;

    FUZZ_HOLDS(space_check(ctx, genome, &why) == FARM_OK);
    return FARM_OK;
}

static bool one_known(const uint8_t *bytes, size_t len)
{
    struct why why = {""};
    struct space *space;
    char *text;
    bool ok;

    if (len == 0)
        return false;
    space = fuzz_space_of(bytes[0]);
    text = fuzz_text(bytes + 1, len - 1);
    ok = known_read(space, text, take_genome, space, &why) == FARM_OK;
    FUZZ_HOLDS(ok || why.text[0] != '\0');
    free(text);
    return ok;
}

const struct fuzz_target fuzz_known = {"known", "what a search starts from", seed_known, one_known};
