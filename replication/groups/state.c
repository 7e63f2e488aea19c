#include "replication/groups/state.h"

#include "base/assert.h"
#include "replication/groups/classic_image.h"

#include <stdlib.h>

#define CLASSIC_KEPT_BYTES 4096 /* of what a classic group said last, when it says less */

/* ---- numbers ---- */

static int take_number(struct group_numbers *numbers, void *thing, uint32_t *ret_number)
{
    if (numbers->free_count == 0 && numbers->top == numbers->room) {
        uint32_t room = numbers->room == 0 ? 16 : numbers->room * 2;
        void **things = reallocarray(numbers->things, room, sizeof(*things));
        uint32_t *list;

        if (things == NULL) return MESH_ENOMEM;
        numbers->things = things;
        list = reallocarray(numbers->free, room, sizeof(*list));
        if (list == NULL) return MESH_ENOMEM;
        numbers->free = list;
        numbers->room = room;
    }
    *ret_number = numbers->free_count > 0 ? numbers->free[--numbers->free_count] : numbers->top++;
    numbers->things[*ret_number] = thing;
    return 0;
}

static void give_number(struct group_numbers *numbers, uint32_t number)
{
    numbers->things[number] = NULL;
    numbers->free[numbers->free_count++] = number;
}

/* ---- groups ---- */

int state_add_group(struct groups *groups, struct slice name, struct group **ret_group)
{
    struct group *group = calloc(1, sizeof(*group) + name.size);

    if (group == NULL) return MESH_ENOMEM;
    memcpy(group->name, name.data, name.size);
    group->name_size = (uint32_t)name.size;
    group->imaged_in = groups->checkpoint;
    if (take_number(&groups->group_numbers, group, &group->number) != 0) {
        free(group);
        return MESH_ENOMEM;
    }
    if (map_insert(&groups->by_name, &group->node, map_hash_bytes(name.data, name.size)) != 0) {
        give_number(&groups->group_numbers, group->number);
        free(group);
        return MESH_ENOMEM;
    }
    *ret_group = group;
    return 0;
}

static void drop_cells(struct groups *groups, struct group_line *line)
{
    for (uint32_t partition = 0; line->cell_count > 0; partition++) {
        struct cell *cell = cell_table_find(&groups->cells, line->number, partition);
        MESH_ASSERT(partition < line->partition_end);
        if (cell != NULL) state_drop_cell(groups, line, cell);
    }
}

/* A group that has become small gives the memory of its great days back: no limit counts what is kept here. */
static int keep_classic(struct buffer *to, struct slice classic)
{
    struct buffer small = BUFFER_INIT;

    if (to->capacity > CLASSIC_KEPT_BYTES && classic.size < to->capacity / 4 && buffer_append(&small, classic.data, classic.size) == 0) {
        buffer_deinit(to);
        *to = small;
        return 0;
    }
    buffer_clear(to);
    return buffer_append(to, classic.data, classic.size);
}

int state_set_classic(struct group *group, uint32_t generation, struct slice classic)
{
    struct classic_image image = {.member_count = 0};
    int err = classic.size == 0 ? 0 : classic_image_read(classic, &image);

    MESH_ASSERT(err == 0); /* the record was decoded */
    err = keep_classic(&group->classic, classic);
    if (err != 0) return err;
    group->classic_count = image.member_count;
    group->classic_generation = generation;
    return 0;
}

void state_drop_group(struct groups *groups, struct group *group)
{
    while (group->first != NULL)
        state_drop_member(groups, group->first);
    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        drop_cells(groups, line);
    state_tidy_lines(groups, group);
    MESH_ASSERT(group->lines == NULL);
    map_remove(&groups->by_name, &group->node);
    give_number(&groups->group_numbers, group->number);
    buffer_deinit(&group->classic);
    free(group);
}

void state_drop_all(struct groups *groups)
{
    for (struct map_node *node = map_iterate(&groups->by_name, NULL); node != NULL; node = map_iterate(&groups->by_name, NULL))
        state_drop_group(groups, (struct group *)node);
}

/* ---- lines ---- */

static uint64_t line_hash(const struct group *group, const struct uuid *topic)
{
    return group->node.hash * 31 + map_hash_bytes(topic->bytes, UUID_SIZE);
}

struct group_line *state_find_line(const struct groups *groups, const struct group *group, const struct uuid *topic)
{
    for (struct map_node *node = map_find(&groups->lines, line_hash(group, topic)); node != NULL; node = map_find_next(node)) {
        struct group_line *line = (struct group_line *)node;
        if (line->group == group && uuid_equal(&line->topic, topic)) return line;
    }
    return NULL;
}

int state_add_line(struct groups *groups, struct group *group, const struct uuid *topic, struct group_line **ret_line)
{
    struct group_line *line = state_find_line(groups, group, topic);

    if (line == NULL) {
        line = calloc(1, sizeof(*line));
        if (line == NULL) return MESH_ENOMEM;
        line->group = group;
        line->topic = *topic;
        line->imaged_in = groups->checkpoint;
        if (take_number(&groups->line_numbers, line, &line->number) != 0) {
            free(line);
            return MESH_ENOMEM;
        }
        if (map_insert(&groups->lines, &line->node, line_hash(group, topic)) != 0) {
            give_number(&groups->line_numbers, line->number);
            free(line);
            return MESH_ENOMEM;
        }
        line->next = group->lines;
        group->lines = line;
        group->line_count++;
    }
    *ret_line = line;
    return 0;
}

