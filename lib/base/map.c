#include "base/map.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void map_deinit(struct map *map)
{
    free(map->buckets);
    *map = (struct map)MAP_INIT;
}

static int grow(struct map *map)
{
    size_t bucket_count = map->bucket_count ? map->bucket_count * 2 : 16;
    struct map_node **buckets = calloc(bucket_count, sizeof(*buckets));

    if (buckets == NULL) return MESH_ENOMEM;
    for (size_t i = 0; i < map->bucket_count; i++) {
        struct map_node *node = map->buckets[i];
        while (node != NULL) {
            struct map_node *next = node->next;
            struct map_node **bucket = &buckets[node->hash & (bucket_count - 1)];
            node->next = *bucket;
            *bucket = node;
            node = next;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = bucket_count;
    return 0;
}

int map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    struct map_node **bucket;

    if (map->count >= map->bucket_count && grow(map) != 0) return MESH_ENOMEM;
    bucket = &map->buckets[hash & (map->bucket_count - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    map->count++;
    return 0;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **at = &map->buckets[node->hash & (map->bucket_count - 1)];

    while (*at != node) {
        MESH_ASSERT(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    map->count--;
}

static struct map_node *skip_to_hash(struct map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash)
        node = node->next;
    return node;
}

struct map_node *map_find(const struct map *map, uint64_t hash)
{
    if (map->bucket_count == 0) return NULL;
    return skip_to_hash(map->buckets[hash & (map->bucket_count - 1)], hash);
}

struct map_node *map_find_next(const struct map_node *node)
{
    return skip_to_hash(node->next, node->hash);
}

struct map_node *map_iterate(const struct map *map, const struct map_node *previous)
{
    size_t bucket = 0;

    if (previous != NULL) {
        if (previous->next != NULL) return previous->next;
        bucket = (previous->hash & (map->bucket_count - 1)) + 1;
    }
    for (; bucket < map->bucket_count; bucket++)
        if (map->buckets[bucket] != NULL) return map->buckets[bucket];
    return NULL;
}

uint64_t map_hash_bytes(const void *data, size_t size)
{
    const uint8_t *at = data;
    uint64_t hash = 0xcbf29ce484222325u;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}
