/* PRODUCE frames: ready batches of many partitions out, results in. */
#include "client/producer.h"

#include "base/assert.h"
#include "client/backoff.h"
#include "client/connection.h"

#include <stdlib.h>

#define ENTRY_BYTES_MAX 48 /* of the message, per batch */

static const struct backoff retry_backoff = {20, 1000};

/* ---- requests ---- */

static const struct request_handler produce_handler;

static struct produce_request *request_take(struct mesh_producer *producer, struct producer_lane *lane)
{
    struct list_node *node = list_pop_front(&producer->idle_requests);
    struct produce_request *request;

    if (node != NULL) {
        request = container_of(node, struct produce_request, node);
    } else {
        request = calloc(1, sizeof(*request));
        if (request == NULL) return NULL;
        list_init(&request->node);
        request->request.handler = &produce_handler;
    }
    request->producer = producer;
    request->lane = lane;
    request->batches = NULL;
    request->bytes = 0;
    return request;
}

static void request_give(struct produce_request *request)
{
    struct mesh_producer *producer = request->producer;

    list_remove(&request->node);
    list_push_front(&producer->idle_requests, &request->node);
}

/* ---- out ---- */

static uint32_t draw_backoff(struct mesh_producer *producer, const struct delivery_queue *queue)
{
    return backoff_ms(&retry_backoff, queue->failures, random_unit(&producer->client->random));
}

/* A batch that could not be queued after all: it waits again. */
static void untake(struct mesh_producer *producer, struct producer_batch *batch)
{
    struct delivery_queue *queue = &batch->partition->queue;

    delivery_queue_lost(queue, batch, MESH_EAGAIN, false, producer->client->now_ms, draw_backoff(producer, queue));
    producer_partition_update(batch->partition);
}

/* The most that a frame to this broker may carry. */
static size_t frame_limit(const struct producer_lane *lane)
{
    size_t limit = lane->connection->frame_bytes_max;

    return limit < PRODUCER_FRAME_BYTES ? limit : PRODUCER_FRAME_BYTES;
}

static int add_entry(struct mesh_producer *producer, struct producer_batch *batch)
{
    const struct topic *topic = producer->topic;
    uint32_t index = batch->partition->index;
    const struct produce_entry entry = {
        .topic_id = topic->id,
        .partition = index,
        .leader_epoch = index < topic->partition_count ? topic->partitions[index].leader_epoch : -1,
        .batch_size = (uint32_t)batch->encoded.size,
    };

    return produce_request_add(&producer->message, &entry);
}

/* Takes the next batch of one partition into the request. MESH_EAGAIN: it does not fit this frame. */
static int gather_one(struct mesh_producer *producer, struct producer_partition *partition,
                      struct produce_request *request, size_t count, size_t limit)
{
    struct producer_batch *batch = partition->queue.next;
    int err = 0;

    if (count > 0 &&
        request->bytes + batch->builder.bytes.size + producer->message.size + ENTRY_BYTES_MAX > limit)
        return MESH_EAGAIN;
    batch = delivery_queue_take(&partition->queue);
    if (batch->encoded.size == 0) {
        err = batch_seal(batch, producer->compression);
        if (err == 0 && producer->compression != RECORD_COMPRESSION_NONE)
            batch_pool_recount(&producer->pool, batch);
    }
    if (err == 0) err = add_entry(producer, batch);
    if (err != 0) {
        untake(producer, batch);
        return err;
    }
    if (batch->attempts > 1) producer->resent_records += batch_record_count(batch);
    producer_partition_update(partition);
    producer->attachments[count] = batch->encoded;
    request->bytes += batch->encoded.size;
    batch->next_in_request = request->batches;
    request->batches = batch;
    return 0;
}

/* At most one batch of each partition, in the order in which they became ready. *ret_count may be 0. */
static int gather(struct mesh_producer *producer, struct producer_lane *lane, struct produce_request *request,
                  size_t *ret_count)
{
    size_t count = 0, limit = frame_limit(lane);
    struct list_node visited;
    struct list_node *node;
    int err;

    *ret_count = 0;
    buffer_clear(&producer->message);
    err = produce_request_start(&producer->message, producer->acks, (uint32_t)producer->delivery_timeout_ms);
    if (err != 0) return err;
    list_init(&visited);
    while (count < PRODUCER_FRAME_ENTRIES && request->bytes < limit && err == 0 &&
           (node = list_pop_front(&lane->ready)) != NULL) {
        struct producer_partition *partition = container_of(node, struct producer_partition, ready_node);
        err = gather_one(producer, partition, request, count, limit);
        if (err == 0) count++;
        if (err == MESH_EAGAIN) list_push_front(&lane->ready, node); /* first in the next frame */
        if (err == 0 &&
            !list_is_empty(node)) { /* ready again with another batch: that is for the next frame */
            list_remove(node);
            list_push_back(&visited, node);
        }
    }
    while ((node = list_pop_front(&visited)) != NULL)
        list_push_back(&lane->ready, node);
    *ret_count = count;
    return connection_is_relay(lane->connection) ? produce_request_forward(&producer->message) : 0;
}

