/* segment/plog_work.h - what a log has while it is written to.
 *
 * Of very many logs few are: the others share one object that says "nothing", which cannot be changed, and is never NULL: who asks what a log has in memory, or
 * what waits to be synced, asks all logs alike. Made by the first append, where it may still be refused, and given back when the store has rested for a
 * while: appends in between allocate nothing. Belongs to the store's loop. */
#ifndef SEGMENT_PLOG_WORK_H
#define SEGMENT_PLOG_WORK_H

#include "base/list.h"
#include "segment/run.h"

struct chunk;
struct plog;
struct store;

struct plog_work {
    struct plog *plog;     /* NULL: of those that rest */
    struct list_node link; /* store->working_logs */
    struct run_queue runs;
    struct chunk *direct_chunk; /* open, of the store's list; NULL: not in direct mode */
    /* Group commit: the batch that touched this log last. */
    uint64_t touch_ticket;
    uint32_t touch_slot;
    uint32_t recent_bytes; /* in the ticket before */
    uint64_t unmarked_bytes, marked_ms; /* direct: since the journal was told how far the log is durable, and when that was */
    uint32_t direct_run_count;
    uint8_t quiet_tickets; /* in direct mode, with little data */
    uint64_t unsynced_bytes; /* async: since the last sync */
    uint64_t last_sync_ms;
    struct list_node unsynced_link; /* store->unsynced_logs: filed_offset > synced_offset, or an index is to be saved */
    struct list_node async_link;    /* store->async_logs */
    struct list_node flush_link;    /* store->flush_logs */
};

extern const struct plog_work plog_work_none;
#define PLOG_AT_REST ((struct plog_work *)(uintptr_t)&plog_work_none)

/* Makes it, unless it is there. Errors: MESH_ENOMEM. */
int plog_begin_work(struct plog *plog);

/* Nothing of the log waits to be written or synced any more. */
void plog_leave_work_lists(struct plog *plog);
void plog_leave_unsynced(struct plog *plog);
/* Of a log that has work, or had none to sync. */
void plog_join_unsynced(struct plog *plog);

/* Gives it back, with what of it is left. */
void plog_end_work(struct plog *plog);
/* That of all logs that have nothing to do. */
void store_rest_logs(struct store *store);

#endif
