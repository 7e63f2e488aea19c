/* consensus/store_snapshot.c - snapshots: written aside in chunks, verified, renamed, and read again.
 *
 * Each chunk and the whole have a CRC; the head, with position and configuration, is written last. The rename is the moment in
 * which a snapshot exists. What it replaces goes only after that is durable, and the one before it stays. */
#include "replication/consensus/store_internal.h"

#include "base/crc32c.h"
#include "base/error.h"

#include <stdio.h>
#include <stdlib.h>

#define SYNC_EVERY (1u << 20) /* bytes of one that is received */

/* ---- writing aside ---- */

void store_writer_free(struct raft_store *store, struct store_writer **writer, const char *name)
{
    char path[FS_PATH_MAX];

    if (*writer == NULL) return;
    fs_unref((*writer)->file);
    store->fs->ops->unlink(store->fs, store_path(store, path, name)); /* or it is emptied by the next */
    free(*writer);
    *writer = NULL;
}

static int writer_new(struct raft_store *store, const char *name, const struct raft_position *position,
                      const struct raft_config *config, struct store_writer **ret_writer)
{
    struct store_writer *writer = malloc(sizeof(*writer));
    char path[FS_PATH_MAX];
    int err;

    if (writer == NULL) return MESH_ENOMEM;
    memset(writer, 0, offsetof(struct store_writer, chunk)); /* not the chunk: it is large, and written before it is read */
    writer->head.position = *position;
    writer->head.config = *config;
    err = fs_open(store->fs, store_path(store, path, name), FS_WRITE | FS_CREATE, &writer->file);
    if (err == 0) err = store->fs->ops->truncate(writer->file, 0);
    if (err != 0) {
        store_writer_free(store, &writer, name);
        return err;
    }
    *ret_writer = writer;
    return 0;
}

static int flush(struct raft_store *store, struct store_writer *writer)
{
    uint64_t chunk = (writer->head.size - writer->pending) / STORE_CHUNK_SIZE;
    uint8_t head[STORE_CHUNK_HEAD];
    struct iovec iov[2] = {{head, sizeof(head)}, {writer->chunk, writer->pending}};
    int err;

    if (writer->pending == 0) return 0;
    store_chunk_seal(writer->head.position.index, chunk, writer->chunk, writer->pending, head);
    err = store->fs->ops->write(writer->file, iov, 2, STORE_BLOCK_SIZE + chunk * (STORE_CHUNK_HEAD + STORE_CHUNK_SIZE));
    if (err == 0) writer->head.crc = crc32c_extend(writer->head.crc, writer->chunk, writer->pending);
    if (err == 0) writer->pending = 0;
    return err;
}

/* head.size says how much of it was taken, also when it fails: the rest may be tried again. */
static int writer_add(struct raft_store *store, struct store_writer *writer, struct slice bytes)
{
    while (bytes.size > 0) {
        size_t take = STORE_CHUNK_SIZE - writer->pending;
        if (take == 0) {
            int err = flush(store, writer);
            if (err != 0) return err;
            continue;
        }
        if (take > bytes.size) take = bytes.size;
        memcpy(writer->chunk + writer->pending, bytes.data, take);
        writer->pending += (uint32_t)take;
        writer->head.size += take;
        bytes = slice_of(bytes.data + take, bytes.size - take);
    }
    return 0;
}

/* ---- verifying ---- */

/* Reads chunk `number` of a snapshot of `total` bytes. Errors: MESH_ECORRUPT, MESH_EIO, MESH_ENOMEM. */
static int read_chunk(struct fs_file *file, uint64_t index, uint64_t total, uint64_t number, uint8_t *to, size_t *ret_size)
{
    uint64_t left = total - number * STORE_CHUNK_SIZE;
    size_t size = left < STORE_CHUNK_SIZE ? (size_t)left : STORE_CHUNK_SIZE, got = 0;
    int err = file->fs->ops->read(file, to, STORE_CHUNK_HEAD + size,
                                  STORE_BLOCK_SIZE + number * (STORE_CHUNK_HEAD + STORE_CHUNK_SIZE), &got);

    if (err != 0) return err;
    if (got != STORE_CHUNK_HEAD + size || !store_chunk_is_good(index, number, to + STORE_CHUNK_HEAD, (uint32_t)size, to))
        return MESH_ECORRUPT;
    *ret_size = size;
    return 0;
}

static int read_head(struct fs_file *file, struct store_snapshot_head *ret_head)
{
    uint8_t bytes[STORE_BLOCK_SIZE];
    uint64_t file_size;
    size_t size = 0;
    int err = file->fs->ops->read(file, bytes, sizeof(bytes), 0, &size);

    if (err == 0 && size != sizeof(bytes)) err = MESH_ECORRUPT;
    if (err == 0) err = store_snapshot_head_decode(bytes, ret_head);
    if (err == 0) err = file->fs->ops->size(file, &file_size);
    if (err == 0 && file_size != store_snapshot_file_size(ret_head->size)) err = MESH_ECORRUPT;
    return err;
}

