/* coordinator/image_apply.c - entries become the next image.
 *
 * An entry that cannot follow the image it meets means that histories have parted or bytes have rotted:
 * MESH_ECORRUPT, and the caller stops; nothing is ever skipped. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"
#include "replication/consensus/config_codec.h"

int apply_key_uuid(const struct image_change *change, struct uuid *ret_uuid)
{
    if (change->key.size != UUID_SIZE) return MESH_ECORRUPT;
    memcpy(ret_uuid->bytes, change->key.data, UUID_SIZE);
    return uuid_is_zero(ret_uuid) ? MESH_ECORRUPT : 0;
}

static int apply_cluster_created(struct image *image, const struct image_change *change)
{
    struct uuid cluster_id;
    int err = body_decode_empty(change->body);

    if (err == 0) err = apply_key_uuid(change, &cluster_id);
    if (err != 0) return err;
    if (!uuid_is_zero(&image->cluster_id)) return MESH_ECORRUPT; /* a mesh is founded once */
    image->cluster_id = cluster_id;
    return 0;
}

static int apply_producer_ids(struct image *image, const struct image_change *change)
{
    struct body_producer_ids ids;
    int err = body_decode_producer_ids(change->body, &ids);

    if (err != 0) return err;
    if (change->key.size != 0 || ids.first != image->next_producer_id) return MESH_ECORRUPT;
    image->next_producer_id = ids.first + ids.count;
    return 0;
}

/* ---- the log's order ---- */

static int apply_change(struct image *image, const struct image_change *change)
{
    if (uuid_is_zero(&image->cluster_id) && change->kind != METADATA_CLUSTER_CREATED) return MESH_ECORRUPT;
    switch (change->kind) {
    case METADATA_CLUSTER_CREATED: return apply_cluster_created(image, change);
    case METADATA_PRODUCER_IDS_ALLOCATED: return apply_producer_ids(image, change);
    case METADATA_BROKER_REGISTERED:
    case METADATA_BROKER_STATE:
    case METADATA_BROKER_RETIRED: return apply_broker_change(image, change);
    case METADATA_TOPIC_CREATED:
    case METADATA_TOPIC_ALTERED:
    case METADATA_TOPIC_DELETED:
    case METADATA_PARTITIONS_CHANGED:
    case METADATA_RECORDS_DELETED:
    case METADATA_TOMBSTONES_DROPPED: return apply_topic_change(image, change);
    case METADATA_USER_SET:
    case METADATA_USER_DELETED:
    case METADATA_ACL_ADDED:
    case METADATA_ACL_REMOVED:
    case METADATA_REQUEST_DONE: return apply_access_change(image, change);
    default: return MESH_EVERSION;
    }
}

int image_check_brokers(const struct image *image)
{
    for (uint32_t i = 0; i < image->broker_count; i++) {
        const struct broker_slot *slot = &image->brokers[i];
        if (slot->object->broker.is_fenced && slot->leader_count != 0) return MESH_ECORRUPT;
        if (slot->object->broker.is_witness && slot->replica_count != 0) return MESH_ECORRUPT;
    }
    for (uint32_t i = 0; i < image->retired_count; i++) {
        if (image->retired[i].leader_count != 0) return MESH_ECORRUPT;
    }
    return 0;
}

static int apply_command(struct image *image, const struct raft_entry *entry)
{
    struct codec_reader reader;
    struct image_change change = {.index = entry->index};
    struct metadata_change next;
    int err = metadata_command_open(entry->body, &reader);

    while (err == 0 && metadata_command_next(&reader, &next)) {
        change.kind = next.kind;
        change.key = next.key;
        change.body = next.body;
        change.number = ++image->change_count;
        err = apply_change(image, &change);
    }
    return err != 0 ? err : image_check_brokers(image);
}

int image_advance(struct image *image, const struct raft_entry *entry)
{
    uint8_t chain[RAFT_CHAIN_SIZE];
    int err;

    if (entry->index != image->index + 1 || entry->term < image->term) return MESH_ECORRUPT;
    metadata_chain(image->chain, entry, chain);
    if (memcmp(chain, entry->chain, RAFT_CHAIN_SIZE) != 0) return MESH_ECORRUPT;
    switch (entry->type) {
    case RAFT_ENTRY_NOOP: err = entry->body.size == 0 ? 0 : MESH_ECORRUPT; break;
    case RAFT_ENTRY_CONFIG: err = raft_config_decode(entry->body, &image->raft_config); break;
    case RAFT_ENTRY_COMMAND: err = apply_command(image, entry); break;
    default: err = MESH_EVERSION; break;
    }
    if (err != 0) return err;
    image->index = entry->index;
    image->term = entry->term;
    memcpy(image->chain, chain, RAFT_CHAIN_SIZE);
    return 0;
}

int image_apply(const struct image *base, const struct raft_entry *entries, size_t count, struct image **ret_image)
{
    struct image *image;
    int err = image_clone(base, &image);

    if (err != 0) return err;
    for (size_t i = 0; i < count; i++) {
        err = image_advance(image, &entries[i]);
        if (err != 0) {
            image_unref(image);
            return err;
        }
    }
    *ret_image = image;
    return 0;
}
