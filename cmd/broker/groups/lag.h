/* groups/lag.h - how far groups lag behind in each topic, for /metrics: offsets out of the replicas of all shards and out of what was heard, ends as they were told.
 *
 * Nobody is asked for it, so it is the same on a broker that is alone; ends may be ENDS_FRESH_MS old. Only what was committed counts. Everything is bounded: what is
 * beyond is counted, and not looked at. */
#ifndef BROKER_GROUPS_LAG_H
#define BROKER_GROUPS_LAG_H

#include "base/uuid.h"
#include "cmd/broker/runtime/metrics.h"
#include "replication/groups/record.h"

#define GROUP_LAG_CELLS_MAX 20000 /* committed offsets of a shard, and of what was heard, in each scrape */
#define GROUP_LAG_ROWS_MAX  1000  /* groups with a topic that are told, the first by name */

struct control;
struct shard;

struct group_lag {
    char group[GROUP_NAME_SIZE_MAX + 1];
    struct uuid topic;
    const char *topic_name; /* of the image */
    uint64_t lag, age_ms;   /* age: of the oldest end in it, at most */
    uint32_t unknown;       /* partitions whose end nobody has told */
};

struct group_lags {
    struct group_lag *rows; /* owned; by names */
    size_t count;
    uint64_t left_out; /* committed offsets and rows that are in none of these */
};

/* On the shard. Without memory it leaves out. */
void group_lag_collect(struct shard *shard, struct metrics_group_cells *ret_cells);

/* Control loop: of a gathered set. To be ended with group_lags_deinit(). */
void group_lags_of(const struct control *control, const struct metrics_set *set, struct group_lags *ret_lags);
void group_lags_deinit(struct group_lags *lags);

#endif
