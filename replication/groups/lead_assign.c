/* Who shall own what: subscriptions are looked up in the metadata, the assignment is made, and becomes a generation if it differs. */
#include "replication/groups/lead_internal.h"

#include "replication/groups/assign.h"
#include "replication/groups/pattern.h"

#include "base/assert.h"
#include "base/arena.h"

#include <stdlib.h>

#define ASSIGN_WORK_MAX 20000 /* members and partitions in one tick, about: a new topic may concern every group */

void lead_mark(struct group_lead *lead, struct group *group)
{
    if (group->is_dirty) return;
    group->is_dirty = true;
    group->next_dirty = 0;
    if (lead->dirty_last == NULL)
        lead->dirty = group;
    else
        lead->dirty_last->next_dirty = group->number + 1;
    lead->dirty_last = group;
}

void lead_unmark(struct group_lead *lead, struct group *group)
{
    struct group *before = NULL, *next = group_of_number(lead->groups, group->next_dirty);

    if (!group->is_dirty) return;
    for (struct group *at = lead->dirty; at != group; at = group_of_number(lead->groups, at->next_dirty))
        before = at;
    if (before == NULL) lead->dirty = next;
    else before->next_dirty = group->next_dirty;
    if (lead->dirty_last == group) lead->dirty_last = before;
    group->is_dirty = false;
}

void group_lead_catalog_changed(struct group_lead *lead)
{
    for (struct group *group = state_next_group(lead->groups, NULL); group != NULL; group = state_next_group(lead->groups, group))
        if (group_member_count(group) > 0) lead_mark(lead, group);
}

struct plan_topic {
    struct uuid id;
    uint32_t number;
};

/* One assignment in the making; all of it lies in the arena. */
struct plan {
    struct arena arena;
    struct group *group;
    struct group_member **members; /* by id */
    struct assign_member *wants;
    struct assign_topic *topics;
    struct uuid *ids; /* of the topics */
    struct map by_id; /* of plan_node */
    uint32_t member_count, topic_count, topic_room;
    uint32_t *places; /* 1 + place among the members by member number - the smallest number */
    uint32_t number_first;
};

struct plan_node {
    struct map_node node;
    uint32_t topic;
};

