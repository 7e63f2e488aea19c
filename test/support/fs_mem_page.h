/* support/fs_mem_page.h - the pages that in-memory disks share: 4 KiB each, counted by reference, page 0 all
 * zeros. Internal to fs_mem. Whoever holds the pool's lock may call. */
#ifndef SUPPORT_FS_MEM_PAGE_H
#define SUPPORT_FS_MEM_PAGE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE_BYTES 4096
#define PAGES_MAX       (1u << 19) /* 2 GiB of address space, backed only where touched */
#define PAGE_ZERO       0u

struct page_pool {
    pthread_mutex_t lock; /* recursive; guards every disk that shares the pool */
    unsigned users;
    uint32_t top;        /* pages from here on have never been used */
    uint32_t free_count; /* entries of free_pages */
    uint32_t references[PAGES_MAX];
    uint32_t free_pages[PAGES_MAX];
    _Alignas(PAGE_SIZE_BYTES) uint8_t bytes[PAGES_MAX][PAGE_SIZE_BYTES];
};

/* Memory that reads as zeros and costs nothing before it is touched; aborts when the system has no room for
 * it. */
void *page_map(size_t size);

struct page_pool *page_pool_new(void);
void page_pool_unref(struct page_pool *pool);

/* A page with undefined contents and one reference. Aborts when all are taken. */
uint32_t page_take(struct page_pool *pool);
uint32_t page_ref(struct page_pool *pool, uint32_t page); /* returns page */
void page_unref(struct page_pool *pool, uint32_t page);

/* Makes *page one that nobody else holds, with the same bytes, and returns them for writing. */
uint8_t *page_writable(struct page_pool *pool, uint32_t *page);

#endif
