#include "replication/groups/lead_internal.h"

#include "replication/coordinator/topic_name.h"
#include "replication/groups/pattern.h"

int lead_find_member(struct group_lead *lead, const struct group_caller *caller, struct group_member **ret_member)
{
    const struct group *group = groups_find(lead->groups, caller->group);
    const struct group_member *member = group == NULL ? NULL : group_find_member(lead->groups, group, caller->member);
    struct slice instance = caller->instance;

    if (lead->broken != 0) return lead->broken;
    if (member != NULL) {
        if (instance.size > 0 && !slice_equal(instance, member->info.instance)) return MESH_EFENCED_INSTANCE;
        *ret_member = (struct group_member *)member;
        return 0;
    }
    for (member = group == NULL || instance.size == 0 ? NULL : group_first_member(group); member != NULL; member = member->next)
        if (slice_equal(instance, member->info.instance)) return MESH_EFENCED_INSTANCE;
    return MESH_EUNKNOWN_MEMBER;
}

static int check_epoch(const struct group_lead *lead, const struct group_caller *caller)
{
    (void)lead; /* but for its switches */
    if (GROUP_DEFECT(lead->groups, LATE_COPIES_COUNT)) return 0;
    return caller->epoch_plus_one == lead->epoch + 1 ? 0 : MESH_ESTALE_EPOCH;
}

/* Noted whatever becomes of the request: a copy of it is as late then. Clients of the classic protocol number nothing; one connection orders them, and
 * generations fence them. */
static int check_sequence(const struct group_lead *lead, struct group_member *member, uint64_t sequence)
{
    (void)lead; /* but for its switches */
    if (member->group->protocol == GROUP_PROTOCOL_CLASSIC || GROUP_DEFECT(lead->groups, LATE_COPIES_COUNT)) return 0;
    if (sequence <= member->sequence) return MESH_EOUT_OF_ORDER_SEQUENCE;
    member->sequence = sequence;
    return 0;
}

int lead_find_changer(struct group_lead *lead, const struct group_caller *caller, struct group_member **ret_member)
{
    struct group_member *member;
    int err = lead_find_member(lead, caller, &member);

    if (err == 0 && member->group->protocol == GROUP_PROTOCOL_MESH) err = check_epoch(lead, caller);
    if (err == 0) err = check_sequence(lead, member, caller->sequence);
    if (err == 0) *ret_member = member;
    return err;
}

int lead_add_group(struct group_lead *lead, struct slice name, uint64_t wall_ms, struct group **ret_group)
{
    struct group *group = (struct group *)groups_find(lead->groups, name);
    int err = group_name_check(name);

    if (err != 0) return err;
    if (group == NULL) {
        bool has_place = classic_has_place(lead, name);

        if (!has_place && groups_count(lead->groups) + lead->classic.unwritten_count >= lead->limits.groups_max) return MESH_EFULL;
        err = lead_emit(lead, &(struct group_record){.kind = GROUP_CREATED, .group = name, .time_ms = wall_ms});
        if (err != 0) return err;
        if (has_place) classic_is_written(lead, name);
        group = (struct group *)groups_find(lead->groups, name);
    }
    *ret_group = group;
    return 0;
}

static bool is_text(struct slice text, size_t size_max)
{
    return text.size <= size_max && (text.size == 0 || memchr(text.data, 0, text.size) == NULL);
}

/* The list of names is the caller's: it is walked as a decoder walks, for it may come from afar. */
static int check_names(const struct group_member_info *info)
{
    struct codec_reader reader = codec_reader_of(info->names);

    if (info->name_count > GROUP_NAMES_MAX) return MESH_EINVAL;
    for (uint32_t i = 0; i < info->name_count; i++) {
        char name[TOPIC_NAME_SIZE_MAX + 1], message[160];
        struct slice text = codec_get_string(&reader, TOPIC_NAME_SIZE_MAX);

        if (reader.is_bad) return MESH_EINVALID_TOPIC;
        memcpy(name, text.data, text.size);
        name[text.size] = '\0';
        if (topic_name_check(name, message, sizeof(message)) != 0 || topic_name_is_internal(name)) return MESH_EINVALID_TOPIC;
    }
    return codec_reader_is_done(&reader) ? 0 : MESH_EINVALID_TOPIC;
}

