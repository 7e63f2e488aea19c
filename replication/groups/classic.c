#include "replication/groups/classic_internal.h"

#include "base/assert.h"
#include "replication/groups/lead_internal.h"

/* ---- what is asked ---- */

static bool is_text(struct slice text, size_t size_min)
{
    return text.size >= size_min && text.size <= GROUP_NAME_SIZE_MAX && (text.size == 0 || memchr(text.data, 0, text.size) == NULL);
}

static int check_join(const struct group_lead *lead, const struct group_classic_join *join)
{
    int err = group_name_check(join->group);

    if (err != 0) return err;
    if (!is_text(join->instance, 0) || !is_text(join->client, 0) || !is_text(join->host, 0) || !is_text(join->new_id, 1) || !is_text(join->member, 0))
        return MESH_EINVAL;
    if (join->session_timeout_ms < lead->limits.session_timeout_min_ms || join->session_timeout_ms > lead->limits.session_timeout_max_ms)
        return MESH_EINVALID_SESSION_TIMEOUT;
    if (join->rebalance_timeout_ms > INT32_MAX) return MESH_EINVAL;
    if (join->protocol_count == 0 || !is_text(join->protocol_type, 1)) return MESH_EUNSUPPORTED;
    if (join->protocol_count > GROUP_CLASSIC_PROTOCOLS_MAX) return MESH_EINVAL;
    for (size_t i = 0; i < join->protocol_count; i++)
        if (!is_text(join->protocols[i].name, 1)) return MESH_EINVAL;
    return 0;
}

/* The group, if a member of this protocol may belong to it. */
static int find_or_add(struct group_lead *lead, const struct group_classic_join *join, struct classic_group **ret_group)
{
    const struct group *ours = groups_find(lead->groups, join->group);
    struct classic_group *group = classic_find(lead, join->group);

    if (ours != NULL && group_member_count(ours) > 0) return MESH_EGROUP_NOT_EMPTY;
    if (group == NULL && join->member.size > 0) return MESH_EUNKNOWN_MEMBER;
    if (group == NULL) return classic_add(lead, join->group, ret_group);
    if (group->member_count > 0 && !slice_equal(buffer_slice(&group->protocol_type), join->protocol_type)) return MESH_EUNSUPPORTED;
    *ret_group = group;
    return 0;
}

static int find_member(const struct classic_group *group, struct slice id, struct slice instance, struct classic_member **ret_member)
{
    struct classic_member *member = group == NULL ? NULL : classic_find_member(group, id);
    struct classic_member *holder = group == NULL ? NULL : classic_find_instance(group, instance);

    if (holder != NULL && holder != member) return MESH_EFENCED_INSTANCE;
    if (member == NULL || (instance.size > 0 && holder == NULL)) return MESH_EUNKNOWN_MEMBER;
    *ret_member = member;
    return 0;
}

static int find_caller(const struct group_lead *lead, const struct group_classic_caller *caller, struct classic_group **ret_group,
                       struct classic_member **ret_member)
{
    int err = lead->broken;

    *ret_group = classic_find(lead, caller->group);
    if (err == 0) err = find_member(*ret_group, caller->member, caller->instance, ret_member);
    if (err == 0 && (*ret_member)->is_pending) err = MESH_EUNKNOWN_MEMBER;
    if (err == 0 && caller->generation != (int64_t)(*ret_group)->generation) err = MESH_ESTALE_GENERATION;
    return err;
}

/* ---- answers ---- */

static void fill(const struct group_lead *lead, const struct classic_group *group, const struct classic_member *member, struct group_classic_reply *reply)
{
    *reply = (struct group_classic_reply){.generation = group->generation,
                                          .member = member->id,
                                          .protocol_type = buffer_slice(&group->protocol_type),
                                          .protocol = buffer_slice(&group->protocol),
                                          .is_leader = group->leader == member,
                                          .barrier = lead->settled_lsn,
                                          .session_ms = member->session_timeout_ms};
    if (group->leader != NULL) reply->leader = group->leader->id;
}

