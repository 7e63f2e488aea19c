/* broker/front/kafka/move_partitions.c - ALTER_PARTITION_REASSIGNMENTS: replicas that are to be elsewhere, or more, or fewer; a move that is taken back. What
 * moves is carried out by the mesh in its own time: LIST_PARTITION_REASSIGNMENTS tells when it is done. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"

#define PARTITIONS_MAX 20000 /* of one request */

struct move_order {
    struct message_topic_move request;
    struct kafka_alter_partition_reassignments_response_partition *result;
};

struct move_state {
    struct kafka_steps steps;
    struct move_order *orders;
    struct kafka_alter_partition_reassignments_response response;
};

/* ---- on the control loop ---- */

static int16_t code_of(int error, bool is_cancel)
{
    switch (error) {
    case MESH_ENOTFOUND: return is_cancel ? KAFKA_CODE_NO_REASSIGNMENT_IN_PROGRESS : KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT; /* a broker that has left meanwhile */
    case MESH_EINVAL:
    case MESH_EINVALID_REPLICATION: return KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT;
    case MESH_EBUSY: return KAFKA_CODE_REASSIGNMENT_IN_PROGRESS;
    default: return kafka_code_of(error);
    }
}

static void on_moved(void *user, int error, const char *message, const struct message_moves_response *response)
{
    struct move_state *state = user;
    const struct move_order *order = &state->orders[state->steps.next];
    struct kafka_alter_partition_reassignments_response_partition *result = order->result;
    char *copy = error == 0 ? NULL : arena_strdup(&state->steps.job.call->arena, message);

    (void)response;
    result->error_code = code_of(error, order->request.is_cancel);
    if (copy != NULL) result->error_message = slice_of_string(copy);
    kafka_step_done(&state->steps);
}

static void step(struct kafka_steps *steps)
{
    struct move_state *state = container_of(steps, struct move_state, steps);
    const struct move_order *order = &state->orders[steps->next];

    if (!steps->job.control->is_ready)
        on_moved(state, MESH_ENO_COORDINATOR, mesh_strerror(MESH_ENO_COORDINATOR), NULL);
    else if (kafka_steps_is_late(steps))
        on_moved(state, MESH_ETIMEDOUT, KAFKA_STEPS_LATE_TEXT, NULL);
    else
        metadata_move(steps->job.control->metadata, &order->request, on_moved, state);
}

static void answer(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct move_state *)call->state)->response);
}

/* ---- on the shard ---- */

static void reject(struct kafka_alter_partition_reassignments_response_partition *result, int16_t code, const char *text)
{
    result->error_code = code;
    result->error_message = slice_of_string(text);
}

/* What the metadata could not judge as it was asked for; what is wrong with the places they find. */
static void judge(const struct kafka_call *call, const struct kafka_alter_partition_reassignments_request *asked, const struct image_topic *topic,
                  const struct kafka_alter_partition_reassignments_request_partition *from,
                  struct kafka_alter_partition_reassignments_response_partition *result)
{
    struct image_partition partition;

    if (topic == NULL || from->partition_index < 0 || !image_topic_partition(topic, (uint32_t)from->partition_index, &partition))
        reject(result, KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition");
    else if (kafka_sees_one_node(call->connection))
        reject(result, KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT, "by the gateway the mesh is one broker: ask one of the brokers themselves");
    else if (from->replicas.count == 0 || from->replicas.count > IMAGE_REPLICAS_MAX)
        reject(result, KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT, "a partition has at least one replica, and not as many");
    else if (from->replicas.count > 0 && !asked->allow_replication_factor_change && (uint32_t)from->replicas.count != image_partition_factor(&partition))
        reject(result, KAFKA_CODE_INVALID_REPLICATION_FACTOR, "the request does not allow another number of replicas, and asks for one");
}

/* Brokers by their uuids: a number may be another one's name. */
static int name_brokers(struct kafka_call *call, const struct kafka_alter_partition_reassignments_request_partition *from, struct move_order *order)
{
    size_t count = (size_t)from->replicas.count;

    order->request.brokers = arena_alloc(&call->arena, count, sizeof(*order->request.brokers));
    if (order->request.brokers == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < count; i++) {
        const struct image_broker *broker = image_find_broker(call->connection->shard->image, from->replicas.items[i]);
        char *text = arena_alloc(&call->arena, UUID_STRING_SIZE, 1);

        if (text == NULL) return MESH_ENOMEM;
        if (broker == NULL) {
            reject(order->result, KAFKA_CODE_INVALID_REPLICA_ASSIGNMENT, "the mesh has no broker of this number");
            return 0;
        }
        uuid_format(&broker->broker_id, text);
        order->request.brokers[order->request.broker_count++] = text;
    }
    return 0;
}

static int prepare_partition(struct kafka_call *call, const struct kafka_alter_partition_reassignments_request *asked, const struct image_topic *topic,
                             const struct kafka_alter_partition_reassignments_request_partition *from,
                             struct kafka_alter_partition_reassignments_response_partition *result)
{
    struct move_state *state = call->state;
    struct move_order *order = &state->orders[state->steps.count];
    int err = 0;

