/* cli/text.h - lays text out: filled paragraphs and columns. Pure: writes to a buffer.
 *
 * A buffer's MESH_ENOMEM is told by the return value; what was written until then stays. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "base/buffer.h"

/* Appends `text` in lines of at most `width` columns, each indented by `indent` blanks. An empty line
 * separates paragraphs; a line that begins with two blanks is kept as it is. */
int text_fill(struct buffer *to, const char *text, size_t indent, size_t width);

/* Appends `left` indented by two, then `right` filled from `column` on (on the next line when left reaches
 * it). */
int text_entry(struct buffer *to, const char *left, const char *right, size_t column, size_t width);

/* How many columns a UTF-8 text takes on a terminal: code points; control and combining characters count
 * nothing. */
size_t text_columns(const char *text);

#endif
