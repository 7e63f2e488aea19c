/* coordinator/decide.c - decisions about the mesh and producer ids, and what all decisions share. */
#include "replication/coordinator/decide_internal.h"

#include "base/assert.h"
#include "base/error.h"
#include "replication/coordinator/switches.h"

#include <stdarg.h>
#include <stdio.h>

#define PRODUCER_IDS_MAX 1000000u

#ifdef MESH_TEST_SWITCHES
_Thread_local uint32_t coordinator_defects;

void coordinator_bring_back(enum coordinator_defect defect)
{
    coordinator_defects = defect == COORDINATOR_DEFECT_NONE ? 0 : coordinator_defects | 1u << defect;
}
#endif

void decision_init(struct decision *decision)
{
    decision->command = (struct buffer)BUFFER_INIT;
    decision->scratch = (struct buffer)BUFFER_INIT;
    decision->change_count = decision->loss_count = 0;
    decision->message[0] = '\0';
}

void decision_deinit(struct decision *decision)
{
    buffer_deinit(&decision->command);
    buffer_deinit(&decision->scratch);
    decision->change_count = 0;
}

struct slice decision_command(const struct decision *decision)
{
    MESH_ASSERT(decision->change_count != 0);
    return buffer_slice(&decision->command);
}

int decision_preview(const struct image *image, const struct decision *decision, struct image **ret_next)
{
    struct raft_entry entry = {.index = image_applied_index(image) + 1, .term = image_applied_term(image), .type = RAFT_ENTRY_COMMAND};
    int err;

    if (decision->change_count == 0) {
        *ret_next = image_ref(image);
        return 0;
    }
    entry.body = decision_command(decision);
    metadata_chain(image_chain(image), &entry, entry.chain);
    err = image_apply(image, &entry, 1, ret_next);
    MESH_ASSERT(err == 0 || err == MESH_ENOMEM); /* what was decided from an image can be applied to it */
    return err;
}

int decision_refuse(struct decision *decision, int err, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(decision->message, sizeof(decision->message), format, arguments);
    va_end(arguments);
    buffer_clear(&decision->command);
    decision->change_count = decision->loss_count = 0;
    return err;
}

struct buffer *decision_body(struct decision *decision)
{
    buffer_clear(&decision->scratch);
    return &decision->scratch;
}

int decision_add(struct decision *decision, enum metadata_kind kind, struct slice key)
{
    struct metadata_change change = {(uint16_t)kind, key, buffer_slice(&decision->scratch)};
    int err = decision->command.size == 0 ? metadata_command_start(&decision->command) : 0;

    if (err == 0) err = metadata_command_add(&decision->command, &change);
    if (err == MESH_ETOOLARGE)
        return decision_refuse(decision, err, "the change is larger than one entry of the metadata log can be");
    if (err == 0) decision->change_count++;
    return err;
}

int decision_add_uuid(struct decision *decision, enum metadata_kind kind, const struct uuid *key)
{
    return decision_add(decision, kind, slice_of(key->bytes, UUID_SIZE));
}

int decide_compare_places(const struct uuid *topic_a, uint32_t partition_a, const struct uuid *topic_b, uint32_t partition_b)
{
    int order = memcmp(topic_a->bytes, topic_b->bytes, UUID_SIZE);

    if (order != 0) return order;
    return partition_a < partition_b ? -1 : partition_a > partition_b;
}

/* ---- changes of partitions ---- */

int changes_end(struct changes *changes)
{
    if (changes->body == NULL) return 0;
    changes->body = NULL;
    return decision_add_uuid(changes->decision, METADATA_PARTITIONS_CHANGED, &changes->topic_id);
}

int changes_put(struct changes *changes, const struct image_topic *topic, struct body_partition *next)
{
    const struct uuid *topic_id = &topic->topic_id;
    uint32_t replica_count = next->replica_count;
    struct image_partition now;
    int err = changes->body != NULL && !uuid_equal(topic_id, &changes->topic_id) ? changes_end(changes) : 0;

    if (err == 0 && changes->body == NULL) {
        changes->body = decision_body(changes->decision);
        changes->topic_id = *topic_id;
        err = body_encode_partitions_start(changes->body);
    }
    if (err != 0) return err;
    image_topic_partition(topic, next->partition, &now);
    if (next->reset_epoch > now.reset_epoch && changes->decision->loss_count++ == 0) {
        changes->decision->lost_topic = *topic_id;
        changes->decision->lost_partition = next->partition;
    }
    next->partition_epoch++;
    if (replica_count == now.replica_count && memcmp(next->replicas, now.replicas, replica_count * sizeof(int32_t)) == 0)
        next->replica_count = 0; /* not written */
    err = body_encode_partition(changes->body, next);
    next->replica_count = replica_count;
    changes->count += err == 0;
    return err;
}

int decide_cluster_create(const struct image *image, const struct uuid *cluster_id, struct decision *decision)
{
    int err;

    if (!uuid_is_zero(image_cluster_id(image)))
        return decision_refuse(decision, MESH_EEXISTS, "the mesh is founded already");
    err = body_encode_empty(decision_body(decision));
    return err != 0 ? err : decision_add_uuid(decision, METADATA_CLUSTER_CREATED, cluster_id);
}

int decide_producer_ids(const struct image *image, int32_t node_id, uint32_t count, struct decision *decision)
{
    struct body_producer_ids body = {node_id, image_next_producer_id(image), count};
    int err;

    if (count == 0 || count > PRODUCER_IDS_MAX)
        return decision_refuse(decision, MESH_EINVAL, "producer ids come in blocks of 1 to %u",
                               PRODUCER_IDS_MAX);
    if (body.first > INT64_MAX - (int64_t)count)
        return decision_refuse(decision, MESH_EFULL, "all producer ids are used up");
    err = body_encode_producer_ids(decision_body(decision), &body);
    return err != 0 ? err : decision_add(decision, METADATA_PRODUCER_IDS_ALLOCATED, slice_of("", 0));
}
