/* base/map.h - an intrusive hash table (chained, power-of-two buckets, grows by doubling).
 *
 * The user embeds struct map_node, supplies the hash, and compares keys itself. Owned by one thread. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets; /* owned */
    size_t bucket_count;       /* a power of two, or 0 before the first insertion */
    size_t count;
};

#define MAP_INIT {NULL, 0, 0}

void map_deinit(struct map *map); /* the nodes are the user's */

/* Adds node under hash; the user has made sure that its key is not there. Errors: MESH_ENOMEM. */
int map_insert(struct map *map, struct map_node *node, uint64_t hash);
void map_remove(struct map *map, struct map_node *node);

/* The first node with this hash, or NULL; then the next one, to compare keys of equal hashes. */
struct map_node *map_find(const struct map *map, uint64_t hash);
struct map_node *map_find_next(const struct map_node *node);

/* Every node, in no order: pass NULL first. The node may not be removed before the next call. */
struct map_node *map_iterate(const struct map *map, const struct map_node *previous);

/* 64-bit hash of bytes (FNV-1a folded by a splitmix finaliser). Not for untrusted keys that fight for one bucket. */
uint64_t map_hash_bytes(const void *data, size_t size);

#endif
