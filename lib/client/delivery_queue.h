/* client/delivery_queue.h - the decisions about one partition's batches: what may be sent, with which
 * sequence, and what an answer or the lack of one means. Sans-I/O: events go in, the state of batches says
 * what to do.
 *
 *   push -> WAITING --take--> IN_FLIGHT --answered--> RESOLVED --pop--> told to the senders
 *              ^------ retry, lost connection ----'
 *
 * Rules:
 * 1. Batches are sent in order and popped in order. At most in_flight_max are on their way, counted from the
 * oldest without an answer: a broker that remembers as many recognises every one of them when it comes again.
 * 2. Sequences are assigned when a batch is first taken and kept for its retries, so that the broker
 * recognises what it already has. They count records and wrap from 2^31-1 to 0.
 * 3. After a failure nothing is sent until everything in flight has come back; then it goes again, in order,
 * after a backoff.
 * 4. OUT_OF_ORDER_SEQUENCE for a batch with an unresolved one before it: just that one's failure seen from
 * behind; sent again. For the first unresolved batch: one before it was given up and never stored, so neither
 * is this one; the partition goes on with the next epoch of its producer id, from sequence 0. Not under another id: an attempt of old may
 * still be on its way, and only a newer epoch of the same id keeps it out, once it is there. Before, if the one that was given up is UNKNOWN, it may
 * still arrive, and an attempt of old behind it: whoever has one that was never answered is UNKNOWN, too, rather than sent again.
 * 5. UNKNOWN_PRODUCER, PRODUCER_FENCED: the broker has lost its memory of us. A batch that may have been
 * stored by an earlier attempt is UNKNOWN (sending it under a new id could store it twice); the others go on
 * under a new id.
 * 6. A batch is FAILED only when no attempt can have stored it, else UNKNOWN.
 * 7. Without sequences nobody would recognise a second copy: what may have been stored is UNKNOWN at once, and never sent again. */
#ifndef CLIENT_DELIVERY_QUEUE_H
#define CLIENT_DELIVERY_QUEUE_H

#include "client/producer_batch.h"

#define DELIVERY_SEQUENCE_NONE (-1)

struct delivery_queue {
    struct list_node batches;              /* closed ones in order, until popped */
    struct producer_batch *next;           /* the first that waits, or NULL */
    uint32_t waiting, in_flight, resolved; /* batches */
    uint32_t in_flight_max;
    bool is_idempotent;
    int64_t producer_id; /* -1: needs one before anything can be sent */
    int16_t producer_epoch;
    int32_t next_sequence;
    bool is_draining;  /* rule 3 */
    bool wants_epoch;  /* rule 4: the next one, once nothing is in flight */
    bool has_unknown;  /* a batch of this epoch was given up, and may be stored yet */
    uint32_t failures; /* in a row */
    uint64_t retry_ms; /* nothing is sent before */
    int forgotten;     /* the error with which the broker said that it knows our id no more; 0: it did not */
    int refusal;       /* why the broker would not store now, when that is the last that it said; else 0 */
};

void delivery_queue_init(struct delivery_queue *queue, bool is_idempotent, uint32_t in_flight_max);

/* Appends a closed batch. */
void delivery_queue_push(struct delivery_queue *queue, struct producer_batch *batch);

/* Whether a batch waits and could be sent at now_ms. */
bool delivery_queue_can_send(const struct delivery_queue *queue, uint64_t now_ms);

/* Whether a newly closed batch could be sent at once. */
bool delivery_queue_has_slot(const struct delivery_queue *queue, uint64_t now_ms);

static inline bool delivery_queue_needs_producer_id(const struct delivery_queue *queue)
{
    return queue->is_idempotent && queue->producer_id < 0 && queue->in_flight == 0;
}

/* Goes on under this id, from sequence 0; what waits is sequenced anew, or resolved by rule 5. Nothing may be
 * in flight.
 */
void delivery_queue_set_producer_id(struct delivery_queue *queue, int64_t producer_id,
                                    int16_t producer_epoch);

/* The next batch, now IN_FLIGHT, its sequence assigned (encoded is empty when it must be sealed). Only after
 * can_send. */
struct producer_batch *delivery_queue_take(struct delivery_queue *queue);

/* The broker's answer for a batch in flight. wait_ms: the backoff for failure number queue->failures. */
void delivery_queue_answered(struct delivery_queue *queue, struct producer_batch *batch,
                             const struct produce_result *result, uint64_t now_ms, uint32_t wait_ms);

/* No answer will come for a batch in flight: the connection is gone, with `error`. was_sent: some of it may have arrived.
 */
void delivery_queue_lost(struct delivery_queue *queue, struct producer_batch *batch, int error, bool was_sent,
                         uint64_t now_ms, uint32_t wait_ms);

/* There is another way to go, or another leader: what failed before says nothing about it, so the backoff is over. */
void delivery_queue_hurry(struct delivery_queue *queue);

/* Whether what it has been given does not get through, so that records that may go elsewhere should. */
static inline bool delivery_queue_is_stuck(const struct delivery_queue *queue)
{
    return queue->failures > 0 && queue->waiting + queue->in_flight > 0;
}

/* Gives up a waiting batch: FAILED or UNKNOWN with this error. */
void delivery_queue_give_up(struct delivery_queue *queue, struct producer_batch *batch, int error);

/* The first batch, taken out, if its fate is known; else NULL. */
struct producer_batch *delivery_queue_pop(struct delivery_queue *queue);

/* What a broker's error code means for a batch. Exposed for its table test. */
enum delivery_outcome {
    DELIVERY_STORED,
    DELIVERY_RETRY,     /* certainly not stored by this attempt */
    DELIVERY_UNCLEAR,   /* retry; this attempt may have stored it */
    DELIVERY_NEW_ID,    /* not stored: go on under a new producer id */
    DELIVERY_FORGOTTEN, /* the broker does not know our id: rule 5 */
    DELIVERY_REFUSED,   /* certainly not stored, and never will be */
    DELIVERY_DOUBTFUL,  /* never will be stored by another attempt, but this one may have */
};
enum delivery_outcome delivery_outcome_of(int error, bool is_first_unresolved, uint32_t attempts);

#endif
