/* Barriers of the classic protocol, and how long anybody is waited for. */
#include "replication/groups/classic_internal.h"

#include "base/assert.h"
#include "replication/groups/lead_internal.h"

/* Static members who are away are waited for at least so long at a time, whatever they said of themselves: none at all would come up in every turn. */
#define ABSENT_WAIT_MIN_MS 1000
/* A look at all groups is followed by a rest in proportion: many that are due one after the other share a look, and few are looked at to the millisecond. */
#define GROUPS_PER_REST_MS 100

static void due_at(struct group_lead *lead, uint64_t at_ms)
{
    at_ms = at_ms > lead->classic.rests_until_ms ? at_ms : lead->classic.rests_until_ms;
    if (at_ms >= lead->classic.due_ms) return;
    lead->classic.due_ms = at_ms;
    lead->classic.is_stirred = true;
}

void classic_heard(struct group_lead *lead, struct classic_member *member, uint64_t now_ms)
{
    struct classic_groups *classic = &lead->classic;

    member->heard_ms = now_ms;
    due_at(lead, now_ms + member->session_timeout_ms);
    if (classic->session_min_ms == 0 || member->session_timeout_ms < classic->session_min_ms) classic->session_min_ms = member->session_timeout_ms;
}

/* ---- barriers ---- */

/* The longest that a member takes to finish what it has begun, and to join again. */
static uint32_t longest_ms(const struct classic_group *group)
{
    uint32_t longest = 0;

    list_for_each(node, &group->members)
    {
        const struct classic_member *member = classic_member_of(node);

        if (!member->is_pending && member->rebalance_timeout_ms > longest) longest = member->rebalance_timeout_ms;
    }
    return longest;
}

static uint32_t later(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int classic_rebalance(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms)
{
    uint64_t until_ms = now_ms + longest_ms(group);
    bool is_first = group->state == GROUP_CLASSIC_EMPTY && lead->limits.classic_gather_ms > 0;

    list_for_each(node, &group->members)
    {
        struct classic_member *member = classic_member_of(node);

        member->has_joined = group->state == GROUP_CLASSIC_EMPTY && !member->is_pending;
        member->has_synced = false;
        if (group->state != GROUP_CLASSIC_PREPARING && !member->is_pending) classic_heard(lead, member, now_ms);
    }
    group->state = GROUP_CLASSIC_PREPARING;
    group->gathers_ms = is_first ? until_ms : 0;
    group->due_ms = is_first ? sooner(now_ms + lead->limits.classic_gather_ms, until_ms) : until_ms;
    due_at(lead, group->due_ms);
    lead->classic.changes++;
    return group->member_count > 0 ? 0 : classic_try_to_complete(lead, group, now_ms, wall_ms);
}

void classic_newcomer(struct group_lead *lead, struct classic_group *group, uint64_t now_ms)
{
    if (group->state != GROUP_CLASSIC_PREPARING || group->gathers_ms == 0) return;
    group->due_ms = sooner(now_ms + lead->limits.classic_gather_ms, group->gathers_ms);
    due_at(lead, group->due_ms);
}

static bool has_everybody(const struct classic_group *group)
{
    if (group->member_count == 0) return true;
    if (group->gathers_ms != 0 || group->pending_count > 0) return false;
    list_for_each(node, &group->members)
        if (!classic_member_of(node)->is_pending && !classic_member_of(node)->has_joined) return false;
    return true;
}

/* One that nobody has met: not even where the group had members of ours until now. */
static void next_generation(const struct group_lead *lead, struct classic_group *group)
{
    const struct group *known = groups_find(lead->groups, classic_name(group));

    if (known != NULL && known->generation > group->generation) group->generation = known->generation;
    group->generation++;
}

static int become_empty(struct group_lead *lead, struct classic_group *group, uint64_t wall_ms)
{
    int err;

    group->state = GROUP_CLASSIC_EMPTY;
    next_generation(lead, group);
    group->due_ms = UINT64_MAX;
    buffer_clear(&group->protocol);
    err = groups_find(lead->groups, classic_name(group)) == NULL ? 0 : classic_write(lead, group, wall_ms);
    if (err == 0 && group->pending_count == 0) classic_drop(lead, group);
    return err;
}

/* Those that are there make the next generation. */
static int complete(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms)
{
    struct classic_member *first = NULL;
    int err;

    lead->classic.changes++;
    if (group->member_count == 0) return become_empty(lead, group, wall_ms);
    list_for_each(node, &group->members)
        if (first == NULL && classic_member_of(node)->has_joined) first = classic_member_of(node);
    if (first == NULL) { /* static members alone, which may yet come back within their sessions */
        group->due_ms = now_ms + later(longest_ms(group), ABSENT_WAIT_MIN_MS);
        due_at(lead, group->due_ms);
        return 0;
    }
    err = classic_choose(group);
    if (err != 0) return err;
    next_generation(lead, group);
    group->gathers_ms = 0;
    if (group->leader == NULL || !group->leader->has_joined) group->leader = first;
    group->state = GROUP_CLASSIC_COMPLETING;
    group->due_ms = now_ms + longest_ms(group);
    due_at(lead, group->due_ms);
    list_for_each(node, &group->members)
    {
        struct classic_member *member = classic_member_of(node);

        buffer_clear(&member->assignment);
        if (member->has_joined) classic_heard(lead, member, now_ms);
        member->has_joined = false;
    }
    return 0;
}

int classic_try_to_complete(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms)
{
    return group->state == GROUP_CLASSIC_PREPARING && has_everybody(group) ? complete(lead, group, now_ms, wall_ms) : 0;
}

int classic_remove(struct group_lead *lead, struct classic_group *group, struct classic_member *member, uint64_t now_ms, uint64_t wall_ms)
{
    bool is_pending = member->is_pending;

    classic_free_member(lead, group, member);
    if (group->state == GROUP_CLASSIC_EMPTY) {
        if (group->pending_count == 0) classic_drop(lead, group);
        return 0;
    }
    if (is_pending || group->state == GROUP_CLASSIC_PREPARING) return classic_try_to_complete(lead, group, now_ms, wall_ms);
    return classic_rebalance(lead, group, now_ms, wall_ms);
}

/* ---- time ---- */

/* Who waits for others need not be heard: the group's own limits end that. */
static bool is_silent(const struct classic_group *group, const struct classic_member *member, uint64_t now_ms)
{
    if (group->state == GROUP_CLASSIC_PREPARING && member->has_joined) return false;
    if (group->state == GROUP_CLASSIC_COMPLETING && member->has_synced) return false;
    return now_ms >= member->heard_ms + member->session_timeout_ms;
}

/* A barrier has lasted too long: those that have not come are not waited for. Static members stay until their sessions end. */
static bool is_late(const struct classic_group *group, const struct classic_member *member)
{
    if (member->is_pending) return false;
    if (group->state == GROUP_CLASSIC_PREPARING) return !member->has_joined && member->instance.size == 0;
    return group->state == GROUP_CLASSIC_COMPLETING && !member->has_synced;
}

/* One member that has to go; NULL: none. */
static struct classic_member *find_gone(const struct classic_group *group, uint64_t now_ms)
{
    bool is_over = now_ms >= group->due_ms;

    list_for_each(node, &group->members)
        if (is_silent(group, classic_member_of(node), now_ms) || (is_over && is_late(group, classic_member_of(node)))) return classic_member_of(node);
    return NULL;
}

static int look_at(struct group_lead *lead, struct classic_group *group, uint64_t now_ms, uint64_t wall_ms)
{
    struct slice name = classic_name(group);
    uint8_t copy[GROUP_NAME_SIZE_MAX];
    struct classic_member *member;
    int err = 0;

    memcpy(copy, name.data, name.size);
    name.data = copy;
    while (err == 0 && (member = find_gone(group, now_ms)) != NULL) {
        bool is_pending = member->is_pending;

        if (!is_pending) lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_EXPIRED, .group = name, .member = member->id});
        err = classic_remove(lead, group, member, now_ms, wall_ms);
        group = classic_find(lead, name);
        if (group == NULL) return err;
    }
    if (err == 0 && group->state == GROUP_CLASSIC_PREPARING && now_ms >= group->due_ms) err = complete(lead, group, now_ms, wall_ms);
    return err;
}

