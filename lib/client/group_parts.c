/* The partitions of a member, and what the application is told of them. */
#include "client/group_member_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const struct uuid *topic, uint32_t partition)
{
    return map_hash_bytes(topic->bytes, UUID_SIZE) ^ ((uint64_t)partition * 0x9e3779b97f4a7c15u);
}

struct part *member_find_part(const struct consumer_member *member, const struct uuid *topic, uint32_t partition)
{
    for (struct map_node *node = map_find(&member->by_name, hash_of(topic, partition)); node != NULL; node = map_find_next(node)) {
        struct part *part = container_of(node, struct part, map_node);
        if (part->partition == partition && uuid_equal(&part->topic, topic)) return part;
    }
    return NULL;
}

int member_add_part(struct consumer_member *member, const struct uuid *topic, uint32_t partition, enum part_state state, struct part **ret_part)
{
    struct part *part = calloc(1, sizeof(*part));

    if (part == NULL) return MESH_ENOMEM;
    part->topic = *topic;
    part->partition = partition;
    part->offset = CONSUMER_MEMBER_OFFSET_NONE;
    if (map_insert(&member->by_name, &part->map_node, hash_of(topic, partition)) != 0) {
        free(part);
        return MESH_ENOMEM;
    }
    part->state = state;
    list_init(&part->node);
    list_init(&part->change_node);
    list_init(&part->refusal_node);
    list_push_back(&member->parts[state], &part->node);
    member->counts[state]++;
    *ret_part = part;
    return 0;
}

void member_move_part(struct consumer_member *member, struct part *part, enum part_state state)
{
    MESH_ASSERT(part->state != PART_GONE);
    member->counts[part->state]--;
    list_remove(&part->node);
    part->state = state;
    if (state == PART_GONE) return;
    member->counts[state]++;
    list_push_back(&member->parts[state], &part->node);
}

static void free_part(struct part *part)
{
    list_remove(&part->change_node);
    list_remove(&part->refusal_node);
    free(part->metadata);
    free(part);
}

void part_clean(struct consumer_member *member, struct part *part)
{
    if (part->is_dirty) member->dirty_count--;
    part->is_dirty = false;
    if (member->dirty_count == 0) member->commit_due_ms = 0;
}

static void tell(struct consumer_member *member, struct part *part, enum consumer_member_change_kind change)
{
    part->change = change;
    list_remove(&part->change_node);
    list_push_back(&member->changes, &part->change_node);
}

void member_drop_part(struct consumer_member *member, struct part *part, enum consumer_member_change_kind change)
{
    if (part->asked_at > 0) member->asked[part->asked_at - 1] = NULL;
    if (part->is_dirty && member->commit_error == 0) member->commit_error = MESH_ENOT_OWNER;
    part_clean(member, part);
    map_remove(&member->by_name, &part->map_node);
    member_move_part(member, part, PART_GONE);
    list_remove(&part->refusal_node);
    if (part->is_told)
        tell(member, part, change);
    else
        free_part(part);
}

void member_drop_all(struct consumer_member *member)
{
    for (int state = 0; state < PART_STATES; state++)
        list_for_each_safe(node, &member->parts[state])
            member_drop_part(member, container_of(node, struct part, node), CONSUMER_MEMBER_LOST);
}

void member_free_parts(struct consumer_member *member)
{
    struct list_node *node;

    member_drop_all(member);
    while ((node = list_pop_front(&member->changes)) != NULL)
        free_part(container_of(node, struct part, change_node));
    map_deinit(&member->by_name);
}

/* ---- what becomes of one ---- */

void part_claimed(struct consumer_member *member, struct part *part, uint64_t offset, int32_t record_epoch)
{
    part->offset = offset;
    part->record_epoch = record_epoch;
    part->generation = member->generation;
    member_move_part(member, part, PART_OWNED);
    tell(member, part, CONSUMER_MEMBER_ASSIGNED);
}

void part_ask_back(struct consumer_member *member, struct part *part)
{
    if (!part->is_told) { /* the application does not know of it */
        list_remove(&part->change_node);
        member_move_part(member, part, PART_LETTING_GO);
        return;
    }
    member_move_part(member, part, PART_ASKED_BACK);
    if (!list_is_empty(&part->change_node)) /* RESUMED, and not told */
        list_remove(&part->change_node);
    else
        tell(member, part, CONSUMER_MEMBER_ASKED_BACK);
}

void part_may_stay(struct consumer_member *member, struct part *part)
{
    member_move_part(member, part, PART_OWNED);
    if (!list_is_empty(&part->change_node)) /* ASKED_BACK, and not told */
        list_remove(&part->change_node);
    else
        tell(member, part, CONSUMER_MEMBER_RESUMED);
}

