#include "cmd/broker/replicas/roles.h"

#include "base/error.h"

bool roles_is_registered(const struct image *image, const struct uuid *broker_id, const struct uuid *dir_id, uint64_t boot)
{
    const struct image_broker *self = image_find_broker_by_uuid(image, broker_id);

    return self != NULL && self->boot == boot && uuid_equal(&self->dir_id, dir_id);
}

uint64_t roles_hash_brokers(const struct image *image)
{
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < image_broker_count(image); i++) {
        const struct image_broker *broker = image_broker_at(image, i);
        const uint64_t facts[] = {(uint64_t)broker->node_id, broker->epoch, (uint64_t)broker->is_fenced << 1 | broker->is_draining};

        for (size_t k = 0; k < sizeof(facts) / sizeof(facts[0]); k++)
            hash = (hash ^ facts[k]) * 0x100000001b3u;
    }
    return hash;
}

static bool is_waiting(const struct image_partition *facts, uint32_t i)
{
    return facts->is_queued && (facts->adding >> i & 1) != 0;
}

bool roles_describe(const struct image *image, const struct image_partition *facts, int32_t self, struct roles_assignment *ret_assignment)
{
    uint8_t count = 0;
    uint16_t isr = 0;
    bool is_here = false;

    for (uint32_t i = 0; i < facts->replica_count; i++) {
        const struct image_broker *broker = image_find_broker(image, facts->replicas[i]);

        if (is_waiting(facts, i)) continue;
        ret_assignment->members[count] = (struct replica_member){
            .node_id = facts->replicas[i],
            .broker_epoch = broker == NULL ? 0 : broker->epoch,
            .generation = image_partition_generation(facts, i),
            .is_eligible = broker != NULL && !broker->is_fenced && !broker->is_draining,
        };
        is_here = is_here || facts->replicas[i] == self;
        if ((facts->isr >> i & 1) != 0) isr |= (uint16_t)(1u << count);
        count++;
    }
    ret_assignment->assignment = (struct replica_assignment){
        .leader = facts->leader,
        .leader_epoch = facts->leader_epoch,
        .partition_epoch = facts->partition_epoch,
        .isr = isr,
        .member_count = count,
        .wants_confirmation = facts->removing != 0 && facts->adding == 0,
        .members = ret_assignment->members,
    };
    return is_here;
}

bool roles_is_kept(const struct image_partition *facts, int32_t self)
{
    for (uint32_t i = 0; i < facts->replica_count; i++)
        if (facts->replicas[i] == self) return !is_waiting(facts, i);
    return false;
}

static enum partition_mode mode_of(const struct image_topic *topic)
{
    switch (image_topic_mode(topic)) {
    case TOPIC_MODE_ASYNC: return PARTITION_MODE_ASYNC;
    case TOPIC_MODE_QUORUM: return PARTITION_MODE_QUORUM;
    default: return PARTITION_MODE_ISR;
    }
}

void roles_config(const struct image_topic *topic, uint32_t partition, struct partition_config *ret_config)
{
    struct image_partition facts;
    uint32_t factor = image_topic_partition(topic, partition, &facts) ? image_partition_factor(&facts) : 1;

    *ret_config = (struct partition_config){
        .batch_bytes_max = (uint32_t)image_topic_config(topic, TOPIC_CONFIG_MAX_BATCH_BYTES),
        .min_insync = image_min_insync(topic, factor),
        .is_append_time = image_topic_config(topic, TOPIC_CONFIG_TIMESTAMP_TYPE) == TOPIC_TIMESTAMP_APPEND,
        .is_async = image_topic_config(topic, TOPIC_CONFIG_FLUSH) == TOPIC_FLUSH_ASYNC,
        .mode = mode_of(topic),
    };
}

uint64_t roles_delete_before(const struct image_deletion *deletion, uint64_t epoch_end, int32_t known_epoch, const struct replica *replica, bool *ret_is_due)
{
    const struct partition *partition = &replica->partition;
    uint64_t end = known_epoch < 0 ? 0 : epoch_end;
    uint64_t offset = deletion == NULL ? 0 : deletion->offset < end ? deletion->offset : end;

    /* A follower that lags behind gets the rest of them yet. */
    *ret_is_due = deletion != NULL && !replica_leads(replica) && offset < deletion->offset && partition->first < deletion->offset;
    if (offset <= partition->first) return 0;
    if (!replica->is_cutting && (replica_leads(replica) || offset <= partition->high_watermark)) return offset;
    *ret_is_due = true;
    return 0;
}

bool roles_waits_for_others(const struct replica *replica, int32_t acks)
{
    return acks == -1 && replica->member_count > 1 && replica->partition.config.mode != PARTITION_MODE_ASYNC;
}

/* A partition's own result is the coordinator's decision. An error of the whole request is one only if it is among those that the
 * coordinator gives, or nobody was asked; after all others the request may have been done, or may be yet. */
enum replica_alter_outcome roles_alter_outcome(int error, const struct decide_result *result)
{
    switch (error) {
    case 0:
        if (result->error == MESH_EAGAIN) return REPLICA_ALTER_UNKNOWN; /* it may be an earlier copy of this very wish that came first */
        return result->error == 0 ? REPLICA_ALTER_DONE : REPLICA_ALTER_REFUSED;
    case MESH_ESTALE_EPOCH:
    case MESH_ENOTFOUND:
    case MESH_EINVAL:
    case MESH_ETOOLARGE:
    case MESH_EBUSY: return REPLICA_ALTER_REFUSED;
    default: return REPLICA_ALTER_UNKNOWN;
    }
}

void roles_wish(const struct uuid *topic_id, uint32_t partition, const struct replica_alter *alter, struct decide_member *members,
                struct decide_isr *ret_wish)
{
    for (uint8_t i = 0; i < alter->isr_count; i++)
        members[i] = (struct decide_member){alter->isr[i].node_id, alter->isr[i].broker_epoch, alter->isr[i].generation};
    *ret_wish = (struct decide_isr){
        .topic_id = *topic_id,
        .partition = partition,
        .leader_epoch = alter->leader_epoch,
        .partition_epoch = alter->partition_epoch,
        .members = members,
        .member_count = alter->isr_count,
    };
}
