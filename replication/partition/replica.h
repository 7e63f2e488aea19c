/* partition/replica.h - one replica of a partition: leader, follower, or neither; and the shard's board that says what is to be done.
 *
 * Sans-I/O: facts go in (the metadata's assignment, the log's positions, what peers say), and the board lists the replicas for which
 * something is to be done. The caller owns the log. Rules R1-R20: README.md.
 *
 *   replica_assign() -> EPOCH_START (leader) or FOLLOW (follower: sink.h)
 *   leader:    appends, positions, acks of followers (source.h) -> HIGH_WATERMARK, ALTER
 *   follower:  positions; what the leader answers (sink.h)      -> CUT, HIGH_WATERMARK
 *
 * A board and its replicas belong to one shard's loop. */
#ifndef PARTITION_REPLICA_H
#define PARTITION_REPLICA_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/partition/message.h"
#include "replication/partition/partition.h"

#define REPLICA_MEMBERS_MAX      16
#define REPLICA_LAG_MAX_MS       10000 /* default: an ISR member that misses something for so long is to leave */
#define REPLICA_ALTER_RETRY_MS   200   /* after a refusal, or when nothing is known of the last attempt */
#define REPLICA_CONTROL_EPOCH    2     /* type of the control record that begins an epoch; its value: version 0, the epoch */

struct replica;
struct replica_peers; /* replica_peers.h */
struct sink_slot;     /* sink.h */

/* What is to be done for a replica; several may be set. */
enum {
    /* Append replica_build_epoch_start(), then call replica_epoch_started(). Until then nothing else may be appended. */
    REPLICA_TODO_EPOCH_START = 1,
    /* It rose: answer those who wait for it. Keep it somewhere durable sooner or later: replica_init() wants it. */
    REPLICA_TODO_HIGH_WATERMARK = 2,
    /* The ISR is below min.insync: answer those who wait for acks of all: maybe held, not known to be safe (R13). */
    REPLICA_TODO_BELOW_MIN = 4,
    /* Ask the coordinator: replica_alter_begin(). */
    REPLICA_TODO_ALTER = 8,
    /* It leads no longer: whoever waits gets no answer but "unknown". */
    REPLICA_TODO_LED = 16,
    /* Hand it to the sink of its leader: sink_add(). */
    REPLICA_TODO_FOLLOW = 32,
    /* Cut the log, durably, as replica_cut() says; then replica_cut_done(). Nothing is appended meanwhile. */
    REPLICA_TODO_CUT = 64,
    /* The leader's log begins at replica->leader_log_start by now: what lies before may go. */
    REPLICA_TODO_TRIM = 128,
    /* Nobody leads, and it can say now how far it goes: replica_own_position(). Again with each assignment and each sync, until there is
     * a leader. In mode quorum its epoch is being sealed, and a majority's reports choose who leads; in the others they matter where no complete
     * replica is left. */
    REPLICA_TODO_REPORT = 256,
};

/* One per shard. */
struct replica_board {
    struct list_node todo;    /* replicas with todo != 0 */
    struct list_node watched; /* leaders for which time matters, but those that are in the other list */
    uint64_t now_ms;          /* monotonic: the caller sets it at the start of each turn */
    uint64_t deadline_ms;     /* when replica_board_tick() is wanted; UINT64_MAX: it is not */
    uint64_t broker_epoch;    /* of this broker's present registration; raised by the caller before it assigns under it */
    uint32_t lag_max_ms;
};

void replica_board_init(struct replica_board *board);
/* Time has passed: lag clocks, and questions that are to be asked again. */
void replica_board_tick(struct replica_board *board, uint64_t now_ms);
/* Takes the next replica off the list, with what is to be done for it. NULL: nothing. */
struct replica *replica_board_next(struct replica_board *board, uint32_t *ret_todo);

enum replica_role { REPLICA_IDLE, REPLICA_FOLLOWER, REPLICA_LEADER };

