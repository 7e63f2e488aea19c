/* coordinator/decide_replicas.h - the coordinator's decisions about replicas: who is in sync, who lost what, who leads when nobody safely can, and
 * which broker holds what.
 *
 * As in decide.h: pure functions, image x request -> a command, or an error with a sentence. What many partitions ask for in one request is judged
 * one by one; all that passes is one entry. */
#ifndef COORDINATOR_DECIDE_REPLICAS_H
#define COORDINATOR_DECIDE_REPLICAS_H

#include "replication/coordinator/decide.h"
#include "replication/coordinator/reports.h"

#define DECIDE_PARTITIONS_MAX 4096 /* of one request */

/* What became of one partition of a request. What is true afterwards stands in the image of the answer. */
struct decide_result {
    int error;
    uint32_t partition_epoch; /* after the decision; of now when there was an error; 0: there is no such partition */
};

/* ---- ISRs (decide_alter.c) ---- */

/* One member of an ISR as its leader knows it. Both numbers are as of when the leader saw it catch up. */
struct decide_member {
    int32_t node_id;
    uint64_t broker_epoch; /* image_broker.epoch: the life that it caught up in (KIP-903) */
    uint64_t generation;   /* image_partition_generation(): the replica that caught up (KIP-966) */
};

struct decide_isr {
    struct uuid topic_id;
    uint32_t partition;
    int32_t leader_epoch;
    uint32_t partition_epoch; /* that the wish was made from */
    const struct decide_member *members; /* the new ISR, in any order; the leader is one */
    uint32_t member_count;
};

struct decide_alter_partitions {
    int32_t leader; /* who asks */
    uint64_t broker_epoch;
    const struct decide_isr *partitions; /* rising by topic uuid and partition */
    size_t count;
};

/* A leader's wishes for the ISRs of partitions that it leads (R7, R8). ret_results: request->count of them. Per partition:
 *   0                       it is so now. A move that could end has ended: the replicas may be others
 *   MESH_EUNKNOWN_TOPIC     no such partition
 *   MESH_ENOT_LEADER        another one leads, or nobody
 *   MESH_ESTALE_EPOCH       the leader epoch is not the newest: the asker has been deposed
 *   MESH_EUNKNOWN_EPOCH     a leader epoch from the future
 *   MESH_EAGAIN             another change came first, or an earlier copy of this wish: look at the image, and wish anew from there
 *   MESH_EBUSY              a member may not join now: another life or replica than the one that caught up, fenced, draining, or not yet
 *                           begun to move. Wish again when that is over
 *   MESH_EINVAL             no ISR: not of replicas, without the leader, or somebody twice; or a partition epoch from the future
 * Errors of the whole: MESH_EINVAL (order, too many), MESH_ESTALE_EPOCH (a former life of the asker), MESH_ENOTFOUND (no such broker). */
int decide_alter_partitions(const struct image *image, const struct decide_alter_partitions *request, const struct decide_facts *facts,
                            struct decision *decision, struct decide_result *ret_results);

struct decide_lost {
    struct uuid topic_id;
    uint32_t partition;
    uint64_t generation; /* of the replica that lost records; where it has another one by now, nothing is left to do */
};

struct decide_replicas_lost {
    int32_t node_id; /* whose replicas they are */
    uint64_t broker_epoch;
    const struct decide_lost *replicas; /* rising by topic uuid and partition */
    size_t count;
};

/* Recovery, a read or the scrubber found that these replicas lack records that they should have: each leaves ISR, ELR and last known ELR, begins
 * anew as another generation, and no longer leads; it is in sync again when a leader has seen it catch up. Per partition: 0, MESH_EUNKNOWN_TOPIC,
 * MESH_ENOT_ENOUGH_REPLICAS (it is in one of these, and no other complete replica is known, in mode quorum not a majority of them: it stays
 * what it is, and serves what it has). Errors of the whole: as above. */
int decide_replicas_lost(const struct image *image, const struct decide_replicas_lost *request, const struct decide_facts *facts,
                         struct decision *decision, struct decide_result *ret_results);

/* ---- deleted records (decide_records.c) ---- */

/* Clients want records deleted: those before each wish's offset, for good. Whoever asks has heard from the leader of that epoch that the offset is within its high
 * watermark, and behind where its clients begin already: so a lower offset under a newer epoch is of a log that has lost records. Wishes rise by topic uuid and
 * partition. Per partition: 0 (also when as many were deleted before), MESH_EUNKNOWN_TOPIC, MESH_EINVALID_TOPIC (the mesh's own), MESH_EINVAL (offset 0),
 * MESH_ESTALE_EPOCH, MESH_EUNKNOWN_EPOCH, MESH_ENOT_LEADER (nobody leads now). Errors of the whole: MESH_EINVAL (order, too many), MESH_ETOOLARGE. */
