#include "settings.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "objectives.h"
#include "prefilter.h"
#include "recheck.h"

enum {
    GROUP_RUN = 1,
    GROUP_SPACE,
    GROUP_STRATEGY,
    GROUP_TRAIN,
    GROUP_FINAL,
    GROUP_LIMITS,
    GROUP_FARM,
    GROUP_SHOW
};

static const char *const group_titles[] = {
    [GROUP_RUN] = "The search:",
    [GROUP_SPACE] = "The space:",
    [GROUP_STRATEGY] = "The strategy:",
    [GROUP_TRAIN] = "Training of each trial:",
    [GROUP_FINAL] = "Training of the best at the end (default: as above):",
    [GROUP_LIMITS] =
        "Constraints, checked before training (suffixes k M G; bytes also KB KiB ...):",
    [GROUP_FARM] = "The farm:",
    [GROUP_SHOW] = "What is shown:",
};

#define AT(member)   offsetof(struct settings, member)
#define TEXT(member) AT(member), sizeof(((struct settings *)0)->member), 0, 0
#define U32          4294967295.0
#define U64          1e15

/* name, argument, kind, field of struct recipe, range, default, default of the final training, sentence */
#define RECIPE_SETTINGS(X)                                                                         \
    X("epochs", "N", SETTING_COUNT32, epochs, 1, 1e6, "4", "40",                                   \
      "passes over the training images")                                                           \
    X("batch", "N", SETTING_COUNT32, batch, 1, 65536, "64", NULL, "images a step")                 \
    X("optimizer", "NAME", SETTING_TEXT, optimizer, 0, 0, "sgd", NULL,                             \
      "sgd, rmsprop, adam or adamw")                                                               \
    X("lr", "X", SETTING_REAL, lr, 0, 1e3, "0.05", NULL, "peak learning rate")                     \
    X("momentum", "X", SETTING_REAL, momentum, 0, 0.9999, "0.9", NULL,                             \
      "of the gradient; Adam's beta1")                                                             \
    X("nesterov", "yes|no", SETTING_FLAG, nesterov, 0, 1, "yes", NULL,                             \
      "Nesterov's momentum, for sgd")                                                              \
    X("square-decay", "X", SETTING_REAL, square_decay, 0, 0.999999, "0", NULL,                     \
      "RMSProp's rho (0: 0.9), Adam's beta2 (0: 0.999)")                                           \
    X("epsilon", "X", SETTING_REAL, epsilon, 0, 1e3, "0", NULL,                                    \
      "of RMSProp (0: 1e-10; NAS-Bench-101 has 1) and Adam (0: 1e-8)")                             \
    X("epsilon-outside", "yes|no", SETTING_FLAG, epsilon_outside, 0, 1, "no", NULL,                \
      "RMSProp as PyTorch has it instead of TensorFlow's: epsilon outside of the root")            \
    X("weight-decay", "X", SETTING_REAL, weight_decay, 0, 10, "0.0005", NULL,                      \
      "L2 penalty; decoupled for adamw")                                                           \
    X("decay-weights-only", "yes|no", SETTING_FLAG, decay_weights_only, 0, 1, "no", NULL,          \
      "no weight decay on gamma, beta and bias")                                                   \
    X("lr-schedule", "TEXT", SETTING_TEXT, schedule, 0, 0, "cosine", NULL,                         \
      "of the learning rate after the warm-up: cosine[:FLOOR], constant, step:EPOCHS,FACTOR, "     \
      "milestones:E1,E2,...,FACTOR or exponential:FACTOR")                                         \
    X("warmup", "EPOCHS", SETTING_REAL, warmup_epochs, 0, 1e6, "0.5", "2",                         \
      "linear warm-up before the schedule")                                                        \
    X("ema", "DECAY", SETTING_REAL, ema, 0, 0.999999, "0", NULL,                                   \
      "measure and keep a moving average of the weights, e.g. 0.999; 0: the weights")              \
    X("ema-warmup", "yes|no", SETTING_FLAG, ema_warmup, 0, 1, "yes", NULL,                         \
      "its decay is at most (1 + t) / (10 + t) at step t")                                         \
    X("mixup", "ALPHA", SETTING_REAL, mixup, 0, 1e3, "0", NULL,                                    \
      "blend pairs of images, e.g. 0.2; 0: do not")                                                \
    X("cutmix", "ALPHA", SETTING_REAL, cutmix, 0, 1e3, "0", NULL,                                  \
      "exchange rectangles of pairs of images, e.g. 1; 0: do not")                                 \
    X("aux-weight", "X", SETTING_REAL, aux_weight, 0, 1e3, "0.4", NULL,                            \
      "of the loss of an auxiliary head, where the space has one")                                 \
    X("diverge-above", "X", SETTING_REAL, diverge_above, 0, 1e9, "0", NULL,                        \
      "an epoch whose mean loss is so many times that of guessing has diverged; 0: only NaN")      \
    X("label-smoothing", "X", SETTING_REAL, label_smoothing, 0, 0.99, "0", "0.05",                 \
      "share of the uniform target")                                                               \
    X("grad-clip", "X", SETTING_REAL, grad_clip, 0, 1e9, "0", NULL,                                \
      "largest L2 norm of the gradient; 0: none")                                                  \
    X("drop-path", "X", SETTING_REAL, drop_path, 0, 0.95, "0", NULL,                               \
      "final drop-path rate; 0: the graph's own")                                                  \
    X("flip", "yes|no", SETTING_FLAG, flip, 0, 1, "no", NULL, "random horizontal flips")           \
    X("crop", "PIXELS", SETTING_COUNT32, crop_pad, 0, 64, "0", "1",                                \
      "random crops of the image padded so far")                                                   \
    X("cutout", "PIXELS", SETTING_COUNT32, cutout, 0, 4096, "0", NULL, "side of an erased square") \
    X("train-images", "N", SETTING_COUNT32, train_images, 0, U32, "0", "0",                        \
      "at most so many training images; 0: all")                                                   \
    X("measure-latency", "yes|no", SETTING_FLAG, measure_latency, 0, 1, "no", NULL,                \
      "measure how long the trained network takes for one image, on one thread of the worker")     \
    X("time-limit", "SECONDS", SETTING_COUNT32, time_limit_s, 0, U32, "0", "0",                    \
      "of one evaluation; 0: the worker's own")                                                    \
    X("memory-limit", "MB", SETTING_COUNT32, memory_mb, 0, U32, "0", "0",                          \
      "of one evaluation; 0: the worker's own")

