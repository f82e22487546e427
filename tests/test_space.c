/* test_space.c - genomes as bytes, and what holds for every space: names, ranges, draws, skeletons. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "limits.h"
#include "space.h"

static struct genome *genome_of(uint32_t n, const double *genes)
{
    struct genome *self = genome_create(n);

    ck_assert_ptr_nonnull(self);
    if (n > 0)
        memcpy(self->gene, genes, n * sizeof *genes);
    return self;
}

START_TEST(packs_a_genome_and_unpacks_the_same)
{
    static const double genes[] = {
        0,          1,     126, 127,     128,  4294967296.0, 4294967297.0,
        0.25,       -1,    -0., 1e-300,  -3.5, INFINITY,     16383,
        4294967295, 65535, 7,   2097151, 5};
    const uint32_t n = sizeof genes / sizeof genes[0];

    for (uint32_t k = 0; k <= n; k++) {
        struct genome *genome = genome_of(k, genes), *back;
        uint8_t *bytes = malloc(genome_pack_max(k));
        size_t len = genome_pack(genome, bytes);

        ck_assert_uint_le(len, genome_pack_max(k));
        ck_assert_int_eq(genome_unpack(&back, bytes, len), FARM_OK);
        ck_assert(genome_equal(genome, back));
        free(back);
        free(bytes);
        free(genome);
    }
}
END_TEST

START_TEST(packs_a_small_whole_number_into_one_byte)
{
    static const double genes[40] = {0, 1, 2, 3, 4, 100, 126};
    struct genome *genome = genome_of(40, genes);
    uint8_t bytes[400];

    ck_assert_uint_eq(genome_pack(genome, bytes), 41);
    free(genome);
}
END_TEST

START_TEST(refuses_bytes_that_are_not_exactly_one_genome)
{
    static const struct {
        const char *what, *bytes;
        size_t len;
    } bad[] = {
        {"nothing", "", 0},
        {"two genes promised, one there", "\2\1", 2},
        {"a byte too many", "\1\1\1", 3},
        {"a byte after an empty genome", "\0\0", 2},
        {"eight bytes promised, seven there", "\1\0\1\2\3\4\5\6\7", 9},
        {"a count that never ends", "\xff\xff\xff\xff\xff\xff", 6},
        {"more genes than there may be", "\x81\x20", 2},
        {"one in two bytes", "\1\x82\0", 3},
        {"past 2^32", "\1\x82\x80\x80\x80\x20", 6},
        {"a whole number in eight bytes", "\1\0\0\0\0\0\0\0\xf0\x3f", 10},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct genome *genome;
        int rc = genome_unpack(&genome, (const uint8_t *)bad[i].bytes, bad[i].len);

        ck_assert_msg(rc == FARM_EGENOME && genome == NULL, "%s", bad[i].what);
    }
}
END_TEST

START_TEST(survives_any_bytes_and_packs_what_it_accepts_to_the_same)
{
    struct rng rng;
    uint8_t bytes[24], again[5 + 24 * 9];

    rng_seed(&rng, 5);
    for (int i = 0; i < 200000; i++) {
        size_t len = rng_below(&rng, sizeof bytes + 1);
        struct genome *genome;

        for (size_t k = 0; k < len; k++)
            bytes[k] = (uint8_t)(rng_below(&rng, 2) ? rng_below(&rng, 4) : rng_u64(&rng));
        if (genome_unpack(&genome, bytes, len) != FARM_OK)
            continue;
        ck_assert_uint_eq(genome_pack(genome, again), len);
        ck_assert(len == 0 || memcmp(bytes, again, len) == 0);
        free(genome);
    }
}
END_TEST

START_TEST(says_two_genomes_are_equal_only_when_they_are)
{
    static const double genes[] = {1, 2, 3};
    struct genome *a = genome_of(3, genes), *b = genome_copy(a), *c = genome_of(2, genes);

    ck_assert(genome_equal(a, b));
    ck_assert(!genome_equal(a, c));
    b->gene[2] = 4;
    ck_assert(!genome_equal(a, b));
    free(a);
    free(b);
    free(c);
}
END_TEST

static const struct space_ops test_ops = {.name = "test", .summary = "made by hand"};

/* One of each kind; the third is active only when the first is 2, the fourth only when the third is 1. */
static const struct dim kinds[] = {
    {.name = "kind", .kind = DIM_CATEGORICAL, .choices = 3, .parent = -1},
    {.name = "layers", .kind = DIM_INTEGER, .lo = -2, .hi = 4, .parent = -1},
    {.name = "switch", .kind = DIM_CATEGORICAL, .choices = 2, .parent = 0, .parent_value = 2},
    {.name = "momentum", .kind = DIM_REAL, .lo = 0.5, .hi = 1.5, .parent = 2, .parent_value = 1},
    {.name = "lr", .kind = DIM_LOG_REAL, .lo = 1e-4, .hi = 1, .parent = -1},
    {.name = "only", .kind = DIM_CATEGORICAL, .choices = 1, .parent = -1},
};
static const struct space by_hand = {
    .config = {.name = "test"}, .n_dims = 6, .dims = kinds, .ops = &test_ops};

