/* broker/ops/fetch.h - fetch record batches from any partitions of this broker, or of any if asked to, waiting for records if asked to.
 *
 * A fetch is split into one part per shard (or other broker). A part answers as soon as its partitions have bytes_min bytes below their high
 * watermarks, one of them has an error, or the time is up; the fetch is done when its parts together have bytes_min, or
 * all have answered. Parts that did not answer in time are canceled: what they would have read is fetched next time. */
#ifndef BROKER_OPS_FETCH_H
#define BROKER_OPS_FETCH_H

#include "cmd/broker/ops/doubts.h"
#include "segment/store.h"
#include "wire/message.h"

struct shard;
struct sockaddr_in6;
struct shared_bytes;
struct fetch;

/* One entry's records, taken over by the door, which sends and then releases them. */
struct fetch_records {
    struct fetch_records *next; /* free for the owner's use */
    struct plog_view view;
    struct shared_bytes *shared; /* NULL: the view holds what it points at itself; else it is of one extent, in there */
};
void fetch_records_free(struct fetch_records *records); /* any thread; accepts NULL */

struct fetch_answer {
    struct fetch_result result;
    struct fetch_records *records; /* NULL when result.records_size is 0; the taker sets it to NULL */
    bool is_answered;              /* false: nothing to say about this entry */
};

/* Runs on the submitting shard, exactly once unless the fetch is canceled, maybe inside fetch_submit(). answers (one
 * per entry, in their order) are borrowed for the call. */
typedef void fetch_done_fn(void *owner, uint64_t tag, struct fetch_answer *answers, uint32_t count);

struct fetch_options {
    uint32_t max_wait_ms, bytes_min, bytes_max;
    struct doubt_source source; /* of what the reader says of damage */
    bool forwards; /* entries of partitions that other brokers lead, to them */
    const struct sockaddr_in6 *from; /* the client, or an IPv4 one, for the log; borrowed for fetch_submit(). NULL: nobody's */
    uint32_t correlation_id;         /* the client's own, likewise */
    fetch_done_fn *done;
    void *owner;
    uint64_t tag;
    struct list_node *fetches; /* the owner's list of running fetches, to cancel them */
};

/* Entries come from `reader`. Errors: MESH_ENOMEM (done will not run). */
int fetch_submit(struct shard *shard, const struct fetch_options *options, struct fetch_request_reader *reader);

/* Ends the first fetch in the list without an answer (done does not run); false: there is none. *ret_entry_count: its entries. */
bool fetch_cancel(struct list_node *fetches, uint32_t *ret_entry_count);

#endif
