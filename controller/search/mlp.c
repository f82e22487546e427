/* mlp.c - see mlp.h. A row is the units of one layer for one example, or the weights from one unit to all of the next layer,
 * filled up with zeros to whole vectors: nothing ever becomes of those. Weights are rows: (size) of the first layer, (width) of
 * each further one, each with one of biases behind; then one row to the output, and one with its bias. */
#include "mlp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "adam.h"
#include "err.h"

typedef float lanes __attribute__((vector_size(16)));
typedef int32_t bits __attribute__((vector_size(16))); /* of a comparison: all or none */
typedef float wide_lanes __attribute__((vector_size(32)));
#define LANES 4
#define BLOCK 8 /* floats: a row has one to four blocks */

/* out = start + sum over k < n of by[k stride] rows[k], a row of so many blocks, where start NULL is zeros. Each sum is made in
 * the order of k, whatever the vectors, and multiplications are not fused: both versions give the same bits. */
typedef void combine_function(float *out, const float *start, const float *by, size_t stride,
                              const float *rows, size_t n, uint32_t blocks);

/* So many vectors of sums, a constant: they stay in registers. */
#define SUM_ROWS(vector, count)                                                                    \
    {                                                                                              \
        vector sum[count];                                                                         \
        for (size_t v = 0; v < (count); v++)                                                       \
            sum[v] = start != NULL ? ((const vector *)start)[v] : (vector){0};                     \
        for (size_t k = 0; k < n; k++)                                                             \
            for (size_t v = 0; v < (count); v++)                                                   \
                sum[v] += by[k * stride] * ((const vector *)rows)[k * (count) + v];                \
        for (size_t v = 0; v < (count); v++)                                                       \
            ((vector *)out)[v] = sum[v];                                                           \
        break;                                                                                     \
    }
#define DEFINE_COMBINE(name, vector)                                                               \
    static void name(float *out, const float *start, const float *by, size_t stride,               \
                     const float *rows, size_t n, uint32_t blocks)                                 \
    {                                                                                              \
        switch (blocks) {                                                                          \
        case 1: SUM_ROWS(vector, 1 * BLOCK * sizeof(float) / sizeof(vector))                       \
        case 2: SUM_ROWS(vector, 2 * BLOCK * sizeof(float) / sizeof(vector))                       \
        case 3: SUM_ROWS(vector, 3 * BLOCK * sizeof(float) / sizeof(vector))                       \
        default: SUM_ROWS(vector, 4 * BLOCK * sizeof(float) / sizeof(vector))                      \
        }                                                                                          \
    }
DEFINE_COMBINE(combine_narrow, lanes)
#if defined(__x86_64__)
__attribute__((target("avx2"))) DEFINE_COMBINE(combine_wide, wide_lanes)
#endif

    static bool narrow_only;

void mlp_set_narrow_only(bool narrow)
{
    narrow_only = narrow;
}

static combine_function *choose_combine(void)
{
#if defined(__x86_64__)
    if (!narrow_only && __builtin_cpu_supports("avx2"))
        return combine_wide;
#endif
    return combine_narrow;
}

struct mlp {
    uint32_t layers, width, size;
    uint32_t row, vectors; /* floats of a row, and how many vectors they are */
    combine_function *combine;
    size_t n_weights;
    float *weights, *gradient, *mean, *square;
    struct adam adam;
    float *units;  /* (layers, 32) rows after ReLU */
    float *slope;  /* (32) rows: the gradient at the layer where we are */
    float *next;   /* (32) rows: at the one before it */
    float *turned; /* (width) rows: weights of one layer, transposed */
    float out[MLP_BATCH];
};

/* The rows of layer l, 0 the first; l = layers: to the output. */
static size_t rows_before(const struct mlp *self, uint32_t l)
{
    return l == 0 ? 0 : self->size + (size_t)1 + (l - (size_t)1) * (self->width + (size_t)1);
}

static float *layer(const struct mlp *self, float *all, uint32_t l)
{
    return all + rows_before(self, l) * self->row;
}

static void draw(const struct mlp *self, float *rows, size_t n, double in, double out,
                 struct rng *rng)
{
    double limit = sqrt(6 / (in + out));

    for (size_t r = 0; r < n; r++)
        for (size_t u = 0; u < self->width; u++)
            rows[r * self->row + u] = (float)(limit * (2 * rng_uniform(rng) - 1));
}

static void draw_weights(struct mlp *self, struct rng *rng)
{
    double size = self->size, width = self->width;

    draw(self, self->weights, self->size, size, width, rng);
    for (uint32_t l = 1; l < self->layers; l++)
        draw(self, layer(self, self->weights, l), self->width, width, width, rng);
    draw(self, layer(self, self->weights, self->layers), 1, width, 1, rng);
}

