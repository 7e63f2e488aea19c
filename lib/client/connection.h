/* client/connection.h - one connection to one shard of one broker.
 *
 *   CLOSED --want--> CONNECTING --> GREETING (HELLO) --> READY --loss--> BACKOFF --timer--> CLOSED or
 * CONNECTING
 *
 * CONNECTING begins with looking the name up, unless it is written in figures (lookup.h).
 *
 * Non-blocking; reconnects on demand with jittered exponential backoff; every address behind the broker's
 * name is tried in turn. A connection is either for **requests** (commands, produce) or for **fetch**:
 * fetched batches must not stand in the way of acknowledgements. Owned by its broker, used by the client's
 * thread. */
#ifndef CLIENT_CONNECTION_H
#define CLIENT_CONNECTION_H

#include "base/list.h"
#include "base/address.h"
#include "client/request_table.h"
#include "client/send_queue.h"
#include "client/timer_heap.h"

struct mesh_client;
struct broker;
struct lookup;

enum connection_state {
    CONNECTION_CLOSED,
    CONNECTION_CONNECTING,
    CONNECTION_GREETING,
    CONNECTION_READY,
    CONNECTION_BACKOFF
};
enum connection_lane { CONNECTION_REQUESTS, CONNECTION_FETCH };
#define CONNECTION_ANY_SHARD (-1)
#define CONNECTION_RELAY     (-2) /* any shard; what goes this way asks to be forwarded */

#define CONNECTION_ATTACHMENT_MAX                                                                            \
    (256u << 20) /* an answer's attachment longer than this closes the connection */
#define CONNECTION_RECEIVE_STEP                                                                              \
    (256u << 10)                     /* bytes per recv() of an attachment: stays inside the L2 cache */
#define CONNECTION_STAGE_MAX    1024 /* attachments up to this are copied into the send ring */
#define CONNECTION_CONNECT_MS   5000 /* for one socket address, when there are more to try */
#define CONNECTION_PROBLEM_SIZE 256
#define CONNECTION_DOUBT_MS     1000 /* a broker that owes answers and says nothing for so long is in doubt */

struct connection {
    struct list_node node;       /* in its broker's list */
    struct list_node flush_node; /* in the client's list of connections with something new to send */
    struct mesh_client *client;
    struct broker *broker;
    int32_t shard; /* wished for, or one of the below */
    enum connection_lane lane;
    enum connection_state state;
    int fd; /* the socket; while a name is looked up, what tells that it is over */
    struct lookup *lookups[2]; /* of the broker's address and of its advertised one, owned, or NULL: one that outlives its attempt is the next one's */
    struct lookup **awaited;   /* one of them, or NULL */
    bool is_write_armed; /* waiting for the socket to become writable */
    bool is_wanted;      /* somebody waits for it to become ready */

    struct address_sockets sockets;
    size_t socket_next; /* index of the next to try */
    bool has_doubt;     /* an address of this attempt failed in a way that time may cure */
    bool is_refused;    /* the last attempt ended with a definite no from every address */
    uint32_t failures;  /* in a row */
    struct timer timer; /* connecting, greeting, backoff, or a silent broker */
    uint64_t progress_ms;
    uint32_t patience_ms; /* answers may be held back for so long by request */
    bool is_doubted;      /* ready, but silent for CONNECTION_DOUBT_MS and its patience: others are asked how things are */
    uint64_t session;                          /* raised each time it is closed */
    char problem[CONNECTION_PROBLEM_SIZE];     /* why the last attempt failed: "" or a clause */
    char refusal[CONNECTION_PROBLEM_SIZE / 2]; /* what the broker said to HELLO, or "" */

    struct send_queue out;
    struct request_table requests;
    struct request hello;
    bool has_unanswered;      /* requests with acks 0 went out: answers to nobody are to be ignored */
    uint32_t frame_bytes_max; /* as the broker said */

    uint8_t *in; /* received, not yet parsed: [in_at, in_end) of in_capacity bytes */
    size_t in_at, in_end, in_capacity;
    size_t in_need;            /* bytes of the next frame, header and message, as far as known */
    struct request *receiving; /* whose attachment is arriving, or NULL while it is thrown away */
    uint8_t *attachment_to;    /* where its next byte goes, or NULL */
    size_t attachment_left;    /* bytes still to come */
};

/* Errors: MESH_ENOMEM. */
int connection_new(struct mesh_client *client, struct broker *broker, int32_t shard,
                   enum connection_lane lane, struct connection **ret_connection);
/* Fails what is in flight (MESH_ECANCELED). Accepts NULL. */
void connection_free(struct connection *connection);

/* Makes it become ready, now or when its backoff is over; harmless when it is. */
void connection_want(struct connection *connection);

static inline bool connection_is_ready(const struct connection *connection)
{
    return connection->state == CONNECTION_READY;
}

/* An attempt that is under way has no more than wait_ms left. */
void connection_hurry(struct connection *connection, uint32_t wait_ms);

static inline bool connection_is_relay(const struct connection *connection)
{
    return connection->shard == CONNECTION_RELAY;
}

/* Somebody waits for an answer of it: if it has been silent for too long, it is in doubt from now on. */
void connection_doubt(struct connection *connection);

/* Queues a request with its attachment (borrowed until the request is answered or failed). Errors:
 * MESH_EAGAIN (the send queue is full: after the next flush), MESH_ENOMEM. */
int connection_request(struct connection *connection, struct request *request, enum frame_op op,
                       struct slice message, const struct slice *attachments, size_t attachment_count);

/* The same without an answer: nothing is entered in the table; *ret_end_position tells when it has left. */
int connection_post(struct connection *connection, enum frame_op op, struct slice message,
                    const struct slice *attachments, size_t attachment_count, uint64_t *ret_end_position);

/* Sends as much as the socket takes. */
void connection_flush(struct connection *connection);

/* Closes and fails what is in flight with `error`; the reason is kept as the broker's problem. The next
 * want() waits for the backoff. */
void connection_fail(struct connection *connection, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Something happened to the socket. */
void connection_event(struct connection *connection, uint32_t events);

/* ---- between connection.c and connection_io.c ---- */

int connection_read(struct connection *connection);
/* How long it may be silent before it is in doubt; never longer than the client's timeout, after which it is given up. */
uint32_t connection_doubt_ms(const struct connection *connection);
void connection_io_reset(struct connection *connection);

#endif