START_TEST(draws_every_value_of_every_kind_within_its_range)
{
    struct genome *genome = genome_create(6);
    int layers[7] = {0}, small_lr = 0;
    struct rng rng;

    rng_seed(&rng, 1);
    for (int i = 0; i < 7000; i++) {
        space_sample(&by_hand, &rng, genome);
        ck_assert_int_eq(space_check(&by_hand, genome, NULL), FARM_OK);
        layers[(int)genome->gene[1] + 2]++;
        small_lr += genome->gene[4] < 1e-2; /* half of the decades */
    }
    for (int k = 0; k < 7; k++)
        ck_assert_msg(layers[k] > 850 && layers[k] < 1150, "%d: %d of 7000", k - 2, layers[k]);
    ck_assert(small_lr > 3300 && small_lr < 3700);
    free(genome);
}
END_TEST

START_TEST(resamples_to_another_value_each_as_likely)
{
    struct genome *genome = genome_create(6);
    int seen[7] = {0};
    struct rng rng;

    rng_seed(&rng, 2);
    space_sample(&by_hand, &rng, genome);
    for (uint32_t i = 0; i < 5; i++)
        for (int k = 0; k < 500; k++) {
            double before = genome->gene[i];

            space_resample(&by_hand, &rng, genome, i);
            ck_assert_msg(genome->gene[i] != before, "%s stayed %g", kinds[i].name, before);
            ck_assert_int_eq(space_check(&by_hand, genome, NULL), FARM_OK);
        }
    for (int k = 0; k < 6000; k++) {
        genome->gene[1] = 0;
        space_resample(&by_hand, &rng, genome, 1);
        seen[(int)genome->gene[1] + 2]++;
    }
    ck_assert_int_eq(seen[2], 0);
    for (int k = 0; k < 7; k++)
        ck_assert(k == 2 || (seen[k] > 850 && seen[k] < 1150));
    space_resample(&by_hand, &rng, genome, 5);
    ck_assert(genome->gene[5] == 0);
    free(genome);
}
END_TEST

START_TEST(knows_which_genes_are_active)
{
    static const double off[] = {1, 0, 1, 1, 0.1, 0}, half[] = {2, 0, 0, 1, 0.1, 0},
                        on[] = {2, 0, 1, 1, 0.1, 0};
    struct genome *a = genome_of(6, off), *b = genome_of(6, half), *c = genome_of(6, on);

    ck_assert(space_active(&by_hand, a, 0));
    ck_assert(!space_active(&by_hand, a, 2));
    ck_assert(!space_active(&by_hand, a, 3));
    ck_assert(space_active(&by_hand, b, 2));
    ck_assert(!space_active(&by_hand, b, 3));
    ck_assert(space_active(&by_hand, c, 3));
    free(a);
    free(b);
    free(c);
}
END_TEST

