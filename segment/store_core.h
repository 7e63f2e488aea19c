/* segment/store_core.h - the inside of a store, shared by the files that make it up. Everyone else: store.h.
 */
#ifndef SEGMENT_STORE_CORE_H
#define SEGMENT_STORE_CORE_H

#include "base/histogram.h"
#include "base/map.h"
#include "segment/chunk.h"
#include "segment/config_pool.h"
#include "segment/due_heap.h"
#include "segment/file_cache.h"
#include "segment/frame_writer.h"
#include "segment/journal_files.h"
#include "segment/plog.h"
#include "segment/run.h"
#include "segment/store.h"

#define SYNC_BATCH_BYTES_MAX (8u << 20) /* of one sync job; then the next batch forms */
#define DIRECT_LOGS_MAX      4
#define DIRECT_QUIET_TICKETS                                                                                 \
    8 /* in a row with less than a fourth of direct_enter_bytes: back to the journal */
#define WRITE_BEHIND_AGE_MS 10000 /* small pieces cost more than waiting: the journal has them */
#define IDLE_CHECKPOINT_MS  2000  /* without appends: all is written, synced, and in the manifest */
#define IDLE_RELEASE_MS     10000 /* without appends: memory and files are given back */
#define FREE_PROBE_MS       500
#define WRITE_RETRY_MS      1000 /* a write that was refused for want of space or memory is done again */

/* ---- jobs ---- */

/* The head of every job; each kind embeds it and lives in one file. run() blocks and touches only the job and
 * the disk; complete() runs on the loop, and frees the job or keeps it for reuse. */
struct store_job {
    struct list_node link; /* the runtime's */
    enum store_lane lane;
    struct fs *fs;
    void (*run)(struct store_job *job);
    void (*complete)(struct store *store, struct store_job *job);
    bool (*begin)(struct store_job *job, struct sync_queue *queue); /* NULL: only run() */
    bool (*end)(struct store_job *job, int error);
    uint64_t free_bytes; /* probed by run(); UINT64_MAX: not */
};

/* ---- group commit ---- */

/* What one ticket brought to one log. */
struct batch_touch {
    struct plog *plog; /* held by job_references and touch_references */
    uint64_t end_offset;
    uint32_t bytes;
    bool is_direct;
};

/* All appends of one ticket: forming, then queued, then synced by one job. */
struct sync_batch {
    struct list_node link;
    uint64_t ticket;
    uint64_t bytes;
    struct journal_frame *frames; /* each holds a reference to its chunk */
    uint32_t frame_count, frame_capacity;
    uint32_t frame_bytes; /* of the sealed frames */
    struct batch_touch *touches;
    uint32_t touch_count, touch_capacity;
    uint32_t direct_count; /* of the touches */
    bool has_records;      /* TRUNCATE or RESET entries */
};

enum checkpoint_phase { CHECKPOINT_NONE, CHECKPOINT_WRITE, CHECKPOINT_SYNC, CHECKPOINT_MANIFEST };

struct checkpoint {
    enum checkpoint_phase phase;
    uint64_t bound; /* newest frame whose records must be in synced segments */
    bool is_final;  /* of a drain: ends with the clean manifest */
    bool is_idle;   /* there is time to save indexes */
    bool is_brief;  /* only for what a manifest is to say: nothing is written behind before, nothing of the journal voided */
};

