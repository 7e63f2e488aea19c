/* spread/ends.h - how far partitions go: the high watermarks that brokers tell each other once a second, so that each can say how far a group lags.
 *
 * A later leader epoch wins; within one, the higher mark; and of what this broker leads it knows best itself. What changes is told in the order in which it changed, so a budget that is used up leaves a
 * prefix told and the rest for the next round (PROTOCOLS 2.4); what changes again before anybody was told keeps its turn, so where more changes than can be told each is told now and then. Owned by one loop. */
#ifndef SPREAD_ENDS_H
#define SPREAD_ENDS_H

#include "replication/spread/message.h"

#define SPREAD_ENDS_MAX 1000000u /* partitions; more are not held */

struct spread_ends;

int spread_ends_new(struct spread_ends **ret_ends); /* MESH_ENOMEM */
void spread_ends_free(struct spread_ends *ends);    /* accepts NULL */

/* is_own: this broker leads it, and passes it on. Errors: MESH_ENOMEM, MESH_EFULL. */
int spread_ends_merge(struct spread_ends *ends, uint64_t now_ms, const struct spread_end *end, bool is_own);

/* False: nothing was heard. */
bool spread_ends_find(const struct spread_ends *ends, const struct uuid *topic, uint32_t partition, struct spread_end *ret_end, uint64_t *ret_heard_ms);

/* Own ends that changed after *position (0: all), the oldest first, until `bytes_max` are written; *position moves with what was. False: there are none.
 * After an error *position is as before. */
bool spread_ends_tell(struct spread_ends *ends, uint64_t *position, size_t bytes_max, struct buffer *to);
bool spread_ends_is_behind(const struct spread_ends *ends, uint64_t position);

/* Forgets partitions of all other topics: nobody consumes them any more, or they are gone. */
void spread_ends_keep(struct spread_ends *ends, bool (*is_wanted)(void *arg, const struct uuid *topic), void *arg);

size_t spread_ends_count(const struct spread_ends *ends);
size_t spread_ends_bytes(const struct spread_ends *ends);

#endif
