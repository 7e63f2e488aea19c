/* Partitions and their lanes, producer ids, and records that came before the routes were known. */
#include "client/producer.h"

#include "base/assert.h"
#include "base/clock.h"
#include "client/backoff.h"
#include "client/call.h"

#include <stdlib.h>

/* ---- partitions ---- */

static int reserve_partitions(struct mesh_producer *producer, uint32_t count)
{
    struct producer_partition **partitions;
    uint32_t capacity = producer->topic->partition_count > count ? producer->topic->partition_count : count;

    if (count <= producer->partition_count) return 0;
    partitions = realloc(producer->partitions, capacity * sizeof(*partitions));
    if (partitions == NULL) return MESH_ENOMEM;
    for (uint32_t i = producer->partition_count; i < capacity; i++)
        partitions[i] = NULL;
    producer->partitions = partitions;
    producer->partition_count = capacity;
    return 0;
}

static struct producer_lane *lane_of(struct mesh_producer *producer, struct connection *connection)
{
    struct producer_lane *lane;

    if (connection == NULL) return &producer->unrouted;
    list_for_each(node, &producer->lanes)
    {
        lane = container_of(node, struct producer_lane, node);
        if (lane->connection == connection) return lane;
    }
    lane = calloc(1, sizeof(*lane));
    if (lane == NULL) return &producer->unrouted; /* routed when there is memory again */
    lane->connection = connection;
    list_init(&lane->ready);
    list_init(&lane->open);
    list_init(&lane->posted);
    list_push_back(&producer->lanes, &lane->node);
    return lane;
}

void producer_lane_free(struct producer_lane *lane)
{
    MESH_ASSERT(list_is_empty(&lane->posted));
    free(lane);
}

/* Whether the topic knows of a later leader than it did when this was asked last. */
static bool has_new_leader(struct producer_partition *partition)
{
    const struct topic *topic = partition->producer->topic;
    int32_t epoch = partition->index < topic->partition_count ? topic->partitions[partition->index].leader_epoch : -1;
    bool is_new = epoch > partition->leader_epoch;

    partition->leader_epoch = epoch;
    return is_new;
}

static void route(struct producer_partition *partition)
{
    struct mesh_producer *producer = partition->producer;
    struct producer_lane *lane;

    lane = lane_of(producer, topic_route(producer->topic, partition->index, CONNECTION_REQUESTS));
    if (has_new_leader(partition)) delivery_queue_hurry(&partition->queue);
    /* What is in flight on one connection must not be overtaken on another. */
    partition->is_route_stale = lane == &producer->unrouted || (lane != partition->lane && partition->queue.in_flight > 0);
    if (partition->is_route_stale && lane != &producer->unrouted) partition->lane->is_left = true;
    if (lane == partition->lane || partition->queue.in_flight > 0) return;
    if (lane != &producer->unrouted) delivery_queue_hurry(&partition->queue);
    list_remove(&partition->ready_node);
    list_remove(&partition->open_node);
    partition->lane = lane;
}

int producer_partition_get(struct mesh_producer *producer, uint32_t index,
                           struct producer_partition **ret_partition)
{
    struct producer_partition *partition;
    int err = reserve_partitions(producer, index + 1);

    if (err != 0) return err;
    partition = calloc(1, sizeof(*partition));
    if (partition == NULL) return MESH_ENOMEM;
    partition->producer = producer;
    partition->index = index;
    partition->lane = &producer->unrouted;
    partition->leader_epoch = INT32_MAX; /* none is newer, the first time */
    delivery_queue_init(&partition->queue, producer->is_idempotent, producer->in_flight_max);
    list_init(&partition->ready_node);
    list_init(&partition->open_node);
    list_init(&partition->deliver_node);
    list_init(&partition->backoff_node);
    producer->partitions[index] = partition;
    route(partition);
    *ret_partition = partition;
    return 0;
}

