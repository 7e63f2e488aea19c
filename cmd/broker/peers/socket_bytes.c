#include "cmd/broker/peers/socket_bytes.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

int socket_bytes_reserve(struct socket_bytes *bytes, size_t size, size_t first)
{
    size_t used = socket_bytes_size(bytes), capacity = bytes->capacity == 0 ? first : bytes->capacity;
    uint8_t *data;

    if (bytes->capacity - bytes->end >= size) return 0;
    if (bytes->start > 0) {
        memmove(bytes->data, bytes->data + bytes->start, used);
        bytes->start = 0;
        bytes->end = used;
        if (bytes->capacity - used >= size) return 0;
    }
    while (capacity - used < size)
        capacity *= 2;
    data = realloc(bytes->data, capacity);
    if (data == NULL) return MESH_ENOMEM;
    bytes->data = data;
    bytes->capacity = capacity;
    return 0;
}

void socket_bytes_release(struct socket_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct socket_bytes){.data = NULL};
}

void socket_bytes_emptied(struct socket_bytes *bytes, size_t keep)
{
    bytes->start = bytes->end = 0;
    bytes->was_used = true;
    if (bytes->capacity > keep) socket_bytes_release(bytes);
}

bool socket_bytes_trim(struct socket_bytes *bytes)
{
    if (!bytes->was_used && bytes->data != NULL && socket_bytes_size(bytes) == 0) socket_bytes_release(bytes);
    bytes->was_used = false;
    return bytes->data != NULL;
}
