#include "client/fetch.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

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

int fetch_reserve_data(struct fetch *fetch, size_t size)
{
    uint8_t *data;

    if (size <= fetch->capacity) return 0;
    data = malloc(size); /* what the old memory holds is of no use: nothing to copy */
    if (data == NULL) return MESH_ENOMEM;
    free(fetch->data);
    fetch->data = data;
    fetch->capacity = size;
    return 0;
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
    if (ret_header->size > arrived) return FETCH_MORE;
    *ret_batch = slice_of(fetch->data + fetch->at, ret_header->size);
    if (verify && record_batch_verify(*ret_batch, ret_header) != 0) return FETCH_DAMAGED;
    return FETCH_BATCH;
}

void fetch_next_region(struct fetch *fetch)
{
    MESH_ASSERT(fetch->region_at < fetch->region_count);
    fetch->at = fetch->regions[fetch->region_at++].end;
}
