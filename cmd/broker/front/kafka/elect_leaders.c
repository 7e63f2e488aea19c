/* broker/front/kafka/elect_leaders.c - ELECT_LEADERS: leadership goes back to the first replica of a partition (preferred), or to any that may lead where nobody does
 * (unclean). Who lacks acknowledged records is made leader by an operator's word alone (the setting unclean, `mesh recover`): never by this request. */
#include "cmd/broker/front/kafka/admin.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/topics.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/topic_name.h"

#include <stdlib.h>

#define PARTITIONS_MAX 20000 /* of one request that names them */

enum { ELECTION_PREFERRED, ELECTION_UNCLEAN };

struct elect_order {
    struct uuid topic_id;
    struct kafka_elect_leaders_response_partition *result;
};

struct elect_state {
    struct kafka_steps steps;
    struct elect_order *orders;
    struct kafka_elect_leaders_response response;
    bool is_preferred;
};

static bool is_needed(const struct image_partition *partition, bool is_preferred)
{
    return is_preferred ? partition->leader != partition->replicas[0] : partition->leader == IMAGE_NO_LEADER;
}

static void reject(struct kafka_elect_leaders_response_partition *result, int16_t code, const char *text)
{
    result->error_code = code;
    result->error_message = slice_of_string(text);
}

/* ---- on the control loop ---- */

static void on_elected(void *user, int error, const char *message)
{
    struct elect_state *state = user;
    struct kafka_elect_leaders_response_partition *result = state->orders[state->steps.next].result;
    char *copy = error == 0 ? NULL : arena_strdup(&state->steps.job.call->arena, message);
    bool is_nobody = error == MESH_ENOT_ENOUGH_REPLICAS || error == MESH_EUNSUPPORTED;

    result->error_code = !is_nobody          ? kafka_code_of(error)
                         : state->is_preferred ? KAFKA_CODE_PREFERRED_LEADER_NOT_AVAILABLE
                                               : KAFKA_CODE_ELIGIBLE_LEADERS_NOT_AVAILABLE;
    if (copy != NULL) result->error_message = slice_of_string(copy);
    kafka_step_done(&state->steps);
}

static void step(struct kafka_steps *steps)
{
    struct elect_state *state = container_of(steps, struct elect_state, steps);
    const struct elect_order *order = &state->orders[steps->next];

    if (!steps->job.control->is_ready)
        on_elected(state, MESH_ENO_COORDINATOR, mesh_strerror(MESH_ENO_COORDINATOR));
    else if (kafka_steps_is_late(steps))
        on_elected(state, MESH_ETIMEDOUT, KAFKA_STEPS_LATE_TEXT);
    else
        metadata_elect(steps->job.control->metadata, &order->topic_id, (uint32_t)order->result->partition_id, state->is_preferred, on_elected, state);
}

static void answer(struct kafka_call *call)
{
    kafka_call_answer(call, &((struct elect_state *)call->state)->response);
}

/* ---- on the shard ---- */

static void put_order(struct elect_state *state, const struct image_topic *topic, struct kafka_elect_leaders_response_partition *result)
{
    state->orders[state->steps.count++] = (struct elect_order){.topic_id = topic->topic_id, .result = result};
}

static int prepare_asked(struct kafka_call *call, const struct kafka_elect_leaders_request_topic *from, struct kafka_elect_leaders_response_topic *to)
{
    struct elect_state *state = call->state;
    const struct image_topic *topic = kafka_topic_by_name(call->connection->shard->image, from->topic);
    char *name = kafka_admin_text(call, from->topic);
    struct image_partition partition;

    to->partition_result.items = kafka_new_items(&kafka_elect_leaders_response_partition_form, from->partitions.count, &call->arena);
    if (name == NULL || to->partition_result.items == NULL) return MESH_ENOMEM;
    to->topic = slice_of(name, from->topic.size);
    to->partition_result.count = from->partitions.count;
    for (int32_t i = 0; i < from->partitions.count; i++) {
        struct kafka_elect_leaders_response_partition *result = &to->partition_result.items[i];

        result->partition_id = from->partitions.items[i];
        if (topic == NULL || result->partition_id < 0 || !image_topic_partition(topic, (uint32_t)result->partition_id, &partition))
            reject(result, KAFKA_CODE_UNKNOWN_TOPIC_OR_PARTITION, "there is no such partition");
        else if (!is_needed(&partition, state->is_preferred))
            reject(result, KAFKA_CODE_ELECTION_NOT_NEEDED, state->is_preferred ? "its first replica leads" : "it has a leader");
        else
            put_order(state, topic, result);
    }
    return 0;
}

