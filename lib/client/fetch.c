#include "client/fetch.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

void fetch_spares_deinit(struct fetch_spares *spares)
{
    while (spares->count > 0)
        free(spares->blocks[--spares->count].data);
}

struct fetch *fetch_new(void)
{
    struct fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch != NULL) list_init(&fetch->node);
    return fetch;
}

void fetch_free(struct fetch *fetch)
{
    if (fetch == NULL) return;
    MESH_ASSERT(fetch->ask_count == 0);
    list_remove(&fetch->node);
    free(fetch->asks);
    free(fetch->regions);
    free(fetch->data);
    free(fetch);
}

int fetch_reserve_asks(struct fetch *fetch, size_t count)
{
    size_t capacity = fetch->ask_capacity ? fetch->ask_capacity : 8;
    struct fetch_ask *asks;
    struct fetch_region *regions;

    if (count <= fetch->ask_capacity) return 0;
    while (capacity < count)
        capacity *= 2;
    asks = realloc(fetch->asks, capacity * sizeof(*asks));
    if (asks == NULL) return MESH_ENOMEM;
    fetch->asks = asks;
    regions = realloc(fetch->regions, capacity * sizeof(*regions));
    if (regions == NULL) return MESH_ENOMEM;
    fetch->regions = regions;
    fetch->ask_capacity = capacity;
    return 0;
}

static void remove_spare(struct fetch_spares *spares, size_t index)
{
    spares->count--;
    memmove(&spares->blocks[index], &spares->blocks[index + 1],
            (spares->count - index) * sizeof(spares->blocks[0]));
}

int fetch_take_data(struct fetch *fetch, struct fetch_spares *spares, size_t size)
{
    MESH_ASSERT(fetch->data == NULL);
    for (size_t i = spares->count; i-- > 0;) {
        if (spares->blocks[i].capacity < size) continue;
        fetch->data = spares->blocks[i].data;
        fetch->capacity = spares->blocks[i].capacity;
        remove_spare(spares, i);
        return 0;
    }
    fetch->data = malloc(size > 0 ? size : 1);
    if (fetch->data == NULL) return MESH_ENOMEM;
    fetch->capacity = size;
    return 0;
}

void fetch_give_data(struct fetch *fetch, struct fetch_spares *spares, size_t capacity_max)
{
    if (fetch->capacity > capacity_max) {
        free(fetch->data);
    } else if (fetch->data != NULL) {
        if (spares->count == FETCH_SPARES_MAX) {
            free(spares->blocks[0].data);
            remove_spare(spares, 0);
        }
        spares->blocks[spares->count++] = (struct fetch_spare){fetch->data, fetch->capacity};
    }
    fetch->data = NULL;
    fetch->capacity = 0;
}

/* Whether the first `arrived` bytes of the batch at hand are what its CRC says, as far as they can tell. What arrived
 * last is still in the cache, which the whole of a large batch may not be. */
static bool is_intact(struct fetch *fetch, const struct record_batch_header *header, size_t arrived)
{
    size_t end = fetch->at + arrived;

    if (fetch->crc_end < fetch->at + RECORD_BATCH_CRC_START) {
        fetch->crc_end = fetch->at + RECORD_BATCH_CRC_START;
        fetch->crc = 0;
    }
    fetch->crc = crc32c_extend(fetch->crc, fetch->data + fetch->crc_end, end - fetch->crc_end);
    fetch->crc_end = end;
    if (arrived < header->size || fetch->crc == header->crc) return true;
    fetch->crc_end = fetch->at;
    return false;
}

enum fetch_step fetch_look(struct fetch *fetch, bool verify, struct slice *ret_batch,
                           struct record_batch_header *ret_header)
{
    const struct fetch_region *region = fetch_region_of(fetch);
    size_t left, arrived;
    int err;

    if (region == NULL) return FETCH_END;
    left = region->end - fetch->at;
    if (left == 0) return FETCH_REGION_END;
    if (left < RECORD_BATCH_HEADER_SIZE) return FETCH_DAMAGED;
    arrived = fetch->filled > fetch->at ? fetch->filled - fetch->at : 0;
    err = record_batch_parse_header(slice_of(fetch->data + fetch->at, arrived < left ? arrived : left),
                                    ret_header);
    if (err == MESH_EAGAIN) return FETCH_MORE;
    if (err != 0 || ret_header->size > left) return FETCH_DAMAGED;
    if (verify && !is_intact(fetch, ret_header, arrived < ret_header->size ? arrived : ret_header->size))
        return FETCH_DAMAGED;
    if (ret_header->size > arrived) return FETCH_MORE;
    *ret_batch = slice_of(fetch->data + fetch->at, ret_header->size);
    return FETCH_BATCH;
}

void fetch_next_region(struct fetch *fetch)
{
    MESH_ASSERT(fetch->region_at < fetch->region_count);
    fetch->at = fetch->regions[fetch->region_at++].end;
}
