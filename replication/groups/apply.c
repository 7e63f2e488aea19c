/* The records that say what happened. Each is a fact that an honest leader found legal; here is checked again what would make two claimants
 * of one partition, or let somebody else's commit in. */
#include "replication/groups/state.h"
#include "replication/groups/switches.h"

#include "base/assert.h"

/* Where the state is being restored, what its images have not told yet is unknown, and will be told as it is then. */
static int unknown(const struct groups *groups)
{
    return groups->is_restoring ? 0 : MESH_ECORRUPT;
}

static int apply_created(struct groups *groups, uint32_t epoch, uint64_t lsn, const struct group_record *record)
{
    struct group *group;
    int err;

    if (groups_find(groups, record->group) != NULL) return MESH_ECORRUPT;
    err = state_add_group(groups, record->group, &group);
    if (err != 0) return err;
    group->protocol = record->protocol;
    group->empty_since_ms = record->time_ms;
    change_group(groups, group, epoch, lsn);
    return 0;
}

static int apply_joined(struct groups *groups, struct group *group, const struct group_record *record)
{
    const struct group_member *known = group_find_member(groups, group, record->info.id);
    struct group_member *member;
    int err;

    /* A group without members of the classic protocol becomes one of ours with its first member. */
    if (group_classic_count(group) > 0 && !groups->is_restoring) return MESH_ECORRUPT;
    group->protocol = GROUP_PROTOCOL_MESH;
    (void)state_set_classic(group, 0, slice_of(NULL, 0)); /* nothing needs memory */
    err = state_set_member(groups, group, &record->info, known != NULL ? known->joined_in : group->generation, &member);
    group->empty_since_ms = 0;
    return err;
}

/* Generations rise; the same one again tells of another life of a static member. */
static int apply_classic(struct groups *groups, struct group *group, const struct group_record *record)
{
    int err;

    if (!groups->is_restoring && (group_member_count(group) > 0 || record->generation < group->generation)) return MESH_ECORRUPT;
    err = state_set_classic(group, record->generation, record->classic);
    if (err != 0) return err;
    group->protocol = GROUP_PROTOCOL_CLASSIC;
    group->generation = record->generation;
    group->empty_since_ms = group_classic_count(group) > 0 ? 0 : record->time_ms;
    return 0;
}

static int apply_left(struct groups *groups, struct group *group, struct group_member *member, const struct group_record *record)
{
#ifdef MESH_TEST_SWITCHES
    if (GROUP_DEFECT(groups, CLAIMS_OUTLIVE_MEMBERS) && member->claims > 0) return 0;
#endif
    state_note_left(groups, group, record->member);
    state_drop_member(groups, member);
    state_tidy_lines(groups, group);
    if (group_member_count(group) == 0) group->empty_since_ms = record->time_ms;
    return 0;
}

/* numbers[i]: 1 + number of the member at place i of the record; 0 where a restored state does not know it. numbers[0] is nobody. */
static int resolve_members(const struct groups *groups, const struct group *group, const struct group_record *record, uint32_t *numbers)
{
    struct slice names = record->members, name;

    numbers[0] = 0;
    for (uint32_t i = 1; group_names_next(&names, &name); i++) {
        const struct group_member *member = group_find_member(groups, group, name);
        if (member == NULL && !groups->is_restoring) return MESH_ECORRUPT;
        numbers[i] = member == NULL ? 0 : member->number + 1;
    }
    return 0;
}

static void clear_targets(struct groups *groups, struct group *group)
{
    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line_slot_count(line) && line->slots->targets > 0; i++)
            state_set_target(groups, line, i, 0);
}

static int apply_assigned(struct groups *groups, struct group *group, const struct group_record *record)
{
    uint32_t numbers[GROUP_MEMBERS_MAX + 1];
    struct group_items_reader items = group_items_read(record);
    struct group_item item;
    int err = resolve_members(groups, group, record, numbers);

    if (err != 0) return err;
    if (record->generation <= group->generation) return MESH_ECORRUPT;
    group->generation = record->generation;
    group->strategy = record->strategy;
    clear_targets(groups, group);
    while (group_items_next(&items, &item)) {
        struct group_line *line;

        err = state_add_line(groups, group, &item.topic, &line);
        if (err == 0) err = state_grow_slots(line, item.partition + item.run);
        if (err != 0) return err;
        for (uint32_t i = 0; i < item.run; i++)
            state_set_target(groups, line, item.partition + i, numbers[item.target]);
    }
    state_tidy_lines(groups, group);
    return 0;
}

