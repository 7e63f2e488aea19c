/* client/send_queue.h - bytes waiting to leave through one socket, as iovecs.
 *
 * Three kinds, kept in order: small ones are **staged** (written into the queue's own ring, so that a
 * thousand small requests leave as a few iovecs); big ones are **borrowed** (the owner keeps the bytes until
 * they have left) or
 * **owned** (freed when they have left). Positions count bytes since the queue was reset, so that an owner
 * can tell whether its bytes are gone. Does no I/O. Owned by one thread. */
#ifndef CLIENT_SEND_QUEUE_H
#define CLIENT_SEND_QUEUE_H

#include "base/buffer.h"

#include <stdbool.h>
#include <sys/uio.h>

#define SEND_QUEUE_RING_SIZE (256u << 10) /* bytes */

struct send_piece {
    uint32_t ring_bytes; /* to give back to the ring when it has left */
    uint8_t *owned;      /* to free when it has left, or NULL */
};

struct send_queue {
    struct iovec *iovecs;      /* owned; [first, count) wait */
    struct send_piece *pieces; /* beside each iovec */
    size_t first, count, capacity;
    uint8_t *ring;         /* owned; allocated at first use */
    size_t ring_head;      /* where the next staged bytes go */
    size_t ring_used;      /* bytes, paddings included */
    uint64_t position_in;  /* bytes queued since reset */
    uint64_t position_out; /* of these, bytes that have left */
};

void send_queue_init(struct send_queue *queue);
void send_queue_deinit(struct send_queue *queue);
void send_queue_reset(struct send_queue *queue); /* forgets everything; keeps the memory */

/* Room for one more request: `size` bytes to stage and `borrows` pieces to borrow. False when the ring is too
 * full or memory is short: send first. */
bool send_queue_has_room(struct send_queue *queue, size_t size, size_t borrows);

/* After send_queue_has_room(): cannot fail. The first leaves it to the caller to write the `size` bytes, at
 * once. */
uint8_t *send_queue_stage_room(struct send_queue *queue, size_t size);
void send_queue_stage(struct send_queue *queue, const void *data, size_t size);
void send_queue_borrow(struct send_queue *queue, const void *data, size_t size);

/* Takes the buffer's memory on success. Errors: MESH_ENOMEM. */
int send_queue_own(struct send_queue *queue, struct buffer *buffer);

static inline bool send_queue_is_empty(const struct send_queue *queue)
{
    return queue->position_in == queue->position_out;
}

/* What to hand to sendmsg(): *ret_count iovecs, at most max. */
struct iovec *send_queue_iovecs(struct send_queue *queue, size_t max, size_t *ret_count);

/* `size` bytes have left. */
void send_queue_advance(struct send_queue *queue, size_t size);

#endif
