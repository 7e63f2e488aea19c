/* spread/spread_internal.h - what the driver's files share. */
#ifndef BROKER_SPREAD_SPREAD_INTERNAL_H
#define BROKER_SPREAD_SPREAD_INTERNAL_H

#include "cmd/broker/runtime/shard.h"
#include "cmd/broker/spread/spread.h"
#include "base/list.h"
#include "replication/spread/collect.h"
#include "replication/spread/held.h"

#define SPREAD_HEARD_KEPT_MS 60000 /* what was heard of a partition stays so long after this broker got a replica of it */

/* A group partition that is watched on its shard, which alone touches this. */
struct spread_watch {
    bool is_on;
    bool is_begun;     /* rounds are told */
    bool is_pending;   /* something was committed since the last round */
    uint32_t epoch;
    const struct groups *state; /* that is watched; another one has to be watched anew */
    uint64_t rebuilds;          /* likewise */
    uint64_t mark;     /* of what lies before nothing was noted: it begins when all of that is committed */
    uint64_t next_ms;
    struct spread_held held;
    struct spread_walk walk;
};

/* A partition that lost its replicas (rescue.h). Its shard's alone. */
struct spread_rescue {
    enum { SPREAD_RESCUE_NONE, SPREAD_RESCUE_ASKED, SPREAD_RESCUE_HEARD, SPREAD_RESCUE_DONE } state;
    uint32_t epoch, tellers;
    uint64_t heard_ms; /* all that was committed by then was heard (monotonic); 0: nothing was */
    uint64_t barrier; /* what was put in is committed when the high watermark is behind it; 0: nothing was */
    struct spread_cells *heard; /* owned */
};

/* Of one shard, whose thread alone touches it. */
struct spread_shard {
    struct spread *spread;
    struct shard *shard;
    struct uuid topic_id; /* of the groups' topic, as of the last order */
    struct spread_watch watches[GROUP_PARTITIONS];
    struct spread_rescue rescues[GROUP_PARTITIONS];
    uint32_t on; /* watches that are */
    ev_timer timer;
    bool is_timer_ready;
    struct ends_news *ends_news; /* ends_tell.c: owned; NULL: nothing has changed since the last one left */
    ev_timer ends_timer;
    bool is_ends_ready;
};

/* From the control loop to a shard, and for walks back again. */
struct spread_order {
    struct mail mail;
    struct spread_shard *at;
    enum { SPREAD_ORDER_WATCH, SPREAD_ORDER_WALK } kind;
    struct uuid topic_id;
    uint32_t partition, epoch, walk;
    bool is_on, is_last;
    int error; /* of a walk */
    struct buffer rows;
};

/* From a shard to the control loop. */
struct spread_news {
    struct mail mail;
    struct spread *spread;
    struct spread_round round;
    struct buffer rows;
};

struct spread {
    struct control *control;
    struct peers *peers; /* NULL: no links */
    struct spread_feed *feed;
    struct spread_shard *shards; /* owned; one for each */
    struct uuid topic_id;        /* zero: there is no such topic */
    uint64_t here_ms[GROUP_PARTITIONS]; /* since when a replica is here; 0: none is */
    struct list_node rescues;    /* questions that wait for answers */
    struct spread_ends_part *ends; /* owned; ends_tell.c */
    ev_timer timer;
    uint64_t refused;
};

/* Takes what the feed wants done, and sets the timer. After every event of the feed. */
void spread_drive(struct spread *spread);
uint64_t spread_now_ms(const struct spread *spread);

/* ---- rescue.c ---- */

void rescue_receive(struct spread *spread, const struct uuid *peer, const struct spread_message *message);
void rescue_peer_up(struct spread *spread, const struct uuid *peer);
void rescue_peer_down(struct spread *spread, const struct uuid *peer);
void rescue_end_all(struct spread *spread);

/* ---- spread_shards.c ---- */

int spread_shards_init(struct spread *spread); /* MESH_ENOMEM */
void spread_shards_deinit(struct spread *spread);
/* What the feed asks of a partition that is led here. Errors: MESH_ENOMEM. */
int spread_shards_order(struct spread *spread, const struct spread_output *output);

#endif
