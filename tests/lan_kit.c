/* lan_kit.c - see lan_kit.h. */
#include "lan_kit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "rng.h"

#define PACKET  1500
#define FLIGHTS 4096

struct flight {
    int64_t due_ms;
    size_t to, len;
    uint8_t bytes[PACKET];
};

struct lan {
    size_t n;
    int home, spaces[LAN_NODES], tuns[LAN_NODES];
    pthread_t thread;
    bool running; /* there is a thread */
    atomic_bool stop, cut[LAN_NODES];
    atomic_uint delay_ms, loss_percent;
    atomic_ullong carried, lost;
    struct rng rng;
    size_t first, n_flights; /* a ring, in the order of departure */
    struct flight flights[FLIGHTS];
};

/* ---------------------------------------------------------------- the switch */

static void depart(struct lan *self, const uint8_t *bytes, size_t len, size_t from)
{
    size_t to = len >= 20 && bytes[0] >> 4 == 4 ? (size_t)bytes[19] - 1 : SIZE_MAX;
    struct flight *f;

    if (to >= self->n) /* not for anybody here */
        return;
    if (self->cut[from] || self->cut[to] || self->n_flights == FLIGHTS ||
        rng_below(&self->rng, 100) < self->loss_percent) {
        self->lost++;
        return;
    }
    f = &self->flights[(self->first + self->n_flights++) % FLIGHTS];
    f->due_ms = clock_ms() + self->delay_ms;
    f->to = to;
    f->len = len;
    memcpy(f->bytes, bytes, len);
}

/* Milliseconds until the next one arrives; -1: none is under way. */
static int arrive(struct lan *self)
{
    while (self->n_flights > 0) {
        struct flight *f = &self->flights[self->first];
        int64_t left = f->due_ms - clock_ms();

        if (left > 0)
            return (int)left;
        if (!self->cut[f->to] && write(self->tuns[f->to], f->bytes, f->len) == (ssize_t)f->len)
            self->carried++;
        else
            self->lost++;
        self->first = (self->first + 1) % FLIGHTS;
        self->n_flights--;
    }
    return -1;
}

static void *carry(void *ctx)
{
    struct lan *self = ctx;
    struct pollfd items[LAN_NODES];
    uint8_t bytes[PACKET];

    while (!self->stop) {
        int wait = arrive(self);

        for (size_t i = 0; i < self->n; i++)
            items[i] = (struct pollfd){self->tuns[i], POLLIN, 0};
        (void)poll(items, (nfds_t)self->n, wait >= 0 && wait < 50 ? wait : 50);
        for (size_t i = 0; i < self->n; i++) {
            ssize_t len;

            while ((len = read(self->tuns[i], bytes, sizeof bytes)) > 0)
                depart(self, bytes, (size_t)len, i);
        }
    }
    return NULL;
}

/* ---------------------------------------------------------------- the nodes */

static int own_space(void)
{
    return open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
}

static int bring_up(int fd, struct ifreq *interface)
{
    interface->ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, interface);
}

static int give_address(int fd, struct ifreq *interface, unsigned long request, uint32_t address)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};

    memcpy(&interface->ifr_addr, &at, sizeof at);
    return ioctl(fd, request, interface);
}

/* In the namespace that this thread is in: its loopback, and a TUN device. The latter's descriptor, or -1. */
static int furnish(size_t node)
{
    struct ifreq loopback = {.ifr_name = "lo"}, tun = {.ifr_name = "farm"};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), talk;
    bool ok;

    tun.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (fd < 0 || (talk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return fd;
    ok = ioctl(fd, TUNSETIFF, &tun) == 0 && bring_up(talk, &loopback) == 0 &&
         give_address(talk, &tun, SIOCSIFADDR, 0x0a4d0001u + (uint32_t)node) == 0 &&
         give_address(talk, &tun, SIOCSIFNETMASK, 0xffffff00u) == 0 && bring_up(talk, &tun) == 0;
    (void)close(talk);
    if (ok)
        return fd;
    (void)close(fd);
    return -1;
}

static int make_node(struct lan *self, struct why *why)
{
    if (unshare(CLONE_NEWNET) != 0 || (self->spaces[self->n] = own_space()) < 0)
        return why_set(why, FARM_EDENIED, "cannot make a network namespace: %s", strerror(errno));
    if ((self->tuns[self->n] = furnish(self->n)) < 0) {
        int error = errno;

        (void)close(self->spaces[self->n]);
        return why_set(why, FARM_EDENIED, "cannot make a TUN device: %s", strerror(error));
    }
    self->n++;
    return FARM_OK;
}

/* Where this thread came from it may not come back to without being root: then home is a namespace of its own, too. */
static int find_home(struct lan *self, struct why *why)
{
    if (geteuid() != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return why_set(why, FARM_EDENIED, "cannot make a user namespace: %s", strerror(errno));
    if ((self->home = own_space()) < 0)
        return why_set(why, FARM_EDENIED, "no network namespaces here: %s", strerror(errno));
    return FARM_OK;
}

int lan_open(struct lan **out, size_t n, struct why *why)
{
    struct lan *self = calloc(1, sizeof *self);
    int rc = FARM_OK;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory");
    self->home = -1;
    rng_seed(&self->rng, 1);
    if ((rc = find_home(self, why)) == FARM_OK)
        while (self->n < n && (rc = make_node(self, why)) == FARM_OK)
            ;
    lan_leave(self);
    if (rc == FARM_OK && pthread_create(&self->thread, NULL, carry, self) != 0)
        rc = why_set(why, FARM_ENOMEM, "cannot start a thread");
    self->running = rc == FARM_OK;
    if (rc != FARM_OK)
        lan_close(&self);
    *out = self;
    return rc;
}

void lan_close(struct lan **self)
{
    struct lan *lan = *self;

    if (lan == NULL)
        return;
    lan->stop = true;
    if (lan->running)
        (void)pthread_join(lan->thread, NULL);
    for (size_t i = 0; i < lan->n; i++) {
        (void)close(lan->tuns[i]);
        (void)close(lan->spaces[i]);
    }
    if (lan->home >= 0)
        (void)close(lan->home);
    free(lan);
    *self = NULL;
}

void lan_enter(struct lan *self, size_t node)
{
    if (setns(self->spaces[node], CLONE_NEWNET) != 0)
        abort();
}

void lan_leave(struct lan *self)
{
    if (self->home >= 0 && setns(self->home, CLONE_NEWNET) != 0)
        abort();
}

void lan_cut(struct lan *self, size_t node, bool cut)
{
    self->cut[node] = cut;
}

void lan_weather(struct lan *self, uint32_t delay_ms, uint32_t loss_percent)
{
    self->delay_ms = delay_ms;
    self->loss_percent = loss_percent;
}

void lan_count(const struct lan *self, uint64_t *carried, uint64_t *lost)
{
    *carried = self->carried;
    *lost = self->lost;
}
