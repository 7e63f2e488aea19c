#include "client/call.h"

#include "base/assert.h"
#include "client/backoff.h"
#include "client/broker.h"
#include "wire/message.h"

#include <stdio.h>
#include <stdlib.h>

static const struct backoff call_backoff = {50, 1000};

static void finish(struct call *call, int err, struct slice message)
{
    list_remove(&call->node);
    timer_disarm(&call->client->timers, &call->timer);
    call->done(call, err, message);
}

static void finish_failed_with(struct call *call, int err, struct slice message)
{
    struct mesh_client *client = call->client;
    char problems[CLIENT_ERROR_SIZE / 2];

    if (err == MESH_EUNREACHABLE) {
        broker_describe_problems(client, problems, sizeof(problems));
        client_fail(client, err,
                    "no broker could be reached (%s): is one running (\"mesh serve\" starts one), and is this its address?",
                    problems);
    } else {
        client_fail(client, err, "%s", call->last_text[0] ? call->last_text : mesh_strerror(err));
    }
    finish(call, err, message);
}

static void finish_failed(struct call *call, int err)
{
    finish_failed_with(call, err, slice_of(NULL, 0));
}

/* Tries again after a pause, or gives up when that would come too late. */
static void retry(struct call *call, int err)
{
    struct mesh_client *client = call->client;
    uint64_t at_ms =
        client->now_ms + backoff_ms(&call_backoff, call->attempts++, random_unit(&client->random));

    call->last_error = err;
    if (at_ms >= call->deadline_ms) {
        finish_failed(call, err);
        return;
    }
    client_arm(client, &call->timer, at_ms);
}

static void wait_for_connection(struct call *call)
{
    client_arm(call->client, &call->timer, call->deadline_ms);
    if (list_is_empty(&call->node)) list_push_back(&call->client->calls, &call->node);
    client_mark(call->client, &call->client->call_pump);
}

/* ---- leaving a request behind ---- */

/* An answer that still comes is nobody's: a request of its own takes it. */
static int ignore_answered(struct request *request, const struct frame_header *header, struct slice message,
                           uint8_t **ret_attachment)
{
    (void)header, (void)message, (void)ret_attachment;
    free(request);
    return 0;
}

static void ignore_failed(struct request *request, int error, bool was_sent)
{
    (void)error, (void)was_sent;
    free(request);
}

static const struct request_handler ignore_handler = {ignore_answered, NULL, ignore_failed};

/* The call's request is in flight no more. */
static void leave_request(struct call *call)
{
    struct connection *connection = call->request.connection;
    struct request *orphan = malloc(sizeof(*orphan));

    if (orphan == NULL) { /* without memory to remember it, the connection goes */
        request_table_remove(&connection->requests, &call->request);
        connection_fail(connection, MESH_ENOMEM, "out of memory");
    } else {
        request_table_replace(&connection->requests, &call->request, orphan);
        orphan->handler = &ignore_handler;
    }
    call->request.connection = NULL;
}

/* ---- time ---- */

static void timer_due(struct timer *timer, uint64_t now_ms)
{
    struct call *call = container_of(timer, struct call, timer);

    if (now_ms < call->deadline_ms) {
        if (call->request.connection != NULL) { /* its patience is at an end */
            call->last_error = MESH_ETIMEDOUT;
            call->patience_ms *= 2;
            connection_doubt(call->request.connection);
            leave_request(call);
        }
        wait_for_connection(call);
        return;
    }
    if (call->request.connection != NULL && call->is_single) { /* the answer may depend on others: the connection is good */
        connection_doubt(call->request.connection);
        leave_request(call);
        finish_failed(call, MESH_ETIMEDOUT);
        return;
    }
    if (call->request.connection != NULL) {
        /* Whoever holds the answer back for so long is given up; the request fails with it. */
        snprintf(call->last_text, sizeof(call->last_text), "the broker did not answer in time");
        connection_fail(call->request.connection, MESH_ETIMEDOUT, "no answer in time");
        return;
    }
    finish_failed(call, call->last_error != 0 && call->last_error != MESH_ECLOSED ? call->last_error
                                                                                  : MESH_EUNREACHABLE);
}

/* ---- request handler ---- */

static int answered(struct request *request, const struct frame_header *header, struct slice message,
                    uint8_t **ret_attachment)
{
    struct call *call = container_of(request, struct call, request);
    struct message_error error;
    int err;

    (void)ret_attachment;
    if (!(header->flags & FRAME_FLAG_ERROR)) {
        finish(call, 0, message);
        return 0;
    }
    err = message_decode_error(message, &error);
    if (err != 0) {
        snprintf(call->last_text, sizeof(call->last_text), "the broker's refusal could not be read");
        finish_failed(call, err);
        return err;
    }
    snprintf(call->last_text, sizeof(call->last_text), "%s",
             error.message != NULL && error.message[0] ? error.message : mesh_strerror(error.error));
    err = error.error < 0 ? error.error : MESH_EPROTO;
    message_deinit_error(&error);
    if (call->is_single) {
        finish_failed_with(call, err, message);
        return 0;
    }
    /* For a coordinator the broker itself has waited long enough; whether to ask again is for people. */
    if (mesh_error_is_retriable(err) && err != MESH_EUNKNOWN_TOPIC && err != MESH_ENO_COORDINATOR)
        retry(call, err);
    else
        finish_failed(call, err);
    return 0;
}

