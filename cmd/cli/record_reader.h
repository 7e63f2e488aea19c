/* cli/record_reader.h - cuts an input stream into records: lines, or length-prefixed.
 *
 * Reads in large blocks and hands out views into the block; nothing is copied but the cut record at a block's
 * end. fill() until next() has something, next() until it says MESH_EAGAIN, finish() at the end of the input.
 */
#ifndef CLI_RECORD_READER_H
#define CLI_RECORD_READER_H

#include "base/slice.h"
#include "cmd/cli/value.h"

#define RECORD_READER_BLOCK_SIZE (1u << 20)  /* bytes asked of read(2) at once */
#define RECORD_READER_SIZE_MAX   (64u << 20) /* bytes of one record: more is refused before memory is taken */

enum record_framing { FRAMING_LINES, FRAMING_LENGTH_PREFIXED };

struct record_reader_options {
    enum record_framing framing;
    bool keeps_newlines; /* of lines: the newline belongs to the record */
    uint8_t key_delimiter[VALUE_BYTES_MAX];
    size_t key_delimiter_size; /* 0: no keys */
    const char *null_marker;   /* NULL: none; borrowed while the reader lives */
};

/* One record, borrowed from the reader until its next fill(). */
struct record_view {
    struct slice key;
    struct slice value;
    bool has_key;
    bool is_null; /* the value */
};

struct record_reader; /* owned by one thread */

/* Errors: MESH_ENOMEM. */
int record_reader_new(const struct record_reader_options *options, struct record_reader **ret_reader);
void record_reader_free(struct record_reader *reader); /* accepts NULL */

/* Reads once from fd; *ret_size is 0 at the end of the input. Errors: MESH_EAGAIN (a non-blocking fd has
 * nothing), MESH_ETOOLARGE (a record beyond RECORD_READER_SIZE_MAX), MESH_EIO, MESH_ENOMEM. */
int record_reader_fill(struct record_reader *reader, int fd, size_t *ret_size);

/* The next whole record of what has been read. Errors: MESH_EAGAIN (more has to be read), MESH_ETOOLARGE. */
int record_reader_next(struct record_reader *reader, struct record_view *ret_record);

/* After the end of the input and MESH_EAGAIN: a last line without newline. Errors: MESH_ENOTFOUND (nothing is
 * left), MESH_EPROTO (the input ends inside a length-prefixed record). Empties the reader for a further
 * input. */
int record_reader_finish(struct record_reader *reader, struct record_view *ret_record);

/* A whole record that was read elsewhere, split into key and value by the same rules. Borrows `bytes`. */
struct record_view record_reader_split(const struct record_reader_options *options, struct slice bytes);

#endif
