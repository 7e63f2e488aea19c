#include "client/delivery_queue.h"

#include "base/assert.h"
#include "base/error.h"

#define CORRUPT_ATTEMPTS_MAX                                                                                 \
    5 /* damage on the way is tried again; damage at the source is not cured by trying */

void delivery_queue_init(struct delivery_queue *queue, bool is_idempotent, uint32_t in_flight_max)
{
    memset(queue, 0, sizeof(*queue));
    list_init(&queue->batches);
    queue->is_idempotent = is_idempotent;
    queue->in_flight_max = in_flight_max;
    queue->producer_id = -1;
    queue->producer_epoch = -1;
}

static struct producer_batch *batch_of(struct list_node *node)
{
    return container_of(node, struct producer_batch, queue_node);
}

/* Of thousands of small batches on their way, none is in the cache when its turn comes again; whoever takes one asks for the one
 * behind it. */
static void prefetch_next(const struct list_node *node)
{
    __builtin_prefetch(node->next);
}

/* The first waiting batch at or after `node`. */
static struct producer_batch *first_waiting(struct delivery_queue *queue, struct list_node *node)
{
    for (; node != &queue->batches; node = node->next)
        if (batch_of(node)->state == BATCH_WAITING) return batch_of(node);
    return NULL;
}

void delivery_queue_push(struct delivery_queue *queue, struct producer_batch *batch)
{
    MESH_ASSERT(batch->state == BATCH_OPEN && batch_record_count(batch) > 0);
    batch->state = BATCH_WAITING;
    list_push_back(&queue->batches, &batch->queue_node);
    queue->waiting++;
    if (queue->next == NULL) queue->next = batch;
}

bool delivery_queue_has_slot(const struct delivery_queue *queue, uint64_t now_ms)
{
    if (queue->in_flight + queue->resolved >= queue->in_flight_max || queue->is_draining ||
        now_ms < queue->retry_ms)
        return false;
    return !queue->is_idempotent || queue->producer_id >= 0;
}

bool delivery_queue_can_send(const struct delivery_queue *queue, uint64_t now_ms)
{
    return queue->next != NULL && delivery_queue_has_slot(queue, now_ms);
}

static int32_t sequence_after(int32_t sequence, uint32_t count)
{
    return (int32_t)(((uint32_t)sequence + count) & INT32_MAX);
}

void delivery_queue_set_producer_id(struct delivery_queue *queue, int64_t producer_id, int16_t producer_epoch)
{
    MESH_ASSERT(queue->in_flight == 0 && producer_id >= 0);
    queue->producer_id = producer_id;
    queue->producer_epoch = producer_epoch;
    queue->next_sequence = 0;
    list_for_each(node, &queue->batches)
    {
        struct producer_batch *batch = batch_of(node);
        if (batch->state != BATCH_WAITING) continue;
        if (queue->forgotten != 0 && batch->maybe_stored) {
            delivery_queue_give_up(queue, batch, queue->forgotten);
            continue;
        }
        batch->has_sequence = false;
        batch->encoded = slice_of(NULL, 0);
    }
    queue->forgotten = 0;
    queue->has_unknown = false; /* what is given up above was of the old id or epoch */
}

struct producer_batch *delivery_queue_take(struct delivery_queue *queue)
{
    struct producer_batch *batch = queue->next;

    MESH_ASSERT(batch != NULL && batch->state == BATCH_WAITING);
    if (queue->is_idempotent && !batch->has_sequence) {
        batch->has_sequence = true;
        batch->producer_id = queue->producer_id;
        batch->producer_epoch = queue->producer_epoch;
        batch->base_sequence = queue->next_sequence;
        batch->encoded = slice_of(NULL, 0);
        queue->next_sequence = sequence_after(queue->next_sequence, batch_record_count(batch));
    }
    batch->state = BATCH_IN_FLIGHT;
    batch->attempts++;
    queue->in_flight++;
    queue->waiting--;
    queue->next = first_waiting(queue, batch->queue_node.next);
    if (queue->next != NULL) prefetch_next(&queue->next->queue_node);
    return batch;
}

