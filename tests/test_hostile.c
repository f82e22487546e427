/* test_hostile.c - a broker with keys at work, and those who want to disturb it: on real sockets, from processes of their own.
 *
 * NASFARM_HOSTILE_STREAMS and NASFARM_HOSTILE_HALF_OPEN make it longer: 1,000,000 and 10,000 in `make soak`. Then four fifths of
 * the work that goes on undisturbed are asserted.
 *
 * Strangers have a machine elsewhere, and no share in the broker's. Here they write
 * NASFARM_HOSTILE_RATE streams a second (1,000; 0: as many as go), so that the rest of this machine's time is the farm's. The
 * farm alone takes all of that, so what the strangers cost, the broker and themselves, is missing in its tasks. Disturbed and undisturbed spans
 * take turns (the strangers are stopped), and each pair is compared by itself: a machine that has others to serve is as busy
 * in one as in the other.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "door_kit.h"
#include "farm_kit.h"
#include "rng.h"
#include "work_kit.h"

#define GROWTH_MIB 32 /* by strangers */
#define UNREAD_MIB                                                                                 \
    128 /* by one who has a key, and does not read: what waits for it until TCP gives it up */
#define AT_ONCE 64 /* streams */
#define SHORT   2000

/* A sanitizer keeps what is freed, so memory tells nothing there. */
static void has_grown_at_most(double most_mib, double before_mib)
{
    double now_mib = kit_memory_mib(door_broker, "VmHWM:");

    printf("the broker's memory: %.1f MiB before, %.1f at most\n", before_mib, now_mib);
#ifndef NASFARM_SANITIZED
    ck_assert_double_le(now_mib - before_mib, most_mib);
#else
    (void)most_mib;
#endif
}

/* ---- what strangers write ------------------------------------------------------------------------------------ */

struct stream {
    uint8_t bytes[2048];
    size_t len;
};

static void put(struct stream *s, const void *bytes, size_t len)
{
    ck_assert_uint_le(s->len + len, sizeof s->bytes);
    memcpy(s->bytes + s->len, bytes, len);
    s->len += len;
}

static void put_random(struct stream *s, size_t len, struct rng *rng)
{
    for (size_t i = 0; i < len; i++)
        put(s, &(uint8_t){(uint8_t)rng_below(rng, 256)}, 1);
}

/* RFC 37: signature, version, mechanism, as-server, filler. */
static void put_greeting(struct stream *s, const char *mechanism)
{
    uint8_t greeting[64] = {0xff, [9] = 0x7f, [10] = 3, [11] = 1};

    memcpy(greeting + 12, mechanism, strlen(mechanism));
    put(s, greeting, sizeof greeting);
}

static void put_frame(struct stream *s, uint8_t flags, const char *name, size_t filler,
                      struct rng *rng)
{
    size_t len = strlen(name) + filler;
    uint8_t head[9] = {flags, (uint8_t)len};

    if (len > 255) {
        head[0] |= 2; /* eight bytes of length */
        head[1] = 0;
        head[7] = (uint8_t)(len >> 8);
        head[8] = (uint8_t)len;
    }
    put(s, head, len > 255 ? 9 : 2);
    put(s, name, strlen(name));
    put_random(s, filler, rng);
}

#define COMMAND 4

