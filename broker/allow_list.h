/* allow_list.h - whose keys may take part, and as what: a folder of public certificates.
 *
 * It is:     one file a key, its role in the file (certificate.h); read again when anything in the folder has changed.
 * It is not: the handshake (gate.h). A file that cannot be read allows nothing; a folder that is gone allows nobody.
 */
#ifndef NASFARM_ALLOW_LIST_H
#define NASFARM_ALLOW_LIST_H

#include <stdbool.h>

#include "certificate.h"

struct allow_list;

/* Reads it. FARM_EINPUT when the folder cannot be read or a file in it is no certificate with a role: at the start that is
 * a mistake that somebody wants to hear of. */
int allow_list_create(struct allow_list **out, const char *folder, struct why *why);
void allow_list_destroy(struct allow_list **self);

/* Looks whether anything changed, and then reads all again; true when it did. What is wrong is logged, file by file, and the
 * rest counts. Without a descriptor or memory to read it with, the old list goes on counting. */
bool allow_list_refresh(struct allow_list *self);

/* The certificate of that public key (Z85), or NULL. Borrowed until the next refresh. */
const struct certificate *allow_list_find(const struct allow_list *self, const char *key);
size_t allow_list_size(const struct allow_list *self);

#endif
