#include "replication/groups/cell_table.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_CELLS 16u
#define IS_FREE     0x80000000u /* in blocks[] */

struct cell_block {
    uint32_t line;
    uint32_t sixteenth; /* of the partitions */
    uint16_t mask;      /* which there are */
    uint16_t room;      /* cells that the piece takes */
    struct cell cells[];
};

#define UNITS(cells) ((sizeof(struct cell_block) + (cells) * sizeof(struct cell)) / 4)
static const uint16_t units[CELL_SLAB_SIZES] = {0,        UNITS(1),  UNITS(2),  UNITS(3),  UNITS(4),  UNITS(5),  UNITS(6),  UNITS(7), UNITS(8),
                                                UNITS(9), UNITS(10), UNITS(11), UNITS(12), UNITS(13), UNITS(14), UNITS(15), UNITS(16)};

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
    for (uint32_t i = 0; i < table->text_top; i++)
        free(table->texts[i].data);
    cell_slab_deinit(&table->slab);
    free(table->blocks);
    free(table->texts);
    number_index_deinit(&table->index);
    number_index_deinit(&table->text_index);
    cell_table_init(table);
}

/* ---- blocks ---- */

static struct cell_block *block_of(const struct cell_table *table, uint32_t number)
{
    return cell_slab_at(&table->slab, table->blocks[number]);
}

/* Blocks of a line are neighbours in number, not in the index: the finaliser of splitmix64 scatters them. */
static uint64_t hash_of(uint32_t line, uint32_t sixteenth)
{
    uint64_t key = (uint64_t)line << 32 | sixteenth;

    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    return (key ^ (key >> 27)) * 0x94d049bb133111ebu;
}

static uint64_t hash_of_block(const void *owner, uint32_t number)
{
    const struct cell_block *block = block_of(owner, number);

    return hash_of(block->line, block->sixteenth);
}

static bool is_block(const void *owner, uint32_t number, const void *key)
{
    const struct cell_block *block = block_of(owner, number), *wanted = key;

    return block->line == wanted->line && block->sixteenth == wanted->sixteenth;
}

static const struct number_keys block_keys = {hash_of_block, is_block};

static uint32_t find_block(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    struct cell_block key = {.line = line, .sixteenth = partition / BLOCK_CELLS};

    return number_index_find(&table->index, &block_keys, table, hash_of(line, key.sixteenth), &key);
}

static uint16_t bit_of(uint32_t partition)
{
    return (uint16_t)(1u << partition % BLOCK_CELLS);
}

/* How many cells of the block come before this partition's. */
static uint32_t rank_of(const struct cell_block *block, uint32_t partition)
{
    return (uint32_t)__builtin_popcount(block->mask & (bit_of(partition) - 1u));
}

static uint32_t count_of(const struct cell_block *block)
{
    return (uint32_t)__builtin_popcount(block->mask);
}

/* A number is taken back by give_number() as long as no block has it. */
static int take_number(struct cell_table *table, uint32_t *ret_number)
{
    if (table->block_free != 0) {
        *ret_number = table->block_free - 1;
        table->block_free = table->blocks[*ret_number] & ~IS_FREE;
        return 0;
    }
    if (table->block_top == table->block_room) {
        uint32_t room = table->block_room == 0 ? 16 : table->block_room + table->block_room / 8 + 1;
        uint32_t *blocks = room > UINT32_MAX / BLOCK_CELLS ? NULL : reallocarray(table->blocks, room, sizeof(*blocks));

        if (blocks == NULL) return MESH_ENOMEM;
        table->blocks = blocks;
        table->block_room = room;
    }
    *ret_number = table->block_top++;
    return 0;
}

static void give_number(struct cell_table *table, uint32_t number)
{
    table->blocks[number] = table->block_free | IS_FREE;
    table->block_free = number + 1;
}

/* With room for one cell, and none. */
static int add_block(struct cell_table *table, uint32_t line, uint32_t partition, uint32_t *ret_number)
{
    uint32_t number, piece;

    if (take_number(table, &number) != 0) return MESH_ENOMEM;
    piece = cell_slab_take(&table->slab, units, 1);
    if (piece == UINT32_MAX) {
        give_number(table, number);
        return MESH_ENOMEM;
    }
    table->blocks[number] = piece;
    *block_of(table, number) = (struct cell_block){.line = line, .sixteenth = partition / BLOCK_CELLS, .room = 1};
    if (number_index_add(&table->index, &block_keys, table, number) != 0) {
        cell_slab_give(&table->slab, piece, 1);
        give_number(table, number);
        return MESH_ENOMEM;
    }
    *ret_number = number;
    return 0;
}

static int resize_block(struct cell_table *table, uint32_t number, uint32_t room)
{
    struct cell_block *from = block_of(table, number), *to;
    uint32_t old = table->blocks[number], piece = cell_slab_take(&table->slab, units, room);

    if (piece == UINT32_MAX) return MESH_ENOMEM;
    to = cell_slab_at(&table->slab, piece);
    memcpy(to, from, sizeof(*to) + count_of(from) * sizeof(struct cell));
    to->room = (uint16_t)room;
    table->blocks[number] = piece;
    cell_slab_give(&table->slab, old, from->room);
    return 0;
}

/* ---- cells ---- */

struct cell *cell_table_find(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t number = find_block(table, line, partition);
    struct cell_block *block = number == NUMBER_INDEX_NONE ? NULL : block_of(table, number);

    return block == NULL || (block->mask & bit_of(partition)) == 0 ? NULL : &block->cells[rank_of(block, partition)];
}