static void nothing_known(struct stream *s, struct rng *rng)
{
    put_random(s, rng_below(rng, 512), rng);
}
static void curve_hello(struct stream *s, struct rng *rng)
{
    put_greeting(s, "CURVE");
    put_frame(s, COMMAND, "\5HELLO\1", 193, rng);
}
static void curve_initiate(struct stream *s, struct rng *rng)
{
    curve_hello(s, rng);
    put_frame(s, COMMAND, "\10INITIATE", 96 + 8 + 144 + rng_below(rng, 300), rng);
}
static void message_too_early(struct stream *s, struct rng *rng)
{
    put_greeting(s, "CURVE");
    put_frame(s, 1, "NF", 6, rng);
    put_frame(s, 0, "", rng_below(rng, 300), rng);
}
static void null_ready(struct stream *s, struct rng *rng)
{
    put_greeting(s, "NULL");
    put_frame(s, COMMAND, "\5READY\13Socket-Type", 0, rng);
    put_frame(s, 1, "NF", 6, rng);
    put_frame(s, 0, "", 20, rng);
}
static void plain_hello(struct stream *s, struct rng *rng)
{
    put_greeting(s, "PLAIN");
    put_frame(s, COMMAND, "\5HELLO\5admin\5admin", 0, rng);
}
static void endless_command(struct stream *s, struct rng *rng)
{
#ifdef NASFARM_SANITIZED /* where a large malloc() takes time in proportion */
    static const uint8_t head[] = {6, 0, 0, 0, 0, 0, 0x3f, 0xff, 0xff};
#else
    static const uint8_t head[] = {6, 0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff};
#endif

    put_greeting(s, "CURVE");
    put(s, head, sizeof head);
    put_random(s, rng_below(rng, 1000), rng);
}
static void many_empty_frames(struct stream *s, struct rng *rng)
{
    put_greeting(s, rng_below(rng, 2) == 0 ? "CURVE" : "NULL");
    for (int i = 0; i < 400; i++)
        put(s, (uint8_t[]){1, 0}, 2);
}
static void older_protocol(struct stream *s, struct rng *rng)
{
    static const uint8_t v2[] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 1, 6, 0, 0},
                         v1[] = {1, 0, 6, 0, 'h', 'e', 'l', 'l', 'o'};

    put(s, rng_below(rng, 2) == 0 ? v1 : v2, 9);
    put_random(s, rng_below(rng, 100), rng);
}
static void another_service(struct stream *s, struct rng *rng)
{
    (void)rng;
    put(s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
}

static void (*const streams[])(struct stream *s, struct rng *rng) = {
    nothing_known, curve_hello,     curve_initiate,    message_too_early, null_ready,
    plain_hello,   endless_command, many_empty_frames, older_protocol,    another_service,
};

/* Half of them are as they were meant; of the others bytes are changed, a part is said twice, the end is missing. */
static void mutate(struct stream *s, struct rng *rng)
{
    if (s->len == 0 || rng_below(rng, 2) == 0)
        return;
    for (uint64_t n = rng_below(rng, 9); n > 0; n--)
        s->bytes[rng_below(rng, s->len)] = (uint8_t)rng_below(rng, 256);
    if (rng_below(rng, 4) == 0) {
        size_t at = rng_below(rng, s->len), len = rng_below(rng, s->len - at) + 1;

        if (s->len + len <= sizeof s->bytes)
            put(s, s->bytes + at, len);
    }
    if (rng_below(rng, 4) == 0)
        s->len = rng_below(rng, s->len + 1);
}

/* ---- who writes it --------------------------------------------------------------------------------------------- */

static struct counters { /* of all processes */
    atomic_ullong streams, shut, half_open, half_open_shut;
} * counters;

/* Waits for the time of the next of so many a second (0: it is now). Of what was missed a tenth of a second is made up for. */
static void keep_pace(double *next_s, double rate)
{
    double now_s = kit_now_s();

    if (rate <= 0)
        return;
    if (*next_s > now_s)
        (void)usleep((useconds_t)((*next_s - now_s) * 1e6));
    else if (*next_s < now_s - 0.1)
        *next_s = now_s - 0.1;
    *next_s += 1 / rate;
}

static int connect_to_broker(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger none = {1, 0}; /* no port is kept for the last packets */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    at.sin_port = htons((uint16_t)strtoul(strrchr(door_endpoint, ':') + 1, NULL, 10));
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) < 0 ||
        (connect(fd, (struct sockaddr *)&at, sizeof at) < 0 && errno != EINPROGRESS)) {
        perror("a stranger's socket");
        _exit(1);
    }
    return fd;
}

