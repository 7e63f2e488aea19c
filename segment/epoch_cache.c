#include "segment/epoch_cache.h"

#include "base/bytes.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_SIZE      4  /* bytes before the first entry of a snapshot */
#define ENTRY_SIZE     12 /* of one entry */
#define CAPACITY_FIRST 4

static struct epoch_entry *entries_of(struct epoch_cache *cache)
{
    return cache->capacity == 0 ? &cache->entries.one : cache->entries.many;
}

const struct epoch_entry *epoch_cache_entries(const struct epoch_cache *cache)
{
    return cache->capacity == 0 ? &cache->entries.one : cache->entries.many;
}

size_t epoch_cache_memory_bytes(const struct epoch_cache *cache)
{
    return cache->capacity * sizeof(struct epoch_entry);
}

void epoch_cache_deinit(struct epoch_cache *cache)
{
    if (cache->capacity != 0) free(cache->entries.many);
    *cache = (struct epoch_cache)EPOCH_CACHE_INIT;
}

/* Makes room for one more entry. */
static int reserve(struct epoch_cache *cache)
{
    uint32_t capacity = cache->capacity == 0 ? CAPACITY_FIRST : cache->capacity * 2;
    struct epoch_entry *many;

    if (cache->count < (cache->capacity == 0 ? 1 : cache->capacity)) return 0;
    many = malloc(capacity * sizeof(*many));
    if (many == NULL) return MESH_ENOMEM;
    memcpy(many, epoch_cache_entries(cache), cache->count * sizeof(*many));
    if (cache->capacity != 0) free(cache->entries.many);
    cache->entries.many = many;
    cache->capacity = capacity;
    return 0;
}

/* Gives the heap memory back when one entry or none is left. */
static void shrink(struct epoch_cache *cache)
{
    struct epoch_entry *many = cache->entries.many;

    if (cache->capacity == 0 || cache->count > 1) return;
    if (cache->count == 1) cache->entries.one = many[0];
    cache->capacity = 0;
    free(many);
}

static void drop_oldest(struct epoch_cache *cache, uint32_t drop_count)
{
    struct epoch_entry *entries = entries_of(cache);

    cache->count -= drop_count;
    memmove(entries, entries + drop_count, cache->count * sizeof(*entries));
}

int epoch_cache_assign(struct epoch_cache *cache, int32_t epoch, uint64_t offset)
{
    const struct epoch_entry *last;
    int err;

    if (epoch < 0) return MESH_EINVAL;
    if (cache->count > 0) {
        last = &epoch_cache_entries(cache)[cache->count - 1];
        if (epoch < last->epoch || offset < last->start_offset) return MESH_EINVAL;
        if (epoch == last->epoch) return 0;
        if (offset == last->start_offset) { /* the last epoch has no record: its place is taken */
            entries_of(cache)[cache->count - 1].epoch = epoch;
            return 0;
        }
    }
    if (cache->count == EPOCH_CACHE_COUNT_MAX) drop_oldest(cache, 1);
    err = reserve(cache);
    if (err != 0) return err;
    entries_of(cache)[cache->count++] = (struct epoch_entry){.start_offset = offset, .epoch = epoch};
    return 0;
}

int32_t epoch_cache_last_epoch(const struct epoch_cache *cache)
{
    return cache->count == 0 ? -1 : epoch_cache_entries(cache)[cache->count - 1].epoch;
}

uint64_t epoch_cache_end_offset(const struct epoch_cache *cache, int32_t epoch, uint64_t log_end_offset,
                                int32_t *ret_epoch)
{
    const struct epoch_entry *entries = epoch_cache_entries(cache);
    uint32_t low = 0, high = cache->count; /* the first entry with a larger epoch */

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entries[middle].epoch <= epoch)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_epoch = low == 0 ? -1 : entries[low - 1].epoch;
    return low == cache->count ? log_end_offset : entries[low].start_offset;
}

