/* coordinator/image_index.h - a hash index that many images share: copied a leaf at a time.
 *
 * 256 sorted leaves under an array that every image has for itself. A leaf that only one image refers to is
 * changed in place (that image is then being made and nobody else can see it); a shared one is copied first.
 * Entries hold a reference to their object, taken and dropped through the index's two functions. Equal hashes
 * stand side by side. */
#ifndef COORDINATOR_IMAGE_INDEX_H
#define COORDINATOR_IMAGE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define IMAGE_INDEX_LEAVES 256

struct image_index_leaf;

struct image_index {
    struct image_index_leaf *leaves[IMAGE_INDEX_LEAVES]; /* NULL: empty */
    size_t count;
    void (*object_ref)(const void *object);
    void (*object_unref)(const void *object);
};

void image_index_init(struct image_index *index, void (*object_ref)(const void *),
                      void (*object_unref)(const void *));
void image_index_copy(struct image_index *to, const struct image_index *from); /* shares every leaf */
void image_index_deinit(struct image_index *index);

/* Takes a reference to object. Errors: MESH_ENOMEM (unchanged). */
int image_index_insert(struct image_index *index, uint64_t hash, const void *object);
/* Puts `object` (a reference is taken) where `old` stands under hash; old must be there. Errors: MESH_ENOMEM.
 */
int image_index_replace(struct image_index *index, uint64_t hash, const void *old, const void *object);
/* Drops `old`, which must be there. Errors: MESH_ENOMEM (unchanged). */
int image_index_remove(struct image_index *index, uint64_t hash, const void *old);

/* Object number `nth` (from 0) of those under hash, or NULL beyond the last. Lock-free. */
const void *image_index_find(const struct image_index *index, uint64_t hash, size_t nth);

/* Every object, in no order; stops when each() returns non-zero and returns that. */
int image_index_each(const struct image_index *index, int (*each)(void *user, const void *object),
                     void *user);

#endif
