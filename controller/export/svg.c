/* svg.c - SVG through the graphviz library, loaded only when someone wants a picture.
 *
 * It works in a child process. Graphviz 2.42 keeps a pointer into its first context beyond that context's end (the
 * text layout of the pango plugin: use after free in a second drawing), leaks, and may take for ever over a large
 * graph: the child draws once, under a time limit, and is gone.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "export.h"

/* The few functions of gvc.h and cgraph.h that are called, with their handles as void pointers. */
struct graphviz {
    void *(*parse)(const char *text);
    int (*set_level)(int level);
    void *(*context)(void);
    int (*layout)(void *context, void *graph, const char *engine);
    int (*render)(void *context, void *graph, const char *format, char **out, unsigned *len);
};

#define LIBRARY      "libgvc.so.6"
#define LEVEL_SILENT 3 /* AGMAX: no sentence of theirs on standard error */
#define LIMIT_S      120

enum child_exit { DRAWN, NO_LIBRARY, NOT_DOT, NO_PLUGIN, NOT_WRITTEN };

static bool find(void *library, const char *name, void *function)
{
    void *symbol = dlsym(library, name);

    memcpy(function, &symbol,
           sizeof symbol); /* ISO C has no cast from an object's pointer to a function's */
    return symbol != NULL;
}

static bool load(struct graphviz *gv)
{
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);

    return library != NULL && find(library, "agmemread", &gv->parse) &&
           find(library, "agseterr", &gv->set_level) && find(library, "gvContext", &gv->context) &&
           find(library, "gvLayout", &gv->layout) && find(library, "gvRenderData", &gv->render);
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static enum child_exit draw(const char *dot, int fd)
{
    struct graphviz gv;
    void *context, *graph;
    char *data = NULL;
    unsigned len = 0;

    if (!load(&gv) || (context = gv.context()) == NULL)
        return NO_LIBRARY;
    gv.set_level(LEVEL_SILENT);
    if ((graph = gv.parse(dot)) == NULL)
        return NOT_DOT;
    if (gv.layout(context, graph, "dot") != 0 ||
        gv.render(context, graph, "svg", &data, &len) != 0 || data == NULL)
        return NO_PLUGIN;
    return write_all(fd, data, len) ? DRAWN : NOT_WRITTEN;
}

/* Everything up to the end of file, as a string. */
static int read_all(int fd, char **out, size_t *len)
{
    char *text = NULL, buf[16384];
    FILE *f = open_memstream(&text, len);
    ssize_t n;
    bool bad;

    if (f == NULL)
        return FARM_ENOMEM;
    while ((n = read(fd, buf, sizeof buf)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0)
            (void)fwrite(buf, 1, (size_t)n, f);
    bad = ferror(f) != 0 || n < 0;
    if (fclose(f) != 0 || bad) {
        free(text);
        return FARM_ENOMEM;
    }
    *out = text;
    return FARM_OK;
}

static int say(int status, struct why *why)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        return why_set(why, FARM_EIO,
                       "SVG: graphviz took longer than %d s over this graph: export DOT", LIMIT_S);
    switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
    case DRAWN: return FARM_OK;
    case NO_LIBRARY:
        return why_set(why, FARM_ENOTFOUND,
                       "SVG needs the graphviz library (" LIBRARY
                       "), which is not installed: 'apt install libgvc6', "
                       "or export DOT and draw it elsewhere");
    case NOT_DOT: return why_set(why, FARM_EINPUT, "SVG: the text is not a DOT graph");
    case NO_PLUGIN:
        return why_set(
            why, FARM_ENOTFOUND,
            "SVG: graphviz has no plugin to lay out and draw: 'apt install --reinstall libgvc6'");
    default: return why_set(why, FARM_EIO, "SVG: graphviz died while it drew: export DOT");
    }
}

int export_svg(const char *dot, char **out, size_t *len, struct why *why)
{
    int pipe_fds[2], status = 0, rc;
    pid_t child;

    if (pipe(pipe_fds) != 0)
        return why_set(why, FARM_EIO, "SVG: no pipe: %s", strerror(errno));
    if ((child = fork()) == 0) {
        sigset_t none;

        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGALRM, SIG_DFL);
        alarm(LIMIT_S);
        /* Nothing else stays open here: a store's lock would outlive a search that is killed just now. */
        if (dup2(pipe_fds[1], 3) < 0)
            _exit(1);
        (void)close_range(4, ~0U, 0);
        _exit((int)draw(dot, 3));
    }
    close(pipe_fds[1]);
    if (child < 0) {
        close(pipe_fds[0]);
        return why_set(why, FARM_EIO, "SVG: no process to draw in: %s", strerror(errno));
    }
    rc = read_all(pipe_fds[0], out, len);
    close(pipe_fds[0]);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc != FARM_OK)
        return why_set(why, rc, "SVG: out of memory");
    if ((rc = say(status, why)) != FARM_OK) {
        free(*out);
        *out = NULL;
    }
    return rc;
}
