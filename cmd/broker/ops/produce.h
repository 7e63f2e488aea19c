/* broker/ops/produce.h - produce one batch to one partition, wherever in this broker it lives. Protocol-free.
 *
 * The fast path (the partition belongs to the calling shard) allocates nothing and copies the batch once, into the
 * store. A batch for another shard is copied into a message. A door that takes several batches in one request calls
 * once per batch and counts the answers. */
#ifndef BROKER_OPS_PRODUCE_H
#define BROKER_OPS_PRODUCE_H

#include "wire/message.h"

struct shard;

/* Tells the fate of one batch, on the shard that submitted it, exactly once. `result` is borrowed. */
typedef void produce_done_fn(void *owner, uint64_t tag, const struct produce_result *result);

struct produce_done {
    produce_done_fn *call; /* NULL: nobody wants to know (acks 0) */
    void *owner;           /* must live until call has run */
    uint64_t tag;
};

/* `batch` is entry->batch_size writable bytes, patched in place and borrowed for the call. acks: 0, 1 or -1 (all).
 * Returns 0 when done.call has run or will run (with any error of the partition), or MESH_EAGAIN: nothing was done
 * because memory is full; stop reading and call again with the same batch after shard_resume() (shard.h). */
int produce_submit(struct shard *shard, const struct produce_entry *entry, uint8_t *batch, int32_t acks,
                   struct produce_done done);

#endif
