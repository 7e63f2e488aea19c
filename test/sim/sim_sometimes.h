/* sim/sim_sometimes.h - states that a good set of runs must reach. SIM_SOMETIMES("an accusation was refuted") counts
 * each time it is passed; a long run fails when one of the sites in the program was never reached, because a test
 * that never meets a state proves nothing about it. */
#ifndef SIM_SIM_SOMETIMES_H
#define SIM_SIM_SOMETIMES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct sim_sometimes {
    const char *text, *file;
    uint64_t count; /* atomic: runs share it over threads */
};

#define SIM_SOMETIMES(what)                                                                                  \
    do {                                                                                                     \
        static struct sim_sometimes site = {what, __FILE__, 0};                                              \
        static struct sim_sometimes *const listed __attribute__((section("sim_sometimes"), used)) = &site;   \
        (void)listed;                                                                                        \
        __atomic_fetch_add(&site.count, 1, __ATOMIC_RELAXED);                                                \
    } while (0)

#define SIM_SOMETIMES_IF(condition, what)                                                                    \
    do {                                                                                                     \
        if (condition) SIM_SOMETIMES(what);                                                                  \
    } while (0)

void sim_sometimes_reset(void);

/* Writes the table of the sites in files whose names begin with one of these (NULL ends the list; a world names its own, and the
 * kernel's when it uses all of it); returns how many of them were never reached. */
unsigned sim_sometimes_print(FILE *to, const char *const *files);

/* How often; 0 also when there is no such site. */
uint64_t sim_sometimes_count(const char *what);

#endif
