#include "base/assert.h"
#include "replication/groups/classic_image.h"
#include "replication/groups/state.h"
#include "replication/groups/switches.h"

#include <stdlib.h>

uint32_t group_partition_of(struct slice name)
{
    return (uint32_t)(map_hash_bytes(name.data, name.size) % GROUP_PARTITIONS);
}

int groups_new(uint64_t log_start, struct groups **ret_groups)
{
    struct groups *groups = calloc(1, sizeof(*groups));

    if (groups == NULL) return MESH_ENOMEM;
    cell_table_init(&groups->cells);
    groups->next_lsn = log_start;
    groups->is_passing = log_start > 0;
    groups->is_restoring = log_start > 0;
    *ret_groups = groups;
    return 0;
}

/* Not by taking it apart: after an error it may be half of something. */
void groups_free(struct groups *groups)
{
    if (groups == NULL) return;
    for (uint32_t i = 0; i < groups->member_numbers.top; i++) {
        struct group_member *member = group_numbered(&groups->member_numbers, i);
        if (member != NULL) buffer_deinit(&member->bytes);
        free(member);
    }
    for (uint32_t i = 0; i < groups->line_top; i++)
        if (group_line_of_number(groups, i)->group != NULL) free(group_line_of_number(groups, i)->slots);
    for (uint32_t i = 0; i < groups->line_page_count; i++)
        free(groups->line_pages[i]);
    free(groups->line_pages);
    for (uint32_t i = 0; i < groups->group_numbers.top; i++) {
        struct group *group = group_numbered(&groups->group_numbers, i);
        if (group != NULL && group->life != NULL) buffer_deinit(&group->life->classic);
        if (group != NULL) free(group->life);
        free(group);
    }
    change_log_free(groups);
    free(groups->group_numbers.things);
    free(groups->member_numbers.things);
    number_index_deinit(&groups->group_index);
    number_index_deinit(&groups->line_index);
    map_deinit(&groups->members);
    cell_table_deinit(&groups->cells);
    free(groups);
}

#ifdef MESH_TEST_SWITCHES
void groups_bring_back(struct groups *groups, enum group_defect defect)
{
    groups->defects = defect == GROUP_DEFECT_NONE ? 0 : groups->defects | 1ull << defect;
}
#endif

uint32_t groups_losses(const struct groups *groups)
{
    return groups->losses;
}

uint64_t groups_next_lsn(const struct groups *groups)
{
    return groups->next_lsn;
}

bool groups_is_whole(const struct groups *groups)
{
    return !groups->is_restoring && groups->broken == 0;
}

bool groups_log_may_start(const struct groups *groups, uint64_t *ret_start, uint64_t *ret_end)
{
    if (!groups->has_log_start) return false;
    *ret_start = groups->log_start;
    *ret_end = groups->log_start_end;
    return true;
}

size_t groups_count(const struct groups *groups)
{
    return groups->group_numbers.count;
}

const struct group *groups_next(const struct groups *groups, const struct group *group)
{
    uint32_t place = group == NULL ? 0 : group->number + 1;

    return groups_next_at(groups, &place);
}

struct group_view group_view_of(const struct group *group)
{
    return (struct group_view){.name = group_name(group),
                               .protocol = group->protocol,
                               .strategy = group->strategy,
                               .generation = group->generation,
                               .reset_epoch = group->reset_epoch,
                               .empty_since_ms = group->empty_since_ms,
                               .member_count = group_member_count(group) + group_classic_count(group),
                               .topic_count = group->line_count,
                               .cell_count = group->cell_count};
}

struct slice group_classic_type(const struct group *group)
{
    struct classic_image image;

    if (group_classic_count(group) == 0) return slice_of(NULL, 0);
    MESH_ASSERT(classic_image_read(buffer_slice(&group->life->classic), &image) == 0); /* it was read when it was applied */
    return image.protocol_type;
}

const struct group_member *group_next_member(const struct group *group, const struct group_member *member)
{
    return member == NULL ? group_first_member(group) : member->next;
}

struct group_member_view group_member_view_of(const struct group_member *member)
{
    return (struct group_member_view){member->info, member->joined_in, member->targets, member->claims};
}

bool group_committed(const struct groups *groups, const struct group *group, const struct uuid *topic, uint32_t partition, struct group_offset *ret_offset)
{
    const struct group_line *line = state_find_line(groups, group, topic);
    const struct cell *cell = line == NULL ? NULL : cell_table_find(&groups->cells, line->number, partition);

    if (cell == NULL) return false;
    *ret_offset = (struct group_offset){cell->offset, cell->version_epoch, cell->version_lsn, cell->record_epoch, cell->committed_s,
                                         state_metadata(groups, line, partition)};
    return true;
}

struct group_claim_view group_claim_of(const struct groups *groups, const struct group *group, const struct uuid *topic, uint32_t partition)
{
    const struct group_line *line = state_find_line(groups, group, topic);
    const struct group_slot *slot = line == NULL || partition >= line_slot_count(line) ? NULL : &line->slots->of[partition];

    if (slot == NULL) return (struct group_claim_view){NULL, NULL, 0};
    return (struct group_claim_view){group_member_of_number(groups, slot->target), group_member_of_number(groups, slot->owner), slot->claimed_in};
}

bool group_next_partition(const struct groups *groups, const struct group *group, struct group_cursor *cursor, struct uuid *ret_topic, uint32_t *ret_partition)
{
    const struct group_line *line = cursor->line == NULL ? group->lines : cursor->line;

    for (; line != NULL; line = line->next, cursor->partition = 0) {
        uint32_t end = line_slot_count(line) > line->partition_end ? line_slot_count(line) : line->partition_end;

        for (; cursor->partition < end; cursor->partition++) {
            uint32_t partition = cursor->partition;
            bool has_slot = partition < line_slot_count(line) && (line->slots->of[partition].target != 0 || line->slots->of[partition].owner != 0);

            if (!has_slot && cell_table_find(&groups->cells, line->number, partition) == NULL) continue;
            cursor->line = line;
            cursor->partition++;
            *ret_topic = line->topic;
            *ret_partition = partition;
            return true;
        }
    }
    return false;
}

size_t groups_member_count(const struct groups *groups)
{
    return groups->members.count;
}

size_t groups_offset_count(const struct groups *groups)
{
    return groups->cells.count;
}

size_t groups_offset_bytes(const struct groups *groups)
{
    return cell_table_bytes(&groups->cells);
}
