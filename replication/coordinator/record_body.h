/* coordinator/record_body.h - what the records' bodies say; their bytes: FORMAT.md.
 *
 * Encoders append to a buffer (MESH_ENOMEM). Decoders check every count and size against its limit before
 * they use it, allocate nothing and let slices point into the body: MESH_ECORRUPT, or MESH_EVERSION when the
 * body's version is newer than BODY_VERSION. Pure functions; any thread. */
#ifndef COORDINATOR_RECORD_BODY_H
#define COORDINATOR_RECORD_BODY_H

#include "base/codec.h"
#include "replication/coordinator/image.h"

#define BODY_VERSION 1

struct body_broker {
    int32_t node_id;
    struct uuid dir_id;
    uint64_t boot;
    uint16_t port;
    uint32_t shard_count;
    struct slice name, host, zone;
};

/* `count` consecutive new partitions with the same replicas; the first replica leads, all are in sync. */
struct body_placement {
    uint32_t count;
    uint32_t replica_count;
    int32_t replicas[IMAGE_REPLICAS_MAX];
};

/* A topic created, or altered (then configs replace the old ones and placements add partitions; no name). */
struct body_topic {
    struct slice name;
    struct image_config configs[TOPIC_CONFIG_COUNT]; /* ordered by id, each at most once */
    uint32_t config_count;
    uint32_t placement_count;
    uint32_t partition_count;       /* sum over the placements */
    struct codec_reader placements; /* for body_placement_next() */
};

/* The new state of one partition. */
struct body_partition {
    uint32_t partition;
    int32_t leader, leader_epoch;
    uint32_t partition_epoch;
    uint32_t replica_count;
    int32_t replicas[IMAGE_REPLICAS_MAX];
    uint32_t isr; /* mask over replicas */
};

struct body_producer_ids {
    int32_t node_id;
    int64_t first;
    uint32_t count;
};

/* Nothing but the version: a mesh founded, a topic deleted. */
int body_encode_empty(struct buffer *to);
int body_decode_empty(struct slice body);

int body_encode_broker(struct buffer *to, const struct body_broker *broker);
int body_decode_broker(struct slice body, struct body_broker *ret_broker);

/* placements: topic->placement_count of them. */
int body_encode_topic(struct buffer *to, const struct body_topic *topic,
                      const struct body_placement *placements);
int body_decode_topic(struct slice body, struct body_topic *ret_topic);
/* true: *ret_placement is the next one; cannot fail after a successful decode. */
bool body_placement_next(struct body_topic *topic, struct body_placement *ret_placement);

int body_encode_partitions(struct buffer *to, const struct body_partition *partitions, uint32_t count);
/* *ret_count says how often body_partition_next() may be called; each call checks one entry. */
int body_decode_partitions(struct slice body, struct codec_reader *ret_reader, uint32_t *ret_count);
/* Errors: MESH_ECORRUPT. */
int body_partition_next(struct codec_reader *reader, struct body_partition *ret_partition);

int body_encode_producer_ids(struct buffer *to, const struct body_producer_ids *ids);
int body_decode_producer_ids(struct slice body, struct body_producer_ids *ret_ids);

/* Shared with the snapshot's codec. */
void body_put_partition(struct codec_writer *writer, const struct body_partition *partition);
void body_put_configs(struct codec_writer *writer, const struct image_config *configs, uint32_t count);
/* Marks the reader bad when ids are not ascending, unknown, or values are illegal; returns the number read.
 */
uint32_t body_get_configs(struct codec_reader *reader, struct image_config configs[TOPIC_CONFIG_COUNT]);

#endif
