/* spread/collect.h - rows out of the state of a group partition, by whoever leads it: what changed, and everything.
 *
 * The state is that of the log's end. A walk passes over what has its latest record at or behind the high watermark: it is a change, and told in a round from
 * before the walk or since (held.h). So such rounds and the walk together tell all. Runs on the partition's loop. */
#ifndef SPREAD_COLLECT_H
#define SPREAD_COLLECT_H

#include "replication/spread/message.h"

#define SPREAD_COLLECT_BYTES (256u << 10) /* rows of one part of a round, but for the last */

/* What changed since the last call, up to the log's end, as rows behind what `committed` and `others` hold: below the high watermark, and not.
 * *ret_has_more: this is a part, call again. *ret_has_gap: some changes were not noted, or there was no memory: everything has to be told anew.
 * wall_s: for what is gone. */
void spread_collect_changes(struct groups *groups, uint64_t high_watermark, uint32_t wall_s, struct buffer *committed, struct buffer *others, bool *ret_has_more,
                            bool *ret_has_gap);

/* A walk over everything: {0} first. */
struct spread_walk {
    uint32_t group, cell;
    bool has_groups; /* all of them were told */
};

/* The next piece, of about SPREAD_PIECE_BYTES. Errors: MESH_ENOMEM (the walk is of no more use). */
int spread_collect_piece(const struct groups *groups, uint64_t high_watermark, struct spread_walk *walk, struct buffer *to, bool *ret_is_last);

/* A cell and a group as rows. Slices borrow from the state. */
struct spread_row spread_row_of_cell(const struct group *group, const struct uuid *topic, uint32_t partition, const struct group_offset *offset);
struct spread_row spread_row_of_group(const struct group *group);

#endif
