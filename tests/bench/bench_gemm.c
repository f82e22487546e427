/* bench_gemm.c */
#include "bench_gemm.h"

#include <cblas.h>
#include <stdio.h>
#include <string.h>

#include "bench_case.h"

/* ---- ours: a 1x1 convolution ------------------------------------------------------------------------------- */

static void own_forward(struct bench *b)
{
    b->k->conv_pack(b->forward, b->w, &b->s, CONV_PACKED_FORWARD);
    bench_passes[BENCH_FORWARD](b);
}

static void own_input(struct bench *b)
{
    b->k->conv_pack(b->input, b->w, &b->s, CONV_PACKED_INPUT);
    bench_passes[BENCH_INPUT](b);
}

static void own_weight(struct bench *b)
{
    memset(b->sums, 0, b->k->conv_floats(&b->s, CONV_SUMS) * sizeof *b->sums);
    bench_passes[BENCH_WEIGHT](b);
    b->k->conv_weight_finish(b->w, b->sums, &b->s, b->scratch);
}

/* ---- OpenBLAS: x (pixels, c), w (c, k), y (pixels, k) ------------------------------------------------------ */

static int pixels_of(const struct bench *b)
{
    return b->s.n * b->s.h * b->s.w;
}

static void blas_forward(struct bench *b)
{
    int p = pixels_of(b), c = b->s.c, k = b->s.k;

    /* (p,k) = (p,c) (c,k) */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, p, k, c, 1, b->x, c, b->w, k, 0, b->y,
                k);
}

static void blas_input(struct bench *b)
{
    int p = pixels_of(b), c = b->s.c, k = b->s.k;

    /* (p,c) = (p,k) (k,c) */
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, p, c, k, 1, b->dy, k, b->w, k, 0, b->dx,
                c);
}

static void blas_weight(struct bench *b)
{
    int p = pixels_of(b), c = b->s.c, k = b->s.k;

    /* (c,k) += (c,p) (p,k) */
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, c, k, p, 1e-9f, b->x, c, b->dy, k, 1, b->w,
                k);
}

/* ---- the table ---------------------------------------------------------------------------------------------- */

static void (*const own[3])(struct bench *) = {own_forward, own_input, own_weight};
static void (*const blas[3])(struct bench *) = {blas_forward, blas_input, blas_weight};

/* side 1: a linear layer */
static const struct {
    int side, c, k;
} shapes[] = {
    {32, 16, 16},   {32, 24, 24},  {16, 32, 32},  {16, 64, 64},  {8, 128, 128},  {32, 16, 96},
    {32, 96, 24},   {16, 24, 144}, {16, 144, 32}, {8, 32, 192},  {8, 192, 64},   {8, 64, 384},
    {8, 384, 96},   {7, 96, 576},  {7, 576, 160}, {7, 160, 960}, {7, 960, 160},  {7, 960, 320},
    {7, 320, 1280}, {1, 64, 10},   {1, 640, 10},  {1, 1280, 10}, {1, 1280, 100}, {1, 1280, 1000},
};

/* Of one pass, GFLOP/s of both, in turn. */
static void gemm_cells(struct bench *b, enum bench_pass pass)
{
    double flops = bench_flops(&b->s) / 1e9;
    double ours = flops / bench_seconds(own[pass], b),
           theirs = flops / bench_seconds(blas[pass], b);

    bench_cell("%.1f", ours);
    bench_cell("%.1f", theirs);
    bench_cell("%.2f", ours / theirs);
}

void bench_gemm(const struct kernels *k)
{
    static const char *const columns[] = {"forward", "input gradient", "weight gradient"};

    printf("\nGFLOP/s of 1x1 convolutions of %d images, and of linear layers of 64 rows: ours, "
           "OpenBLAS's, and times as "
           "fast.\n%s, running as %s, one thread.\n",
           BENCH_BATCH, openblas_get_config(), openblas_get_corename());
    bench_heading("shape", 15);
    for (size_t i = 0; i < 3; i++) {
        bench_cell("%s", columns[i]);
        bench_cell("OpenBLAS");
        bench_cell("times");
    }
    bench_row_end();
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct window s = bench_window(shapes[i].side, shapes[i].c, shapes[i].k, 1, 1, 1);
        struct bench b;

        if (s.h == 1)
            s.n = 64;
        b = bench_of(k, &s);
        if (s.h == 1)
            bench_row("linear %d -> %d", s.c, s.k);
        else
            bench_row("1x1 %d -> %d, %dx%d", s.c, s.k, s.h, s.w);
        for (int pass = 0; pass < 3; pass++)
            gemm_cells(&b, (enum bench_pass)pass);
        bench_row_end();
        bench_release(&b);
    }
}