/* Show it only to embed it; who is not of this folder uses the functions, and `partition`. */
struct replica {
    struct partition partition; /* offsets, epoch, leader, configuration; isr_count is the committed ISR's */
    struct replica_board *board;
    struct list_node link;       /* in one of the board's lists, or in none */
    struct replica_peers *peers; /* leader: the others; owned; NULL: there are none */
    struct sink_slot *slot;      /* follower: its place in a stream; the sink's */
    uint64_t written, durable;   /* own positions */
    uint64_t generation;         /* of this replica */
    uint64_t epoch_start;        /* leader: where its epoch begins. Follower: where the log is to be cut */
    uint64_t leader_log_start;   /* follower */
    uint64_t alter_after_ms;     /* leader: not to be asked again before */
    uint32_t min_insync_wanted;  /* of the configuration; the partition's is larger until an assignment has come, too */
    uint32_t partition_epoch;
    uint16_t isr, proposed;      /* masks over the members; the maximal ISR is both */
    uint16_t todo;
    uint8_t member_count, self_index;
    uint8_t role;                /* enum replica_role */
    bool is_watched : 1;         /* time matters */
    bool is_altering : 1;        /* an ALTER is under way */
    bool is_uncertain : 1;       /* an ALTER of this epoch may or may not have been done, or be done yet */
    bool is_cutting : 1;         /* the log is being cut, or is to be */
    bool is_cut_reset : 1;       /* ... emptied, to begin at epoch_start */
    bool is_cut_committed : 1;   /* ... below the high watermark: what was committed once is lost here */
    bool wants_confirmation : 1; /* quorum: the coordinator waits for an ALTER, though it should change nothing */
    bool has_confirmed : 1;      /* ... which was asked for */
    int32_t cut_epoch;           /* is_cut_reset: of the record before epoch_start; -1: none, or not known */
#ifdef MESH_TEST_SWITCHES
    uint32_t defects;
#endif
};

/* ---- life and facts ---- */

/* A recovered log: `high_watermark` is what was kept of it, and is brought into the log's bounds. It has no role yet. */
void replica_init(struct replica *replica, struct replica_board *board, int32_t self, const struct partition_config *config,
                  const struct partition_positions *positions, uint64_t high_watermark);
void replica_deinit(struct replica *replica); /* leaves streams and lists */

struct replica_member {
    int32_t node_id;
    uint64_t broker_epoch; /* of its broker's present registration */
    uint64_t generation;
    bool is_eligible; /* its broker is neither fenced nor draining */
};

/* What the metadata say. Masks are over the members, of which this broker is one. */
struct replica_assignment {
    int32_t leader; /* -1: none, also while a quorum's epoch is being sealed */
    int32_t leader_epoch;
    uint32_t partition_epoch;
    uint16_t isr;
    uint8_t member_count;
    bool wants_confirmation; /* quorum: members are to go, once the leader has shown by an ALTER that it counts all of these */
    const struct replica_member *members;
};

/* New facts. Assign nothing before the registration of the broker's present life is in the image: an older image cannot bring an
 * old epoch back then. What is older than what is known already is left out. Errors: MESH_ENOMEM (nothing changed: try again),
 * MESH_EINVAL (this broker is no member, or too many are). */
int replica_assign(struct replica *replica, const struct replica_assignment *assignment);
/* Of an image whose assignment follows. A min.insync that falls waits for that: with who was in sync before, more would be committed than the image allows. */
void replica_set_config(struct replica *replica, const struct partition_config *config);

/* The log has moved: what it has, what the kernel has, what is durable; where it begins. A follower's positions end where its log is damaged: they fall
 * when that is found, and it states them anew to its leader. */
void replica_set_positions(struct replica *replica, const struct partition_positions *positions);

static inline bool replica_leads(const struct replica *replica)
{
    return replica->role == REPLICA_LEADER;
}

/* ---- leader ---- */

/* Makes the batch that begins the epoch. Appends to *to. Errors: MESH_ENOMEM. */
int replica_build_epoch_start(const struct replica *replica, int64_t now_wall_ms, struct buffer *to);
/* It is in the log: the epoch begins at `header->base_offset`. */
void replica_epoch_started(struct replica *replica, const struct record_batch_header *header);
/* A batch that partition_leader_prepare() prepared is in the log. */
void replica_leader_appended(struct replica *replica, const struct record_batch_header *header);

/* May a reader stand here? As partition_check_fetch_offset(); besides MESH_EAGAIN: what is known to be committed may still grow up
 * to there, because the leader has not heard all of its ISR in this epoch yet. Wait for the high watermark. */
