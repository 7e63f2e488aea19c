#include "support/fs_mem_internal.h"

#include "base/assert.h"
#include "base/error.h"

#include <string.h>
#include <sys/mman.h>

const char *fs_mem_op_name(enum fs_mem_op_type type)
{
    static const char *const names[FS_MEM_OP_TYPES] = {
        [FS_MEM_OP_CREATE] = "create",
        [FS_MEM_OP_WRITE] = "write",
        [FS_MEM_OP_WRITE_SYNC] = "write_sync",
        [FS_MEM_OP_SYNC] = "sync",
        [FS_MEM_OP_TRUNCATE] = "truncate",
        [FS_MEM_OP_ALLOCATE] = "allocate",
        [FS_MEM_OP_RENAME] = "rename",
        [FS_MEM_OP_UNLINK] = "unlink",
        [FS_MEM_OP_MKDIR] = "mkdir",
        [FS_MEM_OP_RMDIR] = "rmdir",
        [FS_MEM_OP_SYNC_DIR] = "sync_dir",
        [FS_MEM_OP_SYNC_ALL] = "sync_all",
        [FS_MEM_OP_READ] = "read",
    };

    return names[type];
}

/* ---- life ---- */

static void make_root(struct fs_mem *mem)
{
    uint32_t root;

    mem->inode_top = mem->name_top = NONE + 1;
    root = inode_new(mem, true);
    MESH_ASSERT(root == ROOT);
    mem->inodes[ROOT].references = 1;
}

static void set_defaults(struct fs_mem *mem, uint64_t seed)
{
    random_init(&mem->random, seed);
    mem->writeback_permille = 100;
    mem->capacity_blocks = UINT64_MAX;
    mem->crash_countdown = 0;
    mem->is_crashed = mem->is_locked = false;
    mem->fault = (struct fault){.countdown = 0};
    mem->lies = 0;
    mem->astray = (struct astray){.countdown = 0};
}

static struct fs_mem *new_on_pool(struct page_pool *pool, uint64_t seed)
{
    struct fs_mem *mem = page_map(sizeof(*mem));

    mem->fs.ops = &fs_mem_ops;
    mem->pool = pool;
    make_root(mem);
    set_defaults(mem, seed);
    return mem;
}

struct fs_mem *fs_mem_new(uint64_t seed)
{
    return new_on_pool(page_pool_new(), seed);
}

struct fs_mem *fs_mem_new_fork(struct fs_mem *from)
{
    from->pool->users++;
    return new_on_pool(from->pool, 0);
}

struct fs *fs_mem_fs(struct fs_mem *mem)
{
    return &mem->fs;
}

/* Releases every page and name. Handles stay, stale. */
static void clear(struct fs_mem *mem)
{
    for (uint32_t i = ROOT; i < mem->inode_top; i++) {
        struct inode_view view;
        mem->inodes[i].is_listed = false;
        if (!mem->inodes[i].is_used) continue;
        view = inode_view(mem, i);
        inode_clear(&view);
        mem->inodes[i].is_used = false;
    }
    memset(mem->buckets, 0, sizeof(mem->buckets));
    mem->inode_top = mem->name_top = NONE + 1;
    mem->free_inode_count = mem->listed_count = mem->free_name_count = mem->change_count = 0;
    mem->used_blocks = 0;
    mem->generation++;
}

void fs_mem_free(struct fs_mem *mem)
{
    if (mem == NULL) return;
    MESH_ASSERT(mem->free_handle_count == mem->handle_top);
    clear(mem);
    page_pool_unref(mem->pool);
    munmap(mem, sizeof(*mem));
}

void fs_mem_reset(struct fs_mem *mem, uint64_t seed)
{
    clear(mem);
    make_root(mem);
    set_defaults(mem, seed);
    mem->op = 0;
    mem->observe = NULL;
}

/* ---- power cuts ---- */

static void drop_handles(struct fs_mem *mem)
{
    for (uint32_t i = 0; i < mem->handle_top; i++) {
        if (mem->handles[i].is_used && mem->handles[i].generation == mem->generation)
            inode_unref(mem, mem->handles[i].inode, true);
    }
    mem->generation++;
}

