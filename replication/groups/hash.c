/* Hashes that do not depend on numbers, nor on the order in which things came: sums of what each part hashes to. */
#include "replication/groups/state.h"

struct hashed_slot {
    uint64_t target, owner; /* hashes of ids */
    uint32_t partition, claimed_in;
};

static uint64_t member_id_hash(const struct groups *groups, uint32_t number_plus_1)
{
    return number_plus_1 == 0 ? 0 : group_member_of_number(groups, number_plus_1)->node.hash;
}

static uint64_t line_hash(const struct groups *groups, const struct group_line *line)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < line_slot_count(line); i++) {
        const struct group_slot *slot = &line->slots->of[i];
        struct hashed_slot hashed = {member_id_hash(groups, slot->target), member_id_hash(groups, slot->owner), i, slot->claimed_in};

        if (slot->target != 0 || slot->owner != 0) sum += map_hash_bytes(&hashed, sizeof(hashed));
    }
    return sum == 0 ? 0 : sum * 31 + map_hash_bytes(line->topic.bytes, UUID_SIZE);
}

uint64_t state_group_hash(const struct groups *groups, const struct group *group)
{
    uint64_t fields[] = {group_hash(group), group->protocol, group->strategy, group->generation, group->reset_epoch, group->empty_since_ms};
    uint64_t sum = map_hash_bytes(fields, sizeof(fields));

    if (group->life != NULL && group->life->classic.size > 0)
        sum += map_hash_bytes(group->life->classic.data, group->life->classic.size) + group->life->classic_generation;
    for (const struct group_member *member = group_first_member(group); member != NULL; member = member->next)
        sum += map_hash_bytes(member->bytes.data, member->bytes.size);
    for (const struct group_line *line = group->lines; line != NULL; line = line->next)
        sum += line_hash(groups, line);
    return sum;
}

uint64_t state_cells_hash(const struct groups *groups, const struct group *group)
{
    uint64_t sum = 0;

    for (const struct group_line *line = group->lines; line != NULL; line = line->next) {
        uint64_t seed = map_hash_bytes(line->topic.bytes, UUID_SIZE) + group_hash(group) * 31;
        uint32_t left = line->cell_count;

        for (uint32_t partition = 0; left > 0; partition++) {
            const struct cell *cell = cell_table_find(&groups->cells, line->number, partition);
            struct slice metadata;
            uint64_t fields[8];

            if (cell == NULL) continue;
            left--;
            metadata = state_metadata(groups, line, partition);
            memcpy(fields, (const uint64_t[]){seed, partition, cell->offset, cell->version_epoch, cell->version_lsn, (uint32_t)cell->record_epoch,
                                              cell->committed_s, map_hash_bytes(metadata.data, metadata.size)},
                   sizeof(fields));
            sum += map_hash_bytes(fields, sizeof(fields));
        }
    }
    return sum;
}

uint64_t groups_hash(const struct groups *groups)
{
    uint64_t sum = 0;

    for (const struct group *group = groups_next(groups, NULL); group != NULL; group = groups_next(groups, group))
        sum += state_group_hash(groups, group) + state_cells_hash(groups, group);
    return sum;
}
