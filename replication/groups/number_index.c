#include "replication/groups/number_index.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

void number_index_deinit(struct number_index *index)
{
    free(index->places);
    *index = (struct number_index){NULL, 0, 0};
}

/* Any size, not powers of two alone, so that it grows by a quarter at a time. The user's hashes have to be good in their upper half. */
static uint32_t home_of(const struct number_index *index, uint64_t hash)
{
    return (uint32_t)((hash >> 32) * index->size >> 32);
}

static uint32_t behind(const struct number_index *index, uint32_t at)
{
    return at + 1 == index->size ? 0 : at + 1;
}

/* How far it is from one place to another, always onwards. */
static uint32_t way(const struct number_index *index, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + index->size - from;
}

uint32_t number_index_find(const struct number_index *index, const struct number_keys *keys, const void *owner, uint64_t hash, const void *key)
{
    if (index->count == 0) return NUMBER_INDEX_NONE;
    for (uint32_t at = home_of(index, hash); index->places[at] != 0; at = behind(index, at))
        if (keys->is(owner, index->places[at] - 1, key)) return index->places[at] - 1;
    return NUMBER_INDEX_NONE;
}

static void put(struct number_index *index, uint32_t number, uint64_t hash)
{
    uint32_t at = home_of(index, hash);

    while (index->places[at] != 0)
        at = behind(index, at);
    index->places[at] = number + 1;
}

static int grow(struct number_index *index, const struct number_keys *keys, const void *owner)
{
    struct number_index old = *index;

    index->size = old.size == 0 ? 16 : old.size + old.size / 4;
    index->places = index->size <= old.size ? NULL : calloc(index->size, sizeof(*index->places));
    if (index->places == NULL) {
        *index = old;
        return MESH_ENOMEM;
    }
    for (uint32_t i = 0; i < old.size; i++)
        if (old.places[i] != 0) put(index, old.places[i] - 1, keys->hash(owner, old.places[i] - 1));
    free(old.places);
    return 0;
}

int number_index_add(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number)
{
    if ((uint64_t)(index->count + 1) * 5 > (uint64_t)index->size * 4 && grow(index, keys, owner) != 0) return MESH_ENOMEM;
    put(index, number, keys->hash(owner, number));
    index->count++;
    return 0;
}

void number_index_remove(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number)
{
    uint32_t hole = home_of(index, keys->hash(owner, number));

    while (index->places[hole] != number + 1) {
        MESH_ASSERT(index->places[hole] != 0);
        hole = behind(index, hole);
    }
    /* What lies behind moves up where its way from home would lead through the hole (Knuth, 6.4, algorithm R). */
    for (uint32_t at = behind(index, hole); index->places[at] != 0; at = behind(index, at)) {
        uint32_t home = home_of(index, keys->hash(owner, index->places[at] - 1));
        if (way(index, home, at) < way(index, hole, at)) continue;
        index->places[hole] = index->places[at];
        hole = at;
    }
    index->places[hole] = 0;
    index->count--;
}
