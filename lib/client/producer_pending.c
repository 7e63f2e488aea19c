/* Records that were sent before the topic's partitions were known: kept as they are, then sent on in order.
 */
#include "client/producer.h"

#include "base/assert.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

struct pending_record {
    struct list_node node;
    uint64_t created_ms;
    size_t memory_bytes;
    size_t record_bytes;
    struct delivery delivery;
    struct mesh_record record; /* its pointers lead into this allocation */
};

static size_t copied_size(const struct mesh_record *record)
{
    size_t size = record->key_size + record->value_size + record->header_count * sizeof(struct mesh_header);

    for (size_t i = 0; i < record->header_count; i++)
        size += (record->headers[i].key != NULL ? strlen(record->headers[i].key) + 1 : 0) +
                record->headers[i].value_size;
    return size;
}

static const void *copy_bytes(uint8_t **to, const void *from, size_t size)
{
    uint8_t *start = *to;

    if (from == NULL) return NULL;
    if (size > 0) memcpy(start, from, size);
    *to += size;
    return start;
}

static void copy_record(struct pending_record *pending, const struct mesh_record *from)
{
    struct mesh_header *headers = (void *)(pending + 1); /* first: they need alignment */
    uint8_t *to = (uint8_t *)(headers + from->header_count);

    pending->record = *from;
    pending->record.key = copy_bytes(&to, from->key, from->key_size);
    pending->record.value = copy_bytes(&to, from->value, from->value_size);
    pending->record.headers = headers;
    for (size_t i = 0; i < from->header_count; i++) {
        headers[i] = from->headers[i];
        headers[i].key = copy_bytes(&to, from->headers[i].key, strlen(from->headers[i].key) + 1);
        headers[i].value = copy_bytes(&to, from->headers[i].value, from->headers[i].value_size);
    }
    if (from->timestamp_ms == 0) pending->record.timestamp_ms = clock_wall_ms();
}

int producer_pending_add(struct mesh_producer *producer, const struct mesh_record *record,
                         struct delivery delivery)
{
    struct batch_pool *pool = &producer->pool;
    struct pending_record *pending;
    size_t size;

    if (record->header_count > INT32_MAX / sizeof(struct mesh_header)) return MESH_ETOOLARGE;
    for (size_t i = 0; i < record->header_count; i++)
        if (record->headers[i].key == NULL)
            return client_fail(producer->client, MESH_EINVAL, "a header needs a key");
    size = copied_size(record);
    if (size > producer->batch_bytes_max) return MESH_ETOOLARGE;
    /* Half of the memory stays free for the batches that these records will go into. */
    if (pool->memory_used + sizeof(*pending) + size > pool->memory_max / 2) return MESH_EQUEUEFULL;
    pending = malloc(sizeof(*pending) + size);
    if (pending == NULL) return MESH_ENOMEM;
    copy_record(pending, record);
    pending->created_ms = clock_monotonic_ms();
    pending->memory_bytes = sizeof(*pending) + size;
    pending->record_bytes = size;
    pending->delivery = delivery;
    pool->memory_used += pending->memory_bytes;
    producer->queued_bytes += size;
    producer->bytes_since_turn += pending->memory_bytes;
    producer->queued_records++;
    list_push_back(&producer->pending, &pending->node);
    return 0;
}

/* Out of the books; the memory is still the caller's to free. */
static struct pending_record *take_first(struct mesh_producer *producer)
{
    struct pending_record *pending =
        container_of(list_pop_front(&producer->pending), struct pending_record, node);

    producer->pool.memory_used -= pending->memory_bytes;
    producer->queued_bytes -= pending->record_bytes;
    producer->queued_records--;
    return pending;
}

static void fail_one(struct mesh_producer *producer, struct pending_record *pending, int error)
{
    const struct mesh_receipt receipt = {
        .status = MESH_DELIVERY_FAILED,
        .error = error,
        .topic = producer->topic->name,
        .partition = pending->record.partition,
        .offset = -1,
        .leader_epoch = -1,
        .timestamp_ms = pending->record.timestamp_ms,
    };

    if (pending->delivery.fn != NULL) pending->delivery.fn(pending->delivery.user, &receipt);
    free(pending);
}

void producer_pending_flush(struct mesh_producer *producer)
{
    /* Records that callbacks send meanwhile queue up behind: the list is empty or growing, never out of
     * order. */
    while (!list_is_empty(&producer->pending)) {
        struct pending_record *first = container_of(producer->pending.next, struct pending_record, node);
        int err = producer_send_routed(producer, &first->record, first->delivery);
        if (err == MESH_EQUEUEFULL || err == MESH_EAGAIN || err == MESH_ENOMEM) return; /* goes on when there is room again */
        first = take_first(producer);
        if (err == 0)
            free(first);
        else
            fail_one(producer, first, err);
    }
}

void producer_pending_fail(struct mesh_producer *producer, int error, uint64_t created_before_ms)
{
    while (!list_is_empty(&producer->pending) && producer_pending_oldest_ms(producer) <= created_before_ms)
        fail_one(producer, take_first(producer), error);
}

uint64_t producer_pending_oldest_ms(const struct mesh_producer *producer)
{
    return container_of(producer->pending.next, struct pending_record, node)->created_ms;
}
