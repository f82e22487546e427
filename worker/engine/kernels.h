/* kernels.h - the arithmetic of training, one function per operation, for one instruction set.
 *
 * It is:     a table of functions over plain float32 arrays, compiled once per instruction set from the same
 *            source with vector extensions, and chosen once per process by kernels_get().
 * It is not: graphs, shapes' inference, memory planning or parameters (net.h), nor threads: one slot, one thread.
 *
 * Layout is N,H,W,C (innermost C). Weights of a convolution are (kh, kw, c/groups, k), so the vector runs over
 * output channels. No pointer needs alignment, none may overlap unless said so. No function allocates.
 * Forward overwrites its output; backward ADDS to dw, dgamma, dbeta, dbias, and to dx unless told otherwise.
 * The same inputs give the same bits for one instruction set, wherever they lie in memory.
 * A NaN goes through every operation, ReLU too: a diverged network must show. (Max pool looks at a window's first tap
 * only, for speed: a channel that is NaN stays NaN, a lone one may be lost.)
 */
#ifndef NASFARM_KERNELS_H
#define NASFARM_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Window geometry of conv and pools; graph.h says which pixel a tap reads. groups divides c and k. */
struct window {
    int n, h, w, c; /* input */
    int oh, ow, k;  /* output; k = c for pools */
    int kh, kw, stride, dilation, groups;
    int pad_y, pad_x;
};

/* The arrays besides x, y, weight that a convolution works with; conv_floats() says how large each is. */
enum conv_part {
    CONV_SCRATCH,        /* contents irrelevant between calls */
    CONV_PACKED_FORWARD, /* weights as conv_forward() reads them */
    CONV_PACKED_INPUT,   /* weights as conv_backward_input() reads them */
    CONV_SUMS,           /* what conv_backward_weight() adds to, over as many calls as wanted */
};

/* graph.h says what each is. */
enum act {
    ACT_NONE,
    ACT_RELU,
    ACT_RELU6,
    ACT_SWISH,
    ACT_H_SWISH,
    ACT_SIGMOID,
    ACT_H_SIGMOID,
};

/* What is known of a batch norm between its passes. Each array has `width` values, column i being channel i % c. */
struct norm {
    int c, width;
    double *sum, *square;
    float *centre, *scale, *shift; /* y = act((x - centre) scale + shift) */
    float *inv_std;
    float *k0, *k1, *k2; /* dx = k0 g + k1 (x - centre) + k2 */
};

/* The same of the input u of a pointwise convolution x = u * weight from c channels to k that only a batch norm reads, where
 * x itself is never had: kernels_covariance.c. */
struct covariance {
    int c, k;
    double *mean, *pairs; /* sums first */
    double *row;          /* inside */
    float *centre;
    float *spread; /* (c, k): the sum of (u - mean) (x - mean) */
    float *mix,
        *offset; /* (c, c), (c): du += u * mix + offset, once the norm's gradient is complete */
};

enum norm_put {
    NORM_PUT,      /* overwrites */
    NORM_PUT_PAST, /* likewise, past the caches: it is large, and will not be read soon */
    NORM_ADD,
};

struct norm_running {
    float *mean, *var; /* c */
    float momentum;
};

/* One step of an optimizer; what the formulas below call it. */
struct rmsprop_step {
    float lr, rho, one_minus_rho, momentum, epsilon, decay;
    bool outside; /* epsilon is added to the root, not under it */
};
struct adam_step {
    float beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon;
    float rate;    /* lr / (1 - beta1^t) */
    float rescale; /* 1 / sqrt(1 - beta2^t) */
    float decay;   /* coupled: part of the gradient */
    float shrink;  /* decoupled: 1 - lr * decay; 1: none */
};

struct kernels {
    const char *isa; /* "sse2", "avx2", "avx512", "neon" */
    int lanes;       /* floats in a vector */

    /* A convolution is y (n,oh,ow,k) = x (n,h,w,c) * weight (+ bias (k) unless NULL): 2*n*oh*ow*k*kh*kw*c/groups
     * FLOPs. Dense, grouped and depthwise alike. A step of training may come as many calls of a few images each:
     * conv_pack() the weights once, forward and backward with them as often as wanted, conv_weight_finish() once.
     * However the images are split over calls, in their order, the result is the same bits. */
    size_t (*conv_floats)(const struct window *shape, enum conv_part part); /* n does not matter */
    void (*conv_pack)(float *packed, const float *weight, const struct window *shape,
                      enum conv_part part);
    void (*conv_forward)(float *y, const float *x, const float *packed, const float *bias,
                         const struct window *shape, float *scratch);
    /* y = act(x * weight + bias), or of (y + that), in one pass: of 1x1 windows without stride, padding and groups; act is
     * none, ReLU or ReLU6. */
    void (*conv_pointwise)(float *y, bool add, const float *x, const float *packed,
                           const float *bias, enum act act, const struct window *shape,
                           float *scratch);
    /* dx = (add: +=) conv^T(dy) */
    void (*conv_backward_input)(float *dx, bool add, const float *dy, const float *packed,
                                const struct window *shape, float *scratch);
    /* sums += x^T dy (zeroed by the caller before the first call), dbias += sum dy (dbias may be NULL) */
    void (*conv_backward_weight)(float *sums, float *dbias, const float *dy, const float *x,
                                 const struct window *shape, float *scratch);
    /* dw += what sums hold */
    void (*conv_weight_finish)(float *dw, const float *sums, const struct window *shape,
                               float *scratch);

