/* plot.h - a line plot as SVG: series over one x axis, each with a band.
 *
 * It is not: a graph of a network (export/).
 */
#ifndef NASFARM_PLOT_H
#define NASFARM_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

struct plot_series {
    const char *name;
    size_t n;
    const double *x, *y;   /* x rises; drawn as steps: y holds until the next x */
    const double *lo, *hi; /* of the band around y; NULL: none */
};
struct plot {
    const char *title, *x_label, *y_label;
    const struct plot_series *series;
    size_t n_series;
    double y_lo, y_hi; /* of the axis; both 0: as the series need */
};

int plot_write(const char *path, const struct plot *plot, struct why *why);

#endif
