/* cli/record_writer.h - writes consumed records into a buffer in one of the output formats. */
#ifndef CLI_RECORD_WRITER_H
#define CLI_RECORD_WRITER_H

#include "base/buffer.h"
#include "cmd/cli/value.h"

#include <mesh/mesh.h>

enum output_format { OUTPUT_LINES, OUTPUT_RAW, OUTPUT_LENGTH_PREFIXED, OUTPUT_JSON, OUTPUT_FILES };

struct record_writer_options {
    enum output_format format; /* not OUTPUT_FILES */
    bool with_keys;            /* write key and delimiter before the value */
    uint8_t key_delimiter[VALUE_BYTES_MAX];
    size_t key_delimiter_size;
    const char *null_marker; /* NULL: a null value is written as nothing (length-prefixed: as a null) */
};

/* Appends one record. Errors: MESH_ENOMEM; MESH_ETOOLARGE (length-prefixed: 4 GiB or more). */
int record_writer_append(const struct record_writer_options *options, const struct mesh_consumed *record,
                         struct buffer *to);

/* Only the bytes of key, delimiter and value, as every format but json starts from them. Errors: MESH_ENOMEM.
 */
int record_writer_append_plain(const struct record_writer_options *options,
                               const struct mesh_consumed *record, struct buffer *to);

#endif
