#include "client/pool.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE_DOUBLINGS_MAX 6

/* ---- entries ---- */

static struct pool_entry *first_of(const struct lane *lane)
{
    return list_is_empty(&lane->entries) ? NULL : container_of(lane->entries.next, struct pool_entry, node);
}

static const void *put(uint8_t **at, const void *bytes, size_t size)
{
    uint8_t *copy = *at;

    if (bytes == NULL) return NULL;
    if (size > 0) memcpy(copy, bytes, size);
    *at += size;
    return copy;
}

static struct slice headers_of(const struct mesh_consumed *record)
{
    return record->header_count > 0 ? *(const struct slice *)record->internal : slice_of(NULL, 0);
}

static size_t size_of(const struct mesh_consumed *record)
{
    return sizeof(struct pool_entry) + record->key_size + record->value_size + headers_of(record).size;
}

static struct pool_entry *copy_record(struct lane *lane, const struct mesh_consumed *record)
{
    struct slice headers = headers_of(record);
    size_t size = size_of(record);
    struct pool_entry *entry = malloc(size);
    uint8_t *at;

    if (entry == NULL) return NULL;
    memset(entry, 0, sizeof(*entry));
    at = entry->bytes;
    entry->lane = lane;
    entry->size = size;
    entry->record = *record;
    entry->record.topic = lane->topic;
    entry->record.key = put(&at, record->key, record->key_size);
    entry->record.value = put(&at, record->value, record->value_size);
    entry->headers = slice_of(put(&at, headers.data, headers.size), headers.size);
    entry->record.internal = &entry->headers;
    atomic_init(&entry->is_wanted, true);
    list_init(&entry->node);
    return entry;
}

static void drop_entry(struct mesh_pool *pool, struct pool_entry *entry)
{
    struct lane *lane = entry->lane;

    list_remove(&entry->node);
    lane->count--;
    lane->bytes -= entry->size;
    pool->count--;
    pool->bytes -= entry->size;
    free(entry);
}

/* But the one that is being handled. */
static void drop_waiting(struct mesh_pool *pool, struct lane *lane)
{
    list_for_each_safe(node, &lane->entries)
    {
        struct pool_entry *entry = container_of(node, struct pool_entry, node);
        if (entry->begun_ms == 0) drop_entry(pool, entry);
    }
    list_remove(&lane->state_node);
}

/* ---- lanes ---- */

static void free_lane(struct lane *lane)
{
    MESH_ASSERT(lane->count == 0 && !lane->is_running);
    list_remove(&lane->state_node);
    list_remove(&lane->node);
    free(lane);
}

static void reset_lane(struct lane *lane, struct assignment *assignment, int64_t offset)
{
    lane->assignment = assignment;
    lane->finished = offset;
    lane->finished_epoch = -1;
    lane->failure = 0;
    lane->is_draining = lane->is_dirty = false;
    assignment->lane = lane;
}

/* One that was lost, and whose last handler still works. */
static struct lane *find_lost(const struct mesh_pool *pool, const struct assignment *assignment)
{
    list_for_each(node, &pool->lanes)
    {
        struct lane *lane = container_of(node, struct lane, node);
        if (lane->assignment == NULL && lane->partition == (int32_t)assignment->partition && strcmp(lane->topic, assignment->topic->name) == 0) return lane;
    }
    return NULL;
}

static struct lane *lane_of(struct mesh_pool *pool, struct assignment *assignment, int64_t offset)
{
    struct lane *lane = assignment->lane;

    if (lane != NULL) return lane;
    lane = find_lost(pool, assignment);
    if (lane == NULL) {
        lane = calloc(1, sizeof(*lane));
        if (lane == NULL) return NULL;
        list_init(&lane->state_node);
        list_init(&lane->entries);
        lane->partition = (int32_t)assignment->partition;
        memcpy(lane->topic, assignment->topic->name, strlen(assignment->topic->name) + 1);
        list_push_back(&pool->lanes, &lane->node);
    }
    reset_lane(lane, assignment, offset);
    return lane;
}

static void make_ready(struct mesh_pool *pool, struct lane *lane)
{
    if (lane->count == 0 || lane->is_running || lane->failure != 0 || !list_is_empty(&lane->state_node)) return;
    list_push_back(&pool->ready, &lane->state_node);
    pthread_cond_signal(&pool->work);
}

size_t pool_share(const struct mesh_pool *pool)
{
    return pool->memory_max / (pool->partition_count > 0 ? pool->partition_count : 1);
}