static void resolve(struct delivery_queue *queue, struct producer_batch *batch,
                    enum mesh_delivery_status status, const struct produce_result *result)
{
    queue->resolved++;
    batch->state = BATCH_RESOLVED;
    batch->status = status;
    batch->result = *result;
}

static void fail(struct delivery_queue *queue, struct producer_batch *batch, int error, bool maybe_stored)
{
    const struct produce_result result = {.error = error, .leader_epoch = -1, .append_time_ms = -1};

    maybe_stored = maybe_stored || batch->maybe_stored;
    if (maybe_stored && batch->has_sequence) queue->has_unknown = true;
    resolve(queue, batch, maybe_stored ? MESH_DELIVERY_UNKNOWN : MESH_DELIVERY_FAILED, &result);
}

/* Back to waiting, before whatever waits behind it; rule 3. */
static void requeue(struct delivery_queue *queue, struct producer_batch *batch, bool maybe_stored,
                    uint64_t now_ms, uint32_t wait_ms)
{
    batch->state = BATCH_WAITING;
    if (maybe_stored) batch->maybe_stored = true;
    queue->waiting++;
    queue->next = first_waiting(queue, queue->batches.next);
    if (!queue->is_draining) {
        queue->is_draining = true;
        queue->failures++;
        queue->retry_ms = now_ms + wait_ms;
    }
}

/* An attempt may have stored it: again, where the broker would recognise it; else nobody knows, and that is told (rule 7). */
static void doubt(struct delivery_queue *queue, struct producer_batch *batch, int error, uint64_t now_ms, uint32_t wait_ms)
{
    if (queue->is_idempotent)
        requeue(queue, batch, true, now_ms, wait_ms);
    else
        fail(queue, batch, error, true);
}

/* Rule 4. */
static void next_epoch(struct delivery_queue *queue)
{
    queue->wants_epoch = false;
    if (queue->producer_id < 0 || queue->producer_epoch == INT16_MAX)
        queue->producer_id = -1; /* none is left: another id */
    else
        delivery_queue_set_producer_id(queue, queue->producer_id, (int16_t)(queue->producer_epoch + 1));
}

/* A batch has come back from its flight. */
static void landed(struct delivery_queue *queue)
{
    MESH_ASSERT(queue->in_flight > 0);
    if (--queue->in_flight > 0) return;
    queue->is_draining = false;
    if (queue->wants_epoch) next_epoch(queue);
}

static bool is_first_unresolved(const struct delivery_queue *queue, const struct producer_batch *batch)
{
    list_for_each(node, &queue->batches)
    {
        if (batch_of(node) == batch) return true;
        if (batch_of(node)->state != BATCH_RESOLVED) return false;
    }
    return false;
}

enum delivery_outcome delivery_outcome_of(int error, bool is_first_unresolved_batch, uint32_t attempts)
{
    switch (error) {
    case 0:
    case MESH_EDUPLICATE_SEQUENCE: return DELIVERY_STORED;
    case MESH_EOUT_OF_ORDER_SEQUENCE: return is_first_unresolved_batch ? DELIVERY_NEW_ID : DELIVERY_RETRY;
    case MESH_EUNKNOWN_PRODUCER:
    case MESH_EPRODUCER_FENCED: return is_first_unresolved_batch ? DELIVERY_FORGOTTEN : DELIVERY_RETRY;
    case MESH_ENOMEM:
    case MESH_EAGAIN:
    case MESH_EBUSY:
    case MESH_EFULL:
    case MESH_ENOT_LEADER:
    case MESH_ESTALE_EPOCH:
    case MESH_EUNKNOWN_EPOCH:
    case MESH_EUNKNOWN_TOPIC:
    case MESH_EUNREACHABLE: /* its leader, by the broker that was to forward it */
    case MESH_ENOT_ENOUGH_REPLICAS: return DELIVERY_RETRY;
    case MESH_ECORRUPT: return attempts < CORRUPT_ATTEMPTS_MAX ? DELIVERY_RETRY : DELIVERY_REFUSED;
    case MESH_EIO: return DELIVERY_DOUBTFUL;
    default: return mesh_error_is_retriable(error) ? DELIVERY_UNCLEAR : DELIVERY_REFUSED;
    }
}

