/* client/producer.h - the inside of struct mesh_producer.
 *
 *   mesh_producer_send -> open batch of a partition -> delivery queue -> lane (connection) -> one PRODUCE
 * frame of many partitions' batches -> answer -> delivery queue -> callbacks
 *
 * A **lane** is the producer's share of one connection: the partitions led at its other end that have
 * something ready (a closed batch that may go) or open (a batch that still takes records). Files: producer.c
 * (making, options), producer_send.c (records in), producer_pump.c (what is sent when), producer_request.c
 * (frames and answers), producer_routes.c (partitions, lanes, producer ids), producer_pending.c (records that
 * came before the routes). */
#ifndef CLIENT_PRODUCER_H
#define CLIENT_PRODUCER_H

#include "client/client.h"
#include "client/delivery_queue.h"
#include "client/gather.h"
#include "client/request_table.h"
#include "client/topic.h"

#define PRODUCER_BATCH_BYTES_DEFAULT (1u << 20) /* whole batch, header included */
#define PRODUCER_MEMORY_DEFAULT      (64u << 20)
#define PRODUCER_MEMORY_PARTITION    (32u << 10) /* by default, for each partition of a topic with thousands of them */
#define PRODUCER_MEMORY_MOST         (256u << 20)
#define PRODUCER_DELIVERY_DEFAULT_MS 120000
#define PRODUCER_IN_FLIGHT_DEFAULT                                                                           \
    5 /* batches per partition: the broker remembers that many per producer                                  \
       */
#define PRODUCER_WINDOW_BYTES  (16u << 20) /* in flight per lane */
#define PRODUCER_FRAME_BYTES   (1u << 20)  /* batches are gathered into one frame up to about this */
#define PRODUCER_FRAME_ENTRIES 1000
#define PRODUCER_BUSY_REQUESTS 2 /* in flight: then a batch that is not full waits for more records */
#define PRODUCER_TURN_BYTES    (64u << 10) /* records sent between two turns of the loop from inside send() */
#define PRODUCER_RETRY_MS      20          /* when memory was short */
#define PRODUCER_ROUTE_MS      100         /* between looks for a leader that is missing */
#define PRODUCER_BACKLOG_BATCHES                                                                             \
    1024 /* that wait behind a partition's full window, unless the application said how much memory there is */
#define PRODUCER_DEEP_BYTES    (8u << 20) /* in flight per lane, of thousands of batches: then the others wait */

struct producer_lane {
    struct list_node node;
    struct connection *connection; /* NULL: the lane of partitions that have no route yet */
    struct list_node ready, open;
    size_t in_flight_bytes;
    uint32_t in_flight_requests;
    bool is_left;            /* something in flight belongs to another lane by now */
    struct list_node posted; /* requests that nobody answers (acks 0) */
};

struct producer_partition {
    struct mesh_producer *producer;
    uint32_t index;
    struct delivery_queue queue;
    struct producer_batch *open;
    struct producer_lane *lane;
    bool is_route_stale; /* it goes another way once nothing is in flight; until then nothing more is sent */
    int32_t leader_epoch; /* as of its route */
    uint32_t size_hint;  /* bytes: recent batches were about this large */
    struct list_node ready_node, open_node, deliver_node, backoff_node;
};

/* One PRODUCE frame. Pooled. */
struct produce_request {
    struct request request;
    struct mesh_producer *producer; /* NULL: given up, its answer is ignored */
    struct producer_lane *lane;
    struct producer_batch *batches; /* linked by next_in_request */
    size_t bytes;
    struct list_node node; /* in the producer's list of all in flight, or of idle ones */
    uint64_t session;      /* acks 0: of the connection it was posted on */
};

struct mesh_producer {
    struct mesh_client *client;
    struct topic *topic;
    struct pump pump;
    struct timer timer;

    int acks;
    bool is_idempotent;
    enum record_compression compression;
    int linger_ms;
    size_t batch_bytes_max, batch_records_max;
    int delivery_timeout_ms;
    uint32_t in_flight_max;
    enum mesh_partitioner partitioner;
    mesh_partitioner_fn *partitioner_fn;
    void *partitioner_user;

