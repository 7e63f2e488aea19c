/* base/buffer.h - bytes that grow at the end. Owned by one thread. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/slice.h"

#include <stdarg.h>

struct buffer {
    uint8_t *data;   /* owned; NULL while empty */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

#define BUFFER_INIT {NULL, 0, 0}

void buffer_deinit(struct buffer *buffer);

/* Makes room for `extra` more bytes. Errors: MESH_ENOMEM (the buffer is unchanged). */
int buffer_reserve(struct buffer *buffer, size_t extra);

/* Appends a copy. Errors: MESH_ENOMEM (the buffer is unchanged). */
int buffer_append(struct buffer *buffer, const void *data, size_t size);
int buffer_append_string(struct buffer *buffer, const char *string);

/* Appends printf-style text, without its NUL. Errors: MESH_ENOMEM, MESH_EINVAL (bad format). */
int buffer_printf(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Drops the first `size` bytes; what follows moves to the front. */
void buffer_consume(struct buffer *buffer, size_t size);

static inline void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

static inline struct slice buffer_slice(const struct buffer *buffer)
{
    return slice_of(buffer->data, buffer->size);
}

#endif
