/* partition/replica_peers.h - for this folder only: what a leader knows of the other replicas, and what its files say to each other. */
#ifndef PARTITION_REPLICA_PEERS_H
#define PARTITION_REPLICA_PEERS_H

#include "replication/partition/replica.h"
#include "replication/partition/switches.h"

struct source; /* source.h */

/* One follower, as its leader sees it in this epoch. */
struct replica_peer {
    struct list_node link;  /* in one of the source's lists while there is something to say */
    struct source *source;  /* where it is attached; NULL: nowhere */
    uint64_t broker_epoch, generation; /* the lives that the metadata know */
    uint64_t written, durable;         /* acknowledged in this epoch, if has_acked */
    uint64_t sent;                     /* end of what was sent in this session */
    uint64_t lag_offset;               /* while is_behind: it has missed what lies before here ... */
    uint64_t lag_since_ms;             /* ... since then */
    uint32_t slot, session;            /* in the source */
    int32_t node_id;
    uint8_t place; /* in replica_peers.at */
    uint8_t index; /* among the members */
    bool is_eligible : 1;
    bool has_acked : 1;
    bool is_doubted : 1;  /* its log failed, or it stated less: what it acknowledged does not count until it is attached again */
    bool is_behind : 1;
    bool is_queued : 1;   /* link is in the source's list of those with data */
    bool is_late : 1;     /* while is_queued: that list is the one of those that do not count */
    bool is_waiting : 1;  /* for the log, which could not be read */
    bool is_mark_due : 1; /* high watermark or log start have changed since it was told */
};

struct replica_peers {
    struct replica *replica;
    uint8_t count;
    struct replica_peer at[];
};

static inline struct replica *replica_of_peer(struct replica_peer *peer)
{
    return container_of(peer - peer->place, struct replica_peers, at)->replica;
}

static inline size_t replica_peer_count(const struct replica *replica)
{
    return replica->peers == NULL ? 0 : replica->peers->count;
}

static inline bool replica_peer_stands(const struct replica_peer *peer)
{
    return peer->has_acked && !peer->is_doubted;
}

/* ---- replica.c ---- */
void replica_due(struct replica *replica, uint32_t todo); /* puts it on the board */
void replica_watch(struct replica *replica, uint64_t deadline_ms);
void replica_start_epoch(struct replica *replica); /* of a leader whose log is fit for it */

/* ---- leader.c ---- */
uint64_t replica_peer_position(const struct replica *replica, const struct replica_peer *peer); /* R6 */
void replica_advance(struct replica *replica);         /* the high watermark, if it may (R5) */
void replica_leader_moved(struct replica *replica);    /* own positions or the log's end have changed */
void replica_mark_all(struct replica *replica);        /* tell the attached ones where high watermark and log start are */

enum replica_answer { REPLICA_ACCEPTED, REPLICA_DIVERGED, REPLICA_RESET, REPLICA_REJECTED };
struct replica_judgement {
    enum replica_answer answer;
    enum stream_reason reason; /* rejected */
    struct replica_peer *peer; /* accepted */
};
/* `end`: of the largest epoch <= attach->last_epoch in this log; `start_epoch`: of the record before its start. */
struct replica_epoch_end {
    int32_t epoch;
    uint64_t offset;
};
/* Where the leader's log begins, and behind a record of which epoch; -1: of none, or it is not known. */
struct replica_log_start {
    uint64_t offset;
    int32_t epoch;
};
void replica_judge_attach(struct replica *replica, int32_t node_id, const struct stream_message *attach,
                          struct replica_epoch_end end, int32_t start_epoch, struct replica_judgement *ret_judgement);
void replica_peer_doubted(struct replica *replica, struct replica_peer *peer); /* it may hold less than it said */
/* It follows from now on, or holds more than before. Not less: the source has seen to that. */
void replica_peer_acked(struct replica *replica, struct replica_peer *peer, uint64_t written, uint64_t durable);

/* ---- isr.c ---- */
void replica_isr_settle(struct replica *replica, uint16_t isr, uint32_t partition_epoch); /* the coordinator's word */
void replica_isr_consider(struct replica *replica); /* is there anything to ask the coordinator? */
void replica_lag_begin(struct replica *replica, struct replica_peer *peer);
void replica_lag_update(struct replica *replica, struct replica_peer *peer);
void replica_isr_tick(struct replica *replica);
bool replica_peer_is_counted(const struct replica *replica, const struct replica_peer *peer); /* in the maximal ISR */

/* ---- follower.c ---- */
enum replica_cut_verdict { REPLICA_CUT_BEGINS, REPLICA_CUT_NOTHING, REPLICA_CUT_AGAIN /* only by a defect */ };
/* The leader's history leaves ours after `end` (ours: of the largest epoch <= end.epoch in this log). NOTHING: there is nothing to
 * cut, so the leader cannot be telling the truth. */
enum replica_cut_verdict replica_diverged(struct replica *replica, struct replica_epoch_end end, struct replica_epoch_end ours,
                                          int32_t last_epoch, struct replica_log_start start);
void replica_consider_report(struct replica *replica);
enum replica_cut_verdict replica_must_reset(struct replica *replica, int32_t last_epoch, struct replica_log_start start);
void replica_adopt(struct replica *replica, uint64_t high_watermark, uint64_t leader_log_start); /* never before a cut is done (R3) */

#endif
