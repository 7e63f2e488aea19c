/* Partitions come and go: what the member decided becomes assignments, and the application is told. */
#include "client/group.h"

#include "base/assert.h"
#include "client/pool.h"
#include "wire/message.h"

#include <stdlib.h>

struct mesh_rebalance {
    enum mesh_rebalance_kind kind;
    struct group_item *items;
    size_t count;
};

/* ---- lists ---- */

static int reserve(struct group_items *items)
{
    size_t room = items->room == 0 ? 16 : items->room * 2;
    struct group_item *grown;

    if (items->count < items->room) return 0;
    grown = realloc(items->items, room * sizeof(*grown));
    if (grown == NULL) return MESH_ENOMEM;
    items->items = grown;
    items->room = room;
    return 0;
}

static void put(struct group_items *items, const struct group_item *item)
{
    MESH_ASSERT(items->count < items->room);
    items->items[items->count] = *item;
    if (item->topic != NULL) item->topic->reference_count++;
    items->count++;
}

static void free_items(struct group_items *items)
{
    for (size_t i = 0; i < items->count; i++)
        topic_unref(items->items[i].topic);
    free(items->items);
    *items = (struct group_items){NULL, 0, 0};
}

/* ---- the names of topics ---- */

static struct topic *find_topic(const struct consumer_group *group, const struct uuid *id)
{
    list_for_each(node, &group->topics)
    {
        const struct group_topic_name *name = container_of(node, struct group_topic_name, node);
        if (uuid_equal(&name->id, id)) return name->topic;
    }
    return NULL;
}

static int remember(struct consumer_group *group, const struct uuid *id, const char *name)
{
    struct group_topic_name *entry;

    if (find_topic(group, id) != NULL) return 0;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) return MESH_ENOMEM;
    entry->id = *id;
    if (topic_ref(group->consumer->client, name, &entry->topic) != 0) {
        free(entry);
        return MESH_ENOMEM;
    }
    list_push_back(&group->topics, &entry->node);
    return 0;
}

void group_forget_names(struct consumer_group *group)
{
    struct list_node *node;

    while ((node = list_pop_front(&group->topics)) != NULL) {
        struct group_topic_name *entry = container_of(node, struct group_topic_name, node);
        topic_unref(entry->topic);
        free(entry);
    }
    free_items(&group->unnamed);
}

/* Those that are wanted, of all that are there: a pattern may fit thousands of which none is assigned here. */
static bool is_unnamed(const struct consumer_group *group, const struct uuid *id)
{
    for (size_t i = 0; i < group->unnamed.count; i++)
        if (uuid_equal(&group->unnamed.items[i].topic_id, id)) return true;
    return false;
}

static void described(struct call *call, int err, struct slice message)
{
    struct consumer_group *group = call->user;
    struct message_topic_response response = {0};

    if (err == 0) err = message_decode_topic_response(message, &response);
    for (size_t i = 0; err == 0 && i < response.topic_count; i++)
        if (response.topics[i].error == 0 && response.topics[i].name != NULL && is_unnamed(group, &response.topics[i].topic_id))
            err = remember(group, &response.topics[i].topic_id, response.topics[i].name);
    message_deinit_topic_response(&response);
    group->describe = NULL;
    group->describe_retry_ms = call->client->now_ms + GROUP_DESCRIBE_MS;
    call_free(call);
    client_mark(group->consumer->client, &group->pump);
}

/* Claims name topics by id: what they are called has to be asked. */
static void ask_for_names(struct consumer_group *group)
{
    struct mesh_client *client = group->consumer->client;
    const struct message_topic_describe describe = {.names = group->names, .name_count = group->name_count, .all = group->pattern != NULL};
    int err;

    if (group->unnamed.count == 0 || group->describe != NULL || client->now_ms < group->describe_retry_ms) return;
    group->describe_retry_ms = client->now_ms + GROUP_DESCRIBE_MS;
    err = call_new(client, FRAME_OP_TOPIC_DESCRIBE, described, group, &group->describe);
    if (err == 0) err = message_encode_topic_describe(&group->describe->message, &describe);
    if (err != 0) {
        call_free(group->describe);
        group->describe = NULL;
        return;
    }
    group->describe->patience_ms = CALL_PATIENCE_MS;
    call_start(group->describe, client->now_ms + (uint64_t)client->timeout_ms);
}

/* ---- assignments ---- */

static struct assignment *find_assignment(const struct consumer_group *group, const struct uuid *topic, uint32_t partition)
{
    const struct topic *named = find_topic(group, topic);

    return named == NULL ? NULL : consumer_find(group->consumer, named->name, (int32_t)partition);
}

static int64_t start_of(const struct consumer_group *group, const struct group_item *item)
{
    if (item->offset != -1 || item->has_offset) return item->offset;
    return group->options.start == GROUP_START_LATEST ? MESH_OFFSET_END : MESH_OFFSET_BEGINNING;
}

