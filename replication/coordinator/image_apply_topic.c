/* coordinator/image_apply_topic.c - changes of topics and partitions become part of the next image. */
#include "replication/coordinator/image_internal.h"

#include "base/error.h"
#include "base/list.h"
#include "replication/coordinator/switches.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

static struct topic_object *find_object(const struct image *image, const struct uuid *topic_id)
{
    const struct image_topic *topic = image_find_topic(image, topic_id);

    return topic == NULL ? NULL
                         : container_of((struct image_topic *)(uintptr_t)topic, struct topic_object, topic);
}

/* Puts a topic in the place of one that differs in pages (taken), counts or configs. */
static int replace_topic(struct image *image, const struct topic_object *old, uint64_t index,
                         struct image_pages *pages, uint32_t partition_count,
                         const struct image_config *configs, uint32_t config_count)
{
    struct topic_parts parts = {
        .topic_id = old->topic.topic_id,
        .name = slice_of_string(old->topic.name),
        .created_index = old->topic.created_index,
        .changed_index = index,
        .configs = configs,
        .config_count = config_count,
        .partition_count = partition_count,
        .pages = pages,
    };
    struct topic_object *object;
    int err = topic_object_new(&parts, &object);

    if (err != 0) return err;
    err = image_put_topic(image, old, object);
    image_topic_unref(&object->topic); /* the image has its own references */
    return err;
}

/* ---- epochs of a broker's new life ---- */

static int collect_topic(void *user, const struct image_topic *topic)
{
    const struct image_topic ***next = user;

    *(*next)++ = topic;
    return 0;
}

static bool leads_any(const struct image_topic *topic, int32_t node_id)
{
    struct image_partition partition;

    for (uint32_t i = 0; i < topic->partition_count; i++) {
        image_pages_get(topic->pages, i, &partition);
        if (partition.leader == node_id) return true;
    }
    return false;
}

static int raise_topic_epochs(struct image *image, const struct topic_object *old, int32_t node_id,
                              uint64_t index)
{
    const struct image_topic *topic = &old->topic;
    struct body_partition state;
    struct image_pages *pages;
    int err = image_pages_extend(topic->pages, topic->partition_count, topic->partition_count, &pages);

    for (uint32_t i = 0; i < topic->partition_count && err == 0; i++) {
        image_pages_load(topic->pages, i, &state);
        if (state.leader != node_id || state.leader_epoch == INT32_MAX) continue;
        state.leader_epoch++;
        state.partition_epoch++;
        err = image_pages_set(pages, &state);
        if (err != 0) image_pages_unref(pages);
    }
    if (err != 0) return err;
    return replace_topic(image, old, index, pages, topic->partition_count, topic->configs,
                         topic->config_count);
}

/* A broker that has started again leads under new epochs: what its former life still has in flight is fenced.
 * One change does it for all its partitions. */
int apply_raise_epochs(struct image *image, int32_t node_id, uint64_t index)
{
    const struct image_topic **topics, **next;
    size_t count = image_topic_count(image);
    int err = 0;

    if (count == 0) return 0;
    topics = next = malloc(count * sizeof(topics[0]));
    if (topics == NULL) return MESH_ENOMEM;
    image_each_topic(image, collect_topic, &next);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (!leads_any(topics[i], node_id)) continue;
        err = raise_topic_epochs(
            image, container_of((struct image_topic *)(uintptr_t)topics[i], struct topic_object, topic),
            node_id, index);
    }
    free(topics);
    return err;
}

/* ---- topics ---- */

/* New partitions go to brokers that are there and host data. */
static int check_placement(struct image *image, const struct body_placement *placement)
{
    for (uint32_t i = 0; i < placement->replica_count; i++) {
        const struct broker_slot *slot = image_broker_slot(image, placement->replicas[i]);
        if (slot == NULL || slot->object->broker.is_fenced || slot->object->broker.is_witness) return MESH_ECORRUPT;
    }
    return 0;
}

/* Adds the placements' partitions from number `first` on. */
static int add_partitions(struct image *image, struct body_topic *body, uint32_t first, uint64_t generation,
                          struct image_pages *pages)
{
    struct body_placement placement;
    struct body_partition state = {.partition = first};

    for (uint32_t i = 0; i < IMAGE_REPLICAS_MAX; i++)
        state.generations[i] = generation;
    while (body_placement_next(body, &placement)) {
        int err = check_placement(image, &placement);
        if (err != 0) return err;
        state.leader = placement.replicas[0];
        state.replica_count = placement.replica_count;
        state.isr = (1u << placement.replica_count) - 1;
        memcpy(state.replicas, placement.replicas, sizeof(state.replicas));
        for (uint32_t i = 0; i < placement.count; i++) {
            err = image_count_partition(image, &state, 1);
            if (err == 0) err = image_pages_set(pages, &state);
            if (err != 0) return err;
            state.partition++;
        }
    }
    image->partition_count += body->partition_count;
    return 0;
}