struct store {
    struct store_options options;
    struct fs *fs;
    store_notify_fn *notify;
    void *notify_user;
    struct list_node logs;
    struct list_node notify_list;
    uint64_t now_ms;
    int64_t now_wall_ms;
    uint64_t last_append_ms;
    /* memory */
    struct chunk_pool *pool;
    struct run_pool runs;
    struct list_node dirty_chunks; /* open ones and those with unwritten runs, oldest first */
    struct list_node clean_chunks; /* the tail cache, oldest first */
    uint64_t clean_bytes;
    uint64_t pending_bytes; /* of unwritten runs */
    struct chunk *async_chunk;
    uint8_t *staging[STORE_LANE_COUNT]; /* owned; used by the lane's running job */
    bool is_memory_wanted;              /* an append was refused: write behind at full speed */
    /* group commit */
    struct frame_writer writer;
    struct sync_batch *forming;
    struct list_node queued_batches, spare_batches;
    uint64_t batch_bytes_max;
    uint64_t next_ticket; /* of the next forming batch */
    uint64_t durable_ticket;
    uint64_t durable_sequence, live_sequence;
    uint32_t direct_log_count;
    uint32_t spare_batch_count;
    struct journal_files journal;
    bool is_marked; /* the "not stopped cleanly" marker is durable */
    int error;      /* the journal is poisoned */
    uint64_t grow_retry_ms;
    /* jobs */
    bool is_lane_busy[STORE_LANE_COUNT];
    struct list_node read_queue;  /* store_job.link, waiting */
    uint32_t read_jobs;           /* out */
    struct list_node truncations; /* plog_truncation.link */
    struct list_node deletions;   /* waiting delete jobs */
    struct list_node failed_deletions; /* whose files could not be removed: their logs' names stay taken */
    const struct plog_id *deleting;    /* of the delete job that is out; NULL: none */
    uint32_t dying_count;              /* deleted logs that are still held */
    struct list_node repairs;     /* waiting repair jobs */
    uint64_t deleted_bytes, delete_due_ms; /* since the last pause, and until when it lasts */
    struct list_node flush_logs;  /* async logs due for a sync */
    struct list_node unsynced_logs;
    struct list_node async_logs; /* with bytes to write at the end of the turn */
    struct list_node working_logs; /* plog_work.link */
    struct checkpoint checkpoint;
    bool is_checkpoint_due;
    bool has_erasures_left; /* that could not be said yet */
    uint64_t erasures_stated_ms;
    bool is_erasure_due;      /* records were deleted, and no manifest says so: the next one does, and need not do more */
    bool is_draining, is_drained;
    int drain_error;
    bool is_manifest_stale; /* something changed since the last one */
    bool is_journal_pinned; /* a failed log's acknowledged records are in the journal only: it is kept for
                               recovery */
    uint64_t unmanifested_bytes;
    uint64_t manifest_sequence; /* counts this run's manifests */
    uint64_t durable_manifest_sequence;
    uint64_t write_retry_ms; /* after MESH_EFULL: write-behind and checkpoints */
    uint64_t async_retry_ms; /* likewise: async logs */
    uint32_t sync_all_failures; /* each may have been of bytes that were written beside the sync, and is told once */
    bool is_full_found;      /* a write was refused for want of space, and has not been done since */
    struct store_job *parked_sync; /* keeps the sync lane, and is done again: what it writes had no space or no memory */
    uint64_t parked_until_ms;
    uint64_t last_behind_ms; /* when write-behind last began */
    /* space */
    int64_t space_left; /* bytes that may still be accepted; estimated between probes */
    uint64_t free_bytes, probed_ms;
    /* upkeep */
    struct file_cache files;
    struct due_heap due;
    struct config_pool configs; /* of all logs */
    struct scrub *scrub;
    uint64_t scrub_next_ms;
    struct store_stats stats;
    struct histogram *sync_histogram;
    struct buffer scratch; /* for reading headers */
};

/* store_memory.c */
/* A chunk on store->dirty_chunks, open. Errors: MESH_EAGAIN, MESH_ENOMEM. */
int store_get_chunk(struct store *store, size_t size_min, struct chunk **ret_chunk);
void store_close_chunk(struct store *store, struct chunk *chunk);   /* nothing more is appended to it */
void store_chunk_cleaned(struct store *store, struct chunk *chunk); /* its last dirty run was written */
bool store_reclaim_chunk(struct store *store);                      /* the oldest clean one; false: none */
void store_release_memory(struct store *store);
/* Closes chunks that are open for more appends but hold nothing unwritten, so that they can be reclaimed. Not
 * inside an append. */
void store_yield_memory(struct store *store);
uint8_t *store_staging(struct store *store, enum store_lane lane); /* NULL: out of memory */
void store_space_probed(struct store *store, uint64_t free_bytes);
bool store_has_space(struct store *store, uint64_t size); /* for that and for the first journal file */
bool store_may_write_again(int error); /* it was refused for want of space or memory: no reason to give the file up */
/* Returns when to do that. Where space is missing nothing is accepted until a write has been done. */
uint64_t store_write_refused(struct store *store, int error);
static inline void store_write_done(struct store *store)
{
    store->is_full_found = false;
}

/* store_batch.c */
/* The largest batch that a group log takes: the frames of one ticket lie in one journal file. */
uint32_t store_batch_size_max(const struct store *store);
/* Makes sure that the forming batch can take a batch of that size, by beginning another one if not.
 * MESH_ENOMEM. */
int store_begin_append(struct store *store, uint32_t size);
int store_touch(struct store *store, struct plog *plog, struct batch_touch **ret_touch);
void plog_touch_unref(struct plog *plog); /* as plog_job_unref() */
int store_begin_entry(struct store *store, const struct journal_entry_header *header, size_t size,
                      struct run *run, uint32_t *ret_position);
