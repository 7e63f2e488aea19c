/* spread/held.h - a round of a partition that is watched: taken out of its leader's state as of the log's end, each row of it told once the high watermark
 * has passed its record.
 *
 * Taken at once, for what changes all the time has its latest record behind the high watermark whenever one looks: who waited for a moment in which it does
 * not would tell of busy consumers seldom, and of those that commit before they are answered never. Where the high watermark stands still within a
 * round, what lies below it is told in parts, and the rest waits; the round ends when the high watermark has passed all of it. Runs on the partition's loop. */
#ifndef SPREAD_HELD_H
#define SPREAD_HELD_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/groups/groups.h"

struct spread_held {
    struct list_node committed; /* owned; buffers of rows in their order, below the high watermark when it was looked at last */
    struct list_node others;    /* likewise, and not */
    uint64_t sorted_to;     /* the high watermark as of then */
    uint64_t to;            /* behind all that they say */
    bool is_held;           /* something was taken, and not all of it is told */
    bool has_told;          /* a part of it is */
    bool has_gap;           /* some changes were not noted, or there was no memory: everything has to be told anew */
};

void spread_held_init(struct spread_held *held);
void spread_held_clear(struct spread_held *held); /* also where the log is cut, or the state is another */

/* Takes what changed since the last time. Nothing is held. wall_s: for what is gone. */
void spread_held_take(struct spread_held *held, struct groups *groups, uint64_t high_watermark, uint32_t wall_s);

/* Looks which rows the high watermark has passed since they were taken or this was done last; it costs as much as taking them. Once the
 * round is as old as rounds are apart: mostly it is told as a whole long before. Errors: MESH_ENOMEM (all is as it was). */
int spread_held_sort(struct spread_held *held, uint64_t high_watermark);

/* The next part (owned by the caller) of what is committed. The last one comes once the high watermark has passed the round, has the gap, and may be empty: who
 * was told the others waits for it. False: nothing is to be told. */
bool spread_held_next(struct spread_held *held, uint64_t high_watermark, struct buffer *ret_rows, bool *ret_is_last);

#endif
