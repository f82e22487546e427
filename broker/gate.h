/* gate.h - who gets in, and as what: libzmq's questions about keys (ZAP, RFC 27), answered from the allow list.
 *
 * It is:     a socket at inproc://zeromq.zap.01 in the broker's own loop. Not czmq's zauth: that answers the handshake
 *            only, in a thread of its own; but a key that is removed has to be missed at every later message, too, and
 *            roles are asked about there, so the loop needs the list anyway, and two copies could disagree.
 * It is not: encryption (libzmq's CURVE), nor what a role may say (ledger.c knows).
 */
#ifndef NASFARM_GATE_H
#define NASFARM_GATE_H

#include "allow_list.h"
#include "wire.h"

#define GATE_REFRESH_MS 1000 /* how soon a change of the allow list counts */

struct gate;

/* Makes socket, not bound yet, a CURVE server with the secret of the file `key`, and listens for libzmq's questions in the
 * same context. FARM_EINPUT with a sentence for files that are not as they should be. */
int gate_create(struct gate **out, void *context, void *socket, const char *key,
                const char *allow_folder, struct why *why);
/* Before the context ends. */
void gate_destroy(struct gate **self);

/* To be polled for ZMQ_POLLIN. */
void *gate_socket(const struct gate *self);
/* Answers what libzmq asked. */
void gate_turn(struct gate *self);
/* At most once a second: reads the allow list again if it has changed. True: some who are here may be so no more. */
bool gate_refresh(struct gate *self, int64_t now_ms);

/* Whether the key of a peer (struct wire_message) still allows its role. Observers' questions may be asked with a controller's
 * key, too. */
bool gate_allows(const struct gate *self, const char *key, enum wire_role role);
/* Whether this message may pass: its key is still in the list, and a HELLO is of the key's role. FARM_EDENIED. */
int gate_check(const struct gate *self, const struct wire_message *message, struct why *why);
uint64_t gate_turned_away(const struct gate *self); /* handshakes, since the start */

#endif
