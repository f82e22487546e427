/* fuzz_space.c - what people write about architectures: genotypes, spaces of their own; and genomes as bytes. */
#include <string.h>

#include "fuzz.h"
#include "own.h"
#include "rng.h"
#include "space.h"

struct space *fuzz_space_of(unsigned which)
{
    static struct space *open[64];
    const struct space_ops *const *all = space_all();
    struct space_config config = {.input = {32, 32, 3}, .classes = 10};
    struct why why;
    unsigned n = 0;

    while (all[n] != NULL)
        n++;
    FUZZ_HOLDS(n > 0 && n <= sizeof open / sizeof open[0]);
    which %= n;
    if (open[which] == NULL) {
        snprintf(config.name, sizeof config.name, "%s", all[which]->name);
        FUZZ_HOLDS(space_open(&open[which], &config, &why) == FARM_OK);
    }
    return open[which];
}

/* ---- genotypes: one byte that chooses the space, then the text --------------------------------------------- */

static size_t seed_genotype(unsigned which, uint8_t *out, size_t room)
{
    const struct space *space = fuzz_space_of(which);
    struct genome *genome;
    struct rng rng;
    size_t len;
    char *text;

    if (which >= 64)
        return 0;
    genome = genome_create(space->n_dims);
    rng_seed(&rng, which);
    space_sample(space, &rng, genome);
    text = space_notation(space, genome);
    FUZZ_HOLDS(genome != NULL && text != NULL);
    out[0] = (uint8_t)which;
    len = 1 + fuzz_copy(out + 1, room - 1, text, strlen(text));
    free(text);
    free(genome);
    return len;
}

/* What was parsed is a point of the space, and is the same when it is written and read once more. */
static bool check_genome(const struct space *space, const struct genome *genome)
{
    struct genome *again;
    struct graph *graph;
    struct why why = {""};
    char *text;

    if (space_check(space, genome, &why) != FARM_OK) {
        FUZZ_HOLDS(why.text[0] != '\0');
        return false;
    }
    text = space_notation(space, genome);
    FUZZ_HOLDS(text != NULL);
    again = space_parse(space, text, &why);
    FUZZ_HOLDS(again != NULL && genome_equal(genome, again));
    if (space_decode(space, genome, &graph, &why) == FARM_OK)
        graph_destroy(&graph);
    free(again);
    free(text);
    return true;
}

static bool one_genotype(const uint8_t *bytes, size_t len)
{
    struct genome *genome;
    struct why why = {""};
    char *text;
    bool ok;

    if (len == 0)
        return false;
    text = fuzz_text(bytes + 1, len - 1);
    genome = space_parse(fuzz_space_of(bytes[0]), text, &why);
    FUZZ_HOLDS(genome != NULL || why.text[0] != '\0');
    ok = genome != NULL && check_genome(fuzz_space_of(bytes[0]), genome);
    free(genome);
    free(text);
    return ok;
}

const struct fuzz_target fuzz_genotype = {
    "genotype", "architectures in their communities' notations", seed_genotype, one_genotype};

/* ---- genomes as bytes -------------------------------------------------------------------------------------- */

static size_t seed_genome(unsigned which, uint8_t *out, size_t room)
{
    static const double values[] = {0, 1, 127, 128, 1e300, -1, 0.25, 4294967296.0};
    struct genome *genome;
    size_t len;

    if (which >= 8)
        return 0;
    genome = genome_create(which * 3);
    FUZZ_HOLDS(genome != NULL && genome_pack_max(genome->n) <= room);
    for (uint32_t i = 0; i < genome->n; i++)
        genome->gene[i] = values[(which + i) % 8];
    len = genome_pack(genome, out);
    free(genome);
    return len;
}

static bool one_genome(const uint8_t *bytes, size_t len)
{
    struct genome *genome, *again;
    uint8_t *packed;

    if (genome_unpack(&genome, bytes, len) != FARM_OK)
        return false;
    packed = malloc(genome_pack_max(genome->n));
    FUZZ_HOLDS(packed != NULL);
    FUZZ_HOLDS(genome_unpack(&again, packed, genome_pack(genome, packed)) == FARM_OK);
    FUZZ_HOLDS(again->n == genome->n);
    FUZZ_HOLDS(genome->n == 0 ||
               memcmp(again->gene, genome->gene, genome->n * sizeof genome->gene[0]) == 0);
    free(packed);
    free(again);
    free(genome);
    return true;
}

const struct fuzz_target fuzz_genome = {"genome", "genomes as bytes", seed_genome, one_genome};

/* ---- spaces of one's own: YAML ------------------------------------------------------------------------------ */

/* The examples of the docs, and the definitions that built-in spaces print. */
static size_t seed_own_space(unsigned which, uint8_t *out, size_t room)
{
    static const char *const examples[] = {EXAMPLES "/own-cells.yaml", EXAMPLES "/own-mobile.yaml"};
    unsigned n = 2;

    if (which < n) {
        FILE *file = fopen(examples[which], "r");
        size_t len;

        FUZZ_HOLDS(file != NULL);
        len = fread(out, 1, room, file);
        fclose(file);
        return len;
    }
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++)
        if ((*ops)->definition != NULL && n++ == which)
            return fuzz_copy(out, room, (*ops)->definition, strlen((*ops)->definition));
    return 0;
}

static bool one_own_space(const uint8_t *bytes, size_t len)
{
    char *text = fuzz_text(bytes, len);
    struct own *own = NULL;
    struct why why = {""};
    bool ok = own_read(&own, text, "space.yaml", &why) == FARM_OK;

    FUZZ_HOLDS(ok || strncmp(why.text, "space.yaml", 10) == 0);
    free(own);
    free(text);
    return ok;
}

const struct fuzz_target fuzz_own_space = {"own-space", "spaces as YAML", seed_own_space,
                                           one_own_space};
