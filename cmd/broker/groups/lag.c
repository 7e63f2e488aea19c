#include "cmd/broker/groups/lag.h"

#include "cmd/broker/groups/groups_internal.h"
#include "cmd/broker/metadata/metadata.h"
#include "cmd/broker/spread/ends_tell.h"
#include "cmd/broker/spread/heard.h"
#include "replication/coordinator/image.h"

#include <stdlib.h>

/* A committed offset, on its way from a shard; the group's name lies in the names. */
struct lag_cell {
    struct uuid topic;
    uint32_t name_at, name_size, partition;
    uint64_t offset;
};

/* ---- on a shard ---- */

static void collect_group(const struct groups *state, const struct group *group, struct metrics_group_cells *to)
{
    struct group_view view = group_view_of(group);
    struct lag_cell cell = {.name_at = (uint32_t)to->names.size, .name_size = (uint32_t)view.name.size};
    struct group_cursor cursor = {0};
    struct group_offset offset;

    if (buffer_append(&to->names, view.name.data, view.name.size) != 0) {
        to->left_out += view.cell_count;
        return;
    }
    while (group_next_partition(state, group, &cursor, &cell.topic, &cell.partition)) {
        if (!group_committed(state, group, &cell.topic, cell.partition, &offset)) continue;
        cell.offset = offset.offset;
        if (buffer_append(&to->cells, &cell, sizeof(cell)) != 0) to->left_out++;
    }
}

void group_lag_collect(struct shard *shard, struct metrics_group_cells *ret_cells)
{
    *ret_cells = (struct metrics_group_cells){BUFFER_INIT, BUFFER_INIT, 0};
    list_for_each(node, &shard->groups.replicas)
    {
        const struct groups *state = container_of(node, struct group_replica, link)->part.state;

        for (const struct group *group = state == NULL ? NULL : groups_next(state, NULL); group != NULL; group = groups_next(state, group)) {
            uint32_t count = group_view_of(group).cell_count;

            if (ret_cells->cells.size / sizeof(struct lag_cell) + count > GROUP_LAG_CELLS_MAX)
                ret_cells->left_out += count;
            else
                collect_group(state, group, ret_cells);
        }
    }
}

/* ---- with the ends ---- */

struct join {
    const struct control *control;
    struct buffer rows; /* of struct group_lag */
    const struct image_topic *topic; /* of the last row; NULL: it is gone */
    uint64_t left_out;
};

static struct group_lag *last_row(const struct join *join)
{
    return join->rows.size == 0 ? NULL : (struct group_lag *)(void *)(join->rows.data + join->rows.size - sizeof(struct group_lag));
}

/* Cells come group by group, and topic by topic. What is of a topic that is gone is nobody's lag. */
static void add(struct join *join, struct slice group, const struct uuid *topic, uint32_t partition, uint64_t offset)
{
    struct group_lag *row = last_row(join);
    struct spread_end end;
    uint64_t age_ms;

    if (row == NULL || !uuid_equal(&row->topic, topic) || !slice_equal(slice_of_string(row->group), group)) {
        struct group_lag next = {.topic = *topic};

        join->topic = image_find_topic(metadata_image(join->control->metadata), topic);
        if (join->topic == NULL) return;
        memcpy(next.group, group.data, group.size);
        next.topic_name = join->topic->name;
        if (buffer_append(&join->rows, &next, sizeof(next)) != 0) {
            join->left_out++;
            return;
        }
        row = last_row(join);
    }
    if (!ends_find(join->control->spread, topic, partition, &end, &age_ms)) {
        row->unknown++;
        return;
    }
    if (end.high_watermark > offset) row->lag += end.high_watermark - offset;
    if (age_ms > row->age_ms) row->age_ms = age_ms;
}

static void add_shard(struct join *join, const struct metrics_group_cells *from)
{
    const struct lag_cell *cells = (const struct lag_cell *)(const void *)from->cells.data;

    for (size_t i = 0; i < from->cells.size / sizeof(cells[0]); i++)
        add(join, slice_of(from->names.data + cells[i].name_at, cells[i].name_size), &cells[i].topic, cells[i].partition, cells[i].offset);
    join->left_out += from->left_out;
}

static void add_heard(struct join *join)
{
    size_t count = 0;

    for (uint32_t i = 0; i < GROUP_PARTITIONS; i++) {
        uint64_t age_ms;
        const struct spread_cells *cells = heard_of(join->control->spread, i, &age_ms);

        for (const struct spread_group *group = cells == NULL ? NULL : spread_cells_next(cells, NULL); group != NULL; group = spread_cells_next(cells, group)) {
            struct spread_group_view view = spread_group_view_of(group);
            struct spread_cursor cursor = {NULL, 0};
            struct spread_row row;

            if (count + view.cell_count > GROUP_LAG_CELLS_MAX) {
                join->left_out += view.cell_count;
                continue;
            }
            count += view.cell_count;
            while (spread_group_next_cell(cells, group, &cursor, &row))
                add(join, view.name, &row.topic, row.partition, row.offset);
        }
    }
}

static int by_name(const void *a, const void *b)
{
    const struct group_lag *left = a, *right = b;
    int order = strcmp(left->group, right->group);

    return order != 0 ? order : strcmp(left->topic_name, right->topic_name);
}

void group_lags_of(const struct control *control, const struct metrics_set *set, struct group_lags *ret_lags)
{
    struct join join = {.control = control, .rows = BUFFER_INIT};

    for (size_t i = 0; i < set->shard_count; i++)
        add_shard(&join, &set->shards[i]->group_cells);
    add_heard(&join);
    *ret_lags = (struct group_lags){.rows = (struct group_lag *)(void *)join.rows.data, .count = join.rows.size / sizeof(struct group_lag), .left_out = join.left_out};
    if (ret_lags->count > 0) qsort(ret_lags->rows, ret_lags->count, sizeof(ret_lags->rows[0]), by_name);
    if (ret_lags->count <= GROUP_LAG_ROWS_MAX) return;
    ret_lags->left_out += ret_lags->count - GROUP_LAG_ROWS_MAX;
    ret_lags->count = GROUP_LAG_ROWS_MAX;
}

void group_lags_deinit(struct group_lags *lags)
{
    free(lags->rows);
    *lags = (struct group_lags){.rows = NULL};
}
