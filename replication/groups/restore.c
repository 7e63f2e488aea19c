/* Checkpoints: a log that starts at one tells the whole state, though other records lie between its pieces.
 *
 * Each piece is the truth at its own place. Until the piece of something has come, records about it are passed over; what begins after
 * the checkpoint's beginning has all its records. A replica that has the state already compares it with the pieces instead: who differs stops. */
#include "replication/groups/state.h"
#include "replication/groups/switches.h"

static int apply_began(struct groups *groups, uint64_t lsn, uint32_t losses)
{
    if (losses > groups->losses) groups->losses = losses;
    /* Another one that was never finished lies before the one that the log may start at. */
    if (groups->is_restoring && !groups->is_passing) state_drop_all(groups);
    groups->is_passing = false;
    groups->is_checkpointing = true;
    groups->checkpoint++;
    groups->checkpoint_lsn = lsn;
    return 0;
}

static int apply_image(struct groups *groups, uint32_t epoch, uint64_t lsn, const struct group_record *record)
{
    struct group *group = (struct group *)groups_find(groups, record->group);
    int err;

    if (!groups->is_restoring) {
        bool is_equal = group != NULL && group->protocol == record->protocol && group->strategy == record->strategy &&
                        group->generation == record->generation && group->reset_epoch == record->reset_epoch &&
                        group->empty_since_ms == record->time_ms && state_group_hash(groups, group) == record->hash;
        return is_equal ? 0 : MESH_ECORRUPT;
    }
    if (group != NULL) state_drop_group(groups, group);
    err = state_add_group(groups, record->group, &group);
    if (err != 0) return err;
    group->protocol = record->protocol;
    group->strategy = record->strategy;
    group->generation = record->generation;
    group->reset_epoch = record->reset_epoch;
    group->empty_since_ms = record->time_ms;
    change_group(groups, group, epoch, lsn);
    return 0;
}

static int apply_image_topic(struct groups *groups, struct group *group, const struct group_record *record)
{
    uint32_t numbers[GROUP_MEMBERS_MAX + 1] = {0};
    struct group_items_reader items = group_items_read(record);
    struct slice names = record->members, name;
    struct group_line *line;
    struct group_item item;
    int err = state_add_line(groups, group, &record->topic, &line);

    if (err != 0) return err;
    for (uint32_t i = 1; group_names_next(&names, &name); i++) {
        const struct group_member *member = group_find_member(groups, group, name);
        if (member == NULL) return MESH_ECORRUPT; /* the members' pieces come first, and nothing between */
        numbers[i] = member->number + 1;
    }
    while (group_items_next(&items, &item)) {
        err = state_grow_slots(line, item.partition + item.run);
        if (err != 0) return err;
        if (item.target == 0 && item.owner == 0) continue; /* or another piece told of them */
        for (uint32_t i = item.partition; i < item.partition + item.run; i++) {
            state_set_target(groups, line, i, numbers[item.target]);
            state_set_owner(groups, line, i, numbers[item.owner], item.claimed_in);
        }
    }
    return 0;
}

static bool is_equal_cell(const struct groups *groups, const struct group_line *line, const struct group_item *item)
{
    const struct cell *cell = line == NULL ? NULL : cell_table_find(&groups->cells, line->number, item->partition);

    return cell != NULL && cell->offset == item->offset && cell->record_epoch == item->record_epoch && cell->version_epoch == item->version_epoch &&
           cell->version_lsn == item->version_lsn && cell->committed_s == item->committed_s && slice_equal(state_metadata(groups, line, item->partition), item->metadata);
}

static int apply_image_cells(struct groups *groups, struct group *group, const struct group_record *record)
{
    struct group_items_reader items = group_items_read(record);
    struct group_item item;
    int err = 0;

    while (err == 0 && group_items_next(&items, &item)) {
        struct group_line *line = state_find_line(groups, group, &item.topic);

        if (groups->is_restoring || GROUP_DEFECT(groups, OFFSETS_BY_CHECKPOINT)) {
            if (line == NULL) err = state_add_line(groups, group, &item.topic, &line);
            if (err == 0) err = state_set_cell(groups, line, &item);
        } else if (!is_equal_cell(groups, line, &item)) {
            err = MESH_ECORRUPT;
        }
    }
    return err;
}

static int apply_ended(struct groups *groups, uint64_t lsn, const struct group_record *record)
{
    if (!groups->is_checkpointing || record->hash != groups_count(groups)) return MESH_ECORRUPT;
    groups->is_checkpointing = false;
    groups->is_restoring = false;
    groups->has_log_start = true;
    groups->log_start = groups->checkpoint_lsn;
    groups->log_start_end = lsn + 1;
    return 0;
}

/* What its leader could not know nobody can: all others forget what they have, too, and begin at its next checkpoint. */
static int apply_salvaged(struct groups *groups, uint32_t epoch, uint64_t lsn)
{
    bool is_own = groups->is_salvaging;

    groups->is_salvaging = false;
    groups->is_checkpointing = false;
    groups->has_log_start = false;
    groups->is_passing = groups->is_restoring = !is_own;
    if (is_own)
        apply_fence(groups, epoch, lsn);
    else
        state_drop_all(groups);
    return 0;
}

int restore_apply(struct groups *groups, uint32_t epoch, uint64_t lsn, const struct group_record *record)
{
    struct group_member *member;
    struct group *group;

    if (record->kind == GROUP_CHECKPOINT_BEGAN) return apply_began(groups, lsn, record->losses);
    if (record->kind == GROUP_SALVAGED && record->losses > groups->losses) groups->losses = record->losses;
    if (record->kind == GROUP_SALVAGED) return apply_salvaged(groups, epoch, lsn);
    if (groups->is_passing) return 0;
    if (record->kind == GROUP_CHECKPOINT_ENDED) return apply_ended(groups, lsn, record);
    if (record->kind == GROUP_IMAGE) return apply_image(groups, epoch, lsn, record);
    group = (struct group *)groups_find(groups, record->group);
    if (group == NULL) return MESH_ECORRUPT;
    if (record->kind == GROUP_IMAGE_CELLS) return apply_image_cells(groups, group, record);
    if (!groups->is_restoring) return 0; /* the image's hash has spoken for members and topics */
    if (record->kind == GROUP_IMAGE_TOPIC) return apply_image_topic(groups, group, record);
    if (record->kind == GROUP_IMAGE_CLASSIC) return state_set_classic(group, record->generation, record->classic);
    return state_set_member(groups, group, &record->info, record->generation, &member);
}
