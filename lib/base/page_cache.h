/* base/page_cache.h - what the kernel has of a file in memory, and bringing it there. */
#ifndef BASE_PAGE_CACHE_H
#define BASE_PAGE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whether all of a range is there. Where the kernel does not count pages, every 64 KiB and the last byte are probed: it reads ahead in larger steps
 * than that. True where the file system cannot tell. */
bool page_cache_has(int fd, uint64_t position, size_t size);

/* Brings a range there and waits for the disk: any thread that may. The kernel reads ahead behind it as it sees fit. What cannot be read is left to
 * whoever reads it next. */
void page_cache_load(int fd, uint64_t position, size_t size);

#endif
