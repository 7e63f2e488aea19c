/* Claims, releases, and commits: who may do what with which partition. */
#include "replication/groups/lead_internal.h"

static struct group_slot *find_slot(const struct group_lead *lead, const struct group *group, const struct uuid *topic, uint32_t partition)
{
    struct group_line *line = state_find_line(lead->groups, group, topic);

    return line == NULL || partition >= line_slot_count(line) ? NULL : &line->slots->of[partition];
}

static int judge_claim(const struct group_lead *lead, const struct group_member *member, const struct group_claim *claim)
{
    const struct group_slot *slot = find_slot(lead, member->group, &claim->topic, claim->partition);

    if (slot == NULL || slot->target != member->number + 1) return MESH_ENOT_OWNER;
    if (GROUP_DEFECT(lead->groups, RELEASE_NOT_AWAITED)) return 0;
    return slot->owner == 0 || slot->owner == member->number + 1 ? 0 : MESH_EBUSY;
}

/* Where the list gets long, what it says so far becomes a record, and the next one begins. */
static int spill(struct group_lead *lead, struct group_record *record, struct group_items_writer *writer)
{
    int err;

    if (lead->items.size < LEAD_ITEMS_BYTES) return 0;
    err = lead_emit_items(lead, record, writer);
    *writer = lead_items(lead, writer->form);
    return err;
}

static void tell_offset(const struct group_lead *lead, const struct group *group, struct group_claim *claim)
{
    struct group_offset committed;

    claim->offset = GROUP_OFFSET_NONE;
    claim->record_epoch = -1;
    if (!group_committed(lead->groups, group, &claim->topic, claim->partition, &committed)) return;
    claim->offset = committed.offset;
    claim->record_epoch = committed.record_epoch;
}

int group_lead_claim(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, uint32_t generation, struct group_claim *claims, size_t count,
                     struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_CLAIMED, .group = caller->group, .member = caller->member};
    struct group_items_writer writer;
    struct group_member *member;
    int err = lead_find_changer(lead, caller, &member);

    if (err != 0) return err;
    lead_heard(lead, member, now_ms);
    if (generation != member->group->generation) return MESH_ESTALE_GENERATION;
    record.generation = generation;
    writer = lead_items(lead, GROUP_ITEMS_PLAIN);
    for (size_t i = 0; i < count && err == 0; i++) {
        claims[i].error = judge_claim(lead, member, &claims[i]);
        if (claims[i].error != 0) continue;
        if (!slot_is_claimed_by(find_slot(lead, member->group, &claims[i].topic, claims[i].partition), member->number))
            group_items_put(&writer, &(struct group_item){.topic = claims[i].topic, .partition = claims[i].partition});
        tell_offset(lead, member->group, &claims[i]);
        err = spill(lead, &record, &writer);
    }
    if (err == 0) err = lead_emit_items(lead, &record, &writer);
    if (err != 0) return err;
    lead_reply(lead, member->group, ret_reply);
    ret_reply->has_work = lead_has_work(lead, member);
    return 0;
}

int group_lead_release(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, struct group_claim *claims, size_t count,
                       struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_RELEASED, .group = caller->group, .member = caller->member};
    struct group_items_writer writer;
    struct group_member *member;
    int err = lead_find_changer(lead, caller, &member);

    if (err != 0) return err;
    lead_heard(lead, member, now_ms);
    /* One record each: the same partition may be named twice, and is released once. */
    for (size_t i = 0; i < count && err == 0; i++) {
        const struct group_slot *slot = find_slot(lead, member->group, &claims[i].topic, claims[i].partition);

        claims[i].error = slot != NULL && slot->owner == member->number + 1 ? 0 : MESH_ENOT_OWNER;
        if (claims[i].error != 0) continue;
        writer = lead_items(lead, GROUP_ITEMS_PLAIN);
        group_items_put(&writer, &(struct group_item){.topic = claims[i].topic, .partition = claims[i].partition});
        err = lead_emit_items(lead, &record, &writer);
    }
    if (err != 0) return err;
    lead_reply(lead, member->group, ret_reply);
    ret_reply->has_work = lead_has_work(lead, member);
    return 0;
}

