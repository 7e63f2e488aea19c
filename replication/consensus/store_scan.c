/* consensus/store_scan.c - see store_scan.h. */
#include "replication/consensus/store_scan.h"

#include "base/crc32c.h"
#include "base/error.h"

#include <stdlib.h>

/* A segment in memory; what its file does not have is zeros, at least up to the bodies. */
struct segment {
    uint64_t base, next;
    struct fs_file *file;
    uint8_t *bytes;
    uint64_t size; /* of the file */
    bool is_kept;  /* entries that were handed out lie in it */
    bool is_mended;
};

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static const uint8_t *slot_of(const struct segment *segment, uint64_t index)
{
    return segment->bytes + STORE_BLOCK_SIZE + (index - segment->base) * STORE_HEADER_SIZE;
}

static bool has_slot(const struct segment *segment, uint64_t index)
{
    return index >= segment->base && index < segment->next && index - segment->base < STORE_SEGMENT_SLOTS;
}

static bool decode_at(const struct store_scan *scan, const uint8_t *bytes, uint64_t index, struct store_header *ret_header)
{
    return store_header_decode(bytes, ret_header) == 0 && ret_header->index == index &&
           store_is_alive(scan->store, index, ret_header->generation);
}

static bool read_slot(const struct store_scan *scan, const struct segment *segment, uint64_t index, struct store_header *ret_header)
{
    return has_slot(segment, index) && decode_at(scan, slot_of(segment, index), index, ret_header);
}

/* ---- loading ---- */

/* A sector that cannot be read costs what is in it, not the file. */
static int read_blocks(struct store_scan *scan, struct segment *segment)
{
    for (uint64_t at = 0; at < segment->size; at += FS_BLOCK_SIZE) {
        uint64_t left = segment->size - at;
        size_t size = left < FS_BLOCK_SIZE ? (size_t)left : FS_BLOCK_SIZE, got;
        int err = segment->file->fs->ops->read(segment->file, segment->bytes + at, size, at, &got);
        if (err == MESH_ENOMEM) return err;
        if (err == 0) continue;
        memset(segment->bytes + at, 0, size);
        scan->was_unreadable = true;
    }
    return 0;
}

static int load(struct store_scan *scan, struct segment *segment)
{
    struct fs *fs = scan->store->fs;
    char path[FS_PATH_MAX];
    uint64_t size;
    size_t got = 0;
    int err = fs_open(fs, store_numbered_path(scan->store, path, STORE_PREFIX_LOG, segment->base), FS_WRITE, &segment->file);

    if (err == 0) err = fs->ops->size(segment->file, &segment->size);
    if (err != 0) return err;
    size = segment->size < STORE_BODIES_POSITION ? STORE_BODIES_POSITION : segment->size;
    if (size > PTRDIFF_MAX) return MESH_ENOMEM;
    segment->bytes = calloc(1, (size_t)size);
    if (segment->bytes == NULL) return MESH_ENOMEM;
    if (segment->size == 0) return 0;
    err = fs->ops->read(segment->file, segment->bytes, (size_t)segment->size, 0, &got);
    return err == MESH_EIO ? read_blocks(scan, segment) : err;
}

static void unload(struct segment *segment)
{
    fs_unref(segment->file);
    if (!segment->is_kept) free(segment->bytes);
}

/* The bytes stay as long as what recovery hands out. */
static int keep(struct store_scan *scan, struct segment *segment)
{
    struct store_recovered *recovered = &scan->store->recovered;
    uint8_t **files;

    if (segment->is_kept) return 0;
    files = realloc(recovered->files, (recovered->file_count + 1) * sizeof(*files));
    if (files == NULL) return MESH_ENOMEM;
    recovered->files = files;
    files[recovered->file_count++] = segment->bytes;
    segment->is_kept = true;
    return 0;
}

static int collect(struct store_scan *scan, const struct raft_entry *entry)
{
    struct store_recovered *recovered = &scan->store->recovered;

    if (recovered->raft.entry_count == recovered->entry_capacity) {
        size_t capacity = recovered->entry_capacity == 0 ? 64 : recovered->entry_capacity * 2;
        struct raft_entry *entries = realloc(recovered->entries, capacity * sizeof(*entries));
        if (entries == NULL) return MESH_ENOMEM;
        recovered->entries = entries;
        recovered->entry_capacity = capacity;
    }
    recovered->entries[recovered->raft.entry_count++] = *entry;
    return 0;
}

/* ---- entries ---- */