#define SEARCH_ROW(n, arg, kind, field, lo, hi, fallback, finally, help)                           \
    {n,  arg,      kind, AT(recipe.field), sizeof(((struct settings *)0)->recipe.field), lo,       \
     hi, fallback, help, GROUP_TRAIN},
#define FINAL_ROW(n, arg, kind, field, lo, hi, fallback, finally, help)                            \
    {"final-" n, arg,     kind, AT(final.field), sizeof(((struct settings *)0)->final.field), lo,  \
     hi,         finally, help, GROUP_FINAL},

const struct setting settings_table[] = {
    {"out", "DIR", SETTING_TEXT, TEXT(out), NULL,
     "where the run is kept (default: nasfarm-runs/NAME)", GROUP_RUN},
    {"name", "NAME", SETTING_TEXT, TEXT(name), NULL, "of the run (default: from data and space)",
     GROUP_RUN},
    {"data", "SPEC", SETTING_TEXT, TEXT(data), "digits",
     "[NAME=]FORMAT[:PATH]: digits, idx:DIR, cifar:PATH, npz:FILE, npy:X,Y, csv:FILE; with "
     "--broker a NAME that workers offer",
     GROUP_RUN},
    {"continue", "yes|no", SETTING_FLAG, AT(go_on), 0, 0, 1, "no",
     "when --out holds a search already, go on with it as `nasfarm resume` does, and ignore "
     "what that does not take",
     GROUP_RUN},
    {"trials", "N", SETTING_COUNT, AT(trials), 0, 1, U64, "300", "genomes to evaluate", GROUP_RUN},
    {"seed", "N", SETTING_COUNT, AT(seed), 0, 0, U64, "1", "of everything random", GROUP_RUN},
    {"no-final", "yes|no", SETTING_FLAG, AT(no_final), 0, 0, 1, "no",
     "do not train and test the best at the end", GROUP_RUN},
    {"prefilter", "PROXY:SHARE%", SETTING_TEXT, TEXT(prefilter), NULL,
     "score each trial first by a zero-cost proxy (docs/proxies.md), and train only those that are "
     "among the best of all so "
     "far, e.g. naswot:10%; --trials counts the others, too",
     GROUP_STRATEGY},
    {"recheck", "SHARE%[:NOISE]", SETTING_TEXT, TEXT(recheck), NULL,
     "evaluate this share of the results, and those that are the best so far, once more on another "
     "worker; "
     "a worker that two others refute is not trusted any more (docs/reliability.md). NOISE: what "
     "honest "
     "accuracies may differ by where they need not be the same to the bit. off: trust everybody "
     "(default: 1% with --broker, else off)",
     GROUP_RUN},
    {"proxy", "NAME", SETTING_TEXT, TEXT(recipe.proxy), "",
     "do not train trials: their fitness is a zero-cost proxy of the first batch: naswot, "
     "jacob_cov, synflow, snip, plain, grad_norm, grasp, zen, params or macs",
     GROUP_RUN},
    {"train-known-again", "yes|no", SETTING_FLAG, AT(train_known_again), 0, 0, 1, "no",
     "train a network that is known already again, instead of taking over its result", GROUP_RUN},
    {"attempts", "N", SETTING_COUNT32, AT(attempts), 0, 1, 100, "2",
     "evaluations of a trial that crashes, hangs, or runs into a limit of the worker's own, each "
     "on another worker where "
     "there is one, before that is its result",
     GROUP_RUN},
    {"redraws", "N", SETTING_COUNT32, AT(redraws), 0, 0, 1000, "20",
     "ask the strategy again, so many times at most, when the network that it proposes is known",
     GROUP_RUN},
    {"val-fraction", "X", SETTING_REAL, AT(recipe.val_fraction), 0, 0, 0.9, "0.15",
     "of the training images, kept for validation", GROUP_RUN},
    {"test-fraction", "X", SETTING_REAL, AT(recipe.test_fraction), 0, 0, 0.9, "0.2",
     "of the images, kept for the test when the data has no test part", GROUP_RUN},
    {"split-seed", "N", SETTING_COUNT, AT(recipe.split_seed), 0, 0, U64, "0",
     "which image is in which part", GROUP_RUN},

    {"space", "NAME|FILE", SETTING_TEXT, TEXT(space), "nasbench201",
     "one of those listed below, or a file that describes one, FILE.yaml (docs/own-spaces.md); "
     "X+hyperparameters tunes how X is trained, too",
     GROUP_SPACE},
    {"channels", "N", SETTING_COUNT32, AT(channels), 0, 0, 65536, "0",
     "of the first stage; 0: by image size", GROUP_SPACE},
    {"cells", "N", SETTING_COUNT32, AT(cells), 0, 0, 1000, "0",
     "normal cells a stage; 0: by image size", GROUP_SPACE},
    {"stages", "N", SETTING_COUNT32, AT(stages), 0, 0, 64, "0", "0: by image size", GROUP_SPACE},
    {"stem-stride", "N", SETTING_COUNT32, AT(stem_stride), 0, 0, 64, "0",
     "of the first convolution; 0: 1 (imagenet: 2)", GROUP_SPACE},
    {"stem", "KIND", SETTING_TEXT, TEXT(stem), NULL,
     "plain: one convolution; imagenet: for large images, also two reduction cells (amoebanet, "
     "nasnet)",
     GROUP_SPACE},
    {"stem-channels", "N", SETTING_COUNT32, AT(stem_channels), 0, 0, 65536, "0",
     "of the first convolution (amoebanet, nasnet); 0: three times the first stage's (imagenet: "
     "32)",
     GROUP_SPACE},
    {"skip-reduction-input", "yes|no", SETTING_FLAG, AT(skip_reduction_input), 0, 0, 1, "no",
     "the cell behind a reduction reads what lies before the reduction's input (amoebanet, nasnet)",
     GROUP_SPACE},
    {"space-options", "K=V,...", SETTING_TEXT, TEXT(space_options), NULL,
     "of the space, as listed below", GROUP_SPACE},
    {"tune", "NAME,...", SETTING_TEXT, TEXT(tune), NULL,
     "training settings that are genes, too, e.g. lr,batch=16:64 (LOW:HIGH is optional)",
     GROUP_SPACE},
    {"cell-drop-path", "X", SETTING_REAL, AT(cell_drop_path), 0, 0, 0.95, "0",
     "rate of the drop-path operations in the cells; 0: none are placed", GROUP_SPACE},

    {"strategy", "NAME", SETTING_TEXT, TEXT(strategy), "evolution",
     "one of those listed below; in prose: docs/strategies.md", GROUP_STRATEGY},
    {"objective", "NUMBER,...", SETTING_TEXT, TEXT(objective), NULL,
     "what is wanted: accuracy (the default), or several for strategy nsga2, e.g. "
     "accuracy,-macs,-latency; also -loss, "
     "-params, -memory; or accuracy and a cost as one number, e.g. mnasnet:macs,target=10M",
     GROUP_STRATEGY},
    {"constraint", "NUMBER<MOST,...", SETTING_TEXT, TEXT(constraint), NULL,
     "bounds, e.g. params<1M,macs<50M,memory<2MiB,latency<5ms; a latency is measured, and what is "
     "past it counts as failed",
     GROUP_LIMITS},
    {"start-from", "NET,...", SETTING_TEXT, TEXT(start_from), NULL,
     "networks to propose first: known ones (`nasfarm net list`) that are points of the space, one "
     "architecture in the "
     "space's notation, or the best of another search or a table: DIR[,top=N], FILE.csv[,top=N]",
     GROUP_STRATEGY},
    {"population", "P", SETTING_COUNT, AT(population), 0, 0, 1e6, "0",
     "individuals kept (evolution; 0: 40)", GROUP_STRATEGY},
    {"sample", "S", SETTING_COUNT, AT(sample), 0, 0, 1e6, "0",
     "drawn for a tournament (evolution; 0: P/4)", GROUP_STRATEGY},
    {"strategy-options", "K=V,...", SETTING_TEXT, TEXT(strategy_options), NULL,
     "of the strategy, as its help says", GROUP_STRATEGY},
    {"schedule", "NAME[,K=V...]", SETTING_TEXT, TEXT(schedule), "full",
     "how long each trial is trained, and which one goes on, as listed below; e.g. "
     "asha,eta=3,min=1,max=27",
     GROUP_STRATEGY},
    {"max-paused", "BYTES", SETTING_BYTES, AT(max_paused), 0, 0, U64, "2GB",
     "of paused trainings that are kept; those of the least fitness begin anew; 0: any",
     GROUP_STRATEGY},

    RECIPE_SETTINGS(SEARCH_ROW) RECIPE_SETTINGS(FINAL_ROW)

        {"max-params", "N", SETTING_COUNT, AT(max_params), 0, 0, U64, "0",
         "parameters, e.g. 300k; 0: any", GROUP_LIMITS},
    {"max-macs", "N", SETTING_COUNT, AT(max_macs), 0, 0, U64, "0",
     "multiply-adds of one image, e.g. 10M; 0: any", GROUP_LIMITS},
    {"max-memory", "BYTES", SETTING_BYTES, AT(max_memory), 0, 0, U64, "0",
     "peak activation memory of one image in float32, e.g. 320KB; 0: any", GROUP_LIMITS},

    {"broker", "ENDPOINT", SETTING_TEXT, TEXT(broker), NULL,
     "of a running farm, e.g. tcp://127.0.0.1:5655 (default: start one here)", GROUP_FARM},
    {"key", "FILE", SETTING_TEXT, TEXT(key), NULL,
     "this controller's key for that farm, made by `nasfarm keygen` (default: $NASFARM_KEY_FILE)",
     GROUP_FARM},
    {"server-key", "FILE", SETTING_TEXT, TEXT(server_key), NULL,
     "its broker's public certificate (default: $NASFARM_SERVER_KEY_FILE)", GROUP_FARM},
    {"insecure", "yes|no", SETTING_FLAG, AT(insecure), 0, 0, 1, "no",
     "speak without keys to a broker on another machine (default: $NASFARM_INSECURE)", GROUP_FARM},
    {"workers", "N", SETTING_COUNT32, AT(workers), 0, 0, 1024, "0",
     "local worker processes (default 1)", GROUP_FARM},
    {"slots", "N", SETTING_COUNT32, AT(slots), 0, 0, LIMIT_SLOTS, "0",
     "evaluations at once in each local worker (default: the usable CPUs, shared)", GROUP_FARM},
    {"evaluator", "KIND", SETTING_TEXT, TEXT(evaluator), NULL,
     "of local workers: train; synthetic[:MIN-MAX] (milliseconds) for trials of the farm itself; "
     "table:FILE,fitness=COLUMN,... "
     "looks results up (nasfarm-worker --help)",
     GROUP_FARM},
    {"exec", "CMD", SETTING_TEXT, TEXT(exec), NULL,
     "local workers evaluate by this command (docs/exec-evaluator.md)", GROUP_FARM},
    {"no-sync", "yes|no", SETTING_FLAG, AT(no_sync), 0, 0, 1, "no",
     "do not wait for the disk: loses results on a power cut; for benchmarks", GROUP_FARM},

    {"metrics", "ADDRESS:PORT", SETTING_TEXT, TEXT(metrics), NULL,
     "serve /metrics (for Prometheus), /healthz and /readyz there over HTTP (default: "
     "$NASFARM_METRICS, or nowhere)",
     GROUP_SHOW},
    {"stay", "yes|no", SETTING_FLAG, AT(stay), 0, 0, 1, "no",
     "when the search is over, stay and serve --metrics until told to stop: for places where what "
     "ends is started again",
     GROUP_SHOW},
    {"json", "yes|no", SETTING_FLAG, AT(json), 0, 0, 1, "no",
     "one JSON object a line on standard output", GROUP_SHOW},
    {"quiet", "yes|no", SETTING_FLAG, AT(quiet), 0, 0, 1, "no", "no progress", GROUP_SHOW},
};
const size_t settings_n = sizeof settings_table / sizeof settings_table[0];
_Static_assert(sizeof settings_table / sizeof settings_table[0] <=
                   sizeof((struct settings *)0)->given,
               "room to note which settings were given");

