/* coordinator/image_codec.c - the image as bytes and back: snapshots (FORMAT.md).
 *
 * Topics are written by name and tombstones by index, so equal images have equal bytes. What is read is
 * checked like a record: a snapshot can be damaged too. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"
#include "base/list.h"
#include "replication/consensus/config_codec.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define SNAPSHOT_VERSION           3
#define SNAPSHOT_VERSION_DELETIONS 4 /* only where records were deleted: who goes back a version before that can read it */

#define STATE_QUEUED  1u
#define STATE_SEALING 2u
#define STATE_PINNED  4u

/* ---- writing ---- */

static int put_slots(struct codec_writer *writer, const struct broker_slot *slots, uint32_t count)
{
    struct buffer body = BUFFER_INIT;

    codec_put_varint(writer, count);
    for (uint32_t i = 0; i < count && writer->error == 0; i++) {
        const struct image_broker *broker = &slots[i].object->broker;
        struct body_broker parts = {
            .node_id = broker->node_id,
            .dir_id = broker->dir_id,
            .boot = broker->boot,
            .port = broker->port,
            .shard_count = broker->shard_count,
            .flags = (broker->is_fenced ? BODY_BROKER_FENCED : 0) | (broker->is_draining ? BODY_BROKER_DRAINING : 0) |
                     (broker->has_bad_disk ? BODY_BROKER_BAD_DISK : 0) | (broker->is_witness ? BODY_BROKER_WITNESS : 0),
            .name = slice_of_string(broker->name),
            .host = slice_of_string(broker->host),
            .zone = slice_of_string(broker->zone),
        };
        buffer_clear(&body);
        writer->error = body_encode_broker(&body, &parts);
        codec_put_uuid(writer, &broker->broker_id);
        codec_put_varint(writer, broker->epoch);
        body_put_slice(writer, buffer_slice(&body));
    }
    buffer_deinit(&body);
    return writer->error;
}

static bool same_but_number(const struct body_partition *a, const struct body_partition *b)
{
    return a->leader == b->leader && a->leader_epoch == b->leader_epoch &&
           a->partition_epoch == b->partition_epoch && a->isr == b->isr &&
           a->elr == b->elr && a->last_known_elr == b->last_known_elr && a->adding == b->adding &&
           a->removing == b->removing && a->is_queued == b->is_queued && a->is_sealing == b->is_sealing &&
           a->is_pinned == b->is_pinned &&
           a->reset_epoch == b->reset_epoch && a->replica_count == b->replica_count &&
           memcmp(a->generations, b->generations, a->replica_count * sizeof(uint64_t)) == 0 &&
           memcmp(a->replicas, b->replicas, a->replica_count * sizeof(int32_t)) == 0;
}

static void put_state(struct codec_writer *writer, const struct body_partition *state)
{
    codec_put_zigzag(writer, state->leader);
    codec_put_varint(writer, (uint32_t)state->leader_epoch);
    codec_put_varint(writer, state->partition_epoch);
    body_put_replicas(writer, state->replicas, state->replica_count);
    for (uint32_t i = 0; i < state->replica_count; i++)
        codec_put_varint(writer, state->generations[i]);
    codec_put_varint(writer, state->isr);
    codec_put_varint(writer, state->elr);
    codec_put_varint(writer, state->last_known_elr);
    codec_put_varint(writer, state->adding);
    codec_put_varint(writer, state->removing);
    codec_put_varint(writer, (state->is_queued ? STATE_QUEUED : 0) | (state->is_sealing ? STATE_SEALING : 0) |
                                 (state->is_pinned ? STATE_PINNED : 0));
    codec_put_varint(writer, state->reset_epoch);
}

