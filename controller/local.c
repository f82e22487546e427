#include "local.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

#define BROKER         "nasfarm-broker"
#define WORKER         "nasfarm-worker"
#define READY_MS       10000 /* for the broker to listen */
#define RESTART_MIN_MS 200
#define RESTART_MAX_MS 30000
#define HEALTHY_MS     10000 /* alive for so long, the pause starts small again */

struct child {
    pid_t pid; /* 0: not running */
    int64_t started_ms, start_at_ms, pause_ms;
    uint32_t starts;
};

struct local {
    struct local_options options;
    char *data, *evaluator, *exec, *log_file;
    char broker_path[LOCAL_PATH_MAX], worker_path[LOCAL_PATH_MAX], endpoint[128];
    struct child broker, *workers;
    bool settled;
};

/* ------------------------------------------------------------------ finding the programs */

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

int local_program(const char *name, char out[LOCAL_PATH_MAX], struct why *why)
{
    const char *room = strrchr(name, '-') + 1; /* a program is called for its room */
    char self[LOCAL_PATH_MAX / 2];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len > 0) {
        self[len] = '\0';
        char *slash = strrchr(self, '/');
        if (slash != NULL)
            *slash = '\0';
        snprintf(out, LOCAL_PATH_MAX, "%s/%s", self, name);
        if (is_program(out))
            return FARM_OK;
        snprintf(out, LOCAL_PATH_MAX, "%s/../%s/%s", self, room, name);
        if (is_program(out))
            return FARM_OK;
    }
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t n = strcspn(path, ":");
        snprintf(out, LOCAL_PATH_MAX, "%.*s/%s", (int)n, path, name);
        if (n > 0 && is_program(out))
            return FARM_OK;
        path += n + (path[n] == ':');
    }
    return why_set(why, FARM_EIO,
                   "%s is neither beside nasfarm nor in PATH; install it, or name a running broker "
                   "by --broker",
                   name);
}

/* ------------------------------------------------------------------ children */

