/* ops/fetch_control.h - records for readers that do not know control batches.
 *
 * The first batch of a leader's epoch may be a control batch (there are no others: there are no transactions). Clients of Kafka's protocol that know
 * of them skip them. Those that do not would give their user its record. So these get what stands behind it, as after compaction with Kafka, where
 * an answer may begin behind the offset that was asked for; and where nothing does, the end of what they may read is there. Records go out from where
 * they lie: a read ends where an epoch does, so that only the first batch of one is ever looked at. */
#ifndef BROKER_OPS_FETCH_CONTROL_H
#define BROKER_OPS_FETCH_CONTROL_H

#include "segment/store.h"

/* plog_read() without control batches. *ret_at_end: only such lie between `offset` and `limit`; the view is empty. Errors: those of plog_read(). */
int fetch_control_read(struct plog *plog, uint64_t offset, uint64_t limit, uint32_t bytes_max, struct plog_view *ret_view, bool *ret_at_end);

/* Where such a reader is at the end: `limit`, or before the control batches that are the last ones below it, as far as they are not deleted: nobody may
 * stand before plog_first_offset(). What is damaged counts as a record of data. Errors: those of plog_read() but MESH_ECORRUPT. */
int fetch_control_end(struct plog *plog, uint64_t limit, uint64_t *ret_end);

#endif