static bool writable(int fd, int wait_ms)
{
    struct pollfd item = {fd, POLLOUT, 0};

    return poll(&item, 1, wait_ms) == 1 && (item.revents & (POLLERR | POLLHUP)) == 0;
}

/* One who came in, or did not: nothing that the broker sends may be more than a handshake. */
static void part(int fd)
{
    uint8_t answer[4096];
    ssize_t len = recv(fd, answer, sizeof answer, MSG_DONTWAIT);

    atomic_fetch_add(&counters->shut,
                     len == 0 || (len < 0 && errno != EAGAIN && errno != EWOULDBLOCK));
    close(fd);
}

static void write_streams(size_t n, uint64_t seed)
{
    double rate = (double)kit_number("NASFARM_HOSTILE_RATE", 1000), next_s = 0;
    int open_ones[AT_ONCE];
    struct rng rng;

    rng_seed(&rng, seed);
    for (size_t i = 0; i < AT_ONCE; i++)
        open_ones[i] = -1;
    for (size_t i = 0; i < n;) {
        int *fd = &open_ones[rng_below(&rng, AT_ONCE)];
        struct stream s = {.len = 0};

        keep_pace(&next_s, rate);
        if (*fd >= 0)
            part(*fd);
        *fd = connect_to_broker();
        streams[rng_below(&rng, sizeof streams / sizeof streams[0])](&s, &rng);
        mutate(&s, &rng);
        if (!writable(*fd, 1000) || send(*fd, s.bytes, s.len, MSG_NOSIGNAL) < 0)
            continue; /* the door is closed just now */
        atomic_fetch_add(&counters->streams, 1);
        i++;
    }
}

/* Keeps so many connections that never finish their handshake: whichever is shut down is opened again. */
static void stand_half_open(size_t n)
{
    struct pollfd *items = calloc(n, sizeof *items);
    struct stream s = {.len = 0};

    if (items == NULL)
        _exit(1);
    put_greeting(&s, "CURVE");
    for (size_t i = 0; i < n; i++)
        items[i] = (struct pollfd){connect_to_broker(), POLLOUT, 0};
    for (;;) {
        (void)poll(items, n, 100);
        for (size_t i = 0; i < n; i++) {
            if ((items[i].revents & (POLLERR | POLLHUP | POLLRDHUP)) != 0) {
                atomic_fetch_add(&counters->half_open_shut, 1);
                close(items[i].fd);
                items[i] = (struct pollfd){connect_to_broker(), POLLOUT, 0};
            } else if ((items[i].revents & POLLOUT) != 0) {
                (void)send(items[i].fd, s.bytes, s.len, MSG_NOSIGNAL);
                items[i].events = POLLRDHUP;
                atomic_fetch_add(&counters->half_open, 1);
            }
        }
        (void)poll(NULL, 0, 100);
    }
}

static pid_t stranger(void (*what)(size_t n, uint64_t seed), size_t n, uint64_t seed)
{
    struct rlimit files;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
            files.rlim_cur = files.rlim_max;
            (void)setrlimit(RLIMIT_NOFILE, &files);
        }
        what(n, seed);
        _exit(0);
    }
    return pid;
}

