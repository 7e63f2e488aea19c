/* front/http/http.h - the http door: health, metrics, and a read-only view of the mesh in JSON.
 *
 * Runs on the control loop. A shard that has sniffed an HTTP verb sends the descriptor and the bytes it has
 * read. Everything is bounded: connections, request line and headers (8 KiB together), time per request;
 * bodies are refused. Slow work (numbers of other shards) is asked for through http_source.gather() and
 * answered later. */
#ifndef FRONT_HTTP_HTTP_H
#define FRONT_HTTP_HTTP_H

#include "base/slice.h"
#include "cmd/broker/metadata/describe.h"
#include "cmd/broker/runtime/metrics.h"

#include <stdbool.h>

struct ev_loop;
struct http_server;
struct forward_stats;
struct group_lags;
struct metrics_set;
struct spread_stats;
struct peers_stats;
struct message_group_list;
struct message_group_describe;

/* `set` (owned by the caller of this function until it returns) is NULL when a shard did not answer: the
 * endpoint then says 503. */
typedef void http_gathered_fn(void *user, const struct metrics_set *set);

typedef void http_done_fn(void *user);

/* Once, always later. error 0: an encoded answer, borrowed. */
typedef void http_groups_fn(void *user, int error, struct slice answer);

/* Where the answers come from; called on the control loop only. */
struct http_source {
    void *user;
    const struct image *(*image)(void *user); /* borrowed; never NULL */
    /* NULL: recovered and serving; else a sentence that says why not yet or not any more. */
    const char *(*not_ready)(void *user);
    /* What describe_status() needs besides the shards' numbers; stored_bytes, failed_* and holes are filled
     * from the gathered set. */
    void (*facts)(void *user, struct describe_facts *ret_facts);
    /* Asks every shard for its numbers; done() runs once, maybe before this returns. http_server_free() may
     * come before. */
    void (*gather)(void *user, http_gathered_fn *done, void *done_user);
    /* Fills high watermark and log start of one described topic, from the shards; done() as above, `topics`
     * stays until then. NULL: the offsets are left out. */
    void (*offsets)(void *user, struct message_topic_response *topics, http_done_fn *done, void *done_user);
    /* The members as this broker sees them, into `arena`; and the numbers of gossip, false: none yet. NULL: a broker without
     * peers (/v1/members is then empty). */
    int (*members)(void *user, struct arena *arena, struct message_members_response *ret_members);
    bool (*peers)(void *user, struct peers_stats *ret_stats);
    void (*forward)(void *user, struct forward_stats *ret_stats); /* may be NULL */
    void (*spread)(void *user, struct spread_stats *ret_stats);   /* likewise */
    void (*group_lags)(void *user, const struct metrics_set *set, struct group_lags *ret_lags); /* likewise */
    /* The bytes of wire/message_group.h's answers, as cmd/broker/groups/query.h says. NULL: /v1/groups is not there. */
    int (*groups)(void *user, const struct message_group_list *request, http_groups_fn *done, void *done_user);
    int (*group)(void *user, const struct message_group_describe *request, http_groups_fn *done, void *done_user);
    int64_t start_wall_ms; /* for process_start_time_seconds */
    const char *version;
};

struct http_options {
    uint32_t connections_max;    /* 128; one more is told 503 and closed */
    uint32_t request_timeout_ms; /* 10,000: from the first byte to the last of a request */
    uint32_t idle_timeout_ms;    /* 60,000: between requests of a kept-alive connection */
    uint32_t write_timeout_ms;   /* 30,000: for the peer to take a response */
    uint32_t metric_topics_max;  /* 1,000: per-topic series; further topics are summed as topic="(other)" */
};

void http_options_init(struct http_options *options);

/* `source` is copied. Errors: MESH_ENOMEM. */
int http_server_new(struct ev_loop *loop, const struct http_options *options,
                    const struct http_source *source, struct http_server **ret_server);
void http_server_free(struct http_server *server); /* closes every connection; accepts NULL */

/* Takes the connected, non-blocking socket `fd` (also on failure, when it is closed). `received`: what was
 * read of it already, copied. `peer` names the other side in the log. Errors: MESH_ENOMEM, MESH_EBUSY (over
 * the limit: answered). */
int http_server_adopt(struct http_server *server, int fd, struct slice received, const char *peer);

uint32_t http_server_connection_count(const struct http_server *server);
/* Closes idle connections and lets the others finish their response. */
void http_server_stop(struct http_server *server);

#endif