    /* Batch norm in parts, so that a batch may come as many calls of a few images each. Training, forward:
     *     norm_begin(first images), norm_moments(every image), norm_coefficients(), norm_forward(every image)
     * and backward, g being the gradient of the output before the activation:
     *     norm_backward_begin(), norm_backward(every image, sums), norm_backward_finish(), norm_backward_input(every image)
     * `pixels` = images*h*w rows of c; of norm_coefficients() and norm_backward_finish(), of the whole batch. */
    size_t (*norm_bytes)(int c);                /* of a state */
    struct norm (*norm_at)(void *state, int c); /* a view of a state, aligned to 8 bytes */
    void (*norm_begin)(const struct norm *n, const float *x, size_t pixels);
    /* copy: NULL, or where x is copied to in passing, past the caches */
    void (*norm_moments)(const struct norm *n, float *copy, const float *x, size_t pixels);
    /* The biased variance normalises; running->mean and ->var move by momentum towards the mean and the UNBIASED variance
     * (biased when pixels is 1). gamma, beta may be NULL (not affine). */
    void (*norm_coefficients)(const struct norm *n, const float *gamma, const float *beta,
                              const struct norm_running *running, size_t pixels, float epsilon);
    /* Instead of these three: coefficients of running statistics. */
    void (*norm_infer)(const struct norm *n, const float *gamma, const float *beta,
                       const struct norm_running *running, float epsilon);
    /* y = act((x - mean) / std gamma + beta); y may be x */
    void (*norm_forward)(const struct norm *n, float *y, const float *x, enum act act,
                         size_t pixels);
    void (*norm_backward_begin)(const struct norm *n);
    /* g = dy act'(.), or g += that, or dy itself is g (act none, g NULL). sums: g is complete, take its sums. */
    void (*norm_backward)(const struct norm *n, float *g, enum norm_put put, const float *dy,
                          const float *x, enum act act, bool sums, size_t pixels);
    /* dgamma, dbeta += (NULL when not affine) */
    void (*norm_backward_finish)(const struct norm *n, float *dgamma, float *dbeta, size_t pixels);
    /* dx = (add: +=) its gradient; dx may be g */
    void (*norm_backward_input)(const struct norm *n, float *dx, bool add, const float *g,
                                const float *x, size_t pixels);

    /* A batch norm folded into a pointwise convolution in training. Forward:
     *     covariance_begin(first u), covariance_moments(every u), covariance_coefficients(),
     *     conv_pointwise(every u, weight times the norm's scale, bias: its shift)
     * and backward, of every image, with these weights:
     *     norm_backward_begin(), norm_backward_cut(dy becomes g), conv_backward_weight(g, u), conv_backward_input(g)
     * then covariance_backward_finish(), which makes dw (the sum of g and u by now) the gradient; and du += what mix and
     * offset say. Of the norm's state scale, shift and sums are used. scratch: covariance_scratch() floats. */
    size_t (*covariance_bytes)(int c, int k);                      /* of a state */
    struct covariance (*covariance_at)(void *state, int c, int k); /* a view of it */
    size_t (*covariance_scratch)(int c);
    void (*covariance_begin)(const struct covariance *v, const float *u, size_t pixels);
    void (*covariance_moments)(const struct covariance *v, const float *u, size_t pixels,
                               float *scratch);
    void (*covariance_coefficients)(const struct covariance *v, const struct norm *n,
                                    const float *weight, const float *gamma, const float *beta,
                                    const struct norm_running *running, size_t pixels,
                                    float epsilon);
    void (*covariance_backward_finish)(const struct covariance *v, const struct norm *n, float *dw,
                                       const float *weight, float *dgamma, float *dbeta,
                                       size_t pixels);
    /* g = 0 where y, the norm's output after the activation (none, ReLU or ReLU6), is at an end; takes the sums of g. */
    void (*norm_backward_cut)(const struct norm *n, float *g, const float *y, enum act act,
                              size_t pixels);

    /* y = act(x); y may be x. e^x is to 2e-7 of its size, and 87 where |x| is more. */
    void (*act_forward)(float *y, const float *x, enum act act, size_t n);
    /* dx = dy act'(x), or dx += that; x is the activation's INPUT. */
    void (*act_backward)(float *dx, bool add, const float *dy, const float *x, enum act act,
                         size_t n);

    /* y (n,pixels,c) = x (n,pixels,c) gate (n,1,c); y may be x. A gate of x's shape: pixels 1, c all values. */
    void (*mul_forward)(float *y, const float *x, const float *gate, int n, size_t pixels,
                        size_t c);
    /* dx = or += dy gate, dgate += sum over pixels of dy x; either may be NULL. Where x and gate are one array, dx and
     * dgate may be one array. */
    void (*mul_backward)(float *dx, bool add, float *dgate, const float *dy, const float *x,
                         const float *gate, int n, size_t pixels, size_t c);

