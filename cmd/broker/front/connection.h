/* broker/front/connection.h - one client connection on its shard.
 *
 *   SNIFF --native magic--> HELLO --hello--> OPEN --malformed frame--> CLOSING (flush, then close)
 *     |--http verb--> handed to the control loop        '--hello for another shard--> moved, OPEN there
 *     '--anything else: Kafka--> OPEN
 *
 * An idle connection is this struct and a descriptor: no buffer, no timer. A connection whose answers are not read, or
 * that has too many requests unanswered, is not read from. A closed connection stays in memory until the requests under
 * way for it have come back (pending == 0). */
#ifndef BROKER_FRONT_CONNECTION_H
#define BROKER_FRONT_CONNECTION_H

#include "base/list.h"
#include "base/slice.h"
#include "cmd/broker/front/lobby.h"
#include "cmd/broker/front/output.h"
#include "cmd/broker/runtime/mailbox.h"

#include <ev.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct shard;
struct pool_buffer;
struct produce_call;
struct kafka_session;
struct tls_stream;

enum connection_state {
    CONNECTION_SNIFF,   /* nothing known */
    CONNECTION_HELLO,   /* native; must say hello first */
    CONNECTION_OPEN,    /* served */
    CONNECTION_CLOSING, /* the last answers leave; what still comes in is thrown away */
    CONNECTION_CLOSED,  /* descriptor gone */
};

/* Weight of the requests unanswered at once, beyond which no further one is begun. Each entry of a request holds memory
 * until it is answered, so a request weighs by its entries: one with the most that are allowed is served by itself. */
#define CONNECTION_HEAVY_MAX      64
#define CONNECTION_HEAVY_ENTRIES  64 /* entries that weigh as much as a request */

struct connection {
    ev_io io;
    struct shard *shard;
    int fd;
    struct tls_stream *tls; /* owned; NULL: without */
    size_t tls_bytes;       /* charged to the shard's pool for it */
    enum connection_state state;
    struct list_node link;       /* all or closed */
    struct list_node flush_link; /* flushing */
    struct list_node wait_link;  /* resuming or memory_waiting */
    struct list_node stall_link; /* stalling */
    struct list_node fetches;    /* running fetches, to cancel */
    struct pool_buffer *in;      /* received and not yet served; NULL while there is nothing */
    struct output out;
    uint64_t stall_since_ms;
    uint64_t wait_since_ms; /* without progress for lack of memory, else 0 */
    struct kafka_session *kafka; /* of one that speaks Kafka's protocol; kafka/kafka.h. Its fetches are listed there */
    struct produce_call *produce_call; /* a produce request that waits for memory in the middle, */
    uint32_t produced_entries;         /* and how many of its entries are submitted */
    uint32_t in_need;     /* bytes of the frame at the start of `in`, once known, else 0 */
    uint32_t in_want;     /* capacity that the last frames needed */
    uint32_t pending;     /* requests (and disk reads) under way */
    uint32_t heavy;       /* what these weigh */
    bool is_gateway;      /* came by the gateway's port: Kafka's protocol alone, and one broker to be seen (gateway.h) */
    bool is_over_limit;   /* not read from until answers are read or given */
    enum lobby_watch in_lobby;   /* what is watched for there instead of by io */
    bool is_reading, is_writing; /* what io watches */
    struct mail mail;     /* when it moves to another shard */
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
};

#define CONNECTION_PEER_SIZE 64
/* "address:port" for the log; writes into `to` and returns it. */
const char *connection_format_peer(const struct sockaddr *peer, char to[CONNECTION_PEER_SIZE]);
const char *connection_peer(const struct connection *connection, char to[CONNECTION_PEER_SIZE]);

/* Where the peer is, without its port, which is its whim: a hash. */
uint64_t connection_source(const struct connection *connection);

/* Whether the peer is on this machine, as its address says. */
bool connection_is_local(const struct connection *connection);

/* Takes a connected, non-blocking socket. Errors: MESH_ENOMEM (the socket is closed). */
int connection_new(struct shard *shard, int fd, const struct sockaddr *peer, socklen_t peer_size, bool is_gateway);

/* Closes the descriptor and forgets input and output. The struct is freed later. */
void connection_close(struct connection *connection);

/* The same, but the descriptor stays open and becomes the caller's. */
int connection_give_away(struct connection *connection);

/* No more requests; closes when the output has left. */
void connection_finish(struct connection *connection);

/* One line that names the peer, at most a few per second and shard. `what` is a sentence start. */
void connection_complain(struct connection *connection, const char *what);

/* A request begins and ends. weight, the same for both: 0 for a produce request of a few batches, 1 for an administrative one,
 * connection_weight() for one that holds memory for each entry. */
void connection_begin(struct connection *connection, uint32_t weight);
void connection_end(struct connection *connection, uint32_t weight);
static inline uint32_t connection_weight(size_t entry_count)
{
    return 1 + (uint32_t)(entry_count / CONNECTION_HEAVY_ENTRIES);
}

/* Whether it must wait before more is served. */
bool connection_is_over_limit(const struct connection *connection);

/* Arms the loop for what the connection waits for, and (un)lists it among those that owe us something; has_progressed
 * restarts its time. */
void connection_update(struct connection *connection, bool has_progressed);

/* Takes the connection out of its shard; the caller owns it. It has no output and nothing under way. */
void connection_detach(struct connection *connection);
/* Puts a detached one into a shard; on that shard's thread. `received` is copied. MESH_ENOMEM: closed. */
int connection_attach(struct connection *connection, struct shard *shard, struct slice received);

/* ---- input.c ---- */

/* The socket is readable: receive and serve. */
void connection_receive(struct connection *connection);
/* Serves what has been received, after a wait. */
void connection_serve(struct connection *connection);
/* Whether the pool has what a connection that waits for memory needs to go on. */
bool connection_finds_memory(const struct connection *connection);
/* The peer of a connection that waits for memory sends no more (is_broken: nor receives): closes it unless a whole request
 * is there, which is served in its turn. */
void connection_peer_ended(struct connection *connection, bool is_broken);

/* What a door says after looking at the received bytes. */
enum serve {
    SERVE_MORE, /* all whole requests are served; *ret_need: bytes of the next one if known, else 0 */
    SERVE_WAIT, /* the request at *ret_used must be tried again when memory is free or limits allow */
    SERVE_GONE, /* the connection was closed, finished, or left this shard: do not touch it */
};
/* Serves requests from bytes (writable: batches are patched in place). *ret_used: bytes that are done with. */
enum serve connection_serve_native(struct connection *connection, uint8_t *bytes, size_t size, size_t *ret_used,
                                   size_t *ret_need);

#endif
