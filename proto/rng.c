/* rng.c - see rng.h. */
#include "rng.h"

#include <math.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

uint64_t rng_mix(uint64_t a, uint64_t b)
{
    uint64_t state = a;
    uint64_t mixed = splitmix(&state) ^ b;

    return splitmix(&mixed);
}

void rng_seed(struct rng *self, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        self->s[i] = splitmix(&seed);
}

void rng_seed_named(struct rng *self, uint64_t seed, const char *name)
{
    uint64_t hash = 0xcbf29ce484222325ull; /* FNV-1a, then mixed */

    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
        hash = (hash ^ *p) * 0x100000001b3ull;
    rng_seed(self, rng_mix(seed, hash));
}

static uint64_t rotl(uint64_t x, int k)
{
    return (x << k) | (x >> (64 - k));
}

uint64_t rng_u64(struct rng *self)
{
    uint64_t *s = self->s;
    uint64_t out = rotl(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

uint64_t rng_below(struct rng *self, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)rng_u64(self) * n;
    uint64_t low = (uint64_t)product;

    if (low < n) {
        uint64_t floor = (0 - n) % n; /* 2^64 mod n: what would make small values likelier */

        while (low < floor) {
            product = (wide)rng_u64(self) * n;
            low = (uint64_t)product;
        }
    }
    return (uint64_t)(product >> 64);
}

double rng_uniform(struct rng *self)
{
    return (double)(rng_u64(self) >> 11) * 0x1.0p-53;
}

double rng_normal(struct rng *self)
{
    double u, v, r;

    do {
        u = 2 * rng_uniform(self) - 1;
        v = 2 * rng_uniform(self) - 1;
        r = u * u + v * v;
    } while (r >= 1 || r == 0);
    return u * sqrt(-2 * log(r) / r);
}

/* The logarithm of a Gamma(alpha, 1) variate. Below 1 by way of alpha + 1, as the paper says. */
static double log_gamma_variate(struct rng *self, double alpha)
{
    double boost = alpha < 1 ? log(1 - rng_uniform(self)) / alpha : 0;
    double d = (alpha < 1 ? alpha + 1 : alpha) - 1.0 / 3, c = 1 / sqrt(9 * d), x, v;

    do {
        do {
            x = rng_normal(self);
            v = 1 + c * x;
        } while (v <= 0);
        v = v * v * v;
    } while (log(1 - rng_uniform(self)) >= 0.5 * x * x + d - d * v + d * log(v));
    return boost + log(d * v);
}

double rng_beta(struct rng *self, double alpha)
{
    double a = log_gamma_variate(self, alpha), b = log_gamma_variate(self, alpha);

    return 1 / (1 + exp(b - a));
}

void rng_shuffle_u32(struct rng *self, uint32_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)rng_below(self, i);
        uint32_t swap = items[i - 1];

        items[i - 1] = items[j];
        items[j] = swap;
    }
}