static void stand(size_t n, uint64_t seed)
{
    (void)seed;
    stand_half_open(n);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static struct work work;

static void set_up(void)
{
    counters =
        mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(counters != MAP_FAILED);
    door_set_up();
    door_make_key("revoked", CERTIFICATE_WORKER, "allow/");
    door_make_key("controller2", CERTIFICATE_CONTROLLER, "allow/");
    door_open_broker();
    work_start(&work);
}

/* Nobody else has got as far as the broker's loop. */
static void only_the_farm_is_here(void)
{
    void *observer = door_observer();
    struct wire_status status = door_status(observer);

    ck_assert_int_eq((int)status.n_peers, 1 + WORK_PEERS);
    ck_assert_int_eq((int)status.malformed, 0);
    zmq_close(observer);
}

static double busy_s(double seconds)
{
    double before = kit_cpu_s(door_broker);

    (void)poll(NULL, 0, (int)(seconds * 1000));
    return kit_cpu_s(door_broker) - before;
}

/* ---- tests --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *what, *key, *server;
} keys[] = {
    {"without a key", NULL, NULL},
    {"with a key that is in no list", "stranger", "broker"},
    {"with a key that was removed", "revoked", "broker"},
    {"who takes another for the broker", "worker", "worker2_secret"},
};
#define N_KEYS (sizeof keys / sizeof keys[0])

/* One of each, until they have been there for a while: nobody gets an answer. */
static void knock(void)
{
    void *sockets[N_KEYS];

    for (size_t i = 0; i < N_KEYS; i++)
        sockets[i] = door_peer(keys[i].key, keys[i].server, NULL);
    (void)poll(NULL, 0, 200);
    for (size_t i = 0; i < N_KEYS; i++) {
        struct wire_message m;

        ck_assert_msg(!door_say_hello(sockets[i], WIRE_WORKER, "w", 0),
                      "a stranger %s has a connection", keys[i].what);
        m = door_hear(sockets[i], 1);
        ck_assert_msg(m.kind == WIRE_KIND_END, "a stranger %s is answered", keys[i].what);
        wire_message_release(&m);
        zmq_close(sockets[i]);
    }
}

#define PAIRS_MOST 2000

/* What the farm does in spans of one kind: tasks a second, and those for a second of the broker's processor time. */
struct pace {
    double per_s, per_cpu_s;
};

static struct pace pace_over(double seconds, bool knocks)
{
    double began_s = kit_now_s(), cpu_s = kit_cpu_s(door_broker);
    uint64_t answered = work_answered(&work);

    while (kit_now_s() < began_s + seconds)
        if (knocks)
            knock();
        else
            (void)poll(NULL, 0, 20);
    answered = work_answered(&work) - answered;
    return (struct pace){(double)answered / (kit_now_s() - began_s),
                         (double)answered / (kit_cpu_s(door_broker) - cpu_s)};
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, ascending);
    return values[n / 2];
}

/* The share of the work that goes on among strangers: the median of what the spans with them did against the next ones
 * without. Until the writer has written everything. */
static struct pace share_left(pid_t writer, pid_t stander, double span_s)
{
    static double per_s[PAIRS_MOST], per_cpu_s[PAIRS_MOST];
    double rate = 0;
    size_t n = 0;
    int status = -1;
    bool over = false;

    while (n < PAIRS_MOST && !over) {
        struct pace with = pace_over(3 * span_s, true), without;

        over = kit_ended(writer, &status);
        if (over && n > 0)
            break; /* not all of that span was with them */
        if (!over)
            (void)kill(writer, SIGSTOP);
        (void)kill(stander, SIGSTOP);
        (void)poll(NULL, 0, 100); /* what is on the way */
        without = pace_over(span_s, false);
        if (!over)
            (void)kill(writer, SIGCONT);
        (void)kill(stander, SIGCONT);
        rate = without.per_s;
        per_s[n] = with.per_s / without.per_s;
        per_cpu_s[n++] = with.per_cpu_s / without.per_cpu_s;
    }
    ck_assert_int_eq(status, 0);
    printf(
        "%zu times %.1f s with strangers and %.1f s without; the last one without: %.0f tasks/s\n",
        n, 3 * span_s, span_s, rate);
    return (struct pace){median(per_s, n), median(per_cpu_s, n)};
}

