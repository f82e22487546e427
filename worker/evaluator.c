/* evaluator.c - see evaluator.h. Three ends may come: the child's last line, its death, or one of its limits. */
#include "evaluator.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "evaluate.h"
#include "exec_task.h"
#include "lines.h"
#include "log.h"
#include "report.h"

#define READ_AT_ONCE (256u * 1024)
#define TICK_MS      250
#define LINGER_MS    3000 /* after its final line a child has so long to end */
#define SHELL_SIGNAL 128  /* a shell ends with this plus the signal that ended its command */

struct evaluator {
    struct wire_key key;
    pid_t pid;
    int process;      /* pid file descriptor: readable when it has ended */
    struct lines out; /* its report lines */
    struct lines err; /* what it says to people */
    int blob;         /* memory file for weights or a paused training, -1: none */
    bool exec, final_seen, terminated;
    bool is_final; /* the task: measured on the test part, so there may be no accuracy */
    bool
        is_paused; /* the task: ends before its last epoch, and a final one without being measured */
    struct result result;
    char last_error[200]; /* last line of its standard error */
    struct why wrong;     /* what is not right in its last line that was meant for us */
    uint64_t progress;
    int64_t started_ms, deadline_ms, stall_ms, moved_ms, final_ms;
    uint32_t time_limit_s;
    uint64_t oom_kills; /* in its control group when it began */
    enum { KILL_NONE, KILL_TIME, KILL_STALL, KILL_LINGER } killed;
    /* of the evaluator_turn() under way */
    void (*report)(const struct progress *, void *);
    void *ctx;
};

/* ---- the child ------------------------------------------------------------------------------------------ */

struct child_end {
    int lines;
    int64_t next_tick_ms;
};

static void child_report(const struct progress *progress, void *ctx)
{
    (void)report_write_progress(((struct child_end *)ctx)->lines, progress);
}

static void child_tick(uint64_t steps, void *ctx)
{
    struct child_end *end = ctx;
    int64_t now = clock_ms();

    if (now < end->next_tick_ms)
        return;
    end->next_tick_ms = now + TICK_MS;
    (void)report_write_tick(end->lines, steps);
}

static void limit(__rlimit_resource_t what, uint64_t bytes)
{
    struct rlimit l = {bytes, bytes};

    (void)setrlimit(what, &l);
}

#ifndef NASFARM_SANITIZED
/* What a limit of data counts already: the data sets, which are shared with the parent, are in it. */
static uint64_t data_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    char text[200] = "", *at = text;
    unsigned long long pages = 0;

    if (file != NULL && fgets(text, sizeof text, file) != NULL)
        for (int field = 0; field < 6; field++)
            pages = strtoull(at, &at, 10);
    if (file != NULL)
        (void)fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}
#endif

/* What every child does first: dies with its parent, leaves its group, holds nothing of its parent's, has limits. */
static void child_settle(pid_t parent, uint32_t memory_mb, bool exec, const int *keep,
                         size_t n_keep)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    (void)setpgid(0, 0);
    (void)signal(SIGPIPE, SIG_DFL);
    /* Ctrl-C, and the SIGTERM that batch systems send to all processes of a job, are for the supervisor, which lets us
     * finish. A command may need SIGTERM for processes of its own. */
    (void)signal(SIGTERM, exec ? SIG_DFL : SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    sigset_t none;

    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    int next = 3;

    for (size_t i = 0; i < n_keep; i++) { /* ascending */
        if (keep[i] > next)
            (void)syscall(SYS_close_range, next, keep[i] - 1, 0);
        next = keep[i] + 1;
    }
    (void)syscall(SYS_close_range, next, ~0U, 0);
    limit(RLIMIT_CORE, 0);
#ifndef NASFARM_SANITIZED
    if (memory_mb > 0)
        limit(RLIMIT_DATA, ((uint64_t)memory_mb << 20) + (exec ? 0 : data_bytes()));
#else
    (void)memory_mb; /* a sanitizer's shadow memory would count */
    (void)exec;
#endif
}