/* ---- commits ---- */

struct committer {
    const struct group *group;
    const struct group_member *member; /* NULL: nobody in particular */
    uint32_t generation;
    const struct group_line *line; /* of the topic that was looked up last, or NULL */
    struct group_topic topic;      /* likewise */
    bool has_topic, is_known;
};

static void look_up(const struct group_lead *lead, struct committer *committer, const struct uuid *topic)
{
    if (committer->has_topic && uuid_equal(&committer->topic.id, topic)) return;
    committer->has_topic = true;
    committer->is_known = lead->catalog->find(lead->catalog->arg, topic, &committer->topic);
    committer->topic.id = *topic;
    committer->line = committer->group == NULL ? NULL : state_find_line(lead->groups, committer->group, topic);
}

/* Whether it is an offset that somebody could commit. */
static int judge_cell(const struct group_lead *lead, const struct committer *committer, const struct group_commit_cell *cell)
{
    const struct group_catalog *catalog = lead->catalog;
    uint64_t end;

    if (!committer->is_known || cell->partition >= committer->topic.partition_count || cell->partition >= GROUP_ITEMS_MAX) return MESH_EUNKNOWN_TOPIC;
    if (cell->metadata.size > lead->limits.metadata_size_max || cell->metadata.size > GROUP_METADATA_SIZE_MAX) return MESH_EMETADATA_TOO_LARGE;
    if (cell->record_epoch < -1) return MESH_EINVAL;
    if (cell->offset > GROUP_OFFSET_MAX) return MESH_EOFFSET_OUT_OF_RANGE;
    if (cell->may_pass_end) return 0;
    end = catalog->log_end == NULL ? GROUP_LOG_END_UNKNOWN : catalog->log_end(catalog->arg, &cell->topic, cell->partition);
    return cell->offset > end ? MESH_EOFFSET_OUT_OF_RANGE : 0;
}

/* Whether it is this committer's (PROTOCOLS 2.5.2): claimed by it, and not claimed again since the generation that it knows. */
static int judge_right(const struct group_lead *lead, const struct committer *committer, uint32_t partition)
{
    const struct group_slot *slot = committer->line != NULL && partition < line_slot_count(committer->line) ? &committer->line->slots->of[partition] : NULL;
    uint32_t owner = slot == NULL ? 0 : slot->owner;

    (void)lead; /* but for its switches */
    if (GROUP_DEFECT(lead->groups, ZOMBIES_COMMIT)) return 0;
    if (committer->member == NULL) return owner == 0 ? 0 : MESH_ENOT_OWNER;
    if (committer->group->protocol == GROUP_PROTOCOL_CLASSIC) return 0; /* the generation has spoken */
    if (slot == NULL || !slot_is_claimed_by(slot, committer->member->number)) return MESH_ENOT_OWNER;
    return slot->claimed_in > committer->generation ? MESH_ESTALE_GENERATION : 0;
}

/* Where no more offsets are taken, those that are known go on. */
static bool has_room(const struct group_lead *lead, const struct committer *committer, uint32_t partition)
{
    if (lead->groups->cells.count < lead->limits.cells_max) return true;
    return committer->line != NULL && cell_table_find(&lead->groups->cells, committer->line->number, partition) != NULL;
}

/* A consumer outside of groups. What it commits first makes the group; what is all refused makes none. */
static int find_nobody(struct group_lead *lead, uint64_t wall_ms, const struct group_commit *commit, struct committer *committer)
{
    const struct group *group = groups_find(lead->groups, commit->caller.group);
    struct group *added;
    bool is_good = false;
    int err = group_name_check(commit->caller.group);

    if (err != 0) return err;
    if (commit->generation != GROUP_GENERATION_NONE) return MESH_ESTALE_GENERATION;
    if (group != NULL && group_member_count(group) + (classic_judges(lead, commit->caller.group) ? 0 : group_classic_count(group)) > 0) return MESH_EUNKNOWN_MEMBER;
    if (!GROUP_DEFECT(lead->groups, RESET_UNHEARD) && commit->reset_epoch != GROUP_RESET_EPOCH_ANY && commit->reset_epoch != (group == NULL ? 0 : group->reset_epoch))
        return MESH_ESTALE_GENERATION;
    for (size_t i = 0; i < commit->cell_count && group == NULL && !is_good; i++) {
        look_up(lead, committer, &commit->cells[i].topic);
        is_good = judge_cell(lead, committer, &commit->cells[i]) == 0 && has_room(lead, committer, commit->cells[i].partition);
    }
    if (is_good) {
        err = lead_add_group(lead, commit->caller.group, wall_ms, &added);
        if (err != 0) return err;
        group = added;
    }
    committer->group = group;
    committer->has_topic = false;
    return 0;
}

