/* spread/feed.h - who tells whom what was committed: one broker's part in it.
 *
 * Of each group partition a broker is one of three: it leads it and tells; it holds an in-sync replica and needs to hear nothing; or it is elsewhere and
 * subscribes to the leader. A subscriber is told all that there is in pieces, then round by round what changed. Rounds and pieces are made once
 * for all subscribers. A partition without subscribers is not watched and costs nothing.
 *
 * Sans-I/O: links, messages, rows from the partitions and the time go in; outputs come out. Rows that are handed in lie below the high
 * watermark; nothing here could tell. Owned by one loop. */
#ifndef SPREAD_FEED_H
#define SPREAD_FEED_H

#include "replication/spread/cells.h"

#define SPREAD_ROUND_MS 1000 /* between two rounds of a partition */

struct spread_feed;

struct spread_feed_options {
    size_t ring_bytes_max;  /* rounds kept for subscribers that are behind, of each partition; further back they start over */
    size_t link_bytes;      /* for each subscriber's link in SPREAD_ROUND_MS */
    size_t cache_bytes_max; /* of all caches together; beyond it no further partition is subscribed to */
    uint32_t silence_ms;    /* a question that is not answered for so long is asked again */
    uint32_t tombstones_s;  /* how long what is gone is remembered */
};
void spread_feed_options_init(struct spread_feed_options *options);

int spread_feed_new(const struct spread_feed_options *options, struct spread_feed **ret_feed); /* MESH_ENOMEM */
void spread_feed_free(struct spread_feed *feed);                                                /* accepts NULL */

/* ---- events ---- */

enum spread_role {
    SPREAD_ELSEWHERE, /* no in-sync replica is here */
    SPREAD_HELD,      /* one is: whoever asks is answered from its state */
    SPREAD_LED,
    SPREAD_ROLES,
};

/* What the metadata say of a partition, whenever it may have changed. leader: NULL none; who is heard already goes on being heard while the epoch stays. */
void spread_feed_place(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, enum spread_role role, const struct uuid *leader, uint32_t epoch);

int spread_feed_peer_up(struct spread_feed *feed, uint64_t now_ms, const struct uuid *peer); /* MESH_ENOMEM: as if it were not */
void spread_feed_peer_down(struct spread_feed *feed, uint64_t now_ms, const struct uuid *peer);

/* SUBSCRIBE, UNSUBSCRIBE, ROUND, PIECE and RECOVER; other kinds are the caller's, and nothing happens. What does not fit the time or the sender is dropped.
 * Errors: MESH_ENOMEM (told again when asked again, which happens by itself). */
int spread_feed_receive(struct spread_feed *feed, uint64_t now_ms, const struct uuid *peer, const struct spread_message *message);

/* What SPREAD_OUTPUT_SEND asked for did not get onto the link to this peer: what it subscribes to is told from the start. */
void spread_feed_lost(struct spread_feed *feed, const struct uuid *peer);

/* A watched partition: what changed below the high watermark, which is at `to` now, since this was said last; said only when something did.
 * is_first: watching has begun, nothing is told. is_part: the rest of this round follows (a message has its limits), and `to` comes with the last part.
 * has_gap: not all that changed is known, and subscribers start over. Errors: MESH_ENOMEM (as has_gap). */
struct spread_round {
    uint32_t partition, epoch;
    uint64_t to;
    bool is_first, is_part, has_gap;
    struct slice rows;
};
int spread_feed_round(struct spread_feed *feed, const struct spread_round *round);

/* The answer to SPREAD_OUTPUT_WALK. Errors: MESH_ENOMEM (the walk begins anew with the next tick). */
int spread_feed_walked(struct spread_feed *feed, uint64_t now_ms, uint32_t partition, uint32_t walk, struct slice rows, bool is_last);

void spread_feed_tick(struct spread_feed *feed, uint64_t now_ms);
/* When a tick is due: UINT64_MAX while nothing waits and nothing is behind. */
uint64_t spread_feed_due_ms(const struct spread_feed *feed);

/* ---- outputs: to be taken until there are none after each event ---- */

enum spread_output_kind {
    SPREAD_OUTPUT_SEND,  /* `bytes` to `peer` */
    SPREAD_OUTPUT_LINK,  /* a link to `peer` is wanted (is_on), or no more */
    SPREAD_OUTPUT_WATCH, /* rounds of `partition`, led in `epoch`, are wanted (is_on), or no more; leadership ends it by itself */
    SPREAD_OUTPUT_WALK,  /* the next piece of all that `partition` has below its high watermark. is_on: the first of walk number `walk` */
};

struct spread_output {
    enum spread_output_kind kind;
    struct uuid peer;
    struct slice bytes; /* valid until the next call */
    uint32_t partition, epoch, walk;
    bool is_on;
};

/* Errors show as a SUBSCRIBE that is sent later, never as a false output. */
bool spread_feed_next_output(struct spread_feed *feed, uint64_t now_ms, struct spread_output *ret_output);

/* ---- looking ---- */

/* What was heard of a partition; NULL: nothing. It outlives its leader, and is replaced once the next one has told all. */
const struct spread_cells *spread_feed_cells(const struct spread_feed *feed, uint32_t partition);

/* This broker's replica has it all, or it was written into it: what was heard is of no more use. */
void spread_feed_forget(struct spread_feed *feed, uint32_t partition);

/* How old that may be at most, as far as can be known here. UINT64_MAX: nothing was heard. */
uint64_t spread_feed_age_ms(const struct spread_feed *feed, uint64_t now_ms, uint32_t partition);

struct spread_feed_stats {
    uint64_t rounds_told, pieces_told, bytes_told, rounds_heard, pieces_heard, bytes_heard;
    uint64_t starts_over; /* subscribers that had to be told everything again: the ring was too short */
    uint32_t subscribers, following; /* partitions that this broker follows without a gap */
    size_t cache_bytes;
};
struct spread_feed_stats spread_feed_stats_of(const struct spread_feed *feed);

#endif
