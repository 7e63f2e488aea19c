/* The tables of message_group.h: field n of a message is row n, as in native.proto. */
#include "wire/message_group.h"

#include "base/error.h"
#include "wire/message_table.h"
#include "wire/proto.h"

#include <stddef.h>

#define ONE(type, member, kind)                {kind, offsetof(struct type, member), TABLE_NO_LIST, NULL}
#define LIST(type, member, count, kind)        {kind, offsetof(struct type, member), offsetof(struct type, count), NULL}
#define INNER(type, member, table)             {TABLE_MESSAGE, offsetof(struct type, member), TABLE_NO_LIST, table}
#define INNERS(type, member, count, table)     {TABLE_MESSAGE, offsetof(struct type, member), offsetof(struct type, count), table}

#define TABLE(suffix, type, sound)                                                                            \
    static const struct table suffix##_table = {suffix##_fields, sizeof(suffix##_fields) / sizeof(suffix##_fields[0]), sizeof(struct type), sound};

/* ---- parts ---- */

static const struct table_field route_fields[] = {
    ONE(message_group_route, leader, TABLE_MINUS_ONE32),
    ONE(message_group_route, epoch, TABLE_MINUS_ONE32),
    ONE(message_group_route, shard, TABLE_UINT32),
    ONE(message_group_route, proof_age_ms, TABLE_UINT32),
    ONE(message_group_route, heard_us, TABLE_UINT64),
    ONE(message_group_route, proof_behind_us, TABLE_UINT64),
};
TABLE(route, message_group_route, NULL)

static const struct table_field partitions_fields[] = {
    ONE(message_group_partitions, topic_id, TABLE_UUID),
    LIST(message_group_partitions, partitions, partition_count, TABLE_UINT32),
    LIST(message_group_partitions, offsets, offset_count, TABLE_MINUS_ONE64),
    LIST(message_group_partitions, record_epochs, record_epoch_count, TABLE_MINUS_ONE32),
    LIST(message_group_partitions, metadata_places, metadata_place_count, TABLE_UINT32),
    LIST(message_group_partitions, metadata, metadata_count, TABLE_BYTES),
    LIST(message_group_partitions, errors, error_count, TABLE_ERROR),
    ONE(message_group_partitions, kind, TABLE_UINT32),
    LIST(message_group_partitions, version_epochs, version_epoch_count, TABLE_UINT32),
    LIST(message_group_partitions, version_lsns, version_lsn_count, TABLE_UINT64),
    LIST(message_group_partitions, committed_s, committed_count, TABLE_UINT32),
    LIST(message_group_partitions, offsets_before, offset_before_count, TABLE_MINUS_ONE64),
    LIST(message_group_partitions, high_watermarks, high_watermark_count, TABLE_MINUS_ONE64),
    LIST(message_group_partitions, log_starts, log_start_count, TABLE_UINT64),
    LIST(message_group_partitions, ends_age_ms, ends_age_count, TABLE_UINT32),
    LIST(message_group_partitions, owners, owner_count, TABLE_MINUS_ONE32),
    LIST(message_group_partitions, targets, target_count, TABLE_MINUS_ONE32),
    ONE(message_group_partitions, topic_name, TABLE_BYTES),
};

/* Lists beside each other say something of every partition or of none; places rise. */
static bool partitions_are_sound(const void *message)
{
    const struct message_group_partitions *topic = message;
    const size_t counts[] = {topic->offset_count,       topic->record_epoch_count, topic->error_count,          topic->version_epoch_count,
                             topic->version_lsn_count,  topic->committed_count,    topic->offset_before_count,  topic->high_watermark_count,
                             topic->log_start_count,    topic->ends_age_count,     topic->owner_count,          topic->target_count};

    if (topic->partition_count > MESSAGE_GROUP_PARTITIONS_MAX || topic->metadata_count != topic->metadata_place_count) return false;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        if (counts[i] != 0 && counts[i] != topic->partition_count) return false;
    for (size_t i = 0; i < topic->metadata_count; i++)
        if (topic->metadata_places[i] >= topic->partition_count || (i > 0 && topic->metadata_places[i] <= topic->metadata_places[i - 1])) return false;
    return true;
}

TABLE(partitions, message_group_partitions, partitions_are_sound)

static bool fit(const struct message_group_partitions *topics, size_t topic_count)
{
    size_t sum = 0;

    for (size_t i = 0; i < topic_count; i++)
        sum += topics[i].partition_count;
    return sum <= MESSAGE_GROUP_PARTITIONS_MAX;
}

#define DEFINE_FIT(suffix, type)                                                                              \
    static bool suffix##_fits(const void *message)                                                            \
    {                                                                                                         \
        const struct type *of = message;                                                                      \
        return fit(of->topics, of->topic_count);                                                              \
    }

