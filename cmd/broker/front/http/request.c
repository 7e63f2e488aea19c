/* front/http/request.c - see request.h. */
#include "cmd/broker/front/http/request.h"

#include "base/error.h"
#include "base/list.h"

static struct http_request_reader *reader_of(http_parser *parser)
{
    return container_of(parser, struct http_request_reader, parser);
}

static int fail(struct http_request_reader *reader, int status)
{
    if (reader->status == 0) reader->status = status;
    return 1; /* http-parser stops */
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
    struct http_request_reader *reader = reader_of(parser);

    if (size > HTTP_TARGET_BYTES_MAX - reader->target_size) return fail(reader, 414);
    memcpy(reader->request.target + reader->target_size, at, size);
    reader->target_size += size;
    reader->request.target[reader->target_size] = '\0';
    return 0;
}

static int on_headers_complete(http_parser *parser)
{
    struct http_request_reader *reader = reader_of(parser);

    if (parser->http_major != 1) return -fail(reader, 505); /* 1 and 2 would mean: no body, an upgrade */
    if ((parser->flags & F_CHUNKED) != 0 ||
        ((parser->flags & F_CONTENTLENGTH) != 0 && parser->content_length != 0))
        return -fail(reader, 413);
    return 0;
}

static int on_message_complete(http_parser *parser)
{
    struct http_request_reader *reader = reader_of(parser);

    reader->request.method = (enum http_method)parser->method;
    reader->request.is_kept_alive = http_should_keep_alive(parser) != 0;
    reader->is_complete = true;
    http_parser_pause(parser, 1); /* one request at a time: the next one's bytes stay where they are */
    return 0;
}

static const http_parser_settings callbacks = {
    .on_url = on_url,
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
};

void http_request_reader_init(struct http_request_reader *reader)
{
    http_parser_init(&reader->parser, HTTP_REQUEST);
    reader->request.target[0] = '\0';
    reader->head_bytes = reader->target_size = 0;
    reader->is_complete = false;
    reader->status = 0;
}

int http_request_read(struct http_request_reader *reader, struct slice bytes, size_t *ret_used)
{
    size_t room = HTTP_HEAD_BYTES_MAX - reader->head_bytes;
    size_t size = bytes.size < room ? bytes.size : room;
    size_t used =
        size == 0 ? 0 : http_parser_execute(&reader->parser, &callbacks, (const char *)bytes.data, size);

    *ret_used = used;
    reader->head_bytes += used;
    if (reader->is_complete && reader->status == 0) return 0;
    if (HTTP_PARSER_ERRNO(&reader->parser) != HPE_OK) {
        fail(reader, HTTP_PARSER_ERRNO(&reader->parser) == HPE_INVALID_VERSION ? 505 : 400);
        return MESH_EPROTO;
    }
    if (reader->head_bytes == HTTP_HEAD_BYTES_MAX) {
        fail(reader, 431);
        return MESH_EPROTO;
    }
    return MESH_EAGAIN;
}

const char *http_request_problem(const struct http_request_reader *reader)
{
    switch (reader->status) {
    case 413: return "this door is read-only: requests carry no body";
    case 414: return "the request's target is longer than 2048 bytes";
    case 431: return "request line and headers are longer than 8192 bytes";
    case 505: return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    default: return "this is not a well-formed HTTP request";
    }
}

bool http_request_has_begun(const struct http_request_reader *reader)
{
    return reader->head_bytes != 0;
}

/* ---- targets ---- */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int resolve(const char *from, size_t from_size, char *to, size_t size)
{
    size_t at = 0;

    for (size_t i = 0; i < from_size; i++) {
        char c = from[i];
        if (c == '%') {
            int high = i + 2 < from_size ? hex_value(from[i + 1]) : -1;
            int low = high < 0 ? -1 : hex_value(from[i + 2]);
            if (low < 0 || (high == 0 && low == 0)) return MESH_EPROTO;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (at + 1 >= size) return MESH_ETOOLARGE;
        to[at++] = c;
    }
    to[at] = '\0';
    return 0;
}

int http_target_path(const char *target, char *to, size_t size)
{
    if (target[0] != '/') return MESH_EPROTO;
    return resolve(target, strcspn(target, "?#"), to, size);
}

int http_target_parameter(const char *target, const char *name, char *to, size_t size)
{
    size_t name_size = strlen(name);
    const char *at = strchr(target, '?');

    while (at != NULL && *at != '\0' && *at != '#') {
        size_t pair_size = strcspn(++at, "&#");
        if (pair_size > name_size && at[name_size] == '=' && memcmp(at, name, name_size) == 0)
            return resolve(at + name_size + 1, pair_size - name_size - 1, to, size);
        at += pair_size;
    }
    return MESH_ENOTFOUND;
}
