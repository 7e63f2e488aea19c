/* sim/sim_random.h - chance, one stream for each cause: what one fault draws does not shift what another draws. */
#ifndef SIM_SIM_RANDOM_H
#define SIM_SIM_RANDOM_H

#include "base/random.h"

#include <stdbool.h>

enum sim_random_domain {
    SIM_RANDOM_SWARM,   /* which faults, how strong, how many hosts */
    SIM_RANDOM_NEMESIS, /* when and where faults strike */
    SIM_RANDOM_WORKLOAD,
    SIM_RANDOM_LOSS,
    SIM_RANDOM_DELAY,
    SIM_RANDOM_DUPLICATE,
    SIM_RANDOM_REPLAY,
    SIM_RANDOM_REORDER,
    SIM_RANDOM_FLIP,
    SIM_RANDOM_STREAM,
    SIM_RANDOM_PROCESS,
    SIM_RANDOM_CLOCK,
    SIM_RANDOM_DISK,
    SIM_RANDOM_WORLD, /* what a world draws besides */
    SIM_RANDOM_HOSTS, /* and one stream for each host, from here on */
};

/* The seed of one stream; `domain` may be SIM_RANDOM_HOSTS + host. */
uint64_t sim_random_seed(uint64_t seed, uint64_t domain);

/* True in `ppm` of a million draws. Draws nothing when ppm is 0. */
static inline bool sim_random_chance(struct random *random, uint32_t ppm)
{
    return ppm != 0 && random_below(random, 1000000) < ppm;
}

/* Uniform in [low, high]. */
uint64_t sim_random_between(struct random *random, uint64_t low, uint64_t high);

/* Exponentially distributed with this mean; alike on every machine. */
uint64_t sim_random_exponential(struct random *random, uint64_t mean);

/* A mixing step for hashes of events. */
static inline uint64_t sim_mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9fb21c651e98df25u;
    return hash ^ (hash >> 32);
}
uint64_t sim_hash_bytes(uint64_t hash, const void *data, size_t size);

#endif
