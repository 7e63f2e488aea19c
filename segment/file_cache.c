#include "segment/file_cache.h"

#include <stdlib.h>

void file_cache_init(struct file_cache *cache, uint32_t count_max)
{
    list_init(&cache->open);
    cache->count = 0;
    cache->count_max = count_max;
}

void file_cache_close(struct file_cache *cache, struct segment_file *segment)
{
    struct segment_open *opened = segment->opened;

    if (opened == NULL) return;
    segment->opened = NULL;
    cache->count -= (opened->file != NULL) + (opened->direct != NULL);
    fs_unref(opened->file);
    fs_unref(opened->direct);
    list_remove(&opened->link);
    free(opened);
}

static void install_one(struct file_cache *cache, struct fs_file **slot, struct fs_file *file)
{
    if (file == NULL) return;
    if (*slot != NULL) {
        fs_unref(file);
        return;
    }
    *slot = file;
    cache->count++;
}

static struct segment_file *least_recent(const struct file_cache *cache)
{
    return container_of(cache->open.previous, struct segment_open, link)->segment;
}

void file_cache_install(struct file_cache *cache, struct segment_file *segment, struct fs_file *file,
                        struct fs_file *direct, uint64_t now_ms)
{
    if (file == NULL && direct == NULL) return;
    if (segment->opened == NULL) {
        struct segment_open *opened = calloc(1, sizeof(*opened));

        if (opened == NULL) {
            fs_unref(file);
            fs_unref(direct);
            return;
        }
        opened->segment = segment;
        list_init(&opened->link);
        segment->opened = opened;
    }
    install_one(cache, &segment->opened->file, file);
    install_one(cache, &segment->opened->direct, direct);
    file_cache_touch(cache, segment, now_ms);
    while (cache->count > cache->count_max && least_recent(cache) != segment)
        file_cache_close(cache, least_recent(cache));
}

void file_cache_touch(struct file_cache *cache, struct segment_file *segment, uint64_t now_ms)
{
    struct segment_open *opened = segment->opened;

    if (opened == NULL) return;
    opened->used_ms = now_ms;
    if (cache->open.next == &opened->link) return;
    list_remove(&opened->link);
    list_push_front(&cache->open, &opened->link);
}

void file_cache_close_idle(struct file_cache *cache, uint64_t used_before_ms)
{
    while (!list_is_empty(&cache->open) && least_recent(cache)->opened->used_ms < used_before_ms)
        file_cache_close(cache, least_recent(cache));
}
