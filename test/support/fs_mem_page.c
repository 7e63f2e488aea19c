#include "support/fs_mem_page.h"

#include "base/assert.h"

#include <string.h>
#include <sys/mman.h>

void *page_map(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    MESH_ASSERT(memory != MAP_FAILED);
    return memory;
}

struct page_pool *page_pool_new(void)
{
    struct page_pool *pool = page_map(sizeof(*pool));
    pthread_mutexattr_t attributes;

    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&pool->lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
    pool->users = 1;
    pool->top = PAGE_ZERO + 1;
    return pool;
}

void page_pool_unref(struct page_pool *pool)
{
    if (--pool->users > 0) return;
    pthread_mutex_destroy(&pool->lock);
    munmap(pool, sizeof(*pool));
}

uint32_t page_take(struct page_pool *pool)
{
    uint32_t page;

    if (pool->free_count > 0) {
        page = pool->free_pages[--pool->free_count];
    } else {
        MESH_ASSERT(pool->top < PAGES_MAX);
        page = pool->top++;
    }
    pool->references[page] = 1;
    return page;
}

uint32_t page_ref(struct page_pool *pool, uint32_t page)
{
    if (page != PAGE_ZERO) pool->references[page]++;
    return page;
}

void page_unref(struct page_pool *pool, uint32_t page)
{
    if (page == PAGE_ZERO) return;
    MESH_ASSERT(pool->references[page] > 0);
    if (--pool->references[page] == 0) pool->free_pages[pool->free_count++] = page;
}

uint8_t *page_writable(struct page_pool *pool, uint32_t *page)
{
    uint32_t copy;

    if (*page != PAGE_ZERO && pool->references[*page] == 1) return pool->bytes[*page];
    copy = page_take(pool);
    if (*page == PAGE_ZERO)
        memset(pool->bytes[copy], 0, PAGE_SIZE_BYTES);
    else
        memcpy(pool->bytes[copy], pool->bytes[*page], PAGE_SIZE_BYTES);
    page_unref(pool, *page);
    *page = copy;
    return pool->bytes[copy];
}
