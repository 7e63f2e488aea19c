/* segment/store.h - the partition logs of one shard, made durable together.
 *
 * A store belongs to one event loop: every call below runs there unless it says "any thread". It performs no
 * blocking input/output itself (but for small buffered writes of flush=async logs and index look-ups): disk
 * work is handed out as jobs, which other threads run, in lanes:
 *
 *   loop:  plog_append()... store_end_turn() -> store_next_job(lane) ... store_job_complete(job) ->
 * acknowledge lane thread:                                 store_job_run(job)
 *
 * Group commit: while one sync job runs, appends gather for the next. A test runs jobs inline, over the
 * in-memory disk. How records lie on disk, what recovery does with each kind of damage: FORMAT.md and
 * README.md. */
#ifndef SEGMENT_STORE_H
#define SEGMENT_STORE_H

#include "base/list.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "base/fs.h"
#include "wire/record_batch.h"

struct store;
struct store_job;
struct sync_queue;
struct plog;
struct chunk;

struct plog_id {
    struct uuid topic_id;
    uint32_t partition;
};

enum plog_flush {
    PLOG_FLUSH_GROUP, /* acknowledged after the sync that covers it */
    PLOG_FLUSH_ASYNC, /* acknowledged once the kernel has it; synced by bytes or interval */
};

struct plog_config {
    enum plog_flush flush;
    uint32_t flush_interval_ms; /* async only: sync at least this often while there is something to sync */
    uint64_t flush_bytes;       /* async only: or after this many bytes */
    uint64_t segment_bytes;     /* roll when the next batch would pass it */
    uint64_t segment_ms;        /* roll when the first record is older */
    int64_t retention_ms;       /* -1: keep for ever */
    int64_t retention_bytes;    /* -1: no limit */
    uint32_t index_interval_bytes;
    int64_t producer_expiry_ms; /* forget idempotent producers after this idle time */
};

/* Defaults: group; 1 s, 16 MiB; 1 GiB, 7 days; 7 days, -1; 16 KiB; 1 day. */
void plog_config_init(struct plog_config *config);

struct store_options {
    struct fs *fs;                /* borrowed for the store's life */
    uint32_t index;               /* number of the shard; names its journal and manifest */
    uint64_t memory_bytes_max;    /* for records not yet in segments, and for serving the newest ones */
    uint64_t journal_bytes_max;   /* journal files kept before segments are synced and the files reused */
    uint32_t journal_file_bytes;  /* size of one journal file */
    uint64_t free_bytes_min;      /* appends are refused (MESH_EFULL) when the disk would fall below */
    uint64_t manifest_generation; /* from recovery; must exceed every earlier one */
    uint32_t chunk_bytes;         /* one piece of memory; 0: the default. Tests make it small */
    uint32_t direct_enter_bytes;  /* a log that brings this much in one ticket goes direct; a fourth: back. 0:
                                     the default */
    uint32_t mark_bytes;          /* of a direct log between two marks of how far it is durable; 0: the default */
    uint32_t delete_step_bytes;   /* removed between two pauses, a file at least; 0: the default */
    uint32_t past_cache_bytes_min; /* of whole blocks in one write to a segment; fewer go through the page cache; 0: the default */
    uint32_t sync_all_files_min;  /* from so many segment files on, one sync of the whole file system; 0: the default */
    uint64_t scrub_first_ms;      /* from the store's opening to the scrubber's first pass; 0: the default, a minute */
    uint64_t scrub_rest_ms;       /* between two passes; 0: the default, a week */
    uint64_t scrub_bytes_per_s;   /* within one, at most; 0: the default, 8 MiB */
};

/* Defaults for this machine's memory and a data directory on fs. */
void store_options_init(struct store_options *options, struct fs *fs, uint32_t index);

/* Opens an empty journal; recovery_run() has put everything older into segments. Errors: MESH_ENOMEM,
 * MESH_EIO, MESH_EFULL. */
int store_open(const struct store_options *options, struct store **ret_store);

/* Frees the store. Whatever was not drained is as after a crash. Accepts NULL. */
void store_close(struct store *store);

/* ---- logs ---- */

struct plog_recovered; /* what recovery learned about one log (recovery.h) */

