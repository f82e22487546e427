/* plot.c - SVG by hand: axes with round numbers, polylines, polygons for bands, a legend. */
#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "files.h"

#define WIDTH  760.0
#define HEIGHT 440.0
#define LEFT   70.0
#define RIGHT  190.0 /* the legend */
#define TOP    40.0
#define BOTTOM 50.0

/* Colours that are told apart also without green and red (Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#999999"};
#define N_COLOURS (sizeof colours / sizeof colours[0])

struct frame {
    double x_lo, x_hi, y_lo, y_hi;
};

static void widen(double v, double *lo, double *hi)
{
    if (isfinite(v)) {
        *lo = fmin(*lo, v);
        *hi = fmax(*hi, v);
    }
}

static struct frame frame_of(const struct plot *plot)
{
    struct frame f = {INFINITY, -INFINITY, INFINITY, -INFINITY};

    for (size_t s = 0; s < plot->n_series; s++)
        for (size_t i = 0; i < plot->series[s].n; i++) {
            const struct plot_series *p = &plot->series[s];

            widen(p->x[i], &f.x_lo, &f.x_hi);
            widen(p->lo != NULL ? p->lo[i] : p->y[i], &f.y_lo, &f.y_hi);
            widen(p->hi != NULL ? p->hi[i] : p->y[i], &f.y_lo, &f.y_hi);
        }
    if (plot->y_lo != 0 || plot->y_hi != 0) {
        f.y_lo = plot->y_lo;
        f.y_hi = plot->y_hi;
    }
    if (!(f.x_hi > f.x_lo))
        f.x_hi = (f.x_lo = isfinite(f.x_lo) ? f.x_lo : 0) + 1;
    if (!(f.y_hi > f.y_lo))
        f.y_hi = (f.y_lo = isfinite(f.y_lo) ? f.y_lo : 0) + 1;
    return f;
}

static double at_x(const struct frame *f, double x)
{
    return LEFT + (x - f->x_lo) / (f->x_hi - f->x_lo) * (WIDTH - LEFT - RIGHT);
}

static double at_y(const struct frame *f, double y)
{
    double share = (y - f->y_lo) / (f->y_hi - f->y_lo);

    return HEIGHT - BOTTOM - fmin(fmax(share, 0), 1) * (HEIGHT - TOP - BOTTOM);
}

/* 1, 2 or 5 times a power of ten, about a fifth of the range. */
static double tick_of(double lo, double hi)
{
    double rough = (hi - lo) / 5, power = pow(10, floor(log10(rough))), times = rough / power;

    return power * (times < 1.5 ? 1 : times < 3.5 ? 2 : times < 7.5 ? 5 : 10);
}

/* The number of the last tick, from 0. */
static int n_ticks(double lo, double hi, double tick)
{
    return (int)(floor(hi / tick + 1e-9) - ceil(lo / tick));
}

/* The text of a title or a name, with what XML minds replaced. */
static void put_text(FILE *out, const char *text)
{
    for (; *text != '\0'; text++)
        if (*text == '<' || *text == '>' || *text == '&' || *text == '"')
            fprintf(out, "&#%d;", *text);
        else
            fputc(*text, out);
}

