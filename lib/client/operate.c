/* mesh_events_get, mesh_drain, mesh_settings_...: what is asked of one broker, whichever this client has a connection to; as public structs that own their texts. */
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

/* ---- settings ---- */

struct mesh_settings {
    struct mesh_settings_info info;
    char *texts; /* owned */
    struct mesh_setting_info *settings;
};

void mesh_settings_free(struct mesh_settings *settings)
{
    if (settings == NULL) return;
    free(settings->texts);
    free(settings->settings);
    free(settings);
}

const struct mesh_settings_info *mesh_settings_info(const struct mesh_settings *settings)
{
    return &settings->info;
}

static size_t texts_size(const struct message_config_response *response)
{
    size_t size = response->name.size + response->path.size + 2;

    for (size_t i = 0; i < response->entry_count; i++) {
        const struct message_config_entry *entry = &response->entries[i];

        size += entry->key.size + entry->value.size + entry->unit.size + entry->values.size + entry->fallback.size + entry->help.size + entry->kept.size + entry->at_start.size + 8;
    }
    return size;
}

static int copy_settings(const struct message_config_response *response, struct mesh_settings **ret_settings)
{
    struct mesh_settings *settings = calloc(1, sizeof(*settings));
    char *at;

    if (settings == NULL) return MESH_ENOMEM;
    settings->texts = at = malloc(texts_size(response));
    settings->settings = calloc(response->entry_count + 1, sizeof(*settings->settings));
    if (at == NULL || settings->settings == NULL) {
        mesh_settings_free(settings);
        return MESH_ENOMEM;
    }
    for (size_t i = 0; i < response->entry_count; i++) {
        const struct message_config_entry *from = &response->entries[i];

        settings->settings[i] = (struct mesh_setting_info){.key = put_text(&at, from->key),
                                                           .value = put_text(&at, from->value),
                                                           .unit = put_text(&at, from->unit),
                                                           .values = put_text(&at, from->values),
                                                           .fallback = put_text(&at, from->fallback),
                                                           .help = put_text(&at, from->help),
                                                           .source = from->source,
                                                           .scope = from->scope,
                                                           .is_live = from->is_live,
                                                           .kept = put_text(&at, from->kept),
                                                           .at_start = put_text(&at, from->at_start)};
    }
    settings->info = (struct mesh_settings_info){
        .name = put_text(&at, response->name), .path = put_text(&at, response->path), .settings = settings->settings, .setting_count = response->entry_count};
    uuid_format(&response->broker, settings->info.id);
    *ret_settings = settings;
    return 0;
}

static int ask_settings(struct mesh_client *client, const char *broker, struct message_config_request *request, struct mesh_settings **ret_settings)
{
    struct message_config_response response;
    struct buffer answer = BUFFER_INIT;
    struct call *call = NULL;
    int err = parse_broker(client, broker, &request->broker);

    if (err != 0) return err;
    err = call_new(client, FRAME_OP_CONFIG, NULL, NULL, &call);
    if (err == 0) err = message_encode_config_request(&call->message, request);
    if (err == 0) call->is_repeatable = request->action == MESSAGE_CONFIG_LOOK || !uuid_is_zero(&request->broker); /* as mesh_drain() */
    err = ask(client, call, err, &answer);
    if (err == 0) {
        err = message_decode_config_response(buffer_slice(&answer), &response);
        if (err == 0) {
            err = copy_settings(&response, ret_settings);
            message_deinit_config_response(&response);
        }
        if (err != 0) unreadable(client, err);
    }
    buffer_deinit(&answer);
    return err;
}

int mesh_settings_get(struct mesh_client *client, const char *broker, struct mesh_settings **ret_settings)
{
    struct message_config_request request = {.action = MESSAGE_CONFIG_LOOK};

    return ask_settings(client, broker, &request, ret_settings);
}

int mesh_settings_change(struct mesh_client *client, const char *broker, const struct mesh_setting_change *changes, size_t count, struct mesh_settings **ret_settings)
{
    struct message_config_request request = {.action = count > 0 && changes[0].value == NULL ? MESSAGE_CONFIG_UNSET : MESSAGE_CONFIG_SET, .change_count = count};
    int err;

    for (size_t i = 1; i < count; i++)
        if ((changes[i].value == NULL) != (changes[0].value == NULL)) return client_fail(client, MESH_EINVAL, "settings are set or unset, not both in one call");
    request.changes = calloc(count + 1, sizeof(*request.changes));
    if (request.changes == NULL) return client_fail(client, MESH_ENOMEM, "%s", mesh_strerror(MESH_ENOMEM));
    for (size_t i = 0; i < count; i++)
        request.changes[i] = (struct message_config_change){slice_of_string(changes[i].key), slice_of_string(changes[i].value != NULL ? changes[i].value : "")};
    err = ask_settings(client, broker, &request, ret_settings);
    free(request.changes);
    return err;
}