/* Starts serving a log. `recovered` (taken, also on failure) or NULL for a log that has never held a record.
 * Touches no disk: files and directories appear with the first records. Errors: MESH_ENOMEM. */
int store_open_log(struct store *store, const struct plog_id *id, const struct plog_config *config,
                   struct plog_recovered *recovered, struct plog **ret_plog);
int plog_set_config(struct plog *plog, const struct plog_config *config); /* MESH_ENOMEM: it goes on as before */

/* Forgets the log and deletes its files in the background, durably. `plog` is invalid afterwards; views of it stay valid. The log
 * may be opened again at once, without a past (a replica that comes back), and takes nothing until the files are gone. */
void plog_delete(struct plog *plog);

const struct plog_id *plog_id(const struct plog *plog);
void plog_set_user(struct plog *plog, void *user); /* for the owner; see store_set_notify() */
void *plog_user(const struct plog *plog);

uint64_t plog_start_offset(const struct plog *plog);   /* first offset kept */
uint64_t plog_end_offset(const struct plog *plog);     /* next offset to be written */
uint64_t plog_written_offset(const struct plog *plog); /* end of what the kernel has (survives kill -9) */
uint64_t plog_durable_offset(const struct plog *plog); /* end of what is synced */
uint64_t plog_size_bytes(const struct plog *plog);
/* About how many bytes lie at `offset` and behind it: exact where a segment begins, in between by the share of its offsets. */
uint64_t plog_bytes_from(const struct plog *plog, uint64_t offset);
uint32_t plog_segment_count(const struct plog *plog);

/* 0, or why it accepts no appends: MESH_ESTORAGE (poisoned by a failed write or sync), MESH_EFULL (no space
 * for any journal file; until the store is opened again). Reads below the damage work. */
int plog_error(const struct plog *plog);

/* ---- append ---- */

/* Appends one batch whose header is already patched (base offset == plog_end_offset(), epoch >= the last).
 * The bytes are copied. *ret_ticket: durable when store_durable_ticket() >= it (group), or for async logs
 * written when store_end_turn() returns. header describes batch. Errors: MESH_EFULL (disk or journal; nothing
 * changed), MESH_EAGAIN (memory is full until running jobs finish: stop reading from clients and retry after
 * store_job_complete()), MESH_EBUSY (files of a deleted log of this name are not gone yet: retry some time later), MESH_ESTORAGE,
 * MESH_ENOMEM. */
int plog_append(struct plog *plog, const struct record_batch_header *header, const uint8_t *batch,
                int64_t now_wall_ms, uint64_t *ret_ticket);

/* Idempotence (KAFKA-WIRE section 3): five-batch window per producer. 0: append it; MESH_EDUPLICATE_SEQUENCE
 * with *ret_base_offset of the original (acknowledge it when that is durable); MESH_EOUT_OF_ORDER_SEQUENCE;
 * MESH_EPRODUCER_FENCED. Batches without a producer id pass. plog_append() records what it appends. */
int plog_check_producer(struct plog *plog, const struct record_batch_header *header,
                        uint64_t *ret_base_offset);

/* Newest ticket that is durable together with all before it. Failed appends count as finished: ask
 * plog_error(). */
uint64_t store_durable_ticket(const struct store *store);

/* The ticket that the next append will get. The batch it belongs to may have begun already. */
uint64_t store_forming_ticket(const struct store *store);
/* The highest ticket that an append has got: once it is durable, everything appended so far is. */
uint64_t store_last_ticket(const struct store *store);

/* ---- leader epochs ---- */

/* Epoch of the batch before the log's end, also when retention has taken it; -1: there was none, or a restart did not say. And
 * the end offset of the largest epoch <= asked (KIP-101, KIP-279): its epoch in *ret_epoch (-1: none is known) and the end offset returned. */
int32_t plog_last_epoch(const struct plog *plog);
uint64_t plog_epoch_end_offset(const struct plog *plog, int32_t epoch, int32_t *ret_epoch);
/* Of the record at `offset`, which may be the one before the log's start; -1: not known. */
int32_t plog_epoch_at(const struct plog *plog, uint64_t offset);

/* ---- read ---- */

#define PLOG_VIEW_EXTENTS_MAX 32