static int check_new_topic(const struct image *image, const struct uuid *topic_id,
                           const struct body_topic *body)
{
    char name[256], unused[1];

    memcpy(name, body->name.data, body->name.size);
    name[body->name.size] = '\0';
    if (topic_name_check(name, unused, sizeof(unused)) != 0 || body->partition_count == 0)
        return MESH_ECORRUPT;
    if (image_find_topic(image, topic_id) != NULL || image_has_tombstone(image, topic_id))
        return MESH_ECORRUPT;
    if (image_find_topic_by_folded_name(image, name) != NULL) return MESH_ECORRUPT;
    return image_topic_count(image) >= IMAGE_TOPICS_MAX ? MESH_ECORRUPT : 0;
}

static int apply_topic_created(struct image *image, const struct image_change *change)
{
    struct topic_parts parts = {.created_index = change->index, .changed_index = change->index};
    struct topic_object *object;
    struct body_topic body;
    int err = body_decode_topic(change->body, &body);

    if (err == 0) err = apply_key_uuid(change, &parts.topic_id);
    if (err == 0) err = body.name.size == 0 ? MESH_ECORRUPT : check_new_topic(image, &parts.topic_id, &body);
    if (err == 0) err = image_pages_extend(NULL, 0, body.partition_count, &parts.pages);
    if (err != 0) return err;
    err = add_partitions(image, &body, 0, change->number, parts.pages);
    if (err != 0) {
        image_pages_unref(parts.pages);
        return err;
    }
    parts.name = body.name;
    parts.configs = body.configs;
    parts.config_count = body.config_count;
    parts.partition_count = body.partition_count;
    err = topic_object_new(&parts, &object);
    if (err != 0) return err;
    err = image_put_topic(image, NULL, object);
    image_topic_unref(&object->topic);
    return err;
}

static int apply_topic_altered(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct body_topic body;
    struct topic_object *old = NULL;
    struct image_pages *pages;
    uint32_t count;
    int err = body_decode_topic(change->body, &body);

    if (err == 0) err = apply_key_uuid(change, &topic_id);
    if (err == 0) old = find_object(image, &topic_id);
    if (err != 0) return err;
    if (old == NULL || body.name.size != 0) return MESH_ECORRUPT;
    count = old->topic.partition_count + body.partition_count;
    if (count > IMAGE_TOPIC_PARTITIONS_MAX) return MESH_ECORRUPT;
    err = image_pages_extend(old->topic.pages, old->topic.partition_count, count, &pages);
    if (err != 0) return err;
    err = add_partitions(image, &body, old->topic.partition_count, change->number, pages);
    if (err != 0) {
        image_pages_unref(pages);
        return err;
    }
    return replace_topic(image, old, change->index, pages, count, body.configs, body.config_count);
}

static int apply_topic_deleted(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct body_partition partition;
    struct topic_object *object;
    int err = body_decode_empty(change->body);

    if (err == 0) err = apply_key_uuid(change, &topic_id);
    if (err != 0) return err;
    object = find_object(image, &topic_id);
    if (object == NULL) return MESH_ECORRUPT;
    for (uint32_t i = 0; i < object->topic.partition_count; i++) {
        image_pages_load(object->topic.pages, i, &partition);
        err = image_count_partition(image, &partition, -1);
        if (err != 0) return err;
    }
    image->partition_count -= object->topic.partition_count;
    return image_remove_topic(image, object, change->index);
}

/* ---- partitions ---- */

/* Epochs only rise, and every change is made from the state just before it. */
static bool may_follow(const struct body_partition *now, const struct body_partition *next)
{
    if (next->partition_epoch != now->partition_epoch + 1 || next->leader_epoch < now->leader_epoch)
        return false;
    if (next->reset_epoch < now->reset_epoch) return false;
    return next->leader == now->leader || next->leader_epoch > now->leader_epoch || COORDINATOR_DEFECT(EPOCH_KEPT);
}

