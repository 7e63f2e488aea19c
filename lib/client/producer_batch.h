/* client/producer_batch.h - the records of one partition that travel together, and what is owed to their
 * senders.
 *
 * Records are encoded straight into the batch's memory: that is the one copy libmesh makes. Batches come from
 * a pool that keeps their memory by size, so that a steady stream allocates nothing; the pool's total is the
 * producer's memory cap. No I/O. Owned by one producer. */
#ifndef CLIENT_PRODUCER_BATCH_H
#define CLIENT_PRODUCER_BATCH_H

#include <mesh/mesh.h>

#include "base/list.h"
#include "wire/message.h"
#include "wire/record_batch_small.h"

#define BATCH_SIZE_LOG2_MIN 9
#define BATCH_MEMORY_MIN    (1u << BATCH_SIZE_LOG2_MIN)
#define BATCH_CLASS_COUNT   92 /* sizes up to 2^31 and a bit, four to each doubling */

#define BATCH_TIMES_MAX 8

enum batch_state {
    BATCH_OPEN,      /* takes records */
    BATCH_WAITING,   /* closed: to be sent, or to be sent again */
    BATCH_IN_FLIGHT, /* sent, no answer yet */
    BATCH_RESOLVED,  /* its fate is known */
};

struct delivery {
    mesh_delivery_fn *fn; /* may be NULL */
    void *user;
};

/* Neighbouring records that are owed the same: from `first` to the next run's. */
struct delivery_run {
    uint32_t first; /* record */
    struct delivery delivery;
};

struct producer_partition;

struct producer_batch {
    struct list_node queue_node; /* in its partition's delivery queue, or in the pool */
    struct list_node age_node;   /* in the producer's list, oldest first */
    struct producer_batch *next_in_request;
    struct producer_partition *partition;
    enum batch_state state;
    uint64_t created_ms;

    struct record_batch_builder builder;
    struct buffer compressed;
    struct slice encoded; /* ready to send; empty until sealed. Borrows from builder or compressed */
    size_t memory_bytes;  /* counted against the cap */

    struct delivery delivery;         /* of the newest record; of every record, while they are all alike */
    struct delivery_run *runs;        /* owned; used once they differ */
    uint32_t run_count, run_capacity; /* run_count 0: they are all alike */

    struct {
        uint32_t first; /* record */
        int64_t timestamp_ms;
    } times[BATCH_TIMES_MAX]; /* runs of equal timestamps, so that telling them need not read the records
                                 again */
    uint32_t time_count;      /* over BATCH_TIMES_MAX: there were more; the records are read after all */
    int64_t newest_ms;        /* timestamp of the newest record */

    bool has_sequence;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    uint32_t attempts;
    bool maybe_stored; /* an attempt ended without a clear answer */

    enum mesh_delivery_status status; /* once resolved */
    struct produce_result result;
};

static inline uint32_t batch_record_count(const struct producer_batch *batch)
{
    return (uint32_t)batch->builder.record_count;
}

/* Adds a record and what is owed for it. Memory for it must have been reserved (batch_pool_reserve). Errors:
 * MESH_ENOMEM, MESH_ETOOLARGE; the batch is then unchanged. */
int batch_add(struct producer_batch *batch, const struct record *record, struct delivery delivery);

void batch_note_time(struct producer_batch *batch, uint32_t index, int64_t timestamp_ms);

/* Adds a record without headers that takes no decisions: small, behind others, with memory for it and for
 * what is owed. False: it is not such a one, and nothing has changed. */
static inline bool batch_add_small(struct producer_batch *batch, const struct mesh_record *record,
                                   int64_t timestamp_ms, struct delivery delivery)
{
    uint32_t index = batch_record_count(batch);
    bool is_alike = delivery.fn == batch->delivery.fn && delivery.user == batch->delivery.user;

    if (!is_alike && (batch->run_count == 0 || batch->run_count == batch->run_capacity)) return false;
    if (!record_batch_builder_add_small(&batch->builder, timestamp_ms,
                                        slice_of(record->key, record->key_size), record->key == NULL,
                                        slice_of(record->value, record->value_size), record->value == NULL))
        return false;
    if (!is_alike) {
        batch->runs[batch->run_count++] = (struct delivery_run){index, delivery};
        batch->delivery = delivery;
    }
    if (timestamp_ms != batch->newest_ms) batch_note_time(batch, index, timestamp_ms);
    return true;
}

/* Writes header and CRC, with the batch's sequence when it has one. Errors: MESH_ENOMEM. */
int batch_seal(struct producer_batch *batch, enum record_compression compression);

/* Tells every sender, in order. receipt carries what is common to all; the rest is filled in here. */
void batch_tell(struct producer_batch *batch, struct mesh_receipt *receipt);

struct batch_pool {
    size_t memory_max;
    size_t memory_used;                       /* bytes: batches in use and idle ones */
    size_t memory_idle;                       /* of these, idle */
    struct list_node idle[BATCH_CLASS_COUNT]; /* by capacity, rounded down to a class */
};

void batch_pool_init(struct batch_pool *pool, size_t memory_max);
void batch_pool_deinit(struct batch_pool *pool);

/* An empty batch with room for about size_hint bytes, or less when memory is short, at least for `size_min`.
 * Errors: MESH_EQUEUEFULL (the cap), MESH_ENOMEM. */
int batch_pool_take(struct batch_pool *pool, size_t size_min, size_t size_hint,
                    struct producer_batch **ret_batch);

/* Makes room for `extra` more bytes of records. Errors: MESH_EQUEUEFULL, MESH_ENOMEM. */
int batch_pool_reserve(struct batch_pool *pool, struct producer_batch *batch, size_t extra);

/* Counts what the batch has grown by outside of reserve (runs of deliveries, compression). */
void batch_pool_recount(struct batch_pool *pool, struct producer_batch *batch);

/* Takes the batch back; it is in no list. */
void batch_pool_give(struct batch_pool *pool, struct producer_batch *batch);

#endif
