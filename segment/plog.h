/* segment/plog.h - one partition's log, as the files of this folder see it. Everyone else: store.h.
 *
 *   start_offset <= synced_offset <= filed_offset      what segment files hold, and hold durably
 *                   synced_offset <= durable_offset <= end_offset
 *   runs: [first run's base, end_offset) readable in memory; the first written_count of them are filed as
 * well
 *
 * Offsets below the first run's base are read from segment files. Owned by the store's loop; a job that works
 * on a log holds it by job_references. */
#ifndef SEGMENT_PLOG_H
#define SEGMENT_PLOG_H

#include "base/map.h"
#include "segment/epoch_cache.h"
#include "segment/plog_work.h"
#include "segment/producer_table.h"
#include "segment/segment_file.h"
#include "segment/store.h"

/* Offsets that are lost here, from batch to batch. In the segment that holds `from` they begin at `position`, and it goes on with `to` at
 * resume_position (0: it does not; what is there of it ends at `position`, and `to` begins the next segment). */
struct plog_hole {
    uint64_t from, to;
    uint32_t position, resume_position;
    bool is_condemned; /* sound bytes that are there are not the right ones: plog_condemn(); only pieces mend it */
    bool is_of_unknown_epochs; /* the books do not say which epochs it had, and what batches say is not believed: plog_limit_epoch() */
};

#define INDEX_JOB_BYTES_MIN (1u << 20) /* an index is made on the loop for segments below that only */
#define PLOG_HOLES_MAX  1024
#define PLOG_READ_MARKS 4 /* sequential readers of one log that need no search */

/* Where one of the last reads ended, so that the next one need not search. */
struct read_mark {
    uint64_t offset; /* UINT64_MAX: none */
    uint64_t segment_base;
    uint32_t position; /* in the segment, also while the bytes are still in memory only */
};

struct plog_truncation; /* plog_truncate.c */

/* Very many of them rest: no gaps between the fields, and what only some logs have is behind a pointer. */
struct plog {
    struct store *store;
    struct plog_id id;
    uint32_t hole_count;
    const struct plog_config *config; /* of store->configs */
    void *user;
    uint64_t start_offset, end_offset;
    uint64_t filed_offset, synced_offset, durable_offset;
    uint64_t high_watermark; /* what the owner said last; written with the manifest */
    uint64_t trim_offset;    /* what lies before is given up, a whole segment at a time; 0: the owner has not said so */
    /* Records before it are deleted; what the manifest that is being written says of that, and what a durable one does. */
    uint64_t deleted_offset, stated_deleted_offset, durable_deleted_offset;
    uint64_t size_bytes;
    struct segment_file **segments; /* owned; oldest first; the last one is appended to */
    struct segment_file *only_segment; /* what `segments` points to until there are two */
    uint32_t segment_count, segment_capacity;
    struct plog_hole *holes; /* owned; by offset */
    struct plog_work *work; /* owned; PLOG_AT_REST: nothing is being written */
    struct epoch_cache epochs;
    struct producer_table producers;
    struct plog_truncation *truncation; /* owned; NULL: none under way */
    uint8_t flush;         /* enum plog_flush, in force; config.flush follows when all is synced */
    bool is_writing : 1;   /* a write-behind job holds runs of it */
    bool is_parents_durable : 1;
    bool is_deleted : 1;
    bool is_repairing : 1; /* a job mends a hole (plog_repair.c) */
    bool keeps_uncommitted : 1; /* retention stops at high_watermark */
    bool was_restarted : 1;     /* in this run, or it has a past: a manifest names it, however empty it is */
    bool is_fresh : 1;          /* opened without a past, and the journal has not been told so: see plog_append.c */
    bool is_warming : 1;        /* a job brings into memory what a read missed */
    uint8_t cold_streak;        /* jobs in a row after which a read still missed something */
    uint8_t next_read_mark;
    int error;
    uint32_t job_references;
    uint32_t touch_references; /* those of them that batches hold: of its segments they need none that is all synced */
    struct list_node log_link;      /* store->logs */
    struct list_node notify_link;   /* store->notify_list */
    struct read_mark *read_marks; /* owned, PLOG_READ_MARKS of them; NULL while nothing was read */
    uint32_t cut_count;  /* truncations, for jobs that began before */
    uint32_t due_index; /* in store->due; 0: not in it */
    uint64_t due_ms;
};

/* Records that are readable in memory; a log at rest has none. */
static inline struct run_queue *plog_runs(const struct plog *plog)
{
    return &plog->work->runs;
}

/* plog.c */
void plog_free(struct plog *plog); /* out of all lists and the store's due heap; drops runs and files */
struct segment_file *plog_active_segment(const struct plog *plog); /* NULL: none yet */
int plog_add_segment(struct plog *plog, uint64_t base_offset, struct segment_file **ret_segment);
/* The index of the last segment that begins at or before offset; segment_count must be > 0. */
uint32_t plog_find_segment(const struct plog *plog, uint64_t offset);
/* Segments before the active one with bytes or a name that are not durable: a direct job syncs only those it
 * writes. */
