#include "replication/groups/number_index.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdlib.h>

#define PART_BITS 6

_Static_assert(1u << PART_BITS == NUMBER_INDEX_PARTS, "a part for each of its bits");

static void free_parts(struct number_part *parts)
{
    for (uint32_t i = 0; parts != NULL && i < NUMBER_INDEX_PARTS; i++)
        free(parts[i].places);
    free(parts);
}

void number_index_deinit(struct number_index *index)
{
    free_parts(index->parts);
    free(index->whole.places);
    *index = (struct number_index){.parts = NULL};
}

static struct number_part *part_of(struct number_part *parts, uint64_t hash)
{
    return &parts[hash >> (64 - PART_BITS)];
}

static const struct number_part *look_in(const struct number_index *index, uint64_t hash)
{
    return index->parts == NULL ? &index->whole : part_of(index->parts, hash);
}

/* Any size, not powers of two alone, so that it grows by a quarter at a time. The user's hashes have to be good in their upper half, of which the highest bits are
 * the part's. */
static uint32_t home_of(const struct number_part *part, uint64_t hash)
{
    return (uint32_t)((hash << PART_BITS >> 32) * part->size >> 32);
}

static uint32_t behind(const struct number_part *part, uint32_t at)
{
    return at + 1 == part->size ? 0 : at + 1;
}

/* How far it is from one place to another, always onwards. */
static uint32_t way(const struct number_part *part, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + part->size - from;
}

uint32_t number_index_find(const struct number_index *index, const struct number_keys *keys, const void *owner, uint64_t hash, const void *key)
{
    const struct number_part *part = look_in(index, hash);

    if (part->count == 0) return NUMBER_INDEX_NONE;
    for (uint32_t at = home_of(part, hash); part->places[at] != 0; at = behind(part, at))
        if (keys->is(owner, part->places[at] - 1, key)) return part->places[at] - 1;
    return NUMBER_INDEX_NONE;
}

static void put(struct number_part *part, uint32_t number, uint64_t hash)
{
    uint32_t at = home_of(part, hash);

    while (part->places[at] != 0)
        at = behind(part, at);
    part->places[at] = number + 1;
}

static int grow(struct number_part *part, const struct number_keys *keys, const void *owner)
{
    struct number_part old = *part;

    part->size = old.size == 0 ? 16 : old.size + old.size / 4;
    part->places = part->size <= old.size ? NULL : calloc(part->size, sizeof(*part->places));
    if (part->places == NULL) {
        *part = old;
        return MESH_ENOMEM;
    }
    for (uint32_t i = 0; i < old.size; i++)
        if (old.places[i] != 0) put(part, old.places[i] - 1, keys->hash(owner, old.places[i] - 1));
    free(old.places);
    return 0;
}

static int add_to(struct number_part *part, const struct number_keys *keys, const void *owner, uint32_t number, uint64_t hash)
{
    if ((uint64_t)(part->count + 1) * 5 > (uint64_t)part->size * 4 && grow(part, keys, owner) != 0) return MESH_ENOMEM;
    put(part, number, hash);
    part->count++;
    return 0;
}

/* Once, and for good: who has become so large is likely to be so again. */
static int divide(struct number_index *index, const struct number_keys *keys, const void *owner)
{
    struct number_part *parts = calloc(NUMBER_INDEX_PARTS, sizeof(*parts));

    for (uint32_t i = 0; parts != NULL && i < index->whole.size; i++) {
        uint32_t number = index->whole.places[i] - 1;
        uint64_t hash;

        if (index->whole.places[i] == 0) continue;
        hash = keys->hash(owner, number);
        if (add_to(part_of(parts, hash), keys, owner, number, hash) == 0) continue;
        free_parts(parts);
        parts = NULL;
    }
    if (parts == NULL) return MESH_ENOMEM;
    free(index->whole.places);
    index->whole = (struct number_part){NULL, 0, 0};
    index->parts = parts;
    return 0;
}

int number_index_add(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number)
{
    uint64_t hash = keys->hash(owner, number);

    if (index->parts == NULL && index->count == NUMBER_INDEX_WHOLE && divide(index, keys, owner) != 0) return MESH_ENOMEM;
    if (add_to(index->parts == NULL ? &index->whole : part_of(index->parts, hash), keys, owner, number, hash) != 0) return MESH_ENOMEM;
    index->count++;
    return 0;
}

void number_index_remove(struct number_index *index, const struct number_keys *keys, const void *owner, uint32_t number)
{
    uint64_t hash = keys->hash(owner, number);
    struct number_part *part = index->parts == NULL ? &index->whole : part_of(index->parts, hash);
    uint32_t hole = home_of(part, hash);

    while (part->places[hole] != number + 1) {
        MESH_ASSERT(part->places[hole] != 0);
        hole = behind(part, hole);
    }
    /* What lies behind moves up where its way from home would lead through the hole (Knuth, 6.4, algorithm R). */
    for (uint32_t at = behind(part, hole); part->places[at] != 0; at = behind(part, at)) {
        uint32_t home = home_of(part, keys->hash(owner, part->places[at] - 1));
        if (way(part, home, at) < way(part, hole, at)) continue;
        part->places[hole] = part->places[at];
        hole = at;
    }
    part->places[hole] = 0;
    part->count--;
    index->count--;
}

size_t number_index_bytes(const struct number_index *index)
{
    size_t places = index->whole.size;

    for (uint32_t i = 0; index->parts != NULL && i < NUMBER_INDEX_PARTS; i++)
        places += index->parts[i].size;
    return places * sizeof(uint32_t) + (index->parts == NULL ? 0 : NUMBER_INDEX_PARTS * sizeof(struct number_part));
}
