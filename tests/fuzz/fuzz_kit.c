/* fuzz_kit.c - see fuzz.h: what targets share. */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

size_t fuzz_copy(uint8_t *out, size_t room, const void *bytes, size_t len)
{
    if (len > room)
        return 0;
    memcpy(out, bytes, len);
    return len;
}

char *fuzz_text(const uint8_t *bytes, size_t len)
{
    char *text = malloc(len + 1);

    FUZZ_HOLDS(text != NULL);
    memcpy(text, bytes, len);
    text[len] = '\0';
    return text;
}

static char folder[64];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0] == '\0') {
        const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

        snprintf(folder, sizeof folder, "%s/nasfarm-fuzz-XXXXXX", base);
        FUZZ_HOLDS(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    return folder;
}

const char *fuzz_file(const char *name, const void *bytes, size_t len)
{
    static char path[4][128];
    static unsigned turn;
    char *at = path[turn++ % 4];
    int fd;

    snprintf(at, sizeof path[0], "%s/%s", fuzz_folder(), name);
    fd = open(at, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FUZZ_HOLDS(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    return at;
}

/* ---- what an input takes on the heap ------------------------------------------------------------------------ */

#ifdef NASFARM_SANITIZED
/* Of the sanitizers' runtime; GCC does not bring the header (sanitizer/allocator_interface.h). */
size_t __sanitizer_get_allocated_size(const volatile void *at);
int __sanitizer_install_malloc_and_free_hooks(void (*took)(const volatile void *at, size_t size),
                                              void (*gave)(const volatile void *at));

static size_t live, most;

static void took(const volatile void *at, size_t size)
{
    (void)at;
    live += size;
    most = live > most ? live : most;
}

static void gave(const volatile void *at)
{
    if (at != NULL)
        live -= __sanitizer_get_allocated_size(at);
}

static void watch_heap(void)
{
    static bool watches;

    if (!watches)
        __sanitizer_install_malloc_and_free_hooks(took, gave);
    watches = true;
}
#else
static size_t live, most;

static void watch_heap(void)
{
}
#endif

bool fuzz_run(const struct fuzz_target *target, const uint8_t *bytes, size_t len)
{
    size_t before;
    bool accepted;

    watch_heap();
    before = most = live;
    accepted = target->one(bytes, len);
    FUZZ_HOLDS(most - before <= FUZZ_HEAP_MAX);
    return accepted;
}