START_TEST(names_the_gene_that_is_out_of_range)
{
    static const double good[] = {1, 0, 1, 1, 0.1, 0};
    static const struct {
        uint32_t gene;
        double value;
        const char *says;
    } bad[] = {
        {0, 3, "gene 0 (kind) is 3: must be a whole number from 0 to 2"},
        {0, -1, "gene 0 (kind) is -1: must be a whole number from 0 to 2"},
        {0, 0.5, "gene 0 (kind) is 0.5: must be a whole number from 0 to 2"},
        {1, 5, "gene 1 (layers) is 5: must be a whole number from -2 to 4"},
        {3, 2, "gene 3 (momentum) is 2: must be 0.5 to 1.5"},
        {4, NAN, "gene 4 (lr) is nan: must be 0.0001 to 1"},
        {4, INFINITY, "gene 4 (lr) is inf: must be 0.0001 to 1"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct genome *genome = genome_of(6, good);
        struct why why = {""};

        ck_assert_int_eq(space_check(&by_hand, genome, &why), FARM_OK);
        genome->gene[bad[i].gene] = bad[i].value;
        ck_assert_int_eq(space_check(&by_hand, genome, &why), FARM_EGENOME);
        ck_assert_str_eq(why.text, bad[i].says);
        free(genome);
    }
}
END_TEST

START_TEST(refuses_a_genome_of_another_length)
{
    static const double good[] = {1, 0, 1, 1, 0.1, 0};
    struct genome *genome = genome_of(5, good);
    struct why why = {""};

    ck_assert_int_eq(space_check(&by_hand, genome, &why), FARM_EGENOME);
    ck_assert_str_eq(why.text, "a genome of 5 genes: the space test has 6 dimensions");
    free(genome);
}
END_TEST

START_TEST(has_no_finite_number_of_points_when_a_dimension_is_real)
{
    struct space finite = by_hand;

    ck_assert(isinf(space_log10_points(&by_hand)));
    finite.n_dims = 3;
    ck_assert(fabs(space_log10_points(&finite) - log10((1 + 1 + 2) * 7)) < 1e-12);
}
END_TEST

/* A stage of two to four blocks: the third is there from depth 3 on; a block has three kernels. */
static const char *const depth_labels[] = {"2", "3", "4"};
static const struct dim stage_dims[] = {
    {.name = "depth", .choices = 3, .labels = depth_labels, .ordered = true, .parent = -1},
    {.name = "1", .choices = 3, .parent = -1},
    {.name = "2", .choices = 3, .parent = -1},
    {.name = "3", .choices = 3, .parent = 0, .parent_value = 1, .at_least = true},
    {.name = "4", .choices = 3, .parent = 0, .parent_value = 2, .at_least = true},
};
static const struct space stage = {.n_dims = 5, .dims = stage_dims, .ops = &test_ops};

START_TEST(knows_conditions_that_hold_from_a_value_on)
{
    static const bool active[3][5] = {
        {true, true, true, false, false}, {true, true, true, true, false}, {1, 1, 1, 1, 1}};
    struct genome *genome = genome_create(5);

    for (uint32_t depth = 0; depth < 3; depth++) {
        genome->gene[0] = depth;
        for (uint32_t i = 0; i < 5; i++)
            ck_assert(space_active(&stage, genome, i) == active[depth][i]);
    }
    free(genome);
}
END_TEST

START_TEST(counts_points_that_differ_in_active_genes)
{
    struct dim units[25], many[70];
    struct space five = {.n_dims = 25, .dims = units, .ops = &test_ops},
                 seventy = {.n_dims = 63, .dims = many, .ops = &test_ops};
    char text[32];

    ck_assert_str_eq(space_points_text(&stage, text), "117"); /* 9 + 27 + 81 */
    for (int32_t i = 0; i < 25; i++) {
        units[i] = stage_dims[i % 5];
        units[i].parent = units[i].parent < 0 ? -1 : i / 5 * 5;
    }
    ck_assert_str_eq(space_points_text(&five, text), "21924480357");
    for (int i = 0; i < 70; i++)
        many[i] = (struct dim){.choices = 2, .parent = -1};
    seventy.n_dims = 62;
    ck_assert_str_eq(space_points_text(&seventy, text), "4611686018427387904");
    seventy.n_dims = 63; /* 2^63 */
    ck_assert_str_eq(space_points_text(&seventy, text), "9.2e18");
    ck_assert_str_eq(space_points_text(&by_hand, text), "infinitely many");
}
END_TEST

START_TEST(writes_a_value_by_its_label_or_as_a_number_that_comes_back)
{
    struct dim layers = {.kind = DIM_INTEGER, .lo = 2, .hi = 4, .labels = depth_labels};
    char room[32];

    ck_assert_str_eq(dim_text(&stage_dims[0], 2, room), "4");
    ck_assert_str_eq(dim_text(&layers, 2, room), "2");
    ck_assert_str_eq(dim_text(&kinds[1], -2, room), "-2");
    ck_assert_str_eq(dim_text(&kinds[4], 0.05, room), "0.05");
    ck_assert_str_eq(dim_text(&kinds[4], 1.0 / 3, room), "0.33333333333333331");
}
END_TEST

static struct space *open_named(const char *name, const char *tune)
{
    struct space_config config = {.input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct why why = {""};

    (void)snprintf(config.name, sizeof config.name, "%s", name);
    (void)snprintf(config.tune, sizeof config.tune, "%s", tune);
    ck_assert_msg(space_open(&space, &config, &why) == FARM_OK, "%s", why.text);
    return space;
}

START_TEST(joins_training_settings_to_any_space)
{
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++) {
        struct space *plain = open_named((*ops)->name, ""),
                     *joined = open_named((*ops)->name, "lr,batch=16:64,flip");
        struct genome *genome = genome_create(joined->n_dims);
        struct recipe recipe;
        struct rng rng;

        ck_assert_uint_eq(joined->n_tuned, 3);
        ck_assert_uint_eq(joined->n_dims, plain->n_dims - plain->n_tuned + 3);
        ck_assert_str_eq(joined->config.tune, "lr=0.001:0.5,batch=16:64,flip");
        ck_assert_uint_eq(joined->dims[joined->n_dims - 1].group,
                          joined->dims[joined->n_dims - 3].group);
        rng_seed(&rng, 4);
        for (int k = 0; k < 20; k++) {
            char *text;
            struct genome *back;

            space_sample(joined, &rng, genome);
            recipe_init(&recipe);
            ck_assert_int_eq(space_recipe(joined, genome, &recipe, NULL), FARM_OK);
            ck_assert(recipe.lr == genome->gene[joined->n_dims - 3]);
            ck_assert(recipe.batch == 16 || recipe.batch == 32 || recipe.batch == 64);
            ck_assert(recipe.flip == (genome->gene[joined->n_dims - 1] > 0));
            text = space_notation(joined, genome);
            back = space_parse(joined, text, NULL);
            ck_assert_ptr_nonnull(strstr(text, ";lr="));
            ck_assert_ptr_nonnull(back);
            for (uint32_t i = joined->n_dims - 3; i < joined->n_dims; i++)
                ck_assert_msg(back->gene[i] == genome->gene[i], "%s", text);
            free(back);
            free(text);
        }
        free(genome);
        space_close(&plain);
        space_close(&joined);
    }
}
END_TEST

START_TEST(tunes_the_usual_settings_under_a_joined_name)
{
    struct space *space = open_named("nasbench201+hyperparameters", "");
    struct genome *genome = space_parse(
        space, "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|;batch=128", NULL);

    ck_assert_str_eq(space->config.name, "nasbench201");
    ck_assert_str_eq(space->config.tune,
                     "lr=0.001:0.5,momentum=0.5:0.99,weight-decay=1e-06:0.01,batch=16:256,"
                     "label-smoothing=0:0.2,mixup=0:0.4,crop=0:4,flip");
    ck_assert_ptr_nonnull(genome);
    ck_assert(genome->gene[6] == 0.05); /* what is not in the text is as in every recipe */
    ck_assert(genome->gene[9] == 3);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(says_what_cannot_be_tuned)
{
    static const struct {
        const char *tune, *says;
    } bad[] = {
        {"layers", "space nasbench201: cannot tune 'layers': known are lr, momentum, weight-decay, "
                   "batch, label-smoothing, mixup, cutmix, crop, cutout, flip, epochs, warmup, "
                   "drop-path, grad-clip, ema, nesterov, optimizer"},
        {"lr=0:1",
         "space nasbench201: cannot tune lr so: its logarithm is drawn, so that its range "
         "must begin above 0"},
        {"lr=1:0.1", "space nasbench201: cannot tune lr so: its range must be LOW:HIGH, from 0 on"},
        {"lr=1", "space nasbench201: cannot tune lr so: its range must be LOW:HIGH, from 0 on"},
        {"batch=10:20",
         "space nasbench201: cannot tune batch so: its range must be of powers of two from 1 to "
         "4096"},
        {"crop=0:1.5",
         "space nasbench201: cannot tune crop so: its range must be of whole numbers"},
        {"flip=0:1", "space nasbench201: cannot tune flip so: takes no range"},
        {"lr,crop,lr", "space nasbench201: lr is to be tuned twice"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space_config config = {.name = "nasbench201", .input = {8, 8, 1}, .classes = 10};
        struct space *space = NULL;
        struct why why = {""};

        (void)snprintf(config.tune, sizeof config.tune, "%s", bad[i].tune);
        ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
        ck_assert_str_eq(why.text, bad[i].says);
    }
}
END_TEST

START_TEST(names_the_spaces_that_there_are)
{
    struct space_config config = {.name = "dart", .input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct why why = {""}, want;

    (void)why_set(&want, FARM_EINPUT, "there is no search space 'dart': known are ");
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++) {
        (void)strcat(want.text, ops == space_all() ? "" : ", ");
        (void)strcat(want.text, (*ops)->name);
    }
    ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
    ck_assert_str_eq(why.text, want.text);
    ck_assert_ptr_null(space);
}
END_TEST

START_TEST(names_what_does_not_fit_when_opened)
{
    static const struct {
        struct space_config config;
        const char *says;
    } bad[] = {
        {{.name = "nasbench201", .input = {0, 8, 1}, .classes = 10},
         "space nasbench201: images of 0x8x1: sides must be 1 to 4096, channels 1 to 65536"},
        {{.name = "amoebanet", .input = {8, 8, 1}},
         "space amoebanet: 0 classes: must be 1 to 65536"},
        {{.name = "amoebanet", .input = {8, 8, 1}, .classes = 10, .channels = 5000},
         "space amoebanet: 5000 channels: must be 1 to 4096 (0: the default)"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .cells = 65},
         "space nasbench201: 65 cells per stage: must be 1 to 64 (0: the default)"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .stages = 9},
         "space nasbench201: 9 stages: must be 1 to 8 (0: the default)"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .stem_stride = 9},
         "space nasbench201: 9 as the stem's stride: must be 1 to 8 (0: the default)"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .stages = 5},
         "space nasbench201: 5 stages: images whose shorter side is 8 after the stem can be halved "
         "only 3 times: at most 4 stages"},
        {{.name = "amoebanet", .input = {8, 8, 1}, .classes = 10, .stem = "thick"},
         "space amoebanet: there is no stem 'thick': known are plain, imagenet"},
        {{.name = "amoebanet", .input = {8, 2, 1}, .classes = 10, .stem = "imagenet"},
         "space amoebanet: images of 8x2 are too small for the stem 'imagenet': a side must have 3 "
         "pixels or more"},
        {{.name = "nasnet", .input = {32, 32, 1}, .classes = 10, .stem = "imagenet", .stages = 4},
         "space nasnet: 4 stages: images whose shorter side is 4 after the stem can be halved only "
         "2 times: at most 3 stages"},
        {{.name = "nasnet", .input = {32, 32, 1}, .classes = 10, .stem_channels = 65537},
         "space nasnet: 65537 channels of the stem: must be 1 to 65536 (0: the default)"},
        {{.name = "nasbench201", .input = {64, 64, 1}, .classes = 10, .stem = "imagenet"},
         "space nasbench201: it has no reduction cells for the stem 'imagenet': take the plain one "
         "with a stride"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .stem_channels = 3},
         "space nasbench201: its stem has the channels of the first stage: set those instead of 3 "
         "of the stem"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .skip_reduction_input = true},
         "space nasbench201: its cells read no previous input that could be skipped"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .drop_path = 1},
         "space nasbench201: a drop-path rate of 1: must be 0 or more and below 1"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .options = "width=1"},
         "space nasbench201: it has no option 'width': it takes none"},
        {{.name = "nasbench201", .input = {8, 8, 1}, .classes = 10, .drop_path = NAN},
         "space nasbench201: a drop-path rate of nan: must be 0 or more and below 1"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct space *space = NULL;
        struct why why = {""};

        ck_assert_int_eq(space_open(&space, &bad[i].config, &why), FARM_EINPUT);
        ck_assert_str_eq(why.text, bad[i].says);
        ck_assert_ptr_null(space);
    }
}
END_TEST

