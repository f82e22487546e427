/* net.h - the network that is not there: messages on their way between peers and the broker, in virtual time.
 *
 * It is:     one link from each peer to the broker, with the connection it has now; a heap of messages by the time at
 *            which they come. All chance is of one seed.
 * It is not: the parties (world.c), nor libzmq: what it does to messages is worse than what libzmq does to them.
 *
 * A connection has a number, which is the routing id that the broker sees. It is new after a reset and after a crash of
 * either end, as libzmq's is.
 */
#ifndef NASFARM_TEST_NET_H
#define NASFARM_TEST_NET_H

#include "plan.h"
#include "rng.h"
#include "wire.h"

struct flight {
    int64_t at_ms;
    uint64_t number;
    uint32_t to, peer; /* a party; the end of its link that is not the broker */
    uint32_t conn, broker_life;
    struct wire_message message; /* a copy, lists and all */
};

struct net_link {
    uint32_t conn; /* 0: none */
    bool cut;
    bool refused; /* no broker there, and the sender is told */
    int64_t held_until_ms, delay_ms;
    int64_t last_ms[2]; /* when the last message comes: to the broker, to the peer */
    double drop, duplicate, reorder;
};

struct net {
    struct rng rng;
    struct net_link links[PLAN_PARTIES_MAX];
    struct flight **heap;
    size_t n, cap;
    uint64_t sent;
    uint32_t conns, broker_life; /* how many there have been */
    bool broker_up;
};

void net_init(struct net *self, uint64_t seed);
void net_release(struct net *self);

/* To the broker: FARM_OK, whether it comes or not, or FARM_EBUSY. */
int net_send_up(struct net *self, uint32_t peer, const struct wire_message *m, int64_t now_ms);
/* From the broker, to the peer that has this connection now. */
int net_send_down(struct net *self, uint32_t conn, const struct wire_message *m, int64_t now_ms);
/* The peer of a connection; UINT32_MAX: none has it now. */
uint32_t net_peer(const struct net *self, uint32_t conn);

int64_t net_due(const struct net *self); /* INT64_MAX: nothing is on its way */
/* The next one that comes at now_ms, or NULL. One whose connection has gone is dropped on the way. */
struct flight *net_take(struct net *self, int64_t now_ms);
/* Puts it off: whoever it is for does not listen now. */
void net_put_off(struct net *self, struct flight *flight, int64_t until_ms);
void flight_free(struct flight *self);

/* A peer died, or its connection did. */
void net_disconnect(struct net *self, uint32_t peer);
/* silent: peers go on sending to it, into the void. */
void net_broker_died(struct net *self, bool silent);
void net_broker_started(struct net *self);

#endif