int state_grow_slots(struct group_line *line, uint32_t count)
{
    struct group_slot *slots;

    if (count <= line->slot_count) return 0;
    slots = reallocarray(line->slots, count, sizeof(*slots));
    if (slots == NULL) return MESH_ENOMEM;
    memset(slots + line->slot_count, 0, (count - line->slot_count) * sizeof(*slots));
    line->slots = slots;
    line->slot_count = count;
    return 0;
}

void state_tidy_lines(struct groups *groups, struct group *group)
{
    for (struct group_line **at = &group->lines; *at != NULL;) {
        struct group_line *line = *at;

        if (line->targets == 0 && line->claims == 0) {
            free(line->slots);
            line->slots = NULL;
            line->slot_count = 0;
        }
        if (line->slot_count > 0 || line->cell_count > 0) {
            at = &line->next;
            continue;
        }
        *at = line->next;
        group->line_count--;
        map_remove(&groups->lines, &line->node);
        give_number(&groups->line_numbers, line->number);
        free(line);
    }
}

/* ---- members ---- */

static uint64_t member_hash(const struct group *group, struct slice id)
{
    return group->node.hash * 31 + map_hash_bytes(id.data, id.size);
}

static struct group_member *find_member(const struct groups *groups, const struct group *group, struct slice id)
{
    for (struct map_node *node = map_find(&groups->members, member_hash(group, id)); node != NULL; node = map_find_next(node)) {
        struct group_member *member = (struct group_member *)node;
        if (member->group == group && slice_equal(member->info.id, id)) return member;
    }
    return NULL;
}

const struct group_member *group_find_member(const struct groups *groups, const struct group *group, struct slice id)
{
    return find_member(groups, group, id);
}

static int add_member(struct groups *groups, struct group *group, struct group_member **ret_member)
{
    struct group_member *member;

    if (group->member_count == GROUP_MEMBERS_MAX) return MESH_ECORRUPT;
    member = calloc(1, sizeof(*member));
    if (member == NULL) return MESH_ENOMEM;
    if (take_number(&groups->member_numbers, member, &member->number) != 0) {
        free(member);
        return MESH_ENOMEM;
    }
    member->group = group;
    if (group->last == NULL)
        group->first = member;
    else
        group->last->next = member;
    group->last = member;
    group->member_count++;
    *ret_member = member;
    return 0;
}

static bool is_mapped(const struct group_member *member)
{
    return member->bytes.size > 0;
}

int state_set_member(struct groups *groups, struct group *group, const struct group_member_info *info, uint32_t joined_in, struct group_member **ret_member)
{
    struct group_record image = {.kind = GROUP_IMAGE_MEMBER, .group = group_name(group), .info = *info, .generation = joined_in};
    struct group_member *member = find_member(groups, group, info->id);
    struct buffer bytes = BUFFER_INIT;
    int err;

    image.info.replaces = slice_of(NULL, 0);
    err = group_record_encode(&image, &bytes);
    if (err == 0 && member == NULL && info->replaces.size > 0) {
        member = find_member(groups, group, info->replaces);
        /* Another life of it: what the one before claimed is not this one's until it claims it. */
        if (member != NULL) state_clear_claims(groups, member);
    }
    if (err == 0 && member == NULL) err = add_member(groups, group, &member);
    if (err == 0) err = group_record_decode(buffer_slice(&bytes), &image);
    if (err != 0) {
        buffer_deinit(&bytes);
        return err;
    }
    if (is_mapped(member)) map_remove(&groups->members, &member->node);
    buffer_deinit(&member->bytes);
    member->bytes = bytes;
    member->info = image.info;
    member->joined_in = joined_in;
    if (map_insert(&groups->members, &member->node, member_hash(group, member->info.id)) != 0) {
        buffer_deinit(&member->bytes); /* not in the map; the state is broken, and freed as it is */
        return MESH_ENOMEM;
    }
    *ret_member = member;
    return 0;
}

void state_clear_claims(struct groups *groups, struct group_member *member)
{
    for (struct group_line *line = member->group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line->slot_count && member->claims > 0; i++)
            if (line->slots[i].owner == member->number + 1) state_set_owner(groups, line, i, 0, 0);
}

void state_drop_member(struct groups *groups, struct group_member *member)
{
    struct group *group = member->group;
    struct group_member **at = &group->first, *before = NULL;

    state_clear_claims(groups, member);
    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line->slot_count && member->targets > 0; i++)
            if (line->slots[i].target == member->number + 1) state_set_target(groups, line, i, 0);
    while (*at != member) {
        before = *at;
        at = &before->next;
    }
    *at = member->next;
    if (group->last == member) group->last = before;
    group->member_count--;
    if (is_mapped(member)) map_remove(&groups->members, &member->node);
    give_number(&groups->member_numbers, member->number);
    buffer_deinit(&member->bytes);
    free(member);
}

