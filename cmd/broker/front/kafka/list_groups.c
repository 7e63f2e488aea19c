/* broker/front/kafka/list_groups.c - LIST_GROUPS: the groups that this broker coordinates. Clients ask every broker, and put the lists together; by the gateway there is one
 * to ask, and it tells of all. */
#include "cmd/broker/front/kafka/brokers.h"
#include "cmd/broker/front/kafka/errors.h"
#include "cmd/broker/front/kafka/group_call.h"
#include "cmd/broker/front/kafka/job.h"

#include "base/error.h"
#include "cmd/broker/groups/query.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/runtime/shard.h"
#include "kafka/messages.h"
#include "replication/coordinator/groups_topic.h"
#include "replication/groups/groups.h"

#include <strings.h>

struct list_state {
    struct kafka_list_groups_request asked;
    struct kafka_list_groups_response response;
    struct kafka_job job;
    int32_t room;
    int error;
    struct slice after;
    bool is_of_all;
};

/* ---- one group ---- */

static const char *state_of(const struct message_group_row *row)
{
    return row->state == MESSAGE_GROUP_EMPTY ? "Empty" : row->state == MESSAGE_GROUP_STABLE ? "Stable" : "PreparingRebalance";
}

/* Members of Mesh's own clients are managed as those of Kafka's newer protocol are. */
static const char *type_of(const struct message_group_row *row)
{
    return row->protocol == GROUP_PROTOCOL_MESH && row->member_count > 0 ? "Consumer" : "Classic";
}

static bool is_asked_for(const struct slice *names, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++)
        if (names[i].size == strlen(name) && strncasecmp((const char *)names[i].data, name, names[i].size) == 0) return true;
    return count <= 0;
}

static bool is_led_here(const struct kafka_job *job, uint32_t number)
{
    const struct image *image = metadata_image(job->control->metadata);
    const struct image_topic *topic = image_find_topic_by_name(image, GROUPS_TOPIC_NAME);
    struct image_partition facts;

    return topic != NULL && image_topic_partition(topic, number, &facts) && facts.leader == atomic_load(&job->shard->broker->node_id);
}

/* Room doubles; what it was lies in the arena until the call ends. */
static int make_room(struct kafka_call *call, struct list_state *state)
{
    struct kafka_list_groups_response_group *items;

    if (state->response.groups.count < state->room) return 0;
    state->room = state->room == 0 ? 64 : state->room * 2;
    items = kafka_new_items(&kafka_list_groups_response_group_form, state->room, &call->arena);
    if (items == NULL) return MESH_ENOMEM;
    if (state->response.groups.count > 0) memcpy(items, state->response.groups.items, (size_t)state->response.groups.count * sizeof(*items));
    state->response.groups.items = items;
    return 0;
}

static int add_row(struct kafka_call *call, struct list_state *state, const struct message_group_row *row)
{
    struct kafka_list_groups_response_group *group;
    int err;

    if (!state->is_of_all && !is_led_here(&state->job, row->partition)) return 0;
    if (!is_asked_for(state->asked.states_filter.items, state->asked.states_filter.count, state_of(row))) return 0;
    if (!is_asked_for(state->asked.types_filter.items, state->asked.types_filter.count, type_of(row))) return 0;
    err = make_room(call, state);
    if (err != 0) return err;
    group = &state->response.groups.items[state->response.groups.count];
    if (!kafka_group_keep(call, row->name, &group->group_id)) return MESH_ENOMEM;
    if (row->protocol_type.size > 0 && !kafka_group_keep(call, row->protocol_type, &group->protocol_type)) return MESH_ENOMEM;
    /* Of one that was only heard of it is not known: nearly all are. */
    if (row->protocol_type.size == 0) group->protocol_type = slice_of_string(row->member_count > 0 ? "consumer" : "");
    group->group_state = slice_of_string(state_of(row));
    group->group_type = slice_of_string(type_of(row));
    state->response.groups.count++;
    return 0;
}

/* ---- all of them, page by page, on the control loop ---- */

static void run(struct kafka_job *job);

static void on_page(void *user, int error, struct slice answer)
{
    struct list_state *state = user;
    struct kafka_call *call = state->job.call;
    struct message_group_list_response page;
    bool has_more = false;

    state->error = error != 0 ? error : message_decode_group_list_response(answer, &page);
    if (state->error == 0) {
        state->error = page.error;
        for (size_t i = 0; i < page.row_count && state->error == 0; i++)
            state->error = add_row(call, state, &page.rows[i]);
        has_more = state->error == 0 && page.has_more && page.row_count > 0;
        if (has_more && !kafka_group_keep(call, page.rows[page.row_count - 1].name, &state->after)) state->error = MESH_ENOMEM;
        message_deinit_group_list_response(&page);
    }
    if (has_more && state->error == 0) run(&state->job);
    else kafka_job_home(&state->job);
}

static void run(struct kafka_job *job)
{
    struct list_state *state = container_of(job, struct list_state, job);
    const struct message_group_list request = {.after = state->after, .partition = -1};

    state->error = groups_query_list(job->control, &request, on_page, state);
    if (state->error != 0) kafka_job_home(job);
}

static void answer(struct kafka_call *call)
{
    struct list_state *state = call->state;

    state->response.error_code = kafka_group_code_of(state->error);
    if (state->error != 0) state->response.groups.count = 0;
    kafka_call_answer(call, &state->response);
}

enum serve kafka_serve_list_groups(const struct kafka_request *request)
{
    struct connection *connection = request->connection;
    struct kafka_list_groups_request asked;
    struct list_state *state;
    enum serve result = SERVE_GONE;
    struct kafka_call *call = kafka_group_call(request, &asked, sizeof(*state), answer, &result);

    if (call == NULL) return result;
    state = call->state;
    state->asked = asked;
    state->is_of_all = kafka_sees_one_node(connection);
    kafka_init(&kafka_list_groups_response_form, &state->response);
    state->job.run = run;
    state->job.home = answer;
    kafka_job_start(&state->job, call);
    kafka_call_leave(call);
    return kafka_served(connection);
}
