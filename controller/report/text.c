#include "text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

void text_duration(double seconds, char *out, size_t size)
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, size, "?");
        return;
    }
    long s = (long)(seconds + 0.5);
    if (seconds < 10)
        snprintf(out, size, "%.1f s", seconds);
    else if (s < 3600)
        snprintf(out, size, "%ld:%02ld", s / 60, s % 60);
    else if (s < 86400)
        snprintf(out, size, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%ldd %02ld:%02ld", s / 86400, s / 3600 % 24, s / 60 % 60);
}

void text_thousands(uint64_t value, char out[28])
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
    char *at = out;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            *at++ = ',';
        *at++ = digits[i];
    }
    *at = '\0';
}

void text_bytes(uint64_t value, char out[16])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double x = (double)value;
    size_t unit = 0;
    while (x >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        x /= 1000;
        unit++;
    }
    snprintf(out, 16, "%.*f %s", unit > 0 && x < 99.95 ? 1 : 0, x, units[unit]);
}

double text_standard_error(double p, uint64_t n)
{
    return n == 0 ? NAN : sqrt(fmax(p * (1 - p), 0) / (double)n);
}