/* ---- requests: the same seven fields first ---- */

#define HEAD(type)                                                                                            \
    ONE(type, head.group, TABLE_BYTES), ONE(type, head.forwards, TABLE_BOOL), ONE(type, head.member, TABLE_BYTES), ONE(type, head.instance, TABLE_BYTES), \
        ONE(type, head.epoch, TABLE_MINUS_ONE32), ONE(type, head.sequence, TABLE_UINT64), ONE(type, head.timeout_ms, TABLE_UINT32)
#define HEAD_FIELDS 7

static const struct table_field group_join_fields[] = {
    HEAD(message_group_join),
    ONE(message_group_join, client, TABLE_BYTES),
    ONE(message_group_join, host, TABLE_BYTES),
    ONE(message_group_join, zone, TABLE_BYTES),
    ONE(message_group_join, strategy, TABLE_UINT32),
    LIST(message_group_join, names, name_count, TABLE_BYTES),
    ONE(message_group_join, pattern, TABLE_BYTES),
    ONE(message_group_join, session_timeout_ms, TABLE_UINT32),
    ONE(message_group_join, processing_limit_ms, TABLE_UINT32),
};
TABLE(group_join, message_group_join, NULL)

static const struct table_field group_heartbeat_fields[] = {
    HEAD(message_group_heartbeat),
    ONE(message_group_heartbeat, generation, TABLE_UINT32),
    ONE(message_group_heartbeat, wants_work, TABLE_BOOL),
};
TABLE(group_heartbeat, message_group_heartbeat, NULL)

static const struct table_field group_change_fields[] = {
    HEAD(message_group_change),
    ONE(message_group_change, generation, TABLE_UINT32),
    INNERS(message_group_change, topics, topic_count, &partitions_table),
};
DEFINE_FIT(group_change, message_group_change)
TABLE(group_change, message_group_change, group_change_fits)

static const struct table_field group_commit_fields[] = {
    HEAD(message_group_commit),
    ONE(message_group_commit, generation, TABLE_MINUS_ONE64),
    ONE(message_group_commit, reset_epoch, TABLE_MINUS_ONE64),
    INNERS(message_group_commit, topics, topic_count, &partitions_table),
    ONE(message_group_commit, may_pass_ends, TABLE_BOOL),
};
DEFINE_FIT(group_commit, message_group_commit)
TABLE(group_commit, message_group_commit, group_commit_fits)

static const struct table_field group_offsets_fields[] = {
    HEAD(message_group_offsets),
    ONE(message_group_offsets, is_local, TABLE_BOOL),
    INNERS(message_group_offsets, topics, topic_count, &partitions_table),
};
DEFINE_FIT(group_offsets, message_group_offsets)
TABLE(group_offsets, message_group_offsets, group_offsets_fits)

static const struct table_field group_reset_fields[] = {
    HEAD(message_group_reset),
    ONE(message_group_reset, who, TABLE_BYTES),
    ONE(message_group_reset, is_forced, TABLE_BOOL),
    ONE(message_group_reset, is_dry, TABLE_BOOL),
    INNERS(message_group_reset, topics, topic_count, &partitions_table),
    ONE(message_group_reset, reset_epoch, TABLE_MINUS_ONE64),
};
DEFINE_FIT(group_reset, message_group_reset)
TABLE(group_reset, message_group_reset, group_reset_fits)

static const struct table_field group_list_fields[] = {
    ONE(message_group_list, after, TABLE_BYTES),
    ONE(message_group_list, forwards, TABLE_BOOL),
    ONE(message_group_list, is_local, TABLE_BOOL),
    ONE(message_group_list, limit, TABLE_UINT32),
    ONE(message_group_list, partition, TABLE_MINUS_ONE32),
};
TABLE(group_list, message_group_list, NULL)

static const struct table_field group_describe_fields[] = {
    HEAD(message_group_describe),
    ONE(message_group_describe, is_local, TABLE_BOOL),
    ONE(message_group_describe, with_lag, TABLE_BOOL),
    ONE(message_group_describe, after_topic, TABLE_UUID),
    ONE(message_group_describe, after_partition, TABLE_MINUS_ONE64),
    ONE(message_group_describe, limit, TABLE_UINT32),
};
TABLE(group_describe, message_group_describe, NULL)

