#include "replication/groups/classic_internal.h"

#include "base/assert.h"
#include "replication/groups/classic_image.h"
#include "replication/groups/lead_internal.h"

#include <stdlib.h>

/* ---- groups ---- */

struct slice classic_name(const struct classic_group *group)
{
    return slice_of(group->name, group->name_size);
}

struct classic_group *classic_find(const struct group_lead *lead, struct slice name)
{
    for (struct map_node *node = map_find(&lead->classic.by_name, map_hash_bytes(name.data, name.size)); node != NULL; node = map_find_next(node))
        if (slice_equal(classic_name((struct classic_group *)node), name)) return (struct classic_group *)node;
    return NULL;
}

int classic_add(struct group_lead *lead, struct slice name, struct classic_group **ret_group)
{
    const struct group *known = groups_find(lead->groups, name);
    struct classic_group *group;

    if (known == NULL && groups_count(lead->groups) + lead->classic.unwritten_count >= lead->limits.groups_max) return MESH_EFULL;
    group = calloc(1, sizeof(*group) + name.size);
    if (group == NULL) return MESH_ENOMEM;
    list_init(&group->members);
    memcpy(group->name, name.data, name.size);
    group->name_size = (uint32_t)name.size;
    group->generation = known == NULL ? 0 : known->generation;
    group->due_ms = UINT64_MAX;
    if (map_insert(&lead->classic.by_name, &group->node, map_hash_bytes(name.data, name.size)) != 0) {
        free(group);
        return MESH_ENOMEM;
    }
    group->is_unwritten = known == NULL;
    lead->classic.unwritten_count += group->is_unwritten;
    *ret_group = group;
    return 0;
}

void classic_drop(struct group_lead *lead, struct classic_group *group)
{
    while (!list_is_empty(&group->members))
        classic_free_member(lead, group, classic_member_of(group->members.next));
    lead->classic.unwritten_count -= group->is_unwritten;
    map_remove(&lead->classic.by_name, &group->node);
    buffer_deinit(&group->protocol_type);
    buffer_deinit(&group->protocol);
    free(group);
}

bool classic_has_place(const struct group_lead *lead, struct slice name)
{
    const struct classic_group *group = lead->classic.unwritten_count == 0 ? NULL : classic_find(lead, name);

    return group != NULL && group->is_unwritten;
}

void classic_is_written(struct group_lead *lead, struct slice name)
{
    classic_find(lead, name)->is_unwritten = false;
    lead->classic.unwritten_count--;
}

void classic_free_all(struct group_lead *lead)
{
    struct map_node *node;

    while ((node = map_iterate(&lead->classic.by_name, NULL)) != NULL)
        classic_drop(lead, (struct classic_group *)node);
    map_deinit(&lead->classic.by_name);
}

/* ---- members ---- */

struct classic_member *classic_find_member(const struct classic_group *group, struct slice id)
{
    list_for_each(node, &group->members)
        if (slice_equal(classic_member_of(node)->id, id)) return classic_member_of(node);
    return NULL;
}

struct classic_member *classic_find_instance(const struct classic_group *group, struct slice instance)
{
    list_for_each(node, &group->members)
        if (instance.size > 0 && slice_equal(classic_member_of(node)->instance, instance)) return classic_member_of(node);
    return NULL;
}

static void count_bytes(struct group_lead *lead, struct classic_member *member)
{
    size_t bytes = sizeof(*member) + member->texts.capacity + member->protocols.capacity + member->assignment.capacity;

    lead->classic.bytes += bytes - member->counted_bytes; /* modulo: the sum is what it is */
    member->counted_bytes = bytes;
}

static void put_bytes(struct codec_writer *writer, struct slice bytes)
{
    codec_put_varint(writer, bytes.size);
    codec_put_raw(writer, bytes.data, bytes.size);
}

static int put_protocols(const struct group_classic_join *join, struct buffer *to)
{
    struct codec_writer writer = {to, 0};

    for (size_t i = 0; i < join->protocol_count; i++) {
        put_bytes(&writer, join->protocols[i].name);
        put_bytes(&writer, join->protocols[i].metadata);
    }
    return writer.error;
}

static bool next_protocol(struct codec_reader *reader, struct slice *ret_name, struct slice *ret_metadata)
{
    if (reader->at == reader->end) return false;
    *ret_name = codec_get_raw(reader, (size_t)codec_get_varint(reader));
    *ret_metadata = codec_get_raw(reader, (size_t)codec_get_varint(reader));
    MESH_ASSERT(!reader->is_bad);
    return true;
}

static struct slice append_text(struct buffer *texts, struct slice text)
{
    size_t at = texts->size;

    (void)buffer_append(texts, text.data, text.size); /* there is room */
    return slice_of(texts->data + at, text.size);
}

