/* settings.h - what can be set for a search: each setting written down once, for the command line, YAML and the help.
 *
 * It is:     a table of names, types, ranges, defaults and sentences, and one parser for the texts.
 * It is not: the order of precedence (cmd_search.c applies defaults, the file, the command line), nor what a value means.
 */
#ifndef NASFARM_SETTINGS_H
#define NASFARM_SETTINGS_H

#include <argp.h>

#include "err.h"
#include "experiment.h"

struct settings {
    char out[512], name[LIMIT_NAME + 1];
    char data[512];
    char space[512], strategy[32], strategy_options[256];
    uint32_t channels, cells, stages, stem_stride, stem_channels;
    char stem[16];
    bool skip_reduction_input;
    char space_options[192], tune[256], start_from[1024];
    double cell_drop_path;
    uint64_t population, sample; /* 0: the strategy's own default */
    char schedule[280];          /* a scheduler's name, and its options behind a comma */
    uint64_t max_paused;
    uint64_t trials, seed;
    struct recipe recipe, final; /* final: final_given() tells which were set */
    char objective[192], constraint[192], prefilter[32], recheck[32];
    uint64_t max_params, max_macs, max_memory;
    double max_latency;      /* us */
    uint32_t workers, slots; /* 0: one process; a slot per usable CPU */
    char broker[256], key[512], server_key[512], exec[512], evaluator[512], metrics[128];
    bool insecure, go_on, no_final, stay, json, quiet, no_sync, train_known_again;
    uint32_t redraws, attempts;
    bool given[128]; /* by index in settings_table: set by a file or the command line */
};

enum setting_kind {
    SETTING_TEXT,
    SETTING_COUNT32, /* uint32_t; a number with an optional k, M or G */
    SETTING_COUNT,   /* uint64_t; likewise */
    SETTING_BYTES,   /* uint64_t; and KB, MB, GB (thousands), KiB, MiB, GiB */
    SETTING_REAL,
    SETTING_FLAG, /* yes, no, true, false */
};

struct setting {
    const char *name, *arg;
    enum setting_kind kind;
    size_t offset, room; /* in struct settings; room of a text, and of whatever is in a recipe */
    double lo, hi;
    const char *fallback; /* as text; NULL: as in the search (final-...), or empty */
    const char *help;
    size_t group; /* of the help */
};
extern const struct setting settings_table[];
extern const size_t settings_n;

/* Every setting at its default. */
void settings_init(struct settings *self);
/* NULL when there is no such setting. */
const struct setting *settings_find(const char *name);
/* Parses and stores. FARM_EINPUT: why is the part of the sentence after the name ("-3 is outside 1 .. 65536"). */
int settings_set(struct settings *self, const struct setting *setting, const char *text,
                 struct why *why);
/* Sets what a YAML file says, except what `given` already has. FARM_EINPUT: the sentence begins with FILE:LINE. */
int settings_load_yaml(struct settings *self, const char *path, struct why *why);
/* Fills final-... settings that nobody gave from the search's, and checks what belongs together. */
int settings_finish(struct settings *self, struct why *why);

/* The space that the settings name, or whose file they name (it ends in .yaml or .yml), and its skeleton; input and classes,
 * which the data decides, are left out. FARM_EINPUT names file and line. */
int settings_space(const struct settings *self, struct space_config *out, struct why *why);

/* The same, opened for these images. */
int settings_open_space(const struct settings *self, struct graph_shape images, uint32_t classes,
                        struct space **out, struct why *why);

/* "28x28x1"; "10". False when they are none. */
bool settings_images(const char *text, struct graph_shape *out);
bool settings_count(const char *text, uint32_t *out);

/* The settings as argp options with keys SETTINGS_KEY + index, ended by an empty one; headings included. Of the named
 * only, when only != NULL (NULL-terminated). Static storage of one call. */
#define SETTINGS_KEY 0x1000
const struct argp_option *settings_argp(const char *const *only);
/* Their parser: its input is a struct settings. */
error_t settings_parse(int key, char *arg, struct argp_state *state);

#endif