/* In the child: its own process group, so that Ctrl-C reaches only us; and no life after ours. */
static void become(const struct local *self, const char *const *argv, pid_t parent)
{
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0)
        dup2(null, STDIN_FILENO);
    int log = self->log_file != NULL
                  ? open(self->log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)
                  : STDERR_FILENO;
    if (log >= 0) {
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    unsetenv("NASFARM_METRICS");  /* that address is ours */
    unsetenv("NASFARM_KEY_FILE"); /* that farm of our own is on the loopback */
    unsetenv("NASFARM_SERVER_KEY_FILE");
    unsetenv("NASFARM_ALLOW_DIR");
    execv(argv[0], (char *const *)argv);
    fprintf(stderr, "error: cannot start %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int start_child(struct local *self, struct child *child, const char *const *argv,
                       struct why *why)
{
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return why_set(why, FARM_EIO, "cannot start %s: %s", argv[0], strerror(errno));
    if (pid == 0)
        become(self, argv, parent);
    setpgid(pid, pid); /* also here: whoever is first */
    child->pid = pid;
    child->started_ms = clock_ms();
    child->starts++;
    return FARM_OK;
}

/* Reads the endpoint that the broker writes once it listens. */
static int read_endpoint(struct local *self, int fd, struct why *why)
{
    int64_t until = clock_ms() + READY_MS;
    size_t len = 0;
    char line[sizeof self->endpoint] = "";
    while (len + 1 < sizeof line && memchr(line, '\n', len) == NULL) {
        struct pollfd item = {fd, POLLIN, 0};
        int64_t left = until - clock_ms();
        int ready = left > 0 ? poll(&item, 1, (int)left) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t n = ready > 0 ? read(fd, line + len, sizeof line - 1 - len) : 0;
        if (n <= 0)
            return why_set(why, FARM_ENET, "the local broker did not start listening");
        len += (size_t)n;
    }
    line[strcspn(line, "\n")] = '\0';
    const char *endpoint = strstr(line, "tcp://");
    if (endpoint == NULL)
        return why_set(why, FARM_ENET, "the local broker announced \"%s\", which is no endpoint",
                       line);
    snprintf(self->endpoint, sizeof self->endpoint, "%s", endpoint);
    return FARM_OK;
}

/* The first time on a port of the system's choice, which it tells; nobody can be running a task of ours yet, so nothing
 * that is published again has to wait for who may have it. Later on the same port: nobody listens to what it tells. */
static int start_broker(struct local *self, struct why *why)
{
    if (self->endpoint[0] != '\0') {
        const char *again[] = {self->broker_path, "--listen", self->endpoint, NULL};
        return start_child(self, &self->broker, again, why);
    }
    int fds[2];
    if (pipe(fds) != 0)
        return why_set(why, FARM_EIO, "cannot make a pipe: %s", strerror(errno));
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    char fd[16];
    snprintf(fd, sizeof fd, "%d", fds[1]);
    const char *argv[] = {self->broker_path,
                          "--listen",
                          "tcp://127.0.0.1:*",
                          "--ready-fd",
                          fd,
                          "--settle",
                          "0",
                          NULL};
    int rc = start_child(self, &self->broker, argv, why);
    close(fds[1]);
    if (rc == FARM_OK)
        rc = read_endpoint(self, fds[0], why);
    close(fds[0]);
    return rc;
}

static int start_worker(struct local *self, uint32_t i, struct why *why)
{
    struct child *child = &self->workers[i];
    char slots[16], name[64];
    const char *argv[20];
    size_t n = 0;
    snprintf(slots, sizeof slots, "%" PRIu32, self->options.slots);
    /* A new name for every start: the old one is held until the broker has missed its heartbeats. */
    snprintf(name, sizeof name, "local-%" PRIu32 ".%" PRIu32 "-%d", i, child->starts,
             (int)getpid());
    const char *const fixed[] = {
        self->worker_path, "--broker", self->endpoint, "--slots",  slots,
        "--name",          name,       "--data",       self->data, "--die-with-parent"};
    for (; n < sizeof fixed / sizeof fixed[0]; n++)
        argv[n] = fixed[n];
    if (self->evaluator != NULL) {
        argv[n++] = "--evaluator";
        argv[n++] = self->evaluator;
    }
    if (self->exec != NULL) {
        argv[n++] = "--exec";
        argv[n++] = self->exec;
    }
    argv[n] = NULL;
    return start_child(self, child, argv, why);
}

int local_start(struct local **out, const struct local_options *options, struct why *why)
{
    struct local *self = calloc(1, sizeof *self);
    int rc = FARM_ENOMEM;
    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for the local farm");
    self->options = *options;
    self->data = strdup(options->data);
    self->evaluator = options->evaluator != NULL ? strdup(options->evaluator) : NULL;
    self->exec = options->exec != NULL ? strdup(options->exec) : NULL;
    self->log_file = options->log_file != NULL ? strdup(options->log_file) : NULL;
    self->workers = calloc(options->workers, sizeof *self->workers);
    if (self->data == NULL || self->workers == NULL) {
        why_set(why, rc, "no memory for the local farm");
        goto fail;
    }
    if ((rc = local_program(BROKER, self->broker_path, why)) != FARM_OK ||
        (rc = local_program(WORKER, self->worker_path, why)) != FARM_OK ||
        (rc = start_broker(self, why)) != FARM_OK)
        goto fail;
    for (uint32_t i = 0; i < options->workers; i++)
        if ((rc = start_worker(self, i, why)) != FARM_OK)
            goto fail;
    *out = self;
    return FARM_OK;
fail:
    local_stop(&self, 0);
    return rc;
}

const char *local_endpoint(const struct local *self)
{
    return self->endpoint;
}

void local_settled(struct local *self)
{
    self->settled = true;
}

/* Why a child left: the last line of the log that its program wrote, without what stands in front of the sentence. */
static void last_sentence(const struct local *self, const char *program, char *out, size_t size)
{
    char line[1024];
    FILE *file = self->log_file != NULL ? fopen(self->log_file, "r") : NULL;
    snprintf(out, size, "see %s", self->log_file != NULL ? self->log_file : "its log above");
    if (file == NULL)
        return;
    if (fseek(file, -8192, SEEK_END) != 0)
        rewind(file);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *error = strstr(line, "error: "), *name = strstr(line, program);
        if (name == NULL || strstr(line, " info: ") != NULL || strncmp(line, "Try ", 4) == 0)
            continue;
        line[strcspn(line, "\n")] = '\0';
        const char *said = error != NULL ? error + 7 : name + strlen(program);
        snprintf(out, size, "%.*s", (int)(size - 1), said + strspn(said, ": "));
    }
    fclose(file);
}

