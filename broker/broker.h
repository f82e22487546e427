/* broker.h - the broker's process: one ROUTER socket around a ledger.
 *
 * It is:     the event loop. All that is decided is decided by ledger.h.
 * It is not: a command line (main.c), or durable: killed at any moment, it is simply started again.
 */
#ifndef NASFARM_BROKER_H
#define NASFARM_BROKER_H

#include <stddef.h>

#include "err.h"
#include "ledger.h"

#define BROKER_LISTEN_MAX 16

struct broker_config {
    struct ledger_config ledger;           /* nonce and first_lease are set by broker_create() */
    const char *listen[BROKER_LISTEN_MAX]; /* "tcp://127.0.0.1:5555"; ":*" takes a free port */
    size_t n_listen;
    const char
        *key; /* file of its certificate, with the secret; NULL: no keys, anyone may take part */
    const char *allow;   /* folder of the certificates that may take part; with key only */
    const char *metrics; /* ADDRESS:PORT of the pages of monitor.h; NULL: none */
};

struct broker;

/* Binds. FARM_ENET with a sentence when an endpoint cannot be listened on. Blocks SIGTERM and SIGINT in this thread, to
 * read them in broker_run(). */
int broker_create(struct broker **out, const struct broker_config *config, struct why *why);
void broker_destroy(struct broker **self);

/* The endpoint really bound, with its port. Borrowed. i below n_listen. */
const char *broker_endpoint(const struct broker *self, size_t i);

/* Runs until SIGTERM or SIGINT. FARM_OK, or FARM_ENET with a sentence. */
int broker_run(struct broker *self, struct why *why);

#endif
