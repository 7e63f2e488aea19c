#include "segment/offset_index.h"

#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <stdlib.h>

/* The file is a tree. Level 0 is the entries themselves; an entry of level n+1 is a copy of the first entry
 * of one page of level n, so where a child lies follows from counting. The levels lie one after another, the
 * root page last. */
#define ENTRY_SIZE       16
#define PAGE_ENTRIES     255 /* 4,080 bytes; the trailer has the other 16 */
#define TRAILER_POSITION (PAGE_ENTRIES * ENTRY_SIZE)
#define ROOT_HEAD_SIZE   64
#define ROOT_ENTRIES     (PAGE_ENTRIES - ROOT_HEAD_SIZE / ENTRY_SIZE)
#define LEVELS_MAX       4           /* 251 * 255^3 entries: more than the batches that fit 4 GiB */
#define MAGIC            0x58444f4du /* "MODX" */
#define VERSION          1
#define CAPACITY_FIRST   4

/* ---- in memory ---- */

void offset_index_init(struct offset_index *index, uint64_t base_offset)
{
    *index = (struct offset_index){
        .range = {.base_offset = base_offset, .end_offset = base_offset, .max_timestamp_ms = INT64_MIN},
    };
}

void offset_index_deinit(struct offset_index *index)
{
    free(index->entries);
    offset_index_init(index, index->range.base_offset);
}

size_t offset_index_memory_bytes(const struct offset_index *index)
{
    return index->capacity * sizeof(*index->entries);
}

bool offset_index_fits(const struct offset_index *index, const struct record_batch_header *header,
                       uint64_t position)
{
    return position <= UINT32_MAX && (uint64_t)header->base_offset - index->range.base_offset <= UINT32_MAX;
}

static int add_entry(struct offset_index *index, const struct offset_index_entry *entry)
{
    if (index->count == index->capacity) {
        uint32_t capacity = index->capacity == 0 ? CAPACITY_FIRST : index->capacity * 2;
        struct offset_index_entry *entries = realloc(index->entries, capacity * sizeof(*entries));
        if (entries == NULL) return MESH_ENOMEM;
        index->entries = entries;
        index->capacity = capacity;
    }
    index->entries[index->count++] = *entry;
    return 0;
}

int offset_index_note(struct offset_index *index, uint64_t base_offset, uint64_t last_offset, uint32_t size,
                      int64_t max_timestamp_ms, uint32_t interval_bytes)
{
    struct offset_index_range *range = &index->range;
    int err = 0;

    MESH_ASSERT(base_offset >= range->end_offset);
    MESH_ASSERT(base_offset - range->base_offset <= UINT32_MAX && range->end_position <= UINT32_MAX);
    if (index->count == 0 ||
        range->end_position - index->entries[index->count - 1].position >= interval_bytes) {
        struct offset_index_entry entry = {
            .relative_offset = (uint32_t)(base_offset - range->base_offset),
            .position = (uint32_t)range->end_position,
            .max_timestamp_before_ms = range->max_timestamp_ms,
        };
        err = add_entry(index, &entry);
    }
    range->end_offset = last_offset + 1;
    range->end_position += size;
    if (max_timestamp_ms > range->max_timestamp_ms) range->max_timestamp_ms = max_timestamp_ms;
    return err;
}

int offset_index_append(struct offset_index *index, const struct record_batch_header *header,
                        uint32_t interval_bytes)
{
    return offset_index_note(index, (uint64_t)header->base_offset, (uint64_t)record_batch_last_offset(header),
                             header->size, header->max_timestamp_ms, interval_bytes);
}

void offset_index_truncate(struct offset_index *index, uint64_t end_offset, uint64_t end_position)
{
    struct offset_index_range *range = &index->range;

    if (end_position >= range->end_position) return;
    while (index->count > 0 && index->entries[index->count - 1].position >= end_position) {
        int64_t before_ms = index->entries[--index->count].max_timestamp_before_ms;
        if (before_ms < range->max_timestamp_ms) range->max_timestamp_ms = before_ms;
    }
    range->end_offset = end_offset;
    range->end_position = end_position;
}

/* ---- searching ---- */

struct query {
    enum offset_index_key by;
    uint32_t offset_or_position;
    int64_t timestamp_ms;
};

