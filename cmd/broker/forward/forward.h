/* forward/forward.h - requests for partitions that other brokers lead, between the shards and the links. Control loop.
 *
 * Of each peer two lists: calls that wait (for a link, or because much is on its way already) and calls that were sent and wait for their
 * answer; and the requests of that peer that are served here. When a link ends, what was sent over it is *unknown* and said to be so at
 * once; what waits is sent over the next link, if that comes in time. Everything has a maximum; beyond it the answer is MESH_EBUSY, and
 * nothing was done. */
#ifndef BROKER_FORWARD_FORWARD_H
#define BROKER_FORWARD_FORWARD_H

#include "cmd/broker/runtime/control.h"

#include <stdatomic.h>

#define FORWARD_CALLS_MAX        8192         /* under way from here, long polls included */
#define FORWARD_QUEUE_BYTES_MAX  (4u << 20)   /* of one peer, in its link's queue; one message always fits */
#define FORWARD_SERVES_MAX       8192         /* requests of others under way here, long polls included */
#define FORWARD_SERVE_BYTES_MAX  (128u << 20) /* of theirs: batches and fetched records */
#define FORWARD_FETCH_BYTES_MAX  (4u << 20)   /* of one answer, but for a first batch that is larger */
#define FORWARD_RECORDS_BYTES_MAX (64u << 20) /* fetched elsewhere and not yet sent to clients; beyond, answers come empty */
#define FORWARD_LINK_WAIT_MS     2000         /* for a link to a leader that has none */
#define FORWARD_TIMEOUT_MS       60000        /* of a produce request that names none */
#define FORWARD_SLACK_MS         1000         /* what the answer may take beyond the leader's own time */
#define FORWARD_READ_MS          10000        /* for offsets, and for a fetch beyond its wait */
#define FORWARD_DESCRIBE_MS      2000         /* for a leader to say how far its partitions go */
#define FORWARD_IDLE_MS          60000        /* so long after the last call a link is kept for more */

struct forward;
struct peers;

/* Before the shards start. Errors: MESH_ENOMEM, MESH_EIO. Until forward_attach() calls come back as unreachable. */
int forward_open(struct control *control, struct forward **ret_forward);

/* The control loop's mailbox that is emptied also when the loop has ended, until nothing is under way between threads. */
struct mailbox *forward_mailbox(struct forward *forward);

/* Becomes the peers' user for LINK_TYPE_FORWARD. */
void forward_attach(struct forward *forward, struct peers *peers);

/* The broker stops: long polls come home empty, now and from now on. */
void forward_stop_waiting(struct forward *forward);

/* The links are gone: every call is posted home, and so is every later one. Harmless before forward_attach(). */
void forward_detach(struct forward *forward); /* accepts NULL */

/* No thread runs any more: delivers what shards have posted; returns how much. */
unsigned forward_drain(struct forward *forward); /* accepts NULL */

/* No mail is under way any more. */
void forward_free(struct forward *forward); /* accepts NULL */

struct forward_stats {
    uint64_t calls, call_bytes;     /* sent to other brokers, and their bytes */
    uint64_t streamed;              /* of these, past the links */
    uint64_t answers, answer_bytes;
    uint64_t refused;               /* never sent: a limit, no link */
    uint64_t unknown;               /* sent, and no answer came */
    uint64_t served, served_bytes;  /* of other brokers, and their bytes */
    uint64_t serves_refused;
    uint64_t calls_now, serves_now; /* under way */
    uint64_t streams_now;           /* connections of shards for forwarded requests, both ways */
    uint64_t records_bytes;         /* now: fetched elsewhere and not yet sent on */
};
void forward_get_stats(const struct forward *forward, struct forward_stats *ret_stats);

#endif
