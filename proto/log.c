/* log.c - see log.h. A line is one write(), so that lines of several processes do not mix. */
#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *program_name = "nasfarm";
static enum log_level least_level = LOG_INFO;
static void (*line_hook)(int hide, void *ctx);
static void *line_hook_ctx;

void log_open(const char *program, enum log_level least)
{
    program_name = program;
    least_level = least;
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
            /* no /dev/null: as it was */
        }
}

void log_on_line(void (*hook)(int hide, void *ctx), void *ctx)
{
    line_hook = hook;
    line_hook_ctx = ctx;
}

void log_line(enum log_level level, const char *format, ...)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char text[1024];
    struct timespec now;
    struct tm local;
    va_list args;
    size_t used;
    int n;

    if (level < least_level)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &local);
    used = strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
    n = snprintf(text + used, sizeof text - used, ".%03ld %s[%d] %s: ", now.tv_nsec / 1000000,
                 program_name, (int)getpid(), names[level]);
    if (n < 0)
        return;
    used += (size_t)n;
    if (used > sizeof text - 2)
        used = sizeof text - 2;
    va_start(args, format);
    n = vsnprintf(text + used, sizeof text - 1 - used, format, args);
    va_end(args);
    if (n < 0)
        return;
    for (char *p = text + used; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    used = strlen(text);
    text[used++] = '\n';
    if (line_hook != NULL)
        line_hook(1, line_hook_ctx);
    if (write(STDERR_FILENO, text, used) < 0) {
        /* nowhere left to say so */
    }
    if (line_hook != NULL)
        line_hook(0, line_hook_ctx);
}
