/* What is sent when; what is given up when; what is told. */
#include "client/producer.h"

#include "base/assert.h"
#include "client/broker.h"

/* ---- batches ---- */

static void remember_size(struct producer_partition *partition, size_t size)
{
    size_t hint = partition->size_hint;

    /* Follows growth at once and shrinking slowly, so that a busy partition keeps getting memory of the right
     * size. */
    partition->size_hint = (uint32_t)(size > hint ? size : hint - (hint - size) / 8);
}

void producer_close_batch(struct producer_partition *partition)
{
    struct producer_batch *batch = partition->open;

    MESH_ASSERT(batch != NULL && batch_record_count(batch) > 0);
    partition->open = NULL;
    partition->producer->open_count--;
    remember_size(partition, batch->builder.bytes.size);
    delivery_queue_push(&partition->queue, batch);
    producer_partition_update(partition);
}

static void tell(struct mesh_producer *producer, struct producer_batch *batch)
{
    const struct produce_result *result = &batch->result;
    bool is_delivered = batch->status == MESH_DELIVERED;
    struct mesh_receipt receipt = {
        .status = batch->status,
        .error = is_delivered ? 0 : result->error,
        .topic = producer->topic->name,
        .partition = (int32_t)batch->partition->index,
        .offset = is_delivered && producer->acks != 0 ? (int64_t)result->base_offset : -1,
        .leader_epoch = result->leader_epoch,
        .replicas_holding = result->replicas_holding,
        .replicas_synced = result->replicas_synced,
    };

    batch_tell(batch, &receipt);
}

/* Callbacks may send, which changes every list: nothing is held across them. */
void producer_deliver(struct mesh_producer *producer)
{
    struct list_node *node;

    while ((node = list_pop_front(&producer->deliver)) != NULL) {
        struct producer_partition *partition = container_of(node, struct producer_partition, deliver_node);
        struct producer_batch *batch;
        while ((batch = delivery_queue_pop(&partition->queue)) != NULL) {
            list_remove(&batch->age_node);
            tell(producer, batch);
            producer->queued_bytes -= batch->builder.bytes.size;
            producer->queued_records -= batch_record_count(batch);
            batch_pool_give(&producer->pool, batch);
        }
        producer_partition_update(partition);
    }
}

static void give_up(struct producer_batch *batch, int error)
{
    struct producer_partition *partition = batch->partition;

    if (batch->state == BATCH_OPEN) producer_close_batch(partition);
    delivery_queue_give_up(&partition->queue, batch, error);
    list_remove(&partition->deliver_node);
    list_push_back(&partition->producer->deliver, &partition->deliver_node);
}

void producer_give_up_batches(struct mesh_producer *producer, int error)
{
    list_for_each_safe(node, &producer->by_age)
    {
        struct producer_batch *batch = container_of(node, struct producer_batch, age_node);
        if (batch->state == BATCH_OPEN || batch->state == BATCH_WAITING) give_up(batch, error);
    }
    producer_deliver(producer);
}

/* ---- time ---- */

/* Why a batch's time ran out: what its partition last heard; that nobody was there; or that nobody answered.
 */
static int expiry_cause(const struct producer_batch *batch)
{
    const struct producer_partition *partition = batch->partition;
    const struct connection *connection = partition->lane->connection;

    if (partition->queue.refusal != 0) return partition->queue.refusal;
    if (partition->queue.is_idempotent && partition->queue.producer_id < 0 &&
        producer_id_refusal(partition->producer) != 0)
        return producer_id_refusal(partition->producer);
    if (batch->maybe_stored || (connection != NULL && connection_is_ready(connection))) return MESH_ETIMEDOUT;
    return broker_is_any_ready(partition->producer->client) ? MESH_ETIMEDOUT : MESH_EUNREACHABLE;
}

static int pending_expiry_cause(const struct mesh_producer *producer)
{
    if (producer->topic->error != 0) return producer->topic->error; /* why its partitions are not known */
    return broker_is_any_ready(producer->client) ? MESH_ETIMEDOUT : MESH_EUNREACHABLE;
}

