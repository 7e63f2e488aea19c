/* sim/replication_program.h - a whole broker on a simulated host: a metadata node (metadata_program.h) whose tenant are the logs and replicas of its
 * partitions, with streams to other brokers. The thin driver around replication/partition and segment/, in the turns of cmd/broker: what an image
 * means for replicas is asked of cmd/broker/replicas/roles.h, as there. */
#ifndef SIM_REPLICATION_PROGRAM_H
#define SIM_REPLICATION_PROGRAM_H

#include "base/list.h"
#include "replication/partition/replica.h"
#include "sim/metadata_program.h"
#include "sim/replication_store.h"

struct replication_process;

enum replication_lost {
    REPLICATION_LOST_UNTOLD,
    REPLICATION_LOST_ALONE, /* no other complete replica is known */
    REPLICATION_LOST_TOLD,
};

/* What is known of a damaged log (replication_heal.c). */
struct replication_damage {
    struct list_node link; /* in the process's heal.damaged, while is_known */
    bool is_known;
    bool is_busy; /* a fetch or a repair is under way */
    enum replication_lost lost;
    uint64_t tell_ms, found_ms, next_ms;
    uint32_t told_epoch;
    uint64_t alone_from;   /* where leader epochs were put right already, as nobody else has what is lost */
    uint64_t checked_from; /* where what is sound was taken back already; UINT64_MAX: nowhere */
    uint32_t source, failures, misfits, told_count;
};

/* One partition's log and replica in one process. */
struct replication_replica {
    struct list_node link; /* in the process's table; stays until the process ends */
    struct replication_process *process;
    struct uuid topic_id;
    uint32_t number;
    const struct image_topic *topic; /* referenced */
    struct plog *plog;               /* NULL: deleted */
    struct replica replica;
    bool was_replicated, is_deletion_due;
    uint32_t cut_count;
    uint16_t redo; /* todo bits of replica.h that could not be done yet */
    uint64_t redo_ms;
    struct list_node redo_link, alter_link, acks_link, report_link;
    struct replication_ack *acks; /* owned */
    uint32_t ack_count, ack_capacity;
    struct replication_damage damage;
    void *watched; /* the observer's */
};

/* What became of a produced batch. */
struct replication_answer {
    uint64_t request;
    int error; /* MESH_EUNCOMMITTED: nobody knows */
    uint64_t base_offset;
    int32_t leader_epoch;
    bool is_duplicate, is_committed; /* committed: that was waited for */
};

/* What the world wants to know; all are set. */
struct replication_hooks {
    void (*started)(void *user, struct replication_process *process); /* recovery is over; no log is open yet */
    void (*opened)(void *user, struct replication_replica *replica); /* its log is what recovery left */
    void (*appended)(void *user, struct replication_replica *replica, const struct record_batch_header *header);
    void (*cutting)(void *user, struct replication_replica *replica, const struct replica_cut *cut); /* before */
    void (*not_cut)(void *user, struct replication_replica *replica);                                 /* what `cutting` said did not begin; maybe later */
    void (*leads)(void *user, struct replication_replica *replica);                                   /* before its epoch begins in its log */
    void (*committed)(void *user, struct replication_replica *replica);                               /* the high watermark has risen */
    void (*removing)(void *user, struct replication_replica *replica);                                /* with its files */
    void (*answered)(void *user, struct replication_process *process, const struct replication_answer *answer);
    void (*lied)(void *user, struct replication_process *process, int32_t node_id, const char *lie); /* the other end, says this one */
    void (*refused)(void *user, struct replication_process *process, int error);                      /* a log takes nothing any more */
    void (*drained)(void *user, struct replication_process *process, int error);                      /* 0: all is synced, and says so; it exits now */
};

/* Who else acts in a broker's turns, over logs that are kept there: the world "groups" has its group partitions so. Each call is at the place
 * where cmd/broker calls its own groups. All are set. */
struct replication_guest {
    void *(*start)(void *context, struct replication_process *process);
    void (*stop)(void *guest);
    void (*opened)(void *guest, struct replication_replica *replica);  /* its log is what recovery left */
    void (*stirred)(void *guest, struct replication_replica *replica); /* its log has more, or can be read further */
    void (*cutting)(void *guest, struct replication_replica *replica); /* before */
    void (*ceased)(void *guest, struct replication_replica *replica);  /* it leads no longer */
    void (*below_min)(void *guest, struct replication_replica *replica);
    void (*committed)(void *guest, struct replication_replica *replica); /* the high watermark has risen */
    void (*closing)(void *guest, struct replication_replica *replica);   /* before its log goes */
    void (*turn)(void *guest);                                           /* before the store's turn: what it appends is synced with the rest */
    uint64_t (*due_ms)(void *guest);                                     /* of the host's clock; UINT64_MAX: it wants no turn */
};

