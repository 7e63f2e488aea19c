/* coordinator/image_index.c - see image_index.h. */
#include "replication/coordinator/image_index.h"

#include "base/assert.h"
#include "base/error.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint64_t hash;
    const void *object;
};

struct image_index_leaf {
    atomic_uint references;
    uint32_t count, capacity;
    struct entry entries[]; /* ordered by hash */
};

void image_index_init(struct image_index *index, void (*object_ref)(const void *),
                      void (*object_unref)(const void *))
{
    memset(index, 0, sizeof(*index));
    index->object_ref = object_ref;
    index->object_unref = object_unref;
}

void image_index_copy(struct image_index *to, const struct image_index *from)
{
    *to = *from;
    for (size_t i = 0; i < IMAGE_INDEX_LEAVES; i++) {
        if (to->leaves[i] != NULL)
            atomic_fetch_add_explicit(&to->leaves[i]->references, 1, memory_order_relaxed);
    }
}

static void leaf_unref(const struct image_index *index, struct image_index_leaf *leaf)
{
    if (leaf == NULL || atomic_fetch_sub_explicit(&leaf->references, 1, memory_order_acq_rel) != 1) return;
    for (uint32_t i = 0; i < leaf->count; i++)
        index->object_unref(leaf->entries[i].object);
    free(leaf);
}

void image_index_deinit(struct image_index *index)
{
    for (size_t i = 0; i < IMAGE_INDEX_LEAVES; i++) {
        leaf_unref(index, index->leaves[i]);
        index->leaves[i] = NULL;
    }
}

/* The top bits choose the leaf, so that the rest still spreads inside it. */
static size_t leaf_of(uint64_t hash)
{
    return (size_t)(hash >> 56);
}

/* The first entry whose hash is not below `hash`. */
static uint32_t lower_bound(const struct image_index_leaf *leaf, uint64_t hash)
{
    uint32_t low = 0, high = leaf == NULL ? 0 : leaf->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (leaf->entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Makes the leaf of hash this index's own, with room for `extra` more entries. */
static int leaf_make_own(struct image_index *index, uint64_t hash, uint32_t extra,
                         struct image_index_leaf **ret_leaf)
{
    struct image_index_leaf **slot = &index->leaves[leaf_of(hash)], *old = *slot, *leaf;
    uint32_t count = old == NULL ? 0 : old->count, capacity;
    bool is_own = old != NULL && atomic_load_explicit(&old->references, memory_order_acquire) == 1;

    *ret_leaf = old;
    if (is_own && old->count + extra <= old->capacity) return 0;
    capacity = extra == 0 ? count : count + extra + count / 4;
    leaf = malloc(sizeof(*leaf) + capacity * sizeof(leaf->entries[0]));
    if (leaf == NULL) return MESH_ENOMEM;
    atomic_init(&leaf->references, 1);
    leaf->count = count;
    leaf->capacity = capacity;
    if (count != 0) memcpy(leaf->entries, old->entries, count * sizeof(leaf->entries[0]));
    if (is_own) {
        free(old); /* its references to objects moved */
    } else {
        for (uint32_t i = 0; i < count; i++)
            index->object_ref(leaf->entries[i].object);
        leaf_unref(index, old);
    }
    *ret_leaf = *slot = leaf;
    return 0;
}

int image_index_insert(struct image_index *index, uint64_t hash, const void *object)
{
    struct image_index_leaf *leaf;
    int err = leaf_make_own(index, hash, 1, &leaf);
    uint32_t at;

    if (err != 0) return err;
    at = lower_bound(leaf, hash);
    memmove(&leaf->entries[at + 1], &leaf->entries[at], (leaf->count - at) * sizeof(leaf->entries[0]));
    leaf->entries[at] = (struct entry){hash, object};
    leaf->count++;
    index->count++;
    index->object_ref(object);
    return 0;
}

static uint32_t position_of(const struct image_index_leaf *leaf, uint64_t hash, const void *object)
{
    uint32_t at = lower_bound(leaf, hash);

    while (at < leaf->count && leaf->entries[at].hash == hash && leaf->entries[at].object != object)
        at++;
    MESH_ASSERT(at < leaf->count && leaf->entries[at].object == object);
    return at;
}

int image_index_replace(struct image_index *index, uint64_t hash, const void *old, const void *object)
{
    struct image_index_leaf *leaf;
    int err = leaf_make_own(index, hash, 0, &leaf);

    if (err != 0) return err;
    leaf->entries[position_of(leaf, hash, old)].object = object;
    index->object_ref(object);
    index->object_unref(old);
    return 0;
}

int image_index_remove(struct image_index *index, uint64_t hash, const void *old)
{
    struct image_index_leaf *leaf;
    int err = leaf_make_own(index, hash, 0, &leaf);
    uint32_t at;

    if (err != 0) return err;
    at = position_of(leaf, hash, old);
    memmove(&leaf->entries[at], &leaf->entries[at + 1], (leaf->count - at - 1) * sizeof(leaf->entries[0]));
    leaf->count--;
    index->count--;
    index->object_unref(old);
    return 0;
}

const void *image_index_find(const struct image_index *index, uint64_t hash, size_t nth)
{
    const struct image_index_leaf *leaf = index->leaves[leaf_of(hash)];
    size_t at = lower_bound(leaf, hash) + nth;

    return leaf != NULL && at < leaf->count && leaf->entries[at].hash == hash ? leaf->entries[at].object
                                                                              : NULL;
}

int image_index_each(const struct image_index *index, int (*each)(void *user, const void *object), void *user)
{
    for (size_t i = 0; i < IMAGE_INDEX_LEAVES; i++) {
        const struct image_index_leaf *leaf = index->leaves[i];
        for (uint32_t j = 0; leaf != NULL && j < leaf->count; j++) {
            int err = each(user, leaf->entries[j].object);
            if (err != 0) return err;
        }
    }
    return 0;
}
