/* support/fs_mem.h - a disk in memory for tests and simulations: it loses what was not synced when the power
 * fails, tears writes, rots, misdirects, fills up and fails, all drawn from one seed.
 *
 * What a process sees (the page cache) and what would survive a power cut are kept apart: for file bytes per
 * sector of 512 bytes, for sizes and truncations per file, for names per directory entry. A disk can be
 * copied as it would be after a power cut *now*, in the middle of an operation, so that a test may try every
 * crash point of a workload while running it once (fs_mem_set_observer, fs_mem_copy_crashed).
 *
 * No heap memory: a fixed mapping holds everything, so that allocation failures injected into the code under
 * test never hit its disk; the limits below are asserted. Every call of struct fs may come from any thread;
 * the calls of this header belong to the test's thread. */
#ifndef SUPPORT_FS_MEM_H
#define SUPPORT_FS_MEM_H

#include "base/fs.h"

#define FS_MEM_FILE_BYTES_MAX (32u << 20) /* one file */
#define FS_MEM_FILES_MAX                                                                                     \
    4096 /* files and directories, those still open or not yet durably removed included */
#define FS_MEM_HANDLES_MAX 8192 /* open files */
#define FS_MEM_NAME_MAX    95   /* bytes of one name */
#define FS_MEM_SECTOR_SIZE 512  /* written whole or not at all */

struct fs_mem;

struct fs_mem *fs_mem_new(uint64_t seed);
void fs_mem_free(struct fs_mem *mem); /* accepts NULL; every handle must be closed */

/* Freeing this fs releases its lock and no more: the disk stays. */
struct fs *fs_mem_fs(struct fs_mem *mem);

/* Empties the disk, forgets every fault and order, starts again from seed. Handles left open turn stale: they
 * answer MESH_EIO and may still be closed. */
void fs_mem_reset(struct fs_mem *mem, uint64_t seed);

/* ---- power cuts ---- */

enum fs_mem_loss {
    FS_MEM_LOSE_UNSYNCED, /* all that was not synced */
    FS_MEM_LOSE_NOTHING,  /* as when only the process dies */
    FS_MEM_LOSE_LATEST,   /* what came after some moment: the disk wrote in order */
    FS_MEM_LOSE_ANY,      /* any subset: sectors, sizes, truncations and names, in no order */
    FS_MEM_LOSE_MODES,
};

/* The power fails and comes back: everything unsynced is lost in the way said, handles turn stale, locks and
 * injected faults are gone. */
void fs_mem_reboot(struct fs_mem *mem, enum fs_mem_loss loss);

/* Makes `to` (made by fs_mem_new_fork(from), or forked from the same disk) what the disk `from` would be
 * after a power cut now, the operation under way having happened in part. Cheap: pages are shared until
 * written. */
struct fs_mem *fs_mem_new_fork(struct fs_mem *from);
void fs_mem_copy_crashed(struct fs_mem *from, struct fs_mem *to, enum fs_mem_loss loss, uint64_t seed);

/* Operations are what changes the disk or makes it durable: creation, write, sync, truncate, allocate,
 * rename, unlink, mkdir, rmdir, sync_dir, sync_all. From the nth of them on (1: the next) all calls fail with
 * MESH_EIO, that one having happened in part, until fs_mem_reboot(). 0: never. */
void fs_mem_crash_at(struct fs_mem *mem, uint64_t nth);
void fs_mem_crash_now(struct fs_mem *mem); /* between two operations */
bool fs_mem_is_crashed(const struct fs_mem *mem);
uint64_t fs_mem_op_count(const struct fs_mem *mem);

enum fs_mem_op_type {
    FS_MEM_OP_CREATE,
    FS_MEM_OP_WRITE,
    FS_MEM_OP_WRITE_SYNC,
    FS_MEM_OP_SYNC,
    FS_MEM_OP_TRUNCATE,
    FS_MEM_OP_ALLOCATE,
    FS_MEM_OP_RENAME,
    FS_MEM_OP_UNLINK,
    FS_MEM_OP_MKDIR,
    FS_MEM_OP_RMDIR,
    FS_MEM_OP_SYNC_DIR,
    FS_MEM_OP_SYNC_ALL,
    FS_MEM_OP_READ, /* no operation in the sense above; for fs_mem_fail() and the observer it is one */
    FS_MEM_OP_TYPES,
};
#define FS_MEM_OPS_ALL  ((1u << FS_MEM_OP_READ) - 1) /* all but reads */
#define FS_MEM_OPS_SYNC (1u << FS_MEM_OP_SYNC | 1u << FS_MEM_OP_WRITE_SYNC | 1u << FS_MEM_OP_SYNC_ALL)

const char *fs_mem_op_name(enum fs_mem_op_type type);

/* Called before each operation takes effect, on the thread that performs it. It may copy the disk, not use
 * it. */
typedef void fs_mem_observe_fn(void *user, enum fs_mem_op_type type, const char *path, uint64_t position,
                               uint64_t size);
void fs_mem_set_observer(struct fs_mem *mem, fs_mem_observe_fn *observe, void *user);

/* Of 1,000 writes to files this many are followed by the kernel writing some unsynced sectors back. Default
 * 100. */
void fs_mem_set_writeback_permille(struct fs_mem *mem, unsigned permille);

/* ---- faults ---- */

/* The nth operation (1: the next) of the types in the mask (1u << type) fails with err, after happening in
 * part; with is_lasting every later one fails too. A failed sync drops the file's unsynced pages: they still
 * read back, and no later sync writes them. nth = 0 takes the order back. One such order at a time. */
void fs_mem_fail(struct fs_mem *mem, unsigned type_mask, uint64_t nth, int err, bool is_lasting);

/* From now on operations of these types answer 0 and do nothing durable, as disks do that lie about flushing.
 */
void fs_mem_set_lies(struct fs_mem *mem, unsigned type_mask);

/* Space in bytes, in blocks of 4 KiB; UINT64_MAX: endless (free_bytes then says 1 TiB). */
void fs_mem_set_capacity(struct fs_mem *mem, uint64_t capacity_bytes);
uint64_t fs_mem_used_bytes(const struct fs_mem *mem);

/* From now on nothing is in memory but the last FS_MEM_WARM_RANGES ranges that somebody waited for: of everything else
 * read_now() answers MESH_EAGAIN, and read() counts as a wait. false: all is in memory, as at the start. */
#define FS_MEM_WARM_RANGES 8
void fs_mem_set_cold(struct fs_mem *mem, bool is_cold);
uint64_t fs_mem_wait_count(const struct fs_mem *mem);

/* Where a write goes instead. */
enum fs_mem_astray {
    FS_MEM_ASTRAY_LOST,      /* nowhere: reported as done, old bytes stay */
    FS_MEM_ASTRAY_MISPLACED, /* to another block-aligned place of the same file */
};

/* The nth write (1: the next) to a path that contains `in_path` goes astray. One such order at a time. */
void fs_mem_write_astray(struct fs_mem *mem, const char *in_path, uint64_t nth, enum fs_mem_astray how);

/* Damage at rest, durable at once. Errors: MESH_ENOTFOUND, MESH_EINVAL (position at or behind the end). */
int fs_mem_flip_bit(struct fs_mem *mem, const char *path, uint64_t position, unsigned bit);
int fs_mem_zero_sector(struct fs_mem *mem, const char *path, uint64_t position);

/* Calls each() with the path of every file, as a process sees them. It may not use the disk. */
void fs_mem_each_file(struct fs_mem *mem, void (*each)(void *user, const char *path, uint64_t size),
                      void *user);

#endif
