/* segment/producer_table.h - which batches each idempotent producer wrote last to one log, so that a retry is
 * told from a new batch (KAFKA-WIRE section 3).
 *
 * Per producer id: its epoch, when it last wrote, and its last five batches (first and last sequence, base
 * offset). Sequences count records and run 0..2^31-1, then 0 again. The state belongs to the log: whoever
 * appends a batch, as a leader, a follower or during recovery, records it, and a snapshot rides in the
 * manifest.
 *
 * At most PRODUCER_TABLE_COUNT_MAX producers: one more pushes out the one that wrote longest ago, which is
 * afterwards like one that has expired (its next sequence is believed). An empty table has no memory, and one
 * that was read from a snapshot only what it needs until its producers write again. Owned by one thread. Bytes of the snapshot: FORMAT.md. */
#ifndef SEGMENT_PRODUCER_TABLE_H
#define SEGMENT_PRODUCER_TABLE_H

#include "base/buffer.h"
#include "base/slice.h"
#include "wire/record_batch.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PRODUCER_TABLE_COUNT_MAX 4096 /* producers of one log */
#define PRODUCER_WINDOW_BATCHES  5    /* a client keeps at most five batches in flight */

struct map;
struct producer;

struct producer_table {
    struct producer *oldest; /* that wrote longest ago: the others follow in a ring; NULL while there is none */
    struct map *by_id;       /* owned; NULL until there have been more than a few */
};

#define PRODUCER_TABLE_INIT                                                                                  \
    {                                                                                                        \
        NULL, NULL                                                                                           \
    }

void producer_table_deinit(struct producer_table *table); /* leaves it empty and usable */
size_t producer_table_count(const struct producer_table *table);
size_t producer_table_memory_bytes(const struct producer_table *table); /* 0 when empty */

/* What a leader does with a produced batch. 0: append it. MESH_EDUPLICATE_SEQUENCE: it is in the log already,
 * at *ret_base_offset. MESH_EOUT_OF_ORDER_SEQUENCE: something before it is missing, or it is a retry older
 * than the window. MESH_EPRODUCER_FENCED: a newer epoch of this producer has written. Batches without
 * producer id pass; so does any sequence of a producer that is not known. *ret_base_offset is written for a
 * duplicate only. */
int producer_table_check(const struct producer_table *table, const struct record_batch_header *header,
                         uint64_t *ret_base_offset);

/* Records a batch that is being appended, in the order of offsets, without judging it: a higher epoch clears
 * the window, a lower one (only damage brings it) is ignored. Control batches raise the epoch and take no
 * place in the window. now_wall_ms starts the idle time anew. Errors: MESH_ENOMEM (unchanged); call it while
 * the append can still be refused. Batches without producer id: 0. */
int producer_table_record(struct producer_table *table, const struct record_batch_header *header,
                          int64_t now_wall_ms);

/* Forgets every batch with base offset >= offset. A window from which batches had been pushed out before is
 * then shorter than the log could make it: until as many batches have been recorded anew the table is
 * inexact, and a producer of whom no batch is left counts as unknown. False: the table is inexact; see
 * producer_table_mend(). */
bool producer_table_truncate(struct producer_table *table, uint64_t offset);
bool producer_table_is_exact(const struct producer_table *table);

/* Makes an inexact table exact with what `scanned` holds: the windows of the newest batches of the same log,
 * as far back as somebody cared to read. Windows that are exact stay; producers that were not found are
 * forgotten. `scanned` is used up. */
void producer_table_mend(struct producer_table *table, struct producer_table *scanned);

/* What is known of one producer, for who looks at a log from outside. */
struct producer_facts {
    int64_t id, last_ms; /* wall clock of its last record */
    int32_t last_sequence; /* -1: not known */
    int16_t epoch;         /* -1: not known */
};
/* producer_table_count() of them, longest idle first. `each` changes nothing. */
typedef void producer_each_fn(void *user, const struct producer_facts *facts);
void producer_table_each(const struct producer_table *table, producer_each_fn *each, void *user);

/* Forgets the producers that have been idle longer than expiry_ms. */
void producer_table_expire(struct producer_table *table, int64_t now_wall_ms, int64_t expiry_ms);

/* When the most idle producer last wrote, wall clock ms; INT64_MAX when there is none. For scheduling expiry.
 */
int64_t producer_table_oldest_ms(const struct producer_table *table);

/* Appends the snapshot, longest idle first. Errors: MESH_ENOMEM (*to is unchanged). */
int producer_table_encode(const struct producer_table *table, struct buffer *to);

/* Replaces the table by the snapshot at the start of *bytes and advances *bytes behind it. Errors:
 * MESH_ECORRUPT, MESH_ENOMEM; table and *bytes are then unchanged. */
int producer_table_decode(struct producer_table *table, struct slice *bytes);

#endif
