/* Five brokers that tell each other what was committed, over links that are slow, end, and lose what was on its way: for tests of feeds. */
#ifndef SPREAD_RIG_H
#define SPREAD_RIG_H

#include "base/random.h"
#include "replication/spread/feed.h"

#define RIG_NODES      5
#define RIG_PARTITIONS 3
#define RIG_PIECES     4 /* of a walk: groups by their hash, as they are when each is made */

struct rig_message {
    struct rig_message *next;
    size_t size;
    uint8_t data[];
};

struct rig_node {
    struct spread_feed *feed;
    bool is_up[RIG_NODES];             /* a link, at this end */
    struct rig_message *inbox[RIG_NODES]; /* in the order in which they were sent */
    bool is_wanted[RIG_NODES];
};

/* A group partition, as its leader has committed it. */
struct rig_partition {
    struct spread_cells *truth;
    struct buffer rows; /* since the last round */
    struct spread_rows_writer writer;
    uint32_t leader, epoch;
    uint64_t lsn;
    bool is_watched, is_walking, has_changed, is_parted;
    uint32_t walk, piece;
    bool is_held[RIG_NODES];
};

struct rig {
    struct random random;
    struct rig_node nodes[RIG_NODES];
    struct rig_partition partitions[RIG_PARTITIONS];
    uint64_t now_ms;
    uint64_t sent_messages, sent_bytes;
    struct spread_feed_options options;
};

void rig_init(struct rig *rig, uint64_t seed);
void rig_deinit(struct rig *rig);

void rig_link(struct rig *rig, uint32_t a, uint32_t b, bool is_up);
void rig_commit(struct rig *rig, uint32_t partition, const struct spread_row *row); /* its version is set here */
void rig_commit_any(struct rig *rig, uint32_t partition);
void rig_round(struct rig *rig, uint32_t partition); /* what was committed since the last one */
void rig_place(struct rig *rig, uint32_t partition); /* every broker hears what the metadata say */
void rig_lead(struct rig *rig, uint32_t partition, uint32_t leader);
bool rig_deliver(struct rig *rig); /* one message; false: there was none */
void rig_outputs(struct rig *rig, uint32_t node);
void rig_pass(struct rig *rig, uint64_t ms); /* time, and what is due in it */

void rig_step(struct rig *rig); /* something happens */
void rig_heal(struct rig *rig); /* every link comes up, everything arrives, for some rounds */

/* The first broker that follows a partition and has not what its leader has, as 10 * partition + broker; -1: none. */
int rig_find_difference(const struct rig *rig);

#endif
