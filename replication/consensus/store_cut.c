/* consensus/store_cut.c - removing entries: a suffix that a leader replaces, and segments that snapshots cover.
 *
 * A cut is an intention in the state (generation, index) before it is anything else: from then on entries of earlier
 * generations behind it are dead, whatever of them a crash leaves. Recovery completes it before the next one may begin, since
 * the state speaks of one cut only. The next append begins a new segment. */
#include "replication/consensus/store_internal.h"

#include "base/error.h"

bool store_is_alive(const struct raft_store *store, uint64_t index, uint64_t generation)
{
    return generation >= store->state.generation || index < store->state.cut_index;
}

/* Whole segments, the newest first. */
static int remove_segments_from(struct raft_store *store, uint64_t index)
{
    char path[FS_PATH_MAX];
    int err = 0;

    while (store->segment_count > 0 && store->segments[store->segment_count - 1] >= index && err == 0) {
        store_numbered_path(store, path, STORE_PREFIX_LOG, store->segments[store->segment_count - 1]);
        err = store->fs->ops->unlink(store->fs, path);
        if (err == MESH_ENOTFOUND) err = 0;
        if (err == 0) store->segment_count--;
    }
    return err;
}

/* The entry before says where the bodies go on. */
static int cut_bodies(struct raft_store *store, struct fs_file *file, uint64_t base, uint64_t index)
{
    uint8_t bytes[STORE_HEADER_SIZE];
    struct store_header before;
    size_t size = 0;
    int err = store->fs->ops->read(file, bytes, sizeof(bytes), store_slot_position(base, index - 1), &size);

    if (err != 0 || size != sizeof(bytes) || store_header_decode(bytes, &before) != 0 || before.index != index - 1) return err;
    return store->fs->ops->truncate(file, before.position + STORE_HEADER_SIZE + before.size);
}

/* The slots from index on, and the bodies, in the segment that holds it and something before it. */
static int clear_slots_from(struct raft_store *store, uint64_t index)
{
    char path[FS_PATH_MAX];
    struct fs_file *file;
    uint64_t base;
    int err;

    if (store->segment_count == 0) return 0;
    base = store->segments[store->segment_count - 1];
    if (index - base >= STORE_SEGMENT_SLOTS) return 0;
    err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, base), FS_WRITE, &file);
    if (err != 0) return err == MESH_ENOTFOUND ? 0 : err;
    err = store_write_zeros(store, file, store_slot_position(base, index), STORE_BODIES_POSITION);
    if (err == 0) err = cut_bodies(store, file, base, index);
    if (err == 0) err = store_sync(store, file);
    fs_unref(file);
    return err;
}

static int remove_from(struct raft_store *store, uint64_t index)
{
    int err = remove_segments_from(store, index);

    if (err == 0) err = clear_slots_from(store, index);
    if (err == 0) err = store_sync_directory(store);
    return err == 0 ? 0 : store_poison(store, err);
}

int store_cut(struct raft_store *store, uint64_t index)
{
    int err = 0;

    store_forget_tail(store);
    if (!STORE_DEFECT(CUT_IN_MEMORY)) {
        store->state.generation++;
        store->state.cut_index = index;
        err = store_state_write(store);
        if (err == 0) err = remove_from(store, index);
        if (err != 0) return err;
    } else {
        while (store->segment_count > 0 && store->segments[store->segment_count - 1] >= index)
            store->segment_count--;
    }
    store->last = index - 1;
    store->has_leftovers = false;
    return 0;
}

/* ---- after a crash ---- */

enum remains {
    REMAINS_NOTHING,
    REMAINS_DEAD,  /* the cut should have removed something of it */
    REMAINS_ALIVE, /* it was begun after the cut, which is complete then */
};

/* The head says it, or, when that is damaged, the headers in it. */
static int look_for_remains(struct raft_store *store, struct fs_file *file, uint64_t base, enum remains *ret_remains)
{
    uint8_t bytes[STORE_BLOCK_SIZE];
    struct store_segment_head head;
    size_t size = 0;
    int err = store->fs->ops->read(file, bytes, sizeof(bytes), 0, &size);

    if (err == 0 && size == sizeof(bytes) && store_segment_head_decode(bytes, &head) == 0 && head.base == base &&
        base >= store->state.cut_index) {
        *ret_remains = store_is_alive(store, base, head.generation) ? REMAINS_ALIVE : REMAINS_DEAD;
        return 0;
    }
    for (uint64_t index = base; index - base < STORE_SEGMENT_SLOTS; index++) {
        uint64_t at = store_slot_position(base, index) % STORE_BLOCK_SIZE;
        struct store_header header;
        if (at == 0) err = store->fs->ops->read(file, bytes, sizeof(bytes), store_slot_position(base, index), &size);
        if (err == MESH_ENOMEM) return err;
        if (index < store->state.cut_index || err != 0 || size != sizeof(bytes) ||
            store_header_decode(bytes + at, &header) != 0 || header.index != index)
            continue; /* what cannot be read is judged by the scan */
        *ret_remains = store_is_alive(store, index, header.generation) ? REMAINS_ALIVE : REMAINS_DEAD;
        return 0;
    }
    return 0;
}

/* Nothing is appended before a cut is complete: what lies behind it is dead as a whole, or alive as a whole. */
int store_finish_cut(struct raft_store *store)
{
    enum remains remains = REMAINS_NOTHING;
    int err = 0;

    for (size_t i = store->segment_count; i > 0 && err == 0 && remains == REMAINS_NOTHING; i--) {
        uint64_t base = store->segments[i - 1];
        char path[FS_PATH_MAX];
        struct fs_file *file;
        if (base + STORE_SEGMENT_SLOTS <= store->state.cut_index) break;
        err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, base), FS_READ, &file);
        if (err != 0) break;
        err = look_for_remains(store, file, base, &remains);
        fs_unref(file);
    }
    return err == 0 && remains == REMAINS_DEAD ? remove_from(store, store->state.cut_index) : err;
}

/* ---- what snapshots cover ---- */

void store_remove_old_segments(struct raft_store *store)
{
    char path[FS_PATH_MAX];
    size_t count = 0;

    /* the last segment stays, so that the names say where the log is */
    while (count + 1 < store->segment_count && store->segments[count + 1] <= store->snapshot_before + 1) {
        if (store->fs->ops->unlink(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, store->segments[count])) != 0)
            break;
        count++;
    }
    if (count == 0) return;
    store->segment_count -= count;
    memmove(store->segments, store->segments + count, store->segment_count * sizeof(*store->segments));
}
