#include "replication/spread/cells.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/map.h"
#include "replication/groups/cell_table.h"
#include "replication/spread/switches.h"

#include <stdlib.h>

#define OFFSET_GONE UINT64_MAX /* in a cell: only its version and its time count */

#ifdef MESH_TEST_SWITCHES
uint64_t spread_defects;

void spread_bring_back(enum spread_defect defect)
{
    spread_defects = defect == SPREAD_DEFECT_NONE ? 0 : spread_defects | 1ull << defect;
}
#endif

/* A topic of a group: named here once, and by number in each cell. */
struct spread_line {
    struct map_node node; /* in cells->lines */
    struct spread_group *group;
    struct spread_line *next; /* of the group */
    struct uuid topic;
    uint32_t number;
    uint32_t cell_count;    /* graves included */
    uint32_t partition_end; /* behind the highest that ever had a cell */
};

struct spread_group {
    struct map_node node; /* in cells->groups */
    struct spread_line *lines;
    struct spread_version version, gone; /* of the latest row about it, and of its latest end, which came before that */
    bool has_row, has_gone;
    enum group_protocol protocol;
    uint32_t generation, reset_epoch, member_count, gone_s;
    uint32_t cell_count; /* offsets, no graves */
    uint64_t empty_since_ms;
    uint32_t name_size;
    uint8_t name[];
};

struct spread_cells {
    struct map groups, lines;
    struct cell_table table;
    uint32_t *free_numbers, free_count, free_room, number_top; /* of lines */
    size_t group_count, cell_count; /* that are there */
    size_t bytes;                   /* of what is counted one by one */
};

static struct slice name_of(const struct spread_group *group)
{
    return slice_of(group->name, group->name_size);
}

static bool is_there(const struct spread_group *group)
{
    return group->cell_count != 0 || group->has_row;
}

static struct spread_version version_of(const struct cell *cell)
{
    return (struct spread_version){cell->version_epoch, cell->version_lsn};
}

/* ---- things come and go ---- */

int spread_cells_new(struct spread_cells **ret_cells)
{
    struct spread_cells *cells = calloc(1, sizeof(*cells));

    if (cells == NULL) return MESH_ENOMEM;
    cell_table_init(&cells->table);
    *ret_cells = cells;
    return 0;
}

static struct spread_group *find_group(const struct spread_cells *cells, struct slice name)
{
    struct map_node *node = map_find(&cells->groups, map_hash_bytes(name.data, name.size));

    for (; node != NULL; node = map_find_next(node)) {
        struct spread_group *group = container_of(node, struct spread_group, node);
        if (slice_equal(name_of(group), name)) return group;
    }
    return NULL;
}

static int add_group(struct spread_cells *cells, struct slice name, struct spread_group **ret_group)
{
    struct spread_group *group = calloc(1, sizeof(*group) + name.size);

    if (group == NULL) return MESH_ENOMEM;
    group->name_size = (uint32_t)name.size;
    memcpy(group->name, name.data, name.size);
    if (map_insert(&cells->groups, &group->node, map_hash_bytes(name.data, name.size)) != 0) {
        free(group);
        return MESH_ENOMEM;
    }
    cells->bytes += sizeof(*group) + name.size;
    *ret_group = group;
    return 0;
}

static uint64_t line_hash(const struct spread_group *group, const struct uuid *topic)
{
    uint64_t seed = (uint64_t)(uintptr_t)group;

    return map_hash_bytes(topic->bytes, UUID_SIZE) ^ map_hash_bytes(&seed, sizeof(seed));
}

static struct spread_line *find_line(const struct spread_cells *cells, const struct spread_group *group, const struct uuid *topic)
{
    struct map_node *node = map_find(&cells->lines, line_hash(group, topic));

    for (; node != NULL; node = map_find_next(node)) {
        struct spread_line *line = container_of(node, struct spread_line, node);
        if (line->group == group && uuid_equal(&line->topic, topic)) return line;
    }
    return NULL;
}