START_TEST(lists_the_spaces_that_there_are)
{
    struct space_config config = {.name = "dart", .input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct why why = {""};

    ck_assert_int_eq(space_open(&space, &config, &why), FARM_EINPUT);
    ck_assert_msg(
        strncmp(why.text, "there is no search space 'dart': known are nasbench201, ", 56) == 0,
        "%s", why.text);
    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++)
        ck_assert_msg(strstr(why.text, (*ops)->name) != NULL, "%s: %s", (*ops)->name, why.text);
}
END_TEST

/* Spaces of cells, whose number of stages is the skeleton's; chains of blocks drop strides instead (test_known.c). */
static bool has_stages(const struct space_ops *ops)
{
    struct space_config config = {.input = {8, 8, 1}, .classes = 10, .stages = 1};
    struct space *space = NULL;
    bool has;

    (void)snprintf(config.name, sizeof config.name, "%s", ops->name);
    has = space_open(&space, &config, NULL) == FARM_OK;
    if (has)
        space_close(&space);
    return has;
}

START_TEST(keeps_four_pixels_a_side_unless_told_otherwise)
{
    static const struct {
        uint32_t h, w, stem_stride, stages;
    } want[] = {{1, 1, 1, 1},   {4, 4, 1, 1},     {6, 6, 1, 1},   {7, 7, 1, 2},
                {8, 8, 1, 2},   {16, 16, 1, 3},   {28, 28, 1, 3}, {28, 28, 2, 3},
                {32, 32, 1, 3}, {224, 224, 2, 3}, {7, 224, 1, 2}};

    for (const struct space_ops *const *ops = space_all(); *ops != NULL; ops++)
        for (size_t i = 0; i < sizeof want / sizeof want[0] && has_stages(*ops); i++) {
            struct space_config config = {.input = {want[i].h, want[i].w, 3},
                                          .classes = 10,
                                          .stem_stride = want[i].stem_stride};
            struct space *space = NULL;

            (void)snprintf(config.name, sizeof config.name, "%s", (*ops)->name);
            ck_assert_int_eq(space_open(&space, &config, NULL), FARM_OK);
            ck_assert_msg(space->config.stages == want[i].stages, "%ux%u: %u stages", want[i].h,
                          want[i].w, space->config.stages);
            ck_assert_uint_ge(space->config.channels, 8);
            ck_assert_uint_ge(space->config.cells, 1);
            space_close(&space);
            ck_assert_ptr_null(space);
        }
}
END_TEST