int store_seal_frame(struct store *store); /* of the forming batch, if one is open */
int store_queue_forming(struct store *store);
/* Lets go of a forming batch whose appends were all refused; false: it has something to sync. */
bool store_drop_empty_forming(struct store *store);
void store_batch_free(struct store *store, struct sync_batch *batch);
void store_batch_drop(struct sync_batch *batch); /* frees the memory */
struct sync_batch *store_batch_new(struct store *store);

/* store_sync.c */
struct store_job *store_next_sync_job(struct store *store);
void store_drop_parked_sync(struct store *store); /* the store is closed over it */
/* No log of the store accepts appends from now on, and what was not durable fails. error: MESH_ESTORAGE,
 * MESH_EFULL. */
void store_fail_journal(struct store *store, int error);

/* store_journal.c */
/* Says durably that this run has begun to write: a crash from here on asks for recovery. Blocks; any thread.
 */
int store_write_marker(struct fs *fs, uint32_t store_index, uint64_t generation, uint64_t nonce);
int store_mark_unclean(struct store *store); /* the same on the loop, once */
struct store_job *store_journal_prepare_job(struct store *store, enum store_lane lane);

/* store_write_behind.c */
struct store_job *store_write_behind_job(struct store *store);
bool store_has_unwritten(const struct store *store, uint64_t bound);

/* store_segment_sync.c */
/* Syncs what the segment files of the logs in store->unsynced_logs hold, and saves indexes that are worth it;
 * all of them when is_final. NULL: nothing to do, or MESH_ENOMEM in *ret_error. */
struct store_job *store_segment_sync_job(struct store *store, bool is_final, int *ret_error);
struct store_job *store_flush_job(struct store *store); /* the same for store->flush_logs */

/* store_checkpoint.c */
void store_finish_drain(struct store *store, int error);
void store_checkpoint_step(struct store *store); /* after write-behind: all that it waits for may be written */
bool store_checkpoint_needs_writing(const struct store *store);
bool store_checkpoint_is_closing(const struct store *store); /* the final one is past its writing */
struct store_job *
store_checkpoint_job(struct store *store); /* the next step of one that is wanted or under way */

/* plog_first.c */
void store_erasures_stated(struct store *store);  /* a manifest was encoded that says which records are deleted */
void store_erasures_durable(struct store *store); /* it is durable */
void store_erasures_tick(struct store *store);

/* store_async.c */
void store_write_async(struct store *store);

/* plog_truncate.c */
struct store_job *store_truncate_job(struct store *store);
void store_truncations_step(struct store *store);
void plog_truncation_free(struct plog_truncation *truncation);
void plog_truncation_cancel(struct plog *plog); /* accepts none under way */
bool store_is_truncating_files(const struct store *store);
bool store_truncation_needs_writing(const struct store *store); /* one waits for write-behind */

/* plog_warm.c */
void store_drop_warm_jobs(struct store *store); /* those that wait to be run */

/* plog_delete.c */
struct store_job *store_delete_job(struct store *store);
bool store_has_waiting_deletion(const struct store *store); /* for a manifest */
bool store_must_make_room(const struct store *store);       /* store_checkpoint.c */
uint64_t store_deletion_due(const struct store *store);       /* ms; UINT64_MAX: nothing that time brings */
void store_deletions_deinit(struct store *store);
/* A deleted log of that name has files yet, or a job that may make some: nothing may be written under it. */
bool store_is_name_taken(const struct store *store, const struct plog_id *id);
void plog_job_unref(struct plog *plog); /* of job_references; a deleted log ends with the last one */

/* plog_repair.c */
struct store_job *store_repair_job(struct store *store);
void store_repairs_deinit(struct store *store);

/* retention.c */
void store_due_changed(struct plog *plog);
void store_notify_owner(struct store *store); /* tells it of the logs that plog_notify() was called for */
uint64_t store_run_due(struct store *store);

/* scrub.c */
struct store_job *store_scrub_job(struct store *store);
uint64_t store_scrub_due(const struct store *store); /* ms; UINT64_MAX: never */
void store_scrub_terms(struct store *store); /* the options have changed: no rest is longer than they say */
void store_scrub_deinit(struct store *store);
void store_scrub_forget(struct store *store, const struct plog *plog);

/* manifest_write.c */
int store_encode_manifest(struct store *store, struct buffer *to);

#endif
