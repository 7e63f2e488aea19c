#include "base/histogram.h"

#include <string.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB_COUNT) return (unsigned)value;
    shift = (unsigned)(63 - __builtin_clzll(value)) - HISTOGRAM_SUB_BITS;
    return ((shift + 1) << HISTOGRAM_SUB_BITS) + (unsigned)((value >> shift) - SUB_COUNT);
}

/* The largest value that falls into a bucket. */
static uint64_t bucket_upper(unsigned bucket)
{
    unsigned shift;

    if (bucket < SUB_COUNT) return bucket;
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return (((uint64_t)(bucket & (SUB_COUNT - 1)) + SUB_COUNT + 1) << shift) - 1;
}

void histogram_init(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->count++;
    histogram->sum += value;
    if (value < histogram->min) histogram->min = value;
    if (value > histogram->max) histogram->max = value;
    histogram->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    if (from->min < into->min) into->min = from->min;
    if (from->max > into->max) into->max = from->max;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *histogram, double quantile)
{
    uint64_t rank, seen = 0;

    if (histogram->count == 0) return 0;
    rank = (uint64_t)(quantile * (double)histogram->count + 0.5);
    if (rank < 1) rank = 1;
    if (rank > histogram->count) rank = histogram->count;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank) return bucket_upper(i) < histogram->max ? bucket_upper(i) : histogram->max;
    }
    return histogram->max;
}

uint64_t histogram_count_at_most(const struct histogram *histogram, uint64_t limit)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT && bucket_upper(i) <= limit; i++)
        seen += histogram->buckets[i];
    return seen;
}