bool plog_has_unsynced_older_segment(const struct plog *plog);
/* Brings synced_offset up to where the durable bytes of the segments end, as far as they follow each other, and the log into
 * store->unsynced_logs or out of it. True: it rose. */
bool plog_raise_synced(struct plog *plog);
void plog_poison(struct plog *plog, int error);
void plog_notify(struct plog *plog);
void plog_forget_marks(struct plog *plog); /* where reads ended is not to be believed any more */
void plog_drop_first_run(struct plog *plog); /* written; also lets go of it in its chunk */
void plog_drop_last_run(struct plog *plog);
void plog_run_written(struct plog *plog,
                      struct run *run); /* the oldest unwritten one is now filed, or given up */

/* plog_first.c: */
void plog_lower_deleted(struct plog *plog, uint64_t end_offset); /* the log ends there now: what comes next is not deleted */
/* What a manifest may say now: only of records that are durable (what the journal says later of a log's beginning, or of a cut, comes after it then),
 * and of less than 2^32 of them behind the start (more are in segments that go first). */
uint64_t plog_statable_deleted_offset(const struct plog *plog);

/* plog_damage.c: the register of holes. The owner is notified of each. */
void plog_add_hole(struct plog *plog, const struct plog_hole *hole); /* swallows those that it covers */
void plog_drop_hole(struct plog *plog, uint32_t index);
const struct plog_hole *plog_hole_at(const struct plog *plog, uint64_t offset);
/* The first hole that begins at or after offset, or NULL. */
const struct plog_hole *plog_hole_after(const struct plog *plog, uint64_t offset);
/* The file of a segment is gone: all that it held is a hole. Returns MESH_ECORRUPT. */
int plog_lost_file(struct plog *plog, struct segment_file *segment);

/* Looking things up on the loop without waiting for the disk. What was missing is brought by a job of the read lane
 * (plog_warm.c), after which the log is notified and whoever asked asks again. */
struct plog_look {
    struct fs_look file;               /* bytes that are not in memory */
    struct segment_file *index_wanted; /* NULL, or its index is to be made from the segment itself */
};

/* plog_warm.c */
/* Starts the job for what is missing unless one is under way, and ends the look. Errors: MESH_EAGAIN (it has begun),
 * MESH_ENOMEM. */
int plog_warm(struct plog *plog, struct plog_look *look);
/* False when memory keeps losing what was brought: then look no more, but wait for the disk. */
bool plog_may_look(const struct plog *plog);

/* plog_index.c */
/* Makes segment->index usable up to what the file holds, rebuilding what is missing by reading it. May block
 * on a cold page cache. */
int plog_load_index(struct plog *plog, struct segment_file *segment);
/* The same in two steps: what the file has on any thread, and the rest on the loop. */
struct index_source {
    struct fs *fs;
    struct plog_id id;
    struct fs_file *file;         /* borrowed; the segment's */
    const struct plog_hole *holes; /* borrowed */
    uint32_t hole_count;
    uint64_t base_offset, next_offset; /* of the segment */
    uint32_t written;                  /* bytes to cover */
    uint32_t interval_bytes;
};
int index_read(const struct index_source *source, struct offset_index *ret_index, uint32_t *ret_indexed);
/* Takes index (malloc'ed) for a segment that has none. Errors: as above; index is then freed. */
int plog_take_index(struct plog *plog, struct segment_file *segment, struct offset_index *index, uint32_t indexed);
/* A sync job saves it, and it leaves memory again. */
void plog_index_was_made(struct plog *plog, struct segment_file *segment);
void plog_describe_index(struct plog *plog, const struct segment_file *segment, struct index_source *ret_source);
/* The entry to begin scanning at; the segment's first byte when there is none better. */
int plog_find_index(struct plog *plog, struct segment_file *segment, enum offset_index_key by, uint64_t key,
                    struct plog_look *look, struct offset_index_entry *ret_entry);
int plog_open_segment(struct plog *plog, struct segment_file *segment); /* for reading: segment->opened->file */

/* plog_locate.c: batch boundaries inside one segment file. */
struct plog_place {
    uint32_t position;
    uint64_t offset; /* of the batch that begins there */
};
/* What the file has of a segment: the offset after the last batch there. */
uint64_t plog_file_end_offset(const struct plog *plog, const struct segment_file *segment);
/* The batch that contains offset. Errors: MESH_ECORRUPT, MESH_EIO, MESH_ENOMEM. Here and below, look: NULL waits for the
 * disk, otherwise MESH_EAGAIN leaves in it what is missing. */
int plog_locate_offset(struct plog *plog, struct segment_file *segment, uint64_t offset, struct plog_look *look,
                       struct plog_place *ret_place);
/* A batch boundary behind `from` such that at most bytes_max lie between, and that is not beyond
 * limit_offset; one batch at least unless that passes limit_offset. The last such boundary but for what would
 * fill a sixteenth of bytes_max. *ret_is_cached: all up to there was seen to be in memory. */
int plog_locate_end(struct plog *plog, struct segment_file *segment, struct plog_place from, uint32_t bytes_max,
                    uint64_t limit_offset, struct plog_look *look, struct plog_place *ret_place, bool *ret_is_cached);

#endif
