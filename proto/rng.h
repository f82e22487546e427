/* rng.h - the one random number generator: seeded, small, the same on every machine.
 *
 * It is:     xoshiro256** (Blackman, Vigna 2018) seeded by splitmix64; the whole state is four words,
 *            so that it can be saved and continued.
 * It is not: for keys or nonces that an enemy must not guess (libsodium is).
 */
#ifndef NASFARM_RNG_H
#define NASFARM_RNG_H

#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t s[4];
};

/* Any seed is good, 0 included. */
void rng_seed(struct rng *self, uint64_t seed);
/* An independent stream for one name under one seed: "stem.weight" draws the same numbers
 * whatever else is drawn, and in whatever order. */
void rng_seed_named(struct rng *self, uint64_t seed, const char *name);
/* 64 random bits. */
uint64_t rng_u64(struct rng *self);
/* Uniform in 0 .. n-1, without bias (Lemire's method). n at least 1. */
uint64_t rng_below(struct rng *self, uint64_t n);
/* Uniform in [0, 1), 53 bits. */
double rng_uniform(struct rng *self);
/* Standard normal: polar Box-Muller without a kept spare, so that the state is all there is. */
double rng_normal(struct rng *self);
/* Beta(alpha, alpha), alpha above 0: in [0, 1]. Two gamma variates by Marsaglia and Tsang (2000), compared by their
 * logarithms, so that a small alpha gives 0 or 1 and not 0/0. */
double rng_beta(struct rng *self, double alpha);
/* Fisher-Yates. */
void rng_shuffle_u32(struct rng *self, uint32_t *items, size_t n);
/* Mixes two words into a new seed; not commutative. */
uint64_t rng_mix(uint64_t a, uint64_t b);

#endif
