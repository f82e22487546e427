/* door_kit.c - see door_kit.h. */
#include "door_kit.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "clock.h"
#include "farm_kit.h"
#include "peer_socket.h"

char door_folder[256], door_endpoint[256];
void *door_context;
pid_t door_broker;
int door_receive;

const char *door_path(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, sizeof paths[0], "%s/%s", door_folder, name);
    return path;
}

void door_make_key(const char *name, enum certificate_role role, const char *where)
{
    struct certificate c;
    struct why why = {""};
    char secret[64], open_to_all[64];

    (void)snprintf(secret, sizeof secret, "%s_secret", name);
    (void)snprintf(open_to_all, sizeof open_to_all, "%s%s", where, name);
    ck_assert_int_eq(certificate_create(&c, role, name, &why), FARM_OK);
    ck_assert_msg(certificate_save(&c, door_path(secret), true, &why) == FARM_OK, "%s", why.text);
    ck_assert_msg(certificate_save(&c, door_path(open_to_all), false, &why) == FARM_OK, "%s",
                  why.text);
}

void door_set_up(void)
{
    kit_folder(door_folder, sizeof door_folder, "keys");
    ck_assert_int_eq(mkdir(door_path("allow"), 0755), 0);
    door_make_key("broker", CERTIFICATE_BROKER, "");
    door_make_key("controller", CERTIFICATE_CONTROLLER, "allow/");
    door_make_key("worker", CERTIFICATE_WORKER, "allow/");
    door_make_key("worker2", CERTIFICATE_WORKER, "allow/");
    door_make_key("observer", CERTIFICATE_OBSERVER, "allow/");
    door_make_key("stranger", CERTIFICATE_WORKER, "");
    ck_assert_ptr_nonnull(door_context = zmq_ctx_new());
}

void door_open_broker(void)
{
    char key[512], allow[512], ready[512], *text;
    const char *argv[] = {
        BIN_BROKER, "--listen", "tcp://127.0.0.1:*", "--heartbeat", "200",
        "--key",    key,        "--max-queue-mib",   "32", /* a bound that a test can see */
        "--allow",  allow,      "--ready-file",      ready,         "--die-with-parent",
        NULL};

    (void)snprintf(key, sizeof key, "%s/broker_secret", door_folder);
    (void)snprintf(allow, sizeof allow, "%s/allow", door_folder);
    (void)snprintf(ready, sizeof ready, "%s/ready", door_folder);
    door_broker = kit_start(argv, door_path("log"));
    ck_assert(kit_wait_for(ready, "\n", 20));
    text = kit_read(ready);
    text[strcspn(text, "\n")] = '\0';
    (void)snprintf(door_endpoint, sizeof door_endpoint, "%s", text);
    free(text);
}

void door_set_up_broker(void)
{
    door_set_up();
    door_open_broker();
}

void door_tear_down(void)
{
    zmq_ctx_term(door_context);
    if (door_broker > 0)
        kit_kill(door_broker);
    door_broker = 0;
    kit_remove(door_folder);
}

/* ---- peers --------------------------------------------------------------------------------------------------- */

void *door_peer(const char *key, const char *server, const char *route)
{
    void *socket = zmq_socket(door_context, ZMQ_DEALER);
    char secret[64];
    struct peer_keys keys = {NULL, NULL, false};
    struct why why = {""};
    int linger = 0;

    ck_assert_ptr_nonnull(socket);
    ck_assert_int_eq(wire_socket_options(socket, ZMQ_DEALER, &why), FARM_OK);
    ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    if (door_receive > 0)
        ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_RCVHWM, &door_receive, sizeof door_receive), 0);
    if (route != NULL)
        ck_assert_int_eq(zmq_setsockopt(socket, ZMQ_ROUTING_ID, route, strlen(route)), 0);
    if (key != NULL) {
        (void)snprintf(secret, sizeof secret, "%s_secret", key);
        keys = (struct peer_keys){door_path(secret), door_path(server), false};
    }
    ck_assert_msg(peer_socket_secure(socket, &keys, door_endpoint, &why) == FARM_OK, "%s",
                  why.text);
    ck_assert_int_eq(zmq_connect(socket, door_endpoint), 0);
    return socket;
}

bool door_say(void *socket, const struct wire_message *m, int64_t patience_ms)
{
    int64_t until = clock_ms() + patience_ms;
    int rc;

    while ((rc = wire_send(socket, NULL, m)) == FARM_EBUSY && clock_ms() < until) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLOUT, 0};

        (void)zmq_poll(&item, 1, 10);
    }
    return rc == FARM_OK;
}

bool door_say_hello(void *socket, enum wire_role role, const char *name, int64_t patience_ms)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello.role = role;
    m.u.hello.incarnation = 7; /* of all: what a thief would have to guess */
    m.u.hello.slots = 1;
    m.u.hello.experiment = 1;
    (void)snprintf(m.u.hello.name, sizeof m.u.hello.name, "%s", name);
    (void)snprintf(m.u.hello.version, sizeof m.u.hello.version, "%s", NASFARM_VERSION);
    return door_say(socket, &m, patience_ms);
}

bool door_say_kind(void *socket, enum wire_kind kind)
{
    struct wire_message m;

    wire_message_init(&m, kind);
    return door_say(socket, &m, DOOR_PATIENCE_MS);
}

struct wire_message door_hear(void *socket, int64_t patience_ms)
{
    int64_t until = clock_ms() + patience_ms;
    struct wire_message m;
    struct why why;

    while (clock_ms() < until) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};

        (void)zmq_poll(&item, 1, 10);
        if (wire_recv(socket, NULL, &m, &why) != FARM_OK)
            continue;
        if (m.kind != WIRE_HEARTBEAT && m.kind != WIRE_WINDOW)
            return m;
        wire_message_release(&m);
    }
    wire_message_init(&m, WIRE_KIND_END);
    return m;
}

void door_hears(void *socket, enum wire_kind kind)
{
    struct wire_message m = door_hear(socket, DOOR_PATIENCE_MS);

    ck_assert_msg(m.kind == kind, "heard %s",
                  m.kind == WIRE_REFUSE ? m.u.refuse.sentence : "other");
    wire_message_release(&m);
}

void *door_observer(void)
{
    void *observer = door_peer("observer", "broker", NULL);

    ck_assert(door_say_hello(observer, WIRE_OBSERVER, "observer", DOOR_PATIENCE_MS));
    door_hears(observer, WIRE_WELCOME);
    return observer;
}

struct wire_status door_status(void *observer)
{
    struct wire_message m;
    struct wire_status s;

    ck_assert(door_say_kind(observer, WIRE_STATUS));
    m = door_hear(observer, DOOR_PATIENCE_MS);
    ck_assert_int_eq(m.kind, WIRE_STATUS);
    s = m.u.status;
    wire_message_release(&m);
    s.peers = NULL;
    return s;
}
