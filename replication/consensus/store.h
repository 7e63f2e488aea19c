/* consensus/store.h - the log, vote and snapshots of consensus on one directory of a disk. Bytes: FORMAT.md.
 *
 * Blocks; belongs to one thread at a time (a lane). All disk access goes through base/fs.h. Whatever returns 0 is durable.
 *
 * A write or sync that fails (MESH_EIO) poisons the store: raft_store_error(), nothing is stored any more, a file is never synced twice
 * (fsyncgate). After any other error the store is as it was: MESH_EFULL and MESH_ENOMEM (nothing was stored, the same may be tried
 * again), MESH_EINVAL (the call contradicts what is stored: a gap, a vote taken back, a snapshot older than the newest), MESH_ECORRUPT
 * (what was sent is not good as a whole). */
#ifndef CONSENSUS_STORE_H
#define CONSENSUS_STORE_H

#include "base/fs.h"
#include "replication/consensus/raft.h"

struct raft_store;

/* What recovery met. */
struct raft_store_report {
    uint64_t torn_bytes;             /* cut from the end: never acknowledged */
    uint64_t damaged_first, damaged_until; /* a hole: entries that were durable and are not readable; 0: none */
    bool used_older_snapshot;        /* the newest is damaged; the one before and the log replaced it */
    bool vote_slot_damaged;          /* one of the two copies; the other one is as new, or newer and was never acknowledged */
    uint64_t repaired;               /* entries with one damaged header of two: nothing is lost */
};

/* Opens (makes, if absent) the store of `self` in `directory` of fs. Tells a torn tail (cut, durably) from damage (a bad
 * entry with a valid later one, or not beyond the durable mark: kept as a hole). Refuses, with a sentence that names cause and cure in message:
 * MESH_ECORRUPT (both vote slots, or every snapshot that the log needs; a log of another disk's server), MESH_EVERSION, MESH_EIO, MESH_EFULL,
 * MESH_ENOMEM. *ret_recovered points into the store and is valid until
 * something is stored; reads of the snapshot leave it. */
int raft_store_open(struct fs *fs, const char *directory, const struct raft_server *self, raft_chain_fn *chain, struct raft_store **ret_store,
                    const struct raft_recovered **ret_recovered, struct raft_store_report *ret_report, char *message, size_t message_size);
void raft_store_close(struct raft_store *store); /* accepts NULL. Marks how far the log is durable */
int raft_store_error(const struct raft_store *store);

/* Begins a life of the server (raft.h, "lives"), right after the open: writes down what the last one left here and that this one, with a random
 * nonce, follows; *recovered of the open then tells them. Without it lives are not compared. A record of lives that is damaged or missing
 * counts as none: whoever remembers one of them then takes this disk for one that was set back. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int raft_store_begin_life(struct raft_store *store, uint64_t nonce);

/* The lives of others that are to be remembered: written with the next raft_store_set_state(), as far as there is space. Copied. */
void raft_store_note_others(struct raft_store *store, const struct raft_other *others, size_t count);

/* raft_force() was called with that term: written with the next raft_store_set_state(), for good. It never falls. */
void raft_store_note_forced(struct raft_store *store, uint64_t term);

/* Whether the server of `broker` that has its store there was found to be set back or copied (RAFT_SET_BACK): it never votes again. The broker
 * may go on as another server, on a disk with another uuid: raft_store_give_up() removes all that the old one had, and makes the empty store of
 * its successor. Interrupted, it leaves a store that still says that it was set back. Errors: MESH_ENOTFOUND (no store there), MESH_ECORRUPT,
 * MESH_EVERSION, MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int raft_store_was_set_back(struct fs *fs, const char *directory, const struct uuid *broker, bool *ret_was_set_back);
int raft_store_give_up(struct fs *fs, const char *directory, const struct raft_server *successor);

/* Before it is given up: all that such a store has goes to the directory `aside` (made if need be), but for its state, of which that gets a copy.
 * Interrupted, it is to be called again. Needs next to no space. */
int raft_store_set_aside(struct fs *fs, const char *directory, const char *aside);

/* Term, vote and the mark of a hole: one record with version and CRC, kept twice, each copy synced before the next. A mark stays until it is
 * set to 0, also over a restart after the hole itself was overwritten: recovery then tells it as damaged_until. (Recovery writes it when it
 * finds a hole: half of a hole may be filled at the next crash, and what was acknowledged stay forgotten.) With 0, what is left in the hole goes. */
int raft_store_set_state(struct raft_store *store, uint64_t term, const struct raft_server *voted_for, uint64_t damaged_until);

/* Cuts the log from entries[0].index on if it reaches there, then appends. One sync for all; a cut, a new segment and
 * more than 512 entries cost more. With MESH_EFULL the cut may have been done, so the same must be tried again. Entries at or below the
 * newest snapshot are skipped: they were on their way when it came sideways. */
int raft_store_append(struct raft_store *store, const struct raft_entry *entries, size_t count);

/* Remembers that the log is committed up to there; written with the next append or at the close, never waited for. Not
 * more than the STORE_ENTRIES output being stored says (or than raft_status.durable_index, at the close): the place of an entry that is committed
 * may still be held, on this disk, by another one that never was. */
void raft_store_note_committed(struct raft_store *store, uint64_t index);

/* A snapshot of the user's state, made here: begin, parts, end; after an error it is begun anew. Written aside, verified (CRC of each chunk and of the whole), renamed after a sync.
 * The one before it is kept, and the log from it on. */
int raft_store_snapshot_begin(struct raft_store *store, const struct raft_position *position, const struct raft_config *config);
int raft_store_snapshot_write(struct raft_store *store, struct slice bytes);
int raft_store_snapshot_end(struct raft_store *store); /* then: raft_compact() */
/* What end does at once takes long where much was written. In steps that others may come between: sync now and then while writing; at last check until
 * it is whole, bytes_max at a time. What is left for the end is a rename. */
int raft_store_snapshot_sync(struct raft_store *store);
int raft_store_snapshot_check(struct raft_store *store, uint64_t bytes_max, bool *ret_is_whole);
void raft_store_snapshot_abort(struct raft_store *store);

/* One that a leader or another broker sends: position as in the STORE_CHUNK output; offset 0 begins anew; after
 * MESH_EFULL the same chunk may come again, or the first one. With is_last: whole and good, or
 * MESH_ECORRUPT (nothing changed; it may be sent again). The log then begins after it, unless it holds the entry at position: then it stays.
 * Two may come at a time, from the leader and from elsewhere: MESH_EAGAIN, when the other one was begun after this one, or is there and newer (nothing
 * changed; it may be sent again from its beginning). */
int raft_store_snapshot_chunk(struct raft_store *store, const struct raft_position *position, const struct raft_config *config,
                              uint64_t offset, struct slice bytes, uint64_t total, bool is_last);

/* Reads of the newest snapshot. Errors: MESH_ENOTFOUND (there is none, or it is not the one at `index`; 0: any), MESH_ECORRUPT, MESH_EIO. */
int raft_store_snapshot_info(struct raft_store *store, struct raft_position *ret_position, struct raft_config *ret_config, uint64_t *ret_size);
int raft_store_snapshot_read(struct raft_store *store, uint64_t index, uint64_t offset, void *to, size_t size, size_t *ret_size);

#endif