/* Where the record of `index` must be, from the entry before it; 0: unknown. */
static uint64_t expected_position(const struct store_scan *scan, const struct segment *segment, uint64_t index)
{
    struct store_header before;

    if (index == segment->base) return STORE_BODIES_POSITION;
    if (scan->last_base == segment->base && scan->last.index + 1 == index) return scan->last_end;
    return read_slot(scan, segment, index - 1, &before) ? before.position + STORE_HEADER_SIZE + before.size : 0;
}

static bool find_header(const struct store_scan *scan, const struct segment *segment, uint64_t index, struct store_header *ret_header)
{
    uint64_t at;

    if (read_slot(scan, segment, index, ret_header)) return true;
    at = expected_position(scan, segment, index);
    return at != 0 && at <= segment->size && segment->size - at >= STORE_HEADER_SIZE &&
           decode_at(scan, segment->bytes + at, index, ret_header) && ret_header->position == at;
}

/* The entry behind scan->last, if it is whole and continues the history. */
static bool read_entry(const struct store_scan *scan, const struct segment *segment, struct store_header *ret_header,
                       struct raft_entry *ret_entry)
{
    uint8_t chain[RAFT_CHAIN_SIZE];
    const struct store_header *header = ret_header;

    if (!find_header(scan, segment, scan->last.index + 1, ret_header)) return false;
    if (header->position > segment->size || segment->size - header->position < STORE_HEADER_SIZE + (uint64_t)header->size)
        return false;
    *ret_entry = (struct raft_entry){.index = header->index, .term = header->term, .type = header->type};
    ret_entry->body = slice_of(segment->bytes + header->position + STORE_HEADER_SIZE, header->size);
    if (crc32c(ret_entry->body.data, header->size) != header->body_crc || header->term < scan->last.term || header->term == 0)
        return false;
    memcpy(ret_entry->chain, header->chain, RAFT_CHAIN_SIZE);
    scan->store->chain(scan->last.chain, ret_entry, chain);
    return memcmp(chain, header->chain, RAFT_CHAIN_SIZE) == 0;
}

/* Both headers as they must be; the body was good. In memory and in the file, which is synced later. */
static int mend_header(struct store_scan *scan, struct segment *segment, const struct store_header *header)
{
    uint64_t places[2] = {(uint64_t)(slot_of(segment, header->index) - segment->bytes), header->position};
    uint8_t bytes[STORE_HEADER_SIZE];
    bool was_bad = false;

    store_header_encode(header, bytes);
    for (int i = 0; i < 2; i++) {
        struct iovec iov = {bytes, sizeof(bytes)};
        int err;
        if (memcmp(segment->bytes + places[i], bytes, sizeof(bytes)) == 0) continue;
        memcpy(segment->bytes + places[i], bytes, sizeof(bytes));
        err = segment->file->fs->ops->write(segment->file, &iov, 1, places[i]);
        if (err != 0) return store_poison(scan->store, err);
        segment->is_mended = true;
        was_bad = true;
    }
    scan->repaired += was_bad;
    return 0;
}

static int collect_entries(struct store_scan *scan, struct segment *segment)
{
    while (!scan->has_ended && scan->last.index + 1 < segment->next && scan->last.index + 1 - segment->base < STORE_SEGMENT_SLOTS) {
        struct store_header header;
        struct raft_entry entry;
        int err;
        if (!read_entry(scan, segment, &header, &entry)) {
            scan->has_ended = true;
            break;
        }
        err = mend_header(scan, segment, &header);
        if (err == 0) err = keep(scan, segment);
        if (err == 0) err = collect(scan, &entry);
        if (err != 0) return err;
        scan->last.index = entry.index;
        scan->last.term = entry.term;
        memcpy(scan->last.chain, entry.chain, RAFT_CHAIN_SIZE);
        scan->last_base = segment->base;
        scan->last_end = header.position + STORE_HEADER_SIZE + header.size;
        scan->last_bytes = segment->bytes;
    }
    return 0;
}

/* ---- what else is there ---- */

/* Also of what is not handed out: headers vouch for what was before them. */
static void look_at_slots(struct store_scan *scan, const struct segment *segment)
{
    for (uint64_t index = segment->base; has_slot(segment, index); index++) {
        struct store_header header;
        if (is_zero(slot_of(segment, index), STORE_HEADER_SIZE)) continue;
        if (index > scan->last.index) scan->has_leftovers = true;
        if (!read_slot(scan, segment, index, &header)) continue;
        if (header.durable > scan->vouched) scan->vouched = header.durable;
        if (index > scan->seen) scan->seen = index;
    }
}