static float *create_rows(const struct mlp *self, size_t n)
{
    size_t bytes = n * self->row * sizeof(float);
    float *rows = aligned_alloc(sizeof(wide_lanes), bytes);

    if (rows != NULL)
        memset(rows, 0, bytes);
    return rows;
}

int mlp_create(struct mlp **out, struct mlp_shape shape, uint32_t size, struct rng *rng)
{
    struct mlp *self = calloc(1, sizeof *self);
    size_t rows;

    if (self == NULL)
        return FARM_ENOMEM;
    *self = (struct mlp){.layers = shape.layers, .width = shape.width, .size = size};
    self->row = (shape.width + BLOCK - 1) / BLOCK * BLOCK;
    self->vectors = self->row / LANES;
    self->combine = choose_combine();
    rows = rows_before(self, shape.layers) + 2;
    self->n_weights = rows * self->row;
    self->weights = create_rows(self, rows);
    self->gradient = create_rows(self, rows);
    self->mean = create_rows(self, rows);
    self->square = create_rows(self, rows);
    self->units = create_rows(self, (size_t)shape.layers * MLP_BATCH);
    self->slope = create_rows(self, MLP_BATCH);
    self->next = create_rows(self, MLP_BATCH);
    self->turned = create_rows(self, shape.width);
    if (self->weights == NULL || self->gradient == NULL || self->mean == NULL ||
        self->square == NULL || self->units == NULL || self->slope == NULL || self->next == NULL ||
        self->turned == NULL) {
        mlp_destroy(&self);
        return FARM_ENOMEM;
    }
    draw_weights(self, rng);
    *out = self;
    return FARM_OK;
}

void mlp_destroy(struct mlp **self)
{
    if (*self == NULL)
        return;
    free((*self)->weights);
    free((*self)->gradient);
    free((*self)->mean);
    free((*self)->square);
    free((*self)->units);
    free((*self)->slope);
    free((*self)->next);
    free((*self)->turned);
    free(*self);
    *self = NULL;
}

static void combine(const struct mlp *self, float *out, const float *start, const float *by,
                    size_t stride, const float *rows, size_t n)
{
    self->combine(out, start, by, stride, rows, n, self->row / BLOCK);
}

/* into += by from */
static void add_row(const struct mlp *self, float *into, float by, const float *from)
{
    for (uint32_t v = 0; v < self->vectors; v++)
        ((lanes *)into)[v] += by * ((const lanes *)from)[v];
}

/* Leaves of out only what has something above 0 in where. */
static void cut(const struct mlp *self, float *out, const float *where)
{
    for (uint32_t v = 0; v < self->vectors; v++) {
        bits kept = ((const lanes *)where)[v] > 0;

        ((lanes *)out)[v] = (lanes)((bits)((lanes *)out)[v] & kept);
    }
}

static float *units_of(const struct mlp *self, uint32_t l)
{
    return self->units + (size_t)l * MLP_BATCH * self->row;
}

static void forward(struct mlp *self, const struct mlp_input *const *inputs, size_t n)
{
    const uint32_t W = self->width, R = self->row;
    const float *w = self->weights, *last = units_of(self, self->layers - 1);

    for (size_t e = 0; e < n; e++) {
        float *z = units_of(self, 0) + e * R;

        memcpy(z, w + (size_t)self->size * R, R * sizeof *z);
        for (uint32_t f = 0; f < inputs[e]->n; f++)
            add_row(self, z, inputs[e]->features[f].value,
                    w + (size_t)inputs[e]->features[f].index * R);
        cut(self, z, z);
    }
    for (uint32_t l = 1; l < self->layers; l++) {
        w = layer(self, self->weights, l);
        for (size_t e = 0; e < n; e++) {
            float *z = units_of(self, l) + e * R;

            combine(self, z, w + (size_t)W * R, units_of(self, l - 1) + e * R, 1, w, W);
            cut(self, z, z);
        }
    }
    w = layer(self, self->weights, self->layers);
    for (size_t e = 0; e < n; e++) {
        self->out[e] = w[R];
        for (uint32_t u = 0; u < W; u++)
            self->out[e] += w[u] * last[e * R + u];
    }
}

/* The mean absolute error; what is predicted becomes its gradient. */
static double output_slope(struct mlp *self, const float *const *targets, size_t n)
{
    double error = 0;

    for (size_t e = 0; e < n; e++) {
        float off = self->out[e] - *targets[e];

        error += fabsf(off);
        self->out[e] = (off > 0 ? 1.0f : off < 0 ? -1.0f : 0) / (float)n;
    }
    return error / (double)n;
}