/* A group of the classic protocol: who may commit is known here alone, so the log has nobody's commits of it. */
static int find_classic(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_commit *commit, struct committer *committer)
{
    struct group_commit nobody = *commit;
    int err = classic_judge_commit(lead, now_ms, commit);

    if (err != 0) return err;
    nobody.caller.member = slice_of(NULL, 0);
    nobody.generation = GROUP_GENERATION_NONE;
    return find_nobody(lead, wall_ms, &nobody, committer);
}

static int find_committer(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_commit *commit, struct committer *committer)
{
    struct group_member *member;
    int err;

    *committer = (struct committer){.generation = commit->generation};
    if (classic_judges(lead, commit->caller.group)) return find_classic(lead, now_ms, wall_ms, commit, committer);
    if (commit->caller.member.size == 0) return find_nobody(lead, wall_ms, commit, committer);
    err = lead_find_changer(lead, &commit->caller, &member);
    if (err != 0) return err;
    lead_heard(lead, member, now_ms);
    committer->member = member;
    committer->group = member->group;
    if (commit->generation > member->group->generation) return MESH_ESTALE_GENERATION;
    if (member->group->protocol == GROUP_PROTOCOL_CLASSIC && commit->generation != member->group->generation) return MESH_ESTALE_GENERATION;
    return 0;
}

int group_lead_commit(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, struct group_commit *commit, struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_COMMITTED, .group = commit->caller.group, .member = commit->caller.member, .time_ms = wall_ms};
    struct group_items_writer writer;
    struct committer committer;
    int err = lead->broken;

    if (err == 0) err = find_committer(lead, now_ms, wall_ms, commit, &committer);
    if (err != 0) return err;
    if (committer.member == NULL) record.member = slice_of(NULL, 0);
    writer = lead_items(lead, GROUP_ITEMS_OFFSETS);
    for (size_t i = 0; i < commit->cell_count && err == 0; i++) {
        struct group_commit_cell *cell = &commit->cells[i];

        look_up(lead, &committer, &cell->topic);
        cell->error = judge_cell(lead, &committer, cell);
        if (cell->error == 0) cell->error = judge_right(lead, &committer, cell->partition);
        if (cell->error == 0 && !has_room(lead, &committer, cell->partition)) cell->error = MESH_EFULL;
        if (cell->error != 0) continue;
        group_items_put(&writer, &(struct group_item){.topic = cell->topic,
                                                      .partition = cell->partition,
                                                      .offset = cell->offset,
                                                      .record_epoch = cell->record_epoch,
                                                      .metadata = cell->metadata});
        err = spill(lead, &record, &writer);
    }
    if (err == 0) err = lead_emit_items(lead, &record, &writer);
    if (err != 0) return err;
    lead_reply(lead, committer.group, ret_reply);
    ret_reply->has_work = committer.member != NULL && lead_has_work(lead, (struct group_member *)committer.member);
    return 0;
}

/* ---- operators ---- */

