/* mesh_events_get, mesh_drain: what is asked of one broker, whichever this client has a connection to; as public structs that own their texts. */
#include "client/call.h"
#include "client/client.h"
#include "wire/message_operate.h"

#include <stdlib.h>
#include <string.h>

/* NULL and "": the broker that answers. */
static int parse_broker(struct mesh_client *client, const char *text, struct uuid *ret_broker)
{
    *ret_broker = (struct uuid){{0}};
    if (text == NULL || text[0] == '\0' || uuid_parse(text, ret_broker) == 0) return 0;
    return client_fail(client, MESH_EINVAL, "\"%s\" is no broker's id", text);
}

/* Sends what `call` holds (taken), made with error `err`. */
static int ask(struct mesh_client *client, struct call *call, int err, struct buffer *ret_answer)
{
    if (err == 0) return call_wait(call, ret_answer);
    call_free(call);
    return client_fail(client, err, "%s", mesh_strerror(err));
}

static int unreadable(struct mesh_client *client, int err)
{
    return client_fail(client, err, "the broker's answer could not be read: %s", mesh_strerror(err));
}

/* ---- events ---- */

struct mesh_events {
    struct mesh_events_info info;
    char *texts; /* owned */
    struct mesh_event_info *events;
};

void mesh_events_free(struct mesh_events *events)
{
    if (events == NULL) return;
    free(events->texts);
    free(events->events);
    free(events);
}

static char *put_text(char **at, struct slice text)
{
    char *start = *at;

    if (text.size > 0) memcpy(start, text.data, text.size);
    start[text.size] = '\0';
    *at += text.size + 1;
    return start;
}

static int copy_events(const struct message_events_response *response, struct mesh_events **ret_events)
{
    struct mesh_events *events = calloc(1, sizeof(*events));
    size_t size = response->name.size + 1;
    char *at;

    if (events == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < response->event_count; i++)
        size += response->events[i].kind.size + response->events[i].text.size + 2;
    events->texts = at = malloc(size);
    events->events = calloc(response->event_count + 1, sizeof(*events->events));
    if (at == NULL || events->events == NULL) {
        mesh_events_free(events);
        return MESH_ENOMEM;
    }
    for (size_t i = 0; i < response->event_count; i++) {
        const struct message_event *from = &response->events[i];

        events->events[i] = (struct mesh_event_info){
            .sequence = from->sequence, .wall_ms = from->wall_ms, .level = from->level, .kind = put_text(&at, from->kind), .text = put_text(&at, from->text)};
    }
    events->info = (struct mesh_events_info){.boot = response->boot,
                                             .last = response->last,
                                             .now_ms = response->now_ms,
                                             .has_more = response->has_more,
                                             .name = put_text(&at, response->name),
                                             .events = events->events,
                                             .event_count = response->event_count};
    uuid_format(&response->broker, events->info.id);
    *ret_events = events;
    return 0;
}

static int take_events(struct slice answer, struct mesh_events **ret_events)
{
    struct message_events_response response;
    int err = message_decode_events_response(answer, &response);

    if (err != 0) return err;
    err = copy_events(&response, ret_events);
    message_deinit_events_response(&response);
    return err;
}

int mesh_events_get(struct mesh_client *client, const char *broker, uint64_t after, uint64_t age_ms, struct mesh_events **ret_events)
{
    struct message_events_request request = {.after = after, .age_ms = age_ms};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = parse_broker(client, broker, &request.broker);

    if (err != 0) return err;
    err = call_new(client, FRAME_OP_EVENTS, NULL, NULL, &call);
    if (err == 0) err = message_encode_events_request(&call->message, &request);
    err = ask(client, call, err, &answer);
    if (err == 0) {
        err = take_events(buffer_slice(&answer), ret_events);
        if (err != 0) unreadable(client, err);
    }
    buffer_deinit(&answer);
    return err;
}

const struct mesh_events_info *mesh_events_info(const struct mesh_events *events)
{
    return &events->info;
}

/* ---- drain ---- */

static int take_drain(struct slice answer, struct mesh_drain_info *ret_info)
{
    struct message_drain_response response;
    int err = message_decode_drain_response(answer, &response);
    size_t size;

    if (err != 0) return err;
    *ret_info = (struct mesh_drain_info){
        .is_wanted = response.is_wanted, .is_drained = response.is_drained, .led = response.led, .others = response.others,
        .is_emptying = response.is_emptying, .hosted = response.hosted};
    uuid_format(&response.broker, ret_info->id);
    size = response.name.size < sizeof(ret_info->name) ? response.name.size : sizeof(ret_info->name) - 1;
    if (size > 0) memcpy(ret_info->name, response.name.data, size);
    message_deinit_drain_response(&response);
    return 0;
}

int mesh_drain(struct mesh_client *client, const char *broker, enum mesh_drain_action action, struct mesh_drain_info *ret_info)
{
    struct message_drain_request request = {.action = (uint32_t)action};
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = parse_broker(client, broker, &request.broker);

    if (err != 0) return err;
    err = call_new(client, FRAME_OP_DRAIN, NULL, NULL, &call);
    if (err == 0) err = message_encode_drain_request(&call->message, &request);
    if (err == 0) call->is_repeatable = action == MESH_DRAIN_LOOK || !uuid_is_zero(&request.broker); /* whoever answers: not another one the second time */
    err = ask(client, call, err, &answer);
    if (err == 0) {
        err = take_drain(buffer_slice(&answer), ret_info);
        if (err != 0) unreadable(client, err);
    }
    buffer_deinit(&answer);
    return err;
}
