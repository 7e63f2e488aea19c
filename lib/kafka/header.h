/* kafka/header.h - what stands before a message: its size, which api and version it is, and which answer belongs to which request.
 *
 *   request:   size:int32 | key:int16 version:int16 correlation:int32 client_id:string? [tags] | message
 *   response:  size:int32 | correlation:int32 [tags] | message
 *
 * size counts what follows it. The tags are there in flexible versions; client_id is never compact; and the answer to api_versions has none, so
 * that a client can read it which does not yet know what the broker speaks. Pure functions; any thread. */
#ifndef KAFKA_HEADER_H
#define KAFKA_HEADER_H

#include "kafka/codec.h"

#define KAFKA_SIZE_SIZE           4 /* bytes of the size */
#define KAFKA_REQUEST_SIZE_MIN    8 /* bytes behind the size without which nothing can be told */
#define KAFKA_RESPONSE_HEADER_MAX 5 /* bytes */

struct kafka_request_header {
    int16_t key, version;
    int32_t correlation_id;
    struct slice client_id; /* of the request's bytes; without data: null */
    const struct kafka_api *api;
    struct slice message; /* what follows the header */
};

/* Reads a request behind its size. Errors: MESH_EPROTO, MESH_ETOOLARGE (malformed; nothing is written), MESH_EUNSUPPORTED (key or version is not in the
 * schema: key, version and correlation_id are written, api is NULL for an unknown key, the rest is not). */
int kafka_request_header_decode(struct slice request, struct kafka_request_header *ret_header);

/* Appends a whole request or response: size, header, message. Errors: as kafka_encode(); the buffer is unchanged then. version is one
 * that the api has. */
int kafka_request_encode(const struct kafka_api *api, int version, int32_t correlation_id, struct slice client_id, const void *message,
                         struct buffer *buffer);
int kafka_response_encode(const struct kafka_api *api, int version, int32_t correlation_id, const void *message, struct buffer *buffer);

/* Writes the header of a response, without its size, at `to` and returns how many bytes it has. */
size_t kafka_response_header_write(const struct kafka_api *api, int version, int32_t correlation_id, uint8_t to[KAFKA_RESPONSE_HEADER_MAX]);

#endif