/* Members of Kafka's protocol know among themselves who reads what: all partitions may be somebody's. */
static int judge_reset(struct group_lead *lead, const struct group *group, struct group_reset *reset)
{
    bool has_classic = classic_has_members(lead, reset->group);
    struct committer committer = {.group = group};
    int err = 0;

    for (size_t i = 0; i < reset->cell_count; i++) {
        struct group_commit_cell *cell = &reset->cells[i];
        const struct group_slot *slot = find_slot(lead, group, &cell->topic, cell->partition);

        look_up(lead, &committer, &cell->topic);
        cell->error = judge_cell(lead, &committer, cell);
        if (cell->error == 0 && ((slot != NULL && slot->owner != 0) || has_classic) && !reset->is_forced) cell->error = MESH_EGROUP_NOT_EMPTY;
        if (err == 0) err = cell->error;
    }
    return err;
}

int group_lead_reset(struct group_lead *lead, uint64_t wall_ms, struct group_reset *reset, struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_RESET, .group = reset->group, .member = reset->who, .time_ms = wall_ms};
    const struct group *group = groups_find(lead->groups, reset->group);
    struct group_items_writer writer;
    int err = lead->broken;

    if (err != 0) return err;
    if (group == NULL) return MESH_ENOTFOUND;
    if (reset->who.size > GROUP_NAME_SIZE_MAX || memchr(reset->who.data == NULL ? (const uint8_t *)"" : reset->who.data, 0, reset->who.size) != NULL)
        return MESH_EINVAL;
    if (reset->reset_epoch != GROUP_RESET_EPOCH_ANY && reset->reset_epoch != group->reset_epoch) return MESH_ESTALE_GENERATION;
    err = judge_reset(lead, group, reset);
    if (err != 0) return err;
    writer = lead_items(lead, GROUP_ITEMS_OFFSETS);
    for (size_t i = 0; i < reset->cell_count && !reset->is_dry && err == 0; i++) {
        const struct group_commit_cell *cell = &reset->cells[i];

        group_items_put(&writer, &(struct group_item){.topic = cell->topic,
                                                      .partition = cell->partition,
                                                      .offset = cell->offset,
                                                      .record_epoch = cell->record_epoch,
                                                      .metadata = cell->metadata});
        err = spill(lead, &record, &writer);
    }
    if (err == 0 && !reset->is_dry) err = lead_emit_items(lead, &record, &writer);
    lead_reply(lead, group, ret_reply);
    return err;
}

int group_lead_delete_offsets(struct group_lead *lead, struct slice name, struct group_claim *claims, size_t count, struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_CELLS_DELETED, .group = name};
    const struct group *group = groups_find(lead->groups, name);
    struct group_items_writer writer;
    int err = lead->broken;

    if (err == 0 && group == NULL) err = MESH_ENOTFOUND;
    if (err == 0 && classic_judges(lead, name)) err = MESH_EGROUP_NOT_EMPTY; /* what its members consume they alone know */
    if (err != 0) return err;
    writer = lead_items(lead, GROUP_ITEMS_PLAIN);
    for (size_t i = 0; i < count && err == 0; i++) {
        const struct group_slot *slot = find_slot(lead, group, &claims[i].topic, claims[i].partition);

        tell_offset(lead, group, &claims[i]);
        claims[i].error = slot != NULL && slot->owner != 0 ? MESH_EGROUP_NOT_EMPTY : claims[i].offset == GROUP_OFFSET_NONE ? MESH_ENOTFOUND : 0;
        if (claims[i].error != 0) continue;
        group_items_put(&writer, &(struct group_item){.topic = claims[i].topic, .partition = claims[i].partition});
        err = spill(lead, &record, &writer);
    }
    if (err == 0) err = lead_emit_items(lead, &record, &writer);
    lead_reply(lead, group, ret_reply);
    return err;
}

int group_lead_delete(struct group_lead *lead, struct slice name, struct group_reply *ret_reply)
{
    struct group *group = (struct group *)groups_find(lead->groups, name);
    int err = lead->broken;

    if (err != 0) return err;
    if (group == NULL) return MESH_ENOTFOUND;
    if (group_member_count(group) > 0 || classic_judges(lead, name)) return MESH_EGROUP_NOT_EMPTY;
    lead_unmark(lead, group);
    err = lead_emit(lead, &(struct group_record){.kind = GROUP_DELETED, .group = name});
    lead_reply(lead, NULL, ret_reply);
    return err;
}
