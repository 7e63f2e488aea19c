/* broker/runtime/partitions.h - the topics and partitions that a shard has open.
 *
 * Logs that hold records are opened at start; others when they are first used, so that a partition nobody writes to costs
 * nothing. A topic's entry exists while any of its partitions is open. */
#ifndef BROKER_RUNTIME_PARTITIONS_H
#define BROKER_RUNTIME_PARTITIONS_H

#include "base/list.h"
#include "base/map.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"
#include "replication/partition/replica.h"

struct shard_topic {
    struct map_node node;
    struct metrics_topic metrics; /* topic_id in it is the key; stored_bytes is summed when asked for */
    const struct image_topic *topic; /* referenced */
    struct list_node partitions;
    bool is_internal; /* the mesh's own: clients neither produce nor fetch */
    bool is_missing; /* the newest image neither has it nor says that it was deleted */
};

/* Acknowledgements that wait for the high watermark: made with the first one, and gone when the shard has nothing to do. */
struct shard_partition_acks {
    struct shard_partition *partition;
    struct ack_queue queue;
    struct list_node link; /* in shard->acks_committing while there are any, in acks_resting while there is only room */
};

/* Very many of them rest: no gaps between the fields, and what only those at work have is behind a pointer. */
struct shard_partition {
    struct map_node node;
    struct shard_topic *topic;
    struct plog *plog; /* NULL once deleted */
    struct list_node link;    /* in topic->partitions */
    struct list_node waiters; /* fetch entries waiting for the high watermark */
    uint32_t number;
    uint32_t pending; /* acknowledgements and calls that point here */
    uint32_t cut_count; /* how often its log was cut: what was appended before may be gone */
    uint16_t redo;    /* todo bits of replica.h that could not be done yet */
    bool has_cold_readers : 1; /* some wait for the disk: any news of the log may be what they wait for */
    bool is_warming : 1;       /* a job brings old records into memory for followers */
    bool was_replicated : 1;   /* in this run: its log keeps a high watermark */
    bool is_end_due : 1;       /* spread/ends_tell.c: its end has changed since the others were told */
    bool is_config_due : 1;    /* its log goes by older settings: there was no memory for the new ones */
    bool is_deletion_due : 1;  /* records that clients had deleted are here still: looked at when more is known to be committed */
    uint64_t redo_ms; /* when `redo` is to be done */
    struct list_node redo_link, ask_link; /* replicas/; ask: for another ISR, or for a leader */
    struct compared *compared; /* replicas/compare.c, owned; NULL: it has not followed anybody yet */
    struct damaged *damaged; /* replicas/heal.c; NULL: it is not */
    struct group_replica *group; /* groups/; NULL: it is no group partition */
    struct shard_partition_acks *acks; /* owned; NULL: there are none, nor room for any */
    struct replica replica;
};

/* The partition, opened if need be. Errors: MESH_EUNKNOWN_TOPIC, MESH_ENOT_LEADER (another broker leads it, and it is not open here),
 * MESH_ENOMEM. */
int shard_partition_get(struct shard *shard, const struct uuid *topic_id, uint32_t number,
                        struct shard_partition **ret_partition);
/* The same, whoever leads it: a replica that is kept here. Errors: MESH_EUNKNOWN_TOPIC, MESH_ENOT_LEADER (it is not), MESH_ENOMEM. */
int shard_partition_open(struct shard *shard, const struct uuid *topic_id, uint32_t number, struct shard_partition **ret_partition);
/* The same, if it is open; else NULL. */
struct shard_partition *shard_partition_find(struct shard *shard, const struct uuid *topic_id, uint32_t number);

/* At start, before the thread runs: a log that recovery found. Takes `recovered`. Errors: MESH_EUNKNOWN_TOPIC (not in
 * the image), MESH_ENOMEM. */
int shard_partition_open_recovered(struct shard *shard, const struct plog_id *id, struct plog_recovered *recovered);

void shard_topic_free_if_empty(struct shard *shard, struct shard_topic *topic);

/* What its log has now. What a follower, or nobody yet, has ends where its damage begins. */
void shard_partition_positions(const struct shard_partition *partition, struct partition_positions *ret_positions);

/* The newest image says that this broker keeps no replica of it any more: its log goes, with its files; the caller then lets go of an empty
 * topic. False: it does keep one, or the image does not say. */
bool shard_partition_drop_if_moved(struct shard *shard, struct shard_partition *partition);

/* Drops one reference of `pending`. */
void shard_partition_release(struct shard_partition *partition);

/* Its log goes by what the image says of its topic; what finds no memory is tried again. */
void shard_partition_configure_log(struct shard *shard, struct shard_partition *partition);

/* Installs an image (takes the reference): topics that it says are deleted go, with their files; changed settings take effect. */
void shard_install_image(struct shard *shard, const struct image *image);

/* The store's notification: positions or the error of a log changed. */
void shard_on_plog_change(void *user, struct plog *plog);

/* Frees the table; the store is closed by the caller. */
void shard_partitions_deinit(struct shard *shard);

static inline uint64_t partition_hash(const struct uuid *topic_id, uint32_t number)
{
    uint64_t high, low;

    memcpy(&high, topic_id->bytes, sizeof(high));
    memcpy(&low, topic_id->bytes + sizeof(high), sizeof(low));
    high = (high ^ (low << 1) ^ number) * 0x9e3779b97f4a7c15ull;
    return high ^ (high >> 29);
}

#endif
