/* sim/consensus_mesh.h - servers of consensus with their observer and clients: what the world, the scenarios and the figures share. */
#ifndef SIM_CONSENSUS_MESH_H
#define SIM_CONSENSUS_MESH_H

#include "sim/consensus_clients.h"
#include "sim/sim_net.h"

#define CONSENSUS_NOBODY UINT32_MAX

struct consensus_mesh {
    struct sim *sim; /* borrowed */
    struct consensus_watch *watch;
    struct consensus_clients clients;
    struct consensus_config config;
    int refused[CONSENSUS_HOSTS_MAX]; /* why the store did not open; 0: it did */
    bool is_cut_off[CONSENSUS_HOSTS_MAX]; /* nobody waits for it (nor for what it says) */
    bool has_failed[CONSENSUS_HOSTS_MAX]; /* its disk failed under it: it is silent until it is started anew */
};

void consensus_mesh_init(struct consensus_mesh *mesh, struct sim *sim);
void consensus_mesh_deinit(struct consensus_mesh *mesh);

/* After sim_reset(): every host gets the program, none runs. The first `voters` hosts found; config may be changed now. */
void consensus_mesh_reset(struct consensus_mesh *mesh, uint32_t voters, bool is_watched);
void consensus_mesh_start_all(struct consensus_mesh *mesh);

struct consensus_process *consensus_mesh_process(struct consensus_mesh *mesh, uint32_t host); /* NULL: none runs */
struct raft *consensus_mesh_raft(struct consensus_mesh *mesh, uint32_t host);
struct raft_status consensus_mesh_status(struct consensus_mesh *mesh, uint32_t host); /* of one that runs */
struct raft_server consensus_mesh_server(const struct consensus_mesh *mesh, uint32_t host); /* on its present disk */

/* It runs, and knows that its disk was set back: it takes part no more. */
bool consensus_mesh_is_set_back(struct consensus_mesh *mesh, uint32_t host);

/* The host's disk is lost and replaced by an empty one: it is another server then. The host does not run. */
void consensus_mesh_wipe(struct consensus_mesh *mesh, uint32_t host);

/* Who leads, with its first entry committed; CONSENSUS_NOBODY: nobody. */
uint32_t consensus_mesh_leader(struct consensus_mesh *mesh);

/* Changes the configuration by the leader on `host`, or by any if it is CONSENSUS_NOBODY. 0 or an error. */
int consensus_mesh_change(struct consensus_mesh *mesh, uint32_t host, const struct raft_config *config);

void consensus_mesh_run(struct consensus_mesh *mesh, uint64_t us);

/* Runs until somebody leads; returns the host, or CONSENSUS_NOBODY after most_us. */
uint32_t consensus_mesh_await_leader(struct consensus_mesh *mesh, uint64_t most_us);

/* Runs until all members that run hold the same log, and have applied it. False: not within most_us. */
bool consensus_mesh_await_agreement(struct consensus_mesh *mesh, uint64_t most_us);

/* Why they do not agree; NULL: they do. */
const char *consensus_mesh_disagreement(struct consensus_mesh *mesh);

#endif
