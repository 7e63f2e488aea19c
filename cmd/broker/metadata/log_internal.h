/* metadata/log_internal.h - shared by log.c (appending), log_recovery.c and log_files.c. */
#ifndef METADATA_LOG_INTERNAL_H
#define METADATA_LOG_INTERNAL_H

#include "base/buffer.h"
#include "cmd/broker/metadata/log.h"

#define LOG_DIR                "meta"
#define LOG_HEADER_SIZE        24 /* bytes before the first frame */
#define LOG_FRAME_HEADER_SIZE  12
#define LOG_VERSION            2 /* 1 held single records and was never released */
#define LOG_FILES_MAX          64 /* of one kind in the directory; far more than ever exist */
#define LOG_SNAPSHOT_BYTES_MAX (1ull << 30)
#define LOG_BYTES_MAX          (64ull << 20) /* a log file may not outgrow this without a snapshot */
#define LOG_SNAPSHOT_BYTES     (4ull << 20)  /* a snapshot is wanted beyond this log size ... */
#define LOG_SNAPSHOT_RECORDS   16384         /* ... or so many records */
#define LOG_SNAPSHOT_AT_OPEN   256           /* ... or so many to replay at a start */

struct metadata_log {
    struct fs *fs;
    struct fs_file *file;    /* the newest log file */
    struct fs_file *durable; /* meta/durable; NULL when it cannot be written: it is only a help */
    uint64_t base;           /* index before the file's first record */
    uint64_t index;          /* of the last record */
    uint64_t size;           /* end of the last frame */
    uint64_t record_count;   /* in the file */
    uint64_t snapshot_bytes; /* of the last snapshot */
    bool wants_snapshot;     /* recovery had to replay a lot */
    int error;
    struct buffer frame; /* reused */
};

enum log_file_kind { LOG_FILE_LOG, LOG_FILE_SNAPSHOT };

/* The numbers in the directory's file names of one kind, ascending. */
struct log_files {
    uint64_t numbers[LOG_FILES_MAX];
    size_t count;
};

char *log_path(char to[FS_PATH_MAX], enum log_file_kind kind, uint64_t number);
/* Errors: MESH_ENOTFOUND (no directory), MESH_EFULL (more than LOG_FILES_MAX), MESH_EIO. */
int log_files_list(struct fs *fs, enum log_file_kind kind, struct log_files *ret_files);

/* Creates an empty log file that begins after record `base`, durably. Errors as fs_replace(). */
int log_file_create(struct fs *fs, uint64_t base);
/* MESH_ECORRUPT: not the header of the log file of this base. MESH_EVERSION: of another version of the log. */
int log_file_check_header(struct slice bytes, uint64_t base);

/* One entry inside a frame. Errors: MESH_ENOMEM, MESH_ETOOLARGE; and at reading MESH_ECORRUPT: no whole entry there. */
int log_entry_encode(struct buffer *to, const struct raft_entry *entry);
int log_entry_decode(struct slice from, struct raft_entry *ret_entry, size_t *ret_size);

/* One frame around already encoded entries: room is left at the front by log_frame_start(). */
int log_frame_start(struct buffer *frame);
int log_frame_finish(struct buffer *frame); /* MESH_ETOOLARGE */
/* The payload of a whole valid frame at the start of `from`; false: none. */
bool log_frame_parse(struct slice from, struct slice *ret_entries);

/* The durable mark. Reading yields 0 when there is none or it cannot be read: it is only a help. Errors:
 * MESH_ENOMEM. */
int log_durable_read(struct fs *fs, uint64_t *ret_index);
void log_durable_open(struct metadata_log *log);
void log_durable_write(struct metadata_log *log, uint64_t index);

int log_snapshot_write(struct fs *fs, const struct image *image, uint64_t *ret_bytes);
/* MESH_ECORRUPT, MESH_EVERSION, MESH_ENOTFOUND, MESH_EIO, MESH_ENOMEM. */
int log_snapshot_read(struct fs *fs, uint64_t index, struct image **ret_image, uint64_t *ret_bytes);

/* Deletes logs and snapshots that lie before the newest snapshot but one. Failures are left for the next
 * time. */
void log_delete_old(struct fs *fs);

#endif