/* Brings the key into the terms of the entries. False when nothing can match. */
static bool make_query(struct query *query, uint64_t base_offset, enum offset_index_key by, uint64_t key)
{
    if (by == OFFSET_INDEX_BY_OFFSET && key < base_offset) return false;
    if (by == OFFSET_INDEX_BY_OFFSET) key -= base_offset;
    query->by = by;
    query->offset_or_position = key > UINT32_MAX ? UINT32_MAX : (uint32_t)key;
    query->timestamp_ms = (int64_t)key;
    return true;
}

/* True for a first stretch of the entries and false for the rest: the answer is the last one that is true. */
static bool is_candidate(const struct query *query, const struct offset_index_entry *entry)
{
    switch (query->by) {
    case OFFSET_INDEX_BY_OFFSET: return entry->relative_offset <= query->offset_or_position;
    case OFFSET_INDEX_BY_POSITION: return entry->position <= query->offset_or_position;
    case OFFSET_INDEX_BY_TIMESTAMP: break;
    }
    /* Before the first batch nothing is, so it matches any time, the smallest included. */
    return entry->max_timestamp_before_ms < query->timestamp_ms ||
           entry->max_timestamp_before_ms == INT64_MIN;
}

static struct offset_index_entry load_entry(const uint8_t *from)
{
    return (struct offset_index_entry){
        .relative_offset = le_load32(from),
        .position = le_load32(from + 4),
        .max_timestamp_before_ms = (int64_t)le_load64(from + 8),
    };
}

int offset_index_find(const struct offset_index *index, enum offset_index_key by, uint64_t key,
                      struct offset_index_entry *ret_entry)
{
    uint32_t low = 0, high = index->count; /* the first that is no candidate */
    struct query query;

    if (!make_query(&query, index->range.base_offset, by, key)) return MESH_ENOTFOUND;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_candidate(&query, &index->entries[middle]))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return MESH_ENOTFOUND;
    *ret_entry = index->entries[low - 1];
    return 0;
}

/* The same in the encoded entries of one page: the number of the last candidate, or -1. */
static int find_in_page(const struct query *query, const uint8_t *entries, unsigned count)
{
    unsigned low = 0, high = count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        struct offset_index_entry entry = load_entry(entries + middle * ENTRY_SIZE);
        if (is_candidate(query, &entry))
            low = middle + 1;
        else
            high = middle;
    }
    return (int)low - 1;
}

/* ---- the shape of a file, which follows from the number of entries ---- */

struct shape {
    unsigned root_level;
    uint32_t counts[LEVELS_MAX]; /* entries of each level */
    uint32_t
        first_pages[LEVELS_MAX]; /* page number where the level begins; the root's own is page_count - 1 */
    uint32_t page_count;
};

static uint32_t pages_for(uint32_t entry_count)
{
    return entry_count / PAGE_ENTRIES + (entry_count % PAGE_ENTRIES != 0);
}

/* False when there are too many entries for LEVELS_MAX. */
static bool make_shape(struct shape *shape, uint32_t entry_count)
{
    uint32_t page = 0;

    for (unsigned level = 0; level < LEVELS_MAX; level++) {
        shape->counts[level] = entry_count;
        shape->first_pages[level] = page;
        if (entry_count <= ROOT_ENTRIES) {
            shape->root_level = level;
            shape->page_count = page + 1;
            return true;
        }
        entry_count = pages_for(entry_count);
        page += entry_count;
    }
    return false;
}

/* How many entries a page of this level holds; `at` is its number within the level. */
static unsigned entries_in_page(const struct shape *shape, unsigned level, uint32_t at)
{
    uint32_t rest = shape->counts[level] - at * PAGE_ENTRIES;

    return rest < PAGE_ENTRIES ? rest : PAGE_ENTRIES;
}

/* ---- encoding ---- */

static uint8_t *store_entry(uint8_t *to, const struct offset_index_entry *entry)
{
    le_store32(to, entry->relative_offset);
    le_store32(to + 4, entry->position);
    le_store64(to + 8, (uint64_t)entry->max_timestamp_before_ms);
    return to + ENTRY_SIZE;
}

/* The trailer says which page this is, so that one written to the wrong place or file does not pass for
 * another. */
static void seal_page(uint8_t *page, uint64_t base_offset, uint32_t page_number)
{
    le_store32(page + TRAILER_POSITION, page_number);
    le_store64(page + TRAILER_POSITION + 4, base_offset);
    le_store32(page + TRAILER_POSITION + 12, crc32c(page, TRAILER_POSITION + 12));
}

static bool page_is_sound(const uint8_t *page, uint64_t base_offset, uint32_t page_number)
{
    return le_load32(page + TRAILER_POSITION) == page_number &&
           le_load64(page + TRAILER_POSITION + 4) == base_offset &&
           le_load32(page + TRAILER_POSITION + 12) == crc32c(page, TRAILER_POSITION + 12);
}

