/* segment/recovery_log.h - recovery of one log after a crash: what its manifest vouched for, what the files
 * hold behind that, and what the journal adds, put together in its segment files. Blocks; owned by one
 * thread. */
#ifndef SEGMENT_RECOVERY_LOG_H
#define SEGMENT_RECOVERY_LOG_H

#include "segment/journal_reader.h"
#include "segment/recovered.h"

/* An entry of the journal that concerns the log. */
struct recovery_entry {
    struct journal_entry entry;
    struct journal_reader *reader; /* where its batches are read */
    uint64_t generation;           /* of the run that wrote it */
    uint64_t manifest_frame;       /* newest frame that the manifest of the log's store and that run knew of; 0: there is none */
};

struct recovery_log {
    struct fs *fs;
    struct plog_recovered *recovered; /* in: the manifest's view; out: what is so now */
    struct recovery_entry *entries;   /* in the order of the journal; borrowed */
    uint32_t entry_count;
    bool is_manifest_lost; /* one could not be read: files may know more than manifests */
    bool is_superseded;    /* a later run's manifest or marker does not vouch for this log */
    struct recovery_report *report;
    recovery_event_fn *event;
    void *event_user;
};

/* Brings the segment files to where they hold everything that is known, and *recovered to say so; the caller
 * syncs it all before it is believed. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. Damage is not an error. */
int recovery_log_run(struct recovery_log *log);

#endif