/* At least bytes_max more of it, as a reader would meet it; check->done == ret_head->size: all of it is good. */
static int verify_part(struct fs *fs, const char *path, uint64_t index, struct store_check *check, uint64_t bytes_max, struct store_snapshot_head *ret_head)
{
    uint8_t *chunk = malloc(STORE_CHUNK_HEAD + STORE_CHUNK_SIZE);
    struct fs_file *file = NULL;
    uint64_t until = bytes_max > UINT64_MAX - check->done ? UINT64_MAX : check->done + bytes_max;
    int err = chunk == NULL ? MESH_ENOMEM : fs_open(fs, path, FS_READ, &file);

    if (err == 0) err = read_head(file, ret_head);
    if (err == 0 && ret_head->position.index != index) err = MESH_ECORRUPT;
    while (err == 0 && check->done < ret_head->size && check->done < until) {
        size_t size;
        err = read_chunk(file, index, ret_head->size, check->done / STORE_CHUNK_SIZE, chunk, &size);
        if (err != 0) break;
        check->crc = crc32c_extend(check->crc, chunk + STORE_CHUNK_HEAD, size);
        check->done += size;
    }
    if (err == 0 && check->done >= ret_head->size && check->crc != ret_head->crc) err = MESH_ECORRUPT;
    fs_unref(file);
    free(chunk);
    return err;
}

static int verify_file(struct fs *fs, const char *path, uint64_t index, struct store_snapshot_head *ret_head)
{
    struct store_check check = {0, 0};

    return verify_part(fs, path, index, &check, UINT64_MAX, ret_head);
}

int store_snapshot_verify(struct raft_store *store, uint64_t index, struct store_snapshot_head *ret_head)
{
    char path[FS_PATH_MAX];

    return verify_file(store->fs, store_numbered_path(store, path, STORE_PREFIX_SNAPSHOT, index), index, ret_head);
}

/* ---- installing ---- */

#define OLD_MAX 16

struct old_snapshots {
    const struct raft_store *store;
    uint64_t numbers[OLD_MAX];
    size_t count;
};

static int note_old(void *user, const char *name, bool is_dir)
{
    static const char prefix[] = STORE_PREFIX_SNAPSHOT;
    struct old_snapshots *old = user;
    uint64_t number;
    char *end;

    if (is_dir || strncmp(name, prefix, sizeof(prefix) - 1) != 0 || old->count == OLD_MAX) return 0;
    number = strtoull(name + sizeof(prefix) - 1, &end, 10);
    if (*end != '\0' || number == old->store->snapshot.index || number == old->store->snapshot_before) return 0;
    old->numbers[old->count++] = number;
    return 0;
}

/* All but the newest and the one before; also a later one that was damaged, and whose place this one takes. What fails is left for the next time. */
static void remove_old_snapshots(struct raft_store *store)
{
    struct old_snapshots old = {.store = store};
    char path[FS_PATH_MAX];

    if (store->fs->ops->list(store->fs, store->directory, note_old, &old) != 0) return;
    for (size_t i = 0; i < old.count; i++)
        store->fs->ops->unlink(store->fs, store_numbered_path(store, path, STORE_PREFIX_SNAPSHOT, old.numbers[i]));
    if (old.count > 0) store->fs->ops->sync_dir(store->fs, store->directory); /* a damaged one that comes back would vouch again */
}

/* Flushed, with its head, and synced. EFULL: may be tried again. */
static int seal(struct raft_store *store, struct store_writer *writer)
{
    uint8_t head[STORE_BLOCK_SIZE];
    struct iovec iov = {head, sizeof(head)};
    int err;

    if (writer->is_sealed) return 0;
    err = flush(store, writer);
    if (err == 0) err = store_snapshot_head_encode(&writer->head, head);
    if (err == 0) err = store->fs->ops->write(writer->file, &iov, 1, 0);
    if (err == 0) err = store_sync(store, writer->file);
    writer->is_sealed = err == 0;
    return err;
}

/* Sealed, and bytes_max of it read once more. */
static int finish(struct raft_store *store, struct store_writer *writer, const char *path, uint64_t bytes_max)
{
    struct store_snapshot_head found;
    int err = seal(store, writer);

    if (err != 0 || (writer->check.done == writer->head.size && writer->head.size != 0)) return err;
    return verify_part(store->fs, path, writer->head.position.index, &writer->check, bytes_max, &found);
}

