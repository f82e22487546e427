/* efficientnet.h - EfficientNet's base network at any scale: what the space and B0 to B7 are made of.
 *
 * M. Tan, Q. Le, EfficientNet, arXiv:1905.11946.
 */
#ifndef NASFARM_EFFICIENTNET_H
#define NASFARM_EFFICIENTNET_H

#include "mbconv.h"

/* Stem, blocks and head: channels times width to the nearest multiple of 8, blocks a stage times depth rounded up. What the
 * image, dropout and drop-path concern is the caller's. */
void efficientnet_chain(double width, double depth, struct mbnet *out);

#endif
