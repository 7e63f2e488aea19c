#include "replication/groups/cell_table.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_CELLS 64u

struct cell_text {
    uint8_t *data; /* owned */
    uint32_t size, room;
    uint32_t cell; /* its number; of a free one: 1 + number of the next, 0: none */
};

void cell_table_init(struct cell_table *table)
{
    memset(table, 0, sizeof(*table));
}

void cell_table_deinit(struct cell_table *table)
{
    for (uint32_t i = 0; i < table->page_count; i++)
        free(table->pages[i]);
    for (uint32_t i = 0; i < table->text_top; i++)
        free(table->texts[i].data);
    free(table->pages);
    free(table->index);
    free(table->texts);
    number_index_deinit(&table->text_index);
    cell_table_init(table);
}

static struct cell *cell_of(const struct cell_table *table, uint32_t number)
{
    return &table->pages[number / PAGE_CELLS][number % PAGE_CELLS];
}

/* Partitions of a line are neighbours in number, not in the index: the finaliser of splitmix64 scatters them. */
static uint32_t home_of(uint32_t index_size, uint32_t line, uint32_t partition)
{
    uint64_t key = (uint64_t)line << 32 | partition;

    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((key >> 32) * index_size >> 32); /* of any size: it grows by a quarter at a time */
}

static uint32_t behind(const struct cell_table *table, uint32_t place)
{
    return place + 1 == table->index_size ? 0 : place + 1;
}

/* How far it is from one place to another, always onwards. */
static uint32_t way(const struct cell_table *table, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + table->index_size - from;
}

/* The place of the index that names the cell, or the free one where it would be named. */
static uint32_t place_of(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t place = home_of(table->index_size, line, partition);

    while (table->index[place] != 0) {
        const struct cell *cell = cell_of(table, table->index[place] - 1);
        if (cell->line == line && cell->partition == partition) break;
        place = behind(table, place);
    }
    return place;
}

struct cell *cell_table_find(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t place;

    if (table->count == 0) return NULL;
    place = place_of(table, line, partition);
    return table->index[place] == 0 ? NULL : cell_of(table, table->index[place] - 1);
}

static int grow_index(struct cell_table *table)
{
    uint32_t size = table->index_size == 0 ? 16 : table->index_size + table->index_size / 4, *old = table->index, old_size = table->index_size;
    uint32_t *index = size <= old_size ? NULL : calloc(size, sizeof(*index));

    if (index == NULL) return -1;
    table->index = index;
    table->index_size = size;
    for (uint32_t i = 0; i < old_size; i++) {
        if (old[i] == 0) continue;
        const struct cell *cell = cell_of(table, old[i] - 1);
        index[place_of(table, cell->line, cell->partition)] = old[i];
    }
    free(old);
    return 0;
}

static int add_page(struct cell_table *table)
{
    if (table->page_count == table->page_room) {
        uint32_t room = table->page_room == 0 ? 4 : table->page_room + table->page_room / 2;
        struct cell **pages = reallocarray(table->pages, room, sizeof(*pages));
        if (pages == NULL) return -1;
        table->pages = pages;
        table->page_room = room;
    }
    table->pages[table->page_count] = malloc(PAGE_CELLS * sizeof(struct cell));
    if (table->pages[table->page_count] == NULL) return -1;
    table->page_count++;
    return 0;
}

struct cell *cell_table_add(struct cell_table *table, uint32_t line, uint32_t partition)
{
    struct cell *cell = cell_table_find(table, line, partition);
    uint32_t number;

    if (cell != NULL) return cell;
    if ((uint64_t)(table->count + 1) * 5 > (uint64_t)table->index_size * 4 && grow_index(table) != 0) return NULL;
    if (table->free == 0 && table->top == table->page_count * PAGE_CELLS && add_page(table) != 0) return NULL;
    if (table->free != 0) {
        number = table->free - 1;
        table->free = cell_of(table, number)->line;
    } else {
        number = table->top++;
    }
    cell = cell_of(table, number);
    memset(cell, 0, sizeof(*cell));
    cell->line = line;
    cell->partition = partition;
    table->index[place_of(table, line, partition)] = number + 1;
    table->count++;
    return cell;
}

void cell_table_remove(struct cell_table *table, struct cell *cell)
{
    uint32_t hole = place_of(table, cell->line, cell->partition), number = table->index[hole];

    MESH_ASSERT(number != 0 && cell_of(table, number - 1) == cell);
    (void)cell_table_set_text(table, cell, slice_of(NULL, 0)); /* nothing needs memory */
    /* Without gravestones: what lies behind moves up where its way from home would lead through the hole (Knuth, 6.4, algorithm R). */
    for (uint32_t at = behind(table, hole); table->index[at] != 0; at = behind(table, at)) {
        const struct cell *other = cell_of(table, table->index[at] - 1);
        uint32_t home = home_of(table->index_size, other->line, other->partition);
        if (way(table, home, at) < way(table, hole, at)) continue;
        table->index[hole] = table->index[at];
        hole = at;
    }
    table->index[hole] = 0;
    cell->line = table->free;
    table->free = number;
    table->count--;
}