static void store_root_head(uint8_t *to, const struct offset_index *index)
{
    le_store32(to, MAGIC);
    le_store16(to + 4, VERSION);
    le_store32(to + 8, index->count);
    le_store64(to + 16, index->range.base_offset);
    le_store64(to + 24, index->range.end_offset);
    le_store64(to + 32, index->range.end_position);
    le_store64(to + 40, (uint64_t)index->range.max_timestamp_ms);
}

int offset_index_encode(const struct offset_index *index, struct buffer *to)
{
    struct shape shape;
    uint32_t stride = 1; /* entries of level 0 per entry of this level */
    uint8_t *page, *at;
    bool is_possible;
    int err;

    is_possible = make_shape(&shape, index->count);
    MESH_ASSERT(is_possible);
    err = buffer_reserve(to, (size_t)shape.page_count * OFFSET_INDEX_PAGE_SIZE);
    if (err != 0) return err;
    page = to->data + to->size;
    memset(page, 0, (size_t)shape.page_count * OFFSET_INDEX_PAGE_SIZE);
    to->size += (size_t)shape.page_count * OFFSET_INDEX_PAGE_SIZE;
    for (unsigned level = 0; level < shape.root_level; level++, stride *= PAGE_ENTRIES) {
        for (uint32_t i = 0; i < pages_for(shape.counts[level]); i++, page += OFFSET_INDEX_PAGE_SIZE) {
            at = page;
            for (unsigned j = 0; j < entries_in_page(&shape, level, i); j++)
                at = store_entry(at, &index->entries[((size_t)i * PAGE_ENTRIES + j) * stride]);
            seal_page(page, index->range.base_offset, shape.first_pages[level] + i);
        }
    }
    store_root_head(page, index);
    at = page + ROOT_HEAD_SIZE;
    for (uint32_t j = 0; j < shape.counts[shape.root_level]; j++)
        at = store_entry(at, &index->entries[(size_t)j * stride]);
    seal_page(page, index->range.base_offset, shape.page_count - 1);
    return 0;
}

/* ---- decoding ---- */

/* Reads and judges the head of the root page, of a file that has page_count pages. */
static int load_root(const uint8_t *page, uint64_t base_offset, uint64_t page_count, struct shape *ret_shape,
                     struct offset_index_range *ret_range)
{
    if (page_count > UINT32_MAX || !page_is_sound(page, base_offset, (uint32_t)page_count - 1))
        return MESH_ECORRUPT;
    if (le_load32(page) != MAGIC || le_load16(page + 4) != VERSION || le_load64(page + 16) != base_offset)
        return MESH_ECORRUPT;
    if (!make_shape(ret_shape, le_load32(page + 8)) || ret_shape->page_count != page_count)
        return MESH_ECORRUPT;
    ret_range->base_offset = base_offset;
    ret_range->end_offset = le_load64(page + 24);
    ret_range->end_position = le_load64(page + 32);
    ret_range->max_timestamp_ms = (int64_t)le_load64(page + 40);
    return ret_range->end_offset < base_offset ? MESH_ECORRUPT : 0;
}

/* The bytes of entry i of level 0. */
static const uint8_t *leaf_entry(const uint8_t *file, const struct shape *shape, uint32_t i)
{
    if (shape->root_level == 0) return file + ROOT_HEAD_SIZE + (size_t)i * ENTRY_SIZE;
    return file + (size_t)(i / PAGE_ENTRIES) * OFFSET_INDEX_PAGE_SIZE +
           (size_t)(i % PAGE_ENTRIES) * ENTRY_SIZE;
}

static int decode_entries(const uint8_t *file, const struct shape *shape, struct offset_index *index)
{
    for (uint32_t i = 0; i < shape->counts[0]; i++) {
        struct offset_index_entry *entry = &index->entries[i];
        *entry = load_entry(leaf_entry(file, shape, i));
        if (entry->position >= index->range.end_position ||
            entry->relative_offset >= index->range.end_offset - index->range.base_offset)
            return MESH_ECORRUPT;
        if (i > 0 &&
            (entry->relative_offset <= entry[-1].relative_offset || entry->position <= entry[-1].position ||
             entry->max_timestamp_before_ms < entry[-1].max_timestamp_before_ms))
            return MESH_ECORRUPT;
    }
    return 0;
}

