/* broker/front/kafka/find_coordinator.c - FIND_COORDINATOR: the broker that leads a group's partition. The topic of groups is made when somebody first asks. */
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"
#include "cmd/broker/front/kafka/job.h"

#include "base/error.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"

#define KEY_GROUP       0
#define KEY_TRANSACTION 1
#define KEYS_MAX        10000 /* of one request */
#define BATCH_VERSION   4     /* from here on several keys */

struct find_state {
    struct kafka_find_coordinator_request asked;
    struct kafka_job job;
};

/* ---- who it is ---- */

static const char *find(const struct connection *connection, int8_t key_type, struct slice key, struct kafka_find_coordinator_response_coordinator *to)
{
    const struct image_topic *topic = image_find_topic_by_name(connection->shard->image, GROUPS_TOPIC_NAME);
    struct image_partition facts;
    struct kafka_node node;

    to->node_id = -1;
    to->port = -1;
    to->error_code = KAFKA_CODE_UNSUPPORTED_VERSION;
    if (key_type == KEY_TRANSACTION) return "there are no transactions here yet";
    to->error_code = KAFKA_CODE_INVALID_REQUEST;
    if (key_type != KEY_GROUP) return "there are no coordinators of this kind here";
    to->error_code = KAFKA_CODE_INVALID_GROUP_ID;
    if (group_name_check(key) != 0) return "the name of a group is 1 to 255 bytes of text";
    to->error_code = KAFKA_CODE_COORDINATOR_NOT_AVAILABLE;
    if (topic == NULL || !image_topic_partition(topic, group_partition_of(key), &facts) || facts.leader == IMAGE_NO_LEADER ||
        !kafka_node_find(connection, facts.leader, &node))
        return "the group's partition has no leader at the moment";
    to->error_code = KAFKA_CODE_NONE;
    to->node_id = node.node_id;
    to->host = node.host;
    to->port = node.port;
    return NULL;
}

static void find_one(const struct connection *connection, const struct kafka_find_coordinator_request *asked, struct kafka_find_coordinator_response *response)
{
    struct kafka_find_coordinator_response_coordinator found = {.node_id = -1};
    const char *message = find(connection, asked->key_type, asked->key, &found);

    response->error_code = found.error_code;
    if (message != NULL) response->error_message = slice_of_string(message);
    response->node_id = found.node_id;
    response->host = found.host;
    response->port = found.port;
}

static int find_each(const struct connection *connection, const struct kafka_find_coordinator_request *asked, struct arena *arena,
                     struct kafka_find_coordinator_response *response)
{
    response->coordinators.items = kafka_new_items(&kafka_find_coordinator_response_coordinator_form, asked->coordinator_keys.count, arena);
    if (response->coordinators.items == NULL) return MESH_ENOMEM;
    response->coordinators.count = asked->coordinator_keys.count;
    for (int32_t i = 0; i < asked->coordinator_keys.count; i++) {
        struct kafka_find_coordinator_response_coordinator *to = &response->coordinators.items[i];
        const char *message;

        to->key = asked->coordinator_keys.items[i];
        message = find(connection, asked->key_type, to->key, to);
        if (message != NULL) to->error_message = slice_of_string(message);
    }
    return 0;
}

/* Out of the shard's image, as it is now. */
static void answer(struct kafka_call *call)
{
    const struct find_state *state = call->state;
    struct kafka_find_coordinator_response response;
    int err = 0;

    kafka_init(&kafka_find_coordinator_response_form, &response);
    if (call->version >= BATCH_VERSION) err = find_each(call->connection, &state->asked, &call->arena, &response);
    else find_one(call->connection, &state->asked, &response);
    if (err != 0) kafka_call_fail(call);
    else kafka_call_answer(call, &response);
}

/* ---- the first one ---- */

/* What came of it, the image tells: it is on its way to the shard in front of this job's mail. */
static void on_topic(void *user, int error, const char *message, const struct image_topic *topic)
{
    (void)error;
    (void)message;
    (void)topic;
    kafka_job_home(user);
}

static void make_topic(struct kafka_job *job)
{
    if (job->control->is_ready) metadata_groups_topic(job->control->metadata, on_topic, job);
    else kafka_job_home(job);
}

enum serve kafka_serve_find_coordinator(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_find_coordinator_request asked;
    struct find_state *state;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(*state), answer, &result);

    if (call == NULL) return result;
    state = call->state;
    state->asked = asked;
    if (asked.coordinator_keys.count > KEYS_MAX) {
        call->finish = kafka_call_fail;
    } else if (asked.key_type == KEY_GROUP && image_find_topic_by_name(connection->shard->image, GROUPS_TOPIC_NAME) == NULL) {
        state->job.run = make_topic;
        state->job.home = answer;
        kafka_job_start(&state->job, call);
    }
    kafka_call_leave(call);
    return kafka_served(connection);
}
