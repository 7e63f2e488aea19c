/* front/http/server.c - see http.h: the set of HTTP connections and its limit. */
#include "cmd/broker/front/http/server.h"

#include "base/error.h"
#include "base/log.h"
#include "cmd/broker/front/http/response.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void http_options_init(struct http_options *options)
{
    *options = (struct http_options){
        .connections_max = 128,
        .request_timeout_ms = 10000,
        .idle_timeout_ms = 60000,
        .write_timeout_ms = 30000,
        .metric_topics_max = 1000,
    };
}

int http_server_new(struct ev_loop *loop, const struct http_options *options,
                    const struct http_source *source, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));

    if (server == NULL) return MESH_ENOMEM;
    server->loop = loop;
    server->options = *options;
    server->source = *source;
    list_init(&server->connections);
    *ret_server = server;
    return 0;
}

void http_server_free(struct http_server *server)
{
    if (server == NULL) return;
    list_for_each_safe(link, &server->connections)
    {
        http_connection_close(http_connection_of(link));
    }
    free(server);
}

/* One try to say why, then the end. */
static void turn_away(int fd, const char *peer)
{
    struct http_response response;
    struct buffer out = BUFFER_INIT;

    log_warn("http connection refused, too many peer=%s", peer);
    http_response_init(&response);
    if (http_response_text(&response, 503, "this broker has as many http connections as it allows") == 0 &&
        http_response_write(&response, false, false, &out) == 0)
        (void)!send(fd, out.data, out.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    http_response_deinit(&response);
    buffer_deinit(&out);
    shutdown(fd, SHUT_WR);
    close(fd);
}

int http_server_adopt(struct http_server *server, int fd, struct slice received, const char *peer)
{
    if (server->connection_count >= server->options.connections_max) {
        turn_away(fd, peer);
        return MESH_EBUSY;
    }
    return http_connection_start(server, fd, received, peer);
}

uint32_t http_server_connection_count(const struct http_server *server)
{
    return server->connection_count;
}

void http_server_stop(struct http_server *server)
{
    server->is_stopping = true;
    list_for_each_safe(link, &server->connections)
    {
        struct http_connection *connection = http_connection_of(link);
        if (http_connection_is_idle(connection)) http_connection_close(connection);
    }
}