START_TEST(whatever_strangers_do_the_work_goes_on)
{
    size_t n = kit_number("NASFARM_HOSTILE_STREAMS", SHORT),
           half_open = kit_number("NASFARM_HOSTILE_HALF_OPEN", 400);
    bool full = n > SHORT || half_open > SHORT;
    double before_mib, began_s = kit_now_s();
    pid_t writer, stander;
    struct pace left;
    int status;

    ck_assert_int_eq(unlink(door_path("allow/revoked")), 0);
    (void)work_rate(&work, 1);
    before_mib = kit_memory_mib(door_broker, "VmHWM:");
    stander = stranger(stand, half_open, 0);
    writer = stranger(write_streams, n, 1);
    left = share_left(writer, stander, full ? 5 : 0.5);
    ck_assert(!kit_ended(stander, &status));
    kit_kill(stander);
    printf("%llu streams (%llu shut by the broker) and %llu half-open connections (%llu shut) in "
           "%.0f s; of the undisturbed work went on %.0f %%, for the same processor time %.0f %%\n",
           (unsigned long long)atomic_load(&counters->streams),
           (unsigned long long)atomic_load(&counters->shut),
           (unsigned long long)atomic_load(&counters->half_open),
           (unsigned long long)atomic_load(&counters->half_open_shut), kit_now_s() - began_s,
           100 * left.per_s, 100 * left.per_cpu_s);
    only_the_farm_is_here();
    ck_assert_uint_eq(work_finish(&work, 20), 0);
    has_grown_at_most(GROWTH_MIB, before_mib);
    if (full)
        ck_assert_double_ge(left.per_s, 0.8);
}
END_TEST

/* Whether the other side has ended the connection, or does so soon. */
static bool parted_from(int fd)
{
    double end = kit_now_s() + 10;
    uint8_t answer[256];

    while (kit_now_s() < end) {
        struct pollfd item = {fd, POLLIN, 0};
        ssize_t len;

        (void)poll(&item, 1, 100);
        len = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        if (len == 0 || (len < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
            return true;
    }
    return false;
}

/* A stranger announces a command of 1 GiB, and begins to send it. */
START_TEST(what_a_stranger_announces_is_not_taken)
{
    static const uint8_t megabyte[1 << 20];
    double before_mib = kit_memory_mib(door_broker, "VmHWM:");

    for (int i = 0; i < 4; i++) {
        struct stream s = {.len = 0};
        struct rng rng;
        size_t sent = 0;
        int fd = connect_to_broker();

        rng_seed(&rng, (uint64_t)i);
        endless_command(&s, &rng);
        ck_assert(writable(fd, 5000));
        ck_assert_int_gt(send(fd, s.bytes, s.len, MSG_NOSIGNAL), 0);
        while (sent < (1u << 30) && writable(fd, 5000)) {
            ssize_t len = send(fd, megabyte, sizeof megabyte, MSG_NOSIGNAL);

            if (len < 0 && errno != EAGAIN)
                break;
            sent += len > 0 ? (size_t)len : 0;
        }
        ck_assert_uint_lt(sent, 1u << 30);
        ck_assert(parted_from(fd));
        close(fd);
    }
    ck_assert_uint_eq(work_finish(&work, 20), 0);
    has_grown_at_most(GROWTH_MIB, before_mib);
}
END_TEST

/* Who finds the door closed tries again when TCP does, after 1, 3, 7 seconds ..., and may be out of luck a few times. */
#define CROWD_PATIENCE_MS 90000

START_TEST(a_crowd_at_the_door_does_not_keep_a_worker_out)
{
    pid_t stander = stranger(stand, 1000, 0); /* twice what the lobby holds */
    double end = kit_now_s() + 20;
    void *worker;

    while (atomic_load(&counters->half_open) < 600 && kit_now_s() < end)
        (void)poll(NULL, 0, 5);
    ck_assert_uint_gt(atomic_load(&counters->half_open), 0); /* else there is no crowd */
    worker = door_peer("worker2", "broker", NULL);
    ck_assert(door_say_hello(worker, WIRE_WORKER, "late", CROWD_PATIENCE_MS));
    door_hears(worker, WIRE_WELCOME);
    zmq_close(worker);
    kit_kill(stander);
    ck_assert_uint_eq(work_finish(&work, 20), 0);
}
END_TEST

/* With none left: who is in stays in, nobody spins, and who wants in comes in when there are some again. */
START_TEST(descriptors_run_out_and_come_back)
{
    struct rlimit few, old;
    pid_t stander;
    double spent_s;
    uint64_t answered;
    void *worker, *observer = door_observer();

    ck_assert_int_eq(prlimit(door_broker, RLIMIT_NOFILE, NULL, &old), 0);
    few = (struct rlimit){kit_descriptors(door_broker) + 8, old.rlim_max};
    ck_assert_int_eq(prlimit(door_broker, RLIMIT_NOFILE, &few, NULL), 0);
    stander = stranger(stand, 300, 0);
    (void)poll(NULL, 0, 1500);
    ck_assert_uint_lt(kit_descriptors(door_broker), few.rlim_cur);
    answered = work_answered(&work);
    (void)poll(NULL, 0, 300);
    ck_assert_uint_gt(work_answered(&work), answered);
    ck_assert_int_eq((int)door_status(observer).n_peers, 1 + WORK_PEERS);
    ck_assert_uint_eq(work_finish(&work, 20), 0); /* what the broker spends now is the door's */
    spent_s = busy_s(2);
    ck_assert_msg(spent_s < 0.4, "%.2f s of processor time in 2 s", spent_s);
    kit_kill(stander);
    ck_assert_int_eq(prlimit(door_broker, RLIMIT_NOFILE, &old, NULL), 0);
    worker = door_peer("worker2", "broker", NULL);
    ck_assert(door_say_hello(worker, WIRE_WORKER, "late", DOOR_PATIENCE_MS));
    door_hears(worker, WIRE_WELCOME);
    zmq_close(worker);
    zmq_close(observer);
}
END_TEST

/* ---- those who have a key ------------------------------------------------------------------------------------------ */

#define FLOOD_LEAST 8 /* said, before it counts as one: of tasks, twice what may wait */
#define FLOODS      2 /* the experiment that a controller floods with; the farm at work has another */

/* Its tasks wait: nobody has that data. */
static void say_flood(void *socket, enum wire_role role)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_HELLO);
    m.u.hello = (struct wire_hello){.role = role,
                                    .name = "flood",
                                    .version = NASFARM_VERSION,
                                    .incarnation = 7,
                                    .slots = 1,
                                    .experiment = FLOODS,
                                    .demand = 1000000,
                                    .data_name = "nobody-has-it"};
    (void)door_say(socket, &m, 1000);
}

