#include "replication/spread/collect.h"

struct spread_row spread_row_of_cell(const struct group *group, const struct uuid *topic, uint32_t partition, const struct group_offset *offset)
{
    return (struct spread_row){.kind = SPREAD_CELL, .group = group_view_of(group).name, .version = {offset->version_epoch, offset->version_lsn},
                               .time_s = offset->committed_s, .topic = *topic, .partition = partition, .offset = offset->offset,
                               .record_epoch = offset->record_epoch, .metadata = offset->metadata};
}

struct spread_row spread_row_of_group(const struct group *group)
{
    struct group_view view = group_view_of(group);
    struct spread_row row = {.kind = SPREAD_GROUP, .group = view.name, .protocol = view.protocol, .generation = view.generation,
                             .reset_epoch = view.reset_epoch, .member_count = view.member_count, .empty_since_ms = view.empty_since_ms};

    group_changed_at(group, &row.version.epoch, &row.version.lsn);
    return row;
}

static struct spread_row row_of_change(const struct groups_change *change, uint32_t wall_s)
{
    struct spread_row row = {.group = change->name, .version = {change->epoch, change->lsn}, .time_s = wall_s, .topic = change->topic,
                             .partition = change->partition};

    switch (change->kind) {
    case GROUPS_CHANGE_CELL: return spread_row_of_cell(change->group, &change->topic, change->partition, &change->offset);
    case GROUPS_CHANGE_GROUP: return spread_row_of_group(change->group);
    case GROUPS_CHANGE_CELL_GONE: row.kind = SPREAD_CELL_GONE; break;
    case GROUPS_CHANGE_GROUP_GONE: row.kind = SPREAD_GROUP_GONE; break;
    }
    return row;
}

void spread_collect_changes(struct groups *groups, uint64_t high_watermark, uint32_t wall_s, struct buffer *committed, struct buffer *others, bool *ret_has_more,
                            bool *ret_has_gap)
{
    struct spread_rows_writer below = spread_rows_write(committed), behind = spread_rows_write(others);
    size_t committed_size = committed->size, others_size = others->size;
    struct groups_change change;
    bool has_more = true;

    while (committed->size - committed_size + others->size - others_size < SPREAD_COLLECT_BYTES &&
           (has_more = groups_next_change(groups, UINT64_MAX, &change))) {
        struct spread_row row = row_of_change(&change, wall_s);
        spread_rows_put(row.version.lsn < high_watermark ? &below : &behind, &row);
    }
    *ret_has_gap = groups_changes_lost(groups) || below.writer.error != 0 || behind.writer.error != 0;
    *ret_has_more = has_more && !*ret_has_gap;
    if (!*ret_has_gap) return;
    committed->size = committed_size;
    others->size = others_size;
}

int spread_collect_piece(const struct groups *groups, uint64_t high_watermark, struct spread_walk *walk, struct buffer *to, bool *ret_is_last)
{
    struct spread_rows_writer writer = spread_rows_write(to);
    size_t size = to->size;
    struct group_cell_view cell;
    const struct group *group;
    struct spread_row row;

    while (!walk->has_groups && to->size - size < SPREAD_PIECE_BYTES) {
        group = groups_next_at(groups, &walk->group);
        walk->has_groups = group == NULL;
        if (group == NULL) break;
        row = spread_row_of_group(group);
        if (row.version.lsn < high_watermark) spread_rows_put(&writer, &row);
    }
    *ret_is_last = false;
    while (walk->has_groups && to->size - size < SPREAD_PIECE_BYTES && !*ret_is_last) {
        *ret_is_last = !groups_next_cell(groups, &walk->cell, &cell);
        if (*ret_is_last || cell.offset.version_lsn >= high_watermark) continue;
        row = spread_row_of_cell(cell.group, &cell.topic, cell.partition, &cell.offset);
        spread_rows_put(&writer, &row);
    }
    return writer.writer.error;
}