/* Mistakes that a driver could make. */
enum replication_driver_defect {
    REPLICATION_DRIVER_NEVER_MENDS = 1,   /* L7: damage is told, and stays */
    REPLICATION_DRIVER_GIVES_UP_LATE = 2, /* L8: what is damaged and not committed is cut away when it is the turn of the next piece: its replica is counted on again before */
    REPLICATION_DRIVER_STOP_TRUSTED = 3,  /* 9: every stop passes for a clean one */
    REPLICATION_DRIVER_MARKS_EARLY = 4,   /* R19: the mark of a clean stop is left before everything is on the disk */
    REPLICATION_DRIVER_FORGETS_PRODUCERS = 5, /* 24: a new leader takes for new what was written in another one's epoch */
    REPLICATION_DRIVER_DELETES_LATE = 7,  /* a new leader gives deleted records up when it knows them to be committed, as followers do, and serves them before */
    REPLICATION_DRIVER_DELETES_HASTILY = 8, /* a follower takes whatever it has before the offset for what was deleted, and that for committed */
    REPLICATION_DRIVER_DELETES_ONCE = 9, /* a follower that lags behind takes what it has for all that was deleted, and keeps what comes of it later */
    REPLICATION_DRIVER_TELLS_ONCE = 6,    /* 9: a stop that was not clean is told of by the next life or never, though that one may die before it can */
};

/* What hosts are told before they start; belongs to the world. */
struct replication_config {
    struct replication_store_options store;
    uint32_t replica_defects; /* 1 << each of partition/switches.h */
    uint32_t driver_defects;  /* 1 << each of enum replication_driver_defect */
    uint64_t alter_timeout_us;
    uint32_t lag_max_ms;
    uint32_t segment_bytes; /* smaller than a topic may want them; 0: as it wants */
    int64_t retention_bytes; /* likewise */
    const struct replication_hooks *hooks;
    void *user;
    const struct replication_guest *guest; /* NULL: none */
    void *guest_context;
};

extern const struct metadata_tenant replication_tenant; /* its context: a struct replication_config */

struct replication_process *replication_process_of(struct metadata_process *process);
struct metadata_process *replication_process_metadata(const struct replication_process *process);
struct sim_host *replication_process_host(const struct replication_process *process);
const struct image *replication_process_image(const struct replication_process *process); /* NULL: none yet */
bool replication_process_is_registered(const struct replication_process *process);
struct replication_replica *replication_process_find(struct replication_process *process, const struct uuid *topic_id, uint32_t partition);
struct list_node *replication_process_replicas(struct replication_process *process); /* of struct replication_replica */
int32_t replication_process_node_id(const struct replication_process *process);
void *replication_process_guest(const struct replication_process *process); /* NULL: none */
uint64_t replication_process_now_ms(const struct replication_process *process); /* of this turn, monotonic */
void replication_process_stir(struct replication_process *process);             /* the guest was asked something: a turn is due */
bool replication_process_was_clean(const struct replication_process *process); /* it began with the mark of a clean stop, or with nothing */
bool replication_process_has_failed(const struct replication_process *process); /* its store, or a log of it, takes nothing until the next start */

/* Appends a batch, in place, if this broker leads. The answer is a call of the hook, now or later. The caller then calls
 * metadata_process_drain(). */
void replication_produce(struct replication_process *process, const struct uuid *topic_id, uint32_t partition, int32_t leader_epoch, int32_t acks,
                         uint64_t request, uint8_t *batch, size_t size);

/* The guest's own batch, in place, to a log that this broker leads. Errors: partition_leader_prepare()'s, plog_append()'s; then nothing is appended. */
int replication_append(struct replication_replica *replica, uint8_t *batch, size_t size);
/* The same, of a control batch that is placed already: of a type that the replicas know. */
int replication_append_control(struct replication_replica *replica, const uint8_t *batch);

/* Reads committed batches from `offset` on, at most bytes_max or one, into *to. *ret_high_watermark is set if the offset may be asked for. Errors: as a
 * broker's fetch; MESH_EAGAIN: later. */
int replication_fetch(struct replication_process *process, const struct uuid *topic_id, uint32_t partition, int32_t leader_epoch, uint64_t offset, uint32_t bytes_max,
                      struct buffer *to, uint64_t *ret_high_watermark);

/* Whole batches of the log, whatever is committed, from `offset` on; 0 bytes: the end. Errors: plog_read()'s. */
int replication_read_log(const struct replication_replica *replica, uint64_t offset, uint64_t limit, uint32_t bytes_max, struct buffer *to);

void replication_replica_positions(const struct replication_replica *replica, struct partition_positions *ret_positions);

#endif
