/* sim/consensus_lane.h - the disk thread of a simulated server: what is to be stored waits in order, is done some time later, and its
 * end is told some time after that. A crash in between loses what was not done, or only the news of it. */
#ifndef SIM_CONSENSUS_LANE_H
#define SIM_CONSENSUS_LANE_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/consensus/store.h"
#include "sim/sim.h"

enum consensus_job_type {
    CONSENSUS_JOB_STATE,
    CONSENSUS_JOB_ENTRIES,
    CONSENSUS_JOB_CHUNK,         /* of a snapshot that a leader sends */
    CONSENSUS_JOB_SNAPSHOT,      /* one that was made here */
    CONSENSUS_JOB_SNAPSHOT_READ, /* for another server */
};

struct consensus_job {
    struct list_node node;
    enum consensus_job_type type;
    uint64_t store; /* number for raft_stored() */
    uint64_t term;
    struct raft_server voted_for, to;
    uint64_t damaged_until, forced_term;
    struct raft_other *others; /* NULL: as before */
    size_t other_count;
    struct raft_entry *entries; /* their bodies lie in bytes */
    size_t entry_count;
    struct buffer bytes;
    struct raft_position position;
    uint64_t offset, size, total, index;
    uint64_t context;   /* of a read, for whoever ordered it */
    uint64_t committed; /* ENTRIES: what may be noted with them */
    bool is_last;
    int error; /* of what may fail without loss: a read; a chunk that is refused; a snapshot that is not needed any more */
    struct raft_config *config; /* of what has one; large */
};

struct consensus_lane {
    struct sim_host *host;
    struct raft_store *store;
    uint64_t min_us, mean_us; /* how long it takes */
    struct list_node waiting, done;
    struct raft_entry *run; /* of all appends that are one */
    size_t run_count, run_capacity;
    uint64_t run_committed;
    uint64_t due_us;
    bool is_bundling;                               /* appends that wait in a row are mostly one */
    bool is_telling;                                /* what is done is told at due_us; otherwise the next is done then */
    void (*doing)(void *user, const struct consensus_job *job, bool is_done); /* right before, and after it went well */
    void *user;
};

void consensus_lane_init(struct consensus_lane *lane, struct sim_host *host, struct raft_store *store);
void consensus_lane_deinit(struct consensus_lane *lane); /* what waits is lost */

/* A job from an output; the lane copies what it needs. */
void consensus_lane_store(struct consensus_lane *lane, const struct raft_output *output);
void consensus_lane_snapshot(struct consensus_lane *lane, const struct raft_position *position, const struct raft_config *config,
                             struct slice bytes);
void consensus_lane_read(struct consensus_lane *lane, const struct raft_output *output);

uint64_t consensus_lane_due_us(const struct consensus_lane *lane); /* SIM_NEVER: nothing to do */

/* Does what is due. 0 or the error that poisoned the store. */
int consensus_lane_tick(struct consensus_lane *lane, uint64_t now_us);

/* The next job whose end is to be told; it is the caller's then. */
struct consensus_job *consensus_lane_told(struct consensus_lane *lane, uint64_t now_us);
void consensus_job_free(struct consensus_job *job);

#endif