static int install(struct raft_store *store, struct store_writer *writer, const char *name)
{
    char from[FS_PATH_MAX], to[FS_PATH_MAX];
    int err;

    store_path(store, from, name);
    if (STORE_DEFECT(SNAPSHOT_REPLACED) && store->snapshot.index != 0) {
        store->fs->ops->unlink(store->fs, store_numbered_path(store, to, STORE_PREFIX_SNAPSHOT, store->snapshot.index));
        store_sync_directory(store);
    }
    err = finish(store, writer, from, UINT64_MAX);
    if (err != 0) return err;
    store_numbered_path(store, to, STORE_PREFIX_SNAPSHOT, writer->head.position.index);
    err = store->fs->ops->rename(store->fs, from, to);
    if (err != 0) return err == MESH_EFULL ? err : store_poison(store, err);
    err = store_sync_directory(store);
    if (err != 0) return err;
    store->snapshot_before = store->snapshot.index;
    store->snapshot = writer->head.position;
    store->snapshot_size = writer->head.size;
    raft_store_note_committed(store, store->snapshot.index);
    return 0;
}

/* Behind a snapshot that others made: the log stays when it holds the entry there, and begins anew when not. */
static int adapt_log(struct raft_store *store)
{
    struct store_header header;
    int err = store->snapshot.index <= store->last ? store_read_slot(store, store->snapshot.index, &header) : MESH_ENOTFOUND;

    if (err == MESH_EIO || err == MESH_ENOMEM) return store_poison(store, err);
    if (err == 0 && header.term == store->snapshot.term && memcmp(header.chain, store->snapshot.chain, RAFT_CHAIN_SIZE) == 0)
        return 0;
    err = store_cut(store, 1);
    if (err == 0) store->last = store->snapshot.index;
    return err;
}

static void remove_old(struct raft_store *store)
{
    remove_old_snapshots(store);
    store_remove_old_segments(store);
}

/* An error of the disk poisons; want of space or memory does not. */
static int judge(struct raft_store *store, int err)
{
    return err == 0 || err == MESH_EFULL || err == MESH_ENOMEM || err == MESH_ECORRUPT ? err : store_poison(store, err);
}

/* ---- one of our own ---- */

int raft_store_snapshot_begin(struct raft_store *store, const struct raft_position *position, const struct raft_config *config)
{
    int err = store_begin_change(store);

    if (err != 0) return err;
    store_writer_free(store, &store->made, STORE_PATH_MADE);
    if (position->index <= store->snapshot.index) return MESH_EINVAL;
    return judge(store, writer_new(store, STORE_PATH_MADE, position, config, &store->made));
}

int raft_store_snapshot_write(struct raft_store *store, struct slice bytes)
{
    int err = store_begin_change(store);

    if (err == 0 && (store->made == NULL || store->made->is_sealed)) err = MESH_EINVAL;
    if (err != 0) return err;
    err = judge(store, writer_add(store, store->made, bytes));
    if (err != 0) store_writer_free(store, &store->made, STORE_PATH_MADE);
    return err;
}

int raft_store_snapshot_sync(struct raft_store *store)
{
    int err = store_begin_change(store);

    if (err == 0 && store->made == NULL) err = MESH_EINVAL;
    return err == 0 ? store_sync(store, store->made->file) : err;
}

int raft_store_snapshot_check(struct raft_store *store, uint64_t bytes_max, bool *ret_is_whole)
{
    char path[FS_PATH_MAX];
    int err = store_begin_change(store);

    if (err == 0 && store->made == NULL) err = MESH_EINVAL;
    if (err != 0) return err;
    err = judge(store, finish(store, store->made, store_path(store, path, STORE_PATH_MADE), bytes_max));
    if (err == 0) *ret_is_whole = store->made->check.done == store->made->head.size;
    if (err != 0) store_writer_free(store, &store->made, STORE_PATH_MADE);
    return err;
}

int raft_store_snapshot_end(struct raft_store *store)
{
    int err = store_begin_change(store);

    if (err == 0 && (store->made == NULL || store->made->head.position.index <= store->snapshot.index)) err = MESH_EINVAL;
    if (err == 0) err = judge(store, install(store, store->made, STORE_PATH_MADE));
    store_writer_free(store, &store->made, STORE_PATH_MADE);
    if (err == 0) remove_old(store);
    return err;
}

void raft_store_snapshot_abort(struct raft_store *store)
{
    store_writer_free(store, &store->made, STORE_PATH_MADE);
}

/* ---- one of another server ---- */

