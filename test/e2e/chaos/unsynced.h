/* unsynced.h - what a file says and what of it is on the disk: two things until it is synced.
 *
 * A file's writes stay in memory, in pages, until unsynced_sync(); then they go to the file below. unsynced_cut() is what a power cut does:
 * all of it is gone, or, if so asked, pages and sectors of it have reached the disk by chance, as a kernel that writes back when it likes would
 * have it. One file is one object, however often it is open. Not for threads: the caller holds its lock. */
#ifndef MESH_CHAOS_UNSYNCED_H
#define MESH_CHAOS_UNSYNCED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define UNSYNCED_PAGE 4096u

struct unsynced;

/* The object of an open file of the directory below, made if there is none. `fd` is taken in any case. NULL: no memory. */
struct unsynced *unsynced_open(int fd);
/* Ends one opening. What is not synced is kept. */
void unsynced_close(struct unsynced *file);
/* Ends what nobody has open and what has lost its name since: to be called when names have gone for good. */
void unsynced_sweep(void);
/* Corrects what stat() says of a file below by what is not synced. */
void unsynced_stat(struct stat *st);
/* As fstat: 0 or negative errno. */
int unsynced_fstat(const struct unsynced *file, struct stat *st);
/* The number of the inode's unsynced object, NULL when there is none. Borrowed. */
struct unsynced *unsynced_find(const struct stat *st);

/* As pread, pwrite, ftruncate, fallocate: sizes, or negative errno. */
int64_t unsynced_read(struct unsynced *file, void *bytes, size_t size, uint64_t at);
int64_t unsynced_write(struct unsynced *file, const void *bytes, size_t size, uint64_t at);
int unsynced_truncate(struct unsynced *file, uint64_t size);
int unsynced_allocate(struct unsynced *file, uint64_t at, uint64_t size);
int unsynced_sync(struct unsynced *file);                /* 0 or negative errno */
/* A sync has failed: what was in memory only is gone, as kernels drop pages that they could not write. */
void unsynced_lose(struct unsynced *file);

/* The power is cut. With `survives`, it is asked for each sector of 512 bytes whether it has reached the disk. Returns the bytes lost. */
uint64_t unsynced_cut(bool (*survives)(void));
uint64_t unsynced_bytes(void); /* of pages in memory */

#endif
