/* monitor.c - see monitor.h. */
#include "monitor.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16
#define HEALTH_MS       5000
#define SILENT_S        10 /* a connection that says nothing for so long is closed */

struct monitor {
    struct MHD_Daemon *daemon;
    struct monitor_pages pages;
};

/* ---- addresses ----------------------------------------------------------------------------------------------- */

/* Splits "HOST:PORT", "[HOST]:PORT" or ":PORT"; host is "" for every address. */
static int split(const char *address, char host[256], char port[8], struct why *why)
{
    const char *colon = strrchr(address, ':'), *end = colon;

    if (colon != NULL && address[0] == '[' && colon > address + 1 && colon[-1] == ']') {
        address++;
        end = colon - 1;
    }
    if (colon == NULL || end - address >= 256 || strlen(colon + 1) > 5 || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) ||
        strtoul(colon + 1, NULL, 10) > 65535)
        return why_set(why, FARM_EINPUT, "\"%.200s\": must be ADDRESS:PORT, like 127.0.0.1:9464",
                       address);
    (void)snprintf(host, 256, "%.*s", (int)(end - address), address);
    (void)snprintf(port, 8, "%s", colon + 1);
    return FARM_OK;
}

/* The first address of that name. The caller frees *out. */
static int resolve(const char *address, bool listen, struct addrinfo **out, struct why *why)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                                   .ai_flags =
                                       listen ? AI_PASSIVE | AI_NUMERICSERV : AI_NUMERICSERV};
    char host[256] = "", port[8] = "";
    int rc = split(address, host, port, why), err;

    if (rc != FARM_OK)
        return rc;
    /* Every address, in a farm's network: that of version 4 is there everywhere. */
    if (host[0] == '\0')
        (void)snprintf(host, sizeof host, "%s", listen ? "0.0.0.0" : "127.0.0.1");
    if ((err = getaddrinfo(host, port, &hints, out)) != 0)
        return why_set(why, FARM_EINPUT, "\"%.200s\": %s", address, gai_strerror(err));
    return FARM_OK;
}

/* ---- pages --------------------------------------------------------------------------------------------------- */

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned status, const char *text,
                              size_t len, const char *type)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, (char *)text, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent = MHD_NO;

    if (response == NULL)
        return MHD_NO;
    if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type) == MHD_YES)
        sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static enum MHD_Result answer_line(struct MHD_Connection *connection, unsigned status,
                                   const char *sentence)
{
    char line[sizeof(struct why) + 2];
    int n = snprintf(line, sizeof line, "%s\n", sentence);

    return answer(connection, status, line, (size_t)n, "text/plain; charset=utf-8");
}

static enum MHD_Result answer_metrics(struct monitor *self, struct MHD_Connection *connection)
{
    struct metrics metrics;
    enum MHD_Result sent;

    metrics_init(&metrics);
    self->pages.metrics(&metrics, self->pages.ctx);
    if (metrics.out_of_memory || metrics.text == NULL)
        sent = answer_line(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
    else
        sent = answer(connection, MHD_HTTP_OK, metrics.text, metrics.len,
                      "text/plain; version=0.0.4; charset=utf-8");
    metrics_release(&metrics);
    return sent;
}

static enum MHD_Result answer_ready(struct monitor *self, struct MHD_Connection *connection)
{
    struct why why = {""};

