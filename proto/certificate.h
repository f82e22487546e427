/* certificate.h - a key of the farm in a file: CURVE certificates as czmq's zcert writes them (ZPL).
 *
 * It is:     a name, a role, a public key and, in a file that only its owner can read, the secret key beside it.
 * It is not: who may take part (the broker's allow list), nor how sockets use a key (peer_socket.h).
 *
 *     metadata
 *         name = "worker"
 *         role = "worker"
 *     curve
 *         public-key = "40 characters of Z85"
 *         secret-key = "40 characters of Z85"
 */
#ifndef NASFARM_CERTIFICATE_H
#define NASFARM_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"
#include "limits.h"

#define CERTIFICATE_KEY ((int)LIMIT_KEY)

/* The first three are enum wire_role. */
enum certificate_role {
    CERTIFICATE_CONTROLLER = 1,
    CERTIFICATE_WORKER = 2,
    CERTIFICATE_OBSERVER = 3,
    CERTIFICATE_BROKER = 4,
    CERTIFICATE_NO_ROLE = 0, /* the file names none */
};
const char *certificate_role_name(enum certificate_role role); /* "worker"; "" for none */
/* CERTIFICATE_NO_ROLE when there is no such role. */
enum certificate_role certificate_role_named(const char *name);

struct certificate {
    char name[LIMIT_NAME + 1]; /* "": the file gives none */
    enum certificate_role role;
    char public_key[CERTIFICATE_KEY + 1];
    char secret_key[CERTIFICATE_KEY + 1]; /* "": not known */
};

/* A new pair of keys from the system's randomness. */
int certificate_create(struct certificate *out, enum certificate_role role, const char *name,
                       struct why *why);
/* Writes a file that was not there: with the secret key and mode 0600, or without it and mode 0644. FARM_EINPUT when there
 * is such a file: nothing is overwritten. */
int certificate_save(const struct certificate *self, const char *path, bool with_secret,
                     struct why *why);
/* Reads one. With with_secret the file must hold a secret key, belong to this user or to root, and be closed to all others
 * (root's may be open to a group of ours, as secret managers mount them). FARM_EINPUT, with the remedy; FARM_EIO. */
int certificate_load(struct certificate *out, const char *path, bool with_secret, struct why *why);
/* Overwrites the secret key. */
void certificate_forget(struct certificate *self);

#endif