/* Room for every number that was ever given, so that giving back cannot fail. */
static int make_room_for_numbers(struct spread_cells *cells)
{
    uint32_t room = cells->free_room == 0 ? 16 : cells->free_room * 2;
    uint32_t *numbers;

    if (cells->number_top < cells->free_room) return 0;
    numbers = reallocarray(cells->free_numbers, room, sizeof(*numbers));
    if (numbers == NULL) return MESH_ENOMEM;
    cells->free_numbers = numbers;
    cells->free_room = room;
    return 0;
}

static int add_line(struct spread_cells *cells, struct spread_group *group, const struct uuid *topic, struct spread_line **ret_line)
{
    struct spread_line *line;

    if (make_room_for_numbers(cells) != 0) return MESH_ENOMEM;
    line = calloc(1, sizeof(*line));
    if (line == NULL) return MESH_ENOMEM;
    if (map_insert(&cells->lines, &line->node, line_hash(group, topic)) != 0) {
        free(line);
        return MESH_ENOMEM;
    }
    line->number = cells->free_count != 0 ? cells->free_numbers[--cells->free_count] : cells->number_top++;
    line->group = group;
    line->topic = *topic;
    line->next = group->lines;
    group->lines = line;
    cells->bytes += sizeof(*line);
    *ret_line = line;
    return 0;
}

static void drop_line(struct spread_cells *cells, struct spread_line *line)
{
    struct spread_line **link = &line->group->lines;

    while (*link != line)
        link = &(*link)->next;
    *link = line->next;
    map_remove(&cells->lines, &line->node);
    cells->free_numbers[cells->free_count++] = line->number;
    cells->bytes -= sizeof(*line);
    free(line);
}

static void drop_group(struct spread_cells *cells, struct spread_group *group)
{
    MESH_ASSERT(group->lines == NULL);
    map_remove(&cells->groups, &group->node);
    cells->bytes -= sizeof(*group) + group->name_size;
    free(group);
}

void spread_cells_free(struct spread_cells *cells)
{
    struct map_node *node, *next;

    if (cells == NULL) return;
    for (node = map_iterate(&cells->lines, NULL); node != NULL; node = next) {
        next = map_iterate(&cells->lines, node);
        free(container_of(node, struct spread_line, node));
    }
    for (node = map_iterate(&cells->groups, NULL); node != NULL; node = next) {
        next = map_iterate(&cells->groups, node);
        free(container_of(node, struct spread_group, node));
    }
    map_deinit(&cells->groups);
    map_deinit(&cells->lines);
    cell_table_deinit(&cells->table);
    free(cells->free_numbers);
    free(cells);
}

/* ---- merging ---- */

/* Before and after whatever may make a group appear or vanish. */
static void count_group(struct spread_cells *cells, bool was_there, const struct spread_group *group)
{
    if (was_there && !is_there(group)) cells->group_count--;
    if (!was_there && is_there(group)) cells->group_count++;
}

static void remove_cell(struct spread_cells *cells, struct spread_line *line, uint32_t partition)
{
    const struct cell *cell = cell_table_find(&cells->table, line->number, partition);

    if (cell->offset != OFFSET_GONE) {
        line->group->cell_count--;
        cells->cell_count--;
    }
    cell_table_remove(&cells->table, line->number, partition);
    line->cell_count--;
}

static bool is_news(const struct cell *cell, const struct spread_row *row)
{
    if (SPREAD_DEFECT(LAST_HEARD_WINS)) return true;
    if (SPREAD_DEFECT(LARGEST_OFFSET_WINS) && row->kind == SPREAD_CELL && cell->offset != OFFSET_GONE) return row->offset > cell->offset;
    return spread_version_compare(row->version, version_of(cell)) > 0;
}

static void set_cell(struct spread_cells *cells, struct spread_line *line, struct cell *cell, const struct spread_row *row)
{
    bool had = cell->offset != OFFSET_GONE, has = row->kind == SPREAD_CELL;

    cell->version_epoch = row->version.epoch;
    cell->version_lsn = row->version.lsn;
    cell->committed_s = row->time_s;
    cell->offset = has ? row->offset : OFFSET_GONE;
    cell->record_epoch = has ? row->record_epoch : -1;
    if (had == has) return;
    line->group->cell_count += has ? 1u : -1u;
    cells->cell_count += has ? (size_t)1 : (size_t)-1;
}

