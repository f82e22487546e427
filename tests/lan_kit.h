/* lan_kit.h - a network of this test's own: nodes in network namespaces, and a switch between them that can be made bad.
 *
 * It is:     one TUN device in each namespace, and a thread that carries packets from one to another; it may lose some,
 *            hold them back, or keep a node apart. So what it does to them is the same on every machine.
 * It is not: the kernel's own (tc netem), which not every kernel has; nor a way out: nothing leaves this machine.
 */
#ifndef NASFARM_LAN_KIT_H
#define NASFARM_LAN_KIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"

#define LAN_NODES 8

struct lan;

/* Nodes 0..n-1, at 10.77.0.1, .2 ... Needs Linux' namespaces and /dev/net/tun, for this user; FARM_EDENIED with the reason. To be
 * called before there is a second thread. */
int lan_open(struct lan **out, size_t n, struct why *why);
void lan_close(struct lan **self);

/* What this thread starts and opens from now on is on that node; lan_leave(): where it was before. */
void lan_enter(struct lan *self, size_t node);
void lan_leave(struct lan *self);

/* The node hears nobody, and nobody hears it. */
void lan_cut(struct lan *self, size_t node, bool cut);
/* Every packet takes so long, and of a hundred so many are lost. */
void lan_weather(struct lan *self, uint32_t delay_ms, uint32_t loss_percent);
/* Packets that arrived, and that did not. */
void lan_count(const struct lan *self, uint64_t *carried, uint64_t *lost);

#endif
