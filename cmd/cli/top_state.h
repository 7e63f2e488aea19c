/* cli/top_state.h - what `mesh top` shows: figures of brokers, topics and groups out of what their /metrics say, and what changed between two looks.
 *
 * No input or output. Counters are sums over a broker's shards; a rate is what was added between two looks, of a topic
 * by those brokers that answered both times. */
#ifndef CLI_TOP_STATE_H
#define CLI_TOP_STATE_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_BUCKETS_MAX 64
#define TOP_NAME_SIZE   256 /* of topics and groups, NUL included; longer ones are not shown */

/* A cumulative histogram: how many took at most so long, in rising order of bounds. */
struct top_histogram {
    double bounds_s[TOP_BUCKETS_MAX], counts[TOP_BUCKETS_MAX];
    size_t count;
};

struct top_broker {
    bool is_there; /* it answered */
    double is_ready, cpu_s, resident_bytes, disk_free_bytes, connections, leaders;
    double produced_records, produced_bytes, fetched_bytes;
    struct top_histogram acks, syncs;
};

enum top_counter { TOP_PRODUCED_RECORDS, TOP_PRODUCED_BYTES, TOP_FETCHED_BYTES, TOP_COUNTERS };

struct top_topic {
    char name[TOP_NAME_SIZE];
    double stored_bytes;               /* on those who answered */
    double (*counters)[TOP_COUNTERS]; /* owned; of each broker: what one that was silent has counted meanwhile was not added since */
};

struct top_lag {
    char group[TOP_NAME_SIZE], topic[TOP_NAME_SIZE];
    double records;
};

struct top_look {
    uint64_t at_ns;
    struct top_broker *brokers; /* owned, as the following */
    size_t broker_count;
    struct top_topic *topics; /* by name */
    size_t topic_count, topic_capacity;
    struct top_lag *lags; /* by group, then topic */
    size_t lag_count, lag_capacity;
};

/* For so many brokers. Errors: MESH_ENOMEM. */
int top_look_init(struct top_look *look, size_t broker_count, uint64_t now_ns);
void top_look_deinit(struct top_look *look); /* accepts a zero-initialised one */

/* Adds what broker number `index` says. Errors: MESH_ENOMEM (some of it was added). */
int top_look_add(struct top_look *look, size_t index, struct slice exposition);

const struct top_topic *top_find_topic(const struct top_look *look, const char *name); /* or NULL */

/* What was added in a second; NaN when there is no look before, or the counter has begun anew. */
double top_rate(double before, double now, double seconds);

/* The same of what all brokers added to a topic, of those that are in both looks and have not begun anew; NaN: of none. `topic` is of `now`. */
double top_topic_rate(const struct top_look *before, const struct top_look *now, const struct top_topic *topic, enum top_counter counter, double seconds);

/* The q-quantile (0 to 1) of what was added between two looks, seconds: the bound of the bucket that it lies in. NaN: nothing was added. */
double top_quantile(const struct top_histogram *before, const struct top_histogram *now, double q);

#endif
