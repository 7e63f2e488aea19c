/* coordinator/image_deletions.c - which records of partitions clients had deleted: few partitions have any, so they lie beside the pages. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"

#include <stdlib.h>

uint64_t image_hash_partition(const struct uuid *topic_id, uint32_t partition)
{
    uint64_t hash = (image_hash_uuid(topic_id) + partition) * 0x9e3779b97f4a7c15u;

    return hash ^ hash >> 29;
}

static const struct deletion_object *find(const struct image *image, const struct uuid *topic_id, uint32_t partition)
{
    uint64_t hash = image_hash_partition(topic_id, partition);
    const struct deletion_object *found;

    for (size_t i = 0; (found = image_index_find(&image->deletions, hash, i)) != NULL; i++) {
        if (found->deletion.partition == partition && uuid_equal(&found->deletion.topic_id, topic_id)) return found;
    }
    return NULL;
}

const struct image_deletion *image_deletion(const struct image *image, const struct uuid *topic_id, uint32_t partition)
{
    const struct deletion_object *found = image->deletions.count == 0 ? NULL : find(image, topic_id, partition);

    return found == NULL ? NULL : &found->deletion;
}

size_t image_deletion_count(const struct image *image)
{
    return image->deletions.count;
}

uint32_t image_level(const struct image *image)
{
    return image->deletions.count == 0 ? 1 : 2;
}

bool image_deletion_may_follow(const struct image_deletion *now, const struct image_deletion *next)
{
    if (next->leader_epoch != now->leader_epoch) return next->leader_epoch > now->leader_epoch;
    return next->offset > now->offset;
}

int image_put_deletion(struct image *image, const struct image_deletion *deletion)
{
    const struct deletion_object *old = find(image, &deletion->topic_id, deletion->partition);
    uint64_t hash = image_hash_partition(&deletion->topic_id, deletion->partition);
    struct deletion_object *object = malloc(sizeof(*object));
    int err;

    if (object == NULL) return MESH_ENOMEM;
    atomic_init(&object->object.references, 1);
    object->deletion = *deletion;
    err = old != NULL ? image_index_replace(&image->deletions, hash, old, object) : image_index_insert(&image->deletions, hash, object);
    object_unref(object); /* the index has its own reference */
    return err;
}

int image_forget_deletions(struct image *image, const struct image_topic *topic)
{
    int err = 0;

    for (uint32_t i = 0; image->deletions.count != 0 && i < topic->partition_count && err == 0; i++) {
        const struct deletion_object *old = find(image, &topic->topic_id, i);
        if (old != NULL) err = image_index_remove(&image->deletions, image_hash_partition(&topic->topic_id, i), old);
    }
    return err;
}