/* Runs of partitions in the same state are written once: (how many, state of the first). */
static void put_partitions(struct codec_writer *writer, const struct image_topic *topic)
{
    struct body_partition first, next;
    uint32_t at = 0;

    codec_put_varint(writer, topic->partition_count);
    while (at < topic->partition_count && writer->error == 0) {
        uint32_t run = 1;
        image_pages_load(topic->pages, at, &first);
        for (; at + run < topic->partition_count; run++) {
            image_pages_load(topic->pages, at + run, &next);
            if (!same_but_number(&first, &next)) break;
        }
        codec_put_varint(writer, run);
        put_state(writer, &first);
        at += run;
    }
}

static int put_topics(struct codec_writer *writer, const struct image *image)
{
    const struct image_topic **topics = NULL;
    size_t count = 0;

    if (writer->error == 0) writer->error = image_topics_by_name(image, &topics, &count);
    codec_put_varint(writer, count);
    for (size_t i = 0; i < count && writer->error == 0; i++) {
        codec_put_uuid(writer, &topics[i]->topic_id);
        codec_put_string(writer, topics[i]->name);
        codec_put_varint(writer, topics[i]->created_index);
        codec_put_varint(writer, topics[i]->changed_index);
        body_put_configs(writer, topics[i]->configs, topics[i]->config_count);
        put_partitions(writer, topics[i]);
    }
    free(topics);
    return writer->error;
}

struct tombstone_list {
    const struct tombstone **tombstones;
    size_t count;
};

static int list_tombstone(void *user, const void *object)
{
    struct tombstone_list *list = user;

    list->tombstones[list->count++] = object;
    return 0;
}

static int compare_tombstones(const void *a, const void *b)
{
    const struct tombstone *const *left = a, *const *right = b;

    if ((*left)->index != (*right)->index) return (*left)->index < (*right)->index ? -1 : 1;
    return memcmp((*left)->topic_id.bytes, (*right)->topic_id.bytes, UUID_SIZE);
}

static int put_tombstones(struct codec_writer *writer, const struct image *image)
{
    struct tombstone_list list = {NULL, 0};

    codec_put_varint(writer, image->tombstones.count);
    if (image->tombstones.count == 0) return writer->error;
    list.tombstones = malloc(image->tombstones.count * sizeof(list.tombstones[0]));
    if (list.tombstones == NULL) return MESH_ENOMEM;
    image_index_each(&image->tombstones, list_tombstone, &list);
    qsort(list.tombstones, list.count, sizeof(list.tombstones[0]), compare_tombstones);
    for (size_t i = 0; i < list.count; i++) {
        codec_put_uuid(writer, &list.tombstones[i]->topic_id);
        codec_put_varint(writer, list.tombstones[i]->index);
    }
    free(list.tombstones);
    return writer->error;
}

static void put_raft_config(struct codec_writer *writer, const struct raft_config *config)
{
    struct buffer bytes = BUFFER_INIT;

    if (writer->error == 0) writer->error = raft_config_encode(&bytes, config);
    body_put_slice(writer, buffer_slice(&bytes));
    buffer_deinit(&bytes);
}

int image_encode(const struct image *image, struct buffer *to)
{
    struct codec_writer writer = {to, 0};
    int err;

    codec_put_varint(&writer, image->deletions.count == 0 ? SNAPSHOT_VERSION : SNAPSHOT_VERSION_DELETIONS);
    codec_put_varint(&writer, image->index);
    codec_put_varint(&writer, image->term);
    codec_put_raw(&writer, image->chain, RAFT_CHAIN_SIZE);
    codec_put_uuid(&writer, &image->cluster_id);
    put_raft_config(&writer, &image->raft_config);
    codec_put_zigzag(&writer, image->next_node_id);
    codec_put_zigzag(&writer, image->next_producer_id);
    codec_put_varint(&writer, image->change_count);
    err = put_slots(&writer, image->brokers, image->broker_count);
    if (err == 0) err = put_slots(&writer, image->retired, image->retired_count);
    if (err == 0) err = put_topics(&writer, image);
    if (err == 0) err = put_tombstones(&writer, image);
    return err != 0 ? err : image_put_access(&writer, image);
}

/* ---- reading ---- */