/* The request's batches were linked last first: in order again, as the results will come. */
static void reverse_batches(struct produce_request *request)
{
    struct producer_batch *reversed = NULL;

    while (request->batches != NULL) {
        struct producer_batch *batch = request->batches;
        request->batches = batch->next_in_request;
        batch->next_in_request = reversed;
        reversed = batch;
    }
    request->batches = reversed;
}

static int queue_frame(struct mesh_producer *producer, struct produce_request *request, size_t count)
{
    struct connection *connection = request->lane->connection;
    struct slice message = buffer_slice(&producer->message);

    if (producer->acks != 0)
        return connection_request(connection, &request->request, FRAME_OP_PRODUCE, message,
                                  producer->attachments, count);
    request->session = connection->session;
    return connection_post(connection, FRAME_OP_PRODUCE, message, producer->attachments, count,
                           &request->request.end_position);
}

static void leave_lane(struct produce_request *request)
{
    request->lane->in_flight_bytes -= request->bytes;
    request->lane->in_flight_requests--;
}

/* The partition's state has moved: producer_deliver() tells what can be told and puts it into its lists
 * again. */
static void touched(struct producer_partition *partition)
{
    struct mesh_producer *producer = partition->producer;

    list_remove(&partition->deliver_node);
    list_push_back(&producer->deliver, &partition->deliver_node);
}

/* The topic is not what we know of it: it is led elsewhere, or takes less at once than it did. */
static bool is_topic_error(int error)
{
    return error == MESH_ENOT_LEADER || error == MESH_ESTALE_EPOCH || error == MESH_EUNKNOWN_EPOCH ||
           error == MESH_EUNKNOWN_TOPIC || error == MESH_ETOOLARGE || error == MESH_EUNREACHABLE || error == MESH_EUNCOMMITTED;
}

static void apply(struct mesh_producer *producer, struct producer_batch *batch,
                  const struct produce_result *result)
{
    struct producer_partition *partition = batch->partition;

    if (is_topic_error(result->error)) topic_refresh(producer->topic);
    delivery_queue_answered(&partition->queue, batch, result, producer->client->now_ms,
                            draw_backoff(producer, &partition->queue));
    touched(partition);
}

/* A frame that could not be queued: its batches wait again, or are refused when they will never fit. */
static void take_back(struct mesh_producer *producer, struct produce_request *request, int error)
{
    for (struct producer_batch *batch = request->batches, *next; batch != NULL; batch = next) {
        const struct produce_result refusal = {.error = error, .leader_epoch = -1, .append_time_ms = -1};
        next = batch->next_in_request;
        if (error == MESH_ETOOLARGE) {
            apply(producer, batch, &refusal);
            producer_partition_update(batch->partition);
        } else {
            untake(producer, batch);
        }
    }
    request_give(request);
}

int producer_send_frame(struct mesh_producer *producer, struct producer_lane *lane)
{
    struct produce_request *request;
    size_t count = 0;
    int err;

    /* Asked first, so that taking batches back is left to the case of no memory. */
    if (!send_queue_has_room(&lane->connection->out, PRODUCER_FRAME_ENTRIES * ENTRY_BYTES_MAX, 1))
        return MESH_EAGAIN;
    request = request_take(producer, lane);
    if (request == NULL) return MESH_ENOMEM;
    err = gather(producer, lane, request, &count);
    if (err == 0 && count == 0) err = MESH_ENOMEM;
    if (err == 0) {
        reverse_batches(request);
        err = queue_frame(producer, request, count);
    }
    if (err != 0) {
        take_back(producer, request, err);
        return err;
    }
    lane->in_flight_bytes += request->bytes;
    lane->in_flight_requests++;
    if (producer->acks == 0) {
        list_push_back(&lane->posted,
                       &request->node); /* the pump looks after each flush whether it has left */
    } else {
        list_push_back(&producer->requests, &request->node);
    }
    return 0;
}

/* ---- in ---- */

static uint32_t count_batches(const struct produce_request *request)
{
    uint32_t count = 0;

    for (const struct producer_batch *batch = request->batches; batch != NULL; batch = batch->next_in_request)
        count++;
    return count;
}

