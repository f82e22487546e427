#include "files.h"

#include <errno.h>
#include <stdio.h>
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

int file_write(const char *path, const void *bytes, size_t len, struct why *why)
{
    char temporary[1024];
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, (int)getpid()) >=
        sizeof temporary)
        return why_set(why, FARM_EINPUT, "the file name %.60s... is too long", path);
    FILE *file = fopen(temporary, "wb");
    bool ok = file != NULL && fwrite(bytes, 1, len, file) == len && fflush(file) == 0;
    int reason = errno;
    if (file != NULL && fclose(file) != 0 && ok) {
        ok = false;
        reason = errno;
    }
    if (ok && rename(temporary, path) == 0)
        return FARM_OK;
    if (ok)
        reason = errno;
    unlink(temporary);
    return why_set(why, FARM_EIO, "cannot write %s: %s", path, strerror(reason));
}
