/* consensus/store_internal.h - what the store's files share. Nobody else includes it (but its tests). */
#ifndef CONSENSUS_STORE_INTERNAL_H
#define CONSENSUS_STORE_INTERNAL_H

#include "replication/consensus/store.h"
#include "replication/consensus/store_format.h"
#include "replication/consensus/store_switches.h"

#define STORE_DIRECTORY_MAX     192 /* bytes of the directory's path */
#define STORE_SEGMENT_BYTES_MAX (4u << 20) /* a segment that has more takes no further entry */

/* A snapshot that is being written, under another name. */
/* How much of a snapshot was read once more, and its CRC so far. */
struct store_check {
    uint64_t done;
    uint32_t crc;
};

struct store_writer {
    struct fs_file *file;
    struct store_snapshot_head head; /* size and crc so far */
    struct store_check check;
    uint64_t synced;                 /* bytes of it that a sync has seen, while it is received */
    bool is_sealed;                  /* complete and synced; nothing is added any more */
    uint32_t pending;                /* bytes in `chunk` */
    uint8_t chunk[STORE_CHUNK_SIZE];
};

/* What recovery read, until the first other call. */
struct store_recovered {
    struct raft_recovered raft;
    struct raft_entry *entries;
    size_t entry_capacity;
    uint8_t **files; /* whole segments: the entries' bodies lie in them */
    size_t file_count;
    bool is_forgotten;
};

/* What is in the file of lives. */
struct store_lives {
    struct raft_life life; /* this one */
    struct raft_claim past[RAFT_PAST_MAX];
    size_t past_count;
    struct raft_other others[RAFT_OTHERS_MAX];
    size_t other_count;
    bool has_news; /* that is not written */
};

struct raft_store {
    struct fs *fs;
    char directory[STORE_DIRECTORY_MAX + 1];
    raft_chain_fn *chain;
    int error; /* once set, nothing is stored any more */
    struct fs_file *state_file, *mark_file;
    struct store_state state; /* as on the disk, in both copies */
    uint64_t committed;
    uint64_t last;          /* index of the last durable entry; the snapshot's when the log ends before it */
    bool has_leftovers;     /* something of damaged entries lies behind `last`: cut before the next append */
    uint64_t *segments;     /* base of each, rising */
    size_t segment_count, segment_capacity;
    struct fs_file *tail;   /* of the last segment; NULL: the next append begins a new one */
    uint64_t tail_end;      /* bytes of it in use */
    bool is_tail_new;       /* its name is not durable yet */
    uint64_t segment_bytes_max;
    struct raft_position snapshot; /* the newest; zero: none */
    uint64_t snapshot_size, snapshot_before; /* index of the one before; 0: none */
    struct store_writer *made, *received;
    struct store_recovered recovered;
    struct store_lives *lives; /* NULL: lives are not kept */
};

/* ---- store.c ---- */

#define STORE_PATH_STATE    "state"
#define STORE_PATH_MARK     "mark"
#define STORE_PATH_MADE     "snapshot.made"
#define STORE_PATH_RECEIVED "snapshot.received"
#define STORE_PREFIX_LOG      "log-"
#define STORE_PREFIX_SNAPSHOT "snapshot-"

const char *store_path(const struct raft_store *store, char path[FS_PATH_MAX], const char *name);
const char *store_numbered_path(const struct raft_store *store, char path[FS_PATH_MAX], const char *prefix, uint64_t number);

/* Every change begins here: forgets what recovery lent; answers the error that poisoned the store, or 0. */
int store_begin_change(struct raft_store *store);

/* A failure that leaves open what the disk holds: remembered, and returned. */
int store_poison(struct raft_store *store, int err);

/* Syncs. A failure poisons: what the file holds is not known any more, and a second sync would lie (fsyncgate). */
int store_sync(struct raft_store *store, struct fs_file *file);
int store_sync_directory(struct raft_store *store);

void store_forget_recovered(struct raft_store *store);

/* ---- store_state.c ---- */

/* Writes store->state, both copies, each synced before the next. Errors poison. */
int store_state_write(struct raft_store *store);

/* Makes the files of an empty directory. Errors: MESH_EIO, MESH_EFULL, MESH_ENOMEM. */
int store_state_create(struct raft_store *store, const struct raft_server *self);

/* Reads the newer good copy. Errors: MESH_ENOTFOUND, MESH_ECORRUPT (both), MESH_EVERSION, MESH_EIO. */
int store_state_open(struct raft_store *store, bool *ret_is_one_damaged);

/* The mark: what cannot be read counts as nothing known. */
int store_mark_open(struct raft_store *store, struct store_mark *ret_mark);
void store_mark_write(struct raft_store *store);

/* ---- store_lives.c ---- */

#define STORE_PATH_LIVES "lives"

/* Writes what was noted, if it can be had: what is not written is only remembered for as long as this process lives. */
void store_lives_write_news(struct raft_store *store);

/* ---- store_log.c ---- */

/* Adds a segment behind the others. Errors: MESH_ENOMEM. */
int store_add_segment(struct raft_store *store, uint64_t base);

static inline uint64_t store_slot_position(uint64_t base, uint64_t index)
{
    return STORE_BLOCK_SIZE + (index - base) * STORE_HEADER_SIZE;
}

int store_write_zeros(struct raft_store *store, struct fs_file *file, uint64_t from, uint64_t until);
void store_forget_tail(struct raft_store *store);

/* The header in the slot of `index`. Errors: MESH_ENOTFOUND (no good one there), MESH_EIO. */
int store_read_slot(struct raft_store *store, uint64_t index, struct store_header *ret_header);

/* ---- store_cut.c ---- */

/* False: an entry of an earlier generation that a cut has removed. */
bool store_is_alive(const struct raft_store *store, uint64_t index, uint64_t generation);

/* Removes every entry from `index` on, durably; what is interrupted is finished by recovery. Errors poison. */
int store_cut(struct raft_store *store, uint64_t index);

/* Completes the last cut, when a crash has interrupted it. The state is durable. Errors poison. */
int store_finish_cut(struct raft_store *store);

/* Removes segments whose entries two snapshots cover. What fails is left for the next time. */
void store_remove_old_segments(struct raft_store *store);

/* ---- store_snapshot.c ---- */

/* Reads and verifies the snapshot at index as a whole. Errors: MESH_ENOTFOUND, MESH_ECORRUPT, MESH_EVERSION, MESH_EIO, MESH_ENOMEM. */
int store_snapshot_verify(struct raft_store *store, uint64_t index, struct store_snapshot_head *ret_head);
void store_writer_free(struct raft_store *store, struct store_writer **writer, const char *name);

/* ---- store_recovery.c ---- */

int store_recover(struct raft_store *store, const struct raft_server *self, struct raft_store_report *report, char *message,
                  size_t message_size);

#endif
