/* known.h - the networks that papers are known for, by name.
 *
 * It is:     a table: where a network is a point of a space, its space, that space's configuration and the architecture in
 *            its notation; where it is none, a function that builds its graph of the same blocks and cells. One more is one
 *            line in known.c.
 * It is not: trained weights; nor what the papers reached with them.
 */
#ifndef NASFARM_KNOWN_H
#define NASFARM_KNOWN_H

#include "space.h"

struct known {
    const char *name;    /* "mobilenetv2-1.0"; NULL ends a table */
    const char *summary; /* of which paper */
    /* For what it was published, and what it costs there (counted as graph_cost() counts): all of them are tested. */
    struct graph_shape input;
    uint32_t classes;
    uint64_t params, macs;
    struct space_config
        space;            /* name "": it is no point of a space. Input and classes are left out */
    const char *notation; /* of the architecture there */
    int (*build)(const struct known *self, struct graph_shape input, uint32_t classes,
                 struct graph **out, struct why *why);
    const void *own; /* what build knows of its network */
};

/* Ended by one without a name. */
const struct known *known_all(void);
/* The names alone, NULL-terminated. */
const char *const *known_names(void);
/* FARM_ENOTFOUND lists some of the known. */
int known_find(const struct known **out, const char *name, struct why *why);

/* The network for these images and classes. Where they are smaller than what it was published for, chains of blocks drop
 * their first strides (mbconv.h); the rest is as published. *out is finished and the caller's. */
int known_build(const struct known *self, struct graph_shape input, uint32_t classes,
                struct graph **out, struct why *why);

/* Its genome in a space, malloc'd: NULL with a sentence when it is no point of that one. */
struct genome *known_genome(const struct known *self, const struct space *space, struct why *why);

/* Reads "NAME,NAME" of known networks, or one architecture in the space's own notation, and hands each genome to take, which
 * copies it. Stops at the first that take does not answer with FARM_OK. */
int known_read(const struct space *space, const char *text,
               int (*take)(void *ctx, const struct genome *genome), void *ctx, struct why *why);

#endif
