/* skeleton.c - the macro skeleton's defaults, names of parameters, and the parsers' cursor. */
#include "skeleton.h"

#include <stdio.h>
#include <string.h>

#define MAX_CHANNELS    4096u
#define MAX_CELLS       64u
#define MAX_STAGES      8u
#define MAX_STEM_STRIDE 8u

static uint32_t halved(uint32_t side)
{
    return (side + 1) / 2;
}

/* Stages until the shorter side would fall below least; at least one. */
static uint32_t stages_down_to(uint32_t side, uint32_t least, uint32_t most)
{
    uint32_t stages = 1;

    for (; stages < most && side >= 2 && halved(side) >= least; stages++)
        side = halved(side);
    return stages;
}

static int check_range(const char *what, uint32_t value, uint32_t most, struct why *why)
{
    if (value < 1 || value > most)
        return why_set(why, FARM_EINPUT, "%u %s: must be 1 to %u (0: the default)", value, what,
                       most);
    return FARM_OK;
}

bool skeleton_has_imagenet_stem(const struct space_config *config)
{
    return strcmp(config->stem, "imagenet") == 0;
}

int skeleton_refuse(const struct space_config *c, const char *what, struct why *why)
{
    const char *given = c->cells > 0                                    ? "cells"
                        : c->stages > 0                                 ? "number of stages"
                        : c->channels > 0 || c->stem_channels > 0       ? "channels to choose"
                        : c->stem_stride > 0                            ? "stride to choose"
                        : c->stem[0] != '\0' || c->skip_reduction_input ? "stem of cells"
                                                                        : NULL;

    return given == NULL
               ? FARM_OK
               : why_set(why, FARM_EINPUT, "%s has no %s: its options scale it", what, given);
}

int skeleton_only_plain(const struct space_config *config, struct why *why)
{
    if (skeleton_has_imagenet_stem(config))
        return why_set(why, FARM_EINPUT,
                       "it has no reduction cells for the stem 'imagenet': take the plain one with "
                       "a stride");
    if (config->stem_channels > 0)
        return why_set(why, FARM_EINPUT,
                       "its stem has the channels of the first stage: set those instead of %u of "
                       "the stem",
                       config->stem_channels);
    if (config->skip_reduction_input)
        return why_set(why, FARM_EINPUT, "its cells read no previous input that could be skipped");
    return FARM_OK;
}

static int fill_stem(struct space_config *config, struct why *why)
{
    static const char *const stems[] = {"plain", "imagenet"};
    bool imagenet = skeleton_has_imagenet_stem(config);

    if (config->stem[0] != '\0' && strcmp(config->stem, stems[imagenet]) != 0)
        return why_set(why, FARM_EINPUT, "there is no stem '%.15s': known are plain, imagenet",
                       config->stem);
    (void)snprintf(config->stem, sizeof config->stem, "%s", stems[imagenet]);
    if (config->stem_stride == 0)
        config->stem_stride = imagenet ? 2 : 1;
    return check_range("as the stem's stride", config->stem_stride, MAX_STEM_STRIDE, why);
}

/* Pixels of a side that the first stage sees; 0: too few for this stem. */
static uint32_t side_after_stem(const struct space_config *config, uint32_t side)
{
    if (!skeleton_has_imagenet_stem(config))
        return (side + config->stem_stride - 1) / config->stem_stride;
    return side < 3 ? 0 : halved(halved((side - 3) / config->stem_stride + 1));
}

int skeleton_check_data(const struct space_config *config, struct why *why)
{
    const struct graph_shape *in = &config->input;

    if (in->h < 1 || in->h > LIMIT_SIDE || in->w < 1 || in->w > LIMIT_SIDE || in->c < 1 ||
        in->c > LIMIT_CHANNELS)
        return why_set(why, FARM_EINPUT,
                       "images of %ux%ux%u: sides must be 1 to %u, channels 1 to %u", in->h, in->w,
                       in->c, LIMIT_SIDE, LIMIT_CHANNELS);
    if (config->classes < 1 || config->classes > LIMIT_CLASSES)
        return why_set(why, FARM_EINPUT, "%u classes: must be 1 to %u", config->classes,
                       LIMIT_CLASSES);
    if (!(config->drop_path >= 0 && config->drop_path < 1))
        return why_set(why, FARM_EINPUT, "a drop-path rate of %g: must be 0 or more and below 1",
                       (double)config->drop_path);
    return FARM_OK;
}

int skeleton_fill(struct space_config *config, const struct skeleton_defaults defaults[3],
                  struct why *why)
{
    const struct graph_shape *in = &config->input;
    const struct skeleton_defaults *d;
    uint32_t side, most;
    int rc;

