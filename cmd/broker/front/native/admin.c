/* broker/front/native/admin.c - the shard's side of an administrative request. */
#include "cmd/broker/front/native/admin.h"

#include "base/error.h"
#include "cmd/broker/front/native/native.h"
#include "cmd/broker/runtime/shard.h"

#include <stdlib.h>

static void call_free(struct admin_call *call)
{
    buffer_deinit(&call->request);
    buffer_deinit(&call->response);
    free(call);
}

static void call_home(struct mail *mail)
{
    struct admin_call *call = container_of(mail, struct admin_call, mail);
    struct connection *connection = call->connection;

    if (call->error != 0)
        native_respond_error(connection, call->op, call->correlation_id, call->error,
                             call->text[0] != '\0' ? call->text : mesh_strerror(call->error));
    else
        native_respond(connection, call->op, call->correlation_id, buffer_slice(&call->response));
    call_free(call);
    connection_end(connection, 1);
}

void admin_answer(struct admin_call *call, int error, const char *text)
{
    size_t size = text == NULL ? 0 : strlen(text);

    if (size >= sizeof(call->text)) size = sizeof(call->text) - 1;
    if (size > 0) memcpy(call->text, text, size);
    call->text[size] = '\0';
    call->error = error;
    call->mail.deliver = call_home;
    shard_post(call->shard, &call->mail);
}

static void call_arrives(struct mail *mail)
{
    admin_serve(container_of(mail, struct admin_call, mail));
}

enum serve native_admin(const struct native_request *request)
{
    struct connection *connection = request->connection;
    struct shard *shard = connection->shard;
    struct admin_call *call = calloc(1, sizeof(*call));

    if (call == NULL || buffer_append(&call->request, request->message.data, request->message.size) != 0) {
        free(call);
        native_respond_error(connection, request->header.op, request->header.correlation_id, MESH_ENOMEM,
                             "out of memory");
        return connection->state == CONNECTION_CLOSED ? SERVE_GONE : SERVE_MORE;
    }
    call->connection = connection;
    call->shard = shard;
    call->control = &shard->broker->control;
    call->op = request->header.op;
    call->correlation_id = request->header.correlation_id;
    call->mail.deliver = call_arrives;
    connection_begin(connection, 1);
    mailbox_post(&call->control->mailbox, &call->mail);
    return SERVE_MORE;
}
