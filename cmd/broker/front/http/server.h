/* front/http/server.h - inside the http door: what server.c, connection.c and router.c share. */
#ifndef FRONT_HTTP_SERVER_H
#define FRONT_HTTP_SERVER_H

#include "base/list.h"
#include "cmd/broker/front/http/http.h"

#include <ev.h>

struct http_server {
    struct ev_loop *loop;
    struct http_options options;
    struct http_source source;
    struct list_node connections; /* struct http_connection.link */
    uint32_t connection_count;
    bool is_stopping;
};

/* connection.c: takes fd (also on failure); `received` is copied. Errors: MESH_ENOMEM. */
int http_connection_start(struct http_server *server, int fd, struct slice received, const char *peer);

struct http_connection;
struct http_connection *http_connection_of(struct list_node *link);
void http_connection_close(struct http_connection *connection);
bool http_connection_is_idle(const struct http_connection *connection);

#endif