    if ((rc = skeleton_check_data(config, why)) != FARM_OK ||
        (rc = fill_stem(config, why)) != FARM_OK)
        return rc;
    side = side_after_stem(config, in->h < in->w ? in->h : in->w);
    if (side == 0)
        return why_set(why, FARM_EINPUT,
                       "images of %ux%u are too small for the stem 'imagenet': a side must have 3 "
                       "pixels or more",
                       in->h, in->w);
    d = &defaults[side <= 12 ? 0 : side <= 31 ? 1 : 2];
    if (config->channels == 0)
        config->channels = d->channels;
    if (config->cells == 0)
        config->cells = d->cells;
    if (config->stages == 0)
        config->stages = stages_down_to(side, 4, 3);
    if ((rc = check_range("channels", config->channels, MAX_CHANNELS, why)) != FARM_OK ||
        (rc = check_range("cells per stage", config->cells, MAX_CELLS, why)) != FARM_OK ||
        (rc = check_range("stages", config->stages, MAX_STAGES, why)) != FARM_OK)
        return rc;
    most = stages_down_to(side, 1, MAX_STAGES);
    if (config->stages > most)
        return why_set(
            why, FARM_EINPUT,
            "%u stages: images whose shorter side is %u after the stem can be halved only %u %s: "
            "at most %u stages",
            config->stages, side, most - 1, most == 2 ? "time" : "times", most);
    return FARM_OK;
}

int skeleton_fill_stem_channels(struct space_config *config, uint32_t plain, uint32_t imagenet,
                                struct why *why)
{
    if (config->stem_channels == 0)
        config->stem_channels = skeleton_has_imagenet_stem(config) ? imagenet : plain;
    if (config->stem_channels > LIMIT_CHANNELS)
        return why_set(why, FARM_EINPUT,
                       "%u channels of the stem: must be 1 to %u (0: the default)",
                       config->stem_channels, LIMIT_CHANNELS);
    return FARM_OK;
}

int skeleton_finish(struct graph *g, uint32_t output, struct graph **out, struct why *why)
{
    int rc = graph_finish(g, output, why);

    if (rc != FARM_OK)
        graph_destroy(&g);
    else
        *out = g;
    return rc;
}

void param_name_text(struct param_name *self, const char *text)
{
    size_t len = strnlen(text, sizeof self->text - 1 - self->len);

    memcpy(self->text + self->len, text, len);
    self->len += len;
    self->text[self->len] = '\0';
}

void param_name_number(struct param_name *self, uint32_t number)
{
    char digits[12];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    param_name_text(self, digits + at);
}

const char *param_name_with(struct param_name *self, const char *part)
{
    size_t len = self->len;

    param_name_text(self, part);
    self->len = len;
    return self->text;
}

void add_word(char *list, size_t room, const char *separator, const char *word)
{
    size_t used = strlen(list);

    (void)snprintf(list + used, room - used, "%s%s", separator, word);
}

bool notation_refuse(struct notation_cursor *self, const char *expected)
{
    if (*self->at == '\0')
        (void)why_set(self->why, FARM_EGENOME,
                      "character %zu of the architecture: it ends where %s was expected",
                      (size_t)(self->at - self->text) + 1, expected);
    else
        (void)why_set(self->why, FARM_EGENOME,
                      "character %zu of the architecture, '%.24s': expected %s",
                      (size_t)(self->at - self->text) + 1, self->at, expected);
    return false;
}

bool notation_expect(struct notation_cursor *self, const char *text)
{
    for (; *text != '\0'; text++, self->at++)
        if (*self->at != *text) {
            char quoted[4] = {'\'', *text, '\'', '\0'};

            return notation_refuse(self, quoted);
        }
    return true;
}

bool notation_token(struct notation_cursor *self, const char *text)
{
    self->at += strspn(self->at, " \t\r\n");
    return notation_expect(self, text);
}

bool notation_label(struct notation_cursor *self, const char *const *labels, uint32_t n, char stop,
                    double *out)
{
    size_t len = strcspn(self->at, (char[]){stop, '\0'});
    char expected[240] = "one of";

    for (uint32_t i = 0; i < n; i++)
        if (strlen(labels[i]) == len && memcmp(labels[i], self->at, len) == 0) {
            self->at += len;
            *out = i;
            return true;
        }
    for (uint32_t i = 0; i < n; i++)
        add_word(expected, sizeof expected, " ", labels[i]);
    return notation_refuse(self, expected);
}

bool notation_digit(struct notation_cursor *self, uint32_t limit, double *out)
{
    uint32_t v = (uint32_t)(unsigned char)*self->at - '0';
    char expected[] = "a digit from 0 to 0";

    if (v >= limit || v > 9) {
        expected[sizeof expected - 2] = (char)('0' + (limit - 1));
        return notation_refuse(self, expected);
    }
    self->at++;
    *out = v;
    return true;
}

bool notation_end(struct notation_cursor *self)
{
    return *self->at == '\0' || notation_refuse(self, "the end");
}
