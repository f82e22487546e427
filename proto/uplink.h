/* uplink.h - a worker's or a controller's connection to its broker.
 *
 * It is:     a DEALER socket that lives as long as one connection: when that ends, the socket goes with all that waits in it
 *            either way, and a new one tries to reach the broker.
 * It is not: a dialogue. That nothing was lost with a socket is the peers' business: they say what was not answered again.
 *
 * Why not one socket for good, with ZMQ_IMMEDIATE, which lets nothing wait for nobody: at the end of a connection libzmq
 * (4.3.5 and before) then takes the pipe away in whichever of its calls comes next, also from between two frames of a message
 * that is being read, and aborts the process: "Assertion failed: !_more (fq.cpp)". Without the option the pipe stays, and
 * what was sent to one broker would be read by the next.
 */
#ifndef NASFARM_UPLINK_H
#define NASFARM_UPLINK_H

#include "peer_socket.h"
#include "wire.h"

struct uplink;

/* Not connected to anybody yet. */
int uplink_create(struct uplink **out, struct why *why);
/* What has been sent has a second to leave. */
void uplink_destroy(struct uplink **self);

/* Leaves whom it was connected to, and tries from now on to reach endpoint. FARM_ENET with errno: that is no endpoint, and it
 * is connected to nobody; otherwise an error of peer_socket_secure(). */
int uplink_connect(struct uplink *self, const struct peer_keys *keys, const char *endpoint,
                   struct why *why);

/* What a turn waits for: puts at most 2 items in front of *items, and returns how many. listen: messages are wanted, too. */
#define UPLINK_ITEMS 2
int uplink_items(const struct uplink *self, bool listen, zmq_pollitem_t *items);
/* Sees whether the connection was made, or has ended. To be called in every turn, before the messages are taken. */
void uplink_turn(struct uplink *self);

/* As wire_send() and wire_recv(). FARM_EBUSY: nobody is connected. */
int uplink_send(struct uplink *self, const struct wire_message *message);
int uplink_recv(struct uplink *self, struct wire_message *out, struct why *why);

#endif