static int merge_cell(struct spread_cells *cells, struct spread_group *group, const struct spread_row *row)
{
    struct spread_line *line = find_line(cells, group, &row->topic);
    struct cell *cell = line == NULL ? NULL : cell_table_find(&cells->table, line->number, row->partition);

    if (cell != NULL && !is_news(cell, row)) return 0;
    if (group->has_gone && spread_version_compare(row->version, group->gone) <= 0) return 0;
    if (SPREAD_DEFECT(GRAVES_FORGOTTEN) && row->kind == SPREAD_CELL_GONE) {
        if (cell != NULL) remove_cell(cells, line, row->partition);
        return 0;
    }
    if (line == NULL && add_line(cells, group, &row->topic, &line) != 0) return MESH_ENOMEM;
    if (cell == NULL) {
        cell = cell_table_add(&cells->table, line->number, row->partition);
        if (cell == NULL) goto fail;
        cell->offset = OFFSET_GONE; /* until set_cell(): version 0, as if it had been gone for ever */
        line->cell_count++;
        if (row->partition >= line->partition_end) line->partition_end = row->partition + 1;
    }
    if (cell_table_set_text(&cells->table, line->number, row->partition, row->metadata) != 0) goto fail; /* a grave's row has none */
    set_cell(cells, line, cell, row);
    return 0;
fail:
    if (line->cell_count == 0) drop_line(cells, line);
    return MESH_ENOMEM;
}

static void merge_group(struct spread_group *group, const struct spread_row *row)
{
    if (group->has_row && spread_version_compare(row->version, group->version) <= 0 && !SPREAD_DEFECT(LAST_HEARD_WINS)) return;
    if (group->has_gone && spread_version_compare(row->version, group->gone) <= 0) return;
    group->has_row = true;
    group->version = row->version;
    group->protocol = row->protocol;
    group->generation = row->generation;
    group->reset_epoch = row->reset_epoch;
    group->member_count = row->member_count;
    group->empty_since_ms = row->empty_since_ms;
}

/* Removes the cells of a line that `is_gone` says so of, and the line when none is left. */
static void sweep_line(struct spread_cells *cells, struct spread_line *line, bool (*is_gone)(const struct cell *cell, const void *arg), const void *arg)
{
    for (uint32_t partition = 0; partition < line->partition_end && line->cell_count != 0; partition++) {
        struct cell *cell = cell_table_find(&cells->table, line->number, partition);
        if (cell != NULL && is_gone(cell, arg)) remove_cell(cells, line, partition);
    }
    if (line->cell_count == 0) drop_line(cells, line);
}

static void sweep_group(struct spread_cells *cells, struct spread_group *group, bool (*is_gone)(const struct cell *cell, const void *arg), const void *arg)
{
    struct spread_line *next;

    for (struct spread_line *line = group->lines; line != NULL; line = next) {
        next = line->next;
        sweep_line(cells, line, is_gone, arg);
    }
}

static bool is_from_before(const struct cell *cell, const void *arg)
{
    const struct spread_group *group = arg;

    return spread_version_compare(version_of(cell), group->gone) <= 0;
}

static void end_group(struct spread_cells *cells, struct spread_group *group, const struct spread_row *row)
{
    if (group->has_gone && spread_version_compare(row->version, group->gone) <= 0) return;
    group->has_gone = true;
    group->gone = row->version;
    group->gone_s = row->time_s;
    sweep_group(cells, group, is_from_before, group);
    if (group->has_row && spread_version_compare(group->version, group->gone) <= 0) group->has_row = false;
    if (SPREAD_DEFECT(GRAVES_FORGOTTEN)) group->has_gone = false;
}