static bool is_known_broker(struct image *image, const struct uuid *broker_id, int32_t node_id)
{
    return image_find_broker_by_uuid(image, broker_id) != NULL || image_find_retired(image, broker_id) != NULL ||
           image_any_slot(image, node_id) != NULL;
}

static int get_slots(struct codec_reader *reader, struct image *image, bool is_retired)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, is_retired ? IMAGE_RETIRED_MAX : IMAGE_BROKERS_MAX);
    int32_t last = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct uuid broker_id = codec_get_uuid(reader);
        uint64_t epoch = codec_get_bounded(reader, image->index);
        struct slice body = codec_get_raw(reader, (size_t)codec_get_bounded(reader, 2048));
        struct body_broker broker;
        int err = reader->is_bad ? MESH_ECORRUPT : body_decode_broker(body, &broker);
        if (err != 0) return err;
        if (broker.node_id >= image->next_node_id || (!is_retired && broker.node_id <= last) ||
            is_known_broker(image, &broker_id, broker.node_id))
            return MESH_ECORRUPT;
        err = is_retired ? image_put_retired(image, &broker, &broker_id, epoch)
                         : image_put_broker(image, &broker, &broker_id, epoch);
        if (err != 0) return err;
        last = broker.node_id;
    }
    return 0;
}

static int get_state(struct codec_reader *reader, const struct image *image, struct body_partition *ret_state)
{
    uint32_t flags;

    ret_state->leader = codec_get_int32(reader);
    ret_state->leader_epoch = (int32_t)codec_get_bounded(reader, INT32_MAX);
    ret_state->partition_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    ret_state->replica_count = body_get_replicas(reader, ret_state->replicas);
    for (uint32_t i = 0; i < ret_state->replica_count; i++)
        ret_state->generations[i] = codec_get_bounded(reader, image->change_count);
    ret_state->isr = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    ret_state->elr = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    ret_state->last_known_elr = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    ret_state->adding = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    ret_state->removing = (uint32_t)codec_get_bounded(reader, UINT16_MAX);
    flags = (uint32_t)codec_get_bounded(reader, STATE_QUEUED | STATE_SEALING | STATE_PINNED);
    ret_state->is_queued = (flags & STATE_QUEUED) != 0;
    ret_state->is_sealing = (flags & STATE_SEALING) != 0;
    ret_state->is_pinned = (flags & STATE_PINNED) != 0;
    ret_state->reset_epoch = (uint32_t)codec_get_bounded(reader, UINT32_MAX);
    ret_state->fresh = 0;
    return reader->is_bad || !body_partition_is_sound(ret_state) ? MESH_ECORRUPT : 0;
}

static int get_partitions(struct codec_reader *reader, struct image *image, struct topic_parts *parts)
{
    struct body_partition state;
    uint32_t at = 0;
    int err;

    parts->partition_count = (uint32_t)codec_get_bounded(reader, IMAGE_TOPIC_PARTITIONS_MAX);
    if (reader->is_bad || parts->partition_count == 0) return MESH_ECORRUPT;
    err = image_pages_extend(NULL, 0, parts->partition_count, &parts->pages);
    while (err == 0 && at < parts->partition_count) {
        uint32_t run = (uint32_t)codec_get_bounded(reader, parts->partition_count - at);
        err = get_state(reader, image, &state);
        if (err == 0 && run == 0) err = MESH_ECORRUPT;
        for (uint32_t i = 0; i < run && err == 0; i++) {
            state.partition = at + i;
            err = image_count_partition(image, &state, 1);
            if (err == 0) err = image_pages_set(parts->pages, &state);
        }
        at += run;
    }
    image->partition_count += parts->partition_count;
    return err;
}