/* A process of a peer that says the same again and again, as fast as it is taken, and reads nothing. */
static pid_t flood(const char *key, enum wire_role role, void (*say)(void *socket, uint64_t n))
{
    pid_t pid = fork();
    uint64_t said = 0;
    void *socket;

    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpriority(PRIO_PROCESS, 0, 19);
    door_context = zmq_ctx_new();
    door_receive = 1;
    socket = door_peer(key, "broker", NULL);
    for (;;) {
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLOUT, 0};

        (void)zmq_poll(&item, 1, 100);
        if (said % 1000 == 0) {
            say_flood(socket, role);
            if (role == WIRE_WORKER) /* a task that it keeps would hold up the others */
                (void)door_say_kind(socket, WIRE_DRAIN);
        }
        say(socket, said++);
        atomic_fetch_add(&counters->streams, 1);
    }
}

static void say_status(void *socket, uint64_t n)
{
    struct wire_message m;

    (void)n;
    wire_message_init(&m, WIRE_STATUS);
    (void)wire_send(socket, NULL, &m);
}

static void say_progress(void *socket, uint64_t n)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_PROGRESS);
    m.u.result.lease.key = (struct wire_key){1, n, 0};
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, 4000), 0);
    memset(zmq_msg_data(&m.payload), 'x', 4000);
    (void)wire_send(socket, NULL, &m);
    wire_message_release(&m);
}

/* Of the same task: nobody knows it. */
static void say_result(void *socket, uint64_t n)
{
    struct wire_message m;

    (void)n;
    wire_message_init(&m, WIRE_RESULT);
    m.u.result.lease.key = (struct wire_key){1, UINT64_MAX, 0};
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, 100000), 0);
    memset(zmq_msg_data(&m.payload), 'x', 100000);
    (void)wire_send(socket, NULL, &m);
    wire_message_release(&m);
}