uint32_t cell_table_number(const struct cell_table *table, const struct cell *cell)
{
    return table->index[place_of(table, cell->line, cell->partition)] - 1;
}

/* A free cell says nothing of itself: it is one that the index does not name. */
const struct cell *cell_table_at(const struct cell_table *table, uint32_t number)
{
    const struct cell *cell = number < table->top ? cell_of(table, number) : NULL;

    return cell != NULL && cell_table_find(table, cell->line, cell->partition) == cell ? cell : NULL;
}

size_t cell_table_bytes(const struct cell_table *table)
{
    return table->page_count * (PAGE_CELLS * sizeof(struct cell)) + table->page_room * sizeof(struct cell *) + table->index_size * sizeof(uint32_t) +
           table->text_room * sizeof(struct cell_text) + table->text_index.size * sizeof(uint32_t) + table->text_bytes;
}

/* ---- texts ---- */

static uint64_t hash_of_number(uint32_t cell_number)
{
    return cell_number * 0x9e3779b97f4a7c15u;
}

static uint64_t hash_of_text(const void *owner, uint32_t number)
{
    const struct cell_table *table = owner;

    return hash_of_number(table->texts[number].cell);
}

static bool is_text_of(const void *owner, uint32_t number, const void *key)
{
    const struct cell_table *table = owner;

    return table->texts[number].cell == *(const uint32_t *)key;
}

static const struct number_keys text_keys = {hash_of_text, is_text_of};

/* NULL: it has none. */
static struct cell_text *text_of(const struct cell_table *table, const struct cell *cell)
{
    uint32_t cell_number, number;

    if (!cell->has_text) return NULL;
    cell_number = cell_table_number(table, cell);
    number = number_index_find(&table->text_index, &text_keys, table, hash_of_number(cell_number), &cell_number);
    MESH_ASSERT(number != NUMBER_INDEX_NONE);
    return &table->texts[number];
}

struct slice cell_table_text(const struct cell_table *table, const struct cell *cell)
{
    const struct cell_text *text = text_of(table, cell);

    return text == NULL ? slice_of(NULL, 0) : slice_of(text->data, text->size);
}

static void drop_text(struct cell_table *table, struct cell *cell)
{
    struct cell_text *text = text_of(table, cell);
    uint32_t number;

    if (text == NULL) return;
    number = (uint32_t)(text - table->texts);
    number_index_remove(&table->text_index, &text_keys, table, number);
    free(text->data);
    table->text_bytes -= text->room;
    *text = (struct cell_text){.cell = table->text_free};
    table->text_free = number + 1;
    cell->has_text = 0;
}

static int grow_texts(struct cell_table *table)
{
    uint32_t room = table->text_room == 0 ? 8 : table->text_room + table->text_room / 2;
    struct cell_text *texts;

    if (table->text_free != 0 || table->text_top < table->text_room) return 0;
    texts = reallocarray(table->texts, room, sizeof(*texts));
    if (texts == NULL) return MESH_ENOMEM;
    table->texts = texts;
    table->text_room = room;
    return 0;
}

/* `data` is taken when it succeeds. */
static int add_text(struct cell_table *table, struct cell *cell, uint8_t *data, uint32_t size)
{
    uint32_t number, next_free = 0;

    if (grow_texts(table) != 0) return MESH_ENOMEM;
    number = table->text_free != 0 ? table->text_free - 1 : table->text_top;
    if (table->text_free != 0) next_free = table->texts[number].cell;
    table->texts[number] = (struct cell_text){data, size, size, cell_table_number(table, cell)};
    if (number_index_add(&table->text_index, &text_keys, table, number) != 0) {
        table->texts[number] = (struct cell_text){.cell = next_free};
        return MESH_ENOMEM;
    }
    if (table->text_free != 0) table->text_free = next_free;
    else table->text_top++;
    table->text_bytes += size;
    cell->has_text = 1;
    return 0;
}

int cell_table_set_text(struct cell_table *table, struct cell *cell, struct slice bytes)
{
    struct cell_text *text = text_of(table, cell);
    uint8_t *data = NULL;

    if (bytes.size == 0) {
        drop_text(table, cell);
        return 0;
    }
    if (text == NULL || text->room < bytes.size) {
        data = malloc(bytes.size);
        if (data == NULL) return MESH_ENOMEM;
        memcpy(data, bytes.data, bytes.size);
    }
    if (text == NULL) {
        int err = add_text(table, cell, data, (uint32_t)bytes.size);
        if (err != 0) free(data);
        return err;
    }
    if (data != NULL) {
        free(text->data);
        table->text_bytes += bytes.size - text->room;
        text->data = data;
        text->room = (uint32_t)bytes.size;
    } else {
        memcpy(text->data, bytes.data, bytes.size);
    }
    text->size = (uint32_t)bytes.size;
    return 0;
}