/* How many entries start below offset. */
static uint32_t count_starting_below(const struct epoch_cache *cache, uint64_t offset)
{
    const struct epoch_entry *entries = epoch_cache_entries(cache);
    uint32_t low = 0, high = cache->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (entries[middle].start_offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int32_t epoch_cache_epoch_at(const struct epoch_cache *cache, uint64_t offset)
{
    uint32_t below = offset == UINT64_MAX ? cache->count : count_starting_below(cache, offset + 1);

    return below == 0 ? -1 : epoch_cache_entries(cache)[below - 1].epoch;
}

int epoch_cache_learn(struct epoch_cache *cache, int32_t epoch, uint64_t offset)
{
    uint32_t at = count_starting_below(cache, offset);
    struct epoch_entry *entries = entries_of(cache);
    int err;

    if (epoch < 0 || (at > 0 && entries[at - 1].epoch > epoch)) return MESH_EINVAL;
    if (at > 0 && entries[at - 1].epoch == epoch) return 0;
    if (at < cache->count && entries[at].epoch <= epoch) { /* it began earlier than was known */
        if (entries[at].epoch < epoch) return MESH_EINVAL;
        entries[at].start_offset = offset;
        return 0;
    }
    if (cache->count == EPOCH_CACHE_COUNT_MAX) {
        if (at == 0) return 0; /* older than what is remembered */
        drop_oldest(cache, 1);
        at--;
    }
    err = reserve(cache);
    if (err != 0) return err;
    entries = entries_of(cache);
    memmove(entries + at + 1, entries + at, (cache->count - at) * sizeof(*entries));
    entries[at] = (struct epoch_entry){.start_offset = offset, .epoch = epoch};
    cache->count++;
    return 0;
}

void epoch_cache_truncate_end(struct epoch_cache *cache, uint64_t offset)
{
    cache->count = count_starting_below(cache, offset);
    shrink(cache);
}

void epoch_cache_truncate_start(struct epoch_cache *cache, uint64_t offset)
{
    uint32_t below = count_starting_below(cache, offset);

    if (below < 2) return;
    drop_oldest(cache, below - 1);
    shrink(cache);
}

void epoch_cache_restart(struct epoch_cache *cache, uint64_t offset, int32_t epoch)
{
    epoch_cache_deinit(cache);
    if (epoch < 0 || offset == 0) return;
    cache->entries.one = (struct epoch_entry){.start_offset = offset - 1, .epoch = epoch};
    cache->count = 1;
}

/* ---- the snapshot ---- */

int epoch_cache_encode(const struct epoch_cache *cache, struct buffer *to)
{
    const struct epoch_entry *entries = epoch_cache_entries(cache);
    int err = buffer_reserve(to, HEAD_SIZE + (size_t)cache->count * ENTRY_SIZE);
    uint8_t *at;

    if (err != 0) return err;
    at = to->data + to->size;
    le_store32(at, cache->count);
    at += HEAD_SIZE;
    for (uint32_t i = 0; i < cache->count; i++, at += ENTRY_SIZE) {
        le_store64(at, entries[i].start_offset);
        le_store32(at + 8, (uint32_t)entries[i].epoch);
    }
    to->size = (size_t)(at - to->data);
    return 0;
}

int epoch_cache_decode(struct epoch_cache *cache, struct slice *bytes)
{
    struct epoch_cache decoded = EPOCH_CACHE_INIT;
    const uint8_t *from;
    uint32_t count;

    if (bytes->size < HEAD_SIZE) return MESH_ECORRUPT;
    count = le_load32(bytes->data);
    if (count > EPOCH_CACHE_COUNT_MAX || (bytes->size - HEAD_SIZE) / ENTRY_SIZE < count) return MESH_ECORRUPT;
    from = bytes->data + HEAD_SIZE;
    for (uint32_t i = 0; i < count; i++, from += ENTRY_SIZE) {
        int err = epoch_cache_assign(&decoded, (int32_t)le_load32(from + 8), le_load64(from));
        /* assign() merges equal epochs and equal starts; a snapshot never holds either. */
        if (err == 0 && decoded.count != i + 1) err = MESH_EINVAL;
        if (err != 0) {
            epoch_cache_deinit(&decoded);
            return err == MESH_EINVAL ? MESH_ECORRUPT : err;
        }
    }
    epoch_cache_deinit(cache);
    *cache = decoded;
    *bytes = slice_of(from, bytes->size - (size_t)(from - bytes->data));
    return 0;
}
