/* support/fs_mem_inode.h - the bytes of one file: what the process sees, what would survive, and what is on
 * its way. Internal to fs_mem; the pool's lock is held. */
#ifndef SUPPORT_FS_MEM_INODE_H
#define SUPPORT_FS_MEM_INODE_H

#include "base/random.h"
#include "support/fs_mem.h"
#include "support/fs_mem_page.h"

#define SLOTS_MAX        (FS_MEM_FILE_BYTES_MAX / PAGE_SIZE_BYTES)
#define SECTORS_PER_PAGE (PAGE_SIZE_BYTES / FS_MEM_SECTOR_SIZE)
#define SECTORS_ALL      ((1u << SECTORS_PER_PAGE) - 1)

/* One page of a file. Sectors that are neither dirty nor equal in live and durable were given up by a failed
 * sync. */
struct slot {
    uint32_t live, durable; /* pages, referenced */
    uint32_t write_op;      /* number of the operation that wrote it last */
    uint8_t dirty;          /* a bit per sector */
    bool is_given_up;       /* live differs from durable beyond the dirty sectors */
    bool has_block;         /* takes space */
};

struct inode {
    bool is_used, is_dir;
    bool is_listed;           /* in the disk's list of files that a crash may change */
    uint32_t references;      /* live and durable names, pending name changes, open handles */
    uint32_t live_references; /* live names and open handles: it takes space while there is one */
    uint64_t live_size, durable_size;
    uint64_t cut_size;              /* smallest size that an unsynced truncation gave it; UINT64_MAX: none */
    uint32_t cut_op, size_op;       /* numbers of the operations that last truncated and resized */
    uint32_t slot_count;            /* slots from here on are all zeros */
    uint32_t dirty_low, dirty_high; /* slots that may be dirty lie in [low, high) */
    uint32_t block_count;
};

/* A file with its slots and what it draws on. */
struct inode_view {
    struct inode *inode;
    struct slot *slots; /* SLOTS_MAX */
    struct page_pool *pool;
    struct random *random;
    uint32_t op; /* number of the present operation */
};

void inode_init(struct inode *inode, bool is_dir);
void inode_clear(const struct inode_view *view);                             /* releases every page */
void inode_copy(const struct inode_view *from, const struct inode_view *to); /* `to` is cleared */

size_t inode_read(const struct inode_view *view, void *to, size_t size, uint64_t position);

/* Writes the first `limit` bytes of iov; each new block is taken from *blocks_left; false when there are too
 * few. */
bool inode_write(const struct inode_view *view, const struct iovec *iov, int iov_count, uint64_t position,
                 size_t limit, uint64_t *blocks_left);
bool inode_allocate(const struct inode_view *view, uint64_t position, uint64_t size, uint64_t *blocks_left);
void inode_truncate(const struct inode_view *view, uint64_t size);

void inode_sync(const struct inode_view *view);
void inode_sync_range(const struct inode_view *view, uint64_t position, size_t size);
void inode_sync_fails(const struct inode_view *view); /* part is written, the rest given up */
void inode_write_back_some(const struct inode_view *view);

/* The power cut. With FS_MEM_LOSE_LATEST what operations after last_op did is lost. */
void inode_crash(const struct inode_view *view, enum fs_mem_loss loss, uint32_t last_op);

/* Changes one byte in every version there is. */
void inode_damage(const struct inode_view *view, uint64_t position, uint8_t and_mask, uint8_t xor_mask);

#endif
