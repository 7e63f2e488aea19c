/* spread/held.h - a round of a partition that is watched: taken out of its leader's state as of the log's end, and told once the high watermark has
 * passed all of it.
 *
 * Taken at once, for what changes all the time has its latest record behind the high watermark whenever one looks: who waited for a moment in which it does
 * not would tell of busy consumers seldom, and of those that commit before they are answered never. Runs on the partition's loop. */
#ifndef SPREAD_HELD_H
#define SPREAD_HELD_H

#include "base/buffer.h"
#include "base/list.h"
#include "replication/groups/groups.h"

struct spread_held {
    struct list_node parts; /* owned; buffers of rows in their order */
    uint64_t to;            /* behind all that they say */
    bool is_held;           /* something was taken, and not all of it is told */
    bool has_gap;           /* some changes were not noted, or there was no memory: everything has to be told anew */
};

void spread_held_init(struct spread_held *held);
void spread_held_clear(struct spread_held *held); /* also where the log is cut, or the state is another */

/* Takes what changed since the last time. Nothing is held. wall_s: for what is gone. */
void spread_held_take(struct spread_held *held, struct groups *groups, uint32_t wall_s);

/* The next part (owned by the caller), once the high watermark is there; the last one may be empty, and has the gap. False: nothing is to be told. */
bool spread_held_next(struct spread_held *held, uint64_t high_watermark, struct buffer *ret_rows, bool *ret_is_last);

#endif