/* What a member is after this, in memory of its own; the limit is looked at before anything is taken. */
static int make_parts(struct group_lead *lead, const struct group_classic_join *join, struct slice id, struct buffer *texts, struct buffer *protocols)
{
    size_t size = id.size + join->instance.size + join->client.size + join->host.size;
    int err;

    for (size_t i = 0; i < join->protocol_count; i++)
        size += join->protocols[i].name.size + join->protocols[i].metadata.size + 2 * VARINT_SIZE_MAX;
    if (lead->classic.bytes + sizeof(struct classic_member) + size > GROUP_CLASSIC_BYTES_MAX) return MESH_EFULL;
    err = buffer_reserve(texts, id.size + join->instance.size + join->client.size + join->host.size + 1);
    if (err == 0) err = put_protocols(join, protocols);
    if (err == 0) return 0;
    buffer_deinit(texts);
    buffer_deinit(protocols);
    return err;
}

int classic_change_member(struct group_lead *lead, struct classic_member *member, const struct group_classic_join *join, struct slice id)
{
    struct buffer texts = BUFFER_INIT, protocols = BUFFER_INIT;
    int err = make_parts(lead, join, id, &texts, &protocols);

    if (err != 0) return err;
    member->id = append_text(&texts, id);
    member->instance = append_text(&texts, join->instance);
    member->client = append_text(&texts, join->client);
    member->host = append_text(&texts, join->host);
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
    buffer_deinit(&member->texts);
    buffer_deinit(&member->protocols);
    member->texts = texts;
    member->protocols = protocols;
    count_bytes(lead, member);
    return 0;
}

int classic_add_member(struct group_lead *lead, struct classic_group *group, const struct group_classic_join *join, struct slice id, bool is_pending,
                       struct classic_member **ret_member)
{
    struct classic_member *member;
    int err;

    if (group->member_count + group->pending_count >= lead->limits.members_max) return MESH_EFULL;
    member = calloc(1, sizeof(*member));
    if (member == NULL) return MESH_ENOMEM;
    err = classic_change_member(lead, member, join, id);
    if (err != 0) {
        free(member);
        return err;
    }
    member->is_pending = is_pending;
    list_push_back(&group->members, &member->link);
    if (is_pending) group->pending_count++;
    else group->member_count++;
    *ret_member = member;
    return 0;
}

int classic_set_assignment(struct group_lead *lead, struct classic_member *member, struct slice bytes)
{
    int err;

    if (lead->classic.bytes + bytes.size > GROUP_CLASSIC_BYTES_MAX) return MESH_EFULL;
    buffer_clear(&member->assignment);
    err = buffer_append(&member->assignment, bytes.data, bytes.size);
    count_bytes(lead, member);
    return err;
}

void classic_free_member(struct group_lead *lead, struct classic_group *group, struct classic_member *member)
{
    if (member->is_pending) group->pending_count--;
    else group->member_count--;
    if (group->leader == member) group->leader = NULL;
    lead->classic.bytes -= member->counted_bytes;
    list_remove(&member->link);
    buffer_deinit(&member->texts);
    buffer_deinit(&member->protocols);
    buffer_deinit(&member->assignment);
    free(member);
}

/* ---- protocols ---- */

bool classic_metadata(const struct classic_member *member, struct slice protocol, struct slice *ret_metadata)
{
    struct codec_reader reader = codec_reader_of(buffer_slice(&member->protocols));
    struct slice name;

    while (next_protocol(&reader, &name, ret_metadata))
        if (slice_equal(name, protocol)) return true;
    *ret_metadata = slice_of(NULL, 0);
    return false;
}

static bool all_know(const struct classic_group *group, const struct classic_member *but, struct slice protocol)
{
    struct slice metadata;

    list_for_each(node, &group->members)
    {
        const struct classic_member *member = classic_member_of(node);

        if (member != but && !member->is_pending && !classic_metadata(member, protocol, &metadata)) return false;
    }
    return true;
}

bool classic_has_common(const struct classic_group *group, const struct classic_member *but, const struct group_classic_join *join)
{
    for (size_t i = 0; i < join->protocol_count; i++)
        if (all_know(group, but, join->protocols[i].name)) return true;
    return false;
}

int classic_says_the_same(struct group_lead *lead, const struct classic_member *member, const struct group_classic_join *join, bool *ret_same)
{
    int err;

    buffer_clear(&lead->items);
    err = put_protocols(join, &lead->items);
    *ret_same = err == 0 && slice_equal(buffer_slice(&lead->items), buffer_slice(&member->protocols));
    return err;
}

struct candidate {
    struct slice name;
    uint32_t votes;
};

/* What all members know, in the first one's order. */
static size_t list_candidates(const struct classic_group *group, const struct classic_member *first, struct candidate to[GROUP_CLASSIC_PROTOCOLS_MAX])
{
    struct codec_reader reader = codec_reader_of(buffer_slice(&first->protocols));
    struct slice name, metadata;
    size_t count = 0;

    while (count < GROUP_CLASSIC_PROTOCOLS_MAX && next_protocol(&reader, &name, &metadata))
        if (all_know(group, NULL, name)) to[count++] = (struct candidate){name, 0};
    return count;
}

/* A member's vote goes to the one that it names first. */
static void vote(const struct classic_member *member, struct candidate *candidates, size_t count)
{
    struct codec_reader reader = codec_reader_of(buffer_slice(&member->protocols));
    struct slice name, metadata;

    while (next_protocol(&reader, &name, &metadata))
        for (size_t i = 0; i < count; i++)
            if (slice_equal(candidates[i].name, name)) {
                candidates[i].votes++;
                return;
            }
}

