#include "sim/sim_random.h"

#include <string.h>

uint64_t sim_random_seed(uint64_t seed, uint64_t domain)
{
    uint64_t z = sim_mix(seed ^ 0x6d6573682073696du, domain + 1);

    return sim_mix(z, seed);
}

uint64_t sim_random_between(struct random *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

/* -ln(x / 2^32), x > 0. x is 2^-k * m with m in [1, 2), and ln m is twice the inverse hyperbolic tangent of
 * (m - 1) / (m + 1), whose series has more than twenty good bits after five terms. Only operations that IEEE 754 defines
 * to the last bit, unlike log(): the same on every machine. */
static double minus_log(uint32_t x)
{
    static const double ln2 = 0.69314718055994531;
    unsigned k = (unsigned)__builtin_clz(x);
    double m = (double)((uint64_t)x << (k + 1)) * 0x1p-32;
    double y = (m - 1) / (m + 1), y2 = y * y;
    double sum = 1 + y2 * (1.0 / 3 + y2 * (1.0 / 5 + y2 * (1.0 / 7 + y2 * (1.0 / 9))));

    return (k + 1) * ln2 - 2 * y * sum;
}

uint64_t sim_random_exponential(struct random *random, uint64_t mean)
{
    uint32_t x = (uint32_t)(random_next(random) >> 32);

    return (uint64_t)(minus_log(x | 1) * (double)mean);
}

/* Whole groups of four words, each lane for itself, so that no multiplication waits for the one before it. */
static uint64_t hash_lanes(uint64_t hash, const uint8_t *from, size_t groups)
{
    uint64_t a = hash, b = hash + 1, c = hash + 2, d = hash + 3, words[4];

    for (; groups > 0; groups--, from += sizeof(words)) {
        memcpy(words, from, sizeof(words));
        a = sim_mix(a, words[0]);
        b = sim_mix(b, words[1]);
        c = sim_mix(c, words[2]);
        d = sim_mix(d, words[3]);
    }
    return sim_mix(sim_mix(a, b) ^ c, d);
}

uint64_t sim_hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *from = data;
    uint64_t word;

    hash = sim_mix(hash, size);
    if (size >= 32) {
        hash = hash_lanes(hash, from, size / 32);
        from += size & ~(size_t)31;
        size &= 31;
    }
    for (; size >= 8; from += 8, size -= 8) {
        memcpy(&word, from, 8);
        hash = sim_mix(hash, word);
    }
    if (size > 0) {
        word = 0;
        memcpy(&word, from, size);
        hash = sim_mix(hash, word);
    }
    return hash;
}