/* The whole request was refused: every batch of it was. */
static int apply_refusal(struct produce_request *request, struct slice message)
{
    struct message_error error;
    int err = message_decode_error(message, &error);
    struct produce_result result = {.leader_epoch = -1, .append_time_ms = -1};

    if (err != 0) return err;
    result.error = error.error < 0 ? error.error : MESH_EUNKNOWN;
    client_fail(request->producer->client, result.error, "%s", error.message != NULL ? error.message : "");
    message_deinit_error(&error);
    for (struct producer_batch *batch = request->batches, *next; batch != NULL; batch = next) {
        next = batch->next_in_request;
        apply(request->producer, batch, &result);
    }
    return 0;
}

static int apply_results(struct produce_request *request, struct slice message)
{
    struct produce_response_reader reader;
    struct produce_result result;
    int err = produce_response_reader_init(&reader, message);

    if (err != 0) return err;
    if (reader.result_count != count_batches(request)) return MESH_EPROTO;
    for (struct producer_batch *batch = request->batches, *next; batch != NULL; batch = next) {
        next = batch->next_in_request;
        if (!produce_response_reader_next(&reader, &result)) return MESH_EPROTO;
        apply(request->producer, batch, &result);
    }
    return 0;
}

static void lose_batches(struct produce_request *request, int error, bool was_sent)
{
    struct mesh_producer *producer = request->producer;

    for (struct producer_batch *batch = request->batches, *next; batch != NULL; batch = next) {
        struct delivery_queue *queue = &batch->partition->queue;
        next = batch->next_in_request;
        delivery_queue_lost(queue, batch, error, was_sent, producer->client->now_ms, draw_backoff(producer, queue));
        touched(batch->partition);
        producer_partition_update(batch->partition);
    }
}

static int answered(struct request *base, const struct frame_header *header, struct slice message,
                    uint8_t **ret_attachment)
{
    struct produce_request *request = container_of(base, struct produce_request, request);
    struct mesh_producer *producer = request->producer;
    int err;

    (void)ret_attachment;
    if (producer == NULL) { /* given up by mesh_producer_free() */
        free(request);
        return 0;
    }
    leave_lane(request);
    err =
        header->flags & FRAME_FLAG_ERROR ? apply_refusal(request, message) : apply_results(request, message);
    if (err != 0) lose_batches(request, err, true);
    request_give(request);
    producer_deliver(producer);
    client_mark(producer->client, &producer->pump);
    return err;
}

static void failed(struct request *base, int error, bool was_sent)
{
    struct produce_request *request = container_of(base, struct produce_request, request);
    struct mesh_producer *producer = request->producer;

    if (producer == NULL) {
        free(request);
        return;
    }
    leave_lane(request);
    lose_batches(request, error, was_sent);
    if (!producer->is_closing) topic_refresh(producer->topic); /* whoever broke off may lead no more; others know */
    request_give(request);
    client_mark(producer->client, &producer->pump);
}

static const struct request_handler produce_handler = {answered, NULL, failed};

/* ---- acks 0: sent is all there is to know ---- */

static void resolve_posted(struct produce_request *request, int error)
{
    struct produce_result result = {.error = error, .leader_epoch = -1, .append_time_ms = -1};

    for (struct producer_batch *batch = request->batches, *next; batch != NULL; batch = next) {
        next = batch->next_in_request;
        apply(request->producer, batch, &result);
    }
}

void producer_check_posted(struct mesh_producer *producer, struct producer_lane *lane)
{
    list_for_each_safe(node, &lane->posted)
    {
        struct produce_request *request = container_of(node, struct produce_request, node);
        bool is_lost = request->session != lane->connection->session;
        if (!is_lost && lane->connection->out.position_out < request->request.end_position) break;
        leave_lane(request);
        resolve_posted(request, is_lost ? MESH_EIO : 0);
        request_give(request);
    }
    producer_deliver(producer);
}

/* ---- the end ---- */

/* Answers that still come are ignored; a connection that still borrows our batches is closed. */
void producer_forget_requests(struct mesh_producer *producer)
{
    list_for_each_safe(node, &producer->lanes)
    {
        struct producer_lane *lane = container_of(node, struct producer_lane, node);
        if (lane->connection == NULL) continue;
        producer_check_posted(producer, lane);
        if (lane->in_flight_requests > 0 && !send_queue_is_empty(&lane->connection->out))
            connection_fail(lane->connection, MESH_ECANCELED, "a producer was freed while it was sending");
        producer_check_posted(producer, lane);
    }
    list_for_each_safe(node, &producer->requests)
    {
        struct produce_request *request = container_of(node, struct produce_request, node);
        leave_lane(request);
        lose_batches(request, MESH_ECANCELED, true);
        list_remove(&request->node);
        request->producer = NULL;
    }
}
