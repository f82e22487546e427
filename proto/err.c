/* err.c - see err.h. */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *farm_strerror(int err)
{
    switch ((enum farm_err)err) {
    case FARM_OK: return "no error";
    case FARM_ENOMEM: return "out of memory";
    case FARM_EINPUT: return "the input is not right";
    case FARM_EGRAPH: return "the graph does not type-check or is past a limit";
    case FARM_EGENOME: return "the genes are not a point of the space";
    case FARM_EWIRE: return "a malformed message";
    case FARM_ENET: return "the network refused";
    case FARM_ESTORE: return "the store refused";
    case FARM_EBUSY: return "busy: someone else holds it, or it is full";
    case FARM_EEXHAUSTED: return "the search space has nothing new to propose";
    case FARM_ENOTFOUND: return "no such thing";
    case FARM_ECORRUPT: return "a checksum does not match: the data is damaged";
    case FARM_EVERSION: return "written by an incompatible version";
    case FARM_EDENIED: return "this key does not allow it";
    case FARM_EIO: return "the operating system refused to read or write";
    }
    return "an unknown error";
}

/* What is quoted from outside may hold anything; what is shown may not. */
static void escape_controls(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

int why_set(struct why *why, int err, const char *format, ...)
{
    va_list args;

    if (why == NULL)
        return err;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    escape_controls(why->text);
    return err;
}

int why_prefix(struct why *why, int err, const char *format, ...)
{
    struct why rest;
    va_list args;
    size_t used;

    if (why == NULL)
        return err;
    rest = *why;
    va_start(args, format);
    (void)vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    used = strlen(why->text);
    (void)snprintf(why->text + used, sizeof why->text - used, ": %s", rest.text);
    escape_controls(why->text);
    return err;
}
