/* consensus/store_log.c - appending, cutting, and the segments' files.
 *
 * A segment is one file with two regions: slots of fixed size for the headers of its entries, and behind them the bodies, each
 * preceded by the same header again. So a damaged body leaves a good header that proves that the entry was there, a damaged
 * slot is repaired from its twin, and one sync covers both. */
#include "replication/consensus/store_internal.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <stdlib.h>

#define PIECE_ENTRIES 64u /* entries of one write */

static const uint8_t zeros[STORE_BLOCK_SIZE];

int store_add_segment(struct raft_store *store, uint64_t base)
{
    if (store->segment_count == store->segment_capacity) {
        size_t capacity = store->segment_capacity == 0 ? 8 : store->segment_capacity * 2;
        uint64_t *segments = realloc(store->segments, capacity * sizeof(*segments));
        if (segments == NULL) return MESH_ENOMEM;
        store->segments = segments;
        store->segment_capacity = capacity;
    }
    MESH_ASSERT(store->segment_count == 0 || store->segments[store->segment_count - 1] < base);
    store->segments[store->segment_count++] = base;
    return 0;
}

void store_forget_tail(struct raft_store *store)
{
    fs_unref(store->tail);
    store->tail = NULL;
    store->is_tail_new = false;
}

int store_write_zeros(struct raft_store *store, struct fs_file *file, uint64_t from, uint64_t until)
{
    int err = 0;

    while (from < until && err == 0) {
        size_t size = until - from < sizeof(zeros) ? (size_t)(until - from) : sizeof(zeros);
        struct iovec iov = {(void *)(uintptr_t)zeros, size};
        err = store->fs->ops->write(file, &iov, 1, from);
        from += size;
    }
    return err;
}

/* ---- a new segment ---- */

/* The head, and zeros for every slot: so slots have their space, and only bodies can meet a full disk. */
static int write_head(struct raft_store *store, uint64_t base)
{
    struct store_segment_head head = {base, store->state.generation, store->state.self};
    uint8_t bytes[STORE_BLOCK_SIZE];
    struct iovec iov = {bytes, sizeof(bytes)};
    int err = store->fs->ops->truncate(store->tail, 0); /* what an earlier try left behind */

    store_segment_head_encode(&head, bytes);
    if (err == 0) err = store->fs->ops->write(store->tail, &iov, 1, 0);
    return err != 0 ? err : store_write_zeros(store, store->tail, STORE_BLOCK_SIZE, STORE_BODIES_POSITION);
}

static int begin_segment(struct raft_store *store, uint64_t base)
{
    char path[FS_PATH_MAX];
    int err = store_add_segment(store, base);

    if (err != 0) return err;
    store_forget_tail(store);
    err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, base), FS_WRITE | FS_CREATE, &store->tail);
    if (err == 0) {
        err = write_head(store, base);
        store->tail_end = STORE_BODIES_POSITION;
        store->is_tail_new = true;
        if (err == 0) return 0;
        store_forget_tail(store);
        store->fs->ops->unlink(store->fs, path); /* gives the space back; recovery knows an empty segment */
    }
    store->segment_count--;
    return err;
}

/* How many of `count` entries the segment takes that is appended to; 0: a new one is needed. */
static size_t room(const struct raft_store *store, uint64_t index, size_t count)
{
    uint64_t base, used;

    if (store->tail == NULL) return 0;
    if (store->tail_end > store->segment_bytes_max && store->tail_end > STORE_BODIES_POSITION) return 0; /* an empty one takes any */
    base = store->segments[store->segment_count - 1];
    used = index - base;
    if (index != store->last + 1 && used != 0) return 0; /* the log goes on behind a gap that a snapshot covers */
    if (used >= STORE_SEGMENT_SLOTS) return 0;
    return count < STORE_SEGMENT_SLOTS - used ? count : (size_t)(STORE_SEGMENT_SLOTS - used);
}

/* ---- entries ---- */

struct piece {
    uint8_t headers[PIECE_ENTRIES][STORE_HEADER_SIZE];
    struct iovec iov[2 * PIECE_ENTRIES];
};

/* Bodies first: when they find no space, the slots have not been touched. */
static int write_piece(struct raft_store *store, const struct raft_entry *entries, size_t count, uint64_t *position)
{
    struct iovec slots;
    struct piece piece;
    uint64_t at = *position;
    int err;

    for (size_t i = 0; i < count; i++) {
        struct store_header header = {.index = entries[i].index,
                                      .term = entries[i].term,
                                      .generation = store->state.generation,
                                      .durable = store->last,
                                      .position = at,
                                      .type = entries[i].type,
                                      .size = (uint32_t)entries[i].body.size,
                                      .body_crc = crc32c(entries[i].body.data, entries[i].body.size)};
        memcpy(header.chain, entries[i].chain, RAFT_CHAIN_SIZE);
        store_header_encode(&header, piece.headers[i]);
        piece.iov[2 * i] = (struct iovec){piece.headers[i], STORE_HEADER_SIZE};
        piece.iov[2 * i + 1] = (struct iovec){(void *)(uintptr_t)entries[i].body.data, entries[i].body.size};
        at += STORE_HEADER_SIZE + entries[i].body.size;
    }
    err = store->fs->ops->write(store->tail, piece.iov, (int)(2 * count), *position);
    if (err != 0) return err;
    *position = at;
    slots = (struct iovec){piece.headers, count * STORE_HEADER_SIZE};
    return store->fs->ops->write(store->tail, &slots, 1,
                                 store_slot_position(store->segments[store->segment_count - 1], entries[0].index));
}

