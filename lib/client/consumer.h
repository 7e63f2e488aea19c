/* client/consumer.h - the inside of struct mesh_consumer.
 *
 * An **assignment** is a partition being read. It is, in turn: unresolved (its offset is being asked for),
 * idle (in its session's list, to be asked for), fetching (in a FETCH in flight), backing off, or stopped
 * (paused, or an error was told). A
 * **session** is the consumer's share of one connection. The next FETCH leaves as soon as the answer's
 * message has arrived, while the batches are still streaming: the connection is never idle while there is
 * something to read. Files: consumer.c (making, assigning), consumer_offsets.c (resolving), consumer_fetch.c
 * (requests and answers), consumer_poll.c (records out). */
#ifndef CLIENT_CONSUMER_H
#define CLIENT_CONSUMER_H

#include "base/map.h"
#include "client/call.h"
#include "client/client.h"
#include "client/fetch.h"
#include "client/topic.h"

#define CONSUMER_FETCH_BYTES_DEFAULT (4u << 20)
#define CONSUMER_FETCH_BYTES_MIN     (16u << 10)
#define CONSUMER_REQUEST_BYTES                                                                               \
    (2u << 20) /* of one FETCH: while it is on its way the broker has the next one, and seldom falls asleep between two */
#define CONSUMER_MAX_WAIT_DEFAULT_MS 500
#define CONSUMER_REQUESTS_MAX        256          /* in flight; more than a few only after many seeks */
#define CONSUMER_ROUTE_MS            100          /* between looks for a leader that is missing */
#define CONSUMER_RETRY_MS            20           /* when a FETCH could not even be queued */
#define CONSUMER_DECOMPRESSED_MAX    (256u << 20) /* of one batch */
#define CONSUMER_IDLE_DATA_MAX       (8u << 20)   /* larger buffers are not kept for reuse */

struct assignment {
    struct list_node node;          /* in the consumer's list */
    struct map_node map_node;       /* and in its map, by topic and partition */
    struct list_node state_node;    /* in the list of its state: unresolved, a session's idle, backoff */
    uint32_t reference_count;       /* the consumer's, and each FETCH's or offset call's */
    struct mesh_consumer *consumer; /* NULL: unassigned */
    struct topic *topic;
    uint32_t partition;
    uint64_t generation; /* raised by seek and the like: older answers are stale */

    int64_t position;               /* next offset for the application; -1 until resolved */
    int64_t fetch_offset;           /* next offset to ask for */
    int64_t high_watermark;         /* -1: not heard of yet */
    int64_t doubted_offset;         /* the last position where damage came, which the leader is told; -1: none since the last seek */
    int64_t resolve_ms;             /* timestamp to resolve: -1 end, -2 beginning, else time */
    bool is_resolved, is_resolving; /* resolving: in an offset call */
    bool is_fetching;
    bool is_paused;  /* by the application */
    bool is_held;    /* by its pool */
    bool is_stopped; /* an error was told, or is about to be */
    int error;       /* to be told by the next poll, 0: none */
    uint64_t retry_ms;
    uint32_t failures;
    int32_t leader_epoch; /* as of its route */
    int32_t position_epoch; /* leader epoch of the record before `position`, -1: not known; assignment_note_epoch() */
    int64_t epoch_from;     /* what was read of that epoch on the way to `position` begins here; that, if nothing was */
    bool must_check;        /* whether the leader of now has that record (consumer_offsets.c): before, nothing more is fetched */
    int64_t cut_from;       /* where it stood when it turned out that the leader has not, to be told by the next poll; -1: nothing is */
    int64_t cut_to;         /* and what is the same still ends here */

    /* Of a subscribed consumer (client/group.h). */
    struct uuid topic_id;
    uint32_t claimed_in;          /* generation */
    struct lane *lane;            /* of its pool, or NULL */
    struct list_node polled_node; /* in the group's list of those to be stored */
};

struct fetch_session {
    struct list_node node;
    struct connection *connection;
    struct list_node idle; /* assignments to ask for */
};

/* A decompression buffer, kept until the records in it have been read and the next poll begins. */
struct scratch {
    struct list_node node;
    struct buffer bytes;
};

