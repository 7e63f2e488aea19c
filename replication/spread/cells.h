/* spread/cells.h - what a broker has heard of one group partition that it has no replica of: groups and their committed offsets.
 *
 * Rows are merged by version: whatever order they come in, however often, the outcome is that of the latest of each
 * (commutative, associative, idempotent: PROTOCOLS 2.5.4). What is gone leaves its version behind for a while, so that older news of it does not bring it
 * back. A cell takes what it takes in groups/cell_table.h. It is a hint for people, and the last resort when every replica is lost; no consumer
 * starts from it. Owned by one loop; what views return lives until the next change. */
#ifndef SPREAD_CELLS_H
#define SPREAD_CELLS_H

#include "replication/spread/message.h"

struct spread_cells;
struct spread_group;

int spread_cells_new(struct spread_cells **ret_cells); /* MESH_ENOMEM */
void spread_cells_free(struct spread_cells *cells);    /* accepts NULL */

/* Errors: MESH_ENOMEM (the row was not taken in; all else is as before). */
int spread_cells_merge(struct spread_cells *cells, const struct spread_row *row);
int spread_cells_merge_rows(struct spread_cells *cells, struct slice rows); /* rows of a decoded message; MESH_ENOMEM: some were */

/* Forgets what was gone before this time. */
void spread_cells_purge(struct spread_cells *cells, uint32_t before_s);

/* ---- views: of what is there, not of what is gone ---- */

size_t spread_cells_groups(const struct spread_cells *cells);
size_t spread_cells_count(const struct spread_cells *cells);
size_t spread_cells_bytes(const struct spread_cells *cells); /* all memory */

const struct spread_group *spread_cells_find(const struct spread_cells *cells, struct slice name); /* NULL: none */
/* Every group in no order; NULL first. */
const struct spread_group *spread_cells_next(const struct spread_cells *cells, const struct spread_group *group);

struct spread_group_view {
    struct slice name;
    enum group_protocol protocol;
    uint32_t generation, reset_epoch, member_count, cell_count;
    uint64_t empty_since_ms;
};
struct spread_group_view spread_group_view_of(const struct spread_group *group);

/* A SPREAD_CELL row. False: nothing was committed, as far as is known. */
bool spread_group_committed(const struct spread_cells *cells, const struct spread_group *group, const struct uuid *topic, uint32_t partition,
                            struct spread_row *ret_row);

/* Every committed offset of a group, topic by topic in the order of partitions: start with {0}. False at the end. */
struct spread_cursor {
    const void *line;
    uint32_t partition;
};
bool spread_group_next_cell(const struct spread_cells *cells, const struct spread_group *group, struct spread_cursor *cursor, struct spread_row *ret_row);

/* ---- passing it on ---- */

/* Hands every row to put(), what is gone included: merged elsewhere they make the same. */
void spread_cells_each_row(const struct spread_cells *cells, void (*put)(void *arg, const struct spread_row *row), void *arg);

/* Equal for equal contents, whatever way they came about; what is gone is left out. */
uint64_t spread_cells_hash(const struct spread_cells *cells);

#endif
