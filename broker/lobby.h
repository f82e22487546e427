/* lobby.h - the connections of the broker's sockets, and what they may cost: above all those that have not said anything
 * yet.
 *
 * It is:     a bound on what strangers hold: so many connections, so many bytes, so long; and a reserve of descriptors. libzmq
 *            has none of these bounds. It allocates what a peer announces before that peer has shown a key, asks for 14 kB
 *            a connection, and when descriptors end it spins in accept(). So the lobby hears of every connection from
 *            libzmq's monitor, by its descriptor; and one that is too many is shut down, which libzmq sees as its end.
 * It is not: who may come in (gate.h), nor how much a peer may leave with the broker (ledger.h).
 *
 * A connection leaves the lobby with the first message that comes over it: with keys, that shows a key that was allowed.
 *
 * When too many wait, or descriptors become few, the door is closed: the kernel is told (a filter on the listening sockets)
 * to drop what asks for a connection, so peers in good faith try again by themselves, and libzmq has nothing to accept.
 */
#ifndef NASFARM_LOBBY_H
#define NASFARM_LOBBY_H

#include <stdbool.h>
#include <stdint.h>
#include <zmq.h>

#include "wire.h"

struct metrics;

/* Such that have not finished their handshake, at once. They and as many in the kernel's backlog cost 14 MB. */
#define LOBBY_MOST        512u
#define LOBBY_MOST_BYTES  (16u << 20) /* that all of them together have sent: the largest go first */
#define LOBBY_GRACE_MS    1000        /* when there are too many, those go that are older */
#define LOBBY_PATIENCE_MS 30000       /* in any case */
#define LOBBY_LOOK_MS     10          /* how often their bytes are counted while there are any */
#define LOBBY_MOST_BAD    10000u      /* malformed messages of one connection */
#define LOBBY_RESERVE                                                                              \
    64u /* descriptors that no connection gets; a quarter where there are fewer than 256 */

struct lobby;

/* Listens to what `socket`, not bound yet, tells of its connections. keys: it speaks CURVE. heartbeat_ms: what peers are told
 * to keep. FARM_ENET or FARM_ENOMEM with a sentence. */
int lobby_create(struct lobby **out, void *context, void *socket, bool keys, uint32_t heartbeat_ms,
                 struct why *why);
/* After the socket was closed, before the context ends. NULL is fine. */
void lobby_destroy(struct lobby **self);

/* To be polled for ZMQ_POLLIN. */
void *lobby_socket(const struct lobby *self);
/* Takes what happened to connections, and shuts down those that cost too much. Returns when it wants to be called next. */
int64_t lobby_turn(struct lobby *self, int64_t now_ms);

/* A message came over this connection (struct wire_message). -1, not known: does nothing. */
void lobby_spoke(struct lobby *self, int connection, const zmq_msg_t *from);
/* Whether a peer may say this now, or has said it too often since its last heartbeat was due: HELLO, HEARTBEAT, STATUS,
 * PROGRESS, which nobody has asked for, and which cost more than they cost who says them. Every one of them may be lost. A
 * connection that is not known may. */
bool lobby_may_say(struct lobby *self, int connection, enum wire_kind kind);
/* Something malformed came over it; of many it is shut down. */
void lobby_babbled(struct lobby *self, int connection);
/* This peer's pipe is full: it does not read. Its connection is shut down, so that what waits for it is freed. */
void lobby_cut_slow(struct lobby *self, const zmq_msg_t *to);

void lobby_metrics(const struct lobby *self, struct metrics *out);

#endif
