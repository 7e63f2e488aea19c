/* sim/replication_watch.h - the omniscient observer of partitions: every log of every broker, what is committed, and what clients were told
 * (PROTOCOLS 5.1).
 *
 * The truth of a partition is what was below anybody's high watermark at any time. S1, S4: who begins to lead has all of it that was committed in
 * earlier epochs. S2, S3: whoever shows an offset shows the same record. S5: every member of the ISR and the ELR that lives holds what its leader
 * commits, durably where the topic wants that. S6: what the coordinator counts as in sync the leader counts. S7: one leader in an epoch. S8: a high
 * watermark falls with a declared cut only. S9: a producer's batch is there once. S17: a log goes with its topic, or when it was moved.
 * Deleted records are had of no leader that was elected afterwards.
 * R19: who stopped cleanly comes back with the mark of that, and with every log as it was.
 *
 * What flush=async does not promise is excused, but only from the moment on in which a log came back with less than it had: then the truth is what the
 * next leader has. So is what an election of a replica that is not complete loses; one is allowed where records are not synced before they are
 * acknowledged, or when an operator asked for it, and the metadata must say that it happened (reset epoch). */
#ifndef SIM_REPLICATION_WATCH_H
#define SIM_REPLICATION_WATCH_H

#include "sim/metadata_watch.h"
#include "sim/replication_program.h"

#define REPLICATION_PARTITIONS_MAX 96 /* those of topics that were deleted among them */
#define REPLICATION_EPOCHS_MAX     4096

/* A batch of one log, or of the truth. */
struct watch_batch {
    uint64_t base;
    uint32_t count, crc;
    int32_t epoch;        /* in which it was appended */
    int32_t committed_in; /* truth: the lowest epoch in which somebody showed it */
    int64_t producer_id;
    int32_t sequence;
};

struct watch_log {
    struct watch_batch *batches; /* owned */
    uint32_t count, capacity;
    uint64_t end, seen; /* seen: the high watermark that the observer knows of */
    struct {
        uint32_t count;
        uint64_t end, seen;
        bool is_known;
    } uncut; /* as it was before the last cut; is_known: nothing was appended since */
    uint64_t synced_end; /* it was stopped cleanly with that much, and nobody has opened it since; UINT64_MAX: it was not */
    bool is_open;
    struct replication_replica *replica; /* while is_open */
};

struct watch_partition {
    struct uuid topic_id;
    uint32_t number;
    struct watch_log truth;
    struct watch_log logs[CONSENSUS_HOSTS_MAX];
    uint8_t leader_of[REPLICATION_EPOCHS_MAX]; /* host + 1 */
    bool is_gone;                              /* its topic was deleted */
    bool is_excused;                           /* flush=async: a machine lost what it had acknowledged and not synced; that much may be missing */
    uint8_t rotten;                            /* host + 1 whose files were damaged (replication_rot.h); 0: nobody's */
    bool is_given_up;                          /* an operator said that its losses are to be accepted */
    uint32_t reset_epoch;                      /* losses that the metadata admit */
    int32_t reset_leader_epoch;                /* of whom was made leader by the newest of them */
    uint32_t used_epoch;                       /* and those of them that were seen to happen */
    uint32_t told_epoch;                       /* partition epoch that the trace has */
};

struct replication_watch {
    struct sim *sim;
    struct metadata_watch *metadata;
    uint64_t seen_index; /* of the metadata, that was looked at */
    struct watch_partition partitions[REPLICATION_PARTITIONS_MAX];
    uint32_t partition_count;
    struct buffer scratch;
    struct watch_stop {
        bool is_clean; /* the last life on that disk said that everything is synced */
        struct uuid disk;
    } stops[CONSENSUS_HOSTS_MAX];
    uint64_t appended, committed, elections, cuts, resets;
};

/* What is on its disk is not all that it wrote: it is known by what it appended, and not by what it holds. */
static inline bool watch_is_rotten(const struct watch_partition *partition, uint32_t host)
{
    return partition->rotten == host + 1;
}

struct replication_watch *replication_watch_new(void);
void replication_watch_free(struct replication_watch *watch); /* accepts NULL */
void replication_watch_reset(struct replication_watch *watch, struct sim *sim, struct metadata_watch *metadata);

/* NULL: nobody has opened it. */
struct watch_partition *replication_watch_find(struct replication_watch *watch, const struct uuid *topic_id, uint32_t partition);

/* Each as the hook of its name. */
void replication_watch_started(struct replication_watch *watch, struct replication_process *process);
void replication_watch_drained(struct replication_watch *watch, struct replication_process *process); /* without an error */
void replication_watch_opened(struct replication_watch *watch, struct replication_replica *replica);
void replication_watch_appended(struct replication_watch *watch, struct replication_replica *replica, const struct record_batch_header *header);
void replication_watch_cutting(struct replication_watch *watch, struct replication_replica *replica, const struct replica_cut *cut);
void replication_watch_not_cut(struct replication_watch *watch, struct replication_replica *replica); /* right after: the log is as it was */
void replication_watch_leads(struct replication_watch *watch, struct replication_replica *replica);
void replication_watch_committed(struct replication_watch *watch, struct replication_replica *replica);
void replication_watch_removing(struct replication_watch *watch, struct replication_replica *replica);
void replication_watch_stopped(struct replication_watch *watch, uint32_t host); /* no process runs there any more */

/* The newest metadata, if they are new: topics that went, losses that are admitted; traces tell them. A loss is admitted only where one was to be expected. */
void replication_watch_image(struct replication_watch *watch, struct sim_host *host);

/* Somebody read these committed batches from `offset` on. Returns the offset behind them. */
uint64_t replication_watch_read(struct replication_watch *watch, struct watch_partition *partition, uint32_t host, uint64_t offset, struct slice batches);

/* Somebody reads at this offset. What was deleted before the leader was elected is not to be had of it. */
void replication_watch_deletions(struct replication_watch *watch, const struct replication_replica *replica, uint64_t offset);

/* The batch at this offset; NULL: there is none. */
const struct watch_batch *watch_log_find(const struct watch_log *log, uint64_t offset);

/* L4: the replicas that run have equal logs; those that are open are read. NULL or what differs. */
const char *replication_watch_difference(struct replication_watch *watch, struct watch_partition *partition);

/* Records that clients had deleted, and that a broker has still. NULL or who has what. */
const char *replication_watch_deleted_rest(struct replication_watch *watch, struct watch_partition *partition);

/* A log whose topic was deleted, or that was moved away, and is still there; or NULL. */
const char *replication_watch_leftover(struct replication_watch *watch, struct watch_partition *partition);

#endif
