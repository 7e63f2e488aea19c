/* broker/front/output.h - what a connection has to send: bytes, records in memory, records in files; in order.
 *
 * Small answers share 16 KiB blocks. Records are not copied: memory goes out with sendmsg, file ranges with sendfile once
 * they are in the page cache (cold.h). Sending happens once per turn of the loop. */
#ifndef BROKER_FRONT_OUTPUT_H
#define BROKER_FRONT_OUTPUT_H

#include "base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct connection;
struct fetch_records;
struct output_item;

struct output {
    struct output_item *first, *last;
    uint64_t bytes;  /* not yet sent */
    uint64_t struct_bytes; /* what it takes to hold records beside the records */
    bool is_loading; /* a cold range is being read; nothing is sent until then */
};

/* `size` bytes (at most OUTPUT_RESERVE_MAX) to be filled and then committed; NULL: out of memory. */
#define OUTPUT_RESERVE_MAX 1024
uint8_t *output_reserve(struct connection *connection, size_t size);
void output_commit(struct connection *connection, size_t size);

/* A copy. Errors: MESH_ENOMEM (a part of it may be queued: close the connection). */
int output_append(struct connection *connection, struct slice bytes);

/* Takes records (also on failure). Errors: MESH_ENOMEM. */
int output_records(struct connection *connection, struct fetch_records *records);

enum output_state {
    OUTPUT_SENT,    /* nothing is left */
    OUTPUT_BLOCKED, /* the socket is full, or a range is being loaded */
    OUTPUT_AGAIN,   /* more could be sent, but others have their turn first */
    OUTPUT_FAILED,  /* the connection is broken */
};
enum output_state output_flush(struct connection *connection);

void output_clear(struct connection *connection);

/* Copies what is left of records in memory, so that the store gets its memory back; for readers that do not read.
 * Returns how many bytes the store got back. */
size_t output_copy_records(struct connection *connection);

#endif