static int compare_members(const void *a, const void *b)
{
    struct slice left = (*(struct group_member *const *)a)->info.id, right = (*(struct group_member *const *)b)->info.id;
    size_t size = left.size < right.size ? left.size : right.size;
    int order = memcmp(left.data, right.data, size);

    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* The members in order, and from their numbers to their places. */
static int list_members(struct plan *plan)
{
    uint32_t first = UINT32_MAX, last = 0, count = 0;

    plan->member_count = group_member_count(plan->group);
    plan->members = arena_alloc(&plan->arena, plan->member_count, sizeof(*plan->members));
    plan->wants = arena_alloc(&plan->arena, plan->member_count, sizeof(*plan->wants));
    if (plan->members == NULL || plan->wants == NULL) return MESH_ENOMEM;
    for (struct group_member *member = group_first_member(plan->group); member != NULL; member = member->next) {
        plan->members[count++] = member;
        if (member->number < first) first = member->number;
        if (member->number > last) last = member->number;
    }
    qsort(plan->members, count, sizeof(*plan->members), compare_members);
    plan->number_first = first;
    plan->places = arena_alloc(&plan->arena, (size_t)last - first + 1, sizeof(*plan->places));
    if (plan->places == NULL) return MESH_ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        plan->places[plan->members[i]->number - first] = i + 1;
    return 0;
}

/* A topic that somebody wants, with its owners of now. Numbers follow the order in which topics are met. */
static int add_topic(struct group_lead *lead, struct plan *plan, const struct group_topic *topic, uint32_t *ret_number)
{
    uint64_t hash = map_hash_bytes(topic->id.bytes, UUID_SIZE);
    struct assign_topic *added = &plan->topics[plan->topic_count];
    const struct group_line *line = state_find_line(lead->groups, plan->group, &topic->id);
    uint32_t count = topic->partition_count < GROUP_ITEMS_MAX ? topic->partition_count : GROUP_ITEMS_MAX;
    struct plan_node *node;
    uint16_t *zones = NULL;

    for (struct map_node *at = map_find(&plan->by_id, hash); at != NULL; at = map_find_next(at))
        if (uuid_equal(&plan->ids[((struct plan_node *)at)->topic], &topic->id)) {
            *ret_number = ((struct plan_node *)at)->topic;
            return 0;
        }
    if (plan->topic_count == plan->topic_room) return MESH_EFULL;
    node = arena_alloc(&plan->arena, 1, sizeof(*node));
    added->owners = arena_alloc(&plan->arena, (size_t)count + 1, sizeof(uint32_t));
    if (topic->zones != NULL) zones = arena_alloc(&plan->arena, (size_t)count + 1, sizeof(uint16_t));
    if (node == NULL || added->owners == NULL || (topic->zones != NULL && zones == NULL)) return MESH_ENOMEM;
    if (zones != NULL) memcpy(zones, topic->zones, count * sizeof(uint16_t)); /* the catalog's own live until the next look-up */
    added->partition_count = count;
    added->zones = zones;
    for (uint32_t i = 0; line != NULL && i < count && i < line_slot_count(line); i++)
        added->owners[i] = line->slots->of[i].target == 0 ? 0 : plan->places[line->slots->of[i].target - 1 - plan->number_first];
    node->topic = plan->topic_count;
    plan->ids[plan->topic_count] = topic->id;
    if (map_insert(&plan->by_id, &node->node, hash) != 0) return MESH_ENOMEM;
    *ret_number = plan->topic_count++;
    return 0;
}

/* What a member with these names or this pattern wants, as rising numbers of topics. */
static int look_up_wants(struct group_lead *lead, struct plan *plan, const struct group_member_info *info, uint32_t *wanted, struct assign_member *ret_wants)
{
    const struct group_catalog *catalog = lead->catalog;
    struct slice names = info->names, name;
    struct group_pattern pattern;
    struct group_topic topic;
    uint32_t count = 0, *copy;
    size_t cursor = 0;
    int err = 0;

    if (info->pattern.size > 0) {
        err = group_pattern_init(&pattern, info->pattern);
        if (err != 0) return err == MESH_EINVALID_PATTERN ? 0 : err;
        while (err == 0 && count < plan->topic_room && catalog->next(catalog->arg, &cursor, &topic))
            if (group_pattern_matches(&pattern, topic.name)) err = add_topic(lead, plan, &topic, &wanted[count++]);
        group_pattern_deinit(&pattern);
    }
    while (err == 0 && group_names_next(&names, &name))
        if (count < plan->topic_room && catalog->find_by_name(catalog->arg, name, &topic)) err = add_topic(lead, plan, &topic, &wanted[count++]);
    if (err != 0) return err;
    qsort(wanted, count, sizeof(*wanted), compare_numbers);
    for (uint32_t i = 0, all = count, unique = 0; i < all; i++, count = unique)
        if (unique == 0 || wanted[i] != wanted[unique - 1]) wanted[unique++] = wanted[i];
    copy = arena_alloc(&plan->arena, (size_t)count + 1, sizeof(*copy));
    if (copy == NULL) return MESH_ENOMEM;
    memcpy(copy, wanted, count * sizeof(*copy));
    ret_wants->topics = copy;
    ret_wants->topic_count = count;
    return 0;
}

static size_t count_topics(const struct group_lead *lead)
{
    struct group_topic topic;
    size_t cursor = 0, count = 0;

    while (lead->catalog->next(lead->catalog->arg, &cursor, &topic))
        count++;
    return count;
}

/* Most members of a group want the same: each distinct wish is looked up once. */
static int list_wants(struct group_lead *lead, struct plan *plan)
{
    uint32_t *wanted;
    bool is_by_pattern = false;

    for (uint32_t m = 0; m < plan->member_count; m++) {
        plan->topic_room += plan->members[m]->info.name_count;
        is_by_pattern = is_by_pattern || plan->members[m]->info.pattern.size > 0;
    }
    if (is_by_pattern || plan->topic_room > 100000) plan->topic_room = (uint32_t)count_topics(lead);
    plan->topics = arena_alloc(&plan->arena, (size_t)plan->topic_room + 1, sizeof(*plan->topics));
    plan->ids = arena_alloc(&plan->arena, (size_t)plan->topic_room + 1, sizeof(*plan->ids));
    wanted = arena_alloc(&plan->arena, (size_t)plan->topic_room + GROUP_NAMES_MAX, sizeof(*wanted));
    if (plan->topics == NULL || plan->ids == NULL || wanted == NULL) return MESH_ENOMEM;
    for (uint32_t m = 0; m < plan->member_count; m++) {
        const struct group_member_info *info = &plan->members[m]->info;
        uint32_t same = 0;
        int err;

        while (same < m && !(slice_equal(plan->members[same]->info.pattern, info->pattern) && slice_equal(plan->members[same]->info.names, info->names)))
            same++;
        if (same < m) {
            plan->wants[m] = plan->wants[same];
        } else {
            err = look_up_wants(lead, plan, info, wanted, &plan->wants[m]);
            if (err != 0) return err;
        }
        plan->wants[m].zone = info->zone.size == 0 ? 0 : lead->catalog->zone_number(lead->catalog->arg, info->zone);
    }
    return 0;
}

/* What most members ask for; of equals the first in the enum. */
static enum group_strategy vote(const struct group *group)
{
    uint32_t votes[GROUP_STRATEGIES] = {0};
    enum group_strategy best = GROUP_STICKY;

    for (const struct group_member *member = group_first_member(group); member != NULL; member = member->next)
        votes[member->info.strategy]++;
    for (int i = 0; i < GROUP_STRATEGIES; i++)
        if (votes[i] > votes[best]) best = (enum group_strategy)i;
    return best;
}

/* Partitions whose target is another now; those of topics that nobody wants any more, too. */
static uint32_t count_moves(struct group_lead *lead, struct plan *plan)
{
    uint32_t moves = 0, met = 0, targets = 0;

    for (uint32_t t = 0; t < plan->topic_count; t++) {
        const struct group_line *line = state_find_line(lead->groups, plan->group, &plan->ids[t]);

        for (uint32_t p = 0; p < plan->topics[t].partition_count; p++) {
            uint32_t owner = plan->topics[t].owners[p], number = owner == 0 ? 0 : plan->members[owner - 1]->number + 1;
            uint32_t target = line == NULL || p >= line_slot_count(line) ? 0 : line->slots->of[p].target;

            met += target != 0;
            moves += number != target;
        }
    }
    for (const struct group_line *line = plan->group->lines; line != NULL; line = line->next)
        targets += line->slots == NULL ? 0 : line->slots->targets;
    return moves + (targets - met);
}

static int emit_plan(struct group_lead *lead, struct plan *plan, enum group_strategy strategy)
{
    struct group_items_writer writer = lead_items(lead, GROUP_ITEMS_TARGETS);
    struct group_record record = {.kind = GROUP_ASSIGNED,
                                  .group = group_name(plan->group),
                                  .strategy = strategy,
                                  .generation = plan->group->generation + 1,
                                  .member_count = plan->member_count};

    buffer_clear(&lead->members);
    for (uint32_t m = 0; m < plan->member_count; m++)
        if (group_names_put(&lead->members, plan->members[m]->info.id) != 0) return MESH_ENOMEM;
    record.members = buffer_slice(&lead->members);
    for (uint32_t t = 0; t < plan->topic_count; t++)
        for (uint32_t p = 0, run; p < plan->topics[t].partition_count; p += run) {
            const uint32_t *owners = &plan->topics[t].owners[p];

            for (run = 1; p + run < plan->topics[t].partition_count && owners[run] == owners[0];)
                run++;
            group_items_put(&writer, &(struct group_item){.topic = plan->ids[t], .run = run, .target = owners[0]});
        }
    if (writer.count > GROUP_ITEMS_MAX) return MESH_ETOOLARGE;
    record.items = buffer_slice(&lead->items);
    return writer.writer.error != 0 ? writer.writer.error : lead_emit(lead, &record);
}

/* Who holds what is another's now has as long to release it as it declared. */
int lead_ask_back(struct group_lead *lead, struct group *group, uint64_t now_ms)
{
    int err = 0;

    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line_slot_count(line); i++) {
            const struct group_slot *slot = &line->slots->of[i];
            struct group_member *member = group_member_of_number(lead->groups, slot->owner);

            if (member == NULL || slot->owner == slot->target || member->release_by_ms != 0) continue;
            member->release_by_ms = now_ms + member->info.processing_limit_ms;
            err = lead_watch(lead, member, now_ms);
            if (err != 0) return err;
        }
    return 0;
}