void settings_init(struct settings *self)
{
    memset(self, 0, sizeof *self);
    recipe_init(&self->recipe);
    recipe_init(&self->final);
    for (size_t i = 0; i < settings_n; i++)
        if (settings_table[i].fallback != NULL)
            (void)settings_set(self, &settings_table[i], settings_table[i].fallback, NULL);
    memset(self->given, 0, sizeof self->given);
}

const struct setting *settings_find(const char *name)
{
    for (size_t i = 0; i < settings_n; i++)
        if (strcmp(settings_table[i].name, name) == 0)
            return &settings_table[i];
    return NULL;
}

/* What a suffix multiplies by; 0: no suffix of ours. */
static double factor_of(const char *suffix, bool bytes)
{
    static const struct {
        const char *text;
        double factor;
        bool bytes;
    } suffixes[] = {
        {"", 1, false},
        {"k", 1e3, false},
        {"K", 1e3, false},
        {"M", 1e6, false},
        {"G", 1e9, false},
        {"B", 1, true},
        {"KB", 1e3, true},
        {"kB", 1e3, true},
        {"MB", 1e6, true},
        {"GB", 1e9, true},
        {"KiB", 1024, true},
        {"MiB", 1048576, true},
        {"GiB", 1073741824, true},
    };
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        if (strcmp(suffix, suffixes[i].text) == 0 && (bytes || !suffixes[i].bytes))
            return suffixes[i].factor;
    return 0;
}

