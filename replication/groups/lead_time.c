/* What happens because time passes: sessions end, releases become overdue. */
#include "replication/groups/lead_internal.h"

#include "base/assert.h"

#include <stdlib.h>

/* ---- the heap of members to look at ----
 * A heartbeat moves nothing here: who comes up too early is put back for when its session would end now. */

static void sift_up(struct lead_watch *watches, size_t at)
{
    while (at > 0 && watches[(at - 1) / 2].due_ms > watches[at].due_ms) {
        struct lead_watch watch = watches[at];
        watches[at] = watches[(at - 1) / 2];
        at = (at - 1) / 2;
        watches[at] = watch;
    }
}

static void sift_down(struct lead_watch *watches, size_t count, size_t at)
{
    for (;;) {
        size_t least = at;

        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (watches[child].due_ms < watches[least].due_ms) least = child;
        if (least == at) return;
        struct lead_watch watch = watches[at];
        watches[at] = watches[least];
        watches[least] = watch;
        at = least;
    }
}

static struct lead_watch pop(struct group_lead *lead)
{
    struct lead_watch first = lead->watches[0];

    lead->watches[0] = lead->watches[--lead->watch_count];
    sift_down(lead->watches, lead->watch_count, 0);
    return first;
}

int lead_watch(struct group_lead *lead, struct group_member *member, uint64_t now_ms)
{
    uint64_t due_ms = member->heard_ms + member->info.session_timeout_ms;

    (void)now_ms;
    if (member->release_by_ms != 0 && member->release_by_ms < due_ms) due_ms = member->release_by_ms;
    if (member->watched_ms != 0 && member->watched_ms <= due_ms) return 0;
    if (lead->watch_count == lead->watch_room) {
        size_t room = lead->watch_room == 0 ? 16 : lead->watch_room * 2;
        struct lead_watch *watches = reallocarray(lead->watches, room, sizeof(*watches));
        if (watches == NULL) return MESH_ENOMEM;
        lead->watches = watches;
        lead->watch_room = room;
    }
    member->watched_ms = due_ms;
    lead->watches[lead->watch_count++] = (struct lead_watch){due_ms, member->number};
    sift_up(lead->watches, lead->watch_count - 1);
    return 0;
}

/* ---- what is due ---- */

static int expire(struct group_lead *lead, struct group_member *member, uint64_t wall_ms)
{
    struct group *group = member->group;

    lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_EXPIRED, .group = group_name(group), .member = member->info.id});
    lead_mark(lead, group);
    return lead_emit(lead, &(struct group_record){.kind = GROUP_LEFT,
                                                  .group = group_name(group),
                                                  .member = member->info.id,
                                                  .reason = GROUP_EXPIRED,
                                                  .time_ms = wall_ms});
}

/* Takes from a member what it was to release, and has not within the limit that it declared itself. It stays a member. What is more than a record
 * should hold is looked for again at once. */
static int take_back(struct group_lead *lead, struct group_member *member, uint64_t now_ms)
{
    struct group_record record = {.kind = GROUP_RELEASED, .group = group_name(member->group), .member = member->info.id, .reason = GROUP_OVERDUE};
    struct group_items_writer writer = lead_items(lead, GROUP_ITEMS_PLAIN);
    bool owes = false, is_all = true;

    for (const struct group_line *line = member->group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line_slot_count(line); i++) {
            if (line->slots->of[i].owner != member->number + 1 || line->slots->of[i].target == member->number + 1) continue;
            owes = true;
            if (now_ms < member->release_by_ms || GROUP_DEFECT(lead->groups, RELEASE_NOT_ENFORCED)) continue;
            if (lead->items.size < LEAD_ITEMS_BYTES)
                group_items_put(&writer, &(struct group_item){.topic = line->topic, .partition = i});
            else
                is_all = false;
        }
    if (!owes) member->release_by_ms = 0;
    if (member->release_by_ms == 0 || now_ms < member->release_by_ms) return writer.writer.error;
    if (is_all) member->release_by_ms = 0;
    if (writer.count > 0)
        lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_SLOW, .group = record.group, .member = record.member, .partitions = writer.count});
    return lead_emit_items(lead, &record, &writer);
}

static int look_at(struct group_lead *lead, struct group_member *member, uint64_t now_ms, uint64_t wall_ms)
{
    int err = 0;

    member->watched_ms = 0;
    if (now_ms >= member->heard_ms + member->info.session_timeout_ms) return expire(lead, member, wall_ms);
    if (member->release_by_ms != 0) err = take_back(lead, member, now_ms);
    return err != 0 ? err : lead_watch(lead, member, now_ms);
}

static int look_at_members(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms)
{
    int err = 0;

    while (err == 0 && lead->watch_count > 0 && lead->watches[0].due_ms <= now_ms) {
        struct lead_watch watch = pop(lead);
        struct group_member *member = watch.number < lead->groups->member_numbers.top ? group_numbered(&lead->groups->member_numbers, watch.number) : NULL;

        if (member != NULL && member->watched_ms == watch.due_ms) err = look_at(lead, member, now_ms, wall_ms);
    }
    return err;
}

/* What was left of a checkpoint does not say since when a group is empty whose members it had not told yet. */
static void begin_salvaged(struct group_lead *lead, uint64_t wall_ms)
{
    for (struct group *group = state_next_group(lead->groups, NULL); group != NULL; group = state_next_group(lead->groups, group)) {
        if (group_member_count(group) == 0 && group_classic_count(group) == 0 && group->empty_since_ms == 0) group->empty_since_ms = wall_ms;
    }
    lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_SALVAGED, .partitions = (uint32_t)groups_count(lead->groups)});
}

int group_lead_tick(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, void (*told)(void *arg, const struct group_event *event), void *arg,
                    uint64_t *ret_deadline_ms)
{
    int err = lead->broken;

    lead->told = told;
    lead->told_arg = arg;
    if (err == 0) err = look_at_members(lead, now_ms, wall_ms);
    if (err == 0) err = classic_tick(lead, now_ms, wall_ms);
    if (err == 0) err = lead_assign_dirty(lead, now_ms);
    if (lead->began_wall_ms == 0 && lead->is_salvaged) begin_salvaged(lead, wall_ms);
    if (lead->began_wall_ms == 0) lead->began_wall_ms = wall_ms;
    if (err == 0 && now_ms >= lead->expiry.due_ms) err = lead_expire(lead, now_ms, wall_ms);
    if (err == 0) err = lead_checkpoint(lead);
    lead->told = NULL;
    if (err != 0) {
        lead->broken = err;
        return err;
    }
    *ret_deadline_ms = groups_count(lead->groups) == 0 ? UINT64_MAX : lead->expiry.due_ms;
    if (lead->watch_count > 0 && lead->watches[0].due_ms < *ret_deadline_ms) *ret_deadline_ms = lead->watches[0].due_ms;
    if (lead->classic.due_ms < *ret_deadline_ms) *ret_deadline_ms = lead->classic.due_ms;
    if (lead->dirty != NULL || lead_wants_checkpoint(lead)) *ret_deadline_ms = now_ms;
    return 0;
}