int offset_index_decode(struct slice bytes, struct offset_index *ret_index)
{
    size_t page_count = bytes.size / OFFSET_INDEX_PAGE_SIZE;
    struct offset_index index = {.entries = NULL};
    uint64_t base_offset;
    struct shape shape;
    int err;

    if (page_count == 0 || bytes.size % OFFSET_INDEX_PAGE_SIZE != 0) return MESH_ECORRUPT;
    base_offset = le_load64(bytes.data + (page_count - 1) * OFFSET_INDEX_PAGE_SIZE + TRAILER_POSITION + 4);
    err = load_root(bytes.data + (page_count - 1) * OFFSET_INDEX_PAGE_SIZE, base_offset, page_count, &shape,
                    &index.range);
    if (err != 0) return err;
    for (size_t i = 0; i + 1 < page_count; i++) {
        if (!page_is_sound(bytes.data + i * OFFSET_INDEX_PAGE_SIZE, base_offset, (uint32_t)i))
            return MESH_ECORRUPT;
    }
    index.count = index.capacity = shape.counts[0];
    if (index.count > 0) {
        index.entries = malloc(index.count * sizeof(*index.entries));
        if (index.entries == NULL) return MESH_ENOMEM;
    }
    err = decode_entries(bytes.data, &shape, &index);
    if (err != 0) {
        free(index.entries);
        return err;
    }
    *ret_index = index;
    return 0;
}

/* ---- searching the file ---- */

static int read_page(struct fs_file *file, uint32_t page_number, struct fs_look *look, uint8_t *to)
{
    size_t size;
    int err = fs_read(file, to, OFFSET_INDEX_PAGE_SIZE, (uint64_t)page_number * OFFSET_INDEX_PAGE_SIZE, look, &size);

    if (err != 0) return err;
    return size == OFFSET_INDEX_PAGE_SIZE ? 0 : MESH_ECORRUPT;
}

static int read_root(struct fs_file *file, uint64_t base_offset, struct fs_look *look, uint8_t *page,
                     struct shape *ret_shape, struct offset_index_range *ret_range)
{
    uint64_t size, page_count;
    int err = file->fs->ops->size(file, &size);

    if (err != 0) return err;
    page_count = size / OFFSET_INDEX_PAGE_SIZE;
    if (page_count == 0 || page_count > UINT32_MAX || size % OFFSET_INDEX_PAGE_SIZE != 0)
        return MESH_ECORRUPT;
    err = read_page(file, (uint32_t)page_count - 1, look, page);
    return err != 0 ? err : load_root(page, base_offset, page_count, ret_shape, ret_range);
}

int offset_index_file_range(struct fs_file *file, uint64_t base_offset, struct offset_index_range *ret_range)
{
    _Alignas(OFFSET_INDEX_PAGE_SIZE) uint8_t page[OFFSET_INDEX_PAGE_SIZE];
    struct offset_index_range range;
    struct shape shape;
    int err = read_root(file, base_offset, NULL, page, &shape, &range);

    if (err == 0) *ret_range = range;
    return err;
}

int offset_index_file_find(struct fs_file *file, uint64_t base_offset, enum offset_index_key by, uint64_t key,
                           struct fs_look *look, struct offset_index_entry *ret_entry)
{
    _Alignas(OFFSET_INDEX_PAGE_SIZE) uint8_t page[OFFSET_INDEX_PAGE_SIZE];
    struct offset_index_range range;
    const uint8_t *entries = page + ROOT_HEAD_SIZE;
    struct query query;
    struct shape shape;
    uint32_t child;
    int found, err = read_root(file, base_offset, look, page, &shape, &range);

    if (err != 0) return err;
    if (!make_query(&query, base_offset, by, key)) return MESH_ENOTFOUND;
    found = find_in_page(&query, entries, shape.counts[shape.root_level]);
    if (found < 0) return MESH_ENOTFOUND;
    child = (uint32_t)found;
    for (unsigned level = shape.root_level; level-- > 0;) {
        uint32_t page_number = shape.first_pages[level] + child;
        err = read_page(file, page_number, look, page);
        if (err != 0) return err;
        entries = page;
        if (!page_is_sound(page, base_offset, page_number)) return MESH_ECORRUPT;
        found = find_in_page(&query, entries, entries_in_page(&shape, level, child));
        if (found < 0)
            return MESH_ECORRUPT; /* its first entry stands in the page above, and there it matched */
        child = child * PAGE_ENTRIES + (uint32_t)found;
    }
    *ret_entry = load_entry(entries + (size_t)found * ENTRY_SIZE);
    return 0;
}
