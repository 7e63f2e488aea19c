#include "cmd/cli/table.h"

#include "base/assert.h"
#include "cmd/cli/text.h"

#include <stdarg.h>
#include <stdio.h>

#define CELL_SIZE_MAX 1024 /* longer ones are cut */

void table_init(struct table *table, const struct table_column *columns, size_t column_count)
{
    MESH_ASSERT(column_count > 0 && column_count <= TABLE_COLUMNS_MAX);
    *table = (struct table){.columns = columns, .column_count = column_count};
}

void table_deinit(struct table *table)
{
    buffer_deinit(&table->cells);
}

void table_cell(struct table *table, const char *format, ...)
{
    char cell[CELL_SIZE_MAX];
    va_list arguments;

    va_start(arguments, format);
    if (vsnprintf(cell, sizeof(cell), format, arguments) < 0) cell[0] = '\0';
    va_end(arguments);
    for (char *c = cell; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    if (table->error == 0) table->error = buffer_append(&table->cells, cell, strlen(cell) + 1);
    table->cell_count++;
}

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
    const char *cell = (const char *)table->cells.data;

    for (size_t i = 0; i < table->column_count; i++)
        widths[i] = text_columns(table->columns[i].title);
    for (size_t i = 0; i < table->cell_count; i++, cell += strlen(cell) + 1) {
        size_t columns = text_columns(cell), *width = &widths[i % table->column_count];
        if (columns > *width) *width = columns;
    }
}

/* One cell with its padding; the last of a row gets none behind it. */
static int append_cell(const struct table *table, struct buffer *to, const char *cell, size_t column,
                       size_t width)
{
    size_t padding = width - text_columns(cell);
    bool is_last = column + 1 == table->column_count;
    int err;

    if (table->columns[column].is_number)
        err = buffer_printf(to, "%*s%s%s", (int)padding, "", cell, is_last ? "" : "  ");
    else if (is_last)
        err = buffer_append_string(to, cell);
    else
        err = buffer_printf(to, "%s%*s", cell, (int)padding + 2, "");
    return err == 0 && is_last ? buffer_append(to, "\n", 1) : err;
}

int table_write(const struct table *table, struct buffer *to, bool has_colours)
{
    const char *cell = (const char *)table->cells.data;
    size_t widths[TABLE_COLUMNS_MAX];
    int err = table->error;

    if (err != 0) return err;
    MESH_ASSERT(table->cell_count % table->column_count == 0);
    measure(table, widths);
    if (has_colours) err = buffer_append_string(to, "\033[1m");
    for (size_t i = 0; err == 0 && i < table->column_count; i++)
        err = append_cell(table, to, table->columns[i].title, i, widths[i]);
    if (err == 0 && has_colours) err = buffer_append_string(to, "\033[0m");
    for (size_t i = 0; err == 0 && i < table->cell_count; i++, cell += strlen(cell) + 1)
        err = append_cell(table, to, cell, i % table->column_count, widths[i % table->column_count]);
    return err;
}

int table_coloured(struct buffer *to, enum colour colour, const char *text, bool has_colours)
{
    static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m"};

    if (!has_colours || colour == COLOUR_NONE) return buffer_append_string(to, text);
    return buffer_printf(to, "%s%s\033[0m", codes[colour], text);
}
