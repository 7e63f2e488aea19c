/* groups/cell_table.h - the committed offsets of a group partition: from (line, partition) to a cell of 28 bytes.
 *
 * A *line* is the number that groups.c gives to a group's topic, so that no cell repeats a name or a uuid. The cells of sixteen neighbouring partitions of a line
 * lie in one block, in their order, and a mask says which of them there are: so no cell repeats its line, nor knows its partition, and the index that
 * finds blocks by 4-byte numbers has one entry for all of them. Together 30 bytes for each of ten cells, 55 for a single one, once there are some
 * hundred, and no allocation for a cell that is there already. The users' texts beside offsets are rare, so a cell says only that it has one.
 * Owned by one loop. */
#ifndef GROUPS_CELL_TABLE_H
#define GROUPS_CELL_TABLE_H

#include "base/slice.h"
#include "replication/groups/cell_slab.h"
#include "replication/groups/number_index.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Without padding: 4 bytes of each would be for nothing. */
struct __attribute__((packed, aligned(4))) cell {
    uint64_t offset;        /* the next to be consumed */
    uint64_t version_lsn;   /* place of the record that committed it */
    uint32_t version_epoch : 31; /* leader epoch of that record */
    uint32_t has_text : 1;       /* the table's own */
    int32_t record_epoch;  /* leader epoch of the record before `offset`, -1: unknown */
    uint32_t committed_s;  /* wall clock, seconds: for expiry and for people */
};

struct cell_text;

struct cell_table {
    struct cell_slab slab;
    uint32_t *blocks; /* owned; pieces of the slab by number. Of a free number: the next free one, and a bit that says so */
    uint32_t block_top, block_room;
    uint32_t block_free; /* 1 + number, 0: none */
    struct number_index index; /* of blocks */
    uint32_t count;      /* cells in use */
    struct cell_text *texts; /* owned */
    uint32_t text_top, text_room, text_free; /* free: 1 + number, 0: none */
    struct number_index text_index;
    size_t text_bytes;
};

void cell_table_init(struct cell_table *table);
void cell_table_deinit(struct cell_table *table);

/* NULL: there is none. The pointer holds until a cell is added or removed. */
struct cell *cell_table_find(const struct cell_table *table, uint32_t line, uint32_t partition);

/* The cell, added with zeros when it is not there. NULL: no memory, nothing changed. */
struct cell *cell_table_add(struct cell_table *table, uint32_t line, uint32_t partition);

void cell_table_remove(struct cell_table *table, uint32_t line, uint32_t partition); /* it is there */

/* What its user said beside the offset; empty: nothing. Lives until it is set again, or the cell removed. */
struct slice cell_table_text(const struct cell_table *table, uint32_t line, uint32_t partition);
/* Of a cell that is there. Allocates only where it is longer than any that this cell has had. Errors: MESH_ENOMEM (the one before stays). */
int cell_table_set_text(struct cell_table *table, uint32_t line, uint32_t partition, struct slice text);

/* Numbers stay while a cell does: below cell_table_top(), which only rises. False: no cell has it now. */
uint32_t cell_table_number(const struct cell_table *table, uint32_t line, uint32_t partition); /* it is there */
bool cell_table_at(const struct cell_table *table, uint32_t number, uint32_t *ret_line, uint32_t *ret_partition);
uint32_t cell_table_top(const struct cell_table *table);

size_t cell_table_bytes(const struct cell_table *table); /* memory in use, for figures */

#endif
