/* sim/consensus_program.h - a server of consensus on a simulated host: the thin driver around replication/consensus/raft.h and its
 * store, over simulated streams, disk and time, with a small state machine above it. */
#ifndef SIM_CONSENSUS_PROGRAM_H
#define SIM_CONSENSUS_PROGRAM_H

#include "sim/consensus_lane.h"
#include "sim/consensus_link.h"
#include "sim/consensus_machine.h"

struct consensus_process;

#define CONSENSUS_SET_BACK MESH_ESTORAGE /* why a server does not start: its disk was found to be set back in its last life */

/* What the world wants to know; each may be NULL. */
struct consensus_hooks {
    void (*started)(void *user, struct consensus_process *process, const struct raft_recovered *recovered,
                    const struct raft_store_report *report);
    void (*refused)(void *user, struct sim_host *host, int error, const char *message); /* the store did not open */
    void (*output)(void *user, struct consensus_process *process, const struct raft_output *output); /* before it is carried out */
    void (*applying)(void *user, struct consensus_process *process, const struct raft_entry *entry);
    void (*applied)(void *user, struct consensus_process *process); /* the machine is one entry further, or restored */
    void (*doing)(void *user, struct consensus_process *process, const struct consensus_job *job, bool is_done);
    /* A read may be served, from a state of `index` or later; 0: it was lost. */
    void (*read)(void *user, struct consensus_process *process, uint64_t context, uint64_t index);
    void (*failed)(void *user, struct consensus_process *process, int error); /* its disk; it is silent from now on */
    void (*stopping)(void *user, struct consensus_process *process);
};

/* Mistakes that a driver could make (PROTOCOLS 4.2). */
enum consensus_driver_defect {
    CONSENSUS_DRIVER_INDEX_APART = 1, /* 28: a snapshot's position is kept apart from its state, and lags behind it */
};

/* What hosts are told before they start; belongs to the world. */
struct consensus_config {
    struct raft_options options; /* self, seed and chain are filled in */
    uint64_t core_defects, store_defects; /* 1 << each of switches.h */
    unsigned driver_defects;
    uint64_t disk_min_us, disk_mean_us; /* how long a store takes */
    uint32_t snapshot_every;            /* applied entries; 0: no snapshots */
    uint32_t snapshot_padding;
    struct consensus_mail_faults mail;
    uint32_t generations[CONSENSUS_HOSTS_MAX]; /* of the host's disk: what it is called when it is fresh */
    struct raft_config founders;               /* no voter: nobody founds */
    const struct consensus_hooks *hooks;
    void *user;
};

extern const struct sim_program consensus_program; /* its context: a struct consensus_config */

/* The server on a host's disk of this generation. */
struct raft_server consensus_server(uint32_t host, uint32_t generation);
uint32_t consensus_generation_of(const struct uuid *dir);

struct sim_host *consensus_process_host(const struct consensus_process *process);
struct raft *consensus_process_raft(struct consensus_process *process);
const struct raft_server *consensus_process_self(const struct consensus_process *process);
const struct consensus_machine *consensus_process_machine(const struct consensus_process *process);
int consensus_process_error(const struct consensus_process *process); /* of the store; 0: none */
uint64_t consensus_process_sent(const struct consensus_process *process); /* messages */

/* The world acted on the core: carry out what it wants done. */
void consensus_process_drain(struct consensus_process *process);

/* The same, within a turn that goes on: what is sent leaves at its end, with consensus_process_drain(). */
void consensus_process_drain_more(struct consensus_process *process);

/* A snapshot now, if there is anything to be taken. */
void consensus_process_snapshot(struct consensus_process *process);

#endif
