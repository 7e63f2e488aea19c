/* coordinator/reports.c - see reports.h. */
#include "replication/coordinator/reports.h"

#include "base/error.h"
#include "base/list.h"
#include "base/map.h"

#include <stdlib.h>

struct entry {
    struct map_node node;
    struct uuid topic_id;
    uint32_t partition;
    uint64_t since_us;
    uint32_t count, capacity;
    struct replica_report list[];
};

struct reports {
    struct map map;
};

int reports_new(struct reports **ret_reports)
{
    struct reports *reports = calloc(1, sizeof(*reports));

    if (reports == NULL) return MESH_ENOMEM;
    reports->map = (struct map)MAP_INIT;
    *ret_reports = reports;
    return 0;
}

static struct entry *next_entry(const struct reports *reports, const struct entry *previous)
{
    struct map_node *node = map_iterate(&reports->map, previous == NULL ? NULL : &previous->node);

    return node == NULL ? NULL : container_of(node, struct entry, node);
}

static void drop(struct reports *reports, struct entry *entry)
{
    map_remove(&reports->map, &entry->node);
    free(entry);
}

void reports_clear(struct reports *reports)
{
    struct entry *entry;

    while ((entry = next_entry(reports, NULL)) != NULL)
        drop(reports, entry);
}

void reports_free(struct reports *reports)
{
    if (reports == NULL) return;
    reports_clear(reports);
    map_deinit(&reports->map);
    free(reports);
}

size_t reports_count(const struct reports *reports)
{
    return reports->map.count;
}

/* ---- one partition ---- */

static uint64_t hash_of(const struct uuid *topic_id, uint32_t partition)
{
    return map_hash_bytes(topic_id->bytes, UUID_SIZE) + partition * 0x9e3779b97f4a7c15u;
}

static struct entry *find(const struct reports *reports, const struct uuid *topic_id, uint32_t partition)
{
    for (struct map_node *node = map_find(&reports->map, hash_of(topic_id, partition)); node != NULL; node = map_find_next(node)) {
        struct entry *entry = container_of(node, struct entry, node);
        if (entry->partition == partition && uuid_equal(&entry->topic_id, topic_id)) return entry;
    }
    return NULL;
}

/* An entry with room for twice as many reports takes the place of `old` (may be NULL). NULL: no memory, nothing changed. */
static struct entry *grow(struct reports *reports, struct entry *old, const struct uuid *topic_id, uint32_t partition, uint64_t now_us)
{
    uint32_t capacity = old == NULL ? 4 : old->capacity * 2;
    struct entry *entry = malloc(sizeof(*entry) + capacity * sizeof(entry->list[0]));

    if (entry == NULL) return NULL;
    *entry = (struct entry){.topic_id = *topic_id, .partition = partition, .since_us = now_us, .capacity = capacity};
    if (old != NULL) {
        entry->since_us = old->since_us;
        entry->count = old->count;
        memcpy(entry->list, old->list, old->count * sizeof(entry->list[0]));
    }
    if (map_insert(&reports->map, &entry->node, hash_of(topic_id, partition)) != 0) {
        free(entry);
        return NULL;
    }
    if (old != NULL) drop(reports, old);
    return entry;
}

int reports_put(struct reports *reports, const struct uuid *topic_id, uint32_t partition, const struct replica_report *report, uint64_t now_us)
{
    struct entry *entry = find(reports, topic_id, partition);

    if (entry == NULL && reports->map.count >= REPORTS_PARTITIONS_MAX) return MESH_EFULL;
    for (uint32_t i = 0; entry != NULL && i < entry->count; i++) {
        if (entry->list[i].node_id != report->node_id) continue;
        entry->list[i] = *report;
        return 0;
    }
    if (entry != NULL && entry->count == IMAGE_REPLICAS_MAX) return MESH_EFULL;
    if (entry == NULL || entry->count == entry->capacity) entry = grow(reports, entry, topic_id, partition, now_us);
    if (entry == NULL) return MESH_ENOMEM;
    entry->list[entry->count++] = *report;
    return 0;
}

size_t reports_get(const struct reports *reports, const struct uuid *topic_id, uint32_t partition, const struct replica_report **ret_list,
                   uint64_t *ret_since_us)
{
    const struct entry *entry = find(reports, topic_id, partition);

    if (entry == NULL) return 0;
    *ret_list = entry->list;
    *ret_since_us = entry->since_us;
    return entry->count;
}

/* ---- all ---- */

int reports_each(const struct reports *reports, reports_fn *each, void *user)
{
    int result = 0;

    for (const struct entry *entry = next_entry(reports, NULL); entry != NULL && result == 0; entry = next_entry(reports, entry)) {
        struct reports_place place = {entry->topic_id, entry->partition, entry->since_us, entry->list, entry->count};
        result = each(user, &place);
    }
    return result;
}

static bool is_settled(const struct image *image, const struct entry *entry)
{
    const struct image_topic *topic = image_find_topic(image, &entry->topic_id);
    struct image_partition partition;

    return topic == NULL || !image_topic_partition(topic, entry->partition, &partition) || partition.leader != IMAGE_NO_LEADER;
}

void reports_prune(struct reports *reports, const struct image *image)
{
    struct entry *entry = next_entry(reports, NULL), *next;

    for (; entry != NULL; entry = next) {
        next = next_entry(reports, entry);
        if (is_settled(image, entry)) drop(reports, entry);
    }
}
