/* sim/founding_program.h - a broker's first boot on a simulated host: the thin driver around replication/founding, with its
 * identity and DIR/founding on the host's disk and a disk lane that takes its time.
 *
 * Datagrams stand for links; a sender and a sum over all stand for the seal, so that damaged ones are dropped, as in the product. */
#ifndef SIM_FOUNDING_PROGRAM_H
#define SIM_FOUNDING_PROGRAM_H

#include "replication/founding/founding.h"
#include "replication/founding/switches.h"
#include "sim/sim.h"

#define FOUNDING_SEEDS_OF_HOST 16

struct founding_process;

/* What a host is told before it starts, and its second place; belongs to the world. */
struct founding_config {
    struct founding_options options; /* identity, address and chance are filled in at each start */
    uint64_t defects;                /* enum founding_defect, 1 << each */
    uint64_t disk_us;                /* a store waits so long for its turn, at most */
    struct net_address seeds[FOUNDING_SEEDS_OF_HOST];
    size_t seed_count;
    struct uuid marker; /* in the second place: no fault reaches it */
    void (*started)(void *user, struct sim_host *host, struct founding_process *process); /* may be NULL, as the next */
    void (*output)(void *user, struct sim_host *host, struct founding_process *process, const struct founding_output *output);
    void *user;
};

extern const struct sim_program founding_program; /* its context: a struct founding_config */

struct founding *founding_process_core(struct founding_process *process);
const struct raft_server *founding_process_server(const struct founding_process *process);

/* The world acted on the core: carry out what it wants done. */
void founding_process_drain(struct founding_process *process);

/* The host whose disk made this uuid: of a broker, a disk, a mesh. */
uint32_t founding_host_of(const struct uuid *uuid);

#endif