    bool has_started; /* options are fixed from the first record on */
    bool is_closing;
    bool is_flushing; /* linger does not count */
    bool is_memory_set;
    uint64_t topic_generation, reach_generation; /* that the routes were made by */
    uint64_t accept_ms; /* wall clock as of accept_tsc, for timestamps */
    uint64_t accept_tsc;

    struct producer_partition **partitions; /* owned; grows, never shrinks */
    uint32_t partition_count; /* entries in use; records go to the topic's partition_count of them */
    int32_t sticky;
    size_t sticky_bytes;
    struct list_node lanes; /* all; the one without a route first */
    struct producer_lane unrouted;
    struct list_node by_age;  /* every batch not resolved, oldest first */
    struct list_node deliver; /* partitions whose first batch may be resolved */
    struct list_node backoff; /* partitions that wait before they send again */
    struct list_node pending; /* records that came before the routes */

    struct call *id_call; /* INIT_PRODUCER under way, or NULL */
    uint64_t id_retry_ms;
    int id_error; /* how the last INIT_PRODUCER ended */

    struct batch_pool pool;
    size_t queued_bytes, queued_records;
    uint64_t resent_records;
    size_t bytes_since_turn, open_count; /* open: batches */
    struct gather gather;
    struct list_node requests, idle_requests;
    struct buffer message;     /* scratch for a request's message */
    struct slice *attachments; /* scratch: PRODUCER_FRAME_ENTRIES */
};

/* Bytes that records are gathered to: no more than the topic takes. A record that is larger by itself is sent all the same
 * (compression may make it fit), up to batch_bytes_max; then its broker judges. */
static inline size_t producer_batch_limit(const struct mesh_producer *producer)
{
    size_t topic_max = producer->topic->batch_bytes_max;

    return producer->batch_bytes_max < topic_max ? producer->batch_bytes_max : topic_max;
}

/* producer_routes.c */
/* Whether records that may go anywhere should go there: it has a leader, and what it was given gets through. */
bool producer_accepts(const struct mesh_producer *producer, uint32_t index);
int producer_partition_get(struct mesh_producer *producer, uint32_t index,
                           struct producer_partition **ret_partition);
void producer_partition_free(struct producer_partition *partition);
void producer_lane_free(struct producer_lane *lane);
/* Puts a partition into the lists where it belongs now. */
void producer_partition_update(struct producer_partition *partition);
/* Takes new routes, asks for ids, and sends pending records on their way. False: nothing can be sent yet. */
bool producer_prepare(struct mesh_producer *producer);
void producer_ask_id(struct mesh_producer *producer);
/* Why there is no producer id yet, as a broker said; 0: not known. */
int producer_id_refusal(const struct mesh_producer *producer);

/* producer_send.c */
/* The topic must be known. Errors: as mesh_producer_send(), and MESH_EAGAIN (enough waits for the partition; for the application that is
 * MESH_EQUEUEFULL, too). */
int producer_send_routed(struct mesh_producer *producer, const struct mesh_record *record,
                         struct delivery delivery);

/* producer_pending.c */
int producer_pending_add(struct mesh_producer *producer, const struct mesh_record *record,
                         struct delivery delivery);
void producer_pending_flush(struct mesh_producer *producer); /* once the routes are known */
void producer_pending_fail(struct mesh_producer *producer, int error, uint64_t created_before_ms);
uint64_t producer_pending_oldest_ms(const struct mesh_producer *producer);

/* producer_pump.c */
void producer_pump(struct pump *pump);
void producer_timer_due(struct timer *timer, uint64_t now_ms);
void producer_close_batch(struct producer_partition *partition);
/* Runs the callbacks of what is resolved, in order, and recycles it. */
void producer_deliver(struct mesh_producer *producer);
/* Gives up every batch that waits. */
void producer_give_up_batches(struct mesh_producer *producer, int error);

/* producer_request.c */
/* Sends one frame of ready batches. Errors: MESH_EAGAIN (the send queue is full: flush), MESH_ENOMEM. */
int producer_send_frame(struct mesh_producer *producer, struct producer_lane *lane);
void producer_check_posted(struct mesh_producer *producer, struct producer_lane *lane);
void producer_forget_requests(struct mesh_producer *producer);

#endif
