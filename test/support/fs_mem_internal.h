/* support/fs_mem_internal.h - the parts of an in-memory disk, shared by fs_mem*.c. The pool's lock is held by
 * whoever calls what is declared here. */
#ifndef SUPPORT_FS_MEM_INTERNAL_H
#define SUPPORT_FS_MEM_INTERNAL_H

#include "support/fs_mem.h"
#include "support/fs_mem_inode.h"

#define NONE        0u /* no inode, no name */
#define ROOT        1u
#define NAMES_MAX   8192u
#define CHANGES_MAX 8192u /* name changes that no sync_dir() has made durable yet */
#define BUCKETS     1024u /* power of two */

/* One name in one directory: where it leads now and where it would after a power cut. */
struct name {
    uint32_t next;          /* in its hash bucket */
    uint32_t parent;        /* inode of the directory */
    uint32_t live, durable; /* inodes or NONE */
    uint32_t change_count;  /* pending changes that speak of it */
    bool is_used, is_marked;
    char text[FS_MEM_NAME_MAX + 1];
};

/* `name` leads to `inode` (NONE: removed); a rename takes it away from another name in the same step. */
struct name_change {
    uint32_t name, inode, renamed_from;
    uint32_t op;
    bool is_chosen;
};

struct handle {
    struct fs_file file; /* first, so that one is the other */
    uint32_t inode, generation;
    uint32_t damage_count; /* of the disk, as of when somebody asked what is in memory */
    bool is_used;
    char path[FS_PATH_MAX];
};

struct op {
    enum fs_mem_op_type type;
    struct handle *handle; /* of file operations */
    const char *path, *to; /* `to`: of a rename */
    const struct iovec *iov;
    int iov_count;
    uint64_t position, size;
};

struct fault {
    unsigned type_mask;
    uint64_t countdown; /* 0: no order */
    int err;
    bool is_lasting;
};

struct astray {
    const char *in_path;
    uint64_t countdown;
    enum fs_mem_astray how;
};

/* Bytes of a file that are in memory although the rest is cold. */
struct warm_range {
    uint32_t inode;
    uint64_t from, to;
};

struct fs_mem {
    struct fs fs;
    struct page_pool *pool;
    struct random random;
    uint32_t op; /* number of the latest operation */
    uint64_t crash_countdown;
    bool is_crashed, is_locked;
    uint32_t generation; /* handles of an older one are stale */
    unsigned writeback_permille;
    uint64_t capacity_blocks, used_blocks;
    struct fault fault;
    unsigned lies; /* operation types that only pretend */
    struct astray astray;
    bool is_cold;
    uint64_t wait_count; /* reads of what was cold; the last ones warm[] */
    struct warm_range warm[FS_MEM_WARM_RANGES];
    uint32_t damage_count;
    fs_mem_observe_fn *observe;
    void *observe_user;
    const struct op *in_flight; /* while the observer is told of it */

    uint32_t inode_top, free_inode_count, listed_count;
    uint32_t name_top, free_name_count, change_count;
    uint32_t handle_top, free_handle_count;
    struct inode inodes[FS_MEM_FILES_MAX];
    uint32_t free_inodes[FS_MEM_FILES_MAX];
    uint32_t listed[FS_MEM_FILES_MAX]; /* files that a crash may change */
    uint32_t buckets[BUCKETS];
    struct name names[NAMES_MAX];
    uint32_t free_names[NAMES_MAX];
    struct name_change changes[CHANGES_MAX];
    struct handle handles[FS_MEM_HANDLES_MAX];
    uint32_t free_handles[FS_MEM_HANDLES_MAX];
    struct slot slots[FS_MEM_FILES_MAX][SLOTS_MAX];
};

/* ---- files (fs_mem_names.c) ---- */

struct inode_view inode_view(struct fs_mem *mem, uint32_t number);
uint32_t inode_new(struct fs_mem *mem, bool is_dir); /* no references yet */
void inode_ref(struct fs_mem *mem, uint32_t number, bool is_live);
void inode_unref(struct fs_mem *mem, uint32_t number, bool was_live); /* gone with the last one */
void inode_list(struct fs_mem *mem, uint32_t number);                 /* a crash may now change it */

/* ---- names (fs_mem_names.c) ---- */

/* The inode that path leads to, or NONE. */
uint32_t names_find(const struct fs_mem *mem, const char *path);

/* The name that path ends in, made when absent (it then leads nowhere), or NONE when its directory does not
 * exist. */
uint32_t names_get(struct fs_mem *mem, const char *path);

/* Sets where a name leads, now; what survives follows with names_commit_dir() or a crash. renamed_from: NONE
 * or the name that led there before. */
void names_change(struct fs_mem *mem, uint32_t name, uint32_t inode, uint32_t renamed_from);
bool names_dir_is_empty(const struct fs_mem *mem, uint32_t dir);
void names_forget_unused(struct fs_mem *mem,
                         uint32_t name);                 /* frees a name that leads nowhere in any version */
void names_commit_dir(struct fs_mem *mem, uint32_t dir); /* NONE: all directories */
void names_crash(struct fs_mem *mem, enum fs_mem_loss loss, uint32_t last_op);

/* ---- operations (fs_mem_ops.c) ---- */

extern const struct fs_ops fs_mem_ops;

/* What an interrupted operation may leave behind. */
void op_perform_partly(struct fs_mem *mem, const struct op *op);

#endif
