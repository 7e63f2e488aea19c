/* Offsets that nobody uses any more are forgotten, by Kafka's rules: those of a group without members once it has been empty for the retention and they are as old;
 * those of a topic that no member of its group consumes once they are as old; and those of a topic that is gone. */
#include "replication/groups/lead_internal.h"

#include <stdlib.h>

#define INTERVAL_MAX_MS (10 * 60 * 1000)
#define INTERVAL_MIN_MS 1000
#define CLOCK_SLACK_MS  (60 * 60 * 1000) /* that clocks may differ; and a lead that is younger forgets nothing */
#define LOOKS_MAX       20000            /* groups and offsets, in a tick */
#define GONE_LEFT       (GROUPS_GONE_MAX / 2) /* deletions that may wait to be told: the rest of the room is for those of users, and what is too much makes all be told anew */
#define GONE_WAIT_MS    1000             /* about when they are */

/* The wall clock, as far as it has not been set forward since this lead began. */
static uint64_t believed(const struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms)
{
    uint64_t passed = lead->began_wall_ms + (now_ms - lead->began_ms) + CLOCK_SLACK_MS;

    return wall_ms < passed ? wall_ms : passed;
}

/* A topic that this broker has not heard of may be new; it is not for so long. */
static uint64_t slack_ms(const struct group_lead *lead)
{
    return lead->limits.retention_ms != 0 && lead->limits.retention_ms < CLOCK_SLACK_MS ? lead->limits.retention_ms : CLOCK_SLACK_MS;
}

static bool is_over(uint64_t since_ms, uint64_t retention_ms, uint64_t wall_ms)
{
    return retention_ms != 0 && wall_ms >= since_ms && wall_ms - since_ms >= retention_ms;
}

static uint64_t committed_ms(const struct group_offset *offset)
{
    return (uint64_t)offset->committed_s * 1000;
}

/* For one more than the `pending` that are to be deleted. */
static bool has_room(const struct group_lead *lead, uint32_t pending)
{
    return groups_gone_room(lead->groups) > GONE_LEFT + pending;
}

/* ---- groups ---- */

/* No member, and no offset that is younger. Adds how many offsets it looked at. */
static bool is_forgotten(const struct group_lead *lead, const struct group *group, uint64_t wall_ms, uint32_t *looks)
{
    struct group_cursor cursor = {0};
    struct group_offset offset;
    struct uuid topic;
    uint32_t partition;

    if (group_member_count(group) > 0 || group_classic_count(group) > 0 || classic_judges(lead, group_name(group))) return false;
    if (!is_over(group->empty_since_ms, lead->limits.retention_ms, wall_ms)) return false;
    while (group_next_partition(lead->groups, group, &cursor, &topic, &partition)) {
        (*looks)++;
        if (group_committed(lead->groups, group, &topic, partition, &offset) && !is_over(committed_ms(&offset), lead->limits.retention_ms, wall_ms)) return false;
    }
    return true;
}

static int look_at_groups(struct group_lead *lead, uint64_t wall_ms, uint32_t *looks)
{
    int err = 0;

    while (err == 0 && *looks < LOOKS_MAX && has_room(lead, 0)) {
        struct group *group = (struct group *)groups_next_at(lead->groups, &lead->expiry.group);

        lead->expiry.has_groups = group == NULL;
        if (group == NULL) return 0;
        (*looks)++;
        if (!is_forgotten(lead, group, wall_ms, looks)) continue;
        lead_unmark(lead, group);
        lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_DELETED, .group = group_name(group)});
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_DELETED, .group = group_name(group), .reason = GROUP_EXPIRED});
    }
    return err;
}

/* ---- offsets ---- */

static bool is_unused(const struct group_lead *lead, const struct group_cell_view *cell, uint64_t wall_ms)
{
    const struct group_line *line = state_find_line(lead->groups, cell->group, &cell->topic);
    uint64_t since_ms = committed_ms(&cell->offset);
    struct group_topic topic;

    if (cell->group->is_dirty) return false;                         /* who has just come may want it */
    if (group_classic_count(cell->group) > 0 || classic_judges(lead, group_name(cell->group))) return false; /* what its members consume they alone know */
    if (cell->group->life != NULL && cell->group->life->is_unassigned) return false; /* so who would consume the topic is not known */
    if (line != NULL && line->slots != NULL) return false;           /* somebody consumes the topic, or has to let go of it */
    if (!lead->catalog->find(lead->catalog->arg, &cell->topic, &topic)) return is_over(since_ms, slack_ms(lead), wall_ms);
    if (group_member_count(cell->group) == 0 && cell->group->empty_since_ms > since_ms) since_ms = cell->group->empty_since_ms;
    return is_over(since_ms, lead->limits.retention_ms, wall_ms);
}

/* Offsets of one group lie together mostly: those that follow each other go in one record. */
static int forget(struct group_lead *lead, const struct group *group, struct group_items_writer *writer)
{
    struct group_record record = {.kind = GROUP_CELLS_DELETED, .group = group_name(group), .reason = GROUP_EXPIRED};

    lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_FORGOTTEN, .group = record.group, .partitions = writer->count});
    return lead_emit_items(lead, &record, writer);
}

static int look_at_cells(struct group_lead *lead, uint64_t wall_ms, uint32_t *looks, bool *ret_is_done)
{
    struct group_items_writer writer = lead_items(lead, GROUP_ITEMS_PLAIN);
    const struct group *of = NULL; /* of what is in the record */
    int err = 0;

    while (err == 0 && !*ret_is_done && *looks < LOOKS_MAX && has_room(lead, of == NULL ? 0 : writer.count)) {
        struct group_cell_view cell;

        (*looks)++;
        *ret_is_done = !groups_next_cell(lead->groups, &lead->expiry.cell, &cell);
        if (*ret_is_done || !is_unused(lead, &cell, wall_ms)) continue;
        if (of != NULL && (of != cell.group || lead->items.size >= LEAD_ITEMS_BYTES)) {
            err = forget(lead, of, &writer);
            writer = lead_items(lead, GROUP_ITEMS_PLAIN);
        }
        of = cell.group;
        group_items_put(&writer, &(struct group_item){.topic = cell.topic, .partition = cell.partition});
    }
    return err == 0 && of != NULL ? forget(lead, of, &writer) : err;
}

/* ---- a pass ---- */

static void end_pass(struct group_lead *lead, uint64_t now_ms)
{
    uint64_t interval_ms = slack_ms(lead) / 8;

    if (interval_ms > INTERVAL_MAX_MS) interval_ms = INTERVAL_MAX_MS;
    lead->expiry = (struct lead_expiry){.due_ms = now_ms + (interval_ms < INTERVAL_MIN_MS ? INTERVAL_MIN_MS : interval_ms)};
}

int lead_expire(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms)
{
    bool is_done = false;
    uint32_t looks = 0;
    int err = 0;

    if (groups_count(lead->groups) == 0 || now_ms - lead->began_ms < slack_ms(lead)) {
        end_pass(lead, now_ms);
        return 0;
    }
    wall_ms = believed(lead, now_ms, wall_ms);
    if (!lead->expiry.has_groups) err = look_at_groups(lead, wall_ms, &looks);
    if (err == 0 && lead->expiry.has_groups) err = look_at_cells(lead, wall_ms, &looks, &is_done);
    lead->expiry.due_ms = has_room(lead, 0) ? now_ms : now_ms + GONE_WAIT_MS;
    if (is_done) end_pass(lead, now_ms);
    return err;
}
