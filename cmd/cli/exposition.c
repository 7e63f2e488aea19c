#include "cmd/cli/exposition.h"

#include <stdlib.h>

#define VALUE_SIZE_MAX 64

static struct slice take(struct slice *text, size_t size)
{
    struct slice front = slice_of(text->data, size);

    *text = slice_of(text->data + size, text->size - size);
    return front;
}

static struct slice next_line(struct slice *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->size);
    struct slice line = take(text, end != NULL ? (size_t)(end - text->data) : text->size);

    if (end != NULL) (void)take(text, 1);
    return line;
}

/* How many bytes lie before the brace that closes the labels; a quoted one does not. SIZE_MAX: there is none. */
static size_t labels_size(struct slice text)
{
    bool is_quoted = false;

    for (size_t i = 0; i < text.size; i++) {
        if (is_quoted && text.data[i] == '\\')
            i++;
        else if (text.data[i] == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && text.data[i] == '}')
            return i;
    }
    return SIZE_MAX;
}

static bool value_read(struct slice text, double *ret_value)
{
    char copy[VALUE_SIZE_MAX];
    char *end;

    if (text.size < 2 || text.size > sizeof(copy) || text.data[0] != ' ') return false;
    memcpy(copy, text.data + 1, text.size - 1);
    copy[text.size - 1] = '\0';
    *ret_value = strtod(copy, &end);
    return end != copy && (*end == '\0' || *end == ' '); /* a time may follow */
}

static bool sample_read(struct slice line, struct exposition_sample *ret_sample)
{
    struct exposition_sample sample = {.labels = slice_of(line.data, 0)};
    size_t size = 0;

    while (size < line.size && line.data[size] != '{' && line.data[size] != ' ')
        size++;
    if (size == 0 || line.data[0] == '#') return false;
    sample.name = take(&line, size);
    if (line.size > 0 && line.data[0] == '{') {
        (void)take(&line, 1);
        size = labels_size(line);
        if (size == SIZE_MAX) return false;
        sample.labels = take(&line, size);
        (void)take(&line, 1);
    }
    if (!value_read(line, &sample.value)) return false;
    *ret_sample = sample;
    return true;
}

bool exposition_next(struct slice *text, struct exposition_sample *ret_sample)
{
    while (text->size > 0)
        if (sample_read(next_line(text), ret_sample)) return true;
    return false;
}

bool exposition_is(const struct exposition_sample *sample, const char *name)
{
    return slice_equal(sample->name, slice_of_string(name));
}

/* Copies a quoted value, `text` beginning behind its first quote. */
static bool value_copy(struct slice text, char *to, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < text.size && text.data[i] != '"'; i++) {
        char c = (char)text.data[i];
        if (c == '\\' && i + 1 < text.size) {
            c = (char)text.data[++i];
            if (c == 'n') c = '\n';
        }
        if (used + 1 >= size) return false;
        to[used++] = c;
    }
    to[used] = '\0';
    return true;
}

bool exposition_label(const struct exposition_sample *sample, const char *name, char *to, size_t size)
{
    struct slice rest = sample->labels, wanted = slice_of_string(name);

    while (rest.size > 0) {
        const uint8_t *equals = memchr(rest.data, '=', rest.size);
        struct slice key;

        if (equals == NULL) return false;
        key = take(&rest, (size_t)(equals - rest.data));
        if (rest.size < 2 || rest.data[1] != '"') return false;
        (void)take(&rest, 2);
        if (slice_equal(key, wanted)) return value_copy(rest, to, size);
        for (bool is_escaped = false; rest.size > 0 && (is_escaped || rest.data[0] != '"'); (void)take(&rest, 1))
            is_escaped = !is_escaped && rest.data[0] == '\\';
        if (rest.size > 0) (void)take(&rest, 1); /* the quote */
        if (rest.size > 0 && rest.data[0] == ',') (void)take(&rest, 1);
    }
    return false;
}
