/* forward/produce.c - a batch for another broker: copied once, into the submitting shard's memory, and sealed from there. */
#include "base/error.h"
#include "cmd/broker/forward/call.h"
#include "cmd/broker/forward/forward.h"
#include "cmd/broker/forward/outlet.h"
#include "cmd/broker/forward/requests.h"
#include "cmd/broker/ops/produce_local.h"
#include "cmd/broker/runtime/long_memory.h"
#include "cmd/broker/runtime/shard.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

#define MESSAGE_ROOM 64 /* of a request with one entry */

struct forward_produce {
    struct forward_call call;
    struct produce_room room; /* holds this very struct */
    struct produce_done done;
    struct uuid topic_id;
    uint32_t partition;
    uint8_t head[FRAME_HEADER_SIZE + MESSAGE_ROOM];
    uint8_t batch[];
};

bool forward_is_elsewhere(const struct shard *shard, const struct uuid *topic_id, uint32_t partition, struct forward_leader *ret_leader)
{
    const struct image_topic *topic = image_find_topic(shard->image, topic_id);
    const struct image_broker *leader;
    struct image_partition facts;

    if (topic == NULL || !image_topic_partition(topic, partition, &facts)) return false;
    if (facts.leader == IMAGE_NO_LEADER || facts.leader == shard->broker->node_id) return false;
    leader = image_find_broker(shard->image, facts.leader);
    if (leader == NULL) return false;
    *ret_leader = (struct forward_leader){.broker = leader->broker_id, .has_shard = leader->shard_count > 0};
    if (ret_leader->has_shard) ret_leader->shard = (uint16_t)image_shard_of(topic_id, partition, leader->shard_count);
    return true;
}

static int read_result(const struct forward_call *call, struct produce_result *ret_result)
{
    struct produce_response_reader reader;

    if (call->error != 0) return call->error;
    /* Something was done; what, is not said in a way that is understood here. */
    if (produce_response_reader_init(&reader, call->message) != 0 || reader.result_count != 1) return MESH_ETIMEDOUT;
    return produce_response_reader_next(&reader, ret_result) ? 0 : MESH_ETIMEDOUT;
}

static void on_done(struct forward_call *call)
{
    struct forward_produce *produce = container_of(call, struct forward_produce, call);
    struct shard *shard = call->home;
    struct produce_room room = produce->room;
    struct produce_result result = {0}; /* of a batch that is not answered: it has left */
    int err = call->expects_answer ? read_result(call, &result) : call->error;

    forward_note(call, result.error);
    forward_outlet_learn(call, &produce->topic_id, produce->partition);
    if (err != 0)
        produce_refuse(shard, err, produce->done);
    else if (produce->done.call != NULL)
        produce->done.call(produce->done.owner, produce->done.tag, &result);
    long_memory_give(call->answer);
    produce_room_release(shard, &room);
}

int forward_produce(struct shard *shard, const struct forward_leader *leader, const struct produce_entry *entry, const uint8_t *batch,
                    const struct produce_terms *terms, struct produce_done done)
{
    struct forward_produce *produce;
    struct produce_room room;
    struct buffer *scratch = &shard->scratch;

    if (!produce_room_acquire(shard, sizeof(*produce) + entry->batch_size, &room)) return MESH_EAGAIN;
    buffer_clear(scratch);
    if (produce_request_start(scratch, terms->acks, terms->timeout_ms) != 0 || produce_request_add(scratch, entry) != 0 ||
        scratch->size > MESSAGE_ROOM) {
        produce_room_release(shard, &room);
        produce_refuse(shard, MESH_ENOMEM, done);
        return 0;
    }
    produce = (struct forward_produce *)(void *)room.buffer->data;
    *produce = (struct forward_produce){
        .call = {.broker = leader->broker,
                 .may_stream = leader->has_shard,
                 .peer_shard = leader->shard,
                 .op = FRAME_OP_PRODUCE,
                 .expects_answer = terms->acks != 0,
                 .timeout_ms = (terms->timeout_ms == 0 ? FORWARD_TIMEOUT_MS : terms->timeout_ms) + FORWARD_SLACK_MS,
                 .head = produce->head,
                 .message_size = scratch->size,
                 .body = slice_of(produce->batch, entry->batch_size),
                 .from = terms->from != NULL ? *terms->from : (struct sockaddr_in6){0},
                 .from_id = terms->correlation_id,
                 .done = on_done},
        .room = room,
        .done = done,
        .topic_id = entry->topic_id,
        .partition = entry->partition,
    };
    memcpy(produce->head + FRAME_HEADER_SIZE, scratch->data, scratch->size);
    memcpy(produce->batch, batch, entry->batch_size);
    forward_submit(shard, &produce->call);
    return 0;
}
