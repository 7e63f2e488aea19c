/* broker/front/native/groups.c - requests about consumer groups: to their leaders, or to the control loop, which gathers.
 *
 * The bytes of requests and answers go through as they are. An answer that tells an error is marked as one, so that who knows nothing of groups understands it. */
#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/groups/serve.h"
#include "cmd/broker/ops/groups.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

#define WEIGHT_BYTES 4096 /* of a request, that weigh as much as an administrative one */

struct groups_door {
    struct connection *connection;
    uint32_t correlation_id;
    uint32_t weight;
    uint16_t op;
};

static void on_done(void *owner, uint64_t tag, struct slice answer)
{
    struct groups_door *door = owner;
    struct connection *connection = door->connection;

    (void)tag;
    if (answer.size == 0)
        connection_close(connection); /* an answer may not be lost silently */
    else if (groups_answer_peek(answer) != 0)
        native_respond_refusal(connection, door->op, door->correlation_id, answer);
    else
        native_respond(connection, door->op, door->correlation_id, answer);
    connection_end(connection, door->weight);
    free(door);
}

static enum serve submit(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct groups_door *door = malloc(sizeof(*door));

    if (door == NULL) return SERVE_WAIT;
    *door = (struct groups_door){connection, request->header.correlation_id, (uint32_t)(request->message.size / WEIGHT_BYTES), request->header.op};
    connection_begin(connection, door->weight);
    if (groups_submit(connection->shard, request->header.op, request->message, on_done, door, 0) == MESH_EAGAIN) {
        connection_end(connection, door->weight);
        free(door);
        return SERVE_WAIT;
    }
    return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
}

/* Lists, and how far topics go, are gathered by the control loop. */
static bool is_for_control(const struct native_request *request)
{
    struct message_group_describe describe;
    bool with_lag;

    if (request->header.op == FRAME_OP_GROUP_LIST) return true;
    if (request->header.op != FRAME_OP_GROUP_DESCRIBE || message_decode_group_describe(request->message, &describe) != 0) return false;
    with_lag = describe.with_lag;
    message_deinit_group_describe(&describe);
    return with_lag;
}

enum serve native_groups(const struct native_request *request)
{
    return is_for_control(request) ? native_admin(request) : submit(request);
}
