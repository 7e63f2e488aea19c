/* metadata/disk.h - the store of consensus behind a thread of its own, so that the control loop waits for no disk.
 *
 * Jobs are done in the order in which they are asked for, but for whole snapshots: one that is made here is encoded elsewhere and written in pieces, one that
 * is restored is read in pieces and decoded elsewhere. Votes and entries pass between the pieces, since they are waited for. What belongs together goes to the disk with one sync (entries that
 * were asked for while another job ran). Everything is copied or referenced: nothing that is handed in needs to stay. A full disk
 * is waited for, with a look twice a second; any other failure is final. Belongs to the control loop; hooks run there, never inside
 * a call. */
#ifndef METADATA_DISK_H
#define METADATA_DISK_H

#include "replication/consensus/store.h"
#include "replication/metadata/node.h"

struct disk;
struct ev_loop;
struct mailbox;

struct disk_hooks {
    void (*stored)(void *user, uint64_t store);            /* that store, and all before it, are durable */
    void (*failed)(void *user, uint64_t store, int error); /* that one is not; unless it is a damaged chunk (MESH_ECORRUPT), nothing is
                                                              stored any more and no other hook of a store follows */
    void (*full)(void *user, bool is_full); /* the disk has no space (any more, or again): what was asked for waits */
    void (*snapshot_taken)(void *user, uint64_t index, int error);
    void (*snapshot_read)(void *user, uint64_t read, int error, const struct node_snapshot *snapshot);
    void (*restored)(void *user, int error, struct image *image); /* the image is the hook's */
};

struct disk_options {
    struct fs *fs;           /* borrowed: for DIR/recovery */
    struct raft_server self; /* whose it is */
    struct ev_loop *loop;
    struct mailbox *home; /* the control loop's */
    const struct disk_hooks *hooks; /* kept */
    void *user;
};

/* Takes the store (also on failure). Errors: MESH_ENOMEM, MESH_EIO. */
int disk_new(const struct disk_options *options, struct raft_store *store, struct disk **ret_disk);

/* Waits for the job that runs, forgets those that wait (nobody was told of them), closes the store. No hook runs any more. Mail of the
 * home mailbox is delivered meanwhile. Accepts NULL. */
void disk_free(struct disk *disk);

/* All: MESH_ENOMEM (nothing was asked for); everything else comes by hooks. `store` numbers rise. */
struct disk_state {
    uint64_t term, damaged_until, forced_term;
    struct raft_server voted_for;
    const struct raft_other *others; /* NULL: as before */
    size_t other_count;
};
int disk_store_state(struct disk *disk, uint64_t store, const struct disk_state *state);
/* committed: what may be noted with these entries (raft_output.committed). */
int disk_store_entries(struct disk *disk, uint64_t store, uint64_t committed, const struct raft_entry *entries, size_t count);
int disk_store_chunk(struct disk *disk, uint64_t store, const struct raft_position *position, const struct raft_config *config, uint64_t offset,
                     struct slice bytes, uint64_t total, bool is_last);
int disk_store_recovery(struct disk *disk, uint64_t store, struct slice bytes); /* DIR/recovery */
int disk_take_snapshot(struct disk *disk, const struct image *image, const struct raft_position *position, const struct raft_config *config);
/* `size` bytes from `offset` of the newest snapshot, which must be the one at `index` unless that is 0. */
int disk_read_snapshot(struct disk *disk, uint64_t read, uint64_t index, uint64_t offset, uint64_t size);
/* Reads and decodes the newest snapshot, which must be the one at `index`. */
int disk_restore(struct disk *disk, uint64_t index);

/* As if that store had failed: it could not even be asked for. failed() comes from the loop. */
void disk_fail(struct disk *disk, uint64_t store, int error);
int disk_error(const struct disk *disk);
bool disk_is_full(const struct disk *disk);
bool disk_is_busy(const struct disk *disk); /* a job is at the lane, and may be held up by the disk */

/* The image of the newest snapshot, for a start: blocks. NULL: there is none. Errors: MESH_ECORRUPT, MESH_EVERSION, MESH_EIO, MESH_ENOMEM. */
int disk_load_image(struct raft_store *store, uint64_t index, struct image **ret_image);

#endif
