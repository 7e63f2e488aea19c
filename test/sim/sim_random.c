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

/* Two words at once: the halves of a product of 128 bits, so that each bit of either word reaches every bit of the result. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)(a ^ 0x9fb21c651e98df25u) * (b ^ 0xa0761d6478bd642fu);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t word_at(const uint8_t *from)
{
    uint64_t word;

    memcpy(&word, from, sizeof(word));
    return word;
}

/* Up to 16 bytes; of 8 and more the two words overlap. */
static uint64_t hash_rest(uint64_t hash, const uint8_t *from, size_t size)
{
    uint64_t word = 0;

    if (size >= 8) return fold(word_at(from) ^ hash, word_at(from + size - 8));
    if (size > 0) memcpy(&word, from, size);
    return fold(word ^ hash, size);
}

uint64_t sim_hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *from = data;
    uint64_t other;

    hash = sim_mix(hash, size);
    if (size > 32) { /* two lanes, so that no multiplication waits for the one before it */
        for (other = hash + 1; size > 32; from += 32, size -= 32) {
            hash = fold(word_at(from) ^ hash, word_at(from + 8));
            other = fold(word_at(from + 16) ^ other, word_at(from + 24));
        }
        hash ^= other;
    }
    for (; size > 16; from += 16, size -= 16)
        hash = fold(word_at(from) ^ hash, word_at(from + 8));
    return hash_rest(hash, from, size);
}
