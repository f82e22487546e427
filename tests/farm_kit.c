/* farm_kit.c - see farm_kit.h. */
#include "farm_kit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"

static void give_up(const char *what)
{
    fprintf(stderr, "farm kit: %s: %s\n", what, strerror(errno));
    exit(1);
}

double kit_now_s(void)
{
    return (double)clock_ns() * 1e-9;
}

void kit_folder(char *path, size_t size, const char *name)
{
    const char *base = getenv("TMPDIR");
    struct statfs fs;

    /* In a container /tmp may be an overlay, where a store warns, rightly, and output differs. */
    if (base == NULL)
        base = statfs("/tmp", &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC ? "/dev/shm" : "/tmp";
    (void)snprintf(path, size, "%s/nasfarm-%s-XXXXXX", base, name);
    if (mkdtemp(path) == NULL)
        give_up(path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

void kit_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

pid_t kit_start(const char *const *argv, const char *log_file)
{
    pid_t pid = fork();

    if (pid < 0)
        give_up("fork");
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);

        (void)dup2(null, STDIN_FILENO);
        if (log_file != NULL) {
            int log = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0644);

            if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
                _exit(127);
        }
        execv(argv[0], (char *const *)argv);
        fprintf(stderr, "farm kit: cannot start %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    return pid;
}

static int status_of(int raw)
{
    return WIFEXITED(raw) ? WEXITSTATUS(raw) : 128 + WTERMSIG(raw);
}

bool kit_ended(pid_t pid, int *status)
{
    int raw;

    if (waitpid(pid, &raw, WNOHANG) != pid)
        return false;
    *status = status_of(raw);
    return true;
}

/* A process file descriptor becomes readable when the process ends. */
int kit_wait(pid_t pid, double timeout_s)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), raw;
    struct pollfd item = {fd, POLLIN, 0};
    double end = kit_now_s() + timeout_s, left;

    if (fd < 0)
        give_up("pidfd_open");
    while ((left = end - kit_now_s()) > 0 && poll(&item, 1, (int)(left * 1000) + 1) == 0)
        ;
    close(fd);
    if (waitpid(pid, &raw, WNOHANG) != pid)
        return -1;
    return status_of(raw);
}

void kit_kill(pid_t pid)
{
    int raw;

    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &raw, 0);
}

int kit_run(const char *const *argv, const char *log_file, double timeout_s)
{
    pid_t pid = kit_start(argv, log_file);
    int status = kit_wait(pid, timeout_s);

    if (status < 0)
        kit_kill(pid);
    return status;
}

size_t kit_descendants(pid_t pid, pid_t *out, size_t most)
{
    char path[64], *text, *at, *end;
    size_t n = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    text = kit_read(path);
    for (at = text; n < most; at = end) {
        pid_t child = (pid_t)strtol(at, &end, 10);

        if (end == at)
            break;
        out[n++] = child;
        n += kit_descendants(child, out + n, most - n);
    }
    free(text);
    return n;
}

bool kit_gone(pid_t pid, double timeout_s)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd item = {fd, POLLIN, 0};
    double end = kit_now_s() + timeout_s, left;
    bool gone = fd < 0 && errno == ESRCH;

    while (fd >= 0 && !gone && (left = end - kit_now_s()) > 0)
        gone = poll(&item, 1, (int)(left * 1000) + 1) == 1;
    if (fd >= 0)
        close(fd);
    return gone;
}

char *kit_read(const char *file)
{
    FILE *f = fopen(file, "r");
    char *text = NULL;
    size_t size = 0;

    if (f == NULL || getdelim(&text, &size, '\0', f) < 0) {
        free(text);
        text = strdup("");
    }
    if (f != NULL)
        (void)fclose(f);
    return text;
}

bool kit_wait_for(const char *file, const char *text, double timeout_s)
{
    double end = kit_now_s() + timeout_s;
    bool found = false;

    do {
        char *all = kit_read(file);

        found = text != NULL ? strstr(all, text) != NULL : all[0] != '\0';
        free(all);
        if (!found)
            (void)poll(NULL, 0, 5); /* a file has no event to wait on; the deadline bounds it */
    } while (!found && kit_now_s() < end);
    return found;
}

int kit_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) < 0)
        give_up("a free port");
    close(fd);
    return ntohs(at.sin_port);
}

uint64_t kit_number(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text != NULL ? strtoull(text, NULL, 0) : otherwise;
}

double kit_cpu_s(pid_t pid)
{
    char path[64], *text, *after;
    unsigned long ticks = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    text = kit_read(path);
    after = strrchr(text, ')'); /* the name may hold anything */
    for (int field = 3; after != NULL && field <= 15; field++) {
        after = strchr(after + 1, ' ');
        if (after != NULL && field >= 14) /* utime, stime: proc(5) */
            ticks += strtoul(after + 1, NULL, 10);
    }
    free(text);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double kit_memory_mib(pid_t pid, const char *line)
{
    char path[64], *text;
    const char *at;
    double kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    text = kit_read(path);
    if ((at = strstr(text, line)) != NULL)
        kib = strtod(at + strlen(line), NULL);
    free(text);
    return kib / 1024;
}

size_t kit_descriptors(pid_t pid)
{
    char path[64];
    size_t n = 0;
    DIR *folder;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    if ((folder = opendir(path)) == NULL)
        return 0;
    while (readdir(folder) != NULL)
        n++;
    (void)closedir(folder);
    return n > 2 ? n - 2 : 0; /* "." and ".." */
}

char *kit_metrics(int port)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    struct timeval patience = {1, 0};
    size_t room = 1 << 18, len = 0;
    char *text = calloc(1, room);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n;

    if (fd < 0 || text == NULL)
        give_up("a question");
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&at, sizeof at) == 0 &&
        send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0)
        while (len + 1 < room && (n = recv(fd, text + len, room - 1 - len, 0)) > 0)
            len += (size_t)n;
    close(fd);
    return text;
}

double kit_metric(const char *metrics, const char *name)
{
    size_t len = strlen(name);
    double sum = 0;

    for (const char *line = metrics; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) == 0 && (line[len] == ' ' || line[len] == '{'))
            sum += strtod(line + strcspn(line, " "), NULL);
    }
    return sum;
}
