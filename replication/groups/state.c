#include "replication/groups/state.h"

#include "base/assert.h"
#include "replication/groups/classic_image.h"

#include <stdlib.h>

#define CLASSIC_KEPT_BYTES 4096 /* of what a classic group said last, when it says less */

/* ---- numbers ---- */

static int take_number(struct group_numbers *numbers, void *thing, uint32_t *ret_number)
{
    if (numbers->free == 0 && numbers->top == numbers->room) {
        uint32_t room = numbers->room == 0 ? 16 : numbers->room + numbers->room / 2;
        void **things = reallocarray(numbers->things, room, sizeof(*things));

        if (things == NULL) return MESH_ENOMEM;
        numbers->things = things;
        numbers->room = room;
    }
    if (numbers->free == 0) {
        *ret_number = numbers->top++;
    } else {
        *ret_number = numbers->free - 1;
        numbers->free = (uint32_t)((uintptr_t)numbers->things[*ret_number] >> 1);
    }
    numbers->things[*ret_number] = thing;
    numbers->count++;
    return 0;
}

static void give_number(struct group_numbers *numbers, uint32_t number)
{
    numbers->things[number] = (void *)((uintptr_t)numbers->free << 1 | 1);
    numbers->free = number + 1;
    numbers->count--;
}

/* ---- groups ---- */

static uint64_t hash_of_group(const void *owner, uint32_t number)
{
    return group_hash(group_of_number(owner, number + 1));
}

static bool is_group_called(const void *owner, uint32_t number, const void *key)
{
    return slice_equal(group_name(group_of_number(owner, number + 1)), *(const struct slice *)key);
}

static const struct number_keys group_keys = {hash_of_group, is_group_called};

const struct group *groups_find(const struct groups *groups, struct slice name)
{
    uint32_t number = number_index_find(&groups->group_index, &group_keys, groups, map_hash_bytes(name.data, name.size), &name);

    return number == NUMBER_INDEX_NONE ? NULL : group_of_number(groups, number + 1);
}

int state_add_group(struct groups *groups, struct slice name, struct group **ret_group)
{
    struct group *group = calloc(1, offsetof(struct group, name) + name.size);
    uint32_t number;

    if (group == NULL) return MESH_ENOMEM;
    MESH_ASSERT(name.size <= UINT8_MAX);
    memcpy(group->name, name.data, name.size);
    group->name_size = (uint8_t)name.size;
    group->imaged_in = groups->checkpoint;
    if (take_number(&groups->group_numbers, group, &number) != 0) {
        free(group);
        return MESH_ENOMEM;
    }
    group->number = number;
    if (number_index_add(&groups->group_index, &group_keys, groups, number) != 0) {
        give_number(&groups->group_numbers, number);
        free(group);
        return MESH_ENOMEM;
    }
    *ret_group = group;
    return 0;
}

static int give_life(struct group *group)
{
    if (group->life == NULL) group->life = calloc(1, sizeof(*group->life));
    return group->life == NULL ? MESH_ENOMEM : 0;
}

/* What members alone need goes with the last of them. */
static void end_life(struct group *group)
{
    struct group_life *life = group->life;

    if (life == NULL || life->member_count > 0 || life->classic.size > 0) return;
    buffer_deinit(&life->classic);
    free(life);
    group->life = NULL;
}

static void note_change(struct group *group)
{
    if (group->life != NULL) group->life->changes++;
}

