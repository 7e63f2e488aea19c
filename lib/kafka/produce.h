/* kafka/produce.h - PRODUCE by hand: a walk over the request without memory, and a response that is written before its results are known.
 *
 * What the interpreter makes of a request costs an arena and a pass over tables; produce requests come by the hundred thousand a second. Both ways
 * accept the same bytes and write the same bytes (test_kafka_fast). Pure functions; any thread. */
#ifndef KAFKA_PRODUCE_H
#define KAFKA_PRODUCE_H

#include "base/buffer.h"
#include "kafka/codec.h"
#include "kafka/reader.h"

struct kafka_produce_entry {
    struct slice topic;    /* before version 13 */
    struct uuid topic_id;  /* from version 13 on */
    int32_t partition_count; /* of this topic */
    bool is_first;         /* of its topic */
    int32_t partition;
    struct slice records;  /* without data: null */
};

struct kafka_produce_reader {
    bool is_transactional; /* the request names a transaction */
    int16_t acks;
    int32_t timeout_ms;
    int32_t topic_count;  /* as the request says */
    int32_t filled_count; /* of those, with entries: of the rest there is nothing to answer */
    uint32_t entry_count;
    /* the walk's own */
    struct kafka_reader bytes;
    int8_t version;
    int32_t topics_left, partitions_left;
    struct kafka_produce_entry entry;
};

/* Walks the whole request (a malformed one is refused before anything of it acts), then stands before its first entry. version is one
 * that the schema has. Errors: as kafka_decode(). */
int kafka_produce_reader_init(struct kafka_produce_reader *reader, int version, struct slice message);
/* false: no more. Cannot fail after init. */
bool kafka_produce_reader_next(struct kafka_produce_reader *reader, struct kafka_produce_entry *ret_entry);

/* The response, in the request's order: start (topic_count: of those that follow); then for each entry a topic where it is the first of its topic, and a partition, where
 * *ret_at is the place for its result in the buffer; and the end. Errors: MESH_ENOMEM. */
int kafka_produce_response_start(struct buffer *to, int version, int32_t topic_count);
int kafka_produce_response_topic(struct buffer *to, int version, const struct kafka_produce_entry *first, bool is_first_topic);
int kafka_produce_response_partition(struct buffer *to, int version, int32_t partition, size_t *ret_at);
int kafka_produce_response_end(struct buffer *to, int version, int32_t topic_count);

struct kafka_produce_outcome {
    int16_t error_code;
    int64_t base_offset;        /* -1 with an error */
    int64_t log_append_time_ms; /* -1: the records have times of their own */
    int64_t log_start_offset;   /* -1: not told */
};
/* Fills in a result at its place. */
void kafka_produce_response_set(uint8_t *at, int version, const struct kafka_produce_outcome *outcome);

#endif
