/* kernels_by_2_weight.c - the weight gradient of dense 3x3 windows at stride 2, for one instruction set.
 *
 * It is:     a walk over dy, two rows at a time, with the sums of all nine taps of two input channels in registers: a value of x
 *            is loaded once for all windows that it is in, up to four. (kernels_tile.h loads it for each of them, which is as
 *            good where two vectors of output channels share it, and else is a load for every product.)
 * It is not: for every side and number of channels: see by_2_fits_weight().
 *
 * Sums lie as those of any other window, [panel][tap][c][LANES], those of a panel that is split too (kernels_tile.h). All of them are
 * walked over one band, so much of x and dy as the first-level cache keeps meanwhile, then over the next.
 */
#include "kernels_conv.h"
#include "kernels_tile.h"

#define UNROLL _Pragma("GCC unroll 9")

enum {
    TAPS = 9,
    CHANNELS =
        2, /* of a walk, `split` each: 18 sums, two rows and two columns of dy, a few values */
    BAND = 10240, /* floats of x and dy: 40 of 48 KB, measured */
};

/* Over the same rows of some images. */
struct walk {
    const float *x; /* the first tap of the first output: maybe outside, and then not read */
    const float *dy;
    ptrdiff_t x_pixel, x_row, x_image, dy_pixel, dy_row, dy_image;
    int images, rows, columns;
    bool top,
        left; /* outside are: the first row of taps of the first row of outputs; likewise of columns */
    float *sums;
    ptrdiff_t tap; /* floats from one tap's sums to the next's */
};

typedef void walk_function(const struct walk *w);

#if LANES == 16 /* elsewhere there are too few registers */

/* A column of x is tap `tap` of dy's column `now`, and (both) tap 2 of the one before. */
INLINE void add_column(const int split, const int T, const bool top, const int tap, const bool both,
                       vec sums[CHANNELS][TAPS], const float *x, ptrdiff_t x_row, const vec *now,
                       const vec *before)
{
    UNROLL for (int r = top ? 1 : 0; r < 2 * T + 1; r++) UNROLL for (int c = 0; c < CHANNELS; c++)
    {
        vec value = repeated(x + r * x_row + c * split, split);

        UNROLL for (int t = 0; t < T; t++)
        {
            const int i = r - 2 * t;

            if (i < 0 || i > 2)
                continue;
            sums[c][3 * i + tap] += value * now[t];
            if (both)
                sums[c][3 * i + 2] += value * before[t];
        }
    }
}

INLINE void get_column(const int T, vec *now, const float *dy, ptrdiff_t dy_row)
{
    UNROLL for (int t = 0; t < T; t++) now[t] = *(const vec *)(dy + t * dy_row);
}

/* T rows of dy. */
INLINE void walk_rows(const int split, const int T, const bool top, vec sums[CHANNELS][TAPS],
                      const float *x, const float *dy, const struct walk *w)
{
    const ptrdiff_t x_row = w->x_row, x_pixel = w->x_pixel, dy_row = w->dy_row,
                    dy_pixel = w->dy_pixel;
    vec now[2], before[2];

    get_column(T, now, dy, dy_row);
    if (!w->left)
        add_column(split, T, top, 0, false, sums, x, x_row, now, before);
    add_column(split, T, top, 1, false, sums, x + x_pixel, x_row, now, before);
    for (int n = w->columns - 1; n > 0; n--) {
        x += 2 * x_pixel, dy += dy_pixel;
        UNROLL for (int t = 0; t < T; t++) before[t] = now[t];
        get_column(T, now, dy, dy_row);
        add_column(split, T, top, 0, true, sums, x, x_row, now, before);
        add_column(split, T, top, 1, false, sums, x + x_pixel, x_row, now, before);
    }
    add_column(split, T, top, 2, false, sums, x + 2 * x_pixel, x_row, now, before);
}

INLINE void walk_image(const int split, vec sums[CHANNELS][TAPS], const float *x, const float *dy,
                       const struct walk *w)
{
    int left = w->rows;

    if (w->top) {
        if (left >= 2)
            walk_rows(split, 2, true, sums, x, dy, w);
        else
            walk_rows(split, 1, true, sums, x, dy, w);
        left -= 2, x += 4 * w->x_row, dy += 2 * w->dy_row;
    }
    for (; left >= 2; left -= 2, x += 4 * w->x_row, dy += 2 * w->dy_row)
        walk_rows(split, 2, false, sums, x, dy, w);
    if (left > 0)
        walk_rows(split, 1, false, sums, x, dy, w);
}

