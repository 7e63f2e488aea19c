/* Feeds bytes to the decoders of a log's leaf structures. The first byte picks one: producer snapshot, epoch
 * cache, index file. Whatever is accepted must encode to bytes that are accepted again. An index file is
 * tried as it comes and with its checksums mended, so that the fuzzer gets behind them; it is also searched
 * through a file. */
#include "base/assert.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "segment/epoch_cache.h"
#include "segment/offset_index.h"
#include "segment/producer_table.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_producers(struct slice bytes)
{
    struct producer_table table = PRODUCER_TABLE_INIT;
    struct buffer again = BUFFER_INIT;
    size_t given = bytes.size;
    const uint8_t *from = bytes.data;

    if (producer_table_decode(&table, &bytes) == 0) {
        MESH_ASSERT(producer_table_encode(&table, &again) == 0);
        MESH_ASSERT(again.size == given - bytes.size && memcmp(again.data, from, again.size) == 0);
        producer_table_truncate(&table, 1u << 20);
        producer_table_expire(&table, INT64_MAX, 1);
    }
    buffer_deinit(&again);
    producer_table_deinit(&table);
}

static void try_epochs(struct slice bytes)
{
    struct epoch_cache cache = EPOCH_CACHE_INIT;
    struct buffer again = BUFFER_INIT;
    size_t given = bytes.size;
    const uint8_t *from = bytes.data;
    int32_t epoch;

    if (epoch_cache_decode(&cache, &bytes) == 0) {
        MESH_ASSERT(epoch_cache_encode(&cache, &again) == 0);
        MESH_ASSERT(again.size == given - bytes.size && memcmp(again.data, from, again.size) == 0);
        epoch_cache_end_offset(&cache, 5, UINT64_MAX, &epoch);
        epoch_cache_truncate_start(&cache, 1000);
        epoch_cache_truncate_end(&cache, 5000);
    }
    buffer_deinit(&again);
    epoch_cache_deinit(&cache);
}

/* ---- an index file, in memory ---- */

struct memory_file {
    struct fs_file file;
    struct slice bytes;
};

static int memory_read(struct fs_file *file, void *to, size_t size, uint64_t position, size_t *ret_size)
{
    struct slice bytes = ((struct memory_file *)file)->bytes;

    *ret_size = position >= bytes.size ? 0 : bytes.size - position;
    if (*ret_size > size) *ret_size = size;
    if (*ret_size > 0) memcpy(to, bytes.data + position, *ret_size);
    return 0;
}

static int memory_size(struct fs_file *file, uint64_t *ret_size)
{
    *ret_size = ((struct memory_file *)file)->bytes.size;
    return 0;
}

static void search(struct slice bytes)
{
    static const struct fs_ops ops = {.read = memory_read, .size = memory_size};
    static struct fs fs = {.ops = &ops};
    struct memory_file memory = {.file = {.fs = &fs}, .bytes = bytes};
    uint64_t base_offset = 0;
    struct offset_index_entry entry;
    struct offset_index_range range;

    if (bytes.size >= OFFSET_INDEX_PAGE_SIZE) base_offset = le_load64(bytes.data + bytes.size - 12);
    offset_index_file_range(&memory.file, base_offset, &range);
    for (uint64_t key = 1; key != 0; key <<= 3) {
        offset_index_file_find(&memory.file, base_offset, OFFSET_INDEX_BY_OFFSET, base_offset + key, NULL, &entry);
        offset_index_file_find(&memory.file, base_offset, OFFSET_INDEX_BY_POSITION, key, NULL, &entry);
        offset_index_file_find(&memory.file, base_offset, OFFSET_INDEX_BY_TIMESTAMP, key, NULL, &entry);
    }
}

static void try_index(struct slice bytes)
{
    struct offset_index index;
    struct buffer again = BUFFER_INIT;

    search(bytes);
    if (offset_index_decode(bytes, &index) != 0) return;
    MESH_ASSERT(offset_index_encode(&index, &again) == 0);
    MESH_ASSERT(again.size == bytes.size);
    offset_index_truncate(&index, index.range.base_offset, 0);
    offset_index_deinit(&index);
    buffer_deinit(&again);
}

/* Numbers the pages and mends their checksums. */
static void mend(uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i + OFFSET_INDEX_PAGE_SIZE <= size; i += OFFSET_INDEX_PAGE_SIZE) {
        uint8_t *trailer = bytes + i + OFFSET_INDEX_PAGE_SIZE - 16;
        le_store32(trailer, (uint32_t)(i / OFFSET_INDEX_PAGE_SIZE));
        memcpy(trailer + 4, bytes + size / OFFSET_INDEX_PAGE_SIZE * OFFSET_INDEX_PAGE_SIZE - 12, 8);
        le_store32(trailer + 12, crc32c(bytes + i, OFFSET_INDEX_PAGE_SIZE - 4));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy;

    if (size == 0) return 0;
    switch (data[0] % 3) {
    case 0: try_producers(slice_of(data + 1, size - 1)); break;
    case 1: try_epochs(slice_of(data + 1, size - 1)); break;
    default:
        copy = malloc(size);
        if (copy == NULL) return 0;
        memcpy(copy, data + 1, size - 1);
        try_index(slice_of(copy, size - 1));
        mend(copy, size - 1);
        try_index(slice_of(copy, size - 1));
        free(copy);
        break;
    }
    return 0;
}