int spread_cells_merge(struct spread_cells *cells, const struct spread_row *row)
{
    struct spread_group *group = find_group(cells, row->group);
    bool was_there = group != NULL && is_there(group);
    int err = 0;

    if (group == NULL && add_group(cells, row->group, &group) != 0) return MESH_ENOMEM;
    if (row->kind == SPREAD_GROUP) merge_group(group, row);
    else if (row->kind == SPREAD_GROUP_GONE) end_group(cells, group, row);
    else err = merge_cell(cells, group, row);
    count_group(cells, was_there, group);
    if (!group->has_row && !group->has_gone && group->lines == NULL) drop_group(cells, group);
    return err;
}

int spread_cells_merge_rows(struct spread_cells *cells, struct slice rows)
{
    struct spread_rows_reader reader = spread_rows_read(rows);
    struct spread_row row;
    int err = 0;

    while (err == 0 && spread_rows_next(&reader, &row))
        err = spread_cells_merge(cells, &row);
    return err;
}

static bool is_old_grave(const struct cell *cell, const void *arg)
{
    const uint32_t *before_s = arg;

    return cell->offset == OFFSET_GONE && cell->committed_s < *before_s;
}

void spread_cells_purge(struct spread_cells *cells, uint32_t before_s)
{
    struct map_node *next;

    for (struct map_node *node = map_iterate(&cells->groups, NULL); node != NULL; node = next) {
        struct spread_group *group = container_of(node, struct spread_group, node);

        next = map_iterate(&cells->groups, node);
        sweep_group(cells, group, is_old_grave, &before_s);
        if (group->has_gone && group->gone_s < before_s) group->has_gone = false;
        if (!group->has_row && !group->has_gone && group->lines == NULL) drop_group(cells, group);
    }
}

/* ---- looking ---- */

size_t spread_cells_groups(const struct spread_cells *cells)
{
    return cells->group_count;
}

size_t spread_cells_count(const struct spread_cells *cells)
{
    return cells->cell_count;
}

size_t spread_cells_bytes(const struct spread_cells *cells)
{
    return sizeof(*cells) + cells->bytes + cell_table_bytes(&cells->table) + cells->free_room * sizeof(uint32_t) +
           (cells->groups.bucket_count + cells->lines.bucket_count) * sizeof(struct map_node *);
}

const struct spread_group *spread_cells_find(const struct spread_cells *cells, struct slice name)
{
    const struct spread_group *group = find_group(cells, name);

    return group != NULL && is_there(group) ? group : NULL;
}

const struct spread_group *spread_cells_next(const struct spread_cells *cells, const struct spread_group *group)
{
    const struct map_node *node = map_iterate(&cells->groups, group == NULL ? NULL : &group->node);

    for (; node != NULL; node = map_iterate(&cells->groups, node)) {
        group = container_of(node, struct spread_group, node);
        if (is_there(group)) return group;
    }
    return NULL;
}

struct spread_group_view spread_group_view_of(const struct spread_group *group)
{
    struct spread_group_view view = {.name = name_of(group), .cell_count = group->cell_count};

    if (!group->has_row) return view; /* its offsets came first */
    view.protocol = group->protocol;
    view.generation = group->generation;
    view.reset_epoch = group->reset_epoch;
    view.member_count = group->member_count;
    view.empty_since_ms = group->empty_since_ms;
    return view;
}

static struct spread_row row_of(const struct spread_cells *cells, const struct spread_line *line, uint32_t partition, const struct cell *cell)
{
    bool is_gone = cell->offset == OFFSET_GONE;
    struct spread_row row = {.kind = is_gone ? SPREAD_CELL_GONE : SPREAD_CELL, .group = name_of(line->group), .version = version_of(cell),
                             .time_s = cell->committed_s, .topic = line->topic, .partition = partition, .record_epoch = cell->record_epoch};

    if (!is_gone) row.offset = cell->offset;
    if (cell->has_text) row.metadata = cell_table_text(&cells->table, line->number, partition);
    return row;
}

bool spread_group_committed(const struct spread_cells *cells, const struct spread_group *group, const struct uuid *topic, uint32_t partition,
                            struct spread_row *ret_row)
{
    const struct spread_line *line = find_line(cells, group, topic);
    const struct cell *cell = line == NULL ? NULL : cell_table_find(&cells->table, line->number, partition);