static bool write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void child_train(const struct task *task, const struct dataset *data, int lines, int errors,
                        int blob_fd)
{
    struct child_end end = {.lines = lines};
    struct evaluate_hooks hooks = {child_report, child_tick, &end};
    struct result result;
    uint8_t *blob = NULL;
    size_t blob_len = 0;

    if (dup2(errors, STDERR_FILENO) < 0)
        _exit(126);
    evaluate_task(task, data, &hooks, &result, &blob, &blob_len);
    if (blob != NULL && blob_fd >= 0 && !write_all(blob_fd, blob, blob_len))
        _exit(EVALUATOR_EXIT_MEMORY);
    _exit(report_write_final(lines, &result) == FARM_OK ? 0 : 1);
}

static void child_exec(const char *command, int input, int output, int errors)
{
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(errors, STDERR_FILENO) < 0)
        _exit(126);
    (void)syscall(SYS_close_range, 3, ~0U, 0);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

/* ---- the system's own count of what it killed for want of memory ----------------------------------------------- */

static bool read_oom_kills(const char *path, uint64_t *out)
{
    static const char key[] = "oom_kill ";
    char line[128];
    FILE *f = fopen(path, "re");
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, sizeof key - 1) == 0) {
            *out = strtoull(line + sizeof key - 1, NULL, 10);
            found = true;
        }
    if (f != NULL)
        (void)fclose(f);
    return found;
}

/* Of the memory control group of this process: version 2 or 1, at its own path or as a container sees it. 0 where
 * nobody counts. */
static uint64_t count_oom_kills(void)
{
    char line[512], path[640];
    FILE *f = fopen("/proc/self/cgroup", "re");
    uint64_t kills = 0;
    bool found = false;

    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        const char *at = strstr(line, ":memory:");

        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "0::", 3) == 0)
            (void)snprintf(path, sizeof path, "/sys/fs/cgroup%s/memory.events", line + 3);
        else if (at != NULL)
            (void)snprintf(path, sizeof path, "/sys/fs/cgroup/memory%s/memory.oom_control", at + 8);
        else
            continue;
        found = read_oom_kills(path, &kills);
    }
    if (f != NULL)
        (void)fclose(f);
    if (!found && !read_oom_kills("/sys/fs/cgroup/memory.events", &kills))
        (void)read_oom_kills("/sys/fs/cgroup/memory/memory.oom_control", &kills);
    return kills;
}

/* ---- starting --------------------------------------------------------------------------------------------- */

static int make_pipe(int fds[2])
{
    if (pipe2(fds, O_CLOEXEC) < 0)
        return FARM_EIO;
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
    return FARM_OK;
}