struct mesh_consumer {
    struct mesh_client *client;
    struct consumer_group *group; /* owned; NULL: not subscribed */
    struct mesh_pool *pool; /* NULL: the application polls */
    bool is_full;           /* the pool takes no records */
    mesh_rebalance_fn *rebalance;
    void *rebalance_user;
    mesh_slow_fn *slow;
    void *slow_user;
    enum mesh_truncation_policy truncation_policy;
    mesh_truncation_fn *truncation;
    void *truncation_user;
    size_t cut_count; /* assignments whose cut_from waits to be told */
    struct pump pump;
    struct timer timer;
    size_t fetch_bytes_max, fetch_bytes_min;
    int max_wait_ms;
    bool is_verifying;

    struct list_node assignments;
    struct map by_partition;
    struct list_node unresolved, backoff; /* assignments */
    struct list_node unrouted;            /* assignments without a connection */
    struct list_node sessions;
    struct list_node offset_calls;
    uint64_t routes_seen; /* sum of the topics' generations and the client's reach_generation, */
    uint64_t reach_seen;  /* and the latter */

    struct list_node in_flight; /* fetches that wait for their answer */
    struct list_node ready;     /* fetches with something to read, in order of arrival */
    struct list_node retired;   /* read, but borrowed by the application until the next poll */
    struct list_node idle;      /* fetches to reuse */
    struct fetch_spares spares;
    size_t bytes_promised; /* asked for, or arrived and not read */
    uint32_t in_flight_count;
    struct buffer message; /* scratch */

    /* Where poll stands. */
    bool is_iterating;
    struct assignment *iterating; /* whose batch the iterator is in */
    uint64_t iterating_generation;
    struct record_iterator iterator;
    struct scratch *scratch; /* of the iterator's batch, or NULL */
    struct list_node scratch_retired, scratch_idle;
    size_t scratch_bytes;  /* decompressed for this poll */
    struct slice *headers; /* owned: encoded headers of the polled records that have some */
    size_t header_count, header_capacity;

    size_t error_count;                   /* assignments whose error waits to be told */
    char error_topic[TOPIC_NAME_MAX + 1]; /* of the last error that poll told */
    int32_t error_partition;
};

/* consumer.c */
struct assignment *consumer_find(const struct mesh_consumer *consumer, const char *topic, int32_t partition); /* NULL: none */
void consumer_remove(struct assignment *assignment);                                                         /* accepts NULL */
/* At an offset, or where resolve_ms says. Errors: MESH_EEXISTS, MESH_ENOMEM. */
int consumer_add(struct mesh_consumer *consumer, struct topic *topic, int32_t partition, int64_t offset, int64_t resolve_ms);
void assignment_unref(struct assignment *assignment); /* accepts NULL */
/* Puts it into the list of its state. */
void assignment_update(struct assignment *assignment);
/* Drops what was fetched ahead and goes on at `offset`; what lies before it is not known, unless it is the position of now. */
void assignment_rewind(struct assignment *assignment, int64_t offset);
/* Stops it; the next poll tells why. What was fetched ahead is dropped. */
void assignment_stop(struct assignment *assignment, int error);
void assignment_clear_error(struct assignment *assignment);
/* The record before its position is of this epoch, of which reading began at `from` unless it is in it already. */
static inline void assignment_note_epoch(struct assignment *assignment, int32_t epoch, int64_t from)
{
    if (assignment->position_epoch != epoch) assignment->epoch_from = from;
    assignment->position_epoch = epoch;
}

/* The record before its position is of this epoch: another leader is asked whether it has it. */
void assignment_check(struct assignment *assignment, int32_t epoch);
void assignment_clear_cut(struct assignment *assignment);
void assignment_retry_later(struct assignment *assignment);

/* consumer_offsets.c */
void consumer_resolve(struct mesh_consumer *consumer);
void consumer_forget_offset_calls(struct mesh_consumer *consumer);

/* consumer_fetch.c */
void consumer_pump(struct pump *pump);
void consumer_timer_due(struct timer *timer, uint64_t now_ms);
void consumer_forget_fetches(struct mesh_consumer *consumer);
void consumer_recycle_fetch(struct fetch *fetch);

/* consumer_poll.c */
void consumer_release_polled(struct mesh_consumer *consumer);

#endif