/* Completes a change by what stays: the replicas, if it names none, and the generations of those that were there before. */
static int complete_change(struct image *image, const struct body_partition *now, uint64_t number, struct body_partition *next)
{
    if (next->replica_count == 0) {
        next->replica_count = now->replica_count;
        memcpy(next->replicas, now->replicas, sizeof(next->replicas));
    }
    for (uint32_t i = 0; i < next->replica_count; i++) {
        const struct broker_slot *slot;
        next->generations[i] = number;
        for (uint32_t j = 0; j < now->replica_count; j++) {
            if (now->replicas[j] == next->replicas[i]) next->generations[i] = now->generations[j];
        }
        if (next->fresh >> i & 1) next->generations[i] = number;
        if (next->generations[i] != number) continue;
        slot = image_broker_slot(image, next->replicas[i]);
        if (slot == NULL || slot->object->broker.is_witness) return MESH_ECORRUPT; /* only who is there can begin anew */
    }
    if (next->election.reason != IMAGE_ELECTION_NONE && next->election.candidate_count != 0 &&
        next->election.candidate_count != next->replica_count)
        return MESH_ECORRUPT;
    return body_partition_is_sound(next) ? 0 : MESH_ECORRUPT;
}

static int change_partition(struct image *image, const struct image_topic *topic, const struct image_change *change,
                            struct body_partition *next, struct image_pages *pages)
{
    struct body_partition now;
    int err;

    if (next->partition >= topic->partition_count) return MESH_ECORRUPT;
    image_pages_load(pages, next->partition, &now);
    if (next->reset_epoch == 0) next->reset_epoch = now.reset_epoch;
    if (!may_follow(&now, next)) return MESH_ECORRUPT;
    err = complete_change(image, &now, change->number, next);
    if (err == 0) err = image_count_partition(image, &now, -1);
    if (err == 0) err = image_count_partition(image, next, 1);
    if (err == 0 && next->election.reason != IMAGE_ELECTION_NONE)
        err = image_put_election(image, &topic->topic_id, next, change->index);
    return err != 0 ? err : image_pages_set(pages, next);
}

static int apply_partitions_changed(struct image *image, const struct image_change *change)
{
    struct uuid topic_id;
    struct codec_reader reader;
    struct body_partition next;
    struct topic_object *old;
    struct image_pages *pages;
    int err = body_decode_partitions(change->body, &reader);

    if (err == 0) err = apply_key_uuid(change, &topic_id);
    if (err != 0) return err;
    old = find_object(image, &topic_id);
    if (old == NULL) return MESH_ECORRUPT;
    err =
        image_pages_extend(old->topic.pages, old->topic.partition_count, old->topic.partition_count, &pages);
    if (err != 0) return err;
    while (err == 0 && body_partition_next(&reader, &next))
        err = change_partition(image, &old->topic, change, &next, pages);
    if (err != 0) {
        image_pages_unref(pages);
        return err;
    }
    return replace_topic(image, old, change->index, pages, old->topic.partition_count, old->topic.configs,
                         old->topic.config_count);
}

/* The topic counts as changed, so that those who have it open look. */
static int apply_records_deleted(struct image *image, const struct image_change *change)
{
    struct image_deletion deletion;
    const struct image_deletion *now;
    struct image_partition partition;
    struct topic_object *old = NULL;
    struct image_pages *pages;
    int err = body_decode_deletion(change->body, &deletion);

    if (err == 0) err = apply_key_uuid(change, &deletion.topic_id);
    if (err == 0) old = find_object(image, &deletion.topic_id);
    if (err != 0) return err;
    if (old == NULL || !image_topic_partition(&old->topic, deletion.partition, &partition)) return MESH_ECORRUPT;
    now = image_deletion(image, &deletion.topic_id, deletion.partition);
    if (deletion.leader_epoch > partition.leader_epoch || (now != NULL && !image_deletion_may_follow(now, &deletion))) return MESH_ECORRUPT;
    err = image_put_deletion(image, &deletion);
    if (err == 0) err = image_pages_extend(old->topic.pages, old->topic.partition_count, old->topic.partition_count, &pages);
    if (err != 0) return err;
    return replace_topic(image, old, change->index, pages, old->topic.partition_count, old->topic.configs, old->topic.config_count);
}

static int apply_tombstones_dropped(struct image *image, const struct image_change *change)
{
    uint64_t index;
    int err = body_decode_tombstones_dropped(change->body, &index);

    if (err != 0) return err;
    if (change->key.size != 0 || index >= change->index) return MESH_ECORRUPT;
    return image_bury_tombstones(image, index);
}

int apply_topic_change(struct image *image, const struct image_change *change)
{
    switch (change->kind) {
    case METADATA_TOPIC_CREATED: return apply_topic_created(image, change);
    case METADATA_TOPIC_ALTERED: return apply_topic_altered(image, change);
    case METADATA_TOPIC_DELETED: return apply_topic_deleted(image, change);
    case METADATA_PARTITIONS_CHANGED: return apply_partitions_changed(image, change);
    case METADATA_RECORDS_DELETED: return apply_records_deleted(image, change);
    default: return apply_tombstones_dropped(image, change);
    }
}