static int parse_number(const struct setting *s, const char *text, double *out, struct why *why)
{
    char *end;
    bool whole = s->kind != SETTING_REAL, bytes = s->kind == SETTING_BYTES;
    errno = 0;
    double x = strtod(text, &end);
    /* strtod also takes hexadecimal, "inf" and "nan", which nobody means. */
    bool plain = end != text && strcspn(text, "xXnN") >= (size_t)(end - text) && isfinite(x);
    while (*end == ' ')
        end++;
    double factor = whole ? factor_of(end, bytes) : (*end == '\0' ? 1 : 0);
    if (!plain || factor == 0)
        return why_set(why, FARM_EINPUT, "\"%.60s\" is not %s", text,
                       bytes   ? "a number of bytes (suffixes k M G KB MB GB KiB MiB GiB)"
                       : whole ? "a whole number (suffixes k M G)"
                               : "a number");
    x *= factor;
    if (whole && x != floor(x))
        return why_set(why, FARM_EINPUT, "\"%.60s\" is not a whole number", text);
    if (x < s->lo || x > s->hi)
        return why_set(why, FARM_EINPUT, "%.60s is outside %.10g .. %.10g", text, s->lo, s->hi);
    *out = x;
    return FARM_OK;
}

static int parse_flag(const char *text, bool *out, struct why *why)
{
    static const char *const words[2][4] = {{"no", "false", "off", "0"},
                                            {"yes", "true", "on", "1"}};
    for (int value = 0; value < 2; value++)
        for (int i = 0; i < 4; i++)
            if (strcasecmp(text, words[value][i]) == 0) {
                *out = value == 1;
                return FARM_OK;
            }
    return why_set(why, FARM_EINPUT, "\"%.60s\" is neither yes nor no", text);
}