void producer_partition_free(struct producer_partition *partition)
{
    if (partition == NULL) return;
    MESH_ASSERT(partition->open == NULL && list_is_empty(&partition->queue.batches));
    list_remove(&partition->ready_node);
    list_remove(&partition->open_node);
    list_remove(&partition->deliver_node);
    list_remove(&partition->backoff_node);
    free(partition);
}

bool producer_accepts(const struct mesh_producer *producer, uint32_t index)
{
    const struct topic *topic = producer->topic;
    const struct producer_partition *partition = index < producer->partition_count ? producer->partitions[index] : NULL;

    if (index >= topic->partition_count || topic->partitions[index].leader < 0) return false;
    return partition == NULL || !delivery_queue_is_stuck(&partition->queue);
}

static void set_membership(struct list_node *list, struct list_node *node, bool is_member)
{
    if (!is_member)
        list_remove(node);
    else if (list_is_empty(node))
        list_push_back(list, node);
}

void producer_partition_update(struct producer_partition *partition)
{
    struct mesh_producer *producer = partition->producer;
    uint64_t now_ms = producer->client->now_ms;
    struct delivery_queue *queue = &partition->queue;
    bool has_slot, is_waiting;

    if (partition->is_route_stale && queue->in_flight == 0) route(partition);
    if ((int32_t)partition->index == producer->sticky && !producer_accepts(producer, partition->index))
        producer->sticky_bytes = producer->batch_bytes_max; /* the next record without a key goes elsewhere */
    if (delivery_queue_needs_producer_id(queue)) producer_ask_id(producer);
    has_slot = delivery_queue_has_slot(queue, now_ms) && (!partition->is_route_stale || queue->in_flight == 0);
    is_waiting = queue->next != NULL;
    set_membership(&partition->lane->ready, &partition->ready_node, is_waiting && has_slot);
    set_membership(&partition->lane->open, &partition->open_node,
                   partition->open != NULL && !is_waiting && has_slot);
    set_membership(&producer->backoff, &partition->backoff_node,
                   now_ms < queue->retry_ms && (is_waiting || partition->open != NULL));
}

/* ---- producer ids ---- */

/* A fresh id serves every partition that waits for one; those that have one keep theirs. */
static void take_id(struct mesh_producer *producer, int64_t producer_id, int16_t producer_epoch)
{
    for (uint32_t i = 0; i < producer->partition_count; i++) {
        struct producer_partition *partition = producer->partitions[i];
        if (partition == NULL || !delivery_queue_needs_producer_id(&partition->queue)) continue;
        delivery_queue_set_producer_id(&partition->queue, producer_id, producer_epoch);
        list_remove(&partition->deliver_node); /* it may have resolved batches */
        list_push_back(&producer->deliver, &partition->deliver_node);
        producer_partition_update(partition);
    }
}

static void id_answered(struct call *call, int err, struct slice message)
{
    static const struct backoff id_backoff = {200, 200};
    struct message_init_producer_response response;
    struct mesh_producer *producer = call->user;
    struct mesh_client *client = producer->client;

    if (err == 0) err = message_decode_init_producer_response(message, &response);
    if (err == 0) {
        int64_t producer_id = response.producer_id;
        int16_t producer_epoch = response.producer_epoch;
        message_deinit_init_producer_response(&response);
        if (producer_id >= 0 && producer_epoch >= 0)
            take_id(producer, producer_id, producer_epoch);
        else
            err = MESH_EPROTO;
    }
    producer->id_call = NULL;
    producer->id_error = err;
    if (err != 0)
        producer->id_retry_ms = client->now_ms + backoff_ms(&id_backoff, 0, random_unit(&client->random));
    call_free(call);
    client_mark(client, &producer->pump);
}

