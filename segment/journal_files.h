/* segment/journal_files.h - the files of one store's journal: which is written now, which wait for their
 * records to reach synced segments, which are free to be used again.
 *
 * journal/<store index>/<8 digits>.journal, all of one size, overwritten in turn: a file whose blocks exist
 * syncs in a fraction of the time of one that grows. New ones are filled with zeros in the background before
 * they are used, but for the very first: in small steps, as the one in use fills up, because a sync waits for whatever the
 * disk was given before it. Owned by the store's loop but for the functions that say "blocks".
 */
#ifndef SEGMENT_JOURNAL_FILES_H
#define SEGMENT_JOURNAL_FILES_H

#include "base/list.h"
#include "base/fs.h"

struct journal_file {
    struct list_node link;
    struct fs_file *file; /* owned; direct; NULL until prepared */
    uint32_t number;
    uint32_t used;          /* bytes, from the start */
    uint64_t last_sequence; /* of the newest frame in it */
    uint32_t filled;        /* bytes from the start whose blocks have been written once */
    bool is_busy;           /* a job is preparing it */
};

struct journal_files {
    uint32_t store_index;
    uint32_t file_bytes;
    uint32_t count, count_max;
    uint32_t next_number;
    struct list_node free_files; /* the ones to use next first */
    struct list_node used_files; /* oldest first; the last one is being written */
    struct journal_file *current;
    uint64_t live_bytes; /* used bytes of used_files */
};

void journal_files_init(struct journal_files *files, uint32_t store_index, uint32_t file_bytes,
                        uint64_t bytes_max);
void journal_files_deinit(struct journal_files *files);

/* Takes over what an earlier run left in the directory. Blocks. */
int journal_files_load(struct journal_files *files, struct fs *fs);

/* A place for `length` bytes, which then count as used, in one file: the current one, or the next free one
 * that is prepared. NULL: there is none now; see journal_files_to_prepare(). */
struct journal_file *journal_files_reserve(struct journal_files *files, uint32_t length,
                                           uint32_t *ret_position);

/* Every file that holds only frames up to `sequence` is free again. */
void journal_files_recycle(struct journal_files *files, uint64_t sequence);

/* The newest frame in files other than the current one, which recycling up to it releases all; 0: there are none. */
uint64_t journal_files_full_bound(const struct journal_files *files);

/* True when there is a file whose blocks exist. */
bool journal_files_has_any(const struct journal_files *files);

/* True when no file is left to write to, and none may be added: only recycling helps. */
bool journal_files_is_exhausted(const struct journal_files *files);

/* A file that should be opened or, when there is time, filled by *ret_fill_bytes more (0: only opened), marked busy; NULL:
 * none now. is_urgent: nothing is left to write to, so opening must do. */
struct journal_file *journal_files_to_prepare(struct journal_files *files, bool is_urgent, uint32_t *ret_fill_bytes);

#define JOURNAL_FILL_MAX (1u << 20) /* bytes of one step */

struct journal_preparation {
    uint32_t store_index, number, file_bytes;
    uint32_t fill_from, fill_bytes;
    uint8_t *staging;     /* JOURNAL_FILL_MAX bytes, aligned; may be NULL when nothing is to be filled */
    struct fs_file *file; /* NULL: to be opened, and created with its blocks allocated; set even when filling failed */
};

/* Blocks, any thread. */
int journal_file_prepare(struct fs *fs, struct journal_preparation *preparation);
/* fill_bytes: 0 when that was not reached. On an error the file leaves the list, and is freed. */
void journal_files_prepared(struct journal_files *files, struct journal_file *file, int error, uint32_t fill_bytes);

void journal_directory_path(uint32_t store_index, char to[FS_PATH_MAX]);
void journal_file_path(uint32_t store_index, uint32_t number, char to[FS_PATH_MAX]);
bool journal_parse_name(const char *name, uint32_t *ret_number);

#endif
