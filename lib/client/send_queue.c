#include "client/send_queue.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void send_queue_init(struct send_queue *queue)
{
    memset(queue, 0, sizeof(*queue));
}

void send_queue_deinit(struct send_queue *queue)
{
    send_queue_reset(queue);
    free(queue->iovecs);
    free(queue->pieces);
    free(queue->ring);
    send_queue_init(queue);
}

void send_queue_reset(struct send_queue *queue)
{
    for (size_t i = queue->first; i < queue->count; i++)
        free(queue->pieces[i].owned);
    queue->first = queue->count = 0;
    queue->ring_head = queue->ring_used = 0;
    queue->position_in = queue->position_out = 0;
}

/* Makes room for `extra` more iovecs at the end, moving the waiting ones to the front first. */
static int reserve_pieces(struct send_queue *queue, size_t extra)
{
    size_t waiting = queue->count - queue->first;
    size_t capacity = queue->capacity ? queue->capacity : 64;
    struct iovec *iovecs;
    struct send_piece *pieces;

    if (queue->count + extra <= queue->capacity) return 0;
    if (queue->first > 0) {
        memmove(queue->iovecs, queue->iovecs + queue->first, waiting * sizeof(*queue->iovecs));
        memmove(queue->pieces, queue->pieces + queue->first, waiting * sizeof(*queue->pieces));
        queue->first = 0;
        queue->count = waiting;
    }
    while (capacity < waiting + extra)
        capacity *= 2;
    if (capacity == queue->capacity) return 0;
    iovecs = realloc(queue->iovecs, capacity * sizeof(*iovecs));
    if (iovecs == NULL) return MESH_ENOMEM;
    queue->iovecs = iovecs;
    pieces = realloc(queue->pieces, capacity * sizeof(*pieces));
    if (pieces == NULL) return MESH_ENOMEM;
    queue->pieces = pieces;
    queue->capacity = capacity;
    return 0;
}

/* Contiguous room for `size` bytes; staged bytes never wrap, the ring's end is padded instead. */
static bool ring_has_room(const struct send_queue *queue, size_t size)
{
    size_t until_end = SEND_QUEUE_RING_SIZE - queue->ring_head;
    size_t padding = size > until_end ? until_end : 0;

    return queue->ring_used + padding + size <= SEND_QUEUE_RING_SIZE;
}

bool send_queue_has_room(struct send_queue *queue, size_t size, size_t borrows)
{
    if (queue->ring == NULL) {
        queue->ring = malloc(SEND_QUEUE_RING_SIZE);
        if (queue->ring == NULL) return false;
    }
    if (queue->ring_used == 0) queue->ring_head = 0;
    return ring_has_room(queue, size) && reserve_pieces(queue, borrows + 1) == 0;
}

static void push(struct send_queue *queue, const void *data, size_t size, struct send_piece piece)
{
    MESH_ASSERT(queue->count < queue->capacity);
    queue->iovecs[queue->count].iov_base = (void *)(uintptr_t)data;
    queue->iovecs[queue->count].iov_len = size;
    queue->pieces[queue->count++] = piece;
    queue->position_in += size;
}

uint8_t *send_queue_stage_room(struct send_queue *queue, size_t size)
{
    size_t padding = 0;
    uint8_t *to;

    MESH_ASSERT(queue->ring != NULL && ring_has_room(queue, size));
    if (size > SEND_QUEUE_RING_SIZE - queue->ring_head) {
        padding = SEND_QUEUE_RING_SIZE - queue->ring_head;
        queue->ring_head = 0;
    }
    to = queue->ring + queue->ring_head;
    queue->ring_head = (queue->ring_head + size) % SEND_QUEUE_RING_SIZE;
    queue->ring_used += padding + size;
    if (padding == 0 && queue->count > queue->first) {
        struct iovec *last = &queue->iovecs[queue->count - 1];
        struct send_piece *piece = &queue->pieces[queue->count - 1];
        if (piece->ring_bytes > 0 && (uint8_t *)last->iov_base + last->iov_len == to) {
            last->iov_len += size;
            piece->ring_bytes += (uint32_t)size;
            queue->position_in += size;
            return to;
        }
    }
    push(queue, to, size, (struct send_piece){(uint32_t)(padding + size), NULL});
    return to;
}

void send_queue_stage(struct send_queue *queue, const void *data, size_t size)
{
    memcpy(send_queue_stage_room(queue, size), data, size);
}

void send_queue_borrow(struct send_queue *queue, const void *data, size_t size)
{
    push(queue, data, size, (struct send_piece){0, NULL});
}

int send_queue_own(struct send_queue *queue, struct buffer *buffer)
{
    if (reserve_pieces(queue, 1) != 0) return MESH_ENOMEM;
    push(queue, buffer->data, buffer->size, (struct send_piece){0, buffer->data});
    *buffer = (struct buffer)BUFFER_INIT;
    return 0;
}

struct iovec *send_queue_iovecs(struct send_queue *queue, size_t max, size_t *ret_count)
{
    size_t waiting = queue->count - queue->first;

    *ret_count = waiting < max ? waiting : max;
    return queue->iovecs + queue->first;
}

void send_queue_advance(struct send_queue *queue, size_t size)
{
    queue->position_out += size;
    MESH_ASSERT(queue->position_out <= queue->position_in);
    while (queue->first < queue->count) {
        struct iovec *iovec = &queue->iovecs[queue->first];
        struct send_piece *piece = &queue->pieces[queue->first];
        if (size < iovec->iov_len) {
            iovec->iov_base = (uint8_t *)iovec->iov_base + size;
            iovec->iov_len -= size;
            return;
        }
        size -= iovec->iov_len;
        queue->ring_used -= piece->ring_bytes;
        free(piece->owned);
        queue->first++;
    }
    MESH_ASSERT(size == 0);
    queue->first = queue->count = 0;
}
