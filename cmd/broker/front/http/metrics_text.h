/* front/http/metrics_text.h - everything that /metrics says, in Prometheus' text format 0.0.4.
 *
 * Base units (seconds, bytes), one HELP and TYPE per family, counters end in _total. Cardinality is bounded:
 * series are per shard (one per core), per native operation, and per topic for at most topics_max topics in
 * the order of their names; all further ones are summed as topic="(other)", a name that no topic can have. No
 * input/output. */
#ifndef FRONT_HTTP_METRICS_TEXT_H
#define FRONT_HTTP_METRICS_TEXT_H

#include "base/buffer.h"
#include "cmd/broker/front/http/process.h"
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/runtime/metrics.h"

struct forward_stats;
struct group_lags;
struct spread_stats;
struct peers_stats;

struct metrics_input {
    const struct metrics_set *set;
    const struct image *image;
    const struct describe_facts *facts;
    const struct process_stats *process;
    bool is_ready;
    int64_t start_wall_ms;
    uint32_t topics_max;
    uint32_t http_connections;
    const struct peers_stats *peers; /* NULL: none yet */
    const struct forward_stats *forward; /* NULL: not asked */
    const struct spread_stats *spread;   /* likewise */
    const struct group_lags *group_lags; /* likewise */
};

/* Appends the whole exposition. Errors: MESH_ENOMEM. */
int metrics_text_write(const struct metrics_input *input, struct buffer *to);

#endif