int settings_set(struct settings *self, const struct setting *s, const char *text, struct why *why)
{
    char *field = (char *)self + s->offset;
    double number = 0;
    int rc = FARM_OK;
    switch (s->kind) {
    case SETTING_TEXT:
        if (strlen(text) >= s->room)
            return why_set(why, FARM_EINPUT, "its text is longer than %zu characters", s->room - 1);
        memcpy(field, text, strlen(text) + 1);
        break;
    case SETTING_FLAG: rc = parse_flag(text, (bool *)field, why); break;
    case SETTING_COUNT32:
    case SETTING_COUNT:
    case SETTING_BYTES:
    case SETTING_REAL:
        if ((rc = parse_number(s, text, &number, why)) != FARM_OK)
            return rc;
        if (s->kind == SETTING_REAL)
            *(double *)(void *)field = number;
        else if (s->kind == SETTING_COUNT32)
            *(uint32_t *)(void *)field = (uint32_t)number;
        else
            *(uint64_t *)(void *)field = (uint64_t)number;
        break;
    }
    if (rc == FARM_OK)
        self->given[s - settings_table] = true;
    return rc;
}

/* Final settings without a default of their own follow the search's. */
static void follow(struct settings *self)
{
    for (size_t i = 0; i < settings_n; i++) {
        const struct setting *final = &settings_table[i];
        if (strncmp(final->name, "final-", 6) != 0 || final->fallback != NULL || self->given[i])
            continue;
        size_t field = final->offset - AT(final);
        memcpy((char *)&self->final + field, (char *)&self->recipe + field, final->room);
    }
    self->final.val_fraction = self->recipe.val_fraction;
    self->final.test_fraction = self->recipe.test_fraction;
    self->final.split_seed = self->recipe.split_seed;
    self->final.final = true;
}

