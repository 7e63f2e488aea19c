/* coordinator/image_apply_broker.c - changes of brokers become part of the next image. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

static int apply_broker_registered(struct image *image, const struct image_change *change)
{
    struct uuid broker_id;
    struct body_broker broker;
    const struct image_broker *known;
    uint64_t boot_before;
    int err = body_decode_broker(change->body, &broker);

    if (err == 0) err = apply_key_uuid(change, &broker_id);
    if (err != 0) return err;
    if (image_find_retired(image, &broker_id) != NULL) return MESH_ECORRUPT;
    known = image_find_broker_by_uuid(image, &broker_id);
    if (known == NULL) {
        if (broker.node_id != image->next_node_id || image->broker_count >= IMAGE_BROKERS_MAX)
            return MESH_ECORRUPT;
        image->next_node_id++;
        return image_put_broker(image, &broker, &broker_id, change->index);
    }
    if (broker.node_id != known->node_id || broker.boot < known->boot) return MESH_ECORRUPT;
    boot_before = known->boot;
    err = image_put_broker(image, &broker, &broker_id, change->index); /* `known` is gone now */
    if (err == 0 && broker.boot > boot_before && image_leader_count(image, broker.node_id) != 0)
        err = apply_raise_epochs(image, broker.node_id, change->index);
    return err;
}

/* Puts the broker there again with other flags. */
static int set_flags(struct image *image, const struct image_broker *now, uint32_t flags)
{
    struct uuid broker_id = now->broker_id;
    struct body_broker broker = {
        .node_id = now->node_id,
        .dir_id = now->dir_id,
        .boot = now->boot,
        .port = now->port,
        .shard_count = now->shard_count,
        .flags = flags | (now->is_witness ? BODY_BROKER_WITNESS : 0),
        .name = slice_of_string(now->name),
        .host = slice_of_string(now->host),
        .zone = slice_of_string(now->zone),
    };

    return image_put_broker(image, &broker, &broker_id, now->epoch);
}

static int apply_broker_state(struct image *image, const struct image_change *change)
{
    const struct image_broker *known;
    struct uuid broker_id;
    uint32_t flags;
    int err = body_decode_broker_state(change->body, &flags);

    if (err == 0) err = apply_key_uuid(change, &broker_id);
    if (err != 0) return err;
    known = image_find_broker_by_uuid(image, &broker_id);
    return known == NULL ? MESH_ECORRUPT : set_flags(image, known, flags);
}

static int apply_broker_retired(struct image *image, const struct image_change *change)
{
    const struct image_broker *known;
    struct uuid broker_id;
    int err = body_decode_empty(change->body);

    if (err == 0) err = apply_key_uuid(change, &broker_id);
    if (err != 0) return err;
    known = image_find_broker_by_uuid(image, &broker_id);
    return known == NULL ? MESH_ECORRUPT : image_retire_broker(image, known->node_id);
}

int apply_broker_change(struct image *image, const struct image_change *change)
{
    switch (change->kind) {
    case METADATA_BROKER_REGISTERED: return apply_broker_registered(image, change);
    case METADATA_BROKER_STATE: return apply_broker_state(image, change);
    default: return apply_broker_retired(image, change);
    }
}