struct plog_extent {
    struct fs_file *file;  /* referenced; NULL: in memory */
    uint64_t position;     /* in file */
    const uint8_t *memory; /* when file is NULL; stays until the view is released */
    uint32_t size;         /* bytes */
    bool is_cached;        /* this read saw that all of it is in the page cache; false: it did not look */
};

/* Whole batches, in order, beginning with the one that contains the offset asked for. Released by any thread.
 */
struct plog_view {
    struct plog_extent extents[PLOG_VIEW_EXTENTS_MAX];
    struct chunk *chunks[PLOG_VIEW_EXTENTS_MAX]; /* held */
    uint32_t extent_count;
    uint32_t size;        /* bytes of all extents */
    uint64_t next_offset; /* after the last batch */
};

/* Whole batches from offset on, below limit_offset (the high watermark), at most bytes_max bytes but always
 * at least one batch (KIP-74). An empty view with next_offset == offset when offset == limit. Errors:
 * MESH_EOFFSET_OUT_OF_RANGE, MESH_ECORRUPT (the offset lies in a hole), MESH_EIO, MESH_ENOMEM, MESH_EAGAIN (where
 * batches begin would have to be read from the disk: a job of the read lane does; when it is done the log is notified,
 * store_set_notify(), and the same read gets on). */
int plog_read(struct plog *plog, uint64_t offset, uint64_t limit_offset, uint32_t bytes_max,
              struct plog_view *ret_view);
void plog_view_release(struct plog_view *view);

/* First record with timestamp >= timestamp_ms below limit_offset that is not deleted. done() runs on the loop, maybe before this
 * returns, with 0 and offset/timestamp, MESH_ENOTFOUND, or an error. */
typedef void plog_time_fn(void *user, int error, int64_t offset, int64_t timestamp_ms);
int plog_find_time(struct plog *plog, int64_t timestamp_ms, uint64_t limit_offset, plog_time_fn *done,
                   void *user);

/* ---- what is committed (replicated logs) ---- */

/* Tells how far the log is committed (the high watermark, which never falls but with a truncation or restart). Costs nothing: it is written
 * down when the manifest is, so a log recovers with one that is old, never too high. From the first call on retention keeps what is not
 * committed. */
void plog_set_high_watermark(struct plog *plog, uint64_t offset);
uint64_t plog_high_watermark(const struct plog *plog); /* as set or recovered; the log's start when nothing is known */

/* What lies before `offset` may go: whole segments of it do, as if retention had found them too old, and with its restraint (committed, settled). Said
 * again after each start: it is not kept. */
void plog_trim(struct plog *plog, uint64_t offset);

/* ---- deleted records ---- */

/* Deletes the records before `offset`, which may lie inside a segment or a batch, for good: a restart does not bring them back. The caller knows
 * that they are committed. Their bytes go by whole segments, as with plog_trim(); until then plog_read() serves them still, because replicas are
 * made of whole batches from plog_start_offset() on: who serves clients lets them begin at plog_first_offset(). A truncation or restart to before
 * it takes it down. Durable with the next manifest, which is due at once; the log is notified then. Errors: MESH_EOFFSET_OUT_OF_RANGE (behind
 * the log's end). */
int plog_delete_before(struct plog *plog, uint64_t offset);
uint64_t plog_first_offset(const struct plog *plog); /* of the records that are not deleted; >= plog_start_offset() */
/* Everything before it stays deleted, whatever happens. It may lie before plog_start_offset(). */
uint64_t plog_durable_deleted_offset(const struct plog *plog);

/* ---- truncation (followers; durable, R14) ---- */

/* Cuts the log so that its end is `offset` (rounded down to a batch start; >= start). Appends answer
 * MESH_EAGAIN until done() has run; done with MESH_ECANCELED: the log was deleted
 * meanwhile; with another error: it is poisoned. */
typedef void plog_done_fn(void *user, int error);
int plog_truncate(struct plog *plog, uint64_t offset, plog_done_fn *done, void *user);

/* Drops everything the log holds, and has it go on at `offset`, wherever that is: its leader no longer has what would come next here.
 * `epoch` is that of the record before it, and is the log's last epoch from then on; -1: there is none, or it is not known.
 * Otherwise like plog_truncate(); a crash in between leaves the old log, or one that is empty, at 0,
 * at its old start, or at `offset`. Errors: MESH_ESTORAGE,
 * MESH_EAGAIN (a truncation is under way), MESH_EBUSY (as plog_append()), MESH_ENOMEM. */
