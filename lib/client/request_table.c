#include "client/request_table.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void request_table_init(struct request_table *table)
{
    *table = (struct request_table){NULL, 0, 1, 1, 0};
}

void request_table_deinit(struct request_table *table)
{
    free(table->slots);
    request_table_init(table);
}

static struct request **slot_of(const struct request_table *table, uint32_t id)
{
    return &table->slots[id & (table->capacity - 1)];
}

static int grow(struct request_table *table)
{
    uint32_t capacity = table->capacity ? table->capacity * 2 : 64;
    struct request **slots;

    if (capacity == 0) return MESH_ENOMEM; /* 2^31 requests in flight */
    slots = calloc(capacity, sizeof(struct request *));
    if (slots == NULL) return MESH_ENOMEM;
    for (uint32_t id = table->first_id; id != table->next_id; id++)
        slots[id & (capacity - 1)] = *slot_of(table, id);
    free(table->slots);
    table->slots = slots;
    table->capacity = capacity;
    return 0;
}

static void skip_answered(struct request_table *table)
{
    while (table->first_id != table->next_id && *slot_of(table, table->first_id) == NULL)
        table->first_id++;
}

/* Makes a free slot for next_id. */
static int make_room(struct request_table *table)
{
    if (table->next_id - table->first_id < table->capacity) return 0;
    skip_answered(table);
    return table->next_id - table->first_id < table->capacity ? 0 : grow(table);
}

int request_table_add(struct request_table *table, struct request *request)
{
    if (make_room(table) != 0) return MESH_ENOMEM;
    request->correlation_id = table->next_id++;
    *slot_of(table, request->correlation_id) = request;
    table->count++;
    return 0;
}

int request_table_skip(struct request_table *table, uint32_t *ret_correlation_id)
{
    if (make_room(table) != 0) return MESH_ENOMEM;
    *ret_correlation_id = table->next_id;
    *slot_of(table, table->next_id++) = NULL;
    return 0;
}

struct request *request_table_find(const struct request_table *table, uint32_t correlation_id)
{
    struct request *request;

    if (table->capacity == 0) return NULL;
    request = *slot_of(table, correlation_id);
    return request != NULL && request->correlation_id == correlation_id ? request : NULL;
}

void request_table_replace(struct request_table *table, const struct request *request, struct request *by)
{
    struct request **slot = slot_of(table, request->correlation_id);

    MESH_ASSERT(*slot == request);
    *by = *request;
    *slot = by;
}

void request_table_remove(struct request_table *table, struct request *request)
{
    struct request **slot = slot_of(table, request->correlation_id);

    MESH_ASSERT(*slot == request);
    *slot = NULL;
    table->count--;
    skip_answered(table);
}

struct request *request_table_oldest(struct request_table *table)
{
    if (table->count == 0) return NULL;
    skip_answered(table);
    return *slot_of(table, table->first_id);
}