    if (cell == NULL || cell->offset == OFFSET_GONE) return false;
    *ret_row = row_of(cells, line, partition, cell);
    return true;
}

/* The next cell or grave. */
static const struct cell *next_cell(const struct spread_cells *cells, const struct spread_group *group, struct spread_cursor *cursor)
{
    const struct spread_line *line = cursor->line == NULL ? group->lines : cursor->line;

    for (; line != NULL; line = line->next, cursor->partition = 0) {
        while (cursor->partition < line->partition_end) {
            const struct cell *cell = cell_table_find(&cells->table, line->number, cursor->partition++);
            cursor->line = line;
            if (cell != NULL) return cell;
        }
        if (line->next == NULL) break; /* stay at the end */
    }
    return NULL;
}

bool spread_group_next_cell(const struct spread_cells *cells, const struct spread_group *group, struct spread_cursor *cursor, struct spread_row *ret_row)
{
    const struct cell *cell = next_cell(cells, group, cursor);

    while (cell != NULL && cell->offset == OFFSET_GONE)
        cell = next_cell(cells, group, cursor);
    if (cell == NULL) return false;
    *ret_row = row_of(cells, cursor->line, cursor->partition - 1, cell);
    return true;
}

void spread_cells_each_row(const struct spread_cells *cells, void (*put)(void *arg, const struct spread_row *row), void *arg)
{
    for (struct map_node *node = map_iterate(&cells->groups, NULL); node != NULL; node = map_iterate(&cells->groups, node)) {
        const struct spread_group *group = container_of(node, struct spread_group, node);
        struct spread_row row = {.kind = SPREAD_GROUP_GONE, .group = name_of(group), .version = group->gone, .time_s = group->gone_s};
        struct spread_cursor cursor = {NULL, 0};
        const struct cell *cell;

        if (group->has_gone) put(arg, &row);
        if (group->has_row) {
            row = (struct spread_row){.kind = SPREAD_GROUP, .group = name_of(group), .version = group->version, .protocol = group->protocol,
                                      .generation = group->generation, .reset_epoch = group->reset_epoch, .member_count = group->member_count,
                                      .empty_since_ms = group->empty_since_ms};
            put(arg, &row);
        }
        while ((cell = next_cell(cells, group, &cursor)) != NULL) {
            row = row_of(cells, cursor.line, cursor.partition - 1, cell);
            put(arg, &row);
        }
    }
}

static uint64_t mix(uint64_t hash, uint64_t v)
{
    v ^= hash;
    v = (v ^ (v >> 30)) * 0xbf58476d1ce4e5b9u;
    v = (v ^ (v >> 27)) * 0x94d049bb133111ebu;
    return v ^ (v >> 31);
}

static uint64_t cell_hash(const struct spread_row *row)
{
    uint64_t hash = map_hash_bytes(row->topic.bytes, UUID_SIZE);

    hash = mix(mix(hash, row->partition), row->offset);
    hash = mix(mix(hash, row->version.epoch), row->version.lsn);
    hash = mix(mix(hash, (uint64_t)(uint32_t)row->record_epoch), row->time_s);
    return mix(hash, map_hash_bytes(row->metadata.data, row->metadata.size));
}

/* Sums: in no order. */
uint64_t spread_cells_hash(const struct spread_cells *cells)
{
    uint64_t sum = 0;

    for (const struct spread_group *group = spread_cells_next(cells, NULL); group != NULL; group = spread_cells_next(cells, group)) {
        struct spread_group_view view = spread_group_view_of(group);
        uint64_t hash = map_hash_bytes(view.name.data, view.name.size), inside = 0;
        struct spread_cursor cursor = {NULL, 0};
        struct spread_row row;

        while (spread_group_next_cell(cells, group, &cursor, &row))
            inside += cell_hash(&row);
        hash = mix(mix(hash, inside), (uint64_t)view.generation << 32 | view.reset_epoch);
        sum += mix(mix(hash, view.empty_since_ms), (uint64_t)view.member_count << 8 | view.protocol);
    }
    return sum;
}