static void drop_cells(struct groups *groups, struct group_line *line)
{
    for (uint32_t partition = 0; line->cell_count > 0; partition++) {
        MESH_ASSERT(partition < line->partition_end);
        if (cell_table_find(&groups->cells, line->number, partition) != NULL) state_drop_cell(groups, line, partition);
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
    if (group->life == NULL && classic.size == 0) return 0;
    err = give_life(group);
    if (err == 0) err = keep_classic(&group->life->classic, classic);
    if (err == 0) {
        group->life->classic_count = image.member_count;
        group->life->classic_generation = generation;
    }
    end_life(group);
    return err;
}

void state_drop_group(struct groups *groups, struct group *group)
{
    while (group->life != NULL && group->life->first != NULL)
        state_drop_member(groups, group->life->first);
    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        drop_cells(groups, line);
    state_tidy_lines(groups, group);
    MESH_ASSERT(group->lines == NULL);
    number_index_remove(&groups->group_index, &group_keys, groups, group->number);
    give_number(&groups->group_numbers, group->number);
    if (group->life != NULL) buffer_deinit(&group->life->classic);
    free(group->life);
    free(group);
}

void state_drop_all(struct groups *groups)
{
    struct group *group;

    while ((group = state_next_group(groups, NULL)) != NULL)
        state_drop_group(groups, group);
}

/* ---- lines ---- */

struct line_key {
    const struct group *group;
    const struct uuid *topic;
};

static uint64_t line_hash(const struct group *group, const struct uuid *topic)
{
    return (map_hash_bytes(topic->bytes, UUID_SIZE) + group->number) * 0x9e3779b97f4a7c15u; /* scatters neighbours by number */
}

static uint64_t hash_of_line(const void *owner, uint32_t number)
{
    const struct group_line *line = group_line_of_number(owner, number);

    return line_hash(line->group, &line->topic);
}

static bool is_line(const void *owner, uint32_t number, const void *key)
{
    const struct group_line *line = group_line_of_number(owner, number);
    const struct line_key *wanted = key;

    return line->group == wanted->group && uuid_equal(&line->topic, wanted->topic);
}

static const struct number_keys line_keys = {hash_of_line, is_line};

struct group_line *state_find_line(const struct groups *groups, const struct group *group, const struct uuid *topic)
{
    struct line_key key = {group, topic};
    struct group_line *line = group->lines;
    uint32_t number;

    if (group->is_indexed) {
        number = number_index_find(&groups->line_index, &line_keys, groups, line_hash(group, topic), &key);
        return number == NUMBER_INDEX_NONE ? NULL : group_line_of_number(groups, number);
    }
    while (line != NULL && !uuid_equal(&line->topic, topic))
        line = line->next;
    return line;
}

/* Before one more is added: all of its lines are in the index, or none. */
static int index_lines(struct groups *groups, struct group *group)
{
    if (group->is_indexed || group->line_count < LINES_WALKED) return 0;
    for (struct group_line *line = group->lines; line != NULL; line = line->next) {
        if (number_index_add(&groups->line_index, &line_keys, groups, line->number) == 0) continue;
        for (struct group_line *added = group->lines; added != line; added = added->next)
            number_index_remove(&groups->line_index, &line_keys, groups, added->number);
        return MESH_ENOMEM;
    }
    group->is_indexed = true;
    return 0;
}

static int add_line_page(struct groups *groups)
{
    if (groups->line_page_count == groups->line_page_room) {
        uint32_t room = groups->line_page_room == 0 ? 4 : groups->line_page_room + groups->line_page_room / 2;
        struct group_line **pages = reallocarray(groups->line_pages, room, sizeof(*pages));

        if (pages == NULL) return MESH_ENOMEM;
        groups->line_pages = pages;
        groups->line_page_room = room;
    }
    groups->line_pages[groups->line_page_count] = malloc(LINE_PAGE * sizeof(struct group_line));
    if (groups->line_pages[groups->line_page_count] == NULL) return MESH_ENOMEM;
    groups->line_page_count++;
    return 0;
}

static void free_line(struct groups *groups, struct group_line *line)
{
    line->group = NULL;
    line->next = groups->line_free;
    groups->line_free = line;
}

static int take_line(struct groups *groups, struct group_line **ret_line)
{
    struct group_line *line = groups->line_free;
    uint32_t number;

    if (line == NULL && groups->line_top == groups->line_page_count * LINE_PAGE && add_line_page(groups) != 0) return MESH_ENOMEM;
    if (line == NULL) {
        number = groups->line_top++;
        line = group_line_of_number(groups, number);
    } else {
        number = line->number;
        groups->line_free = line->next;
    }
    *line = (struct group_line){.number = number};
    *ret_line = line;
    return 0;
}

int state_add_line(struct groups *groups, struct group *group, const struct uuid *topic, struct group_line **ret_line)
{
    struct group_line *line = state_find_line(groups, group, topic);

    if (line == NULL) {
        if (index_lines(groups, group) != 0 || take_line(groups, &line) != 0) return MESH_ENOMEM;
        line->group = group;
        line->topic = *topic;
        line->imaged_in = groups->checkpoint;
        if (group->is_indexed && number_index_add(&groups->line_index, &line_keys, groups, line->number) != 0) {
            free_line(groups, line);
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
    uint32_t before = line_slot_count(line);
    struct group_slots *slots;

    if (count <= before) return 0;
    slots = realloc(line->slots, sizeof(*slots) + (size_t)count * sizeof(slots->of[0]));
    if (slots == NULL) return MESH_ENOMEM;
    if (line->slots == NULL) slots->targets = slots->claims = 0;
    memset(slots->of + before, 0, (count - before) * sizeof(slots->of[0]));
    slots->count = count;
    line->slots = slots;
    return 0;
}

void state_tidy_lines(struct groups *groups, struct group *group)
{
    for (struct group_line **at = &group->lines; *at != NULL;) {
        struct group_line *line = *at;

        if (line->slots != NULL && line->slots->targets == 0 && line->slots->claims == 0) {
            free(line->slots);
            line->slots = NULL;
        }
        if (line->slots != NULL || line->cell_count > 0) {
            at = &line->next;
            continue;
        }
        *at = line->next;
        group->line_count--;
        if (group->is_indexed) number_index_remove(&groups->line_index, &line_keys, groups, line->number);
        free_line(groups, line);
    }
    if (group->line_count == 0) group->is_indexed = false;
}

/* ---- members ---- */

static uint64_t member_hash(const struct group *group, struct slice id)
{
    return group_hash(group) * 31 + map_hash_bytes(id.data, id.size);
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

    if (group_member_count(group) == GROUP_MEMBERS_MAX) return MESH_ECORRUPT;
    if (give_life(group) != 0) return MESH_ENOMEM;
    member = calloc(1, sizeof(*member));
    if (member == NULL) return MESH_ENOMEM;
    if (take_number(&groups->member_numbers, member, &member->number) != 0) {
        free(member);
        return MESH_ENOMEM;
    }
    member->group = group;
    if (group->life->last == NULL)
        group->life->first = member;
    else
        group->life->last->next = member;
    group->life->last = member;
    group->life->member_count++;
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
        for (uint32_t i = 0; i < line_slot_count(line) && member->claims > 0; i++)
            if (line->slots->of[i].owner == member->number + 1) state_set_owner(groups, line, i, 0, 0);
}

void state_drop_member(struct groups *groups, struct group_member *member)
{
    struct group *group = member->group;
    struct group_life *life = group->life;
    struct group_member **at = &life->first, *before = NULL;

    state_clear_claims(groups, member);
    for (struct group_line *line = group->lines; line != NULL; line = line->next)
        for (uint32_t i = 0; i < line_slot_count(line) && member->targets > 0; i++)
            if (line->slots->of[i].target == member->number + 1) state_set_target(groups, line, i, 0);
    while (*at != member) {
        before = *at;
        at = &before->next;
    }
    *at = member->next;
    if (life->last == member) life->last = before;
    life->member_count--;
    if (is_mapped(member)) map_remove(&groups->members, &member->node);
    give_number(&groups->member_numbers, member->number);
    buffer_deinit(&member->bytes);
    free(member);
    end_life(group);
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
    struct group_slot *slot = &line->slots->of[partition];

    change_target(groups, slot->target, -1);
    change_target(groups, target, 1);
    line->slots->targets = line->slots->targets - (slot->target != 0) + (target != 0);
    note_change(line->group);
    slot->target = target;
}

void state_set_owner(struct groups *groups, struct group_line *line, uint32_t partition, uint32_t owner, uint32_t claimed_in)
{
    struct group_slot *slot = &line->slots->of[partition];

    if (slot->owner != 0) group_member_of_number(groups, slot->owner)->claims--;
    if (owner != 0) group_member_of_number(groups, owner)->claims++;
    line->slots->claims = line->slots->claims - (slot->owner != 0) + (owner != 0);
    note_change(line->group);
    slot->owner = owner;
    slot->claimed_in = owner == 0 ? 0 : claimed_in;
}

/* ---- cells ---- */

struct slice state_metadata(const struct groups *groups, const struct group_line *line, uint32_t partition)
{
    return cell_table_text(&groups->cells, line->number, partition);
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
    return !cell->has_text && item->metadata.size == 0 ? 0 : cell_table_set_text(&groups->cells, line->number, item->partition, item->metadata);
}

void state_drop_cell(struct groups *groups, struct group_line *line, uint32_t partition)
{
    cell_table_remove(&groups->cells, line->number, partition);
    line->cell_count--;
    line->group->cell_count--;
}