START_TEST(says_why_a_network_past_the_limits_is_none)
{
    struct space_config config = {.name = "nasbench201",
                                  .input = {32, 32, 3},
                                  .classes = 10,
                                  .channels = 4096,
                                  .cells = 64,
                                  .stages = 5};
    struct space *space = NULL;
    struct graph *graph = NULL;
    struct why why = {""};
    struct genome *genome;

    ck_assert_int_eq(space_open(&space, &config, &why), FARM_OK);
    genome = genome_create(space->n_dims);
    for (uint32_t i = 0; i < 6; i++)
        genome->gene[i] = 3;
    ck_assert_int_eq(space_decode(space, genome, &graph, &why), FARM_EGRAPH);
    ck_assert_ptr_null(graph);
    ck_assert_msg(strstr(why.text, "parameters up to here: at most 1000000000") != NULL, "%s",
                  why.text);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(gives_every_parameter_one_name_whatever_the_rest_of_the_genome)
{
    struct space_config config = {.name = "nasbench201", .input = {8, 8, 1}, .classes = 10};
    struct space *space = NULL;
    struct genome *genome;
    struct graph *graph = NULL;
    bool found = false;

    ck_assert_int_eq(space_open(&space, &config, NULL), FARM_OK);
    genome = genome_create(space->n_dims);
    genome->gene[3] = 3;
    ck_assert_int_eq(space_decode(space, genome, &graph, NULL), FARM_OK);
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        found = found || strcmp(graph_name(graph, i), "s1.c0.e3.conv3") == 0;
    ck_assert(found);
    graph_destroy(&graph);
    free(genome);
    space_close(&space);
}
END_TEST

START_TEST(a_share_of_the_range_and_back)
{
    static const struct dim log_real = {.kind = DIM_LOG_REAL, .lo = 0.001, .hi = 10},
                            whole = {.kind = DIM_INTEGER, .lo = 3, .hi = 6},
                            category = {.kind = DIM_CATEGORICAL, .choices = 5};

    ck_assert_double_eq_tol(dim_at(&log_real, 0.75), 1, 1e-12);
    ck_assert_double_eq_tol(dim_share(&log_real, 0.1), 0.5, 1e-12);
    ck_assert_double_eq(dim_at(&log_real, 0), 0.001);
    ck_assert_double_eq(dim_at(&log_real, 1), 10);
    for (int v = 3; v <= 6; v++) { /* each has a quarter, and its share is the middle of it */
        ck_assert_double_eq_tol(dim_share(&whole, v), (v - 3) / 4.0 + 0.125, 1e-12);
        ck_assert_double_eq(dim_at(&whole, (v - 3) / 4.0), v);
        ck_assert_double_eq(dim_at(&whole, (v - 3) / 4.0 + 0.249), v);
    }
    ck_assert_double_eq(dim_at(&whole, 1), 6);
    ck_assert_double_eq(dim_at(&category, 0.5), 2);
    ck_assert_double_eq(dim_share(&category, 4), 0.9);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("space");
    TCase *tc = tcase_create("space");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, packs_a_genome_and_unpacks_the_same);
    tcase_add_test(tc, packs_a_small_whole_number_into_one_byte);
    tcase_add_test(tc, refuses_bytes_that_are_not_exactly_one_genome);
    tcase_add_test(tc, survives_any_bytes_and_packs_what_it_accepts_to_the_same);
    tcase_add_test(tc, says_two_genomes_are_equal_only_when_they_are);
    tcase_add_test(tc, draws_every_value_of_every_kind_within_its_range);
    tcase_add_test(tc, resamples_to_another_value_each_as_likely);
    tcase_add_test(tc, knows_which_genes_are_active);
    tcase_add_test(tc, names_the_gene_that_is_out_of_range);
    tcase_add_test(tc, refuses_a_genome_of_another_length);
    tcase_add_test(tc, has_no_finite_number_of_points_when_a_dimension_is_real);
    tcase_add_test(tc, knows_conditions_that_hold_from_a_value_on);
    tcase_add_test(tc, counts_points_that_differ_in_active_genes);
    tcase_add_test(tc, writes_a_value_by_its_label_or_as_a_number_that_comes_back);
    tcase_add_test(tc, joins_training_settings_to_any_space);
    tcase_add_test(tc, tunes_the_usual_settings_under_a_joined_name);
    tcase_add_test(tc, says_what_cannot_be_tuned);
    tcase_add_test(tc, names_the_spaces_that_there_are);
    tcase_add_test(tc, names_what_does_not_fit_when_opened);
    tcase_add_test(tc, lists_the_spaces_that_there_are);
    tcase_add_test(tc, keeps_four_pixels_a_side_unless_told_otherwise);
    tcase_add_test(tc, says_why_a_network_past_the_limits_is_none);
    tcase_add_test(tc, gives_every_parameter_one_name_whatever_the_rest_of_the_genome);
    tcase_add_test(tc, a_share_of_the_range_and_back);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed > 0;
}
