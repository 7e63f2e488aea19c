/* broker/ops/produce.h - produce one batch to one partition, wherever in this broker it lives. Protocol-free.
 *
 * The fast path (the partition belongs to the calling shard) allocates nothing and copies the batch once, into the
 * store. A batch for another shard is copied into a message. A door that takes several batches in one request calls
 * once per batch and counts the answers. */
#ifndef BROKER_OPS_PRODUCE_H
#define BROKER_OPS_PRODUCE_H

#include "wire/message.h"

struct shard;
struct sockaddr_in6;

/* Tells the fate of one batch, on the shard that submitted it, exactly once. `result` is borrowed. */
typedef void produce_done_fn(void *owner, uint64_t tag, const struct produce_result *result);

struct produce_done {
    produce_done_fn *call; /* NULL: nobody wants to know (acks 0) */
    void *owner;           /* must live until call has run */
    uint64_t tag;
};

/* What the producer asks for. */
struct produce_terms {
    int32_t acks;        /* 0, 1 or -1 (all) */
    uint32_t timeout_ms; /* for the disk and for memory; 0: as long as it takes */
    bool forwards;       /* to the broker that leads the partition, if it is another one (forward/requests.h) */
    const struct sockaddr_in6 *from; /* the client, or an IPv4 one, for the log; borrowed for the submitting call. NULL: nobody's */
    uint32_t correlation_id;         /* the client's own, likewise */
};

/* `batch` is entry->batch_size writable bytes, patched in place and borrowed for the call. Returns 0 when done.call has run or
 * will run, or MESH_EAGAIN: nothing was done because memory is full; stop reading and call again with the same batch when
 * the connection's turn comes (front/connections.h).
 * done's errors are those of the partition, MESH_ETIMEDOUT (the batch is in the log, but was not durable in time: it may be
 * there after a crash or not), and MESH_EBUSY (nothing was done: another shard had no memory for so long). Both may come
 * half a second late. */
int produce_submit(struct shard *shard, const struct produce_entry *entry, uint8_t *batch,
                   const struct produce_terms *terms, struct produce_done done);

#endif
