/* base/random.h - a small, fast, seedable generator (xoshiro256**, Blackman and Vigna 2018) for jitter and tests,
 * and bytes from the operating system for identities. The generator is not for secrets. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_init(struct random *random, uint64_t seed);
uint64_t random_next(struct random *random);

/* Uniform in [0, limit); limit > 0. */
uint64_t random_below(struct random *random, uint64_t limit);

/* Uniform in [0, 1). */
double random_unit(struct random *random);

/* size bytes from getrandom(2). Aborts when the kernel has none to give, which it never refuses after boot. */
void random_system_bytes(void *to, size_t size);

#endif
