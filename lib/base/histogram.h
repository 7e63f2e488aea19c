/* base/histogram.h - a latency histogram with bounded relative error, after HdrHistogram (G. Tene).
 *
 * Values are uint64 (ns, us, bytes: the caller's unit). 32 linear buckets per power of two: relative error <= 3.2 %.
 * 15 KiB, all of it in the struct; recording is O(1) and allocates nothing. Owned by one thread; histogram_merge() copies. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS     5
#define HISTOGRAM_BUCKET_COUNT ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count;
    uint64_t sum; /* of the recorded values */
    uint64_t min, max;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

void histogram_init(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest recorded value (to the histogram's precision) such that `quantile` (0..1) of all are <= it; 0 when
 * nothing was recorded. */
uint64_t histogram_quantile(const struct histogram *histogram, double quantile);

/* How many recorded values are <= limit (to the histogram's precision); for Prometheus buckets. */
uint64_t histogram_count_at_most(const struct histogram *histogram, uint64_t limit);

#endif
