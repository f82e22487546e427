/* skeleton.h - what the cell spaces share: the macro skeleton's defaults and limits, and names of parameters.
 *
 * It is not: a space; only controller/space/ includes it.
 */
#ifndef NASFARM_SKELETON_H
#define NASFARM_SKELETON_H

#include "limits.h"
#include "space.h"

/* Images, classes and the drop-path rate are within their limits, or FARM_EINPUT. */
int skeleton_check_data(const struct space_config *config, struct why *why);

struct skeleton_defaults {
    uint32_t channels, cells;
};

/* Fills the zeros of config and checks the rest: stages default to 3, fewer when the last one would have less than
 * 4x4 pixels; asked for, a stage may go on as long as there are two pixels to halve. The stem becomes "plain" or
 * "imagenet"; what the latter takes of the images' size (a 3x3 convolution without padding, two halvings) is counted.
 *   small, middle, large   for images whose shorter side (after the stem) is up to 12, up to 31, and above
 * FARM_EINPUT names the number and its range. */
int skeleton_fill(struct space_config *config, const struct skeleton_defaults defaults[3],
                  struct why *why);

bool skeleton_has_imagenet_stem(const struct space_config *config);
/* For spaces that have no skeleton of cells: refuses all of its numbers. what is "a chain of blocks". */
int skeleton_refuse(const struct space_config *config, const char *what, struct why *why);
/* For spaces without reduction cells: refuses what only cells of the NASNet family can do. */
int skeleton_only_plain(const struct space_config *config, struct why *why);

/* Behind skeleton_fill(): the channels of the stem, by default these. */
int skeleton_fill_stem_channels(struct space_config *config, uint32_t plain, uint32_t imagenet,
                                struct why *why);

/* graph_finish(): *out is the caller's, or the graph is gone. */
int skeleton_finish(struct graph *g, uint32_t output, struct graph **out, struct why *why);

/* A parameter's name, built from the left; cut it back with len. Never past the room: a name too long is one that
 * graph_add() refuses. */
struct param_name {
    char text[LIMIT_NAME + 8];
    size_t len;
};
void param_name_text(struct param_name *self, const char *text);
void param_name_number(struct param_name *self, uint32_t number);
/* The whole, with one more part at the end: valid until the next call. */
const char *param_name_with(struct param_name *self, const char *part);

/* Appends to a list for a sentence, as far as there is room. */
void add_word(char *list, size_t room, const char *separator, const char *word);

/* A cursor over notation, for parsers that point at the character that is wrong. */
struct notation_cursor {
    const char *text, *at;
    struct why *why;
};
/* Says what was expected where the cursor is; false. */
bool notation_refuse(struct notation_cursor *self, const char *expected);
/* Takes exactly this text, or says what was expected at which character; false then. */
bool notation_expect(struct notation_cursor *self, const char *text);
/* notation_expect() behind any white space. */
bool notation_token(struct notation_cursor *self, const char *text);
/* Takes one of n labels that ends before `stop`, or says which are known. */
bool notation_label(struct notation_cursor *self, const char *const *labels, uint32_t n, char stop,
                    double *out);
/* Takes one decimal digit below limit. */
bool notation_digit(struct notation_cursor *self, uint32_t limit, double *out);
bool notation_end(struct notation_cursor *self);

#define SPACE(name) extern const struct space_ops space_##name;
#include "space_list.h"
#undef SPACE

#endif
