/* consensus/store_state.c - what is overwritten in place: the state (term, vote, generation of the log, hole) and the mark.
 *
 * The state is kept twice, in blocks of their own, and both are synced one after the other before anybody is told. So a torn
 * write leaves the other copy, and a copy that rots later has a twin that is as new: with one copy alone nobody could tell a
 * torn write that was never acknowledged from the newest vote gone bad. */
#include "replication/consensus/store_internal.h"

#include "base/error.h"
#include "base/fs_whole.h"

#define STATE_COPIES 2u

static int write_copy(struct raft_store *store, unsigned copy)
{
    uint8_t bytes[STORE_STATE_SIZE];
    struct iovec iov = {bytes, sizeof(bytes)};

    store_state_encode(&store->state, bytes);
    if (STORE_DEFECT(VOTE_UNSYNCED)) return store->fs->ops->write(store->state_file, &iov, 1, copy * STORE_BLOCK_SIZE);
    return store->fs->ops->write_sync(store->state_file, &iov, 1, copy * STORE_BLOCK_SIZE);
}

/* Only with the defect: the file is deleted and written anew, as some have done. */
static int recreate(struct raft_store *store)
{
    char path[FS_PATH_MAX];
    int err;

    store_path(store, path, STORE_PATH_STATE);
    fs_unref(store->state_file);
    store->state_file = NULL;
    err = store->fs->ops->unlink(store->fs, path);
    if (err == 0) err = store_sync_directory(store);
    return err != 0 ? err : fs_open(store->fs, path, FS_WRITE | FS_CREATE, &store->state_file);
}

int store_state_write(struct raft_store *store)
{
    int err = 0;

    store->state.sequence++;
    if (STORE_DEFECT(VOTE_REWRITTEN)) err = recreate(store);
    for (unsigned copy = 0; copy < STATE_COPIES && err == 0; copy++)
        err = write_copy(store, copy);
    if (err == 0 && STORE_DEFECT(VOTE_REWRITTEN)) err = store_sync_directory(store);
    return err == 0 ? 0 : store_poison(store, err);
}

/* The whole file is written at once, so that no later vote needs space. */
int store_state_create(struct raft_store *store, const struct raft_server *self)
{
    uint8_t bytes[STATE_COPIES * STORE_BLOCK_SIZE] = {0};
    char path[FS_PATH_MAX], temporary[FS_PATH_MAX];

    store->state = (struct store_state){.sequence = 1, .self = *self, .generation = 1, .cut_index = 1};
    for (unsigned copy = 0; copy < STATE_COPIES; copy++)
        store_state_encode(&store->state, bytes + copy * STORE_BLOCK_SIZE);
    return fs_replace(store->fs, store->directory, store_path(store, path, STORE_PATH_STATE),
                      store_path(store, temporary, STORE_PATH_STATE ".new"), slice_of(bytes, sizeof(bytes)));
}

int store_state_open(struct raft_store *store, bool *ret_is_one_damaged)
{
    uint8_t bytes[STORE_STATE_SIZE];
    struct store_state copy;
    char path[FS_PATH_MAX];
    unsigned good = 0;
    int bad = 0, err = fs_open(store->fs, store_path(store, path, STORE_PATH_STATE), FS_WRITE, &store->state_file);

    if (err != 0) return err;
    for (unsigned i = 0; i < STATE_COPIES; i++) {
        size_t size = 0;
        err = store->fs->ops->read(store->state_file, bytes, sizeof(bytes), i * STORE_BLOCK_SIZE, &size);
        if (err == 0) err = size == sizeof(bytes) ? store_state_decode(bytes, &copy) : MESH_ECORRUPT;
        if (err == MESH_EVERSION || err == MESH_ENOMEM) return err;
        if (err != 0)
            bad = err; /* also a sector that cannot be read: the twin stands for it */
        else if (good++ == 0 || copy.sequence > store->state.sequence)
            store->state = copy;
    }
    *ret_is_one_damaged = good < STATE_COPIES;
    return good == 0 ? bad : 0;
}

int raft_store_set_state(struct raft_store *store, uint64_t term, const struct raft_server *voted_for, uint64_t damaged_until)
{
    int err = store_begin_change(store);

    if (err != 0) return err;
    if (term < store->state.term || (term == store->state.term && !uuid_is_zero(&store->state.voted_for.broker) &&
                                     !raft_server_equal(voted_for, &store->state.voted_for)))
        return MESH_EINVAL; /* a vote that was given is not taken back */
    if (damaged_until == 0 && store->has_leftovers) {
        err = store_cut(store, store->last + 1); /* decided: what lies in the hole is not found again at the next start */
        if (err != 0) return err;
    }
    store->state.term = term;
    store->state.voted_for = *voted_for;
    store->state.damaged_until = damaged_until;
    store_lives_write_news(store);
    return store_state_write(store);
}

void raft_store_note_forced(struct raft_store *store, uint64_t term)
{
    if (term > store->state.forced_term) store->state.forced_term = term;
}

/* ---- the mark ---- */

int store_mark_open(struct raft_store *store, struct store_mark *ret_mark)
{
    uint8_t bytes[STORE_MARK_SIZE];
    char path[FS_PATH_MAX];
    size_t size;
    int err = fs_open(store->fs, store_path(store, path, STORE_PATH_MARK), FS_WRITE | FS_CREATE, &store->mark_file);

    *ret_mark = (struct store_mark){.durable = 0};
    if (err == MESH_EFULL) return 0; /* it stays away, and helps nobody */
    if (err != 0) return err;
    err = store->fs->ops->read(store->mark_file, bytes, sizeof(bytes), 0, &size);
    if (err == MESH_ENOMEM) return err;
    if (err == 0 && size == sizeof(bytes)) store_mark_decode(bytes, ret_mark);
    return 0;
}

void store_mark_write(struct raft_store *store)
{
    struct store_mark mark = {store->state.generation, store->last, store->committed};
    uint8_t bytes[STORE_MARK_SIZE];
    struct iovec iov = {bytes, sizeof(bytes)};

    if (store->mark_file == NULL) return;
    store_mark_encode(&mark, bytes);
    if (store->fs->ops->write(store->mark_file, &iov, 1, 0) == 0) return;
    fs_unref(store->mark_file);
    store->mark_file = NULL;
}
