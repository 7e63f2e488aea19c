/* peers/socket_bytes.h - bytes between a socket and whoever reads or fills them: one piece of memory, used from the front, filled at the end.
 *
 * What is in it lies between start and end; who sends or is done with some raises start, who receives or seals raises end. */
#ifndef BROKER_PEERS_SOCKET_BYTES_H
#define BROKER_PEERS_SOCKET_BYTES_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct socket_bytes {
    uint8_t *data; /* owned; NULL: none */
    size_t start, end, capacity;
    bool was_used; /* since it was trimmed last */
};

static inline size_t socket_bytes_size(const struct socket_bytes *bytes)
{
    return bytes->end - bytes->start;
}

static inline struct slice socket_bytes_slice(const struct socket_bytes *bytes)
{
    return bytes->data == NULL ? slice_of(NULL, 0) : slice_of(bytes->data + bytes->start, socket_bytes_size(bytes));
}

/* Room for `size` more behind the end; what is there may move to the front. The first memory is `first` bytes at least, then it doubles: the caller bounds
 * what waits in it. Errors: MESH_ENOMEM (nothing changed). */
int socket_bytes_reserve(struct socket_bytes *bytes, size_t size, size_t first);
void socket_bytes_release(struct socket_bytes *bytes); /* leaves it empty and usable */

/* It is empty now, and its memory is kept, if that is no more than `keep` bytes: memory that comes and goes costs a page fault for each page of it. Now and then
 * it is trimmed: one that was not used since goes. Trimming says whether there is memory left. */
void socket_bytes_emptied(struct socket_bytes *bytes, size_t keep);
bool socket_bytes_trim(struct socket_bytes *bytes);

#endif