static int begin(struct consumer_group *group, const struct group_item *item)
{
    struct assignment *assignment = consumer_find(group->consumer, item->topic->name, (int32_t)item->partition);
    int64_t start = start_of(group, item);
    int err;

    if (assignment != NULL) consumer_remove(assignment); /* cannot be: what was lost was removed */
    err = consumer_add(group->consumer, item->topic, (int32_t)item->partition, start, start);
    if (err != 0) return err;
    assignment = consumer_find(group->consumer, item->topic->name, (int32_t)item->partition);
    assignment->topic_id = item->topic_id;
    assignment->claimed_in = item->generation;
    if (!item->has_offset) assignment_check(assignment, item->offset < 0 ? -1 : item->record_epoch); /* the log may have been cut since it was committed */
    if (item->offset == -1 && !item->has_offset && group->options.start == GROUP_START_ERROR) assignment_stop(assignment, MESH_ENOTFOUND);
    return 0;
}

void group_drop_all(struct consumer_group *group)
{
    list_for_each_safe(node, &group->consumer->assignments)
        consumer_remove(container_of(node, struct assignment, node));
}

/* ---- telling ---- */

static void tell(struct consumer_group *group, enum mesh_rebalance_kind kind, struct group_items *items)
{
    struct mesh_rebalance rebalance = {kind, items->items, items->count};

    if (items->count == 0 || group->consumer->rebalance == NULL) return;
    group->is_turning = true;
    group->consumer->rebalance(group->consumer->rebalance_user, group->consumer, &rebalance);
    group->is_turning = false;
}

enum mesh_rebalance_kind mesh_rebalance_kind(const struct mesh_rebalance *rebalance)
{
    return rebalance->kind;
}

size_t mesh_rebalance_count(const struct mesh_rebalance *rebalance)
{
    return rebalance->count;
}

int mesh_rebalance_get(const struct mesh_rebalance *rebalance, size_t index, const char **ret_topic, int32_t *ret_partition, int64_t *ret_offset)
{
    if (index >= rebalance->count) return MESH_EINVAL;
    *ret_topic = rebalance->items[index].topic->name;
    *ret_partition = (int32_t)rebalance->items[index].partition;
    *ret_offset = rebalance->items[index].offset;
    return 0;
}

int mesh_rebalance_set_offset(struct mesh_rebalance *rebalance, size_t index, int64_t offset)
{
    if (rebalance->kind != MESH_REBALANCE_ASSIGNED || index >= rebalance->count || offset < MESH_OFFSET_BEGINNING) return MESH_EINVAL;
    rebalance->items[index].offset = offset;
    rebalance->items[index].has_offset = true;
    return 0;
}

/* ---- what the member decided ---- */

struct turn {
    struct group_items assigned, revoked, lost;
};

static struct group_item item_of(const struct consumer_group *group, const struct consumer_member_change *change, const struct assignment *assignment)
{
    return (struct group_item){.topic_id = change->topic,
                               .topic = find_topic(group, &change->topic),
                               .partition = change->partition,
                               .generation = change->generation,
                               .offset = assignment != NULL                                ? assignment->position
                                         : change->offset == CONSUMER_MEMBER_OFFSET_NONE ? -1
                                                                                         : (int64_t)change->offset,
                               .record_epoch = change->record_epoch};
}

/* It was claimed, and goes before anybody knew what it is called: the application never hears of it. */
static void forget_unnamed(struct consumer_group *group, const struct consumer_member_change *change)
{
    struct group_items *items = &group->unnamed;

    for (size_t i = 0; i < items->count; i++)
        if (items->items[i].partition == change->partition && uuid_equal(&items->items[i].topic_id, &change->topic)) {
            items->items[i] = items->items[--items->count];
            return;
        }
}