/* The operation after which everything is lost, with FS_MEM_LOSE_LATEST. Most of what is unsynced is recent.
 */
static uint32_t draw_last_op(struct fs_mem *mem)
{
    uint32_t span = random_below(&mem->random, 4) == 0 ? mem->op + 1 : 32;
    uint32_t back = (uint32_t)random_below(&mem->random, span);

    return back > mem->op ? 0 : mem->op - back;
}

/* Counts the space in use and lists the free inodes anew. */
static void take_stock(struct fs_mem *mem)
{
    mem->used_blocks = 0;
    mem->free_inode_count = 0;
    for (uint32_t i = ROOT; i < mem->inode_top; i++) {
        if (mem->inodes[i].is_used)
            mem->used_blocks += mem->inodes[i].block_count;
        else
            mem->free_inodes[mem->free_inode_count++] = i;
    }
}

static void crash(struct fs_mem *mem, enum fs_mem_loss loss)
{
    uint32_t last_op = draw_last_op(mem);

    drop_handles(mem);
    names_crash(mem, loss, last_op);
    for (uint32_t i = 0; i < mem->listed_count; i++) {
        struct inode_view view;
        mem->inodes[mem->listed[i]].is_listed = false;
        if (!mem->inodes[mem->listed[i]].is_used) continue;
        view = inode_view(mem, mem->listed[i]);
        inode_crash(&view, loss, last_op);
    }
    mem->listed_count = 0;
    take_stock(mem);
    mem->is_crashed = mem->is_locked = false;
    mem->crash_countdown = 0;
    mem->fault.countdown = mem->astray.countdown = 0;
    mem->lies = 0;
}

void fs_mem_reboot(struct fs_mem *mem, enum fs_mem_loss loss)
{
    pthread_mutex_lock(&mem->pool->lock);
    crash(mem, loss);
    pthread_mutex_unlock(&mem->pool->lock);
}

static void copy(struct fs_mem *from, struct fs_mem *to)
{
    memcpy(to->inodes, from->inodes, from->inode_top * sizeof(from->inodes[0]));
    memcpy(to->free_inodes, from->free_inodes, from->free_inode_count * sizeof(from->free_inodes[0]));
    memcpy(to->listed, from->listed, from->listed_count * sizeof(from->listed[0]));
    memcpy(to->buckets, from->buckets, sizeof(from->buckets));
    memcpy(to->names, from->names, from->name_top * sizeof(from->names[0]));
    memcpy(to->free_names, from->free_names, from->free_name_count * sizeof(from->free_names[0]));
    memcpy(to->changes, from->changes, from->change_count * sizeof(from->changes[0]));
    to->inode_top = from->inode_top;
    to->free_inode_count = from->free_inode_count;
    to->listed_count = from->listed_count;
    to->name_top = from->name_top;
    to->free_name_count = from->free_name_count;
    to->change_count = from->change_count;
    to->used_blocks = from->used_blocks;
    to->capacity_blocks = from->capacity_blocks;
    to->writeback_permille = from->writeback_permille;
    to->op = from->op;
    for (uint32_t i = ROOT; i < from->inode_top; i++) {
        struct inode_view source, target;
        if (!from->inodes[i].is_used) continue;
        source = inode_view(from, i);
        target = inode_view(to, i);
        inode_copy(&source, &target);
    }
}

/* The open handles of `from` keep unlinked files alive there; in the copy nothing does. */
static void drop_references_of_handles(const struct fs_mem *from, struct fs_mem *to)
{
    for (uint32_t i = 0; i < from->handle_top; i++) {
        if (from->handles[i].is_used && from->handles[i].generation == from->generation)
            inode_unref(to, from->handles[i].inode, true);
    }
}

void fs_mem_copy_crashed(struct fs_mem *from, struct fs_mem *to, enum fs_mem_loss loss, uint64_t seed)
{
    MESH_ASSERT(from->pool == to->pool && from != to);
    pthread_mutex_lock(&from->pool->lock);
    clear(to);
    set_defaults(to, seed);
    copy(from, to);
    if (from->in_flight != NULL) op_perform_partly(to, from->in_flight);
    drop_references_of_handles(from, to);
    crash(to, loss);
    pthread_mutex_unlock(&from->pool->lock);
}

