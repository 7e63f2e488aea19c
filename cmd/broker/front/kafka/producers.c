/* broker/front/kafka/producers.c - DESCRIBE_PRODUCERS: which idempotent producers have written to a partition lately. Asked of the partition's leader, as clients
 * do: from any other broker the answer is who is not it (6). */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"
#include "cmd/broker/front/kafka/tour.h"

#include "base/error.h"
#include "cmd/broker/runtime/partitions.h"
#include "kafka/messages.h"
#include "segment/plog_producers.h"

#define PARTITIONS_MAX 1000  /* of one request */
#define PRODUCERS_MAX  65536 /* of one answer: a partition may have thousands */

struct producers_question {
    struct uuid topic_id;
    struct kafka_describe_producers_response_partition *result;
};

struct producers_state {
    struct kafka_tour tour;
    struct kafka_describe_producers_response response;
    struct producers_question *questions; /* those that a shard has to answer */
    uint32_t count;
    size_t producer_count; /* told so far */
};

static void reject(struct kafka_describe_producers_response_partition *result, int16_t code, const char *text)
{
    result->error_code = code;
    result->error_message = slice_of_string(text);
}

/* ---- on the partition's shard ---- */

static void tell_producer(void *user, const struct producer_facts *facts)
{
    struct kafka_describe_producers_response_partition *result = user;
    struct kafka_describe_producers_response_producer *to = &result->active_producers.items[result->active_producers.count++];

    to->producer_id = facts->id;
    to->producer_epoch = facts->epoch;
    to->last_sequence = facts->last_sequence;
    to->last_timestamp = facts->last_ms;
    to->coordinator_epoch = -1; /* of transactions */
}

static void tell_partition(struct producers_state *state, const struct shard_partition *partition, struct kafka_describe_producers_response_partition *result)
{
    size_t count = plog_producer_count(partition->plog);

    if (count > PRODUCERS_MAX - state->producer_count) {
        reject(result, KAFKA_CODE_INVALID_REQUEST, "these partitions have too many producers for one answer: ask for fewer");
        return;
    }
    result->active_producers.items = kafka_new_items(&kafka_describe_producers_response_producer_form, (int32_t)count, &state->tour.call->arena);
    if (result->active_producers.items == NULL) {
        result->error_code = kafka_code_of(MESH_ENOMEM);
        return;
    }
    state->producer_count += count;
    plog_each_producer(partition->plog, tell_producer, result);
}

static void visit(struct kafka_tour *tour, struct shard *shard)
{
    struct producers_state *state = container_of(tour, struct producers_state, tour);

    for (uint32_t i = 0; i < state->count; i++) {
        struct producers_question *question = &state->questions[i];
        uint32_t number = (uint32_t)question->result->partition_index;
        struct shard_partition *partition;
        int err;

        if (image_shard_of(&question->topic_id, number, shard->broker->shard_count) != shard->index) continue;
        err = shard_partition_get(shard, &question->topic_id, number, &partition);
        if (err == 0) err = partition_check_leader(&partition->replica.partition, -1);
        if (err == 0) tell_partition(state, partition, question->result);
        else reject(question->result, kafka_code_of(err), mesh_strerror(err));
    }
}

/* ---- the request ---- */

static void answer(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct producers_state *)call->state)->response);
}

static int prepare_topic(struct kafka_call *call, const struct kafka_describe_producers_request_topic *from,
                         struct kafka_describe_producers_response_topic *to)
{
    struct producers_state *state = call->state;
    const struct image_topic *topic = kafka_topic_by_name(call->connection->shard->image, from->name);
    char *name = kafka_admin_text(call, from->name);

    to->partitions.items = kafka_new_items(&kafka_describe_producers_response_partition_form, from->partition_indexes.count, &call->arena);
    if (name == NULL || to->partitions.items == NULL) return MESH_ENOMEM;
    to->name = slice_of(name, from->name.size);
    to->partitions.count = from->partition_indexes.count;
    for (int32_t i = 0; i < from->partition_indexes.count; i++) {
        struct kafka_describe_producers_response_partition *result = &to->partitions.items[i];

        result->partition_index = from->partition_indexes.items[i];
        if (topic == NULL || result->partition_index < 0 || (uint32_t)result->partition_index >= topic->partition_count)
            reject(result, KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition");
        else if (kafka_sees_one_node(call->connection)) /* where it might be led elsewhere, a client would ask here again without end */
            reject(result, KAFKA_CODE_INVALID_REQUEST, "by the gateway the mesh is one broker: ask the partition's leader itself");
        else
            state->questions[state->count++] = (struct producers_question){topic->topic_id, result};
    }
    return 0;
}

static int64_t count_partitions(const struct kafka_describe_producers_request *asked)
{
    int64_t count = 0;

    for (int32_t i = 0; i < asked->topics.count; i++)
        count += asked->topics.items[i].partition_indexes.count;
    return count;
}

static int prepare(struct kafka_call *call, const struct kafka_describe_producers_request *asked)
{
    struct producers_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    int err = 0;

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    kafka_init(&kafka_describe_producers_response_form, &state->response);
    state->questions = arena_alloc(&call->arena, (size_t)count_partitions(asked), sizeof(*state->questions));
    state->response.topics.items = kafka_new_items(&kafka_describe_producers_response_topic_form, asked->topics.count, &call->arena);
    state->response.topics.count = asked->topics.count;
    if (state->questions == NULL || state->response.topics.items == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; err == 0 && i < asked->topics.count; i++)
        err = prepare_topic(call, &asked->topics.items[i], &state->response.topics.items[i]);
    return err;
}

enum serve kafka_serve_describe_producers(const struct kafka_request *request)
{
    struct kafka_describe_producers_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && (asked.topics.count > KAFKA_ADMIN_TOPICS_MAX || count_partitions(&asked) > PARTITIONS_MAX)) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = prepare(call, &asked);
    if (err == 0) kafka_tour_start(&((struct producers_state *)call->state)->tour, call, visit, answer);
    return kafka_admin_end(call, err);
}
