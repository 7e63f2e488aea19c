#include "sim/sim_random.h"

#include <string.h>

uint64_t sim_random_seed(uint64_t seed, uint64_t domain)
{
    uint64_t z = sim_mix(seed ^ 0x6d6573682073696du, domain + 1);

    return sim_mix(z, seed);
}

bool sim_random_chance(struct random *random, uint32_t ppm)
{
    return ppm != 0 && random_below(random, 1000000) < ppm;
}

uint64_t sim_random_between(struct random *random, uint64_t low, uint64_t high)
{
    return low + random_below(random, high - low + 1);
}

/* -ln(x) for x in (0, 1], both in units of 2^-32: x is 2^-k * m with m in [1, 2), and ln m comes from the series
 * of the inverse hyperbolic tangent, of which four terms give more than twenty bits. */
static uint64_t minus_log(uint32_t x)
{
    static const uint64_t ln2 = 2977044472u; /* ln 2 * 2^32 */
    unsigned k = (unsigned)__builtin_clz(x);
    uint64_t m = (uint64_t)x << (k + 1); /* [2^32, 2^33) */
    uint64_t y = ((m - (1ull << 32)) << 31) / ((m + (1ull << 32)) >> 1); /* (m - 1) / (m + 1), below 1/3 */
    uint64_t y2 = (y * y) >> 32, term = y, sum = y;

    for (unsigned i = 3; i <= 9; i += 2) {
        term = (term * y2) >> 32;
        sum += term / i;
    }
    return (k + 1) * ln2 - 2 * sum;
}

uint64_t sim_random_exponential(struct random *random, uint64_t mean)
{
    uint32_t x = (uint32_t)(random_next(random) >> 32);

    return (uint64_t)(((unsigned __int128)minus_log(x | 1) * mean) >> 32);
}

uint64_t sim_hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *from = data;
    uint64_t word;

    hash = sim_mix(hash, size);
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