/* Whoever still needs an id once the answer is there asks again from producer_partition_update(). */
void producer_ask_id(struct mesh_producer *producer)
{
    struct mesh_client *client = producer->client;
    struct call *call = NULL;

    if (producer->id_call != NULL || producer->is_closing || client->now_ms < producer->id_retry_ms) return;
    if (call_new(client, FRAME_OP_INIT_PRODUCER, id_answered, producer, &call) != 0) {
        producer->id_retry_ms = client->now_ms + 100;
        return;
    }
    producer->id_call = call;
    call->patience_ms = CALL_PATIENCE_MS;
    call_start(call, client->now_ms + (uint64_t)client->timeout_ms);
}

int producer_id_refusal(const struct mesh_producer *producer)
{
    int error = producer->id_call != NULL ? producer->id_call->last_error : producer->id_error;

    return error == MESH_ECLOSED || error == MESH_ETIMEDOUT ? 0 : error;
}

static void ask_missing_ids(struct mesh_producer *producer)
{
    if (!producer->is_idempotent || producer->id_call != NULL || producer->id_retry_ms == 0) return;
    if (producer->client->now_ms < producer->id_retry_ms) return;
    producer->id_retry_ms = 0;
    for (uint32_t i = 0; i < producer->partition_count; i++)
        if (producer->partitions[i] != NULL) producer_partition_update(producer->partitions[i]);
}

/* ---- routes ---- */

/* A broker that keeps silent, while another leads what it owes answers for: they are not waited for. What was sent comes back, and goes to
 * the new leader, who knows what it has already; without sequences its fate is unknown. */
static void give_up_left(struct mesh_producer *producer)
{
    list_for_each_safe(node, &producer->lanes)
    {
        struct producer_lane *lane = container_of(node, struct producer_lane, node);
        bool is_left = lane->is_left;

        lane->is_left = false;
        if (is_left && lane->connection->is_doubted)
            connection_fail(lane->connection, MESH_ETIMEDOUT, "it keeps silent, and another broker leads");
    }
}

static bool waits_for_doubted(const struct mesh_producer *producer)
{
    list_for_each(node, &producer->lanes)
    {
        const struct producer_lane *lane = container_of(node, struct producer_lane, node);
        if (lane->in_flight_requests > 0 && lane->connection->is_doubted) return true;
    }
    return false;
}

static void route_all(struct mesh_producer *producer)
{
    for (uint32_t i = 0; i < producer->partition_count; i++) {
        struct producer_partition *partition = producer->partitions[i];
        if (partition == NULL) continue;
        route(partition);
        producer_partition_update(partition);
    }
    give_up_left(producer);
}

/* Thousands of open batches want room to grow in: what is not used is not taken. */
static void size_memory(struct mesh_producer *producer)
{
    size_t wanted = (size_t)producer->topic->partition_count * PRODUCER_MEMORY_PARTITION;

    if (producer->is_memory_set) return;
    if (wanted > PRODUCER_MEMORY_MOST) wanted = PRODUCER_MEMORY_MOST;
    if (wanted > producer->pool.memory_max) producer->pool.memory_max = wanted;
}

bool producer_prepare(struct mesh_producer *producer)
{
    struct topic *topic = producer->topic;

    topic_keep_fresh(topic);
    if (topic_is_missing(topic)) {
        /* What came after the last answer waits for the next one. */
        producer_pending_fail(producer, MESH_EUNKNOWN_TOPIC, topic->refreshed_ms);
        producer_give_up_batches(producer, MESH_EUNKNOWN_TOPIC);
        return false;
    }
    if (!topic->is_known) return false;
    if (producer->topic_generation != topic->generation || producer->reach_generation != producer->client->reach_generation) {
        producer->topic_generation = topic->generation;
        if (producer->reach_generation != producer->client->reach_generation) topic_refresh(topic); /* the leader may be another one */
        producer->reach_generation = producer->client->reach_generation;
        size_memory(producer);
        route_all(producer);
    }
    if (!list_is_empty(&producer->unrouted.ready) || !list_is_empty(&producer->unrouted.open))
        route_all(producer);
    if (waits_for_doubted(producer)) topic_refresh(topic); /* until it answers, or another leads */
    ask_missing_ids(producer);
    producer_pending_flush(producer);
    return true;
}
