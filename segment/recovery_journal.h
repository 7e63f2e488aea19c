/* segment/recovery_journal.h - the entries of all journals that have to be replayed, sorted by log. For
 * recovery only. */
#ifndef SEGMENT_RECOVERY_JOURNAL_H
#define SEGMENT_RECOVERY_JOURNAL_H

#include "segment/manifest.h"
#include "segment/recovery_log.h"

struct recovery_journal;

struct recovery_store {
    uint32_t index;
    struct manifest_marker marker;
    uint64_t live_frame; /* frames before it are void */
    uint64_t last_frame; /* newest frame that the manifest knew of */
};

int recovery_journal_new(struct recovery_journal **ret_journal); /* MESH_ENOMEM */
void recovery_journal_free(struct recovery_journal *journal);    /* accepts NULL */

/* Adds the entries of one store's journal. Errors: MESH_EIO, MESH_ENOMEM, MESH_EVERSION. */
int recovery_journal_read(struct recovery_journal *journal, struct fs *fs, const struct recovery_store *store,
                          struct journal_findings *ret_findings);

/* After the last read, before the first look-up: by log, and in each by order of the journal. */
int recovery_journal_sort(struct recovery_journal *journal);

int recovery_journal_each_log(struct recovery_journal *journal,
                              int (*each)(void *user, const struct plog_id *id), void *user);

/* The entries of one log; valid until the journal is freed. */
struct recovery_entry *recovery_journal_find(struct recovery_journal *journal, const struct plog_id *id,
                                             uint32_t *ret_count);

#endif
