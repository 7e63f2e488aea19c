/* Writes checkpoints, a piece in each tick, between what else there is to write: afterwards the log may start at the checkpoint. */
#include "replication/groups/lead_internal.h"

#include "base/assert.h"

#define LEAD_LINE_BYTES (256 * 1024) /* of a topic's targets and claims in one record, beside the ids */
#define CELL_BYTES  60           /* of a committed offset in a checkpoint, at most, without metadata */

/* The next one is due when the log has grown by as much as a checkpoint takes, so writing them never costs more than what they replace. */
bool lead_wants_checkpoint(const struct group_lead *lead)
{
    uint64_t size = (uint64_t)lead->groups->cells.count * CELL_BYTES;

    return lead->is_checkpointing || lead->is_salvaged || lead->bytes_since_checkpoint > (size > lead->limits.checkpoint_bytes_min ? size : lead->limits.checkpoint_bytes_min);
}

static uint32_t place_of(uint32_t *places, uint32_t number_plus_1, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (places[i] == number_plus_1) return i + 1;
    return 0;
}

/* Targets and claims of one topic; the ids that they speak of go along. */
static int write_line(struct group_lead *lead, const struct group *group, const struct group_line *line)
{
    struct group_items_writer writer = lead_items(lead, GROUP_ITEMS_CLAIMS);
    struct group_record record = {.kind = GROUP_IMAGE_TOPIC, .group = group_name(group), .topic = line->topic};
    uint32_t places[GROUP_MEMBERS_MAX], count = 0;
    int err;

    buffer_clear(&lead->members);
    for (const struct group_member *member = group_first_member(group); member != NULL; member = member->next) {
        places[count++] = member->number + 1;
        if (group_names_put(&lead->members, member->info.id) != 0) return MESH_ENOMEM;
    }
    record.members = buffer_slice(&lead->members);
    record.member_count = count;
    for (uint32_t p = 0, run; p < line_slot_count(line); p += run) {
        const struct group_slot *slots = &line->slots->of[p];

        for (run = 1; p + run < line_slot_count(line) && memcmp(&slots[run], slots, sizeof(*slots)) == 0;)
            run++;
        group_items_put(&writer, &(struct group_item){.topic = line->topic,
                                                      .run = run,
                                                      .target = place_of(places, slots->target, count),
                                                      .owner = place_of(places, slots->owner, count),
                                                      .claimed_in = slots->claimed_in});
        if (lead->items.size < LEAD_LINE_BYTES) continue;
        err = lead_emit_items(lead, &record, &writer);
        if (err != 0) return err;
        writer = lead_items(lead, GROUP_ITEMS_CLAIMS);
        group_items_put(&writer, &(struct group_item){.topic = line->topic, .run = p + run}); /* told already */
    }
    return lead_emit_items(lead, &record, &writer);
}

/* The group but for its offsets: all of it in one turn, so that nothing comes between. */
static int write_group(struct group_lead *lead, struct group *group)
{
    int err = lead_emit(lead, &(struct group_record){.kind = GROUP_IMAGE,
                                                     .group = group_name(group),
                                                     .protocol = group->protocol,
                                                     .strategy = group->strategy,
                                                     .generation = group->generation,
                                                     .reset_epoch = group->reset_epoch,
                                                     .time_ms = group->empty_since_ms,
                                                     .hash = state_group_hash(lead->groups, group)});

    if (err == 0 && group->life != NULL && group->life->classic.size > 0)
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_IMAGE_CLASSIC, .group = group_name(group), .generation = group->life->classic_generation,
                                                     .classic = buffer_slice(&group->life->classic)});
    for (const struct group_member *member = group_first_member(group); member != NULL && err == 0; member = member->next)
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_IMAGE_MEMBER, .group = group_name(group), .info = member->info, .generation = member->joined_in});
    for (const struct group_line *line = group->lines; line != NULL && err == 0; line = line->next)
        if (line_slot_count(line) > 0) err = write_line(lead, group, line);
    return err;
}

static int write_cells(struct group_lead *lead, const struct group *group, const struct group_line *line)
{
    struct group_record record = {.kind = GROUP_IMAGE_CELLS, .group = group_name(group)};
    struct group_items_writer writer = lead_items(lead, GROUP_ITEMS_CELLS);
    uint32_t left = line->cell_count;
    int err = 0;

    for (uint32_t partition = 0; left > 0 && err == 0; partition++) {
        const struct cell *cell = cell_table_find(&lead->groups->cells, line->number, partition);

        if (cell == NULL) continue;
        left--;
        group_items_put(&writer, &(struct group_item){.topic = line->topic,
                                                      .partition = partition,
                                                      .offset = cell->offset,
                                                      .record_epoch = cell->record_epoch,
                                                      .metadata = state_metadata(lead->groups, line, partition),
                                                      .version_epoch = cell->version_epoch,
                                                      .version_lsn = cell->version_lsn,
                                                      .committed_s = cell->committed_s});
        if (lead->items.size < LEAD_ITEMS_BYTES) continue;
        err = lead_emit_items(lead, &record, &writer);
        writer = lead_items(lead, GROUP_ITEMS_CELLS);
    }
    return err != 0 ? err : lead_emit_items(lead, &record, &writer);
}

/* What began before the checkpoint and is not in it yet, up to about a piece. */
static int write_piece(struct group_lead *lead, bool *ret_is_done)
{
    struct groups *groups = lead->groups;
    uint64_t enough = lead->bytes_since_checkpoint + lead->limits.checkpoint_piece_bytes;

    for (struct group *group = state_next_group(groups, NULL); group != NULL; group = state_next_group(groups, group)) {
        int err = 0;

        if (group->imaged_in != groups->checkpoint) err = write_group(lead, group);
        group->imaged_in = groups->checkpoint;
        for (struct group_line *line = group->lines; line != NULL && err == 0; line = line->next) {
            if (line->imaged_in == groups->checkpoint) continue;
            err = write_cells(lead, group, line);
            line->imaged_in = groups->checkpoint;
            if (err == 0 && lead->bytes_since_checkpoint > enough) return 0;
        }
        if (err != 0) return err;
        if (lead->bytes_since_checkpoint > enough) return 0;
    }
    *ret_is_done = true;
    return 0;
}

int lead_checkpoint(struct group_lead *lead)
{
    bool is_done = false;
    int err = 0;

    if (!lead_wants_checkpoint(lead)) return 0;
    if (!lead->is_checkpointing) {
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_CHECKPOINT_BEGAN, .losses = lead->groups->losses});
        lead->is_checkpointing = err == 0;
    }
    if (err == 0) err = write_piece(lead, &is_done);
    if (err != 0 || !is_done) return err;
    err = lead_emit(lead, &(struct group_record){.kind = GROUP_CHECKPOINT_ENDED, .hash = groups_count(lead->groups)});
    lead->is_checkpointing = lead->is_salvaged = false;
    lead->bytes_since_checkpoint = 0;
    return err;
}