/* What a member that has joined is to be told, as the group is now. */
static int tell_joined(struct group_lead *lead, const struct classic_group *group, struct classic_member *member, uint64_t now_ms,
                       struct group_classic_reply *reply)
{
    if (group->state == GROUP_CLASSIC_PREPARING && !member->has_joined) return MESH_EREBALANCING;
    classic_heard(lead, member, now_ms);
    fill(lead, group, member, reply);
    reply->is_waiting = group->state == GROUP_CLASSIC_PREPARING;
    return 0;
}

/* ---- join ---- */

static int set_type(struct classic_group *group, struct slice type)
{
    buffer_clear(&group->protocol_type);
    return buffer_append(&group->protocol_type, type.data, type.size);
}

/* Begins a rebalance in which this member has joined already, or joins the one that goes on. */
static int gather(struct group_lead *lead, struct slice name, struct classic_group *group, struct classic_member *member, uint64_t now_ms, uint64_t wall_ms,
                  struct group_classic_reply *reply)
{
    int err = 0;

    if (group->state != GROUP_CLASSIC_PREPARING) err = classic_rebalance(lead, group, now_ms, wall_ms);
    member->has_joined = true;
    classic_heard(lead, member, now_ms);
    if (err == 0) err = classic_try_to_complete(lead, group, now_ms, wall_ms);
    MESH_ASSERT(classic_find(lead, name) == group); /* it has a member */
    return err != 0 ? err : tell_joined(lead, group, member, now_ms, reply);
}

static int require_id(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, uint64_t now_ms,
                      struct group_classic_reply *reply)
{
    struct classic_member *member;
    int err = classic_add_member(lead, group, join, join->new_id, true, &member);

    if (err != 0) return err;
    classic_heard(lead, member, now_ms);
    *reply = (struct group_classic_reply){.is_id_required = true, .member = member->id, .barrier = lead->settled_lsn};
    return 0;
}

static int join_new(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, struct slice id, uint64_t now_ms,
                    uint64_t wall_ms, struct group_classic_reply *reply)
{
    struct classic_member *member;
    int err = 0;

    if (group->member_count == 0) err = set_type(group, join->protocol_type);
    if (err == 0) err = classic_add_member(lead, group, join, id, false, &member);
    if (err != 0) return err;
    classic_newcomer(lead, group, now_ms);
    return gather(lead, join->group, group, member, now_ms, wall_ms, reply);
}

/* Another life of a static member: where it says what the one before said, nobody else notices. */
static int take_place(struct group_lead *lead, struct classic_group *group, struct classic_member *member, const struct group_classic_join *join,
                      uint64_t now_ms, uint64_t wall_ms, struct group_classic_reply *reply)
{
    bool is_same;
    int err = classic_says_the_same(lead, member, join, &is_same);

    if (err == 0) err = classic_change_member(lead, member, join, join->new_id);
    if (err != 0) return err;
    if (group->state != GROUP_CLASSIC_STABLE || !is_same) return gather(lead, join->group, group, member, now_ms, wall_ms, reply);
    err = classic_write(lead, group, wall_ms);
    if (err == 0) err = tell_joined(lead, group, member, now_ms, reply);
    if (err == 0) reply->skips = reply->is_leader;
    return err;
}

static int join_known(struct group_lead *lead, struct classic_group *group, struct classic_member *member, const struct group_classic_join *join,
                      uint64_t now_ms, uint64_t wall_ms, struct group_classic_reply *reply)
{
    bool is_same;
    int err = classic_says_the_same(lead, member, join, &is_same);

    if (err == 0 && (!is_same || member->session_timeout_ms != join->session_timeout_ms || member->rebalance_timeout_ms != join->rebalance_timeout_ms))
        err = classic_change_member(lead, member, join, member->id);
    if (err != 0) return err;
    /* The answer to the join before may have been lost. */
    if (is_same && group->state == GROUP_CLASSIC_COMPLETING) return tell_joined(lead, group, member, now_ms, reply);
    if (is_same && group->state == GROUP_CLASSIC_STABLE && group->leader != member) return tell_joined(lead, group, member, now_ms, reply);
    return gather(lead, join->group, group, member, now_ms, wall_ms, reply);
}

