/* client/request_table.h - requests in flight on one connection, found by the correlation id of their
 * answers.
 *
 * Ids are handed out in sequence, so the table is a ring: O(1), and no memory once it has grown to the
 * deepest pipeline seen. Owned by one thread. */
#ifndef CLIENT_REQUEST_TABLE_H
#define CLIENT_REQUEST_TABLE_H

#include "base/slice.h"
#include "wire/frame.h"

#include <stdint.h>

struct connection;
struct request;

/* What becomes of a request. Handlers change the owner's state and mark it for the next pump
 * (client/client.h); they send nothing and close no connection themselves. After `answered` (with no
 * attachment), `received` with is_end, or `failed`, the connection has forgotten the request. */
struct request_handler {
    /* The answer's header and message are there. When header->attachment_size > 0, the handler sets
     * *ret_attachment to that many bytes of room, or leaves NULL: then the bytes are thrown away and
     * `received` is not called. Errors (MESH_EPROTO, ...) close the connection; the request is then the
     * handler's business no more. */
    int (*answered)(struct request *request, const struct frame_header *header, struct slice message,
                    uint8_t **ret_attachment);
    /* `size` more bytes of the attachment have been written to the room. */
    void (*received)(struct request *request, size_t size, bool is_end);
    /* The connection is gone. was_sent: some of it may have reached the broker. */
    void (*failed)(struct request *request, int error, bool was_sent);
};

/* Embedded in whatever waits for an answer. */
struct request {
    const struct request_handler *handler;
    struct connection *connection; /* while in flight, else NULL */
    uint32_t correlation_id;
    uint64_t start_position, end_position; /* of its bytes in the connection's send queue */
};

struct request_table {
    struct request **slots; /* owned array; capacity is a power of two */
    uint32_t capacity;
    uint32_t first_id, next_id; /* ids in use lie in [first, next), modulo 2^32 */
    uint32_t count;
};

void request_table_init(struct request_table *table);
void request_table_deinit(struct request_table *table);

/* Enters the request under a new correlation id. Errors: MESH_ENOMEM. */
int request_table_add(struct request_table *table, struct request *request);

/* Uses up an id that nobody waits for. Errors: MESH_ENOMEM. */
int request_table_skip(struct request_table *table, uint32_t *ret_correlation_id);

/* The request with this id, or NULL. */
struct request *request_table_find(const struct request_table *table, uint32_t correlation_id);
/* Puts `by` in the place of `request`, positions and all; the handler is the caller's to set. */
void request_table_replace(struct request_table *table, const struct request *request, struct request *by);
void request_table_remove(struct request_table *table, struct request *request);

/* The oldest request, or NULL. */
struct request *request_table_oldest(struct request_table *table);

#endif