/* What only some optimizers have is not given to others in vain. */
static int check_optimizer(const struct recipe *recipe, struct why *why)
{
    bool rmsprop = strcmp(recipe->optimizer, "rmsprop") == 0;

    if (recipe->epsilon_outside && !rmsprop)
        return why_set(why, FARM_EINPUT, "--epsilon-outside belongs to --optimizer rmsprop");
    if ((recipe->square_decay > 0 || recipe->epsilon > 0) && strcmp(recipe->optimizer, "sgd") == 0)
        return why_set(why, FARM_EINPUT,
                       "--square-decay and --epsilon belong to --optimizer rmsprop, adam or adamw, "
                       "not to sgd");
    return FARM_OK;
}

static int strategy_options(struct settings *self, struct why *why)
{
    bool evolution = strcmp(self->strategy, "evolution") == 0;
    if (!evolution && (self->population > 0 || self->sample > 0))
        return why_set(why, FARM_EINPUT,
                       "--population and --sample belong to --strategy evolution, not to \"%s\"",
                       self->strategy);
    if (self->strategy_options[0] != '\0') {
        if (self->population > 0 || self->sample > 0)
            return why_set(why, FARM_EINPUT,
                           "give --strategy-options, or --population and --sample, but not both");
        return FARM_OK;
    }
    if (!evolution)
        return FARM_OK;
    uint64_t population = self->population > 0 ? self->population : 40;
    uint64_t sample = self->sample > 0 ? self->sample : (population + 3) / 4;
    snprintf(self->strategy_options, sizeof self->strategy_options,
             "population=%" PRIu64 ",sample=%" PRIu64, population, sample);
    return FARM_OK;
}

