/* broker/front/kafka/kafka.h - the Kafka door: requests in, operations, answers out in the order of the requests.
 *
 * A request becomes a call. Calls of one connection stand in a list; one that is done waits there until those before it are, then leaves. Produce
 * requests overlap; behind any other request nothing further is served until it is answered, as with Kafka itself, so that
 * what waits in the list is bounded.
 *
 * Everything here belongs to the connection's shard, but for what job.h says. */
#ifndef BROKER_FRONT_KAFKA_KAFKA_H
#define BROKER_FRONT_KAFKA_KAFKA_H

#include "base/arena.h"
#include "base/list.h"
#include "cmd/broker/front/connection.h"
#include "kafka/header.h"

struct fetch_records;
struct kafka_call;
struct kafka_login;

struct kafka_login;

struct kafka_session {
    struct list_node calls;     /* in the order of their requests */
    struct list_node fetches;   /* that run, to cancel them */
    struct kafka_call *waiting; /* a produce call that waits for memory in the middle; in `calls` */
    size_t charged_bytes;       /* of its calls */
    uint32_t exclusive;         /* calls that nothing may overtake or follow: all but produce */
    struct kafka_login *login;  /* owned: under way, or NULL; login.h */
    char *user;                 /* owned: who is at the other end; NULL: not known */
    uint64_t known_until_ms;    /* of the shard's clock; 0: as long as the connection lasts */
    bool is_finishing;          /* nothing more is served, but for what waits; the connection ends with the last answer */
};

/* Records inside an answer: behind the first `at` bytes of it. */
struct kafka_cut {
    size_t at;
    struct fetch_records *records; /* owned */
};

typedef void kafka_finish_fn(struct kafka_call *call);

struct kafka_call {
    struct list_node link;         /* session.calls, until it leaves */
    struct connection *connection; /* stays allocated while a call is there */
    struct kafka_session *session; /* NULL: the connection is closed, nobody wants the answer */
    const struct kafka_api *api;
    int32_t correlation_id; /* the client's, for the log: the answer has it already */
    int8_t version;
    bool is_exclusive;
    bool is_done;    /* the answer is complete */
    bool is_silent;  /* no answer is sent (acks 0) */
    bool is_fetch;   /* one of `out` is a fetch that may be canceled */
    uint32_t weight; /* connection_begin()'s */
    uint32_t out;    /* operations under way, and the handler while it begins them */
    kafka_finish_fn *finish; /* when `out` comes to 0, unless nobody wants to know: completes the answer, and ends in kafka_call_done() */
    size_t charged_bytes;    /* to the shard's pool: what it holds while it waits */
    struct arena arena;      /* what lives until the call is done; with `cuts`, as long as the call */
    void (*cancel)(struct kafka_call *call); /* it waits for time alone: the connection closes, and one of `out` ends here; NULL: it does not */
    void *state;             /* the handler's, in the arena */
    struct buffer bytes;     /* the answer without its size: header, and message but for records */
    struct kafka_cut *cuts;  /* in the arena; by `at` */
    uint32_t cut_count;
};

struct kafka_request {
    struct connection *connection;
    struct kafka_session *session;
    struct kafka_request_header header;
};

typedef enum serve kafka_handler_fn(const struct kafka_request *request);

/* What is offered: a part of what the codec knows. */
struct kafka_offer {
    int16_t key;
    int8_t version_min, version_max;
    uint8_t op; /* which of our operations it is, for the metrics */
    kafka_handler_fn *serve;
};
extern const struct kafka_offer kafka_offers[];
extern const size_t kafka_offer_count;

kafka_handler_fn kafka_serve_produce, kafka_serve_fetch, kafka_serve_list_offsets, kafka_serve_epoch_ends, kafka_serve_metadata, kafka_serve_api_versions,
    kafka_serve_init_producer_id, kafka_serve_create_topics, kafka_serve_delete_topics, kafka_serve_describe_cluster, kafka_serve_sasl_handshake, kafka_serve_sasl_authenticate,
    kafka_serve_create_partitions, kafka_serve_describe_configs, kafka_serve_alter_configs, kafka_serve_incremental_alter_configs, kafka_serve_list_partition_reassignments,
    kafka_serve_alter_partition_reassignments, kafka_serve_elect_leaders, kafka_serve_delete_records, kafka_serve_describe_log_dirs, kafka_serve_describe_producers,
    kafka_serve_describe_user_scram_credentials, kafka_serve_alter_user_scram_credentials;

/* Groups. */
kafka_handler_fn kafka_serve_find_coordinator, kafka_serve_offset_commit, kafka_serve_offset_fetch, kafka_serve_join_group,
    kafka_serve_sync_group, kafka_serve_heartbeat, kafka_serve_leave_group, kafka_serve_describe_groups, kafka_serve_list_groups,
    kafka_serve_delete_groups, kafka_serve_offset_delete;

/* The answer to an api_versions request of a version that is not known: in the layout of version 0, with error 35. */
enum serve kafka_refuse_api_versions(const struct kafka_request *request);

/* What a handler may spend on arrays of one request. */
#define KAFKA_REQUEST_MEMORY_MAX (8u << 20)

/* ---- call.c ---- */

/* Begins a call, with one `out` for the handler itself, which kafka_call_leave() ends. NULL: no memory, and the connection is closed. */
struct kafka_call *kafka_call_new(const struct kafka_request *request, uint32_t weight, bool is_exclusive, kafka_finish_fn *finish);

/* One of `out` ends. The call may be gone, and its connection closed, when this returns. */
void kafka_call_leave(struct kafka_call *call);

/* Charges what the call holds now to the shard's pool, until it is freed. Whoever lets it wait does so; while a job is away it is not called. */
void kafka_call_charge(struct kafka_call *call);

/* The answer is complete: it leaves when its turn has come. */
void kafka_call_done(struct kafka_call *call);
/* Encodes the answer, and done. */
void kafka_call_answer(struct kafka_call *call, const void *message);
/* The answer cannot be made: the connection is closed. For finish functions. */
void kafka_call_fail(struct kafka_call *call);

/* A call that is answered at once: what handlers return with. */
enum serve kafka_respond(const struct kafka_request *request, const void *message);

/* What a handler returns: whether the connection is still there. */
static inline enum serve kafka_served(const struct connection *connection)
{
    return connection->state == CONNECTION_OPEN ? SERVE_MORE : SERVE_GONE;
}

/* Decodes the request's message into `arena`, before there is a call for it: what cannot be read is refused. Errors: as kafka_decode(). */
int kafka_request_decode(const struct kafka_request *request, struct arena *arena, void *ret_message);

/* A request that cannot be believed: nothing after it can be either. `text` begins a sentence in the log. */
enum serve kafka_refuse(const struct kafka_request *request, const char *text);

#endif
