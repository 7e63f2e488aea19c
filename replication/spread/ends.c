#include "replication/spread/ends.h"

#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

struct entry {
    struct map_node node;
    struct list_node told; /* own ones, by `change`; else in no list */
    struct spread_end end;
    uint64_t heard_ms;
    uint64_t change; /* number of its latest change */
};

struct spread_ends {
    struct map map;
    struct list_node own; /* what changed longest ago first */
    uint64_t changes, told; /* told: the latest that anybody was told */
};

int spread_ends_new(struct spread_ends **ret_ends)
{
    struct spread_ends *ends = calloc(1, sizeof(*ends));

    if (ends == NULL) return MESH_ENOMEM;
    list_init(&ends->own);
    *ret_ends = ends;
    return 0;
}

void spread_ends_free(struct spread_ends *ends)
{
    struct map_node *next;

    if (ends == NULL) return;
    for (struct map_node *node = map_iterate(&ends->map, NULL); node != NULL; node = next) {
        next = map_iterate(&ends->map, node);
        free(container_of(node, struct entry, node));
    }
    map_deinit(&ends->map);
    free(ends);
}

static uint64_t hash_of(const struct uuid *topic, uint32_t partition)
{
    uint64_t hash = map_hash_bytes(topic->bytes, UUID_SIZE) ^ (partition + 1) * 0x9e3779b97f4a7c15u;

    return (hash ^ (hash >> 31)) * 0xbf58476d1ce4e5b9u;
}

static struct entry *find(const struct spread_ends *ends, const struct uuid *topic, uint32_t partition)
{
    struct map_node *node = map_find(&ends->map, hash_of(topic, partition));

    for (; node != NULL; node = map_find_next(node)) {
        struct entry *entry = container_of(node, struct entry, node);
        if (entry->end.partition == partition && uuid_equal(&entry->end.topic, topic)) return entry;
    }
    return NULL;
}

static int add(struct spread_ends *ends, const struct spread_end *end, struct entry **ret_entry)
{
    struct entry *entry;

    if (ends->map.count >= SPREAD_ENDS_MAX) return MESH_EFULL;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) return MESH_ENOMEM;
    if (map_insert(&ends->map, &entry->node, hash_of(&end->topic, end->partition)) != 0) {
        free(entry);
        return MESH_ENOMEM;
    }
    list_init(&entry->told);
    *ret_entry = entry;
    return 0;
}

static bool is_later(const struct spread_end *a, const struct spread_end *b)
{
    if (a->leader_epoch != b->leader_epoch) return a->leader_epoch > b->leader_epoch;
    if (a->high_watermark != b->high_watermark) return a->high_watermark > b->high_watermark;
    return a->log_start > b->log_start;
}

int spread_ends_merge(struct spread_ends *ends, uint64_t now_ms, const struct spread_end *end, bool is_own)
{
    struct entry *entry = find(ends, &end->topic, end->partition);
    bool is_new = entry == NULL, is_news, was_own;
    int err = is_new ? add(ends, end, &entry) : 0;

    if (err != 0) return err;
    was_own = !list_is_empty(&entry->told);
    if (!is_new && end->leader_epoch < entry->end.leader_epoch) return 0; /* who says it leads no more */
    if (was_own && !is_own && end->leader_epoch == entry->end.leader_epoch) return 0; /* this broker knows better */
    is_news = is_new || is_later(end, &entry->end);
    entry->heard_ms = now_ms;
    if (is_news) entry->end = *end;
    if (!is_news && is_own == was_own) return 0;
    if (is_own && was_own && entry->change > ends->told) return 0; /* its turn has not come, and it does not lose it */
    list_remove(&entry->told);
    if (!is_own) return 0;
    entry->change = ++ends->changes;
    list_push_back(&ends->own, &entry->told);
    return 0;
}

bool spread_ends_find(const struct spread_ends *ends, const struct uuid *topic, uint32_t partition, struct spread_end *ret_end, uint64_t *ret_heard_ms)
{
    const struct entry *entry = find(ends, topic, partition);

    if (entry == NULL) return false;
    *ret_end = entry->end;
    *ret_heard_ms = entry->heard_ms;
    return true;
}

bool spread_ends_is_behind(const struct spread_ends *ends, uint64_t position)
{
    return !list_is_empty(&ends->own) && container_of(ends->own.previous, struct entry, told)->change > position;
}

bool spread_ends_tell(struct spread_ends *ends, uint64_t *position, size_t bytes_max, struct buffer *to)
{
    const struct list_node *node = ends->own.previous;
    struct spread_ends_writer writer = spread_ends_write(to);
    size_t size = to->size;
    uint64_t at = *position;

    if (!spread_ends_is_behind(ends, at)) return false;
    while (node->previous != &ends->own && container_of(node->previous, struct entry, told)->change > at)
        node = node->previous;
    for (; node != &ends->own && to->size - size < bytes_max; node = node->next) {
        const struct entry *entry = container_of(node, struct entry, told);
        spread_ends_put(&writer, &entry->end);
        at = entry->change;
    }
    if (writer.writer.error != 0) {
        to->size = size;
        return false;
    }
    *position = at;
    if (at > ends->told) ends->told = at;
    return true;
}

void spread_ends_keep(struct spread_ends *ends, bool (*is_wanted)(void *arg, const struct uuid *topic), void *arg)
{
    struct map_node *next;

    for (struct map_node *node = map_iterate(&ends->map, NULL); node != NULL; node = next) {
        struct entry *entry = container_of(node, struct entry, node);

        next = map_iterate(&ends->map, node);
        if (is_wanted(arg, &entry->end.topic)) continue;
        list_remove(&entry->told);
        map_remove(&ends->map, node);
        free(entry);
    }
}

size_t spread_ends_count(const struct spread_ends *ends)
{
    return ends->map.count;
}

size_t spread_ends_bytes(const struct spread_ends *ends)
{
    return sizeof(*ends) + ends->map.count * sizeof(struct entry) + ends->map.bucket_count * sizeof(struct map_node *);
}