static void backward_output(struct mlp *self, size_t n)
{
    const uint32_t R = self->row;
    const float *last = units_of(self, self->layers - 1);
    const float *w = layer(self, self->weights, self->layers);
    float *dw = layer(self, self->gradient, self->layers);

    memset(dw, 0, 2 * (size_t)R * sizeof *dw);
    memset(self->slope, 0, n * R * sizeof *self->slope);
    for (size_t e = 0; e < n; e++) {
        add_row(self, dw, self->out[e], last + e * R);
        dw[R] += self->out[e];
        add_row(self, self->slope + e * R, self->out[e], w);
        cut(self, self->slope + e * R, last + e * R);
    }
}

static void transpose(struct mlp *self, const float *w)
{
    for (uint32_t i = 0; i < self->width; i++)
        for (uint32_t u = 0; u < self->width; u++)
            self->turned[u * self->row + i] = w[i * self->row + u];
}

/* From the slopes at layer l, which is not the first, to its weights and to the slopes at the layer before. */
static void backward_layer(struct mlp *self, uint32_t l, size_t n)
{
    const uint32_t W = self->width, R = self->row;
    const float *in = units_of(self, l - 1), one = 1;
    float *dw = layer(self, self->gradient, l), *swapped;

    for (uint32_t i = 0; i < W; i++)
        combine(self, dw + (size_t)i * R, NULL, in + i, R, self->slope, n);
    combine(self, dw + (size_t)W * R, NULL, &one, 0, self->slope, n);
    transpose(self, layer(self, self->weights, l));
    for (size_t e = 0; e < n; e++) {
        combine(self, self->next + e * R, NULL, self->slope + e * R, 1, self->turned, W);
        cut(self, self->next + e * R, in + e * R);
    }
    swapped = self->slope;
    self->slope = self->next;
    self->next = swapped;
}

static void backward_first(struct mlp *self, const struct mlp_input *const *inputs, size_t n)
{
    const uint32_t R = self->row;
    const float one = 1;

    memset(self->gradient, 0, (size_t)self->size * R * sizeof *self->gradient);
    combine(self, self->gradient + (size_t)self->size * R, NULL, &one, 0, self->slope, n);
    for (size_t e = 0; e < n; e++)
        for (uint32_t f = 0; f < inputs[e]->n; f++)
            add_row(self, self->gradient + (size_t)inputs[e]->features[f].index * R,
                    inputs[e]->features[f].value, self->slope + e * R);
}

static void backward(struct mlp *self, const struct mlp_input *const *inputs, size_t n)
{
    backward_output(self, n);
    for (uint32_t l = self->layers; l-- > 1;)
        backward_layer(self, l, n);
    backward_first(self, inputs, n);
}

int mlp_train(struct mlp *self, const struct mlp_input *inputs, const float *targets, size_t n,
              uint32_t epochs, double lr, struct rng *rng)
{
    uint32_t *order = calloc(n + 1, sizeof *order);

    if (order == NULL)
        return FARM_ENOMEM;
    self->adam = (struct adam){lr, 0.9, 0.99, 1e-7, 0};
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t epoch = 0; epoch < epochs; epoch++) {
        rng_shuffle_u32(rng, order, n);
        for (size_t from = 0; from < n; from += MLP_BATCH) {
            const struct mlp_input *batch[MLP_BATCH];
            const float *wanted[MLP_BATCH];
            size_t m = n - from < MLP_BATCH ? n - from : MLP_BATCH;

            for (size_t e = 0; e < m; e++) {
                batch[e] = &inputs[order[from + e]];
                wanted[e] = &targets[order[from + e]];
            }
            forward(self, batch, m);
            (void)output_slope(self, wanted, m);
            backward(self, batch, m);
            adam_step(&self->adam, self->n_weights, self->weights, self->gradient, self->mean,
                      self->square);
        }
    }
    free(order);
    return FARM_OK;
}

void mlp_predict(struct mlp *self, const struct mlp_input *inputs, size_t n, float *out)
{
    for (size_t from = 0; from < n; from += MLP_BATCH) {
        const struct mlp_input *batch[MLP_BATCH];
        size_t m = n - from < MLP_BATCH ? n - from : MLP_BATCH;

        for (size_t e = 0; e < m; e++)
            batch[e] = &inputs[from + e];
        forward(self, batch, m);
        memcpy(out + from, self->out, m * sizeof *out);
    }
}

double mlp_gradient(struct mlp *self, const struct mlp_input *inputs, const float *targets,
                    size_t examples, float **weights, const float **gradient, size_t *n)
{
    const struct mlp_input *batch[MLP_BATCH] = {0};
    const float *wanted[MLP_BATCH] = {0};
    double error;

    for (size_t e = 0; e < examples; e++) {
        batch[e] = &inputs[e];
        wanted[e] = &targets[e];
    }
    forward(self, batch, examples);
    error = output_slope(self, wanted, examples);
    backward(self, batch, examples);
    *weights = self->weights;
    *gradient = self->gradient;
    *n = self->n_weights;
    return error;
}
