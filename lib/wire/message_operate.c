/* The tables of message_operate.h: field n of a message is row n, as in native.proto. */
#include "wire/message_operate.h"

#include "base/error.h"
#include "wire/frame.h"
#include "wire/message_table.h"
#include "wire/proto.h"

#include <stddef.h>

#define ONE(type, member, kind)                {kind, offsetof(struct type, member), TABLE_NO_LIST, NULL}
#define INNERS(type, member, count, table)     {TABLE_MESSAGE, offsetof(struct type, member), offsetof(struct type, count), table}

#define TABLE(suffix, type)                                                                                   \
    static const struct table suffix##_table = {suffix##_fields, sizeof(suffix##_fields) / sizeof(suffix##_fields[0]), sizeof(struct type), NULL};

/* ---- events ---- */

static const struct table_field events_request_fields[] = {
    ONE(message_events_request, broker, TABLE_UUID),
    ONE(message_events_request, after, TABLE_UINT64),
    ONE(message_events_request, age_ms, TABLE_UINT64),
    ONE(message_events_request, limit, TABLE_UINT32),
};
TABLE(events_request, message_events_request)

static const struct table_field event_fields[] = {
    ONE(message_event, sequence, TABLE_UINT64),
    ONE(message_event, wall_ms, TABLE_UINT64),
    ONE(message_event, level, TABLE_UINT32),
    ONE(message_event, kind, TABLE_BYTES),
    ONE(message_event, text, TABLE_BYTES),
};
TABLE(event, message_event)

static const struct table_field events_response_fields[] = {
    ONE(message_events_response, error, TABLE_ERROR),
    ONE(message_events_response, message, TABLE_BYTES),
    ONE(message_events_response, broker, TABLE_UUID),
    ONE(message_events_response, name, TABLE_BYTES),
    ONE(message_events_response, boot, TABLE_UINT64),
    ONE(message_events_response, last, TABLE_UINT64),
    ONE(message_events_response, has_more, TABLE_BOOL),
    ONE(message_events_response, now_ms, TABLE_UINT64),
    INNERS(message_events_response, events, event_count, &event_table),
};
TABLE(events_response, message_events_response)

/* ---- drain ---- */

static const struct table_field drain_request_fields[] = {
    ONE(message_drain_request, broker, TABLE_UUID),
    ONE(message_drain_request, action, TABLE_UINT32),
};
TABLE(drain_request, message_drain_request)

static const struct table_field drain_response_fields[] = {
    ONE(message_drain_response, error, TABLE_ERROR),
    ONE(message_drain_response, message, TABLE_BYTES),
    ONE(message_drain_response, broker, TABLE_UUID),
    ONE(message_drain_response, name, TABLE_BYTES),
    ONE(message_drain_response, is_wanted, TABLE_BOOL),
    ONE(message_drain_response, is_drained, TABLE_BOOL),
    ONE(message_drain_response, led, TABLE_UINT64),
    ONE(message_drain_response, others, TABLE_UINT32),
    ONE(message_drain_response, is_emptying, TABLE_BOOL),
    ONE(message_drain_response, hosted, TABLE_UINT64),
};
TABLE(drain_response, message_drain_response)

/* ---- configuration ---- */

static const struct table_field config_change_fields[] = {
    ONE(message_config_change, key, TABLE_BYTES),
    ONE(message_config_change, value, TABLE_BYTES),
};
TABLE(config_change, message_config_change)

static const struct table_field config_request_fields[] = {
    ONE(message_config_request, broker, TABLE_UUID),
    ONE(message_config_request, action, TABLE_UINT32),
    INNERS(message_config_request, changes, change_count, &config_change_table),
};
TABLE(config_request, message_config_request)

static const struct table_field config_entry_fields[] = {
    ONE(message_config_entry, key, TABLE_BYTES),
    ONE(message_config_entry, value, TABLE_BYTES),
    ONE(message_config_entry, unit, TABLE_BYTES),
    ONE(message_config_entry, values, TABLE_BYTES),
    ONE(message_config_entry, fallback, TABLE_BYTES),
    ONE(message_config_entry, help, TABLE_BYTES),
    ONE(message_config_entry, source, TABLE_UINT32),
    ONE(message_config_entry, scope, TABLE_UINT32),
    ONE(message_config_entry, is_live, TABLE_BOOL),
    ONE(message_config_entry, kept, TABLE_BYTES),
    ONE(message_config_entry, at_start, TABLE_BYTES),
};
TABLE(config_entry, message_config_entry)

static const struct table_field config_response_fields[] = {
    ONE(message_config_response, error, TABLE_ERROR),
    ONE(message_config_response, message, TABLE_BYTES),
    ONE(message_config_response, broker, TABLE_UUID),
    ONE(message_config_response, name, TABLE_BYTES),
    ONE(message_config_response, path, TABLE_BYTES),
    INNERS(message_config_response, entries, entry_count, &config_entry_table),
};
TABLE(config_response, message_config_response)

/* ---- the conversions ---- */

#define DEFINE_CONVERSIONS(suffix, type)                                                                      \
    int message_encode_##suffix(struct buffer *to, const struct type *message)                               \
    {                                                                                                         \
        return message_table_encode(&suffix##_table, message, MESSAGE_OPERATE_LISTS_BYTES_MAX, to);           \
    }                                                                                                         \
    int message_decode_##suffix(struct slice from, struct type *ret_message)                                 \
    {                                                                                                         \
        struct type message;                                                                                  \
        int err = message_table_decode(&suffix##_table, from, MESSAGE_OPERATE_LISTS_BYTES_MAX, &message);     \
        if (err == 0) *ret_message = message;                                                                 \
        return err;                                                                                           \
    }                                                                                                         \
    void message_deinit_##suffix(struct type *message)                                                        \
    {                                                                                                         \
        message_table_deinit(&suffix##_table, message);                                                       \
    }
MESSAGE_OPERATE_MAP(DEFINE_CONVERSIONS)

bool message_operate_knows(uint32_t op)
{
    return op == FRAME_OP_EVENTS || op == FRAME_OP_DRAIN || op == FRAME_OP_CONFIG;
}

/* The rest is judged where it is served. */
int message_operate_peek(struct slice request, struct uuid *ret_broker)
{
    const uint8_t *at = request.data, *end = proto_end(request), *content_end = NULL;
    struct uuid broker = {{0}};

    while (at < end) {
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return MESH_EPROTO;
        if (tag != PROTO_TAG(1, PROTO_BYTES)) {
            at = proto_skip(at, end, tag, 0);
            if (at == NULL) return MESH_EPROTO;
            continue;
        }
        at = proto_read_length(at, end, &content_end);
        if (at == NULL || content_end - at != UUID_SIZE) return MESH_EPROTO;
        memcpy(broker.bytes, at, UUID_SIZE);
        at = content_end;
    }
    *ret_broker = broker;
    return 0;
}
