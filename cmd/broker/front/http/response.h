/* front/http/response.h - a response being made: status, type and body; then the bytes to send. No
 * input/output. */
#ifndef FRONT_HTTP_RESPONSE_H
#define FRONT_HTTP_RESPONSE_H

#include "base/buffer.h"

#include <stdbool.h>

#define HTTP_TYPE_TEXT    "text/plain; charset=utf-8"
#define HTTP_TYPE_JSON    "application/json"
#define HTTP_TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct http_response {
    int status;
    const char *type;  /* one of the constants above */
    const char *allow; /* methods, for 405; else NULL */
    struct buffer body;
};

void http_response_init(struct http_response *response); /* 200, text, empty */
void http_response_deinit(struct http_response *response);

/* Replaces the body by a line of text. Errors: MESH_ENOMEM. */
int http_response_text(struct http_response *response, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Appends head and (unless is_head) body to `to`. Errors: MESH_ENOMEM. */
int http_response_write(const struct http_response *response, bool is_head, bool is_kept_alive,
                        struct buffer *to);

#endif