void part_refused(struct consumer_member *member, struct part *part, int error)
{
    part->refusal = error;
    part->refused_offset = part->offset;
    list_remove(&part->refusal_node);
    list_push_back(&member->refusals, &part->refusal_node);
}

/* ---- told ---- */

static bool next_part_change(struct consumer_member *member, struct consumer_member_change *ret_change)
{
    struct list_node *node = list_pop_front(&member->changes);
    struct part *part;

    if (node == NULL) return false;
    part = container_of(node, struct part, change_node);
    *ret_change = (struct consumer_member_change){.kind = part->change,
                                                  .topic = part->topic,
                                                  .partition = part->partition,
                                                  .record_epoch = part->record_epoch,
                                                  .offset = part->offset,
                                                  .generation = part->generation};
    if (part->change == CONSUMER_MEMBER_ASSIGNED) part->is_told = true;
    if (part->state == PART_GONE) free_part(part);
    return true;
}

static bool next_refusal(struct consumer_member *member, struct consumer_member_change *ret_change)
{
    struct list_node *node = list_pop_front(&member->refusals);
    struct part *part;

    if (node == NULL) return false;
    part = container_of(node, struct part, refusal_node);
    *ret_change = (struct consumer_member_change){.kind = CONSUMER_MEMBER_REFUSED,
                                                  .topic = part->topic,
                                                  .partition = part->partition,
                                                  .record_epoch = -1,
                                                  .offset = part->refused_offset,
                                                  .error = part->refusal};
    return true;
}

bool consumer_member_next_commit(struct consumer_member *member, struct consumer_member_change *ret_change)
{
    if (member->told_ticket >= member->done_ticket) return false;
    member->told_ticket = member->done_ticket;
    *ret_change = (struct consumer_member_change){.kind = CONSUMER_MEMBER_COMMITTED, .ticket = member->done_ticket, .error = member->done_error};
    member->done_error = 0;
    return true;
}

bool consumer_member_next_change(struct consumer_member *member, struct consumer_member_change *ret_change)
{
    if (next_refusal(member, ret_change) || next_part_change(member, ret_change)) return true;
    if (consumer_member_next_commit(member, ret_change)) return true;
    if (member->end == 0 || member->is_end_told) return false;
    member->is_end_told = true;
    *ret_change = (struct consumer_member_change){.kind = member->end == MEMBER_LEFT_DONE ? CONSUMER_MEMBER_LEFT : CONSUMER_MEMBER_FAILED,
                                                  .error = member->end == MEMBER_LEFT_DONE ? 0 : member->end};
    return true;
}

/* ---- what the application says ---- */

static bool is_held(const struct part *part)
{
    return part != NULL && part->is_told && (part->state == PART_OWNED || part->state == PART_ASKED_BACK);
}

bool consumer_member_owns(const struct consumer_member *member, const struct uuid *topic, uint32_t partition)
{
    const struct part *part = member_find_part(member, topic, partition);

    return part != NULL && part->is_told && part->state == PART_OWNED;
}

int consumer_member_store(struct consumer_member *member, const struct uuid *topic, uint32_t partition, uint64_t offset, int32_t record_epoch,
                          struct slice metadata)
{
    struct part *part = member_find_part(member, topic, partition);

    if (!is_held(part)) return MESH_ENOT_OWNER;
    if (metadata.size > MEMBER_METADATA_MAX) return MESH_EMETADATA_TOO_LARGE;
    if (metadata.size > 0 && metadata.size > part->metadata_size) {
        uint8_t *grown = realloc(part->metadata, metadata.size);
        if (grown == NULL) return MESH_ENOMEM;
        part->metadata = grown;
    }
    if (metadata.size > 0) memcpy(part->metadata, metadata.data, metadata.size);
    if (metadata.size == 0) {
        free(part->metadata);
        part->metadata = NULL;
    }
    part->metadata_size = metadata.size;
    part->offset = offset;
    part->record_epoch = record_epoch;
    part->is_sent = false; /* what is under way is not this */
    if (!part->is_dirty) member->dirty_count++;
    part->is_dirty = true;
    return 0;
}

void consumer_member_let_go(struct consumer_member *member, const struct uuid *topic, uint32_t partition)
{
    struct part *part = member_find_part(member, topic, partition);

    if (part == NULL || part->state != PART_ASKED_BACK || !list_is_empty(&part->change_node)) return;
    member_move_part(member, part, PART_LETTING_GO);
}