    /* Rows of `width` floats, strides in floats: y = x, and y += x. Channels [a, a + width) of pixels of c: x + a, c. */
    void (*copy_rows)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                      size_t width);
    void (*add_rows)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     size_t width);
    /* Channel j groups + i of y = channel i c/groups + j of x; dx +=. */
    void (*shuffle_forward)(float *y, const float *x, size_t pixels, int c, int groups);
    void (*shuffle_backward)(float *dx, const float *dy, size_t pixels, int c, int groups);
    /* y (n,oh,ow,c) from x (n,h,w,c), area or else bilinear: see graph.h. Of shape, n, h, w, c, oh and ow count. dx +=. */
    void (*resize_forward)(float *y, const float *x, const struct window *shape, bool area);
    void (*resize_backward)(float *dx, const float *dy, const struct window *shape, bool area);

    /* argmax (n*oh*ow*c): offset of the winner (the first of equals) within the image, -1 when the window is all padding
     * (y = 0). forward: NULL when no backward will follow. */
    void (*max_pool_forward)(float *y, int32_t *argmax, const float *x, const struct window *shape);
    void (*max_pool_backward)(float *dx, const float *dy, const int32_t *argmax,
                              const struct window *shape);
    /* padding is left out of the divisor */
    void (*avg_pool_forward)(float *y, const float *x, const struct window *shape);
    void (*avg_pool_backward)(float *dx, const float *dy, const struct window *shape);
    void (*global_avg_pool_forward)(float *y, const float *x, int n, int pixels, int c);
    void (*global_avg_pool_backward)(float *dx, const float *dy, int n, int pixels, int c);

    void (*add_forward)(float *y, const float *const *x, int n_inputs, size_t n);
    void (*accumulate)(float *y, const float *x, size_t n);          /* y += x */
    void (*scale)(float *y, const float *x, float factor, size_t n); /* y = factor x; y may be x */

    /* y (rows,k) = x (rows,c) weight (c,k) + bias; OpenBLAS where it wins */
    void (*linear_forward)(float *y, const float *x, const float *weight, const float *bias,
                           int rows, int c, int k);
    void (*linear_backward)(float *dx, float *dw, float *dbias, const float *dy, const float *x,
                            const float *weight, int rows, int c,
                            int k); /* dx, dbias may be NULL */

    /* SGD with momentum as PyTorch does it: g += decay*w; v = momentum*v + g; w -= lr*(nesterov ? g + momentum*v : v) */
    void (*sgd_step)(float *w, float *velocity, const float *g, float lr, float momentum,
                     bool nesterov, float decay, size_t n);
    /* RMSProp (Tieleman, Hinton 2012) as TensorFlow's ApplyRMSProp has it, the learning rate within the momentum:
     *     g += decay*w; ms = rho*ms + (1-rho)*g*g; mom = momentum*mom + lr*g/sqrt(ms+epsilon); w -= mom
     * outside: as PyTorch has it, lr*g/(sqrt(ms)+epsilon) with lr multiplied later: w -= lr*mom */
    void (*rmsprop_step)(float *w, float *ms, float *mom, const float *g,
                         const struct rmsprop_step *how, size_t n);
    /* Adam (Kingma, Ba 2015, arXiv:1412.6980, algorithm 1) and AdamW (Loshchilov, Hutter 2019, arXiv:1711.05101), the
     * bias corrections where PyTorch has them:
     *     w *= shrink; g += decay*w; m = beta1*m + (1-beta1)*g; v = beta2*v + (1-beta2)*g*g;
     *     w -= rate * m / (sqrt(v)*rescale + epsilon) */
    void (*adam_step)(float *w, float *m, float *v, const float *g, const struct adam_step *how,
                      size_t n);
    void (*approach)(float *y, const float *x, float share, size_t n); /* y += share * (x - y) */
    double (*dot)(const float *a, const float *b, size_t n);           /* float64 sum: norms */
};

/* The best table for this processor; NASFARM_ISA=sse2|avx2|avx512 in the environment asks for a lesser one (one
 * that is unknown or absent is warned about and ignored). Never NULL. Chosen once; later calls are the same. */
const struct kernels *kernels_get(void);
/* The table of that name, or NULL when this build or this processor has none: for tests of every one present. */
const struct kernels *kernels_named(const char *isa);
/* Makes OpenBLAS take its buffer now (128 MiB of addresses, which this process and those that it forks then keep). Under a limit
 * of memory that leaves no room for it, OpenBLAS asks for it again and again, for ever: so before the limit. */
void kernels_take_buffer(void);
/* The library behind matrix products, its version, and the kind of processor that it chose its kernels for: "OpenBLAS 0.3.26
 * Haswell". Never NULL. Not from two threads at once before its first return. */
const char *kernels_library(void);
/* The names of all that this build has, whatever the processor; best first, a blank between. */
const char *kernels_built(void);

#endif
