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
    uint32_t flags; /* BODY_BROKER_... */
    struct slice name, host, zone;
};

#define BODY_BROKER_FENCED   1u
#define BODY_BROKER_DRAINING 2u
#define BODY_BROKER_WITNESS  4u
#define BODY_BROKER_BAD_DISK 8u /* only with DRAINING: that is why */

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

struct body_election {
    enum image_election_reason reason; /* NONE: there was no election, and the rest is not set */
    uint32_t candidate_count;          /* 0, or the replicas' */
    struct image_candidate candidates[IMAGE_REPLICAS_MAX];
};

/* The new state of one partition. */
struct body_partition {
    uint32_t partition;
    int32_t leader, leader_epoch;
    uint32_t partition_epoch;
    uint32_t replica_count; /* in a change: 0: the replicas stay as they are (the masks are over those) */
    int32_t replicas[IMAGE_REPLICAS_MAX];
    uint64_t generations[IMAGE_REPLICAS_MAX]; /* of the image; not in a change: whoever is new there gets the change's number */
    uint32_t isr, elr, last_known_elr;        /* masks over replicas */
    uint32_t adding, removing;                /* likewise: a move under way; in a change that says nothing of it: none */
    bool is_queued;                           /* the move has not begun */
    bool is_sealing;                          /* nobody leads; reports are awaited */
    bool is_pinned;                           /* a person said where it is */
    uint32_t reset_epoch;                     /* never falls; in a change: 0: as it is */
    uint32_t fresh;                           /* in a change: replicas that stay and yet begin anew (their disk was lost) */
    struct body_election election;
};

/* The masks are over the replicas and apart from each other, the leader is one of the ISR, a move adds to some and leaves some, what is
 * sealed has no leader. replica_count must be filled in. */
bool body_partition_is_sound(const struct body_partition *partition);

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

/* Partitions changed: a start, then one put for each partition. */
int body_encode_partitions_start(struct buffer *to);
int body_encode_partition(struct buffer *to, const struct body_partition *partition);
int body_encode_partitions(struct buffer *to, const struct body_partition *partitions, uint32_t count); /* all of that */
/* Checks every partition of the body but for what only the image can tell (body_partition_is_sound()). */
int body_decode_partitions(struct slice body, struct codec_reader *ret_reader);
/* true: *ret_partition is the next one; cannot fail after a successful decode. */
bool body_partition_next(struct codec_reader *reader, struct body_partition *ret_partition);

int body_encode_producer_ids(struct buffer *to, const struct body_producer_ids *ids);
int body_decode_producer_ids(struct slice body, struct body_producer_ids *ret_ids);

int body_encode_deletion(struct buffer *to, const struct image_deletion *deletion); /* but for the topic, which is the key */
int body_decode_deletion(struct slice body, struct image_deletion *ret_deletion);   /* topic_id: zero */

int body_encode_broker_state(struct buffer *to, uint32_t flags); /* BODY_BROKER_FENCED, _DRAINING, _BAD_DISK */
int body_decode_broker_state(struct slice body, uint32_t *ret_flags);

int body_encode_tombstones_dropped(struct buffer *to, uint64_t index); /* those of entries up to and including index */
int body_decode_tombstones_dropped(struct slice body, uint64_t *ret_index);

int body_encode_user(struct buffer *to, const struct image_user *user); /* but for the name, which is the key */
int body_decode_user(struct slice body, struct image_user *ret_user);   /* name: "" */
int body_encode_acl(struct buffer *to, const struct image_acl *acl);
int body_decode_acl(struct slice body, struct image_acl *ret_acl);
int body_encode_request(struct buffer *to, const struct image_request *request); /* but for the index */
int body_decode_request(struct slice body, struct image_request *ret_request);   /* index: 0 */

/* What every body begins and ends with: a newer version is not looked into (MESH_EVERSION). */
struct codec_writer body_start(struct buffer *to);
int body_open(struct slice body, struct codec_reader *ret_reader);
int body_close(const struct codec_reader *reader);

static inline void body_put_slice(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

/* Shared with the snapshot's codec. */
void body_put_replicas(struct codec_writer *writer, const int32_t *replicas, uint32_t count);
uint32_t body_get_replicas(struct codec_reader *reader, int32_t replicas[IMAGE_REPLICAS_MAX]);
void body_put_election(struct codec_writer *writer, const struct body_election *election);
void body_get_election(struct codec_reader *reader, uint32_t replica_count_max, struct body_election *ret_election);
void body_put_configs(struct codec_writer *writer, const struct image_config *configs, uint32_t count);
/* Marks the reader bad when ids are not ascending, unknown, or values are illegal; returns the number read.
 */
uint32_t body_get_configs(struct codec_reader *reader, struct image_config configs[TOPIC_CONFIG_COUNT]);

#endif