/* Bounds in one text go where each has a setting of its own; what is measured only for the search's sake is asked for. */
static int read_objective(struct settings *self, struct why *why)
{
    struct bounds bounds = {self->max_params, self->max_macs, self->max_memory, self->max_latency};
    struct objectives objectives;
    int rc = bounds_parse(&bounds, self->constraint, why);

    if (rc == FARM_OK)
        rc = objectives_parse(&objectives, self->objective, bounds.latency_us, why);
    if (rc != FARM_OK)
        return why_prefix(why, rc, "--%s",
                          self->constraint[0] != '\0' && strncmp(why->text, "constraint", 10) == 0
                              ? "constraint"
                              : "objective");
    self->max_params = bounds.params;
    self->max_macs = bounds.macs;
    self->max_memory = bounds.memory_bytes;
    self->max_latency = bounds.latency_us;
    self->recipe.measure_latency |= objectives_use(&objectives, METRIC_LATENCY);
    return FARM_OK;
}

static int check_prefilter(const struct settings *self, struct why *why)
{
    struct prefilter prefilter;
    int rc = prefilter_init(&prefilter, self->prefilter, why);

    if (rc == FARM_OK && self->prefilter[0] != '\0' && self->recipe.proxy[0] != '\0')
        rc = why_set(why, FARM_EINPUT,
                     "--prefilter decides who is trained, and with --proxy nobody is");
    else if (rc != FARM_OK)
        rc = why_prefix(why, rc, "--prefilter");
    return rc;
}

static int check_recheck(const struct settings *self, struct why *why)
{
    struct recheck recheck;
    int rc = recheck_init(&recheck, self->recheck, why);

    return rc == FARM_OK ? rc : why_prefix(why, rc, "--recheck");
}

int settings_finish(struct settings *self, struct why *why)
{
    int rc;
    struct recipe probe;
    follow(self);
    if (self->name[0] != '\0' && !wire_name_ok(self->name))
        return why_set(
            why, FARM_EINPUT,
            "--name \"%.64s\": letters, digits, dot, dash and underline, at most 64 of them",
            self->name);
    if (self->broker[0] != '\0' && (self->workers > 0 || self->slots > 0 || self->exec[0] != '\0' ||
                                    self->evaluator[0] != '\0'))
        return why_set(why, FARM_EINPUT,
                       "--workers, --slots, --exec and --evaluator are for local workers; with "
                       "--broker give them to "
                       "nasfarm-worker");
    if (self->exec[0] == '\0' && self->given[settings_find("exec") - settings_table])
        return why_set(why, FARM_EINPUT, "--exec: an empty command evaluates nothing");
    if (self->exec[0] != '\0' && self->evaluator[0] != '\0')
        return why_set(why, FARM_EINPUT, "give --exec or --evaluator, but not both");
    if (self->recipe.val_fraction <= 0)
        return why_set(why, FARM_EINPUT, "--val-fraction: 0 leaves nothing to judge a network by");
    if (self->recipe.proxy[0] != '\0' && strcmp(self->schedule, "full") != 0)
        return why_set(why, FARM_EINPUT,
                       "--proxy scores untrained networks: --schedule has no epochs to give out");
    if ((rc = check_prefilter(self, why)) != FARM_OK || (rc = check_recheck(self, why)) != FARM_OK)
        return rc;
    if ((rc = recipe_check(&self->recipe, why)) != FARM_OK ||
        (rc = check_optimizer(&self->recipe, why)) != FARM_OK)
        return rc;
    probe = self->final;
    if ((rc = recipe_check(&probe, why)) != FARM_OK ||
        (rc = check_optimizer(&probe, why)) != FARM_OK)
        return why_prefix(why, rc, "of the final training");
    if ((rc = read_objective(self, why)) != FARM_OK)
        return rc;
    return strategy_options(self, why);
}

error_t settings_parse(int key, char *arg, /* NOLINT(readability-non-const-parameter): argp's */
                       struct argp_state *state)
{
    struct settings *settings = state->input;
    struct why why = {""};
    if (key < SETTINGS_KEY || key >= SETTINGS_KEY + (int)settings_n)
        return ARGP_ERR_UNKNOWN;
    const struct setting *setting = &settings_table[key - SETTINGS_KEY];
    if (settings_set(settings, setting, arg != NULL ? arg : "yes", &why) != FARM_OK)
        argp_error(state, "--%s: %s", setting->name, why.text);
    return 0;
}

static bool is_file(const char *name)
{
    size_t len = strlen(name);
    return (len > 5 && strcmp(name + len - 5, ".yaml") == 0) ||
           (len > 4 && strcmp(name + len - 4, ".yml") == 0);
}

