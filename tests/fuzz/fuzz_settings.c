/* fuzz_settings.c - what people write about a search: settings as YAML, the options of strategies and schedules. */
#include <string.h>

#include "fuzz.h"
#include "schedule.h"
#include "scheduler.h"
#include "settings.h"
#include "space.h"
#include "strategy.h"

static size_t seed_settings(unsigned which, uint8_t *out, size_t room)
{
    static const char *const seeds[] = {
        "space: nasbench201\nstrategy: evolution\npopulation: 50\ntrials: 300\nlr: 0.05\nflip: "
        "yes\n",
        "strategy: tpe\nstrategy-options: top=0.2\nschedule: asha,eta=3,min=1\nepochs: "
        "27\nmax-params: 1M\n",
        "# a comment\ndata: 'digits'\nseed: 7\nmax-memory: 2MiB\n",
    };

    return which < 3 ? fuzz_copy(out, room, seeds[which], strlen(seeds[which])) : 0;
}

static bool one_settings(const uint8_t *bytes, size_t len)
{
    static struct settings settings;
    struct why why = {""};
    const char *path = fuzz_file("settings.yaml", bytes, len);

    settings_init(&settings);
    if (settings_load_yaml(&settings, path, &why) == FARM_OK &&
        settings_finish(&settings, &why) == FARM_OK)
        return true;
    FUZZ_HOLDS(why.text[0] != '\0');
    return false;
}

const struct fuzz_target fuzz_settings = {"settings", "settings as YAML", seed_settings,
                                          one_settings};

/* ---- options: a line each of strategy, scheduler, learning rate --------------------------------------------- */

static size_t seed_options(unsigned which, uint8_t *out, size_t room)
{
    static const char *const seeds[] = {
        "evolution population=20,sample=5\nasha eta=3,min=1\ncosine",
        "tpe top=0.15\nhyperband eta=3\nstep:10,0.5",
        "nsga2 population=10\nhalving eta=3\nmilestones:3,6,0.1",
        "reinforce lr=0.01\nmedian grace=1\nexponential:0.9",
        "local-search \ncurve \nconstant",
        "bananas initial=5,epochs=1\nasha-stop \ncosine:0.001",
    };

    return which < 6 ? fuzz_copy(out, room, seeds[which], strlen(seeds[which])) : 0;
}

/* Splits "name options" in place. */
static char *behind_name(char *line)
{
    char *space = strchr(line, ' ');

    if (space == NULL)
        return line + strlen(line);
    *space = '\0';
    return space + 1;
}

static bool one_options(const uint8_t *bytes, size_t len)
{
    static struct space *space;
    struct space_config config = {.name = "nasbench201", .input = {32, 32, 3}, .classes = 10};
    struct strategy *strategy;
    struct scheduler *scheduler;
    struct schedule schedule;
    struct why why = {""};
    char *text = fuzz_text(bytes, len), *rest = text, *line;
    int accepted = 0;

    if (space == NULL)
        FUZZ_HOLDS(space_open(&space, &config, &why) == FARM_OK);
    if ((line = strsep(&rest, "\n")) != NULL) {
        const char *options = behind_name(line);

        if (strategy_create(&strategy, line, options, space, 1, &why) == FARM_OK)
            strategy_destroy(&strategy), accepted++;
    }
    if ((line = strsep(&rest, "\n")) != NULL) {
        const char *options = behind_name(line);

        if (scheduler_create(&scheduler, line, options, 27, 1, &why) == FARM_OK)
            scheduler_destroy(&scheduler), accepted++;
    }
    if ((line = strsep(&rest, "\n")) != NULL)
        accepted += schedule_parse(&schedule, line, &why) == FARM_OK;
    free(text);
    return accepted == 3;
}

const struct fuzz_target fuzz_options = {"options", "options of strategies and schedules",
                                         seed_options, one_options};
