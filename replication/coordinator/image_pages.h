/* coordinator/image_pages.h - a topic's partitions, in shared pages of 64.
 *
 * 24 bytes for a partition plus 12 for each replica, 8 more while it moves or once it lost records. A page that only one owner refers to is changed in place,
 * a shared one is copied first; so is the array of pages. Made on the control loop; read on any thread. */
#ifndef COORDINATOR_IMAGE_PAGES_H
#define COORDINATOR_IMAGE_PAGES_H

#include "replication/coordinator/record_body.h"

struct image_pages;

struct image_pages *image_pages_ref(const struct image_pages *pages);
void image_pages_unref(const struct image_pages *pages); /* accepts NULL */

/* A new array: the first `count` partitions of `from` (may be NULL when count is 0), shared, with room for
 * `partition_count` >= count; the caller then sets the others in order. Errors: MESH_ENOMEM. */
int image_pages_extend(const struct image_pages *from, uint32_t count, uint32_t partition_count,
                       struct image_pages **ret_pages);

/* Writes one partition of an array that image_pages_extend() made and nobody else has seen; state->partition
 * is at most the number set so far. Errors: MESH_ENOMEM (unchanged). */
int image_pages_set(struct image_pages *pages, const struct body_partition *state);

/* The partition, whose number is below the count. */
void image_pages_get(const struct image_pages *pages, uint32_t partition,
                     struct image_partition *ret_partition);

/* The same as one value, for changing and encoding. */
void image_pages_load(const struct image_pages *pages, uint32_t partition, struct body_partition *ret_state);

#endif