/* What an answer says about why the partition does not get on. The broker's talk about sequences is no cause:
 * it follows from one. */
static void note_refusal(struct delivery_queue *queue, int error)
{
    if (error == 0 || error == MESH_EDUPLICATE_SEQUENCE)
        queue->refusal = 0;
    else if (mesh_error_is_retriable(error) || error == MESH_ECORRUPT)
        queue->refusal = error;
}

void delivery_queue_answered(struct delivery_queue *queue, struct producer_batch *batch,
                             const struct produce_result *result, uint64_t now_ms, uint32_t wait_ms)
{
    struct produce_result stored = *result;
    bool is_first;

    MESH_ASSERT(batch->state == BATCH_IN_FLIGHT);
    note_refusal(queue, result->error);
    is_first = result->error != 0 && is_first_unresolved(queue, batch); /* which looks at all that wait to be told */
    switch (delivery_outcome_of(result->error, is_first, batch->attempts)) {
    case DELIVERY_STORED:
        if (stored.error != 0) stored.base_offset = UINT64_MAX; /* stored long ago: nobody knows where */
        stored.error = 0;
        resolve(queue, batch, MESH_DELIVERED, &stored);
        queue->failures = 0;
        break;
    case DELIVERY_RETRY: requeue(queue, batch, false, now_ms, wait_ms); break;
    case DELIVERY_UNCLEAR: doubt(queue, batch, result->error, now_ms, wait_ms); break;
    case DELIVERY_NEW_ID:
        queue->wants_epoch = true;
        if (queue->has_unknown)
            queue->forgotten = result->error; /* what was not answered once may arrive yet, behind the one that was given up */
        else
            batch->maybe_stored = false;
        requeue(queue, batch, false, now_ms, wait_ms);
        break;
    case DELIVERY_FORGOTTEN:
        queue->producer_id = -1; /* rule 5: the next sending waits for a new one */
        queue->forgotten = result->error;
        if (batch->maybe_stored)
            fail(queue, batch, result->error, true);
        else
            requeue(queue, batch, false, now_ms, wait_ms);
        break;
    case DELIVERY_REFUSED: fail(queue, batch, result->error, false); break;
    case DELIVERY_DOUBTFUL: fail(queue, batch, result->error, true); break;
    }
    landed(queue);
}

void delivery_queue_lost(struct delivery_queue *queue, struct producer_batch *batch, int error, bool was_sent,
                         uint64_t now_ms, uint32_t wait_ms)
{
    MESH_ASSERT(batch->state == BATCH_IN_FLIGHT);
    if (was_sent) {
        queue->refusal = 0; /* what it would have said now is not known */
        doubt(queue, batch, error, now_ms, wait_ms);
    } else {
        requeue(queue, batch, false, now_ms, wait_ms);
    }
    landed(queue);
}

void delivery_queue_hurry(struct delivery_queue *queue)
{
    queue->retry_ms = 0;
    queue->failures = 0;
}

void delivery_queue_give_up(struct delivery_queue *queue, struct producer_batch *batch, int error)
{
    MESH_ASSERT(batch->state == BATCH_WAITING);
    fail(queue, batch, error, false);
    queue->waiting--;
    if (queue->next == batch) queue->next = first_waiting(queue, batch->queue_node.next);
}

struct producer_batch *delivery_queue_pop(struct delivery_queue *queue)
{
    struct producer_batch *batch;

    if (list_is_empty(&queue->batches)) return NULL;
    batch = batch_of(queue->batches.next);
    if (batch->state != BATCH_RESOLVED) return NULL;
    list_remove(&batch->queue_node);
    prefetch_next(queue->batches.next);
    queue->resolved--;
    return batch;
}
