/* spread/feed_internal.h - inside the feed, for feed.c, feed_tell.c and feed_hear.c alone. */
#ifndef SPREAD_FEED_INTERNAL_H
#define SPREAD_FEED_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "replication/spread/feed.h"

/* A message as it is sent. */
struct feed_block {
    struct list_node node;
    uint64_t from, to, number; /* ROUND; numbers are this teller's */
    size_t size;
    uint8_t data[];
};

/* A broker that is linked, or that a link is wanted to. */
struct feed_peer {
    struct map_node node;    /* in feed->peers */
    struct list_node change; /* in feed->link_changes: what is wanted is not what was asked for */
    struct uuid id;
    bool is_up, is_link_asked;
    uint32_t wanted; /* partitions that follow it */
    size_t sent;     /* bytes since the round began */
};

/* A subscriber, at this end. */
struct feed_subscriber {
    struct list_node node;
    struct feed_peer *peer;
    bool is_walking;       /* it is told everything, and is at `piece`; else what changes, from round `next` on */
    bool is_to_be_greeted; /* so that it knows it was heard, at `position` */
    uint32_t piece;
    uint64_t next, position;
};

/* A partition that this broker leads. */
struct feed_teller {
    struct list_node subscribers;
    bool is_watch_asked, is_ready; /* ready: rounds come */
    struct list_node ring;         /* rounds from `start` to `at` */
    size_t ring_bytes;
    uint64_t start, at, next_number;
    uint32_t parts; /* of the round that begins at `at` */
    struct list_node pieces; /* of the walk */
    uint32_t walk, piece_count;
    uint64_t walk_at, walk_number, walk_used_ms;
    bool has_walk, is_walk_asked, is_walk_complete, is_walk_broken;
};

enum feed_phase {
    FEED_IDLE,      /* nobody to follow */
    FEED_WAITING,   /* for a link */
    FEED_ASK,       /* SUBSCRIBE is to be sent */
    FEED_ASKED,
    FEED_FOLLOWING, /* without a gap */
};

/* A partition that is elsewhere. */
struct feed_hearer {
    enum feed_phase phase;
    struct feed_peer *leader; /* NULL: none */
    bool has_position;
    uint32_t position_epoch, next_piece, newest_s, purged_s, asks;
    uint32_t parts; /* of the round that begins at `position`: heard */
    uint64_t position, asked_ms, heard_ms;
    struct spread_cells *cells, *incoming; /* owned; NULL: nothing */
};

struct feed_partition {
    enum spread_role role;
    uint32_t epoch;
    struct feed_teller tell;
    struct feed_hearer hear;
    bool has_unsubscribe;
    struct uuid unsubscribe_from;
};

/* An answer to RECOVER on its way. */
struct feed_answer {
    struct list_node node;
    struct uuid peer;
    struct feed_block *block; /* owned */
};

struct spread_feed {
    struct spread_feed_options options;
    struct feed_partition partitions[GROUP_PARTITIONS];
    struct map peers;
    struct list_node link_changes, answers;
    uint64_t dirty;       /* a bit for each partition that may have an output */
    uint32_t turn;        /* the partition that is looked at next */
    uint64_t round_ms;    /* when this round of budgets began */
    bool is_held_back;    /* by a budget */
    struct feed_block *sent; /* owned: what the last output borrowed from */
    struct buffer bytes;     /* the last output's, where it is made anew */
    struct spread_feed_stats stats;
};

static inline void feed_touch(struct spread_feed *feed, uint32_t partition)
{
    feed->dirty |= 1ull << partition;
}

struct feed_peer *feed_find_peer(const struct spread_feed *feed, const struct uuid *id);     /* NULL: none */
int feed_add_peer(struct spread_feed *feed, const struct uuid *id, struct feed_peer **ret_peer); /* or the one that is there; MESH_ENOMEM */
void feed_link_changed(struct spread_feed *feed, struct feed_peer *peer);

int feed_block_new(const struct spread_message *message, struct feed_block **ret_block); /* MESH_ENOMEM, MESH_ETOOLARGE */

/* ---- feed_tell.c ---- */

void tell_init(struct feed_teller *tell);
void tell_clear(struct feed_teller *tell); /* leads no more */
int tell_subscribe(struct spread_feed *feed, uint32_t partition, struct feed_peer *peer, const struct spread_message *message);
void tell_unsubscribe(struct spread_feed *feed, uint32_t partition, const struct feed_peer *peer);
void tell_from_the_start(struct spread_feed *feed, uint32_t partition, const struct feed_peer *peer);
void tell_tick(struct spread_feed *feed, uint64_t now_ms, uint32_t partition);
uint64_t tell_due_ms(const struct feed_teller *tell);
bool tell_output(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, struct spread_output *ret_output);

/* ---- feed_hear.c ---- */

int hear_follow(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct uuid *leader); /* NULL: nobody; MESH_ENOMEM */
void hear_ask(struct spread_feed *feed, uint32_t partition);
int hear_receive(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct feed_peer *peer, const struct spread_message *message);
void hear_down(struct spread_feed *feed, uint64_t now_ms, uint32_t partition);
void hear_tick(struct spread_feed *feed, uint64_t now_ms, uint32_t partition);
uint64_t hear_due_ms(const struct spread_feed *feed, const struct feed_hearer *hear);
bool hear_output(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, struct spread_output *ret_output);
int hear_recall(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, const struct feed_peer *peer, uint32_t epoch); /* MESH_ENOMEM */

#endif
