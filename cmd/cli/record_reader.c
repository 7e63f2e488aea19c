#include "cmd/cli/record_reader.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define LENGTH_SIZE 4           /* bytes of a length prefix */
#define LENGTH_NULL 0xffffffffu /* the length of a null value */

struct record_reader {
    struct record_reader_options options;
    uint8_t *block; /* owned */
    size_t capacity;
    size_t start, end; /* block[start..end) is not handed out yet */
    size_t scanned;    /* block[start..scanned) holds no newline */
};

int record_reader_new(const struct record_reader_options *options, struct record_reader **ret_reader)
{
    struct record_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL) return MESH_ENOMEM;
    reader->options = *options;
    reader->capacity = 2 * RECORD_READER_BLOCK_SIZE;
    reader->block = malloc(reader->capacity);
    if (reader->block == NULL) {
        free(reader);
        return MESH_ENOMEM;
    }
    *ret_reader = reader;
    return 0;
}

void record_reader_free(struct record_reader *reader)
{
    if (reader == NULL) return;
    free(reader->block);
    free(reader);
}

/* Moves what is left to the front and makes room for a block. */
static int make_room(struct record_reader *reader)
{
    size_t left = reader->end - reader->start;
    uint8_t *block;

    if (left > 0 && reader->start > 0) memmove(reader->block, reader->block + reader->start, left);
    reader->scanned = reader->scanned > reader->start ? reader->scanned - reader->start : 0;
    reader->start = 0;
    reader->end = left;
    if (reader->capacity - left >= RECORD_READER_BLOCK_SIZE) return 0;
    if (left > RECORD_READER_SIZE_MAX + LENGTH_SIZE) return MESH_ETOOLARGE;
    block = realloc(reader->block, reader->capacity * 2);
    if (block == NULL) return MESH_ENOMEM;
    reader->block = block;
    reader->capacity *= 2;
    return 0;
}

int record_reader_fill(struct record_reader *reader, int fd, size_t *ret_size)
{
    int err = make_room(reader);
    ssize_t size;

    if (err != 0) return err;
    do
        size = read(fd, reader->block + reader->end, RECORD_READER_BLOCK_SIZE);
    while (size < 0 && errno == EINTR);
    if (size < 0) return error_from_errno(errno);
    reader->end += (size_t)size;
    *ret_size = (size_t)size;
    return 0;
}

static const uint8_t *find_delimiter(const struct record_reader_options *options, struct slice bytes)
{
    if (options->key_delimiter_size == 0 || bytes.size == 0) return NULL;
    if (options->key_delimiter_size == 1) return memchr(bytes.data, options->key_delimiter[0], bytes.size);
    return memmem(bytes.data, bytes.size, options->key_delimiter, options->key_delimiter_size);
}

struct record_view record_reader_split(const struct record_reader_options *options, struct slice bytes)
{
    struct record_view view = {.value = bytes};
    const uint8_t *delimiter = find_delimiter(options, bytes);
    struct slice bare;

    if (delimiter != NULL) {
        const uint8_t *value = delimiter + options->key_delimiter_size;
        view.has_key = true;
        view.key = slice_of(bytes.data, (size_t)(delimiter - bytes.data));
        view.value = slice_of(value, (size_t)(bytes.data + bytes.size - value));
    }
    if (options->null_marker == NULL) return view;
    bare = view.value;
    if (options->keeps_newlines && bare.size > 0 && bare.data[bare.size - 1] == '\n') bare.size--;
    view.is_null = slice_equal(bare, slice_of_string(options->null_marker));
    return view;
}

static int next_line(struct record_reader *reader, struct record_view *ret_record)
{
    const uint8_t *line = reader->block + reader->start;
    const uint8_t *newline = memchr(reader->block + reader->scanned, '\n', reader->end - reader->scanned);
    size_t size;

    if (newline == NULL) {
        reader->scanned = reader->end;
        return MESH_EAGAIN;
    }
    size = (size_t)(newline - line);
    reader->start += size + 1;
    reader->scanned = reader->start;
    *ret_record =
        record_reader_split(&reader->options, slice_of(line, size + reader->options.keeps_newlines));
    return 0;
}

static int next_prefixed(struct record_reader *reader, struct record_view *ret_record)
{
    const uint8_t *head = reader->block + reader->start;
    size_t left = reader->end - reader->start;
    uint32_t size;

    if (left < LENGTH_SIZE) return MESH_EAGAIN;
    size = be_load32(head);
    if (size == LENGTH_NULL) {
        reader->start += LENGTH_SIZE;
        *ret_record = (struct record_view){.is_null = true};
        return 0;
    }
    if (size > RECORD_READER_SIZE_MAX) return MESH_ETOOLARGE;
    if (left - LENGTH_SIZE < size) return MESH_EAGAIN;
    reader->start += LENGTH_SIZE + size;
    *ret_record = record_reader_split(&reader->options, slice_of(head + LENGTH_SIZE, size));
    return 0;
}

int record_reader_next(struct record_reader *reader, struct record_view *ret_record)
{
    MESH_ASSERT(reader->start <= reader->end);
    if (reader->options.framing == FRAMING_LINES) return next_line(reader, ret_record);
    return next_prefixed(reader, ret_record);
}

int record_reader_finish(struct record_reader *reader, struct record_view *ret_record)
{
    struct slice left = slice_of(reader->block + reader->start, reader->end - reader->start);

    reader->start = reader->end = reader->scanned = 0;
    if (left.size == 0) return MESH_ENOTFOUND;
    if (reader->options.framing != FRAMING_LINES) return MESH_EPROTO;
    *ret_record = record_reader_split(&reader->options, left);
    return 0;
}