INLINE void walk(const int split, const struct walk *w)
{
    vec sums[CHANNELS][TAPS];

    UNROLL for (int c = 0; c < CHANNELS; c++) UNROLL for (int i = 0; i < TAPS; i++) sums[c][i] =
        *(vec *)(w->sums + i * w->tap + c * LANES);
    for (int n = 0; n < w->images; n++)
        walk_image(split, sums, w->x + n * w->x_image, w->dy + n * w->dy_image, w);
    UNROLL for (int c = 0; c < CHANNELS; c++) UNROLL for (int i = 0; i < TAPS; i++) *
        (vec *)(w->sums + i * w->tap + c * LANES) = sums[c][i];
}

#define DEFINE(split)                                                                              \
    static void walk_##split(const struct walk *w)                                                 \
    {                                                                                              \
        walk(split, w);                                                                            \
    }
DEFINE(1)
DEFINE(2)
DEFINE(4)

/* [split / 2] */
static walk_function *const walks[] = {walk_1, walk_2, walk_4};

#else
static walk_function *const walks[3];
#endif

/* All input channels of one panel of output channels; returns where the next one's sums begin. */
static float *walk_panel(float *sums, struct walk w, int channels, int split)
{
    w.tap = (ptrdiff_t)channels / split * LANES;
    for (int c = 0; c < channels; c += CHANNELS * split) {
        w.sums = sums;
        walks[split / 2](&w);
        w.x += CHANNELS * split;
        sums += (ptrdiff_t)CHANNELS * LANES;
    }
    return sums + (TAPS - 1) * w.tap;
}

static void walk_band(float *sums, const float *last, const struct window *s, struct walk w)
{
    for (int panel = 0; panel < s->k / LANES; panel++, w.dy += LANES)
        sums = walk_panel(sums, w, s->c, 1);
    if (s->k % LANES == 0)
        return;
    w.dy = last;
    w.dy_pixel = LANES;
    w.dy_row = (ptrdiff_t)s->ow * LANES;
    w.dy_image = s->oh * w.dy_row;
    walk_panel(sums, w, s->c, split_of(s->k, s->c));
}

static bool is_inside(int side, int out, int pad)
{
    return (pad == 0 || pad == 1) && 2 * out - pad < side;
}

/* With more output channels tiles are faster: these share a value among two vectors of them, and there are so many sums that
 * bands would be too low. */
bool ISA(by_2_fits_weight)(const struct window *s)
{
    return LANES == 16 && s->kh == 3 && s->kw == 3 && s->stride == 2 && s->dilation == 1 &&
           s->k < (s->ow > 4 ? 2 * LANES : 3 * LANES) &&
           s->c % (CHANNELS * split_of(s->k, s->c)) == 0 && is_inside(s->h, s->oh, s->pad_y) &&
           is_inside(s->w, s->ow, s->pad_x);
}

int ISA(by_2_images)(const struct window *s)
{
    int floats = s->h * s->w * s->c + s->oh * s->ow * s->k;

    return floats < BAND ? BAND / floats : 1;
}

void ISA(by_2_sums)(float *sums, const float *dy, const float *last, const float *x,
                    const struct window *s, int images)
{
    struct walk w = {.x_pixel = s->c,
                     .x_row = (ptrdiff_t)s->w * s->c,
                     .x_image = (ptrdiff_t)s->h * s->w * s->c,
                     .dy_pixel = s->k,
                     .dy_row = (ptrdiff_t)s->ow * s->k,
                     .dy_image = (ptrdiff_t)s->oh * s->ow * s->k,
                     .images = images,
                     .columns = s->ow,
                     .left = s->pad_x > 0};
    int height = BAND / (2 * s->w * s->c + s->ow * s->k) / 2 * 2;

    if (images > 1)
        height = s->oh;
    else if (height < 2)
        height = 2;
    for (int oy = 0; oy < s->oh; oy += height) {
        w.rows = s->oh - oy < height ? s->oh - oy : height;
        w.top = oy == 0 && s->pad_y > 0;
        w.x = x + (2 * oy - s->pad_y) * w.x_row - s->pad_x * w.x_pixel;
        w.dy = dy + oy * w.dy_row;
        walk_band(sums, last + (ptrdiff_t)oy * s->ow * LANES, s, w);
    }
}
