/* front/http/metrics_writer.h - the grammar of Prometheus' text format; the first error is kept, and ends the writing. */
#ifndef FRONT_HTTP_METRICS_WRITER_H
#define FRONT_HTTP_METRICS_WRITER_H

#include "base/buffer.h"

struct metrics_writer {
    struct buffer *to;
    int error;
};

#define METRICS_WRITE(writer, ...)                                                                                   \
    do {                                                                                                             \
        if ((writer)->error == 0) (writer)->error = buffer_printf((writer)->to, __VA_ARGS__);                        \
    } while (0)

/* HELP and TYPE, which stand before a family's samples. */
void metrics_family(struct metrics_writer *writer, const char *name, const char *type, const char *help);

/* A family of one sample. */
void metrics_single(struct metrics_writer *writer, const char *name, const char *type, const char *help, double value);

/* A label's value, which may hold anything: backslash, quote and newline are escaped. */
void metrics_escaped(struct metrics_writer *writer, const char *value);

#endif