/* When somebody of this group is to be looked at. */
static uint64_t group_due_ms(const struct group_lead *lead, const struct classic_group *group)
{
    uint64_t due_ms = group->state == GROUP_CLASSIC_PREPARING || group->state == GROUP_CLASSIC_COMPLETING ? group->due_ms : UINT64_MAX;

    (void)lead;
    list_for_each(node, &group->members)
    {
        const struct classic_member *member = classic_member_of(node);

        if (is_silent(group, member, UINT64_MAX)) due_ms = sooner(due_ms, member->heard_ms + member->session_timeout_ms);
    }
    return due_ms;
}

/* All groups are looked at when the first of them may need it: heartbeats move nothing, and that is about once in a session. */
int classic_tick(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms)
{
    struct classic_groups *classic = &lead->classic;
    struct map_node *node, *next;
    int err = 0;

    classic->is_stirred = false;
    if (now_ms < classic->due_ms) return 0;
    classic->rests_until_ms = now_ms + classic->by_name.count / GROUPS_PER_REST_MS;
    for (node = map_iterate(&classic->by_name, NULL); node != NULL && err == 0; node = next) {
        next = map_iterate(&classic->by_name, node); /* of those that end here each ends itself alone */
        err = look_at(lead, (struct classic_group *)node, now_ms, wall_ms);
    }
    classic->due_ms = UINT64_MAX;
    for (node = map_iterate(&classic->by_name, NULL); node != NULL; node = map_iterate(&classic->by_name, node))
        classic->due_ms = sooner(classic->due_ms, group_due_ms(lead, (struct classic_group *)node));
    if (classic->due_ms < classic->rests_until_ms) classic->due_ms = classic->rests_until_ms;
    classic->is_stirred = false;
    return err;
}