static void say_heartbeat(void *socket, uint64_t n)
{
    static struct wire_lease leases[16000];
    struct wire_message m;

    for (size_t i = 0; i < 16000; i++)
        leases[i] = (struct wire_lease){{1, UINT32_MAX + n + i, 0}, n, n, true};
    wire_message_init(&m, WIRE_HEARTBEAT);
    m.u.leases = (struct wire_leases){.n = 16000, .leases = leases};
    (void)wire_send(socket, NULL, &m);
}

static void say_publish(void *socket, uint64_t n)
{
    struct wire_message m;

    wire_message_init(&m, WIRE_PUBLISH);
    m.u.publish.key = (struct wire_key){FLOODS, n, 0};
    ck_assert_int_eq(zmq_msg_init_size(&m.payload, LIMIT_PAYLOAD_BYTES), 0);
    memset(zmq_msg_data(&m.payload), 'x', LIMIT_PAYLOAD_BYTES);
    (void)wire_send(socket, NULL, &m);
    wire_message_release(&m);
}

static const struct {
    const char *what, *key;
    enum wire_role role;
    void (*say)(void *socket, uint64_t n);
    double share; /* of the work that goes on, at least */
} floods[] = {
    {"questions for the status", "observer", WIRE_OBSERVER, say_status, 0.1},
    {"progress of what it does not have", "worker2", WIRE_WORKER, say_progress, 0.1},
    {"one result over and over", "worker2", WIRE_WORKER, say_result, 0.1},
    {"heartbeats with 16,000 leases", "worker2", WIRE_WORKER, say_heartbeat, 0.1},
    {"large tasks", "controller2", WIRE_CONTROLLER, say_publish,
     0.001}, /* libzmq has 8 MiB of each in hand before the broker may say no: known, docs/security.md */
};

START_TEST(one_that_floods_and_does_not_read_takes_no_more_than_its_share)
{
    double undisturbed = work_rate(&work, 1), before_mib = kit_memory_mib(door_broker, "VmHWM:"),
           end = kit_now_s() + 60, disturbed;
    int status;
    pid_t flooder = flood(floods[_i].key, floods[_i].role, floods[_i].say);

    while (atomic_load(&counters->streams) < FLOOD_LEAST && kit_now_s() < end)
        (void)poll(NULL, 0, 5);
    ck_assert_uint_ge(atomic_load(&counters->streams), FLOOD_LEAST);
    disturbed = work_rate(&work, (double)kit_number("NASFARM_HOSTILE_FLOOD_S", 2));
    printf("%s: %.0f tasks/s, undisturbed %.0f; %llu said\n", floods[_i].what, disturbed,
           undisturbed, (unsigned long long)atomic_load(&counters->streams));
    ck_assert(!kit_ended(flooder, &status));
    kit_kill(flooder);
    ck_assert_double_ge(disturbed, floods[_i].share * undisturbed);
    ck_assert_uint_eq(work_finish(&work, 20), 0);
    has_grown_at_most(UNREAD_MIB, before_mib);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile");
    TCase *strangers = tcase_create("strangers"), *floods_of = tcase_create("floods");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(strangers, set_up, door_tear_down);
    tcase_set_timeout(strangers, 7200);
    tcase_add_test(strangers, whatever_strangers_do_the_work_goes_on);
    tcase_add_test(strangers, what_a_stranger_announces_is_not_taken);
    tcase_add_test(strangers, a_crowd_at_the_door_does_not_keep_a_worker_out);
    tcase_add_test(strangers, descriptors_run_out_and_come_back);
    suite_add_tcase(suite, strangers);
    tcase_add_checked_fixture(floods_of, set_up, door_tear_down);
    tcase_set_timeout(floods_of, 120);
    tcase_add_loop_test(floods_of, one_that_floods_and_does_not_read_takes_no_more_than_its_share,
                        0, (int)(sizeof floods / sizeof floods[0]));
    suite_add_tcase(suite, floods_of);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