static int check_info(const struct group_lead *lead, const struct group_member_info *info)
{
    const struct slice texts[] = {info->instance, info->client, info->host, info->zone};
    struct group_pattern pattern;
    int err;

    if (info->id.size == 0 || !is_text(info->id, GROUP_NAME_SIZE_MAX)) return MESH_EINVAL;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!is_text(texts[i], GROUP_NAME_SIZE_MAX)) return MESH_EINVAL;
    if (info->session_timeout_ms < lead->limits.session_timeout_min_ms || info->session_timeout_ms > lead->limits.session_timeout_max_ms)
        return MESH_EINVALID_SESSION_TIMEOUT;
    if (info->processing_limit_ms == 0 || info->processing_limit_ms > lead->limits.processing_limit_max_ms) return MESH_EINVAL;
    if ((unsigned)info->strategy >= GROUP_STRATEGIES) return MESH_EINVAL;
    if (info->pattern.size > 0 && info->name_count > 0) return MESH_EINVAL;
    if (info->pattern.size == 0) return check_names(info);
    err = group_pattern_init(&pattern, info->pattern);
    if (err == 0) group_pattern_deinit(&pattern);
    return err;
}

/* What it wants is the same as before: nothing is to be assigned anew. */
static bool wants_the_same(const struct group_member_info *a, const struct group_member_info *b)
{
    return a->strategy == b->strategy && slice_equal(a->zone, b->zone) && slice_equal(a->pattern, b->pattern) && slice_equal(a->names, b->names);
}

static bool says_the_same(const struct group_member_info *a, const struct group_member_info *b)
{
    return wants_the_same(a, b) && slice_equal(a->instance, b->instance) && slice_equal(a->client, b->client) && slice_equal(a->host, b->host) &&
           a->session_timeout_ms == b->session_timeout_ms && a->processing_limit_ms == b->processing_limit_ms;
}

static struct group_member *find_instance(const struct group *group, struct slice instance)
{
    struct group_member *member = instance.size == 0 ? NULL : group_first_member(group);

    while (member != NULL && !slice_equal(member->info.instance, instance))
        member = member->next;
    return member;
}

static int find_or_add_group(struct group_lead *lead, struct slice name, uint64_t wall_ms, struct group **ret_group)
{
    int err = lead_add_group(lead, name, wall_ms, ret_group);

    /* Of the classic protocol, or about to be; what such a group has committed is anybody's once its last member is gone. */
    if (err == 0 && (group_classic_count(*ret_group) > 0 || classic_judges(lead, name))) err = MESH_EGROUP_NOT_EMPTY;
    return err;
}

static uint64_t life_hash(struct slice id)
{
    return map_hash_bytes(id.data, id.size) | 1;
}

/* A copy of a join by a life whose place another one has taken since. */
static bool is_former_life(const struct group_member *member, struct slice id)
{
    uint64_t hash = life_hash(id);

    return member->lives[0] == hash || member->lives[1] == hash;
}

/* Which member this becomes: *ret_member is NULL for a new one; *ret_replaced the id whose place it takes, or empty. */
static int judge_join(struct group_lead *lead, const struct group *group, const struct group_caller *caller, const struct group_member_info *info,
                      struct group_member **ret_member, struct slice *ret_replaced)
{
    struct group_member *member = (struct group_member *)group_find_member(lead->groups, group, info->id), *before = find_instance(group, info->instance);

    *ret_replaced = slice_of(NULL, 0);
    /* An id that has an instance keeps it: else two members would be one. */
    if (member != NULL && before != NULL && before != member) return MESH_EFENCED_INSTANCE;
    if (member != NULL && check_epoch(lead, caller) != 0) return MESH_ESTALE_EPOCH;
    if (member == NULL && before != NULL) {
        if (is_former_life(before, info->id)) return MESH_EFENCED_INSTANCE;
        *ret_replaced = before->info.id;
    }
    if (member == NULL && state_has_left(lead->groups, group, info->id) && !GROUP_DEFECT(lead->groups, LATE_COPIES_COUNT)) return MESH_EUNKNOWN_MEMBER;
    if (member == NULL && before == NULL && group_member_count(group) >= lead->limits.members_max) return MESH_EFULL;
    *ret_member = member != NULL ? member : before;
    return member == NULL ? 0 : check_sequence(lead, member, caller->sequence);
}

int group_lead_join(struct group_lead *lead, uint64_t now_ms, uint64_t wall_ms, const struct group_caller *caller, const struct group_member_info *info,
                    struct group_reply *ret_reply)
{
    struct group_record record = {.kind = GROUP_JOINED, .group = caller->group, .info = *info};
    struct group_member *member;
    struct group *group;
    bool has_changed;
    int err = lead->broken;