int plog_restart(struct plog *plog, uint64_t offset, int32_t epoch, plog_done_fn *done, void *user);

/* ---- turning the crank ---- */

/* SYNC: group commit. BEHIND: from the journal into segments, also while a checkpoint of the BACKGROUND lane syncs them. */
enum store_lane { STORE_LANE_SYNC, STORE_LANE_BEHIND, STORE_LANE_BACKGROUND, STORE_LANE_READ, STORE_LANE_COUNT };

/* Tells the store what time it is: before its logs are opened (their due times count from here) and at the start of each
 * turn. store_end_turn() and store_tick() do the same. */
void store_set_clock(struct store *store, uint64_t now_ms, int64_t now_wall_ms);

/* What may change while it runs: as the options of these names. A rest under way heeds them, too. A tick is due. */
struct store_terms {
    uint64_t free_bytes_min, scrub_rest_ms, scrub_bytes_per_s;
};
void store_set_terms(struct store *store, const struct store_terms *terms);

/* Called once per turn of the loop after appends: writes async logs' bytes to the kernel, closes the forming
 * batch. */
void store_end_turn(struct store *store, uint64_t now_ms, int64_t now_wall_ms);

/* The next job of a lane, or NULL when there is none or the lane may not run more now. The caller runs it
 * with store_job_run() (any thread) and gives it back with store_job_complete() on the loop. */
struct store_job *store_next_job(struct store *store, enum store_lane lane);
void store_job_run(struct store_job *job); /* any thread; blocks on the disk */
void store_job_complete(struct store *store, struct store_job *job);

/* On the loop, in place of store_job_run(), for the small durable writes that the kernel does by itself while nobody waits.
 * True: it is under way in the queue, and what sync_queue_end() said of it goes to store_job_end(). */
bool store_job_begin(struct store_job *job, struct sync_queue *queue);
/* True: as if store_job_run() had returned. False: it has to be run after all. */
bool store_job_end(struct store_job *job, int error);

/* A link for the runtime's queues while a job travels; free to use between next_job and complete. */
struct list_node *store_job_link(struct store_job *job);
struct store_job *store_job_from_link(struct list_node *link);

/* Called from store_job_complete(), store_end_turn() and store_tick() for each log whose written, durable, start, first or durable deleted offset, damage
 * or error changed, or that was opened with damage, so that the owner can raise high watermarks and wake readers. */
typedef void store_notify_fn(void *user, struct plog *plog);
void store_set_notify(struct store *store, store_notify_fn *notify, void *user);

/* Time passes: retention, roll by age, async flush intervals, checkpoints, scrubbing, giving idle memory
 * back. Returns when to be called next (UINT64_MAX: not before something is appended). O(due work), not
 * O(logs). */
uint64_t store_tick(struct store *store, uint64_t now_ms, int64_t now_wall_ms);

/* Graceful stop: flushes and syncs all, then writes the clean manifest. Run jobs until store_is_drained(). The manifest names the logs that are open:
 * whoever stops has opened all that recovery found before, or does not drain. */
void store_drain(struct store *store);
bool store_is_drained(const struct store *store);
int store_drain_error(const struct store *store); /* 0: the clean manifest is durable */

struct store_stats {
    uint64_t appended_bytes, appended_batches, appended_records;
    uint64_t journal_written_bytes, segment_written_bytes;
    uint64_t journal_sync_count, segment_sync_count;
    uint64_t memory_bytes, memory_bytes_max; /* chunks in use, and the limit */
    uint64_t journal_live_bytes;
    uint64_t pending_bytes; /* accepted and not yet in segments */
    uint64_t log_count, segment_count, open_file_count;
    uint64_t scrubbed_bytes, corrupt_batches, holes, repaired_bytes;
    uint64_t failed_logs;
    bool is_failed; /* the journal is poisoned: no log of this store accepts appends */
    uint64_t free_bytes;
};
void store_get_stats(const struct store *store, struct store_stats *ret_stats);

struct histogram;
/* Durations in ns of the journal's (and direct) write+sync jobs; owned by the store, read on the loop. */
const struct histogram *store_sync_histogram(const struct store *store);

#endif
