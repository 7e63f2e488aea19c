#include "replication/groups/cell_table.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_CELLS 64u

void cell_table_init(struct cell_table *table)
{
    memset(table, 0, sizeof(*table));
}

void cell_table_deinit(struct cell_table *table)
{
    for (uint32_t i = 0; i < table->page_count; i++)
        free(table->pages[i]);
    free(table->pages);
    free(table->index);
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
    return (uint32_t)(key ^ (key >> 31)) & (index_size - 1);
}

/* The place of the index that names the cell, or the free one where it would be named. */
static uint32_t place_of(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t place = home_of(table->index_size, line, partition);

    while (table->index[place] != 0) {
        const struct cell *cell = cell_of(table, table->index[place] - 1);
        if (cell->line == line && cell->partition == partition) break;
        place = (place + 1) & (table->index_size - 1);
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
    uint32_t size = table->index_size == 0 ? 16 : table->index_size * 2, *old = table->index, old_size = table->index_size;
    uint32_t *index = size == 0 ? NULL : calloc(size, sizeof(*index));

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
    if ((uint64_t)(table->count + 1) * 8 > (uint64_t)table->index_size * 7 && grow_index(table) != 0) return NULL;
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
    uint32_t mask = table->index_size - 1, hole = place_of(table, cell->line, cell->partition), number = table->index[hole];

    MESH_ASSERT(number != 0 && cell_of(table, number - 1) == cell);
    /* Without gravestones: what lies behind moves up where its way from home would lead through the hole (Knuth, 6.4, algorithm R). */
    for (uint32_t at = (hole + 1) & mask; table->index[at] != 0; at = (at + 1) & mask) {
        const struct cell *other = cell_of(table, table->index[at] - 1);
        uint32_t home = home_of(table->index_size, other->line, other->partition);
        if (((at - home) & mask) < ((at - hole) & mask)) continue;
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
    return table->page_count * (PAGE_CELLS * sizeof(struct cell)) + table->page_room * sizeof(struct cell *) + table->index_size * sizeof(uint32_t);
}
