/* sim/gossip_mesh.h - a mesh for scenarios and figures: brokers that have joined, to which things are then done one by
 * one, without a plan. */
#ifndef SIM_GOSSIP_MESH_H
#define SIM_GOSSIP_MESH_H

#include "sim/gossip_program.h"
#include "sim/gossip_watch.h"
#include "sim/sim_net.h"

struct gossip_mesh {
    struct sim *sim;
    struct gossip_watch *watch;
    uint32_t size;
    struct gossip_config config;            /* of all, but for those below */
    struct gossip_config odd;               /* of the odd one */
    uint32_t odd_host;                      /* UINT32_MAX: none */
    bool is_quick;                          /* without the observer */
};

void gossip_mesh_init(struct gossip_mesh *mesh);
void gossip_mesh_deinit(struct gossip_mesh *mesh);

/* Hosts are there, none runs. config is reset to the defaults, with host 0 as the seed. */
void gossip_mesh_reset(struct gossip_mesh *mesh, uint64_t seed, uint32_t size);
void gossip_mesh_start(struct gossip_mesh *mesh, uint32_t host);

/* Starts all and waits until all agree. False: they do not within two minutes. */
bool gossip_mesh_join(struct gossip_mesh *mesh);

void gossip_mesh_run(struct gossip_mesh *mesh, uint64_t us);
struct sim_host *gossip_mesh_host(struct gossip_mesh *mesh, uint32_t host);
struct gossip *gossip_mesh_core(struct gossip_mesh *mesh, uint32_t host); /* NULL: it does not run */

/* What `host` holds `subject` to be; GOSSIP_LEFT + 1: nothing. Their present identities, or the last. */
int gossip_mesh_state(struct gossip_mesh *mesh, uint32_t host, const struct uuid *subject);
struct uuid gossip_mesh_id(struct gossip_mesh *mesh, uint32_t host); /* of one that runs */

/* All that run hold all that run, and nobody else, alive, with equal tables. */
bool gossip_mesh_agrees(struct gossip_mesh *mesh);
bool gossip_mesh_soft_agrees(struct gossip_mesh *mesh);

/* Runs until it is so, looking every step_us; returns how long that took, or SIM_NEVER. */
uint64_t gossip_mesh_run_until_agreed(struct gossip_mesh *mesh, uint64_t step_us, uint64_t most_us);

/* How many of those that run hold `subject` dead or left. */
uint32_t gossip_mesh_gone_count(struct gossip_mesh *mesh, const struct uuid *subject);
uint64_t gossip_mesh_suspicions(struct gossip_mesh *mesh); /* raised by all that run */

#endif
