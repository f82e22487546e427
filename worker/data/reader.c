/* reader.c - see reader.h. */
#include "reader.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "limits.h"

bool reader_find(char *out, size_t size, const char *path)
{
    static const char *const ends[] = {"", ".gz"};

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        int n = snprintf(out, size, "%s%s", path, ends[i]);

        if (n >= 0 && (size_t)n < size && access(out, F_OK) == 0)
            return true;
    }
    return false;
}

int reader_check_shape(const char *path, uint64_t n, uint64_t h, uint64_t w, uint64_t c,
                       size_t value_bytes, uint64_t max_bytes, struct why *why)
{
    if (n == 0)
        return why_set(why, FARM_EINPUT, "%s has 0 images", path);
    if (h < 1 || h > LIMIT_SIDE || w < 1 || w > LIMIT_SIDE || c < 1 || c > LIMIT_CHANNELS)
        return why_set(
            why, FARM_EINPUT,
            "%s has images of %llu x %llu x %llu: must be 1 to %u pixels a side and 1 to "
            "%u channels",
            path, (unsigned long long)h, (unsigned long long)w, (unsigned long long)c, LIMIT_SIDE,
            LIMIT_CHANNELS);
    /* h*w*c is below 2^40 and 4 bytes, so only n can overflow. */
    if (n > INT32_MAX || n > max_bytes / (h * w * c * value_bytes))
        return why_set(
            why, FARM_EINPUT,
            "%s has %llu images of %llu x %llu x %llu: more than %llu bytes are not read", path,
            (unsigned long long)n, (unsigned long long)h, (unsigned long long)w,
            (unsigned long long)c, (unsigned long long)max_bytes);
    return FARM_OK;
}

int reader_row_shape(struct draft *out, const char *path, uint64_t features,
                     const struct row_form *form, struct why *why)
{
    uint64_t c = form->c > 0 ? form->c : 1, pixels = features / c;
    uint64_t h = form->h > 0 ? form->h : 1, w = form->w > 0 ? form->w : 1;

    if (form->h == 0 && form->w == 0)
        h = w = (uint64_t)sqrt((double)pixels);
    if (h * w * c != features) /* each is below 2^32 by its option, and checked to be small there */
        return why_set(
            why, FARM_EINPUT,
            "%s has rows of %llu values, which are no image of %llu x %llu x %llu: append "
            "?h=..&w=..&c=.. to its path",
            path, (unsigned long long)features, (unsigned long long)h, (unsigned long long)w,
            (unsigned long long)c);
    out->h = (uint32_t)h;
    out->w = (uint32_t)w;
    out->c = (uint32_t)c;
    return FARM_OK;
}