int decide_delete_records(const struct image *image, const struct image_deletion *wishes, size_t count, struct decision *decision,
                          struct decide_result *ret_results);

/* ---- no safe leader (decide_recover.c) ---- */

/* Elects by what replicas reported, where rule R9 finds nobody:
 * - a sealed partition (mode quorum), once a majority of its replicas has reported under the seal: the longest log of those
 * - else as the setting `unclean` says, and with the loss on record (reason UNCLEAN, reset epoch raised): balanced when ISR and ELR are empty and all of the last
 *   known ELR have reported, or, where that is empty too, all replicas whose brokers are in the mesh; proactive when all replicas that are up have, or
 *   those that have when is_overdue; the longest log of those
 * Nothing changes where nobody can be elected so. Errors: MESH_EUNKNOWN_TOPIC. */
struct decide_recover {
    struct uuid topic_id;
    uint32_t partition;
    const struct replica_report *reports; /* reports_get(); checked against the image here */
    size_t report_count;
    bool is_overdue;      /* it has waited for reports for long enough */
    bool is_asked;        /* an operator accepts the loss: elect now, whatever is missing */
    int32_t node_id;      /* of the operator's choice; 0: the longest log of those that reported */
    const struct decide_facts *facts;
};
/* With is_asked also: MESH_EEXISTS (a leader is there, nothing is to be accepted), MESH_ENOT_ENOUGH_REPLICAS (no replica, or not the chosen one, is up; or a
 * complete one is, and leads without loss), MESH_EAGAIN (nobody has reported yet). */
int decide_recover(const struct image *image, const struct decide_recover *request, struct decision *decision);

/* ---- where replicas are (decide_move.c) ---- */

/* The partition's replicas become these, the first one the preferred leader: those that are missing are added, follow, and when all of them are in sync
 * the others go, in one change (R18). A move that adds is queued until decide_moves() gives it its turn. An earlier move that has not ended is cancelled
 * first. count 0: only that. Moves rise by topic and partition; all are written down, or none. Errors: MESH_EINVAL (order), MESH_EUNKNOWN_TOPIC, MESH_EINVALID_REPLICATION
 * (brokers to be added that are unknown, fenced, draining or witnesses, twice the same, fewer than min.insync; in mode quorum more than one to come or more than one
 * to go), MESH_EBUSY (the move under way cannot be cancelled any more: it is about to end), MESH_ENOTFOUND (count 0: nothing moves). */
struct decide_move {
    struct uuid topic_id;
    uint32_t partition;
    int32_t replicas[IMAGE_REPLICAS_MAX];
    uint32_t count;
};
int decide_move(const struct image *image, const struct decide_move *moves, size_t count, const struct decide_facts *facts,
                struct decision *decision);

/* Spreads a topic's replicas evenly over the brokers that are up, by as few moves as that takes, all queued; with a zero uuid those of all topics together,
 * DECIDE_PARTITIONS_MAX at a time. Nothing changes when they are. Errors: MESH_EUNKNOWN_TOPIC. */
int decide_topic_balance(const struct image *image, const struct uuid *topic_id, const struct decide_facts *facts, struct decision *decision);

/* What the coordinator moves by itself, a step at a time (move_plan.c):
 * - moves whose new broker is gone are made without it, keeping one that was to go; those that can end, end; queued ones get their turn
 * - replicas on brokers that were removed, or are gone (facts), are replaced; partitions get as many replicas as the setting `replicas` says
 * - partitions of the mesh's own whose replicas were all removed with their brokers begin anew, empty, with the loss on record (reason UNCLEAN)
 * - when none of that is left, no session has begun or ended for a minute, and no replica that may come back is missing from an ISR, replicas are
 *   spread: from the broker with most to the one with least while they are 10 % of the average apart (and two replicas), until it is 5 %
 * A broker takes part in at most moves_per_broker copies at a time, as the one that gets it or as the leader that it comes from. */
struct movement {
    uint64_t quiet_since_us; /* 0: unknown; the next call begins it */
    bool is_spreading;       /* between the two thresholds it goes on */
    bool is_pending;         /* set by each call: something moves or waits for its turn; ask again soon */
    uint64_t settled_index;  /* of the image in which nothing was to be done, whoever was gone: it is not looked at again; 0: none */
    uint64_t settled_gone;
};
#define MOVEMENT_INIT {0, false, false, 0, 0}
struct decide_moves {
    struct movement *movement;
    uint32_t moves_per_broker; /* 0: nothing begins */
    uint64_t spread_quiet_us;  /* how long is quiet enough to spread; 0: DECIDE_SPREAD_QUIET_US */
    uint64_t now_us;
    const struct decide_facts *facts;
};
#define DECIDE_SPREAD_QUIET_US (60ull * 1000000)
int decide_moves(const struct image *image, const struct decide_moves *request, struct decision *decision);

#endif