    if (self->pages.ready == NULL || self->pages.ready(self->pages.ctx, &why) == FARM_OK)
        return answer_line(connection, MHD_HTTP_OK, "ready");
    return answer_line(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why.text);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    (void)version;
    (void)upload;
    if (*request == NULL) { /* only the head is there: an answer now would end the connection */
        *request = ctx;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* nobody wants it, but it has to be taken before the answer */
        *upload_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_line(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD");
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(ctx, connection);
    if (strcmp(url, "/healthz") == 0)
        return answer_line(connection, MHD_HTTP_OK, "ok");
    if (strcmp(url, "/readyz") == 0)
        return answer_ready(ctx, connection);
    return answer_line(connection, MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz");
}

/* ---- the server ---------------------------------------------------------------------------------------------- */

/* libmicrohttpd's own words (a client that left in the middle) are of no use to anyone. */
static void say_nothing(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    (void)format;
    (void)args;
}

int monitor_open(struct monitor **out, const char *address, const struct monitor_pages *pages,
                 struct why *why)
{
    struct monitor *self = calloc(1, sizeof *self);
    struct addrinfo *found = NULL;
    int rc = FARM_OK;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory");
    if ((rc = resolve(address, true, &found, why)) != FARM_OK)
        goto out;
    self->pages = *pages;
    errno = 0;
    self->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG |
                             (found->ai_family == AF_INET6 ? MHD_USE_IPv6 : MHD_NO_FLAG),
                         0, NULL, NULL, on_request, self, MHD_OPTION_EXTERNAL_LOGGER, say_nothing,
                         NULL, MHD_OPTION_SOCK_ADDR, found->ai_addr, MHD_OPTION_CONNECTION_LIMIT,
                         (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
                         (unsigned)SILENT_S, MHD_OPTION_END);
    if (self->daemon == NULL)
        rc = why_set(why, FARM_ENET, "cannot listen on %.200s: %s", address,
                     errno != 0 ? strerror(errno) : "libmicrohttpd refuses");
out:
    if (found != NULL)
        freeaddrinfo(found);
    if (rc != FARM_OK)
        monitor_close(&self);
    *out = self;
    return rc;
}

void monitor_close(struct monitor **self)
{
    if (*self == NULL)
        return;
    if ((*self)->daemon != NULL)
        MHD_stop_daemon((*self)->daemon);
    free(*self);
    *self = NULL;
}

int monitor_fd(const struct monitor *self)
{
    return self == NULL ? -1
                        : MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

uint16_t monitor_port(const struct monitor *self)
{
    return MHD_get_daemon_info(self->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
}

int64_t monitor_turn(struct monitor *self, int64_t most)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (self == NULL)
        return most;
    (void)MHD_run(self->daemon);
    return MHD_get_timeout(self->daemon, &ms) == MHD_YES && (int64_t)ms < most ? (int64_t)ms : most;
}

/* ---- the other end ------------------------------------------------------------------------------------------- */

static bool send_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        text += n;
        len -= (size_t)n;
    }
    return true;
}

/* All of the answer, as far as it fits. */
static size_t receive(int fd, char *text, size_t room)
{
    size_t used = 0;
    ssize_t n;

    while (used + 1 < room && (n = recv(fd, text + used, room - 1 - used, 0)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    return used;
}

/* "HTTP/1.1 200 OK", heads, an empty line, one sentence. */
static int read_answer(const char *text, struct why *why)
{
    const char *body = strstr(text, "\r\n\r\n");

    if (strncmp(text, "HTTP/1.", 7) != 0 || strlen(text) < 12)
        return why_set(why, FARM_ENET, "no answer in HTTP");
    if (strncmp(text + 8, " 200", 4) == 0)
        return FARM_OK;
    body = body != NULL && body[4] != '\0' ? body + 4 : "it says no";
    return why_set(why, FARM_EBUSY, "%.*s", (int)strcspn(body, "\r\n"), body);
}

int monitor_ask(const char *address, const char *path, int timeout_ms, struct why *why)
{
    const struct timeval patience = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    struct addrinfo *found;
    char text[1024];
    int rc = resolve(address, false, &found, why), fd, n;

    if (rc != FARM_OK)
        return rc;
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    n = snprintf(text, sizeof text,
                 "GET %.100s HTTP/1.1\r\nHost: %.200s\r\nConnection: close\r\n\r\n", path, address);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) < 0 ||
        connect(fd, found->ai_addr, found->ai_addrlen) < 0 || !send_all(fd, text, (size_t)n))
        rc = why_set(why, FARM_ENET, "nothing answers at %.200s: %s", address, strerror(errno));
    else if (receive(fd, text, sizeof text) == 0)
        rc = why_set(why, FARM_ENET, "no answer from %.200s within %d ms", address, timeout_ms);
    else
        rc = read_answer(text, why);
    if (fd >= 0)
        close(fd);
    freeaddrinfo(found);
    return rc;
}

const char *monitor_library_version(void)
{
    return MHD_get_version();
}

const char *monitor_default(void)
{
    const char *address = getenv("NASFARM_METRICS");

    return address != NULL && address[0] != '\0' ? address : NULL;
}

int monitor_health(const char *program, const char *address)
{
    struct why why = {""};

    if (address == NULL && (address = monitor_default()) == NULL) {
        fprintf(stderr, "%s: whose health? Give its ADDRESS:PORT, or set NASFARM_METRICS\n",
                program);
        return 2;
    }

    if (monitor_ask(address, "/healthz", HEALTH_MS, &why) == FARM_OK)
        return 0;
    fprintf(stderr, "%s: %s\n", program, why.text);
    return 1;
}