static int join_by_id(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, uint64_t now_ms, uint64_t wall_ms,
                      struct group_classic_reply *reply)
{
    struct classic_member *member;
    int err = find_member(group, join->member, join->instance, &member);

    if (err != 0) return err;
    if (!classic_has_common(group, member, join)) return MESH_EUNSUPPORTED;
    if (!member->is_pending) return join_known(lead, group, member, join, now_ms, wall_ms, reply);
    classic_free_member(lead, group, member);
    return join_new(lead, group, join, join->member, now_ms, wall_ms, reply);
}

static int judge_join(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, uint64_t now_ms, uint64_t wall_ms,
                      struct group_classic_reply *reply)
{
    struct classic_member *holder = join->member.size == 0 ? classic_find_instance(group, join->instance) : NULL;

    if (join->member.size > 0) return join_by_id(lead, group, join, now_ms, wall_ms, reply);
    if (!classic_has_common(group, holder, join)) return MESH_EUNSUPPORTED;
    if (holder != NULL) return take_place(lead, group, holder, join, now_ms, wall_ms, reply);
    if (join->takes_id && join->instance.size == 0) return require_id(lead, group, join, now_ms, reply);
    return join_new(lead, group, join, join->new_id, now_ms, wall_ms, reply);
}

static int ask_again(struct group_lead *lead, const struct group_classic_join *join, uint64_t now_ms, struct group_classic_reply *reply)
{
    struct classic_group *group = classic_find(lead, join->group);
    struct classic_member *member;
    int err = find_member(group, join->member, join->instance, &member);

    if (err == 0 && member->is_pending) err = MESH_EUNKNOWN_MEMBER;
    return err != 0 ? err : tell_joined(lead, group, member, now_ms, reply);
}

int group_lead_classic_join(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_join *join, struct group_classic_reply *ret_reply)
{
    struct classic_group *group;
    int err = lead->broken;

    if (err == 0 && join->is_again) return ask_again(lead, join, now_ms, ret_reply);
    if (err == 0) err = check_join(lead, join);
    if (err == 0) err = find_or_add(lead, join, &group);
    if (err != 0) return err;
    err = judge_join(lead, group, join, now_ms, wall_ms, ret_reply);
    group = classic_find(lead, join->group);
    if (group != NULL && group->member_count + group->pending_count == 0) classic_drop(lead, group); /* who was refused leaves nothing behind */
    return err;
}

/* ---- sync ---- */

static int assign(struct group_lead *lead, struct classic_group *group, uint64_t wall_ms, const struct group_classic_assignment *assignments, size_t count)
{
    int err = 0;

    for (size_t i = 0; i < count && err == 0; i++) {
        struct classic_member *member = classic_find_member(group, assignments[i].member);

        if (member != NULL) err = classic_set_assignment(lead, member, assignments[i].bytes);
    }
    if (err == 0) err = classic_write(lead, group, wall_ms);
    if (err != 0) return err;
    group->state = GROUP_CLASSIC_STABLE;
    group->due_ms = UINT64_MAX;
    lead->classic.changes++;
    return 0;
}

static bool is_another(struct slice said, const struct buffer *is)
{
    return said.size > 0 && !slice_equal(said, buffer_slice(is));
}

int group_lead_classic_sync(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_caller *caller, struct slice protocol_type,
                            struct slice protocol, const struct group_classic_assignment *assignments, size_t count, struct group_classic_reply *ret_reply)
{
    struct classic_member *member;
    struct classic_group *group;
    int err = find_caller(lead, caller, &group, &member);

    if (err != 0) return err;
    classic_heard(lead, member, now_ms);
    if (is_another(protocol_type, &group->protocol_type) || is_another(protocol, &group->protocol)) return MESH_EUNSUPPORTED;
    if (group->state == GROUP_CLASSIC_PREPARING) return MESH_EREBALANCING;
    if (group->state == GROUP_CLASSIC_COMPLETING && group->leader == member) err = assign(lead, group, wall_ms, assignments, count);
    if (err != 0) return err;
    member->has_synced = true;
    fill(lead, group, member, ret_reply);
    ret_reply->is_waiting = group->state == GROUP_CLASSIC_COMPLETING;
    ret_reply->assignment = buffer_slice(&member->assignment);
    return 0;
}