static int read_space(const char *path, struct space_config *out, struct why *why)
{
    char *text = NULL;
    size_t len = 0;
    int rc = file_read(path, SPACE_DEFINITION_MAX, &text, &len, why);
    if (rc == FARM_OK && strlen(text) != len)
        rc = why_set(why, FARM_EINPUT, "%s is not a text", path);
    if (rc == FARM_OK)
        rc = space_config_define(out, text, path, why);
    free(text);
    return rc;
}

int settings_space(const struct settings *self, struct space_config *out, struct why *why)
{
    *out = (struct space_config){.channels = self->channels,
                                 .cells = self->cells,
                                 .stages = self->stages,
                                 .stem_stride = self->stem_stride,
                                 .drop_path = (float)self->cell_drop_path,
                                 .stem_channels = self->stem_channels,
                                 .skip_reduction_input = self->skip_reduction_input};
    snprintf(out->name, sizeof out->name, "%.31s", self->space);
    snprintf(out->stem, sizeof out->stem, "%s", self->stem);
    snprintf(out->options, sizeof out->options, "%s", self->space_options);
    snprintf(out->tune, sizeof out->tune, "%s", self->tune);
    if (is_file(self->space))
        return read_space(self->space, out, why);
    if (strlen(self->space) >= sizeof out->name)
        return why_set(why, FARM_EINPUT,
                       "there is no search space \"%.60s\": `nasfarm space list` lists them; the "
                       "name of a file ends in .yaml",
                       self->space);
    return FARM_OK;
}

int settings_open_space(const struct settings *self, struct graph_shape images, uint32_t classes,
                        struct space **out, struct why *why)
{
    struct space_config config;
    int rc = settings_space(self, &config, why);
    config.input = images;
    config.classes = classes;
    return rc == FARM_OK ? space_open(out, &config, why) : rc;
}

static bool wanted(const char *const *only, const char *name)
{
    if (only == NULL)
        return true;
    for (; *only != NULL; only++)
        if (strcmp(*only, name) == 0)
            return true;
    return false;
}

const struct argp_option *settings_argp(const char *const *only)
{
    static struct argp_option options[2 * sizeof settings_table / sizeof settings_table[0]];
    static char docs[sizeof settings_table / sizeof settings_table[0]][256];
    struct argp_option *at = options;
    unsigned titled = 0; /* groups, a bit each: the table comes back to some of them */
    memset(options, 0, sizeof options);
    for (size_t i = 0; i < settings_n; i++) {
        const struct setting *s = &settings_table[i];
        if (!wanted(only, s->name))
            continue;
        if ((titled & 1u << s->group) == 0) {
            titled |= 1u << s->group;
            *at++ = (struct argp_option){.doc = group_titles[s->group], .group = (int)s->group};
        }
        bool worth_saying = s->fallback != NULL && s->fallback[0] != '\0' &&
                            s->kind != SETTING_FLAG && strcmp(s->fallback, "0") != 0;
        bool yes =
            s->kind == SETTING_FLAG && s->fallback != NULL && strcmp(s->fallback, "yes") == 0;
        snprintf(docs[i], sizeof docs[i], "%s%s%s%s", s->help,
                 worth_saying || yes ? " (default " : "", worth_saying || yes ? s->fallback : "",
                 worth_saying || yes ? ")" : "");
        *at++ = (struct argp_option){.name = s->name,
                                     .key = SETTINGS_KEY + (int)i,
                                     .arg = s->arg,
                                     .flags = s->kind == SETTING_FLAG ? OPTION_ARG_OPTIONAL : 0,
                                     .doc = docs[i],
                                     .group = (int)s->group};
    }
    return options;
}

bool settings_count(const char *text, uint32_t *out)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    *out = (uint32_t)v;
    return *end == '\0' && text[0] != '-' && v > 0 && v <= UINT32_MAX;
}

bool settings_images(const char *text, struct graph_shape *out)
{
    uint32_t *const sides[] = {&out->h, &out->w, &out->c};
    char part[3][12], rest;
    if (sscanf(text, "%11[0-9]x%11[0-9]x%11[0-9]%c", part[0], part[1], part[2], &rest) != 3)
        return false;
    for (int i = 0; i < 3; i++)
        if (!settings_count(part[i], sides[i]))
            return false;
    return true;
}
