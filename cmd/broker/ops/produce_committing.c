/* broker/ops/produce_committing.c - acknowledgements of replicated partitions: each partition has a queue of its own, because high watermarks
 * rise one by one, where a sync passes all tickets at once. */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/partitions.h"

struct ack *produce_committing_push(struct shard *shard, struct shard_partition *partition)
{
    struct ack *ack = ack_queue_push(&partition->acks);

    if (ack == NULL || partition->acks.count > 1) return ack;
    list_remove(&partition->acks_link);
    list_push_back(&shard->acks_committing, &partition->acks_link);
    return ack;
}

/* The room stays for the next ones, until the shard has nothing to do. */
static void rest_if_empty(struct shard *shard, struct shard_partition *partition)
{
    if (partition->acks.count > 0) return;
    list_remove(&partition->acks_link);
    list_push_back(&shard->acks_resting, &partition->acks_link);
}

void produce_acknowledge_committed(struct shard *shard, struct shard_partition *partition)
{
    uint64_t high_watermark = partition->replica.partition.high_watermark, now_ns = 0;
    struct ack *front;

    partition->pending++; /* answers release theirs */
    while ((front = ack_queue_front(&partition->acks)) != NULL && front->end_offset <= high_watermark) {
        struct ack ack = *front;

        ack_queue_pop(&partition->acks); /* first: done may push */
        if (now_ns == 0) now_ns = clock_monotonic_ns();
        produce_answer(shard, &ack, 0, now_ns);
    }
    if (now_ns != 0) rest_if_empty(shard, partition);
    shard_partition_release(partition);
}

void produce_refuse_waiting(struct shard *shard, struct shard_partition *partition, int error)
{
    uint32_t count = partition->acks.count;
    uint64_t now_ns = shard->now_ns;

    if (count == 0) return;
    partition->pending++;
    for (; count > 0; count--) {
        struct ack ack = *ack_queue_front(&partition->acks);

        ack_queue_pop(&partition->acks);
        produce_answer(shard, &ack, error, now_ns);
    }
    rest_if_empty(shard, partition);
    shard_partition_release(partition);
}

void produce_expire_committing(struct shard *shard)
{
    list_for_each_safe(node, &shard->acks_committing)
    {
        struct shard_partition *partition = container_of(node, struct shard_partition, acks_link);

        partition->pending++;
        produce_expire_queue(shard, &partition->acks);
        rest_if_empty(shard, partition);
        shard_partition_release(partition);
    }
}

void produce_abandon_committing(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->acks_committing)) != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition, acks_link);

        partition->pending++;
        produce_abandon_queue(shard, &partition->acks);
        shard_partition_release(partition);
    }
}

void produce_trim_committed(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->acks_resting)) != NULL)
        ack_queue_deinit(&container_of(node, struct shard_partition, acks_link)->acks);
}
