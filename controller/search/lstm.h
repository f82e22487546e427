/* lstm.h - one layer of long short-term memory (S. Hochreiter, J. Schmidhuber 1997), one sequence, step by step.
 *
 * H units; inputs x (H), states h (H) and c (H); weights w (2H + 1, 4H): rows for x, for h and one of biases; columns for the
 * gates i, f, g, o in this order.
 *   (i, f, o) = sigmoid, g = tanh of (x, h, 1) w;   c' = f c + i g;   h' = o tanh(c')
 * Plain loops over outputs: each sum is made in one order, so every machine has the same bits.
 */
#ifndef NASFARM_LSTM_H
#define NASFARM_LSTM_H

#include <stddef.h>
#include <stdint.h>

/* One step as it was, for the way back. Arrays of H, gates of 4H. */
struct lstm_step {
    float *x, *gates, *c, *h;
};

/* The number of weights of H units. */
size_t lstm_weights(uint32_t H);
/* Fills now->gates, c, h from now->x and the step before. */
void lstm_forward(uint32_t H, const float *w, const struct lstm_step *before,
                  const struct lstm_step *now);
/* Adds to dw. dh and dc (H) are the gradients at now->h and now->c; they become those at before->h and before->c.
 * dx (H) is overwritten; dz (4H) is scratch. */
void lstm_backward(uint32_t H, const float *w, float *dw, const struct lstm_step *before,
                   const struct lstm_step *now, float *dh, float *dc, float *dx, float *dz);

#endif
