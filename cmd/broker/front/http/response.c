/* front/http/response.c - see response.h. */
#include "cmd/broker/front/http/response.h"

#include "base/error.h"

#include <stdio.h>

void http_response_init(struct http_response *response)
{
    *response = (struct http_response){.status = 200, .type = HTTP_TYPE_TEXT, .body = BUFFER_INIT};
}

void http_response_deinit(struct http_response *response)
{
    buffer_deinit(&response->body);
}

int http_response_text(struct http_response *response, int status, const char *format, ...)
{
    char line[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    response->status = status;
    response->type = HTTP_TYPE_TEXT;
    buffer_clear(&response->body);
    return buffer_printf(&response->body, "%s\n", line);
}

static const char *reason_of(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Unknown";
    }
}

int http_response_write(const struct http_response *response, bool is_head, bool is_kept_alive,
                        struct buffer *to)
{
    int err = buffer_printf(
        to,
        "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n",
        response->status, reason_of(response->status), response->type, response->body.size);

    if (err == 0 && response->allow != NULL) err = buffer_printf(to, "Allow: %s\r\n", response->allow);
    if (err == 0) err = buffer_printf(to, "Connection: %s\r\n\r\n", is_kept_alive ? "keep-alive" : "close");
    return err != 0 || is_head ? err : buffer_append(to, response->body.data, response->body.size);
}
