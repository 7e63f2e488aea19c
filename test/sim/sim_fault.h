/* sim/sim_fault.h - what goes wrong in a run, as a list: each entry is complete in itself (when, how long, what,
 * where), so that any subset of a list is a list too. That is how a failing run is shrunk and told. */
#ifndef SIM_SIM_FAULT_H
#define SIM_SIM_FAULT_H

#include "sim/sim.h"

/* X(NAME, "name", kinds of numbers: what a, b and value mean) */
#define SIM_FAULT_MAP(X)                                                                                     \
    X(LOSS, "loss", "value: chance in millionths")                                                           \
    X(DUPLICATE, "duplicate", "value: chance")                                                               \
    X(REPLAY, "replay", "value: chance")                                                                     \
    X(REORDER, "reorder", "value: chance")                                                                   \
    X(FLIP, "flip", "value: chance that a packet has a wrong bit")                                           \
    X(DELAY, "delay", "value: mean of the exponential delay, us")                                            \
    X(CLOG, "clog", "from a to b: everything comes when it ends")                                            \
    X(UDP_CUT, "udp-cut", "a sends and receives no datagrams")                                               \
    X(TCP_CUT, "tcp-cut", "a has no streams")                                                                \
    X(PARTITION, "partition", "two sides, drawn from value")                                                 \
    X(ONE_WAY, "one-way", "one of two sides, drawn from value, does not reach the other")                    \
    X(LINK, "link", "a and b do not reach each other")                                                       \
    X(ISOLATE, "isolate", "a is alone")                                                                      \
    X(CHAIN, "chain", "only neighbours in the order of numbers reach each other")                            \
    X(MTU, "mtu", "from a to b nothing larger than value")                                                   \
    X(STREAM_RESET, "stream-reset", "streams between a and b are reset")                                     \
    X(KILL, "kill", "the process of a, at its output number value; b: the disk it comes back with")          \
    X(POWER, "power", "the host a, as kill")                                                                 \
    X(BACKUP, "backup", "the disk of a is copied")                                                           \
    X(PAUSE, "pause", "the process of a")                                                                    \
    X(SUSPEND, "suspend", "the host a, and its clock stands still: a virtual machine is stopped")            \
    X(BLOCK, "block", "input and output of a wait")                                                          \
    X(DRIFT, "drift", "the clock of a, by value ppm, less half the range")                                   \
    X(SLACK, "slack", "timers of a are late by up to value us")                                              \
    X(WALL, "wall", "the wall clock of a jumps by value seconds, less half the range")                       \
    X(READDRESS, "readdress", "a goes and comes back with another address")                                  \
    X(SWAP, "swap", "a and b go and come back with each other's address")                                    \
    X(WORLD, "world", "what the world makes of it")                                                          \
    X(SLEEP, "sleep", "the host a, and its clock goes on: a machine is suspended, CLOCK_BOOTTIME")

enum sim_fault_kind {
#define SIM_FAULT_ENUM(NAME, name, meaning) SIM_FAULT_##NAME,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_KINDS
};

enum sim_fault_disk { SIM_FAULT_DISK_OLD, SIM_FAULT_DISK_WIPED, SIM_FAULT_DISK_RESTORED };

struct sim_fault {
    uint64_t at_us, for_us;
    enum sim_fault_kind kind;
    uint32_t a, b;
    uint64_t value;
};

const char *sim_fault_name(enum sim_fault_kind kind);
void sim_fault_format(const struct sim_fault *fault, char *to, size_t size);

/* Carries out a list of faults in a run. */
struct sim_faults;
typedef void sim_fault_world_fn(void *world, const struct sim_fault *fault, bool is_begin);

struct sim_faults *sim_faults_new(void);
void sim_faults_free(struct sim_faults *faults); /* accepts NULL */

/* Schedules the faults i of the list for which keep[i] (NULL: all). The list stays valid while the run goes on. */
void sim_faults_schedule(struct sim_faults *faults, struct sim *sim, const struct sim_fault *list, const bool *keep,
                         size_t count, sim_fault_world_fn *apply, void *world);

#endif
