/* door_kit.h - for tests: a broker with keys in a process of its own, and peers of every kind in front of its door.
 *
 * It is not: a test. It asserts with Check, so it belongs into Check's tests only.
 */
#ifndef NASFARM_DOOR_KIT_H
#define NASFARM_DOOR_KIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "certificate.h"
#include "wire.h"

#define DOOR_PATIENCE_MS 20000

/* Of the test that runs. */
extern char door_folder[256], door_endpoint[256];
extern void *door_context;
extern pid_t door_broker; /* 0: none */
extern int
    door_receive; /* messages that a peer's socket takes for it before it reads them; 0: as usual */

/* A folder with keys: of the broker, and of `controller`, `worker`, `worker2` and `observer`, which are allowed; that of
 * `stranger` is not. And a context. */
void door_set_up(void);
/* The broker, too; it tells a heartbeat of 200 ms. */
void door_set_up_broker(void);
void door_open_broker(void);
void door_tear_down(void);

/* Of a file in the folder. Borrowed: good for three more calls. */
const char *door_path(const char *name);
/* NAME_secret, and the public one where it is looked for: "allow/" or "". */
void door_make_key(const char *name, enum certificate_role role, const char *where);

/* A socket of a peer.
 *   key     NAME_secret is its own; NULL: it speaks without
 *   server  whose public key it takes for the broker's
 *   route   its routing id; NULL: the broker gives it one */
void *door_peer(const char *key, const char *server, const char *route);
/* Sends it as soon as there is a connection; false: there was none for so long. */
bool door_say(void *socket, const struct wire_message *m, int64_t patience_ms);
bool door_say_hello(void *socket, enum wire_role role, const char *name, int64_t patience_ms);
bool door_say_kind(void *socket, enum wire_kind kind);
/* The next message but for heartbeats and windows; WIRE_KIND_END: none in time. To be released. */
struct wire_message door_hear(void *socket, int64_t patience_ms);
void door_hears(void *socket, enum wire_kind kind);

/* A peer that has been welcomed and can ask for the status. */
void *door_observer(void);
struct wire_status door_status(void *observer);

#endif
