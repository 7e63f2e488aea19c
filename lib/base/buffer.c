#include "base/buffer.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer)BUFFER_INIT;
}

int buffer_grow(struct buffer *buffer, size_t extra)
{
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    uint8_t *data;

    if (extra > SIZE_MAX / 2 - buffer->size) return MESH_ENOMEM;
    while (capacity < buffer->size + extra)
        capacity *= 2;
    data = realloc(buffer->data, capacity);
    if (data == NULL) return MESH_ENOMEM;
    buffer->data = data;
    buffer->capacity = capacity;
    return 0;
}

int buffer_append_string(struct buffer *buffer, const char *string)
{
    return buffer_append(buffer, string, strlen(string));
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (size < 0) return MESH_EINVAL;
    if (buffer_reserve(buffer, (size_t)size + 1) != 0) return MESH_ENOMEM;
    va_start(arguments, format);
    vsnprintf((char *)buffer->data + buffer->size, (size_t)size + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)size;
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    MESH_ASSERT(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size > 0) memmove(buffer->data, buffer->data + size, buffer->size);
}
