/* sim/metadata_mesh.h - simulated brokers' metadata with their observer and clients, and what happens to their disks: what the world and the
 * stories share. */
#ifndef SIM_METADATA_MESH_H
#define SIM_METADATA_MESH_H

#include "sim/metadata_watch.h"
#include "sim/sim_fault.h"
#include "sim/sim_net.h"

#define METADATA_NOBODY UINT32_MAX

/* Within what a majority survives: a damaged disk counts as lost until it is wiped, and one that is wiped is another server. */
enum metadata_fault {
    METADATA_FAULT_WIPE,  /* the disk is lost, the broker comes back blank */
    METADATA_FAULT_FLIP,  /* bits of the metadata log, at rest */
    METADATA_FAULT_SYNC,  /* a sync fails */
    METADATA_FAULT_WRITE, /* a write fails */
    METADATA_FAULT_FULL,  /* no space is left for a while */
    METADATA_FAULT_LEAVE, /* an orderly stop */
    METADATA_FAULT_KINDS,
};

struct metadata_mesh {
    struct sim *sim; /* borrowed */
    struct metadata_watch *watch;
    struct metadata_clients clients;
    struct metadata_config config;
    bool (*may_lose)(void *user, uint32_t host); /* besides metadata_mesh_survives(): may this disk go? NULL: yes */
    void *user;
    bool is_stuck[CONSENSUS_HOSTS_MAX]; /* its disk failed under it: it is silent until it is started anew */
};

void metadata_mesh_init(struct metadata_mesh *mesh, struct sim *sim);
void metadata_mesh_deinit(struct metadata_mesh *mesh);

/* After sim_reset(): every host gets the program, none runs. The first `founders` hosts found; config may be changed now. */
void metadata_mesh_reset(struct metadata_mesh *mesh, uint32_t founders);

struct metadata_process *metadata_mesh_process(struct metadata_mesh *mesh, uint32_t host); /* NULL: none runs */
struct node_status metadata_mesh_status(struct metadata_mesh *mesh, uint32_t host);        /* of one that runs */
struct raft_server metadata_mesh_server(const struct metadata_mesh *mesh, uint32_t host);  /* on its present disk */
uint32_t metadata_mesh_coordinator(struct metadata_mesh *mesh);                            /* of the highest term; METADATA_NOBODY: none */

void metadata_mesh_wipe(struct metadata_mesh *mesh, uint32_t host); /* of one that does not run */
void metadata_mesh_flip(struct metadata_mesh *mesh, uint32_t host, const char *prefix, struct random *random); /* a bit of a file whose path begins so */

/* Whether a majority of whole disks is left in every configuration that may count, without this host's. */
bool metadata_mesh_survives(struct metadata_mesh *mesh, uint32_t without);

void metadata_mesh_fault(struct metadata_mesh *mesh, uint32_t kinds, const struct sim_fault *fault, bool is_begin); /* 1 << each kind that may happen */

/* Its disk works again; who cannot start on what it has is started on an empty one. */
void metadata_mesh_heal(struct metadata_mesh *mesh, uint32_t host);

/* Why the brokers that run, of those for which `is_meant` (NULL: all) says so, are not as they are to be: registered, not fenced, all with the
 * newest metadata. NULL: they are. */
void metadata_mesh_trace(struct metadata_mesh *mesh); /* a line for each that runs */
const char *metadata_mesh_unrest(struct metadata_mesh *mesh, bool (*is_meant)(void *user, uint32_t host), void *user);

#endif
