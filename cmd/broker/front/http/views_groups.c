#include "cmd/broker/front/http/views_groups.h"

#include "base/error.h"
#include "cmd/broker/front/http/views_internal.h"

/* Whoever joined chose these bytes: what is no UTF-8 is shown byte by byte, as far as it is ASCII. */
static json_t *text_json(struct slice text)
{
    json_t *string = json_stringn(text.size == 0 ? "" : (const char *)text.data, text.size);
    struct buffer copy = BUFFER_INIT;

    if (string != NULL) return string;
    if (buffer_append(&copy, text.data, text.size) != 0) return NULL;
    for (size_t i = 0; i < copy.size; i++)
        if (copy.data[i] >= 0x80) copy.data[i] = '?';
    string = json_stringn((const char *)copy.data, copy.size);
    buffer_deinit(&copy);
    return string;
}

static json_t *text_or_null(struct slice text)
{
    return text.size == 0 ? json_null() : text_json(text);
}

/* null where it is not known. */
static json_t *number_json(int64_t number)
{
    return number < 0 ? json_null() : json_integer(number);
}

static const char *state_text(uint32_t state)
{
    static const char *const texts[] = {[MESSAGE_GROUP_EMPTY] = "empty", [MESSAGE_GROUP_STABLE] = "stable", [MESSAGE_GROUP_REBALANCING] = "rebalancing"};

    return state < sizeof(texts) / sizeof(texts[0]) ? texts[state] : "unknown";
}

static json_t *row_json(const struct message_group_row *row)
{
    return json_pack("{s:o, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "group", text_json(row->name), "state", state_text(row->state), "protocol",
                     row->protocol == 0 ? "mesh" : "classic", "generation", (json_int_t)row->generation, "members", (json_int_t)row->member_count, "topics",
                     (json_int_t)row->topic_count, "offsets", (json_int_t)row->cell_count, "age_ms", (json_int_t)row->age_ms);
}

int view_groups(const struct message_group_list_response *list, struct buffer *to)
{
    json_t *rows = json_array(), *next = json_null();

    for (size_t i = 0; i < list->row_count; i++)
        rows = views_append(rows, row_json(&list->rows[i]));
    if (list->has_more && list->row_count > 0) next = text_json(list->rows[list->row_count - 1].name);
    return views_print(json_pack("{s:o, s:I, s:o}", "groups", rows, "partitions_unknown", (json_int_t)list->partitions_unknown, "next", next), to);
}

static json_t *member_json(const struct message_group_member *member)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:I}", "member", text_json(member->id), "instance", text_or_null(member->instance), "client",
                     text_json(member->client), "host", text_json(member->host), "zone", text_json(member->zone), "session_ms",
                     (json_int_t)member->session_timeout_ms, "partitions", (json_int_t)member->claims);
}

static json_t *members_json(const struct message_group_describe_response *group)
{
    json_t *members;

    if (!group->has_members) return json_null();
    members = json_array();
    for (size_t i = 0; i < group->member_count; i++)
        members = views_append(members, member_json(&group->members[i]));
    return members;
}

static json_t *owner_json(const struct message_group_describe_response *group, const int32_t *places, size_t count, size_t at)
{
    if (at >= count || places[at] < 0 || (size_t)places[at] >= group->member_count) return json_null();
    return text_json(group->members[places[at]].id);
}

static int64_t offset_at(const int64_t *offsets, size_t count, size_t at)
{
    return at < count ? offsets[at] : -1;
}

/* Where nothing is committed everything is still to be consumed. The end may be older than the commit. */
static int64_t lag_at(const struct message_group_partitions *topic, size_t at)
{
    int64_t committed = offset_at(topic->offsets, topic->offset_count, at), end = offset_at(topic->high_watermarks, topic->high_watermark_count, at);
    int64_t start = at < topic->log_start_count ? (int64_t)topic->log_starts[at] : 0, from = committed < 0 ? start : committed;

    if (end < 0) return -1;
    return end > from ? end - from : 0;
}

static json_t *partition_json(const struct message_group_describe_response *group, const struct message_group_partitions *topic, size_t at)
{
    bool has_end = offset_at(topic->high_watermarks, topic->high_watermark_count, at) >= 0;
    int64_t age_ms = has_end && at < topic->ends_age_count ? (int64_t)topic->ends_age_ms[at] : -1;
    int64_t committed_s = at < topic->committed_count && topic->committed_s[at] > 0 ? (int64_t)topic->committed_s[at] : -1;

    return json_pack("{s:o, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "topic", text_or_null(topic->topic_name), "topic_id", views_uuid(&topic->topic_id), "partition",
                     (json_int_t)topic->partitions[at], "committed", number_json(offset_at(topic->offsets, topic->offset_count, at)), "high_watermark",
                     number_json(offset_at(topic->high_watermarks, topic->high_watermark_count, at)), "lag", number_json(lag_at(topic, at)), "owner",
                     owner_json(group, topic->owners, topic->owner_count, at), "target", owner_json(group, topic->targets, topic->target_count, at),
                     "committed_at_ms", number_json(committed_s < 0 ? -1 : committed_s * 1000), "high_watermark_age_ms", number_json(age_ms));
}

static json_t *next_json(const struct message_group_describe_response *group)
{
    const struct message_group_partitions *last = group->topic_count == 0 ? NULL : &group->topics[group->topic_count - 1];

    if (!group->has_more || last == NULL || last->partition_count == 0) return json_null();
    return json_pack("{s:o, s:I}", "topic_id", views_uuid(&last->topic_id), "partition", (json_int_t)last->partitions[last->partition_count - 1]);
}

int view_group(const struct message_group_describe_response *group, struct buffer *to)
{
    json_t *offsets = json_array(), *root = row_json(&group->row), *rest;

    for (size_t i = 0; i < group->topic_count; i++)
        for (size_t j = 0; j < group->topics[i].partition_count; j++)
            offsets = views_append(offsets, partition_json(group, &group->topics[i], j));
    rest = json_pack("{s:o, s:o, s:o, s:o}", "coordinator", number_json(group->route.leader), "members", members_json(group), "offsets", offsets, "next", next_json(group));
    if (root == NULL || rest == NULL || json_object_update(root, rest) != 0) { /* what is a figure in a row is a list here */
        json_decref(root);
        root = NULL;
    }
    json_decref(rest);
    return views_print(root, to);
}

static json_t *topic_lag_json(const struct message_group_partitions *topic, int64_t *lag)
{
    int64_t unknown = 0, sum = 0;

    for (size_t i = 0; i < topic->partition_count; i++) {
        int64_t behind = lag_at(topic, i);

        unknown += behind < 0;
        sum += behind < 0 ? 0 : behind;
    }
    *lag += sum;
    return json_pack("{s:o, s:o, s:I, s:I, s:I}", "topic", text_or_null(topic->topic_name), "topic_id", views_uuid(&topic->topic_id), "lag", (json_int_t)sum, "partitions",
                     (json_int_t)topic->partition_count, "partitions_unknown", (json_int_t)unknown);
}

int view_group_lag(const struct message_group_describe_response *group, struct buffer *to)
{
    json_t *topics = json_array();
    int64_t lag = 0;

    for (size_t i = 0; i < group->topic_count; i++)
        topics = views_append(topics, topic_lag_json(&group->topics[i], &lag));
    return views_print(json_pack("{s:o, s:I, s:I, s:o, s:o}", "group", text_json(group->row.name), "lag", (json_int_t)lag, "age_ms", (json_int_t)group->age_ms, "topics", topics,
                                 "next", next_json(group)),
                       to);
}
