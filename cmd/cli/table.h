/* cli/table.h - rows of cells in aligned columns.
 *
 * Cells are collected as text and laid out when all are known. Control characters in a cell become '?', so
 * that no name can move the cursor. Numbers are told from words by their column. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/buffer.h"
#include "cmd/cli/terminal.h"

#define TABLE_COLUMNS_MAX 16

struct table_column {
    const char *title;
    bool is_number; /* aligned to the right */
};

struct table {
    const struct table_column *columns; /* borrowed */
    size_t column_count;
    struct buffer cells; /* NUL-terminated texts, row after row */
    size_t cell_count;
    int error; /* sticks; told by table_write() */
};

void table_init(struct table *table, const struct table_column *columns, size_t column_count);
void table_deinit(struct table *table);

/* The next cell, row by row. Kept as a copy. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends the title line and every row to `to`, two blanks between columns. Errors: MESH_ENOMEM. */
int table_write(const struct table *table, struct buffer *to, bool has_colours);

/* Appends text in a colour, or plainly. */
int table_coloured(struct buffer *to, enum colour colour, const char *text, bool has_colours);

#endif