int pool_add(struct mesh_pool *pool, struct assignment *assignment, const struct mesh_consumed *record)
{
    struct lane *lane = lane_of(pool, assignment, record->offset);
    struct pool_entry *entry;

    if (lane == NULL) return MESH_ENOMEM;
    if (lane->count > 0 && lane->bytes + size_of(record) > pool_share(pool)) return MESH_EFULL;
    entry = copy_record(lane, record);
    if (entry == NULL) return MESH_ENOMEM;
    MESH_ASSERT(!lane->is_draining); /* it is paused */
    if (lane->count == 0 && record->offset > lane->finished) lane->finished = record->offset; /* what is between holds no records */
    list_push_back(&lane->entries, &entry->node);
    lane->count++;
    lane->bytes += entry->size;
    pool->count++;
    pool->bytes += entry->size;
    make_ready(pool, lane);
    return 0;
}

/* ---- handling ---- */

static struct lane *next_due(struct mesh_pool *pool, uint64_t now_ms, uint64_t *ret_due_ms)
{
    list_for_each(node, &pool->waiting)
    {
        struct lane *lane = container_of(node, struct lane, state_node);
        if (lane->due_ms <= now_ms) return lane;
        if (lane->due_ms < *ret_due_ms) *ret_due_ms = lane->due_ms;
    }
    return NULL;
}

struct pool_entry *pool_begin(struct mesh_pool *pool, uint64_t now_ms, uint64_t *ret_due_ms)
{
    struct lane *lane;
    struct pool_entry *entry;

    *ret_due_ms = TIMER_NEVER;
    if (now_ms >= pool->handle_until_ms) return NULL;
    lane = next_due(pool, now_ms, ret_due_ms);
    if (lane == NULL && !list_is_empty(&pool->ready)) lane = container_of(pool->ready.next, struct lane, state_node);
    if (lane == NULL) return NULL;
    list_remove(&lane->state_node);
    entry = first_of(lane);
    lane->is_running = true;
    pool->running++;
    entry->begun_ms = now_ms;
    entry->is_told = false;
    atomic_store(&entry->is_wanted, true);
    return entry;
}

static uint64_t pause_ms(const struct mesh_pool *pool, uint32_t attempts)
{
    uint32_t doublings = attempts - 1 < PAUSE_DOUBLINGS_MAX ? attempts - 1 : PAUSE_DOUBLINGS_MAX;

    return (uint64_t)pool->pause_ms << doublings;
}

static void did_not_work(struct mesh_pool *pool, struct lane *lane, struct pool_entry *entry, int result, uint64_t now_ms)
{
    if (lane->is_draining) { /* who gets the partition gets the record */
        drop_entry(pool, entry);
        return;
    }
    entry->attempts++;
    entry->begun_ms = 0;
    if (!mesh_error_is_retriable(result) || (pool->attempts_max > 0 && entry->attempts >= pool->attempts_max)) {
        lane->failure = result;
        lane->is_failure_told = false;
        return;
    }
    pool->retried++;
    lane->due_ms = now_ms + pause_ms(pool, entry->attempts);
    list_push_back(&pool->waiting, &lane->state_node);
    pthread_cond_signal(&pool->work); /* whoever waits, waits for an earlier time now */
}

bool pool_end(struct mesh_pool *pool, struct pool_entry *entry, int result, uint64_t now_ms)
{
    struct lane *lane = entry->lane;

    lane->is_running = false;
    pool->running--;
    if (entry->is_stale) {
        drop_entry(pool, entry);
        if (lane->assignment == NULL) {
            free_lane(lane);
            return pool->is_closing;
        }
    } else if (result == 0) {
        pool->handled++;
        lane->finished = entry->record.offset + 1;
        lane->finished_epoch = entry->record.leader_epoch;
        lane->is_dirty = true;
        drop_entry(pool, entry);
    } else {
        did_not_work(pool, lane, entry, result, now_ms);
    }
    make_ready(pool, lane);
    pool->has_news = true;
    return lane->is_draining || lane->failure != 0 || (lane->assignment->is_held && lane->bytes <= pool_share(pool) / 2) ||
           (pool->is_closing && pool->count == 0);
}

/* ---- coming and going ---- */

static void tell_handler(struct lane *lane)
{
    struct pool_entry *entry = first_of(lane);

    if (entry != NULL) atomic_store(&entry->is_wanted, false);
}

void pool_lane_drain(struct mesh_pool *pool, struct lane *lane)
{
    lane->is_draining = true;
    lane->failure = 0;
    drop_waiting(pool, lane);
    tell_handler(lane);
}

void pool_lane_go_on(struct mesh_pool *pool, struct lane *lane)
{
    lane->is_draining = false;
    lane->failure = 0;
    make_ready(pool, lane);
}

void pool_lane_lose(struct mesh_pool *pool, struct lane *lane)
{
    drop_waiting(pool, lane);
    tell_handler(lane);
    if (lane->assignment != NULL) lane->assignment->lane = NULL;
    lane->assignment = NULL;
    if (lane->is_running)
        first_of(lane)->is_stale = true;
    else
        free_lane(lane);
}