/* *work: about how much there was to look at. */
static int assign(struct group_lead *lead, struct group *group, uint64_t now_ms, uint32_t *work)
{
    struct plan plan = {.arena = ARENA_INIT, .group = group, .by_id = MAP_INIT};
    enum group_strategy strategy = vote(group);
    uint32_t moves = 0;
    int err = list_members(&plan);

    if (err == 0) err = list_wants(lead, &plan);
    if (lead->assigns_anew && err == 0)
        for (uint32_t t = 0; t < plan.topic_count; t++)
            memset(plan.topics[t].owners, 0, plan.topics[t].partition_count * sizeof(uint32_t));
    if (err == 0) err = assign_partitions(strategy, plan.wants, plan.member_count, plan.topics, plan.topic_count);
    if (err == 0) moves = count_moves(lead, &plan);
    if (err == 0 && moves > 0) err = emit_plan(lead, &plan, strategy);
    if (err == 0 && moves > 0)
        lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_ASSIGNED, .group = group_name(group), .generation = group->generation, .partitions = moves});
    if (err == 0) err = lead_ask_back(lead, group, now_ms); /* also after a failover, when nothing moved */
    *work += plan.member_count;
    for (uint32_t t = 0; t < plan.topic_count; t++)
        *work += plan.topics[t].partition_count;
    map_deinit(&plan.by_id);
    arena_deinit(&plan.arena);
    return err;
}

int lead_assign_dirty(struct group_lead *lead, uint64_t now_ms)
{
    uint32_t work = 0;

    while (lead->dirty != NULL && work < ASSIGN_WORK_MAX) {
        struct group *group = lead->dirty;
        int err = 0;

        lead_unmark(lead, group);
        if (group_member_count(group) > 0 && group->protocol == GROUP_PROTOCOL_MESH) err = assign(lead, group, now_ms, &work);
        if (err != 0 && err != MESH_ETOOLARGE && err != MESH_EFULL) return err;
        if (group->life != NULL) group->life->is_unassigned = err != 0;
        /* More than one record holds: it stays as it was, and the next change tries again. */
        if (err != 0) lead_tell(lead, &(struct group_event){.kind = GROUP_EVENT_TOO_LARGE, .group = group_name(group), .generation = group->generation});
    }
    if (lead->dirty == NULL) lead->assigns_anew = false;
    return 0;
}
