#include "segment/file_cache.h"

void file_cache_init(struct file_cache *cache, uint32_t count_max)
{
    list_init(&cache->open);
    cache->count = 0;
    cache->count_max = count_max;
}

void file_cache_close(struct file_cache *cache, struct segment_file *segment)
{
    cache->count -= (segment->file != NULL) + (segment->direct != NULL);
    fs_unref(segment->file);
    fs_unref(segment->direct);
    segment->file = segment->direct = NULL;
    segment->walked = (struct segment_walked){0, 0, 0};
    list_remove(&segment->open_link);
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

void file_cache_install(struct file_cache *cache, struct segment_file *segment, struct fs_file *file,
                        struct fs_file *direct, uint64_t now_ms)
{
    install_one(cache, &segment->file, file);
    install_one(cache, &segment->direct, direct);
    if (segment->file == NULL && segment->direct == NULL) return;
    file_cache_touch(cache, segment, now_ms);
    while (cache->count > cache->count_max && cache->open.previous != &segment->open_link)
        file_cache_close(cache, container_of(cache->open.previous, struct segment_file, open_link));
}

void file_cache_touch(struct file_cache *cache, struct segment_file *segment, uint64_t now_ms)
{
    if (segment->file == NULL && segment->direct == NULL) return;
    segment->used_ms = now_ms;
    if (cache->open.next == &segment->open_link) return;
    list_remove(&segment->open_link);
    list_push_front(&cache->open, &segment->open_link);
}

void file_cache_close_idle(struct file_cache *cache, uint64_t used_before_ms)
{
    while (!list_is_empty(&cache->open)) {
        struct segment_file *segment = container_of(cache->open.previous, struct segment_file, open_link);
        if (segment->used_ms >= used_before_ms) return;
        file_cache_close(cache, segment);
    }
}