    result->partition_index = from->partition_index;
    judge(call, asked, topic, from, result);
    if (result->error_code != 0) return 0;
    *order = (struct move_order){.request = {.partition = from->partition_index, .is_cancel = from->replicas.count < 0}, .result = result};
    if (!order->request.is_cancel) err = name_brokers(call, from, order);
    if (err != 0 || result->error_code != 0) return err;
    order->request.topic = arena_strdup(&call->arena, topic->name);
    state->steps.count++;
    return order->request.topic == NULL ? MESH_ENOMEM : 0;
}

static int prepare_topic(struct kafka_call *call, const struct kafka_alter_partition_reassignments_request *asked, int32_t index)
{
    const struct kafka_alter_partition_reassignments_request_topic *from = &asked->topics.items[index];
    const struct image_topic *topic = kafka_topic_by_name(call->connection->shard->image, from->name);
    struct kafka_alter_partition_reassignments_response_topic *to = &((struct move_state *)call->state)->response.responses.items[index];
    char *name = kafka_admin_text(call, from->name);
    int err = 0;

    to->partitions.items = kafka_new_items(&kafka_alter_partition_reassignments_response_partition_form, from->partitions.count, &call->arena);
    if (name == NULL || to->partitions.items == NULL) return MESH_ENOMEM;
    to->name = slice_of(name, from->name.size);
    to->partitions.count = from->partitions.count;
    for (int32_t i = 0; err == 0 && i < from->partitions.count; i++)
        err = prepare_partition(call, asked, topic, &from->partitions.items[i], &to->partitions.items[i]);
    return err;
}

static int prepare(struct kafka_call *call, const struct kafka_alter_partition_reassignments_request *asked, size_t count)
{
    struct move_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    int err = 0;

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    kafka_init(&kafka_alter_partition_reassignments_response_form, &state->response);
    state->response.allow_replication_factor_change = asked->allow_replication_factor_change;
    state->orders = arena_alloc(&call->arena, count, sizeof(*state->orders));
    state->response.responses.items = kafka_new_items(&kafka_alter_partition_reassignments_response_topic_form, asked->topics.count, &call->arena);
    state->response.responses.count = asked->topics.count;
    if (state->orders == NULL || state->response.responses.items == NULL) return MESH_ENOMEM;
    for (int32_t i = 0; err == 0 && i < asked->topics.count; i++)
        err = prepare_topic(call, asked, i);
    return err;
}

static int64_t count_partitions(const struct kafka_alter_partition_reassignments_request *asked)
{
    int64_t count = 0;

    for (int32_t i = 0; i < asked->topics.count; i++)
        count += asked->topics.items[i].partitions.count;
    return count;
}

enum serve kafka_serve_alter_partition_reassignments(const struct kafka_request *request)
{
    struct kafka_alter_partition_reassignments_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && (asked.topics.count > KAFKA_ADMIN_TOPICS_MAX || count_partitions(&asked) > PARTITIONS_MAX)) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = prepare(call, &asked, (size_t)count_partitions(&asked));
    if (err == 0) kafka_steps_begin(&((struct move_state *)call->state)->steps, call, step, asked.timeout_ms, answer);
    return kafka_admin_end(call, err);
}