int classic_choose(struct classic_group *group)
{
    struct candidate candidates[GROUP_CLASSIC_PROTOCOLS_MAX];
    const struct classic_member *first = NULL;
    const struct candidate *best = NULL;
    size_t count;

    list_for_each(node, &group->members)
        if (first == NULL && !classic_member_of(node)->is_pending) first = classic_member_of(node);
    MESH_ASSERT(first != NULL);
    count = list_candidates(group, first, candidates);
    list_for_each(node, &group->members)
        if (!classic_member_of(node)->is_pending) vote(classic_member_of(node), candidates, count);
    for (size_t i = 0; i < count; i++)
        if (candidates[i].votes > (best == NULL ? 0 : best->votes)) best = &candidates[i];
    buffer_clear(&group->protocol);
    return best == NULL ? 0 : buffer_append(&group->protocol, best->name.data, best->name.size);
}

/* ---- records ---- */

static int encode(struct group_lead *lead, const struct classic_group *group, bool with_members)
{
    struct codec_writer writer = {&lead->items, 0};
    struct classic_image image = {.protocol_type = buffer_slice(&group->protocol_type)};

    buffer_clear(&lead->items);
    if (with_members) {
        image.protocol = buffer_slice(&group->protocol);
        if (group->leader != NULL) image.leader = group->leader->id;
        image.member_count = group->member_count;
    }
    classic_image_put(&writer, &image);
    list_for_each(node, &group->members)
    {
        const struct classic_member *member = classic_member_of(node);
        struct classic_image_member info = {.id = member->id,
                                            .instance = member->instance,
                                            .client = member->client,
                                            .host = member->host,
                                            .session_timeout_ms = member->session_timeout_ms,
                                            .rebalance_timeout_ms = member->rebalance_timeout_ms,
                                            .assignment = buffer_slice(&member->assignment)};

        if (member->is_pending || !with_members) continue;
        (void)classic_metadata(member, buffer_slice(&group->protocol), &info.metadata);
        classic_image_put_member(&writer, &info);
    }
    return writer.error;
}

int classic_write(struct group_lead *lead, struct classic_group *group, uint64_t wall_ms)
{
    struct group_record record = {.kind = GROUP_CLASSIC, .group = classic_name(group), .generation = group->generation};
    struct group *known;
    int err = lead_add_group(lead, record.group, wall_ms, &known);

    if (err == 0) err = encode(lead, group, true);
    if (err != 0) return err;
    record.time_ms = group->member_count == 0 ? wall_ms : 0;
    record.classic = buffer_slice(&lead->items);
    err = lead_emit(lead, &record);
    if (err != MESH_ETOOLARGE) return err;
    /* What no record can hold lives here alone: a new leader knows the generation, and members join anew. */
    err = encode(lead, group, false);
    record.time_ms = wall_ms;
    record.classic = buffer_slice(&lead->items);
    return err != 0 ? err : lead_emit(lead, &record);
}

static int restore_member(struct group_lead *lead, struct classic_group *group, const struct classic_image *image, const struct classic_image_member *info,
                          uint64_t now_ms)
{
    const struct group_classic_protocol protocol = {image->protocol, info->metadata};
    const struct group_classic_join join = {.instance = info->instance,
                                            .client = info->client,
                                            .host = info->host,
                                            .protocols = &protocol,
                                            .protocol_count = 1,
                                            .session_timeout_ms = info->session_timeout_ms,
                                            .rebalance_timeout_ms = info->rebalance_timeout_ms};
    struct classic_member *member;
    int err = classic_add_member(lead, group, &join, info->id, false, &member);

    if (err != 0) return err;
    if (slice_equal(info->id, image->leader)) group->leader = member;
    classic_heard(lead, member, now_ms);
    return classic_set_assignment(lead, member, info->assignment);
}

int classic_restore(struct group_lead *lead, const struct group *from, uint64_t now_ms)
{
    struct classic_image_member info;
    struct classic_group *group = NULL;
    struct classic_image image;
    int err = classic_image_read(buffer_slice(&from->life->classic), &image);

    MESH_ASSERT(err == 0); /* it was read when it was applied */
    err = classic_add(lead, group_name(from), &group);
    if (err == 0) err = buffer_append(&group->protocol_type, image.protocol_type.data, image.protocol_type.size);
    if (err == 0) err = buffer_append(&group->protocol, image.protocol.data, image.protocol.size);
    while (err == 0 && classic_image_next(&image, &info))
        err = restore_member(lead, group, &image, &info, now_ms);
    if (err != 0) { /* a part of its members would go on as if they were all */
        if (group != NULL) classic_drop(lead, group);
        return err;
    }
    group->state = GROUP_CLASSIC_STABLE;
    /* Where something may have been lost nobody goes on with what it was assigned: all join anew. */
    return from->life->classic_generation == from->generation ? 0 : classic_rebalance(lead, group, now_ms, now_ms);
}