static void expire(struct mesh_producer *producer)
{
    struct mesh_client *client = producer->client;
    uint64_t timeout_ms = (uint64_t)producer->delivery_timeout_ms;

    if (client->now_ms >= timeout_ms)
        producer_pending_fail(producer, pending_expiry_cause(producer), client->now_ms - timeout_ms);
    while (!list_is_empty(&producer->by_age)) {
        struct producer_batch *batch = container_of(producer->by_age.next, struct producer_batch, age_node);
        if (client->now_ms < batch->created_ms + timeout_ms) break;
        if (batch->state == BATCH_IN_FLIGHT) {
            /* The connection that owes the answer is given up; its batches come back and wait. */
            MESH_ASSERT(batch->partition->lane->connection != NULL);
            connection_fail(batch->partition->lane->connection, MESH_ETIMEDOUT,
                            "no acknowledgement for %d ms", producer->delivery_timeout_ms);
            if (batch->state == BATCH_IN_FLIGHT)
                break; /* posted (acks 0): resolved when the pump looks at it */
        }
        if (batch->state ==
            BATCH_RESOLVED) { /* waits for one before it, which is younger by the clock only */
            list_remove(&batch->age_node);
            continue;
        }
        give_up(batch, expiry_cause(batch));
    }
}

void producer_timer_due(struct timer *timer, uint64_t now_ms)
{
    struct mesh_producer *producer = container_of(timer, struct mesh_producer, timer);

    (void)now_ms;
    client_mark(producer->client, &producer->pump);
}

static uint64_t linger_ms(const struct mesh_producer *producer)
{
    uint64_t asked_ms = (uint64_t)producer->linger_ms;

    if (producer->is_flushing) return 0;
    return producer->gather.is_waiting && asked_ms < GATHER_AGE_MS ? GATHER_AGE_MS : asked_ms;
}

static bool may_close(const struct mesh_producer *producer, const struct producer_batch *batch)
{
    uint64_t wait_ms = linger_ms(producer);

    return wait_ms == 0 || producer->client->now_ms >= batch->created_ms + wait_ms;
}

static void earlier(uint64_t *deadline_ms, uint64_t other_ms)
{
    if (other_ms < *deadline_ms) *deadline_ms = other_ms;
}

static void arm_for_lane(struct mesh_producer *producer, struct producer_lane *lane, uint64_t *deadline_ms)
{
    uint64_t now_ms = producer->client->now_ms;

    if (!list_is_empty(&lane->open)) {
        struct producer_partition *oldest =
            container_of(lane->open.next, struct producer_partition, open_node);
        uint64_t due_ms = oldest->open->created_ms + linger_ms(producer);
        if (due_ms > now_ms) earlier(deadline_ms, due_ms);
    }
    /* Ready, connected and yet nothing on its way: memory was short. */
    if (!list_is_empty(&lane->ready) && connection_is_ready(lane->connection) &&
        lane->in_flight_requests == 0)
        earlier(deadline_ms, now_ms + PRODUCER_RETRY_MS);
}

/* When must the pump look again, if nothing else happens before? */
static void arm(struct mesh_producer *producer)
{
    uint64_t timeout_ms = (uint64_t)producer->delivery_timeout_ms;
    uint64_t deadline_ms = TIMER_NEVER;

    if (!list_is_empty(&producer->by_age))
        earlier(&deadline_ms,
                container_of(producer->by_age.next, struct producer_batch, age_node)->created_ms +
                    timeout_ms);
    if (!list_is_empty(&producer->pending))
        earlier(&deadline_ms, producer_pending_oldest_ms(producer) + timeout_ms);
    if (!list_is_empty(&producer->pending) && producer->topic->is_known) /* memory was short */
        earlier(&deadline_ms, producer->client->now_ms + PRODUCER_RETRY_MS);
    list_for_each(node, &producer->backoff)
        earlier(&deadline_ms, container_of(node, struct producer_partition, backoff_node)->queue.retry_ms);
    list_for_each(node, &producer->lanes)
        arm_for_lane(producer, container_of(node, struct producer_lane, node), &deadline_ms);
    if (!list_is_empty(&producer->unrouted.ready) || !list_is_empty(&producer->unrouted.open))
        earlier(&deadline_ms, producer->client->now_ms + PRODUCER_ROUTE_MS);
    if (producer->gather.is_waiting) earlier(&deadline_ms, gather_due_ms(&producer->gather));
    if (producer->is_idempotent && producer->id_retry_ms > producer->client->now_ms)
        earlier(&deadline_ms, producer->id_retry_ms);
    client_arm(producer->client, &producer->timer, deadline_ms);
}

