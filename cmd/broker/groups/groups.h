/* groups/groups.h - consumer groups on one shard: the replicas of group partitions that it keeps, and requests to those that it leads.
 *
 * The driver of group_turn.h. In a turn of the shard requests come in and are judged at once; then groups_run() reads what the logs have new, lets time
 * pass, and appends what was decided, before the store's batch is closed; answers leave as the high watermark rises. Belongs to the shard's thread. */
#ifndef BROKER_GROUPS_GROUPS_H
#define BROKER_GROUPS_GROUPS_H

#include "cmd/broker/groups/group_turn.h"
#include "cmd/broker/peers/log_limiter.h"
#include "cmd/broker/runtime/mailbox.h"
#include "cmd/broker/runtime/metrics.h"
#include "segment/store.h"

#include <ev.h>

struct groups_question;
struct image;
struct image_topic;
struct shard;
struct shard_partition;
struct spread_ends;

/* One replica of a group partition: shard_partition's `group`. */
struct group_replica {
    struct group_part part;
    struct shard_partition *partition;
    struct list_node link;     /* in groups->replicas */
    struct list_node due_link; /* in groups->due: to be looked at in this turn */
    uint64_t deadline_ms;      /* to be looked at then */
    uint64_t retry_append_ms;  /* the log had no space; 0: it had */
    bool is_reading;           /* a job reads for it */
    bool is_stuck;             /* what it read could not be used yet: it waits for news of the log */
    bool is_told_stopped;
};

struct shard_groups {
    struct shard *shard;
    struct list_node replicas, due;
    struct group_terms terms;
    struct record_batch_builder builder;
    struct buffer batches; /* read from a log, to be applied */
    /* The catalog (catalog.c): of one image. */
    const struct image *catalog_image; /* referenced: what catalog_topics point into */
    const struct image_topic **catalog_topics;
    size_t catalog_count;
    const struct image *zones_image; /* referenced: whose brokers these are */
    uint16_t *broker_zones; /* of each broker, by its place */
    bool has_zones;
    uint16_t *zones; /* of the partitions of the topic looked up last */
    uint32_t zone_room;
    uint64_t catalog_hash, catalog_due_ms; /* the hash of the topics that leads were told of; when it is compared again, 0: nothing is new */
    struct list_node questions; /* about the ends of partitions (ends.h) */
    uint32_t asking;            /* requests that ask, or wait behind one that does */
    struct spread_ends *known_ends; /* owned: the answers; NULL: there was none */
    bool takes_any_end; /* offsets are put back, which may have outlived their records */
    const struct groups_question *judged; /* of the request that is being judged */
    uint64_t next_ms; /* the earliest deadline of a replica */
    ev_timer timer;
    struct log_limiter lines;
    struct metrics_groups counts; /* what only rises; groups_measure() adds what is now */
    bool is_stopping;
};

/* ---- what the shard calls ---- */

void groups_init(struct shard *shard);
void groups_stop(struct shard *shard);   /* who waits hears MESH_ESHUTDOWN; nothing more is judged */
void groups_deinit(struct shard *shard); /* before the partitions go */
void groups_image(struct shard *shard);  /* there is a new one */
void groups_run(struct shard *shard);    /* in each turn, after replicas_run() */

void groups_measure(struct shard *shard, struct metrics_groups *ret_metrics); /* for /metrics */

/* Each is nothing to a partition that is no group partition. */
void groups_opened(struct shard *shard, struct shard_partition *partition);  /* its log is what recovery left */
void groups_closing(struct shard *shard, struct shard_partition *partition); /* before its log goes */
void groups_stirred(struct shard *shard, struct shard_partition *partition); /* its log has more, or can be read further */
void groups_cut(struct shard *shard, struct shard_partition *partition);     /* is about to be */
void groups_ceased(struct shard *shard, struct shard_partition *partition);  /* it leads no longer */
void groups_below_min(struct shard *shard, struct shard_partition *partition);
void groups_committed(struct shard *shard, struct shard_partition *partition); /* the high watermark rose */

/* ---- requests ---- */

/* What a request is judged with. */
struct group_judging {
    struct group_lead *lead;
    const struct groups *state;
    uint64_t now_ms, wall_ms;
    /* Out: */
    uint64_t barrier;    /* of the reply; from group_lead_barrier() before judge() is called */
    uint32_t session_ms; /* of a member whose answer has to prove that this is the leader; 0: nothing to prove */
};

/* Embedded in the caller's; fields above `judge` are the driver's. */
struct group_request {
    struct group_waiter waiter;
    struct shard *shard;
    uint64_t received_ns;
    struct shard_partition *partition; /* its pending count holds it */
    int error;                         /* judge()'s */
    struct groups_question *question;  /* owned (ends.h): which ends were asked for; NULL: none */
    /* The caller's, set before groups_request(): */
    int (*judge)(struct group_request *request, struct group_judging *judging); /* called once, or not at all; says what is to be answered */
    void (*done)(struct group_request *request, int error);                     /* once: judge()'s answer may leave, or an error instead of it */
    struct slice group;  /* of a change: its name, which lives until done() */
    uint32_t number;     /* of the group partition */
    uint32_t timeout_ms; /* not 0 */
    bool is_change;      /* it may append records */
};

/* On the shard that image_shard_of() names for the partition. done() comes now or later, also with MESH_ENOT_LEADER. judge()'s error is told once what it rests on is
 * committed; the driver's own: MESH_ENOT_LEADER, MESH_EAGAIN (no leader yet), MESH_ENOT_ENOUGH_REPLICAS, MESH_EFULL, MESH_EBUSY, MESH_ENOMEM, MESH_ESHUTDOWN: nothing was
 * done; MESH_EUNCOMMITTED, MESH_ETIMEDOUT: nobody knows. */
void groups_request(struct shard *shard, struct group_request *request);

/* In done(), for answers: what is proved (group_part_proof_behind() of the waiter), and the epoch that the answer is of; -1: it is not known. */
uint64_t groups_proof_behind(const struct group_request *request);
int32_t groups_epoch(const struct group_request *request);

/* ---- looking ---- */

/* The internal topic; false: there is none yet. Any thread that holds the image. */
bool groups_find_topic(const struct image *image, struct uuid *ret_topic_id);

/* What a replica here knows of a group partition; NULL: none is here, or it has to read its log first. Of what is not committed yet, too: groups_next_lsn().
 * *ret_lead: NULL where another broker's replica leads. */
const struct groups *groups_state_of(struct shard *shard, uint32_t number, const struct group_lead **ret_lead);

#endif
