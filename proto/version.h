/* version.h - what a program was built from, and what it runs with.
 *
 * It is:     facts for people and machines who compare two installations: version, commit, compiler, flags; libraries by
 *            the version that was loaded, not the one that was compiled against.
 * It is not: what peers agree upon: that is WIRE_VERSION (wire.h). It knows proto's own libraries; what else a program is
 *            linked with, it is told.
 */
#ifndef NASFARM_VERSION_H
#define NASFARM_VERSION_H

#include <stdbool.h>
#include <stdio.h>

struct version_fact {
    const char *name, *value;
};

struct version {
    const char *program;                  /* "nasfarm-broker" */
    const struct version_fact *libraries; /* beside proto's own; ended by one without a name */
    const struct version_fact *facts;     /* what else there is to say; likewise; NULL: nothing */
};

/* "PROGRAM VERSION" and a line a fact; or with json one object on one line. */
void version_print(FILE *out, const struct version *self, bool json);

/* All of a --version[=json]: prints on standard output, returns the exit status. format is the option's argument, or
 * NULL; what is neither gets a sentence. */
int version_main(const struct version *self, const char *format);

#endif