static const struct table_field group_classic_fields[] = {
    HEAD(message_group_classic),
    ONE(message_group_classic, kind, TABLE_UINT32),
    ONE(message_group_classic, generation, TABLE_MINUS_ONE64),
    ONE(message_group_classic, is_again, TABLE_BOOL),
    ONE(message_group_classic, takes_id, TABLE_BOOL),
    ONE(message_group_classic, new_id, TABLE_BYTES),
    ONE(message_group_classic, client, TABLE_BYTES),
    ONE(message_group_classic, host, TABLE_BYTES),
    ONE(message_group_classic, protocol_type, TABLE_BYTES),
    ONE(message_group_classic, protocol, TABLE_BYTES),
    ONE(message_group_classic, session_timeout_ms, TABLE_UINT32),
    ONE(message_group_classic, rebalance_timeout_ms, TABLE_UINT32),
    LIST(message_group_classic, names, name_count, TABLE_BYTES),
    LIST(message_group_classic, payloads, payload_count, TABLE_BYTES),
};

static bool group_classic_is_sound(const void *message)
{
    const struct message_group_classic *classic = message;

    return classic->name_count == classic->payload_count;
}

TABLE(group_classic, message_group_classic, group_classic_is_sound)

/* ---- answers: error and text first, as in an ErrorResponse ---- */

static const struct table_field group_response_fields[] = {
    ONE(message_group_response, error, TABLE_ERROR),
    ONE(message_group_response, message, TABLE_BYTES),
    INNER(message_group_response, route, &route_table),
    ONE(message_group_response, generation, TABLE_UINT32),
    ONE(message_group_response, has_work, TABLE_BOOL),
    ONE(message_group_response, heartbeat_ms, TABLE_UINT32),
    ONE(message_group_response, reset_epoch, TABLE_UINT32),
    INNERS(message_group_response, topics, topic_count, &partitions_table),
    ONE(message_group_response, age_ms, TABLE_UINT64),
    ONE(message_group_response, has_more, TABLE_BOOL),
};
DEFINE_FIT(group_response, message_group_response)
TABLE(group_response, message_group_response, group_response_fits)

static const struct table_field classic_member_fields[] = {
    ONE(message_group_classic_member, id, TABLE_BYTES),
    ONE(message_group_classic_member, instance, TABLE_BYTES),
    ONE(message_group_classic_member, client, TABLE_BYTES),
    ONE(message_group_classic_member, host, TABLE_BYTES),
    ONE(message_group_classic_member, metadata, TABLE_BYTES),
    ONE(message_group_classic_member, assignment, TABLE_BYTES),
};
TABLE(classic_member, message_group_classic_member, NULL)

static const struct table_field group_classic_response_fields[] = {
    ONE(message_group_classic_response, error, TABLE_ERROR),
    ONE(message_group_classic_response, message, TABLE_BYTES),
    INNER(message_group_classic_response, route, &route_table),
    ONE(message_group_classic_response, generation, TABLE_UINT32),
    ONE(message_group_classic_response, is_waiting, TABLE_BOOL),
    ONE(message_group_classic_response, is_id_required, TABLE_BOOL),
    ONE(message_group_classic_response, is_leader, TABLE_BOOL),
    ONE(message_group_classic_response, skips, TABLE_BOOL),
    ONE(message_group_classic_response, member, TABLE_BYTES),
    ONE(message_group_classic_response, leader, TABLE_BYTES),
    ONE(message_group_classic_response, protocol_type, TABLE_BYTES),
    ONE(message_group_classic_response, protocol, TABLE_BYTES),
    ONE(message_group_classic_response, assignment, TABLE_BYTES),
    ONE(message_group_classic_response, state, TABLE_UINT32),
    INNERS(message_group_classic_response, members, member_count, &classic_member_table),
};
TABLE(group_classic_response, message_group_classic_response, NULL)

static const struct table_field row_fields[] = {
    ONE(message_group_row, name, TABLE_BYTES),
    ONE(message_group_row, state, TABLE_UINT32),
    ONE(message_group_row, protocol, TABLE_UINT32),
    ONE(message_group_row, strategy, TABLE_UINT32),
    ONE(message_group_row, generation, TABLE_UINT32),
    ONE(message_group_row, reset_epoch, TABLE_UINT32),
    ONE(message_group_row, member_count, TABLE_UINT32),
    ONE(message_group_row, topic_count, TABLE_UINT32),
    ONE(message_group_row, cell_count, TABLE_UINT32),
    ONE(message_group_row, partition, TABLE_UINT32),
    ONE(message_group_row, empty_since_ms, TABLE_UINT64),
    ONE(message_group_row, age_ms, TABLE_UINT64),
    ONE(message_group_row, protocol_type, TABLE_BYTES),
};
TABLE(row, message_group_row, NULL)

static const struct table_field group_list_response_fields[] = {
    ONE(message_group_list_response, error, TABLE_ERROR),
    ONE(message_group_list_response, message, TABLE_BYTES),
    INNERS(message_group_list_response, rows, row_count, &row_table),
    ONE(message_group_list_response, has_more, TABLE_BOOL),
    ONE(message_group_list_response, partitions_unknown, TABLE_UINT32),
};

