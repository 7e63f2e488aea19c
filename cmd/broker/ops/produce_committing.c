/* broker/ops/produce_committing.c - acknowledgements of replicated partitions: each partition has a queue of its own, because high watermarks
 * rise one by one, where a sync passes all tickets at once. */
#include "base/clock.h"
#include "base/error.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/partitions.h"

#include <stdlib.h>

static struct shard_partition_acks *acks_new(struct shard_partition *partition)
{
    struct shard_partition_acks *acks = calloc(1, sizeof(*acks));

    if (acks == NULL) return NULL;
    acks->partition = partition;
    list_init(&acks->link);
    return acks;
}

struct ack *produce_committing_push(struct shard *shard, struct shard_partition *partition)
{
    struct ack *ack;

    if (partition->acks == NULL) partition->acks = acks_new(partition);
    if (partition->acks == NULL) return NULL;
    ack = ack_queue_push(&partition->acks->queue);
    if (ack == NULL || partition->acks->queue.count > 1) return ack;
    list_remove(&partition->acks->link);
    list_push_back(&shard->acks_committing, &partition->acks->link);
    return ack;
}

void produce_committing_free(struct shard_partition *partition)
{
    if (partition->acks == NULL) return;
    list_remove(&partition->acks->link);
    ack_queue_deinit(&partition->acks->queue);
    free(partition->acks);
    partition->acks = NULL;
}

/* The room stays for the next ones, until the shard has nothing to do. */
static void rest_if_empty(struct shard *shard, struct shard_partition *partition)
{
    if (partition->acks->queue.count > 0) return;
    list_remove(&partition->acks->link);
    list_push_back(&shard->acks_resting, &partition->acks->link);
}

void produce_acknowledge_committed(struct shard *shard, struct shard_partition *partition)
{
    uint64_t high_watermark = partition->replica.partition.high_watermark, now_ns = 0;
    struct ack *front;

    if (partition->acks == NULL) return;
    partition->pending++; /* answers release theirs */
    while ((front = ack_queue_front(&partition->acks->queue)) != NULL && front->end_offset <= high_watermark) {
        struct ack ack = *front;

        ack_queue_pop(&partition->acks->queue); /* first: done may push */
        if (now_ns == 0) now_ns = clock_monotonic_ns();
        produce_answer(shard, &ack, 0, now_ns);
    }
    if (now_ns != 0) rest_if_empty(shard, partition);
    shard_partition_release(partition);
}

void produce_refuse_waiting(struct shard *shard, struct shard_partition *partition, int error)
{
    uint32_t count = partition->acks == NULL ? 0 : partition->acks->queue.count;
    uint64_t now_ns = shard->now_ns;

    if (count == 0) return;
    partition->pending++;
    for (; count > 0; count--) {
        struct ack ack = *ack_queue_front(&partition->acks->queue);

        ack_queue_pop(&partition->acks->queue);
        produce_answer(shard, &ack, error, now_ns);
    }
    rest_if_empty(shard, partition);
    shard_partition_release(partition);
}

void produce_expire_committing(struct shard *shard)
{
    list_for_each_safe(node, &shard->acks_committing)
    {
        struct shard_partition *partition = container_of(node, struct shard_partition_acks, link)->partition;

        partition->pending++;
        produce_expire_queue(shard, &partition->acks->queue);
        rest_if_empty(shard, partition);
        shard_partition_release(partition);
    }
}

void produce_abandon_committing(struct shard *shard)
{
    struct list_node *node;

    while ((node = list_pop_front(&shard->acks_committing)) != NULL) {
        struct shard_partition *partition = container_of(node, struct shard_partition_acks, link)->partition;

        partition->pending++;
        produce_abandon_queue(shard, &partition->acks->queue);
        shard_partition_release(partition);
    }
}

void produce_trim_committed(struct shard *shard)
{
    while (!list_is_empty(&shard->acks_resting))
        produce_committing_free(container_of(shard->acks_resting.next, struct shard_partition_acks, link)->partition);
}
