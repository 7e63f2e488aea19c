/* segment/segment_file.h - one file of a log: its name, what of it is where, and the blocking calls that
 * write it.
 *
 * topics/<topic uuid>/<partition>/<base offset, 20 digits>.log, beside it the same name with .index. Record
 * batches verbatim, nothing else. The struct belongs to the store's loop; the functions that take a `struct
 * fs` block, touch no struct segment_file and run on any thread. */
#ifndef SEGMENT_SEGMENT_FILE_H
#define SEGMENT_SEGMENT_FILE_H

#include "base/list.h"
#include "base/fs.h"
#include "segment/offset_index.h"
#include "segment/store.h"

#define SEGMENT_BYTES_MAX      0xf0000000u /* positions are 32 bits wide */
#define SEGMENT_DIRECT_MIN     (64u << 10) /* aligned memory that is written as it lies; less is copied together first */
#define SEGMENT_KEEP_DIRECT    (1u << 20)  /* a log that gets smaller pieces is one of many: one descriptor is enough for it */
#define SEGMENT_STAGING_SIZE   (1u << 20)  /* bytes of aligned memory that segment_write_run() wants */
#define SEGMENT_WRITE_IOVS_MAX 256         /* buffers per system call */

/* A stretch of a file whose headers have been looked at: between two boundaries, since it was opened and as long as all of it stayed in memory. */
struct segment_walked {
    uint32_t from, to;
    uint32_t load_count; /* of the file, then */
};

struct segment_file;

/* What a segment has while a file of it is open, which of many logs few are; file_cache.h makes it. */
struct segment_open {
    struct segment_file *segment;
    struct fs_file *file, *direct; /* one of them may be NULL */
    struct list_node link;         /* in the cache's list */
    uint64_t used_ms;
    struct segment_walked walked;
};

struct segment_file {
    uint64_t base_offset, next_offset;
    int64_t first_timestamp_ms;    /* of the first batch; INT64_MAX while empty */
    int64_t max_timestamp_ms;      /* INT64_MIN while empty */
    uint32_t size;                 /* bytes appended, also those still in memory */
    uint32_t written;              /* bytes that the file has, for readers of this process */
    uint32_t placed;               /* bytes that need not be written any more: `written`, or whole blocks that end inside what comes next */
    uint32_t synced;               /* bytes that are durable in the file */
    uint64_t written_offset;       /* where the batches in `written` end: the two are one fact, set together */
    uint64_t synced_offset;        /* likewise of `synced` */
    uint32_t indexed;              /* bytes that the saved index file covers */
    bool is_created;            /* the file exists */
    bool is_name_durable;
    bool is_condemned; /* a job is removing it */
    bool is_lost;      /* its file is gone: nothing more is appended to it */
    struct segment_open *opened; /* NULL: neither file nor direct is open */
    struct offset_index *index; /* in memory; NULL when only on disk, if at all */
};

/* NULL: not open. */
static inline struct fs_file *segment_file_opened(const struct segment_file *segment)
{
    return segment->opened == NULL ? NULL : segment->opened->file;
}

/* References for a job that opens what is not open itself. */
static inline struct fs_file *segment_file_opened_ref(const struct segment_file *segment)
{
    struct fs_file *file = segment_file_opened(segment);

    return file == NULL ? NULL : fs_ref(file);
}

static inline struct fs_file *segment_file_opened_direct_ref(const struct segment_file *segment)
{
    struct fs_file *direct = segment->opened == NULL ? NULL : segment->opened->direct;

    return direct == NULL ? NULL : fs_ref(direct);
}

/* What was walked may not be in the file any more. */
static inline void segment_file_forget_walked(struct segment_file *segment)
{
    if (segment->opened != NULL) segment->opened->walked = (struct segment_walked){0, 0, 0};
}

int segment_file_new(uint64_t base_offset, struct segment_file **ret_segment); /* MESH_ENOMEM */
void segment_file_free(struct segment_file *segment); /* must be out of the file cache; accepts NULL */
void segment_file_drop_index(struct segment_file *segment);
void segment_file_set_written(struct segment_file *segment, uint32_t position, uint64_t offset); /* and placed */
/* Does nothing when more is durable already: jobs of two lanes may end in another order than they began. */
void segment_file_raise_synced(struct segment_file *segment, uint32_t position, uint64_t offset);
/* Nothing from that place on is in the file any more. */
void segment_file_cut(struct segment_file *segment, uint32_t position, uint64_t offset);

enum segment_path_kind { SEGMENT_PATH_LOG, SEGMENT_PATH_INDEX };

void segment_topic_path(const struct uuid *topic_id, char to[FS_PATH_MAX]);
void segment_directory_path(const struct plog_id *id, char to[FS_PATH_MAX]);
void segment_path(const struct plog_id *id, uint64_t base_offset, enum segment_path_kind kind,
                  char to[FS_PATH_MAX]);

/* Parses "<20 digits>.log". False for any other name. */
bool segment_parse_name(const char *name, uint64_t *ret_base_offset);

/* For lanes that could not open a file to write: whether to try once more, after a pause. Memory that is short for a moment is
 * waited for, up to half a second: nothing has been done yet, while the failure would close the log, or the journal of all logs,
 * until the next start. *io_tries is 0 at first. */
bool segment_tries_again(int error, unsigned *io_tries);

/* Opens the log file unless *io_file is open already; `create` makes it and its directories when absent. */
int segment_open(struct fs *fs, const struct plog_id *id, uint64_t base_offset, unsigned flags, bool create,
                 struct fs_file **io_file);

/* Makes the names of a log's new files durable; with_parents: of its directories too. */
int segment_sync_names(struct fs *fs, const struct plog_id *id, bool with_parents);

/* Removes a segment and its index; absent files are fine. Durable after segment_sync_names(). */
int segment_remove(struct fs *fs, const struct plog_id *id, uint64_t base_offset);

/* Replaces the index file of a segment by these bytes. A hint: not synced, carries its own checksums. */
int segment_save_index(struct fs *fs, const struct plog_id *id, uint64_t base_offset, struct slice bytes);

/* One write of consecutive bytes to one segment file. */
struct segment_write {
    const struct plog_id *id;
    uint64_t base_offset;
    struct fs_file *file, *direct; /* owned references; opened on demand */
    uint32_t position, end;
    uint32_t skip;           /* bytes of iov before position: the file has them */
    const struct iovec *iov; /* borrowed; skip + end - position bytes in all */
    int iov_count;
    bool create;
    uint32_t past_cache_min; /* bytes of whole blocks; fewer go through the page cache. UINT32_MAX: all, and staging is not used */
};

/* Whether it goes past the page cache, but for ragged ends, when it ends there. */
bool segment_write_is_past_cache(const struct segment_write *write, uint32_t end);

/* Writes it: whole blocks past the page cache when there are enough of them, straight from memory where that
 * is aligned like the file and through `staging` (SEGMENT_STAGING_SIZE bytes, FS_BLOCK_SIZE aligned) where
 * not; the ragged ends through the page cache. At least one of file and direct is open then; not durable until one of them is synced. MESH_EFULL: what of it found room was given back. */
int segment_write_run(struct fs *fs, struct segment_write *write, uint8_t *staging);
void segment_write_deinit(struct segment_write *write);

#endif
