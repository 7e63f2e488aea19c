/* front/http/router.h - which answer belongs to which request. Thin: what it needs from elsewhere it asks
 * http_source.
 *
 * An answer is either ready at once or comes later; http_exchange is the place where it is waited for. */
#ifndef FRONT_HTTP_ROUTER_H
#define FRONT_HTTP_ROUTER_H

#include "cmd/broker/front/http/http.h"
#include "cmd/broker/front/http/request.h"
#include "cmd/broker/front/http/response.h"

struct http_exchange;
typedef void http_answered_fn(void *user, struct http_exchange *exchange);

/* One request and the way to its answer. Heap object: it outlives its connection when a shard answers late.
 */
struct http_exchange {
    struct http_server *server;
    struct http_request request;
    struct http_response response; /* whole when answered() runs */
    http_answered_fn *answered;    /* NULL: nobody waits any more; the exchange then frees itself */
    void *user;
    bool is_waiting;                /* a callback is still to come */
    struct description description; /* of the topic asked for */
    uint32_t partition_from;
};

/* NULL: no memory. */
struct http_exchange *http_exchange_new(struct http_server *server, const struct http_request *request,
                                        http_answered_fn *answered, void *user);

/* Finds the answer; answered() runs once, maybe before this returns. */
void http_exchange_start(struct http_exchange *exchange);

/* The connection has gone, or has read the response: frees it, or lets it free itself when the late answer
 * comes. */
void http_exchange_release(struct http_exchange *exchange);

#endif