static void put_axes(FILE *out, const struct plot *plot, const struct frame *f)
{
    double x_tick = tick_of(f->x_lo, f->x_hi), y_tick = tick_of(f->y_lo, f->y_hi);

    for (int i = 0; i <= n_ticks(f->y_lo, f->y_hi, y_tick); i++) {
        double y = (ceil(f->y_lo / y_tick) + i) * y_tick;

        fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='#dddddd'/>\n", LEFT,
                WIDTH - RIGHT, at_y(f, y), at_y(f, y));
        fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='end'>%.6g</text>\n", LEFT - 6,
                at_y(f, y) + 4, fabs(y) < y_tick * 1e-9 ? 0 : y);
    }
    for (int i = 0; i <= n_ticks(f->x_lo, f->x_hi, x_tick); i++) {
        double x = (ceil(f->x_lo / x_tick) + i) * x_tick;

        fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='middle'>%.6g</text>\n", at_x(f, x),
                HEIGHT - BOTTOM + 18, fabs(x) < x_tick * 1e-9 ? 0 : x);
    }
    fprintf(out, "<path d='M%.1f %.1fV%.1fH%.1f' fill='none' stroke='#333333'/>\n", LEFT, TOP,
            HEIGHT - BOTTOM, WIDTH - RIGHT);
    fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='middle'>", (LEFT + WIDTH - RIGHT) / 2,
            HEIGHT - 10);
    put_text(out, plot->x_label);
    fprintf(out, "</text>\n<text transform='translate(16 %.1f) rotate(-90)' text-anchor='middle'>",
            (TOP + HEIGHT - BOTTOM) / 2);
    put_text(out, plot->y_label);
    fprintf(out, "</text>\n<text x='%.1f' y='22' font-size='15'>", LEFT);
    put_text(out, plot->title);
    fputs("</text>\n", out);
}

static void put_band(FILE *out, const struct plot_series *s, const struct frame *f,
                     const char *colour)
{
    fprintf(out, "<polygon fill='%s' fill-opacity='0.15' points='", colour);
    for (size_t i = 0; i < s->n; i++)
        if (isfinite(s->hi[i]))
            fprintf(out, "%.1f,%.1f ", at_x(f, s->x[i]), at_y(f, s->hi[i]));
    for (size_t i = s->n; i-- > 0;)
        if (isfinite(s->lo[i]))
            fprintf(out, "%.1f,%.1f ", at_x(f, s->x[i]), at_y(f, s->lo[i]));
    fputs("'/>\n", out);
}

static void put_line(FILE *out, const struct plot_series *s, const struct frame *f,
                     const char *colour)
{
    bool begun = false;

    fprintf(out, "<path fill='none' stroke-width='2' stroke='%s' d='", colour);
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i]))
            continue;
        if (!begun)
            fprintf(out, "M%.1f %.1f", at_x(f, s->x[i]), at_y(f, s->y[i]));
        else
            fprintf(out, "H%.1fV%.1f", at_x(f, s->x[i]), at_y(f, s->y[i]));
        begun = true;
    }
    fprintf(out, begun ? "H%.1f'/>\n" : "'/>\n", WIDTH - RIGHT);
}

static void put_series(FILE *out, const struct plot *plot, const struct frame *f)
{
    for (size_t i = 0; i < plot->n_series; i++)
        if (plot->series[i].lo != NULL && plot->series[i].hi != NULL)
            put_band(out, &plot->series[i], f, colours[i % N_COLOURS]);
    for (size_t i = 0; i < plot->n_series; i++) {
        double y = TOP + 10 + 20 * (double)i;

        put_line(out, &plot->series[i], f, colours[i % N_COLOURS]);
        fprintf(out, "<line x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f' stroke='%s' stroke-width='3'/>",
                WIDTH - RIGHT + 14, WIDTH - RIGHT + 34, y, y, colours[i % N_COLOURS]);
        fprintf(out, "<text x='%.1f' y='%.1f'>", WIDTH - RIGHT + 40, y + 4);
        put_text(out, plot->series[i].name);
        fputs("</text>\n", out);
    }
}

int plot_write(const char *path, const struct plot *plot, struct why *why)
{
    struct frame f = frame_of(plot);
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    int rc;

    if (out == NULL)
        return why_set(why, FARM_ENOMEM, "no memory for %s", path);
    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='%.0f' height='%.0f' "
            "font-family='Helvetica,Arial,sans-serif' font-size='12'>\n"
            "<rect width='100%%' height='100%%' fill='white'/>\n",
            WIDTH, HEIGHT);
    put_axes(out, plot, &f);
    put_series(out, plot, &f);
    fputs("</svg>\n", out);
    rc = fclose(out) == 0 ? file_write(path, text, len, why)
                          : why_set(why, FARM_ENOMEM, "no memory for %s", path);
    free(text);
    return rc;
}