static void failed(struct request *request, int error, bool was_sent)
{
    struct call *call = container_of(request, struct call, request);
    bool is_late = call->client->now_ms >= call->deadline_ms;

    if (!is_late && error != MESH_ECANCELED && (!was_sent || call->is_repeatable)) {
        retry(call, error);
        return;
    }
    if (was_sent && !call->is_repeatable && !call->is_single)
        snprintf(call->last_text, sizeof(call->last_text),
                 "the connection was lost before the answer came: the change may or may not have been made");
    finish_failed(call, error);
}

static const struct request_handler call_handler = {answered, NULL, failed};

/* ---- sending ---- */

static struct connection *choose_connection(struct call *call)
{
    struct broker *broker;
    struct connection *connection = NULL;

    if (call->node_id < 0) return broker_any_ready(call->client);
    broker = broker_find(call->client, call->node_id);
    if (broker == NULL || broker->reach == BROKER_UNREACHED) return broker_any_ready(call->client); /* any broker is the entry */
    if (broker_connection(broker, -1, CONNECTION_REQUESTS, &connection) != 0) return NULL;
    if (connection_is_ready(connection)) return connection->is_doubted ? broker_any_ready(call->client) : connection;
    connection_want(connection);
    return NULL;
}

/* Looked at whenever an attempt has failed: the pump runs then. */
static bool is_refused(const struct call *call)
{
    return call->client->now_ms >= call->refused_deadline_ms && broker_is_all_refused(call->client);
}

/* It has been sent: by when there should be an answer, if another broker may be asked instead. */
static void limit_patience(struct call *call)
{
    uint64_t until_ms = call->client->now_ms + call->patience_ms;

    if (call->patience_ms > 0 && call->is_repeatable && until_ms < call->deadline_ms) client_arm(call->client, &call->timer, until_ms);
}

void call_pump_run(struct pump *pump)
{
    struct mesh_client *client = container_of(pump, struct mesh_client, call_pump);
    struct list_node waiting;
    struct list_node *node;

    /* A call that ends here may start others: walk a list of those that wait now. */
    list_init(&waiting);
    while ((node = list_pop_front(&client->calls)) != NULL)
        list_push_back(&waiting, node);
    while ((node = list_pop_front(&waiting)) != NULL) {
        struct call *call = container_of(node, struct call, node);
        struct connection *connection = choose_connection(call);
        int err = MESH_EAGAIN;
        if (connection != NULL)
            err = connection_request(connection, &call->request, call->op, buffer_slice(&call->message), NULL,
                                     0);
        if (connection == NULL && is_refused(call)) err = MESH_EUNREACHABLE;
        if (err == MESH_EAGAIN)
            list_push_back(&client->calls, &call->node);
        else if (err != 0)
            finish_failed(call, err);
        else
            limit_patience(call);
    }
}

int call_new(struct mesh_client *client, enum frame_op op, void (*done)(struct call *, int, struct slice),
             void *user, struct call **ret_call)
{
    struct call *call = calloc(1, sizeof(*call));

    if (call == NULL) return MESH_ENOMEM;
    call->client = client;
    call->request.handler = &call_handler;
    call->op = op;
    call->node_id = -1;
    call->refused_deadline_ms = TIMER_NEVER;
    call->is_repeatable = true;
    call->done = done;
    call->user = user;
    list_init(&call->node);
    if (client_add_timer(client, &call->timer, timer_due) != 0) {
        free(call);
        return MESH_ENOMEM;
    }
    *ret_call = call;
    return 0;
}

void call_free(struct call *call)
{
    if (call == NULL) return;
    if (call->request.connection != NULL) leave_request(call);
    list_remove(&call->node);
    client_remove_timer(call->client, &call->timer);
    buffer_deinit(&call->message);
    free(call);
}

void call_start(struct call *call, uint64_t deadline_ms)
{
    call->deadline_ms = deadline_ms;
    wait_for_connection(call);
}

/* ---- blocking ---- */

struct waiting {
    bool is_done;
    int err;
    struct buffer *answer;
};

static void wait_done(struct call *call, int err, struct slice message)
{
    struct waiting *waiting = call->user;

    waiting->is_done = true;
    waiting->err = err;
    if (err != 0) return;
    waiting->err = buffer_append(waiting->answer, message.data, message.size);
    if (waiting->err != 0) client_fail(call->client, waiting->err, "%s", mesh_strerror(waiting->err));
}

static bool is_waiting_done(void *user)
{
    return ((struct waiting *)user)->is_done;
}

int call_wait(struct call *call, struct buffer *ret_answer)
{
    struct mesh_client *client = call->client;
    struct waiting waiting = {false, 0, ret_answer};
    int err;

    call->done = wait_done;
    call->user = &waiting;
    call->patience_ms = CALL_WAIT_PATIENCE_MS;
    if (client->is_dispatching) {
        call_free(call);
        return client_fail(client, MESH_EINVAL, "a callback may not call a function that waits");
    }
    call_start(call, client_deadline(client, client->timeout_ms));
    call->refused_deadline_ms = client_deadline(client, client->refused_timeout_ms);
    err = client_run(client, is_waiting_done, &waiting, TIMER_NEVER); /* the call's own deadline ends it */
    call_free(call);
    return err != 0 ? err : waiting.err;
}