static uint32_t count_needed(const struct image_topic *topic, bool is_preferred)
{
    struct image_partition partition;
    uint32_t count = 0;

    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++)
        count += is_needed(&partition, is_preferred);
    return count;
}

/* Of all partitions those are told where an election was needed. */
static int prepare_whole(struct kafka_call *call, const struct image_topic *topic, uint32_t count)
{
    struct elect_state *state = call->state;
    struct kafka_elect_leaders_response_topic *to = &state->response.replica_election_results.items[state->response.replica_election_results.count++];
    char *name = arena_strdup(&call->arena, topic->name);
    struct image_partition partition;

    to->partition_result.items = kafka_new_items(&kafka_elect_leaders_response_partition_form, (int32_t)count, &call->arena);
    if (name == NULL || to->partition_result.items == NULL) return MESH_ENOMEM;
    to->topic = slice_of_string(name);
    for (uint32_t i = 0; image_topic_partition(topic, i, &partition); i++) {
        if (!is_needed(&partition, state->is_preferred)) continue;
        to->partition_result.items[to->partition_result.count].partition_id = (int32_t)i;
        put_order(state, topic, &to->partition_result.items[to->partition_result.count++]);
    }
    return 0;
}

static int begin(struct kafka_call *call, size_t topics, size_t partitions)
{
    struct elect_state *state = call->state;

    state->orders = arena_alloc(&call->arena, partitions, sizeof(*state->orders));
    state->response.replica_election_results.items = kafka_new_items(&kafka_elect_leaders_response_topic_form, (int32_t)topics, &call->arena);
    return state->orders == NULL || state->response.replica_election_results.items == NULL ? MESH_ENOMEM : 0;
}

static int prepare_all(struct kafka_call *call)
{
    const struct elect_state *state = call->state;
    const struct image_topic **topics;
    size_t topic_count, partition_count = 0;
    int err = image_topics_by_name(call->connection->shard->image, &topics, &topic_count);

    if (err != 0) return err;
    for (size_t i = 0; i < topic_count; i++)
        partition_count += count_needed(topics[i], state->is_preferred);
    err = begin(call, topic_count, partition_count);
    for (size_t i = 0; err == 0 && i < topic_count; i++) {
        uint32_t count = topic_name_is_internal(topics[i]->name) ? 0 : count_needed(topics[i], state->is_preferred);

        if (count > 0) err = prepare_whole(call, topics[i], count);
    }
    free(topics);
    return err;
}

static int64_t count_partitions(const struct kafka_elect_leaders_request *asked)
{
    int64_t count = 0;

    for (int32_t i = 0; i < asked->topic_partitions.count; i++)
        count += asked->topic_partitions.items[i].partitions.count;
    return count;
}

static int prepare(struct kafka_call *call, const struct kafka_elect_leaders_request *asked)
{
    struct elect_state *state = arena_alloc(&call->arena, 1, sizeof(*state));
    int err;

    if (state == NULL) return MESH_ENOMEM;
    call->state = state;
    kafka_init(&kafka_elect_leaders_response_form, &state->response);
    state->is_preferred = asked->election_type == ELECTION_PREFERRED;
    if (asked->election_type != ELECTION_PREFERRED && asked->election_type != ELECTION_UNCLEAN) {
        state->response.error_code = KAFKA_CODE_INVALID_REQUEST;
        return begin(call, 0, 0);
    }
    if (asked->topic_partitions.count < 0) return prepare_all(call);
    err = begin(call, (size_t)asked->topic_partitions.count, (size_t)count_partitions(asked));
    for (int32_t i = 0; err == 0 && i < asked->topic_partitions.count; i++)
        err = prepare_asked(call, &asked->topic_partitions.items[i],
                            &state->response.replica_election_results.items[state->response.replica_election_results.count++]);
    return err;
}

enum serve kafka_serve_elect_leaders(const struct kafka_request *request)
{
    struct kafka_elect_leaders_request asked;
    struct arena arena = ARENA_INIT;
    struct kafka_call *call;
    int err = kafka_request_decode(request, &arena, &asked);

    if (err == 0 && (asked.topic_partitions.count > KAFKA_ADMIN_TOPICS_MAX || count_partitions(&asked) > PARTITIONS_MAX)) err = MESH_ETOOLARGE;
    if (err != 0) return kafka_admin_refuse(request, &arena);
    call = kafka_admin_call(request, &arena);
    if (call == NULL) return SERVE_GONE;
    err = prepare(call, &asked);
    if (err == 0) kafka_steps_begin(&((struct elect_state *)call->state)->steps, call, step, asked.timeout_ms, answer);
    return kafka_admin_end(call, err);
}
