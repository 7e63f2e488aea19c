/* sim/toy_world.h - a small protocol to test the kernel with: every process keeps a boot counter on its disk, greets
 * the others ten times a second, and sends numbered bytes to its neighbour over a stream. It remembers, on purpose,
 * the greeting that came last instead of the one of the latest boot: a bug for the simulator to find. */
#ifndef SIM_TOY_WORLD_H
#define SIM_TOY_WORLD_H

#include "sim/sim_world.h"

#define TOY_HOSTS_MAX 16

struct toy {
    struct sim_host *host;
    uint32_t boot;
    uint32_t heard_boots[TOY_HOSTS_MAX]; /* of the greeting that came last */
    uint64_t greetings, timers, bytes_in_order, opened, refused, resets, closed, timeouts, unreachable, latest_us;
    uint64_t stream, sent;    /* ours, to the neighbour */
    uint64_t inbound, expected; /* the neighbour's, to us */
};

extern const struct sim_world toy_world;         /* with the bug */
extern const struct sim_world toy_world_correct; /* without */
extern const struct sim_program toy_program;     /* its context: NULL, or "" for the bug */

#endif