static uint64_t left_hash(const struct group *group, struct slice id)
{
    struct slice name = group_name(group);

    return (map_hash_bytes(id.data, id.size) * 31 + map_hash_bytes(name.data, name.size)) | 1;
}

void state_note_left(struct groups *groups, const struct group *group, struct slice id)
{
    groups->left[groups->left_next++ % STATE_LEFT_MAX] = left_hash(group, id);
}

bool state_has_left(const struct groups *groups, const struct group *group, struct slice id)
{
    uint64_t hash = left_hash(group, id);

    for (size_t i = 0; i < STATE_LEFT_MAX; i++)
        if (groups->left[i] == hash) return true;
    return false;
}

static void change_target(struct groups *groups, uint32_t member, int by)
{
    if (member != 0) group_member_of_number(groups, member)->targets += (uint32_t)by;
}

void state_set_target(struct groups *groups, struct group_line *line, uint32_t partition, uint32_t target)
{
    struct group_slot *slot = &line->slots[partition];

    change_target(groups, slot->target, -1);
    change_target(groups, target, 1);
    line->targets = line->targets - (slot->target != 0) + (target != 0);
    line->group->changes++;
    slot->target = target;
}

void state_set_owner(struct groups *groups, struct group_line *line, uint32_t partition, uint32_t owner, uint32_t claimed_in)
{
    struct group_slot *slot = &line->slots[partition];

    if (slot->owner != 0) group_member_of_number(groups, slot->owner)->claims--;
    if (owner != 0) group_member_of_number(groups, owner)->claims++;
    line->claims = line->claims - (slot->owner != 0) + (owner != 0);
    line->group->changes++;
    slot->owner = owner;
    slot->claimed_in = owner == 0 ? 0 : claimed_in;
}

/* ---- cells ---- */

static int add_text(struct groups *groups, uint32_t *ret_number)
{
    if (groups->text_free == 0) {
        if (groups->text_count == groups->text_room) {
            uint32_t room = groups->text_room == 0 ? 16 : groups->text_room * 2;
            struct group_text *texts = reallocarray(groups->texts, room, sizeof(*texts));
            if (texts == NULL) return MESH_ENOMEM;
            groups->texts = texts;
            groups->text_room = room;
        }
        *ret_number = ++groups->text_count;
    } else {
        *ret_number = groups->text_free;
        groups->text_free = groups->texts[*ret_number - 1].next_free;
    }
    groups->texts[*ret_number - 1] = (struct group_text){NULL, 0, 0, 0};
    return 0;
}

static void drop_text(struct groups *groups, struct cell *cell)
{
    struct group_text *text;

    if (cell->metadata == 0) return;
    text = &groups->texts[cell->metadata - 1];
    free(text->data);
    *text = (struct group_text){NULL, 0, 0, groups->text_free};
    groups->text_free = cell->metadata;
    cell->metadata = 0;
}

/* Allocates only where the text is longer than any that this cell has had. */
static int set_text(struct groups *groups, struct cell *cell, struct slice metadata)
{
    struct group_text *text;
    int err;

    if (metadata.size == 0) {
        drop_text(groups, cell);
        return 0;
    }
    if (cell->metadata == 0) {
        err = add_text(groups, &cell->metadata);
        if (err != 0) return err;
    }
    text = &groups->texts[cell->metadata - 1];
    if (text->room < metadata.size) {
        uint8_t *data = realloc(text->data, metadata.size);
        if (data == NULL) return MESH_ENOMEM;
        text->data = data;
        text->room = (uint32_t)metadata.size;
    }
    memcpy(text->data, metadata.data, metadata.size);
    text->size = (uint32_t)metadata.size;
    return 0;
}

struct slice state_metadata(const struct groups *groups, const struct cell *cell)
{
    if (cell->metadata == 0) return slice_of(NULL, 0);
    return slice_of(groups->texts[cell->metadata - 1].data, groups->texts[cell->metadata - 1].size);
}

int state_set_cell(struct groups *groups, struct group_line *line, const struct group_item *item)
{
    uint32_t before = groups->cells.count;
    struct cell *cell = cell_table_add(&groups->cells, line->number, item->partition);

    if (cell == NULL) return MESH_ENOMEM;
    if (groups->cells.count != before) {
        line->cell_count++;
        line->group->cell_count++;
        if (item->partition >= line->partition_end) line->partition_end = item->partition + 1;
    }
    cell->offset = item->offset;
    cell->record_epoch = item->record_epoch;
    cell->version_epoch = item->version_epoch;
    cell->version_lsn = item->version_lsn;
    cell->committed_s = item->committed_s;
    return set_text(groups, cell, item->metadata);
}

void state_drop_cell(struct groups *groups, struct group_line *line, struct cell *cell)
{
    drop_text(groups, cell);
    cell_table_remove(&groups->cells, cell);
    line->cell_count--;
    line->group->cell_count--;
}