static int begin_or_go_on(struct raft_store *store, const struct raft_position *position, const struct raft_config *config,
                          uint64_t offset)
{
    const struct store_writer *writer = store->received;

    if (offset == 0) {
        store_writer_free(store, &store->received, STORE_PATH_RECEIVED);
        return judge(store, writer_new(store, STORE_PATH_RECEIVED, position, config, &store->received));
    }
    if (writer == NULL || writer->head.position.index != position->index || writer->head.position.term != position->term ||
        memcmp(writer->head.position.chain, position->chain, RAFT_CHAIN_SIZE) != 0 || offset > writer->head.size)
        return MESH_EAGAIN; /* another one was begun after it */
    return 0;
}

/* What has come is synced now and then, so that the last chunk, and a vote behind it, does not wait for all of it. */
static int sync_received(struct raft_store *store)
{
    struct store_writer *writer = store->received;
    int err;

    if (writer->head.size - writer->synced < SYNC_EVERY) return 0;
    err = store_sync(store, writer->file);
    if (err == 0) writer->synced = writer->head.size;
    return err;
}

int raft_store_snapshot_chunk(struct raft_store *store, const struct raft_position *position, const struct raft_config *config,
                              uint64_t offset, struct slice bytes, uint64_t total, bool is_last)
{
    uint64_t skip;
    int err = store_begin_change(store);

    if (err != 0) return err;
    if (position->index == 0) return MESH_EINVAL;
    if (position->index <= store->snapshot.index) return position->index == store->snapshot.index ? 0 : MESH_EAGAIN; /* it is there already */
    err = begin_or_go_on(store, position, config, offset);
    if (err != 0) return err;
    skip = store->received->head.size - offset; /* taken before space ran out */
    if (skip < bytes.size) err = judge(store, writer_add(store, store->received, slice_of(bytes.data + skip, bytes.size - (size_t)skip)));
    if (err == 0 && !is_last) err = sync_received(store);
    if (err != 0 || !is_last) return err;
    err = store->received->head.size == total ? judge(store, install(store, store->received, STORE_PATH_RECEIVED)) : MESH_ECORRUPT;
    if (err == MESH_EFULL) return err; /* the same may be tried again */
    store_writer_free(store, &store->received, STORE_PATH_RECEIVED);
    if (err == 0) err = adapt_log(store);
    if (err == 0) remove_old(store);
    return err;
}

/* ---- reading ---- */

static int open_newest(struct raft_store *store, struct fs_file **ret_file, struct store_snapshot_head *ret_head)
{
    char path[FS_PATH_MAX];
    int err;

    if (store->snapshot.index == 0) return MESH_ENOTFOUND;
    err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_SNAPSHOT, store->snapshot.index), FS_READ, ret_file);
    if (err != 0) return err;
    err = read_head(*ret_file, ret_head);
    if (err == 0 && ret_head->position.index != store->snapshot.index) err = MESH_ECORRUPT;
    if (err != 0) fs_unref(*ret_file);
    return err == MESH_EVERSION ? MESH_ECORRUPT : err;
}

int raft_store_snapshot_info(struct raft_store *store, struct raft_position *ret_position, struct raft_config *ret_config,
                             uint64_t *ret_size)
{
    struct store_snapshot_head head;
    struct fs_file *file;
    int err;

    err = open_newest(store, &file, &head);
    if (err != 0) return err;
    fs_unref(file);
    *ret_position = head.position;
    *ret_config = head.config;
    *ret_size = head.size;
    return 0;
}

static int read_range(struct fs_file *file, const struct store_snapshot_head *head, uint64_t offset, uint8_t *to, size_t size)
{
    uint8_t *chunk = malloc(STORE_CHUNK_HEAD + STORE_CHUNK_SIZE);
    int err = chunk == NULL ? MESH_ENOMEM : 0;

    while (err == 0 && size > 0) {
        size_t skip = (size_t)(offset % STORE_CHUNK_SIZE), got, take;
        err = read_chunk(file, head->position.index, head->size, offset / STORE_CHUNK_SIZE, chunk, &got);
        if (err != 0) break;
        take = got - skip < size ? got - skip : size;
        memcpy(to, chunk + STORE_CHUNK_HEAD + skip, take);
        to += take;
        offset += take;
        size -= take;
    }
    free(chunk);
    return err;
}

int raft_store_snapshot_read(struct raft_store *store, uint64_t index, uint64_t offset, void *to, size_t size, size_t *ret_size)
{
    struct store_snapshot_head head;
    struct fs_file *file;
    int err;

    if (index != 0 && index != store->snapshot.index) return MESH_ENOTFOUND;
    err = open_newest(store, &file, &head);
    if (err != 0) return err;
    if (offset >= head.size)
        size = 0;
    else if (head.size - offset < size)
        size = (size_t)(head.size - offset);
    err = read_range(file, &head, offset, to, size);
    fs_unref(file);
    if (err == 0) *ret_size = size;
    return err;
}
