/* broker/ops/fetch_part.h - the entries of one fetch that live on one shard, or on another broker; internal to fetch.
 *
 * Made and freed on the home shard. While it is out it belongs to the shard that serves it; the home shard may only ask for
 * it back (cancel), by a mail that always returns. Invariant: a part is freed only when neither it nor its cancellation
 * is under way. */
#ifndef BROKER_OPS_FETCH_PART_H
#define BROKER_OPS_FETCH_PART_H

#include "cmd/broker/forward/call.h"
#include "cmd/broker/ops/fetch.h"
#include "cmd/broker/runtime/mailbox.h"

#include <ev.h>

struct fetch_part;
struct forward_fetch;

struct fetch_part_entry {
    struct fetch_entry request;
    struct fetch_answer answer;
    struct list_node waiter; /* in a partition's list while waiting */
    struct fetch_part *part; /* set when the part is read: the array may move before */
    uint32_t index;          /* in the request */
};

struct fetch_part {
    /* constant while out */
    struct fetch *fetch;
    struct fetch_part *next; /* of the fetch */
    struct shard *home, *shard; /* shard: home, if it goes to another broker */
    bool is_forwarded;
    struct forward_leader leader; /* where it goes to then (the shard is that of its first entry), */
    struct forward_fetch *call; /* and how, until it has left; owned */
    const struct sockaddr_in6 *from; /* the options', until the part is sent */
    uint32_t correlation_id;         /* likewise the options' */
    struct doubt_source source;
    uint32_t max_wait_ms, bytes_min, bytes_max;
    bool is_short; /* the request has few entries: say something about each */
    struct fetch_part_entry *entries; /* owned; entries belong to the serving shard while out */
    uint32_t entry_count, entry_capacity;
    /* the serving shard's */
    struct mail mail;
    struct list_node ready_link;
    ev_timer timer;
    uint64_t started_ns;
    bool is_waiting;
    bool is_cold; /* something could not be read without waiting for the disk */
    /* the home shard's */
    struct mail cancel;
    bool is_out, is_canceling;
};

/* Errors: MESH_ENOMEM. */
int fetch_part_new(struct fetch *fetch, struct shard *home, struct shard *shard, const struct fetch_options *options,
                   struct fetch_part **ret_part);
void fetch_part_free(struct fetch_part *part); /* accepts NULL; with the records nobody took */
int fetch_part_add(struct fetch_part *part, uint32_t index, const struct fetch_entry *entry);

/* Serves the part on the calling shard, which is its own; it ends in fetch_part_finished(), maybe at once. */
void fetch_part_run(struct fetch_part *part);
/* The same on another shard, by mail. */
void fetch_part_send(struct fetch_part *part);
/* Home shard: asks a part that is out to come back; a local one is back when this returns. */
void fetch_part_cancel(struct fetch_part *part);

static inline bool fetch_part_is_back(const struct fetch_part *part)
{
    return !part->is_out && !part->is_canceling;
}

/* Called on the home shard: the part has its answers; or (settled) its cancellation came back. */
void fetch_part_finished(struct fetch *fetch, struct fetch_part *part);
void fetch_part_settled(struct fetch *fetch);

#endif
