/* kafka/fetch.h - FETCH's response by hand, in pieces, so that records can stay where they are: in memory that the log owns, or in its files.
 *
 *   start, then for each topic: topic, then for each partition: partition, (its records, sent by the caller), partition_end; topic_end; end
 *
 * The bytes are those that the interpreter would write (test_kafka_fast). Pure functions; any thread. All return 0 or MESH_ENOMEM. */
#ifndef KAFKA_FETCH_H
#define KAFKA_FETCH_H

#include "base/buffer.h"
#include "base/slice.h"
#include "base/uuid.h"

struct kafka_fetch_outcome {
    int32_t partition;
    int16_t error_code;
    int64_t high_watermark;   /* -1: not told */
    int64_t log_start_offset; /* likewise */
    uint32_t records_size;    /* bytes that follow */
};

int kafka_fetch_response_start(struct buffer *to, int version, int16_t error_code, int32_t topic_count);
/* name is written before version 13, the id from then on. */
int kafka_fetch_response_topic(struct buffer *to, int version, struct slice name, const struct uuid *topic_id, int32_t partition_count);
int kafka_fetch_response_partition(struct buffer *to, int version, const struct kafka_fetch_outcome *outcome);
int kafka_fetch_response_partition_end(struct buffer *to, int version);
int kafka_fetch_response_topic_end(struct buffer *to, int version);
int kafka_fetch_response_end(struct buffer *to, int version);

#endif
