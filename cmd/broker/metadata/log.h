/* metadata/log.h - the metadata log on disk: append-only frames in DIR/meta, snapshots, and their recovery.
 *
 *   meta/log-<base>       frames of entries base+1, base+2, ...       (20 decimal digits)
 *   meta/snapshot-<index> the image after entry <index>
 *   meta/durable          how far the log is known to be synced (written behind, never waited for)
 *
 * One commit is one frame, written and synced before metadata_log_append() returns. A snapshot starts a new
 * log file; the snapshot before it and the log between the two are kept. Bytes: FORMAT.md. Owned by the
 * control loop; blocks. */
#ifndef METADATA_LOG_H
#define METADATA_LOG_H

#include "replication/coordinator/image.h"
#include "base/fs.h"

#define METADATA_FRAME_BYTES_MAX (RAFT_BODY_SIZE_MAX + (1u << 20)) /* one commit */

struct metadata_log;

struct metadata_recovery {
    uint64_t record_count;    /* replayed after the snapshot */
    uint64_t torn_bytes;      /* cut from the end: a commit that never was acknowledged */
    bool used_older_snapshot; /* the newest was damaged; nothing was lost, since the log behind it is whole */
};

/* Recovers the newest image (a reference for the caller) from DIR/meta, made if absent. A torn tail is cut
 * durably. Damage refuses: `message` names file, position and cure. Errors: MESH_ECORRUPT, MESH_EVERSION,
 * MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int metadata_log_open(struct fs *fs, struct metadata_log **ret_log, struct image **ret_image,
                      struct metadata_recovery *ret_recovery, char *message, size_t message_size);

/* Syncs the durable mark, so that later damage of the last record is told from a torn tail. Accepts NULL. */
void metadata_log_close(struct metadata_log *log);

/* Makes the entries of one commit durable, in one frame. Errors: MESH_EFULL (no space; nothing was written,
 * retry later), MESH_EIO (failed for good: metadata_log_error()), MESH_ETOOLARGE, MESH_ENOMEM. */
int metadata_log_append(struct metadata_log *log, const struct raft_entry *entries, size_t count);

int metadata_log_error(const struct metadata_log *log); /* 0, or what every append answers from now on */

/* Whether a snapshot is worth its cost now. */
bool metadata_log_wants_snapshot(const struct metadata_log *log);

/* Writes `image`, which stands for everything appended, starts a new log file, and deletes what no recovery
 * needs any more. On an error the old files still do; the log goes on. Errors: MESH_EIO, MESH_EFULL,
 * MESH_ENOMEM. */
int metadata_log_snapshot(struct metadata_log *log, const struct image *image);

#endif
