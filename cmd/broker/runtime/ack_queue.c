/* broker/runtime/ack_queue.c - the ring of ack_queue.h. */
#include "cmd/broker/runtime/ack_queue.h"

#include <stdlib.h>
#include <string.h>

#define ACK_QUEUE_CAPACITY_FIRST 64

void ack_queue_deinit(struct ack_queue *queue)
{
    free(queue->ring);
    *queue = (struct ack_queue)ACK_QUEUE_INIT;
}

static bool ack_queue_grow(struct ack_queue *queue)
{
    uint32_t capacity = queue->capacity == 0 ? ACK_QUEUE_CAPACITY_FIRST : queue->capacity * 2;
    uint32_t until_wrap = queue->capacity - queue->head;
    struct ack *ring = malloc(capacity * sizeof(*ring));

    if (ring == NULL) return false;
    if (queue->count > 0) {
        memcpy(ring, queue->ring + queue->head, until_wrap * sizeof(*ring));
        memcpy(ring + until_wrap, queue->ring, queue->head * sizeof(*ring));
    }
    free(queue->ring);
    queue->ring = ring;
    queue->capacity = capacity;
    queue->head = 0;
    return true;
}

struct ack *ack_queue_push(struct ack_queue *queue)
{
    if (queue->count == queue->capacity && !ack_queue_grow(queue)) return NULL;
    return &queue->ring[(queue->head + queue->count++) & (queue->capacity - 1)];
}

void ack_queue_trim(struct ack_queue *queue)
{
    if (queue->count == 0 && queue->capacity > ACK_QUEUE_CAPACITY_FIRST) ack_queue_deinit(queue);
}