/* ---- heartbeats, and the end ---- */

int group_lead_classic_heartbeat(struct group_lead *lead, uint64_t now_ms, const struct group_classic_caller *caller, struct group_classic_reply *ret_reply)
{
    struct classic_member *member;
    struct classic_group *group;
    int err = find_caller(lead, caller, &group, &member);

    if (err != 0) return err;
    classic_heard(lead, member, now_ms);
    if (group->state == GROUP_CLASSIC_PREPARING) return MESH_EREBALANCING;
    fill(lead, group, member, ret_reply);
    return 0;
}

int group_lead_classic_leave(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_classic_caller *caller)
{
    struct classic_group *group = classic_find(lead, caller->group);
    struct classic_member *member = NULL;
    int err = lead->broken;

    if (err != 0) return err;
    if (group != NULL && caller->member.size == 0) member = classic_find_instance(group, caller->instance);
    if (member == NULL) err = find_member(group, caller->member, caller->instance, &member);
    return err != 0 ? err : classic_remove(lead, group, member, now_ms, wall_ms);
}

/* ---- commits ---- */

bool classic_judges(const struct group_lead *lead, struct slice group)
{
    return classic_find(lead, group) != NULL;
}

bool classic_has_members(const struct group_lead *lead, struct slice group)
{
    const struct classic_group *found = classic_find(lead, group);

    return found != NULL && found->member_count > 0;
}

int classic_judge_commit(struct group_lead *lead, uint64_t now_ms, const struct group_commit *commit)
{
    struct group_classic_caller caller = {commit->caller.group, commit->caller.member, commit->caller.instance,
                                          commit->generation == GROUP_GENERATION_NONE ? -1 : (int64_t)commit->generation};
    struct classic_member *member;
    struct classic_group *group;
    int err;

    if (caller.member.size == 0 && classic_find(lead, caller.group)->member_count == 0) return 0; /* nobody's, of a group without members */
    err = find_caller(lead, &caller, &group, &member);
    if (err != 0) return err;
    classic_heard(lead, member, now_ms);
    /* Whoever has to join again still may say how far it came; who is about to be told something new may not. */
    return group->state == GROUP_CLASSIC_COMPLETING ? MESH_EREBALANCING : 0;
}

/* ---- looking ---- */

uint64_t group_lead_classic_changes(const struct group_lead *lead)
{
    return lead->classic.changes;
}

bool group_lead_classic_find(const struct group_lead *lead, struct slice name, struct group_classic_view *ret_view)
{
    const struct classic_group *group = classic_find(lead, name);

    if (group == NULL) return false;
    *ret_view = (struct group_classic_view){.state = group->state,
                                            .generation = group->generation,
                                            .protocol_type = buffer_slice(&group->protocol_type),
                                            .protocol = buffer_slice(&group->protocol),
                                            .member_count = group->member_count};
    if (group->leader != NULL) ret_view->leader = group->leader->id;
    return true;
}

bool group_lead_classic_next_member(const struct group_lead *lead, struct slice name, size_t *cursor, struct group_classic_member_view *ret_view)
{
    const struct classic_group *group = classic_find(lead, name);
    size_t at = 0;

    if (group == NULL) return false;
    list_for_each(node, &group->members)
    {
        const struct classic_member *member = classic_member_of(node);

        if (member->is_pending || at++ < *cursor) continue;
        ++*cursor;
        *ret_view = (struct group_classic_member_view){.id = member->id,
                                                       .instance = member->instance,
                                                       .client = member->client,
                                                       .host = member->host,
                                                       .assignment = buffer_slice(&member->assignment)};
        (void)classic_metadata(member, buffer_slice(&group->protocol), &ret_view->metadata);
        return true;
    }
    return false;
}