static bool group_list_response_fits(const void *message)
{
    return ((const struct message_group_list_response *)message)->row_count <= MESSAGE_GROUP_ROWS_MAX;
}

TABLE(group_list_response, message_group_list_response, group_list_response_fits)

static const struct table_field member_fields[] = {
    ONE(message_group_member, id, TABLE_BYTES),
    ONE(message_group_member, instance, TABLE_BYTES),
    ONE(message_group_member, client, TABLE_BYTES),
    ONE(message_group_member, host, TABLE_BYTES),
    ONE(message_group_member, zone, TABLE_BYTES),
    ONE(message_group_member, pattern, TABLE_BYTES),
    ONE(message_group_member, strategy, TABLE_UINT32),
    ONE(message_group_member, session_timeout_ms, TABLE_UINT32),
    ONE(message_group_member, processing_limit_ms, TABLE_UINT32),
    ONE(message_group_member, joined_in, TABLE_UINT32),
    ONE(message_group_member, claims, TABLE_UINT32),
    ONE(message_group_member, targets, TABLE_UINT32),
};
TABLE(member, message_group_member, NULL)

static const struct table_field group_describe_response_fields[] = {
    ONE(message_group_describe_response, error, TABLE_ERROR),
    ONE(message_group_describe_response, message, TABLE_BYTES),
    INNER(message_group_describe_response, route, &route_table),
    INNER(message_group_describe_response, row, &row_table),
    INNERS(message_group_describe_response, members, member_count, &member_table),
    INNERS(message_group_describe_response, topics, topic_count, &partitions_table),
    ONE(message_group_describe_response, source, TABLE_UINT32),
    ONE(message_group_describe_response, age_ms, TABLE_UINT64),
    ONE(message_group_describe_response, has_more, TABLE_BOOL),
    ONE(message_group_describe_response, has_members, TABLE_BOOL),
};
DEFINE_FIT(group_describe_response, message_group_describe_response)
TABLE(group_describe_response, message_group_describe_response, group_describe_response_fits)

/* ---- the conversions ---- */

#define DEFINE_CONVERSIONS(suffix, type)                                                                      \
    int message_encode_##suffix(struct buffer *to, const struct type *message)                               \
    {                                                                                                         \
        return message_table_encode(&suffix##_table, message, MESSAGE_GROUP_LISTS_BYTES_MAX, to);                     \
    }                                                                                                         \
    int message_decode_##suffix(struct slice from, struct type *ret_message)                                 \
    {                                                                                                         \
        struct type message;                                                                                  \
        int err = message_table_decode(&suffix##_table, from, MESSAGE_GROUP_LISTS_BYTES_MAX, &message);               \
        if (err == 0) *ret_message = message;                                                                 \
        return err;                                                                                           \
    }                                                                                                         \
    void message_deinit_##suffix(struct type *message)                                                        \
    {                                                                                                         \
        message_table_deinit(&suffix##_table, message);                                                               \
    }
MESSAGE_GROUP_MAP(DEFINE_CONVERSIONS)

int message_group_peek(struct slice request, struct message_group_head *ret_head)
{
    const uint8_t *at = request.data, *end = proto_end(request);
    struct message_group_head head = {.epoch = -1};

    while (at < end) {
        struct slice *text = NULL;
        const uint8_t *content_end = NULL;
        uint64_t number = 0;
        uint32_t tag = 0;

        at = proto_read_tag(at, end, &tag);
        if (at == NULL) return MESH_EPROTO;
        switch (tag) {
        case PROTO_TAG(1, PROTO_BYTES): text = &head.group; break;
        case PROTO_TAG(3, PROTO_BYTES): text = &head.member; break;
        case PROTO_TAG(4, PROTO_BYTES): text = &head.instance; break;
        case PROTO_TAG(2, PROTO_VARINT):
        case PROTO_TAG(5, PROTO_VARINT):
        case PROTO_TAG(6, PROTO_VARINT):
        case PROTO_TAG(7, PROTO_VARINT): break;
        default:
            at = proto_skip(at, end, tag, HEAD_FIELDS);
            if (at == NULL) return MESH_EPROTO;
            continue;
        }
        at = text != NULL ? proto_read_length(at, end, &content_end) : proto_read_varint(at, end, &number);
        if (at == NULL) return MESH_EPROTO;
        if (text != NULL) *text = slice_of(at, (size_t)(content_end - at));
        if (text != NULL) at = content_end;
        switch (tag >> 3) {
        case 2: head.forwards = number != 0; break;
        case 5:
            if ((uint32_t)number > INT32_MAX) return MESH_EPROTO;
            head.epoch = (int32_t)number - 1;
            break;
        case 6: head.sequence = number; break;
        case 7: head.timeout_ms = (uint32_t)number; break;
        }
    }
    *ret_head = head;
    return 0;
}
