#include "version.h"

#include <gnu/libc-version.h>
#include <protobuf-c/protobuf-c.h>
#include <sodium.h>
#include <string.h>
#include <zlib.h>
#include <zmq.h>

#include "revision.h"
#include "wire.h"

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif
#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

static const char *zmq_text(void)
{
    static char text[48];
    int major, minor, patch;

    zmq_version(&major, &minor, &patch);
    (void)snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

static const struct version_fact *build_facts(void)
{
    static const struct version_fact facts[] = {
        {"revision", NASFARM_REVISION}, {"build", NASFARM_BUILD_TYPE},    {"compiler", COMPILER},
        {"flags", NASFARM_BUILD_FLAGS}, {"protocol", TEXT(WIRE_VERSION)}, {NULL, NULL},
    };
    return facts;
}

static const struct version_fact *own_libraries(void)
{
    static struct version_fact libraries[6];

    libraries[0] = (struct version_fact){"glibc", gnu_get_libc_version()};
    libraries[1] = (struct version_fact){"libzmq", zmq_text()};
    libraries[2] = (struct version_fact){"protobuf-c", protobuf_c_version()};
    libraries[3] = (struct version_fact){"libsodium", sodium_version_string()};
    libraries[4] = (struct version_fact){"zlib", zlibVersion()};
    return libraries;
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

static void put_lines(FILE *out, const struct version_fact *facts)
{
    for (; facts != NULL && facts->name != NULL; facts++)
        fprintf(out, "  %-14s %s\n", facts->name, facts->value[0] != '\0' ? facts->value : "-");
}

static void put_list(FILE *out, const struct version_fact *facts, const char *separator)
{
    for (; facts != NULL && facts->name != NULL; facts++, separator = ", ")
        fprintf(out, "%s%s %s", separator, facts->name, facts->value);
}

static void put_text(FILE *out, const struct version *self)
{
    fprintf(out, "%s %s\n", self->program, NASFARM_VERSION);
    put_lines(out, build_facts());
    fprintf(out, "  %-14s ", "libraries");
    put_list(out, own_libraries(), "");
    put_list(out, self->libraries, ", ");
    fprintf(out, "\n");
    put_lines(out, self->facts);
}

/* ---- for machines; by hand, because a broker needs no JSON otherwise ----------------------------------------------- */

static void put_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static void put_members(FILE *out, const struct version_fact *facts, bool first)
{
    for (; facts != NULL && facts->name != NULL; facts++, first = false) {
        fputs(first ? "" : ",", out);
        put_string(out, facts->name);
        fputc(':', out);
        put_string(out, facts->value);
    }
}

static void put_json(FILE *out, const struct version *self)
{
    fprintf(out, "{\"name\":\"%s\",\"version\":\"%s\"", self->program, NASFARM_VERSION);
    put_members(out, build_facts(), false);
    put_members(out, self->facts, false);
    fprintf(out, ",\"libraries\":{");
    put_members(out, own_libraries(), true);
    put_members(out, self->libraries, false);
    fprintf(out, "}}\n");
}

void version_print(FILE *out, const struct version *self, bool json)
{
    if (json)
        put_json(out, self);
    else
        put_text(out, self);
}

int version_main(const struct version *self, const char *format)
{
    if (format != NULL && strcmp(format, "json") != 0) {
        fprintf(stderr, "%s: --version=%s: it takes json or nothing\n", self->program, format);
        return 2;
    }
    version_print(stdout, self, format != NULL);
    return fflush(stdout) == 0 ? 0 : 1;
}
