/* segment/file_cache.h - at most so many segment files of a store are open; the least recently used close
 * first.
 *
 * Belongs to the store's loop. Jobs and views hold references of their own, so closing here never hurts them.
 */
#ifndef SEGMENT_FILE_CACHE_H
#define SEGMENT_FILE_CACHE_H

#include "segment/segment_file.h"

struct file_cache {
    struct list_node open; /* segment_open.link, most recently used first */
    uint32_t count;        /* descriptors */
    uint32_t count_max;
};

void file_cache_init(struct file_cache *cache, uint32_t count_max);

/* Takes both references (either may be NULL) for segment, keeping what it has already, and closes others when
 * that is too many. Without memory for it they are closed: no harm but to who wants them now. */
void file_cache_install(struct file_cache *cache, struct segment_file *segment, struct fs_file *file,
                        struct fs_file *direct, uint64_t now_ms);
void file_cache_touch(struct file_cache *cache, struct segment_file *segment, uint64_t now_ms);
void file_cache_close(struct file_cache *cache, struct segment_file *segment);

/* Closes what was last used before used_before_ms. */
void file_cache_close_idle(struct file_cache *cache, uint64_t used_before_ms);

#endif
