#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int folder_make(const char *path, bool *made, struct why *why)
{
    char part[1024];
    size_t len = strlen(path);
    bool is_new = false;
    if (len == 0 || len >= sizeof part)
        return why_set(why, FARM_EINPUT, "\"%.60s\" is no folder's name", path);
    memcpy(part, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char kept = part[i];
        part[i] = '\0';
        is_new = mkdir(part, 0777) == 0;
        struct stat st;
        if (!is_new && (errno != EEXIST || stat(part, &st) != 0 || !S_ISDIR(st.st_mode)))
            return why_set(why, FARM_EIO, "cannot make the folder %s: %s", part,
                           strerror(errno == EEXIST ? ENOTDIR : errno));
        part[i] = kept;
    }
    if (made != NULL)
        *made = is_new;
    return FARM_OK;
}

static int write_to(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return errno;
    int reason = fwrite(bytes, 1, len, file) == len && fflush(file) == 0 ? 0 : errno;
    if (fclose(file) != 0 && reason == 0)
        reason = errno;
    return reason;
}

int file_write(const char *path, const void *bytes, size_t len, struct why *why)
{
    struct stat st;
    char temporary[1024];
    char *target = realpath(path, NULL); /* NULL: there is none yet */
    const char *to = target != NULL ? target : path;
    bool in_place = stat(path, &st) == 0 && !S_ISREG(st.st_mode);
    int reason;
    if (in_place) {
        reason = write_to(path, bytes, len);
    } else if ((size_t)snprintf(temporary, sizeof temporary, "%s.%d.tmp", to, (int)getpid()) >=
               sizeof temporary) {
        reason = ENAMETOOLONG;
    } else {
        reason = write_to(temporary, bytes, len);
        if (reason == 0 && rename(temporary, to) != 0)
            reason = errno;
        if (reason != 0)
            unlink(temporary);
    }
    free(target);
    if (reason != 0)
        return why_set(why, FARM_EIO, "cannot write %s: %s", path, strerror(reason));
    return FARM_OK;
}

int file_read(const char *path, size_t most, char **out, size_t *len, struct why *why)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (file == NULL || fstat(fileno(file), &st) != 0) {
        int rc = why_set(why, FARM_EINPUT, "cannot read %s: %s", path, strerror(errno));
        if (file != NULL)
            fclose(file);
        return rc;
    }
    bool fits = S_ISREG(st.st_mode) && st.st_size <= (off_t)most;
    char *text = fits ? malloc((size_t)st.st_size + 1) : NULL;
    if (text == NULL) {
        fclose(file);
        return why_set(why, FARM_EINPUT, "%s is not a plain file of at most %zu KiB", path,
                       most / 1024);
    }
    *len = fread(text, 1, (size_t)st.st_size, file);
    text[*len] = '\0';
    fclose(file);
    *out = text;
    return FARM_OK;
}

int text_write(const char *path, const char *text, size_t len, struct why *why)
{
    if (path != NULL && strcmp(path, "-") != 0)
        return file_write(path, text, len, why);
    fwrite(text, 1, len, stdout);
    if (len > 0 && text[len - 1] != '\n')
        putchar('\n');
    return FARM_OK;
}