static void describe_end(int status, char *out, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(out, size, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out, size, "ended with exit code %d", WEXITSTATUS(status));
}

/* Whether this child is as it should be; an accident is planned away. */
static int check_child(struct local *self, struct child *child, const char *program, int64_t now,
                       struct why *why)
{
    int status;
    if (child->pid == 0 || waitpid(child->pid, &status, WNOHANG) != child->pid)
        return FARM_OK;
    char end[96], said[200];
    child->pid = 0;
    describe_end(status, end, sizeof end);
    last_sentence(self, program, said, sizeof said);
    if (!self->settled) /* exit code 2: what a person wrote */
        return why_set(why, WIFEXITED(status) && WEXITSTATUS(status) == 2 ? FARM_EINPUT : FARM_EIO,
                       "the local %s %s: %s", program, end, said);
    bool healthy = now - child->started_ms >= HEALTHY_MS;
    child->pause_ms = healthy || child->pause_ms == 0 ? RESTART_MIN_MS : 2 * child->pause_ms;
    if (child->pause_ms > RESTART_MAX_MS)
        child->pause_ms = RESTART_MAX_MS;
    child->start_at_ms = now + child->pause_ms;
    log_warn("the local %s %s (%s); starting it again in %.1f s", program, end, said,
             (double)child->pause_ms / 1000.0);
    return FARM_OK;
}

int local_check(struct local *self, struct why *why)
{
    int64_t now = clock_ms();
    struct why trouble;
    int rc = check_child(self, &self->broker, BROKER, now, why);
    for (uint32_t i = 0; rc == FARM_OK && i < self->options.workers; i++)
        rc = check_child(self, &self->workers[i], WORKER, now, why);
    if (rc != FARM_OK)
        return rc;
    if (self->broker.pid == 0 && now >= self->broker.start_at_ms &&
        start_broker(self, &trouble) != FARM_OK) {
        log_error("%s", trouble.text);
        self->broker.start_at_ms = now + RESTART_MAX_MS;
    }
    for (uint32_t i = 0; i < self->options.workers; i++) {
        struct child *child = &self->workers[i];
        if (child->pid == 0 && now >= child->start_at_ms &&
            start_worker(self, i, &trouble) != FARM_OK) {
            log_error("%s", trouble.text);
            child->start_at_ms = now + RESTART_MAX_MS;
        }
    }
    return FARM_OK;
}

/* ------------------------------------------------------------------ the end */

static size_t reap(struct local *self)
{
    size_t alive = 0;
    for (uint32_t i = 0; i <= self->options.workers; i++) {
        struct child *child = i < self->options.workers ? &self->workers[i] : &self->broker;
        if (child->pid != 0 && waitpid(child->pid, NULL, WNOHANG) == child->pid)
            child->pid = 0;
        alive += child->pid != 0;
    }
    return alive;
}

static void signal_all(const struct local *self, int signal_number, bool group)
{
    for (uint32_t i = 0; i <= self->options.workers; i++) {
        const struct child *child = i < self->options.workers ? &self->workers[i] : &self->broker;
        if (child->pid != 0)
            kill(group ? -child->pid : child->pid, signal_number);
    }
}

void local_stop(struct local **self, int64_t grace_ms)
{
    struct local *farm = *self;
    if (farm == NULL)
        return;
    if (farm->workers != NULL) {
        int64_t until = clock_ms() + grace_ms;
        if (grace_ms > 0)
            signal_all(farm, SIGTERM, false);
        while (reap(farm) > 0 && clock_ms() < until)
            poll(NULL, 0, 5);            /* several children: no single descriptor to wait on */
        signal_all(farm, SIGKILL, true); /* the group: evaluators, too */
        while (reap(farm) > 0)
            poll(NULL, 0, 1);
    }
    free(farm->workers);
    free(farm->data);
    free(farm->evaluator);
    free(farm->exec);
    free(farm->log_file);
    free(farm);
    *self = NULL;
}