static int apply_claimed(struct groups *groups, struct group *group, struct group_member *member, const struct group_record *record)
{
    struct group_items_reader items = group_items_read(record);
    struct group_item item;

    if (record->generation != group->generation) return unknown(groups);
    while (group_items_next(&items, &item)) {
        struct group_line *line = state_find_line(groups, group, &item.topic);
        struct group_slot *slot = line == NULL || item.partition >= line_slot_count(line) ? NULL : &line->slots->of[item.partition];

        if (slot == NULL && groups->is_restoring) continue;
        if (slot == NULL || slot->target != member->number + 1) return MESH_ECORRUPT;
        /* A void claim of somebody else: leaders waited for no end of those once. */
        if (slot->owner != 0 && slot->owner != member->number + 1 && slot->claimed_in != CLAIM_VOID && !GROUP_DEFECT(groups, RELEASE_NOT_AWAITED)) return MESH_ECORRUPT;
        state_set_owner(groups, line, item.partition, member->number + 1, group->generation);
    }
    return 0;
}

static int apply_released(struct groups *groups, struct group *group, struct group_member *member, const struct group_record *record)
{
    struct group_items_reader items = group_items_read(record);
    struct group_item item;

    while (group_items_next(&items, &item)) {
        struct group_line *line = state_find_line(groups, group, &item.topic);

        if (line == NULL || item.partition >= line_slot_count(line) || line->slots->of[item.partition].owner != member->number + 1) {
            if (groups->is_restoring) continue;
            return MESH_ECORRUPT;
        }
        state_set_owner(groups, line, item.partition, 0, 0);
    }
    state_tidy_lines(groups, group);
    return 0;
}

/* The second look at a commit: the partition is the member's own, or nobody's where nobody in particular commits. */
static bool may_commit(const struct groups *groups, const struct group_line *line, uint32_t partition, const struct group_member *member)
{
    const struct group_slot *slot = line != NULL && partition < line_slot_count(line) ? &line->slots->of[partition] : NULL;

    if (groups->is_restoring || GROUP_DEFECT(groups, ZOMBIES_COMMIT)) return true;
    if (member == NULL) return slot == NULL || slot->owner == 0;
    return member->group->protocol == GROUP_PROTOCOL_CLASSIC || (slot != NULL && slot_is_claimed_by(slot, member->number));
}

/* Who claims it goes on from the new place, and only once it has claimed it again: what it had under way is not committed any more. */
static void end_claim(struct groups *groups, struct group_line *line, uint32_t partition)
{
    uint32_t owner = GROUP_DEFECT(groups, RESET_FREES) ? 0 : line->slots->of[partition].owner;

    state_set_owner(groups, line, partition, owner, CLAIM_VOID);
}

static int apply_offsets(struct groups *groups, struct group *group, struct group_member *member, uint32_t epoch, uint64_t lsn,
                         const struct group_record *record)
{
    struct group_items_reader items = group_items_read(record);
    struct group_line *line = NULL;
    struct group_item item;
    bool is_reset = record->kind == GROUP_RESET;
    int err = 0;

    while (err == 0 && group_items_next(&items, &item)) {
        if (line == NULL || !uuid_equal(&line->topic, &item.topic)) err = state_add_line(groups, group, &item.topic, &line);
        if (err != 0) return err;
        if (!is_reset && !may_commit(groups, line, item.partition, member)) return MESH_ECORRUPT;
        if (is_reset && item.partition < line_slot_count(line)) end_claim(groups, line, item.partition);
        item.version_epoch = epoch;
        item.version_lsn = lsn;
        item.committed_s = (uint32_t)(record->time_ms / 1000);
        if (GROUP_DEFECT(groups, LARGEST_OFFSET_WINS)) {
            const struct cell *cell = cell_table_find(&groups->cells, line->number, item.partition);
            if (cell != NULL && cell->offset > item.offset) continue;
        }
        err = state_set_cell(groups, line, &item);
        if (err == 0) change_cell(groups, line, item.partition);
    }
    if (is_reset) group->reset_epoch++;
    return err;
}