static int make_input(const char *text)
{
    int fd = memfd_create("nasfarm-task", MFD_CLOEXEC);

    if (fd >= 0 &&
        (!write_all(fd, (const uint8_t *)text, strlen(text)) || lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static int ascending(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void close_if(int fd)
{
    if (fd >= 0)
        close(fd);
}

int evaluator_start(struct evaluator **out, const struct wire_key *key, const struct task *task,
                    const struct dataset *data, const struct evaluator_limits *limits,
                    int64_t now_ms, struct why *why)
{
    struct evaluator *self = calloc(1, sizeof *self);
    struct task limited = *task; /* with the worker's limits where it names none */
    int output[2] = {-1, -1}, errors[2] = {-1, -1}, input = -1, rc = FARM_OK;
    pid_t parent = getpid();
    char *json = NULL;

    if (self == NULL)
        return why_set(why, FARM_ENOMEM, "out of memory for an evaluation");
    self->key = *key;
    self->exec = limits->exec != NULL;
    self->is_final = task->recipe.final;
    self->is_paused =
        task->recipe.pause_epochs > 0 && task->recipe.pause_epochs < task->recipe.epochs;
    self->process = self->blob = self->out.fd = self->err.fd = -1;
    self->started_ms = self->moved_ms = now_ms;
    if (limited.recipe.memory_mb == 0)
        limited.recipe.memory_mb = limits->memory_mb;
    if (limited.recipe.time_limit_s == 0)
        limited.recipe.time_limit_s = limits->time_limit_s;
    self->time_limit_s = limited.recipe.time_limit_s;
    self->oom_kills = count_oom_kills();
    self->deadline_ms =
        self->time_limit_s > 0 ? now_ms + (int64_t)self->time_limit_s * 1000 : INT64_MAX;
    self->stall_ms = limits->stall_s > 0 ? (int64_t)limits->stall_s * 1000 : INT64_MAX / 2;
    if (self->exec && task->resume_crc32 != 0) {
        rc = FARM_EINPUT;
        (void)why_set(why, rc, "a command cannot go on with a paused training");
        goto fail;
    }
    if (self->exec && (rc = exec_task_json(&json, key, &limited, why)) != FARM_OK)
        goto fail;
    if (make_pipe(output) != FARM_OK || make_pipe(errors) != FARM_OK ||
        (self->exec && (input = make_input(json)) < 0) ||
        (!self->exec && (self->is_final || self->is_paused) &&
         (self->blob = memfd_create("nasfarm-weights", MFD_CLOEXEC)) < 0) ||
        (self->pid = fork()) < 0) {
        rc = FARM_EIO;
        (void)why_set(why, rc, "cannot start an evaluation: %s", strerror(errno));
        goto fail;
    }
    if (self->pid == 0) {
        int keep[] = {output[1], errors[1], input, self->blob};
        size_t first = 0, n = sizeof keep / sizeof keep[0];

        qsort(keep, n, sizeof keep[0], ascending);
        while (first < n && keep[first] < 3)
            first++;
        child_settle(parent, limited.recipe.memory_mb, self->exec, keep + first, n - first);
        if (self->exec)
            child_exec(limits->exec, input, output[1], errors[1]);
        child_train(&limited, data, output[1], errors[1], self->blob);
    }
    (void)setpgid(self->pid, self->pid); /* whoever is first */
    self->process = (int)syscall(SYS_pidfd_open, self->pid, 0);
    lines_init(&self->out, output[0]);
    lines_init(&self->err, errors[0]);
    output[0] = errors[0] = -1;
    *out = self;
fail:
    close_if(output[0]);
    close_if(output[1]);
    close_if(errors[0]);
    close_if(errors[1]);
    close_if(input);
    free(json);
    if (rc != FARM_OK) {
        close_if(self->blob);
        free(self);
    }
    return rc;
}

void evaluator_destroy(struct evaluator **self)
{
    struct evaluator *e = *self;
    int status;

    if (e == NULL)
        return;
    if (e->pid > 0) {
        (void)kill(-e->pid, SIGKILL);
        (void)kill(e->pid, SIGKILL);
        while (waitpid(e->pid, &status, 0) < 0 && errno == EINTR)
            ;
    }
    lines_release(&e->out);
    lines_release(&e->err);
    close_if(e->process);
    close_if(e->blob);
    free(e);
    *self = NULL;
}

/* ---- running ---------------------------------------------------------------------------------------------- */

size_t evaluator_fds(const struct evaluator *self, struct pollfd *fds)
{
    size_t n = 0;

    if (self->out.fd >= 0)
        fds[n++] = (struct pollfd){self->out.fd, POLLIN, 0};
    if (self->err.fd >= 0)
        fds[n++] = (struct pollfd){self->err.fd, POLLIN, 0};
    if (self->process >= 0)
        fds[n++] = (struct pollfd){self->process, POLLIN, 0};
    return n;
}

static void fail(struct result *out, enum outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void fail(struct result *out, enum outcome outcome, const char *format, ...)
{
    va_list args;

    out->outcome = outcome;
    out->fitness = 0;
    va_start(args, format);
    (void)vsnprintf(out->reason, sizeof out->reason, format, args);
    va_end(args);
}

/* What a command says of itself must hold together. */
static void check_final(struct evaluator *self, bool has_accuracy)
{
    struct result *r = &self->result;
    bool measured = self->is_final && (self->is_paused || isfinite(r->test_accuracy));

    if (r->outcome == OUTCOME_OK && !has_accuracy && !measured)
        fail(r, OUTCOME_CRASHED, "its final line has no \"accuracy\"");
    else if (r->outcome == OUTCOME_OK && !isfinite(r->fitness) && !measured)
        fail(r, OUTCOME_DIVERGED, "its final accuracy is not a finite number");
    else if (r->outcome != OUTCOME_OK && r->reason[0] == '\0')
        fail(r, r->outcome, "it says: %s", outcome_name(r->outcome));
    else if (r->outcome != OUTCOME_OK)
        r->fitness = 0;
    if (!isfinite(r->train_s))
        r->train_s = 0;
    r->eval_s = 0; /* measured here: the slot is taken while the command starts and ends, too */
}

static void take_output(char *line, size_t len, void *ctx)
{
    struct evaluator *self = ctx;
    struct report report;
    struct why why;

    switch (report_parse(&report, line, len, &why)) {
    case SAID_TICK: self->progress++; break;
    case SAID_REPORT:
        self->progress++;
        if (self->report != NULL)
            self->report(&report.progress, self->ctx);
        break;
    case SAID_FINAL:
        self->progress++;
        self->final_seen = true;
        self->final_ms = clock_ms();
        self->result = report.result;
        if (self->exec)
            check_final(self, report.has_accuracy);
        break;
    case SAID_WRONG:
        log_warn("trial %" PRIu64 ": a line that is not right: %s", self->key.trial, why.text);
        self->wrong = why;
        break;
    case SAID_OTHER: log_debug("trial %" PRIu64 " prints: %.200s", self->key.trial, line); break;
    }
}

static void take_errors(char *line, size_t len, void *ctx)
{
    struct evaluator *self = ctx;

    if (strspn(line, " \t\r") == len)
        return;
    (void)snprintf(self->last_error, sizeof self->last_error, "%s", line);
    for (char *p = self->last_error; *p != '\0'; p++) /* it goes into a reason */
        if ((unsigned char)*p < 0x20 || (unsigned char)*p >= 0x7f)
            *p = '?';
    log_info("trial %" PRIu64 ": %.300s", self->key.trial, line);
}

static void read_all(struct evaluator *self)
{
    uint64_t before = self->progress;

    (void)lines_read(&self->out, READ_AT_ONCE, take_output, self);
    (void)lines_read(&self->err, READ_AT_ONCE, take_errors, self);
    if (self->progress != before)
        self->moved_ms = clock_ms();
}

/* "SIGSEGV"; of a real-time signal, its description. */
static const char *signal_name(int number)
{
    static char name[32];
    const char *of = sigabbrev_np(number);

    if (of != NULL)
        (void)snprintf(name, sizeof name, "SIG%s", of);
    else
        (void)snprintf(name, sizeof name, "signal %d", number);
    return name;
}

/* "exec", or "exec:" and what it says of itself: nobody promises that its results are the same bits elsewhere. */
static void name_command(struct result *out)
{
    char said[sizeof out->isa];

    memcpy(said, out->isa, sizeof said);
    (void)snprintf(out->isa, sizeof out->isa, "exec%s%.26s", said[0] != '\0' ? ":" : "", said);
}

/* What a dead child's status means, where its last line did not say. */
static void judge(const struct evaluator *self, int status, struct result *out)
{
    const char *colon = self->last_error[0] != '\0' ? ": " : "";
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

    *out = self->final_seen
               ? self->result
               : (struct result){
                     .loss = NAN, .train_loss = NAN, .test_accuracy = NAN, .test_loss = NAN};
    if (self->final_seen && (self->killed == KILL_LINGER || (WIFEXITED(status) && code == 0))) {
        /* it said all there is to say */
    } else if (self->killed == KILL_TIME) {
        fail(out, OUTCOME_TIMEOUT, "past its time limit of %u s", self->time_limit_s);
    } else if (self->killed == KILL_STALL) {
        fail(out, OUTCOME_TIMEOUT, "no progress for %" PRId64 " s", self->stall_ms / 1000);
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL &&
               count_oom_kills() > self->oom_kills) {
        fail(out, OUTCOME_OOM, "the system was out of memory and killed it");
    } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        fail(out, OUTCOME_CRASHED, "killed from outside (out of memory?)");
    } else if (WIFSIGNALED(status)) {
        fail(out, OUTCOME_CRASHED, "died of %s%s%.150s", signal_name(WTERMSIG(status)), colon,
             self->last_error);
    } else if (code == EVALUATOR_EXIT_MEMORY ||
               (code != 0 && strncmp(self->last_error, "MemoryError", 11) == 0)) { /* Python's */
        fail(out, OUTCOME_OOM, "out of memory%s%.150s", colon, self->last_error);
    } else if (code > SHELL_SIGNAL && sigabbrev_np(code - SHELL_SIGNAL) != NULL) {
        fail(out, OUTCOME_CRASHED, "ended with status %d, as after %s%s%.150s", code,
             signal_name(code - SHELL_SIGNAL), colon, self->last_error);
    } else if (code != 0) {
        fail(out, OUTCOME_CRASHED, "ended with status %d%s%.150s", code, colon, self->last_error);
    } else if (self->wrong.text[0] != '\0') {
        fail(out, OUTCOME_CRASHED, "ended without a good final line: %.180s", self->wrong.text);
    } else {
        fail(out, OUTCOME_CRASHED, "ended without a final line%s%.150s", colon, self->last_error);
    }
    if (self->exec)
        name_command(out);
    else if (out->isa[0] == '\0')
        (void)snprintf(out->isa, sizeof out->isa, "none");
    if (out->made_by[0] == '\0')
        (void)snprintf(out->made_by, sizeof out->made_by, "nasfarm " NASFARM_VERSION);
}

/* Of SIGTERM, or the shell says so of what it ran. */
static bool was_terminated(int status)
{
    return WIFSIGNALED(status) ? WTERMSIG(status) == SIGTERM
                               : WIFEXITED(status) && WEXITSTATUS(status) == SHELL_SIGNAL + SIGTERM;
}

static void take_blob(const struct evaluator *self, uint8_t **blob, size_t *len)
{
    off_t size = self->blob >= 0 ? lseek(self->blob, 0, SEEK_END) : 0;
    uint8_t *bytes;

    if (size <= 0 || (uint64_t)size > LIMIT_BLOB_BYTES || (bytes = malloc((size_t)size)) == NULL)
        return;
    if (pread(self->blob, bytes, (size_t)size, 0) != size) {
        free(bytes);
        return;
    }
    *blob = bytes;
    *len = (size_t)size;
}

/* When the limit that holds now is reached: before its final line time and progress, after it the time to end. */
static int64_t limit_ms(const struct evaluator *self)
{
    int64_t stall = self->moved_ms + self->stall_ms;

    if (self->final_seen)
        return self->final_ms + LINGER_MS;
    return stall < self->deadline_ms ? stall : self->deadline_ms;
}

/* A limit that is reached kills the whole group; a later turn finds it dead. */
static void keep_limits(struct evaluator *self, int64_t now)
{
    if (self->killed != KILL_NONE || now < limit_ms(self))
        return;
    if (self->final_seen)
        self->killed = KILL_LINGER;
    else
        self->killed = now >= self->deadline_ms ? KILL_TIME : KILL_STALL;
    (void)kill(-self->pid, SIGKILL);
    (void)kill(self->pid, SIGKILL);
}

/* Whether the child has ended. What it left behind in its group goes with it: until it is reaped, nobody else can have
 * that group's number. */
static bool reap(struct evaluator *self, int *status)
{
    siginfo_t ended = {.si_pid = 0};

    if (waitid(P_PID, (id_t)self->pid, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
        ended.si_pid != self->pid)
        return false;
    (void)kill(-self->pid, SIGKILL);
    if (waitpid(self->pid, status, 0) != self->pid)
        return false;
    self->pid = 0;
    return true;
}

bool evaluator_turn(struct evaluator *self, int64_t now_ms,
                    void (*report)(const struct progress *, void *), void *ctx, struct result *out,
                    uint8_t **blob, size_t *blob_len)
{
    int status;

    self->report = report;
    self->ctx = ctx;
    *blob = NULL;
    *blob_len = 0;
    read_all(self);
    if (!reap(self, &status)) {
        keep_limits(self, now_ms);
        return false;
    }
    read_all(self); /* what it said last */
    judge(self, status, out);
    self->terminated = out->outcome == OUTCOME_CRASHED && was_terminated(status);
    if (out->eval_s <= 0)
        out->eval_s = (double)(now_ms - self->started_ms) * 1e-3;
    if (out->outcome == OUTCOME_OK)
        take_blob(self, blob, blob_len);
    return true;
}

bool evaluator_was_terminated(const struct evaluator *self)
{
    return self->terminated;
}

uint64_t evaluator_progress(const struct evaluator *self)
{
    return self->progress;
}

int64_t evaluator_due_ms(const struct evaluator *self)
{
    return self->killed != KILL_NONE ? INT64_MAX : limit_ms(self);
}
