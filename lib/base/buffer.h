/* base/buffer.h - bytes that grow at the end. Owned by one thread. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/slice.h"

#include <stdarg.h>
#include <string.h>

struct buffer {
    uint8_t *data;   /* owned; NULL while empty */
    size_t size;     /* bytes in use */
    size_t capacity; /* bytes allocated */
};

#define BUFFER_INIT {NULL, 0, 0}

void buffer_deinit(struct buffer *buffer);

/* buffer_reserve() where there is no room. */
int buffer_grow(struct buffer *buffer, size_t extra);

/* Makes room for `extra` more bytes. Errors: MESH_ENOMEM (the buffer is unchanged). */
static inline int buffer_reserve(struct buffer *buffer, size_t extra)
{
    return extra <= buffer->capacity - buffer->size ? 0 : buffer_grow(buffer, extra);
}

/* Appends a copy. Errors: MESH_ENOMEM (the buffer is unchanged). */
static inline int buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    int err = buffer_reserve(buffer, size);

    if (err != 0 || size == 0) return err;
    memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return 0;
}
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
