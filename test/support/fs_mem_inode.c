#include "support/fs_mem_inode.h"

#include "base/assert.h"

#include <string.h>

static uint32_t slots_covering(uint64_t size)
{
    return (uint32_t)((size + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void inode_init(struct inode *inode, bool is_dir)
{
    *inode =
        (struct inode){.is_used = true, .is_dir = is_dir, .cut_size = UINT64_MAX, .dirty_low = UINT32_MAX};
}

void inode_clear(const struct inode_view *view)
{
    for (uint32_t i = 0; i < view->inode->slot_count; i++) {
        page_unref(view->pool, view->slots[i].live);
        page_unref(view->pool, view->slots[i].durable);
    }
    memset(view->slots, 0, view->inode->slot_count * sizeof(*view->slots));
    view->inode->slot_count = 0;
}

void inode_copy(const struct inode_view *from, const struct inode_view *to)
{
    *to->inode = *from->inode;
    for (uint32_t i = 0; i < from->inode->slot_count; i++) {
        to->slots[i] = from->slots[i];
        page_ref(to->pool, to->slots[i].live);
        page_ref(to->pool, to->slots[i].durable);
    }
}

/* Empties pages from `size` on in one version of the file; the page that size lies in keeps its front. */
static void zero_tail(const struct inode_view *view, uint64_t size, bool is_durable)
{
    uint32_t first = slots_covering(size);

    for (uint32_t i = first; i < view->inode->slot_count; i++) {
        uint32_t *page = is_durable ? &view->slots[i].durable : &view->slots[i].live;
        page_unref(view->pool, *page);
        *page = PAGE_ZERO;
    }
    if (size % PAGE_SIZE_BYTES != 0 && first - 1 < view->inode->slot_count) {
        struct slot *slot = &view->slots[first - 1];
        uint32_t *page = is_durable ? &slot->durable : &slot->live;
        size_t keep = size % PAGE_SIZE_BYTES;
        if (*page != PAGE_ZERO) memset(page_writable(view->pool, page) + keep, 0, PAGE_SIZE_BYTES - keep);
    }
}

/* An unsynced truncation reaches the disk. */
static void apply_cut(const struct inode_view *view)
{
    struct inode *inode = view->inode;

    if (inode->cut_size == UINT64_MAX) return;
    inode->durable_size = min_u64(inode->durable_size, inode->cut_size);
    zero_tail(view, inode->cut_size, true);
    inode->cut_size = UINT64_MAX;
}

/* A page that is written piece by piece, with a sync after each, stays in two copies until its end is reached: sharing it now
 * would cost a copy of all of it at the next write. */
static bool is_cheaper_apart(const struct inode_view *view, const struct slot *slot, uint8_t mask)
{
    bool is_apart = slot->durable != PAGE_ZERO && slot->durable != slot->live && view->pool->references[slot->durable] == 1;

    return is_apart && (mask & 1u << (SECTORS_PER_PAGE - 1)) == 0;
}

/* Brings the sectors of the mask to the disk. */
static void persist_sectors(const struct inode_view *view, struct slot *slot, uint8_t mask)
{
    uint8_t *to;

    if (mask == 0) return;
    slot->dirty &= (uint8_t)~mask;
    if (mask == SECTORS_ALL) slot->is_given_up = false;
    if (slot->dirty == 0 && !slot->is_given_up && !is_cheaper_apart(view, slot, mask)) {
        page_unref(view->pool, slot->durable);
        slot->durable = page_ref(view->pool, slot->live);
        return;
    }
    to = page_writable(view->pool, &slot->durable);
    for (unsigned i = 0; i < SECTORS_PER_PAGE; i++) {
        if (mask & 1u << i)
            memcpy(to + i * FS_MEM_SECTOR_SIZE, view->pool->bytes[slot->live] + i * FS_MEM_SECTOR_SIZE,
                   FS_MEM_SECTOR_SIZE);
    }
}

/* ---- reading and writing ---- */

size_t inode_read(const struct inode_view *view, void *to, size_t size, uint64_t position)
{
    size_t done = 0;

    if (position >= view->inode->live_size) return 0;
    size = (size_t)min_u64(size, view->inode->live_size - position);
    while (done < size) {
        uint32_t number = (uint32_t)((position + done) / PAGE_SIZE_BYTES);
        size_t from = (position + done) % PAGE_SIZE_BYTES;
        size_t part = (size_t)min_u64(size - done, PAGE_SIZE_BYTES - from);
        uint32_t page = number < view->inode->slot_count ? view->slots[number].live : PAGE_ZERO;
        if (page == PAGE_ZERO)
            memset((uint8_t *)to + done, 0, part);
        else
            memcpy((uint8_t *)to + done, view->pool->bytes[page] + from, part);
        done += part;
    }
    return size;
}

static bool take_block(const struct inode_view *view, struct slot *slot, uint64_t *blocks_left)
{
    if (slot->has_block) return true;
    if (*blocks_left == 0) return false;
    --*blocks_left;
    slot->has_block = true;
    view->inode->block_count++;
    return true;
}

static struct slot *slot_at(const struct inode_view *view, uint32_t number)
{
    MESH_ASSERT(number < SLOTS_MAX);
    if (number >= view->inode->slot_count) view->inode->slot_count = number + 1;
    return &view->slots[number];
}

static void grow_to(const struct inode_view *view, uint64_t size)
{
    if (size <= view->inode->live_size) return;
    view->inode->live_size = size;
    view->inode->size_op = view->op;
}

/* Writes bytes that lie in one page. */
static bool write_in_page(const struct inode_view *view, const uint8_t *from, size_t size, uint64_t position,
                          uint64_t *blocks_left)
{
    uint32_t number = (uint32_t)(position / PAGE_SIZE_BYTES);
    size_t at = position % PAGE_SIZE_BYTES;
    unsigned first = (unsigned)(at / FS_MEM_SECTOR_SIZE),
             last = (unsigned)((at + size - 1) / FS_MEM_SECTOR_SIZE);
    struct slot *slot = slot_at(view, number);

    if (!take_block(view, slot, blocks_left)) return false;
    memcpy(page_writable(view->pool, &slot->live) + at, from, size);
    slot->dirty |= (uint8_t)(((2u << last) - 1) & ~((1u << first) - 1));
    slot->write_op = view->op;
    if (number < view->inode->dirty_low) view->inode->dirty_low = number;
    if (number >= view->inode->dirty_high) view->inode->dirty_high = number + 1;
    grow_to(view, position + size);
    return true;
}

bool inode_write(const struct inode_view *view, const struct iovec *iov, int iov_count, uint64_t position,
                 size_t limit, uint64_t *blocks_left)
{
    for (int i = 0; i < iov_count && limit > 0; i++) {
        const uint8_t *from = iov[i].iov_base;
        size_t rest = (size_t)min_u64(iov[i].iov_len, limit);
        limit -= rest;
        while (rest > 0) {
            size_t part = (size_t)min_u64(rest, PAGE_SIZE_BYTES - position % PAGE_SIZE_BYTES);
            if (!write_in_page(view, from, part, position, blocks_left)) return false;
            from += part;
            position += part;
            rest -= part;
        }
    }
    return true;
}

bool inode_allocate(const struct inode_view *view, uint64_t position, uint64_t size, uint64_t *blocks_left)
{
    if (size == 0) return true;
    for (uint32_t i = (uint32_t)(position / PAGE_SIZE_BYTES); i < slots_covering(position + size); i++) {
        if (!take_block(view, slot_at(view, i), blocks_left)) return false;
    }
    grow_to(view, position + size);
    return true;
}

void inode_truncate(const struct inode_view *view, uint64_t size)
{
    struct inode *inode = view->inode;

    if (size >= inode->live_size) {
        grow_to(view, size);
        return;
    }
    for (uint32_t i = slots_covering(size); i < inode->slot_count; i++) {
        struct slot *slot = &view->slots[i];
        if (slot->has_block) inode->block_count--;
        slot->has_block = slot->is_given_up = false;
        slot->dirty = 0;
    }
    zero_tail(view, size, false);
    inode->live_size = size;
    inode->cut_size = min_u64(inode->cut_size, size);
    inode->cut_op = inode->size_op = view->op;
}

/* ---- making it durable ---- */

void inode_sync(const struct inode_view *view)
{
    struct inode *inode = view->inode;

    apply_cut(view);
    for (uint32_t i = inode->dirty_low; i < inode->dirty_high; i++)
        persist_sectors(view, &view->slots[i], view->slots[i].dirty);
    inode->dirty_low = UINT32_MAX;
    inode->dirty_high = 0;
    inode->durable_size = inode->live_size;
}

void inode_sync_range(const struct inode_view *view, uint64_t position, size_t size)
{
    uint64_t end = position + size;

    if (end > view->inode->cut_size) apply_cut(view);
    for (uint64_t at = position; at < end;) {
        uint32_t number = (uint32_t)(at / PAGE_SIZE_BYTES);
        uint64_t page_end = min_u64(((uint64_t)number + 1) * PAGE_SIZE_BYTES, end);
        unsigned first = (unsigned)(at % PAGE_SIZE_BYTES / FS_MEM_SECTOR_SIZE);
        unsigned last = (unsigned)((page_end - 1) % PAGE_SIZE_BYTES / FS_MEM_SECTOR_SIZE);
        if (page_end > view->inode->cut_size) apply_cut(view);
        persist_sectors(view, &view->slots[number], (uint8_t)(((2u << last) - 1) & ~((1u << first) - 1)));
        at = page_end;
    }
    view->inode->durable_size = max_u64(view->inode->durable_size, min_u64(end, view->inode->live_size));
}

static uint8_t some_sectors(struct random *random, uint8_t of)
{
    switch (random_below(random, 3)) {
    case 0: return 0;
    case 1: return of;
    default: return of & (uint8_t)random_next(random);
    }
}

static void write_back(const struct inode_view *view, uint32_t number)
{
    struct slot *slot = &view->slots[number];
    uint8_t mask = some_sectors(view->random, slot->dirty);
    uint64_t end = ((uint64_t)number + 1) * PAGE_SIZE_BYTES;

    if (mask == 0) return;
    if (end > view->inode->cut_size) apply_cut(view);
    persist_sectors(view, slot, mask);
    if (random_below(view->random, 2) == 0)
        view->inode->durable_size = max_u64(view->inode->durable_size, min_u64(end, view->inode->live_size));
}

void inode_write_back_some(const struct inode_view *view)
{
    struct inode *inode = view->inode;

    if (inode->dirty_low >= inode->dirty_high) return;
    write_back(view,
               inode->dirty_low + (uint32_t)random_below(view->random, inode->dirty_high - inode->dirty_low));
}

void inode_sync_fails(const struct inode_view *view)
{
    struct inode *inode = view->inode;

    for (uint32_t i = inode->dirty_low; i < inode->dirty_high; i++) {
        struct slot *slot = &view->slots[i];
        write_back(view, i);
        if (slot->dirty == 0) continue;
        slot->dirty = 0;
        slot->is_given_up = true;
    }
    inode->dirty_low = UINT32_MAX;
    inode->dirty_high = 0;
}

/* ---- the power cut ---- */

/* Which sectors of a page make it. The page may lie behind a truncation that does not. */
static uint8_t surviving_sectors(const struct inode_view *view, const struct slot *slot,
                                 enum fs_mem_loss loss, uint32_t last_op)
{
    switch (loss) {
    case FS_MEM_LOSE_NOTHING: return SECTORS_ALL;
    case FS_MEM_LOSE_LATEST: return slot->write_op <= last_op ? slot->dirty : 0;
    case FS_MEM_LOSE_ANY: return some_sectors(view->random, slot->dirty);
    case FS_MEM_LOSE_UNSYNCED:
    case FS_MEM_LOSE_MODES: break;
    }
    return 0;
}

static bool cut_survives(const struct inode_view *view, enum fs_mem_loss loss, uint32_t last_op)
{
    switch (loss) {
    case FS_MEM_LOSE_NOTHING: return true;
    case FS_MEM_LOSE_LATEST: return view->inode->cut_op <= last_op;
    case FS_MEM_LOSE_ANY: return random_below(view->random, 2) == 0;
    case FS_MEM_LOSE_UNSYNCED:
    case FS_MEM_LOSE_MODES: break;
    }
    return false;
}

/* The size after the crash, when no unsynced truncation stands against it. kept_end: of the pages that made
 * it. */
static uint64_t surviving_size(const struct inode_view *view, enum fs_mem_loss loss, uint32_t last_op,
                               uint64_t kept_end)
{
    uint64_t durable = view->inode->durable_size, live = view->inode->live_size;

    switch (loss) {
    case FS_MEM_LOSE_NOTHING: return live;
    case FS_MEM_LOSE_LATEST:
        return view->inode->size_op <= last_op ? live : max_u64(durable, min_u64(live, kept_end));
    case FS_MEM_LOSE_ANY:
        if (live <= durable) return durable;
        switch (random_below(view->random, 3)) {
        case 0: return durable;
        case 1: return live;
        default: return durable + random_below(view->random, live - durable + 1);
        }
    case FS_MEM_LOSE_UNSYNCED:
    case FS_MEM_LOSE_MODES: break;
    }
    return durable;
}

static void settle(const struct inode_view *view, uint64_t size)
{
    struct inode *inode = view->inode;

    inode->durable_size = inode->live_size = size;
    zero_tail(view, size, true);
    inode->block_count = 0;
    for (uint32_t i = 0; i < inode->slot_count; i++) {
        struct slot *slot = &view->slots[i];
        page_unref(view->pool, slot->live);
        slot->live = page_ref(view->pool, slot->durable);
        slot->dirty = 0;
        slot->is_given_up = false;
        slot->has_block = i < slots_covering(size);
        inode->block_count += slot->has_block;
    }
    inode->cut_size = UINT64_MAX;
    inode->cut_op = inode->size_op = 0;
    inode->dirty_low = UINT32_MAX;
    inode->dirty_high = 0;
}

void inode_crash(const struct inode_view *view, enum fs_mem_loss loss, uint32_t last_op)
{
    struct inode *inode = view->inode;
    uint64_t lost_from = UINT64_MAX; /* pages from here on stay as before a truncation that is undone */
    uint64_t kept_end = 0, size;

    if (inode->cut_size != UINT64_MAX) {
        if (cut_survives(view, loss, last_op))
            apply_cut(view);
        else
            lost_from = inode->cut_size / PAGE_SIZE_BYTES;
    }
    for (uint32_t i = 0; i < inode->slot_count && i < lost_from; i++) {
        struct slot *slot = &view->slots[i];
        uint8_t mask;
        if (slot->dirty == 0 && !slot->is_given_up) continue;
        mask = surviving_sectors(view, slot, loss, last_op);
        if (mask != 0) kept_end = ((uint64_t)i + 1) * PAGE_SIZE_BYTES;
        persist_sectors(view, slot, mask);
    }
    size = lost_from == UINT64_MAX ? surviving_size(view, loss, last_op, kept_end) : inode->durable_size;
    settle(view, size);
}

void inode_damage(const struct inode_view *view, uint64_t position, uint8_t and_mask, uint8_t xor_mask)
{
    struct slot *slot = slot_at(view, (uint32_t)(position / PAGE_SIZE_BYTES));
    size_t at = position % PAGE_SIZE_BYTES;
    bool is_shared = slot->live == slot->durable;
    uint8_t *byte;

    if (is_shared) { /* one reference, one change, two references again */
        page_unref(view->pool, slot->durable);
        slot->durable = PAGE_ZERO;
    } else {
        byte = page_writable(view->pool, &slot->durable) + at;
        *byte = (uint8_t)((*byte & and_mask) ^ xor_mask);
    }
    byte = page_writable(view->pool, &slot->live) + at;
    *byte = (uint8_t)((*byte & and_mask) ^ xor_mask);
    if (is_shared) slot->durable = page_ref(view->pool, slot->live);
}