static int apply_cells_deleted(struct groups *groups, struct group *group, uint32_t epoch, uint64_t lsn, const struct group_record *record)
{
    struct group_items_reader items = group_items_read(record);
    struct group_item item;

    while (group_items_next(&items, &item)) {
        struct group_line *line = state_find_line(groups, group, &item.topic);

        if (line == NULL || cell_table_find(&groups->cells, line->number, item.partition) == NULL) continue;
        change_cell_gone(groups, line, item.partition, epoch, lsn);
        state_drop_cell(groups, line, item.partition);
    }
    state_tidy_lines(groups, group);
    return 0;
}

void apply_fence(struct groups *groups, uint32_t epoch, uint64_t lsn)
{
    for (struct group *group = state_next_group(groups, NULL); group != NULL; group = state_next_group(groups, group)) {
        group->generation += FENCE_STEP;
        change_group(groups, group, epoch, lsn);
        for (struct group_member *member = group_first_member(group); member != NULL; member = member->next)
            state_clear_claims(groups, member);
    }
}

/* Of one group; `member` is NULL where the record names none. */
static int apply_to_group(struct groups *groups, struct group *group, struct group_member *member, uint32_t epoch, uint64_t lsn,
                          const struct group_record *record)
{
    /* Claims and commits are the cells' and the members' matter: who looks at groups from afar is not told of them. */
    if (record->kind == GROUP_JOINED || record->kind == GROUP_LEFT || record->kind == GROUP_ASSIGNED || record->kind == GROUP_RESET ||
        record->kind == GROUP_CLASSIC)
        change_group(groups, group, epoch, lsn);
    switch (record->kind) {
    case GROUP_JOINED: return apply_joined(groups, group, record);
    case GROUP_LEFT: return apply_left(groups, group, member, record);
    case GROUP_CLASSIC: return apply_classic(groups, group, record);
    case GROUP_ASSIGNED: return apply_assigned(groups, group, record);
    case GROUP_CLAIMED: return apply_claimed(groups, group, member, record);
    case GROUP_RELEASED: return apply_released(groups, group, member, record);
    case GROUP_COMMITTED:
        if (GROUP_DEFECT(groups, OFFSETS_BY_CHECKPOINT)) return 0;
        return apply_offsets(groups, group, member, epoch, lsn, record);
    case GROUP_RESET: return apply_offsets(groups, group, NULL, epoch, lsn, record);
    case GROUP_CELLS_DELETED: return apply_cells_deleted(groups, group, epoch, lsn, record);
    case GROUP_DELETED:
        if (group_member_count(group) > 0) return unknown(groups);
        change_group_gone(groups, group, epoch, lsn);
        state_drop_group(groups, group);
        return 0;
    default: return MESH_ECORRUPT;
    }
}

static int apply(struct groups *groups, uint32_t epoch, uint64_t lsn, const struct group_record *record)
{
    struct group_member *member = NULL;
    struct group *group;

    if (record->kind >= GROUP_CHECKPOINT_BEGAN && record->kind != GROUP_CLASSIC) return restore_apply(groups, epoch, lsn, record);
    if (groups->is_passing) return 0;
    if (record->kind == GROUP_CREATED) return apply_created(groups, epoch, lsn, record);
    if (record->kind == GROUP_FENCED) {
        apply_fence(groups, epoch, lsn);
        if (record->losses > groups->losses) groups->losses = record->losses;
        return 0;
    }
    group = (struct group *)groups_find(groups, record->group);
    if (group == NULL) return unknown(groups);
    if (record->kind != GROUP_JOINED && record->kind != GROUP_RESET && record->member.size > 0) {
        member = (struct group_member *)group_find_member(groups, group, record->member);
        if (member == NULL) return unknown(groups);
    }
    return apply_to_group(groups, group, member, epoch, lsn, record);
}

int groups_apply(struct groups *groups, uint32_t epoch, uint64_t lsn, struct slice bytes)
{
    struct group_record record;
    int err = groups->broken;

    if (err == 0) err = group_record_decode(bytes, &record);
    if (err == 0 && lsn < groups->next_lsn) err = MESH_ECORRUPT;
    if (err == 0) err = apply(groups, epoch, lsn, &record);
    groups->broken = err;
    if (err == 0) groups->next_lsn = lsn + 1;
    return err;
}
