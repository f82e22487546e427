/* peer_socket.h - which key a socket speaks with, and whom it speaks to without one.
 *
 * It is:     the rule that nobody speaks in the clear beyond this machine unless told to, and CURVE on a socket.
 * It is not: the options that every socket has (wire_socket_options()), nor who may take part (the broker's gate).
 */
#ifndef NASFARM_PEER_SOCKET_H
#define NASFARM_PEER_SOCKET_H

#include <stdbool.h>

#include "err.h"

/* Paths of files, never keys. NULL or "": not given. */
struct peer_keys {
    const char *key;        /* our own certificate, with its secret */
    const char *server_key; /* the broker's certificate; a client's only */
    bool insecure;          /* speak in the clear to anyone */
};

/* What is not given is taken from $NASFARM_KEY_FILE, $NASFARM_SERVER_KEY_FILE and $NASFARM_INSECURE (any value but empty
 * and "0"), for containers. */
void peer_keys_from_environment(struct peer_keys *self);

/* Whether only this machine can be at that end: ipc, inproc, tcp to 127.*, localhost, [::1]. */
bool peer_endpoint_is_local(const char *endpoint);

/* Before zmq_connect() of a socket of a client. With keys it will speak CURVE, to that broker only. Without any,
 * FARM_EINPUT with the remedy if endpoint is not local, unless keys->insecure. */
int peer_socket_secure(void *socket, const struct peer_keys *keys, const char *endpoint,
                       struct why *why);
/* Before zmq_bind(): the server's side, with a handler of zap_domain at inproc://zeromq.zap.01 asked about every peer. */
int peer_socket_serve(void *socket, const char *key, const char *zap_domain, struct why *why);

#endif