/* ---- sending ---- */

static bool is_busy(const struct mesh_producer *producer, const struct producer_lane *lane)
{
    if (lane->connection->is_write_armed) return true;
    if (producer->gather.has_plenty) return lane->in_flight_bytes >= PRODUCER_DEEP_BYTES;
    return lane->in_flight_requests >= PRODUCER_BUSY_REQUESTS;
}

/* Closes what waited longest, if that was long enough, so that it is ready: about as much as a frame takes, because what
 * stays open grows meanwhile. False when there was nothing. */
static bool close_open(struct mesh_producer *producer, struct producer_lane *lane)
{
    size_t bytes = 0, count = 0;

    while (!list_is_empty(&lane->open) && bytes < PRODUCER_FRAME_BYTES && count < PRODUCER_FRAME_ENTRIES) {
        struct producer_partition *partition =
            container_of(lane->open.next, struct producer_partition, open_node);
        if (!may_close(producer, partition->open)) break;
        bytes += partition->open->builder.bytes.size;
        count++;
        producer_close_batch(partition); /* leaves the open list for the ready one */
    }
    return count > 0;
}

static void update_gather(struct mesh_producer *producer)
{
    struct gather_load load = {
        .open_count = producer->open_count,
        .waiting_bytes = producer->queued_bytes,
        .memory_used = producer->pool.memory_used - producer->pool.memory_idle,
        .memory_max = producer->pool.memory_max,
    };

    /* Compressed batches are smaller on their way than they were counted. */
    list_for_each(node, &producer->lanes)
    {
        size_t in_flight = container_of(node, struct producer_lane, node)->in_flight_bytes;
        load.waiting_bytes -= in_flight < load.waiting_bytes ? in_flight : load.waiting_bytes;
    }
    gather_update(&producer->gather, producer->client->now_ms, producer->bytes_since_turn, &load);
    producer->bytes_since_turn = 0;
}

static void pump_lane(struct mesh_producer *producer, struct producer_lane *lane)
{
    if (list_is_empty(&lane->ready) && list_is_empty(&lane->open)) return;
    if (!connection_is_ready(lane->connection)) {
        connection_want(lane->connection);
        return;
    }
    do {
        while (!list_is_empty(&lane->ready) && lane->in_flight_bytes < PRODUCER_WINDOW_BYTES) {
            int err = producer_send_frame(producer, lane);
            if (err == MESH_EAGAIN) {
                connection_flush(lane->connection);
                if (!send_queue_is_empty(&lane->connection->out))
                    return; /* goes on when the socket takes more */
            } else if (err != 0) {
                return;
            }
            if (!connection_is_ready(lane->connection)) return;
        }
    } while (list_is_empty(&lane->ready) && !is_busy(producer, lane) && close_open(producer, lane));
}

static void end_backoffs(struct mesh_producer *producer)
{
    list_for_each_safe(node, &producer->backoff)
    {
        struct producer_partition *partition = container_of(node, struct producer_partition, backoff_node);
        producer_partition_update(partition);
    }
}

void producer_pump(struct pump *pump)
{
    struct mesh_producer *producer = container_of(pump, struct mesh_producer, pump);

    update_gather(producer);
    if (producer->queued_records == 0 && list_is_empty(&producer->requests)) return;
    list_for_each_safe(node, &producer->lanes)
        producer_check_posted(producer, container_of(node, struct producer_lane, node));
    expire(producer);
    producer_deliver(producer); /* what failed since the last time, so that the lists below are true */
    if (producer_prepare(producer)) {
        end_backoffs(producer);
        list_for_each_safe(node, &producer->lanes)
            pump_lane(producer, container_of(node, struct producer_lane, node));
    }
    producer_deliver(producer);
    arm(producer);
}