void fs_mem_crash_at(struct fs_mem *mem, uint64_t nth)
{
    mem->crash_countdown = nth;
}

void fs_mem_crash_now(struct fs_mem *mem)
{
    mem->is_crashed = true;
}

bool fs_mem_is_crashed(const struct fs_mem *mem)
{
    return mem->is_crashed;
}

uint64_t fs_mem_op_count(const struct fs_mem *mem)
{
    return mem->op;
}

void fs_mem_set_observer(struct fs_mem *mem, fs_mem_observe_fn *observe, void *user)
{
    mem->observe = observe;
    mem->observe_user = user;
}

void fs_mem_set_writeback_permille(struct fs_mem *mem, unsigned permille)
{
    mem->writeback_permille = permille;
}

/* ---- faults ---- */

void fs_mem_fail(struct fs_mem *mem, unsigned type_mask, uint64_t nth, int err, bool is_lasting)
{
    mem->fault =
        (struct fault){.type_mask = type_mask, .countdown = nth, .err = err, .is_lasting = is_lasting};
}

void fs_mem_set_lies(struct fs_mem *mem, unsigned type_mask)
{
    mem->lies = type_mask;
}

void fs_mem_set_capacity(struct fs_mem *mem, uint64_t capacity_bytes)
{
    mem->capacity_blocks = capacity_bytes == UINT64_MAX ? UINT64_MAX : capacity_bytes / PAGE_SIZE_BYTES;
}

uint64_t fs_mem_used_bytes(const struct fs_mem *mem)
{
    return mem->used_blocks * PAGE_SIZE_BYTES;
}

void fs_mem_write_astray(struct fs_mem *mem, const char *in_path, uint64_t nth, enum fs_mem_astray how)
{
    mem->astray = (struct astray){.in_path = in_path, .countdown = nth, .how = how};
}

static int damage(struct fs_mem *mem, const char *path, uint64_t position, size_t size, uint8_t and_mask,
                  uint8_t xor_mask)
{
    uint32_t number = names_find(mem, path);
    struct inode_view view;

    if (number == NONE || mem->inodes[number].is_dir) return MESH_ENOTFOUND;
    view = inode_view(mem, number);
    if (position >= view.inode->live_size) return MESH_EINVAL;
    mem->damage_count++;
    for (size_t i = 0; i < size; i++)
        inode_damage(&view, position + i, and_mask, xor_mask);
    return 0;
}

int fs_mem_flip_bit(struct fs_mem *mem, const char *path, uint64_t position, unsigned bit)
{
    return damage(mem, path, position, 1, 0xff, (uint8_t)(1u << bit));
}

int fs_mem_zero_sector(struct fs_mem *mem, const char *path, uint64_t position)
{
    return damage(mem, path, position - position % FS_MEM_SECTOR_SIZE, FS_MEM_SECTOR_SIZE, 0, 0);
}

static void walk_names(struct fs_mem *mem, uint32_t dir, char path[FS_PATH_MAX], size_t size,
                       void (*each)(void *user, const char *path, uint64_t size), void *user)
{
    for (uint32_t i = 1; i < mem->name_top; i++) {
        const struct name *name = &mem->names[i];
        size_t text_size;
        if (!name->is_used || name->parent != dir || name->live == NONE) continue;
        text_size = strlen(name->text);
        MESH_ASSERT(size + text_size + 2 <= FS_PATH_MAX);
        memcpy(path + size, name->text, text_size + 1);
        if (!mem->inodes[name->live].is_dir) {
            each(user, path, mem->inodes[name->live].live_size);
            continue;
        }
        path[size + text_size] = '/';
        walk_names(mem, name->live, path, size + text_size + 1, each, user);
    }
}

void fs_mem_each_file(struct fs_mem *mem, void (*each)(void *user, const char *path, uint64_t size),
                      void *user)
{
    char path[FS_PATH_MAX];

    walk_names(mem, ROOT, path, 0, each, user);
}
