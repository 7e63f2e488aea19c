/* crypto/sender_table.c - one array of senders in locked memory, chained by index; see sender_table.h. */
#include "crypto/sender_table.h"

#include "base/assert.h"
#include "base/bytes.h"

#include <sodium.h>
#include <stdlib.h>

#define NONE        UINT32_MAX
#define COUNT_FIRST 16

struct sender_table {
    struct sender *senders; /* sodium_malloc(): they hold keys */
    uint32_t *buckets;      /* as many as senders have room; NONE: empty */
    uint32_t count, capacity, senders_max;
    uint32_t newest, oldest; /* NONE when there is none */
};

struct sender_table *sender_table_new(size_t senders_max)
{
    struct sender_table *table = calloc(1, sizeof *table);

    MESH_ASSERT(senders_max > 0 && senders_max < NONE);
    if (table == NULL) return NULL;
    table->senders_max = (uint32_t)senders_max;
    table->newest = table->oldest = NONE;
    return table;
}

void sender_table_free(struct sender_table *table)
{
    if (table == NULL) return;
    sodium_free(table->senders);
    free(table->buckets);
    free(table);
}

size_t sender_table_count(const struct sender_table *table)
{
    return table->count;
}

/* Ids are hashes already; who forges them to meet in one bucket holds the cluster key. */
static uint32_t *bucket_of(const struct sender_table *table, const struct uuid *id)
{
    return &table->buckets[(le_load64(id->bytes) ^ le_load64(id->bytes + 8)) * 0x9e3779b97f4a7c15u % table->capacity];
}

struct sender *sender_table_find(const struct sender_table *table, const struct uuid *id)
{
    if (table->capacity == 0) return NULL;
    for (uint32_t i = *bucket_of(table, id); i != NONE; i = table->senders[i].next)
        if (uuid_equal(&table->senders[i].id, id)) return &table->senders[i];
    return NULL;
}

static void enter_bucket(struct sender_table *table, uint32_t index)
{
    uint32_t *bucket = bucket_of(table, &table->senders[index].id);

    table->senders[index].next = *bucket;
    *bucket = index;
}

static void leave_bucket(struct sender_table *table, uint32_t index)
{
    uint32_t *link = bucket_of(table, &table->senders[index].id);

    while (*link != index)
        link = &table->senders[*link].next;
    *link = table->senders[index].next;
}

static void leave_order(struct sender_table *table, uint32_t index)
{
    const struct sender *sender = &table->senders[index];

    *(sender->newer == NONE ? &table->newest : &table->senders[sender->newer].older) = sender->older;
    *(sender->older == NONE ? &table->oldest : &table->senders[sender->older].newer) = sender->newer;
}

static void enter_order(struct sender_table *table, uint32_t index)
{
    table->senders[index].newer = NONE;
    table->senders[index].older = table->newest;
    *(table->newest == NONE ? &table->oldest : &table->senders[table->newest].newer) = index;
    table->newest = index;
}

static bool grow(struct sender_table *table)
{
    uint32_t capacity = table->capacity == 0 ? COUNT_FIRST : table->capacity * 2;
    struct sender *senders;
    uint32_t *buckets;

    if (capacity > table->senders_max) capacity = table->senders_max;
    senders = sodium_allocarray(capacity, sizeof *senders);
    buckets = malloc(capacity * sizeof *buckets);
    if (senders == NULL || buckets == NULL) {
        sodium_free(senders);
        free(buckets);
        return false;
    }
    if (table->count != 0) memcpy(senders, table->senders, table->count * sizeof *senders);
    memset(buckets, 0xff, capacity * sizeof *buckets);
    sodium_free(table->senders);
    free(table->buckets);
    table->senders = senders;
    table->buckets = buckets;
    table->capacity = capacity;
    for (uint32_t i = 0; i < table->count; i++)
        enter_bucket(table, i);
    return true;
}

struct sender *sender_table_add(struct sender_table *table, const struct uuid *id)
{
    uint32_t index;

    if (table->count == table->senders_max) {
        index = table->oldest;
        leave_bucket(table, index);
        leave_order(table, index);
    } else {
        if (table->count == table->capacity && !grow(table)) return NULL;
        index = table->count++;
    }
    sodium_memzero(&table->senders[index], sizeof table->senders[index]);
    table->senders[index].id = *id;
    enter_bucket(table, index);
    enter_order(table, index);
    return &table->senders[index];
}

void sender_table_touch(struct sender_table *table, struct sender *sender)
{
    uint32_t index = (uint32_t)(sender - table->senders);

    if (table->newest == index) return;
    leave_order(table, index);
    enter_order(table, index);
}