struct cell *cell_table_add(struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t number = find_block(table, line, partition), rank;
    struct cell_block *block;

    if (number == NUMBER_INDEX_NONE && add_block(table, line, partition, &number) != 0) return NULL;
    block = block_of(table, number);
    rank = rank_of(block, partition);
    if ((block->mask & bit_of(partition)) != 0) return &block->cells[rank];
    if (count_of(block) == block->room) {
        if (resize_block(table, number, block->room + 1u) != 0) return NULL;
        block = block_of(table, number);
    }
    memmove(&block->cells[rank + 1], &block->cells[rank], (count_of(block) - rank) * sizeof(struct cell));
    memset(&block->cells[rank], 0, sizeof(struct cell));
    block->mask |= bit_of(partition);
    table->count++;
    return &block->cells[rank];
}

void cell_table_remove(struct cell_table *table, uint32_t line, uint32_t partition)
{
    uint32_t number = find_block(table, line, partition), rank;
    struct cell_block *block = block_of(table, number);

    MESH_ASSERT((block->mask & bit_of(partition)) != 0);
    (void)cell_table_set_text(table, line, partition, slice_of(NULL, 0)); /* nothing needs memory */
    rank = rank_of(block, partition);
    memmove(&block->cells[rank], &block->cells[rank + 1], (count_of(block) - rank - 1) * sizeof(struct cell));
    block->mask &= (uint16_t)~bit_of(partition);
    table->count--;
    if (block->mask == 0) {
        number_index_remove(&table->index, &block_keys, table, number);
        cell_slab_give(&table->slab, table->blocks[number], block->room);
        give_number(table, number);
    } else if (count_of(block) <= block->room / 2) {
        (void)resize_block(table, number, count_of(block)); /* without memory it stays as large as it is */
    }
}

uint32_t cell_table_number(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    return find_block(table, line, partition) * BLOCK_CELLS + partition % BLOCK_CELLS;
}

bool cell_table_at(const struct cell_table *table, uint32_t number, uint32_t *ret_line, uint32_t *ret_partition)
{
    const struct cell_block *block;

    if (number >= cell_table_top(table) || (table->blocks[number / BLOCK_CELLS] & IS_FREE) != 0) return false;
    block = block_of(table, number / BLOCK_CELLS);
    *ret_line = block->line;
    *ret_partition = block->sixteenth * BLOCK_CELLS + number % BLOCK_CELLS;
    return (block->mask & bit_of(number)) != 0;
}

uint32_t cell_table_top(const struct cell_table *table)
{
    return table->block_top * BLOCK_CELLS;
}

size_t cell_table_bytes(const struct cell_table *table)
{
    return cell_slab_bytes(&table->slab) + table->block_room * sizeof(uint32_t) + number_index_bytes(&table->index) +
           table->text_room * sizeof(struct cell_text) + number_index_bytes(&table->text_index) + table->text_bytes;
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
static struct cell_text *text_of(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    const struct cell *cell = cell_table_find(table, line, partition);
    uint32_t cell_number, number;

    if (cell == NULL || !cell->has_text) return NULL;
    cell_number = cell_table_number(table, line, partition);
    number = number_index_find(&table->text_index, &text_keys, table, hash_of_number(cell_number), &cell_number);
    MESH_ASSERT(number != NUMBER_INDEX_NONE);
    return &table->texts[number];
}

struct slice cell_table_text(const struct cell_table *table, uint32_t line, uint32_t partition)
{
    const struct cell_text *text = text_of(table, line, partition);

    return text == NULL ? slice_of(NULL, 0) : slice_of(text->data, text->size);
}

static void drop_text(struct cell_table *table, struct cell_text *text)
{
    uint32_t number;

    number = (uint32_t)(text - table->texts);
    number_index_remove(&table->text_index, &text_keys, table, number);
    free(text->data);
    table->text_bytes -= text->room;
    *text = (struct cell_text){.cell = table->text_free};
    table->text_free = number + 1;
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
static int add_text(struct cell_table *table, uint32_t cell_number, uint8_t *data, uint32_t size)
{
    uint32_t number, next_free = 0;

    if (grow_texts(table) != 0) return MESH_ENOMEM;
    number = table->text_free != 0 ? table->text_free - 1 : table->text_top;
    if (table->text_free != 0) next_free = table->texts[number].cell;
    table->texts[number] = (struct cell_text){data, size, size, cell_number};
    if (number_index_add(&table->text_index, &text_keys, table, number) != 0) {
        table->texts[number] = (struct cell_text){.cell = next_free};
        return MESH_ENOMEM;
    }
    if (table->text_free != 0) table->text_free = next_free;
    else table->text_top++;
    table->text_bytes += size;
    return 0;
}

int cell_table_set_text(struct cell_table *table, uint32_t line, uint32_t partition, struct slice bytes)
{
    struct cell *cell = cell_table_find(table, line, partition);
    struct cell_text *text = cell->has_text ? text_of(table, line, partition) : NULL;
    uint8_t *data = NULL;

    if (bytes.size == 0) {
        if (text != NULL) drop_text(table, text);
        cell->has_text = 0;
        return 0;
    }
    if (text == NULL || text->room < bytes.size) {
        data = malloc(bytes.size);
        if (data == NULL) return MESH_ENOMEM;
        memcpy(data, bytes.data, bytes.size);
    }
    if (text == NULL) {
        int err = add_text(table, cell_table_number(table, line, partition), data, (uint32_t)bytes.size);
        if (err != 0) free(data);
        else cell->has_text = 1;
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