    if (err == 0) err = group_name_check(caller->group);
    if (err == 0) err = check_info(lead, info);
    /* Who is new and has no name takes nothing from anybody, so nobody asks what it knows. */
    if (err == 0 && (info->instance.size > 0 || caller->epoch_plus_one != 0)) err = check_epoch(lead, caller);
    if (err == 0) err = find_or_add_group(lead, caller->group, wall_ms, &group);
    if (err == 0) err = judge_join(lead, group, caller, info, &member, &record.info.replaces);
    if (err != 0) return err;
    has_changed = member == NULL || !wants_the_same(&member->info, info);
    if (member == NULL || record.info.replaces.size > 0 || !says_the_same(&member->info, info)) {
        uint64_t replaced = record.info.replaces.size == 0 ? 0 : life_hash(record.info.replaces);

        err = lead_emit(lead, &record);
        if (err != 0) return err;
        member = (struct group_member *)group_find_member(lead->groups, group, info->id);
        member->sequence = caller->sequence;
        if (replaced != 0) member->lives[1] = member->lives[0];
        if (replaced != 0) member->lives[0] = replaced;
    }
    if (has_changed) lead_mark(lead, group);
    lead_note_session(lead, member);
    member->heard_ms = now_ms;
    member->looked_at = 0;
    err = lead_watch(lead, member, now_ms);
    lead_reply(lead, group, ret_reply);
    ret_reply->has_work = lead_has_work(lead, member);
    return err;
}

/* ---- heartbeats ---- */

/* Something is to be released, or free to be claimed. A look at all partitions only after a change. */
bool lead_has_work(struct group_lead *lead, struct group_member *member)
{
    (void)lead;
    if (member->looked_at == member->group->life->changes + 1) return member->has_work;
    member->looked_at = member->group->life->changes + 1;
    member->has_work = false;
    if (member->targets == 0 && member->claims == 0) return false;
    for (const struct group_line *line = member->group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line_slot_count(line); i++) {
            const struct group_slot *slot = &line->slots->of[i];
            bool is_mine = slot->owner == member->number + 1, is_meant = slot->target == member->number + 1;
            bool is_to_release = is_mine && !is_meant, is_to_claim = is_meant && (slot->owner == 0 || (is_mine && slot->claimed_in == CLAIM_VOID));

            if (!is_to_release && !is_to_claim) continue;
            member->has_work = true;
            return true;
        }
    return false;
}

void lead_heard(struct group_lead *lead, struct group_member *member, uint64_t now_ms)
{
    member->heard_ms = now_ms;
    if (member->watched_ms == 0 && lead_watch(lead, member, now_ms) != 0) lead->broken = MESH_ENOMEM;
}

int group_lead_heartbeat(struct group_lead *lead, uint64_t now_ms, const struct group_caller *caller, struct group_reply *ret_reply)
{
    struct group_member *member;
    int err = lead_find_member(lead, caller, &member);

    if (err != 0) return err;
    lead_heard(lead, member, now_ms);
    lead_reply(lead, member->group, ret_reply);
    /* It tells of no offset, and so rests on no commit: else what was under way when too few replicas were left would keep all members from being told
     * that they are members still, until others come back. */
    ret_reply->barrier = lead->settled_lsn;
    ret_reply->has_work = lead_has_work(lead, member);
    return 0;
}

int group_lead_leave(struct group_lead *lead, uint64_t wall_ms, const struct group_caller *caller, struct group_reply *ret_reply)
{
    struct group_member *member;
    struct group *group;
    int err = lead_find_changer(lead, caller, &member);

    if (err != 0) return err;
    group = member->group;
    err = lead_emit(lead, &(struct group_record){.kind = GROUP_LEFT, .group = caller->group, .member = caller->member, .time_ms = wall_ms});
    if (err != 0) return err;
    lead_mark(lead, group);
    lead_reply(lead, group, ret_reply);
    return 0;
}

bool group_lead_work(struct group_lead *lead, struct slice name, struct slice id, struct group_cursor *cursor, struct group_work *ret_work)
{
    const struct group *group = groups_find(lead->groups, name);
    const struct group_member *member = group == NULL ? NULL : group_find_member(lead->groups, group, id);
    const struct group_line *line = member == NULL ? NULL : cursor->line == NULL ? group->lines : cursor->line;

    for (; line != NULL; line = line->next, cursor->partition = 0)
        for (; cursor->partition < line_slot_count(line); cursor->partition++) {
            const struct group_slot *slot = &line->slots->of[cursor->partition];
            bool is_mine = slot->owner == member->number + 1, is_meant = slot->target == member->number + 1;

            if (!is_mine && !is_meant) continue;
            ret_work->kind = is_mine ? is_meant ? GROUP_WORK_HOLD : GROUP_WORK_RELEASE : GROUP_WORK_WAIT;
            if (!is_mine && (slot->owner == 0 || GROUP_DEFECT(lead->groups, RELEASE_NOT_AWAITED))) ret_work->kind = GROUP_WORK_CLAIM;
            if (is_mine && is_meant && slot->claimed_in == CLAIM_VOID) ret_work->kind = GROUP_WORK_CLAIM;
            ret_work->topic = line->topic;
            ret_work->partition = cursor->partition++;
            cursor->line = line;
            return true;
        }
    return false;
}
