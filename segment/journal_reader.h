/* segment/journal_reader.h - what a store's journal held when it was last written to: frames in order of
 * sequence, checked, and their entries. For recovery only; blocks; owned by one thread. */
#ifndef SEGMENT_JOURNAL_READER_H
#define SEGMENT_JOURNAL_READER_H

#include "base/fs.h"
#include "segment/journal_format.h"

struct journal_reader;

struct journal_entry {
    struct journal_entry_header header; /* of DATA: shortened to the batches that are intact */
    uint64_t sequence;                  /* of its frame */
    uint32_t file;                      /* where the batches are: for journal_reader_read() */
    uint32_t position;
};

struct journal_findings {
    uint64_t frames;         /* intact and live */
    uint64_t damaged_frames; /* known to have been durable, now missing or bad in part */
    uint64_t torn_frames;    /* behind the last durable one, incomplete: dropped with all that follow */
    uint64_t bytes;
};

/* Finds the frames of one run in the journal of a store. live_frame: frames before it are void. A store
 * without a journal has no frames. Errors: MESH_EIO, MESH_ENOMEM, MESH_EVERSION. */
int journal_reader_open(struct fs *fs, uint32_t store_index, uint64_t generation, uint64_t nonce,
                        uint64_t live_frame, struct journal_reader **ret_reader);
void journal_reader_close(struct journal_reader *reader); /* accepts NULL */

/* Calls each() for every entry that is intact, in order; stops when it returns non-zero and returns that. */
int journal_reader_each(struct journal_reader *reader,
                        int (*each)(void *user, const struct journal_entry *entry), void *user,
                        struct journal_findings *ret_findings);

/* Reads the batches of an entry. Errors: MESH_EIO. */
int journal_reader_read(struct journal_reader *reader, const struct journal_entry *entry, void *to);

#endif