int replica_check_fetch_offset(const struct replica *replica, uint64_t offset);

/* Is the high watermark known to stand behind all that was ever acknowledged? Not while a new leader has not heard what its epoch begins with from
 * the others: whoever asks where the records end would hear of an older end (KIP-207). */
bool replica_end_is_known(const struct replica *replica);

/* Where a record has to be for an acknowledgement: 0: at the high watermark; otherwise at the leader's own position. */
uint64_t replica_own_position(const struct replica *replica);

/* How far the follower on that broker has written the log, as far as it has said in this epoch; 0: it has not, or has taken it back. */
uint64_t replica_position_of(const struct replica *replica, int32_t node_id);
/* How far a replica goes, as its leader knows: what it has written, by its last word in this epoch. False: this is not the leader, or nothing was
 * heard of it yet, or it has taken that back. */
bool replica_member_end(const struct replica *replica, int32_t node_id, uint64_t *ret_end);

struct replica_receipt {
    uint32_t held;   /* replicas that have written up to `end_offset`, the leader included */
    uint32_t synced; /* replicas that have synced it */
};
void replica_get_receipt(const struct replica *replica, uint64_t end_offset, struct replica_receipt *ret_receipt);

/* How its followers stand; of a leader. */
struct replica_lag {
    uint64_t records_max; /* that the one furthest behind does not hold (as the topic's flush counts it), as far as it was heard in this epoch */
    uint32_t followers, attached;
};
void replica_get_lag(const struct replica *replica, struct replica_lag *ret_lag);

/* A question to the coordinator: make this the ISR, if partition and leader epochs are still these, and its members' brokers and
 * replicas are still in these lives. Exactly one replica_alter_done() follows. */
struct replica_alter {
    int32_t leader_epoch;
    uint32_t partition_epoch;
    uint64_t leader_broker_epoch;
    uint8_t isr_count;
    struct replica_alter_member {
        int32_t node_id;
        uint64_t broker_epoch, generation;
    } isr[REPLICA_MEMBERS_MAX];
};
/* False: there is nothing to ask any more. */
bool replica_alter_begin(struct replica *replica, struct replica_alter *ret_alter);

enum replica_alter_outcome {
    REPLICA_ALTER_DONE,    /* the ISR is as asked; partition_epoch is the new one. It rises with every ALTER that is done, also
                              with one that changes nothing: so older ones that are still on their way are void */
    REPLICA_ALTER_REFUSED, /* this one was not done, and never will be */
    REPLICA_ALTER_UNKNOWN, /* no answer, or no coordinator */
};
void replica_alter_done(struct replica *replica, const struct replica_alter *alter, enum replica_alter_outcome outcome,
                        uint32_t partition_epoch);

/* ---- follower ---- */

struct replica_cut {
    uint64_t offset; /* the log is to end here (rounded down to a batch), or to be empty and begin here */
    int32_t epoch; /* is_reset: of the record before `offset`, which the log is to remember; -1: none, or not known */
    bool is_reset;
    bool is_committed; /* below the high watermark: an event to be told, data that were acknowledged may be lost */
};
void replica_get_cut(const struct replica *replica, struct replica_cut *ret_cut);
/* The log is cut, durably. */
void replica_cut_done(struct replica *replica, const struct partition_positions *positions);
/* It follows its leader, histories agree, and it has heard from it what is committed. */
bool replica_is_following(const struct replica *replica);
/* A follower whose leader has answered, in this leader epoch, that it gets nothing from where it stands; it asks again in a moment. */
bool replica_was_refused(const struct replica *replica);
/* What the log has from `offset` on is of no use: it is to be cut there (REPLICA_TODO_CUT), and comes again. False: it does not follow, or is being cut. */
bool replica_give_up(struct replica *replica, uint64_t offset);
/* The batch that sink_next() gave is in the log. */
void replica_follower_appended(struct replica *replica, const struct record_batch_header *header);

/* The assignment has no leader: may this replica say how far it goes? Then nothing of an older epoch is taken any more; and in mode quorum,
 * where that seals the epoch, all that it has is durable. */
bool replica_may_report(const struct replica *replica);

#endif
