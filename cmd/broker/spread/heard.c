#include "cmd/broker/spread/heard.h"

#include "base/error.h"
#include "cmd/broker/groups/describe.h"
#include "cmd/broker/groups/serve_internal.h"
#include "cmd/broker/spread/spread_internal.h"

const struct spread_cells *heard_of(const struct spread *spread, uint32_t partition, uint64_t *ret_age_ms)
{
    if (spread == NULL || partition >= GROUP_PARTITIONS || spread->here_ms[partition] != 0) return NULL; /* a replica knows better */
    *ret_age_ms = spread_feed_age_ms(spread->feed, spread_now_ms(spread), partition);
    return spread_feed_cells(spread->feed, partition);
}

static uint32_t topics_of(const struct spread_cells *cells, const struct spread_group *group)
{
    struct spread_cursor cursor = {NULL, 0};
    const void *line = NULL;
    struct spread_row row;
    uint32_t count = 0;

    while (spread_group_next_cell(cells, group, &cursor, &row)) {
        count += cursor.line != line;
        line = cursor.line;
    }
    return count;
}

struct message_group_row heard_row_of(const struct spread_cells *cells, const struct spread_group *group, uint32_t partition, uint64_t age_ms)
{
    struct spread_group_view view = spread_group_view_of(group);

    return (struct message_group_row){
        .name = view.name,
        .state = view.member_count == 0 ? MESSAGE_GROUP_EMPTY : MESSAGE_GROUP_STABLE,
        .protocol = view.protocol,
        .generation = view.generation,
        .reset_epoch = view.reset_epoch,
        .member_count = view.member_count,
        .topic_count = topics_of(cells, group),
        .cell_count = view.cell_count,
        .partition = partition,
        .empty_since_ms = view.empty_since_ms,
        .age_ms = age_ms,
    };
}

static struct group_offset offset_of(const struct spread_row *row)
{
    return (struct group_offset){row->offset, row->version.epoch, row->version.lsn, row->record_epoch, row->time_s, row->metadata};
}

static bool is_after(const struct message_group_describe *request, const struct spread_row *row, bool *is_behind)
{
    if (*is_behind || uuid_is_zero(&request->after_topic)) return true;
    *is_behind = uuid_equal(&row->topic, &request->after_topic) && (int64_t)row->partition == request->after_partition;
    return false;
}

static int describe_offsets(const struct spread_cells *cells, const struct spread_group *group, const struct message_group_describe *request,
                            struct message_group_describe_response *response)
{
    uint32_t limit = request->limit == 0 || request->limit > GROUPS_DESCRIBE_LIMIT ? GROUPS_DESCRIBE_LIMIT : request->limit;
    struct groups_lists lists = {.topics = NULL};
    struct spread_cursor cursor = {NULL, 0};
    bool is_behind = false;
    struct spread_row row;

    while (!response->has_more && spread_group_next_cell(cells, group, &cursor, &row)) {
        struct group_offset offset = offset_of(&row);

        if (!is_after(request, &row, &is_behind)) continue;
        response->has_more = lists.partition_count == limit;
        if (!response->has_more) groups_list_add_described(&lists, &row.topic, row.partition, &offset, -1, -1);
    }
    response->topics = lists.topics;
    response->topic_count = lists.count;
    return lists.has_failed ? MESH_ENOMEM : 0;
}

int heard_describe(const struct spread *spread, const struct message_group_describe *request, struct message_group_describe_response *ret_response)
{
    struct message_group_describe_response response = {.route = {.leader = -1, .epoch = -1}, .source = MESSAGE_GROUP_FROM_CACHE};
    uint32_t number = group_partition_of(request->head.group);
    const struct spread_cells *cells = heard_of(spread, number, &response.age_ms);
    const struct spread_group *group = cells == NULL ? NULL : spread_cells_find(cells, request->head.group);
    int err;

    if (group == NULL) return MESH_ENOTFOUND;
    response.row = heard_row_of(cells, group, number, response.age_ms);
    err = describe_offsets(cells, group, request, &response);
    if (err == 0) *ret_response = response;
    else message_deinit_group_describe_response(&response);
    return err;
}

/* ---- offsets ---- */

/* False: one message does not take them all. */
static bool list_all(const struct spread_cells *cells, const struct spread_group *group, struct groups_lists *lists)
{
    struct spread_cursor cursor = {NULL, 0};
    size_t metadata_bytes = 0;
    struct spread_row row;

    while (spread_group_next_cell(cells, group, &cursor, &row)) {
        struct group_offset offset = offset_of(&row);

        metadata_bytes += row.metadata.size;
        if (lists->partition_count >= GROUPS_OFFSETS_MAX || metadata_bytes > GROUPS_METADATA_BYTES_MAX) return false;
        groups_list_add_offset(lists, &row.topic, row.partition, &offset);
    }
    return true;
}

/* False: no message takes them all, and leaving some out would say that there is none. */
static bool list_asked(const struct spread_cells *cells, const struct spread_group *group, const struct message_group_offsets *request, struct groups_lists *lists)
{
    size_t metadata_bytes = 0;
    struct spread_row row;

    for (size_t i = 0; i < request->topic_count; i++) {
        const struct message_group_partitions *topic = &request->topics[i];

        for (size_t j = 0; j < topic->partition_count; j++) {
            struct group_offset offset;

            if (!spread_group_committed(cells, group, &topic->topic_id, topic->partitions[j], &row)) continue;
            metadata_bytes += row.metadata.size;
            if (lists->partition_count >= GROUPS_OFFSETS_MAX || metadata_bytes > GROUPS_METADATA_BYTES_MAX) return false;
            offset = offset_of(&row);
            groups_list_add_offset(lists, &topic->topic_id, topic->partitions[j], &offset);
        }
    }
    return true;
}

int heard_offsets(const struct spread *spread, struct slice message, struct buffer *to)
{
    struct message_group_response response = {.route = {.leader = -1, .epoch = -1}};
    struct groups_lists lists = {.topics = NULL};
    const struct spread_group *group = NULL;
    const struct spread_cells *cells;
    struct message_group_offsets request;
    int err = message_decode_group_offsets(message, &request);

    if (err != 0) return err;
    cells = heard_of(spread, group_partition_of(request.head.group), &response.age_ms);
    if (cells != NULL) group = spread_cells_find(cells, request.head.group);
    if (group == NULL) {
        message_deinit_group_offsets(&request);
        return MESH_ENOTFOUND;
    }
    response.generation = spread_group_view_of(group).generation;
    response.reset_epoch = spread_group_view_of(group).reset_epoch;
    if (request.topic_count > 0) err = list_asked(cells, group, &request, &lists) ? 0 : MESH_ETOOLARGE;
    else response.has_more = !list_all(cells, group, &lists);
    response.topics = lists.topics;
    response.topic_count = lists.count;
    if (err == 0) err = lists.has_failed ? MESH_ENOMEM : message_encode_group_response(to, &response);
    groups_lists_deinit(&lists);
    message_deinit_group_offsets(&request);
    return err;
}
