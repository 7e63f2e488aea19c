/* front/http/request.h - bytes become HTTP requests: http-parser behind our limits. No input/output. */
#ifndef FRONT_HTTP_REQUEST_H
#define FRONT_HTTP_REQUEST_H

#include "base/slice.h"

#include <http_parser.h>
#include <stdbool.h>

#define HTTP_HEAD_BYTES_MAX   8192 /* request line and headers together */
#define HTTP_TARGET_BYTES_MAX 2048

struct http_request {
    enum http_method method;
    bool is_kept_alive;
    char target[HTTP_TARGET_BYTES_MAX + 1]; /* as sent: path and query */
};

struct http_request_reader {
    http_parser parser;
    struct http_request request; /* whole when http_request_read() has returned 0 */
    size_t head_bytes;           /* of this request so far */
    size_t target_size;
    bool is_complete;
    int status; /* what to answer when reading failed: 400, 413, 414, 431, 505 */
};

void http_request_reader_init(struct http_request_reader *reader);

/* Reads on. *ret_used: bytes taken of `bytes`; what is left belongs to the next request, for which the reader
 * is to be initialised again. Returns 0 (a request is whole), MESH_EAGAIN (all taken, more is needed) or
 * MESH_EPROTO: then reader->status says what to answer, and http_request_problem() why; the connection cannot
 * go on. */
int http_request_read(struct http_request_reader *reader, struct slice bytes, size_t *ret_used);
const char *http_request_problem(const struct http_request_reader *reader);

/* True after the first byte of a request. */
bool http_request_has_begun(const struct http_request_reader *reader);

/* The path of a target, with %XX resolved, into to[size]. Errors: MESH_EPROTO (bad or zero escapes, or no
 * absolute path), MESH_ETOOLARGE. */
int http_target_path(const char *target, char *to, size_t size);

/* The value of a query parameter ("limit" of "/x?limit=5"), resolved, into to[size]. Errors: MESH_ENOTFOUND,
 * MESH_EPROTO, MESH_ETOOLARGE. */
int http_target_parameter(const char *target, const char *name, char *to, size_t size);

#endif