static void count_leftovers(struct store_scan *scan, const struct segment *segment)
{
    uint64_t end = STORE_BODIES_POSITION;

    if (segment->base > scan->last.index)
        scan->has_leftovers = true;
    else if (scan->last_base == segment->base && scan->last.index + 1 < segment->next)
        end = scan->last_end;
    else
        return; /* the log goes on elsewhere: nobody looks at the rest */
    if (segment->size > end) scan->leftover_bytes += segment->size - end;
}

static bool contradicts_snapshot(const struct store_scan *scan, const struct segment *segment)
{
    const struct raft_position *snapshot = &scan->store->snapshot;
    struct store_header header;

    return snapshot->index != 0 && read_slot(scan, segment, snapshot->index, &header) &&
           (header.term != snapshot->term || memcmp(header.chain, snapshot->chain, RAFT_CHAIN_SIZE) != 0);
}

static int mend_head(struct store_scan *scan, struct segment *segment)
{
    struct store_segment_head head = {segment->base, scan->store->state.generation, scan->store->state.self};
    struct iovec iov = {segment->bytes, STORE_BLOCK_SIZE};
    int err;

    store_segment_head_encode(&head, segment->bytes);
    err = segment->file->fs->ops->write(segment->file, &iov, 1, 0);
    if (err != 0) return store_poison(scan->store, err);
    segment->is_mended = true;
    scan->repaired++;
    return 0;
}

static int scan_loaded(struct store_scan *scan, struct segment *segment)
{
    struct store_segment_head head;
    int err, bad = store_segment_head_decode(segment->bytes, &head);

    if (bad == MESH_EVERSION) return bad;
    if (bad == 0 && head.base != segment->base) bad = MESH_ECORRUPT;
    if (bad == 0 && !raft_server_equal(&head.self, &scan->store->state.self)) return MESH_EWRONG_MESH;
    if (segment->base - 1 > scan->vouched) scan->vouched = segment->base - 1; /* begun when all before it was durable */
    scan->is_contradicting = contradicts_snapshot(scan, segment);
    if (scan->is_contradicting) return 0;
    if (scan->last.index + 1 < segment->base) scan->has_ended = true; /* what should be between is missing */
    err = collect_entries(scan, segment);
    if (err != 0) return err;
    look_at_slots(scan, segment);
    count_leftovers(scan, segment);
    if (bad != 0 && scan->last_base == segment->base) err = mend_head(scan, segment);
    return err == 0 && segment->is_mended ? store_sync(scan->store, segment->file) : err;
}

int store_scan_segment(struct store_scan *scan, uint64_t base, uint64_t next)
{
    struct segment segment = {.base = base, .next = next};
    int err;

    if (scan->is_contradicting) return 0;
    err = load(scan, &segment);
    if (err == 0) err = scan_loaded(scan, &segment);
    unload(&segment);
    return err;
}

/* ---- hardening ---- */

static int write_range(struct store_scan *scan, struct fs_file *file, uint64_t from, uint64_t until)
{
    struct iovec iov = {(void *)(uintptr_t)(scan->last_bytes + from), (size_t)(until - from)};
    int err = until == from ? 0 : file->fs->ops->write(file, &iov, 1, from);

    return err == 0 ? 0 : store_poison(scan->store, err);
}

/* Where the first entry begins that nothing vouches for. */
static uint64_t first_unsure(const struct store_scan *scan, uint64_t vouched)
{
    struct store_header header;

    if (vouched < scan->last_base) return STORE_BODIES_POSITION;
    if (store_header_decode(scan->last_bytes + STORE_BLOCK_SIZE + (vouched + 1 - scan->last_base) * STORE_HEADER_SIZE, &header) != 0)
        return STORE_BODIES_POSITION;
    return header.position < scan->last_end ? header.position : STORE_BODIES_POSITION;
}

int store_scan_harden(struct store_scan *scan, uint64_t marked)
{
    struct raft_store *store = scan->store;
    uint64_t vouched = marked > scan->vouched ? marked : scan->vouched;
    struct fs_file *file;
    char path[FS_PATH_MAX];
    int err;

    if (scan->last_base == 0) return 0; /* no entry */
    err = fs_open(store->fs, store_numbered_path(store, path, STORE_PREFIX_LOG, scan->last_base), FS_WRITE, &file);
    if (err != 0) return err;
    if (scan->last.index > vouched) {
        err = write_range(scan, file, 0, STORE_BODIES_POSITION);
        if (err == 0) err = write_range(scan, file, first_unsure(scan, vouched), scan->last_end);
        if (err == 0) err = store_sync(store, file);
    }
    if (err != 0 || scan->last_base != store->segments[store->segment_count - 1]) {
        fs_unref(file);
        return err;
    }
    store->tail = file;
    store->tail_end = scan->last_end;
    return 0;
}