static void take_change(struct consumer_group *group, struct turn *turn, const struct consumer_member_change *change)
{
    struct assignment *assignment = find_assignment(group, &change->topic, change->partition);
    struct mesh_pool *pool = assignment != NULL ? group->consumer->pool : NULL;
    bool is_busy = change->kind == CONSUMER_MEMBER_ASKED_BACK && pool != NULL && pool_asked_back(pool, assignment); /* it goes when its handler is done */
    const struct group_item item = item_of(group, change, assignment);

    if (is_busy) return;
    switch (change->kind) {
    case CONSUMER_MEMBER_ASSIGNED: put(&group->unnamed, &item); break; /* until named(), which is at once where the name is known */
    case CONSUMER_MEMBER_ASKED_BACK:
        if (assignment != NULL) {
            put(&turn->revoked, &item);
        } else {
            forget_unnamed(group, change);
            consumer_member_let_go(group->member, &change->topic, change->partition);
        }
        break;
    case CONSUMER_MEMBER_LOST:
        forget_unnamed(group, change);
        if (assignment != NULL) put(&turn->lost, &item);
        if (assignment != NULL) consumer_remove(assignment);
        break;
    case CONSUMER_MEMBER_RESUMED: /* where the application waited in its callback: it was told that this goes, so it comes back, from what is stored on */
        if (assignment == NULL) put(&group->unnamed, &item);
        if (pool != NULL) pool_resumed(pool, assignment);
        break;
    case CONSUMER_MEMBER_RELEASED: break;
    case CONSUMER_MEMBER_REFUSED: break; /* whoever waits for a commit hears of it */
    case CONSUMER_MEMBER_COMMITTED: group_committed_up_to(group, change->ticket, change->error); break;
    case CONSUMER_MEMBER_FAILED: group->failure = change->error; break;
    case CONSUMER_MEMBER_LEFT: group->has_left = true; break;
    }
}

static int take_all(struct consumer_group *group, struct turn *turn)
{
    struct consumer_member_change change;

    for (;;) {
        /* Room first: what was taken cannot be given back. */
        if (reserve(&group->unnamed) != 0 || reserve(&turn->revoked) != 0 || reserve(&turn->lost) != 0) return MESH_ENOMEM;
        if (!consumer_member_next_change(group->member, &change)) return 0;
        take_change(group, turn, &change);
    }
}

/* Those whose last handler is done. What is finished of all that goes is stored before it is let go. */
static int take_drained(struct consumer_group *group, struct turn *turn)
{
    struct mesh_pool *pool = group->consumer->pool;
    struct assignment *assignment;
    int err = 0;

    if (pool == NULL) return 0;
    while (err == 0 && (err = reserve(&turn->revoked)) == 0 && (assignment = pool_next_drained(pool)) != NULL)
        put(&turn->revoked, &(struct group_item){.topic_id = assignment->topic_id,
                                                 .topic = assignment->topic,
                                                 .partition = assignment->partition,
                                                 .generation = assignment->claimed_in,
                                                 .offset = assignment->position});
    if (turn->revoked.count > 0) (void)group_store_polled(group); /* not owned: it is being lost */
    return err;
}

/* Those whose names are known by now. */
static int named(struct consumer_group *group, struct turn *turn)
{
    struct group_items *items = &group->unnamed;

    for (size_t i = 0; i < items->count;) {
        struct group_item *item = &items->items[i];

        item->topic = find_topic(group, &item->topic_id);
        if (item->topic == NULL) {
            i++;
            continue;
        }
        if (reserve(&turn->assigned) != 0) {
            item->topic = NULL;
            return MESH_ENOMEM;
        }
        put(&turn->assigned, item);
        *item = items->items[--items->count];
    }
    return 0;
}

/* The application has heard of it, and has said its last word. */
static void let_go(struct consumer_group *group, const struct group_items *revoked)
{
    for (size_t i = 0; i < revoked->count; i++) {
        struct assignment *assignment = consumer_find(group->consumer, revoked->items[i].topic->name, (int32_t)revoked->items[i].partition);
        if (assignment != NULL) consumer_remove(assignment);
        consumer_member_let_go(group->member, &revoked->items[i].topic_id, revoked->items[i].partition);
    }
}

int group_take_changes(struct consumer_group *group)
{
    struct turn turn = {{NULL, 0, 0}, {NULL, 0, 0}, {NULL, 0, 0}};
    int err = take_all(group, &turn), later = take_drained(group, &turn);

    if (err == 0) err = later;
    tell(group, MESH_REBALANCE_LOST, &turn.lost);
    tell(group, MESH_REBALANCE_REVOKED, &turn.revoked);
    let_go(group, &turn.revoked);
    later = named(group, &turn);
    if (err == 0) err = later;
    tell(group, MESH_REBALANCE_ASSIGNED, &turn.assigned);
    for (size_t i = 0; i < turn.assigned.count; i++) {
        later = begin(group, &turn.assigned.items[i]);
        if (later == 0) continue;
        if (err == 0) err = later; /* it comes again: claimed still, and asked for once more */
        if (reserve(&group->unnamed) == 0) put(&group->unnamed, &(struct group_item){.topic_id = turn.assigned.items[i].topic_id,
                                                                                    .partition = turn.assigned.items[i].partition,
                                                                                    .generation = turn.assigned.items[i].generation,
                                                                                    .offset = turn.assigned.items[i].offset,
                                                                                    .record_epoch = turn.assigned.items[i].record_epoch,
                                                                                    .has_offset = turn.assigned.items[i].has_offset});
    }
    ask_for_names(group);
    free_items(&turn.assigned);
    free_items(&turn.revoked);
    free_items(&turn.lost);
    return err;
}
