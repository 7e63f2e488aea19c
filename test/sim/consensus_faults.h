/* sim/consensus_faults.h - what happens to the disks of simulated servers, within what a majority survives.
 *
 * A damaged disk counts as lost for ever (until it is wiped), and a wiped one is another server. A fault that would leave some
 * configuration that may still matter without a majority of whole disks does not happen. Copies are the exception: a voter that forgets may
 * meet a majority that never met what it forgot, and nobody can tell. Then, and only then, a run is excused (consensus_watch_restored).
 * A disk that was found to be set back is replaced when it is started again. */
#ifndef SIM_CONSENSUS_FAULTS_H
#define SIM_CONSENSUS_FAULTS_H

#include "sim/consensus_mesh.h"
#include "sim/sim_fault.h"

enum consensus_fault {
    CONSENSUS_FAULT_WIPE,    /* the disk is lost, the host comes back with an empty one */
    CONSENSUS_FAULT_FLIP,    /* bits at rest */
    CONSENSUS_FAULT_ZERO,    /* a sector at rest */
    CONSENSUS_FAULT_SYNC,    /* a sync fails */
    CONSENSUS_FAULT_WRITE,   /* a write fails */
    CONSENSUS_FAULT_READ,    /* a read fails */
    CONSENSUS_FAULT_FULL,    /* no space is left for a while */
    CONSENSUS_FAULT_RESTORE, /* the disk is set back to a copy */
    CONSENSUS_FAULT_COPY,    /* there are two copies of it, that run in turns */
    CONSENSUS_FAULT_KINDS,
};

#define CONSENSUS_CHANGES_MAX 64

struct consensus_faults {
    struct consensus_mesh *mesh;
    uint32_t kinds; /* 1 << each that may happen */
    /* Configurations that were proposed, and the index at which what became of them is known. */
    struct {
        struct raft_config config;
        uint64_t index;
    } changes[CONSENSUS_CHANGES_MAX];
    uint32_t change_count;
    bool is_backed_up[CONSENSUS_HOSTS_MAX];
};

void consensus_faults_reset(struct consensus_faults *faults, struct consensus_mesh *mesh, uint32_t kinds);
void consensus_faults_apply(struct consensus_faults *faults, const struct sim_fault *fault, bool is_begin);

/* Every disk works again; who fell silent or could not start on what it has is started anew, if need be with an empty disk. */
void consensus_faults_heal(struct consensus_faults *faults, uint32_t host);

/* This was proposed: it matters until something is committed at its index. */
void consensus_faults_note_change(struct consensus_faults *faults, const struct raft_config *config, uint64_t index);

/* Whether most voters of it have their disks, whole, leaving out the host `without` (CONSENSUS_NOBODY: none). */
bool consensus_faults_survive(struct consensus_faults *faults, const struct raft_config *config, uint32_t without);

/* The same for every configuration that may still matter. */
bool consensus_faults_survive_all(struct consensus_faults *faults, uint32_t without);

/* Calls each() for every configuration that may still matter; stops when it says false, and returns that. */
bool consensus_faults_each_config(struct consensus_faults *faults, bool (*each)(void *user, const struct raft_config *config),
                                  void *user);

#endif