/* The disk is full: the file is as it was before the run. */
static int take_back(struct raft_store *store, uint64_t first, size_t count)
{
    uint64_t from = store_slot_position(store->segments[store->segment_count - 1], first);
    int err = store_write_zeros(store, store->tail, from, from + count * STORE_HEADER_SIZE);

    if (err == 0) err = store->fs->ops->truncate(store->tail, store->tail_end);
    return err == 0 ? MESH_EFULL : store_poison(store, MESH_EIO);
}

/* Entries that one segment takes; one sync. */
static int write_run(struct raft_store *store, const struct raft_entry *entries, size_t count)
{
    uint64_t position = store->tail_end;
    int err = 0;

    for (size_t done = 0; done < count && err == 0; done += PIECE_ENTRIES)
        err = write_piece(store, entries + done, count - done < PIECE_ENTRIES ? count - done : PIECE_ENTRIES, &position);
    if (err == MESH_EFULL) return take_back(store, entries[0].index, count);
    if (err != 0) return store_poison(store, err);
    err = store_sync(store, store->tail);
    if (err == 0 && store->is_tail_new) err = store_sync_directory(store); /* a crash can lose a name */
    if (err != 0) return err;
    store->is_tail_new = false;
    store->tail_end = position;
    store->last = entries[count - 1].index;
    return 0;
}

static int write_entries(struct raft_store *store, const struct raft_entry *entries, size_t count)
{
    uint64_t last_before = store->last;
    int err = 0;

    for (size_t done = 0, run; done < count && err == 0; done += run) {
        run = room(store, entries[done].index, count - done);
        if (run == 0) {
            err = begin_segment(store, entries[done].index);
            if (err == 0) run = room(store, entries[done].index, count - done);
        }
        if (err == 0) err = write_run(store, entries + done, run);
    }
    if (err == 0) return 0;
    if (err != MESH_EFULL && err != MESH_ENOMEM) return store_poison(store, err);
    if (store->last != last_before && store->error == 0) { /* all or nothing: earlier runs go too */
        int failed = store_cut(store, entries[0].index);
        if (failed != 0) return failed;
        store->last = last_before;
    }
    return err;
}

static bool is_in_order(const struct raft_store *store, const struct raft_entry *entries, size_t count)
{
    uint64_t first = entries[0].index;

    for (size_t i = 0; i < count; i++) {
        if (entries[i].index != first + i || entries[i].body.size > RAFT_BODY_SIZE_MAX || entries[i].term == 0) return false;
    }
    return first != 0 && (first <= store->last + 1 || first <= store->snapshot.index + 1);
}

int raft_store_append(struct raft_store *store, const struct raft_entry *entries, size_t count)
{
    int err = store_begin_change(store);

    if (err != 0 || count == 0) return err;
    if (!is_in_order(store, entries, count)) return MESH_EINVAL;
    while (count > 0 && entries[0].index <= store->snapshot.index && entries[0].index != store->last + 1) {
        entries++; /* the snapshot came while they were on their way */
        count--;
    }
    if (count == 0) return 0;
    if (entries[0].index <= store->last || store->has_leftovers) err = store_cut(store, entries[0].index);
    if (err == 0) err = write_entries(store, entries, count);
    if (err == 0) store_mark_write(store);
    return err;
}

/* ---- reading ---- */

int store_read_slot(struct raft_store *store, uint64_t index, struct store_header *ret_header)
{
    uint8_t bytes[STORE_HEADER_SIZE];
    char path[FS_PATH_MAX];
    struct fs_file *file;
    size_t at = store->segment_count, size = 0;
    int err;

    while (at > 0 && store->segments[at - 1] > index)
        at--;
    if (at == 0 || index - store->segments[at - 1] >= STORE_SEGMENT_SLOTS) return MESH_ENOTFOUND;
    err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, store->segments[at - 1]), FS_READ, &file);
    if (err != 0) return err;
    err = store->fs->ops->read(file, bytes, sizeof(bytes), store_slot_position(store->segments[at - 1], index), &size);
    fs_unref(file);
    if (err != 0) return err;
    if (size != sizeof(bytes) || store_header_decode(bytes, ret_header) != 0 || ret_header->index != index ||
        !store_is_alive(store, index, ret_header->generation))
        return MESH_ENOTFOUND;
    return 0;
}
