/* peer_socket.c - see peer_socket.h. */
#include "peer_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "certificate.h"

#ifdef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZAP_ENFORCE_DOMAIN ZMQ_ZAP_ENFORCE_DOMAIN
#else
#define ZAP_ENFORCE_DOMAIN 93 /* its number since 4.3.0 */
#endif

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

void peer_keys_from_environment(struct peer_keys *self)
{
    const char *insecure = getenv("NASFARM_INSECURE");

    if (!given(self->key))
        self->key = getenv("NASFARM_KEY_FILE");
    if (!given(self->server_key))
        self->server_key = getenv("NASFARM_SERVER_KEY_FILE");
    if (given(insecure) && strcmp(insecure, "0") != 0)
        self->insecure = true;
}

bool peer_endpoint_is_local(const char *endpoint)
{
    const char *host = strncmp(endpoint, "tcp://", 6) == 0 ? endpoint + 6 : "";
    const char *colon = strrchr(host, ':');
    size_t len = colon != NULL ? (size_t)(colon - host) : strlen(host);

    if (strncmp(endpoint, "ipc://", 6) == 0 || strncmp(endpoint, "inproc://", 9) == 0)
        return true;
    if ((len == 9 && strncmp(host, "localhost", len) == 0) ||
        (len == 5 && strncmp(host, "[::1]", len) == 0) ||
        (len == 2 && strncmp(host, "lo", len) == 0))
        return true;
    return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len;
}

static int set_text(void *socket, int option, const char *text, struct why *why)
{
    if (zmq_setsockopt(socket, option, text, strlen(text) + 1) == 0)
        return FARM_OK;
    return why_set(why, FARM_ENET, "this libzmq refuses keys: %s", zmq_strerror(errno));
}

static int set_pair(void *socket, const struct certificate *own, struct why *why)
{
    int rc = set_text(socket, ZMQ_CURVE_PUBLICKEY, own->public_key, why);

    return rc == FARM_OK ? set_text(socket, ZMQ_CURVE_SECRETKEY, own->secret_key, why) : rc;
}

int peer_socket_secure(void *socket, const struct peer_keys *keys, const char *endpoint,
                       struct why *why)
{
    struct certificate own, server;
    int rc;

    if (given(keys->key) != given(keys->server_key))
        return why_set(why, FARM_EINPUT,
                       "%s: --key (one's own) and --server-key (the broker's public one) belong "
                       "together",
                       given(keys->key) ? "--server-key is missing" : "--key is missing");
    if (!given(keys->key)) {
        if (peer_endpoint_is_local(endpoint) || keys->insecure ||
            strstr(endpoint, "://") == NULL) /* no endpoint: zmq_connect() says so */
            return FARM_OK;
        return why_set(why, FARM_EINPUT,
                       "%s is not this machine, and without keys anyone on the way can read and "
                       "change what is said: give --key and --server-key (`nasfarm keygen` makes "
                       "them), or --insecure on a network you trust",
                       endpoint);
    }
    if ((rc = certificate_load(&server, keys->server_key, false, why)) != FARM_OK)
        return why_prefix(why, rc, "--server-key");
    if ((rc = certificate_load(&own, keys->key, true, why)) != FARM_OK)
        return why_prefix(why, rc, "--key");
    if ((rc = set_text(socket, ZMQ_CURVE_SERVERKEY, server.public_key, why)) == FARM_OK)
        rc = set_pair(socket, &own, why);
    certificate_forget(&own);
    return rc;
}

int peer_socket_serve(void *socket, const char *key, const char *zap_domain, struct why *why)
{
    struct certificate own;
    int one = 1, rc;

    if ((rc = certificate_load(&own, key, true, why)) != FARM_OK)
        return why_prefix(why, rc, "--key");
    rc = set_pair(socket, &own, why);
    certificate_forget(&own);
    if (rc == FARM_OK &&
        (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &one, sizeof one) != 0 ||
         zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, zap_domain, strlen(zap_domain)) != 0))
        rc = why_set(why, FARM_ENET, "this libzmq refuses keys: %s", zmq_strerror(errno));
    /* Where no handler answers, a peer is turned away instead of let in. An option of libzmq's drafts, which most builds do
     * not have; without it the gate still refuses every message that does not carry an allowed key. */
    (void)zmq_setsockopt(socket, ZAP_ENFORCE_DOMAIN, &one, sizeof one);
    return rc;
}