/* Owns parts->pages afterwards in any case. */
static int put_read_topic(struct image *image, struct topic_parts *parts)
{
    char name[TOPIC_NAME_SIZE_MAX + 1], unused[1];
    struct topic_object *object;
    int err;

    memcpy(name, parts->name.data, parts->name.size);
    name[parts->name.size] = '\0';
    if (topic_name_check(name, unused, sizeof(unused)) != 0 || uuid_is_zero(&parts->topic_id) ||
        image_find_topic(image, &parts->topic_id) != NULL ||
        image_find_topic_by_folded_name(image, name) != NULL) {
        image_pages_unref(parts->pages);
        return MESH_ECORRUPT;
    }
    err = topic_object_new(parts, &object);
    if (err != 0) return err;
    err = image_put_topic(image, NULL, object);
    image_topic_unref(&object->topic);
    return err;
}

static int get_topics(struct codec_reader *reader, struct image *image)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_TOPICS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        struct image_config configs[TOPIC_CONFIG_COUNT];
        struct topic_parts parts = {.topic_id = codec_get_uuid(reader), .configs = configs};
        int err;
        parts.name = codec_get_string(reader, TOPIC_NAME_SIZE_MAX);
        parts.created_index = codec_get_bounded(reader, image->index);
        parts.changed_index = codec_get_bounded(reader, image->index);
        parts.config_count = body_get_configs(reader, configs);
        if (reader->is_bad || parts.name.size == 0) return MESH_ECORRUPT;
        err = get_partitions(reader, image, &parts);
        if (err != 0) {
            image_pages_unref(parts.pages);
            return err;
        }
        err = put_read_topic(image, &parts);
        if (err != 0) return err;
    }
    return 0;
}

static int get_tombstones(struct codec_reader *reader, struct image *image)
{
    uint32_t count = (uint32_t)codec_get_bounded(reader, IMAGE_TOMBSTONES_MAX);

    for (uint32_t i = 0; i < count; i++) {
        struct uuid topic_id = codec_get_uuid(reader);
        uint64_t index = codec_get_bounded(reader, image->index);
        int err;
        if (reader->is_bad || image_find_topic(image, &topic_id) != NULL ||
            image_has_tombstone(image, &topic_id))
            return MESH_ECORRUPT;
        err = image_add_tombstone(image, &topic_id, index);
        if (err != 0) return err;
    }
    return 0;
}

static int get_image(struct codec_reader *reader, struct image *image)
{
    uint64_t version = codec_get_varint(reader);
    struct slice chain, config;
    int err;

    if (reader->is_bad || version == 0) return MESH_ECORRUPT;
    if (version != SNAPSHOT_VERSION && version != SNAPSHOT_VERSION_DELETIONS) return MESH_EVERSION; /* 1 and 2 were never released */
    image->index = codec_get_varint(reader);
    image->term = codec_get_varint(reader);
    chain = codec_get_raw(reader, RAFT_CHAIN_SIZE);
    image->cluster_id = codec_get_uuid(reader);
    config = codec_get_raw(reader, (size_t)codec_get_bounded(reader, RAFT_CONFIG_BYTES_MAX));
    image->next_node_id = codec_get_int32(reader);
    image->next_producer_id = codec_get_zigzag(reader);
    image->change_count = codec_get_varint(reader);
    if (reader->is_bad || image->next_node_id < 1 || image->next_producer_id < 1) return MESH_ECORRUPT;
    memcpy(image->chain, chain.data, RAFT_CHAIN_SIZE);
    err = raft_config_decode(config, &image->raft_config);
    if (err == 0) err = get_slots(reader, image, false);
    if (err == 0) err = get_slots(reader, image, true);
    if (err == 0) err = get_topics(reader, image);
    if (err == 0) err = get_tombstones(reader, image);
    if (err == 0) err = image_get_access(reader, image, version == SNAPSHOT_VERSION_DELETIONS);
    if (err == 0) err = image_check_brokers(image);
    if (err == 0 && !codec_reader_is_done(reader)) err = MESH_ECORRUPT;
    return err;
}

int image_decode(struct slice from, struct image **ret_image)
{
    struct codec_reader reader = codec_reader_of(from);
    struct image *image;
    int err = image_new_empty(&image);

    if (err != 0) return err;
    err = get_image(&reader, image);
    if (err == 0)
        *ret_image = image;
    else
        image_unref(image);
    return err;
}
