#include "cmd/cli/text.h"

#include <stdbool.h>
#include <string.h>

static int append_blanks(struct buffer *to, size_t count)
{
    int err = 0;

    while (err == 0 && count-- > 0)
        err = buffer_append(to, " ", 1);
    return err;
}

size_t text_columns(const char *text)
{
    size_t columns = 0;

    for (const unsigned char *byte = (const unsigned char *)text; *byte != '\0'; byte++) {
        bool is_continuation = (*byte & 0xc0) == 0x80;
        bool is_combining = (*byte == 0xcc || *byte == 0xcd) && byte[1] != '\0'; /* U+0300..U+036F, nearly */
        if (*byte >= 0x20 && *byte != 0x7f && !is_continuation && !is_combining) columns++;
    }
    return columns;
}

/* Fills the words of text[0..size). `used` columns of the first line are taken already. */
static int fill_words(struct buffer *to, const char *text, size_t size, size_t indent, size_t width,
                      size_t used)
{
    const char *end = text + size;
    bool is_line_start = used <= indent;
    int err = 0;

    while (err == 0 && text < end) {
        const char *word = text;
        while (text < end && *text != ' ' && *text != '\n')
            text++;
        if (text == word) {
            text++;
            continue;
        }
        if (!is_line_start && used + 1 + (size_t)(text - word) > width) {
            err = buffer_append(to, "\n", 1);
            used = 0;
            is_line_start = true;
        }
        if (err == 0 && is_line_start && used < indent) {
            err = append_blanks(to, indent - used);
            used = indent;
        } else if (err == 0 && !is_line_start) {
            err = buffer_append(to, " ", 1);
            used++;
        }
        if (err == 0) err = buffer_append(to, word, (size_t)(text - word));
        used += (size_t)(text - word);
        is_line_start = false;
    }
    return err != 0 ? err : buffer_append(to, "\n", 1);
}

/* Where the paragraph that starts at text ends: before an empty line, a kept line, or the end. */
static const char *paragraph_end(const char *text)
{
    for (;;) {
        const char *newline = strchr(text, '\n');
        if (newline == NULL) return text + strlen(text);
        if (newline[1] == '\n' || newline[1] == '\0' || strncmp(newline + 1, "  ", 2) == 0) return newline;
        text = newline + 1;
    }
}

int text_fill(struct buffer *to, const char *text, size_t indent, size_t width)
{
    int err = 0;

    while (err == 0 && *text != '\0') {
        const char *end;
        if (*text == '\n') {
            err = buffer_append(to, "\n", 1);
            text++;
            continue;
        }
        if (strncmp(text, "  ", 2) == 0) {
            end = text + strcspn(text, "\n");
            err = append_blanks(to, indent);
            if (err == 0) err = buffer_append(to, text, (size_t)(end - text));
            if (err == 0) err = buffer_append(to, "\n", 1);
        } else {
            end = paragraph_end(text);
            err = fill_words(to, text, (size_t)(end - text), indent, width, 0);
        }
        text = *end == '\n' ? end + 1 : end;
    }
    return err;
}

int text_entry(struct buffer *to, const char *left, const char *right, size_t column, size_t width)
{
    size_t used = 2 + text_columns(left);
    int err = buffer_printf(to, "  %s", left);

    if (err == 0 && used + 2 > column) {
        err = buffer_append(to, "\n", 1);
        used = 0;
    }
    if (err == 0) err = append_blanks(to, column - used);
    return err != 0 ? err : fill_words(to, right, strlen(right), column, width, column);
}
